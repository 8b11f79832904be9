# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repair of a module cache: what a verification found damaged goes, under Go's own locks.

Trees with a sound zip first (they come back without the network), by the same steps as every eviction of a tree. Then
files of ``cache/download``, each under its version's lock. Trees whose zip was the damage are let alone when they are
sound: builds go on using them.
"""

from __future__ import annotations

import fcntl
import os
from array import array
from typing import Callable, Sequence, Set

from ..._core import evict as core
from ..._core.evict import Job, Outcome
from ..._core.plan import CachePlan
from ..._core.survey import Survey
from ..._core.verify import Damage, Fix, FixFile
from ..._fs import dirs
from ..._fs.identity import Root
from . import BARE, TREE, evict

PRIVATE = "private, and no sound zip to extract it from"


def plan(seen: Survey, damaged: Sequence[Damage], keep: Callable[[str], bool]) -> Fix:
    """What repairs *damaged*: rows of *seen* for trees, files otherwise.

    *keep* tells of a ``path@version`` whether it is private: a private tree that only a download could bring back
    stays, damaged as it is.
    """
    fix = Fix(seen, [], [], {})
    entries = seen.entries
    bad_zips = {item.module for item in damaged if item.cls in ("zip", "ziphash")}
    trees = {path: item for item in damaged for path in item.repair if not path.startswith("cache/download/")}
    kept: Set[str] = set()
    for row in range(len(entries)):
        if entries.tier[row] not in (TREE, BARE):
            continue
        item = trees.get(entries.key(row).decode("utf-8", "surrogateescape"))
        if item is None:
            continue
        lonely = entries.tier[row] == BARE or item.module in bad_zips
        if entries.hold[row]:
            fix.keep(seen.holds[entries.hold[row]], entries.freed[row])
        elif lonely and item.cls == "tree" and keep(item.module):
            fix.keep(PRIVATE, entries.freed[row])
        else:
            fix.rows.append(row)
            continue
        kept.add(item.module)
    for item in damaged:
        for path in item.repair:
            if not path.startswith("cache/download/"):
                continue
            if item.module in kept and path.endswith((".zip", ".ziphash")) and item.cls == "ziphash":
                continue  # without them Go would take the tree that stays for whole
            own = path == item.path
            fix.files.append(FixFile(path, item.inode if own else 0, item.mtime if own else 0))
    return fix


def apply(root: Root, fix: Fix, job: Job) -> Outcome:
    """Carries a repair out with the rights of this process."""
    entries = fix.survey.entries
    files = list(dict.fromkeys(fix.files))
    out = Outcome()
    # First damaged zips, infos and go.mod files; a .ziphash must stay until its tree is gone.
    early = [file for file in files if file.inode and not file.path.endswith(".ziphash")]
    for file in early:
        _unlink(root, file, job, out)
    odd = {file.path for file in files if file.path.endswith(".ziphash")}
    for row in fix.rows:
        # No zip to compare with, or no hash to compare it with: what makes a tree worth keeping is not there.
        base = _base(entries.key(row))
        if entries.tier[row] == TREE and (base + ".ziphash" in odd or not _is_there(root, base + ".zip")):
            entries.tier[row] = BARE
    rows = array("i", fix.rows)
    _add(out, evict.apply(root, CachePlan(fix.survey, rows, array("i", [0] * len(rows)), {}, {}, False), job))
    trees = (entries.key(row).decode("utf-8", "surrogateescape") for row in fix.rows)
    stayed = {tree for tree in trees if _is_there(root, tree)}
    for file in files:
        if file in early:
            continue
        folder, _v, name = file.path[len("cache/download/") :].rpartition("/@v/")
        if "%s@%s" % (folder, name.rpartition(".")[0]) in stayed:
            out.skip(core.GUARDED, file.path, 0, "its tree stayed")
        else:
            _unlink(root, file, job, out)
    return out


def _add(out: Outcome, other: Outcome) -> None:
    out.done(other.freed, other.inodes, other.evicted)
    for reason, cell in other.skipped.items():
        mine = out.skipped.setdefault(reason, [0, 0])
        mine[0] += cell[0]
        mine[1] += cell[1]
    out.samples.extend(other.samples[: max(0, core.CAP - len(out.samples))])
    for text in other.notes:
        out.note(text)
    out.error = out.error or other.error


def _base(tree: bytes) -> str:
    folder, _at, name = tree.decode("utf-8", "surrogateescape").rpartition("@")
    return "cache/download/%s/@v/%s" % (folder, name)


def _is_there(root: Root, path: str) -> bool:
    parent, _slash, name = path.rpartition("/")
    try:
        fd = dirs.walk_below(root.fd, parent, root.mount, root.device)
    except OSError:
        return False
    try:
        return dirs.lstat_or_none(name, fd) is not None
    finally:
        os.close(fd)


def _unlink(root: Root, file: FixFile, job: Job, out: Outcome) -> None:
    """Takes one file of cache/download away under its version's lock (lockVersion), if it is the one that was read."""
    parent, _slash, name = file.path.rpartition("/")
    if job.late():
        out.skip(core.TIME, file.path, 0)
        return
    folder = lock = -1
    try:
        folder = dirs.walk_below(root.fd, parent, root.mount, root.device)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(name.rpartition(".")[0] + ".lock", flags, 0o666, dir_fd=folder)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        st = dirs.lstat(name, folder)
        if file.inode and (st.st_ino, st.st_mtime_ns) != (file.inode, file.mtime):
            out.skip(core.CHANGED, file.path, st.st_blocks * 512)
        elif st.st_uid != root.uid:
            out.skip(core.OWNER, file.path, st.st_blocks * 512)
        else:
            os.unlink(name, dir_fd=folder)
            out.done(dirs.freed_by_unlink(st))
    except BlockingIOError:
        out.skip(core.LOCKED, file.path, 0)
    except FileNotFoundError:
        out.skip(core.GONE, file.path, 0)
    except OSError as exc:
        out.skip(core.ERROR, file.path, 0, os.strerror(exc.errno or 0))
    finally:
        for fd in (lock, folder):
            if fd >= 0:
                os.close(fd)
