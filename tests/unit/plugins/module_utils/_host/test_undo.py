# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quarantine and undo: what goes lies beside the cache, comes back as it was, and ends by itself."""

from __future__ import annotations

import os
import pathlib
import shutil
import time
from typing import Any, Callable, Dict, Set, Tuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs
from ansible_collections.gofleet.cache.plugins.module_utils._host import look, record, undo
from ansible_collections.gofleet.cache.plugins.module_utils._kinds import quarantine
from ansible_collections.gofleet.cache.tests.fixtures import synthetic

DAY = synthetic.DAY
GRACE: Dict[str, Any] = {"max_age": "10d", "private": [], "quarantine": "2d"}
Tree = Dict[str, Tuple[int, int, int, bytes]]


def tree(root: pathlib.Path) -> Tree:
    """Every file of a cache but the quarantine's: inode, mtime, mode and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and quarantine.NAME not in path.parts:
            st = path.stat()
            # Read without a trace: a purge within the next milliseconds would see it used.
            with open(dirs.open_file(str(path)), "rb") as handle:
                found[str(path.relative_to(root))] = (st.st_ino, st.st_mtime_ns, st.st_mode, handle.read())
            os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))  # to have been read a moment ago is a sign of use
    return found


def dying(word: str) -> Callable[[str], None]:
    """A step that ends the process where the run comes to *word*."""

    def step(name: str) -> None:
        if name == word:
            os._exit(9)

    return step


def back(agent: Any, run: str = "latest", check: bool = False, **more: Any) -> Dict[str, Any]:
    return undo.run(agent.request(), run, undo.Options(check, **more))


@pytest.fixture
def purged(agent: Any) -> Tuple[Any, Tree, Dict[str, Any]]:
    agent.fill()
    before = tree(agent.build.path)
    result = agent.purge(GRACE, agent.build.path)
    assert result["evicted_entries"] == 12, result["left_out"]
    return agent, before, result


def test_what_is_in_quarantine_has_given_nothing_back_yet(purged: Any) -> None:
    agent, before, result = purged
    row = result["caches"][0]
    assert (result["freed_bytes"], row["freed_bytes"]) == (0, 0)
    assert row["quarantined_bytes"] == sum(item["bytes"] for item in result["evicted"]) > 0
    assert len(tree(agent.build.path)) == len(before) - 12


def test_check_mode_says_what_the_run_then_does(agent: Any) -> None:
    agent.fill()
    dry = agent.purge(GRACE, agent.build.path, check=True)
    real = agent.purge(GRACE, agent.build.path)
    assert dry["plan_digest"] == real["plan_digest"]
    assert dry["predicted_bytes"] == real["predicted_bytes"] == 0
    assert dry["caches"][0]["quarantined_bytes"] == real["caches"][0]["quarantined_bytes"]


def test_an_undo_restores_every_byte_name_and_time(purged: Any) -> None:
    agent, before, result = purged
    dry = back(agent, result["quarantine_run"], check=True)
    assert (dry["changed"], tree(agent.build.path) == before) == (True, False)
    done = back(agent, result["quarantine_run"])
    assert (done["changed"], done["restored_entries"], done["left_out_entries"]) == (True, 12, 0)
    assert tree(agent.build.path) == before
    assert not (agent.build.path / quarantine.NAME).exists()
    again = back(agent)
    assert (again["changed"], again["caches"]) == (False, [])


def test_what_was_made_anew_meanwhile_stays(purged: Any) -> None:
    agent, before, result = purged
    name = next(item["path"] for item in result["evicted"] if item["tier"] == "output")
    (agent.build.path / name).write_bytes(b"newer")
    done = back(agent)
    assert (agent.build.path / name).read_bytes() == b"newer"
    assert {item["reason"] for item in done["left_out"]} == {"made anew since"}
    assert not (agent.build.path / quarantine.NAME).exists()
    assert set(tree(agent.build.path)) == set(before)


def test_actions_come_back_after_what_they_name_and_facts_after_their_findings(
    purged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, _before, result = purged
    findings = {item["path"] for item in result["evicted"]} - set(tree(agent.build.path))
    order = []
    real = os.link

    def link(source: str, target: str, **options: Any) -> None:
        order.append(source)
        real(source, target, **options)

    monkeypatch.setattr(os, "link", link)
    back(agent)
    assert len(order) == len(findings) == 12
    kinds = [name[65] for name in order]
    assert kinds == sorted(kinds, reverse=True)
    from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import dependents

    actions = [name[:64] for name in order if name.endswith("-a")]
    pairs = [(actions.index(key), at) for at, main in enumerate(actions) for key in dependents(main) if key in actions]
    assert pairs
    assert all(finding < main for finding, main in pairs)


def test_another_run_is_refused_and_nothing_is_touched(purged: Any) -> None:
    agent, _before, result = purged
    now = tree(agent.build.path)
    for wanted in ("0" * 12, "../../etc", "", "latest "):
        with pytest.raises(undo.NoRun):
            back(agent, wanted)
    assert tree(agent.build.path) == now
    with pytest.raises(undo.NoRun, match=result["quarantine_run"]):
        back(agent, "0" * 12)


def test_a_quarantine_stays_for_its_time_and_goes_in_the_next_run(purged: Any) -> None:
    agent, _before, _result = purged
    within = agent.purge({"max_age": "300d", "private": []}, agent.build.path)
    assert within["changed"] is False
    assert {row["reason"] for row in within["protected"]} >= {"quarantine"}
    agent.later(3)
    done = agent.purge({"max_age": "300d", "private": []}, agent.build.path)
    assert [item["reason"] for item in done["evicted"]] == ["expired"]
    assert done["freed_bytes"] > 0
    assert not (agent.build.path / quarantine.NAME).exists()


def test_where_space_is_short_nothing_is_kept(agent: Any) -> None:
    agent.fill()
    short = dict(GRACE, when={"free_space_below": "99.999%"})
    result = agent.purge(short, agent.build.path)
    assert result["freed_bytes"] > 0
    assert (result["quarantine_run"], (agent.build.path / quarantine.NAME).exists()) == ("", False)
    assert any("space is short" in note for note in result["notes"])


def test_pressure_ends_the_grace(purged: Any) -> None:
    agent, _before, _result = purged
    result = agent.purge({"until": {"free_space_above": "99.999%"}, "floor": "9000d", "private": []}, agent.build.path)
    assert [(item["tier"], item["reason"]) for item in result["evicted"]] == [("quarantined", "free_space")]


def test_a_quarantine_does_not_count_against_a_cap(purged: Any) -> None:
    agent, _before, _result = purged
    left = sum(path.stat().st_blocks * 512 for path in [agent.build.path, *agent.build.path.rglob("*")])
    kept = sum(p.stat().st_blocks * 512 for p in (agent.build.path / quarantine.NAME).rglob("*") if p.is_file())
    cap = {"caches": [{"kind": "go-build", "max_size": left - kept}], "floor": "1h", "private": []}
    assert agent.purge(cap, agent.build.path)["planned_entries"] == 0


@pytest.mark.parametrize("point", range(1, 9))
def test_an_undo_that_is_killed_anywhere_is_finished_by_the_next(purged: Any, point: int) -> None:
    agent, before, _result = purged
    count = [0]

    def step(_name: str) -> None:
        count[0] += 1
        if count[0] == point:
            os._exit(9)

    child = os.fork()
    if child == 0:
        back(agent, step=step)
        os._exit(0)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 9
    back(agent)
    assert tree(agent.build.path) == before


def test_a_quarantine_that_leads_elsewhere_is_never_used(agent: Any, tmp_path: pathlib.Path) -> None:
    agent.fill()
    outside = tmp_path / "outside"
    outside.mkdir()
    (agent.build.path / quarantine.NAME).symlink_to(outside)
    before = tree(agent.build.path)
    result = agent.purge(GRACE, agent.build.path)
    assert result["evicted_entries"] == 0
    assert list(outside.iterdir()) == []
    assert tree(agent.build.path) == before


def test_an_undo_is_no_regret(purged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, _before, _result = purged
    back(agent)
    monkeypatch.setenv(look.CLOCK, str(time.time() + 60))
    result = agent.purge({"max_age": "300d", "private": []}, agent.build.path, check=True)
    assert result["caches"][0]["regret"]["entries"] == result["caches"][0]["regret"]["restored_entries"] == 0


# module caches

LABELS = ("example.com/a@v1.0.0", "example.com/Big/b@v1.1.0")
MOD_GRACE: Dict[str, Any] = {"caches": [{"kind": "go-mod", "max_age": "1d"}], "private": [], "quarantine": "500d"}


def modes(root: pathlib.Path) -> Dict[str, int]:
    return {str(p.relative_to(root)): p.stat().st_mode for p in root.rglob("*") if quarantine.NAME not in p.parts}


def mod_back(agent: Any, **more: Any) -> Dict[str, Any]:
    return undo.run(agent.request(agent.mod.path), "latest", undo.Options(False, **more))


@pytest.fixture
def modules(agent: Any) -> Any:
    for label in LABELS:
        agent.mod.add(label)
    agent.later(100)
    return agent


def test_trees_and_zips_of_modules_come_back_as_they_were(modules: Any) -> None:
    before, rights = tree(modules.mod.path), modes(modules.mod.path)
    first = modules.purge(MOD_GRACE, modules.mod.path)
    assert (first["evicted_entries"], first["freed_bytes"]) == (2, 0)
    assert not any(modules.mod.tree(label).exists() for label in LABELS)
    time.sleep(1.1)  # which of two runs is the newer one is told by the second
    second = modules.purge(MOD_GRACE, modules.mod.path)
    assert {item["tier"] for item in second["evicted"]} == {"zip"}
    assert not any(name.endswith((".zip", ".ziphash")) for name in tree(modules.mod.path))
    assert [mod_back(modules)["restored_entries"] for _run in range(3)] == [2, 2, 0]
    assert tree(modules.mod.path) == before
    assert {k: v for k, v in modes(modules.mod.path).items() if "@v" not in k} == {
        k: v for k, v in rights.items() if "@v" not in k
    }
    assert not (modules.mod.path / "cache" / quarantine.NAME).exists()


def test_a_tree_that_was_extracted_anew_stays(modules: Any) -> None:
    modules.purge(MOD_GRACE, modules.mod.path)
    new = modules.mod.tree(LABELS[0])
    new.mkdir()
    (new / "lib.go").write_text("package anew\n")
    done = mod_back(modules)
    assert (new / "lib.go").read_text() == "package anew\n"
    assert (done["restored_entries"], [item["reason"] for item in done["left_out"]]) == (1, ["made anew since"])
    assert not (modules.mod.path / "cache" / quarantine.NAME).exists()


def test_a_version_that_go_holds_is_left_in_quarantine_and_comes_back_later(modules: Any) -> None:
    import fcntl

    modules.purge(MOD_GRACE, modules.mod.path)
    lock = next(p for p in modules.mod.path.rglob("v1.0.0.lock"))
    with open(lock, "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = mod_back(modules)
        assert [item["reason"] for item in done["left_out"]] == ["locked"]
        assert not modules.mod.tree(LABELS[0]).exists()
    assert mod_back(modules)["restored_entries"] == 1
    assert modules.mod.tree(LABELS[0]).exists()


def test_a_tree_whose_hash_is_gone_stays_in_quarantine(modules: Any) -> None:
    """Go would download the version again, and then take whatever tree lies there."""
    modules.purge(MOD_GRACE, modules.mod.path)
    next(p for p in modules.mod.path.rglob("v1.0.0.ziphash")).unlink()
    done = mod_back(modules)
    assert (done["restored_entries"], done["left_out_entries"]) == (1, 1)
    assert not modules.mod.tree(LABELS[0]).exists()


def test_the_quarantine_of_a_module_cache_ends_like_that_of_a_build_cache(modules: Any) -> None:
    modules.purge(dict(MOD_GRACE, quarantine="1d"), modules.mod.path)
    kept = modules.mod.path / "cache" / quarantine.NAME
    assert kept.exists()
    modules.later(102)
    done = modules.purge({"max_age": "900d", "private": []}, modules.mod.path)
    assert [item["reason"] for item in done["evicted"]] == ["expired"]
    assert (done["freed_bytes"] > 0, kept.exists()) == (True, False)


@pytest.mark.parametrize("point", range(1, 4))
def test_an_undo_of_modules_that_is_killed_is_finished_by_the_next(modules: Any, point: int) -> None:
    before = tree(modules.mod.path)
    modules.purge(MOD_GRACE, modules.mod.path)
    count = [0]

    def step(_name: str) -> None:
        count[0] += 1
        if count[0] == point:
            os._exit(9)

    child = os.fork()
    if child == 0:
        mod_back(modules, step=step)
        os._exit(0)
    os.waitpid(child, 0)
    mod_back(modules)
    assert tree(modules.mod.path) == before


def test_nothing_is_lost_where_a_folder_has_more_folders_than_may_be_open_at_once(agent: Any) -> None:
    """Agents have modules of thousands of owners below cache/download/github.com."""
    labels = ["github.com/owner%d/m@v1.0.0" % number for number in range(700)]
    for label in labels:
        agent.mod.add(label, tree=False, size=10)
    before = tree(agent.mod.path)
    agent.later(100)
    assert agent.purge(MOD_GRACE, agent.mod.path)["evicted_entries"] == len(labels)
    kept = agent.purge({"max_age": "900d", "private": []}, agent.mod.path, check=True)
    assert {row["reason"] for row in kept["protected"]} == {"quarantine"}
    assert mod_back(agent)["restored_entries"] == len(labels)
    assert tree(agent.mod.path) == before


def test_a_module_that_is_called_like_an_output_comes_back(agent: Any) -> None:
    agent.mod.add("example.com/daemon-d@v1.0.0", tree=False)
    before = tree(agent.mod.path)
    agent.later(100)
    agent.purge(MOD_GRACE, agent.mod.path)
    assert mod_back(agent)["restored_entries"] == 1
    assert tree(agent.mod.path) == before


def vet_state(made: Dict[str, pathlib.Path]) -> Set[str]:
    return {name for name, path in made.items() if path.exists()}


def facts_lie(made: Dict[str, pathlib.Path]) -> bool:
    """Whether go vet, which takes facts for the whole answer, would pass without its findings."""
    there = vet_state(made)
    return "facts" in there and not {"findings", "findings_d"} <= there


def test_facts_stay_in_quarantine_when_a_later_run_took_what_the_findings_say(agent: Any) -> None:
    """The outputs' margin of an hour: actions go in one run, and what they name in the next."""
    made = agent.build.vet("p", 10.02 * DAY)
    agent.build.put(synthetic.sha("young"), b"young")
    first = agent.purge(GRACE, agent.build.path)
    assert vet_state(made) == {"facts_d", "findings_d"}
    agent.purge({"max_age": "9d", "private": []}, agent.build.path)
    assert vet_state(made) == set()
    done = back(agent, first["quarantine_run"])
    assert not facts_lie(made)
    assert {item["reason"] for item in done["left_out"]} == {"its output is gone", "its findings are gone"}


