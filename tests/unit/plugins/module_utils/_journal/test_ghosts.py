# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from array import array
from typing import Any, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import SECOND, Entries, number_of
from ansible_collections.gofleet.cache.plugins.module_utils._journal import ghosts

NOW = 1_800_000_000 * SECOND
DAY = 86400 * SECOND


def seen(there: dict[bytes, int]) -> Entries:
    """A survey of what is there, with the time of its last modification."""
    entries = Entries()
    for key, mtime in there.items():
        entries.add(key, 0, 0, mtime, mtime, 1, 512, 1)
    return entries


def make(keys: Iterable[bytes], *columns: Any, **more: int) -> ghosts.Ghosts:
    return ghosts.make(array("Q", map(number_of, keys)), *columns, **more)


def regret(
    gone: Sequence[tuple[int, ghosts.Ghosts]], there: dict[bytes, int], now: int
) -> list[tuple[ghosts.Ghosts, ghosts.Back]]:
    return ghosts.settle(gone, ghosts.present([one for _at, one in gone], seen(there)), now)


entry_keys = st.lists(st.binary(min_size=1, max_size=12), unique=True, max_size=60)


@given(
    st.lists(
        st.tuples(st.binary(max_size=12), st.integers(-(2**40), 2**50), st.integers(-(2**63) + 1, 2**63 - 1)),
        unique_by=lambda item: item[0],
        max_size=60,
    )
)
def test_what_is_packed_is_what_is_unpacked_sorted_and_whole(items: list[tuple[bytes, int, int]]) -> None:
    keys, freed, used = [i[0] for i in items], [i[1] for i in items], [i[2] for i in items]
    gone = make(keys, freed, used, NOW)
    assert ghosts.unpack(ghosts.pack(gone)) == gone
    assert list(gone.hashes) == sorted(gone.hashes)
    assert len(gone.hashes) == len(items)
    # Whole blocks of 512, never below what was freed, as far as 32 bits count.
    want = [max(0, min(-(-size // 512), 2**32 - 1)) for size in freed]
    assert sorted(gone.blocks) == sorted(want)
    assert gone.freed == 512 * sum(want)
    assert sum(gone.by_age()) == gone.freed


@given(st.binary(max_size=80))
def test_bytes_that_are_no_block_are_refused_or_unpack_to_equal_columns(data: bytes) -> None:
    for blob in (data, ghosts._FORMAT + data):
        try:
            gone = ghosts.unpack(blob)
        except ValueError:
            continue
        assert len(gone.hashes) == len(gone.blocks) == len(gone.ages)


@given(entry_keys.filter(bool), st.integers(0, 10**6), st.integers(1, 255))
def test_a_block_with_a_changed_byte_is_refused_or_reads_the_same(keys: list[bytes], place: int, flip: int) -> None:
    packed = bytearray(ghosts.pack(make(keys, [4096] * len(keys))))
    whole = ghosts.unpack(bytes(packed))
    packed[place % len(packed)] ^= flip
    try:
        found = ghosts.unpack(bytes(packed))
    except ValueError:
        return
    assert found == whole  # a bit of the stream's header that changes nothing


def test_a_block_that_swells_is_refused_before_it_fills_the_memory() -> None:
    import zlib

    with pytest.raises(ValueError, match="a block of"):
        ghosts.unpack(ghosts._FORMAT + zlib.compress(bytes(13 * (ghosts.MOST + 1)), 9))


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="1 keys, 2 sizes"):
        make([b"a"], [1, 2])
    with pytest.raises(ValueError, match="ghosts"):
        make([b"a"], [1], [])


def test_of_more_ghosts_than_are_kept_the_lowest_hashes_stay() -> None:
    keys = [b"%d" % number for number in range(50)]
    whole = make(keys, [512] * 50)
    assert make(keys, [512] * 50, most=20).hashes == whole.hashes[:20]


@pytest.mark.parametrize(
    ("seconds", "age"), [(-5, 0), (0, 0), (3599, 0), (3600, 1), (86400, 10), (86400 * 365 - 1, 26), (86400 * 400, 27)]
)
def test_the_class_of_age_holds_the_time_without_use(seconds: int, age: int) -> None:
    gone = make([b"k"], [512], [NOW - seconds * SECOND], NOW)
    assert list(gone.ages) == [age]


def test_ghosts_of_surveyed_rows_are_those_of_their_columns() -> None:
    entries = Entries()
    for number in range(4):
        entries.add(b"%d" % number, 0, 0, NOW - number * DAY, NOW, 1, 512 * number, 1)
    found = ghosts.of_rows(entries, [3, 1], NOW)
    assert found == make([b"3", b"1"], [1536, 512], [NOW - 3 * DAY, NOW - DAY], NOW)


# regret

came = st.sampled_from(["away", "anew", "late", "restored"])


@given(st.dictionaries(st.binary(min_size=1, max_size=8), st.tuples(came, st.integers(0, 9)), max_size=60))
def test_what_came_back_is_told_by_how_it_came_and_taken_out(fates: dict[bytes, tuple[str, int]]) -> None:
    keys = list(fates)
    used = {key: NOW - size * DAY for key, (_how, size) in fates.items()}
    gone = make(keys, [512 * (fates[key][1] + 1) for key in keys], [used[key] for key in keys], NOW)
    after = {"anew": 60 * SECOND, "late": 2 * DAY, "restored": -DAY}
    there = {key: NOW + after[how] for key, (how, _size) in fates.items() if how != "away"}
    there[b"never evicted"] = NOW
    ((rest, back),) = regret([(NOW, gone)], there, NOW + 3 * DAY)

    def of(*how: str) -> list[int]:
        return [512 * (size + 1) for fate, size in fates.values() if fate in how]

    assert (back.entries, back.bytes) == (len(of("anew", "late")), sum(of("anew", "late")))
    assert (back.day_entries, back.day_bytes) == (len(of("anew")), sum(of("anew")))
    assert (back.restored_entries, back.restored_bytes) == (len(of("restored")), sum(of("restored")))
    assert back.undated_entries == 0
    assert sorted(back.seconds) == [60] * len(of("anew")) + [172800] * len(of("late"))
    stalest = max([size for how, size in fates.values() if how == "anew"], default=None)
    assert back.day_age == (-1 if stalest is None else make([b"k"], [1], [NOW - stalest * DAY], NOW).ages[0])
    away = [key for key in keys if fates[key][0] == "away"]
    assert rest == make(away, of("away"), [used[key] for key in away], NOW)
    # Counted once.
    assert regret([(NOW, rest)], there, NOW + 3 * DAY) == [(rest, ghosts.Back())]


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 30)), st.integers(-100, 100)), max_size=5),
    st.dictionaries(st.integers(0, 40), st.integers(-200, 200), max_size=30),
    st.integers(-300, 300),
)
def test_many_runs_and_any_clock_count_each_entry_once_and_no_time_is_negative(
    runs: list[tuple[set[int], int]], there: dict[int, int], now: int
) -> None:
    def key(number: int) -> bytes:
        return b"k%d" % number

    blocks = [(NOW + at * SECOND, make(map(key, sorted(numbers)), [512] * len(numbers))) for numbers, at in runs]
    pairs = regret(blocks, {key(number): NOW + at * SECOND for number, at in there.items()}, NOW + now * SECOND)
    evicted = set().union(*[numbers for numbers, _at in runs])
    counted = sum(back.entries + back.restored_entries + back.undated_entries for _rest, back in pairs)
    assert counted == len(evicted & there.keys())
    assert all(second >= 0 for _rest, back in pairs for second in back.seconds)
    for (numbers, _at), rest in zip(runs, [rest for rest, _back in pairs]):
        assert rest.hashes == make(map(key, sorted(numbers - there.keys())), [0] * len(numbers - there.keys())).hashes


