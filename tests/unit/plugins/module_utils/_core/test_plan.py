# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import (
    SECOND,
    CacheRef,
    Entries,
    Survey,
    Tier,
)

KINDS = ("go-build", "go-mod", "go-work")
APART = ("go-work",)
NOW = 1_800_000_000 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
DISK = planner.Disk(10**9, 5 * 10**8, 10**6, 5 * 10**5, True)
BUILD = (Tier("action", "rebuild", 20), Tier("output", "rebuild", 20), Tier("executable", "rebuild", 20))
MOD = (Tier("leftover", "nothing", 0), Tier("tree", "re-extract", 10), Tier("zip", "download", 40))
ACTION, FINDING, OUTPUT = range(3)  # phases of a build cache


class Row(NamedTuple):
    """One entry: ages in hours before NOW."""

    age: float
    freed: int = 4096
    phase: int = ACTION
    guard: int = -1
    waits: int = -1
    hold: int = 0
    tier: int = 0
    group: int = -1


def survey(
    rows: Sequence[Row],
    kind: str = "go-build",
    path: str = "/c",
    labels: Sequence[str] = (),
    device: int = 1,
    last: int = NOW,
    now: int = NOW,
) -> Survey:
    entries = Entries()
    for number, row in enumerate(rows):
        used = now - int(row.age * HOUR)
        at = entries.add(
            b"%06d" % number, row.tier, row.phase, used, used, number + 1, row.freed, row.freed, 1, row.group
        )
        entries.guard[at] = row.guard
        entries.waits[at] = row.waits
        entries.hold[at] = row.hold
    build = kind == "go-build"
    return Survey(
        CacheRef(kind, path, path, 1000, 1000, device, 7),
        BUILD if build else MOD,
        ("", "other owner"),
        list(labels),
        entries,
        HOUR if build else DAY,
        "mtime",
        (0, 0, HOUR) if build else (0,),
        last,
        {"allocated": sum(row.freed for row in rows), "entries": len(rows)},
        {},
        [],
        [],
        None,
    )


def plan(
    surveys: Sequence[Survey],
    document: Dict[str, Any],
    now: int = NOW,
    disks: Optional[Dict[int, planner.Disk]] = None,
    private: Optional[Tuple[str, ...]] = (),
    idle: bool = False,
) -> planner.Plan:
    proven = {seen.cache.path: idle for seen in surveys}
    context = planner.Context(now, {1: DISK, 2: DISK} if disks is None else disks, private, proven)
    return planner.make(surveys, policies.parse(document, KINDS, APART), context)


def chosen(got: planner.Plan, cache: int = 0) -> List[int]:
    return sorted(got.caches[cache].rows)


def counts(table: Dict[str, List[int]]) -> Dict[str, int]:
    return {name: cell[0] for name, cell in table.items()}


_AGES = st.one_of(st.integers(-48, 24 * 90), st.floats(-2, 40, allow_nan=False))
_SIZES = st.sampled_from([0, 4096, 8192, 1 << 20])


@st.composite
def build_rows(draw: Any) -> List[Row]:
    """Rows of a build cache; findings are tied to facts and outputs to findings as a survey ties them."""
    rows: List[Row] = []
    for _number in range(draw(st.integers(0, 14))):
        phase = draw(st.sampled_from([ACTION, ACTION, FINDING, OUTPUT, OUTPUT]))
        guards = [n for n, row in enumerate(rows) if row.phase == phase - 1]
        guard, age = -1, draw(_AGES)
        if guards and (phase == FINDING or (phase == OUTPUT and draw(st.booleans()))):
            guard = draw(st.sampled_from(guards))
            age = min(age, rows[guard].age)
        elif phase == FINDING:
            phase = ACTION
        rows.append(Row(age, draw(_SIZES), phase, guard, hold=draw(st.sampled_from([0, 0, 0, 1]))))
    return rows


