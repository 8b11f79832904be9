# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils import _agents
from ansible_collections.gofleet.cache.plugins.module_utils._agents import jenkins

SECRET_ARGS = ["-url", "https://ci.example.com/", "-secret", "SECRET0123", "-name", "box"]


def paths(host: Any, roots: List[_agents.Root]) -> List[str]:
    return [root.path[len(host.root) :] for root in roots]


def inspect(host: Any) -> _agents.Inspection:
    found = jenkins.inspect(_agents.Host(host.root))
    assert "SECRET" not in repr(found)
    return found


def test_a_running_agents_work_folder_is_taken_from_its_command_line(host: Any) -> None:
    host.process(
        ["java", "-jar", "/opt/agent.jar", *SECRET_ARGS, "-workDir", "/data/jenkins"], ["GOCACHE=/data/gocache"]
    )
    found = inspect(host)
    assert paths(host, found.roots) == ["/data/jenkins"]
    assert [(item.name, item.value) for item in found.settings] == [("GOCACHE", "/data/gocache")]


@pytest.mark.parametrize(
    "command",
    [
        "/usr/bin/java -jar /opt/agent.jar -secret SECRET -workDir /data/jenkins",
        '/usr/bin/java -jar /opt/agent.jar -secret SECRET -workDir "%h/work"',
        "/bin/sh -c 'exec java -jar /opt/agent.jar -secret SECRET -workDir /data/jenkins'",
        "/usr/bin/java -jar /opt/swarm-client-3.40.jar -fsroot /data/jenkins -password SECRET",
        "/usr/bin/java $JAVA_ARGS -jar ${JAR} -workDir $WORK",
    ],
)
def test_a_service_says_where_its_agent_works(host: Any, command: str) -> None:
    host.write(
        "/etc/systemd/system/ci-agent.service",
        "[Service]\nUser=runner\nEnvironment=WORK=/data/jenkins JAR=/opt/agent.jar\nExecStart=%s\n" % command,
    )
    host.folder("/home/runner", "/data/jenkins")
    expected = "/home/runner/work" if "%h" in command else "/data/jenkins"
    found = inspect(host)
    assert paths(host, found.roots) == [expected]
    assert found.accounts == ["runner"]


def test_a_drop_in_replaces_the_command_of_its_unit(host: Any) -> None:
    host.write(
        "/lib/systemd/system/jenkins-agent.service", "[Service]\nExecStart=/usr/bin/java -jar agent.jar -workDir /old\n"
    )
    host.write(
        "/etc/systemd/system/jenkins-agent.service.d/10-place.conf",
        "[Service]\n# moved\nExecStart=\nExecStart=/usr/bin/java -jar agent.jar -workDir /new\n",
    )
    assert paths(host, inspect(host).roots) == ["/new"]


def test_a_controllers_home_comes_from_its_defaults_file_and_its_workspaces_from_its_configuration(host: Any) -> None:
    host.write(
        "/etc/default/jenkins",
        'NAME=jenkins\nJENKINS_USER=$NAME\nJENKINS_HOME=/srv/$NAME\nGOPROXY="https://u:SECRET@p.example.com"\n'
        "GOMODCACHE=`pwd`/mod\nPASSWORD=SECRET\n",
    )
    host.write(
        "/srv/jenkins/config.xml",
        "<hudson><secret>SECRET</secret><workspaceDir>/ssd/ws/${ITEM_FULL_NAME}</workspaceDir></hudson>",
    )
    found = inspect(host)
    assert paths(host, found.roots) == ["/srv/jenkins", "/ssd/ws"]
    assert [(item.name, item.value) for item in found.settings] == [("GOPROXY", "https://***@p.example.com")]
    assert any("GOMODCACHE" in item.message for item in found.findings if item.code == "not-literal")


def test_an_agent_started_over_ssh_is_known_by_what_it_leaves_in_its_home(host: Any) -> None:
    host.folder("/home/runner/remoting")
    found = inspect(host)
    assert paths(host, found.roots) == ["/home/runner"]
    assert found.evidence[0].path == host.path("/home/runner/remoting")


def test_an_editor_with_the_agents_jar_is_no_agent(host: Any) -> None:
    host.process(["/usr/bin/less", "/opt/agent.jar", "-workDir", "/data"])
    assert inspect(host).evidence == []


def test_an_agent_without_a_work_folder_is_reported(host: Any) -> None:
    host.write(
        "/etc/systemd/system/a.service", "[Service]\nExecStart=/usr/bin/java -jar /opt/agent.jar -secret SECRET\n"
    )
    assert "ci-without-configuration" in {item.code for item in inspect(host).findings}
