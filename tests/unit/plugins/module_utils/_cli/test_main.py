# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program gofleet-cache: arguments, exit codes, what it prints, and that its JSON is the modules' result."""

from __future__ import annotations

import fcntl
import os
import pathlib
import re
import signal
import time
from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._cli import VERSION, document, main, tables
from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._core import units
from ansible_collections.gofleet.cache.plugins.module_utils._core.units import BadPolicy
from ansible_collections.gofleet.cache.plugins.module_utils._host import purge, survey, undo, verify

ROOT = pathlib.Path(__file__).resolve().parents[5]


def damage(agent: Any) -> pathlib.Path:
    """Damages one output without changing its size."""
    path: pathlib.Path = next(iter(sorted(agent.build.path.glob("??/*-d"))))
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    st = path.stat()
    path.write_bytes(bytes(data))
    os.utime(str(path), ns=(st.st_atime_ns, st.st_mtime_ns))
    return path


def test_the_version_is_the_collections() -> None:
    if not (ROOT / "galaxy.yml").exists():
        pytest.skip("needs galaxy.yml, which an installed collection has not")
    found = re.search(r"^version: (\S+)$", (ROOT / "galaxy.yml").read_text(encoding="utf-8"), re.M)
    assert found is not None
    assert found.group(1) == VERSION


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "COMMAND"),
        (["clean"], "invalid choice"),
        (["prune", "--polic", "x"], "unrecognized arguments"),
        (["prune", "now"], "unrecognized arguments"),
        (["verify", "--sample", "much"], "invalid float"),
        (["undo"], "RUN"),
        (["history", "--policy", "x"], "unrecognized arguments"),
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(words) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.out == ""


def test_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--help"]) == 0
    told = set(re.findall(r"^  (\d)  ", capsys.readouterr().out, re.M))
    codes = (main.DONE, main.FAILED, main.REFUSED, main.LEFT_OUT, main.DAMAGED, main.STOPPED)
    assert told == {str(code) for code in codes}


def test_every_command_has_its_code() -> None:
    from ansible_collections.gofleet.cache.plugins.module_utils._cli import commands

    (action,) = [a for a in main.parser()._actions if a.dest == "command"]
    assert action.choices is not None
    assert set(action.choices) == set(commands._COMMANDS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"polcy": {}}', "polcy: unknown key (got {}); did you mean policy?"),
        ('{"max_age": "1d"}', 'a policy stands below the key "policy"'),
        ('{"policy": []}', "policy: not an object"),
        ('{"policy": {"max_age": "1d"}, "policy": {}}', "the same key twice"),
        ('{"paths": "/x"}', "paths: not a list"),
        ('{"paths": [1]}', "paths[0]"),
        ('{"discover": 1}', "discover: not true or false"),
        ('{"policy": {"max_age": "1y"}}', "policy: max_age"),
        ('{"policy": {"caches": [{"kind": "go-bild"}]}}', "policy: caches[0].kind"),
        ('{"policy": {"floor": NaN}}', "not a number that JSON knows"),
        ("[" * 100000, "nested too deeply"),
        ('{"paths": ["/"], "discover": false}', "/"),
        ('{"accounts": ["nobody-has-this-name"]}', "nobody-has-this-name"),
    ],
)
def test_a_file_that_makes_no_sense_ends_with_2_and_touches_nothing(agent: Any, data: str, says: str) -> None:
    before = agent.build.files()
    agent.write(data)
    for words in (["plan", "--check-policy"], ["plan"]):
        code, out, err = agent.run(*words)
        assert (code, out) == (2, "")
        assert says in err
    code, result = agent.json("plan", "--check-policy")
    assert (code, result["failed"], result["changed"]) == (2, True, False)
    assert says in result["msg"]
    assert agent.build.files() == before


@pytest.mark.parametrize("key", sorted(policies.KEYS))
def test_a_policy_one_level_too_high_is_told_where_it_belongs(key: str) -> None:
    with pytest.raises(units.BadPolicy, match='a policy stands below the key "policy"'):
        document.parse({key: 1})


def test_a_file_that_is_not_there_is_an_error_where_it_was_named(agent: Any) -> None:
    agent.file.unlink()
    code, _out, err = agent.run("plan")
    assert code == 2
    assert "no such file" in err
    assert document.load(None) == document.default()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: only root is in danger")
def test_root_takes_no_policy_that_others_may_write(agent: Any) -> None:
    agent.file.chmod(0o666)
    code, _out, err = agent.run("prune")
    assert code == 2
    assert "chmod go-w" in err


