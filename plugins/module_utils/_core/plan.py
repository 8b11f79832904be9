# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From surveys and a policy to the exact list of evictions: pure, the same input gives the same plan and digest."""

from __future__ import annotations

import heapq
import json
import json.encoder
from array import array
from itertools import compress, islice, repeat
from operator import add, eq, lt
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from . import patterns
from .columns import slices
from .document import read_json
from .policy import Policy, Rule
from .survey import SECOND, Entries, Survey
from .units import human

VERSION = 1
_FUTURE_SLACK = 300 * SECOND  # clocks of a container host and its file server may differ by that much

FREE, FLOOR, FUTURE, KEEP, PRIVATE, GUARD, UNKNOWN, HOLD, NO_AGE, FINAL = range(10)
NEEDED, UNREAD, NEWEST, GRACE, BY_HAND = range(10, 15)
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
    "needed",
    "roots not readable",
    "newest",
    "quarantine",
    "comes back by hand only",
)
REASONS = (
    "",
    "wipe",
    "max_age",
    "evict_before",
    "named",
    "max_size",
    "max_entries",
    "free_space",
    "unneeded",
    "expired",
)
_R = {name: number for number, name in enumerate(REASONS)}
_LATEST = 2**63 - 1
# What bytes.translate makes flags with, one byte a row: rows that have nothing, rows that have something.
_NONE = b"\1" + bytes(255)
_ANY = b"\0" + b"\1" * 255
_PAGE = 1000
_Flags = Union[bytes, bytearray]


class Disk(NamedTuple):
    """A file system as the planner sees it: bytes and inodes, total and free; ``known`` False means: decide nothing."""

    total: int
    free: int
    inodes: int
    inodes_free: int
    known: bool


class Needed(NamedTuple):
    """What the projects below one folder need: ``labels`` (name@version), ``patterns`` of more, and whether that is
    all; where it is not (``complete`` False) they may need anything.
    """

    labels: FrozenSet[str]
    patterns: Tuple[str, ...]
    complete: bool

    def names(self, label: str) -> bool:
        """Whether *label* is needed, as far as is known."""
        return label in self.labels or patterns.any_protects(self.patterns, label)


class Context(NamedTuple):
    """What a plan depends on besides the trees and the policy.

    ``now`` in Unix nanoseconds; ``disks`` by device number; ``private`` are the patterns known to be private from
    settings and policy, None where neither says; ``idle`` names the caches proven idle by their path; ``final`` names
    those into which nothing can be downloaded again, as far as is known. ``needed`` tells of the policy's root folders,
    ``unneeded`` since when (Unix seconds) nothing has needed a label of a cache; ``busy`` names the caches in use, and
    ``remote`` those on file servers, whose clock is not ours.
    """

    now: int
    disks: Mapping[int, Disk]
    private: Optional[Tuple[str, ...]]
    idle: Mapping[str, bool]
    final: Mapping[str, bool] = {}
    needed: Mapping[str, Needed] = {}
    unneeded: Mapping[str, Mapping[str, int]] = {}
    busy: FrozenSet[str] = frozenset()
    remote: FrozenSet[str] = frozenset()


class CachePlan(NamedTuple):
    """The evictions of one cache in the order in which they are carried out.

    ``rows`` number the survey's entries; ``reasons`` run parallel to them. ``protected`` and ``pending`` map a reason
    to [entries, bytes]. ``lost`` are entries of a saved plan that may no longer go, by reason in the same way, and
    ``missing`` the first hundred of them by name.
    """

    survey: Survey
    rows: array[int]
    reasons: array[int]
    protected: Dict[str, List[int]]
    pending: Dict[str, List[int]]
    idle: bool
    lost: Mapping[str, List[int]] = {}
    missing: Sequence[Mapping[str, Any]] = ()

    @property
    def bytes(self) -> int:
        """What the evictions give back, in bytes."""
        return sum(map(self.survey.entries.freed.__getitem__, self.rows))


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


def _is(value: int) -> bytes:
    """What bytes.translate makes flags with: rows that have *value*."""
    return bytes(value) + b"\1" + bytes(255 - value)


def _all(column: array[int], value: int) -> bool:
    return column == array(column.typecode, (value,)) * len(column)


def _tied(column: array[int]) -> List[int]:
    """The rows that name another row in a column where -1 names none."""
    return [] if _all(column, -1) else [row for row, other in enumerate(column) if other >= 0]


