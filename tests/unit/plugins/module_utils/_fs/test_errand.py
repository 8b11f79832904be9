# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import select
import signal
import time
from typing import IO, Iterator

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import errand


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real, made = os.fork, []

    def fork() -> int:
        made.append(real())
        return made[-1]

    before = sorted(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fork", fork)
    yield
    assert made
    assert sorted(os.listdir("/proc/self/fd")) == before
    for pid in made:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def test_what_it_writes_down_is_found() -> None:
    mine = os.getpid()
    other = errand.Errand(lambda handle: handle.write(b"%d" % os.getpid()))
    try:
        found = other.found()
        assert found is not None
        assert int(found.read()) != mine
    finally:
        other.end()


def test_half_a_result_is_none() -> None:
    def work(handle: IO[bytes]) -> None:
        handle.write(b"half")
        handle.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    other = errand.Errand(work)
    assert other.found() is None
    assert other.found() is None
    other.end()


def test_it_ends_when_nobody_wants_it_any_more() -> None:
    begin = time.monotonic()
    other = errand.Errand(lambda _handle: time.sleep(600))
    other.end()
    other.end()
    assert time.monotonic() - begin < 300


def test_it_ends_when_its_maker_is_killed() -> None:
    """It has its maker's locks: who comes next must not wait for it."""
    ready, begun = os.pipe()
    maker = os.fork()
    if maker == 0:

        def work(_handle: IO[bytes]) -> None:
            os.write(begun, b"x")
            time.sleep(600)

        errand.Errand(work).found()
        os._exit(1)
    os.close(begun)
    assert os.read(ready, 1) == b"x"
    os.kill(maker, signal.SIGKILL)
    os.waitpid(maker, 0)
    assert select.select([ready], [], [], 60)[0]  # closed: nobody has the other end any more
    assert os.read(ready, 1) == b""
    os.close(ready)
