# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional, Set

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict as core
from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_mod import evict
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, goproxy, synthetic

A, B, C = "example.com/Azure/a@v1.0.0", "example.com/b@v1.0.0", "example.com/b@v1.1.0"
DAY = synthetic.DAY
WIPE: Dict[str, object] = {"wipe": True}
BUSY = core.Activity(((4711, 1, "gopls"),), True)


class Killed(BaseException):
    """Nothing of this process runs after this."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evict, "_SETTLE", 0.0)


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> synthetic.Mod:
    made = synthetic.Mod(tmp_path.resolve() / "mod")
    for label in (A, B, C):
        made.add(label)
    return made


def later_plan(cache: synthetic.Mod, document: Optional[Dict[str, object]] = None, **more: Any) -> planner.Plan:
    """The plan of a year later: module caches are never dated back, since the arrival shows in the ctime."""
    return synthetic.make_plan(cache.survey(), WIPE if document is None else document, later=400 * DAY, **more)


def purge(cache: synthetic.Mod, work: Optional[core.Job] = None, **more: Any) -> core.Outcome:
    return synthetic.apply(cache.path, later_plan(cache, **more), work)


def skipped(out: core.Outcome) -> Dict[str, int]:
    return {reason: cell[0] for reason, cell in out.skipped.items()}


def parts(cache: synthetic.Mod, label: str) -> Set[str]:
    """What is there of a version."""
    names = ("info", "mod", "zip", "ziphash", "lock", "partial")
    found = {part for part in names if cache.at(label, part).exists()}
    return found | ({"tree"} if cache.tree(label).exists() else set())


KEPT = {"info", "mod", "lock"}


def test_one_half_in_a_run_the_other_in_a_later_one(cache: synthetic.Mod) -> None:
    plan = later_plan(cache)
    assert plan.caches[0].pending["wipe"][0] == 3
    out = synthetic.apply(cache.path, plan)
    assert (out.evicted, out.freed, out.skipped, out.error) == (3, plan.bytes, {}, "")
    for label in (A, B, C):
        assert parts(cache, label) == KEPT | {"zip", "ziphash"}
    second = later_plan(cache)
    assert second.caches[0].pending == {}
    out = synthetic.apply(cache.path, second)
    assert (out.evicted, out.freed) == (3, second.bytes)
    for label in (A, B, C):
        assert parts(cache, label) == KEPT
    assert later_plan(cache).entries == 0
    assert (cache.at(B, "info").parent / "list").read_text(encoding="ascii") == "v1.0.0\nv1.1.0\n"
    assert (cache.path / "cache/lock").exists()


def test_bytes_given_back_are_those_that_du_misses(cache: synthetic.Mod) -> None:
    def du() -> int:
        done = subprocess.run(["du", "-s", "-B1", str(cache.path)], capture_output=True, text=True, check=True)
        return int(done.stdout.split()[0])

    before = du()
    out = purge(cache)
    assert before - du() == out.freed > 0


def test_only_what_is_named_goes(cache: synthetic.Mod) -> None:
    document = {"caches": [{"kind": "go-mod", "modules": [B]}]}
    purge(cache, document=document)
    assert "tree" not in parts(cache, B)
    assert "tree" in parts(cache, C)
    assert "tree" in parts(cache, A)


def test_the_steps_come_in_the_order_that_gos_own_protocol_needs(cache: synthetic.Mod) -> None:
    """The scan comes after the mark and before the rename; the index goes before the mark does."""
    seen: List[Any] = []

    def look(name: str) -> None:
        seen.append((name, parts(cache, B) & {"tree", "partial"}, _leftovers(cache)))

    def scan() -> core.Activity:
        look("scan")
        return synthetic.nobody()

    def forget(tree: str) -> None:
        look("forget " + tree)

    purge(
        cache,
        synthetic.job(step=look, scan=scan, forget=forget),
        document={"caches": [{"kind": "go-mod", "modules": [B]}]},
    )
    both = {"tree", "partial"}
    assert [item for item in seen if item[0] not in ("ziphash", "zip")] == [
        ("partial", both, 0),
        ("scan", both, 0),
        ("scanned", both, 0),
        ("renamed", {"partial"}, 1),
        ("forget example.com/b@v1.0.0", {"partial"}, 1),
        ("unmarked", set(), 1),
        ("deleted", set(), 0),
    ]


def _leftovers(cache: synthetic.Mod) -> int:
    return sum(1 for _path in cache.path.rglob("*.tmp-*"))


def test_the_lock_is_held_while_a_tree_goes_and_never_unlinked(cache: synthetic.Mod) -> None:
    inode = cache.at(B, "lock").stat().st_ino
    held: Dict[str, bool] = {}

    def step(name: str) -> None:
        fd = os.open(str(cache.at(B, "lock")), os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            held[name] = False
        except BlockingIOError:
            held[name] = True
        finally:
            os.close(fd)

    purge(cache, synthetic.job(step=step), document={"caches": [{"kind": "go-mod", "modules": [B]}]})
    assert cache.at(B, "lock").stat().st_ino == inode
    assert [held[name] for name in ("partial", "scanned", "renamed", "unmarked", "deleted")] == [True] * 4 + [False]


def test_a_locked_version_is_skipped_at_once(cache: synthetic.Mod) -> None:
    """F33."""
    fd = os.open(str(cache.at(B, "lock")), os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        begun = time.monotonic()
        out = purge(cache)
        assert time.monotonic() - begun < 30
        assert skipped(out) == {core.LOCKED: 1}
        assert "tree" in parts(cache, B)
        assert "partial" not in parts(cache, B)
        assert out.evicted == 2
    finally:
        os.close(fd)


def test_a_running_tool_makes_it_back_off_without_a_trace(cache: synthetic.Mod) -> None:
    before = gocaches.photograph(cache.path, atime=False)
    out = purge(cache, synthetic.job(scan=lambda: BUSY))
    assert skipped(out) == {core.BUSY: 3}
    assert out.samples[0]["detail"] == "gopls (pid 4711)"
    after = gocaches.photograph(cache.path, atime=False)
    folders = [name for name in before if before[name] != after.get(name)]
    assert set(before) == set(after)
    assert all(name.endswith("/@v") for name in folders)  # where the marks were made and taken away


def test_after_three_busy_batches_the_rest_is_left(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evict, "_BATCH", 1)
    cache = synthetic.Mod(tmp_path.resolve() / "mod")
    for number in range(6):
        cache.add("example.com/m@v1.%d.0" % number)
    scans: List[int] = []

    def scan() -> core.Activity:
        scans.append(1)
        return BUSY

    assert skipped(purge(cache, synthetic.job(scan=scan))) == {core.BUSY: 6}
    assert len(scans) == 3


# --- the guard of the zip


@pytest.mark.parametrize(
    "damage",
    [
        lambda cache: gocaches.flip(cache.at(B, "zip"), cache.at(B, "zip").stat().st_size // 2),
        lambda cache: os.truncate(str(cache.at(B, "zip")), cache.at(B, "zip").stat().st_size - 1),
        lambda cache: os.truncate(str(cache.at(B, "zip")), 0),
        lambda cache: cache.at(B, "zip").write_bytes(b"no zip at all"),
        lambda cache: cache.at(B, "zip").unlink(),
        lambda cache: cache.at(B, "ziphash").write_text("h1:" + "A" * 43 + "=", encoding="ascii"),
        lambda cache: cache.at(B, "ziphash").write_bytes(b"\xff" * 47),
        lambda cache: cache.at(B, "zip").write_bytes(goproxy.zip_bytes(goproxy.make_module("example.com/b", "v1.0.1"))),
    ],
)
def test_a_tree_whose_zip_is_not_sound_is_all_there_is(
    cache: synthetic.Mod, damage: Callable[[synthetic.Mod], None]
) -> None:
    plan = later_plan(cache)
    damage(cache)
    out = synthetic.apply(cache.path, plan)
    assert skipped(out) == {core.UNSOUND: 1}
    assert "tree" in parts(cache, B)
    assert "partial" not in parts(cache, B)
    assert out.evicted == 2


def test_a_zip_that_is_damaged_before_the_survey_keeps_its_tree_too(cache: synthetic.Mod) -> None:
    gocaches.flip(cache.at(B, "zip"), 60)
    assert skipped(purge(cache)) == {core.UNSOUND: 1}
    assert "tree" in parts(cache, B)


def test_the_guard_leaves_the_access_times_alone(cache: synthetic.Mod) -> None:
    gocaches.age_access(cache.path)
    times = {part: cache.at(B, part).stat().st_atime_ns for part in ("zip", "ziphash")}
    purge(cache, synthetic.job(scan=lambda: BUSY))
    assert {part: cache.at(B, part).stat().st_atime_ns for part in ("zip", "ziphash")} == times


def test_a_private_tree_without_a_zip_is_never_evicted_by_a_wipe(cache: synthetic.Mod) -> None:
    label = "git.corp.example/x@v1.0.0"
    cache.add(label, packed=False)
    for private in (None, ("git.corp.example",)):
        purge(cache, private=private)
        assert "tree" in parts(cache, label)
    purge(cache, document={"caches": [{"kind": "go-mod", "modules": [label]}]}, private=None)
    assert parts(cache, label) == KEPT | {"ziphash"}


# --- the last look


def test_a_version_that_was_read_since_is_kept(cache: synthetic.Mod) -> None:
    """F07: what a go command reads first is the .ziphash."""
    plan = later_plan(cache)
    marker = cache.at(B, "ziphash")
    os.utime(str(marker), ns=(time.time_ns() + 10**9, marker.stat().st_mtime_ns))
    out = synthetic.apply(cache.path, plan)
    assert skipped(out) == {core.USED: 1}
    assert parts(cache, B) == KEPT | {"tree", "zip", "ziphash"}


def test_a_version_that_is_read_while_it_is_marked_is_kept(cache: synthetic.Mod) -> None:
    marker = cache.at(B, "ziphash")

    def step(name: str) -> None:
        if name == "scanned":
            os.utime(str(marker), ns=(time.time_ns() + 10**9, marker.stat().st_mtime_ns))

    assert skipped(purge(cache, synthetic.job(step=step))) == {core.USED: 1}
    assert parts(cache, B) == KEPT | {"tree", "zip", "ziphash"}


def test_a_tree_that_was_extracted_anew_is_another_one(cache: synthetic.Mod, tmp_path: pathlib.Path) -> None:
    plan = later_plan(cache)
    cache.tree(B).chmod(0o755)  # or a plain user may not move it to another folder
    cache.tree(B).rename(tmp_path / "old")
    cache.extract(B)
    assert skipped(synthetic.apply(cache.path, plan)) == {core.CHANGED: 1}
    assert "tree" in parts(cache, B)


def test_a_tree_that_is_gone_is_nobodys_eviction(cache: synthetic.Mod, tmp_path: pathlib.Path) -> None:
    """F17."""
    plan = later_plan(cache)
    cache.tree(B).chmod(0o755)  # or a plain user may not move it to another folder
    cache.tree(B).rename(tmp_path / "old")
    out = synthetic.apply(cache.path, plan)
    assert skipped(out) == {core.GONE: 1}
    assert "partial" not in parts(cache, B)


def test_a_zip_goes_only_while_its_tree_is_not_there(cache: synthetic.Mod) -> None:
    purge(cache)
    plan = later_plan(cache)
    cache.extract(B)
    out = synthetic.apply(cache.path, plan)
    assert skipped(out) == {core.USED: 1}
    assert parts(cache, B) == KEPT | {"tree", "zip", "ziphash"}


@pytest.mark.parametrize("comes_back", ["ziphash", "tree", "partial"])
def test_a_zip_stays_when_somebody_came_for_it_in_the_pause(cache: synthetic.Mod, comes_back: str) -> None:
    purge(cache)

    def step(name: str) -> None:
        if name == "ziphash":
            assert not cache.at(B, "ziphash").exists()
            if comes_back == "tree":
                cache.extract(B)
            else:
                cache.at(B, comes_back).touch()

    out = purge(cache, synthetic.job(step=step))
    assert "zip" in parts(cache, B)
    assert skipped(out) == {core.USED: 1}
    assert "zip" not in parts(cache, C)


def test_a_folder_that_became_a_symlink_is_not_entered(cache: synthetic.Mod, tmp_path: pathlib.Path) -> None:
    """F20."""
    plan = later_plan(cache)
    (cache.path / "example.com").rename(tmp_path / "outside")
    (cache.path / "example.com").symlink_to(tmp_path / "outside")
    before = gocaches.photograph(tmp_path / "outside")
    out = synthetic.apply(cache.path, plan)
    assert out.evicted == 0
    assert gocaches.photograph(tmp_path / "outside") == before


def test_symlinks_in_a_tree_lead_nowhere(cache: synthetic.Mod, tmp_path: pathlib.Path) -> None:
    """F19."""
    outside = tmp_path / "sentinel"
    outside.write_text("x", encoding="ascii")
    outside.chmod(0o444)
    plan_before = cache.tree(B)
    plan_before.chmod(0o755)
    (plan_before / "link").symlink_to(outside)
    plan_before.chmod(0o555)
    purge(cache)
    assert not cache.tree(B).exists()
    assert outside.stat().st_mode & 0o777 == 0o444


# --- leftovers and crashes


def test_old_leftovers_go_and_young_ones_stay(cache: synthetic.Mod) -> None:
    """F25."""
    tmp = cache.path / "example.com/b@v1.0.0.tmp-77"
    (tmp / "inner").mkdir(parents=True)
    part = cache.at(B, "zip").with_name("v1.0.0.zip1234.tmp")
    part.touch()
    assert synthetic.make_plan(cache.survey(), WIPE).entries == 0
    purge(cache, document={"max_age": "1d"})
    assert not tmp.exists()
    assert not part.exists()


@pytest.mark.parametrize("step", ["partial", "scanned", "renamed", "unmarked", "deleted", "ziphash", "zip"])
def test_an_error_at_any_step_leaves_no_mark_on_a_tree(cache: synthetic.Mod, step: str) -> None:
    def fail(name: str) -> None:
        if name == step:
            raise RuntimeError("injected")

    out = purge(cache, synthetic.job(step=fail))
    assert out.error == "RuntimeError: injected"
    for label in (A, B, C):
        assert "partial" not in parts(cache, label)
    for _number in range(3):
        assert purge(cache).error == ""
    for label in (A, B, C):
        assert parts(cache, label) == KEPT
    assert _leftovers(cache) == 0


def _killed(path: pathlib.Path, plan: planner.Plan, number: int) -> bool:
    """Whether a child that is killed right before its *number*-th change of a name was killed at all."""
    pid = os.fork()
    if pid == 0:
        count = [0]

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **more: Any) -> Any:
                if count[0] == number:
                    os._exit(9)
                count[0] += 1
                return real(*args, **more)

            return call

        for name in ("unlink", "rename", "rmdir"):
            setattr(os, name, counted(getattr(os, name)))
        real_open = os.open

        def opened(name: Any, flags: int, *args: Any, **more: Any) -> int:
            fd = real_open(name, flags, *args, **more)
            if flags & os.O_EXCL:  # the mark
                if count[0] == number:
                    os._exit(9)
                count[0] += 1
            return fd

        os.open = opened  # type: ignore[assignment]
        try:
            synthetic.apply(path, plan)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitpid(pid, 0)[1] >> 8
    assert code in (0, 9)
    return code == 9


def test_a_kill_at_any_moment_is_finished_by_the_next_runs(tmp_path: pathlib.Path) -> None:
    """F25: no tree, zip or leftover is pinned for ever by a mark that nobody takes away."""
    number, alive = 0, False
    while not alive:
        cache = synthetic.Mod(tmp_path.resolve() / ("t%d" % number))
        cache.add(A, size=100)
        cache.add(B, tree=False, size=100)
        alive = not _killed(cache.path, later_plan(cache), number)
        if cache.tree(A).exists():  # whole, or one that no go command takes for whole
            whole = sum(1 for path in cache.tree(A).rglob("*") if path.is_file())
            assert whole == 5
        for _number in range(3):
            assert purge(cache).error == ""
        assert parts(cache, A) | parts(cache, B) == KEPT
        assert _leftovers(cache) == 0
        assert later_plan(cache).entries == 0
        number += 1
    assert number > 8


def test_a_young_mark_keeps_its_tree(cache: synthetic.Mod) -> None:
    """An extraction that has just been cut off, or that runs on a machine whose locks are not seen here."""
    cache.at(B, "partial").touch()
    plan = later_plan(cache)
    os.utime(str(cache.at(B, "partial")))
    out = synthetic.apply(cache.path, plan)
    assert skipped(out) == {core.USED: 1}
    assert parts(cache, B) == KEPT | {"tree", "zip", "ziphash", "partial"}


def test_a_mark_of_somebody_else_stays_when_backing_off(cache: synthetic.Mod) -> None:
    """Were it taken away, Go would take half a tree for whole."""
    cache.at(B, "partial").touch()
    out = purge(cache, synthetic.job(scan=lambda: BUSY))
    assert skipped(out) == {core.BUSY: 3}
    assert "partial" in parts(cache, B)
    assert "partial" not in parts(cache, C)


def test_a_leftover_that_cannot_go_is_no_change_for_ever(cache: synthetic.Mod, monkeypatch: pytest.MonkeyPatch) -> None:
    """F37."""
    tmp = cache.path / "example.com/b@v1.0.0.tmp-77"
    (tmp / "inner").mkdir(parents=True)

    def refuse(name: str, **_more: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rmdir", refuse)
    out = purge(cache, document={"max_age": "1d", "keep": ["example.com"]})
    assert (out.evicted, skipped(out)) == (0, {core.ERROR: 1})


def test_a_time_limit_leaves_the_rest_and_counts_it(cache: synthetic.Mod) -> None:
    """F42."""
    before = gocaches.photograph(cache.path)
    out = purge(cache, synthetic.job(seconds=-1))
    assert skipped(out) == {core.TIME: 3}
    assert gocaches.photograph(cache.path) == before


def test_odd_names_are_told_as_text(cache: synthetic.Mod) -> None:
    folder = os.path.dirname(str(cache.at(B, "info")))
    name = os.fsencode(folder) + b"/odd\xff123.tmp"
    with open(name, "wb"):
        pass
    plan = later_plan(cache, document={"max_age": "1d", "keep": ["example.com"]})
    os.unlink(name)
    out = synthetic.apply(cache.path, plan)
    assert [item["path"].rpartition("/")[2] for item in out.samples] == ["odd\\xff123.tmp"]


@pytest.mark.parametrize(
    "name",
    ["proj@work.tmp-1", "example.com/x@notaversion.tmp-3", "Example.com/x@v1.0.0.tmp-3", "example.com/b@v1.0.0.tmp-x"],
)
def test_a_folder_that_only_looks_like_a_leftover_stays(cache: synthetic.Mod, name: str) -> None:
    """F12, F16: anybody's folder with such a name, and all it holds."""
    folder = cache.path / name
    folder.mkdir(parents=True)
    (folder / "thesis").write_text("x")
    purge(cache)
    assert (folder / "thesis").exists()


