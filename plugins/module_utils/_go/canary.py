# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary: a small program built with an account's own settings in a work space that is thrown away.

What it proves: the toolchain works, the module proxy answers (where a module is asked for), the caches serve what they
should; and, by the artefact's hash, that the same sources give the same program as before.

The go command runs as the account, with its HOME and Go env file, so that caches and proxy are the ones its builds use.
It leaves nothing but what every build leaves: entries in the caches, and Go's telemetry counters.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import tempfile
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from .._fs import scratch, worker
from . import accounts, ask, configure, evaluate, modpath, services, toolchain
from .mask import mask, mask_value

#: Settings that say what the canary proved; shown with credentials masked.
SHOWN = ("GOPROXY", "GOFLAGS", "GOCACHE", "GOMODCACHE", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOOS", "GOARCH")
NO_GO = "no Go toolchain on this agent"
_MODULE = "gofleet-canary.invalid/canary"
_TAIL = 4000
_GRACE = 2.0
# Names of the process environment, besides Go's own, that decide whether a download works.
_NETWORK = re.compile(r"(?i)\A(?:https?_proxy|no_proxy|all_proxy|ssl_cert_(?:file|dir)|netrc)\Z")
_NOT_PASSED = re.compile(r"\A(?:ANSIBLE_|PYTHON|LD_|_\Z|OLDPWD\Z|PWD\Z)")
_PACKAGE_LINE = re.compile(r"\A[A-Za-z0-9][^\s:]*\Z")


class Impossible(ValueError):
    """A request that cannot be met; nothing was run."""


class Failed(RuntimeError):
    """The canary did not build: ``result`` holds what was found out by then."""

    def __init__(self, text: str, result: Dict[str, Any]) -> None:
        super().__init__(text)
        self.result = result


class Request(NamedTuple):
    """What to build. ``time_limit`` in seconds, for each of the two commands.

    ``module`` is ``path@version`` or empty; ``package`` the package of it that the program imports, None for the
    module's own path, empty to download the module without importing anything. ``go`` a go command or GOROOT, empty for
    the account's first trusted one. ``expect`` the SHA-256 of an earlier artefact, or empty.
    """

    account: str = ""
    module: str = ""
    package: Optional[str] = None
    go: str = ""
    switch: bool = False
    expect: str = ""
    time_limit: float = 300.0
    workspace: str = ""


def nothing(request: Request) -> Dict[str, Any]:
    """The result of a canary that was not built."""
    return {
        "changed": False,
        "applicable": True,
        "reason": "",
        "built": False,
        "account": request.account,
        "go": "",
        "go_version": "",
        "module": request.module,
        "sha256": "",
        "expected": request.expect,
        "size": 0,
        "seconds": {"download": 0.0, "build": 0.0},
        "packages": 0,
        "compiled": 0,
        "cached": 0,
        "settings": {},
        "command": "",
        "rc": 0,
        "stderr_tail": "",
    }


def check(request: Request) -> None:
    """Raises Impossible for a request that makes no sense, with the option's name."""
    if request.module:
        path, at, version = request.module.partition("@")
        try:
            modpath.check_path(path)
        except ValueError as exc:
            raise Impossible("module: %s; write it as path@version, such as golang.org/x/text@v0.3.0" % exc) from None
        if not at or not modpath.is_valid(version) or modpath.canonical(version) != version:
            raise Impossible(
                "module: %r has no exact version; write it as path@version, such as golang.org/x/text@v0.3.0, because "
                "with 'latest' two artefacts could not be compared" % request.module
            )
    if request.package:
        if not request.module:
            raise Impossible("package: %r is given without a module that holds it" % request.package)
        path = request.module.partition("@")[0]
        if request.package != path and not request.package.startswith(path + "/"):
            raise Impossible("package: %r does not lie in the module %s" % (request.package, path))
        if not re.match(r"[-A-Za-z0-9._~+/]+\Z", request.package):
            raise Impossible("package: %r is no import path" % request.package)
    if request.expect and not re.match(r"[0-9a-f]{64}\Z", request.expect):
        raise Impossible("expect_sha256: %r is no SHA-256 (64 lower-case hexadecimal digits)" % request.expect)
    if request.time_limit < 1:
        raise Impossible("time_limit: at least one second is needed")
    if request.workspace and not os.path.isabs(request.workspace):
        raise Impossible("workspace: %r is a relative path; give the absolute path of a folder" % request.workspace)


def run(request: Request, only_look: bool = False) -> Dict[str, Any]:
    """Builds the canary; *only_look* finds the toolchain and builds nothing.

    Raises Impossible before anything was run, Failed where the canary does not build or is not the expected one.
    """
    check(request)
    result = nothing(request)
    try:
        account = configure.find_account(request.account or None)
    except configure.Impossible as exc:
        raise Impossible(str(exc).replace("change another account's settings", "build as another account")) from None
    result["account"] = account.name
    tool = _toolchain(request, account)
    if tool is None:
        result.update(applicable=False, reason=NO_GO)
        return result
    environ = environment(account)
    settings = evaluate.evaluate(account, environ, tool).settings
    result.update(go=tool.exe, go_version=tool.version)
    result["settings"] = {
        name: mask_value(name, settings[name].value) for name in SHOWN if name in settings and settings[name].value
    }
    if only_look:
        return result
    place = request.workspace or tempfile.gettempdir()

    def work(_ask: worker.Ask) -> Dict[str, Any]:
        return _build(request, tool, environ, place)

    try:
        result.update(worker.as_owner(account.uid, account.gid, work, {}))
    except (worker.WorkFailed, worker.WorkerDied, OSError) as exc:
        raise Failed("the canary could not be built: %s" % mask(str(exc)), result) from None
    problem = result.pop("problem")
    if problem:
        raise Failed(problem, result)
    if request.expect and result["sha256"] != request.expect:
        raise Failed(
            "the canary built, but its SHA-256 is %s instead of %s: with the same Go (%s now), settings and module, "
            "the same sources must give the same program; verify the caches"
            % (result["sha256"], request.expect, tool.version),
            result,
        )
    return result


def _toolchain(request: Request, account: accounts.Account) -> Optional[toolchain.Toolchain]:
    if request.go:
        goroot = request.go
        if os.path.basename(goroot) == "go" and not os.path.isdir(goroot):
            goroot = os.path.dirname(os.path.dirname(os.path.realpath(goroot)))
        try:
            found = toolchain.identify(goroot)
        except (OSError, ValueError) as exc:
            raise Impossible("go: %r is no Go installation: %s" % (request.go, exc)) from None
        why = ask.why_untrusted(found.exe, account.uid, account.gid)
        if why:
            raise Impossible("go: %s is not run as %s: %s" % (found.exe, account.name, why))
        return found
    untrusted = ""
    for tool in toolchain.find([account]):
        why = ask.why_untrusted(tool.exe, account.uid, account.gid)
        if not why:
            return tool
        untrusted = untrusted or "%s (%s)" % (tool.exe, why)
    if untrusted:
        raise Impossible("the only Go found is not run as %s: %s" % (account.name, untrusted))
    return None


def environment(account: accounts.Account) -> Dict[str, str]:
    """The process environment of the account's go commands.

    For the caller its own, so that the task's ``environment`` counts; for others what a login gets.
    """
    environ: Dict[str, str] = {}
    if account.uid == os.geteuid():
        environ.update((name, value) for name, value in os.environ.items() if not _NOT_PASSED.match(name))
        for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "GOENV"):
            environ.pop(name, None)
    else:
        environ.update(_login())
    environ.update(configure.environment_of(account))
    environ.update(USER=account.name, LOGNAME=account.name)
    environ.setdefault("LANG", "C.UTF-8")
    return environ


