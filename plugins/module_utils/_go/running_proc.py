# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What /proc tells of one process, and the file system as that process sees it.

Everything here was written by the process that is looked at: names, environment and file trees are its own claims.
Nothing that it chose is followed out of its own root directory, and nothing but regular files is ever opened.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from typing import Dict, FrozenSet, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from .files import LIMIT

#: Bytes. The kernel allows 128 KiB for one variable and by default 6 MiB for all (execve(2)).
ENVIRON_LIMIT = 8 << 20
MAPS_LIMIT = 4 << 20
#: Cache directories in one process's maps; more are no go command's.
MAPS_ROOTS = 16
_KTHREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h
#: Looks, a millisecond apart, at a process that is being started.
_STARTS = 40
_LINKS = 40
_STEPS = 400
_DEPTH = 100

# proc_pid_maps(5): range, rights, offset, device, inode, path. The build cache: two digits of the name, the name.
_MAPPED = re.compile(
    rb"^\S+ \S+ \S+ ([0-9a-f]+):([0-9a-f]+) ([0-9]+) +(/[^\n]*)/([0-9a-f]{2})/(\5[0-9a-f]{62}-d)( \(deleted\))?$",
    re.MULTILINE,
)


class Stat(NamedTuple):
    """Of proc_pid_stat(5): ``start`` is in clock ticks since boot; ``state`` one letter; ``threads`` their number."""

    comm: str
    state: str
    threads: int
    start: int
    kernel: bool


def parse_stat(line: str) -> Stat:
    """Raises ValueError where it is no such line. The name may hold blanks, parentheses and line ends."""
    left, right = line.find("("), line.rfind(")")
    rest = line[right + 1 :].split()
    if left < 0 or right < left or len(rest) < 20:
        raise ValueError("no line of /proc/PID/stat: %r" % line[:80])
    return Stat(line[left + 1 : right], rest[0], int(rest[17]), int(rest[19]), bool(int(rest[6]) & _KTHREAD))


def parse_environ(data: bytes) -> Dict[str, str]:
    """Name to value. Of a name that is there twice the first counts, as in getenv(3) and in Go's syscall.copyenv."""
    found: Dict[str, str] = {}
    for item in data.split(b"\0"):
        name, equals, value = item.partition(b"=")
        if equals and name:
            found.setdefault(os.fsdecode(name), os.fsdecode(value))
    return found


class Mapped(NamedTuple):
    """A build cache of which a process maps files: ``path`` as the kernel shows it, ``files`` some of them.

    Each file: its path below the cache, device and inode.
    """

    path: str
    files: Tuple[Tuple[str, int, int], ...]


def parse_maps(data: bytes) -> Tuple[List[Mapped], bool]:
    """The build caches in /proc/PID/maps and whether these are all (False beyond MAPS_ROOTS).

    The index of a module's packages is read from a mapped file of the build cache (modindex.openIndexModule,
    cache.GetMmap), which stays mapped as long as the command lives.
    """
    found: Dict[bytes, List[Tuple[str, int, int]]] = {}
    whole = len(data) < MAPS_LIMIT
    for hit in _MAPPED.finditer(data):
        major, minor, inode, path, shard, name, deleted = hit.groups()
        if path not in found and len(found) >= MAPS_ROOTS:
            whole = False
            continue
        files = found.setdefault(path, [])
        if not deleted and len(files) < 4:
            try:
                device = os.makedev(int(major, 16), int(minor, 16))
            except (OverflowError, ValueError):
                continue
            files.append(("%s/%s" % (shard.decode(), name.decode()), device, int(inode)))
    # proc_pid_maps(5): a line end in a path is \012.
    rows = [Mapped(os.fsdecode(path.replace(b"\\012", b"\n")), tuple(files)) for path, files in found.items()]
    return rows, whole


class Rights(NamedTuple):
    """Whose rights a process has; ``groups`` with the primary one."""

    uid: int
    groups: FrozenSet[int]

    def may(self, st: os.stat_result, bit: int) -> bool:
        """Whether the mode bits surely allow it (*bit*: 4 read, 1 search). Access lists are not looked at."""
        if self.uid == 0:
            return True
        if st.st_uid == self.uid:
            return bool(st.st_mode >> 6 & bit)
        return bool((st.st_mode >> 3 if st.st_gid in self.groups else st.st_mode) & bit)


