# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Folders for the time of a work that leave nothing behind, not even for ever after SIGKILL.

Whoever works in one holds a lock on it, which ends with its process (flock(2)). So a folder of ours without a lock is
one that a killed process has left, and whoever makes the next one removes it first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import tempfile
from typing import Iterator, Tuple

from . import atomic, dirs, mounts
from .remove import remove_tree

#: Folders that one run looks at; what is beyond them is for the next ones.
MANY = 1000

#: Used by nothing else, here or in the tests: what bears it and has no lock is removed.
_PREFIX = "gofleet-scratch-"
#: As tempfile.mkdtemp names them.
_NAME = re.compile(r"%s[a-z]+-[a-z0-9_]{8}\Z" % _PREFIX)
_ATTEMPTS = 10


@contextlib.contextmanager
def folder(kind: str, place: str = "") -> Iterator[str]:
    """A folder of mode 0700 in *place* (the system's for temporary files), which is gone afterwards with all in it.

    kind: small letters, for its name. Raises OSError where none can be made.
    """
    top = os.path.abspath(place or tempfile.gettempdir())
    parent = os.open(top, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sweep(parent)
        path, lock = _make(top, kind)
        try:
            yield path
        finally:
            _remove(parent, os.path.basename(path), os.fstat(lock).st_ino)
            os.close(lock)
    finally:
        os.close(parent)


def sweep(parent: int) -> int:
    """Removes what killed processes of this user have left in an open folder. Returns how many. Raises nothing."""
    uid = os.geteuid()
    removed = 0
    try:
        st = os.fstat(parent)
        if st.st_uid not in (0, uid) or (atomic.is_shared(st, uid) and not st.st_mode & stat.S_ISVTX):
            return 0  # somebody else could put another folder of ours under such a name
        mount = mounts.by_id().get(dirs.mount_id(parent))
        if mount is None or mount.network:
            return 0  # a lock of another host may not be seen here (nfs(5), nolock and local_lock)
        listed = dirs.open_dir(".", parent)
        try:
            found = [name for name in dirs.names(listed) if _NAME.match(name)]
        finally:
            os.close(listed)
    except OSError:
        return 0
    for name in found[:MANY]:
        try:
            fd = dirs.open_dir(name, parent)
        except OSError:
            continue
        try:
            own = os.fstat(fd)
            if own.st_uid == uid and not own.st_mode & 0o077:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(parent, name, own.st_ino)
                removed += 1
        except OSError:
            pass  # somebody works in it, or nobody can tell
        finally:
            os.close(fd)
    return removed


def _make(top: str, kind: str) -> Tuple[str, int]:
    """A new folder and a descriptor that holds its lock."""
    for _attempt in range(_ATTEMPTS):
        path = tempfile.mkdtemp(prefix="%s%s-" % (_PREFIX, kind), dir=top)
        try:
            fd = dirs.open_dir(path)
        except FileNotFoundError:
            continue  # another run has swept it before it was locked
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
                os.close(fd)
                continue  # another run is just sweeping it
            # A file system without locks: there nobody sweeps either.
        now = dirs.lstat_or_none(path)
        if now is not None and now.st_ino == os.fstat(fd).st_ino:
            return path, fd
        os.close(fd)
    raise OSError(errno.EBUSY, "other runs take each new folder for a leftover", top)


def _remove(parent: int, name: str, inode: int) -> None:
    remove_tree(name, parent, dirs.mount_id(parent), os.fstat(parent).st_dev, inode, os.geteuid())
