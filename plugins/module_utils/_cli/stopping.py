# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGTERM, SIGINT and SIGHUP end a command cleanly: it stops where it is safe and tells what it did."""

from __future__ import annotations

import mmap
import os
import signal
from types import FrameType
from typing import Callable, Optional

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """The command was told to end, and had done nothing that is worth telling, or was told twice."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped by %s" % signal.Signals(number).name)
        self.number = number


class Stop:
    """Whether a signal asked for the end. Shared with forked workers, whichever process got the signal."""

    def __init__(self) -> None:
        self._flag = mmap.mmap(-1, 1)
        self._owner = os.getpid()
        self._heard = 0

    def __bool__(self) -> bool:
        return self._flag[0] != 0

    def asked(self) -> bool:
        """Whether a signal asked for the end; what the engine asks between two safe points."""
        return bool(self)

    @property
    def name(self) -> str:
        """The signal's name, empty where none came."""
        return signal.Signals(self._flag[0]).name if self else ""

    def listen(self, gently: bool) -> None:
        """Handles the signals from now on. *gently*: the first one only asks the engine to end at a safe point.

        Otherwise, and at the second one, Stopped is raised.
        """
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background job
                signal.signal(number, self._handler(gently))

    def _handler(self, gently: bool) -> Callable[[int, Optional[FrameType]], None]:
        def handle(number: int, _frame: Optional[FrameType]) -> None:
            self._flag[0] = number
            if os.getpid() != self._owner:
                return  # a worker only ever ends at a safe point; its parent decides about more
            self._heard += 1
            if not gently or self._heard > 1:
                raise Stopped(number)

        return handle
