# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tiers of a module cache beside trees and zips: spare zips, clones, toolchains; ranks and votes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import threading
import time
from typing import Any, Dict, List, Optional, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict as core
from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import Survey
from ansible_collections.gofleet.cache.plugins.module_utils._go import running
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_mod import CLONE, TIERS, clones, evict, survey
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.table import KINDS
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, goproxy, synthetic

A, B = "example.com/Azure/a@v1.0.0", "example.com/b@v1.0.0"
GIT = "https://git.example.com/team/repo.git"
DAY = synthetic.DAY
BUSY = core.Activity(((4711, 1, "go"),), True)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evict, "_SETTLE", 0.0)


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> synthetic.Mod:
    made = synthetic.Mod(tmp_path.resolve() / "mod")
    for label in (A, B):
        made.add(label)
    return made


def plan_of(
    seen: Survey, document: Optional[Dict[str, object]] = None, busy: bool = False, private: Sequence[str] = ()
) -> planner.Plan:
    """The plan of 400 days later; *busy*: for a cap of nothing while the cache is in use, when spare zips go first."""
    now = time.time_ns() + 400 * DAY * synthetic.SECOND
    seen = seen._replace(last_build=now)
    path = seen.cache.path
    context = planner.Context(now, {seen.cache.device: synthetic.NOBODY}, tuple(private), {path: False})
    if busy:
        context = context._replace(busy=frozenset((path,)))
        document = document or {"max_size": 0}
    return planner.make([seen], policies.parse(document or {"wipe": True}, KINDS), context)


def purge(cache: synthetic.Mod, work: Optional[core.Job] = None, **more: Any) -> core.Outcome:
    return synthetic.apply(cache.path, plan_of(cache.survey(), **more), work)


def rows(seen: Survey) -> Dict[str, int]:
    return {seen.entries.key(row).decode(): row for row in range(len(seen.entries))}


# --- ranks


def test_the_newest_version_that_is_here_has_rank_zero(cache: synthetic.Mod) -> None:
    order = ["v1.10.0", "v1.10.0-rc.2", "v1.10.0-rc.1", "v1.9.0", "v1.0.0", "v0.0.0-20240102150405-abcdef123456"]
    for version in order:
        if version != "v1.0.0":
            cache.add("example.com/b@" + version, size=10)
    cache.add("example.com/b@v2.0.0+incompatible", size=10)
    cache.add("example.com/b@v3.0.0", tree=False, packed=False)  # known by its go.mod only
    seen = cache.survey()
    ranked = {label: seen.ranks[number] for number, label in enumerate(seen.labels)}
    expected = {"example.com/b@" + version: rank for rank, version in enumerate(["v2.0.0+incompatible", *order])}
    assert ranked == dict(expected, **{A: 0})


def test_toolchains_are_ranked_by_gos_version_for_each_platform(cache: synthetic.Mod) -> None:
    versions = ["go1.26.10.linux-amd64", "go1.26.8.linux-amd64", "go1.26.0.linux-amd64", "go1.26rc1.linux-amd64"]
    versions += ["go1.9.7.linux-amd64", "go1.26.9.linux-arm64"]
    found = survey.ranks([("golang.org/toolchain", "v0.0.1-" + version) for version in versions])
    assert found == [0, 1, 2, 3, 4, 0]


VERSIONS = st.builds(
    lambda a, b, c, pre: "v%d.%d.%d%s" % (a, b, c, pre),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(0, 2),
    st.sampled_from(["", "-rc.1", "-rc.10", "-0.20240102150405-abcdef123456", "+incompatible"]),
)


@given(st.lists(st.tuples(st.sampled_from(["a.b/c", "a.b/d", "golang.org/toolchain"]), VERSIONS), unique=True))
def test_ranks_of_a_module_count_up_from_zero_whatever_the_order(versions: List[Any]) -> None:
    found = dict(zip(versions, survey.ranks(versions)))
    for path in {path for path, _version in versions}:
        mine = [rank for (name, _version), rank in found.items() if name == path]
        assert sorted(mine) == list(range(len(mine)))
    random.Random(1).shuffle(versions)
    assert dict(zip(versions, survey.ranks(versions))) == found


def test_keep_newest_keeps_versions_and_no_clone(cache: synthetic.Mod) -> None:
    cache.add("example.com/b@v1.1.0")
    clone(cache)
    purge(cache, document={"caches": [{"kind": "go-mod", "wipe": True, "keep_newest": 1}]})
    assert not cache.tree(B).exists()
    assert cache.tree("example.com/b@v1.1.0").exists()
    assert not list((cache.path / "cache/vcs").glob("?" * 64))


