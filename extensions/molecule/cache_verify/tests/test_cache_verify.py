# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role left on disk."""

from __future__ import annotations

import hashlib
import os
from typing import Any


def sandbox(host: Any) -> str:
    name = host.ansible.get_variables()["inventory_hostname"]
    return "/".join((os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], os.environ["MOLECULE_SCENARIO_NAME"], name))


def output(host: Any, content: bytes) -> Any:
    name = hashlib.sha256(content).hexdigest()
    return host.file("%s/go-build/%s/%s-d" % (sandbox(host), name[:2], name))


def test_what_is_sound_stayed(host: Any) -> None:
    assert output(host, b"an output\n").content == b"an output\n"
    assert host.file(sandbox(host) + "/go-build/README").exists


def test_only_what_was_damaged_went(host: Any) -> None:
    assert output(host, b"another output\n").exists == sandbox(host).endswith("agent-1")
