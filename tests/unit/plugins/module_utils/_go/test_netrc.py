# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A .netrc read as Go reads it, and edits of it that harm nobody."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._fs import atomic
from ansible_collections.gofleet.cache.plugins.module_utils._go import netrc, services, toolchain
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._go.configure import Impossible

ENTRY = "machine %s login %s password %s"
PIECES = st.sampled_from(
    ["machine a", "machine b", "machine h:1", "login u", "login v", "password p", "password q", "account z", "default"]
    + ["macdef m", "# note", "#", "x", "machine", "login", "password"]
    + [ENTRY % ("a", "u", "p"), ENTRY % ("b", "v", "q"), ENTRY % ("h:1", "u", "p")]
)
ENDS = st.sampled_from([" ", " ", "\n", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\x1c"])
FILES = st.lists(st.tuples(PIECES, ENDS).map("".join), max_size=14).map(lambda parts: "".join(parts).encode())
MACHINES = st.sampled_from(["a", "b", "h:1", "new"])

TIDY_ENTRY = st.builds(
    lambda machine, login, style: style.replace("M", machine).replace("L", login).encode(),
    st.sampled_from(["a", "b", "c:9", "d"]),
    st.sampled_from(["u", "v"]),
    st.sampled_from(
        [
            "machine M login L password pw\n",
            "machine M\n  login L\n  password pw\n",
            "machine M\tlogin L account x password pw # ours\n",
            "# a note\n",
            "\n",
            "macdef up\ncd /pub\n\n",
            "machine M\nlogin L\n# its password\npassword pw\n\n",
        ]
    ),
)
TIDY = st.lists(TIDY_ENTRY, max_size=6).map(b"".join)


def winners(data: bytes | None) -> dict[str, tuple[str, str]]:
    result: dict[str, tuple[str, str]] = {}
    for entry in netrc.entries(netrc.text_of(data)):
        result.setdefault(entry.machine, (entry.login, entry.password))
    return result


# reading


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("machine h login u password p", [("h", "u", "p", 1)]),
        ("machine h\n  password p\n  login u\n", [("h", "u", "p", 1)]),
        ("machine h login u\n\nmachine i login v password q\n", [("i", "v", "q", 3)]),
        # A value on the next line is none to Go.
        ("machine h login\nu password p\n", []),
        # A macro lasts to the next empty line, and a line with a CR is not empty.
        ("macdef m\nmachine x login u password p\n\nmachine h login u password p\n", [("h", "u", "p", 4)]),
        ("macdef m\nx\n\r\nmachine h login u password p\n", []),
        # default ends the reading where it is the last word of a line, and only there.
        ("default\nmachine h login u password p\n", []),
        ("default login d password e\nmachine h login u password p\n", [("h", "u", "p", 2)]),
        # There are no comments.
        ("# old machine h login u password p\n", [("h", "u", "p", 1)]),
        ("machine h login u\n# its password\npassword p\n", [("h", "u", "p", 1)]),
        ("machine h login u\n# the password follows\npassword p\n", [("h", "u", "follows", 1)]),
        ('machine h login u password "a b"\n', [("h", "u", '"a', 1)]),
        ("machine h\u00a0login u password p\n", [("h", "u", "p", 1)]),
        ("machine h login u\x1c password p\n", [("h", "u\x1c", "p", 1)]),
    ],
)
def test_entries_are_those_that_go_reads(text: str, expected: list[tuple[str, str, str, int]]) -> None:
    assert [(e.machine, e.login, e.password, e.line) for e in netrc.entries(text)] == expected


@given(st.one_of(FILES, st.binary(max_size=60)))
def test_reading_and_showing_never_raise_and_bytes_survive(data: bytes) -> None:
    text = netrc.text_of(data)
    netrc.entries(text)
    netrc.parse(text)
    assert netrc.data_of(text) == data
    assert netrc.shown(data).count("\n") == data.count(b"\n")


# edits


@given(FILES, MACHINES, st.booleans())
def test_after_a_put_go_uses_these_credentials_and_no_other_machine_is_harmed(
    data: bytes, machine: str, exclusive: bool
) -> None:
    try:
        after = netrc.put(data, machine, "ci", "s3cret", exclusive)
    except netrc.Refused:
        # A new entry always finds a place; one that is entangled with others may not be undone safely.
        assert machine.encode() in data
        return
    expected = {name: given for name, given in winners(data).items() if name != machine}
    now = winners(after)
    assert now[machine] == ("ci", "s3cret")
    assert {name: now[name] for name in expected} == expected
    assert netrc.put(after, machine, "ci", "s3cret", exclusive) == after


