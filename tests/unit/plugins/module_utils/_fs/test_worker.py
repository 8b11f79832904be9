# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import signal
import threading
import time
from typing import Any, Callable, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs, worker

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: works with other users' rights")
OTHER = 4242


def run(work: Callable[[worker.Ask], Any], uid: int = OTHER, **serve: Callable[[Any], Any]) -> Any:
    return worker.as_owner(uid, uid, work, dict(serve))


def test_ones_own_work_is_done_right_here() -> None:
    me = os.getpid()
    found = worker.as_owner(
        os.geteuid(), os.getegid(), lambda ask: [os.getpid(), ask("add", 1)], {"add": lambda number: number + 1}
    )
    assert found == [me, 2]


@as_root
def test_rights_are_given_up_for_good() -> None:
    def work(_ask: worker.Ask) -> List[Any]:
        try:
            os.setresuid(0, 0, 0)
            back = True
        except PermissionError:
            back = False
        return [list(os.getresuid()), list(os.getresgid()), os.getgroups(), back]

    os.setgroups([0, 1])
    try:
        assert run(work) == [[OTHER] * 3, [OTHER] * 3, [], False]
    finally:
        os.setgroups([0])
    assert os.geteuid() == 0


@as_root
def test_what_is_made_belongs_to_the_owner_and_what_is_not_the_owners_stays(tmp_path: pathlib.Path) -> None:
    """F15."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir(mode=0o700)
    theirs.mkdir()
    os.chown(str(theirs), OTHER, OTHER)
    (mine / "file").touch()
    inner = dirs.open_dir(str(mine))
    outer = dirs.open_dir(str(theirs))

    def work(_ask: worker.Ask) -> str:
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=outer))
        try:
            os.unlink("file", dir_fd=inner)
        except PermissionError:
            return "kept"
        return "gone"

    try:
        assert run(work) == "kept"
    finally:
        os.close(inner)
        os.close(outer)
    assert (theirs / "new").stat().st_uid == OTHER


@as_root
def test_a_question_is_answered_with_the_parents_rights() -> None:
    parent = os.getpid()
    found = run(
        lambda ask: [os.getuid(), ask("who", {"a": [1]})], who=lambda argument: [os.getpid(), os.geteuid(), argument]
    )
    assert found == [OTHER, [parent, 0, {"a": [1]}]]


@as_root
def test_threads_of_the_child_may_ask_at_once() -> None:
    def work(ask: worker.Ask) -> List[int]:
        found: List[int] = []
        threads = [threading.Thread(target=lambda n=n: found.append(ask("same", n))) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found)

    assert run(work, same=lambda n: n) == list(range(16))


@as_root
def test_an_error_of_the_work_is_told_with_its_name() -> None:
    def work(_ask: worker.Ask) -> None:
        raise KeyError("what")

    with pytest.raises(worker.WorkFailed, match="KeyError: 'what'") as error:
        run(work)
    assert error.value.kind == "KeyError"
    assert "Traceback" in error.value.trace


@as_root
@pytest.mark.parametrize(
    "how", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(0), lambda: os._exit(3)]
)
def test_a_worker_that_dies_is_no_success(how: Callable[[], None]) -> None:
    with pytest.raises(worker.WorkerDied):
        run(lambda _ask: how())


@as_root
def test_a_worker_that_dies_while_it_asks_is_told_as_that() -> None:
    def work(ask: worker.Ask) -> None:
        pid = os.getpid()
        threading.Thread(target=lambda: (time.sleep(0.1), os.kill(pid, signal.SIGKILL)), daemon=True).start()
        ask("slow", None)
        time.sleep(5)

    with pytest.raises(worker.WorkerDied, match="killed by signal 9"):
        run(work, slow=lambda _none: time.sleep(0.4))


@as_root
def test_an_error_of_the_answer_ends_the_worker() -> None:
    pids: List[int] = []

    def fail(pid: int) -> None:
        pids.append(pid)
        raise ValueError("no scan")

    with pytest.raises(ValueError, match="no scan"):
        run(lambda ask: ask("scan", os.getpid()), scan=fail)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@as_root
def test_a_result_larger_than_a_pipe_comes_whole_and_odd_names_survive() -> None:
    assert run(lambda _ask: ["x" * 300000, "odd\udcff\n"]) == ["x" * 300000, "odd\udcff\n"]


@as_root
def test_a_mount_can_be_told_apart_without_rights() -> None:
    """Kernels before 5.14 do not let such a process read its own fdinfo: then the parent does."""
    fd = dirs.open_dir("/")
    here = dirs.mount_id(fd)

    def work(_ask: worker.Ask) -> List[int]:
        found = [dirs.mount_id(fd)]
        real = dirs.read_mount_id

        def refuse(pid: object, number: int) -> int:
            raise PermissionError(13, "Permission denied")

        dirs.read_mount_id = refuse
        try:
            found.append(dirs.mount_id(fd))
        finally:
            dirs.read_mount_id = real
        return found

    try:
        assert run(work) == [here, here]
    finally:
        os.close(fd)


@as_root
def test_no_descriptor_and_no_child_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = os.fork

    def fork() -> int:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(os, "fork", fork)
    before = len(os.listdir("/proc/self/fd"))
    run(lambda _ask: None)
    with pytest.raises(worker.WorkerDied):
        run(lambda _ask: os._exit(1))
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(made) == 2
    for pid in made:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def test_without_root_another_owners_cache_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionError, match="only root or uid 4242"):
        run(lambda _ask: pytest.fail("it ran"))
