# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import grammar
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import chain

_ITEMS = st.sampled_from(
    [
        "https://a.example.com",
        " https://b.example.com/x ",
        "http://c.example.com:8080",
        "file:///srv/modules",
        "file://host/modules",
        "d.example.com",
        "localhost:8080",
        "direct",
        "off",
        "Direct",
        "",
        " ",
        "/srv/modules",
        "ftp://e.example.com",
        "https://[::1",
        "https://f.example.com:port",
        "https://u:s3cret-word@g.example.com",
    ]
)
VALUES = st.one_of(
    st.text(max_size=60),
    st.lists(st.tuples(_ITEMS, st.sampled_from([",", "|"])), max_size=5).map(lambda rows: "".join(map("".join, rows))),
)


@given(VALUES, st.sampled_from(["", "git.example.com"]))
def test_parsing_never_raises_and_never_shows_a_password(value: str, gonoproxy: str) -> None:
    found = chain.parse(value, gonoproxy)
    shown = [element.shown for element in found.elements] + [found.error]
    assert "s3cret-word" not in repr(shown)


@given(VALUES)
def test_the_chain_agrees_with_the_grammar(value: str) -> None:
    found = chain.parse(value)
    faults = grammar.check_value("GOPROXY", value)
    if found.error:
        assert faults, "what Go refuses is refused before it is written"
    useful = [entry for entry in grammar.split_goproxy(value) if entry.text]
    numbered = [element for element in found.elements if element.number]
    assert [grammar.proxy_url(entry.text) for entry in useful][: len(numbered)] == [row.url for row in numbered]
    assert [entry.separator == "|" for entry in useful[: len(numbered)]] == [
        row.falls_back or (row.kind in ("direct", "off") and entry.separator == "|")
        for row, entry in zip(numbered, useful)
    ]
    if not found.error and len(numbered) < len(useful):
        assert numbered[-1].kind in ("direct", "off"), "nothing else ends the list"


@given(VALUES, st.lists(st.sampled_from(["found", "missing", "failed", "unknown"]), min_size=6, max_size=6))
def test_a_walk_asks_in_order_and_goes_on_only_where_go_does(value: str, states: list[str]) -> None:
    found = chain.parse(value)
    answers = iter(states)
    walk = chain.walk(found, lambda _element: chain.Answer(next(answers), "said"))
    assert [step.element for step in walk.steps] == list(found.elements[: len(walk.steps)])
    for step in walk.steps[:-1]:
        assert step.goes_on
        assert step.answer.state == "missing" or (step.answer.state == "failed" and step.element.falls_back)
    assert (walk.by is not None) is (walk.state == "found")


@pytest.mark.parametrize(
    ("globs", "path", "wanted"),
    [
        ("git.example.com", "git.example.com/team/lib", True),
        ("git.example.com/", "git.example.com/team/lib", True),
        ("*.example.com", "git.example.com/team", True),
        ("*.example.com", "example.com/team", False),
        ("*", "example.com", True),
        ("example.com/*/x", "example.com/a/x/y", True),
        ("example.com/a", "example.com", False),
        ("x.com, example.com", "example.com/a", False),
        ("[", "[", False),
        ("[a-c]x.com,none", "bx.com", True),
        ("[^a-c]x.com", "bx.com", False),
        ("[^a-c]x.com", "dx.com", True),
        ("\\*.com", "*.com", True),
        ("\\*.com", "x.com", False),
        ("", "x.com", False),
    ],
)
def test_globs_match_as_go_matches_them(globs: str, path: str, wanted: bool) -> None:
    assert chain.matches(globs, path) is wanted


@given(st.text(max_size=20), st.text(max_size=20))
def test_matching_never_raises(globs: str, path: str) -> None:
    assert chain.matches(globs, path) in (True, False)
