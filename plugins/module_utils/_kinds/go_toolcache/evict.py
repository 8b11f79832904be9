# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eviction of toolchains: the mark of completion first, then, if nobody has run it meanwhile, the folder.

Without its mark a toolchain is not found by new jobs (tool-cache's find; golang.org/dl). Between finding and running
one lie some hundred milliseconds; who has found it before runs it in the pause, and then the mark gets its name back.
"""

from __future__ import annotations

import os
import time
from typing import List, NamedTuple, Optional, Tuple

from ..._core import evict as core
from ..._core.evict import Job, Outcome
from ..._core.plan import CachePlan
from ..._fs import dirs
from ..._fs.identity import Root
from ..go_work import trees
from . import GOING, LEFTOVER, Place, place_of
from .survey import last_run

_SETTLE = 2.0


class _Held(NamedTuple):
    """A toolchain whose mark has been taken away; ``parent`` and ``marks`` are open folders."""

    row: int
    place: Place
    parent: int
    marks: int


def apply(root: Root, plan: CachePlan, job: Job) -> Outcome:
    """Carries out *plan*; only toolchains that belong to this process's user go."""
    eviction = _Eviction(root, plan.survey.entries, job)
    return eviction.out.run(lambda: eviction.run(list(plan.rows)))


class _Eviction(trees.Eviction):
    def run(self, rows: List[int]) -> None:
        held: List[_Held] = []
        try:
            for row in rows:
                if not self.timely(row):
                    continue
                if self.entries.tier[row] == LEFTOVER:
                    self._leftover(row)
                    continue
                one = self._unmark(row)
                if one is not None:
                    held.append(one)
            self.job.step("unmarked")
            if held:
                time.sleep(_SETTLE)
            while held:
                self._finish(held.pop(0))
        finally:
            for one in held:
                self._mark(one)
                self._close(one)

    def _open(self, path: str) -> int:
        """Opens a folder directly below the root ('' for the root itself); raises OSError, also for a mount."""
        fd = dirs.open_dir(path or ".", self.root.fd)
        if not dirs.same_place(fd, self.root.mount, self.root.device):
            os.close(fd)
            raise OSError(18, "a mount", path)
        return fd

    def _place(self, row: int) -> Optional[Place]:
        place = place_of(os.fsdecode(self.entries.key(row)))
        if place is None:
            self.skip(core.CHANGED, row)
        return place

    def _leftover(self, row: int) -> None:
        place = self._place(row)
        if place is None:
            return
        parent = -1
        try:
            parent = self._open(place.folder)
            if self.is_planned(row, dirs.lstat_or_none(place.name, parent)):
                aside = self.move(row, place.name, parent)
                self.job.step("renamed")
                if aside:
                    self.remove(row, aside, parent, *self._drop(place, parent))
                    self.job.step("deleted")
        except FileNotFoundError:
            self.skip(core.GONE, row)
        except OSError as exc:
            self.skip(core.ERROR, row, os.strerror(exc.errno or 0))
        finally:
            if parent >= 0:
                os.close(parent)

    def _drop(self, place: Place, parent: int) -> Tuple[int, int]:
        """Removes the renamed mark beside a toolchain that is out of sight; returns the bytes and inodes given back."""
        plain = place.mark[: -len(".complete")] if place.mark_folder != place.path else ""
        st = dirs.lstat_or_none(place.mark + GOING, parent) if plain else None
        if st is None or dirs.lstat_or_none(plain, parent) is not None:
            return 0, 0
        os.unlink(place.mark + GOING, dir_fd=parent)
        return dirs.freed_by_unlink(st), 1

    def _unmark(self, row: int) -> Optional[_Held]:
        place = self._place(row)
        if place is None:
            return None
        parent = marks = -1
        try:
            parent = self._open(place.folder)
            if not self.is_planned(row, dirs.lstat_or_none(place.name, parent)) or self._was_run(row, place, parent):
                os.close(parent)
                return None
            marks = dirs.open_dir(place.name, parent) if place.mark_folder == place.path else os.dup(parent)
            if dirs.lstat_or_none(place.mark, marks) is not None:
                os.rename(place.mark, place.mark + GOING, src_dir_fd=marks, dst_dir_fd=marks)
            return _Held(row, place, parent, marks)
        except FileNotFoundError:
            self.skip(core.GONE, row)
        except OSError as exc:
            self.skip(core.ERROR, row, os.strerror(exc.errno or 0))
        for fd in (parent, marks):
            if fd >= 0:
                os.close(fd)
        return None

    def _was_run(self, row: int, place: Place, parent: int) -> bool:
        """Whether it was run since the survey; counts it."""
        fd = dirs.open_dir(place.name, parent)
        try:
            if last_run(fd) <= self.entries.used[row]:
                return False
        finally:
            os.close(fd)
        self.skip(core.USED, row)
        return True

    def _mark(self, one: _Held) -> None:
        """Gives a mark its name back, unless the toolchain has been installed anew."""
        try:
            if dirs.lstat_or_none(one.place.mark, one.marks) is None:
                os.rename(one.place.mark + GOING, one.place.mark, src_dir_fd=one.marks, dst_dir_fd=one.marks)
        except FileNotFoundError:
            pass
        except OSError as exc:
            text = "%s: its mark of completion did not get its name back (%s); it will be installed again"
            self.out.note(text % (one.place.path, os.strerror(exc.errno or 0)))

    @staticmethod
    def _close(one: _Held) -> None:
        os.close(one.parent)
        os.close(one.marks)

    def _finish(self, one: _Held) -> None:
        row, place = one.row, one.place
        try:
            st = dirs.lstat_or_none(place.name, one.parent)
            if st is None:
                self.skip(core.GONE, row)
            elif st.st_ino != self.entries.inode[row] or st.st_uid != os.geteuid():
                self.skip(core.CHANGED, row)
            elif not self.timely(row) or self._was_run(row, place, one.parent):
                self._mark(one)
            else:
                aside = self.move(row, place.name, one.parent)
                self.job.step("renamed")
                if aside:
                    dropped = self._drop(place, one.parent)
                    # The version's own folder stays: a job may be about to install into it.
                    self.remove(row, aside, one.parent, *dropped)
                    self.job.step("deleted")
        except OSError as exc:
            self._mark(one)
            self.skip(core.ERROR, row, os.strerror(exc.errno or 0))
        finally:
            self._close(one)
