# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that share out numbered pieces of work, each with threads of its own.

Threads alone share one interpreter lock: where a file system answers in microseconds they wait for each other, not for
it. Members are forked, so they have the memory and the descriptors of their maker as they were then, and its rights.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import struct
from typing import Any, Callable, List, Tuple

from .._core import pool
from . import errand, system

_TICKET = struct.Struct("@i")
_COUNTS = struct.Struct("@qqqq")
# Bytes of tickets that a pipe always takes at once, so that handing out never waits (PIPE_BUF, pipe(7)).
_AT_ONCE = 4096 // _TICKET.size
_DONE, _FAILED = b".", b"!"

#: Of one member: what it has done so far, as four numbers that mean what its maker wants.
Counts = Tuple[int, int, int, int]
#: Called in each new member with what publishes its counts; returns the work for a piece, and what to tell at the end.
Begin = Callable[[Callable[[int, int, int, int], None]], Tuple[Callable[[int], None], Callable[[], Any]]]


class MemberDied(RuntimeError):
    """A member ended before its work did; what it had counted until then is in :meth:`Crew.counts`."""


class Crew:
    """*members* processes with *threads* threads each. Raises OSError where they cannot be had.

    They end when their maker does: those who are waiting find the tickets closed, and the kernel is asked to kill them.
    """

    def __init__(self, members: int, threads: int, begin: Begin) -> None:
        self._begin = begin
        self._threads = threads
        self._shared = mmap.mmap(-1, members * _COUNTS.size)
        self._memory: List[int] = []
        self._pids: List[int] = []
        self._under_way = 0
        self._maker = os.getpid()
        self._take, self._give = os.pipe()
        try:
            self._heard, self._done = os.pipe()
        except BaseException:
            os.close(self._take)
            os.close(self._give)
            raise
        try:
            for number in range(members):
                self._memory.append(os.memfd_create("crew", os.MFD_CLOEXEC))
                pid = system.fork()
                if pid == 0:
                    self._member(number)
                self._pids.append(pid)
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(self._take)
            os.close(self._done)

    def _member(self, number: int) -> None:
        status = 1
        try:
            errand.die_with(self._maker)
            os.close(self._give)
            os.close(self._heard)
            work, tell = self._begin(lambda *counts: _COUNTS.pack_into(self._shared, number * _COUNTS.size, *counts))
            self._work_off(work)
            self._leave_word(number, tell())
            status = 0
        except BaseException as exc:
            self._leave_word(number, "%s: %s" % (type(exc).__name__, exc))
        finally:
            os._exit(status)

    def _leave_word(self, number: int, value: Any) -> None:
        with os.fdopen(os.dup(self._memory[number]), "wb") as handle:
            handle.write(json.dumps(value).encode("ascii"))

    def _word(self, number: int) -> Any:
        os.lseek(self._memory[number], 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._memory[number]), "rb") as handle:
            return json.loads(handle.read() or b'"it was killed"')

    def _work_off(self, work: Callable[[int], None]) -> None:
        def step() -> bool:
            ticket = os.read(self._take, _TICKET.size)
            if not ticket:
                return False
            try:
                work(_TICKET.unpack(ticket)[0])
            except BaseException:
                with contextlib.suppress(OSError):
                    os.write(self._done, _FAILED)  # nobody does this piece any more: who waits for it shall know
                raise
            os.write(self._done, _DONE)
            return True

        pool.together(step, self._threads)

    def hand(self, pieces: range) -> None:
        """Gives these pieces to whoever is free next; they are begun in this order. Raises MemberDied."""
        for start in range(pieces.start, pieces.stop, _AT_ONCE):
            some = range(start, min(start + _AT_ONCE, pieces.stop))
            self.wait(_AT_ONCE - len(some))
            try:
                os.write(self._give, b"".join(map(_TICKET.pack, some)))
            except BrokenPipeError:
                raise MemberDied("all processes of the crew have ended") from None
            self._under_way += len(some)

    def wait(self, most: int = 0) -> None:
        """Waits until at most so many pieces are not yet done. Raises MemberDied."""
        ready = select.poll()  # not select(2), which knows descriptors below 1,024 only
        ready.register(self._heard, select.POLLIN)
        while self._under_way > most:
            if not ready.poll(1000):
                for pid in self._pids:
                    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                        raise MemberDied("process %d of the crew has ended" % pid)
                continue
            done = os.read(self._heard, 1 << 16)
            if not done:
                raise MemberDied("all processes of the crew have ended")
            if _FAILED in done:
                raise MemberDied("a process of the crew has failed")
            self._under_way -= len(done)

    def counts(self) -> Counts:
        """The sums of what the members have counted so far, also those that have died."""
        rows = zip(*_COUNTS.iter_unpack(bytes(self._shared)))
        one, two, three, four = (sum(row) for row in rows)
        return one, two, three, four

    def finish(self) -> List[Any]:
        """Ends the crew when all that was handed out is done, and returns what each member tells.

        Raises MemberDied, when the other members have done their part, where one has failed.
        """
        self._close("_give")
        told: List[Any] = []
        failed: List[str] = []
        try:
            while self._pids:
                _pid, status = os.waitpid(self._pids[-1], 0)
                self._pids.pop()
                word = self._word(len(self._pids))
                if status:
                    failed.append("a process of the crew ended with wait status %d: %s" % (status, word))
                told.append(word)
        finally:
            self.kill()
        if failed:
            raise MemberDied(failed[0])
        return told

    def kill(self) -> None:
        """Ends what is left of the crew, whatever it is doing."""
        self._close("_give", "_heard")
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        while self._pids:
            os.waitpid(self._pids.pop(), 0)
        while self._memory:
            os.close(self._memory.pop())

    def _close(self, *names: str) -> None:
        for name in names:
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)
