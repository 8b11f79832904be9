# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ast
import hashlib
import os
import pathlib
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional, Set

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core import evict as core
from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import evict
from ansible_collections.gofleet.cache.tests.fixtures import mountspace, synthetic

DAY = synthetic.DAY
HOUR = synthetic.HOUR
WIPE: Dict[str, object] = {"wipe": True}


class Killed(BaseException):
    """Nothing of this process runs after this."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evict, "_SETTLE", 0.01)


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> synthetic.Build:
    made = synthetic.Build(tmp_path.resolve() / "go-build")
    for number in range(3):
        made.put(synthetic.sha("package %d" % number), b"object %d" % number, age=90 * DAY)
        made.vet("package %d" % number, age=90 * DAY)
    made.executable("vet", b"tool", age=90 * DAY)
    return made


def skipped(out: core.Outcome) -> Dict[str, int]:
    return {reason: cell[0] for reason, cell in out.skipped.items()}


def purge(
    cache: synthetic.Build, document: Optional[Dict[str, object]] = None, work: Any = None, **more: Any
) -> core.Outcome:
    return synthetic.apply(cache.path, synthetic.make_plan(cache.survey(), document or WIPE, **more), work)


def _late_after(limit: int) -> Callable[[core.Job], bool]:
    calls = [0]

    def late(_job: core.Job) -> bool:
        calls[0] += 1
        return calls[0] > limit

    return late


def check_truth(cache: synthetic.Build, names: List[str], before: Set[str]) -> None:
    """What cmd/go concludes: facts that are found mean that findings that are not found are none (work/exec.go)."""
    now = set(cache.files())

    def found(key: str, data: bytes) -> bool:
        return key + "-a" in now and hashlib.sha256(data).hexdigest() + "-d" in now

    for name in names:
        key = synthetic.sha("facts " + name)
        if synthetic.subkey(key, "stdout") + "-a" not in before:
            continue
        if found(key, b"facts of " + name.encode()):
            assert found(synthetic.subkey(key, "stdout"), b"{}" + name.encode()), "vet of %s turned green" % name


def test_everything_old_goes_and_what_makes_it_a_cache_stays(cache: synthetic.Build) -> None:
    """F40, F43."""
    (cache.path / "fuzz/p").mkdir(parents=True)
    (cache.path / "fuzz/p/seed").touch()
    (cache.path / "CACHEDIR.TAG").touch()
    entries = len(cache.files())
    plan = synthetic.make_plan(cache.survey(), WIPE)
    out = synthetic.apply(cache.path, plan)
    assert (out.evicted, out.freed, out.skipped) == (entries, plan.bytes, {})
    assert cache.files() == []
    assert sorted(path.name for path in cache.path.iterdir() if len(path.name) > 2) == [
        "CACHEDIR.TAG",
        "README",
        "fuzz",
        "trim.txt",
    ]
    assert (cache.path / "fuzz/p/seed").exists()
    assert (cache.path / "ab").is_dir()
    assert synthetic.make_plan(cache.survey(), WIPE).entries == 0


def test_bytes_given_back_are_those_that_were_predicted(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    """F30."""
    os.link(str(next(cache.path.glob("??/*-d"))), str(tmp_path / "second"))
    before = subprocess.run(["du", "-s", "-B1", str(cache.path)], capture_output=True, text=True, check=True).stdout
    plan = synthetic.make_plan(cache.survey(), WIPE)
    out = synthetic.apply(cache.path, plan)
    after = subprocess.run(["du", "-s", "-B1", str(cache.path)], capture_output=True, text=True, check=True).stdout
    assert out.freed == plan.bytes
    assert 0 <= int(before.split()[0]) - int(after.split()[0]) - out.freed <= 4096 * 2


def test_phases_come_in_their_order(cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch) -> None:
    order: List[str] = []
    real = os.unlink

    def unlink(name: str, **more: Any) -> None:
        order.append(name[64:66] if len(name) > 60 else name)
        real(name, **more)

    monkeypatch.setattr(os, "unlink", unlink)
    purge(cache, work=synthetic.job(step=order.append))
    assert order.index("actions") == order.count("-a") - 3
    assert "-d" not in order[: order.index("quiet")]
    assert [name for name in order if len(name) > 2 and name not in ("aside", "vet")] == [
        "actions",
        "findings",
        "quiet",
        "outputs",
    ]


def _kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    count = [0]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            if count[0] >= number:
                raise Killed
            count[0] += 1
            return real(*args, **more)

        return call

    for name in ("unlink", "rename", "link", "rmdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))


def _scene(path: pathlib.Path, drift: int) -> synthetic.Build:
    """Three packages with findings; what belongs together differs by up to an hour, or was stored again since."""
    cache = synthetic.Build(path)
    for number in range(3):
        made = cache.vet("p%d" % number, age=10 * DAY + 3 * HOUR)
        names = sorted(made)
        cache.age(made[names[(number + drift) % 4]], 10 * DAY - HOUR / 2)
        cache.age(made[names[(number + drift + 1) % 4]], 10 * DAY + HOUR / 2)
    made = cache.vet("again", age=HOUR)
    cache.age(made["findings_d" if drift % 2 else "facts_d"], 90 * DAY)
    return cache


@pytest.mark.parametrize("drift", range(4))
def test_a_kill_at_any_moment_never_turns_vet_green(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, drift: int
) -> None:
    """Facts never outlive the findings that belong to them: after every single unlink and rename of a run."""
    names = ["p0", "p1", "p2", "again"]
    survived = False
    number = 0
    while not survived:
        cache = _scene(tmp_path.resolve() / ("%d" % number), drift)
        before = set(cache.files())
        plan = synthetic.make_plan(cache.survey(), {"max_age": "10d"})
        with monkeypatch.context() as patch:
            _kill_at(patch, number)
            try:
                synthetic.apply(cache.path, plan)
                survived = True
            except Killed:
                pass
        check_truth(cache, names, before)
        # The next run finishes the job, and tells the truth too.
        purge(cache, {"max_age": "10d"})
        check_truth(cache, names, before)
        assert not [name for name in cache.files() if name.endswith(".evicting")]
        number += 1
    assert number > 5


@pytest.mark.parametrize("drift", range(4))
def test_a_time_limit_at_any_moment_never_turns_vet_green(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, drift: int
) -> None:
    for number in range(20):
        cache = _scene(tmp_path.resolve() / ("%d" % number), drift)
        before = set(cache.files())
        plan = synthetic.make_plan(cache.survey(), {"max_age": "10d"})
        late = _late_after(number)
        with monkeypatch.context() as patch:
            patch.setattr(core.Job, "late", late)
            out = synthetic.apply(cache.path, plan)
        assert out.evicted + sum(skipped(out).values()) == plan.entries
        check_truth(cache, ["p0", "p1", "p2", "again"], before)


def test_a_time_limit_before_the_first_entry_evicts_nothing(cache: synthetic.Build) -> None:
    """F42."""
    before = cache.files()
    out = purge(cache, work=synthetic.job(seconds=-1))
    assert skipped(out) == {core.TIME: len(before)}
    assert cache.files() == before


def test_a_cut_in_the_actions_leaves_every_output(cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [name for name in cache.files() if name.endswith("-d")]
    calls = [0]

    def late(_job: core.Job) -> bool:
        calls[0] += 1
        return calls[0] > 2

    monkeypatch.setattr(core.Job, "late", late)
    out = purge(cache)
    assert out.evicted == 2
    assert [name for name in cache.files() if name.endswith("-d")] == outputs


# --- the last look


def _between(cache: synthetic.Build, change: Callable[[], None]) -> core.Outcome:
    """An apply of a plan that was made before *change*."""
    plan = synthetic.make_plan(cache.survey(), WIPE)
    change()
    return synthetic.apply(cache.path, plan)


def test_what_was_used_since_is_kept_and_told(cache: synthetic.Build) -> None:
    """F07."""
    action, output = cache.put(synthetic.sha("used"), b"used", age=90 * DAY)

    def use() -> None:
        cache.age(action, 0)
        cache.age(output, 0)

    out = _between(cache, use)
    assert skipped(out) == {core.USED: 2}
    assert cache.files() == sorted([action.name, output.name])
    assert {item["path"][3:] for item in out.samples} == {action.name, output.name}


def test_what_was_replaced_since_is_kept_and_told(cache: synthetic.Build) -> None:
    _action, output = cache.put(synthetic.sha("new"), b"new", age=90 * DAY)
    st = output.stat()

    def replace() -> None:
        copy = output.with_name("copy")
        copy.write_bytes(b"new")
        os.replace(str(copy), str(output))
        os.utime(str(output), ns=(st.st_atime_ns, st.st_mtime_ns))

    out = _between(cache, replace)
    assert skipped(out) == {core.CHANGED: 1}
    assert cache.files() == [output.name]


def test_what_somebody_else_took_is_not_counted_as_ours(cache: synthetic.Build) -> None:
    """F17."""
    action, output = cache.put(synthetic.sha("gone"), b"gone", age=90 * DAY)
    plan = synthetic.make_plan(cache.survey(), WIPE)
    amounts = action.stat().st_blocks * 512 + output.stat().st_blocks * 512
    action.unlink()
    output.unlink()
    out = synthetic.apply(cache.path, plan)
    assert skipped(out) == {core.GONE: 2}
    assert out.freed == plan.bytes - amounts


def test_a_whole_cache_that_vanishes_is_no_error(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    """F17."""
    plan = synthetic.make_plan(cache.survey(), WIPE)
    root = synthetic.open_root(cache.path, "go-build")
    try:
        for shard in cache.path.glob("??"):
            shard.rename(tmp_path / ("gone" + shard.name))
        out = evict.apply(root, plan.caches[0], synthetic.job())
    finally:
        os.close(root.fd)
    assert (out.evicted, out.error) == (0, "")
    assert sum(skipped(out).values()) == plan.entries


def test_a_shard_that_became_a_symlink_is_not_entered(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    """F20, F21."""
    action, _output = cache.put(synthetic.sha("x"), b"x", age=90 * DAY)
    shard = action.parent

    def swap() -> None:
        shard.rename(tmp_path / "outside")
        shard.symlink_to(tmp_path / "outside")

    names = sorted(os.listdir(str(shard)))
    out = _between(cache, swap)
    assert sorted(os.listdir(str(tmp_path / "outside"))) == names
    assert skipped(out)[core.CHANGED] == len(names)


def test_a_mount_that_came_since_is_not_entered(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    """F22."""
    action, _output = cache.put(synthetic.sha("x"), b"x", age=90 * DAY)
    code = """
    import pathlib
    from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import evict
    from ansible_collections.gofleet.cache.tests.fixtures import synthetic
    evict._SETTLE = 0
    cache = synthetic.Build.__new__(synthetic.Build)
    cache.path = pathlib.Path(sys.argv[1])
    plan = synthetic.make_plan(cache.survey(), {"wipe": True})
    root = synthetic.open_root(cache.path, "go-build")
    bind(sys.argv[2], sys.argv[2])
    out = evict.apply(root, plan.caches[0], synthetic.job())
    print(out.skipped["changed"][0], out.error)
    """
    names = os.listdir(str(action.parent))
    assert mountspace.run(code, str(cache.path), str(action.parent)) == str(len(names))
    assert os.listdir(str(action.parent)) == names


def test_an_output_that_is_read_meanwhile_gets_its_name_back(cache: synthetic.Build) -> None:
    """A build that makes it anew compares it with the old file, which dates nothing but the access."""
    _action, output = cache.put(synthetic.sha("compared"), b"compared", age=90 * DAY)

    def step(name: str) -> None:
        if name == "aside":
            aside = output.with_name(output.name + ".evicting")
            assert aside.exists()
            assert not output.exists()
            aside.read_bytes()

    out = purge(cache, work=synthetic.job(step=step))
    assert cache.files() == [output.name]
    assert skipped(out) == {core.USED: 1}


def test_an_output_that_was_made_anew_meanwhile_is_not_overwritten(cache: synthetic.Build) -> None:
    _action, output = cache.put(synthetic.sha("anew"), b"anew", age=90 * DAY)

    def step(name: str) -> None:
        if name == "aside":
            output.with_name(output.name + ".evicting").read_bytes()
            output.write_bytes(b"anew and fresh")

    purge(cache, work=synthetic.job(step=step))
    assert output.read_bytes() == b"anew and fresh"
    assert cache.files() == [output.name]


# --- findings under fire


def test_findings_stay_when_their_facts_came_back(cache: synthetic.Build) -> None:
    made = cache.vet("race", age=90 * DAY)

    def step(name: str) -> None:
        if name == "actions":
            cache.put(synthetic.sha("facts race"), b"facts of race")

    out = purge(cache, work=synthetic.job(step=step))
    left = cache.files()
    assert made["findings"].name in left
    assert made["findings_d"].name in left
    assert skipped(out)[core.GUARDED] == 2


def test_findings_that_are_stored_again_between_the_phases_keep_their_old_output(cache: synthetic.Build) -> None:
    """Their output is there already: Go leaves it as old as it looks."""
    made = cache.vet("race", age=90 * DAY)
    key = synthetic.sha("facts race")

    def step(name: str) -> None:
        if name == "findings":
            stamps = {part: made[part].stat() for part in ("facts_d", "findings_d")}
            cache.vet("race")
            for part, st in stamps.items():
                os.utime(str(made[part]), ns=(st.st_atime_ns, st.st_mtime_ns))

    purge(cache, work=synthetic.job(step=step))
    assert synthetic.subkey(key, "stdout") + "-a" in cache.files()
    check_truth(cache, ["race"], set(cache.files()))
    assert made["findings_d"].name in cache.files()


def test_findings_stored_while_their_output_goes_take_the_facts_with_them(cache: synthetic.Build) -> None:
    made = cache.vet("race", age=90 * DAY)
    key = synthetic.sha("facts race")
    content = made["findings"].read_bytes()

    def step(name: str) -> None:
        if name == "aside":  # after the look for the findings' action
            cache.put(key, b"facts of race")
            made["findings"].write_bytes(content)

    out = purge(cache, work=synthetic.job(step=step))
    check_truth(cache, ["race"], {made["findings"].name})
    assert key + "-a" not in cache.files()
    assert "an action that came back while its findings went was dropped too" in out.notes


# --- rights, odd entries, idle agents


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: works as another user")
def test_an_owner_without_write_permission_is_told(cache: synthetic.Build, tmp_path: pathlib.Path) -> None:
    for path in [*tmp_path.parents][:-1]:
        path.chmod(path.stat().st_mode | 0o055)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(str(path), 4242, 4242)
    shard = max(cache.path.glob("??"), key=lambda path: len(os.listdir(str(path))))
    names = os.listdir(str(shard))
    shard.chmod(0o555)
    plan = synthetic.make_plan(cache.survey(), WIPE)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(4242, 4242, 4242)
            os.setresuid(4242, 4242, 4242)
            out = synthetic.apply(cache.path, plan)
            os.write(write, repr((out.evicted, skipped(out), out.error)).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    told = os.read(read, 4000).decode()
    os.close(read)
    evicted, left, error = ast.literal_eval(told)
    assert error == ""
    assert sum(left.values()) + evicted == plan.entries
    assert left[core.OWNER] >= 1
    assert sorted(os.listdir(str(shard))) == sorted(names)


def test_a_folder_that_is_no_cached_executable_stays_whole(cache: synthetic.Build) -> None:
    """Go puts exactly one file into it; whatever else is named like an entry may be anybody's."""
    one = cache.executable("tool", b"one", age=90 * DAY)
    (one / "second").touch()
    two = cache.executable("tool", b"two", age=90 * DAY)
    (two / "folder").mkdir()
    for path in (one, two):
        cache.age(path, 90 * DAY)
    before = sorted(path.name for path in [*one.iterdir(), *two.iterdir()])
    out = purge(cache)
    assert sorted(path.name for path in [*one.iterdir(), *two.iterdir()]) == before
    assert skipped(out) == {}


