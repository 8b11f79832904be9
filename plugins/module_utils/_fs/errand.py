# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Part of a computation that another process does meanwhile."""

from __future__ import annotations

import os
import signal
from typing import IO, Callable, Optional

from . import system

_PR_SET_PDEATHSIG = 1  # prctl(2)


def pays() -> bool:
    """Whether another process can compute while this one does."""
    return len(os.sched_getaffinity(0)) > 1 and hasattr(os, "memfd_create")


class Errand:
    """A forked process: *work* has the memory, descriptors and rights of its maker, and writes down what it finds.

    Raises OSError where no process can be had. Whoever makes one calls :meth:`end`. It ends when the thread that made
    it does (prctl(2), PR_SET_PDEATHSIG).
    """

    def __init__(self, work: Callable[[IO[bytes]], object]) -> None:
        maker = os.getpid()
        self._memory = os.memfd_create("errand", os.MFD_CLOEXEC)
        try:
            self._pid = system.fork()
        except OSError:
            os.close(self._memory)
            raise
        if self._pid == 0:
            status = 1
            try:
                die_with(maker)
                with os.fdopen(self._memory, "wb") as handle:
                    work(handle)
                status = 0
            finally:
                os._exit(status)

    def found(self) -> Optional[IO[bytes]]:
        """Waits for it; what it has written down, open until :meth:`end`, or None where it did not come to its end."""
        pid, self._pid = self._pid, -1
        if pid < 0 or os.waitpid(pid, 0)[1]:
            return None
        os.lseek(self._memory, 0, os.SEEK_SET)
        return open(self._memory, "rb", closefd=False)

    def end(self) -> None:
        """Ends it, whatever it is doing."""
        if self._pid > 0:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = -1
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1


def die_with(maker: int) -> None:
    """Asks the kernel to kill this process when its *maker* ends, so that it holds no lock longer than that one.

    Raises OSError where the maker has ended already.
    """
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return  # a Python without it, a C library without it: what it does is soon done
    if os.getppid() != maker:
        raise ProcessLookupError("process %d, which made this one, has ended" % maker)
