# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caches that a run leaves alone: in use, on a file server, or needing rights that are not the owner's."""

from __future__ import annotations

import os
import pathlib
import time
from typing import Any, Dict, Iterator, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core.evict import Activity
from ansible_collections.gofleet.cache.plugins.module_utils._fs import mounts
from ansible_collections.gofleet.cache.plugins.module_utils._host import act, find, purge
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_work import live
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

DAY = synthetic.DAY
OLD: Dict[str, Any] = {"max_age": "10d", "private": []}
BUSY = Activity(((4711, 1, "go"),), True)
IDLE = Activity((), True)
UNKNOWN = Activity((), False)


@pytest.fixture
def old(agent: Any) -> Any:
    for number in range(3):
        agent.build.put(synthetic.sha("p%d" % number), b"object %d" % number, 90 * DAY)
    return agent


def uses(agent: Any, *answers: Activity) -> None:
    """From now on the scan answers this, the last one for ever."""
    rest = list(answers)

    def users(_cache: object, _seen: object = None) -> Activity:
        return rest.pop(0) if len(rest) > 1 else rest[0]

    agent.monkeypatch.setattr(act, "users", users)


@pytest.mark.parametrize(("activity", "word"), [(BUSY, "busy"), (UNKNOWN, "unknown"), (IDLE, "idle")])
def test_skip_leaves_a_cache_alone_unless_it_is_proven_idle(old: Any, activity: Activity, word: str) -> None:
    uses(old, activity)
    before = gocaches.photograph(old.build.path)
    result = old.purge(dict(OLD, busy="skip"), old.build.path)
    assert (result["caches"][0]["use"], "left_alone" in result["caches"][0]) == (word, word != "idle")
    assert (result["changed"], result["acts"]) == (word == "idle", True)
    if word != "idle":
        assert gocaches.photograph(old.build.path) == before
        assert any("left alone" in note for note in result["notes"])


def test_fail_touches_nothing_and_names_who_it_is(old: Any) -> None:
    uses(old, BUSY)
    before = gocaches.photograph(old.build.path)
    with pytest.raises(purge.Failed, match=r"in use by go \(pid 4711\)"):
        old.purge(dict(OLD, busy="fail"), old.build.path)
    assert gocaches.photograph(old.build.path) == before


def test_wait_goes_on_when_the_cache_is_idle(old: Any) -> None:
    uses(old, BUSY, BUSY, IDLE)
    assert old.purge(dict(OLD, busy="wait", time_limit="20s"), old.build.path)["evicted_entries"] == 6


def test_wait_ends_at_half_of_the_time_limit(old: Any) -> None:
    uses(old, BUSY)
    begun = time.monotonic()
    result = old.purge(dict(OLD, busy="wait", time_limit="2s"), old.build.path)
    assert (result["changed"], time.monotonic() - begun < 60) == (False, True)


def test_the_floor_alone_protects_where_nothing_else_is_asked(old: Any) -> None:
    uses(old, BUSY)
    assert old.purge(OLD, old.build.path)["evicted_entries"] == 6


# file servers


@pytest.fixture
def served(old: Any) -> Iterator[Any]:
    real = mounts.by_id
    old.monkeypatch.setattr(
        mounts,
        "by_id",
        lambda table=None: {number: mount._replace(network=True) for number, mount in real(table).items()},
    )
    return old


def test_nobody_cleans_a_file_server_unless_one_agent_is_named(served: Any) -> None:
    before = gocaches.photograph(served.build.path)
    for policy in (OLD, dict(OLD, network_agent="another-host")):
        result = served.purge(policy, served.build.path)
        assert (result["changed"], result["planned_entries"], result["caches"][0]["surveyed"]) == (False, 0, False)
        assert any("network file system" in note for note in result["notes"])
    assert gocaches.photograph(served.build.path) == before


