# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module go_env, through main()."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go import accounts, services, toolchain
from ansible_collections.gofleet.cache.plugins.modules import go_env

Run = Callable[..., "tuple[int, dict[str, Any]]"]
GO = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    for name in list(os.environ):
        if name.startswith(("GO", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(place))
    return place


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    def call(check: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        arguments = dict(options, _ansible_check_mode=check, _ansible_diff=True)
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            go_env.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return call


def tree(place: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in [place, *place.rglob("*")]}


def test_check_mode_writes_nothing_and_predicts_the_run_exactly(run: Run, home: Path) -> None:
    (home / ".config" / "go").mkdir(parents=True)
    (home / ".config" / "go" / "env").write_text("# mine\nGOSUMDB=off\nGOPROXY=direct\n")
    asked = {"settings": {"GOPROXY": ["https://p.example.com", "direct"]}, "absent": ["GOSUMDB"]}
    before = tree(home)
    status, predicted = run(check=True, **asked)
    assert tree(home) == before
    assert status == 0
    assert predicted["changed"]
    assert run(**asked) == (0, predicted)
    assert (home / ".config" / "go" / "env").read_text() == "# mine\nGOPROXY=https://p.example.com,direct\n"
    assert predicted["diff"] == [
        {
            "before_header": str(home / ".config/go/env"),
            "after_header": str(home / ".config/go/env"),
            "before": "# mine\nGOSUMDB=off\nGOPROXY=direct\n",
            "after": "# mine\nGOPROXY=https://p.example.com,direct\n",
        }
    ]
    assert predicted["files"][0]["before"] == {"GOPROXY": "direct", "GOSUMDB": "off"}
    assert predicted["files"][0]["after"] == {"GOPROXY": "https://p.example.com,direct", "GOSUMDB": None}


def test_a_second_run_changes_and_touches_nothing(run: Run, home: Path) -> None:
    asked = {"settings": {"GOFLAGS": ["-mod=readonly", "-ldflags=-s -w"], "GO111MODULE": True}}
    assert run(**asked)[1]["changed"]
    before = tree(home)
    status, result = run(**asked)
    assert (status, result["changed"], result["diff"]) == (0, False, [])
    assert tree(home) == before
    assert (home / ".config/go/env").read_text() == "GO111MODULE=on\nGOFLAGS=-mod=readonly '-ldflags=-s -w'\n"


def test_nothing_asked_makes_nothing(run: Run, home: Path) -> None:
    assert run()[1]["changed"] is False
    assert run(absent=["GOPROXY"])[1]["changed"] is False
    assert list(home.iterdir()) == []


def test_bad_values_are_refused_all_at_once_and_nothing_is_written(run: Run, home: Path) -> None:
    for check in (True, False):
        status, result = run(
            check=check, settings={"GOPROXY": "foo", "GOPRIVATE": "a.com, b.com", "GOFLAGS": "-mod=mod"}
        )
        assert status == 1
        assert {fault["rule"] for fault in result["faults"]} == {"missing-scheme", "blank-in-list"}
        assert "GOPRIVATE=a.com,b.com" in result["msg"]
    assert list(home.iterdir()) == []


def test_credentials_are_refused_and_never_repeated(run: Run, home: Path) -> None:
    status, result = run(settings={"GOPROXY": ["https://ci:hunter22@p.example.com", "direct"]})
    assert status == 1
    assert "hunter22" not in json.dumps(result)
    assert "netrc" in result["msg"]


def test_credentials_that_are_already_in_the_file_are_not_shown(run: Run, home: Path) -> None:
    (home / ".config" / "go").mkdir(parents=True)
    (home / ".config" / "go" / "env").write_text("GOPROXY=https://ci:hunter22@p.example.com\n")
    status, result = run(settings={"GOPROXY": "https://p.example.com"})
    assert status == 0
    assert result["changed"]
    assert "hunter22" not in json.dumps(result)


def test_what_a_newer_go_knows_can_be_allowed(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(go_env.AnsibleModule, "warn", lambda self, text: said.append(text))
    assert run(settings={"GOBRANDNEW": "1"})[0] == 1
    assert run(settings={"GOBRANDNEW": "1"}, strict=False)[0] == 0
    assert ["GOBRANDNEW" in text for text in said] == [True]
    assert (home / ".config/go/env").read_text() == "GOBRANDNEW=1\n"
    assert run(settings={"GOVERSION": "1"}, strict=False)[0] == 1


def test_a_name_cannot_be_both_set_and_absent(run: Run) -> None:
    assert run(settings={"GOPROXY": "direct"}, absent=["GOPROXY"])[0] == 1


def test_the_environment_that_wins_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "https://ci:hunter22@other.example.com")
    _status, result = run(settings={"GOPROXY": "https://p.example.com", "GOFLAGS": "-mod=mod"})
    assert [(item["name"], item["origin"]) for item in result["overridden"]] == [("GOPROXY", "process")]
    assert "hunter22" not in json.dumps(result)


def test_a_service_with_its_own_environment_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = services.Service(
        "gitlab-runner.service", "systemd", "running", os.geteuid(), 1, {"GOPROXY": "off"}, sources=("/etc/x.conf",)
    )
    monkeypatch.setattr(services, "discover", lambda names=(), runners=True, root="": ([unit], []))
    _status, result = run(settings={"GOPROXY": "https://p.example.com"}, absent=["GOSUMDB"])
    assert result["overridden"] == [
        {
            "name": "GOPROXY",
            "wanted": "https://p.example.com",
            "effective": "off",
            "origin": "process",
            "where": "its process environment (/etc/x.conf)",
            "who": "the processes of gitlab-runner.service",
        }
    ]


@pytest.mark.skipif(not GO, reason="no Go on this machine")
def test_go_itself_agrees_with_what_was_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.path.dirname(GO or "") + ":/usr/bin:/bin")
    settings = {"GOPROXY": "https://p.example.com|direct", "GOPRIVATE": "a.com", "GOFLAGS": "'-ldflags=-s -w'"}
    for check in (True, False):
        _status, result = run(check=check, settings=settings)
        assert result["read_back"] == {"go": os.path.realpath(GO or ""), "agrees": True, "reason": ""}


def fake_goroot(place: Path, version: str) -> Path:
    (place / "bin").mkdir(parents=True)
    (place / "src").mkdir()
    (place / "bin" / "go").write_text("#!/bin/sh\nexit 1\n")
    (place / "bin" / "go").chmod(0o755)
    (place / "VERSION").write_text(version + "\n")
    (place / "go.env").write_text("# shipped\nGOPROXY=https://proxy.golang.org,direct\nGOSUMDB=sum.golang.org\n")
    return place


def test_the_machine_means_every_toolchain_that_reads_go_env(run: Run, tmp_path: Path) -> None:
    new = fake_goroot(tmp_path / "new", "go1.26.1")
    old = fake_goroot(tmp_path / "old", "go1.19.8")
    cached = fake_goroot(tmp_path / "mod" / "golang.org" / "toolchain@v0.0.1-go1.26.0.linux-amd64", "go1.26.0")
    status, result = run(
        scope="machine", settings={"GOPROXY": "https://p.example.com"}, goroots=[str(new), str(old), str(cached)]
    )
    assert status == 0
    assert [item["path"] for item in result["files"]] == [str(new / "go.env")]
    assert sorted(item["path"] for item in result["left_out"]) == sorted([str(old / "go.env"), str(cached / "go.env")])
    assert (new / "go.env").read_text() == "# shipped\nGOPROXY=https://p.example.com\nGOSUMDB=sum.golang.org\n"
    assert "proxy.golang.org" in (old / "go.env").read_text()


def test_an_accounts_own_file_wins_over_the_machine_and_is_named(
    run: Run, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goroot = fake_goroot(tmp_path / "new", "go1.26.1")
    monkeypatch.setattr(accounts, "related", lambda extra_uids=(): [accounts.current()])
    run(settings={"GOPROXY": "direct"})
    _status, result = run(scope="machine", settings={"GOPROXY": "https://p.example.com"}, goroots=[str(goroot)])
    assert [(item["name"], item["origin"]) for item in result["overridden"]] == [("GOPROXY", "env-file")]
    assert result["overridden"][0]["where"].startswith(str(home / ".config/go/env"))


def test_the_last_default_of_go_cannot_be_removed(run: Run, tmp_path: Path) -> None:
    goroot = fake_goroot(tmp_path / "new", "go1.26.1")
    status, result = run(scope="machine", absent=["GOPROXY"], goroots=[str(goroot)])
    assert status == 1
    assert "https://proxy.golang.org,direct" in result["msg"]


def test_without_a_toolchain_the_machine_cannot_be_configured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find", lambda *args, **kwargs: [])
    assert run(scope="machine", settings={"GOPROXY": "direct"})[0] == 1
    assert run(scope="account", settings={"GOPROXY": "direct"})[0] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"account": "no-such-account-here"},
        {"path": "/proc/self/mounts/x"},
        {"scope": "machine", "goroots": ["/nonexistent"]},
        {"scope": "machine", "account": "root"},
    ],
)
def test_a_place_that_cannot_be_is_an_error_that_names_it(run: Run, options: dict[str, Any]) -> None:
    for check in (True, False):
        status, result = run(check=check, settings={"GOPROXY": "direct"}, **options)
        assert status == 1
        assert result["msg"]


def test_goenv_off_is_an_error_since_go_reads_no_file_then(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOENV", "off")
    status, result = run(settings={"GOPROXY": "direct"})
    assert status == 1
    assert "GOENV=off" in result["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_writes_into_a_home_with_the_accounts_rights_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chown(name, 65534, 65534)
        ci = accounts.Account("ci", 65534, 65534, name)
        monkeypatch.setattr(accounts, "lookup", lambda wanted, known=None: ci)
        assert run(account="ci", settings={"GOPROXY": "direct"})[0] == 0
        for folder, folders, names in os.walk(name):
            for item in folders + names:
                assert os.lstat(os.path.join(folder, item)).st_uid == 65534
        # A symlink to what the account may not write leads nowhere.
        victim = Path(name).parent / (os.path.basename(name) + "-victim")
        victim.write_text("GOPROXY=off\n")
        try:
            (Path(name) / ".config/go/env").unlink()
            (Path(name) / ".config/go/env").symlink_to(victim)
            assert run(account="ci", settings={"GOPROXY": "direct"})[0] == 1
            assert victim.read_text() == "GOPROXY=off\n"
        finally:
            victim.unlink()