def _both(one: _Flags, other: _Flags) -> bytes:
    """Flags, one byte a row, that are set in both."""
    number = int.from_bytes(one, "little") & int.from_bytes(other, "little")
    return number.to_bytes(len(one), "little")


def _either(one: _Flags, other: _Flags) -> bytes:
    """Flags, one byte a row, that are set in one of the two."""
    number = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return number.to_bytes(len(one), "little")


class _Work:
    """One cache while it is planned.

    Columns are looked at as a whole where that gives the same answer as row by row: most entries are nothing special.
    """

    def __init__(self, survey: Survey, context: Context) -> None:
        self.survey = survey
        self.idle = context.idle.get(survey.cache.path, False)
        self.guard = bytearray(len(survey.entries))
        self.chosen = bytearray(len(survey.entries))
        self.pending = bytearray(len(survey.entries))
        # The rule for each label, and that for what has none.
        self.rules: List[Optional[Rule]] = []
        self.rule: Optional[Rule] = None
        self.freed = 0
        self.freed_inodes = 0
        self.lost: Dict[str, List[int]] = {}
        self.missing: List[Mapping[str, Any]] = []
        self.margins = survey.margins
        entries = survey.entries
        self.waits = entries.waits
        # A guard may itself be guarded, by a row of an earlier phase.
        self.guarded = _tied(entries.guard)
        self.guarded.sort(key=lambda row: entries.phase[row])

    def used(self, row: int) -> int:
        entries = self.survey.entries
        return entries.used[row] + self.margins[entries.phase[row]]

    def all_used(self) -> array[int]:
        """The column of :meth:`used`."""
        entries, margins = self.survey.entries, self.margins
        if not any(margins):
            return entries.used
        try:
            return array("q", map(add, entries.used, map(margins.__getitem__, entries.phase)))
        except OverflowError:
            return array("q", (min(self.used(row), _LATEST) for row in range(len(entries))))

    def used_before(self, moment: int) -> bytes:
        """Flags of the rows with :meth:`used` before a *moment* (Unix nanoseconds)."""
        entries = self.survey.entries
        limits = [moment - margin for margin in self.margins]
        return bytes(map(lt, entries.used, map(limits.__getitem__, entries.phase)))

    def expiring(self) -> bytes:
        """Flags of the rows whose tier expires."""
        return self.tiered(tier.expires for tier in self.survey.tiers)

    def tiered(self, which: Iterable[bool]) -> bytes:
        """Flags of the rows whose tier is one of *which*."""
        table = bytes(which)
        return self.survey.entries.tier.tobytes().translate(table + bytes(256 - len(table)))

    def labelled(self, names: bytes, none: int) -> bytes:
        """Flags of the rows whose label has one in *names*; rows without a label get *none*."""
        group = self.survey.entries.group
        if not names or _all(group, -1):
            return bytes((none,)) * len(group)
        return bytes(map((names + bytes((none,))).__getitem__, group))  # the last one is number -1

    def ruled(self) -> Iterator[Tuple[Rule, bytes]]:
        """Each rule for this cache, and flags of the rows that it is for."""
        for rule in dict.fromkeys([self.rule, *self.rules]):
            if rule is not None:
                yield rule, self.labelled(bytes(one == rule for one in self.rules), self.rule == rule)

    def choose(self, row: int, reason: int) -> None:
        """Selects a row, or makes it pending while what it waits for is still there."""
        entries = self.survey.entries
        if self.waits[row] >= 0:
            self.pending[row] = reason
        elif not self.chosen[row]:
            self.chosen[row] = reason
            self.freed += entries.freed[row]
            self.freed_inodes += entries.inodes[row]

    def choose_all(self, flags: _Flags, reason: int) -> None:
        """As :meth:`choose`, all rows with a flag; none of them may be chosen yet."""
        entries = self.survey.entries
        waiting = [row for row in _tied(self.waits) if flags[row]]
        if waiting:
            left = bytearray(flags)
            for row in waiting:
                self.pending[row], left[row] = reason, 0
            flags = bytes(left)
        self.chosen[:] = _either(self.chosen, flags.translate(bytes((0, reason)) + bytes(254)))
        self.freed += sum(compress(entries.freed, flags))
        self.freed_inodes += sum(compress(entries.inodes, flags))

    def end_grace(self, over: int, over_inodes: int) -> Tuple[int, int]:
        """Chooses what is in quarantine, next to expire first, while space is short; returns bytes and inodes found."""
        entries = self.survey.entries
        freed = inodes = 0
        for row in sorted((r for r, s in enumerate(self.guard) if s == GRACE), key=entries.used.__getitem__):
            if freed >= over and inodes >= over_inodes:
                break
            self.guard[row] = FREE
            self.choose(row, _R["free_space"])
            freed += entries.freed[row]
            inodes += entries.inodes[row]
        return freed, inodes

    def why(self, row: int) -> str:
        """What protects a row, as results name it."""
        state = self.guard[row]
        return self.survey.holds[self.survey.entries.hold[row]] if state == HOLD else _PROTECTED[state]

    def lose(self, reason: str, path: str, amount: int) -> None:
        """Counts an entry of a saved plan that may no longer go."""
        _add(self.lost, reason, amount)
        if len(self.missing) < 100:
            self.missing.append({"path": path, "reason": reason, "bytes": amount})

    def candidates(self, cheapest: bool) -> Iterator[int]:
        """Rows that may still go now, least recently used first, where *cheapest* tier by tier; a guard always before
        what it guards.
        """
        entries, waits, used = self.survey.entries, self.waits, self.all_used()
        free = _both(self.guard.translate(_NONE), self.chosen.translate(_NONE))
        costs = [tier.cost if cheapest else 0 for tier in self.survey.tiers]
        for cost in sorted(set(costs)):
            mine = _both(free, self.tiered(one == cost for one in costs))
            rows = array("i", compress(range(len(entries)), mine))
            if not _all(waits, -1):
                rows = array("i", (row for row in rows if waits[row] < 0))
            for some in slices(used, rows):
                # Sorts are stable: by number, then by phase, then by last use.
                yield from sorted(sorted(some, key=entries.phase.__getitem__), key=used.__getitem__)


