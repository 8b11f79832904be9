# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmark: whole processes, side by side in one run, medians and ratios, as a table and as JSON.

Nothing fails here because something was slow. A ratio beside a target is marked ``ok`` or ``missed``; the exit code
tells only whether everything could be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark import cases, measure  # noqa: E402 (found by the path above)

BUILD = cases.ROOT / ".build" / "benchmark"
CASES = ("wipe", "half", "survey", "modules", "costs", "quick", "module", "rebuild", "gentle")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--short", action="store_true", help="small trees, one round: under a minute, says nothing")
    parser.add_argument("--full", action="store_true", help="trees of the sizes that the targets are set for, and 1 M")
    parser.add_argument("--rounds", type=int, help="how often each contender runs (default: 3)")
    parser.add_argument("--files", type=int, help="files of a build cache (default: 100,000)")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one (may be given again)")
    parser.add_argument("--on", action="append", choices=("here", "loop", "tmpfs"), help="only there")
    parser.add_argument("--json", type=Path, default=BUILD / "result.json", help="where the figures go")
    parser.add_argument("--work", type=Path, default=BUILD / "work", help="where the trees are made")
    return parser.parse_args()


def _rmz(work: Path, wants: list[str]) -> str:
    found = shutil.which("rmz")
    kept = work.parent / "rmz"
    if found or (kept / "bin/rmz").exists():
        return found or str(kept / "bin/rmz")
    if not shutil.which("cargo"):
        wants.append("rmz: not to be had, there is no cargo to build it with")
        return ""
    done = subprocess.run(
        ["cargo", "install", "--quiet", "--locked", "--root", str(kept), "rmz"], check=False, capture_output=True
    )
    if done.returncode:
        wants.append("rmz: not to be had, cargo could not build it")
        return ""
    return str(kept / "bin/rmz")


def _is_go(comm: Path) -> bool:
    try:
        return comm.read_text(encoding="utf-8").strip() == "go"
    except OSError:
        return False  # ended meanwhile


def _alone() -> tuple[str, ...]:
    """What hides other people's Go tools from our program, which would wait for them; () where there are none, or where
    that cannot be. In a process namespace of its own it never knows that it is alone, and waits a second for others."""
    command = ("unshare", "--pid", "--fork", "--mount-proc")
    if os.geteuid() or not shutil.which("unshare") or not any(map(_is_go, Path("/proc").glob("[0-9]*/comm"))):
        return ()
    return () if subprocess.run([*command, "true"], check=False, capture_output=True).returncode else command


def _places(options: argparse.Namespace, work: Path, wants: list[str]) -> Iterator[measure.Place]:
    kind = measure.file_system(work)
    asked = options.on or (["here", "tmpfs"] if kind == "ext4" or options.short else ["loop", "here", "tmpfs"])
    if options.full and not options.on:
        asked = ["here", "loop", "tmpfs"]
    for name in asked:
        place: measure.Place | None
        if name == "here":
            place = measure.here(work / "here")
        elif name == "loop":
            place = measure.loop(work, 24 << 30)
        else:
            place = measure.memory(work)
        if place is None:
            wants.append(f"{name}: this user or machine cannot make that file system")
            continue
        if place.chill is None and name != "tmpfs":
            wants.append(f"{name}: no cold page cache, that takes root")
        yield place


def _bench(options: argparse.Namespace, wants: list[str]) -> cases.Bench:
    rounds = options.rounds or (1 if options.short else 3)
    work: Path = options.work
    go = os.environ.get("GOFLEET_TEST_GO") or shutil.which("go") or ""
    if not go:
        wants.append("go: not found; no go clean, no rebuild, no gentle mode")
    beside = Path(sys.executable).with_name("ansible")
    ansible = str(beside) if beside.exists() else shutil.which("ansible") or ""
    if not ansible:
        wants.append("ansible: not found; no module's overhead, no ansible.builtin.find and file")
    rmz = "" if options.short and not shutil.which("rmz") else _rmz(work, wants)
    files, versions, each, big = 100_000, 100, 300, 200_000
    if options.short:
        files, versions, each, big = 4_000, 10, 20, 8_000
    elif options.full:
        versions, big = 1_000, 1_000_000
    files = options.files or files
    return cases.Bench(work, rounds, files, versions, each, big, go, rmz, ansible, _alone(), wants)


def _jobs(
    options: argparse.Namespace, bench: cases.Bench, place: measure.Place, first: bool
) -> Iterator[tuple[str, Callable[[], Iterator[measure.Row]]]]:
    packages, imports = (3, False) if options.short else (40, True)
    disk = first
    memory = place.name == "tmpfs"
    every: list[tuple[str, bool, Callable[[], Iterator[measure.Row]]]] = [
        ("wipe", True, lambda: cases.wipe(bench, place)),
        ("half", True, lambda: cases.half(bench, place)),
        ("survey", True, lambda: cases.survey(bench, place)),
        ("modules", True, lambda: cases.modules(bench, place)),
        ("costs", memory, lambda: cases.costs(bench, place)),
        ("quick", disk, lambda: cases.quick(bench, place)),
        ("module", disk, lambda: cases.module(bench, place)),
        ("rebuild", disk, lambda: cases.rebuild(bench, place, packages, imports)),
        ("gentle", disk, lambda: cases.gentle(bench, place, packages, imports)),
    ]
    for name, fits, job in every:
        if fits and (not options.case or name in options.case):
            yield name, job


def main() -> int:
    """Measure, print and save; 1 where something could not be measured."""
    options = _options()
    if options.work.exists():
        cases.remove(options.work)
    options.work.mkdir(parents=True)
    wants: list[str] = []
    errors: list[str] = []
    rows: list[measure.Row] = []
    begun = time.monotonic()
    bench = _bench(options, wants)
    about: list[str] = []
    for number, place in enumerate(_places(options, options.work, wants)):
        about.append(f"{place.name}: {place.about}")
        try:
            for name, job in _jobs(options, bench, place, number == 0):
                try:
                    for row in job():
                        rows.append(row)
                        print(measure.table([row]).splitlines()[-1], flush=True)
                except Exception:
                    errors.append(f"{name} on {place.name}: {traceback.format_exc()}")
                    print(errors[-1], file=sys.stderr, flush=True)
                cases.remove(place.path / "cache")
        finally:
            place.close()
    result = {
        "machine": {
            "kernel": platform.release(),
            "cpus": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "load": os.getloadavg(),
        },
        "sample": "short" if options.short else "full" if options.full else "default",
        "places": about,
        "not_to_be_had": wants,
        "errors": errors,
        "rows": [row.data() for row in rows],
        "seconds": round(time.monotonic() - begun, 1),
        "complete": not errors,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("\n" + measure.table(rows))
    print("\n" + "\n".join([*about, *wants, f"figures: {options.json}"]))
    cases.remove(options.work)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
