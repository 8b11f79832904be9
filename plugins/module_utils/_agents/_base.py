# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the files about CI systems share: their result types, and careful reading of a host's configuration.

Nothing here writes, starts a process or opens a file that is known to hold nothing but credentials. Texts read from
configuration never leave this package as they are: only paths, names of runners and the values of the Go variables in
:data:`GO_VARIABLES` do, the latter with credentials cut out of URLs.
"""

from __future__ import annotations

import errno
import os
import posixpath
import pwd
import re
import shlex
import stat
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

FILE_LIMIT = 1 << 20
"""Bytes of a configuration file that are read at most; a longer one is reported as unreadable."""

GO_VARIABLES: FrozenSet[str] = frozenset(
    "GOAUTH GOBIN GOCACHE GOCACHEPROG GOENV GOEXPERIMENT GOFLAGS GOINSECURE GOMODCACHE GONOPROXY GONOSUMDB GOPATH"
    " GOPRIVATE GOPROXY GOROOT GOSUMDB GOTMPDIR GOTOOLCHAIN GOVCS GOWORK GO111MODULE GOTELEMETRY"
    " GOLANGCI_LINT_CACHE STATICCHECK_CACHE".split()
)
"""The variables whose values are returned. A list, not ``GO*``: GOOGLE_APPLICATION_CREDENTIALS begins with GO too."""

PLACE_VARIABLES: FrozenSet[str] = frozenset(
    ("HOME", "XDG_CACHE_HOME", "TMPDIR", "RUNNER_TOOL_CACHE", "AGENT_TOOLSDIRECTORY")
)
"""Further variables that decide where caches lie."""

_TOO_WIDE = frozenset(
    "/ /bin /boot /dev /etc /lib /lib32 /lib64 /proc /run /sbin /sys /usr /usr/bin /usr/lib /usr/local /var /var/lib"
    " /var/run".split()
)
_NO_HOME = frozenset(
    "/ /bin /sbin /usr/bin /usr/sbin /dev /dev/null /proc /run /tmp /var/tmp /nonexistent /none /var/empty /var/run"
    " /var/cache /var/log /var/spool /usr/games /etc".split()
)


class Root(NamedTuple):
    """A directory below which caches may lie, and why we think so.

    ``path`` can be opened as it is (the ``root`` prefix of the caller is in it), ``why`` is for people, ``system`` the
    CI system or engine, ``config_file`` the file that says so ('' for a usual place or a process).
    """

    path: str
    why: str
    system: str
    config_file: str


class Setting(NamedTuple):
    """One variable that a CI system gives to its jobs.

    ``value`` has no credentials (``redacted`` tells whether some were cut out). ``inside`` is ``host``, or
    ``container`` where the value is a container's path, which means nothing on the host. ``account`` is the account
    that the jobs run as, '' where unknown.
    """

    name: str
    value: str
    system: str
    config_file: str
    where: str
    inside: str
    account: str
    redacted: bool


class Finding(NamedTuple):
    """Something to know: ``code`` is stable, ``severity`` is ``warning`` or ``info``, ``path`` may be ''."""

    code: str
    severity: str
    system: str
    path: str
    message: str


class Evidence(NamedTuple):
    """Why we say that a CI system is on this host: ``what`` is config, unit, process, program or folder."""

    system: str
    what: str
    path: str


class EngineRoot(NamedTuple):
    """A directory that a container engine calls its own: ``engine`` as in :mod:`.._discover.engines`."""

    engine: str
    path: str
    config_file: str


class Inspection(NamedTuple):
    """All that one CI system's file says about a host; ``accounts`` are those that its jobs run as."""

    system: str
    evidence: List[Evidence]
    roots: List[Root]
    settings: List[Setting]
    findings: List[Finding]
    accounts: List[str]
    engine_roots: List[EngineRoot]


class Account(NamedTuple):
    """A line of the password database whose home exists; ``home`` has the host's prefix, ``plain_home`` has not."""

    name: str
    uid: int
    home: str
    plain_home: str


class Process(NamedTuple):
    """A running process: ``contained`` when its root directory is not the host's."""

    pid: int
    uid: int
    argv: Tuple[str, ...]
    contained: bool


class Unit(NamedTuple):
    """What a systemd service says: ``environ`` holds text that may be secret and stays inside this package."""

    name: str
    path: str
    user: str
    workdir: str
    argv: Tuple[str, ...]
    environ: Dict[str, str]