@st.composite
def mod_rows(draw: Any) -> Tuple[List[Row], List[str]]:
    """Versions of a module cache: a tree, a zip, or both, the zip waiting for its tree."""
    rows: List[Row] = []
    labels: List[str] = []
    names = st.sampled_from(["example.com/a", "example.com/b", "git.corp.example/x", "example.com/a/v2"])
    for number in range(draw(st.integers(0, 7))):
        labels.append("%s@v1.%d.0" % (draw(names), number))
        age, parts = draw(_AGES), draw(st.sampled_from(["tree", "zip", "both"]))
        if parts != "zip":
            rows.append(Row(age, draw(_SIZES), tier=1, group=number, hold=draw(st.sampled_from([0, 0, 0, 1]))))
        if parts != "tree":
            waits = len(rows) - 1 if parts == "both" else -1
            rows.append(Row(age, draw(_SIZES), tier=2, group=number, waits=waits))
    return rows, labels


_LIMITS = st.one_of(
    st.fixed_dictionaries({"max_age": st.sampled_from(["0", "1d", "10d", "60d"])}),
    st.fixed_dictionaries({"max_size": st.sampled_from([0, 4096, 20000, 1 << 20])}),
    st.fixed_dictionaries({"max_size_each": st.sampled_from([0, 20000, 1 << 20])}),
    st.fixed_dictionaries({"max_entries": st.integers(0, 6)}),
    st.fixed_dictionaries({"wipe": st.just(True)}),
    st.fixed_dictionaries({"evict_before": st.sampled_from(["2027-01-01", "2026-12-01", "2100-01-01"])}),
    st.fixed_dictionaries({"max_age": st.just("10d"), "max_size": st.sampled_from([0, 20000])}),
    st.fixed_dictionaries({"max_age": st.just("10d"), "until": st.just({"free_space_above": "90%"})}),
    st.fixed_dictionaries({"max_age": st.just("60d"), "until": st.just({"free_inodes_above": 500004})}),
)
_FLOORS = st.sampled_from(["1h", "24h", "10d"])
_ORDERS = st.sampled_from(["oldest", "cheapest"])


# --- what is never evicted


@given(build_rows(), _LIMITS, _FLOORS, _ORDERS)
def test_nothing_of_a_build_cache_goes_that_must_stay(
    rows: List[Row], limits: Dict[str, Any], floor: str, order: str
) -> None:
    got = plan([survey(rows)], dict(limits, floor=floor, evict_first=order))
    hours = {"1h": 1, "24h": 24, "10d": 240}[floor] + 1  # the grain of the evidence is an hour
    carried = list(got.caches[0].rows)
    assert len(set(carried)) == len(carried)
    for row in carried:
        entry = rows[row]
        assert entry.age >= hours + (entry.phase == OUTPUT)
        assert not entry.hold
        if entry.guard >= 0:
            assert carried.index(entry.guard) < carried.index(row)
    phases = [rows[row].phase for row in carried]
    assert phases == sorted(phases)


def test_the_floor_is_the_promise_plus_the_grain_plus_what_an_output_may_lag_behind() -> None:
    rows = [Row(24.9), Row(25.1), Row(25.9, phase=OUTPUT), Row(26.1, phase=OUTPUT)]
    for limits in ({"wipe": True}, {"max_age": 0}, {"max_size": 0}, {"max_entries": 0}):
        assert chosen(plan([survey(rows)], limits)) == [1, 3], limits
    labels = ["example.com/a@v1.0.0"]
    trees = [Row(47.9, tier=1, group=0), Row(48.1, tier=1, group=0)]
    assert chosen(plan([survey(trees, "go-mod", labels=labels)], {"wipe": True})) == [1]


