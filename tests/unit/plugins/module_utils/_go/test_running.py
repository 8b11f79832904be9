# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import threading
import time
from typing import Any, Dict, List, Optional

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import running


class Proc:
    """A made-up /proc, that of root on a host, with init."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.add(1, "init", "/sbin/init")
        self.me()

    def me(
        self, nspid: str = "500", caps: str = "000001ffffffffff", pids: int = 4026531836, users: int = 4026531837
    ) -> None:
        """What the process that looks is told of itself."""
        folder = self.path / "self"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "ns").mkdir(parents=True)
        (folder / "status").write_text("Name:\tpython\nNSpid:\t%s\nCapEff:\t%s\n" % (nspid, caps))
        (folder / "ns/pid").symlink_to("pid:[%d]" % pids)
        (folder / "ns/user").symlink_to("user:[%d]" % users)

    def add(
        self,
        pid: int,
        comm: str,
        exe: Optional[str],
        env: Optional[Dict[str, str]] = None,
        state: str = "S",
        maps: str = "",
        root: str = "/",
        flags: int = 0,
    ) -> pathlib.Path:
        folder = self.path / str(pid)
        self.fill(folder, pid, comm, exe, env, state, maps, root, flags)
        return folder

    @staticmethod
    def fill(
        folder: pathlib.Path,
        pid: int,
        comm: str,
        exe: Optional[str],
        env: Optional[Dict[str, str]] = None,
        state: str = "S",
        maps: str = "",
        root: str = "/",
        flags: int = 0,
    ) -> None:
        folder.mkdir(parents=True)
        fields = [state] + ["0"] * 5 + [str(flags)] + ["0"] * 12 + [str(1000 + pid)] + ["0"] * 10
        (folder / "stat").write_text("%d (%s) %s\n" % (pid, comm, " ".join(fields)), encoding="utf-8")
        text = "".join("%s=%s\0" % item for item in (env or {}).items())
        (folder / "environ").write_bytes(os.fsencode(text))
        (folder / "maps").write_text(maps)
        (folder / "mountinfo").symlink_to("/proc/self/mountinfo")
        (folder / "root").symlink_to(root)
        if exe is not None:
            (folder / "exe").symlink_to(exe)

    def scan(self) -> running.Scan:
        return running.scan(str(self.path))

    def names(self) -> Dict[int, str]:
        return {tool.pid: tool.name for tool in self.scan().tools}

    def users(self, place: pathlib.Path, kind: str) -> List[int]:
        st = place.stat()
        return sorted(pid for pid, _start, _name in running.users_of(self.scan(), st.st_dev, st.st_ino, kind).who)


def mapped(cache: pathlib.Path, shown: Optional[str] = None, ending: str = "") -> str:
    """A line of /proc/PID/maps for a file of the build cache, which is made."""
    name = "ab" * 32 + "-d"
    file = cache / "ab" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    st = file.stat()
    numbers = "%02x:%02x %d" % (os.major(st.st_dev), os.minor(st.st_dev), st.st_ino)
    return "7f00-7f10 r--s 00000000 %s         %s/ab/%s%s\n" % (numbers, shown or cache, name, ending)


def toolchain(top: pathlib.Path, go_env: str = "") -> pathlib.Path:
    """A GOROOT; its go is no real one."""
    for folder in ("bin", "pkg/tool/linux_amd64"):
        (top / folder).mkdir(parents=True)
    (top / "bin/go").write_bytes(b"\x7fELF no more")
    (top / "VERSION").write_text("go1.26.8\ntime 2026-01-01T00:00:00Z\n")
    (top / "go.env").write_text("GOPROXY=direct\n" + go_env)
    return top


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
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    proc.add(10, "go", "/go", {"GOMODCACHE": str(mine), "GOCACHE": str(other)})
    proc.add(11, "go", "/go", {"GOMODCACHE": str(other)})
    proc.add(12, "go", "/go", {})
    proc.add(13, "go", "/go", {"GOMODCACHE": str(tmp_path / "missing")})
    proc.add(14, "go", "/go", {"GOMODCACHE": ""})
    proc.add(15, "go", "/go", {"GOMODCACHE": "relative"})
    proc.add(16, "go", "/go", {"XGOMODCACHE": str(other)})
    proc.add(17, "go", "/go", {"GOMODCACHE": str(tmp_path / "file")})
    proc.add(18, "go", "/go", {"GOMODCACHE": str(tmp_path / "loop")})
    proc.add(19, "go", "/go", {"GOMODCACHE": "/proc/self/cwd"})
    assert proc.users(mine, "go-mod") == [10, 12, 13, 14, 15, 16, 17, 18, 19]
    assert proc.users(mine, "go-build") == [11, 12, 13, 14, 15, 16, 17, 18, 19]


def test_a_path_is_looked_up_as_the_process_sees_it(proc: Proc, tmp_path: pathlib.Path) -> None:
    """A job in a container has a root of its own; its absolute symlinks start there, not at the host's root."""
    inner, outer = tmp_path / "rootfs/srv/cache", tmp_path / "srv/cache"
    for path in (inner, outer):
        path.mkdir(parents=True)
    root = tmp_path / "rootfs"
    (root / "link").symlink_to("/srv/cache")
    (root / "up").symlink_to("../../../../srv/cache")
    proc.add(10, "go", "/go", {"GOMODCACHE": "/srv/cache"}, root=str(root))
    proc.add(11, "go", "/go", {"GOMODCACHE": "/link"}, root=str(root))
    proc.add(12, "go", "/go", {"GOMODCACHE": "/up/../../../srv/cache"}, root=str(root))
    assert proc.users(inner, "go-mod") == [10, 11, 12]
    assert proc.users(outer, "go-mod") == []


