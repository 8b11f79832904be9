# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Survey of an agent's caches, as plain data that adds up with what ``df`` says."""

from __future__ import annotations

import os
import stat
import time
from array import array
from bisect import bisect_left
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from .._core import plan as planner
from .._core.survey import SECOND, CacheRef, Survey
from .._fs import dirs, mounts
from .._kinds.around import Around
from .._kinds.table import KINDS
from . import find

if TYPE_CHECKING:
    from .._go import running

_AGES = (("1h", 3600), ("1d", 86400), ("7d", 7 * 86400), ("14d", 14 * 86400), ("30d", 30 * 86400), ("90d", 90 * 86400))
_CAP = 100
_WORK_STALE = 86400
# Only for tests and drills: the time from which ages are counted, in Unix seconds; a build counts as done right then.
CLOCK = "GOFLEET_CACHE_TEST_NOW"


def now_ns() -> int:
    """The time from which ages are counted, Unix nanoseconds."""
    fake = os.environ.get(CLOCK, "")
    return int(float(fake) * SECOND) if fake else time.time_ns()


def survey(cache: find.Cache) -> Survey:
    """What is in one cache."""
    seen = KINDS[cache.kind].survey(cache.root)
    return seen._replace(last_build=now_ns()) if os.environ.get(CLOCK) else seen


def reference(cache: find.Cache) -> CacheRef:
    """A cache as the journal knows it."""
    root = cache.root
    return CacheRef(cache.kind, root.path, root.given, root.uid, root.gid, root.device, root.inode)


def surveys(host: find.Host, caches: Sequence[find.Cache], tools: running.Scan) -> Dict[str, Survey]:
    """What is in the caches, by path, with what the rest of the agent (the running *tools* too) tells of their use and
    with the ties between entries that a plan needs."""
    from .._go import running  # a survey alone does without

    every = [(cache.kind, cache.root) for cache in host.caches]
    around = Around(every, host.versions, running.toolchains_in_use(tools).used)
    found: Dict[str, Survey] = {}
    for cache in caches:
        kind = KINDS[cache.kind]
        seen = survey(cache)
        if kind.ask is not None:
            seen = kind.ask(seen, around)
        kind.link(seen)
        found[cache.root.path] = seen
    return found


def disks(caches: Sequence[find.Cache]) -> Dict[int, planner.Disk]:
    """The file systems of *caches* by device number."""
    found: Dict[int, planner.Disk] = {}
    for cache in caches:
        if cache.root.device in found:
            continue
        space = mounts.space(cache.root.fd)
        if space is None:
            found[cache.root.device] = planner.Disk(0, 0, 0, 0, False)
        else:
            found[cache.root.device] = planner.Disk(
                space.total, space.free, space.inodes, space.inodes_free, space.known
            )
    return found


def ages(seen: Survey, now: int) -> List[Dict[str, Any]]:
    """Entries and bytes by age of last use; the last class holds what is older, ``future`` what is dated after now."""
    names = [">= %s" % _AGES[-1][0]] + ["< %s" % name for name, _s in reversed(_AGES)] + ["future"]
    # What was used at a bound is older than it says, so that it belongs to the class before.
    bounds = [now - seconds * SECOND for _name, seconds in reversed(_AGES)] + [now + 300 * SECOND]
    expires = [one.expires for one in seen.tiers]
    used, freed = seen.entries.used, seen.entries.freed
    if any(expires):
        stays = seen.entries.tier.tobytes().translate(bytes(not end for end in expires) + bytes(256 - len(expires)))
        if stays.count(1) < len(stays):
            used, freed = array("q", compress(used, stays)), array("q", compress(freed, stays))
    classes = bytes(map(partial(bisect_left, bounds), used))
    found = []
    for at in reversed(range(len(names))):
        count = classes.count(at)
        if count:
            mine = classes.translate(bytes(at) + b"\1" + bytes(255 - at))
            found.append({"age": names[at], "entries": count, "bytes": sum(compress(freed, mine))})
    return found


