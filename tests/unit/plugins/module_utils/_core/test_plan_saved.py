# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A saved plan is untrusted input: what it names goes only if it is still there, unchanged, and not protected."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence

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
TIERS = (Tier("tree", "re-extract", 10), Tier("zip", "download", 40, True))
POLICY = {"caches": [{"kind": "go-mod", "max_age": "10d"}]}


def survey(ages: Sequence[float], labels: Sequence[str] = (), pairs: bool = False, path: str = "/m") -> Survey:
    entries = Entries()
    for number, hours in enumerate(ages):
        used = NOW - int(hours * HOUR)
        row = entries.add(b"k%d" % number, number % 2 if pairs else 0, 0, used, used, number + 1, 4096, 4096)
        if labels:
            entries.group[row] = number // 2 if pairs else number
        if pairs and number % 2:
            entries.waits[row] = row - 1
    ranks = [0] * len(labels)
    totals = {"allocated": 4096 * len(ages), "entries": len(ages)}
    ref = CacheRef("go-mod", path, path, 7, 7, 1, 2)
    return Survey(
        ref, TIERS, ("", "held"), list(labels), entries, 0, "e", (0,), NOW, totals, {}, [], [], None, tuple(ranks)
    )


def context(**more: Any) -> planner.Context:
    return planner.Context(NOW, {1: planner.Disk(100, 50, 100, 50, True)}, (), {}, **more)


def make(seen: Survey, document: Optional[Dict[str, Any]] = None, **more: Any) -> planner.Plan:
    return planner.make([seen], policies.parse(document or POLICY, KINDS, APART), context(**more))


def lines(plan: planner.Plan) -> List[bytes]:
    return [line.encode("utf-8", "surrogateescape") + b"\n" for line in planner.document(plan)]


def again(plan: planner.Plan, seen: Sequence[Survey], text: Sequence[bytes], **more: Any) -> planner.Plan:
    return planner.from_saved(seen, plan.policy, context(**more), text, plan.digest)


@given(st.lists(st.integers(0, 24 * 30), max_size=30))
def test_a_saved_plan_of_an_unchanged_tree_is_applied_whole(ages: List[int]) -> None:
    seen = survey(ages)
    plan = make(seen)
    got = again(plan, [seen], lines(plan))
    assert list(got.caches[0].rows) == list(plan.caches[0].rows)
    assert (got.digest, got.caches[0].lost) == (plan.digest, {})


def test_its_policy_can_be_read_back() -> None:
    plan = make(survey([500]))
    assert policies.parse(planner.saved_policy(lines(plan)[0]), KINDS, APART) == plan.policy


def test_what_was_used_replaced_or_removed_since_stays_and_is_counted() -> None:
    before = survey([500, 501, 502, 503])
    plan = make(before)
    after = survey([500, 1, 502])
    after.entries.inode[2] = 99
    got = again(plan, [after], lines(plan))
    assert list(got.caches[0].rows) == [0]
    assert {reason: cell[0] for reason, cell in got.caches[0].lost.items()} == {"used since": 1, "gone": 2}
    assert [item["path"] for item in got.caches[0].missing] == ["k3", "k2", "k1"]


def test_what_is_protected_now_stays_whatever_the_plan_says() -> None:
    seen = survey([500, 501], ["a.b/c@v1", "a.b/d@v1"])
    plan = make(seen)
    assert len(plan.caches[0].rows) == 2
    seen.entries.hold[1] = 1
    secret = planner.Context(NOW, {}, ("a.b/c",), {})
    got = planner.from_saved([seen], plan.policy, secret, lines(plan), plan.digest)
    assert list(got.caches[0].rows) == []
    assert set(got.caches[0].lost) == {"held", "private"}


