# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the journal lies, and whether nobody but this process's user (and root) can put another one there."""

from __future__ import annotations

import os
import pwd
import stat
from typing import List, Optional

from .._fs import dirs
from .._fs.atomic import is_shared

#: Overrides the place (tests, drills); only an absolute path counts.
STATE = "GOFLEET_CACHE_STATE"
FILE = "journal.sqlite"
DAMAGED = "journal.damaged-"
_SYSTEM = "/var/lib/gofleet-cache"


class Unusable(Exception):
    """The journal's place cannot be used; the text says which, why, and what to do."""


def state_dir() -> str:
    """The journal's directory for this process's user; '' where there is none (no home is known).

    root's is ``/var/lib/gofleet-cache/0``, a plain user's ``$XDG_STATE_HOME/gofleet-cache`` (XDG Base Directory
    Specification: a relative value does not count), else ``~/.local/state/gofleet-cache``.
    """
    given = os.environ.get(STATE, "")
    if os.path.isabs(given):
        return os.path.normpath(given)
    uid = os.geteuid()
    if uid == 0:
        return "%s/%d" % (_SYSTEM, uid)
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        home = os.environ.get("HOME", "")
        if not os.path.isabs(home):
            try:
                home = pwd.getpwuid(uid).pw_dir
            except KeyError:
                home = ""
        if not os.path.isabs(home):
            return ""
        base = os.path.join(home, ".local", "state")
    return os.path.normpath(os.path.join(base, "gofleet-cache"))


def prepare(write: bool) -> Optional[str]:
    """The checked directory of the journal, made (mode 0700) when *write*; None where it does not exist.

    Raises Unusable, and OSError for a directory that cannot be made or looked at.
    """
    path = state_dir()
    if not path:
        raise Unusable("no home directory is known for uid %d; set HOME or XDG_STATE_HOME" % os.geteuid())
    missing: List[str] = []
    top = path
    while dirs.lstat_or_none(top) is None:
        missing.append(top)
        top = os.path.dirname(top)
    if missing and not write:
        return None
    _check_way(top)
    for folder in reversed(missing):
        try:
            # Others may see that the agent keeps state, not what it is.
            os.mkdir(folder, 0o755 if folder == _SYSTEM else 0o700)
        except FileExistsError:
            pass  # another run, at the same moment; it is checked below like any other
    _check_way(path)
    _check_own(path, dirs.lstat(path), stat.S_IFDIR)
    return path


def check_file(path: str) -> bool:
    """Whether the journal's file (or its roll-back file) exists; raises Unusable where it is not safe to use."""
    st = dirs.lstat_or_none(path)
    if st is None:
        return False
    _check_own(path, st, stat.S_IFREG)
    return True


def _check_own(path: str, st: os.stat_result, kind: int) -> None:
    uid = os.geteuid()
    what = "directory" if kind == stat.S_IFDIR else "file"
    if stat.S_IFMT(st.st_mode) != kind:
        raise Unusable("%s is no %s (a symlink, or something else); remove it" % (path, what))
    if st.st_uid != uid:
        raise Unusable("%s belongs to uid %d, not to uid %d who runs this; remove it" % (path, st.st_uid, uid))
    if st.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        text = "%s may be written by others (mode %04o); look into it, then chmod go-w"
        raise Unusable(text % (path, stat.S_IMODE(st.st_mode)))
    if kind == stat.S_IFREG and st.st_nlink != 1:
        raise Unusable("%s has %d names; remove the other ones" % (path, st.st_nlink))


def _check_way(path: str) -> None:
    """Raises Unusable where another plain user may replace a folder or symlink on the way to *path*."""
    uid = os.geteuid()
    opened = dirs.open_path(path)
    os.close(opened.fd)
    for link in opened.links:
        open_to_others = link.parent_mode & (stat.S_IWGRP | stat.S_IWOTH) and not link.parent_mode & stat.S_ISVTX
        if {link.parent_uid, link.link_uid} <= {0, uid} and not open_to_others:
            continue
        raise Unusable("the symlink %s can be replaced by another user; name a place of one's own" % link.path)
    folder = ""
    for part in opened.path.split("/"):
        folder = folder.rstrip("/") + "/" + part
        st = dirs.lstat(folder)
        if st.st_uid not in (0, uid):
            raise Unusable("%s, on the way to the journal, belongs to uid %d" % (folder, st.st_uid))
        if is_shared(st, uid) and not st.st_mode & stat.S_ISVTX:
            text = "%s, on the way to the journal, may be written by others (mode %04o); chmod go-w"
            raise Unusable(text % (folder, stat.S_IMODE(st.st_mode)))
