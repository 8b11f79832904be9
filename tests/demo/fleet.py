# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The embedded fleet: a module proxy, three agents with their own HOME, and real builds on them.

Nothing is shared between the agents but the proxy, which they only read. How Go is set up comes from the env file that
the playbook ``gofleet.cache.configure`` writes into each HOME: builds get no Go variable from here, except where a
step says that it takes the network or the proxy away.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from demo.procs import Processes
from fixtures import goproxy
from fixtures.goproxy import Module, make_module

DAY = 86400
#: How far the clock of agent-old is ahead. Arrival in a module cache cannot be set back (it is a ctime).
AHEAD = 90 * DAY
#: How old entries are made that nothing has used for long.
LONG_UNUSED = 10 * DAY
#: The module whose extracted tree is damaged, and the file in it.
DAMAGED = ("example.com/table/v2", "v2.1.0", "internal/data/table.txt")


class DemoError(Exception):
    """The demonstration cannot go on; the text says why and where to look."""


class Project(NamedTuple):
    """A program to build: what it imports of the standard library, and the module versions that it requires."""

    name: str
    std: tuple[str, ...]
    modules: tuple[str, ...]


def modules() -> list[Module]:
    """Public and private modules in several versions, some with capitals, a major version, or requirements."""
    public, private = "example.com", goproxy.PRIVATE
    azure = f"{public}/Azure/Lib"
    found = [make_module(azure, version, files=60, size=6000) for version in ("v1.0.0", "v1.1.0")]
    found += [make_module(f"{public}/color", version, files=20, size=4000) for version in ("v1.0.0", "v1.1.0")]
    found += [
        make_module(f"{public}/router", "v0.9.0", [(azure, "v1.0.0")], files=30, size=4000),
        make_module(f"{public}/router", "v1.0.0", [(azure, "v1.1.0")], files=30, size=4000),
        make_module(f"{public}/table/v2", "v2.0.0", [(f"{public}/color", "v1.0.0")], files=20, size=4000),
        make_module(f"{public}/table/v2", "v2.1.0", [(f"{public}/color", "v1.1.0")], files=20, size=4000),
        make_module(f"{public}/release/signing", "v1.0.0", files=10, size=4000),
        make_module(f"{private}/team/auth", "v1.0.0", files=10, size=4000),
        make_module(f"{private}/team/auth", "v1.1.0", [(f"{public}/color", "v1.1.0")], files=10, size=4000),
        make_module(f"{private}/tools", "v0.3.0", files=10, size=4000),
    ]
    return found


# What nobody has built for long: one whose modules nobody wants back, one that is built again at the end.
LEGACY = Project("legacy", ("fmt", "encoding/csv"), ("example.com/router@v0.9.0", "git.corp.example/team/auth@v1.0.0"))
REPORT = Project(
    "report", ("fmt", "text/template"), ("example.com/table/v2@v2.0.0", "example.com/release/signing@v1.0.0")
)
# What is built every day.
SHOP = Project("shop", ("fmt", "encoding/json"), ("example.com/router@v1.0.0", "git.corp.example/team/auth@v1.1.0"))
BATCH = Project("batch", ("fmt", "encoding/json"), ("example.com/table/v2@v2.1.0", "git.corp.example/tools@v0.3.0"))

#: By agent: projects that were last built long ago, and those that are built every day.
PROJECTS = {
    "agent-old": ((LEGACY, REPORT), (SHOP,)),
    "agent-damaged": ((LEGACY,), (BATCH,)),
    "agent-busy": ((LEGACY,), (BATCH, REPORT)),
}
#: Agents that run tests, too. The first test costs seconds for the package testing alone.
TESTED = ("agent-damaged",)
#: Which of them are built again after the purge, without any proxy.
AGAIN = {"agent-old": (SHOP, REPORT), "agent-damaged": (BATCH,), "agent-busy": (BATCH, REPORT)}


