# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destructive work with the owner's rights: one child process per owner, which asks its parent for what needs root.

The child drops to the numeric uid and gid without supplementary groups before it touches anything. What only root
sees (the processes of other users) it asks for through a pipe; the parent answers, nothing else.
"""

from __future__ import annotations

import json
import os
import select
import struct
import sys
import time
import traceback
from typing import Any, Callable, Dict, Optional, Tuple

from . import dirs, system

_HEAD = struct.Struct("!cQ")
_MOUNT = "mount id"
_ASK, _RESULT, _FAIL = b"a", b"r", b"f"

Ask = Callable[[str, Any], Any]


class WorkerDied(RuntimeError):
    """The child ended without a result: ``status`` is its wait status; what it had done is not known."""

    def __init__(self, status: int, detail: str = "") -> None:
        how = "was killed by signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "ended"
        super().__init__("the worker process %s without a result%s" % (how, "; " + detail if detail else ""))
        self.status = status


def _dump(value: Any) -> bytes:
    # JSON, so that nothing but plain data can come back from a process with another user's rights.
    return json.dumps(value).encode("ascii")


def _write(fd: int, kind: bytes, data: bytes) -> None:
    view = memoryview(_HEAD.pack(kind, len(data)) + data)
    while view:
        view = view[os.write(fd, view) :]


class _TooLate(Exception):
    pass


def _exactly(fd: int, count: int, until: Optional[float] = None) -> bytes:
    chunks = []
    while count:
        if until is not None and not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
            raise _TooLate
        chunk = os.read(fd, min(count, 1 << 20))
        if not chunk:
            raise EOFError
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


def _read(fd: int, until: Optional[float] = None) -> Tuple[bytes, bytes]:
    kind, length = _HEAD.unpack(_exactly(fd, _HEAD.size, until))
    return kind, _exactly(fd, length, until)


def drop_rights(uid: int, gid: int) -> None:
    """Gives up root for good: no supplementary groups, real, effective and saved ids. Raises OSError."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid) or os.getgroups():
        raise PermissionError("could not drop to uid %d, gid %d" % (uid, gid))


def as_owner(
    uid: int,
    gid: int,
    work: Callable[[Ask], Any],
    serve: Dict[str, Callable[[Any], Any]],
    until: Optional[float] = None,
) -> Any:
    """Runs *work* with the rights of *uid* and *gid* and returns its result.

    *work* gets a function ``ask(name, argument)`` that calls ``serve[name]`` with this process's rights. Without
    root, or where the rights are the owner's already, it runs right here. Values both ways are plain data (JSON).
    A child that has not answered by *until* (time.monotonic()) is killed: its owner may have stopped it.
    Raises PermissionError where this process may not act for the owner, WorkerDied, and what *work* raised.
    """
    if os.geteuid() == uid and (uid == 0 or os.getegid() == gid or os.geteuid() != 0):
        return work(lambda name, argument: serve[name](argument))
    if os.geteuid() != 0:
        raise PermissionError("only root or uid %d may work in a cache of uid %d" % (uid, uid))
    up_read, up_write = os.pipe()
    down_read, down_write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = system.fork()
    if pid == 0:
        status = 1
        try:
            os.close(up_read)
            os.close(down_write)
            status = _child(uid, gid, work, up_write, down_read)
        finally:
            os._exit(status)
    os.close(up_write)
    os.close(down_read)
    try:
        return _parent(pid, up_read, down_write, serve, until)
    finally:
        os.close(up_read)
        os.close(down_write)


def _child(uid: int, gid: int, work: Callable[[Ask], Any], up: int, down: int) -> int:
    import threading

    lock = threading.Lock()

    def ask(name: str, argument: Any) -> Any:
        with lock:
            _write(up, _ASK, _dump((name, argument)))
            _kind, data = _read(down)
        return json.loads(data)

    try:
        drop_rights(uid, gid)
        dirs.ask_mounts_of(lambda fd: int(ask(_MOUNT, [0, fd])))
        _write(up, _RESULT, _dump(work(ask)))
        return 0
    except BaseException as exc:
        _write(up, _FAIL, _dump((type(exc).__name__, str(exc), traceback.format_exc())))
        return 1


class WorkFailed(RuntimeError):
    """The work raised an error in the child: ``kind`` is its class name, ``trace`` its traceback."""

    def __init__(self, kind: str, text: str, trace: str) -> None:
        super().__init__("%s: %s" % (kind, text))
        self.kind = kind
        self.trace = trace


def _mount_of(pid: int, argument: Any) -> int:
    try:
        return dirs.read_mount_id(pid, int(argument[1]))
    except (OSError, ValueError):
        return -1


def _parent(pid: int, up: int, down: int, serve: Dict[str, Callable[[Any], Any]], until: Optional[float] = None) -> Any:
    try:
        while True:
            try:
                kind, data = _read(up, until)
            except EOFError:
                raise WorkerDied(os.waitpid(pid, 0)[1]) from None
            except _TooLate:
                os.kill(pid, 9)
                raise WorkerDied(os.waitpid(pid, 0)[1], "it did not answer in time") from None
            if kind == _ASK:
                name, argument = json.loads(data)
                answer = _mount_of(pid, argument) if name == _MOUNT else serve[name](argument)
                try:
                    _write(down, _RESULT, _dump(answer))
                except BrokenPipeError:
                    pass  # it has died; the next read says so
                continue
            os.waitpid(pid, 0)
            if kind == _FAIL:
                raise WorkFailed(*json.loads(data))
            return json.loads(data)
    except (WorkerDied, WorkFailed):
        raise
    except BaseException:
        try:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        except OSError:
            pass
        raise
