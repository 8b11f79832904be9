# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves of real caches: under running builds, between real file systems, killed at random moments."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time
from typing import Any

import pytest
from conftest import Lab

from ansible_collections.gofleet.cache.plugins.module_utils._host import act, find, move
from ansible_collections.gofleet.cache.tests.fixtures import mountspace

_SCAN = act.running.scan


@pytest.fixture
def quiet(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Lab:
    """The lab with its modules; no account, service or CI system of this machine is looked at."""
    monkeypatch.setenv("GOFLEET_CACHE_STATE", str(tmp_path / "state"))
    gather = find.roots.gather
    monkeypatch.setattr(find.roots, "gather", lambda *args, **more: gather(*args, **dict(more, ci_roots=False)))
    monkeypatch.setattr(find.services, "discover", lambda: ([], []))
    monkeypatch.setattr(find.accounts, "related", lambda _uids=(): [])
    # Another part of the tests, or a developer, may run Go at this moment.
    monkeypatch.setattr(act.running, "scan", lambda: act.running.Scan((), 0, True))
    lab.must("mod", "download")
    return lab


@pytest.fixture
def alone(quiet: Lab) -> Lab:
    """The same, built and vetted."""
    quiet.must("build", "-o", str(quiet.top / "out"), ".")
    quiet.run("vet", "./...")
    return quiet


def _move(lab: Lab, name: str, to: pathlib.Path) -> dict[str, Any]:
    """Moves one of the lab's caches and lets its go look there."""
    old = {"GOCACHE": lab.gocache, "GOMODCACHE": lab.modcache}[name]
    result = move.run(str(old), str(to), move.Options(False, old="move", idle="asserted"))
    lab.env[name] = str(to)
    return result


def _compiled(lab: Lab, *flags: str) -> list[str]:
    """What a build that may not use the network compiles."""
    return lab.must("build", *flags, "-v", "-o", str(lab.top / "out2"), ".", GOPROXY="off").split()


def test_a_moved_build_cache_is_as_warm_as_it_was(alone: Lab) -> None:
    assert _move(alone, "GOCACHE", alone.top / "there/build")["how"] == "rename"
    assert _compiled(alone) == []
    assert not alone.gocache.exists()
    found = alone.run("vet", "./...")
    assert found.stderr.count("self-assignment") == 12
    assert (alone.top / "out2").read_bytes() == (alone.top / "out").read_bytes()


def test_a_moved_module_cache_needs_no_network_and_only_modules_are_compiled_anew(alone: Lab) -> None:
    _compiled(alone, "-trimpath")
    _move(alone, "GOMODCACHE", alone.top / "there/mod")
    # With -trimpath no directory is in what was compiled, and all of it is taken.
    assert _compiled(alone, "-trimpath") == []
    anew = _compiled(alone)
    assert "example.com/lib" in anew
    assert not [name for name in anew if not name.startswith("example.com/") and name != "example.org/project"]
    assert "all modules verified" in alone.must("mod", "verify", GOPROXY="off")
    assert _compiled(alone) == []


def test_a_running_build_keeps_its_caches(alone: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(act.running, "scan", _SCAN)
    wait = alone.top / "wait.sh"
    wait.write_text('#!/bin/sh\ncase "$*" in *-V=full*) ;; *compile*p3*) sleep 4;; esac\nexec "$@"\n')
    wait.chmod(0o755)
    source = alone.project / "p3/p.go"
    source.write_text(source.read_text() + "\n// G is new.\nfunc G() {}\n")
    build = subprocess.Popen(
        [alone.go, "build", "-toolexec", str(wait), "-o", str(alone.top / "out3"), "."],
        cwd=alone.project,
        env=alone.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(1.0)
    tried = 0
    while build.poll() is None and tried < 3:
        for name in ("GOCACHE", "GOMODCACHE"):
            with pytest.raises(move.Failed, match=r"in use by .*\(pid \d+\)"):
                _move(alone, name, alone.top / "there")
        tried += 1
    assert tried
    assert build.stderr is not None
    assert build.wait(300) == 0, build.stderr.read()
    assert not (alone.top / "there").exists()


def test_mounts_are_neither_moved_nor_entered(tmp_path: pathlib.Path) -> None:
    code = """
        import pathlib
        from ansible_collections.gofleet.cache.plugins.module_utils._host import find, move
        from ansible_collections.gofleet.cache.tests.fixtures import synthetic
        top = pathlib.Path(sys.argv[1])
        os.environ["GOFLEET_CACHE_STATE"] = str(top / "state")
        find.accounts.related = lambda _uids=(): []
        find.services.discover = lambda: ([], [])
        move.act.running.scan = lambda: move.act.running.Scan((), 0, True)
        made = synthetic.Build(top / "cache")
        made.put(synthetic.sha("x"), b"x")
        (top / "outside").mkdir()
        (top / "outside/thesis").write_text("text")
        def go(path, to, **more):
            try:
                done = move.run(str(path), str(to), move.Options(False, old="move", idle="asserted", **more))
                return done["how"]
            except (move.Failed, find.BadRequest) as exc:
                return str(exc)
        # the new place is a mount point, and another mount of the same file system lies between
        (top / "new").mkdir()
        bind(str(top / "new"), str(top / "new"))
        assert "mount point" in go(top / "cache", top / "new"), 1
        assert go(top / "cache", top / "new/in") == "copy", go(top / "cache", top / "new/in")
        assert go(top / "new/in", top / "new/in2") == "rename", 3
        # the old place is a mount point
        (top / "volume").mkdir()
        bind(str(top / "new/in2"), str(top / "volume"))
        assert "mount point" in go(top / "volume", top / "x"), 4
        # something is mounted inside the old place
        (top / "new/in2/ab").mkdir(exist_ok=True)
        bind(str(top / "outside"), str(top / "new/in2/ab"))
        assert "is mounted inside" in go(top / "new/in2", top / "y"), 5
        subprocess.run(["umount", str(top / "new/in2/ab")], check=True)
        # too small, read-only, noexec
        (top / "small").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(top / "small")], check=True)
        assert "are free" in go(top / "new/in2", top / "small/c"), 6
        assert os.listdir(top / "small") == [], 7
        subprocess.run(["mount", "-o", "remount,ro", str(top / "small")], check=True)
        assert "read-only" in go(top / "new/in2", top / "small/c"), 8
        subprocess.run(["mount", "-o", "remount,rw,size=64m,noexec", str(top / "small")], check=True)
        done = move.run(str(top / "new/in2"), str(top / "small/c"), move.Options(False, old="move", idle="asserted"))
        assert [n for n in done["notes"] if "noexec" in n], 9
        assert (top / "outside/thesis").read_text() == "text", 10
        print("done")
        """
    assert mountspace.run(code, str(tmp_path.resolve())) == "done"


def test_a_full_disk_in_the_middle_of_a_copy_leaves_the_old_place_whole(tmp_path: pathlib.Path) -> None:
    code = """
        import pathlib
        from ansible_collections.gofleet.cache.plugins.module_utils._fs import transfer
        from ansible_collections.gofleet.cache.plugins.module_utils._host import find, move
        from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic
        top = pathlib.Path(sys.argv[1])
        os.environ["GOFLEET_CACHE_STATE"] = str(top / "state")
        find.accounts.related = lambda _uids=(): []
        find.services.discover = lambda: ([], [])
        move.act.running.scan = lambda: move.act.running.Scan((), 0, True)
        made = synthetic.Build(top / "cache")
        for number in range(40):
            made.put(synthetic.sha(str(number)), b"%d" % number * 20000)
        before = gocaches.photograph(made.path)
        (top / "small").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(top / "small")], check=True)
        transfer.space_for = lambda _fd, _need: ""
        try:
            move.run(str(made.path), str(top / "small/c"), move.Options(False, old="move", idle="asserted"))
        except move.Failed as exc:
            assert "No space left" in str(exc), exc
            assert not exc.result["changed"]
        assert gocaches.photograph(made.path) == before
        assert os.listdir(top / "small") == []
        print("done")
        """
    assert mountspace.run(code, str(tmp_path.resolve())) == "done"


_KILLS = """
import pathlib, random, time
top, seed, uid = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
child = '''
import os, sys
sys.path[:0] = sys.argv[3:]
from ansible_collections.gofleet.cache.plugins.module_utils._host import find, move
find.accounts.related = lambda _uids=(): []
find.services.discover = lambda: ([], [])
move.act.running.scan = lambda: move.act.running.Scan((), 0, True)
print("ready", flush=True)
move.run(sys.argv[1], sys.argv[2], move.Options(False, old="move", idle="asserted"))
'''
def look(path):
    found = {}
    for folder, names, files in os.walk(str(path)):
        for name in names + files:
            full = os.path.join(folder, name)
            st = os.lstat(full)
            size = 0 if os.path.isdir(full) else st.st_size
            found[os.path.relpath(full, str(path))] = (st.st_mode, st.st_uid, size, st.st_mtime_ns)
    return found
near, far = top / "near", top / "far"
near.mkdir(); far.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "none", str(far)], check=True)
os.chown(near, uid, uid); os.chown(far, uid, uid)
chance = random.Random(seed)
places = [near / "mod", far / "mod"]
os.rename(str(top / "mod"), str(places[0]))
want = look(places[0])
kills = 0
for number in range(int(sys.argv[4])):
    run = subprocess.Popen(
        [sys.executable, "-c", child, *map(str, places), *sys.path], stdout=subprocess.PIPE, start_new_session=True
    )
    run.stdout.readline()
    time.sleep(chance.random() * 0.2)
    run.kill(); run.wait()
    kills += run.returncode == -9
    until = time.monotonic() + 60
    while True:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < until, "a worker outlives its run"
        time.sleep(0.01)  # a worker ends by itself
    there = [place for place in places if place.exists()]
    assert there, "both places are gone"
    for place in there:
        assert look(place) == want, "not whole: %s" % place
    if not places[0].exists():
        places.reverse()
subprocess.run([sys.executable, "-c", child, *map(str, places), *sys.path], check=True, stdout=subprocess.DEVNULL)
assert look(places[1]) == want
assert not places[0].exists()
left = [name for place in (near, far) for name in os.listdir(place)]
assert left == ["mod"], left
print(places[1], kills)
"""


@pytest.mark.parametrize("uid", [0, 4711])
def test_a_killed_copy_between_file_systems_leaves_one_whole_module_cache(quiet: Lab, uid: int) -> None:
    """SIGKILL at random moments, forth and back; what is at a cache's name is always the whole cache."""
    top = quiet.top / "kills"
    top.mkdir()
    for folder in [top, *top.parents][:-2]:  # pytest's folders are its user's alone
        folder.chmod(folder.stat().st_mode | 0o011)
    subprocess.run(["cp", "-a", str(quiet.modcache), str(top / "mod")], check=True)
    subprocess.run(["chown", "-R", "%d:%d" % (uid, uid), str(top / "mod")], check=True)
    place, kills = mountspace.run(_KILLS, str(top), str(uid), str(uid), "16").split()
    assert int(kills) > 2
    assert os.path.basename(place) == "mod"


def test_real_go_takes_a_cache_that_was_copied(alone: Lab) -> None:
    """Both caches go to another file system and back; builds and verification need no network."""
    code = """
        import json, pathlib
        from ansible_collections.gofleet.cache.plugins.module_utils._host import find, move
        find.accounts.related = lambda _uids=(): []
        find.services.discover = lambda: ([], [])
        move.act.running.scan = lambda: move.act.running.Scan((), 0, True)
        lab = json.loads(sys.argv[1])
        far = pathlib.Path(lab["top"]) / "far"
        far.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(far)], check=True)
        env = dict(lab["env"], GOPROXY="off")
        def go(*args):
            run = {"cwd": lab["project"], "env": env, "capture_output": True, "text": True}
            done = subprocess.run([lab["go"], *args], check=False, **run)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout + done.stderr
        for name in ("GOCACHE", "GOMODCACHE"):
            old, new = env[name], str(far / name)
            assert move.run(old, new, move.Options(False, old="move", idle="asserted"))["how"] == "copy"
            env[name] = new
            if name == "GOCACHE":
                assert go("build", "-v", "-o", lab["out"], ".") == ""
        go("build", "-o", lab["out"], ".")
        assert "all modules verified" in go("mod", "verify")
        for name in ("GOCACHE", "GOMODCACHE"):
            done = move.run(env[name], lab["env"][name], move.Options(False, old="move", idle="asserted"))
            assert done["how"] == "copy"
        env = dict(lab["env"], GOPROXY="off")
        assert go("build", "-v", "-o", lab["out"], ".") == ""
        print("done")
        """
    data = {
        "top": str(alone.top),
        "env": alone.env,
        "go": alone.go,
        "project": str(alone.project),
        "out": str(alone.top / "out4"),
    }
    assert mountspace.run(code, json.dumps(data)) == "done"
    assert (alone.top / "out4").read_bytes() == (alone.top / "out").read_bytes()
