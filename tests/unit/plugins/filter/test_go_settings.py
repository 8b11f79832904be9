# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role go_config hand plain values on, and take nothing for what it is not."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.filter import go_settings, go_settings_problems

settings = go_settings.FilterModule().filters()["go_settings"]
problems = go_settings_problems.FilterModule().filters()["go_settings_problems"]

ASKED = {
    "profile": "private_then_public",
    "private_proxies": ["https://goproxy.example.com"],
    "private_modules": "git.example.com, vcs.example.com",
    "own": {"GOFLAGS": ["-mod=readonly", "-ldflags=-s -w"]},
}


def test_a_profile_and_variables_become_texts() -> None:
    found = settings(ASKED)
    assert found["settings"] == {
        "GOPROXY": "https://goproxy.example.com,https://proxy.golang.org,direct",
        "GONOSUMDB": "git.example.com,vcs.example.com",
        "GOFLAGS": "-mod=readonly '-ldflags=-s -w'",
    }
    assert found["absent"] == ["GONOPROXY", "GOPRIVATE", "GOSUMDB"]
    assert found["problems"] == []
    assert found["notes"] == []


def test_nothing_asked_is_nothing_found() -> None:
    empty = {"settings": {}, "absent": [], "profile": {}, "notes": [], "problems": []}
    assert settings({}) == empty
    assert problems(empty) == []
    assert problems({}, {"accounts": 0, "air_gapped": False, "proxies": {"HTTP_PROXY": ""}}) == []


def test_the_result_of_the_one_is_judged_by_the_other_with_its_own_problems() -> None:
    fleet = {"private_modules": ["git.example.com", "vcs.example.com"], "public_proxies": ["https://proxy.golang.org"]}
    (found,) = [one for one in problems(settings(ASKED), fleet) if one["severity"] == "error"]
    assert found["id"] == "dependency-confusion"
    assert found["told"].startswith("[dependency-confusion] GOPROXY: ")
    assert found["told"].endswith("The right line: GOPROXY=https://goproxy.example.com")
    accepted = problems(settings(ASKED), fleet, accept=["dependency-confusion"])
    assert [one["severity"] for one in accepted if one["id"] == "dependency-confusion"] == ["warning"]
    broken = problems(settings({"profile": "gatekeeper"}), {"private_modules": ["git.example.com"]})
    assert [(one["id"], one["severity"]) for one in broken] == [("profile", "error")]
    assert broken[0]["told"].startswith(
        "[profile] go_config_profile: profile gatekeeper: go_config_private_proxies is empty"
    )


def test_git_hosts_and_proxy_variables_are_judged_too() -> None:
    fleet: dict[str, Any] = {
        "git_instead_of": [{"prefix": "https://git.example.com/", "use": "https://hunter2@git.example.com/"}],
        "known_hosts": [{"host": "git.example.com", "key": "x"}],
        "git_http_proxy": "nowhere",
        "proxies": {"NO_PROXY": "10.0.0.*", "HTTP_PROXY": "http://ci:hunter2@p.example.com:1"},
    }
    found = problems({}, fleet)
    assert {"git-credentials", "known-hosts-key", "git-http-proxy"} <= {one["id"] for one in found}
    assert {"NO_PROXY", "HTTP_PROXY"} <= {one["name"] for one in found if one["severity"] == "error"}
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    "call",
    [
        lambda: settings("gatekeeper"),
        lambda: settings({"profle": "gatekeeper"}),
        lambda: settings({"private_proxies": {"a": 1}}),
        lambda: settings({"own": ["GOPROXY"]}),
        lambda: problems([]),
        lambda: problems({}, {"private_module": []}),
        lambda: problems({}, {"git_instead_of": "https://git.example.com/"}),
        lambda: problems({}, {}, accept={"gosumdb-off": True}),
    ],
)
def test_a_value_of_another_kind_is_not_taken_for_none(call: Any) -> None:
    with pytest.raises(AnsibleFilterError):
        call()