# --- a zip whose tree stays


def test_both_halves_of_a_version_have_one_group(cache: synthetic.Mod) -> None:
    seen = cache.survey()
    at = rows(seen)
    for label, folder in ((A, "example.com/!azure/a"), (B, "example.com/b")):
        tree, packed = at[folder + "@v1.0.0"], at["cache/download/%s/@v/v1.0.0.zip" % folder]
        assert seen.labels[seen.entries.group[tree]] == seen.labels[seen.entries.group[packed]] == label
        assert seen.entries.waits[packed] == tree


def test_while_builds_run_zips_go_and_trees_wait(cache: synthetic.Mod) -> None:
    plan = plan_of(cache.survey(), busy=True)
    out = synthetic.apply(cache.path, plan, synthetic.job(scan=lambda: BUSY))
    assert (out.evicted, out.freed, out.skipped) == (2, plan.bytes, {})
    assert plan.caches[0].pending["max_size"][0] == 2
    for label in (A, B):
        assert not cache.at(label, "zip").exists()
        assert cache.at(label, "ziphash").exists()
        assert cache.tree(label).exists()
    seen = cache.survey()
    assert {seen.tiers[tier].name for tier in seen.entries.tier} == {"bare tree"}
    assert purge(cache, synthetic.job(scan=lambda: BUSY)).evicted == 0
    assert purge(cache).evicted == 2


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda cache: cache.at(B, "partial").touch(), core.USED),
        (lambda cache: cache.at(B, "ziphash").unlink(), core.CHANGED),
        (lambda cache: os.truncate(str(cache.at(B, "ziphash")), 0), core.CHANGED),
        (lambda cache: shutil.rmtree(str(cache.tree(B))), core.CHANGED),
        (lambda cache: cache.at(B, "zip").write_bytes(b"another"), core.USED),
        (lambda cache: cache.at(B, "zip").unlink(), core.GONE),
    ],
)
def test_a_zip_stays_where_its_tree_is_not_the_complete_one(cache: synthetic.Mod, spoil: Any, reason: str) -> None:
    plan = plan_of(cache.survey(), busy=True)
    for folder, _names, _files in os.walk(str(cache.tree(B))):
        os.chmod(folder, 0o755)
    spoil(cache)
    there = cache.at(B, "zip").exists()
    out = synthetic.apply(cache.path, plan)
    assert {name: cell[0] for name, cell in out.skipped.items()} == {reason: 1}
    assert cache.at(B, "zip").exists() == there
    assert not cache.at(A, "zip").exists()


def test_a_zip_that_is_being_extracted_is_locked(cache: synthetic.Mod) -> None:
    plan = plan_of(cache.survey(), busy=True)
    with open(str(cache.at(B, "lock")), "r+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert list(synthetic.apply(cache.path, plan).skipped) == [core.LOCKED]
    assert cache.at(B, "zip").exists()


def test_a_plan_that_names_both_halves_takes_only_the_tree(cache: synthetic.Mod) -> None:
    """No planner makes such a plan; a saved one that was changed could."""
    steps = plan_of(cache.survey()).caches[0]
    entries = steps.survey.entries
    out = synthetic.apply(
        cache.path, planner.Plan((steps._replace(rows=type(steps.rows)("i", range(len(entries)))),), None, True, (), "")
    )
    assert list(out.skipped) == [core.USED]
    assert cache.at(A, "zip").exists()
    assert not cache.tree(A).exists()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, go_binary: str) -> gocaches.Caches:
    lib = goproxy.make_module("example.com/lib", "v1.0.0", files=300)
    user = goproxy.make_module("example.com/Azure/user", "v1.2.0", [("example.com/lib", "v1.0.0")])
    return gocaches.make_caches(tmp_path_factory.mktemp("home"), go_binary, modules=[lib, user])


def _project(folder: pathlib.Path) -> pathlib.Path:
    """A program without the standard library's packages: its cold build is little more than what it requires."""
    folder.mkdir()
    mod = "module example.org/p\n\ngo 1.21\n\nrequire (\n\texample.com/Azure/user v1.2.0\n\texample.com/lib v1.0.0\n)\n"
    (folder / "go.mod").write_text(mod, encoding="ascii")
    code = 'package main\n\nimport "example.com/Azure/user"\n\nfunc main() { println(user.Hello()) }\n'
    (folder / "main.go").write_text(code, encoding="ascii")
    return folder


