# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for all tests: no setting of the caller's Go gets in, and Hypothesis keeps no files."""

from __future__ import annotations

import os
import pathlib
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# The test command has done this already; here it is for a developer who calls pytest.
for _name in [name for name in os.environ if name.startswith(("GO", "CGO_")) and not name.startswith("GOFLEET_")]:
    del os.environ[_name]

# Deadlines measure the machine, which runs other parts of the test command at the same time. A change is judged by the
# examples that the one before was judged by; who explores looks for new ones.
settings.register_profile(
    "gofleet",
    deadline=None,
    database=None,
    derandomize="GOFLEET_TEST_EXPLORE" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gofleet")


def pytest_configure(config: pytest.Config) -> None:
    """What makes a test slow is a real Go at work, which is the same for each Python that calls it."""
    config.addinivalue_line("markers", "once: slow, and done on the controller's Python only")


@pytest.fixture(scope="session")
def _states(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(autouse=True)
def state(_states: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The agent's own records (journal, saved plans) of a test lie in a folder of its own."""
    place = pathlib.Path(tempfile.mkdtemp(dir=str(_states)))
    monkeypatch.setenv("GOFLEET_CACHE_STATE", str(place))
    return place
