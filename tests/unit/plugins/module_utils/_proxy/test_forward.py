# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._proxy.forward import Forward


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "bypassed"),
    [
        # the cases of golang.org/x/net/http/httpproxy UseProxyTests
        ("", "localhost", 80, True),
        ("", "127.0.0.1", 80, True),
        ("", "127.0.0.2", 80, True),
        ("", "::1", 80, True),
        ("foobar.com, .barbaz.net", "x.barbaz.net", 80, True),
        ("foobar.com, .barbaz.net", "barbaz.net", 80, False),
        ("foobar.com, .barbaz.net", "foobar.com", 80, True),
        ("foobar.com, .barbaz.net", "www.foobar.com", 80, True),
        ("foobar.com, .barbaz.net", "foofoobar.com", 80, False),
        ("192.168.1.1, 192.168.1.1:81", "192.168.1.1", 80, True),
        ("192.168.1.1:81", "192.168.1.1", 80, False),
        ("192.168.1.1:81", "192.168.1.1", 81, True),
        ("10.0.0.0/8", "10.2.3.4", 443, True),
        ("10.0.0.0/8", "11.2.3.4", 443, False),
        ("2001:db8::52:0:1, 2001:db8::52:0:2/127", "2001:db8::52:0:3", 80, True),
        ("[2001:db8::52:0:1]:81", "2001:db8::52:0:1", 81, True),
        ("*.example.com", "a.example.com", 80, True),
        ("*.example.com", "example.com", 80, False),
        ("EXAMPLE.com:443", "example.com", 443, True),
        ("example.com:443", "example.com", 80, False),
        ("*", "anything.test", 80, True),
        # what people write and what does not work
        ("10.0.0.*", "10.0.0.5", 80, False),
        ("10.", "10.0.0.5", 80, False),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(no_proxy: str, host: str, port: int, bypassed: bool) -> None:
    found = Forward({"HTTP_PROXY": "proxy.test:3128", "NO_PROXY": no_proxy})
    assert found.bypasses(host, port) is bypassed
    assert (found.hop("http", host, port) is None) is bypassed


def test_the_upper_case_name_wins_and_the_login_is_not_shown() -> None:
    environ = {"https_proxy": "http://wrong", "HTTPS_PROXY": "https://u:s3cret%21@proxy.test"}
    hop = Forward(environ).hop("https", "example.com", 443)
    assert hop is not None
    assert (hop.scheme, hop.host, hop.port, hop.user, hop.password) == ("https", "proxy.test", 443, "u", "s3cret!")
    assert hop.shown == "https://***@proxy.test"
    assert hop.authorization == "Basic dTpzM2NyZXQh"
    assert Forward(environ).hop("http", "example.com", 80) is None


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
def test_no_environment_makes_it_raise(value: str, no_proxy: str, host: str) -> None:
    Forward({"HTTP_PROXY": value, "NO_PROXY": no_proxy}).hop("http", host, 80)
