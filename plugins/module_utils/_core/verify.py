# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verification found: counts per class of thing, the damage by name, and what could not be looked at."""

from __future__ import annotations

import threading
import time
import zlib
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, TypeVar

from . import pool
from .survey import Survey

#: Damaged items that are returned by name; the rest is counted.
CAP = 100
#: Names of files that one damaged item tells.
NAMES = 3

Item = TypeVar("Item")


class OutOfTime(Exception):
    """The time budget of a verification is used up; what was begun counts as not looked at."""


class Damage(NamedTuple):
    """One damaged thing.

    ``cls`` is its class, ``path`` where it lies below the cache's root, ``module`` its ``path@version`` (or ``""``),
    ``problem`` a sentence, ``expected`` and ``found`` the two hashes, sizes or versions that differ (``""`` where there
    is none), ``names`` the first files concerned, ``repair`` the paths that a repair would evict, in this order, and
    ``how`` how Go gets them back. ``inode`` and ``mtime`` (nanoseconds) are those of what was read, 0 where they do not
    apply: a repair takes nothing else.
    """

    cls: str
    path: str
    module: str
    problem: str
    expected: str
    found: str
    names: Sequence[str]
    repair: Sequence[str]
    how: str
    inode: int = 0
    mtime: int = 0

    def data(self) -> Dict[str, Any]:
        """The item as plain data."""
        return {
            "class": self.cls,
            "path": self.path,
            "module": self.module,
            "problem": self.problem,
            "expected": self.expected,
            "found": self.found,
            "names": list(self.names)[:NAMES],
            "repair": list(self.repair),
            "how": self.how,
        }


class FixFile(NamedTuple):
    """A file that a repair takes away; unless ``inode`` is 0 only if it is still the one that was read."""

    path: str
    inode: int
    mtime: int


class Fix(NamedTuple):
    """What repairs a cache: rows of its survey, files that are no entries, and what must stay (entries, bytes)."""

    survey: Survey
    rows: List[int]
    files: List[FixFile]
    protected: Dict[str, List[int]]

    def keep(self, reason: str, amount: int) -> None:
        """Counts a damaged entry of *amount* bytes that stays."""
        cell = self.protected.setdefault(reason, [0, 0])
        cell[0] += 1
        cell[1] += amount


class Options(NamedTuple):
    """How far a verification goes.

    ``deadline`` on time.monotonic()'s clock; ``sample`` percent of the entries whose contents are read, chosen by
    their name and ``seed``, so that the same seed takes the same entries and other seeds take others.
    """

    deadline: float
    sample: float = 100.0
    seed: str = ""
    threads: int = 2

    def tick(self, _read: int = 0) -> None:
        """Raises OutOfTime when the time budget is used up; called at each block that is read."""
        if time.monotonic() >= self.deadline:
            raise OutOfTime

    def takes(self, name: str) -> bool:
        """Whether the entry of this name belongs to the sample."""
        if self.sample >= 100.0:
            return True
        point = zlib.crc32((self.seed + "\0" + name).encode("utf-8", "surrogateescape"))
        return point < self.sample / 100.0 * 4294967296.0


class Report:
    """Collects what was found in one cache. Thread-safe."""

    def __init__(self, classes: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self.classes = {name: {"checked": 0, "ok": 0, "damaged": 0, "skipped": 0, "bytes": 0} for name in classes}
        self.damaged: List[Damage] = []
        self.notes: Dict[str, int] = {}
        self.unreached_entries = 0
        self.unreached_bytes = 0
        self.unreached_why: Dict[str, int] = {}
        self.truncated: Optional[str] = None

    def ok(self, cls: str, size: int = 0) -> None:
        """Counts a sound thing of *size* bytes."""
        with self._lock:
            cell = self.classes[cls]
            cell["checked"] += 1
            cell["ok"] += 1
            cell["bytes"] += size

    def bad(self, damage: Damage, size: int = 0) -> None:
        """Counts a damaged thing."""
        with self._lock:
            cell = self.classes[damage.cls]
            cell["checked"] += 1
            cell["damaged"] += 1
            cell["bytes"] += size
            self.damaged.append(damage)

    def skip(self, cls: str, note: str = "") -> None:
        """Counts a thing that was not checked: outside the sample, changed meanwhile, beyond the time limit."""
        with self._lock:
            self.classes[cls]["skipped"] += 1
            if note:
                self.notes[note] = self.notes.get(note, 0) + 1

    def note(self, name: str, count: int = 1) -> None:
        """Counts something that is neither sound nor damaged."""
        with self._lock:
            self.notes[name] = self.notes.get(name, 0) + count

    def unreached(self, why: str, size: int = 0) -> None:
        """Counts an entry of *size* bytes that the rights did not reach, with the reason."""
        with self._lock:
            self.unreached_entries += 1
            self.unreached_bytes += size
            self.unreached_why[why] = self.unreached_why.get(why, 0) + 1

    def cut(self, why: str) -> None:
        """Says why not everything was looked at; the first reason stays."""
        with self._lock:
            if self.truncated is None:
                self.truncated = why

    def data(self) -> Dict[str, Any]:
        """The report as plain data; damaged items sorted by path and capped."""
        items = sorted(self.damaged, key=lambda item: (item.path, item.cls, item.problem))
        return {
            "ok": not items,
            "classes": self.classes,
            "damaged": [item.data() for item in items[:CAP]],
            "damaged_total": len(items),
            "notes": dict(sorted(self.notes.items())),
            "unreached": {
                "entries": self.unreached_entries,
                "bytes": self.unreached_bytes,
                "reasons": dict(sorted(self.unreached_why.items())),
            },
            "truncated": self.truncated,
        }


def each(work: Callable[[Item], None], items: Sequence[Item], threads: int) -> None:
    """Calls *work* for each item in *threads* threads; OutOfTime ends it quietly for the rest, other errors are raised.

    *work* must count what it gives up because of OutOfTime itself; items that were never begun are not counted.
    """
    late: List[int] = []

    def one(at: int) -> None:
        try:
            work(items[at])
        except OutOfTime:
            late.append(at)

    pool.work_off(one, range(len(items)), threads, lambda: bool(late))
