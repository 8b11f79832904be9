# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is run to prove a place, and as whom."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import accounts
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import base, buildkite, engine, plain, prove

SOMEBODY = 54321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run something as another account")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of somebody whom no password database knows."""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parents[1]):
        folder.chmod(0o755)
    path = tmp_path / "home"
    path.mkdir()
    os.chown(path, SOMEBODY, SOMEBODY)
    return path


@as_root
@pytest.mark.parametrize("kind", [buildkite.KIND, plain.KIND])
@pytest.mark.parametrize("link", [False, True])
def test_nothing_that_somebody_else_can_write_is_run_as_root(
    tmp_path: Path, home: Path, kind: base.Kind, link: bool
) -> None:
    path = home / "environment"
    path.write_text("#!/bin/bash\nexport GOFLAGS=$(id -u)\n")
    os.chown(path, SOMEBODY, SOMEBODY)
    if link:
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    place = kind.find(base.Request(paths=(str(path),))).places[0]
    # As if it had been read a moment before it was exchanged.
    edited = engine.Edited(place, b"", b"export GOFLAGS='-v'\n")
    proof = prove.Prover(accounts.current()).prove(edited, {"GOFLAGS": "-v"})
    assert [item.seen for item in proof.variables] == ["-v"]
    assert "not run as root" in proof.note


@as_root
def test_what_leaves_its_session_does_not_hold_up_the_proof() -> None:
    somebody = accounts.Account(str(SOMEBODY), SOMEBODY, SOMEBODY, "/")
    start = time.monotonic()
    argv = ["/bin/sh", "-c", "setsid sleep 60 & A=b exec env -0"]
    found, why = prove.Prover(somebody)._run(somebody, argv, {"PATH": "/usr/bin:/bin"})
    assert time.monotonic() - start < 50
    assert (found or {}).get("A") == "b", why


def test_what_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "SHELL_SECONDS", 0.5)
    me = accounts.current()
    for text in ("sleep 60", "setsid sleep 60 & sleep 60", "exec >&-; sleep 60"):
        start = time.monotonic()
        found, why = prove.Prover(me)._run(me, ["/bin/sh", "-c", text], {"PATH": "/usr/bin:/bin"})
        assert found is None
        assert "no answer" in why
        assert time.monotonic() - start < 50


def test_an_endless_answer_fills_no_memory() -> None:
    me = accounts.current()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, why = prove.Prover(me)._run(me, ["/bin/sh", "-c", "exec cat /dev/zero"], {"PATH": "/usr/bin:/bin"})
    assert found is None
    assert "more than" in why
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_whole_environment_gets_through() -> None:
    me = accounts.current()
    environ = {"PATH": "/usr/bin:/bin", **{"N%d" % number: "x" * 50000 for number in range(15)}}
    found, why = prove.Prover(me)._run(me, ["/bin/sh", "-c", "exec env -0"], environ)
    assert {name: (found or {}).get(name) for name in environ} == environ, why
