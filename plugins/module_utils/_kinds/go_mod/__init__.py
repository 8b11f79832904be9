# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go's module cache (GOMODCACHE): layout and identity.

Source: cmd/go/internal/modfetch/cache.go (CachePath, DownloadDir), fetch.go (DownloadZip, unzip, checkMod) and
codehost/codehost.go (WorkDir).
"""

from __future__ import annotations

import os
import stat
from typing import Dict, List, Optional

from ..._core.survey import SECOND, Tier
from ..._fs import dirs
from .. import quarantine

KIND = "go-mod"
TITLE = "Go module cache"
# A zip whose tree is there is what no running go command needs (fetch.go, download: a complete tree is taken as it is).
# A clone is fetched again only for a version that nobody has downloaded yet.
TIERS = (
    Tier("leftover", "nothing", 0, True),
    Tier("tree", "re-extract", 10),
    Tier("zip", "download", 40, True),
    Tier("bare tree", "download", 40),
    Tier("clone", "download", 30),
    quarantine.TIER,
)
LEFTOVER, TREE, ZIP, BARE, CLONE, QUARANTINED = range(6)
# relatime writes an access time down once in 24 hours (mount(8)).
GRAIN_RELATIME = 24 * 3600 * SECOND
MARGINS = (0,)
TOOLCHAIN = "golang.org/toolchain"


def looks_like(fd: int) -> Optional[str]:
    """None when the opened directory shows a module cache's fingerprint, else what is missing.

    ``cache/download`` and, beside it or in it, something only Go makes: the file ``cache/lock``, or a folder tree
    that leads to a version folder ``@v``.
    """
    download = _open_both(fd)
    if download is None:
        return "no folder cache/download is there"
    try:
        st = dirs.lstat_or_none("../lock", download)
        if st is not None and stat.S_ISREG(st.st_mode):
            return None
        if _leads_to_versions(download, 0, [500]):
            return None
        return "cache/download holds no module (no @v folder), and there is no cache/lock"
    finally:
        os.close(download)


def without_copies(digests: Dict[bytes, bytes]) -> None:
    """Takes out what Go adds to a toolchain's tree: before its first run it copies each ``_go.mod`` to ``go.mod``.

    Source: cmd/go/internal/toolchain/select.go.
    """
    for name in [name for name in digests if name == b"go.mod" or name.endswith(b"/go.mod")]:
        if digests.get(name[:-6] + b"_go.mod") == digests[name]:
            del digests[name]


def _open_both(fd: int) -> Optional[int]:
    try:
        cache = dirs.open_dir("cache", fd)
    except OSError:
        return None
    try:
        return dirs.open_dir("download", cache)
    except OSError:
        return None
    finally:
        os.close(cache)


def _leads_to_versions(fd: int, depth: int, budget: List[int]) -> bool:
    for name in dirs.names(fd):
        budget[0] -= 1
        if budget[0] < 0 or depth > 12:
            return False
        st = dirs.lstat_or_none(name, fd)
        if st is None or not stat.S_ISDIR(st.st_mode):
            continue
        if name == "@v":
            return True
        try:
            child = dirs.open_dir(name, fd)
        except OSError:
            continue
        try:
            if _leads_to_versions(child, depth + 1, budget):
                return True
        finally:
            os.close(child)
    return False


def stranger(fd: int) -> str:
    """The first thing in an opened module cache that lies where Go has folders only; '' where there is none.

    Above the versions' trees (``path@version``) Go makes nothing but folders.
    """
    return _stranger(fd, "", 0)


def _stranger(fd: int, path: str, depth: int) -> str:
    for name in sorted(dirs.names(fd)):
        where = path + name
        st = dirs.lstat_or_none(name, fd)
        if st is None or where == "cache" or (stat.S_ISDIR(st.st_mode) and "@" in name):
            continue
        if not stat.S_ISDIR(st.st_mode) or name.startswith(".") or depth > 64:
            return where
        try:
            child = dirs.open_dir(name, fd)
        except OSError:
            return where
        try:
            found = _stranger(child, where + "/", depth + 1)
        finally:
            os.close(child)
        if found:
            return found
    return ""
