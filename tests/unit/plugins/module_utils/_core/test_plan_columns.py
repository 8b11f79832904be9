# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole columns at once say the same as row by row."""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

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
