# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bounded breadth-first search for trees that show a cache's fingerprint, and the paths that users write.

The search only looks: directories are opened by descriptor without following symlinks and, where the rights allow it,
without touching their access times. It is cut by depth, by number of directories and by time, and says where.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import posixpath
import pwd
import re
import time
from collections import deque
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from .._agents import EngineRoot
from .._fs import dirs, mounts
from . import engines

Probe = Callable[[int, str], Optional[str]]
"""Gets an opened directory and its path, returns the kind of cache that it shows the fingerprint of, or None."""

MAX_NOTES = 1000
"""Skipped directories that are listed one by one; ``SearchResult.skipped_total`` counts all."""

# File systems that hold no files of builds, or (autofs) mount something when they are entered.
_UNREAL = frozenset(
    "proc sysfs cgroup cgroup2 devpts devtmpfs debugfs tracefs securityfs pstore bpf configfs fusectl mqueue hugetlbfs"
    " autofs binfmt_misc efivarfs rpc_pipefs nsfs selinuxfs fuse.lxcfs fuse.gvfsd-fuse fuse.portal".split()
)
_REPOSITORIES = frozenset((".git", ".hg", ".svn", ".bzr", ".jj"))
_GOROOT_PARTS = frozenset(("src", "test", "api", "doc", "misc", "lib", "bin", "pkg"))
_NODE_DEPTH = 2
_VOLUME = re.compile(r"/volumes/[^/]+/_data\Z")


class Limits(NamedTuple):
    """What a search may cost: levels below a root, directories visited in all, seconds in all."""

    depth: int = 8
    directories: int = 200000
    seconds: float = 20.0


class SearchRoot(NamedTuple):
    """Where to search and why; ``named`` is True for a folder that the user named."""

    path: str
    why: str
    named: bool = False


class Found(NamedTuple):
    """A tree with a cache's fingerprint: ``path`` resolved, ``root`` the search root as it was named."""

    path: str
    kind: str
    owner_uid: int
    why: str
    device: int
    inode: int
    root: str


class Skipped(NamedTuple):
    """A directory that was not looked into.

    ``reason`` is one of missing, unreadable, not-a-directory, mount, pseudo-file-system, vanished.
    """

    path: str
    reason: str
    message: str


class Truncated(NamedTuple):
    """Where a limit cut the search: ``limit`` is depth, directories, seconds or node_modules; ``path`` the first
    directory that was left out or not finished, ``total`` how many were known to be."""

    limit: str
    path: str
    total: int


class SearchResult(NamedTuple):
    """All that a search saw; ``looked_at`` are the roots that could be opened."""

    found: List[Found]
    foreign: List[engines.Foreign]
    skipped: List[Skipped]
    skipped_total: int
    truncated: List[Truncated]
    directories: int
    looked_at: List[str]


class _Root(NamedTuple):
    path: str  # resolved
    named: SearchRoot
    device: int
    inode: int


class _Place(NamedTuple):
    root: _Root
    relative: str  # '' for the root itself
    depth: int
    node_depth: int  # levels still allowed below a node_modules, -1 outside


