# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a crew of processes evicts, beside what one process does alone."""

from __future__ import annotations

import os
import pathlib
import signal
from typing import Any, Callable, Dict, List, Optional, Set

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict as core
from ansible_collections.gofleet.cache.plugins.module_utils._fs import crew
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import evict
from ansible_collections.gofleet.cache.tests.fixtures import synthetic

DAY = synthetic.DAY
OLD: Dict[str, object] = {"max_age": "30d"}


@pytest.fixture(autouse=True)
def crews(monkeypatch: pytest.MonkeyPatch) -> List[crew.Crew]:
    """Every eviction gets a crew, on a machine with two processors; returns those that were made."""
    made: List[crew.Crew] = []

    class Counted(crew.Crew):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(evict, "_MANY", 1)
    monkeypatch.setattr(evict, "_SETTLE", 0.01)
    monkeypatch.setattr(evict, "_PIECE", 4)
    monkeypatch.setattr(evict, "_SLICE", 64)
    monkeypatch.setattr(evict, "_OUTPUTS_SLICE", 128)
    monkeypatch.setattr(evict, "_LEAVE", 40)
    monkeypatch.setattr(evict.crew, "Crew", Counted)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    return made


def fill(path: pathlib.Path) -> synthetic.Build:
    cache = synthetic.Build(path)
    for number in range(150):
        cache.put(synthetic.sha("package %d" % number), b"object %d" % number, age=(number % 60 + 10) * DAY)
    for number in range(20):
        cache.vet("p%d" % number, age=90 * DAY)
    cache.executable("vet", b"tool", age=90 * DAY)
    return cache


def drift(cache: synthetic.Build) -> None:
    """What happens between a plan and its eviction: entries are used, replaced, gone."""
    names = sorted(cache.files())
    for name in names[::9]:
        cache.age(cache.path / name[:2] / name, 60)
    for name in names[4::17]:
        if (cache.path / name[:2] / name).is_file():
            (cache.path / name[:2] / name).unlink()


def purge(cache: synthetic.Build, work: Optional[core.Job] = None, between: Any = None) -> core.Outcome:
    plan = synthetic.make_plan(cache.survey(), OLD)
    if between is not None:
        between(cache)
    return synthetic.apply(cache.path, plan, work)


def test_a_crew_does_what_one_process_does(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, crews: List[crew.Crew]
) -> None:
    together, alone = fill(tmp_path.resolve() / "together"), fill(tmp_path.resolve() / "alone")
    one = purge(together, between=drift)
    assert len(crews) == 1
    monkeypatch.setattr(evict, "_MANY", 10**9)
    two = purge(alone, between=drift)
    assert len(crews) == 1
    assert together.files() == alone.files()
    first, second = one.data(), two.data()
    for data in (first, second):
        data["samples"] = sorted(item["path"] for item in data["samples"])
    assert first == second
    assert one.evicted > 100
    assert {core.USED, core.GONE} <= set(one.skipped)
    assert one.error == ""


def test_everything_goes_and_is_counted(tmp_path: pathlib.Path, crews: List[crew.Crew]) -> None:
    cache = fill(tmp_path.resolve() / "cache")
    plan = synthetic.make_plan(cache.survey(), {"wipe": True})
    told: List[Any] = []
    out = synthetic.apply(cache.path, plan, synthetic.job()._replace(tell=lambda *sums: told.append(sums)))
    assert crews
    assert (out.evicted, out.freed, out.skipped, out.error) == (plan.entries, plan.bytes, {}, "")
    assert cache.files() == []
    assert all(out.went(row) for row in plan.caches[0].rows)
    assert told == sorted(told), "sums only grow"
    assert told[-1][1] == plan.bytes


def test_a_running_build_meets_no_crew(tmp_path: pathlib.Path, crews: List[crew.Crew]) -> None:
    """It would feel it."""
    cache = fill(tmp_path.resolve() / "cache")
    busy = core.Activity(((4711, 1, "go"),), True)
    assert purge(cache, synthetic.job(scan=lambda: busy)).evicted > 100
    assert crews == []


def test_who_cannot_see_every_tool_sends_no_crew(tmp_path: pathlib.Path, crews: List[crew.Crew]) -> None:
    cache = fill(tmp_path.resolve() / "cache")
    part = core.Activity((), False)
    assert purge(cache, synthetic.job(scan=lambda: part)).evicted > 100
    assert crews == []


