# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from typing import Any, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._discover import search as room
from ansible_collections.gofleet.cache.plugins.module_utils._discover.search import Limits, SearchRoot, search
from ansible_collections.gofleet.cache.plugins.module_utils._fs.mounts import Mount


def found(result: room.SearchResult) -> List[str]:
    return sorted(item.path for item in result.found)


def run(probes: Any, *paths: str, **more: Any) -> room.SearchResult:
    return search([SearchRoot(path, "a test") for path in paths], probes, **more)


def test_caches_are_found_where_ci_puts_them_each_with_kind_owner_and_identity(tree: Any, probes: Any) -> None:
    mod = tree.go_mod("builds/group/project/.go/pkg/mod")
    build = tree.go_build("builds/group/project/.cache/go-build")
    result = run(probes, tree.path("builds"))
    assert {item.path: item.kind for item in result.found} == {mod: "go-mod", build: "go-build"}
    st = os.stat(mod)
    item = next(item for item in result.found if item.kind == "go-mod")
    assert (item.owner_uid, item.device, item.inode) == (st.st_uid, st.st_dev, st.st_ino)
    assert tree.path("builds") in item.why
    assert item.root == tree.path("builds")


def test_what_lies_below_a_found_cache_is_not_searched(tree: Any, probes: Any) -> None:
    mod = tree.go_mod("go/pkg/mod")
    tree.go_build("go/pkg/mod/example.com/m@v1.0.0/testdata/cache")
    assert found(run(probes, tree.path())) == [mod]


def test_a_root_that_is_itself_a_cache_is_found(tree: Any, probes: Any) -> None:
    assert found(run(probes, tree.go_build("c"))) == [tree.path("c")]


def test_the_same_directory_by_two_names_is_found_once(tree: Any, probes: Any) -> None:
    mod = tree.go_mod("a/b/mod")
    os.symlink(tree.path("a"), tree.path("link"))
    result = run(probes, tree.path(), tree.path("a"), tree.path("a/b"), tree.path("link"), mod)
    assert found(result) == [mod]


def test_a_root_may_be_a_symlink_and_both_names_are_told(tree: Any, probes: Any) -> None:
    mod = tree.go_mod("real/mod")
    os.symlink(tree.path("real"), tree.path("link"))
    item = run(probes, tree.path("link")).found[0]
    assert (item.path, item.root) == (mod, tree.path("link"))


def test_symlinks_below_a_root_are_never_followed_and_loops_end(tree: Any, probes: Any) -> None:
    tree.go_mod("outside/mod")
    tree.folder("in/deep")
    os.symlink(tree.path("outside"), tree.path("in/out"))
    os.symlink(tree.path("in"), tree.path("in/deep/loop"))
    os.symlink("self", tree.path("in/self"))
    result = run(probes, tree.path("in"))
    assert (found(result), result.directories, result.truncated) == ([], 2, [])


def test_a_root_that_is_a_loop_a_file_or_missing_is_a_stated_skip(tree: Any, probes: Any) -> None:
    os.symlink("loop", tree.path("loop"))
    tree.write("file")
    result = run(probes, tree.path("loop"), tree.path("file"), tree.path("none"))
    assert [item.reason for item in result.skipped] == ["not-a-directory", "not-a-directory", "missing"]
    assert result.looked_at == []


def test_names_with_newlines_and_undecodable_bytes_are_found_as_they_are(tree: Any, probes: Any) -> None:
    mod = tree.go_mod("a\nb\t/mod")
    odd = os.fsencode(tree.path()) + b"/\xff\xfe"
    os.makedirs(odd + b"/mod/cache/download")
    assert found(run(probes, tree.path())) == sorted([mod, os.fsdecode(odd) + "/mod"])


def test_an_unreadable_folder_is_a_stated_skip_and_the_rest_is_searched(
    tree: Any, probes: Any, monkeypatch: Any
) -> None:
    mod = tree.go_mod("z/mod")
    locked = tree.folder("locked")
    os.chmod(locked, 0)
    if os.access(locked, os.R_OK):  # root: the refusal is played instead
        real = room.dirs.open_dir

        def refuse(name: str, dir_fd: Any = None) -> int:
            if name == "locked":
                raise PermissionError(13, "Permission denied", name)
            return real(name, dir_fd)

        monkeypatch.setattr(room.dirs, "open_dir", refuse)
    result = run(probes, tree.path())
    os.chmod(locked, 0o755)
    assert found(result) == [mod]
    assert [(item.path, item.reason) for item in result.skipped] == [(locked, "unreadable")]


