# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Go tools are running on this host, and whose module cache they use.

A tool is known by its executable, never only by its environment: a ``go`` that uses the default places carries no
variable at all. Every tool counts as a user of a cache unless it is proven to use another one.
"""

from __future__ import annotations

import os
import re
from typing import List, NamedTuple, Optional, Tuple

from .._core.evict import Activity

# cmd/go itself, what it starts (GOROOT/pkg/tool and, since 1.25, the build cache), and tools that load packages.
NAMES = frozenset(
    "go gofmt compile asm link cgo vet cover buildid pack fix covdata test2json gopls golangci-lint staticcheck dlv "
    "govulncheck goimports gotestsum garble mage ko revive errcheck golint wire mockgen stringer controller-gen".split()
)
_WRAPPER = re.compile(r"^go1\.\d+(\.\d+|rc\d+|beta\d+)?$")  # golang.org/dl's go1.X.Y
_TOOL_DIR = re.compile(r"/pkg/tool/[a-z0-9]+_[a-z0-9]+/[^/]+$")


class Tool(NamedTuple):
    """One running process: ``modcache`` is the (device, inode) of its module cache where its environment proves it."""

    pid: int
    start: int
    name: str
    uid: int
    modcache: Optional[Tuple[int, int]]
    gocache: Optional[Tuple[int, int]]


class Scan(NamedTuple):
    """The Go tools that were seen.

    ``hidden`` counts processes whose executable the rights did not show. ``complete`` tells whether what was not seen
    can be no tool: every process was shown, or root judged the hidden ones by their command names.
    """

    tools: Tuple[Tool, ...]
    hidden: int
    complete: bool


def is_tool(name: str, exe: str) -> bool:
    """Whether a process of this name or executable path is a Go tool or may load packages."""
    base = os.path.basename(exe[:-10] if exe.endswith(" (deleted)") else exe)
    for candidate in (base, name):
        if candidate in NAMES or _WRAPPER.match(candidate):
            return True
    # comm is cut at 15 characters
    if len(name) == 15 and any(known.startswith(name) for known in NAMES):
        return True
    return bool(_TOOL_DIR.search(exe))


def _start_time(stat_line: str) -> int:
    # proc_pid_stat(5): field 22; the name in field 2 may hold blanks and parentheses.
    rest = stat_line.rpartition(")")[2].split()
    try:
        return int(rest[19])
    except (IndexError, ValueError):
        return 0


def _place(proc: str, value: str) -> Optional[Tuple[int, int]]:
    """Device and inode of a directory as the process sees it (its own root, for jobs in containers)."""
    if not value.startswith("/"):
        return None
    for base in (proc + "/root", ""):
        try:
            st = os.stat(base + value)
            return st.st_dev, st.st_ino
        except OSError:
            continue
    return None


def _environ(proc: str) -> Tuple[Optional[str], Optional[str]]:
    modcache = gocache = None
    try:
        with open(proc + "/environ", "rb") as handle:
            for item in handle.read(1 << 20).split(b"\0"):
                if item.startswith(b"GOMODCACHE="):
                    modcache = os.fsdecode(item[11:]) or None
                elif item.startswith(b"GOCACHE="):
                    gocache = os.fsdecode(item[8:]) or None
    except OSError:
        pass
    return modcache, gocache


def scan(proc: str = "/proc") -> Scan:
    """One pass over /proc. Costs some tens of microseconds a process; creates and changes nothing.

    Without root the executables of other users' processes cannot be seen; such a process counts by its command name,
    which everybody may read (proc_pid_comm(5)), and as hidden.
    """
    tools: List[Tool] = []
    hidden = 0
    me = os.getpid()
    try:
        pids = [name for name in os.listdir(proc) if name.isdigit()]
    except OSError:
        return Scan((), 0, False)
    for name in pids:
        pid = int(name)
        if pid == me:
            continue
        base = "%s/%s" % (proc, name)
        try:
            with open(base + "/stat", encoding="utf-8", errors="replace") as handle:
                line = handle.read(4096)
        except OSError:
            continue
        comm = line[line.find("(") + 1 : line.rfind(")")]
        exe = ""
        try:
            exe = os.readlink(base + "/exe")
        except PermissionError:
            hidden += 1
        except OSError:
            # A kernel thread, or a process that has just ended: no executable.
            if line.rpartition(")")[2].split()[:1] == ["Z"]:
                continue
        if not is_tool(comm, exe):
            continue
        modcache, gocache = _environ(base)
        try:
            uid = os.stat(base).st_uid
        except OSError:
            continue
        tools.append(
            Tool(
                pid,
                _start_time(line),
                os.path.basename(exe) or comm,
                uid,
                _place(base, modcache) if modcache else None,
                _place(base, gocache) if gocache else None,
            )
        )
    # hidepid and ProtectProc=invisible leave nobody else in sight: that proves nothing.
    return Scan(tuple(tools), hidden, len(pids) > 1 and (hidden == 0 or os.geteuid() == 0))


def users_of(seen: Scan, device: int, inode: int, kind: str) -> Activity:
    """The tools that may use the cache at (*device*, *inode*); *kind* is ``go-mod`` or ``go-build``.

    Only a tool whose own environment names another existing directory is taken out.
    """
    who = []
    for tool in seen.tools:
        place = tool.modcache if kind == "go-mod" else tool.gocache
        if place is None or place == (device, inode):
            who.append((tool.pid, tool.start, tool.name))
    return Activity(tuple(who), seen.complete)
