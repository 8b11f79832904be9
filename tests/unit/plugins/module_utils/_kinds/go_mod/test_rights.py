# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody's ``sudo go`` left in another user's module cache, and what that user may do with it meanwhile."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import stat
from array import array
from typing import Callable, Dict, Iterator, List, Optional

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict as core
from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._fs import worker
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_mod import evict
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: acts as two users")

MINE, ROOTS, MIXED = "example.com/mine@v1.0.0", "example.com/roots@v1.0.0", "example.com/mixed@v1.0.0"
OWNER = 4242
DAY = synthetic.DAY


def own(path: pathlib.Path, uid: int) -> None:
    for place in [path, *path.rglob("*")]:
        os.chown(str(place), uid, uid, follow_symlinks=False)


def read_only(path: pathlib.Path) -> None:
    """As Go leaves a tree: the fixture's folders are 0555 already, the files 0444."""
    for place in path.rglob("*"):
        if place.is_file() and not place.is_symlink():
            place.chmod(0o444)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evict, "_SETTLE", 0.0)


def make_cache(path: pathlib.Path) -> synthetic.Mod:
    """A cache of OWNER with a module of its own, one of root's and one whose tree alone is root's."""
    cache = synthetic.Mod(path)
    for label in (MINE, ROOTS, MIXED):
        cache.add(label, size=200)
    own(path, OWNER)
    own(cache.at(ROOTS, "zip").parent, 0)
    for label in (ROOTS, MIXED):
        own(cache.tree(label), 0)
    return cache


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> synthetic.Mod:
    tmp_path.chmod(0o755)
    return make_cache(tmp_path.resolve() / "mod")


@pytest.fixture
def outside(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """What must survive: root's, outside the cache."""
    folder = tmp_path / "outside"
    (folder / "inner").mkdir(parents=True)
    for name in ("sentinel", "inner/sentinel", "zip", "v1.0.0.zip"):
        (folder / name).write_text("x", encoding="ascii")
        (folder / name).chmod(0o444)
    (folder / "inner").chmod(0o555)
    before = gocaches.photograph(folder, atime=False)
    yield folder
    assert gocaches.photograph(folder, atime=False) == before


def plan_of(cache: synthetic.Mod) -> planner.Plan:
    return synthetic.make_plan(cache.survey(), {"wipe": True}, later=400 * DAY)


def apply_as(
    cache: synthetic.Mod, steps: planner.CachePlan, number: int, work: Optional[core.Job] = None
) -> core.Outcome:
    """Carries out *steps* with the rights of the survey's owner *number*."""
    uid, gid = steps.survey.owners[number]
    root = synthetic.open_root(cache.path, "go-mod")
    try:
        job = work or synthetic.job()
        return core.Outcome.of(worker.as_owner(uid, gid, lambda _ask: evict.apply(root, steps, job).data(), {}))
    finally:
        os.close(root.fd)


def part_of(plan: planner.Plan, number: int) -> planner.CachePlan:
    """The rows of one owner."""
    steps = plan.caches[0]
    return steps._replace(rows=array("i", [row for row in steps.rows if steps.survey.entries.owner[row] == number]))


def apply(cache: synthetic.Mod, plan: planner.Plan, work: Optional[core.Job] = None) -> List[core.Outcome]:
    """What the host does: for each owner a process with its rights, which gets the rows of that owner alone."""
    parts = [part_of(plan, number) for number in range(len(plan.caches[0].survey.owners))]
    return [apply_as(cache, part, number, work) for number, part in enumerate(parts) if part.rows]


def holds(cache: synthetic.Mod) -> Dict[str, str]:
    seen = cache.survey()
    entries = seen.entries
    return {
        entries.key(row).decode(): seen.holds[entries.hold[row]] or "uid %d" % seen.owners[entries.owner[row]][0]
        for row in range(len(entries))
    }


def test_what_is_wholly_roots_needs_root_and_what_is_mixed_stays(cache: synthetic.Mod) -> None:
    left = cache.path / "example.com/roots@v1.0.0.tmp-77"
    left.mkdir()
    part = cache.at(ROOTS, "zip").with_name("v1.0.0.zip1234.tmp")
    part.touch()
    download = "cache/download/example.com/%s/@v/v1.0.0.zip"
    assert holds(cache) == {
        "example.com/mine@v1.0.0": "uid 4242",
        download % "mine": "uid 4242",
        "example.com/roots@v1.0.0": "uid 0",
        download % "roots": "uid 0",
        "example.com/mixed@v1.0.0": "other owner",
        download % "mixed": "other owner",
        "example.com/roots@v1.0.0.tmp-77": "uid 0",
        "cache/download/example.com/roots/@v/v1.0.0.zip1234.tmp": "uid 0",
    }
    assert cache.survey().owners == ((OWNER, OWNER), (0, 0))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cache: os.chown(str(next(cache.tree(ROOTS).rglob("*.go"))), OWNER, OWNER),
        lambda cache: os.chown(str(cache.tree(ROOTS) / "internal"), OWNER, OWNER),
        lambda cache: os.chown(str(cache.tree(ROOTS)), 4243, 4243),
        lambda cache: next(cache.tree(ROOTS).rglob("*.go")).chmod(0o644),
        lambda cache: (cache.tree(ROOTS) / "link").symlink_to("/etc"),
        lambda cache: os.mkfifo(str(cache.tree(ROOTS) / "pipe"), 0o444),
        lambda cache: os.link(str(next(cache.tree(ROOTS).rglob("*.go"))), str(cache.path.parent / "second")),
        lambda cache: os.chown(str(cache.at(ROOTS, "ziphash")), OWNER, OWNER),
        lambda cache: os.link(str(cache.at(ROOTS, "ziphash")), str(cache.path.parent / "second")),
        lambda cache: os.chown(str(cache.tree(ROOTS).parent), 4243, 4243),
    ],
)
def test_what_no_go_command_of_root_leaves_is_held(
    cache: synthetic.Mod, spoil: Callable[[synthetic.Mod], None]
) -> None:
    spoil(cache)
    assert holds(cache)["example.com/roots@v1.0.0"] in ("other owner", "repository inside")


