# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import threading
import time
from typing import Any, Callable, Dict, List, Optional

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict as core
from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._core.survey import Survey
from ansible_collections.gofleet.cache.plugins.module_utils._fs import identity, mounts, worker
from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_toolcache
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_toolcache import evict, survey
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_work import live
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, synthetic

DAY = synthetic.DAY
NOBODY = 65534
LABEL = "golang.org/toolchain@v0.0.1-go%s.linux-amd64"
QUIET = live.Live(frozenset(), (), 0, True)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
really_look = live.look


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that records access times, processes that use nothing, no waiting."""

    class _Anything(Dict[int, mounts.Mount]):
        def get(self, number: int, _default: Any = None) -> mounts.Mount:
            return mounts.Mount(number, "/", "ext4", "relative", False)

    monkeypatch.setattr(mounts, "by_id", _Anything)
    monkeypatch.setattr(live, "look", lambda _pattern, _proc: QUIET)
    monkeypatch.setattr(evict, "_SETTLE", 0.0)


@pytest.fixture
def tools(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path.resolve() / "tools/go"
    for version in ("1.20.1", "1.22.3", "1.23.0-rc.1"):
        install(top / version / "x64", {"1.23.0-rc.1": "1.23rc1"}.get(version, version))
        (top / version / "x64.complete").write_text("", encoding="ascii")
    return top


def install(folder: pathlib.Path, version: str) -> None:
    for name in ("bin/go", "bin/gofmt", "pkg/tool/linux_amd64/compile", "src/fmt/print.go", "VERSION"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * 5000)
    (folder / "VERSION").write_text("go%s\ntime 2026-01-01T00:00:00Z\n" % version, encoding="ascii")
    (folder / "bin/go").chmod(0o755)


def sdk_of(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path.resolve() / "home/sdk"
    for version in ("go1.20.1", "go1.22rc2"):
        install(top / version, version[2:])
        (top / version / ".unpacked-success").write_text("", encoding="ascii")
    (top / "gotip/.git").mkdir(parents=True)
    (top / "android").mkdir()
    return top


def opened(path: pathlib.Path) -> identity.Root:
    return identity.open_root(str(path), go_toolcache.looks_like, go_toolcache.KIND, frozenset())


def seen(path: pathlib.Path) -> Survey:
    root = opened(path)
    try:
        return survey.survey(root)
    finally:
        os.close(root.fd)


def holds(path: pathlib.Path) -> Dict[str, str]:
    told = seen(path)
    rows = range(len(told.entries))
    return {os.fsdecode(told.entries.key(row)): told.holds[told.entries.hold[row]] for row in rows}


def plan_of(told: Survey, rule: Optional[Dict[str, object]] = None, later: int = 90 * DAY) -> planner.CachePlan:
    now = time.time_ns() + later * 10**9
    context = planner.Context(now, {told.cache.device: synthetic.NOBODY}, (), {})
    document = {"caches": [dict({"max_age": "30d"} if rule is None else rule, kind=go_toolcache.KIND)]}
    return planner.make(
        [told._replace(last_build=now)], policies.parse(document, (go_toolcache.KIND,)), context
    ).caches[0]


def purge(
    path: pathlib.Path,
    step: Callable[[str], None] = lambda _name: None,
    before: Callable[[], None] = lambda: None,
    uid: Optional[int] = None,
    seconds: float = 60.0,
    rule: Optional[Dict[str, object]] = None,
) -> core.Outcome:
    root = opened(path)
    try:
        plan = plan_of(survey.survey(root), rule)
        before()
        job = synthetic.job(step=step, seconds=seconds)
        if uid is None:
            return evict.apply(root, plan, job)
        return core.Outcome.of(worker.as_owner(uid, uid, lambda _ask: evict.apply(root, plan, job).data(), {}))
    finally:
        os.close(root.fd)


def skipped(out: core.Outcome) -> Dict[str, int]:
    return {reason: cell[0] for reason, cell in out.skipped.items()}


def found_by_jobs(top: pathlib.Path) -> List[str]:
    """What tool-cache's find() finds: the folder, and its mark."""
    folders = top.glob("*/*")
    return sorted(f.parent.name for f in folders if f.is_dir() and (f.parent / (f.name + ".complete")).exists())


# --- identity