def parse_status(text: str) -> Dict[str, List[str]]:
    """The lines of proc_pid_status(5): name to the words of the value."""
    found: Dict[str, List[str]] = {}
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name, value.split())
    return found


def rights(base: str) -> Rights:
    """The rights of the process at *base* (its folder in /proc). Raises OSError."""
    st = os.stat(base)
    uid, groups = st.st_uid, {st.st_gid}
    try:
        lines = parse_status(read(base + "/status", 65536).decode("utf-8", "replace"))
        # effective; the owner of /proc/PID is root for a process that may not be dumped (proc(5)).
        uid = int(lines["Uid"][1])
        groups = {int(lines["Gid"][1])} | {int(item) for item in lines.get("Groups", [])}
    except (OSError, KeyError, IndexError, ValueError):
        pass
    return Rights(uid, frozenset(groups))


def read(path: str, limit: int) -> bytes:
    """At most *limit* bytes of a file of /proc itself. Raises OSError."""
    with open(path, "rb", buffering=0) as handle:
        chunks: List[bytes] = []
        size = 0
        while size < limit:
            chunk = handle.read(min(limit - size, 1 << 18))
            if not chunk:
                break
            chunks.append(chunk)
            size += len(chunk)
    return b"".join(chunks)


class Starting(OSError):
    """A program is being started in this process: what it will be told is not there yet."""


def environ(base: str) -> bytes:
    """At most ENVIRON_LIMIT bytes of the environment of the process at *base* (its folder in /proc).

    Between the moment in which execve(2) gives a process its new memory (and ``exe`` its new target) and that in which
    the environment stands in it, the file is empty: one in eight of the children that were just started (fs/exec.c
    begin_new_exec, fs/binfmt_elf.c create_elf_tables). Such a process is waited for some milliseconds, so that a ``go``
    that has just begun is not taken for one without settings. Raises OSError; Starting where it does not come forth.
    """
    bounds = (0, 0)
    for _look in range(_STARTS):
        data = read(base + "/environ", ENVIRON_LIMIT)
        if data:
            return data
        fields = read(base + "/stat", 4096).decode("utf-8", "replace").rpartition(")")[2].split()
        if len(fields) < 49:
            return data  # Linux before 3.5 does not tell
        if fields[0] in "ZX":
            raise ProcessLookupError(errno.ESRCH, "it has ended", base)
        bounds = (int(fields[47]), int(fields[48]))  # proc_pid_stat(5): env_start, env_end
        if bounds[0] == bounds[1] != 0 and fields[0] in "STt":
            return data  # it has run and waits: there is none
        time.sleep(0.001)
    if bounds[0] == bounds[1] != 0:
        return b""
    raise Starting(errno.EAGAIN, "a program is being started", base)


def parse_layers(text: str) -> Set[str]:
    """The writable layers (``upperdir=``) of the overlay mounts in a mountinfo, as their mounter named them."""
    found = set()
    for line in text.split("\n"):
        _before, _dash, after = line.partition(" - ")
        fields = after.split(" ")
        if len(fields) >= 3 and fields[0] == "overlay":
            # Documentation/filesystems/overlayfs.rst: a comma in a path is escaped by a backslash.
            for option in re.split(r"(?<!\\),", fields[2]):
                if option.startswith("upperdir=/"):
                    found.add(re.sub(r"\\([0-7]{3})", lambda hit: chr(int(hit.group(1), 8)), option[9:]))
    return {path.replace("\\,", ",").replace("\\:", ":") for path in found}


