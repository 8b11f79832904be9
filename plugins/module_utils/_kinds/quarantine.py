# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quarantine: for a grace time what a run evicts lies beside the cache, on the same file system, to be brought back.

``<base>/.gofleet-quarantine/<end of grace, Unix seconds>-<run>/`` holds each entry under the path that it had below the
cache's root. An eviction is one rename into it and an undo one rename back, with inode and times as they were, so a
crash leaves an entry here or there, never in between. Where nobody undoes, a later run removes the folder.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._core.evict import Outcome
from .._core.survey import SECOND, Entries, Tier
from .._fs import dirs
from .._fs.identity import Root
from .._fs.remove import remove_tree
from .go_work import trees

NAME = ".gofleet-quarantine"
TIER = Tier("quarantined", "nothing", 0, True, True)
# A removal that was killed must not be undone by halves: from its beginning the folder is no run's any more.
_GOING = ".going"
_RUN = re.compile(r"([0-9]{1,12})-([0-9a-f]{12})(\.going)?\Z")
# An executable of a build cache is a folder; modules may be called example.com/daemon-d.
_EXECUTABLE = re.compile(r"[0-9a-f]{64}-d\Z")
_DEEPEST = 512
_NAMES = 1 << 62


class Kept(NamedTuple):
    """One run's quarantine: ``ends`` in Unix seconds; bytes and inodes that its removal gives back. Where a removal has
    begun, ``run`` is '' and the end 0."""

    name: str
    run: str
    ends: int
    st: os.stat_result
    size: int
    freed: int
    inodes: int
    owned: bool


def folder_name(ends: int, run: str) -> str:
    """The name of a run's folder. *run* is twelve hexadecimal digits."""
    return "%d-%s" % (ends, run)


def open_all(base: int, root: Root) -> int:
    """The folder of all quarantines below *base*, opened; raises OSError where it is missing or not the cache's own."""
    fd = dirs.open_dir(NAME, base)
    if not dirs.same_place(fd, root.mount, root.device):
        os.close(fd)
        raise OSError(18, "a mount", NAME)
    return fd


def kept(base: int, root: Root) -> List[Kept]:
    """The quarantines of earlier runs, in the order of their ends."""
    try:
        fd = open_all(base, root)
    except OSError:
        return []
    found = []
    try:
        for name, st in dirs.entries(fd):
            match = _RUN.match(name)
            if match is None or not stat.S_ISDIR(st.st_mode):
                continue
            size, freed, inodes, owned = measure(name, fd, root)
            run, ends = ("", 0) if match.group(3) else (match.group(2), int(match.group(1)))
            found.append(Kept(name, run, ends, st, size, freed, inodes, owned))
    finally:
        os.close(fd)
    return sorted(found, key=lambda one: (one.ends, one.name))


def measure(name: str, dir_fd: int, root: Root) -> Tuple[int, int, int, bool]:
    """Bytes, bytes and inodes that a removal gives back, and whether all of the folders are the owner's."""
    try:
        fd = dirs.open_dir(name, dir_fd)
    except OSError:
        return 0, 0, 0, False
    try:
        if os.fstat(fd).st_uid != root.uid or not dirs.same_place(fd, root.mount, root.device):
            return 0, 0, 0, False
        seen = trees.measure(fd, root.mount, root.device, [_NAMES])
    finally:
        os.close(fd)
    return seen.size, seen.freed, seen.inodes, seen.whole and not seen.foreign


def survey(base: int, prefix: str, root: Root, entries: Entries, tier: int, hold: int) -> List[Dict[str, object]]:
    """Adds one entry for each earlier run's quarantine (``used`` is when its grace ends) and returns them as plain
    data. *prefix* is the base's path below the root, *tier* and *hold* (for what is not wholly the owner's) the
    survey's numbers."""
    told: List[Dict[str, object]] = []
    for one in kept(base, root):
        path = "%s%s/%s" % (prefix, NAME, one.name)
        row = entries.add(
            path.encode(),
            tier,
            0,
            one.ends * SECOND,
            one.st.st_mtime_ns,
            one.st.st_ino,
            one.freed,
            one.size,
            one.inodes,
        )
        if not one.owned:
            entries.hold[row] = hold
        if one.run:
            # The change time of the folder: when it got its last entry, whatever its owner says.
            at = one.st.st_ctime_ns // SECOND
            told.append({"run": one.run, "at": at, "ends": one.ends, "bytes": one.freed, "inodes": one.inodes})
    return told


def remove(
    base: int, root: Root, name: str, inode: int, step: Callable[[str], None]
) -> Tuple[int, int, Tuple[Tuple[str, str], ...]]:
    """Removes the quarantine folder *name* for good: bytes and inodes given back, and names that stayed with reasons.

    Raises OSError, also where it is another folder than *inode*.
    """
    if _RUN.match(name) is None:
        raise OSError(22, "not the name of a quarantine", name)
    fd = open_all(base, root)
    try:
        if dirs.lstat(name, fd).st_ino != inode:
            raise OSError(116, "another folder than planned", name)
        if not name.endswith(_GOING):
            os.rename(name, name + _GOING, src_dir_fd=fd, dst_dir_fd=fd)
            name += _GOING
        step("quarantine ends")
        gone = remove_tree(name, fd, root.mount, root.device, inode, root.uid)
    finally:
        os.close(fd)
    drop_empty(base)
    return gone.freed, gone.inodes, gone.left


