# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which caches real go commands use: here, in other mount namespaces, below other roots, under other names."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time
from typing import Iterator

import pytest
from conftest import Lab, go_command

from ansible_collections.gofleet.cache.plugins.module_utils._core.evict import Activity
from ansible_collections.gofleet.cache.plugins.module_utils._go import running

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mount namespaces, and looking at all processes")

# Stops each compilation before it begins, until the hold is taken away; the questions for a tool's version go through.
_PAUSE = """#!/bin/sh
case "$*" in *-V=full*) exec "$@" ;; esac
: > {mark}
while [ -e {hold} ]; do sleep 0.05; done
exec "$@"
"""


class Build:
    """A ``go build`` that waits in its first compilation, in a session of its own."""

    def __init__(
        self, lab: Lab, env: dict[str, str], go: str = "", before: str = "", wrap: tuple[str, ...] = ()
    ) -> None:
        self.mark, self.hold = lab.top / "mark", lab.top / "hold"
        self.mark.unlink(missing_ok=True)
        self.hold.touch()
        pause = lab.top / "pause"
        pause.write_text(_PAUSE.format(mark=self.mark, hold=self.hold))
        pause.chmod(0o755)
        build = f"cd {lab.project} && exec {go or lab.go} build -toolexec {pause} -o /dev/null ."
        self.child = subprocess.Popen(
            [*wrap, "sh", "-ec", before + "\n" + build],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        until = time.monotonic() + 60
        while not self.mark.exists():
            if self.child.poll() is not None or time.monotonic() > until:
                self.end()
                raise AssertionError(f"the build did not begin: {self.child.stderr.read().decode()}")  # type: ignore[union-attr]
            time.sleep(0.02)

    def mine(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self.child.pid
        except OSError:
            return False

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


class Sight:
    """One scan; only the build's own processes count, whatever else runs on this machine."""

    def __init__(self, build: Build) -> None:
        self.seen = running.scan()
        self.mine = {tool.pid for tool in self.seen.tools if build.mine(tool.pid)}

    def state(self, place: pathlib.Path, kind: str) -> str:
        st = place.stat()
        found = running.users_of(self.seen, st.st_dev, st.st_ino, kind)
        return running.state(Activity(tuple(row for row in found.who if row[0] in self.mine), found.complete))


@pytest.fixture(scope="module")
def _stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("in-use") / "lab", go_command())
    # The index of the packages is what a go command maps; nothing needs to be compiled for it.
    made.must("list", "-deps", ".")
    yield made
    subprocess.run(["chmod", "-R", "u+w", str(made.top)], check=False)
    shutil.rmtree(made.top, ignore_errors=True)


@pytest.fixture
def stage(_stage: Lab) -> Iterator[Lab]:
    """A lab whose caches are filled, and others that the builds do not use."""
    for name in ("other", "home/.cache/go-build", "home/go/pkg/mod"):
        (_stage.top / name).mkdir(parents=True, exist_ok=True)
    yield _stage
    (_stage.top / "home/.config/go/env").unlink(missing_ok=True)


@contextlib.contextmanager
def building(
    lab: Lab, *without: str, go: str = "", before: str = "", wrap: tuple[str, ...] = (), **env: str
) -> Iterator[Build]:
    given = {name: value for name, value in lab.env.items() if name not in without} | env
    build = Build(lab, given, go, before, wrap)
    try:
        yield build
    finally:
        build.end()


def _check(lab: Lab, build: Build, gocache: pathlib.Path, modcache: pathlib.Path) -> None:
    """Busy are these two caches and no others, until the build has ended."""
    sight = Sight(build)
    assert sight.mine
    idle = "idle" if sight.seen.complete else "unknown"
    builds = [lab.gocache, lab.top / "home/.cache/go-build", lab.top / "other"]
    mods = [lab.modcache, lab.top / "home/go/pkg/mod", lab.top / "other"]
    assert {place: sight.state(place, "go-build") for place in builds} == {
        place: "busy" if place == gocache else idle for place in builds
    }
    assert {place: sight.state(place, "go-mod") for place in mods} == {
        place: "busy" if place == modcache else idle for place in mods
    }
    st = pathlib.Path(os.path.realpath(lab.go)).parents[1].stat()
    assert (st.st_dev, st.st_ino) in running.toolchains_in_use(sight.seen).used
    build.end()
    after = Sight(build)
    until = time.monotonic() + 30
    while after.mine and time.monotonic() < until:  # a whole PID namespace goes down a moment later
        after = Sight(build)
    assert not after.mine
    assert after.state(gocache, "go-build") == ("idle" if after.seen.complete else "unknown")


def test_a_build_uses_the_caches_that_its_environment_names(stage: Lab) -> None:
    with building(stage) as build:
        _check(stage, build, stage.gocache, stage.modcache)


def test_a_build_in_its_default_places_uses_these(stage: Lab) -> None:
    """Nothing in its environment names a cache."""
    shutil.copytree(stage.gocache, stage.top / "home/.cache/go-build", dirs_exist_ok=True)
    with building(stage, "GOCACHE", "GOMODCACHE", "GOPATH", "GOENV") as build:
        _check(stage, build, stage.top / "home/.cache/go-build", stage.top / "home/go/pkg/mod")


def test_a_build_follows_its_go_env_file(stage: Lab) -> None:
    file = stage.top / "home/.config/go/env"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"GOMODCACHE={stage.modcache}\nGOCACHE={stage.gocache}\n")
    with building(stage, "GOCACHE", "GOMODCACHE", "GOPATH", "GOENV") as build:
        _check(stage, build, stage.gocache, stage.modcache)


