# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program an executable is, by what the Go linker wrote into it: a renamed ``go`` is still ``cmd/go``.

Format: debug/buildinfo (buildinfo.go) for the section ``.go.buildinfo``, elf(5) for the way to it.
"""

from __future__ import annotations

import os
import struct
from typing import Optional, Tuple

_MAGIC = b"\xff Go buildinf:"
#: Bytes; a section table or a build info larger than this is none that a linker wrote.
_LIMIT = 1 << 20


def program(fd: int) -> Optional[str]:
    """The main package's path (``cmd/go``) of the executable behind *fd*.

    ``""``: a Go program that does not tell it (before Go 1.18, or stripped). None: no Go program, or no ELF file.
    Raises OSError where it cannot be read.
    """
    try:
        place = _section(fd, (b".go.buildinfo", b".note.go.buildid"))
    except (struct.error, IndexError, ValueError):
        return None
    if place is None:
        return None
    name, offset, size = place
    return main_path(os.pread(fd, min(size, _LIMIT), offset)) if name == b".go.buildinfo" else ""


def _section(fd: int, wanted: Tuple[bytes, ...]) -> Optional[Tuple[bytes, int, int]]:
    head = os.pread(fd, 64, 0)
    if head[:4] != b"\x7fELF":
        return None
    order = ">" if head[5] == 2 else "<"
    if head[4] == 2:
        (table,) = struct.unpack_from(order + "Q", head, 40)
        entry, count, names = struct.unpack_from(order + "HHH", head, 58)
        row = struct.Struct(order + "IIQQQQ")
    else:
        (table,) = struct.unpack_from(order + "I", head, 32)
        entry, count, names = struct.unpack_from(order + "HHH", head, 46)
        row = struct.Struct(order + "IIIIII")
    if entry < row.size or names >= count or table > 1 << 62:
        return None
    data = os.pread(fd, min(entry * count, _LIMIT), table)
    rows = [row.unpack_from(data, at) for at in range(0, entry * count, entry)]
    texts = os.pread(fd, min(rows[names][5], _LIMIT), min(rows[names][4], 1 << 62))
    found = {texts[item[0] : texts.find(b"\0", item[0])]: item for item in rows if item[0] < len(texts)}
    for name in wanted:
        if name in found and found[name][4] < 1 << 62:
            return name, found[name][4], found[name][5]
    return None


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while shift < 63:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
        shift += 7
    raise ValueError("no varint")


def main_path(section: bytes) -> str:
    """The ``path`` line of a ``.go.buildinfo`` section's module information, ``""`` where it has none."""
    # Since Go 1.18 (flag 2) both strings are inline, each after its length; before, they are behind pointers.
    if not section.startswith(_MAGIC) or len(section) < 33 or not section[15] & 2:
        return ""
    try:
        size, at = _varint(section, 32)
        size, at = _varint(section, at + size)
    except (IndexError, ValueError):
        return ""
    # 16 bytes before and after the text mark its ends (modload.ModInfoData).
    for line in section[at + 16 : at + size].split(b"\n"):
        if line.startswith(b"path\t"):
            return line[5:].decode("utf-8", "replace")
    return ""
