# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import stat
from typing import Iterator, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs, remove
from ansible_collections.gofleet.cache.tests.fixtures import mountspace

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: acts as another user")


class Place:
    """A folder with a tree ``tree`` to remove, and what must survive ``outside``."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.tree = path / "tree"
        self.tree.mkdir()
        self.outside = path / "outside"
        self.outside.mkdir()
        (self.outside / "sentinel").write_text("x", encoding="ascii")
        (self.outside / "sentinel").chmod(0o444)

    def remove(self) -> remove.Removed:
        fd = dirs.open_dir(str(self.path))
        try:
            return remove.remove_tree("tree", fd, dirs.mount_id(fd), os.fstat(fd).st_dev)
        finally:
            os.close(fd)


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    assert (made.outside / "sentinel").read_text(encoding="ascii") == "x"
    assert stat.S_IMODE((made.outside / "sentinel").stat().st_mode) == 0o444


def usage(top: pathlib.Path) -> Tuple[int, int]:
    paths = [top] + list(top.rglob("*"))
    stats = [os.lstat(str(path)) for path in paths]
    return sum(st.st_blocks * 512 for st in stats), len(stats)


def test_everything_goes_and_the_sums_are_true(place: Place) -> None:
    (place.tree / "a/b").mkdir(parents=True)
    for number in range(20):
        (place.tree / "a" / ("f%d" % number)).write_bytes(b"x" * 5000)
    (place.tree / "a/b/empty").touch()
    expected = usage(place.tree)
    gone = place.remove()
    assert (gone.freed, gone.inodes) == expected
    assert gone.left == ()
    assert not place.tree.exists()


def test_links_go_and_what_they_point_to_stays(place: Place) -> None:
    """F19: also its mode, where an error handler would have made it writable."""
    (place.tree / "inner").mkdir()
    (place.tree / "inner/file").symlink_to(place.outside / "sentinel")
    (place.tree / "inner/folder").symlink_to(place.outside)
    (place.tree / "inner/dangling").symlink_to("nowhere")
    (place.tree / "inner/loop").symlink_to("loop")
    (place.tree / "inner").chmod(0o555)
    place.tree.chmod(0o555)
    assert place.remove().left == ()
    assert sorted(os.listdir(str(place.outside))) == ["sentinel"]


def test_a_tree_as_go_extracts_it_goes(place: Place) -> None:
    (place.tree / "a").mkdir()
    (place.tree / "a/file").touch()
    (place.tree / "a/file").chmod(0o444)
    (place.tree / "a").chmod(0o555)
    (place.tree / "closed").mkdir(mode=0o400)
    place.tree.chmod(0o555)
    assert place.remove().left == ()
    assert not place.tree.exists()


@as_root
def test_a_plain_user_removes_a_read_only_tree_too(place: Place) -> None:
    (place.tree / "a").mkdir()
    (place.tree / "a/file").touch()
    (place.tree / "a/file").chmod(0o444)
    (place.tree / "closed").mkdir()
    for path in (place.path, place.tree, place.tree / "a", place.tree / "a/file", place.tree / "closed"):
        os.chown(str(path), 4242, 4242)
    for path in ("a", "closed", "."):
        (place.tree / path).chmod(0o555)
    fd = dirs.open_dir(str(place.path))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(4242, 4242, 4242)
            os.setresuid(4242, 4242, 4242)
            gone = remove.remove_tree("tree", fd, -1, os.fstat(fd).st_dev)
            code = 0 if gone.left == () and gone.inodes == 4 else 2
        finally:
            os._exit(code)
    os.close(fd)
    assert os.waitpid(pid, 0)[1] == 0
    assert not place.tree.exists()


def test_a_second_hard_link_keeps_content_and_mode_and_frees_nothing(place: Place) -> None:
    """F20, F30."""
    os.link(str(place.outside / "sentinel"), str(place.tree / "linked"))
    own = os.lstat(str(place.tree)).st_blocks * 512
    assert place.remove().freed == own


@pytest.mark.parametrize(("depth", "mode"), [(63, 0o755), (64, 0o555), (65, 0o755), (3000, 0o555)])
def test_depth_costs_neither_stack_nor_descriptors(place: Place, depth: int, mode: int) -> None:
    """F24: 3000 folders deep, far beyond PATH_MAX."""
    fd = dirs.open_dir(str(place.tree))
    for _number in range(depth):
        os.mkdir("d", 0o755, dir_fd=fd)
        inner = dirs.open_dir("d", fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o444, dir_fd=inner))
        os.fchmod(fd, mode)
        os.close(fd)
        fd = inner
    os.fchmod(fd, mode)
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    gone = place.remove()
    assert gone.left == ()
    assert gone.inodes == 1 + 2 * depth
    assert not place.tree.exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_names_that_are_no_text_go(place: Place) -> None:
    top = os.fsencode(str(place.tree))
    for name in (b"new\nline", b"odd\xff\xfe", b"-rf", b" ", b"*", b"'", b"x" * 255):
        with open(top + b"/" + name, "wb"):
            pass
        os.mkdir(top + b"/d" + name[:254])
    assert place.remove().left == ()
    assert not place.tree.exists()


def test_pipes_and_sockets_go_without_being_opened(place: Place) -> None:
    os.mkfifo(str(place.tree / "pipe"))
    assert place.remove().left == ()


def test_what_vanishes_meanwhile_is_fine_and_what_appears_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F17."""
    (place.tree / "a").mkdir()
    (place.tree / "a/one").touch()
    (place.tree / "a/two").touch()
    real = os.unlink
    done = []

    def unlink(name: str, *, dir_fd: int) -> None:
        real(name, dir_fd=dir_fd)
        if not done:
            done.append(name)
            real("two" if name == "one" else "one", dir_fd=dir_fd)
            os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=dir_fd))

    monkeypatch.setattr(os, "unlink", unlink)
    gone = place.remove()
    assert [name for name, _why in gone.left] == ["a", "tree"]
    assert os.listdir(str(place.tree / "a")) == ["new"]
    monkeypatch.undo()
    assert place.remove().left == ()


