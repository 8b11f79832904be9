# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reader of TOML 1.0 for configuration files on agents, whose Python may be older than ``tomllib`` (3.11).

Format: https://toml.io/en/v1.0.0. What it does not understand it refuses with the line number; it never guesses.
Error messages never quote the document, because these files hold tokens.
"""

from __future__ import annotations

import bisect
import datetime
import re
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Set, Tuple, Union

_MAX_DEPTH = 60


class Moment(str):
    """A date or time, kept as written: no reader of these files needs more."""


Value = Union[str, int, float, bool, Moment, List["Value"], Dict[str, "Value"]]
Table = Dict[str, Value]


class Span(NamedTuple):
    """A part of the document: it begins at ``start`` and ends in front of ``end``, counted in signs."""

    start: int
    end: int


class Layout:
    """The parsed document, and where its parts stand in the text that was given. ``top`` as of :func:`parse`."""

    def __init__(self, text: str) -> None:
        """Raises TomlError as :func:`parse` does."""
        self._reader = _reader(text)
        self.top = self._reader.document()
        # The reader counts in a text whose lines end with a line feed alone.
        self._ends = [match.start() - i for i, match in enumerate(re.finditer("\r\n", text))]

    def _there(self, span: Span) -> Span:
        return Span(*(pos + bisect.bisect_left(self._ends, pos) for pos in span))

    def value(self, table: Table, key: str) -> Span:
        """Where the value of *key* stands, one of the tables of ``top``; KeyError where it stands as no such line."""
        return self._there(self._reader.values[id(table)][key])

    def values(self, table: Table) -> List[Span]:
        """Where the values of *table*'s own lines (or of an inline table) stand."""
        return [self._there(span) for span in self._reader.values.get(id(table), {}).values()]

    def items(self, array: List[Value]) -> List[Span]:
        """Where the items of a static array stand."""
        return [self._there(span) for span in self._reader.items[id(array)]]

    def last_line(self, table: Table) -> Optional[Span]:
        """The last own line of a table with a header, with its line end but without its indent (the header where there
        is no other); None for an inline table."""
        span = self._reader.last.get(id(table))
        return None if span is None else self._there(span)