def test_depth_is_bounded_and_said(tree: Any, probes: Any) -> None:
    deep = tree.go_mod("1/2/3/4/5/6/7/8")
    tree.go_mod("1/2/3/4/5/6/7/x/9")
    result = run(probes, tree.path())
    assert found(result) == [deep]
    assert [(cut.limit, cut.path, cut.total) for cut in result.truncated] == [
        ("depth", tree.path("1/2/3/4/5/6/7/x"), 1)
    ]
    assert len(found(run(probes, tree.path(), limits=Limits(depth=9)))) == 2


def test_ten_thousand_directories_are_searched_and_a_smaller_limit_cuts_and_says_where(tree: Any, probes: Any) -> None:
    for i in range(10000):
        os.mkdir(tree.path("d%05d" % i))
    mod = tree.go_mod("d09999/mod")
    whole = run(probes, tree.path())
    assert (found(whole), whole.truncated) == ([mod], [])
    # mod is found, so what is below it is not counted: the root, the folders, the cache
    assert whole.directories == 10002
    part = run(probes, tree.path(), limits=Limits(directories=500))
    assert part.directories <= 500
    # names beyond the limit are not even kept in memory: the cut is told where it happened
    assert [(cut.limit, cut.path) for cut in part.truncated] == [("directories", tree.path())]
    assert part.found == []


def test_a_time_limit_cuts_and_says_where(tree: Any, probes: Any) -> None:
    for i in range(50):
        os.mkdir(tree.path("d%02d" % i))
    ticks = iter(range(10000))
    result = run(probes, tree.path(), limits=Limits(seconds=10), clock=lambda: float(next(ticks)))
    assert [cut.limit for cut in result.truncated] == ["seconds"]
    assert result.truncated[0].total > 30
    assert 0 < result.directories < 20


def test_a_large_root_does_not_starve_a_later_one(tree: Any, probes: Any) -> None:
    for i in range(300):
        os.makedirs(tree.path("big/d%03d/x/y" % i))
    mod = tree.go_mod("small/mod")
    assert found(run(probes, tree.path("big"), tree.path("small"), limits=Limits(directories=310))) == [mod]


def test_more_roots_than_descriptors_are_searched(tree: Any, probes: Any) -> None:
    paths = [tree.folder("volumes/v%04d/_data" % i) for i in range(300)]
    mod = tree.go_mod("volumes/v0299/_data/mod")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        result = run(probes, *paths)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (found(result), result.skipped) == ([mod], [])


def test_repositories_and_go_installations_are_not_entered_and_node_modules_only_a_little(
    tree: Any, probes: Any
) -> None:
    tree.go_mod("w/.git/mod")
    tree.go_mod("go1.24/src/mod")
    tree.folder("go1.24/bin")
    tree.write("go1.24/VERSION", "go1.24")
    tree.folder("mirror/objects", "mirror/refs")
    tree.write("mirror/HEAD")
    tree.go_mod("mirror/objects/mod")
    near = tree.go_mod("w/node_modules/.cache/mod")
    tree.go_mod("w/node_modules/a/b/mod")
    result = run(probes, tree.path())
    assert found(result) == [near]
    assert [cut.limit for cut in result.truncated] == ["node_modules"]


def test_the_kernels_trees_are_never_entered(probes: Any) -> None:
    result = run(probes, "/proc", "/sys", "/dev", "/proc/self/fd", "/")
    assert result.directories == 0
    assert {item.reason for item in result.skipped} == {"pseudo-file-system"}


