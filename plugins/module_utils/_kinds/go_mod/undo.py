# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing back what an eviction from a module cache had put into quarantine, under Go's own locks."""

from __future__ import annotations

import fcntl
import os
import stat
from typing import Callable, List, Tuple

from ..._core import evict as core
from ..._core.evict import Job, Outcome
from ..._fs import dirs
from ..._fs.identity import Root
from ..._fs.remove import remove_tree
from .. import quarantine
from .evict import open_lock

_DOWNLOADS = "cache/download/"
_CLONES = "cache/vcs/"


class _Stays(Exception):
    """What is in quarantine is not put back; the text says why."""


def undo(root: Root, run: str, job: Job) -> Outcome:
    """Puts the entries of the *run* back, with this process's rights; what is there anew stays as it is.

    Zips come first, each before its hash, so that a tree is complete the moment that its one rename puts it there.
    """
    out = Outcome(job.tell)
    return out.run(lambda: _Undo(root, run, job, out).run())


class _Undo:
    def __init__(self, root: Root, run: str, job: Job, out: Outcome) -> None:
        self.root = root
        self.wanted = run
        self.job = job
        self.out = out

    def _walk(self, start: int, path: str, make: int = 0) -> int:
        return dirs.walk_below(start, path, self.root.mount, self.root.device, make)

    def run(self) -> None:
        base = self._walk(self.root.fd, "cache")
        try:
            name = quarantine.find(base, self.root, self.wanted)
            if name is None:
                return
            steps: List[Tuple[int, str, Callable[[int, str], None]]] = []
            for path, leaf, st in quarantine.contents(base, self.root, name):
                directory = stat.S_ISDIR(st.st_mode)
                if path.startswith(_DOWNLOADS) and leaf.endswith((".zip", ".ziphash")) and stat.S_ISREG(st.st_mode):
                    steps.append((0 if leaf.endswith(".zip") else 1, path, self._file))
                elif path.startswith(_CLONES) and path.count("/") == 2:
                    steps.append((2 if leaf.endswith(".info") else 3, path, self._clone))
                elif directory and "@" in leaf:
                    steps.append((4, path, self._tree))
            steps.sort(key=lambda step: step[:2])
            held = self._walk(base, "%s/%s" % (quarantine.NAME, name))
            try:
                for _order, path, put in steps:
                    self._step(path, put, held)
            finally:
                os.close(held)
            quarantine.tidy(base, self.root, name, self.out)
        finally:
            os.close(base)

    def _step(self, path: str, put: Callable[[int, str], None], held: int) -> None:
        if self.job.late():
            self.out.skip(core.TIME, path, 0)
            return
        try:
            put(held, path)
            self.out.back.append(path)
        except _Stays as exc:
            self.out.skip(str(exc), path, 0)
        except BlockingIOError:
            self.out.skip(core.LOCKED, path, 0)
        except OSError as exc:
            self.out.skip(core.ERROR, path, 0, os.strerror(exc.errno or 0))
        self.job.step("undone")

    def _file(self, held: int, path: str) -> None:
        folder, _slash, leaf = path.rpartition("/")
        target = self._walk(self.root.fd, folder)
        source = lock = -1
        try:
            source = self._walk(held, folder)
            lock = _locked(leaf.rpartition(".")[0] + ".lock", target)
            size = dirs.freed_by_unlink(dirs.lstat(leaf, source))
            if dirs.lstat_or_none(leaf, target) is not None:
                os.unlink(leaf, dir_fd=source)
                raise _Stays(core.BACK)
            os.rename(leaf, leaf, src_dir_fd=source, dst_dir_fd=target)
            self.out.done(size, entries=1 if leaf.endswith(".zip") else 0)
        finally:
            _close(source, lock, target)

    def _tree(self, held: int, path: str) -> None:
        folder, _slash, leaf = path.rpartition("/")
        module, _at, version = path.rpartition("@")
        marks = self._walk(self.root.fd, "%s%s/@v" % (_DOWNLOADS, module))
        source = target = lock = -1
        try:
            lock = _locked(version + ".lock", marks)
            source = self._walk(held, folder)
            target = self._walk(self.root.fd, folder, 0o777)
            if dirs.lstat_or_none(leaf, target) is not None:
                remove_tree(leaf, source, self.root.mount, self.root.device, 0, self.root.uid)
                raise _Stays(core.BACK)
            if dirs.lstat_or_none(version + ".partial", marks) is not None:
                raise _Stays("an extraction is at work")
            if dirs.lstat_or_none(version + ".ziphash", marks) is None:
                raise _Stays("its .ziphash is gone: Go would not take the tree")
            freed = quarantine.measure(leaf, source, self.root)[1]
            quarantine.move(leaf, source, leaf, target)
            self.out.done(freed)
        finally:
            _close(source, target, lock, marks)

    def _clone(self, held: int, path: str) -> None:
        leaf = path[len(_CLONES) :]
        target = self._walk(self.root.fd, _CLONES)
        source = lock = -1
        try:
            source = self._walk(held, _CLONES)
            name = leaf[: -len(".info")] if leaf.endswith(".info") else leaf
            lock = _locked(name + ".lock", target)
            st = dirs.lstat(leaf, source)
            if dirs.lstat_or_none(leaf, target) is not None:
                if stat.S_ISDIR(st.st_mode):
                    remove_tree(leaf, source, self.root.mount, self.root.device, 0, self.root.uid)
                else:
                    os.unlink(leaf, dir_fd=source)
                raise _Stays(core.BACK)
            directory = stat.S_ISDIR(st.st_mode)
            freed = quarantine.measure(leaf, source, self.root)[1] if directory else dirs.freed_by_unlink(st)
            quarantine.move(leaf, source, leaf, target)
            self.out.done(freed, entries=1 if directory else 0)
        finally:
            _close(source, lock, target)


def _locked(name: str, folder: int) -> int:
    lock = open_lock(name, folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _close(*fds: int) -> None:
    for fd in fds:
        if fd >= 0:
            os.close(fd)
