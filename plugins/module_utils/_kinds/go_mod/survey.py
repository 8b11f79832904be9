# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Survey of a module cache: what is there of each version, when it was last used, and what does not fit together."""

from __future__ import annotations

import os
import re
import stat
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..._core.survey import CacheRef, Entries, Survey
from ..._fs import dirs, mounts
from ..._fs.identity import Root
from ..._go import modpath
from ..._go.mask import mask
from . import BARE, GRAIN_RELATIME, KIND, LEFTOVER, MARGINS, TIERS, TOOLCHAIN, TREE, ZIP

HOLDS = ("", "other owner", "unknown tree", "repository inside", "not reached whole", "no .ziphash")
_OWNER, _UNKNOWN, _REPOSITORY, _PART, _NO_HASH = range(1, 6)
_REPOSITORIES = frozenset((".git", ".hg", ".svn", ".bzr", ".jj"))
_DEEPEST_MODULE = 64
_DEEPEST_TREE = 512
_TMP_TREE = re.compile(r"^(.+@[^@]+)\.tmp-\d+$")
# A clone's configuration that holds a credential: user information in an address, or a header that carries one.
_SECRET = re.compile(rb"url\s*=\s*[a-z+]+://[^/\s@]+@|extraheader\s*=\s*\S*authorization", re.IGNORECASE)
# codehost.WorkDir writes one line: the kind of version control, sometimes with a number, and the address.
_CLONE = re.compile(r"(?:git|hg|svn|bzr|fossil)\d*:[^\s]+\Z")
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


class _Tree(NamedTuple):
    """An extracted tree: apparent bytes, bytes and inodes that its removal gives back, and why it must stay."""

    path: str
    st: os.stat_result
    size: int
    freed: int
    inodes: int
    hold: int


class _Version:
    """The files of one version in cache/download."""

    __slots__ = ("files", "folder", "name", "tree")

    def __init__(self, folder: str, name: str) -> None:
        self.folder = folder
        self.name = name
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


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


