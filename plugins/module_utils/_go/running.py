# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Go tools are running on this host, and which caches and toolchains they use.

A tool is known by its executable, never only by its environment: a ``go`` that uses the default places carries no
variable at all. Every tool counts as a user of a cache unless it is proven to use another one, which is an existing
directory with another device and inode: that of the files that it maps, that its own environment names, or that its
environment, Go env file and toolchain lead to. Paths are looked up below the process's own root directory, so that jobs
in containers count for the caches that they really use.

A process can speak for itself only. What it claims (name, environment, files in its root) decides whether *it* counts
as a user, and can make a cache look busy, never make the tools of somebody else disappear. Whoever can swap the
directories on the way to somebody else's cache can break that one's builds without any help from here.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Set, Tuple

from .._core.evict import Activity
from .._fs import mounts
from . import running_exe, running_proc
from .accounts import Account
from .evaluate import ENV_FILE, PROCESS, cache_places, evaluate
from .running_proc import Rights, View
from .toolchain import Toolchain

# cmd/go and tools that load packages: with these names they count whatever they are.
NAMES = frozenset(
    "go gofmt gopls golangci-lint staticcheck dlv govulncheck goimports gotestsum garble golint errcheck mockgen "
    "stringer controller-gen gotip".split()
)
# What cmd/go starts (GOROOT/pkg/tool and, since 1.25, the build cache), and tools with names that others have too:
# these count unless their executable can be read and is no Go program.
COMMON_NAMES = frozenset(
    "compile asm link cgo vet cover buildid pack fix covdata test2json preprofile mage ko revive wire".split()
)
_WRAPPER = re.compile(r"^go-?1\.\d+(\.\d+|rc\d+|beta\d+)?$")  # golang.org/dl's go1.X.Y, distributions' go-1.X
_TOOL_DIR = re.compile(r"/pkg/tool/[a-z0-9]+_[a-z0-9]+/[^/]+$")
_IN_GOROOT = re.compile(r"^(/.*)/(?:bin/[^/]+|pkg/tool/[a-z0-9]+_[a-z0-9]+/[^/]+)$")
_DOWNLOADED = re.compile(r"^(/.*)/golang\.org/toolchain@[^/]+$")
_DELETED = " (deleted)"

# Inodes of the first namespaces: PROC_PID_INIT_INO and PROC_USER_INIT_INO, include/linux/proc_ns.h.
_HOST_PIDS = "pid:[4026531836]"
_HOST_USERS = "user:[4026531837]"
_SYS_PTRACE = 19  # capabilities(7), include/uapi/linux/capability.h

# Seconds for all look-ups of one scan: a path that a process names may lie on a file server that is down.
_TIMEOUT = 10.0
_stuck = threading.Event()

#: (device, inode, size, change time) of an executable to what running_exe.program says of it.
_programs: Dict[Tuple[int, int, int, int], Optional[str]] = {}
_PROGRAMS_MAX = 4096

# Stacked file systems: the same directory has other numbers there than below. For overlay see Tool.layers.
_STACKED = frozenset(["ecryptfs", "shiftfs", "aufs", "unionfs", "wrapfs", "bcachefs-overlay"])


class Place(NamedTuple):
    """A directory. ``plain``: a file system whose directories have these numbers only (no network, no FUSE)."""

    device: int
    inode: int
    plain: bool = True


class Uses(NamedTuple):
    """The caches of one kind that a process uses; ``proven``: it uses no others."""

    places: Tuple[Place, ...]
    proven: bool

    def may_be(self, device: int, inode: int) -> bool:
        """Whether the process may use the cache with these numbers."""
        if not self.proven:
            return True
        for place in self.places:
            if (place.device, place.inode) == (device, inode) or (not place.plain and place.device != device):
                return True
        return False


class Tool(NamedTuple):
    """One running process. ``modcache`` and ``gocache`` are None where nothing is known of them.

    ``goroot``: device and inode of the toolchain that it runs from or was told to use. ``own``: it is a part of a
    toolchain. ``layers``: device and inode of the writable layers of its container's overlay mounts.
    """

    pid: int
    start: int
    name: str
    uid: int
    modcache: Optional[Uses] = None
    gocache: Optional[Uses] = None
    goroots: FrozenSet[Tuple[int, int]] = frozenset()
    own: bool = False
    layers: FrozenSet[Tuple[int, int]] = frozenset()


