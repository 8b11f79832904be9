# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._proxy import vcs
from ansible_collections.gofleet.cache.plugins.module_utils._proxy.vcs import Root


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("github.com/a/b", Root("https://github.com/a/b", "github.com/a/b", "git")),
        ("github.com/a/b/c/v2", Root("https://github.com/a/b", "github.com/a/b", "git")),
        ("bitbucket.org/a/b", Root("https://bitbucket.org/a/b", "bitbucket.org/a/b", "git")),
        ("git.apache.org/x.git/y", Root("https://git.apache.org/x.git", "git.apache.org/x.git", "git")),
        ("git.example.com/a/b.git/sub", Root("git.example.com/a/b", "git.example.com/a/b.git", "git")),
        ("hg.example.com/a.hg", Root("hg.example.com/a", "hg.example.com/a.hg", "hg")),
        ("git.example.com/a/b", None),
        ("github.company.test/a/b", None),
    ],
)
def test_repositories_that_go_knows_from_the_path(path: str, root: Root | None) -> None:
    assert vcs.static(path) == root


@pytest.mark.parametrize("path", ["github.com/a", "github.com/a/b.git", "bitbucket.org/a/b.git/c"])
def test_paths_that_go_refuses(path: str) -> None:
    with pytest.raises(vcs.NoRoot):
        vcs.static(path)


PAGE = """<!doctype html><html><HEAD><meta charset=utf-8>
<META Name="go-import" content="example.com/a git https://git.example.com/a.git">
<meta name="go-import" content="example.com/b mod https://proxy.example.com">
<meta name="go-import" content="example.com/b git https://git.example.com/b">
<meta name="go-import" content="example.com/c git https://git.example.com/mono sub/c">
<meta name="go-import" content="too few">
</head><body><meta name="go-import" content="example.com/d git https://git.example.com/d"></body>"""


def test_tags_of_the_head_count_and_proxies_win() -> None:
    found = vcs.go_imports(PAGE)
    assert [(root.root, root.vcs) for root in found] == [
        ("example.com/b", "mod"),
        ("example.com/a", "git"),
        ("example.com/c", "git"),
    ]
    assert vcs.match(found, "example.com/b/x").url == "https://proxy.example.com"
    assert vcs.match(found, "example.com/c").subdir == "sub/c"
    with pytest.raises(vcs.NoRoot, match=r"only for example\.com/b"):
        vcs.match(found, "example.com/d")
    with pytest.raises(vcs.NoRoot, match="only for"):
        vcs.match(found, "example.com/ab")


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("example.com/a cvs https://x", "unknown vcs"),
        ("example.com/a git git.example.com/a", "no scheme"),
        ("example.com/a git file:///srv/a", "file scheme"),
    ],
)
def test_tags_that_go_refuses(tag: str, words: str) -> None:
    with pytest.raises(vcs.NoRoot, match=words):
        vcs.match(vcs.go_imports('<meta name="go-import" content="%s">' % tag), "example.com/a")


def test_two_tags_for_one_path_are_one_too_many() -> None:
    tag = '<meta name="go-import" content="example.com/a git https://x/%d">'
    page = tag % 1 + tag % 2
    with pytest.raises(vcs.NoRoot, match="multiple"):
        vcs.match(vcs.go_imports(page), "example.com/a")


@given(st.text())
def test_no_page_makes_it_raise(page: str) -> None:
    assert isinstance(vcs.go_imports("<head>" + page), list)


@pytest.mark.parametrize(
    ("govcs", "goprivate", "command", "refused"),
    [
        ("", "", "git", ""),
        ("", "", "svn", "GOVCS disallows using svn for public example.com/a"),
        ("", "example.com", "svn", ""),
        ("*:off", "", "git", "GOVCS disallows using git for public example.com/a"),
        ("private:hg", "example.com/*", "git", "GOVCS disallows using git for private example.com/a"),
        ("example.com:git,*:off", "", "git", ""),
        ("example.com/a/b:off", "", "git", ""),
        ("public:all", "", "bzr", ""),
        ("public", "", "git", "malformed entry in GOVCS (missing colon): 'public'"),
        ("a:git,a:hg", "", "git", "unreachable pattern in GOVCS: 'a:hg'"),
        ("*:off", "", "mod", ""),
    ],
)
def test_govcs_decides_as_go_does(govcs: str, goprivate: str, command: str, refused: str) -> None:
    assert vcs.refusal(govcs, goprivate, Root("https://example.com/a", "example.com/a", command)) == refused


@pytest.mark.parametrize(
    ("path", "root", "prefix", "folder"),
    [
        ("example.com/a", Root("", "example.com/a", "git"), "example.com/a", ""),
        ("example.com/a/sub/v2", Root("", "example.com/a", "git"), "example.com/a/sub", "sub"),
        ("example.com/a/v2", Root("", "example.com/a/v2", "git"), "example.com/a", ""),
        ("example.com/a/x", Root("", "example.com/a", "git", "go"), "example.com/a/x", "x/go"),
    ],
)
def test_the_folder_of_a_module(path: str, root: Root, prefix: str, folder: str) -> None:
    assert vcs.code_dir(path, root, prefix) == folder


@pytest.mark.parametrize(
    "piece",
    [
        "<meta ",
        "<!--",
        '<meta a="',
        "</",
        "<a b",
        "<?",
        "<!",
        "<",
        "&",
        "<meta name=go-import content='a b c d",
        "<meta>",
    ],
)
def test_no_page_takes_long(piece: str) -> None:
    start = time.process_time()
    vcs.go_imports(piece * ((2 << 20) // len(piece)))
    vcs.go_imports("<meta " + "a " * 500_000 + ">" + "<meta " + "a" * 8000 + "=>")
    assert time.process_time() - start < 10


def test_only_what_is_no_comment_is_a_tag() -> None:
    tag = '<META Name=go-import content="%s git https://x.example/%s">'
    page = "<!-- %s --><head><title>a > b</title>%s<!-- %s" % (tag % ("a", 1), tag % ("b", 2), tag % ("c", 3))
    assert [root.root for root in vcs.go_imports(page)] == ["b"]
    assert vcs.go_imports("<meta data-name=go-import content='a b c'>") == []
    assert (
        vcs.go_imports("<meta name='go-import' content='a git https://h/?x=1&amp;y=2'/>")[0].url == "https://h/?x=1&y=2"
    )


def test_no_path_takes_long() -> None:
    start = time.process_time()
    for path in ("a." * 2000 + "a/x", "a.b/" + "c/" * 5000 + "!", "a.b" + "/c.git" * 500 + "!"):
        assert vcs.static(path) is None
    assert time.process_time() - start < 10
