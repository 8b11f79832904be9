# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the check run, before the real one."""

from __future__ import annotations

import os
from typing import Any


def sandbox(host: Any) -> str:
    name = host.ansible.get_variables()["inventory_hostname"]
    return "/".join((os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], os.environ["MOLECULE_SCENARIO_NAME"], name))


def test_check_mode_made_no_file_and_changed_none(host: Any) -> None:
    base = sandbox(host)
    assert not host.file(base + "/home/refused").exists
    assert host.file(base + "/go/go.env").content_string.endswith("GOTOOLCHAIN=auto\n")
    for name in ("air-gap", "image.env", ".ssh"):
        assert not host.file(base + "/home/" + name).exists
    if base.endswith("agent-1"):
        assert not host.file(base + "/home/profile").exists
        assert not host.file(base + "/home/.gitconfig").exists
        assert not host.file(base + "/home/.config").exists
    else:
        assert "GOSUMDB=off\n" in host.file(base + "/home/profile").content_string
        assert "vcs.example.com/\n" not in host.file(base + "/home/.gitconfig").content_string
        assert "GOPROXY=off\n" in host.file(base + "/home/.config/go/env").content_string
