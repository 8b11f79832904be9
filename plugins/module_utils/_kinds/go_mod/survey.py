# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Survey of a module cache: what is there of each version, when it was last used, and what does not fit together."""

from __future__ import annotations

import os
import re
import stat
from typing import Any, Collection, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from ..._core.survey import CacheRef, Entries, Survey
from ..._fs import dirs, mounts
from ..._fs.identity import Root
from ..._fs.remove import IN_USE, NFS
from ..._go import modpath
from ..._go.mask import mask
from .. import quarantine
from . import BARE, CLONE, GRAIN_RELATIME, KIND, LEFTOVER, MARGINS, QUARANTINED, TIERS, TOOLCHAIN, TREE, ZIP, clones

HOLDS = (
    "",
    "other owner",
    "unknown tree",
    "repository inside",
    "not reached whole",
    "no .ziphash",
    "unknown clone",
    IN_USE,
    "toolchain in use",
)
_OWNER, _UNKNOWN, _REPOSITORY, _PART, _NO_HASH, _UNKNOWN_CLONE, _NETWORK, _RUNNING = range(1, 9)
_REPOSITORIES = frozenset((".git", ".hg", ".svn", ".bzr", ".jj"))
_DEEPEST_MODULE = 64
_DEEPEST_TREE = 512
_TMP_TREE = re.compile(r"^(.+@[^@]+)\.tmp-\d+$")
# A clone's configuration that holds a credential: user information in an address, or a header that carries one.
_SECRET = re.compile(rb"url\s*=\s*[a-z+]+://[^/\s@]+@|extraheader\s*=\s*\S*authorization", re.IGNORECASE)
# modfetch/cache.go, tempFile: the file's name, a number, .tmp
_TMP_FILE = re.compile(r".+\.(?:zip|ziphash|info|mod)\d+\.tmp\Z|list\d+\.tmp\Z")
# What in a clone is read by whatever uses it, and what every fetch writes anew.
_READ = ("config", "HEAD")
# No version at all: never one of the newest.
_NO_RANK = 1 << 30
ARRIVAL = "arrival (the mount records no access times)"
ARRIVAL_AND_INDEX = "arrival and module index (the mount records no access times)"
_TOTALS = (
    "entries",
    "bytes",
    "allocated",
    "inodes",
    "modules",
    "versions",
    "trees",
    "zips",
    "trees_allocated",
    "downloads_allocated",
    "vcs_allocated",
    "sumdb_allocated",
    "unknown_trees",
)
_PARTS = ("info", "mod", "zip", "ziphash", "lock", "partial")


class _Sum(NamedTuple):
    """What lies below a directory.

    Apparent bytes, bytes and inodes that its removal gives back, why it must stay, the newest ctime in it, and whether
    all of it is what a go command of root leaves: directories and read-only regular files of root.
    """

    size: int
    freed: int
    inodes: int
    hold: int
    changed: int
    roots: bool


class _Tree(NamedTuple):
    """An extracted tree with what lies below it; ``read`` is when its go program was last started, where that shows."""

    path: str
    st: os.stat_result
    size: int
    freed: int
    inodes: int
    hold: int
    owner: int
    read: int = 0


class _Leftover(NamedTuple):
    path: str
    st: os.stat_result
    freed: int
    size: int
    inodes: int
    hold: int
    owner: int


class _Clone(NamedTuple):
    """A clone below cache/vcs; ``program`` is '' where it is not one that Go made."""

    name: str
    st: os.stat_result
    sums: _Sum
    used: int
    info: Optional[os.stat_result]
    program: str
    address: str


class _Version:
    """The files of one version in cache/download."""

    __slots__ = ("files", "folder", "name", "place", "tree")

    def __init__(self, folder: str, name: str, place: os.stat_result) -> None:
        self.folder = folder
        self.name = name
        self.place = place  # the stat of its @v folder
        self.files: Dict[str, os.stat_result] = {}
        self.tree: Optional[_Tree] = None

    @property
    def where(self) -> str:
        return "cache/download/%s/@v/%s" % (self.folder, self.name)


