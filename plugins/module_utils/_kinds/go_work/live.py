# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What running processes name: a folder that one of them works in, has open, has mapped or was told of is in use.

Names are matched, not paths: a process in a container sees another path, but the same folder names (proc_pid_fd(5),
proc_pid_maps(5), proc_pid_environ(5)).
"""

from __future__ import annotations

import os
import re
import time
from typing import FrozenSet, List, NamedTuple, Optional, Pattern, Set, Tuple

from ..._go import running_proc

_GO = re.compile(r"go(?:1\.[0-9]+(?:\.[0-9]+|rc[0-9]+|beta[0-9]+)?)?\Z")
_LIMIT = 16 << 20


class Live(NamedTuple):
    """``names`` are the pattern's first groups, ``gos`` the running go commands as (uid, start in Unix nanoseconds).

    ``hidden`` counts processes that the rights do not show; ``seen`` is False where no other process is in sight, or
    where one takes so long to start that nobody can tell what it was told.
    """

    names: FrozenSet[bytes]
    gos: Tuple[Tuple[int, int], ...]
    hidden: int
    seen: bool


def _texts(base: str) -> List[bytes]:
    """Everything in which a process may name a folder; PermissionError or Starting where that cannot be seen."""
    texts = [running_proc.read(base + "/maps", _LIMIT)]
    for name in ("cwd", "root", "exe"):
        try:
            texts.append(os.fsencode(os.readlink(base + "/" + name)))
        except FileNotFoundError:
            break  # it is ending, or a kernel thread, which has no executable and was told nothing
    else:
        # in this order: a program that is being started has its arguments when it has its environment
        texts += [running_proc.environ(base), running_proc.read(base + "/cmdline", _LIMIT)]
    try:
        numbers = os.listdir(base + "/fd")
    except FileNotFoundError:
        return texts
    for number in numbers:
        try:
            texts.append(os.fsencode(os.readlink("%s/fd/%s" % (base, number))))
        except FileNotFoundError:
            continue
    return texts


def look(pattern: Pattern[bytes], proc: str = "/proc") -> Live:
    """One pass over all processes but this one. Costs a millisecond a process; creates and changes nothing."""
    found: Set[bytes] = set()
    gos: List[Tuple[int, int]] = []
    hidden = others = starting = 0
    me = os.getpid()
    try:
        pids = [int(name) for name in os.listdir(proc) if name.isdigit()]
    except OSError:
        return Live(frozenset(), (), 0, False)
    for pid in pids:
        if pid == me:
            continue
        others += 1
        base = "%s/%d" % (proc, pid)
        try:
            for text in _texts(base):
                found.update(pattern.findall(text))
            go = _go(base)
            if go is not None:
                gos.append(go)
        except PermissionError:
            hidden += 1
        except running_proc.Starting:
            starting += 1
        except OSError:
            continue  # it has ended
    return Live(frozenset(found), tuple(gos), hidden, others > 0 and not starting)


def _go(base: str) -> Optional[Tuple[int, int]]:
    seen = running_proc.parse_stat(running_proc.read(base + "/stat", 4096).decode("utf-8", "replace"))
    exe = ""
    try:
        exe = os.path.basename(os.readlink(base + "/exe"))
    except FileNotFoundError:
        pass
    if not any(_GO.match(name) for name in (seen.comm, exe.split(" ", 1)[0])):
        return None
    alive = time.clock_gettime(time.CLOCK_BOOTTIME) - seen.start / os.sysconf("SC_CLK_TCK")
    return os.stat(base).st_uid, time.time_ns() - int(alive * 1e9)