def test_an_eviction_dated_after_now_gives_no_verdict() -> None:
    gone = make([b"a", b"b"], [512, 512])
    ((_rest, back),) = regret([(NOW, gone)], {b"a": NOW - DAY}, NOW - DAY + SECOND)
    assert (back.undated_entries, back.entries, back.restored_entries) == (1, 0, 0)


def test_an_entry_dated_in_the_future_came_back_by_now() -> None:
    gone = make([b"a"], [512])
    ((_rest, back),) = regret([(NOW, gone)], {b"a": NOW + 900 * DAY}, NOW + 60 * SECOND)
    assert back.seconds == array("q", [60])


def test_a_file_system_that_counts_in_two_seconds_makes_no_archive_of_a_build() -> None:
    gone = make([b"a"], [512])
    ((_rest, back),) = regret([(NOW + SECOND, gone)], {b"a": NOW}, NOW + DAY)
    assert (back.entries, back.seconds) == (1, array("q", [0]))


def test_no_ghosts_are_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_entries: Entries, _rows: Sequence[int]) -> Any:
        raise AssertionError("looked at the survey")

    monkeypatch.setattr(Entries, "numbers", look)
    assert not ghosts.present([], seen({b"a": NOW}))
    assert not ghosts.present([make([], [])], seen({b"a": NOW}))


