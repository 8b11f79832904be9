# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""READMEs, defaults and argument specifications of all roles say the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("yaml")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harness import role_readme


@pytest.mark.parametrize("role", role_readme.roles(), ids=lambda role: role.name)
def test_readme_defaults_and_specification_agree(role: Path) -> None:
    assert role_readme.problems(role) == []


def make(tmp_path: Path, specs: str, defaults: str, readme: str) -> Path:
    role = tmp_path / "demo"
    for folder in ("meta", "defaults", "tasks"):
        (role / folder).mkdir(parents=True)
    (role / "meta" / "argument_specs.yml").write_text(specs)
    (role / "defaults" / "main.yml").write_text(defaults)
    (role / "README.md").write_text(readme)
    return role


SPECS = """
argument_specs:
  main:
    options:
      demo_size: {type: str, default: 1|2, description: [The V(size)., See O(demo_size).]}
"""


def test_a_role_in_order_has_no_problems_and_the_table_holds_the_descriptions(tmp_path: Path) -> None:
    role = make(tmp_path, SPECS, "demo_size: 1|2\n", f"# x\n{role_readme.BEGIN}\n{role_readme.END}\nrest\n")
    assert role_readme.problems(role) == [
        "README.md: the table is out of date; run tests/harness/role_readme.py --write"
    ]
    text = role_readme.updated((role / "README.md").read_text(), role_readme.table(role))
    (role / "README.md").write_text(text)
    assert role_readme.problems(role) == []
    assert r'| `demo_size` | str | `"1\|2"` | The `size`. See `demo_size`. |' in text
    assert text.endswith("rest\n")


@pytest.mark.parametrize("defaults", ["", "demo_size: 3\n", "demo_size: 1|2\ndemo_other: 1\n"])
def test_a_default_that_differs_is_found(tmp_path: Path, defaults: str) -> None:
    role = make(tmp_path, SPECS, defaults, f"{role_readme.BEGIN}\n{role_readme.END}")
    assert any(problem.startswith("defaults/main.yml") for problem in role_readme.problems(role))


def test_a_readme_without_markers_is_found(tmp_path: Path) -> None:
    assert role_readme.problems(make(tmp_path, SPECS, "demo_size: 1|2\n", "# x\n")) != []
