# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change one small file so that nobody ever sees half of it and no writer's change is lost.

The file is read, edited and replaced under a lock on its directory (flock(2); nothing is left behind, and it works
before the file exists). The new content goes into a temporary file in the same directory, is synced, gets the old
one's mode, owner and extended attributes, and is renamed over it. Writers that take no lock (``go env -w`` writes in
place) are noticed by a last look before the rename, and the edit is done again on what they wrote.

Everything happens by directory descriptor. Symlinks on the way are resolved once; one that a user other than root and
the caller may replace is refused. Run it with the rights of the file's owner: root should not write into a home.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from . import dirs

#: Bytes; a larger file is not edited.
LIMIT = 1 << 20
#: How often the edit is done again because somebody without a lock wrote in between.
RETRIES = 10

_MAX_LINKS = 40
_O_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

#: Content of the file (None: it does not exist) -> what it should be (None: leave it as it is).
Edit = Callable[[Optional[bytes]], Optional[bytes]]


class NotWritten(Exception):
    """The file was not changed. ``code`` is a stable name, the text says what, where, why and what to do."""

    def __init__(self, code: str, path: str, reason: str, hint: str) -> None:
        super().__init__("%s: %s; %s" % (path, reason, hint))
        self.code = code
        self.path = path
        self.reason = reason
        self.hint = hint


class Change(NamedTuple):
    """What was done, or in check mode would be.

    path: as given; real_path: after resolving symlinks. before: content, None where there was no file; after: content
    now, None where there still is none. created: directories made for it, topmost first. uid, gid, mode: of the file
    after the change (-1 where there is none).
    """

    path: str
    real_path: str
    before: Optional[bytes]
    after: Optional[bytes]
    created: Tuple[str, ...]
    uid: int
    gid: int
    mode: int

    @property
    def changed(self) -> bool:
        """Whether the content differs."""
        return self.before != self.after


class _Place:
    """A directory by descriptor, the name in it, and the directories that do not exist yet."""

    def __init__(self, fd: int, real_dir: str, missing: List[str], name: str) -> None:
        self.fd = fd
        self.real_dir = real_dir
        self.missing = missing
        self.name = name

    @property
    def real_path(self) -> str:
        return os.path.join(self.real_dir, *self.missing, self.name)

    def close(self) -> None:
        os.close(self.fd)


def check_path(path: str) -> str:
    """The path, normalised, or NotWritten where it cannot be a file's: empty, relative, NUL, dots, a directory."""
    if not path.strip():
        raise NotWritten("empty-path", repr(path), "the path is empty", "name a file by its absolute path")
    if "\0" in path:
        raise NotWritten("nul-path", repr(path), "the path holds a NUL character", "name a file by its absolute path")
    if not path.startswith("/"):
        raise NotWritten("relative-path", path, "the path is not absolute", "write the whole path, starting with '/'")
    if ".." in path.split("/"):
        raise NotWritten("dot-dot", path, "the path holds '..'", "write the path without it")
    if path.endswith("/") or os.path.normpath(path) == "/":
        raise NotWritten("directory", path, "the path names a directory", "name the file in it")
    return re.sub("^/+", "/", os.path.normpath(path))


def update(
    path: str,
    edit: Edit,
    check: bool = False,
    mode: int = 0o644,
    dir_mode: int = 0o755,
    lock_seconds: float = 20.0,
    limit: int = LIMIT,
) -> Change:
    """Replaces the file's content by what *edit* makes of it, with the caller's rights.

    *edit* gets the bytes (None: no such file) and returns the new ones; it may be called several times and must be
    pure. A file whose content stays the same is not touched, neither are its directories. With *check* nothing is
    written, and whatever would forbid the writing is raised all the same. *mode* and *dir_mode* count for what is
    created (less the umask for directories), an existing file keeps its own. Raises NotWritten.
    """
    clean = check_path(path)
    try:
        if check:
            return _predict(path, clean, edit, mode, limit)
        return _update(path, clean, edit, mode, dir_mode, lock_seconds, limit)
    except NotWritten:
        raise
    except OSError as error:
        raise NotWritten(*_explain(path, error)) from None


