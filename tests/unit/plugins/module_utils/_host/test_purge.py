# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import threading
import time
from typing import Any, Dict, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict as core
from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._core.units import BadPolicy
from ansible_collections.gofleet.cache.plugins.module_utils._fs import mounts
from ansible_collections.gofleet.cache.plugins.module_utils._go import modindex
from ansible_collections.gofleet.cache.plugins.module_utils._host import act, find, look, plans, purge, schema
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import evict as build_evict
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, mountspace, synthetic

DAY = synthetic.DAY
OLD: Dict[str, Any] = {"max_age": "10d", "private": ["git.corp.example"]}


def test_a_check_leaves_everything_as_it_was(agent: Any, photograph: Any) -> None:
    """F13: modes, owners, and modification, change and access times of every file and folder."""
    agent.fill()
    agent.later(100)
    gocaches.age_access(agent.build.path)
    before = photograph(agent.home)
    result = agent.purge(OLD, check=True)
    assert result["changed"]
    assert result["planned_entries"] > 5
    assert photograph(agent.home) == before


def test_a_check_and_the_run_have_the_same_plan_and_the_same_keys(agent: Any) -> None:
    agent.fill()
    agent.later(100)
    check = agent.purge(OLD, check=True)
    run = agent.purge(OLD)
    assert set(check) == set(run)
    for key in ("plan_digest", "planned_entries", "predicted_bytes", "changed", "protected", "pending", "evicted"):
        assert check[key] == run[key], key
    assert check["freed_bytes"] == 0
    assert run["freed_bytes"] == run["predicted_bytes"] > 0
    assert run["evicted_entries"] == run["planned_entries"] == check["evicted_entries"]
    assert run["left_out"] == []


def test_purges_converge(agent: Any) -> None:
    """F37: what is pending needs one more run, and then nothing changes."""
    agent.fill()
    agent.later(100)
    first = agent.purge(OLD)
    assert sum(row["entries"] for row in first["pending"]) == 2
    second = agent.purge(OLD)
    assert second["changed"]
    assert second["pending"] == []
    third = agent.purge(OLD)
    assert not third["changed"]
    assert (third["planned_entries"], third["freed_bytes"]) == (0, 0)
    assert agent.purge(OLD)["plan_digest"] == third["plan_digest"]
    assert agent.mod.tree("git.corp.example/c@v1.0.0").exists()


def test_what_a_private_setting_names_stays_without_any_policy_for_it(agent: Any) -> None:
    agent.fill()
    agent.settings(GOPRIVATE="git.corp.example")
    agent.later(100)
    result = agent.purge({"wipe": True})
    agent.purge({"wipe": True})
    assert {"private"} <= {row["reason"] for row in result["protected"]}
    assert agent.mod.tree("git.corp.example/c@v1.0.0").exists()
    assert not agent.mod.at("example.com/a@v1.0.0", "zip").exists()


def test_bytes_are_measured_and_predicted(agent: Any) -> None:
    agent.fill()
    agent.later(100)

    def du() -> int:
        done = subprocess.run(["du", "-s", "-B1", str(agent.home)], capture_output=True, text=True, check=True)
        return int(done.stdout.split()[0])

    before = du()
    result = agent.purge(OLD)
    assert before - du() == result["freed_bytes"]
    assert sum(cache["freed_bytes"] for cache in result["caches"]) == result["freed_bytes"]


def test_an_agent_above_the_start_mark_is_left_alone_unseen(
    agent: Any, monkeypatch: pytest.MonkeyPatch, photograph: Any
) -> None:
    """One look at the file system is all it costs."""
    agent.fill()
    monkeypatch.setattr(mounts, "space", lambda _fd: mounts.Space(100, 50, 50, 100, 50))
    monkeypatch.setattr(look, "survey", lambda _cache: pytest.fail("a cache was looked at"))
    before = photograph(agent.home)
    result = agent.purge(dict(policies.DEFAULT))
    assert (result["changed"], result["acts"], result["planned_entries"]) == (False, False, 0)
    assert [cache["surveyed"] for cache in result["caches"]] == [False, False]
    assert photograph(agent.home) == before


