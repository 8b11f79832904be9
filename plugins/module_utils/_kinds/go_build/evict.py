# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eviction from a build cache: actions first, findings after their facts, outputs last."""

from __future__ import annotations

import os
import stat
import threading
import time
from array import array
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

from ..._core import evict as core
from ..._core.evict import Job, Outcome
from ..._core.plan import CachePlan
from ..._fs import dirs
from ..._fs.identity import Root
from .. import quarantine
from . import ASIDE, EXECUTABLE, LEFTOVER, OUTPUT, QUARANTINED

_SETTLE = 1.0
_ASIDE_AT_ONCE = 64
# Outputs that may go below the floor between two looks for running Go tools.
_LEAVE = 1000
# Entries go folder by folder, so that no two threads wait for the lock of the same one, but in slices that keep their
# order: each slice has about this many entries for each of the 256 folders.
_PIECE = 32
_WAVE = 256 * _PIECE
# Folders, and rows in each.
_Batch = List[Tuple[str, "array[int]"]]


def apply(root: Root, plan: CachePlan, job: Job) -> Outcome:
    """Carries out *plan* with the rights of this process; every entry is looked at again right before it goes.

    Order (the wrong one makes builds fail, or ``go vet`` pass without its findings): phase 0 the actions, phase 1
    what hangs on an action that is gone now, phase 2 the outputs, and those only when nothing of the first two was
    cut off by the time budget.
    """
    eviction = _Eviction(root, plan, job)
    return eviction.out.run(eviction.run)


class _Leave:
    """Leave to evict below the floor, a thousand entries at a time, each after a look for running Go tools."""

    def __init__(self, scan: Callable[[], core.Activity]) -> None:
        self._scan = scan
        self._lock = threading.Lock()
        self._left = 0
        self._busy = False

    def take(self, count: int) -> bool:
        """Whether *count* entries may go now; never again once a tool was seen."""
        with self._lock:
            if self._left < count and not self._busy:
                self._busy = bool(self._scan().who)
                self._left = max(_LEAVE, count)
            self._left -= count
            return not self._busy


