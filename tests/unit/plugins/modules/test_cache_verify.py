# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._host import find, schema, verify
from ansible_collections.gofleet.cache.plugins.modules import cache_verify
from ansible_collections.gofleet.cache.tests.fixtures import gocaches


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path / "go-build"
    for number in range(256):
        (top / ("%02x" % number)).mkdir(parents=True)
    (top / "README").write_text("This directory holds cached build artifacts from the Go build system.\n")
    data = b"an output\n"
    name = hashlib.sha256(data).hexdigest()
    gocaches.write(top / name[:2] / (name + "-d"), data)
    return top


def run(capsys: pytest.CaptureFixture[str], **args: Any) -> tuple[int, dict[str, Any]]:
    with patch_module_args(args):
        with pytest.raises(SystemExit) as ended:
            cache_verify.main()
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def damage(cache: pathlib.Path) -> pathlib.Path:
    path = next(cache.glob("??/*-d"))
    gocaches.flip(path)
    return path


@pytest.mark.parametrize("check", [True, False])
def test_a_healthy_cache_is_ok_unchanged_and_untouched(
    capsys: pytest.CaptureFixture[str], cache: pathlib.Path, check: bool
) -> None:
    before = gocaches.photograph(cache)
    code, result = run(capsys, paths=[str(cache)], discover=False, repair=True, _ansible_check_mode=check)
    assert (code, result["ok"], result["changed"]) == (0, True, False)
    assert result["verified"]["output"]["ok"] == 1
    assert result["msg"] == "verified 1 things, 10 B, in 1 cache; no damage"
    assert gocaches.photograph(cache) == before


def test_damage_does_not_fail_the_module_but_is_not_ok(capsys: pytest.CaptureFixture[str], cache: pathlib.Path) -> None:
    path = damage(cache)
    code, result = run(capsys, paths=[str(cache)], discover=False)
    assert (code, result["ok"], result["changed"], result["damaged_total"]) == (0, False, False, 1)
    assert result["damaged"][0]["cache"] == str(cache)
    assert path.exists()


def test_check_mode_predicts_the_repair_and_the_repair_is_done_once(
    capsys: pytest.CaptureFixture[str], cache: pathlib.Path
) -> None:
    path = damage(cache)
    args = {"paths": [str(cache)], "discover": False, "repair": True}
    _code, check = run(capsys, _ansible_check_mode=True, **args)
    assert path.exists()
    _code, real = run(capsys, **args)
    assert not path.exists()
    assert check["changed"]
    assert real["changed"]
    assert check["plan_digest"] == real["plan_digest"]
    assert check["evicted"] == real["evicted"]
    _code, again = run(capsys, **args)
    assert (again["ok"], again["changed"]) == (True, False)


def test_every_result_has_the_keys_of_all_cache_modules_and_none_that_ansible_takes_for_itself(
    capsys: pytest.CaptureFixture[str], cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    damage(cache)
    results = [
        run(capsys, paths=[str(cache)], discover=False)[1],
        run(capsys, paths=[str(cache)], discover=False, repair=True)[1],
        run(capsys, paths=[str(tmp_path / "missing")], discover=False)[1],
        run(capsys, paths=["relative"], discover=False)[1],
    ]
    for result in results:
        assert set(verify.nothing()) <= set(result)
        assert set(schema.empty()) <= set(result)
        assert not result.get("skipped")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"paths": ["relative"]}, "a relative path"),
        ({"paths": ["off"]}, "the word off"),
        ({"paths": ["/"]}, "root of the file system"),
        ({"time_limit": "soon"}, "time_limit: not an age"),
        ({"time_limit": "0"}, "at least one second"),
        ({"sample": 0}, "sample: a percentage"),
        ({"sample": 101}, "sample: a percentage"),
        ({"threads": 0}, "threads: a number from 1 to 16"),
    ],
)
def test_nonsense_fails_with_the_options_name(
    capsys: pytest.CaptureFixture[str], args: dict[str, Any], says: str
) -> None:
    code, result = run(capsys, discover=False, **args)
    assert code == 1
    assert result["failed"]
    assert says in result["msg"]


def test_a_repair_that_breaks_off_fails_with_what_it_had_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_request: find.Request, _options: verify.Options) -> dict[str, Any]:
        raise verify.Failed("the repair stopped", dict(verify.nothing(), changed=True, evicted_entries=3))

    monkeypatch.setattr(verify, "run", broken)
    code, result = run(capsys)
    assert (code, result["changed"], result["evicted_entries"], result["msg"]) == (1, True, 3, "the repair stopped")


def test_the_options_arrive(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def look(request: find.Request, options: verify.Options) -> dict[str, Any]:
        seen.extend([request, options])
        finding = {"code": "x", "severity": "warning", "path": "/x", "text": "look here"}
        return dict(verify.nothing(), findings=[finding])

    said: list[str] = []
    monkeypatch.setattr(verify, "run", look)
    monkeypatch.setattr(cache_verify.AnsibleModule, "warn", lambda _module, text: said.append(text))
    args = {"accounts": ["ci"], "paths": ["/a"], "search_roots": ["/b"], "discover": False}
    code, _result = run(capsys, repair=True, time_limit="90s", sample=10, seed="s", threads=4, **args)
    assert code == 0
    assert seen[0] == find.Request(["ci"], ["/a"], ["/b"], False)
    assert seen[1][:6] == (False, 90.0, 10.0, "s", 4, True)
    assert said == ["look here"]
