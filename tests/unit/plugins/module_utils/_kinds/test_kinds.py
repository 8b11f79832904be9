# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs
from ansible_collections.gofleet.cache.plugins.module_utils._kinds import table
from ansible_collections.gofleet.cache.tests.fixtures import synthetic


def probe(path: pathlib.Path) -> object:
    opened = dirs.open_path(str(path))
    try:
        return table.probe(opened.fd, opened.path)
    finally:
        os.close(opened.fd)


def test_every_kind_is_known_by_its_name_and_its_face(tmp_path: pathlib.Path) -> None:
    assert list(table.KINDS) == ["go-build", "go-mod", "go-work", "go-toolcache"]
    assert probe(synthetic.Build(tmp_path / "b").path) == "go-build"
    assert probe(synthetic.Mod(tmp_path / "m").path) == "go-mod"
    assert probe(tmp_path) is None


def test_a_build_cache_without_a_readme_shows_its_trim_time(tmp_path: pathlib.Path) -> None:
    cache = synthetic.Build(tmp_path / "b").path
    (cache / "README").unlink()
    assert probe(cache) == "go-build"
    (cache / "trim.txt").write_text("not a time", encoding="ascii")
    assert probe(cache) is None


def test_a_build_cache_with_one_shard_only_is_one(tmp_path: pathlib.Path) -> None:
    cache = synthetic.Build(tmp_path / "b").path
    for shard in cache.glob("??"):
        shard.rmdir()
    assert probe(cache) is None
    (cache / "3c").symlink_to("/tmp")
    assert probe(cache) is None
    (cache / "3d").mkdir()
    assert probe(cache) == "go-build"


def test_a_module_cache_shows_its_lock_or_a_version_folder(tmp_path: pathlib.Path) -> None:
    cache = synthetic.Mod(tmp_path / "m")
    (cache.path / "cache/lock").unlink()
    assert probe(cache.path) is None
    cache.add("example.com/a@v1.0.0", tree=False)
    assert probe(cache.path) == "go-mod"


@pytest.mark.parametrize("name", ["README", "trim.txt"])
def test_a_pipe_or_a_symlink_is_no_face(tmp_path: pathlib.Path, name: str) -> None:
    cache = synthetic.Build(tmp_path / "b").path
    other = {"README": "trim.txt", "trim.txt": "README"}[name]
    (cache / other).unlink()
    (cache / name).rename(cache / "real")
    (cache / name).symlink_to("real")
    assert probe(cache) is None
    (cache / name).unlink()
    os.mkfifo(str(cache / name))
    assert probe(cache) is None
