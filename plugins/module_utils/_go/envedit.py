# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lossless edits of a Go env file: only the lines of the named variables change.

C(go env -w) rewrites and sorts the whole file. Here comments, blank lines, lines that Go ignores, other variables and
their order stay byte for byte, so that a file kept by people or by another tool stays theirs. Pure: bytes in, bytes
out. Source of the format: readEnvFile in Go's cmd/go/internal/cfg/cfg.go.
"""

from __future__ import annotations

from typing import Iterable, List, Mapping, Optional

from . import envfile
from .mask import mask, mask_value


def apply(data: Optional[bytes], settings: Mapping[str, str], absent: Iterable[str] = ()) -> Optional[bytes]:
    """The file with these settings in it, each exactly once, and without the lines of *absent*.

    data: the file, None where there is none. A variable that the file already has keeps the place of its last line,
    the one that Go obeys; earlier duplicates go. New variables are added at the end, sorted by name. Variables that
    are not named keep all their lines. Returns None where there is no file and nothing to put into one.

    The values must have passed C(grammar.check): a value with a newline raises ValueError.
    """
    lines = envfile.parse(data or b"")
    wanted = dict(settings)
    for name, value in wanted.items():
        if "\n" in value or "\n" in name or "=" in name or not "A" <= name[:1] <= "Z":
            raise ValueError("%s and its value do not make one line of an env file" % name)
    drop = set(absent)
    last = envfile.numbers(lines)
    result: List[bytes] = []
    for number, line in enumerate(lines, 1):
        if line.kind != envfile.SETTING or (line.key not in wanted and line.key not in drop):
            result.append(line.raw)
        elif line.key in wanted and number == last[line.key]:
            value = wanted.pop(line.key)
            result.append(line.raw if line.value == value else _line(line.key, value))
    if wanted and result and not result[-1].endswith(b"\n"):
        result[-1] += b"\n"
    for name in sorted(wanted):
        result.append(_line(name, wanted[name]))
    if data is None and not result:
        return None
    return b"".join(result)


def _line(name: str, value: str) -> bytes:
    return ("%s=%s\n" % (name, value)).encode("utf-8", "surrogateescape")


def values(data: Optional[bytes]) -> Mapping[str, str]:
    """Name -> value as Go reads the file; empty where there is no file."""
    return envfile.values(envfile.parse(data or b""))


def shown(data: Optional[bytes]) -> str:
    """The file as text fit to be shown in a diff: credentials masked, odd bytes and control characters escaped."""
    result: List[str] = []
    for line in envfile.parse(data or b""):
        end = "\n" if line.raw.endswith(b"\n") else ""
        if line.kind == envfile.SETTING:
            text = "%s=%s" % (line.key, mask_value(line.key, line.value))
        else:
            text = mask(line.raw.decode("utf-8", "surrogateescape")[: -1 if end else None])
        text = text.replace("\r", "\\r").encode("utf-8", "backslashreplace").decode("utf-8")
        result.append(text + end)
    return "".join(result)
