# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import mounts
from ansible_collections.gofleet.cache.plugins.module_utils._host import find, look, survey
from ansible_collections.gofleet.cache.tests.fixtures import synthetic

DAY = synthetic.DAY


def test_a_survey_tells_what_du_tells(agent: Any) -> None:
    agent.fill()
    result = survey.run(agent.request())
    for cache, path in zip(result["caches"], (agent.build.path, agent.mod.path)):
        done = subprocess.run(["du", "-s", "-B1", str(path)], capture_output=True, text=True, check=True)
        assert cache["allocated"] == int(done.stdout.split()[0])
        assert sum(item["entries"] for item in cache["ages"]) == cache["entries"]
    assert result["msg"].startswith("2 Go caches hold ")
    assert not result["changed"]


def test_go_the_rest_and_what_is_free_are_the_whole_disk(agent: Any) -> None:
    agent.fill()
    (row,) = survey.run(agent.request())["filesystems"]
    assert row["go"] + row["rest"] + row["free"] == row["total"]
    assert row["caches"] == 2
    assert row["go_inodes"] > 50
    done = subprocess.run(
        ["df", "-B1", "--output=used,avail", str(agent.home)], capture_output=True, text=True, check=True
    )
    used, free = (int(text) for text in done.stdout.split("\n")[1].split())
    assert abs(used - row["used"]) < 1 << 30  # other tests write meanwhile
    assert abs(free - row["free"]) < 1 << 30


def test_a_survey_leaves_everything_as_it_was(agent: Any, photograph: Any) -> None:
    agent.fill()
    before = photograph(agent.home)
    survey.run(agent.request())
    survey.run(agent.request(), details=False)
    assert photograph(agent.home) == before


def test_a_survey_is_small_plain_data(agent: Any) -> None:
    for number in range(150):
        agent.mod.add("example.com/m%d@v1.0.0" % number, tree=False)
        agent.mod.at("example.com/m%d@v1.0.0" % number, "info").write_bytes(b"")
        (agent.build.path / "ab" / ("x%d" % number)).symlink_to("/nowhere")
    result = survey.run(agent.request())
    assert len(json.dumps(result)) < 100000
    build, mod = result["caches"]
    assert (len(mod["damage"]), mod["damage_seen"]) == (100, 150)
    assert (len(build["damage"]), build["damage_seen"]) == (100, 150)
    assert len(mod["biggest"]) == 20
    less = survey.run(agent.request(), details=False)
    assert set(less) == set(result)
    assert "biggest" not in less["caches"][1]


def test_details_never_change_what_a_key_means(agent: Any) -> None:
    agent.fill()
    (agent.mod.path / "strange@thing").mkdir()
    full, less = survey.run(agent.request()), survey.run(agent.request(), details=False)
    for one, other in zip(full["caches"], less["caches"]):
        assert {key: one[key] for key in other} == other


def test_no_cache_tells_where_it_looked(agent: Any, tmp_path: pathlib.Path) -> None:
    result = survey.run(agent.request(tmp_path / "missing"))
    assert result["caches"] == []
    assert str(tmp_path / "missing") in result["msg"]


def test_ages_have_classes_and_a_future(agent: Any) -> None:
    for number, age in enumerate((0, 2 * 3600, 3 * DAY, 10 * DAY, 20 * DAY, 40 * DAY, 100 * DAY, -DAY)):
        path = agent.build.path / "ab" / ("ab" + synthetic.sha(str(number))[2:] + "-d")
        path.touch()
        agent.build.age(path, age)
    result = survey.run(agent.request(agent.build.path))
    assert [(item["age"], item["entries"]) for item in result["caches"][0]["ages"]] == [
        ("future", 1),
        ("< 1h", 1),
        ("< 1d", 1),
        ("< 7d", 1),
        ("< 14d", 1),
        ("< 30d", 1),
        ("< 90d", 1),
        (">= 90d", 1),
    ]


def test_stale_work_folders_are_counted(agent: Any, tmp_path: pathlib.Path) -> None:
    for name, age in (("go-build111", 3 * DAY), ("go-build222", 60), ("go-buildx", 3 * DAY), ("other", 3 * DAY)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b001").write_bytes(b"x" * 5000)
        agent.build.age(tmp_path / name, age)
    (tmp_path / "go-build333").symlink_to("other")
    found = look.work_folders([str(tmp_path), "/nonexistent"], look.now_ns())
    assert (found["folders"], found["stale"]) == (2, 1)
    assert found["stale_bytes"] > 4096
    assert [os.path.basename(path) for path in found["examples"]] == ["go-build111"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives a cache to another user and looks as a third")
def test_what_the_rights_do_not_reach_is_told_in_entries_and_bytes(agent: Any) -> None:
    agent.fill()
    for path in [agent.home, *agent.home.parents][:-1]:
        path.chmod(path.stat().st_mode | 0o055)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(4242, 4242, 4242)
            os.setresuid(4242, 4242, 4242)
            result = survey.run(agent.request())
            os.write(write, json.dumps(result["unreached"]).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    told = json.loads(os.read(read, 10000))
    os.close(read)
    assert [(row["kind"], row["uid"], row["entries"] > 0, row["bytes"] > 0) for row in told] == [
        ("go-build", 0, True, True),
        ("go-mod", 0, True, True),
    ]


def test_a_disk_that_does_not_answer_is_unknown(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """F09."""
    host = find.find(agent.request())
    try:
        monkeypatch.setattr(mounts, "space", lambda _fd: None)
        assert [disk.known for disk in look.disks(host.caches).values()] == [False]
    finally:
        find.close(host.caches)
