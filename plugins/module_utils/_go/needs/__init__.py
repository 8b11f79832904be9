# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which module versions the projects below some folders still need, as their own files say.

Read are go.mod, go.sum, go.work, go.work.sum, vendor/modules.txt, and pairs such as tools.mod and tools.sum that
``go -modfile`` uses. What a build reads of a module is its zip or its tree, and for these a go.sum has a line of its
own; a line of ``version/go.mod`` stands for a go.mod that was only looked at while versions were chosen, and ``.mod``
files are never evicted: such a line is no need. Files below a folder ``testdata`` count too (too much kept harms
nobody), but a file there that no Go could parse says nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..._fs import dirs, mounts
from .. import modpath
from . import parse

TOOLCHAIN = "golang.org/toolchain"
_SKIPPED = frozenset((".git", ".hg", ".svn", ".bzr", ".jj", "node_modules"))
_PLAIN = re.compile(r"[-._~+/0-9A-Za-z]+\Z")
_PROBLEMS = 100


class Limits(NamedTuple):
    """Where the reading stops: levels below a folder, names seen, seconds, bytes of one file."""

    depth: int = 24
    entries: int = 2_000_000
    seconds: float = 120.0
    file_bytes: int = 32 << 20


LIMITS = Limits()


class Needs(NamedTuple):
    """What is needed.

    ``labels`` are ``module@version``, unescaped; ``patterns`` name what only a pattern can: a version that is no
    version (a branch's name), and the toolchains of ``toolchains`` (``go1.26.8``) for every platform. ``complete`` is
    False where a root could not be read to its end: then anything may be needed, and ``problems`` (the first hundred;
    ``problems_seen`` counts all) says where and why. ``roots`` counts the files read, ``seconds`` the time it took.
    """

    labels: FrozenSet[str]
    patterns: Tuple[str, ...]
    toolchains: Tuple[str, ...]
    complete: bool
    roots: int
    problems: Tuple[Dict[str, str], ...]
    problems_seen: int
    seconds: float


def read(
    folders: Sequence[str], limits: Limits = LIMITS, missing_ok: bool = False, elsewhere: Sequence[str] = ()
) -> Needs:
    """Reads the roots below *folders* (absolute paths). Never raises for what it finds there, and changes nothing.

    A folder that does not exist makes the answer incomplete, because a misspelt one must not free everything;
    *missing_ok* says that it may be absent. A mount below a folder is not entered, and makes the answer incomplete too
    unless *folders* or *elsewhere* (folders that are read by another call) name it.
    """
    reader = _Reader(limits, [os.path.realpath(folder) for folder in (*folders, *elsewhere)])
    for folder in folders:
        reader.folder(folder, missing_ok)
    return reader.result()


class _Stop(Exception):
    """A limit was reached."""


