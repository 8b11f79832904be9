# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The survey of one agent, as cache_info and the command line return it."""

from __future__ import annotations

from typing import Any, Dict

from .._core.units import human
from . import find, look, record, schema


def nothing() -> Dict[str, Any]:
    """The result of a survey that could not begin."""
    return dict(schema.empty(), filesystems=[], work_folders=look.work_folders([], 0), advice=[])


def run(request: find.Request, details: bool = True) -> Dict[str, Any]:
    """Surveys every cache that *request* asks for. Raises find.BadRequest."""
    host = find.find(request)
    try:
        now = look.now_ns()
        surveys = {cache.root.path: look.survey(cache) for cache in host.caches}
        result = nothing()
        disks = look.disks(host.caches)
        result.update(
            caches=[look.data(cache, surveys[cache.root.path], now, details) for cache in host.caches],
            filesystems=look.filesystems(host.caches, [surveys[c.root.path] for c in host.caches]),
            work_folders=look.work_folders(host.work_folders, now),
            free_bytes_before=sum(disk.free for disk in disks.values()),
            free_bytes_after=sum(disk.free for disk in disks.values()),
            unreached=look.unreached(host.caches, surveys),
            refused=host.refused,
            findings=host.findings,
            systems=host.systems,
            looked_at=host.looked_at,
            truncated=any(s.truncated for s in surveys.values()),
            private_known=host.private is not None,
        )
        totals = [surveys[cache.root.path].totals for cache in host.caches]
        count = len(totals)
        if count:
            result["msg"] = "%d Go cache%s hold%s %s in %d inodes" % (
                count,
                "" if count == 1 else "s",
                "s" if count == 1 else "",
                human(sum(t["allocated"] for t in totals)),
                sum(t["inodes"] for t in totals),
            )
        else:
            result["msg"] = schema.sentence(result, False)
        result["notes"].extend(find.own_only())
        result["advice"] = record.advise(result["notes"].append)
        found: Dict[str, Any] = schema.readable(result)
        return found
    finally:
        find.close(host.caches)
