# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Caches in a known state, to be damaged and put back many times, and the check of what Go says with them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from prove.lab import CLOCK, DAY, PACKAGES, Lab, copy, remove

_SEED = """package main

import _ "embed"

//go:embed go.mod
var text string

func main() { println(len(text)) }
"""
_SEED_TEST = """package main

import "testing"

func TestNothing(t *testing.T) {}
"""
HOUR = 3600


@contextlib.contextmanager
def clock(seconds: float) -> Iterator[None]:
    """Inside, the engine counts ages from *seconds* from now; 0: from the true time."""
    if not seconds:
        yield
        return
    os.environ[CLOCK] = str(int(time.time() + seconds))
    try:
        yield
    finally:
        del os.environ[CLOCK]


class Ready:
    """A lab whose caches were filled by ``go vet``, ``go test`` and ``go build``.

    ``mine`` are the entries of the projects; those of the standard library stay as they are and are never old, so that
    a check after an eviction compiles only the projects.
    """

    def __init__(self, lab: Lab, tests: bool = True) -> None:
        self.lab = lab
        self.tests = tests  # package testing and what it needs take half a minute to compile
        seed = {"main.go": _SEED, "main_test.go": _SEED_TEST} if tests else {"main.go": _SEED}
        lab.add_project("seed", "", seed)
        for command in (("vet", "./..."), ("test", "./..."), ("build", "-o", str(lab.top / "seed.out"), ".")):
            if tests or command[0] != "test":
                lab.must("seed", *command)
        before = set(lab.files())
        lab.add_small(tests=tests)
        # go.sum and the lists of versions are written here, once.
        lab.must("small", "build", "-o", str(lab.top / "out"), ".")
        self.digest = self._digest()
        problems = self.verdict()
        if problems:
            raise RuntimeError(f"the project does not behave as meant before any eviction: {problems}")
        self.mine = sorted(path for path in lab.files() if path not in before)
        self.pristine = lab.top / "pristine"
        self.pristine.mkdir()
        copy(lab.gocache, self.pristine / "gocache")
        copy(lab.modcache, self.pristine / "mod")
        self._known = {path.relative_to(lab.gocache): path.stat() for path in self._every(lab.gocache)}

    @staticmethod
    def _every(top: pathlib.Path) -> list[pathlib.Path]:
        return [pathlib.Path(folder) / name for folder, _names, files in os.walk(top) for name in files]

    def restore(self, days: float = 0.0, drift: random.Random | None = None, modules: bool = False) -> None:
        """Both caches as they were filled; the project's entries look *days* old (with *drift* up to an hour more)."""
        lab = self.lab
        remove(lab.gocache / ".gofleet-quarantine")
        for path in self._every(lab.gocache):
            if path.relative_to(lab.gocache) not in self._known:
                path.unlink()
        now = time.time()
        for name, was in self._known.items():
            path = lab.gocache / name
            try:
                same = path.stat().st_size == was.st_size
            except FileNotFoundError:
                same = False
            if not same or path.name.endswith("-a"):
                path.parent.mkdir(exist_ok=True)
                shutil.copyfile(self.pristine / "gocache" / name, path)
            os.utime(path, (now, now))
        if days:
            lab.age(days * DAY, self.mine, drift)
        if modules:
            copy(self.pristine / "mod", lab.modcache)

    # what Go says

    def findings(self) -> int:
        """How many findings ``go vet`` reports."""
        done = self.lab.run("small", "vet", "./...", GOPROXY="off")
        return len(re.findall(r"^p\d+/p\.go:\d+", done.stderr, re.MULTILINE))

    def _digest(self) -> str:
        return hashlib.sha256((self.lab.top / "out").read_bytes()).hexdigest()

    def verdict(self, deep: bool = True) -> list[str]:
        """What is not as it was: nothing of vet, tests, embedded files and the program's bytes may have changed.

        Not *deep*: only vet, where a partial eviction lies most easily.
        """
        problems = []
        found = self.findings()
        if found != PACKAGES:
            problems.append(f"vet reports {found} of {PACKAGES} findings")
        if not deep:
            return problems
        if self.tests:
            done = self.lab.run("small", "test", "-vet=off", "./p1", "./p3", GOPROXY="off")
            fails = "wrong answer" in done.stdout and "ok  \texample.org/small/p1" in done.stdout
            if done.returncode != 1 or not fails:
                problems.append(f"go test: exit code {done.returncode}: {done.stdout}{done.stderr}")
        done = self.lab.run("small", "build", "-o", str(self.lab.top / "out"), ".", GOPROXY="off")
        if done.returncode:
            problems.append(f"go build: {done.stdout}{done.stderr}")
            return problems
        if self._digest() != self.digest:
            problems.append("the program has other bytes than before")
        ran = subprocess.run([self.lab.top / "out"], capture_output=True, text=True, check=False)
        if ran.stderr.strip() != self.lab.printed:
            problems.append(f"the program prints {ran.stderr.strip()!r}, not {self.lab.printed!r}")
        return problems

    # the policies of the proofs

    def converge(self, policy: dict[str, Any], at: float) -> list[str]:
        """Runs until nothing changes; at most six runs. Returns what is wrong then."""
        result: dict[str, Any] = {}
        with clock(at):
            for _run in range(6):
                result = self.lab.prune(policy)
                if result.get("failed"):
                    return [f"a run after it failed: {result['failed']}"]
                if not result["changed"] and not result["pending"]:
                    return []
        return [f"does not converge: {result['evicted'][:3]} {result['pending'][:3]} {result['left_out'][:3]}"]
