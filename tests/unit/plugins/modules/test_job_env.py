# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module job_env, through main()."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go import accounts
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import base, engine, prove, systemd
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv.kinds import KINDS
from ansible_collections.gofleet.cache.plugins.modules import job_env

Run = Callable[..., "tuple[int, dict[str, Any]]"]
GO = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
SETTINGS = {"GOPROXY": ["https://p.example.com", "direct"], "HTTPS_PROXY": "http://proxy.example.com:3128"}
ROOT = os.geteuid() == 0


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(check: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        arguments = dict(options, _ansible_check_mode=check, _ansible_diff=True)
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            job_env.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """A drop-in's path, of a service that is there."""
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    (folder / "ci.service").write_text("[Service]\nUser=%s\nExecStart=/bin/true\n" % accounts.current().name)
    return folder / "ci.service.d" / systemd.FILE


def place(tmp_path: Path, kind: str) -> Path:
    if kind == "systemd":
        folder = tmp_path / "etc/systemd/system"
        folder.mkdir(parents=True)
        (folder / "ci.service").write_text("[Service]\nUser=%s\n" % accounts.current().name)
        return folder / "ci.service.d" / systemd.FILE
    if kind == "environment_d":
        return tmp_path / "etc/environment.d/50-go.conf"
    return tmp_path / kind / "go.sh"


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in [folder, *folder.rglob("*")]}


def seen(result: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item for proof in result["proven"] for item in proof["variables"]}


@pytest.mark.parametrize("kind", ["systemd", "environment_d", "profile_d", "plain", "github"])
def test_check_mode_predicts_the_run_and_the_second_run_changes_nothing(run: Run, tmp_path: Path, kind: str) -> None:
    path = place(tmp_path, kind)
    asked = {"kinds": [kind], "paths": [str(path)], "settings": SETTINGS}
    if kind == "github":
        path.parent.mkdir()
    before = tree(tmp_path)
    status, predicted = run(check=True, **asked)
    assert status == 0, predicted
    assert tree(tmp_path) == before
    status, done = run(**asked)
    assert (status, done["changed"], predicted["changed"]) == (0, True, True)
    for key in ("places", "diff", "daemon_reload", "restart_services", "summary", "not_reached"):
        assert predicted[key] == done[key], key
    assert all(item["ok"] for item in seen(done).values()), done["proven"]
    assert {name: (item["wanted"], item["seen"], item["ok"]) for name, item in seen(predicted).items()} == {
        name: (item["wanted"], item["seen"], item["ok"]) for name, item in seen(done).items()
    }
    assert set(seen(done)) == {"GOPROXY", "HTTPS_PROXY", "https_proxy"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    before = tree(tmp_path)
    for check in (False, True):
        status, again = run(check=check, **asked)
        assert (status, again["changed"], again["diff"], again["restart_services"]) == (0, False, [], [])
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["systemd", "environment_d", "profile_d", "plain"])
def test_a_file_that_we_made_goes_when_nothing_is_left_in_it(run: Run, tmp_path: Path, kind: str) -> None:
    path = place(tmp_path, kind)
    where = {"kinds": [kind], "paths": [str(path)]}
    run(settings=SETTINGS, **where)
    status, predicted = run(check=True, absent=["GOPROXY", "https_proxy"], **where)
    assert path.exists()
    status, done = run(absent=["GOPROXY", "https_proxy"], **where)
    assert status == 0
    assert not path.exists()
    assert list(path.parent.iterdir()) == []
    assert predicted["places"] == done["places"]
    assert all(item["ok"] for item in seen(done).values())
    assert run(absent=["GOPROXY", "https_proxy"], **where)[1]["changed"] is False


