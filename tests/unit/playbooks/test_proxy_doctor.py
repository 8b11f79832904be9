# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook proxy_doctor, run on this machine."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any, Iterator

import pytest
import yaml

from ansible_collections.gofleet.cache.tests.fixtures import fault_proxy, goproxy

COLLECTION = pathlib.Path(os.path.abspath(goproxy.__file__)).parents[2]
LIB = "example.com/lib@v0.1.0"
PASSWORD = "canary-Pa55word-of-the-tests"


class Fleet:
    """Agents that are all this machine."""

    def __init__(self, top: pathlib.Path, proxy: goproxy.Proxy, url: str) -> None:
        self.top = top
        self.proxy = proxy
        self.url = url
        self.hosts: dict[str, dict[str, Any]] = {}

    def run(self, *options: str, **extra: Any) -> tuple[int, str]:
        """Runs the playbook; its exit code and what it printed."""
        shared = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        given = {"gofleet_proxy_canaries": [LIB], "gofleet_proxy_samples": 2, "gofleet_proxy_time_limit": "20s"}
        inventory = {"all": {"hosts": self.hosts, "vars": dict(shared, **given)}}
        (self.top / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        environ = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("ANSIBLE_")
            and key.lower() not in ("http_proxy", "https_proxy", "no_proxy", "goproxy")
        }
        environ.update(
            ANSIBLE_COLLECTIONS_PATH=str(COLLECTION.parents[2]),
            ANSIBLE_HOME=str(self.top / "ansible"),
            ANSIBLE_NOCOLOR="1",
            PWD=str(self.top),
            ANSIBLE_RETRY_FILES_ENABLED="0",
        )
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(self.top / "inventory.yml")]
        command += ["gofleet.cache.proxy_doctor", *options] + (["-e", json.dumps(extra)] if extra else [])
        done = subprocess.run(
            command,
            cwd=self.top,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def fleet(tmp_path: pathlib.Path) -> Iterator[Fleet]:
    proxy = goproxy.make_proxy(tmp_path / "modules", big=5)
    with fault_proxy.serve(proxy) as running:
        yield Fleet(tmp_path, proxy, running.url)


def _home(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """All agents are this machine, so they share the caller's home."""
    env = fleet.top / "home/.config/go/env"
    env.parent.mkdir(parents=True, exist_ok=True)
    env.write_text("GOPROXY=%s\nGOSUMDB=off\n" % value, encoding="utf-8")
    monkeypatch.setenv("HOME", str(fleet.top / "home"))


def test_it_shows_recommends_remembers_and_reports(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    _home(fleet, monkeypatch, fleet.url + "/ok,off")
    fleet.hosts = {"a1": {}, "a2": {}, "b1": {"gofleet_proxy_site": "berlin"}}
    extra = {
        "gofleet_proxy_candidates": [fleet.url + "/ok", fleet.url + "/st/500", fleet.proxy.url],
        "gofleet_proxy_last": "off",
        "gofleet_proxy_history": "history.jsonl",
        "gofleet_proxy_report": "report.json",
        "gofleet_proxy_history_keep": 3,
    }
    before = sorted(str(path) for path in (fleet.top / "home").rglob("*"))
    code, text = fleet.run(**extra)
    assert code == 0, text
    assert "a1 +2" in text
    assert "site berlin: recommended: " in text
    assert "--limit b1 " in text
    assert "left out: %s/st/500" % fleet.url in text
    report = json.loads((fleet.top / "report.json").read_text(encoding="utf-8"))
    assert report["verdicts"] == {"a1": "ok", "a2": "ok", "b1": "ok"}
    assert set(report["sites"]) == {"all", "berlin"}
    assert report["agents"]["a1"]["explain"][0]["verdict"] == "served"
    code, text = fleet.run("--check", **extra)
    assert code == 0, text
    history = (fleet.top / "history.jsonl").read_text(encoding="utf-8")
    assert history.count("\n") == 2, "check mode remembers nothing"
    code, text = fleet.run(**extra)
    history = (fleet.top / "history.jsonl").read_text(encoding="utf-8")
    assert history.count("\n") == 3
    assert "changed=0" in text
    assert sorted(str(path) for path in (fleet.top / "home").rglob("*") if ".ansible" not in str(path)) == before


@pytest.mark.parametrize(
    ("value", "fail_on", "code"),
    [("none", "broken", 2), ("none", "never", 0), ("both", "broken", 0), ("both", "degraded", 2)],
)
def test_the_exit_status_says_whether_modules_come(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, value: str, fail_on: str, code: int
) -> None:
    chain = {"none": "%s/st/500,off" % fleet.url, "both": "%s/st/500|%s/ok" % (fleet.url, fleet.url)}[value]
    _home(fleet, monkeypatch, chain)
    fleet.hosts = {"a1": {}}
    found, text = fleet.run(gofleet_proxy_fail_on=fail_on)
    assert found == code, text
    assert ("1 broken" if value == "none" else "1 degraded") in text


def test_an_agent_that_is_not_there_is_told_and_fails(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    _home(fleet, monkeypatch, fleet.url + "/ok")
    fleet.hosts = {"a0": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}, "a1": {}}
    code, text = fleet.run()
    assert code != 0
    assert "a0: UNREACHABLE: " in text
    assert "1 ok, 1 unreachable" in text
    assert "a1                         : ok=" in text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gofleet_proxy_candidate", ["https://a.test"], "does not know gofleet_proxy_candidate;"),
        ("gofleet_proxy_policy", "loose", "gofleet_proxy_policy"),
        ("gofleet_proxy_candidates", ["https://u:%s@a.test" % PASSWORD], "holds credentials"),
    ],
)
def test_what_is_misspelt_or_wrong_is_refused_before_anybody_is_asked(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, words: str
) -> None:
    _home(fleet, monkeypatch, fleet.url + "/ok")
    fleet.hosts = {"a1": {}}
    code, text = fleet.run(**{name: value})
    assert code != 0
    assert words in text
    assert "TASK [Ask]" not in text
    assert PASSWORD not in text


def test_no_secret_comes_out(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    _home(fleet, monkeypatch, "%s/echo|%s/ok" % (fleet.url.replace("//", "//ci:%s@" % PASSWORD), fleet.url))
    (fleet.top / "home/.netrc").write_text("machine 127.0.0.1 login ci password %s\n" % PASSWORD, encoding="utf-8")
    (fleet.top / "home/.gitconfig").write_text(
        '[url "https://ci:%s@x.test/"]\n insteadOf = https://git.test/\n' % PASSWORD, encoding="utf-8"
    )
    fleet.hosts = {"a1": {}}
    extra = {
        "gofleet_proxy_history": "h.jsonl",
        "gofleet_proxy_report": "r.json",
        "gofleet_proxy_explain": ["git.test/a.git@v1.0.0"],
    }
    _code, text = fleet.run("-vvv", "--diff", gofleet_proxy_direct=True, **extra)
    assert "git.test/a.git@v1.0.0" in text, text.replace(PASSWORD, "SECRET")
    for place in (text, *((fleet.top / name).read_text(encoding="utf-8") for name in ("h.jsonl", "r.json"))):
        assert PASSWORD not in place