@given(build_rows(), _LIMITS, _FLOORS)
def test_no_action_stays_that_is_less_than_an_hour_younger_than_an_output_that_goes(
    rows: List[Row], limits: Dict[str, Any], floor: str
) -> None:
    """Each of both is dated at most once an hour, and at the same moment: such an output may be that action's."""
    got = plan([survey(rows)], dict(limits, floor=floor))
    gone = set(chosen(got))
    outputs = [rows[row].age for row in gone if rows[row].phase == OUTPUT]
    kept = [
        row.age
        for number, row in enumerate(rows)
        if number not in gone and row.phase == ACTION and not row.hold and row.age > -0.08
    ]
    if outputs and kept:
        assert max(kept) <= min(outputs) - 1 + 1e-6


@given(mod_rows(), _LIMITS, st.sampled_from([None, (), ("git.corp.example",)]), _ORDERS)
def test_nothing_of_a_module_cache_goes_that_must_stay(
    data: Tuple[List[Row], List[str]], limits: Dict[str, Any], private: Optional[Tuple[str, ...]], order: str
) -> None:
    rows, labels = data
    got = plan(
        [survey(rows, "go-mod", labels=labels)],
        dict(limits, evict_first=order, keep=["example.com/b"]),
        private=private,
    )
    for row in chosen(got):
        entry = rows[row]
        assert entry.age >= 48  # a day of floor and a day of grain
        assert not entry.hold
        assert entry.waits < 0
        label = labels[entry.group]
        assert not label.startswith("example.com/b@")
        assert not (private and label.startswith("git.corp.example"))
        assert not (private is None and entry.tier == 2)


@given(build_rows(), st.integers(1, 400))
def test_time_stamps_of_the_future_are_kept(rows: List[Row], hours: int) -> None:
    """F28."""
    ahead = [row._replace(age=-abs(row.age) - hours, guard=-1, hold=0) for row in rows]
    got = plan([survey(ahead)], {"wipe": True})
    assert chosen(got) == []
    assert counts(got.caches[0].protected) == ({"future": len(rows)} if rows else {})


@pytest.mark.parametrize("stamp", [0, -1, -(10**18)])
def test_an_entry_without_an_age_is_kept(stamp: int) -> None:
    """F28."""
    seen = survey([Row(0), Row(24 * 400)])
    seen.entries.used[0] = seen.entries.mtime[0] = stamp
    got = plan([seen], {"max_age": "10d", "max_size": 0})
    assert chosen(got) == [1]
    assert counts(got.caches[0].protected) == {"age unknown": 1}


@pytest.mark.parametrize("stamp", [2**63, 2**70, -(2**70)])
def test_a_time_that_no_counter_holds_is_no_crash(stamp: int) -> None:
    """ext4 dates files up to 2446, btrfs and tmpfs far beyond; nanoseconds in 64 bits end in 2262."""
    entries = Entries()
    entries.add(b"x", 0, 0, stamp, stamp, 1, 0, 0)
    seen = survey([Row(1)])._replace(entries=entries)
    assert chosen(plan([seen], {"wipe": True})) == []


@pytest.mark.parametrize("years", [-1, 1])
@given(rows=build_rows())
def test_a_clock_that_was_set_wrong_by_a_year_empties_nothing_by_age(years: int, rows: List[Row]) -> None:
    """F28: ages count back from the last build, not from a clock that nobody built by."""
    young = [row._replace(age=abs(row.age) % (9 * 24), guard=-1, hold=0) for row in rows]
    last = NOW - int(min([row.age for row in young] or [0]) * HOUR)
    got = plan([survey(young, last=last)], {"max_age": "10d"}, now=NOW + years * 365 * DAY)
    assert chosen(got) == []


def test_a_holiday_ages_nothing() -> None:
    seen = survey([Row(24 * 40), Row(24 * 31), Row(24 * 30)], last=NOW - 30 * DAY)
    assert chosen(plan([seen], {"max_age": "5d"})) == [0]


def test_a_last_build_in_the_future_counts_as_now() -> None:
    seen = survey([Row(24 * 4), Row(24 * 6)], last=NOW + 10**9 * SECOND)
    assert chosen(plan([seen], {"max_age": "5d"})) == [1]


