# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The second door on a real host: the timer fires, the cache shrinks, the journal tells, and all goes cleanly again."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

#: An account without rights cannot read files that root has sent: send none.
PIPELINING = '{"ansible_pipelining": true}'
HOST = "agent-1"
CACHE = "/home/ci/.cache/go-build"
PROGRAM = "/usr/local/bin/gofleet-cache"
PLACES = (
    PROGRAM,
    "/usr/local/lib/gofleet-cache",
    "/etc/gofleet-cache",
    "/etc/systemd/system/gofleet-cache.service",
    "/etc/systemd/system/gofleet-cache.timer",
    "/etc/systemd/system/timers.target.wants/gofleet-cache.timer",
    "/var/lib/systemd/timers/stamp-gofleet-cache.timer",
    "/etc/cron.d/gofleet-cache",
)
PLAY = [
    {
        "name": "Schedule",
        "hosts": HOST,
        "gather_facts": False,
        "roles": [{"role": "gofleet.cache.cache_schedule"}],
    }
]
#: Builds of which the second uses nothing of what only the first needs; the entries of the first become old.
BUILDS = """
set -e
export HOME=~ GOTOOLCHAIN=local GOFLAGS= GOPROXY=off PATH=/usr/local/go/bin:$PATH
go clean -cache
mkdir -p ~/big ~/small
cd ~/big
printf 'module example.com/big\\n\\ngo 1.21\\n' > go.mod
printf 'package main\\n\\nimport "encoding/json"\\n\\nfunc main() { println(json.Valid(nil)) }\\n' > main.go
go build -o big .
find ~/.cache/go-build -type f -name '*-[ad]' -exec touch -d '30 days ago' {} +
cd ~/small
printf 'module example.com/small\\n\\ngo 1.21\\n' > go.mod
printf 'package main\\n\\nfunc main() { println("hello") }\\n' > main.go
go build -o small .
"""
AGAIN = """
set -e
export HOME=~ GOTOOLCHAIN=local GOFLAGS= GOPROXY=off PATH=/usr/local/go/bin:$PATH
cd ~/big && go build -o again . && cmp big again && go vet . && cd ~/small && go build -o again . && cmp small again
"""
POLICY = {"caches": [{"kind": "go-build", "max_age": "7d"}], "private": []}


@pytest.fixture
def on_host(agents: Callable[..., dict[str, dict[str, Any]]]) -> Callable[..., str]:
    """A function that runs a shell script on the host, as root or as ``user``, and returns what it printed."""

    def call(script: str, user: str = "") -> str:
        more = ["--become", "--become-method", "su", "--become-user", user, "--extra-vars", PIPELINING] if user else []
        results = agents("ansible.builtin.shell", "--limit", HOST, *more, cmd=script)
        return str(results[HOST]["stdout"])

    return call


