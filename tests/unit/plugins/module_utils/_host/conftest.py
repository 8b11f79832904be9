# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import time
from typing import Any, Dict, List, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._host import act, find, look, purge
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import evict as build_evict
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_mod import evict as mod_evict
from ansible_collections.gofleet.cache.tests.fixtures import synthetic

DAY = synthetic.DAY
OLD: Dict[str, Any] = {"max_age": "10d", "private": []}


class Agent:
    """An agent with one account, whose home holds one old build cache and one old module cache."""

    def __init__(self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.home = path.resolve() / "home"
        self.home.mkdir()
        self.account = Account("tester", os.geteuid(), os.getegid(), str(self.home))
        self.build = synthetic.Build(self.home / ".cache/go-build")
        self.mod = synthetic.Mod(self.home / "go/pkg/mod")

    def fill(self) -> None:
        """Old and young builds with findings, three modules of which one is private by its name only."""
        for number in range(4):
            age = 90 * DAY if number % 2 else synthetic.HOUR
            self.build.put(synthetic.sha("p%d" % number), b"object %d" % number, age)
            self.build.vet("p%d" % number, age)
        for label in ("example.com/a@v1.0.0", "example.com/Big/b@v1.1.0", "git.corp.example/c@v1.0.0"):
            self.mod.add(label)

    def later(self, days: float) -> None:
        """From now on this many days have passed: the only way to make a module cache old."""
        self.monkeypatch.setenv(look.CLOCK, str(time.time() + days * DAY))

    def request(self, *paths: object) -> find.Request:
        """A request for the two caches, or for *paths*, and nothing else of this machine."""
        named = [str(path) for path in paths] or [str(self.build.path), str(self.mod.path)]
        return find.Request(paths=named, discover=False)

    def purge(self, document: Dict[str, Any], *paths: object, check: bool = False, **more: Any) -> Dict[str, Any]:
        """One purge's result."""
        return purge.run(self.request(*paths), document, purge.Options(check, **more))

    def settings(self, **values: str) -> None:
        """Writes the account's env file."""
        file = self.home / ".config/go/env"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join("%s=%s\n" % item for item in values.items()), encoding="ascii")


@pytest.fixture
def agent(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Agent:
    """See Agent; nothing of the machine's accounts and services gets in."""
    made = Agent(tmp_path, monkeypatch)
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv(look.CLOCK, raising=False)
    monkeypatch.setattr(find.services, "discover", lambda: ([], []))
    monkeypatch.setattr(find.accounts, "related", lambda _uids=(): [made.account])
    monkeypatch.setattr(build_evict, "_SETTLE", 0.01)
    monkeypatch.setattr(mod_evict, "_SETTLE", 0.01)
    # Another part of the tests, or a developer, may run Go at this moment.
    monkeypatch.setattr(act.running, "scan", lambda: act.running.Scan((), 0, True))
    return made


def everything(top: pathlib.Path) -> Dict[str, Tuple[int, ...]]:
    """All that stat tells of everything below *top*, access and change times and folders included."""
    found: Dict[str, Tuple[int, ...]] = {}

    def walk(fd: int, path: str) -> None:
        listing: List[Tuple[str, os.stat_result]] = sorted(dirs.entries(fd))
        for name, st in listing:
            where = path + "/" + name
            times = (st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns)
            found[where] = (st.st_mode, st.st_ino, st.st_size, st.st_nlink, st.st_uid, st.st_gid, *times)
            if os.path.stat.S_ISDIR(st.st_mode):  # type: ignore[attr-defined]
                inner = dirs.open_dir(name, fd)
                try:
                    walk(inner, where)
                finally:
                    os.close(inner)

    top_fd = dirs.open_dir(str(top))
    try:
        walk(top_fd, "")
    finally:
        os.close(top_fd)
    return found


@pytest.fixture
def photograph() -> Any:
    """The function :func:`everything`."""
    return everything
