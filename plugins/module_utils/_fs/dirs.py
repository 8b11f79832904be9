# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories by file descriptor: nothing here follows a symlink or crosses a mount below a root.

Every function takes a descriptor of a directory that the caller has already proven, and one name in it. Paths are
walked once, in :func:`open_path`; after that only descriptors are used, so that a component swapped behind our back
cannot lead outside (CVE-2018-6954, CVE-2022-21658 and their kin).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

O_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
O_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_O_NOATIME = getattr(os, "O_NOATIME", 0)
_O_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40  # what the kernel allows in one path walk (path_resolution(7))


class CannotLook(OSError):
    """A file could be read only at the price of changing its access time; it was not read."""


class Step(NamedTuple):
    """One symlink met on the way to a root: where it stands and who may replace it."""

    path: str
    parent_uid: int
    parent_mode: int
    link_uid: int


class Opened(NamedTuple):
    """A directory opened by path: ``given`` is the caller's name, ``path`` the resolved one."""

    fd: int
    given: str
    path: str
    st: os.stat_result
    links: Tuple[Step, ...]


def open_dir(name: str, dir_fd: Optional[int] = None) -> int:
    """Opens the directory *name* below *dir_fd* for reading, without following a symlink.

    The directory's access time is left as it is where the caller's rights allow it (open(2), O_NOATIME).
    Raises OSError (ELOOP or ENOTDIR for a symlink).
    """
    try:
        return os.open(name, O_DIR | _O_NOATIME, dir_fd=dir_fd)
    except OSError as exc:
        if exc.errno != errno.EPERM or not _O_NOATIME:
            raise
    return os.open(name, O_DIR, dir_fd=dir_fd)


def open_file(name: str, dir_fd: Optional[int] = None) -> int:
    """Opens the regular file *name* for reading without touching its access time.

    Raises CannotLook where only the owner or root could do that, OSError otherwise (also EINVAL for what is no
    regular file, so that a FIFO in a cache never blocks a run).
    """
    try:
        fd = os.open(name, O_FILE | _O_NOATIME, dir_fd=dir_fd)
    except OSError as exc:
        if exc.errno == errno.EPERM and _O_NOATIME:
            raise CannotLook(errno.EPERM, "not readable without changing its access time", name) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return fd


def read_small(name: str, dir_fd: Optional[int] = None, limit: int = 65536) -> bytes:
    """The first *limit* bytes of a regular file; raises as :func:`open_file`."""
    fd = open_file(name, dir_fd)
    try:
        chunks: List[bytes] = []
        left = limit
        while left > 0:
            chunk = os.read(fd, left)
            if not chunk:
                break
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)


def lstat(name: str, dir_fd: Optional[int] = None) -> os.stat_result:
    """stat(2) of the name itself, never of what a symlink points to."""
    return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)


def lstat_or_none(name: str, dir_fd: Optional[int] = None) -> Optional[os.stat_result]:
    """As :func:`lstat`, None where nothing of that name exists."""
    try:
        return lstat(name, dir_fd)
    except FileNotFoundError:
        return None


def mount_id(fd: int) -> int:
    """The id of the mount that *fd* was opened on; -1 where nobody tells.

    Two directories of one file system have different ids where a bind mount lies between them, which neither
    ``st_dev`` nor ``os.path.ismount`` shows (proc_pid_fdinfo(5), ``mnt_id``).
    """
    try:
        return read_mount_id("self", fd)
    except OSError:
        return _ask_mount_id(fd) if _ask_mount_id is not None else -1


def read_mount_id(pid: object, fd: int) -> int:
    """The mount id of descriptor *fd* of process *pid*. Raises OSError."""
    info = os.open("/proc/%s/fdinfo/%d" % (pid, fd), os.O_RDONLY | os.O_CLOEXEC)
    try:
        for line in os.read(info, 4096).splitlines():
            if line.startswith(b"mnt_id:"):
                return int(line[7:])
    finally:
        os.close(info)
    return -1


# A process that gave up root may not read its own /proc/self/fdinfo on kernels before 5.14 (proc_pid_fdinfo(5), it is
# no longer dumpable): it asks the one that it came from.
_ask_mount_id: Optional[Callable[[int], int]] = None


