# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a directory tree to another place: the way there, and a copy that keeps times and modes.

All work goes by descriptors: no symlink is followed below the two ends, no mount is entered. A copy has the tree's
modification and access times to the nanosecond, because caches keep their evidence of use in them.
"""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import stat
from typing import Callable, FrozenSet, List, NamedTuple, Optional, Tuple

from . import dirs, mounts, remove
from .identity import Refused

_O_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_O_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_BLOCK = 4096
# Each level holds two descriptors open; no cache of Go's is nearly as deep.
_DEEPEST = 200
_FOLDER = 0o755
OWNER, ROOT = "owner", "root"


class Stopped(Exception):
    """The copy was asked to stop; what there is of it is not whole."""


class Unmovable(Exception):
    """Something in the tree that cannot be copied as it is: ``path`` below its top, and why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__("%s: %s" % (path or ".", why))
        self.path = path
        self.why = why


class Account(NamedTuple):
    """Whose tree it is; ``groups`` are all groups of that user."""

    uid: int
    gid: int
    groups: FrozenSet[int]


class End(NamedTuple):
    """One end of a move: the deepest directory on the way that exists, held open, and what is missing below it.

    ``missing`` are the folders between it and ``name``; ``path`` is the resolved path of ``name`` itself.
    """

    fd: int
    above: str
    missing: Tuple[str, ...]
    name: str

    @property
    def path(self) -> str:
        return "/".join([self.above.rstrip("/"), *self.missing, self.name])


class Amount(NamedTuple):
    """What lies in a tree: ``allocated`` bytes, ``need`` bytes and ``inodes`` that a copy takes elsewhere.

    ``foreign`` counts files of other owners; ``blocked`` is the first thing that cannot be copied, with the reason.
    """

    allocated: int
    need: int
    inodes: int
    foreign: int
    blocked: Optional[Tuple[str, str]]


class Mirrored(NamedTuple):
    """One pass of :func:`mirror`: ``changed`` names were brought up to date, ``data`` bytes written; ``unlike`` are
    the first files whose content is not what their name says, of ``unlikes`` in all; ``ungrouped`` names did not get
    their group."""

    changed: int
    data: int
    unlikes: int
    unlike: Tuple[str, ...]
    ungrouped: int


def account_of(uid: int, gid: int) -> Account:
    """The user *uid* with all groups, as far as the databases know them."""
    try:
        groups = frozenset(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except (KeyError, OSError):
        groups = frozenset()
    return Account(uid, gid, groups | {gid})


# --- the ends --------------------------------------------------------------------------------------------------


def open_end(path: str) -> End:
    """Opens the way to *path* (absolute, normalised), whether it exists or not. Symlinks on the way are followed, the
    last name never. Raises OSError, also for a symlink that leads nowhere."""
    above, _slash, name = path.rpartition("/")
    missing: List[str] = []
    while True:
        try:
            opened = dirs.open_path(above or "/")
            break
        except FileNotFoundError:
            above, _slash, part = above.rpartition("/")
            missing.insert(0, part)
    if missing and dirs.lstat_or_none(missing[0], opened.fd) is not None:
        os.close(opened.fd)
        raise OSError(errno.ENOENT, "a symlink that leads nowhere", "%s/%s" % (above, missing[0]))
    return End(opened.fd, opened.path, tuple(missing), name)


def check_way(end: End, given: str, who: Account) -> None:
    """Refuses a place on whose way somebody else than root and the tree's owner may swap a folder, or the owner may
    not pass. Raises Refused."""
    opened = dirs.open_path(_existing(given, end))
    try:
        if _numbers(os.fstat(opened.fd)) != _numbers(os.fstat(end.fd)):
            raise Refused("swapped", given, "the way to it was changed just now", "look who did that, then run again")
        for step in opened.links:
            sticky = step.parent_mode & stat.S_ISVTX
            if step.parent_uid not in (0, who.uid) or (
                step.parent_mode & stat.S_IWOTH and not (sticky and step.link_uid in (0, who.uid))
            ):
                why = "the symlink %s can be replaced by others than root and uid %d" % (step.path, who.uid)
                raise Refused("replaceable-symlink", given, why, "name the real directory (%s)" % end.path)
    finally:
        os.close(opened.fd)
    fd = os.open("/", _O_WALK)
    here = ""
    try:
        for part in ["", *(name for name in end.above.split("/") if name)]:
            if part:
                here += "/" + part
                below = os.open(part, _O_WALK, dir_fd=fd)
                os.close(fd)
                fd = below
            _check_folder(os.fstat(fd), here or "/", given, who)
        if _numbers(os.fstat(fd)) != _numbers(os.fstat(end.fd)):
            raise Refused("swapped", given, "the way to it was changed just now", "look who did that, then run again")
    finally:
        os.close(fd)


def _existing(given: str, end: End) -> str:
    """The part of the *given* path that exists."""
    for _name in (*end.missing, end.name):
        given = os.path.dirname(given)
    return given


def _numbers(st: os.stat_result) -> Tuple[int, int]:
    return st.st_dev, st.st_ino


def _check_folder(st: os.stat_result, path: str, given: str, who: Account) -> None:
    hint = "choose a place below folders that are root's or uid %d's alone" % who.uid
    if st.st_uid not in (0, who.uid):
        why = "the folder %s on the way belongs to uid %d, who could put another tree there" % (path, st.st_uid)
        raise Refused("foreign-folder", given, why, hint)
    shared = st.st_mode & stat.S_IWOTH or (st.st_mode & stat.S_IWGRP and not _is_private(st.st_gid, who.uid))
    if shared and not st.st_mode & stat.S_ISVTX:
        why = "the folder %s on the way (mode %04o) can be written by others, who could put another tree there"
        raise Refused("shared-folder", given, why % (path, stat.S_IMODE(st.st_mode)), hint)
    if who.uid:
        bit = 0o100 if st.st_uid == who.uid else 0o010 if st.st_gid in who.groups else 0o001
        if not st.st_mode & bit:
            why = "uid %d, whose cache it is, may not pass %s (mode %04o)"
            raise Refused(
                "out-of-reach", given, why % (who.uid, path, stat.S_IMODE(st.st_mode)), "let it pass, or choose another"
            )


def _is_private(gid: int, uid: int) -> bool:
    """Whether nobody but root and the user *uid* is in the group *gid* (a user's own group, usually)."""
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(gid).gr_mem}
    except KeyError:
        return False
    members.update(entry.pw_uid for entry in pwd.getpwall() if entry.pw_gid == gid)
    return members <= {0, uid}


