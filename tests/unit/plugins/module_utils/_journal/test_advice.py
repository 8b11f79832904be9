# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._journal import advice, ghosts

NOW = 1_800_000_000
DAY = 86400
MIB = 1 << 20
GIB = 1 << 30


def picture(days: dict[int, int] | None = None, allocated: int = 0, complete: bool = True) -> dict[str, Any]:
    counts = [(days or {}).get(day, 0) for day in range(ghosts.DAYS)]
    found = {"entries": sum(counts), "allocated": allocated, "newest": 0, "oldest": 0}
    return dict(found, complete=complete, days=counts)


def row(**changes: Any) -> dict[str, Any]:
    back = dict.fromkeys(("entries", "bytes", "day_entries", "day_bytes", "restored_entries", "restored_bytes"), 0)
    back.update(changes.pop("back", {}))
    found = {
        "run": 1,
        "at": NOW,
        "what": "purge",
        "policy": "p",
        "kind": "go-build",
        "path": "/c",
        "device": 1,
        "inode": 2,
        "uid": 0,
        "cap": 10 * GIB,
        "evicted": 10_000,
        "freed": GIB,
        "before": picture(),
        "after": picture(allocated=9 * GIB),
        "ghosts": 10_000,
        "ghost_bytes": GIB,
        "by_age": [0] * (ghosts.UNKNOWN + 1),
    }
    return dict(
        found, back=dict({"day_age": -1, "seconds": {}, "undated_entries": 0, "undated_bytes": 0}, **back), **changes
    )


def codes(*rows: dict[str, Any]) -> list[str]:
    return [item["code"] for item in advice.advise(rows, {"go-build": 5})]


def regretted(entries: int, size: int, **changes: Any) -> dict[str, Any]:
    by_age = [100 * MIB] * (ghosts.UNKNOWN + 1)
    back = {"entries": entries, "bytes": size, "day_entries": entries, "day_bytes": size, "day_age": 15}
    return row(back=dict(back, seconds={"24": entries}), by_age=by_age, **changes)


def test_nothing_is_told_without_rows_or_reasons() -> None:
    assert codes() == codes(row()) == codes(*[row()] * 9) == []


def test_a_budget_below_the_working_set_is_named_with_the_budget_that_would_do() -> None:
    (told,) = advice.advise([row(), regretted(2000, 200 * MIB)], {})
    assert told["code"] == "budget-below-working-set"
    assert told["severity"] == "warning"
    # All that had been used as lately as the stalest of what came back: sixteen classes of 100 MiB.
    assert told["value"]["needed"] == 9 * GIB + 1600 * MIB
    assert told["value"]["budget"] == 10 * GIB
    assert (told["value"]["kind"], told["value"]["path"]) == ("go-build", "/c")
    assert "the budget of 10.0 GiB is below the working set: raise it to at least 10.6 GiB" in told["text"]


@pytest.mark.parametrize(
    ("entries", "size", "told"),
    [(1001, 0, True), (1000, 0, False), (0, 103 * MIB, True), (0, 102 * MIB, False), (999, 63 * MIB, False)],
)
def test_regret_counts_above_a_tenth_of_what_was_evicted(entries: int, size: int, told: bool) -> None:
    assert bool(codes(regretted(entries, size))) is told


def test_small_regret_is_no_reason_however_large_its_share() -> None:
    small = {"ghosts": 1500, "ghost_bytes": 65 * MIB}
    assert codes(regretted(999, 63 * MIB, **small)) == []
    assert codes(regretted(999, 64 * MIB, **small)) == ["budget-below-working-set"]
    assert codes(regretted(1000, 0, **small)) == ["budget-below-working-set"]


def test_what_another_policy_or_budget_did_is_no_reason() -> None:
    assert codes(row(policy="new"), regretted(5000, GIB)) == []
    assert codes(row(cap=20 * GIB), regretted(5000, GIB)) == []


def test_regret_without_a_budget_or_within_it_names_the_other_rules() -> None:
    (told,) = advice.advise([regretted(5000, GIB, cap=None)], {})
    assert "raise its ages" in told["text"]
    assert told["value"]["budget"] is None
    (told,) = advice.advise([regretted(5000, 500 * MIB, after=picture(allocated=GIB))], {})
    assert "another rule evicted it" in told["text"]


