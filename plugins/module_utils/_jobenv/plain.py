# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of NAME=value or ``export NAME='value'`` lines that images, scripts or a container engine read.

Nothing in such a file says who reads it: a shell undoes quotes, ``docker run --env-file`` takes them as they are. So
the style is taken from the lines that are there, and a value that the two would read differently is refused where no
line tells. A new file gets ``export`` lines; one that exists without any assignment gets NAME=value.
"""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, Optional, Tuple

from . import base
from .profile_d import HEADER, PLAIN, Line, decode, emptied, parse, quote, replace, split, values

NAME = "plain"

EXPORT, QUOTED, LITERAL, UNKNOWN = "export", "quoted", "literal", "unknown"
_LITERAL = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z")


def _literal(text: str) -> List[Line]:
    lines: List[Line] = []
    for number, line in enumerate(split(text), 1):
        found = _LITERAL.match(line)
        if found:
            lines.append(Line(line, found.group(1), found.group(2)))
        elif line.strip(" \t")[:1] in ("", "#"):
            lines.append(Line(line))
        else:
            raise base.BadPlace(
                "line %d is neither NAME=value nor export NAME='value', so nothing is changed; put what else has to be "
                "done into a file of its own" % number
            )
    return lines


def _parse(text: str) -> Tuple[List[Line], str]:
    try:
        lines = parse(text)
    except base.BadPlace:
        # Blanks or signs without quotes: no shell reads it.
        if re.search(r"(?m)^[ \t]*export[ \t]", text):
            raise
        return _literal(text), LITERAL
    if any(line.exports for line in lines):
        return lines, EXPORT
    return lines, QUOTED if any(line.quoted for line in lines) else UNKNOWN


def _text(name: str, value: str, style: str) -> str:
    if style == LITERAL:
        return "%s=%s" % (name, value)
    if style == EXPORT:
        return "export %s=%s" % (name, quote(value))
    if re.match("[%s]*\\Z" % PLAIN, value):
        return "%s=%s" % (name, value)
    if style == QUOTED:
        return "%s=%s" % (name, quote(value))
    raise base.BadPlace(
        "%s: the value has blanks or other signs that a shell and an env file (docker run --env-file) read "
        "differently, and no line tells which of the two this file is; begin it with a line such as export CI='true' "
        "if a shell reads it, or CI=in a job if not" % name
    )


def find(request: base.Request) -> base.Found:
    """See base.Kind: the places of this kind."""
    places = [
        base.Place(NAME, path, "", "", "whoever reads this file", "", "the next start of what reads it")
        for path in request.paths
    ]
    return base.Found(places, [], [])


def read(data: bytes, part: str) -> Dict[str, str]:
    """See base.Kind: what the document gives, by name. Raises base.BadPlace."""
    lines, style = _parse(decode(data))
    return values(lines, style == EXPORT)


def shell_reads(data: bytes) -> bool:
    """Whether the document is one that a shell reads and that exports its variables."""
    return _parse(decode(data))[1] == EXPORT


def edit(data: Optional[bytes], part: str, changes: Mapping[str, Optional[str]]) -> Optional[bytes]:
    """See base.Kind: the document with the changes. Raises base.BadPlace."""
    lines, style = _parse(decode(data or b""))
    todo = base.wanted(values(lines, style == EXPORT), changes)
    if not todo:
        return data
    if data is None:
        lines, style = [Line(HEADER)], EXPORT
    texts = [line.text for line in lines]
    for name in sorted(todo):
        value = todo[name]
        new = None
        if value is not None:
            base.one_line(name, value, NAME)
            new = _text(name, value, style)
        texts = replace(lines, name, new)
        lines = _lines(texts, style)
    if emptied(texts):
        return None
    return "".join(text + "\n" for text in texts).encode("utf-8")


def _lines(texts: List[str], style: str) -> List[Line]:
    text = "".join(item + "\n" for item in texts)
    return _literal(text) if style == LITERAL else parse(text)


KIND = base.Kind(NAME, find, read, edit)
