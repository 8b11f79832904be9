# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a cache: entries in packed arrays, so that a million of them fit into some tens of megabytes."""

from __future__ import annotations

import re
import struct
from array import array
from binascii import hexlify
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple
from zlib import crc32

_DIGEST = 32
_FIRST_BITS = struct.Struct(">Q")
_BY_DIGEST = re.compile(rb"([0-9a-f]{2})/(\1[0-9a-f]{62})(.*)\Z", re.DOTALL)
_ODD = 255

SECOND = 1_000_000_000
_LATEST = 2**63 - 1


class Tier(NamedTuple):
    """How an entry is got back: ``cost`` orders tiers, cheapest first (re-extract < rebuild < download).

    ``in_use`` says that losing such an entry disturbs nobody who works with the cache at that moment. Where ``expires``
    is set, an entry's ``used`` is when its grace ends: it stays until then, and goes in every run after that.
    """

    name: str
    back: str
    cost: int
    in_use: bool = False
    expires: bool = False


class CacheRef(NamedTuple):
    """One cache: ``path`` is resolved, ``given`` the user's name for it; ``device`` is its file system's."""

    kind: str
    path: str
    given: str
    uid: int
    gid: int
    device: int
    inode: int


def number_of(key: bytes) -> int:
    """64 bits that stand for a key: of a digest that names it the first ones, with the checksum of what comes after."""
    hit = _BY_DIGEST.match(key)
    if hit is not None:
        return int(hit.group(2)[:16], 16) ^ crc32(hit.group(3))
    from hashlib import blake2b  # slow to load: a survey does without

    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