def test_the_default_takes_the_oldest_until_the_stop_mark(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        agent.build.put(synthetic.sha("p%d" % number), b"%d" % number, age=(2 + number * 0.1) * DAY)
    total = 100 * 40960
    free = int(total * 0.149)
    monkeypatch.setattr(mounts, "space", lambda _fd: mounts.Space(total, free, total - free, 100, 50))
    result = agent.purge(dict(policies.DEFAULT), agent.build.path)
    assert result["acts"]
    wanted = int(total * 0.25) - free
    assert wanted > result["planned_entries"] * 4096 or result["predicted_bytes"] - 4096 < wanted
    youngest = synthetic.sha("p0") + "-a"
    assert result["planned_entries"] == 40 or youngest in agent.build.files()


@pytest.mark.parametrize("space", [None, mounts.Space(0, 0, 0, 0, 0)])
def test_a_disk_that_cannot_be_measured_starts_nothing(
    agent: Any, monkeypatch: pytest.MonkeyPatch, space: Any, photograph: Any
) -> None:
    """F09."""
    agent.fill()
    agent.later(900)
    monkeypatch.setattr(mounts, "space", lambda _fd: space)
    before = photograph(agent.home)
    assert not agent.purge(dict(policies.DEFAULT))["changed"]
    assert photograph(agent.home) == before


@pytest.mark.parametrize(
    "document",
    [{"floor": "5m"}, {"max_age": "soon"}, {"unknown": 1}, {"caches": [{"kind": "npm"}]}, {"max_size": "1XB"}],
)
def test_a_nonsense_policy_is_refused_before_anything_is_looked_at(
    agent: Any, document: Dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "find", lambda _request: pytest.fail("something was looked at"))
    with pytest.raises(BadPolicy):
        agent.purge(document)


def test_a_refused_path_stops_the_whole_purge(agent: Any, tmp_path: pathlib.Path, photograph: Any) -> None:
    agent.fill()
    agent.later(900)
    before = photograph(agent.home)
    for bad in (tmp_path, "/", "", "off", agent.home):
        with pytest.raises(find.BadRequest):
            agent.purge({"wipe": True, "private": []}, agent.build.path, bad)
    assert photograph(agent.home) == before


def test_missing_caches_are_fine(agent: Any, tmp_path: pathlib.Path) -> None:
    result = agent.purge({"wipe": True}, tmp_path / "missing")
    assert (result["changed"], result["caches"]) == (False, [])


@pytest.mark.parametrize("how", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_a_second_cleaner_leaves_at_once(agent: Any, how: int) -> None:
    """F32, F33."""
    agent.fill()
    agent.later(100)
    fds = [os.open(str(path), os.O_RDONLY) for path in (agent.build.path, agent.mod.path)]
    try:
        for fd in fds:
            fcntl.flock(fd, how)
        begun = time.monotonic()
        result = agent.purge(OLD)
        assert time.monotonic() - begun < 60
    finally:
        for fd in fds:
            os.close(fd)
    assert not result["changed"]
    assert result["left_out_entries"] == result["planned_entries"] > 0
    assert {item["reason"] for item in result["left_out"]} == {"another cleaner is at work"}
    assert agent.purge(OLD)["changed"]


def test_many_cleaners_together_free_what_one_frees(agent: Any) -> None:
    """F32: no byte is counted twice."""
    agent.fill()
    agent.later(100)
    planned = agent.purge(OLD, check=True)
    results: List[Dict[str, Any]] = []

    def clean() -> None:
        results.append(agent.purge(OLD))

    threads = [threading.Thread(target=clean) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    # A cleaner may take one cache while another has the next, so the plan is carried out by one or by several.
    before = sum(cache["allocated"] for cache in planned["caches"])
    after = sum(cache["allocated"] for cache in agent.purge(OLD, check=True)["caches"])
    freed = sum(result["freed_bytes"] for result in results)
    assert planned["predicted_bytes"] <= freed <= before - after


def test_a_time_limit_ends_the_run_and_tells_what_is_left(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """F42."""
    agent.fill()
    agent.later(100)

    real = time.monotonic
    passed = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])

    def slow(name: str) -> None:
        if name == "actions":
            passed[0] = 3600.0

    document = dict(OLD, time_limit="30m")
    result = agent.purge(document, threads=1, step=slow)
    assert result["changed"]
    assert {item["reason"] for item in result["left_out"]} == {core.TIME}
    assert result["evicted_entries"] + result["left_out_entries"] == result["planned_entries"]
    again = agent.purge(OLD)
    assert again["left_out_entries"] == 0


def test_an_error_tells_what_was_done_and_the_other_caches_are_cleaned(agent: Any) -> None:
    agent.fill()
    agent.later(100)

    def fail(name: str) -> None:
        if name == "actions":
            raise OSError(28, "No space left on device")

    with pytest.raises(purge.Failed, match=r"go-build: the purge stopped: .*No space left") as error:
        agent.purge(OLD, step=fail)
    result = error.value.result
    assert result["changed"]
    build, mod = result["caches"]
    assert build["evicted_entries"] > 0
    assert mod["evicted_entries"] == mod["planned_entries"] > 0
    assert set(result) == set(agent.purge(OLD, check=True))


def test_without_proof_of_idleness_the_floor_is_the_default(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wipe obeys the floor like everything else."""
    agent.build.put(synthetic.sha("young"), b"young", age=2 * synthetic.HOUR)
    busy = act.running.Scan((act.running.Tool(4711, 1, "go", 0, None, None),), 0, True)
    monkeypatch.setattr(act.running, "scan", lambda: busy)
    result = agent.purge({"wipe": True, "floor": 0, "idle": "scan"}, agent.build.path)
    assert not result["changed"]
    assert any("not proven idle" in note for note in result["notes"])
    part = act.running.Scan((), 5, False)
    monkeypatch.setattr(act.running, "scan", lambda: part)
    assert not agent.purge({"wipe": True, "floor": 0, "idle": "scan"}, agent.build.path)["changed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a complete scan of all processes")
def test_a_proven_idle_agent_may_be_wiped_and_stays_a_cache(agent: Any) -> None:
    agent.build.put(synthetic.sha("young"), b"young", age=60)
    result = agent.purge({"wipe": True, "floor": 0, "idle": "scan"}, agent.build.path)
    assert result["evicted_entries"] == 2
    assert (agent.build.path / "README").exists()
    assert not agent.purge({"wipe": True, "floor": 0, "idle": "scan"}, agent.build.path)["changed"]


def test_an_agent_that_somebody_drained_may_be_wiped(agent: Any) -> None:
    agent.fill()
    result = agent.purge({"wipe": True, "floor": 0, "idle": "asserted", "private": []})
    assert result["left_out"] == []
    agent.purge({"wipe": True, "floor": 0, "idle": "asserted", "private": []})
    assert agent.build.files() == []
    assert not list(agent.mod.path.glob("cache/download/**/*.zip"))
    assert list(agent.mod.path.glob("cache/download/**/*.info"))


def test_a_cache_on_a_network_file_system_is_never_below_the_floor(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.build.put(synthetic.sha("young"), b"young", age=60)
    real = mounts.by_id()
    monkeypatch.setattr(mounts, "by_id", lambda: {k: m._replace(network=True, fstype="nfs4") for k, m in real.items()})
    assert not agent.purge({"wipe": True, "floor": 0, "idle": "asserted"}, agent.build.path)["changed"]


def test_results_are_small_plain_data_however_much_there_was(agent: Any) -> None:
    for number in range(400):
        agent.build.put(synthetic.sha(str(number)), b"%d" % number, age=90 * DAY)
    check = agent.purge(OLD, check=True)
    assert check["truncated"]
    assert (check["planned_entries"], len(check["evicted"])) == (800, 100)
    assert len(json.dumps(check)) < 100000
    assert json.loads(json.dumps(check)) == check
    run = agent.purge(OLD)
    assert len(json.dumps(run)) < 100000


@pytest.mark.parametrize("count", [30, 300])
def test_what_stayed_is_never_listed_as_evicted(agent: Any, count: int) -> None:
    for number in range(count):
        agent.build.put(synthetic.sha(str(number)), b"%d" % number, age=90 * DAY)

    def use(name: str) -> None:
        if name == "quiet":
            for path in agent.build.path.glob("??/*-d"):
                agent.build.age(path, 0)

    result = agent.purge(OLD, step=use)
    assert (result["evicted_entries"], result["left_out_entries"]) == (count, count)
    assert len(result["left_out"]) == min(count, 100)
    left = set(agent.build.files())
    assert not {item["path"][3:] for item in result["evicted"]} & left
    assert result["truncated"] is (count > 100)


def test_one_cleaner_does_not_see_his_own_folders_as_a_build(agent: Any) -> None:
    """F28: a purge a day during a holiday must not age the cache by a day each."""
    agent.build.age(agent.build.path / "trim.txt", 40 * DAY)
    (agent.build.path / "trim.txt").write_text(str(int(time.time()) - 40 * DAY), encoding="ascii")
    agent.build.age(agent.build.path / "trim.txt", 40 * DAY)
    for number in range(30):
        agent.build.put(synthetic.sha(str(number)), b"%d" % number, age=(40 + number) * DAY)
    document = {"max_age": "10d"}
    first = agent.purge(document, agent.build.path)
    assert 0 < first["planned_entries"] < 60
    assert agent.purge(document, agent.build.path)["planned_entries"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: cleans another user's cache with that user's rights")
def test_as_root_another_accounts_cache_is_cleaned_with_its_owners_rights(agent: Any) -> None:
    """F15: nothing changes hands, and root's scan is still asked."""
    agent.fill()
    agent.later(100)
    for path in [agent.home, *agent.home.rglob("*")]:
        os.chown(str(path), 4242, 4242, follow_symlinks=False)
    for path in [*agent.home.parents][:-1]:
        path.chmod(path.stat().st_mode | 0o055)
    scans: List[int] = []

    def scan() -> Any:
        scans.append(os.geteuid())
        return act.running.Scan((), 0, True)

    agent.monkeypatch.setattr(act.running, "scan", scan)
    agent.mod.at("example.com/a@v1.0.0", "lock").unlink()
    result = agent.purge(OLD)
    assert result["left_out"] == []
    assert result["freed_bytes"] == result["predicted_bytes"] > 0
    assert scans == [0] * len(scans) != []
    assert {path.lstat().st_uid for path in [agent.home, *agent.home.rglob("*")]} == {4242}


def test_as_a_plain_user_somebody_elses_cache_is_told_and_left(agent: Any, photograph: Any) -> None:
    agent.fill()
    agent.later(100)
    before = photograph(agent.home)
    other = os.geteuid() + 1 if os.geteuid() else 4242
    agent.monkeypatch.setattr(os, "geteuid", lambda: other)
    result = agent.purge(OLD)
    assert (result["changed"], result["caches"]) == (False, [])
    assert [(row["kind"], row["entries"] > 0, row["bytes"] > 0) for row in result["unreached"]] == [
        ("go-build", True, True),
        ("go-mod", True, True),
    ]
    assert photograph(agent.home) == before


def test_the_index_of_an_evicted_tree_goes_with_it(agent: Any) -> None:
    agent.mod.add("example.com/a@v1.0.0")
    agent.mod.add("golang.org/toolchain@v0.0.1-go1.24.0.linux-amd64", tree=False)
    tree = agent.mod.tree("example.com/a@v1.0.0")
    index = agent.build.file(modindex.entry("go1.24.0", str(tree))[3:])
    index.write_bytes(b"index")
    agent.later(100)
    policy = {"caches": [{"kind": "go-mod", "modules": ["example.com/a@*"]}]}
    agent.build.age(index, -100 * DAY)
    agent.purge(policy)
    assert tree.exists()  # a build used it a moment ago, whatever the module cache says
    agent.build.age(index, 0)
    agent.purge(policy)
    assert not tree.exists()
    assert not index.exists()


def test_a_rule_for_one_kind_leaves_the_other_alone(agent: Any) -> None:
    agent.fill()
    agent.later(900)
    before = gocaches.photograph(agent.mod.path)
    agent.purge({"caches": [{"kind": "go-build", "wipe": True}]})
    assert agent.build.files() == []
    assert gocaches.photograph(agent.mod.path) == before


def test_every_key_is_there_whatever_happened(agent: Any, tmp_path: pathlib.Path) -> None:
    agent.fill()
    agent.later(100)
    results = [agent.purge(OLD, check=True), agent.purge(OLD), agent.purge({}), agent.purge(OLD, tmp_path / "missing")]
    assert all(set(result) >= set(schema.empty()) for result in results)
    assert len({frozenset(result) for result in results}) == 1


def test_a_sentence_tells_it_all(agent: Any) -> None:
    agent.fill()
    agent.later(100)
    result = agent.purge(OLD, check=True)
    told = schema.sentence(result, True)
    assert told.startswith("would evict %d entries, " % result["planned_entries"])
    assert "2 pending (max_age)" in told
    assert "private" in told
    assert schema.sentence(agent.purge(OLD), False).startswith("evicted ")


def test_a_cache_on_a_mount_of_its_own_is_cleaned(agent: Any, tmp_path: pathlib.Path) -> None:
    """As CI's volumes are."""
    agent.build.put(synthetic.sha("old"), b"old", age=90 * DAY)
    place = tmp_path.resolve() / "volume"
    place.mkdir()
    code = """
    from ansible_collections.gofleet.cache.plugins.module_utils._host import find, purge
    bind(sys.argv[1], sys.argv[2])
    result = purge.run(find.Request(paths=[sys.argv[2]], discover=False), {"wipe": True}, purge.Options(False))
    print(result["evicted_entries"], result["caches"][0]["path"])
    """
    assert mountspace.run(code, str(agent.build.path), str(place)) == "2 %s" % place


def test_vet_stays_red_over_every_purge(
    tmp_path: pathlib.Path, go_binary: str, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs that were stored again look as old as they were the first time; losing them alone turns vet green."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "go.mod").write_text("module example.org/p\n\ngo 1.21\n", encoding="ascii")
    # The other package's facts are as empty, so that their common output is there whenever one of them was vetted.
    (project / "clean").mkdir()
    (project / "clean/clean.go").write_text("package clean\n\nconst One = 1\n", encoding="ascii")
    code = 'package p\n\nimport "example.org/p/clean"\n\nfunc F(x int) int {\n\tx = x\n\treturn x + clean.One\n}\n'
    (project / "p.go").write_text(code, encoding="ascii")
    env = {"PATH": os.path.dirname(go_binary) + ":/usr/bin:/bin", "HOME": str(agent.home), "GOENV": "off"}
    env.update(GOCACHE=str(agent.build.path), CGO_ENABLED="0", GOTOOLCHAIN="local", GOTELEMETRY="off", GOFLAGS="")

    def vet() -> int:
        done = subprocess.run(
            [go_binary, "vet", "."], cwd=str(project), env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or "self-assignment" in done.stderr, done.stderr
        return done.returncode

    def ages(seconds: float) -> None:
        for path in agent.build.path.glob("??/*"):
            agent.build.age(path, seconds)

    monkeypatch.setattr(build_evict, "_SETTLE", 0.0)
    red = vet()
    assert red != 0
    ages(10 * DAY + 1800)
    first = agent.purge({"max_age": "10d"}, agent.build.path)
    assert first["evicted_entries"] > 0
    assert [name for name in agent.build.files() if name.endswith("-d")]
    assert vet() == red
    agent.later(0.1)
    second = agent.purge({"max_age": "10d"}, agent.build.path)
    assert second["evicted_entries"] > 0
    assert vet() == red


@pytest.mark.parametrize("how", ["another process", "no fork", "killed"])
def test_a_long_plans_digest_is_the_one_that_a_check_tells(
    agent: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    agent.fill()
    agent.later(100)
    check = agent.purge(OLD, check=True)
    monkeypatch.setattr(plans, "_LONG", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    made: List[int] = []

    class Digest(plans.Digest):
        def __init__(self, plan: Any) -> None:
            real = os.fork
            with monkeypatch.context() as patch:

                def fork() -> int:
                    if how == "no fork":
                        raise BlockingIOError
                    pid = real()
                    if pid == 0 and how == "killed":
                        os.kill(os.getpid(), signal.SIGKILL)
                    made.append(pid)
                    return pid

                patch.setattr(os, "fork", fork)
                super().__init__(plan)

    monkeypatch.setattr(plans, "Digest", Digest)
    open_files = len(os.listdir("/proc/self/fd"))
    run = agent.purge(OLD)
    assert run["plan_digest"] == check["plan_digest"]
    assert run["largest"] == check["largest"]
    assert len(made) == (0 if how == "no fork" else 1)
    assert len(os.listdir("/proc/self/fd")) == open_files
    for pid in made:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