def test_mounts_below_a_root_are_skipped_and_container_volumes_are_not(tree: Any, probes: Any) -> None:
    tree.go_mod("builds/other/mod")
    volume = tree.go_mod("engine/volumes/v/_data/go/mod")
    tree.go_mod("engine/auto/mod")
    named = tree.go_mod("named/disk/mod")
    table = [
        Mount(1, tree.path("builds/other"), "ext4", "relative", False),
        Mount(2, tree.path("engine/volumes/v/_data"), "ext4", "relative", False),
        Mount(3, tree.path("engine/auto"), "autofs", "relative", False),
        Mount(4, tree.path("named/disk"), "xfs", "relative", False),
    ]
    result = run(
        probes, tree.path("builds"), tree.path("engine"), tree.path("named"), tree.path("named/disk"), mount_table=table
    )
    assert found(result) == sorted([volume, named])
    assert [(item.path, item.reason) for item in result.skipped] == [
        (tree.path("builds/other"), "mount"),
        (tree.path("engine/auto"), "pseudo-file-system"),
    ]


def test_a_bind_mount_of_the_same_device_is_not_entered(tree: Any) -> None:
    tree.go_mod("outside/mod")
    tree.folder("root/bound", "root/plain")
    script = (
        "import sys; sys.path[:0] = %r\n"
        "from ansible_collections.gofleet.cache.plugins.module_utils._discover.search import SearchRoot, search\n"
        "import os\n"
        "def probe(fd, path):\n"
        "    return 'go-mod' if 'cache' in os.listdir(fd) else None\n"
        "r = search([SearchRoot(%r, 'x')], [probe])\n"
        "print([f.path for f in r.found], [s.reason for s in r.skipped])\n"
        "r = search([SearchRoot(%r, 'x'), SearchRoot(%r, 'x')], [probe])\n"
        "print(len(r.found), [s.reason for s in r.skipped])\n"
    ) % (sys.path, tree.path("root"), tree.path("root"), tree.path("root/bound"))
    command = 'mount --bind "$1" "$2" && exec "$3" -c "$4"'
    out = subprocess.run(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            command,
            "sh",
            tree.path("outside"),
            tree.path("root/bound"),
            sys.executable,
            script,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if out.returncode != 0 and ("not permitted" in out.stderr or "denied" in out.stderr):
        pytest.skip("needs the right to mount")
    assert out.stdout.splitlines() == ["[] ['mount']", "1 []"], out.stderr


def test_looking_leaves_access_times_as_they_are(tree: Any, probes: Any) -> None:
    tree.go_build("a/c")
    old = 1000000000 * 10**9
    for path in (tree.path(), tree.path("a"), tree.path("a/c")):
        os.utime(path, ns=(old, old))
    run(probes, tree.path())
    assert {os.stat(path).st_atime_ns for path in (tree.path(), tree.path("a"), tree.path("a/c"))} == {old}


def test_a_folder_swapped_for_a_symlink_while_searching_leads_nowhere(tree: Any) -> None:
    tree.go_mod("outside/mod")
    for i in range(40):
        tree.folder("in/d%02d/e/f" % i)
    stop = threading.Event()

    def attack() -> None:
        while not stop.is_set():
            for i in range(40):
                place = tree.path("in/d%02d" % i)
                try:
                    os.rename(place, place + ".away")
                    os.symlink(tree.path("outside"), place)
                    os.unlink(place)
                    os.rename(place + ".away", place)
                except OSError:
                    pass

    seen: List[str] = []

    def probe(fd: int, path: str) -> None:
        seen.append(os.readlink("/proc/self/fd/%d" % fd))

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        for _number in range(30):
            run([probe], tree.path("in"))
    finally:
        stop.set()
        thread.join()
    assert len(seen) > 30
    assert not [path for path in seen if not path.startswith(tree.path("in"))]


def test_a_probe_that_fails_is_a_stated_skip(tree: Any) -> None:
    def broken(fd: int, path: str) -> None:
        raise OSError(5, "Input/output error")

    assert [item.reason for item in run([broken], tree.path()).skipped] == ["unreadable"]


def test_no_descriptor_is_left_open(tree: Any, probes: Any) -> None:
    tree.go_mod("a/b/c/mod")
    tree.folder("x/y/z")
    before = len(os.listdir("/proc/self/fd"))
    run(probes, tree.path(), tree.path("missing"), tree.path("a"))
    assert len(os.listdir("/proc/self/fd")) == before


def home_of(name: str) -> str:
    return {"ci": "/home/ci", "daemon": "/", "nobody": "/nonexistent"}[name]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty"),
        ("  \t", "empty"),
        ("off", "off"),
        (" OFF ", "off"),
        ("go/pkg/mod", "relative"),
        ("./x", "relative"),
        (".", "relative"),
        ("..", "relative"),
        ("$HOME/go", "variable"),
        ("~", "without an account"),
        ("~/go", "without an account"),
        ("~who/go", "no account"),
        ("~daemon", "no home of its own"),
        ("~nobody/go", "no home of its own"),
        ("/", "root of the file system"),
        ("//", "root of the file system"),
        ("/.", "root of the file system"),
        ("/./", "root of the file system"),
        ("/builds/../etc", "'..'"),
        ("/a\0b", "NUL"),
        ("/builds/**/mod", "\\*\\*"),
        (None, "not a text"),
        (5, "not a text"),
        (["/x"], "not a text"),
    ],
)
def test_what_can_never_be_meant_is_refused_with_the_reason_and_a_way_out(value: Any, reason: str) -> None:
    with pytest.raises(room.BadPath, match=reason) as caught:
        room.plain(value, home_of)
    assert repr(value) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/a//b/./c/", "/a/b/c"),
        ("//a", "/a"),
        ("~ci/go/pkg/mod", "/home/ci/go/pkg/mod"),
        ("~ci", "/home/ci"),
        ("/with space/$x\n", "/with space/$x\n"),
    ],
)
def test_good_paths_come_out_absolute_and_normal(value: str, expected: str) -> None:
    assert room.plain(value, home_of) == expected


