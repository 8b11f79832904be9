# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a survey tell every cache, every file system, and what needs attention."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.filter.survey_table import FilterModule

table = FilterModule().filters()["survey_table"]
GIB = 1 << 30


def cache(**more: Any) -> dict[str, Any]:
    found = {
        "kind": "go-build",
        "path": "/home/ci/.cache/go-build",
        "uid": 1001,
        "entries": 7,
        "allocated": GIB,
        "ages": [{"age": "< 1h", "entries": 1, "bytes": 1}, {"age": ">= 90d", "entries": 6, "bytes": 1}],
        "damage_seen": 0,
    }
    return dict(found, **more)


def result(*caches: dict[str, Any], **more: Any) -> dict[str, Any]:
    disk = {"mount": "/", "go": GIB, "rest": 2 * GIB, "free": GIB, "total": 4 * GIB}
    return dict({"caches": list(caches), "filesystems": [disk] if caches else []}, **more)


def test_a_cache_is_a_row_and_the_parts_of_a_file_system_are_another() -> None:
    lines = table({"ci-1": result(cache())})
    assert lines[1].split() == "ci-1 go-build 7 1.0 GiB < 1h to >= 90d 0 1001 /home/ci/.cache/go-build".split()
    assert lines[4].split() == "ci-1 / 1.0 GiB 2.0 GiB 1.0 GiB 4.0 GiB 25%".split()
    assert lines[-1] == "sum: 1 of 1 agent, 1 cache, 7 entries, 1.0 GiB"


def test_a_file_system_of_unknown_size_is_told_as_that() -> None:
    lines = table({"ci-1": dict(result(cache()), filesystems=[{"mount": "", "go": GIB}])})
    assert lines[4].split() == "ci-1 ? 1.0 GiB ? ? ? ?".split()


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (result(findings=[{"severity": "warning", "text": "no cache on a CI host"}]), "warning: no cache on a CI host"),
        (result(looked_at=["/a", "/b"]), "looked at: /a, /b"),
        (result(cache(damage_seen=2)), "2 place(s)"),
        (result(cache(credentials=1)), "credentials: 1 version control clone(s)"),
        (result(cache(unreached_places=3)), "not readable: 3 place(s)"),
        (
            result(unreached=[{"path": "/x", "entries": 4, "bytes": 2048, "why": "run with become"}]),
            "not reached: /x (4 entries, 2.0 KiB): run with become",
        ),
        (result(refused=[{"path": "/o", "reason": "r", "hint": "h"}]), "left alone: /o: r; h"),
        (
            result(work_folders={"stale": 2, "stale_bytes": 1024, "examples": ["/tmp/go-build1"]}),
            "work folders: 2 left by cancelled builds, 1.0 KiB, such as /tmp/go-build1",
        ),
        (result(cache(), notes=["run as uid 5"]), "run as uid 5"),
        (
            result(cache(quarantined=GIB, quarantine=[{"run": "0" * 12, "ends": 86400 * 365, "bytes": GIB}])),
            "quarantine: 1.0 GiB in /home/ci/.cache/go-build, kept for gofleet.cache.undo until 1971-01-01 00:00 UTC",
        ),
        (result(cache(quarantined=GIB)), "kept for gofleet.cache.undo"),
        (result(cache(), advice=[{"severity": "warning", "text": "/c: another cleaner"}]), "/c: another cleaner"),
    ],
)
def test_what_needs_attention_is_told(found: dict[str, Any], says: str) -> None:
    assert any(line.startswith("ci-1: ") and says in line for line in table({"ci-1": found}))


def test_what_is_in_quarantine_is_summed_apart() -> None:
    lines = table({"ci-1": result(cache(quarantined=GIB))})
    assert lines[-1] == "sum: 1 of 1 agent, 1 cache, 7 entries, 1.0 GiB, 1.0 GiB in quarantine"


def test_mere_information_is_not_told_as_a_warning() -> None:
    found = result(cache(), findings=[{"severity": "info", "text": "nothing special"}])
    assert not any("nothing special" in line for line in table({"ci-1": found}))


@pytest.mark.parametrize(
    ("found", "word"),
    [({"unreachable": True, "msg": "gone"}, "UNREACHABLE"), ({"failed": True, "msg": "no"}, "FAILED")],
)
def test_an_agent_that_failed_has_a_row_a_reason_and_is_counted(found: dict[str, Any], word: str) -> None:
    lines = table({"ci-1": found, "ci-2": result(cache())})
    assert lines[1].split() == ["ci-1", "-", "-", "-", "-", "-", "-", word]
    assert f"ci-1: {word}: {found['msg']}" in lines
    assert lines[-1].endswith("1 failed")
    assert lines[-1].startswith("sum: 1 of 2 agents")


def test_an_agent_without_caches_is_no_failure() -> None:
    lines = table({"ci-1": result()})
    assert lines[1].endswith("no cache")
    assert lines[-1] == "sum: 1 of 1 agent, 0 caches, 0 entries, 0 B"


def test_odd_paths_stay_in_printable_ascii() -> None:
    lines = table({"ci-1": result(cache(path="/caché/\x1b]0;x"))})
    assert all(" " <= char <= "~" for line in lines for char in line)


def test_input_of_another_shape_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="results by agent"):
        table("x")
