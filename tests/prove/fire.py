# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds under fire: real Go commands while a cleaner works back to back, ours and others in its place."""

from __future__ import annotations

import abc
import pathlib
import random
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from prove.lab import DAY, Lab, copy, remove
from prove.ready import clock

#: The caches at the beginning of a round.
STATES = ("half", "old", "warm", "half", "cold", "half", "warm")
PER_ROUND = 2
BUILDERS = 2


@dataclass(frozen=True)
class Wanted:
    """*builds* commands under our prunes, *compare* under each other cleaner, at most *limit* seconds for each."""

    builds: int
    compare: int
    limit: float
    seed: int


class Weapon(abc.ABC):
    """A cleaner. ``prepare`` is called while nothing builds, ``shoot`` back to back while builds run."""

    name = ""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.chance = random.Random(seed)
        self.shots = 0
        self.evicted = 0

    @abc.abstractmethod
    def shoot(self) -> None:
        """One pass."""

    def prepare(self) -> None:  # noqa: B027 (most cleaners need nothing)
        """Whatever else must look old to this cleaner."""


class Prune(Weapon):
    """The engine, with floors at their least and below, each time by another policy."""

    name = "gofleet.cache"

    def shoot(self) -> None:
        self.shots += 1
        number = self.shots % 20
        by_clock = 0.0
        if number % 4 == 0:
            # Trees that are old by the clock but in use by a build: nothing but the guards protects them.
            by_clock = 90 * DAY
            policy: dict[str, Any] = {"caches": [{"kind": "go-mod", "max_age": "30d"}], "floor": "1h", "private": []}
        elif number == 1:
            kinds = [{"kind": "go-build", "wipe": True}, {"kind": "go-mod", "wipe": True}]
            policy = {"caches": kinds, "floor": 0, "idle": "scan", "private": [], "time_limit": "20s"}
        elif number % 4 == 2:
            policy = {"max_size": "1MiB", "floor": "1h", "private": [], "quarantine": "1h"}
        else:
            policy = {"max_age": "2h", "floor": "1h", "private": []}
        with clock(by_clock):
            result = self.lab.prune(policy, threads=self.chance.choice((1, 4, 8)))
        if result.get("failed"):
            raise RuntimeError(f"a prune failed: {result['failed']}")
        self.evicted += result["evicted_entries"]


class GoClean(Weapon):
    """``go clean`` with one flag."""

    flag = ""

    def shoot(self) -> None:
        self.shots += 1
        subprocess.run([self.lab.go, "clean", self.flag], env=self.lab.env, cwd=self.lab.top, check=False)


class GoCleanCache(GoClean):
    name = "go clean -cache"
    flag = "-cache"


class GoCleanModcache(GoClean):
    name = "go clean -modcache"
    flag = "-modcache"


class FindDelete(Weapon):
    name = "find -mmin +60 -delete"

    def shoot(self) -> None:
        self.shots += 1
        command = ["find", str(self.lab.gocache), str(self.lab.modcache), "-type", "f", "-mmin", "+60", "-delete"]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)

    def prepare(self) -> None:
        # What was extracted a month ago, as it is on every agent.
        month = f"@{time.time() - 30 * DAY:.0f}"
        if self.chance.random() < 0.5:
            command = ["find", str(self.lab.modcache), "-type", "f", "-exec", "touch", "-d", month, "{}", "+"]
            subprocess.run(command, stderr=subprocess.DEVNULL, check=False)


