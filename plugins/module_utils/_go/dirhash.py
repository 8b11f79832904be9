# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ``h1:`` hash of go.sum, ``.ziphash`` and the checksum database, of zips, extracted trees and go.mod files.

Follows golang.org/x/mod/sumdb/dirhash (Hash1, HashZip, HashDir). Zips are read by a reader of our own that follows Go's
archive/zip (reader.go): Python's zipfile decodes names, and so would not hash what Go hashes, and refuses or accepts
other archives than Go does. Contents are streamed in blocks of 1 MiB; hashlib and zlib let go of Python's global lock
for those, so several threads really run in parallel.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
import struct
import threading
import zlib
from typing import BinaryIO, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

from .._fs import dirs

#: Bytes read at once.
BLOCK = 1 << 20
#: Go opens files by path, so that no tree that it made holds a longer one (PATH_MAX, limits.h).
MAX_PATH = 4096
_HELD = 16  # directories held open at once below one tree, whatever its depth

#: Called with the number of bytes just read; may raise to stop the work (a time limit).
Tick = Callable[[int], None]


class ZipProblem(ValueError):
    """A zip that Go would not accept; the text says what is wrong and, where one is concerned, with which file."""


class TreeProblem(ValueError):
    """Something in a tree that Go never puts there: ``name`` is its path in the tree, ``problem`` what it is."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__("%s: %s" % (name, problem))
        self.name = name
        self.problem = problem


def h1(pairs: Iterable[Tuple[bytes, bytes]]) -> str:
    """The hash over (name, SHA-256 digest of the content) pairs, in any order (dirhash.Hash1).

    Raises ValueError for a name with a newline.
    """
    total = hashlib.sha256()
    for name, digest in sorted(pairs):
        if b"\n" in name:
            raise ValueError("%r: file names with newlines have no h1 hash" % name)
        total.update(b"%s  %s\n" % (digest.hex().encode("ascii"), name))
    return "h1:" + base64.b64encode(total.digest()).decode("ascii")


def h1_gomod(data: bytes) -> str:
    """The hash of a go.mod file, as in go.sum's ``/go.mod`` lines (modfetch.goModSum)."""
    return h1([(b"go.mod", hashlib.sha256(data).digest())])


# --- zips ----------------------------------------------------------------------------------------

_DIRECTORY_END = b"PK\x05\x06"
_DIRECTORY_HEADER = struct.Struct("<4s6H3I5H2I")
_NOT_A_ZIP = "not a valid zip file"


class ZipEntry(NamedTuple):
    """One record of a zip's central directory: ``name`` as its raw bytes, sizes in bytes."""

    name: bytes
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    offset: int


class ZipSource:
    """Random access to a zip: a descriptor (read with pread, so that threads may share it) or a seekable file."""

    def __init__(self, source: Union[int, BinaryIO]) -> None:
        self._fd = -1
        self._file: Optional[BinaryIO] = None
        self._lock = threading.Lock()
        if isinstance(source, int):
            self._fd = source
        else:
            try:
                self._fd = source.fileno()
            except (AttributeError, io.UnsupportedOperation):
                self._file = source
        if self._file is None:
            self.size = os.fstat(self._fd).st_size
        else:
            self.size = self._file.seek(0, os.SEEK_END)

    def at(self, offset: int, length: int) -> bytes:
        """Up to *length* bytes from *offset*; fewer only where the file ends."""
        if length <= 0 or offset < 0 or offset >= self.size:
            return b""
        length = min(length, self.size - offset)
        if self._file is not None:
            with self._lock:
                self._file.seek(offset)
                return self._file.read(length)
        chunks: List[bytes] = []
        while length > 0:
            chunk = os.pread(self._fd, length, offset)
            if not chunk:
                break
            chunks.append(chunk)
            offset += len(chunk)
            length -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _find_end(block: bytes) -> int:
    # archive/zip.findSignatureInBlock: a comment longer than the file is no end record, and ends the search
    start = len(block) - 22
    while start >= 0:
        start = block.rfind(_DIRECTORY_END, 0, start + 4)
        if start < 0:
            return -1
        if start + 22 + int.from_bytes(block[start + 20 : start + 22], "little") > len(block):
            return -1
        return start
    return -1