def test_the_last_build_of_any_cache_is_the_agents() -> None:
    old = survey([Row(24 * 40)], last=NOW - 39 * DAY, path="/a")
    new = survey([Row(2)], last=NOW - 2 * HOUR, path="/b")
    assert chosen(plan([old, new], {"max_age": "10d"})) == [0]


# --- guards and what waits


def test_findings_stay_with_facts_that_stay() -> None:
    rows = [Row(24 * 20, hold=1), Row(24 * 20, phase=FINDING, guard=0), Row(24 * 20, phase=OUTPUT, guard=1)]
    for limits in ({"max_age": "1d"}, {"wipe": True}, {"max_size": 0}, {"max_entries": 0}):
        got = plan([survey(rows)], limits)
        assert chosen(got) == []
        assert counts(got.caches[0].protected) == {"other owner": 1, "guard": 2}


def test_a_chain_of_guards_is_followed_whatever_the_order_of_rows() -> None:
    """Which names a folder lists first is accidental: here the output comes before what it hangs on."""
    rows = [
        Row(24 * 20, phase=OUTPUT, guard=1),
        Row(24 * 20, phase=FINDING, guard=2),
        Row(24 * 9.99),
    ]
    assert chosen(plan([survey(rows)], {"max_age": "10d"})) == []
    got = plan([survey(rows)], {"max_age": "9d"})
    assert list(got.caches[0].rows) == [2, 1, 0]


def test_a_zip_waits_for_a_later_run_while_its_tree_is_there() -> None:
    rows = [Row(24 * 90, tier=1, group=0), Row(24 * 90, tier=2, group=0, waits=0)]
    seen = survey(rows, "go-mod", labels=["example.com/a@v1.0.0"])
    got = plan([seen], {"max_age": "60d"})
    assert chosen(got) == [0]
    assert got.caches[0].pending == {"max_age": [1, 4096]}
    assert got.caches[0].protected == {}
    later = survey([rows[1]._replace(waits=-1)], "go-mod", labels=["example.com/a@v1.0.0"])
    assert chosen(plan([later], {"max_age": "60d"})) == [0]


def test_an_output_of_two_findings_waits_until_one_of_them_is_left() -> None:
    rows = [
        Row(24 * 20),
        Row(24 * 20, phase=FINDING, guard=0),
        Row(24 * 20, phase=FINDING, guard=0),
        Row(24 * 20, phase=OUTPUT, guard=1, waits=2),
    ]
    got = plan([survey(rows)], {"wipe": True})
    assert chosen(got) == [0, 1, 2]
    assert got.caches[0].pending == {"wipe": [1, 4096]}


# --- private, kept, named


def test_where_nobody_says_what_is_private_only_what_comes_back_from_the_zip_goes() -> None:
    labels = ["example.com/a@v1.0.0", "example.com/b@v1.0.0"]
    rows = [Row(9999, tier=1, group=0), Row(9999, tier=2, group=1)]
    seen = survey(rows, "go-mod", labels=labels)
    got = plan([seen], {"wipe": True}, private=None)
    assert chosen(got) == [0]
    assert counts(got.caches[0].protected) == {"private unknown": 1}
    assert chosen(plan([seen], {"wipe": True}, private=())) == [0, 1]
    named = {"caches": [{"kind": "go-mod", "modules": ["example.com/b@v1.0.0"]}]}
    assert chosen(plan([seen], named, private=None)) == [1]


def test_a_private_module_goes_only_by_its_exact_name() -> None:
    labels = ["git.corp.example/a@v1.0.0"]
    seen = survey([Row(9999, tier=1, group=0)], "go-mod", labels=labels)
    for pattern, goes in (
        ("git.corp.example/a@v1.0.0", True),
        ("git.corp.example/a@*", True),
        ("git.corp.example/*@v1.0.0", False),
        ("git.corp.example/...", False),
        ("git.corp.example/a", False),
        ("git.corp.example/a@v1.*", False),
    ):
        document = {"caches": [{"kind": "go-mod", "modules": [pattern]}]}
        assert (chosen(plan([seen], document, private=("git.corp.example",))) == [0]) is goes, pattern
    assert chosen(plan([seen], {"wipe": True, "max_age": None}, private=("git.corp.example",))) == []