class _Reader:
    def __init__(self, limits: Limits, named: Sequence[str]) -> None:
        self.limits = limits
        self.named = frozenset(named)
        self.begun = time.monotonic()
        self.pairs: Set[Tuple[str, str]] = set()
        self.sums: Set[Tuple[bytes, bytes]] = set()
        self.versions: Set[str] = set()
        self.open_names: Set[str] = set()
        self.roots = 0
        self.names = 0
        self.complete = True
        self.problems: List[Dict[str, str]] = []
        self.problems_seen = 0
        # Many checkouts of one project are the rule on a build agent: what was read once is not read again.
        self.seen: Set[bytes] = set()
        self.lines: Set[bytes] = set()
        self.used: Set[str] = set()
        self.points: FrozenSet[str] = frozenset(mount.point for mount in mounts.mounts())

    # what was found

    def result(self) -> Needs:
        labels = {modpath.label(path, version) for path, version in self.pairs}
        for name, number in self.sums:
            label = name + b"@" + number
            labels.add(label.decode("utf-8", "surrogateescape"))
        patterns = set(self.open_names)
        for version in self.versions:
            # go1.26 stands for a language version too, of which a newest release is chosen (cmd/go/internal/toolchain).
            whole = version.count(".") > 1 or not version.replace(".", "").replace("go", "").isdigit()
            patterns.add("%s@v0.0.1-%s.*" % (TOOLCHAIN, version))
            if not whole:
                patterns.add("%s@v0.0.1-%src*" % (TOOLCHAIN, version))
        return Needs(
            frozenset(labels),
            tuple(sorted(patterns)),
            tuple(sorted(self.versions)),
            self.complete,
            self.roots,
            tuple(self.problems),
            self.problems_seen,
            time.monotonic() - self.begun,
        )

    def wrong(self, path: str, problem: str) -> None:
        self.complete = False
        self.problems_seen += 1
        if len(self.problems) < _PROBLEMS:
            self.problems.append({"path": os.fsencode(path).decode("utf-8", "backslashreplace"), "problem": problem})

    def _need(self, path: str, version: str, where: str) -> None:
        if (path, version) in self.pairs:
            return
        if modpath.canonical(version) == version and version:
            self.pairs.add((path, version))
        elif _PLAIN.match(path):
            self.open_names.add(path + "@*")  # a branch or a short version: it may stand for any
            self.pairs.add((path, version))
        else:
            self.wrong(where, "a module without a version, of a name that no pattern can hold")

    def _toolchain(self, name: str) -> None:
        if name and name != "default" and _PLAIN.match(name):
            self.versions.add(name)

    # the walk

    def folder(self, folder: str, missing_ok: bool) -> None:
        try:
            opened = dirs.open_path(folder)
        except FileNotFoundError:
            if not missing_ok:
                self.wrong(folder, "no such folder: what its projects need is not known")
            return
        except OSError as exc:
            self.wrong(folder, os.strerror(exc.errno or 0))
            return
        try:
            if _is_module_cache(opened.fd):
                self.wrong(folder, "a module cache, not a folder of projects")
                os.close(opened.fd)
                return
            self._walk(opened.fd, opened.path, opened.st.st_dev)
        except _Stop as exc:
            self.wrong(folder, str(exc))

    def _walk(self, top: int, path: str, device: int) -> None:
        """Reads the roots below an open directory, which is closed at the end, depth first and without recursion."""
        here: List[Tuple[int, str, List[str]]] = [(top, path, [])]
        try:
            here[0] = (top, path, self._folder(top, path))
            while here:
                fd, where, names = here[-1]
                if not names:
                    os.close(fd)
                    here.pop()
                    continue
                name = names.pop()
                below = where.rstrip("/") + "/" + name
                if below in self.points:
                    self._mount(below)
                    continue
                try:
                    child = dirs.open_dir(name, fd)
                except OSError as exc:
                    # Swapped or gone since it was listed: nobody builds there.
                    if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                        self.wrong(below, os.strerror(exc.errno or 0))
                    continue
                here.append((child, below, []))
                if os.fstat(child).st_dev != device:
                    self._mount(below)
                    continue
                if len(here) > self.limits.depth:
                    self.wrong(below, "deeper than %d levels below the folder" % self.limits.depth)
                    continue
                here[-1] = (child, below, self._folder(child, below))
        finally:
            for fd, _where, _names in here:
                os.close(fd)

    def _mount(self, path: str) -> None:
        if path not in self.named:
            self.wrong(path, "a mount below the folder, which is not entered; name it as a folder of its own")

    def _folder(self, fd: int, path: str) -> List[str]:
        """Reads the roots in one folder and returns the names of the folders to go on with."""
        folders: List[str] = []
        files: List[str] = []
        try:
            with os.scandir(fd) as listing:
                for entry in listing:
                    self.names += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif entry.name.endswith((".mod", ".sum")) or entry.name in ("go.work", "modules.txt"):
                        files.append(entry.name)
        except OSError as exc:
            self.wrong(path, os.strerror(exc.errno or 0))
            return []
        if self.names > self.limits.entries:
            raise _Stop("more than %d names; name the folders of projects only" % self.limits.entries)
        if time.monotonic() - self.begun > self.limits.seconds:
            raise _Stop("more than %g seconds; name the folders of projects only" % self.limits.seconds)
        if path.endswith("/vendor") and "modules.txt" in files:
            self._vendor(fd, path)
            return []  # go mod vendor leaves no go.mod below
        if files:
            self._files(fd, path, files)
        if "cache" in folders and _is_module_cache(fd):
            return []
        if "00" in folders and "ff" in folders and len(folders) >= 256 and dirs.lstat_or_none("trim.txt", fd):
            return []  # a build cache
        return [name for name in folders if name not in _SKIPPED]

    # the files

    def _files(self, fd: int, path: str, names: Sequence[str]) -> None:
        have = set(names)
        for name in names:
            stem, _dot, end = name.rpartition(".")
            if name in ("go.sum", "go.work.sum"):
                self._sum(fd, path, name)
            elif name == "go.mod":
                self._mod(fd, path, name)
            elif name == "go.work":
                self._work(fd, path)
            elif end == "sum" and stem + ".mod" in have and stem not in ("go", "go.work"):
                self._other_pair(fd, path, stem)

    def _read(self, fd: int, path: str, name: str) -> Optional[bytes]:
        """The content of a root, None where there is none or it cannot be read (then the problem is noted)."""
        where = path + "/" + name
        try:
            file = _open(name, fd)
        except FileNotFoundError:
            return None
        except OSError as exc:
            self.wrong(where, "not readable: %s" % (exc.strerror or exc))
            return None
        try:
            st = os.fstat(file)
            if stat.S_ISDIR(st.st_mode):
                return None
            if not stat.S_ISREG(st.st_mode):
                self.wrong(where, "not a regular file")
                return None
            if not st.st_size:
                # Also what a symlink into /proc shows: to read /proc/kmsg would take the kernel's messages, and hang.
                self.roots += 1
                return b""
            if st.st_size > self.limits.file_bytes:
                self.wrong(where, "%d bytes: too large for what it should be" % st.st_size)
                return None
            chunks: List[bytes] = []
            while True:
                chunk = os.read(file, max(st.st_size + 1, 65536))
                if not chunk:
                    break
                chunks.append(chunk)
                if len(chunks) > 1 and sum(map(len, chunks)) > self.limits.file_bytes:
                    self.wrong(where, "it grows while it is read")
                    return None
            self.roots += 1
            return b"".join(chunks)
        except OSError as exc:
            self.wrong(where, "not readable: %s" % os.strerror(exc.errno or 0))
            return None
        finally:
            os.close(file)

    def _syntax(self, path: str, name: str, problems: Iterable[str]) -> None:
        if "testdata" in path.split("/"):
            return
        for problem in list(problems)[:3]:
            self.wrong(path + "/" + name, problem)

    def _sum(self, fd: int, path: str, name: str) -> None:
        data = self._read(fd, path, name)
        if data:
            self._sums(data, path, name)

    def _sums(self, data: bytes, path: str, name: str) -> None:
        # The projects of one agent share most of their lines: only new ones are looked at.
        fresh = set(data.split(b"\n")) - self.lines
        found, problems = parse.sum_file(b"\n".join(fresh))
        self.sums.update(found)
        if problems:
            self._syntax(path, name, parse.sum_file(data)[1])
        else:
            self.lines |= fresh

    def _mod(self, fd: int, path: str, name: str) -> None:
        data = self._read(fd, path, name)
        digest = hashlib.sha256(data or b"").digest()
        if not data or digest in self.seen:
            return
        found = parse.mod_file(data)
        self._take(found, path, name)
        if not found.problems:
            self.seen.add(digest)

    def _take(self, found: parse.ModFile, path: str, name: str) -> None:
        where = path + "/" + name
        for module, version in found.require:
            self._need(module, version, where)
        for _old, _version, new, version in found.replace:
            if version:
                self._need(new, version, where)
        if found.go:
            self._toolchain("go" + found.go)
        self._toolchain(found.toolchain)
        self._syntax(path, name, found.problems)

    def _work(self, fd: int, path: str) -> None:
        data = self._read(fd, path, "go.work")
        if not data:
            return
        found = parse.mod_file(data)
        self._take(found, path, "go.work")
        for folder in found.use:
            self._use(os.path.normpath(os.path.join(path, folder)))

    def _use(self, folder: str) -> None:
        """Reads a module of a work space, which may lie anywhere. One that is not there fails every build: no need."""
        if folder in self.used:
            return
        self.used.add(folder)
        if time.monotonic() - self.begun > self.limits.seconds:
            raise _Stop("more than %g seconds; name the folders of projects only" % self.limits.seconds)
        try:
            opened = dirs.open_path(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as exc:
            self.wrong(folder, "used by a go.work: %s" % os.strerror(exc.errno or 0))
            return
        try:
            self._mod(opened.fd, opened.path, "go.mod")
            self._sum(opened.fd, opened.path, "go.sum")
        finally:
            os.close(opened.fd)

    def _other_pair(self, fd: int, path: str, stem: str) -> None:
        """``tools.mod`` and ``tools.sum`` (``go -modfile``); other programs have files of such names too."""
        data = self._read(fd, path, stem + ".sum")
        if data is None:
            return
        found, problems = parse.sum_file(data)
        if problems or (data.strip() and not found and b"/go.mod h1:" not in data):
            self.roots -= 1
            return
        self.sums.update(found)
        self._mod(fd, path, stem + ".mod")

    def _vendor(self, fd: int, path: str) -> None:
        data = self._read(fd, path, "modules.txt")
        if not data:
            return
        found, problems = parse.vendor_list(data)
        self.pairs.update(found)
        self._syntax(path, "modules.txt", problems)


def _open(name: str, dir_fd: int) -> int:
    """Opens a root for reading. A project may have a symlink in a file's place; only a regular file behind it is
    opened, since opening a device may do something."""
    try:
        return dirs.open_file(name, dir_fd)
    except dirs.CannotLook:
        return os.open(name, dirs.O_FILE, dir_fd=dir_fd)
    except OSError as exc:
        if exc.errno != errno.ELOOP:
            raise
    handle = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "a symlink to what is no file")
        return os.open("/proc/self/fd/%d" % handle, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _is_module_cache(fd: int) -> bool:
    """Whether a folder looks like a GOMODCACHE: what lies there are not projects but what they need."""
    for name in ("cache/download", "cache/lock"):
        try:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            return False
        if stat.S_ISDIR(st.st_mode) != (name == "cache/download"):
            return False
    return True