class Entries:
    """Parallel columns, one row an entry.

    ==========  ==============================================================================
    tier        index into the survey's tiers
    phase       entries of a lower phase are evicted first; a cut phase stops the later ones
    used        evidence of last use, Unix nanoseconds, as the planner ranks it
    mtime       the modification time to re-check before the eviction, Unix nanoseconds
    inode       the inode to re-check
    freed       bytes that the eviction gives back (allocated; nothing for hard-linked files)
    size        apparent bytes
    inodes      inodes that the eviction gives back
    guard       row that must be gone before this one may go, or -1
    waits       row that, while it exists, moves this one to a later run, or -1
    hold        index into the survey's holds: why this entry is kept whatever the policy asks (0: it is not)
    group       index into the survey's labels (what name patterns are matched against), or -1
    owner       index into the survey's owners: whose rights the eviction needs (0: the cache's owner)
    ==========  ==============================================================================

    Where *suffixes* are given, each key is ``xx/<64 hexadecimal digits><suffix>`` with xx the first two of the digits,
    as content-addressed stores name their files, and takes 33 bytes; other keys may be added too.
    """

    __slots__ = (
        "_blob",
        "_codes",
        "_ends",
        "_odd",
        "_suffixes",
        "freed",
        "group",
        "guard",
        "hold",
        "inode",
        "inodes",
        "mtime",
        "owner",
        "phase",
        "size",
        "tier",
        "used",
        "waits",
    )

    def __init__(self, suffixes: Sequence[bytes] = ()) -> None:
        self._suffixes = tuple(suffixes)
        self._odd: Dict[int, bytes] = {}
        # Either keys and where each ends, or digests and the number of each one's suffix (_ODD: the key is in _odd).
        self._blob = bytearray()
        self._ends = array("Q")
        self._codes = bytearray()
        self.tier = array("B")
        self.phase = array("B")
        self.used = array("q")
        self.mtime = array("q")
        self.inode = array("Q")
        self.freed = array("q")
        self.size = array("q")
        self.inodes = array("i")
        self.guard = array("i")
        self.waits = array("i")
        self.hold = array("B")
        self.group = array("i")
        self.owner = array("B")

    def __len__(self) -> int:
        return len(self.tier)

    def key(self, row: int) -> bytes:
        """The kind's own name of an entry (for a file of a build cache: where it lies below the root)."""
        if not self._suffixes:
            start = self._ends[row - 1] if row else 0
            return bytes(self._blob[start : self._ends[row]])
        code = self._codes[row]
        if code == _ODD:
            return self._odd[row]
        digits = hexlify(self._blob[row * _DIGEST : (row + 1) * _DIGEST])
        return digits[:2] + b"/" + digits + self._suffixes[code]

    def texts(self, rows: Sequence[int]) -> List[str]:
        """The keys of some rows as text, odd bytes as surrogates."""
        codes, blob = self._codes, self._blob
        if self._suffixes and not (self._odd and any(codes[row] == _ODD for row in rows)):
            ends = [suffix.decode() for suffix in self._suffixes]
            digests = [blob[row * _DIGEST : (row + 1) * _DIGEST].hex() for row in rows]
            return [f"{digits[:2]}/{digits}{ends[codes[row]]}" for digits, row in zip(digests, rows)]
        return [self.key(row).decode("utf-8", "surrogateescape") for row in rows]

    def numbers(self, rows: Sequence[int]) -> array[int]:
        """:func:`number_of` the keys of some rows."""
        codes, blob = self._codes, self._blob
        if self._suffixes and not (self._odd and any(codes[row] == _ODD for row in rows)):
            ends, first = [crc32(suffix) for suffix in self._suffixes], _FIRST_BITS.unpack_from
            return array("Q", (first(blob, row * _DIGEST)[0] ^ ends[codes[row]] for row in rows))
        return array("Q", [number_of(self.key(row)) for row in rows])

    def digest(self, row: int) -> bytes:
        """The 32 bytes whose digits are in a packed key; only for entries with suffixes."""
        return bytes(self._blob[row * _DIGEST : (row + 1) * _DIGEST])

    def heads(self) -> array[int]:
        """The first four bytes of each digest as a number (in this machine's order of bytes)."""
        with memoryview(self._blob) as view, view.cast("I") as words:
            return array("I", words[:: _DIGEST // 4])

    def firsts(self) -> bytes:
        """The first byte of each digest; only for entries with suffixes, 0 for other keys."""
        return bytes(self._blob[::_DIGEST])

    def _put_key(self, key: bytes) -> None:
        if not self._suffixes:
            self._blob += key
            self._ends.append(len(self._blob))
            return
        digits, suffix = key[3:67], key[67:]
        try:
            digest = bytes.fromhex(digits.decode("ascii"))
        except ValueError:
            digest = b""
        if suffix in self._suffixes and digest.hex().encode() == digits and key[:3] == digits[:2] + b"/":
            self._blob += digest
            self._codes.append(self._suffixes.index(suffix))
        else:
            self._odd[len(self)] = key
            self._blob += bytes(_DIGEST)
            self._codes.append(_ODD)

    def add_many(
        self,
        digests: bytes,
        codes: bytes,
        tier: bytes,
        phase: bytes,
        used: bytes,
        mtime: bytes,
        inode: bytes,
        freed: bytes,
        size: bytes,
        hold: int,
    ) -> None:
        """Adds many packed rows at once: for each 32 bytes of digest and its suffix's number, and the columns as the
        bytes of arrays like those here.
        """
        self._blob += digests
        self._codes += codes
        self.tier.frombytes(tier)
        self.phase.frombytes(phase)
        for name, column in (("used", used), ("mtime", mtime), ("inode", inode), ("freed", freed), ("size", size)):
            getattr(self, name).frombytes(column)
        count = len(codes)
        for name in ("guard", "waits", "group"):
            getattr(self, name).frombytes(b"\xff" * (4 * count))
        self.inodes.extend(array("i", (1,)) * count)
        self.hold.frombytes(bytes((hold,)) * count)
        self.owner.frombytes(bytes(count))

    def add(
        self,
        key: bytes,
        tier: int,
        phase: int,
        used: int,
        mtime: int,
        inode: int,
        freed: int,
        size: int,
        inodes: int = 1,
        group: int = -1,
    ) -> int:
        """Adds a row and returns its number; guard, waits, hold and owner are set on their columns afterwards."""
        self._put_key(key)
        self.tier.append(tier)
        self.phase.append(phase)
        # File systems know years that no nanosecond counter does: such a time is in the future, and never found again.
        self.used.append(max(-_LATEST, min(used, _LATEST)))
        self.mtime.append(max(-_LATEST, min(mtime, _LATEST)))
        self.inode.append(inode)
        self.freed.append(freed)
        self.size.append(size)
        self.inodes.append(inodes)
        self.guard.append(-1)
        self.waits.append(-1)
        self.hold.append(0)
        self.group.append(group)
        self.owner.append(0)
        return len(self.tier) - 1

    def extend(self, other: Entries) -> None:
        """Appends the rows of *other*; its guard, waits and group numbers are moved along."""
        base, blob = len(self), len(self._blob)
        if self._suffixes or other._suffixes:
            if self._suffixes != other._suffixes:
                raise ValueError("entries with other suffixes: %r and %r" % (self._suffixes, other._suffixes))
            self._odd.update((row + base, key) for row, key in other._odd.items())
        self._blob += other._blob
        self._codes += other._codes
        self._ends.extend(end + blob for end in other._ends)
        for name in ("tier", "phase", "used", "mtime", "inode", "freed", "size", "inodes", "hold", "group", "owner"):
            getattr(self, name).extend(getattr(other, name))
        for name in ("guard", "waits"):
            getattr(self, name).extend(row + base if row >= 0 else -1 for row in getattr(other, name))


class Survey(NamedTuple):
    """What was seen in one cache.

    ``grain`` is how coarse the evidence of last use is (nanoseconds), ``evidence`` its name; ``margins`` is what an
    entry of each phase must be older than one of phase 0 (nanoseconds), so that nothing kept points to what went.
    ``last_build`` is the newest sign of a build (Unix nanoseconds). ``totals`` holds sums over everything in the
    cache, also what is no entry (bytes, allocated, inodes, ...), ``details`` the kind's own findings as plain data,
    ``damage`` what was seen to be damaged on the way, ``unreached`` what the rights did not reach. ``ranks`` runs
    parallel to ``labels``: 0 for the newest version of its name, 1 for the one before (empty: no order is known).
    ``owners`` are the (uid, gid) whose rights evictions need, the cache's own first.
    """

    cache: CacheRef
    tiers: Tuple[Tier, ...]
    holds: Tuple[str, ...]
    labels: List[str]
    entries: Entries
    grain: int
    evidence: str
    margins: Tuple[int, ...]
    last_build: int
    totals: Dict[str, int]
    details: Dict[str, Any]
    damage: List[Dict[str, str]]
    unreached: List[Dict[str, Any]]
    truncated: Optional[str]
    ranks: Sequence[int] = ()
    owners: Tuple[Tuple[int, int], ...] = ()