@pytest.mark.parametrize("below", [False, True])
def test_outputs_are_left_to_a_tool_that_comes_meanwhile(
    tmp_path: pathlib.Path, crews: List[crew.Crew], below: bool
) -> None:
    """Above the floor they then go the careful way; below it they stay."""
    cache = fill(tmp_path.resolve() / "cache")
    seen = [0]

    def scan() -> core.Activity:
        seen[0] += 1
        return core.Activity(((4711, 1, "go"),) if seen[0] > 4 else (), True)

    plan = synthetic.make_plan(cache.survey(), OLD)
    asides: List[str] = []
    work = synthetic.job(scan=scan, below_floor=below, step=asides.append)._replace(local=True)
    out = synthetic.apply(cache.path, plan, work)
    assert crews
    assert out.error == ""
    assert out.evicted + sum(cell[0] for cell in out.skipped.values()) == plan.entries
    if below:
        assert 40 < out.skipped[core.BUSY][0] < plan.entries
        assert "aside" not in asides
    else:
        assert out.evicted == plan.entries
        assert "aside" in asides


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 5, 8])
def test_what_the_time_limit_cuts_off_is_counted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    cache = fill(tmp_path.resolve() / "cache")
    plan = synthetic.make_plan(cache.survey(), OLD)
    calls = [0]

    def late(_job: core.Job) -> bool:
        calls[0] += 1
        return calls[0] > limit

    monkeypatch.setattr(core.Job, "late", late)
    before = len(cache.files())
    out = synthetic.apply(cache.path, plan)
    assert out.error == ""
    assert before - len(cache.files()) == out.evicted < plan.entries
    assert out.evicted + sum(cell[0] for cell in out.skipped.values()) == plan.entries


def _die_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A member is killed at its unlink of this number; the process of the test is none."""
    me = os.getpid()
    count = [0]
    real: Callable[..., None] = os.unlink

    def unlink(*args: Any, **more: Any) -> None:
        if os.getpid() != me:
            if count[0] >= number:
                os.kill(os.getpid(), signal.SIGKILL)
            count[0] += 1
        real(*args, **more)

    monkeypatch.setattr(os, "unlink", unlink)


def facts_without_findings(cache: synthetic.Build, names: List[str]) -> List[str]:
    """Packages whose vet would turn green: the facts are there, the findings are not."""
    now: Set[str] = set(cache.files())
    found = []
    for name in names:
        facts = synthetic.sha("facts " + name)
        if facts + "-a" in now and synthetic.subkey(facts, "stdout") + "-a" not in now:
            found.append(name)
    return found


@pytest.mark.parametrize("number", [0, 1, 3, 10, 20, 30, 45])
def test_a_killed_member_ends_the_run_tells_no_lie_and_the_next_run_converges(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    cache = fill(tmp_path.resolve() / "cache")
    before = len(cache.files())
    with monkeypatch.context() as patch:
        _die_at(patch, number)
        out = purge(cache)
    gone = before - len(cache.files())
    assert "crew" in out.error
    assert out.evicted <= gone
    assert facts_without_findings(cache, ["p%d" % at for at in range(20)]) == []
    again = purge(cache)
    assert again.error == ""
    left = synthetic.make_plan(cache.survey(), OLD)
    assert left.entries == 0


def test_without_processes_to_be_had_it_works_alone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = fill(tmp_path.resolve() / "cache")

    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    out = purge(cache)
    assert out.error == ""
    assert out.evicted > 100


@pytest.mark.parametrize("number", [0, 50, 150])
def test_an_error_of_the_disk_ends_the_run_and_is_told(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Also in the last piece of a phase, where nobody is left to notice."""
    cache = fill(tmp_path.resolve() / "cache")
    plan = synthetic.make_plan(cache.survey(), OLD)
    before = set(cache.files())
    broken = cache.survey().entries.key(plan.caches[0].rows[number]).decode()[3:]
    real = os.stat

    def stat(path: Any, *args: Any, **more: Any) -> os.stat_result:
        if path == broken:
            raise OSError(5, "Input/output error")
        return real(path, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stat)
        out = synthetic.apply(cache.path, plan)
    assert "Input/output error" in out.error
    gone = len(before) - len(cache.files())
    assert out.evicted == gone
    assert broken in cache.files()
