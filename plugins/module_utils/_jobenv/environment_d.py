# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""/etc/environment.d, which systemd's user managers read (environment.d(5)), and with them all user services.

The grammar is that of systemd's parse_env_file_internal (src/basic/env-file.c): a value may have several quoted parts;
a backslash takes the meaning from the next sign, in double quotes from a quote, a backslash, a backtick and ``$`` only.
Afterwards replace_env (src/basic/env-util.c) puts in variables, within any quotes, and makes ``$`` of ``$$``. An empty
value is refused by systemd.
"""

from __future__ import annotations

import os
import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from . import base
from .profile_d import HEADER, decode, emptied

NAME = "environment_d"
PATH = "/etc/environment.d/50-gofleet-go.conf"
#: The weakest first; the account's own folder comes after them.
FOLDERS = ("/usr/lib/environment.d", "/usr/local/lib/environment.d", "/run/environment.d", "/etc/environment.d")

_KEY = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*=", re.S)
_NAME = re.compile(r"[A-Za-z0-9_]+")
_BRACED = re.compile(r"\{([A-Za-z0-9_]+)(?::([-+])([^{}]*))?\}")
#: Bytes of one variable and of all: with more no program can be started (execve(2)). Variables that refer to others
#: grow fast.
_LIMIT, _ALL = 128 << 10, 6 << 20


class Line(NamedTuple):
    """One line, or several that belong together, without the last newline; raw: the value before variables."""

    text: str
    name: str = ""
    raw: str = ""


def _value(text: str, at: int, number: int) -> Tuple[str, int]:
    """The value that starts at the position, and the position of the newline after it."""
    parts: List[str] = []
    blanks, before = "", True
    while at < len(text) and text[at] != "\n":
        char = text[at]
        at += 1
        if char in " \t":
            blanks += "" if before else char
        elif char in "'\"" and before:
            while at < len(text) and text[at] != char:
                following = text[at + 1 : at + 2]
                if char == '"' and text[at] == "\\" and following:
                    parts.append(following if following in '"\\`$' else "" if following == "\n" else "\\" + following)
                    at += 1
                else:
                    parts.append(text[at])
                at += 1
            if at >= len(text):
                raise base.BadPlace("line %d: a quote is not closed; close it" % number)
            at += 1
        elif char in "'\"":
            raise base.BadPlace(
                "line %d: a quote within a value, which systemd and people read differently; put the whole value in "
                "double quotes" % number
            )
        else:
            if char == "\\" and at < len(text):
                char = "" if text[at] == "\n" else text[at]
                at += 1
            parts.append(blanks + char)
            blanks, before = "", False
    return "".join(parts), at


def parse(text: str) -> List[Line]:
    """The lines of a document. Raises BadPlace."""
    lines: List[Line] = []
    at, counted, number = 0, 0, 1
    while at < len(text):
        number += text.count("\n", counted, at)
        counted = at
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end]
        if line.strip(" \t")[:1] in ("", "#", ";"):
            if line.endswith("\\"):
                raise base.BadPlace("line %d: a comment that ends with a backslash takes the next line too" % number)
            lines.append(Line(line))
            at = end + 1
            continue
        found = _KEY.match(text, at, end)
        if not found:
            raise base.BadPlace("line %d is not of the form NAME=value; correct it or remove it" % number)
        value, end = _value(text, found.end(), number)
        lines.append(Line(text[at:end], found.group(1), value))
        at = end + 1
    return lines


def expand(value: str, environ: Mapping[str, str]) -> str:
    """The value with ``$NAME``, ``${NAME}``, ``${NAME:-text}`` and ``${NAME:+text}`` put in, and ``$`` for ``$$``.

    Raises BadPlace for more than a variable can hold.
    """
    result: List[str] = []
    at, size, summed = 0, 0, 0
    while at < len(value):
        size += sum(map(len, result[summed:]))
        summed = len(result)
        if size > _LIMIT:
            raise base.BadPlace("a variable gets longer than %d bytes; correct it" % _LIMIT)
        if value[at] != "$":
            result.append(value[at])
            at += 1
            continue
        if value[at + 1 : at + 2] == "$":
            result.append("$")
            at += 2
            continue
        plain = _NAME.match(value, at + 1)
        braced = _BRACED.match(value, at + 1)
        if plain:
            result.append(environ.get(plain.group(), ""))
            at = plain.end()
        elif braced:
            known = environ.get(braced.group(1), "")
            if braced.group(2) == "-":
                known = known or expand(braced.group(3), environ)
            elif braced.group(2) == "+":
                known = expand(braced.group(3), environ) if known else ""
            result.append(known)
            at = braced.end()
        else:
            result.append("$")
            at += 1
    return "".join(result)


def merge(environ: Dict[str, str], data: bytes) -> None:
    """Puts what a document gives into the environment, in which the earlier documents' variables are. BadPlace."""
    size = sum(map(len, environ.values()))
    for line in parse(decode(data)):
        if line.name and line.raw:
            size -= len(environ.get(line.name, ""))
            environ[line.name] = expand(line.raw, environ)
            size += len(environ[line.name])
            if size > _ALL:
                raise base.BadPlace("all variables together get longer than %d bytes; correct them" % _ALL)


def documents(root: str, home: str) -> List[str]:
    """The files that a user manager reads, in its order: sorted by name, of each name that of the strongest folder."""
    files: Dict[str, str] = {}
    for folder in [root + item for item in FOLDERS] + ([home + "/.config/environment.d"] if home else []):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        files.update({name: folder + "/" + name for name in names if name.endswith(".conf")})
    return [files[name] for name in sorted(files)]


def find(request: base.Request) -> base.Found:
    """See base.Kind: the places of this kind."""
    places = [
        base.Place(
            NAME,
            path,
            "",
            "",
            "user managers (systemd --user) and the services that they start; no system service, no cron, and no ssh "
            "session",
            "host",
            "systemctl --user daemon-reexec, or the next start of the user manager, and a restart of its services",
        )
        for path in request.paths or (request.root + PATH,)
    ]
    return base.Found(places, [], [])


def read(data: bytes, part: str) -> Dict[str, str]:
    """See base.Kind: what the document gives, by name. Raises base.BadPlace."""
    found: Dict[str, str] = {}
    merge(found, data)
    return found


def edit(data: Optional[bytes], part: str, changes: Mapping[str, Optional[str]]) -> Optional[bytes]:
    """See base.Kind: the document with the changes. Raises base.BadPlace."""
    text = decode(data or b"")
    lines = parse(text)
    todo = base.wanted(read(data or b"", part), changes)
    names = {line.name for line in lines}
    todo = {name: value for name, value in todo.items() if value is not None or name in names}
    if not todo:
        return data
    texts = [(line.name, line.text) for line in lines]
    if not texts and any(value is not None for value in todo.values()):
        texts = [("", HEADER)]
    for name in sorted(todo):
        value = todo[name]
        at = [number for number, item in enumerate(texts) if item[0] == name]
        if value is not None:
            base.one_line(name, value, NAME)
            if not value:
                raise base.BadPlace("%s: systemd takes no empty value here; remove the variable instead" % name)
            quoted = re.sub(r'(["\\`$])', r"\\\1", value.replace("$", "$$"))
            new = (name, '%s="%s"' % (name, quoted))
            if at:
                texts[at.pop()] = new
            else:
                texts.append(new)
        for number in reversed(at):
            del texts[number]
    if emptied([item[1] for item in texts]):
        return None
    return "".join(item[1] + "\n" for item in texts).encode("utf-8")


KIND = base.Kind(NAME, find, read, edit)
