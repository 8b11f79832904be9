# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import services

_UNIT = """[Unit]
Description=x
Environment=GOPROXY=https://not-in-service.example
[Service]
Environment=GOPROXY=https://u:s3cret@p.example "GOFLAGS=-mod=mod -v" 'GOPRIVATE=a b'
Environment=OTHER=x AWS_SECRET_ACCESS_KEY=y HTTPS_PROXY=http://u:p@proxy GOOGLE_API_KEY=z
User=root
"""


def _unit(root: pathlib.Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def _discover(root: pathlib.Path, *names: str, runners: bool = False) -> list[services.Service]:
    return services.discover(names, runners=runners, root=str(root))[0]


def test_only_what_go_reads_leaves_and_no_credential(tmp_path: pathlib.Path) -> None:
    _unit(tmp_path, "etc/systemd/system/ci.service", _UNIT)
    (service,) = _discover(tmp_path, "ci")
    assert service.environ == {
        "GOFLAGS": "-mod=mod -v",
        "GOPRIVATE": "a b",
        "GOPROXY": "https://***@p.example",
        "HOME": "/root",
    }
    assert service.proxies == ("HTTPS_PROXY",)
    assert (service.uid, service.state, service.kind) == (0, "configured", "systemd")
    assert "s3cret" not in repr(service)


def test_drop_ins_and_environment_files_come_in_systemds_order(tmp_path: pathlib.Path) -> None:
    _unit(tmp_path, "usr/lib/systemd/system/ci.service", "[Service]\nEnvironment=GOBIN=/0 GOVCS=v GOAUTH=a\n")
    _unit(tmp_path, "usr/lib/systemd/system/ci.service.d/20-x.conf", "[Service]\nEnvironment=GOBIN=/weak\n")
    _unit(tmp_path, "etc/systemd/system/ci.service.d/20-x.conf", "[Service]\nEnvironment=GOBIN=/20\n")
    _unit(
        tmp_path,
        "etc/systemd/system/ci.service.d/30-y.conf",
        "[Service]\nEnvironment=GOPATH=/30\nEnvironmentFile=/etc/ci.env\nEnvironmentFile=-/etc/none\n"
        "UnsetEnvironment=GOAUTH\n",
    )
    _unit(tmp_path, "etc/ci.env", '# c\nGOPATH=\'/file path\'\nGOFLAGS="-ldflags=\\"x\\""\nnonsense\n')
    (service,) = _discover(tmp_path, "ci.service")
    assert service.environ == {"GOBIN": "/20", "GOVCS": "v", "GOPATH": "/file path", "GOFLAGS": '-ldflags="x"'}
    assert service.problems == ()


def test_an_empty_assignment_resets_what_was_said_before(tmp_path: pathlib.Path) -> None:
    _unit(
        tmp_path,
        "etc/systemd/system/ci.service",
        "[Service]\nEnvironment=GOBIN=/a\nEnvironment=\nEnvironment=GOVCS=x\n",
    )
    assert _discover(tmp_path, "ci")[0].environ == {"GOVCS": "x"}


def test_templates_give_their_instances_settings(tmp_path: pathlib.Path) -> None:
    _unit(tmp_path, "etc/systemd/system/run@.service", "[Service]\nEnvironment=GOCACHE=/cache/%i GOBIN=/%p%%\n")
    assert _discover(tmp_path, "run@one")[0].environ == {"GOCACHE": "/cache/one", "GOBIN": "/run%"}


def test_a_missing_service_and_a_missing_file_are_told(tmp_path: pathlib.Path) -> None:
    _unit(tmp_path, "etc/systemd/system/ci.service", "[Service]\nEnvironmentFile=/etc/gone\n")
    gone, found = _discover(tmp_path, "nosuch", "ci")
    assert gone.state == "missing"
    assert "/etc/gone" in found.problems[0]
    assert _discover(tmp_path, "../../etc/passwd")[0].state == "missing"


def test_known_runners_are_found_by_the_names_of_their_units(tmp_path: pathlib.Path) -> None:
    for name in ("actions.runner.org-repo.host1", "gitlab-runner", "buildkite-agent", "sshd", "buildkite-agent@"):
        _unit(tmp_path, f"etc/systemd/system/{name}.service", "[Service]\n")
    names = [service.name for service in _discover(tmp_path, runners=True)]
    assert names == ["actions.runner.org-repo.host1.service", "buildkite-agent.service", "gitlab-runner.service"]


def test_the_env_file_of_a_github_runner_counts(tmp_path: pathlib.Path) -> None:
    runner = tmp_path / "runner"
    (runner / "bin").mkdir(parents=True)
    (runner / "bin" / "Runner.Listener").write_text("")
    (runner / ".env").write_text("LANG=C\nGOCACHE=/w/go-build\nGOPROXY=https://t:p@x\nTOKEN=s3cret\n=x\n")
    _unit(tmp_path, "etc/systemd/system/actions.runner.a.service", f"[Service]\nWorkingDirectory={runner}\n")
    (service,) = _discover(tmp_path, runners=True)
    assert service.environ == {"GOCACHE": "/w/go-build", "GOPROXY": "https://***@x"}
    assert str(runner / ".env") in service.sources


def test_gitlabs_shell_jobs_get_a_login_not_the_services_environment(tmp_path: pathlib.Path) -> None:
    text = '[Service]\nExecStart=/usr/bin/gitlab-runner "run" "--user" "root"\nEnvironment=GOCACHE=/only/service\n'
    _unit(tmp_path, "etc/systemd/system/gitlab-runner.service", text)
    (service,) = _discover(tmp_path, "gitlab-runner")
    assert "GOCACHE" not in service.environ
    assert (service.uid, service.environ["HOME"]) == (0, "/root")


def test_login_environment_is_what_pam_env_reads(tmp_path: pathlib.Path) -> None:
    _unit(tmp_path, "etc/environment", 'PATH=/bin\nGOPROXY="direct"\nexport GOSUMDB=off\nHOME=/x\nSECRET=1\n')
    assert services.login_environment(str(tmp_path)) == (
        {"GOPROXY": "direct", "GOSUMDB": "off"},
        [str(tmp_path) + "/etc/environment"],
    )
    assert services.login_environment(str(tmp_path / "none")) == ({}, [])


def test_environment_d_is_read_in_the_order_of_its_names(tmp_path: pathlib.Path) -> None:
    _unit(tmp_path, "etc/environment.d/10-a.conf", "GOPROXY=off\n")
    _unit(tmp_path, "usr/lib/environment.d/20-b.conf", "GOPROXY=direct\n")
    _unit(tmp_path, "etc/environment.d/30-c.txt", "GOPROXY=x\n")
    found = services.user_manager_environment(str(tmp_path))
    assert found is not None
    assert found.environ == {"GOPROXY": "direct"}
    assert services.user_manager_environment(str(tmp_path / "none")) is None


def test_a_fifo_in_the_place_of_an_environment_file_does_not_hang(tmp_path: pathlib.Path) -> None:
    _unit(tmp_path, "etc/systemd/system/ci.service", "[Service]\nEnvironmentFile=/etc/fifo\n")
    os.mkfifo(tmp_path / "etc" / "fifo")
    assert "not a regular file" in _discover(tmp_path, "ci")[0].problems[0]


def test_the_environment_of_a_running_runner_is_seen(tmp_path: pathlib.Path) -> None:
    # A process whose comm is that of GitHub's runner.
    program = tmp_path / "Runner.Listener"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    (tmp_path / ".runner").write_text("{}")
    (tmp_path / ".env").write_text("GOFLAGS=-v\n")
    environ = {"GOCACHE": "/runner/cache", "HOME": "/runner", "MY_TOKEN": "s3cret", "GOPROXY": "https://a:b@c"}
    process = subprocess.Popen([str(program), "60"], env=environ, cwd=str(tmp_path))
    try:
        # The kernel shows a new program's name a moment before its environment.
        deadline = time.monotonic() + 10
        while not pathlib.Path(f"/proc/{process.pid}/environ").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)
        found = [row for row in services.running_runners()[0] if row.pid == process.pid]
    finally:
        process.kill()
        process.wait()
    assert [(row.name, row.uid, row.state) for row in found] == [("github-runner", os.geteuid(), "running")]
    assert found[0].environ == {
        "GOCACHE": "/runner/cache",
        "GOFLAGS": "-v",
        "GOPROXY": "https://***@c",
        "HOME": "/runner",
    }


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\x00\n\r\\\"'"), min_size=1), max_size=5))
def test_quoted_words_come_out_as_they_went_in(words: list[str]) -> None:
    assert services.split_words(" ".join(f'"{word}"' for word in words)) == words


@given(st.text(max_size=60))
def test_no_text_breaks_the_readers(text: str) -> None:
    services.split_words(text)
    services.parse_environment_file(text)
    services.parse_runner_env(text)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_the_scan_of_processes_is_quick() -> None:
    found, notes = services.running_runners()
    assert notes == []
    assert isinstance(found, list)
