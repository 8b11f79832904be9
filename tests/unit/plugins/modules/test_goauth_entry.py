# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module goauth_entry, through main()."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go import goauth, services, toolchain
from ansible_collections.gofleet.cache.plugins.modules import goauth_entry

Run = Callable[..., "tuple[int, dict[str, Any]]"]
CANARY = "c4nary-hunter2"
ENCODED = base64.b64encode(f"ci:{CANARY}".encode()).decode()
TEAM = {"url": "https://proxy.example.com:8443/team-a/", "login": "ci", "token": CANARY}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    for name in list(os.environ):
        if name.startswith(("GO", "XDG_", "NETRC")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("GOFLEET_CACHE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(services, "discover", lambda names=(), runners=True, root="": ([], []))
    monkeypatch.setattr(toolchain, "find", lambda *_args, **_named: [])
    return place


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(goauth_entry.AnsibleModule, "warn", lambda self, text: texts.append(text))
    return texts


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    def call(check: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        arguments = dict(options, _ansible_check_mode=check, _ansible_diff=True)
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            goauth_entry.main()
        said = capsys.readouterr()
        assert CANARY not in said.out + said.err
        assert ENCODED not in said.out + said.err
        return int(ended.value.code or 0), json.loads(said.out)

    return call


def _file(home: Path) -> Path:
    return home / ".config" / "go" / "goauth.sh"


def test_check_mode_writes_nothing_and_predicts_the_run_exactly(run: Run, home: Path) -> None:
    status, predicted = run(check=True, **TEAM)
    assert list(home.iterdir()) == []
    assert (status, predicted["changed"]) == (0, True)
    assert run(**TEAM) == (0, predicted)
    path = _file(home)
    assert predicted["created"] == [str(home / ".config"), str(path.parent), str(path)]
    assert predicted["goauth"] == f"/bin/sh {path};netrc"
    assert predicted["url"] == "https://proxy.example.com:8443/team-a"
    assert predicted["urls"] == [predicted["url"]]
    assert predicted["headers"] == [
        {"name": "Authorization", "action": "added", "kind": "basic", "login": "ci", "source": "stored", "place": ""}
    ]
    assert (predicted["mode"], predicted["mode_before"], predicted["uid"]) == ("0600", "", os.geteuid())
    assert predicted["diff"] == [
        {
            "before_header": str(path),
            "after_header": str(path),
            "before": "",
            "after": "https://proxy.example.com:8443/team-a\n  Authorization: Basic ci:*** (new)\n",
        }
    ]
    assert ENCODED in path.read_text()


def test_a_second_run_changes_and_touches_nothing(run: Run, home: Path) -> None:
    run(**TEAM)
    before = _file(home).stat()
    status, result = run(**TEAM)
    assert (status, result["changed"], result["diff"]) == (0, False, [])
    assert _file(home).stat() == before
    assert result["headers"][0]["action"] == "kept"
    assert run(**dict(TEAM, url=TEAM["url"].rstrip("/")))[1]["changed"] is False


def test_a_wide_mode_is_narrowed_and_shown(run: Run, home: Path) -> None:
    run(**TEAM)
    _file(home).chmod(0o644)
    predicted = run(check=True, **TEAM)
    assert _file(home).stat().st_mode & 0o777 == 0o644
    assert run(**TEAM) == predicted
    assert (predicted[1]["changed"], predicted[1]["mode_before"], predicted[1]["mode"]) == (True, "0644", "0600")
    assert [item["before"] for item in predicted[1]["diff"]] == [{"mode": "0644"}]
    assert _file(home).stat().st_mode & 0o777 == 0o600


def test_each_kind_of_credential_is_set_changed_and_told(run: Run, home: Path, said: list[str]) -> None:
    secret = home / "secret"
    secret.write_text(CANARY + "\n")
    url = "https://h/a"
    kinds: list[tuple[dict[str, Any], tuple[str, str, str, str, str]]] = [
        ({"token": CANARY}, ("Authorization", "bearer", "", "stored", "")),
        ({"password": CANARY, "login": "ci"}, ("Authorization", "basic", "ci", "stored", "")),
        ({"token": CANARY, "header": "X-T"}, ("X-T", "header", "", "stored", "")),
        ({"token_file": str(secret)}, ("Authorization", "bearer", "", "file", str(secret))),
        ({"token_file": str(secret), "login": "ci"}, ("Authorization", "basic", "ci", "file", str(secret))),
        ({"command": ["/bin/cat", str(secret)]}, ("Authorization", "bearer", "", "command", f"/bin/cat {secret}")),
        (
            {"command": ["/bin/cat", str(secret)], "header": "X-T"},
            ("X-T", "header", "", "command", f"/bin/cat {secret}"),
        ),
    ]
    for options, expected in kinds:
        predicted = run(check=True, url=url, **options)
        assert run(url=url, **options) == predicted
        (header,) = [item for item in predicted[1]["headers"] if item["action"] in ("added", "changed")]
        assert tuple(header[key] for key in ("name", "kind", "login", "source", "place")) == expected
        assert run(url=url, **options)[1]["changed"] is False
        assert len(goauth.parse(_file(home).read_bytes())) == 1
    assert not [text for text in said if "gets no credentials" in text]


def test_a_second_header_is_kept_only_if_wanted(run: Run, home: Path) -> None:
    run(url="https://h", token=CANARY, header="X-A")
    result = run(url="https://h", token=CANARY, header="X-B", exclusive=False)[1]
    assert [(item["name"], item["action"]) for item in result["headers"]] == [("X-A", "left"), ("X-B", "added")]
    result = run(url="https://h", state="absent", header="X-C")[1]
    assert (result["changed"], [item["action"] for item in result["headers"]]) == (False, ["left", "left"])
    result = run(url="https://h", state="absent", header="x-a")[1]
    assert [(item["name"], item["action"]) for item in result["headers"]] == [("X-A", "removed"), ("X-B", "left")]
    result = run(url="https://h", token=CANARY)[1]
    assert [(item["name"], item["action"]) for item in result["headers"]] == [
        ("X-B", "removed"),
        ("Authorization", "added"),
    ]


def test_absent_removes_the_prefix_alone_and_makes_no_file(run: Run, home: Path) -> None:
    assert run(url="https://h", state="absent")[1]["changed"] is False
    assert list(home.iterdir()) == []
    run(url="https://h", token=CANARY)
    run(url="https://h/a", token="other-hunter3")
    predicted = run(check=True, url="https://h", state="absent")
    assert run(url="https://h", state="absent") == predicted
    assert (predicted[1]["urls"], predicted[1]["headers"][0]["action"]) == (["https://h/a"], "removed")
    assert "other-hunter3" not in json.dumps(predicted)
    assert run(url="https://h", state="absent")[1]["changed"] is False


def test_a_changed_secret_shows_in_the_diff_without_being_told(run: Run) -> None:
    run(url="https://h", token="old-hunter3")
    result = run(url="https://h", token=CANARY)[1]
    assert result["headers"][0]["action"] == "changed"
    (diff,) = result["diff"]
    assert (diff["before"], diff["after"]) == (
        "https://h\n  Authorization: Bearer ***\n",
        "https://h\n  Authorization: Bearer *** (new)\n",
    )
    assert "old-hunter3" not in json.dumps(result)


@pytest.mark.parametrize(
    "options",
    [
        {"url": f"https://ci:{CANARY}@h/", "token": "x"},
        {"url": f"https://ci:a/{CANARY}@h/", "token": "x"},
        {"url": "http://h/", "token": CANARY},
        {"url": "https://h/", "token": CANARY + "\n"},
        {"url": "https://h/", "token": CANARY + "\r\nX: y"},
        {"url": "https://h/", "token": CANARY + "é"},
        {"url": "https://h/", "login": "a:b", "token": CANARY},
        {"url": "https://h/", "login": f"ghp_{CANARY}", "token": "x"},
        {"url": "https://h/", "login": CANARY, "token": "x-oauth-basic"},
        {"url": "https://h/", "header": "Host", "token": CANARY},
        {"url": "https://h/", "command": ["/bin/x", "--token", CANARY]},
        {"url": "https://h/", "command": ["/bin/x", f"--password={CANARY}"]},
        {"url": "https://h/", "command": ["x"]},
        {"url": "https://h/", "command": []},
        {"url": "https://h/", "token_file": "relative"},
        {"url": "https://h/"},
        {"url": f"https://ci:{CANARY}@h/"},
        {"url": f"https://ci:{CANARY}@h/", "token": "x", "no_such_option": 1},
        {"url": "https://h/", "token": "x", "command": ["/bin/x", "--token", CANARY]},
        {"url": "https://h/", "token": CANARY, "token_file": "/x"},
        {"url": "https://h/", "token": CANARY, "login": "ci", "header": "X"},
        {"url": "https://h/", "token": CANARY, "path": "relative"},
        {"url": "https://h/", "token": CANARY, "path": "/a;b"},
        {"url": "https://h/", "token": CANARY, "account": "no-such-account"},
    ],
)
def test_what_is_refused_is_refused_without_telling_the_secret(run: Run, home: Path, options: dict[str, Any]) -> None:
    for check in (True, False):
        status, result = run(check=check, **options)
        assert status == 1
        assert result["msg"]
    assert list(home.iterdir()) == []


def test_a_symlink_and_a_file_of_another_program_are_refused_and_untouched(run: Run, home: Path) -> None:
    path = _file(home)
    path.parent.mkdir(parents=True)
    (home / "real").write_text("")
    path.symlink_to(home / "real")
    for check in (True, False):
        status, result = run(check=check, **TEAM)
        assert (status, "symlink" in result["msg"]) == (1, True)
    path.unlink()
    path.write_text(f"#!/bin/sh\necho {CANARY}\n")
    for state in ("present", "absent"):
        status, result = run(**dict(TEAM, state=state))
        assert (status, "was not written by goauth_entry" in result["msg"]) == (1, True)
    assert path.read_text() == f"#!/bin/sh\necho {CANARY}\n"


def test_what_go_will_not_do_is_warned_about(
    run: Run, home: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOAUTH", "off")
    old = toolchain.Toolchain("/opt/go", "go1.21.13", "/opt/go/bin/go", "path", 0)
    monkeypatch.setattr(toolchain, "find", lambda *_args, **_named: [old])
    result = run(url="https://H.example/a", token_file="/no/such/file")[1]
    assert result["old_toolchains"] == ["go1.21.13 (/opt/go)"]
    assert [item["effective"] for item in result["overridden"]] == ["off"]
    for text in ("capital letters", "/no/such/file", "GOAUTH=off", "know no GOAUTH"):
        assert any(text in warning for warning in said)
    del said[:]
    result = run(url="https://h.example/a", token=CANARY, read_back=False)[1]
    assert (result["overridden"], result["old_toolchains"], said) == ([], [], [])
    assert run(url="https://h.example/a", state="absent")[1]["overridden"] == []


def test_the_result_fits_go_env_and_is_then_seen_in_use(run: Run, home: Path) -> None:
    from ansible_collections.gofleet.cache.plugins.module_utils._go import grammar

    value = run(**TEAM)[1]["goauth"]
    assert grammar.check("GOAUTH", value) == []
    (home / ".config" / "go" / "env").write_text(f"GOAUTH={value}\n")
    assert run(**TEAM)[1]["overridden"] == []


def test_every_returned_key_is_documented(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOAUTH", "off")
    result = run(**TEAM)[1]
    documented = yaml.safe_load(goauth_entry.RETURN)
    assert set(result) - {"changed", "diff", "invocation", "warnings"} == set(documented)
    assert set(result["headers"][0]) == set(documented["headers"]["contains"])
    assert set(result["overridden"][0]) == set(documented["overridden"]["contains"])
