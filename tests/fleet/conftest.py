# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests on hosts with systemd, which `make test-hosts` starts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: What a call of :func:`agents` returns: each agent's name and its module result.
Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def inventory() -> str:
    """Path of the inventory of the running hosts, all in the group ``agents``."""
    value = os.environ.get("GOFLEET_HOSTS_INVENTORY", "")
    if not value:
        pytest.skip("needs hosts with systemd: run `make test-hosts`")
    return value


@pytest.fixture
def agents(inventory: str, tmp_path: Path) -> Callable[..., Results]:
    """A function that runs one module on all agents over ssh and returns each one's result."""
    calls = iter(range(1000))

    def call(module: str, *more: str, check: bool = True, **options: object) -> Results:
        tree = tmp_path / f"results-{next(calls)}"
        command = ["ansible", "agents", "--inventory", inventory, "--tree", str(tree), "--module-name", module]
        done = subprocess.run(
            [*command, "--args", json.dumps(options), *more], capture_output=True, text=True, check=False, timeout=300
        )
        results = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in tree.glob("*")}
        assert len(results) >= 1, done.stdout + done.stderr
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return results

    return call


@pytest.fixture
def shell(agents: Callable[..., Results]) -> Callable[..., dict[str, str]]:
    """A function that runs a shell script on all agents, as root or as ``user``, and returns what each one printed."""

    def call(script: str, user: str = "") -> dict[str, str]:
        more = ["--become", "--become-method", "su", "--become-user", user, "--extra-vars", PIPELINING] if user else []
        results = agents("ansible.builtin.shell", *more, cmd=script)
        return {name: result["stdout"] for name, result in results.items()}

    return call


#: An account without rights cannot read files that root has sent: send none.
PIPELINING = '{"ansible_pipelining": true}'