def _turned(work: _Work) -> array[int]:
    """Who waits for whom while the cache is in use: of a pair first the half whose loss disturbs nobody.

    One that is protected will never go, and nothing waits for it. Where a rule has taken one of the two, nothing is
    turned: what is old goes in one order, whoever works with the cache, so that a dry run and the run agree.
    """
    entries, tiers = work.survey.entries, work.survey.tiers
    waits = array("i", entries.waits)
    for row in range(len(entries)):
        other = entries.waits[row]
        free = not (work.guard[row] or work.chosen[row] or work.pending[row])
        if other >= 0 and free and tiers[entries.tier[row]].in_use and waits[other] < 0 and not work.chosen[other]:
            waits[row], waits[other] = -1, row
    return waits


def _protect(work: _Work, policy: Policy, context: Context) -> None:
    survey = work.survey
    entries, state = survey.entries, work.guard
    named = [rule for rule in policy.rules if rule.kind == survey.cache.kind]
    keeps, secrets, exact, rules = _by_label(survey, named, policy, context)
    work.rules = rules
    work.rule = next((rule for rule in named if not rule.match), None)
    if work.idle and work.rule is not None and work.rule.wipe and len(named) == 1:
        # All go, and nobody looks: no entry is kept that could point to one that went.
        work.margins = tuple(0 for _number in survey.margins)
    final = FINAL if context.final.get(survey.cache.path) else UNKNOWN
    unsure = final == FINAL or context.private is None
    unfetchable = [one.back == "by hand" or (one.back == "download" and unsure) for one in survey.tiers]
    tier = entries.tier
    now = context.now
    if survey.cache.path in context.remote:
        # The server's clock stamps what is there, and only that is known of it: the newest stamp is its latest word.
        now = min(now, survey.last_build)
    floor = now - policy.floor * SECOND - (0 if work.idle else survey.grain)
    future = context.now + _FUTURE_SLACK
    margins, used, phase, group, hold = work.margins, entries.used, entries.phase, entries.group, entries.hold
    expires = [tier.expires for tier in survey.tiers]
    rows: Iterable[int] = range(len(entries))
    if _all(group, -1):
        least = min(floor + 1, future + 1 + min(margins))
        unusual = _either(work.used_before(least).translate(_NONE), work.expiring())
        unusual = _either(unusual, hold.tobytes().translate(_ANY))
        if min(used, default=1) <= 0:
            unusual = _either(unusual, bytes(map(lt, used, repeat(1))))
        rows = compress(rows, unusual)
    for row in rows:
        last = used[row]
        g = group[row]
        if hold[row]:
            state[row] = HOLD
        elif expires[tier[row]]:
            state[row] = GRACE if last > context.now else FREE
        elif g >= 0 and secrets[g]:
            state[row] = secrets[g]
        elif g >= 0 and unfetchable[tier[row]] and not exact[g]:
            state[row] = final if survey.tiers[tier[row]].back == "download" else BY_HAND
        elif g >= 0 and keeps[g]:
            state[row] = keeps[g]
        elif last > future:
            state[row] = FUTURE
        elif last <= 0:
            state[row] = NO_AGE  # a time stamp that was never set tells of no use
        elif last + margins[phase[row]] > floor:
            state[row] = FLOOR
    for row in work.guarded:
        if state[entries.guard[row]] and not state[row]:
            state[row] = GUARD


