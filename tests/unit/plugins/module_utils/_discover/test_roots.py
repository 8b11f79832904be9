# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from typing import Any, Dict, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._discover import roots
from ansible_collections.gofleet.cache.plugins.module_utils._discover.roots import Place, gather
from ansible_collections.gofleet.cache.plugins.module_utils._discover.search import Limits

SHORT = "a1b2c3d4e5f6g7h8i9j0k1l2m"


def codes(found: roots.Gathered, severity: str = "") -> List[str]:
    return sorted(item.code for item in found.findings if severity in ("", item.severity))


def run(tree: Any, probes: Any, *args: Any, **more: Any) -> roots.Gathered:
    """With an empty host as the place of CI systems' configuration, unless the test fills it."""
    tree.folder("host")
    return gather(*(args or ([],)), agents_root=tree.path("host"), probes=probes, **more)


def by_path(found: roots.Gathered) -> Dict[str, roots.Candidate]:
    return {item.path: item for item in found.candidates}


def gitlab(tree: Any, builds: str) -> None:
    tree.write(
        "host/etc/gitlab-runner/config.toml",
        '[[runners]]\nname = "r"\ntoken = "SECRET"\nexecutor = "shell"\nbuilds_dir = "%s"\ncache_dir = "/none"\n'
        'environment = ["GOMODCACHE=/shared/mod", "GOCACHE=%%h/x"]\n' % builds,
    )


def test_settings_paths_patterns_roots_and_ci_configuration_all_lead_to_candidates(tree: Any, probes: Any) -> None:
    account = tree.go_build("home/ci/.cache/go-build")
    explicit = tree.go_mod("srv/x/mod")
    pattern = [tree.go_mod("b/%s/.go/pkg/mod" % name) for name in "pq"]
    searched = tree.go_build("volumes/v/_data/go-build")
    by_ci = tree.go_mod("host/ci/builds/group/.go/pkg/mod")
    by_setting = tree.go_mod("host/shared/mod")
    gitlab(tree, "/ci/builds")
    found = run(
        tree,
        probes,
        [Place(account, "go-build", "ci", "GOCACHE of ci")],
        [explicit, tree.path("b/*/.go/pkg/mod")],
        [tree.path("volumes/*/_data")],
    )
    items = by_path(found)
    assert set(items) == {account, explicit, searched, by_ci, by_setting} | set(pattern)
    assert all(item.kind for item in items.values())
    assert (items[account].origins, items[account].accounts, items[account].expected) == (
        ["account"],
        ["ci"],
        "go-build",
    )
    assert items[explicit].origins == ["explicit"]
    assert items[by_ci].origins == ["search"]
    assert items[by_setting].origins == ["ci-setting"]
    assert "builds_dir of runner r" in items[by_ci].why[0]
    assert found.systems == ["gitlab"]
    assert "SECRET" not in repr(found)
    assert all(item.owner_uid == os.stat(item.path).st_uid for item in found.candidates)


def test_one_cache_found_in_several_ways_is_one_candidate_with_all_reasons(tree: Any, probes: Any) -> None:
    cache = tree.go_mod("w/mod")
    os.symlink(cache, tree.path("link"))
    places = [
        Place(cache, "go-mod", "ci", "GOMODCACHE of ci"),
        Place(tree.path("link"), "go-mod", "jenkins", "of jenkins"),
    ]
    found = run(tree, probes, places, [cache], [tree.path("w")])
    assert len(found.candidates) == 1
    item = found.candidates[0]
    assert item.origins == ["account", "explicit", "search"]
    assert item.accounts == ["ci", "jenkins"]
    assert len(item.why) == 4
    assert (item.path, item.resolved) == (cache, cache)


def test_a_candidate_named_by_a_symlink_has_both_names(tree: Any, probes: Any) -> None:
    cache = tree.go_mod("w/mod")
    os.symlink(cache, tree.path("link"))
    item = run(tree, probes, [], [tree.path("link")]).candidates[0]
    assert (item.path, item.resolved) == (tree.path("link"), cache)


def test_a_ci_host_without_any_cache_is_a_warning_that_lists_where_it_looked(tree: Any, probes: Any) -> None:
    gitlab(tree, "/ci/builds")
    tree.folder("host/ci/builds/project/src")
    found = run(
        tree, probes, [Place(tree.path("home/.cache/go-build"), "go-build", "ci", "GOCACHE")], [tree.path("no/*")]
    )
    assert found.candidates == []
    warning = next(item for item in found.findings if item.code == "no-cache-found")
    assert warning.severity == "warning"
    for place in (
        tree.path("home/.cache/go-build"),
        tree.path("host/ci/builds"),
        tree.path("host/none"),
        tree.path("no/*"),
    ):
        assert place in warning.message
        assert place in found.looked_at


def test_a_host_without_ci_and_without_caches_is_no_warning(tree: Any, probes: Any) -> None:
    found = run(tree, probes)
    assert (found.candidates, found.findings) == ([], [])


