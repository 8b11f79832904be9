# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Misspelt role variables are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.filter.unknown_role_variables import FilterModule

unknown = FilterModule().filters()["unknown_role_variables"]


@pytest.fixture
def specs(tmp_path: Path) -> str:
    path = tmp_path / "argument_specs.yml"
    path.write_text(
        "argument_specs:\n  main:\n    options:\n      demo_marker: {}\n  other:\n    options:\n      demo_x: {}\n"
    )
    return str(path)


def test_a_misspelt_name_is_answered_with_the_right_one(specs: str) -> None:
    assert unknown(["demo_markr", "demo_marker", "demo_x"], "demo", specs) == [
        "'demo_markr' is not a variable of the role demo; did you mean 'demo_marker'?"
    ]


def test_a_name_without_a_near_one_is_answered_with_all(specs: str) -> None:
    assert unknown({"demo_zzzzzzzz": 1}, "demo", specs) == [
        "'demo_zzzzzzzz' is not a variable of the role demo; it knows: demo_marker, demo_x."
    ]


def test_names_of_others_and_internal_ones_are_left_alone(specs: str) -> None:
    assert unknown(["demonstration", "__demo_markr", "other_demo_x", "demo"], "demo", specs) == []


def test_a_missing_specification_is_an_error_not_a_pass(tmp_path: Path, specs: str) -> None:
    with pytest.raises(AnsibleFilterError, match="cannot read"):
        unknown([], "demo", str(tmp_path / "none.yml"))
    (tmp_path / "bad.yml").write_text("[]")
    with pytest.raises(AnsibleFilterError, match="argument_specs"):
        unknown([], "demo", str(tmp_path / "bad.yml"))
    with pytest.raises(AnsibleFilterError, match="list of variable names"):
        unknown("demo_x", "demo", specs)
