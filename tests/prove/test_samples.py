# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A short sample of every proof; `make prove` runs them whole."""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
from typing import Any, Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from prove import attackers, clocks, crash, fire, truth
from prove.lab import Lab, remove
from prove.ready import Ready


def _go() -> str:
    found = os.environ.get("GOFLEET_TEST_GO") or shutil.which("go")
    if not found:
        pytest.skip("no Go toolchain: GOFLEET_TEST_GO is not set and no go is on PATH")
    return found


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    """Filled caches, used by one test after the other."""
    lab = Lab(tmp_path_factory.mktemp("prove") / "lab", _go())
    yield Ready(lab, tests=False)
    remove(lab.top)


def _proven(found: dict[str, Any]) -> None:
    assert found["problems"] == []
    assert found["rows"]


def test_truth(ready: Ready) -> None:
    """Passes cut in every way; and random order fails the same check."""
    table = truth.one(ready, truth.version(ready.lab.go), 3, 1, print)
    assert table.problems == []
    assert len(table.rows) >= 6


def test_crash(ready: Ready) -> None:
    _proven(crash.kill_all(ready, 6, 1, 1, print))


def test_time(ready: Ready) -> None:
    _proven(clocks.check(ready, print))


def test_fire(tmp_path: pathlib.Path) -> None:
    _proven(fire.run(tmp_path, _go(), fire.Wanted(8, 0, 300, 1), "", tmp_path, print, std=False))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another account, and mounts of its own")
def test_attackers() -> None:
    """Not below pytest's own folders, which other accounts may not enter."""
    import tempfile

    top = pathlib.Path(tempfile.mkdtemp(prefix="gofleet.attack-"))
    top.chmod(0o755)
    try:
        _proven(attackers.run(top, 300, 300, 1, print))
    finally:
        remove(top)