def test_a_version_that_is_named_like_a_leftover_is_a_version(cache: synthetic.Mod) -> None:
    """v1.0.0-rc.tmp-5 is a valid version: its tree needs the lock, the mark, the scan and the sound zip."""
    label = "example.com/c@v1.0.0-rc.tmp-5"
    folder = cache.path / label
    folder.mkdir(parents=True)
    (folder / "c.go").write_text("package c")
    download = cache.path / "cache/download/example.com/c/@v"
    download.mkdir(parents=True)
    (download / "v1.0.0-rc.tmp-5.info").write_text("{}")
    (download / "v1.0.0-rc.tmp-5.ziphash").write_text("h1:" + "a" * 43 + "=")
    (download / "v1.0.0-rc.tmp-5.zip").write_text("no zip")
    purge(cache)
    assert (folder / "c.go").exists()


def test_a_missing_lock_file_is_made_by_gos_name(cache: synthetic.Mod) -> None:
    """Caches that CI restores from an archive often come without locks."""
    cache.at(B, "lock").unlink()
    assert purge(cache).skipped == {}
    assert "lock" in parts(cache, B)


# --- with a real Go


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, go_binary: str) -> gocaches.Caches:
    lib = goproxy.make_module("example.com/lib", "v1.0.0", files=3)
    user = goproxy.make_module("example.com/Azure/user", "v1.2.0", [("example.com/lib", "v1.0.0")])
    return gocaches.make_caches(tmp_path_factory.mktemp("home"), go_binary, modules=[lib, user])