def test_a_cache_that_starts_each_run_full_is_pinned() -> None:
    full = row(before=picture(allocated=int(9.6 * GIB)))
    assert codes(*[full] * 4) == []
    assert codes(*[full] * 5) == ["pinned-at-cap"]
    assert codes(*[full] * 4, row(before=picture(allocated=int(9.4 * GIB)))) == []
    assert codes(*[full] * 4, dict(full, evicted=0)) == []
    assert codes(*[dict(full, cap=None)] * 5) == []
    (told,) = advice.advise([full] * 5, {})
    assert told["severity"] == "info"
    (told,) = advice.advise([full] * 4 + [dict(full, back=dict(full["back"], entries=3))], {})
    assert told["severity"] == "warning"
    assert told["value"]["regret_entries"] == 3


def now_and_then(before: dict[int, int], after: dict[int, int], hours: float, **changes: Any) -> list[dict[str, Any]]:
    late = NOW + int(hours * 3600)
    return [row(at=late, before=picture(before), **changes), row(at=NOW, after=picture(after), ghosts=0)]


def test_another_cleaner_is_seen_by_what_no_use_and_no_trim_explain() -> None:
    (told,) = advice.advise(now_and_then({0: 100, 3: 100}, {0: 500, 2: 500}, 24), {"go-build": 5})
    assert told["code"] == "another-cleaner"
    assert told["value"]["missing"] == 800
    assert "at least 800 of 1000" in told["text"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({0: 1000}, {3: 1000}),  # all used again
        ({0: 10}, {4: 1000}),  # five days old meanwhile: cmd/go's own trim
        ({1: 1000}, {0: 1000}),  # a day older
        ({0: 400, 1: 550}, {0: 1000}),  # fifty are few
        ({0: 10}, {0: 105}),  # ninety-five as well
        ({0: 2880}, {0: 3000}),  # a hundred and twenty are few among three thousand
    ],
)
def test_use_and_the_tools_own_trim_are_no_other_cleaner(before: dict[int, int], after: dict[int, int]) -> None:
    assert codes(*now_and_then(before, after, 24)) == []


def test_a_kind_without_a_trim_of_its_own_counts_every_age() -> None:
    rows = now_and_then({0: 10}, {4: 500, 30: 500}, 24, kind="go-mod")
    rows[1]["kind"] = "go-mod"
    (told,) = advice.advise(rows, {"go-build": 5})
    assert told["value"]["missing"] == 990


def test_a_clock_set_back_or_half_a_survey_is_no_evidence() -> None:
    assert codes(*now_and_then({}, {0: 1000}, 24)) == ["another-cleaner"]
    assert codes(*now_and_then({}, {0: 1000}, -1)) == []
    for at, part in ((0, "before"), (1, "after")):
        rows = now_and_then({}, {0: 1000}, 24)
        rows[at][part]["complete"] = False
        assert codes(*rows) == []


def test_a_folder_that_was_made_anew_is_told() -> None:
    (told,) = advice.advise(now_and_then({}, {0: 1000}, 1, inode=3), {"go-build": 5})
    assert told["value"]["made_anew"] is True
    assert "made anew" in told["text"]


def test_a_cache_that_comes_back_as_an_archive_is_told() -> None:
    (told,) = advice.advise([row(back={"restored_entries": 1001})], {})
    assert told["code"] == "restored-by-ci"
    assert "only until the next job" in told["text"]
    assert codes(row(back={"restored_entries": 1000})) == []
    assert codes(row(back={"restored_entries": 99}, ghosts=100)) == []
    assert codes(row(back={"restored_bytes": 200 * MIB})) == ["restored-by-ci"]


def test_each_cache_is_judged_alone() -> None:
    told = advice.advise([regretted(2000, GIB), row(path="/d"), regretted(2000, GIB, path="/50%s")], {})
    assert [item["value"]["path"] for item in told] == ["/c", "/50%s"]
    assert told[1]["text"].startswith("/50%s: builds needed 2000 of 10000")
