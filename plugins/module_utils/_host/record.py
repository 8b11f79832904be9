# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a purge asks of the agent's journal and tells it. Without a journal everything goes on, with a note."""

from __future__ import annotations

import time
from array import array
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from .._core import evict as core
from .._core import plan as planner
from .._core.policy import Policy
from .._core.survey import SECOND, Survey
from .._journal import advice, ghosts, store
from .._kinds.table import KINDS
from . import look

# Runs that the advisor looks back at.
_BACK = 12


def trims() -> Dict[str, int]:
    """After how many days without use a kind's own tool removes entries."""
    return {name: kind.trim_days for name, kind in KINDS.items() if kind.trim_days}


class Record:
    """The journal during one run; *write* False (check mode): nothing is made or changed.

    It is opened twice, before and after the evictions, so that no worker process inherits it.
    """

    def __init__(self, write: bool, note: Callable[[str], None]) -> None:
        self._write = write
        self._note = note
        self._began = time.time_ns()
        self.back: Dict[str, ghosts.Back] = {}
        self.since: Dict[str, Dict[str, int]] = {}

    def look(self, surveys: Sequence[Survey], unneeded: Callable[[Survey], Optional[List[str]]]) -> None:
        """Finds what has come back since earlier runs evicted it, and since when (Unix seconds, in ``since``) the
        labels that *unneeded* gives for a survey (None: it does not matter) have been needed by nothing.
        """
        journal = store.open_journal(self._write, self._note)
        if journal is None:
            return
        try:
            for seen in surveys:
                # Times of files are real, whatever clock a test has set.
                self.back[seen.cache.path] = journal.regret(seen.cache, seen.entries, time.time_ns())
                labels = unneeded(seen)
                if labels is not None:
                    # Counted like every age from the last build: a clock set ahead makes nothing old.
                    found = journal.unneeded(seen.cache, labels, min(look.now_ns(), seen.last_build))
                    self.since[seen.cache.path] = {label: moment // SECOND for label, moment in found.items()}
            if self._write:
                journal.begin([seen.cache for seen in surveys])
        finally:
            journal.close()
            self._began = time.time_ns()

    def regret(self, path: str) -> Dict[str, Any]:
        """What has come back to one cache since the last run, as plain data."""
        back = self.back.get(path, ghosts.Back())
        return {
            "entries": back.entries,
            "bytes": back.bytes,
            "median_seconds": back.median_seconds,
            "restored_entries": back.restored_entries,
            "restored_bytes": back.restored_bytes,
        }

    def finish(
        self,
        door: str,
        plan: planner.Plan,
        outcomes: Mapping[str, core.Outcome],
        result: Mapping[str, Any],
    ) -> List[Dict[str, Any]]:
        """Writes the run down (not in check mode) and returns the advisor's sentences as plain data."""
        import hashlib  # slow to load: a survey does without

        now = look.now_ns()
        run = store.Run(
            now,
            door,
            "purge",
            hashlib.sha256(plan.policy.canonical().encode()).hexdigest(),
            plan.digest,
            plan.bytes,
            result["freed_bytes"],
            0 if not self._write else result["evicted_entries"],
            result["left_out_entries"],
            result["free_bytes_before"],
            result["free_bytes_after"],
            result["notes"],
        )
        rows = [self._row(steps, plan.policy, outcomes.get(steps.survey.cache.path), now) for steps in plan.caches]
        journal = store.open_journal(self._write, self._note)
        if journal is None:
            return []
        try:
            if self._write:
                journal.record(run, rows)
                return advice.advise(journal.rows(_BACK), trims())
            return advice.advise([store.plain_row(run, row) for row in rows] + journal.rows(_BACK), trims())
        finally:
            journal.close()

    def _row(self, steps: planner.CachePlan, policy: Policy, out: Optional[core.Outcome], now: int) -> store.Row:
        seen = steps.survey
        entries = seen.entries
        allocated = seen.totals["allocated"]
        whole = not seen.unreached and seen.truncated is None
        before = ghosts.picture(entries.used, allocated, now, (), whole)
        if out is None or not out.evicted:
            return store.Row(seen.cache, before, before, cap_of(policy, seen))
        went = array("i", filter(out.went, steps.rows))
        after = ghosts.picture(entries.used, max(allocated - out.freed, 0), now, went, whole)
        gone = ghosts.of_rows(entries, went, now)
        return store.Row(seen.cache, before, after, cap_of(policy, seen), out.evicted, out.freed, gone, self._began)


def cap_of(policy: Policy, seen: Survey) -> Optional[int]:
    """The smallest size in bytes that the policy holds this cache to; None: it has no cap."""
    caps = [policy.max_size_all]
    for rule in policy.rules:
        if rule.kind == seen.cache.kind and not rule.match:
            caps += [rule.max_size, rule.max_size_each]
    known = [cap for cap in caps if cap is not None]
    return min(known) if known else None


def advise(note: Callable[[str], None]) -> List[Dict[str, Any]]:
    """What the journal has to tell by now; nothing is made or changed."""
    journal = store.open_journal(False, note)
    if journal is None:
        return []
    try:
        return advice.advise(journal.rows(_BACK), trims())
    finally:
        journal.close()


def history(limit: int, note: Callable[[str], None]) -> Dict[str, Any]:
    """The last *limit* runs, newest first, and sums by policy; see :meth:`.._journal.store.Journal.history`."""
    journal = store.open_journal(False, note)
    if journal is None:
        return {"runs": [], "policies": []}
    try:
        return journal.history(limit)
    finally:
        journal.close()


def unneeded_labels(labels: Sequence[str], needed: Sequence[planner.Needed]) -> List[str]:
    """The labels that none of *needed* names; none where one of them is not complete."""
    if not needed or not all(one.complete for one in needed):
        return []
    return [label for label in labels if not any(one.names(label) for one in needed)]