def _of(caches: gocaches.Caches) -> synthetic.Mod:
    cache = synthetic.Mod.__new__(synthetic.Mod)
    cache.path = caches.mod
    return cache


@pytest.mark.once
def test_without_zips_everything_works_that_needs_no_download(filled: gocaches.Caches, tmp_path: pathlib.Path) -> None:
    caches = gocaches.copy_of(filled, tmp_path / "copy")
    project = _project(tmp_path / "project")
    assert purge(_of(caches), synthetic.job(scan=lambda: BUSY), busy=True).evicted == 2
    assert not list(caches.mod.rglob("*.zip"))
    for command in (["build", "-o", "p", "."], ["mod", "verify"], ["mod", "vendor"], ["vet", "./..."]):
        done = caches.run(*command, cwd=project, GOPROXY="off")
        assert done.returncode == 0, (command, done.stderr)
    assert caches.run("mod", "download", cwd=project).returncode == 0  # and what is gone comes back
    assert len(list(caches.mod.rglob("*.zip"))) == 2


@pytest.mark.once
def test_zips_that_go_while_others_extract_harm_no_build(filled: gocaches.Caches, tmp_path: pathlib.Path) -> None:
    """Every round begins with zips only; a build extracts them while the zips of complete trees are taken."""
    project = _project(tmp_path / "project")
    taken = number = 0
    # On a slow machine a round may end before anything is whole.
    while number < 4 or (not taken and number < 40):
        number += 1
        caches = gocaches.copy_of(filled, tmp_path / ("copy%d" % number))
        cache = _of(caches)
        for tree in survey.trees(cache.survey()):
            shutil.rmtree(str(caches.mod / tree))
        results: List[Any] = []

        def build(caches: gocaches.Caches, done: List[Any]) -> None:
            done.append(caches.run("build", "-o", os.devnull, ".", cwd=project, GOPROXY="off"))

        builders = [threading.Thread(target=build, args=(caches, results)) for _number in range(2)]
        for thread in builders:
            thread.start()
        while any(thread.is_alive() for thread in builders):
            plan = plan_of(cache.survey(), busy=True)
            steps = plan.caches[0]
            spare = [row for row in steps.rows if steps.survey.entries.waits[row] >= 0]
            only = steps._replace(rows=type(steps.rows)("i", spare))
            taken += synthetic.apply(
                caches.mod, plan._replace(caches=(only,)), synthetic.job(scan=lambda: BUSY)
            ).evicted
        for thread in builders:
            thread.join()
        for done in results:
            assert done.returncode == 0, done.stderr
        done = caches.run("build", "-o", os.devnull, ".", cwd=project, GOPROXY="off")
        assert done.returncode == 0, done.stderr
    assert taken > 0


# --- clones


def clone(cache: synthetic.Mod, address: str = GIT, kind: str = "git3") -> pathlib.Path:
    """A clone as codehost.WorkDir and git make it."""
    text = "%s:%s" % (kind, address)
    folder = cache.path / "cache/vcs" / hashlib.sha256(text.encode()).hexdigest()
    (folder / "objects/pack").mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n", encoding="ascii")
    (folder / "config").write_text('[remote "origin"]\n\turl = %s\n' % address, encoding="ascii")
    (folder / "objects/pack/pack-1.pack").write_bytes(b"x" * 9000)
    folder.with_name(folder.name + ".info").write_text(text, encoding="ascii")
    folder.with_name(folder.name + ".lock").touch()
    return folder