@given(FILES, MACHINES)
def test_after_a_drop_go_has_none_and_no_other_machine_is_harmed(data: bytes, machine: str) -> None:
    try:
        after = netrc.drop(data, machine)
    except netrc.Refused:
        # Nothing else is left to do by hand than what the message says; whole files are never refused, see below.
        assume(False)
        return
    expected = {name: given for name, given in winners(data).items() if name != machine}
    now = winners(after)
    assert machine not in now
    assert {name: now[name] for name in expected} == expected
    assert netrc.drop(after, machine) == after


@given(TIDY, st.sampled_from(["a", "c:9", "new"]))
def test_in_a_tidy_file_nothing_is_refused_and_all_other_lines_stay_byte_for_byte(data: bytes, machine: str) -> None:
    after = netrc.put(data, machine, "ci", "s3cret")
    gone = netrc.drop(after, machine)
    assert gone is not None

    def others(content: bytes) -> list[bytes]:
        text = netrc.text_of(content)
        mine = {w.line for b in netrc.parse(text).blocks if b.machine == machine for w in b.words}
        return [line for number, line in enumerate(content.split(b"\n")) if number not in mine and line]

    kept = others(data)
    # What stands behind a removed entry in its line stays as a line of its own.
    assert [line for line in others(gone) if line != b"# ours"] == [line for line in kept if line != b"# ours"]
    assert netrc.put(data, "untouched", "u", "p").count(b"untouched") == 1


def test_values_are_replaced_in_place() -> None:
    before = b"# ours\nmachine h\n\tlogin  old\n\tpassword\tpw  # by hand\n\tmacdef x\nput a\n\n"
    before += b"machine i login u password p\n"
    after = netrc.put(before, "h", "ci", "s3cret")
    assert after == before.replace(b"old", b"ci").replace(b"pw", b"s3cret")


def test_a_new_entry_comes_before_default_and_after_an_open_macro() -> None:
    entry = b"machine h login ci password s\n"
    assert netrc.put(None, "h", "ci", "s") == entry
    assert netrc.put(b"machine a login u password p", "h", "ci", "s") == b"machine a login u password p\n" + entry
    default = b"default login anonymous password x\n"
    assert netrc.put(default, "h", "ci", "s") == entry + default
    assert netrc.put(b"machine a login u password p\ndefault\n", "h", "ci", "s").split(b"\n")[1] == entry.strip()
    assert netrc.put(b"macdef m\ncd /\n", "h", "ci", "s") == b"macdef m\ncd /\n\n" + entry


def test_an_entry_behind_default_that_go_does_not_read_moves_before_it() -> None:
    after = netrc.put(b"default\nmachine h login ci password s\n", "h", "ci", "s")
    assert after == b"machine h login ci password s\ndefault\n"


def test_only_one_entry_of_the_machine_remains_unless_others_are_wanted() -> None:
    before = b"machine h login bob password 1\nmachine i login u password p\nmachine h login ci password 2\n"
    assert netrc.put(before, "h", "ci", "new") == b"machine h login ci password new\nmachine i login u password p\n"
    assert netrc.put(before, "h", "ci", "new", exclusive=False) == (
        b"machine h login ci password new\nmachine h login bob password 1\nmachine i login u password p\n"
    )


def test_a_comment_that_go_takes_for_an_entry_does_not_win() -> None:
    before = b"# old machine h login u password p\n"
    after = netrc.put(before, "h", "ci", "s")
    assert winners(after)["h"] == ("ci", "s")
    assert before in after
    with pytest.raises(netrc.Refused, match="line 1"):
        netrc.drop(before, "h")


def test_incomplete_and_split_entries_become_whole() -> None:
    for before in (b"machine h login u\n", b"machine h\npassword x\n", b"machine\nh\nlogin\nu\npassword\np\n"):
        assert netrc.put(before, "h", "ci", "s") == b"machine h login ci password s\n"
        assert netrc.drop(before, "h") == b""


def test_an_account_word_stays() -> None:
    after = netrc.put(b"machine h\naccount z\nlogin u\n", "h", "ci", "s")
    assert after == b"machine h login ci password s account z\n"