def test_a_ci_host_with_a_cache_is_no_warning(tree: Any, probes: Any) -> None:
    gitlab(tree, "/ci/builds")
    tree.go_mod("host/ci/builds/p/.go/pkg/mod")
    assert "no-cache-found" not in codes(run(tree, probes))


def test_a_folder_without_a_fingerprint_does_not_count_as_a_cache(tree: Any, probes: Any) -> None:
    gitlab(tree, "/ci/builds")
    found = run(tree, probes, [], [tree.folder("empty")])
    assert [item.kind for item in found.candidates] == [""]
    assert {"not-a-cache", "no-cache-found"} <= set(codes(found, "warning"))


@pytest.mark.parametrize("value", ["", "relative", "off", "/", "~", "~/x", None, "/a/../b", "/x/**"])
def test_bad_input_is_an_error_that_names_it_and_nothing_is_found_through_it(
    tree: Any, probes: Any, value: Any
) -> None:
    for found in (run(tree, probes, [], [value]), run(tree, probes, [], [], [value])):
        assert codes(found) == ["bad-path"]
        assert [item.severity for item in found.findings] == ["error"]
        assert repr(value) in found.findings[0].message
        assert found.candidates == []


def test_missing_paths_are_told_and_are_no_error(tree: Any, probes: Any) -> None:
    found = run(
        tree, probes, [], [tree.path("gone"), tree.path("gone*/x")], [tree.path("nowhere"), tree.path("no*where")]
    )
    assert codes(found) == codes(found, "info") == ["missing"] * 4


def test_caches_in_an_engines_tree_are_refused_with_its_command_however_they_are_named(tree: Any, probes: Any) -> None:
    tree.folder("d/image", "d/containers", "d/volumes")
    layers = [tree.go_mod("d/overlay2/%s%d/diff/go/pkg/mod" % (SHORT[:-1], i)) for i in range(5)]
    for found in (
        run(tree, probes, [], layers),
        run(tree, probes, [], [tree.path("d/overlay2/*/diff/go/pkg/mod")]),
        run(tree, probes, [Place(layers[0], "go-mod", "x", "y")]),
        run(tree, probes, [], [], [tree.path("d")]),
        run(tree, probes, [], [], [tree.path("d/overlay2")]),
    ):
        assert found.candidates == []
        assert [(item.path, item.command) for item in found.foreign] == [
            (tree.path("d/overlay2"), "docker system prune")
        ]
        assert any("docker system prune" in item.message for item in found.findings if item.code == "foreign-tree")
    assert codes(found, "warning") == ["foreign-tree"]


def test_a_cache_inside_another_cache_is_an_error(tree: Any, probes: Any) -> None:
    outer = tree.go_mod("w/mod")
    inner = tree.go_build("w/mod/example.com/inner")
    tree.go_build("w/mod-next-to-it")
    found = run(tree, probes, [], [outer, inner, tree.path("w/mod-next-to-it")])
    assert [(item.code, item.path) for item in found.findings if item.severity == "error"] == [("nested", inner)]


def test_a_nested_cache_that_nobody_named_is_a_warning_and_stops_nothing(tree: Any, probes: Any) -> None:
    places = [Place(tree.go_mod("w/mod"), "go-mod", "a", "x"), Place(tree.go_build("w/mod/in"), "go-build", "b", "y")]
    found = run(tree, probes, places)
    assert [(item.code, item.severity) for item in found.findings] == [("nested", "warning")]
    assert len(found.candidates) == 2


def test_limits_and_unreadable_places_are_findings(tree: Any, probes: Any) -> None:
    for i in range(30):
        tree.folder("w/d%02d/x" % i)
    found = run(tree, probes, [], [], [tree.path("w")], limits=Limits(directories=10))
    cut = next(item for item in found.findings if item.code == "truncated")
    assert (cut.severity, "10 directories" in cut.message) == ("warning", True)
    found = run(tree, probes, [], [], [tree.path("w")], limits=Limits(depth=0))
    assert [(item.code, item.severity) for item in found.findings] == [("truncated", "info")]


def test_ci_roots_can_be_left_out_and_the_ci_system_is_still_known(tree: Any, probes: Any) -> None:
    gitlab(tree, "/ci/builds")
    tree.go_mod("host/ci/builds/p/mod")
    found = run(tree, probes, ci_roots=False)
    assert (found.candidates, found.roots, found.systems) == ([], [], ["gitlab"])
    assert "no-cache-found" in codes(found)


def test_nothing_on_the_host_is_changed_by_looking(tree: Any, probes: Any) -> None:
    gitlab(tree, "/ci/builds")
    tree.go_mod("host/ci/builds/p/mod")
    tree.go_build("w/c")

    def picture() -> List[Any]:
        seen = []
        for base, folders, files in os.walk(tree.path()):
            for name in [".", *folders, *files]:
                st = os.lstat(os.path.join(base, name))
                seen.append((base, name, st.st_ino, st.st_mode, st.st_mtime_ns, st.st_ctime_ns, st.st_size))
        return sorted(seen)

    before = picture()
    run(tree, probes, [], [tree.path("w/*")], [tree.path()])
    assert picture() == before
