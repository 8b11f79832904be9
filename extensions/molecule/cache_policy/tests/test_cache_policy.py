# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role took and what it left."""

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


def before(host: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = json.loads((sandbox(host) / "before.json").read_text(encoding="utf-8"))
    return found


def test_old_entries_of_the_build_cache_are_gone_and_all_others_are_as_they_were(host: Any) -> None:
    top = sandbox(host)
    old = int((top / "now").read_text(encoding="ascii")) - 10 * fill.DAY
    now = fill.photograph(top)
    entries = {name: facts for name, facts in before(host).items() if name.endswith(("-a", "-d"))}
    gone = {name for name, facts in entries.items() if facts[3] < old * 10**9}
    assert len(gone) > 3
    assert len(gone) < len(entries)
    assert {name for name in entries if name not in now} == gone
    assert all(now[name] == facts for name, facts in entries.items() if name not in gone)


def test_the_build_cache_is_still_one(host: Any) -> None:
    assert {"README", "00", "ff"} <= set(os.listdir(sandbox(host) / "home/.cache/go-build"))


def test_named_modules_are_gone_whole_and_all_others_are_there(host: Any) -> None:
    top = sandbox(host) / "home/go/pkg/mod"
    download = top / "cache/download"
    for path, version in (("example.com/legacy", "v3.1.0+incompatible"), ("example.com/!azure/!lib", "v1.1.0")):
        assert not (top / f"{path}@{version}").exists()
        assert not (download / path / "@v" / f"{version}.zip").exists()
        assert (download / path / "@v" / f"{version}.mod").exists()
        assert (download / path / "@v" / f"{version}.lock").exists()
    for path, version in (("example.com/lib", "v0.1.0"), ("example.com/big", "v1.0.0")):
        assert (top / f"{path}@{version}").is_dir()
        assert (download / path / "@v" / f"{version}.zip").exists()


def test_a_pattern_does_not_take_private_modules(host: Any) -> None:
    top = sandbox(host) / "home/go/pkg/mod"
    assert (top / "git.corp.example/team/!secret@v1.0.0").is_dir()
    assert (top / "cache/download/git.corp.example/team/!secret/@v/v1.0.0.zip").exists()


def test_builds_work_as_before(host: Any) -> None:
    caches = fill.caches(sandbox(host))
    for project in ("project", "young"):
        done = caches.run("build", "-o", os.devnull, ".", cwd=caches.home / project)
        assert done.returncode == 0, done.stderr
    done = caches.run("mod", "download", "example.com/legacy@v3.1.0+incompatible")
    assert done.returncode == 0, done.stderr