def _needed(rule: Rule, label: str, rank: int, context: Context) -> int:
    """Why the roots, or the number of versions to keep, protect a label; 0: they do not.

    Where no order of versions is known, each counts as the newest.
    """
    if rule.keep_newest is not None and rank < rule.keep_newest:
        return NEWEST
    for folder in rule.keep_needed_by:
        needed = context.needed.get(folder)
        if needed is None or not needed.complete:
            return UNREAD
        if needed.names(label):
            return NEEDED
    return 0


def _by_label(
    survey: Survey, named: Sequence[Rule], policy: Policy, context: Context
) -> Tuple[bytearray, bytearray, bytearray, List[Optional[Rule]]]:
    labels, ranks = survey.labels, survey.ranks
    keeps, secrets, named_exactly = bytearray(len(labels)), bytearray(len(labels)), bytearray(len(labels))
    rules: List[Optional[Rule]] = []
    exact = [p for rule in named for p in rule.modules if patterns.names_one(p)]
    plain = next((rule for rule in named if not rule.match), None)
    for number, label in enumerate(labels):
        rule = next((r for r in named if r.match and patterns.any_selects(r.match, label)), plain)
        rules.append(rule)
        named_exactly[number] = patterns.any_selects(exact, label)
        if patterns.any_protects(policy.keep + (rule.keep if rule else ()), label):
            keeps[number] = KEEP
        elif rule is not None and not named_exactly[number]:
            keeps[number] = _needed(rule, label, ranks[number] if ranks else 0, context)
        if context.private and not named_exactly[number] and patterns.any_protects(context.private, label):
            secrets[number] = PRIVATE
    return keeps, secrets, named_exactly, rules


def _select(work: _Work, reference: int, unneeded: Mapping[str, int]) -> None:
    labels = work.survey.labels
    free: _Flags = work.guard.translate(_NONE)

    def take(which: _Flags, reason: str) -> None:
        nonlocal free
        due = _both(free, which)
        work.choose_all(due, _R[reason])
        free = _both(free, due.translate(_NONE))

    take(work.expiring(), "expired")
    for rule, mine in work.ruled():
        if rule.wipe:
            take(mine, "wipe")
        if rule.modules:
            named = bytes(patterns.any_selects(rule.modules, label) for label in labels)
            take(_both(mine, work.labelled(named, 0)), "named")
        if rule.max_age is not None:
            take(_both(mine, work.used_before(reference - rule.max_age * SECOND)), "max_age")
        if rule.evict_before is not None:
            take(_both(mine, work.used_before(rule.evict_before * SECOND)), "evict_before")
        if rule.unneeded_for is not None:
            since, latest = reference // SECOND - rule.unneeded_for, reference // SECOND
            long = bytes(unneeded.get(label, latest) < since for label in labels)
            take(_both(mine, work.labelled(long, 0)), "unneeded")
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
        for row in work.candidates(cheapest):
            yield (tiers[entries.tier[row]].cost if cheapest else 0, work.used(row), entries.phase[row], number, row)

    if len(works) == 1:
        for row in works[0].candidates(cheapest):
            yield works[0], row
        return
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
            wait = work.waits[row]
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
                left = work.chosen.count(0)
                _count(work, left - rule.max_entries, policy.cheapest_first, notes)
        if rule.max_size is not None:
            over = sum(_allocated(work) for work in mine) - rule.max_size
            missing, _i = _shrink(mine, over, 0, "max_size", policy.cheapest_first)
            _note(notes, missing, "max_size of all %s caches not reached" % rule.kind)
    if policy.max_size_all is not None:
        over = sum(_allocated(work) for work in works) - policy.max_size_all
        missing, _i = _shrink(works, over, 0, "max_size", policy.cheapest_first)
        _note(notes, missing, "max_size_all not reached")


