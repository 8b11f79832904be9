# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pathlib
import time
from typing import Any, Callable, Dict

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import accounts, ask, canary, toolchain
from ansible_collections.gofleet.cache.tests.fixtures import goproxy

FakeGo = Callable[[str], pathlib.Path]


@pytest.fixture(autouse=True)
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    place = tmp_path / "home"
    place.mkdir()
    (tmp_path / "work").mkdir()
    for name in [name for name in os.environ if name.startswith(("GO", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setattr(canary.tempfile, "gettempdir", lambda: str(tmp_path / "work"))
    return place


@pytest.fixture
def fake_go(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> FakeGo:
    """Makes a toolchain whose go command is a shell script."""
    monkeypatch.setattr(ask, "why_untrusted", lambda *_args: "")

    def make(script: str) -> pathlib.Path:
        root = tmp_path / "go"
        (root / "bin").mkdir(parents=True)
        (root / "src").mkdir()
        (root / "VERSION").write_text("go1.99.1\n")
        (root / "bin/go").write_text("#!/bin/sh\n" + script)
        (root / "bin/go").chmod(0o755)
        return root

    return make


def left(tmp_path: pathlib.Path) -> list:
    return os.listdir(str(tmp_path / "work"))


BUILDS = """
echo "$@" >> "$HOME/calls"
env | sort > "$HOME/env"
case "$1" in
build) while [ "$1" != -o ]; do shift; done; printf program > "$2"; echo runtime >&2; echo "# a comment" >&2 ;;
list) printf 'unsafe\\nruntime\\nfmt\\nmain\\n' ;;
esac
"""


@pytest.mark.once
def test_a_real_go_builds_the_same_program_twice_and_leaves_no_work_space(
    tmp_path: pathlib.Path, go_binary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = goproxy.make_proxy(tmp_path / "proxy", big=1)
    for name, value in proxy.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ask, "why_untrusted", lambda *_args: "")
    request = canary.Request(module="git.corp.example/team/Secret@v1.1.0", go=go_binary)
    first = canary.run(request)
    assert first["built"]
    assert first["compiled"] > 0
    (tmp_path / "elsewhere").mkdir()
    again = canary.run(request._replace(expect=first["sha256"], workspace=str(tmp_path / "elsewhere")))
    assert (again["compiled"], again["cached"]) == (0, first["packages"])
    other = canary.run(request._replace(package=""))
    assert other["sha256"] != first["sha256"]
    with pytest.raises(canary.Failed, match="its SHA-256 is"):
        canary.run(request._replace(package="", expect=first["sha256"]))
    assert left(tmp_path) == []
    assert os.listdir(str(tmp_path / "elsewhere")) == []


def test_go_runs_with_the_accounts_settings_and_its_own_flags_win(
    tmp_path: pathlib.Path, home: pathlib.Path, fake_go: FakeGo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=vendor -tags=x")
    monkeypatch.setenv("GOPROXY", "https://ci:s3cret@proxy.example.com")
    monkeypatch.setenv("ANSIBLE_SECRET", "x")
    result = canary.run(canary.Request(go=str(fake_go(BUILDS)), module="example.com/a@v1.0.0"))
    env = dict(line.split("=", 1) for line in (home / "env").read_text().splitlines() if "=" in line)
    assert env["HOME"] == str(home)
    assert env["GOFLAGS"] == "-mod=vendor -tags=x"
    assert env["GOPROXY"] == "https://ci:s3cret@proxy.example.com"
    assert env["GOTOOLCHAIN"] == "local"
    assert "ANSIBLE_SECRET" not in env
    assert env["GOTMPDIR"].startswith(str(tmp_path / "work"))
    calls = (home / "calls").read_text().splitlines()
    assert calls[0] == "mod download example.com/a@v1.0.0"
    assert "-mod=mod -trimpath" in calls[1]
    assert "s3cret" not in str(result)
    assert result["settings"]["GOPROXY"] == "https://***@proxy.example.com"
    assert (result["packages"], result["compiled"], result["cached"]) == (3, 1, 2)
    assert result["size"] == len("program")
    assert left(tmp_path) == []


def test_the_accounts_toolchain_choice_counts_only_if_asked_for(
    home: pathlib.Path, fake_go: FakeGo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOTOOLCHAIN", "go1.98.0+auto")
    canary.run(canary.Request(go=str(fake_go(BUILDS)), switch=True))
    assert "GOTOOLCHAIN=go1.98.0+auto\n" in (home / "env").read_text()


def test_the_time_limit_kills_everything_that_was_started(
    tmp_path: pathlib.Path, home: pathlib.Path, fake_go: FakeGo
) -> None:
    script = 'trap "" TERM\nsh -c \'trap "" TERM; echo $$ > "$HOME/child"; sleep 60; sleep 60\' &\nsleep 60\nsleep 60\n'
    started = time.monotonic()
    with pytest.raises(canary.Failed, match="did not end within 3 s and was killed") as caught:
        canary.run(canary.Request(go=str(fake_go(script)), time_limit=3))
    assert time.monotonic() - started < 50
    child = int((home / "child").read_text())
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and os.path.exists("/proc/%d" % child):
        if "Z" in pathlib.Path("/proc/%d/stat" % child).read_text().rpartition(")")[2][:3]:
            break
        time.sleep(0.05)
    else:
        assert not os.path.exists("/proc/%d" % child)
    assert caught.value.result["built"] is False
    assert left(tmp_path) == []


def test_a_failure_tells_what_go_said_without_credentials(tmp_path: pathlib.Path, fake_go: FakeGo) -> None:
    script = "echo 'go: downloading example.com/a v1.0.0' >&2\n"
    script += "echo 'go: example.com/a: reading https://ci:s3cret@proxy.example.com/x: 403 Forbidden' >&2\nexit 1\n"
    with pytest.raises(canary.Failed) as caught:
        canary.run(canary.Request(go=str(fake_go(script)), module="example.com/a@v1.0.0"))
    text = str(caught.value)
    assert text.startswith("go mod download example.com/a@v1.0.0 failed with 1: ")
    assert "403 Forbidden" in text
    assert "s3cret" not in text + str(caught.value.result)
    assert caught.value.result["rc"] == 1
    assert left(tmp_path) == []


def test_a_build_without_a_program_points_to_the_flags(fake_go: FakeGo) -> None:
    with pytest.raises(canary.Failed, match="look at GOFLAGS"):
        canary.run(canary.Request(go=str(fake_go("exit 0\n"))))


def test_without_go_it_is_not_applicable(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(toolchain, "find", lambda *_args: [])
    result = canary.run(canary.Request())
    assert (result["applicable"], result["reason"], result["changed"]) == (False, canary.NO_GO, False)
    assert left(tmp_path) == []


def test_only_looking_builds_nothing(tmp_path: pathlib.Path, home: pathlib.Path, fake_go: FakeGo) -> None:
    root = fake_go(BUILDS)
    looked = canary.run(canary.Request(go=str(root)), only_look=True)
    assert looked["go_version"] == "go1.99.1"
    assert not looked["built"]
    assert not (home / "calls").exists()
    built = canary.run(canary.Request(go=str(root / "bin/go")))
    assert sorted(built) == sorted(looked)


def test_a_go_that_others_can_replace_is_not_run(
    fake_go: FakeGo, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fake_go(BUILDS)
    monkeypatch.setattr(ask, "why_untrusted", lambda *_args: "it is writable by everybody")
    with pytest.raises(canary.Impossible, match="writable by everybody"):
        canary.run(canary.Request(go=str(root)))
    found = toolchain.identify(str(root))
    monkeypatch.setattr(toolchain, "find", lambda *_args: [found])
    with pytest.raises(canary.Impossible, match="the only Go found is not run"):
        canary.run(canary.Request())
    assert not (home / "calls").exists()


def test_a_full_or_missing_work_place_is_told(fake_go: FakeGo, tmp_path: pathlib.Path) -> None:
    with pytest.raises(canary.Failed, match="no work space can be made"):
        canary.run(canary.Request(go=str(fake_go(BUILDS)), workspace=str(tmp_path / "missing")))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_for_an_account_everything_runs_with_its_rights(
    tmp_path: pathlib.Path, fake_go: FakeGo, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    os.chown(str(place), 65534, 65534)
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
        os.chmod(str(folder), os.stat(str(folder)).st_mode | 0o011)
    (tmp_path / "work").chmod(0o1777)
    account = accounts.Account("somebody", 65534, 65534, str(place))
    monkeypatch.setattr(canary.configure.accounts, "lookup", lambda *_args: account)
    monkeypatch.setenv("GOPROXY", "https://roots-own.example.com")
    canary.run(canary.Request(account="somebody", go=str(fake_go("id -u > $HOME/uid; id -G >> $HOME/uid\n" + BUILDS))))
    assert (place / "uid").read_text().split()[:2] == ["65534", "65534"]
    assert (place / "calls").stat().st_uid == 65534
    assert "roots-own" not in (place / "env").read_text()
    assert "HOME=%s\n" % place in (place / "env").read_text()
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"module": "example.com/a"}, "has no exact version"),
        ({"module": "example.com/a@latest"}, "has no exact version"),
        ({"module": "example.com/a@v1"}, "has no exact version"),
        ({"module": "nodot@v1.0.0"}, "module: malformed"),
        ({"module": "-exec=x.y@v1.0.0"}, "leading dash"),
        ({"package": "example.com/a"}, "without a module"),
        ({"module": "example.com/a@v1.0.0", "package": "example.com/b"}, "does not lie in"),
        ({"module": "example.com/a@v1.0.0", "package": 'example.com/a/"'}, "no import path"),
        ({"expect": "abc"}, "no SHA-256"),
        ({"time_limit": 0}, "at least one second"),
        ({"workspace": "here"}, "relative path"),
        ({"account": "no-such-account-here"}, "no account with this name"),
    ],
)
def test_nonsense_is_refused_before_anything_runs(given: Dict[str, Any], says: str) -> None:
    with pytest.raises(canary.Impossible, match=says):
        canary.run(canary.Request(**given))
