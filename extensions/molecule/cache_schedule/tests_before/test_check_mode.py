# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the check run, before the real one."""

from __future__ import annotations

from typing import Any

import pytest

PLACES = (
    "/usr/local/lib/gofleet-cache",
    "/usr/local/bin/gofleet-cache",
    "/etc/gofleet-cache",
    "/etc/systemd/system/gofleet-cache.service",
    "/etc/systemd/system/gofleet-cache.timer",
    "/etc/cron.d/gofleet-cache",
)


@pytest.mark.parametrize("path", PLACES)
def test_check_mode_installed_nothing(host: Any, path: str) -> None:
    assert not host.file(path).exists
