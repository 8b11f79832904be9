# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of one agent's caches, and, where asked for, the repair of what is damaged, in one call."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .._core import evict as core
from .._core import patterns
from .._core.units import human
from .._core.verify import CAP, Damage, Fix, Report
from .._core.verify import Options as Bounds
from .._fs import dirs
from .._kinds import go_build, go_mod
from .._kinds.go_build import repair as build_repair
from .._kinds.go_build import verify as build_verify
from .._kinds.go_mod import repair as mod_repair
from .._kinds.go_mod import verify as mod_verify
from .._kinds.table import KINDS
from . import act, find, look, schema

# What a kind must offer to be verified and repaired.
_VERIFY: Dict[str, Callable[[Any, Bounds], Report]] = {
    go_build.KIND: build_verify.verify,
    go_mod.KIND: mod_verify.verify,
}
_PLAN: Dict[str, Callable[..., Fix]] = {go_build.KIND: build_repair.plan, go_mod.KIND: mod_repair.plan}
_APPLY: Dict[str, Callable[..., core.Outcome]] = {go_build.KIND: build_repair.apply, go_mod.KIND: mod_repair.apply}

# Seconds that the repair of one cache may wait for builds: what they may still be reading is findable no more by then.
_WAIT = 120.0


class Options(NamedTuple):
    """How a verification is carried out; see the module cache_verify. ``time_limit`` in seconds, ``sample`` percent."""

    check: bool = False
    time_limit: float = 600.0
    sample: float = 100.0
    seed: str = ""
    threads: int = 2
    repair: bool = False
    step: Callable[[str], None] = lambda _name: None
    stop: Callable[[], bool] = core.never


class Failed(RuntimeError):
    """A repair that ended with an error: ``result`` holds what had been done by then."""

    def __init__(self, text: str, result: Dict[str, Any]) -> None:
        super().__init__(text)
        self.result = result


def nothing() -> Dict[str, Any]:
    """The result of a verification that could not begin."""
    return dict(schema.empty(), ok=True, verified={}, damaged=[], damaged_total=0, repaired=0)


def run(request: find.Request, options: Options) -> Dict[str, Any]:
    """Verifies every cache that *request* asks for. Raises find.BadRequest before anything is touched, Failed later."""
    started = time.monotonic()
    host = find.find(request)
    try:
        return _Verification(host, options, started).run()
    finally:
        find.close(host.caches)


def sentence(result: Dict[str, Any], check: bool = False) -> str:
    """One sentence for people about a verification's result; with *check*, of what a repair would do."""
    count = len(result["caches"])
    if not count:
        return schema.sentence(result, False)
    checked = sum(cell["checked"] for cell in result["verified"].values())
    size = sum(cell["bytes"] for cell in result["verified"].values())
    text = "verified %d things, %s, in %d cache%s" % (checked, human(size), count, "" if count == 1 else "s")
    total = result["damaged_total"]
    if total:
        text += "; %d damaged" % total
        if result["repaired"]:
            text += ", %d %s" % (result["repaired"], "would be repaired" if check else "repaired")
    else:
        text += "; no damage"
    skipped = sum(cell["skipped"] for cell in result["verified"].values())
    if skipped:
        text += "; %d not checked" % skipped
    unreached = sum(row["entries"] for row in result["unreached"])
    if unreached:
        text += "; %d not reached" % unreached
    if result["truncated"]:
        text += "; cut by the time limit or the length of the lists"
    return text


