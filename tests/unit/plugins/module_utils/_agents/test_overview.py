# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils import _agents
from ansible_collections.gofleet.cache.plugins.module_utils._agents import _base


def test_all_systems_of_a_host_come_together_each_with_its_evidence(host: Any) -> None:
    host.write(
        "/etc/gitlab-runner/config.toml", '[[runners]]\nexecutor = "shell"\nbuilds_dir = "/srv/b"\ntoken = "SECRET"\n'
    )
    host.write("/home/runner/actions-runner/.runner", '{"agentName": "x", "workFolder": "/srv/b"}')
    host.process(["java", "-jar", "agent.jar", "-secret", "SECRET", "-workDir", "/srv/j"])
    host.write("/etc/buildkite-agent/buildkite-agent.cfg", "token=SECRET\nbuild-path=/srv/k\n")
    found = _agents.inspect(host.root)
    assert found.systems == ["buildkite", "github", "gitlab", "jenkins"]
    # a folder that two systems name is searched once
    assert [root.path for root in found.roots].count(host.path("/srv/b")) == 1
    assert "SECRET" not in repr(found)
    assert _agents.is_ci_host(host.root) == found.evidence
    assert [root.path for root in _agents.search_roots(host.root)] == [root.path for root in found.roots]


def test_a_unit_that_cannot_be_read_is_reported(host: Any) -> None:
    host.write("/etc/systemd/system/x.service", "[Service]\nExecStart=/bin/x\n" + "#" * (_base.FILE_LIMIT + 1))
    assert [item.code for item in _agents.inspect(host.root).findings] == ["unreadable"]


def test_masked_and_dangling_units_are_no_problem(host: Any) -> None:
    host.folder("/etc/systemd/system")
    os.symlink("/dev/null", host.path("/etc/systemd/system/gitlab-runner.service"))
    os.symlink("/nowhere", host.path("/etc/systemd/system/jenkins.service"))
    found = _agents.inspect(host.root)
    assert (found.evidence, found.findings) == ([], [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://proxy.example.com,direct", "https://proxy.example.com,direct"),
        ("https://u:p@proxy.example.com/x,direct", "https://***@proxy.example.com/x,direct"),
        ("https://u:p@ss@h/x|https://t@h2", "https://***@h/x|https://***@h2"),
        ("https://h/x?token=abc&y=1", "https://h/x?token=***&y=1"),
        ("file:///srv/proxy", "file:///srv/proxy"),
    ],
)
def test_credentials_are_cut_out_of_urls(value: str, expected: str) -> None:
    assert _base.redact(value) == (expected, value != expected)


@given(
    st.text(
        alphabet=st.characters(blacklist_characters="/*", blacklist_categories=("Zs", "Zl", "Zp", "Cc", "Cs")),
        min_size=1,
    )
)
def test_no_password_survives_redaction(password: str) -> None:
    value = "https://name:%s@proxy.example.com/path" % password
    assert _base.redact(value)[0] == "https://***@proxy.example.com/path"


@pytest.mark.parametrize(
    ("text", "values", "unknown"),
    [
        ("A=1\nexport B='x y'\n", {"A": "1", "B": "x y"}, []),
        ('A="x $HOME"\n', {}, ["A"]),
        ("A=/srv\nB=$A/x\nC=${A}y\n", {"A": "/srv", "B": "/srv/x", "C": "/srvy"}, []),
        ("A=$(id)\n", {}, ["A"]),
        ("A=1\nA=2\n", {}, ["A"]),
        ("  A=1\n", {}, ["A"]),
        ("A=1 make\n", {}, ["A"]),
        ("A='$X'\n", {"A": "$X"}, []),
        ("A=1 # why\n", {"A": "1"}, []),
        ("A='\n", {}, ["A"]),
        ("A=1; B=2\n", {}, ["A"]),
        ("# A=1\nnonsense\n", {}, []),
        ("A=\n", {"A": ""}, []),
    ],
)
def test_only_assignments_that_can_be_known_are_taken_from_a_script(text: str, values: Any, unknown: Any) -> None:
    assert _base.parse_shell_assignments(text) == (values, unknown)


@given(st.text(max_size=80))
def test_no_text_breaks_the_readers_of_scripts_units_and_env_files(text: str) -> None:
    values, unknown = _base.parse_shell_assignments(text)
    assert not set(values) & set(unknown)
    assert all(isinstance(lines, list) for lines in _base.parse_unit([text]).values())
    assert all(name for name in _base.parse_env_lines(text))


def test_an_empty_assignment_in_a_drop_in_drops_what_came_before() -> None:
    texts = [
        "[Service]\nEnvironment=A=1\nEnvironment=B=2\n",
        "[Service]\nEnvironment=\nEnvironment=C=\\\n3\n[X]\nUser=x\n",
    ]
    assert _base.parse_unit(texts) == {"Environment": ["C= 3"]}


def test_a_prefix_cannot_be_left_by_dots(host: Any) -> None:
    assert _base.Host(host.root).path("/../../etc/passwd") == host.path("/etc/passwd")


def test_files_that_are_too_long_or_not_utf8_are_refused_without_their_text(tmp_path: Any) -> None:
    long = tmp_path / "long"
    long.write_bytes(b"SECRET" * 10)
    with pytest.raises(_base.Unreadable) as caught:
        _base.read_text(str(long), limit=59)
    assert "SECRET" not in str(caught.value)
    assert _base.read_text(str(long), limit=60) == "SECRET" * 10
    odd = tmp_path / "odd"
    odd.write_bytes(b"\xffSECRET")
    with pytest.raises(_base.Unreadable, match="not UTF-8"):
        _base.read_text(str(odd))
    with pytest.raises(FileNotFoundError):
        _base.read_text(str(odd) + "/below")


def test_this_machine_can_be_inspected_by_any_account() -> None:
    found = _agents.inspect("/")
    assert all(root.path.startswith("/") for root in found.roots)