def test_a_device_or_a_huge_file_is_no_policy(tmp_path: pathlib.Path) -> None:
    huge = tmp_path / "huge"
    huge.write_bytes(b" " * (2 << 20))
    huge.chmod(0o600)
    for path, says in (("/dev/zero", "not a file"), (str(huge), "too much"), (str(tmp_path), "not a file")):
        with pytest.raises(document.BadFile, match=says):
            document.load(path)


def test_places_on_the_command_line_replace_those_of_the_file(agent: Any) -> None:
    agent.write({"policy": {"max_age": "1d", "private": []}, "paths": ["/nowhere/at/all"], "discover": False})
    code, result = agent.json("plan", "--path", str(agent.build.path), "--no-discover")
    assert code == 0
    assert [cache["path"] for cache in result["caches"]] == [str(agent.build.path)]


def test_a_survey_tells_what_the_module_tells(agent: Any) -> None:
    from ansible_collections.gofleet.cache.plugins.module_utils._host import find

    code, result = agent.json("survey")
    expected = survey.run(find.Request(paths=[str(agent.build.path)], discover=False))
    assert code == 0
    assert set(result) == set(expected)
    assert result["caches"][0]["entries"] == expected["caches"][0]["entries"] == 12
    code, out, _err = agent.run("survey")
    assert code == 0
    assert "12" in out
    assert str(agent.build.path) in out


def test_plan_and_check_tell_what_prune_does(agent: Any) -> None:
    before = agent.build.files()
    code, plan = agent.json("plan")
    assert (code, plan["changed"]) == (0, True)
    code, check = agent.json("prune", "--check")
    assert code == 0
    assert check["plan_digest"] == plan["plan_digest"]
    assert agent.build.files() == before
    code, done = agent.json("prune")
    assert (code, done["changed"]) == (0, True)
    assert done["plan_digest"] == plan["plan_digest"]
    assert set(done) - {"msg"} >= set(purge.schema.empty())
    assert done["evicted_entries"] == plan["evicted_entries"] == 6
    assert len(agent.build.files()) == len(before) - 6
    code, again = agent.json("prune")
    assert (code, again["changed"], again["evicted_entries"]) == (0, False, 0)


def test_every_result_has_the_keys_of_the_modules(agent: Any) -> None:
    damage(agent)
    common = set(purge.schema.empty())
    for words in (["survey"], ["plan"], ["prune", "--check"], ["verify"], ["plan", "--check-policy"]):
        _code, result = agent.json(*words)
        assert common <= set(result), words
        assert result["msg"]
    assert set(verify.nothing()) <= set(agent.json("verify")[1])
    agent.write("{")
    assert set(verify.nothing()) <= set(agent.json("verify")[1])
    assert set(survey.nothing()) <= set(agent.json("survey")[1])


def test_verify_ends_with_4_where_damage_is_and_with_0_once_it_is_repaired(agent: Any) -> None:
    assert agent.run("verify")[0] == 0
    bad = damage(agent)
    code, out, _err = agent.run("verify")
    assert code == 4
    assert "damaged: %s" % bad in out
    assert agent.run("verify", "--repair", "--check")[0] == 4
    assert bad.exists()
    code, result = agent.json("verify", "--repair")
    assert (code, result["repaired"], result["ok"]) == (0, 1, True)
    assert not bad.exists()
    assert agent.run("verify")[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--check"], "--repair only"),
        (["--sample", "0"], "--sample"),
        (["--threads", "99"], "--threads"),
        (["--time-limit", "soon"], "--time-limit"),
        (["--time-limit", "0"], "--time-limit"),
    ],
)
def test_options_of_verify_that_make_no_sense_end_with_2(agent: Any, words: list[str], says: str) -> None:
    code, out, err = agent.run("verify", *words)
    assert (code, out) == (2, "")
    assert says in err


