# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From surveys and a policy to the exact list of evictions: pure, the same input gives the same plan and digest."""

from __future__ import annotations

import hashlib
import heapq
import json
from array import array
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import patterns
from .policy import Policy, Rule
from .survey import SECOND, Survey

VERSION = 1
_FUTURE_SLACK = 300 * SECOND  # clocks of a container host and its file server may differ by that much

FREE, FLOOR, FUTURE, KEEP, PRIVATE, GUARD, UNKNOWN, HOLD, NO_AGE, FINAL = range(10)
_PROTECTED = (
    "",
    "floor",
    "future",
    "keep",
    "private",
    "guard",
    "private unknown",
    "",
    "age unknown",
    "not downloadable",
)
REASONS = ("", "wipe", "max_age", "evict_before", "named", "max_size", "max_entries", "free_space")
_R = {name: number for number, name in enumerate(REASONS)}


class Disk(NamedTuple):
    """A file system as the planner sees it: bytes and inodes, total and free; ``known`` False means: decide nothing."""

    total: int
    free: int
    inodes: int
    inodes_free: int
    known: bool


class Context(NamedTuple):
    """What a plan depends on besides the trees and the policy.

    ``now`` in Unix nanoseconds; ``disks`` by device number; ``private`` are the patterns known to be private from
    settings and policy, None where neither says; ``idle`` names the caches proven idle by their path; ``final`` names
    those into which nothing can be downloaded again, as far as is known.
    """

    now: int
    disks: Mapping[int, Disk]
    private: Optional[Tuple[str, ...]]
    idle: Mapping[str, bool]
    final: Mapping[str, bool] = {}


class CachePlan(NamedTuple):
    """The evictions of one cache in the order in which they are carried out.

    ``rows`` number the survey's entries; ``reasons`` run parallel to them. ``protected`` and ``pending`` map a reason
    to [entries, bytes].
    """

    survey: Survey
    rows: array[int]
    reasons: array[int]
    protected: Dict[str, List[int]]
    pending: Dict[str, List[int]]
    idle: bool

    @property
    def bytes(self) -> int:
        """What the evictions give back, in bytes."""
        freed = self.survey.entries.freed
        return sum(freed[row] for row in self.rows)


class Plan(NamedTuple):
    """The plan of a run; ``notes`` are sentences for people, ``acts`` is False above the policy's start mark."""

    caches: Tuple[CachePlan, ...]
    policy: Policy
    acts: bool
    notes: Tuple[str, ...]
    digest: str

    @property
    def entries(self) -> int:
        """The number of evictions."""
        return sum(len(cache.rows) for cache in self.caches)

    @property
    def bytes(self) -> int:
        """What all evictions give back, in bytes."""
        return sum(cache.bytes for cache in self.caches)


class _Work:
    """One cache while it is planned."""

    def __init__(self, survey: Survey, idle: bool) -> None:
        self.survey = survey
        self.idle = idle
        self.guard = bytearray(len(survey.entries))
        self.chosen = bytearray(len(survey.entries))
        self.pending = bytearray(len(survey.entries))
        self.rules: Dict[int, Optional[Rule]] = {}
        self.rule: Optional[Rule] = None
        self.freed = 0
        self.freed_inodes = 0
        self.margins = survey.margins
        entries = survey.entries
        # A guard may itself be guarded, by a row of an earlier phase.
        self.guarded = [row for row in range(len(entries)) if entries.guard[row] >= 0]
        self.guarded.sort(key=lambda row: entries.phase[row])

    def used(self, row: int) -> int:
        entries = self.survey.entries
        return entries.used[row] + self.margins[entries.phase[row]]

    def rule_of(self, row: int) -> Optional[Rule]:
        group = self.survey.entries.group[row]
        return self.rules.get(group, self.rule) if group >= 0 else self.rule

    def choose(self, row: int, reason: int) -> None:
        """Selects a row, or makes it pending while what it waits for is still there."""
        entries = self.survey.entries
        if entries.waits[row] >= 0:
            self.pending[row] = reason
        elif not self.chosen[row]:
            self.chosen[row] = reason
            self.freed += entries.freed[row]
            self.freed_inodes += entries.inodes[row]

    def candidates(self) -> List[int]:
        """Rows that may still go now, least recently used first; a guard always before what it guards."""
        entries, guard, chosen, waits = self.survey.entries, self.guard, self.chosen, self.survey.entries.waits
        rows = [r for r in range(len(entries)) if not guard[r] and not chosen[r] and waits[r] < 0]
        rows.sort(key=lambda r: (self.used(r), entries.phase[r], r))
        return rows