def _count(work: _Work, over: int, cheapest: bool, notes: List[str]) -> None:
    for _work, row in _merged([work], cheapest):
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
        notes.append("%s by %s: what is left is protected, kept, or pending" % (what, human(missing)))


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
        for work in mine:
            freed, inodes = work.end_grace(over, over_inodes)
            over, over_inodes = over - freed, over_inodes - inodes
        missing, missing_inodes = _shrink(mine, over, over_inodes, "free_space", policy.cheapest_first)
        where = next(w.survey.cache.path for w in works if w.survey.cache.device == device)
        for count, amount in ((missing, human(missing)), (missing_inodes, "%d inodes" % missing_inodes)):
            if count:
                text = (
                    "stop mark not reached by %s: what is left on the file system of %s is protected, kept, or pending"
                )
                notes.append(text % (amount, where))


def make(surveys: Sequence[Survey], policy: Policy, context: Context, digested: bool = True) -> Plan:
    """The plan for *surveys* under *policy*. Pure; O(n log n) in the number of entries. Its digest is left empty where
    it is not to be *digested*.

    Ages count back from the newest sign of a build on the agent (never from later than ``context.now``), so that a
    holiday, or a clock that was set a year ahead, ages nothing; the floor counts from now.
    """
    notes: List[str] = []
    works = [_Work(survey, context) for survey in surveys]
    active = []
    for work in works:
        disk = context.disks.get(work.survey.cache.device)
        if policy.when is None or (disk is not None and _below(disk, policy)):
            active.append(work)
    reference = min([context.now] + [max(s.last_build for s in surveys)] if surveys else [context.now])
    for work in active:
        _protect(work, policy, context)
        _select(work, reference, context.unneeded.get(work.survey.cache.path, {}))
        if work.survey.cache.path in context.busy:
            work.waits = _turned(work)
    notes.extend(_unmatched(active, policy))
    _budgets(active, policy, notes)
    _pressure(active, policy, context, notes)
    caches = tuple(_finish(work, work in active) for work in works)
    plan = Plan(caches, policy, bool(active) or not works, tuple(notes), "")
    return plan._replace(digest=digest(plan)) if digested else plan


def _unmatched(works: Sequence[_Work], policy: Policy) -> Iterator[str]:
    """A sentence for each pattern that names nothing: a misspelt module must not look like a module that is gone."""
    labels = [label for work in works for label in work.survey.labels]
    for pattern in dict.fromkeys(p for rule in policy.rules for p in rule.modules):
        if not any(patterns.selects(pattern, label) for label in labels):
            yield "modules: %s matches nothing in these caches" % pattern


def _runs(values: Sequence[int]) -> Iterator[Tuple[int, int]]:
    """Where equal values follow each other: the first and the end of each such run of two or more."""
    end = 0
    for first in compress(range(len(values)), map(eq, values, islice(values, 1, None))):
        if first < end:
            continue
        end = first + 2
        while end < len(values) and values[end] == values[first]:
            end += 1
        yield first, end


def _ordered(entries: Entries, chosen: bytearray) -> array[int]:
    """Chosen rows by phase, last use and key; keys are made only where the other two are equal.

    One number holds last use and row.
    """
    used, phase = entries.used, entries.phase.tobytes()
    flags = chosen.translate(_ANY)
    rows = array("i")
    for number in range(max(phase, default=0) + 1):
        due = array("i", compress(range(len(phase)), _both(flags, phase.translate(_is(number)))))
        for some in slices(used, due):
            packed = sorted([(used[row] << 32) | row for row in some])
            mine = array("i", [item & 0xFFFFFFFF for item in packed])
            for first, end in _runs(array("q", map(used.__getitem__, mine))):
                mine[first:end] = array("i", sorted(mine[first:end], key=entries.key))
            rows.extend(mine)
    return rows


