# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with an account's Go settings: things that Go takes without a word and that fail, or leak, later."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Mapping, Sequence

from .._fs import mounts
from . import envfile, grammar, rules
from .accounts import Account
from .evaluate import DEFAULT, DERIVED, ENV_FILE, PROCESS, Evaluation, Places
from .mask import MASK, mask, mask_value
from .names import GO_NAMES
from .rules import ERROR, INFO, WARNING
from .toolchain import Toolchain

__all__ = ["ERROR", "INFO", "WARNING", "Problem", "check", "check_places", "mask", "mask_value"]

#: Problems that are returned per place; a binary file in the env file's place has thousands.
MAX_FINDINGS = 20


@dataclass(frozen=True)
class Problem:
    """code: stable slug. severity: ERROR, WARNING or INFO. variable: or "". where: file:line, path or process.
    text: what is wrong. hint: what to do. No text holds a credential."""

    code: str
    severity: str
    variable: str
    where: str
    text: str
    hint: str


# rule of grammar -> severity, where it is not an error
_MILD = {
    "name-unknown": INFO,
    "name-process-only": WARNING,
    "name-read-only": WARNING,
    "name-syntax": WARNING,
    "userinfo": WARNING,
}

# rule of rules.py -> severity for what somebody has, and has decided once
_SOFT = {"gosumdb-off": WARNING}


def check(evaluation: Evaluation, account: Account, toolchain: Toolchain | None = None) -> list[Problem]:
    """The problems of an account's (or service's) settings, the gravest first. Pure: evaluation holds what was read."""
    problems: list[Problem] = []
    problems += _env_file(evaluation)
    problems += _values(evaluation)
    told = {problem.variable for problem in problems if problem.code == "userinfo"}
    for problem in _combinations(evaluation, toolchain):
        if problem.code != "credentials" or problem.variable not in told:
            problems.append(problem)
    order = {ERROR: 0, WARNING: 1, INFO: 2}
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda problem: order[problem.severity])


def check_goproxy(value: str, others: Mapping[str, str], where: str) -> list[Problem]:
    """The problems that a GOPROXY would have beside other settings. where: what it is told as. Pure."""
    found = [_from_fault(fault, where) for fault in grammar.check_value("GOPROXY", value)]
    beside = rules.check(dict(others, GOPROXY=value))
    return found + [_from_finding(finding, where) for finding in beside if finding.name == "GOPROXY"]


def _env_file(evaluation: Evaluation) -> list[Problem]:
    state, path = evaluation.env_state, evaluation.env_file
    problems: list[Problem] = []
    if state.startswith("unreadable"):
        why = state.partition(": ")[2]
        text = f"the account cannot read its Go env file ({why}); Go ignores it without a word"
        hint = "Give the file to the account: chown and chmod 0644, or remove what is in its place"
        problems.append(Problem("env-file-unreadable", ERROR, "GOENV", path, text, hint))
    elif state in ("no-home", "relative-xdg"):
        why = "neither XDG_CONFIG_HOME nor HOME is set" if state == "no-home" else "XDG_CONFIG_HOME is relative"
        text = f"Go has no env file here: {why}"
        hint = "Set HOME (or an absolute XDG_CONFIG_HOME) in the environment of the process"
        problems.append(Problem("no-env-file", WARNING, "GOENV", evaluation.settings["GOENV"].where, text, hint))
    for finding in envfile.findings(evaluation.env_lines)[:MAX_FINDINGS]:
        where = f"{path}:{finding.number}"
        severity = ERROR if finding.code in ("env-file-crlf", "env-file-quotes") else WARNING
        hint = "Edit the line, or let the go_env module write it"
        problems.append(Problem(finding.code, severity, finding.key, where, finding.text, hint))
    return problems