def _protect(work: _Work, policy: Policy, context: Context) -> None:
    survey = work.survey
    entries, state = survey.entries, work.guard
    named = [rule for rule in policy.rules if rule.kind == survey.cache.kind]
    keeps, secrets, exact, rules = _by_label(survey.labels, named, policy, context)
    work.rules = rules
    work.rule = next((rule for rule in named if not rule.match), None)
    if work.idle and work.rule is not None and work.rule.wipe and len(named) == 1:
        # All go, and nobody looks: no entry is kept that could point to one that went.
        work.margins = tuple(0 for _number in survey.margins)
    final = FINAL if context.final.get(survey.cache.path) else UNKNOWN
    unfetchable = [tier.back == "download" and (final == FINAL or context.private is None) for tier in survey.tiers]
    tier = entries.tier
    floor = context.now - policy.floor * SECOND - (0 if work.idle else survey.grain)
    future = context.now + _FUTURE_SLACK
    margins, used, phase, group, hold = work.margins, entries.used, entries.phase, entries.group, entries.hold
    for row in range(len(entries)):
        last = used[row]
        g = group[row]
        if hold[row]:
            state[row] = HOLD
        elif g >= 0 and secrets[g]:
            state[row] = secrets[g]
        elif g >= 0 and unfetchable[tier[row]] and not exact[g]:
            state[row] = final
        elif g >= 0 and keeps[g]:
            state[row] = KEEP
        elif last > future:
            state[row] = FUTURE
        elif last <= 0:
            state[row] = NO_AGE  # a time stamp that was never set tells of no use
        elif last + margins[phase[row]] > floor:
            state[row] = FLOOR
    for row in work.guarded:
        if state[entries.guard[row]] and not state[row]:
            state[row] = GUARD


def _by_label(
    labels: Sequence[str], named: Sequence[Rule], policy: Policy, context: Context
) -> Tuple[bytearray, bytearray, bytearray, Dict[int, Optional[Rule]]]:
    keeps, secrets, named_exactly = bytearray(len(labels)), bytearray(len(labels)), bytearray(len(labels))
    rules: Dict[int, Optional[Rule]] = {}
    exact = [p for rule in named for p in rule.modules if patterns.names_one(p)]
    plain = next((rule for rule in named if not rule.match), None)
    for number, label in enumerate(labels):
        rule = next((r for r in named if r.match and patterns.any_selects(r.match, label)), plain)
        rules[number] = rule
        keeps[number] = patterns.any_protects(policy.keep + (rule.keep if rule else ()), label)
        named_exactly[number] = patterns.any_selects(exact, label)
        if context.private and not named_exactly[number] and patterns.any_protects(context.private, label):
            secrets[number] = PRIVATE
    return keeps, secrets, named_exactly, rules


def _select(work: _Work, reference: int) -> None:
    entries, state = work.survey.entries, work.guard
    labels = work.survey.labels
    for row in range(len(entries)):
        if state[row]:
            continue
        rule = work.rule_of(row)
        if rule is None:
            continue
        group = entries.group[row]
        used = work.used(row)
        if rule.wipe:
            work.choose(row, _R["wipe"])
        elif rule.modules and group >= 0 and patterns.any_selects(rule.modules, labels[group]):
            work.choose(row, _R["named"])
        elif rule.max_age is not None and used < reference - rule.max_age * SECOND:
            work.choose(row, _R["max_age"])
        elif rule.evict_before is not None and used < rule.evict_before * SECOND:
            work.choose(row, _R["evict_before"])
    _drop_unguarded(work)


def _drop_unguarded(work: _Work) -> None:
    """Takes back what was chosen although the entry that must go before it stays."""
    entries = work.survey.entries
    for row in work.guarded:
        if work.chosen[row] and not work.chosen[entries.guard[row]]:
            work.chosen[row] = 0
            work.guard[row] = GUARD
            work.freed -= entries.freed[row]
            work.freed_inodes -= entries.inodes[row]


def _merged(works: Sequence[_Work], cheapest: bool) -> Iterator[Tuple[_Work, int]]:
    def keyed(number: int, work: _Work) -> Iterator[Tuple[int, int, int, int, int]]:
        entries, tiers = work.survey.entries, work.survey.tiers
        rows = work.candidates()
        if cheapest:
            rows.sort(key=lambda r: tiers[entries.tier[r]].cost)
        for row in rows:
            yield (tiers[entries.tier[row]].cost if cheapest else 0, work.used(row), entries.phase[row], number, row)

    for _cost, _used, _phase, number, row in heapq.merge(*(keyed(n, w) for n, w in enumerate(works))):
        yield works[number], row