def test_both_layouts_show_their_face(tools: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for path in (tools, sdk_of(tmp_path)):
        os.close(opened(path).fd)


@pytest.mark.parametrize(
    "name", ["1.22.3/x64/bin", "1.22/x64/bin/go", "go1.22.3/bin/go", "x/y/bin/go", "1.2.3/X/bin/go"]
)
def test_what_only_resembles_one_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "go" / name).parent.mkdir(parents=True)
    (tmp_path / "go" / name).write_text("", encoding="ascii")
    with pytest.raises(identity.Refused):
        opened(tmp_path / "go")


def test_a_symlink_for_a_toolchain_is_none(tools: pathlib.Path) -> None:
    (tools / "1.21.0").mkdir()
    (tools / "1.21.0/x64").symlink_to("../1.20.1/x64")
    (tools / "1.21.0/x64.complete").write_text("", encoding="ascii")
    assert "1.21.0/x64" not in holds(tools)
    only = tools.parent / "other/go"
    only.mkdir(parents=True)
    (only / "1.20.1").symlink_to(tools / "1.20.1")
    with pytest.raises(identity.Refused):
        opened(only)


def test_places_come_from_settings_and_homes() -> None:
    environs = [{"RUNNER_TOOL_CACHE": "/srv/tools"}, {"AGENT_TOOLSDIRECTORY": "relative"}, {}]
    found = go_toolcache.places(environs, ["/home/ci", ""])
    assert {"/srv/tools/go", "/opt/hostedtoolcache/go", "/home/ci/sdk"} <= set(found)
    assert all(path.startswith("/") for path in found)


# --- survey


def test_each_toolchain_has_a_label_and_a_rank(tools: pathlib.Path) -> None:
    install(tools / "1.22.3/arm64", "1.22.3")
    shutil.move(str(tools / "1.22.3/arm64/pkg/tool/linux_amd64"), str(tools / "1.22.3/arm64/pkg/tool/linux_arm64"))
    (tools / "1.22.3/arm64.complete").write_text("", encoding="ascii")
    told = seen(tools)
    ranks = dict(zip(told.labels, told.ranks))
    assert ranks == {
        LABEL % "1.20.1": 2,
        LABEL % "1.22.3": 1,
        LABEL % "1.23rc1": 0,
        "golang.org/toolchain@v0.0.1-go1.22.3.linux-arm64": 0,
    }
    assert holds(tools)["1.22.3/arm64"] == "newest of its platform"
    assert told.totals["toolchains"] == 4
    assert told.evidence == "atime of the go command"


def test_running_go_counts_as_use_and_looking_does_not(tools: pathlib.Path) -> None:
    gocaches.age_access(tools)
    before = gocaches.photograph(tools)
    first = seen(tools)
    assert gocaches.photograph(tools) == before
    then = time.time_ns() + 5 * 10**9
    st = (tools / "1.20.1/x64/bin/go").stat()
    os.utime(str(tools / "1.20.1/x64/bin/go"), ns=(then, st.st_mtime_ns))
    second = seen(tools)
    assert first.entries.used[0] < then == second.entries.used[0]


@pytest.mark.parametrize(("fstype", "atime"), [("ext4", "none"), ("overlay", "relative")])
def test_where_use_leaves_no_trace_everything_stays(
    tools: pathlib.Path, monkeypatch: pytest.MonkeyPatch, fstype: str, atime: str
) -> None:
    number = mounts.Mount(1, "/", fstype, atime, False)
    table = type("Table", (), {"get": lambda _self, _id: number})()
    monkeypatch.setattr(mounts, "by_id", lambda: table)
    assert set(holds(tools).values()) == {"no access times"}
    assert purge(tools).evicted == 0


def test_what_has_no_mark_may_have_been_put_there_by_hand(tools: pathlib.Path) -> None:
    (tools / "1.20.1/x64.complete").unlink()
    assert holds(tools)["1.20.1/x64"] == "no mark of completion"