def test_the_named_agent_cleans_it_down_to_the_floor_and_never_below(served: Any) -> None:
    me = os.uname().nodename
    served.build.put(synthetic.sha("young"), b"young", 1800)
    result = served.purge(
        {"wipe": True, "floor": 0, "idle": "asserted", "network_agent": me, "private": []}, served.build.path
    )
    assert result["evicted_entries"] == 6
    assert any("not proven idle" in note for note in result["notes"])
    assert len(served.build.files()) == 2


def test_a_server_whose_clock_is_behind_keeps_what_it_dated_last(served: Any) -> None:
    """Its newest entry is a month old by our clock: then the server lives a month ago, and so does its last build."""
    for path in served.build.path.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 30 * DAY, time.time() - 30 * DAY))
    (served.build.path / "trim.txt").write_text("%d" % (time.time() - 30 * DAY))
    os.utime(served.build.path / "trim.txt", (time.time() - 30 * DAY, time.time() - 30 * DAY))
    result = served.purge({"wipe": True, "network_agent": os.uname().nodename, "private": []}, served.build.path)
    assert (result["changed"], {row["reason"] for row in result["protected"]}) == (False, {"floor"})


# root's rights in a user's cache


@pytest.fixture
def foreign(old: Any) -> Tuple[Any, str]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    shards = sorted({path.parent for path in old.build.path.rglob("*-a")})
    for path in [old.build.path, *old.build.path.rglob("*")]:
        os.chown(path, 65534, 65534)
    for folder in (old.home, *old.home.parents):
        if folder.stat().st_mode & 0o005 != 0o005 and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    for path in [shards[0], *shards[0].iterdir()]:
        os.chown(path, 0, 0)
    return old, shards[0].name


def test_what_roots_builds_left_in_a_users_cache_goes_with_roots_rights(foreign: Tuple[Any, str]) -> None:
    agent, shard = foreign
    result = agent.purge(OLD, agent.build.path)
    assert (result["evicted_entries"], result["left_out_entries"]) == (6, 0)
    assert list((agent.build.path / shard).iterdir()) == []


def test_with_a_quarantine_it_stays(foreign: Tuple[Any, str]) -> None:
    agent, shard = foreign
    kept = sorted(path.name for path in (agent.build.path / shard).iterdir())
    result = agent.purge(dict(OLD, quarantine="1d"), agent.build.path)
    assert {item["reason"] for item in result["left_out"]} >= {"other owner"}
    assert sorted(path.name for path in (agent.build.path / shard).iterdir()) == kept


@pytest.mark.parametrize("owner", [0, 65534])
def test_work_folders_go_at_once_whosever_they_are_and_whatever_the_quarantine(
    old: Any, tmp_path: pathlib.Path, owner: int
) -> None:
    """They have no quarantine: nothing is told to lie in one, and no rights are wanting."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    place = tmp_path.resolve() / "work"
    (place / "go-build123/b001").mkdir(parents=True)
    (place / "go-build123/b001/importcfg").write_bytes(b"x" * 5000)
    (place / "go-build123").chmod(0o700)
    place.chmod(0o1777)
    for path in (place / "go-build123", *(place / "go-build123").rglob("*")):
        os.chown(path, owner, owner)
    real = find._beside

    def beside(*given: Any) -> Any:
        """Nothing of this machine's own temporary files."""
        return [cache for cache in real(*given) if cache.root.path == str(place)]

    old.monkeypatch.setattr(find, "_beside", beside)
    old.monkeypatch.setattr(live, "_go", lambda _base: None)  # whatever else this machine builds
    old.settings(GOTMPDIR=str(place))
    old.later(5)
    policy = {"caches": [{"kind": "go-work", "max_age": "1d"}], "quarantine": "1d"}
    check = purge.run(find.Request(), policy, purge.Options(True))
    result = purge.run(find.Request(), policy, purge.Options(False))
    assert list(place.iterdir()) == []
    assert (result["evicted_entries"], result["left_out"], result["quarantine_run"]) == (1, [], "")
    assert check["predicted_bytes"] == result["freed_bytes"] > 5000
    assert all(row.get("quarantined_bytes", 0) == 0 for row in check["caches"] + result["caches"])
