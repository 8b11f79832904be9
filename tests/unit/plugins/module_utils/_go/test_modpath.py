# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import modpath

ELEMENT = st.text("abcXYZ019-_~", min_size=1, max_size=8).filter(lambda text: text[0] not in "-~" and "~" not in text)
PATHS = st.builds(lambda host, rest: "/".join([host + ".com", *rest]), st.text("abc0", min_size=1), st.lists(ELEMENT))
NUMBERS = st.integers(0, 10**30).map(str)
VERSIONS = st.builds(
    lambda a, b, c, pre, build: "v%s.%s.%s%s%s" % (a, b, c, pre, build),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.sampled_from(["", "-rc1", "-RC1", "-0", "-rc.2", "-rc.10", "-a.b", "-a.1", "-0.20240102150405-abcdef123456"]),
    st.sampled_from(["", "+incompatible", "+meta"]),
)


def valid_path(path: str) -> bool:
    try:
        modpath.check_path(path)
    except ValueError:
        return False
    return True


@given(PATHS)
def test_a_path_comes_back_from_its_name_on_disk(path: str) -> None:
    if valid_path(path):
        name = modpath.escape_path(path)
        assert name == name.lower()
        assert modpath.unescape_path(name) == path


@given(VERSIONS)
def test_a_version_comes_back_from_its_name_on_disk(version: str) -> None:
    assert modpath.unescape_version(modpath.escape_version(version)) == version


@given(st.text())
def test_whatever_is_unescaped_escapes_to_the_same_name(text: str) -> None:
    try:
        plain = modpath.unescape(text)
    except ValueError:
        return
    assert modpath.escape(plain) == text


@given(st.lists(st.one_of(VERSIONS, st.text("v01.-+a", max_size=9)), min_size=3, max_size=3))
def test_versions_have_one_order(versions: list) -> None:
    a, b, c = versions
    assert modpath.compare(a, b) == -modpath.compare(b, a)
    assert modpath.compare(a, a) == 0
    if modpath.compare(a, b) <= 0 and modpath.compare(b, c) <= 0:
        assert modpath.compare(a, c) <= 0
    by_key = sorted(versions, key=modpath.sort_key)
    assert by_key == sorted(sorted(versions), key=functools.cmp_to_key(modpath.compare))


def test_precedence_is_the_specifications() -> None:
    # semver.org, section 11, and golang.org/x/mod: pseudo-versions lie between the releases around them
    order = [
        "none",
        "v0.0.0-20240102150405-abcdef123456",
        "v1.0.0-alpha",
        "v1.0.0-alpha.1",
        "v1.0.0-alpha.beta",
        "v1.0.0-beta",
        "v1.0.0-beta.2",
        "v1.0.0-beta.11",
        "v1.0.0-rc.1",
        "v1.0.0",
        "v1.0.1-0.20240102150405-abcdef123456",
        "v1.0.1",
        "v1.9.0",
        "v1.10.0",
        "v3.1.0+incompatible",
        "v18446744073709551616.0.0",
    ]
    assert sorted(sorted(order, reverse=True), key=modpath.sort_key) == order
    assert modpath.compare("v1", "v1.0.0+meta") == 0
    assert modpath.compare("v01.0.0", "also invalid") == 0


@pytest.mark.parametrize(
    "path",
    [
        "github.com/Azure/azure-sdk-for-go",
        "example.com",
        "gopkg.in/yaml.v2",
        "gopkg.in/check.v0",
        "a.b/v2",
        "a.b/v",
        "a.b/x/v10",
    ]
    + ["gopkg.in/yaml.v2-unstable", "a-b.c/~x", "a.b/x~"],
)
def test_valid_paths_are_accepted(path: str) -> None:
    modpath.check_path(path)


@pytest.mark.parametrize(
    "path",
    ["", "/a.b", "a.b/", "a.b//c", "nodot/x", "-a.b", "Example.com/x", "a.b/.git", "a.b/x.", "a.b/..", "a.b/x y"]
    + ["a.b/v1", "a.b/v02", "a.b/v2.0", "gopkg.in/yaml", "gopkg.in/yaml.v01", "a.b/con", "a.b/LPT1.x", "a.b/x~1"]
    + ["a.b/\u00e9", "a.b/x+y", "a.b/x@y", "a.b/x\udce9", "a.b/x\n"],
)
def test_what_go_refuses_is_refused_with_the_path_in_the_message(path: str) -> None:
    with pytest.raises(ValueError, match="malformed module path"):
        modpath.check_path(path)


