# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from typing import Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict
from ansible_collections.gofleet.cache.tests.fixtures import synthetic


def activity(*who: Tuple[int, int]) -> evict.Activity:
    return evict.Activity(tuple((pid, start, "go") for pid, start in who), True)


def test_an_error_does_not_hide_what_was_done_before_it() -> None:
    out = evict.Outcome()

    def work() -> None:
        out.done(4096)
        raise OSError("broken disk")

    got = evict.Outcome.of(out.run(work).data())
    assert (got.evicted, got.freed, got.error) == (1, 4096, "OSError: broken disk")


def test_every_skip_is_counted_and_the_first_hundred_are_named() -> None:
    out = evict.Outcome()
    for number in range(250):
        out.skip(evict.USED, "p%d" % number, 10)
    assert out.skipped == {evict.USED: [250, 2500]}
    assert [item["path"] for item in out.samples] == ["p%d" % n for n in range(100)]


def test_quiet_is_a_moment_without_any_tool() -> None:
    scans = [activity((5, 1), (6, 1)), activity((7, 9)), activity()]
    assert evict.wait_quiet(synthetic.job(scan=lambda: scans.pop(0))) is True
    assert scans == []


def test_waiting_for_quiet_ends_with_the_time_limit() -> None:
    """F33."""
    begun = time.monotonic()
    assert evict.wait_quiet(synthetic.job(scan=lambda: activity((5, 1)), seconds=0.3)) is False
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("seen", "local", "waits"),
    [
        (evict.Activity((), True), True, False),
        (evict.Activity(((5, 1, "go"),), True), True, True),
        (evict.Activity((), False), True, True),
        (evict.Activity((), True), False, True),
    ],
)
def test_there_is_no_pause_only_where_nobody_can_need_one(
    monkeypatch: pytest.MonkeyPatch, seen: evict.Activity, local: bool, waits: bool
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(evict.time, "sleep", slept.append)
    evict.settle(synthetic.job(scan=lambda: seen, seconds=60)._replace(local=local), 1.0)
    assert slept == ([1.0] if waits else [])


def test_the_rows_that_went_are_known_one_by_one() -> None:
    out = evict.Outcome()
    out.done(8192, 2, 2, (70_000, 3))
    out.done(0, 0, 0)
    assert [row for row in range(70_100) if out.went(row)] == [3, 70_000]
    assert (out.evicted, out.freed, out.inodes) == (2, 8192, 2)