def test_a_process_whose_root_is_hidden_is_a_user_of_all(proc: Proc, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    folder = proc.add(10, "go", "/go", {"GOMODCACHE": str(tmp_path / "other")})
    (folder / "root").unlink()
    assert proc.users(tmp_path, "go-mod") == [10]


@pytest.mark.parametrize(
    ("env", "build", "mod"),
    [
        ({"HOME": "{home}"}, "home/.cache/go-build", "home/go/pkg/mod"),
        ({"HOME": "{home}", "XDG_CACHE_HOME": "{top}/xdg"}, "xdg/go-build", "home/go/pkg/mod"),
        ({"HOME": "{home}", "GOPATH": "{top}/gopath:/x"}, "home/.cache/go-build", "gopath/pkg/mod"),
        ({"HOME": "{home}", "GOENV": "{top}/env"}, "env-build", "home/go/pkg/mod"),
        ({"HOME": "{home}", "GOENV": "off"}, "home/.cache/go-build", "home/go/pkg/mod"),
        ({"HOME": "{home}", "GOROOT": "{top}/sdk2"}, "sdk2-build", "home/go/pkg/mod"),
    ],
)
def test_a_go_in_its_default_places_uses_these_and_no_others(
    proc: Proc, tmp_path: pathlib.Path, env: Dict[str, str], build: str, mod: str
) -> None:
    toolchain(tmp_path / "sdk")
    toolchain(tmp_path / "sdk2", "GOCACHE=%s\n" % (tmp_path / "sdk2-build"))
    (tmp_path / "env").write_text("GOCACHE=%s\n" % (tmp_path / "env-build"))
    builds = {"home/.cache/go-build", "xdg/go-build", "env-build", "sdk2-build"}
    mods = {"home/go/pkg/mod", "gopath/pkg/mod"}
    for name in builds | mods:
        (tmp_path / name).mkdir(parents=True)
    given = {name: value.format(home=tmp_path / "home", top=tmp_path) for name, value in env.items()}
    proc.add(10, "go", str(tmp_path / "sdk/bin/go"), given)
    assert {name for name in builds if proc.users(tmp_path / name, "go-build")} == {build}
    assert {name for name in mods if proc.users(tmp_path / name, "go-mod")} == {mod}


@pytest.mark.parametrize(
    "broken",
    ["no goroot", "relative GOENV", "GOENV is a folder", "no home", "GOENV through /proc", "goroot is another file"],
)
def test_what_cannot_be_evaluated_uses_every_cache(proc: Proc, tmp_path: pathlib.Path, broken: str) -> None:
    sdk = toolchain(tmp_path / "sdk")
    for name in ("home/.cache/go-build", "home/go/pkg/mod", "mine"):
        (tmp_path / name).mkdir(parents=True)
    env = {"HOME": str(tmp_path / "home")}
    exe = str(sdk / "bin/go")
    if broken == "no goroot":
        exe = str(tmp_path / "bin/go")
    elif broken == "relative GOENV":
        env["GOENV"] = "env"
    elif broken == "GOENV is a folder":
        env["GOENV"] = str(tmp_path)
    elif broken == "no home":
        env = {}
    elif broken == "GOENV through /proc":
        env["GOENV"] = "/proc/self/environ"
    folder = proc.add(10, "go", exe, env)
    if broken == "goroot is another file":
        # the path that the kernel shows is that of another root
        (tmp_path / "rootfs").mkdir()
        (folder / "root").unlink()
        (folder / "root").symlink_to(tmp_path / "rootfs")
    assert proc.users(tmp_path / "mine", "go-build") == [10]
    assert proc.users(tmp_path / "mine", "go-mod") == [10]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file that the process may not read")
def test_an_env_file_that_the_process_may_not_read_proves_nothing(proc: Proc, tmp_path: pathlib.Path) -> None:
    """Go ignores it without a word; whether it can read it (access lists) is not known."""
    sdk = toolchain(tmp_path / "sdk")
    for name in ("home/.cache/go-build", "mine"):
        (tmp_path / name).mkdir(parents=True)
    secret = tmp_path / "env"
    secret.write_text("GOCACHE=%s\n" % tmp_path)
    secret.chmod(0o600)
    folder = proc.add(10, "go", str(sdk / "bin/go"), {"HOME": str(tmp_path / "home"), "GOENV": str(secret)})
    (folder / "status").write_text("Uid:\t4242\t4242\t4242\t4242\nGid:\t4242\t4242\t4242\t4242\nGroups:\t4242 \n")
    assert proc.users(tmp_path / "mine", "go-build") == [10]


def test_the_files_that_a_go_maps_prove_its_build_cache(proc: Proc, tmp_path: pathlib.Path) -> None:
    """Whatever its environment says: it may lead elsewhere, or nowhere."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    other.mkdir()
    proc.add(10, "go", "/go", maps=mapped(mine))
    proc.add(11, "go", "/go", {"GOCACHE": str(other)}, maps=mapped(mine))
    assert proc.users(mine, "go-build") == [10, 11]
    assert proc.users(other, "go-build") == [11]
    assert proc.users(tmp_path, "go-build") == []
    assert proc.users(tmp_path, "go-mod") == [10, 11]


def test_maps_of_another_file_prove_nothing(proc: Proc, tmp_path: pathlib.Path) -> None:
    """The path means another file in the process's root, has been unlinked, or cannot be found there."""
    mine, copy = tmp_path / "mine", tmp_path / "copy"
    mapped(copy)
    proc.add(10, "go", "/go", maps=mapped(mine, str(copy)))
    proc.add(11, "go", "/go", maps=mapped(copy, None, " (deleted)"))
    proc.add(12, "go", "/go", {"GOCACHE": str(copy)}, maps=mapped(mine, "/nowhere"))
    assert proc.users(mine, "go-build") == [10, 11, 12]
    assert proc.users(copy, "go-build") == [10, 11, 12]


def test_maps_are_found_below_another_root(proc: Proc, tmp_path: pathlib.Path) -> None:
    """In a mount namespace the kernel shows the path there; of a changed root in this one, the path from here."""
    root = tmp_path / "rootfs"
    cache = root / "c"
    proc.add(10, "go", "/go", maps=mapped(cache, "/c"), root=str(root))
    proc.add(11, "go", "/go", maps=mapped(cache), root=str(root))
    assert proc.users(cache, "go-build") == [10, 11]
    assert proc.users(tmp_path, "go-build") == []


def test_only_the_leader_of_a_process_may_have_ended(proc: Proc, tmp_path: pathlib.Path) -> None:
    """A process goes on without its first thread, whose folder then shows no memory, files or root."""
    (tmp_path / "mine").mkdir()
    folder = proc.add(10, "go", None, state="Z")
    proc.fill(folder / "task/10", 10, "go", None, state="Z")
    assert proc.names() == {}
    proc.fill(folder / "task/12", 12, "go", "/go", {"GOCACHE": str(tmp_path / "mine")})
    (tool,) = proc.scan().tools
    assert (tool.pid, tool.start) == (10, 1010)
    assert proc.users(tmp_path / "mine", "go-build") == [10]
    assert proc.users(tmp_path, "go-build") == []


def test_kernel_threads_do_not_count(proc: Proc) -> None:
    proc.add(10, "go", None, flags=0x00208040)
    assert proc.names() == {}


def test_a_number_that_went_to_another_process_is_looked_at_again(
    proc: Proc, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PID reuse, or exec: evidence of the one is never taken for the other's."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    proc.add(10, "go", "/go", {"GOCACHE": str(other)})
    reads = running.running_proc.read
    done: List[str] = []

    def reuse(path: str, limit: int) -> bytes:
        data = reads(path, limit)
        if path.endswith("/10/environ") and not done:
            done.append(path)
            shutil.rmtree(proc.path / "10")
            proc.add(10, "go", "/new/go", {"GOCACHE": str(mine)})
        return data

    monkeypatch.setattr(running.running_proc, "read", reuse)
    seen = proc.scan()
    st = mine.stat()
    assert [who[0] for who in running.users_of(seen, st.st_dev, st.st_ino, "go-build").who] == [10]
    assert done


def test_a_go_that_is_being_started_may_use_every_cache(proc: Proc, tmp_path: pathlib.Path) -> None:
    """It has a new executable and no environment yet: that it overrides nothing in go.env proves nothing."""
    sdk = toolchain(tmp_path / "sdk", "GOCACHE=%s\nGOMODCACHE=%s\n" % (tmp_path / "sdk", tmp_path / "sdk"))
    folder = proc.add(10, "go", str(sdk / "bin/go"))
    line = (folder / "stat").read_text().rstrip("\n")
    (folder / "stat").write_text(line + " 0" * (49 - len(line.rpartition(")")[2].split())) + "\n")
    assert proc.users(tmp_path, "go-build") == [10]
    assert proc.users(tmp_path, "go-mod") == [10]


def test_a_process_that_ends_meanwhile_uses_nothing(
    proc: Proc, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.add(10, "go", "/go")
    reads = running.running_proc.read

    def end(path: str, limit: int) -> bytes:
        if path.endswith("/10/environ"):
            shutil.rmtree(proc.path / "10")
        return reads(path, limit)

    monkeypatch.setattr(running.running_proc, "read", end)
    assert proc.scan().tools == ()


def test_a_claim_that_nobody_thought_of_makes_a_user_of_everything(
    proc: Proc, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    proc.add(10, "go", "/go", {"GOCACHE": str(tmp_path / "other")})

    def fail(_base: str) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(running, "View", fail)
    assert proc.users(tmp_path, "go-build") == [10]


def test_a_look_up_that_never_ends_makes_a_user_of_everything(
    proc: Proc, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path on a file server that is down."""
    (tmp_path / "other").mkdir()
    proc.add(2, "bash", "/bin/bash")
    proc.add(10, "go", "/go", {"GOCACHE": str(tmp_path / "other")})
    let_go = threading.Event()
    monkeypatch.setattr(running, "_TIMEOUT", 0.2)
    monkeypatch.setattr(running, "_stuck", threading.Event())
    monkeypatch.setattr(running, "View", lambda _base: let_go.wait(60))
    try:
        for _round in range(2):
            begin = time.monotonic()
            seen = proc.scan()
            assert time.monotonic() - begin < 30
            assert not seen.complete
            assert "file server" in seen.why
            assert [tool.pid for tool in seen.tools] == [10]
            assert proc.users(tmp_path, "go-build") == [10]
    finally:
        let_go.set()


@pytest.mark.parametrize(
    ("kind", "gone"),
    [("go-mod", []), ("go-build", [])],
)
def test_a_place_on_a_network_or_stacked_file_system_proves_nothing_about_another_device(
    kind: str, gone: List[int]
) -> None:
    """The same directory may have other numbers there."""
    far, near = running.Uses((running.Place(7, 8, False),), True), running.Uses((running.Place(7, 8, True),), True)
    for uses, other_device in ((far, True), (near, False)):
        assert uses.may_be(7, 8)
        assert not uses.may_be(7, 9)
        assert uses.may_be(6, 9) is other_device
    assert not running.Uses((), True).may_be(1, 1)
    assert running.Uses((), False).may_be(1, 1)
    tool = running.Tool(10, 1, "go", 0, far, far)
    assert [row[0] for row in running.users_of(running.Scan((tool,), 0, True), 7, 9, kind).who] == gone


def test_a_cache_in_a_containers_writable_layer_is_used_by_its_tools(tmp_path: pathlib.Path) -> None:
    uses = running.Uses((running.Place(1, 1),), True)
    layer = tmp_path / "diff"
    (layer / "root/cache").mkdir(parents=True)
    st = layer.stat()
    tool = running.Tool(10, 1, "go", 0, uses, uses, layers=frozenset([(st.st_dev, st.st_ino)]))
    seen = running.Scan((tool,), 0, True)
    for place, users in ((layer / "root/cache", 1), (tmp_path, 0)):
        fd = os.open(place, os.O_RDONLY)
        try:
            assert len(running.users_of(seen, 99, 99, "go-build", running.above(fd)).who) == users
        finally:
            os.close(fd)


def test_the_toolchains_in_use_are_named(proc: Proc, tmp_path: pathlib.Path) -> None:
    names = ["golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", "b", "c", "d", "idle"]
    ids = {}
    for name in names:
        st = toolchain(tmp_path / name).stat()
        ids[name] = (st.st_dev, st.st_ino)
    (tmp_path / "b/pkg/tool/linux_amd64/compile").touch()
    proc.add(10, "go", str(tmp_path / names[0] / "bin/go"))
    proc.add(11, "compile", str(tmp_path / "b/pkg/tool/linux_amd64/compile"))
    proc.add(12, "vet", "/x/vet", {"GOROOT": str(tmp_path / "c")})
    proc.add(13, "gopls", "/usr/bin/gopls", {"PATH": "relative:/nowhere:%s" % (tmp_path / "d/bin")})
    used = running.toolchains_in_use(proc.scan())
    assert used.used == {ids[name] for name in names if name != "idle"}
    assert used.complete
    # the module cache that a downloaded toolchain lies in is in use, too
    assert 10 in proc.users(tmp_path, "go-mod")
    proc.add(14, "go", "/moved/away/bin/go")
    assert not running.toolchains_in_use(proc.scan()).complete


def test_the_answer_is_busy_idle_or_unknown(proc: Proc, tmp_path: pathlib.Path) -> None:
    def answer() -> str:
        return running.state(running.users_of(proc.scan(), 1, 1, "go-build"))

    proc.add(2, "bash", "/bin/bash")
    assert answer() == "idle"
    proc.me(caps="0000000000000000")
    assert answer() == "unknown"
    proc.add(10, "go", "/go")
    assert answer() == "busy"


@pytest.mark.parametrize(
    ("me", "why"),
    [
        ({"pids": 4026532000}, "container"),
        ({"users": 4026532000}, "not root"),
        ({"caps": "00000000a80425fb"}, "not root"),
        ({"nspid": "500 3"}, "container"),
    ],
)
def test_who_cannot_see_the_whole_host_proves_nothing(proc: Proc, me: Dict[str, Any], why: str) -> None:
    """Root in a container (its own PID namespace, or a /proc of one above it), without CAP_SYS_PTRACE, or in a user
    namespace.
    """
    proc.add(2, "bash", "/bin/bash")
    assert proc.scan().complete
    proc.me(**me)
    seen = proc.scan()
    assert not seen.complete
    assert why in seen.why


def test_the_hosts_proc_inside_a_container_shows_all(proc: Proc) -> None:
    proc.me(nspid="500 3", pids=4026532000)
    (proc.path / "1/ns").mkdir()
    (proc.path / "1/ns/pid").symlink_to("pid:[4026531836]")
    assert proc.scan().complete


def test_a_symlink_to_the_cache_is_the_cache(proc: Proc, tmp_path: pathlib.Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "link").symlink_to("cache")
    proc.add(10, "go", "/go", {"GOCACHE": str(tmp_path / "link")})
    st = (tmp_path / "cache").stat()
    assert len(running.users_of(running.scan(str(proc.path)), st.st_dev, st.st_ino, "go-build").who) == 1


def test_a_proc_that_cannot_be_read_or_shows_nobody_else_proves_nothing(proc: Proc, tmp_path: pathlib.Path) -> None:
    """F34: hidepid, or no /proc at all."""
    assert not running.scan(str(tmp_path / "missing")).complete
    assert running.scan(str(proc.path)).complete
    shutil.rmtree(proc.path / "1")
    proc.add(2, "bash", "/bin/bash")
    assert not running.scan(str(proc.path)).complete


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
    wanted = ("gopls", os.geteuid(), [(st.st_dev, st.st_ino)])
    found = None
    try:
        until = time.monotonic() + 10
        while found != wanted and time.monotonic() < until:  # the kernel shows it a moment after the start
            seen = [item for item in running.scan().tools if item.pid == child.pid]
            uses = seen[0].modcache if seen else None
            found = (seen[0].name, seen[0].uid, [place[:2] for place in uses.places]) if uses else None
    finally:
        child.kill()
        child.wait()
    assert found == wanted


def test_the_own_process_never_counts(proc: Proc) -> None:
    proc.add(os.getpid(), "go", "/usr/local/go/bin/go")
    assert proc.names() == {}