def _shrink(works: Sequence[_Work], over: int, over_inodes: int, reason: str, cheapest: bool) -> Tuple[int, int]:
    """Chooses least recently used entries until *over* bytes and *over_inodes* are found; returns what is missing."""
    if over <= 0 and over_inodes <= 0:
        return 0, 0
    for work, row in _merged(works, cheapest):
        guard = work.survey.entries.guard[row]
        if guard >= 0 and not work.chosen[guard]:
            continue
        work.choose(row, _R[reason])
        over -= work.survey.entries.freed[row]
        over_inodes -= work.survey.entries.inodes[row]
        if over <= 0 and over_inodes <= 0:
            return 0, 0
    for work in works:  # what only a later run can take
        entries = work.survey.entries
        for row in range(len(entries)):
            wait = entries.waits[row]
            if wait >= 0 and work.chosen[wait] and not work.guard[row] and not work.pending[row]:
                if over <= 0 and over_inodes <= 0:
                    return 0, 0
                work.pending[row] = _R[reason]
                over -= entries.freed[row]
                over_inodes -= entries.inodes[row]
    return max(over, 0), max(over_inodes, 0)


def _allocated(work: _Work) -> int:
    return work.survey.totals.get("allocated", 0) - work.freed


def _budgets(works: Sequence[_Work], policy: Policy, notes: List[str]) -> None:
    for rule in policy.rules:
        mine = [w for w in works if w.survey.cache.kind == rule.kind]
        if not mine or rule.match:
            continue
        for work in mine:
            name = work.survey.cache.path
            if rule.max_size_each is not None:
                missing, _i = _shrink(
                    [work], _allocated(work) - rule.max_size_each, 0, "max_size", policy.cheapest_first
                )
                _note(notes, missing, "max_size_each of %s not reached" % name)
            if rule.max_entries is not None:
                left = len(work.survey.entries) - sum(1 for c in work.chosen if c)
                _count(work, left - rule.max_entries, notes)
        if rule.max_size is not None:
            over = sum(_allocated(work) for work in mine) - rule.max_size
            missing, _i = _shrink(mine, over, 0, "max_size", policy.cheapest_first)
            _note(notes, missing, "max_size of all %s caches not reached" % rule.kind)


def _count(work: _Work, over: int, notes: List[str]) -> None:
    for row in work.candidates():
        if over <= 0:
            return
        guard = work.survey.entries.guard[row]
        if guard < 0 or work.chosen[guard]:
            work.choose(row, _R["max_entries"])
            over -= 1
    if over > 0:
        notes.append("max_entries of %s not reached: %d entries are protected" % (work.survey.cache.path, over))


def _note(notes: List[str], missing: int, what: str) -> None:
    if missing > 0:
        notes.append("%s: %d bytes are protected by the floor, kept, or pending" % (what, missing))


def _below(disk: Disk, policy: Policy) -> bool:
    """Whether a file system is below one of the start marks; never where its size is unknown."""
    when = policy.when
    if when is None:
        return True
    if not disk.known:
        return False
    if when.space is not None and disk.total and disk.free < when.space.of(disk.total):
        return True
    return bool(when.inodes is not None and disk.inodes and disk.inodes_free < when.inodes.of(disk.inodes))


def acts_on(policy: Policy, disks: Mapping[int, Disk]) -> List[int]:
    """The devices that the policy's start mark lets a run act on; costs no look at a cache."""
    return [device for device, disk in disks.items() if _below(disk, policy)]


def _pressure(works: Sequence[_Work], policy: Policy, context: Context, notes: List[str]) -> None:
    until = policy.until
    if until is None:
        return
    for device in sorted({w.survey.cache.device for w in works}):
        disk = context.disks.get(device)
        if disk is None or not disk.known:
            continue
        mine = [w for w in works if w.survey.cache.device == device and w.rule is not None]
        over = over_inodes = 0
        if until.space is not None:
            over = until.space.of(disk.total) - disk.free - sum(w.freed for w in mine)
        if until.inodes is not None and disk.inodes:
            over_inodes = until.inodes.of(disk.inodes) - disk.inodes_free - sum(w.freed_inodes for w in mine)
        missing, missing_inodes = _shrink(mine, over, over_inodes, "free_space", policy.cheapest_first)
        if missing:
            notes.append("stop mark not reached: %d bytes more are asked than may be evicted" % missing)
        if missing_inodes:
            notes.append("stop mark not reached: %d inodes more are asked than may be evicted" % missing_inodes)


