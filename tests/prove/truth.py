# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Truth: no eviction, whole, cut or killed, changes what a later build, vet or test says."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import subprocess
from typing import Any

from prove import cuts
from prove.lab import DAY, Lab, copy, remove
from prove.ready import Ready, clock

from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_build

BUILD = {"caches": [{"kind": "go-build", "max_age": "2h"}], "floor": "1h", "private": []}
MOD = {"caches": [{"kind": "go-mod", "max_age": "30d"}], "floor": "1h", "private": []}
ROOM = 96


class Table:
    """Counts of one toolchain: rows of (what, cuts, wrong)."""

    def __init__(self, toolchain: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self.toolchain = toolchain
        self.problems: list[str] = []

    def add(self, what: str, rounds: int, wrong: int, must_be_wrong: bool = False) -> None:
        self.rows.append({"go": self.toolchain, "what": what, "passes": rounds, "wrong": int(wrong)})
        if bool(wrong) != must_be_wrong:
            self.problems.append(f"{self.toolchain}: {what}: {wrong} of {rounds} passes gave a wrong answer")


def version(go: str) -> str:
    """A toolchain's version."""
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True, env={"HOME": "/"})
    return done.stdout.strip()


def _some(total: int, count: int) -> list[int]:
    """*count* numbers from 1 to *total*, evenly spread; all of them where *count* is 0 or more than there are."""
    if not count or count >= total:
        return list(range(1, total + 1))
    return sorted({1 + round(at * (total - 1) / max(count - 1, 1)) for at in range(count)})


def one(ready: Ready, toolchain: str, cuts_wanted: int, seed: int, say: Any) -> Table:
    """All ways to cut a pass, with one toolchain. *cuts_wanted* 0: at every change."""
    table = Table(toolchain)
    chance = random.Random(seed)
    say(f"{toolchain}: {len(ready.mine)} entries of the project")
    _each_change(ready, table, cuts_wanted, chance)
    _each_shard(ready, table, cuts_wanted, chance)
    _modules(ready, table, cuts_wanted)
    _no_space(ready, table)
    _naive(ready, table, chance)
    return table


def _prune(ready: Ready, policy: dict[str, Any]) -> Any:
    return lambda step: ready.lab.prune(policy, step=step, threads=4)["evicted_entries"]


