# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal's records mean, and what to do about it. Pure: plain data in, plain data out."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .._core.units import human, human_age
from .ghosts import DAY, UNKNOWN, median_of

_SHARE = 0.1
_LEAST_BYTES = 64 << 20
_LEAST_ENTRIES = 1000
_PINNED_RUNS = 5
_PINNED_SHARE = 0.95
_MISSING_ENTRIES = 100
_MISSING_SHARE = 0.05
_RESTORED_ENTRIES = 100
_RESTORED_BYTES = 64 << 20


def advise(rows: Sequence[Mapping[str, Any]], self_trim: Mapping[str, int]) -> List[Dict[str, Any]]:
    """What is worth telling about *rows* (:meth:`store.Journal.rows` over some runs, newest first; in check mode with
    this run's :func:`store.plain_row` before them), as ``code``, ``severity`` (warning or info), ``text`` and
    ``value`` (plain data with the cache's kind and path).

    *self_trim* tells after how many days without use a kind's own tool removes entries (such as ``{"go-build": 5}``;
    cmd/go/internal/cache, ``trimLimit``); kinds that are not named never do.
    """
    by_cache: Dict[Tuple[str, str], List[Mapping[str, Any]]] = {}
    for row in rows:
        by_cache.setdefault((row["kind"], row["path"]), []).append(row)
    found: List[Dict[str, Any]] = []
    for (kind, _path), mine in by_cache.items():
        for one in (_budget(mine), _pinned(mine), _other_cleaner(mine, self_trim.get(kind)), _restored(mine)):
            if one is not None:
                found.append(one)
    return found


def _tell(
    code: str, severity: str, row: Mapping[str, Any], text: str, parts: Tuple[object, ...], **value: Any
) -> Dict[str, Any]:
    told = dict(value, kind=row["kind"], path=row["path"])
    return {"code": code, "severity": severity, "text": row["path"] + ": " + text % parts, "value": told}