def test_what_the_systems_go_leads_to_stays(tools: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tools.parent / "go-link"
    link.symlink_to(tools / "1.20.1/x64/bin/go")
    monkeypatch.setattr(survey, "_SYSTEM_LINKS", (str(link) + "*",))
    assert holds(tools) == {
        "1.20.1/x64": "the system's go",
        "1.22.3/x64": "",
        "1.23.0-rc.1/x64": "newest of its platform",
    }


@pytest.mark.parametrize("way", ["PATH", "GOROOT", "executable", "container"])
def test_what_a_running_process_relies_on_stays(tools: pathlib.Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(live, "look", really_look)
    env = dict(os.environ)
    program = "/bin/sleep"
    if way == "PATH":
        env["PATH"] = "%s/1.20.1/x64/bin:%s" % (tools, env["PATH"])
    elif way == "GOROOT":
        env["GOROOT"] = "%s/1.20.1/x64" % tools
    elif way == "container":  # where a job's container has the tool cache
        env["PATH"] = "/__t/go/1.20.1/x64/bin:" + env["PATH"]
    else:
        program = str(tools / "1.20.1/x64/bin/go")
        shutil.copy("/bin/sleep", program)
    process = subprocess.Popen([program, "60"], env=env)
    try:
        told = holds(tools)
    finally:
        process.kill()
        process.wait()
    assert (told["1.20.1/x64"], told["1.22.3/x64"]) == ("in use", "")


def test_an_sdk_in_the_path_of_a_process_stays(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = sdk_of(tmp_path)
    monkeypatch.setattr(live, "look", really_look)
    process = subprocess.Popen(["/bin/sleep", "60"], env={"PATH": str(sdk / "go1.20.1/bin")})
    try:
        assert holds(sdk) == {"go1.20.1": "in use", "go1.22rc2": ""}
    finally:
        process.kill()
        process.wait()


# --- eviction


def test_old_ones_go_and_jobs_find_only_the_rest(tools: pathlib.Path) -> None:
    out = purge(tools)
    assert (out.evicted, out.error, out.skipped, out.notes) == (2, "", {}, [])
    assert found_by_jobs(tools) == ["1.23.0-rc.1"]
    assert sorted(path.name for path in tools.glob("*/*")) == ["x64", "x64.complete"]
    again = purge(tools)
    assert (again.evicted, again.skipped) == (0, {})


def test_what_is_given_back_is_what_was_told(tools: pathlib.Path) -> None:
    def du(option: str) -> int:
        return int(subprocess.run(["du", "-s", option, str(tools)], capture_output=True, check=True).stdout.split()[0])

    plan = plan_of(seen(tools))
    before, inodes = du("-B1"), du("--inodes")
    out = purge(tools)
    assert before - du("-B1") == out.freed == plan.bytes
    assert inodes - du("--inodes") == out.inodes == sum(plan.survey.entries.inodes[row] for row in plan.rows)


def test_what_is_private_need_not_be_known(tools: pathlib.Path) -> None:
    told = seen(tools)
    now = time.time_ns() + 90 * DAY * 10**9
    policy = policies.parse({"caches": [{"kind": go_toolcache.KIND, "max_age": "30d"}]}, (go_toolcache.KIND,))
    context = planner.Context(now, {told.cache.device: synthetic.NOBODY}, None, {}, {told.cache.path: True})
    assert len(planner.make([told._replace(last_build=now)], policy, context).caches[0].rows) == 2


def test_an_attacker_who_swaps_folders_for_symlinks_reaches_nothing_outside(tools: pathlib.Path) -> None:
    outside = tools.parent / "outside"
    (outside / "x64").mkdir(parents=True)
    (outside / "x64/sentinel").write_text("", encoding="ascii")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for folder in (*tools.glob("1.20.*"), *tools.glob("1.20.*/*"), *tools.glob("1.20.*/*/src")):
                try:
                    folder.rename(tools / "away")
                    folder.symlink_to(outside / ("x64" if folder.name != "x64" else "."))
                    folder.unlink()
                    (tools / "away").rename(folder)
                except OSError:
                    pass
            stop.wait(rest[0])

    rest = [0.0]
    attacker = threading.Thread(target=swap)
    attacker.start()
    gone = number = 0
    until = time.monotonic() + 120
    try:
        # Under attack a toolchain may be left.
        while number < 100 or (not gone and time.monotonic() < until):
            rest[0] = 0.02 if number >= 100 else 0.0  # who never rests keeps all: each folder changes before it goes
            install(tools.parent / "new/x64", "1.20.%d" % number)
            (tools.parent / "new/x64.complete").write_text("", encoding="ascii")
            (tools.parent / "new").rename(tools / ("1.20.%d" % (number + 2)))
            gone += purge(tools).evicted
            number += 1
    finally:
        stop.set()
        attacker.join()
    assert gone > 0
    assert (outside / "x64/sentinel").exists()


def test_a_named_one_goes_and_keep_keeps(tools: pathlib.Path) -> None:
    out = purge(tools, rule={"modules": [LABEL % "1.20.1"]})
    assert out.evicted == 1
    assert found_by_jobs(tools) == ["1.22.3", "1.23.0-rc.1"]
    out = purge(tools, rule={"max_age": "1d", "keep": [LABEL % "1.22.*"]})
    assert out.evicted == 0


def test_nothing_younger_than_floor_and_grain_goes(tools: pathlib.Path) -> None:
    told = seen(tools)
    assert len(plan_of(told, {"max_age": "0s"}, 2 * DAY - 60).rows) == 0
    assert len(plan_of(told, {"max_age": "0s"}, 2 * DAY + 60).rows) == 2


def test_the_mark_goes_first_and_comes_back_when_somebody_ran_it(tools: pathlib.Path) -> None:
    marks: List[List[str]] = []

    def step(name: str) -> None:
        if name == "unmarked":
            marks.append(found_by_jobs(tools))
            st = (tools / "1.20.1/x64/bin/go").stat()
            os.utime(str(tools / "1.20.1/x64/bin/go"), ns=(time.time_ns() + 10**9, st.st_mtime_ns))

    out = purge(tools, step=step)
    assert marks == [["1.23.0-rc.1"]]
    assert (out.evicted, skipped(out)) == (1, {core.USED: 1})
    assert found_by_jobs(tools) == ["1.20.1", "1.23.0-rc.1"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda top: (top / "1.20.1/x64/new").write_text("", encoding="ascii"), core.USED),
        (lambda top: shutil.rmtree(str(top / "1.20.1/x64")), core.GONE),
        (lambda top: ((top / "1.20.1/x64").rename(top / "old"), install(top / "1.20.1/x64", "1.20.1")), core.CHANGED),
        (
            lambda top: ((top / "1.20.1/x64").rename(top / "o"), (top / "1.20.1/x64").symlink_to(top / "o")),
            core.CHANGED,
        ),
        (lambda top: ((top / "1.20.1").rename(top / "o"), (top / "1.20.1").symlink_to(top / "o")), core.ERROR),
    ],
)
def test_what_changed_since_the_plan_stays(
    tools: pathlib.Path, change: Callable[[pathlib.Path], object], reason: str
) -> None:
    def later() -> None:
        time.sleep(0.02)
        change(tools)

    out = purge(tools, before=later, rule={"modules": [LABEL % "1.20.1"]})
    assert (out.evicted, skipped(out)) == (0, {reason: 1})


def test_one_that_was_installed_anew_meanwhile_keeps_its_mark(tools: pathlib.Path) -> None:
    def step(name: str) -> None:
        if name == "unmarked":
            shutil.rmtree(str(tools / "1.20.1/x64"))
            (tools / "filler").mkdir()  # so that the new folder gets another inode
            install(tools / "1.20.1/x64", "1.20.1")
            (tools / "1.20.1/x64.complete").write_text("new", encoding="ascii")

    out = purge(tools, step=step, rule={"modules": [LABEL % "1.20.1"]})
    assert skipped(out) in ({core.CHANGED: 1}, {core.USED: 1})
    assert (tools / "1.20.1/x64.complete").read_text(encoding="ascii") == "new"
    assert (tools / "1.20.1/x64/bin/go").exists()


@pytest.mark.parametrize("layout", ["tools", "sdk"])
@pytest.mark.parametrize("step", ["unmarked", "renamed", "deleted"])
def test_what_a_killed_run_left_goes_next_time(
    tools: pathlib.Path, tmp_path: pathlib.Path, step: str, layout: str
) -> None:
    top = tools if layout == "tools" else sdk_of(tmp_path)

    def die(name: str) -> None:
        if name == step:
            os._exit(7)

    # What comes back by hand only goes by its exact name.
    rule: Dict[str, object] = {"max_age": "30d", "modules": [] if layout == "tools" else ["golang.org/toolchain@*"]}
    pid = os.fork()
    if pid == 0:
        try:
            purge(top, step=die, rule=rule)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] >> 8 == 7
    assert "1.20.1" not in found_by_jobs(top)
    assert not (top / "go1.20.1/.unpacked-success").exists()
    assert purge(top, rule=rule).error == ""
    assert [path.name for path in top.rglob("*") if ".evict" in path.name] == []


