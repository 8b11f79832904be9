# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of kinds."""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple, Optional

from .._core.evict import Job, Outcome
from .._core.plan import CachePlan
from .._core.survey import Survey
from .._fs.identity import Root
from . import go_build, go_mod, go_toolcache, go_work
from .around import Around
from .go_build import evict as build_evict
from .go_build import survey as build_survey
from .go_build import undo as build_undo
from .go_mod import evict as mod_evict
from .go_mod import neighbours as mod_neighbours
from .go_mod import survey as mod_survey
from .go_mod import undo as mod_undo
from .go_toolcache import evict as tool_evict
from .go_toolcache import survey as tool_survey
from .go_work import evict as work_evict
from .go_work import survey as work_survey


class Kind(NamedTuple):
    """A kind of cache.

    ``looks_like`` is its fingerprint (None, or what is missing); ``survey`` looks at a cache, ``link`` adds what only
    a plan needs (which entries must not go before which), ``apply`` carries a plan out with this process's rights.
    ``apart`` says that it is no cache that builds fill, so that only a rule of its own evicts from it; ``place`` opens
    a place that has no fingerprint of its own and is not found by a search (None: it has one).
    ``ask`` adds what the rest of the agent knows of a cache's use (None: nothing does), before ``link``.
    ``undo`` brings back what a run had put into quarantine (None: this kind has none).
    ``trim_days`` is after how many days without use Go itself removes entries (0: it never does).
    ``stranger`` names the first thing in a cache's upper folders that is no part of it ('': nothing), so that such a
    tree is not moved (None: this kind never is). ``promised`` is the SHA-256 that a file's path promises ('': none).
    ``is_bare`` says whether an opened cache holds nothing but its empty frame (None: its frame is worth keeping).
    """

    name: str
    title: str
    looks_like: Callable[[int], Optional[str]]
    survey: Callable[[Root], Survey]
    link: Callable[[Survey], None]
    apply: Callable[[Root, CachePlan, Job], Outcome]
    trim_days: int = 0
    undo: Optional[Callable[[Root, str, Job], Outcome]] = None
    ask: Optional[Callable[[Survey, Around], Survey]] = None
    apart: bool = False
    place: Optional[Callable[[str], Optional[Root]]] = None
    stranger: Optional[Callable[[int], str]] = None
    promised: Callable[[str], str] = lambda _path: ""
    is_bare: Optional[Callable[[int], bool]] = None


def _nothing(_seen: Survey) -> None:
    pass


KINDS: Dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            go_build.KIND,
            go_build.TITLE,
            go_build.looks_like,
            build_survey.survey,
            build_survey.link,
            build_evict.apply,
            5,  # cmd/go/internal/cache/cache.go, trimLimit
            build_undo.undo,
            stranger=go_build.stranger,
            promised=go_build.promised,
            is_bare=go_build.is_bare,
        ),
        Kind(
            go_mod.KIND,
            go_mod.TITLE,
            go_mod.looks_like,
            mod_survey.survey,
            _nothing,
            mod_evict.apply,
            undo=mod_undo.undo,
            ask=mod_neighbours.ask,
            stranger=go_mod.stranger,
        ),
        Kind(
            go_work.KIND,
            go_work.TITLE,
            go_work.looks_like,
            work_survey.survey,
            _nothing,
            work_evict.apply,
            apart=True,
            place=go_work.open_place,
        ),
        Kind(
            go_toolcache.KIND,
            go_toolcache.TITLE,
            go_toolcache.looks_like,
            tool_survey.survey,
            _nothing,
            tool_evict.apply,
            apart=True,
        ),
    )
}


def probe(fd: int, _path: str) -> Optional[str]:
    """The kind of cache whose fingerprint the opened directory shows, or None."""
    for kind in KINDS.values():
        if not kind.apart and kind.looks_like(fd) is None:
            return kind.name
    return None


#: Kinds for which only rules of their own hold.
APART = tuple(kind.name for kind in KINDS.values() if kind.apart)
