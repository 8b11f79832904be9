# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Survey of a folder of toolchains: which there are, when each was last run, and which somebody relies on."""

from __future__ import annotations

import glob
import os
import re
import stat
from typing import Any, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Pattern, Set, Tuple

from ..._core.survey import SECOND, CacheRef, Entries, Survey
from ..._fs import dirs, mounts
from ..._fs.identity import Root
from ..._go import modpath, toolchain
from ..go_work import live, trees
from . import GOING, KIND, LEFTOVER, SDK, SDK_MARK, TIERS, Place, place_of

HOLDS = (
    "",
    "other owner",
    "in use",
    "the system's go",
    "newest of its platform",
    "not reached whole",
    "no mark of completion",
    "no access times",
    "processes not visible",
)
OWNER, IN_USE, SYSTEM, NEWEST, PART, UNMARKED, NO_TIMES, BLIND = range(1, 9)
# relatime writes an access time down once in 24 hours (mount(8)).
GRAIN = 24 * 3600 * SECOND
_BUDGET = 2_000_000
_SYSTEM_LINKS = ("/usr/local/go", "/usr/local/bin/go*", "/usr/bin/go*", "/bin/go", "/opt/go", "/etc/alternatives/go*")
_NODE_ARCH = {"x64": "amd64", "ia32": "386", "x32": "386"}
_MACHINE = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm", "armv6l": "arm"}


class _Found(NamedTuple):
    place: Place
    st: os.stat_result
    seen: trees.Measured
    used: int
    version: str
    system: str
    marked: bool
    owner: int
    mark: Optional[os.stat_result]

    @property
    def leftover(self) -> bool:
        """Whether it is what an installation or an eviction left that was cut off."""
        return not self.version or trees.ASIDE.match(self.place.name) is not None


def survey(root: Root, proc: str = "/proc") -> Survey:
    """The toolchains below *root*; sizes in bytes, times in Unix nanoseconds."""
    mount = mounts.by_id().get(root.mount)
    # An overlay tells nothing of the use of what lies in its lower layers: the kernel mounts those without atimes.
    timed = mount is not None and mount.atime != "none" and mount.fstype != "overlay"
    budget = [_BUDGET]
    found = [item for item in (_look(root, place, budget) for place in _places(root)) if item is not None]
    names = live.look(_named(root), proc)
    linked = _linked(root)
    newest = _newest(found)
    labels: List[str] = []
    groups: Dict[str, int] = {}
    versions: List[Tuple[str, str]] = []
    entries = Entries()
    owners: List[Tuple[int, int]] = [(root.uid, root.gid)]
    totals = dict.fromkeys(("entries", "bytes", "allocated", "inodes", "toolchains"), 0)
    rows: List[Dict[str, Any]] = []
    last = 0
    for item in found:
        group, leftover = -1, item.leftover
        if not leftover:
            label = modpath.label("golang.org/toolchain", "v0.0.1-%s.%s" % (item.version, item.system))
            group = groups.setdefault(label, len(labels))
            if group == len(labels):
                labels.append(label)
                versions.append((item.version, item.system))
        hold = _hold(item, names, linked, timed)
        number = trees.owner_number(owners, item.st)
        if number < 0:
            number, hold = 0, hold or OWNER
        if not hold and item.place.path in newest:
            hold = NEWEST
        freed = item.seen.freed + (dirs.freed_by_unlink(item.mark) if item.mark is not None else 0)
        row = entries.add(
            os.fsencode(item.place.path),
            LEFTOVER if leftover else item.place.tier,
            0,
            item.used,
            item.st.st_mtime_ns,
            item.st.st_ino,
            freed,
            item.seen.size,
            item.seen.inodes + (item.mark is not None),
            group,
        )
        entries.hold[row] = hold
        entries.owner[row] = number
        last = max(last, item.used)
        totals["bytes"] += item.seen.size
        totals["allocated"] += freed
        totals["inodes"] += item.seen.inodes
        totals["toolchains"] += not leftover
        rows.append({"path": item.place.path, "version": item.version, "bytes": freed, "hold": HOLDS[hold]})
    totals["entries"] = len(entries)
    partial = [{"path": i.place.path, "why": "not every folder in it could be read"} for i in found if not i.seen.whole]
    return Survey(
        CacheRef(KIND, root.path, root.given, root.uid, root.gid, root.device, root.inode),
        TIERS,
        HOLDS,
        labels,
        entries,
        GRAIN,
        "atime of the go command" if timed else "arrival (the mount records no access times)",
        (0,),
        last,
        totals,
        {"toolchains_found": rows[:50], "processes_hidden": names.hidden},
        [],
        partial,
        "more than %d names" % _BUDGET if budget[0] < 0 else None,
        _ranks(versions),
        tuple(owners),
    )


