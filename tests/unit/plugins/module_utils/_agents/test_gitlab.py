# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from typing import Any, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils import _agents
from ansible_collections.gofleet.cache.plugins.module_utils._agents import gitlab

SHELL = """\
concurrent = 4

[[runners]]
  name = "shell one"
  url = "https://gitlab.example.com/"
  id = 7
  token = "glrt-SECRET1"
  token_obtained_at = 2024-05-01T00:00:00Z
  executor = "shell"
  environment = ["GOMODCACHE=/cache/gomod", "GOPATH=$CI_PROJECT_DIR/.go", "GOPROXY=https://ci:SECRET2@proxy.example.com,direct", "GOOGLE_API_KEY=SECRET3", "DEPLOY_TOKEN=SECRET4"]
  [runners.cache.s3]
    AccessKey = "SECRET5"
    SecretKey = "SECRET6"
"""  # noqa: E501

DOCKER = """\
[[runners]]
  name = "docker one"
  token = "SECRET"
  executor = "docker"
  environment = ["GOCACHE=/cache/go-build"]
  [runners.docker]
    image = "golang:1.24"
    volumes = [
      "/cache",
      "/srv/gocache:/go/pkg/mod:rw",   # a bind mount
      "named-volume:/go",
      "/srv/slots/$CI_CONCURRENT_ID:/slot",
      "/var/run/docker.sock:/var/run/docker.sock",
      "/:/hostfs:ro",
    ]
    [[runners.docker.services]]
      name = "docker:dind"
      volumes = ["/srv/dind:/var/lib/docker"]
[[runners]]
  name = "clusters"
  executor = "kubernetes"
  [[runners.kubernetes.volumes.host_path]]
    name = "go"
    mount_path = "/go"
    host_path = "/mnt/nodecache"
[[runners]]
  name = "odd"
  executor = "quantum"
"""

UNIT = """\
[Unit]
Description=GitLab Runner
[Service]
Environment="GOFLAGS=-modcacherw -p=4" REGISTRATION_TOKEN=SECRET
ExecStart=/usr/bin/gitlab-runner "run" "--working-directory" "/data/runner home" \\
  "--config" "/etc/gitlab-runner/config.toml" "--service" "gitlab-runner" "--user" "gitlab-runner"
"""


def paths(host: Any, roots: List[_agents.Root]) -> List[str]:
    return [root.path[len(host.root) :] for root in roots]


def codes(found: _agents.Inspection) -> List[str]:
    return sorted({item.code for item in found.findings})


def inspect(host: Any) -> _agents.Inspection:
    found = gitlab.inspect(_agents.Host(host.root))
    assert "SECRET" not in repr(found)
    return found


def test_a_shell_runner_builds_below_the_working_directory_of_its_service(host: Any) -> None:
    host.write("/etc/gitlab-runner/config.toml", SHELL)
    host.write("/etc/systemd/system/gitlab-runner.service", UNIT)
    host.folder("/home/gitlab-runner/builds")
    found = inspect(host)
    assert paths(host, found.roots) == [
        "/data/runner home/builds",
        "/data/runner home/cache",
        "/home/gitlab-runner/builds",
    ]
    assert found.roots[0].system == "gitlab"
    assert found.roots[0].config_file == host.path("/etc/gitlab-runner/config.toml")
    assert "shell one" in found.roots[0].why
    assert found.accounts == ["gitlab-runner"]
    assert {item.what for item in found.evidence} == {"config", "unit"}


def test_go_variables_are_returned_without_credentials_and_no_other_variable_is(host: Any) -> None:
    host.write("/etc/gitlab-runner/config.toml", SHELL)
    host.write("/etc/systemd/system/gitlab-runner.service", UNIT)
    found = inspect(host)
    values = {(item.name, item.value, item.inside, item.redacted) for item in found.settings}
    assert values == {
        ("GOMODCACHE", "/cache/gomod", "host", False),
        ("GOPROXY", "https://***@proxy.example.com,direct", "host", True),
        ("GOFLAGS", "-modcacherw -p=4", "host", False),
    }
    assert {item.account for item in found.settings} == {"gitlab-runner"}
    # What only a job knows is said, not guessed.
    assert any(item.code == "not-literal" and "GOPATH" in item.message for item in found.findings)
    assert [item.name for item in gitlab.environ(host.root)] == [item.name for item in found.settings]


