# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._host import find


def caches(request: find.Request) -> Any:
    host = find.find(request)
    find.close(host.caches)
    return host


@pytest.mark.parametrize("path", ["", "off", "relative/path", "/", "//", "/tmp/..", "$HOME/x", "/tmp/a\0b", "/tmp/a\n"])
def test_a_path_that_is_never_a_cache_is_an_error(agent: Any, path: str) -> None:
    """F11."""
    with pytest.raises(find.BadRequest, match="paths: "):
        find.find(agent.request(path))


@pytest.mark.parametrize("path", ["~nobody-by-that-name-here/x", "~", "/*\0"])
def test_a_path_that_expands_to_nothing_good_is_an_error_or_nothing(agent: Any, path: str) -> None:
    try:
        assert caches(agent.request(path)).caches == []
    except find.BadRequest:
        pass


def test_a_home_is_an_error_also_when_it_looks_like_a_cache(agent: Any) -> None:
    (agent.home / "README").write_bytes((agent.build.path / "README").read_bytes())
    (agent.home / "ab").mkdir()
    with pytest.raises(find.BadRequest, match="it is a home directory"):
        find.find(agent.request(agent.home))


def test_what_holds_a_home_is_an_error(agent: Any) -> None:
    with pytest.raises(find.BadRequest):
        find.find(agent.request(agent.home.parent))


def test_a_folder_without_a_fingerprint_is_an_error_that_names_it(agent: Any, tmp_path: pathlib.Path) -> None:
    """F12."""
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab/thesis.txt").touch()
    with pytest.raises(find.BadRequest, match=str(tmp_path)):
        find.find(agent.request(tmp_path))


def test_one_bad_path_is_an_error_whatever_the_others_are(agent: Any, tmp_path: pathlib.Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(find.BadRequest):
        find.find(agent.request(agent.build.path, tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_missing_path_is_fine(agent: Any, tmp_path: pathlib.Path) -> None:
    """F37."""
    host = caches(agent.request(tmp_path / "missing"))
    assert (host.caches, host.refused) == ([], [])
    assert str(tmp_path / "missing") in host.looked_at


def test_a_cache_named_twice_is_one(agent: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to(agent.build.path)
    host = caches(agent.request(agent.build.path, tmp_path / "link", str(agent.build.path) + "/"))
    assert [cache.root.path for cache in host.caches] == [str(agent.build.path)]


def test_both_names_of_a_linked_cache_are_told(agent: Any, tmp_path: pathlib.Path) -> None:
    """F23."""
    (tmp_path.resolve() / "link").symlink_to(agent.build.path)
    (cache,) = caches(agent.request(tmp_path.resolve() / "link")).caches
    told = find.describe(cache)
    assert (told["path"], told["given"]) == (str(agent.build.path), str(tmp_path.resolve() / "link"))


def test_an_accounts_caches_are_found_where_its_settings_say(
    agent: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path.resolve() / "elsewhere"
    agent.build.path.rename(moved)
    agent.settings(GOCACHE=str(moved))
    monkeypatch.setattr(find.accounts, "resolve", lambda _names: ([agent.account], []))
    host = caches(find.Request(accounts=["tester"]))
    assert [(cache.kind, cache.root.path) for cache in host.caches] == [
        ("go-build", str(moved)),
        ("go-mod", str(agent.mod.path)),
    ]
    assert "GOCACHE of tester" in host.caches[0].why[0]


def test_private_is_the_union_of_all_settings_also_when_only_paths_are_named(agent: Any) -> None:
    assert caches(agent.request()).private is None
    agent.settings(GOPRIVATE="git.corp.example, *.internal/", GONOSUMDB="sum.example", GONOPROXY="none")
    assert set(caches(agent.request()).private) == {"git.corp.example", "*.internal", "sum.example"}


def test_a_setting_that_leads_into_a_repository_is_refused_without_an_error(
    agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F12: GOMODCACHE set to a work tree; nothing there is touched, and the rest is done."""
    (agent.mod.path / ".git").mkdir()
    monkeypatch.setattr(find.accounts, "resolve", lambda _names: ([agent.account], []))
    host = caches(find.Request(accounts=["tester"]))
    assert [cache.kind for cache in host.caches] == ["go-build"]
    assert [(item["path"], item["code"]) for item in host.refused] == [(str(agent.mod.path), "repository")]


def test_search_roots_are_searched(agent: Any) -> None:
    host = caches(find.Request(search_roots=[str(agent.home)], discover=False))
    assert [cache.kind for cache in host.caches] == ["go-build", "go-mod"]


def test_a_cache_inside_another_is_an_error_when_it_is_named(agent: Any) -> None:
    """F16."""
    from ansible_collections.gofleet.cache.tests.fixtures import synthetic

    inner = synthetic.Build(agent.mod.path / "cache/build")
    with pytest.raises(find.BadRequest, match="lies inside"):
        find.find(agent.request(agent.mod.path, inner.path))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives a cache to another user")
def test_a_link_that_another_user_can_replace_is_an_error(agent: Any, tmp_path: pathlib.Path) -> None:
    folder = tmp_path.resolve() / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "link").symlink_to(agent.build.path)
    with pytest.raises(find.BadRequest, match="can be replaced"):
        find.find(agent.request(folder / "link"))


def test_the_store_of_a_cache_program_is_reported_without_its_secrets(agent: Any) -> None:
    agent.build.put("0" * 64, b"x", 1)
    agent.settings(GOCACHEPROG="/usr/local/bin/prog --token=s3cret https://ci:s3cret@store.example")
    host = find.find(find.Request())
    find.close(host.caches)
    told = [item for item in host.findings if item["code"] == "cacheprog"]
    assert [item["severity"] for item in told] == ["info"]
    assert "/usr/local/bin/prog" in told[0]["text"]
    assert "s3cret" not in str(host.findings)


def test_work_folders_and_tool_caches_are_found_beside_the_caches(agent: Any, tmp_path: pathlib.Path) -> None:
    work = tmp_path / "work"
    (work / "go-build123/b001").mkdir(parents=True)
    (work / "go-build123").chmod(0o700)
    sdk = agent.home / "sdk/go1.22.3"
    (sdk / "bin").mkdir(parents=True)
    (sdk / "bin/go").write_bytes(b"")
    (sdk / ".unpacked-success").write_bytes(b"")
    agent.settings(GOTMPDIR=str(work))
    found = {cache.root.path: cache.kind for cache in caches(find.Request()).caches}
    assert (found[str(work)], found[str(agent.home / "sdk")]) == ("go-work", "go-toolcache")
    assert {cache.kind for cache in caches(agent.request()).caches} <= {"go-build", "go-mod"}