def test_keep_wins_over_named_and_over_budgets() -> None:
    """F38: also where a wider pattern takes everything around it."""
    labels = ["example.com/deep/down/a@v1.0.0", "example.com/deep/b@v1.0.0"]
    rows = [Row(9999, tier=1, group=n) for n in range(2)]
    rule = {
        "kind": "go-mod",
        "modules": ["example.com/...", labels[0]],
        "max_size": 0,
        "keep": ["example.com/deep/down"],
    }
    got = plan([survey(rows, "go-mod", labels=labels)], {"caches": [rule]})
    assert chosen(got) == [1]
    assert counts(got.caches[0].protected) == {"keep": 1}


def test_a_rule_for_some_modules_does_not_touch_the_others() -> None:
    labels = ["example.com/a@v1.0.0", "example.org/b@v1.0.0"]
    rows = [Row(24 * 20, tier=1, group=n) for n in range(2)]
    rules = [{"kind": "go-mod", "max_age": "60d"}, {"kind": "go-mod", "match": ["example.org/*"], "max_age": "5d"}]
    assert chosen(plan([survey(rows, "go-mod", labels=labels)], {"caches": rules})) == [1]


def test_a_kind_without_a_rule_is_left_alone() -> None:
    seen = survey([Row(9999)])
    assert (
        chosen(plan([seen], {"caches": [{"kind": "go-mod", "wipe": True}], "until": {"free_space_above": "99%"}})) == []
    )


# --- budgets


def _plain_rows(youngest: int) -> Any:
    """Actions and outputs that nothing ties together."""
    row = st.tuples(st.integers(youngest, 2000), _SIZES, st.sampled_from([ACTION, OUTPUT]))
    return st.lists(row.map(lambda items: Row(*items)), max_size=14)


def _budget(rows: List[Row], over: int, hours: int) -> List[int]:
    """The oracle: least recently used first, an output as if an hour younger, until enough is found."""
    order = sorted(range(len(rows)), key=lambda n: (-rows[n].age + (rows[n].phase == OUTPUT), rows[n].phase, n))
    found: List[int] = []
    for row in order:
        if over <= 0:
            break
        if rows[row].age - (rows[row].phase == OUTPUT) >= hours:
            found.append(row)
            over -= rows[row].freed
    return sorted(found)


@given(_plain_rows(0), st.integers(0, 4))
def test_a_size_budget_takes_the_smallest_oldest_part_and_no_more(rows: List[Row], quarter: int) -> None:
    """F26: no more than one entry beyond the budget."""
    total = sum(row.freed for row in rows)
    limit = total * quarter // 4
    got = plan([survey(rows)], {"max_size": limit})
    assert chosen(got) == _budget(rows, total - limit, 25)
    last = chosen(got)
    if last:
        youngest = min(last, key=lambda n: (rows[n].age - (rows[n].phase == OUTPUT), -rows[n].phase, -n))
        assert total - (got.bytes - rows[youngest].freed) > limit


@given(_plain_rows(30), st.integers(50, 60))
def test_a_stop_mark_stops(rows: List[Row], percent: int) -> None:
    got = plan([survey(rows)], {"max_age": "36500d", "until": {"free_space_above": "%d%%" % percent}})
    wanted = DISK.total * percent // 100 - DISK.free
    assert chosen(got) == _budget(rows, wanted, 25)


@given(st.lists(st.integers(30, 2000), max_size=12), st.integers(0, 12))
def test_a_stop_mark_for_inodes_counts_inodes(ages: List[int], wanted: int) -> None:
    rows = [Row(age) for age in ages]
    got = plan([survey(rows)], {"max_age": "36500d", "until": {"free_inodes_above": DISK.inodes_free + wanted}})
    assert len(chosen(got)) == min(wanted, len(rows))
    assert chosen(got) == sorted(sorted(range(len(rows)), key=lambda n: -ages[n])[:wanted])


