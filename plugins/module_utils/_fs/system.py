# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which systems this collection works on, said before anything else is done; and how it makes processes there."""

from __future__ import annotations

import os
import signal
import sys
import threading


def unsupported() -> str:
    """Why nothing can be done on this system, with the remedy; '' on a supported one."""
    if not sys.platform.startswith("linux"):
        return (
            "this host runs %s; Go's caches are cleaned on Linux only, because the look for running builds and for "
            "mounts below a cache needs Linux's /proc" % sys.platform
        )
    if not os.path.isdir("/proc/self"):
        return "/proc is not mounted here; without it running builds and mounts below a cache cannot be seen"
    return ""


def fork() -> int:
    """fork(2) with a child that is there to be waited for. Raises OSError.

    Whoever has started this process may ignore the end of children, and the kernel then forgets them (waitpid(2)).
    """
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return os.fork()
