# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far what one proxy lists is behind what others, or the repository itself, have."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .._go import modpath
from . import chain as chains
from .chain import FOUND, Element
from .direct import Origins
from .probe import Prober, json_object, listed, newest

#: Missing versions that are named.
MAX_NAMED = 10


class Member(NamedTuple):
    """Somebody who lists versions."""

    prober: Prober
    element: Element


def timestamp(text: str) -> Optional[float]:
    """Unix seconds of a time as .info has it (RFC 3339), or None."""
    match = re.match(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", text)
    if match is None:
        return None
    zone = "+00:00" if match.group(3) in "Zz" else match.group(3)
    try:
        return datetime.fromisoformat("%sT%s%s" % (match.group(1), match.group(2), zone)).timestamp()
    except (ValueError, OverflowError):
        return None


def compare(path: str, members: Sequence[Member], origins: Optional[Origins]) -> Optional[Dict[str, Any]]:
    """One module's lists side by side, as plain data; None where fewer than two were seen. Never raises.

    origins: where the repository's own tags count as well. ``lag_seconds``: from the time of the newest version that a
    member lists to the time of the newest one of all; None where a time is not known. ``latest_lag_seconds``: the same
    between what members answer to @latest, which leaves retracted versions out and so may be older than the lists.
    """
    lists: List[Tuple[str, List[str]]] = []
    rows: List[Dict[str, Any]] = []
    times: Dict[str, str] = {}
    for prober, element in members:
        answer, reply = prober.versions(element, path)
        if answer.state != FOUND or reply is None or reply.html:
            continue
        versions = listed(reply.body)[0]
        lists.append((element.shown, versions))
        rows.append({"element": element.shown, "latest": _latest(prober, element, path, times)})
        rows[-1].update(_newest(prober, element, path, versions))
    tags = origins.versions(path) if origins is not None else None
    if tags is not None:
        lists.append((chains.DIRECT, tags))
        rows.append({"element": chains.DIRECT, "latest": "", "newest": newest(tags), "time": "", "versions": len(tags)})
    if len(rows) < 2:
        return None
    everything = sorted({version for _name, versions in lists for version in versions}, key=modpath.sort_key)
    best = newest(everything)
    # The repository has no .info: whoever serves the version tells its time.
    time = next((row["time"] for row in rows if row["newest"] == best and row["time"]), "")
    latest = newest([row["latest"] for row in rows if row["latest"]])
    for row, (_name, versions) in zip(rows, lists):
        missing = sorted(set(everything) - set(versions), key=modpath.sort_key, reverse=True)
        row["missing"], row["missing_versions"] = len(missing), missing[:MAX_NAMED]
        row["behind"] = row["newest"] != best
        row["lag_seconds"] = _lag(row["time"], time) if row["behind"] else 0
        row["latest_behind"] = row["latest"] not in ("", latest)
        row["latest_lag_seconds"] = (
            _lag(times.get(row["latest"], ""), times.get(latest, "")) if row["latest_behind"] else 0
        )
    return {"module": path, "newest": best, "time": time, "elements": rows}


def _newest(prober: Prober, element: Element, path: str, versions: List[str]) -> Dict[str, Any]:
    version = newest(versions)
    row = {"newest": version, "time": "", "versions": len(versions)}
    if version:
        answer, reply = prober.info(element, path, version)
        if answer.state == FOUND and reply is not None:
            found = timestamp(str(json_object(reply.body).get("time", "")))
            if found is not None:
                row["time"] = datetime.fromtimestamp(found, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return row


def _lag(mine: str, newest_time: str) -> Optional[int]:
    started, ended = timestamp(mine), timestamp(newest_time)
    return None if started is None or ended is None else max(0, int(ended - started))


def _latest(prober: Prober, element: Element, path: str, times: Dict[str, str]) -> str:
    if element.kind != chains.HTTP:
        return ""
    version, time = prober.latest(element, path)[1:]
    times.setdefault(version, time)
    return version


def days(seconds: float) -> str:
    """Seconds for people: days from two on, else hours."""
    return "%d days" % (seconds // 86400) if seconds >= 2 * 86400 else "%d hours" % (seconds // 3600)