@dataclass
class Agent:
    """One agent: everything of it lies below ``folder``."""

    name: str
    folder: Path
    go: Path
    processes: Processes
    clock: float | None = None
    artefacts: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def build(self) -> Path:
        """GOCACHE, where Go puts it by default."""
        return self.home / ".cache" / "go-build"

    @property
    def mod(self) -> Path:
        """GOMODCACHE, where Go puts it by default."""
        return self.home / "go" / "pkg" / "mod"

    @property
    def caches(self) -> tuple[Path, Path]:
        return self.build, self.mod

    @property
    def python(self) -> Path:
        """The interpreter that Ansible runs its modules with: it starts Python with this agent's environment only."""
        return self.folder / "python"

    def environ(self) -> dict[str, str]:
        """The environment of everything that runs on this agent; nothing of the caller's."""
        path = [str(self.go.parent), "/usr/local/bin", "/usr/bin", "/bin"]
        return {
            "HOME": str(self.home),
            "PATH": os.pathsep.join(dict.fromkeys(path)),
            "TMPDIR": str(self.folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            # Go's defaults, named: all agents are on one machine, and a purge looks whose cache a running build uses.
            "GOCACHE": str(self.build),
            "GOMODCACHE": str(self.mod),
            # The demonstration needs no network: whatever tries to reach it fails at once.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
        }

    def make(self) -> None:
        """Makes the folders and the interpreter."""
        for folder in (self.home, self.folder / "tmp", self.folder / "bin"):
            folder.mkdir(parents=True)
        telemetry = self.home / ".config" / "go" / "telemetry"
        telemetry.mkdir(parents=True)
        (telemetry / "mode").write_text("off 2024-01-01\n", encoding="ascii")
        environ = self.environ()
        if self.clock is not None:
            environ["GOFLEET_CACHE_TEST_NOW"] = f"{self.clock:.0f}"
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in environ.items())
        text = f"#!/bin/sh\n# Modules of Ansible run on {self.name} with this environment and no other.\n"
        text += f'exec env -i {words} {shlex.quote(sys.executable)} "$@"\n'
        self.python.write_text(text, encoding="utf-8")
        self.python.chmod(0o755)

    # builds

    def source(self, project: Project) -> Path:
        return self.folder / "src" / project.name

    def write_project(self, project: Project) -> None:
        """Writes the source of a program with a package and a test."""
        folder = self.source(project)
        calc = folder / "internal" / "calc"
        calc.mkdir(parents=True)
        mod = f"module demo.example/{project.name}\n\ngo 1.21\n"
        code = ["package main", "", "import ("]
        code += [f'\t{"_ " if name != "fmt" else ""}"{name}"' for name in project.std]
        body = []
        for number, label in enumerate(project.modules):
            path, _at, version = label.partition("@")
            mod += f"\nrequire {path} {version}\n"
            code.append(f'\tm{number} "{path}"')
            body.append(f"\tfmt.Println(m{number}.Hello())")
        code += [f'\n\t"demo.example/{project.name}/internal/calc"', ")", "", "func main() {"]
        code += [*body, "\tfmt.Println(calc.Sum(1, 2), calc.Turn)", "}", ""]
        (folder / "go.mod").write_text(mod, encoding="utf-8")
        (folder / "main.go").write_text("\n".join(code), encoding="utf-8")
        self.change(project, 0)
        test = 'package calc\n\nimport (\n\t"os"\n\t"testing"\n)\n\n'
        test += "func TestSum(t *testing.T) {\n"
        # What a test asks for stands in its log: so every project has a log of its own.
        test += f'\tif Sum(1, 2) != 3 || os.Getenv("DEMO_{project.name}") != "" {{\n'
        test += '\t\tt.Fatal("wrong")\n\t}\n}\n'
        (calc / "calc_test.go").write_text(test, encoding="utf-8")

    def change(self, project: Project, turn: int) -> None:
        """Changes a project's source, so that its next build has work to do."""
        text = f"package calc\n\n// Turn is the number of this change.\nconst Turn = {turn}\n\n"
        text += "// Sum adds.\nfunc Sum(a, b int) int { return a + b }\n"
        (self.source(project) / "internal" / "calc" / "calc.go").write_text(text, encoding="utf-8")

    def run_go(self, project: Project, arguments: Iterable[str], **more: str) -> str:
        """Runs go in a project's folder and returns what it printed; raises DemoError with that where it fails."""
        command = [str(self.go), *arguments]
        done = self.processes.run(command, self.source(project), self.environ() | more)
        if done.code:
            raise DemoError(f"{self.name}: go {' '.join(command[1:])} of {project.name} failed:\n{done.output.strip()}")
        return done.output

    def build_all(self, project: Project, **more: str) -> str:
        """Builds and vets a project, and tests it on some agents; returns the SHA-256 of the program."""
        target = self.folder / "bin" / project.name
        self.run_go(project, ["build", "-o", str(target), "."], **more)
        self.run_go(project, ["vet", "."], **more)
        if self.name in TESTED:
            self.run_go(project, ["test", "./..."], **more)
        return hashlib.sha256(target.read_bytes()).hexdigest()

    # the state of the caches

    def age(self, by: float) -> None:
        """Makes every entry of the build cache look as if it was last used *by* seconds ago."""
        when = time.time_ns() - int(by * 1e9)
        for path in self.entries():
            os.utime(path, ns=(when, when))

    def entries(self) -> Iterator[str]:
        """The files of the build cache's entries."""
        for shard in os.scandir(self.build):
            if len(shard.name) == 2 and shard.is_dir(follow_symlinks=False):
                for entry in os.scandir(shard.path):
                    if entry.name.endswith(("-a", "-d")) and entry.is_file(follow_symlinks=False):
                        yield entry.path

    def keep_fresh(self, projects: Iterable[Project], since: float) -> None:
        """On an agent whose clock is ahead: what was used since *since* was used minutes ago by that clock, too.

        Go writes the real time, so the build cache's entries that it touched get the agent's time; of the modules
        that *projects* need, the access time of the ``.ziphash`` does, which is where a module's last use is read.
        """
        if self.clock is None:
            return
        when = int((self.clock - 600) * 1e9)
        labels = [label for project in projects for label in self.needed(project)]  # go list makes entries, too
        for path in self.entries():
            if os.stat(path).st_mtime >= since:
                os.utime(path, ns=(when, when))
        for label in labels:
            path, _at, version = label.partition("@")
            name = f"{goproxy.escape(path)}/@v/{goproxy.escape(version)}.ziphash"
            file = self.mod / "cache" / "download" / name
            if file.exists():
                os.utime(file, ns=(when, file.stat().st_mtime_ns))

    def needed(self, project: Project) -> list[str]:
        """The module versions that a project needs, as ``path@version``."""
        out = self.run_go(project, ["list", "-deps", "-f", "{{with .Module}}{{.Path}}@{{.Version}}{{end}}", "./..."])
        return sorted({line for line in out.split() if not line.endswith("@")})

    def usage(self) -> int:
        """Allocated bytes of both caches, counted here and not by the collection; a hard link counts once."""
        total = 0
        seen: set[tuple[int, int]] = set()
        for cache in self.caches:
            for folder, _names, files in os.walk(cache):
                for name in [*files, "."]:
                    st = os.lstat(os.path.join(folder, name))
                    if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
                        if (st.st_dev, st.st_ino) in seen:
                            continue
                        seen.add((st.st_dev, st.st_ino))
                    total += st.st_blocks * 512
        return total

    def photograph(self) -> dict[str, Picture]:
        """Every name in both caches with its mode, inode, size, time of change and content."""
        found: dict[str, Picture] = {}
        for cache in self.caches:
            for folder, _names, files in os.walk(cache):
                for name in [".", *files]:
                    path = os.path.normpath(os.path.join(folder, name))
                    st = os.lstat(path)
                    content = ""
                    if stat.S_ISREG(st.st_mode):
                        # Reading must not change access times, from which a module's last use is read.
                        with open(path, "rb", opener=_no_atime) as handle:
                            content = hashlib.file_digest(handle, "sha256").hexdigest()
                    found[path] = Picture(st.st_mode, st.st_ino, content, st.st_mtime_ns)
        return found

    def versions(self) -> tuple[set[str], set[str]]:
        """The module versions (``path@version``) whose extracted tree is there, and whose zip is there."""
        trees: set[str] = set()
        zips: set[str] = set()
        for folder, names, files in os.walk(self.mod):
            where = os.path.relpath(folder, self.mod)
            for name in [name for name in names if "@" in name and name != "@v"]:
                trees.add(_unescape(os.path.normpath(os.path.join(where, name))))
                names.remove(name)
            if where.endswith("/@v"):
                module = where.removeprefix("cache/download/").removesuffix("/@v")
                zips.update(_unescape(f"{module}@{name[:-4]}") for name in files if name.endswith(".zip"))
        return trees, zips

    # damage

    def damage(self, project: Project) -> dict[str, str]:
        """Changes one byte of a module's extracted file and one of an output of *project*; returns where.

        Size and times stay, as when a disk or its memory fails. The output is a test's log: builds do not trust those
        without looking at their hash, so that this damage costs a test's repetition and no more.
        """
        path, version, name = DAMAGED
        tree = self.mod / f"{goproxy.escape(path)}@{goproxy.escape(version)}"
        _flip(tree / name, 3)
        for entry in sorted(self.entries()):
            if entry.endswith("-d"):
                with open(entry, "rb") as handle:
                    text = handle.read(100)
                if text.startswith(b"# test log\n") and f"DEMO_{project.name}".encode() in text:
                    _flip(Path(entry), 11)
                    return {
                        "module": f"{path}@{version}",
                        "file": name,
                        "output": os.path.relpath(entry, self.build),
                        "tree_file": str(tree / name),
                        "output_file": entry,
                    }
        raise DemoError(f"{self.name}: no test's log found in {self.build} to damage")