def _login() -> Dict[str, str]:
    try:
        with open("/etc/environment", encoding="utf-8", errors="surrogateescape") as handle:
            found = services.parse_environment_file(handle.read(1 << 20))
    except OSError:
        return {}
    return {name: value for name, value in found.items() if _NETWORK.match(name)}


# --- as the account ------------------------------------------------------------------------------


def _build(request: Request, tool: toolchain.Toolchain, environ: Mapping[str, str], place: str) -> Dict[str, Any]:
    made = False
    try:
        with scratch.folder("canary", place) as top:
            made = True
            return _Work(request, tool, environ, top).run()
    except OSError as exc:
        if made:
            raise
        problem = "no work space can be made in %s: %s; free space there or name another folder" % (place, exc.strerror)
        return {"problem": problem}


class _Work:
    def __init__(self, request: Request, tool: toolchain.Toolchain, environ: Mapping[str, str], top: str) -> None:
        self.request = request
        self.tool = tool
        self.top = top
        self.source = os.path.join(top, "canary")
        self.out = os.path.join(top, "canary.out")
        self.environ = dict(environ)
        path = [os.path.dirname(tool.exe), *environ.get("PATH", "").split(":"), *evaluate.SAFE_PATH.split(":")]
        self.environ.update(
            PATH=":".join(dict.fromkeys(part for part in path if part.startswith("/"))),
            GOTMPDIR=os.path.join(top, "tmp"),  # what a killed build leaves goes with the work space
            GOWORK="off",
            GO111MODULE="on",
            PWD=self.source,
        )
        if not request.switch:
            self.environ["GOTOOLCHAIN"] = "local"

    def run(self) -> Dict[str, Any]:
        self._write()
        found: Dict[str, Any] = {"problem": "", "seconds": {"download": 0.0, "build": 0.0}}
        if self.request.module:
            done = self._go("download", ["mod", "download", self.request.module], found)
            if done is None:
                return found
        # -mod=mod and the trimmed path on the command line win over what GOFLAGS says.
        build = ["build", "-mod=mod", "-trimpath", "-buildvcs=false", "-v", "-o", self.out, "."]
        if self.tool.release < (1, 18):
            build.remove("-buildvcs=false")
        done = self._go("build", build, found)
        if done is None:
            return found
        compiled = [line for line in done.splitlines() if _PACKAGE_LINE.match(line)]
        try:
            self._artefact(found)
        except OSError as exc:
            found["problem"] = (
                "go build succeeded without making a program (%s); look at GOFLAGS, which may hold -n" % exc.strerror
            )
            return found
        listed = self._run(["list", "-mod=mod", "-deps", "."], 30.0)
        packages = [name for name in listed[1].split() if name != "unsafe"] if listed[0] == 0 else []
        found.update(
            built=True,
            packages=len(packages),
            compiled=len(compiled),
            cached=max(0, len(packages) - len(compiled)),
        )
        return found

    def _artefact(self, found: Dict[str, Any]) -> None:
        digest = hashlib.sha256()
        with open(self.out, "rb") as handle:
            for block in iter(lambda: handle.read(1 << 20), b""):
                digest.update(block)
            found["size"] = os.fstat(handle.fileno()).st_size
        found["sha256"] = digest.hexdigest()

    def _write(self) -> None:
        os.mkdir(self.source)
        os.mkdir(os.path.join(self.top, "tmp"))
        path, _at, version = self.request.module.partition("@")
        package = path if self.request.package is None else self.request.package
        mod = "module %s\n\ngo 1.17\n" % _MODULE
        code = 'package main\n\nimport "fmt"\n'
        if package:
            mod += "\nrequire %s %s\n" % (path, version)
            code += 'import _ "%s"\n' % package
        code += '\nfunc main() { fmt.Println("gofleet canary") }\n'
        for name, text in (("go.mod", mod), ("main.go", code)):
            with open(os.path.join(self.source, name), "w", encoding="utf-8") as handle:
                handle.write(text)

    def _go(self, name: str, args: Sequence[str], found: Dict[str, Any]) -> Optional[str]:
        """Runs one go command; its standard error, or None with the problem in *found*."""
        started = time.monotonic()
        rc, _out, err = self._run(args, self.request.time_limit)
        found["seconds"][name] = round(time.monotonic() - started, 3)
        if rc == 0:
            return err
        words = " ".join("go" if n == 0 else arg for n, arg in enumerate(["go", *args]))
        tail = mask(err.replace(self.top, "$WORKSPACE"))[-_TAIL:].strip()
        command = mask(words.replace(self.top, "$WORKSPACE"))
        found.update(command=command, rc=rc, stderr_tail=tail)
        if rc == _TIMED_OUT:
            found["problem"] = "%s did not end within %g s and was killed" % (command, self.request.time_limit)
        else:
            lines = [line for line in tail.splitlines() if line and not _PACKAGE_LINE.match(line)]
            reason = " | ".join(line for line in lines if not line.startswith("go: downloading"))[:800]
            found["problem"] = "%s failed with %d: %s" % (command, rc, reason or "it said nothing")
        return None

    def _run(self, args: Sequence[str], limit: float) -> tuple[int, str, str]:
        with open(os.path.join(self.top, "stdout"), "w+b") as out, open(os.path.join(self.top, "stderr"), "w+b") as err:
            process = subprocess.Popen(
                [self.tool.exe, *args],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.source,
                env=self.environ,
                start_new_session=True,
            )
            try:
                rc = process.wait(timeout=limit)
            except subprocess.TimeoutExpired:
                rc = _TIMED_OUT
            finally:
                _end_group(process)
            texts: List[str] = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read(1 << 20).decode("utf-8", "replace"))
        return rc, texts[0], texts[1]


_TIMED_OUT = -1000


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends the command and everything that it started; go and its children share the process group."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass
        try:
            process.wait(timeout=patience)
            if not _group_lives(process.pid):
                return
        except subprocess.TimeoutExpired:
            continue


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True