def test_a_folder_that_becomes_a_symlink_meanwhile_is_not_followed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F18."""
    (place.tree / "a").mkdir()
    real = os.stat
    swapped = []

    def swap(name: object, *args: object, **more: object) -> os.stat_result:
        st = real(name, *args, **more)  # type: ignore[call-overload]
        if name == "a" and not swapped:
            swapped.append(name)
            (place.tree / "a").rmdir()
            (place.tree / "a").symlink_to(place.outside)
        return st  # type: ignore[no-any-return]

    monkeypatch.setattr(os, "stat", swap)
    gone = place.remove()
    monkeypatch.undo()
    assert swapped
    assert [name for name, _why in gone.left] == ["a", "tree"]


def test_what_is_missing_or_no_folder_is_the_callers_to_know(place: Place) -> None:
    place.tree.rmdir()
    with pytest.raises(FileNotFoundError):
        place.remove()
    place.tree.symlink_to(place.outside)
    with pytest.raises(OSError):  # noqa: PT011 (ELOOP or ENOTDIR)
        place.remove()


_REMOVE = """
    from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs, remove
    top, outside, where = sys.argv[1:]
    bind(outside, where)
    fd = dirs.open_dir(top)
    gone = remove.remove_tree("tree", fd, dirs.mount_id(fd), os.fstat(fd).st_dev)
    print(sorted(name for name, _why in gone.left))
    """


@pytest.mark.parametrize("depth", [0, 3, 63, 64, 70])
def test_a_bind_mount_inside_is_never_entered_nor_changed(place: Place, depth: int) -> None:
    """F22: of the same device, so that nothing but its mount id tells it apart."""
    inner = place.tree.joinpath(*(["d"] * depth + ["mount"]))
    inner.mkdir(parents=True)
    (place.tree / "plain").touch()
    place.outside.chmod(0o555)
    told = mountspace.run(_REMOVE, str(place.path), str(place.outside), str(inner))
    assert "mount" in told
    assert stat.S_IMODE(place.outside.stat().st_mode) == 0o555
    assert os.listdir(str(place.outside)) == ["sentinel"]
    assert not (place.tree / "plain").exists()


def test_a_mount_is_not_removed_as_a_tree(place: Place) -> None:
    told = mountspace.run(_REMOVE, str(place.path), str(place.outside), str(place.tree))
    assert told == "['tree']"


@pytest.mark.parametrize("where", [".", "a", "a/b"])
def test_a_file_that_is_in_use_over_the_network_stays(place: Place, where: str) -> None:
    """An NFS client renames what is removed while somebody has it open; its rest goes, that name does not."""
    (place.tree / "a/b").mkdir(parents=True)
    (place.tree / "a/b/file").touch()
    name = ".nfs0000000001a2b3c400000001"
    (place.tree / where / name).write_text("x", encoding="ascii")
    gone = place.remove()
    assert (place.tree / where / name).read_text(encoding="ascii") == "x"
    assert [why for path, why in gone.left if path.endswith(name)] == [remove.IN_USE]
    assert not (place.tree / "a/b/file").exists()


def test_a_folder_that_is_not_the_planned_one_stays_whole(place: Place) -> None:
    (place.tree / "file").touch()
    place.tree.chmod(0o555)
    fd = dirs.open_dir(str(place.path))
    try:
        for more in ({"inode": place.tree.stat().st_ino + 1}, {"uid": os.geteuid() + 1}):
            gone = remove.remove_tree("tree", fd, dirs.mount_id(fd), os.fstat(fd).st_dev, **more)
            assert (gone.freed, gone.inodes, len(gone.left)) == (0, 0, 1)
        assert stat.S_IMODE(place.tree.stat().st_mode) == 0o555
        right = {"inode": place.tree.stat().st_ino, "uid": os.geteuid()}
        assert remove.remove_tree("tree", fd, dirs.mount_id(fd), os.fstat(fd).st_dev, **right).left == ()
    finally:
        os.close(fd)
    assert not place.tree.exists()


@as_root
@pytest.mark.parametrize("depth", [0, 80])
def test_with_roots_rights_no_folder_of_another_user_is_entered(place: Place, depth: int) -> None:
    """Whoever may write in there could have swapped it in."""
    folder = place.tree
    for _number in range(depth):
        folder /= "d"
    (folder / "theirs/inner").mkdir(parents=True)
    (folder / "theirs/inner/file").touch()
    os.chown(str(folder / "theirs"), 4242, 4242)
    (folder / "theirs").chmod(0o500)
    fd = dirs.open_dir(str(place.path))
    try:
        gone = remove.remove_tree("tree", fd, dirs.mount_id(fd), os.fstat(fd).st_dev, uid=0)
    finally:
        os.close(fd)
    assert "other owner" in {why for _path, why in gone.left}
    found = next(place.tree.rglob("theirs"))
    assert (found / "inner/file").exists()
    assert stat.S_IMODE(found.stat().st_mode) == 0o500
