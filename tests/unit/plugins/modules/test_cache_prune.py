# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cache_prune, through main()."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import time
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._host import find, gate, look, purge, schema
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import evict as build_evict
from ansible_collections.gofleet.cache.plugins.modules import cache_prune
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

DAY = synthetic.DAY
Run = Callable[..., "tuple[int, dict[str, Any]]"]
ALWAYS = set(yaml.safe_load(cache_prune.RETURN))


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    place = tmp_path.resolve() / "home"
    place.mkdir()
    account = Account("tester", os.geteuid(), os.getegid(), str(place))
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setattr(find.services, "discover", lambda: ([], []))
    monkeypatch.setattr(find.accounts, "related", lambda _uids=(): [account])
    monkeypatch.setattr(build_evict, "_SETTLE", 0.0)
    return place


@pytest.fixture
def cache(home: pathlib.Path) -> synthetic.Build:
    made = synthetic.Build(home / ".cache/go-build")
    for number in range(6):
        made.put(synthetic.sha(str(number)), b"%d" % number, age=90 * DAY if number % 2 else 3600)
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: pathlib.Path) -> Run:
    def call(check: bool = False, diff: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        options.setdefault("discover", False)
        with patch_module_args(dict(options, _ansible_check_mode=check, _ansible_diff=diff)):
            with pytest.raises(SystemExit) as ended:
                cache_prune.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return call


def keys(result: dict[str, Any]) -> set[str]:
    return set(result) - {"invocation", "failed", "warnings", "exception", "diff"}


def test_check_mode_tells_what_the_run_then_does(run: Run, cache: synthetic.Build) -> None:
    """F13."""
    before = gocaches.photograph(cache.path)
    options = {"paths": [str(cache.path)], "policy": {"max_age": "10d"}}
    _code, check = run(check=True, diff=True, **options)
    assert gocaches.photograph(cache.path) == before
    code, done = run(diff=True, **options)
    assert code == 0
    assert check["plan_digest"] == done["plan_digest"]
    assert (check["changed"], done["changed"]) == (True, True)
    assert check["evicted"] == done["evicted"]
    assert check["diff"] == done["diff"]
    entries = done["diff"]["before"][str(cache.path)]["entries"], done["diff"]["after"][str(cache.path)]["entries"]
    assert entries == (12, 6)
    assert len(cache.files()) == 6
    _code, again = run(diff=True, **options)
    assert not again["changed"]
    assert again["diff"]["before"] == again["diff"]["after"]
    assert again["diff"]["before"][str(cache.path)]["entries"] == entries[1]


def test_the_diff_after_is_the_next_diff_before(run: Run, cache: synthetic.Build) -> None:
    options = {"paths": [str(cache.path)], "policy": {"wipe": True, "floor": "1h", "max_age": None}}
    _code, one = run(diff=True, **options)
    _code, two = run(diff=True, **options)
    assert one["diff"]["after"] == two["diff"]["before"]


def test_every_result_has_every_documented_key(
    run: Run, cache: synthetic.Build, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = [str(cache.path)]
    results = [
        run(check=True, paths=path, policy={"max_age": "10d"}),
        run(paths=path, policy={"max_age": "10d"}),
        run(paths=path, policy={"max_age": "10d"}),
        run(paths=[str(tmp_path / "missing")]),
        run(paths=path),
        run(paths=path, policy={"max_age": "soon"}),
        run(paths=["relative"]),
    ]

    def fail(_name: str) -> None:
        raise OSError(5, "Input/output error")

    made = purge.Options(False, 1, fail)
    monkeypatch.setattr(purge, "Options", lambda *_args, **_options: made)
    cache.put(synthetic.sha("old"), b"old", age=90 * DAY)
    results.append(run(paths=path, policy={"max_age": "10d"}))
    assert [code for code, _result in results] == [0, 0, 0, 0, 0, 1, 1, 1]
    for _code, result in results:
        assert keys(result) >= ALWAYS
        assert keys(result) == keys(results[0][1])
        assert result["msg"]
    assert results[-1][1]["changed"]
    assert results[-1][1]["evicted_entries"] == 1
    assert "Input/output error" in results[-1][1]["msg"]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"max_agee": "10d"}, "policy: max_agee: unknown key (got '10d'); did you mean max_age?"),
        ({"floor": "5m"}, "policy: floor: a floor below 3600 seconds"),
        ({"caches": [{"kind": "go-build", "max_size": "20XB"}]}, "policy: caches[0].max_size: not a size (got '20XB')"),
        ({"wipe": True, "max_age": "1d"}, "policy: wipe: a wipe together with another limit"),
        (
            {"until": {"free_space_above": "10%"}, "when": {"free_space_below": "20%"}},
            "policy: until.free_space_above: ",
        ),
    ],
)
def test_a_nonsense_policy_fails_with_its_key_and_touches_nothing(
    run: Run, cache: synthetic.Build, policy: dict[str, Any], told: str
) -> None:
    before = gocaches.photograph(cache.path)
    code, result = run(paths=[str(cache.path)], policy=policy)
    assert (code, result["failed"], result["changed"]) == (1, True, False)
    assert result["msg"].startswith(told)
    assert gocaches.photograph(cache.path) == before


