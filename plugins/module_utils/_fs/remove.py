# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of one directory tree, by descriptors only: no recursion, no symlink followed, no mount entered."""

from __future__ import annotations

import os
import stat
from typing import List, NamedTuple, Tuple

from . import dirs

_OPEN_AT_ONCE = 64
#: What an NFS client makes of a file that is removed while somebody has it open: ``.nfs`` and hexadecimal digits
#: (fs/nfs/unlink.c, nfs_sillyrename). Removing it would take the file from under its user.
NFS = ".nfs"
IN_USE = "in use over the network"
_OTHER = "other owner"


class Removed(NamedTuple):
    """What a removal gave back, in bytes and inodes; ``left`` are the names that stayed, each with the reason."""

    freed: int
    inodes: int
    left: Tuple[Tuple[str, str], ...]


def remove_tree(name: str, dir_fd: int, root_mount: int, root_dev: int, inode: int = 0, uid: int = -1) -> Removed:
    """Removes the directory *name* below *dir_fd* with everything in it that is on the root's own mount.

    Directories without write permission for their owner (Go's module trees are 0555) are made writable by fchmod on
    the descriptor that was opened without following a symlink; files are never chmodded. A directory nested deeper
    than some tens of levels is moved up into the tree's top first, so that depth costs neither stack nor descriptors.
    Names that vanish meanwhile are fine, ``.nfs*`` names stay. Where *inode* is given the top must be that directory;
    where *uid* is given only directories of that owner are entered, so that nothing that another user swaps in is lost.
    Raises OSError only for the top itself.
    """
    top = dirs.open_dir(name, dir_fd)
    left: List[Tuple[str, str]] = []
    freed = inodes = moved = 0
    stack: List[Tuple[str, int, List[str]]] = []
    try:
        if not dirs.same_place(top, root_mount, root_dev):
            return Removed(0, 0, ((name, "a mount"),))
        own = os.fstat(top)
        if inode and own.st_ino != inode:
            return Removed(0, 0, ((name, "another folder than planned"),))
        if uid >= 0 and own.st_uid != uid:
            return Removed(0, 0, ((name, _OTHER),))
        _writable(top)
        stack.append(("", top, dirs.names(top)))
        while stack:
            path, fd, todo = stack[-1]
            if not todo:
                stack.pop()
                if fd == top:
                    if not moved:
                        break
                    # The deep directories that were moved up have come here since the listing.
                    moved = 0
                    stuck = {path for path, _why in left}
                    stack.append(("", top, [name for name in dirs.names(top) if name not in stuck]))
                    continue
                own = os.fstat(fd)
                os.close(fd)
                parent = stack[-1][1]
                try:
                    os.rmdir(path.rpartition("/")[2], dir_fd=parent)
                    freed += own.st_blocks * 512
                    inodes += 1
                except FileNotFoundError:
                    pass
                except OSError as exc:
                    left.append((path, os.strerror(exc.errno or 0)))
                continue
            child = todo.pop()
            where = child if not path else path + "/" + child
            if child.startswith(NFS):
                left.append((where, IN_USE))
                continue
            try:
                st = os.stat(child, dir_fd=fd, follow_symlinks=False)
                if not stat.S_ISDIR(st.st_mode):
                    os.unlink(child, dir_fd=fd)
                    freed += dirs.freed_by_unlink(st)
                    inodes += 1
                    continue
                if len(stack) >= _OPEN_AT_ONCE:
                    why = _writable_name(child, fd, root_mount, root_dev, uid)
                    if why:
                        left.append((where, why))
                        continue
                    os.rename(child, ".deep-%d-%d" % (st.st_ino, os.getpid()), src_dir_fd=fd, dst_dir_fd=top)
                    moved += 1
                    continue
                inner = dirs.open_dir(child, fd)
            except FileNotFoundError:
                continue
            except OSError as exc:
                left.append((where, os.strerror(exc.errno or 0)))
                continue
            if not dirs.same_place(inner, root_mount, root_dev):
                os.close(inner)
                left.append((where, "a mount"))
                continue
            if uid >= 0 and os.fstat(inner).st_uid != uid:
                os.close(inner)
                left.append((where, _OTHER))
                continue
            _writable(inner)
            stack.append((where, inner, dirs.names(inner)))
        own = os.fstat(top)
    finally:
        for _path, fd, _todo in stack:
            if fd != top:
                os.close(fd)
        os.close(top)
    try:
        os.rmdir(name, dir_fd=dir_fd)
        freed += own.st_blocks * 512
        inodes += 1
    except FileNotFoundError:
        pass
    except OSError as exc:
        left.append((name, os.strerror(exc.errno or 0)))
    return Removed(freed, inodes, tuple(left))


def _writable(fd: int) -> None:
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & 0o700 != 0o700:
        try:
            os.fchmod(fd, mode | 0o700)
        except OSError:
            pass  # the removal below then says what did not work


def _writable_name(name: str, dir_fd: int, root_mount: int, root_dev: int, uid: int) -> str:
    """Makes a folder writable; why it is not entered, '' if it may be."""
    fd = dirs.open_dir(name, dir_fd)
    try:
        if not dirs.same_place(fd, root_mount, root_dev):
            return "a mount"
        if uid >= 0 and os.fstat(fd).st_uid != uid:
            return _OTHER
        _writable(fd)
        return ""
    finally:
        os.close(fd)
