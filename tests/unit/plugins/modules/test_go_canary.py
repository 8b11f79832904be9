# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go import canary
from ansible_collections.gofleet.cache.plugins.modules import go_canary


def run(capsys: pytest.CaptureFixture[str], **args: Any) -> tuple[int, dict[str, Any]]:
    with patch_module_args(args):
        with pytest.raises(SystemExit) as ended:
            go_canary.main()
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def answer(monkeypatch: pytest.MonkeyPatch, **found: Any) -> list[Any]:
    seen: list[Any] = []

    def fake(request: canary.Request, only_look: bool = False) -> dict[str, Any]:
        seen.extend([request, only_look])
        return dict(canary.nothing(request), **found)

    monkeypatch.setattr(canary, "run", fake)
    return seen


@pytest.mark.parametrize("check", [True, False])
def test_the_options_arrive_and_it_never_says_changed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    seen = answer(monkeypatch, built=not check, go_version="go1.99.1", packages=3, cached=2)
    args = {"account": "ci", "module": "a.b/c@v1.0.0", "package": "", "go": "/go", "switch_toolchain": True}
    args.update(expect_sha256="0" * 64, time_limit="90s", workspace="/w")
    code, result = run(capsys, _ansible_check_mode=check, **args)
    assert (code, result["changed"]) == (0, False)
    assert seen == [canary.Request("ci", "a.b/c@v1.0.0", "", "/go", True, "0" * 64, 90.0, "/w"), check]
    assert ("would build" if check else "2 of 3 packages from the cache") in result["msg"]


def test_without_go_it_is_not_applicable_and_no_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, applicable=False, reason=canary.NO_GO)
    code, result = run(capsys)
    assert (code, result["applicable"]) == (0, False)
    assert result["msg"] == "not applicable: no Go toolchain on this agent"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (canary.Impossible("module: nonsense"), "module: nonsense"),
        (canary.Failed("go build failed", dict(canary.nothing(canary.Request()), rc=2)), "go build failed"),
    ],
)
def test_failures_carry_the_same_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def broken(*_args: Any) -> Any:
        raise error

    monkeypatch.setattr(canary, "run", broken)
    code, result = run(capsys)
    assert code == 1
    assert result["msg"] == says
    assert set(canary.nothing(canary.Request())) <= set(result)


def test_a_nonsense_time_limit_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, result = run(capsys, time_limit="soon")
    assert code == 1
    assert "time_limit: not an age" in result["msg"]
