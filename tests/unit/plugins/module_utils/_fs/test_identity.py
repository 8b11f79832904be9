# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
from typing import Callable, FrozenSet

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import identity
from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_build, go_mod
from ansible_collections.gofleet.cache.tests.fixtures import mountspace, synthetic

NONE: FrozenSet[str] = frozenset()
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files to other users")


def refused(path: object, homes: FrozenSet[str] = NONE) -> identity.Refused:
    with pytest.raises(identity.Refused) as error:
        identity.open_root(str(path), go_build.looks_like, go_build.KIND, homes)
    assert str(error.value).count("refused: ") == 1
    assert error.value.reason
    assert error.value.hint
    return error.value


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> pathlib.Path:
    return synthetic.Build(tmp_path.resolve() / "home/.cache/go-build").path


def test_a_cache_is_proven_and_held_open(cache: pathlib.Path) -> None:
    root = identity.open_root(str(cache), go_build.looks_like, go_build.KIND, NONE)
    try:
        assert (root.path, root.given, root.uid) == (str(cache), str(cache), os.geteuid())
        assert (root.device, root.inode) == (cache.stat().st_dev, cache.stat().st_ino)
    finally:
        os.close(root.fd)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "empty"),
        (" ", "empty"),
        ("off", "off"),
        ("OFF", "off"),
        ("go-build", "relative"),
        ("./go-build", "relative"),
        ("../x", "relative"),
        (".", "relative"),
        ("/", "file-system-root"),
        ("//", "file-system-root"),
        ("/.", "file-system-root"),
        ("/tmp/..", "file-system-root"),
        ("~", "not-expanded"),
        ("~/go", "not-expanded"),
        ("$HOME/go", "not-expanded"),
        ("/tmp/a\0b", "bad-path"),
        ("/tmp/a\n", "bad-path"),
        ("/tmp/a\nb", "bad-path"),
    ],
)
def test_names_that_are_never_a_cache(path: str, code: str) -> None:
    """F11."""
    assert refused(path).code == code


@pytest.mark.parametrize("path", [None, 1, True, b"/x", ["/x"]])
def test_what_is_no_text_is_no_path(path: object) -> None:
    with pytest.raises(identity.Refused, match="not a text"):
        identity.check_name(path)


def test_a_missing_cache_is_nobodys_fault(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        identity.open_root(str(tmp_path / "missing"), go_build.looks_like, go_build.KIND, NONE)


def test_a_home_and_what_holds_one_is_no_cache_whatever_it_shows(cache: pathlib.Path) -> None:
    assert refused(cache, frozenset((str(cache),))).code == "home"
    assert refused(cache, frozenset((str(cache) + "/00/somebody",))).code == "holds-home"
    os.close(identity.open_root(str(cache), go_build.looks_like, "x", frozenset((str(cache.parent),))).fd)


def test_this_users_home_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    known = identity.known_homes([str(link)])
    assert {str(tmp_path), str(tmp_path.resolve()), str(link)} <= known
    assert not known & {"/", "/tmp", "/proc", ""}


_CONTENTS = [
    (".git", "repository"),
    (".hg", "repository"),
    (".svn", "repository"),
    ("go.mod", "repository"),
    ("go.work", "repository"),
    (".ssh", "home"),
    (".bashrc", "home"),
    ("VERSION src", "goroot"),
]


@pytest.mark.parametrize(("names", "code"), _CONTENTS)
@pytest.mark.parametrize("how", [pathlib.Path.mkdir, pathlib.Path.touch, lambda path: path.symlink_to("/nowhere")])
def test_a_folder_with_a_caches_face_and_somebody_elses_contents_is_refused(
    cache: pathlib.Path, names: str, code: str, how: Callable[[pathlib.Path], None]
) -> None:
    """F12, F16: GOCACHE set to a repository, a home, a Go installation."""
    for name in names.split():
        how(cache / name)
    assert refused(cache).code == code


def test_a_folder_without_a_fingerprint_is_refused(tmp_path: pathlib.Path, cache: pathlib.Path) -> None:
    """F12: two-digit folders alone do not make a cache."""
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "thesis.txt").touch()
    error = refused(tmp_path)
    assert error.code == "no-fingerprint"
    assert "README" in error.reason
    with pytest.raises(identity.Refused, match="cache/download"):
        identity.open_root(str(cache), go_mod.looks_like, go_mod.KIND, NONE)


def test_a_root_may_be_a_symlink_and_both_names_are_told(cache: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """F23."""
    link = tmp_path.resolve() / "volume"
    link.symlink_to(cache)
    root = identity.open_root(str(link), go_build.looks_like, go_build.KIND, NONE)
    try:
        assert (root.given, root.path) == (str(link), str(cache))
        assert root.inode == cache.stat().st_ino
    finally:
        os.close(root.fd)


def test_a_symlink_to_the_root_of_the_file_system_is_refused(tmp_path: pathlib.Path) -> None:
    link = tmp_path.resolve() / "link"
    link.symlink_to("/")
    assert refused(link).code == "file-system-root"


@pytest.mark.parametrize(
    ("parent", "mode", "owner", "ok"),
    [
        (0, 0o755, 0, True),
        (4242, 0o755, 4242, True),
        (0, 0o755, 4343, True),
        (0, 0o1777, 4242, True),
        (0, 0o1777, 0, True),
        (0, 0o1777, 4343, False),
        (0, 0o777, 0, False),
        (0, 0o775, 0, False),
        (4343, 0o755, 4242, False),
        (4343, 0o1777, 0, False),
    ],
)
@as_root
def test_a_symlink_that_another_user_can_replace_is_refused(
    cache: pathlib.Path, tmp_path: pathlib.Path, parent: int, mode: int, owner: int, ok: bool
) -> None:
    os.chown(str(cache), 4242, 4242)
    folder = tmp_path.resolve() / "shared"
    folder.mkdir()
    (folder / "link").symlink_to(cache)
    os.chown(str(folder / "link"), owner, owner, follow_symlinks=False)
    os.chown(str(folder), parent, parent)
    folder.chmod(mode)
    if ok:
        os.close(identity.open_root(str(folder / "link"), go_build.looks_like, go_build.KIND, NONE).fd)
    else:
        error = refused(folder / "link")
        assert error.code == "replaceable-symlink"
        assert str(cache) in error.hint


_OPEN = """
    from ansible_collections.gofleet.cache.plugins.module_utils._fs import identity
    from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_build
    def attempt(path):
        try:
            root = identity.open_root(path, go_build.looks_like, go_build.KIND, frozenset())
            print("opened", root.path)
        except identity.Refused as exc:
            print(exc.code)
"""


def test_a_cache_with_a_mount_inside_is_refused_also_of_the_same_device(
    cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """F22."""
    (tmp_path / "outside").mkdir()
    code = _OPEN + "    bind(sys.argv[1], sys.argv[2] + '/ab')\n    attempt(sys.argv[2])\n"
    assert mountspace.run(code, str(tmp_path / "outside"), str(cache)) == "holds-mount"


def test_a_root_may_itself_be_a_mount(cache: pathlib.Path, tmp_path: pathlib.Path) -> None:
    place = tmp_path.resolve() / "mounted"
    place.mkdir()
    code = _OPEN + "    bind(sys.argv[1], sys.argv[2])\n    attempt(sys.argv[2])\n"
    assert mountspace.run(code, str(cache), str(place)) == "opened %s" % place


def test_a_refusal_leaves_no_descriptor_open(cache: pathlib.Path) -> None:
    (cache / ".git").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _number in range(5):
        refused(cache)
    assert len(os.listdir("/proc/self/fd")) == before
