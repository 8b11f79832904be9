# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eviction from a build cache: actions first, findings after their facts, outputs last."""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import Dict, List

from ..._core import evict as core
from ..._core.evict import Job, Outcome
from ..._core.plan import CachePlan
from ..._fs import dirs
from ..._fs.identity import Root
from . import EXECUTABLE, OUTPUT


def apply(root: Root, plan: CachePlan, job: Job) -> Outcome:
    """Carries out *plan* with the rights of this process; every entry is looked at again right before it goes.

    Order (the wrong one makes builds fail, or ``go vet`` pass without its findings): phase 0 the actions, phase 1
    what hangs on an action that is gone now, phase 2 the outputs, and those only when nothing of the first two was
    cut off by the time budget.
    """
    return _Eviction(root, plan, job).run()


class _Eviction:
    def __init__(self, root: Root, plan: CachePlan, job: Job) -> None:
        self.root = root
        self.plan = plan
        self.job = job
        self.entries = plan.survey.entries
        self.out = Outcome()
        self._fds: Dict[str, int] = {}
        self._lock = threading.Lock()
        self.stayed = 0
        # File systems stamp with the time of the last tick (CONFIG_HZ), some milliseconds behind the clock.
        self.begun = time.time_ns() - 20_000_000

    def run(self) -> Outcome:
        phases: List[List[int]] = [[], [], []]
        for row in self.plan.rows:
            phases[self.entries.phase[row]].append(row)
        try:
            if not self._phase(phases[0], self._evict):
                self._cut(phases[1] + phases[2])
                return self.out
            self.job.step("actions")
            if not self._phase(phases[1], self._evict_guarded):
                self._cut(phases[2])
                return self.out
            self.job.step("findings")
            if phases[2] and not self._may_take_outputs(phases[2]):
                return self.out
            self.job.step("quiet")
            self._phase(phases[2], self._evict)
            self.job.step("outputs")
            return self.out
        finally:
            for fd in self._fds.values():
                if fd >= 0:
                    os.close(fd)

    def _phase(self, rows: List[int], work: object) -> bool:
        begun = core.in_threads(work, rows, self.job.threads, self.job.late)  # type: ignore[arg-type]
        self._cut(rows[begun:])
        return begun == len(rows)

    def _cut(self, rows: List[int]) -> None:
        for row in rows:
            self.out.skip(core.TIME, self._path(row), self.entries.freed[row])

    def _path(self, row: int) -> str:
        return self.entries.key(row).decode()

    def _may_take_outputs(self, rows: List[int]) -> bool:
        if self.plan.idle and self.stayed:
            # Without the margin of an hour an output may belong to one of the actions that stayed.
            for row in rows:
                self.out.skip(core.GUARDED, self._path(row), self.entries.freed[row])
            self.out.note("%d actions were used since: the outputs stay for the next run" % self.stayed)
            return False
        if self.job.below_floor and not core.wait_quiet(self.job):
            for row in rows:
                self.out.skip(core.BUSY, self._path(row), self.entries.freed[row])
            self.out.note(
                "Go tools that lived when the actions went are still running: the outputs stay for the next run"
            )
            return False
        return True

    def _shard(self, shard: str) -> int:
        with self._lock:
            fd = self._fds.get(shard)
            if fd is None:
                try:
                    fd = dirs.open_dir(shard, self.root.fd)
                    if not dirs.same_place(fd, self.root.mount, self.root.device):
                        os.close(fd)
                        fd = -1
                except OSError:
                    fd = -1
                self._fds[shard] = fd
            return fd

    def _evict_guarded(self, row: int) -> None:
        guard = self.entries.guard[row]
        key = self._path(guard)
        fd = self._shard(key[:2])
        if fd < 0 or dirs.lstat_or_none(key[3:], fd) is not None:
            self.out.skip(core.GUARDED, self._path(row), self.entries.freed[row])
            self.stayed += 1
            return
        self._evict(row)
        # A vet that raced with us wrote its facts anew between the two looks: without the findings they would lie.
        if (
            dirs.lstat_or_none(key[3:], fd) is not None
            and dirs.lstat_or_none(self._path(row)[3:], self._shard(self._path(row)[:2])) is None
        ):
            try:
                os.unlink(key[3:], dir_fd=fd)
                self.out.note("an action that came back while its findings went was dropped too")
            except OSError:
                pass

    def _evict(self, row: int) -> None:
        entries, out = self.entries, self.out
        path = self._path(row)
        amount = entries.freed[row]
        fd = self._shard(path[:2])
        name = path[3:]
        if fd < 0:
            out.skip(core.CHANGED, path, amount, "its folder is no longer a plain directory of this cache")
            self.stayed += 1
            return
        try:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            out.skip(core.GONE, path, amount)
            return
        executable = entries.tier[row] == EXECUTABLE
        if st.st_ino != entries.inode[row] or stat.S_ISDIR(st.st_mode) != executable:
            out.skip(core.CHANGED, path, amount)
            self.stayed += 1
            return
        # A build that makes an output anew reads the old file to compare, and keeps it without touching its mtime
        # (cache.go, copyFile): only the access time tells.
        if st.st_mtime_ns != entries.mtime[row] or (entries.tier[row] == OUTPUT and st.st_atime_ns >= self.begun):
            out.skip(core.USED, path, amount)
            self.stayed += 1
            return
        try:
            if executable:
                self._evict_executable(fd, name, path)
            else:
                os.unlink(name, dir_fd=fd)
                out.done(dirs.freed_by_unlink(st))
        except FileNotFoundError:
            out.skip(core.GONE, path, amount)
        except PermissionError as exc:
            out.skip(core.OWNER, path, amount, os.strerror(exc.errno or 0))
            self.stayed += 1
        except OSError as exc:
            out.skip(core.ERROR, path, amount, os.strerror(exc.errno or 0))
            self.stayed += 1

    def _evict_executable(self, shard_fd: int, name: str, path: str) -> None:
        fd = dirs.open_dir(name, shard_fd)
        try:
            if not dirs.same_place(fd, self.root.mount, self.root.device):
                self.out.skip(core.CHANGED, path, 0, "a mount")
                return
            freed = inodes = 0
            for inner, st in dirs.entries(fd):
                os.unlink(inner, dir_fd=fd)  # a directory in it makes this fail, and the entry stays
                freed += dirs.freed_by_unlink(st)
                inodes += 1
            own = os.fstat(fd).st_blocks * 512
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=shard_fd)
        self.out.done(freed + own, inodes + 1)
