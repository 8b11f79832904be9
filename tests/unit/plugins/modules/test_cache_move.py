# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cache_move, through main()."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._host import act, find, move
from ansible_collections.gofleet.cache.plugins.modules import cache_move
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

Run = Callable[..., "tuple[int, dict[str, Any]]"]
ALWAYS = set(yaml.safe_load(cache_move.RETURN))


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> synthetic.Build:
    home = tmp_path.resolve() / "home"
    home.mkdir()
    account = Account("tester", os.geteuid(), os.getegid(), str(home))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GOFLEET_CACHE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(find.services, "discover", lambda: ([], []))
    monkeypatch.setattr(find.accounts, "related", lambda _uids=(): [account])
    gather = find.roots.gather
    monkeypatch.setattr(find.roots, "gather", lambda *args, **more: gather(*args, **dict(more, ci_roots=False)))
    monkeypatch.setattr(act.running, "scan", lambda: act.running.Scan((), 0, True))
    made = synthetic.Build(home / "old")
    for number in range(3):
        made.put(synthetic.sha(str(number)), b"%d" % number)
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(check: bool = False, diff: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        with patch_module_args(dict(options, _ansible_check_mode=check, _ansible_diff=diff)):
            with pytest.raises(SystemExit) as ended:
                cache_move.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return call


def keys(result: dict[str, Any]) -> set[str]:
    return set(result) - {"invocation", "changed", "failed", "warnings", "exception", "diff"}


def test_check_mode_says_what_the_run_then_does(run: Run, cache: synthetic.Build) -> None:
    new = cache.path.parent / "new"
    before = gocaches.photograph(cache.path)
    code, planned = run(check=True, diff=True, path=str(cache.path), to=str(new), old="move")
    assert (code, planned["changed"], planned["action"]) == (0, True, "move")
    assert planned["msg"].startswith("would move %s, " % cache.path)
    assert gocaches.photograph(cache.path) == before
    code, done = run(
        diff=True, path=str(cache.path), to=str(new), old="move", idle="asserted", account=str(os.geteuid())
    )
    assert (code, done["changed"], done["from"], done["to"]) == (0, True, str(cache.path), str(new))
    assert done["diff"] == planned["diff"]
    assert done["diff"]["after"] == {str(cache.path): 0, str(new): done["moved_bytes"]}
    assert done["msg"].startswith("moved ")
    code, again = run(diff=True, path=str(cache.path), to=str(new), old="move")
    assert (code, again["changed"], again["msg"]) == (0, False, "nothing to do for %s" % cache.path)
    assert keys(planned) == keys(done) == keys(again) == ALWAYS


def test_nothing_happens_without_being_asked_for(run: Run, cache: synthetic.Build) -> None:
    code, done = run(path=str(cache.path))
    assert (code, done["changed"], done["action"]) == (0, False, "leave")
    assert done["msg"].startswith("left ")
    assert [item["severity"] for item in done["findings"] if item["code"] == "left"] == ["warning"]
    assert keys(done) == ALWAYS
    assert cache.files()


def test_an_eviction_is_told(run: Run, cache: synthetic.Build) -> None:
    code, done = run(path=str(cache.path), old="evict", kind="go-build", private=[])
    assert (code, done["changed"], done["evicted_entries"], done["left_bytes"]) == (0, True, 6, 0)
    assert done["msg"].startswith("evicted ")
    assert keys(done) == ALWAYS


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"old": "move"}, "to: nothing is given"),
        ({"old": "move", "to": "relative"}, "a relative path"),
        ({"old": "move", "to": "/", "path": "/"}, "the root of the file system"),
        ({"path": "off"}, "the word off"),
        ({"time_limit": "soon"}, "not an age"),
        ({"time_limit": "0"}, "no time at all"),
        ({"old": "move", "to": "/x", "busy": "floor"}, "busy: floor"),
        ({"old": "evict", "private": ["a b"]}, "private"),
        ({"old": "move", "to": "/x", "kind": "go-mod"}, "it is a go-build cache and not go-mod"),
        ({"account": "nobody-of-this-name"}, "nobody-of-this-name"),
    ],
)
def test_nonsense_is_refused_by_name(run: Run, cache: synthetic.Build, options: dict[str, Any], says: str) -> None:
    code, done = run(**dict({"path": str(cache.path)}, **options))
    assert code == 1
    assert says in done["msg"]
    assert not done["changed"]
    assert keys(done) == ALWAYS
    assert cache.files()


def test_the_documentation_names_every_key() -> None:
    assert keys(move.nothing()) | {"msg"} == ALWAYS
