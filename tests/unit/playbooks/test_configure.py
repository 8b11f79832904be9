# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook configure, run on this machine with a home of its own."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.gofleet.cache.tests.fixtures import synthetic
from ansible_collections.gofleet.cache.tests.harness import runner

COLLECTION = pathlib.Path(os.path.abspath(synthetic.__file__)).parents[2]


class Agent:
    """This machine, with a home of its own."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.home = top / "home"
        self.env = self.home / ".config/go/env"
        self.env.parent.mkdir(parents=True)
        self.env.write_text("# ours\nGOPROXY=direct\n", encoding="utf-8")

    def configure(self, *options: str, **extra: Any) -> str:
        """Runs the playbook, which must succeed; what it said."""
        code, said = self.run(*options, **extra)
        assert code == 0, said
        return said

    def run(self, *options: str, alone: bool = True, **extra: Any) -> tuple[int, str]:
        """Runs the playbook; its exit code and what it said; *alone* (for root): it sees its own processes only.

        So the Go tools that other tests leave behind, or somebody else runs, are no users of its caches.
        """
        kept = ("PATH", "LANG", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "GOFLEET_TEST_GO")
        environ = {name: os.environ[name] for name in kept if name in os.environ}
        environ.update(
            HOME=str(self.home),
            ANSIBLE_COLLECTIONS_PATH=str(COLLECTION.parents[2]),
            ANSIBLE_HOME=str(self.top / "ansible"),
            ANSIBLE_NOCOLOR="1",
            GOFLEET_CACHE_STATE=str(self.top / "state"),
        )
        given = {"ansible_python_interpreter": sys.executable, "go_config_services": [], **extra}
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            "agent-1,",
            "-c",
            "local",
            "-e",
            json.dumps(given),
        ]
        done = subprocess.run(
            [*(runner.own_processes() if alone else ()), *command, "gofleet.cache.configure", *options],
            cwd=self.top,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def agent(tmp_path: pathlib.Path) -> Agent:
    return Agent(tmp_path)


def test_a_run_is_taken_back_by_its_label_and_no_more(agent: Agent) -> None:
    before = agent.env.read_bytes()
    image = agent.top / "image.env"
    places = [{"kind": "plain", "paths": [str(image)]}]
    agent.configure(go_config_settings={"GOPROXY": "off"}, go_config_job_places=places, go_config_run="first")
    between = agent.env.read_bytes()
    agent.configure(go_config_settings={"GOTOOLCHAIN": "local"})
    assert b"GOPROXY=off\nGOTOOLCHAIN=local\n" in agent.env.read_bytes()
    assert image.exists()
    said = agent.configure("--check", "--diff", go_config_rollback="latest")
    assert "-GOTOOLCHAIN=local" in said
    assert b"GOTOOLCHAIN" in agent.env.read_bytes(), "check mode takes nothing back"
    agent.configure(go_config_rollback="latest")
    assert agent.env.read_bytes() == between
    said = agent.configure(go_config_rollback="first")
    assert "taken back: first" in said
    assert agent.env.read_bytes() == before
    assert not image.exists()
    assert "changed=0" in agent.configure(go_config_rollback="first")
    code, said = agent.run(go_config_rollback="frist")
    assert code != 0
    assert "frist" in said


@pytest.mark.parametrize(("what", "left"), [("leave", True), ("move", False), ("evict", False)])
def test_a_new_place_of_a_cache_says_what_becomes_of_the_old_one(agent: Agent, what: str, left: bool) -> None:
    old, new = agent.home / ".cache/go-build", agent.home / "caches/build"
    cache = synthetic.Build(old)
    for number in range(5):
        cache.put(synthetic.sha(str(number)), b"x" * 5000, 90 * synthetic.DAY)
    new.parent.mkdir()
    files = sorted(path.name for path in old.rglob("*-d"))
    wanted = {"go_config_settings": {"GOCACHE": str(new)}, "go_config_old_caches": what, "go_config_idle": "asserted"}
    said = agent.configure("--check", **wanted)
    assert sorted(path.name for path in old.rglob("*-d")) == files, "check mode does nothing"
    said = agent.configure(**wanted)
    assert f"GOCACHE={new}" in agent.env.read_text(encoding="utf-8")
    assert bool(list(old.rglob("*-d"))) == left, said
    assert (sorted(path.name for path in new.rglob("*-d")) == files) == (what == "move"), said
    assert "changed=0" in agent.configure(**wanted)


@pytest.mark.parametrize(("idle", "used"), [("scan", False), ("asserted", True)])
def test_a_cache_that_a_go_tool_uses_or_may_use_is_not_moved_and_nothing_changes(
    agent: Agent, idle: str, used: bool
) -> None:
    old, new = agent.home / ".cache/go-build", agent.home / "caches/build"
    synthetic.Build(old).put(synthetic.sha("a"), b"x", 90 * synthetic.DAY)
    new.parent.mkdir()
    before = agent.env.read_bytes()
    tool = agent.top / "go"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", tool)
    wanted = {"go_config_settings": {"GOCACHE": str(new)}, "go_config_old_caches": "move", "go_config_idle": idle}
    running = subprocess.Popen([tool, "300"], env={"HOME": str(agent.home), "GOCACHE": str(old)}) if used else None
    try:
        # Where a process cannot see the whole host, nobody can tell whether a tool uses the cache.
        code, said = agent.run(alone=not used, **wanted)
    finally:
        if running:
            running.kill()
            running.wait()
    assert code != 0
    assert "in use by go (pid" in said or (not used and "nobody can tell whether it is in use" in said)
    assert agent.env.read_bytes() == before
    assert list(old.rglob("*-d"))
    assert not new.exists()


def test_a_move_to_a_place_that_nobody_names_is_refused_before_anything_changes(agent: Agent) -> None:
    before = agent.env.read_bytes()
    code, said = agent.run(go_config_absent=["GOCACHE", "GOPROXY"], go_config_old_caches="move")
    assert code != 0
    assert "go_config_old_caches=move with GOCACHE absent" in said
    assert agent.env.read_bytes() == before
