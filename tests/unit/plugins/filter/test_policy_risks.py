# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy risks is told, and nothing dangerous passes for harmless."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.filter.policy_risks import FilterModule

risks = FilterModule().filters()["policy_risks"]


@pytest.mark.parametrize("rules", [None, "", {}, {"max_age": "14d"}, {"floor": "24h", "caches": []}])
def test_a_harmless_policy_has_neither_problems_nor_risks(rules: Any) -> None:
    assert risks(rules, ["ci"], ["production"]) == {"problem": "", "risks": []}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"wipe": True}, ["a wipe of go-build", "a wipe of go-mod"]),
        ({"caches": [{"kind": "go-mod", "wipe": True}]}, ["a wipe of go-mod"]),
        ({"caches": [{"kind": "go-build", "max_size": 0}]}, ["a wipe of go-build (max_size: 0)"]),
        ({"caches": [{"kind": "go-build", "max_age": "0"}]}, ["a wipe of go-build (max_age: 0)"]),
        ({"caches": [{"kind": "go-build", "max_entries": 0}]}, ["a wipe of go-build (max_entries: 0)"]),
        ({"max_size_all": 0}, ["a wipe of everything (max_size_all: 0)"]),
        ({"floor": "2h", "max_age": "14d"}, ["a floor of 7200 s, below the default of 24 h"]),
        ({"floor": 0, "idle": "asserted"}, ["a floor of 0 s, below the default of 24 h"]),
    ],
)
def test_a_wipe_and_a_low_floor_are_risks_also_in_a_string_of_json(rules: Any, expected: list[str]) -> None:
    assert risks(rules) == {"problem": "", "risks": expected}
    assert risks(json.dumps(rules)) == {"problem": "", "risks": expected}


@pytest.mark.parametrize("protected", [["x", "production"], "x, production", "production", ("production",)])
def test_a_protected_group_is_a_risk_whether_named_in_a_list_or_a_string(protected: Any) -> None:
    assert risks({}, ["ci", "production"], protected)["risks"] == ["protected (group production)"]


@pytest.mark.parametrize("protected", [None, "", [], ["product", "ion"]])
def test_a_group_that_is_not_named_is_not_protected(protected: Any) -> None:
    assert risks({}, ["ci", "production"], protected)["risks"] == []


@pytest.mark.parametrize("protected", [5, {"production": True}, True])
def test_protected_groups_of_another_type_are_refused_and_do_not_protect_nothing(protected: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="gofleet_cache_protected_groups is not a list"):
        risks({}, ["production"], protected)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"max_aeg": "1d"}, "did you mean max_age"),
        ({"floor": "soon"}, "floor: not an age"),
        ({"floor": "10m"}, "a floor below 3600 seconds"),
        ({"wipe": "yes"}, "not true or false"),
        ("nonsense", "not a policy document"),
        (["wipe"], "not a policy document"),
        (5, "not a policy document"),
    ],
)
def test_a_policy_that_makes_no_sense_is_a_problem(rules: Any, says: str) -> None:
    found = risks(rules)
    assert says in found["problem"]
    assert found["problem"].startswith("cache_policy_rules: ")