def _is_leftover(path: str) -> bool:
    """Whether a folder is named like a version's tree that an eviction, or Go before 1.16, had set aside."""
    match = _TMP_TREE.match(path)
    if match is None:
        return False
    folder, _at, name = match.group(1).rpartition("@")
    try:
        modpath.check(modpath.unescape_path(folder), modpath.unescape_version(name))
    except ValueError:
        return False
    return True


def survey(root: Root) -> Survey:
    """What is in the module cache at *root*; sizes in bytes, times in Unix nanoseconds."""
    look = _Look(root)
    look.run()
    return look.result()


def trees(seen: Survey) -> List[str]:
    """The extracted trees of known versions as paths below the cache's root: what an index may vote for."""
    return [_text(seen, row) for row in _tree_rows(seen)]


def vote(seen: Survey, newest: Mapping[str, int]) -> Survey:
    """The survey with the votes of module indexes: *newest* maps trees to Unix nanoseconds (modindex.votes).

    A vote can only make a version younger; that none was cast is no proof of disuse. The entries are changed in place.
    """
    entries = seen.entries
    groups: Dict[int, int] = {}
    for row in _tree_rows(seen):
        when = min(newest.get(_text(seen, row), 0), 2**63 - 1)
        if when > groups.get(entries.group[row], 0):
            groups[entries.group[row]] = when
    for row in range(len(entries)):
        entries.used[row] = max(entries.used[row], groups.get(entries.group[row], entries.used[row]))
    return seen._replace(evidence=ARRIVAL_AND_INDEX) if groups and seen.evidence == ARRIVAL else seen


def hold_running(seen: Survey, goroots: Collection[Tuple[int, int]]) -> Survey:
    """The survey with the toolchains held that running processes use: *goroots* are their (device, inode)."""
    entries = seen.entries
    for row in _tree_rows(seen):
        if (seen.cache.device, entries.inode[row]) in goroots and not entries.hold[row]:
            entries.hold[row] = _RUNNING
    return seen


def _tree_rows(seen: Survey) -> List[int]:
    entries = seen.entries
    return [row for row in range(len(entries)) if entries.tier[row] in (TREE, BARE) and entries.group[row] >= 0]


def _text(seen: Survey, row: int) -> str:
    return seen.entries.key(row).decode("utf-8", "surrogateescape")


def ranks(versions: List[Tuple[str, str]]) -> List[int]:
    """For each (module path, version) how many newer versions of its module there are; clones have no rank.

    The order is Go's (semver.Compare); toolchains are ordered by the version of Go for each platform.
    """
    names: Dict[Tuple[str, str], List[Tuple[Any, int]]] = {}
    found = [_NO_RANK] * len(versions)
    for number, (path, version) in enumerate(versions):
        if version == clones.VERSION:
            continue
        key: Any = modpath.sort_key(version)
        platform = ""
        parts = modpath.toolchain_parts(version) if path == TOOLCHAIN else None
        if parts is not None:
            key, platform = (modpath.go_version_key(parts[0]), version), parts[1]
        names.setdefault((path, platform), []).append((key, number))
    for rows in names.values():
        rows.sort(reverse=True)
        for rank, (_key, number) in enumerate(rows):
            found[number] = rank
    return found


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


