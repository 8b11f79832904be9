# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files replaced whole, without losing anybody's change."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import atomic

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def put(data: bytes) -> Callable[[bytes | None], bytes | None]:
    return lambda before: data


def in_child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return pid


def everything(directory: Path) -> list[tuple[str, int, int]]:
    return [(str(p), p.lstat().st_mtime_ns, p.lstat().st_ino) for p in sorted(directory.rglob("*"))]


def test_a_new_file_gets_its_folders_and_mode(tmp_path: Path) -> None:
    target = tmp_path / "home" / ".config" / "go" / "env"
    old = os.umask(0o022)
    try:
        change = atomic.update(str(target), put(b"A=1\n"))
    finally:
        os.umask(old)
    assert target.read_bytes() == b"A=1\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o755
    assert change.created == tuple(str(tmp_path / part) for part in ("home", "home/.config", "home/.config/go"))
    assert change.changed
    assert change.before is None
    assert os.listdir(target.parent) == ["env"]


def test_check_mode_predicts_the_same_change_and_touches_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "env"
    before = everything(tmp_path)
    predicted = atomic.update(str(target), put(b"A=1\n"), check=True)
    assert everything(tmp_path) == before
    assert atomic.update(str(target), put(b"A=1\n")) == predicted


def test_an_unchanged_file_keeps_inode_and_times(tmp_path: Path) -> None:
    target = tmp_path / "env"
    target.write_bytes(b"A=1\n")
    os.utime(target, ns=(1, 2))
    before = everything(tmp_path)
    atime = target.stat().st_atime_ns
    assert not atomic.update(str(target), put(b"A=1\n")).changed
    assert not atomic.update(str(target), lambda data: None).changed
    assert everything(tmp_path) == before
    assert target.stat().st_atime_ns == atime


def test_no_folder_is_made_when_there_is_nothing_to_write(tmp_path: Path) -> None:
    assert not atomic.update(str(tmp_path / "a" / "env"), lambda data: data).changed
    assert list(tmp_path.iterdir()) == []


def test_mode_and_attributes_of_an_existing_file_stay(tmp_path: Path) -> None:
    target = tmp_path / "env"
    target.write_bytes(b"")
    target.chmod(0o640)
    try:
        os.setxattr(target, "user.note", b"mine")
    except OSError:
        pytest.skip("no extended attributes here")
    atomic.update(str(target), put(b"A=1\n"))
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.getxattr(target, "user.note") == b"mine"


def test_a_symlinked_file_is_replaced_where_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "env").write_bytes(b"A=1\n")
    (tmp_path / "go").mkdir()
    (tmp_path / "go" / "env").symlink_to("../dotfiles/env")
    change = atomic.update(str(tmp_path / "go" / "env"), put(b"A=2\n"))
    assert (tmp_path / "go" / "env").is_symlink()
    assert (tmp_path / "dotfiles" / "env").read_bytes() == b"A=2\n"
    assert change.real_path == str(tmp_path / "dotfiles" / "env")


def test_a_symlink_that_others_can_replace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "go").symlink_to(tmp_path / "real")
    with pytest.raises(atomic.NotWritten) as refused:
        atomic.update(str(shared / "go" / "env"), put(b"A=1\n"))
    assert refused.value.code == "replaceable-symlink"
    assert list((tmp_path / "real").iterdir()) == []


@root_only
def test_root_refuses_a_symlink_of_another_user(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "env").symlink_to("/etc/hostname")
    os.chown(home, NOBODY, NOBODY)
    with pytest.raises(atomic.NotWritten) as refused:
        atomic.update(str(home / "env"), put(b"A=1\n"), check=True)
    assert refused.value.code == "replaceable-symlink"


def test_a_dangling_symlink_makes_the_file_it_names(tmp_path: Path) -> None:
    (tmp_path / "env").symlink_to("not/yet/there")
    atomic.update(str(tmp_path / "env"), put(b"A=1\n"))
    assert (tmp_path / "not" / "yet" / "there").read_bytes() == b"A=1\n"


