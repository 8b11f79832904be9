# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Crash: SIGKILL at random points and at every step of a purge or an undo leaves caches that work."""

from __future__ import annotations

import pathlib
import random
import subprocess
from dataclasses import dataclass
from typing import Any

from prove import cuts
from prove.lab import DAY, Lab, remove
from prove.ready import HOUR, Ready, clock

from ansible_collections.gofleet.cache.plugins.module_utils._kinds.table import KINDS

_BUILD = {"caches": [{"kind": "go-build", "max_age": "2h"}], "floor": "1h", "private": []}
_MOD = {"caches": [{"kind": "go-mod", "max_age": "30d"}], "floor": "1h", "private": []}
#: Evicts nothing of a cache; only a quarantine whose grace is over goes.
_NOTHING_NEW = {"caches": [{"kind": "go-build", "max_age": "9000d"}, {"kind": "go-mod", "max_age": "9000d"}]}


@dataclass(frozen=True)
class Case:
    """What is killed: a purge by *policy*, seen *at* seconds from now, or the undo of such a purge."""

    name: str
    policy: dict[str, Any]
    at: float = 0.0
    undo: bool = False

    @property
    def kind(self) -> str:
        return str(self.policy["caches"][0]["kind"])


CASES = [
    Case("go-build", _BUILD),
    Case("go-build, quarantine", dict(_BUILD, quarantine="2h")),
    Case("go-build, undo", dict(_BUILD, quarantine="2h"), undo=True),
    Case("go-mod", _MOD, 90 * DAY),
    Case("go-mod, quarantine", dict(_MOD, quarantine="2h"), 90 * DAY),
    Case("go-mod, undo", dict(_MOD, quarantine="2h"), 90 * DAY, undo=True),
]


class Killer:
    """One case: how long its way is, and what is left after a death on it."""

    def __init__(self, ready: Ready, case: Case, chance: random.Random) -> None:
        self.ready = ready
        self.case = case
        self.chance = chance
        self.problems: list[str] = []
        self.survived = 0
        self.wrong = 0
        self.way = self._attempt(cuts.Cut())
        for _again in range(5):
            if self.way.value:
                break
            # Something else on this machine was building and might have used these caches.
            self.way = self._attempt(cuts.Cut())
        if self.way.error or not self.way.value:
            raise RuntimeError(f"{case.name}: nothing happens: {self.way.error}")

    def _attempt(self, cut: cuts.Cut, after: float | None = None) -> cuts.Ended:
        case, lab = self.case, self.ready.lab
        self.ready.restore(30, self.chance, modules=case.kind == "go-mod")
        with clock(case.at):
            if case.undo:
                lab.prune(case.policy)

            def action(step: Any) -> int:
                if case.undo:
                    return int(lab.undo(step=step)["restored_entries"])
                return int(lab.prune(case.policy, step=step)["evicted_entries"])

            return cuts.run(action, cut, after)

    def kill(self, where: str, cut: cuts.Cut, after: float | None = None) -> None:
        """One death and the check of what it left."""
        ended = self._attempt(cut, after)
        self.survived += not ended.killed
        found = [ended.error] if ended.error else self._left()
        self.wrong += bool(found)
        self.problems += [f"{self.case.name}, {where}: {text}" for text in found]

    def _left(self) -> list[str]:
        lab, case = self.ready.lab, self.case
        problems = [f"damaged: {text}" for text in lab.damaged()]
        if case.kind == "go-build" and self.chance.random() < 0.5:
            problems += self.ready.verdict(deep=False)
        problems += self._build("off")
        after = case.at + (3 * HOUR if case.policy.get("quarantine") else 0)
        problems += self.ready.converge(dict(case.policy, quarantine="0s"), case.at)
        if case.policy.get("quarantine"):
            problems += self.ready.converge(_NOTHING_NEW, after)
        problems += [f"left for ever: {name}" for name in lab.leftovers()]
        return problems

    def _build(self, proxy: str) -> list[str]:
        lab = self.ready.lab
        done = lab.run("small", "build", "-o", str(lab.top / "out"), ".", GOPROXY=proxy)
        if done.returncode:
            return [f"build without a proxy: {done.stderr}"]
        ran = subprocess.run([lab.top / "out"], capture_output=True, text=True, check=False)
        return [] if ran.stderr.strip() == lab.printed else [f"the program prints {ran.stderr.strip()!r}"]


def applies(case: Case) -> bool:
    """Whether this kind of cache knows what the case does."""
    return not (case.undo and KINDS[case.kind].undo is None)


def run(top: pathlib.Path, go: str, kills: int, steps: int, seed: int, say: Any) -> dict[str, Any]:
    """The part ``crash``; see :func:`kill_all`."""
    lab = Lab(top / "crash", go)
    try:
        return kill_all(Ready(lab, tests=False), kills, steps, seed, say)
    finally:
        remove(lab.top)


def kill_all(ready: Ready, kills: int, steps: int, seed: int, say: Any) -> dict[str, Any]:
    """*kills* random deaths over all cases, and one at each of *steps* step boundaries of each (0: of all)."""
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    chance = random.Random(seed)
    cases = [case for case in CASES if applies(case)]
    for number, case in enumerate(cases):
        say(case.name)
        killer = Killer(ready, case, chance)
        names = killer.way.steps
        boundaries = list(range(1, len(names) + 1))
        if steps and steps < len(boundaries):
            boundaries = sorted(chance.sample(boundaries, steps))
        for step in boundaries:
            killer.kill(f"step {names[step - 1]} (number {step})", cuts.Cut(step=step))
        at_steps = len(boundaries) - killer.survived
        killer.survived = 0
        mine = kills // len(cases) + (number < kills % len(cases))
        for kill in range(mine):
            if kill % 4 == 3:
                moment = chance.random() * killer.way.seconds
                killer.kill(f"after {moment:.3f} s", cuts.Cut(), moment)
            else:
                change = chance.randint(1, killer.way.changes)
                killer.kill(f"before change {change} of {killer.way.changes}", cuts.Cut(change))
        rows.append(
            {
                "what": case.name,
                "changes": killer.way.changes,
                "kinds of steps": len(set(names)),
                "killed at steps": at_steps,
                "killed at random": mine - killer.survived,
                "ended before": killer.survived,
                "wrong": killer.wrong,
            }
        )
        problems += killer.problems
    left_out = [f"{case.name}: this kind cannot undo" for case in CASES if not applies(case)]
    return {"rows": rows, "problems": problems, "left_out": left_out}
