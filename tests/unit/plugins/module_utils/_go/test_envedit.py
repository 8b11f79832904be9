# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of a Go env file that lose nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import envedit, envfile

NAMES = st.sampled_from(["GOPROXY", "GOPRIVATE", "GOFLAGS", "GOSUMDB", "CC"])
VALUES = st.text(st.characters(blacklist_characters="\n", blacklist_categories=("Cs",)), max_size=8)
FILES = st.lists(
    st.one_of(
        st.builds(lambda name, value: (name + "=" + value).encode(), NAMES, VALUES),
        st.binary(max_size=10).map(lambda data: data.replace(b"\n", b"")),
        st.just(b"# GOPROXY=direct"),
    ),
    max_size=8,
).flatmap(lambda lines: st.sampled_from([b"\n".join(lines), b"".join(line + b"\n" for line in lines)]))


@given(FILES, st.dictionaries(NAMES, VALUES), st.sets(NAMES))
def test_after_an_edit_go_reads_exactly_what_was_asked_and_nothing_else_differs(
    data: bytes, settings: dict[str, str], absent: set[str]
) -> None:
    absent -= set(settings)
    after = envedit.apply(data, settings, absent)
    assert after is not None
    expected = {name: value for name, value in envedit.values(data).items() if name not in absent}
    expected.update(settings)
    assert envedit.values(after) == expected
    touched = set(settings) | absent

    def others(content: bytes) -> list[bytes]:
        return [line.raw.rstrip(b"\n") for line in envfile.parse(content) if line.key not in touched]

    assert others(after) == others(data)
    for name in settings:
        assert sum(line.key == name for line in envfile.parse(after)) == 1
    assert envedit.apply(after, settings, absent) == after


@given(FILES)
def test_nothing_asked_changes_nothing(data: bytes) -> None:
    assert envedit.apply(data, {}, ()) == data


def test_comments_order_and_a_missing_last_newline_stay() -> None:
    before = b"# ours\nGOSUMDB=off\n\nGOPROXY=direct\nnonsense\nGOFLAGS=-mod=mod"
    after = envedit.apply(before, {"GOPROXY": "https://p.example.com", "GOPRIVATE": "x.example.com"})
    assert after == (
        b"# ours\nGOSUMDB=off\n\nGOPROXY=https://p.example.com\nnonsense\nGOFLAGS=-mod=mod\nGOPRIVATE=x.example.com\n"
    )


def test_duplicates_collapse_into_the_line_that_go_obeys() -> None:
    before = b"GOPROXY=a\nCC=gcc\nGOPROXY=b\nGOFLAGS=x\n"
    assert envedit.apply(before, {"GOPROXY": "b"}) == b"CC=gcc\nGOPROXY=b\nGOFLAGS=x\n"
    assert envedit.apply(before, {}, ["GOPROXY"]) == b"CC=gcc\nGOFLAGS=x\n"


def test_a_file_is_made_only_for_something_to_put_into_it() -> None:
    assert envedit.apply(None, {}, ["GOPROXY"]) is None
    assert envedit.apply(None, {"GOPROXY": "direct"}) == b"GOPROXY=direct\n"


def test_a_value_cannot_smuggle_in_a_second_line() -> None:
    with pytest.raises(ValueError, match="one line"):
        envedit.apply(b"", {"GOPROXY": "direct\nGOSUMDB=off"})


def test_what_is_shown_has_no_credentials_and_no_control_characters() -> None:
    text = envedit.shown(
        b"GOPROXY=https://ci:hunter22@p.example.com\n# https://ci:hunter22@x.example.com\nCC=a\r\n\xff"
    )
    assert "hunter22" not in text
    assert text.count("***") == 2
    assert "\r" not in text
    assert "\\r" in text
