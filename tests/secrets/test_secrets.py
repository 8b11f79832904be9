# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A password in every place that can hold one, and every playbook at its loudest, also where it fails: it is nowhere.

Everything runs with an ``/etc``, an account and a home of its own, in a mount namespace that ends with the test.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from ansible_collections.gofleet.cache.tests.fixtures import goproxy, mountspace, synthetic

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
CANARY = "canary-Pa55word"
UID = 61234

#: The account's home in the house, where it may go to: the folders of a test are its owner's alone.
HOME = pathlib.Path("/srv")

_MOUNTS = 'for place in etc opt srv; do mount --bind "$0/$place" "/$place"; done; exec "$@"'

#: What makes each playbook fail, as variables on top of the usual ones.
FAILING: dict[str, dict[str, Any]] = {
    "configure": {"go_config_goproxy": f"https://ci:{CANARY}@proxy.example.com,direct"},
    "proxy_doctor": {"gofleet_proxy_fail_on": "degraded"},
    "purge": {"cache_policy_paths": ["/etc"]},
    "schedule": {"cache_schedule_every": "7m"},
    "survey": {"cache_policy_paths": ["/etc"]},
    "undo": {"gofleet_cache_undo_run": "000000000000"},
    "verify": {"cache_policy_paths": ["/etc"], "cache_verify_paths": ["/etc"]},
}


def _spellings(secret: str) -> list[str]:
    """The secret as it is, and as headers carry it, with any bytes before it."""
    found = [secret]
    for shift in range(3):
        coded = base64.b64encode(b"x" * shift + secret.encode()).decode()
        found.append(coded[4 if shift else 0 : -4])
    return found


