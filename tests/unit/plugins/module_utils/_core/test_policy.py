# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any, Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core import policy
from ansible_collections.gofleet.cache.plugins.module_utils._core.units import BadPolicy, Share

KINDS = ("go-build", "go-mod", "go-work")
APART = ("go-work",)


def parse(**document: Any) -> policy.Policy:
    return policy.parse(document, KINDS, APART)


def refusal(document: Any) -> BadPolicy:
    with pytest.raises(BadPolicy) as error:
        policy.parse(document, KINDS, APART)
    return error.value


def test_without_any_variable_a_run_acts_on_pressure_only_and_keeps_a_day() -> None:
    got = policy.parse(policy.DEFAULT, KINDS, APART)
    assert got.floor == 86400
    assert got.time_limit == 600
    assert got.when == policy.Marks(Share(None, 15), Share(None, 10))
    assert got.until == policy.Marks(Share(None, 25), Share(None, 15))
    assert [(rule.kind, rule.max_age, rule.wipe) for rule in got.rules] == [
        ("go-build", 10 * 86400, False),
        ("go-mod", 60 * 86400, False),
        ("go-work", 86400, False),
    ]
    assert not got.cheapest_first
    assert got.private is None
    assert got.idle == ""


def test_a_policy_that_names_no_limit_takes_the_defaults_rules() -> None:
    """A run that can do nothing at all must not look like one that found nothing to do."""
    default = parse(**policy.DEFAULT)
    for document in ({}, {"floor": "48h"}, {"time_limit": "1m"}, {"keep": ["example.com"]}):
        got = parse(**document)
        assert (got.rules, got.when, got.until) == (default.rules, default.when, default.until)
    own = parse(until={"free_space_above": "99%"})
    assert (own.rules, own.when) == (default.rules, None)


def test_a_rule_that_only_keeps_does_not_lift_the_limits_at_the_top() -> None:
    got = parse(max_age="30d", caches=[{"kind": "go-mod", "keep": ["git.example.com"]}])
    assert {rule.kind: rule.max_age for rule in got.rules} == {"go-mod": 30 * 86400, "go-build": 30 * 86400}


@pytest.mark.parametrize("limit", ["max_size", "max_size_each", "max_entries"])
def test_a_budget_for_a_part_of_a_cache_is_refused(limit: str) -> None:
    with pytest.raises(BadPolicy, match=limit):
        parse(caches=[{"kind": "go-mod", "match": ["example.com/*"], limit: 1}])


def test_a_url_is_no_pattern() -> None:
    with pytest.raises(BadPolicy, match="https"):
        parse(keep=["https://git.example.com/x"])


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"max_agee": "1d"}, "max_agee"),
        ({"caches": [{"kind": "go-build", "maxage": "1d"}]}, "caches[0].maxage"),
        ({"caches": [{"kind": "go"}]}, "caches[0].kind"),
        ({"caches": [{"max_age": "1d"}]}, "caches[0].kind"),
        ({"caches": [{"kind": ["go-mod"]}]}, "caches[0].kind"),
        ({"caches": {}}, "caches"),
        ({"caches": ["go-mod"]}, "caches[0]"),
        ({"caches": [{"kind": "go-mod", "max_age": "soon"}]}, "caches[0].max_age"),
        ({"caches": [{"kind": "go-mod", "max_entries": -1}]}, "caches[0].max_entries"),
        ({"caches": [{"kind": "go-mod", "max_entries": True}]}, "caches[0].max_entries"),
        ({"caches": [{"kind": "go-mod", "modules": [""]}]}, "caches[0].modules[0]"),
        ({"caches": [{"kind": "go-mod", "modules": ["a@b@c"]}]}, "caches[0].modules[0]"),
        ({"caches": [{"kind": "go-mod", "modules": ["https://example.com/a"]}]}, "caches[0].modules[0]"),
        ({"caches": [{"kind": "go-mod", "modules": ["example.com\\a"]}]}, "caches[0].modules[0]"),
        ({"caches": [{"kind": "go-mod", "modules": ["a, b"]}]}, "caches[0].modules[0]"),
        ({"caches": [{"kind": "go-mod", "keep": ["a["]}]}, "caches[0].keep[0]"),
        ({"caches": [{"kind": "go-mod", "wipe": "yes"}]}, "caches[0].wipe"),
        ({"caches": [{"kind": "go-mod"}, {"kind": "go-mod"}]}, "caches[1].kind"),
        ({"floor": "59m"}, "floor"),
        ({"floor": 0}, "floor"),
        ({"floor": -1, "idle": "scan"}, "floor"),
        ({"idle": "yes"}, "idle"),
        ({"time_limit": 0}, "time_limit"),
        ({"when": {}}, "when"),
        ({"when": {"free_space_below": None}}, "when"),
        ({"when": {"free_space_above": "1%"}}, "when.free_space_above"),
        ({"when": {"free_space_below": "100%"}}, "when.free_space_below"),
        ({"until": {"free_inodes_above": "x"}}, "until.free_inodes_above"),
        ({"evict_first": "newest"}, "evict_first"),
        ({"private": [1]}, "private[0]"),
        ({"keep": 1}, "keep"),
        ([], "policy"),
        ("wipe", "policy"),
        (None, "policy"),
    ],
)
def test_nonsense_is_refused_with_the_path_of_its_key(document: Any, key: str) -> None:
    error = refusal(document)
    assert error.key == key
    assert str(error).startswith(key + ": ")