def test_a_budget_that_the_floor_forbids_is_told_not_forced() -> None:
    got = plan([survey([Row(2, 10**6), Row(24 * 9, 10**6)])], {"max_size": 0})
    assert chosen(got) == [1]
    assert got.notes == (
        "max_size of all go-build caches not reached by 976.6 KiB: what is left is protected, kept, or pending",
    )


def test_a_stop_mark_that_cannot_be_reached_names_the_file_system_and_what_is_missing() -> None:
    wanted = {"free_space_above": DISK.free + 10**6, "free_inodes_above": DISK.inodes_free + 7}
    got = plan([survey([Row(24 * 9, 10**5), Row(2, 10**6)], path="/a")], {"max_age": "36500d", "until": wanted})
    assert chosen(got) == [0]
    assert got.notes == (
        "stop mark not reached by 878.9 KiB: what is left on the file system of /a is protected, kept, or pending",
        "stop mark not reached by 6 inodes: what is left on the file system of /a is protected, kept, or pending",
    )


def test_one_budget_holds_for_all_caches_of_a_kind_together() -> None:
    one = survey([Row(24 * 9), Row(24 * 3)], path="/a")
    two = survey([Row(24 * 8), Row(24 * 2)], path="/b")
    got = plan([one, two], {"caches": [{"kind": "go-build", "max_size": 8192}]})
    assert (chosen(got, 0), chosen(got, 1)) == ([0], [0])
    each = plan([one, two], {"caches": [{"kind": "go-build", "max_size_each": 8192}]})
    assert each.entries == 0


def test_what_age_takes_counts_for_the_budget() -> None:
    rows = [Row(24 * 20), Row(24 * 9), Row(24 * 8)]
    got = plan([survey(rows)], {"max_age": "10d", "max_size": 8192})
    assert chosen(got) == [0]


def test_hard_linked_entries_never_make_a_budget_look_met() -> None:
    """F30: unlinking one of two names gives nothing back."""
    rows = [Row(24 * 20, 0), Row(24 * 9, 4096), Row(24 * 8, 4096)]
    assert chosen(plan([survey(rows)], {"max_size": 4096})) == [0, 1]


def test_cheapest_first_takes_all_trees_before_any_zip() -> None:
    labels = ["example.com/a@v1.0.0", "example.com/b@v1.0.0"]
    rows = [Row(24 * 90, tier=2, group=0), Row(24 * 10, tier=1, group=1)]
    seen = survey(rows, "go-mod", labels=labels)
    assert chosen(plan([seen], {"max_size": 4096, "evict_first": "cheapest"})) == [1]
    assert chosen(plan([seen], {"max_size": 4096, "evict_first": "oldest"})) == [0]


# --- start marks and disks

_UNKNOWN = planner.Disk(10**9, 0, 10**6, 0, False)  # whatever the numbers say


@pytest.mark.parametrize("disk", [_UNKNOWN, None, planner.Disk(0, 0, 0, 0, True), planner.Disk(0, 0, 0, 0, False)])
def test_a_disk_of_unknown_size_starts_nothing(disk: Optional[planner.Disk]) -> None:
    """F09: a failed measurement is no reason to delete."""
    disks = {} if disk is None else {1: disk}
    document = dict(policies.DEFAULT)
    got = plan([survey([Row(9999)])], document, disks=disks)
    assert got.entries == 0
    assert not got.acts
    only = plan([survey([Row(24 * 9)])], {"max_age": "60d", "until": {"free_space_above": "99%"}}, disks=disks)
    assert only.entries == 0


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_the_default_acts_exactly_below_its_start_marks(free: int, inodes: int) -> None:
    disk = planner.Disk(10**9, free, 10**6, inodes, True)
    got = plan([survey([Row(24 * 400)])], dict(policies.DEFAULT), disks={1: disk})
    below = free < 150_000_000 or inodes < 100_000
    assert got.acts is below
    assert chosen(got) == ([0] if below else [])
    assert (planner.acts_on(policies.parse(policies.DEFAULT, KINDS, APART), {1: disk}) == [1]) is below


