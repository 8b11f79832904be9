# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks survey, purge and undo, run on agents that are folders of this machine."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys
from typing import Any

import pytest
import yaml

from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

COLLECTION = pathlib.Path(os.path.abspath(synthetic.__file__)).parents[2]
OLD = 20 * synthetic.DAY


class Fleet:
    """Three agents with a build cache each: three old entries (actions with outputs) and a young one."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.agents = ["a1", "a2", "a3"]
        self.hosts: dict[str, dict[str, Any]] = {}
        for name in self.agents:
            build = synthetic.Build(top / name / "go-build")
            for number in range(3):
                build.put(synthetic.sha(f"old {number}"), b"old output %d" % number, OLD)
            build.put(synthetic.sha("young"), b"young output")
            self.hosts[name] = {"cache_policy_paths": [str(build.path)]}
        self.groups: dict[str, list[str]] = {}
        self.variables: dict[str, Any] = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "cache_policy_discover": False,
            "cache_policy_rules": {"caches": [{"kind": "go-build", "max_age": "10d"}]},
        }

    def run(self, playbook: str, *options: str, **extra: Any) -> tuple[int, str]:
        """Runs a playbook; its exit code and what it printed."""
        groups = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in self.groups.items()}
        inventory = {"all": {"hosts": self.hosts, "vars": self.variables, "children": groups}}
        (self.top / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        environ = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        environ.update(
            ANSIBLE_COLLECTIONS_PATH=str(COLLECTION.parents[2]),
            ANSIBLE_HOME=str(self.top / "ansible"),
            ANSIBLE_NOCOLOR="1",
            ANSIBLE_RETRY_FILES_ENABLED="0",
        )
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            str(self.top / "inventory.yml"),
            playbook,
            *options,
        ]
        if extra:
            command += ["-e", json.dumps(extra)]
        done = subprocess.run(
            command,
            cwd=self.top,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def picture(self, name: str) -> dict[str, tuple[int, ...]]:
        """Everything in an agent's cache."""
        return gocaches.photograph(self.top / name / "go-build")

    def files(self, name: str) -> dict[str, tuple[int, ...]]:
        """The files in an agent's cache; a folder's own time tells that something in it was moved."""
        return {path: facts for path, facts in self.picture(name).items() if stat.S_ISREG(facts[0])}

    def pictures(self) -> list[dict[str, tuple[int, ...]]]:
        """Everything in all caches."""
        return [self.picture(name) for name in self.agents]

    def entries(self, name: str) -> int:
        """How many entries an agent's cache holds."""
        return len(list((self.top / name / "go-build").glob("??/*")))


@pytest.fixture
def fleet(tmp_path: pathlib.Path) -> Fleet:
    return Fleet(tmp_path)


