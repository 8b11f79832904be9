# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import base, github

# As env.sh of the runner writes it.
ENV = b"LANG=en_US.UTF-8\nJAVA_HOME=/usr/lib/jvm/java-17\nACTIONS_RUNNER_HOOK_JOB_STARTED=/opt/hook.sh\n"
NAMES = st.sampled_from(["GOPROXY", "GOFLAGS", "LANG", "A", "B1"])
VALUES = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=12)


def test_a_line_is_changed_in_its_place_and_a_new_one_goes_to_the_end() -> None:
    done = github.edit(ENV, "", {"LANG": "C.UTF-8", "GOPROXY": "https://proxy.example.com,direct", "X": None})
    assert done == ENV.replace(b"en_US.UTF-8", b"C.UTF-8") + b"GOPROXY=https://proxy.example.com,direct\n"


def test_lines_are_read_as_the_listener_reads_them() -> None:
    data = "\ufeffA='x'\r\n#B=1\r=no\nnone\nC= d = e \nA=last\nE=\u2028$HOME\n\nF=".encode("utf-8")
    assert github.read(data, "") == {"A": "last", "#B": "1", "C": " d = e ", "E": "\u2028$HOME", "F": ""}


def test_a_new_file_is_made_and_leaves_no_trace_when_its_lines_are_gone() -> None:
    done = github.edit(None, "", {"GOPROXY": "off"})
    assert done == b"GOPROXY=off\n"
    assert github.edit(done, "", {"GOPROXY": None}) is None
    assert github.edit(None, "", {"GOPROXY": None}) is None
    assert github.edit(b"", "", {"GOPROXY": None}) == b""


@pytest.mark.parametrize("data", [b"A=1", b"A=1\r\n", b"A=1\r\nB=2", b"\xef\xbb\xbfA=1\n\n", b"A=1\rB=2\r"])
def test_line_ends_a_byte_order_mark_and_a_missing_last_newline_stay(data: bytes) -> None:
    done = github.edit(data, "", {"GOPROXY": "off", "GOSUMDB": "off"})
    assert done is not None
    assert done.startswith(data)
    assert done.endswith(b"\n") == data.endswith(b"\n")
    assert b"\n" not in done.replace(b"\r\n", b"") or b"\r\n" not in data
    assert github.edit(done, "", {"GOPROXY": None, "GOSUMDB": None}) == data


@given(
    st.lists(st.sampled_from(["LANG=C", "A=1", "# A=2", "", "x", "=y", "A=é=", "PATH+X=1"]), max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.dictionaries(NAMES, st.none() | VALUES, max_size=4),
)
def test_an_edit_gives_what_was_wanted_and_changes_nothing_else(
    lines: List[str], end: str, ended: bool, changes: Dict[str, Optional[str]]
) -> None:
    data = (end.join(lines) + (end if ended and lines else "")).encode("utf-8")
    done = github.edit(data, "", changes) or b""
    before = github.read(data, "")
    want = {name: value for name, value in {**before, **changes}.items() if value is not None}
    assert github.read(done, "") == want
    assert (github.edit(done, "", changes) or b"") == done

    def others(text: bytes) -> List[str]:
        rows = re.split("\r\n|\n|\r", text.decode("utf-8"))
        return [row for row in rows if row and row.split("=")[0] not in changes]

    assert others(data) == others(done)
    if not set(before) & set(changes) and data:
        assert github.edit(done, "", dict.fromkeys(changes)) == data


@pytest.mark.parametrize(("name", "value"), [("A", "b\nc"), ("A", "b\rc"), ("A=B", "c"), ("A", "\0")])
def test_what_no_line_can_hold_is_refused(name: str, value: str) -> None:
    with pytest.raises(base.BadPlace):
        github.edit(b"", "", {name: value})


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(base.BadPlace, match="byte 2"):
        github.edit(b"A=\xff\n", "", {"B": "c"})


def test_each_runner_is_a_place_with_its_service_and_its_containers_are_not_reached(tmp_path: Path) -> None:
    for number, service in ((1, "actions.runner.org-repo.host1.service\n"), (2, "")):
        folder = tmp_path / ("opt/actions-runner-%d" % number)
        folder.mkdir(parents=True)
        (folder / ".runner").write_text(
            '\ufeff{"agentName": "host%d", "gitHubUrl": "x", "workFolder": "_work"}' % number
        )
        if service:
            (folder / ".service").write_text(service)
    found = github.KIND.find(base.Request(root=str(tmp_path)))
    assert [(place.path, place.service, place.where_jobs_run) for place in found.places] == [
        (str(tmp_path / "opt/actions-runner-1/.env"), "actions.runner.org-repo.host1.service", "host"),
        (str(tmp_path / "opt/actions-runner-2/.env"), "", "host"),
    ]
    assert found.places[0].then == "systemctl restart actions.runner.org-repo.host1.service"
    assert "actions-runner-2" in found.places[1].then
    assert [row.who for row in found.not_reached] == [
        "containers of the GitHub Actions runner host1",
        "containers of the GitHub Actions runner host2",
    ]
    only = github.KIND.find(base.Request(root=str(tmp_path), names=("host2",)))
    assert [place.path for place in only.places] == [found.places[1].path]


def test_the_unit_is_found_by_its_folder_where_the_runner_does_not_name_it(tmp_path: Path) -> None:
    folder = tmp_path / "azp/agent"
    folder.mkdir(parents=True)
    (folder / ".agent").write_text('{"agentName": "box", "poolId": 1, "workFolder": "_work"}')
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "vsts.agent.org.pool.box.service").write_text(
        "[Service]\nExecStart=/azp/agent/runsvc.sh\nWorkingDirectory=/azp/agent\n"
    )
    found = github.AZURE.find(base.Request(root=str(tmp_path)))
    assert [(place.kind, place.path, place.service) for place in found.places] == [
        ("azure", str(folder / ".env"), "vsts.agent.org.pool.box.service")
    ]
    assert not github.KIND.find(base.Request(root=str(tmp_path))).places


