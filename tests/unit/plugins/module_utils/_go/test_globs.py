# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one glob says about another is what it says about module paths."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import globs


@pytest.mark.parametrize(
    ("one", "two", "wanted"),
    [
        ("git.example.com", "git.example.com/team", True),
        ("git.example.com/*", "*.example.com", True),
        ("*.example.com", "example.com", False),
        ("git.example.com/team", "git.example.com/other", False),
        ("*.a.com", "x*.a.com", True),
        ("*.a.com", "*.b.com", False),
        ("[ab].com", "c.com", True),
        ("*", "anything/at/all", True),
    ],
)
def test_globs_overlap_where_a_path_can_match_both(one: str, two: str, wanted: bool) -> None:
    assert globs.overlap(one, two) is wanted
    assert globs.overlap(one=two, two=one) is wanted


@pytest.mark.parametrize(
    ("wide", "narrow", "wanted"),
    [
        ("git.example.com", "git.example.com/team/*", True),
        ("git.example.com/*", "git.example.com", False),
        ("*.example.com", "a*.example.com", True),
        ("a*.example.com", "*.example.com", False),
        ("?.com", "a.com", True),
        ("?.com", "*.com", False),
        ("[ab].com", "[ab].com", True),
        ("[ab].com", "a.com", False),
        (r"a\*.com", "a*.com", False),
        ("none", "git.example.com", False),
    ],
)
def test_a_glob_covers_only_what_it_surely_matches(wide: str, narrow: str, wanted: bool) -> None:
    assert globs.covers([wide], narrow) is wanted


PARTS = st.text("ab*?", min_size=1, max_size=5)


@given(PARTS, PARTS, st.text("ab", max_size=6))
def test_a_text_that_matches_says_the_same(one: str, two: str, text: str) -> None:
    in_one, in_two = fnmatch.fnmatchcase(text, one), fnmatch.fnmatchcase(text, two)
    if in_one and in_two:
        assert globs.overlap(one, two)
    if in_two and globs.covers([one], two):
        assert in_one


@given(st.text("ab*?[]\\/^-.", max_size=12), st.text("ab*?[]\\/^-.", max_size=12))
def test_no_glob_breaks_the_comparison(one: str, two: str) -> None:
    assert globs.overlap(one, two) is globs.overlap(one=two, two=one)
    assert globs.uncovered(globs.split(one), []) == []
    assert isinstance(globs.covers([one], two), bool)
