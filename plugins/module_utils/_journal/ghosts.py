# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ghosts: what a run evicted, packed, so that a later survey can tell what has come back. Pure.

A packed block holds, sorted by hash, per entry: the number of its key (8 bytes), what its eviction gave back (4
bytes, in blocks of 512), and how long it had not been used (1 byte, a class of ``AGES``). Column after column and byte
plane after byte plane (sorted hashes share their first bytes), zlib level 1: some 7 bytes an entry. The time of the
eviction is one for a block.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from itertools import compress, repeat
from operator import floordiv, sub
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .._core.columns import ranked
from .._core.survey import SECOND, Entries, number_of

#: Ghosts kept of one run at most. The lowest hashes stay: a fair sample.
MOST = 1_000_000
DAY = 86400
#: Days that are told apart in a picture; the last class holds what is older.
DAYS = 31
_HOUR = 3600
#: Upper bounds (seconds) of the classes of age at eviction; one more holds what is older, one more what is unknown.
AGES: Tuple[int, ...] = tuple(
    [hours * _HOUR for hours in (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 36, 48)]
    + [days * DAY for days in (3, 4, 5, 6, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 365)]
)
UNKNOWN = len(AGES) + 1
_FORMAT = b"\x02"
_WIDTH = 13
_BLOCK = 512
_MOST_BLOCKS = 2**32 - 1
# Time stamps of files come from the kernel's coarse clock, and some file systems count in steps of two seconds.
_SLACK = 2
_CHUNK = 8192
# What is looked up at once: a part of all hashes, by their first bits, so that a million take some megabytes.
_PARTS = 16
_PART_SHIFT = 60
_COUNTED = -(2**63)  # no time of an entry; see _core/survey.py, Entries.add