class Scan(NamedTuple):
    """The Go tools that were seen.

    ``hidden`` counts processes that the rights did not show. ``complete`` tells whether what was not seen can be no
    tool of this host; ``why`` says why not, for people.
    """

    tools: Tuple[Tool, ...]
    hidden: int
    complete: bool
    why: str = ""


class Toolchains(NamedTuple):
    """Device and inode of each GOROOT that a running tool uses; ``complete``: no tool uses any other."""

    used: FrozenSet[Tuple[int, int]]
    complete: bool


class _Process(NamedTuple):
    pid: int
    base: str  # its folder in /proc, or that of a thread where the first thread has ended
    stat: running_proc.Stat
    exe: str
    named: bool


def _bases(name: str, exe: str) -> Tuple[str, str]:
    return os.path.basename(_undeleted(exe)), name


def _undeleted(exe: str) -> str:
    return exe[: -len(_DELETED)] if exe.endswith(_DELETED) else exe


def _strong(name: str, exe: str) -> bool:
    for candidate in _bases(name, exe):
        if candidate in NAMES or _WRAPPER.match(candidate):
            return True
    # comm is cut at 15 characters
    if len(name) == 15 and any(known.startswith(name) for known in NAMES):
        return True
    return bool(_TOOL_DIR.search(_undeleted(exe)))


def _weak(name: str, exe: str) -> bool:
    return any(candidate in COMMON_NAMES for candidate in _bases(name, exe))


def _listed(path: str) -> str:
    return running_proc.read(path, 4096).decode("utf-8", "replace")


def _living(base: str) -> Tuple[str, running_proc.Stat]:
    """The folder to look into and the state of a process; OSError or ValueError where it is gone."""
    seen = running_proc.parse_stat(_listed(base + "/stat"))
    if seen.state not in "ZX":
        return base, seen
    # The first thread has ended; the others, if there are any, still have memory, files and a root.
    for tid in os.listdir(base + "/task"):
        folder = "%s/task/%s" % (base, tid)
        try:
            other = running_proc.parse_stat(_listed(folder + "/stat"))
        except (OSError, ValueError):
            continue
        if other.state not in "ZX":
            return folder, other._replace(start=seen.start)
    raise ProcessLookupError(base)


def _examined(proc: str, name: str) -> Tuple[Optional[_Process], bool]:
    """A process that is to be looked at (None: there is none), and whether the rights hide it."""
    try:
        base, seen = _living("%s/%s" % (proc, name))
    except PermissionError:
        return None, True
    except (OSError, ValueError):
        return None, False
    if seen.kernel:
        return None, False
    exe, hidden = "", False
    try:
        exe = os.readlink(base + "/exe")
    except PermissionError:
        hidden = True
    except OSError:
        pass  # it is just ending
    return _Process(int(name), base, seen, exe, _strong(seen.comm, exe) or (hidden and _weak(seen.comm, exe))), hidden


def _program(base: str) -> Optional[str]:
    """As running_exe.program; ``"?"`` where the executable cannot be read."""
    try:
        st = os.stat(base + "/exe")
        key = (st.st_dev, st.st_ino, st.st_size, st.st_ctime_ns)
        if key in _programs:
            return _programs[key]
        if not stat.S_ISREG(st.st_mode):
            return None
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            # it may lie in a cache: looking leaves no trace
            fd = os.open(base + "/exe", flags | os.O_NOATIME)
        except PermissionError:
            fd = os.open(base + "/exe", flags)
        try:
            found = running_exe.program(fd)
        finally:
            os.close(fd)
    except OSError:
        return "?"
    if len(_programs) >= _PROGRAMS_MAX:
        _programs.clear()
    _programs[key] = found
    return found


def _known_program(path: str) -> bool:
    if path.startswith(("cmd/", "golang.org/dl/")):
        return True
    parts = [part for part in path.split("/") if not re.match(r"^v\d+$", part)]
    return bool(parts) and (parts[-1] in NAMES or parts[-1] in COMMON_NAMES)


