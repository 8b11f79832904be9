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
#: Prints those of the places that are there.
SEEN = f"ls -d {' '.join(PLACES)} 2>/dev/null || true"
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
printf 'package main\\n\\nimport "fmt"\\n\\nfunc main() { fmt.Println(1) }\\n' > main.go
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


@pytest.fixture(scope="module")
def role(inventory: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., list[str]]]:
    """A function that applies the role with variables and returns the tasks that changed something."""
    play = tmp_path_factory.mktemp("schedule") / "play.yml"
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
    given = {"rules": POLICY, "accounts": ["ci"], "calendar": "*:*:0/5", "random_delay": "0"}
    assert role(check=True, **given) != []
    assert on_host(SEEN) == ""
    role(**given)
    wait(300, "the cache shrinks", lambda: entries(on_host) < before)
    on_host("systemctl stop gofleet-cache.timer")
    wait(300, "the run ends", lambda: on_host("systemctl is-active gofleet-cache.service || true") == "inactive")
    assert on_host("systemctl show -p Result --value gofleet-cache.service") == "success"
    left = entries(on_host)
    assert 0 < left < before
    assert "evicted" in on_host("journalctl --unit gofleet-cache.service --no-pager --output cat")
    # By its owner's rights, and nothing of root's is left in the cache.
    assert on_host("find /home/ci -user root | head") == ""
    # What was not old is still there, and what went comes back.
    on_host(AGAIN, user="ci")
    history = json.loads(on_host(f"{PROGRAM} history --json"))
    runs = [run for run in history["runs"] if run["evicted_entries"]]
    assert sum(run["evicted_entries"] for run in runs) == before - left
    assert sum(run["freed_bytes"] for run in runs) > 0
    assert {run["door"] for run in runs} == {"cli"}


def test_a_change_changes_what_it_must_and_the_same_again_nothing(
    on_host: Callable[..., str], role: Callable[..., list[str]]
) -> None:
    role(rules=POLICY)
    assert role(rules=POLICY) == []
    assert set(role(rules={"max_age": "9d"}, every="30m")) == {
        "Write the policy",
        "Write the timer",
        "Restart the timer",
    }
    assert json.loads(on_host("cat /etc/gofleet-cache/policy.json"))["policy"] == {"max_age": "9d"}
    assert "*:00/30:00" in on_host("systemctl show --property TimersCalendar gofleet-cache.timer")


def test_a_stop_is_clean_at_whatever_moment(on_host: Callable[..., str], role: Callable[..., list[str]]) -> None:
    role(rules={"max_age": "9d"}, every="30m")
    for pause in ("0", "0.05", "0.3"):
        on_host(
            f"systemctl start --no-block gofleet-cache.service; sleep {pause}; systemctl stop gofleet-cache.service"
        )
        assert on_host("systemctl is-failed gofleet-cache.service || true") == "inactive", pause
    assert on_host("pgrep -f '[g]ofleet-cache.pyz' || true") == ""
    assert "Traceback" not in on_host("journalctl --unit gofleet-cache.service --no-pager --output cat")


def test_cron_takes_the_timers_place_and_all_goes_but_the_journal(
    on_host: Callable[..., str], role: Callable[..., list[str]]
) -> None:
    role(rules={"max_age": "9d"}, backend="cron")
    assert PROGRAM in on_host("cat /etc/cron.d/gofleet-cache")
    assert on_host("systemctl list-units --all --no-legend 'gofleet-cache*'") == ""
    role(state="absent")
    assert on_host(SEEN) == ""
    assert on_host("systemctl list-units --all --no-legend 'gofleet-cache*'") == ""
    assert on_host("systemctl is-system-running || true") == "running"
    assert on_host("ls /var/lib/gofleet-cache") != ""
    assert role(state="absent", purge_state=True) == ["Remove the journal"]
    assert on_host("ls -d /var/lib/gofleet-cache 2>/dev/null || true") == ""
