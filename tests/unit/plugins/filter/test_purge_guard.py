# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A purge begins only with the confirmation that it needs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.filter.purge_guard import FilterModule

guard = FilterModule().filters()["purge_guard"]


def agents(count: int, *risky: int, risk: str = "a wipe of go-mod") -> dict[str, dict[str, list[str]]]:
    return {"ci-%02d" % n: {"problems": [], "risks": [risk] if n in risky else []} for n in range(1, count + 1)}


@pytest.mark.parametrize("confirm", [None, "", 5, "x"])
def test_without_risks_no_confirmation_is_asked_for(confirm: Any) -> None:
    assert guard(agents(3), confirm) == {"problem": "", "question": ""}


def test_one_risky_agent_among_many_is_enough_and_the_number_is_that_of_all() -> None:
    assert guard(agents(12, 12), "")["question"] == (
        "This run covers 12 agents and needs a confirmation: a wipe of go-mod (1 agent: ci-12)."
        " If that is meant, add -e gofleet_cache_confirm=12"
    )


@pytest.mark.parametrize("confirm", [12, "12", " 12 "])
def test_the_number_of_agents_confirms(confirm: Any) -> None:
    assert guard(agents(12, 3), confirm) == {"problem": "", "question": ""}


@pytest.mark.parametrize("confirm", [11, "yes", True, "120"])
def test_another_answer_does_not_confirm_and_is_told(confirm: Any) -> None:
    assert f"gofleet_cache_confirm is {confirm}, not 12." in guard(agents(12, 3), confirm)["question"]


def test_a_single_agent_is_not_confirmed_by_a_mere_yes() -> None:
    assert guard(agents(1, 1), True)["question"] != ""


def test_many_agents_with_the_same_risk_are_told_in_short() -> None:
    assert "(5 agents: ci-01, ci-02, ci-03, ...)" in guard(agents(9, 1, 2, 3, 4, 5))["question"]


def test_problems_are_told_with_their_agents_and_no_confirmation_helps() -> None:
    asked = agents(2, 1)
    asked["ci-02"]["problems"] = ["floor: not an age"]
    assert guard(asked, 2) == {"problem": "Nothing was touched. floor: not an age (1 agent: ci-02)", "question": ""}


@pytest.mark.parametrize(
    "asked", [None, [], {"a": None}, {"a": {"risks": []}}, {"a": {"problems": [], "risks": "wipe"}}, {"a": ["wipe"]}]
)
def test_input_of_another_shape_does_not_pass_for_no_risk(asked: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="purge_guard"):
        guard(asked, 1)