def whose_rights(fd: int, path: str, given: str, who: Account) -> str:
    """With whose rights a name in the folder *fd* is changed: the tree's OWNER, or ROOT where the folder is root's
    alone. Raises Refused where neither may."""
    st = os.fstat(fd)
    mode = st.st_mode
    if os.geteuid() != 0:
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True):
            why = "this user (uid %d) may not write in %s (mode %04o)"
            raise Refused("no-right", given, why % (os.geteuid(), path, stat.S_IMODE(mode)), "run with become")
        return OWNER
    if who.uid == 0:
        return OWNER
    bits = 0o300 if st.st_uid == who.uid else 0o030 if st.st_gid == who.gid else 0o003
    if mode & bits == bits:
        return OWNER
    if st.st_uid == 0 and not mode & stat.S_IWOTH and not (mode & stat.S_IWGRP and not _is_private(st.st_gid, 0)):
        return ROOT
    why = "uid %d, whose cache it is, may not write in %s (uid %d, mode %04o)"
    raise Refused(
        "no-right",
        given,
        why % (who.uid, path, st.st_uid, stat.S_IMODE(mode)),
        "make a folder that is the cache owner's, and name a place in it",
    )


def make_folders(end: End, who: int) -> End:
    """The same end with the missing folders made, as *who* (uid) runs; the descriptor is a new one. Raises OSError."""
    fd = os.dup(end.fd)
    try:
        for part in end.missing:
            made = False
            try:
                os.mkdir(part, _FOLDER, dir_fd=fd)
                made = True
            except FileExistsError:
                pass
            below = dirs.open_dir(part, fd)
            os.close(fd)
            fd = below
            if os.fstat(fd).st_uid != who:
                raise OSError(errno.EPERM, "it belongs to another user", part)
            if made:
                os.fchmod(fd, _FOLDER)  # whatever the umask is, the owner of what will lie there has to pass
        return End(fd, "/".join([end.above.rstrip("/"), *end.missing]) or "/", (), end.name)
    except BaseException:
        os.close(fd)
        raise


# --- the tree --------------------------------------------------------------------------------------------------


