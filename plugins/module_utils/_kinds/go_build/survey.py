# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Survey of a build cache: stat of every entry, nothing is opened but directories and two small text files."""

from __future__ import annotations

import marshal
import os
import re
import resource
import stat
import struct
import threading
import time
from array import array
from itertools import compress
from typing import IO, Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..._core import pool
from ..._core.survey import SECOND, CacheRef, Entries, Survey
from ..._fs import dirs, errand
from ..._fs.identity import Root
from .. import quarantine
from . import (
    ACTION,
    ACTION_SIZE,
    ASIDE,
    DEPENDENT,
    ENTRY,
    EXECUTABLE,
    GRAIN,
    KIND,
    LEFT,
    LEFTOVER,
    MARGINS,
    OUTPUT,
    OWN,
    QUARANTINED,
    SHARD,
    TIERS,
)

_HOLDS = ("", "other owner", "findings not readable")
_OTHER_OWNER, _UNREADABLE = 1, 2
_AS_ROOT = 128  # no hold, but a mark of what only root may remove
_DEEPEST = 256
_FIRST = 1483228800 * SECOND  # 2017; the build cache came with Go 1.10 in 2018
_LATEST = 2**63 - 1
_TYPE, _REGULAR = 0o170000, stat.S_IFREG
# What an entry's key ends with; an action, an output or executable, a leftover.
SUFFIXES = (b"-a", b"-d", b"-d" + ASIDE.encode())
_A = ord("a")
_CODES = bytes.maketrans(b"ad", bytes((0, 1)))
_FILE_TIERS = bytes.maketrans(b"ad", bytes((ACTION, OUTPUT)))
_FILE_PHASES = bytes.maketrans(b"ad", bytes((0, 2)))
# Files from which on a second process helps, and the threads of each: one waits for the disk, another one computes.
_LARGE = 20_000
_THREADS = 4
_SAMPLE = 8
_SIZE = struct.Struct("@Q")
# Actions from which on two processes compute their dependents' keys, and how many are computed at once.
_MANY = 10_000
_AT_ONCE = 4096
# putIndexEntry: "v1", action, output, size and time.
ACTION_TEXT = re.compile(rb"v1 [0-9a-f]{64} [0-9a-f]{64} [ \d]{20} [ \d]{20}\n\Z")


def survey(root: Root) -> Survey:
    """What is in the build cache at *root*; sizes in bytes, times in Unix nanoseconds."""
    look = _Look(root)
    look.run()
    return look.result()