def test_an_executable_that_a_kill_left_empty_goes_in_the_next_run(
    cache: synthetic.Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25."""
    folder = cache.executable("tool", b"one", age=90 * DAY)

    def kill(name: str, **_more: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", kill)
        with pytest.raises(Killed):
            purge(cache)
    empty = [path for path in cache.path.glob("??/*-d") if path.is_dir() and not os.listdir(str(path))]
    assert empty
    for path in [*empty, folder]:
        if path.exists():
            cache.age(path, 90 * DAY)
    assert purge(cache).skipped == {}
    assert cache.files() == []


def test_an_idle_agent_whose_actions_were_used_all_the_same_keeps_all_outputs(cache: synthetic.Build) -> None:
    """Below the floor there is no margin: an output could belong to one of them."""
    action, _output = cache.put(synthetic.sha("young"), b"young")
    outputs = {name for name in cache.files() if name.endswith("-d")}
    document = {"wipe": True, "floor": 0, "idle": "asserted"}
    plan = synthetic.make_plan(cache.survey(), document, idle=True)
    assert plan.entries == len(cache.files())
    cache.age(action, 5)
    out = synthetic.apply(cache.path, plan, synthetic.job(below_floor=True))
    assert set(cache.files()) == outputs | {action.name}
    assert skipped(out)[core.GUARDED] == len(outputs)


def test_below_the_floor_the_outputs_wait_for_every_tool(cache: synthetic.Build) -> None:
    """F01."""
    document = {"wipe": True, "floor": 0, "idle": "asserted"}
    plan = synthetic.make_plan(cache.survey(), document, idle=True)
    busy = core.Activity(((4711, 1, "go"),), True)
    begun = time.monotonic()
    job = synthetic.job(scan=lambda: busy, seconds=0.3, below_floor=True)
    out = synthetic.apply(cache.path, plan, job)
    assert time.monotonic() - begun < 5
    assert not [name for name in cache.files() if name.endswith("-a")]
    assert set(skipped(out)) == {core.BUSY}
    scans = [busy, busy]
    quiet = synthetic.job(scan=lambda: scans.pop() if scans else synthetic.nobody(), below_floor=True)
    again = synthetic.make_plan(cache.survey(), document, idle=True)
    assert synthetic.apply(cache.path, again, quiet).skipped == {}
    assert cache.files() == []


def test_an_error_in_the_middle_tells_what_was_done(cache: synthetic.Build) -> None:
    def step(name: str) -> None:
        if name == "findings":
            raise RuntimeError("injected")

    actions = sum(1 for name in cache.files() if name.endswith("-a"))
    out = purge(cache, work=synthetic.job(step=step))
    assert out.error == "RuntimeError: injected"
    assert out.evicted == actions
    assert purge(cache).error == ""
    assert cache.files() == []


def test_many_threads_do_what_one_does(tmp_path: pathlib.Path) -> None:
    """F32: the sums hold too."""
    cache = synthetic.Build(tmp_path.resolve() / "go-build")
    for number in range(300):
        cache.put(synthetic.sha(str(number)), b"%d" % number, age=90 * DAY)
    plan = synthetic.make_plan(cache.survey(), WIPE)
    out = synthetic.apply(cache.path, plan, synthetic.job(threads=8))
    assert (out.evicted, out.freed, out.inodes, out.skipped) == (600, plan.bytes, 600, {})


def test_two_cleaners_with_the_same_plan_count_nothing_twice(cache: synthetic.Build) -> None:
    """F32."""
    plan = synthetic.make_plan(cache.survey(), WIPE)
    one = synthetic.apply(cache.path, plan)
    two = synthetic.apply(cache.path, plan)
    assert (one.evicted, two.evicted, two.freed) == (plan.entries, 0, 0)
    assert skipped(two) == {core.GONE: plan.entries}


def test_a_plan_names_reasons_and_nothing_else_goes(cache: synthetic.Build) -> None:
    young, young_d = cache.put(synthetic.sha("young"), b"young", age=HOUR)
    plan = synthetic.make_plan(cache.survey(), {"max_age": "10d"})
    assert {planner.entry(plan.caches[0], at)["reason"] for at in range(plan.entries)} == {"max_age"}
    synthetic.apply(cache.path, plan)
    assert cache.files() == sorted([young.name, young_d.name])
