# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables for people: aligned lines of printable ASCII, made on the controller from what modules return."""

from __future__ import annotations

import typing as t

Row = t.Sequence[str]
# Messages of ansible-core that say nothing but that the module printed no result.
_FORMS = ("MODULE FAILURE", "See stdout/stderr", "result deserialization failed")
# What a shell says of a program that is not there or does not run, here the agent's Python.
_NO_PYTHON = "; set ansible_python_interpreter to a Python 3.8 or later that runs"


def plain(value: object) -> str:
    """*value* as one line of printable ASCII; anything else in it is written as an escape, so that it cannot hide."""
    text = str(value).encode("ascii", "backslashreplace").decode("ascii")
    return "".join(c if " " <= c <= "~" else "\\x%02x" % ord(c) for c in text)


def lines(header: Row, rows: t.Iterable[Row], least: t.Sequence[int] = (), right: t.Container[int] = ()) -> list[str]:
    """The header and the rows with aligned columns, two blanks between them and none at the end of a line.

    *least* are the columns' least widths, so that tables of different content look alike; the columns with the numbers
    in *right* are aligned to the right.
    """
    cells = [[plain(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
    widths = [max(width, least[at] if at < len(least) else 0) for at, width in enumerate(widths)]
    found = []
    for row in cells:
        fitted = [
            cell.rjust(width) if at in right else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths))
        ]
        found.append("  ".join(fitted).rstrip())
    return found


def reason(result: t.Mapping[str, t.Any]) -> str:
    """Why a task failed, in one line: its message, and where that is only a form, what it printed."""
    text = str(result.get("msg") or "").strip()
    if "future feature annotations" in str(result.get("module_stderr")):
        # What Python 3.6 says to the first line of any module, before a module can say anything itself.
        return "the agent's Python is too old: 3.8 or later is needed; set ansible_python_interpreter to one"
    if not text or any(form in text for form in _FORMS):
        for key in ("module_stderr", "exception", "module_stdout"):
            printed = [line for line in str(result.get(key) or "").splitlines() if line.strip()]
            if printed:
                # A traceback ends with what was wrong; other programs begin with it.
                line = printed[-1] if any("Traceback" in line for line in printed) else printed[0]
                return plain(line.strip()) + (_NO_PYTHON if result.get("rc") in (126, 127) else "")
    return plain(" ".join(text.split())) or "no reason was given"


def mapping(value: object) -> t.Mapping[str, t.Any]:
    """*value* where it is a mapping, else an empty one: results of failed tasks lack what others have."""
    return value if isinstance(value, t.Mapping) else {}


def items(result: t.Mapping[str, t.Any], key: str) -> list[t.Mapping[str, t.Any]]:
    """The mappings in the list *key* of a result; empty where there is none."""
    value = result.get(key)
    return [item for item in value if isinstance(item, t.Mapping)] if isinstance(value, (list, tuple)) else []


def total(rows: t.Iterable[t.Mapping[str, t.Any]], key: str) -> int:
    """The sum of the numbers *key* of all rows; a missing one counts as 0."""
    return sum(int(row.get(key) or 0) for row in rows)
