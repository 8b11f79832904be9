# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import Iterator

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import services
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import settings

SECRET = "canary-Pa55word-of-the-tests"


@pytest.fixture
def units(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder of units instead of the machine's; nothing runs."""
    monkeypatch.setattr(services, "UNIT_DIRS", (str(tmp_path),))
    monkeypatch.setattr(services, "_main_pid", lambda name: None)
    monkeypatch.setattr(services, "running_runners", lambda: ([], []))
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "no_proxy"):
            monkeypatch.delenv(name)
    return tmp_path


def test_a_service_has_its_own_settings_and_not_the_callers(
    units: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://mine.test:1")
    home = units / "home"
    (home / ".config/go").mkdir(parents=True)
    (home / ".config/go/env").write_text("GOPROXY=https://file.test\nGOPRIVATE=git.example.com\n", encoding="utf-8")
    (units / "more.env").write_text("HTTPS_PROXY=http://u:%s@forward.test:3128\n" % SECRET, encoding="utf-8")
    unit = "[Service]\nEnvironment=HOME=%s GOPROXY=https://unit.test\nEnvironmentFile=%s/more.env\n" % (home, units)
    (units / "runner.service").write_text(unit, encoding="utf-8")
    if os.geteuid() != 0:
        pytest.skip("needs root: the unit has no user")
    found = settings.of_service("runner", {})
    assert found.account.uid == 0
    assert found.values["GOPROXY"] == "https://unit.test"
    assert found.wheres["GOPROXY"] == "process: runner.service"
    assert found.values["GONOPROXY"] == "git.example.com"
    assert found.environ["HTTPS_PROXY"] == "http://u:%s@forward.test:3128" % SECRET
    assert found.wheres["HTTPS_PROXY"] == "runner.service"
    assert "mine.test" not in str(found.environ)


@pytest.fixture
def process() -> Iterator[int]:
    """A process with an environment of its own."""
    environ = {"GOPROXY": "https://process.test", "HOME": "/nonexistent", "NO_PROXY": "10.0.0.*"}
    child = subprocess.Popen(["sleep", "60"], env=dict(environ, PATH=os.environ["PATH"]))
    yield child.pid
    child.kill()
    child.wait()


def test_what_the_process_has_counts_before_what_its_unit_says(
    units: pathlib.Path, process: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_main_pid", lambda name: process)
    (units / "runner.service").write_text("[Service]\nEnvironment=GOPROXY=https://new.test\n", encoding="utf-8")
    found = settings.of_service("runner.service", {"GOSUMDB": "off"})
    assert found.values["GOPROXY"] == "https://process.test"
    assert found.values["GOSUMDB"] == "off"
    assert found.wheres["NO_PROXY"] == "/proc/%d/environ" % process
    assert [row.where for row in found.problems if row.variable == "NO_PROXY"] == ["/proc/%d/environ" % process]


def test_jobs_in_a_login_have_nothing_of_the_service(units: pathlib.Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    unit = "[Service]\nEnvironment=GOPROXY=https://unit.test\nExecStart=/usr/bin/gitlab-runner run --user root\n"
    (units / "gitlab-runner.service").write_text(unit, encoding="utf-8")
    found = settings.of_service("gitlab-runner", {})
    assert found.values["GOPROXY"] != "https://unit.test"
    assert found.account.uid == 0


@pytest.mark.parametrize(
    ("unit", "words"),
    [(None, "no such systemd unit or runner"), ("[Service]\nUser=no-such-account-here\n", "no-such-account-here")],
)
def test_a_service_that_is_none_is_refused_with_its_name(units: pathlib.Path, unit: str | None, words: str) -> None:
    if unit is not None:
        (units / "runner.service").write_text(unit, encoding="utf-8")
    with pytest.raises(settings.NoAccount, match="service: ") as raised:
        settings.of_service("runner", {})
    assert words in str(raised.value)
