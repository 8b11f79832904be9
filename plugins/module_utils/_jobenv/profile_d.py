# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A script in /etc/profile.d, which login shells read: ``export NAME='value'`` lines and nothing else.

Sources: POSIX.1-2017, Shell Command Language 2.2 (quoting) and 2.9.1 (assignments before no command).
"""

from __future__ import annotations

import os
import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from . import base

NAME = "profile_d"
PATH = "/etc/profile.d/gofleet-go.sh"
HEADER = "# Written by gofleet.cache; only the variables that it was asked for are changed here."

#: Characters that mean themselves in an assignment without quotes.
PLAIN = r"A-Za-z0-9_@%+=:,./\-"
_ASSIGNMENT = re.compile(r"[ \t]*(export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.S)
_MARKING = re.compile(r"[ \t]*export([ \t]+[A-Za-z_][A-Za-z0-9_]*)+[ \t]*\Z")


class Line(NamedTuple):
    """One line: its text, and the assignment in it. quoted: it has quotes. exports: the names that it marks."""

    text: str
    name: str = ""
    value: str = ""
    quoted: bool = False
    exports: Tuple[str, ...] = ()


def quote(value: str) -> str:
    """The value as one word of a shell, in single quotes, in which nothing is special."""
    return "'" + value.replace("'", "'\\''") + "'"


def unquote(word: str) -> Optional[str]:
    """What a shell makes of a word of an assignment, or None where it would have to run or look up something."""
    result: List[str] = []
    at = 0
    while at < len(word):
        char = word[at]
        if char == "'":
            end = word.find("'", at + 1)
            if end < 0:
                return None
            result.append(word[at + 1 : end])
            at = end + 1
        elif char == '"':
            at += 1
            while at < len(word) and word[at] != '"':
                if word[at] in "$`":
                    return None
                if word[at] == "\\" and word[at + 1 : at + 2] in ("$", "`", '"', "\\"):
                    at += 1
                result.append(word[at])
                at += 1
            if at >= len(word):
                return None
            at += 1
        elif char == "\\" and at + 1 < len(word):
            result.append(word[at + 1])
            at += 2
        elif re.match("[%s*?\\[\\]{}^!]" % PLAIN, char) or ord(char) > 127:
            result.append(char)
            at += 1
        else:
            return None
    return "".join(result)


def decode(data: bytes) -> str:
    """The text of a document. Raises BadPlace."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise base.BadPlace("it is not UTF-8 text; repair it by hand") from None
    if "\0" in text or "\r" in text:
        raise base.BadPlace("it holds a NUL or a carriage return; repair it by hand (dos2unix)")
    return text


def split(text: str) -> List[str]:
    """The lines, whether or not the last one is ended."""
    return (text[:-1] if text.endswith("\n") else text).split("\n") if text else []


def parse(text: str) -> List[Line]:
    """The lines of a script of assignments. Raises BadPlace for anything else in it."""
    lines: List[Line] = []
    for number, line in enumerate(split(text), 1):
        found = _ASSIGNMENT.match(line)
        if line.strip(" \t")[:1] in ("", "#"):
            lines.append(Line(line))
            continue
        if _MARKING.match(line):
            lines.append(Line(line, exports=tuple(line.split()[1:])))
            continue
        word = found.group(3).rstrip(" \t") if found else ""
        value = unquote(word) if found else None
        if found is None or value is None:
            raise base.BadPlace(
                "line %d is not of the form export NAME='value', so nothing is changed; put what else has to be done "
                "into a file of its own" % number
            )
        name = found.group(2)
        quoted = bool(re.search("['\"\\\\]", word))
        lines.append(Line(line, name, value, quoted, (name,) if found.group(1) else ()))
    return lines


def values(lines: List[Line], exported: bool = True) -> Dict[str, str]:
    """name -> value; the last one counts. exported: only what gets into the environment of what the shell starts."""
    marked = {name for line in lines for name in line.exports}
    return {line.name: line.value for line in lines if line.name and (line.name in marked or not exported)}


def replace(lines: List[Line], name: str, new: Optional[str]) -> List[str]:
    """The texts of the lines with the last assignment of name replaced by the line new and the others removed."""
    at = [number for number, line in enumerate(lines) if line.name == name]
    texts = [line.text for line in lines]
    if new is not None:
        if at:
            texts[at.pop()] = new
        else:
            texts.append(new)
    for number in reversed(at):
        del texts[number]
    return texts


def emptied(texts: List[str], header: str = HEADER) -> bool:
    """Whether nothing is left of a file but the line with which we begin one."""
    return [text for text in texts if text.strip()] == [header]


def find(request: base.Request) -> base.Found:
    """See base.Kind: the places of this kind."""
    places = [
        base.Place(
            NAME,
            path,
            "",
            "",
            "login shells of every account (sh and bash; also GitLab's shell executor with --user, which uses su -l)",
            "host",
            "the next login",
        )
        for path in request.paths or (request.root + PATH,)
    ]
    missing: List[base.NotReached] = []
    if not request.paths and not os.path.isdir(request.root + os.path.dirname(PATH)):
        places = []
        why = "there is no folder %s here, so no shell reads one" % os.path.dirname(PATH)
        missing = [base.NotReached("login shells", why, "Name the place by paths.")]
    return base.Found(places, missing, [])


def read(data: bytes, part: str) -> Dict[str, str]:
    """See base.Kind: what the document gives, by name. Raises base.BadPlace."""
    return values(parse(decode(data)))


def edit(data: Optional[bytes], part: str, changes: Mapping[str, Optional[str]]) -> Optional[bytes]:
    """See base.Kind: the document with the changes. Raises base.BadPlace."""
    lines = parse(decode(data or b""))
    todo = base.wanted(values(lines), changes)
    if not todo:
        return data
    if not lines and any(value is not None for value in todo.values()):
        lines = [Line(HEADER)]
    for name in sorted(todo):
        value = todo[name]
        if value is not None:
            base.one_line(name, value, NAME)
        new = None if value is None else "export %s=%s" % (name, quote(value))
        texts = replace(lines, name, new)
        lines = parse("".join(text + "\n" for text in texts))
    if emptied([line.text for line in lines]):
        return None
    return "".join(line.text + "\n" for line in lines).encode("utf-8")


KIND = base.Kind(NAME, find, read, edit)