@pytest.mark.parametrize("word", ["findings kept", "actions", "findings", "quiet"])
def test_a_run_that_is_killed_never_leaves_facts_in_quarantine_without_their_findings(agent: Any, word: str) -> None:
    made = agent.build.vet("p", 90 * DAY)
    agent.build.put(synthetic.sha("young"), b"young")
    child = os.fork()
    if child == 0:
        agent.purge(GRACE, agent.build.path, step=dying(word))
        os._exit(0)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 9
    # Whatever comes between: the findings, alone in the cache, go for good.
    for path in (made["findings"],):
        if path.exists():
            path.unlink()
    back(agent)
    assert not facts_lie(made)
    assert vet_state(made) == set(made)


def test_an_undo_that_is_killed_never_makes_the_next_one_lie(purged: Any) -> None:
    """Between the two somebody evicts the findings that have come back already."""
    agent, before, _result = purged
    made = {"p1": agent.build.vet("p1"), "p3": agent.build.vet("p3")}
    for files in made.values():
        for path in files.values():
            path.unlink()
    findings = {str(files["findings"].relative_to(agent.build.path)) for files in made.values()}
    count = [0]

    def step(_name: str) -> None:
        count[0] += 1
        if findings <= set(tree(agent.build.path)):
            os._exit(9)

    child = os.fork()
    if child == 0:
        back(agent, step=step)
        os._exit(0)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 9
    for name in findings:
        (agent.build.path / name).unlink()
    back(agent)
    assert not any(facts_lie(files) for files in made.values())
    assert set(tree(agent.build.path)) == set(before)


