# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of one purge on one agent: find, survey, plan, and (not in check mode) apply, in one call.

Everything that is returned is plain data. A plan is made before anything is touched, and only what is in it goes.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._core import evict as core
from .._core import plan as planner
from .._core import policy as policies
from .._fs import mounts
from .._kinds import KINDS
from . import act, find, look, schema

CAP = 100
_THREADS = 8


class Options(NamedTuple):
    """How a purge is carried out: ``check`` plans only; ``step`` is a hook for fault injection in tests."""

    check: bool
    threads: int = _THREADS
    step: Callable[[str], None] = lambda _name: None


class Failed(RuntimeError):
    """A purge that ended with an error: ``result`` holds what had been done by then."""

    def __init__(self, text: str, result: Dict[str, Any]) -> None:
        super().__init__(text)
        self.result = result


def check_policy(document: Mapping[str, Any]) -> policies.Policy:
    """The checked policy; raises policies.BadPolicy."""
    return policies.parse(document, KINDS)


def run(request: find.Request, document: Mapping[str, Any], options: Options) -> Dict[str, Any]:
    """One purge. Raises policies.BadPolicy and find.BadRequest before anything is touched, Failed afterwards."""
    started = time.monotonic()
    policy = check_policy(document)
    host = find.find(request)
    try:
        return _Purge(host, policy, options, started).run()
    finally:
        find.close(host.caches)


