# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What settings do together is told, with the right line, and nothing is said about settings that are right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import grammar, rules
from ansible_collections.gofleet.cache.plugins.module_utils._go.rules import Fleet

GATE = "https://goproxy.example.com"
OPEN = "https://proxy.golang.org"
PRIVATE = Fleet(private=("git.example.com",))


def found(fleet: Fleet = Fleet(), **values: str) -> dict[str, rules.Finding]:  # noqa: B008
    return {finding.id: finding for finding in rules.check(values, fleet)}


@pytest.mark.parametrize(
    ("fleet", "values"),
    [
        (Fleet(), {}),
        (Fleet(), {"GOPROXY": OPEN + ",direct"}),
        (PRIVATE, {"GOPROXY": GATE, "GONOSUMDB": "git.example.com"}),
        (PRIVATE, {"GOPROXY": GATE, "GOPRIVATE": "git.example.com", "GONOPROXY": "none"}),
        (Fleet(direct=("git.example.com",)), {"GOPROXY": OPEN + ",direct", "GOPRIVATE": "git.example.com"}),
        (Fleet(air_gapped=True), {"GOPROXY": "file:///srv/goproxy,off", "GOTOOLCHAIN": "local"}),
        (Fleet(accounts=3), {"GOPROXY": "file:///srv/go/pkg/mod/cache/download," + GATE}),
        (Fleet(), {"GOFLAGS": "-mod=readonly -x=false"}),
        (Fleet(), {"GOPROXY": "http://127.0.0.1:3000"}),
    ],
)
def test_right_settings_have_no_findings(fleet: Fleet, values: dict[str, str]) -> None:
    assert rules.check(values, fleet) == []


CASES: list[tuple[str, str, Fleet, dict[str, str], str]] = [
    # id, severity, fleet, settings, right line
    ("dependency-confusion", "error", PRIVATE, {"GOPROXY": f"{GATE},{OPEN}"}, f"GOPROXY={GATE}"),
    ("dependency-confusion", "error", PRIVATE, {"GOPROXY": f"{GATE}|{OPEN}|direct"}, f"GOPROXY={GATE}"),
    ("dependency-confusion", "warning", Fleet(), {"GOPROXY": f"{GATE},{OPEN}"}, f"GOPROXY={GATE}"),
    ("dependency-confusion", "info", Fleet(), {"GOPROXY": f"{GATE},{OPEN}", "GONOSUMDB": "a.b"}, f"GOPROXY={GATE}"),
    ("private-to-public", "error", PRIVATE, {"GOPROXY": OPEN}, "GOPRIVATE=git.example.com"),
    (
        "private-proxy-bypassed",
        "error",
        PRIVATE,
        {"GOPROXY": GATE, "GOPRIVATE": "*.example.com"},
        "GONOSUMDB=git.example.com,*.example.com",
    ),
    (
        "private-proxy-bypassed",
        "error",
        PRIVATE,
        {"GOPROXY": GATE, "GONOPROXY": "git.example.com/team", "GONOSUMDB": "git.example.com"},
        "GONOSUMDB=git.example.com",
    ),
    (
        "direct-modules-proxied",
        "error",
        Fleet(direct=("vcs.example.com",)),
        {"GOPROXY": OPEN},
        "GOPRIVATE=vcs.example.com",
    ),
    (
        "direct-modules-proxied",
        "warning",
        Fleet(direct=("vcs.example.com",)),
        {"GOPROXY": GATE},
        "GOPRIVATE=vcs.example.com",
    ),
    (
        "gonoproxy-narrower",
        "error",
        Fleet(),
        {"GOPROXY": OPEN + ",direct", "GOPRIVATE": "a.example.com,b.example.com", "GONOPROXY": "a.example.com"},
        "GONOPROXY=a.example.com,b.example.com",
    ),
    (
        "gonosumdb-narrower",
        "error",
        Fleet(),
        {"GOPRIVATE": "a.example.com,b.example.com", "GONOSUMDB": "a.example.com"},
        "GONOSUMDB=a.example.com,b.example.com",
    ),
    ("private-to-sumdb", "error", PRIVATE, {"GOPROXY": GATE}, "GONOSUMDB=git.example.com"),
    ("gosumdb-off", "error", PRIVATE, {"GOPROXY": GATE, "GOSUMDB": "off"}, "GONOSUMDB=git.example.com"),
    ("everything-private", "warning", Fleet(), {"GONOSUMDB": "*"}, "GONOSUMDB=git.example.com"),
    ("dead-host", "error", Fleet(), {"GOPROXY": "https://gocenter.io," + OPEN}, f"GOPROXY={OPEN}"),
    ("dead-host", "error", Fleet(), {"GOPROXY": "athens.azurefd.net"}, "GOPROXY=https://proxy.golang.org,direct"),
    ("dead-host", "error", Fleet(), {"GOSUMDB": "gosum.io+ce6e7565+key"}, "GOSUMDB=sum.golang.org"),
    ("dead-host", "error", Fleet(), {"GOSUMDB": "sum.golang.org https://gosum.io"}, "GOSUMDB=sum.golang.org"),
    ("plain-http", "warning", Fleet(), {"GOPROXY": "http://p.example.com"}, "GOPROXY=https://p.example.com"),
    (
        "file-not-download",
        "error",
        Fleet(),
        {"GOPROXY": "file:///srv/go/pkg/mod," + GATE},
        f"GOPROXY=file:///srv/go/pkg/mod/cache/download,{GATE}",
    ),
    ("air-gap-default", "error", Fleet(air_gapped=True), {}, "GOPROXY=file:///srv/goproxy,off"),
    ("air-gap-direct", "error", Fleet(air_gapped=True), {"GOPROXY": GATE + ",direct"}, f"GOPROXY={GATE},off"),
    ("air-gap-public", "error", Fleet(air_gapped=True), {"GOPROXY": f"{GATE},{OPEN}"}, f"GOPROXY={GATE},off"),
    (
        "air-gap-direct",
        "error",
        Fleet(air_gapped=True),
        {"GOPROXY": GATE, "GOPRIVATE": "git.example.com"},
        "GONOSUMDB=git.example.com",
    ),
    ("air-gap-toolchain", "warning", Fleet(air_gapped=True), {"GOPROXY": "off"}, "GOTOOLCHAIN=local"),
    ("goflags-mod-mod", "warning", Fleet(), {"GOFLAGS": "-mod=mod"}, "GOFLAGS=-mod=readonly"),
    (
        "cache-shared",
        "warning",
        Fleet(accounts=2),
        {"GOMODCACHE": "/srv/mod", "GOPROXY": GATE},
        f"GOPROXY=file:///srv/mod/cache/download,{GATE}",
    ),
    (
        "cache-shared",
        "warning",
        Fleet(accounts=0),
        {"GOMODCACHE": "/srv/mod"},
        "GOPROXY=file:///srv/mod/cache/download,https://proxy.golang.org,direct",
    ),
]


