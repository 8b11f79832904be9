# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing back what an eviction from a build cache had put into quarantine, in the reverse order of the eviction."""

from __future__ import annotations

import os
import stat
from typing import List, Set

from ..._core import evict as core
from ..._core.evict import Job, Outcome
from ..._fs import dirs
from ..._fs.identity import Root
from .. import quarantine
from . import ACTION_SIZE, ENTRY, SHARD, dependents
from .survey import ACTION_TEXT


def undo(root: Root, run: str, job: Job) -> Outcome:
    """Puts the entries of the *run* back, with this process's rights; what is there anew stays as it is.

    Outputs first, then the findings, then the other actions: an action that is found never names an output that is not
    back yet, and no facts of vet stand there without their findings, or findings without the output that they name.
    """
    out = Outcome(job.tell)
    return out.run(lambda: _undo(root, run, job, out))


def _undo(root: Root, run: str, job: Job, out: Outcome) -> None:
    name = quarantine.find(root.fd, root, run)
    if name is None:
        return
    paths: List[str] = []
    for path, leaf, st in quarantine.contents(root.fd, root, name):
        plain = stat.S_ISREG(st.st_mode) or (stat.S_ISDIR(st.st_mode) and leaf.endswith("-d"))
        if plain and SHARD.match(leaf[:2]) and ENTRY.match(leaf) and path == "%s/%s" % (leaf[:2], leaf):
            paths.append(path)
    findings: Set[str] = set()
    for path in paths:
        if path.endswith("-a"):
            findings.update(dependents(path[3:67]))
    paths.sort(key=lambda path: (path.endswith("-a"), path.endswith("-a") and path[3:67] not in findings, path))
    top = quarantine.open_all(root.fd, root)
    try:
        held = dirs.open_dir(name, top)
    finally:
        os.close(top)
    lost: Set[str] = set()
    needed: Set[str] = set()
    try:
        for path in paths:
            finding = path.endswith("-a") and path[3:67] in findings
            why = _stays(root, held, path, finding, lost, job)
            if not why:
                try:
                    _put_back(root, held, path, finding, out)
                except OSError as exc:
                    why = core.ERROR
                    out.skip(why, path, 0, os.strerror(exc.errno or 0))
            else:
                out.skip(why, path, 0)
            if finding and why:
                lost.add(path[3:67])
            elif path.endswith("-a") and why:
                needed.update(dependents(path[3:67]))
            job.step("undone")
        if not job.late():
            # Only now: an undo that is killed before must find them again, or the facts would come back alone.
            done = findings - lost - needed
            for path in paths:
                if path.endswith("-a") and path[3:67] in done:
                    _forget(held, path)
    finally:
        os.close(held)
    quarantine.tidy(root.fd, root, name, out)


def _stays(root: Root, held: int, path: str, finding: bool, lost: Set[str], job: Job) -> str:
    """Why an entry is not put back; '' where it is. Findings need their output, and facts need their findings."""
    if job.late():
        return core.TIME
    if finding and not _has_output(root, held, path):
        return "its output is gone"
    if path.endswith("-a") and lost.intersection(dependents(path[3:67])):
        return "its findings are gone"
    return ""


def _has_output(root: Root, held: int, path: str) -> bool:
    """Whether the output that an action in quarantine names is in the cache (an empty one need not be)."""
    try:
        shard = dirs.open_dir(path[:2], held)
        try:
            data = dirs.read_small(path[3:], shard, ACTION_SIZE)
        finally:
            os.close(shard)
        if not ACTION_TEXT.match(data):
            return False
        if not int(data[133:153]):
            return True
        digits = data[68:132].decode()
        shard = dirs.open_dir(digits[:2], root.fd)
        try:
            return dirs.lstat_or_none(digits + "-d", shard) is not None
        finally:
            os.close(shard)
    except OSError:
        return False


def _forget(held: int, path: str) -> None:
    try:
        shard = dirs.open_dir(path[:2], held)
        try:
            os.unlink(path[3:], dir_fd=shard)
        finally:
            os.close(shard)
    except OSError:
        pass  # it stays until its grace ends


def _put_back(root: Root, held: int, path: str, stay: bool, out: Outcome) -> None:
    """Gives an entry its place in the cache again; with *stay* it keeps its name in quarantine too."""
    shard, _slash, leaf = path.partition("/")
    source = dirs.open_dir(shard, held)
    target = -1
    try:
        try:
            os.mkdir(shard, 0o777, dir_fd=root.fd)
        except FileExistsError:
            pass
        target = dirs.open_dir(shard, root.fd)
        if not dirs.same_place(target, root.mount, root.device) or not dirs.same_place(source, root.mount, root.device):
            raise OSError(18, "a mount", path)
        st = dirs.lstat(leaf, source)
        size = dirs.freed_by_unlink(st)
        if stat.S_ISDIR(st.st_mode):
            if dirs.lstat_or_none(leaf, target) is not None:
                out.skip(core.BACK, path, size)
                return
            os.rename(leaf, leaf, src_dir_fd=source, dst_dir_fd=target)
        else:
            try:
                # link(2) never replaces what a build has made anew meanwhile.
                os.link(leaf, leaf, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            except FileExistsError:
                there = dirs.lstat_or_none(leaf, target)
                if not stay:
                    os.unlink(leaf, dir_fd=source)
                if there is None or there.st_ino != st.st_ino:
                    out.skip(core.BACK, path, size)
                return
            if not stay:
                os.unlink(leaf, dir_fd=source)
        out.done(size)
        out.back.append(path)
    finally:
        os.close(source)
        if target >= 0:
            os.close(target)
