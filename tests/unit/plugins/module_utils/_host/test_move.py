# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of an old place. First what must never happen, then what has to."""

from __future__ import annotations

import os
import pathlib
import stat
import time
from typing import Any, Callable, Dict, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict as core
from ansible_collections.gofleet.cache.plugins.module_utils._fs import transfer
from ansible_collections.gofleet.cache.plugins.module_utils._host import act, find, move
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

KEYS = set(move.nothing())
Go = Callable[..., Dict[str, Any]]


@pytest.fixture
def there(agent: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """A new place; the agent's caches are full, and no CI system of this machine is looked at."""
    agent.fill()
    gather = find.roots.gather
    monkeypatch.setattr(find.roots, "gather", lambda *args, **more: gather(*args, **dict(more, ci_roots=False)))
    monkeypatch.setenv("GOFLEET_CACHE_STATE", str(tmp_path / "state"))
    return agent.home / "new/place"


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new place is on another file system."""
    monkeypatch.setattr(move, "_is_near", lambda _new, _root: False)


def go(path: object, to: object = "", old: str = "move", **more: Any) -> Dict[str, Any]:
    more.setdefault("check", False)
    return move.run(str(path), str(to), move.Options(old=old, **more))


def refused(path: object, to: object = "", old: str = "move", **more: Any) -> Dict[str, Any]:
    """The result of a call that is refused: both in check mode and without."""
    with pytest.raises(move.Failed):
        go(path, to, old, **dict(more, check=True))
    with pytest.raises(move.Failed) as caught:
        go(path, to, old, **more)
    result = caught.value.result
    assert set(result) == KEYS
    assert result["refused"]
    assert (result["changed"], result["action"]) == (False, "none")
    found: Dict[str, Any] = result["refused"][0]
    assert found["reason"] in str(caught.value)
    return found


def users(monkeypatch: pytest.MonkeyPatch, *answers: List[Any], complete: bool = True) -> None:
    """The scans' answers, one after the other; the last one holds."""
    left = list(answers)

    def answer(_cache: Any, _seen: Any = None) -> core.Activity:
        who = left.pop(0) if len(left) > 1 else left[0]
        return core.Activity(tuple(who), complete)

    monkeypatch.setattr(act, "users", answer)


GOPLS = [(4711, 1, "gopls")]


# --- never ---------------------------------------------------------------------------------------------------------


def test_what_is_no_cache_is_never_moved_or_evicted(agent: Any, there: pathlib.Path) -> None:
    (agent.home / "papers").mkdir()
    (agent.home / "papers/thesis").write_text("text")
    before = gocaches.photograph(agent.home)
    for old in ("move", "evict", "leave"):
        for bad in ("", "off", "/", "relative", "~/x", str(agent.home), str(agent.home / "papers"), "/tmp/[a]"):
            with pytest.raises((find.BadRequest, move.Failed)):
                go(bad, there, old)
    for bad in ("", "off", "/", "relative", "~/x", "/srv/*", "/srv/../etc"):
        with pytest.raises(find.BadRequest):
            go(agent.build.path, bad)
    assert gocaches.photograph(agent.home) == before


def test_nothing_but_an_empty_folder_is_replaced(agent: Any, there: pathlib.Path) -> None:
    there.mkdir(parents=True)
    (there / "file").write_text("mine")
    assert refused(agent.build.path, there)["code"] == "not-empty"
    assert refused(agent.build.path, there / "file")["code"] == "no-folder"
    assert refused(agent.build.path, there / "file/below")["code"] == "no-folder"
    (there / "file").unlink()
    (there.parent / "link").symlink_to(there)
    assert refused(agent.build.path, there.parent / "link")["code"] == "symlink"
    (there.parent / "dangling").symlink_to(there.parent / "nowhere")
    assert refused(agent.build.path, there.parent / "dangling")["code"] == "symlink"
    assert refused(agent.build.path, there.parent / "dangling/x")["code"] == "unreadable"
    other = synthetic.Build(there / "other")
    other.put(synthetic.sha("x"), b"x")
    assert refused(agent.build.path, other.path)["code"] == "both"
    assert refused(agent.mod.path, other.path)["code"] == "both"
    assert other.files()
    assert agent.build.files()


def test_a_home_is_no_new_place(agent: Any, there: pathlib.Path) -> None:
    empty = agent.home / "guest"
    empty.mkdir()
    agent.monkeypatch.setattr(move.identity, "known_homes", lambda _extra=(): frozenset([str(agent.home), str(empty)]))
    assert refused(agent.build.path, empty)["code"] == "home"


def test_nested_places_are_refused(agent: Any, there: pathlib.Path) -> None:
    assert refused(agent.build.path, agent.build.path / "below")["code"] == "nested"
    (agent.build.path.parent / "alias").symlink_to(agent.build.path)
    assert refused(agent.build.path, agent.build.path.parent / "alias/deep/below")["code"] == "nested"
    assert refused(agent.build.path, agent.mod.path / "cache/go-build")["code"] == "nested"
    unknown = synthetic.Mod(agent.home / "unknown")
    unknown.add("example.com/a@v1.0.0")
    assert refused(agent.build.path, unknown.path / "example.com/deep/er")["code"] == "nested"
    assert refused(agent.build.path, agent.build.path.parent)["code"] in ("nested", "home")


def test_a_tree_with_another_cache_or_other_files_inside_is_refused(agent: Any, there: pathlib.Path) -> None:
    (agent.build.path / "notes.txt").write_text("mine")
    assert refused(agent.build.path, there)["code"] == "stranger"
    (agent.mod.path / "example.com/photo.jpg").write_text("mine")
    assert "photo.jpg" in refused(agent.mod.path, there)["reason"]
    (agent.mod.path / "example.com/photo.jpg").unlink()
    (agent.mod.path / ".ssh2").mkdir()
    assert ".ssh2" in refused(agent.mod.path, there)["reason"]
    (agent.mod.path / ".ssh2").rmdir()
    inner = synthetic.Build(agent.mod.path / "example.com/inner")
    inner.put(synthetic.sha("x"), b"x")
    agent.settings(GOCACHE=str(inner.path))
    with pytest.raises((find.BadRequest, move.Failed), match="inside"):
        go(agent.mod.path, there)
    assert inner.files()


def test_a_repository_below_is_not_evicted_with_the_cache(agent: Any, there: pathlib.Path) -> None:
    work = agent.mod.path / "example.com/work@v1.0.0"
    work.mkdir()
    (work / ".git").mkdir()
    (work / "code").write_text("mine")
    go(agent.mod.path, old="evict", private=[])
    assert (work / "code").read_text() == "mine"


def test_a_cache_in_use_is_not_moved(agent: Any, there: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users(monkeypatch, GOPLS)
    found = refused(agent.build.path, there)
    assert found["code"] == "in-use"
    assert "gopls (pid 4711)" in found["reason"]
    assert refused(agent.build.path, there, idle="asserted")["code"] == "in-use"
    skipped = go(agent.build.path, there, busy="skip")
    assert not skipped["changed"]
    assert skipped["left_out"][0]["reason"] == "in use"
    assert skipped["left_bytes"] > 0
    assert go(agent.build.path, there, busy="wait", time_limit=1)["action"] == "none"
    users(monkeypatch, [], complete=False)
    assert refused(agent.build.path, there)["code"] == "use-unknown"
    assert not there.parent.exists()
    with pytest.raises(find.BadRequest, match="busy: floor"):
        go(agent.build.path, there, busy="floor")
    assert go(agent.build.path, there, idle="asserted")["changed"]


def test_a_tool_that_begins_right_then_gets_its_cache_back(
    agent: Any, there: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = gocaches.photograph(agent.build.path)
    users(monkeypatch, [], GOPLS)
    with pytest.raises(move.Failed, match="began to use it") as caught:
        go(agent.build.path, there)
    assert not caught.value.result["changed"]
    assert gocaches.photograph(agent.build.path) == before
    assert not there.exists()


def test_a_tool_that_begins_during_a_copy_keeps_its_cache(
    agent: Any, there: pathlib.Path, monkeypatch: pytest.MonkeyPatch, copies: None
) -> None:
    before = gocaches.photograph(agent.build.path)
    for answers in ([[], GOPLS], [[], [], GOPLS, []]):
        users(monkeypatch, *answers)
        with pytest.raises(move.Failed, match="in use by") as caught:
            go(agent.build.path, there)
        assert not caught.value.result["changed"]
        assert gocaches.photograph(agent.build.path) == before
        assert os.listdir(there.parent) == []


def test_a_copy_that_tools_use_already_is_not_taken_back(
    agent: Any, there: pathlib.Path, monkeypatch: pytest.MonkeyPatch, copies: None
) -> None:
    users(monkeypatch, [], [], GOPLS)
    with pytest.raises(move.Failed) as caught:
        go(agent.build.path, there)
    assert caught.value.result["changed"]
    assert agent.build.files() == sorted(path.name for path in there.glob("??/*"))


@pytest.mark.parametrize("swap", ["symlink", "folder"])
@pytest.mark.parametrize("far", [False, True])
def test_a_tree_swapped_in_at_the_last_moment_is_put_back(
    agent: Any, there: pathlib.Path, request: pytest.FixtureRequest, swap: str, far: bool
) -> None:
    if far:
        request.getfixturevalue("copies")
    outside = agent.home / "outside"
    outside.mkdir()
    (outside / "thesis").write_text("text")
    aside = agent.home / "aside"

    def attack(name: str) -> None:
        if name == ("after name" if far else "before rename"):
            agent.build.path.rename(aside)
            if swap == "symlink":
                agent.build.path.symlink_to(outside)
            else:
                agent.build.path.mkdir()
                (agent.build.path / "thesis").write_text("text")

    with pytest.raises(move.Failed, match="another tree was put in its place"):
        go(agent.build.path, there, step=attack)
    assert (agent.build.path / "thesis").read_text() == "text"
    assert (outside / "thesis").read_text() == "text"
    assert sorted(path.name for path in aside.glob("??/*"))
    assert not there.exists()


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("what", ["file", "full", "symlink"])
def test_what_appears_at_the_new_place_meanwhile_stays(
    agent: Any, there: pathlib.Path, request: pytest.FixtureRequest, far: bool, what: str
) -> None:
    if far:
        request.getfixturevalue("copies")
    before = gocaches.photograph(agent.build.path)

    def attack(name: str) -> None:
        if name == ("before name" if far else "before rename"):
            if what == "file":
                there.write_text("mine")
            elif what == "symlink":
                there.symlink_to(agent.home)
            else:
                there.mkdir()
                (there / "file").write_text("mine")

    with pytest.raises(move.Failed, match="put there just now"):
        go(agent.build.path, there, step=attack)
    assert os.path.lexists(there)
    assert gocaches.photograph(agent.build.path) == before
    assert os.listdir(there.parent) == [there.name]


def test_the_new_places_folder_swapped_for_a_symlink_leads_nowhere(agent: Any, there: pathlib.Path) -> None:
    there.parent.mkdir()
    outside = agent.home / "outside"
    outside.mkdir()

    def attack(name: str) -> None:
        if name == "before rename":
            there.parent.rename(agent.home / "proven")
            there.parent.symlink_to(outside)

    go(agent.build.path, there, step=attack)
    assert os.listdir(outside) == []
    assert (agent.home / "proven/place/README").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: folders of other users")
def test_a_way_that_others_may_change_is_refused(agent: Any, there: pathlib.Path) -> None:
    way = there.parent
    way.mkdir()
    for mode, uid in ((0o777, 0), (0o755, 4711)):
        way.chmod(mode)
        os.chown(way, uid, 0)
        assert refused(agent.build.path, there)["code"] in ("shared-folder", "foreign-folder")
        assert refused(agent.build.path, there / "deeper/still")["code"] in ("shared-folder", "foreign-folder")
    os.chown(way, 0, 0)
    way.chmod(0o1777)
    there.mkdir()
    os.chown(there, 4711, 0)
    assert refused(agent.build.path, there)["code"] == "foreign-folder"
    there.rmdir()
    way.chmod(0o755)
    link = agent.home / "link"
    link.symlink_to(way)
    agent.home.chmod(0o777)
    assert refused(agent.build.path, link / "place")["code"] in ("replaceable-symlink", "shared-folder")
    agent.home.chmod(0o755)
    assert go(agent.build.path, link / "place")["changed"]


def _give(path: pathlib.Path, uid: int) -> None:
    for folder, names, files in os.walk(path):
        for name in [".", *names, *files]:
            os.chown(os.path.join(folder, name), uid, uid, follow_symlinks=False)


@pytest.fixture
def users_cache(agent: Any, there: pathlib.Path) -> pathlib.Path:
    """The build cache is another user's, who may pass."""
    if os.geteuid() != 0:
        pytest.skip("needs root: another user's cache")
    for folder in [agent.home, *agent.home.parents][:-2]:  # pytest's folders are its user's alone
        folder.chmod(folder.stat().st_mode | 0o011)
    _give(agent.build.path.parent, 4711)
    return agent.build.path


def test_a_users_cache_moves_with_that_users_rights(
    agent: Any, there: pathlib.Path, users_cache: pathlib.Path, request: pytest.FixtureRequest
) -> None:
    there.parent.mkdir(mode=0o755)
    os.chown(there.parent, 4711, 4711)
    done = go(users_cache, there / "a/b")
    assert done["changed"]
    assert [(there / name).stat().st_uid for name in (".", "a", "a/b")] == [4711] * 3
    request.getfixturevalue("copies")
    assert go(there / "a/b", there.parent / "far")["how"] == "copy"
    assert {path.stat().st_uid for path in (there.parent / "far").rglob("*")} == {4711}
    assert os.listdir(there / "a") == []


def test_a_folder_of_root_takes_a_users_cache_only_from_root(
    agent: Any, there: pathlib.Path, users_cache: pathlib.Path, request: pytest.FixtureRequest
) -> None:
    done = go(users_cache, there)
    assert done["changed"]
    assert (there.parent.stat().st_uid, there.stat().st_uid) == (0, 4711)
    request.getfixturevalue("copies")
    assert go(there, there.parent / "far")["left_out"] == []
    assert os.listdir(there.parent) == ["far"]
    assert {path.stat().st_uid for path in (there.parent / "far").rglob("*")} == {4711}


def test_a_place_that_its_owner_cannot_reach_is_refused(
    agent: Any, there: pathlib.Path, users_cache: pathlib.Path
) -> None:
    there.parent.mkdir(mode=0o700)
    assert refused(users_cache, there)["code"] == "out-of-reach"
    os.chown(agent.build.path.parent, 4712, 4712)
    assert refused(users_cache, agent.home / "x")["code"] in ("no-right", "foreign-folder")


def test_another_accounts_cache_is_refused(agent: Any, there: pathlib.Path, users_cache: pathlib.Path) -> None:
    assert refused(users_cache, there, account="root")["code"] == "other-owner"
    assert refused(users_cache, old="evict", account="0")["code"] == "other-owner"
    with pytest.raises(find.BadRequest, match="nobody-of-this-name"):
        go(users_cache, there, account="nobody-of-this-name")


def test_what_the_owner_could_not_remove_is_not_copied(
    agent: Any, there: pathlib.Path, users_cache: pathlib.Path, copies: None
) -> None:
    os.chown(users_cache / "ab", 0, 0)
    found = refused(users_cache, there)
    assert found["code"] == "not-copyable"
    assert found["reason"] == "ab is a folder of uid 0"
    os.chown(users_cache / "ab", 4711, 4711)
    entry = next(users_cache.glob("??/*-d"))
    os.chown(entry, 0, 0)
    entry.chmod(0o600)
    with pytest.raises(move.Failed, match="Permission denied"):
        go(users_cache, there)
    assert users_cache.exists()
    assert not there.exists()
    entry.chmod(0o644)
    done = go(users_cache, there)
    assert any("of other users" in note for note in done["notes"])
    assert {path.stat().st_uid for path in there.rglob("*")} == {4711}


def test_odd_files_stop_a_copy(agent: Any, there: pathlib.Path, copies: None) -> None:
    os.mkfifo(str(agent.build.path / "ab/pipe"))
    assert refused(agent.build.path, there)["code"] == "not-copyable"


def test_a_full_disk_stops_a_copy_before_it_begins(
    agent: Any, there: pathlib.Path, copies: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = transfer.mounts.space
    monkeypatch.setattr(transfer.mounts, "space", lambda fd: space(fd)._replace(free=1 << 20))
    assert refused(agent.build.path, there)["code"] == "no-space"


def test_the_time_limit_ends_a_copy_and_nothing_is_left_of_it(
    agent: Any, there: pathlib.Path, copies: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = gocaches.photograph(agent.build.path)

    def late(name: str) -> None:
        if name == "before copy":
            now = time.monotonic()
            monkeypatch.setattr(move.time, "monotonic", lambda: now + 601)

    with pytest.raises(move.Failed, match="time limit"):
        go(agent.build.path, there, step=late)
    assert gocaches.photograph(agent.build.path) == before
    assert os.listdir(there.parent) == []


def test_an_old_place_that_is_the_new_one_is_never_evicted(agent: Any, there: pathlib.Path) -> None:
    alias = agent.home / "alias"
    alias.symlink_to(agent.build.path)
    for one, other in ((agent.build.path, alias), (alias, agent.build.path), (agent.build.path, agent.build.path)):
        assert refused(one, other, "evict")["code"] == "same-place"
        assert go(one, other)["action"] == "none"
        assert not go(one, other, "leave")["changed"]
    assert agent.build.files()


def test_private_and_young_things_are_not_evicted(
    agent: Any, there: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.settings(GOPRIVATE="git.corp.example")
    done = go(agent.mod.path, old="evict")
    assert done["changed"]
    assert agent.mod.at("git.corp.example/c@v1.0.0", "zip").exists()
    assert [item["reason"] for item in done["protected"]] == ["private"]
    assert not agent.mod.at("example.com/a@v1.0.0", "zip").exists()
    assert done["left_bytes"] > 0
    users(monkeypatch, GOPLS)
    go(agent.build.path, old="evict")
    young = agent.build.survey().entries
    assert len(young) > 0
    assert agent.build.path.exists()


# --- what has to happen --------------------------------------------------------------------------------------------


def test_leave_changes_nothing_and_tells_what_stays(agent: Any, there: pathlib.Path) -> None:
    before = gocaches.photograph(agent.home)
    done = go(agent.build.path, there, "leave")
    assert (done["changed"], done["action"]) == (False, "leave")
    assert done["left_bytes"] == done["caches"][0]["allocated"]
    assert not [item for item in done["findings"] if item["code"] == "left"]
    assert any("still found" in note for note in done["notes"])
    agent.settings(GOCACHE=str(there))
    before.update(gocaches.photograph(agent.home / ".config"))
    done = go(agent.build.path, there, "leave")
    assert [item["severity"] for item in done["findings"] if item["code"] == "left"] == ["warning"]
    assert sorted(path.name for path in agent.build.path.glob("??/*")) == agent.build.files()


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("kind", ["build", "mod"])
def test_a_moved_cache_is_what_it_was(
    agent: Any, there: pathlib.Path, request: pytest.FixtureRequest, far: bool, kind: str
) -> None:
    if far:
        request.getfixturevalue("copies")
    old = getattr(agent, kind).path
    gocaches.age_access(old)
    os.symlink("nowhere", str(old / ("ab" if kind == "build" else "cache/download") / "link"))
    before = gocaches.photograph(old)
    top = old.stat()
    planned = go(old, there, check=True)
    assert gocaches.photograph(old) == before
    assert not there.parent.exists()
    done = go(old, there)
    assert not old.exists()
    after = gocaches.photograph(there)
    if far:
        before = {name: (cell[0], 0, *cell[2:]) for name, cell in before.items()}
        after = {name: (cell[0], 0, *cell[2:]) for name, cell in after.items()}
    assert after == before
    assert (there.stat().st_mtime_ns, there.stat().st_mode) == (top.st_mtime_ns, top.st_mode)
    for key in ("changed", "action", "how", "moved_bytes", "left_bytes", "left_out", "kind"):
        assert planned[key] == done[key], key
    assert done["how"] == ("copy" if far else "rename")
    assert (done["freed_bytes"] > 0) == far
    assert set(planned) == set(done) == KEYS
    assert os.listdir(there.parent) == [there.name]
    again = go(old, there)
    assert (again["changed"], again["action"], again["kind"]) == (False, "none", done["kind"])


def test_an_empty_folder_of_the_owner_is_taken(agent: Any, there: pathlib.Path) -> None:
    there.mkdir(parents=True)
    assert go(agent.build.path, there, account=str(os.geteuid()), kind="go-build")["changed"]
    assert (there / "README").exists()


def test_the_kind_must_agree(agent: Any, there: pathlib.Path) -> None:
    assert refused(agent.build.path, there, kind="go-mod")["code"] == "other-kind"


def test_what_changes_during_a_copy_is_copied_too(agent: Any, there: pathlib.Path, copies: None) -> None:
    def work(name: str) -> None:
        if name == "pass 0":
            victims[0].unlink()
            os.utime(victims[1])
            agent.build.put(synthetic.sha("new"), b"written meanwhile")
            wanted.update(gocaches.photograph(agent.build.path))

    victims = sorted(agent.build.path.glob("??/*-a"))
    wanted: Dict[str, Any] = {}
    go(agent.build.path, there, step=work)
    found = gocaches.photograph(there)
    assert {name: cell[2:] for name, cell in found.items()} == {name: cell[2:] for name, cell in wanted.items()}


def test_what_changes_with_each_copy_is_not_moved(agent: Any, there: pathlib.Path, copies: None) -> None:
    def work(name: str) -> None:
        if name.startswith("pass"):
            agent.build.put(synthetic.sha(name), name.encode())

    with pytest.raises(move.Failed, match="changed during each"):
        go(agent.build.path, there, step=work)
    assert os.listdir(there.parent) == []
    assert agent.build.files()


def test_damaged_outputs_are_told(agent: Any, there: pathlib.Path, copies: None) -> None:
    gocaches.flip(sorted(agent.build.path.glob("??/*-d"))[0])
    assert any("1 files are not what their names say" in note for note in go(agent.build.path, there)["notes"])


class Killed(BaseException):
    """Stands for SIGKILL between two system calls."""


@pytest.mark.parametrize("at", ["before copy", "pass 0", "before name", "after name", "out of sight"])
def test_a_killed_copy_leaves_a_whole_cache_and_the_next_run_ends_it(
    agent: Any, there: pathlib.Path, copies: None, at: str
) -> None:
    before = {name: cell[2:] for name, cell in gocaches.photograph(agent.mod.path, atime=False).items()}

    def kill(name: str) -> None:
        if name == at:
            raise Killed

    with pytest.raises(Killed):
        go(agent.mod.path, there, step=kill)
    whole = [place for place in (agent.mod.path, there) if place.exists()]
    assert whole
    for place in whole:
        assert {name: cell[2:] for name, cell in gocaches.photograph(place, atime=False).items()} == before
    assert go(agent.mod.path, there, check=True)["changed"]
    assert go(agent.mod.path, there)["changed"]
    assert {name: cell[2:] for name, cell in gocaches.photograph(there, atime=False).items()} == before
    assert not agent.mod.path.exists()
    assert os.listdir(there.parent) == [there.name]
    assert os.listdir(agent.mod.path.parent) == []
    assert not go(agent.mod.path, there)["changed"]


def test_what_only_looks_like_a_leftover_stays(agent: Any, there: pathlib.Path) -> None:
    names = [".place.gofleet-move-0123456789ab.txt", ".other.gofleet-move-0123456789ab", ".place.gofleet-move-xyz"]
    for name in names:
        (there.parent / name / "below").mkdir(parents=True)
    outside = agent.home / "outside"
    (outside / "below").mkdir(parents=True)
    names.append(".place.gofleet-move-0123456789ab")
    (there.parent / names[-1]).symlink_to(outside)
    if os.geteuid() == 0:
        names.append(".place.gofleet-move-0123456789ac")
        (there.parent / names[-1] / "below").mkdir(parents=True)
        os.chown(there.parent / names[-1], 4711, 4711)
    done = go(agent.build.path, there)
    assert done["leftovers"] == []
    assert sorted(os.listdir(there.parent)) == sorted([*names, "place"])
    assert (outside / "below").exists()


def test_a_copy_at_work_is_no_leftover(agent: Any, there: pathlib.Path, copies: None) -> None:
    other = synthetic.Build(agent.home / "other")
    other.put(synthetic.sha("x"), b"x")

    def second(name: str) -> None:
        if name == "pass 0":
            done = go(other.path, there, check=True)
            assert done["leftovers"] == []
            assert any("another run works" in note for note in done["notes"])

    assert go(agent.build.path, there, step=second)["changed"]


def test_an_evicted_build_cache_goes_with_its_frame(agent: Any, there: pathlib.Path) -> None:
    planned = go(agent.build.path, old="evict", check=True)
    done = go(agent.build.path, there, old="evict")
    assert not agent.build.path.exists()
    for key in ("changed", "action", "left_bytes", "evicted_entries", "pending", "protected", "plan_digest"):
        assert planned[key] == done[key], key
    assert (done["action"], done["left_bytes"]) == ("evict", 0)
    assert done["freed_bytes"] >= planned["predicted_bytes"] > 0
    assert set(planned) == set(done) == KEYS
    assert not go(agent.build.path, old="evict")["changed"]


def test_a_frame_with_fuzz_inputs_stays(agent: Any, there: pathlib.Path) -> None:
    corpus = agent.build.path / "fuzz/example.com/FuzzX"
    corpus.mkdir(parents=True)
    (corpus / "input").write_text("found")
    planned = go(agent.build.path, old="evict", check=True)
    done = go(agent.build.path, old="evict")
    assert (corpus / "input").exists()
    assert planned["left_bytes"] > 0
    assert done["left_bytes"] > 0
    assert not go(agent.build.path, old="evict")["changed"]


def test_an_evicted_module_cache_takes_both_halves(agent: Any, there: pathlib.Path) -> None:
    planned = go(agent.mod.path, old="evict", private=[], check=True)
    done = go(agent.mod.path, old="evict", private=[])
    assert done["pending"] == planned["pending"] == []
    assert done["evicted_entries"] == planned["evicted_entries"] == 6
    assert not list(agent.mod.path.rglob("*.zip"))
    again = go(agent.mod.path, old="evict", private=[])
    assert (again["changed"], again["action"]) == (False, "none")


def test_a_place_without_a_cache_needs_nothing(agent: Any, there: pathlib.Path) -> None:
    (agent.home / "empty").mkdir()
    (agent.home / "dangling").symlink_to(agent.home / "nowhere")
    for path in (agent.home / "absent", agent.home / "empty", agent.home / "dangling"):
        for old in ("leave", "move", "evict"):
            done = go(path, there, old)
            assert (done["changed"], done["action"], set(done)) == (False, "none", KEYS)
    assert not there.parent.exists()
    assert stat.S_ISDIR(os.stat(agent.home / "empty").st_mode)
