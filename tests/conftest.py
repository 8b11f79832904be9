# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for all tests: no setting of the caller's Go gets in, and Hypothesis keeps no files."""

from __future__ import annotations

import os
import pathlib

import pytest
from hypothesis import HealthCheck, settings

# The test command has done this already; here it is for a developer who calls pytest.
for _name in [name for name in os.environ if name.startswith(("GO", "CGO_")) and not name.startswith("GOFLEET_")]:
    del os.environ[_name]

# Deadlines measure the machine, which runs other parts of the test command at the same time.
settings.register_profile("gofleet", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gofleet")


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The agent's own records (journal, saved plans) of a test lie in a folder of its own."""
    place = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("GOFLEET_CACHE_STATE", str(place))
    return place