def amount(top: int, mount: int, device: int, uid: int, stop: Callable[[], bool]) -> Amount:
    """What lies in the tree *top*; looks only. Raises Stopped."""
    own = os.fstat(top)
    allocated, need, inodes, foreign = own.st_blocks * 512, _BLOCK, 1, 0
    blocked: Optional[Tuple[str, str]] = None
    todo = [("", os.dup(top), dirs.names(top))]
    try:
        while todo:
            if stop():
                raise Stopped
            path, fd, names = todo[-1]
            if not names:
                os.close(todo.pop()[1])
                continue
            name = names.pop()
            where = name if not path else path + "/" + name
            try:
                st = dirs.lstat(name, fd)
            except FileNotFoundError:
                continue
            inodes += 1
            allocated += dirs.freed_by_unlink(st)
            need += -(-st.st_size // _BLOCK) * _BLOCK
            foreign += st.st_uid != uid
            if not stat.S_ISDIR(st.st_mode):
                if not stat.S_ISREG(st.st_mode) and not stat.S_ISLNK(st.st_mode):
                    blocked = blocked or (where, "neither a file, a folder nor a symlink")
                continue
            if st.st_uid != uid:
                blocked = blocked or (where, "a folder of uid %d" % st.st_uid)
                continue
            if len(todo) > _DEEPEST:
                blocked = blocked or (where, "deeper than %d folders" % _DEEPEST)
                continue
            try:
                child = dirs.open_dir(name, fd)
            except OSError as exc:
                blocked = blocked or (where, os.strerror(exc.errno or 0))
                continue
            if not dirs.same_place(child, mount, device):
                os.close(child)
                blocked = blocked or (where, "a mount")
                continue
            todo.append((where, child, dirs.names(child)))
        return Amount(allocated, need, inodes, foreign, blocked)
    finally:
        for _path, fd, _names in todo:
            os.close(fd)


class _Level(NamedTuple):
    path: str
    source: int
    target: int
    st: os.stat_result
    names: List[str]


class _Mirror:
    def __init__(
        self, source: int, target: int, digest: Callable[[str], str], stop: Callable[[], bool], compare: bool
    ) -> None:
        self.device = os.fstat(source).st_dev
        self.mount = dirs.mount_id(source)
        self.to_device = os.fstat(target).st_dev
        self.to_mount = dirs.mount_id(target)
        self.digest = digest
        self.stop = stop
        self.compare = compare
        self.changed = self.data = self.unlikes = self.ungrouped = 0
        self.unlike: List[str] = []
        self.levels = [self._level("", os.dup(source), os.dup(target))]

    def run(self) -> None:
        try:
            while self.levels and not (self.compare and self.changed):
                if self.stop():
                    raise Stopped
                level = self.levels[-1]
                if level.names:
                    self._name(level, level.names.pop())
                    continue
                self.levels.pop()
                try:
                    if not self.compare:
                        self._dress(level.target, level.st, stat.S_IMODE(level.st.st_mode))
                finally:
                    os.close(level.source)
                    os.close(level.target)
        finally:
            for level in self.levels:
                os.close(level.source)
                os.close(level.target)

    def _level(self, path: str, source: int, target: int) -> _Level:
        st = os.fstat(source)
        names = os.listdir(source)
        if not self.compare:
            if os.fstat(target).st_mode & 0o700 != 0o700:
                os.fchmod(target, 0o700)
            known = set(names)
            for name in dirs.names(target):
                if name not in known:
                    self._clear(target, name)
                    self.changed += 1
        return _Level(path, source, target, st, names)

    def _clear(self, folder: int, name: str) -> None:
        st = dirs.lstat_or_none(name, folder)
        if st is None:
            return
        if stat.S_ISDIR(st.st_mode):
            remove.remove_tree(name, folder, self.to_mount, self.to_device)
        else:
            os.unlink(name, dir_fd=folder)

    def _name(self, level: _Level, name: str) -> None:
        where = name if not level.path else level.path + "/" + name
        try:
            st = dirs.lstat(name, level.source)
            there = dirs.lstat_or_none(name, level.target)
            if there is not None and stat.S_IFMT(there.st_mode) != stat.S_IFMT(st.st_mode):
                if self.compare:
                    self.changed += 1
                    return
                self._clear(level.target, name)
                there = None
            if stat.S_ISDIR(st.st_mode):
                self._folder(level, name, where, there)
            elif stat.S_ISREG(st.st_mode):
                self._file(level, name, where, st, there)
            elif stat.S_ISLNK(st.st_mode):
                self._link(level, name, st, there)
            else:
                raise Unmovable(where, "neither a file, a folder nor a symlink")
        except FileNotFoundError:
            self.changed += 1  # it went just now; the next pass sees what is there then
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                raise
            raise Unmovable(where, os.strerror(exc.errno or 0)) from None

    def _folder(self, level: _Level, name: str, where: str, there: Optional[os.stat_result]) -> None:
        if len(self.levels) > _DEEPEST:
            raise Unmovable(where, "deeper than %d folders" % _DEEPEST)
        source = dirs.open_dir(name, level.source)
        try:
            if not dirs.same_place(source, self.mount, self.device):
                raise Unmovable(where, "a mount")
            if there is None:
                self.changed += 1
                if self.compare:
                    os.close(source)
                    return
                os.mkdir(name, 0o700, dir_fd=level.target)
            target = dirs.open_dir(name, level.target)
        except BaseException:
            os.close(source)
            raise
        try:
            if not dirs.same_place(target, self.to_mount, self.to_device):
                raise Unmovable(where, "a mount in the copy")
            self.levels.append(self._level(where, source, target))
        except BaseException:
            os.close(source)
            os.close(target)
            raise

    def _link(self, level: _Level, name: str, st: os.stat_result, there: Optional[os.stat_result]) -> None:
        text = os.readlink(name, dir_fd=level.source)
        if there is not None and os.readlink(name, dir_fd=level.target) == text:
            return
        self.changed += 1
        if self.compare:
            return
        if there is not None:
            os.unlink(name, dir_fd=level.target)
        os.symlink(text, name, dir_fd=level.target)
        os.utime(name, ns=(st.st_atime_ns, st.st_mtime_ns), dir_fd=level.target, follow_symlinks=False)

    def _file(self, level: _Level, name: str, where: str, st: os.stat_result, there: Optional[os.stat_result]) -> None:
        if there is not None and there.st_size == st.st_size and _same_time(st.st_mtime_ns, there.st_mtime_ns):
            if self.compare or (there.st_mode == st.st_mode and st.st_atime_ns <= there.st_atime_ns):
                return
            target = _open(name, level.target)
            try:
                self._dress(target, st, stat.S_IMODE(st.st_mode) & 0o1777)
            finally:
                os.close(target)
            return
        self.changed += 1
        if self.compare:
            return
        if there is not None:
            os.unlink(name, dir_fd=level.target)
        source = _open(name, level.source)
        try:
            # What is written from now on makes the times unlike these, and the next pass sees it.
            st = os.fstat(source)
            target = os.open(name, _O_NEW, 0o600, dir_fd=level.target)
            try:
                self._copy(source, target, st, where)
                self._dress(target, st, stat.S_IMODE(st.st_mode) & 0o1777)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _copy(self, source: int, target: int, st: os.stat_result, where: str) -> None:
        expected = self.digest(where)
        total = hashlib.sha256() if expected else None
        size = 0
        while True:
            chunk = os.read(source, _CHUNK)
            if not chunk:
                break
            if total is not None:
                total.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(target, view) :]
            size += len(chunk)
            if self.stop():
                raise Stopped
        self.data += size
        if os.fstat(target).st_size != size:
            raise OSError(errno.EIO, "the copy is %d bytes instead of %d" % (os.fstat(target).st_size, size), where)
        if total is not None and total.hexdigest() != expected:
            self.unlikes += 1
            if len(self.unlike) < 20:
                self.unlike.append(where)

    def _dress(self, fd: int, st: os.stat_result, mode: int) -> None:
        """The mode, group and times of *st* for the copy *fd*."""
        if os.fstat(fd).st_gid != st.st_gid:
            try:
                os.fchown(fd, -1, st.st_gid)
            except OSError:
                self.ungrouped += 1
        os.fchmod(fd, mode)
        os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))


