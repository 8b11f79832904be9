# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fills a sandbox with real caches: an old project, a young one, public and private modules.

``python fill.py SANDBOX``; Go is GOFLEET_TEST_GO or on the PATH. Beside the caches it leaves ``now`` (Unix seconds,
three days after the last build) and ``before.json`` (all that lies in the caches, with times).
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
import time

# .../ansible_collections/gofleet/cache/extensions/molecule/cache_policy/fill.py
sys.path.insert(0, str(pathlib.Path(os.path.abspath(__file__)).parents[6]))

from ansible_collections.gofleet.cache.tests.fixtures import gocaches, goproxy

DAY = 86400


def caches(sandbox: pathlib.Path) -> gocaches.Caches:
    """The caches of a sandbox, for running Go in it."""
    go = os.environ.get("GOFLEET_TEST_GO") or shutil.which("go")
    if not go:
        raise SystemExit("fill.py: Go is needed: put it on the PATH or name it in GOFLEET_TEST_GO")
    home = sandbox / "home"
    proxy = goproxy.Proxy(home / "proxy", tuple(goproxy.standard_modules(20)))
    return gocaches.Caches(home, home / ".cache/go-build", home / "go/pkg/mod", proxy, go)


def photograph(sandbox: pathlib.Path) -> dict[str, list[int]]:
    """Everything in both caches, with times, as JSON knows it."""
    found = {}
    for top in (sandbox / "home/.cache/go-build", sandbox / "home/go/pkg/mod"):
        for name, facts in gocaches.photograph(top).items():
            found[f"{top.name}/{name}"] = list(facts)
    return found


def main() -> None:
    """Fill the sandbox that the command line names."""
    sandbox = pathlib.Path(sys.argv[1])
    mine = caches(sandbox)
    gocaches.make_caches(mine.home, mine.go, big=20)
    before = time.time() - 20 * DAY
    for entry in mine.build.glob("??/*"):
        os.utime(entry, (before, before))
    # Marks what it needs of the old project's entries as used.
    young = goproxy.make_project(
        mine.home / "young", "example.org/young", [mine.proxy.module("example.com/lib@v0.1.0")]
    )
    done = mine.run("build", "-o", os.devnull, ".", cwd=young)
    if done.returncode:
        raise SystemExit(done.stderr)
    (sandbox / "now").write_text(str(int(time.time()) + 3 * DAY), encoding="ascii")
    (sandbox / "before.json").write_text(json.dumps(photograph(sandbox)), encoding="utf-8")


if __name__ == "__main__":
    main()
