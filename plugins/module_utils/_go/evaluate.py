# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every Go variable is, and why, without asking the go command.

Asking has side effects (``go env`` without names creates the build cache, every go command creates telemetry folders,
GOTOOLCHAIN may start a download), so this is our own reading of cmd/go/internal/cfg (Getenv, initEnvCache,
EnvOrAndChanged, findGOROOT), cmd/go/internal/envcmd (MkEnv), cmd/go/internal/cache (DefaultDir), go/build
(defaultGOPATH) and os (UserCacheDir, UserConfigDir), Go 1.13 to 1.27. ``ask`` checks it against Go itself.
"""

from __future__ import annotations

import os
import posixpath
from typing import Mapping, NamedTuple, Sequence

from . import envfile
from .accounts import Account
from .files import Files, files_for
from .names import ARCH_VARIABLES, ENV_FILE_NAMES, INTERESTING_NAMES, PROCESS_ONLY_NAMES, SINCE
from .toolchain import Toolchain

#: Origins, strongest first. DERIVED: from another variable, named in ``where``.
PROCESS = "process"
ENV_FILE = "env-file"
GOROOT = "goroot"
DERIVED = "derived"
DEFAULT = "default"

#: Seen as the release where no toolchain was found: the newest rules.
_NEWEST = (1, 999)

#: Build-time defaults (internal/buildcfg) for toolchains that ship without their source.
_BAKED = {
    "GOAMD64": "v1",
    "GOARM64": "v8.0",
    "GOARM": "7",
    "GO386": "sse2",
    "GOMIPS": "hardfloat",
    "GOMIPS64": "hardfloat",
    "GOPPC64": "power8",
    "GORISCV64": "rva20u64",
    "GOWASM": "",
    "GOFIPS140": "off",
}

# internal/platform distInfo: the Linux ports with cgo.
_CGO_LINUX = frozenset(
    [
        "386",
        "amd64",
        "arm",
        "arm64",
        "loong64",
        "mips",
        "mips64",
        "mips64le",
        "mipsle",
        "ppc64le",
        "riscv64",
        "s390x",
        "sparc64",
    ]
)


class Setting(NamedTuple):
    """The effective value of one variable.

    value: as ``go env`` prints it (so a relative GOCACHE is "off"). May hold credentials: mask before showing.
    origin: PROCESS, ENV_FILE, GOROOT (GOROOT/go.env), DERIVED or DEFAULT.
    where: "path:line" of a file, the name of the variable it derives from, or what stands for the process or built-in.
    """

    value: str
    origin: str
    where: str


class Places(NamedTuple):
    """The directories that Go uses, absolute; None with the reason in ``reasons`` where Go has none.

    gopath: all elements of GOPATH. cacheprog: the command that replaces the build cache ("" where none): the disk
    cache then still holds fuzz corpora.
    """

    gocache: str | None
    gomodcache: str | None
    gopath: tuple[str, ...]
    fuzz: str | None
    sumdb: str | None
    gotmpdir: str | None
    cacheprog: str
    reasons: Mapping[str, str]

    def named(self) -> dict[str, str | None]:
        """name -> directory, for those that are one directory."""
        return {
            "gocache": self.gocache,
            "gomodcache": self.gomodcache,
            "fuzz": self.fuzz,
            "sumdb": self.sumdb,
            "gotmpdir": self.gotmpdir,
        }


class Evaluation(NamedTuple):
    """Everything that decided about the settings.

    env_file: path of the Go env file, or "" where there is none (reason in env_state).
    env_state: "read", "missing", "off", "no-home", "relative-xdg" or "unreadable: <why>" (Go ignores such a file
    without a word). env_data: its bytes. env_lines: its lines. goroot_env: GOROOT/go.env as this account's Go reads it.
    environ: the process environment used, with HOME filled in. raw: values before Go's own corrections.
    """

    settings: dict[str, Setting]
    environ: Mapping[str, str]
    env_file: str
    env_state: str
    env_data: bytes
    env_lines: Sequence[envfile.Line]
    goroot_env: Mapping[str, str]
    raw: Mapping[str, str] = {}


def config_dir(environ: Mapping[str, str], release: tuple[int, int] = _NEWEST) -> tuple[str, str]:
    """os.UserConfigDir on Linux: (directory, "") or ("", why there is none: "no-home" or "relative-xdg")."""
    return _xdg(environ, "XDG_CONFIG_HOME", ".config", release)


def cache_dir(environ: Mapping[str, str], release: tuple[int, int] = _NEWEST) -> tuple[str, str]:
    """os.UserCacheDir on Linux: (directory, "") or ("", why there is none)."""
    return _xdg(environ, "XDG_CACHE_HOME", ".cache", release)


def _xdg(environ: Mapping[str, str], name: str, below_home: str, release: tuple[int, int]) -> tuple[str, str]:
    directory = environ.get(name, "")
    if directory:
        # Until Go 1.23 a relative directory was taken as it is.
        return (directory, "") if directory.startswith("/") or release < (1, 24) else ("", "relative-xdg")
    home = environ.get("HOME", "")
    return (home + "/" + below_home, "") if home else ("", "no-home")


def env_file_of(environ: Mapping[str, str], release: tuple[int, int] = _NEWEST) -> tuple[str, str]:
    """cfg.EnvFile: (path of the env file, "") or ("", "off" | "no-home" | "relative-xdg")."""
    given = environ.get("GOENV", "")
    if given == "off":
        return "", "off"
    if given:
        return given, ""
    directory, why = config_dir(environ, release)
    return (join(directory, "go/env"), "") if directory else ("", why)


def join(*parts: str) -> str:
    """filepath.Join: the non-empty parts, joined and cleaned lexically."""
    parts = tuple(part for part in parts if part)
    return clean("/".join(parts)) if parts else ""


def clean(path: str) -> str:
    """filepath.Clean on Linux."""
    if not path:
        return "."
    path = posixpath.normpath(path)
    # POSIX keeps two leading slashes, Go does not.
    return path[1:] if path.startswith("//") else path


class _Evaluator:
    def __init__(
        self, account: Account, environ: Mapping[str, str], toolchain: Toolchain | None, files: Files, source: str
    ) -> None:
        self.toolchain = toolchain
        self.files = files
        self.source = source
        # A variable that is set but empty counts as unset everywhere in cmd/go.
        self.environ = {name: value for name, value in environ.items() if value}
        if "HOME" not in environ and account.home:
            self.environ["HOME"] = account.home
        self.release = toolchain.release if toolchain else _NEWEST
        self.baked = {}
        if toolchain:
            for name, value in toolchain.defaults.items():
                self.baked["GOEXPERIMENT" if name == "defaultGOEXPERIMENT" else name.replace("Default", "", 1)] = value
        self.settings: dict[str, Setting] = {}
        self.raw: dict[str, str] = {}
        self._read_env_file()
        self._read_goroot_env()

    # Reading

    def _read_env_file(self) -> None:
        self.env_file, state = env_file_of(self.environ, self.release)
        self.env_data = b""
        if self.env_file:
            # The go command would resolve a relative GOENV against its own working directory.
            if not self.env_file.startswith("/"):
                state = f"unreadable: {self.env_file} is a relative path"
            else:
                try:
                    self.env_data = self.files.read(self.env_file)
                    state = "read"
                except (FileNotFoundError, NotADirectoryError):
                    state = "missing"
                except OSError as error:
                    state = f"unreadable: {error.strerror or error}"
        self.env_state = state
        self.env_lines = envfile.parse(self.env_data)
        self.env_values = envfile.values(self.env_lines)
        self.env_numbers = envfile.numbers(self.env_lines)

    def _read_goroot_env(self) -> None:
        # findGOROOT: the env file's GOROOT, else the process's, else where the executable is.
        self.goroot = self.env_values.get("GOROOT", "") or self.environ.get("GOROOT", "")
        self.goroot = clean(self.goroot) if self.goroot else (self.toolchain.goroot if self.toolchain else "")
        self.goroot_env_path = join(self.goroot, "go.env")
        self.goroot_lines: list[envfile.Line] = []
        if self.goroot.startswith("/") and self.release >= (1, 21):
            try:
                self.goroot_lines = envfile.parse(self.files.read(self.goroot_env_path))
            except OSError:
                pass
        self.goroot_values = envfile.values(self.goroot_lines)
        self.goroot_numbers = envfile.numbers(self.goroot_lines)
        self.goroot_values.pop("GOROOT", None)

    # cfg.Getenv

    def get(self, name: str) -> Setting | None:
        """The configured value, or None where no layer has one. An empty one: a line that masks the next layer."""
        if self.environ.get(name):
            return Setting(self.environ[name], PROCESS, self.source)
        if name in PROCESS_ONLY_NAMES:
            return None
        if name in self.env_values:
            where = f"{self.env_file}:{self.env_numbers[name]}"
            return Setting(self.env_values[name], ENV_FILE, where)
        if name in self.goroot_values:
            where = f"{self.goroot_env_path}:{self.goroot_numbers[name]}"
            return Setting(self.goroot_values[name], GOROOT, where)
        return None

    def put(self, name: str, default: str, where: str = "built-in", origin: str = DEFAULT) -> Setting:
        """EnvOrAndChanged: the configured value if it is not empty, else the default."""
        found = self.get(name)
        if found is None or (not found.value and (default or not self._masks(name))):
            found = Setting(default, origin, where)
        self.settings[name] = found
        return found

    def _masks(self, name: str) -> bool:
        # An empty line that hides a value of GOROOT/go.env decides; one that hides nothing does not.
        return name in self.env_values and bool(self.goroot_values.get(name))

    def known(self, name: str) -> bool:
        return self.release >= SINCE.get(name, (1, 0))

    # The variables

    def run(self) -> Evaluation:
        self._platform()
        self._paths()
        self._modules()
        self._compilers()
        self._rest()
        return Evaluation(
            settings=dict(sorted(self.settings.items())),
            environ=self.environ,
            env_file=self.env_file,
            env_state=self.env_state,
            env_data=self.env_data,
            env_lines=self.env_lines,
            goroot_env=self.goroot_values,
            raw=self.raw,
        )

    def _platform(self) -> None:
        chain = self.toolchain
        hostos, hostarch = (chain.hostos, chain.hostarch) if chain else ("linux", "")
        self.put("GOOS", hostos)
        if hostarch or self.get("GOARCH"):
            self.put("GOARCH", hostarch)
        arch_name = ARCH_VARIABLES.get(self.settings["GOARCH"].value, "") if "GOARCH" in self.settings else ""
        if arch_name and self.known(arch_name):
            self.put(arch_name, self.baked.get(arch_name, _BAKED[arch_name]))
        self.settings["GOEXE"] = Setting(".exe" if self.settings["GOOS"].value == "windows" else "", DERIVED, "GOOS")
        self.put("GOEXPERIMENT", self.baked.get("GOEXPERIMENT", ""))
        if self.known("GOFIPS140"):
            self.put("GOFIPS140", self.baked.get("GOFIPS140", _BAKED["GOFIPS140"]))
        if not chain:
            return
        self.settings["GOHOSTOS"] = Setting(hostos, DEFAULT, chain.goroot)
        self.settings["GOHOSTARCH"] = Setting(hostarch, DEFAULT, chain.goroot)
        self.settings["GOVERSION"] = Setting(chain.version, DEFAULT, chain.goroot + "/VERSION")
        # SetGOROOT(Getenv("GOROOT")): the process's wins here, though go.env is read from the env file's GOROOT.
        if self.environ.get("GOROOT"):
            self.settings["GOROOT"] = Setting(self.environ["GOROOT"], PROCESS, self.source)
        elif self.env_values.get("GOROOT"):
            where = f"{self.env_file}:{self.env_numbers['GOROOT']}"
            self.settings["GOROOT"] = Setting(self.goroot, ENV_FILE, where)
        else:
            self.settings["GOROOT"] = Setting(self.goroot, DEFAULT, "the toolchain's own place")
        tooldir = join(self.settings["GOROOT"].value, "pkg/tool", hostos + "_" + hostarch)
        self.settings["GOTOOLDIR"] = Setting(tooldir, DERIVED, "GOROOT")

    def _paths(self) -> None:
        env_path, why = env_file_of(self.environ, self.release)
        if self.environ.get("GOENV"):
            self.settings["GOENV"] = Setting(self.environ["GOENV"], PROCESS, self.source)
        else:
            self.settings["GOENV"] = Setting(env_path, DEFAULT, self._home_reason("XDG_CONFIG_HOME", why))
        self._gopath()
        self._gocache()
        # Since 1.27 "go env" prints where "go install" would write even if GOBIN is not set (modload.BinDir).
        bindir = self._bindir() if self.release >= (1, 27) else ""
        self.put("GOBIN", bindir, "GOPATH" if bindir else "built-in", DERIVED if bindir else DEFAULT)
        self.put("GOTMPDIR", "")
        if self.known("GOTELEMETRY"):
            self._telemetry()

    def _home_reason(self, name: str, why: str) -> str:
        if why == "relative-xdg":
            return f"{name} is relative"
        if why == "no-home":
            return f"neither {name} nor HOME is set"
        return name if self.environ.get(name) else "HOME"

    def _gopath(self) -> None:
        home = self.environ.get("HOME", "")
        default = join(home, "go") if home else ""
        # go/build defaultGOPATH: never GOROOT itself. A toolchain built with -trimpath knows only the variable.
        if default and self.environ.get("GOROOT") and clean(self.environ["GOROOT"]) == default:
            default = ""
        found = self.put("GOPATH", default, "HOME" if home else "HOME is not set")
        first = found.value.split(":")[0]
        modcache = join(first, "pkg/mod") if first else ""
        if self.known("GOMODCACHE"):
            origin = DEFAULT if found.origin == DEFAULT else DERIVED
            self.put("GOMODCACHE", modcache, "GOPATH", origin)
        self.gopath_first = first
        if found.origin == DEFAULT and default and not default.startswith("/"):
            # main(): an inferred GOPATH that is relative is taken back, after GOMODCACHE was computed from it.
            self.settings["GOPATH"] = Setting("", DEFAULT, "HOME is relative")

    def _bindir(self) -> str:
        mode = self.get("GO111MODULE")
        if mode is None or mode.value in ("", "on"):
            return join(self.gopath_first, "bin") if self.gopath_first else ""
        # Without modules: the first element that is a prefix of the working directory, else the first.
        elements = self.settings["GOPATH"].value.split(":")
        chosen = next((item for item in elements if "/".startswith(item)), elements[0])
        return join(chosen, "bin") if self.settings["GOPATH"].value else ""

    def _gocache(self) -> None:
        directory, why = cache_dir(self.environ, self.release)
        found = self.get("GOCACHE")
        if found is not None and found.value:
            self.raw["GOCACHE"] = found.value
            value = found.value if found.value.startswith("/") else "off"
            self.settings["GOCACHE"] = Setting(value, found.origin, found.where)
        elif directory:
            xdg = bool(self.environ.get("XDG_CACHE_HOME"))
            origin, where = (DERIVED, "XDG_CACHE_HOME") if xdg else (DEFAULT, "HOME")
            self.settings["GOCACHE"] = Setting(join(directory, "go-build"), origin, where)
        else:
            self.settings["GOCACHE"] = Setting("off", DEFAULT, self._home_reason("XDG_CACHE_HOME", why))
        if self.known("GOCACHEPROG"):
            self.put("GOCACHEPROG", "")
        else:
            # Before 1.24 behind an experiment, and never printed.
            found = self.get("GOCACHEPROG")
            if found and found.value and "cacheprog" in self.settings["GOEXPERIMENT"].value.split(","):
                self.settings["GOCACHEPROG"] = found

    def _telemetry(self) -> None:
        directory, why = config_dir(self.environ, self.release)
        if not directory:
            reason = self._home_reason("XDG_CONFIG_HOME", why)
            self.settings["GOTELEMETRY"] = Setting("off", DEFAULT, reason)
            self.settings["GOTELEMETRYDIR"] = Setting("", DEFAULT, reason)
            return
        place = join(directory, "go/telemetry")
        mode, origin, where = "local", DEFAULT, "built-in"
        if place.startswith("/"):
            try:
                text = self.files.read(place + "/mode").decode("utf-8", "replace").strip()
                mode, origin, where = text.split(" ")[0], ENV_FILE, place + "/mode"
            except OSError:
                pass
        self.settings["GOTELEMETRY"] = Setting(mode, origin, where)
        name = "XDG_CONFIG_HOME" if self.environ.get("XDG_CONFIG_HOME") else "HOME"
        self.settings["GOTELEMETRYDIR"] = Setting(place, DEFAULT if name == "HOME" else DERIVED, name)

    def _modules(self) -> None:
        # Since 1.21 these have their defaults in GOROOT/go.env only.
        old = self.release < (1, 21)
        missing = "built-in" if old or not self.toolchain else f"{self.goroot_env_path} sets none"
        guess = old or not self.toolchain
        self.put("GOPROXY", "https://proxy.golang.org,direct" if guess else "", missing)
        self.put("GOSUMDB", "sum.golang.org" if guess else "", missing)
        if self.known("GOTOOLCHAIN"):
            self.put("GOTOOLCHAIN", "auto" if guess else "", missing)
        private = self.put("GOPRIVATE", "")
        for name in ("GONOPROXY", "GONOSUMDB"):
            if private.value:
                self.put(name, private.value, "GOPRIVATE", DERIVED)
            else:
                self.put(name, "")
        self.put("GOINSECURE", "")
        if self.known("GOVCS"):
            self.put("GOVCS", "")
        if self.known("GOAUTH"):
            self.put("GOAUTH", "netrc")
        self.put("GO111MODULE", "")
        self.put("GOFLAGS", "")

    def _compilers(self) -> None:
        cc = "clang" if self.settings["GOOS"].value in ("darwin", "ios", "freebsd", "openbsd") else "gcc"
        self.put("CC", cc)
        self.put("CXX", "clang++" if cc == "clang" else "g++")
        self.put("AR", "ar")
        self.put("PKG_CONFIG", "pkg-config")
        for name in ("CGO_CFLAGS", "CGO_CXXFLAGS", "CGO_FFLAGS", "CGO_LDFLAGS"):
            self.put(name, "-O2 -g")
        self.put("CGO_CPPFLAGS", "")
        self._cgo(cc)

    def _cgo(self, cc: str) -> None:
        found = self.get("CGO_ENABLED")
        if found and found.value in ("0", "1"):
            self.settings["CGO_ENABLED"] = found
            return
        goos = self.settings["GOOS"].value
        goarch = self.settings["GOARCH"].value if "GOARCH" in self.settings else ""
        chain = self.toolchain
        if not chain or not goarch or self.release < (1, 20):
            return
        if (goos, goarch) != (chain.hostos, chain.hostarch):
            self.settings["CGO_ENABLED"] = Setting("0", DEFAULT, "cross-compiling")
        elif goos != "linux" or goarch not in _CGO_LINUX:
            self.settings["CGO_ENABLED"] = Setting("0", DEFAULT, "no cgo on this platform")
        elif self.environ.get("CC") or self._on_path(cc):
            self.settings["CGO_ENABLED"] = Setting("1", DEFAULT, "built-in")
        else:
            self.settings["CGO_ENABLED"] = Setting("0", DEFAULT, f"no {cc} on PATH")

    def _on_path(self, name: str) -> bool:
        for directory in self.environ.get("PATH", SAFE_PATH).split(":"):
            path = os.path.join(directory, name)
            if directory.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
                return True
        return False

    def _rest(self) -> None:
        # Whatever else is set and read by Go shows up too; unknown names in the files are for lint.
        for name in ENV_FILE_NAMES | PROCESS_ONLY_NAMES:
            if name in self.settings or not self.known(name):
                continue
            if name in ARCH_VARIABLES.values() and self.get(name) is None:
                continue
            found = self.get(name)
            if found is not None and found.value and name != "GOROOT":
                self.settings[name] = found


#: The PATH that stands in for a process environment without one.
SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def evaluate(
    account: Account,
    environ: Mapping[str, str],
    toolchain: Toolchain | None,
    *,
    fs: Files | None = None,
    source: str = "process environment",
) -> Evaluation:
    """What Go's variables are for a process of the account with this environment, run by this toolchain.

    environ: the process's environment; where it has no HOME at all the account's home is used (an empty HOME means
    that the process really has none). toolchain: None where Go is missing: then the newest release's rules and its
    built-in defaults are used. fs: how files are read (default: with the account's rights). source: what the process
    is called in ``where``. Never raises, creates and changes nothing.
    """
    files = fs if fs is not None else files_for(account.uid, account.gid)
    return _Evaluator(account, environ, toolchain, files, source).run()


def effective(
    account: Account,
    environ: Mapping[str, str],
    toolchain: Toolchain | None,
    *,
    fs: Files | None = None,
    source: str = "process environment",
) -> dict[str, Setting]:
    """The settings of evaluate(): name -> Setting, sorted by name."""
    return evaluate(account, environ, toolchain, fs=fs, source=source).settings


def cache_places(settings: Mapping[str, Setting], environ: Mapping[str, str] | None = None) -> Places:
    """The directories behind the settings of effective(). environ: for TMPDIR, where work folders go by default."""
    reasons: dict[str, str] = {}
    gocache = _place(settings, "GOCACHE", "gocache", reasons)
    gopath_value = settings["GOPATH"].value if "GOPATH" in settings else ""
    gopath = tuple(item for item in gopath_value.split(":") if item)
    for item in gopath:
        if not item.startswith("/"):
            reasons["gopath"] = f"GOPATH has the relative element {item!r}, with which every go command fails"
    if "GOMODCACHE" in settings:
        gomodcache = _place(settings, "GOMODCACHE", "gomodcache", reasons)
    else:
        gomodcache = join(gopath[0], "pkg/mod") if gopath else None
    first = gopath_value.split(":")[0]
    sumdb = join(first, "pkg/sumdb") if first.startswith("/") else None
    if sumdb is None:
        reasons["sumdb"] = "GOPATH has no absolute first element"
    gotmpdir: str | None = settings["GOTMPDIR"].value if "GOTMPDIR" in settings else ""
    gotmpdir = gotmpdir or (environ or {}).get("TMPDIR", "") or "/tmp"
    if not gotmpdir.startswith("/"):
        reasons["gotmpdir"] = f"GOTMPDIR is the relative path {gotmpdir!r}"
        gotmpdir = None
    fuzz = join(gocache, "fuzz") if gocache else None
    if fuzz is None:
        reasons["fuzz"] = reasons["gocache"]
    cacheprog = settings["GOCACHEPROG"].value if "GOCACHEPROG" in settings else ""
    return Places(gocache, gomodcache, gopath, fuzz, sumdb, gotmpdir, cacheprog, reasons)


def _place(settings: Mapping[str, Setting], name: str, key: str, reasons: dict[str, str]) -> str | None:
    found = settings.get(name)
    value = found.value if found else ""
    if found and value == "off":
        if found.origin in (DEFAULT, DERIVED):
            reasons[key] = f"{name} is off: {found.where}"
        else:
            reasons[key] = f"{name} is off or relative ({found.where}); no build works with it"
        return None
    if not value:
        reasons[key] = "{} is empty: {}".format(name, found.where if found else "not known to this Go")
        return None
    if not value.startswith("/"):
        reasons[key] = f"{name} is the relative path {value!r}"
        return None
    return clean(value)


def interesting(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of a process environment that Go reads."""
    return {name: value for name, value in environ.items() if name in INTERESTING_NAMES}
