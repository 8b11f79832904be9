# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy that keeps times and modes, and never leaves its tree."""

from __future__ import annotations

import errno
import hashlib
import os
import pathlib
import stat
from typing import Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs, transfer
from ansible_collections.gofleet.cache.tests.fixtures import gocaches


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> Tuple[pathlib.Path, pathlib.Path]:
    top = tmp_path.resolve()
    source, target = top / "source", top / "target"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/file").write_bytes(b"x" * 3_000_000)
    (source / "deep/er/read-only").write_text("text")
    (source / "deep/er/read-only").chmod(0o444)
    (source / "link").symlink_to("/etc/passwd")
    for number, path in enumerate(sorted(source.rglob("*"))):
        if not path.is_symlink():
            os.utime(path, ns=(10**18 + number, 10**18 + 7 * number))
    (source / "deep/er").chmod(0o555)
    target.mkdir()
    return source, target


def mirror(source: pathlib.Path, target: pathlib.Path, **more: object) -> transfer.Mirrored:
    one, other = dirs.open_dir(str(source)), dirs.open_dir(str(target))
    try:
        return transfer.mirror(one, other, **more)  # type: ignore[arg-type]
    finally:
        os.close(one)
        os.close(other)


def looks(path: pathlib.Path) -> object:
    return {name: (cell[0], *cell[2:]) for name, cell in gocaches.photograph(path).items() if name != "link"}


def test_a_copy_has_all_times_and_modes_and_its_source_is_not_touched(pair: Tuple[pathlib.Path, pathlib.Path]) -> None:
    source, target = pair
    before = gocaches.photograph(source)
    assert mirror(source, target).data == 3_000_004
    assert gocaches.photograph(source) == before
    assert looks(source) == looks(target)
    assert os.readlink(target / "link") == "/etc/passwd"
    assert mirror(source, target).changed == 0
    assert looks(source) == looks(target)


def test_a_pass_brings_back_what_differs_and_removes_what_is_too_much(pair: Tuple[pathlib.Path, pathlib.Path]) -> None:
    source, target = pair
    outside = source.parent / "outside"
    outside.mkdir()
    (outside / "thesis").write_text("mine")
    mirror(source, target)
    (target / "deep/er").chmod(0o755)
    (target / "deep/er/read-only").unlink()
    (target / "deep/er/read-only").symlink_to(outside / "thesis")
    (target / "extra/below").mkdir(parents=True)
    (target / "door").symlink_to(outside)
    (target / "deep/file").unlink()
    (target / "deep/file").mkdir()
    os.utime(source / "deep/file", ns=(2 * 10**18, 2 * 10**18))
    assert mirror(source, target).changed == 4
    assert looks(source) == looks(target)
    assert (outside / "thesis").read_text() == "mine"


def test_a_folder_of_the_copy_swapped_for_a_symlink_is_not_followed(pair: Tuple[pathlib.Path, pathlib.Path]) -> None:
    source, target = pair
    outside = source.parent / "outside"
    outside.mkdir()
    (outside / "thesis").write_text("mine")
    mirror(source, target)
    (target / "deep").rename(target / "aside")
    (target / "deep").symlink_to(outside)
    mirror(source, target)
    assert os.listdir(outside) == ["thesis"]
    assert looks(source) == looks(target)


