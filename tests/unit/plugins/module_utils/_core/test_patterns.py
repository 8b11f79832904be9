# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core import patterns


@pytest.mark.parametrize(
    ("pattern", "label", "takes"),
    [
        ("example.com/a", "example.com/a@v1.0.0", True),
        ("example.com/a", "example.com/a/v2@v2.0.0", False),
        ("example.com/a", "example.com/ab@v1.0.0", False),
        ("example.com/*", "example.com/a@v1.0.0", True),
        ("example.com/*", "example.com/a/b@v1.0.0", False),
        ("example.com/...", "example.com/a/b@v1.0.0", True),
        ("example.com/...", "example.com@v1.0.0", True),
        ("example.com/...", "example.org/a@v1.0.0", False),
        ("github.com/gin-gonic/gin@*", "github.com/gin-gonic/gin@v1.9.0", True),
        ("github.com/gin-gonic/gin@v1.9.0", "github.com/gin-gonic/gin@v1.9.1", False),
        ("github.com/gin-gonic/gin@v1.9.*", "github.com/gin-gonic/gin@v1.9.1", True),
        ("*", "example.com/a@v1.0.0", False),
    ],
)
def test_what_is_asked_for_eviction_is_exactly_that(pattern: str, label: str, takes: bool) -> None:
    assert patterns.selects(pattern, label) is takes


@pytest.mark.parametrize(
    ("pattern", "label", "keeps"),
    [
        ("git.corp.example", "git.corp.example/team/mod@v1.0.0", True),
        ("git.corp.example/*", "git.corp.example/team/mod/v2@v2.0.0", True),
        ("git.corp.example/*", "git.corp.example@v1.0.0", False),
        ("*.corp.example", "git.corp.example/x@v1.0.0", True),
        ("*.corp.example", "corp.example/x@v1.0.0", False),
        ("git.corp.example/", "git.corp.example/x@v1.0.0", True),
        ("git.corp.exampl", "git.corp.example/x@v1.0.0", False),
        ("git.corp.example/...", "git.corp.example@v1.0.0", True),
        ("example.com/a@v1.0.0", "example.com/a@v1.0.1", False),
        ("git.[^x]orp.example", "git.corp.example/x@v1.0.0", True),
        ("git.[^c]orp.example", "git.corp.example/x@v1.0.0", False),
        ("git.[!c]orp.example", "git.corp.example/x@v1.0.0", False),
        ("git.[a-d]orp.example", "git.corp.example/x@v1.0.0", True),
        ("git.[corp.example", "git.[corp.example/x@v1.0.0", False),
        ("git\\.corp.example", "git.corp.example/x@v1.0.0", True),
        ("Git.corp.example", "git.corp.example/x@v1.0.0", False),
    ],
)
def test_what_keeps_covers_prefixes_as_goprivate_does(pattern: str, label: str, keeps: bool) -> None:
    assert patterns.protects(pattern, label) is keeps


@pytest.mark.parametrize(
    ("pattern", "one"),
    [
        ("example.com/a@v1.0.0", True),
        ("example.com/a@*", True),
        ("example.com/a", False),
        ("example.com/*@v1.0.0", False),
        ("example.com/...@*", False),
        ("example.com/a@v1.*", False),
        ("example.com/[a]@*", False),
    ],
)
def test_a_module_is_named_by_its_exact_path_and_version(pattern: str, one: bool) -> None:
    assert patterns.names_one(pattern) is one


_NAMES = st.lists(st.text("abc.", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join)


@given(_NAMES, st.sampled_from(["v1.0.0", "v1.2.3-rc.1"]))
def test_a_label_is_taken_and_kept_by_its_own_name(name: str, version: str) -> None:
    for pattern in ("%s@%s" % (name, version), name, name + "@*"):
        assert patterns.selects(pattern, "%s@%s" % (name, version))
        assert patterns.protects(pattern, "%s@%s" % (name, version))


@given(st.text("ab/*?[]!^-\\@.", max_size=8), st.text("ab/.@v1", max_size=8))
def test_any_pattern_has_an_answer_and_what_is_taken_would_also_be_kept(pattern: str, label: str) -> None:
    if patterns.selects(pattern, label):
        assert patterns.protects(pattern, label)
