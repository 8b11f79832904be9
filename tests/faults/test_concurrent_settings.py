# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many processes that write one file of settings at once: nothing is lost, and every reader sees a whole file."""

from __future__ import annotations

import os
import pathlib
import signal
import stat
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import atomic
from ansible_collections.gofleet.cache.plugins.module_utils._go import accounts, configure, envedit, netrc

WRITERS, ROUNDS, FEW = 200, 20, 8
#: Seconds for all writers of a round; each may wait for the lock for configure.LOCK_SECONDS.
DEADLINE = 90.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long one waits for all the others on a slow machine is not what is tried here."""
    monkeypatch.setattr(configure, "LOCK_SECONDS", DEADLINE)


def together(count: int, work: Callable[[int], object], look: Callable[[], object] = lambda: None) -> list[int]:
    """Runs ``work(number)`` in so many forks of this process that start at once; the numbers of those that fail.

    A fork shares the memory of its parent, so that hundreds cost little. look: called again and again meanwhile.
    """
    begin, ready = os.pipe()
    children: dict[int, int] = {}
    failed: list[int] = []
    try:
        for number in range(count):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    os.close(ready)
                    os.read(begin, 1)  # ends when the parent closes its end
                    signal.alarm(int(DEADLINE))
                    work(number)
                    status = 0
                finally:
                    os._exit(status)
            children[child] = number
    finally:
        os.close(ready)
        os.close(begin)
        while children:
            look()
            for child in list(children):
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    number = children.pop(child)
                    failed += [number] if status else []
            time.sleep(0.002)
    return sorted(failed)


class Reader:
    """Looks at a file; ``broken`` is what it saw that was no whole file."""

    def __init__(self, path: pathlib.Path, first: str) -> None:
        self.path, self.first = path, first.encode()
        self.broken: list[bytes] = []
        self.reads = 0

    def __call__(self) -> None:
        data = self.path.read_bytes()
        self.reads += 1
        if not (data.startswith(self.first) and data.endswith(b"\n")):
            self.broken.append(data)


_START = "# the CI's own settings\nGOPROXY=https://goproxy.example.com,direct\n\nGOFLAGS=-mod=mod\n"


def _env(tmp_path: pathlib.Path) -> tuple[pathlib.Path, configure.Target]:
    file = tmp_path / "env"
    file.write_text(_START, encoding="utf-8")
    file.chmod(0o640)
    return file, configure.Target(str(file), os.geteuid(), os.getegid(), accounts.current())


def _value(name: str, number: int) -> str:
    # Of many lengths, so that a torn or mixed line shows.
    return "%s-%d-%s" % (name.lower(), number, "x" * (number * 7 % 301))


def test_200_writers_of_one_env_file_lose_nothing(tmp_path: pathlib.Path) -> None:
    file, target = _env(tmp_path)
    names = ["GOFLEET_%03d" % number for number in range(WRITERS)]
    started = time.monotonic()
    reader = Reader(file, _START)

    def work(number: int) -> None:
        assert configure.write(target, {names[number]: _value(names[number], number)}, [], False).changed

    assert together(WRITERS, work, reader) == []
    assert reader.broken == []
    assert reader.reads > 20
    assert time.monotonic() - started < DEADLINE
    text = file.read_text(encoding="utf-8")
    found = envedit.values(text.encode())
    assert {name: found.get(name) for name in names} == {
        name: _value(name, number) for number, name in enumerate(names)
    }
    assert text.startswith(_START), "comments, blank lines and the other settings stay"
    assert len(text.splitlines()) == len(_START.splitlines()) + WRITERS, "no line is there twice"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert _others(tmp_path, file) == [], "nothing is left behind"


def _others(folder: pathlib.Path, file: pathlib.Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry != file and not entry.name.endswith(".lock")]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_writers_and_removers_of_the_same_file_do_not_undo_each_other(tmp_path: pathlib.Path, number: int) -> None:
    file, target = _env(tmp_path)
    old = {"OLD_%d" % one: "old" for one in range(FEW)}
    configure.write(target, old, [], False)

    def work(one: int) -> Any:
        if one % 2:
            return configure.write(target, {}, ["OLD_%d" % (one // 2)], False)
        return configure.write(target, {"NEW_%d" % one: _value("new", one + number), "SHARED": str(one)}, [], False)

    assert together(2 * FEW, work) == []
    found = dict(envedit.values(file.read_bytes()))
    shared = found.pop("SHARED")
    assert int(shared) in range(0, 2 * FEW, 2), "one of them is the last"
    expected = {"NEW_%d" % one: _value("new", one + number) for one in range(0, 2 * FEW, 2)}
    expected.update(GOPROXY="https://goproxy.example.com,direct", GOFLAGS="-mod=mod")
    assert found == expected


def test_200_writers_of_one_netrc_lose_no_login_and_show_none(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "netrc"
    file.write_text("# of the CI\nmachine git.example.com login git password g1t\n", encoding="utf-8")
    file.chmod(0o600)
    where = netrc.target(accounts.current(), str(file))

    def work(number: int) -> None:
        machine, secret = "proxy%d.example.com:8443" % number, "pa55-%d" % number
        outcome = netrc.write(where, lambda data: netrc.put_forms(data, machine, "ci", secret, True, True), False)
        assert outcome.changed

    reader = Reader(file, "# of the CI\n")
    assert together(WRITERS, work, reader) == []
    assert reader.broken == []
    entries = {(entry.machine, entry.password) for entry in netrc.entries(file.read_text(encoding="utf-8"))}
    wanted = {("git.example.com", "g1t")}
    for number in range(WRITERS):
        wanted |= {("proxy%d.example.com%s" % (number, port), "pa55-%d" % number) for port in ("", ":8443")}
    assert entries == wanted
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert _others(tmp_path, file) == []


def test_a_writer_that_dies_with_the_lock_blocks_nobody(tmp_path: pathlib.Path) -> None:
    file, target = _env(tmp_path)

    def work(number: int) -> None:
        def edit(data: bytes | None) -> bytes | None:
            if number % 4 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return envedit.apply(data, {"N_%d" % number: "1"}, [])

        atomic.update(str(file), edit)

    assert together(20, work) == [number for number in range(20) if number % 4 == 0]
    found = envedit.values(file.read_bytes())
    assert sorted(name for name in found if name.startswith("N_")) == sorted(
        "N_%d" % number for number in range(20) if number % 4
    )
    configure.write(target, {"AFTER": "1"}, [], False)
    assert _others(tmp_path, file) == []