def _explain(path: str, error: OSError) -> Tuple[str, str, str, str]:
    reason = error.strerror or str(error)
    where = str(error.filename) if error.filename else ""
    if where and where != path:
        reason = "%s (%s)" % (reason, where)
    hints = {
        errno.EACCES: "write as the account that owns it, or as root",
        errno.EPERM: "write as the account that owns it; an immutable file needs 'chattr -i'",
        errno.EROFS: "the file system is mounted read-only; change the file where the system image is made",
        errno.ENOSPC: "free some space on that file system; the old file is untouched",
        errno.EDQUOT: "the account's quota is used up; the old file is untouched",
        errno.ENOTDIR: "a part of the path is not a directory",
        errno.ELOOP: "a part of the path was replaced by a symlink meanwhile, or the symlinks form a loop",
        errno.EBUSY: "the file itself is a mount point (a bind mount of a container?); edit its source",
    }
    return "os-error", path, reason, hints.get(error.errno or 0, "nothing was changed")


# --- the way to the file ---------------------------------------------------------------------------------------


def _walk(path: str) -> _Place:
    """Opens the deepest existing directory on the way to the file; symlinks are resolved, also the file's own."""
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    fds = [os.open("/", _O_WALK)]
    names: List[str] = []
    links = 0
    try:
        while True:
            part = todo.pop()
            if part == "..":  # only a symlink's target can hold it
                if len(fds) > 1:
                    os.close(fds.pop())
                    names.pop()
                if not todo:
                    raise NotWritten("directory", path, "the symlink leads to a directory", "name the file in it")
                continue
            st = dirs.lstat_or_none(part, fds[-1])
            if st is not None and stat.S_ISLNK(st.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, "too many symlinks", path)
                _check_link(path, "/" + "/".join([*names, part]), os.fstat(fds[-1]), st)
                target = os.readlink(part, dir_fd=fds[-1])
                if target.startswith("/"):
                    while len(fds) > 1:
                        os.close(fds.pop())
                    names = []
                todo.extend(piece for piece in reversed(target.split("/")) if piece not in ("", "."))
                if not todo:
                    raise NotWritten("directory", path, "the symlink leads to '/'", "name a file")
                continue
            if not todo or st is None:
                missing = [] if not todo else [part, *reversed(todo[1:])]
                if ".." in [*missing, *todo[:1]]:
                    raise NotWritten(
                        "dot-dot", path, "a symlink leads through a missing directory", "repair the symlink"
                    )
                return _Place(os.dup(fds[-1]), "/" + "/".join(names), missing, todo[0] if todo else part)
            try:
                fds.append(os.open(part, _O_WALK, dir_fd=fds[-1]))
            except OSError as error:
                raise OSError(error.errno, error.strerror, "/" + "/".join([*names, part])) from None
            names.append(part)
    finally:
        for fd in fds:
            os.close(fd)


def _check_link(path: str, link: str, parent: os.stat_result, st: os.stat_result) -> None:
    uid = os.geteuid()
    trusted = parent.st_uid in (0, uid) and st.st_uid in (0, uid)
    if trusted and (not is_shared(parent, uid) or parent.st_mode & stat.S_ISVTX):
        return
    raise NotWritten(
        "replaceable-symlink",
        path,
        "the symlink %s can be replaced by a user other than root and uid %d, who writes here" % (link, uid),
        "name the real file, or let the account that owns the symlink do the writing",
    )


def is_shared(st: os.stat_result, uid: int) -> bool:
    """Whether somebody besides root, the owner and *uid* may write into the directory."""
    if st.st_mode & stat.S_IWOTH:
        return True
    return bool(st.st_mode & stat.S_IWGRP) and st.st_gid != 0 and not _private_group(st.st_gid, uid)


def _private_group(gid: int, uid: int) -> bool:
    """Whether group and passwd files show that nobody but root and *uid* is in the group. Unknown means no.

    Many systems give each account a group of its own and umask 002, and /usr/local to an empty group.
    """
    try:
        with open("/etc/passwd", encoding="utf-8", errors="replace") as stream:
            users = [line.rstrip("\n").split(":") for line in stream]
        with open("/etc/group", encoding="utf-8", errors="replace") as stream:
            groups = [line.rstrip("\n").split(":") for line in stream]
    except OSError:
        return False
    allowed = {fields[0] for fields in users if len(fields) == 7 and fields[2] in ("0", str(uid))}
    members = {fields[0] for fields in users if len(fields) == 7 and fields[3] == str(gid)}
    known = False
    for fields in groups:
        if len(fields) == 4 and fields[2] == str(gid):
            known = True
            members.update(name for name in fields[3].split(",") if name)
    return known and members <= allowed


