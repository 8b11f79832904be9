# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out a plan: what every kind's eviction shares. Counts only what was done, and names what was not."""

from __future__ import annotations

import base64
import threading
import time
import zlib
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

CAP = 100

# Why a planned entry was not evicted. The outcome of a run is the plan minus these.
USED = "used since"
GONE = "gone"
BUSY = "in use"
LOCKED = "locked"
TIME = "time limit"
OWNER = "other owner"
CHANGED = "changed"
UNSOUND = "unsound zip"
GUARDED = "its guard stayed"
ERROR = "error"
# Why an undo had nothing to put back: it was made anew meanwhile.
BACK = "made anew since"


class Activity(NamedTuple):
    """An answer of the scan for running tools: ``who`` are those that may use the cache, as (pid, start, name).

    ``complete`` is False where the rights do not show every process: then nothing is proven idle.
    """

    who: Tuple[Tuple[int, int, str], ...]
    complete: bool


def _nobody(_evicted: int, _freed: int, _inodes: int) -> None:
    pass


def never() -> bool:
    """Nobody wants the run to end."""
    return False


class Job(NamedTuple):
    """What an eviction may rely on: ``deadline`` on time.monotonic()'s clock, ``scan`` asks for running tools.

    ``below_floor`` says that the plan takes entries younger than the least floor, whose use leaves no trace: then the
    second phase may run only while no tool does. ``forget`` is called with the path below the root
    of what has just been taken out of sight, so that what other caches know of it goes too. ``step`` is called with a
    name at each step boundary (fault injection in tests; nothing in production). ``tell`` gets the sums of evictions,
    bytes and inodes after each eviction, so that they are known even when the process is killed. ``aside`` is the name
    under which what goes is kept for a while (quarantine), so that it can come back; '' where it is removed. ``stop``
    says whether somebody wants the run to end now. ``local`` says that nobody on another host can use the cache.
    """

    deadline: float
    scan: Callable[[], Activity]
    below_floor: bool
    threads: int
    step: Callable[[str], None]
    forget: Callable[[str], None]
    tell: Callable[[int, int, int], None] = _nobody
    aside: str = ""
    stop: Callable[[], bool] = never
    local: bool = False

    def late(self) -> bool:
        """Whether the time budget is used up, or the run is to end."""
        return time.monotonic() >= self.deadline or self.stop()


class Outcome:
    """What an apply did to one cache, also when an ``error`` ended it early. Thread-safe; sizes in bytes.

    ``aside`` counts what lies in quarantine now: it is evicted, but nothing was given back yet.
    """

    def __init__(self, tell: Callable[[int, int, int], None] = _nobody) -> None:
        self._lock = threading.Lock()
        self._tell = tell
        self.evicted = 0
        self.freed = 0
        self.aside = 0
        self.inodes = 0
        self.skipped: Dict[str, List[int]] = {}
        self.samples: List[Dict[str, Any]] = []
        self.notes: List[str] = []
        self.error = ""
        # One bit for each of the survey's rows that went: what may be missed later.
        self.gone = bytearray()
        # The names of what an undo has put back.
        self.back: List[str] = []

    def run(self, work: Callable[[], None]) -> Outcome:
        """Calls *work*; an error that ends it is kept in ``error``, so that what was done before it is still told."""
        try:
            work()
        except Exception as exc:
            self.error = "%s: %s" % (type(exc).__name__, exc)
        return self

    def done(self, freed: int, inodes: int = 1, entries: int = 1, rows: Sequence[int] = (), aside: int = 0) -> None:
        """Counts evictions that were carried out; *rows* are those of the survey's entries, where they are such."""
        with self._lock:
            at = max(rows, default=-1) >> 3
            if at >= len(self.gone):
                self.gone.extend(bytes(max(at + 1 - len(self.gone), 4096)))
            for row in rows:
                self.gone[row >> 3] |= 1 << (row & 7)
            self.evicted += entries
            self.freed += freed
            self.aside += aside
            self.inodes += inodes
            self._tell(self.evicted, self.freed, self.inodes)

    def skip(self, reason: str, path: str, amount: int, detail: str = "") -> None:
        """Counts one planned entry that stays, with the reason; the first hundred are returned by name."""
        with self._lock:
            cell = self.skipped.setdefault(reason, [0, 0])
            cell[0] += 1
            cell[1] += amount
            if len(self.samples) < CAP:
                item: Dict[str, Any] = {"path": path, "reason": reason, "bytes": amount}
                if detail:
                    item["detail"] = detail
                self.samples.append(item)

    def note(self, text: str) -> None:
        """Adds a sentence for people, once."""
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)

    @classmethod
    def of(cls, data: Dict[str, Any]) -> Outcome:
        """The outcome that another process told by :meth:`data`."""
        out = cls()
        out.evicted, out.freed, out.inodes = int(data["evicted"]), int(data["freed"]), int(data["inodes"])
        out.aside = int(data["aside"])
        out.skipped = {str(name): [int(c[0]), int(c[1])] for name, c in data["skipped"].items()}
        out.samples = list(data["samples"])
        out.notes = [str(text) for text in data["notes"]]
        out.error = str(data["error"])
        out.back = [str(path) for path in data["back"]]
        out.gone = bytearray(zlib.decompress(base64.b64decode(data["gone"])))
        return out

    def went(self, row: int) -> bool:
        """Whether the entry in *row* of the survey was evicted."""
        at = row >> 3
        return at < len(self.gone) and bool(self.gone[at] >> (row & 7) & 1)

    def add(self, other: Outcome) -> None:
        """Adds what another process did to the same cache."""
        self.evicted += other.evicted
        self.freed += other.freed
        self.aside += other.aside
        self.inodes += other.inodes
        for reason, cell in other.skipped.items():
            mine = self.skipped.setdefault(reason, [0, 0])
            mine[0] += cell[0]
            mine[1] += cell[1]
        self.samples = (self.samples + other.samples)[:CAP]
        for text in other.notes:
            self.note(text)
        self.error = "; ".join(text for text in (self.error, other.error) if text)
        self.gone.extend(bytes(max(0, len(other.gone) - len(self.gone))))
        for at, bits in enumerate(other.gone):
            self.gone[at] |= bits

    def data(self) -> Dict[str, Any]:
        """The outcome as plain data."""
        return {
            "evicted": self.evicted,
            "freed": self.freed,
            "aside": self.aside,
            "inodes": self.inodes,
            "skipped": self.skipped,
            "samples": self.samples,
            "notes": self.notes,
            "error": self.error,
            "back": self.back,
            "gone": base64.b64encode(zlib.compress(bytes(self.gone), 1)).decode("ascii"),
        }


def alone(job: Job) -> bool:
    """Whether every tool that may use the cache would be seen, and none runs."""
    seen = job.scan()
    return seen.complete and not seen.who and job.local


def settle(job: Job, seconds: float) -> None:
    """Lets tools that had found what has just gone mark, or take, what belongs to it.

    Where every tool that may have is seen, and none runs, nobody needs the pause: who starts now finds it gone.
    """
    if not alone(job):
        time.sleep(min(seconds, max(0.0, job.deadline - time.monotonic())))


def wait_quiet(job: Job) -> bool:
    """Waits for a moment in which no tool runs that may use the cache; False when the time budget ran out first."""
    pause = 0.05
    while job.scan().who:
        if job.late():
            return False
        time.sleep(min(pause, max(0.0, job.deadline - time.monotonic())))
        pause = min(pause * 1.5, 1.0)
    return True
