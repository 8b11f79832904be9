# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import stat
import subprocess
from typing import Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import running_proc
from ansible_collections.gofleet.cache.plugins.module_utils._go.running_proc import Rights, View


@given(st.text(max_size=15), st.sampled_from("RSDZTtXI"), st.integers(1, 500), st.integers(0, 1 << 62), st.booleans())
def test_a_stat_line_is_read_whatever_the_command_is_called(
    comm: str, state: str, threads: int, start: int, kernel: bool
) -> None:
    flags = 0x00208040 if kernel else 0x00400100
    line = f"12 ({comm}) {state} 1 2 3 4 5 {flags} 7 8 9 10 11 12 13 14 15 16 {threads} 0 {start} 23 24 25\n"
    assert running_proc.parse_stat(line) == (comm, state, threads, start, kernel)


@given(st.text(max_size=200))
def test_a_broken_stat_line_is_an_error_and_nothing_else(line: str) -> None:
    try:
        found = running_proc.parse_stat(line)
    except ValueError:
        return
    assert found.start == int(line.rpartition(")")[2].split()[19])


_NAME = st.text(st.characters(blacklist_characters="=\0", blacklist_categories=["Cs"]), min_size=1, max_size=8)
_VALUE = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(_NAME, _VALUE), max_size=8))
def test_of_a_variable_that_is_there_twice_the_first_counts(pairs: List[List[str]]) -> None:
    data = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in pairs)
    wanted: Dict[str, str] = {}
    for name, value in pairs:
        wanted.setdefault(name, value)
    assert running_proc.parse_environ(data) == wanted


def test_a_child_that_has_just_been_started_has_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel shows none for a moment after execve(2): a ``go`` in it would count as one with default settings."""
    monkeypatch.setattr(running_proc, "_STARTS", 30_000)  # however busy this machine is
    for _round in range(150):
        with subprocess.Popen(["/bin/sleep", "60"], env={"GOCACHE": "/where/it/is"}) as child:
            try:
                assert running_proc.environ("/proc/%d" % child.pid) == b"GOCACHE=/where/it/is\0"
            finally:
                child.kill()


def test_a_child_without_environment_has_none() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as child:
        try:
            assert running_proc.environ("/proc/%d" % child.pid) == b""
        finally:
            child.kill()


def process(folder: pathlib.Path, state: str, bound: int) -> str:
    """What /proc shows of a process without environment, which would begin and end at *bound*."""
    (folder / "environ").touch()
    (folder / "stat").write_text("7 (go) %s\n" % " ".join([state] + ["0"] * 46 + [str(bound)] * 2))
    return str(folder)


def test_a_program_that_never_starts_is_told_from_one_without_environment(tmp_path: pathlib.Path) -> None:
    with pytest.raises(running_proc.Starting):
        running_proc.environ(process(tmp_path, "R", 0))
    assert running_proc.environ(process(tmp_path, "R", 4096)) == b""


def test_who_sleeps_or_has_ended_is_not_waited_for(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_proc.time, "sleep", lambda _seconds: pytest.fail("it was waited for"))
    assert running_proc.environ(process(tmp_path, "S", 4096)) == b""
    with pytest.raises(ProcessLookupError):
        running_proc.environ(process(tmp_path, "Z", 0))


@given(st.binary(max_size=300))
def test_any_bytes_are_an_environment(data: bytes) -> None:
    found = running_proc.parse_environ(data)
    assert all(name and "=" not in name for name in found)


_SHA = st.binary(min_size=32, max_size=32).map(bytes.hex)
_PATH = st.lists(
    st.text(st.characters(blacklist_characters="\0/\n\\", blacklist_categories=["Cs"]), min_size=1, max_size=8),
    min_size=1,
    max_size=4,
).map(lambda parts: "/" + "/".join(parts))


@given(_PATH, st.lists(_SHA, min_size=1, max_size=6, unique=True), st.booleans())
def test_the_build_cache_is_found_in_maps(path: str, names: List[str], deleted: bool) -> None:
    ending = " (deleted)" if deleted else ""
    lines = [
        "00400000-01000000 r-xp 00000000 fe:00 77                 /usr/local/go/bin/go",
        "c000-d000 rw-p 00000000 00:00 0 ",
    ]
    lines += [
        f"7f00-7f10 r--s 00000000 fe:01 {number:<26} {path}/{name[:2]}/{name}-d{ending}"
        for number, name in enumerate(names, 5)
    ]
    lines += ["7fff-8000 r-xp 00000000 00:00 0   [vdso]", ""]
    rows, whole = running_proc.parse_maps(os.fsencode("\n".join(lines)))
    assert whole
    assert [row.path for row in rows] == [path]
    wanted = [(f"{name[:2]}/{name}-d", os.makedev(0xFE, 1), number) for number, name in enumerate(names, 5)]
    assert list(rows[0].files) == ([] if deleted else wanted[:4])


@pytest.mark.parametrize(
    "path",
    [
        "/c/ab/" + "ab" * 32 + "-a",
        "/c/ab/" + "ab" * 31 + "-d",
        "/c/cd/" + "ab" * 32 + "-d",
        "/c/ab/" + "AB" * 32 + "-d",
        "/c/ab/" + "ab" * 32 + "-d/vet",
        "relative/ab/" + "ab" * 32 + "-d",
    ],
)
def test_other_files_in_maps_are_no_build_cache(path: str) -> None:
    assert running_proc.parse_maps(b"7f00-7f10 r--s 00000000 fe:01 5   " + path.encode() + b"\n") == ([], True)


def test_a_line_end_in_a_path_is_no_second_line() -> None:
    """The kernel writes it as four characters (proc_pid_maps(5))."""
    line = "7f00-7f10 r--s 00000000 fe:01 5   /a\\012b/ab/" + "ab" * 32 + "-d\n"
    rows, _whole = running_proc.parse_maps(line.encode())
    assert [row.path for row in rows] == ["/a\nb"]


def test_a_process_that_maps_too_many_caches_proves_nothing() -> None:
    text = "".join("7f00-7f10 r--s 0 fe:01 5 /%d/ab/%s-d\n" % (number, "ab" * 32) for number in range(20))
    rows, whole = running_proc.parse_maps(text.encode())
    assert len(rows) == running_proc.MAPS_ROOTS
    assert not whole


@given(st.binary(max_size=300))
def test_any_bytes_are_maps(data: bytes) -> None:
    for row in running_proc.parse_maps(data)[0]:
        assert row.path.startswith("/")


def test_the_writable_layers_of_overlay_mounts_are_found() -> None:
    text = (
        "30 1 0:26 / / rw - overlay overlay rw,lowerdir=l/A:l/B,upperdir=/var/lib/a\\040b\\,c/diff,workdir=/w\n"
        "31 1 0:27 / /x rw - ext4 upperdir=/no rw,upperdir=/neither\n"
        "32 1 0:28 / /y ro - overlay overlay ro,lowerdir=/a:/b\n"
        "33 1 0:29 / /z rw - overlay overlay rw,lowerdir=/a,upperdir=relative,workdir=/w\n"
        "not a line\n"
    )
    assert running_proc.parse_layers(text) == {"/var/lib/a b,c/diff"}


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "may"),
    [
        (0o400, 7, 1, True),
        (0o044, 7, 1, False),
        (0o040, 1, 8, True),
        (0o404, 1, 8, False),
        (0o404, 1, 1, True),
        (0o440, 1, 1, False),
    ],
)
def test_rights_are_judged_by_the_first_class_that_fits(mode: int, uid: int, gid: int, may: bool) -> None:
    found = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))
    assert Rights(7, frozenset([8])).may(found, 4) is may
    assert Rights(0, frozenset()).may(found, 4)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A process's folder in a made-up /proc, whose root has some files."""
    top = tmp_path / "rootfs"
    (top / "a/b").mkdir(parents=True)
    (top / "a/file").write_text("inside")
    (tmp_path / "file").write_text("outside")
    for name, target in [
        ("up", "../../../../../../../../../../file"),
        ("abs", "/a/file"),
        ("rel", "a/../a/file"),
        ("loop", "loop"),
        ("toproc", "/proc/self/status"),
        ("outside", str(tmp_path / "file")),
        ("dir", "/a"),
    ]:
        (top / name).symlink_to(target)
    os.mkfifo(top / "fifo")
    (tmp_path / "root").symlink_to(top)
    return tmp_path