@pytest.mark.parametrize("step", ["partial", "scanned", "renamed", "unmarked", "deleted", "ziphash", "zip", ""])
@pytest.mark.once
def test_after_a_kill_at_any_step_a_build_without_the_network_works(
    filled: gocaches.Caches, tmp_path: pathlib.Path, step: str
) -> None:
    """The zips are what a build without the network needs; those go in a second run, and only with a download back."""
    caches = gocaches.copy_of(filled, tmp_path / "copy")
    cache = synthetic.Mod.__new__(synthetic.Mod)
    cache.path = caches.mod
    project = tmp_path / "project"
    project.mkdir()
    mod = "module example.org/p\n\ngo 1.21\n\nrequire example.com/Azure/user v1.2.0\n"
    (project / "go.mod").write_text(mod, encoding="ascii")
    code = 'package main\n\nimport "example.com/Azure/user"\n\nfunc main() { println(user.Hello()) }\n'
    (project / "main.go").write_text(code, encoding="ascii")
    plan = later_plan(cache, document={"wipe": True})
    assert plan.entries == 2
    pid = os.fork()
    if pid == 0:
        try:
            synthetic.apply(cache.path, plan, synthetic.job(step=lambda name: os._exit(0) if name == step else None))
        finally:
            os._exit(0 if not step else 1)
    assert os.waitpid(pid, 0)[1] == 0
    done = caches.run("build", "-o", "p", ".", cwd=project, GOPROXY="off", GOCACHE=str(filled.build))
    assert done.returncode == 0, done.stderr
    told = subprocess.run([str(project / "p")], capture_output=True, text=True, check=True).stderr
    assert told.split() == ["example.com/Azure/user@v1.2.0", "example.com/lib@v1.0.0"]
    assert _leftovers(cache) == 0
