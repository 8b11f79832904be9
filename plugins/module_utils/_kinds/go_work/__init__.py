# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work folders of cmd/go (``go-build<digits>``) that cancelled builds left in a temporary directory.

Made by cmd/go/internal/work/action.go (NewBuilder: os.MkdirTemp in GOTMPDIR or TMPDIR, mode 0700; inside ``b001``,
``b002``, ... by NewObjdir), removed when the command ends by itself, by SIGINT or by SIGQUIT only
(internal/base/signal_unix.go; golang/go#25808, golang/go#41331). No other name is taken: ``go-link-*`` is the linker's
(cmd/link/internal/ld/lib.go), but other programs may be called so too, and it is small.

The root is the temporary directory itself, which has no fingerprint: it is never found by a search, but opened by
:func:`open_place` for the places in which accounts' settings put temporary files. Nothing else in it is ever touched.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Optional

from ..._core.survey import Tier
from ..._fs import dirs, identity
from .trees import ASIDE

KIND = "go-work"
TITLE = "Go work folders"
TIERS = (Tier("work folder", "nothing", 0), Tier("leftover", "nothing", 0))
WORK, LEFTOVER = range(2)
NAME = re.compile(r"go-build[0-9]+\Z")


def tier_of(name: str) -> int:
    """The tier of a folder of this name in a temporary directory; -1 for one that is no business of ours."""
    if NAME.match(name):
        return WORK
    match = ASIDE.match(name)
    return LEFTOVER if match is not None and NAME.match(match.group(1)) else -1


def is_work(st: os.stat_result) -> bool:
    """Whether what has such a name is a folder as os.MkdirTemp makes it."""
    return stat.S_ISDIR(st.st_mode) and stat.S_IMODE(st.st_mode) & 0o777 == 0o700


def looks_like(fd: int) -> Optional[str]:
    """None where at least one work folder lies in the opened directory, else what is missing."""
    for name in dirs.names(fd):
        if tier_of(name) >= 0:
            st = dirs.lstat_or_none(name, fd)
            if st is not None and is_work(st):
                return None
    return "no folder go-build<digits> of mode 0700 is there"


def open_place(path: str) -> Optional[identity.Root]:
    """Opens a temporary directory as a root; None where no work folder lies in it.

    A temporary directory may be shared, hold mounts and be reached by a symlink: unlike a cache it is never evicted
    itself, and each work folder proves itself and goes with its owner's rights. Raises identity.Refused for what is no
    path of a directory, OSError for what cannot be opened.
    """
    opened = dirs.open_path(identity.check_name(path))
    if looks_like(opened.fd) is not None:
        os.close(opened.fd)
        return None
    st = opened.st
    mount = dirs.mount_id(opened.fd)
    return identity.Root(opened.fd, path, opened.path, st.st_uid, st.st_gid, st.st_dev, st.st_ino, mount)