def plays(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((COLLECTION / "playbooks" / name).read_text(encoding="utf-8"))
    return found


# how they are written


@pytest.mark.parametrize("name", ["purge.yml", "survey.yml", "undo.yml"])
def test_no_block_hides_a_failure_from_the_brake(name: str) -> None:
    for play in plays(name):
        assert not any(key in task for task in play["tasks"] for key in ("block", "rescue", "always"))


def test_the_brake_is_a_literal_where_a_template_would_be_misread() -> None:
    ask, purge = plays("purge.yml")
    assert ask["any_errors_fatal"] is True
    assert "any_errors_fatal" not in purge


def test_a_purge_costs_at_most_six_tasks_for_an_agent() -> None:
    tasks = [task for play in plays("purge.yml") for task in play["tasks"] if not task.get("run_once")]
    assert len(tasks) <= 6
    assert not any(play.get("gather_facts", True) for play in plays("purge.yml"))


# the question


def test_a_protected_agent_in_the_last_batch_keeps_all_from_being_touched_until_the_number_is_named(
    fleet: Fleet,
) -> None:
    fleet.groups["production"] = ["a3"]
    before = fleet.pictures()
    code, text = fleet.run("gofleet.cache.purge")
    assert code == 2
    assert "protected (group production) (1 agent: a3)" in text
    assert "gofleet_cache_confirm=3" in text
    assert "PLAY [Purge" not in text
    assert fleet.pictures() == before

    folder = fleet.top / "reports"
    code, text = fleet.run("gofleet.cache.purge", "--check", gofleet_cache_report_dir=str(folder))
    assert code == 0, text
    assert "gofleet_cache_confirm=3" in text
    assert "would purge" in text
    assert fleet.pictures() == before
    planned = [json.loads((folder / f"{name}.purge.json").read_text(encoding="utf-8")) for name in fleet.agents]
    assert all(report["check"] for report in planned)

    code, text = fleet.run("gofleet.cache.purge", gofleet_cache_confirm=3, gofleet_cache_report_dir=str(folder))
    assert code == 0, text
    assert [fleet.entries(name) for name in fleet.agents] == [2, 2, 2]
    assert "sum: 3 of 3 agents done" in text
    done = [json.loads((folder / f"{name}.purge.json").read_text(encoding="utf-8")) for name in fleet.agents]
    assert [r["result"]["plan_digest"] for r in done] == [r["result"]["plan_digest"] for r in planned]
    assert not any(report["check"] for report in done)


def test_a_limit_counts_only_the_agents_that_are_left_in_the_run(fleet: Fleet) -> None:
    fleet.groups["production"] = ["a3"]
    code, text = fleet.run("gofleet.cache.purge", "--limit", "a3")
    assert code == 2
    assert "gofleet_cache_confirm=1" in text
    code, text = fleet.run("gofleet.cache.purge", "--limit", "a1")
    assert code == 0, text
    assert [fleet.entries(name) for name in fleet.agents] == [2, 8, 8]


def test_a_wipe_that_a_playbook_of_ones_own_hands_down_is_asked_about(fleet: Fleet) -> None:
    own = [{"import_playbook": "gofleet.cache.purge", "vars": {"cache_policy_rules": {"wipe": True}}}]
    (fleet.top / "site.yml").write_text(yaml.safe_dump(own), encoding="utf-8")
    before = fleet.pictures()
    code, text = fleet.run("site.yml")
    assert code == 2
    assert "a wipe of go-build (3 agents: a1, a2, a3)" in text
    assert fleet.pictures() == before


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"cache_policy_rulez": {}}, "did you mean 'cache_policy_rules'?"),
        ({"cache_policy_rules": {"max_aeg": "1d"}}, "did you mean max_age?"),
    ],
)
def test_nonsense_in_one_agents_variables_stops_the_run_also_in_check_mode(
    fleet: Fleet, extra: dict[str, Any], says: str
) -> None:
    fleet.hosts["a3"].update(extra)
    before = fleet.pictures()
    code, text = fleet.run("gofleet.cache.purge", "--check")
    assert code == 2
    assert says in text
    assert "PLAY [Purge" not in text
    assert fleet.pictures() == before


def test_without_the_question_nothing_is_done(fleet: Fleet) -> None:
    before = fleet.pictures()
    code, _text = fleet.run("gofleet.cache.purge", "--skip-tags", "always")
    assert code == 2
    assert fleet.pictures() == before


# the brake


@pytest.mark.parametrize(
    ("trouble", "word"),
    [
        ({"cache_policy_paths": ["/"]}, "FAILED: paths: /: refused"),
        ({"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}, "UNREACHABLE: "),
    ],
)
def test_a_canary_that_fails_or_cannot_be_reached_keeps_all_others_untouched(
    fleet: Fleet, trouble: dict[str, Any], word: str
) -> None:
    fleet.hosts["a1"].update(trouble)
    before = fleet.pictures()
    code, text = fleet.run("gofleet.cache.purge", gofleet_cache_max_fail_percentage=100)
    assert code == 2
    assert f"  a1: {word}" in text
    assert "sum: 0 of 3 agents done, 0 B freed, 1 failed" in text
    assert fleet.pictures() == before


# plans that somebody approves


def test_only_approved_plans_are_carried_out_and_only_what_is_in_them(fleet: Fleet) -> None:
    monday = fleet.top / "monday"
    before = fleet.pictures()
    code, text = fleet.run("gofleet.cache.purge", cache_policy_save_plan=True, gofleet_cache_report_dir=str(monday))
    assert code == 0, text
    assert fleet.pictures() == before
    assert text.count(" planned ") == 3
    assert "would be freed" in text
    (monday / "a2.purge.json").unlink()
    for number in range(3):
        later = synthetic.Build.__new__(synthetic.Build)
        later.path = fleet.top / "a1" / "go-build"
        later.put(synthetic.sha("later %d" % number), b"later output %d" % number, OLD)

    code, text = fleet.run(
        "gofleet.cache.purge", gofleet_cache_approve=str(monday), gofleet_cache_report_dir=str(monday)
    )
    assert code == 2
    assert "would overwrite the approved plans" in text
    code, text = fleet.run("gofleet.cache.purge", "--check", gofleet_cache_approve=str(monday))
    assert code == 0, text
    assert fleet.entries("a3") == 8

    tuesday = fleet.top / "tuesday"
    code, text = fleet.run(
        "gofleet.cache.purge", gofleet_cache_approve=str(monday), gofleet_cache_report_dir=str(tuesday)
    )
    assert code == 0, text
    assert [fleet.entries(name) for name in fleet.agents] == [8, 8, 2]
    assert f"a2: LEFT OUT: no approved plan: there is no report {monday}/a2.purge.json" in text
    assert "sum: 2 of 3 agents done" in text
    assert ", 1 left out" in text
    assert sorted(path.name for path in tuesday.iterdir()) == ["a1.purge.json", "a3.purge.json"]
    planned, done = (json.loads((day / "a3.purge.json").read_text(encoding="utf-8")) for day in (monday, tuesday))
    assert planned["result"]["plan_digest"] == done["result"]["plan_digest"]

    code, text = fleet.run("gofleet.cache.purge", gofleet_cache_approve=str(tuesday))
    assert code == 2
    assert "holds no approved plan of any agent of this run" in text


def test_the_digest_of_one_agent_is_a_variable_of_the_host_and_another_policy_refuses_it(fleet: Fleet) -> None:
    reports = fleet.top / "reports"
    code, text = fleet.run(
        "gofleet.cache.purge", "--limit", "a1", cache_policy_save_plan=True, gofleet_cache_report_dir=str(reports)
    )
    assert code == 0, text
    report = json.loads((reports / "a1.purge.json").read_text(encoding="utf-8"))
    fleet.hosts["a1"]["cache_policy_plan"] = report["result"]["plan_digest"]
    code, text = fleet.run("gofleet.cache.purge", "--limit", "a1", cache_policy_rules={"max_age": "11d"})
    assert code == 2
    assert "was made under another policy" in text
    assert fleet.entries("a1") == 8
    code, text = fleet.run("gofleet.cache.purge", "--limit", "a1")
    assert code == 0, text
    assert fleet.entries("a1") == 2


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"cache_policy_plan": "0930844611a0"}, "cache_policy_plan: not the digest of a plan (got 0930844611a0)"),
        ({"cache_policy_plan": "0" * 64, "cache_policy_save_plan": True}, "either make a plan or carry one out"),
    ],
)
def test_a_plan_that_cannot_be_meant_stops_the_run_before_it_begins(
    fleet: Fleet, extra: dict[str, Any], says: str
) -> None:
    fleet.hosts["a3"].update(extra)
    code, text = fleet.run("gofleet.cache.purge", "--check")
    assert code == 2
    assert says in text
    assert "PLAY [Purge" not in text