@pytest.mark.parametrize("path", ["", "off", "relative", "/", "/tmp/a\0b", "/tmp/a\nb", "$HOME/.cache/go-build"])
def test_a_bad_path_fails_and_nothing_is_done(run: Run, cache: synthetic.Build, path: str) -> None:
    """F11."""
    before = gocaches.photograph(cache.path)
    code, result = run(paths=[str(cache.path), path], policy={"wipe": True})
    assert (code, result["changed"]) == (1, False)
    assert "paths: " in result["msg"]
    assert gocaches.photograph(cache.path) == before


def test_a_folder_that_is_no_cache_fails_with_the_reason(run: Run, home: pathlib.Path) -> None:
    """F12."""
    (home / "work/.git").mkdir(parents=True)
    code, result = run(paths=[str(home / "work")], policy={"wipe": True})
    assert code == 1
    assert "repository" in result["msg"]


def test_without_caches_nothing_changes_and_the_places_are_told(run: Run, home: pathlib.Path) -> None:
    """F37."""
    code, result = run(paths=[str(home / "missing")])
    assert (code, result["changed"]) == (0, False)
    assert result["msg"] == "no Go cache here; looked at: %s" % (home / "missing")


def test_without_a_policy_the_default_decides(
    run: Run, cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look.mounts, "space", lambda _fd: look.mounts.Space(1000, 900, 100, 1000, 900))
    _code, result = run(paths=[str(cache.path)])
    assert (result["changed"], result["acts"]) == (False, False)
    monkeypatch.setattr(look.mounts, "space", lambda _fd: look.mounts.Space(10**6, 10**5, 9 * 10**5, 1000, 900))
    _code, result = run(paths=[str(cache.path)])
    assert (result["changed"], result["acts"]) == (True, True)
    assert {item["reason"] for item in result["evicted"]} == {"max_age"}
    assert len(cache.files()) == 6  # the young ones


def test_names_that_are_no_text_do_not_break_the_result(run: Run, home: pathlib.Path) -> None:
    mod = synthetic.Mod(home / os.fsdecode(b"odd\xff"))
    name = os.fsencode(str(mod.path)) + b"/x\xfe\n@v1.0.0.tmp-7"
    os.mkdir(name)
    code, result = run(search_roots=[str(home)], policy={"max_age": "1d"})
    assert code == 0
    assert len(result["caches"]) == 1


