# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Go makes of proxy variables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import proxyvars
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import forward


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("10.0.0.*", "10.0.0.0/24"),
        ("10.*", "10.0.0.0/8"),
        ("192.168.", "192.168.0.0/16"),
        ("a.example.com b.example.com", "a.example.com,b.example.com"),
        ("a.example.com;b.example.com", "a.example.com,b.example.com"),
        ("https://ci:c4nary@a.example.com/x", "a.example.com"),
        ("example.com.", "example.com"),
    ],
)
def test_what_matches_nothing_is_told_with_the_right_line(value: str, right: str) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        faults = proxyvars.check({name: value})
        assert [fault.variable for fault in faults] == [name]
        assert right in faults[0].hint
        assert "c4nary" not in faults[0].text()
    assert not forward.Forward({"NO_PROXY": value}).bypasses("10.0.0.7", 443)


@pytest.mark.parametrize("value", ["foo*", "a.*.example.com", "10/8", "10.0.0.0/33", ":80", "010.1.1.1", "1.2.3"])
def test_other_items_that_match_nothing_are_told(value: str) -> None:
    assert len(proxyvars.check({"NO_PROXY": value})) == 1


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "example.com, .example.org",
        "*.example.com",
        "10.0.0.0/8,fe80::/10",
        "127.0.0.1:80",
        "[::1]:80",
        "::1",
        "a:80",
    ],
)
def test_what_go_understands_is_left_alone(value: str) -> None:
    assert proxyvars.check({"NO_PROXY": value, "no_proxy": value}) == []


@pytest.mark.parametrize(
    "value", ["http://proxy:3128", "proxy:3128", "proxy", "https://p/", "socks5://p:1", "http://[::1]:8"]
)
def test_addresses_that_go_understands_are_left_alone(value: str) -> None:
    assert proxyvars.check({"HTTP_PROXY": value, "HTTPS_PROXY": value}) == []
    assert forward.Forward({"HTTPS_PROXY": value}).hops["https"] is not None


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("http://ci:c4nary@proxy:1", "userinfo"),
        ("ci:c4nary@proxy:1", "userinfo"),
        ("ftp://proxy", "proxy-scheme"),
        ("http://proxy/path", "proxy-url"),
        ("http://pro xy", "proxy-url"),
        ("http://proxy:x", "proxy-url"),
        ("http://", "proxy-url"),
    ],
)
def test_addresses_that_go_does_not_understand_are_refused(value: str, rule: str) -> None:
    faults = proxyvars.check({"https_proxy": value})
    assert [fault.rule for fault in faults] == [rule]
    assert "c4nary" not in faults[0].text()


def test_two_spellings_with_two_values_are_told() -> None:
    assert [fault.rule for fault in proxyvars.check({"NO_PROXY": "a", "no_proxy": "b"})] == ["proxy-spelling"]


def test_remarks_are_never_certain() -> None:
    found = proxyvars.remarks(
        {"http_proxy": "http://p:1", "ALL_PROXY": "http://p:1", "NO_PROXY": "*,.a.example,10.0.0.0/8,b.example:80"}
    )
    assert sorted(remark.rule for remark in found) == [
        "no-proxy-all",
        "no-proxy-network",
        "no-proxy-port",
        "no-proxy-subdomains",
        "proxy-all-unread",
        "proxy-https-missing",
    ]
    assert not any(remark.certain for remark in found)


@given(st.dictionaries(st.sampled_from(sorted(proxyvars.OTHER)), st.text("a.*:/,;@[]10 %\\é", max_size=20)))
def test_any_text_gets_an_answer(environ: dict[str, str]) -> None:
    for fault in proxyvars.check(environ) + proxyvars.remarks(environ):
        assert fault.variable in proxyvars.OTHER
        assert fault.text()