# undo


def test_an_undo_brings_the_last_run_back_on_every_agent(fleet: Fleet) -> None:
    fleet.variables["cache_policy_rules"] = {"max_age": "10d", "quarantine": "1d"}
    before = [fleet.files(name) for name in fleet.agents]
    code, text = fleet.run("gofleet.cache.purge")
    assert code == 0, text
    assert "to quarantine (" in text
    assert "0 B freed, " in text
    assert [fleet.entries(name) for name in fleet.agents] == [2, 2, 2]
    code, text = fleet.run("gofleet.cache.survey")
    assert "kept for gofleet.cache.undo until " in text
    away = fleet.pictures()
    code, text = fleet.run("gofleet.cache.undo", "--check")
    assert code == 0, text
    assert text.count("would bring back ") == 3
    assert fleet.pictures() == away
    folder = fleet.top / "reports"
    code, text = fleet.run("gofleet.cache.undo", gofleet_cache_report_dir=str(folder))
    assert code == 0, text
    assert text.count("brought back 6 entries, ") == 3
    assert [fleet.files(name) for name in fleet.agents] == before
    report = json.loads((folder / "a1.undo.json").read_text(encoding="utf-8"))
    assert (report["check"], report["result"]["restored_entries"]) == (False, 6)
    code, text = fleet.run("gofleet.cache.undo")
    assert code == 0, text
    assert text.count("nothing is in quarantine") == 3
    code, text = fleet.run("gofleet.cache.undo", gofleet_cache_undo_run="0" * 12)
    assert code == 2
    assert "nothing of run 000000000000 is in quarantine" in text


# what people see


def test_a_survey_shows_every_agent_and_changes_nothing(fleet: Fleet) -> None:
    fleet.hosts["a2"]["cache_policy_paths"] = [str(fleet.top / "missing")]
    fleet.hosts["a3"]["cache_policy_paths"] = ["relative"]
    before = fleet.pictures()
    folder = fleet.top / "reports"
    code, text = fleet.run("gofleet.cache.survey", gofleet_cache_report_dir=str(folder))
    assert code == 2
    assert str(fleet.top / "a1" / "go-build") in text
    assert f"a2: looked at: {fleet.top}/missing" in text
    assert "a3: FAILED: paths: relative: refused" in text
    assert "sum: 2 of 3 agents, 1 cache, 8 entries" in text
    assert fleet.pictures() == before
    report = json.loads((folder / "a1.survey.json").read_text(encoding="utf-8"))
    assert report["result"]["caches"][0]["entries"] == 8
