# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the demonstration prints: steps with their seconds, checks, and the table at the end. 100 columns at most."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

WIDTH = 100


def size(amount: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def count(number: int, word: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{number} {word if number == 1 else plural or word + 's'}"


def _cpu() -> float:
    """Seconds of processor time of this process and all children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Report:
    """Prints as it goes, and remembers every check for the end."""

    def __init__(self) -> None:
        self.colour = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ
        self.steps: list[dict[str, Any]] = []
        self.checks: list[dict[str, Any]] = []

    def paint(self, text: str, code: str) -> str:
        """The text in a colour, on a terminal only."""
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def say(self, text: str = "", indent: int = 0) -> None:
        """One paragraph, wrapped."""
        if not text:
            print(flush=True)
            return
        pad = " " * indent
        lines = textwrap.wrap(
            text,
            WIDTH,
            initial_indent=pad,
            subsequent_indent=pad + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        print("\n".join(lines), flush=True)

    def row(self, name: str, text: str) -> None:
        """One line about one agent."""
        lines = textwrap.wrap(text, WIDTH - 19, break_long_words=False, break_on_hyphens=False) or [""]
        print(f"   {name:<15} {lines[0]}")
        for line in lines[1:]:
            print(" " * 19 + line)
        sys.stdout.flush()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A numbered heading, and behind what it did, the seconds that it took."""
        number = len(self.steps) + 1
        print("\n" + self.paint(f"{number:2}. {title}", "1"), flush=True)
        begin, before = time.monotonic(), _cpu()
        row: dict[str, Any] = {"step": number, "title": title}
        self.steps.append(row)
        try:
            yield
        finally:
            row["seconds"] = round(time.monotonic() - begin, 1)
            row["cpu_seconds"] = round(_cpu() - before, 1)
            print(self.paint(f"   ({row['seconds']:.1f} s)", "2"), flush=True)

    def check(self, held: bool, promise: str, otherwise: str = "") -> bool:
        """Remembers whether a promise held; one that did not is printed at once, with what was seen instead."""
        self.checks.append({"promise": promise, "held": bool(held), "otherwise": "" if held else otherwise})
        if not held:
            self.say(self.paint("NOT HELD: ", "31;1") + promise + (f": {otherwise}" if otherwise else ""), 3)
        return bool(held)

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [item for item in self.checks if not item["held"]]

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str] | None]) -> None:
        """Columns as wide as they must be; the first to the left, the others to the right. None is a line."""
        cells = [row for row in rows if row is not None]
        widths = [max(len(line[at]) for line in [head, *cells]) for at in range(len(head))]
        rule = "   " + "-" * (sum(widths) + 2 * (len(widths) - 1))

        def line(row: Sequence[str]) -> str:
            rest = [f"{text:>{width}}" for text, width in zip(row[1:], widths[1:], strict=True)]
            return "   " + "  ".join([f"{row[0]:<{widths[0]}}", *rest]).rstrip()

        print(self.paint(line(head), "1"))
        print(rule)
        for row in rows:
            print(rule if row is None else line(row))
        print(flush=True, end="")
