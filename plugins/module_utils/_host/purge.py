# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of one purge on one agent: find, survey, plan, and (not in check mode) apply, in one call.

Everything that is returned is plain data. A plan is made before anything is touched, and only what is in it goes.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import time
from array import array
from itertools import compress, islice
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._core import evict as core
from .._core import plan as planner
from .._core import policy as policies
from .._core.survey import SECOND, Survey
from .._fs import mounts
from .._go import needs, running
from .._kinds import quarantine
from .._kinds.table import APART, KINDS
from . import act, find, look, plans, record, schema

CAP = 100
_LARGEST = 20
_THREADS = 8


class Options(NamedTuple):
    """How a purge is carried out: ``check`` plans only; ``step`` is a hook for fault injection in tests.

    ``save`` keeps the plan on the agent and carries out nothing; ``saved`` is the digest of a kept plan to carry out
    instead of making one (None: make one; an empty text is no digest, and no leave to do anything else); ``whole``
    returns the plan's whole document; ``door`` is who asks, for the journal; ``stop`` says whether the run is to end at
    the next safe point.
    """

    check: bool
    threads: int = _THREADS
    step: Callable[[str], None] = lambda _name: None
    save: bool = False
    saved: Optional[str] = None
    whole: bool = False
    door: str = "ansible"
    stop: Callable[[], bool] = core.never


class Failed(RuntimeError):
    """A purge that ended with an error: ``result`` holds what had been done by then."""

    def __init__(self, text: str, result: Dict[str, Any]) -> None:
        super().__init__(text)
        self.result = result


def check_policy(document: Mapping[str, Any]) -> policies.Policy:
    """The checked policy; raises policies.BadPolicy."""
    return policies.parse(document, KINDS, APART)


def run(request: find.Request, document: Optional[Mapping[str, Any]], options: Options) -> Dict[str, Any]:
    """One purge. Raises policies.BadPolicy, planner.BadPlan, plans.NoPlan and find.BadRequest before anything is
    touched, Failed afterwards.

    Without a *document* the default policy holds, or the one that a saved plan was made under.
    """
    started = time.monotonic()
    if options.saved is None:
        policy = check_policy(policies.DEFAULT if document is None else document)
        return _Purge(request, policy, options, started).run(None)
    with plans.open_saved(options.saved) as lines:
        own = planner.saved_policy(lines.readline())
        lines.seek(0)
        policy = check_policy(own)
        if document is not None:
            given = check_policy(document)
            if given.canonical() != policy.canonical():
                raise plans.NoPlan("the plan %s was made under another policy: make a new one" % options.saved)
            policy = given
        return _Purge(request, policy, options, started).run(lines)