def ask_mounts_of(other: Callable[[int], int]) -> None:
    """From now on :func:`mount_id` asks *other* where this process may not look itself."""
    global _ask_mount_id
    _ask_mount_id = other


def open_path(path: str) -> Opened:
    """Walks an absolute *path* component by component and opens its last one as a directory.

    Symlinks are followed here, and only here; each is returned in ``links`` so that the caller can refuse one that
    another user may replace. The caller closes ``fd``. Raises OSError.
    """
    if not path.startswith("/"):
        raise OSError(errno.EINVAL, "not an absolute path", path)
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    fds = [os.open("/", O_DIR)]
    names: List[str] = []
    links: List[Step] = []
    try:
        while todo:
            part = todo.pop()
            if part == "..":
                if len(fds) > 1:
                    os.close(fds.pop())
                    names.pop()
                continue
            st = lstat(part, fds[-1])
            if stat.S_ISLNK(st.st_mode):
                if len(links) >= _MAX_LINKS:
                    raise OSError(errno.ELOOP, "too many symlinks", path)
                parent = os.fstat(fds[-1])
                links.append(Step("/" + "/".join(names + [part]), parent.st_uid, parent.st_mode, st.st_uid))
                target = os.readlink(part, dir_fd=fds[-1])
                if target.startswith("/"):
                    while len(fds) > 1:
                        os.close(fds.pop())
                    names = []
                todo.extend(p for p in reversed(target.split("/")) if p not in ("", "."))
                continue
            # O_PATH: a component needs search permission only (a home below a folder of mode 0711).
            last = not todo
            fds.append(open_dir(part, fds[-1]) if last else os.open(part, _O_WALK, dir_fd=fds[-1]))
            names.append(part)
        if _is_path_only(fds[-1]):  # the path ended in ".." or a symlink to a parent
            fds.append(open_dir(".", fds[-1]))
        fd = fds.pop()
        return Opened(fd, path, "/" + "/".join(names), os.fstat(fd), tuple(links))
    finally:
        for other in fds:
            os.close(other)


def _is_path_only(fd: int) -> bool:
    """Whether *fd* was opened with O_PATH and so cannot be read from."""
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & getattr(os, "O_PATH", 0))


def same_place(fd: int, root_mount: int, root_dev: int) -> bool:
    """Whether the opened directory is on the same mount as its root: no mount point has been entered."""
    if os.fstat(fd).st_dev != root_dev:
        return False
    return root_mount < 0 or mount_id(fd) == root_mount


def walk_below(start: int, path: str, root_mount: int, root_dev: int, make: int = 0, uid: int = -1) -> int:
    """Opens the folder *path* below the directory *start*, name by name, and returns a descriptor of its own.

    Folders that are missing are made with the mode *make*, where that is not 0; where *uid* is given, each must be
    that user's. Raises OSError, also for ``.`` and ``..``, a symlink or a mount on the way.
    """
    fd = os.dup(start)
    try:
        for part in path.split("/"):
            if not part:
                continue
            if part in (".", ".."):
                raise OSError(errno.EINVAL, "not a name", path)
            if make:
                try:
                    os.mkdir(part, make, dir_fd=fd)
                except FileExistsError:
                    pass
            child = open_dir(part, fd)
            os.close(fd)
            fd = child
            if not same_place(fd, root_mount, root_dev):
                raise OSError(errno.EXDEV, "a mount", path)
            if uid >= 0 and os.fstat(fd).st_uid != uid:
                raise OSError(errno.EPERM, "it belongs to another user", path)
        return fd
    except BaseException:
        os.close(fd)
        raise


def names(fd: int) -> List[str]:
    """The names in a directory, unordered, undecodable bytes as surrogates; [] where it cannot be read."""
    try:
        return os.listdir(fd)
    except OSError:
        return []


def entries(fd: int) -> Iterator[Tuple[str, os.stat_result]]:
    """Each name of a directory with its own lstat; names that vanish in between are left out."""
    for name in names(fd):
        try:
            yield name, os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            continue


def freed_by_unlink(st: os.stat_result) -> int:
    """Bytes that unlinking this name gives back: what is allocated, nothing while another hard link exists."""
    if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
        return 0
    return st.st_blocks * 512
