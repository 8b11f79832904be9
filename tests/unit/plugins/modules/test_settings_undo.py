# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import os
import pathlib
import stat
import subprocess
import sys
from types import ModuleType
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs
from ansible_collections.gofleet.cache.plugins.module_utils._journal import place
from ansible_collections.gofleet.cache.plugins.modules import (
    git_access,
    go_env,
    goauth_entry,
    job_env,
    netrc_entry,
    settings_undo,
)

Call = Callable[..., "tuple[int, dict[str, Any]]"]
CANARY = "canary-Pa55word"


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv(place.STATE, str(tmp_path / "state"))
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CONFIG_HOME", "GOENV", "GOPROXY", "GOFLAGS"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def call(home: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def work(module: ModuleType, check: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        arguments = dict(options, _ansible_check_mode=check, _ansible_diff=True)
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            module.main()
        text = capsys.readouterr().out
        assert CANARY not in text
        return int(ended.value.code or 0), json.loads(text)

    return work


def write(call: Call, run: str | None = None, absent: Any = (), **settings: str) -> None:
    options = {"run": run} if run else {}
    status, result = call(go_env, settings=settings, absent=list(absent), read_back=False, **options)
    assert status == 0, result


@pytest.fixture
def env(home: pathlib.Path) -> pathlib.Path:
    file = home / ".config/go/env"
    file.parent.mkdir(parents=True)
    file.write_text("# ours\nGOPROXY=direct\nGOSUMDB=off\n", encoding="utf-8")
    return file


def test_check_mode_tells_what_the_run_does_and_the_file_is_byte_for_byte_as_before(
    call: Call, env: pathlib.Path
) -> None:
    before = env.read_bytes()
    write(call, absent=["GOSUMDB"], GOPROXY="https://p.example.com", GOFLAGS="-mod=readonly")
    edited = env.read_bytes()
    predicted = call(settings_undo, check=True)
    assert env.read_bytes() == edited
    assert call(settings_undo) == predicted
    assert predicted[1]["changed"]
    assert predicted[1]["files"][0]["after"] == {"GOFLAGS": None, "GOPROXY": "direct", "GOSUMDB": "off"}
    assert predicted[1]["diff"][0]["after"] == "GOPROXY=direct\nGOSUMDB=off\n"
    assert env.read_bytes() == before
    assert call(settings_undo)[1]["changed"] is False


def test_the_newest_run_goes_first_and_all_brings_back_the_beginning(call: Call, env: pathlib.Path) -> None:
    before = env.read_bytes()
    for number in range(4):
        write(call, run=f"run-{number}", GOPROXY=f"https://p{number}.example.com")
    assert call(settings_undo)[1]["runs"] == ["run-3"]
    assert b"https://p2.example.com" in env.read_bytes()
    result = call(settings_undo, run="all")[1]
    assert (result["runs"], result["remaining"]) == (["run-2", "run-1", "run-0"], [])
    assert env.read_bytes() == before


def test_what_was_changed_since_stays_and_is_named(call: Call, env: pathlib.Path) -> None:
    write(call, run="one", GOPROXY="https://p.example.com", GOFLAGS="-mod=readonly")
    env.write_text(env.read_text(encoding="utf-8").replace("p.example.com", "people.example.com"), encoding="utf-8")
    result = call(settings_undo, run="one")[1]
    assert "GOPROXY=https://people.example.com" in env.read_text(encoding="utf-8")
    assert "GOFLAGS" not in env.read_text(encoding="utf-8")
    reasons = [(item["name"], item["reason"]) for item in result["left_out"]]
    assert reasons == [("GOPROXY", "it was changed since")]


def test_an_older_run_does_not_undo_what_a_newer_one_wrote(call: Call, env: pathlib.Path) -> None:
    write(call, run="old", GOPROXY="https://a.example.com", GOFLAGS="-mod=mod")
    write(call, run="new", GOPROXY="https://b.example.com")
    call(settings_undo, run="old")
    assert "GOPROXY=https://b.example.com" in env.read_text(encoding="utf-8")
    assert "GOFLAGS" not in env.read_text(encoding="utf-8")


