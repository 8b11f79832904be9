# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Survey of a build cache: stat of every entry, nothing is opened but directories and two small text files."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from bisect import bisect_left
from typing import Any, Dict, List, Optional

from ..._core.survey import SECOND, CacheRef, Entries, Survey
from ..._fs import dirs
from ..._fs.identity import Root
from . import (
    ACTION,
    ACTION_SIZE,
    ENTRY,
    EXECUTABLE,
    GRAIN,
    KIND,
    LEFT,
    LEFTOVER,
    MARGINS,
    OUTPUT,
    OWN,
    SHARD,
    TIERS,
)

_HOLDS = ("", "other owner", "findings not readable")
_OTHER_OWNER, _UNREADABLE = 1, 2
_DEEPEST = 256
_FIRST = 1483228800 * SECOND  # 2017; the build cache came with Go 1.10 in 2018
# putIndexEntry: "v1", action, output, size and time.
ACTION_TEXT = re.compile(rb"v1 [0-9a-f]{64} [0-9a-f]{64} [ \d]{20} [ \d]{20}\n\Z")
# Outputs that Go treats as part of a hit when they are there and as empty when they are not, under a key that is
# computed from the main entry's: cmd/go/internal/cache/hash.go (Subkey), work/exec.go (vet: stdout, fix.zip) and
# work/buildid.go (stdout, link-stdout). Lost alone, they take findings with them silently.
_DEPENDENT = (b"stdout", b"fix.zip", b"link-stdout")


def survey(root: Root) -> Survey:
    """What is in the build cache at *root*; sizes in bytes, times in Unix nanoseconds."""
    look = _Look(root)
    look.run()
    return look.result()


