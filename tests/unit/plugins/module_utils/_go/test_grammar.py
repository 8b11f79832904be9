# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be written into a Go env file."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import grammar

GO = shutil.which("go") or (os.path.exists("/usr/local/go/bin/go") and "/usr/local/go/bin/go") or ""
SUMDB_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

GOOD = [
    ("GOPROXY", "https://proxy.golang.org,direct"),
    ("GOPROXY", "https://a.example.com|https://b.example.com/x,off"),
    ("GOPROXY", "https://a.example.com, direct"),
    ("GOPROXY", "proxy.example.com:8443/go"),
    ("GOPROXY", "http://127.0.0.1:3000"),
    ("GOPROXY", "http://[::1]:3000"),
    ("GOPROXY", "file:///srv/goproxy,off"),
    ("GOPROXY", "direct"),
    ("GOPROXY", "off"),
    ("GOPRIVATE", "git.example.com/*,*.corp.example.com"),
    ("GOPRIVATE", ""),
    ("GOPRIVATE", "example.com/a/"),
    ("GONOPROXY", "none"),
    ("GONOSUMDB", "example.com/[a-c]?"),
    ("GOSUMDB", "off"),
    ("GOSUMDB", "sum.golang.org"),
    ("GOSUMDB", "sum.golang.google.cn"),
    ("GOSUMDB", SUMDB_KEY),
    ("GOSUMDB", SUMDB_KEY + " https://mirror.example.com/sumdb"),
    ("GOSUMDB", "sum.golang.org https://mirror.example.com"),
    ("GOFLAGS", "-mod=readonly -modcacherw"),
    ("GOFLAGS", "'-ldflags=-s -w' --trimpath"),
    ("GOFLAGS", "-p=4"),
    ("GOTOOLCHAIN", "local"),
    ("GOTOOLCHAIN", "go1.26.1+auto"),
    ("GOTOOLCHAIN", "go1.20"),
    ("GOTOOLCHAIN", "go1.26rc1"),
    ("GOTOOLCHAIN", "go1.26.1-bigcorp"),
    ("GOTOOLCHAIN", "local+path"),
    ("GOVCS", "private:all, public:git|hg"),
    ("GOVCS", "*:off"),
    ("GOAUTH", "netrc"),
    ("GOAUTH", "git /srv/credentials; netrc"),
    ("GOAUTH", "/usr/local/bin/go-auth --for ci"),
    ("GOCACHE", "/var/cache/go build"),
    ("GOPATH", "/srv/go:/opt/go"),
    ("GOCACHEPROG", "/usr/bin/prog 'a b'"),
    ("CC", "gcc -m64"),
    ("CGO_ENABLED", "0"),
    ("GO111MODULE", "on"),
    ("GOOS", "linux"),
    ("GOARCH", "riscv64"),
    ("GOAMD64", "v3"),
    ("GOARM", "6,softfloat"),
    ("GOARM64", "v8.0,lse,crypto"),
    ("GOFIPS140", "v1.0.0"),
    ("GOEXPERIMENT", "nocoverageredesign,rangefunc"),
    ("CGO_CFLAGS", "-g -O2 '-DX=a b'"),
]