def test_wildcards_match_within_a_folder_as_a_shell_does(tree: Any) -> None:
    one = tree.folder("builds/a/.go/pkg/mod")
    two = tree.folder("builds/b/.go/pkg/mod")
    tree.folder("builds/.hidden/.go/pkg/mod", "builds/c/go/pkg/mod")
    tree.write("builds/file")
    result = room.expand(tree.path("builds/*/.go/pkg/mod"))
    assert (result.paths, result.pattern, result.unreadable) == ([one, two], True, [])
    assert room.expand(tree.path("builds/[ab]")).paths == [tree.path("builds/a"), tree.path("builds/b")]
    assert room.expand(tree.path("builds/?")).paths == [tree.path("builds/" + name) for name in "abc"]
    assert room.expand(tree.path("builds/.*")).paths == [tree.path("builds/.hidden")]
    assert room.expand(tree.path("builds/x*")).paths == []


def test_a_wildcard_never_follows_a_symlink_and_says_which_it_passed(tree: Any) -> None:
    tree.folder("victim/.go", "builds/good/.go")
    os.symlink(tree.path("victim"), tree.path("builds/evil"))
    result = room.expand(tree.path("builds/*/.go"))
    assert result.paths == [tree.path("builds/good/.go")]
    assert result.links == [tree.path("builds/evil")]
    # a name that was written out is the user's own word
    assert room.expand(tree.path("builds/evil/.go")).paths == [tree.path("builds/evil/.go")]


def test_a_path_that_exists_as_written_is_taken_as_written(tree: Any) -> None:
    odd = tree.folder("odd[1]")
    tree.folder("odd1")
    result = room.expand(odd)
    assert (result.paths, result.pattern) == ([odd], False)


def test_a_plain_path_that_does_not_exist_is_returned_as_it_is(tree: Any) -> None:
    assert room.expand(tree.path("none/x")) == room.Expanded([tree.path("none/x")], False, [], [], False)


def test_a_folder_that_a_wildcard_cannot_read_is_told(tree: Any, monkeypatch: Any) -> None:
    locked = tree.folder("locked")
    os.chmod(locked, 0)
    if os.access(locked, os.R_OK):
        real = os.scandir

        def refuse(path: Any) -> Any:
            if path == locked:
                raise PermissionError(13, "Permission denied", path)
            return real(path)

        monkeypatch.setattr(room.os, "scandir", refuse)
    result = room.expand(locked + "/*/x")
    os.chmod(locked, 0o755)
    assert (result.paths, result.unreadable) == ([], [locked])


def test_too_many_matches_are_cut_and_told(tree: Any) -> None:
    for i in range(30):
        tree.folder("d%02d" % i)
    result = room.expand(tree.path("*"), limit=10)
    assert (len(result.paths), result.truncated) == (10, True)
