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
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from ..._core import evict as core
from ..._core import pool
from ..._core.evict import Job, Outcome
from ..._core.plan import CachePlan
from ..._fs import crew, dirs, errand
from ..._fs.identity import Root
from .. import quarantine
from . import ASIDE, EXECUTABLE, LEFTOVER, OUTPUT, QUARANTINED

_SETTLE = 1.0
_ASIDE_AT_ONCE = 64
# Outputs that may go between two looks for running Go tools.
_LEAVE = 1000
# Seconds for which such a look counts.
_LEAVE_SECONDS = 0.5
# From so many entries on an idle agent's cache is cleaned as fast as the file system can: by a process for each
# processor, up to so many, each with more threads than processors, because they mostly wait for its journal.
_MANY = 4000
_MEMBERS = 4
_MEMBER_THREADS = 16
# Entries go folder by folder, so that no two threads wait for the lock of the same one, but in slices that keep their
# order: each slice has about this many entries for each of the 256 folders.
_PIECE = 32
_SLICE = 256 * _PIECE
# Nothing that is there names an output which goes: a cut may leave any of them, and their order is free.
_OUTPUTS_SLICE = 8 * _SLICE
_SHARDS = ["%02x" % number for number in range(256)]
# What goes by more than one unlink, never in a batch.
_FOLDERS = (EXECUTABLE, QUARANTINED)
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
    """Leave to evict what a build may use unseen, a thousand entries at a time, each after a look for Go tools."""

    def __init__(self, scan: Callable[[], core.Activity]) -> None:
        self._scan = scan
        self._left = 0
        self._at = 0.0
        self.busy = False

    def take(self, count: int) -> bool:
        """Whether *count* entries may go now; never again once a tool was seen. For one thread at a time."""
        now = time.monotonic()
        if (self._left < count or now - self._at > _LEAVE_SECONDS) and not self.busy:
            self.busy = bool(self._scan().who)
            self._left, self._at = max(_LEAVE, count), now
        self._left -= count
        return not self.busy