def test_a_stronger_drop_in_is_seen_and_told(run: Run, unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(job_env.AnsibleModule, "warn", lambda self, text: said.append(text))
    unit.parent.mkdir()
    (unit.parent / "90-mine.conf").write_text("[Service]\nEnvironment=GOPROXY=off\n")
    for check in (True, False):
        status, result = run(check=check, kinds=["systemd"], paths=[str(unit)], settings=SETTINGS)
        assert status == 0
        assert not result["proven"][0]["ok"]
        assert (seen(result)["GOPROXY"]["seen"], seen(result)["GOPROXY"]["ok"]) == ("off", False)
        assert seen(result)["HTTPS_PROXY"]["ok"]
        assert seen(result)["GOPROXY"]["where"] == str(unit.parent / "90-mine.conf")
        assert any("GOPROXY='off'" in text for text in said)
        said.clear()


def test_an_environment_file_wins_and_an_unset_takes_away(run: Run, unit: Path, tmp_path: Path) -> None:
    (tmp_path / "ci.env").write_text("GOPROXY=direct\n")
    unit.parent.mkdir()
    (unit.parent / "10-a.conf").write_text(
        "[Service]\nEnvironmentFile=/ci.env\nUnsetEnvironment=HTTPS_PROXY https_proxy\n"
    )
    result = run(kinds=["systemd"], paths=[str(unit)], settings=SETTINGS)[1]
    assert [seen(result)[name]["seen"] for name in sorted(seen(result))] == ["direct", None, None]
    assert not any(item["ok"] for item in seen(result).values())


@pytest.mark.skipif(not GO, reason="no Go here")
def test_go_itself_is_asked_and_the_env_file_does_not_win(run: Run, unit: Path) -> None:
    goroot = str(Path(str(GO)).resolve().parent.parent)
    result = run(kinds=["systemd"], paths=[str(unit)], settings={"GOFLAGS": ["-mod=mod"]}, goroots=[goroot])[1]
    proof = result["proven"][0]
    assert (proof["by"], proof["ok"], seen(result)["GOFLAGS"]["seen"]) == ("go", True, "-mod=mod")


def test_nothing_asked_for_changes_nothing_and_reports(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "go.sh"
    path.write_text("export GOPROXY='https://ci:s3cret@p.example.com'\nexport AWS_SECRET='x1y2z3'\n")
    before = tree(tmp_path)
    status, result = run(kinds=["profile_d"], paths=[str(path)])
    assert (status, result["changed"], result["proven"]) == (0, False, [])
    assert result["places"][0]["after"] == {"GOPROXY": "https://***@p.example.com"}
    assert "s3cret" not in json.dumps(result)
    assert "x1y2z3" not in json.dumps(result)
    assert tree(tmp_path) == before


def test_a_broken_place_is_reported_and_does_not_keep_the_others_from_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("if\n")
    (tmp_path / "b.sh").write_text("export GOPROXY=off\n")
    status, result = run(kinds=["profile_d"], paths=[str(tmp_path / "a.sh"), str(tmp_path / "b.sh")])
    assert status == 0
    assert [item["after"] for item in result["places"]] == [{"GOPROXY": "off"}]
    assert str(tmp_path / "a.sh") in result["not_reached"][0]["why"]


def test_no_secret_that_was_there_gets_into_the_diff(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "go.sh"
    path.write_text("export GOPROXY='https://ci:s3cret@p.example.com'\nexport AWS_SECRET='x1y2z3'\n")
    result = run(kinds=["profile_d"], paths=[str(path)], settings={"GOPROXY": "direct"})[1]
    assert result["diff"][0]["before"] == "GOPROXY=https://***@p.example.com\n"
    assert "s3cret" not in json.dumps(result)
    assert "x1y2z3" not in json.dumps(result)
    assert "x1y2z3" in path.read_text()


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"GOPROXY": "https://ci:c4nary@p.example.com"}, "userinfo"),
        ({"HTTPS_PROXY": "http://ci:c4nary@p.example.com:3128"}, "userinfo"),
        ({"GIT_SSH_COMMAND": "ssh -o ProxyCommand=https://ci:c4nary@p.example.com"}, "userinfo"),
        ({"NO_PROXY": "10.0.0.*"}, "no-proxy-glob"),
        ({"GOPROXY": "foo"}, "missing-scheme"),
        ({"GOPROXY": "direct\nEVIL=1"}, "control-character"),
        ({"GIT_SSH_COMMAND": "ssh\nEVIL=1"}, "control-character"),
        ({"HOME": "/x"}, "name-process"),
        ({"GOROOT": "/x"}, "name-read-only"),
        ({"LD_PRELOAD": "/x"}, "name-unknown"),
        ({"A B": "/x"}, "name-syntax"),
        ({"NETRC": "netrc"}, "value"),
        ({"GODEBUG": "a b"}, "value"),
        ({"GOENV": "env"}, "value"),
        ({"HTTP_PROXY": "http://a.example.com:1", "http_proxy": "http://b.example.com:1"}, "proxy-spelling"),
    ],
)
def test_what_leaks_or_breaks_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, settings: dict[str, str], rule: str
) -> None:
    path = tmp_path / "go.sh"
    status, result = run(kinds=["profile_d"], paths=[str(path)], settings=settings)
    assert status == 1
    assert rule in [fault["rule"] for fault in result["faults"]]
    assert "c4nary" not in json.dumps({key: value for key, value in result.items() if key != "invocation"})
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"paths": ["/x"]}, "exactly one kind"),
        ({"kinds": ["systemd", "plain"], "paths": ["/x"]}, "exactly one kind"),
        ({"kinds": ["plain"]}, "needs paths"),
        ({"kinds": ["systemd"], "url": "https://j.example.com"}, "kind 'jenkins' alone"),
        ({"kinds": ["systemd"], "names": ["no-such-service-here"]}, "no such systemd service"),
    ],
)
def test_what_cannot_be_meant_is_said(run: Run, options: dict[str, Any], word: str) -> None:
    status, result = run(settings={"GOPROXY": "direct"}, **options)
    assert (status, word in result["msg"]) == (1, True), result


