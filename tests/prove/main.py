# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command behind `make prove`: its parts, their numbers, the tables and the JSON."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

from prove import attackers, clocks, crash, fire, truth
from prove.lab import remove

#: The numbers of a run: name, value of a whole run, what it says.
NUMBERS = {
    "BUILDS": (200, "fire: Go commands while our prunes run"),
    "COMPARE": (24, "fire: Go commands while each other cleaner runs in the prune's place; 0: none"),
    "CUTS": (0, "truth: places of each kind at which a pass is cut; 0: every change"),
    "GOS": (4, "truth: at most so many Go versions"),
    "KILLS": (200, "crash: random deaths over all cases"),
    "STEPS": (0, "crash: step boundaries of each case at which it dies; 0: every one"),
    "ROUNDS": (10000, "attackers: swaps of a folder right before a change"),
    "LIMIT": (3600, "seconds after which fire and attackers stop early, and fail"),
    "SEED": (1, "seed of everything that is random"),
}


class Run:
    """One run of the command."""

    def __init__(self, top: pathlib.Path, keep: pathlib.Path, numbers: dict[str, int]) -> None:
        self.top = top
        self.keep = keep
        self.numbers = numbers
        named = [path for path in os.environ.get("GOFLEET_TEST_GOS", "").split(os.pathsep) if path]
        self.go = os.environ.get("GOFLEET_TEST_GO") or (named[0] if named else shutil.which("go") or "")
        if not self.go:
            raise SystemExit("there is no Go: set GOFLEET_TEST_GO, or run `make prove`")
        self.gos = (named or [self.go])[: numbers["GOS"]]
        self.proxy = os.environ.get("GOFLEET_TEST_GOPROXY", "")

    def say(self, text: str) -> None:
        """Progress, for people."""
        print(f"    {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def fire(self) -> dict[str, Any]:
        """Go commands while caches are pruned back to back: none fails"""
        n = self.numbers
        wanted = fire.Wanted(n["BUILDS"], n["COMPARE"], n["LIMIT"], n["SEED"])
        return fire.run(self.top, self.go, wanted, self.proxy, self.keep, self.say)

    def truth(self) -> dict[str, Any]:
        """Evictions cut anywhere: vet, tests, embedded files and programs are as before"""
        return truth.run(self.top, self.gos, self.numbers["CUTS"], self.numbers["SEED"], self.say)

    def crash(self) -> dict[str, Any]:
        """SIGKILL anywhere: caches verify and build, the next run converges, nothing is left for ever"""
        n = self.numbers
        return crash.run(self.top, self.go, n["KILLS"], n["STEPS"], n["SEED"], self.say)

    def attackers(self) -> dict[str, Any]:
        """A hostile account swaps folders for symlinks and mounts under root's hands: nothing outside is touched"""
        return attackers.run(self.top, self.numbers["ROUNDS"], self.numbers["LIMIT"], self.numbers["SEED"], self.say)

    def time(self) -> dict[str, Any]:
        """Stepped clocks and absurd times of files: no mass eviction"""
        return clocks.run(self.top, self.go, self.say)

    def lessons(self) -> dict[str, Any]:
        """The tests that guard against what went wrong elsewhere, F01 to F43"""
        from prove import lessons

        return lessons.run(self.say)


PARTS: dict[str, Callable[[Run], dict[str, Any]]] = {
    "fire": Run.fire,
    "truth": Run.truth,
    "crash": Run.crash,
    "attackers": Run.attackers,
    "time": Run.time,
    "lessons": Run.lessons,
}


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as text; what is long or a list is left to the JSON."""
    rows = [{k: v for k, v in row.items() if not isinstance(v, (list, dict))} for row in rows]
    if not rows:
        return "    (nothing)"
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names] + [["" if row.get(n) is None else str(row[n]) for n in names] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(names))]
    text = []
    for line in cells:
        joined = "  ".join(c.rjust(w) if c.isdigit() else c.ljust(w) for c, w in zip(line, widths))
        text.append("    " + joined.rstrip())
    return "\n".join(text)


def machine() -> dict[str, Any]:
    """Where the figures are from."""
    place = tempfile.gettempdir()
    kind = subprocess.run(["stat", "-f", "-c", "%T", place], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "file_system": kind,
        "root": os.geteuid() == 0,
        "load": round(os.getloadavg()[0], 1),
    }


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, run the parts, print and save what they found."""
    lines = [f"{name}={value:<7} {text}" for name, (value, text) in NUMBERS.items()]
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="numbers:\n  " + "\n  ".join(lines), formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="PART|NAME=NUMBER", help=f"parts: {', '.join(PARTS)}; without, all")
    parser.add_argument("--json", type=pathlib.Path, help="where the results go")
    chosen = parser.parse_args(arguments)
    numbers = {name: value for name, (value, _text) in NUMBERS.items()}
    parts = []
    for word in [part for text in chosen.words for part in text.replace(",", " ").split()]:
        name, equals, value = word.partition("=")
        if equals and name in NUMBERS and value.isdigit():
            numbers[name] = int(value)
        elif not equals and name in PARTS:
            parts.append(name)
        else:
            parser.error(f"{word!r} is neither a part ({', '.join(PARTS)}) nor a number ({', '.join(NUMBERS)})")
    keep = pathlib.Path(os.environ.get("GOFLEET_PROVE_KEEP") or tempfile.gettempdir()) / "prove"
    keep.mkdir(parents=True, exist_ok=True)
    file = chosen.json or keep / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    top = pathlib.Path(tempfile.mkdtemp(prefix="gofleet.prove-")).resolve()
    top.chmod(0o755)
    try:
        return _run(Run(top, keep, numbers), parts or list(PARTS), file)
    finally:
        remove(top)


def _run(run: Run, parts: list[str], file: pathlib.Path) -> int:
    results: dict[str, Any] = {"machine": machine(), "numbers": run.numbers, "parts": {}}
    failed = []
    for name in parts:
        print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
        begin = time.monotonic()
        try:
            found = PARTS[name](run)
        except Exception:
            found = {"rows": [], "problems": [traceback.format_exc()], "left_out": []}
        found["seconds"] = round(time.monotonic() - begin, 1)
        results["parts"][name] = found
        print(table(found["rows"]))
        for text in found["left_out"]:
            print(f"    left out: {text}")
        for text in found["problems"][:20]:
            print(f"    FAILED: {text}")
        word = "FAILED" if found["problems"] else "proven" if found["rows"] else "left out"
        print(f"  {name}: {word} in {found['seconds']:.0f} s", flush=True)
        if found["problems"]:
            failed.append(name)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\nThe results are in {file}")
    print(f"{len(parts) - len(failed)} parts passed, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0