def test_what_an_older_run_left_for_a_newer_one_comes_back_after_that(call: Call, env: pathlib.Path) -> None:
    before = env.read_bytes()
    write(call, run="old", GOPROXY="https://a.example.com", GOFLAGS="-mod=mod")
    write(call, run="new", GOPROXY="https://b.example.com")
    result = call(settings_undo, run="old")[1]
    assert [(item["name"], "newer run" in item["reason"]) for item in result["left_out"]] == [("GOPROXY", True)]
    assert result["remaining"] == ["new", "old"]
    assert call(settings_undo, run="old")[1]["changed"] is False
    call(settings_undo, run="all")
    assert env.read_bytes() == before


def test_a_label_is_idempotent_and_an_unknown_one_is_refused(call: Call, env: pathlib.Path) -> None:
    write(call, run="one", GOPROXY="https://a.example.com")
    assert call(settings_undo, run="one")[1]["changed"]
    status, result = call(settings_undo, run="one")
    assert (status, result["changed"], result["runs"]) == (0, False, [])
    status, result = call(settings_undo, run="another")
    assert status == 1
    assert "'another'" in result["msg"]
    assert call(settings_undo, run="no label")[0] == 1


def test_nothing_was_edited_is_no_failure(call: Call) -> None:
    status, result = call(settings_undo)
    assert (status, result["changed"], result["runs"], result["files"]) == (0, False, [], [])