def _open(name: str, folder: int) -> int:
    try:
        return dirs.open_file(name, folder)
    except dirs.CannotLook:
        # Another user's file: its access time may change, which makes it younger only. The copy has the old one.
        fd = os.open(name, dirs.O_FILE, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", name) from None
        return fd


def _same_time(one: int, other: int) -> bool:
    """Whether two times are the same; the second may lie on a file system that keeps whole seconds."""
    return one == other or (other % 10**9 == 0 and one // 10**9 == other // 10**9)


def _no_digest(_path: str) -> str:
    return ""


def mirror(
    source: int, target: int, digest: Callable[[str], str] = _no_digest, stop: Callable[[], bool] = lambda: False
) -> Mirrored:
    """Makes the tree *target* like *source*: what is missing or unlike in size or time is copied, what is not in
    *source* is removed. A pass that changed nothing proves that they are alike.

    *digest* gives the SHA-256 (hexadecimal) that a file's name promises, '' where it promises none. Modes, times,
    symlinks and, where the rights allow it, groups are kept; owners are whoever runs this, and set-id bits go.
    Raises Stopped, Unmovable, and OSError where the target's file system is at its end.
    """
    work = _Mirror(source, target, digest, stop, False)
    work.run()
    return Mirrored(work.changed, work.data, work.unlikes, tuple(work.unlike), work.ungrouped)


def holds_all(source: int, target: int, stop: Callable[[], bool]) -> bool:
    """Whether everything in *source* is in *target* too, with the same size and modification time. Looks only."""
    work = _Mirror(source, target, _no_digest, stop, True)
    try:
        work.run()
    except Unmovable:
        return False
    return work.changed == 0


def space_for(fd: int, need: Amount) -> str:
    """Why a copy does not fit where *fd* lies; '' where it does, or where nobody tells."""
    free = mounts.space(fd)
    if free is None or not free.known:
        return ""
    want = need.need + need.need // 50 + (16 << 20)
    if free.free < want:
        return "%d bytes are needed there and %d are free" % (want, free.free)
    if free.inodes and free.inodes_free < need.inodes + 64:
        return "%d inodes are needed there and %d are free" % (need.inodes + 64, free.inodes_free)
    return ""
