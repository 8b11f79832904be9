# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import goauth, kept, netrc

ROUNDS = kept.ROUNDS
SECRET = "c4nary-hunter2"
HOSTS = ["a.example.com", "a.example.com:8443", "b.example.com"]
WORDS = st.sampled_from(["ci", "me", "x" * 30, "default", "machine", "password", "#"])
ENTRIES = st.lists(st.tuples(st.sampled_from(HOSTS), WORDS, WORDS), max_size=4)


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "ROUNDS", 1)
    kept._mark.cache_clear()


@settings(deadline=None)
@given(ENTRIES, st.sampled_from(HOSTS), st.sampled_from(["ci", "bot", "y" * 30]), st.booleans())
def test_what_was_added_to_a_netrc_goes_and_nothing_else_does(
    rows: list[tuple[str, str, str]], machine: str, login: str, exclusive: bool
) -> None:
    before = "".join("machine %s login %s password %s\n" % row for row in rows).encode()
    try:
        after = netrc.put(before, machine, login, SECRET, exclusive)
    except netrc.Refused:
        return
    old, new = kept.differences(kept.NETRC, before, after)
    assert SECRET not in json.dumps([old, new])
    assert {name.partition(" ")[0] for name in {**old, **new}} <= {machine}
    gone = kept.gone(kept.NETRC, {name: old.get(name) for name in {**old, **new}})
    changes = {name: None for name in new if name not in gone}
    assert kept.values(kept.NETRC, after, new) == new, "the same salt gives the same value"
    result = kept.put_back(kept.NETRC, after, changes)
    if changes:
        assert netrc.entries(netrc.text_of(result)) == netrc.entries(netrc.text_of(before))
    else:
        assert result == after


def test_another_secret_has_another_value_and_two_salts_give_two(monkeypatch: pytest.MonkeyPatch) -> None:
    line = b"machine a login b password %s\n"
    _old, one = kept.differences(kept.NETRC, None, line % b"c")
    _old, two = kept.differences(kept.NETRC, None, line % b"c")
    assert one != two
    assert kept.values(kept.NETRC, line % b"d", one) != one
    assert kept.values(kept.NETRC, None, one) == {}
    assert kept.values(kept.NETRC, line % b"c", dict.fromkeys(one)) == {"a login b": "#"}, "there, and not expected"


def test_a_guess_costs_time() -> None:
    assert ROUNDS >= 200_000


@pytest.mark.parametrize(
    "value",
    ["[]", "[x", '["text", "Authorization: Bearer x"]', '["file"]', '{"a": 1}', '["file", "header", "no-colon", "/x"]'],
)
def test_a_damaged_record_of_a_header_is_refused(value: str) -> None:
    with pytest.raises(netrc.Refused):
        kept.put_back(kept.GOAUTH, None, {"https://a.example.com Authorization": value})


def test_a_header_without_a_secret_is_kept_and_shown_without_one() -> None:
    header = goauth.fetched("https://a.example.com", "run", ["/bin/helper", "--quick"], "ci")
    old, new = kept.differences(kept.GOAUTH, goauth.put(None, header), None)
    assert new == {}
    ((name, value),) = old.items()
    assert (name, kept.shown(value)) == (
        "https://a.example.com Authorization",
        "basic ci:*** from command /bin/helper --quick",
    )
    assert kept.gone(kept.GOAUTH, old) == []
    assert goauth.parse(kept.put_back(kept.GOAUTH, None, {name: value})) == [header]
    assert (kept.shown(None), kept.shown("#a$b")) == (None, "***")
