# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the unit tests: the Go toolchains that the test command provides."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def go_binaries() -> list[str]:
    """Paths of real ``go`` programs of different versions; at least one."""
    found = [path for path in os.environ.get("GOFLEET_TEST_GOS", "").split(os.pathsep) if path]
    if not found:
        on_path = shutil.which("go")
        found = [on_path] if on_path else []
    if not found:
        pytest.skip("needs Go")
    return found


@pytest.fixture(scope="session")
def go_binary(go_binaries: list[str]) -> str:
    """Path of one real ``go`` program."""
    return os.environ.get("GOFLEET_TEST_GO") or go_binaries[0]


@pytest.fixture(scope="session")
def go_proxy() -> str:
    """The GOPROXY of a module proxy that answers; a test that asks for it is skipped where there is none."""
    value = os.environ.get("GOFLEET_TEST_GOPROXY", "")
    if not value:
        pytest.skip("needs a Go module proxy that answers")
    return value
