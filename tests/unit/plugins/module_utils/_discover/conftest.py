# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small trees with caches' fingerprints, and probes that know them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Callable, List, Optional

import pytest

README = "This directory holds cached build artifacts from the Go build system.\n"


def looks_like_go_build(fd: int, path: str) -> Optional[str]:
    """The README's first line and a two-hex folder."""
    try:
        readme = os.open("README", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
    except OSError:
        return None
    try:
        if not os.read(readme, 200).startswith(README.encode()):
            return None
    finally:
        os.close(readme)
    try:
        return "go-build" if stat.S_ISDIR(os.stat("00", dir_fd=fd, follow_symlinks=False).st_mode) else None
    except OSError:
        return None


def looks_like_go_mod(fd: int, path: str) -> Optional[str]:
    """A folder cache/download."""
    try:
        return "go-mod" if stat.S_ISDIR(os.stat("cache/download", dir_fd=fd).st_mode) else None
    except OSError:
        return None


PROBES = [looks_like_go_build, looks_like_go_mod]


class Tree:
    """Builds trees below a folder; ``root`` has no symlinks in it."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(str(root))

    def path(self, name: str = "") -> str:
        return self.root + "/" + name if name else self.root

    def folder(self, *names: str) -> str:
        for name in names:
            os.makedirs(self.path(name), exist_ok=True)
        return self.path(names[-1])

    def write(self, name: str, text: str = "") -> str:
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as handle:
            handle.write(text)
        return self.path(name)

    def go_build(self, name: str) -> str:
        self.folder(name + "/00", name + "/ff")
        self.write(name + "/README", README)
        return self.path(name)

    def go_mod(self, name: str) -> str:
        self.folder(name + "/cache/download/example.com/m/@v", name + "/example.com/m@v1.0.0")
        return self.path(name)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty tree."""
    os.mkdir(str(tmp_path / "t"))
    return Tree(tmp_path / "t")


@pytest.fixture
def probes() -> List[Callable[[int, str], Optional[str]]]:
    """The two kinds' fingerprints."""
    return list(PROBES)
