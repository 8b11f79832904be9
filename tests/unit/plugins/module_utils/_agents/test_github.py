# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any, List

from ansible_collections.gofleet.cache.plugins.module_utils import _agents
from ansible_collections.gofleet.cache.plugins.module_utils._agents import azure, github

RUNNER = {
    "agentId": 3,
    "agentName": "box-1",
    "poolId": 1,
    "gitHubUrl": "https://github.com/acme",
    "workFolder": "_work",
}
ENV = "LANG=C.UTF-8\r\nGOMODCACHE=/srv/go/mod\r\nRUNNER_TOOL_CACHE=/srv/tools\r\n"
ENV += 'GH_PAT=SECRET\r\nGOFLAGS="-p 2"\r\n=x\r\n'


def paths(host: Any, roots: List[_agents.Root]) -> List[str]:
    return [root.path[len(host.root) :] for root in roots]


def inspect(host: Any, system: Any = github) -> _agents.Inspection:
    found = system.inspect(_agents.Host(host.root))
    assert "SECRET" not in repr(found)
    return found


def make_runner(host: Any, folder: str) -> None:
    # .NET writes a byte order mark
    host.write(folder + "/.runner", json.dumps(RUNNER), encoding="utf-8-sig")
    host.write(folder + "/.credentials", '{"Data": {"clientId": "SECRET"}}')
    host.write(folder + "/.env", ENV)


def test_work_folder_and_tool_cache_come_from_the_runners_own_files(host: Any) -> None:
    make_runner(host, "/home/runner/actions-runner")
    found = inspect(host)
    assert paths(host, found.roots) == ["/home/runner/actions-runner/_work", "/srv/tools"]
    assert found.roots[1].config_file == host.path("/home/runner/actions-runner/.env")
    assert found.accounts == ["runner"]
    assert found.findings == []


def test_the_env_file_is_taken_word_by_word_as_the_runner_takes_it(host: Any) -> None:
    make_runner(host, "/home/runner/actions-runner")
    values = {item.name: item.value for item in inspect(host).settings}
    assert values == {"GOMODCACHE": "/srv/go/mod", "RUNNER_TOOL_CACHE": "/srv/tools", "GOFLAGS": '"-p 2"'}


def test_several_runners_in_one_folder_and_a_unit_elsewhere_are_found(host: Any) -> None:
    make_runner(host, "/opt/github-runners/one")
    make_runner(host, "/opt/github-runners/two")
    make_runner(host, "/ssd/ci/box")
    host.write(
        "/etc/systemd/system/actions.runner.acme.box.service",
        "[Service]\nExecStart=/ssd/ci/box/runsvc.sh\nUser=runner\nWorkingDirectory=/ssd/ci/box\n",
    )
    found = inspect(host)
    assert [path for path in paths(host, found.roots) if path.endswith("_work")] == [
        "/opt/github-runners/one/_work",
        "/opt/github-runners/two/_work",
        "/ssd/ci/box/_work",
    ]


def test_an_absolute_work_folder_is_taken_as_it_is(host: Any) -> None:
    host.write("/actions-runner/.runner", json.dumps(dict(RUNNER, workFolder="/mnt/work")))
    assert paths(host, inspect(host).roots) == ["/mnt/work"]


def test_a_running_listener_leads_to_its_folder_also_without_configuration(host: Any) -> None:
    host.folder("/weird/place/bin")
    host.process(["/weird/place/bin/Runner.Listener", "run", "--startuptype", "service"])
    found = inspect(host)
    assert paths(host, found.roots) == ["/weird/place/_work"]
    assert [item.code for item in found.findings] == ["ci-without-configuration"]


def test_broken_json_is_unreadable_and_the_usual_work_folder_is_still_looked_at(host: Any) -> None:
    host.write("/opt/runner/.runner", '{"workFolder": SECRET')
    found = inspect(host)
    assert [item.code for item in found.findings] == ["unreadable"]
    assert paths(host, found.roots) == ["/opt/runner/_work"]


def test_a_unit_whose_folder_is_gone_is_reported(host: Any) -> None:
    host.write("/etc/systemd/system/actions.runner.a.b.service", "[Service]\nExecStart=/gone/runsvc.sh\nUser=runner\n")
    found = inspect(host)
    assert found.roots == []
    assert [item.code for item in found.findings] == ["ci-without-configuration"]


def test_the_runner_of_another_forge_with_a_file_of_the_same_name_is_not_taken_for_githubs(host: Any) -> None:
    host.write(
        "/opt/act_runner/.runner", '{"id": 1, "uuid": "x", "token": "SECRET", "address": "https://git.example.com"}'
    )
    assert inspect(host).evidence == []


def test_azure_agents_are_found_by_their_own_names(host: Any) -> None:
    host.write("/opt/azagent/.agent", json.dumps({"agentName": "a", "poolId": 1, "workFolder": "_work"}))
    host.write("/opt/azagent/.env", "AGENT_TOOLSDIRECTORY=/opt/tools\nVSTS_TOKEN=SECRET\n")
    found = inspect(host, azure)
    assert found.system == "azure"
    assert paths(host, found.roots) == ["/opt/azagent/_work", "/opt/tools"]
    assert inspect(host, github).evidence == []
    assert [root.path for root in azure.search_roots(host.root)] == [root.path for root in found.roots]
