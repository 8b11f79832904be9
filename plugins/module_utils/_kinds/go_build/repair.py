# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repair of a build cache: what a verification found damaged goes, so that the next build makes it anew.

First the actions that name it (and, before those, the facts that findings of ``go vet`` belong to), then the outputs,
once every Go tool that lived when the actions went has exited: the order of every eviction here.
"""

from __future__ import annotations

from array import array
from typing import Callable, List, Optional, Sequence, Set

from ..._core.evict import Job, Outcome
from ..._core.plan import CachePlan
from ..._core.survey import Survey
from ..._core.verify import Damage, Fix
from ..._fs.identity import Root
from . import evict


def plan(seen: Survey, damaged: Sequence[Damage], _keep: Optional[Callable[[str], bool]] = None) -> Fix:
    """What repairs *damaged*: rows of *seen*, which ``survey.link`` must have tied. Nothing here is private."""
    identity = {item.path: item for item in damaged if item.inode}
    wanted: Set[bytes] = {path.encode() for item in damaged for path in item.repair}
    rows: List[int] = []
    fix = Fix(seen, [], [], {})
    entries = seen.entries
    for row in range(len(entries)):
        key = entries.key(row)
        if key not in wanted:
            continue
        item = identity.get(key.decode())
        if item is not None and (entries.inode[row], entries.mtime[row]) != (item.inode, item.mtime):
            continue  # it is another file by now
        if entries.hold[row]:
            fix.keep(seen.holds[entries.hold[row]], entries.freed[row])
            continue
        rows.append(row)
    rows.sort(key=lambda row: (entries.phase[row], entries.used[row]))
    fix.rows.extend(rows)
    return fix


def apply(root: Root, fix: Fix, job: Job) -> Outcome:
    """Carries a repair out with the rights of this process."""
    rows = array("i", fix.rows)
    steps = CachePlan(fix.survey, rows, array("i", [0] * len(rows)), {}, {}, False)
    return evict.apply(root, steps, job._replace(below_floor=True))
