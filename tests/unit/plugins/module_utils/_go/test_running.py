# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import time
from typing import Dict, Optional

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import running


class Proc:
    """A made-up /proc."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.add(1, "init", "/sbin/init")

    def add(
        self, pid: int, comm: str, exe: Optional[str], env: Optional[Dict[str, str]] = None, state: str = "S"
    ) -> None:
        folder = self.path / str(pid)
        folder.mkdir(parents=True)
        fields = [state] + ["0"] * 18 + [str(1000 + pid)] + ["0"] * 10
        (folder / "stat").write_text("%d (%s) %s\n" % (pid, comm, " ".join(fields)), encoding="utf-8")
        text = "".join("%s=%s\0" % item for item in (env or {}).items())
        (folder / "environ").write_bytes(os.fsencode(text))
        if exe is not None:
            (folder / "exe").symlink_to(exe)

    def names(self) -> Dict[int, str]:
        return {tool.pid: tool.name for tool in running.scan(str(self.path)).tools}


@pytest.fixture
def proc(tmp_path: pathlib.Path) -> Proc:
    return Proc(tmp_path / "proc")


@pytest.mark.parametrize(
    ("comm", "exe"),
    [
        ("go", "/usr/local/go/bin/go"),
        ("go", "/usr/local/go/bin/go (deleted)"),
        ("compile", "/usr/local/go/pkg/tool/linux_amd64/compile"),
        ("anything", "/opt/go/pkg/tool/linux_arm64/newtool"),
        ("vet", "/home/ci/.cache/go-build/ab/" + "ab" * 32 + "-d/vet"),
        ("gopls", "/home/ci/go/bin/gopls"),
        ("golangci-lint", "/usr/bin/golangci-lint"),
        ("go1.24.3", "/home/ci/go/bin/go1.24.3"),
        ("go1.25rc1", "/home/ci/go/bin/go1.25rc1"),
        ("renamed", "/usr/local/go/bin/go"),
        ("go", "/proc/1/root/usr/bin/renamed"),
        ("controller-gen", "/go/bin/controller-gen"),
        ("go) S 1 (x", "/usr/local/go/bin/go"),
        ("go", None),
    ],
)
def test_go_tools_are_known_by_executable_or_name(proc: Proc, comm: str, exe: Optional[str]) -> None:
    proc.add(77, comm, exe)
    (tool,) = running.scan(str(proc.path)).tools
    assert (tool.pid, tool.start) == (77, 1077)


@pytest.mark.parametrize(
    ("comm", "exe"),
    [
        ("bash", "/bin/bash"),
        ("gopher", "/usr/bin/gopher"),
        ("go1.24.3.tar", "/tmp/go1.24.3.tar"),
        ("gofer-daemon", "/usr/bin/gofer-daemon"),
        ("kworker/0:1", None),
    ],
)
def test_other_programs_are_none(proc: Proc, comm: str, exe: Optional[str]) -> None:
    proc.add(77, comm, exe)
    assert proc.names() == {}


def test_a_zombie_uses_no_cache(proc: Proc) -> None:
    proc.add(77, "go", None, state="Z")
    assert proc.names() == {}


def test_a_tool_is_taken_out_only_when_it_is_proven_to_use_another_cache(proc: Proc, tmp_path: pathlib.Path) -> None:
    """A go in its default places carries no variable at all."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for path in (mine, other):
        path.mkdir()
    proc.add(10, "go", "/go", {"GOMODCACHE": str(mine), "GOCACHE": str(other)})
    proc.add(11, "go", "/go", {"GOMODCACHE": str(other)})
    proc.add(12, "go", "/go", {})
    proc.add(13, "go", "/go", {"GOMODCACHE": str(tmp_path / "missing")})
    proc.add(14, "go", "/go", {"GOMODCACHE": ""})
    proc.add(15, "go", "/go", {"GOMODCACHE": "relative"})
    proc.add(16, "go", "/go", {"XGOMODCACHE": str(other)})
    seen = running.scan(str(proc.path))
    st = mine.stat()
    users = running.users_of(seen, st.st_dev, st.st_ino, "go-mod")
    assert sorted(pid for pid, _start, _name in users.who) == [10, 12, 13, 14, 15, 16]
    builds = running.users_of(seen, st.st_dev, st.st_ino, "go-build")
    assert sorted(pid for pid, _start, _name in builds.who) == [11, 12, 13, 14, 15, 16]


def test_a_path_is_looked_up_as_the_process_sees_it(proc: Proc, tmp_path: pathlib.Path) -> None:
    """A job in a container has a root of its own."""
    inner = tmp_path / "rootfs/cache"
    inner.mkdir(parents=True)
    proc.add(10, "go", "/go", {"GOMODCACHE": "/cache"})
    (proc.path / "10/root").symlink_to(tmp_path / "rootfs")
    (tool,) = running.scan(str(proc.path)).tools
    assert tool.modcache == (inner.stat().st_dev, inner.stat().st_ino)


def test_a_symlink_to_the_cache_is_the_cache(proc: Proc, tmp_path: pathlib.Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "link").symlink_to("cache")
    proc.add(10, "go", "/go", {"GOCACHE": str(tmp_path / "link")})
    st = (tmp_path / "cache").stat()
    assert len(running.users_of(running.scan(str(proc.path)), st.st_dev, st.st_ino, "go-build").who) == 1


def test_a_proc_that_cannot_be_read_or_shows_nobody_else_proves_nothing(proc: Proc, tmp_path: pathlib.Path) -> None:
    """F34: hidepid, or no /proc at all."""
    assert not running.scan(str(tmp_path / "missing")).complete
    assert not running.scan(str(proc.path)).complete
    proc.add(2, "bash", "/bin/bash")
    assert running.scan(str(proc.path)).complete


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: looks as another user")
def test_without_root_the_scan_is_not_complete() -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(4242, 4242, 4242)
            os.setresuid(4242, 4242, 4242)
            seen = running.scan()
            code = 0 if not seen.complete and seen.hidden > 0 else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_tool_that_really_runs_is_seen_with_its_cache(tmp_path: pathlib.Path) -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    tool = tmp_path / "gopls"
    shutil.copy(sleep, str(tool))
    child = subprocess.Popen([str(tool), "60"], env={"GOMODCACHE": str(tmp_path)})
    st = tmp_path.stat()
    wanted = ("gopls", os.geteuid(), (st.st_dev, st.st_ino))
    found = None
    try:
        until = time.monotonic() + 10
        while found != wanted and time.monotonic() < until:  # the kernel shows it a moment after the start
            seen = [item for item in running.scan().tools if item.pid == child.pid]
            found = (seen[0].name, seen[0].uid, seen[0].modcache) if seen else None
    finally:
        child.kill()
        child.wait()
    assert found == wanted


def test_the_own_process_never_counts(proc: Proc) -> None:
    proc.add(os.getpid(), "go", "/usr/local/go/bin/go")
    assert proc.names() == {}