def test_more_entries_than_one_chunk_keep_their_own_times() -> None:
    keys = [b"k%d" % number for number in range(20_000)]
    entries = seen({key: number for number, key in enumerate(keys)})
    found = ghosts.present([make([keys[19_999], keys[8192]], [1, 1])], entries)
    times = {value: at for part in zip(found.hashes, found.mtimes) for value, at in zip(*part)}
    wanted = {make([keys[row]], [1]).hashes[0]: row for row in (8192, 19_999)}
    assert {value: times[value] for value in wanted} == wanted
    assert len(times) < 2000


_NAMES = st.one_of(
    st.builds(
        lambda data, end: b"%s/%s%s" % (data.hex()[:2].encode(), data.hex().encode(), end),
        st.binary(min_size=32, max_size=32),
        st.sampled_from([b"-a", b"-d", b"-d.evicting", b"", b"\n"]),
    ),
    st.binary(max_size=80),
)


@given(st.lists(_NAMES, unique=True, max_size=30))
def test_a_key_has_one_number_however_it_is_kept(keys: list[bytes]) -> None:
    """What a run has evicted is found again, also where another key in the survey is no digest's."""
    packed, plain = Entries((b"-a", b"-d")), Entries()
    for key in keys:
        packed.add(key, 0, 0, 1, 1, 1, 1, 1)
        plain.add(key, 0, 0, 1, 1, 1, 1, 1)
    rows = range(len(keys))
    wanted = [number_of(key) for key in keys]
    assert list(packed.numbers(rows)) == list(plain.numbers(rows)) == wanted
    assert [packed.numbers([row])[0] for row in rows] == wanted
    assert len(set(wanted)) == len(keys)


def test_entries_that_an_undo_put_back_are_taken_out() -> None:
    gone = make([b"a", b"b", b"c"], [512, 1024, 2048], [NOW] * 3, NOW)
    assert ghosts.without(gone, [b"b", b"x"]) == make([b"a", b"c"], [512, 2048], [NOW] * 2, NOW)


# medians


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=50), st.lists(st.integers(0, 10**7), max_size=50))
def test_the_median_over_surveys_is_within_a_third_of_the_true_one(first: list[int], second: list[int]) -> None:
    bins: dict[int, int] = {}
    for seconds in first + second:
        bins[ghosts.bin_of(seconds)] = bins.get(ghosts.bin_of(seconds), 0) + 1
    ranked = sorted(first + second)
    true = ranked[(len(ranked) - 1) // 2]
    found = ghosts.median_of(bins)
    assert found is not None
    assert abs(found - true) <= true / 3
    assert ghosts.median_of({}) is None


def test_the_median_of_one_survey_is_exact() -> None:
    assert ghosts.Back(seconds=array("q", [9, 1, 4])).median_seconds == 4
    assert ghosts.Back(seconds=array("q", [9, 1, 4, 6])).median_seconds == 5
    assert ghosts.Back().median_seconds is None


# pictures


@given(st.lists(st.integers(-5 * 86400, 60 * 86400), max_size=40), st.data())
def test_a_picture_counts_by_days_without_what_went(ages: list[int], data: st.DataObject) -> None:
    used = array("q", [NOW - age * SECOND for age in ages])
    gone = data.draw(st.sets(st.integers(0, len(ages) - 1))) if ages else set()
    seen = ghosts.picture(used, 4096, NOW, gone)
    kept = [age for row, age in enumerate(ages) if row not in gone]
    want = [0] * ghosts.DAYS
    for age in kept:
        want[max(0, min(age // 86400, ghosts.DAYS - 1))] += 1
    assert list(seen.days) == want
    assert seen.entries == len(kept)
    if kept:
        assert (NOW - seen.newest, NOW - seen.oldest) == (min(kept) * SECOND, max(kept) * SECOND)
    else:
        assert (seen.newest, seen.oldest) == (0, 0)