def test_a_quarantine_whose_end_was_killed_is_never_undone_by_halves(purged: Any) -> None:
    agent, _before, _result = purged
    agent.later(3)
    child = os.fork()
    if child == 0:
        end = {"max_age": "300d", "private": []}
        agent.purge(end, agent.build.path, step=dying("quarantine ends"))
        os._exit(0)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 9
    assert back(agent)["caches"] == []
    agent.purge({"max_age": "300d", "private": []}, agent.build.path)
    assert not (agent.build.path / quarantine.NAME).exists()


def test_a_quarantine_ends_though_go_has_cleaned_the_cache(purged: Any) -> None:
    """``go clean -cache`` removes the shards, and knows nothing of the quarantine."""
    agent, _before, _result = purged
    for shard in agent.build.path.glob("[0-9a-f][0-9a-f]"):
        shutil.rmtree(shard)
    agent.later(3)
    agent.purge({"max_age": "300d", "private": []}, agent.build.path)
    assert not (agent.build.path / quarantine.NAME).exists()


def test_an_empty_folder_of_a_killed_run_goes_with_the_next_eviction(agent: Any) -> None:
    agent.fill()
    (agent.build.path / quarantine.NAME).mkdir()
    assert agent.purge({"max_age": "10d", "private": []}, agent.build.path)["changed"]
    assert not (agent.build.path / quarantine.NAME).exists()


def test_on_a_full_disk_nothing_is_kept_in_quarantine(agent: Any) -> None:
    agent.fill()
    real = look.disks

    def full(caches: Any) -> Any:
        return {device: disk._replace(free=disk.total // 20) for device, disk in real(caches).items()}

    agent.monkeypatch.setattr(look, "disks", full)
    result = agent.purge(GRACE, agent.build.path)
    assert (result["quarantine_run"], result["freed_bytes"] > 0) == ("", True)


def test_the_journal_tells_of_an_undo(purged: Any) -> None:
    agent, _before, _result = purged
    back(agent)
    notes: list[str] = []
    told = record.history(5, notes.append)
    assert ([run["what"] for run in told["runs"]], notes) == (["undo", "purge"], [])