@pytest.fixture
def role(inventory: str, tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """A function that applies the role with variables and returns the tasks that changed something."""
    play = tmp_path / "play.yml"
    play.write_text(json.dumps(PLAY), encoding="ascii")

    def apply(check: bool = False, **variables: object) -> list[str]:
        given = {f"cache_schedule_{name}": value for name, value in variables.items()}
        command = ["ansible-playbook", "--inventory", inventory, "--extra-vars", json.dumps(given), str(play)]
        done = subprocess.run(
            command + (["--check"] if check else []), capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        changed = []
        task = ""
        for line in done.stdout.splitlines():
            found = re.match(r"(?:TASK|RUNNING HANDLER) \[gofleet\.cache\.cache_schedule : (.*)\]", line)
            task = found[1] if found else task
            if line.startswith("changed:") and task not in changed:
                changed.append(task)
        return changed

    yield apply
    apply(state="absent", purge_state=True)


def wait(seconds: float, what: str, done: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(1)


def entries(on_host: Callable[..., str]) -> int:
    return int(on_host(f"find {CACHE} -type f -name '*-[ad]' | wc -l"))


def test_the_timer_fires_the_cache_shrinks_and_the_journal_tells(
    on_host: Callable[..., str], role: Callable[..., list[str]]
) -> None:
    on_host(BUILDS, user="ci")
    before = entries(on_host)
    role(rules=POLICY, accounts=["ci"], calendar="*:*:0/5", random_delay="0")
    assert entries(on_host) <= before
    wait(90, "the cache shrinks", lambda: entries(on_host) < before)
    wait(60, "the run ends", lambda: on_host("systemctl is-active gofleet-cache.service || true") == "inactive")
    assert on_host("systemctl show -p Result --value gofleet-cache.service") == "success"
    left = entries(on_host)
    assert 0 < left < before
    assert "evicted" in on_host("journalctl --unit gofleet-cache.service --no-pager --output cat")
    # What was not old is still there, and what went comes back.
    on_host(AGAIN, user="ci")
    history = json.loads(on_host(f"{PROGRAM} history --json"))
    (run, *_others) = [run for run in history["runs"] if run["evicted_entries"]]
    assert run["door"] == "cli"
    assert run["evicted_entries"] == before - left
    assert run["freed_bytes"] > 0
    # By its owner's rights, and nothing of root's is left in the cache.
    assert on_host(f"find {CACHE} ! -user ci | head") == ""
    assert on_host("find /home/ci -user root | head") == ""


def test_a_change_changes_what_it_must_and_the_same_again_nothing(
    on_host: Callable[..., str], role: Callable[..., list[str]]
) -> None:
    assert role(check=True, rules=POLICY) != []
    assert on_host(f"ls -d {' '.join(PLACES)} 2>/dev/null || true") == ""
    role(rules=POLICY)
    assert role(rules=POLICY) == []
    assert role(rules={"max_age": "9d"}) == ["Write the policy"]
    assert json.loads(on_host("cat /etc/gofleet-cache/policy.json"))["policy"] == {"max_age": "9d"}
    assert set(role(rules={"max_age": "9d"}, every="30m")) == {"Write the timer", "Restart the timer"}
    assert "*:00/30:00" in on_host("systemctl show --property TimersCalendar gofleet-cache.timer")
    changed = role(rules={"max_age": "9d"}, every="30m", backend="cron")
    assert set(changed) == {"Write the line for cron", "Stop the timer", "Remove the units"}
    assert PROGRAM in on_host("cat /etc/cron.d/gofleet-cache")
    assert on_host("systemctl list-units --all --no-legend 'gofleet-cache*'") == ""


def test_a_stop_ends_a_run_cleanly(on_host: Callable[..., str], role: Callable[..., list[str]]) -> None:
    role(rules={"max_age": "7d", "busy": "floor"})
    on_host("systemctl start --no-block gofleet-cache.service; sleep 0.1; systemctl stop gofleet-cache.service")
    assert on_host("pgrep -f '[g]ofleet-cache.pyz' || true") == ""
    assert "Traceback" not in on_host("journalctl --unit gofleet-cache.service --no-pager --output cat")
    assert on_host("systemctl is-failed gofleet-cache.service || true") == "inactive"


def test_it_goes_cleanly_and_the_journal_only_when_asked(
    on_host: Callable[..., str], role: Callable[..., list[str]]
) -> None:
    on_host(BUILDS, user="ci")
    role(rules=POLICY, accounts=["ci"])
    on_host("systemctl start gofleet-cache.service")
    assert on_host("ls /var/lib/gofleet-cache") != ""
    before = entries(on_host)
    role(state="absent")
    assert on_host(f"ls -d {' '.join(PLACES)} 2>/dev/null || true") == ""
    assert on_host("systemctl list-units --all --no-legend 'gofleet-cache*'") == ""
    assert on_host("systemctl is-system-running || true") == "running"
    assert on_host("ls /var/lib/gofleet-cache") != ""
    assert role(state="absent") == []
    assert role(state="absent", purge_state=True) == ["Remove the journal"]
    assert entries(on_host) == before