# name, value, rule, something that the hint must hold: the right line
BAD = [
    ("GOPROXY", "", "empty-masks-default", "GOPROXY=https://proxy.golang.org,direct"),
    ("GOSUMDB", "", "empty-masks-default", "sum.golang.org"),
    ("GOTOOLCHAIN", "", "empty-masks-default", "auto"),
    ("GOPROXY", ",", "no-entries", "direct"),
    ("GOPROXY", "https://a.example.com,,direct", "empty-entry", "GOPROXY=https://a.example.com,direct"),
    ("GOPROXY", "https://a.example.com,", "empty-entry", "GOPROXY=https://a.example.com"),
    ("GOPROXY", "foo", "missing-scheme", "URL"),
    ("GOPROXY", "https://a.example.com,private", "missing-scheme", "GOPRIVATE"),
    ("GOPROXY", "DIRECT", "missing-scheme", "direct"),
    ("GOPROXY", "/srv/goproxy", "missing-scheme", "file:///srv/goproxy"),
    ("GOPROXY", "https://a.example.com/50%", "url", "%25"),
    ("GOPROXY", "ftp://x.example.com", "scheme", "https"),
    ("GOPROXY", "file://srv/goproxy", "file-url", "file:///srv/goproxy"),
    ("GOPROXY", "https://", "url", "host"),
    ("GOPROXY", "https://a.example.com:port", "url", "port"),
    ("GOPROXY", "https://a.example.com direct", "blank-in-entry", "GOPROXY=https://a.example.com,direct"),
    ("GOPROXY", "https://a.example.com;direct", "separator", "GOPROXY=https://a.example.com,direct"),
    ("GOPROXY", "direct,https://a.example.com", "after-end", "GOPROXY=direct"),
    ("GOPROXY", "https://ci:hunter22@a.example.com/x,direct", "userinfo", "https://a.example.com/x"),
    ("GOPROXY", "hunter22@a.example.com", "userinfo", "netrc"),
    ("GOPROXY", "https://a.example.com/?token=hunter22", "url-query", "https://a.example.com/"),
    ("GOPROXY", '"https://a.example.com"', "quotes", "GOPROXY=https://a.example.com"),
    ("GOPROXY", "direct\n", "control-character", ">-"),
    ("GOPROXY", "direct\nGOSUMDB=off", "control-character", "newline"),
    ("GOPROXY", "direct\r", "control-character", ""),
    ("GOPROXY", "a\0", "control-character", ""),
    ("GOPROXY", "direct ", "outer-blanks", "GOPROXY=direct"),
    ("GOPROXY", "x\udc80.com", "utf8", ""),
    ("GOPRIVATE", "a.com, b.com", "blank-in-list", "GOPRIVATE=a.com,b.com"),
    ("GONOPROXY", "a.com b.com", "blank-in-list", "GONOPROXY=a.com,b.com"),
    ("GOPRIVATE", "[", "bad-glob", "bracket"),
    ("GOPRIVATE", "a.com,,b.com", "empty-entry", "GOPRIVATE=a.com,b.com"),
    ("GOPRIVATE", "https://git.example.com/team", "url-in-list", "git.example.com/team"),
    ("GOPRIVATE", "git@git.example.com:team/x.git", "version-in-list", "git.example.com/team/x"),
    ("GOPRIVATE", "git.example.com:8443/team", "port-in-list", "git.example.com/team"),
    ("GOPRIVATE", "git.example.com/team/...", "dots-in-list", "git.example.com/team"),
    ("GOPRIVATE", "a.com|b.com", "separator", "a.com,b.com"),
    ("GOPRIVATE", "example.com/m@v1.2.3", "version-in-list", "example.com/m"),
    ("GOSUMDB", "on", "sumdb-key", "off"),
    ("GOSUMDB", "https://sum.golang.org", "sumdb-name", "sum.golang.org https://sum.golang.org"),
    ("GOSUMDB", "sum.example.com", "sumdb-key", "name+hash+key"),
    ("GOSUMDB", SUMDB_KEY.replace("033de0ae", "033de0af"), "sumdb-key", "name+hash+key"),
    ("GOSUMDB", "sum.golang.org https://a b", "fields", ""),
    ("GOSUMDB", "sum.golang.org https://u:hunter22@sum.example.com", "userinfo", "netrc"),
    ("GOFLAGS", "foo bar", "non-flag", "-flag"),
    ("GOFLAGS", "-nosuch", "unknown-flag", "strict"),
    ("GOFLAGS", "-ldflags=-s -w", "split-value", "'-ldflags=-s -w'"),
    ("GOFLAGS", "-mod vendor", "flag-value", "-mod=value"),
    ("GOFLAGS", "-mod=nope", "flag-value", "-mod=readonly"),
    ("GOFLAGS", "'-ldflags=-s", "quoting", "quote"),
    ("GOFLAGS", "-n", "dangerous-flag", "command line"),
    ("GOFLAGS", "-x=true", "dangerous-flag", "command line"),
    ("GOFLAGS", "-C=/tmp", "dangerous-flag", "command line"),
    ("GOTOOLCHAIN", "banana", "toolchain", "local"),
    ("GOTOOLCHAIN", "1.26.1", "toolchain", "GOTOOLCHAIN=go1.26.1"),
    ("GOTOOLCHAIN", "go1.26", "toolchain-patch", "GOTOOLCHAIN=go1.26.0"),
    ("GOTOOLCHAIN", "go1.26.1+banana", "toolchain", "go1.26.1+auto"),
    ("GOVCS", "zzz", "govcs", "private:all"),
    ("GOVCS", "public:git,,", "empty-entry", "private:all"),
    ("GOVCS", "public:cvs", "govcs", "git"),
    ("GOVCS", "a:git,a:hg", "govcs", "private:all"),
    ("GOAUTH", "off;netrc", "goauth-off", "alone"),
    ("GOAUTH", "netrc;", "empty-entry", "semicolon"),
    ("GOAUTH", "git rel", "goauth-git", "absolute"),
    ("GOAUTH", "auth --password=hunter22", "userinfo", "0600"),
    ("GOCACHE", "off", "cache-word", "absent"),
    ("GOCACHE", "rel", "relative-path", "/"),
    ("GOMODCACHE", "~/go/pkg/mod", "relative-path", "/"),
    ("GOMODCACHE", "/", "root-path", "folder"),
    ("GOMODCACHE", "/srv/../x", "dot-dot", "GOMODCACHE=/x"),
    ("GOMODCACHE", "/home/$USER/mod", "variable-in-path", "whole path"),
    ("GOPATH", "/a::/b", "empty-entry", "colon"),
    ("GOPATH", "a", "relative-path", "/"),
    ("GOBIN", "bin", "relative-path", "/"),
    ("CC", "./gcc", "relative-path", "whole path"),
    ("CGO_CFLAGS", "'-O2", "quoting", "quote"),
    ("CGO_ENABLED", "7", "word", "0, 1"),
    ("GO111MODULE", "yes", "word", "auto"),
    ("GOAMD64", "v9", "word", "v1"),
    ("GOFIPS140", "zz", "word", "latest"),
    ("GOROOT", "/usr/local/go", "name-read-only", "PATH"),
    ("GOVERSION", "go1.26", "name-read-only", ""),
    ("GOENV", "/x", "name-process-only", "service"),
    ("GODEBUG", "x=1", "name-process-only", "service"),
    ("HTTPS_PROXY", "http://x", "name-process-only", "service"),
    ("GONOSUMCHECK", "1", "name-unknown", "GONOSUMDB"),
    ("GOPROXI", "direct", "name-unknown", "GOPROXY"),
    ("goproxy", "direct", "name-syntax", "GOPROXY"),
    ("GOPROXY=x", "direct", "name-syntax", ""),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_a_value_that_go_understands_passes(name: str, value: str) -> None:
    assert grammar.check(name, value) == []


@pytest.mark.parametrize(("name", "value", "rule", "right"), BAD)
def test_a_value_that_go_would_misread_is_refused_with_the_rule_and_the_right_line(
    name: str, value: str, rule: str, right: str
) -> None:
    faults = grammar.check(name, value)
    assert rule in [fault.rule for fault in faults]
    said = " ".join(fault.text() for fault in faults)
    assert right in said
    assert "hunter22" not in said


@pytest.mark.parametrize("value", ["-modcacherw", "-nosuch", "foo", "'-ldflags=-s -w'", "--v", "-"])
@pytest.mark.skipif(not GO, reason="no Go on this machine")
def test_goflags_are_refused_exactly_where_go_refuses_them(value: str, tmp_path: object) -> None:
    environment = {"HOME": "/dev/null", "GOENV": "off", "GOTOOLCHAIN": "local", "GOFLAGS": value, "PATH": os.defpath}
    asked = subprocess.run([GO, "version"], env=environment, capture_output=True, check=False)
    assert (asked.returncode == 0) == (grammar.check("GOFLAGS", value) == [])


@pytest.mark.parametrize("value", ["local", "auto", "banana", "go1", "gox", "local+auto", "local+x", "v1.2", "1.26.1"])
@pytest.mark.skipif(not GO, reason="no Go on this machine")
def test_toolchains_are_refused_exactly_where_go_refuses_them(value: str) -> None:
    environment = {"HOME": "/dev/null", "GOENV": "off", "GOTOOLCHAIN": value, "GOPROXY": "off", "PATH": os.defpath}
    asked = subprocess.run([GO, "version"], env=environment, capture_output=True, check=False, text=True, cwd="/")
    assert ("invalid GOTOOLCHAIN" in asked.stderr) == (grammar.check("GOTOOLCHAIN", value) != [])


def test_what_a_newer_go_could_know_is_marked_as_uncertain() -> None:
    assert not grammar.check("GOBRANDNEW", "1")[0].certain
    assert not grammar.check("GOFLAGS", "-brandnew")[0].certain
    assert grammar.check("GOPRIVATE", "[")[0].certain


@given(st.text(alphabet="ab/*?[]^-\\", max_size=8))
def test_a_glob_of_plain_characters_is_valid_and_one_with_an_open_bracket_is_not(text: str) -> None:
    plain = text.replace("[", "").replace("\\", "")
    assert grammar.glob_is_valid(plain)
    assert not grammar.glob_is_valid(plain + "[")
    assert not grammar.glob_is_valid(plain + "[a")
    assert not grammar.glob_is_valid(plain + "\\")
    if grammar.glob_is_valid(text):
        assert fnmatch.translate(text)


@pytest.mark.parametrize(
    ("pattern", "valid"),
    # Go's own table, path/match_test.go
    [
        ("[a-b-c]", False),
        ("[", False),
        ("[^", False),
        ("[^bc", False),
        ("a[", False),
        ("[]a]", False),
        ("[-]", False),
        ("[x-]", False),
        ("[-x]", False),
        ("[\\]a]", True),
        ("[\\-]", True),
        ("[^a-c]*", True),
        ("a\\*b", True),
    ],
)
def test_globs_follow_gos_own_table(pattern: str, valid: bool) -> None:
    assert grammar.glob_is_valid(pattern) is valid


@given(st.text(alphabet="a.,|: ", max_size=20))
def test_a_goproxy_list_read_and_written_again_reads_the_same(value: str) -> None:
    entries = grammar.split_goproxy(value)
    assert grammar.split_goproxy(grammar.join_goproxy(entries)) == entries


@given(st.lists(st.text(alphabet="ab-=' ", min_size=1, max_size=6)))
def test_quoted_flags_are_read_back_as_given(items: list[str]) -> None:
    assert grammar.split_quoted(" ".join(grammar.quote_flag(item) for item in items)) == items


@given(st.sampled_from(sorted(grammar.WRITABLE)), st.text(max_size=30))
def test_no_value_makes_the_checks_fail_themselves(name: str, value: str) -> None:
    for fault in grammar.check(name, value):
        assert fault.message
        assert fault.hint


@pytest.mark.parametrize(
    ("name", "given_value", "value"),
    [
        ("GOPROXY", ["https://a.example.com", "direct"], "https://a.example.com,direct"),
        ("GOPROXY", ["https://a.example.com", False], "https://a.example.com,off"),
        ("GOSUMDB", False, "off"),
        ("GO111MODULE", True, "on"),
        ("CGO_ENABLED", 0, "0"),
        ("CGO_ENABLED", False, "0"),
        ("GOFLAGS", ["-mod=mod", "-ldflags=-s -w"], "-mod=mod '-ldflags=-s -w'"),
        ("GOAUTH", ["git /srv/x", "netrc"], "git /srv/x;netrc"),
        ("GOPATH", ["/a", "/b"], "/a:/b"),
        ("CC", "gcc", "gcc"),
    ],
)
def test_what_yaml_makes_of_a_value_is_turned_back(name: str, given_value: object, value: str) -> None:
    assert grammar.to_value(name, given_value) == value


@pytest.mark.parametrize(
    ("name", "given_value"),
    [("GOPROXY", None), ("GOPROXY", []), ("GOPROXY", True), ("CC", ["a"]), ("GOPROXY", {}), ("GOPRIVATE", [1])],
)
def test_what_cannot_be_a_value_is_refused(name: str, given_value: object) -> None:
    with pytest.raises(grammar.GrammarError):
        grammar.to_value(name, given_value)