def test_no_place_is_allowed_if_it_is_asked_for(run: Run) -> None:
    options = {"kinds": ["systemd"], "names": ["no-such-service-here"], "if_none": "ignore"}
    status, result = run(settings={"GOPROXY": "direct"}, **options)
    assert (status, result["changed"], result["places"]) == (0, False, [])
    assert result["not_reached"][0]["who"] == "jobs of no-such-service-here.service"


def test_a_name_that_nothing_has_is_told_with_those_that_there_are(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[[runners]]\n  name = "docker-1"\n  executor = "docker"\n')
    options = {"kinds": ["gitlab"], "paths": [str(config)], "settings": {"GOPROXY": "direct"}}
    status, result = run(names=["docker-1", "dokcer-2"], **options)
    assert (status, [place["part"] for place in result["places"]]) == (0, ["docker-1"])
    assert [(item["who"], item["why"]) for item in result["not_reached"]] == [
        ("jobs of dokcer-2", "nothing of this name was found; there are docker-1")
    ]
    status, result = run(names=["dokcer-2"], **options)
    assert (status, "there are docker-1: check the spelling in names" in result["msg"]) == (1, True), result


def test_one_place_that_is_not_understood_keeps_all_from_being_written(run: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "a.sh", tmp_path / "b.sh"
    bad.write_text("if true; then\n")
    status, result = run(kinds=["profile_d"], paths=[str(good), str(bad)], settings={"GOPROXY": "direct"})
    assert status == 1
    assert str(bad) in result["msg"]
    assert not good.exists()


def test_a_value_is_not_run_when_it_is_proven(run: Run, tmp_path: Path) -> None:
    path, proof = tmp_path / "go.sh", tmp_path / "pwned"
    value = "ssh -o 'A=$(touch %s)' `touch %s`; touch %s" % (proof, proof, proof)
    for check in (True, False):
        status, result = run(check=check, kinds=["plain"], paths=[str(path)], settings={"GIT_SSH_COMMAND": value})
        assert status == 0
        assert seen(result)["GIT_SSH_COMMAND"]["seen"] == value
    assert not proof.exists()


def test_a_symlink_of_ones_own_is_followed_and_stays_one(run: Run, tmp_path: Path) -> None:
    real, link = tmp_path / "real.sh", tmp_path / "go.sh"
    real.write_text("# mine\nexport GOPROXY=off\n")
    link.symlink_to(real)
    status, _result = run(kinds=["profile_d"], paths=[str(link)], settings={"GOPROXY": "direct"})
    assert status == 0
    assert link.is_symlink()
    assert real.read_text() == "# mine\nexport GOPROXY='direct'\n"


@pytest.mark.skipif(not ROOT, reason="needs root to make files of others")
def test_root_does_not_follow_what_somebody_else_put_into_his_folder(run: Run, tmp_path: Path) -> None:
    theirs, secret = tmp_path / "theirs", tmp_path / "secret.sh"
    secret.write_text("export GOPROXY=off\n")
    secret.chmod(0o600)
    theirs.mkdir()
    (theirs / "go.sh").symlink_to(secret)
    os.lchown(str(theirs / "go.sh"), 65534, 65534)
    os.chown(str(theirs), 65534, 65534)
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    status, result = run(kinds=["profile_d"], paths=[str(theirs / "go.sh")], settings={"GOPROXY": "direct"})
    assert status == 1, result
    assert secret.read_text() == "export GOPROXY=off\n"


@pytest.mark.skipif(not ROOT, reason="needs root to make files of others")
def test_a_new_file_in_somebody_elses_folder_is_his(run: Run, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(str(theirs), 65534, 65534)
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    status, _result = run(kinds=["plain"], paths=[str(theirs / "go.sh")], settings={"GOPROXY": "direct"})
    assert status == 0
    assert (theirs / "go.sh").stat().st_uid == 65534


@pytest.mark.parametrize("phase", ["try", "write", "prove"])
def test_a_run_ends_after_its_time_and_says_what_it_has_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    paths = [str(tmp_path / name) for name in ("a.sh", "b.sh")]
    real, prover = engine.write, prove.Prover.prove

    def write(place: base.Place, changes: base.Changes, check: bool, *more: Any) -> engine.Edited:
        if phase == ("try" if check else "write"):
            time.sleep(1.1)
        return real(place, changes, check, *more)

    def proof(self: prove.Prover, *given: Any) -> prove.Proof:
        if phase == "prove":
            time.sleep(1.1)
        return prover(self, *given)

    monkeypatch.setattr(engine, "write", write)
    monkeypatch.setattr(prove.Prover, "prove", proof)
    status, result = run(kinds=["plain"], paths=paths, settings={"GOPROXY": "direct"}, time_limit="1s")
    assert status == 1
    assert result["msg"].startswith("time_limit: 1s are over, 1 of 2 places were ")
    written = [path for path in paths if Path(path).exists()]
    assert written == {"try": [], "write": paths[:1], "prove": paths}[phase]
    assert (result.get("written", []), result.get("changed", False)) == (written, bool(written))


@pytest.mark.parametrize("text", ["0", "soon"])
def test_a_time_limit_that_is_none_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    status, result = run(kinds=["plain"], paths=[str(tmp_path / "a")], settings=SETTINGS, time_limit=text)
    assert status == 1
    assert "time_limit" in result["msg"]
    assert list(tmp_path.glob("a")) == []


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "go.sh"
    code = (
        "import sys\n"
        "from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import base, engine\n"
        "place = base.Place('plain', sys.argv[1], '', '', '', '', '')\n"
        "engine.write(place, {sys.argv[2]: sys.argv[2]}, False)\n"
    )
    roots = [item for item in sys.path if (Path(item) / "ansible_collections").is_dir()]
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(roots), PYTHONDONTWRITEBYTECODE="1")
    names = ["GIT_N%d" % number for number in range(20)]
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name], env=environ) for name in names]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * len(names)
    assert KINDS["plain"].read(path.read_bytes(), "") == {name: name for name in names}
    assert [item.name for item in tmp_path.iterdir()] == ["go.sh"]