def test_a_run_that_ends_early_gives_the_marks_back(tools: pathlib.Path) -> None:
    def fail(name: str) -> None:
        raise RuntimeError(name)

    out = purge(tools, step=fail)
    assert out.error == "RuntimeError: unmarked"
    assert found_by_jobs(tools) == ["1.20.1", "1.22.3", "1.23.0-rc.1"]
    assert skipped(purge(tools, seconds=-1)) == {core.TIME: 2}


def test_what_an_installation_left_that_was_cut_off_goes(tools: pathlib.Path) -> None:
    (tools / "1.19.0/x64/src").mkdir(parents=True)
    (tools / "1.19.0/x64/src/big").write_bytes(b"x" * 9000)
    assert holds(tools)["1.19.0/x64"] == ""
    assert purge(tools).evicted == 3
    assert not (tools / "1.19.0/x64").exists()


def test_an_sdk_is_not_found_any_more_before_it_goes(tmp_path: pathlib.Path) -> None:
    sdk = sdk_of(tmp_path)
    told = seen(sdk)
    assert told.labels == [LABEL % "1.20.1", LABEL % "1.22rc2"]
    assert [told.tiers[tier].name for tier in told.entries.tier] == ["sdk", "sdk"]
    out = purge(sdk, rule={"modules": [LABEL % "1.20.1"]})
    assert (out.evicted, out.error, out.skipped) == (1, "", {})
    assert sorted(path.name for path in sdk.iterdir()) == ["android", "go1.22rc2", "gotip"]