class _Look:
    """The look-ups of one scan. What many processes share is looked up once."""

    def __init__(self, proc: str) -> None:
        self.proc = proc
        self.found: Dict[int, Optional[Tool]] = {}
        self._places: Dict[Tuple[object, ...], Tuple[Optional[Place], Optional[Place]]] = {}
        self._mounts: Dict[str, Dict[int, str]] = {}
        self._layers: Dict[str, FrozenSet[Tuple[int, int]]] = {}
        self._own_mounts = self._link("/proc/self/ns/mnt")

    @staticmethod
    def _link(path: str) -> str:
        try:
            return os.readlink(path)
        except OSError:
            return ""

    def all(self, rows: List[_Process]) -> None:
        # The tools that are known already come first: what has no answer in time counts as a user of everything.
        for one in sorted(rows, key=lambda item: not item.named):
            try:
                self.found[one.pid] = self._one(one)
            except Exception:
                # What a process claims may be odder than anybody thought of; it stays a user of everything.
                self.found[one.pid] = unknown(one)

    def _one(self, one: _Process) -> Optional[Tool]:
        """The process as a tool; None where it is none, or has ended."""
        for _attempt in range(3):
            if not one.named and not self._is_tool(one):
                return None  # what becomes a tool from now on comes after this scan
            tool = self._tool(one)
            again, _hidden = _examined(self.proc, str(one.pid))
            if again is None:
                return None  # it has ended
            if (again.stat.start, again.exe) == (one.stat.start, one.exe):
                return tool
            # Its number went to another process, or it runs another program now.
            one = again
        return unknown(one)

    def _is_tool(self, one: _Process) -> bool:
        program = _program(one.base)
        if program is None:
            return False
        if _weak(one.stat.comm, one.exe) or (program not in ("", "?") and _known_program(program)):
            return True
        if program == "?":
            return False
        # A Go program that nobody has heard of: a build cache's mapped index tells that it loads packages.
        rows, whole = self._mapped(one.base)
        return bool(rows) or not whole

    @staticmethod
    def _mapped(base: str) -> Tuple[List[running_proc.Mapped], bool]:
        try:
            return running_proc.parse_maps(running_proc.read(base + "/maps", running_proc.MAPS_LIMIT))
        except OSError:
            return [], False

    def _tool(self, one: _Process) -> Tool:
        try:
            data = running_proc.environ(one.base)
            who = running_proc.rights(one.base)
            view = View(one.base)
        except OSError:
            return unknown(one)
        try:
            return self._evidence(one, view, who, data)
        finally:
            view.close()

    def _evidence(self, one: _Process, view: View, who: Rights, data: bytes) -> Tool:
        environ = running_proc.parse_environ(data)
        goroot, goroots = self._goroot(one, view, environ)
        space = self._link(one.base + "/ns/mnt")
        gocache: Optional[Place] = None
        modcache: Optional[Place] = None
        if len(data) < running_proc.ENVIRON_LIMIT:
            gocache, modcache = self._evaluated(one, view, who, environ, goroot, space)
        uses = self._build_caches(one, view, gocache, space)
        modules = [] if modcache is None else [modcache]
        hit = _DOWNLOADED.match(goroot)
        home = self._place(one, view, hit.group(1), space) if hit else None
        if home is not None and home not in modules:
            modules.append(home)
        return Tool(
            one.pid,
            one.stat.start,
            _name(one),
            who.uid,
            Uses(tuple(modules), modcache is not None),
            uses,
            goroots,
            _is_own(one),
            self._overlays(one, space),
        )

    def _build_caches(self, one: _Process, view: View, evaluated: Optional[Place], space: str) -> Uses:
        rows, whole = self._mapped(one.base)
        places = [] if evaluated is None else [evaluated]
        # A go command has one build cache; the files that it maps prove which, whatever its environment says.
        exact = bool(rows) and whole and (_known_go(one))
        for row in rows:
            here = False
            resolved = False
            for name in view.names(row.path):
                place = self._place(one, view, name, space)
                if place is None:
                    continue
                resolved = True
                if place not in places:
                    places.append(place)
                for file, device, inode in row.files:
                    try:
                        here = here or view.identify(name + "/" + file) == (device, inode)
                    except OSError:
                        continue
            exact = exact and here
            # It maps a build cache that cannot be found: nothing is proven.
            whole = whole and resolved
        return Uses(tuple(places), exact or (whole and evaluated is not None))

    def _place(self, one: _Process, view: View, path: str, space: str) -> Optional[Place]:
        try:
            fd, _real = view.open(path)
        except OSError:
            return None
        try:
            st = os.fstat(fd)
            if not stat.S_ISDIR(st.st_mode):
                return None
            return Place(st.st_dev, st.st_ino, self._is_plain(one, fd, space))
        finally:
            os.close(fd)

    def _is_plain(self, one: _Process, fd: int, space: str) -> bool:
        key = space or one.base
        if key not in self._mounts:
            try:
                with open(one.base + "/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
                    rows = mounts.parse_mountinfo(handle.read())
            except OSError:
                rows = []
            self._mounts[key] = {row.mount_id: row.fstype for row in rows}
        try:
            text = running_proc.read("/proc/self/fdinfo/%d" % fd, 4096).decode("ascii", "replace")
            fstype = self._mounts[key][int(running_proc.parse_status(text)["mnt_id"][0])]
        except (OSError, KeyError, IndexError, ValueError):
            return False
        return fstype not in mounts.NETWORK_TYPES and fstype not in _STACKED and not fstype.startswith("fuse")

    def _overlays(self, one: _Process, space: str) -> FrozenSet[Tuple[int, int]]:
        if space and space == self._own_mounts:
            return frozenset()
        if space not in self._layers or not space:
            found: Set[Tuple[int, int]] = set()
            try:
                with open(one.base + "/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
                    paths = running_proc.parse_layers(handle.read())
            except OSError:
                paths = set()
            for path in paths:
                try:
                    st = os.stat(path)
                except OSError:
                    continue
                found.add((st.st_dev, st.st_ino))
            self._layers[space] = frozenset(found)
        return self._layers[space]

    def _evaluated(
        self, one: _Process, view: View, who: Rights, environ: Dict[str, str], goroot: str, space: str
    ) -> Tuple[Optional[Place], Optional[Place]]:
        wanted = running_proc.relevant(environ)
        key = (space or one.base, view.prefix, who, goroot, tuple(sorted(wanted.items())))
        if key in self._places:
            return self._places[key]
        # An empty home: Go does not look into the password database. No cgo: what a C compiler changes is not wanted.
        given = dict({"HOME": ""}, CGO_ENABLED="0", **wanted)
        chain = None
        if goroot:
            try:
                version = view.read(goroot + "/VERSION", who).decode("utf-8", "replace").split("\n")[0].strip()
            except OSError:
                version = ""
            chain = Toolchain(goroot, version, "", "explicit", 0)
        account = Account(str(who.uid), who.uid, 0, "")
        found = evaluate(account, given, chain, fs=running_proc.ViewFiles(view, who))
        named = cache_places(found.settings)
        places: List[Optional[Place]] = []
        for name, path in (("GOCACHE", named.gocache), ("GOMODCACHE", named.gomodcache)):
            setting = found.settings.get(name)
            origin = setting.origin if setting else ""
            sure = (
                origin == PROCESS
                or (origin == ENV_FILE and found.env_state == "read")
                # Any other origin needs both files: the env file, and the toolchain's go.env.
                or (bool(goroot) and not found.env_state.startswith("unreadable"))
            )
            places.append(self._place(one, view, path, space) if path and sure else None)
        self._places[key] = (places[0], places[1])
        return self._places[key]

    def _goroot(self, one: _Process, view: View, environ: Dict[str, str]) -> Tuple[str, FrozenSet[Tuple[int, int]]]:
        """The GOROOT whose go.env counts, as the process calls it ("" where unknown), and what it may use of GOROOTs.

        cmd/go/internal/cfg findGOROOT: the variable, else the folder above that of the executable, if it is one.
        """
        used: Set[Tuple[int, int]] = set()
        text = ""
        exe = _undeleted(one.exe)
        hit = _IN_GOROOT.match(exe)
        if hit:
            text = self._exe_root(one, view, exe, hit.group(1), used)
        elif not environ.get("GOROOT"):
            text = self._path_root(view, environ.get("PATH", ""), used)
        if not text and hit and not used and not environ.get("GOROOT"):
            text = self._path_root(view, environ.get("PATH", ""), used)
        if environ.get("GOROOT"):
            text = ""
            try:
                used.add(view.identify(environ["GOROOT"]))
                text = os.path.normpath(environ["GOROOT"])
            except OSError:
                pass
        return text, frozenset(used)

    @staticmethod
    def _exe_root(one: _Process, view: View, exe: str, root: str, used: Set[Tuple[int, int]]) -> str:
        try:
            st = os.stat(one.base + "/exe")
            me: Optional[Tuple[int, int]] = (st.st_dev, st.st_ino)
        except OSError:
            me = None
        deleted = one.exe.endswith(_DELETED)
        # cut what the kernel shows of a root that is not its namespace's
        for name, top in zip(view.names(exe), view.names(root)):
            try:
                if not deleted and (me is None or view.identify(name) != me):
                    continue
                view.identify(top + "/pkg/tool")
                used.add(view.identify(top))
                return top
            except OSError:
                continue
        # It was started before its root was changed: what the path means here, if it is the same file.
        try:
            st = os.stat(exe)
            if me == (st.st_dev, st.st_ino) and os.path.isdir(root + "/pkg/tool"):
                st = os.stat(root)
                used.add((st.st_dev, st.st_ino))
        except OSError:
            pass
        return ""

    @staticmethod
    def _path_root(view: View, path: str, used: Set[Tuple[int, int]]) -> str:
        """The GOROOT of the ``go`` that a tool finds on its PATH; of a shim nobody knows what it starts."""
        for folder in path.split(":")[:64]:
            if not folder.startswith("/"):
                continue
            try:
                fd, real = view.open(folder + "/go")
                os.close(fd)
            except OSError:
                continue
            root = real[: -len("/bin/go")]
            if not real.endswith("/bin/go"):
                return ""
            try:
                view.identify(root + "/pkg/tool")
                used.add(view.identify(root))
            except OSError:
                return ""
            return root
        return ""


def _name(one: _Process) -> str:
    return os.path.basename(_undeleted(one.exe)) or one.stat.comm


def _known_go(one: _Process) -> bool:
    return _name(one) == "go" or _program(one.base) == "cmd/go"


def _is_own(one: _Process) -> bool:
    program = _program(one.base) or ""
    return program.startswith("cmd/") or _name(one) == "go" or bool(_TOOL_DIR.search(_undeleted(one.exe)))


def unknown(one: _Process) -> Tool:
    """A tool of which nothing but its being there is known: it may use every cache and toolchain."""
    try:
        uid = os.stat(one.base).st_uid
    except OSError:
        uid = -1
    return Tool(one.pid, one.stat.start, _name(one), uid, None, None, frozenset(), True)


def _sight(proc: str, pids: List[str], hidden: int) -> str:
    """Why processes of this host may be out of sight; "" where none can be."""
    if "1" not in pids:
        return "/proc shows only some processes (hidepid)"
    try:
        mine = running_proc.parse_status(running_proc.read(proc + "/self/status", 65536).decode("utf-8", "replace"))
        nested = len(mine.get("NSpid", ["1"])) > 1
        able = bool(int(mine["CapEff"][0], 16) >> _SYS_PTRACE & 1)
    except (OSError, KeyError, IndexError, ValueError):
        return "%s/self/status cannot be read" % proc
    try:
        # With more than one number in NSpid this /proc is that of a namespace above the own one (proc_pid_status(5)).
        if os.readlink(proc + ("/1" if nested else "/self") + "/ns/pid") != _HOST_PIDS:
            return "this process runs in a container: tools of the host and of other containers cannot be seen"
    except OSError:
        return "it cannot be told whether this process runs in a container"
    try:
        first = os.readlink(proc + "/self/ns/user") == _HOST_USERS
    except FileNotFoundError:
        first = True  # a kernel without user namespaces
    except OSError:
        first = False
    if not able or not first:
        return "not root: what processes of other users run and use cannot be seen"
    if hidden:
        return "%d processes are hidden from root (a security module)" % hidden
    return ""


def scan(proc: str = "/proc") -> Scan:
    """One pass over /proc: some tens of microseconds a process, more for Go tools; creates and changes nothing.

    Needs root in the host's own namespaces to be complete. Without it the executables of other users' processes cannot
    be seen; such a process counts by its command name, which everybody may read (proc_pid_comm(5)), and as hidden.
    """
    try:
        names = os.listdir(proc)
    except OSError as error:
        return Scan((), 0, False, "%s cannot be read: %s" % (proc, error.strerror))
    pids = [name for name in names if name.isdigit()]
    try:
        me = int(os.readlink(proc + "/self"))
    except (OSError, ValueError):
        me = os.getpid()
    hidden = unseen = 0
    rows: List[_Process] = []
    for name in pids:
        if int(name) == me:
            continue
        one, out_of_sight = _examined(proc, name)
        if out_of_sight:
            hidden += 1
            # init is no Go tool, and may have rights that nobody else has
            unseen += name != "1" or (one is not None and one.named)
        if one is not None:
            rows.append(one)
    tools, answered = _looked_at(proc, [one for one in rows if one.named or one.exe or _weak(one.stat.comm, "")])
    why = _sight(proc, pids, unseen)
    if not answered:
        why = why or "what a process uses could not be looked up in %d seconds (a file server that is down?)" % _TIMEOUT
    return Scan(tuple(tools), hidden, not why, why)


def _looked_at(proc: str, rows: List[_Process]) -> Tuple[List[Tool], bool]:
    look = _Look(proc)
    answered = False
    if not _stuck.is_set():
        # A thread, because a call that waits for a file server cannot be broken off; the process can still end.
        thread = threading.Thread(target=look.all, args=(rows,), name="gofleet-scan", daemon=True)
        try:
            thread.start()
            thread.join(_TIMEOUT)
            answered = not thread.is_alive()
        except RuntimeError:
            answered = False  # no thread can be had
        if not answered:
            _stuck.set()
    tools = []
    found = dict(look.found)
    for one in rows:
        if one.pid in found:
            tool = found[one.pid]
        else:
            tool = unknown(one) if one.named or _weak(one.stat.comm, one.exe) else None
            answered = False
        if tool is not None:
            tools.append(tool)
    return tools, answered


def users_of(
    seen: Scan, device: int, inode: int, kind: str, above: FrozenSet[Tuple[int, int]] = frozenset()
) -> Activity:
    """The tools that may use the cache at (*device*, *inode*); *kind* is ``go-mod`` or ``go-build``.

    *above*: device and inode of the folders that the cache lies in. A cache inside the writable layer of a container is
    used by the tools of that container, which see it under other numbers.
    """
    who = []
    for tool in seen.tools:
        uses = tool.modcache if kind == "go-mod" else tool.gocache
        if uses is None or uses.may_be(device, inode) or (tool.layers & above):
            who.append((tool.pid, tool.start, tool.name))
    return Activity(tuple(who), seen.complete)


def state(activity: Activity) -> str:
    """``busy``, ``idle`` or ``unknown``: nobody was seen, but not everybody can be."""
    if activity.who:
        return "busy"
    return "idle" if activity.complete else "unknown"


def toolchains_in_use(seen: Scan) -> Toolchains:
    """The toolchains that running tools use: where they were started from, GOROOT, the ``go`` on a tool's PATH."""
    used: Set[Tuple[int, int]] = set()
    complete = seen.complete
    for tool in seen.tools:
        used |= tool.goroots
        if tool.own and not tool.goroots:
            complete = False
    return Toolchains(frozenset(used), complete)


def above(fd: int) -> FrozenSet[Tuple[int, int]]:
    """Device and inode of the directory *fd* and of all folders that it lies in; what cannot be reached is left out."""
    found: Set[Tuple[int, int]] = set()
    own: List[int] = []
    try:
        while True:
            st = os.fstat(fd)
            if (st.st_dev, st.st_ino) in found or len(found) > 4096:
                break
            found.add((st.st_dev, st.st_ino))
            fd = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            own.append(fd)
    except OSError:
        pass
    finally:
        for item in own:
            os.close(item)
    return frozenset(found)