class House:
    """An agent whose every corner holds the password."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.home = top / "srv"
        self.etc = top / "etc"
        self.reports = top / "reports"
        (top / "opt").mkdir()
        self.reports.mkdir()
        self.state = top / "state"
        goproxy.make_proxy(self.home / "proxy", big=5)
        url = f"https://ci:{CANARY}@127.0.0.1:1"
        shutil.copytree("/etc", self.etc, symlinks=True, ignore_dangling_symlinks=True)
        with open(self.etc / "passwd", "a", encoding="utf-8") as stream:
            stream.write(f"ci:x:{UID}:{UID}::{HOME}:/bin/bash\n")
        with open(self.etc / "group", "a", encoding="utf-8") as stream:
            stream.write(f"ci:x:{UID}:\n")
        self._write(self.etc / "environment", f"HTTPS_PROXY=http://u:{CANARY}@127.0.0.1:2\nNO_PROXY=127.0.0.1\n")
        self._write(self.etc / "profile.d/go.sh", f"export GOPROXY={url}\n")
        self._write(self.etc / "environment.d/10-go.conf", f"GOPROXY={url}\n")
        unit = "[Service]\nUser=ci\nExecStart=/usr/bin/gitlab-runner run\nEnvironment=%s\nEnvironmentFile=%s\n"
        extra = self._write(self.etc / "ci.env", f"GOPROXY={url}\nGOAUTH=helper --token {CANARY}\n")
        self._write(
            self.etc / "systemd/system/gitlab-runner.service", unit % (f"HTTP_PROXY=http://u:{CANARY}@h", extra)
        )
        self._write(
            self.etc / "gitlab-runner/config.toml",
            f"""
            [[runners]]
              name = "one"
              token = "{CANARY}"
              executor = "docker"
              environment = ["GOPROXY={url}", "TOKEN={CANARY}"]
            """,
            0o600,
        )
        self._write(self.etc / "buildkite-agent/buildkite-agent.cfg", f'token="{CANARY}"\n')
        self._write(self.etc / "buildkite-agent/hooks/environment", f"export GOPROXY={url}\n", 0o755)
        env = f"GOPROXY=file://{HOME}/proxy|{url}\nGOSUMDB=sum.golang.org {url}\nGOAUTH=netrc;/bin/h --token {CANARY}\n"
        self._write(self.home / ".config/go/env", env)
        self._write(self.home / ".netrc", f"machine 127.0.0.1:1 login ci password {CANARY}\n", 0o600)
        self._write(
            self.home / ".gitconfig", f'[url "https://tok:{CANARY}@git.example.com/"]\n  insteadOf = ssh://x/\n'
        )
        runner = self.home / "actions-runner"
        self._write(runner / ".env", f"GOPROXY={url}\n")
        self._write(runner / ".runner", json.dumps({"agentName": "r", "workFolder": "_work"}))
        self._write(runner / ".credentials", json.dumps({"data": {"token": CANARY}}), 0o600)
        self._caches()
        for path in [self.home, *self.home.rglob("*")]:
            os.lchown(path, UID, UID)

    @staticmethod
    def _write(path: pathlib.Path, text: str, mode: int = 0o644) -> pathlib.Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        path.chmod(mode)
        return path

    def _caches(self) -> None:
        cache = synthetic.Build(self.home / ".cache/go-build")
        for number in range(20):
            cache.put(synthetic.sha(str(number)), b"x" * 5000, 90 * synthetic.DAY)

    def planted(self) -> list[pathlib.Path]:
        """The files that hold the password."""
        files = [p for place in (self.home, self.etc) for p in place.rglob("*") if p.is_file() and not p.is_symlink()]
        return [path for path in files if CANARY.encode() in path.read_bytes()]

    def run(self, playbook: pathlib.Path, variables: dict[str, Any], *options: str) -> tuple[int, str]:
        """Runs one playbook in the house, at its loudest. Returns its exit status and all that it said."""
        extra = self.top / "variables.json"
        extra.write_text(json.dumps(variables), encoding="utf-8")
        keep = ("PATH", "LANG", "ANSIBLE_COLLECTIONS_PATH", "GOFLEET_TEST_GO", "PYTHONPATH")
        environ = {name: os.environ[name] for name in keep if name in os.environ}
        environ.update(
            HOME=str(self.top / "controller"),
            GOFLEET_CACHE_STATE=str(self.state),
            GOPROXY=f"https://env:{CANARY}@127.0.0.1:3",
            HTTPS_PROXY=f"http://u:{CANARY}@127.0.0.1:4",
            CI_JOB_TOKEN=CANARY,
            ANSIBLE_LOCALHOST_WARNING="false",
        )
        command = [
            *("unshare", "-m", "sh", "-ec", _MOUNTS, str(self.top)),
            *(str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-vvv", "--diff"),
            *("-i", "agent-1,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"),
            *("-e", f"@{extra}", *options, str(playbook)),
        ]
        done = subprocess.run(
            command, cwd=self.top, env=environ, capture_output=True, text=True, check=False, timeout=300
        )
        return done.returncode, done.stdout + done.stderr

    def check(self, said: str) -> None:
        """Fails where the password came out, into what was said or into a file that was not there before."""
        spellings = _spellings(CANARY)
        for line in said.splitlines():
            assert not any(spelling in line for spelling in spellings), f"it was said: {line[:2000]}"
        for place in (self.reports, self.state, self.top / "controller"):
            for path in [p for p in place.rglob("*") if p.is_file()]:
                data = path.read_bytes()
                assert not any(spelling.encode() in data for spelling in spellings), f"{path} holds it"


@pytest.fixture
def house(tmp_path: pathlib.Path) -> House:
    if not mountspace.available():
        pytest.skip("needs root: mounts in a namespace of their own")
    made = House(tmp_path)
    assert len(made.planted()) >= 12, "the house is full of it"
    return made


def _usual(house: House) -> dict[str, Any]:
    place = str(HOME / ".cache/go-build")
    return {
        "cache_policy_discover": False,
        "cache_policy_paths": [place],
        "cache_policy_rules": {"max_age": "30d", "quarantine": "1h", "private": []},
        "cache_verify_discover": False,
        "cache_verify_paths": [place],
        "cache_verify_canary": False,
        "gofleet_cache_report_dir": str(house.reports),
        "gofleet_cache_confirm": "1",
        "cache_schedule_backend": "cron",
        "cache_schedule_python": sys.executable,
        "cache_schedule_path": "/opt/gofleet-cache/lib",
        "cache_schedule_launcher": "/opt/gofleet-cache/gofleet-cache",
        "gofleet_proxy_account": "ci",
        "gofleet_proxy_canaries": ["example.com/lib@v0.1.0"],
        "gofleet_proxy_fail_on": "never",
        "gofleet_proxy_history": str(house.reports / "history.jsonl"),
        "gofleet_proxy_report": str(house.reports / "doctor.json"),
        "gofleet_proxy_samples": 0,
        "go_config_accounts": ["ci"],
        "go_config_services": ["gitlab-runner"],
        "go_config_settings": {"GOTOOLCHAIN": "local"},
        "go_config_absent": ["GOSUMDB"],
        "go_config_job_places": [{"kind": "auto"}],
        "go_config_known_hosts": [
            {
                "host": "git.example.com",
                "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGgUpvkiDLqG31nhay8deJWi0QtDaHT81f0e5NT+HzVX",
            }
        ],
        "go_config_git_http_proxy": "http://proxy.example.com:3128",
    }


#: Tasks that are given the password, and whether they fail.
TASKS: list[tuple[bool, str, dict[str, Any]]] = [
    (False, "netrc_entry", {"machine": "proxy.example.com:8443", "login": "ci", "password": "{{ secret }}"}),
    (False, "netrc_entry", {"machine": "127.0.0.1:1", "state": "absent"}),
    (True, "netrc_entry", {"machine": "https://ci:{{ secret }}@proxy.example.com", "login": "ci", "password": "x"}),
    (True, "netrc_entry", {"machine": "proxy.example.com", "login": "ci", "password": "two words {{ secret }}"}),
    (False, "goauth_entry", {"url": "https://proxy.example.com/a", "login": "ci", "token": "{{ secret }}"}),
    (False, "goauth_entry", {"url": "https://proxy.example.com/b", "header": "PRIVATE-TOKEN", "token": "{{ secret }}"}),
    (True, "goauth_entry", {"url": "https://ci:{{ secret }}@proxy.example.com", "login": "ci", "token": "x"}),
    (True, "goauth_entry", {"url": "https://proxy.example.com", "login": "ci", "token": "a\n{{ secret }}"}),
    (True, "go_env", {"settings": {"GOPROXY": "https://ci:{{ secret }}@proxy.example.com"}}),
    (True, "go_env", {"settings": {"GOAUTH": "https://ci:{{ secret }}@proxy.example.com"}}),
    (False, "job_env", {"kinds": ["auto"]}),
    (False, "job_env", {"kinds": ["gitlab"], "settings": {"GOFLAGS": "-mod=readonly", "GOPROXY": "off"}}),
    (True, "job_env", {"kinds": ["gitlab"], "settings": {"HTTPS_PROXY": "http://u:{{ secret }}@proxy.example.com"}}),
    (
        True,
        "git_access",
        {"instead_of": [{"prefix": "https://a.example.com/", "use": "https://{{ secret }}@b.example.com/"}]},
    ),
    (True, "git_access", {"http_proxy": "http://u:{{ secret }}@proxy.example.com"}),
    (
        True,
        "job_env",
        {"kinds": ["jenkins"], "url": "http://127.0.0.1:1", "username": "ci", "token": "{{ secret }}", "settings": {}},
    ),
    (True, "job_env", {"kinds": ["jenkins"], "url": "http://ci:{{ secret }}@127.0.0.1:1"}),
    (True, "go_proxy_info", {"goproxy": "https://ci:{{ secret }}@127.0.0.1:1"}),
    (False, "go_proxy_info", {"environment": {"GOPROXY": "https://ci:{{ secret }}@127.0.0.1:1", "GOSUMDB": "off"}}),
    (False, "go_env", {"settings": {"GOPROXY": "off"}}),
    (False, "settings_undo", {"run": "all"}),
    (False, "go_env_info", {}),
    (False, "go_proxy_info", {"goproxy": "off"}),
]
_OF_ACCOUNT = ("netrc_entry", "goauth_entry", "go_env", "git_access", "go_proxy_info")


@pytest.mark.parametrize("check", [True, False])
def test_no_module_tells_the_password_that_it_is_given(house: House, check: bool) -> None:
    tasks = []
    for number, (fails, module, options) in enumerate(TASKS):
        given = dict(options, account="ci") if module in _OF_ACCOUNT else options
        name = f"task_{number}"
        tasks.append({"name": name, f"gofleet.cache.{module}": given, "register": name, "ignore_errors": True})
        that = [f"{name} is {'failed' if fails else 'not failed'}"]
        tasks.append({"name": f"{name} ended as it should", "ansible.builtin.assert": {"that": that}})
    playbook = house.top / "modules.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    status, said = house.run(playbook, {"secret": CANARY}, *(["--check"] if check else []))
    house.check(said)
    assert status == 0, said[-3000:]
    record = house.state / "settings.jsonl"
    kinds = {json.loads(line).get("kind") for line in record.read_text("utf-8").splitlines()} if not check else set()
    assert check or kinds >= {"go_env", "goauth", "netrc"}, "the tasks did what they say"
    assert b"proxy.example.com:8443" not in (house.home / ".netrc").read_bytes(), "and took it back"


@pytest.mark.parametrize("playbook", PLAYBOOKS)
@pytest.mark.parametrize("mode", ["check", "real", "failing"])
def test_no_playbook_tells_a_password(house: House, playbook: str, mode: str) -> None:
    variables = _usual(house)
    if mode == "failing":
        variables.update(FAILING[playbook])
    status, said = house.run(
        ROOT / "playbooks" / f"{playbook}.yml", variables, *(["--check"] if mode == "check" else [])
    )
    house.check(said)
    assert "PLAY RECAP" in said, said
    if playbook == "proxy_doctor" or (playbook == "configure" and mode != "failing"):
        assert "***@127.0.0.1:1" in said, "the settings that hold it were looked at"
    assert (status != 0) == (mode == "failing"), said[-3000:]