class _Eviction:
    def __init__(self, root: Root, plan: CachePlan, job: Job) -> None:
        self.root = root
        self.plan = plan
        self.job = job
        self.entries = plan.survey.entries
        self.out = Outcome(job.tell)
        self._fds: Dict[str, int] = {}
        self._lock = threading.Lock()
        self._shelf = quarantine.Shelf(root.fd, root, job.aside) if job.aside else None
        # Findings of which the quarantine has a second name already, and facts that must stay, with the reason.
        self._kept: Set[int] = set()
        self._not_kept: Dict[int, str] = {}
        self.stayed = 0
        # File systems stamp with the time of the last tick (CONFIG_HZ), some milliseconds behind the clock.
        self.begun = time.time_ns() - 20_000_000

    def run(self) -> None:
        phases = [array("i"), array("i"), array("i")]
        for row in self.plan.rows:
            phases[self.entries.phase[row]].append(row)
        try:
            self._keep_findings(phases[0])
            if not self._by_folder(phases[0], self._evict_files):
                self._cut(phases[1] + phases[2])
                return
            self.job.step("actions")
            if not self._phase(phases[1], self._evict_guarded):
                self._cut(phases[2])
                return
            self.job.step("findings")
            if phases[2] and not self._may_take_outputs(phases[2]):
                return
            self.job.step("quiet")
            self._outputs(phases[2])
            self._mend(phases[2])
            self.job.step("outputs")
        finally:
            for fd in self._fds.values():
                if fd >= 0:
                    os.close(fd)
            if self._shelf is not None:
                self._shelf.close()
            quarantine.drop_empty(self.root.fd)

    def _keep_findings(self, actions: Sequence[int]) -> None:
        """Puts a second name of all findings into the quarantine before their facts come there.

        Facts that an undo brings back without their findings would lie. These may go later, in another run, or never.
        """
        if self._shelf is None:
            return
        entries = self.entries
        findings: Dict[int, List[int]] = {}
        for row, phase in enumerate(entries.phase):
            if phase == 1:
                findings.setdefault(entries.guard[row], []).append(row)
        for facts in actions:
            for row in findings.get(facts, ()):
                path = self._path(row)
                try:
                    self._shelf.copy(path[3:], self._shard(path[:2]), path)
                    self._kept.add(row)
                except OSError as exc:
                    self._not_kept[facts] = os.strerror(exc.errno or 0)
        self.job.step("findings kept")

    def _pieces(self, rows: Sequence[int]) -> _Batch:
        """Splits rows into pieces of one folder each, neighbours in different folders, roughly in the rows' order."""
        pieces: _Batch = []
        key = self.entries.key
        for at in range(0, len(rows), _WAVE):
            wave: Dict[bytes, array[int]] = {}
            for row in rows[at : at + _WAVE]:
                shard = key(row)[:2]
                found = wave.get(shard)
                if found is None or len(found) >= _PIECE:
                    found = wave[shard] = array("i")
                    pieces.append((shard.decode(), found))
                found.append(row)
        return pieces

    def _phase(self, rows: Sequence[int], work: Callable[[int], None]) -> bool:
        def piece(_fd: int, mine: array[int]) -> None:
            for row in mine:
                work(row)

        return self._by_folder(rows, piece)

    def _by_folder(self, rows: Sequence[int], work: Callable[[int, array[int]], None]) -> bool:
        """Calls *work* with a folder's descriptor and some rows in it; False where the time limit cut rows off."""

        def each(batch: _Batch) -> None:
            for shard, mine in batch:
                work(self._shard(shard), mine)

        return self._batches([[piece] for piece in self._pieces(rows)], each)

    def _batches(self, batches: List[_Batch], work: Callable[[_Batch], None]) -> bool:
        begun = core.in_threads(lambda at: work(batches[at]), range(len(batches)), self.job.threads, self.job.late, 1)
        for batch in batches[begun:]:
            for _shard, mine in batch:
                self._cut(mine)
        return begun == len(batches)

    def _cut(self, rows: Sequence[int]) -> None:
        for row in rows:
            self.out.skip(core.TIME, self._path(row), self.entries.freed[row])

    def _path(self, row: int) -> str:
        return self.entries.key(row).decode()

    def _may_take_outputs(self, rows: Sequence[int]) -> bool:
        if self.plan.idle and self.stayed:
            # Without the margin of an hour an output may belong to one of the actions that stayed.
            for row in rows:
                self.out.skip(core.GUARDED, self._path(row), self.entries.freed[row])
            self.out.note("%d actions were used since: the outputs stay for the next run" % self.stayed)
            return False
        if self.job.below_floor and not core.wait_quiet(self.job):
            self._busy(rows)
            return False
        return True

    def _busy(self, rows: Sequence[int]) -> None:
        for row in rows:
            self.out.skip(core.BUSY, self._path(row), self.entries.freed[row])
        self.out.note("Go tools are running: the outputs that are left stay for the next run")

    def _outputs(self, rows: Sequence[int]) -> None:
        """Takes the outputs, in one of two ways.

        Below the floor use leaves no trace, so they go only while no Go tool runs, looked at before each slice.

        Else a command that found an action before it went marks the output within milliseconds: the pause lets it.
        One that makes an output anew reads the old file first, at any moment, also between our look and the unlink.
        So a file is renamed aside, looked at again, and given its name back if somebody has read or marked it.
        """
        if self.job.below_floor:
            leave = _Leave(self.job.scan)

            def with_leave(fd: int, mine: array[int]) -> None:
                if leave.take(len(mine)):
                    self._evict_files(fd, mine)
                else:
                    self._busy(mine)

            self._by_folder(rows, with_leave)
            return
        if not rows:
            return
        core.settle(self.job, _SETTLE)
        tier = self.entries.tier
        batches: List[_Batch] = []
        room = 0
        for piece in self._pieces(array("i", (row for row in rows if tier[row] == OUTPUT))):
            if room < len(piece[1]):
                batches.append([])
                room = _ASIDE_AT_ONCE
            batches[-1].append(piece)
            room -= len(piece[1])
        self._batches(batches, self._aside)
        self._by_folder(array("i", (row for row in rows if tier[row] != OUTPUT)), self._evict_files)

    def _aside(self, batch: _Batch) -> None:
        renamed = []
        rename = os.rename
        for fd, row in ((self._shard(shard), row) for shard, rows in batch for row in rows):
            name = None if self._stays_with(row) else self._look(row, fd)[0]
            if name is None:
                continue
            try:
                rename(name, name + ASIDE, src_dir_fd=fd, dst_dir_fd=fd)
                renamed.append((row, fd, name))
            except FileNotFoundError:
                self.out.skip(core.GONE, self._path(row), self.entries.freed[row])
            except OSError as exc:
                self._failed(row, exc)
        self.job.step("aside")
        for row, fd, name in renamed:
            st = dirs.lstat_or_none(name + ASIDE, fd)
            if st is not None and self._used(row, st):
                self._give_back(row, fd, name)
                continue
            try:
                self._let_go(row, fd, name + ASIDE, st)
            except OSError as exc:
                self._failed(row, exc)
                self._name_back(fd, name)

    def _let_go(self, row: int, fd: int, name: str, st: Optional[os.stat_result]) -> None:
        """The end of an eviction: the file is removed, or moved to the run's quarantine. Raises OSError."""
        freed = 0 if st is None else dirs.freed_by_unlink(st)
        if row in self._kept:
            os.unlink(name, dir_fd=fd)
            self.out.done(0, 0, row=row, aside=0 if st is None else st.st_blocks * 512)
        elif self._shelf is not None and self.entries.tier[row] != LEFTOVER:
            self._shelf.take(name, fd, self._path(row))
            self.out.done(0, 0, row=row, aside=freed)
        else:
            os.unlink(name, dir_fd=fd)
            self.out.done(freed, row=row)

    def _give_back(self, row: int, fd: int, name: str) -> None:
        self._name_back(fd, name)
        self.out.skip(core.USED, self._path(row), self.entries.freed[row])

    @staticmethod
    def _name_back(fd: int, name: str) -> None:
        try:
            # link(2) never replaces what a build has put there meanwhile.
            os.link(name + ASIDE, name, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
        except FileExistsError:
            pass
        except FileNotFoundError:
            return
        except OSError:
            os.rename(name + ASIDE, name, src_dir_fd=fd, dst_dir_fd=fd)
            return
        os.unlink(name + ASIDE, dir_fd=fd)

    def _used(self, row: int, st: os.stat_result) -> bool:
        # A build that makes an output anew reads the old file to compare, and keeps it without touching its mtime
        # (cache.go, copyFile): only the access time tells.
        if st.st_mtime_ns != self.entries.mtime[row]:
            return True
        return self.entries.tier[row] == OUTPUT and st.st_atime_ns >= self.begun

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

    def _is_there(self, row: int) -> bool:
        path = self._path(row)
        fd = self._shard(path[:2])
        return fd < 0 or dirs.lstat_or_none(path[3:], fd) is not None

    def _drop(self, row: int) -> None:
        path = self._path(row)
        try:
            os.unlink(path[3:], dir_fd=self._shard(path[:2]))
        except OSError:
            pass

    def _stays_with(self, row: int) -> bool:
        """Whether what must go before this entry is still there; then the entry is skipped."""
        guard = self.entries.guard[row]
        if guard < 0 or not self._is_there(guard):
            return False
        self.out.skip(core.GUARDED, self._path(row), self.entries.freed[row])
        self.stayed += 1
        return True

    def _evict_guarded(self, row: int) -> None:
        if self._stays_with(row):
            return
        self._evict(row, self._shard(self._path(row)[:2]))
        # A vet that raced with us wrote its facts anew between the two looks: without the findings they would lie.
        facts = self.entries.guard[row]
        if self._is_there(facts) and not self._is_there(row):
            self._drop(facts)
            self.out.note("an action that came back while its findings went was dropped too")

    def _mend(self, rows: Sequence[int]) -> None:
        """Findings that a vet stored again while their output went would be lost: their facts go, then they do."""
        for row in rows:
            finding = self.entries.guard[row]
            if finding >= 0 and self._is_there(finding) and not self._is_there(row):
                if self.entries.guard[finding] >= 0:
                    self._drop(self.entries.guard[finding])
                self._drop(finding)
                self.out.note("an action that came back while its findings went was dropped too")

    def _look(self, row: int, fd: int) -> Tuple[Optional[str], Optional[os.stat_result]]:
        """The last look at an entry before it goes: its name and stat, or None for both with the reason counted."""
        if fd < 0:
            self._stay(core.CHANGED, row, "its folder is no longer a plain directory of this cache")
            return None, None
        entries = self.entries
        name = entries.key(row)[3:].decode()
        try:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            self.out.skip(core.GONE, self._path(row), entries.freed[row])
            return None, None
        if st.st_ino != entries.inode[row] or stat.S_ISDIR(st.st_mode) != (entries.tier[row] == EXECUTABLE):
            self._stay(core.CHANGED, row)
        elif self._used(row, st):
            self._stay(core.USED, row)
        else:
            return name, st
        return None, None

    def _stay(self, reason: str, row: int, detail: str = "") -> None:
        self.stayed += 1
        self.out.skip(reason, self._path(row), self.entries.freed[row], detail)

    def _failed(self, row: int, exc: OSError) -> None:
        reason = core.OWNER if isinstance(exc, PermissionError) else core.ERROR
        self._stay(reason, row, os.strerror(exc.errno or 0))

    def _evict_files(self, fd: int, rows: Sequence[int]) -> None:
        guard = self.entries.guard
        for row in rows:
            if row in self._not_kept:
                self._stay(core.ERROR, row, "its findings cannot be kept with it: %s" % self._not_kept[row])
            elif guard[row] < 0 or not self._stays_with(row):
                self._evict(row, fd)

    def _evict(self, row: int, fd: int) -> None:
        if self.entries.tier[row] == QUARANTINED:
            self._end_quarantine(row)
            return
        name, st = self._look(row, fd)
        if name is None or st is None:
            return
        try:
            if self.entries.tier[row] == EXECUTABLE:
                self._evict_executable(row, fd, name)
            else:
                self._let_go(row, fd, name, st)
        except FileNotFoundError:
            self.out.skip(core.GONE, self._path(row), self.entries.freed[row])
        except OSError as exc:
            self._failed(row, exc)

    def _evict_executable(self, row: int, shard_fd: int, name: str) -> None:
        fd = dirs.open_dir(name, shard_fd)
        try:
            own = os.fstat(fd)
            if own.st_ino != self.entries.inode[row] or not dirs.same_place(fd, self.root.mount, self.root.device):
                self._stay(core.CHANGED, row, "another directory")
                return
            inside = list(dirs.entries(fd))
            if len(inside) > 1 or any(not stat.S_ISREG(st.st_mode) for _inner, st in inside):
                self._stay(core.CHANGED, row, "it does not hold exactly one file")
                return
            if self._shelf is not None:
                self._shelf.take(name, shard_fd, self._path(row))
                held = own.st_blocks * 512 + sum(dirs.freed_by_unlink(st) for _inner, st in inside)
                self.out.done(0, 0, row=row, aside=held)
                return
            for inner, st in inside:
                os.unlink(inner, dir_fd=fd)
                self.out.done(dirs.freed_by_unlink(st), 1, 0)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=shard_fd)
        self.out.done(own.st_blocks * 512, row=row)

    def _end_quarantine(self, row: int) -> None:
        try:
            name = self._path(row).rpartition("/")[2]
            freed, inodes, left = quarantine.remove(
                self.root.fd, self.root, name, self.entries.inode[row], self.job.step
            )
        except FileNotFoundError:
            self.out.skip(core.GONE, self._path(row), self.entries.freed[row])
        except OSError as exc:
            self._failed(row, exc)
        else:
            if left:
                self.out.note("%s: %d names stayed, the first: %s (%s)" % ((self._path(row), len(left)) + left[0]))
            self.out.done(freed, inodes, row=row)
