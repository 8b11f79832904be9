# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._journal import place

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes what belongs to others")
OTHER = 4242


@pytest.fixture
def state(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    folder = tmp_path / "a" / "state"
    monkeypatch.setenv(place.STATE, str(folder))
    return folder


def test_an_absolute_place_is_taken_and_a_relative_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(place.STATE, "/x/../y/")
    assert place.state_dir() == "/y"
    monkeypatch.setenv(place.STATE, "x/y")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert place.state_dir() == "/var/lib/gofleet-cache/0"


def test_a_plain_users_place_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(place.STATE, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 3_999_999_999)
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert place.state_dir() == "/s/gofleet-cache"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert place.state_dir() == "/home/u/.local/state/gofleet-cache"
    monkeypatch.setenv("HOME", "relative")
    assert place.state_dir() == ""
    with pytest.raises(place.Unusable, match="set HOME"):
        place.prepare(True)


def test_reading_makes_nothing_and_writing_makes_private_folders(state: pathlib.Path) -> None:
    assert place.prepare(False) is None
    assert not state.parent.exists()
    assert place.prepare(True) == str(state)
    assert stat.S_IMODE(state.stat().st_mode) == stat.S_IMODE(state.parent.stat().st_mode) == 0o700
    assert place.prepare(False) == str(state)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write_into_is_refused(state: pathlib.Path, mode: int) -> None:
    state.mkdir(parents=True)
    state.chmod(mode)
    with pytest.raises(place.Unusable, match=r"may be written by others"):
        place.prepare(True)


def test_a_folder_on_the_way_that_others_may_write_into_is_refused(state: pathlib.Path) -> None:
    state.parent.mkdir()
    state.parent.chmod(0o777)
    for existing in (False, True):
        assert state.exists() is existing
        with pytest.raises(place.Unusable, match=r"on the way .* may be written by others \(mode 0777\)"):
            place.prepare(True)
        assert state.exists() is existing
        state.mkdir(exist_ok=True)


def test_a_symlink_in_the_folders_place_is_refused(state: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    state.parent.mkdir()
    state.symlink_to(tmp_path / "other")
    with pytest.raises(place.Unusable, match="symlink"):
        place.prepare(True)


def test_a_symlink_on_the_way_that_others_may_replace_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv(place.STATE, str(tmp_path / "open" / "link" / "state"))
    assert place.prepare(True) == str(tmp_path / "open" / "link" / "state")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(place.Unusable, match="link can be replaced by another user"):
        place.prepare(True)


def test_a_file_in_the_folders_place_is_refused(state: pathlib.Path) -> None:
    state.parent.mkdir()
    state.write_text("")
    with pytest.raises((place.Unusable, NotADirectoryError)):
        place.prepare(True)


@pytest.mark.parametrize("trouble", ["mode", "symlink", "hard link", "folder"])
def test_a_file_that_another_could_have_put_there_is_refused(state: pathlib.Path, trouble: str) -> None:
    place.prepare(True)
    file = state / place.FILE
    assert place.check_file(str(file)) is False
    if trouble == "symlink":
        file.symlink_to("/nowhere")
    elif trouble == "folder":
        file.mkdir()
    else:
        file.touch()
        file.chmod(0o660 if trouble == "mode" else 0o600)
        if trouble == "hard link":
            os.link(str(file), str(state / "second"))
    with pytest.raises(place.Unusable):
        place.check_file(str(file))


@as_root
def test_what_belongs_to_another_user_is_refused(state: pathlib.Path) -> None:
    place.prepare(True)
    file = state / place.FILE
    file.touch()
    os.chown(str(file), OTHER, OTHER)
    with pytest.raises(place.Unusable, match="belongs to uid 4242"):
        place.check_file(str(file))
    os.chown(str(state), OTHER, OTHER)
    with pytest.raises(place.Unusable, match="belongs to uid 4242"):
        place.prepare(True)
    os.chown(str(state), 0, 0)
    os.chown(str(state.parent), OTHER, OTHER)
    with pytest.raises(place.Unusable, match="on the way to the journal, belongs to uid 4242"):
        place.prepare(True)
