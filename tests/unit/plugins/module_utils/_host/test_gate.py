# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick answer below the watermark: the same as the planner's, from statvfs alone, and never a guess."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._fs import mounts
from ansible_collections.gofleet.cache.plugins.module_utils._host import gate

LINE = "%d 1 8:%d / %s rw,relatime - %s dev rw"
Disks = Dict[str, Tuple[int, int]]


def policy(**when: str) -> policies.Policy:
    return policies.parse({"when": when, "max_age": "1d"} if when else {"max_age": "1d"}, gate.KIND_NAMES)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets the mounts (point -> type) and what statvfs says of them: percent free space and inodes."""

    def make(types: Dict[str, str], disks: Disks, read_only: Tuple[str, ...] = ()) -> None:
        text = "\n".join(LINE % (n, n, point, kind) for n, (point, kind) in enumerate(types.items(), 10))

        def statvfs(path: Any) -> Any:
            if path not in disks:
                raise AssertionError("asked %s" % path)
            space, inodes = disks[path]
            return SimpleNamespace(
                f_blocks=1000, f_bavail=10 * space, f_frsize=4096, f_bsize=4096, f_files=1000, f_favail=10 * inodes,
                f_flag=int(path in read_only),
            )  # fmt: skip

        monkeypatch.setattr(mounts, "mounts", lambda: mounts.parse_mountinfo(text))
        monkeypatch.setattr(os, "statvfs", statvfs)

    return make


def test_room_on_all_mounts_is_an_answer(machine: Any) -> None:
    machine({"/": "ext4", "/data": "xfs", "/proc": "proc"}, {"/": (50, 50), "/data": (20, 90)})
    assert gate.room_everywhere(policy(free_space_below="15%")) == ["/", "/data"]


@pytest.mark.parametrize("short", [(10, 90), (90, 5)])
def test_one_mount_below_a_mark_opens_the_gate(machine: Any, short: Tuple[int, int]) -> None:
    machine({"/": "ext4", "/data": "xfs"}, {"/": (50, 50), "/data": short})
    assert gate.room_everywhere(policy(free_space_below="15%", free_inodes_below="10%")) is None


def test_without_a_start_mark_the_gate_is_open(machine: Any) -> None:
    machine({"/": "ext4"}, {"/": (99, 99)})
    assert gate.room_everywhere(policy()) is None


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "autofs"])
def test_what_may_hang_is_not_asked_and_opens_the_gate(machine: Any, kind: str) -> None:
    machine({"/": "ext4", "/home": kind}, {"/": (99, 99)})
    assert gate.room_everywhere(policy(free_space_below="15%")) is None


def test_kernel_interfaces_and_images_do_not_count(machine: Any) -> None:
    types = {"/": "ext4", "/snap/x/1": "squashfs", "/sys": "sysfs", "/proc/sys/fs/binfmt_misc": "autofs", "/m": "ext4"}
    machine(types, {"/": (99, 99), "/m": (0, 0)}, ("/m",))
    assert gate.room_everywhere(policy(free_space_below="15%")) == ["/"]


def test_an_unreadable_mount_table_opens_the_gate(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine({"/": "ext4"}, {"/": (99, 99)})
    monkeypatch.setattr(mounts, "mounts", list)
    assert gate.room_everywhere(policy(free_space_below="15%")) is None


SHARES: List[str] = ["1%", "15%", "50%", "99%", "1GiB", "40960"]


@given(
    st.sampled_from(SHARES),
    st.sampled_from(["", "1%", "10%", "500"]),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.sampled_from([0, 1000]),
)
def test_the_gate_decides_as_the_planner_does(space: str, inodes: str, free: int, left: int, files: int) -> None:
    when = {"free_space_below": space}
    if inodes:
        when["free_inodes_below"] = inodes
    asked = policy(**when)
    disk = planner.Disk(1000 * 4096, free * 4096, files, min(left, files), True)
    assert asked.when is not None
    mine = gate.below(asked.when, disk.total, disk.free, disk.inodes, disk.inodes_free)
    assert mine == bool(planner.acts_on(asked, {1: disk}))
