# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Go env files (``go env -w``'s file and GOROOT/go.env), read exactly as the go command reads them.

Source of the format: ``readEnvFile`` in Go's cmd/go/internal/cfg/cfg.go. Pure: bytes in, values out; the
lines are kept losslessly (``b"".join(line.raw for line in parse(data)) == data``), so an editor can change one of them
and leave the rest byte for byte as it was.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

#: The kinds of line.
SETTING = "setting"  #: KEY=VALUE, read by Go
COMMENT = "comment"  #: starts with "#", ignored by Go
BLANK = "blank"  #: nothing but white space, ignored by Go
BAD = "bad"  #: anything else, ignored by Go without a word


class Line(NamedTuple):
    """One line.

    kind: SETTING, COMMENT, BLANK or BAD.
    key, value: of a SETTING, else empty; the value is literal: no quotes, no trimming, a CR stays in it.
        Bytes that are no UTF-8 are kept as surrogate escapes.
    raw: the bytes of the line with its newline, if it has one.
    """

    kind: str
    key: str
    value: str
    raw: bytes


class Finding(NamedTuple):
    """Something in an env file that its author hardly meant.

    code: stable name; number: line, counted from 1; key: variable or ""; text: what is wrong and what to do.
    The text never holds a value.
    """

    code: str
    number: int
    key: str
    text: str


def _line(raw: bytes) -> Line:
    body = raw[:-1] if raw.endswith(b"\n") else raw
    at = body.find(b"=")
    if at >= 0 and b"A" <= body[:1] <= b"Z":
        key = body[:at].decode("utf-8", "surrogateescape")
        return Line(SETTING, key, body[at + 1 :].decode("utf-8", "surrogateescape"), raw)
    if body.startswith(b"#"):
        return Line(COMMENT, "", "", raw)
    return Line(BAD if body.strip() else BLANK, "", "", raw)


def parse(data: bytes) -> list[Line]:
    """The lines of an env file, none left out. Never raises."""
    # Not splitlines(), which also splits at a lone CR: Go splits at LF only.
    lines = data.split(b"\n")
    last = lines.pop()
    return [_line(raw + b"\n") for raw in lines] + ([_line(last)] if last else [])


def values(lines: Sequence[Line]) -> dict[str, str]:
    """Key -> value as Go sees them: the last duplicate wins; ``KEY=`` gives an empty value, not "unset"."""
    return {line.key: line.value for line in lines if line.kind == SETTING}


def numbers(lines: Sequence[Line]) -> dict[str, int]:
    """Key -> number of the line that decides, counted from 1."""
    return {line.key: number for number, line in enumerate(lines, 1) if line.kind == SETTING}


def findings(lines: Sequence[Line]) -> list[Finding]:
    """What Go ignores or takes literally without telling anybody, in the order of the lines."""
    result: list[Finding] = []
    last = numbers(lines)
    for number, line in enumerate(lines, 1):
        if line.kind == BAD:
            result.append(Finding("env-file-bad-line", number, "", _why_bad(line.raw)))
        if line.kind != SETTING:
            continue
        if last[line.key] != number:
            text = f"{line.key} is set again in line {last[line.key]}, which wins; delete this line"
            result.append(Finding("env-file-duplicate", number, line.key, text))
        if line.value.endswith("\r"):
            text = "the line ends in CR LF and Go keeps the CR as part of the value; save the file with LF only"
            result.append(Finding("env-file-crlf", number, line.key, text))
        value = line.value.rstrip("\r")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" and line.key != "GOFLAGS":
            text = "the quotes are part of the value: Go's env file knows no quoting; remove them"
            result.append(Finding("env-file-quotes", number, line.key, text))
        elif value != value.strip():
            text = "blanks around the value are part of it: Go trims nothing here; remove them"
            result.append(Finding("env-file-blanks", number, line.key, text))
        if line.key != line.key.rstrip() or not line.key.replace("_", "").isalnum():
            text = "the name before the = is taken literally, blanks and all, and names no variable"
            result.append(Finding("env-file-bad-name", number, line.key, text))
        if "\x00" in line.value or any("\udc80" <= char <= "\udcff" for char in line.value):
            text = "the value holds NUL or is not UTF-8; Go would refuse to write it"
            result.append(Finding("env-file-encoding", number, line.key, text))
    return result


def _why_bad(raw: bytes) -> str:
    text = raw.strip()
    if raw[:1] in (b" ", b"\t") and b"=" in raw:
        return "Go ignores this line: a setting must start in the first column"
    if text.startswith(b"export "):
        return "Go ignores this line: the file is no shell script; write KEY=VALUE without export"
    if b"=" not in raw:
        return "Go ignores this line: it has no ="
    return "Go ignores this line: a setting must start with A to Z"