@pytest.mark.parametrize(
    "path", ["/a/file", "/abs", "/rel", "//a/./b/../file", "/../../a/file", "/dir/file", "/dir/../abs"]
)
def test_paths_are_resolved_inside_the_root(root: pathlib.Path, path: str) -> None:
    view = View(str(root))
    try:
        assert view.read(path, Rights(0, frozenset())) == b"inside"
        found = (root / "rootfs/a/file").stat()
        assert view.identify(path) == (found.st_dev, found.st_ino)
        fd, real = view.open(path)
        os.close(fd)
        assert real == "/a/file"
    finally:
        view.close()


@pytest.mark.parametrize(
    "path",
    [
        "/up",
        "/loop",
        "/toproc",
        "/outside",
        "/proc/self/status",
        "relative",
        "",
        "/fifo",
        "/a",
        "/",
        "/a/file/x",
        "/x" * 300,
    ],
)
def test_nothing_else_is_read(root: pathlib.Path, path: str) -> None:
    """Neither what lies outside of the root, nor /proc, nor what would hang (a FIFO)."""
    before = len(os.listdir("/proc/self/fd"))
    view = View(str(root))
    try:
        with pytest.raises(OSError, match=r"\[Errno"):
            view.read(path, Rights(0, frozenset()))
    finally:
        view.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_the_process_may_not_read_or_reach_is_refused(root: pathlib.Path) -> None:
    nobody = Rights(os.geteuid() + 4242, frozenset())
    view = View(str(root))
    try:
        (root / "rootfs/a").chmod(0o755)
        (root / "rootfs/a/file").chmod(0o644)
        assert view.read("/a/file", nobody) == b"inside"
        (root / "rootfs/a/file").chmod(0o600)
        with pytest.raises(PermissionError):
            view.read("/a/file", nobody)
        (root / "rootfs/a/file").chmod(0o644)
        (root / "rootfs/a").chmod(0o700)
        with pytest.raises(PermissionError):
            view.read("/abs", nobody)
    finally:
        view.close()


def test_reading_leaves_the_access_time_alone(root: pathlib.Path) -> None:
    file = root / "rootfs/a/file"
    os.utime(file, (1, 2_000_000_000))
    view = View(str(root))
    try:
        view.read("/a/file", Rights(0, frozenset()))
    finally:
        view.close()
    assert file.stat().st_atime == 1


def test_a_file_that_is_too_large_is_refused(root: pathlib.Path) -> None:
    (root / "rootfs/large").write_bytes(b"x" * (running_proc.LIMIT + 1))
    view = View(str(root))
    try:
        with pytest.raises(OSError, match="larger"):
            view.read("/large", Rights(0, frozenset()))
    finally:
        view.close()