def test_a_go_of_another_name_is_a_go(stage: Lab) -> None:
    """A copy: what it is stands in the executable."""
    goroot = pathlib.Path(os.path.realpath(stage.go)).parents[1]
    copy = stage.top / "compiler-of-mine"
    shutil.copy(goroot / "bin/go", copy)
    with building(stage, go=str(copy), GOROOT=str(goroot)) as build:
        assert "compiler-of-mine" in {tool.name for tool in running.scan().tools if build.mine(tool.pid)}
        _check(stage, build, stage.gocache, stage.modcache)


def test_the_compilers_count_too(stage: Lab) -> None:
    with building(stage) as build:
        build.hold.unlink()
        names: set[str] = set()
        until = time.monotonic() + 30
        while "compile" not in names and time.monotonic() < until and build.child.poll() is None:
            sight = Sight(build)
            compilers = [tool for tool in sight.seen.tools if tool.pid in sight.mine and tool.name == "compile"]
            names |= {tool.name for tool in compilers if tool.gocache is not None and tool.gocache.proven}
        assert "compile" in names
        assert sight.state(stage.gocache, "go-build") == "busy"
        assert sight.state(stage.top / "other", "go-build") != "busy"


@ROOT
def test_a_build_in_another_mount_namespace_uses_what_is_mounted_there(stage: Lab) -> None:
    """The same paths mean other directories there: those of this namespace stay idle."""
    home = stage.top / "home"
    before = f"mount --bind {stage.gocache} {home}/.cache/go-build\nmount --bind {stage.modcache} {home}/go/pkg/mod"
    with building(stage, "GOCACHE", "GOMODCACHE", "GOPATH", "GOENV", before=before, wrap=("unshare", "-m")) as build:
        _check(stage, build, stage.gocache, stage.modcache)


@ROOT
def test_a_build_in_a_container_uses_what_is_mounted_there(stage: Lab) -> None:
    """Own processes, own mounts, own root; an absolute symlink there leads to a directory there."""
    home, root = stage.top / "home", stage.top / "rootfs"
    root.mkdir()
    chroot = shutil.which("chroot", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    (stage.top / "link").symlink_to(home / "go/pkg/mod")
    before = f"""
        mount --rbind / {root}
        mount -t proc proc {root}/proc
        mount --bind {stage.gocache} {root}{home}/.cache/go-build
        mount --bind {stage.modcache} {root}{home}/go/pkg/mod
        build="cd {stage.project} && exec {stage.go} build -toolexec {stage.top}/pause -o /dev/null ."
        exec {chroot} {root} sh -c "$build"
    """
    with building(
        stage,
        "GOCACHE",
        "GOPATH",
        "GOENV",
        before=before,
        wrap=("unshare", "-m", "-p", "-f"),
        GOMODCACHE=str(stage.top / "link"),
    ) as build:
        _check(stage, build, stage.gocache, stage.modcache)


@ROOT
def test_inside_a_container_nothing_is_proven_idle(stage: Lab) -> None:
    """A cache may be shared with the host or with other containers, whose processes cannot be seen."""
    code = (
        "import sys; sys.path[:0] = %r; from %s import running; seen = running.scan(); print(seen.complete, seen.why)"
    )
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "-p",
            "-f",
            "--mount-proc",
            shutil.which("python3") or "python3",
            "-c",
            code % (paths, "ansible_collections.gofleet.cache.plugins.module_utils._go"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("False")
    assert "container" in done.stdout


@ROOT
def test_a_plain_user_proves_nothing(stage: Lab) -> None:
    """What root's go uses cannot be seen, only that there is one."""
    with building(stage) as build:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                places = [stage.gocache.stat(), (stage.top / "other").stat()]
                os.setgroups([])
                os.setresgid(4242, 4242, 4242)
                os.setresuid(4242, 4242, 4242)
                seen = running.scan()
                answers = []
                for st in places:
                    found = running.users_of(seen, st.st_dev, st.st_ino, "go-build")
                    who = tuple(row for row in found.who if build.mine(row[0]))
                    answers += [
                        running.state(Activity(who, found.complete)),
                        running.state(Activity((), found.complete)),
                    ]
                os.write(writer, " ".join(answers).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as handle:
            assert handle.read() == "busy unknown busy unknown"
        os.waitpid(pid, 0)


@ROOT
def test_another_users_claims_hide_nobody(stage: Lab) -> None:
    """A process that is called go and says what it likes makes a cache busy at most: the real one stays in sight."""
    fake = stage.top / "bin"
    fake.mkdir()
    shutil.copy(shutil.which("sleep") or "/bin/sleep", fake / "go")
    for parent in [fake, *fake.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != parent.parent and str(parent).startswith(str(stage.top)):
            parent.chmod(0o755)
    # without its own way into the folder: the executable is opened before the rights are dropped
    fd = os.open(fake / "go", os.O_RDONLY | os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.setgroups([])
            os.setresgid(4242, 4242, 4242)
            os.setresuid(4242, 4242, 4242)
            os.execve(fd, ["go", "60"], {"GOCACHE": str(stage.top / "other"), "GOMODCACHE": "/proc/1/root"})
        finally:
            os._exit(1)
    os.close(fd)
    try:
        with building(stage) as build:
            _check(stage, build, stage.gocache, stage.modcache)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