@pytest.mark.parametrize("text", ["../x.service", "a b.service", "x.service\ny.service", "x"])
def test_a_unit_name_that_is_none_is_not_handed_on(tmp_path: Path, text: str) -> None:
    (tmp_path / ".service").write_text(text)
    found = github.KIND.find(base.Request(paths=(str(tmp_path / ".env"),)))
    assert [place.service for place in found.places] == [""]


class _Process(NamedTuple):
    folder: Path

    def add(self, pid: int, uid: int, *argv: str) -> None:
        """A process that the host seems to have."""
        place = self.folder / "proc" / str(pid)
        place.mkdir(parents=True)
        (place / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv))
        (place / "root").symlink_to(self.folder)
        os.chown(place, uid, uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for other accounts")
def test_a_process_of_somebody_else_names_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "srv/runner").mkdir(parents=True)
    os.chown(tmp_path / "srv/runner", 54321, 54321)
    processes = _Process(tmp_path)
    processes.add(11, 54321, "/etc/bin/Runner.Listener", "run")
    processes.add(12, 54321, "/srv/runner/bin/Runner.Listener", "run")
    found = github.KIND.find(base.Request(root=str(tmp_path)))
    assert [place.path for place in found.places] == [str(tmp_path / "srv/runner/.env")]
    strange = [row for row in found.not_reached if "uid 54321" in row.why]
    assert [row.who for row in strange] == ["jobs of the GitHub Actions runner in %s/etc" % tmp_path]
    processes.add(13, 0, "/etc/bin/Runner.Listener", "run")
    found = github.KIND.find(base.Request(root=str(tmp_path)))
    assert str(tmp_path / "etc/.env") in [place.path for place in found.places]


def test_a_runner_names_no_service_of_others_to_be_started_again(tmp_path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for name, folder in (("actions.runner.x.service", "/opt/actions-runner-1"), ("sshd.service", "/")):
        (units / name).write_text("[Service]\nExecStart=/bin/true\nWorkingDirectory=%s\n" % folder)
    (tmp_path / "etc/passwd").write_text("ci:x:1000:1000::/home/ci:/bin/sh\n")
    own = tmp_path / "home/ci/.config/systemd/user"
    own.mkdir(parents=True)
    (own / "postgresql.service").write_text("[Service]\nWorkingDirectory=/home/ci/actions-runner\n")
    for name, service in (
        ("opt/actions-runner-1", ""),
        ("opt/actions-runner-2", "sshd.service"),
        ("opt/actions-runner-3", "actions.runner.x.service"),
        ("home/ci/actions-runner", "cron.service"),
    ):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / ".runner").write_text('{"agentName": "a", "gitHubUrl": "x"}')
        (folder / ".service").write_text(service)
    found = github.KIND.find(base.Request(root=str(tmp_path)))
    assert {place.path[len(str(tmp_path)) :]: place.service for place in found.places} == {
        "/opt/actions-runner-1/.env": "actions.runner.x.service",
        "/opt/actions-runner-2/.env": "",
        "/opt/actions-runner-3/.env": "",
        "/home/ci/actions-runner/.env": "",
    }
