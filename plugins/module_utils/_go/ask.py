# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking the go command itself, so that it cannot change anything, and comparing it with our evaluator.

What could go wrong when one asks, and what is done about it:

* every go command creates ``$UserConfigDir/go/telemetry``, also below a HOME that does not exist: HOME=/dev/null, under
  which nothing can be created, and no XDG_CONFIG_HOME. The same HOME is given to our evaluator for the comparison, so
  defaults below HOME are compared too;
* ``go env`` without names creates the build cache and runs the C compiler: always names, never the costly ones;
* GOTOOLCHAIN may start a download or another binary: GOTOOLCHAIN=local; its own value comes from exactly
  ``go env GOTOOLCHAIN``, which cmd/go/internal/toolchain.Select answers without switching;
* GOFLAGS=-u makes ``go env NAME`` delete NAME from the env file (SetFromGOFLAGS applies to env too): such GOFLAGS are
  not passed on, and GOENV is a sealed copy in memory, not the file;
* whoever can write the binary runs code as whom it is run: only binaries that none but root and the account itself can
  replace are run, as the account, without supplementary groups, with no right to write a byte to a file.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
from dataclasses import dataclass
from typing import Callable, Mapping, Sequence

from . import envfile, grammar
from .accounts import Account
from .evaluate import SAFE_PATH, Evaluation, evaluate
from .files import Files, drop_rights, files_for
from .mask import mask, mask_value
from .names import ARCH_VARIABLES, ENV_FILE_NAMES
from .toolchain import Toolchain

#: Seconds for one question; Go answers in 0.02.
TIMEOUT = 10.0

_NULL_HOME = "/dev/null"

#: Not asked: they run the C compiler (ExtraEnvVarsCostly), depend on the working directory, or are what was given.
_NOT_ASKED = frozenset(
    [
        "CGO_CFLAGS",
        "CGO_CPPFLAGS",
        "CGO_CXXFLAGS",
        "CGO_FFLAGS",
        "CGO_LDFLAGS",
        "GCCGO",
        "GODEBUG",
        "GOENV",
        "GOGCCFLAGS",
        "GOMOD",
        "GOTELEMETRY",
        "GOTELEMETRYDIR",
        "GOTOOLCHAIN",
        "GOWORK",
        "PKG_CONFIG",
    ]
)
#: Flags of "go env" that change what it does, should GOFLAGS hold them.
_FLAGS_OF_ENV = frozenset(["u", "w", "changed", "C"])
#: A flag that "go env" does not have, so that GOFLAGS from the env file is overridden by something without effect.
_HARMLESS_FLAG = "-modcacherw"


@dataclass(frozen=True)
class Disagreement:
    """Our value and Go's for one variable, credentials masked, HOME written as ~."""

    name: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Answer:
    """agrees: None where Go was not asked or refused to answer (then reason says why). compared: variables."""

    goroot: str
    agrees: bool | None
    disagreements: Sequence[Disagreement]
    compared: int
    reason: str


class _Snapshot:
    """Files as the evaluation saw them: the env file's bytes under another name."""

    def __init__(self, path: str, data: bytes, files: Files) -> None:
        self._path = path
        self._data = data
        self._files = files

    def read(self, path: str) -> bytes:
        return self._data if path == self._path else self._files.read(path)


def why_untrusted(path: str, uid: int, gid: int) -> str:
    """Why a program is not run as uid, or "": somebody else than root and uid could replace it or a folder above it."""
    real = os.path.realpath(path)
    step, child_owner = real, -1
    while True:
        try:
            found = os.lstat(step)
        except OSError as error:
            return f"{step}: {error.strerror}"
        if found.st_uid not in (0, uid):
            return f"{step} belongs to uid {found.st_uid}, which is neither root nor the account"
        # A sticky folder (/tmp) lets nobody replace what root or the account owns in it.
        sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX and child_owner in (0, uid)
        if found.st_mode & stat.S_IWOTH and not sticky:
            return f"{step} is writable by everybody"
        # A private group (same number as the account, as useradd makes them) has no other member.
        if found.st_mode & stat.S_IWGRP and found.st_gid != 0 and not (found.st_gid == gid == uid) and not sticky:
            return f"{step} is writable by group {found.st_gid}"
        if step == "/":
            return ""
        child_owner = found.st_uid
        step = os.path.dirname(step)


def _limits(uid: int, gid: int) -> Callable[[], None]:
    def apply() -> None:
        os.umask(0o077)
        # Pipes are no files: the answer gets through, nothing else does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.geteuid() == 0 and uid != 0:
            drop_rights(uid, gid)

    return apply


def _run(
    argv: Sequence[str], environ: Mapping[str, str], account: Account, pass_fds: Sequence[int], timeout: float
) -> tuple[int, str, str]:
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env=dict(environ),
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        preexec_fn=_limits(account.uid, account.gid),
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "replace")