def _header(data: bytes, pos: int) -> Optional[Tuple[ZipEntry, int]]:
    # archive/zip.readDirectoryHeader: the record at pos and where the next one starts; None where there is none
    if pos + 46 > len(data) or data[pos : pos + 4] != b"PK\x01\x02":
        return None
    fields = _DIRECTORY_HEADER.unpack_from(data, pos)
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_len, extra_len, comment_len, offset = fields[10], fields[11], fields[12], fields[16]
    end = pos + 46 + name_len + extra_len + comment_len
    if end > len(data):
        return None
    name = data[pos + 46 : pos + 46 + name_len]
    extra = data[pos + 46 + name_len : pos + 46 + name_len + extra_len]
    need_size, need_packed, need_offset = (value == 0xFFFFFFFF for value in (size, packed, offset))
    while len(extra) >= 4:
        tag, length = struct.unpack_from("<HH", extra)
        if len(extra) - 4 < length:
            break
        body = extra[4 : 4 + length]
        extra = extra[4 + length :]
        if tag != 1:
            continue
        values = []
        for needed in (need_size, need_packed, need_offset):
            if needed:
                if len(body) < 8:
                    return None
                values.append(int.from_bytes(body[:8], "little"))
                body = body[8:]
            else:
                values.append(-1)
        size = values[0] if need_size else size
        packed = values[1] if need_packed else packed
        offset = values[2] if need_offset else offset
        need_size = need_packed = need_offset = False
    if need_packed or need_offset:
        return None
    return ZipEntry(name, method, flags, crc, packed, size, offset), end


def _directory(source: ZipSource) -> Tuple[int, int, int]:
    # archive/zip.readDirectoryEnd: number of records, where they start, what to add to every offset
    block, start = b"", -1
    for length in (1024, 65 * 1024):
        length = min(length, source.size)
        block = source.at(source.size - length, length)
        start = _find_end(block)
        if start >= 0 or length == source.size:
            break
    if start < 0:
        raise ZipProblem(_NOT_A_ZIP)
    end_at = source.size - len(block) + start
    _disk, _dir_disk, _here, records, size, offset, _comment = struct.unpack_from("<4H2IH", block, start + 4)
    if records == 0xFFFF or size == 0xFFFF or offset == 0xFFFFFFFF:
        locator = source.at(end_at - 20, 20) if end_at >= 20 else b""
        if len(locator) == 20:
            sig, disk, where, disks = struct.unpack("<4sIQI", locator)
            if sig == b"PK\x06\x07" and disk == 0 and disks == 1:
                end64 = source.at(where, 56) if where < source.size else b""
                if len(end64) < 56 or end64[:4] != b"PK\x06\x06":
                    raise ZipProblem(_NOT_A_ZIP)
                records, size, offset = struct.unpack_from("<3Q", end64, 32)
                end_at = where
    base = end_at - size - offset
    if not 0 <= base + offset < source.size:
        raise ZipProblem(_NOT_A_ZIP)
    if base > 0 and _header(source.at(offset, 46 + 3 * 65535), 0) is not None:
        base = 0
    return records, base + offset, base


def zip_entries(source: ZipSource) -> List[ZipEntry]:
    """The records of a zip's central directory, in its order; raises ZipProblem where Go refuses the archive."""
    records, pos, base = _directory(source)
    entries: List[ZipEntry] = []
    data, at = b"", 0
    while True:
        # the longest possible record may cross the end of what was read
        if at + 46 + 3 * 65535 > len(data) and pos + len(data) < source.size:
            pos += at
            data, at = source.at(pos, BLOCK), 0
        found = _header(data, at)
        if found is None:
            break
        entry, at = found
        entries.append(entry._replace(offset=entry.offset + base))
    if len(entries) & 0xFFFF != records & 0xFFFF:
        raise ZipProblem("%s: it announces %d files, %d are there" % (_NOT_A_ZIP, records, len(entries)))
    return entries


