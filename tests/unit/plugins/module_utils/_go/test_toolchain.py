# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import toolchain
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account


def _make(goroot: pathlib.Path, version: str = "go1.27.3", go_env: str = "") -> pathlib.Path:
    (goroot / "bin").mkdir(parents=True)
    (goroot / "pkg" / "tool" / "linux_amd64").mkdir(parents=True)
    exe = goroot / "bin" / "go"
    # Whoever runs it leaves a trace.
    exe.write_text(f"#!/bin/sh\ntouch {goroot}/was-run\n")
    exe.chmod(0o755)
    (goroot / "VERSION").write_text(version + "\ntime 2026-01-01T00:00:00Z\n")
    if go_env:
        (goroot / "go.env").write_text(go_env)
    return goroot


def _find(home: pathlib.Path, path: str = "", **more: object) -> list[toolchain.Toolchain]:
    account = Account("ci", os.geteuid(), os.getegid(), str(home))
    environ = more.pop("environ", {})
    discovery = toolchain.find_all([account], path=path, environ=environ, root=str(home / "no-root"), **more)
    return list(discovery.toolchains)


@pytest.mark.parametrize(
    ("place", "origin"),
    [
        ("sdk/go1.27.3", "sdk"),
        (".asdf/installs/golang/1.27.3/go", "asdf"),
        (".local/share/mise/installs/go/1.27.3", "mise"),
        (".goenv/versions/1.27.3", "goenv"),
        (".gvm/gos/go1.27.3", "gvm"),
        ("hostedtoolcache/go/1.27.3/x64", "setup-go"),
        ("go", "home"),
        ("go/pkg/mod/golang.org/toolchain@v0.0.1-go1.27.3.linux-amd64", "download"),
    ],
)
def test_every_way_to_install_go_in_a_home_is_found(tmp_path: pathlib.Path, place: str, origin: str) -> None:
    _make(tmp_path / place)
    found = _find(tmp_path)
    assert [(chain.goroot, chain.version, chain.origin) for chain in found] == [
        (str(tmp_path / place), "go1.27.3", origin)
    ]
    assert found[0].hostarch == "amd64"
    assert not list(tmp_path.rglob("was-run"))


@pytest.mark.parametrize(
    "place", ["usr/local/go", "usr/lib/go-1.19", "usr/lib/golang", "snap/go/10", "opt/hostedtoolcache/go/1.27.3/x64"]
)
def test_every_system_place_is_found(tmp_path: pathlib.Path, place: str) -> None:
    _make(tmp_path / place)
    discovery = toolchain.find_all(path="", environ={}, root=str(tmp_path))
    assert [chain.goroot for chain in discovery.toolchains] == [str(tmp_path / place)]


def test_tool_caches_named_by_the_environment_are_found(tmp_path: pathlib.Path) -> None:
    _make(tmp_path / "a/go/1.27.3/x64")
    _make(tmp_path / "b/go/1.26.0/x64")
    environ = {"RUNNER_TOOL_CACHE": str(tmp_path / "a"), "AGENT_TOOLSDIRECTORY": str(tmp_path / "b")}
    assert len(_find(tmp_path, environ=environ)) == 2


def test_a_toolchain_is_found_once_by_its_real_path_with_its_other_names(tmp_path: pathlib.Path) -> None:
    real = _make(tmp_path / "real")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").symlink_to(real / "bin" / "go")
    (tmp_path / "sdk").mkdir()
    (tmp_path / "sdk" / "go1.27.3").symlink_to(real)
    found = _find(tmp_path, path=str(tmp_path / "bin"))
    assert [(chain.goroot, chain.origin, chain.names) for chain in found] == [
        (str(real), "path", (str(tmp_path / "sdk" / "go1.27.3"),))
    ]


def test_a_shim_on_path_is_not_run_and_is_no_toolchain(tmp_path: pathlib.Path) -> None:
    (tmp_path / "shims").mkdir()
    shim = tmp_path / "shims" / "go"
    shim.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    shim.chmod(0o755)
    assert _find(tmp_path, path=str(tmp_path / "shims")) == []
    assert not (tmp_path / "was-run").exists()