def _shown(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def times(values: Sequence[int]) -> array[int]:
    """Nanoseconds as a column of entries; years that no nanosecond counter knows are cut to the last that it does."""
    try:
        return array("q", values)
    except OverflowError:
        return array("q", [max(-_LATEST, min(value, _LATEST)) for value in values])


def _packed(shard: str, names: List[str]) -> Optional[Tuple[bytes, bytes]]:
    """The digests of entries' names one after the other and their last letters; None where one is no entry's name.

    Looks at all names at once, each 66 characters long.
    """
    text = "".join(names)
    try:
        data = text.encode("ascii")
        digests = bytes.fromhex("".join([name[:64] for name in names]))
    except ValueError:
        return None
    count = len(names)
    kinds = data[65::66]
    sound = (
        len(digests) == 32 * count  # fromhex skips blanks
        and data == data.lower()
        and data[0::66] == shard[:1].encode() * count
        and data[1::66] == shard[1:].encode() * count
        and data[64::66] == b"-" * count
        and kinds.count(b"a") + kinds.count(b"d") == count
    )
    return (digests, kinds) if sound else None


def _used(st: os.stat_result) -> int:
    """The last use; the arrival where the time stamp is older than Go's build cache itself (images, archives)."""
    return st.st_mtime_ns if st.st_mtime_ns >= _FIRST else st.st_ctime_ns


class _Part:
    """What was seen in one part of a cache; what ``data`` returns can be sent to another process."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.totals: Dict[str, int] = dict.fromkeys(
            ("bytes", "allocated", "inodes", "actions", "outputs", "executables", "foreign"), 0
        )
        self.damage: List[Dict[str, str]] = []
        self.unreached: List[Dict[str, Any]] = []
        # Arguments of Entries.add, each with the hold, and of Entries.add_many.
        self.rows: List[Tuple[Tuple[Any, ...], int]] = []
        self.many: List[Tuple[Any, ...]] = []
        self.last = 0

    def data(self) -> Tuple[Any, ...]:
        """All of it as plain data."""
        return self.totals, self.damage, self.unreached, self.rows, self.many, self.last

    def _own(self, st: os.stat_result) -> None:
        self.totals["inodes"] += 1
        self.totals["allocated"] += st.st_blocks * 512
        if not stat.S_ISDIR(st.st_mode):
            self.totals["bytes"] += st.st_size

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

    def shard(self, shard: str) -> None:
        """Looks at everything in one shard folder."""
        fd = self._open(shard, self.root.fd)
        if fd < 0:
            return
        try:
            own = os.fstat(fd)
            # The folder's own time is no sign of a build: an eviction changes it too.
            self._own(own)
            # Where root has built with the user's cache, root's rights are needed; for others' folders nobody's are.
            hold = 0 if own.st_uid == self.root.uid else _AS_ROOT if own.st_uid == os.geteuid() == 0 else _OTHER_OWNER
            names, stats = self._listed(shard, fd)
            others: List[Tuple[str, os.stat_result]] = []
            if any(mode & _TYPE != _REGULAR for mode in {st[0] for st in stats}) or set(map(len, names)) - {66}:
                every, names, stats = list(zip(names, stats)), [], []
                for name, st in every:
                    if st[0] & _TYPE == _REGULAR and len(name) == 66:
                        names.append(name)
                        stats.append(st)
                    else:
                        others.append((name, st))
            packed = _packed(shard, names)
            if packed is None:  # something among them only looks like an entry
                strange = [at for at, name in enumerate(names) if ENTRY.match(name) is None or name[:2] != shard]
                others += [(names[at], stats[at]) for at in strange]
                for at in reversed(strange):
                    del names[at], stats[at]
                packed = _packed(shard, names)
            if packed is not None and names:
                self._files(shard, names, stats, packed, hold)
            for name, st in others:
                self._other(shard, name, st, fd, hold)
        finally:
            os.close(fd)

    def _listed(self, shard: str, fd: int) -> Tuple[List[str], List[os.stat_result]]:
        """The names in a shard that are still there, and each one's own stat."""
        try:
            with os.scandir(fd) as listing:
                found = list(listing)
            return [entry.name for entry in found], [entry.stat(follow_symlinks=False) for entry in found]
        except OSError:
            pass  # one by one, to leave out what has vanished, and to tell of what cannot be looked at
        names: List[str] = []
        stats: List[os.stat_result] = []
        for name in os.listdir(fd):
            try:
                st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as exc:
                self.unreached.append({"path": _shown(shard + "/" + name), "why": os.strerror(exc.errno or 0)})
                continue
            names.append(name)
            stats.append(st)
        return names, stats

    def _files(
        self, shard: str, names: List[str], stats: List[os.stat_result], packed: Tuple[bytes, bytes], hold: int
    ) -> None:
        digests, kinds = packed
        mtime = [st.st_mtime_ns for st in stats]
        used = mtime if min(mtime) >= _FIRST else [_used(st) for st in stats]
        size = [st[6] for st in stats]
        blocks = [st.st_blocks * 512 for st in stats]
        actions = kinds.count(b"a")
        totals = self.totals
        totals["inodes"] += len(names)
        totals["allocated"] += sum(blocks)
        totals["bytes"] += sum(size)
        totals["actions"] += actions
        totals["outputs"] += len(names) - actions
        newest = max(used)
        self.last = max(self.last, newest)
        if max(st[3] for st in stats) > 1:
            blocks = [amount if st[3] == 1 else 0 for amount, st in zip(blocks, stats)]
        self.many.append(
            (
                digests,
                kinds.translate(_CODES),
                kinds.translate(_FILE_TIERS),
                kinds.translate(_FILE_PHASES),
                times(used).tobytes(),
                times(mtime).tobytes(),
                array("Q", [st[1] for st in stats]).tobytes(),
                array("q", blocks).tobytes(),
                array("q", size).tobytes(),
                hold,
            )
        )
        for name, amount, kind in zip(names, size, kinds):
            if kind == _A and amount != ACTION_SIZE:
                self.damage.append({"path": "%s/%s" % (shard, name), "problem": "an action of %d bytes" % amount})

    def _other(self, shard: str, name: str, st: os.stat_result, fd: int, hold: int) -> None:
        path = shard + "/" + name
        if LEFT.match(name) and stat.S_ISREG(st.st_mode):
            self._own(st)
            freed = dirs.freed_by_unlink(st)
            row = (path.encode(), LEFTOVER, 0, st.st_mtime_ns, st.st_mtime_ns, st.st_ino, freed, st.st_size)
            self.rows.append((row, hold))
        elif stat.S_ISDIR(st.st_mode) and ENTRY.match(name) and name[:2] == shard:
            self._executable(path, fd, name, st, hold)
        else:
            self._foreign(path, st)

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
            row = (path.encode(), EXECUTABLE, 2, _used(st), st.st_mtime_ns, st.st_ino, freed, size, inodes + 1)
            self.rows.append((row, hold))
            self.totals["executables"] += 1
            self.last = max(self.last, _used(st))
        finally:
            os.close(fd)


class _Look(_Part):
    def __init__(self, root: Root) -> None:
        super().__init__(root)
        self.entries = Entries(SUFFIXES)
        self.quarantined: List[Dict[str, Any]] = []
        self.fuzz: List[Dict[str, Any]] = []

    def run(self) -> None:
        self._own(os.fstat(self.root.fd))
        shards = []
        for name, st in dirs.entries(self.root.fd):
            if SHARD.match(name):
                if stat.S_ISDIR(st.st_mode):
                    shards.append(name)
                else:
                    self._own(st)
                    self.damage.append({"path": name, "problem": "a shard that is no directory (never entered)"})
                continue
            if name not in OWN:
                self.totals["foreign"] += 1
            if stat.S_ISDIR(st.st_mode):
                if name != quarantine.NAME:
                    self._below(name)
                continue
            self._own(st)
            if name == "trim.txt":
                self.last = max(self.last, st.st_mtime_ns, self._trim_time())
        shards.sort()  # so that the rows have one order, whoever looks at them
        other = _helper(self.root, shards)
        try:
            seen = _in_threads(self.root, shards, _always if other is None else other.may, self._add)
            rest = shards[seen:] if other is None else other.finish(seen, self._add)
        finally:
            if other is not None:
                other.end()
        _in_threads(self.root, rest, _always, self._add)
        self.quarantined = quarantine.survey(self.root.fd, "", self.root, self.entries, QUARANTINED, _OTHER_OWNER)

    def _add(self, data: Tuple[Any, ...]) -> None:
        totals, damage, unreached, rows, many, last = data
        for name, amount in totals.items():
            self.totals[name] += amount
        self.damage += damage
        self.unreached += unreached
        self.last = max(self.last, last)
        entries = self.entries
        for digests, codes, tier, phase, used, mtime, inode, freed, size, hold in many:
            begin = len(entries)
            entries.add_many(digests, codes, tier, phase, used, mtime, inode, freed, size, hold % _AS_ROOT)
            if hold == _AS_ROOT:
                entries.owner[begin:] = array("B", (1,)) * len(codes)
        for row, hold in rows:
            at = entries.add(*row)
            entries.hold[at], entries.owner[at] = hold % _AS_ROOT, hold // _AS_ROOT

    def _trim_time(self) -> int:
        try:
            text = dirs.read_small("trim.txt", self.root.fd, 64).strip()
            moment = int(text) * SECOND if text.isdigit() else 0
            return moment if moment < time.time_ns() + 86400 * SECOND else 0  # nonsense dates no build
        except OSError:
            return 0

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
        quarantined = sum(item["bytes"] for item in self.quarantined)
        self.totals = dict(self.totals, entries=len(self.entries), quarantined=quarantined)
        self.fuzz.sort(key=lambda item: (-item["bytes"], item["target"]))
        details: Dict[str, Any] = {
            "fuzz_corpora": len(self.fuzz),
            "fuzz_bytes": sum(item["bytes"] for item in self.fuzz),
            "fuzz": self.fuzz[:20],
            "quarantine": self.quarantined,
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
            owners=((root.uid, root.gid), (0, 0)),
        )


def _is_large(root: Root, shards: Sequence[str]) -> bool:
    """Whether a second process pays: some milliseconds for what is as quick to look at alone."""
    if len(shards) < 2 or not errand.pays():
        return False
    try:
        fd = dirs.open_dir(shards[0], root.fd)
    except OSError:
        return False
    try:
        return len(dirs.names(fd)) * len(shards) >= _LARGE
    finally:
        os.close(fd)


def _in_threads(
    root: Root, shards: Sequence[str], may: Callable[[], bool], take: Callable[[Tuple[Any, ...]], None]
) -> int:
    """Looks at *shards* while it *may*, and hands what each holds to *take*, in their order, never two at a time.

    Returns how many it has looked at.
    """
    lock = threading.Lock()
    done: Dict[int, Tuple[Any, ...]] = {}
    state = {"begun": 0, "taken": 0}

    def look() -> bool:
        with lock:
            at = state["begun"]
            if at >= len(shards) or not may():
                return False
            state["begun"] += 1
        part = _Part(root)
        part.shard(shards[at])
        with lock:
            done[at] = part.data()
            while state["taken"] in done:
                take(done.pop(state["taken"]))
                state["taken"] += 1
        return True

    # Threads only where the disk is waited for: what lies in memory is looked at faster without them.
    waits = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    if all(look() for _number in range(_SAMPLE)):
        waits = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - waits
        pool.together(look, _THREADS if waits > 2 * _SAMPLE else 1)
    return state["taken"]


def _always() -> bool:
    return True


class _Helper:
    """A second process that looks at the shards from the last on, and notes what it saw.

    Both processes ask :meth:`may` before each one, so that they meet somewhere, and none is looked at twice. Raises
    OSError where no process can be had.
    """

    def __init__(self, root: Root, shards: List[str]) -> None:
        self.shards = shards
        self._leave, end = os.pipe()  # as many bytes as there are shards; who reads one may look at one
        os.write(end, bytes(len(shards)))
        os.close(end)
        try:
            self._errand = errand.Errand(
                lambda notes: _in_threads(root, shards[::-1], self.may, lambda data: _put(notes, data))
            )
        except BaseException:
            os.close(self._leave)
            raise

    def may(self) -> bool:
        """Whether one more shard is left for whoever asks."""
        return bool(os.read(self._leave, 1))

    def finish(self, seen: int, take: Callable[[Tuple[Any, ...]], None]) -> List[str]:
        """Hands on what the other process saw, all but the *seen* first shards; returns those that it did not get to:
        all or none of them.
        """
        left = self.shards[seen:]
        notes = self._errand.found()
        if notes is None:
            return left
        end = notes.seek(0, os.SEEK_END)
        for _shard in left:
            (size,) = _SIZE.unpack(os.pread(notes.fileno(), _SIZE.size, end - _SIZE.size))
            end -= _SIZE.size + size
            take(marshal.loads(os.pread(notes.fileno(), size, end)))
        return []

    def end(self) -> None:
        """Ends the other process where nobody waits for it any more."""
        os.close(self._leave)
        self._errand.end()


def _helper(root: Root, shards: List[str]) -> Optional[_Helper]:
    """A second process, where it pays and can be had."""
    try:
        return _Helper(root, shards) if _is_large(root, shards) else None
    except OSError:
        return None


def _put(handle: IO[bytes], data: Tuple[Any, ...]) -> None:
    """Writes something down that is read from its end."""
    words = marshal.dumps(data)
    handle.write(words)
    handle.write(_SIZE.pack(len(words)))


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
    findings: List[int] = []
    for row, found in _dependents(entries):
        entries.guard[found] = row
        entries.phase[found] = 1
        entries.used[found] = max(entries.used[found], entries.used[row])
        findings.append(found)
    _link_outputs(seen, findings)


def _link_outputs(seen: Survey, findings: List[int]) -> None:
    named = _outputs_of(seen, findings)
    if named is not None and not named:
        return
    entries = seen.entries
    for row in range(len(entries)):
        if entries.tier[row] != OUTPUT:
            continue
        if named is None:
            entries.hold[row] = entries.hold[row] or _UNREADABLE
            continue
        for finding in named.get(entries.digest(row), ()):
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
                named.setdefault(bytes.fromhex(data[68:132].decode()), []).append(row)
        return named
    finally:
        for fd in shards.values():
            os.close(fd)
        os.close(root.fd)


def _dependents(entries: Entries) -> List[Tuple[int, int]]:
    """The rows of actions, each with the row of an action that hangs on it, in the order of the former.

    Nearly all of the computed keys are not there: a table over the first bits of those that are tells most of that.
    """
    actions = array("I", compress(range(len(entries)), map(ACTION.__eq__, entries.tier)))
    heads, digest = entries.heads(), entries.digest
    bits = min(max(16, (len(actions) * 64).bit_length()), 27)
    shift = 32 - bits
    there = bytearray(1 << (bits - 3))
    for row in actions:
        at = heads[row] >> shift
        there[at >> 3] |= 1 << (at & 7)

    def part(number: int) -> Dict[bytes, int]:
        return _computed(entries, actions[number::2], there, shift)

    wanted, more = _in_two(part) if len(actions) >= _MANY and errand.pays() else (part(0), part(1))
    wanted.update(more)
    first = struct.Struct("=I").unpack_from
    marked = {first(key)[0] for key in wanted}
    found = [(wanted[digest(row)], row) for row in actions if heads[row] in marked and digest(row) in wanted]
    found.sort()
    return found


def _computed(entries: Entries, actions: array[int], there: bytearray, shift: int) -> Dict[bytes, int]:
    """Keys of what may hang on *actions*, each with its row: those whose first bits are among those that are there."""
    import hashlib  # slow to load: a survey alone does without

    sha256, digest, count, above = hashlib.sha256, entries.digest, len(DEPENDENT), shift + 3
    wanted: Dict[bytes, int] = {}
    for start in range(0, len(actions), _AT_ONCE):
        rows = actions[start : start + _AT_ONCE]
        parents = [b"subkey:" + digest(row) for row in rows]
        keys = [sha256(parent + word).digest() for parent in parents for word in DEPENDENT]
        heads = array("I", b"".join(keys))[:: 32 // 4]
        for at in compress(range(len(keys)), [there[head >> above] >> (head >> shift & 7) & 1 for head in heads]):
            wanted[keys[at]] = rows[at // count]
    return wanted


def _in_two(part: Callable[[int], Dict[bytes, int]]) -> Tuple[Dict[bytes, int], Dict[bytes, int]]:
    """Both parts; the second one from a second process, where that comes to its end."""
    try:
        other = errand.Errand(lambda handle: marshal.dump(part(1), handle))
    except OSError:
        return part(0), part(1)
    try:
        mine, found = part(0), other.found()
        return mine, part(1) if found is None else marshal.load(found)
    finally:
        other.end()
