# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the check run, before the real one."""

from __future__ import annotations

import hashlib
import os
from typing import Any


def sandbox(host: Any) -> str:
    name = host.ansible.get_variables()["inventory_hostname"]
    return "/".join((os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], os.environ["MOLECULE_SCENARIO_NAME"], name))


def test_check_mode_evicted_nothing_and_built_nothing(host: Any) -> None:
    base = sandbox(host)
    for content in (b"an output\n", b"another output\n"):
        name = hashlib.sha256(content).hexdigest()
        assert host.file("%s/go-build/%s/%s-d" % (base, name[:2], name)).exists
    assert not host.file(base + "/home/.cache").exists
