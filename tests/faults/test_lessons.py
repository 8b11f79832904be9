# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went wrong with other cleaners and is guarded nowhere else; tests/prove/lessons.py has the whole list."""

from __future__ import annotations

import ast
import fcntl
import os
import pathlib
import re
import subprocess
import time

import pytest
import yaml
from conftest import DAY, Lab

from ansible_collections.gofleet.cache.plugins.module_utils._host import act, find, purge
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
HOUR = 3600


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else this machine builds uses none of a test's caches."""
    monkeypatch.setattr(act.running, "scan", lambda: act.running.Scan((), 0, True))


_WAIT = """#!/bin/sh
case "$*" in *-V=full*) exec "$@" ;; */compile*) : > {mark}; while [ -e {hold} ]; do sleep 0.05; done ;; esac
exec "$@"
"""


def test_a_compiler_that_waits_finds_what_it_was_promised(lab: Lab) -> None:
    """F01: go has looked everything up, and its compiler opens the files only after many purges."""
    lab.must("build", "-o", str(lab.top / "out"), ".")
    lab.age(30 * DAY)
    wait, mark, hold = (lab.top / name for name in ("wait", "mark", "hold"))
    wait.write_text(_WAIT.format(mark=mark, hold=hold))
    wait.chmod(0o755)
    hold.touch()
    (lab.project / "main.go").write_text((lab.project / "main.go").read_text() + "// changed\n")
    command = [lab.go, "build", "-toolexec", str(wait), "-o", str(lab.top / "out"), "."]
    child = subprocess.Popen(command, cwd=lab.project, env=lab.env, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 120
        while not mark.exists() and child.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert mark.exists(), "the compiler did not start"
        young = {path.name for path in lab.gocache.glob("??/*-[ad]") if time.time() - path.stat().st_mtime < HOUR}
        assert young
        for _run in range(5):
            lab.prune({"max_age": "2h", "floor": "1h", "private": []})
        assert young <= lab.entries()
    finally:
        hold.unlink()
        _out, text = child.communicate(timeout=300)
    assert child.returncode == 0, text


@pytest.mark.usefixtures("quiet")
def test_the_widest_policy_takes_nothing_but_caches(tmp_path: pathlib.Path) -> None:
    """F06, F14: what a runner keeps beside its caches, and what lies beside them in a home, however old it is."""
    top = tmp_path.resolve()
    build = synthetic.Build(top / "home/.cache/go-build")
    build.put(synthetic.sha("one"), b"1", age=90 * DAY)
    nested = synthetic.Build(top / "_work/project/.cache/go-build")
    nested.put(synthetic.sha("two"), b"2", age=90 * DAY)
    mod = synthetic.Mod(top / "home/go/pkg/mod")
    mod.add("example.com/a@v1.0.0")
    beside = [
        "_work/_actions/checkout/v4/index.js",
        "_work/_temp/runner_file_commands/set_env",
        "_work/_PipelineMapping/org/repo/PipelineFolder.json",
        "_work/_tool/node/20.1.0/x64/bin/node",
        "_work/project/project/main.go",
        "_work/project/.cache/other/ab/report-d",
        "home/.cache/pip/ab/0123-d",
        "home/.cache/thesis.txt",
        "home/go/pkg/linux_amd64/x.a",
        "home/go/bin/tool",
        "home/go/src/work/main.go",
        "home/.ssh/id_ed25519",
    ]
    for name in beside:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
        os.utime(path, (10**9, 10**9))
    before = {name: (top / name).stat() for name in beside}
    policy = {
        "caches": [{"kind": kind, "wipe": True} for kind in ("go-build", "go-mod")],
        "floor": 0,
        "idle": "asserted",
        "private": [],
    }
    # Nothing but these: a discovery would find the caches of whoever runs the tests.
    request = find.Request(paths=[str(place.path) for place in (build, nested, mod)], discover=False)
    first = purge.run(request, policy, purge.Options(False))
    assert first["evicted_entries"] > 3
    for _run in range(3):
        purge.run(request, policy, purge.Options(False))
    assert build.files() == nested.files() == []
    for name, was in before.items():
        now = (top / name).stat()
        facts = (now.st_ino, now.st_mode, now.st_mtime_ns, now.st_ctime_ns, now.st_nlink)
        assert facts == (was.st_ino, was.st_mode, was.st_mtime_ns, was.st_ctime_ns, was.st_nlink), name


def test_a_job_that_failed_half_way_does_not_make_the_rest_unneeded(lab: Lab) -> None:
    """F10: the whole job ran yesterday, today's broke off after one package; tomorrow's finds all of it."""
    lab.must("build", "-o", str(lab.top / "out"), ".")
    lab.age(20 * HOUR)
    (lab.project / "p3" / "p.go").write_text("package p3\n\nfunc F() { broken }\n")
    assert lab.run("build", "-o", str(lab.top / "out"), ".").returncode != 0
    before = lab.entries()
    for policy in ({"max_age": "1d"}, {"max_size": 1}, {"max_entries": 0}, {"wipe": True}):
        lab.prune(dict(policy, private=[]))
        assert before <= lab.entries(), policy


@pytest.mark.usefixtures("quiet")
def test_what_came_last_and_was_never_used_goes_before_what_is_old_and_in_use(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F29: arriving is not using."""
    mod = synthetic.Mod(tmp_path.resolve() / "mod")
    mod.add("example.com/first@v1.0.0")
    mod.add("example.com/later@v1.0.0")
    now = time.time() + 60 * DAY
    # Somebody reads the older one ten days before the purge: a go command reads the hash first.
    marker = mod.at("example.com/first@v1.0.0", "ziphash")
    os.utime(marker, (now - 10 * DAY, marker.stat().st_mtime))
    monkeypatch.setenv("GOFLEET_CACHE_TEST_NOW", str(int(now)))
    request = find.Request(paths=[str(mod.path)], discover=False)
    result = purge.run(request, {"max_age": "30d", "private": []}, purge.Options(False))
    assert {item["path"].partition("@")[0] for item in result["evicted"]} == {"example.com/later"}
    assert mod.tree("example.com/first@v1.0.0").is_dir()
    assert mod.at("example.com/first@v1.0.0", "zip").exists()


@pytest.mark.usefixtures("quiet")
def test_a_tree_goes_whole_or_stays_whole_however_its_files_are_dated(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F31."""
    mod = synthetic.Mod(tmp_path.resolve() / "mod")
    mod.add("example.com/a@v1.0.0")
    tree = mod.tree("example.com/a@v1.0.0")
    tree.chmod(0o755)
    for number in range(20):
        (tree / f"f{number}").write_text("x")
        os.utime(tree / f"f{number}", (10**9 * (number % 2), 10**9 * (number % 2)))
    tree.chmod(0o555)
    before = gocaches.photograph(tree)
    request = find.Request(paths=[str(mod.path)], discover=False)
    for document in ({"max_age": "1d"}, {"max_entries": 0}, {"max_size": 1}):
        assert not purge.run(request, dict(document, private=[]), purge.Options(False))["changed"]
    assert gocaches.photograph(tree, atime=False) == {k: (*v[:-1], 0) for k, v in before.items()}
    monkeypatch.setenv("GOFLEET_CACHE_TEST_NOW", str(int(time.time() + 60 * DAY)))
    assert purge.run(request, {"max_age": "30d", "private": []}, purge.Options(False))["changed"]
    assert not tree.exists()
    assert not list(mod.path.glob("example.com/*.tmp-*"))


_KILLING = ("kill", "killpg", "send_signal", "terminate", "pidfd_send_signal")
#: Where a process is killed, and that it is one of ours: the worker and its crew, who computes a part meanwhile, a go
#: that was asked for its settings, the canary's build.
_KILLERS = {
    "_fs/crew.py",
    "_fs/errand.py",
    "_fs/worker.py",
    "_go/ask.py",
    "_go/canary.py",
    "_go/files.py",
}


def test_no_job_is_ever_signalled() -> None:
    """F36: whoever wants to kill has to say here whom."""
    found = set()
    top = COLLECTION / "plugins/module_utils"
    for path in [*top.rglob("*.py"), *(COLLECTION / "plugins/modules").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in _KILLING:
                found.add(str(path.relative_to(top)) if path.is_relative_to(top) else path.name)
    assert found == _KILLERS
    for path in [*(COLLECTION / "roles").rglob("*"), *(COLLECTION / "playbooks").rglob("*")]:
        if path.suffix in (".yml", ".yaml", ".j2", ".sh"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\b(killall|pkill|kill -|fuser -k)\b", text), path


def test_a_purge_begins_with_one_agent_and_never_takes_more_than_a_fifth_of_the_fleet_at_once() -> None:
    """F39: cold caches all at once are a stampede on the module proxy."""
    plays = yaml.safe_load((COLLECTION / "playbooks/purge.yml").read_text(encoding="utf-8"))
    serials = [str(play["serial"]) for play in plays if "serial" in play]
    assert serials
    for serial in serials:
        default = re.search(r"default\(\[(.*?)\]\)", serial)
        assert default, serial
        sizes = [size.strip(" '\"") for size in default.group(1).split(",")]
        assert sizes[0] == "1"
        assert all(size.endswith("%") and int(size[:-1]) <= 20 for size in sizes[1:])


def test_go_versions_share_a_cache_and_only_what_no_one_used_goes(lab: Lab) -> None:
    """F41: an old Go's part of the cache goes by its own age, and both still build."""
    gos = [go for go in os.environ.get("GOFLEET_TEST_GOS", "").split(os.pathsep) if go]
    others = [go for go in gos if os.path.realpath(go) != os.path.realpath(lab.go)]
    if not others:
        pytest.skip("needs two Go versions in GOFLEET_TEST_GOS")
    first = lab.go
    lab.must("build", "-o", str(lab.top / "out"), ".")
    lab.age(30 * DAY)
    lab.go = others[0]
    lab.must("build", "-o", str(lab.top / "out"), ".")
    used = {path.name for path in lab.gocache.glob("??/*-[ad]") if time.time() - path.stat().st_mtime < HOUR}
    result = lab.prune({"max_age": "2h", "floor": "1h", "private": []})
    assert result["evicted_entries"] > 50
    assert used <= lab.entries()
    for go in (others[0], first):
        lab.go = go
        lab.must("build", "-o", str(lab.top / "out"), ".", GOPROXY="off")
        subprocess.run([lab.top / "out"], check=True, capture_output=True)


def test_a_linked_cache_is_cleaned_where_it_lies_and_the_link_stays(tmp_path: pathlib.Path) -> None:
    """F23: what was freed is what has gone, not the link."""
    build = synthetic.Build(tmp_path.resolve() / "volume/go-build")
    build.put(synthetic.sha("one"), b"1" * 9000, age=90 * DAY)
    link = tmp_path.resolve() / "cache"
    link.symlink_to(build.path)
    before = sum(path.lstat().st_blocks * 512 for path in build.path.glob("??/*"))
    request = find.Request(paths=[str(link)], discover=False)
    result = purge.run(request, {"max_age": "30d"}, purge.Options(False))
    assert link.is_symlink()
    assert build.files() == []
    assert result["freed_bytes"] == before > 0


@pytest.mark.usefixtures("quiet")
def test_a_download_that_outlasts_every_age_keeps_its_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F01: Go holds the version's lock as long as it downloads or extracts; afterwards what it left goes."""
    mod = synthetic.Mod(tmp_path.resolve() / "mod")
    mod.add("example.com/a@v1.0.0", tree=False)
    mod.add("example.com/b@v1.0.0")
    zipped = mod.at("example.com/a@v1.0.0", "zip").with_name("v1.0.0.zip123456.tmp")
    zipped.write_bytes(b"half")
    tree = mod.path / "example.com/a@v1.0.0.tmp-123"
    tree.mkdir()
    monkeypatch.setenv("GOFLEET_CACHE_TEST_NOW", str(int(time.time() + 90 * DAY)))
    request = find.Request(paths=[str(mod.path)], discover=False)
    policy = {"max_age": "80d", "private": []}
    with open(mod.at("example.com/a@v1.0.0", "lock"), "rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        result = purge.run(request, policy, purge.Options(False))
        assert zipped.exists()
        assert tree.exists()
        assert "locked" in {item["reason"] for item in result["left_out"]}
    purge.run(request, policy, purge.Options(False))
    assert not zipped.exists()
    assert not tree.exists()
