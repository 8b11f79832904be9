# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real projects, real builds, and prunes that run while they do."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._host import find, purge

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fixtures"))
import goproxy

DAY = 86400

_GO_MOD = """module example.org/project

go 1.21

require (
\texample.com/lib v0.2.0
\texample.com/big v1.0.0
)
"""
# Without imports, so that a cold build compiles little more than the runtime; the self-assignment is what vet finds.
_PACKAGE = """package pNUMBER

// F returns what it gets.
func F(n int) int {
\tn = n
\treturn n + NUMBER
}
"""
TEST = """package pNUMBER

import "testing"

func TestF(t *testing.T) {
\tif F(1) != 1+NUMBER {
\t\tt.Fatal()
\t}
}
"""


def go_command() -> str:
    """The go command to test with: the one that the test command names, else the one on PATH."""
    found = os.environ.get("GOFLEET_TEST_GO") or shutil.which("go")
    if not found:
        pytest.skip("no Go toolchain: GOFLEET_TEST_GO is not set and no go is on PATH")
    return found


@dataclass
class Lab:
    """One account with a project: ``build`` and friends run real Go commands, ``prune`` the real engine."""

    top: pathlib.Path
    go: str
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gocache = self.top / "gocache"
        self.modcache = self.top / "mod"
        self.project = self.top / "project"
        self.proxy = goproxy.make_proxy(self.top / "proxy", big=200)
        self.env = {
            "PATH": os.path.dirname(self.go) + ":/usr/bin:/bin",
            "HOME": str(self.top / "home"),
            "GOCACHE": str(self.gocache),
            "GOMODCACHE": str(self.modcache),
            "GOPATH": str(self.top / "gopath"),
            "GOPROXY": self.proxy.url,
            "GONOSUMDB": "*",
            "GOFLAGS": "-mod=mod",
            "GOTOOLCHAIN": "local",
            "GOENV": "off",
            "GOTMPDIR": str(self.top / "tmp"),
            "CGO_ENABLED": "0",
        }
        for folder in ("home", "tmp"):
            (self.top / folder).mkdir(parents=True)
        self._write_project()

    def _write_project(self) -> None:
        self.project.mkdir()
        (self.project / "go.mod").write_text(_GO_MOD)
        imports = ['_ "example.com/lib"', '_ "example.com/big"']
        for number in range(12):
            folder = self.project / f"p{number}"
            folder.mkdir()
            imports.append(f'"example.org/project/p{number}"')
            (folder / "p.go").write_text(_PACKAGE.replace("NUMBER", str(number)))
        lines = "\n".join("\t" + item for item in imports)
        calls = " + ".join(f"p{number}.F({number})" for number in range(12))
        (self.project / "main.go").write_text(
            f"package main\n\nimport (\n{lines}\n)\n\nfunc main() {{ println({calls}) }}\n"
        )

    def add_tests(self) -> None:
        """Gives each package a test (which brings in package testing and all that it needs)."""
        for number in range(12):
            (self.project / f"p{number}" / "p_test.go").write_text(TEST.replace("NUMBER", str(number)))

    def run(self, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Runs ``go`` with these arguments in the project."""
        return subprocess.run(
            [self.go, *args],
            cwd=self.project,
            env=self.env | extra,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def must(self, *args: str, **extra: str) -> str:
        """As :meth:`run`, and it has to succeed."""
        done = self.run(*args, **extra)
        assert done.returncode == 0, f"go {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def age(self, seconds: float) -> None:
        """Makes every entry of the build cache look used *seconds* ago."""
        then = time.time() - seconds
        for path in self.gocache.glob("[0-9a-f][0-9a-f]/*-[ad]"):
            try:
                os.utime(path, (then, then))
            except FileNotFoundError:
                continue

    def prune(self, policy: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        """One purge of both caches by the engine, in this process."""
        request = find.Request(paths=[str(self.gocache), str(self.modcache)], discover=False)
        return purge.run(request, policy, purge.Options(check, **more))

    def entries(self) -> set[str]:
        """The names of the build cache's entries."""
        return {path.name for path in self.gocache.glob("[0-9a-f][0-9a-f]/*-[ad]")}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A build cache with nothing but Go's runtime, without which no program can be built: ten seconds, once."""
    made = Lab(tmp_path_factory.mktemp("compiled") / "lab", go_command())
    made.must("build", "runtime")
    return made.gocache


@pytest.fixture
def lab(tmp_path: pathlib.Path, compiled: pathlib.Path) -> Any:
    """A lab whose build cache holds the runtime as a build of this moment leaves it."""
    made = Lab(tmp_path / "lab", go_command())
    shutil.copytree(compiled, made.gocache, copy_function=shutil.copy)
    yield made
    subprocess.run(["chmod", "-R", "u+w", str(made.top)], check=False)
    shutil.rmtree(made.top, ignore_errors=True)