def test_ages_count_from_the_last_build_not_from_a_clock_that_was_stepped(
    run: Run, cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F28: a clock set a year ahead between two builds ages nothing."""
    year = time.time_ns() + 365 * DAY * 10**9
    monkeypatch.setattr(look.time, "time_ns", lambda: year)
    _code, result = run(paths=[str(cache.path)], policy={"max_age": "100d"})
    assert not result["changed"]
    assert len(cache.files()) == 12


def test_the_documented_keys_are_those_of_the_schema() -> None:
    assert set(schema.empty()) - ALWAYS <= {"findings", "systems", "looked_at", "changed", "private_known"}


def test_a_saved_plan_is_carried_out_by_its_digest_and_by_no_other(run: Run, cache: synthetic.Build) -> None:
    path = [str(cache.path)]
    _code, dry = run(check=True, paths=path, policy={"max_age": "10d"}, save_plan=True)
    assert (dry["plan_file"], dry["changed"]) == ("", False)
    _code, planned = run(paths=path, policy={"max_age": "10d"}, save_plan=True, return_plan=True)
    assert (planned["changed"], planned["planned_entries"]) == (False, 6)
    assert planned["plan_digest"] == dry["plan_digest"]
    text = "".join(line + "\n" for line in planned["plan"]).encode()
    assert hashlib.sha256(text).hexdigest() == planned["plan_digest"]
    assert pathlib.Path(planned["plan_file"]).read_bytes() == text
    code, other = run(paths=path, plan="0" * 64)
    assert (code, planned["plan_digest"] in other["msg"]) == (1, True)
    code, other = run(paths=path, plan=planned["plan_digest"], policy={"max_age": "9d"})
    assert (code, "another policy" in other["msg"]) == (1, True)
    _code, done = run(paths=path, plan=planned["plan_digest"])
    assert (done["evicted_entries"], done["plan_digest"]) == (6, planned["plan_digest"])
    _code, again = run(paths=path, plan=planned["plan_digest"])
    assert (again["changed"], again["left_out_entries"]) == (False, 6)
    assert {item["reason"] for item in again["left_out"]} == {"gone"}


@pytest.mark.parametrize("digest", ["", "latest"])
def test_what_is_no_digest_carries_out_nothing(run: Run, cache: synthetic.Build, digest: str) -> None:
    """An empty text must not be taken for a purge that nobody has approved."""
    path = [str(cache.path)]
    code, refused = run(paths=path, plan=digest, policy={"max_age": "10d"})
    assert (code, "is no plan's digest" in refused["msg"]) == (1, True)
    assert len(cache.files()) == 12


@pytest.mark.parametrize(
    ("asked", "quick"),
    [({}, True), ({"save_plan": True}, False), ({"return_plan": True}, False), ({"plan": ""}, False)],
)
def test_who_asks_for_a_plan_gets_no_quick_answer(
    run: Run, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], quick: bool
) -> None:
    monkeypatch.setattr(gate, "answer", lambda _policy: dict(schema.purge(), msg="room everywhere"))
    _code, result = run(**asked)
    assert (result["msg"] == "room everywhere") == quick
    assert len(result["plan_digest"]) == (64 if asked and "plan" not in asked else 0)


def test_a_saved_plan_that_somebody_changed_is_refused(run: Run, cache: synthetic.Build) -> None:
    path = [str(cache.path)]
    _code, planned = run(paths=path, policy={"max_age": "10d"}, save_plan=True)
    file = pathlib.Path(planned["plan_file"])
    file.write_bytes(file.read_bytes().replace(b'"bytes":', b'"bytes": ', 1))
    code, refused = run(paths=path, plan=planned["plan_digest"])
    assert (code, "it was changed or is another plan" in refused["msg"]) == (1, True)
    file.chmod(0o666)
    code, refused = run(paths=path, plan=planned["plan_digest"])
    assert (code, "may have been written by others" in refused["msg"]) == (1, True)
    assert run(check=True, paths=path, policy={"max_age": "10d"})[1]["planned_entries"] == 6