class _Purge:
    def __init__(self, request: find.Request, policy: policies.Policy, options: Options, started: float) -> None:
        self.request = request
        self.policy = policy
        self.options = options
        self.deadline = started + policy.time_limit
        self.notes: List[str] = find.own_only()
        self.outcomes: Dict[str, core.Outcome] = {}
        self.errors: List[str] = []
        self.mounts: Dict[int, mounts.Mount] = {}
        self.alone: Dict[str, str] = {}
        self.activity: Dict[str, core.Activity] = {}
        self.idle = False
        self.aside = ""
        self.record = record.Record(not options.check and not options.save, self.notes.append)
        self.needed: Dict[str, planner.Needed] = {}
        if os.environ.get(look.CLOCK):
            self.notes.append("ages are counted from a test's clock (%s)" % look.CLOCK)

    def run(self, saved: Optional[Iterable[bytes]]) -> Dict[str, Any]:
        self.host = find.find(self.request)
        try:
            return self._run(saved)
        finally:
            find.close(self.host.caches)

    def _run(self, saved: Optional[Iterable[bytes]]) -> Dict[str, Any]:
        mine = [c for c in self.host.caches if os.geteuid() in (0, c.root.uid)]
        disks = look.disks(mine)
        acting = list(disks) if saved is not None else planner.acts_on(self.policy, disks)
        near = [c for c in mine if c.root.device in acting]
        self.mounts = mounts.by_id()
        tools = self._look_around(near)
        # Asked once: the floor and the plan must go by the same answer.
        self.idle = all(self._proven_idle(cache) for cache in mine if cache.root.path not in self.alone)
        surveys = look.surveys(self.host, [c for c in near if c.root.path not in self.alone], tools)
        others = {c.root.path: look.survey(c) for c in self.host.caches if c not in mine} if acting or not mine else {}
        if len(near) < len(mine):
            text = "%d of %d caches lie on file systems with more free space than the policy's start mark: left alone"
            self.notes.append(text % (len(mine) - len(near), len(mine)))
        self.needed = self._needed()
        self.record.look(list(surveys.values()), self._unneeded)
        applies = not self.options.check and not self.options.save
        # Nothing but the result asks for its digest: another process computes that during the eviction.
        later = applies and saved is None and not self.policy.quarantine
        plan = self._plan(list(surveys.values()), mine, disks, saved, not later)
        self.aside = self._quarantine(plan, disks)
        kept = plans.save(plan) if self.options.save and not self.options.check else ""
        if applies:
            digest = plans.Digest(plan) if later else None
            try:
                for cache, steps in ((c, p) for c in mine for p in plan.caches if p.survey.cache.path == c.root.path):
                    if steps.rows:
                        self._apply(cache, steps)
                if digest is not None:
                    plan = plan._replace(digest=digest.get())
            finally:
                if digest is not None:
                    digest.end()
        result = self._result(mine, disks, plan, look.unreached(self.host.caches, others))
        result.update(plan_file=kept, plan=list(planner.document(plan)) if self.options.whole else [])
        if surveys:
            result["advice"] = self.record.finish(self.options.door, plan, self.outcomes, result)
            result["notes"] = list(dict.fromkeys(result["notes"] + self.notes))
        result = dict(schema.readable(result))
        if self.errors:
            raise Failed("; ".join(self.errors), result)
        return result

    def _plan(
        self,
        surveys: Sequence[Survey],
        mine: Sequence[find.Cache],
        disks: Mapping[int, planner.Disk],
        saved: Optional[Iterable[bytes]],
        digested: bool,
    ) -> planner.Plan:
        context = self._context(mine, disks)
        if saved is None:
            return planner.make(surveys, self._policy(), context, digested)
        return planner.from_saved(surveys, self._policy(), context, saved, self.options.saved or "")

    def _look_around(self, caches: Sequence[find.Cache]) -> running.Scan:
        """Who uses the caches, and which of them this run leaves alone for it; the scan that says so."""
        seen = running.scan()
        for cache in caches:
            path = cache.root.path
            if self._is_remote(cache) and self.policy.network_agent not in _names_of_this_host():
                who = self.policy.network_agent or "nobody yet: name one agent in network_agent"
                me = _names_of_this_host()[0]
                self.alone[path] = "on a network file system, cleaned by %s; this is %s" % (who, me)
            else:
                self.activity[path] = act.users(cache, seen)
        if self.policy.busy == "floor":
            return seen
        while True:
            busy = [
                c
                for c in caches
                if c.root.path in self.activity and running.state(self.activity[c.root.path]) != "idle"
            ]
            late = time.monotonic() > self.deadline - self.policy.time_limit / 2
            if not busy or self.policy.busy != "wait" or late or self.options.check or self.options.stop():
                break
            time.sleep(min(1.0, self.policy.time_limit / 10))
            seen = running.scan()
            self.activity.update((c.root.path, act.users(c, seen)) for c in busy)
        if self.options.check and self.policy.busy == "wait":
            return seen
        for cache in busy:
            path = cache.root.path
            found = self.activity[path]
            why = "in use by %s (pid %d)" % (found.who[0][2], found.who[0][0]) if found.who else "use unknown"
            if self.policy.busy == "fail":
                raise Failed("%s: %s, and the policy says to fail then (busy: fail)" % (path, why), schema.purge())
            self.alone[path] = why
        return seen

    def _quarantine(self, plan: planner.Plan, disks: Mapping[int, planner.Disk]) -> str:
        """The name of this run's quarantine; '' where there is none."""
        if not self.policy.quarantine:
            return ""
        pressed = any(planner.REASONS[r] == "free_space" for c in plan.caches for r in c.reasons)
        full = any(_is_full(disks.get(c.survey.cache.device)) for c in plan.caches if c.rows)
        if self.policy.when is not None or pressed or full:
            self.notes.append("space is short: what goes is not kept in quarantine")
            return ""
        run = hashlib.sha256(("%s %d" % (plan.digest, time.time_ns())).encode()).hexdigest()[:12]
        return quarantine.folder_name(look.now_ns() // SECOND + self.policy.quarantine, run)

    # what the plan depends on

    def _needed(self) -> Dict[str, planner.Needed]:
        """What the projects below the policy's root folders need."""
        found = {}
        folders = list(dict.fromkeys(f for rule in self.policy.rules for f in rule.keep_needed_by))
        for folder in folders:
            seen = needs.read([folder], elsewhere=folders)
            found[folder] = planner.Needed(seen.labels, tuple(seen.patterns), seen.complete)
            for problem in seen.problems[:3]:
                self.notes.append("keep_needed_by: %(path)s: %(problem)s" % problem)
        return found

    def _unneeded(self, seen: Survey) -> Optional[List[str]]:
        """The labels that nothing needs, where a rule asks since when; None where none does."""
        if all(rule.unneeded_for is None for rule in self.policy.rules):
            return None
        return record.unneeded_labels(seen.labels, list(self.needed.values()))

    def _private(self) -> Optional[Tuple[str, ...]]:
        if self.policy.private is None:
            return self.host.private
        return tuple(self.policy.private) + (self.host.private or ())

    def _policy(self) -> policies.Policy:
        """The policy with the default floor where a lower one needs an idleness that is not there."""
        if self.policy.floor >= policies.FLOOR_LEAST or self.idle:
            return self.policy
        self.notes.append(
            "the agent is not proven idle: nothing younger than the default floor (%d h) is evicted"
            % (policies.FLOOR_DEFAULT // 3600)
        )
        return self.policy._replace(floor=policies.FLOOR_DEFAULT)

    def _is_remote(self, cache: find.Cache) -> bool:
        mount = self.mounts.get(cache.root.mount)
        return mount is not None and mount.network

    def _proven_idle(self, cache: find.Cache) -> bool:
        if self.policy.floor >= policies.FLOOR_LEAST or cache.root.mount not in self.mounts or self._is_remote(cache):
            return False  # users of a network file system are elsewhere
        if self.policy.idle == "asserted":
            return True
        seen = self.activity.get(cache.root.path) or act.users(cache)
        return self.policy.idle == "scan" and os.geteuid() == 0 and seen.complete and not seen.who

    def _context(self, mine: Sequence[find.Cache], disks: Mapping[int, planner.Disk]) -> planner.Context:
        idle = {cache.root.path: self.idle for cache in mine}
        unsure = self.host.offline | (self.host.unread if self.policy.private is None else frozenset())
        final = {cache.root.path: cache.root.uid in unsure for cache in mine}
        remote = [c.root.path for c in mine if self._is_remote(c)]
        used = [path for path, activity in self.activity.items() if activity.who]
        return planner.Context(
            look.now_ns(),
            disks,
            self._private(),
            idle,
            final,
            needed=self.needed,
            unneeded=self.record.since,
            busy=frozenset(used),
            remote=frozenset(remote),
        )

    # apply

    def _apply(self, cache: find.Cache, steps: planner.CachePlan) -> None:
        root = cache.root
        below = self.policy.floor < policies.FLOOR_LEAST and steps.idle
        aside = self.aside if _has_quarantine(cache.kind) else ""
        local = cache.root.mount in self.mounts and not self._is_remote(cache)
        terms = act.Terms(
            self.deadline, below, self.options.threads, self.options.step, aside, self.options.stop, local
        )
        parts = _by_owner(steps)

        def work(part: planner.CachePlan) -> act.Work:
            return lambda job: KINDS[cache.kind].apply(root, part, job)

        first = parts.pop((root.uid, root.gid), steps._replace(rows=array("i"), reasons=array("B")))
        # A quarantine is its owner's: what needs root's rights could not be brought back by anybody else.
        alone = os.geteuid() != 0 or bool(aside)
        others = [] if alone else [(owner, work(part)) for owner, part in parts.items()]
        try:
            out = act.carry_out(self.host, cache, steps.survey.details, terms, work(first), others)
        except act.Held as exc:
            self._all_skipped(steps, str(exc))
            return
        if alone:
            for part in parts.values():
                _skip_all(out, part, core.OWNER)
        self.outcomes[root.path] = out
        if out.error:
            self.errors.append("%s: the purge stopped: %s" % (root.path, out.error))

    def _all_skipped(self, steps: planner.CachePlan, reason: str) -> None:
        self.outcomes[steps.survey.cache.path] = out = core.Outcome()
        _skip_all(out, steps, reason)

    # what is told

    def _result(
        self,
        mine: Sequence[find.Cache],
        before: Mapping[int, planner.Disk],
        plan: planner.Plan,
        others: List[Dict[str, Any]],
    ) -> Dict[str, Any]:
        by_path = {steps.survey.cache.path: steps for steps in plan.caches}
        result = schema.purge()
        for cache in mine:
            self._add(result, cache, by_path.get(cache.root.path), self.outcomes.get(cache.root.path))
        for path, why in self.alone.items():
            self.notes.append("%s: left alone: %s" % (path, why))
        told = len(result["evicted"]) + len(result["left_out"])
        result.update(
            changed=result["evicted_entries"] > 0,
            plan_digest=plan.digest,
            quarantine_run=self.aside.rpartition("-")[2] if self._put_aside(mine) else "",
            planned_entries=plan.entries,
            predicted_bytes=sum(row["predicted_bytes"] for row in result["caches"]),
            largest=_largest(plan),
            free_bytes_before=sum(disk.free for disk in before.values()),
            free_bytes_after=sum(disk.free for disk in look.disks(mine).values()),
            unreached=others,
            refused=self.host.refused,
            truncated=plan.entries > told,
            acts=any(row["surveyed"] or "left_alone" in row for row in result["caches"]) or not mine,
            notes=list(dict.fromkeys(list(plan.notes) + self.notes)),
            findings=self.host.findings,
            systems=self.host.systems,
            looked_at=self.host.looked_at,
            private_known=self._private() is not None,
        )
        return result

    def _put_aside(self, mine: Sequence[find.Cache]) -> bool:
        """Whether anything went from a cache that has a quarantine."""
        return any(
            c.root.path in self.outcomes and self.outcomes[c.root.path].evicted for c in mine if _has_quarantine(c.kind)
        )

    def _add(
        self,
        result: Dict[str, Any],
        cache: find.Cache,
        steps: Optional[planner.CachePlan],
        out: Optional[core.Outcome],
    ) -> None:
        """Adds one cache to a result: its own row, and its part of the lists and sums."""
        row = find.describe(cache)
        row.update(surveyed=steps is not None, planned_entries=0, predicted_bytes=0, evicted_entries=0, freed_bytes=0)
        result["caches"].append(row)
        if cache.root.path in self.activity:
            row["use"] = running.state(self.activity[cache.root.path])
        if cache.root.path in self.alone:
            row["left_alone"] = self.alone[cache.root.path]
        if steps is None:
            return
        check = self.options.check and not self.options.save
        row.update(
            entries=steps.survey.totals["entries"],
            allocated=steps.survey.totals["allocated"],
            evidence=steps.survey.evidence,
            planned_entries=len(steps.rows),
            predicted_bytes=steps.bytes,
            regret=self.record.regret(cache.root.path),
            evicted_entries=len(steps.rows) if check else out.evicted if out is not None else 0,
            freed_bytes=out.freed if out is not None else 0,
            quarantined_bytes=out.aside if out is not None else 0,
        )
        if self.aside:
            row["quarantined_bytes"] = out.aside if out is not None else _for_quarantine(steps)
            row["predicted_bytes"] -= _for_quarantine(steps)
        result["evicted_entries"] += row["evicted_entries"]
        result["freed_bytes"] += row["freed_bytes"]
        for key, table in (("protected", steps.protected), ("pending", steps.pending)):
            for reason, cell in sorted(table.items()):
                item = {"cache": cache.root.path, "reason": reason, "entries": cell[0], "bytes": cell[1]}
                result[key].append(item)
        self._add_left_out(result, row, steps, out)
        for at in range(len(steps.rows)):
            if len(result["evicted"]) >= CAP:
                break
            if check or (out is not None and out.went(steps.rows[at])):
                result["evicted"].append(dict(planner.entry(steps, at), cache=cache.root.path))

    def _add_left_out(
        self, result: Dict[str, Any], row: Dict[str, Any], steps: planner.CachePlan, out: Optional[core.Outcome]
    ) -> None:
        table = {reason: list(cell) for reason, cell in steps.lost.items()}
        samples = list(steps.missing)
        if out is not None:
            for reason, cell in out.skipped.items():
                mine = table.setdefault(reason, [0, 0])
                mine[0] += cell[0]
                mine[1] += cell[1]
            samples += out.samples
            self.notes.extend(out.notes)
        if out is not None or table:
            row["left_out"] = {reason: {"entries": c[0], "bytes": c[1]} for reason, c in sorted(table.items())}
        result["left_out_entries"] += sum(cell[0] for cell in table.values())
        result["left_out"] += [dict(item, cache=row["path"]) for item in samples]
        del result["left_out"][CAP:]


def _skip_all(out: core.Outcome, steps: planner.CachePlan, reason: str) -> None:
    entries = steps.survey.entries
    for row in steps.rows:
        out.skip(reason, entries.key(row).decode("utf-8", "backslashreplace"), entries.freed[row])


def _by_owner(steps: planner.CachePlan) -> Dict[Tuple[int, int], planner.CachePlan]:
    """A cache's plan by whose rights it needs, each part in the plan's order."""
    owners = steps.survey.owners or ((steps.survey.cache.uid, steps.survey.cache.gid),)
    owner = steps.survey.entries.owner
    whose = bytes(map(owner.__getitem__, steps.rows))
    numbers = sorted(set(whose))
    if len(numbers) == 1:
        return {owners[numbers[0]]: steps}
    parts: Dict[Tuple[int, int], planner.CachePlan] = {}
    for number in numbers:
        mine = [one == number for one in whose]
        rows, reasons = array("i", compress(steps.rows, mine)), array("B", compress(steps.reasons, mine))
        parts[owners[number]] = steps._replace(rows=rows, reasons=reasons)
    return parts


def _has_quarantine(kind: str) -> bool:
    """Whether what goes from a cache of this kind can be kept and brought back."""
    return KINDS[kind].undo is not None


def _for_quarantine(steps: planner.CachePlan) -> int:
    """What a plan would put into quarantine, in bytes: all but leftovers and what has been in quarantine."""
    if not _has_quarantine(steps.survey.cache.kind):
        return 0
    entries, tiers = steps.survey.entries, steps.survey.tiers
    return sum(entries.freed[row] for row in steps.rows if tiers[entries.tier[row]].back != "nothing")


def _largest(plan: planner.Plan) -> List[Dict[str, Any]]:
    """The twenty evictions that give back most."""
    found = []
    for steps in plan.caches:
        freed = array("q", map(steps.survey.entries.freed.__getitem__, steps.rows))
        least = min(heapq.nlargest(_LARGEST, freed), default=0)
        found += [(amount, at, steps) for at, amount in enumerate(freed) if amount > least]
        equal = ((amount, at, steps) for at, amount in enumerate(freed) if amount == least)
        found += islice(equal, _LARGEST)
    found = heapq.nlargest(_LARGEST, found, key=lambda item: item[0])
    return [dict(planner.entry(steps, at), cache=steps.survey.cache.path) for _freed, at, steps in found]


def _is_full(disk: Optional[planner.Disk]) -> bool:
    """Whether less than a tenth of a file system's bytes or inodes is free; also where that is not known."""
    if disk is None or not disk.known:
        return True
    return disk.free * 10 < disk.total or (disk.inodes > 0 and disk.inodes_free * 10 < disk.inodes)


def _names_of_this_host() -> Tuple[str, ...]:
    name = os.uname().nodename
    return (name, name.partition(".")[0])