def of_clone(seen: Survey) -> Dict[str, str]:
    """Labels or holds of the clones."""
    entries = seen.entries
    return {
        entries.key(row).decode(): seen.holds[entries.hold[row]] or seen.labels[entries.group[row]]
        for row in range(len(entries))
        if entries.tier[row] == CLONE
    }


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("https://git.example.com/team/repo", "git.example.com/team/repo"),
        ("https://git.example.com/team/repo.git", "git.example.com/team/repo"),
        ("https://user:p%40ss@Git.Example.com:8443/team/repo.git/", "git.example.com/team/repo"),
        ("https://user:p@ss@git.example.com/team/repo", "git.example.com/team/repo"),
        ("ssh://git@git.example.com/team/Repo.git", "git.example.com/team/Repo"),
        ("git+ssh://git@git.example.com:29418/team/repo", "git.example.com/team/repo"),
        ("git@git.example.com:team/repo.git", "git.example.com/team/repo"),
        ("git://git.example.com/repo", "git.example.com/repo"),
        ("https://git.sr.ht/~user/repo", "git.sr.ht/~user/repo"),
        ("file:///srv/git/repo.git", ""),
        ("https://git.example.com/", ""),
        ("https://user:pa/ss@git.example.com/repo", ""),
        ("https://localhost/repo", ""),
        ("https://git.example.com/team/../repo", ""),
        ("https://[::1]/repo", ""),
        ("/srv/git/repo.git", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_repository_as_a_module_path(address: str, path: str) -> None:
    assert clones.path_of(address) == path


@given(st.text("abc.:/@~-gitHTTPS", max_size=40))
def test_an_address_is_a_module_path_or_none(address: str) -> None:
    path = clones.path_of(address)
    assert path == "" or "@" not in path
    assert clones.label_of("git", address, ()) == (path + "@vcs" if path else "")


@pytest.mark.parametrize(
    ("modules", "label"),
    [
        ([], "git.example.com/team/repo@vcs"),
        (["git.example.com/team/repo"], "git.example.com/team/repo@vcs"),
        (["git.example.com/team/repo/v2", "git.example.com/team/repo/sub"], "git.example.com/team/repo@vcs"),
        (["git.example.com/team/repo.git", "git.example.com/team/repo.git/sub"], "git.example.com/team/repo.git@vcs"),
        (["go.corp.example/lib"], "go.corp.example/lib@vcs"),
        (["go.corp.example/lib", "go.corp.example/other"], ""),
        (["git.example.com/team/repository", "git.example.com/team/repo"], ""),
    ],
)
def test_a_clone_goes_by_the_path_that_protects_its_modules(modules: List[str], label: str) -> None:
    assert clones.label_of("git", GIT, modules) == label


def test_a_clone_is_known_by_its_address_and_by_the_modules_from_it(cache: synthetic.Mod) -> None:
    one, two = clone(cache), clone(cache, "https://git.example.com/vanity")
    cache.at(A, "info").write_text(
        '{"Version":"v1.0.0","Origin":{"VCS":"git","URL":"https://git.example.com/vanity"}}', encoding="ascii"
    )
    cache.at(B, "info").write_bytes(b'[{"Origin":3}' + b"\xff")
    assert of_clone(cache.survey()) == {
        "cache/vcs/" + one.name: "git.example.com/team/repo@vcs",
        "cache/vcs/" + two.name: "example.com/Azure/a@vcs",
    }
    hg = clone(cache, "https://hg.example.com/repo", "vcs1.hg")
    (hg / ".hg").mkdir()
    assert of_clone(cache.survey())["cache/vcs/" + hg.name] == "hg.example.com/repo@vcs"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: folder.with_name(folder.name + ".info").unlink(),
        lambda folder: folder.with_name(folder.name + ".info").write_text("git3:https://git.example.com/else"),
        lambda folder: folder.with_name(folder.name + ".info").write_text("anything"),
        lambda folder: folder.rename(folder.with_name("0" * 64)),
    ],
)
def test_a_clone_that_is_not_gos_is_held(cache: synthetic.Mod, spoil: Any) -> None:
    spoil(clone(cache))
    assert list(of_clone(cache.survey()).values()) == ["unknown clone"]
    assert purge(cache).evicted == 2  # the trees


def test_a_clone_of_nowhere_is_held(cache: synthetic.Mod) -> None:
    clone(cache, "file:///srv/git/repo.git")
    assert list(of_clone(cache.survey()).values()) == ["unknown clone"]


def test_a_private_clone_is_kept_and_one_that_cannot_come_back_too(cache: synthetic.Mod) -> None:
    folder = clone(cache)
    assert TIERS[CLONE].back == "download"
    purge(cache, private=["git.example.com"])
    purge(cache, document={"wipe": True, "keep": ["git.example.com/team"]})
    assert (folder / "objects/pack/pack-1.pack").exists()


def test_a_clone_goes_with_its_info_and_its_lock_stays(cache: synthetic.Mod) -> None:
    folder = clone(cache)
    plan = plan_of(cache.survey())
    out = synthetic.apply(cache.path, plan)
    assert (out.skipped, out.freed, out.evicted) == ({}, plan.bytes, 3)
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name + ".lock"]