def test_a_loop_of_symlinks_is_an_error_not_a_hang(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(atomic.NotWritten, match="loop"):
        atomic.update(str(tmp_path / "a"), put(b""))


@pytest.mark.parametrize("path", ["", "  ", "env", "a/../b", "/", "/etc/", "/a/../b", "/a\0b"])
def test_a_path_that_cannot_be_a_file_is_refused(path: str) -> None:
    with pytest.raises(atomic.NotWritten):
        atomic.update(path, put(b""), check=True)


@pytest.mark.parametrize("kind", ["fifo", "directory", "huge"])
def test_what_is_no_small_regular_file_is_refused_without_hanging(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "env"
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "directory":
        target.mkdir()
    else:
        target.write_bytes(b"x" * (atomic.LIMIT + 1))
    with pytest.raises(atomic.NotWritten):
        atomic.update(str(target), put(b"A=1\n"))


def test_forty_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    target = tmp_path / "new" / "env"

    def writer(number: int) -> Callable[[], None]:
        def work() -> None:
            atomic.update(str(target), lambda data: (data or b"") + b"K%d=1\n" % number)

        return work

    children = [in_child(writer(number)) for number in range(40)]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 40
    assert sorted(target.read_bytes().splitlines()) == sorted(b"K%d=1" % number for number in range(40))
    assert os.listdir(target.parent) == ["env"]


def test_the_change_of_a_writer_without_a_lock_is_not_lost(tmp_path: Path) -> None:
    target = tmp_path / "env"
    target.write_bytes(b"A=1\n")
    calls = []

    def edit(data: bytes | None) -> bytes | None:
        calls.append(data)
        if len(calls) == 2:  # under the lock, after the read: what "go env -w" would do at this moment
            target.write_bytes(b"A=1\nTHEIRS=1\n")
        return (data or b"") + b"OURS=1\n"

    atomic.update(str(target), edit)
    assert target.read_bytes() == b"A=1\nTHEIRS=1\nOURS=1\n"


def test_a_held_lock_is_an_error_after_the_time_given(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(atomic.NotWritten) as refused:
            atomic.update(str(tmp_path / "env"), put(b"A=1\n"), lock_seconds=0.05)
    finally:
        os.close(fd)
    assert refused.value.code == "locked"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    (tmp_path / ".env.gofleet-123-0123abcd").write_bytes(b"half")
    (tmp_path / ".env.gofleet-notes").write_bytes(b"not ours")
    atomic.update(str(tmp_path / "env"), put(b"A=1\n"))
    assert sorted(os.listdir(tmp_path)) == [".env.gofleet-notes", "env"]


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "env"
    target.write_bytes(b"A=1\n")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(atomic.NotWritten, match="untouched"):
        atomic.update(str(target), put(b"A=2\n"))
    assert target.read_bytes() == b"A=1\n"
    assert os.listdir(tmp_path) == ["env"]


@root_only
def test_without_the_rights_check_mode_and_the_run_fail_alike() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "env").write_bytes(b"A=1\n")

        def work() -> None:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            for name in ("env", "other", "a/b"):
                said = set()
                for check in (True, False):
                    with pytest.raises(atomic.NotWritten, match=r"denied|belongs to uid 0") as refused:
                        atomic.update(str(folder / name), put(b"A=2\n"), check=check)
                    said.add(refused.value.code)
                assert len(said) == 1

        assert os.waitpid(in_child(work), 0)[1] == 0
        assert (folder / "env").read_bytes() == b"A=1\n"


@root_only
def test_a_file_of_another_owner_is_not_taken_over() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        os.chown(folder, NOBODY, NOBODY)
        (folder / "env").write_bytes(b"A=1\n")

        def work() -> None:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            for check in (True, False):
                with pytest.raises(atomic.NotWritten, match="belongs to uid 0"):
                    atomic.update(str(folder / "env"), put(b"A=2\n"), check=check)

        assert os.waitpid(in_child(work), 0)[1] == 0
        (folder / "env").unlink()

        def own() -> None:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            predicted = atomic.update(str(folder / "a" / "env"), put(b"A=2\n"), check=True)
            assert atomic.update(str(folder / "a" / "env"), put(b"A=2\n")) == predicted

        assert os.waitpid(in_child(own), 0)[1] == 0
        assert (folder / "a" / "env").stat().st_uid == NOBODY
        (folder / "env").write_bytes(b"A=1\n")
        os.chown(folder / "env", NOBODY, 0)
        atomic.update(str(folder / "env"), put(b"A=3\n"))
        assert ((folder / "env").stat().st_uid, (folder / "env").stat().st_gid) == (NOBODY, 0)


def test_a_change_survives_the_way_through_json(tmp_path: Path) -> None:
    change = atomic.update(str(tmp_path / "x" / "env"), put(b"A=\xff\n"), check=True)
    assert atomic.from_json(atomic.to_json(change)) == change
