# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of caches. A new kind is one folder here, its tests, and one line in :data:`table.KINDS`.

The table names all kinds, so that it loads all of them: only who asks for it pays for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .table import APART as APART
    from .table import KINDS as KINDS
    from .table import Kind as Kind
    from .table import probe as probe


def __getattr__(name: str) -> object:
    if name in ("APART", "KINDS", "Kind", "probe"):
        from . import table

        return getattr(table, name)
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