def test_a_leftover_of_root_without_its_version_is_held(cache: synthetic.Mod) -> None:
    (cache.path / "example.com/other@v1.0.0.tmp-1").mkdir()
    cache.at(MINE, "x").with_name("precious.tmp").touch()
    got = holds(cache)
    assert got["example.com/other@v1.0.0.tmp-1"] == "other owner"
    assert got["cache/download/example.com/mine/@v/precious.tmp"] == "other owner"


def test_what_lies_in_roots_folder_cannot_go_with_the_owners_rights(cache: synthetic.Mod) -> None:
    os.chown(str(cache.tree(MINE).parent), 0, 0)
    assert holds(cache)["example.com/mine@v1.0.0"] == "other owner"
    os.chown(str(cache.tree(MINE).parent), OWNER, OWNER)
    os.chown(str(cache.at(MINE, "zip").parent), 0, 0)
    got = holds(cache)
    assert got["example.com/mine@v1.0.0"] == got["cache/download/example.com/mine/@v/v1.0.0.zip"] == "other owner"


def test_without_root_no_plan_promises_what_only_root_can_take(
    cache: synthetic.Mod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else check mode would tell of evictions that no run ever carries out."""
    monkeypatch.setattr(os, "geteuid", lambda: OWNER)
    seen = cache.survey()
    entries = seen.entries
    held = {entries.key(row).decode() for row in range(len(entries)) if seen.holds[entries.hold[row]] == "other owner"}
    assert any(entries.owner) is False
    assert {name for name in held if "roots@" in name} == {"example.com/roots@v1.0.0"}
    assert "cache/download/example.com/roots/@v/v1.0.0.zip" in held
    assert not any("mine" in name for name in held)


def test_in_a_cache_of_root_nothing_changes(tmp_path: pathlib.Path) -> None:
    cache = synthetic.Mod(tmp_path.resolve() / "mod")
    cache.add(MINE)
    assert set(holds(cache).values()) == {"uid 0"}
    assert cache.survey().owners == ((0, 0),)


def test_each_part_goes_with_its_owners_rights_and_nothing_is_left_behind(cache: synthetic.Mod) -> None:
    for _number in range(2):
        plan = plan_of(cache)
        outcomes = apply(cache, plan)
        assert [out.skipped for out in outcomes] == [{}, {}]
        assert sum(out.freed for out in outcomes) == plan.bytes
    assert not cache.tree(MINE).exists()
    assert not cache.tree(ROOTS).exists()
    assert cache.tree(MIXED).exists()
    assert sorted(path.suffix for path in cache.at(ROOTS, "zip").parent.iterdir()) == ["", ".info", ".lock", ".mod"]
    assert plan_of(cache).entries == 0


def test_rows_of_another_owner_are_left_to_a_process_with_its_rights(cache: synthetic.Mod) -> None:
    out = apply_as(cache, plan_of(cache).caches[0], 0)
    assert out.skipped[core.OWNER][0] == 1
    assert cache.tree(ROOTS).exists()
    assert not cache.tree(MINE).exists()


def test_what_root_must_create_belongs_to_the_folders_owner(cache: synthetic.Mod) -> None:
    """Or the owner's own go command could not lock its version any more."""
    os.chown(str(cache.at(ROOTS, "zip").parent), OWNER, OWNER)
    cache.at(ROOTS, "lock").unlink()
    seen: List[int] = []

    def step(name: str) -> None:
        if name == "partial" and os.geteuid() == 0:
            seen.append(cache.at(ROOTS, "partial").stat().st_uid)

    apply(cache, plan_of(cache), synthetic.job(step=step))
    assert seen == [OWNER]
    assert cache.at(ROOTS, "lock").stat().st_uid == OWNER
    assert not cache.tree(ROOTS).exists()


@pytest.mark.parametrize("tier", ["tree", "zip"])
def test_what_does_not_hash_to_its_module_does_not_go_with_roots_rights(cache: synthetic.Mod, tier: str) -> None:
    """A folder or an archive of root's that the owner brought into place: its name proves nothing."""
    if tier == "tree":
        cache.tree(ROOTS).chmod(0o755)
        (cache.tree(ROOTS) / "precious").write_text("x", encoding="ascii")
        (cache.tree(ROOTS) / "precious").chmod(0o444)
        cache.tree(ROOTS).chmod(0o555)
    else:
        apply(cache, plan_of(cache))
        gocaches.flip(cache.at(ROOTS, "zip"), cache.at(ROOTS, "zip").stat().st_size // 2)
    plan = plan_of(cache)
    assert core.UNSOUND in apply(cache, plan)[-1].skipped
    assert cache.tree(ROOTS).exists() == (tier == "tree")
    assert cache.at(ROOTS, "zip").exists()
    assert cache.at(ROOTS, "ziphash").exists()


# --- attackers


def _swap(cache: synthetic.Mod, target: pathlib.Path, by: str) -> None:
    """Puts something of the attacker's choice where the tree of root's was."""
    tree = cache.tree(ROOTS)
    tree.rename(tree.with_name("away"))
    if by == "symlink":
        tree.symlink_to(target)
    elif by == "folder":  # root's as well, and brought here from the same parent
        (tree.parent / "precious").rename(tree)
    elif by == "own":
        tree.mkdir()
        (tree / "link").symlink_to(target)
        os.chown(str(tree), OWNER, OWNER)


@pytest.mark.parametrize("by", ["symlink", "folder", "own"])
@pytest.mark.parametrize("step", ["partial", "scanned"])
def test_a_tree_that_is_swapped_is_not_taken(cache: synthetic.Mod, outside: pathlib.Path, step: str, by: str) -> None:
    precious = cache.tree(ROOTS).parent / "precious"
    precious.mkdir()
    (precious / "file").write_text("x", encoding="ascii")

    def swap(name: str) -> None:
        if name == step and os.geteuid() == 0:
            _swap(cache, outside, by)

    out = apply(cache, plan_of(cache), synthetic.job(step=swap))[-1]
    assert out.evicted == 0
    if by == "folder":
        assert (cache.tree(ROOTS) / "file").exists()
    assert (cache.tree(ROOTS).parent / "away/internal").exists()


@pytest.mark.parametrize("by", ["symlink", "folder"])
def test_a_tree_that_is_swapped_after_the_last_look_is_not_taken(
    cache: synthetic.Mod, outside: pathlib.Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the rename, where no look of ours helps: the rename is undone."""
    precious = cache.tree(ROOTS).parent / "precious"
    precious.mkdir()
    (precious / "file").write_text("x", encoding="ascii")
    real = os.rename
    once: List[int] = []

    def rename(src: str, dst: str, **more: int) -> None:
        if ".tmp-" in dst and not once:
            once.append(1)
            monkeypatch.setattr(os, "rename", real)
            _swap(cache, outside, by)
        real(src, dst, **more)

    steps = part_of(plan_of(cache), 1)
    monkeypatch.setattr(os, "rename", rename)
    out = apply_as(cache, steps, 1)
    assert (once, out.evicted, list(out.skipped)) == ([1], 0, [core.CHANGED])
    assert os.path.lexists(str(cache.tree(ROOTS)))
    if by == "folder":
        assert (cache.tree(ROOTS) / "file").exists()
    assert "partial" not in [path.suffix[1:] for path in cache.at(ROOTS, "zip").parent.iterdir()]


@pytest.mark.parametrize("what", ["symlink", "fifo"])
def test_a_lock_that_is_none_is_not_opened_for_root(cache: synthetic.Mod, outside: pathlib.Path, what: str) -> None:
    os.chown(str(cache.at(ROOTS, "zip").parent), OWNER, OWNER)
    plan = plan_of(cache)
    cache.at(ROOTS, "lock").unlink()
    if what == "symlink":
        cache.at(ROOTS, "lock").symlink_to(outside / "sentinel")
    else:
        os.mkfifo(str(cache.at(ROOTS, "lock")))
    assert list(apply(cache, plan)[-1].skipped) == [core.ERROR]
    assert cache.tree(ROOTS).exists()


def _attack(cache: pathlib.Path, outside: pathlib.Path, seed: int) -> None:
    """What the owner of the cache can do, all the time: everything under its own user id."""
    os.setgroups([])
    os.setresgid(OWNER, OWNER, OWNER)
    os.setresuid(OWNER, OWNER, OWNER)
    rng = random.Random(seed)
    top = cache / "example.com"
    download = cache / "cache/download/example.com"
    names = ["roots@v1.0.0", "a", "b", "precious"]

    def quietly(call: Callable[..., object], *args: object) -> None:
        try:
            call(*args)
        except OSError:
            pass

    while True:
        act = rng.randrange(7)
        one, other = rng.sample(names, 2)
        if act <= 1:
            quietly(os.rename, str(top / one), str(top / other))
        elif act == 2:
            quietly(os.symlink, str(outside), str(top / one))
            quietly(os.unlink, str(top / other))
        elif act == 3:
            quietly(os.rename, str(cache / "example.com"), str(cache / "moved"))
            quietly(os.symlink, str(outside), str(cache / "example.com"))
            quietly(os.unlink, str(cache / "example.com"))
            quietly(os.rename, str(cache / "moved"), str(cache / "example.com"))
        elif act == 4:
            quietly(os.rename, str(download / "roots"), str(download / "x"))
            quietly(os.symlink, str(outside), str(download / "roots"))
            quietly(os.unlink, str(download / "roots"))
            quietly(os.rename, str(download / "x"), str(download / "roots"))
        elif act == 5:
            for name in os.listdir(str(top)) if (top).is_dir() else []:
                if ".tmp-" in name:
                    quietly(os.rename, str(top / name), str(top / (name + "x")))
                    quietly(os.symlink, str(outside), str(top / name))
        else:
            quietly(os.mkdir, str(top / one))


@pytest.mark.parametrize("seed", range(3))
def test_the_owner_of_the_cache_cannot_turn_roots_rights_against_root(
    tmp_path: pathlib.Path, outside: pathlib.Path, seed: int
) -> None:
    tmp_path.chmod(0o755)
    taken = 0
    for number in range(8):
        cache = make_cache(tmp_path.resolve() / ("mod%d" % number))
        precious = cache.path / "example.com/precious"
        precious.mkdir()
        (precious / "file").write_text("x", encoding="ascii")
        steps = part_of(plan_of(cache), 1)
        root = synthetic.open_root(cache.path, "go-mod")
        pid = os.fork()
        if pid == 0:
            try:
                _attack(cache.path, outside, seed * 100 + number)
            finally:
                os._exit(1)
        try:
            for _round in range(15):
                taken += evict.apply(root, steps, synthetic.job()).evicted
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(root.fd)
        kept = [path for path in cache.path.rglob("file") if path.read_text(encoding="ascii") == "x"]
        assert len(kept) == 1, "root's own folder was taken for the module"
        for path in cache.path.rglob("*"):
            if ".lock" in path.name and path.parent.stat().st_uid == OWNER:
                assert path.lstat().st_uid == OWNER
    assert stat.S_IMODE(outside.stat().st_mode) & 0o222
    assert taken <= 8