def test_windows_line_ends_stay_and_new_lines_get_them() -> None:
    after = netrc.put(b"machine a login u password p\r\n", "h", "ci", "s")
    assert after == b"machine a login u password p\r\nmachine h login ci password s\r\n"


def test_dropping_one_login_leaves_the_others() -> None:
    before = b"machine h login a password 1\nmachine h login b password 2\n"
    assert netrc.drop(before, "h", "a") == b"machine h login b password 2\n"
    assert netrc.drop(before, "h", "c") == before
    assert netrc.drop(None, "h") is None


def test_entries_in_one_line_are_parted_cleanly() -> None:
    before = b"machine a login u password p machine h login v password q machine b login w password r\n"
    assert netrc.drop(before, "h") == b"machine a login u password p machine b login w password r\n"


def test_both_forms_are_written_and_removed_together() -> None:
    after = netrc.put_forms(None, "h:8443", "ci", "s", True, True)
    assert winners(after) == {"h:8443": ("ci", "s"), "h": ("ci", "s")}
    assert netrc.drop_forms(after, "h:8443", None, True) == b""
    assert winners(netrc.drop_forms(after, "h:8443", None, False)) == {"h": ("ci", "s")}
    other = netrc.put(after, "h", "git", "t")
    assert winners(netrc.drop_forms(other, "h:8443", None, True)) == {"h": ("git", "t")}


def test_the_other_form_is_the_host_that_curl_looks_for() -> None:
    assert [netrc.host_of(name) for name in ("h:1", "h", "[::1]:1", "[::1]")] == ["h", "", "::1", "::1"]


def test_ports_with_other_credentials_are_named() -> None:
    data = netrc.put_forms(None, "h:1", "a", "1", True, True)
    data = netrc.put_forms(data, "h:2", "b", "2", True, True)
    assert netrc.rivals(data, "h:2") == ["h:1"]
    assert netrc.rivals(netrc.put_forms(data, "h:1", "b", "2", True, True), "h:2") == []


# showing


def test_a_diff_holds_no_secret_wherever_it_stands() -> None:
    data = (
        b"# old password hunter1\nmachine h login u password hunter2\nmachine i\nlogin v\npassword\nhunter3\n"
        b"machine github.com login ghp_hunter4 password x-oauth-basic\nmachine k login u account hunter5\n"
        b"macdef m\nuser x hunter6\n\nmachine l login hunter7hunter7hunter7 password x\nhunter8\n"
        b"machine m login password hunter9\nmachine n password login hunter0\n"
    )
    shown = netrc.shown(data, b"")
    assert "hunter" not in shown
    assert shown.count("\n") == data.count(b"\n")
    for word in ("machine h login u password ***", "macdef ***", "machine github.com login *** password"):
        assert word in shown


def test_a_new_password_shows_as_a_difference() -> None:
    before = b"machine h login u password one\n"
    after = netrc.put(before, "h", "u", "two")
    assert netrc.shown(after, before) == "machine h login u password *** (new)\n"
    assert netrc.shown(before, before) == netrc.shown(before) == "machine h login u password ***\n"


@given(FILES)
def test_no_password_of_a_random_file_is_shown(data: bytes) -> None:
    data = re.sub(rb"(?<=password )\S+", b"hunter2", data)
    assert "hunter2" not in netrc.shown(data, b"").replace("machine hunter2", "").replace("login hunter2", "")


# what is asked for


@pytest.mark.parametrize("machine", ["h", "h:1", "goproxy.example.com:8443", "10.0.0.1", "[::1]:8443", "[2001:db8::1]"])
def test_hosts_with_and_without_port_are_taken(machine: str) -> None:
    netrc.check_machine(machine)


@pytest.mark.parametrize(
    ("machine", "code"),
    [
        ("https://h:8443/x", "url"),
        ("https://ci:hunter2@h/", "userinfo"),
        ("ci:hunter2@h", "userinfo"),
        ("h/team", "path"),
        ("*.example.com", "pattern"),
        ("default", "pattern"),
        ("h:0", "port"),
        ("h:x", "port"),
        ("h:99999", "port"),
        ("h:", "port"),
        ("[::1]:", "port"),
        ("::1", "ipv6"),
        ("", "host"),
        ("a b", "host"),
        ("h\n", "host"),
        ("-h", "host"),
        ("bücher.example", "host"),
    ],
)
def test_what_is_no_machine_is_refused_with_what_to_write(machine: str, code: str) -> None:
    with pytest.raises(netrc.Refused) as caught:
        netrc.check_machine(machine)
    assert caught.value.code == code
    assert "hunter2" not in str(caught.value)
    assert code != "url" or "write h:8443" in str(caught.value)


