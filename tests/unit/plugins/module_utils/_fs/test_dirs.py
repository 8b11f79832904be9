# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import stat
import threading

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs


def test_links_on_the_way_are_followed_and_told(tmp_path: pathlib.Path) -> None:
    real = tmp_path / "real/inner"
    real.mkdir(parents=True)
    (tmp_path / "one").symlink_to("real")
    (tmp_path / "real/two").symlink_to(str(real))
    opened = dirs.open_path(str(tmp_path / "one/two"))
    try:
        assert opened.path == os.path.realpath(str(real))
        assert os.path.samestat(opened.st, real.stat())
        assert [os.path.basename(step.path) for step in opened.links] == ["one", "two"]
        assert opened.links[0].parent_uid == os.geteuid()
    finally:
        os.close(opened.fd)


@pytest.mark.parametrize(
    ("path", "ends"),
    [
        ("a/b/..", "a"),
        ("a/./b//c/../../b", "a/b"),
        ("link/..", "a"),
        ("link/../b", "a/b"),
        ("a/b/../../a", "a"),
        ("a/", "a"),
    ],
)
def test_parents_are_those_of_the_kernel(tmp_path: pathlib.Path, path: str, ends: str) -> None:
    """``..`` after a symlink is the parent of where the link leads, not of where it stands."""
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    opened = dirs.open_path("%s/%s" % (tmp_path, path))
    try:
        assert opened.path == os.path.realpath("%s/%s" % (tmp_path, path)) == str(tmp_path.resolve() / ends)
        os.listdir(opened.fd)
    finally:
        os.close(opened.fd)


def test_above_the_root_is_the_root() -> None:
    opened = dirs.open_path("/../..")
    os.close(opened.fd)
    assert opened.path == "/"


def test_a_loop_of_links_ends(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="too many symlinks"):
        dirs.open_path(str(tmp_path / "a"))


@pytest.mark.parametrize("path", ["", "x", "./x", "../x"])
def test_only_absolute_paths_are_walked(path: str) -> None:
    with pytest.raises(OSError, match="not an absolute path"):
        dirs.open_path(path)


def test_a_file_is_no_directory_and_a_missing_one_is_missing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        dirs.open_path(str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        dirs.open_path(str(tmp_path / "missing"))


def test_a_walk_leaves_no_descriptor_open(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/loop").symlink_to("loop")
    before = len(os.listdir("/proc/self/fd"))
    for name in ("a/b", "a/missing", "a/loop", "a/b/.."):
        try:
            os.close(dirs.open_path(str(tmp_path / name)).fd)
        except OSError:
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_is_never_opened_through_a_symlink(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    fd = dirs.open_dir(str(tmp_path))
    try:
        with pytest.raises(OSError):  # noqa: PT011 (ELOOP or ENOTDIR, as the kernel likes)
            dirs.open_dir("link", fd)
        with pytest.raises(OSError):  # noqa: PT011
            dirs.open_file("link", fd)
    finally:
        os.close(fd)


def test_reading_does_not_touch_the_access_time(tmp_path: pathlib.Path) -> None:
    """F27: an access time before the modification time is what relatime would write down."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    os.utime(str(path), ns=(10**18, 2 * 10**18))
    os.utime(str(tmp_path), ns=(10**18, 2 * 10**18))
    assert dirs.read_small(str(path), limit=10) == b"x" * 10
    fd = dirs.open_dir(str(tmp_path))
    assert dirs.names(fd) == ["file"]
    os.close(fd)
    assert path.stat().st_atime_ns == 10**18
    assert tmp_path.stat().st_atime_ns == 10**18


def test_a_pipe_in_a_cache_blocks_nobody(tmp_path: pathlib.Path) -> None:
    os.mkfifo(str(tmp_path / "pipe"))
    problems = []

    def read() -> None:
        try:
            dirs.read_small(str(tmp_path / "pipe"))
        except OSError as exc:
            problems.append(exc.strerror)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert problems == ["not a regular file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives a file to another user and reads as a third")
def test_a_file_that_only_its_owner_may_read_silently_is_not_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    path.chmod(0o644)
    for folder in [tmp_path, *tmp_path.parents][:-1]:
        folder.chmod(folder.stat().st_mode | 0o055) if folder.stat().st_uid == 0 else None
    os.chown(str(path), 4242, 4242)
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            os.setgroups([])
            os.setresgid(4343, 4343, 4343)
            os.setresuid(4343, 4343, 4343)
            try:
                dirs.open_file(str(path))
            except dirs.CannotLook:
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_what_unlinking_gives_back_is_what_is_allocated(tmp_path: pathlib.Path) -> None:
    """F30: a hole and a second hard link give nothing."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    os.sync()
    assert dirs.freed_by_unlink(path.stat()) == path.stat().st_blocks * 512 > 0
    os.link(str(path), str(tmp_path / "other"))
    assert dirs.freed_by_unlink(path.stat()) == 0
    sparse = tmp_path / "sparse"
    with open(str(sparse), "wb") as handle:
        handle.truncate(1 << 30)
    assert dirs.freed_by_unlink(sparse.stat()) < 1 << 20
    assert dirs.freed_by_unlink(tmp_path.stat()) == tmp_path.stat().st_blocks * 512


def test_a_listing_skips_what_vanishes_and_keeps_odd_names(tmp_path: pathlib.Path) -> None:
    odd = os.fsencode(str(tmp_path)) + b"/odd\xff\n"
    with open(odd, "wb"):
        pass
    (tmp_path / "dangling").symlink_to("nowhere")
    fd = dirs.open_dir(str(tmp_path))
    try:
        found = dict(dirs.entries(fd))
        assert sorted(os.fsencode(name) for name in found) == [b"dangling", b"odd\xff\n"]
        assert stat.S_ISLNK(found["dangling"].st_mode)
        assert dirs.lstat_or_none("missing", fd) is None
    finally:
        os.close(fd)


def test_a_mount_has_an_id() -> None:
    fd = dirs.open_dir("/")
    other = dirs.open_dir("/proc")
    try:
        assert dirs.mount_id(fd) > 0
        assert dirs.mount_id(fd) != dirs.mount_id(other)
        assert dirs.same_place(fd, dirs.mount_id(fd), os.fstat(fd).st_dev)
        assert not dirs.same_place(other, dirs.mount_id(fd), os.fstat(other).st_dev)
    finally:
        os.close(fd)
        os.close(other)


def _below(top: pathlib.Path, path: str, **more: int) -> str:
    start = dirs.open_dir(str(top))
    try:
        fd = dirs.walk_below(start, path, dirs.mount_id(start), os.fstat(start).st_dev, **more)
    finally:
        os.close(start)
    try:
        return os.readlink("/proc/self/fd/%d" % fd)
    finally:
        os.close(fd)


def test_a_walk_below_opens_makes_and_never_leaves(tmp_path: pathlib.Path) -> None:
    top = (tmp_path / "top").resolve()
    (top / "a/b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (top / "link").symlink_to(tmp_path / "outside")
    assert _below(top, "a/b") == _below(top, "/a//b/") == str(top / "a/b")
    assert _below(top, "new/deep", make=0o700) == str(top / "new/deep")
    for wrong in ("..", "a/../..", ".", "link", "link/x", "missing"):
        with pytest.raises(OSError, match=r"Errno|not"):
            _below(top, wrong)
    with pytest.raises(PermissionError):
        _below(top, "a", uid=os.getuid() + 1)
    with pytest.raises(OSError, match=r"Errno|not"):
        _below(top, "link/made", make=0o700)
    assert list((tmp_path / "outside").iterdir()) == []
