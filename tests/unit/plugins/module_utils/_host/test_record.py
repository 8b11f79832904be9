# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a purge asks of the journal and tells it, over several purges."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._host import purge, record
from ansible_collections.gofleet.cache.tests.fixtures import synthetic

DAY = synthetic.DAY
OLD: Dict[str, Any] = {"caches": [{"kind": "go-build", "max_age": "10d"}]}


def put(agent: Any, first: int, count: int, age: float) -> None:
    for number in range(first, first + count):
        agent.build.put(synthetic.sha("p%d" % number), b"object %d" % number, age)


def test_what_builds_make_anew_is_regret_and_what_an_archive_brings_back_is_not(agent: Any) -> None:
    put(agent, 0, 5, 90 * DAY)
    assert agent.purge(OLD, agent.build.path)["evicted_entries"] == 10
    put(agent, 0, 2, 0)
    put(agent, 2, 1, 90 * DAY)
    check = agent.purge(OLD, agent.build.path, check=True)
    (told,) = [cache["regret"] for cache in check["caches"]]
    assert (told["entries"], told["restored_entries"]) == (4, 2)
    assert min(told["bytes"], told["restored_bytes"]) > 0
    (again,) = [cache["regret"] for cache in agent.purge(OLD, agent.build.path)["caches"]]
    assert again == told, "a check has changed the journal"
    (later,) = [cache["regret"] for cache in agent.purge(OLD, agent.build.path)["caches"]]
    assert (later["entries"], later["restored_entries"]) == (0, 0), "regret was counted twice"
    notes: list[str] = []
    history = record.history(10, notes.append)
    assert [run["evicted_entries"] for run in history["runs"]] == [0, 2, 10]
    assert [policy["regret"]["entries"] for policy in history["policies"]] == [4]
    assert notes == []


def test_a_purge_without_a_journal_evicts_the_same_and_says_so(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(agent, 0, 3, 90 * DAY)
    with_one = agent.purge(OLD, agent.build.path, check=True)

    def none(_write: bool, note: Any) -> None:
        note("no journal is kept: a test")

    monkeypatch.setattr(record.store, "open_journal", none)
    result = purge.run(agent.request(agent.build.path), OLD, purge.Options(False))
    assert (result["plan_digest"], result["evicted_entries"]) == (with_one["plan_digest"], 6)
    assert "no journal is kept: a test" in result["notes"]
