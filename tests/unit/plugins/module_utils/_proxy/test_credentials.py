# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._proxy import credentials
from ansible_collections.gofleet.cache.plugins.module_utils._proxy.credentials import Credentials


class _Files:
    def __init__(self, content: Dict[str, bytes]) -> None:
        self.content = content

    def read(self, path: str) -> bytes:
        if path not in self.content:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return self.content[path]


def _of(netrc: str, goauth: str = "netrc") -> Credentials:
    return Credentials(goauth, {"HOME": "/home/ci"}, _Files({"/home/ci/.netrc": netrc.encode()}))


def test_netrc_is_read_as_go_reads_it() -> None:
    # cmd/go/internal/auth/netrc_test.go
    text = """
machine incomplete
password none

machine api.github.com
  login user
  password pwd

machine incomlete.host
  login justlogin

machine test.host
login user2
password pwd2

machine oneline login user3 password pwd3

machine ignore.host macdef ignore
  login nobody
  password nothing

machine hasmacro.too macdef ignore-next-lines login user4 password pwd4
  login nobody
  password nothing

default
login anonymous
password gopher@golang.org

machine after.default
login oops
password too-late-in-file
"""
    assert [tuple(entry) for entry in credentials.parse_netrc(text)] == [
        ("api.github.com", "user", "pwd"),
        ("test.host", "user2", "pwd2"),
        ("oneline", "user3", "pwd3"),
        ("hasmacro.too", "user4", "pwd4"),
    ]


@given(st.text(alphabet=st.sampled_from("machine default login password macdef \n\tx"), max_size=200))
def test_no_netrc_makes_it_raise(text: str) -> None:
    assert all(all(entry) for entry in credentials.parse_netrc(text))


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://a.example.com/x/y", "netrc entry for a.example.com"),
        ("https://a.example.com:443/x", ""),
        ("https://b.example.com:8443/x", "netrc entry for b.example.com:8443"),
        ("https://b.example.com/x", ""),
        ("http://a.example.com/x", ""),
        ("https://other.example.com/x", ""),
        ("https://u:p@a.example.com/x", "the URL itself"),
    ],
)
def test_an_entry_counts_for_exactly_its_host_and_port_over_https(url: str, source: str) -> None:
    found = _of("machine a.example.com login u password pw1\nmachine b.example.com:8443 login u password pw2\n")
    assert found.for_url(url).source == source


def test_before_go_1_24_an_entry_wins_over_a_login_in_the_url() -> None:
    found = _of("machine a.test login u password pw1\n", "").for_url("https://x:y@a.test/m")
    assert found.source == "netrc entry for a.test"
    assert _of("", "").for_url("https://x:y@a.test/m").source == "the URL itself"


def test_the_first_of_several_entries_counts() -> None:
    found = _of("machine a.test login u password one\nmachine a.test login u password two\n").for_url("https://a.test/")
    assert found.headers == credentials._basic("u", "one")


def test_goauth_off_sends_nothing_and_an_unreadable_netrc_is_told() -> None:
    assert _of("machine a.test login u password one\n", "off").for_url("https://a.test/") == credentials.NONE
    unread = Credentials("netrc", {"HOME": "/home/other"}, _Files({}))
    assert unread.notes == ["/home/other/.netrc: Permission denied: Go ignores the file without a word"]


def test_what_a_command_prints_is_read_by_prefix() -> None:
    text = "https://a.test/x\nhttps://b.test/\n\nAuthorization: Bearer t0ken-t0ken\nX-More: 1\n\n"
    headers = {"Authorization": "Bearer t0ken-t0ken", "X-More": "1"}
    assert credentials.parse_user_auth(text) == {"a.test/x": headers, "b.test": headers}
    for bad in ("https://a.test", "https://a.test\n\nno header\n\n", "https://a.test\n\nA: b"):
        with pytest.raises(ValueError, match=r"header|empty line"):
            credentials.parse_user_auth(bad)


def test_every_form_of_a_password_in_a_url_is_known() -> None:
    found = credentials.url_secrets(["https://u:p%40ss@a.test/x", "https://t0ken@b.test", "https://c.test/x@y"])
    assert {"p%40ss", "p@ss", "t0ken", "dTpwQHNz"} <= set(found)
    assert not any("y" in text for text in found if "c.test" in text)


@pytest.mark.parametrize(
    ("text", "note"),
    [("exec cat /dev/zero", "more than"), ("setsid sleep 60 & sleep 60", "within"), ("exit 3", "status 3")],
)
def test_a_command_is_asked_neither_for_long_nor_for_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, note: str
) -> None:
    monkeypatch.setattr(credentials, "COMMAND_TIMEOUT", 1 if note == "within" else 30)
    script = tmp_path / "helper"
    script.write_text(text)
    start = time.monotonic()
    found = Credentials("/bin/sh %s" % script, {"PATH": "/usr/bin:/bin"}, _Files({}), ask_commands=True)
    assert time.monotonic() - start < 50
    assert note in found.notes[0]
