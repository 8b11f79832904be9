# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
import time
from typing import List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import pool, verify


def test_threads_do_every_row_once() -> None:
    seen: List[int] = []
    lock = threading.Lock()

    def work(row: int) -> None:
        with lock:
            seen.append(row)

    assert pool.work_off(work, range(1000), 8, lambda: False) == 1000
    assert sorted(seen) == list(range(1000))


def test_one_thread_keeps_the_order() -> None:
    seen: List[int] = []
    pool.work_off(seen.append, range(100), 1, lambda: False)
    assert seen == list(range(100))


def test_a_stop_leaves_the_rest_and_says_how_many_were_begun() -> None:
    seen: List[int] = []
    begun = pool.work_off(seen.append, range(1000), 1, lambda: len(seen) >= 100)
    assert begun == len(seen)
    assert begun == 100


def test_an_error_in_a_thread_is_the_callers() -> None:
    def work(row: int) -> None:
        if row == 70:
            raise OSError("broken disk")

    for threads in (1, 4):
        with pytest.raises(OSError, match="broken disk"):
            pool.work_off(work, range(1000), threads, lambda: False)


def test_a_limit_on_threads_leaves_fewer_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen: List[int] = []
    assert pool.work_off(seen.append, range(100), 8, lambda: False) == 100
    assert seen == list(range(100))


def test_an_error_ends_the_other_threads_too() -> None:
    """Nobody goes on with a disk that is broken."""
    done: List[int] = []
    failed = threading.Event()

    def work(row: int) -> None:
        if row == 0:
            try:
                raise OSError("broken disk")
            finally:
                failed.set()
        assert failed.wait(60)
        time.sleep(0.01)
        done.append(row)

    with pytest.raises(OSError, match="broken disk"):
        pool.work_off(work, range(1000), 2, lambda: False)
    assert len(done) < 500


def test_a_verification_that_is_out_of_time_begins_nothing_more() -> None:
    begun: List[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 2:
            raise verify.OutOfTime

    verify.each(work, range(100), 1)
    assert begun == [0, 1, 2]