class _Search:
    def __init__(
        self,
        probes: Sequence[Probe],
        limits: Limits,
        engine_roots: Sequence[EngineRoot],
        clock: Callable[[], float],
        table: Sequence[mounts.Mount],
    ) -> None:
        self.probes = probes
        self.limits = limits
        self.engine_roots = engine_roots
        self.clock = clock
        self.end = clock() + limits.seconds
        self.points: Dict[str, str] = {mount.point: mount.fstype for mount in table}
        self.queue: Deque[_Place] = deque()
        self.visited: Set[Tuple[int, int]] = set()
        self.found: List[Found] = []
        self.foreign: Dict[str, engines.Foreign] = {}
        self.skipped: List[Skipped] = []
        self.skipped_total = 0
        self.cuts: Dict[str, Tuple[str, int]] = {}
        self.count = 0
        self.parent: Optional[Tuple[_Root, str, int]] = None  # the folder whose children are visited now, held open

    def skip(self, path: str, reason: str, message: str) -> None:
        self.skipped_total += 1
        if len(self.skipped) < MAX_NOTES:
            self.skipped.append(Skipped(path, reason, message))

    def cut(self, limit: str, path: str) -> None:
        first, count = self.cuts.get(limit, (path, 0))
        self.cuts[limit] = (first, count + 1)

    def refuse(self, item: engines.Foreign) -> None:
        self.foreign.setdefault(item.path, item)

    def add_root(self, named: SearchRoot) -> Optional[_Root]:
        given = named.path
        refused = engines.refusal(given, self.engine_roots, as_search_root=True)
        if refused is not None:
            self.refuse(refused)
            return None
        try:
            opened = dirs.open_path(given)
        except FileNotFoundError:
            self.skip(given, "missing", "%s does not exist" % given)
            return None
        except OSError as exc:
            reason = "not-a-directory" if exc.errno in (errno.ENOTDIR, errno.ELOOP) else "unreadable"
            self.skip(given, reason, "%s: %s" % (given, exc.strerror))
            return None
        # Not kept open: a host with thousands of volumes has more roots than a process may have descriptors.
        os.close(opened.fd)
        path = opened.path
        if path == "/" or _never(path) or self.points.get(path) in _UNREAL:
            self.skip(given, "pseudo-file-system", "%s is no place of caches" % path)
            return None
        root = _Root(path, named, opened.st.st_dev, opened.st.st_ino)
        self.queue.append(_Place(root, "", 0, -1))
        return root

    def open_root(self, root: _Root) -> int:
        opened = dirs.open_path(root.path)
        if opened.links or (opened.st.st_dev, opened.st.st_ino) != (root.device, root.inode):
            os.close(opened.fd)
            raise OSError(errno.ENOENT, "the search root was replaced", root.path)
        return opened.fd

    def open(self, place: _Place) -> int:
        """Opens a queued directory through its parent, which stays open for its siblings."""
        root, relative = place.root, place.relative
        if not relative:
            return self.open_root(root)
        above, _slash, name = relative.rpartition("/")
        if self.parent is None or self.parent[0] is not root or self.parent[1] != above:
            self.close_parent()
            fd = self.open_root(root)
            for part in above.split("/") if above else []:
                try:
                    below = dirs.open_dir(part, fd)
                finally:
                    os.close(fd)
                fd = below
            self.parent = (root, above, fd)
        return dirs.open_dir(name, self.parent[2])

    def close_parent(self) -> None:
        if self.parent is not None:
            os.close(self.parent[2])
            self.parent = None

    def over(self, path: str) -> bool:
        if self.count >= self.limits.directories:
            self.cut("directories", path)
            return True
        if self.clock() >= self.end:
            self.cut("seconds", path)
            return True
        return False

    def run(self) -> None:
        try:
            while self.queue:
                place = self.queue.popleft()
                path = _join(place.root.path, place.relative)
                if self.over(path):
                    # How much is left undone is known: what is queued, not what lies below it.
                    limit = "directories" if self.count >= self.limits.directories else "seconds"
                    self.cuts[limit] = (self.cuts[limit][0], self.cuts[limit][1] + len(self.queue))
                    return
                self.step(place, path)
        finally:
            self.close_parent()

    def step(self, place: _Place, path: str) -> None:
        try:
            fd = self.open(place)
        except OSError as exc:
            self.not_opened(path, exc)
            return
        try:
            self.visit(fd, place, path)
        finally:
            os.close(fd)

    def not_opened(self, path: str, exc: OSError) -> None:
        if exc.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            self.skip(path, "vanished", "%s vanished or changed while it was looked at" % path)
        else:
            self.skip(path, "unreadable", "%s: %s" % (path, exc.strerror))

    def visit(self, fd: int, place: _Place, path: str) -> None:
        st = os.fstat(fd)
        if (st.st_dev, st.st_ino) in self.visited:
            return
        if place.relative and not self.same_file_system(st, place, path):
            return
        self.visited.add((st.st_dev, st.st_ino))
        self.count += 1
        for probe in self.probes:
            try:
                kind = probe(fd, path)
            except OSError as exc:
                self.skip(path, "unreadable", "%s: %s" % (path, exc.strerror))
                continue
            if kind is not None:
                why = "below %s (%s)" % (place.root.named.path, place.root.named.why)
                self.found.append(Found(path, kind, st.st_uid, why, st.st_dev, st.st_ino, place.root.named.path))
                return
        names: Set[str] = set()
        children: List[str] = []
        try:
            with os.scandir(fd) as listing:
                for entry in listing:
                    names.add(entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        if len(children) + len(self.queue) + self.count >= self.limits.directories:
                            self.cut("directories", path)  # more would never be visited, only fill the memory
                            break
                        children.append(entry.name)
                    if len(names) & 4095 == 0 and self.clock() >= self.end:
                        self.cut("seconds", path)
                        break
        except OSError as exc:
            self.not_opened(path, exc)
            return
        land = engines.territory(fd, path, names, self.engine_roots)
        if land is not None:
            if not land.open_names:
                self.refuse(engines.foreign(land, path))
                return
            for name in sorted(set(children) - land.open_names):
                if engines.is_store(land, name):
                    self.refuse(engines.foreign(land, path, name))
            children = [name for name in children if name in land.open_names]
        elif {"HEAD", "objects", "refs"} <= names:
            return  # a bare repository, as a git mirror is
        elif "VERSION" in names and "src" in names and "bin" in names:
            children = [name for name in children if name not in _GOROOT_PARTS]
        self.descend(place, path, children)

    def same_file_system(self, st: os.stat_result, place: _Place, path: str) -> bool:
        """Whether no mount point lies between the root and this directory; container volumes may be mounts."""
        fstype = self.points.get(path)
        if fstype is None and st.st_dev == place.root.device:
            return True
        if fstype in _UNREAL:
            self.skip(path, "pseudo-file-system", "%s is a mount of %s" % (path, fstype))
            return False
        if fstype is not None and _VOLUME.search(path):
            return True
        if fstype is None and _VOLUME.search(path) is None and self.inside_volume(path):
            return True
        self.skip(path, "mount", "%s is a mount below a search root; name it to have it searched" % path)
        return False

    def inside_volume(self, path: str) -> bool:
        """Whether the directory lies below a volume that was entered although it is a mount of its own."""
        match = re.search(r"/volumes/[^/]+/_data(?=/)", path)
        return match is not None and path[: match.end()] in self.points

    def descend(self, place: _Place, path: str, children: List[str]) -> None:
        children = [name for name in children if name not in _REPOSITORIES]
        if not children:
            return
        if place.depth >= self.limits.depth:
            self.cut("depth", path)
            return
        if place.node_depth == 0:
            self.cut("node_modules", path)
            return
        for name in sorted(children):
            below = _join(path, name)
            if _never(below):
                continue
            node_depth = place.node_depth - 1 if place.node_depth > 0 else _NODE_DEPTH if name == "node_modules" else -1
            relative = place.relative + "/" + name if place.relative else name
            self.queue.append(_Place(place.root, relative, place.depth + 1, node_depth))


def _never(path: str) -> bool:
    """The kernel's own trees; /dev/shm is a place where people put caches."""
    top, _slash, rest = path[1:].partition("/")
    return top in ("proc", "sys") or (top == "dev" and rest.split("/")[0] != "shm")


def _join(path: str, name: str) -> str:
    return path + "/" + name if name else path


def search(
    roots: Sequence[SearchRoot],
    probes: Sequence[Probe],
    limits: Limits = Limits(),  # noqa: B008 (a tuple: nothing can change it)
    engine_roots: Sequence[EngineRoot] = (),
    clock: Callable[[], float] = time.monotonic,
    mount_table: Optional[Sequence[mounts.Mount]] = None,
) -> SearchResult:
    """Searches *roots* level by level, all of them together, for directories that one of *probes* knows.

    A probe gets an opened directory and must leave it open. What lies below a found cache is not searched; engines'
    trees, repositories, Go installations' own folders and mounts (but for a container engine's ``volumes/*/_data``)
    are not entered; symlinks below a root are not followed, a root itself may be one. *engine_roots* are places that
    engines' configuration names. The same directory reached by two names is found once. Never raises for what lies on
    the disk.
    """
    table = mounts.mounts() if mount_table is None else list(mount_table)
    work = _Search(probes, limits, engine_roots, clock, table)
    opened = [root for root in map(work.add_root, roots) if root is not None]
    work.run()
    truncated = [Truncated(limit, path, count) for limit, (path, count) in sorted(work.cuts.items())]
    return SearchResult(
        work.found,
        [work.foreign[path] for path in sorted(work.foreign)],
        work.skipped,
        work.skipped_total,
        truncated,
        work.count,
        [root.named.path for root in opened],
    )


class BadPath(ValueError):
    """A path that cannot be used: ``value`` as written, ``reason``, and what to do (``hint``)."""

    def __init__(self, value: object, reason: str, hint: str) -> None:
        super().__init__("%r: %s; %s" % (value, reason, hint))
        self.value = value
        self.reason = reason
        self.hint = hint


class Expanded(NamedTuple):
    """What a written path stands for: the existing matches of a pattern, or the one plain path, existing or not.

    ``pattern`` tells which; ``unreadable`` are folders that a wildcard could not look into, ``links`` the symlinks that
    a wildcard passed over, ``truncated`` is True where there were more matches than the limit.
    """

    paths: List[str]
    pattern: bool
    unreadable: List[str]
    links: List[str]
    truncated: bool


_MAGIC = re.compile(r"[*?[]")


def _home_of(name: str) -> str:
    return pwd.getpwnam(name).pw_dir


def plain(value: object, home_of: Callable[[str], str] = _home_of) -> str:
    """A path as a user wrote it, made absolute and normal: ``/x``, ``~account/x``, also with wildcards.

    Raises BadPath for what never can be meant: not text, empty, ``off``, relative, ``~`` and ``~/x`` (whose?), an
    unknown account, ``/``, a NUL byte, ``$`` variables.
    """
    hint = "give an absolute path such as /builds/*/.go/pkg/mod, or ~account/go/pkg/mod"
    if not isinstance(value, str):
        raise BadPath(value, "not a text but %s" % type(value).__name__, hint)
    if not value.strip():
        raise BadPath(value, "an empty path", hint)
    if value.strip().lower() == "off":
        raise BadPath(value, "the word off: Go is told to have no such cache", hint)
    if "\0" in value:
        raise BadPath(value, "a path with a NUL byte", hint)
    if value == "~" or value.startswith("~/"):
        raise BadPath(value, "a home without an account; which one it means depends on who runs this", hint)
    path = value
    if value.startswith("~"):
        account, _slash, rest = value[1:].partition("/")
        try:
            home = home_of(account)
        except (KeyError, ValueError):
            raise BadPath(value, "no account is called %r on this host" % account, hint) from None
        if not home.startswith("/") or posixpath.normpath(home) in ("/", "/nonexistent", "/dev/null"):
            raise BadPath(value, "the account %r has no home of its own" % account, hint)
        path = posixpath.join(home, rest)
    elif "$" in value and not value.startswith("/"):
        raise BadPath(value, "a variable, which nobody expands here", hint)
    if not path.startswith("/"):
        raise BadPath(value, "a relative path", hint)
    if ".." in path.split("/"):
        raise BadPath(value, "a path with '..', which symlinks can lead elsewhere", hint)
    clean = "/" + posixpath.normpath(path).lstrip("/")
    if clean == "/":
        raise BadPath(value, "the root of the file system", hint)
    if "**" in clean:
        raise BadPath(value, "the wildcard '**'", "name the folder above it as a search root instead")
    return clean


def expand(
    value: object, limit: int = 10000, home_of: Callable[[str], str] = _home_of, only_dirs: bool = True
) -> Expanded:
    """The paths that *value* stands for, sorted.

    ``*``, ``?`` and ``[...]`` match within one folder; names with a leading dot only where the pattern has one too, as
    in a shell; a path that exists exactly as written is taken as written. A wildcard never matches a symlink: below a
    folder that jobs can write to, a link would lead anywhere. Raises BadPath as :func:`plain`.
    """
    path = plain(value, home_of)
    if not _MAGIC.search(path) or os.path.lexists(path):
        return Expanded([path], False, [], [], False)
    here = ["/"]
    unreadable: List[str] = []
    links: List[str] = []
    truncated = False
    parts = [part for part in path.split("/") if part]
    for i, part in enumerate(parts):
        last = i + 1 == len(parts)
        below: List[str] = []
        for folder in here:
            if not _MAGIC.search(part):
                candidate = posixpath.join(folder, part)
                if not last or os.path.lexists(candidate):
                    below.append(candidate)
                continue
            try:
                below.extend(_matches(folder, part, only_dirs or not last, links))
            except OSError as exc:
                if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
                    unreadable.append(folder)
            if len(below) > limit:
                break
        if len(below) > limit:
            below = below[:limit]
            truncated = True
        here = below
    return Expanded(sorted(here), True, unreadable, links[:MAX_NOTES], truncated)


def _matches(folder: str, part: str, only_dirs: bool, links: List[str]) -> List[str]:
    shape = re.compile(fnmatch.translate(part))
    found: List[str] = []
    with os.scandir(folder) as listing:
        for entry in listing:
            if shape.match(entry.name) is None or (entry.name.startswith(".") and not part.startswith(".")):
                continue
            if entry.is_symlink():
                links.append(posixpath.join(folder, entry.name))
            elif not only_dirs or entry.is_dir(follow_symlinks=False):
                found.append(posixpath.join(folder, entry.name))
    return sorted(found)