def _of_current_policy(rows: Sequence[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """The purges under the newest purge's policy: what an earlier one did is no reason to change this one."""
    purges = [row for row in rows if row["what"] == "purge"]
    return [row for row in purges if row["policy"] == purges[0]["policy"] and row["cap"] == purges[0]["cap"]]


def _needed(row: Mapping[str, Any]) -> int:
    """The smallest size of the cache that keeps what came back within a day, evicting by last use: what stayed, and
    all that was evicted and had been used at least as lately as the stalest of it."""
    back, by_age = row["back"], row["by_age"]
    oldest = back["day_age"]
    if by_age and 0 <= oldest < UNKNOWN:
        # Where the plan went by something else than last use, what came back is the least.
        extra = max(sum(by_age[: oldest + 1]), back["day_bytes"])
    else:
        extra = back["day_bytes"]
    return int(row["after"]["allocated"] + extra)


def _budget(rows: Sequence[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    worst: Optional[Mapping[str, Any]] = None
    for row in _of_current_policy(rows):
        back = row["back"]
        much = (back["day_bytes"] > _SHARE * row["ghost_bytes"] and back["day_bytes"] >= _LEAST_BYTES) or (
            back["day_entries"] > _SHARE * row["ghosts"] and back["day_entries"] >= _LEAST_ENTRIES
        )
        if row["ghosts"] and much and (worst is None or _needed(row) > _needed(worst)):
            worst = row
    if worst is None:
        return None
    back, needed, cap = worst["back"], _needed(worst), worst["cap"]
    what = "builds needed %d of %d evicted entries (%s) again within 24 hours (half of what came back, within %s); " % (
        back["day_entries"],
        worst["ghosts"],
        human(back["day_bytes"]),
        human_age(median_of({int(b): n for b, n in back["seconds"].items()}) or 0),
    )
    value = {
        "budget": cap,
        "needed": needed,
        "evicted_entries": worst["ghosts"],
        "day_entries": back["day_entries"],
        "day_bytes": back["day_bytes"],
        "run": worst["run"],
    }
    if cap is None:
        text = "the policy evicts what builds use; raise its ages or lower its stop mark, so that at least %s stay here"
        return _tell("budget-below-working-set", "warning", worst, "%s" + text, (what, human(needed)), **value)
    if needed <= cap:
        text = "the budget of %s would hold that, so another rule evicted it: raise that rule's age or mark"
        return _tell("budget-below-working-set", "warning", worst, "%s" + text, (what, human(cap)), **value)
    text = "the budget of %s is below the working set: raise it to at least %s"
    return _tell("budget-below-working-set", "warning", worst, "%s" + text, (what, human(cap), human(needed)), **value)


def _pinned(rows: Sequence[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    last = [row for row in rows if row["what"] == "purge"][:_PINNED_RUNS]
    if len(last) < _PINNED_RUNS:
        return None
    for row in last:
        if not row["cap"] or row["before"]["allocated"] < _PINNED_SHARE * row["cap"] or not row["evicted"]:
            return None
    cap = last[0]["cap"]
    regret = sum(row["back"]["entries"] for row in last)
    value = {"budget": cap, "runs": len(last), "regret_entries": regret}
    start = "it was full to its budget of %s at the start of each of the last %d runs; "
    if regret:
        text = "%d of the evicted entries were needed again: raise the budget, or build less on this agent"
        return _tell("pinned-at-cap", "warning", last[0], start + text, (human(cap), len(last), regret), **value)
    text = "nothing evicted was needed again so far: the budget holds the working set, but has no room for a new one"
    return _tell("pinned-at-cap", "info", last[0], start + text, (human(cap), len(last)), **value)


def _other_cleaner(rows: Sequence[Mapping[str, Any]], trim_days: Optional[int]) -> Optional[Dict[str, Any]]:
    """Entries of the last after-picture that are gone, at least.

    Use only moves entries to younger days, and what is new is young: so of the entries that lay there, at most as many
    are still there as there are now altogether. Where the kind's own tool trims what is unused for *trim_days*, only
    those count that cannot be so old yet, against what is younger than that now.
    """
    if len(rows) < 2:
        return None
    now, then = rows[0], rows[1]
    before, after = now["before"], then["after"]
    passed = now["at"] - then["at"]
    if not (before["complete"] and after["complete"]) or passed < 0:
        return None
    lay, there = after["entries"], before["entries"]
    if trim_days is not None:
        # A day's class holds entries up to its end; those may have reached the limit in the time that passed.
        safe = trim_days + -passed // DAY
        lay = sum(after["days"][: max(0, safe)])
        there = sum(before["days"][: trim_days + 1])
    missing = lay - there
    if missing < _MISSING_ENTRIES or missing < _MISSING_SHARE * lay:
        return None
    anew = (now["device"], now["inode"]) != (then["device"], then["inode"])
    text = (
        "at least %d of %d entries that the last run left have been removed by something else within %s%s: "
        "look for go clean, tmpfiles rules, cron jobs and CI clean-up steps, and let one cleaner do it"
    )
    parts = (missing, lay, human_age(passed), " (the folder itself was made anew)" if anew else "")
    return _tell(
        "another-cleaner", "warning", now, text, parts, missing=missing, of=lay, seconds=passed, made_anew=anew
    )


def _restored(rows: Sequence[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    evicting = [row for row in rows if row["ghosts"]][:_PINNED_RUNS]
    entries = sum(row["back"]["restored_entries"] for row in evicting)
    size = sum(row["back"]["restored_bytes"] for row in evicting)
    total = sum(row["ghosts"] for row in evicting)
    total_bytes = sum(row["ghost_bytes"] for row in evicting)
    many = entries >= _RESTORED_ENTRIES and entries > _SHARE * total
    if not many and not (size >= _RESTORED_BYTES and size > _SHARE * total_bytes):
        return None
    text = (
        "%d of %d evicted entries (%s) came back with their old times, so a CI system's cache archive restores them: "
        "an eviction here frees disk only until the next job; let the job prune before it saves the archive, "
        "or give the archive a key that ends"
    )
    return _tell(
        "restored-by-ci",
        "warning",
        evicting[0],
        text,
        (entries, total, human(size)),
        entries=entries,
        bytes=size,
        of=total,
    )
