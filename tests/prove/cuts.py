# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of a proof that run in processes of their own: killed at a chosen moment, or with mounts of their own."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any, Callable

#: What changes a file system by a name; see "Audit events table" of the Python documentation.
CHANGES = frozenset(("os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.mkdir", "os.truncate"))
_CLONE_NEWNS = 0x00020000


@dataclass(frozen=True)
class Cut:
    """Where an action ends: before its change number ``change`` (from 1) or at its step number ``step`` (from 1).

    With ``late`` nothing is killed there: the time budget is used up from that change on.
    """

    change: int = 0
    step: int = 0
    late: bool = False


@dataclass
class Ended:
    """How an action ended: its ``value``, or None where it was killed; what it changed and which steps it passed."""

    value: Any = None
    killed: bool = False
    error: str = ""
    changes: int = 0
    steps: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Watch:
    def __init__(self, cut: Cut, on_change: Callable[[str, tuple[Any, ...]], None] | None) -> None:
        self.cut = cut
        self.on_change = on_change
        self.changes = 0
        self.steps: list[str] = []
        self.lock = threading.Lock()
        self.inside = threading.local()

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        created = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if event not in CHANGES and not created:
            return
        if getattr(self.inside, "busy", False):
            return
        with self.lock:
            self.changes += 1
            if self.changes == self.cut.change:
                if self.cut.late:
                    _run_out_of_time()
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
        if self.on_change is not None:
            self.inside.busy = True
            try:
                self.on_change(event, arguments)
            finally:
                self.inside.busy = False

    def step(self, name: str) -> None:
        self.steps.append(name)
        if len(self.steps) == self.cut.step:
            os.kill(os.getpid(), signal.SIGKILL)


def _run_out_of_time() -> None:
    real = time.monotonic
    time.monotonic = lambda: real() + 10**6


def run(
    action: Callable[[Callable[[str], None]], Any],
    cut: Cut = Cut(),
    after: float | None = None,
    on_change: Callable[[str, tuple[Any, ...]], None] | None = None,
    limit: float = 600.0,
) -> Ended:
    """Calls *action* with a step hook in a forked process, cut as told, or killed *after* some seconds of work.

    Call it only while this process has one thread. *on_change* is called in the child before each change.
    """
    up, down = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(up)
            watch = _Watch(cut, on_change)
            sys.addaudithook(watch.hook)
            os.write(down, b"go\n")
            begin = time.monotonic()
            told: dict[str, Any] = {}
            try:
                told["value"] = action(watch.step)
            except BaseException:
                told["error"] = traceback.format_exc()
            told.update(changes=watch.changes, steps=watch.steps, seconds=time.monotonic() - begin)
            data = json.dumps(told).encode()
            while data:
                data = data[os.write(down, data) :]
            code = 0
        finally:
            os._exit(code)
    os.close(down)
    chunks = []
    ends = time.monotonic() + limit
    try:
        head = os.read(up, 3)
        if head and after is not None:
            time.sleep(after)
            os.kill(pid, signal.SIGKILL)
        while True:
            if not select.select([up], [], [], max(0.0, ends - time.monotonic()))[0]:
                os.kill(pid, signal.SIGKILL)
                raise RuntimeError(f"an action did not end within {limit:.0f} s")
            chunk = os.read(up, 1 << 20)
            if not chunk:
                break
            chunks.append(chunk)
    finally:
        os.close(up)
        status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return Ended(killed=True)
    if os.WEXITSTATUS(status):
        raise RuntimeError("an action's process ended without a word")
    return Ended(**json.loads(b"".join(chunks)))


def own_mounts() -> None:
    """Gives this process a mount namespace of its own; needs root. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def may_mount() -> bool:
    """Whether this process may make mounts of its own."""
    if os.geteuid() != 0:
        return False

    def attempt(_step: Any) -> bool:
        own_mounts()
        return (
            subprocess.run(["mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode == 0
        )

    ended = run(attempt)
    return bool(ended.value)
