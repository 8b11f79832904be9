# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, List

from ansible_collections.gofleet.cache.plugins.module_utils import _agents
from ansible_collections.gofleet.cache.plugins.module_utils._agents import buildkite


def paths(host: Any, roots: List[_agents.Root]) -> List[str]:
    return [root.path[len(host.root) :] for root in roots]


def inspect(host: Any) -> _agents.Inspection:
    found = buildkite.inspect(_agents.Host(host.root))
    assert "SECRET" not in repr(found)
    return found


CFG = """\
# The token from your Buildkite "Agents" page
token="SECRET-TOKEN"
name="%hostname-%spawn"
build-path="/mnt/builds"
git-mirrors-path=$HOME/mirrors
hooks-path='/etc/buildkite-agent/hooks'
plugins-path="${UNKNOWN}/plugins"
"""
HOOK = """\
#!/bin/bash
set -eu
export GOMODCACHE=/mnt/gomod
export GOPROXY="https://u:SECRET@proxy.example.com|direct"
GOCACHE="$BUILDKITE_BUILD_PATH/.cache"
if true; then
  export GOFLAGS=-mod=vendor
fi
export AWS_SECRET_ACCESS_KEY=SECRET
"""


def test_buildkites_paths_and_the_plain_assignments_of_its_hook_are_read(host: Any) -> None:
    host.folder("/var/lib/buildkite-agent")
    path = host.write("/etc/buildkite-agent/buildkite-agent.cfg", CFG)
    host.write("/etc/buildkite-agent/hooks/environment", HOOK)
    found = inspect(host)
    assert paths(host, found.roots) == ["/mnt/builds", "/var/lib/buildkite-agent/mirrors"]
    assert found.roots[0].config_file == path
    assert {item.name: item.value for item in found.settings} == {
        "GOMODCACHE": "/mnt/gomod",
        "GOPROXY": "https://***@proxy.example.com|direct",
    }
    unknown = [item.message for item in found.findings if item.code == "not-literal"]
    assert any("GOCACHE" in text for text in unknown)
    assert any("GOFLAGS" in text for text in unknown)
    assert found.accounts == ["buildkite-agent"]


def test_a_buildkite_service_with_its_own_configuration_file_is_followed(host: Any) -> None:
    host.write("/opt/bk/my.cfg", "build-path=/opt/bk/builds\ntoken=SECRET\n")
    host.write(
        "/lib/systemd/system/buildkite-agent.service",
        "[Service]\nUser=runner\nEnvironmentFile=-/etc/bk.env\nExecStart=/usr/bin/buildkite-agent start\n",
    )
    host.write("/etc/bk.env", "BUILDKITE_AGENT_CONFIG=/opt/bk/my.cfg\nBUILDKITE_AGENT_TOKEN=SECRET\n")
    assert paths(host, inspect(host).roots) == ["/opt/bk/builds"]


def test_buildkite_without_a_configuration_is_reported(host: Any) -> None:
    host.write("/usr/bin/buildkite-agent", "")
    assert [item.code for item in inspect(host).findings] == ["ci-without-configuration"]


def test_a_configuration_without_build_path_means_the_packages_default(host: Any) -> None:
    host.write("/etc/buildkite-agent/buildkite-agent.cfg", "token=SECRET\n")
    assert paths(host, inspect(host).roots) == ["/var/lib/buildkite-agent/builds"]
