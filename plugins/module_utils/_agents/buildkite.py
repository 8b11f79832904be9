# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Buildkite agent: ``buildkite-agent.cfg``, its service and the ``environment`` hook.

Format: cliconfig/file.go of buildkite/agent (``key=value`` lines, quotes at both ends dropped, ``#`` at the start of a
line); paths may hold ``~`` and variables (cliconfig/loader.go). The line ``token=`` is never returned.
"""

from __future__ import annotations

import posixpath
from typing import Dict, List, Tuple

from ._base import (
    Collector,
    Host,
    Inspection,
    Process,
    Root,
    Setting,
    Unreadable,
    option,
    parse_shell_assignments,
    read_text,
    substitute,
)

SYSTEM = "buildkite"
_USUAL = (
    "/etc/buildkite-agent/buildkite-agent.cfg",
    "/usr/local/etc/buildkite-agent/buildkite-agent.cfg",
    "/opt/homebrew/etc/buildkite-agent/buildkite-agent.cfg",
    "/buildkite/buildkite-agent.cfg",
)
_PATHS = ("build-path", "git-mirrors-path", "plugins-path", "sockets-path")
_SEARCHED = {"build-path": "builds", "git-mirrors-path": "git mirrors", "plugins-path": "plugins"}


def parse_config(text: str) -> Dict[str, str]:
    """The settings of a ``buildkite-agent.cfg`` that concern places; nothing else is taken from the text."""
    found: Dict[str, str] = {}
    for raw in text.replace("\r\n", "\n").split("\n"):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, sign, value = line.partition("=")
        name = name.strip()
        if not sign or name not in (*_PATHS, "hooks-path"):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name] = value
    return found


def _place(value: str, home: str) -> str:
    value = substitute(value, {"HOME": home} if home else {})
    if value == "~" or value.startswith("~/"):
        return home + value[1:] if home else value
    return value


def _hook(found: Collector, folder: str, account: str) -> None:
    """The hook ``environment`` is a script; its plain assignments are taken, the rest is named and left."""
    path = found.host.path(posixpath.join(folder, "environment"))
    try:
        values, unknown = parse_shell_assignments(read_text(path))
    except FileNotFoundError:
        return
    except Unreadable as exc:
        found.unreadable(exc)
        return
    found.environ(values, path, "the hook environment", account=account, unknown=unknown)


def inspect(host: Host) -> Inspection:
    """What the agent's files and processes on *host* say; raises nothing for what is missing or broken."""
    found = Collector(host, SYSTEM)
    files: Dict[str, str] = {}  # plain path of a configuration file to the agent's account
    pending: List[Tuple[Dict[str, str], str, str]] = []  # settings given outside a file, account, where

    def note(argv: Tuple[str, ...], environ: Dict[str, str], user: str, where: str) -> None:
        config = option(argv, "--config") or environ.get("BUILDKITE_AGENT_CONFIG", "")
        if config.startswith("/"):
            files.setdefault(config, user)
        values = {name: option(argv, "--" + name) for name in (*_PATHS, "hooks-path")}
        values["build-path"] = values["build-path"] or environ.get("BUILDKITE_BUILD_PATH", "")
        values["git-mirrors-path"] = values["git-mirrors-path"] or environ.get("BUILDKITE_GIT_MIRRORS_PATH", "")
        values["hooks-path"] = values["hooks-path"] or environ.get("BUILDKITE_HOOKS_PATH", "")
        pending.append(({name: value for name, value in values.items() if value}, user, where))

    for unit in host.units():
        if not unit.argv or posixpath.basename(unit.argv[0]) != "buildkite-agent":
            continue
        found.saw("unit", unit.path)
        found.account(unit.user)
        found.environ(unit.environ, unit.path, "the service", account=unit.user)
        note(unit.argv, unit.environ, unit.user, unit.path)

    def is_agent(process: Process) -> bool:
        return posixpath.basename(process.argv[0]) == "buildkite-agent" and "start" in process.argv[1:2]

    names = {entry.uid: entry.name for entry in host.accounts()}
    for process in found.process_settings(is_agent):
        if process.contained:
            found.found(
                "runner-in-container",
                "info",
                "",
                "process %d is a Buildkite agent in a container; name its volumes as search roots" % process.pid,
            )
        else:
            note(process.argv, host.process_environ(process), names.get(process.uid, ""), "")
    for plain in _USUAL:
        files.setdefault(plain, "buildkite-agent" if host.account("buildkite-agent") else "")
    for entry in host.accounts():
        files.setdefault(entry.plain_home + "/.buildkite-agent/buildkite-agent.cfg", entry.name)
    for program in ("/usr/bin/buildkite-agent", "/usr/local/bin/buildkite-agent"):
        if host.exists(program):
            found.saw("program", host.path(program))
    configured = 0
    for plain, user in files.items():
        path = host.path(plain)
        try:
            values = parse_config(read_text(path))
        except FileNotFoundError:
            continue
        except Unreadable as exc:
            configured += 1
            found.saw("config", path)
            found.unreadable(exc)
            continue
        configured += 1
        found.saw("config", path)
        found.account(user)
        pending.append((values, user, path))
        if "hooks-path" not in values:
            _hook(found, posixpath.join(posixpath.dirname(plain), "hooks"), user)
        if "build-path" not in values:
            usual = posixpath.join(posixpath.dirname(plain), "builds")
            usual = usual if host.is_dir(usual) else "/var/lib/buildkite-agent/builds"
            found.root(usual, "where the Buildkite agent builds unless told otherwise", path)
    for values, user, where in pending:
        account = host.account(user)
        home = account.plain_home if account else ""
        for name, label in _SEARCHED.items():
            if values.get(name):
                found.root(_place(values[name], home), "%s (%s) of the Buildkite agent" % (name, label), where)
        if values.get("hooks-path"):
            _hook(found, _place(values["hooks-path"], home), user)
    if found.evidence:
        found.root(
            "/var/lib/buildkite-agent/builds", "where the Buildkite agent's packages build", "", only_existing=True
        )
        if not configured:
            found.found(
                "ci-without-configuration",
                "warning",
                found.evidence[0].path,
                "a Buildkite agent is on this host (%s), but no buildkite-agent.cfg was found; looked at %s"
                % (found.evidence[0].path, ", ".join(host.path(plain) for plain in list(files)[:4])),
            )
    return found.result()


def search_roots(root: str = "/") -> List[Root]:
    """Build, mirror and plugin folders of the agents below the prefix *root*."""
    return inspect(Host(root)).roots


def environ(root: str = "/") -> List[Setting]:
    """Go variables that the service and the hook ``environment`` give to jobs."""
    return inspect(Host(root)).settings