class _Look:
    def __init__(self, root: Root) -> None:
        self.root = root
        self.totals: Dict[str, int] = dict.fromkeys(_TOTALS, 0)
        self.versions: Dict[str, _Version] = {}
        self.leftovers: List[_Leftover] = []
        self.damage: List[Dict[str, str]] = []
        self.unreached: List[Dict[str, Any]] = []
        self.vcs: List[Dict[str, Any]] = []
        self.clones: List[_Clone] = []
        self.origins: Dict[str, Set[str]] = {}
        self.unknown: List[_Tree] = []
        self.last = 0
        mount = mounts.by_id().get(root.mount)
        self.atime = mount is not None and mount.atime != "none"

    def _count(self, st: os.stat_result, part: str = "") -> None:
        blocks = st.st_blocks * 512
        totals = self.totals
        totals["inodes"] += 1
        totals["allocated"] += blocks
        if not stat.S_ISDIR(st.st_mode):
            totals["bytes"] += st.st_size
        if part:
            totals[part] += blocks

    def _open(self, name: str, dir_fd: int, path: str) -> int:
        try:
            fd = dirs.open_dir(name, dir_fd)
        except OSError as exc:
            self.unreached.append({"path": path, "why": os.strerror(exc.errno or 0)})
            return -1
        if not dirs.same_place(fd, self.root.mount, self.root.device):
            os.close(fd)
            self.damage.append({"path": path, "problem": "a mount inside the cache (never entered)"})
            return -1
        return fd

    def run(self) -> None:
        self._count(os.fstat(self.root.fd))
        cache = self._open("cache", self.root.fd, "cache")
        if cache >= 0:
            try:
                self._cache(cache)
            finally:
                os.close(cache)
        self._modules(self.root.fd, "", 0)
        self._owners()
        for version in self.versions.values():
            self._check(version)

    def _cache(self, fd: int) -> None:
        self._count(os.fstat(fd))
        # Clones first: only where there are any, the files of cache/download are asked for their modules.
        for name, st in sorted(dirs.entries(fd), key=lambda item: item[0] != "vcs"):
            if not stat.S_ISDIR(st.st_mode):
                self._count(st)
                continue
            if name == quarantine.NAME:
                continue
            child = self._open(name, fd, "cache/" + name)
            if child < 0:
                continue
            try:
                if name == "download":
                    self._download(child, "", 0)
                elif name == "vcs":
                    self._vcs(child)
                else:
                    self._measure(child, "cache/" + name, "")
            finally:
                os.close(child)

    # cache/download

    def _download(self, fd: int, path: str, depth: int) -> None:
        self._count(os.fstat(fd), "downloads_allocated")
        for name, st in dirs.entries(fd):
            where = name if not path else path + "/" + name
            if not stat.S_ISDIR(st.st_mode):
                self._count(st, "downloads_allocated")
                continue
            child = self._open(name, fd, "cache/download/" + where)
            if child < 0:
                continue
            try:
                if name == "@v":
                    self._files(child, path)
                elif name == "sumdb" and not path:
                    self._measure(child, "cache/download/sumdb", "sumdb_allocated")
                elif depth < _DEEPEST_MODULE:
                    self._download(child, where, depth + 1)
                else:
                    self.unreached.append({"path": "cache/download/" + where, "why": "deeper than any module path"})
            finally:
                os.close(child)

    def _files(self, fd: int, folder: str) -> None:
        place = os.fstat(fd)
        self._count(place, "downloads_allocated")
        for name, st in dirs.entries(fd):
            self._count(st, "downloads_allocated")
            path = "cache/download/%s/@v/%s" % (folder, name)
            if not stat.S_ISREG(st.st_mode):
                self.damage.append({"path": path, "problem": "no regular file"})
                continue
            stem, _dot, part = name.rpartition(".")
            if part not in ("lock", "partial"):  # an eviction may make these too
                self.last = max(self.last, st.st_mtime_ns)
            if part == "tmp":
                hold, owner = self._rights(st, place, _TMP_FILE.match(name) is not None)
                self.leftovers.append(_Leftover(path, st, dirs.freed_by_unlink(st), st.st_size, 1, hold, owner))
            elif stem and part in _PARTS:
                key = "%s@%s" % (folder, stem)
                version = self.versions.get(key)
                if version is None:
                    version = self.versions[key] = _Version(folder, stem, place)
                version.files[part] = st
                if part == "info" and self.clones:
                    self._origin(fd, name, folder)

    def _origin(self, fd: int, name: str, folder: str) -> None:
        """Notes which module comes from which repository."""
        try:
            address = clones.origin(dirs.read_small(name, fd, 8192))
            if address:
                self.origins.setdefault(address, set()).add(modpath.unescape_path(folder))
        except (OSError, ValueError):
            pass

    # whose rights an eviction needs

    def _rights(self, st: os.stat_result, folder: os.stat_result, roots: bool) -> Tuple[int, int]:
        """Hold and owner of a file or tree in *folder*.

        What somebody's ``sudo go`` left in another user's cache needs root: such a thing must be root's alone
        (*roots*, and no second hard link), or it is held; so it is where this process is not root, and could never take
        it. Nothing else of another owner is touched.
        """
        mine = self.root.uid
        if st.st_uid == mine:
            reached = folder.st_uid == mine or mine == 0 or bool(folder.st_mode & 0o022)
            return (0 if reached else _OWNER), 0
        if self._is_roots(st) and roots and folder.st_uid in (0, mine) and os.geteuid() == 0:
            return 0, 1
        return _OWNER, 0

    def _is_roots(self, st: Optional[os.stat_result]) -> bool:
        if st is None or st.st_uid != 0 or self.root.uid == 0:
            return False
        return stat.S_ISDIR(st.st_mode) or (stat.S_ISREG(st.st_mode) and st.st_nlink == 1)

    def _owners(self) -> None:
        """Holds what is root's but not proven to be a module's: only a go command of root writes root's .ziphash."""
        for version in self.versions.values():
            tree = version.tree
            if tree is not None and tree.owner and not self._is_roots(version.files.get("ziphash")):
                version.tree = tree._replace(hold=_OWNER, owner=0)
            elif tree is not None and not tree.owner and not tree.hold:
                # Its lock and its mark are files of the @v folder.
                version.tree = tree._replace(hold=self._rights(tree.st, version.place, False)[0])
        for number, left in enumerate(self.leftovers):
            match = _TMP_TREE.match(left.path)
            if left.owner and match is not None:
                known = self.versions.get(match.group(1))
                if known is None or not self._is_roots(known.files.get("ziphash")):
                    self.leftovers[number] = left._replace(hold=_OWNER, owner=0)

    # extracted trees

    def _modules(self, fd: int, path: str, depth: int) -> None:
        folder = os.fstat(fd)
        for name, st in dirs.entries(fd):
            if not path and name == "cache":
                continue
            where = name if not path else path + "/" + name
            if not stat.S_ISDIR(st.st_mode):
                self._count(st)
                if stat.S_ISLNK(st.st_mode):
                    self.damage.append({"path": where, "problem": "a symlink in the cache (never followed)"})
                continue
            child = self._open(name, fd, where)
            if child < 0:
                continue
            try:
                if "@" in name:
                    self._tree(child, where, st, folder)
                elif depth < _DEEPEST_MODULE:
                    self._count(st)
                    self._modules(child, where, depth + 1)
                else:
                    self.unreached.append({"path": where, "why": "deeper than any module path"})
            finally:
                os.close(child)

    def _tree(self, fd: int, path: str, st: os.stat_result, folder: os.stat_result) -> None:
        sums = self._measure(fd, path, "trees_allocated")
        hold, owner = self._rights(st, folder, sums.roots)
        hold = hold if hold == _OWNER else sums.hold
        if path not in self.versions and _is_leftover(path):
            self.leftovers.append(_Leftover(path, st, sums.freed, sums.size, sums.inodes, hold, owner))
            return
        read = 0
        if self.atime and path.startswith(TOOLCHAIN + "@"):
            read = self._started(fd)
        tree = _Tree(path, st, sums.size, sums.freed, sums.inodes, hold, owner, read)
        version = self.versions.get(path)
        if version is None:
            self.unknown.append(tree)
        else:
            version.tree = tree
        self.last = max(self.last, st.st_mtime_ns)

    @staticmethod
    def _started(fd: int) -> int:
        """When the go program of a toolchain was last read: starting it is reading it (execve(2))."""
        try:
            inner = dirs.open_dir("bin", fd)
        except OSError:
            return 0
        try:
            st = dirs.lstat_or_none("go", inner)
            return st.st_atime_ns if st is not None and stat.S_ISREG(st.st_mode) else 0
        finally:
            os.close(inner)

    def _measure(self, top: int, path: str, part: str, clone: bool = False) -> _Sum:
        """What lies below an open directory, without recursion; in a *clone* the files of a repository are at home."""
        own = os.fstat(top)
        self._count(own, part)
        mine = self.root.uid
        size, freed, inodes, hold, below = 0, own.st_blocks * 512, 1, 0, 0
        changed = own.st_ctime_ns
        roots = own.st_uid == 0 and mine != 0
        stack: List[Tuple[int, List[str]]] = [(top, dirs.names(top))]
        lstat = os.stat
        while stack:
            fd, names = stack[-1]
            if not names:
                stack.pop()
                if fd != top:
                    os.close(fd)
                continue
            name = names.pop()
            try:
                st = lstat(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                roots = False
                continue
            inodes += 1
            blocks = st.st_blocks * 512
            below += blocks
            if st.st_ctime_ns > changed:
                changed = st.st_ctime_ns
            if name[0] == ".":
                if name.startswith(NFS):
                    hold = _NETWORK
                elif name in _REPOSITORIES and not clone:  # a folder, or the file of a work tree or submodule
                    hold = hold or _REPOSITORY
            if stat.S_ISDIR(st.st_mode):
                freed += blocks
                if st.st_uid != mine:
                    # Of root's own trees those stay that are not root's alone, see _rights.
                    hold = hold or (0 if roots and st.st_uid == 0 else _OWNER)
                    roots = roots and st.st_uid == 0
                else:
                    roots = False
                child = self._open(name, fd, path) if len(stack) < _DEEPEST_TREE else -1
                if child < 0:
                    hold = _PART
                    continue
                stack.append((child, dirs.names(child)))
                continue
            if roots and (not self._is_roots(st) or st.st_mode & 0o222):
                roots = False
            size += st.st_size
            if st.st_nlink == 1:
                freed += blocks
        totals = self.totals
        totals["inodes"] += inodes - 1
        totals["allocated"] += below
        totals["bytes"] += size
        if part:
            totals[part] += below
        return _Sum(size, freed, inodes, hold, changed, roots)

    # version control clones

    def _vcs(self, fd: int) -> None:
        folder = os.fstat(fd)
        self._count(folder, "vcs_allocated")
        for name, st in dirs.entries(fd):
            if not stat.S_ISDIR(st.st_mode):
                self._count(st, "vcs_allocated")
                continue
            path = "cache/vcs/" + name
            child = self._open(name, fd, path)
            if child < 0:
                continue
            try:
                sums = self._measure(child, path, "vcs_allocated", clone=True)
                used = clone_used(child, self.atime)
                secret = False
                try:
                    secret = bool(_SECRET.search(dirs.read_small("config", child)))
                except OSError:
                    pass
            finally:
                os.close(child)
            hold = self._rights(st, folder, False)[0] or sums.hold
            if clones.is_leftover(name):
                self.leftovers.append(_Leftover(path, st, sums.freed, sums.size, sums.inodes, hold, 0))
                continue
            info = dirs.lstat_or_none(name + ".info", fd)
            text = self._info(fd, name + ".info", info)
            known = clones.parse_info(text)
            shown = mask(text) if known is not None else ""
            found = {"path": path, "remote": shown, "bytes": sums.freed}
            found["credentials"] = secret or (known is not None and shown != text)
            self.vcs.append(found)
            if len(name) != 64:
                continue  # no name that Go gives
            used = max(used, sums.changed)
            for part in (".info", ".lock"):
                file = dirs.lstat_or_none(name + part, fd)
                if file is not None:
                    used = max(used, file.st_mtime_ns, file.st_ctime_ns if part == ".info" else 0)
            program, address = known if known is not None and clones.is_gos(name, text) else ("", "")
            sums = sums._replace(hold=hold)
            self.clones.append(_Clone(name, st, sums, used, info, program, address))

    def _info(self, fd: int, name: str, st: Optional[os.stat_result]) -> str:
        """What Go noted of a clone; '' where the file is not what Go writes (it could be anybody's)."""
        if st is None or st.st_uid != self.root.uid or st.st_nlink != 1 or st.st_size > 4096:
            return ""
        try:
            text = dirs.read_small(name, fd, 4096).decode("utf-8", "surrogateescape")
        except OSError:
            return ""
        return text[:-1] if text.endswith("\n") else text

    # what it means

    def _check(self, version: _Version) -> None:
        files = version.files
        bad = None
        if "zip" in files and files["zip"].st_size == 0:
            bad = (".zip", "an empty zip: Go never downloads it again while it is there")
        elif "ziphash" in files and files["ziphash"].st_size != 47:
            bad = (".ziphash", "%d bytes instead of 47" % files["ziphash"].st_size)
        elif "info" in files and files["info"].st_size == 0:
            bad = (".info", "empty")
        elif "partial" in files and version.tree is not None:
            bad = (".partial", "an extraction that is running or was cut off")
        if bad is not None:
            self.damage.append({"path": version.where + bad[0], "problem": bad[1]})

    def _used(self, version: _Version) -> int:
        """The newest sign of use or arrival of a version (tar restores old mtimes, so ctime counts as arrival too)."""
        found = 0
        for part in ("ziphash", "zip", "partial"):
            st = version.files.get(part)
            if st is not None:
                found = max(found, st.st_mtime_ns, st.st_ctime_ns)
        marker = version.files.get("ziphash")
        if marker is not None and self.atime:
            found = max(found, marker.st_atime_ns)
        if version.tree is not None:
            found = max(found, version.tree.st.st_mtime_ns, version.tree.st.st_ctime_ns, version.tree.read)
        return found

    def _quarantined(self, entries: Entries) -> List[Dict[str, Any]]:
        try:
            cache = dirs.open_dir("cache", self.root.fd)
        except OSError:
            return []
        try:
            return quarantine.survey(cache, "cache/", self.root, entries, QUARANTINED, _OWNER)
        finally:
            os.close(cache)

    def result(self) -> Survey:
        root, entries = self.root, Entries()
        labels: List[str] = []
        named: List[Tuple[str, str]] = []
        sizes: Dict[str, int] = {}
        toolchains: List[Dict[str, Any]] = []
        modules = set()
        for key in sorted(self.versions):
            version = self.versions[key]
            try:
                module = modpath.unescape_path(version.folder)
                number = modpath.unescape_version(version.name)
            except ValueError:
                self.damage.append({"path": version.where, "problem": "not named like a module version"})
                continue
            label = modpath.label(module, number)
            modules.add(module)
            self.totals["versions"] += 1
            if version.tree is None and "zip" not in version.files:
                continue
            held = self._add(entries, version, len(labels))
            labels.append(label)
            named.append((module, number))
            sizes[label] = held
            if module == TOOLCHAIN:
                toolchains.append({"version": number, "bytes": held})
        for clone in sorted(self.clones, key=lambda item: item.name):
            self._add_clone(entries, clone, labels, named)
        for left in sorted(self.leftovers, key=lambda item: item.path):
            st = left.st
            used = max(st.st_mtime_ns, st.st_ctime_ns)
            row = entries.add(
                _bytes(left.path), LEFTOVER, 0, used, st.st_mtime_ns, st.st_ino, left.freed, left.size, left.inodes
            )
            entries.hold[row], entries.owner[row] = left.hold, left.owner
        for tree in sorted(self.unknown, key=lambda item: item.path):
            row = self._add_tree(entries, tree, TREE, max(tree.st.st_mtime_ns, tree.st.st_ctime_ns), -1)
            entries.hold[row] = entries.hold[row] or _UNKNOWN
        self.totals["modules"] = len(modules)
        self.totals["unknown_trees"] = len(self.unknown)
        quarantined = self._quarantined(entries)
        self.totals["quarantined"] = sum(item["bytes"] for item in quarantined)
        self.totals["entries"] = len(entries)
        biggest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:20]
        self.vcs.sort(key=lambda item: (-item["bytes"], item["path"]))
        details: Dict[str, Any] = {
            "quarantine": quarantined,
            "biggest": [{"module": label, "bytes": amount} for label, amount in biggest],
            "toolchains": toolchains,
            "vcs_clones": len(self.vcs),
            "vcs": self.vcs[:20],
            "credentials": sum(1 for item in self.vcs if item["credentials"]),
            "leftovers": len(self.leftovers),
            "unknown": sorted(tree.path for tree in self.unknown)[:20],
        }
        return Survey(
            CacheRef(KIND, root.path, root.given, root.uid, root.gid, root.device, root.inode),
            TIERS,
            HOLDS,
            labels,
            entries,
            GRAIN_RELATIME,
            "atime of .ziphash" if self.atime else ARRIVAL,
            MARGINS,
            self.last,
            self.totals,
            details,
            self.damage,
            self.unreached,
            None,
            ranks(named),
            ((root.uid, root.gid), (0, 0)) if any(entries.owner) else ((root.uid, root.gid),),
        )

    def _add(self, entries: Entries, version: _Version, group: int) -> int:
        files, tree = version.files, version.tree
        used = self._used(version)
        zipped = files.get("zip")
        held = 0
        row = -1
        if tree is not None:
            self.totals["trees"] += 1
            held += tree.freed
            row = self._add_tree(entries, tree, TREE if zipped is not None else BARE, used, group)
            if "ziphash" not in files and not entries.hold[row]:
                entries.hold[row] = _NO_HASH
        if zipped is not None:
            self.totals["zips"] += 1
            marker = files.get("ziphash")
            freed, files_gone = dirs.freed_by_unlink(zipped), 1
            held += freed
            if tree is None and marker is not None:  # while a tree is there its .ziphash stays
                freed += dirs.freed_by_unlink(marker)
                files_gone = 2
            zip_row = entries.add(
                _bytes(version.where + ".zip"),
                ZIP,
                0,
                used,
                zipped.st_mtime_ns,
                zipped.st_ino,
                freed,
                zipped.st_size,
                files_gone,
                group,
            )
            entries.waits[zip_row] = row
            hold, owner = self._rights(zipped, version.place, self._is_roots(marker))
            # What keeps a tree keeps what it could be made from.
            entries.hold[zip_row] = hold or (entries.hold[row] if row >= 0 else 0)
            entries.owner[zip_row] = owner
        return held

    def _add_clone(self, entries: Entries, clone: _Clone, labels: List[str], named: List[Tuple[str, str]]) -> None:
        label = ""
        if clone.program:
            label = clones.label_of(clone.program, clone.address, self.origins.get(clone.address, set()))
        group = -1
        if label:
            group = len(labels)
            labels.append(label)
            named.append((label.rpartition("@")[0], clones.VERSION))
        info = clone.info
        row = entries.add(
            _bytes("cache/vcs/" + clone.name),
            CLONE,
            0,
            clone.used,
            clone.st.st_mtime_ns,
            clone.st.st_ino,
            clone.sums.freed + (0 if info is None else dirs.freed_by_unlink(info)),
            clone.sums.size,
            clone.sums.inodes + (0 if info is None else 1),
            group,
        )
        entries.hold[row] = clone.sums.hold or (0 if label else _UNKNOWN_CLONE)

    def _add_tree(self, entries: Entries, tree: _Tree, tier: int, used: int, group: int) -> int:
        row = entries.add(
            _bytes(tree.path),
            tier,
            0,
            used,
            tree.st.st_mtime_ns,
            tree.st.st_ino,
            tree.freed,
            tree.size,
            tree.inodes,
            group,
        )
        entries.hold[row], entries.owner[row] = tree.hold, tree.owner
        return row


def clone_used(fd: int, atime: bool) -> int:
    """The newest sign of use at the top of a clone, Unix nanoseconds; *atime*: whether access times are recorded.

    Every operation reads ``config`` and ``HEAD``; what fetches writes ``FETCH_HEAD``, ``packed-refs`` or ``shallow``.
    """
    found = os.fstat(fd).st_mtime_ns
    for name, st in dirs.entries(fd):
        found = max(found, st.st_ctime_ns)
        if atime and name in _READ:
            found = max(found, st.st_atime_ns)
    return found