def make(surveys: Sequence[Survey], policy: Policy, context: Context) -> Plan:
    """The plan for *surveys* under *policy*. Pure; O(n log n) in the number of entries.

    Ages count back from the newest sign of a build on the agent (never from later than ``context.now``), so that a
    holiday, or a clock that was set a year ahead, ages nothing; the floor counts from now.
    """
    notes: List[str] = []
    works = [_Work(survey, context.idle.get(survey.cache.path, False)) for survey in surveys]
    active = []
    for work in works:
        disk = context.disks.get(work.survey.cache.device)
        if policy.when is None or (disk is not None and _below(disk, policy)):
            active.append(work)
    reference = min([context.now] + [max(s.last_build for s in surveys)] if surveys else [context.now])
    for work in active:
        _protect(work, policy, context)
        _select(work, reference)
    notes.extend(_unmatched(active, policy))
    _budgets(active, policy, notes)
    _pressure(active, policy, context, notes)
    caches = tuple(_finish(work, work in active) for work in works)
    plan = Plan(caches, policy, bool(active) or not works, tuple(notes), "")
    return plan._replace(digest=digest(plan))


def _unmatched(works: Sequence[_Work], policy: Policy) -> Iterator[str]:
    """A sentence for each pattern that names nothing: a misspelt module must not look like a module that is gone."""
    labels = [label for work in works for label in work.survey.labels]
    for pattern in dict.fromkeys(p for rule in policy.rules for p in rule.modules):
        if not any(patterns.selects(pattern, label) for label in labels):
            yield "modules: %s matches nothing in these caches" % pattern


def _finish(work: _Work, active: bool) -> CachePlan:
    survey = work.survey
    entries = survey.entries
    chosen = work.chosen
    order = [row for row in range(len(entries)) if chosen[row]]
    order.sort(key=lambda r: (entries.phase[r], entries.used[r], entries.key(r)))
    rows = array("i", order)
    reasons = array("B", (chosen[row] for row in order))
    protected: Dict[str, List[int]] = {}
    pending: Dict[str, List[int]] = {}
    if active:
        for row in range(len(entries)):
            if work.pending[row]:
                _add(pending, REASONS[work.pending[row]], entries.freed[row])
            elif work.guard[row]:
                state = work.guard[row]
                name = survey.holds[entries.hold[row]] if state == HOLD else _PROTECTED[state]
                _add(protected, name, entries.freed[row])
    return CachePlan(survey, rows, reasons, protected, pending, work.idle)


def _add(table: Dict[str, List[int]], name: str, amount: int) -> None:
    cell = table.setdefault(name, [0, 0])
    cell[0] += 1
    cell[1] += amount


def entry(cache: CachePlan, at: int) -> Dict[str, Any]:
    """The *at*-th eviction of a cache as plain data (``path`` is the kind's key, odd bytes replaced)."""
    entries, row = cache.survey.entries, cache.rows[at]
    found: Dict[str, Any] = {
        "path": entries.key(row).decode("utf-8", "backslashreplace"),
        "inode": entries.inode[row],
        "mtime": entries.mtime[row],
        "used": entries.used[row],
        "bytes": entries.freed[row],
        "tier": cache.survey.tiers[entries.tier[row]].name,
        "reason": REASONS[cache.reasons[at]],
        "evidence": cache.survey.evidence,
    }
    if entries.group[row] >= 0:
        found["module"] = cache.survey.labels[entries.group[row]]
    return found


def document(plan: Plan) -> Iterator[str]:
    """The plan as canonical JSON Lines, without wall-clock times: the same tree and policy give the same text."""
    yield json.dumps({"plan": VERSION, "policy": plan.policy.document()}, sort_keys=True, separators=(",", ":"))
    for cache in plan.caches:
        ref = cache.survey.cache
        head = {
            "cache": ref.path,
            "kind": ref.kind,
            "uid": ref.uid,
            "entries": len(cache.rows),
            "evidence": cache.survey.evidence,
        }
        yield json.dumps(head, sort_keys=True, separators=(",", ":"))
        entries, tiers = cache.survey.entries, [json.dumps(t.name) for t in cache.survey.tiers]
        reasons = [json.dumps(r) for r in REASONS]
        for at, row in enumerate(cache.rows):
            yield '{"bytes":%d,"inode":%d,"mtime":%d,"path":%s,"reason":%s,"tier":%s,"used":%d}' % (
                entries.freed[row],
                entries.inode[row],
                entries.mtime[row],
                json.dumps(entries.key(row).decode("utf-8", "surrogateescape")),
                reasons[cache.reasons[at]],
                tiers[entries.tier[row]],
                entries.used[row],
            )


def digest(plan: Plan) -> str:
    """SHA-256 of the document, as hexadecimal digits."""
    total = hashlib.sha256()
    batch: List[str] = []
    for line in document(plan):
        batch.append(line)
        if len(batch) == 1000:
            total.update(("\n".join(batch) + "\n").encode("utf-8", "surrogateescape"))
            batch = []
    if batch:
        total.update(("\n".join(batch) + "\n").encode("utf-8", "surrogateescape"))
    return total.hexdigest()
