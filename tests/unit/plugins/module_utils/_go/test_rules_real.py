# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules say of settings is what a real go command does with them, and the right line helps."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import profiles, rules
from ansible_collections.gofleet.cache.plugins.module_utils._go.rules import Fleet
from ansible_collections.gofleet.cache.tests.fixtures import goproxy

GO = os.environ.get("GOFLEET_TEST_GO") or shutil.which("go") or ""
pytestmark = pytest.mark.skipif(not GO, reason="needs Go: GOFLEET_TEST_GO is not set and no go is on PATH")

SECRET = goproxy.make_module(goproxy.PRIVATE + "/team/tool", "v1.0.0")
LIB = goproxy.make_module("example.com/lib", "v0.1.0")


class Place:
    """A gate that serves SECRET, a public server that serves LIB (and what an attacker put there), and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate = goproxy.make_proxy(folder / "gate", [SECRET]).url
        self.public = goproxy.make_proxy(folder / "public", [LIB]).url

    def download(self, label: str, **settings: str) -> tuple[bool, str]:
        """Whether a fresh account with these settings gets the module, and what go said."""
        number = len(list(self.folder.glob("home*")))
        home = self.folder / ("home%d" % number)
        home.mkdir()
        environ = {
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-modcacherw",
            "GIT_ALLOW_PROTOCOL": "none",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
            **settings,
        }
        done = subprocess.run(
            [GO, "mod", "download", "-x", label],
            cwd=str(home),
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def found(fleet: Fleet, **values: str) -> dict[str, Any]:
    return {finding.id: finding for finding in rules.check(values, fleet)}


def line(finding: rules.Finding) -> dict[str, str]:
    name, _equals, value = finding.line.partition("=")
    return {name: value}


FLEET = Fleet(private=(goproxy.PRIVATE,))


def test_a_private_name_that_the_gate_lacks_is_built_from_what_the_public_server_has(place: Place) -> None:
    stolen = goproxy.make_module(goproxy.PRIVATE + "/team/missing", "v1.9.9")
    goproxy.add_module(place.folder / "public", stolen)
    values = {"GOPROXY": f"{place.gate},{place.public}", "GONOSUMDB": goproxy.PRIVATE}
    assert place.download(stolen.label, **values)[0]
    # The rule knows public servers by their host; the lines are the same.
    named = {"GOPROXY": "https://gate.example,https://proxy.golang.org", "GONOSUMDB": goproxy.PRIVATE}
    right = found(FLEET, **named)["dependency-confusion"].line
    assert right == "GOPROXY=https://gate.example"
    assert not place.download(stolen.label, **dict(values, GOPROXY=place.gate))[0]


def test_goprivate_leads_past_the_proxy_and_the_right_line_does_not(place: Place) -> None:
    wrong = {"GOPROXY": place.gate, "GOPRIVATE": goproxy.PRIVATE}
    ok, said = place.download(SECRET.label, **wrong)
    assert not ok
    assert goproxy.PRIVATE in said
    finding = found(FLEET, **wrong)["private-proxy-bypassed"]
    assert place.download(SECRET.label, GOPROXY=place.gate, **line(finding))[0]


def test_a_narrower_gonoproxy_sends_private_paths_to_the_proxy(place: Place) -> None:
    goproxy.add_module(place.folder / "public", SECRET)
    wrong = {"GOPRIVATE": f"other.example,{goproxy.PRIVATE}", "GONOPROXY": "other.example"}
    assert place.download(SECRET.label, GOPROXY=place.public, **wrong)[0]
    finding = found(Fleet(), GOPROXY="https://proxy.golang.org", **wrong)["gonoproxy-narrower"]
    assert not place.download(SECRET.label, GOPROXY=place.public, **dict(wrong, **line(finding)))[0]


def test_a_narrower_gonosumdb_asks_the_public_database(place: Place) -> None:
    wrong = {"GOPRIVATE": f"other.example,{goproxy.PRIVATE}", "GONOSUMDB": "other.example", "GONOPROXY": "none"}
    ok, said = place.download(SECRET.label, GOPROXY=place.gate, **wrong)
    assert not ok
    assert "sum.golang.org" in said
    finding = found(Fleet(), GOPROXY=place.gate, **wrong)["gonosumdb-narrower"]
    assert place.download(SECRET.label, GOPROXY=place.gate, **dict(wrong, **line(finding)))[0]


def test_a_private_module_that_is_not_named_is_looked_up_in_the_public_database(place: Place) -> None:
    ok, said = place.download(SECRET.label, GOPROXY=place.gate)
    assert not ok
    assert "sum.golang.org" in said
    finding = found(FLEET, GOPROXY=place.gate)["private-to-sumdb"]
    assert place.download(SECRET.label, GOPROXY=place.gate, **line(finding))[0]


def test_a_module_cache_serves_from_cache_download_only(place: Place) -> None:
    cache = place.folder / "go" / "pkg" / "mod"
    shutil.copytree(place.folder / "gate", cache / "cache" / "download")
    wrong = {"GOPROXY": f"file://{cache}", "GONOSUMDB": goproxy.PRIVATE}
    ok, said = place.download(SECRET.label, **wrong)
    assert not ok
    assert "no such file or directory" in said
    finding = found(Fleet(), **wrong)["file-not-download"]
    assert place.download(SECRET.label, **dict(wrong, **line(finding)))[0]


@pytest.mark.parametrize(("separator", "wanted"), [(",", False), ("|", True)])
def test_what_follows_rescues_from_a_failure_only_behind_a_pipe(place: Place, separator: str, wanted: bool) -> None:
    value = f"http://127.0.0.1:9{separator}{place.gate}"
    assert place.download(SECRET.label, GOPROXY=value, GONOSUMDB=goproxy.PRIVATE)[0] is wanted


def test_the_word_private_is_no_proxy(place: Place) -> None:
    ok, said = place.download(SECRET.label, GOPROXY=f"private,{place.gate}", GONOSUMDB=goproxy.PRIVATE)
    assert not ok
    assert "missing scheme" in said
    assert [one.id for one in profiles.problems({"GOPROXY": "private"}, Fleet())] == ["missing-scheme"]


def test_gosumdb_off_takes_what_it_is_given(place: Place) -> None:
    assert place.download(LIB.label, GOPROXY=place.public, GOSUMDB="off")[0]
    assert not place.download(LIB.label, GOPROXY=place.public)[0]


def test_the_profile_air_gap_works_without_a_network_and_asks_nobody(place: Place) -> None:
    bundle = place.folder / "gate"
    given = profiles.Given(private_modules=(goproxy.PRIVATE,), bundle=str(bundle))
    values = profiles.settings("air_gap", given)
    values["GOFLAGS"] += " -modcacherw"
    assert place.download(SECRET.label, **values)[0]
    ok, said = place.download(LIB.label, **values)
    assert not ok
    assert "GOPROXY=off" in said
    assert "127.0.0.1:9" not in said


def test_the_flag_insecure_makes_go_get_fail(place: Place) -> None:
    project = goproxy.make_project(place.folder / "project", "example.org/p", [])
    environ = {"HOME": str(place.folder), "PATH": "/usr/bin:/bin", "GOTOOLCHAIN": "local", "GOFLAGS": "-insecure"}
    command = [GO, "get", LIB.label]
    done = subprocess.run(command, cwd=str(project), env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no longer supported" in done.stderr