def test_a_symlink_swapped_in_at_the_source_is_copied_as_one(
    pair: Tuple[pathlib.Path, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    opened = dirs.open_file

    def swapped(name: str, dir_fd: int) -> int:
        if name == "file":
            (source / "deep/file").unlink()
            (source / "deep/file").symlink_to("/etc/passwd")
        return opened(name, dir_fd)

    monkeypatch.setattr(dirs, "open_file", swapped)
    with pytest.raises(transfer.Unmovable, match="deep/file"):
        mirror(source, target)
    assert not (target / "deep/file").exists()


def test_set_id_bits_are_not_copied(pair: Tuple[pathlib.Path, pathlib.Path]) -> None:
    source, target = pair
    (source / "deep/file").chmod(0o6755)
    mirror(source, target)
    assert stat.S_IMODE((target / "deep/file").stat().st_mode) == 0o755


def test_content_that_is_not_what_its_name_says_is_told(pair: Tuple[pathlib.Path, pathlib.Path]) -> None:
    source, target = pair
    right = hashlib.sha256(b"text").hexdigest()
    names = {"deep/file": "0" * 64, "deep/er/read-only": right}
    found = mirror(source, target, digest=lambda path: names.get(path, ""))
    assert (found.unlikes, found.unlike) == (1, ("deep/file",))


def test_a_copy_stops_when_asked(pair: Tuple[pathlib.Path, pathlib.Path]) -> None:
    with pytest.raises(transfer.Stopped):
        mirror(*pair, stop=lambda: True)


def test_whole_means_everything_with_its_size_and_time(pair: Tuple[pathlib.Path, pathlib.Path]) -> None:
    source, target = pair

    def holds() -> bool:
        one, other = dirs.open_dir(str(source)), dirs.open_dir(str(target))
        try:
            return transfer.holds_all(one, other, lambda: False)
        finally:
            os.close(one)
            os.close(other)

    assert not holds()
    mirror(source, target)
    (target / "more").write_text("newer")
    assert holds()
    # A file system that keeps whole seconds.
    st = (target / "deep/file").stat()
    os.utime(target / "deep/file", ns=(0, st.st_mtime_ns // 10**9 * 10**9))
    assert holds()
    os.utime(target / "deep/file", ns=(0, st.st_mtime_ns + 1))
    assert not holds()
    os.utime(target / "deep/file", ns=(0, st.st_mtime_ns))
    (source / "deep/new").touch()
    assert not holds()


def test_the_amount_names_what_cannot_be_copied(pair: Tuple[pathlib.Path, pathlib.Path]) -> None:
    source, _target = pair

    def amount() -> transfer.Amount:
        fd = dirs.open_dir(str(source))
        try:
            return transfer.amount(fd, dirs.mount_id(fd), os.fstat(fd).st_dev, os.geteuid(), lambda: False)
        finally:
            os.close(fd)

    found = amount()
    assert (found.inodes, found.foreign, found.blocked) == (6, 0, None)
    assert found.need >= 3_000_004
    deep = source / "d"
    for _number in range(210):
        deep.mkdir()
        deep = deep / "d"
    assert amount().blocked is not None


def test_an_end_holds_the_deepest_folder_and_names_what_is_missing(tmp_path: pathlib.Path) -> None:
    top = tmp_path.resolve()
    (top / "real").mkdir()
    (top / "link").symlink_to("real")
    (top / "dangling").symlink_to("nowhere")
    end = transfer.open_end(str(top / "link/a/b/c"))
    assert (end.above, end.missing, end.name) == (str(top / "real"), ("a", "b"), "c")
    assert end.path == str(top / "real/a/b/c")
    made = transfer.make_folders(end, os.geteuid())
    assert (made.missing, made.path) == ((), end.path)
    assert stat.S_IMODE((top / "real/a/b").stat().st_mode) == 0o755
    with pytest.raises(OSError, match="leads nowhere") as caught:
        transfer.open_end(str(top / "dangling/x"))
    assert caught.value.errno == errno.ENOENT
    for opened in (end, made):
        os.close(opened.fd)


def test_a_missing_folder_that_is_a_symlink_by_then_is_not_followed(tmp_path: pathlib.Path) -> None:
    top = tmp_path.resolve()
    end = transfer.open_end(str(top / "a/b"))
    (top / "outside").mkdir()
    (top / "a").symlink_to(top / "outside")
    with pytest.raises(OSError, match=r"[Ss]ymbolic|Not a directory"):
        transfer.make_folders(end, os.geteuid())
    assert os.listdir(top / "outside") == []
    os.close(end.fd)