@pytest.mark.parametrize(
    "password",
    ["", "zyxwv zyxwv", "zyxwv\tq", "zyxwv\nq", "zyxwv\u00a0", "zyxwv\x00", "zyxwv\x7f", "zyxwv\udc80", " zyxwv"],
)
def test_passwords_that_go_cannot_read_are_refused_without_being_told(password: str) -> None:
    with pytest.raises(netrc.Refused) as caught:
        netrc.check_password(password)
    assert "zyxwv" not in str(caught.value)
    with pytest.raises(netrc.Refused):
        netrc.check_login(password)


def test_passwords_that_only_go_reads_are_warned_about() -> None:
    assert netrc.check_password("s#e\"c'r\\et=") == []
    assert ["comment" in text for text in netrc.check_password("#abc")] == [True]
    assert ["quote" in text for text in netrc.check_password('"abc')] == [True]


@pytest.mark.parametrize(("login", "password"), [("ghp_abc", "x"), ("glpat-abc", "x"), ("abc", "x-oauth-basic")])
def test_a_token_as_login_is_refused(login: str, password: str) -> None:
    with pytest.raises(netrc.Refused) as caught:
        netrc.check_login(login, password)
    assert login not in str(caught.value)


def test_a_secret_file_holds_one_line(tmp_path: Path) -> None:
    place = tmp_path / "secret"
    place.write_text("s3cret\n")
    assert netrc.read_secret(str(place)) == "s3cret"
    place.write_text("one\ntwo\n")
    with pytest.raises(netrc.Refused, match="more than one line"):
        netrc.read_secret(str(place))
    with pytest.raises(netrc.Refused, match="does not exist"):
        netrc.read_secret(str(tmp_path / "none"))
    with pytest.raises(atomic.NotWritten):
        netrc.read_secret("relative")


# the file


@pytest.fixture
def me(tmp_path: Path) -> Account:
    return Account("me", os.geteuid(), os.getegid(), str(tmp_path))


def write(account: Account, path: Path, check: bool = False, password: str = "s") -> netrc.Outcome:
    where = netrc.Target(str(path), account, "path")
    return netrc.write(where, lambda data: netrc.put(data, "h", "ci", password), check)


def test_a_new_file_is_for_its_owner_only(me: Account, tmp_path: Path) -> None:
    path = tmp_path / "deep" / ".netrc"
    predicted = write(me, path, check=True)
    assert not path.parent.exists()
    assert write(me, path) == predicted
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert not write(me, path).changed


def test_a_wide_mode_is_a_change_of_its_own(me: Account, tmp_path: Path) -> None:
    path = tmp_path / ".netrc"
    path.write_bytes(b"machine h login ci password s\n")
    path.chmod(0o644)
    predicted = write(me, path, check=True)
    assert path.stat().st_mode & 0o777 == 0o644
    done = write(me, path)
    assert (done, done.changed, done.change.changed, done.mode_before, done.change.mode) == (
        predicted,
        True,
        False,
        0o644,
        0o600,
    )
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o400)
    assert not write(me, path).changed
    assert write(me, path, password="t").change.mode == 0o400


def test_a_refused_edit_leaves_the_mode_too(me: Account, tmp_path: Path) -> None:
    path = tmp_path / ".netrc"
    path.write_bytes(b"# old machine h login u password p\n")
    path.chmod(0o644)
    where = netrc.Target(str(path), me, "path")
    with pytest.raises(atomic.NotWritten, match="line 1"):
        netrc.write(where, lambda data: netrc.drop(data, "h"), False)
    assert path.stat().st_mode & 0o777 == 0o644


