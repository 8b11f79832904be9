# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured. Each case returns rows; ours is always the product's own program from its start to its end."""

from __future__ import annotations

import compileall
import functools
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import measure, trees
from .measure import Place, Row, compare, timed

ROOT = Path(__file__).resolve().parents[2]
DAY = trees.DAY
#: Idle as far as this run is concerned; other Go tools on the machine are out of sight, see Bench.alone.
WIPE = {"floor": "0s", "idle": "asserted", "caches": [{"kind": "go-build", "wipe": True}]}
#: The targets that the project set itself, for go-build on ext4, and for tmpfs.
TARGETS = {"wipe": 0.6, "half": 0.6, "survey cold": 0.7, "survey warm": 1.5, "wipe tmpfs": 1.0}
PEAK_MIB = 150.0
GATE_CPU = 0.080
MODULE_MS = 50.0
REBUILD = 1.1


@dataclass
class Bench:
    """What all cases need: the program, the other tools, sizes, and how often each is run."""

    work: Path
    rounds: int
    files: int
    versions: int
    version_files: int
    big: int
    go: str = ""
    rmz: str = ""
    ansible: str = ""
    alone: tuple[str, ...] = ()
    wants: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.archive = self.work / "gofleet-cache.pyz"
        program = ROOT / "plugins/plugin_utils/_archive.py"
        subprocess.run([sys.executable, "-I", "-B", str(program), str(self.archive)], check=True, capture_output=True)
        # As an installation keeps it: Python compiles a package in a folder once, one in an archive each time.
        self.program = self.work / "program"
        with zipfile.ZipFile(self.archive) as archive:
            archive.extractall(self.program)
        compileall.compile_dir(str(self.program), quiet=2)
        self.environ = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.work / "home"),
            "LC_ALL": "C.UTF-8",
            "GOFLEET_CACHE_STATE": str(self.work / "state"),
        }
        (self.work / "home").mkdir(exist_ok=True)

    def ours(
        self, command: str, path: Path, policy: Mapping[str, object] | None = None, clock: float = 0.0
    ) -> measure.Sample:
        """Run the product's program on one cache; *clock* is how many seconds later than now it is told to be."""
        words = [*self.alone, sys.executable, "-I", str(self.program), command, "--json"]
        words += ["--path", str(path), "--no-discover"]
        if policy is not None:
            file = self.work / "policy.json"
            file.write_text(json.dumps({"policy": policy}), encoding="ascii")
            words += ["--policy", str(file)]
        environ = dict(self.environ)
        if clock:
            environ["GOFLEET_CACHE_TEST_NOW"] = str(int(time.time() + clock))
        return timed(words, environ)

    def go_clean(self, what: str, path: Path) -> measure.Sample:
        """Run ``go clean -cache`` or ``-modcache`` on a tree."""
        name = {"-cache": "GOCACHE", "-modcache": "GOMODCACHE"}[what]
        environ = {**self.environ, name: str(path), "GOENV": "off", "GOTOOLCHAIN": "local"}
        return timed([self.go, "clean", what], environ)


def fresh(place: Place, make: Callable[[Path], None]) -> Path:
    """A new tree, written out, where no other one is."""
    root = place.path / "cache"
    remove(root)
    make(root)
    subprocess.run(["sync", "-f", str(root)], check=True)
    return root


def remove(root: Path) -> None:
    """Remove a tree, whatever is read-only in it."""
    if root.exists():
        subprocess.run(["chmod", "-R", "u+w", str(root)], check=False, capture_output=True)
        shutil.rmtree(root)


def count(root: Path) -> int:
    """The number of files of a build cache's shards."""
    return sum(len(os.listdir(entry.path)) for entry in os.scandir(root) if entry.is_dir() and len(entry.name) == 2)


def _expect(text: str, condition: bool) -> None:
    if not condition:
        raise measure.Failed(text)


def _target(place: Place, name: str) -> float | None:
    if place.name.startswith("ext4"):
        return TARGETS.get(name)
    return TARGETS.get(f"{name} {place.name}")


