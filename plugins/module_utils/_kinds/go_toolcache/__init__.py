# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go toolchains that CI jobs and people have installed beside the system's.

Two layouts. A tool cache (actions/toolkit, packages/tool-cache/src/tool-cache.ts: cacheDir, find, _completeToolPath)
has ``go/<version>/<arch>`` below RUNNER_TOOL_CACHE or AGENT_TOOLSDIRECTORY, complete when the file ``<arch>.complete``
lies beside it; setup-go installs again what it does not find. ``~/sdk/goX.Y.Z`` is made by ``goX.Y.Z download``
(golang.org/dl/internal/version), complete with ``.unpacked-success`` in it; it comes back only when somebody runs that
command again. The root is the folder ``go`` of the tool cache, or ``sdk``.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Iterable, List, Mapping, NamedTuple, Optional

from ..._core.survey import Tier
from ..._fs import dirs
from ..go_work.trees import ASIDE

KIND = "go-toolcache"
TITLE = "Go toolchains in tool caches"
# Not "download": GOPROXY and what is private have no say in whether setup-go can have a toolchain again.
TIERS = (
    Tier("leftover", "nothing", 0),
    Tier("toolchain", "install", 50),
    Tier("sdk", "by hand", 90),
)
LEFTOVER, TOOLCHAIN, SDK = range(3)
SDK_MARK = ".unpacked-success"
#: What a marker is called while its toolchain goes: nobody finds it any more, and it can be given its name back.
GOING = ".evicting"

# The folders that tool-cache names by semver.clean, and setup-go by makeSemver: 1.22.3, 1.23.0-rc.1
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?\Z")
_ARCH = re.compile(r"[a-z0-9]+\Z")
_SDK = re.compile(r"go1(?:\.[0-9]+)*(?:(?:rc|beta)[0-9]+)?\Z")


class Place(NamedTuple):
    """Where one installation lies: ``folder`` below the root ('' for the root itself), ``name`` of its folder there.

    ``mark`` is the file that says that it is complete: its folder below the root, and its name.
    """

    folder: str
    name: str
    mark_folder: str
    mark: str
    tier: int

    @property
    def path(self) -> str:
        """The folder of the installation below the root."""
        return self.folder + "/" + self.name if self.folder else self.name


def place_of(path: str) -> Optional[Place]:
    """What a folder below a root is by its name alone, without a set-aside one's suffix; None for anything else."""
    folder, _slash, name = path.rpartition("/")
    match = ASIDE.match(name)
    plain = match.group(1) if match is not None else name
    if not folder and _SDK.match(plain):
        return Place("", name, name, SDK_MARK, SDK)
    if _VERSION.match(folder) and _ARCH.match(plain):
        return Place(folder, name, folder, plain + ".complete", TOOLCHAIN)
    return None


def looks_like(fd: int) -> Optional[str]:
    """None where the opened directory holds at least one toolchain in one of the two layouts, else what is missing."""
    for name in dirs.names(fd):
        if _SDK.match(name) and _has(fd, name, "bin/go"):
            if _has(fd, name, SDK_MARK) or _has(fd, name, SDK_MARK + GOING):
                return None
        elif place_of(name) is not None and ASIDE.match(name):
            return None  # what an eviction left that was cut off
        if not _VERSION.match(name):
            continue
        try:
            version = dirs.open_dir(name, fd)
        except OSError:
            continue
        try:
            for arch in dirs.names(version):
                if (_ARCH.match(arch) and _has(version, arch, "bin/go")) or ASIDE.match(arch):
                    return None
        finally:
            os.close(version)
    return "no <version>/<arch>/bin/go as in a tool cache, no goX.Y.Z/%s as in sdk" % SDK_MARK


def _has(fd: int, name: str, file: str) -> bool:
    try:
        return stat.S_ISREG(dirs.lstat(name + "/" + file, fd).st_mode) and not stat.S_ISLNK(
            dirs.lstat(name, fd).st_mode
        )
    except OSError:
        return False


def places(environs: Iterable[Mapping[str, str]], homes: Iterable[str]) -> List[str]:
    """Where roots may lie: below the tool caches that *environs* name, those of hosted images, and in *homes*."""
    tools = [environ.get(name, "") for environ in environs for name in ("RUNNER_TOOL_CACHE", "AGENT_TOOLSDIRECTORY")]
    tools.append("/opt/hostedtoolcache")
    found: List[str] = []
    for home in homes:
        if home.startswith("/"):
            found.append(os.path.join(home, "sdk"))
            tools += [os.path.join(home, part) for part in ("hostedtoolcache", "actions-runner/_work/_tool")]
    found += [os.path.join(tool, "go") for tool in tools if tool.startswith("/")]
    return list(dict.fromkeys(found))