def _finish(work: _Work, active: bool) -> CachePlan:
    survey = work.survey
    rows = _ordered(survey.entries, work.chosen)
    reasons = array("B", map(work.chosen.__getitem__, rows))
    protected: Dict[str, List[int]] = {}
    pending: Dict[str, List[int]] = {}
    if active:
        freed, hold = survey.entries.freed, survey.entries.hold
        for reason in set(work.pending.lstrip(b"\0")) - {0}:
            _add_all(pending, REASONS[reason], freed, work.pending.translate(_is(reason)))
        stays = work.pending.translate(_NONE)
        for state in set(work.guard.lstrip(b"\0")) - {FREE}:
            flags = _both(stays, work.guard.translate(_is(state)))
            if state != HOLD:
                _add_all(protected, _PROTECTED[state], freed, flags)
                continue
            for number in set(compress(hold, flags)):
                name = survey.holds[number]
                _add_all(protected, name, freed, _both(flags, hold.tobytes().translate(_is(number))))
    return CachePlan(survey, rows, reasons, protected, pending, work.idle, work.lost, work.missing)


def _add_all(table: Dict[str, List[int]], name: str, amounts: array[int], flags: _Flags) -> None:
    """As :func:`_add`, all rows with a flag."""
    if flags.count(1):
        cell = table.setdefault(name, [0, 0])
        cell[0] += flags.count(1)
        cell[1] += sum(compress(amounts, flags))


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
    for page in _pages(plan):
        yield from page


def _pages(plan: Plan) -> Iterator[Sequence[str]]:
    """The lines of the document, many at a time."""
    yield (json.dumps({"plan": VERSION, "policy": plan.policy.document()}, sort_keys=True, separators=(",", ":")),)
    for cache in plan.caches:
        ref = cache.survey.cache
        head = {
            "cache": ref.path,
            "kind": ref.kind,
            "uid": ref.uid,
            "entries": len(cache.rows),
            "evidence": cache.survey.evidence,
        }
        yield (json.dumps(head, sort_keys=True, separators=(",", ":")),)
        for at in range(0, len(cache.rows), _PAGE):
            yield _page(cache, at)


def _page(cache: CachePlan, at: int) -> List[str]:
    """The lines of some entries: what json.dumps makes of each, with its keys sorted."""
    entries = cache.survey.entries
    rows = cache.rows[at : at + _PAGE]
    tails = [
        [',"reason":%s,"tier":%s,"used":' % (json.dumps(reason), json.dumps(tier.name)) for reason in REASONS]
        for tier in cache.survey.tiers
    ]
    # Most entries' last use is their modification time: each is put into words once.
    times, uses = list(map(entries.mtime.__getitem__, rows)), list(map(entries.used.__getitem__, rows))
    mtime = list(map(str, times))
    used = mtime if times == uses else list(map(str, uses))
    paths, mark = _quotable(entries.texts(rows))
    columns = zip(
        map(entries.freed.__getitem__, rows),
        map(entries.inode.__getitem__, rows),
        mtime,
        paths,
        map(tails.__getitem__, map(entries.tier.__getitem__, rows)),
        cache.reasons[at : at + _PAGE],
        used,
    )
    return [
        f'{{"bytes":{freed},"inode":{inode},"mtime":{mtime},"path":{mark}{path}{mark}{tail[reason]}{used}}}'
        for freed, inode, mtime, path, tail, reason, used in columns
    ]


def _quotable(texts: List[str]) -> Tuple[List[str], str]:
    """The texts, and the mark that makes each of them JSON: none where they had to be escaped."""
    quote = json.encoder.encode_basestring_ascii  # what json.dumps does with a text, without its preparations
    whole = "".join(texts)
    if len(quote(whole)) == len(whole) + 2:
        return texts, '"'
    return list(map(quote, texts)), ""


def digest(plan: Plan) -> str:
    """SHA-256 of the document, as hexadecimal digits."""
    import hashlib  # slow to load: a survey does without

    total = hashlib.sha256()
    for page in _pages(plan):
        total.update(("\n".join(page) + "\n").encode("utf-8", "surrogateescape"))
    return total.hexdigest()


class BadPlan(ValueError):
    """A saved plan that is not what it should be; nothing was touched."""


def saved_policy(line: bytes) -> Mapping[str, Any]:
    """The policy in the first line of a saved plan, as plain data. Raises BadPlan."""
    head = _object(line, 1)
    if head.get("plan") != VERSION or not isinstance(head.get("policy"), dict):
        raise BadPlan("the plan is of version %r, this is version %d: make a new one" % (head.get("plan"), VERSION))
    policy: Mapping[str, Any] = head["policy"]
    return policy


