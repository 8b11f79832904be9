# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a purge tells every agent's outcome, aligned and in plain ASCII."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.filter.purge_table import FilterModule, verdict

table = FilterModule().filters()["purge_table"]
GIB = 1 << 30


def result(**more: Any) -> dict[str, Any]:
    cache = {"kind": "go-build", "path": "/c", "surveyed": True, "allocated": 3 * GIB, "left_out": {}}
    found: dict[str, Any] = {
        "changed": True,
        "caches": [cache],
        "plan_digest": "0123456789abcdef",
        "predicted_bytes": 2 * GIB,
        "freed_bytes": GIB,
        "free_bytes_after": 5 * GIB,
        "pending": [],
        "protected": [],
        "unreached": [],
        "left_out_entries": 0,
        "notes": [],
        "acts": True,
    }
    return dict(found, **more)


def cells(lines: list[str], name: str) -> list[str]:
    row = next(line for line in lines if line.startswith(name + " "))
    return [cell.strip() for cell in row.split("  ") if cell.strip()]


def test_a_row_tells_before_freed_free_and_plan() -> None:
    lines = table({"ci-1": result()})
    assert cells(lines, "ci-1") == ["ci-1", "1", "3.0 GiB", "1.0 GiB", "0", "5.0 GiB", "purged", "0123456789ab", "-"]
    assert lines[-1] == "sum: 1 of 1 agent done, 1.0 GiB freed"


def test_check_mode_tells_what_would_be_freed() -> None:
    lines = table({"ci-1": result(freed_bytes=0)}, check=True)
    assert "would free" in lines[0]
    assert cells(lines, "ci-1")[3] == "2.0 GiB"
    assert cells(lines, "ci-1")[6] == "would purge"
    assert lines[-1] == "sum: 1 of 1 agent done, 2.0 GiB would be freed"


def test_a_cache_that_was_left_alone_is_not_taken_for_one_with_room_enough() -> None:
    """The disk may be full: nobody looked."""
    alone = {"kind": "go-mod", "path": "/m", "surveyed": False, "left_alone": "in use by go (pid 7)"}
    lines = table({"ci-1": result(caches=[alone], changed=False), "ci-2": result()})
    assert cells(lines, "ci-1")[6:] == ["left alone", "0123456789ab", "1 cache left alone"]
    found = result()
    found["caches"].append(alone)
    assert cells(table({"ci-1": found}), "ci-1")[6:] == ["purged", "0123456789ab", "1 cache left alone"]


def test_what_was_kept_is_summed_by_reason_over_all_caches() -> None:
    found = result(
        protected=[
            {"cache": "/a", "reason": "floor", "entries": 2, "bytes": 1024},
            {"cache": "/b", "reason": "floor", "entries": 3, "bytes": 1024},
            {"cache": "/b", "reason": "private", "entries": 1, "bytes": 10},
        ],
        unreached=[{"path": "/home/x", "entries": 7, "bytes": 2048, "why": "owned by uid 7; run with become"}],
        left_out_entries=1,
    )
    found["caches"][0]["left_out"] = {"used since": {"entries": 1, "bytes": 5}}
    lines = table({"ci-1": found})
    assert lines[1].endswith("floor 5 (2.0 KiB), private 1 (10 B), used since 1 (5 B), not reached 7 (2.0 KiB)")
    assert "  ci-1: not reached: /home/x: owned by uid 7; run with become" in lines


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ({}, "NOT RUN"),
        ({"unreachable": True, "msg": "x"}, "UNREACHABLE"),
        ({"failed": True, "msg": "x"}, "FAILED"),
        (result(failed=True), "FAILED"),
        ({"skipped": True, "changed": False}, "NOT RUN"),
        (result(caches=[]), "no cache"),
        (result(caches=[], acts=False), "room enough"),
        (result(caches=[], unreached=[{"path": "/x"}]), "not reached"),
        (result(caches=[{"surveyed": False}]), "room enough"),
        (result(caches=[{"surveyed": False, "left_alone": "in use by go (pid 7)"}]), "left alone"),
        (result(pending=[{"entries": 1, "bytes": 1}]), "run again"),
        (result(left_out_entries=1), "partly"),
        (result(), "purged"),
        (result(changed=False), "nothing due"),
    ],
)
def test_every_outcome_has_its_word_and_a_row(found: dict[str, Any], word: str) -> None:
    assert verdict(found, False) == word
    assert word in cells(table({"ci-1": found}), "ci-1")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"failed": True, "msg": "paths: /: refused"}, "FAILED: paths: /: refused"),
        ({"unreachable": True, "msg": "no\nroute"}, "UNREACHABLE: no route"),
        (
            {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "Traceback (most)\n x\nOSError: no\n", "rc": 1},
            "FAILED: OSError: no",
        ),
        (
            {
                "failed": True,
                "msg": "Module result deserialization failed",
                "module_stderr": "pyenv: python3.13: command not found\n\nNote: more\n",
                "rc": 127,
            },
            "FAILED: pyenv: python3.13: command not found; set ansible_python_interpreter",
        ),
        (
            {"failed": True, "module_stderr": "SyntaxError: future feature annotations is not defined"},
            "the agent's Python is too old: 3.8 or later",
        ),
        ({"failed": True}, "no reason was given"),
    ],
)
def test_a_failure_is_told_with_its_reason_and_counted(found: dict[str, Any], says: str) -> None:
    lines = table({"ci-1": found, "ci-2": result()})
    assert any(line.startswith("  ci-1: ") and says in line for line in lines)
    assert lines[-1] == "sum: 1 of 2 agents done, 1.0 GiB freed, 1 failed"


