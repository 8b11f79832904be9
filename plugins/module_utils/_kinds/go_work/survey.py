# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Survey of a temporary directory: the work folders in it, whose they are, how old, and which are in use."""

from __future__ import annotations

import os
import re
import stat
from typing import Any, Dict, List, Tuple

from ..._core.survey import SECOND, CacheRef, Entries, Survey
from ..._fs import dirs
from ..._fs.identity import Root
from . import KIND, TIERS, is_work, live, tier_of, trees

HOLDS = ("", "other owner", "in use", "no work folder", "not reached whole", "processes not visible")
OWNER, IN_USE, NONE, PART, BLIND = range(1, 6)
_BUDGET = 2_000_000
_NAMED = re.compile(rb"(go-build[0-9]+(?:\.evicted-[0-9]+)?)(?![0-9])")
_OBJECTS = re.compile(r"b[0-9]+\Z")
# A folder's times are of the file system's clock, a process's start of the kernel's.
_SLACK = 2 * SECOND


def survey(root: Root, proc: str = "/proc") -> Survey:
    """The work folders in the temporary directory at *root*; sizes in bytes, times in Unix nanoseconds.

    The look at the processes is part of it, and need not be repeated: the digits of a name are random, so no command
    that starts later works in a folder that was there before.
    """
    found: List[Tuple[str, os.stat_result]] = []
    for name in sorted(name for name in dirs.names(root.fd) if tier_of(name) >= 0):
        st = dirs.lstat_or_none(name, root.fd)
        if st is not None and is_work(st):
            found.append((name, st))
    entries = Entries()
    owners: List[Tuple[int, int]] = [(root.uid, root.gid)]
    # The folders before the processes: who made one of them is running by now, or has ended.
    users = live.look(_NAMED, proc)
    place = os.fstat(root.fd)
    budget = [_BUDGET]
    totals = dict.fromkeys(("entries", "bytes", "allocated", "inodes", "in_use"), 0)
    unreached: List[Dict[str, Any]] = []
    last = 0
    for name, st in found:
        hold = _hold(st, place, name, users)
        seen = _measured(name, root, budget)
        if not seen.whole:
            unreached.append({"path": name, "why": "not every folder in it could be read"})
            hold = hold or PART
        elif seen.foreign:
            hold = hold or OWNER
        number = trees.owner_number(owners, st)
        if number < 0:
            number, hold = 0, hold or OWNER
        last = max(last, seen.newest)
        row = entries.add(
            os.fsencode(name),
            tier_of(name),
            0,
            seen.newest,
            st.st_mtime_ns,
            st.st_ino,
            seen.freed,
            seen.size,
            seen.inodes,
        )
        entries.hold[row] = hold or (0 if _shaped(name, root) else NONE)
        entries.owner[row] = number
        totals["bytes"] += seen.size
        totals["allocated"] += seen.freed
        totals["inodes"] += seen.inodes
        totals["in_use"] += hold == IN_USE
    totals["entries"] = len(entries)
    return Survey(
        CacheRef(KIND, root.path, root.given, root.uid, root.gid, root.device, root.inode),
        TIERS,
        HOLDS,
        [],
        entries,
        0,
        "newest change inside",
        (0,),
        last,
        totals,
        {"processes_hidden": users.hidden},
        [],
        unreached,
        "more than %d names" % _BUDGET if budget[0] < 0 else None,
        (),
        tuple(owners),
    )


def _measured(name: str, root: Root, budget: List[int]) -> trees.Measured:
    try:
        fd = dirs.open_dir(name, root.fd)
    except OSError:
        return trees.Measured(0, 0, 1, 0, False, False)
    try:
        if not dirs.same_place(fd, root.mount, root.device):
            return trees.Measured(0, 0, 1, 0, False, False)
        return trees.measure(fd, root.mount, root.device, budget)
    finally:
        os.close(fd)


def _hold(st: os.stat_result, place: os.stat_result, name: str, users: live.Live) -> int:
    shared = stat.S_ISVTX & place.st_mode and place.st_uid == 0
    if st.st_uid != place.st_uid and not shared:
        return OWNER  # in such a place somebody else may move it
    if os.geteuid() not in (0, st.st_uid):
        return OWNER
    if not users.seen:
        return BLIND
    if os.fsencode(name) in users.names:
        return IN_USE
    # A go command older than the folder's last change may have made it, and be between two steps.
    if any(uid == st.st_uid and start <= st.st_mtime_ns + _SLACK for uid, start in users.gos):
        return IN_USE
    return 0


def _shaped(name: str, root: Root) -> bool:
    """Whether nothing lies in it that cmd/go does not put there: folders of objects, and files."""
    try:
        fd = dirs.open_dir(name, root.fd)
    except OSError:
        return False
    try:
        for child, st in dirs.entries(fd):
            if not (_OBJECTS.match(child) if stat.S_ISDIR(st.st_mode) else stat.S_ISREG(st.st_mode)):
                return False
        return True
    finally:
        os.close(fd)
