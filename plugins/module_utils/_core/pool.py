# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that share out work. Where a limit on tasks allows fewer (setrlimit(2), TasksMax=), fewer do it."""

from __future__ import annotations

import threading
from typing import Callable, List, Sequence


def together(step: Callable[[], bool], threads: int) -> None:
    """Calls *step* again and again in so many threads, this one among them, in each until it returns False.

    The first error ends all and is raised here.
    """
    errors: List[BaseException] = []

    def loop() -> None:
        try:
            while not errors and step():
                pass
        except BaseException as exc:
            errors.append(exc)

    pool = []
    for _number in range(1, threads):
        thread = threading.Thread(target=loop, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            break
        pool.append(thread)
    loop()
    for thread in pool:
        thread.join()
    if errors:
        raise errors[0]


def work_off(work: Callable[[int], None], rows: Sequence[int], threads: int, stop: Callable[[], bool]) -> int:
    """Calls *work* for each of *rows*, begun in their order, and returns how many were before *stop* said so.

    *stop* is asked by one thread at a time. Errors of *work* are raised here.
    """
    lock = threading.Lock()
    begun = [0]

    def step() -> bool:
        with lock:
            at = begun[0]
            if at >= len(rows) or stop():
                return False
            begun[0] += 1
        work(rows[at])
        return True

    together(step, min(threads, len(rows)))
    return begun[0]