def test_links_and_other_things_are_refused_and_untouched(me: Account, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_bytes(b"")
    link = tmp_path / ".netrc"
    link.symlink_to(real)
    second = tmp_path / "second"
    second.mkdir()
    codes = []
    for path in (link, second):
        with pytest.raises(atomic.NotWritten) as caught:
            write(me, path)
        codes.append(caught.value.code)
    os.link(real, tmp_path / "twin")
    with pytest.raises(atomic.NotWritten) as caught:
        write(me, real)
    assert [*codes, caught.value.code] == ["symlink", "not-a-file", "hard-link"]
    assert real.read_bytes() == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_writes_as_the_account_and_refuses_what_is_somebody_elses(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
        if folder.name.startswith("pytest-of"):
            break
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 12345, 12345)
    them = Account("them", 12345, 12345, str(home))
    path = home / ".netrc"
    write(them, path)
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (12345, 0o600)
    root = Account("root", 0, 0, "/root")
    with pytest.raises(atomic.NotWritten, match="uid 12345"):
        write(root, path)
    with pytest.raises(atomic.NotWritten, match="name that account"):
        write(root, home / "other")


def test_writers_at_the_same_time_lose_nothing(me: Account, tmp_path: Path) -> None:
    where = netrc.Target(str(tmp_path / ".netrc"), me, "path")
    children = []
    for number in range(12):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                netrc.write(where, lambda data, n=number: netrc.put(data, "h%d" % n, "u", "p%d" % n), False)
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 12
    found = winners(Path(where.path).read_bytes())
    assert found == {"h%d" % number: ("u", "p%d" % number) for number in range(12)}


# where, and who reads it


def test_the_file_is_the_one_that_go_finds(me: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    assert netrc.target(me).path == str(tmp_path / ".netrc")
    monkeypatch.setenv("NETRC", "/etc/ci/netrc")
    assert (netrc.target(me).path, netrc.target(me).chosen) == ("/etc/ci/netrc", "NETRC")
    assert netrc.target(me, "/x").path == "/x"
    monkeypatch.setenv("NETRC", "netrc")
    with pytest.raises(Impossible, match="relative"):
        netrc.target(me)
    monkeypatch.delenv("NETRC")
    with pytest.raises(Impossible, match="no home"):
        netrc.target(Account("me", me.uid, me.gid, ""))
    with pytest.raises(Impossible, match="does not exist"):
        netrc.target(Account("me", me.uid, me.gid, str(tmp_path / "none")))


def test_netrc_counts_wherever_it_stands_in_goauth() -> None:
    said = {text: netrc.uses_netrc(text) for text in ("netrc", "git /x; netrc", "off", "git /x", "/bin/netrc x")}
    assert said == {"netrc": True, "git /x; netrc": True, "off": False, "git /x": False, "/bin/netrc x": False}


def test_who_does_not_read_the_file_is_named(me: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("GO", "XDG_", "NETRC")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(toolchain, "find", lambda *_args, **_named: [])

    def unit(name: str, uid: int, environ: dict[str, str]) -> services.Service:
        return services.Service(name, "systemd", "running", uid, 1, environ, sources=("/etc/x.conf",))

    found = [
        unit("other.service", me.uid + 1, {"GOAUTH": "off"}),
        unit("netrc.service", me.uid, {"NETRC": "/etc/ci/netrc"}),
        unit("goauth.service", me.uid, {"GOAUTH": "git /srv/x"}),
        unit("fine.service", me.uid, {"GOAUTH": "git /srv/x;netrc"}),
    ]
    monkeypatch.setattr(services, "discover", lambda names=(), runners=True, root="": (found, ["a note"]))
    (tmp_path / ".config" / "go").mkdir(parents=True)
    (tmp_path / ".config" / "go" / "env").write_text("GOAUTH=off\n")
    where = netrc.target(me)
    result, notes = netrc.overrides(where)
    assert notes == ["a note"]
    assert [(item.name, item.effective, item.who) for item in result] == [
        ("GOAUTH", "off", "sessions like this one"),
        ("NETRC", "/etc/ci/netrc", "the processes of netrc.service"),
        ("GOAUTH", "git /srv/x", "the processes of goauth.service"),
    ]
    assert result[0].where == str(tmp_path / ".config/go/env") + ":1"
    assert "GOAUTH=off" in netrc.override_text(where, result[0])
    assert "/etc/ci/netrc" in netrc.override_text(where, result[1])
    by_path, _notes = netrc.overrides(netrc.Target("/etc/ci/netrc", me, "path"))
    assert [(item.name, item.who) for item in by_path] == [("GOAUTH", "the processes of netrc.service")]