class View:
    """The file system below a process's root directory, also in another mount namespace. Close it after use.

    The kernel would resolve an absolute symlink below ``/proc/PID/root`` against the caller's own root, so each step
    is taken here.
    """

    def __init__(self, base: str) -> None:
        """Raises OSError."""
        self._fd = os.open(base + "/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # What the kernel prints of this process's files starts with this, where it is not the namespace's root.
            self.prefix = os.readlink(base + "/root").rstrip("/")
        except OSError:
            self.prefix = ""

    def close(self) -> None:
        os.close(self._fd)

    def names(self, shown: str) -> Iterator[str]:
        """What a path that the kernel showed may be called inside this root."""
        if self.prefix and shown.startswith(self.prefix + "/"):
            yield shown[len(self.prefix) :]
        yield shown

    def open(self, path: str, who: Optional[Rights] = None) -> Tuple[int, str]:
        """An O_PATH descriptor of *path* (symlinks resolved inside this root) and its real path; raises OSError.

        With *who* EACCES is raised unless the mode bits surely let them pass. A path through /proc means something
        else for each process that asks: ELOOP.
        """
        if not path.startswith("/"):
            raise OSError(errno.EINVAL, "not an absolute path", path)
        todo = [item for item in reversed(path.split("/")) if item not in ("", ".")]
        way: List[Tuple[int, str]] = []
        links = steps = 0
        try:
            while todo:
                name = todo.pop()
                steps += 1
                if steps > _STEPS or len(way) > _DEPTH:
                    raise OSError(errno.ENAMETOOLONG, "too many steps", path)
                if name == "..":
                    if way:
                        os.close(way.pop()[0])
                    continue
                if not way and name == "proc":
                    raise OSError(errno.ELOOP, "leads through /proc", path)
                fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=way[-1][0] if way else self._fd)
                way.append((fd, name))
                st = os.fstat(fd)
                if stat.S_ISLNK(st.st_mode):
                    links += 1
                    target = os.readlink("", dir_fd=fd)
                    os.close(way.pop()[0])
                    if links > _LINKS:
                        raise OSError(errno.ELOOP, "too many symlinks", path)
                    if target.startswith("/"):
                        while way:
                            os.close(way.pop()[0])
                    todo.extend(item for item in reversed(target.split("/")) if item not in ("", "."))
                elif who is not None and stat.S_ISDIR(st.st_mode) and todo and not who.may(st, 1):
                    raise OSError(errno.EACCES, "may not be entered by uid %d" % who.uid, path)
            fd = os.open(".", os.O_PATH | os.O_CLOEXEC, dir_fd=self._fd) if not way else os.dup(way[-1][0])
            return fd, "/" + "/".join(name for _fd, name in way)
        finally:
            for fd, _name in way:
                os.close(fd)

    def identify(self, path: str) -> Tuple[int, int]:
        """Device and inode of *path*; raises OSError."""
        fd, _real = self.open(path)
        try:
            st = os.fstat(fd)
            return st.st_dev, st.st_ino
        finally:
            os.close(fd)

    def read(self, path: str, who: Rights) -> bytes:
        """A regular file of at most files.LIMIT bytes that *who* may surely read; raises OSError."""
        fd, _real = self.open(path, who)
        try:
            st = os.fstat(fd)
            if not stat.S_ISREG(st.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            if not who.may(st, 4):
                raise OSError(errno.EACCES, "may not be read by uid %d" % who.uid, path)
            # The same inode again, this time for reading: it cannot have become a FIFO or a device since.
            again = "/proc/self/fd/%d" % fd
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                reader = os.open(again, flags | os.O_NOATIME)
            except PermissionError:
                reader = os.open(again, flags)
        finally:
            os.close(fd)
        try:
            data = os.read(reader, LIMIT + 1)
            while data and len(data) <= LIMIT:
                more = os.read(reader, LIMIT + 1 - len(data))
                if not more:
                    break
                data += more
        finally:
            os.close(reader)
        if len(data) > LIMIT:
            raise OSError(errno.EFBIG, "larger than %d bytes" % LIMIT, path)
        return data


class ViewFiles:
    """What the evaluator reads, as the process sees it (:class:`.files.Files`)."""

    def __init__(self, view: View, who: Rights) -> None:
        self._view = view
        self._who = who

    def read(self, path: str) -> bytes:
        if path.endswith("/telemetry/mode"):
            raise FileNotFoundError(errno.ENOENT, "of no interest", path)
        return self._view.read(path, self._who)


def relevant(environ: Mapping[str, str]) -> Dict[str, str]:
    """What decides where Go's places are: cmd/go/internal/cfg, os.UserCacheDir, os.UserConfigDir."""
    wanted = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GOENV", "GOROOT", "GOPATH", "GOMODCACHE", "GOCACHE")
    return {name: environ[name] for name in wanted if name in environ}