def _inflate(source: ZipSource, start: int, entry: ZipEntry) -> Iterator[bytes]:
    engine = zlib.decompressobj(-15)
    done = 0
    while not engine.eof:
        packed = engine.unconsumed_tail
        if not packed:
            packed = source.at(start + done, min(BLOCK, entry.packed - done))
            done += len(packed)
            if not packed:
                raise ZipProblem("unexpected end of data")
        try:
            data = engine.decompress(packed, BLOCK)
        except zlib.error as error:
            raise ZipProblem("corrupt compressed data (%s)" % error) from None
        if data:
            yield data


def _stored(source: ZipSource, start: int, entry: ZipEntry) -> Iterator[bytes]:
    done = 0
    while done < entry.packed:
        data = source.at(start + done, min(BLOCK, entry.packed - done))
        if not data:
            return
        done += len(data)
        yield data


def zip_content(source: ZipSource, entry: ZipEntry) -> Iterator[bytes]:
    """The content of one file of a zip in blocks; raises ZipProblem where Go's reader would fail (zip.File.Open)."""
    shown = entry.name.decode("utf-8", "replace")
    local = source.at(entry.offset, 30)
    if len(local) < 30 or local[:4] != b"PK\x03\x04":
        raise ZipProblem("%s: %s (no file where the directory says)" % (shown, _NOT_A_ZIP))
    start = entry.offset + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    if entry.name.endswith(b"/"):
        if entry.size:
            raise ZipProblem("%s: %s (a directory with content)" % (shown, _NOT_A_ZIP))
        return
    if entry.method not in (0, 8):
        raise ZipProblem("%s: unsupported compression algorithm %d" % (shown, entry.method))
    crc = size = 0
    try:
        for data in (_inflate if entry.method else _stored)(source, start, entry):
            crc = zlib.crc32(data, crc)
            size += len(data)
            if size > entry.size:
                raise ZipProblem("more data than the directory says")
            yield data
        if size != entry.size:
            raise ZipProblem("unexpected end of data")
        if entry.flags & 8:
            tail = source.at(start + entry.packed, 16)
            tail = tail[4:] if tail[:4] == b"PK\x07\x08" else tail
            if len(tail) < 8 or int.from_bytes(tail[:4], "little") != entry.crc or crc != entry.crc:
                raise ZipProblem("checksum error")
        elif entry.crc and crc != entry.crc:
            raise ZipProblem("checksum error")
    except ZipProblem as problem:
        raise ZipProblem("%s: %s" % (shown, problem)) from None


def zip_digests(
    source: Union[int, BinaryIO, ZipSource], prefix: str, tick: Optional[Tick] = None
) -> List[Tuple[bytes, bytes]]:
    """(name, SHA-256 digest) of every record of a zip, duplicates and folders included as Go's HashZip sees them.

    Of several records of one name all count, each with the content of the last. *prefix* is ``path@version``: a name
    that does not lie below it is refused (modfetch.downloadZip); with ``""`` none is. Raises ZipProblem.
    """
    if not isinstance(source, ZipSource):
        source = ZipSource(source)
    entries = zip_entries(source)
    below = prefix.encode("utf-8") + b"/"
    last: Dict[bytes, ZipEntry] = {}
    for entry in entries:
        if prefix and not entry.name.startswith(below):
            raise ZipProblem("unexpected file %r: not below %s" % (entry.name.decode("utf-8", "replace"), prefix))
        if b"\n" in entry.name:
            raise ZipProblem("%r: file names with newlines have no h1 hash" % entry.name.decode("utf-8", "replace"))
        last[entry.name] = entry
    digests: Dict[bytes, bytes] = {}
    for name, entry in last.items():
        digest = hashlib.sha256()
        for data in zip_content(source, entry):
            digest.update(data)
            if tick is not None:
                tick(len(data))
        digests[name] = digest.digest()
    return [(entry.name, digests[entry.name]) for entry in entries]


def h1_zip(source: Union[int, BinaryIO], prefix: str, tick: Optional[Tick] = None) -> str:
    """The hash of a module zip, read from a descriptor or a seekable file (dirhash.HashZip).

    *prefix* is ``path@version`` in plain form. Memory: a few hundred bytes per file of the zip, and a few blocks.
    Raises ZipProblem, OSError.
    """
    return h1(zip_digests(source, prefix, tick))


