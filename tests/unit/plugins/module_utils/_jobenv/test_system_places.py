# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places of the system: what is written is what systemd and shells read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import services
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import (
    base,
    environment_d,
    plain,
    profile_d,
    systemd,
)

GENERATOR = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"
ALL = [systemd.KIND, environment_d.KIND, profile_d.KIND, plain.KIND]

VALUES = st.one_of(
    st.sampled_from(
        [
            "$(id)",
            "`id`",
            "it's",
            '"',
            "%n %% %h",
            "a\\",
            "\\n",
            "$HOME ${X:-y} $$",
            "#",
            "a b|c;d&e",
            "~",
            "*",
            "!",
            "=",
        ]
    ),
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\x85"), min_size=1, max_size=30
    ),
).filter(lambda text: text == text.strip())


def sourced(path: Path, shell: str = "sh") -> dict[str, str]:
    out = subprocess.run(
        [shell, "-c", '. "$1" && exec env -0', shell, str(path)],
        env={"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    pairs = [item.partition("=") for item in out.decode("utf-8").split("\0") if item]
    return {name: value for name, _sign, value in pairs}


@given(value=VALUES, other=VALUES)
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_what_is_written_is_read_again_and_removed_without_a_trace(kind: base.Kind, value: str, other: str) -> None:
    first = kind.edit(None, "", {"GOFLAGS": value, "GOPROXY": "direct"})
    assert first is not None
    assert kind.read(first, "") == {"GOFLAGS": value, "GOPROXY": "direct"}
    assert kind.edit(first, "", {"GOFLAGS": value}) == first
    second = kind.edit(first, "", {"GOFLAGS": other})
    assert second is not None
    assert kind.read(second, "") == {"GOFLAGS": other, "GOPROXY": "direct"}
    assert kind.edit(second, "", {"GOFLAGS": None, "GOPROXY": None, "GOSUMDB": None}) is None


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
@pytest.mark.parametrize("value", ["a\nGOPROXY=x", "a\rb", "a\0", "\x1b[1m"])
def test_a_value_of_more_than_one_line_is_refused(kind: base.Kind, value: str) -> None:
    with pytest.raises(base.BadPlace):
        kind.edit(None, "", {"GOFLAGS": value})


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
@pytest.mark.parametrize("data", [b"if true; then", b"\xff=1\n", b"GOPROXY='a\n", b"GOPROXY=\0\n"])
def test_what_is_not_understood_is_not_rewritten(kind: base.Kind, data: bytes) -> None:
    if kind is plain.KIND and data == b"GOPROXY='a\n":
        assert kind.read(data, "") == {"GOPROXY": "'a"}  # what docker run --env-file makes of it
        return
    with pytest.raises(base.BadPlace):
        kind.edit(data, "", {"GOPROXY": "direct"})


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
@pytest.mark.parametrize("kind", [profile_d.KIND, plain.KIND], ids=lambda kind: kind.name)
def test_a_real_shell_reads_what_is_written(kind: base.Kind, value: str, tmp_path: Path) -> None:
    path = tmp_path / "env.sh"
    path.write_bytes(kind.edit(None, "", {"GOFLAGS": value}) or b"")
    assert sourced(path)["GOFLAGS"] == value


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(word=st.text("ab'\"\\ $`=;#~*{}", max_size=12))
def test_a_word_that_is_understood_is_what_a_real_shell_makes_of_it(word: str, tmp_path: Path) -> None:
    path = tmp_path / "env.sh"
    path.write_text("export GOFLAGS=%s\n" % word)
    try:
        found = profile_d.KIND.read(path.read_bytes(), "")
    except base.BadPlace:
        return
    assert sourced(path)["GOFLAGS"] == found["GOFLAGS"]


@pytest.mark.skipif(not os.path.exists(GENERATOR), reason="no systemd here")
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
def test_systemd_itself_reads_what_is_written_to_environment_d(value: str, tmp_path: Path) -> None:
    folder = tmp_path / "environment.d"
    folder.mkdir(exist_ok=True)
    (folder / "z.conf").write_bytes(environment_d.KIND.edit(None, "", {"GOFLAGS": value}) or b"")
    out = subprocess.run(
        [GENERATOR], env={"HOME": "/nonexistent", "XDG_CONFIG_HOME": str(tmp_path)}, stdout=subprocess.PIPE, check=True
    ).stdout
    # It prints assignments for a shell.
    (tmp_path / "printed.sh").write_bytes(b"set -a\n" + out)
    assert sourced(tmp_path / "printed.sh")["GOFLAGS"] == value


@pytest.mark.skipif(not os.path.exists(GENERATOR), reason="no systemd here")
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.text("ab'\"\\ $`=;#{}:-+", min_size=1, max_size=14))
def test_an_environment_d_line_that_is_understood_is_what_systemd_makes_of_it(raw: str, tmp_path: Path) -> None:
    folder = tmp_path / "environment.d"
    folder.mkdir(exist_ok=True)
    (folder / "z.conf").write_text("a=first\nGOFLAGS=%s\n" % raw)
    try:
        found = environment_d.KIND.read((folder / "z.conf").read_bytes(), "")
    except base.BadPlace:
        return
    out = subprocess.run(
        [GENERATOR],
        env={"HOME": "/nonexistent", "XDG_CONFIG_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    ).stdout
    (tmp_path / "printed.sh").write_bytes(b"set -a\n" + out)
    assert sourced(tmp_path / "printed.sh").get("GOFLAGS") == found.get("GOFLAGS")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
def test_the_evaluation_of_units_reads_what_is_written(value: str, tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/system"
    (folder / "ci.service.d").mkdir(parents=True, exist_ok=True)
    (folder / "ci.service").write_text("[Service]\nEnvironment=GOFLAGS=old\nExecStart=/bin/true\n")
    (folder / "ci.service.d" / systemd.FILE).write_bytes(systemd.KIND.edit(None, "", {"GOFLAGS": value}) or b"")
    unit = services.read_unit("ci.service", str(tmp_path))
    assert unit is not None
    assert unit.environ["GOFLAGS"] == value


def test_other_lines_of_a_drop_in_stay_as_they_are() -> None:
    before = b"""# mine
[Unit]
After=network.target
[Service]
Environment=A=%h "GOPROXY=off" 'B=x y' # no comment
Environment="GOSUMDB=off"
LimitNOFILE=1
[Install]
WantedBy=multi-user.target
"""
    after = systemd.KIND.edit(before, "", {"GOPROXY": "https://p.example.com|direct", "GOSUMDB": None})
    assert (
        after
        == b"""# mine
[Unit]
After=network.target
[Service]
Environment="A=%h" "B=x y" "#" "no" "comment"
LimitNOFILE=1
Environment="GOPROXY=https://p.example.com|direct"
[Install]
WantedBy=multi-user.target
"""
    )


def test_a_reset_in_a_drop_in_counts() -> None:
    data = b"[Service]\nEnvironment=GOPROXY=direct\nEnvironment=\n"
    assert systemd.KIND.read(data, "") == {}
    assert systemd.KIND.read(systemd.KIND.edit(data, "", {"GOPROXY": "direct"}) or b"", "") == {"GOPROXY": "direct"}


def test_comments_and_order_of_a_script_stay() -> None:
    before = b"# mine\nexport A='1'\n\nexport GOPROXY=off\nexport B=2\n"
    after = profile_d.KIND.edit(before, "", {"GOPROXY": "direct", "A": None, "GOSUMDB": "off"})
    assert after == b"# mine\n\nexport GOPROXY='direct'\nexport B=2\nexport GOSUMDB='off'\n"


def test_an_assignment_that_is_not_exported_reaches_nobody() -> None:
    assert profile_d.KIND.read(b"GOPROXY=direct\n", "") == {}
    assert profile_d.KIND.read(b"GOPROXY=direct\nexport GOPROXY\n", "") == {"GOPROXY": "direct"}
    assert profile_d.KIND.edit(b"GOPROXY=direct\n", "", {"GOPROXY": "direct"}) == b"export GOPROXY='direct'\n"


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (b"export A='1'\n", "a b", b"export A='1'\nexport GOFLAGS='a b'\n"),
        (b"A='1'\n", "a b", b"A='1'\nGOFLAGS='a b'\n"),
        (b"A=1\n", "-v", b"A=1\nGOFLAGS=-v\n"),
        (b"A=1 2\n", "a 'b'", b"A=1 2\nGOFLAGS=a 'b'\n"),
        (b"# mine\n", "-v", b"# mine\nGOFLAGS=-v\n"),
        (b"A=1\n", "a b", None),
    ],
)
def test_a_plain_file_keeps_its_style(before: bytes, value: str, after: Optional[bytes]) -> None:
    if after is None:
        with pytest.raises(base.BadPlace, match="no line tells"):
            plain.KIND.edit(before, "", {"GOFLAGS": value})
    else:
        assert plain.KIND.edit(before, "", {"GOFLAGS": value}) == after
        assert plain.KIND.read(after, "")["GOFLAGS"] == value


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_file_of_somebody_else_stays_also_without_variables(kind: base.Kind) -> None:
    before = (
        b"# mine\n[Service]\nEnvironment=GOPROXY=off\n" if kind is systemd.KIND else b"# mine\nexport GOPROXY=off\n"
    )
    if kind is environment_d.KIND:
        before = b"# mine\nGOPROXY=off\n"
    left = kind.edit(before, "", {"GOPROXY": None})
    assert left is not None
    assert left.startswith(b"# mine\n")


def test_units_without_reach_are_told_and_not_written(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    unit = "[Service]\nExecStart=%s\n"
    (folder / "gitlab-runner.service").write_text(unit % "/usr/bin/gitlab-runner run --user ci")
    (folder / "buildbot-a.service").write_text(unit % "/usr/bin/docker run buildbot")
    (folder / "act_runner.service").write_text(unit % "/usr/bin/act_runner daemon")
    (folder / "buildkite-agent.service").write_text(unit % "/usr/bin/buildkite-agent start")
    found = systemd.KIND.find(base.Request(root=str(tmp_path)))
    assert [place.service for place in found.places] == ["buildkite-agent.service"]
    assert found.places[0].path == str(folder / "buildkite-agent.service.d" / systemd.FILE)
    told = " ".join(item.who + " " + item.why for item in found.not_reached)
    for name in ("gitlab-runner.service", "buildbot-a.service", "act_runner.service", "buildkite-agent.service"):
        assert name in told


@pytest.mark.parametrize("name", ["../evil", "a b", "nothing-like-it", "x\ny"])
def test_a_service_that_is_none_gets_no_place(name: str, tmp_path: Path) -> None:
    found = systemd.KIND.find(base.Request(names=(name,), root=str(tmp_path)))
    assert found.places == []
    assert len(found.not_reached) == 1