def _places(root: Root) -> Iterator[Place]:
    for name in sorted(dirs.names(root.fd)):
        st = dirs.lstat_or_none(name, root.fd)
        if st is None or not stat.S_ISDIR(st.st_mode):
            continue
        place = place_of(name)
        if place is not None:
            yield place
            continue
        try:
            fd = dirs.open_dir(name, root.fd)
        except OSError:
            continue
        try:
            inside = sorted(dirs.names(fd)) if dirs.same_place(fd, root.mount, root.device) else []
        finally:
            os.close(fd)
        for arch in inside:
            place = place_of("%s/%s" % (name, arch))
            if place is not None:
                yield place


def _look(root: Root, place: Place, budget: List[int]) -> Optional[_Found]:
    """What lies at a place; None where it is no folder, or one of another program's."""
    try:
        parent = dirs.open_dir(place.folder or ".", root.fd)
    except OSError:
        return None
    fd = -1
    try:
        st = dirs.lstat(place.name, parent)
        if not stat.S_ISDIR(st.st_mode):
            return None
        owner = os.fstat(parent).st_uid
        fd = dirs.open_dir(place.name, parent)
        inside = dirs.same_place(fd, root.mount, root.device)
        seen = (
            trees.measure(fd, root.mount, root.device, budget) if inside else trees.Measured(0, 0, 1, 0, False, False)
        )
        goes = dirs.lstat_or_none("bin/go", fd) if inside else None
        outside = place.tier != SDK
        marker = place.mark if outside else SDK_MARK
        where = parent if outside else fd
        mark, going = dirs.lstat_or_none(marker, where), dirs.lstat_or_none(marker + GOING, where)
        whole = goes is not None and stat.S_ISREG(goes.st_mode)
        if not whole and place.tier == SDK and mark is None and not trees.ASIDE.match(place.name):
            return None  # a folder that is only called so
        version = _version(fd) if whole else ""
        there = mark if mark is not None else going
        used = max(st.st_mtime_ns, st.st_ctime_ns, last_run(fd) if version else seen.newest)
        if there is not None:
            used = max(used, there.st_mtime_ns)
        counted = there if outside and not trees.ASIDE.match(place.name) else None
        return _Found(place, st, seen, used, version, _system(fd, place), there is not None, owner, counted)
    except OSError:
        return None
    finally:
        for number in (fd, parent):
            if number >= 0:
                os.close(number)


def _version(fd: int) -> str:
    """``go1.22.3``, from the first line of VERSION; '' where there is none (then it is no toolchain)."""
    try:
        line = dirs.read_small("VERSION", fd, 256).decode("utf-8", "replace").split("\n", 1)[0].strip()
    except OSError:
        return ""
    return line if re.match(r"go1[-+.\w]*\Z", line) else ""


def _system(fd: int, place: Place) -> str:
    """``linux-amd64``: what its own tools are built for, or else what its place says."""
    for name in _tools(fd):
        system, _under, arch = name.partition("_")
        if arch:
            return "%s-%s" % (system, arch)
    arch = place.mark[: -len(".complete")] if place.tier != SDK else os.uname().machine
    return "linux-" + _NODE_ARCH.get(arch, _MACHINE.get(arch, arch))