def _object(line: bytes, number: int) -> Dict[str, Any]:
    try:
        found = read_json(line.decode("utf-8", "surrogateescape"))
    except ValueError as exc:
        raise BadPlan("line %d of the plan is no JSON (%s)" % (number, exc)) from None
    if not isinstance(found, dict):
        raise BadPlan("line %d of the plan is no object" % number)
    return found


def from_saved(
    surveys: Sequence[Survey], policy: Policy, context: Context, lines: Iterable[bytes], expected: str
) -> Plan:
    """What of a saved plan (*lines* with their ends, as :func:`document` gives them) may still go.

    The plan is not believed: an entry goes only if it is there, unchanged, and nothing protects it now; what may not
    is in ``lost``. The start mark is not asked again: somebody has approved this plan. Raises BadPlan, also when the
    lines' digest is not the *expected* one.
    """
    works = {survey.cache.path: _Work(survey, context) for survey in surveys}
    for work in works.values():
        _protect(work, policy, context)
        work.waits = _alone(work.survey)
    import hashlib

    total = hashlib.sha256()
    notes: Dict[str, int] = {}
    work_now: Optional[_Work] = None
    index: Dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        total.update(line)
        if number == 1:
            saved_policy(line)
            continue
        item = _object(line, number)
        if "cache" in item:
            work_now = works.get(str(item["cache"]))
            index = {} if work_now is None else _index(work_now.survey)
            if work_now is None:
                notes[str(item["cache"])] = 0
            continue
        _take(work_now, index, item, number)
    if total.hexdigest() != expected:
        raise BadPlan(
            "the saved plan's digest is %s, not %s: it was changed or is another plan; make a new one"
            % (total.hexdigest(), expected)
        )
    for work in works.values():
        _one_of_two(work)
        before = bytes(work.chosen)
        _drop_unguarded(work)
        entries = work.survey.entries
        for row in range(len(entries)):
            if before[row] and not work.chosen[row]:
                work.lose("guard", entries.key(row).decode("utf-8", "backslashreplace"), entries.freed[row])
    said = tuple("the plan names %s, which is no cache here now" % path for path in notes)
    return Plan(tuple(_finish(work, True) for work in works.values()), policy, True, said, expected)


def _alone(survey: Survey) -> array[int]:
    """Who waits for whom where a saved plan says what goes: a half that disturbs nobody may go before the other."""
    entries, tiers = survey.entries, survey.tiers
    return array("i", (-1 if tiers[t].in_use else other for t, other in zip(entries.tier, entries.waits)))


def _one_of_two(work: _Work) -> None:
    """Takes back the second half where a saved plan names both: they never go in one run."""
    entries = work.survey.entries
    for row, other in enumerate(entries.waits):
        if other >= 0 and work.chosen[row] and work.chosen[other]:
            work.chosen[row] = 0
            work.freed -= entries.freed[row]
            work.freed_inodes -= entries.inodes[row]
            work.lose("pending", entries.key(row).decode("utf-8", "backslashreplace"), entries.freed[row])


def _index(survey: Survey) -> Dict[int, int]:
    """Rows by inode: no two entries of a cache share one (other names of a linked file are no entries)."""
    return {inode: row for row, inode in enumerate(survey.entries.inode)}


def _take(work: Optional[_Work], index: Mapping[int, int], item: Mapping[str, Any], number: int) -> None:
    """Chooses the entry that a line of a saved plan names, or counts why it may not go."""
    try:
        path, inode, mtime, used = str(item["path"]), int(item["inode"]), int(item["mtime"]), int(item["used"])
        reason, amount = _R[item["reason"]], int(item["bytes"])
        key = path.encode("utf-8", "surrogateescape")
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadPlan("line %d of the plan is no entry" % number) from None
    if work is None:
        return
    entries = work.survey.entries
    row = index.get(inode, -1)
    if row < 0 or entries.key(row) != key:
        work.lose("gone", path, amount)
    elif entries.mtime[row] != mtime or entries.used[row] != used:
        work.lose("used since", path, amount)
    elif work.guard[row]:
        work.lose(work.why(row), path, amount)
    elif work.waits[row] >= 0:
        work.lose("pending", path, amount)
    else:
        work.choose(row, reason)