def test_prune_ends_with_3_where_another_cleaner_is_at_work(agent: Any) -> None:
    fd = os.open(str(agent.build.path), os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        code, result = agent.json("prune")
    finally:
        os.close(fd)
    assert (code, result["changed"], result["evicted_entries"]) == (3, False, 0)
    assert "another cleaner" in str(result["left_out"])
    assert agent.run("prune")[0] == 0


def test_a_purge_that_fails_half_way_ends_with_1_and_tells_what_it_did(
    agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = purge.run

    def failing(*args: Any) -> Any:
        raise purge.Failed("the disk is gone", real(*args))

    monkeypatch.setattr(purge, "run", failing)
    code, out, err = agent.run("prune", "--json")
    assert code == 1
    assert "the disk is gone" in err
    assert '"evicted_entries": 6' in out
    assert '"failed": true' in out


def test_a_signal_ends_a_purge_at_a_safe_point_with_5(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = purge.run

    def disturbed(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    before = agent.build.files()
    monkeypatch.setattr(purge, "run", disturbed)
    code, result = agent.json("prune")
    assert code == 5
    assert result["evicted_entries"] == 0
    assert result["left_out_entries"] == 6
    assert any("stopped by SIGTERM" in note for note in result["notes"])
    assert agent.build.files() == before


def test_a_signal_ends_a_survey_at_once_with_5(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # A shell that starts the tests in the background has it ignored, which the program respects.
    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.SIG_DFL)

    def disturbed(*_args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)  # the handler may run an instruction later
        raise AssertionError("went on")

    monkeypatch.setattr(survey, "run", disturbed)
    code, _out, err = agent.run("survey")
    assert code == 5
    assert "stopped by SIGINT" in err


def test_a_second_signal_does_not_wait_for_a_safe_point(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def disturbed(*_args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError("went on")

    monkeypatch.setattr(purge, "run", disturbed)
    assert agent.run("prune")[0] == 5


def test_an_odd_name_in_a_cache_can_always_be_printed(agent: Any) -> None:
    odd = os.fsencode(str(agent.build.path)) + b"/00/\xff\x1b[31m"
    with open(odd, "wb"):
        pass
    for words in (["survey"], ["plan"], ["verify"]):
        _code, out, _err = agent.run(*words)
        assert out.isascii()
        assert "\x1b" not in out
        assert agent.json(*words)[1]["caches"]


def test_the_table_tells_a_cache_that_is_left_alone_from_one_with_room_enough() -> None:
    cache = {"kind": "go-mod", "path": "/m", "uid": 0, "surveyed": False}
    told = {
        "msg": "m",
        "caches": [cache, dict(cache, left_alone="in use by go (pid 7)")],
        "protected": [],
        "pending": [],
    }
    assert [line.split()[4:6] for line in tables.purge(told, False)[-2:]] == [["room", "enough"], ["left", "alone"]]


def test_tables_are_aligned_and_hide_nothing() -> None:
    lines = tables.table(("a", "number"), [("x", "1"), ("long name", "22"), ("\x1b[1m\n", "3")], {1})
    assert lines[0] == "a            number"
    assert lines[1] == "x                 1"
    assert lines[3].startswith("\\x1b[1m\\x0a")
    assert len({len(line) for line in lines}) == 1


def test_the_plan_is_told_entry_by_entry(agent: Any) -> None:
    for number in range(60):
        agent.build.put("%064x" % (number + 1), b"more %d" % number, 90 * 86400)
    code, out, _err = agent.run("plan")
    assert code == 0
    assert "max_age" in out or "age" in out
    assert "90d" in out
    assert "and 106 more" in out


def test_a_saved_plan_is_carried_out_by_its_digest_alone(agent: Any) -> None:
    before = agent.build.files()
    code, plan = agent.json("plan", "--save")
    assert (code, plan["changed"], plan["plan_file"] != "") == (0, False, True)
    assert agent.build.files() == before
    code, _out, err = agent.run("prune", "--plan", "0" * 64)
    assert code == 2
    assert "no plan with the digest" in err
    for nonsense in ("../../etc/passwd", ""):
        code, _out, err = agent.run("prune", "--plan", nonsense)
        assert (code, "is no plan's digest" in err) == (2, True)
    assert agent.build.files() == before
    agent.policy(max_age="20d", private=[])
    code, _out, err = agent.run("prune", "--plan", plan["plan_digest"])
    assert code == 2
    assert "another policy" in err
    agent.policy(max_age="10d", private=[])
    code, done = agent.json("prune", "--plan", plan["plan_digest"])
    assert (code, done["evicted_entries"], done["plan_digest"]) == (0, 6, plan["plan_digest"])


def test_history_tells_of_runs_and_of_nothing_else(agent: Any) -> None:
    code, none = agent.json("history")
    assert (code, none["runs"]) == (0, [])
    agent.run("plan")
    agent.run("prune", "--check")
    assert agent.json("history")[1]["runs"] == []
    agent.run("prune")
    code, told = agent.json("history")
    assert code == 0
    assert [(run["door"], run["what"], run["evicted_entries"]) for run in told["runs"]] == [("cli", "purge", 6)]
    code, out, _err = agent.run("history", "--limit", "1")
    assert code == 0
    assert "cli" in out
    assert agent.run("history", "--limit", "0")[0] == 2


def test_undo_brings_back_what_a_run_put_into_quarantine(agent: Any) -> None:
    before = agent.build.files()
    code, none = agent.json("undo", "latest")
    assert (code, none["changed"]) == (0, False)
    agent.policy(max_age="10d", private=[], quarantine="7d")
    code, done = agent.json("prune")
    assert (code, done["evicted_entries"], done["quarantine_run"] != "") == (0, 6, True)
    assert len(agent.build.files()) == len(before) - 6
    for run, says in (("000000000000", done["quarantine_run"]), ("../..", "no run's name")):
        code, _out, err = agent.run("undo", run)
        assert code == 2
        assert says in err
    code, told = agent.json("undo", "--check", done["quarantine_run"])
    assert (code, told["changed"], told["restored_bytes"] > 0) == (0, True, True)
    assert len(agent.build.files()) == len(before) - 6
    code, out, _err = agent.run("undo", done["quarantine_run"])
    assert code == 0
    assert "brought back 6 entries" in out
    assert agent.build.files() == before


def test_parse_takes_what_the_modules_options_take() -> None:
    found = document.parse({"policy": {"max_age": "1d"}, "accounts": ["ci"], "search_roots": ["/builds"]})
    assert (found.policy, found.accounts, found.search_roots) == ({"max_age": "1d"}, ["ci"], ["/builds"])
    assert (found.paths, found.discover) == ([], True)
    assert document.parse({"policy": {}}).policy is document.default().policy is None
    with pytest.raises(BadPolicy, match="known here"):
        document.parse({"zzz": 1})


def test_what_is_told_without_the_engine_has_the_engines_keys() -> None:
    from ansible_collections.gofleet.cache.plugins.module_utils._cli import commands

    for name, expected in (("survey", survey.nothing()), ("verify", verify.nothing()), ("undo latest", undo.nothing())):
        assert set(commands._nothing(main.parser().parse_args(name.split()))) == set(expected)


def test_the_gate_knows_all_kinds() -> None:
    from ansible_collections.gofleet.cache.plugins.module_utils._host import gate
    from ansible_collections.gofleet.cache.plugins.module_utils._kinds.table import KINDS

    assert set(gate.KIND_NAMES) == set(KINDS), (
        "name a new kind in _host/gate.py too: then runs below the mark stay quick"
    )


def test_prune_below_the_mark_looks_at_no_cache(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.gofleet.cache.plugins.module_utils._host import find, gate, schema

    agent.policy(when={"free_space_below": "0.0001%"}, max_age="1d")
    if gate.answer({"when": {"free_space_below": "0.0001%"}}) is None:
        pytest.skip("needs a machine without network mounts, and with some free space")

    def fail(*_args: Any) -> Any:
        raise AssertionError("looked for caches")

    monkeypatch.setattr(find, "find", fail)
    before = agent.build.files()
    code, result = agent.json("prune")
    assert (code, result["changed"], result["acts"], result["caches"]) == (0, False, False, [])
    assert "/" in result["looked_at"]
    assert set(schema.empty()) <= set(result)
    assert agent.build.files() == before


def test_a_bad_policy_is_told_although_there_is_room(agent: Any) -> None:
    agent.policy(when={"free_space_below": "0.0001%"}, caches=[{"kind": "go-build", "max_agee": "1d"}])
    code, _out, err = agent.run("prune")
    assert code == 2
    assert "policy: caches[0].max_agee: unknown key" in err


def test_root_takes_no_policy_from_another_users_file(agent: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    agent.policy(max_age="1d")
    os.chown(agent.file, 65534, 65534)
    code, _out, err = agent.run("prune", "--check")
    assert (code, "belongs to uid 65534" in err) == (2, True)


def test_places_of_the_command_line_are_the_only_ones(agent: Any) -> None:
    """Who names one cache as root must not purge all that are found."""
    agent.policy(max_age="1d")
    code, result = agent.json("prune", "--check", "--path", str(agent.build.path / "nothing"))
    assert (code, result["caches"]) == (0, [])


def test_a_wrong_place_is_refused_also_where_there_is_room(agent: Any) -> None:
    agent.policy(when={"free_space_below": "0.0001%"}, max_age="1d")
    for place in ("/", "off", "rel/x"):
        assert agent.run("prune", "--check", "--path", place)[0] == 2
    agent.write({"policy": {"when": {"free_space_below": "0.0001%"}, "max_age": "1d"}, "paths": ["/"]})
    assert agent.run("prune", "--check")[0] == 2


def test_help_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, wide in (("50", 48), ("many", 78), ("", 78)):
        monkeypatch.setattr(main, "_widths", [])
        monkeypatch.setattr(os, "get_terminal_size", lambda _fd: os.terminal_size((0, 0)))
        monkeypatch.setenv("COLUMNS", columns)
        assert main._Help("x")._width == wide


def test_only_the_command_that_is_asked_for_is_made_ready() -> None:
    def commands(parser: Any) -> list[str]:
        (action,) = [a for a in parser._actions if a.dest == "command"]
        return list(action.choices)

    assert commands(main.parser("prune")) == ["prune"]
    assert commands(main.parser("prun")) == commands(main.parser())
    assert len(commands(main.parser())) == 6