def test_a_misspelt_key_is_told_its_neighbour() -> None:
    assert "did you mean max_age?" in str(refusal({"max_agee": "1d"}))
    assert "known here: " in str(refusal({"zzz": 1}))


def test_a_stop_mark_lies_above_the_start_mark() -> None:
    for stop in ("10%", "15%"):
        assert refusal({"when": {"free_space_below": "15%"}, "until": {"free_space_above": stop}}).key == (
            "until.free_space_above"
        )
    assert (
        refusal({"when": {"free_inodes_below": 5}, "until": {"free_inodes_above": 4}}).key == "until.free_inodes_above"
    )
    parse(when={"free_space_below": "15%"}, until={"free_space_above": "16%"})
    parse(
        when={"free_space_below": "15%"}, until={"free_space_above": "1GiB"}
    )  # cannot be compared before the disk is known


@pytest.mark.parametrize(
    "more", [{"max_age": 0}, {"max_size": "1G"}, {"modules": ["a"]}, {"evict_before": "2026-01-01"}]
)
def test_a_wipe_takes_no_other_limit_beside_it(more: Dict[str, Any]) -> None:
    assert refusal(dict(more, wipe=True)).key == "wipe"


def test_a_floor_below_one_hour_needs_a_proof_of_idleness() -> None:
    assert "prove that the agent is idle" in str(refusal({"floor": "30m"}))
    assert parse(floor="30m", idle="scan").floor == 1800
    assert parse(floor=0, idle="asserted").floor == 0
    assert parse(floor="1h").floor == 3600


def test_limits_at_the_top_are_for_every_kind_without_a_rule_of_its_own() -> None:
    got = parse(max_age="2d", caches=[{"kind": "go-build", "max_age": "1d"}])
    assert [(rule.kind, rule.max_age) for rule in got.rules] == [("go-build", 86400), ("go-mod", 2 * 86400)]


def test_a_private_list_that_is_empty_is_not_one_that_is_missing() -> None:
    assert parse(private=[]).private == ()
    assert parse().private is None


_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=12))
_WORDS = st.sampled_from(sorted({*policy.KEYS, *policy._RULE, *policy._WHEN, *policy._UNTIL}) + ["x"])
_VALUES = st.one_of(
    _SCALARS,
    st.sampled_from(
        ["1d", "24h", "15%", "20GiB", "go-mod", "go-build", "scan", "oldest", "a.b/c@v1.2.3", "2026-01-01"]
    ),
)
_JSON = st.recursive(
    _VALUES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_WORDS, inner, max_size=4)),
    max_leaves=12,
)


@given(st.one_of(_JSON, st.dictionaries(_WORDS, _JSON, max_size=6)))
def test_any_document_is_a_policy_or_is_refused(document: Any) -> None:
    try:
        got = policy.parse(document, KINDS, APART)
    except BadPolicy:
        return
    assert got.floor >= 3600 or got.idle
    assert got.time_limit >= 1
    json.loads(got.canonical())