def test_the_wheel_behind_a_script_on_path_is_found(tmp_path: pathlib.Path) -> None:
    goroot = _make(tmp_path / "venv/lib/python3.11/site-packages/go")
    (tmp_path / "venv/bin").mkdir()
    (tmp_path / "venv/bin/go").write_text("#!/usr/bin/python3\n")
    (tmp_path / "venv/bin/go").chmod(0o755)
    found = _find(tmp_path, path=str(tmp_path / "venv/bin"))
    assert [(chain.goroot, chain.origin) for chain in found] == [(str(goroot), "pip")]


@pytest.mark.parametrize("broken", ["bin/go", "VERSION", "pkg"])
def test_a_folder_without_the_fingerprint_is_no_toolchain(tmp_path: pathlib.Path, broken: str) -> None:
    goroot = _make(tmp_path / "sdk/go1.27.3")
    (goroot / broken).rename(tmp_path / "away")
    assert _find(tmp_path) == []


def test_a_version_file_with_something_else_is_no_toolchain(tmp_path: pathlib.Path) -> None:
    _make(tmp_path / "sdk/go1.27.3", version="3.2.1")
    assert _find(tmp_path) == []


def test_an_explicit_place_that_is_none_is_told_with_the_reason(tmp_path: pathlib.Path) -> None:
    extra = ["relative/go", str(tmp_path / "missing"), str(tmp_path / "no*thing"), str(tmp_path)]
    discovery = toolchain.find_all(extra=extra, path="", environ={}, root=str(tmp_path / "no-root"))
    assert discovery.toolchains == ()
    assert [row.path for row in discovery.unreachable] == extra
    assert "absolute" in discovery.unreachable[0].reason


def test_explicit_globs_and_go_commands_are_taken(tmp_path: pathlib.Path) -> None:
    first, second = _make(tmp_path / "t/go1"), _make(tmp_path / "t/go2", "go1.21.0")
    discovery = toolchain.find_all(extra=[str(tmp_path / "t/*")], path="", environ={}, root=str(tmp_path / "x"))
    assert [chain.goroot for chain in discovery.toolchains] == [str(first), str(second)]
    discovery = toolchain.find_all(extra=[str(first / "bin/go")], path="", environ={}, root=str(tmp_path / "x"))
    assert [chain.goroot for chain in discovery.toolchains] == [str(first)]


def test_go_env_shows_only_names_that_go_reads(tmp_path: pathlib.Path) -> None:
    _make(tmp_path / "sdk/go1.27.3", go_env="# x\nGOPROXY=direct\nSECRET=x\nGOROOT_FINAL=y\n")
    assert _find(tmp_path)[0].go_env == {"GOPROXY": "direct"}


def test_a_fifo_in_the_place_of_version_does_not_hang(tmp_path: pathlib.Path) -> None:
    goroot = _make(tmp_path / "sdk/go1.27.3")
    (goroot / "VERSION").unlink()
    os.mkfifo(goroot / "VERSION")
    assert _find(tmp_path) == []


def test_the_search_is_bounded_and_says_so(tmp_path: pathlib.Path) -> None:
    for number in range(6):
        (tmp_path / "sdk" / f"go1.{number}").mkdir(parents=True)
    account = Account("ci", os.geteuid(), os.getegid(), str(tmp_path))
    discovery = toolchain.find_all([account], path="", environ={}, root=str(tmp_path / "x"), limit=3)
    assert discovery.truncated
    assert discovery.looked_at == 3


def test_versions_sort_by_age() -> None:
    names = ["go1.9", "go1.20", "go1.21rc2", "go1.21.0", "go1.21.13", "go1.27.3", "devel go1.28-abc"]
    assert sorted(names, key=toolchain.version_key) == names
    assert toolchain.release("go1.21rc2") == (1, 21)


@given(st.text(max_size=30))
def test_any_version_text_has_a_release(text: str) -> None:
    assert len(toolchain.release(text)) == 2
    toolchain.version_key(text)


def test_the_real_go_is_found_by_its_command(go_binaries: list[str]) -> None:
    for exe in go_binaries:
        extra = [os.path.realpath(exe)]
        discovery = toolchain.find_all(extra=extra, path=os.path.dirname(exe), environ={}, root="/nonexistent")
        assert discovery.toolchains, exe
        assert discovery.toolchains[0].version.startswith("go1.")
