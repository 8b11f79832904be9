# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole folders as entries: how large, how new, whose; and how one goes, out of sight first."""

from __future__ import annotations

import os
import pwd
import re
import stat
from typing import List, NamedTuple, Optional, Tuple

from ..._core import evict as core
from ..._core.evict import Job, Outcome
from ..._core.survey import Entries
from ..._fs import dirs
from ..._fs.identity import Root
from ..._fs.remove import remove_tree

_DEEPEST = 512
#: What is added to the name of a folder that is on its way out; the next survey finds what a killed run left.
ASIDE = re.compile(r"(.+)\.evicted-[0-9]+\Z")


class Measured(NamedTuple):
    """Apparent bytes, bytes and inodes that the removal gives back, and the newest mtime or ctime inside.

    ``foreign`` tells that a folder in it has another owner, ``whole`` that everything was seen: no mount, no closed
    folder, nothing cut off.
    """

    size: int
    freed: int
    inodes: int
    newest: int
    foreign: bool
    whole: bool


def measure(top: int, mount: int, device: int, budget: List[int]) -> Measured:
    """Measures the open directory *top* without recursion; *budget* holds the names that may still be looked at."""
    own = os.fstat(top)
    size, freed, inodes, newest = 0, own.st_blocks * 512, 1, max(own.st_mtime_ns, own.st_ctime_ns)
    foreign, whole = False, True
    stack: List[Tuple[int, List[str]]] = []
    try:
        stack.append((os.dup(top), os.listdir(top)))
        while stack:
            fd, names = stack[-1]
            if not names:
                stack.pop()
                os.close(fd)
                continue
            name = names.pop()
            budget[0] -= 1
            if budget[0] < 0:
                return Measured(size, freed, inodes, newest, foreign, False)
            try:
                st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            inodes += 1
            newest = max(newest, st.st_mtime_ns, st.st_ctime_ns)
            if not stat.S_ISDIR(st.st_mode):
                size += st.st_size
                freed += dirs.freed_by_unlink(st)
                continue
            freed += st.st_blocks * 512
            foreign = foreign or st.st_uid != own.st_uid
            if len(stack) >= _DEEPEST:
                whole = False
                continue
            try:
                child = dirs.open_dir(name, fd)
                if not dirs.same_place(child, mount, device):
                    os.close(child)
                    whole = False
                    continue
                stack.append((child, []))
                stack[-1] = (child, os.listdir(child))
            except FileNotFoundError:
                continue
            except OSError:
                whole = False
    except OSError:
        whole = False
    finally:
        for fd, _names in stack:
            os.close(fd)
    return Measured(size, freed, inodes, newest, foreign, whole)


def owner_number(owners: List[Tuple[int, int]], st: os.stat_result) -> int:
    """The number of a folder's owner among *owners*, added where it is new; -1 where there are too many.

    The group is what the accounts say: anybody may give a folder of his own a group that he is not in.
    """
    for number, (uid, _gid) in enumerate(owners):
        if uid == st.st_uid:
            return number
    if len(owners) > 255:
        return -1
    try:
        gid = pwd.getpwuid(st.st_uid).pw_gid
    except KeyError:
        gid = st.st_gid
    owners.append((st.st_uid, gid))
    return len(owners) - 1


class Eviction:
    """What the evictions of whole folders share: the last look, the move out of sight, and the removal."""

    def __init__(self, root: Root, entries: Entries, job: Job) -> None:
        self.root = root
        self.entries = entries
        self.job = job
        self.out = Outcome(job.tell)

    def skip(self, reason: str, row: int, detail: str = "") -> None:
        """Counts one planned entry that stays."""
        path = self.entries.key(row).decode("utf-8", "backslashreplace")
        self.out.skip(reason, path, self.entries.freed[row], detail)

    def timely(self, row: int) -> bool:
        """Whether there is time left for this entry; counts it where there is none."""
        if self.job.late():
            self.skip(core.TIME, row)
            return False
        return True

    def is_planned(self, row: int, st: Optional[os.stat_result]) -> bool:
        """The last look at an entry's folder: is it what was planned, and this process's own? Counts it if not."""
        entries = self.entries
        if st is None:
            self.skip(core.GONE, row)
        elif not stat.S_ISDIR(st.st_mode) or st.st_ino != entries.inode[row]:
            self.skip(core.CHANGED, row)
        elif st.st_uid != os.geteuid():
            self.skip(core.OWNER, row)  # nothing is deleted with rights that are not its owner's
        elif st.st_mtime_ns != entries.mtime[row]:
            self.skip(core.USED, row)
        else:
            return True
        return False

    def move(self, row: int, name: str, fd: int) -> str:
        """Renames *name* in *fd* so that nobody finds it, and returns the new name; '' where it is not what it was."""
        if ASIDE.match(name):
            return name
        import random  # slow to load, so only where something goes

        aside = "%s.evicted-%d" % (name, random.randrange(10**9))
        os.rename(name, aside, src_dir_fd=fd, dst_dir_fd=fd)
        st = dirs.lstat_or_none(aside, fd)
        if st is not None and st.st_ino == self.entries.inode[row] and st.st_uid == os.geteuid():
            return aside
        if st is not None and dirs.lstat_or_none(name, fd) is None:
            os.rename(aside, name, src_dir_fd=fd, dst_dir_fd=fd)
        self.skip(core.CHANGED, row)
        return ""

    def remove(self, row: int, name: str, fd: int, freed: int = 0, inodes: int = 0) -> None:
        """Removes the folder *name* and counts the eviction; *freed* and *inodes* went with it before."""
        try:
            inode = self.entries.inode[row]
            gone = remove_tree(name, fd, self.root.mount, self.root.device, inode, os.geteuid())
        except FileNotFoundError:
            self.out.done(freed, inodes, rows=(row,))
            return
        if gone.left:
            told = (self.entries.key(row).decode("utf-8", "backslashreplace"), len(gone.left), *gone.left[0])
            self.out.note("%s: %d names stayed, the first: %s (%s)" % told)
        if gone.left and not gone.inodes:
            self.skip(core.ERROR, row, "%s: %s" % gone.left[0])
            return
        self.out.done(freed + gone.freed, inodes + gone.inodes, rows=(row,))
