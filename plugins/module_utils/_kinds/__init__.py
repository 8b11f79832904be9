# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of caches. A new kind is one folder here, its tests, and one line in :data:`KINDS`."""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple, Optional

from . import go_build, go_mod


class Kind(NamedTuple):
    """A kind of cache: its name, a title for people, and its fingerprint (None, or what is missing)."""

    name: str
    title: str
    looks_like: Callable[[int], Optional[str]]


KINDS: Dict[str, Kind] = {
    go_build.KIND: Kind(go_build.KIND, go_build.TITLE, go_build.looks_like),
    go_mod.KIND: Kind(go_mod.KIND, go_mod.TITLE, go_mod.looks_like),
}


def probe(fd: int, _path: str) -> Optional[str]:
    """The kind whose fingerprint the opened directory shows, or None."""
    for kind in KINDS.values():
        if kind.looks_like(fd) is None:
            return kind.name
    return None