def _memory_file(data: bytes) -> int:
    """A sealed file in memory, or -1 where the system has none."""
    if not hasattr(os, "memfd_create") or not os.path.isdir("/proc/self/fd"):
        return -1
    import fcntl

    try:
        fd = os.memfd_create("go-env", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        return -1
    os.write(fd, data) if data else None
    # F_ADD_SEALS with F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE (linux/fcntl.h)
    fcntl.fcntl(fd, 1033, 0x1 | 0x2 | 0x4 | 0x8)
    return fd


def _flags_in_the_way(evaluation: Evaluation) -> bool:
    texts = [evaluation.environ.get("GOFLAGS", ""), envfile.values(evaluation.env_lines).get("GOFLAGS", "")]
    texts.append(evaluation.goroot_env.get("GOFLAGS", ""))
    for text in texts:
        try:
            items = grammar.split_quoted(text)
        except ValueError:
            continue
        if any(item.startswith("-") and item.lstrip("-").split("=")[0] in _FLAGS_OF_ENV for item in items):
            return True
    return False


def ask(
    account: Account,
    evaluation: Evaluation,
    toolchain: Toolchain,
    *,
    fs: Files | None = None,
    timeout: float = TIMEOUT,
) -> Answer:
    """Ask the toolchain's go command, as the account, about the settings of an evaluation made for the two.

    Returns what was compared and where the two differ; never raises for what Go does. Creates and changes nothing.
    """

    def not_asked(reason: str) -> Answer:
        return Answer(toolchain.goroot, None, (), 0, mask(reason))

    if os.geteuid() not in (0, account.uid):
        return not_asked("only root and the account itself can ask as the account")
    untrusted = why_untrusted(toolchain.exe, account.uid, account.gid)
    if untrusted:
        return not_asked(f"{toolchain.exe} is not run: {untrusted}")
    files = fs if fs is not None else files_for(account.uid, account.gid)
    fd = -1
    try:
        if evaluation.env_state == "read":
            fd = _memory_file(evaluation.env_data)
            goenv = f"/proc/self/fd/{fd}" if fd >= 0 else evaluation.env_file
        else:
            goenv = "off"
        environ = {name: value for name, value in evaluation.environ.items() if name in ENV_FILE_NAMES}
        for name in ("HOME", "XDG_CACHE_HOME", "PATH"):
            if evaluation.environ.get(name):
                environ[name] = evaluation.environ[name]
        if "HOME" in environ:
            environ["HOME"] = _NULL_HOME
        environ.setdefault("PATH", SAFE_PATH)
        environ["GOENV"] = goenv
        hidden = _flags_in_the_way(evaluation)
        if hidden:
            environ["GOFLAGS"] = _HARMLESS_FLAG
        # An empty HOME tells the evaluator that there is none; Go is given none at all.
        ours = evaluate(
            account,
            dict({"HOME": ""}, **environ),
            toolchain,
            fs=_Snapshot(goenv, evaluation.env_data, files),
        ).settings
        return _compare(account, toolchain, environ, {k: v.value for k, v in ours.items()}, hidden, fd, timeout)
    except OSError as error:
        return not_asked(f"{toolchain.exe} could not be run: {error.strerror or error}")
    except subprocess.TimeoutExpired:
        return not_asked(f"{toolchain.exe} env gave no answer within {timeout:g} seconds")
    finally:
        if fd >= 0:
            os.close(fd)


def _compare(
    account: Account,
    toolchain: Toolchain,
    environ: Mapping[str, str],
    ours: Mapping[str, str],
    hidden: bool,
    fd: int,
    timeout: float,
) -> Answer:
    fds = (fd,) if fd >= 0 else ()
    names = [name for name in ours if name not in _NOT_ASKED and not (hidden and name == "GOFLAGS")]
    arch = ARCH_VARIABLES.get(ours.get("GOARCH", ""))
    # "go env GOARM" prints the configured value only, not the default, unless it is the variable of the GOARCH.
    names = [name for name in names if name not in ARCH_VARIABLES.values() or name == arch]
    child = dict(environ, GOTOOLCHAIN="local", LC_ALL="C", GOTRACEBACK="none")
    code, out, err = _run([toolchain.exe, "env", "-json", *names], child, account, fds, timeout)
    theirs: dict[str, str] = {}
    if code == 0:
        try:
            theirs = json.loads(out)
        except ValueError:
            code, err = 1, "the answer is no JSON"
    if code != 0:
        lines = [line for line in err.splitlines() if line.strip()] or [f"exit status {code}"]
        return Answer(toolchain.goroot, None, (), 0, "go refuses to answer: " + mask(lines[0][:500]))
    if "GOTOOLCHAIN" in ours:
        child = dict(environ, GOFLAGS=_HARMLESS_FLAG, LC_ALL="C", GOTRACEBACK="none")
        code, out, err = _run([toolchain.exe, "env", "GOTOOLCHAIN"], child, account, fds, timeout)
        if code == 0:
            theirs["GOTOOLCHAIN"] = out[:-1] if out.endswith("\n") else out
            names.append("GOTOOLCHAIN")
    different = [
        Disagreement(name, _shown(name, ours[name]), _shown(name, theirs.get(name, "")))
        for name in names
        if not _same(name, ours[name], theirs.get(name, ""))
    ]
    return Answer(toolchain.goroot, not different, tuple(different), len(names), "")


def _same(name: str, ours: str, theirs: str) -> bool:
    # JSON has no bytes: Go writes U+FFFD for what is no UTF-8, and so must we to compare.
    ours = ours.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if name == "GOVERSION":
        # A toolchain built with experiments says so in runtime.Version(), not in its VERSION file.
        return ours.split(" ")[0] == theirs.split(" ")[0]
    if name == "GOROOT":
        return ours == theirs or os.path.realpath(ours) == os.path.realpath(theirs)
    if name == "GOTOOLDIR":
        return ours == theirs or os.path.realpath(ours) == os.path.realpath(theirs)
    return ours == theirs


def _shown(name: str, value: str) -> str:
    text = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return mask_value(name, text.replace(_NULL_HOME, "~"))
