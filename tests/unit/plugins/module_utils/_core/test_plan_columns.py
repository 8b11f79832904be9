# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole columns at once say the same as row by row."""

from __future__ import annotations

import json
from array import array
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core import columns, patterns
from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import (
    SECOND,
    CacheRef,
    Entries,
    Survey,
    Tier,
)

NOW = 1_800_000_000 * SECOND
HOUR = 3600 * SECOND
TIERS = (Tier("action", "rebuild", 20), Tier('out"put', "rebuild", 20), Tier("aside", "nothing", 0, expires=True))


class Row(NamedTuple):
    used: int
    phase: int = 0
    hold: int = 0
    tier: int = 0
    freed: int = 4096
    waits: int = -1


_TIMES = st.one_of(
    st.integers(-48 * HOUR, 2000 * HOUR).map(lambda age: NOW - age),
    st.sampled_from([0, -1, 1, NOW, NOW - HOUR, NOW - 24 * HOUR, NOW - 25 * HOUR, NOW + 300 * SECOND, 2**63 - 1]),
)
_ROWS = st.lists(
    st.builds(
        Row,
        _TIMES,
        st.integers(0, 2),
        st.sampled_from([0, 0, 0, 1, 2]),
        st.sampled_from([0, 1, 1, 2]),
        st.sampled_from([0, 4096]),
    ),
    max_size=20,
)
_POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "wipe": st.just(True),
        "max_age": st.sampled_from(["2h", "1d", "30d"]),
        "evict_before": st.sampled_from(["2026-12-31", "2027-01-10"]),
    },
)


def survey(rows: Sequence[Row], grouped: bool) -> Survey:
    entries = Entries()
    for number, row in enumerate(rows):
        key, last = b"%04d" % (number // 2), row.used
        at = entries.add(key, row.tier, row.phase, last, last, number, row.freed, 1, group=0 if grouped else -1)
        entries.hold[at], entries.waits[at] = row.hold, row.waits
    return Survey(
        CacheRef("go-build", "/c", "/c", 1000, 1000, 1, 7), TIERS, ("", "other owner", "floor"),
        ["any"] if grouped else [], entries, HOUR, "mtime", (0, 0, HOUR), NOW,
        {"allocated": sum(row.freed for row in rows), "entries": len(rows)}, {}, [], [], None,
    )  # fmt: skip


def facts(rows: Sequence[Row], document: Dict[str, Any], grouped: bool) -> Tuple[Any, ...]:
    context = planner.Context(NOW, {1: planner.Disk(10**9, 10**8, 0, 0, True)}, (), {"/c": document["floor"] == "0s"})
    got = planner.make([survey(rows, grouped)], policies.parse(document, ("go-build",)), context).caches[0]
    return list(got.rows), list(got.reasons), got.protected, got.pending, got.bytes


@given(_ROWS, _POLICIES, st.sampled_from(["0s", "1h", "1d"]))
def test_entries_without_a_name_are_judged_as_those_with_one_that_no_pattern_knows(
    rows: List[Row], limits: Dict[str, Any], floor: str
) -> None:
    # What has a name is looked at row by row.
    rows = [row._replace(waits=(at * 7) % len(rows) if at % 5 == 4 else -1) for at, row in enumerate(rows)]
    document = {"floor": floor, "caches": [{"kind": "go-build", **limits}]}
    if "wipe" in limits:
        document["caches"] = [{"kind": "go-build", "wipe": True}]
    if floor == "0s":
        document["idle"] = "asserted"
    alone, named = facts(rows, document, False), facts(rows, document, True)
    assert alone == named


_LABELS = ("a.example/one@v1.0.0", "a.example/two@v1.2.0", "b.example/three@v0.1.0")
_LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_age": st.sampled_from(["2h", "1d", "30d"]),
        "evict_before": st.sampled_from(["2026-12-31", "2027-01-10"]),
        "modules": st.sampled_from([["a.example/*"], ["b.example/three"], ["nothing.example/*"]]),
    },
)


def reason(row: Row, group: int, rules: Sequence[Any], unneeded: Dict[str, int]) -> str:
    """Why a row goes, told one row at a time."""
    if TIERS[row.tier].expires:
        return "expired"
    label = _LABELS[group] if group >= 0 else ""
    plain = next((rule for rule in rules if not rule.match), None)
    rule = next((r for r in rules if r.match and label and patterns.any_selects(r.match, label)), plain)
    if rule is None:
        return ""
    if rule.wipe:
        return "wipe"
    if label and patterns.any_selects(rule.modules, label):
        return "named"
    if rule.max_age is not None and row.used < NOW - rule.max_age * SECOND:
        return "max_age"
    if rule.evict_before is not None and row.used < rule.evict_before * SECOND:
        return "evict_before"
    if rule.unneeded_for is not None and label in unneeded and unneeded[label] < NOW // SECOND - rule.unneeded_for:
        return "unneeded"
    return ""