class _Look:
    def __init__(self, root: Root) -> None:
        self.root = root
        self.totals: Dict[str, int] = dict.fromkeys(_TOTALS, 0)
        self.versions: Dict[str, _Version] = {}
        self.leftovers: List[Tuple[str, os.stat_result, int, int, int, int]] = []
        self.damage: List[Dict[str, str]] = []
        self.unreached: List[Dict[str, Any]] = []
        self.vcs: List[Dict[str, Any]] = []
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
        for version in self.versions.values():
            self._check(version)

    def _cache(self, fd: int) -> None:
        self._count(os.fstat(fd))
        for name, st in dirs.entries(fd):
            if not stat.S_ISDIR(st.st_mode):
                self._count(st)
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
        self._count(os.fstat(fd), "downloads_allocated")
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
                hold = _OWNER if st.st_uid != self.root.uid else 0
                self.leftovers.append((path, st, dirs.freed_by_unlink(st), st.st_size, 1, hold))
            elif stem and part in _PARTS:
                key = "%s@%s" % (folder, stem)
                version = self.versions.get(key)
                if version is None:
                    version = self.versions[key] = _Version(folder, stem)
                version.files[part] = st

    # extracted trees

    def _modules(self, fd: int, path: str, depth: int) -> None:
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
                    self._tree(child, where, st)
                elif depth < _DEEPEST_MODULE:
                    self._count(st)
                    self._modules(child, where, depth + 1)
                else:
                    self.unreached.append({"path": where, "why": "deeper than any module path"})
            finally:
                os.close(child)

    def _tree(self, fd: int, path: str, st: os.stat_result) -> None:
        size, freed, inodes, hold = self._measure(fd, path, "trees_allocated")
        if st.st_uid != self.root.uid:
            hold = _OWNER
        if path not in self.versions and _is_leftover(path):
            self.leftovers.append((path, st, freed, size, inodes, hold))
            return
        tree = _Tree(path, st, size, freed, inodes, hold)
        version = self.versions.get(path)
        if version is None:
            self.unknown.append(tree)
        else:
            version.tree = tree
        self.last = max(self.last, st.st_mtime_ns)

    def _measure(self, top: int, path: str, part: str) -> Tuple[int, int, int, int]:
        """Bytes, bytes freed, inodes and a hold of everything below an open directory, without recursion."""
        own = os.fstat(top)
        self._count(own, part)
        size, freed, inodes, hold, below = 0, own.st_blocks * 512, 1, 0, 0
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
                continue
            inodes += 1
            blocks = st.st_blocks * 512
            below += blocks
            if name in _REPOSITORIES:  # a folder, or the file of a work tree or submodule
                hold = hold or _REPOSITORY
            if stat.S_ISDIR(st.st_mode):
                freed += blocks
                if st.st_uid != self.root.uid:
                    hold = hold or _OWNER
                child = self._open(name, fd, path) if len(stack) < _DEEPEST_TREE else -1
                if child < 0:
                    hold = _PART
                    continue
                stack.append((child, dirs.names(child)))
                continue
            size += st.st_size
            if st.st_nlink == 1:
                freed += blocks
        totals = self.totals
        totals["inodes"] += inodes - 1
        totals["allocated"] += below
        totals["bytes"] += size
        if part:
            totals[part] += below
        return size, freed, inodes, hold

    # version control clones

    def _vcs(self, fd: int) -> None:
        self._count(os.fstat(fd), "vcs_allocated")
        for name, st in dirs.entries(fd):
            if not stat.S_ISDIR(st.st_mode):
                self._count(st, "vcs_allocated")
                continue
            child = self._open(name, fd, "cache/vcs/" + name)
            if child < 0:
                continue
            try:
                _size, freed, _inodes, _hold = self._measure(child, "cache/vcs/" + name, "vcs_allocated")
                secret = False
                try:
                    secret = bool(_SECRET.search(dirs.read_small("config", child)))
                except OSError:
                    pass
            finally:
                os.close(child)
            url = self._remote(fd, name + ".info")
            shown = mask(url)
            found = {"path": "cache/vcs/" + name, "remote": shown, "bytes": freed}
            found["credentials"] = secret or shown != url
            self.vcs.append(found)

    def _remote(self, fd: int, name: str) -> str:
        """The address that a clone is of; '' where the file is not what Go writes (it could be anybody's)."""
        st = dirs.lstat_or_none(name, fd)
        if st is None or st.st_uid != self.root.uid or st.st_nlink != 1 or st.st_size > 4096:
            return ""
        try:
            text = dirs.read_small(name, fd, 4096).decode("utf-8", "replace").strip()
        except OSError:
            return ""
        return text if _CLONE.match(text) else ""

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
            found = max(found, version.tree.st.st_mtime_ns, version.tree.st.st_ctime_ns)
        return found

    def result(self) -> Survey:
        root, entries = self.root, Entries()
        labels: List[str] = []
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
            sizes[label] = held
            if module == TOOLCHAIN:
                toolchains.append({"version": number, "bytes": held})
        for path, st, freed, size, inodes, hold in sorted(self.leftovers, key=lambda item: item[0]):
            used = max(st.st_mtime_ns, st.st_ctime_ns)
            row = entries.add(_bytes(path), LEFTOVER, 0, used, st.st_mtime_ns, st.st_ino, freed, size, inodes)
            entries.hold[row] = hold
        for tree in sorted(self.unknown, key=lambda item: item.path):
            row = self._add_tree(entries, tree, TREE, max(tree.st.st_mtime_ns, tree.st.st_ctime_ns), -1)
            entries.hold[row] = entries.hold[row] or _UNKNOWN
        self.totals["modules"] = len(modules)
        self.totals["unknown_trees"] = len(self.unknown)
        self.totals["entries"] = len(entries)
        biggest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:20]
        self.vcs.sort(key=lambda item: (-item["bytes"], item["path"]))
        details: Dict[str, Any] = {
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
            "atime of .ziphash" if self.atime else "arrival (the mount records no access times)",
            MARGINS,
            self.last,
            self.totals,
            details,
            self.damage,
            self.unreached,
            None,
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
            freed = dirs.freed_by_unlink(zipped) + (0 if marker is None else dirs.freed_by_unlink(marker))
            held += freed
            zip_row = entries.add(
                _bytes(version.where + ".zip"),
                ZIP,
                0,
                used,
                zipped.st_mtime_ns,
                zipped.st_ino,
                freed,
                zipped.st_size,
                1 if marker is None else 2,
                group,
            )
            entries.waits[zip_row] = row
            if zipped.st_uid != self.root.uid:
                entries.hold[zip_row] = _OWNER
        return held

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
        entries.hold[row] = tree.hold
        return row
