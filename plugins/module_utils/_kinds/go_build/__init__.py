# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go's build cache (GOCACHE): layout and identity.

Source: cmd/go/internal/cache/cache.go (Open, fileName, putIndexEntry, Trim) and default.go (cacheREADME).
"""

from __future__ import annotations

import os
import re
import stat
from typing import List, Optional

from ..._core.survey import SECOND, Tier
from ..._fs import dirs
from .. import quarantine

KIND = "go-build"
TITLE = "Go build cache"
TIERS = (
    Tier("action", "rebuild", 20),
    Tier("output", "rebuild", 20),
    Tier("executable", "rebuild", 20),
    Tier("leftover", "nothing", 0),
    quarantine.TIER,
)
ACTION, OUTPUT, EXECUTABLE, LEFTOVER, QUARANTINED = range(5)
# What an output is called between the two looks of its eviction; Go never reads or writes such a name.
ASIDE = ".evicting"
# Use is written down at most once an hour (cache.go, mtimeInterval).
GRAIN = 3600 * SECOND
# An action looks its output up at the same moment, and each of both is marked only when an hour old: an output of
# C + 1 h cannot be named by an action younger than C.
MARGINS = (0, 0, GRAIN)
ENTRY = re.compile(r"[0-9a-f]{64}-[ad]\Z")
LEFT = re.compile(r"[0-9a-f]{64}-d\.evicting\Z")
SHARD = re.compile(r"[0-9a-f]{2}\Z")
ACTION_SIZE = 175
README = b"This directory holds cached build artifacts from the Go build system."
# What belongs to a build cache besides its shards; these are what makes it a cache and always stay.
OWN = frozenset(("README", "trim.txt", "testexpire.txt", "fuzz", "log.txt", "CACHEDIR.TAG", quarantine.NAME))
# Outputs that Go treats as part of a hit when they are there and as empty when they are not, under a key that is
# computed from the main entry's: cmd/go/internal/cache/hash.go (Subkey), work/exec.go (vet: stdout, fix.zip) and
# work/buildid.go (stdout, link-stdout). Lost alone, they take findings with them silently.
DEPENDENT = (b"stdout", b"fix.zip", b"link-stdout")


def dependents(digits: str) -> List[str]:
    """The keys, in hexadecimal digits, of what hangs on the action with the key *digits*."""
    import hashlib  # slow to load: a survey does without

    main = b"subkey:" + bytes.fromhex(digits)
    return [hashlib.sha256(main + word).hexdigest() for word in DEPENDENT]


def looks_like(fd: int) -> Optional[str]:
    """None when the opened directory shows a build cache's fingerprint, else what is missing.

    The README that Go writes, or, for caches that were copied without it, a numeric trim.txt; and shard folders, or at
    least a quarantine: ``go clean -cache`` removes the shards only (cmd/go/internal/clean), and that must end some day.
    """
    readme, trim = _content("README", fd), _content("trim.txt", fd)
    if readme is not None or trim is not None:
        marker = (readme or b"").startswith(README) or (trim or b"").strip().isdigit()
    else:
        # Somebody else's cache, whose files this process may not read without a trace, nor ever remove.
        marker = all(_is_file(name, fd) for name in ("README", "trim.txt"))
    if not marker:
        return "neither Go's README nor a trim.txt of its form is there"
    for name in ("00", "7f", "ff", quarantine.NAME):
        st = dirs.lstat_or_none(name, fd)
        if st is not None and stat.S_ISDIR(st.st_mode):
            return None
    for name in dirs.names(fd):
        if SHARD.match(name):
            st = dirs.lstat_or_none(name, fd)
            if st is not None and stat.S_ISDIR(st.st_mode):
                return None
    return "no shard folder (00 to ff) is there"


def _content(name: str, fd: int) -> Optional[bytes]:
    """The beginning of a file; b"" where it cannot be read, None where only its owner can without a trace."""
    try:
        return dirs.read_small(name, fd, 256)
    except dirs.CannotLook:
        return None
    except OSError:
        return b""


def _is_file(name: str, fd: int) -> bool:
    st = dirs.lstat_or_none(name, fd)
    return st is not None and stat.S_ISREG(st.st_mode)


def stranger(fd: int) -> str:
    """The first name at the top of an opened build cache that Go does not put there; '' where there is none."""
    for name in sorted(dirs.names(fd)):
        st = dirs.lstat_or_none(name, fd)
        if st is not None and name not in OWN and not (SHARD.match(name) and stat.S_ISDIR(st.st_mode)):
            return name
    return ""


def promised(path: str) -> str:
    """The SHA-256 that the file at *path* below a build cache's root has, '' where its name does not tell."""
    name = path.rpartition("/")[2]
    return name[:64] if ENTRY.match(name) and name.endswith("-d") and path == "%s/%s" % (name[:2], name) else ""


def is_bare(fd: int) -> bool:
    """Whether an opened build cache holds Go's own small files and empty folders only."""
    for name in dirs.names(fd):
        st = dirs.lstat_or_none(name, fd)
        if st is None:
            continue
        if not stat.S_ISDIR(st.st_mode):
            if name not in OWN or not stat.S_ISREG(st.st_mode):
                return False
            continue
        if not SHARD.match(name) and name != "fuzz":
            return False
        try:
            inner = dirs.open_dir(name, fd)
        except OSError:
            return False
        try:
            if os.listdir(inner):
                return False
        finally:
            os.close(inner)
    return True