def test_every_key_of_the_result_is_documented(run: Run, unit: Path) -> None:
    result = run(kinds=["systemd"], paths=[str(unit)], settings=SETTINGS)[1]
    documented = yaml.safe_load(job_env.RETURN)
    assert set(result) - {"changed", "diff", "invocation", "warnings"} == set(documented)
    for key in ("places", "proven"):
        assert set(result[key][0]) == set(documented[key]["contains"])
    options = yaml.safe_load(job_env.DOCUMENTATION)["options"]
    assert options["kinds"]["choices"] == [engine.AUTO, *KINDS]


def test_automatic_places_prefer_the_runners_own_files(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    (folder / "gitlab-runner.service").write_text(
        "[Service]\nExecStart=/usr/bin/gitlab-runner run --config /etc/gitlab-runner/config.toml\n"
    )
    (folder / "buildbot-a.service").write_text("[Service]\nExecStart=/usr/bin/buildbot-worker start\n")
    (tmp_path / "etc/gitlab-runner").mkdir()
    (tmp_path / "etc/gitlab-runner/config.toml").write_text(
        '[[runners]]\n  name = "d"\n  executor = "docker"\n  token = "t"\n  [runners.docker]\n    image = "golang"\n'
    )
    request = engine.base.Request(root=str(tmp_path))
    found = engine.find(["auto"], request)
    assert [place.kind for place in found.places] == ["gitlab", "systemd"]
    assert found.places[1].service == "buildbot-a.service"
    # A drop-in of a service all whose jobs run in containers reaches nothing.
    found = engine.find(["systemd"], request)
    assert [place.service for place in found.places] == ["buildbot-a.service"]
    assert any("gitlab-runner.service" in item.who and "containers" in item.why for item in found.not_reached)
