# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cache_undo, through main()."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._host import find, purge, undo
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import evict as build_evict
from ansible_collections.gofleet.cache.plugins.modules import cache_undo
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

DAY = synthetic.DAY
Run = Callable[..., "tuple[int, dict[str, Any]]"]
ALWAYS = set(yaml.safe_load(cache_undo.RETURN))


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> synthetic.Build:
    home = tmp_path.resolve() / "home"
    home.mkdir()
    account = Account("tester", os.geteuid(), os.getegid(), str(home))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(find.services, "discover", lambda: ([], []))
    monkeypatch.setattr(find.accounts, "related", lambda _uids=(): [account])
    monkeypatch.setattr(build_evict, "_SETTLE", 0.0)
    made = synthetic.Build(home / ".cache/go-build")
    for number in range(6):
        made.put(synthetic.sha(str(number)), b"%d" % number, age=90 * DAY if number % 2 else 3600)
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(check: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        options.setdefault("discover", False)
        with patch_module_args(dict(options, _ansible_check_mode=check)):
            with pytest.raises(SystemExit) as ended:
                cache_undo.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return call


def evict(cache: synthetic.Build, age: str = "10d") -> str:
    """Puts what is old into quarantine; the name of the run."""
    request = find.Request(paths=[str(cache.path)], discover=False)
    result = purge.run(request, {"max_age": age, "quarantine": "1d"}, purge.Options(False))
    assert result["changed"]
    name: str = result["quarantine_run"]
    return name


def keys(result: dict[str, Any]) -> set[str]:
    return set(result) - {"invocation", "failed", "warnings", "exception"}


def test_check_mode_changes_nothing_and_the_run_then_brings_everything_back(run: Run, cache: synthetic.Build) -> None:
    before = gocaches.photograph(cache.path)
    name = evict(cache)
    away = gocaches.photograph(cache.path)
    paths = [str(cache.path)]
    code, check = run(check=True, paths=paths, run=name)
    assert (code, check["changed"], check["run"], check["restored_entries"]) == (0, True, name, 0)
    assert check["msg"].startswith("would bring back ")
    assert gocaches.photograph(cache.path) == away
    code, done = run(paths=paths, run=name)
    assert (code, done["changed"], done["restored_entries"]) == (0, True, 6)
    assert done["msg"].startswith("brought back 6 entries, ")
    assert [item["run"] for item in done["quarantines"]] == [name]
    assert set(gocaches.photograph(cache.path)) == set(before)
    assert len(cache.files()) == 12
    for wanted in (True, False):
        code, again = run(check=wanted, paths=paths)
        assert (code, again["changed"], again["run"], again["msg"]) == (0, False, "", "nothing is in quarantine")


def test_the_default_is_the_newest_run(run: Run, cache: synthetic.Build) -> None:
    first = evict(cache, "80d")
    cache.put(synthetic.sha("another"), b"another", age=50 * DAY)
    request = find.Request(paths=[str(cache.path)], discover=False)
    second = purge.run(request, {"max_age": "40d", "quarantine": "3d"}, purge.Options(False))["quarantine_run"]
    assert second != first
    _code, done = run(paths=[str(cache.path)])
    assert (done["run"], done["restored_entries"]) == (second, 2)
    _code, done = run(paths=[str(cache.path)])
    assert (done["run"], done["restored_entries"]) == (first, 6)


def test_what_was_made_anew_is_told_with_its_reason(run: Run, cache: synthetic.Build) -> None:
    evict(cache)
    cache.put(synthetic.sha("1"), b"1")
    _code, done = run(paths=[str(cache.path)])
    assert (done["restored_entries"], done["left_out_entries"]) == (4, 2)
    assert {item["reason"] for item in done["left_out"]} == {"made anew since"}
    assert done["msg"].endswith("; 2 left out (made anew since)")


@pytest.mark.parametrize("wanted", ["0" * 12, "../../../etc", "LATEST", "", "0" * 11, "0" * 12 + "\n"])
def test_a_run_that_is_not_there_is_refused_and_nothing_is_touched(
    run: Run, cache: synthetic.Build, wanted: str
) -> None:
    name = evict(cache)
    away = gocaches.photograph(cache.path)
    code, result = run(paths=[str(cache.path)], run=wanted)
    assert (code, result["changed"], result["caches"]) == (1, False, [])
    assert result["msg"].startswith("run: ")
    if wanted == "0" * 12:
        assert name in result["msg"]
    assert gocaches.photograph(cache.path) == away


@pytest.mark.parametrize("path", ["", "off", "relative", "/", "$HOME/.cache/go-build"])
def test_a_bad_path_fails_and_nothing_is_done(run: Run, cache: synthetic.Build, path: str) -> None:
    """F11."""
    evict(cache)
    away = gocaches.photograph(cache.path)
    code, result = run(paths=[str(cache.path), path])
    assert (code, result["changed"]) == (1, False)
    assert "paths: " in result["msg"]
    assert gocaches.photograph(cache.path) == away


def test_every_result_has_every_documented_key(
    run: Run, cache: synthetic.Build, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = [str(cache.path)]
    evict(cache)
    results = [
        run(check=True, paths=path),
        run(paths=path),
        run(paths=path),
        run(paths=[str(tmp_path / "missing")]),
        run(paths=["relative"]),
        run(paths=path, run="0" * 12),
    ]
    evict(cache)

    def fail(_name: str) -> None:
        raise OSError(5, "Input/output error")

    made = undo.Options(False, 600, fail)
    monkeypatch.setattr(undo, "Options", lambda *_args: made)
    results.append(run(paths=path))
    assert [code for code, _result in results] == [0, 0, 0, 0, 1, 1, 1]
    for _code, result in results:
        assert keys(result) >= ALWAYS
        assert keys(result) == keys(results[0][1])
        assert result["msg"]
    assert "Input/output error" in results[-1][1]["msg"]


def test_an_undo_that_has_no_time_leaves_the_rest_in_quarantine(run: Run, cache: synthetic.Build) -> None:
    name = evict(cache)
    _code, none = run(paths=[str(cache.path)], time_limit=0)
    assert (none["changed"], none["restored_entries"]) == (False, 0)
    assert {item["reason"] for item in none["left_out"]} == {"time limit"}
    _code, done = run(paths=[str(cache.path)])
    assert (done["run"], done["restored_entries"]) == (name, 6)


def test_every_key_of_a_result_is_documented() -> None:
    assert set(undo.nothing()) - ALWAYS == {"changed"}
    assert ALWAYS - set(undo.nothing()) == {"msg"}
