# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import select
import signal
import threading
import time
from typing import Any, Callable, List, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import crew

Publish = Callable[[int, int, int, int], None]
Member = Tuple[Callable[[int], None], Callable[[], Any]]


def collector(publish: Publish) -> Member:
    """A member that remembers what it worked on."""
    lock = threading.Lock()
    mine: List[int] = []

    def work(piece: int) -> None:
        with lock:
            mine.append(piece)
            publish(len(mine), sum(mine), 0, 1)

    return work, lambda: {"pid": os.getpid(), "pieces": mine}


@pytest.mark.parametrize(("members", "threads", "pieces"), [(1, 1, 1), (2, 4, 300), (3, 8, 5000), (2, 2, 0)])
def test_each_piece_is_worked_off_once(members: int, threads: int, pieces: int) -> None:
    gang = crew.Crew(members, threads, collector)
    gang.hand(range(10, 10 + pieces))
    gang.wait()
    expected = list(range(10, 10 + pieces))
    counts = gang.counts()
    told = gang.finish()
    assert counts[:2] == (pieces, sum(expected))
    assert sorted(piece for one in told for piece in one["pieces"]) == expected
    assert len({one["pid"] for one in told}) == members
    assert os.getpid() not in {one["pid"] for one in told}


def test_all_members_take_part_and_the_maker_may_stop_in_between() -> None:
    """Each member waits for the others to be at work: one alone would never end."""
    here, there = os.pipe()

    def begin(publish: Publish) -> Member:
        def work(_piece: int) -> None:
            os.write(there, b"x")
            while len(select.select([here], [], [], 10)[0]) and os.fstat(here) and _held(here) < 2:
                time.sleep(0.001)

        return work, lambda: None

    gang = crew.Crew(2, 1, begin)
    gang.hand(range(2))
    gang.wait()
    assert gang.finish() == [None, None]
    os.close(here)
    os.close(there)


def _held(fd: int) -> int:
    import array
    import fcntl
    import termios

    size = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, size)
    return size[0]


def test_an_error_in_the_work_ends_the_crew_and_is_told() -> None:
    def begin(publish: Publish) -> Member:
        def work(piece: int) -> None:
            publish(piece, 0, 0, 0)
            raise RuntimeError("no")

        return work, lambda: None

    gang = crew.Crew(2, 2, begin)
    gang.hand(range(5, 6))
    with pytest.raises(crew.MemberDied, match="RuntimeError: no"):
        gang.finish()
    assert gang.counts()[0] == 5


def test_a_piece_that_fails_last_ends_the_waiting() -> None:
    """The other threads of its member have nothing to do any more, and would never look."""

    def begin(publish: Publish) -> Member:
        def work(piece: int) -> None:
            if piece == 2:
                time.sleep(0.3)
                raise OSError(5, "Input/output error")
            publish(piece, 0, 0, 0)

        return work, lambda: None

    gang = crew.Crew(2, 4, begin)
    gang.hand(range(1, 3))
    began = time.monotonic()
    with pytest.raises(crew.MemberDied):
        gang.wait()
    with pytest.raises(crew.MemberDied, match="Input/output error"):
        gang.finish()
    assert time.monotonic() - began < 60
    assert gang.counts()[0] == 1


def test_the_others_do_their_part_when_one_has_failed() -> None:
    """What they have done is counted; none is killed in the middle of it."""

    def begin(publish: Publish) -> Member:
        def work(piece: int) -> None:
            if piece == 0:
                raise RuntimeError("no")
            time.sleep(0.5)
            publish(1, 0, 0, 0)

        return work, lambda: None

    gang = crew.Crew(2, 1, begin)
    gang.hand(range(2))
    with pytest.raises(crew.MemberDied, match="RuntimeError: no"):
        gang.finish()
    assert gang.counts()[0] == 1


def test_who_ignores_the_end_of_children_gets_told_all_the_same() -> None:
    """Some daemons leave SIGCHLD ignored to what they start; the kernel forgets children then (waitpid(2))."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        gang = crew.Crew(2, 2, collector)
        gang.hand(range(50))
        assert sorted(piece for one in gang.finish() for piece in one["pieces"]) == list(range(50))
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_member_that_is_killed_is_noticed_and_its_counts_are_known() -> None:
    def begin(publish: Publish) -> Member:
        def work(piece: int) -> None:
            publish(7, 70, 7, 0)
            if piece == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        return work, lambda: None

    gang = crew.Crew(2, 1, begin)
    gang.hand(range(4))
    with pytest.raises(crew.MemberDied):
        gang.wait()
    gang.kill()
    assert gang.counts()[1] in (70, 140)
    assert not _children()


def _children() -> List[int]:
    """The children of this process that nobody has waited for."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []
    return [] if found is None else [found.si_pid]


def test_members_end_when_their_maker_is_killed(tmp_path: pathlib.Path) -> None:
    """Nobody goes on evicting after the run that the eviction belongs to."""
    ready, begun = os.pipe()
    maker = os.fork()
    if maker == 0:

        def begin(publish: Publish) -> Member:
            def work(_piece: int) -> None:
                os.write(begun, b"x")
                time.sleep(600)

            return work, lambda: None

        gang = crew.Crew(2, 1, begin)
        gang.hand(range(2))
        gang.wait()
        os._exit(0)
    os.close(begun)
    assert os.read(ready, 1) == b"x"
    os.kill(maker, signal.SIGKILL)
    os.waitpid(maker, 0)
    # The pipe's other end is closed when the last of them has ended.
    until = time.monotonic() + 60
    while select.select([ready], [], [], max(0.0, until - time.monotonic()))[0]:
        if not os.read(ready, 16):
            break
    else:
        pytest.fail("members are still there after a minute")
    os.close(ready)


def test_no_descriptor_is_left(tmp_path: pathlib.Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    gang = crew.Crew(2, 2, collector)
    gang.hand(range(50))
    gang.finish()
    crew.Crew(2, 2, collector).kill()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_limit_on_threads_leaves_fewer_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    gang = crew.Crew(2, 8, collector)
    gang.hand(range(100))
    assert sorted(piece for one in gang.finish() for piece in one["pieces"]) == list(range(100))
