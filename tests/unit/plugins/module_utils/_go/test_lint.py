# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import evaluate, lint, toolchain
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._go.files import LocalFiles


def _problems(tmp_path: pathlib.Path, text: str | bytes, environ: dict[str, str] | None = None) -> list[lint.Problem]:
    home = tmp_path / "home"
    (home / ".config/go").mkdir(parents=True, exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    (home / ".config/go/env").write_bytes(data)
    goroot = tmp_path / "goroot"
    goroot.mkdir(exist_ok=True)
    (goroot / "go.env").write_text(
        "GOPROXY=https://proxy.golang.org,direct\nGOSUMDB=sum.golang.org\nGOTOOLCHAIN=auto\n"
    )
    chain = toolchain.Toolchain(str(goroot), "go1.26.0", "", "path", 0, hostarch="amd64")
    account = Account("ci", os.geteuid(), os.getegid(), str(home))
    return lint.check(evaluate.evaluate(account, environ or {}, chain, fs=LocalFiles()), account, chain)


class _Memory:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, path: str) -> bytes:
        if path == "/home/ci/.config/go/env":
            return self.data
        raise FileNotFoundError(path)


def _in_memory(data: bytes) -> list[lint.Problem]:
    account = Account("ci", os.geteuid(), os.getegid(), "/home/ci")
    return lint.check(evaluate.evaluate(account, {}, None, fs=_Memory(data)), account)


@pytest.mark.parametrize(
    ("value", "others", "codes"),
    [
        ("https://proxy.golang.org,direct", {}, []),
        ("direct,https://a.example.com", {}, [("after-end", "error")]),
        ("https://gocenter.io,direct", {}, [("dead-host", "error")]),
        ("http://a.example.com", {}, [("plain-http", "warning")]),
        ("http://127.0.0.1:3000", {}, []),
        ("https://a.example.com|", {}, [("empty-entry", "warning")]),
        ("https://a.example.com,https://proxy.golang.org", {}, [("dependency-confusion", "warning")]),
        ("https://a.example.com,https://proxy.golang.org", {"GONOPROXY": "git.example.com"}, []),
        ("https://a.example.com", {"GOSUMDB": "off"}, []),
        ("/srv/modules", {}, [("missing-scheme", "error")]),
    ],
)
def test_a_goproxy_is_judged_beside_settings_that_stay(
    value: str, others: dict[str, str], codes: list[tuple[str, str]]
) -> None:
    found = lint.check_goproxy(value, others, "option goproxy")
    assert [(problem.code, problem.severity) for problem in found] == codes
    assert {(problem.variable, problem.where) for problem in found} <= {("GOPROXY", "option goproxy")}


def test_a_sound_configuration_has_no_problems(tmp_path: pathlib.Path) -> None:
    text = (
        "GOPROXY=https://goproxy.example.com,direct\nGOPRIVATE=git.example.com/*\nGOFLAGS=-mod=vendor\nGONOPROXY=none\n"
    )
    assert _problems(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "variable", "severity"),
    [
        ("GOCACHE=off\n", "GOCACHE", "error"),
        ("GOCACHE=rel\n", "GOCACHE", "error"),
        ("GOPATH=rel\n", "GOPATH", "error"),
        ("GOPATH=~/go\n", "GOPATH", "error"),
        ("GOMODCACHE=rel\n", "GOMODCACHE", "error"),
        ("GOPROXY=\n", "GOPROXY", "error"),
        ("GOPROXY=foo\n", "GOPROXY", "error"),
        ("GOPROXY=,\n", "GOPROXY", "error"),
        ("GOPRIVATE=a.com, b.com\n", "GOPRIVATE", "error"),
        ("GONOSUMDB=a.com/[\n", "GONOSUMDB", "error"),
        ("GOTOOLCHAIN=banana\n", "GOTOOLCHAIN", "error"),
        ("GOSUMDB=off\n", "GOSUMDB", "warning"),
        ("GOPROXY=https://u:p@h.example\n", "GOPROXY", "warning"),
        ("GOFLAGS=-n\n", "GOFLAGS", "warning"),
        ("GOFLAGS=-u\n", "GOFLAGS", "warning"),
        ("GONOSUMCHECK=1\n", "GONOSUMCHECK", "info"),
        ("GOFLAGS=foo\n", "GOFLAGS", "error"),
        ("GOVCS=zzz\n", "GOVCS", "error"),
        ("GOAUTH=off;netrc\n", "GOAUTH", "error"),
        ("GOPROXY='direct'\n", "GOPROXY", "error"),
        ("GOBIN=/x\r\n", "GOBIN", "error"),
    ],
)
def test_what_go_accepts_and_fails_with_later_is_a_problem(
    tmp_path: pathlib.Path, text: str, variable: str, severity: str
) -> None:
    found = [problem for problem in _problems(tmp_path, text) if problem.variable == variable]
    assert severity in [problem.severity for problem in found], _problems(tmp_path, text)
    assert all(problem.text and problem.hint and problem.where for problem in found)


def test_an_unreadable_env_file_is_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".config/go/env").mkdir(parents=True)
    account = Account("ci", os.geteuid(), os.getegid(), str(tmp_path))
    codes = [problem.code for problem in lint.check(evaluate.evaluate(account, {}, None), account)]
    assert codes == ["env-file-unreadable"]


def test_without_a_home_every_consequence_is_told(tmp_path: pathlib.Path) -> None:
    account = Account("ci", os.geteuid(), os.getegid(), "")
    codes = {problem.code for problem in lint.check(evaluate.evaluate(account, {}, None), account)}
    assert {"gocache-none", "gomodcache-none", "no-env-file"} <= codes


def test_a_masked_credential_of_a_service_is_still_a_problem(tmp_path: pathlib.Path) -> None:
    found = _problems(tmp_path, "", {"GOPROXY": "https://***@p.example"})
    assert [(row.variable, row.severity) for row in found] == [("GOPROXY", "warning")]


@given(st.binary(max_size=200), st.text("ABCDEFGHXYZ0123456789", min_size=6, max_size=10))
def test_nothing_in_an_env_file_breaks_the_check_or_leaks(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, secret: str
) -> None:
    text = data + b"\nGOPROXY=https://user:" + secret.encode() + b"@h.example,direct\n"
    found = _in_memory(text)
    assert any(problem.variable == "GOPROXY" for problem in found)
    if secret.encode() not in data:
        assert secret not in repr(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_leftovers_of_root_in_a_home_are_found_at_their_top(tmp_path: pathlib.Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    (tmp_path / ".cache" / "go-build").mkdir(parents=True)
    (tmp_path / ".config" / "go").mkdir(parents=True)
    os.chown(tmp_path / ".config", 12345, 12345)
    account = Account("ci", 12345, 12345, str(tmp_path))
    places = evaluate.cache_places(evaluate.effective(account, {}, None, fs=LocalFiles()))
    found = lint.check_places(places, account)
    assert [(problem.code, problem.where) for problem in found] == [
        ("foreign-owner", str(tmp_path / ".cache")),
        ("foreign-owner", str(tmp_path / ".config" / "go")),
    ]


def test_a_file_where_a_cache_should_be_is_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    account = Account("ci", os.geteuid(), os.getegid(), str(tmp_path))
    places = evaluate.cache_places(evaluate.effective(account, {"GOCACHE": str(tmp_path / "file")}, None))
    assert [problem.code for problem in lint.check_places(places, account)] == ["place-no-directory"]
