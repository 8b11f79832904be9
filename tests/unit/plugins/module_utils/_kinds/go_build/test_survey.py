# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import Dict, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import Survey
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, mountspace, synthetic

DAY = synthetic.DAY


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> synthetic.Build:
    made = synthetic.Build(tmp_path.resolve() / "go-build")
    made.put(synthetic.sha("one"), b"x" * 5000, age=3 * DAY)
    made.put(synthetic.sha("two"), b"", age=2 * DAY)
    made.executable("vet", b"y" * 9000, age=DAY)
    return made


def du(path: pathlib.Path, *options: str) -> int:
    done = subprocess.run(
        ["du", "-s", "--block-size=1", *options, str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[0])


def check_sums(seen: Survey, path: pathlib.Path) -> None:
    """What du counts, apart from hard links, of which du counts one."""
    assert seen.totals["allocated"] == du(path)
    assert seen.totals["inodes"] == du(path, "--inodes")
    folders = sum(os.lstat(folder).st_size for folder, _names, _files in os.walk(str(path)))
    assert seen.totals["bytes"] == du(path, "--apparent-size") - folders


def ages(seen: Survey) -> Dict[str, Tuple[int, int]]:
    entries = seen.entries
    return {entries.key(n).decode()[3:]: (entries.used[n], entries.mtime[n]) for n in range(len(entries))}


def test_what_is_in_it_is_counted(cache: synthetic.Build) -> None:
    totals = cache.survey().totals
    assert (totals["entries"], totals["actions"], totals["outputs"], totals["executables"], totals["foreign"]) == (
        5,
        2,
        2,
        1,
        0,
    )
    check_sums(cache.survey(), cache.path)


def test_the_sums_are_those_of_du_whatever_lies_around(cache: synthetic.Build) -> None:
    top = cache.path
    (top / "fuzz/example.com/a/FuzzX").mkdir(parents=True)
    for number in range(5):
        (top / "fuzz/example.com/a/FuzzX" / ("seed%d" % number)).write_bytes(b"z" * 700)
    (top / "ab" / "foreign-d").write_bytes(b"1" * 5000)
    (top / "ab" / (synthetic.sha("n") + "-d\n")).write_bytes(b"1")
    (top / "ab" / (synthetic.sha("elsewhere") + "-x")).write_bytes(b"1")
    (top / "ab" / "folder").mkdir()
    (top / "ab\n").mkdir()
    (top / "7f" / "link").symlink_to("/etc/passwd")
    (top / "stranger/deep/er").mkdir(parents=True)
    (top / "stranger/deep/er/file").write_bytes(b"2" * 9000)
    os.mkfifo(str(top / "pipe"))
    with open(os.fsencode(str(top)) + b"/odd\xff", "wb") as handle:
        handle.write(b"3")
    (top / "testexpire.txt").write_text("1", encoding="ascii")
    (top / "CACHEDIR.TAG").touch()
    (top / "12").symlink_to("ab")
    seen = cache.survey()
    check_sums(seen, top)
    assert seen.totals["entries"] == 5
    assert seen.details["fuzz"] == [{"target": "example.com/a/FuzzX", "inputs": 5, "bytes": 3500}]
    assert {item["path"] for item in seen.damage} == {"7f/link", "12"}


def test_a_symlinked_shard_is_told_and_never_entered(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    """F21: Go's own trim deletes through it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    name = "12" + synthetic.sha("report")[2:] + "-d"
    (outside / name).write_bytes(b"report")
    (cache.path / "12").symlink_to(outside)
    seen = cache.survey()
    assert name not in ages(seen)
    assert {"path": "12", "problem": "a shard that is no directory (never entered)"} in seen.damage


def test_an_entry_in_another_shard_than_its_own_is_foreign(cache: synthetic.Build) -> None:
    name = "ff" + "0" * 62 + "-a"
    (cache.path / "00" / name).touch()
    seen = cache.survey()
    assert name not in ages(seen)
    assert seen.totals["foreign"] == 1


def test_an_action_of_another_size_is_damage(cache: synthetic.Build) -> None:
    action, _output = cache.put(synthetic.sha("three"), b"3")
    action.write_bytes(b"")
    (found,) = cache.survey().damage
    assert found == {"path": action.name[:2] + "/" + action.name, "problem": "an action of 0 bytes"}


def test_a_second_hard_link_frees_nothing(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    """F30."""
    _action, output = cache.put(synthetic.sha("three"), b"3" * 9000)
    os.link(str(output), str(tmp_path / "other"))
    seen = cache.survey()
    (row,) = (n for n in range(len(seen.entries)) if seen.entries.key(n).decode().endswith(output.name))
    assert (seen.entries.freed[row], seen.entries.size[row]) == (0, 9000)


def test_the_last_build_is_the_newest_entry_not_the_newest_eviction(cache: synthetic.Build) -> None:
    """A purge changes the times of the folders: were they signs of a build, every purge would age the cache a day."""
    trim = cache.path / "trim.txt"
    trim.write_text("1700000000", encoding="ascii")
    cache.age(trim, 9 * DAY)
    last = cache.survey().last_build
    newest = max(mtime for _used, mtime in ages(cache.survey()).values())
    assert last == newest
    next(cache.path.glob("??/*-a")).unlink()
    assert cache.survey().last_build in (last, max(m for _u, m in ages(cache.survey()).values()))


def test_a_trim_is_a_sign_of_a_build(cache: synthetic.Build) -> None:
    assert abs(cache.survey().last_build - (cache.path / "trim.txt").stat().st_mtime_ns) < 2 * synthetic.SECOND


@pytest.mark.parametrize("stamp", [0, -1, 1, 315532800])
def test_an_entry_older_than_go_counts_from_its_arrival(cache: synthetic.Build, stamp: int) -> None:
    """F28: images and archives carry such times; what has just come was not unused for decades."""
    action, output = cache.put(synthetic.sha("three"), b"3" * 9000)
    for path in (action, output):
        os.utime(str(path), (stamp, stamp))
    seen = ages(cache.survey())
    for path in (action, output):
        used, mtime = seen[path.name]
        assert mtime == stamp * synthetic.SECOND == path.stat().st_mtime_ns
        assert used == path.stat().st_ctime_ns
    assert synthetic.make_plan(cache.survey(), {"max_age": "10d", "floor": "1h"}).entries == 0


def test_times_beyond_the_counter_are_no_crash(cache: synthetic.Build) -> None:
    action, _output = cache.put(synthetic.sha("three"), b"3")
    os.utime(str(action), (13_000_000_000, 13_000_000_000))  # the year 2381
    assert synthetic.make_plan(cache.survey(), {"max_age": "1h", "floor": "1h"}).caches[0].protected["future"][0] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives a shard to another user")
def test_shards_of_another_owner_are_kept_and_counted(cache: synthetic.Build) -> None:
    action, _output = cache.put(synthetic.sha("three"), b"3", age=90 * DAY)
    os.chown(str(action.parent), 4242, 4242)
    plan = synthetic.make_plan(cache.survey(), {"max_age": "1h"})
    assert plan.caches[0].protected["other owner"][0] >= 1
    assert action.name not in {plan.caches[0].survey.entries.key(r).decode()[3:] for r in plan.caches[0].rows}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: looks as another user")
def test_what_cannot_be_read_is_told(cache: synthetic.Build) -> None:
    for path in [cache.path, *cache.path.parents][:-1]:
        path.chmod(path.stat().st_mode | 0o055)
    (cache.path / "ab").chmod(0o700)
    (cache.path / "7f").chmod(0o744)
    (cache.path / "7f" / "name").touch()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(4242, 4242, 4242)
            os.setresuid(4242, 4242, 4242)
            os.write(write, repr(sorted(item["path"] for item in cache.survey().unreached)).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    assert os.read(read, 1000).decode() == "['7f/name', 'ab']"
    os.close(read)


def test_a_survey_changes_nothing_and_opens_no_entry(cache: synthetic.Build) -> None:
    """Also the linked one, which reads the actions of findings."""
    cache.vet("p", age=DAY)
    gocaches.age_access(cache.path)
    before = gocaches.photograph(cache.path)
    cache.survey()
    assert gocaches.photograph(cache.path) == before


def test_thousands_of_fuzz_targets_need_few_descriptors(cache: synthetic.Build) -> None:
    for number in range(1500):
        (cache.path / "fuzz/example.com" / ("p%d" % number)).mkdir(parents=True)
    seen = cache.survey()
    assert seen.unreached == []
    check_sums(seen, cache.path)


def test_a_mount_inside_is_told_and_never_entered(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    """F22: one that came after the root was proven."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ("ab" + synthetic.sha("x")[2:] + "-d")).write_bytes(b"x")
    code = """
    from ansible_collections.gofleet.cache.plugins.module_utils._fs import identity
    from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_build
    from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import survey
    root = identity.open_root(sys.argv[1], go_build.looks_like, go_build.KIND, frozenset())
    bind(sys.argv[2], sys.argv[1] + "/ab")
    seen = survey.survey(root)
    print(seen.totals["entries"], seen.damage[0]["path"], seen.damage[0]["problem"])
    """
    told = mountspace.run(code, str(cache.path), str(outside))
    left = sum(1 for _path in cache.path.glob("[!a]?/*")) + sum(1 for _path in cache.path.glob("a[!b]/*"))
    assert told == "%d ab a mount inside the cache (never entered)" % left
