# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cache_info, through main()."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any, Callable

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._host import find
from ansible_collections.gofleet.cache.plugins.modules import cache_info
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

Run = Callable[..., "tuple[int, dict[str, Any]]"]
ALWAYS = set(yaml.safe_load(cache_info.RETURN))


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    place = tmp_path.resolve() / "home"
    place.mkdir()
    account = Account("tester", os.geteuid(), os.getegid(), str(place))
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setattr(find.services, "discover", lambda: ([], []))
    monkeypatch.setattr(find.accounts, "related", lambda _uids=(): [account])
    monkeypatch.setattr(find.accounts, "resolve", lambda _names: ([account], []))
    build = synthetic.Build(place / ".cache/go-build")
    build.put(synthetic.sha("one"), b"one" * 3000, age=3 * synthetic.DAY)
    mod = synthetic.Mod(place / "go/pkg/mod")
    mod.add("example.com/a@v1.0.0")
    return place


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: pathlib.Path) -> Run:
    def call(check: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        with patch_module_args(dict(options, _ansible_check_mode=check)):
            with pytest.raises(SystemExit) as ended:
                cache_info.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return call


def keys(result: dict[str, Any]) -> set[str]:
    return set(result) - {"invocation", "failed", "warnings", "exception"}


def test_an_accounts_caches_are_surveyed_and_nothing_changes(run: Run, home: pathlib.Path) -> None:
    gocaches.age_access(home)
    before = gocaches.photograph(home)
    code, result = run(accounts=["tester"])
    assert (code, result["changed"]) == (0, False)
    assert [(cache["kind"], cache["path"]) for cache in result["caches"]] == [
        ("go-build", str(home / ".cache/go-build")),
        ("go-mod", str(home / "go/pkg/mod")),
    ]
    assert result["caches"][0]["found_by"] == ["GOCACHE of tester (default)"]
    assert result["caches"][1]["biggest"][0]["module"] == "example.com/a@v1.0.0"
    assert result["msg"].startswith("2 Go caches hold ")
    assert gocaches.photograph(home) == before


def test_check_mode_is_no_different(run: Run) -> None:
    one, two = run(accounts=["tester"])[1], run(check=True, accounts=["tester"])[1]
    for key in ("caches", "damage", "refused", "looked_at", "msg"):
        assert one.get(key) == two.get(key)


def test_every_result_has_every_documented_key(run: Run, home: pathlib.Path) -> None:
    results = [
        run(accounts=["tester"]),
        run(paths=[str(home / "missing")], discover=False),
        run(paths=[str(home / "go/pkg/mod")], discover=False, details=False),
        run(paths=["relative"]),
        run(search_roots=["relative"], discover=False),
    ]
    assert [code for code, _result in results] == [0, 0, 0, 1, 1]
    for _code, result in results:
        assert keys(result) >= ALWAYS
        assert keys(result) == keys(results[0][1])
        assert result["msg"]


def test_no_cache_is_told_with_the_places_that_were_looked_at(run: Run, home: pathlib.Path) -> None:
    code, result = run(paths=[str(home / "missing")], discover=False)
    assert (code, result["caches"]) == (0, [])
    assert str(home / "missing") in result["msg"]


@pytest.mark.parametrize("path", ["", "off", "/", "x", "/tmp/a\0"])
def test_a_bad_path_fails(run: Run, path: str) -> None:
    """F11."""
    code, result = run(paths=[path], discover=False)
    assert (code, result["caches"]) == (1, [])
    assert "paths: " in result["msg"]


def test_a_cache_of_a_ci_workspace_is_found_below_a_search_root(run: Run, home: pathlib.Path) -> None:
    job = home / "builds/abc/0/group/project/.go/pkg/mod"
    synthetic.Mod(job).add("example.com/b@v1.0.0")
    _code, result = run(search_roots=[str(home / "builds")], discover=False)
    assert [cache["path"] for cache in result["caches"]] == [str(job)]


def test_secrets_in_a_cache_do_not_come_out(run: Run, home: pathlib.Path) -> None:
    clone = home / "go/pkg/mod/cache/vcs/aa"
    clone.mkdir(parents=True)
    (clone / "config").write_text('[remote "o"]\n\turl = https://u:hunter2@git.example.com/x\n', encoding="ascii")
    (clone.parent / "aa.info").write_text("git3:https://u:hunter2@git.example.com/x", encoding="ascii")
    _code, result = run(accounts=["tester"])
    assert "hunter2" not in json.dumps(result)
    assert result["caches"][1]["credentials"] == 1


def test_names_that_are_no_text_do_not_break_the_result(run: Run, home: pathlib.Path) -> None:
    mod = home / "go/pkg/mod"
    os.symlink("x", os.fsencode(str(mod)) + b"/odd\xff\nlink")
    os.mkdir(os.fsencode(str(mod)) + b"/x\xfe@v1.0.0")
    code, result = run(accounts=["tester"])
    assert code == 0
    assert result["caches"][1]["damage_seen"] == 1
