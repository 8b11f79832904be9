# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mounts and free space of the file systems that caches lie on."""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple, Optional

# Whose other users cannot be seen from here, and whose clock is another machine's.
NETWORK_TYPES = frozenset(
    "nfs nfs4 cifs smb3 smbfs ceph lustre glusterfs gpfs afs 9p beegfs pvfs2 orangefs ocfs2 gfs2 virtiofs".split()
)


class Mount(NamedTuple):
    """One line of mountinfo: ``atime`` is one of strict, relative, none."""

    mount_id: int
    point: str
    fstype: str
    atime: str
    network: bool


class Space(NamedTuple):
    """statvfs in bytes and inodes; ``free`` is what an ordinary user can still write."""

    total: int
    free: int
    used: int
    inodes: int
    inodes_free: int

    @property
    def known(self) -> bool:
        """False for a file system that reports no size (then nothing may be decided from it)."""
        return self.total > 0


def _unescape(text: str) -> str:
    # proc_pid_mountinfo(5): space, tab, newline and backslash are octal.
    if "\\" not in text:
        return text
    out, i = [], 0
    while i < len(text):
        if text[i] == "\\" and text[i + 1 : i + 4].isdigit():
            out.append(chr(int(text[i + 1 : i + 4], 8)))
            i += 4
        else:
            out.append(text[i])
            i += 1
    return "".join(out)


def parse_mountinfo(text: str) -> List[Mount]:
    """Parses ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)); lines it does not understand are left out."""
    found = []
    for line in text.split("\n"):  # the kernel escapes no other line separator
        fields = line.split(" ")
        try:
            dash = fields.index("-", 6)
            fstype = fields[dash + 1]
            options = fields[5].split(",")
            atime = "none" if "noatime" in options else "relative" if "relatime" in options else "strict"
            network = fstype in NETWORK_TYPES or fstype == "fuse" or fstype.startswith("fuse.")
            network = network and fstype != "fuse.fuse-overlayfs"
            found.append(Mount(int(fields[0]), _unescape(fields[4]), fstype, atime, network))
        except (ValueError, IndexError):
            continue
    return found


def mounts() -> List[Mount]:
    """This process's mounts; [] where /proc cannot be read."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
            return parse_mountinfo(handle.read())
    except OSError:
        return []


def by_id(table: Optional[List[Mount]] = None) -> Dict[int, Mount]:
    """The mounts by their id, for descriptors' ``mnt_id``."""
    return {mount.mount_id: mount for mount in (mounts() if table is None else table)}


def below(path: str, table: Optional[List[Mount]] = None) -> List[str]:
    """Mount points strictly below *path* (a resolved absolute path)."""
    prefix = path.rstrip("/") + "/"
    return sorted(mount.point for mount in (mounts() if table is None else table) if mount.point.startswith(prefix))


def space(fd_or_path: int | str) -> Optional[Space]:
    """Free space where *fd_or_path* lies, in bytes and inodes; None where the file system does not answer."""
    try:
        st = os.statvfs(fd_or_path)
    except OSError:
        return None
    unit = st.f_frsize or st.f_bsize
    return Space(st.f_blocks * unit, st.f_bavail * unit, (st.f_blocks - st.f_bfree) * unit, st.f_files, st.f_favail)