class Unreadable(Exception):
    """A configuration file that exists and was not understood; ``reason`` never quotes its contents."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__("%s: %s" % (path, reason))
        self.path = path
        self.reason = reason


def read_text(path: str, limit: int = FILE_LIMIT) -> str:
    """The text of a small regular file (UTF-8, a byte order mark is dropped, as .NET writes one).

    Raises FileNotFoundError (also where a folder on the way is missing or closed to us), else Unreadable: no
    permission, not a regular file (a FIFO would block us), longer than *limit* bytes, not UTF-8.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOCTTY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(errno.ENOENT, "no such file", path) from None
    except PermissionError as exc:
        try:
            os.lstat(path)
        except OSError:
            # Whether it is there cannot be seen: that is no sign of a CI system.
            raise FileNotFoundError(errno.ENOENT, "not to be seen", path) from None
        raise Unreadable(path, exc.strerror or "cannot be opened") from None
    except OSError as exc:
        raise Unreadable(path, exc.strerror or "cannot be opened") from None
    except ValueError:
        raise Unreadable(repr(path), "not a file name") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable(path, "not a regular file")
        chunks: List[bytes] = []
        left = limit + 1
        while left > 0:
            chunk = os.read(fd, min(left, 65536))
            if not chunk:
                break
            chunks.append(chunk)
            left -= len(chunk)
    except OSError as exc:
        raise Unreadable(path, exc.strerror or "cannot be read") from None
    finally:
        os.close(fd)
    data = b"".join(chunks)
    if len(data) > limit:
        raise Unreadable(path, "longer than %d bytes" % limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable(path, "not UTF-8 text") from None


def redact(value: str) -> Tuple[str, bool]:
    """*value* with the user part of every URL and every token-like query cut out, and whether anything was.

    GOPROXY takes lists separated by ``,`` and ``|``; a password may hold any character but ``/``, so the user part
    reaches to the last ``@`` before the next slash.
    """
    cut = re.sub(r"(://)[^/\s]*@", r"\1***@", value)
    # Bounded, so that no value that somebody has made for it takes long.
    name = r"[^=&?\s]{0,256}(?:token|key|secret|password|passwd|sig|auth)[^=&?\s]{0,256}"
    cut = re.sub(r"(?i)([?&]%s=)[^&\s,|]+" % name, r"\1***", cut)
    return cut, cut != value


def too_wide(path: str) -> bool:
    """Whether a plain path (without prefix) is a whole part of the system, which no search should start from."""
    return posixpath.normpath(path) in _TOO_WIDE


_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def substitute(text: str, values: Dict[str, str]) -> str:
    """*text* with ``$NAME`` and ``${NAME}`` replaced where *values* knows the name; the others stay."""
    return _VARIABLE.sub(lambda m: values.get(m.group(1) or m.group(2), m.group(0)), text)


def literal_prefix(path: str) -> Tuple[str, bool]:
    """The longest leading folder of *path* without variables, and whether that is the whole path.

    ``/srv/cache/$CI_PROJECT_ID/go`` gives (``/srv/cache``, False).
    """
    if "$" not in path and "%" not in path:
        return path, True
    parts: List[str] = []
    for part in path.split("/"):
        if "$" in part or "%" in part:
            break
        parts.append(part)
    return "/".join(parts) or "/", False


def parse_env_lines(text: str) -> Dict[str, str]:
    """``NAME=value`` lines exactly as the GitHub and Azure agents read ``.env``: no quotes, no comments.

    Source: actions/runner src/Runner.Listener/Program.cs LoadAndSetEnv (the first ``=`` divides).
    """
    found: Dict[str, str] = {}
    for line in text.replace("\r\n", "\n").split("\n"):
        name, sign, value = line.partition("=")
        if sign and name:
            found[name] = value
    return found


def parse_shell_assignments(text: str) -> Tuple[Dict[str, str], List[str]]:
    """Literal assignments of a shell-like file (``/etc/default/x``, a hook, an EnvironmentFile).

    Returns name to value, and the names whose value cannot be known without running the shell. ``$NAME`` is replaced
    where the same file has given that name a literal value before. A name that is assigned in an indented line or
    more than once is unknown too, as it may depend on a condition.
    """
    found: Dict[str, str] = {}
    unknown: List[str] = []
    line_shape = re.compile(r"^(\s*)(?:export\s+)?([A-Za-z_]\w*)=(.*)$")
    for line in text.replace("\\\n", "").split("\n"):
        match = line_shape.match(line.rstrip("\r"))
        if match is None:
            continue
        indent, name, rest = match.groups()
        value: Optional[str] = None
        single = rest.lstrip().startswith("'")
        if not indent and name not in found and name not in unknown and "`" not in rest and "$(" not in rest:
            try:
                lexer = shlex.shlex(rest, posix=True, punctuation_chars=";&|()<>")
                lexer.whitespace_split = True
                words = list(lexer)
            except ValueError:
                words = ["", ""]
            # A second word means `NAME=value command`: the value holds for that command only.
            if len(words) <= 1:
                value = words[0] if words else ""
                if not single:
                    value = substitute(value, found)
                    if "$" in value:
                        value = None
        if value is None:
            found.pop(name, None)
            if name not in unknown:
                unknown.append(name)
        else:
            found[name] = value
    return found, unknown


def _words(text: str) -> List[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def parse_unit(texts: Sequence[str]) -> Dict[str, List[str]]:
    """The ``[Service]`` lines of a unit file and its drop-ins, in order (systemd.syntax(7)).

    An empty assignment drops what came before, a backslash at the end joins lines.
    """
    found: Dict[str, List[str]] = {}
    for text in texts:
        section = ""
        joined = re.sub(r"\\\r?\n", " ", text)
        for raw in joined.split("\n"):
            line = raw.strip()
            if not line or line[0] in "#;":
                continue
            if line[0] == "[" and line[-1] == "]":
                section = line[1:-1]
                continue
            name, sign, value = line.partition("=")
            if section != "Service" or not sign:
                continue
            name, value = name.strip(), value.strip()
            if value:
                found.setdefault(name, []).append(value)
            else:
                found[name] = []
    return found


class Host:
    """One host's configuration below *root*, each part read once and only when asked for.

    *root* is prefixed to every path, so that a fixture tree (or a mounted image) can be inspected; ``/`` is this host.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = posixpath.normpath(root)
        self._accounts: Optional[List[Account]] = None
        self._processes: Optional[List[Process]] = None
        self._units: Optional[List[Unit]] = None
        self.unit_findings: List[Finding] = []

    def path(self, plain: str) -> str:
        """*plain* (absolute) with the host's prefix; ``..`` cannot climb out of it."""
        clean = posixpath.normpath("/" + plain.lstrip("/"))
        if self.root == "/":
            return clean
        return self.root if clean == "/" else self.root + clean

    def plain(self, path: str) -> str:
        """The reverse of :meth:`path`."""
        if self.root == "/":
            return path
        return path[len(self.root) :] or "/" if path == self.root or path.startswith(self.root + "/") else path

    def listdir(self, plain: str) -> List[str]:
        """Sorted names in a directory, [] where it is missing or unreadable."""
        try:
            return sorted(os.listdir(self.path(plain)))
        except (OSError, ValueError):
            return []

    def is_dir(self, plain: str) -> bool:
        """Whether *plain* is a directory (through symlinks)."""
        try:
            return stat.S_ISDIR(os.stat(self.path(plain)).st_mode)
        except (OSError, ValueError):
            return False

    def exists(self, plain: str) -> bool:
        """Whether *plain* exists."""
        return os.path.lexists(self.path(plain))

    def accounts(self) -> List[Account]:
        """The accounts whose home is a directory of its own, one per home."""
        if self._accounts is None:
            lines: List[Tuple[str, int, str]] = []
            if self.root == "/":
                lines = [(entry.pw_name, entry.pw_uid, entry.pw_dir) for entry in pwd.getpwall()]
            else:
                try:
                    text = read_text(self.path("/etc/passwd"))
                except (OSError, Unreadable):
                    text = ""
                for line in text.split("\n"):
                    fields = line.split(":")
                    if len(fields) == 7 and fields[2].isdigit():
                        lines.append((fields[0], int(fields[2]), fields[5]))
            seen = set()
            self._accounts = []
            for name, uid, home in lines:
                clean = posixpath.normpath(home) if home.startswith("/") else ""
                if not clean or clean in _NO_HOME or clean in _TOO_WIDE or clean in seen or not self.is_dir(clean):
                    continue
                seen.add(clean)
                self._accounts.append(Account(name, uid, self.path(clean), clean))
        return self._accounts

    def account(self, name: str) -> Optional[Account]:
        """The account called *name* if it has a home."""
        for entry in self.accounts():
            if entry.name == name:
                return entry
        return None

    def processes(self) -> List[Process]:
        """The processes that can be seen, with their command lines."""
        if self._processes is None:
            self._processes = []
            try:
                own = os.stat(self.path("/"))
            except OSError:
                return self._processes
            for name in self.listdir("/proc"):
                if not name.isdigit():
                    continue
                base = self.path("/proc/" + name)
                try:
                    with open(base + "/cmdline", "rb") as handle:
                        data = handle.read(65536)
                    uid = os.stat(base).st_uid
                except OSError:
                    continue
                if not data:
                    continue  # a kernel thread or a zombie
                argv = tuple(os.fsdecode(part) for part in data.rstrip(b"\0").split(b"\0"))
                try:
                    there = os.stat(base + "/root")
                    contained = (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino)
                except OSError:
                    contained = False  # not ours to look into: taken for the host's
                self._processes.append(Process(int(name), uid, argv, contained))
        return self._processes

    def process_environ(self, process: Process) -> Dict[str, str]:
        """The environment that a process was started with; {} where the rights do not reach. Secret: stays in here."""
        try:
            with open(self.path("/proc/%d/environ" % process.pid), "rb") as handle:
                data = handle.read(FILE_LIMIT)
        except OSError:
            return {}
        found: Dict[str, str] = {}
        for part in data.split(b"\0"):
            name, sign, value = os.fsdecode(part).partition("=")
            if sign:
                found[name] = value
        return found

    def units(self) -> List[Unit]:
        """The services that an administrator or a package of a CI system has put on the host."""
        if self._units is None:
            self._units = []
            seen = set()
            folders = ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"]
            folders += ["/usr/lib/systemd/system", "/lib/systemd/system"]
            folders += [entry.plain_home + "/.config/systemd/user" for entry in self.accounts()]
            for folder in folders:
                vendor = "/lib/systemd/" in folder
                for name in self.listdir(folder):
                    if not name.endswith(".service") or name in seen:
                        continue
                    if vendor and not name.startswith(_VENDOR_UNITS):
                        continue
                    seen.add(name)
                    unit = self._unit(folder, name, folders[:5])
                    if unit is not None:
                        self._units.append(unit)
        return self._units

    def _unit(self, folder: str, name: str, folders: Sequence[str]) -> Optional[Unit]:
        path = self.path(folder + "/" + name)
        texts = []
        try:
            texts.append(read_text(path))
            for base in sorted({*folders, folder}):
                for drop_in in self.listdir("%s/%s.d" % (base, name)):
                    if drop_in.endswith(".conf"):
                        texts.append(read_text(self.path("%s/%s.d/%s" % (base, name, drop_in))))
        except FileNotFoundError:
            return None  # a link to a unit that is gone, or to /dev/null of another prefix
        except Unreadable as exc:
            if exc.reason != "not a regular file":  # a masked unit leads to /dev/null
                self.unit_findings.append(unreadable("systemd", exc))
            return None
        service = parse_unit(texts)
        user = (service.get("User") or [""])[-1]
        entry = self.account(user) if user else None
        home = entry.plain_home if entry else "/root" if not user else ""
        environ: Dict[str, str] = {}
        for line in service.get("EnvironmentFile", []):
            optional = line.startswith("-")
            plain = line[1:] if optional else line
            if "%" in plain or not plain.startswith("/"):
                continue
            try:
                values, _unknown = parse_shell_assignments(read_text(self.path(plain)))
            except FileNotFoundError:
                continue
            except Unreadable as exc:
                self.unit_findings.append(unreadable("systemd", exc))
                continue
            environ.update(values)
        inline: Dict[str, str] = {}
        for line in service.get("Environment", []):
            for word in _words(line):
                key, sign, value = word.partition("=")
                if sign:
                    inline[key] = _specifiers(value, home, user)
        # EnvironmentFile= overrides Environment= (systemd.exec(5)).
        inline.update(environ)
        command = (service.get("ExecStart") or [""])[-1].lstrip("-@:+!")
        argv = tuple(_specifiers(substitute(word, inline), home, user) for word in _words(command))
        workdir = _specifiers((service.get("WorkingDirectory") or [""])[-1].lstrip("-"), home, user)
        if workdir == "~":
            workdir = home
        return Unit(name, path, user, workdir, argv, inline)


# What their names begin with.
_VENDOR_UNITS = (
    "gitlab-runner",
    "actions.runner.",
    "vsts.agent.",
    "jenkins",
    "buildkite-agent",
    "swarm-client",
    "docker",
    "containerd",
    "kubelet",
    "buildkit",
    "podman",
    "crio",
    "cri-o",
)


def _specifiers(text: str, home: str, user: str) -> str:
    # systemd.unit(5): only the specifiers whose value the files themselves give; others stay and are seen as variables.
    if "%" not in text:
        return text
    known = {"h": home, "u": user, "%": "%"}
    return re.sub(r"%(.)", lambda m: known.get(m.group(1)) or m.group(0), text)


def unreadable(system: str, exc: Unreadable) -> Finding:
    """The finding for a file that exists and was not understood."""
    return Finding(
        "unreadable",
        "warning",
        system,
        exc.path,
        "%s: %s; what it says about places of caches is not known" % (exc.path, exc.reason),
    )


def option(argv: Sequence[str], *names: str) -> str:
    """The value of the first option of *names* on a command line (``--x v`` or ``--x=v``), '' if there is none."""
    for i, word in enumerate(argv):
        for name in names:
            if word == name and i + 1 < len(argv):
                return argv[i + 1]
            if word.startswith(name + "="):
                return word[len(name) + 1 :]
    return ""


class Collector:
    """Gathers one system's :class:`Inspection`: the same root, setting or finding is kept once."""

    def __init__(self, host: Host, system: str) -> None:
        self.host = host
        self.system = system
        self.evidence: List[Evidence] = []
        self.roots: List[Root] = []
        self.settings: List[Setting] = []
        self.findings: List[Finding] = []
        self.accounts: List[str] = []
        self.engine_roots: List[EngineRoot] = []
        self._seen_roots: Dict[str, int] = {}

    def saw(self, what: str, path: str) -> None:
        """Notes evidence of the system."""
        item = Evidence(self.system, what, path)
        if item not in self.evidence:
            self.evidence.append(item)

    def found(self, code: str, severity: str, path: str, message: str) -> None:
        """Notes a finding."""
        item = Finding(code, severity, self.system, path, message)
        if item not in self.findings:
            self.findings.append(item)

    def unreadable(self, exc: Unreadable) -> None:
        """Notes a file that was not understood."""
        item = unreadable(self.system, exc)
        if item not in self.findings:
            self.findings.append(item)

    def account(self, name: str) -> None:
        """Notes an account that jobs run as."""
        if name and name not in self.accounts:
            self.accounts.append(name)

    def root(self, plain: str, why: str, config_file: str = "", only_existing: bool = False) -> bool:
        """Adds the directory *plain*; what has variables in it is cut to its literal part, which must not be too wide.

        Returns whether it was added (or was there already).
        """
        if not plain.startswith("/"):
            self.found(
                "not-literal",
                "info",
                config_file,
                "%s: not an absolute path, so its place is not known; name it as a search root" % why,
            )
            return False
        literal, whole = literal_prefix(plain)
        clean = posixpath.normpath("/" + literal.lstrip("/"))
        if too_wide(clean):
            self.found(
                "root-too-wide",
                "info",
                config_file,
                "%s: %s is too wide to be searched; name the folder in it as a search root" % (why, clean),
            )
            return False
        path = self.host.path(clean)
        if only_existing and not self.host.is_dir(clean):
            return False
        try:
            if not stat.S_ISDIR(os.stat(path).st_mode):
                return False  # a socket or a file mounted into containers
        except (OSError, ValueError):
            pass  # missing or out of reach: the search says so
        if path not in self._seen_roots:
            self._seen_roots[path] = len(self.roots)
            self.roots.append(
                Root(path, why if whole else why + " (up to its first variable)", self.system, config_file)
            )
        return True

    def environ(
        self,
        values: Dict[str, str],
        config_file: str,
        where: str,
        inside: str = "host",
        account: str = "",
        unknown: Sequence[str] = (),
    ) -> None:
        """Adds those of *values* that concern Go; names in *unknown* become findings without their text."""
        for name in sorted(values):
            if name not in GO_VARIABLES and name not in PLACE_VARIABLES:
                continue
            value, cut = redact(values[name])
            item = Setting(name, value, self.system, config_file, where, inside, account, cut)
            if item not in self.settings:
                self.settings.append(item)
        for name in unknown:
            if name in GO_VARIABLES or name in PLACE_VARIABLES:
                self.found(
                    "not-literal",
                    "info",
                    config_file,
                    "%s sets %s in %s to something only known while a job runs" % (config_file, name, where),
                )

    def process_settings(self, match: Callable[[Process], bool], account: bool = True) -> List[Process]:
        """The processes of this system; their Go variables and accounts are noted on the way."""
        names = {entry.uid: entry.name for entry in reversed(self.host.accounts())}
        mine = [process for process in self.host.processes() if match(process)]
        for process in mine:
            place = self.host.path("/proc/%d" % process.pid)
            self.saw("process", place)
            user = names.get(process.uid, "")
            if account and not process.contained:
                self.account(user)
            inside = "container" if process.contained else "host"
            self.environ(
                {k: v for k, v in self.host.process_environ(process).items() if k != "HOME" and k != "TMPDIR"},
                place + "/environ",
                "process %d" % process.pid,
                inside,
                user,
            )
        return mine

    def result(self) -> Inspection:
        """All that was gathered."""
        return Inspection(
            self.system, self.evidence, self.roots, self.settings, self.findings, self.accounts, self.engine_roots
        )