def _shown(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _used(st: os.stat_result) -> int:
    """The last use; the arrival where the time stamp is older than Go's build cache itself (images, archives)."""
    return st.st_mtime_ns if st.st_mtime_ns >= _FIRST else st.st_ctime_ns


class _Look:
    def __init__(self, root: Root) -> None:
        self.root = root
        self.entries = Entries()
        self.totals: Dict[str, int] = dict.fromkeys(
            ("entries", "bytes", "allocated", "inodes", "actions", "outputs", "executables", "foreign"), 0
        )
        self.damage: List[Dict[str, str]] = []
        self.unreached: List[Dict[str, Any]] = []
        self.fuzz: List[Dict[str, Any]] = []
        self.last = 0

    def run(self) -> None:
        self._own(os.fstat(self.root.fd))
        for name, st in dirs.entries(self.root.fd):
            if SHARD.match(name):
                if stat.S_ISDIR(st.st_mode):
                    self._shard(name)
                else:
                    self._own(st)
                    self.damage.append({"path": name, "problem": "a shard that is no directory (never entered)"})
                continue
            if name not in OWN:
                self.totals["foreign"] += 1
            if stat.S_ISDIR(st.st_mode):
                self._below(name)
                continue
            self._own(st)
            if name == "trim.txt":
                self.last = max(self.last, st.st_mtime_ns, self._trim_time())

    def _own(self, st: os.stat_result) -> None:
        self.totals["inodes"] += 1
        self.totals["allocated"] += st.st_blocks * 512
        if not stat.S_ISDIR(st.st_mode):
            self.totals["bytes"] += st.st_size

    def _trim_time(self) -> int:
        try:
            text = dirs.read_small("trim.txt", self.root.fd, 64).strip()
            moment = int(text) * SECOND if text.isdigit() else 0
            return moment if moment < time.time_ns() + 86400 * SECOND else 0  # nonsense dates no build
        except OSError:
            return 0

    def _open(self, name: str, dir_fd: int) -> int:
        try:
            fd = dirs.open_dir(name, dir_fd)
        except OSError as exc:
            self.unreached.append({"path": _shown(name), "why": os.strerror(exc.errno or 0)})
            return -1
        if not dirs.same_place(fd, self.root.mount, self.root.device):
            os.close(fd)
            self.damage.append({"path": _shown(name), "problem": "a mount inside the cache (never entered)"})
            return -1
        return fd

    def _shard(self, shard: str) -> None:
        fd = self._open(shard, self.root.fd)
        if fd < 0:
            return
        try:
            own = os.fstat(fd)
            # The folder's own time is no sign of a build: an eviction changes it too.
            self._own(own)
            hold = _OTHER_OWNER if own.st_uid != self.root.uid else 0
            add, match, lstat = self.entries.add, ENTRY.match, os.stat
            prefix = shard + "/"
            totals = self.totals
            for name in os.listdir(fd):
                try:
                    st = lstat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as exc:
                    self.unreached.append({"path": _shown(prefix + name), "why": os.strerror(exc.errno or 0)})
                    continue
                mode = st.st_mode
                if LEFT.match(name) and stat.S_ISREG(mode):
                    self._own(st)
                    row = add(
                        (prefix + name).encode(),
                        LEFTOVER,
                        0,
                        st.st_mtime_ns,
                        st.st_mtime_ns,
                        st.st_ino,
                        dirs.freed_by_unlink(st),
                        st.st_size,
                    )
                    self.entries.hold[row] = hold
                    continue
                if match(name) is None or name[:2] != shard or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    self._foreign(prefix + name, st)
                    continue
                used = _used(st)
                if stat.S_ISDIR(mode):
                    self._executable(prefix + name, fd, name, st, hold)
                    continue
                blocks = st.st_blocks * 512
                totals["inodes"] += 1
                totals["allocated"] += blocks
                totals["bytes"] += st.st_size
                action = name[65] == "a"
                row = add(
                    (prefix + name).encode(),
                    ACTION if action else OUTPUT,
                    0 if action else 2,
                    used,
                    st.st_mtime_ns,
                    st.st_ino,
                    blocks if st.st_nlink == 1 else 0,
                    st.st_size,
                )
                if action:
                    totals["actions"] += 1
                    if st.st_size != ACTION_SIZE:
                        self.damage.append({"path": prefix + name, "problem": "an action of %d bytes" % st.st_size})
                else:
                    totals["outputs"] += 1
                if hold:
                    self.entries.hold[row] = hold
                if used > self.last:
                    self.last = used
        finally:
            os.close(fd)

    def _foreign(self, path: str, st: os.stat_result) -> None:
        self._own(st)
        self.totals["foreign"] += 1
        if stat.S_ISLNK(st.st_mode):
            self.damage.append({"path": _shown(path), "problem": "a symlink inside a shard (never followed)"})

    def _executable(self, path: str, shard_fd: int, name: str, st: os.stat_result, hold: int) -> None:
        # PutExecutable: a directory named like an output with exactly one file in it; markUsed dates the directory.
        fd = self._open(name, shard_fd)
        if fd < 0:
            return
        try:
            self._own(st)
            size = inodes = 0
            freed = st.st_blocks * 512
            plain = name.endswith("-d")
            for _inner, inner in dirs.entries(fd):
                self._own(inner)
                plain = plain and stat.S_ISREG(inner.st_mode)
                size += inner.st_size
                freed += dirs.freed_by_unlink(inner)
                inodes += 1
            if not plain or inodes > 1:  # an empty one is what a killed eviction leaves
                self.totals["foreign"] += 1
                self.damage.append({"path": _shown(path), "problem": "a folder that is no cached executable (kept)"})
                return
            row = self.entries.add(
                path.encode(), EXECUTABLE, 2, _used(st), st.st_mtime_ns, st.st_ino, freed, size, inodes + 1
            )
            self.entries.hold[row] = hold
            self.totals["executables"] += 1
            self.last = max(self.last, _used(st))
        finally:
            os.close(fd)

    def _below(self, top_name: str) -> None:
        """Counts everything below a folder that is no shard; of the fuzz corpora also what each of them holds."""
        top = self._open(top_name, self.root.fd)
        if top < 0:
            return
        stack = [(top_name, top, iter(dirs.names(top)))]
        self._own(os.fstat(top))
        sums: Dict[str, List[int]] = {}
        try:
            while stack:
                path, fd, names = stack[-1]
                name = next(names, None)
                if name is None:
                    os.close(stack.pop()[1])
                    continue
                st = dirs.lstat_or_none(name, fd)
                if st is None:
                    continue
                self._own(st)
                if not stat.S_ISDIR(st.st_mode):
                    cell = sums.setdefault(path, [0, 0])
                    cell[0] += 1
                    cell[1] += st.st_size
                elif len(stack) >= _DEEPEST:
                    self.unreached.append(
                        {"path": _shown(path + "/" + name), "why": "deeper than %d folders" % _DEEPEST}
                    )
                else:
                    child = self._open(name, fd)
                    if child >= 0:
                        stack.append((path + "/" + name, child, iter(dirs.names(child))))
        finally:
            for _path, fd, _names in stack:
                os.close(fd)
        if top_name == "fuzz":
            for path, (files, size) in sums.items():
                self.fuzz.append({"target": _shown(path[len("fuzz/") :]), "inputs": files, "bytes": size})

    def result(self) -> Survey:
        root = self.root
        self.totals["entries"] = len(self.entries)
        self.fuzz.sort(key=lambda item: (-item["bytes"], item["target"]))
        details: Dict[str, Any] = {
            "fuzz_corpora": len(self.fuzz),
            "fuzz_bytes": sum(item["bytes"] for item in self.fuzz),
            "fuzz": self.fuzz[:20],
        }
        return Survey(
            CacheRef(KIND, root.path, root.given, root.uid, root.gid, root.device, root.inode),
            TIERS,
            _HOLDS,
            [],
            self.entries,
            GRAIN,
            "mtime",
            MARGINS,
            self.last,
            self.totals,
            details,
            self.damage,
            self.unreached,
            None,
        )


def link(seen: Survey) -> None:
    """Ties each output that Go only adds to a hit (the findings of vet, a compiler's messages) to its main entry.

    The findings of ``go vet`` lie under an action of their own; with the facts present and the findings gone, vet
    reports success. Their key is SHA-256 of the facts' key and a word, so the pair can be computed without opening a
    file. The findings then go only after the facts, and count as used when the facts were.

    The same holds for the output that a findings' action names, and there the times say nothing: Go does not date an
    output anew when it stores the same content again (cache.go, copyFile), so it may be months older than the action
    of an hour ago. These few actions are read, without touching their access times, and the output goes after them.
    """
    entries = seen.entries
    pairs = sorted(
        (int(entries.key(row)[3:35], 16) << 32) | row for row in range(len(entries)) if entries.tier[row] == ACTION
    )
    sha256 = hashlib.sha256
    findings: List[int] = []
    for pair in pairs:
        row = pair & 0xFFFFFFFF
        parent = bytes.fromhex(entries.key(row)[3:67].decode())
        for word in _DEPENDENT:
            name = sha256(b"subkey:" + parent + word).hexdigest()
            found = _find(pairs, entries, name)
            if found is not None:
                entries.guard[found] = row
                entries.phase[found] = 1
                entries.used[found] = max(entries.used[found], entries.used[row])
                findings.append(found)
    _link_outputs(seen, findings)


def _link_outputs(seen: Survey, findings: List[int]) -> None:
    named = _outputs_of(seen, findings)
    entries = seen.entries
    for row in range(len(entries)):
        if entries.tier[row] != OUTPUT:
            continue
        if named is None:
            entries.hold[row] = entries.hold[row] or _UNREADABLE
            continue
        for finding in named.get(entries.key(row)[3:67], ()):
            other = entries.guard[row]
            if other >= 0:
                # Only one of them can be looked for right before the eviction: the others must have gone by then.
                entries.waits[row] = other
            if other < 0 or entries.used[finding] > entries.used[other]:
                entries.guard[row] = finding
            entries.used[row] = max(entries.used[row], entries.used[finding])


def _outputs_of(seen: Survey, findings: List[int]) -> Optional[Dict[bytes, List[int]]]:
    """The findings' rows by the output that each names; None where that cannot be told, so that no output may go."""
    named: Dict[bytes, List[int]] = {}
    if not findings:
        return named
    entries = seen.entries
    try:
        root = dirs.open_path(seen.cache.path)
    except OSError:
        return None
    shards: Dict[str, int] = {}
    try:
        if (root.st.st_dev, root.st.st_ino) != (seen.cache.device, seen.cache.inode):
            return None
        for row in sorted(findings, key=entries.key):
            shard, _slash, name = entries.key(row).decode().partition("/")
            try:
                if shard not in shards:
                    shards[shard] = dirs.open_dir(shard, root.fd)
                data = dirs.read_small(name, shards[shard], ACTION_SIZE)
            except dirs.CannotLook:
                return None
            except OSError:
                continue  # what we cannot read Go cannot read either: it makes both anew
            if ACTION_TEXT.match(data) and int(data[133:153]):
                named.setdefault(data[68:132], []).append(row)
        return named
    finally:
        for fd in shards.values():
            os.close(fd)
        os.close(root.fd)


def _find(pairs: List[int], entries: Entries, name: str) -> Optional[int]:
    wanted = int(name[:32], 16)
    at = bisect_left(pairs, wanted << 32)
    while at < len(pairs) and pairs[at] >> 32 == wanted:
        row = pairs[at] & 0xFFFFFFFF
        if entries.key(row)[3:67] == name.encode():
            return row
        at += 1
    return None
