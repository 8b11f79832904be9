# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role left on disk."""

from __future__ import annotations

import os
from typing import Any

SETTINGS = """\
GOFLAGS=-mod=readonly '-ldflags=-s -w'
GOPRIVATE=git.example.com/*,*.corp.example.com
GOPROXY=https://goproxy.example.com,direct
GOVCS=private:all,public:git
"""


def sandbox(host: Any) -> str:
    name = host.ansible.get_variables()["inventory_hostname"]
    return "/".join((os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], os.environ["MOLECULE_SCENARIO_NAME"], name))


def test_the_settings_are_there_and_everything_else_stayed(host: Any) -> None:
    base = sandbox(host)
    env = host.file(base + "/home/.config/go/env")
    if base.endswith("agent-1"):
        assert env.content_string == SETTINGS
        assert env.mode == 0o644
    else:
        assert env.content_string == (
            "# kept by hand\nCC=clang\n\nGOPROXY=https://goproxy.example.com,direct\nnot a setting\nGOTOOLCHAIN=local\n"
            + "".join(line for line in SETTINGS.splitlines(True) if not line.startswith("GOPROXY"))
        )
        assert env.mode == 0o640
        assert host.file(base + "/home/.config/go").mode == 0o750


def test_the_machines_settings_are_in_the_toolchains_file(host: Any) -> None:
    assert host.file(sandbox(host) + "/go/go.env").content_string == (
        "# shipped\nGOPROXY=https://proxy.golang.org,direct\nGOSUMDB=sum.golang.org\nGOTOOLCHAIN=local\n"
    )


def test_what_was_refused_was_not_written_and_nothing_was_left_behind(host: Any) -> None:
    base = sandbox(host)
    assert not host.file(base + "/home/refused").exists
    assert host.file(base + "/home/.config/go").listdir() == ["env"]
    assert sorted(host.file(base + "/go").listdir()) == ["VERSION", "bin", "go.env", "src"]


def test_go_reads_the_file_as_it_was_meant(host: Any) -> None:
    go = next((path for path in ("/usr/local/go/bin/go", "/usr/bin/go") if host.file(path).exists), "")
    if not go:
        return
    asked = host.run(
        "env -i HOME=/dev/null GOTOOLCHAIN=local GOENV=%s %s env GOPROXY GOFLAGS GONOPROXY",
        sandbox(host) + "/home/.config/go/env",
        go,
    )
    assert asked.stdout.splitlines() == [
        "https://goproxy.example.com,direct",
        "-mod=readonly '-ldflags=-s -w'",
        "git.example.com/*,*.corp.example.com",
    ]
