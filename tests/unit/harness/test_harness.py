# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test command itself: it must not be green where nothing ran, nor let the caller's environment in."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harness import env, runner, tree
from harness.runner import Outcome, Part, Runner


def test_nothing_of_the_callers_go_ansible_or_python_gets_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GOFLAGS", "GOPROXY", "GOENV", "ANSIBLE_CONFIG", "PYTHONPATH", "PYTHONHOME", "MOLECULE_GLOB"):
        monkeypatch.setenv(name, "/bogus")
    monkeypatch.setenv("PIP_TARGET", "/bogus")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example.com/simple")
    monkeypatch.setenv("SSL_CERT_FILE", "/cert.pem")
    environ = env.clean_environ(tmp_path / "home")
    assert "/bogus" not in environ.values()
    assert environ["PIP_INDEX_URL"] == "https://mirror.example.com/simple"
    assert environ["SSL_CERT_FILE"] == "/cert.pem"
    assert environ["HOME"] == str(tmp_path / "home")


def test_folders_of_shims_are_not_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join(["/x/.pyenv/shims", "/x/bin"]))
    folders = env.clean_environ(tmp_path)["PATH"].split(os.pathsep)
    assert folders[0] == "/x/bin"
    assert "/usr/sbin" in folders


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A caller's HOME without any pip variable."""
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "XDG_CONFIG_HOME", "VIRTUAL_ENV", "GOENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_pip_behind_a_mirror_is_kept_and_what_would_change_an_install_is_not(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    file = home / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text("[global]\nindex_url = https://a.example.com\nuser = true\n[install]\nfind-links =\n  /a\n  /b\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://b.example.com")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/ca.pem")
    assert env.caller_pip_settings() == {
        "index-url": "https://b.example.com",
        "find-links": "\n/a\n/b",
        "cert": "/ca.pem",
    }


def test_the_settings_for_pip_are_private_and_do_not_stay(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:word@b.example.com")
    file = tmp_path / "inner" / ".config" / "pip" / "pip.conf"
    with env.pip_settings(tmp_path / "inner"):
        assert file.stat().st_mode & 0o777 == 0o600
        assert "index-url = https://user:word@b.example.com" in file.read_text()
    assert not file.exists()


def test_a_broken_pip_file_is_passed_over(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / ".pip" / "pip.conf"
    file.parent.mkdir()
    file.write_text("no section\n")
    assert env.caller_pip_settings() == {}
    assert str(file) in capsys.readouterr().err


def test_the_locks_pin_every_package_with_its_hash() -> None:
    locks = sorted(env.LOCKS.glob("*.txt"))
    assert {lock.stem for lock in locks} >= {*env.CORES, *env.GO_LOCKS, "target", "importer"}
    for lock in locks:
        lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if re.match(r"[a-zA-Z0-9]", line)]
        assert lines, lock
        assert [line for line in lines if not re.match(r"[\w.\[\]-]+==\S+( ;.*)? \\$", line)] == [], lock
        assert lock.read_text(encoding="utf-8").count("--hash=sha256:") >= len(lines), lock


def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *parts: Part, jobs: int = 2) -> dict[str, Outcome]:
    monkeypatch.setattr(env, "BUILD", tmp_path / "build")
    monkeypatch.setattr(env, "ROOT", tmp_path)
    copy = tmp_path / tree.COLLECTION
    copy.mkdir(parents=True)
    return Runner(parts, tmp_path, copy, jobs).run()


def _wants(_context: runner.Context) -> Outcome:
    raise env.WantError("a moon")


def test_a_part_that_runs_nothing_has_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcomes = _run(tmp_path, monkeypatch, Part("empty", "", lambda context: Outcome()))
    assert outcomes["empty"].failed == 1


def test_what_is_left_out_is_named_and_fails_only_a_strict_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = _run(tmp_path, monkeypatch, Part("one", "", lambda context: Outcome(passed=3)), Part("two", "", _wants))
    assert runner.report(outcomes, False, 1) == 0
    printed = capsys.readouterr().out
    assert "two (all of it), for want of: a moon" in printed
    assert printed.splitlines()[-1] == "3 passed, 0 failed"
    assert runner.report(outcomes, True, 1) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 1 failed"


def test_a_part_that_crashes_fails_and_the_others_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crash = Part("crash", "", lambda context: Outcome(passed=1 // int(context.part == "other")))
    outcomes = _run(tmp_path, monkeypatch, crash, Part("fine", "", lambda context: Outcome(passed=1)))
    assert outcomes["crash"].failed == 1
    assert outcomes["fine"].passed == 1


def test_parts_that_share_a_resource_do_not_run_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    busy = threading.Lock()

    def alone(_context: runner.Context) -> Outcome:
        free = busy.acquire(blocking=False)
        time.sleep(0.05)
        if free:
            busy.release()
        return Outcome(passed=int(free), failed=int(not free))

    outcomes = _run(tmp_path, monkeypatch, *[Part(f"p{n}", "", alone, uses="one") for n in range(4)], jobs=4)
    assert [outcome.failed for outcome in outcomes.values()] == [0, 0, 0, 0]


def test_a_part_over_its_time_is_stopped_with_all_its_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    number = tmp_path / "number"

    def slow(context: runner.Context) -> Outcome:
        return context.check(["sh", "-c", f"sleep 300 & echo $! > {number}; wait"], os.environ)

    outcomes = _run(tmp_path, monkeypatch, Part("slow", "", slow, limit=2))
    assert outcomes["slow"].failed == 1
    state, until = Path("/proc", number.read_text().strip(), "stat"), time.monotonic() + 60
    with contextlib.suppress(OSError):  # it is gone
        while state.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < until
            time.sleep(0.05)


def test_the_quick_parts_come_first_then_the_longest_and_the_table_keeps_its_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []

    def run(context: runner.Context) -> Outcome:
        ran.append(context.part)
        return Outcome(passed=1)

    takes = {"long": 300, "quick": 5, "longest": 900, "quick too": 9, "short": 60}
    outcomes = _run(tmp_path, monkeypatch, *[Part(name, "", run, takes=takes[name]) for name in takes], jobs=1)
    assert ran == ["quick", "quick too", "longest", "long", "short"]
    assert list(outcomes) == list(takes)


def test_a_report_counts_each_test_and_a_skip_that_needs_something_is_a_want(tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    file.write_text(
        """<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase>
        <testcase name="c"><error/></testcase><testcase name="d"><skipped message="needs root"/></testcase>
        <testcase name="e"><skipped message="not on this system"/></testcase></testsuite></testsuites>"""
    )
    assert runner.read_report(file) == Outcome(passed=1, failed=2, skipped=2, wants=["root"])


def test_a_copy_inside_a_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(SystemExit, match="set TMPDIR"):
        tree.copy_collection(tmp_path / "below")


def test_a_tree_without_write_permission_is_removed(tmp_path: Path) -> None:
    inner = tmp_path / "work" / "mod" / "example.com@v1.0.0"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0o500)
    tree.remove_tree(tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_the_callers_proxy_is_read_from_the_env_file_as_go_reads_it(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.delenv("GOPROXY", raising=False)
    file = home / ".config" / "go" / "env"
    file.parent.mkdir(parents=True)
    file.write_text("# comment\nGOPROXY=off\n")
    env.caller_goproxy.cache_clear()
    with pytest.raises(env.WantError, match="'off'"):
        env.caller_goproxy()
    env.caller_goproxy.cache_clear()