def data(cache: find.Cache, seen: Survey, now: int, details: bool = True) -> Dict[str, Any]:
    """One survey as plain data."""
    found = find.describe(cache)
    found.update(seen.totals)
    found["evidence"] = seen.evidence
    found["last_build"] = seen.last_build // SECOND
    found["ages"] = ages(seen, now)
    found["damage"] = seen.damage[:_CAP]
    found["damage_seen"] = len(seen.damage)
    found["unreached"] = seen.unreached[:_CAP]
    found["unreached_places"] = len(seen.unreached)
    if details:
        found.update(seen.details)
    mount = mounts.by_id().get(cache.root.mount)
    if mount is not None:
        found["mount"] = {"point": mount.point, "type": mount.fstype, "network": mount.network, "atime": mount.atime}
    return found


def filesystems(caches: Sequence[find.Cache], surveys: Sequence[Survey]) -> List[Dict[str, Any]]:
    """Per file system: Go's caches, the rest, and what is free, in bytes; the three add up to ``total``.

    ``total`` is what df shows as used plus available (blocks that are reserved for root are in neither).
    """
    table = mounts.by_id()
    found = []
    for device in dict.fromkeys(cache.root.device for cache in caches):
        mine = [(c, s) for c, s in zip(caches, surveys) if c.root.device == device]
        space = mounts.space(mine[0][0].root.fd)
        mount = table.get(mine[0][0].root.mount)
        go = sum(s.totals["allocated"] + s.totals.get("quarantined", 0) for _c, s in mine)
        row: Dict[str, Any] = {"mount": mount.point if mount is not None else "", "go": go, "caches": len(mine)}
        if space is not None and space.known:
            row.update(
                total=space.used + space.free,
                used=space.used,
                free=space.free,
                rest=max(space.used - go, 0),
                inodes=space.inodes,
                inodes_free=space.inodes_free,
                go_inodes=sum(s.totals["inodes"] for _c, s in mine),
            )
        found.append(row)
    return found


def work_folders(places: Iterable[str], now: int, limit: int = 2000) -> Dict[str, Any]:
    """The ``go-build*`` work folders that cancelled builds left in the temporary directories.

    cmd/go removes them only when it ends by itself or by SIGINT (internal/base/signal_unix.go). Counted are folders of
    that name, mode 0700; stale is one that is older than a day.
    """
    count = stale = size = 0
    names: List[str] = []
    truncated = False
    for place in places:
        try:
            opened = dirs.open_path(place)
        except OSError:
            continue
        try:
            for name in dirs.names(opened.fd):
                if not (name.startswith("go-build") and name[8:].isdigit()):
                    continue
                st = dirs.lstat_or_none(name, opened.fd)
                if st is None or not stat.S_ISDIR(st.st_mode):
                    continue
                if count >= limit:
                    truncated = True
                    break
                count += 1
                if now - st.st_mtime_ns > _WORK_STALE * SECOND:
                    stale += 1
                    size += _size(name, opened.fd)
                    names.append("%s/%s" % (opened.path.rstrip("/"), name))
        finally:
            os.close(opened.fd)
    return {"folders": count, "stale": stale, "stale_bytes": size, "examples": names[:10], "truncated": truncated}


def _size(name: str, dir_fd: int) -> int:
    """Allocated bytes below a folder, at most three levels and 10,000 names deep (work folders are flat)."""
    total = 0
    todo: List[Tuple[int, int]] = []
    left = 10000
    try:
        todo.append((dirs.open_dir(name, dir_fd), 0))
    except OSError:
        return 0
    while todo:
        fd, depth = todo.pop()
        try:
            for child, st in dirs.entries(fd):
                left -= 1
                total += st.st_blocks * 512
                if stat.S_ISDIR(st.st_mode) and depth < 3 and left > 0:
                    try:
                        todo.append((dirs.open_dir(child, fd), depth + 1))
                    except OSError:
                        continue
        finally:
            os.close(fd)
    return total


def unreached(caches: Sequence[find.Cache], surveys: Mapping[str, Optional[Survey]]) -> List[Dict[str, Any]]:
    """The caches that this process may look at but not clean, with what they hold."""
    found = []
    me = os.geteuid()
    for cache in caches:
        if me in (0, cache.root.uid):
            continue
        seen = surveys.get(cache.root.path)
        row = {
            "path": cache.root.path,
            "kind": cache.kind,
            "uid": cache.root.uid,
            "why": "owned by uid %d; run with become" % cache.root.uid,
        }
        row["entries"] = len(seen.entries) if seen is not None else 0
        row["bytes"] = seen.totals["allocated"] if seen is not None else 0
        found.append(row)
    return found
