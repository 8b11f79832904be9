# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walls between the rooms of module_utils, as ARCHITECTURE.md draws them."""

from __future__ import annotations

import ast
import pathlib
import sys
from typing import Iterator, Tuple

import pytest

TOP = pathlib.Path(__file__).resolve().parents[4] / "plugins/module_utils"
MAY_USE = {
    "_core": set(),
    "_fs": {"_core"},
    "_go": {"_core", "_fs"},
    "_agents": {"_core"},
    "_discover": {"_agents", "_fs"},
    "_journal": {"_core", "_fs"},
    "_kinds": {"_core", "_fs", "_go"},
    "_proxy": {"_core", "_go"},
    "_jobenv": {"_agents", "_core", "_fs", "_go", "_journal"},
    "_host": {"_core", "_discover", "_fs", "_go", "_journal", "_kinds"},
    "_cli": {"_core", "_host"},
}


def imported(path: pathlib.Path) -> Iterator[Tuple[str, str]]:
    """Each import of a file: the room that it leads to and ``""``, or ``""`` and the name of another package."""
    inside = path.relative_to(TOP).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (("", alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield "", (node.module or "").partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                yield (*base, *name.split("."))[0], ""


def test_every_room_has_its_walls() -> None:
    assert {path.name for path in TOP.iterdir() if (path / "__init__.py").exists()} == set(MAY_USE)


@pytest.mark.parametrize("room", sorted(MAY_USE))
def test_a_room_uses_only_those_below_it_and_the_standard_library(room: str) -> None:
    found = {(path, *one) for path in (TOP / room).rglob("*.py") for one in imported(path)}
    assert found
    wrong = [
        (str(path.relative_to(TOP)), target or package)
        for path, target, package in found
        if (target and target not in MAY_USE[room] | {room})
        or (package and sys.version_info >= (3, 10) and package not in sys.stdlib_module_names)
    ]
    assert not wrong