def test_builds_dir_and_cache_dir_win_over_the_defaults(host: Any) -> None:
    text = '[[runners]]\nexecutor = "shell"\nbuilds_dir = "/srv/ci/builds"\ncache_dir = "~/zips"\n'
    host.write("/home/gitlab-runner/.gitlab-runner/config.toml", text)
    assert paths(host, inspect(host).roots) == ["/srv/ci/builds", "/home/gitlab-runner/zips"]


def test_a_docker_runners_bind_mounts_are_roots_and_wide_ones_and_sockets_are_not(host: Any) -> None:
    host.write("/etc/gitlab-runner/config.toml", DOCKER)
    host.write("/var/run/docker.sock", "")
    host.folder("/mnt/nodecache")
    found = inspect(host)
    assert paths(host, found.roots) == ["/srv/gocache", "/srv/slots", "/srv/dind", "/mnt/nodecache"]
    assert "up to its first variable" in found.roots[1].why
    assert codes(found) == ["builds-elsewhere", "root-too-wide", "unknown-executor"]
    assert [(item.name, item.inside) for item in found.settings] == [("GOCACHE", "container")]


def test_a_broken_configuration_is_reported_as_unreadable_and_nothing_is_guessed_from_it(host: Any) -> None:
    path = host.write("/etc/gitlab-runner/config.toml", SHELL.replace('executor = "shell"', "executor = shell SECRET"))
    found = inspect(host)
    assert found.roots == []
    assert [(item.code, item.path) for item in found.findings] == [("unreadable", path)]
    assert "line 9" in found.findings[0].message


def test_a_configuration_without_permission_is_reported_as_unreadable(host: Any) -> None:
    path = host.write("/etc/gitlab-runner/config.toml", SHELL)
    os.chmod(path, 0)
    if os.access(path, os.R_OK):
        # root reads everything: a folder of that name takes the place of the missing permission
        os.unlink(path)
        os.mkdir(path)
    found = inspect(host)
    assert codes(found) == ["unreadable"]
    assert found.evidence


def test_a_fifo_in_place_of_the_configuration_does_not_block(host: Any) -> None:
    host.folder("/etc/gitlab-runner")
    os.mkfifo(host.path("/etc/gitlab-runner/config.toml"))
    assert codes(inspect(host)) == ["unreadable"]


def test_a_runner_without_configuration_is_reported_with_the_places_looked_at(host: Any) -> None:
    host.write("/usr/bin/gitlab-runner", "")
    found = inspect(host)
    assert codes(found) == ["ci-without-configuration"]
    assert host.path("/etc/gitlab-runner/config.toml") in found.findings[0].message


def test_the_configuration_of_a_running_process_is_found(host: Any) -> None:
    host.write("/opt/ci/runner.toml", '[[runners]]\nexecutor = "shell"\n')
    host.process(
        ["/usr/local/bin/gitlab-runner", "run", "--config=/opt/ci/runner.toml", "--working-directory=/opt/ci/work"],
        ["GOCACHE=/opt/ci/gocache", "CI_SERVER_TOKEN=SECRET"],
    )
    found = inspect(host)
    assert paths(host, found.roots) == ["/opt/ci/work/builds", "/opt/ci/work/cache"]
    assert [(item.name, item.value) for item in found.settings] == [("GOCACHE", "/opt/ci/gocache")]


def test_a_runner_in_a_container_is_said_and_its_paths_are_not_taken_for_the_hosts(host: Any) -> None:
    host.process(["gitlab-runner", "run", "--config", "/etc/gitlab-runner/config.toml"], contained=True)
    host.write("/srv/gitlab-runner/config/config.toml", DOCKER)
    found = inspect(host)
    assert "runner-in-container" in codes(found)
    assert "/srv/gocache" in paths(host, found.roots)


def test_a_host_without_a_runner_gives_nothing_at_all(host: Any) -> None:
    host.folder("/builds", "/cache")
    host.process(["/usr/bin/vim", "/etc/gitlab-runner/config.toml"])
    found = inspect(host)
    assert found == _agents.Inspection("gitlab", [], [], [], [], [], [])


@pytest.mark.parametrize("text", ["", "concurrent = 1\n"])
def test_a_file_without_runners_is_reported(host: Any, text: str) -> None:
    host.write("/etc/gitlab-runner/config.toml", text)
    assert codes(inspect(host)) == ["ci-without-configuration"]
