# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._journal import place, settings


@pytest.fixture(autouse=True)
def state(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    folder = tmp_path / "state"
    monkeypatch.setenv(place.STATE, str(folder))
    return folder


def edit(path: str = "/etc/x", before: str | None = "a", after: str | None = "b", **more: object) -> settings.Edit:
    made = settings.keep(("go_env", path, ""), (0, 0), {"GOPROXY": before}, {"GOPROXY": after}, lambda _values: [])
    return made._replace(**more)  # type: ignore[arg-type]


def test_what_was_kept_comes_back_newest_run_first(state: pathlib.Path) -> None:
    assert settings.history().runs == []
    assert settings.record("one", [edit("/1"), edit("/2", None)]) == ""
    assert settings.record("two", [edit("/3", "\udcff", None)]) == ""
    assert settings.record("one", [edit("/4")]) == ""
    runs = settings.history().runs
    assert [(run.label, [e.path for e in run.edits]) for run in runs] == [("one", ["/1", "/2", "/4"]), ("two", ["/3"])]
    assert runs[1].edits[0].before == {"GOPROXY": "\udcff"}
    assert stat.S_IMODE((state / settings.FILE).stat().st_mode) == 0o600


def test_an_edit_that_changed_nothing_is_not_kept_and_makes_no_file(state: pathlib.Path) -> None:
    assert settings.record("one", [edit(before="a", after="a")]) == ""
    assert not state.exists()


def test_an_old_value_with_credentials_is_named_and_not_kept(state: pathlib.Path) -> None:
    old: settings.Values = {"GOPROXY": "https://u:canary@h", "GOSUMDB": "off", "GOFLAGS": "-x"}
    made = settings.keep(("go_env", "/x", ""), (0, 0), old, {"GOFLAGS": "-x"}, lambda _values: ["GOPROXY"])
    settings.record("one", [made])
    assert b"canary" not in (state / settings.FILE).read_bytes()
    kept = settings.history().runs[0].edits[0]
    assert (list(kept.hidden), kept.before) == (["GOPROXY"], {"GOSUMDB": "off"})


def test_what_was_taken_back_is_forgotten_and_only_that() -> None:
    settings.record("one", [edit("/1"), edit("/2")])
    settings.record("two", [edit("/1")])
    settings.undone("one", [(edit("/1"), ())])
    assert [(run.label, [e.path for e in run.edits]) for run in settings.history().runs] == [
        ("two", ["/1"]),
        ("one", ["/2"]),
    ]
    settings.undone("two", [(edit("/1"), ())])
    settings.undone("one", [(edit("/2"), ())])
    assert settings.history().runs == []
    settings.record("one", [edit("/1")])
    assert [run.label for run in settings.history().runs] == ["one"], "a label may be used again"


def test_a_line_that_a_crash_cut_off_and_foreign_lines_do_not_count(state: pathlib.Path) -> None:
    settings.record("one", [edit("/1")])
    with open(state / settings.FILE, "ab") as stream:
        stream.write(b'[]\n{"run": "x", "at": 1}\nnonsense\n{"run": "torn", "at": 5, "kind": "go')
    assert [run.label for run in settings.history().runs] == ["one"]
    settings.record("two", [edit("/2")])
    assert [run.label for run in settings.history().runs] == ["two", "one"]


def test_the_file_stays_bounded_and_the_newest_stay(state: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LIMIT", 4000)
    for number in range(100):
        settings.record("run-%03d" % number, [edit("/%d" % number)])
    assert (state / settings.FILE).stat().st_size < 5000
    labels = [run.label for run in settings.history().runs]
    assert labels == ["run-%03d" % number for number in range(99, 99 - len(labels), -1)]
    assert len(labels) > 5


def test_a_place_that_others_may_write_keeps_nothing_and_says_so(state: pathlib.Path) -> None:
    state.mkdir()
    state.chmod(0o777)
    assert "may be written by others" in settings.record("one", [edit()])
    assert list(state.iterdir()) == []
    with pytest.raises(place.Unusable):
        settings.history()


def test_a_symlink_in_the_records_place_is_not_followed(state: pathlib.Path, tmp_path: pathlib.Path) -> None:
    state.mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    (state / settings.FILE).symlink_to(victim)
    assert settings.record("one", [edit()]) != ""
    assert victim.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("label", ["", "latest", "all", "-x", "a b", "x" * 65, "a\n", "../a"])
def test_labels_that_mean_something_else_are_refused(label: str) -> None:
    with pytest.raises(settings.BadLabel, match="run: "):
        settings.check_label(label)


def test_a_new_label_is_a_label_and_new() -> None:
    assert settings.check_label(settings.new_label()) != settings.new_label()


def test_many_writers_lose_nothing() -> None:
    children = []
    for number in range(20):
        pid = os.fork()
        if pid == 0:
            lost = any(settings.record("run-%d-%d" % (number, turn), [edit()]) for turn in range(10))
            os._exit(int(lost))
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 20
    assert len(settings.history().runs) == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of two users")
def test_a_file_that_changed_hands_is_a_stranger_and_one_that_is_gone_is_not(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    file = folder / "env"
    file.write_text("x", encoding="utf-8")
    settings.record("one", [edit(str(file))])
    kept = settings.history().runs[0].edits[0]
    assert settings.stranger(kept) == ""
    os.chown(file, 4711, 4711)
    assert "belonged to uid 0 when it was edited, and belongs to uid 4711 now" in settings.stranger(kept)
    file.unlink()
    assert settings.stranger(kept) == ""
    os.chown(folder, 4711, 4711)
    assert "a folder on the way to it belongs to uid 4711 now" in settings.stranger(kept)
    real = tmp_path / "real"
    folder.rename(real)
    folder.symlink_to(real)
    assert "4711" in settings.stranger(kept), "the real way counts"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of two users")
def test_what_was_another_users_from_the_beginning_is_no_stranger(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "home/env"
    file.parent.mkdir()
    for path in (file.parent, file):
        path.touch() if path == file else None
        os.chown(path, 4711, 4711)
    settings.record("one", [edit(str(file), uid=4711)])
    kept = settings.history().runs[0].edits[0]
    assert (kept.owner, settings.stranger(kept)) == (4711, "")
    file.unlink()
    file.write_text("x", encoding="utf-8")
    assert "belongs to uid 0 now" in settings.stranger(kept)


def test_a_document_behind_an_api_belongs_to_nobody() -> None:
    settings.record("one", [edit("https://ci.example.com/computer/a/config.xml")])
    kept = settings.history().runs[0].edits[0]
    assert (kept.owner, list(kept.folders), settings.stranger(kept)) == (-1, [], "")
