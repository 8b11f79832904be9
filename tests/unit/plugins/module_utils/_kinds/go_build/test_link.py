# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
from typing import Dict, List, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import Survey
from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.table import KINDS
from ansible_collections.gofleet.cache.tests.fixtures import synthetic

DAY = synthetic.DAY
HOUR = synthetic.HOUR


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> synthetic.Build:
    return synthetic.Build(tmp_path.resolve() / "go-build")


def rows(seen: Survey) -> Dict[str, int]:
    return {seen.entries.key(n).decode()[3:]: n for n in range(len(seen.entries))}


def planned(seen: Survey, **limits: object) -> List[str]:
    steps = synthetic.make_plan(seen, dict(limits)).caches[0]
    return [seen.entries.key(row).decode()[3:] for row in steps.rows]


def guards(cache: synthetic.Build, paths: Dict[str, pathlib.Path]) -> Tuple[int, int]:
    seen = cache.survey()
    row = rows(seen)
    found = seen.entries.guard[row[paths["findings"].name]]
    output = seen.entries.guard[row[paths["findings_d"].name]]
    assert found == row[paths["facts"].name]
    assert output == row[paths["findings"].name]
    assert seen.entries.phase[row[paths["findings"].name]] == 1
    assert seen.entries.guard[row[paths["facts_d"].name]] == -1
    return found, output


def test_findings_hang_on_facts_and_their_output_on_them(cache: synthetic.Build) -> None:
    guards(cache, cache.vet("p"))


@pytest.mark.parametrize("word", ["stdout", "fix.zip", "link-stdout"])
def test_every_output_that_go_takes_for_optional_is_tied(cache: synthetic.Build, word: str) -> None:
    main, _d = cache.put(synthetic.sha("main"), b"main")
    extra, extra_d = cache.put(synthetic.subkey(synthetic.sha("main"), word), b"extra")
    seen = cache.survey()
    row = rows(seen)
    assert seen.entries.guard[row[extra.name]] == row[main.name]
    assert seen.entries.guard[row[extra_d.name]] == row[extra.name]


def test_other_actions_stand_alone(cache: synthetic.Build) -> None:
    cache.put(synthetic.sha("a"), b"a")
    cache.put(synthetic.subkey(synthetic.sha("missing"), "stdout"), b"b")
    cache.put(synthetic.subkey(synthetic.sha("a"), "srcfiles"), b"c")
    seen = cache.survey()
    assert set(seen.entries.guard) == {-1}


def test_findings_of_facts_in_use_stay_however_old_they_look(cache: synthetic.Build) -> None:
    """Both are dated at most once an hour, each by itself: they drift apart."""
    made = cache.vet("p", age=2 * HOUR)
    for name in ("findings", "findings_d"):
        cache.age(made[name], 90 * DAY)
    assert planned(cache.survey(), max_age="10d") == []


def test_an_old_output_that_was_stored_again_stays_with_its_findings(cache: synthetic.Build) -> None:
    """Go does not date an output anew when it stores the same content again, so vet would lose its findings."""
    made = cache.vet("p", age=0)
    cache.age(made["findings_d"], 90 * DAY)
    cache.age(made["facts_d"], 90 * DAY)
    gone = planned(cache.survey(), max_age="10d")
    assert made["findings_d"].name not in gone
    assert planned(cache.survey(), max_size=0) == gone == [made["facts_d"].name]


def test_all_four_go_in_an_order_that_never_lies(cache: synthetic.Build) -> None:
    made = cache.vet("p", age=90 * DAY)
    gone = planned(cache.survey(), max_age="10d")
    assert gone[:2] == [made["facts"].name, made["findings"].name]
    assert set(gone[2:]) == {made["facts_d"].name, made["findings_d"].name}


def test_an_output_that_two_findings_share_waits_until_one_is_left(cache: synthetic.Build) -> None:
    key, other = synthetic.sha("one"), synthetic.sha("two")
    for name in (key, other):
        cache.put(name, b"facts " + name.encode(), age=90 * DAY)
        _a, output = cache.put(synthetic.subkey(name, "stdout"), b"the same findings", age=90 * DAY)
    plan = synthetic.make_plan(cache.survey(), {"max_age": "10d"})
    assert plan.caches[0].pending == {"max_age": [1, output.stat().st_blocks * 512]}
    synthetic.apply(cache.path, plan)
    again = synthetic.make_plan(cache.survey(), {"max_age": "10d"})
    assert [again.caches[0].survey.entries.key(row).decode()[3:] for row in again.caches[0].rows] == [output.name]
    synthetic.apply(cache.path, again)
    assert cache.files() == []


def test_empty_findings_are_none(cache: synthetic.Build) -> None:
    """Every compilation stores what the compiler printed: mostly nothing, all under one output."""
    for name in ("one", "two", "three"):
        key = synthetic.sha(name)
        cache.put(key, name.encode(), age=0)
        _a, empty = cache.put(synthetic.subkey(key, "stdout"), b"", age=0)
    cache.age(empty, 90 * DAY)
    assert planned(cache.survey(), max_age="10d") == [empty.name]


@pytest.mark.parametrize("content", [b"", b"v1 ", b"x" * 175, b"v1 " + b"g" * 172])
def test_a_broken_action_names_nothing(cache: synthetic.Build, content: bytes) -> None:
    made = cache.vet("p", age=90 * DAY)
    made["findings"].write_bytes(content)
    seen = cache.survey()
    assert seen.entries.guard[rows(seen)[made["findings_d"].name]] == -1


def test_an_action_that_became_a_link_is_not_followed(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    made = cache.vet("p")
    seen = cache.survey(linked=False)
    made["findings"].rename(tmp_path / "moved")
    made["findings"].symlink_to(tmp_path / "moved")
    KINDS["go-build"].link(seen)
    assert seen.entries.guard[rows(seen)[made["findings_d"].name]] == -1


def test_where_findings_cannot_be_read_no_output_goes(cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.vet("p", age=90 * DAY)
    real = dirs.read_small

    def refuse(name: str, dir_fd: int = -1, limit: int = 0) -> bytes:
        if name.endswith("-a"):
            raise dirs.CannotLook(1, "not readable without changing its access time", name)
        return real(name, dir_fd, limit)

    monkeypatch.setattr(dirs, "read_small", refuse)
    plan = synthetic.make_plan(cache.survey(), {"max_age": "10d"})
    assert plan.caches[0].protected["findings not readable"][0] == 2
    assert all(not name.endswith("-d") for name in planned(plan.caches[0].survey, max_age="10d"))


def test_another_cache_in_the_same_place_is_not_read(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    cache.vet("p", age=90 * DAY)
    seen = cache.survey(linked=False)
    os.rename(str(cache.path), str(tmp_path / "moved"))
    synthetic.Build(cache.path)
    KINDS["go-build"].link(seen)
    assert {seen.holds[hold] for hold in seen.entries.hold} == {"", "findings not readable"}
