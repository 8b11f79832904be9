# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
from typing import Any, Callable, Dict, List, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._cli import document, main
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._host import act, find, look
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import evict as build_evict
from ansible_collections.gofleet.cache.tests.fixtures import synthetic

#: What a run of the program gives: its exit code, standard output and standard error.
Ran = Tuple[int, str, str]


class Agent:
    """An agent with one account and one build cache with old and young entries; ``run`` is the program."""

    def __init__(self, path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = path.resolve() / "home"
        self.home.mkdir()
        self.build = synthetic.Build(self.home / ".cache/go-build")
        for number in range(6):
            age = 90 * synthetic.DAY if number % 2 else synthetic.HOUR
            self.build.put(synthetic.sha("p%d" % number), b"object %d" % number, age)
        self.file = path / "policy.json"
        self.policy(max_age="10d", private=[])
        self._capsys = capsys

    def policy(self, **policy: Any) -> None:
        """Writes the policy's file, for this cache alone."""
        self.write({"policy": policy, "paths": [str(self.build.path)], "discover": False})

    def write(self, data: object) -> None:
        """Writes the policy's file."""
        self.file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
        self.file.chmod(0o644)

    def run(self, *words: str) -> Ran:
        """Runs the program with the file."""
        self._capsys.readouterr()
        more: List[str] = [] if words[0] == "history" else ["--policy", str(self.file)]
        code = main.main([words[0], *more, *words[1:]])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, *words: str) -> Tuple[int, Dict[str, Any]]:
        """The same with --json; the exit code and the result."""
        code, out, _err = self.run(words[0], "--json", *words[1:])
        return code, json.loads(out)


@pytest.fixture
def agent(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quiet: None
) -> Agent:
    """See Agent; nothing of the machine's accounts, services and tools gets in."""
    made = Agent(tmp_path, capsys)
    account = Account("tester", os.geteuid(), os.getegid(), str(made.home))
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv(look.CLOCK, raising=False)
    monkeypatch.setattr(document, "DEFAULT_PATH", str(tmp_path / "no-such-file.json"))
    monkeypatch.setattr(find.services, "discover", lambda: ([], []))
    monkeypatch.setattr(find.accounts, "related", lambda _uids=(): [account])
    monkeypatch.setattr(build_evict, "_SETTLE", 0.01)
    monkeypatch.setattr(act.running, "scan", lambda: act.running.Scan((), 0, True))
    return made


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's handlers of signals and its change of the engine's clock do not outlive the test."""
    import signal

    from ansible_collections.gofleet.cache.plugins.module_utils._core import evict

    monkeypatch.setattr(evict.Job, "late", evict.Job.late)
    handlers: Dict[int, Any] = {}
    real: Callable[..., Any] = signal.signal

    def remembered(number: int, handler: Any) -> Any:
        handlers.setdefault(number, signal.getsignal(number))
        return real(number, handler)

    monkeypatch.setattr(signal, "signal", remembered)
    yield  # type: ignore[misc]
    for number, handler in handlers.items():
        real(number, handler)
