# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A profile is a handful of lines that Go understands; what is named besides wins, and is told."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import grammar, profiles
from ansible_collections.gofleet.cache.plugins.module_utils._go.profiles import Asked, Given
from ansible_collections.gofleet.cache.plugins.module_utils._go.rules import ERROR, Fleet

GATE = "https://goproxy.example.com"
FULL = Given((GATE,), ("https://proxy.golang.org",), ("git.example.com",), ("vcs.example.com",), "/srv/goproxy")


@pytest.mark.parametrize(
    ("profile", "goproxy"),
    [
        ("gatekeeper", GATE),
        ("private_then_public", f"{GATE},https://proxy.golang.org,direct"),
        ("resilient", f"{GATE}|https://proxy.golang.org|direct"),
        ("air_gap", "file:///srv/goproxy,off"),
    ],
)
def test_each_profile_is_its_recipe(profile: str, goproxy: str) -> None:
    found = profiles.settings(profile, FULL)
    assert found.pop("GOPROXY") == goproxy
    assert found.pop("GOPRIVATE") == "vcs.example.com"
    assert found.pop("GONOSUMDB") == "git.example.com,vcs.example.com"
    assert found == ({"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"} if profile == "air_gap" else {})


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_a_profile_has_no_error_but_the_confusion_that_somebody_has_to_accept(profile: str) -> None:
    values = profiles.settings(profile, FULL)
    assert [fault for name in values for fault in grammar.check(name, values[name])] == []
    fleet = Fleet(FULL.private_modules, FULL.direct_modules, air_gapped=profile == "air_gap")
    errors = [one.id for one in profiles.problems(values, fleet) if one.severity == ERROR]
    assert errors == (["dependency-confusion"] if profile in ("private_then_public", "resilient") else [])
    accepted = profiles.problems(values, fleet, accept=["dependency-confusion"])
    assert [one.id for one in accepted if one.severity == ERROR] == []
    assert "GOSUMDB" not in values


def test_several_private_proxies_are_doors_of_one_house() -> None:
    given = FULL._replace(private_proxies=("https://a.example.com", "https://b.example.com"))
    assert profiles.settings("gatekeeper", given)["GOPROXY"] == "https://a.example.com|https://b.example.com"
    assert profiles.settings("private_then_public", given)["GOPROXY"] == (
        "https://a.example.com|https://b.example.com,https://proxy.golang.org,direct"
    )


