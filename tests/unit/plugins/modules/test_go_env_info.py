# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go import overview
from ansible_collections.gofleet.cache.plugins.modules import go_env_info

_EMPTY: dict[str, Any] = {"toolchains": [], "accounts": [], "services": [], "problems": [], "not_reached": []}


def _run(capsys: pytest.CaptureFixture[str], args: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    with patch_module_args(args):
        with pytest.raises(SystemExit) as ended:
            go_env_info.main()
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("check", [True, False])
def test_it_never_says_changed_and_creates_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, check: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    args = {"accounts": [str(os.geteuid())], "_ansible_check_mode": check}
    code, result = _run(capsys, args)
    assert code == 0
    assert result["changed"] is False
    assert result["accounts"][0]["home"] == str(tmp_path)
    # Ansible's own parts, where other tests have loaded them, make their folder.
    assert [path.name for path in tmp_path.iterdir() if path.name != ".ansible"] == []


def test_the_options_reach_the_overview(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[overview.Request] = []

    def look(request: overview.Request) -> dict[str, Any]:
        seen.append(request)
        return dict(_EMPTY)

    monkeypatch.setattr(overview, "overview", look)
    args = {
        "accounts": ["ci", 1000],
        "toolchains": ["/srv/go*"],
        "services": ["a@b.service"],
        "variables": ["GOPROXY"],
        "ask_go": False,
    }
    code, result = _run(capsys, args)
    assert code == 0
    assert vars(seen[0]) == dict(args, accounts=["ci", "1000"])
    assert result["summary"] == "0 toolchains, 0 accounts, 0 services, 0 problems"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("variables", "goproxy"),
        ("variables", "GOPROXY=x"),
        ("services", "../x"),
        ("services", "-H"),
        ("accounts", ""),
        ("accounts", "/home/x"),
        ("toolchains", "relative/go"),
        ("toolchains", ""),
    ],
)
def test_bad_options_are_refused_with_name_and_value(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    code, result = _run(capsys, {option: [value]})
    assert code == 1
    assert result["msg"].startswith(f"{option}: {value!r}")


def test_an_unknown_account_fails_and_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, result = _run(capsys, {"accounts": ["no-such-account-here"]})
    assert code == 1
    assert "no-such-account-here" in result["msg"]
    assert sorted(_EMPTY) == sorted(set(result) & set(_EMPTY))