class _Verification:
    def __init__(self, host: find.Host, options: Options, started: float) -> None:
        self.host = host
        self.options = options
        self.deadline = started + options.time_limit
        self.repair_until = self.deadline
        self.errors: List[str] = []

    def run(self) -> Dict[str, Any]:
        result = nothing()
        before = look.disks(self.host.caches)
        digest = hashlib.sha256()
        # A repair must still have time when the verification has used its own up.
        end = self.deadline - (self.options.time_limit * 0.2 if self.options.repair else 0.0)
        caches = [cache for cache in self.host.caches if cache.kind in _VERIFY]
        for number, cache in enumerate(caches):
            now = time.monotonic()
            mine = now + max(0.0, end - now) / (len(caches) - number)
            bounds = Bounds(mine, self.options.sample, self.options.seed, self.options.threads)
            report = _VERIFY[cache.kind](cache.root, bounds)
            left = self.deadline - time.monotonic()
            self.repair_until = time.monotonic() + min(_WAIT, left / (len(caches) - number))
            self._add(result, cache, report, digest)
        result.update(
            changed=result["evicted_entries"] > 0,
            plan_digest=digest.hexdigest() if self.options.repair else "",
            free_bytes_before=sum(disk.free for disk in before.values()),
            free_bytes_after=sum(disk.free for disk in look.disks(self.host.caches).values()),
            refused=self.host.refused,
            findings=self.host.findings,
            systems=self.host.systems,
            looked_at=self.host.looked_at,
        )
        result["notes"] = list(dict.fromkeys(find.own_only() + result["notes"]))
        result["ok"] = result["damaged_total"] == result["repaired"]
        result = dict(schema.readable(result))
        if self.errors:
            raise Failed("; ".join(self.errors), result)
        return result

    def _add(self, result: Dict[str, Any], cache: find.Cache, report: Report, digest: Any) -> None:
        """Adds one cache's report, and repairs it where that is asked for."""
        damaged = sorted(report.damaged, key=lambda item: (item.path, item.cls, item.problem))
        told = report.data()
        row = find.describe(cache)
        row.update(
            ok=not damaged,
            verified=told["classes"],
            damaged_total=len(damaged),
            counts=told["notes"],
            truncated=told["truncated"] or "",
            planned_entries=0,
            predicted_bytes=0,
            evicted_entries=0,
            freed_bytes=0,
        )
        result["caches"].append(row)
        for name, cell in told["classes"].items():
            total = result["verified"].setdefault(name, dict.fromkeys(cell, 0))
            for key, value in cell.items():
                total[key] += value
        if told["unreached"]["entries"]:
            why = ", ".join(sorted(told["unreached"]["reasons"]))
            item = {"path": cache.root.path, "kind": cache.kind, "uid": cache.root.uid, "why": why}
            item.update(entries=told["unreached"]["entries"], bytes=told["unreached"]["bytes"])
            result["unreached"].append(item)
        if told["truncated"]:
            result["truncated"] = True
            result["notes"].append("%s: %s" % (cache.root.path, told["truncated"]))
        repaired: List[bool] = [False] * len(damaged)
        if self.options.repair and damaged:
            repaired = self._repair(result, row, cache, damaged, digest)
        result["damaged_total"] += len(damaged)
        result["repaired"] += sum(repaired)
        row["ok"] = all(repaired)
        for item_, done in zip(damaged, repaired):
            if len(result["damaged"]) >= CAP:
                result["truncated"] = True
                break
            result["damaged"].append(dict(item_.data(), cache=cache.root.path, repaired=done))

    # repair

    def _private(self, label: str) -> bool:
        return self.host.private is None or patterns.any_protects(self.host.private, label)

    def _repair(
        self, result: Dict[str, Any], row: Dict[str, Any], cache: find.Cache, damaged: List[Damage], digest: Any
    ) -> List[bool]:
        """Carries a repair out (not in check mode); tells of each damaged item whether it is (would be) gone."""
        root = cache.root
        if os.geteuid() not in (0, root.uid):
            self._protect(result, cache, "owned by uid %d" % root.uid, [len(damaged), 0])
            return [False] * len(damaged)
        seen = look.survey(cache)
        KINDS[cache.kind].link(seen)
        fix = _PLAN[cache.kind](seen, damaged, self._private)
        for reason, cell in sorted(fix.protected.items()):
            self._protect(result, cache, reason, cell)
        keys = [seen.entries.key(at).decode("utf-8", "surrogateescape") for at in fix.rows]
        planned = [(key, seen.entries.freed[at]) for key, at in zip(keys, fix.rows)]
        planned += [(file.path, self._size(cache, file.path)) for file in dict.fromkeys(fix.files)]
        planned = list(dict(planned).items())
        for path, _size in sorted(planned):
            line = json.dumps({"cache": root.path, "path": path}, sort_keys=True)
            digest.update(line.encode("ascii") + b"\n")
        row.update(planned_entries=len(planned), predicted_bytes=sum(size for _path, size in planned))
        result["planned_entries"] += row["planned_entries"]
        result["predicted_bytes"] += row["predicted_bytes"]
        if self.options.check:
            row["evicted_entries"] = len(planned)
            result["evicted_entries"] += len(planned)
            self._evicted(result, cache, planned, damaged)
            going = {path for path, _size in planned}
            return [item.path in going for item in damaged]
        before = [self._identity(cache, item.path) for item in damaged]
        if planned:
            out = self._apply(cache, fix)
            if out is not None:
                row.update(evicted_entries=out.evicted, freed_bytes=out.freed)
                row["left_out"] = {name: {"entries": c[0], "bytes": c[1]} for name, c in sorted(out.skipped.items())}
                result["evicted_entries"] += out.evicted
                result["freed_bytes"] += out.freed
                result["left_out_entries"] += sum(cell[0] for cell in out.skipped.values())
                # Not "skipped": for Ansible a task whose result says so was not run.
                result["left_out"] += [dict(item, cache=root.path) for item in out.samples]
                del result["left_out"][CAP:]
                result["notes"] += out.notes
                missed = {item["path"] for item in out.samples}
                self._evicted(result, cache, [one for one in planned if one[0] not in missed], damaged)
        after = [self._identity(cache, item.path) for item in damaged]
        return [was is None or was != now for was, now in zip(before, after)]

    def _protect(self, result: Dict[str, Any], cache: find.Cache, reason: str, cell: List[int]) -> None:
        item = {"cache": cache.root.path, "reason": reason, "entries": cell[0], "bytes": cell[1]}
        result["protected"].append(item)

    def _evicted(
        self, result: Dict[str, Any], cache: find.Cache, planned: List[Tuple[str, int]], damaged: List[Damage]
    ) -> None:
        classes = {item.path: item.cls for item in damaged}
        for path, size in planned[: max(0, CAP - len(result["evicted"]))]:
            tier = classes.get(path, "belongs to it")
            item = {"cache": cache.root.path, "path": path, "tier": tier, "reason": "damaged", "bytes": size}
            result["evicted"].append(item)

    def _stat(self, cache: find.Cache, path: str) -> Optional[os.stat_result]:
        parent, _slash, name = path.rpartition("/")
        fd = os.dup(cache.root.fd)
        try:
            for part in parent.split("/") if parent else ():
                below = dirs.open_dir(part, fd)
                os.close(fd)
                fd = below
            return dirs.lstat(name, fd)
        except OSError:
            return None
        finally:
            os.close(fd)

    def _size(self, cache: find.Cache, path: str) -> int:
        st = self._stat(cache, path)
        return dirs.freed_by_unlink(st) if st is not None and not stat.S_ISDIR(st.st_mode) else 0

    def _identity(self, cache: find.Cache, path: str) -> Optional[Tuple[int, int]]:
        st = self._stat(cache, path)
        return (st.st_ino, st.st_ctime_ns) if st is not None else None

    def _apply(self, cache: find.Cache, fix: Fix) -> Optional[core.Outcome]:
        terms = act.Terms(self.repair_until, True, self.options.threads, self.options.step, stop=self.options.stop)
        try:
            out = act.carry_out(
                self.host, cache, fix.survey.details, terms, lambda job: _APPLY[cache.kind](cache.root, fix, job)
            )
        except act.Held as exc:
            self.errors.append("%s: not repaired: %s; try again later" % (cache.root.path, exc))
            return None
        if out.error:
            self.errors.append("%s: the repair stopped: %s" % (cache.root.path, out.error))
        return out
