# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import signal
import stat
import subprocess
import sys
from typing import Iterator

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import mounts, scratch

ROOT = os.geteuid() == 0


@pytest.fixture
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    top = tmp_path / "tmp"
    top.mkdir()
    top.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(top))
    return top


@pytest.fixture
def worker(place: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """A process that works in a folder until it is told to end, or killed."""
    code = (
        "import os, sys\n"
        "from ansible_collections.gofleet.cache.plugins.module_utils._fs import scratch\n"
        "with scratch.folder('test', sys.argv[1]) as path:\n"
        "    os.makedirs(path + '/a/b')\n"
        "    open(path + '/a/b/c', 'w').close()\n"
        "    os.chmod(path + '/a/b', 0o555)\n"
        "    print(path, flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    roots = [item for item in sys.path if (pathlib.Path(item) / "ansible_collections").is_dir()]
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(roots), PYTHONDONTWRITEBYTECODE="1")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(str(place) + "/gofleet-scratch-test-")
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_a_folder_is_for_its_owner_and_is_gone_afterwards(place: pathlib.Path) -> None:
    def fill() -> None:
        with scratch.folder("test") as path:
            assert os.path.dirname(path) == str(place)
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
            inner = pathlib.Path(path, "a", "b")
            inner.mkdir(parents=True)
            (inner / "c").write_text("x", encoding="utf-8")
            inner.chmod(0o555)
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_has_left_goes_with_the_next_folder(
    place: pathlib.Path, worker: subprocess.Popen[str]
) -> None:
    with scratch.folder("other"):
        assert len(list(place.iterdir())) == 2, "a living one keeps its folder"
    assert [path.name[:21] for path in place.iterdir()] == ["gofleet-scratch-test-"]
    worker.send_signal(signal.SIGKILL)
    worker.wait(timeout=60)
    assert len(list(place.iterdir())) == 1
    with scratch.folder("other") as mine:
        assert [str(path) for path in place.iterdir()] == [mine]


def test_nothing_goes_that_is_not_ours_by_name_kind_and_mode(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o700)
    (precious / "file").write_text("x", encoding="utf-8")
    (place / "gofleet-scratch-git-abcdefgh").symlink_to(precious)
    (place / "gofleet-scratch-git-bbbbbbbb").write_text("x", encoding="utf-8")
    (place / "gofleet-scratch-git-cccccccc").mkdir()
    (place / "gofleet-scratch-git-cccccccc").chmod(0o755)
    for name in (
        "gofleet-scratch-git-dddd",
        "gofleet-scratch-abcdefgh",
        "gofleet-cache-abcdefgh",
        "gofleet-bench-abcdefgh",
        "gofleet-scratch-git-abcdefgh.d",
        "other-git-abcdefgh",
    ):
        (place / name).mkdir(mode=0o700)
    before = sorted(path.name for path in place.iterdir())
    with scratch.folder("git"):
        pass
    assert sorted(path.name for path in place.iterdir()) == before
    assert (precious / "file").exists()
    (place / "gofleet-scratch-git-eeeeeeee").mkdir(mode=0o700)
    with scratch.folder("git"):
        pass
    assert sorted(path.name for path in place.iterdir()) == before


def test_in_a_folder_where_others_may_rename_nothing_is_swept(place: pathlib.Path) -> None:
    (place / "gofleet-scratch-git-aaaaaaaa").mkdir(mode=0o700)
    place.chmod(0o777)
    with scratch.folder("git"):
        pass
    assert [path.name for path in place.iterdir()] == ["gofleet-scratch-git-aaaaaaaa"]


@pytest.mark.skipif(not ROOT, reason="needs root: files of two users")
def test_of_another_user_nothing_goes(place: pathlib.Path) -> None:
    theirs = place / "gofleet-scratch-git-aaaaaaaa"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 65534, 65534)
    with scratch.folder("git"):
        pass
    assert theirs.is_dir()
    os.chown(place, 65534, 65534)
    mine = place / "gofleet-scratch-git-bbbbbbbb"
    mine.mkdir(mode=0o700)
    with scratch.folder("git"):
        pass
    assert mine.is_dir(), "the owner of the folder could have put it there"


def test_a_place_that_is_not_there_is_an_error(place: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError), scratch.folder("git", str(place / "missing")):
        pass


def test_many_at_once_take_nothing_from_each_other(place: pathlib.Path) -> None:
    children = []
    for _number in range(8):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                for turn in range(20):
                    with scratch.folder("git") as path:
                        own = pathlib.Path(path, str(turn))
                        own.write_text("x", encoding="utf-8")
                        assert own.exists()
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * len(children)
    assert list(place.iterdir()) == []


def test_nothing_is_swept_where_the_locks_of_other_hosts_may_not_be_seen(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "gofleet-scratch-canary-abcdefgh"
    left.mkdir(mode=0o700)
    real = mounts.by_id()
    monkeypatch.setattr(mounts, "by_id", lambda: {k: m._replace(network=True) for k, m in real.items()})
    fd = os.open(str(tmp_path), os.O_RDONLY)
    assert scratch.sweep(fd) == 0
    assert left.exists()
    monkeypatch.undo()
    assert scratch.sweep(fd) == 1
    os.close(fd)
    assert not left.exists()
