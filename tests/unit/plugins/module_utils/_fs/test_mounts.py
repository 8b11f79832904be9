# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._fs import mounts

LINE = "36 35 98:0 /mnt1 %s rw,%s shared:1 master:2 - %s /dev/root rw,errors=continue"


@pytest.mark.parametrize(
    ("option", "atime"),
    [("relatime", "relative"), ("noatime", "none"), ("nodev", "strict"), ("nosuid,noatime", "none")],
)
def test_what_a_mount_records_of_access_is_read(option: str, atime: str) -> None:
    (found,) = mounts.parse_mountinfo(LINE % ("/mnt", option, "ext4"))
    assert (found.mount_id, found.point, found.fstype, found.atime, found.network) == (36, "/mnt", "ext4", atime, False)


@pytest.mark.parametrize(
    ("fstype", "network"),
    [
        ("nfs4", True),
        ("cifs", True),
        ("fuse.sshfs", True),
        ("fuse", True),
        ("fuseblk", False),
        ("fuse.fuse-overlayfs", False),
        ("overlay", False),
        ("xfs", False),
    ],
)
def test_file_systems_of_other_machines_are_known(fstype: str, network: bool) -> None:
    (found,) = mounts.parse_mountinfo(LINE % ("/mnt", "relatime", fstype))
    assert found.network is network


def test_escaped_names_are_read_back() -> None:
    (found,) = mounts.parse_mountinfo(LINE % (r"/a\040b\011c\012d\134e", "relatime", "ext4"))
    assert found.point == "/a b\tc\nd\\e"


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_a_mount_point_with_an_unescaped_separator_is_not_lost(odd: str) -> None:
    """The kernel escapes blank, tab, newline and backslash only: a lost line is a mount that nobody sees."""
    (found,) = mounts.parse_mountinfo(LINE % ("/c/a%sb" % odd, "relatime", "ext4"))
    assert found.point == "/c/a%sb" % odd
    assert mounts.below("/c", [found]) == [found.point]


def test_optional_fields_may_be_missing() -> None:
    (found,) = mounts.parse_mountinfo("36 35 98:0 / /mnt rw,noatime - tmpfs none rw\n")
    assert found.fstype == "tmpfs"


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    mounts.parse_mountinfo(text)
    mounts.parse_mountinfo(LINE % (text.replace(" ", ""), "relatime", "ext4"))


def test_below_is_strictly_below() -> None:
    table = mounts.parse_mountinfo(
        "\n".join(LINE % (point, "relatime", "ext4") for point in ("/a", "/a/b/c", "/ab", "/a/b"))
    )
    assert mounts.below("/a", table) == ["/a/b", "/a/b/c"]
    assert mounts.below("/a/b/", table) == ["/a/b/c"]
    assert mounts.below("/", table) == ["/a", "/a/b", "/a/b/c", "/ab"]


def test_this_machine_has_mounts() -> None:
    assert any(mount.point == "/" for mount in mounts.mounts())
    assert mounts.by_id()


def test_space_adds_up_as_df_shows_it(tmp_path: pathlib.Path) -> None:
    found = mounts.space(str(tmp_path))
    assert found is not None
    assert found.known
    assert 0 <= found.free <= found.total
    assert found.used + found.free <= found.total


def test_a_file_system_that_does_not_answer_or_has_no_size_is_unknown(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F09."""
    assert mounts.space(str(tmp_path / "missing")) is None
    proc = mounts.space("/proc")
    assert proc is None or not proc.known

    def fail(_path: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", fail)
    assert mounts.space(str(tmp_path)) is None