def _unescape(name: str) -> str:
    return re.sub("!([a-z])", lambda match: match[1].upper(), name)


def _no_atime(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOATIME)


def _flip(path: Path, where: int) -> None:
    st, parent = path.stat(), path.parent.stat()
    path.chmod(0o644)
    with open(path, "r+b") as handle:
        handle.seek(where)
        byte = handle.read(1)
        handle.seek(where)
        handle.write(bytes([byte[0] ^ 0x01]))
    path.chmod(stat.S_IMODE(st.st_mode))
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    os.utime(path.parent, ns=(parent.st_atime_ns, parent.st_mtime_ns))


class Picture(NamedTuple):
    """One name in a cache; ``content`` is a file's SHA-256, times are Unix nanoseconds."""

    mode: int
    inode: int
    content: str
    mtime: int


class Build(NamedTuple):
    """One turn of the loop of builds; ``error`` is empty where it went well. Times are Unix seconds."""

    project: str
    start: float
    end: float
    error: str


class BuildLoop:
    """Builds a project again and again, each time with a changed source, in a thread of its own, until told to stop."""

    def __init__(self, agent: Agent, project: Project) -> None:
        self.builds: list[Build] = []
        self._agent = agent
        self._project = project
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop after the build that runs."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        agent, project = self._agent, self._project
        target = str(agent.folder / "bin" / f"{project.name}-loop")
        steps = (["build", "-o", target, "."], ["vet", "."])
        turn = 0
        while not self._stop.is_set():
            turn += 1
            start = time.time()
            error = ""
            try:
                agent.change(project, turn)
                for step in steps:
                    agent.run_go(project, step)
            except DemoError as exc:
                error = str(exc)
            except OSError as exc:
                error = f"{agent.name}: {exc}"
            if error and self._agent.processes.ending:
                return
            self.builds.append(Build(project.name, start, time.time(), error))


def in_parallel(agents: Iterable[Agent], work: Callable[[Agent], None]) -> None:
    """Does *work* on all agents at once; raises the first error."""
    errors: list[BaseException] = []

    def guarded(agent: Agent) -> None:
        try:
            work(agent)
        except Exception as exc:  # it is raised again below, in the caller's thread
            errors.append(exc)

    threads = [threading.Thread(target=guarded, args=(agent,), daemon=True) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
