# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook took, left and told."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from typing import Any

sys.path.insert(0, str(pathlib.Path(os.path.abspath(__file__)).parents[2] / "cache_policy"))

import fill


def sandbox(host: Any) -> pathlib.Path:
    name = host.ansible.get_variables()["inventory_hostname"]
    return pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], os.environ["MOLECULE_SCENARIO_NAME"], name)


def test_the_build_cache_is_empty_and_still_a_cache(host: Any) -> None:
    top = sandbox(host) / "home/.cache/go-build"
    assert list(top.glob("??/*")) == []
    assert {"README", "00", "ff"} <= set(os.listdir(top))


def test_the_module_cache_that_no_rule_names_is_as_it_was(host: Any) -> None:
    top = sandbox(host)
    before = json.loads((top / "before.json").read_text(encoding="utf-8"))
    now = fill.photograph(top)
    assert {n: f for n, f in now.items() if n.startswith("mod/")} == {
        n: f for n, f in before.items() if n.startswith("mod/")
    }


def test_the_report_is_the_result(host: Any) -> None:
    top = sandbox(host)
    report = json.loads((top.parent / "reports" / f"{top.name}.purge.json").read_text(encoding="utf-8"))
    assert report["agent"] == top.name
    assert report["check"] is False
    assert report["result"]["pending"] == []
    assert [cache["kind"] for cache in report["result"]["caches"]] == ["go-build", "go-mod"]


def test_builds_work_as_before(host: Any) -> None:
    caches = fill.caches(sandbox(host))
    for project in ("project", "young"):
        done = caches.run("build", "-o", os.devnull, ".", cwd=caches.home / project)
        assert done.returncode == 0, done.stderr