def _values(evaluation: Evaluation) -> list[Problem]:
    problems: list[Problem] = []
    numbers = envfile.numbers(evaluation.env_lines)
    for key, value in list(envfile.values(evaluation.env_lines).items())[:200]:
        where = f"{evaluation.env_file}:{numbers[key]}"
        problems += [_from_fault(fault, where) for fault in grammar.check_name(key)]
        if key in evaluation.environ and key in GO_NAMES and evaluation.environ[key] != value:
            text = "the line has no effect: the process environment sets the variable and wins"
            hint = "Remove one of the two"
            problems.append(Problem("overridden-by-process", INFO, key, where, text, hint))
    for name, setting in evaluation.settings.items():
        if setting.origin in (DEFAULT, DERIVED):
            continue
        value = evaluation.raw.get(name, setting.value)
        if setting.origin == PROCESS and name in ("GOENV", "GOROOT", "GODEBUG"):
            continue
        for fault in grammar.check_value(name, value):
            # The env file's own findings already tell of quotes, blanks and CRs.
            if setting.origin == ENV_FILE and fault.rule in ("outer-blanks", "quotes", "control-character", "utf8"):
                continue
            problems.append(_from_fault(fault, setting.where))
    return problems


def _from_fault(fault: grammar.Fault, where: str) -> Problem:
    severity = _MILD.get(fault.rule, ERROR if fault.certain else WARNING)
    if fault.rule == "empty-entry" and fault.variable in (*grammar.GLOB_LISTS, "GOPROXY"):  # Go passes over it
        severity = WARNING
    return Problem(fault.rule, severity, fault.variable, where, mask(fault.message), mask(fault.hint))


def _from_finding(finding: rules.Finding, where: str) -> Problem:
    severity = _SOFT.get(finding.id, finding.severity)
    hint = " ".join(part for part in (finding.hint, finding.line and "Right: %s" % finding.line) if part)
    return Problem(finding.id, severity, finding.name, where, mask(finding.text), mask(hint))


def _combinations(evaluation: Evaluation, toolchain: Toolchain | None) -> list[Problem]:
    problems: list[Problem] = []
    settings = evaluation.settings

    def add(code: str, severity: str, name: str, text: str, hint: str) -> None:
        problems.append(Problem(code, severity, name, settings[name].where, mask(text), hint))

    def value(name: str) -> str:
        return settings[name].value if name in settings else ""

    cache = settings["GOCACHE"]
    raw = evaluation.raw.get("GOCACHE", "")
    if cache.value == "off" and raw and raw != "off":
        add(
            "gocache-relative",
            ERROR,
            "GOCACHE",
            f"GOCACHE={raw} is relative: every build fails",
            "Use an absolute path",
        )
    elif cache.value == "off" and raw == "off":
        add("gocache-off", ERROR, "GOCACHE", "GOCACHE=off: builds fail since Go 1.12", "Remove the setting")
    elif cache.value == "off":
        text = f"Go has no build cache here ({cache.where}): every build fails"
        add("gocache-none", ERROR, "GOCACHE", text, "Set HOME, XDG_CACHE_HOME or GOCACHE for the process")
    gopath = [item for item in value("GOPATH").split(":") if item]
    if any(item.startswith("~") or not item.startswith("/") for item in gopath):
        text = "GOPATH={} has an element that is not absolute: every go command fails".format(value("GOPATH"))
        add("gopath-relative", ERROR, "GOPATH", text, "Use absolute paths")
    if not value("GOMODCACHE").startswith("/") and "GOMODCACHE" in settings:
        text = "the module cache has no absolute path ({!r}): no module can be downloaded".format(value("GOMODCACHE"))
        add("gomodcache-none", ERROR, "GOMODCACHE", text, "Set HOME, GOPATH or GOMODCACHE to an absolute path")
    if "GONOSUMCHECK" in evaluation.environ:
        text = "no Go release reads GONOSUMCHECK"
        where = "process environment"
        hint = "Remove it; GONOSUMDB or GOPRIVATE name modules without checksum database"
        problems.append(Problem("name-unknown", INFO, "GONOSUMCHECK", where, text, hint))
    for name in ("GOPROXY", "GOSUMDB"):
        if mask_value(name, value(name)) != value(name) or MASK + "@" in value(name):
            text = 'the value holds credentials; every "go env" and every build log can show them'
            hint = "Put them into the account's .netrc (module netrc_entry) or use GOAUTH"
            add("credentials", WARNING, name, text, hint)
    for finding in rules.check({name: setting.value for name, setting in settings.items()}):
        problems.append(_from_finding(finding, settings[finding.name].where))
    if toolchain and toolchain.release >= (1, 21) and "GOTOOLCHAIN" in settings and not value("GOTOOLCHAIN"):
        text = "GOTOOLCHAIN is empty: go.mod files that ask for a newer Go fail"
        add("gotoolchain-empty", INFO, "GOTOOLCHAIN", text, "Set it to local or auto")
    return problems


