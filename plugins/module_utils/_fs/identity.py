# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identity before deletion: a directory is a cache only if it proves it, and some directories never are.

The checks work on an opened descriptor, which the caller then keeps: what was proven is what is used.
"""

from __future__ import annotations

import os
import pwd
import stat
from typing import Callable, FrozenSet, Iterable, NamedTuple, Optional

from . import dirs, mounts

# Names at the top of a directory that make it a repository, a home or a Go installation, whatever else it shows.
_REPOSITORY = (".git", ".hg", ".svn", ".bzr", ".jj")
_HOME = (".ssh", ".bashrc", ".profile", ".bash_profile", ".zshrc", ".gnupg")
_NO_HOME = frozenset(
    ("/", "", "/nonexistent", "/dev/null", "/bin", "/sbin", "/usr/sbin", "/proc", "/run", "/tmp", "/dev")
)


class Refused(Exception):
    """A path that is never treated as a cache.

    ``code`` is a stable word for programs, ``path`` the name as given, ``reason`` what was wrong, ``hint`` what to do.
    """

    def __init__(self, code: str, path: str, reason: str, hint: str) -> None:
        super().__init__("%s: refused: %s; %s" % (path or "''", reason, hint))
        self.code = code
        self.path = path
        self.reason = reason
        self.hint = hint


class Root(NamedTuple):
    """A proven cache root, held open: ``given`` as the user named it, ``path`` resolved."""

    fd: int
    given: str
    path: str
    uid: int
    gid: int
    device: int
    inode: int
    mount: int


def known_homes(extra: Iterable[str] = ()) -> FrozenSet[str]:
    """Homes that must never lie in or be a cache: the password database's and *extra*, with their real paths."""
    found = set()
    for home in [entry.pw_dir for entry in pwd.getpwall()] + [os.environ.get("HOME", "")] + list(extra):
        home = os.path.normpath(home) if home else ""
        if not home.startswith("/"):
            continue
        for name in (home, os.path.realpath(home)):
            if name not in _NO_HOME:
                found.add(name)
    return frozenset(found)


def check_name(path: object) -> str:
    """The normalised text of a path that may name a cache; raises Refused for what never may. Looks at no file."""
    hint = "give the absolute path of one cache, as `go env GOCACHE GOMODCACHE` prints it"
    if not isinstance(path, str):
        raise Refused("bad-path", repr(path), "not a text but %s" % type(path).__name__, hint)
    if not path.strip():
        raise Refused("empty", path, "an empty path", hint)
    if path.strip().lower() == "off":
        raise Refused("off", path, "the word off: Go is told to have no such cache", hint)
    if any(ord(char) < 32 or char == "\x7f" for char in path):
        raise Refused("bad-path", repr(path), "a path with a line break or another control character", hint)
    if path.startswith(("~", "$")):
        raise Refused("not-expanded", path, "a name that was not expanded", hint)
    if not path.startswith("/"):
        raise Refused("relative", path, "a relative path", hint)
    clean = os.path.normpath(path)
    clean = "/" + clean.lstrip("/")
    if clean == "/":
        raise Refused("file-system-root", path, "the root of the file system", hint)
    return clean


def _check_links(opened: dirs.Opened) -> None:
    owner = opened.st.st_uid
    for step in opened.links:
        shared = step.parent_mode & (stat.S_IWGRP | stat.S_IWOTH)
        sticky = step.parent_mode & stat.S_ISVTX
        trusted = step.parent_uid in (0, owner)
        if trusted and (not shared or (sticky and step.link_uid in (0, owner))):
            continue
        raise Refused(
            "replaceable-symlink",
            opened.given,
            "the symlink %s can be replaced by a user other than root and the cache's owner (uid %d)"
            % (step.path, owner),
            "name the real directory (%s), or take the write permission from the symlink's folder" % opened.path,
        )


def check_place(path: str, given: str, homes: FrozenSet[str]) -> None:
    """Refuses a resolved *path* that is a home or holds one; raises Refused."""
    if path in homes:
        raise Refused("home", given, "it is a home directory", "name the cache inside it")
    prefix = path.rstrip("/") + "/"
    for home in homes:
        if home.startswith(prefix):
            raise Refused("holds-home", given, "it holds the home directory %s" % home, "name the cache itself")


def _check_contents(fd: int, given: str) -> None:
    for name in _REPOSITORY:
        if dirs.lstat_or_none(name, fd) is not None:
            raise Refused("repository", given, "it is a repository (%s)" % name, "a cache is never a work tree")
    if dirs.lstat_or_none("go.mod", fd) is not None or dirs.lstat_or_none("go.work", fd) is not None:
        raise Refused(
            "repository", given, "it is the root of a Go module or work space", "a cache is never a work tree"
        )
    for name in _HOME:
        if dirs.lstat_or_none(name, fd) is not None:
            raise Refused("home", given, "it looks like a home directory (%s)" % name, "name the cache inside it")
    if dirs.lstat_or_none("VERSION", fd) is not None and dirs.lstat_or_none("src", fd) is not None:
        raise Refused("goroot", given, "it is a Go installation (VERSION and src)", "a GOROOT is never a cache")


def open_root(
    path: str,
    looks_like: Callable[[int], Optional[str]],
    kind: str,
    homes: Optional[FrozenSet[str]] = None,
) -> Root:
    """Opens *path* as the root of a cache of *kind*, or raises Refused with the reason.

    *looks_like* is the kind's fingerprint: it gets the opened directory and returns None when that is such a cache,
    else what is missing. A root may be a mount or a symlink; it may not hold a mount. FileNotFoundError and other
    OSErrors of the walk are raised as they are: a cache that does not exist is no error of the caller's.
    """
    clean = check_name(path)
    opened = dirs.open_path(clean)
    fd = opened.fd
    try:
        opened = opened._replace(given=path)
        if opened.path == "/":
            raise Refused("file-system-root", path, "it leads to the root of the file system", "name one cache")
        _check_links(opened)
        check_place(opened.path, path, known_homes() if homes is None else homes)
        _check_contents(fd, path)
        missing = looks_like(fd)
        if missing is not None:
            raise Refused(
                "no-fingerprint",
                path,
                "it does not look like a %s cache: %s" % (kind, missing),
                "name the cache itself",
            )
        inside = mounts.below(opened.path)
        if inside:
            raise Refused(
                "holds-mount",
                path,
                "a file system is mounted inside it, at %s" % inside[0],
                "unmount it, or name the mounted directory if that is the cache",
            )
        st = opened.st
        return Root(fd, path, opened.path, st.st_uid, st.st_gid, st.st_dev, st.st_ino, dirs.mount_id(fd))
    except BaseException:
        os.close(fd)
        raise
