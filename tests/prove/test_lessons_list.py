# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every lesson has an answer."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from prove import lessons


def test_each_lesson_names_tests_that_exist_or_why_it_needs_none() -> None:
    assert lessons.missing() == []


def test_a_lesson_without_an_answer_is_found() -> None:
    kept = dict(lessons.LESSONS)
    try:
        lessons.LESSONS["F01"] = lessons.Lesson("x", ("faults/test_lessons.py::test_that_is_not_there",))
        del lessons.LESSONS["F43"]
        lessons.LESSONS["F44"] = lessons.Lesson("x")
        found = "\n".join(lessons.missing())
    finally:
        lessons.LESSONS.clear()
        lessons.LESSONS.update(kept)
    for text in ("F43 is not in the list", "F44 is no lesson", "F44 needs either", "F01: there is no test"):
        assert text in found
