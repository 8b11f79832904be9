# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import signal
from typing import Any, Dict, List, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import Entries, Survey
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import survey as module
from ansible_collections.gofleet.cache.tests.fixtures import synthetic

DAY = synthetic.DAY
COLUMNS = ("tier", "phase", "used", "mtime", "inode", "freed", "size", "inodes", "guard", "waits", "hold", "group")


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> synthetic.Build:
    made = synthetic.Build(tmp_path.resolve() / "go-build")
    for number in range(40):
        made.put(synthetic.sha("package %d" % number), b"object %d" % number, age=number * DAY)
        made.vet("package %d" % number, age=number * DAY)
    made.executable("vet", b"tool", age=9 * DAY)
    (made.path / "ab" / "stranger").write_text("kept")
    (made.path / "ff" / ("F" * 64 + "-d")).write_text("not Go's spelling")
    (made.path / "00" / ("0" * 62 + "  -a")).write_text("blanks are no digits")
    (made.path / "7f" / ("7f" + "0" * 62 + "-a")).write_text("short")
    os.link(str(next(made.path.glob("??/*-d"))), str(tmp_path / "second"))
    return made


def rows(seen: Survey) -> List[Tuple[Any, ...]]:
    entries = seen.entries
    columns = [getattr(entries, name) for name in COLUMNS]
    return [(entries.key(row), *(column[row] for column in columns)) for row in range(len(entries))]


def facts(seen: Survey) -> Dict[str, Any]:
    return {
        "rows": rows(seen),
        "totals": seen.totals,
        "last": seen.last_build,
        "unreached": seen.unreached,
        "damage": sorted(str(item) for item in seen.damage),
    }


def both(cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    alone = facts(cache.survey())
    monkeypatch.setattr(module, "_LARGE", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    return alone, facts(cache.survey())


def test_two_processes_see_what_one_sees_in_the_same_order(
    cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    forks: List[int] = []
    real = os.fork

    def fork() -> int:
        pid = real()
        forks.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", fork)
    alone, together = both(cache, monkeypatch)
    assert len(forks) == 1
    assert together == alone
    assert len(alone["rows"]) == 40 * 6 + 2


@pytest.mark.parametrize("how", ["killed", "no fork"])
def test_without_the_second_process_its_part_is_looked_at_all_the_same(
    cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    real = os.fork

    def fork() -> int:
        if how == "no fork":
            raise BlockingIOError
        pid = real()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return pid

    monkeypatch.setattr(os, "fork", fork)
    alone, together = both(cache, monkeypatch)
    assert together == alone


def test_an_error_leaves_no_process_behind(cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: object, _data: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "_LARGE", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setattr(module._Look, "_add", broken)
    made = []
    real = os.fork

    def fork() -> int:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(MemoryError):
        cache.survey()
    assert len(made) == 1
    with pytest.raises(ChildProcessError):
        os.waitpid(made[0], os.WNOHANG)


def test_names_that_only_look_like_entries_are_foreign(cache: synthetic.Build) -> None:
    seen = cache.survey()
    assert seen.totals["foreign"] == 3
    assert not [key for key in (row[0] for row in rows(seen)) if b"F" in key or b" " in key]


def test_packed_keys_are_the_keys_that_were_added() -> None:
    entries = Entries((b"-a", b"-d"))
    digits = "ab" * 32
    keys = [b"ab/%s-a" % digits.encode(), b"ab/%s-d" % digits.encode(), b"ab/%s-d" % digits.upper().encode()]
    keys += [b"cd/%s-a" % digits.encode(), b"odd", b"", b"ab/%s-x" % digits.encode()]
    for key in keys:
        entries.add(key, 0, 0, 1, 1, 1, 1, 1)
    both_times = Entries((b"-a", b"-d"))
    both_times.extend(entries)
    both_times.extend(entries)
    assert [both_times.key(row) for row in range(len(both_times))] == keys * 2
    assert both_times.digest(1) == bytes.fromhex(digits)
    assert both_times.heads()[7] == entries.heads()[0]


def test_entries_with_other_suffixes_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="suffixes"):
        Entries((b"-a",)).extend(Entries((b"-b",)))


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> List[int]:
    """The processes that were made, with everything set so that one helps with any cache."""
    made: List[int] = []
    real = os.fork

    def fork() -> int:
        pid = real()
        made.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(module, "_LARGE", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    return made


def gone(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@pytest.mark.parametrize("how", ["two processes", "no fork", "killed"])
def test_what_hangs_on_an_action_is_found_by_two_processes_as_by_one(
    cache: synthetic.Build, children: List[int], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    seen = cache.survey()
    alone = module._dependents(seen.entries)
    assert len(alone) == 40
    assert len(children) == 1  # the survey's
    monkeypatch.setattr(module, "_MANY", 0)
    real = os.fork

    def fork() -> int:
        if how == "no fork":
            raise BlockingIOError
        pid = real()
        if pid == 0 and how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return pid

    monkeypatch.setattr(os, "fork", fork)
    assert module._dependents(seen.entries) == alone
    assert len(children) == (1 if how == "no fork" else 2)
    assert all(map(gone, children))
