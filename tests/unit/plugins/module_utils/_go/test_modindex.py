# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import pathlib
from typing import List

from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs
from ansible_collections.gofleet.cache.plugins.module_utils._go import modindex
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, goproxy


def test_the_index_of_every_real_go_is_found_where_it_lies(tmp_path: pathlib.Path, go_binaries: List[str]) -> None:
    """golang/go#54651: a stale index makes builds fail after the tree was repaired."""
    lib = goproxy.make_module("example.com/Azure/lib", "v1.0.0")
    proxy = goproxy.make_proxy(tmp_path / "proxy", [lib])
    project = goproxy.make_project(tmp_path / "project", "example.org/p", [lib])
    tree = str(tmp_path / "mod/example.com/!azure/lib@v1.0.0")
    for number, go in enumerate(go_binaries):
        build = tmp_path / ("build%d" % number)
        caches = gocaches.Caches(tmp_path, build, tmp_path / "mod", proxy, go)
        done = caches.run("list", "-deps", ".", cwd=project)
        assert done.returncode == 0, done.stderr
        version = caches.run("version").stdout.split()[2]
        file = build / modindex.entry(version, tree)
        assert file.exists(), version
        fd = dirs.open_dir(str(build))
        try:
            assert modindex.drop([fd], ["go1.2.3", version], ["/elsewhere", tree]) == 1
            assert not file.exists()
            assert modindex.drop([fd], [version], [tree]) == 0
        finally:
            os.close(fd)
        assert caches.run("list", "-deps", ".", cwd=project, GOPROXY="off").returncode == 0
        assert file.exists()


def test_an_index_has_the_name_of_its_version_and_tree() -> None:
    text = b"go1.27.3module index go1.27.3 go index v2 /m/example.com/a@v1.0.0\n"
    name = hashlib.sha256(text).hexdigest()
    assert modindex.entry("go1.27.3", "/m/example.com/a@v1.0.0") == "%s/%s-a" % (name[:2], name)
    assert modindex.entry("go1.27.3", "/m/odd\udcff@v1.0.0").endswith("-a")


def test_nothing_else_is_dropped_and_no_symlink_is_entered(tmp_path: pathlib.Path) -> None:
    """F21."""
    path = tmp_path / modindex.entry("go1.27.3", "/m/a@v1")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / path.name).touch()
    path.parent.symlink_to("outside")
    fd = dirs.open_dir(str(tmp_path))
    try:
        assert modindex.drop([fd], ["go1.27.3"], ["/m/a@v1"]) == 0
        path.parent.unlink()
        path.mkdir(parents=True)
        assert modindex.drop([fd], ["go1.27.3"], ["/m/a@v1"]) == 0
    finally:
        os.close(fd)
    assert (tmp_path / "outside" / path.name).exists()
    assert path.is_dir()


def test_a_build_that_finds_its_index_old_votes_for_the_tree(tmp_path: pathlib.Path, go_binaries: List[str]) -> None:
    lib = goproxy.make_module("example.com/lib", "v1.0.0")
    other = goproxy.make_module("example.com/other", "v1.0.0")
    proxy = goproxy.make_proxy(tmp_path / "proxy", [lib, other])
    project = goproxy.make_project(tmp_path / "project", "example.org/p", [lib])
    trees = ["example.com/lib@v1.0.0", "example.com/other@v1.0.0"]
    for number, go in enumerate(go_binaries):
        build = tmp_path / ("build%d" % number)
        caches = gocaches.Caches(tmp_path, build, tmp_path / "mod", proxy, go)
        assert caches.run("list", "-deps", ".", cwd=project).returncode == 0
        version = caches.run("version").stdout.split()[2]
        file = build / modindex.entry(version, str(tmp_path / "mod" / trees[0]))
        then = file.stat().st_mtime_ns - 7200 * 10**9
        os.utime(str(file), ns=(then, then))
        fd = dirs.open_dir(str(build))
        try:
            names = ["/elsewhere", str(tmp_path / "mod")]
            assert modindex.votes([fd], ["go1.2.3", version], names, trees) == {trees[0]: then}
            assert file.stat().st_atime_ns == then
            assert caches.run("list", "-deps", ".", cwd=project).returncode == 0
            assert modindex.votes([fd], [version], names, trees)[trees[0]] > then
        finally:
            os.close(fd)


def test_votes_count_the_newest_regular_file_and_follow_no_symlink(tmp_path: pathlib.Path) -> None:
    tree = "example.com/a@v1.0.0"
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, when in ((one, 2000), (two, 3000)):
        path = folder / modindex.entry("go1.27.3", "/m/" + tree)
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(str(path), (when, when))
    fds = [dirs.open_dir(str(one)), dirs.open_dir(str(two))]
    try:
        assert modindex.votes(fds, ["go1.27.3"], ["/m"], [tree]) == {tree: 3000 * 10**9}
        path.unlink()
        path.symlink_to("/etc/passwd")
        assert modindex.votes(fds, ["go1.27.3"], ["/m"], [tree]) == {tree: 2000 * 10**9}
        path.unlink()
        path.parent.rmdir()
        path.parent.symlink_to(one / path.parent.name)
        assert modindex.votes(fds[1:], ["go1.27.3"], ["/m"], [tree]) == {}
        assert modindex.votes([], ["go1.27.3"], ["/m"], [tree]) == modindex.votes(fds, [], ["/m"], [tree]) == {}
    finally:
        for fd in fds:
            os.close(fd)