def test_an_old_value_with_credentials_is_not_kept_and_that_is_told(
    call: Call, env: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    env.write_text(f"GOPROXY=https://ci:{CANARY}@p.example.com\nGOSUMDB=off\n", encoding="utf-8")
    write(call, run="one", absent=["GOSUMDB"], GOPROXY="https://p.example.com")
    for path in (tmp_path / "state").rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes()
    result = call(settings_undo, run="one")[1]
    assert env.read_text(encoding="utf-8") == "GOPROXY=https://p.example.com\nGOSUMDB=off\n"
    assert [item["name"] for item in result["left_out"]] == ["GOPROXY"]


def test_two_edits_of_one_file_under_one_label_are_one(call: Call, env: pathlib.Path) -> None:
    before = env.read_bytes()
    write(call, run="one", GOPROXY="https://a.example.com")
    write(call, run="one", GOPROXY="https://b.example.com", GOFLAGS="-v")
    result = call(settings_undo, run="one")[1]
    assert len(result["files"]) == 1
    assert env.read_bytes() == before


def test_a_file_that_cannot_be_written_fails_says_why_and_stays_to_be_taken_back(
    call: Call, env: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = tmp_path / "other"
    write(call, run="one", GOPROXY="https://a.example.com")
    call(go_env, path=str(other), settings={"GOFLAGS": "-v"}, run="one", read_back=False)
    other.unlink()
    other.mkdir()
    status, result = call(settings_undo, run="one")
    assert status == 1
    assert str(other) in result["msg"]
    assert result["changed"]
    assert result["remaining"] == ["one"]
    other.rmdir()
    other.write_text("GOFLAGS=-v\n", encoding="utf-8")
    assert call(settings_undo, run="one")[0] == 0
    assert other.read_text(encoding="utf-8") == ""


@pytest.mark.parametrize(("kind", "text"), [("plain", "A=1\nGOPROXY=off\n"), ("environment_d", '# x\nGOPROXY="off"\n')])
def test_places_of_jobs_are_put_back_too(call: Call, tmp_path: pathlib.Path, kind: str, text: str) -> None:
    folder = tmp_path / "etc" / "environment.d"
    folder.mkdir(parents=True)
    file = folder / "50-go.conf"
    file.write_text(text, encoding="utf-8")
    asked = {"settings": {"GOPROXY": "https://p.example.com", "GOFLAGS": "-v"}, "kinds": [kind], "paths": [str(file)]}
    assert call(job_env, read_back=False, run="one", **asked)[1]["changed"]
    predicted = call(settings_undo, check=True)
    assert call(settings_undo) == predicted
    assert file.read_text(encoding="utf-8") == text


def test_a_file_that_was_made_for_it_goes_again(call: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "etc/profile.d").mkdir(parents=True)
    file = tmp_path / "etc/profile.d/go.sh"
    asked = {"settings": {"GOPROXY": "https://p.example.com"}, "kinds": ["profile_d"], "paths": [str(file)]}
    call(job_env, read_back=False, **asked)
    assert file.exists()
    call(settings_undo)
    assert not file.exists()


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def test_what_git_was_given_goes_and_what_was_taken_from_it_comes_back(call: Call, home: pathlib.Path) -> None:
    config, hosts = home / ".gitconfig", home / ".ssh/known_hosts"
    config.write_text(
        f"# mine\n[http]\n\tproxy = http://ci:{CANARY}@old.example.com\n[user]\n\tname = me\n", encoding="utf-8"
    )
    hosts.parent.mkdir(mode=0o700)
    hosts.write_text(f"git.example.com {KEY}\nother.example.com {KEY} mine\n", encoding="utf-8")
    asked = {
        "instead_of": [{"prefix": "https://a.example.com/", "use": "ssh://git@a.example.com/"}],
        "known_hosts": [
            {"host": "a.example.com", "key": KEY},
            {"host": "git.example.com", "key": KEY, "state": "absent"},
        ],
        "http_proxy": "http://new.example.com:3128",
        "gitconfig": str(config),
        "known_hosts_file": str(hosts),
    }
    assert call(git_access, run="one", **asked)[1]["changed"]
    predicted = call(settings_undo, check=True)
    assert "a.example.com" in config.read_text(encoding="utf-8")
    assert call(settings_undo) == predicted
    assert predicted[1]["changed"]
    text = config.read_text(encoding="utf-8")
    assert text.startswith("# mine\n")
    assert "name = me" in text
    assert "example.com" not in text, "neither ours, nor an old login that was not kept"
    assert [item["name"] for item in predicted[1]["left_out"]] == ["http.proxy = http://***@old.example.com"]
    assert sorted(hosts.read_text(encoding="utf-8").splitlines()) == [
        f"git.example.com {KEY}",
        f"other.example.com {KEY} mine",
    ]
    assert call(settings_undo, run="one")[1]["changed"] is False


def test_a_line_that_somebody_removed_meanwhile_is_not_missed(call: Call, home: pathlib.Path) -> None:
    hosts = home / "known_hosts"
    call(git_access, known_hosts=[{"host": "a.example.com", "key": KEY}], known_hosts_file=str(hosts))
    hosts.write_text("", encoding="utf-8")
    result = call(settings_undo)[1]
    assert (result["changed"], result["left_out"]) == (False, [])


def test_every_result_has_every_documented_key(call: Call, env: pathlib.Path) -> None:
    documented = set(yaml.safe_load(settings_undo.RETURN))
    for result in (call(settings_undo)[1], call(settings_undo, check=True)[1]):
        assert set(result) - {"changed", "diff", "invocation", "warnings"} == documented


@pytest.mark.parametrize("kind", ["github", "plain"])
def test_the_value_of_a_variable_that_is_not_ours_is_neither_shown_nor_kept(
    call: Call, tmp_path: pathlib.Path, kind: str
) -> None:
    file = tmp_path / "runner/.env"
    file.parent.mkdir()
    file.write_text("DEPLOY_AUTH=%s\nGOPROXY=off\n" % CANARY, encoding="utf-8")
    options = {"kinds": [kind], "paths": [str(file)], "absent": ["DEPLOY_AUTH"]}
    for check in (True, False):
        result = call(job_env, check=check, settings={"GOPROXY": "direct"}, **options)[1]
        assert result["places"][0]["before"] == {"DEPLOY_AUTH": "***", "GOPROXY": "off"}
    assert file.read_text(encoding="utf-8") == "GOPROXY=direct\n"
    assert not any(CANARY in path.read_text("utf-8") for path in (tmp_path / "state").rglob("*") if path.is_file())
    result = call(settings_undo)[1]
    assert [item["name"] for item in result["left_out"]] == ["DEPLOY_AUTH"]
    assert file.read_text(encoding="utf-8") == "GOPROXY=off\n"


PASSWORD = CANARY + "-2"


def entry(call: Call, run: str = "one", machine: str = "p.example.com:8443", **options: Any) -> dict[str, Any]:
    asked = {"machine": machine, "login": "ci", "password": CANARY, "read_back": False, **options}
    if options.get("state") == "absent":
        asked = {name: value for name, value in asked.items() if name not in ("login", "password")}
    status, result = call(netrc_entry, run=run, **asked)
    assert status == 0, result
    return result


def header(call: Call, run: str = "one", url: str = "https://p.example.com/a", **options: Any) -> dict[str, Any]:
    asked = {"url": url, "read_back": False, **options}
    status, result = call(goauth_entry, run=run, **asked)
    assert status == 0, result
    return result


def no_secret_is_kept(folder: pathlib.Path) -> None:
    for path in folder.rglob("*"):
        data = b"" if path.is_dir() else path.read_bytes()
        for secret in (CANARY.encode(), base64.b64encode(f"ci:{CANARY}".encode())):
            assert secret not in data, path
    record = folder / "settings.jsonl"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600


def test_credentials_that_were_added_go_again_and_no_secret_is_kept_for_it(
    call: Call, home: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = home / ".netrc"
    file.write_text("# mine\nmachine other.example.com login me password other-Pa55\n", encoding="utf-8")
    file.chmod(0o600)
    before = file.read_bytes()
    entry(call)
    no_secret_is_kept(tmp_path / "state")
    predicted = call(settings_undo, check=True)
    assert CANARY.encode() in file.read_bytes()
    assert call(settings_undo) == predicted
    assert file.read_bytes() == before
    assert predicted[1]["files"] == [
        {
            "kind": "netrc",
            "path": str(file),
            "part": "",
            "before": {"p.example.com login ci": "***", "p.example.com:8443 login ci": "***"},
            "after": {"p.example.com login ci": None, "p.example.com:8443 login ci": None},
        }
    ]
    assert (predicted[1]["left_out"], predicted[1]["remaining"]) == ([], [])
    assert call(settings_undo, run="one")[1]["changed"] is False


def test_credentials_that_somebody_changed_since_stay(call: Call, home: pathlib.Path) -> None:
    file = home / ".netrc"
    entry(call, both_forms=False)
    text = file.read_text(encoding="utf-8").replace(CANARY, "by-hand")
    file.write_text(text, encoding="utf-8")
    result = call(settings_undo)[1]
    assert result["changed"] is False
    assert [(item["name"], item["reason"]) for item in result["left_out"]] == [
        ("p.example.com:8443 login ci", "it was changed since")
    ]
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("change", ["changed", "replaced", "removed"])
def test_credentials_that_a_run_changed_or_removed_stay_as_they_are_and_that_is_told(
    call: Call, home: pathlib.Path, tmp_path: pathlib.Path, change: str
) -> None:
    file = home / ".netrc"
    file.write_text(f"machine p.example.com login ci password {CANARY}\n", encoding="utf-8")
    options: dict[str, Any] = {
        "changed": {"password": PASSWORD},
        "replaced": {"login": "bot", "password": PASSWORD},
        "removed": {"state": "absent"},
    }[change]
    assert entry(call, machine="p.example.com", **options)["changed"]
    no_secret_is_kept(tmp_path / "state")
    left = file.read_bytes()
    status, result = call(settings_undo)
    assert (status, result["changed"], result["files"]) == (0, False, [])
    assert file.read_bytes() == left, "what took the old one's place stays: without it there would be none"
    assert result["left_out"]
    for item in result["left_out"]:
        assert "no old secret is kept; set them anew with netrc_entry" in item["reason"]
    assert "p.example.com login ci" in [item["name"] for item in result["left_out"]]


def test_a_second_login_of_a_host_goes_again_and_the_first_stays(call: Call, home: pathlib.Path) -> None:
    file = home / ".netrc"
    file.write_text(f"machine p.example.com login ci password {CANARY}\n", encoding="utf-8")
    before = file.read_bytes()
    entry(call, machine="p.example.com", login="bot", password=PASSWORD, exclusive=False)
    assert call(settings_undo)[1]["changed"]
    assert file.read_bytes() == before


def test_several_runs_on_one_entry_are_taken_back_to_the_beginning(call: Call, home: pathlib.Path) -> None:
    entry(call, run="one")
    entry(call, run="two", password=PASSWORD)
    result = call(settings_undo, run="one")[1]
    assert {item["reason"] for item in result["left_out"]} == {"a newer run changed it, too; take that one back first"}
    assert call(settings_undo, run="all")[1]["changed"]
    assert (home / ".netrc").read_bytes() == b""


def test_a_goauth_header_goes_again_and_one_from_a_file_comes_back(
    call: Call, home: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = home / ".config/go/goauth.sh"
    header(call, run="zero", token_file="/run/secrets/token")
    before = file.read_bytes()
    header(call, run="one", login="ci", token=CANARY)
    header(call, run="one", url="https://q.example.com", header="Private-TOKEN", token=CANARY)
    no_secret_is_kept(tmp_path / "state")
    predicted = call(settings_undo, check=True)
    assert call(settings_undo) == predicted
    assert file.read_bytes() == before
    row = predicted[1]["files"][0]
    assert (row["kind"], row["before"], row["after"]) == (
        "goauth",
        {"https://p.example.com/a Authorization": "***", "https://q.example.com Private-Token": "***"},
        {
            "https://p.example.com/a Authorization": "bearer *** from file /run/secrets/token",
            "https://q.example.com Private-Token": None,
        },
    )
    assert predicted[1]["left_out"] == []


def test_a_stored_goauth_secret_that_was_replaced_or_removed_does_not_come_back(call: Call, home: pathlib.Path) -> None:
    header(call, run="zero", token=CANARY)
    header(call, run="one", header="X-Key", token=PASSWORD)
    left = (home / ".config/go/goauth.sh").read_bytes()
    result = call(settings_undo, run="one")[1]
    assert result["changed"] is False
    assert (home / ".config/go/goauth.sh").read_bytes() == left
    assert sorted(item["name"] for item in result["left_out"]) == [
        "https://p.example.com/a Authorization",
        "https://p.example.com/a X-Key",
    ]
    assert "goauth_entry" in result["left_out"][0]["reason"]


def test_in_check_mode_no_credentials_are_noted(call: Call, home: pathlib.Path, tmp_path: pathlib.Path) -> None:
    call(netrc_entry, check=True, machine="p.example.com", login="ci", password=CANARY, read_back=False)
    call(goauth_entry, check=True, url="https://p.example.com", token=CANARY, read_back=False)
    assert not (tmp_path / "state").exists()
    assert call(netrc_entry, run="all", machine="p.example.com", login="ci", password=CANARY)[0] == 1
    assert not (home / ".netrc").exists(), "what is no label is refused before anything is written"


@pytest.mark.parametrize("place_of", ["file", "folder"])
def test_a_file_that_belongs_to_somebody_else_by_now_is_refused(
    call: Call, env: pathlib.Path, monkeypatch: pytest.MonkeyPatch, place_of: str
) -> None:
    write(call, run="one", GOPROXY="https://p.example.com")
    edited = env.read_bytes()
    real = dirs.lstat_or_none
    stranger = str(env if place_of == "file" else env.parent)

    def lstat(path: str, fd: int | None = None) -> Any:
        found = real(path) if fd is None else real(path, fd)
        if fd is None and path == stranger and found is not None:
            return os.stat_result([*found[:4], 4711, *found[5:10]])
        return found

    monkeypatch.setattr(dirs, "lstat_or_none", lstat)
    status, result = call(settings_undo)
    assert status == 1
    assert "4711" in result["msg"]
    assert str(env) in result["msg"]
    assert (result["changed"], result["remaining"]) == (False, ["one"])
    assert env.read_bytes() == edited
    monkeypatch.undo()


def test_what_wrote_to_no_place_of_jobs_does_not_load_their_kinds() -> None:
    code = (
        "import sys\n"
        "from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import undo\n"
        "sys.exit(any(name.endswith(('.gitlab', '.jenkins', '.engine')) for name in sys.modules))\n"
    )
    roots = [item for item in sys.path if (pathlib.Path(item) / "ansible_collections").is_dir()]
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(roots), PYTHONDONTWRITEBYTECODE="1")
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == 0
