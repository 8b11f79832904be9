# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Child processes of the demonstration: each in its own session, and none of them outlives it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    output: str


class Processes:
    """Starts commands, and ends everything that they have started, also what was left behind by its own parent."""

    def __init__(self) -> None:
        self.ending = False
        self._lock = threading.Lock()
        # Orphans become our children, so that they are found.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def run(self, command: Sequence[str], cwd: Path, environ: Mapping[str, str], log: Path | None = None) -> Done:
        """Runs a command to its end. Its output goes to *log* where that is given, else it is returned."""
        with self._lock:
            if self.ending:
                return Done(-signal.SIGTERM, "the demonstration is ending")
            target = subprocess.PIPE if log is None else open(log, "ab")  # noqa: SIM115 (closed below)
            try:
                child = subprocess.Popen(
                    list(command),
                    cwd=cwd,
                    env=dict(environ),
                    stdin=subprocess.DEVNULL,
                    stdout=target,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            finally:
                if not isinstance(target, int):
                    target.close()
        out, _none = child.communicate()
        return Done(child.returncode, (out or b"").decode("utf-8", "replace"))

    def end_all(self) -> list[int]:
        """Ends every descendant: asks first, then kills. Returns those that could not be ended."""
        with self._lock:
            self.ending = True
        for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            until = time.monotonic() + patience
            asked: set[int] = set()
            while time.monotonic() < until:
                left = descendants()
                if not left:
                    return []
                for pid in left:
                    if pid not in asked or number == signal.SIGKILL:
                        asked.add(pid)
                        _signal(pid, number)
                _reap()
                time.sleep(0.05)
        return descendants()


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _reap() -> None:
    # Only orphans are ours to wait for; those that a thread waits for end there, or lose nothing by it.
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def descendants(of: int | None = None) -> list[int]:
    """The living processes below this one, from /proc (proc(5), /proc/pid/stat); zombies are not counted."""
    parents: dict[int, int] = {}
    zombies: set[int] = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as handle:
                    fields = handle.read().rpartition(b")")[2].split()
            except OSError:
                continue
            parents[int(name)] = int(fields[1])
            if fields[0] in (b"Z", b"X"):
                zombies.add(int(name))
    top = os.getpid() if of is None else of
    found: list[int] = []
    for pid in parents:
        above, steps = pid, 0
        while above in parents and above != top and steps < 1000:
            above, steps = parents[above], steps + 1
        if above == top and pid not in zombies and pid != top:
            found.append(pid)
    return found


def flocked(folder: Path) -> bool:
    """Whether somebody holds a flock(2) on a folder, from /proc/locks (proc(5)); on some file systems never seen."""
    st = folder.stat()
    name = f"{os.major(st.st_dev):02x}:{os.minor(st.st_dev):02x}:{st.st_ino}"
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return any("FLOCK" in line and name in line.split() for line in lines)


def wait_until(ready: Callable[[], bool], pause: float) -> None:
    """Waits until *ready* says so, asking every *pause* seconds."""
    while not ready():
        time.sleep(pause)