def test_a_file_system_without_inode_numbers_is_judged_by_its_bytes() -> None:
    disk = planner.Disk(10**9, 10**8, 0, 0, True)
    assert plan([survey([Row(9999)])], dict(policies.DEFAULT), disks={1: disk}).entries == 1


def test_each_file_system_is_judged_by_itself() -> None:
    full = planner.Disk(10**9, 0, 10**6, 10**6, True)
    surveys = [survey([Row(9999)], path="/a", device=1), survey([Row(9999)], path="/b", device=2)]
    got = plan(surveys, dict(policies.DEFAULT), disks={1: full, 2: DISK})
    assert (chosen(got, 0), chosen(got, 1)) == ([0], [])


# --- digests


@given(build_rows(), _LIMITS)
def test_the_same_input_gives_the_same_digest(rows: List[Row], limits: Dict[str, Any]) -> None:
    one, two = plan([survey(rows)], limits), plan([survey(rows)], limits)
    assert one.digest == two.digest
    lines = list(planner.document(one))
    assert [json.loads(line) for line in lines]
    assert len(lines) == 2 + one.entries
    # Where the choice is the same a moment later, so is the digest: there is no wall-clock time in it.
    later = plan([survey(rows)], limits, now=NOW + SECOND)
    if chosen(later) == chosen(one) and list(later.caches[0].reasons) == list(one.caches[0].reasons):
        assert later.digest == one.digest


def test_another_choice_or_policy_has_another_digest() -> None:
    rows = [Row(24 * 20), Row(24 * 30)]
    base = plan([survey(rows)], {"max_age": "10d"})
    assert base.digest != plan([survey(rows[:1])], {"max_age": "10d"}).digest
    assert base.digest != plan([survey(rows)], {"max_age": "9d"}).digest
    assert base.digest != plan([survey(rows, path="/other")], {"max_age": "10d"}).digest
    touched = survey(rows)
    touched.entries.mtime[0] += 1
    assert base.digest != plan([touched], {"max_age": "10d"}).digest


def test_names_that_are_no_text_survive_document_and_digest() -> None:
    seen = survey([Row(24 * 20)])
    entries = Entries()
    entries.add(b"odd\xff\nname", 0, 0, seen.entries.used[0], 1, 1, 4096, 1)
    got = plan([seen._replace(entries=entries)], {"wipe": True})
    assert json.loads(list(planner.document(got))[2])["path"] == "odd\udcff\nname"
    json.dumps(planner.entry(got.caches[0], 0)).encode("ascii")
    planner.entry(got.caches[0], 0)["path"].encode("utf-8")


@given(build_rows())
def test_a_wipe_of_an_idle_agent_takes_everything_that_is_not_held(rows: List[Row]) -> None:
    past = [row._replace(age=abs(row.age) + 0.1) for row in rows]
    got = plan([survey(past)], {"wipe": True, "floor": 0, "idle": "asserted"}, idle=True)
    held = {n for n, row in enumerate(past) if row.hold}
    for _number in past:
        held |= {n for n, row in enumerate(past) if row.guard in held}
    assert chosen(got) == [n for n in range(len(past)) if n not in held]


@given(build_rows(), _LIMITS)
def test_every_entry_is_evicted_protected_or_not_asked_for(rows: List[Row], limits: Dict[str, Any]) -> None:
    got = plan([survey(rows)], limits).caches[0]
    told = len(got.rows) + sum(counts(got.protected).values()) + sum(counts(got.pending).values())
    assert told <= len(rows)
    assert got.bytes == sum(rows[row].freed for row in got.rows)
    if limits.get("wipe"):
        assert told == len(rows)