def check_places(places: Places, account: Account) -> list[Problem]:
    """Problems of the directories themselves: leftovers of root in somebody's home, a file where a folder should be."""
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    # A root-owned .config/go or .cache keeps the account from writing its own settings and caches.
    candidates: dict[str, str | None] = dict(places.named())
    candidates.pop("gotmpdir")
    for element in places.gopath:
        candidates.setdefault("gopath", element)
    if account.home:
        candidates["config"] = os.path.join(account.home, ".config", "go")
    for name, path in candidates.items():
        if not path or path in seen:
            continue
        seen[path] = name
        for step in _up_to_home(path, account.home):
            try:
                found = os.lstat(step)
            except OSError:
                continue
            if not stat.S_ISDIR(found.st_mode) and not stat.S_ISLNK(found.st_mode):
                text = f"{step} is no directory: Go cannot use {name}"
                problems.append(Problem("place-no-directory", ERROR, "", step, text, "Move it away"))
                break
            if found.st_uid != account.uid and account.home and step.startswith(account.home + "/"):
                text = (
                    f"belongs to uid {found.st_uid}, not to the account (uid {account.uid}): "
                    "a go command that ran as somebody else left it"
                )
                hint = f"chown -R {account.uid} {step}"
                problems.append(Problem("foreign-owner", WARNING, "", step, text, hint))
                break
    problems += _on_network(places)
    # The fuzz cache lies in the build cache: what is wrong with the one is not told again for the other.
    return list({(problem.code, problem.where): problem for problem in reversed(problems)}.values())[::-1]


def _on_network(places: Places) -> list[Problem]:
    problems: list[Problem] = []
    table = mounts.mounts()
    for name, variable, path in (("build", "GOCACHE", places.gocache), ("module", "GOMODCACHE", places.gomodcache)):
        if not path:
            continue
        real = os.path.realpath(path) + "/"
        mount = max(
            (one for one in table if real.startswith(one.point.rstrip("/") + "/")),
            key=lambda one: len(one.point),
            default=None,
        )
        if mount is None or not mount.network:
            continue
        text = f"the {name} cache {path} is on a network file system ({mount.fstype} at {mount.point})"
        if variable == "GOCACHE":
            text += "; it must not be shared between hosts (cmd/go/internal/cache, Open)"
            hint = "Put it on a local disk: remove the setting, or name a local folder"
        else:
            text += "; go needs its locks, and whoever may write there changes what others build"
            hint = f"Give each host its own, and offer this one read-only: GOPROXY=file://{path}/cache/download,..."
        problems.append(Problem("cache-on-network", WARNING, variable, path, text, hint))
    return problems


def _up_to_home(path: str, home: str) -> Sequence[str]:
    # From the top down: the first foreign directory names the cause.
    if not home or home == "/" or not path.startswith(home + "/"):
        return [path]
    steps: list[str] = []
    while path != home:
        steps.append(path)
        path = os.path.dirname(path)
    return steps[::-1]
