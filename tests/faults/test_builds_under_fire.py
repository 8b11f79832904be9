# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds that run while prunes do: none may fail, whatever the moment."""

from __future__ import annotations

import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conftest import DAY, Lab

SECONDS = 12.0


def _command(lab: Lab, number: int, chance: random.Random) -> tuple[str, ...]:
    """One go command of builder *number*, after a change to one source file."""
    source = lab.project / f"p{chance.randrange(12)}" / "p.go"
    changed = re.sub(r"(// F [^\n]*?)( \d+)?\n", rf"\1 {chance.randrange(10**9)}\n", source.read_text(), count=1)
    draft = lab.top / f"draft{number}"
    draft.write_text(changed)
    draft.replace(source)  # the other builder reads either the old file or the new one
    return chance.choice([("build", "-o", str(lab.top / f"out{number}"), "."), ("list", "-deps", "-export", "./...")])


def _under_fire(lab: Lab, shoot: Any, before_round: Any = lambda: None, per_round: int = 2) -> tuple[int, list[str]]:
    """Rounds of two builders and one cleaner; returns the number of go commands and the output of those that failed.

    ``before_round`` runs while nothing builds: ages that are made there are ages that an agent can really have.
    """
    ends = time.monotonic() + SECONDS
    failed: list[str] = []
    count = 0

    def build(number: int, seed: float) -> int:
        chance = random.Random(seed)
        for _number in range(per_round):
            command = _command(lab, number, chance)
            done = lab.run(*command)
            if done.returncode:
                failed.append(f"go {' '.join(command)}: {done.stdout}{done.stderr}")
        return per_round

    def clean(stop: threading.Event) -> None:
        while not stop.is_set():
            shoot()

    with ThreadPoolExecutor(3) as pool:
        while time.monotonic() < ends:
            before_round()
            stop = threading.Event()
            builders = [pool.submit(build, number, time.monotonic() + number) for number in range(2)]
            cleaner = pool.submit(clean, stop)
            count += sum(builder.result() for builder in builders)
            stop.set()
            cleaner.result()
    return count, failed


def test_no_build_fails_while_old_entries_are_pruned_back_to_back(lab: Lab) -> None:
    """F01, F08: each round starts with a cache that was last used 30 days ago, and prunes at the least floor."""
    lab.must("build", "-o", str(lab.top / "out"), ".")
    evicted = [0]

    def shoot() -> None:
        evicted[0] += lab.prune({"max_age": "2h", "floor": "1h", "private": []})["evicted_entries"]
        time.sleep(random.random() * 0.1)

    count, failed = _under_fire(lab, shoot, lambda: lab.age(30 * DAY))
    assert failed == []
    assert count >= 4
    assert evicted[0] > 50, "the test must have met builds with something to evict"


def test_no_build_fails_while_module_trees_are_evicted(lab: Lab, monkeypatch: Any) -> None:
    """Module trees past their age go only when no go command that may have accepted them is running."""
    lab.must("build", "-o", str(lab.top / "out"), ".")
    monkeypatch.setenv("GOFLEET_CACHE_TEST_NOW", str(int(time.time()) + 90 * DAY))
    backed_off = [0]
    evicted = [0]

    def shoot() -> None:
        result = lab.prune({"caches": [{"kind": "go-mod", "max_age": "30d"}], "floor": "1h", "private": []})
        evicted[0] += result["evicted_entries"]
        backed_off[0] += result["left_out_entries"]
        time.sleep(random.random() * 0.2)

    _count, failed = _under_fire(lab, shoot)
    assert failed == []
    assert evicted[0] + backed_off[0] > 0
    assert not list(lab.modcache.rglob("*.partial")), "no mark may stay behind"
    assert not list(lab.modcache.rglob("*.tmp-*"))


def test_a_wipe_below_the_floor_waits_for_the_builds_that_were_running(lab: Lab) -> None:
    """The outputs go only when every go command that lived when the actions went has ended."""
    lab.must("build", "-o", str(lab.top / "out"), ".")

    def shoot() -> None:
        lab.prune({"caches": [{"kind": "go-build", "wipe": True}], "floor": 0, "idle": "asserted", "time_limit": "20s"})
        time.sleep(0.3)

    count, failed = _under_fire(lab, shoot)
    assert failed == []
    assert count >= 4
