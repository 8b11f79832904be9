# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the check run, before the real one."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from typing import Any

sys.path.insert(0, str(pathlib.Path(os.path.abspath(__file__)).parents[2] / "cache_policy"))

import fill


def sandbox(host: Any) -> pathlib.Path:
    name = host.ansible.get_variables()["inventory_hostname"]
    return pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], os.environ["MOLECULE_SCENARIO_NAME"], name)


def test_check_mode_left_every_file_and_every_time_as_it_was(host: Any) -> None:
    before = json.loads((sandbox(host) / "before.json").read_text(encoding="utf-8"))
    assert len(before) > 300
    assert fill.photograph(sandbox(host)) == before