# Full hours without use -> class.
_CLASSES = bytes(bisect_right(AGES, hours * _HOUR) for hours in range(AGES[-1] // _HOUR + 1))


class Ghosts(NamedTuple):
    """Evicted entries, sorted by hash: parallel columns."""

    hashes: array[int]
    blocks: array[int]
    ages: bytes

    @property
    def freed(self) -> int:
        """Bytes that these evictions gave back."""
        return sum(self.blocks) * _BLOCK

    def by_age(self) -> List[int]:
        """Bytes by class of age at eviction."""
        sums = [0] * (UNKNOWN + 1)
        for age, blocks in zip(self.ages, self.blocks):
            sums[age] += blocks * _BLOCK
        return sums


_NONE = array("q")


class Back(NamedTuple):
    """What has come back.

    Regret: made anew after its eviction; ``seconds`` (one an entry) until then, ``day_*`` the part that came within 24
    hours, ``day_age`` the oldest class of age of that part (-1: none). Restored: there again with a time from before
    its eviction, so an archive put it back. Undated: the clock was set back since, so nobody can tell.
    """

    entries: int = 0
    bytes: int = 0
    day_entries: int = 0
    day_bytes: int = 0
    day_age: int = -1
    seconds: array[int] = _NONE
    restored_entries: int = 0
    restored_bytes: int = 0
    undated_entries: int = 0
    undated_bytes: int = 0

    @property
    def median_seconds(self) -> Optional[int]:
        """The median of the seconds until an entry was back; None where none is."""
        ranked = sorted(self.seconds)
        if not ranked:
            return None
        half = len(ranked) // 2
        return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) // 2

    def plus(self, other: Back) -> Back:
        """Both together."""
        return Back(
            self.entries + other.entries,
            self.bytes + other.bytes,
            self.day_entries + other.day_entries,
            self.day_bytes + other.day_bytes,
            max(self.day_age, other.day_age),
            self.seconds + other.seconds,
            self.restored_entries + other.restored_entries,
            self.restored_bytes + other.restored_bytes,
            self.undated_entries + other.undated_entries,
            self.undated_bytes + other.undated_bytes,
        )


class Picture(NamedTuple):
    """A cache at one moment. ``days``: entries by days since their last use (the last class holds what is older).

    ``newest`` and ``oldest`` last use are Unix nanoseconds, 0 where there is no entry; ``allocated`` is bytes.
    ``complete`` is False where the survey did not reach everything.
    """

    entries: int
    allocated: int
    newest: int
    oldest: int
    days: Tuple[int, ...]
    complete: bool = True


def picture(used: Sequence[int], allocated: int, now: int, gone: Iterable[int] = (), complete: bool = True) -> Picture:
    """The picture of a cache whose entries were last used at *used*, without the rows *gone*; what is dated after *now*
    counts as used today. Times in Unix nanoseconds."""
    keep = bytearray(b"\x01") * len(used)
    for row in gone:
        keep[row] = 0
    counts = [0] * DAYS
    kept = array("q", compress(used, keep))
    if not kept:
        return Picture(0, allocated, 0, 0, tuple(counts), complete)
    for age, count in Counter(map(floordiv, map(sub, repeat(now), kept), repeat(DAY * SECOND))).items():
        counts[max(0, min(age, DAYS - 1))] += count
    return Picture(len(kept), allocated, max(kept), min(kept), tuple(counts), complete)


def make(
    hashes: array[int], freed: Sequence[int], used: Optional[Sequence[int]] = None, at: int = 0, most: int = MOST
) -> Ghosts:
    """The ghosts of entries with these numbers (``number_of`` their keys) whose eviction gave back *freed* bytes each,
    last used at *used* (*at*: the time of the eviction; both Unix nanoseconds). At most *most* are kept, a sample that
    is fair. Raises ValueError where the columns differ in length."""
    if len(hashes) != len(freed) or (used is not None and len(used) != len(hashes)):
        raise ValueError("ghosts: %d keys, %d sizes" % (len(hashes), len(freed)))
    order = ranked(hashes)[: max(0, most)]
    if freed and (min(freed) < 0 or max(freed) > _MOST_BLOCKS * _BLOCK):
        freed = [max(0, min(size, _MOST_BLOCKS * _BLOCK)) for size in freed]
    blocks = array("I", ((freed[row] + _BLOCK - 1) // _BLOCK for row in order))
    if used is None:
        ages = bytes([UNKNOWN]) * len(order)
    else:
        hour, longest = _HOUR * SECOND, AGES[-1] * SECOND
        if used and (max(used) > at or min(used) < at - longest):
            used = array("q", (max(at - longest, min(moment, at)) for moment in used))
        classes = _CLASSES
        ages = bytes(classes[(at - used[row]) // hour] for row in order)
    return Ghosts(array("Q", map(hashes.__getitem__, order)), blocks, ages)


def of_rows(entries: Entries, rows: Sequence[int], at: int) -> Ghosts:
    """The ghosts of the surveyed *rows*, all of them evicted (and no others), at *at* (Unix nanoseconds)."""
    hashes = entries.numbers(rows)
    freed, used = (array("q", map(column.__getitem__, rows)) for column in (entries.freed, entries.used))
    return make(hashes, freed, used, at)


def pack(gone: Ghosts) -> bytes:
    """The block of *gone* as bytes."""
    hashes, blocks = array("Q", gone.hashes), array("I", gone.blocks)
    if sys.byteorder == "little":
        hashes.byteswap()
        blocks.byteswap()
    planes = [hashes.tobytes()[at::8] for at in range(8)] + [blocks.tobytes()[at::4] for at in range(4)]
    return _FORMAT + zlib.compress(b"".join(planes + [gone.ages]), 1)


def unpack(data: bytes) -> Ghosts:
    """The ghosts of a block. Raises ValueError for anything that :func:`pack` did not make."""
    if data[:1] != _FORMAT:
        raise ValueError("ghosts: a format that is not known (%r)" % data[:1])
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data[1:], MOST * _WIDTH + 1)
    except zlib.error as exc:
        raise ValueError("ghosts: %s" % exc) from None
    count, rest = divmod(len(raw), _WIDTH)
    if rest or count > MOST or not stream.eof:
        raise ValueError("ghosts: a block of %d bytes" % len(raw))
    wide, narrow = bytearray(8 * count), bytearray(4 * count)
    for at in range(8):
        wide[at::8] = raw[at * count : (at + 1) * count]
    for at in range(4):
        narrow[at::4] = raw[(8 + at) * count : (9 + at) * count]
    hashes, blocks = array("Q", bytes(wide)), array("I", bytes(narrow))
    if sys.byteorder == "little":
        hashes.byteswap()
        blocks.byteswap()
    ages = raw[12 * count :]
    if ages and max(ages) > UNKNOWN:
        raise ValueError("ghosts: an age of class %d" % max(ages))
    return Ghosts(hashes, blocks, ages)


class Found(NamedTuple):
    """Surveyed entries that may be ghosts, in parts by the first bits of their hashes: parallel columns."""

    hashes: Tuple[array[int], ...]
    mtimes: Tuple[array[int], ...]

    def __bool__(self) -> bool:
        return any(self.hashes)


def present(gone: Sequence[Ghosts], entries: Entries) -> Found:
    """The surveyed *entries* that may be among *gone*.

    A few are not (:func:`settle` sorts them out): a table of the hashes' first bits keeps time and memory down.
    """
    found = Found(tuple(array("Q") for _part in range(_PARTS)), tuple(array("q") for _part in range(_PARTS)))
    total = sum(len(one.hashes) for one in gone)
    if not total:
        return found
    shift = 64 - max(10, min(24, (total * 16).bit_length()))
    table = bytearray(1 << (64 - shift))
    for one in gone:
        for value in one.hashes:
            table[value >> shift] = 1
    mtimes = entries.mtime
    for start in range(0, len(entries), _CHUNK):
        for row, value in enumerate(entries.numbers(range(start, min(start + _CHUNK, len(entries)))), start):
            if table[value >> shift]:
                part = value >> _PART_SHIFT
                found.hashes[part].append(value)
                found.mtimes[part].append(mtimes[row])
    return found


class _Count:
    """What has come back of one block so far."""

    def __init__(self, at: int, gone: Ghosts) -> None:
        self.at = at // SECOND
        self.gone = gone
        self.keep = bytearray(b"\x01") * len(gone.hashes)
        self.anew = [0, 0]
        self.day = [0, 0]
        self.day_age = -1
        self.restored = [0, 0]
        self.undated = [0, 0]
        self.seconds = array("q")

    def add(self, place: int, made: int, now: int) -> None:
        size = self.gone.blocks[place] * _BLOCK
        if now < self.at - _SLACK:
            cell = self.undated
        elif made < self.at - _SLACK:
            cell = self.restored
        else:
            cell = self.anew
            after = max(0, min(made, now) - self.at)
            self.seconds.append(after)
            if after <= DAY:
                self.day[0] += 1
                self.day[1] += size
                age = self.gone.ages[place]
                if age > self.day_age:
                    self.day_age = age
        cell[0] += 1
        cell[1] += size

    def rest(self) -> Ghosts:
        if all(self.keep):
            return self.gone
        return _kept(self.gone, self.keep)

    def back(self) -> Back:
        return Back(
            self.anew[0],
            self.anew[1],
            self.day[0],
            self.day[1],
            self.day_age,
            self.seconds,
            self.restored[0],
            self.restored[1],
            self.undated[0],
            self.undated[1],
        )


def settle(gone: Sequence[Tuple[int, Ghosts]], found: Found, now: int) -> List[Tuple[Ghosts, Back]]:
    """What is left of each block of *gone*, (time of the eviction, ghosts), newest first, and what came back of it.

    An entry in several blocks is counted for the newest and taken out of all; a block of which nothing came back is
    returned as it is. Times in Unix nanoseconds; a clock set back makes no negative ages.
    """
    counts = [_Count(at, one) for at, one in gone]
    second = now // SECOND
    for part in range(_PARTS):
        if not found.hashes[part]:
            continue
        there = dict(zip(found.hashes[part], found.mtimes[part]))
        for count in counts:
            hashes = count.gone.hashes
            start = bisect_left(hashes, part << _PART_SHIFT)
            mine = hashes[start : bisect_left(hashes, (part + 1) << _PART_SHIFT, start)]
            hits = there.keys() & mine
            if not hits:
                continue
            for place, value in enumerate(mine, start):
                if value in hits:
                    count.keep[place] = 0
                    made = there[value]
                    if made != _COUNTED:
                        count.add(place, made // SECOND, second)
                        there[value] = _COUNTED
    return [(count.rest(), count.back()) for count in counts]


def _kept(gone: Ghosts, keep: Sequence[int]) -> Ghosts:
    return Ghosts(
        array("Q", compress(gone.hashes, keep)),
        array("I", compress(gone.blocks, keep)),
        bytes(compress(gone.ages, keep)),
    )


def without(gone: Ghosts, keys: Iterable[bytes]) -> Ghosts:
    """*gone* less the entries named *keys*."""
    drop = set(map(number_of, keys))
    return _kept(gone, [value not in drop for value in gone.hashes])


# A histogram of seconds in half octaves, so that counts of several surveys can be added and still have a median.


def bin_of(seconds: int) -> int:
    """The class of a histogram that holds *seconds*."""
    bits = seconds.bit_length()
    return 2 * bits + ((seconds >> (bits - 2)) & 1) if bits > 1 else bits


def median_of(bins: Dict[int, int]) -> Optional[int]:
    """About the median of a histogram (within a quarter of it), seconds; None where it is empty."""
    total = sum(bins.values())
    seen = 0
    for number in sorted(bins):
        seen += bins[number]
        if 2 * seen >= total and seen:
            if number < 2:
                return number
            bits, half = divmod(number, 2)
            low = (2 + half) << (bits - 2)
            return low + (1 << (bits - 2)) // 2 if bits > 2 else low
    return None