@as_root
def test_each_goes_with_its_owners_rights_only(tools: pathlib.Path) -> None:
    for path in (tools, *list(tools.parents)[:3]):
        path.chmod(0o755)
    for path in (tools / "1.20.1", *(tools / "1.20.1").rglob("*")):
        os.chown(str(path), NOBODY, NOBODY)
    told = seen(tools)
    assert [told.owners[number][0] for number in told.entries.owner] == [NOBODY, 0, 0]
    out = purge(tools)
    assert (out.evicted, skipped(out)) == (1, {core.OWNER: 1})
    assert found_by_jobs(tools) == ["1.20.1", "1.23.0-rc.1"]


@as_root
def test_a_mixture_of_owners_stays(tools: pathlib.Path) -> None:
    os.chown(str(tools / "1.20.1/x64/src"), NOBODY, NOBODY)
    os.chown(str(tools / "1.22.3"), NOBODY, NOBODY)
    told = holds(tools)
    assert (told["1.20.1/x64"], told["1.22.3/x64"]) == ("other owner", "other owner")


def test_symlinks_inside_are_removed_and_not_followed(tools: pathlib.Path) -> None:
    (tools.parent / "precious").mkdir()
    (tools.parent / "precious/sentinel").write_text("", encoding="ascii")
    (tools / "1.20.1/x64/src/link").symlink_to(tools.parent / "precious")
    os.link(str(tools / "1.20.1/x64/bin/go"), str(tools.parent / "kept"))
    mode = (tools.parent / "kept").stat().st_mode
    assert purge(tools).evicted == 2
    assert (tools.parent / "precious/sentinel").exists()
    assert (tools.parent / "kept").stat().st_mode == mode


def test_every_toolchain_of_the_tests_is_one(go_binary: str, tmp_path: pathlib.Path) -> None:
    """A real Go, as setup-go would have put it there."""
    real = pathlib.Path(os.path.realpath(go_binary)).parent.parent
    if not (real / "VERSION").exists():
        pytest.skip("needs a Go with its VERSION file")
    top = tmp_path.resolve() / "go"
    folder = top / "1.99.0/x64"
    folder.mkdir(parents=True)
    shutil.copytree(str(real / "bin"), str(folder / "bin"))
    (folder / "pkg/tool").mkdir(parents=True)
    for name in (real / "pkg/tool").iterdir():
        (folder / "pkg/tool" / name.name).mkdir()
    shutil.copy(str(real / "VERSION"), str(folder / "VERSION"))
    (top / "1.99.0/x64.complete").write_text("", encoding="ascii")
    told = seen(top)
    wanted = subprocess.run(
        [str(real / "bin/go"), "env", "GOVERSION", "GOHOSTOS", "GOHOSTARCH"], check=True, capture_output=True
    )
    version, system, arch = wanted.stdout.decode().split()[:3]
    assert told.labels == ["golang.org/toolchain@v0.0.1-%s.%s-%s" % (version, system, arch)]
