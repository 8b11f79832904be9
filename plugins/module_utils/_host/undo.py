# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing back what a run put into quarantine, on one agent, in one call."""

from __future__ import annotations

import os
import re
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .._core import evict as core
from .._core.units import human
from .._journal import store
from .._kinds.table import KINDS
from . import act, find, look, schema

CAP = 100
_RUN = re.compile(r"[0-9a-f]{12}\Z")
_THREADS = 1


class Options(NamedTuple):
    """How an undo is carried out: ``check`` only tells; ``time_limit`` in seconds; ``step`` is a hook for tests;
    ``door`` is who asks, for the journal."""

    check: bool
    time_limit: int = 600
    step: Callable[[str], None] = lambda _name: None
    stop: Callable[[], bool] = core.never
    door: str = "ansible"


class NoRun(ValueError):
    """No quarantine of that run is there; nothing was touched."""


class Failed(RuntimeError):
    """An undo that ended with an error: ``result`` holds what had been done by then."""

    def __init__(self, text: str, result: Dict[str, Any]) -> None:
        super().__init__(text)
        self.result = result


def nothing() -> Dict[str, Any]:
    """The result of an undo that could not begin."""
    return dict(schema.empty(), run="", restored_entries=0, restored_bytes=0, quarantines=[])


def run(request: find.Request, wanted: str, options: Options) -> Dict[str, Any]:
    """Brings back what the run *wanted* (its twelve digits, or ``latest``) had put into quarantine.

    Raises find.BadRequest and NoRun before anything is touched, Failed afterwards.
    """
    if wanted != "latest" and not _RUN.match(wanted):
        raise NoRun("run: %r is no run's name; give the twelve digits of quarantine_run, or latest" % wanted)
    deadline = time.monotonic() + options.time_limit
    host = find.find(request)
    try:
        return _run(host, wanted, options, deadline)
    finally:
        find.close(host.caches)


def _run(host: find.Host, wanted: str, options: Options, deadline: float) -> Dict[str, Any]:
    result = nothing()
    mine = [c for c in host.caches if os.geteuid() in (0, c.root.uid) and KINDS[c.kind].undo is not None]
    kept: List[Tuple[find.Cache, Dict[str, Any]]] = []
    for cache in mine:
        for item in look.survey(cache).details.get("quarantine", ()):
            kept.append((cache, item))
            result["quarantines"].append(dict(item, cache=cache.root.path))
    runs: Dict[str, Tuple[int, int]] = {}
    for _cache, item in kept:
        runs[item["run"]] = max((item["at"], item["ends"]), runs.get(item["run"], (0, 0)))
    if wanted == "latest":
        wanted = max(runs, key=lambda run: runs[run]) if runs else ""
    elif wanted not in runs:
        known = ", ".join(sorted(runs, key=lambda run: runs[run], reverse=True)[:5])
        text = "run: nothing of run %s is in quarantine in %d caches; " % (wanted, len(mine))
        raise NoRun(text + ("there is: %s" % known if known else "nothing is in quarantine"))
    result.update(run=wanted, refused=host.refused, findings=host.findings, looked_at=host.looked_at)
    result.update(systems=host.systems, private_known=host.private is not None)
    errors = []
    for cache, item in kept:
        if item["run"] != wanted:
            continue
        row = dict(find.describe(cache), surveyed=True, bytes=item["bytes"], restored_entries=0, restored_bytes=0)
        result["caches"].append(row)
        out = None if options.check else _undo(host, cache, wanted, options, deadline)
        if out is None:
            row["restored_bytes"] = item["bytes"] if options.check else 0
        else:
            row.update(restored_entries=out.evicted, restored_bytes=out.freed)
            result["restored_entries"] += out.evicted
            result["left_out_entries"] += sum(cell[0] for cell in out.skipped.values())
            result["left_out"] += [dict(sample, cache=cache.root.path) for sample in out.samples]
            result["notes"] += out.notes
            if out.error:
                errors.append("%s: the undo stopped: %s" % (cache.root.path, out.error))
        result["restored_bytes"] += row["restored_bytes"]
    del result["left_out"][CAP:]
    result["truncated"] = result["left_out_entries"] > len(result["left_out"])
    result["changed"] = bool(result["caches"]) if options.check else result["restored_entries"] > 0
    result["notes"] += find.own_only()
    found: Dict[str, Any] = schema.readable(result)
    if result["caches"] and not options.check:
        _record(found, options.door)
    if errors:
        raise Failed("; ".join(errors), found)
    return found


def _undo(host: find.Host, cache: find.Cache, wanted: str, options: Options, deadline: float) -> Optional[core.Outcome]:
    work = KINDS[cache.kind].undo
    if work is None:
        return None
    undo = work
    terms = act.Terms(deadline, False, _THREADS, options.step, stop=options.stop)
    try:
        out = act.carry_out(host, cache, {}, terms, lambda job: undo(cache.root, wanted, job))
    except act.Held as exc:
        out = core.Outcome()
        out.note("%s: %s; try again" % (cache.root.path, exc))
        return out
    journal = store.open_journal(True)
    if journal is not None:
        # What was put back has not come back by itself: it is no regret.
        journal.forget(look.reference(cache), [path.encode("utf-8", "surrogateescape") for path in out.back])
        journal.close()
    return out


def _record(result: Dict[str, Any], door: str) -> None:
    journal = store.open_journal(True)
    if journal is not None:
        journal.record(store.Run(look.now_ns(), door, "undo", notes=(sentence(result, False),)), [])
        journal.close()


def sentence(result: Dict[str, Any], check: bool) -> str:
    """One sentence for people about an undo's result."""
    if not result["caches"]:
        return "nothing is in quarantine"
    if check:
        return "would bring back %s of run %s" % (human(result["restored_bytes"]), result["run"])
    text = "brought back %d entries, %s, of run %s"
    text %= (result["restored_entries"], human(result["restored_bytes"]), result["run"])
    if result["left_out_entries"]:
        reasons = sorted({item["reason"] for item in result["left_out"]})
        text += "; %d left out (%s)" % (result["left_out_entries"], ", ".join(reasons))
    return text