def test_a_forged_entry_within_the_floor_stays() -> None:
    seen = survey([2, 500])
    plan = make(seen)
    forged = plan._replace(caches=(plan.caches[0]._replace(rows=[0], reasons=[1]),))  # type: ignore[list-item]
    digest = planner.digest(forged)
    got = planner.from_saved([seen], plan.policy, context(), lines(forged), digest)
    assert list(got.caches[0].rows) == []
    assert set(got.caches[0].lost) == {"floor"}


def test_another_digest_is_refused() -> None:
    seen = survey([500])
    plan = make(seen)
    text = lines(plan)
    with pytest.raises(planner.BadPlan, match="digest"):
        planner.from_saved([seen], plan.policy, context(), [*text[:-1], text[-1].replace(b"k0", b"k1")], plan.digest)


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b"{}\n", b'{"cache":"/m"}\n', b"[]\n"])), max_size=5)
)
def test_no_text_is_taken_for_a_plan_that_is_none(text: List[bytes]) -> None:
    with pytest.raises(planner.BadPlan):
        planner.from_saved([survey([500])], policies.parse(POLICY, KINDS, APART), context(), text, "0" * 64)


@pytest.mark.parametrize(
    "line", ['{"inode":1e999}', "[" * 100_000, '{"path":"\\ud800"}', '{"inode":NaN}', '{"reason":[]}', '{"bytes":"x"}']
)
def test_a_line_that_no_planner_wrote_is_told_as_such(line: str) -> None:
    plan = make(survey([500]))
    text = lines(plan)
    if line.startswith("{"):
        line = json.dumps(dict(json.loads(text[-1]), **json.loads(line)))
    with pytest.raises(planner.BadPlan, match="line 3"):
        again(plan, [survey([500])], [*text[:-1], line.encode() + b"\n"])


def test_a_cache_that_is_no_longer_here_is_said() -> None:
    plan = make(survey([500]))
    got = again(plan, [survey([500], path="/other")], lines(plan))
    assert got.entries == 0
    assert "/m" in got.notes[0]


# roots, newest versions, use at this moment, file servers, one cap

LABELS = ["a.b/c@v1", "a.b/c@v2", "x.y/z@v1"]


def needing(*labels: str, complete: bool = True) -> Dict[str, planner.Needed]:
    return {"/srv": planner.Needed(frozenset(labels), (), complete)}


ROOTS: Dict[str, Any] = {"caches": [{"kind": "go-mod", "max_age": "1d", "keep_needed_by": ["/srv"]}]}


def kept(plan: planner.Plan) -> Dict[str, int]:
    return {reason: cell[0] for reason, cell in plan.caches[0].protected.items()}


def test_only_what_no_root_needs_goes() -> None:
    plan = make(survey([500, 500, 500], LABELS), ROOTS, needed=needing("a.b/c@v2"))
    assert sorted(plan.caches[0].rows) == [0, 2]
    assert kept(plan) == {"needed": 1}


@pytest.mark.parametrize("needed", [{}, needing(complete=False), needing("a.b/c@v1", complete=False)])
def test_roots_that_were_not_read_whole_keep_everything_that_they_might_name(needed: Any) -> None:
    plan = make(survey([500, 500, 500], LABELS), ROOTS, needed=needed)
    assert kept(plan) == {"roots not readable": 3}


def test_a_module_that_is_named_exactly_goes_although_a_root_needs_it() -> None:
    document = {"caches": [{"kind": "go-mod", "modules": ["a.b/c@v2"], "keep_needed_by": ["/srv"]}]}
    plan = make(survey([500, 500, 500], LABELS), document, needed=needing("a.b/c@v2"))
    assert list(plan.caches[0].rows) == [1]


def test_the_newest_versions_stay() -> None:
    seen = survey([500, 500, 500], LABELS)._replace(ranks=(1, 0, 0))
    document = {"caches": [{"kind": "go-mod", "max_age": "1d", "keep_newest": 1}]}
    assert list(make(seen, document).caches[0].rows) == [0]
    unknown = seen._replace(ranks=())
    assert list(make(unknown, document).caches[0].rows) == []