@given(
    st.lists(st.tuples(st.integers(1, 900), st.sampled_from([0, 1, 2]), st.integers(-1, 2)), max_size=20),
    _LIMITS,
    st.one_of(st.none(), _LIMITS, st.just({"wipe": True})),
    st.booleans(),
)
def test_each_row_goes_by_the_first_limit_of_its_own_rule(
    cells: List[Tuple[int, int, int]], limits: Dict[str, Any], other: Optional[Dict[str, Any]], roots: bool
) -> None:
    mine = dict(limits, keep_needed_by=["/r"], unneeded_for="1d") if roots else limits
    caches = [{"kind": "go-mod", **mine}] if mine else []
    if other:
        caches.append({"kind": "go-mod", "match": ["a.example/two"], **other})
    if not caches:
        return
    policy = policies.parse({"floor": "0s", "idle": "asserted", "private": [], "caches": caches}, ("go-mod",))
    unneeded = {_LABELS[2]: NOW // SECOND - 3 * 86400, _LABELS[1]: NOW // SECOND - 60}
    rows = [Row(NOW - hours * HOUR, 0, 0, tier) for hours, tier, _group in cells]
    entries = Entries()
    for number, (row, (_hours, _tier, group)) in enumerate(zip(rows, cells)):
        entries.add(b"%04d" % number, row.tier, 0, row.used, row.used, number, row.freed, 1, group=group)
    seen = survey([], True)
    seen = seen._replace(
        cache=seen.cache._replace(kind="go-mod"), labels=list(_LABELS), entries=entries, margins=(0,), ranks=[0, 0, 0]
    )
    needed = {"/r": planner.Needed(frozenset(), (), True)}
    context = planner.Context(NOW, {}, (), {"/c": True}, needed=needed, unneeded={"/c": unneeded})
    got = planner.make([seen], policy, context).caches[0]
    told = {row: planner.REASONS[number] for row, number in zip(got.rows, got.reasons)}
    wanted = {at: reason(row, cells[at][2], policy.rules, unneeded) for at, row in enumerate(rows)}
    assert told == {at: text for at, text in wanted.items() if text}


@given(st.lists(st.integers(-50, 50), max_size=200), st.integers(1, 40))
def test_slices_hold_each_row_once_and_never_part_what_is_equal(values: List[int], size: int) -> None:
    rows = array("i", (at for at in range(len(values)) if at % 3))
    whole, columns._SLICE = columns._SLICE, size
    try:
        found = [list(some) for some in columns.slices(array("q", values), rows)]
    finally:
        columns._SLICE = whole
    assert [row for some in found for row in sorted(some, key=values.__getitem__)] == sorted(
        rows, key=values.__getitem__
    )


def test_what_waits_for_another_entry_is_no_candidate() -> None:
    seen = survey([Row(NOW - 900 * HOUR), Row(NOW - 800 * HOUR, waits=0), Row(NOW - 700 * HOUR)], False)
    work = planner._Work(seen, planner.Context(NOW, {}, (), {}))
    assert list(work.candidates(False)) == [0, 2]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=60))
def test_values_are_ranked_whatever_the_number_of_slices(values: List[int]) -> None:
    whole, columns._SLICE = columns._SLICE, 4
    try:
        found = columns.ranked(array("Q", values))
    finally:
        columns._SLICE = whole
    assert list(found) == sorted(range(len(values)), key=values.__getitem__)


def test_slices_of_many_rows_are_small() -> None:
    count = 40 * columns._SLICE
    values = array("q", ((at * 7919) % count for at in range(count)))
    sizes = [len(some) for some in columns.slices(values, array("i", range(count)))]
    assert sum(sizes) == count
    assert max(sizes) < 3 * columns._SLICE


def test_the_order_is_phase_then_last_use_then_key() -> None:
    entries = Entries()
    for key, phase, used in ((b"d", 0, 5), (b"a", 2, 1), (b"c", 0, 5), (b"b", 0, 5), (b"e", 0, 4), (b"f", 1, 9)):
        entries.add(key, 0, phase, used, used, 1, 1, 1)
    rows = planner._ordered(entries, bytearray(b"\3\1\2\1\1\1"))
    assert [entries.key(row) for row in rows] == [b"e", b"b", b"c", b"d", b"f", b"a"]
    assert list(planner._ordered(entries, bytearray(6))) == []
    assert list(planner._ordered(Entries(), bytearray())) == []


_DIGEST = "%02x" + "5a" * 31


@given(st.lists(st.tuples(st.integers(0, 255), st.sampled_from(["-a", "-d", "-x", '-"', "\udcff"]), st.booleans())))
def test_each_line_is_what_json_makes_of_the_entry(names: List[Tuple[int, str, bool]]) -> None:
    entries = Entries((b"-a", b"-d"))
    for number, (digest, suffix, touched) in enumerate(names):
        digits = _DIGEST % digest
        key = ("%s/%s%s" % (digits[:2], digits, suffix)).encode("utf-8", "surrogateescape")
        used = NOW - 900 * HOUR + number
        entries.add(key, number % 2, 0, used + touched, used, number, 4096 * number, 1)
    seen = survey([], False)._replace(entries=entries)
    policy = policies.parse({"wipe": True}, ("go-build",))
    got = planner.make([seen], policy, planner.Context(NOW, {}, (), {}))
    assert got.entries == len(names)
    lines = list(planner.document(got))[2:]
    for at, (line, row) in enumerate(zip(lines, got.caches[0].rows)):
        wanted = planner.entry(got.caches[0], at)
        del wanted["evidence"]
        wanted["path"] = entries.key(row).decode("utf-8", "surrogateescape")
        assert line == json.dumps(wanted, sort_keys=True, separators=(",", ":"))
        assert entries.texts([row]) == [wanted["path"]]
    assert len(lines) == len(names)
