# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a purge makes of a plan's columns."""

from __future__ import annotations

from array import array
from typing import List, Sequence, Tuple

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import CacheRef, Entries, Survey, Tier
from ansible_collections.gofleet.cache.plugins.module_utils._host import purge

OWNERS = ((1000, 1000), (0, 0), (1001, 100))


def plan(cells: Sequence[Tuple[int, int]], path: str = "/c") -> planner.CachePlan:
    """All entries of a cache, given as (owner's number, bytes), in reverse."""
    entries = Entries()
    for number, (owner, freed) in enumerate(cells):
        at = entries.add(b"%d" % number, 0, 0, 1, 1, 1, freed, 1)
        entries.owner[at] = owner
    seen = Survey(
        CacheRef("go-build", path, path, 1000, 1000, 1, 7), (Tier("action", "rebuild", 20),), ("",), [], entries,
        0, "mtime", (0,), 1, {"entries": len(cells)}, {}, [], [], None, owners=OWNERS,
    )  # fmt: skip
    rows = array("i", reversed(range(len(cells))))
    return planner.CachePlan(seen, rows, array("B", (row % 9 for row in rows)), {}, {}, False)


_CELLS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 512, 4096])), max_size=60)


@given(_CELLS)
def test_each_entry_goes_with_its_owners_rights_once_and_for_its_own_reason(cells: List[Tuple[int, int]]) -> None:
    whole = plan(cells)
    found = purge._by_owner(whole)
    assert set(found) == {OWNERS[owner] for owner, _freed in cells}
    for owner, part in found.items():
        wanted = [(row, reason) for row, reason in zip(whole.rows, whole.reasons) if OWNERS[cells[row][0]] == owner]
        assert list(zip(part.rows, part.reasons)) == wanted


@given(_CELLS, st.lists(st.tuples(st.just(0), st.integers(0, 2000)), max_size=30))
def test_the_largest_are_the_largest_of_all_caches(one: List[Tuple[int, int]], two: List[Tuple[int, int]]) -> None:
    policy = policies.parse({"caches": [{"kind": "go-build", "wipe": True}], "floor": "2h"}, ("go-build",))
    both = planner.Plan((plan(one, "/one"), plan(two, "/two")), policy, True, (), "")
    told = [item["bytes"] for item in purge._largest(both)]
    assert told == sorted((freed for _owner, freed in [*one, *two]), reverse=True)[: purge._LARGEST]


def test_of_many_that_are_equal_the_first_in_the_plan_are_told() -> None:
    policy = policies.parse({"caches": [{"kind": "go-build", "wipe": True}], "floor": "2h"}, ("go-build",))
    told = purge._largest(planner.Plan((plan([(0, 4096)] * 100),), policy, True, (), ""))
    assert [item["path"] for item in told] == [str(number) for number in range(99, 99 - purge._LARGEST, -1)]