def wipe(bench: Bench, place: Place) -> Iterator[Row]:
    """A whole build cache goes."""

    def ready() -> Path:
        return fresh(place, lambda root: trees.go_build(root, bench.files))

    def ours() -> float:
        root = ready()
        sample = bench.ours("prune", root, WIPE)
        _expect(f"a wipe left {count(root)} files\n{sample.output[-2000:]}", count(root) == 0)
        return sample.wall

    def other(*command: str) -> Callable[[], float]:
        def run() -> float:
            root = ready()
            return timed([*command, str(root)], bench.environ).wall

        return run

    peers: dict[str, Callable[[], float]] = {"ours": ours, "rm": other("rm", "-rf")}
    if bench.rmz:
        peers["rmz"] = other(bench.rmz)
    if bench.go:
        peers["go clean"] = lambda: bench.go_clean("-cache", ready()).wall
    yield compare("go-build wipe", place.name, bench.files, peers, bench.rounds, target=_target(place, "wipe"))


def half(bench: Bench, place: Place) -> Iterator[Row]:
    """The older half of a build cache goes, told by age and by size."""
    minutes = trees.MIDDLE * 1440
    by_age = {"floor": "1d", "caches": [{"kind": "go-build", "max_age": f"{trees.MIDDLE}d"}]}

    def ready() -> Path:
        return fresh(place, lambda root: trees.go_build(root, bench.files))

    def pruned(policy: Callable[[Path], Mapping[str, object]]) -> Callable[[], float]:
        def run() -> float:
            root = ready()
            asked = policy(root)
            sample = bench.ours("prune", root, asked)
            left = count(root) / bench.files
            _expect(f"a half-prune left {left:.0%}\n{sample.output[-2000:]}", 0.3 < left < 0.6)
            return sample.wall

        return run

    def found() -> float:
        root = ready()
        words = ["find", str(root), "-type", "f", "-name", "*-[ad]", "-mmin", f"+{minutes}", "-delete"]
        return timed(words, bench.environ).wall

    def by_size(root: Path) -> Mapping[str, object]:
        text = subprocess.run(["du", "-s", "-B1", str(root)], check=True, capture_output=True, text=True).stdout
        return {"floor": "1d", "caches": [{"kind": "go-build", "max_size": int(text.split()[0]) // 2}]}

    for name, policy in (("age", lambda _root: dict(by_age)), ("size", by_size)):
        contenders = {"ours": pruned(policy), "find -delete": found}
        yield compare(
            f"go-build half by {name}",
            place.name,
            bench.files,
            contenders,
            bench.rounds,
            target=_target(place, "half"),
        )


def survey(bench: Bench, place: Place) -> Iterator[Row]:
    """Every file of a build cache is looked at."""
    root = fresh(place, lambda path: trees.go_build(path, bench.files))
    yield from _survey(bench, place, root, "go-build", bench.files)


def _survey(bench: Bench, place: Place, root: Path, kind: str, size: int) -> Iterator[Row]:
    def ours(chill: Callable[[], None]) -> float:
        chill()
        sample = bench.ours("survey", root)
        seen = [cache["kind"] for cache in json.loads(sample.output)["caches"]]
        _expect(f"the survey saw {seen}", seen == [kind])
        return sample.wall

    def du(chill: Callable[[], None]) -> float:
        chill()
        return timed(["du", "-s", str(root)], bench.environ).wall

    for cache, chill in (("cold", place.chill), ("warm", lambda: None)):
        if chill is None:
            continue
        empty: Callable[[], None] = chill
        if cache == "warm":
            du(empty)
        contenders = {"ours": functools.partial(ours, empty), "du -s": functools.partial(du, empty)}
        target = _target(place, f"survey {cache}") if kind == "go-build" else None
        rounds = bench.rounds if cache == "cold" else 2 * bench.rounds + 1
        yield compare(f"{kind} survey", place.name, size, contenders, rounds, cache, target)


def modules(bench: Bench, place: Place) -> Iterator[Row]:
    """A module cache: all versions go (in two runs, one half of a version each), half of them by size, a survey."""
    size = bench.versions * bench.version_files

    def ready() -> Path:
        return fresh(place, lambda root: trees.go_mod(root, bench.versions, size))

    def prune(root: Path, limit: Mapping[str, object], runs: int) -> float:
        policy = {"floor": "2d", "private": [], "caches": [{"kind": "go-mod", **limit}]}
        total = 0.0
        for number in range(runs):
            total += bench.ours("prune", root, policy, clock=(60 + number) * DAY).wall
        return total

    def everything() -> float:
        root = ready()
        took = prune(root, {"max_age": "30d"}, 2)
        left = list((root / "example.com").glob("*@*")) if (root / "example.com").exists() else []
        _expect(f"{len(left)} module trees stayed", not left)
        return took

    def halved() -> float:
        root = ready()
        before = len(list((root / "example.com").glob("*@*")))
        text = subprocess.run(["du", "-s", "-B1", str(root)], check=True, capture_output=True, text=True).stdout
        took = prune(root, {"max_size": int(text.split()[0]) // 2}, 1)
        _expect("no module tree went", len(list((root / "example.com").glob("*@*"))) < before)
        return took

    def other(*command: str) -> Callable[[], float]:
        def run() -> float:
            root = ready()
            return timed([*command, str(root)], bench.environ).wall

        return run

    peers: dict[str, Callable[[], float]] = {"ours": everything, "rm": other("rm", "-rf")}
    if bench.rmz:
        peers["rmz"] = other(bench.rmz)
    if bench.go:
        peers["go clean"] = lambda: bench.go_clean("-modcache", ready()).wall
    yield compare("go-mod wipe", place.name, size, peers, bench.rounds)
    yield compare("go-mod half by size", place.name, size, {"ours": halved}, bench.rounds)
    yield from _survey(bench, place, ready(), "go-mod", size)


def costs(bench: Bench, place: Place) -> Iterator[Row]:
    """How the cost grows with the entries, and the memory that it takes."""
    plan = {"floor": "1d", "caches": [{"kind": "go-build", "max_age": f"{trees.MIDDLE}d"}]}
    spent: dict[int, list[float]] = {}
    for files in (bench.files, 2 * bench.files):
        for _round in range(bench.rounds):
            root = fresh(place, functools.partial(trees.go_build, files=files, sizes=0))
            spent.setdefault(files, []).append(bench.ours("prune", root, plan).cpu)
    once, twice = (min(values) for values in spent.values())
    rounds = {str(files): values for files, values in spent.items()}
    yield Row(
        "go-build half, twice the entries", place.name, "warm", 2 * bench.files, twice, {"once": once}, "once",
        twice / once, 2.3, "cpu s", rounds,
    )  # fmt: skip
    root = fresh(place, lambda path: trees.go_build(path, bench.big, sizes=0))
    sample = bench.ours("prune", root, plan)
    yield Row(
        "go-build half, peak memory", place.name, "warm", bench.big, sample.peak, {}, "150 MiB",
        sample.peak / PEAK_MIB, 1.0 if bench.big >= 1_000_000 else None, "MiB",
        note="" if bench.big >= 1_000_000 else "the target is for 1,000,000 entries",
    )  # fmt: skip
    remove(root)


def quick(bench: Bench, place: Place) -> Iterator[Row]:
    """Enough is free: the archive asks the file systems and ends."""
    root = fresh(place, lambda path: trees.go_build(path, 2000))
    policy = bench.work / "default.json"
    asks = {"free_space_below": "1", "free_inodes_below": "1"}
    policy.write_text(json.dumps({"policy": {"when": asks}, "paths": [str(root)], "discover": False}), "ascii")
    words = [sys.executable, "-I", str(bench.archive), "prune", "--json", "--policy", str(policy)]
    bare = [sys.executable, "-I", "-c", "pass"]
    samples = [(timed(words, bench.environ), timed(bare, bench.environ).cpu) for _number in range(2 * bench.rounds + 1)]
    _expect("something was evicted", count(root) == 2000)
    ours, python = min(sample.cpu for sample, _bare in samples), min(cpu for _sample, cpu in samples)
    yield Row(
        "above the start mark", place.name, "warm", 0, ours, {"python alone": python}, "80 ms", ours / GATE_CPU, 1.0,
        "cpu s",
    )  # fmt: skip
    remove(root)


def module(bench: Bench, place: Place) -> Iterator[Row]:
    """The Ansible module with nothing to do, beside one that does nothing; and Ansible's own way of cleaning."""
    if not bench.ansible:
        return
    collections = bench.work / "collections"
    link = collections / "ansible_collections/gofleet/cache"
    if not link.is_symlink():
        link.parent.mkdir(parents=True)
        link.symlink_to(ROOT)
    environ = {**bench.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_LOCALHOST_WARNING": "0"}
    environ["ANSIBLE_LOCAL_TEMP"] = environ["ANSIBLE_REMOTE_TEMP"] = str(bench.work / "ansible")
    ansible = Path(bench.ansible)

    def call(name: str, arguments: object) -> float:
        words = [str(ansible), "localhost", "-c", "local", "-m", name]
        words += ["-a", json.dumps(arguments)] if arguments else []
        words += ["-e", f"ansible_python_interpreter={sys.executable}"]
        return timed(words, environ, bench.work).wall * 1000

    root = fresh(place, lambda path: trees.go_build(path, 2000))
    asks = {"when": {"free_space_below": "1", "free_inodes_below": "1"}}
    arguments = {"paths": [str(root)], "discover": False, "policy": asks}
    contenders = {
        "ours": lambda: call("gofleet.cache.cache_prune", arguments),
        "ping": lambda: call("ansible.builtin.ping", {}),
    }
    row = compare("module above the start mark", place.name, 0, contenders, bench.rounds + 2)
    more = row.ours - row.peers["ping"]
    row.unit, row.note = "ms", f"{more:.0f} ms more than ping"
    row.ratio, row.target, row.against = more / MODULE_MS, 1.0, "50 ms more than ping"
    yield row

    # ansible.builtin.find and file: one module call for each file, so a small sample.
    few = 40
    root = fresh(place, lambda path: trees.go_build(path, few))
    play = bench.work / "find.yml"
    play.write_text(_FIND % {"root": root, "python": sys.executable}, encoding="ascii")
    theirs = timed([str(ansible.with_name("ansible-playbook")), str(play)], environ, bench.work).wall
    _expect("ansible.builtin.file left files", count(root) == 0)
    root = fresh(place, lambda path: trees.go_build(path, few))
    yield Row(
        "go-build wipe by a playbook", place.name, "warm", few,
        call("gofleet.cache.cache_prune", {"paths": [str(root)], "discover": False, "policy": WIPE}) / 1000,
        {"find and file": theirs}, "find and file", None,
    )  # fmt: skip


_FIND = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "%(python)s"
  tasks:
    - ansible.builtin.find:
        paths: ["%(root)s"]
        patterns: ["*-a", "*-d"]
        recurse: true
      register: found
    - ansible.builtin.file:
        path: "{{ item.path }}"
        state: absent
      loop: "{{ found.files }}"
      loop_control:
        label: x
"""


def _project(folder: Path, packages: int, imports: bool) -> None:
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module example.org/project\n\ngo 1.21\n", encoding="ascii")
    used = "\n".join(f'\t_ "example.org/project/p{number}"' for number in range(packages))
    (folder / "main.go").write_text(f"package main\n\nimport (\n{used}\n)\n\nfunc main() {{}}\n", encoding="ascii")
    names = ("encoding/json", "net/http", "text/template", "archive/zip") if imports else ()
    for number in range(packages):
        package = folder / f"p{number}"
        package.mkdir()
        lines = "".join(f'import _ "{name}"\n' for name in names)
        body = "".join(f"func F{n}(x int) int {{ return x*{n} + {number} }}\n" for n in range(200))
        (package / "p.go").write_text(f"package p{number}\n\n{lines}\n{body}", encoding="ascii")


class _Project:
    """A real project that is built with a cache of its own."""

    def __init__(self, bench: Bench, place: Place, packages: int, imports: bool) -> None:
        self.bench = bench
        self.folder = place.path / "project"
        self.cache = place.path / "project-cache"
        remove(self.folder)
        remove(self.cache)
        _project(self.folder, packages, imports)
        self.environ = {
            **bench.environ,
            "GOCACHE": str(self.cache),
            "GOMODCACHE": str(place.path / "project-mod"),
            "GOENV": "off",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-mod=mod",
            "CGO_ENABLED": "0",
        }

    def build(self, **more: str) -> float:
        return timed([self.bench.go, "build", "-o", os.devnull, "."], {**self.environ, **more}, self.folder).wall

    def edit(self, number: int) -> None:
        """Change every package, so that the next build compiles all of them."""
        for file in self.folder.glob("p*/p.go"):
            text = file.read_text(encoding="ascii").split("// edited")[0]
            file.write_text(f"{text}// edited\nvar Edited = {number}\n", encoding="ascii")

    def close(self) -> None:
        remove(self.folder)
        remove(self.cache)


def rebuild(bench: Bench, place: Place, packages: int, imports: bool) -> Iterator[Row]:
    """What users feel: the build after a prune that freed at least half, and after ``go clean -cache``."""
    if not bench.go:
        return
    project = _Project(bench, place, packages, imports)
    times: dict[str, list[float]] = {"ours": [], "warm": [], "go clean -cache": []}
    for _round in range(bench.rounds):
        remove(project.cache)
        for flag in ("-N", "-l"):  # what goes: the same project as two other commands have built it
            project.build(GOFLAGS="-mod=mod -gcflags=all=" + flag)
        then = time.time() - 30 * DAY
        for folder in project.cache.glob("??"):
            for file in folder.iterdir():
                os.utime(file, (then, then))
        project.build()
        project.build()
        times["warm"].append(project.build())
        policy = {"floor": "1d", "caches": [{"kind": "go-build", "max_age": "10d"}]}
        result = json.loads(bench.ours("prune", project.cache, policy).output)
        freed, held = result["freed_bytes"], result["caches"][0]["allocated"]
        _expect(f"the prune freed {freed} of {held} bytes", freed * 2 >= held)
        times["ours"].append(project.build())
        bench.go_clean("-cache", project.cache)
        times["go clean -cache"].append(project.build())
    project.close()
    medians = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    ours = medians.pop("ours")
    yield Row(
        "rebuild after half went", place.name, "warm", packages, ours, medians, "warm", ours / medians["warm"],
        REBUILD, rounds=times,
    )  # fmt: skip


def gentle(bench: Bench, place: Place, packages: int, imports: bool) -> Iterator[Row]:
    """What a running build feels: its slowdown in percent while a tree goes at the same time."""
    if not bench.go:
        return
    project = _Project(bench, place, packages, imports)
    low = ["nice", "-n", "19"] + (["ionice", "-c", "3"] if shutil.which("ionice") else [])
    times: dict[str, list[float]] = {"alone": [], "ours": [], "rm": []}
    root = place.path / "cache"
    policy = bench.work / "wipe.json"
    policy.write_text(json.dumps({"policy": WIPE}), encoding="ascii")
    ours = [*low, *bench.alone, sys.executable, "-I", str(bench.program), "prune", "--policy", str(policy)]
    ours += ["--path", str(root), "--no-discover"]
    project.build()
    meanwhile = (("alone", None), ("ours", ours), ("rm", ["rm", "-rf", str(root)]))
    for number in range(bench.rounds):
        for at, (name, command) in enumerate(meanwhile):
            project.edit(3 * number + at)
            fresh(place, lambda path: trees.go_build(path, bench.files))
            if command is None:
                times[name].append(project.build())
                continue
            with subprocess.Popen(
                command, env=bench.environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            ) as child:
                times[name].append(project.build())
                if child.wait():
                    raise measure.Failed(f"{' '.join(command)}: exit code {child.returncode}")
    project.close()
    remove(root)
    medians = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    alone = medians.pop("alone")
    slower = {name: (value / alone - 1) * 100 for name, value in medians.items()}
    yield Row(
        "a build's slowdown meanwhile", place.name, "cold", bench.files, slower["ours"], {"rm -rf": slower["rm"]},
        "rm -rf", None, None, "%", times, f"alone {alone:.2f} s; ours with nice 19 and the idle I/O class",
    )  # fmt: skip
