# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Callable, Dict, Iterator, List, Optional

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict as core
from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs, identity, worker
from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_work
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_work import evict, live, survey, trees
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, mountspace, synthetic

DAY = synthetic.DAY
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Killed(BaseException):
    """Nothing of this process runs after this."""


@pytest.fixture
def place() -> Iterator[pathlib.Path]:
    """A temporary directory as a system has it."""
    with tempfile.TemporaryDirectory(prefix="place") as name:
        path = pathlib.Path(name).resolve()
        path.chmod(0o1777)
        yield path


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go commands of other tests do not count; those that a test starts are put in by itself."""
    monkeypatch.setattr(live, "_go", lambda _base: None)


def make(place: pathlib.Path, name: str = "go-build123", uid: int = -1) -> pathlib.Path:
    folder = place / name
    (folder / "b001/_pkg_").mkdir(parents=True)
    (folder / "b002").mkdir()
    for file in ("b001/importcfg", "b001/_pkg_/x.o", "b002/_pkg_.a", "swig_intsize.go"):
        (folder / file).write_bytes(b"x" * 5000)
    if uid >= 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(str(path), uid, uid)
    folder.chmod(0o700)
    return folder


def root_of(place: pathlib.Path) -> identity.Root:
    found = go_work.open_place(str(place))
    assert found is not None
    return found


def plan_of(
    root: identity.Root, later: float = 30 * DAY, rule: Optional[Dict[str, object]] = None
) -> planner.CachePlan:
    """The plan of a month later: what was just made shows that in its ctime."""
    now = time.time_ns() + later * 10**9
    seen = survey.survey(root)._replace(last_build=now)
    context = planner.Context(now, {root.device: synthetic.NOBODY}, (), {})
    wanted = {"kind": "go-work", "max_age": "2d"} if rule is None else rule
    return planner.make([seen], policies.parse({"caches": [wanted]}, ("go-work",)), context).caches[0]


def purge(
    place: pathlib.Path,
    step: Callable[[str], None] = lambda _name: None,
    before: Callable[[], None] = lambda: None,
    uid: Optional[int] = None,
    seconds: float = 60.0,
) -> core.Outcome:
    root = root_of(place)
    try:
        plan = plan_of(root)
        before()
        job = synthetic.job(step=step, seconds=seconds)
        if uid is None:
            return evict.apply(root, plan, job)
        return core.Outcome.of(worker.as_owner(uid, uid, lambda _ask: evict.apply(root, plan, job).data(), {}))
    finally:
        os.close(root.fd)


def holds(place: pathlib.Path) -> List[str]:
    root = root_of(place)
    try:
        seen = survey.survey(root)
        return [seen.holds[number] for number in seen.entries.hold]
    finally:
        os.close(root.fd)


def skipped(out: core.Outcome) -> Dict[str, int]:
    return {reason: cell[0] for reason, cell in out.skipped.items()}


def test_a_temporary_directory_is_opened_only_where_a_work_folder_lies(place: pathlib.Path) -> None:
    assert go_work.open_place(str(place)) is None
    (place / "go-build").mkdir(mode=0o700)
    (place / "go-build12x").mkdir(mode=0o700)
    (place / "go-build7").write_text("", encoding="ascii")
    (place / "go-build8").symlink_to("go-build")
    (place / "go-build9").mkdir()
    (place / "go-build9").chmod(0o755)
    assert go_work.open_place(str(place)) is None
    make(place)
    os.close(root_of(place).fd)
    with pytest.raises(identity.Refused):
        go_work.open_place("tmp")


def test_old_work_folders_go_and_nothing_else(place: pathlib.Path) -> None:
    gone, odd = make(place), ["go-build", "go-build12x", "go-link-1", "gopath1", "go-build9"]
    for name in odd:
        (place / name).mkdir()
        (place / name / "x").write_text("x", encoding="ascii")
    (place / "go-build77").symlink_to("go-link-1")
    before = gocaches.photograph(place, atime=False)
    out = purge(place)
    assert (out.evicted, out.error, out.skipped, out.notes) == (1, "", {}, [])
    after = gocaches.photograph(place, atime=False)
    assert after == {name: what for name, what in before.items() if not name.startswith(gone.name)}


def test_bytes_and_inodes_told_are_those_given_back(place: pathlib.Path) -> None:
    folder = make(place)
    os.link(str(folder / "b002/_pkg_.a"), str(place / "kept.a"))
    inodes = 1 + sum(1 for _path in folder.rglob("*"))
    before = int(subprocess.run(["du", "-sB1", str(place)], capture_output=True, check=True).stdout.split()[0])
    root = root_of(place)
    plan = plan_of(root)
    os.close(root.fd)
    out = purge(place)
    after = int(subprocess.run(["du", "-sB1", str(place)], capture_output=True, check=True).stdout.split()[0])
    assert before - after == out.freed == plan.bytes
    assert out.inodes == inodes
    assert (place / "kept.a").read_bytes() == b"x" * 5000


def test_nothing_younger_than_the_floor_goes_whatever_the_policy_asks(place: pathlib.Path) -> None:
    make(place)
    root = root_of(place)
    try:
        for rule in ({"kind": "go-work", "max_age": "0s"}, {"kind": "go-work", "wipe": True}):
            assert len(plan_of(root, later=DAY - 60, rule=rule).rows) == 0
            assert len(plan_of(root, later=DAY + 60, rule=rule).rows) == 1
    finally:
        os.close(root.fd)


def test_a_file_written_deep_inside_counts_as_use(place: pathlib.Path) -> None:
    folder = make(place)
    root = root_of(place)
    try:
        then = time.time_ns()
        (folder / "b001/_pkg_/y.o").write_bytes(b"y")
        assert survey.survey(root).entries.used[0] >= then - 10**8
    finally:
        os.close(root.fd)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "b003").mkdir(), core.USED),
        (lambda folder: (folder / "b001/new").write_text("", encoding="ascii"), core.USED),
        (lambda folder: folder.chmod(0o755), core.USED),
        (lambda folder: folder.rename(folder.parent / "elsewhere"), core.GONE),
        (lambda folder: (folder.rename(folder.parent / "old"), make(folder.parent)), core.CHANGED),
        (lambda folder: (folder.rename(folder.parent / "old"), folder.symlink_to("old")), core.CHANGED),
    ],
)
def test_what_changed_since_the_plan_stays(
    place: pathlib.Path, change: Callable[[pathlib.Path], object], reason: str
) -> None:
    folder = make(place)

    def later() -> None:
        time.sleep(0.02)
        change(folder)

    out = purge(place, before=later)
    assert (skipped(out), out.evicted) == ({reason: 1}, 0)
    assert len(list(place.rglob("importcfg"))) >= 1


def test_a_folder_swapped_after_the_last_look_gets_its_name_back(place: pathlib.Path) -> None:
    folder = make(place)

    def swap(name: str) -> None:
        if name == "checked":
            folder.rename(place / "old")
            (place / "new/precious").mkdir(parents=True)
            (place / "new").rename(folder)

    out = purge(place, step=swap)
    assert skipped(out) == {core.CHANGED: 1}
    assert (folder / "precious").is_dir()
    assert (place / "old/b001/importcfg").exists()


def test_a_folder_swapped_in_right_before_the_removal_stays(place: pathlib.Path) -> None:
    """Where others may write the temporary directory without its sticky bit, they may rename what is in it."""
    place.chmod(0o777)
    make(place)
    precious = place / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")

    def swap(name: str) -> None:
        if name == "renamed":
            (aside,) = place.glob("go-build123.evicted-*")
            aside.rename(place / "elsewhere")
            precious.rename(aside)

    out = purge(place, swap)
    (left,) = place.glob("go-build123.evicted-*")
    assert ((left / "file").read_text(), out.evicted) == ("x", 0)


@pytest.mark.parametrize("step", ["checked", "renamed", "deleted"])
def test_what_a_killed_run_left_goes_next_time(place: pathlib.Path, step: str) -> None:
    make(place)
    make(place, "go-build456")

    def die(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        purge(place, step=die)
    assert purge(place).error == ""
    assert list(place.iterdir()) == []


def test_a_removal_that_was_cut_off_is_finished(place: pathlib.Path) -> None:
    folder = make(place)
    folder.rename(place / "go-build123.evicted-5")
    for name in ("b001/importcfg", "b002/_pkg_.a"):
        (place / "go-build123.evicted-5" / name).unlink()
    out = purge(place)
    assert (out.evicted, list(place.iterdir())) == (1, [])


def test_no_time_left_is_told(place: pathlib.Path) -> None:
    make(place)
    assert skipped(purge(place, seconds=-1)) == {core.TIME: 1}


def test_what_go_does_not_make_in_a_work_folder_keeps_it(place: pathlib.Path) -> None:
    folder = make(place)
    (folder / "src").mkdir()
    assert holds(place) == ["no work folder"]
    (folder / "src").rmdir()
    (folder / "link").symlink_to("/etc")
    assert holds(place) == ["no work folder"]


def test_a_symlink_in_a_work_folder_is_removed_and_not_followed(place: pathlib.Path) -> None:
    folder = make(place)
    (place / "else").mkdir()
    (place / "else/sentinel").write_text("", encoding="ascii")
    (folder / "b001/out").symlink_to("../../else")
    assert purge(place).evicted == 1
    assert (place / "else/sentinel").exists()


def test_a_mount_inside_keeps_the_folder_and_what_is_mounted(tmp_path: pathlib.Path) -> None:
    code = """
        import pathlib
        from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_work
        from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_work import live, survey
        live._go = lambda base: None
        top = pathlib.Path(sys.argv[1])
        (top / "go-build1/b001").mkdir(parents=True)
        (top / "go-build1").chmod(0o700)
        (top / "else").mkdir()
        bind(str(top / "else"), str(top / "go-build1/b001"))
        (top / "go-build2").mkdir(mode=0o700)
        bind(str(top / "else"), str(top / "go-build2"))
        (top / "else").chmod(0o700)
        seen = survey.survey(go_work.open_place(str(top)))
        print([seen.holds[number] for number in seen.entries.hold])
        """
    assert mountspace.run(code, str(tmp_path)) == "['not reached whole', 'not reached whole']"


def test_a_mount_that_comes_during_the_removal_is_not_entered(tmp_path: pathlib.Path) -> None:
    code = """
        import os, pathlib, time
        from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner, policy as policies
        from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_work
        from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_work import evict, live, survey
        from ansible_collections.gofleet.cache.tests.fixtures import synthetic
        live._go = lambda base: None
        top = pathlib.Path(sys.argv[1])
        (top / "go-build1/b001").mkdir(parents=True)
        (top / "go-build1").chmod(0o700)
        (top / "else").mkdir()
        (top / "else/sentinel").write_text("")
        root = go_work.open_place(str(top))
        now = time.time_ns() + 30 * 86400 * 10**9
        seen = survey.survey(root)._replace(last_build=now)
        rules = policies.parse({"caches": [{"kind": "go-work", "max_age": "2d"}]}, ("go-work",))
        plan = planner.make([seen], rules, planner.Context(now, {root.device: synthetic.NOBODY}, (), {})).caches[0]
        def step(name):
            if name == "renamed":
                aside = [path for path in top.iterdir() if ".evicted-" in path.name][0]
                bind(str(top / "else"), str(aside / "b001"))
        out = evict.apply(root, plan, synthetic.job(step=step))
        print(len(plan.rows), (top / "else/sentinel").exists(), out.notes != [])
        """
    assert mountspace.run(code, str(tmp_path)) == "1 True True"


# --- owners


@as_root
def test_each_folder_goes_with_its_owners_rights_only(place: pathlib.Path) -> None:
    make(place, "go-build1")
    theirs = make(place, "go-build2", NOBODY)
    root = root_of(place)
    seen = survey.survey(root)
    os.close(root.fd)
    assert seen.owners[0][0] == 0
    assert [seen.owners[number][0] for number in seen.entries.owner] == [0, NOBODY]
    out = purge(place)
    assert (out.evicted, skipped(out)) == (1, {core.OWNER: 1})
    assert theirs.exists()
    out = purge(place, uid=NOBODY)
    assert (out.evicted, out.error) == (1, "")
    assert list(place.iterdir()) == []


@as_root
def test_a_folder_in_a_place_of_somebody_else_stays(place: pathlib.Path) -> None:
    make(place)
    os.chown(str(place), NOBODY, NOBODY)
    assert holds(place) == ["other owner"]
    os.chown(str(place), 0, 0)
    assert holds(place) == [""]
    os.chown(str(place / "go-build123"), NOBODY, NOBODY)
    place.chmod(0o777)
    assert holds(place) == ["other owner"]


@as_root
def test_a_folder_with_another_owner_inside_stays(place: pathlib.Path) -> None:
    os.chown(str(make(place) / "b001"), NOBODY, NOBODY)
    assert holds(place) == ["other owner"]


@as_root
def test_without_root_only_ones_own_folders_are_looked_at(place: pathlib.Path) -> None:
    make(place, "go-build1")
    make(place, "go-build2", NOBODY)
    assert worker.as_owner(NOBODY, NOBODY, lambda _ask: holds(place), {}) == ["other owner", ""]


@as_root
def test_a_hostile_owner_who_swaps_folders_for_symlinks_loses_only_what_is_his(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "look", lambda _pattern, _proc: live.Live(frozenset(), (), 0, True))
    outside = place / "outside"
    (outside / "b001").mkdir(parents=True)
    (outside / "b001/sentinel").write_text("", encoding="ascii")
    os.chown(str(outside / "b001"), NOBODY, NOBODY)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for folder in place.glob("go-build*"):
                try:
                    (folder / "b001").rename(folder / "b009")
                    (folder / "b001").symlink_to(outside / "b001")
                    (folder / "b001").unlink()
                    (folder / "b009").rename(folder / "b001")
                except OSError:
                    pass
            stop.wait(rest[0])

    rest = [0.0]
    gone = number = 0
    until = time.monotonic() + 120
    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        # Under attack a folder is left more often than not.
        while number < 60 or (not gone and time.monotonic() < until):
            rest[0] = 0.02 if number >= 60 else 0.0  # who never rests keeps all: each folder changes before it goes
            make(place, "new", NOBODY).rename(place / ("go-build%d" % number))
            gone += purge(place, uid=NOBODY).evicted
            number += 1
    finally:
        stop.set()
        attacker.join()
    assert gone > 0
    assert (outside / "b001/sentinel").exists()


# --- in use


def run_in(code: str, *args: str, **more: object) -> subprocess.Popen[bytes]:
    """A process that has done *code* and then waits."""
    text = "import os, sys, time\n%s\nprint(1, flush=True)\ntime.sleep(60)" % code
    process = subprocess.Popen([sys.executable, "-c", text, *args], stdout=subprocess.PIPE, **more)  # type: ignore[call-overload]
    assert process.stdout is not None
    process.stdout.readline()
    return process  # type: ignore[no-any-return]


@pytest.mark.parametrize("way", ["cwd", "open", "argument", "environment", "executable"])
def test_what_a_running_process_names_stays(place: pathlib.Path, way: str) -> None:
    folder = make(place)
    other = make(place, "go-build1234")
    if way == "cwd":
        process = run_in("os.chdir(%r)" % str(folder / "b001"))
    elif way == "open":
        process = run_in("handle = open(%r)" % str(folder / "b001/importcfg"))
    elif way == "argument":
        process = run_in("", str(folder / "b001"))
    elif way == "environment":
        process = run_in("", env=dict(os.environ, TMPDIR=str(folder)))
    else:
        target = folder / "b001/x.test"
        target.write_bytes(pathlib.Path("/bin/sleep").read_bytes())
        target.chmod(0o755)
        process = subprocess.Popen([str(target), "60"])
    try:
        assert holds(place) == ["in use", ""]
    finally:
        process.kill()
        process.wait()
    assert holds(place) == ["", ""]
    assert other.exists()


def test_a_go_command_that_is_older_than_the_folder_holds_it(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(place)
    made = folder.stat().st_mtime_ns
    for start, uid, told in (
        (made - 10**10, os.geteuid(), ["in use"]),
        (made + 10**10, os.geteuid(), [""]),
        (made - 10**10, os.geteuid() + 1, [""]),
    ):
        monkeypatch.setattr(live, "_go", lambda _base, found=(uid, start): found)
        assert holds(place) == told


def test_where_no_process_is_in_sight_everything_stays(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    make(place)
    root = root_of(place)
    seen = survey.survey(root, str(tmp_path))
    os.close(root.fd)
    assert [seen.holds[number] for number in seen.entries.hold] == ["processes not visible"]


@pytest.mark.once
def test_a_build_that_was_killed_leaves_what_goes_and_one_that_runs_is_held(
    place: pathlib.Path, go_binary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    project = place / "p"
    project.mkdir()
    (project / "go.mod").write_text("module example.org/p\n\ngo 1.21\n", encoding="ascii")
    code = 'package p\n\nimport (\n\t"testing"\n\t"time"\n)\n\nfunc TestLong(*testing.T) { time.Sleep(time.Minute) }\n'
    (project / "p_test.go").write_text(code, encoding="ascii")
    env = {"HOME": str(place), "PATH": os.environ["PATH"], "TMPDIR": str(place), "GOTOOLCHAIN": "local"}
    env.update(GOFLAGS="-mod=mod", CGO_ENABLED="0", GOTELEMETRY="off", GOENV="off")
    process = subprocess.Popen([go_binary, "test", "./..."], cwd=str(project), env=env, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while not list(place.glob("go-build*/b*/*.test")) and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(0.5)
        assert holds(place) == ["in use"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    until = time.monotonic() + 20
    while holds(place) == ["in use"] and time.monotonic() < until:
        time.sleep(0.2)
    if live.look(survey._NAMED).gos:
        monkeypatch.setattr(live, "_go", lambda _base: None)
    assert holds(place) == [""]
    assert purge(place).evicted == 1


def test_while_a_program_starts_nobody_can_tell_what_is_in_use(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The kernel shows its environment some milliseconds later; one that stays so keeps everything."""
    folder = tmp_path / "7"
    for name in ("cwd", "root", "exe"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to("/bin/true")
    for name in ("maps", "environ", "cmdline"):
        (folder / name).touch()
    (folder / "stat").write_text("7 (true) %s\n" % " ".join(["R"] + ["0"] * 49))
    assert not live.look(survey._NAMED, str(tmp_path)).seen
    (folder / "environ").write_bytes(b"TMPDIR=/x\0")
    assert live.look(survey._NAMED, str(tmp_path)).seen


def test_looking_changes_nothing(place: pathlib.Path) -> None:
    make(place)
    gocaches.age_access(place)
    before = gocaches.photograph(place)
    assert holds(place) == [""]
    assert gocaches.photograph(place) == before


def test_a_deep_tree_costs_no_stack(place: pathlib.Path) -> None:
    folder = make(place)
    fd = os.open(str(folder / "b001"), os.O_RDONLY)
    for _level in range(700):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert holds(place) == ["not reached whole"]
    opened = dirs.open_path(str(place))
    job = synthetic.job()
    root = root_of(place)
    eviction = trees.Eviction(root, survey.survey(root).entries, job)
    eviction.remove(0, folder.name, opened.fd)
    os.close(opened.fd)
    os.close(root.fd)
    assert not folder.exists()