@pytest.mark.parametrize(
    ("profile", "change", "says"),
    [
        ("gatkeeper", {}, "use one of gatekeeper"),
        ("gatekeeper", {"private_proxies": ()}, "private_proxies is empty"),
        ("private_then_public", {"public_proxies": ()}, "use the profile gatekeeper"),
        ("resilient", {"public_proxies": ()}, "needs two proxies, of which one may fail, and got 1"),
        ("air_gap", {"bundle": ""}, "file:///srv/goproxy"),
        ("air_gap", {"bundle": "https://x.example.com"}, "not a folder"),
        ("air_gap", {"bundle": "file://srv/goproxy"}, "three slashes"),
        ("gatekeeper", {"private_proxies": (GATE + ",direct",)}, "list each proxy by itself"),
        ("gatekeeper", {"private_proxies": ("off",)}, "not one URL"),
        ("gatekeeper", {"private_proxies": ("goproxy",)}, "private_proxies: the entry 'goproxy'"),
        ("gatekeeper", {"private_proxies": ("https://ci:hunter2@x.example.com",)}, "netrc"),
        ("gatekeeper", {"private_modules": ("https://git.example.com",)}, "Write git.example.com"),
        ("gatekeeper", {"direct_modules": ("a.example.com,b.example.com",)}, "list each by itself"),
    ],
)
def test_what_makes_no_profile_is_told_without_secrets(profile: str, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        profiles.settings(profile, FULL._replace(**change))
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_no_profile_is_no_settings() -> None:
    assert profiles.settings("") == {}
    assert profiles.merge(Asked()) == profiles.Merged({}, [], {}, [], [])


def test_a_profile_removes_the_lines_that_would_spoil_it() -> None:
    given = FULL._replace(direct_modules=())
    assert profiles.merge(Asked("gatekeeper", given)).absent == ["GONOPROXY", "GOPRIVATE", "GOSUMDB"]
    machine = profiles.merge(Asked("gatekeeper", given, machine=True))
    assert machine.absent == ["GONOPROXY", "GOPRIVATE"]
    assert machine.settings["GOSUMDB"] == "sum.golang.org"


def test_the_stronger_layer_wins_and_is_told() -> None:
    asked = Asked(
        "gatekeeper",
        FULL,
        general={"GOTOOLCHAIN": "local", "GONOSUMDB": ["a.example.com", "b.example.com"]},
        own={"GOPROXY": "https://own.example.com"},
        absent=["GOPRIVATE"],
        group_settings={
            "all": {"GOFLAGS": ["-mod=readonly"]},
            "eu": {"GOPROXY": "https://eu.example.com", "GOTOOLCHAIN": None},
            "big": {"GOPROXY": "https://big.example.com", "GOSUMDB": False},
            "other": {"GOPROXY": "https://other.example.com"},
        },
        host_groups=["big", "eu"],
        all_groups=["all", "big", "eu", "other"],
    )
    merged = profiles.merge(asked)
    assert merged.settings == {
        "GOPROXY": "https://big.example.com",
        "GONOSUMDB": "a.example.com,b.example.com",
        "GOFLAGS": "-mod=readonly",
        "GOSUMDB": "off",
    }
    assert merged.absent == ["GONOPROXY", "GOPRIVATE", "GOTOOLCHAIN"]
    assert merged.findings == []
    assert "profile gatekeeper wants GOPROXY=https://goproxy.example.com; the group big wins with " in merged.notes[-2]
    assert any("no line for GOSUMDB; the group big wins with GOSUMDB=off" in note for note in merged.notes)
    assert any("GOPRIVATE=vcs.example.com; go_config_absent wins with no line" in note for note in merged.notes)


def test_groups_that_nobody_has_and_values_that_nobody_understands_are_findings() -> None:
    asked = Asked(
        own={"GOPROXY": {"a": 1}},
        group_settings={"europa": {"GOPROXY": "off"}, "europe": "off"},
        host_groups=["europe"],
        all_groups=["all", "europe"],
    )
    found = {finding.id: finding for finding in profiles.merge(asked).findings}
    assert set(found) == {"value-type", "unknown-group", "group-settings"}
    assert found["unknown-group"].hint == "Did you mean europe?"
    assert profiles.merge(asked).settings == {}


def test_only_what_is_a_matter_of_trust_can_be_accepted() -> None:
    values = {"GOPROXY": "foo", "GOSUMDB": "off"}
    found = {one.id: one for one in profiles.problems(values, Fleet(), accept=["gosumdb-off", "missing-scheme"])}
    assert found["missing-scheme"].severity == ERROR
    assert found["gosumdb-off"].severity == "warning"
    assert found["accept"].severity == ERROR
    misspelt = profiles.problems({}, Fleet(), accept=["gosumdb_off"])
    assert [one.hint for one in misspelt] == ["Did you mean gosumdb-off?"]


def test_what_a_newer_go_may_know_is_an_error_only_where_strict() -> None:
    assert [one.severity for one in profiles.problems({"GONEWTHING": "1"}, Fleet())] == ["error"]
    assert [one.severity for one in profiles.problems({"GONEWTHING": "1"}, Fleet(), strict=False)] == ["warning"]


def test_a_login_for_plain_http_is_told_for_what_it_is() -> None:
    found = profiles.problems({"GOPROXY": "http://ci:hunter2@p.example.com"}, Fleet(air_gapped=True))
    assert {"userinfo", "http-credentials"} <= {one.id for one in found}
    assert "air-gap-default" not in {one.id for one in found}
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value", "code", "line"),
    [
        ("GOPRIVATE", "a.example.com, b.example.com", "blank-in-list", "GOPRIVATE=a.example.com,b.example.com"),
        ("GOPROXY", "direct,https://p.example.com", "after-end", ""),
        ("GOPROXY", "private", "missing-scheme", ""),
        ("GOCACHE", "auto", "cache-word", ""),
        ("GOCACHE", "readonly", "cache-word", ""),
        ("GONOSUMCHECK", "1", "name-unknown", ""),
    ],
)
def test_what_guides_get_wrong_in_one_value_is_refused(name: str, value: str, code: str, line: str) -> None:
    (problem,) = profiles.problems({name: value}, Fleet())
    assert (problem.id, problem.severity, problem.line) == (code, ERROR, line)
    assert problem.hint


@pytest.mark.parametrize("folder", ["/mnt/gomod", "/mnt/gomod/", "file:///mnt/gomod", "/mnt/gomod/cache/download"])
def test_a_shared_cache_is_a_read_only_proxy_in_front_of_the_chain(folder: str) -> None:
    given = profiles.Given(private_proxies=("https://p.example.com",))
    asked = profiles.Asked(profile="gatekeeper", given=given, shared_cache=folder)
    assert profiles.merge(asked).settings["GOPROXY"] == "file:///mnt/gomod/cache/download,https://p.example.com"
    alone = profiles.merge(profiles.Asked(shared_cache=folder)).settings
    assert alone == {"GOPROXY": "file:///mnt/gomod/cache/download,https://proxy.golang.org,direct"}
    found = profiles.problems(alone, profiles.Fleet())
    assert [one.id for one in found if one.severity == "error"] == []


@pytest.mark.parametrize(
    ("folder", "modcache", "says"),
    [
        ("/mnt/gomod", "/mnt/gomod", "caches of their own"),
        ("/mnt/gomod", "/mnt/gomod/sub", "caches of their own"),
        ("https://x.example.com", "", "not a folder"),
        ("mnt/gomod", "", "not a folder"),
        ("/mnt/a,b", "", "not a folder"),
    ],
)
def test_a_shared_cache_that_cannot_work_is_refused(folder: str, modcache: str, says: str) -> None:
    general = {"GOMODCACHE": modcache} if modcache else {}
    merged = profiles.merge(profiles.Asked(general=general, shared_cache=folder))
    assert [(one.id, says in one.text) for one in merged.findings] == [("shared-cache", True)]
    assert "GOPROXY" not in merged.settings