_GOOD = st.fixed_dictionaries(
    {},
    optional={
        "floor": st.integers(3600, 10**6),
        "max_age": st.one_of(st.integers(0, 10**6), st.sampled_from(["1d", "2w"])),
        "max_size": st.one_of(st.integers(0, 2**50), st.just("20GiB")),
        "max_entries": st.integers(0, 10**6),
        "evict_before": st.just("2026-01-01"),
        "private": st.lists(st.sampled_from(["a.b/*", "c.d"]), max_size=2),
        "keep": st.lists(st.sampled_from(["a.b/c@v1.0.0", "c.d"]), max_size=2),
        "until": st.fixed_dictionaries({"free_space_above": st.sampled_from(["20%", "1GiB"])}),
        "evict_first": st.sampled_from(["oldest", "cheapest"]),
        "busy": st.sampled_from(["floor", "skip", "wait", "fail"]),
        "quarantine": st.one_of(st.integers(0, 10**6), st.just("1d")),
        "max_size_all": st.integers(0, 2**50),
        "network_agent": st.just("build-1"),
        "keep_newest": st.integers(0, 5),
        "keep_needed_by": st.lists(st.sampled_from(["/srv/ci/", "/home/a"]), min_size=1, max_size=2),
        "when": st.just({"free_space_below": "10%", "free_inodes_below": 7}),
        "idle": st.sampled_from(["", "scan"]),
        "caches": st.just([{"kind": "go-mod", "max_age": "9d", "match": ["x.y"]}, {"kind": "go-build", "max_size": 0}]),
    },
)


@given(_GOOD)
def test_a_policy_survives_json_and_equal_ones_have_one_form(document: Dict[str, Any]) -> None:
    got = policy.parse(document, KINDS, APART)
    again = policy.parse(json.loads(json.dumps(document)), KINDS, APART)
    assert got == again
    assert got.canonical() == again.canonical()


@given(_GOOD, _GOOD)
def test_different_policies_have_different_forms(one: Dict[str, Any], other: Dict[str, Any]) -> None:
    a, b = policy.parse(one, KINDS, APART), policy.parse(other, KINDS, APART)
    assert (a._replace(time_limit=0) == b._replace(time_limit=0)) == (a.canonical() == b.canonical())


def test_the_same_age_in_two_spellings_is_the_same_policy() -> None:
    assert parse(max_age="1d").canonical() == parse(max_age="24h").canonical() == parse(max_age=86400).canonical()


@given(_GOOD)
def test_the_canonical_form_is_itself_a_policy_with_the_same_meaning(document: Dict[str, Any]) -> None:
    got = policy.parse(document, KINDS, APART)
    again = policy.parse(json.loads(got.canonical()), KINDS, APART)
    assert again._replace(time_limit=got.time_limit) == got


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"keep_needed_by": ["srv"]}, "keep_needed_by[0]"),
        ({"keep_needed_by": []}, "keep_needed_by"),
        ({"caches": [{"kind": "go-mod", "keep_needed_by": ["/"]}]}, "caches[0].keep_needed_by[0]"),
        ({"keep_needed_by": ["/srv/../etc"]}, "keep_needed_by[0]"),
        ({"keep_newest": -1}, "keep_newest"),
        ({"keep_newest": True}, "keep_newest"),
        ({"busy": "kill"}, "busy"),
        ({"quarantine": "soon"}, "quarantine"),
        ({"max_size_all": "much"}, "max_size_all"),
        ({"network_agent": "a b"}, "network_agent"),
        ({"caches": [{"kind": "go-mod", "unneeded_for": "9d"}]}, "caches[0].unneeded_for"),
    ],
)
def test_nonsense_in_a_key_is_refused_with_its_path(document: Dict[str, Any], key: str) -> None:
    assert refusal(document).key == key


def test_what_the_top_keeps_every_rule_keeps() -> None:
    got = parse(keep_newest=2, caches=[{"kind": "go-mod", "max_age": "1d"}, {"kind": "go-build", "keep_newest": 3}])
    assert {rule.kind: rule.keep_newest for rule in got.rules} == {"go-mod": 2, "go-build": 3}


def test_a_cap_over_all_caches_is_a_limit_of_its_own() -> None:
    got = parse(max_size_all="1GiB")
    assert (got.rules, got.max_size_all) == ((), 2**30)


def test_a_limit_at_the_top_is_no_rule_for_kinds_that_must_be_named() -> None:
    assert {rule.kind for rule in parse(wipe=True).rules} == {"go-build", "go-mod"}
    named = parse(max_age="5d", caches=[{"kind": "go-work"}])
    assert {rule.kind: rule.max_age for rule in named.rules} == {
        "go-build": 432000,
        "go-mod": 432000,
        "go-work": None,
    }
