# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import time
from typing import Any, Dict, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core.verify import Options
from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs, identity
from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_build
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import verify
from ansible_collections.gofleet.cache.tests.fixtures import gocaches


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SETTLE", 0.05)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, go_binary: str) -> gocaches.Caches:
    return gocaches.shared(tmp_path_factory.mktemp("home"), go_binary)


@pytest.fixture
def cache(filled: gocaches.Caches, tmp_path: pathlib.Path) -> pathlib.Path:
    copy = tmp_path / "go-build"
    shutil.copytree(str(filled.build), str(copy))
    return copy


def check(path: pathlib.Path, **more: Any) -> Dict[str, Any]:
    root = identity.open_root(str(path), go_build.looks_like, go_build.KIND, homes=frozenset())
    try:
        return verify.verify(root, Options(more.pop("deadline", time.monotonic() + 60), **more)).data()
    finally:
        os.close(root.fd)


def outputs(cache: pathlib.Path, at_least: int = 1) -> list:
    return sorted(path for path in cache.glob("??/*-d") if path.is_file() and path.stat().st_size >= at_least)


def only(report: Dict[str, Any]) -> Dict[str, Any]:
    assert not report["ok"]
    assert report["damaged_total"] == 1, report["damaged"]
    found: Dict[str, Any] = report["damaged"][0]
    return found


def action(name: str, output: str, size: int) -> bytes:
    return ("v1 %s %s %20d %20d\n" % (name, output, size, 1700000000 * 10**9)).encode()


def test_a_healthy_cache_has_no_damage_and_everything_in_it_was_checked(cache: pathlib.Path) -> None:
    report = check(cache, threads=4)
    assert report["ok"]
    assert report["damaged"] == []
    assert report["truncated"] is None
    assert report["classes"]["action"]["ok"] == len(list(cache.glob("??/*-a"))) > 0
    assert report["classes"]["output"]["ok"] == len(list(cache.glob("??/*-d"))) > 0
    assert report["classes"]["output"]["bytes"] == sum(path.stat().st_size for path in outputs(cache, 0))


def test_looking_changes_nothing_and_no_access_time(cache: pathlib.Path) -> None:
    gocaches.flip(outputs(cache)[0])
    gocaches.age_access(cache)
    before = gocaches.photograph(cache)
    check(cache)
    assert gocaches.photograph(cache) == before


def test_a_flipped_byte_is_found_with_the_actions_that_name_it(cache: pathlib.Path) -> None:
    victim = outputs(cache, 1000)[0]
    gocaches.flip(victim, 500)
    item = only(check(cache))
    path = str(victim.relative_to(cache))
    assert item["class"] == "output"
    assert item["path"] == path
    assert item["expected"] == victim.name[:64]
    assert item["found"] == hashlib.sha256(victim.read_bytes()).hexdigest()
    assert "Go uses it without noticing" in item["problem"]
    assert item["repair"][-1] == path
    naming = {
        str(one.relative_to(cache)) for one in cache.glob("??/*-a") if victim.name[:64].encode() in one.read_bytes()
    }
    assert naming
    assert naming <= set(item["repair"][:-1])


@pytest.mark.parametrize("size", [0, 10])
def test_a_truncated_output_is_found_at_once(cache: pathlib.Path, size: int) -> None:
    victim = outputs(cache, 1000)[0]
    was = victim.stat().st_size
    os.truncate(str(victim), size)
    item = only(check(cache))
    assert item["path"] == str(victim.relative_to(cache))
    assert "%d bytes instead of %d" % (size, was) in item["problem"]


def test_a_missing_output_is_a_normal_miss(cache: pathlib.Path) -> None:
    victim = outputs(cache)[0]
    named = sum(victim.name[:64].encode() in one.read_bytes()[4:] for one in cache.glob("??/*-a"))
    victim.unlink()
    report = check(cache)
    assert report["ok"]
    assert report["notes"]["dangling"] == named > 0


@pytest.mark.parametrize(
    "data",
    [b"", b"v1 ", b"\0" * 175, b"v2" + b"x" * 173, b"v1 " + b"0" * 300],
    ids=["empty", "short", "nul", "version", "long"],
)
def test_a_malformed_action_is_damage_that_costs_only_time(cache: pathlib.Path, data: bytes) -> None:
    victim = sorted(cache.glob("??/*-a"))[0]
    gocaches.write(victim, data)
    item = only(check(cache))
    assert item["class"] == "action"
    assert item["repair"] == [str(victim.relative_to(cache))]
    assert "costs a rebuild, nothing else" in item["problem"]


def test_an_action_that_promises_another_size_is_found(cache: pathlib.Path) -> None:
    victim = outputs(cache, 100)[0]
    name = hashlib.sha256(b"an action").hexdigest()
    size = victim.stat().st_size
    path = cache / name[:2] / (name + "-a")
    gocaches.write(path, action(name, victim.name[:64], size + 1))
    item = only(check(cache))
    assert item["class"] == "action"
    assert (item["expected"], item["found"]) == (str(size + 1), str(size))


def test_findings_go_only_with_their_facts(cache: pathlib.Path) -> None:
    # work/exec.go: go vet takes facts without findings for "nothing found"
    facts = hashlib.sha256(b"facts").hexdigest()
    findings = hashlib.sha256(b"subkey:" + bytes.fromhex(facts) + b"stdout").hexdigest()
    text = b'{"finding": "a mistake"}'
    content = hashlib.sha256(text).hexdigest()
    empty = hashlib.sha256(b"").hexdigest()
    for name, data in (
        (facts + "-a", action(facts, empty, 0)),
        (empty + "-d", b""),
        (findings + "-a", action(findings, content, len(text))),
        (content + "-d", text),
    ):
        gocaches.write(cache / name[:2] / name, data)
    assert check(cache)["ok"]
    gocaches.flip(cache / content[:2] / (content + "-d"))
    item = only(check(cache))
    assert item["repair"] == ["%s/%s" % (name[:2], name) for name in (facts + "-a", findings + "-a", content + "-d")]
    assert "findings of go vet" in item["problem"]


