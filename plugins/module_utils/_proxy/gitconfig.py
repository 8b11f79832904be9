# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An account's Git configuration, read from its files: no git is run (git-config(1)).

Conditional includes depend on a repository, which there is none of yet: they are named, not followed.
"""

from __future__ import annotations

import os
import re
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from .._go.files import Files
from .._go.mask import mask

#: Files and levels of include that are followed.
MAX_FILES = 20
MAX_DEPTH = 10


class Item(NamedTuple):
    """One setting. section and key in lower case, subsection as written; where: ``file:line``."""

    section: str
    subsection: str
    key: str
    value: str
    where: str


class Malformed(ValueError):
    """git would refuse the whole file; the text names the line."""


def parse(text: str, path: str) -> List[Item]:
    """The settings of one file. Raises Malformed where git dies as well."""
    found: List[Item] = []
    section, subsection = "", ""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        number = at + 1
        line = lines[at].rstrip("\r").strip()
        at += 1
        head = re.match(r'\[([A-Za-z0-9.\-]+)(?:[ \t]+"((?:[^"\\]|\\.)*)")?\]', line)
        if head is not None:
            section, subsection = head.group(1).lower(), re.sub(r"\\(.)", r"\1", head.group(2) or "")
            if head.group(2) is None and "." in section:  # [section.subsection], the old way
                section, _dot, subsection = section.partition(".")
            line = line[head.end() :].strip()
        if not line or line[0] in "#;":
            continue
        match = re.match(r"([A-Za-z][A-Za-z0-9\-]*)[ \t]*(=?)[ \t]*", line)
        if match is None or not section:
            raise Malformed("bad config line %d in %s" % (number, path))
        raw = line[match.end() :]
        while _continues(raw) and at < len(lines):
            raw = raw[:-1] + lines[at].rstrip("\r")
            at += 1
        value = _value(raw) if match.group(2) else "true"
        if value is None:
            raise Malformed("bad config line %d in %s" % (number, path))
        found.append(Item(section, subsection, match.group(1).lower(), value, "%s:%d" % (path, number)))
    return found


def _continues(raw: str) -> bool:
    return (len(raw) - len(raw.rstrip("\\"))) % 2 == 1


def _value(raw: str) -> Optional[str]:
    out, kept, quoted, at = "", 0, False, 0
    while at < len(raw):
        char = raw[at]
        if char == "\\":
            at += 1
            escaped = {"n": "\n", "t": "\t", "b": "\b", '"': '"', "\\": "\\"}.get(raw[at : at + 1])
            if escaped is None:
                return None
            out += escaped
            kept = len(out)
        elif char == '"':
            quoted = not quoted
            kept = len(out)
        elif char in "#;" and not quoted:
            break
        else:
            out += char
            kept = len(out) if quoted or char not in " \t" else kept
        at += 1
    return None if quoted else out[:kept]


class Config:
    """What the files of an account say; notes tells what could not be read or was not followed.

    environ: its processes', for HOME, XDG_CONFIG_HOME and GIT_CONFIG_*. Raises nothing.
    """

    def __init__(self, environ: Mapping[str, str], files: Files) -> None:
        self.environ = environ
        self.files = files
        self.items: List[Item] = []
        self.notes: List[str] = []
        self._read: List[str] = []
        self.home = environ.get("HOME", "")
        for path in self._places():
            self._file(path, 0)
        count = environ.get("GIT_CONFIG_COUNT", "")
        for number in range(min(int(count), 1000) if re.match(r"[0-9]{1,4}\Z", count) else 0):
            key = environ.get("GIT_CONFIG_KEY_%d" % number, "")
            section, _dot, rest = key.partition(".")
            subsection, _dot, name = rest.rpartition(".")
            value = environ.get("GIT_CONFIG_VALUE_%d" % number, "")
            self.items.append(Item(section.lower(), subsection, name.lower(), value, "GIT_CONFIG_KEY_%d" % number))

    def _places(self) -> List[str]:
        places: List[str] = []
        if self.environ.get("GIT_CONFIG_NOSYSTEM", "").lower() not in ("1", "true", "yes", "on"):
            places.append(self.environ.get("GIT_CONFIG_SYSTEM") or "/etc/gitconfig")
        if self.environ.get("GIT_CONFIG_GLOBAL"):
            return places + [self.environ["GIT_CONFIG_GLOBAL"]]
        config = self.environ.get("XDG_CONFIG_HOME") or (self.home + "/.config" if self.home else "")
        places += [config + "/git/config"] if config else []
        return places + ([self.home + "/.gitconfig"] if self.home else [])

    def _file(self, path: str, depth: int) -> None:
        if path in self._read:
            return
        if len(self._read) >= MAX_FILES or depth > MAX_DEPTH:
            self.notes.append("%s: not read: too many included files" % path)
            return
        self._read.append(path)
        try:
            found = parse(self.files.read(path).decode("utf-8", "surrogateescape"), path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self.notes.append("%s: %s" % (path, error.strerror or "cannot be read"))
            return
        except Malformed as error:
            self.notes.append("%s: git refuses to work" % error)
            return
        for item in found:
            self.items.append(item)
            if item.key != "path":
                continue
            if item.section == "includeif":
                self.notes.append("%s: includeIf depends on the repository and is not followed" % item.where)
            elif item.section == "include" and item.value:
                self._file(self.expand(item.value, os.path.dirname(path)), depth + 1)

    def expand(self, path: str, folder: str = "/") -> str:
        """A path as git takes it: ``~/`` is the home, a relative one is below folder."""
        if path.startswith("~/") and self.home:
            return self.home + path[1:]
        return os.path.normpath(os.path.join(folder, path))

    def get(self, section: str, key: str) -> Optional[Item]:
        """The last setting of a section without subsection."""
        rows = [item for item in self.items if (item.section, item.subsection, item.key) == (section, "", key)]
        return rows[-1] if rows else None

    def instead(self, url: str) -> Tuple[str, Optional[Item]]:
        """The URL that git really uses, and the rule that says so: the longest insteadOf wins (remote.c, alias_url)."""
        best: Optional[Item] = None
        for item in self.items:
            holds = (item.section, item.key) == ("url", "insteadof") and item.value and url.startswith(item.value)
            if holds and (best is None or len(item.value) > len(best.value)):
                best = item
        return (best.subsection + url[len(best.value) :], best) if best is not None else (url, None)

    def for_url(self, section: str, key: str, url: str) -> List[Item]:
        """The settings ``section.key`` and ``section.<url>.key`` that hold for a URL, the best match last.

        As urlmatch.c without wildcards in hosts: scheme, host and port must be the same, the path a prefix.
        """
        rows: List[Tuple[int, int, Item]] = []
        for number, item in enumerate(self.items):
            if item.section != section or item.key != key:
                continue
            fit = _fits(item.subsection, url) if item.subsection else 0
            if fit is not None:
                rows.append((fit, number, item))
        return [item for _fit, _number, item in sorted(rows)]

    def last(self, section: str, key: str, url: str) -> str:
        """The value that holds for a URL, or an empty text."""
        rows = self.for_url(section, key, url)
        return rows[-1].value if rows else ""


def _fits(pattern: str, url: str) -> Optional[int]:
    try:
        wanted, given = urlsplit(pattern), urlsplit(url)
        ports = (wanted.port, given.port)
    except ValueError:
        return None
    defaults = {"https": 443, "http": 80}
    same = wanted.scheme == given.scheme and (wanted.hostname or "") == (given.hostname or "")
    if not same or (ports[0] or defaults.get(wanted.scheme)) != (ports[1] or defaults.get(given.scheme)):
        return None
    if wanted.username is not None and wanted.username != given.username:
        return None
    path = wanted.path.rstrip("/")
    if given.path != path and not given.path.startswith(path + "/"):
        return None
    return len(path) + 1


def helper_names(items: Sequence[Item]) -> List[str]:
    """The names of credential helpers, fit to be shown; an empty value forgets those before it."""
    names: List[str] = []
    for item in items:
        if not item.value:
            names = []
        elif item.value.startswith("!"):
            names.append("a shell command (%s)" % item.where)
        else:
            names.append("%s (%s)" % (mask(os.path.basename(item.value.split()[0])), item.where))
    return names
