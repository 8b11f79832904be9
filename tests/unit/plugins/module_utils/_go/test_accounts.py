# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

from ansible_collections.gofleet.cache.plugins.module_utils._go import accounts
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account


def test_passwd_lines_that_are_none_are_left_out(tmp_path) -> None:
    path = tmp_path / "passwd"
    path.write_bytes(
        b"a:x:1000:1001:A:/home/a:/bin/sh\n+nis::::::\nb:x:NaN:1::/b:/bin/sh\nshort:x:1\nc:x:5:5::relative:\n\xff:x:7:7::/f:\n"
    )
    rows = accounts.local(str(path))
    assert rows[0] == Account("a", 1000, 1001, "/home/a", "/bin/sh")
    assert [row.uid for row in rows] == [1000, 5, 7]
    assert rows[1].home == ""


def test_a_missing_passwd_gives_no_accounts(tmp_path) -> None:
    assert accounts.local(str(tmp_path / "none")) == []


def test_lookup_by_name_and_by_uid_find_the_same() -> None:
    rows = [Account("ci", 123456, 123456, "/home/ci")]
    assert accounts.lookup("ci", rows) == accounts.lookup(123456, rows) == accounts.lookup("123456", rows) == rows[0]
    assert accounts.lookup("nobody-has-this-name", rows) is None
    assert accounts.lookup("", rows) is None
    assert accounts.lookup("99999999999999999999999", rows) is None


def test_home_of_the_caller_is_the_environments_only_if_it_is_the_callers_own(tmp_path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    assert accounts.current({"HOME": str(own)}).home == str(own)
    plain = accounts.current({}).home
    assert accounts.current({"HOME": "relative"}).home == plain
    if os.geteuid() == 0:
        os.chown(own, 12345, 12345)
        assert accounts.current({"HOME": str(own)}).home == plain


def test_an_account_without_traces_of_go_has_nothing_to_do_with_it(tmp_path) -> None:
    account = Account("ci", os.geteuid(), os.getegid(), str(tmp_path))
    assert not accounts.has_trace(account)
    (tmp_path / ".cache" / "go-build").mkdir(parents=True)
    assert accounts.has_trace(account)
    # A home that belongs to somebody else, such as "/" of system accounts, shows only that one's traces.
    assert not accounts.has_trace(Account("daemon", os.geteuid() + 1, 1, str(tmp_path)))


def test_resolve_keeps_the_order_once_each_and_names_what_is_missing() -> None:
    me = str(os.geteuid())
    found, missing = accounts.resolve([me, "no-such-account", me])
    assert [account.uid for account in found] == [os.geteuid()]
    assert [row.name for row in missing] == ["no-such-account"]


def test_the_caller_comes_first_of_the_related_accounts() -> None:
    assert accounts.related()[0].uid == os.geteuid()
    if os.geteuid() == 0:
        assert 54321 in [account.uid for account in accounts.related([54321])]


def test_a_name_with_odd_signs_hides_no_account(tmp_path) -> None:
    path = tmp_path / "passwd"
    path.write_text("ci:x:1000:1000:Some\u2028one\x85:/home/ci:/bin/sh\n", encoding="utf-8")
    assert accounts.local(str(path)) == [Account("ci", 1000, 1000, "/home/ci", "/bin/sh")]