def _each_change(ready: Ready, table: Table, wanted: int, chance: random.Random) -> None:
    """Killed before each change, and out of time before each change; ages drift by up to an hour, as with real use."""
    whole = _whole(ready, table, chance)
    deep = set(_some(whole, max(3, (wanted or whole) // 6)))
    for late in (False, True):
        wrong = 0
        places = _some(whole, wanted if not late else max(3, (wanted or whole) // 3))
        for change in places:
            ready.restore(30, chance)
            ended = cuts.run(_prune(ready, BUILD), cuts.Cut(change, late=late))
            if ended.error:
                raise RuntimeError(ended.error)
            found = ready.verdict(deep=change in deep)
            wrong += bool(found)
            table.problems += [f"{table.toolchain}: cut at change {change}: {text}" for text in found]
        table.add("out of time" if late else "killed before a change", len(places), wrong)


def _whole(ready: Ready, table: Table, chance: random.Random) -> int:
    """A pass that nothing cuts; the number of its changes."""
    ready.restore(30, chance)
    ended = cuts.run(_prune(ready, BUILD))
    if ended.error or ended.value < len(ready.mine) // 2:
        raise RuntimeError(f"the pass evicted {ended.value} of {len(ready.mine)} entries: {ended.error}")
    found = ready.verdict()
    table.problems += [f"{table.toolchain}: whole pass: {text}" for text in found]
    table.add("whole pass", 1, bool(found))
    return ended.changes


def _each_shard(ready: Ready, table: Table, wanted: int, chance: random.Random) -> None:
    """One shard folder at a time is old and goes; what belongs together lies in different ones."""
    shards = sorted({path.parent.name for path in ready.mine})
    if wanted:
        shards = chance.sample(shards, min(len(shards), max(4, wanted)))
    wrong = 0
    for number, shard in enumerate(shards):
        ready.restore()
        ready.lab.age(30 * DAY, [path for path in ready.mine if path.parent.name == shard])
        ready.lab.prune(BUILD)
        found = ready.verdict(deep=number % 8 == 0)
        wrong += bool(found)
        table.problems += [f"{table.toolchain}: shard {shard}: {text}" for text in found]
    table.add("one shard at a time", len(shards), wrong)


def _modules(ready: Ready, table: Table, wanted: int) -> None:
    """Module trees, killed before each change: embedded files stay whole, without any proxy."""
    ready.restore(modules=True)
    for _attempt in range(5):
        with clock(90 * DAY):
            whole = cuts.run(_prune(ready, MOD))
        if whole.value or whole.error:
            break  # else something else on this machine was building and might have used these caches
    if whole.error or not whole.value:
        raise RuntimeError(f"no module tree was evicted: {whole.error}")
    places = _some(whole.changes, wanted or 40)
    wrong = 0
    for change in places:
        ready.restore(30, modules=True)
        with clock(90 * DAY):
            cuts.run(_prune(ready, MOD), cuts.Cut(change))
        for path in ready.mine:  # nothing of the project is known any more: all is read and compiled again
            path.unlink(missing_ok=True)
        found = ready.verdict()
        wrong += bool(found)
        table.problems += [f"{table.toolchain}: modules, change {change}: {text}" for text in found]
    table.add("module trees, killed before a change", len(places), wrong)


def _no_space(ready: Ready, table: Table) -> None:
    """On a file system without one free byte, with and without a quarantine."""
    if not cuts.may_mount():
        table.rows.append({"go": table.toolchain, "what": "no space left", "passes": 0, "wrong": "left out: not root"})
        return
    wrong = 0
    for grace in ("0s", "2h"):
        ready.restore(30, modules=True)

        def action(_step: Any, grace: str = grace) -> list[str]:
            return _on_full_disk(ready, grace)

        ended = cuts.run(action)
        if ended.error:
            raise RuntimeError(ended.error)
        wrong += bool(ended.value)
        table.problems += [f"{table.toolchain}: no space, quarantine {grace}: {text}" for text in ended.value]
    table.add("no space left", 2, wrong)


def _on_full_disk(ready: Ready, grace: str) -> list[str]:
    """In a process with mounts of its own: the caches on a full tmpfs."""
    lab = ready.lab
    cuts.own_mounts()
    kept = lab.top / "kept"
    kept.mkdir(exist_ok=True)
    place = lab.gocache.parent / "small-disk"
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "none", str(place)], check=True)
    copy(lab.gocache, place / "gocache")
    for path in ready.mine:
        moved = place / "gocache" / path.relative_to(lab.gocache)
        st = path.stat()
        os.utime(moved, ns=(st.st_atime_ns, st.st_mtime_ns))
    (lab.gocache / "x").mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", str(place / "gocache"), str(lab.gocache)], check=True)
    used = shutil.disk_usage(place).used
    subprocess.run(["mount", "-o", f"remount,size={used + 8192}", str(place)], check=True)
    with open(place / "ballast", "wb", buffering=0) as handle:
        try:
            while handle.write(b"\0" * 4096):
                pass
        except OSError:
            pass
    if shutil.disk_usage(place).free > 4096:
        return [f"the file system has {shutil.disk_usage(place).free} bytes free: the proof proves nothing"]
    result = lab.prune(dict(BUILD, quarantine=grace))
    problems = []
    if result.get("failed") or (not result["evicted_entries"] and grace == "0s"):
        problems.append(f"the prune did nothing: {result.get('failed')} {result['notes']}")
    subprocess.run(["mount", "-o", "remount,size=2g", str(place)], check=True)
    return problems + ready.verdict() + lab.damaged()


def _stores_findings(ready: Ready) -> bool:
    """Whether this Go keeps vet's findings apart from its facts (newer ones do), so that one can outlive the other."""
    actions = {path.name[:-2] for path in ready.mine if path.name.endswith("-a")}
    return any(key in actions for name in actions for key in go_build.dependents(name))


def _naive(ready: Ready, table: Table, chance: random.Random) -> None:
    """The counter-example: the same old entries, removed in random order and cut half-way; the same check."""
    wrong = 0
    for share in (0.25, 0.5, 0.75, 0.5):
        ready.restore(30, chance)
        files = [path for path in ready.mine if path.name.endswith("-a")]
        for path in chance.sample(files, int(len(files) * share)):
            path.unlink()
        wrong += bool(ready.verdict(deep=False))
    if _stores_findings(ready):
        table.add("counter-example: random order, cut", 4, wrong, must_be_wrong=True)
    else:
        table.add("random order, cut (this Go stores no findings)", 4, wrong)


def run(top: pathlib.Path, gos: list[str], wanted: int, seed: int, say: Any) -> dict[str, Any]:
    """The part ``truth``: every toolchain in *gos*."""
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    names: list[str] = []
    for number, go in enumerate(gos):
        name = version(go)
        if name in names:
            continue
        names.append(name)
        lab = Lab(top / f"go{number}", go)
        try:
            table = one(Ready(lab), name, wanted, seed, say)
        finally:
            remove(lab.top)
        rows += table.rows
        problems += table.problems
    if not any(row["what"].startswith("counter-example") for row in rows):
        problems.append("no Go version here stores findings: nothing shows that the check would find a lie")
    left_out = [] if len(names) >= 3 else [f"three Go versions: there are only {', '.join(names)}"]
    return {"rows": rows, "problems": problems, "left_out": left_out}
