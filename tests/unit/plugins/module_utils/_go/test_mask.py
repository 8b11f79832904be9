# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go.mask import mask, mask_value

_WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
_SECRET = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ@:%!~&=+$*()", min_size=4, max_size=12).map(lambda text: "S" + text + "E")


@given(_WORD, _SECRET, _WORD, st.sampled_from(["https://", "http://", "git+ssh://", "socks5://"]))
def test_no_password_of_a_url_survives(user: str, secret: str, host: str, scheme: str) -> None:
    text = f"first,{scheme}{user}:{secret}@{host}.example.com/path|direct"
    masked = mask(text)
    assert secret not in masked
    assert masked.startswith("first,")
    assert masked.endswith("/path|direct")


@given(_SECRET, _WORD)
def test_no_token_of_a_url_survives(secret: str, host: str) -> None:
    assert secret not in mask(f"see https://{secret}@{host}.example.com/x")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://u:p@h,direct", "https://***@h,direct"),
        ("https://a.example,https://u:p@h/x|off", "https://a.example,https://***@h/x|off"),
        ("u:p@h.example", "***@h.example"),
        ("https://u:pa/ss@h/x", "https://***@h/x"),
        ("cmd --token s3cret x", "cmd --token *** x"),
        ("cmd --password=s3cret", "cmd --password=***"),
        ("https://h/x?token=abc&v=1", "https://h/x?token=***&v=1"),
        ("Authorization: Bearer abcdefghijk", "Authorization: Bearer ***"),
    ],
)
def test_credentials_are_replaced(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "https://proxy.golang.org,direct",
        "https://h:8080/example.com/m/@v/list",
        "https://[::1]:8080/m/@v/list",
        "github.com/gin-gonic/gin@v1.2.3",
        "git@github.com:owner/repository",
        "golang.org/toolchain@v0.0.1-go1.27.3.linux-amd64",
        "/home/ci/go/pkg/mod/cache",
        "file:///srv/proxy",
        "public:git|hg,private:all",
        "-ldflags=-s -w",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert mask(text) == text


def test_a_bare_user_is_a_credential_only_where_a_host_is_meant() -> None:
    assert mask_value("GOPROXY", "t0ken@proxy.example.com,direct") == "***@proxy.example.com,direct"
    assert mask_value("GOFLAGS", "-ldflags=-X=a@b") == "-ldflags=-X=a@b"


@given(st.text(max_size=80))
def test_masking_twice_changes_nothing_more_and_never_fails(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000 + "@",
        "@" + "http://a:b" * 30_000,
        "http://" * 40_000 + "@",
        "a:" * 150_000 + "@",
        "=a:" * 100_000 + "@",
        ("=a:" * 1300 + "@ ") * 80,
        ("http://a:b" * 400 + "@ ") * 80,
        "token" * 60_000,
        "token=" * 50_000,
        "token='" * 50_000,
        "basic " * 50_000,
        "password" + " " * 300_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    mask_value("GOPROXY", text)
    assert time.process_time() - start < 15


def test_a_word_too_long_to_be_looked_at_is_masked_whole() -> None:
    assert mask("see https://u:p@h/" + "x" * 9000 + " and https://u:p@h/") == "see *** and https://***@h/"
    assert mask("x" * 9000) == "x" * 9000
