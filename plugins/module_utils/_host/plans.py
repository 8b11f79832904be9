# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans that lie on the agent between the day somebody makes them and the day somebody approves them."""

from __future__ import annotations

import os
import re
import time
from typing import IO, List, Optional, Tuple

from .._core import plan as planner
from .._fs import dirs, errand
from .._journal import place

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_SUFFIX = ".jsonl"
_KEPT = 20
_DAYS = 30
# Evictions from which on a process of its own computes the digest.
_LONG = 20_000


class NoPlan(ValueError):
    """There is no such saved plan, or it must not be used; nothing was touched."""


def check_digest(text: str) -> str:
    """The digest, or NoPlan where it is none."""
    if not _DIGEST.match(text):
        raise NoPlan("%r is no plan's digest; give the 64 hexadecimal digits of plan_digest" % text)
    return text


def _folder(write: bool) -> str:
    """The checked folder of the saved plans; '' where there is none. Raises NoPlan."""
    try:
        base = place.prepare(write)
        if base is None:
            return ""
        path = os.path.join(base, "plans")
        if write and dirs.lstat_or_none(path) is None:
            os.mkdir(path, 0o700)
        st = dirs.lstat_or_none(path)
        if st is None:
            return ""
        opened = dirs.open_path(path)
        os.close(opened.fd)
        if opened.path != os.path.realpath(base) + "/plans" or st.st_uid != os.geteuid() or st.st_mode & 0o022:
            raise NoPlan("%s is not a folder of this user alone; look into it and remove it" % path)
        return path
    except (place.Unusable, OSError) as exc:
        raise NoPlan("no place for saved plans: %s" % exc) from None


def save(plan: planner.Plan) -> str:
    """Writes the whole plan and returns the file's path. The newest twenty of the last thirty days are kept.

    Raises NoPlan where there is no safe place or no room.
    """
    folder = _folder(True)
    path = os.path.join(folder, plan.digest + _SUFFIX)
    temporary = "%s.tmp-%d" % (path, os.getpid())
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb") as handle:
                for line in planner.document(plan):
                    handle.write(line.encode("utf-8", "surrogateescape") + b"\n")
                handle.flush()
                os.fsync(handle.fileno())
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        _tidy(folder)
    except OSError as exc:
        raise NoPlan("the plan cannot be saved in %s: %s" % (folder, os.strerror(exc.errno or 0))) from None
    return path


def _saved(folder: str) -> List[Tuple[float, str]]:
    found = []
    for name in os.listdir(folder):
        st = dirs.lstat_or_none(os.path.join(folder, name))
        if st is not None:
            found.append((st.st_mtime, name))
    return sorted(found, reverse=True)


def _tidy(folder: str) -> None:
    oldest = time.time() - _DAYS * 86400
    for number, (moment, name) in enumerate(_saved(folder)):
        if number >= _KEPT or moment < oldest or ".tmp-" in name:
            os.unlink(os.path.join(folder, name))


class Digest:
    """A plan's digest, computed by another process where the plan is a long one; whoever made it calls ``end``."""

    def __init__(self, plan: planner.Plan) -> None:
        self._plan = plan
        self._errand: Optional[errand.Errand] = None
        if plan.entries >= _LONG and errand.pays():
            try:
                self._errand = errand.Errand(lambda handle: handle.write(planner.digest(plan).encode("ascii")))
            except OSError:
                pass  # no more processes to be had: here, then

    def get(self) -> str:
        """The digest."""
        found = self._errand.found() if self._errand is not None else None
        return planner.digest(self._plan) if found is None else found.read().decode("ascii")

    def end(self) -> None:
        """Ends the other process."""
        if self._errand is not None:
            self._errand.end()


def open_saved(digest: str) -> IO[bytes]:
    """The saved plan with this digest, opened. That it is what it says is proven when it is read. Raises NoPlan."""
    check_digest(digest)
    folder = _folder(False)
    path = os.path.join(folder, digest + _SUFFIX)
    try:
        if not folder:
            raise FileNotFoundError
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        kept = [name[: -len(_SUFFIX)] for _moment, name in _saved(folder)] if folder else []
        text = "no plan with the digest %s is saved here for this user; " % digest
        raise NoPlan(text + ("saved: %s" % ", ".join(kept[:5]) if kept else "none is: make one first")) from None
    except OSError as exc:
        raise NoPlan("%s: %s" % (path, os.strerror(exc.errno or 0))) from None
    st = os.fstat(fd)
    if st.st_uid != os.geteuid() or st.st_mode & 0o022 or st.st_nlink != 1:
        os.close(fd)
        raise NoPlan("%s may have been written by others; make the plan anew" % path)
    return open(fd, "rb")