def _tools(fd: int) -> List[str]:
    """The names in pkg/tool: the platforms that its tools are built for."""
    try:
        packages = dirs.open_dir("pkg", fd)
    except OSError:
        return []
    try:
        tools = dirs.open_dir("tool", packages)
    except OSError:
        return []
    finally:
        os.close(packages)
    try:
        return sorted(dirs.names(tools))
    finally:
        os.close(tools)


def last_run(fd: int) -> int:
    """The newest access time of the programs of a toolchain, which every run of one refreshes (relatime: daily)."""
    found = 0
    names = ["bin/go", "bin/gofmt"]
    for system in _tools(fd):
        names += ["pkg/tool/%s/%s" % (system, tool) for tool in ("compile", "link", "asm")]
    for name in names:
        try:
            st = dirs.lstat(name, fd)
        except OSError:
            continue
        if stat.S_ISREG(st.st_mode):
            found = max(found, st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns)
    return found


# who relies on it


def _named(root: Root) -> Pattern[bytes]:
    """A process names a toolchain by PATH, GOROOT or its executable; in a container the path before may be another."""
    tops = {re.escape(os.fsencode(os.path.basename(name.rstrip("/")))) for name in (root.path, root.given)}
    return re.compile(rb"(?=/(?:" + b"|".join(sorted(tops)) + rb")/([^/\0:\n ]+(?:/[^/\0:\n ]+)?))")


def _is_named(path: str, names: FrozenSet[bytes]) -> bool:
    own = os.fsencode(path)
    return any(name in (own, own.split(b"/")[0]) or name.startswith(own + b"/") for name in names)


def _linked(root: Root) -> FrozenSet[str]:
    """Folders below the root to which the system's own symlinks lead: two levels at most, as paths below it."""
    found: Set[str] = set()
    for pattern in _SYSTEM_LINKS:
        for link in glob.glob(pattern):
            real = os.path.realpath(link)
            if real.startswith(root.path + "/"):
                parts = real[len(root.path) + 1 :].split("/")
                found.update(("/".join(parts[:1]), "/".join(parts[:2])))
    return frozenset(found)


def _newest(found: List[_Found]) -> FrozenSet[str]:
    """The newest toolchain of each platform in a tool cache: jobs that ask for none in particular take it."""
    best: Dict[str, _Found] = {}
    for item in found:
        if item.leftover or not item.marked or item.place.tier == SDK:
            continue
        old = best.get(item.system)
        if old is None or toolchain.version_key(item.version) > toolchain.version_key(old.version):
            best[item.system] = item
    return frozenset(item.place.path for item in best.values())


def _ranks(versions: List[Tuple[str, str]]) -> List[int]:
    """0 for the newest of each platform, 1 for the one before."""
    ranks = [0] * len(versions)
    for system in {system for _version, system in versions}:
        mine = [number for number, (_version, of) in enumerate(versions) if of == system]
        mine.sort(key=lambda number: toolchain.version_key(versions[number][0]), reverse=True)
        for rank, number in enumerate(mine):
            ranks[number] = rank
    return ranks


def _hold(item: _Found, users: live.Live, linked: FrozenSet[str], timed: bool) -> int:
    if not item.seen.whole:
        return PART
    if item.seen.foreign or item.st.st_uid != item.owner or os.geteuid() not in (0, item.st.st_uid):
        return OWNER
    if item.place.path in linked:
        return SYSTEM
    if not users.seen:
        return BLIND
    if _is_named(item.place.path, users.names):
        return IN_USE
    if not item.leftover and not item.marked:
        return UNMARKED  # put there by hand, or still being installed
    if not item.leftover and not timed:
        return NO_TIMES  # a job may have found it, and go on to use it
    return 0
