# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role left on the hosts."""

from __future__ import annotations

import json
from typing import Any

PROGRAM = "/usr/local/bin/gofleet-cache"


def by_cron(host: Any) -> bool:
    variables = host.ansible.get_variables()
    return bool(variables["inventory_hostname"] == variables["groups"]["agents"][-1])


def test_the_program_runs_and_understands_its_policy(host: Any) -> None:
    assert host.run(PROGRAM + " --version").stdout.startswith("gofleet-cache ")
    done = host.run(PROGRAM + " plan --check-policy")
    assert done.rc == 0, done.stderr
    assert "/etc/gofleet-cache/policy.json makes sense" in done.stdout


def test_the_policy_is_the_one_that_was_given(host: Any) -> None:
    file = host.file("/etc/gofleet-cache/policy.json")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    document = json.loads(file.content_string)
    assert document["search_roots"] == ["/builds"]
    assert document["accounts"] == []
    assert document["policy"]["caches"][0] == {"kind": "go-build", "max_age": "14d"}


def test_it_is_run_by_what_was_asked_for_and_by_nothing_else(host: Any) -> None:
    assert host.file("/etc/cron.d/gofleet-cache").exists == by_cron(host)
    assert host.file("/etc/systemd/system/gofleet-cache.timer").exists != by_cron(host)
    assert host.service("gofleet-cache.timer").is_running != by_cron(host)
    if not by_cron(host):
        assert host.service("gofleet-cache.timer").is_enabled
        printed = host.check_output("systemctl show -p UnitFileState,NextElapseUSecRealtime gofleet-cache.timer")
        assert "NextElapseUSecRealtime=" in printed
        assert "NextElapseUSecRealtime=\n" not in printed + "\n"


def test_the_units_are_sound(host: Any) -> None:
    if not by_cron(host):
        done = host.run("systemd-analyze verify /etc/systemd/system/gofleet-cache.*")
        assert (done.rc, done.stdout + done.stderr) == (0, "")
