# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import stat
import sys
import tempfile
import time
import traceback
from array import array
from typing import Any, Callable, Iterator

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import SECOND, CacheRef, Entries, number_of
from ansible_collections.gofleet.cache.plugins.module_utils._journal import ghosts, place, store

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: works with other users' rights")
OTHER = 4242
NOW = 1_800_000_000 * SECOND
DAY = 86400 * SECOND
CACHE = CacheRef("go-build", "/home/u/.cache/go-build", "/home/u/.cache/go-build", 1000, 1000, 2**64 - 7, 2**63 + 5)
MOD = CacheRef("go-mod", "/home/u/go/pkg/mod\udcff", "/home/u/go/pkg/mod", 1000, 1000, 1, 2)
EMPTY = ghosts.Picture(0, 0, 0, 0, (0,) * ghosts.DAYS)


@pytest.fixture(autouse=True)
def state(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv(place.STATE, str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def journal(notes: list[str]) -> Iterator[store.Journal]:
    found = opened(notes)
    yield found
    found.close()


def opened(notes: list[str], write: bool = True) -> store.Journal:
    found = store.open_journal(write, notes.append)
    assert found is not None, notes
    return found


def a_run(at: int = NOW, evicted: int = 2, policy: str = "p1", what: str = "purge") -> store.Run:
    return store.Run(at, "cli", what, policy, "plan", 10, 9, evicted, 1, 100, 109, ["n"])


def a_row(*keys: bytes, cache: CacheRef = CACHE, at: int = NOW, freed: int = 4096) -> store.Row:
    gone = ghosts.make(array("Q", map(number_of, keys)), [freed] * len(keys), [at - DAY] * len(keys), at)
    after = ghosts.Picture(7, 7000, NOW - DAY, NOW - 3 * DAY, (0, 3, 4) + (0,) * (ghosts.DAYS - 3))
    return store.Row(cache, EMPTY, after, 8000, len(keys), freed * len(keys), gone, at)


def seen(*keys: bytes, mtime: int = NOW + 60 * SECOND) -> Entries:
    entries = Entries()
    for key in keys:
        entries.add(key, 0, 0, mtime, mtime, 1, 4096, 4096)
    return entries


def child(work: Callable[[], Any]) -> int:
    """Starts *work* in a process of its own; it exits 0 unless *work* raised."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    status = os.waitpid(pid, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def dump(path: pathlib.Path) -> list[str]:
    base = sqlite3.connect(str(path))
    try:
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return list(base.iterdump())
    finally:
        base.close()


# what is kept


def test_a_run_is_told_as_it_was_recorded(journal: store.Journal, notes: list[str]) -> None:
    assert journal.record(a_run(), [a_row(b"a", b"b"), a_row(cache=MOD)]) == 1
    (run,) = journal.history(5)["runs"]
    assert run["caches"][0]["regret"]["entries"] == 0
    assert {key: run[key] for key in list(run)[:13]} == {
        "id": 1,
        "at": NOW // SECOND,
        "door": "cli",
        "what": "purge",
        "policy": "p1",
        "plan": "plan",
        "predicted_bytes": 10,
        "freed_bytes": 9,
        "evicted_entries": 2,
        "left_out_entries": 1,
        "free_bytes_before": 100,
        "free_bytes_after": 109,
        "notes": ["n"],
    }
    assert [(c["kind"], c["path"], c["evicted_entries"], c["allocated_after"], c["cap"]) for c in run["caches"]] == [
        ("go-build", CACHE.path, 2, 7000, 8000),
        ("go-mod", "/home/u/go/pkg/mod\\xff", 0, 7000, 8000),
    ]
    first, second = journal.rows(1)[1], journal.rows(1)[0]
    assert (first["device"], first["inode"]) == (CACHE.device, CACHE.inode)
    assert first["after"]["days"][:4] == [0, 3, 4, 0]
    assert first["after"]["oldest"] == NOW // SECOND - 3 * 86400
    assert second["ghosts"] == 0
    assert [row["path"] for row in journal.rows(5, MOD.kind, MOD.path)] == ["/home/u/go/pkg/mod\\xff"]
    json.dumps([journal.history(5), journal.rows(5)])
    assert notes == []


def test_a_row_of_check_mode_has_the_shape_of_a_recorded_one(journal: store.Journal) -> None:
    journal.record(a_run(), [a_row(b"a", b"b")])
    planned = store.plain_row(a_run(), a_row(b"a", b"b"))
    assert dict(planned, run=1) == journal.rows(1)[0]


def test_a_run_that_ends_without_a_record_leaves_no_picture_to_compare_with(journal: store.Journal) -> None:
    journal.record(a_run(), [a_row(), a_row(cache=MOD)])
    journal.begin([CACHE, CacheRef("go-mod", "/new", "/new", 0, 0, 0, 0)])
    assert [(row["kind"], row["after"]["complete"]) for row in journal.rows(1)] == [
        ("go-mod", True),
        ("go-build", False),
    ]
    journal.record(a_run(), [a_row()])
    assert journal.rows(1)[0]["after"]["complete"] is True


def test_what_came_back_is_counted_once_and_where_it_was_evicted(journal: store.Journal) -> None:
    journal.record(a_run(), [a_row(b"a", b"b", b"c", b"d"), a_row(b"a", cache=MOD)])
    journal.record(a_run(NOW + 10 * SECOND, policy="p2"), [a_row(b"e", at=NOW + 10 * SECOND)])
    entries = seen(b"a", b"e", b"other")
    entries.mtime[0] = NOW + 60 * SECOND
    entries.add(b"b", 0, 0, 0, NOW - DAY, 1, 1, 1)
    back = journal.regret(CACHE, entries, NOW + DAY)
    assert (back.entries, back.bytes, back.restored_entries, back.median_seconds) == (2, 8192, 1, 55)
    assert journal.regret(CACHE, entries, NOW + DAY) == ghosts.Back()
    told = journal.history()
    assert [run["regret"]["entries"] for run in told["runs"]] == [1, 1]
    assert told["runs"][1]["regret"]["restored_entries"] == 1
    assert told["runs"][1]["regret"]["share"] == 0.2
    assert [(p["policy"], p["regret"]["entries"], p["regret"]["share"]) for p in told["policies"]] == [
        ("p2", 1, 1.0),
        ("p1", 1, 0.2),
    ]
    # What comes later is added to the same run.
    assert journal.regret(CACHE, seen(b"c", mtime=NOW + 3 * DAY), NOW + 4 * DAY).entries == 1
    late = journal.history()["runs"][1]["regret"]
    assert (late["entries"], late["day_entries"], late["bytes"]) == (2, 1, 8192)


def test_a_journal_for_reading_tells_what_came_back_and_changes_nothing(
    journal: store.Journal, state: pathlib.Path, notes: list[str]
) -> None:
    journal.record(a_run(), [a_row(b"a")])
    journal.unneeded(CACHE, ["m@v1"], NOW)
    before = dump(state / place.FILE)
    reader = opened(notes, write=False)
    for _time in range(2):
        assert reader.regret(CACHE, seen(b"a"), NOW + DAY).entries == 1
    assert reader.unneeded(CACHE, ["m@v1", "n@v1"], NOW + DAY) == {"m@v1": NOW, "n@v1": NOW + DAY}
    assert reader.record(a_run(), []) == 0
    assert "readonly" in notes[-1]
    reader.close()
    assert dump(state / place.FILE) == before


def test_nothing_is_made_for_reading(state: pathlib.Path, notes: list[str]) -> None:
    assert store.open_journal(False, notes.append) is None
    assert notes == []
    assert not state.exists()


def test_a_file_that_another_run_is_just_making_is_no_journal_yet(state: pathlib.Path, notes: list[str]) -> None:
    state.mkdir(mode=0o700)
    (state / place.FILE).touch(mode=0o600)
    assert store.open_journal(False, notes.append) is None
    assert notes == []
    opened(notes).close()


def test_the_file_is_private(journal: store.Journal, state: pathlib.Path) -> None:
    assert stat.S_IMODE((state / place.FILE).stat().st_mode) == 0o600


def test_an_undo_is_neither_regret_nor_an_archive(journal: store.Journal) -> None:
    journal.record(a_run(), [a_row(b"a", b"b")])
    journal.forget(CACHE, [b"a"])
    assert journal.regret(CACHE, seen(b"a", mtime=NOW - DAY), NOW + DAY) == ghosts.Back()
    journal.forget(CACHE)
    assert journal.regret(CACHE, seen(b"b"), NOW + DAY) == ghosts.Back()


def test_without_ghosts_the_survey_is_not_looked_at(journal: store.Journal) -> None:
    journal.record(a_run(), [a_row()])
    assert journal.regret(CACHE, None, NOW) == ghosts.Back()  # type: ignore[arg-type]


# bounds


def test_old_runs_and_ghosts_go_and_runs_that_did_something_stay_longer(
    journal: store.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RUNS", 8)
    monkeypatch.setattr(store, "QUIET_RUNS", 3)
    for number in range(4):
        journal.record(a_run(NOW, policy="busy%d" % number), [a_row(b"%d" % number)])
    for number in range(9):
        journal.record(a_run(NOW, 0, "quiet%d" % number), [a_row()])
    assert [run["policy"] for run in journal.history(99)["runs"]] == [
        "quiet8", "quiet7", "quiet6", "busy3", "busy2", "busy1", "busy0",
    ]  # fmt: skip
    for number in range(4, 12):
        journal.record(a_run(NOW, policy="busy%d" % number), [a_row(b"%d" % number)])
    assert [run["policy"] for run in journal.history(99)["runs"]] == ["busy%d" % n for n in range(11, 3, -1)]
    assert journal.regret(CACHE, seen(*[b"%d" % n for n in range(12)]), NOW + DAY).entries == 8
    assert len(journal.rows(99)) == 8


def test_ghosts_go_after_thirty_days_and_beyond_the_bytes_the_oldest_first(
    journal: store.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.record(a_run(), [a_row(b"old")])
    later = NOW + 31 * DAY
    assert journal.regret(CACHE, seen(b"old"), later) == ghosts.Back()
    journal.record(a_run(later), [a_row(b"b", at=later)])
    assert journal._base.execute("SELECT count(*) FROM ghosts").fetchone() == (1,)
    size = len(ghosts.pack(a_row(b"b").gone or ghosts.make(array("Q"), [])))
    monkeypatch.setattr(store, "GHOST_BYTES", 2 * size + 1)
    for name in (b"c", b"d"):
        journal.record(a_run(later), [a_row(name, at=later)])
    assert journal.regret(CACHE, seen(b"b", b"c", b"d", mtime=later), later).entries == 2


def test_of_all_caches_of_a_run_no_more_ghosts_than_the_bound_are_kept(
    journal: store.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ghosts, "MOST", 3)
    journal.record(a_run(), [a_row(b"a", b"b"), a_row(b"a", b"b", cache=MOD), a_row(b"c", cache=MOD)])
    assert [row["ghosts"] for row in reversed(journal.rows(1))] == [2, 1, 0]


def test_many_caches_do_not_let_the_file_grow(journal: store.Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CACHE_ROWS", 5)
    for number in range(4):
        journal.record(a_run(policy=str(number)), [a_row(), a_row(cache=MOD)])
    assert [run["policy"] for run in journal.history()["runs"]] == ["3", "2"]
    journal.record(a_run(policy="4"), [a_row()] * 9)
    assert [(run["policy"], len(run["caches"])) for run in journal.history()["runs"]] == [("4", 9)]


def test_long_notes_are_cut(journal: store.Journal) -> None:
    run = a_run()._replace(notes=["x" * 1000] * 50 + ["\udcff"])
    journal.record(run, [])
    (told,) = journal.history()["runs"]
    assert len(json.dumps(told["notes"])) < 2500
    assert told["notes"][-1] == "..."


def test_numbers_that_no_database_holds_are_bounded(journal: store.Journal, notes: list[str]) -> None:
    assert journal.record(a_run()._replace(free_before=2**70, policy="\udc80"), [a_row(freed=2**60)]) == 1
    assert journal.history()["runs"][0]["free_bytes_before"] == 2**63 - 1
    assert notes == []


# unneeded


def test_unneeded_since_the_first_time_and_forgotten_when_needed(journal: store.Journal) -> None:
    assert journal.unneeded(MOD, ["a@v1", "b@v1"], NOW) == {"a@v1": NOW, "b@v1": NOW}
    assert journal.unneeded(MOD, ["a@v1", "c@\udcff"], NOW + DAY) == {"a@v1": NOW, "c@\udcff": NOW + DAY}
    later = NOW + 9 * DAY
    assert journal.unneeded(MOD, ["a@v1", "b@v1", "c@\udcff"], later) == {
        "a@v1": NOW,
        "b@v1": later,
        "c@\udcff": NOW + DAY,
    }
    assert journal.unneeded(CACHE, ["a@v1"], later) == {"a@v1": later}
    assert journal.unneeded(MOD, [], later) == {}
    assert journal.unneeded(MOD, ["a@v1"], later) == {"a@v1": later}


def test_a_clock_set_back_makes_nothing_unneeded_in_the_future_or_before_the_clock_was_set(
    journal: store.Journal,
) -> None:
    journal.unneeded(MOD, ["a@v1"], NOW + 365 * DAY)
    assert journal.unneeded(MOD, ["a@v1"], NOW) == {"a@v1": NOW}
    assert journal.unneeded(MOD, ["a@v1"], NOW + DAY) == {"a@v1": NOW}
    journal.unneeded(MOD, ["b@v1"], 100 * SECOND)  # an agent that started without a clock
    assert journal.unneeded(MOD, ["b@v1"], NOW) == {"b@v1": NOW}


def test_labels_that_are_asked_for_are_remembered_and_others_go(journal: store.Journal) -> None:
    journal.unneeded(MOD, ["a@v1"], NOW)
    journal.unneeded(CACHE, ["a@v1"], NOW)
    for month in range(1, 8):
        journal.unneeded(MOD, ["a@v1"], NOW + 30 * month * DAY)
    journal.record(a_run(NOW + 210 * DAY), [])
    assert journal.unneeded(MOD, ["a@v1"], NOW + 211 * DAY) == {"a@v1": NOW}
    assert journal.unneeded(CACHE, ["a@v1"], NOW + 211 * DAY) == {"a@v1": NOW + 211 * DAY}


def test_more_labels_than_are_kept_are_told_and_not_kept(
    journal: store.Journal, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "UNNEEDED_MOST", 1)
    journal.unneeded(MOD, ["a@v1"], NOW)
    assert journal.unneeded(MOD, ["a@v1", "b@v1"], NOW + DAY) == {"a@v1": NOW, "b@v1": NOW + DAY}
    assert "no more" in notes[0]
    assert journal.unneeded(MOD, ["a@v1", "b@v1"], NOW + 2 * DAY) == {"a@v1": NOW, "b@v1": NOW + 2 * DAY}


# faults


def test_without_sqlite_there_is_no_journal(monkeypatch: pytest.MonkeyPatch, notes: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    assert store.open_journal(True, notes.append) is None
    assert "no sqlite3" in notes[0]


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_moved_aside_and_one_is_kept(state: pathlib.Path, notes: list[str], content: bytes) -> None:
    state.mkdir(mode=0o700)
    file = state / place.FILE
    for number in (1, 2):
        file.write_bytes(content + b"%d" % number)
        file.chmod(0o600)
        assert store.open_journal(False, notes.append) is None
        assert "was not read" in notes[-1]
        assert file.read_bytes() == content + b"%d" % number
        with Opened(notes) as found:
            assert found.record(a_run(), []) == 1
        assert "moved to %s/journal.damaged-%d" % (state, number) in notes[-1]
    assert sorted(os.listdir(str(state))) == ["journal.damaged-2", place.FILE]
    assert (state / "journal.damaged-2").read_bytes() == content + b"2"


class Opened:
    def __init__(self, notes: list[str], write: bool = True) -> None:
        self.journal = opened(notes, write)

    def __enter__(self) -> store.Journal:
        return self.journal

    def __exit__(self, *_error: object) -> None:
        self.journal.close()


def test_a_roll_back_file_of_a_damaged_journal_does_not_reach_the_new_one(
    state: pathlib.Path, notes: list[str]
) -> None:
    state.mkdir(mode=0o700)
    for name in (place.FILE, place.FILE + "-journal"):
        (state / name).write_bytes(b"nonsense" * 1000)
        (state / name).chmod(0o600)
    opened(notes).close()
    assert sorted(os.listdir(str(state))) == ["journal.damaged-1", place.FILE]


@pytest.mark.parametrize("statement", ["DROP TABLE ghosts", "CREATE TABLE more (x)", "PRAGMA user_version = 0"])
def test_another_schema_under_our_number_counts_as_damage(
    state: pathlib.Path, notes: list[str], statement: str
) -> None:
    opened(notes).close()
    base = sqlite3.connect(str(state / place.FILE))
    base.execute(statement)
    base.commit()
    base.close()
    with Opened(notes) as found:
        assert found.record(a_run(), []) == 1
    assert "was damaged" in notes[-1]


def test_a_newer_journal_is_left_alone(state: pathlib.Path, notes: list[str]) -> None:
    opened(notes).close()
    base = sqlite3.connect(str(state / place.FILE))
    base.execute("PRAGMA user_version = %d" % (store.SCHEMA + 1))
    base.close()
    before = (state / place.FILE).read_bytes()
    for write in (True, False):
        assert store.open_journal(write, notes.append) is None
        assert "newer" in notes[-1]
    assert (state / place.FILE).read_bytes() == before
    assert os.listdir(str(state)) == [place.FILE]


def test_damage_that_shows_only_later_is_moved_aside_too(
    journal: store.Journal, state: pathlib.Path, notes: list[str]
) -> None:
    for number in range(40):
        journal.record(a_run()._replace(notes=["x" * 300] * 6), [a_row(b"%d" % number)])
    journal.close()
    found = opened(notes)
    with open(state / place.FILE, "r+b") as stream:
        stream.seek(2 * 4096)
        while stream.tell() < os.stat(state / place.FILE).st_size:
            stream.write(b"\xa5" * 4096)
    # A change by another connection makes this one read the pages again.
    assert found.record(a_run(), [a_row(b"z")]) == 0
    assert "moved to" in notes[-1]
    count = len(notes)
    assert found.history()["runs"] == []
    assert len(notes) == count
    found.close()
    with Opened(notes) as again:
        assert again.record(a_run(), []) == 1


def test_one_runs_unreadable_ghosts_do_not_hide_the_others(journal: store.Journal, notes: list[str]) -> None:
    journal.record(a_run(), [a_row(b"a")])
    journal.record(a_run(), [a_row(b"b")])
    journal._base.execute("UPDATE ghosts SET packed = x'0102' WHERE cache = 1")
    assert journal.regret(CACHE, seen(b"a", b"b"), NOW + DAY).entries == 1
    assert "not readable" in notes[0]


def test_a_journal_that_another_process_holds_is_waited_for_two_seconds(
    journal: store.Journal, state: pathlib.Path, notes: list[str]
) -> None:
    journal.record(a_run(), [a_row(b"a")])
    other = sqlite3.connect(str(state / place.FILE), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    begun = time.monotonic()
    assert store.open_journal(True, notes.append) is None
    assert 1.5 < time.monotonic() - begun < 30
    assert "locked" in notes[-1]
    assert journal.record(a_run(), [a_row(b"b")]) == 0
    assert "another process holds it" in notes[-1]
    # Waited for once: whoever waited now would take two seconds each time, also on a slow machine.
    taken = []
    for _attempt in range(3):
        begun = time.monotonic()
        assert journal.unneeded(MOD, ["a@v1"], NOW) == {"a@v1": NOW}
        assert journal.regret(CACHE, seen(b"a"), NOW + DAY) == ghosts.Back()
        assert journal.rows() == []
        taken.append(time.monotonic() - begun)
    assert min(taken) < 1
    other.execute("ROLLBACK")
    other.close()
    assert journal.record(a_run(), [a_row(b"b")]) == 2


def test_a_full_disk_loses_the_record_and_nothing_else(
    journal: store.Journal, state: pathlib.Path, notes: list[str]
) -> None:
    journal.record(a_run(), [a_row(b"a")])
    pages = journal._base.execute("PRAGMA page_count").fetchone()[0]
    journal._base.execute("PRAGMA max_page_count = %d" % pages)
    many = [b"%d" % number for number in range(20_000)]
    assert journal.record(a_run(), [a_row(*many)]) == 0
    assert "full" in notes[-1]
    assert len(journal.history()["runs"]) == 1
    journal._base.execute("PRAGMA max_page_count = 1000000")
    assert journal.record(a_run(), [a_row(*many)]) == 2
    assert dump(state / place.FILE)


def test_no_room_for_a_new_file_is_told(state: pathlib.Path, tmp_path: pathlib.Path) -> None:
    def work() -> None:
        # What the kernel refuses to write is an I/O error to SQLite, as on a disk with no byte left.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        notes: list[str] = []
        assert store.open_journal(True, notes.append) is None
        assert "no journal is kept" in notes[0]

    assert ended(child(work)) == 0
    notes: list[str] = []
    with Opened(notes) as found:  # the empty file it left is none that is damaged
        assert found.record(a_run(), []) == 1
    assert notes == []


def test_an_unsafe_place_is_told_and_not_used(state: pathlib.Path, notes: list[str]) -> None:
    state.mkdir(mode=0o700)
    (state / "mine").touch()
    (state / place.FILE).symlink_to(state / "mine")
    assert store.open_journal(True, notes.append) is None
    assert "symlink" in notes[0]
    assert (state / "mine").stat().st_size == 0


@pytest.fixture
def open_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    folder = tempfile.mkdtemp(dir="/tmp")
    os.chmod(folder, 0o755)
    yield pathlib.Path(folder)
    shutil.rmtree(folder)


def as_other(work: Callable[[], Any]) -> int:
    def dropped() -> None:
        os.setgroups([])
        os.setresgid(OTHER, OTHER, OTHER)
        os.setresuid(OTHER, OTHER, OTHER)
        work()

    return ended(child(dropped))


@as_root
def test_a_plain_user_keeps_a_journal_of_ones_own(open_tmp: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = open_tmp / "home"
    home.mkdir(mode=0o700)
    os.chown(str(home), OTHER, OTHER)
    monkeypatch.delenv(place.STATE)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))

    def work() -> None:
        notes: list[str] = []
        with Opened(notes) as found:
            assert found.record(a_run(), [a_row(b"a")]) == 1
            assert found.path == str(home / ".local/state/gofleet-cache" / place.FILE)
        assert notes == []

    assert as_other(work) == 0
    assert (home / ".local/state/gofleet-cache" / place.FILE).stat().st_uid == OTHER


@as_root
@pytest.mark.parametrize("trouble", ["read-only", "roots", "closed"])
def test_a_place_without_the_rights_is_told(
    open_tmp: pathlib.Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    folder = open_tmp / "state"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv(place.STATE, str(folder))
    if trouble == "read-only":
        os.chown(str(folder), OTHER, OTHER)
        folder.chmod(0o500)
    elif trouble == "roots":
        folder.chmod(0o755)
    else:
        monkeypatch.setenv(place.STATE, str(folder / "deeper"))

    def work() -> None:
        for write in (True, False):
            notes: list[str] = []
            assert store.open_journal(write, notes.append) is None
            assert bool(notes) is (write or trouble != "read-only"), notes

    assert as_other(work) == 0
    assert os.listdir(str(folder)) == []


# several processes


def test_runs_at_once_lose_nothing(state: pathlib.Path, notes: list[str]) -> None:
    def work(number: int) -> Callable[[], None]:
        def inner() -> None:
            mine: list[str] = []
            for turn in range(8):
                with Opened(mine) as found:
                    name = b"%d-%d" % (number, turn)
                    assert found.record(a_run(policy=name.decode()), [a_row(name)])
                    found.unneeded(CacheRef("go-mod", "/m%d" % number, "", 0, 0, 0, 0), ["m%d@v1" % turn], NOW)
            assert mine == []

        return inner

    pids = [child(work(number)) for number in range(4)]
    assert [ended(pid) for pid in pids] == [0] * 4
    with Opened(notes) as found:
        names = [b"%d-%d" % (number, turn) for number in range(4) for turn in range(8)]
        assert sorted(run["policy"].encode() for run in found.history(99)["runs"]) == sorted(names)
        assert found.regret(CACHE, seen(*names), NOW + DAY).entries == 32
    assert os.listdir(str(state)) == [place.FILE]


def test_two_surveys_at_once_count_what_came_back_once(journal: store.Journal, notes: list[str]) -> None:
    journal.record(a_run(), [a_row(b"a", b"b", b"c")])
    second = opened(notes)
    inner: list[ghosts.Back] = []
    real = journal._settle

    def in_between(*args: Any) -> Any:
        if not inner:
            inner.append(second.regret(CACHE, seen(b"a"), NOW + DAY))
        return real(*args)

    journal._settle = in_between  # type: ignore[method-assign]
    assert journal.regret(CACHE, seen(b"a", b"b"), NOW + DAY).entries == 1
    assert inner[0].entries == 1
    assert journal.history()["runs"][0]["regret"]["entries"] == 2
    second.close()


def test_a_run_that_records_while_another_surveys_keeps_its_ghosts(journal: store.Journal, notes: list[str]) -> None:
    journal.record(a_run(), [a_row(b"a")])
    second = opened(notes)
    real, turns = journal._settle, iter([True])

    def in_between(*args: Any) -> Any:
        if next(turns, False):
            second.record(a_run(), [a_row(b"new")])
        return real(*args)

    journal._settle = in_between  # type: ignore[method-assign]
    assert journal.regret(CACHE, seen(b"a"), NOW + DAY).entries == 1
    assert journal.regret(CACHE, seen(b"new"), NOW + DAY).entries == 1
    second.close()


def test_a_process_killed_at_any_moment_leaves_a_journal_of_whole_runs(state: pathlib.Path, notes: list[str]) -> None:
    many = [b"%d" % number for number in range(3000)]
    opened(notes).close()

    def work() -> None:
        with Opened([]) as found:
            while True:
                found.record(a_run(), [a_row(*many), a_row(b"a", cache=MOD)])
                found.regret(CACHE, seen(*many[:100]), NOW + DAY)

    chance = random.Random(4)
    for _round in range(15):
        pid = child(work)
        time.sleep(chance.uniform(0.02, 0.15))
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
        with Opened(notes) as found:
            for run in found.history(store.RUNS)["runs"]:
                assert [cache["kind"] for cache in run["caches"]] == ["go-build", "go-mod"]
        dump(state / place.FILE)
    with Opened(notes) as found:
        assert found.history()["runs"]
        assert found.record(a_run(), [])
    assert notes == []


def test_a_write_that_is_cut_in_the_middle_is_rolled_back_by_the_next_run(
    state: pathlib.Path, notes: list[str]
) -> None:
    with Opened(notes) as found:
        found.record(a_run(), [a_row(b"a")])
    before = dump(state / place.FILE)
    numbers = random.Random(1)
    many = [b"%d" % numbers.getrandbits(60) for _number in range(100_000)]

    def work() -> None:
        found = opened([])
        found._base.execute("PRAGMA cache_size = 4")  # pages reach the file before the commit
        found._expire = lambda *_args: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        found.record(a_run(), [a_row(*many)])

    assert ended(child(work)) == -signal.SIGKILL
    assert (state / (place.FILE + "-journal")).stat().st_size > 0
    assert store.open_journal(False, notes.append) is None or notes == []
    with Opened(notes) as found:
        assert len(found.history()["runs"]) == 1
    assert dump(state / place.FILE) == before


def test_a_hundred_thousand_ghosts_take_a_fraction_of_a_second_and_a_megabyte(
    journal: store.Journal, state: pathlib.Path
) -> None:
    numbers = random.Random(2)
    keys = [b"%02x/%064x-d" % (n & 255, numbers.getrandbits(256)) for n in range(100_000)]
    used = array("q", [NOW - numbers.randrange(20 * DAY) for _key in keys])
    freed = array("q", [4096 * numbers.randrange(1, 20) for _key in keys])
    begun = time.process_time()
    gone = ghosts.make(array("Q", map(number_of, keys)), freed, used, NOW)
    journal.record(a_run(), [a_row()._replace(gone=gone)])
    assert time.process_time() - begun < 1.5  # 0.2 s on an idle machine
    assert (state / place.FILE).stat().st_size < 10 * len(keys)
