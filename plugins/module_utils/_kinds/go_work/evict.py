# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eviction of work folders: renamed aside with the owner's rights, then removed."""

from __future__ import annotations

import os

from ..._core import evict as core
from ..._core.evict import Job, Outcome
from ..._core.plan import CachePlan
from ..._fs import dirs
from ..._fs.identity import Root
from . import is_work, trees


def apply(root: Root, plan: CachePlan, job: Job) -> Outcome:
    """Carries out *plan*; only folders that belong to this process's user go."""
    eviction = _Eviction(root, plan.survey.entries, job)

    def run() -> None:
        for row in plan.rows:
            if eviction.timely(row):
                eviction.one(row)

    return eviction.out.run(run)


class _Eviction(trees.Eviction):
    def one(self, row: int) -> None:
        name = os.fsdecode(self.entries.key(row))
        try:
            st = dirs.lstat_or_none(name, self.root.fd)
            if not self.is_planned(row, st):
                return
            if st is None or not is_work(st) or self._newest(name) > self.entries.used[row]:
                self.skip(core.USED, row)
                return
            self.job.step("checked")
            aside = self.move(row, name, self.root.fd)
            self.job.step("renamed")
            if aside:
                self.remove(row, aside, self.root.fd)
                self.job.step("deleted")
        except FileNotFoundError:
            self.skip(core.GONE, row)
        except OSError as exc:
            self.skip(core.ERROR, row, os.strerror(exc.errno or 0))

    def _newest(self, name: str) -> int:
        """The newest change of the folder and of what lies directly in it."""
        fd = dirs.open_dir(name, self.root.fd)
        try:
            own = os.fstat(fd)
            found = max(own.st_mtime_ns, own.st_ctime_ns)
            for _child, st in dirs.entries(fd):
                found = max(found, st.st_mtime_ns, st.st_ctime_ns)
            return found
        finally:
            os.close(fd)
