# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module netrc_entry, through main()."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go import services, toolchain
from ansible_collections.gofleet.cache.plugins.modules import netrc_entry

Run = Callable[..., "tuple[int, dict[str, Any]]"]
CANARY = "c4nary-hunter2"
PROXY = {"machine": "proxy.example.com:8443", "login": "ci", "password": CANARY}


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
    monkeypatch.setattr(netrc_entry.AnsibleModule, "warn", lambda self, text: texts.append(text))
    return texts


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    def call(check: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        arguments = dict(options, _ansible_check_mode=check, _ansible_diff=True)
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            netrc_entry.main()
        out = capsys.readouterr().out
        assert CANARY not in out
        return int(ended.value.code or 0), json.loads(out)

    return call


def test_check_mode_writes_nothing_and_predicts_the_run_exactly(run: Run, home: Path) -> None:
    path = home / ".netrc"
    path.write_text("# mine\nmachine git.example.com login me password mine\n")
    path.chmod(0o640)
    before = path.stat()
    status, predicted = run(check=True, **PROXY)
    assert (path.stat().st_ino, path.stat().st_mode, path.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert (status, predicted["changed"]) == (0, True)
    assert run(**PROXY) == (0, predicted)
    assert path.read_text() == (
        "# mine\nmachine git.example.com login me password mine\n"
        f"machine proxy.example.com:8443 login ci password {CANARY}\n"
        f"machine proxy.example.com login ci password {CANARY}\n"
    )
    assert predicted["diff"] == [
        {
            "before_header": str(path),
            "after_header": str(path),
            "before": {"mode": "0640"},
            "after": {"mode": "0600"},
        },
        {
            "before_header": str(path),
            "after_header": str(path),
            "before": "# ***\nmachine git.example.com login me password ***\n",
            "after": (
                "# ***\nmachine git.example.com login me password ***\n"
                "machine proxy.example.com:8443 login ci password *** (new)\n"
                "machine proxy.example.com login ci password *** (new)\n"
            ),
        },
    ]
    assert (predicted["mode_before"], predicted["mode"], predicted["created"]) == ("0640", "0600", [])
    assert [(e["machine"], e["action"], e["line"]) for e in predicted["entries"]] == [
        ("proxy.example.com:8443", "added", 3),
        ("proxy.example.com", "added", 4),
    ]


def test_a_second_run_changes_and_touches_nothing(run: Run, home: Path) -> None:
    first = run(**PROXY)[1]
    assert (first["changed"], first["created"]) == (True, [str(home / ".netrc")])
    before = (home / ".netrc").stat()
    status, result = run(**PROXY)
    assert (status, result["changed"], result["diff"]) == (0, False, [])
    assert (home / ".netrc").stat() == before
    assert [entry["action"] for entry in result["entries"]] == ["kept", "kept"]


def test_a_changed_password_shows_in_the_diff_without_being_told(run: Run, home: Path) -> None:
    run(machine="h", login="ci", password="old-hunter3")
    _status, result = run(machine="h", login="ci", password=CANARY)
    assert result["entries"][0]["action"] == "changed"
    (diff,) = result["diff"]
    assert (diff["before"], diff["after"]) == (
        "machine h login ci password ***\n",
        "machine h login ci password *** (new)\n",
    )
    assert "old-hunter3" not in json.dumps(result)


def test_absent_removes_both_forms_and_is_idempotent(run: Run, home: Path) -> None:
    run(**PROXY)
    run(machine="other", login="x", password=CANARY)
    predicted = run(check=True, machine=PROXY["machine"], state="absent")
    assert run(machine=PROXY["machine"], state="absent") == predicted
    assert [entry["action"] for entry in predicted[1]["entries"]] == ["removed", "removed"]
    assert (home / ".netrc").read_text() == f"machine other login x password {CANARY}\n"
    result = run(machine=PROXY["machine"], state="absent")[1]
    assert (result["changed"], [entry["action"] for entry in result["entries"]]) == (False, ["none", "none"])


def test_absent_leaves_the_host_where_it_has_another_login(run: Run, home: Path) -> None:
    run(**dict(PROXY, both_forms=False))
    run(machine="proxy.example.com", login="git", password="other")
    result = run(machine=PROXY["machine"], state="absent")[1]
    assert [entry["action"] for entry in result["entries"]] == ["removed", "left"]
    assert (home / ".netrc").read_text() == "machine proxy.example.com login git password other\n"


def test_absent_without_a_file_makes_none(run: Run, home: Path) -> None:
    assert run(machine="h", state="absent")[1]["changed"] is False
    assert list(home.iterdir()) == []


def test_the_winning_line_is_named_and_duplicates_go(run: Run, home: Path) -> None:
    (home / ".netrc").write_text(
        "machine i login u password p\nmachine h login bob password 1\nmachine h login ci password 2\n"
    )
    kept = run(machine="h", login="ci", password=CANARY, exclusive=False, check=True)[1]["entries"][0]
    assert (kept["line"], kept["line_before"], kept["ignored_lines"], kept["login"]) == (2, 2, [3], "ci")
    only = run(machine="h", login="ci", password=CANARY)[1]["entries"][0]
    assert (only["line"], only["ignored_lines"], only["action"]) == (2, [], "changed")
    (home / ".netrc").write_text("machine h login ci password 2\nmachine h login ci password 1\n")
    assert run(machine="h", login="ci", password="2")[1]["entries"][0]["action"] == "moved"


@pytest.mark.parametrize(
    "options",
    [
        {"machine": f"https://ci:{CANARY}@h/", "login": "ci", "password": "x"},
        {"machine": f"ci:{CANARY}@h", "login": "ci", "password": "x"},
        {"machine": "https://h/", "login": "ci", "password": CANARY},
        {"machine": "h", "login": "ci", "password": CANARY + " blank"},
        {"machine": "h", "login": "ci", "password": CANARY + "\n"},
        {"machine": "h", "login": f"ghp_{CANARY}", "password": "x"},
        {"machine": "h", "login": CANARY, "password": "x-oauth-basic"},
        {"machine": "h", "login": "ci"},
        {"machine": "h", "password": CANARY},
        {"machine": "h", "login": "ci", "password": CANARY, "path": "relative"},
        {"machine": "h", "login": "ci", "password": CANARY, "account": "no-such-account"},
    ],
)
def test_what_is_refused_is_refused_without_telling_the_secret(run: Run, home: Path, options: dict[str, str]) -> None:
    for check in (True, False):
        status, result = run(check=check, **options)
        assert status == 1
        assert result["msg"]
    assert list(home.iterdir()) == []


def test_a_symlink_is_refused_and_what_it_leads_to_untouched(run: Run, home: Path) -> None:
    (home / "real").write_text("")
    (home / ".netrc").symlink_to("real")
    for check in (True, False):
        status, result = run(check=check, **PROXY)
        assert (status, "symlink" in result["msg"]) == (1, True)
    assert (home / "real").read_text() == ""


def test_the_password_may_come_from_a_file_on_the_agent(run: Run, home: Path) -> None:
    secret = home / "secret"
    secret.write_text(CANARY + "\n")
    status, result = run(machine="h", login="ci", password_file=str(secret))
    assert (status, result["changed"]) == (0, True)
    assert (home / ".netrc").read_text() == f"machine h login ci password {CANARY}\n"
    assert run(machine="h", login="ci", password_file=str(home / "none"))[0] == 1


def test_a_login_that_was_a_token_is_not_shown(run: Run, home: Path) -> None:
    (home / ".netrc").write_text(f"machine h login {CANARY}{CANARY} password x\n")
    assert run(machine="h", state="absent", check=True)[0] == 0
    assert run(machine="i", login="ci", password="p", check=True)[0] == 0


def test_what_others_read_differently_is_warned_about(run: Run, home: Path, said: list[str]) -> None:
    run(machine="Host:1", login="a", password="#1")
    assert [text.partition(" ")[0] for text in said] == ["the", "machine:"]
    del said[:]
    run(machine="Host:2", login="b", password="2", both_forms=False)
    run(machine="Host:1", login="c", password="3")
    assert any("shares its host with Host:2" in text for text in said)
    del said[:]
    (home / ".netrc").write_text("# old machine h login u password p\n")
    run(machine="h", login="ci", password=CANARY)
    assert any("comments (2)" in text for text in said)


def test_who_does_not_read_the_file_is_told(
    run: Run, home: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOAUTH", "off")
    result = run(**PROXY)[1]
    assert [(item["name"], item["effective"]) for item in result["overridden"]] == [("GOAUTH", "off")]
    assert any("GOAUTH=off" in text for text in said)
    assert run(read_back=False, **PROXY)[1]["overridden"] == []
    assert run(machine="h", state="absent")[1]["overridden"] == []


def test_every_returned_key_is_documented(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOAUTH", "off")
    result = run(**PROXY)[1]
    documented = yaml.safe_load(netrc_entry.RETURN)
    assert set(result) - {"changed", "diff", "invocation", "warnings"} == set(documented)
    assert set(result["entries"][0]) == set(documented["entries"]["contains"])
    assert set(result["overridden"][0]) == set(documented["overridden"]["contains"])
