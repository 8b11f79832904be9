# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core.document import DEPTH, read_json

_PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.text())
_VALUES = st.recursive(
    _PLAIN, lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)), max_leaves=20
)


@given(_VALUES)
def test_every_document_of_a_real_depth_is_read_as_it_was_meant(value: object) -> None:
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value).encode()) == value


def test_depth_counts_and_not_how_many_brackets_there_are() -> None:
    wide = [[], {}] * 5000
    assert read_json(json.dumps(wide)) == wide
    text = ["[{" * 5000 + '"\\"']
    assert read_json(json.dumps(text)) == text
    deep = "[" * DEPTH + "]" * DEPTH
    assert read_json(deep) == json.loads(deep)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '["' + "[" * 1000, "[" * 101 + "]" * 101, "[1", b"\xff"]
)
def test_what_nests_too_deeply_or_is_no_document_is_a_value_error_and_soon(text: str | bytes) -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"deep|Expecting|Unterminated|Invalid|invalid|codec"):
        read_json(text)
    assert time.monotonic() - begun < 30
