# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading small files of other people without hanging, without touching atimes and, as root, with their rights.

A path below an account's home is that account's to choose: it may be a FIFO, a device or a link to somebody else's
secret. So root reads it in a child process that has the account's rights, only regular files are read, never more
than a limit, and never longer than a few seconds.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import stat
import time
from typing import TYPE_CHECKING, Any, Callable

from .._fs import system

if TYPE_CHECKING:
    import subprocess

try:
    from typing import Protocol
except ImportError:  # pragma: no cover
    Protocol = object  # type: ignore[assignment]

#: Bytes; an env file, VERSION or go.env that is larger is not one.
LIMIT = 1 << 20
#: Seconds that a child may take to read a file (NFS that hangs).
TIMEOUT = 10.0


class Files(Protocol):
    """What the evaluator needs of a file system."""

    def read(self, path: str) -> bytes:
        """The content of a regular file of at most LIMIT bytes; raises OSError."""


def _open(path: str, flags: int) -> int:
    flags |= os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        # O_NOATIME is refused on files of others; EACCES stays EACCES in the second try.
        return os.open(path, flags)


def read_file(path: str, limit: int = LIMIT) -> bytes:
    """Read a regular file of at most limit bytes, leaving its atime alone where the rights allow it.

    Raises OSError; EINVAL where the path is no regular file, EFBIG where it is too large.
    """
    fd = _open(path, 0)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        chunks: list[bytes] = []
        size = 0
        while True:
            chunk = os.read(fd, 65536)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
    finally:
        os.close(fd)


def list_names(path: str, limit: int = 10000) -> list[str]:
    """The sorted names in a directory, at most limit of them; an unreadable or missing one raises OSError."""
    fd = _open(path, os.O_DIRECTORY)
    try:
        names: list[str] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) >= limit:
                    break
        return sorted(names)
    finally:
        os.close(fd)


class LocalFiles:
    """Reads with the caller's own rights."""

    def read(self, path: str) -> bytes:
        return read_file(path)


class AccountFiles:
    """Reads with the rights of an account (uid, primary gid, no supplementary groups). Needs root.

    What was read is kept, so that everybody who asks the same reader sees the same bytes.
    """

    def __init__(self, uid: int, gid: int) -> None:
        self.uid = uid
        self.gid = gid
        self._seen: dict[str, tuple[bytes | None, int, str]] = {}

    def read(self, path: str) -> bytes:
        if path not in self._seen:
            self._seen[path] = self._read(path)
        data, code, text = self._seen[path]
        if data is None:
            raise OSError(code, text, path)
        return data

    def _read(self, path: str) -> tuple[bytes | None, int, str]:
        def work() -> Any:
            try:
                return {"data": read_file(path).decode("latin-1")}
            except OSError as error:
                return {"errno": error.errno, "text": error.strerror}

        try:
            answer = as_account(self.uid, self.gid, work)
        except OSError as error:
            return None, error.errno or errno.EIO, error.strerror or str(error)
        if "data" in answer:
            return answer["data"].encode("latin-1"), 0, ""
        return None, answer.get("errno") or errno.EIO, answer.get("text") or "cannot be read"


def drop_rights(uid: int, gid: int) -> None:
    """Become uid and gid for good, with no supplementary groups. For a child process of root; raises OSError."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def as_account(uid: int, gid: int, work: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
    """Run work() in a child process with the account's rights and return its (JSON-able) result.

    Where the caller already is uid, or is not root, the child keeps the caller's rights.
    Raises OSError: ETIMEDOUT where it takes longer than timeout seconds, EIO where the child dies.
    """
    reader, writer = os.pipe()
    pid = system.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            if os.geteuid() == 0 and uid != 0:
                drop_rights(uid, gid)
            payload = json.dumps(work()).encode("ascii")
            while payload:
                payload = payload[os.write(writer, payload) :]
            status = 0
        except BaseException:
            # Nothing of the parent's may run here: no finally, no atexit, no traceback on its stderr.
            status = 1
        finally:
            os._exit(status)
    os.close(writer)
    chunks: list[bytes] = []
    deadline = time.monotonic() + timeout
    finished = False
    try:
        while True:
            ready, _w, _x = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise OSError(errno.ETIMEDOUT, f"no answer within {timeout:g} seconds")
            chunk = os.read(reader, 65536)
            if not chunk:
                finished = True
                break
            chunks.append(chunk)
    finally:
        os.close(reader)
        if not finished:
            os.kill(pid, signal.SIGKILL)
        # A child in uninterruptible sleep (dead NFS) cannot be reaped now; init does it later.
        _pid, status = os.waitpid(pid, 0 if finished else os.WNOHANG)
    if status != 0:
        raise OSError(errno.EIO, "the child process failed")
    return json.loads(b"".join(chunks).decode("ascii"))


def answer_of(process: subprocess.Popen[bytes], seconds: float, limit: int) -> tuple[bytes, bytes, str]:
    """What a process prints on its standard output and error, and '', 'late' or 'long' where it did not end by itself.

    It must lead a session, which is killed where it takes longer than seconds or prints more than limit bytes. A child
    that has left the session keeps the pipes open as long as it likes, so once the process is gone, only what is in
    them counts.
    """
    import subprocess  # slow to load, and most callers read files only

    kept: dict[int, list[bytes]] = {s.fileno(): [] for s in (process.stdout, process.stderr) if s is not None}
    left, why = list(kept), ""
    size = 0
    deadline = time.monotonic() + seconds
    try:
        while left and not why:
            wait = deadline - time.monotonic()
            ended = process.poll() is not None
            ready = select.select(left, [], [], 0 if ended else max(0.0, min(0.1, wait)))[0]
            for fd in ready:
                chunk = os.read(fd, 65536)
                kept[fd].append(chunk)
                size += len(chunk)
                if not chunk:
                    left.remove(fd)
            if ended and not ready:
                break
            why = "long" if size > limit else "late" if wait <= 0 else ""
        if not why:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        why = "late"
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out, err = (b"".join(kept[s.fileno()]) if s is not None else b"" for s in (process.stdout, process.stderr))
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    return out, err, why


def files_for(uid: int, gid: int) -> Files:
    """The reader with the rights of the account: another account's only for root, else the caller's own."""
    if os.geteuid() == 0 and uid != 0:
        return AccountFiles(uid, gid)
    return LocalFiles()
