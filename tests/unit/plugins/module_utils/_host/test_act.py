# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A worker with the owner's rights that is killed or stopped by that owner: counted, bounded, told."""

from __future__ import annotations

import hashlib
import os
import pathlib
import signal
import time
from typing import Any, Dict

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._host import act, find, purge

OWNER = 65534
OLD: Dict[str, Any] = {"max_age": "1d", "private": [], "time_limit": "1s"}


@pytest.fixture
def foreign(tmp_path: pathlib.Path) -> pathlib.Path:
    """A build cache of another user with 20 actions and 20 outputs, unused for a month."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path / "cache"
    root.mkdir()
    (root / "README").write_text("This directory holds cached build artifacts from the Go build system.\n")
    (root / "trim.txt").write_text(str(int(time.time())))
    then = time.time() - 30 * 86400
    for number in range(20):
        for kind in ("a", "d"):
            name = hashlib.sha256(b"%d%s" % (number, kind.encode())).hexdigest()
            (root / name[:2]).mkdir(exist_ok=True)
            path = root / name[:2] / ("%s-%s" % (name, kind))
            path.write_bytes(b"x" * 175)
            os.utime(path, (then, then))
    for path in [root, *root.rglob("*")]:
        os.chown(path, OWNER, OWNER)
    return root


def _purge(root: pathlib.Path, step: Any) -> Dict[str, Any]:
    request = find.Request(paths=[str(root)], discover=False)
    with pytest.raises(purge.Failed) as error:
        purge.run(request, OLD, purge.Options(False, 1, step))
    return error.value.result


def test_what_a_killed_worker_had_done_is_told(foreign: pathlib.Path) -> None:
    def die(name: str) -> None:
        if name == "actions":
            os.kill(os.getpid(), signal.SIGKILL)

    result = _purge(foreign, die)
    assert result["changed"]
    assert result["evicted_entries"] == 20
    assert result["freed_bytes"] > 0
    assert len(list(foreign.glob("*/*-a"))) == 0
    assert len(list(foreign.glob("*/*-d"))) == 20


def test_a_worker_that_its_owner_stops_does_not_hang_the_run(
    foreign: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(name: str) -> None:
        if name == "actions":
            os.kill(os.getpid(), signal.SIGSTOP)

    monkeypatch.setattr(act, "_GRACE", 0.5)
    begun = time.monotonic()
    result = _purge(foreign, stop)
    assert time.monotonic() - begun < 60
    assert result["evicted_entries"] == 20


def test_a_name_that_is_no_utf8_does_not_cost_the_result(tmp_path: pathlib.Path) -> None:
    root = os.fsencode(str(tmp_path)) + b"/c\xff"
    os.mkdir(root)
    with open(root + b"/README", "w", encoding="ascii") as handle:
        handle.write("This directory holds cached build artifacts from the Go build system.\n")
    os.mkdir(root + b"/00")
    request = find.Request(search_roots=[str(tmp_path)], discover=False)
    result = purge.run(request, OLD, purge.Options(True))
    assert [cache["path"] for cache in result["caches"]] == [str(tmp_path) + "/c\\xff"]