def test_a_cached_executable_is_checked_by_its_inner_file(cache: pathlib.Path) -> None:
    data = b"#!/bin/true\n" * 100
    name = hashlib.sha256(data).hexdigest()
    folder = cache / name[:2] / (name + "-d")
    folder.mkdir()
    (folder / "tool").write_bytes(data)
    act = hashlib.sha256(b"link").hexdigest()
    gocaches.write(cache / act[:2] / (act + "-a"), action(act, name, len(data)))
    report = check(cache)
    assert report["ok"]
    assert report["classes"]["executable"]["ok"] == 1
    assert "dangling" not in report["notes"]
    gocaches.flip(folder / "tool")
    item = only(check(cache))
    assert (item["class"], item["names"]) == ("executable", ["tool"])
    (folder / "second").write_bytes(b"")
    item = only(check(cache))
    assert "2 files" in item["problem"]


def test_foreign_names_are_counted_and_left_alone(cache: pathlib.Path) -> None:
    (cache / "00/notes.txt").write_text("mine")
    (cache / "my-folder").mkdir()
    (cache / "00" / ("1" * 64 + "-d")).write_text("in the wrong shard")
    (cache / "aa" / ("a" * 64 + "-d")).symlink_to("/etc/passwd")
    report = check(cache)
    assert report["ok"]
    assert report["notes"]["foreign"] == 4


def test_a_file_that_is_being_written_is_no_damage(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SETTLE", 600.0)
    data = b"x" * 100000
    name = hashlib.sha256(data).hexdigest()
    path = cache / name[:2] / (name + "-d")
    act = hashlib.sha256(b"slow").hexdigest()
    gocaches.write(cache / act[:2] / (act + "-a"), action(act, name, len(data)))
    path.write_bytes(data[:500])

    waited: List[float] = []

    def finish(seconds: float) -> None:
        waited.append(seconds)
        path.write_bytes(data)

    monkeypatch.setattr(verify.time, "sleep", finish)
    report = check(cache)
    assert len(waited) == 1
    assert report["ok"], report["damaged"]


def test_an_unfinished_output_that_no_action_names_yet_is_no_damage(cache: pathlib.Path) -> None:
    name = hashlib.sha256(b"the whole").hexdigest()
    path = cache / name[:2] / (name + "-d")
    path.write_bytes(b"the who")
    assert check(cache)["notes"]["perhaps being written"] == 1
    gocaches.write(path, b"the who", age=3600)
    assert "no action names it" in only(check(cache))["problem"]


def test_what_cannot_be_read_without_a_trace_is_counted_and_never_read(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = outputs(cache, 1000)[0]
    gocaches.flip(victim)
    real = dirs.open_file

    def refused(name: str, dir_fd: Any = None) -> int:
        if name == victim.name:
            raise dirs.CannotLook(1, "not readable without changing its access time", name)
        return real(name, dir_fd)

    monkeypatch.setattr(dirs, "open_file", refused)
    report = check(cache)
    assert report["ok"]
    assert report["unreached"]["entries"] == 1
    assert report["unreached"]["bytes"] == victim.stat().st_size


def test_the_time_limit_ends_the_work_and_says_so(cache: pathlib.Path) -> None:
    report = check(cache, deadline=time.monotonic() - 1)
    assert "time limit" in report["truncated"]
    assert report["classes"]["output"]["checked"] == 0
    assert check(cache)["truncated"] is None


def test_a_sample_is_a_part_chosen_by_its_seed(cache: pathlib.Path) -> None:
    everything = check(cache)["classes"]["output"]["checked"]
    one, again, other = (check(cache, sample=40.0, seed=seed) for seed in ("a", "a", "b"))
    assert one == again
    assert one["classes"]["output"]["checked"] + one["classes"]["output"]["skipped"] == everything
    assert 0 < one["classes"]["output"]["checked"] < everything
    victim = outputs(cache, 1)[0]
    gocaches.flip(victim)
    seen = [check(cache, sample=40.0, seed=str(seed))["ok"] for seed in range(12)]
    assert True in seen
    assert False in seen
    del other


def test_damage_is_listed_up_to_a_hundred_and_counted_beyond(cache: pathlib.Path) -> None:
    for number in range(130):
        name = hashlib.sha256(b"%d" % number).hexdigest()
        gocaches.write(cache / name[:2] / (name + "-d"), b"other")
    report = check(cache)
    assert report["damaged_total"] == 130
    assert len(report["damaged"]) == 100


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_entry_that_vanishes_meanwhile_is_no_damage(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    victim = outputs(cache, 1000)[0]
    gocaches.flip(victim)
    if when == "before":
        real = dirs.open_file

        def gone(name: str, dir_fd: Any = None) -> int:
            if name == victim.name and victim.exists():
                victim.unlink()
            return real(name, dir_fd)

        monkeypatch.setattr(dirs, "open_file", gone)
    else:
        monkeypatch.setattr(verify.time, "sleep", lambda _seconds: victim.unlink())
    report = check(cache)
    assert report["ok"]
    assert report["notes"]["gone meanwhile"] == 1