def test_batches_have_equal_columns_and_the_sums_count_the_whole_run() -> None:
    names = ["a", "an-agent-with-a-long-name"]
    first = table({"a": result()}, ["a"], names)
    second = table(dict.fromkeys(names, result()), names[1:], names)
    assert first[0] == second[0]
    assert len(second) == 3
    assert first[-1] == "sum: 1 of 2 agents done, 1.0 GiB freed"
    assert second[-1] == "sum: 2 of 2 agents done, 2.0 GiB freed"


def test_nothing_that_an_agent_sends_leaves_printable_ascii() -> None:
    lines = table({"ci-é": {"failed": True, "msg": "\x1b[31mred\x07 ü"}})
    assert all(" " <= char <= "~" for line in lines for char in line)
    assert any("\\x1b[31mred" in line for line in lines)


def test_what_lies_in_quarantine_is_told_and_does_not_count_as_freed() -> None:
    found = result(freed_bytes=0)
    found["caches"][0]["quarantined_bytes"] = GIB
    lines = table({"ci-1": found})
    assert cells(lines, "ci-1")[3] == "0 B"
    assert cells(lines, "ci-1")[-1] == "to quarantine (1.0 GiB)"
    assert lines[-1] == "sum: 1 of 1 agent done, 0 B freed, 1.0 GiB put into quarantine"
    assert table({"ci-1": found}, check=True)[-1].endswith("2.0 GiB would be freed, 1.0 GiB would go into quarantine")


def test_what_came_back_is_told_over_all_caches_and_without_what_an_archive_restored() -> None:
    found = result()
    found["caches"][0]["regret"] = {"entries": 3, "bytes": GIB, "restored_entries": 9, "restored_bytes": 5 * GIB}
    found["caches"].append(dict(found["caches"][0], path="/d"))
    assert "  ci-1: came back since the last purge: 2.0 GiB" in table({"ci-1": found})
    found["caches"] = [dict(c, regret={"entries": 0, "bytes": 0}) for c in found["caches"]]
    assert not any("came back" in line for line in table({"ci-1": found}))


def test_the_journals_warnings_are_told_and_its_mere_information_is_not() -> None:
    advice = [
        {"code": "pinned-at-cap", "severity": "warning", "text": "/c: it was full"},
        {"code": "pinned-at-cap", "severity": "info", "text": "/d: no room for a new one"},
    ]
    lines = table({"ci-1": result(advice=advice)})
    assert "  ci-1: /c: it was full" in lines
    assert not any("/d" in line for line in lines)


@pytest.mark.parametrize(("check", "word"), [(False, "planned"), (True, "would plan")])
def test_a_run_that_only_planned_says_what_would_be_freed(check: bool, word: str) -> None:
    found = result(changed=False, freed_bytes=0, planned_entries=4, plan_file="" if check else "/p")
    lines = table({"ci-1": found}, check=check)
    assert "would free" in lines[0]
    assert cells(lines, "ci-1")[3] == "2.0 GiB"
    assert cells(lines, "ci-1")[6] == word
    assert lines[-1] == "sum: 1 of 1 agent done, 2.0 GiB would be freed"


def test_an_agent_that_was_left_out_is_told_with_the_reason_and_is_not_done() -> None:
    results = {"ci-1": result(), "ci-2": {"skipped": True, "changed": False}}
    lines = table(results, left_out={"ci-2": "no approved plan"})
    assert "LEFT OUT" in cells(lines, "ci-2")
    assert "  ci-2: LEFT OUT: no approved plan" in lines
    assert lines[-1] == "sum: 1 of 2 agents done, 1.0 GiB freed, 1 left out"


def test_many_notes_are_cut() -> None:
    lines = table({"ci-1": result(notes=["note %d" % n for n in range(9)])})
    assert lines[-2] == "  ci-1: and 4 more"


def test_input_of_another_shape_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="results by agent"):
        table([result()])