# --- reading ---------------------------------------------------------------------------------------------------


def _read(place: _Place, path: str, limit: int) -> Tuple[Optional[bytes], Optional[os.stat_result]]:
    """The content and the stat of the file, both None where it does not exist. Leaves the atime alone if it may."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        try:
            fd = os.open(place.name, flags | getattr(os, "O_NOATIME", 0), dir_fd=place.fd)
        except PermissionError:
            fd = os.open(place.name, flags, dir_fd=place.fd)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise OSError(error.errno, error.strerror, place.real_path) from None
    with os.fdopen(fd, "rb") as stream:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            raise NotWritten(
                "not-a-file", path, "it is not a regular file", "name another file, or remove what is there"
            )
        data = stream.read(limit + 1)
        if len(data) > limit:
            raise NotWritten("too-large", path, "it has more than %d bytes" % limit, "this is hardly the right file")
        return data, st


def _predict(path: str, clean: str, edit: Edit, mode: int, limit: int) -> Change:
    place = _walk(clean)
    try:
        before, st = (None, None) if place.missing else _read(place, path, limit)
        after = edit(before)
        if after is None or after == before:
            return _change(path, place, before, before, [], st)
        if st is not None:
            _check_owner(path, st)
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=place.fd, effective_ids=True):
            if os.fstatvfs(place.fd).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), place.real_dir)
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), place.real_dir)
        created = [os.path.join(place.real_dir, *place.missing[: n + 1]) for n in range(len(place.missing))]
        change = _change(path, place, before, after, created, st)
        return change if st is not None else change._replace(uid=os.geteuid(), gid=os.getegid(), mode=mode)
    finally:
        place.close()


def _change(
    path: str,
    place: _Place,
    before: Optional[bytes],
    after: Optional[bytes],
    created: List[str],
    st: Optional[os.stat_result],
) -> Change:
    if st is None:
        return Change(path, place.real_path, before, after, tuple(created), -1, -1, -1)
    return Change(path, place.real_path, before, after, tuple(created), st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode))


def _check_owner(path: str, st: os.stat_result) -> None:
    uid = os.geteuid()
    if uid not in (0, st.st_uid):
        raise NotWritten(
            "foreign-owner",
            path,
            "the file belongs to uid %d and uid %d cannot keep it so" % (st.st_uid, uid),
            "give the file to the account (chown), or write as its owner",
        )


# --- writing ---------------------------------------------------------------------------------------------------


def _update(path: str, clean: str, edit: Edit, mode: int, dir_mode: int, lock_seconds: float, limit: int) -> Change:
    # First without the lock: what stays the same needs no lock, no rights to write and no directories.
    place = _walk(clean)
    try:
        before, st = (None, None) if place.missing else _read(place, path, limit)
        after = edit(before)
        if after is None or after == before:
            return _change(path, place, before, before, [], st)
        created = _make_dirs(place, dir_mode)
    finally:
        place.close()
    place = _walk(clean)
    try:
        return _locked(path, place, edit, mode, created, lock_seconds, limit)
    finally:
        place.close()


def _make_dirs(place: _Place, dir_mode: int) -> List[str]:
    created: List[str] = []
    here = place.real_dir
    fd = os.dup(place.fd)
    try:
        for name in place.missing:
            here = os.path.join(here, name)
            try:
                os.mkdir(name, dir_mode, dir_fd=fd)
                created.append(here)
            except FileExistsError:
                pass  # another writer was faster
            except OSError as error:
                raise OSError(error.errno, error.strerror, here) from None
            below = os.open(name, _O_WALK, dir_fd=fd)
            os.close(fd)
            fd = below
    finally:
        os.close(fd)
    return created


def _lock(place: _Place, path: str, seconds: float) -> int:
    """An open, locked descriptor: of the directory, or of a side file where a network file system cannot lock that."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.fd)
    deadline = time.monotonic() + seconds
    pause = 0.001
    aside = False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR):
                if time.monotonic() < deadline:
                    time.sleep(pause)
                    pause = min(0.05, pause * 2)
                    continue
                os.close(fd)
                raise NotWritten(
                    "locked",
                    path,
                    "another writer has held the lock of its directory for %g seconds" % seconds,
                    "look for it with 'fuser -v %s', then run again" % (place.real_dir or "/"),
                ) from None
            os.close(fd)
            if aside:
                raise
            # NFS makes flock a byte-range lock, which needs a file that is open for writing.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(".%s.lock" % place.name, flags, 0o600, dir_fd=place.fd)
            aside = True


