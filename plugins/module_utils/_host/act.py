# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying out evictions in one cache: one cleaner at a time, the owner's rights, bounded time, true counts."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._core import evict as core
from .._fs import worker
from .._go import modindex, running
from .._kinds import go_build
from .._kinds.table import KINDS
from . import find

_COUNTS = struct.Struct("@qqq")
# Seconds that a worker may go on after its deadline: it stops by itself at the next safe point.
_GRACE = 60.0


class Held(Exception):
    """The cache's root is locked, or cannot be: nothing was done. The text says why."""


class Terms(NamedTuple):
    """What a job is bound to; see :class:`.._core.evict.Job`. ``aside`` names a run's quarantine ('': none)."""

    deadline: float
    below_floor: bool
    threads: int
    step: Callable[[str], None]
    aside: str = ""
    stop: Callable[[], bool] = core.never
    local: bool = False


def lock(fd: int) -> None:
    """Keeps every other cleaner out of the cache with the root *fd*. Raises Held."""
    try:
        # The kernel drops the lock when this process ends, however it ends (flock(2)).
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Held("another cleaner is at work") from None
    except OSError as exc:
        raise Held("the root cannot be locked (%s)" % os.strerror(exc.errno or 0)) from None


def _forgetter(host: find.Host, cache: find.Cache, details: Mapping[str, Any]) -> Callable[[str], None]:
    """What drops the stale index of a module tree from the build caches of the same owner."""
    root = cache.root
    builds: List[int] = [c.root.fd for c in host.caches if c.kind == go_build.KIND and c.root.uid == root.uid]
    names = tuple(dict.fromkeys((root.path, os.path.normpath(root.given))))
    versions = tuple(dict.fromkeys(host.versions + modindex.versions(details)))

    def forget(tree: str) -> None:
        modindex.drop(builds, versions, ["%s/%s" % (name, tree) for name in names])

    return forget


def users(cache: find.Cache, seen: Optional[running.Scan] = None) -> core.Activity:
    """The Go tools that may use a cache right now (or were there in the scan *seen*); nobody where the kind's survey
    holds what is in use by itself."""
    if KINDS[cache.kind].apart:
        return core.Activity((), os.geteuid() == 0)
    seen = running.scan() if seen is None else seen
    inside = any(tool.layers for tool in seen.tools)
    above = running.above(cache.root.fd) if inside else frozenset()
    return running.users_of(seen, cache.root.device, cache.root.inode, cache.kind, above)


Work = Callable[[core.Job], core.Outcome]


def carry_out(
    host: find.Host,
    cache: find.Cache,
    details: Mapping[str, Any],
    terms: Terms,
    work: Work,
    others: Sequence[Tuple[Tuple[int, int], Work]] = (),
) -> core.Outcome:
    """Calls *work* with a job in a process with the owner's rights and returns its outcome, with ``error`` set where
    it ended early; what a worker had done before it was killed is counted all the same. *others* are parts that need
    the rights of another (uid, gid); they follow, unless something went wrong before. Raises Held.
    """
    root = cache.root
    lock(root.fd)
    try:
        out = _as_owner(host, cache, details, terms, (root.uid, root.gid), work)
        for owner, part in others:
            if out.error:
                break
            out.add(_as_owner(host, cache, details, terms, owner, part))
        return out
    finally:
        fcntl.flock(root.fd, fcntl.LOCK_UN)


def _as_owner(
    host: find.Host,
    cache: find.Cache,
    details: Mapping[str, Any],
    terms: Terms,
    owner: Tuple[int, int],
    work: Work,
) -> core.Outcome:
    # Shared with the worker, so that its counts survive it.
    counts = mmap.mmap(-1, _COUNTS.size)

    def tell(evicted: int, freed: int, inodes: int) -> None:
        _COUNTS.pack_into(counts, 0, evicted, freed, inodes)

    def run(ask: worker.Ask) -> Dict[str, Any]:
        def scan() -> core.Activity:
            who, complete = ask("scan", None)
            return core.Activity(tuple((int(p), int(s), str(n)) for p, s, n in who), bool(complete))

        forget = _forgetter(host, cache, details)
        job = core.Job(terms.deadline, scan, terms.below_floor, terms.threads, terms.step, forget, tell, terms.aside)
        job = job._replace(stop=terms.stop, local=terms.local)
        return work(job).data()

    try:
        until = terms.deadline + _GRACE
        serve = {"scan": lambda _none: list(users(cache))}
        return core.Outcome.of(worker.as_owner(owner[0], owner[1], run, serve, until))
    except (worker.WorkerDied, worker.WorkFailed, OSError) as exc:
        out = core.Outcome()
        out.evicted, out.freed, out.inodes = _COUNTS.unpack_from(counts, 0)
        out.error = str(exc)
        return out
