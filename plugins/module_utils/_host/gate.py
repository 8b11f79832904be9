# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick answer of a scheduled run: on no file system of this agent is so little free that the policy acts.

Whatever caches there are, they lie on one of the mounts that this process sees. So where all mounts have more than the
start mark, no cache needs to be looked for. Whatever is not certain at once means: go the whole way.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

from .._core import policy as policies
from .._core.policy import Marks, Policy
from .._core.units import BadPolicy
from .._fs import identity, mounts
from . import schema

#: The kinds of caches, without importing them (a test compares). A policy with another kind is answered less quickly.
KIND_NAMES = ("go-build", "go-mod", "go-work", "go-toolcache")

# Kernel interfaces and images: nothing is ever evicted there, and some of them always look full.
_NO_STORE = frozenset(
    "autofs binfmt_misc bpf cgroup cgroup2 configfs cramfs debugfs devpts devtmpfs efivarfs erofs fuse.gvfsd-fuse"
    " fuse.lxcfs fuse.portal fuse.snapfuse fusectl hugetlbfs iso9660 mqueue nsfs proc pstore ramfs rpc_pipefs"
    " securityfs selinuxfs smackfs squashfs sysfs tracefs udf".split()
)
# What the system mounts on demand and builds never use; below other automounts lie homes, on other machines.
_SYSTEM = ("/proc/", "/boot", "/efi", "/sys/", "/dev/")
_READ_ONLY = 1  # ST_RDONLY
_INVISIBLE = frozenset((errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR))


def answer(document: Optional[Mapping[str, Any]], paths: Sequence[str] = ()) -> Optional[Dict[str, Any]]:
    """A purge's result where no file system is below the start mark of the policy *document* (None: the default), so
    that no cache needs to be looked for; else None, and the purge says the rest, also what is wrong with a policy.
    """
    try:
        policy = policies.parse(policies.DEFAULT if document is None else document, KIND_NAMES)
    except BadPolicy:
        return None
    for path in paths:
        try:
            identity.check_name(path)
        except identity.Refused:
            return None
    places = room_everywhere(policy, paths)
    if places is None:
        return None
    text = "enough is free on every file system here: nothing to do, and no cache was looked for"
    result = schema.purge()
    result.update(looked_at=places, msg=text)
    return result


def room_everywhere(policy: Policy, paths: Sequence[str] = ()) -> Optional[List[str]]:
    """The mount points that were asked, where all have more free than the policy's start mark; else None."""
    if policy.when is None:
        return None
    table = mounts.mounts()
    if not table:
        return None
    places: Dict[str, None] = {"/": None}
    for mount in table:
        if mount.fstype == "autofs" and not mount.point.startswith(_SYSTEM):
            return None
        if mount.fstype in _NO_STORE:
            continue
        if mount.network:
            return None  # asking may hang, and nobody knows yet whether a cache lies there
        places[mount.point] = None
    asked: List[str] = []
    for place in list(places) + [path for path in paths if path.startswith("/") and os.path.lexists(path)]:
        try:
            found = os.statvfs(place)
        except OSError as exc:
            if exc.errno in _INVISIBLE:
                continue  # what this process cannot reach it cannot clean either
            return None
        if found.f_flag & _READ_ONLY or not found.f_blocks:
            continue
        unit = found.f_frsize or found.f_bsize
        if below(policy.when, found.f_blocks * unit, found.f_bavail * unit, found.f_files, found.f_favail):
            return None
        asked.append(place)
    return asked or None


def below(when: Marks, total: int, free: int, inodes: int, inodes_free: int) -> bool:
    """What _core.plan.acts_on says of one file system of known size, without importing the planner (a test compares).

    Half of the time that this whole program may take would go into that import.
    """
    if when.space is not None and free < when.space.of(total):
        return True
    return bool(when.inodes is not None and inodes and inodes_free < when.inodes.of(inodes))
