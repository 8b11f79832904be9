# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host made of files: whatever a test writes below its root is all that the code under test can see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Sequence

import pytest

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
gitlab-runner:x:998:998::/home/gitlab-runner:/bin/bash
jenkins:x:997:997::/var/lib/jenkins:/bin/bash
buildkite-agent:x:996:996::/var/lib/buildkite-agent:/bin/bash
runner:x:1001:1001::/home/runner:/bin/bash
broken line
"""


class FakeHost:
    """Writes files, folders and processes of a host below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.pid = 100

    def path(self, plain: str) -> str:
        return self.root + plain

    def write(self, plain: str, text: str, encoding: str = "utf-8") -> str:
        path = self.path(plain)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding=encoding, newline="") as handle:
            handle.write(text)
        return path

    def folder(self, *plains: str) -> None:
        for plain in plains:
            os.makedirs(self.path(plain), exist_ok=True)

    def process(self, argv: Sequence[str], environ: Sequence[str] = (), contained: bool = False) -> str:
        self.pid += 1
        base = "/proc/%d" % self.pid
        self.write(base + "/cmdline", "".join(word + "\0" for word in argv))
        self.write(base + "/environ", "".join(word + "\0" for word in environ))
        self.folder("/elsewhere")
        os.symlink(self.path("/elsewhere") if contained else self.root, self.path(base + "/root"))
        return self.path(base)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """An empty host with the accounts of all CI systems."""
    fake = FakeHost(tmp_path / "host")
    fake.write("/etc/passwd", PASSWD)
    fake.folder("/root")
    return fake