def _change(path: pathlib.Path) -> None:
    path.write_text("changed", encoding="ascii")


@pytest.mark.parametrize("name", ["FETCH_HEAD", "packed-refs", "shallow"])
def test_a_clone_that_was_fetched_into_since_is_kept(cache: synthetic.Mod, name: str) -> None:
    folder = clone(cache)
    (folder / name).touch()
    plan = plan_of(cache.survey())
    time.sleep(0.02)
    _change(folder / name)
    out = synthetic.apply(cache.path, plan)
    assert list(out.skipped) == [core.USED]
    assert folder.exists()


def test_a_clone_that_was_read_since_is_kept(cache: synthetic.Mod) -> None:
    folder = clone(cache)
    plan = plan_of(cache.survey())
    st = (folder / "HEAD").stat()
    os.utime(str(folder / "HEAD"), ns=(time.time_ns() + 10**9, st.st_mtime_ns))
    assert list(synthetic.apply(cache.path, plan).skipped) == [core.USED]
    assert cache.survey().entries.used[rows(cache.survey())["cache/vcs/" + folder.name]] > time.time_ns()


def test_a_clone_in_use_is_skipped_at_once(cache: synthetic.Mod) -> None:
    folder = clone(cache)
    before = gocaches.photograph(folder)
    with open(str(folder) + ".lock", "r+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert core.LOCKED in purge(cache, synthetic.job(scan=lambda: BUSY)).skipped
    assert core.BUSY in purge(cache, synthetic.job(scan=lambda: BUSY)).skipped
    assert gocaches.photograph(folder) == before


@pytest.mark.parametrize("step", ["clones locked", "clones scanned", "clone renamed", "clone deleted"])
def test_a_kill_while_a_clone_goes_is_finished_by_the_next_run(cache: synthetic.Mod, step: str) -> None:
    folder = clone(cache)

    def die(name: str) -> None:
        if name == step:
            os._exit(0)

    pid = os.fork()
    if pid == 0:
        try:
            synthetic.apply(cache.path, plan_of(cache.survey()), synthetic.job(step=die))
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    for _number in range(2):
        assert purge(cache).error == ""
    assert {path.suffix for path in folder.parent.iterdir()} <= {".lock", ".info"}
    assert not folder.exists()


@pytest.fixture
def direct(tmp_path: pathlib.Path, go_binary: str) -> gocaches.Caches:
    """Caches of an account that fetches ``git.example.com/repo.git`` without a proxy, from a folder."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    home = tmp_path / "home"
    home.mkdir()
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "go.mod").write_text("module git.example.com/repo.git\n\ngo 1.21\n", encoding="ascii")
    (repo / "repo.go").write_text('package repo\n\nfunc Hello() string { return "hello" }\n', encoding="ascii")
    config = '[url "file://%s"]\n\tinsteadOf = https://git.example.com/repo\n[user]\n\tname = x\n\temail = x@y\n' % repo
    (home / ".gitconfig").write_text(config, encoding="ascii")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"], ["tag", "v1.0.0"], ["tag", "v1.1.0"]):
        env = {"HOME": str(home), "PATH": os.environ["PATH"]}
        subprocess.run(["git", *command], cwd=str(repo), env=env, check=True)
    proxy = goproxy.make_proxy(tmp_path / "proxy", [])
    return gocaches.Caches(home, tmp_path / "build", tmp_path / "mod", proxy, go_binary)


def test_go_clones_again_what_was_evicted(direct: gocaches.Caches) -> None:
    def download(version: str) -> None:
        done = direct.run(
            "mod", "download", "git.example.com/repo.git@" + version, GOPROXY="direct", GIT_ALLOW_PROTOCOL="file:https"
        )
        assert done.returncode == 0, done.stderr

    cache = _of(direct)
    for version in ("v1.0.0", "v1.1.0"):
        download(version)
        (found,) = of_clone(cache.survey()).items()
        assert found[1] == "git.example.com/repo.git@vcs"
        folder = direct.mod / found[0]
        assert clones.is_gos(folder.name, folder.with_name(folder.name + ".info").read_text())
        out = purge(cache, document={"caches": [{"kind": "go-mod", "modules": [found[1]]}]})
        assert (out.evicted, out.skipped) == (1, {})
        assert not folder.exists()
    assert len(list(direct.mod.rglob("*.zip"))) == 2


def test_real_git_leaves_a_sign_of_use(direct: gocaches.Caches) -> None:
    name = "git.example.com/repo.git@v1.0.0"
    assert direct.run("mod", "download", name, GOPROXY="direct").returncode == 0
    cache = _of(direct)
    plan = plan_of(cache.survey())
    time.sleep(0.02)
    for path in direct.mod.glob("cache/vcs/*/HEAD"):  # as after a day of rest
        os.utime(str(path), ns=(path.stat().st_mtime_ns - 10**15, path.stat().st_mtime_ns))
    before = cache.survey()
    row = next(row for row in range(len(before.entries)) if before.entries.tier[row] == CLONE)
    time.sleep(0.02)
    assert (
        direct.run("mod", "download", name[:-1] + "0", "git.example.com/repo.git@v1.1.0", GOPROXY="direct").returncode
        == 0
    )
    assert cache.survey().entries.used[row] > before.entries.used[row]
    only = plan.caches[0]._replace(rows=type(plan.caches[0].rows)("i", [row]))
    assert list(synthetic.apply(cache.path, plan._replace(caches=(only,))).skipped) == [core.USED]


# --- toolchains

TOOLCHAIN = "golang.org/toolchain@v0.0.1-go1.24.0.linux-amd64"


def _toolchain(cache: synthetic.Mod) -> pathlib.Path:
    """A toolchain whose go is a program that sleeps."""
    cache.add(TOOLCHAIN, size=10)
    tree = cache.tree(TOOLCHAIN)
    tree.chmod(0o755)
    (tree / "bin").mkdir()
    (tree / "pkg/tool/linux_amd64").mkdir(parents=True)
    for name in ("bin/go", "pkg/tool/linux_amd64/compile"):
        shutil.copy(str(shutil.which("sleep")), str(tree / name))
    tree.chmod(0o555)
    return tree


@pytest.mark.parametrize("name", ["bin/go", "pkg/tool/linux_amd64/compile"])
def test_a_toolchain_stays_while_a_process_runs_from_it(cache: synthetic.Mod, name: str) -> None:
    """By device and inode of the program, whatever its name and environment say."""
    tree = _toolchain(cache)
    plan = plan_of(cache.survey())
    running = subprocess.Popen([str(tree / name), "60"], env={"GOMODCACHE": "/elsewhere"})
    try:
        out = synthetic.apply(cache.path, plan)
        assert {reason: cell[0] for reason, cell in out.skipped.items()} == {core.BUSY: 1}
        assert tree.exists()
        assert not cache.at(TOOLCHAIN, "partial").exists()
    finally:
        running.kill()
        running.wait()
    assert synthetic.apply(cache.path, plan_of(cache.survey())).evicted >= 1
    assert not tree.exists()


def test_starting_a_toolchain_is_using_it(cache: synthetic.Mod) -> None:
    tree = _toolchain(cache)
    st = (tree / "bin/go").stat()
    os.utime(str(tree / "bin/go"), ns=(st.st_mtime_ns - 10**12, st.st_mtime_ns))
    row = rows(cache.survey())["golang.org/toolchain@v0.0.1-go1.24.0.linux-amd64"]
    before = cache.survey().entries.used[row]
    time.sleep(0.02)
    subprocess.run([str(tree / "bin/go"), "0"], check=True)
    assert cache.survey().entries.used[row] > before


def test_a_toolchain_that_is_known_to_run_is_held(cache: synthetic.Mod) -> None:
    tree = _toolchain(cache)
    st = tree.stat()
    seen = survey.hold_running(cache.survey(), frozenset({(st.st_dev, st.st_ino), (1, 2)}))
    plan = plan_of(seen)
    assert plan.caches[0].protected["toolchain in use"][0] == 1
    assert plan.entries == 2


# --- votes of the module index


def test_a_vote_makes_a_version_younger_and_never_older(cache: synthetic.Mod) -> None:
    seen = cache.survey()
    assert survey.trees(seen) == ["example.com/!azure/a@v1.0.0", "example.com/b@v1.0.0"]
    before = list(seen.entries.used)
    ahead = max(before) + 10**12
    voted = survey.vote(seen, {"example.com/b@v1.0.0": ahead, "example.com/!azure/a@v1.0.0": 5, "other@v1": ahead * 2})
    at = rows(voted)
    changed = {at["example.com/b@v1.0.0"], at["cache/download/example.com/b/@v/v1.0.0.zip"]}
    for row, when in enumerate(before):
        assert voted.entries.used[row] == (ahead if row in changed else when)
    assert voted.evidence == "atime of .ziphash"


def test_without_access_times_the_evidence_names_the_index(cache: synthetic.Mod) -> None:
    seen = cache.survey()._replace(evidence=survey.ARRIVAL)
    assert survey.vote(seen, {}).evidence == survey.ARRIVAL
    assert survey.vote(seen, {"other@v1.0.0": 5}).evidence == survey.ARRIVAL
    voted = survey.vote(seen, {"example.com/b@v1.0.0": 5})
    assert voted.evidence == "arrival and module index (the mount records no access times)"
    assert voted.grain == seen.grain


# --- files in use over the network


def test_a_tree_with_a_file_in_use_over_the_network_is_held(cache: synthetic.Mod) -> None:
    tree = cache.tree(B)
    tree.chmod(0o755)
    (tree / "internal").chmod(0o755)
    (tree / "internal/.nfs0000000001a2b3c400000001").touch()
    seen = cache.survey()
    at = rows(seen)
    assert seen.holds[seen.entries.hold[at["example.com/b@v1.0.0"]]] == "in use over the network"
    purge(cache)
    assert (tree / "internal/.nfs0000000001a2b3c400000001").exists()
    assert (tree / "b.go").exists()


def test_a_file_that_comes_into_use_while_its_tree_goes_stays(cache: synthetic.Mod) -> None:
    plan = plan_of(cache.survey(), document={"caches": [{"kind": "go-mod", "modules": [B]}]})

    def step(name: str) -> None:
        if name == "renamed":
            (trash,) = cache.path.glob("example.com/b@v1.0.0.tmp-*")
            trash.chmod(0o755)
            (trash / ".nfs0000000001a2b3c400000001").touch()

    out = synthetic.apply(cache.path, plan, synthetic.job(step=step))
    (trash,) = cache.path.glob("example.com/b@v1.0.0.tmp-*")
    assert [path.name for path in trash.iterdir()] == [".nfs0000000001a2b3c400000001"]
    assert "in use over the network" in out.notes[0]
    assert purge(cache).error == ""
    assert trash.exists()
    (trash / ".nfs0000000001a2b3c400000001").unlink()
    purge(cache)
    assert not trash.exists()


@pytest.mark.once
def test_clones_that_go_while_others_fetch_harm_no_download(direct: gocaches.Caches, tmp_path: pathlib.Path) -> None:
    """Between two operations a go command holds no lock on its clone: the scan after the lock is what finds it."""
    cache, root = _of(direct), tmp_path / "mod"
    failed: List[str] = []
    for number in range(20):
        subprocess.run(["git", "tag", "v1.2.%d" % number], cwd=str(tmp_path / "repo"), check=True)

    def fetch() -> None:
        for number in range(20):
            name = "git.example.com/repo.git@v1.2.%d" % number
            done = direct.run("mod", "download", name, GOPROXY="direct")
            if done.returncode:
                failed.append(done.stderr)
            time.sleep(0.1)
            until = time.monotonic() + 60
            while number == 9 and not evicted and time.monotonic() < until:
                time.sleep(0.01)  # so that also on a slow machine one goes between two downloads

    def ours(tool: running.Tool) -> bool:
        # Whoever runs Go elsewhere on this machine would let no clone go.
        try:
            return os.fsencode(str(root)) in pathlib.Path("/proc/%d/environ" % tool.pid).read_bytes()
        except OSError:
            return True

    def scan() -> core.Activity:
        st, seen = root.stat(), running.scan()
        tools = tuple(tool for tool in seen.tools if ours(tool))
        return running.users_of(seen._replace(tools=tools), st.st_dev, st.st_ino, "go-mod")

    evicted = 0
    thread = threading.Thread(target=fetch)
    thread.start()
    while thread.is_alive():
        if not list(root.glob("cache/download/git.example.com/repo.git/@v")):
            time.sleep(0.01)
            continue
        plan = plan_of(cache.survey())
        steps = plan.caches[0]
        only = [row for row in steps.rows if steps.survey.entries.tier[row] == CLONE]
        part = steps._replace(rows=type(steps.rows)("i", only))
        evicted += synthetic.apply(root, plan._replace(caches=(part,)), synthetic.job(scan=scan)).evicted
    thread.join()
    assert failed == []
    assert evicted > 0