def test_what_was_unneeded_for_long_goes_even_if_it_was_used_lately() -> None:
    document = {"caches": [{"kind": "go-mod", "unneeded_for": "10d", "keep_needed_by": ["/srv"]}]}
    day = 86400
    since = {"/m": {LABELS[0]: NOW // SECOND - 11 * day, LABELS[1]: NOW // SECOND - 9 * day}}
    plan = make(survey([30, 30, 30], LABELS), document, needed=needing(), unneeded=since)
    assert list(plan.caches[0].rows) == [0]
    assert planner.entry(plan.caches[0], 0)["reason"] == "unneeded"


def test_while_the_cache_is_in_use_zips_go_first_and_their_trees_wait() -> None:
    seen = survey([500, 500, 500, 500], ["a@v1", "b@v1"], pairs=True)
    cap = {"caches": [{"kind": "go-mod", "max_size": 0}]}
    idle, busy = make(seen, cap), make(seen, cap, busy=frozenset({"/m"}))
    assert [sorted(plan.caches[0].rows) for plan in (idle, busy)] == [[0, 2], [1, 3]]
    assert all(plan.caches[0].pending == {"max_size": [2, 8192]} for plan in (idle, busy))
    got = again(busy, [seen], lines(busy))  # nobody works with it any more: what was approved goes, and no more
    assert (sorted(got.caches[0].rows), got.caches[0].lost) == ([1, 3], {})


def test_what_is_old_goes_in_one_order_whoever_works_with_the_cache() -> None:
    """A Go tool that starts between the dry run and the run must not make another plan."""
    seen = survey([500, 500, 500, 500], ["a@v1", "b@v1"], pairs=True)
    idle, busy = make(seen), make(seen, busy=frozenset({"/m"}))
    assert idle.digest == busy.digest
    assert sorted(busy.caches[0].rows) == [0, 2]


def test_a_forged_plan_never_takes_both_halves_of_a_version() -> None:
    seen = survey([500, 500], ["a@v1"], pairs=True)
    plan = make(seen)
    forged = plan._replace(caches=(plan.caches[0]._replace(rows=[0, 1], reasons=[1, 1]),))  # type: ignore[list-item]
    got = planner.from_saved([seen], plan.policy, context(), lines(forged), planner.digest(forged))
    assert (list(got.caches[0].rows), got.caches[0].lost) == ([0], {"pending": [1, 4096]})


def test_while_the_cache_is_in_use_no_tree_waits_for_a_zip_that_may_never_go() -> None:
    """Where nobody knows what is private, zips stay: a tree that waited for one would be pending for ever."""
    seen = survey([500, 500, 500, 500], ["a@v1", "b@v1"], pairs=True)
    context_ = context(busy=frozenset({"/m"}))._replace(private=None)
    plan = planner.make([seen], policies.parse(POLICY, KINDS, APART), context_)
    assert sorted(plan.caches[0].rows) == [0, 2]
    assert (plan.caches[0].pending, kept(plan)) == ({}, {"private unknown": 2})


def test_the_floor_of_a_file_servers_cache_counts_from_the_servers_newest_stamp() -> None:
    """The server's clock is a month behind ours: what was used there a moment ago must not look a month old."""
    seen = survey([720, 721, 820], LABELS)._replace(last_build=NOW - 720 * HOUR)
    document = {"wipe": True, "floor": "24h"}
    assert sorted(make(seen, document).caches[0].rows) == [0, 1, 2]
    assert sorted(make(seen, document, remote=frozenset({"/m"})).caches[0].rows) == [2]


def test_one_cap_holds_for_all_caches_together() -> None:
    seen = [survey([500, 100]), survey([400, 300], path="/n")]
    policy = policies.parse({"max_size_all": 8192}, KINDS, APART)
    plan = planner.make(seen, policy, context())
    assert [sorted(cache.rows) for cache in plan.caches] == [[0], [0]]