def move(name: str, dir_fd: int, leaf: str, target_fd: int) -> None:
    """rename(2) to another folder, also of a folder that its owner may not write (Go's module trees are 0555): that
    is made writable for the moment, through a descriptor. Raises OSError.
    """
    st = dirs.lstat(name, dir_fd)
    if not stat.S_ISDIR(st.st_mode) or st.st_mode & 0o200:
        os.rename(name, leaf, src_dir_fd=dir_fd, dst_dir_fd=target_fd)
        return
    fd = dirs.open_dir(name, dir_fd)
    try:
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        os.fchmod(fd, mode | 0o200)
        try:
            os.rename(name, leaf, src_dir_fd=dir_fd, dst_dir_fd=target_fd)
        finally:
            os.fchmod(fd, mode)
    finally:
        os.close(fd)


class Shelf:
    """The quarantine of the present run; made when the first entry comes. Thread-safe."""

    def __init__(self, base: int, root: Root, name: str) -> None:
        if _RUN.match(name) is None or name.endswith(_GOING):
            raise ValueError("%r is no name of a quarantine" % name)
        self._base = base
        self._root = root
        self._name = name
        self._lock = threading.Lock()
        self._fds: Dict[str, int] = {}

    def take(self, name: str, dir_fd: int, path: str) -> None:
        """Moves *name* from below *dir_fd* to where *path* (below the cache's root) is kept. Raises OSError."""
        folder, _slash, leaf = path.rpartition("/")
        move(name, dir_fd, leaf, self._folder(folder))

    def copy(self, name: str, dir_fd: int, path: str) -> None:
        """Keeps a second name of the file *name*, which stays where it is. Raises OSError."""
        folder, _slash, leaf = path.rpartition("/")
        os.link(name, leaf, src_dir_fd=dir_fd, dst_dir_fd=self._folder(folder), follow_symlinks=False)

    def _folder(self, folder: str) -> int:
        with self._lock:
            fd = self._fds.get(folder)
            if fd is None:
                if len(self._fds) > 300:  # more than the shards of a build cache
                    self._close()
                path = "%s/%s/%s" % (NAME, self._name, folder)
                root = self._root
                fd = dirs.walk_below(self._base, path, root.mount, root.device, make=0o700, uid=root.uid)
                self._fds[folder] = fd
            return fd

    def _close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def close(self) -> None:
        """Closes what is open."""
        with self._lock:
            self._close()


def find(base: int, root: Root, run: str) -> Optional[str]:
    """The folder's name of a run's quarantine, None where there is none."""
    return next((one.name for one in kept(base, root) if one.run == run), None)


def contents(base: int, root: Root, name: str) -> Iterator[Tuple[str, str, os.stat_result]]:
    """Everything below a run's folder that is no folder on the way: (path below the cache's root, last part, stat). A
    folder whose name shows it to be an entry is given whole: one with ``@`` in it (a module's tree), a folder below
    ``cache/vcs`` (a clone) or an executable of a build cache. So is one that cannot be entered: it is not empty."""
    top = open_all(base, root)
    try:
        fd = dirs.open_dir(name, top)
    finally:
        os.close(top)
    # One descriptor for each level: a folder may have thousands of folders in it (cache/download/github.com).
    stack = [("", fd, dirs.names(fd))]
    try:
        while stack:
            path, fd, todo = stack[-1]
            if not todo:
                stack.pop()
                os.close(fd)
                continue
            child = todo.pop()
            st = dirs.lstat_or_none(child, fd)
            if st is None:
                continue
            where = child if not path else path + "/" + child
            whole = _EXECUTABLE.match(child) or path == "cache/vcs" or ("@" in child and child != "@v")
            inner = -1
            if stat.S_ISDIR(st.st_mode) and not whole and len(stack) < _DEEPEST:
                inner = _enter(child, fd, root)
            if inner < 0:
                yield where, child, st
            else:
                stack.append((where, inner, dirs.names(inner)))
    finally:
        for _path, fd, _todo in stack:
            os.close(fd)


def _enter(name: str, dir_fd: int, root: Root) -> int:
    """Opens a folder on the cache's own mount; -1 where that cannot be."""
    try:
        fd = dirs.open_dir(name, dir_fd)
    except OSError:
        return -1
    if dirs.same_place(fd, root.mount, root.device):
        return fd
    os.close(fd)
    return -1


def tidy(base: int, root: Root, name: str, out: Outcome) -> None:
    """Removes the folders of a quarantine that an undo has emptied; what is left is noted and stays."""
    top = open_all(base, root)
    try:
        left = sum(1 for _item in contents(base, root, name))
        if left:
            out.note("%d entries stay in quarantine" % left)
            return
        remove_tree(name, top, root.mount, root.device, 0, root.uid)
    finally:
        os.close(top)
    drop_empty(base)


def drop_empty(base: int) -> None:
    """Removes the folder of all quarantines where nothing is in it, such as after a run that was killed."""
    try:
        os.rmdir(NAME, dir_fd=base)
    except OSError:
        pass  # other runs' are still in it, or there is none
