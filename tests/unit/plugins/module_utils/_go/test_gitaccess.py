# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git's and SSH's files get exactly the lines that were asked for, and never a secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import subprocess
from pathlib import Path
from typing import Any, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import gitaccess
from ansible_collections.gofleet.cache.plugins.module_utils._go.gitaccess import HostKey, Rewrite

HTTPS, SSH = "https://git.example.com/", "ssh://git@git.example.com/"


def blob(seed: str, kind: str = "ssh-ed25519") -> str:
    text = kind.encode()
    body = hashlib.sha256(seed.encode()).digest()
    return base64.b64encode(len(text).to_bytes(4, "big") + text + len(body).to_bytes(4, "big") + body).decode()


KEY = "ssh-ed25519 " + blob("one")


def ids(instead_of: Sequence[Any] = (), known_hosts: Sequence[Any] = (), proxy: str = "") -> list[str]:
    return [finding.id for finding in gitaccess.check(instead_of, known_hosts, proxy)]


def test_right_entries_have_no_findings() -> None:
    instead = [{"prefix": HTTPS, "use": SSH}, {"prefix": "https://a.example.com/x/", "use": "git@a.example.com:x/"}]
    hosts = [{"host": "git.example.com", "key": KEY}, {"host": "[git.example.com]:2222", "key": f"x.example {KEY} me"}]
    assert ids(instead, hosts, "http://proxy.example.com:3128") == []


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"prefix": HTTPS}, "git-entry"),
        ({"prefix": HTTPS, "use": SSH, "force": True}, "git-entry"),
        ({"prefix": HTTPS, "use": SSH, "state": "gone"}, "git-entry"),
        ({"prefix": HTTPS, "use": HTTPS}, "git-entry"),
        ({"prefix": HTTPS, "use": "ssh://git@git.example.com/\n"}, "git-entry"),
        ({"prefix": HTTPS, "use": "somewhere"}, "git-entry"),
        ("https://git.example.com/", "git-entry"),
        ({"prefix": "https://git.example.com", "use": SSH}, "git-prefix"),
        ({"prefix": HTTPS, "use": "ssh://git@git.example.com"}, "git-prefix"),
        ({"prefix": "git.example.com:/", "use": SSH}, "git-prefix"),
        ({"prefix": HTTPS, "use": "https://hunter2@git.example.com/"}, "git-credentials"),
        ({"prefix": HTTPS, "use": "https://ci:hunter2@git.example.com/"}, "git-credentials"),
        ({"prefix": HTTPS, "use": "ssh://git:hunter2@git.example.com/"}, "git-credentials"),
        ({"prefix": "https://hunter2@git.example.com/", "use": SSH}, "git-credentials"),
        ({"prefix": HTTPS, "use": "http://git.example.com/"}, "git-plain-http"),
    ],
)
def test_an_address_that_leaks_or_catches_too_much_is_refused(entry: Any, code: str) -> None:
    assert ids([entry]) == [code]
    assert "hunter2" not in repr(gitaccess.check([entry], []))


def test_one_prefix_cannot_become_two_addresses() -> None:
    assert ids([{"prefix": HTTPS, "use": SSH}, {"prefix": HTTPS, "use": "ssh://git@b.example.com/"}]) == ["git-twice"]
    gone = {"prefix": HTTPS, "use": "ssh://git@b.example.com/", "state": "absent"}
    assert ids([{"prefix": HTTPS, "use": SSH}, gone]) == []


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"host": "git.example.com"}, "known-hosts-entry"),
        ({"host": "*", "key": KEY}, "known-hosts-host"),
        ({"host": "a.example.com,b.example.com", "key": KEY}, "known-hosts-host"),
        ({"host": "@cert-authority", "key": KEY}, "known-hosts-host"),
        ({"host": "git.example.com", "key": "ssh-ed25519 AAAA"}, "known-hosts-key"),
        ({"host": "git.example.com", "key": "ssh-rsa " + blob("one")}, "known-hosts-key"),
        ({"host": "git.example.com", "key": "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2"}, "known-hosts-key"),
    ],
)
def test_what_is_no_key_of_one_host_is_refused(entry: dict[str, str], code: str) -> None:
    assert ids([], [entry]) == [code]
    assert "hunter2" not in repr(gitaccess.check([], [entry]))


@pytest.mark.parametrize("proxy", ["http://ci:hunter2@p.example.com:1", "p.example.com", "ftp://p.example.com"])
def test_a_proxy_with_a_login_or_without_a_scheme_is_refused(proxy: str) -> None:
    assert ids(proxy=proxy) == ["git-http-proxy"]
    assert "hunter2" not in repr(gitaccess.check([], [], proxy))


# known_hosts


def key(host: str = "git.example.com", seed: str = "one", present: bool = True) -> HostKey:
    return HostKey(host, "ssh-ed25519", blob(seed), present)


def hashed(host: str) -> str:
    salt = b"0123456789abcdef0123"
    digest = hmac.new(salt, host.encode(), hashlib.sha1).digest()
    return "|1|%s|%s" % (base64.b64encode(salt).decode(), base64.b64encode(digest).decode())


@pytest.mark.parametrize("name", ["git.example.com", "x.example,git.example.com", hashed("git.example.com")])
def test_a_key_that_is_known_is_not_added_again(name: str) -> None:
    data = f"# mine\n{name} {KEY} comment\n".encode()
    assert gitaccess.edit_hosts(data, [key()]) == (data, [])


def test_a_missing_key_is_added_behind_what_is_there() -> None:
    after, others = gitaccess.edit_hosts(b"# no line break at the end", [key()])
    assert after == f"# no line break at the end\ngit.example.com {KEY}\n".encode()
    assert others == []
    assert gitaccess.edit_hosts(None, []) == (None, [])