def zip_file(source: Union[int, BinaryIO], name: str, limit: int = 16 << 20) -> Optional[bytes]:
    """The content of one file of a zip; None if it has none of that name. Raises ZipProblem, also beyond *limit* bytes.

    (16 MiB is what Go takes for a go.mod: x/mod/zip.MaxGoMod.)
    """
    opened = ZipSource(source)
    wanted = None
    for entry in zip_entries(opened):
        if entry.name == name.encode("utf-8"):
            wanted = entry
    if wanted is None:
        return None
    if wanted.size > limit:
        raise ZipProblem("%s: larger than %d bytes" % (name, limit))
    return b"".join(zip_content(opened, wanted))


# --- trees ---------------------------------------------------------------------------------------


def file_digest(fd: int, tick: Optional[Tick] = None) -> bytes:
    """The SHA-256 digest of an opened file from where it stands, read in blocks."""
    digest = hashlib.sha256()
    while True:
        data = os.read(fd, BLOCK)
        if not data:
            return digest.digest()
        digest.update(data)
        if tick is not None:
            tick(len(data))


class _Walk:
    """Opens directories below a tree by their parts, holding only the first few levels open."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.held: List[Tuple[bytes, int]] = []

    def open(self, parts: Tuple[bytes, ...]) -> int:
        keep = 0
        while keep < len(self.held) and keep < len(parts) and self.held[keep][0] == parts[keep]:
            keep += 1
        self.close(keep)
        fd, owned = (self.held[-1][1] if self.held else self.root), False
        for depth in range(keep, len(parts)):
            try:
                deeper = dirs.open_dir(os.fsdecode(parts[depth]), fd)
            finally:
                if owned:
                    os.close(fd)
            fd, owned = deeper, True
            if depth < _HELD:
                self.held.append((parts[depth], fd))
                owned = False
        return fd if owned else os.dup(fd)

    def close(self, keep: int = 0) -> None:
        while len(self.held) > keep:
            os.close(self.held.pop()[1])


def tree_digests(
    dir_fd: int, tick: Optional[Tick] = None, strange: Optional[List[TreeProblem]] = None
) -> Dict[bytes, bytes]:
    """SHA-256 digest of every file below an opened directory, by its path in the tree (``/`` between the parts).

    Nothing is followed, no access time is touched, depth costs no recursion and no descriptors. What is neither a file
    nor a directory, lies on another device or has a path that Go could not open is collected in *strange*, or raised as
    TreeProblem where that is None. Raises OSError, CannotLook among them.
    """
    found: Dict[bytes, bytes] = {}
    device = os.fstat(dir_fd).st_dev
    walk = _Walk(dir_fd)
    pending: List[Tuple[bytes, ...]] = [()]

    def odd(parts: Tuple[bytes, ...], problem: str) -> None:
        error = TreeProblem(b"/".join(parts).decode("utf-8", "replace"), problem)
        if strange is None:
            raise error
        strange.append(error)

    try:
        while pending:
            parts = pending.pop()
            fd = walk.open(parts)
            try:
                below: List[Tuple[bytes, ...]] = []
                for name in sorted(os.listdir(fd)):
                    here = (*parts, os.fsencode(name))
                    st = dirs.lstat(name, fd)
                    if sum(map(len, here)) + len(here) > MAX_PATH:
                        odd(here, "a path longer than Go could have made")
                    elif stat.S_ISDIR(st.st_mode):
                        if st.st_dev == device:
                            below.append(here)
                        else:
                            odd(here, "a mount point")
                    elif stat.S_ISREG(st.st_mode):
                        file_fd = dirs.open_file(name, fd)
                        try:
                            found[b"/".join(here)] = file_digest(file_fd, tick)
                        finally:
                            os.close(file_fd)
                    else:
                        odd(here, "a symlink" if stat.S_ISLNK(st.st_mode) else "not a regular file")
                pending.extend(reversed(below))
                if tick is not None:
                    tick(0)
            finally:
                os.close(fd)
    finally:
        walk.close()
    return found
