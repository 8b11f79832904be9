# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No eviction, whole, cut or killed, changes what a later build, vet or test says."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from typing import Any

import pytest
from conftest import DAY, Lab

OLD = {"max_age": "2h", "floor": "1h", "private": []}


def _findings(lab: Lab) -> int:
    done = lab.run("vet", "./...")
    return len(re.findall(r"^p\d+/p\.go:\d+", done.stderr, re.MULTILINE))


class Killed(BaseException):
    """Stands for SIGKILL between two system calls."""


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_vet_keeps_its_findings_when_a_pass_is_cut(lab: Lab, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """F25, F31: facts never outlive the findings that belong to them, though their ages drift by up to an hour."""
    assert _findings(lab) == 12
    chance = random.Random(share)
    then = time.time() - 30 * DAY
    for path in lab.gocache.glob("[0-9a-f][0-9a-f]/*-[ad]"):
        moment = then + chance.random() * 3600
        os.utime(path, (moment, moment))
    left = [int(len(lab.entries()) * share)]
    unlink = os.unlink

    def cut(*args: Any, **kwargs: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        unlink(*args, **kwargs)

    monkeypatch.setattr(os, "unlink", cut)
    with pytest.raises(Killed):
        lab.prune(OLD, threads=4)
    monkeypatch.undo()
    assert _findings(lab) == 12


def test_a_random_order_loses_findings(lab: Lab) -> None:
    """The counter-example: without the order the same cut makes vet pass (this is what the product must prevent)."""
    assert _findings(lab) == 12
    lost = 0
    for number in range(3):
        lab.must("clean", "-cache")
        assert _findings(lab) == 12
        actions = sorted(lab.gocache.glob("[0-9a-f][0-9a-f]/*-a"))
        for path in random.Random(number).sample(actions, len(actions) // 2):
            path.unlink()
        lost += _findings(lab) < 12
    assert lost > 0


def test_builds_are_the_same_before_and_after_a_prune(lab: Lab) -> None:
    """A binary, a failing test and an embedded file are what they were."""
    (lab.project / "asset.txt").write_text("embedded\n" * 1000)
    (lab.project / "embed.go").write_text(
        'package main\n\nimport _ "embed"\n\n//go:embed asset.txt\nvar asset string\n\nvar _ = len(asset)\n'
    )
    lab.add_tests()
    (lab.project / "p3" / "bad_test.go").write_text(
        'package p3\n\nimport "testing"\n\nfunc TestBad(t *testing.T) { t.Fatal("bad") }\n'
    )
    out = lab.top / "out"
    lab.must("build", "-trimpath", "-o", str(out), ".")
    before = out.read_bytes()
    assert lab.run("test", "-vet=off", "./...").returncode == 1
    lab.age(30 * DAY)
    result = lab.prune(OLD)
    assert result["evicted_entries"] > 50
    lab.must("build", "-trimpath", "-o", str(out), ".", GOPROXY="off")
    assert out.read_bytes() == before
    again = lab.run("test", "-vet=off", "./...")
    assert again.returncode == 1
    assert "bad" in again.stdout


_KILLED = """
import sys, os
sys.path[:0] = sys.argv[5:]
from ansible_collections.gofleet.cache.plugins.module_utils._host import find, purge
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import evict
os.environ["GOFLEET_CACHE_TEST_NOW"] = sys.argv[3]
evict._MANY = int(sys.argv[4])
print("ready", flush=True)
purge.run(find.Request(paths=[sys.argv[1], sys.argv[2]], discover=False),
          {"max_age": "30d", "floor": "1h", "private": [], "idle": "asserted"}, purge.Options(False))
"""


@pytest.mark.parametrize("many", [1, 10**9], ids=["crew", "alone"])
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_prune_leaves_working_caches(lab: Lab, seed: int, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """F25: SIGKILL at a random moment; an offline build passes, the next run converges, nothing temporary stays."""
    import sys

    lab.must("build", "-o", str(lab.top / "out"), ".")
    now = str(int(time.time()) + 90 * DAY)
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(lab.gocache), str(lab.modcache), now, str(many), *sys.path],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(random.Random(seed).random() * 0.25)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    lab.must("build", "-o", str(lab.top / "out"), ".", GOPROXY="off")
    monkeypatch.setenv("GOFLEET_CACHE_TEST_NOW", str(int(time.time()) + 180 * DAY))
    policy = {"max_age": "30d", "floor": "1h", "private": []}
    for _run in range(4):
        result = lab.prune(policy)
        if not result["changed"] and not result["pending"]:
            break
    else:
        pytest.fail(f"does not converge: {result['protected']} {result['left_out'][:3]}")
    assert not list(lab.modcache.rglob("*.tmp-*"))
    lab.must("build", "-o", str(lab.top / "out"), ".")