class _Purge:
    def __init__(self, host: find.Host, policy: policies.Policy, options: Options, started: float) -> None:
        self.host = host
        self.policy = policy
        self.options = options
        self.deadline = started + policy.time_limit
        self.notes: List[str] = find.own_only()
        self.outcomes: Dict[str, core.Outcome] = {}
        self.errors: List[str] = []
        self.idle = False
        if os.environ.get(look.CLOCK):
            self.notes.append("ages are counted from a test's clock (%s)" % look.CLOCK)

    def run(self) -> Dict[str, Any]:
        mine = [c for c in self.host.caches if os.geteuid() in (0, c.root.uid)]
        disks = look.disks(mine)
        # Asked once: the floor and the plan must go by the same answer.
        self.idle = all(self._proven_idle(cache) for cache in mine)
        acting = planner.acts_on(self.policy, disks)
        surveys = {c.root.path: look.survey(c) for c in mine if c.root.device in acting}
        for seen in surveys.values():
            KINDS[seen.cache.kind].link(seen)
        others = {c.root.path: look.survey(c) for c in self.host.caches if c not in mine} if acting or not mine else {}
        if len(surveys) < len(mine):
            text = "%d of %d caches lie on file systems with more free space than the policy's start mark: left alone"
            self.notes.append(text % (len(mine) - len(surveys), len(mine)))
        plan = planner.make(list(surveys.values()), self._policy(), self._context(mine, disks))
        if not self.options.check:
            for cache, steps in ((c, p) for c in mine for p in plan.caches if p.survey.cache.path == c.root.path):
                if steps.rows:
                    self._apply(cache, steps)
        result = self._result(mine, disks, plan, look.unreached(self.host.caches, others))
        result = dict(schema.readable(result))
        if self.errors:
            raise Failed("; ".join(self.errors), result)
        return result

    # what the plan depends on

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

    def _proven_idle(self, cache: find.Cache) -> bool:
        mount = mounts.by_id().get(cache.root.mount)
        if self.policy.floor >= policies.FLOOR_LEAST or mount is None or mount.network:
            return False  # users of a network file system are elsewhere
        if self.policy.idle == "asserted":
            return True
        seen = act.users(cache)
        return self.policy.idle == "scan" and os.geteuid() == 0 and seen.complete and not seen.who

    def _context(self, mine: Sequence[find.Cache], disks: Mapping[int, planner.Disk]) -> planner.Context:
        idle = {cache.root.path: self.idle for cache in mine}
        unsure = self.host.offline | (self.host.unread if self.policy.private is None else frozenset())
        final = {cache.root.path: cache.root.uid in unsure for cache in mine}
        return planner.Context(look.now_ns(), disks, self._private(), idle, final)

    # apply

    def _apply(self, cache: find.Cache, steps: planner.CachePlan) -> None:
        root = cache.root
        below = self.policy.floor < policies.FLOOR_LEAST and steps.idle
        terms = act.Terms(self.deadline, below, self.options.threads, self.options.step)
        try:
            out = act.carry_out(
                self.host, cache, steps.survey.details, terms, lambda job: KINDS[cache.kind].apply(root, steps, job)
            )
        except act.Held as exc:
            self._all_skipped(steps, str(exc))
            return
        self.outcomes[root.path] = out
        if out.error:
            self.errors.append("%s: the purge stopped: %s" % (root.path, out.error))

    def _all_skipped(self, steps: planner.CachePlan, reason: str) -> None:
        out = core.Outcome()
        entries = steps.survey.entries
        for row in steps.rows:
            out.skip(reason, entries.key(row).decode("utf-8", "backslashreplace"), entries.freed[row])
        self.outcomes[steps.survey.cache.path] = out

    # what is told

    def _result(
        self,
        mine: Sequence[find.Cache],
        before: Mapping[int, planner.Disk],
        plan: planner.Plan,
        others: List[Dict[str, Any]],
    ) -> Dict[str, Any]:
        plans = {steps.survey.cache.path: steps for steps in plan.caches}
        result = schema.empty()
        for cache in mine:
            self._add(result, cache, plans.get(cache.root.path), self.outcomes.get(cache.root.path))
        told = len(result["evicted"]) + len(result["left_out"])
        result.update(
            changed=result["evicted_entries"] > 0,
            plan_digest=plan.digest,
            planned_entries=plan.entries,
            predicted_bytes=plan.bytes,
            free_bytes_before=sum(disk.free for disk in before.values()),
            free_bytes_after=sum(disk.free for disk in look.disks(mine).values()),
            unreached=others,
            refused=self.host.refused,
            truncated=plan.entries > told,
            acts=any(row["surveyed"] for row in result["caches"]) or not mine,
            notes=list(dict.fromkeys(list(plan.notes) + self.notes)),
            findings=self.host.findings,
            systems=self.host.systems,
            looked_at=self.host.looked_at,
            private_known=self._private() is not None,
        )
        return result

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
        if steps is None:
            return
        check = self.options.check
        row.update(
            entries=steps.survey.totals["entries"],
            allocated=steps.survey.totals["allocated"],
            evidence=steps.survey.evidence,
            planned_entries=len(steps.rows),
            predicted_bytes=steps.bytes,
            evicted_entries=len(steps.rows) if check else out.evicted if out is not None else 0,
            freed_bytes=out.freed if out is not None else 0,
        )
        result["evicted_entries"] += row["evicted_entries"]
        result["freed_bytes"] += row["freed_bytes"]
        for key, table in (("protected", steps.protected), ("pending", steps.pending)):
            for reason, cell in sorted(table.items()):
                item = {"cache": cache.root.path, "reason": reason, "entries": cell[0], "bytes": cell[1]}
                result[key].append(item)
        missed = set()
        if out is not None:
            missed = {item["path"] for item in out.samples}
            row["left_out"] = {name: {"entries": c[0], "bytes": c[1]} for name, c in sorted(out.skipped.items())}
            result["left_out_entries"] += sum(cell[0] for cell in out.skipped.values())
            result["left_out"] += [dict(item, cache=cache.root.path) for item in out.samples]
            del result["left_out"][CAP:]
            self.notes.extend(out.notes)
        # Where more stayed than are told by name, which of the others went is not told either.
        sure = out is None or sum(cell[0] for cell in out.skipped.values()) <= len(out.samples)
        if check or out is not None:
            for at in range(min(len(steps.rows), CAP - len(result["evicted"]))):
                entry = planner.entry(steps, at)
                if entry["path"] not in missed and sure:
                    result["evicted"].append(dict(entry, cache=cache.root.path))
