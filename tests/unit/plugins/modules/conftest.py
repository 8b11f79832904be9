# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for the tests of all modules: whoever runs Go on this machine meanwhile changes no result."""

from __future__ import annotations

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import running


@pytest.fixture(autouse=True)
def quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Go tool runs; a test that is about one says so itself."""
    monkeypatch.setattr(running, "scan", lambda: running.Scan((), 0, True))