@pytest.mark.parametrize(("code", "severity", "fleet", "values", "line"), CASES)
def test_what_goes_wrong_is_told_with_the_right_line(
    code: str, severity: str, fleet: Fleet, values: dict[str, str], line: str
) -> None:
    problem = found(fleet, **values)[code]
    assert (problem.severity, problem.line) == (severity, line)
    assert problem.text
    assert problem.hint
    assert problem.name


@pytest.mark.parametrize(("code", "severity", "fleet", "values", "line"), CASES)
def test_the_right_line_ends_the_problem_and_is_one_that_go_understands(
    code: str, severity: str, fleet: Fleet, values: dict[str, str], line: str
) -> None:
    name, _equals, value = line.partition("=")
    assert grammar.check(name, value) == []
    changed = dict(values, **{name: value})
    if code in ("private-proxy-bypassed", "air-gap-direct") and name == "GONOSUMDB":
        changed = {key: text for key, text in changed.items() if key not in ("GOPRIVATE", "GONOPROXY")}
    if code == "gosumdb-off":
        del changed["GOSUMDB"]
    if code == "cache-shared":
        del changed["GOMODCACHE"]
    assert code not in found(fleet, **changed)


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("-n", "goflags-dry-run"),
        ("-work", "goflags-work"),
        ("-insecure", "goflags-insecure"),
        ("-a", "goflags-rebuild"),
    ],
)
def test_a_flag_of_one_command_line_is_a_problem_in_all_of_them(flag: str, code: str) -> None:
    assert list(found(GOFLAGS=f"-trimpath {flag} {flag}")) == [code]


def test_what_private_or_direct_rescues_is_explained_to_whoever_writes_the_line() -> None:
    asked = Fleet(asked=True)
    assert found(asked, GOPROXY=GATE + ",direct")["comma"].severity == "info"
    assert "'direct'" in found(asked, GOPROXY=GATE + ",direct")["comma"].text
    assert found(asked, GOPROXY=GATE + "|direct")["pipe"].severity == "info"
    assert found(asked, GOPROXY=GATE) == {}
    assert found(asked, GOPROXY=OPEN + ",direct") == {}


@pytest.mark.parametrize(
    ("name", "who"),
    [("github.com/*", "everybody may open an account"), ("*", "anybody's domain"), ("github.com/corp", "")],
)
def test_names_that_everybody_can_publish_are_called_so(name: str, who: str) -> None:
    text = found(Fleet(private=(name,)), GOPROXY=f"{GATE},{OPEN}")["dependency-confusion"].text
    assert who in text
    assert ("(" in text.partition("what you build")[2]) is bool(who)


def test_a_public_proxy_is_one_that_was_declared_so() -> None:
    fleet = PRIVATE._replace(public_hosts=("goproxy.partner.example",))
    assert "dependency-confusion" in found(fleet, GOPROXY=GATE + ",https://goproxy.partner.example")
    assert "dependency-confusion" not in found(PRIVATE, GOPROXY=GATE + ",https://goproxy.partner.example")


VALUES = st.text("abhtps:/,|@.*?[ -=\\'\"", max_size=30)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOFLAGS"), VALUES),
    ),
    st.booleans(),
    st.lists(st.text("ab.*/", min_size=1, max_size=8), max_size=2),
)
def test_no_value_breaks_the_check(values: dict[str, Any], gap: bool, names: list[str]) -> None:
    for finding in rules.check(values, Fleet(private=tuple(names), direct=tuple(names), air_gapped=gap, asked=True)):
        assert finding.severity in (rules.ERROR, rules.WARNING, rules.INFO)


@given(st.text("ABCDEFGH0123456789", min_size=6, max_size=12), st.sampled_from(["http", "https"]))
def test_no_finding_holds_a_password(secret: str, scheme: str) -> None:
    value = f"{scheme}://ci:{secret}@gocenter.io,{scheme}://u:{secret}@proxy.golang.org,direct"
    fleet = Fleet(private=("git.example.com",), direct=("x.example.com",), air_gapped=True, accounts=2, asked=True)
    text = repr(rules.check({"GOPROXY": value, "GOMODCACHE": "/srv/mod"}, fleet))
    assert text != "[]"
    assert secret not in text
