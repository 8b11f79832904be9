# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time: clocks that were stepped and absurd times of files are never a reason for a mass eviction."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from prove.lab import DAY, Lab, remove
from prove.ready import Ready

YEAR = 365 * DAY
_POLICY = {"max_age": "30d", "floor": "1h", "private": []}


def _stepped(seconds: float) -> Any:
    """The engine reads a clock that was stepped; the files keep the times that they have."""
    real = time.time_ns

    def stepped() -> int:
        return real() + int(seconds * 10**9)

    return mock.patch.object(time, "time_ns", stepped)


def _set_all(stamp: float) -> Callable[[Ready], None]:
    def change(ready: Ready) -> None:
        for path in ready.lab.files():
            os.utime(path, (stamp, stamp))

    return change


def _nothing(_ready: Ready) -> None:
    pass


def _built_with(seconds: float) -> Callable[[Ready], None]:
    """A build while the clock was wrong: what it used carries that time."""

    def change(ready: Ready) -> None:
        stamp = time.time() + seconds
        for path in ready.mine[::2]:
            os.utime(path, (stamp, stamp))
        for name in ("trim.txt", "testexpire.txt"):
            if (ready.lab.gocache / name).exists():
                os.utime(ready.lab.gocache / name, (stamp, stamp))

    return change


#: Name, how far the clock is off, what happened to the files.
CASES: list[tuple[str, float, Callable[[Ready], None]]] = [
    ("clock a year ahead, no build since", YEAR, _nothing),
    ("clock a year behind", -YEAR, _nothing),
    ("clock was a year ahead while half was built, right again", 0, _built_with(YEAR)),
    ("all times 0 (1970)", 0, _set_all(0)),
    ("all times -1", 0, _set_all(-1)),
    ("all times 1901", 0, _set_all(-(2**31))),
    ("all times ten years ahead", 0, _set_all(time.time() + 10 * YEAR)),
    ("all times in 2446, the end of ext4", 0, _set_all(15032385535)),
    ("all times 0 and the clock a year ahead", YEAR, _set_all(0)),
    ("all times -1 and the clock a year behind", -YEAR, _set_all(-1)),
]


def run(top: pathlib.Path, go: str, say: Any) -> dict[str, Any]:
    """The part ``time``; see :func:`check`."""
    lab = Lab(top / "time", go)
    try:
        return check(Ready(lab, tests=False), say)
    finally:
        remove(lab.top)


def check(ready: Ready, say: Any) -> dict[str, Any]:
    """One purge for each of the cases, and one of entries that are truly old."""
    lab = ready.lab
    rows = []
    problems = []
    for name, seconds, change in CASES:
        ready.restore(modules=True)
        change(ready)
        with _stepped(seconds):
            result = lab.prune(_POLICY)
        rows.append({"what": name, "entries": len(lab.files()), "evicted": result["evicted_entries"]})
        if result["evicted_entries"] or result.get("failed"):
            problems.append(f"{name}: {result['evicted_entries']} evicted, {result['evicted'][:2]}")
        say(f"{name}: {result['evicted_entries']} evicted")
    ready.restore(60)
    evicted = lab.prune(_POLICY)["evicted_entries"]
    rows.append({"what": "control: entries of 60 days", "entries": len(ready.mine), "evicted": evicted})
    if evicted < len(ready.mine) // 2:
        problems.append("what is truly old stayed: the proof proves nothing")
    return {"rows": rows, "problems": problems, "left_out": []}
