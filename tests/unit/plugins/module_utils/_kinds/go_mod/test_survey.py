# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import Dict, List, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import Survey
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, mountspace, synthetic

A, B = "example.com/Azure/a@v1.0.0", "example.com/b/v2@v2.1.0-RC1"
DAY = synthetic.DAY


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> synthetic.Mod:
    made = synthetic.Mod(tmp_path.resolve() / "mod")
    made.add(A)
    made.add(B)
    return made


def du(path: pathlib.Path, *options: str) -> int:
    done = subprocess.run(
        ["du", "-s", "--block-size=1", *options, str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[0])


def check_sums(seen: Survey, path: pathlib.Path) -> None:
    assert seen.totals["allocated"] == du(path)
    assert seen.totals["inodes"] == du(path, "--inodes")
    folders = sum(os.lstat(folder).st_size for folder, _names, _files in os.walk(str(path)))
    assert seen.totals["bytes"] == du(path, "--apparent-size") - folders


def table(seen: Survey) -> Dict[str, Tuple[str, str, str]]:
    """Entries by path: tier, label, hold."""
    entries = seen.entries
    found = {}
    for row in range(len(entries)):
        label = seen.labels[entries.group[row]] if entries.group[row] >= 0 else ""
        path = entries.key(row).decode("utf-8", "backslashreplace")
        found[path] = (seen.tiers[entries.tier[row]].name, label, seen.holds[entries.hold[row]])
    return found


def damaged(seen: Survey) -> List[str]:
    return sorted(item["path"].rpartition("/")[2] for item in seen.damage)


def test_trees_and_zips_are_entries_under_their_modules_name(cache: synthetic.Mod) -> None:
    seen = cache.survey()
    assert table(seen) == {
        "example.com/!azure/a@v1.0.0": ("tree", A, ""),
        "cache/download/example.com/!azure/a/@v/v1.0.0.zip": ("zip", A, ""),
        "example.com/b/v2@v2.1.0-!r!c1": ("tree", B, ""),
        "cache/download/example.com/b/v2/@v/v2.1.0-!r!c1.zip": ("zip", B, ""),
    }
    assert (seen.totals["modules"], seen.totals["versions"], seen.totals["trees"], seen.totals["zips"]) == (2, 2, 2, 2)
    check_sums(seen, cache.path)


def test_a_zip_waits_for_its_tree_and_a_tree_without_one_is_bare(cache: synthetic.Mod) -> None:
    cache.add("example.com/c@v1.0.0", tree=False)
    cache.add("example.com/d@v1.0.0", packed=False)
    seen = cache.survey()
    got = table(seen)
    assert got["example.com/d@v1.0.0"] == ("bare tree", "example.com/d@v1.0.0", "")
    waits = {seen.entries.key(row).decode(): seen.entries.waits[row] for row in range(len(seen.entries))}
    assert waits["cache/download/example.com/c/@v/v1.0.0.zip"] == -1
    tree = waits["cache/download/example.com/!azure/a/@v/v1.0.0.zip"]
    assert seen.entries.key(tree) == b"example.com/!azure/a@v1.0.0"
    assert sum(1 for wait in waits.values() if wait >= 0) == 2


def test_the_sums_are_those_of_du_whatever_lies_around(cache: synthetic.Mod) -> None:
    """F31: and nothing of it is an entry."""
    top = cache.path
    entries = set(table(cache.survey()))
    (top / "cache/vcs/0a1b").mkdir(parents=True)
    (top / "cache/vcs/0a1b/config").write_text("[remote]\n\turl = https://example.com/x\n", encoding="ascii")
    (top / "cache/vcs/0a1b.info").write_text("git2:https://example.com/x", encoding="ascii")
    (top / "cache/vcs/0a1b.lock").touch()
    (top / "cache/download/sumdb/sum.golang.org/tile/8").mkdir(parents=True)
    (top / "cache/download/sumdb/sum.golang.org/latest").write_text("x" * 6000, encoding="ascii")
    (top / "cache/download/cache/download").mkdir(parents=True)
    (top / "strange/folder").mkdir(parents=True)
    (top / "strange/folder/file").write_bytes(b"y" * 9000)
    (top / "file").touch()
    (top / "link@v1.0.0").symlink_to("/etc")
    os.mkfifo(str(top / "pipe"))
    os.makedirs(os.fsencode(str(top)) + b"/odd\xff/x\n")
    seen = cache.survey()
    check_sums(seen, top)
    assert set(table(seen)) == entries
    assert damaged(seen) == ["link@v1.0.0"]


def test_versions_that_only_have_an_info_are_no_entries(cache: synthetic.Mod) -> None:
    cache.add("example.com/c@v1.0.0", tree=False, packed=False)
    seen = cache.survey()
    assert seen.totals["versions"] == 3
    assert len(seen.entries) == 4


def test_leftovers_of_extractions_and_downloads_are_entries(cache: synthetic.Mod) -> None:
    """F25."""
    tmp = cache.path / "example.com/b/v2@v2.1.0-!r!c1.tmp-12345"
    (tmp / "inner").mkdir(parents=True)
    (tmp / "inner/file").write_bytes(b"x" * 5000)
    part = cache.at(A, "zip").with_name("v1.0.0.zip1234.tmp")
    part.write_bytes(b"x" * 5000)
    got = table(cache.survey())
    assert got["example.com/b/v2@v2.1.0-!r!c1.tmp-12345"] == ("leftover", "", "")
    assert got["cache/download/example.com/!azure/a/@v/v1.0.0.zip1234.tmp"] == ("leftover", "", "")
    assert synthetic.make_plan(cache.survey(), {"wipe": True}).entries == 0  # they may be in use


@pytest.mark.parametrize("name", ["unknown.example/x@v1.0.0", "strange@thing", "example.com/b@v9.9.9"])
def test_a_tree_that_no_download_knows_is_kept(cache: synthetic.Mod, name: str) -> None:
    (cache.path / name).mkdir(parents=True)
    seen = cache.survey()
    assert table(seen)[name] == ("tree", "", "unknown tree")
    assert synthetic.make_plan(seen, {"wipe": True}, later=900 * DAY).caches[0].protected["unknown tree"][0] == 1


@pytest.mark.parametrize("name", [".git", ".hg", ".svn"])
def test_a_tree_with_a_repository_in_it_is_kept(cache: synthetic.Mod, name: str) -> None:
    """F16: somebody works in there."""
    folder = cache.tree(A)
    folder.chmod(0o755)
    (folder / name).mkdir()
    assert table(cache.survey())["example.com/!azure/a@v1.0.0"][2] == "repository inside"


def test_a_tree_without_its_hash_is_kept(cache: synthetic.Mod) -> None:
    cache.at(A, "ziphash").unlink()
    assert table(cache.survey())["example.com/!azure/a@v1.0.0"][2] == "no .ziphash"


def test_what_does_not_fit_together_is_told(cache: synthetic.Mod) -> None:
    for label, part, content in (
        ("example.com/c@v1.0.0", "zip", b""),
        ("example.com/d@v1.0.0", "ziphash", b"h1:short"),
        ("example.com/e@v1.0.0", "info", b""),
        ("example.com/f@v1.0.0", "partial", b""),
    ):
        cache.add(label)
        cache.at(label, part).write_bytes(content)
    (cache.at(A, "zip").parent / "v1.2.3.zip").symlink_to("v1.0.0.zip")
    (cache.at(A, "zip").parent / "v1!x.zip").touch()
    assert damaged(cache.survey()) == [
        "v1!x.zip",
        "v1.0.0.info",
        "v1.0.0.partial",
        "v1.0.0.zip",
        "v1.0.0.ziphash",
        "v1.2.3.zip",
    ]


def test_credentials_in_clones_are_told_without_their_values(cache: synthetic.Mod) -> None:
    for name, url in (("aa", "https://user:hunter2@git.example.com/x"), ("bb", "https://git.example.com/y")):
        folder = cache.path / "cache/vcs" / name
        folder.mkdir(parents=True)
        (folder / "config").write_text('[remote "origin"]\n\turl = %s\n' % url, encoding="ascii")
        (folder.parent / (name + ".info")).write_text("git2:" + url, encoding="ascii")
    seen = cache.survey()
    assert "hunter2" not in repr(seen)
    assert {item["path"]: item["credentials"] for item in seen.details["vcs"]} == {
        "cache/vcs/aa": True,
        "cache/vcs/bb": False,
    }
    assert (seen.details["credentials"], seen.details["vcs_clones"]) == (1, 2)


def test_toolchains_and_the_biggest_are_named(cache: synthetic.Mod) -> None:
    """F41."""
    label = "golang.org/toolchain@v0.0.1-go1.24.0.linux-amd64"
    cache.add(label, size=200000)
    seen = cache.survey()
    assert [item["version"] for item in seen.details["toolchains"]] == ["v0.0.1-go1.24.0.linux-amd64"]
    assert seen.details["biggest"][0]["module"] == label


def test_use_is_the_newest_of_reading_the_hash_and_arriving(cache: synthetic.Mod) -> None:
    """F27, F28: an archive restores old modification times; that the files came today shows in their ctime."""
    marker = cache.at(A, "ziphash")
    for path in (marker, cache.at(A, "zip")):
        os.utime(str(path), (10**9, 10**9))
    row = next(n for n, key in enumerate(table(cache.survey())) if "zip" in key and "azure" in key)
    seen = cache.survey()
    assert seen.evidence == "atime of .ziphash"
    assert seen.entries.used[row] >= marker.stat().st_ctime_ns
    ahead = marker.stat().st_ctime_ns + 10**12
    os.utime(str(marker), ns=(ahead, 10**18))
    assert cache.survey().entries.used[row] == ahead


def test_our_own_locks_and_marks_are_no_builds(cache: synthetic.Mod) -> None:
    last = cache.survey().last_build
    for part in ("lock", "partial"):
        cache.at(A, part).touch()
        os.utime(str(cache.at(A, part)), (9 * 10**9, 9 * 10**9))
    assert cache.survey().last_build == last


def test_a_survey_leaves_every_time_as_it_was(cache: synthetic.Mod) -> None:
    gocaches.age_access(cache.path)
    before = gocaches.photograph(cache.path)
    cache.survey()
    assert gocaches.photograph(cache.path) == before


def test_a_hard_link_frees_nothing(cache: synthetic.Mod, tmp_path: pathlib.Path) -> None:
    """F30."""

    def freed() -> int:
        seen = cache.survey()
        return next(f for f, k in zip(seen.entries.freed, table(seen)) if k == "example.com/!azure/a@v1.0.0")

    before = freed()
    file = next(path for path in cache.tree(A).rglob("*.go"))
    os.link(str(file), str(tmp_path / "second"))
    assert freed() == before - file.stat().st_blocks * 512


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files to another user")
def test_what_belongs_to_another_owner_is_kept(cache: synthetic.Mod) -> None:
    os.chown(str(cache.tree(A)), 4242, 4242)
    os.chown(str(cache.at(B, "zip")), 4242, 4242)
    got = table(cache.survey())
    assert got["example.com/!azure/a@v1.0.0"][2] == "other owner"
    assert got["cache/download/example.com/b/v2/@v/v2.1.0-!r!c1.zip"][2] == "other owner"


def test_a_mount_inside_a_tree_keeps_the_tree(cache: synthetic.Mod, tmp_path: pathlib.Path) -> None:
    """F22."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"x" * 10**6)
    code = """
    from ansible_collections.gofleet.cache.plugins.module_utils._fs import identity
    from ansible_collections.gofleet.cache.plugins.module_utils._kinds.table import KINDS
    root = identity.open_root(sys.argv[1], KINDS["go-mod"].looks_like, "go-mod", frozenset())
    bind(sys.argv[2], sys.argv[3])
    seen = KINDS["go-mod"].survey(root)
    print(sorted({seen.holds[hold] for hold in seen.entries.hold}), seen.totals["bytes"] < 10**6)
    """
    inner = cache.tree(A) / "internal"
    assert mountspace.run(code, str(cache.path), str(tmp_path / "outside"), str(inner)) == (
        "['', 'not reached whole'] True"
    )


def test_a_mount_without_access_times_says_so(cache: synthetic.Mod, tmp_path: pathlib.Path) -> None:
    """F27."""
    code = """
    import shutil
    from ansible_collections.gofleet.cache.plugins.module_utils._fs import identity
    from ansible_collections.gofleet.cache.plugins.module_utils._kinds.table import KINDS
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noatime", "none", sys.argv[2]], check=True)
    shutil.copytree(sys.argv[1], sys.argv[2] + "/mod", symlinks=True)
    root = identity.open_root(sys.argv[2] + "/mod", KINDS["go-mod"].looks_like, "go-mod", frozenset())
    print(KINDS["go-mod"].survey(root).evidence)
    """
    (tmp_path / "place").mkdir()
    told = mountspace.run(code, str(cache.path), str(tmp_path / "place"))
    assert told == "arrival (the mount records no access times)"