class Field:
    """The projects, and rounds of builders and one cleaner on them."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.seed = seed
        for name in lab.projects:
            lab.must(name, "build", "-o", str(lab.top / "out"), ".")
            lab.must(name, "list", "-deps", "./...")
        if "std" in lab.projects:
            lab.must("std", "test", "./...")
        self.pristine = lab.top / "pristine"
        self.pristine.mkdir()
        copy(lab.gocache, self.pristine / "gocache")
        copy(lab.modcache, self.pristine / "mod")

    def reset(self) -> None:
        """Full caches again."""
        copy(self.pristine / "gocache", self.lab.gocache)
        copy(self.pristine / "mod", self.lab.modcache)

    def _command(self, builder: int, chance: random.Random) -> tuple[str, tuple[str, ...]]:
        # The small one more often: more commands, and more moments, in the same time.
        others = [name for name in self.lab.projects if name not in ("small", "std")]
        name = chance.choice([*["small"] * 16, "std", chance.choice(others or ["small"])])
        if name not in self.lab.projects:
            name = "small"
        self.lab.touch(name, builder, chance)
        out = str(self.lab.top / f"out{builder}")
        commands: list[tuple[str, ...]] = [("build", "-o", out, "."), ("vet", "./..."), ("run", ".")]
        if name == "std":
            commands.append(("test", "./..."))
        if name == "rpc":
            commands.remove(("run", "."))
        return name, chance.choice(commands)

    def _state(self, state: str, chance: random.Random) -> None:
        if state == "cold":
            remove(self.lab.gocache)
        elif state == "half":
            self.lab.age(30 * DAY, [path for path in self.lab.files() if chance.random() < 0.5])
        elif state == "old":
            self.lab.age(30 * DAY)

    def fire(self, weapon: Weapon, wanted: int, say: Any, limit: float) -> dict[str, Any]:
        """At least *wanted* Go commands (fewer where *limit* seconds are over) while *weapon* shoots."""
        self.reset()
        chance = random.Random(self.seed)
        states: Counter[str] = Counter()
        failed: list[str] = []
        count = rounds = 0
        begin = time.monotonic()

        def build(builder: int, seed: float) -> int:
            mine = random.Random(seed)
            for number in range(PER_ROUND):
                if number:
                    time.sleep(mine.random())  # moments in which nothing builds
                name, command = self._command(builder, mine)
                done = self.lab.run(name, *command)
                if done.returncode:
                    text = f"{name}: go {' '.join(command)}: {(done.stdout + done.stderr)[-600:]}"
                    failed.append(text)
                    say(text)
            return PER_ROUND

        def clean(stop: threading.Event) -> None:
            while not stop.is_set():
                weapon.shoot()
                stop.wait(weapon.chance.random() * 0.2)

        with ThreadPoolExecutor(BUILDERS + 1) as pool:
            while count < wanted and time.monotonic() - begin < limit:
                state = STATES[rounds % len(STATES)]
                self._state(state, chance)
                weapon.prepare()
                before = len(failed)
                stop = threading.Event()
                builders = [pool.submit(build, builder, chance.random()) for builder in range(BUILDERS)]
                cleaner = pool.submit(clean, stop)
                done = sum(builder.result() for builder in builders)
                stop.set()
                cleaner.result()
                count += done
                states[state] += done
                rounds += 1
                if len(failed) > before:
                    self.reset()  # what breaks later builds for ever is counted once
                if rounds % 5 == 0:
                    say(f"{weapon.name}: {count} commands, {len(failed)} failed")
        return {
            "cleaner": weapon.name,
            "commands": count,
            "failed": len(failed),
            "passes": weapon.shots,
            "evicted": weapon.evicted or None,
            "states": dict(states),
            "seconds": round(time.monotonic() - begin),
            "examples": failed[:3],
        }


def run(
    top: pathlib.Path, go: str, wanted: Wanted, proxy: str, keep: pathlib.Path, say: Any, std: bool = True
) -> dict[str, Any]:
    """The part ``fire``. Without *std* only the smallest project is built; *proxy* '': no public ones."""
    lab = Lab(top / "fire", go)
    left_out = []
    try:
        lab.add_small(findings=False, tests=False)
        if std:
            lab.add_std()
        if proxy:
            say(f"public projects need {lab.add_public(proxy, keep)} module versions")
        else:
            left_out.append("public projects: no Go module proxy answers")
        field = Field(lab, wanted.seed)
        rows = [field.fire(Prune(lab, wanted.seed), wanted.builds, say, wanted.limit)]
        others: list[type[Weapon]] = [GoCleanCache, GoCleanModcache, FindDelete] if wanted.compare else []
        rows += [field.fire(kind(lab, wanted.seed), wanted.compare, say, wanted.limit) for kind in others]
    finally:
        remove(lab.top)
    ours = rows[0]
    problems = [f"under our prunes: {text}" for text in ours["examples"]]
    if ours["commands"] < wanted.builds:
        problems.append(f"only {ours['commands']} commands in {wanted.limit:.0f} s: give LIMIT more seconds")
    if not ours["evicted"]:
        problems.append("the prunes met nothing to evict: the proof proves nothing")
    return {"rows": rows, "problems": problems, "left_out": left_out}