def test_another_key_of_the_host_stays_and_is_told() -> None:
    data = f"git.example.com {KEY}\n@revoked git.example.com {KEY}\n".encode()
    after, others = gitaccess.edit_hosts(data, [key(seed="two")])
    assert after is not None
    assert after.startswith(data)
    assert others == ["line 1: another ssh-ed25519 key of git.example.com stays trusted"]


def test_removing_a_key_takes_only_the_lines_of_this_host_alone() -> None:
    shared = f"x.example,git.example.com {KEY}\n"
    data = f"git.example.com {KEY}\n{shared}{hashed('git.example.com')} {KEY}\nother.example {KEY}\n".encode()
    after, others = gitaccess.edit_hosts(data, [key(present=False)])
    assert after == f"{shared}other.example {KEY}\n".encode()
    assert others == ["line 2: the key of git.example.com is also that of other hosts, and stays"]


@given(st.binary(max_size=120))
def test_nothing_else_in_the_file_changes(data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = data.replace(b"\r", b"")
    after, _others = gitaccess.edit_hosts(data, [key()])
    assert after is not None
    assert after.startswith(data)
    again, _others = gitaccess.edit_hosts(after, [key()])
    assert again == after


# .gitconfig

git = shutil.which("git")
needs_git = pytest.mark.skipif(git is None, reason="needs git")


@needs_git
def test_a_rewrite_is_added_once_and_others_stay() -> None:
    mine = b'# mine\n[url "ssh://git@git.example.com/"]\n\tinsteadOf = https://old.example.com/\n[user]\n\tname = me\n'
    after, before, now, in_the_way = gitaccess.edit_config(mine, [Rewrite(HTTPS, SSH)], None, str(git))
    assert after is not None
    assert b"https://old.example.com/" in after
    assert b"# mine" in after
    assert b"name = me" in after
    assert before == ["url.ssh://git@git.example.com/.insteadOf = https://old.example.com/"]
    assert now == [*before, "url.ssh://git@git.example.com/.insteadOf = https://git.example.com/"]
    assert in_the_way == []
    assert gitaccess.edit_config(after, [Rewrite(HTTPS, SSH)], None, str(git))[0] == after
    gone = gitaccess.edit_config(after, [Rewrite(HTTPS, SSH, False)], None, str(git))[0]
    assert gone is not None
    assert b"https://git.example.com/" not in gone
    assert b"https://old.example.com/" in gone


@needs_git
def test_only_exactly_this_prefix_is_removed() -> None:
    data = b'[url "ssh://git@git.example.com/"]\n\tinsteadOf = https://git.example.com/team/\n'
    assert gitaccess.edit_config(data, [Rewrite(HTTPS, SSH, False)], None, str(git))[0] == data
    dots = (
        b'[url "ssh://git@git.example.com/"]\n\tinsteadOf = https://gitXexample.com/\n\tinsteadOf = ' + HTTPS.encode()
    )
    after = gitaccess.edit_config(dots + b"\n", [Rewrite(HTTPS, SSH, False)], None, str(git))[0]
    assert after is not None
    assert b"gitXexample" in after
    assert HTTPS.encode() not in after


@needs_git
def test_an_address_that_git_would_take_first_is_in_the_way() -> None:
    data = b'[url "https://hunter2@mirror.example.com/"]\n\tinsteadOf = https://git.example.com/\n'
    _after, _before, now, in_the_way = gitaccess.edit_config(data, [Rewrite(HTTPS, SSH)], None, str(git))
    assert in_the_way
    assert "which stands first" in in_the_way[0]
    assert "hunter2" not in repr((now, in_the_way))
    both = [Rewrite(HTTPS, SSH), Rewrite(HTTPS, "https://hunter2@mirror.example.com/", False)]
    assert gitaccess.edit_config(data, both, None, str(git))[3] == []


@needs_git
def test_the_proxy_is_set_replaced_and_removed() -> None:
    one = gitaccess.edit_config(None, [], "http://a.example.com:1", str(git))[0]
    two = gitaccess.edit_config(one, [], "http://b.example.com:1", str(git))
    assert two[2] == ["http.proxy = http://b.example.com:1"]
    assert gitaccess.edit_config(two[0], [], "", str(git))[2] == []
    assert gitaccess.edit_config(None, [], "", str(git))[0] is None


@needs_git
def test_a_file_that_git_cannot_read_is_told() -> None:
    with pytest.raises(gitaccess.GitFailed, match="bad config"):
        gitaccess.edit_config(b"[url\n", [Rewrite(HTTPS, SSH)], None, str(git))


@needs_git
def test_git_itself_rewrites_what_was_asked_for(tmp_path: Path) -> None:
    after = gitaccess.edit_config(None, [Rewrite(HTTPS, SSH)], None, str(git))[0]
    assert after is not None
    (tmp_path / ".gitconfig").write_bytes(after)
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1"}
    for address, wanted in ((HTTPS + "team/x", SSH + "team/x"), ("https://git.example.com.evil.example/x", "")):
        said = subprocess.run(
            [str(git), "ls-remote", "--get-url", address],
            env=environ,
            cwd=str(tmp_path),
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == (wanted or address)


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x0c", "\x1e"])
def test_only_what_ssh_takes_for_a_line_is_one(sign: str) -> None:
    key = HostKey("git.example.com", *KEY.split())
    hidden = ("# moved:%sgit.example.com %s\n" % (sign, KEY)).encode()
    after, _others = gitaccess.edit_hosts(hidden, [key])
    assert after == hidden + ("git.example.com %s\n" % KEY).encode()
    assert gitaccess.edit_hosts(hidden, [key._replace(present=False)]) == (hidden, [])
