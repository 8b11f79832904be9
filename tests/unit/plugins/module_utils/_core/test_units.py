# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core import units
from ansible_collections.gofleet.cache.plugins.module_utils._core.units import BadPolicy


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("20GiB", 20 << 30),
        ("500MB", 500 * 10**6),
        ("1.5G", 3 << 29),
        ("1 kb", 1000),
        ("1KiB", 1024),
        ("7", 7),
        ("7B", 7),
        (0, 0),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_sizes_mean_what_people_write(text: Any, amount: int) -> None:
    assert units.size(text, "k") == amount


_NO_SIZES = ["", "GiB", "-1", -1, "1XB", "1iB", "i", True, None, 1.5, [], "1e3", "9" * 400, "\u0663GiB", "5\u212aB"]


@pytest.mark.parametrize("text", _NO_SIZES)
def test_nonsense_sizes_are_refused_with_their_key(text: Any) -> None:
    with pytest.raises(BadPolicy, match=r"^caches\[0\]\.max_size: ") as error:
        units.size(text, "caches[0].max_size")
    assert error.value.key == "caches[0].max_size"


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("14d", 14 * 86400), ("1d12h", 129600), ("90m", 5400), (60, 60), ("0", 0)]
)
def test_ages_mean_what_people_write(text: Any, seconds: int) -> None:
    assert units.age(text, "k") == seconds


_NO_AGES = ["", "d", "1y", "-1d", -1, "1 month", True, None, "\u00b2", "5\u017f", "101 years", "9" * 5000, "40000d"]


@pytest.mark.parametrize("text", _NO_AGES)
def test_nonsense_ages_are_refused(text: Any) -> None:
    with pytest.raises(BadPolicy):
        units.age(text, "k")


@pytest.mark.parametrize("text", ["0%", "100%", "-1%", "nan%", "inf%", "%", "x%", "101%"])
def test_a_share_lies_strictly_between_nothing_and_everything(text: str) -> None:
    with pytest.raises(BadPolicy):
        units.share(text, "k")


def test_a_share_is_of_the_total_or_absolute() -> None:
    assert units.share("15%", "k").of(1000) == 150
    assert units.share("2KiB", "k").of(10) == 2048


def test_different_shares_are_told_apart() -> None:
    assert str(units.share("15.0000001%", "k")) != str(units.share("15%", "k"))


def test_dates_without_an_offset_are_utc() -> None:
    assert units.date("2026-11-01", "k") == units.date("2026-11-01T00:00:00Z", "k")
    assert units.date(datetime.date(2026, 11, 1), "k") == units.date("2026-11-01", "k")
    assert units.date("2026-11-01T01:00:00+01:00", "k") == units.date("2026-11-01", "k")


_ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers(), max_size=2)
)


@given(value=st.one_of(_ANYTHING, st.from_regex(r"[0-9]+(\.[0-9]+)?\s?[kKmMgGtTpPwdhs%]?i?[bB]?")))
def test_no_value_does_worse_than_be_refused(value: Any) -> None:
    for convert in (units.size, units.age, units.share, units.date):
        with contextlib.suppress(BadPolicy):  # anything else is an error
            convert(value, "k")


@given(st.integers(0, 2**62))
def test_a_number_of_bytes_is_that_number_as_text_too(amount: int) -> None:
    assert units.size(str(amount), "k") == amount


@given(st.integers(-(2**60), 2**60))
def test_sizes_for_people_are_short(amount: int) -> None:
    assert len(units.human(amount)) <= 14


def test_ages_for_people_have_one_unit() -> None:
    assert [units.human_age(s) for s in (5, 7200, 3 * 86400)] == ["5s", "2h", "3d"]
