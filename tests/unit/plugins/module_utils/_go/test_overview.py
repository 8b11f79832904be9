# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
import time

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import accounts, overview, services
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A home of the caller's own, on a host without other accounts, services and toolchains."""
    path = tmp_path / "home"
    (path / ".config" / "go").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setattr(accounts, "related", lambda uids=(): [accounts.current()])
    monkeypatch.setattr(services, "discover", lambda names=(): ([], []))
    monkeypatch.setattr(services, "login_environment", lambda: ({}, []))
    return path


@pytest.fixture
def no_go(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = overview.toolchain.Discovery((), (), False, 0)
    monkeypatch.setattr(overview.toolchain, "find_all", lambda *args, **more: empty)


def test_the_result_is_strict_json_without_credentials(home: pathlib.Path, no_go: None) -> None:
    data = b"GOPROXY=https://user:s3cret@h.example\nGOPRIVATE=\xff\nGOAUTH=helper --token=t0psecret\n"
    (home / ".config/go/env").write_bytes(data)
    text = json.dumps(overview.overview(overview.Request()), allow_nan=False)
    assert "s3cret" not in text
    assert "t0psecret" not in text
    text.encode("utf-8", "strict")
    json.loads(text)


def test_without_go_the_builtin_defaults_are_told_to_be_that(home: pathlib.Path, no_go: None) -> None:
    result = overview.overview(overview.Request())
    assert result["toolchains"] == []
    assert [problem["code"] for problem in result["problems"]] == ["no-toolchain"]
    (account,) = result["accounts"]
    assert account["settings"]["GOPROXY"]["origin"] == "default"
    assert account["agrees_with_go"] is None
    assert account["asked"]["reason"] == "Go was not found"


def test_with_go_it_agrees_and_creates_nothing(home: pathlib.Path, go_binary: str) -> None:
    before = sorted(str(path) for path in home.rglob("*"))
    extra = (
        [os.path.realpath(go_binary)] if os.path.exists(os.path.join(os.path.dirname(go_binary), "../VERSION")) else []
    )
    result = overview.overview(overview.Request(toolchains=extra))
    (account,) = result["accounts"]
    assert account["agrees_with_go"] is not False, account["problems"]
    assert account["home"] == str(home)
    assert account["places"]["gocache"]["exists"] is False
    assert sorted(str(path) for path in home.rglob("*")) == before


def test_only_the_variables_asked_for_are_returned(home: pathlib.Path, no_go: None) -> None:
    result = overview.overview(overview.Request(variables=["GOPROXY", "GOCACHE"]))
    assert sorted(result["accounts"][0]["settings"]) == ["GOCACHE", "GOPROXY"]


def test_places_tell_owner_mount_and_real_path(home: pathlib.Path, no_go: None, tmp_path: pathlib.Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "volume")
    (home / ".config/go/env").write_text(f"GOCACHE={tmp_path}/link\nGOMODCACHE=rel\n")
    places = overview.overview(overview.Request())["accounts"][0]["places"]
    assert places["gocache"]["real_path"] == str(tmp_path / "volume")
    assert places["gocache"]["uid"] == os.geteuid()
    assert places["gocache"]["filesystem"]["type"]
    assert places["gomodcache"]["path"] is None
    assert "relative" in places["gomodcache"]["reason"]


def test_work_folders_are_counted_and_nothing_else(home: pathlib.Path, no_go: None, tmp_path: pathlib.Path) -> None:
    work = tmp_path / "work"
    (work / "go-build1234" / "b001").mkdir(parents=True)
    (work / "go-build1234" / "b001" / "x").write_bytes(b"x" * 10000)
    (work / "go-build99").mkdir()
    (work / "go-builder").mkdir()
    (work / "other").mkdir()
    (work / "go-build5").symlink_to(work / "other")
    (work / "go-build6").write_text("")
    old = time.time() - 5000
    os.utime(work / "go-build99", (old, old))
    (home / ".config/go/env").write_text(f"GOTMPDIR={work}\n")
    found = overview.overview(overview.Request())["accounts"][0]["leftovers"]
    assert found["count"] == 2
    assert 10000 <= found["bytes"] < 40000
    assert 5000 <= found["oldest_seconds"] < 5600
    assert found["complete"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_work_folders_of_others_are_not_counted(home: pathlib.Path, no_go: None, tmp_path: pathlib.Path) -> None:
    work = tmp_path / "work"
    (work / "go-build1").mkdir(parents=True)
    os.chown(work / "go-build1", 12345, 12345)
    (home / ".config/go/env").write_text(f"GOTMPDIR={work}\n")
    assert overview.overview(overview.Request())["accounts"][0]["leftovers"]["count"] == 0


def test_a_service_with_its_own_settings_shows_only_what_differs(
    home: pathlib.Path, no_go: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"HOME": str(home), "GOCACHE": "/srv/cache", "GOPROXY": "https://***@h.example"}
    service = services.Service("ci.service", "systemd", "running", os.geteuid(), 1, environ, pending=("GOCACHE",))
    monkeypatch.setattr(services, "discover", lambda names=(): ([service], ["a note"]))
    result = overview.overview(overview.Request())
    (row,) = result["services"]
    assert row["settings"]["GOCACHE"] == {"value": "/srv/cache", "origin": "process", "where": "ci.service"}
    assert sorted(row["settings"]) == ["GOCACHE", "GOPROXY"]
    assert row["places"]["gocache"]["path"] == "/srv/cache"
    assert {"restart-needed", "userinfo"} <= {problem["code"] for problem in row["problems"]}
    assert {"path": "services", "reason": "a note"} in result["not_reached"]


def test_a_service_without_a_home_has_no_caches(
    home: pathlib.Path, no_go: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = services.Service("ci.service", "systemd", "running", os.geteuid(), 1, {})
    monkeypatch.setattr(services, "discover", lambda names=(): ([service], []))
    (row,) = overview.overview(overview.Request())["services"]
    assert row["places"]["gocache"]["path"] is None
    assert "gocache-none" in [problem["code"] for problem in row["problems"]]


def test_what_a_plain_user_cannot_see_is_told(home: pathlib.Path, no_go: None, monkeypatch: pytest.MonkeyPatch) -> None:
    me = accounts.current()
    other = Account("other", me.uid + 1, 1, "/home/other")
    monkeypatch.setattr(accounts, "resolve", lambda names: ([me, other], []))
    monkeypatch.setattr(overview.os, "geteuid", lambda: me.uid if me.uid else 4321)
    result = overview.overview(overview.Request(accounts=["x"]))
    assert {"path": "/home/other", "reason": "only root can look at the account other"} in result["not_reached"]
    assert "other" not in [row["account"] for row in result["accounts"]]


def test_an_account_that_does_not_exist_is_a_problem(home: pathlib.Path, no_go: None) -> None:
    result = overview.overview(overview.Request(accounts=["no-such-account-here"]))
    assert result["accounts"] == []
    assert "no-account" in [problem["code"] for problem in result["problems"]]