class TomlError(ValueError):
    """The document is not understood; ``line`` counts from 1, ``reason`` quotes nothing of it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__("line %d: %s" % (line, reason))
        self.line = line
        self.reason = reason


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"[ \t]*")
_INTEGER = re.compile(
    r"[+-]?(?:0|[1-9](?:_?[0-9])*)|0x[0-9A-Fa-f](?:_?[0-9A-Fa-f])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*"
)
_FLOAT = re.compile(r"[+-]?(?:(?:0|[1-9](?:_?[0-9])*)(?:\.[0-9](?:_?[0-9])*)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?|inf|nan)")
_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d):(\d\d)(\.\d+)?"
_DATE_TIME = re.compile(_DATE + r"(?:[Tt ]" + _TIME + r"([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
_LOCAL_TIME = re.compile(_TIME, re.ASCII)
_SCALAR = re.compile(r"[A-Za-z0-9_+.:-]+", re.ASCII)
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_CONTROL: FrozenSet[str] = frozenset(chr(i) for i in [*range(32), 127]) - {"\t"}


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.pos = 0
        self.top: Table = {}
        # id() of tables and lists, all of which stay alive in self.top.
        self.explicit: Set[int] = set()  # defined by a [header]
        self.dotted: Set[int] = set()  # made by a dotted key: no header may reopen it
        self.frozen: Set[int] = set()  # inline tables and static arrays
        self.tables: Set[int] = set()  # lists made by [[header]]
        # Where things stand, by id() too: see Layout.
        self.values: Dict[int, Dict[str, Span]] = {}
        self.items: Dict[int, List[Span]] = {}
        self.last: Dict[int, Span] = {}

    def error(self, reason: str) -> TomlError:
        return TomlError(self.text.count("\n", 0, self.pos) + 1, reason)

    def peek(self, text: str) -> bool:
        return self.text.startswith(text, self.pos)

    def expect(self, text: str, reason: str) -> None:
        if not self.peek(text):
            raise self.error(reason)
        self.pos += len(text)

    def blanks(self) -> None:
        match = _BLANK.match(self.text, self.pos)
        if match is not None:
            self.pos = match.end()

    def comment(self) -> None:
        if not self.peek("#"):
            return
        end = self.text.find("\n", self.pos)
        end = len(self.text) if end < 0 else end
        if not _CONTROL.isdisjoint(self.text[self.pos : end]):
            raise self.error("a control character in a comment")
        self.pos = end

    def end_of_line(self) -> None:
        self.blanks()
        self.comment()
        if self.pos < len(self.text):
            self.expect("\n", "something follows where the line should end")

    def gap(self) -> None:
        """Blanks, comments and line ends inside an array."""
        while True:
            self.blanks()
            self.comment()
            if not self.peek("\n"):
                return
            self.pos += 1

    def document(self) -> Table:
        here = self.top
        while self.pos < len(self.text):
            self.blanks()
            if self.peek("#") or self.peek("\n") or self.pos >= len(self.text):
                self.end_of_line()
            else:
                start = self.pos
                if self.peek("["):
                    here = self.header()
                else:
                    self.pair(here, inline=False, depth=0)
                self.end_of_line()
                self.last[id(here)] = Span(start, self.pos)
        return self.top

    def simple_key(self) -> str:
        if self.peek('"""') or self.peek("'''"):
            raise self.error("a multi-line string as a key")
        if self.peek('"'):
            return self.basic()
        if self.peek("'"):
            return self.literal()
        match = _BARE.match(self.text, self.pos)
        if match is None:
            raise self.error("a key is missing")
        self.pos = match.end()
        return match.group()

    def key(self) -> List[str]:
        parts = [self.simple_key()]
        while True:
            self.blanks()
            if not self.peek("."):
                return parts
            self.pos += 1
            self.blanks()
            parts.append(self.simple_key())
            if len(parts) > _MAX_DEPTH:
                raise self.error("nested too deeply")

    def header(self) -> Table:
        double = self.peek("[[")
        self.pos += 2 if double else 1
        self.blanks()
        parts = self.key()
        self.expect("]]" if double else "]", "the header is not closed")
        table = self.top
        for part in parts[:-1]:
            if part not in table:
                fresh: Table = {}
                table[part] = fresh
                table = fresh
                continue
            below = table[part]
            if isinstance(below, list) and id(below) in self.tables:
                below = below[-1]
            if not isinstance(below, dict) or id(below) in self.frozen:
                raise self.error("the header names something that is no table")
            table = below
        last = parts[-1]
        there = table.get(last)
        new: Table = {}
        if double:
            if there is None:
                rows: List[Value] = []
                self.tables.add(id(rows))
                table[last] = rows
            elif isinstance(there, list) and id(there) in self.tables:
                rows = there
            else:
                raise self.error("the header names something that is no array of tables")
            rows.append(new)
            self.explicit.add(id(new))
            return new
        if there is None:
            table[last] = new
            self.explicit.add(id(new))
            return new
        if not isinstance(there, dict) or id(there) in self.frozen | self.explicit | self.dotted:
            raise self.error("the table is defined twice")
        self.explicit.add(id(there))
        return there

    def pair(self, table: Table, inline: bool, depth: int) -> None:
        parts = self.key()
        self.expect("=", "a '=' is missing after the key")
        self.blanks()
        for part in parts[:-1]:
            if part not in table:
                fresh: Table = {}
                self.dotted.add(id(fresh))
                table[part] = fresh
                table = fresh
                continue
            below = table[part]
            if not isinstance(below, dict) or id(below) in self.frozen or id(below) not in self.dotted:
                raise self.error("the key names something that is no open table")
            table = below
        if parts[-1] in table:
            raise self.error("the key is defined twice")
        start = self.pos
        table[parts[-1]] = self.value(depth)
        self.values.setdefault(id(table), {})[parts[-1]] = Span(start, self.pos)

    def value(self, depth: int) -> Value:
        if depth > _MAX_DEPTH:
            raise self.error("nested too deeply")
        if self.peek('"""'):
            return self.long_basic()
        if self.peek('"'):
            return self.basic()
        if self.peek("'''"):
            return self.long_literal()
        if self.peek("'"):
            return self.literal()
        if self.peek("["):
            return self.array(depth)
        if self.peek("{"):
            return self.inline_table(depth)
        return self.scalar()

    def array(self, depth: int) -> List[Value]:
        self.pos += 1
        found: List[Value] = []
        self.frozen.add(id(found))
        spans = self.items.setdefault(id(found), [])
        while True:
            self.gap()
            if self.peek("]"):
                self.pos += 1
                return found
            start = self.pos
            found.append(self.value(depth + 1))
            spans.append(Span(start, self.pos))
            self.gap()
            if self.peek(","):
                self.pos += 1
            elif not self.peek("]"):
                raise self.error("the array is not closed")

    def inline_table(self, depth: int) -> Table:
        self.pos += 1
        found: Table = {}
        self.blanks()
        if self.peek("}"):
            self.pos += 1
        else:
            while True:
                self.blanks()
                self.pair(found, inline=True, depth=depth + 1)
                self.blanks()
                if self.peek("}"):
                    self.pos += 1
                    break
                self.expect(",", "the inline table is not closed")
        self.freeze(found)
        return found

    def freeze(self, value: Value) -> None:
        if isinstance(value, dict) and id(value) not in self.frozen:
            self.frozen.add(id(value))
            for below in value.values():
                self.freeze(below)

    def escape(self, long: bool) -> str:
        """One escape; ``self.pos`` stands after the backslash."""
        char = self.text[self.pos : self.pos + 1]
        if char in _ESCAPES and char:
            self.pos += 1
            return _ESCAPES[char]
        if char in ("u", "U") and char:
            length = 4 if char == "u" else 8
            digits = self.text[self.pos + 1 : self.pos + 1 + length]
            if not re.match(r"[0-9A-Fa-f]{%d}\Z" % length, digits):
                raise self.error("a broken unicode escape")
            code = int(digits, 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise self.error("an escape that is no character")
            self.pos += 1 + length
            return chr(code)
        if long:
            match = re.compile(r"[ \t]*\n[ \t\n]*").match(self.text, self.pos)
            if match is not None:
                self.pos = match.end()
                return ""
        raise self.error("an unknown escape")

    def basic(self) -> str:
        self.pos += 1
        out: List[str] = []
        while True:
            char = self.text[self.pos : self.pos + 1]
            if char == '"':
                self.pos += 1
                return "".join(out)
            if not char or char in _CONTROL:
                raise self.error("the string is not closed")
            self.pos += 1
            out.append(self.escape(long=False) if char == "\\" else char)

    def literal(self) -> str:
        end = self.text.find("'", self.pos + 1)
        found = self.text[self.pos + 1 : end]
        if end < 0 or not _CONTROL.isdisjoint(found):
            raise self.error("the string is not closed")
        self.pos = end + 1
        return found

    def long_end(self, quote: str) -> str:
        """At three quotes: up to two more belong to the text before the closing three."""
        count = 3
        while count < 5 and self.text[self.pos + count : self.pos + count + 1] == quote:
            count += 1
        self.pos += count
        return quote * (count - 3)

    def long_basic(self) -> str:
        self.pos += 3
        if self.peek("\n"):
            self.pos += 1
        out: List[str] = []
        while True:
            char = self.text[self.pos : self.pos + 1]
            if not char or (char in _CONTROL and char != "\n"):
                raise self.error("the multi-line string is not closed")
            if self.peek('"""'):
                out.append(self.long_end('"'))
                return "".join(out)
            self.pos += 1
            out.append(self.escape(long=True) if char == "\\" else char)

    def long_literal(self) -> str:
        self.pos += 3
        if self.peek("\n"):
            self.pos += 1
        end = self.text.find("'''", self.pos)
        found = self.text[self.pos : end]
        if end < 0 or not (_CONTROL - {"\n"}).isdisjoint(found):
            raise self.error("the multi-line string is not closed")
        self.pos = end
        return found + self.long_end("'")

    def scalar(self) -> Value:
        match = _SCALAR.match(self.text, self.pos)
        if match is None:
            raise self.error("a value is missing")
        word = match.group()
        # A date and a time may be divided by one space.
        stamp = _DATE_TIME.match(self.text, self.pos)
        if stamp is not None and len(stamp.group()) > len(word):
            word = stamp.group()
        found: Value
        if word in ("true", "false"):
            found = word == "true"
        elif stamp is not None and stamp.group() == word:
            found = self.moment(word, stamp.groups())
        elif _LOCAL_TIME.match(word) is not None:
            clock = _LOCAL_TIME.match(word)
            if clock is None or clock.group() != word:
                raise self.error("a value that is not understood")
            found = self.moment(word, (None, None, None, *clock.groups(), None))
        elif _INTEGER.fullmatch(word) is not None:
            digits = word.replace("_", "")
            if len(digits) > 100:
                raise self.error("a number that is too long")
            found = int(digits, 0)
        elif _FLOAT.fullmatch(word) is not None:
            found = float(word.replace("_", ""))
        else:
            raise self.error("a value that is not understood")
        self.pos += len(word)
        return found

    def moment(self, word: str, groups: Tuple[Optional[str], ...]) -> Moment:
        year, month, day, hour, minute, second, _fraction, zone = groups
        try:
            if year is not None:
                datetime.date(int(year), int(month or 0), int(day or 0))
            if hour is not None:
                datetime.time(int(hour), int(minute or 0), int(second or 0))
            if zone is not None and zone not in ("Z", "z"):
                datetime.time(int(zone[1:3]), int(zone[4:6]))
        except ValueError:
            raise self.error("a date or time that does not exist") from None
        return Moment(word)


def parse(text: str) -> Table:
    """The document's top table.

    Raises TomlError for whatever TOML 1.0 does not allow; dates and times come as :class:`Moment`.
    """
    return _reader(text).document()


def _reader(text: str) -> _Reader:
    if "\0" in text:
        raise TomlError(1, "a NUL byte")
    return _Reader(text)


def table(value: object) -> Table:
    """*value* if it is a table, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> List[Table]:
    """The tables in an array of tables; anything else gives []."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """*value* if it is a string, else ''."""
    return value if isinstance(value, str) and not isinstance(value, Moment) else ""


def texts(value: object) -> List[str]:
    """The strings in an array; a single string counts as an array of one."""
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
