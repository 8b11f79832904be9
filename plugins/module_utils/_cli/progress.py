# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line on a terminal that tells that something is going on, and for how long."""

from __future__ import annotations

import mmap
import os
import signal
import time
from types import FrameType
from typing import Optional

from . import PROGRAM

_WIDTH = 24
_FIRST = 1.0


class Progress:
    """``with Progress("surveying", 2):`` rewrites one line of descriptor 2 each second, if that is a terminal.

    It is a timer and no thread: the engine forks, and a timer does not go with the child.
    """

    def __init__(self, what: str, fd: int = 2, wanted: bool = True) -> None:
        self.on = wanted and os.isatty(fd)
        self._what = what
        self._fd = fd
        self._phase = mmap.mmap(-1, _WIDTH)
        self._begun = time.monotonic()
        self._shown = False

    def step(self, name: str) -> None:
        """Tells the phase; also called from workers with another process number."""
        self._phase[:] = name.encode("ascii", "replace")[:_WIDTH].ljust(_WIDTH)

    def __enter__(self) -> Progress:
        if self.on:
            signal.signal(signal.SIGALRM, self._show)
            signal.setitimer(signal.ITIMER_REAL, _FIRST, 1.0)
        return self

    def _show(self, _number: int, _frame: Optional[FrameType]) -> None:
        phase = bytes(self._phase[:]).strip(b"\0 ").decode("ascii")
        text = "%s: %s%s, %d s" % (
            PROGRAM,
            self._what,
            " (%s)" % phase if phase else "",
            time.monotonic() - self._begun,
        )
        self._write("\r%s\x1b[K" % text)
        self._shown = True

    def _write(self, text: str) -> None:
        try:
            os.write(self._fd, text.encode("ascii"))
        except OSError:
            pass

    def __exit__(self, *_error: object) -> None:
        if self.on:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            if self._shown:
                self._write("\r\x1b[K")