def _locked(
    path: str, place: _Place, edit: Edit, mode: int, created: List[str], lock_seconds: float, limit: int
) -> Change:
    lock = _lock(place, path, lock_seconds)
    try:
        for _attempt in range(RETRIES):
            before, st = _read(place, path, limit)
            after = edit(before)
            if after is None or after == before:
                return _change(path, place, before, before, created, st)
            if st is not None:
                _check_owner(path, st)
            now = _replace(place, path, after, st, mode)
            if now is not None:
                return _change(path, place, before, after, created, now)
        raise NotWritten("busy", path, "somebody else keeps changing it", "stop the other writer and run again")
    finally:
        os.close(lock)


def _same(place: _Place, st: Optional[os.stat_result]) -> bool:
    now = dirs.lstat_or_none(place.name, place.fd)
    if now is None or st is None:
        return now is st
    return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (
        st.st_dev,
        st.st_ino,
        st.st_size,
        st.st_mtime_ns,
        st.st_ctime_ns,
    )


def _replace(
    place: _Place, path: str, data: bytes, old: Optional[os.stat_result], mode: int
) -> Optional[os.stat_result]:
    """Puts *data* where *old* is; None where *old* has changed meanwhile and nothing was done."""
    _remove_leftovers(place)
    temporary = ".%s.gofleet-%d-%s" % (place.name, os.getpid(), os.urandom(4).hex())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(temporary, flags, 0o600, dir_fd=place.fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, place.real_dir) from None
    renamed = False
    try:
        with os.fdopen(fd, "wb", closefd=False) as stream:
            stream.write(data)
        if old is not None:
            _keep(place, path, fd, old)
        else:
            os.fchmod(fd, mode)
        os.fsync(fd)
        now = os.fstat(fd)
        if not _same(place, old):
            return None
        os.rename(temporary, place.name, src_dir_fd=place.fd, dst_dir_fd=place.fd)
        renamed = True
        _sync_dir(place)
        return now
    except OSError as error:
        raise OSError(error.errno, error.strerror, place.real_path) from None
    finally:
        os.close(fd)
        if not renamed:
            os.unlink(temporary, dir_fd=place.fd)


def _keep(place: _Place, path: str, fd: int, old: os.stat_result) -> None:
    """Owner, group, extended attributes and mode of the file that is replaced."""
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except PermissionError:
            raise NotWritten(
                "foreign-group",
                path,
                "its group (gid %d) cannot be kept by uid %d" % (old.st_gid, os.geteuid()),
                "give the file the account's own group (chgrp), or write as a member of that group",
            ) from None
    source = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=place.fd)
    try:
        for name in os.listxattr(source):
            try:
                os.setxattr(fd, name, os.getxattr(source, name))
            except OSError:
                pass  # a label that only the security module may set: the directory's rule has set one
    except OSError:
        pass  # a file system without extended attributes
    finally:
        os.close(source)
    os.fchmod(fd, stat.S_IMODE(old.st_mode))


def _remove_leftovers(place: _Place) -> None:
    # Under the lock no other writer of ours is alive in this directory: what bears such a name was left by a crash.
    pattern = re.compile(r"^\.%s\.gofleet-[0-9]+-[0-9a-f]{8}\Z" % re.escape(place.name))
    try:
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.fd)
    except OSError:
        return
    try:
        for name in dirs.names(listed):
            if pattern.match(name):
                os.unlink(name, dir_fd=place.fd)
    except OSError:
        pass
    finally:
        os.close(listed)


def _sync_dir(place: _Place) -> None:
    try:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.fd)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass  # some network file systems cannot; the rename is done
    finally:
        os.close(fd)


def to_json(change: Change) -> Dict[str, Any]:
    """The change as a JSON-able dictionary, for the way back from a child process; bytes as Latin-1 text."""
    answer = change._asdict()
    for key in ("before", "after"):
        answer[key] = None if answer[key] is None else answer[key].decode("latin-1")
    answer["created"] = list(change.created)
    return answer


def from_json(answer: Dict[str, Any]) -> Change:
    """The inverse of :func:`to_json`."""
    fields = dict(answer)
    for key in ("before", "after"):
        fields[key] = None if fields[key] is None else fields[key].encode("latin-1")
    fields["created"] = tuple(fields["created"])
    return Change(**fields)