class _Eviction:
    def __init__(self, root: Root, plan: CachePlan, job: Job) -> None:
        self.root = root
        self.plan = plan
        self.job = job
        self.entries = plan.survey.entries
        self.out = Outcome(self._tell)
        self._fds: Dict[str, int] = {}
        self._lock = threading.Lock()
        self._shelf = quarantine.Shelf(root.fd, root, job.aside) if job.aside else None
        # Findings of which the quarantine has a second name already, and facts that must stay, with the reason.
        self._kept: Set[int] = set()
        self._not_kept: Dict[int, str] = {}
        self.stayed = 0
        # The plain files of the first and the last phase, in pieces that are known before there is a crew.
        self._batch: _Batch = []
        self._crew: Optional[crew.Crew] = None
        # File systems stamp with the time of the last tick (CONFIG_HZ), some milliseconds behind the clock.
        self.begun = time.time_ns() - 20_000_000

    def run(self) -> None:
        phases = [array("i"), array("i"), array("i")]
        for row in self.plan.rows:
            phases[self.entries.phase[row]].append(row)
        try:
            self._keep_findings(phases[0])
            actions, outputs = self._line_up(phases[0]), self._line_up(phases[2])
            self._muster()
            if not self._actions(*actions):
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
            self._outputs(*outputs)
            self._mend(phases[2])
            self.job.step("outputs")
        finally:
            try:
                self._dismiss()
            finally:
                self._close()

    def _close(self) -> None:
        for fd in self._fds.values():
            if fd >= 0:
                os.close(fd)
        if self._shelf is not None:
            self._shelf.close()
        quarantine.drop_empty(self.root.fd)

    def _line_up(self, rows: Sequence[int]) -> Tuple[range, array[int]]:
        """Adds the plain files among *rows* to the batch; returns where in it they are, and the other rows."""
        tier = self.entries.tier
        begin = len(self._batch)
        self._batch += self._pieces(array("i", (row for row in rows if tier[row] not in _FOLDERS)))
        return range(begin, len(self._batch)), array("i", (row for row in rows if tier[row] in _FOLDERS))

    def _muster(self) -> None:
        """Gets a crew where many entries go and nobody builds who would feel it."""
        members = min(len(os.sched_getaffinity(0)), _MEMBERS)
        many = sum(len(rows) for _shard, rows in self._batch) >= _MANY
        if self._shelf is not None or not many or not errand.pays():
            return
        seen = self.job.scan()
        if seen.who or not (seen.complete or self.plan.idle):
            return
        for shard in _SHARDS:
            self._shard(shard)  # a member could not ask for the mount of what it opens
        try:
            self._crew = crew.Crew(members, _MEMBER_THREADS, self._enlist)
        except OSError:
            pass  # there are no more processes to be had: alone, then

    def _enlist(self, publish: Callable[[int, int, int, int], None]) -> Tuple[Callable[[int], None], Callable[[], Any]]:
        """What a member of the crew does; it counts for itself."""
        self._crew = None
        self.out = out = Outcome()
        lock = threading.Lock()

        def work(piece: int) -> None:
            try:
                self._evict_piece(piece)
            finally:
                with lock:
                    publish(out.evicted, out.freed, out.inodes, self.stayed)

        return work, lambda: {"out": out.data(), "stayed": self.stayed}

    def _dismiss(self) -> None:
        """Takes over what the crew has done. Raises MemberDied."""
        if self._crew is None:
            return
        gang, self._crew = self._crew, None
        try:
            told = gang.finish()
        except (crew.MemberDied, OSError):
            self.out.evicted, self.out.freed, self.out.inodes = self._sums(gang)
            raise
        for one in told:
            self.out.add(Outcome.of(one["out"]))
            self.stayed += one["stayed"]

    def _sums(self, gang: crew.Crew) -> Tuple[int, int, int]:
        evicted, freed, inodes, _stayed = gang.counts()
        return self.out.evicted + evicted, self.out.freed + freed, self.out.inodes + inodes

    def _tell(self, evicted: int, freed: int, inodes: int) -> None:
        self.job.tell(*((evicted, freed, inodes) if self._crew is None else self._sums(self._crew)))

    def _work_off(self, pieces: range, leave: Optional[_Leave] = None) -> int:
        """Evicts *pieces* of the batch, in their order; returns the first one that was not begun."""
        if self._crew is not None:
            return self._together(self._crew, pieces, leave)

        def stop() -> bool:
            return self.job.late() or (leave is not None and not leave.take(_PIECE))

        return pieces.start + pool.work_off(self._evict_piece, pieces, self.job.threads, stop)

    def _together(self, gang: crew.Crew, pieces: range, leave: Optional[_Leave]) -> int:
        at, most = pieces.start, _LEAVE // _PIECE
        while at < pieces.stop and not self.job.late():
            begin = time.monotonic()
            end = min(at + most, pieces.stop)
            if leave is not None and not leave.take((end - at) * _PIECE):
                break
            gang.hand(range(at, end))
            at = end
            gang.wait(most)
            if time.monotonic() - begin > _LEAVE_SECONDS:
                most = max(most // 2, 1)  # a slow file system: fewer at a time, so that a look is never long ago
            self._tell(0, 0, 0)
        gang.wait()
        return at

    def _evict_piece(self, piece: int) -> None:
        shard, rows = self._batch[piece]
        self._evict_files(self._shard(shard), rows)

    def _actions(self, pieces: range, others: Sequence[int]) -> bool:
        """The first phase; False where the time limit cut rows off."""
        begun = self._work_off(pieces)
        self._cut(self._rows(range(begun, pieces.stop)))
        return self._by_folder(others, self._evict_files) and begun == pieces.stop

    def _rows(self, pieces: range) -> array[int]:
        rows = array("i")
        for piece in pieces:
            rows += self._batch[piece][1]
        return rows

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
        """Splits rows into pieces of one folder each, neighbours in different folders, roughly in the rows' order.

        Within a slice they go by inode number, which takes a file system less work.
        """
        pieces: _Batch = []
        firsts, tier = self.entries.firsts(), self.entries.tier
        inode, phase = self.entries.inode.__getitem__, self.entries.phase
        size = _SLICE if len(rows) and phase[rows[0]] < 2 else _OUTPUTS_SLICE
        for at in range(0, len(rows), size):
            wave: Dict[str, array[int]] = {}
            for row in sorted(rows[at : at + size], key=inode):
                named = tier[row] == LEFTOVER or tier[row] == QUARANTINED  # not by a digest
                shard = self._path(row)[:2] if named else _SHARDS[firsts[row]]
                found = wave.get(shard)
                if found is None or len(found) >= _PIECE:
                    found = wave[shard] = array("i")
                    pieces.append((shard, found))
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
        begun = pool.work_off(lambda at: work(batches[at]), range(len(batches)), self.job.threads, self.job.late)
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
        stayed = self.stayed + (self._crew.counts()[3] if self._crew is not None else 0)
        if self.plan.idle and stayed:
            # Without the margin of an hour an output may belong to one of the actions that stayed.
            for row in rows:
                self.out.skip(core.GUARDED, self._path(row), self.entries.freed[row])
            self.out.note("%d actions were used since: the outputs stay for the next run" % stayed)
            return False
        if self.job.below_floor and not core.wait_quiet(self.job):
            self._busy(rows)
            return False
        return True

    def _busy(self, rows: Sequence[int]) -> None:
        if not rows:
            return
        for row in rows:
            self.out.skip(core.BUSY, self._path(row), self.entries.freed[row])
        self.out.note("Go tools are running: the outputs that are left stay for the next run")

    def _outputs(self, pieces: range, others: Sequence[int]) -> None:
        """Takes the outputs, in one of two ways.

        Where use leaves no trace (below the floor), or where every Go tool would be seen and none runs, they go only
        while none does, looked at before each thousand.

        Else, and from when a tool is seen, a command that found an action before it went marks the output within
        milliseconds: the pause lets it. One that makes an output anew reads the old file first, at any moment, also
        between our look and the unlink. So a file is renamed aside, looked at again, and given its name back if
        somebody has read or marked it.
        """
        leave = _Leave(self.job.scan) if self.job.below_floor or core.alone(self.job) else None
        begun = pieces.start if leave is None else self._work_off(pieces, leave)
        rest = self._rows(range(begun, pieces.stop))
        if leave is not None and self.job.below_floor:
            for row in others:
                if rest or self.job.late() or not leave.take(1):
                    rest.append(row)
                else:
                    self._evict_files(self._shard(self._path(row)[:2]), (row,))
            (self._busy if leave.busy else self._cut)(rest)
            return
        if rest and not self.job.late():
            core.settle(self.job, _SETTLE)
        tier = self.entries.tier
        batches: List[_Batch] = []
        room = 0
        for piece in self._pieces(array("i", (row for row in rest if tier[row] == OUTPUT))):
            if room < len(piece[1]):
                batches.append([])
                room = _ASIDE_AT_ONCE
            batches[-1].append(piece)
            room -= len(piece[1])
        self._batches(batches, self._aside)
        self._by_folder(
            array("i", (row for row in rest if tier[row] != OUTPUT)) + array("i", others), self._evict_files
        )

    def _aside(self, batch: _Batch) -> None:
        renamed = []
        rename = os.rename
        for fd, row in ((self._shard(shard), row) for shard, rows in batch for row in rows):
            name = self._path(row)[3:]
            if self._stays_with(row) or self._look(row, fd, name) is None:
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
            self.out.done(0, 0, rows=(row,), aside=0 if st is None else st.st_blocks * 512)
        elif self._shelf is not None and self.entries.tier[row] != LEFTOVER:
            self._shelf.take(name, fd, self._path(row))
            self.out.done(0, 0, rows=(row,), aside=freed)
        else:
            os.unlink(name, dir_fd=fd)
            self.out.done(freed, rows=(row,))

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

    def _look(self, row: int, fd: int, name: str) -> Optional[os.stat_result]:
        """The last look at an entry before it goes; None where it stays, with the reason counted."""
        if fd < 0:
            self._stay(core.CHANGED, row, "its folder is no longer a plain directory of this cache")
            return None
        entries = self.entries
        try:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            self.out.skip(core.GONE, self._path(row), entries.freed[row])
            return None
        if st.st_ino != entries.inode[row] or stat.S_ISDIR(st.st_mode) != (entries.tier[row] == EXECUTABLE):
            self._stay(core.CHANGED, row)
        elif self._used(row, st):
            self._stay(core.USED, row)
        else:
            return st
        return None

    def _stay(self, reason: str, row: int, detail: str = "") -> None:
        self.stayed += 1
        self.out.skip(reason, self._path(row), self.entries.freed[row], detail)

    def _failed(self, row: int, exc: OSError) -> None:
        reason = core.OWNER if isinstance(exc, PermissionError) else core.ERROR
        self._stay(reason, row, os.strerror(exc.errno or 0))

    def _evict_files(self, fd: int, rows: Sequence[int]) -> None:
        guard, tier = self.entries.guard, self.entries.tier
        gone: List[int] = []
        freed = 0
        try:
            for row, path in zip(rows, self.entries.texts(rows)):
                if row in self._not_kept:
                    self._stay(core.ERROR, row, "its findings cannot be kept with it: %s" % self._not_kept[row])
                elif guard[row] >= 0 and self._stays_with(row):
                    continue
                elif self._shelf is not None or tier[row] in _FOLDERS:
                    self._evict(row, fd)
                else:
                    amount = self._unlink(row, fd, path[3:])
                    if amount >= 0:
                        gone.append(row)
                        freed += amount
        finally:
            self.out.done(freed, len(gone), len(gone), gone)

    def _unlink(self, row: int, fd: int, name: str) -> int:
        """Removes an entry that is a file; returns the bytes given back, or -1 where it stays (counted)."""
        st = self._look(row, fd, name)
        if st is None:
            return -1
        try:
            os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            self.out.skip(core.GONE, self._path(row), self.entries.freed[row])
        except OSError as exc:
            self._failed(row, exc)
        else:
            return dirs.freed_by_unlink(st)
        return -1

    def _evict(self, row: int, fd: int) -> None:
        if self.entries.tier[row] == QUARANTINED:
            self._end_quarantine(row)
            return
        name = self._path(row)[3:]
        st = self._look(row, fd, name)
        if st is None:
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
                self.out.done(0, 0, rows=(row,), aside=held)
                return
            for inner, st in inside:
                os.unlink(inner, dir_fd=fd)
                self.out.done(dirs.freed_by_unlink(st), 1, 0)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=shard_fd)
        self.out.done(own.st_blocks * 512, rows=(row,))

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
            self.out.done(freed, inodes, rows=(row,))
