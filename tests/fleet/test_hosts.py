# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts themselves: a test on a host that only looks like an agent would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Agents = Callable[..., dict[str, dict[str, Any]]]
Shell = Callable[..., dict[str, str]]

SERVICE = """\
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo ran > /var/lib/fleet-test.stamp'
"""
TIMER = """\
[Timer]
OnActiveSec=1
AccuracySec=1s
"""
SANDBOX = """\
systemd-run --wait --quiet --pipe -p ProtectSystem=strict -p ProtectHome=tmpfs -p ProtectProc=invisible \\
  -p User=ci sh -c 'touch /var/lib/keep 2>&1; ls -A /home; ls -d /proc/[0-9]* | wc -l' || true
"""


def test_systemd_is_the_first_process_and_no_unit_has_failed(shell: Shell) -> None:
    for name, printed in shell("cat /proc/1/comm; systemctl is-system-running").items():
        assert printed.split() == ["systemd", "running"], name


def test_a_real_timer_fires(agents: Agents, shell: Shell) -> None:
    agents("ansible.builtin.copy", content=SERVICE, dest="/etc/systemd/system/fleet-test.service", mode="0644")
    agents("ansible.builtin.copy", content=TIMER, dest="/etc/systemd/system/fleet-test.timer", mode="0644")
    agents("ansible.builtin.systemd_service", name="fleet-test.timer", state="started", daemon_reload=True)
    agents("ansible.builtin.wait_for", path="/var/lib/fleet-test.stamp", timeout=20)
    agents("ansible.builtin.systemd_service", name="fleet-test.timer", state="stopped")
    assert set(shell("cat /var/lib/fleet-test.stamp").values()) == {"ran"}


def test_the_sandbox_of_a_unit_is_really_applied(shell: Shell) -> None:
    for name, printed in shell(SANDBOX).items():
        assert "Read-only file system" in printed, name
        assert "ci" not in printed.split("\n")[1:], f"{name} shows a home that ProtectHome=tmpfs hides"
        assert int(printed.split()[-1]) < 6, f"{name} shows processes that ProtectProc=invisible hides"


def test_an_account_without_rights_builds_with_the_mounted_go(shell: Shell) -> None:
    script = """
    set -e
    mkdir -p ~/hello && cd ~/hello
    printf 'module example.com/hello\\n\\ngo 1.21\\n' > go.mod
    printf 'package main\\n\\nfunc main() { println("hello") }\\n' > main.go
    HOME=~ GOTOOLCHAIN=local GOFLAGS= GOPROXY=off /usr/local/go/bin/go build -o hello . && ./hello 2>&1
    ls ~/.cache/go-build/trim.txt ~/.cache/go-build/00 >/dev/null && id -un
    """
    for name, printed in shell(script, user="ci").items():
        assert printed.split() == ["hello", "ci"], name
