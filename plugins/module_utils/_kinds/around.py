# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the survey of one cache may learn from the rest of the agent."""

from __future__ import annotations

from typing import FrozenSet, NamedTuple, Sequence, Tuple

from .._fs.identity import Root


class Around(NamedTuple):
    """The rest of the agent: its other caches as (kind, root), the Go versions that are known to have been here, and
    the (device, inode) of the Go installations that running processes use.
    """

    caches: Sequence[Tuple[str, Root]]
    versions: Tuple[str, ...]
    goroots: FrozenSet[Tuple[int, int]]
