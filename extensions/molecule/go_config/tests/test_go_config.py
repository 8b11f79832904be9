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


PROFILE = """\
GOFLAGS=-mod=readonly -trimpath
GONOSUMDB=git.example.com,vcs.example.com
GOPRIVATE=vcs.example.com
GOPROXY=https://goproxy.example.com,https://proxy.golang.org,direct
GOTOOLCHAIN=local
"""


def test_the_profile_with_what_the_groups_say_is_there_and_what_would_spoil_it_is_gone(host: Any) -> None:
    base = sandbox(host)
    lines = host.file(base + "/home/profile").content_string.splitlines()
    kept = [] if base.endswith("agent-1") else ["CC=clang"]
    assert sorted(lines) == sorted(PROFILE.splitlines() + kept)


def test_an_air_gap_has_a_folder_and_nobody_else_to_ask(host: Any) -> None:
    assert host.file(sandbox(host) + "/home/air-gap").content_string == (
        "GOFLAGS=-mod=readonly\nGONOSUMDB=git.example.com\nGOPROXY=file:///srv/goproxy,off\nGOTOOLCHAIN=local\n"
    )


def test_git_has_the_address_beside_those_of_others_and_ssh_has_the_key(host: Any) -> None:
    base = sandbox(host)
    config = host.file(base + "/home/.gitconfig")
    text = config.content_string
    assert text.count("insteadOf = https://vcs.example.com/\n") == 1
    if base.endswith("agent-2"):
        assert text.startswith("# mine\n")
        assert "insteadOf = https://old.example.com/\n" in text
        assert config.mode == 0o640
    hosts = host.file(base + "/home/.ssh/known_hosts")
    assert hosts.content_string.startswith("vcs.example.com ssh-ed25519 AAAA")
    assert hosts.content_string.count("\n") == 1
    assert (hosts.mode, host.file(base + "/home/.ssh").mode) == (0o600, 0o700)


def test_jobs_get_the_settings_and_the_forward_proxy(host: Any) -> None:
    asked = host.run("env -i sh -c '. %s/home/image.env; env'" % sandbox(host)).stdout.splitlines()
    for line in (
        "GOPROXY=https://goproxy.example.com,https://proxy.golang.org,direct",
        "GOPRIVATE=vcs.example.com",
        "GOFLAGS=-mod=readonly -trimpath",
        "HTTPS_PROXY=http://proxy.example.com:3128",
        "https_proxy=http://proxy.example.com:3128",
        "NO_PROXY=localhost,example.com",
    ):
        assert line in asked


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