@pytest.mark.parametrize("name", ["Azure", "a!", "!Azure", "a!!b", "!1", "\u00e9"])
def test_names_that_go_never_makes_do_not_unescape(name: str) -> None:
    with pytest.raises(ValueError, match="not an escaped"):
        modpath.unescape(name)


@pytest.mark.parametrize("version", ["", ".", "..", "v1/2", "v1!", "v1.", "v1\u00e9", "con", "v1*"])
def test_versions_that_could_not_be_file_names_are_refused(version: str) -> None:
    with pytest.raises(ValueError, match="disallowed version"):
        modpath.escape_version(version)


def test_paths_and_versions_must_fit() -> None:
    modpath.check("example.com/a/v2", "v2.3.4")
    modpath.check("example.com/a", "v3.0.0+incompatible")
    modpath.check("gopkg.in/check.v1", "v0.0.0-20161208181325-20d25e280405")
    modpath.check("gopkg.in/yaml.v2-unstable", "v2.0.0")
    for path, version in (("example.com/a/v2", "v3.0.0"), ("example.com/a", "v2.0.0"), ("example.com/a", "latest")):
        with pytest.raises(ValueError, match=version):
            modpath.check(path, version)


def test_pseudo_versions_are_told_from_others() -> None:
    assert modpath.is_pseudo("v0.0.0-20240102150405-abcdef123456")
    assert modpath.is_pseudo("v1.2.4-0.20240102150405-abcdef123456+incompatible")
    assert modpath.is_pseudo("v1.2.4-rc.1.0.20240102150405-abcdef123456")
    assert not modpath.is_pseudo("v1.2.3")
    assert not modpath.is_pseudo("v1.2.4-20240102150405-abcdef123456")


def test_canonical_versions_keep_only_incompatible() -> None:
    assert modpath.canonical("v1.2") == "v1.2.0"
    assert modpath.canonical("v1.2.3-rc1+meta") == "v1.2.3-rc1"
    assert modpath.canonical("v2.0.0+incompatible") == "v2.0.0+incompatible"
    assert modpath.canonical("1.2.3") == ""
    assert modpath.Version("example.com/a", "v1.0.0").label == "example.com/a@v1.0.0"
    assert modpath.label("example.com/a", "") == "example.com/a"


GO_VERSIONS = st.builds(
    lambda go, minor, rest, more: "%s1.%d%s%s" % (go, minor, rest, more),
    st.sampled_from(["", "go"]),
    st.integers(0, 40),
    st.sampled_from(["", ".0", ".1", ".10", "rc1", "rc10", "beta2", "alpha1", "rc", ".1rc1", ".01"]),
    st.sampled_from(["", "-vendor", " X:loopvar"]),
)


@given(st.lists(st.one_of(GO_VERSIONS, st.text("go1.2rc-", max_size=8)), max_size=5))
def test_any_versions_of_go_can_be_sorted(versions: list) -> None:
    keys = [modpath.go_version_key(version) for version in versions]
    for one, other in zip(keys, keys[1:]):
        assert (one < other) + (one == other) + (one > other) == 1


def test_versions_of_go_sort_as_go_sorts_them() -> None:
    """internal/gover/gover_test.go, compareTests."""
    order = ["go1.19", "1.20rc1", "1.20", "1.21", "1.21alpha3", "go1.21rc1", "1.21rc2", "1.21.0", "go1.21.9", "1.21.10"]
    order += ["go1.22.1-vendor", "1.99999999999999998", "1.99999999999999999", "2"]
    keys = [modpath.go_version_key(version) for version in order]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    for one, other in (("1.20", "go1.20.0"), ("1", "1.0.0"), ("go1.21.3", "1.21.3 X:loopvar"), ("1.21.3rc1", "what")):
        assert modpath.go_version_key(one) == modpath.go_version_key(other)
    assert modpath.go_version_key("01.2") < modpath.go_version_key("1.0")


def test_a_toolchains_version_names_a_go_and_a_platform() -> None:
    assert modpath.toolchain_parts("v0.0.1-go1.26.8.linux-amd64") == ("go1.26.8", "linux-amd64")
    assert modpath.toolchain_parts("v0.0.1-go1.27rc1-own.2.windows-arm64") == ("go1.27rc1-own.2", "windows-arm64")
    assert modpath.toolchain_parts("v0.0.1-go1.26.8") is None
    assert modpath.toolchain_parts("v1.0.0") is None
