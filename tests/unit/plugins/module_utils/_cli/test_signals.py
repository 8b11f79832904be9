# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real process is told to end in the middle of its evictions: it says what it did, and the next run does the rest."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import List, Tuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[5]
PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from module_utils._cli.main import main; sys.exit(main())"
COUNT = 16000


def fill(top: pathlib.Path, owner: int) -> None:
    """Actions and outputs of one build, 90 days old, and one young one, which tells when the last build was."""
    top.mkdir(parents=True)
    (top / "README").write_text("This directory holds cached build artifacts from the Go build system.\n")
    (top / "trim.txt").write_text("1")
    then = time.time() - 90 * 86400
    for shard in range(256):
        (top / ("%02x" % shard)).mkdir()
    for number in range(COUNT):
        name = "%064x-%s" % (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 256), "ad"[number % 2])
        path = top / name[:2] / name
        path.touch()
        os.utime(str(path), (then + number // 100, then + number // 100))
    (top / "00" / ("0" * 64 + "-d")).touch()
    if os.geteuid() == 0:
        for folder, _folders, files in os.walk(str(top)):
            os.chown(folder, owner, owner)
            for file in files:
                os.chown(os.path.join(folder, file), owner, owner)


def left(top: pathlib.Path) -> int:
    return sum(name.endswith(("-a", "-d")) for _folder, _folders, files in os.walk(str(top)) for name in files)


# As root the cache belongs to somebody else, so that a worker with that account's rights is in the middle of it.
def test_a_signal_ends_a_purge_in_the_middle_and_the_next_run_does_the_rest(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    number = signal.SIGTERM
    base = tmp_path_factory.mktemp("signals")
    cache = base / "cache" / "go-build"
    fill(cache, 65534)
    for folder in (base, cache.parent):
        folder.chmod(0o755)
    for folder in cache.parents:
        if not folder.stat().st_mode & 0o001:
            if folder.stat().st_uid != os.geteuid() or not str(folder).startswith(str(base.parents[1])):
                pytest.skip("needs a temporary folder that other accounts may enter")
            folder.chmod(0o711)
    policy = base / "policy.json"
    policy.write_text(
        json.dumps({"policy": {"max_age": "10d", "private": []}, "paths": [str(cache)], "discover": False})
    )
    policy.chmod(0o644)
    words = [sys.executable, "-I", "-c", PROGRAM, str(ROOT / "plugins"), "prune", "--json", "--policy", str(policy)]
    environ = dict(os.environ, HOME=str(base))
    running = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    oldest = cache / "00" / ("0" * 64 + "-a")
    while oldest.exists() and running.poll() is None and time.monotonic() < end:
        pass
    running.send_signal(number)
    out, err = running.communicate(timeout=120)
    result = json.loads(out)
    first: Tuple[int, int] = (running.returncode, result["evicted_entries"])
    if first == (0, COUNT):
        pytest.skip("needs a slower machine: the run had ended already")
    assert first[0] == 5, err.decode()
    assert 0 < first[1] < COUNT
    assert left(cache) == COUNT + 1 - first[1]
    assert result["freed_bytes"] == 0  # the files are empty
    signals: List[str] = [note for note in result["notes"] if "stopped by %s" % signal.Signals(number).name in note]
    assert len(signals) == 1
    done = subprocess.run(words, env=environ, stdout=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == 0
    assert json.loads(done.stdout)["evicted_entries"] == COUNT - first[1]
    assert left(cache) == 1
