# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the GitHub Actions runner and the Azure Pipelines agent have in common: one code base, two names.

A runner's root folder holds a JSON file with ``workFolder`` (``.runner`` or ``.agent``), ``.env`` with variables for
its jobs, and ``.service`` with the name of its unit (actions/runner src/Runner.Common/ConfigurationStore.cs and
src/Runner.Listener/Program.cs; microsoft/azure-pipelines-agent src/Microsoft.VisualStudio.Services.Agent). Files with
credentials (``.credentials*``) are never opened.
"""

from __future__ import annotations

import posixpath
from typing import Dict, NamedTuple, Tuple

from .._core.document import read_json
from ._base import Collector, Host, Process, Unreadable, parse_env_lines, read_text

_BASES = ("/", "/opt", "/srv", "/home", "/data", "/var/lib", "/usr/local", "/mnt", "/runner", "/actions-runner", "/azp")


class Flavour(NamedTuple):
    """One of the two: ``marker`` is its JSON file, ``listener`` its program, ``folders`` words in folder names."""

    system: str
    title: str
    marker: str
    listener: str
    units: str
    folders: Tuple[str, ...]
    keys: Tuple[str, ...]
    tool_variable: str
    tool_cache: str


def _candidates(found: Collector, flavour: Flavour) -> Dict[str, str]:
    """Plain folder of each runner to the account that runs it ('' where unknown)."""
    host = found.host
    folders: Dict[str, str] = {}
    for unit in host.units():
        if not unit.name.startswith(flavour.units):
            continue
        found.saw("unit", unit.path)
        found.account(unit.user)
        found.environ(unit.environ, unit.path, "the service", account=unit.user)
        folder = unit.workdir or (posixpath.dirname(unit.argv[0]) if unit.argv else "")
        if folder.startswith("/"):
            folders.setdefault(posixpath.normpath(folder), unit.user)
        else:
            found.found("ci-without-configuration", "warning", unit.path, "%s: names no runner folder" % unit.path)

    def is_listener(process: Process) -> bool:
        return posixpath.basename(process.argv[0]) in (flavour.listener, flavour.listener.replace("Listener", "Worker"))

    names = {entry.uid: entry.name for entry in host.accounts()}
    for process in found.process_settings(is_listener):
        program = process.argv[0]
        if process.contained:
            found.found(
                "runner-in-container",
                "info",
                "",
                "process %d is a %s in a container; name its volumes as search roots" % (process.pid, flavour.title),
            )
        elif program.startswith("/"):
            folders.setdefault(posixpath.dirname(posixpath.dirname(program)), names.get(process.uid, ""))
    owners = {entry.plain_home: entry.name for entry in host.accounts()}
    for base in list(owners) + [base for base in _BASES if base not in owners]:
        owner = owners.get(base, "")
        if host.exists(posixpath.join(base, flavour.marker)):
            folders.setdefault(base, owner)
        for name in host.listdir(base):
            if not any(word in name.lower() for word in flavour.folders):
                continue
            folder = posixpath.join(base, name)
            if host.exists(posixpath.join(folder, flavour.marker)):
                folders.setdefault(folder, owner)
            for below in host.listdir(folder)[:200]:  # /opt/actions-runners/runner-1, -2, ...
                if host.exists(posixpath.join(folder, below, flavour.marker)):
                    folders.setdefault(posixpath.join(folder, below), owner)
    return folders


def _runner(found: Collector, flavour: Flavour, folder: str, user: str) -> None:
    host = found.host
    marker = host.path(posixpath.join(folder, flavour.marker))
    work = "_work"
    try:
        document = read_json(read_text(marker))
        if not isinstance(document, dict):
            raise Unreadable(marker, "not a JSON object")
        if not any(key in document for key in flavour.keys) and "uuid" in document:
            return  # the runner of Gitea and Forgejo keeps a file of this name too
        folder_name = document.get("workFolder")
        if isinstance(folder_name, str) and folder_name:
            work = folder_name
        found.saw("config", marker)
    except FileNotFoundError:
        found.saw("folder", host.path(folder))
        found.found(
            "ci-without-configuration",
            "warning",
            host.path(folder),
            "%s: a %s without %s; its work folder is taken to be %s"
            % (host.path(folder), flavour.title, flavour.marker, work),
        )
    except Unreadable as exc:
        found.saw("config", marker)
        found.unreadable(exc)
    except ValueError:
        found.saw("config", marker)
        found.unreadable(Unreadable(marker, "not understood as JSON"))
    found.account(user)
    env_path = host.path(posixpath.join(folder, ".env"))
    values: Dict[str, str] = {}
    try:
        values = parse_env_lines(read_text(env_path))
    except FileNotFoundError:
        pass
    except Unreadable as exc:
        found.unreadable(exc)
    found.environ(values, env_path, "the runner's .env", account=user)
    place = posixpath.normpath(posixpath.join(folder, work))
    found.root(place, "work folder of the %s in %s" % (flavour.title, host.path(folder)), marker)
    tools = values.get(flavour.tool_variable) or values.get("RUNNER_TOOL_CACHE") or ""
    if tools.startswith("/"):
        found.root(tools, "tool cache of the %s in %s" % (flavour.title, host.path(folder)), env_path)
    elif flavour.tool_cache:
        found.root(flavour.tool_cache, "tool cache of hosted images", "", only_existing=True)


def collect(host: Host, flavour: Flavour) -> Collector:
    """Everything about the runners of one *flavour* on *host*."""
    found = Collector(host, flavour.system)
    folders = _candidates(found, flavour)
    for folder in sorted(folders):
        if host.is_dir(folder):
            _runner(found, flavour, folder, folders[folder])
        else:
            found.found(
                "ci-without-configuration",
                "warning",
                host.path(folder),
                "%s: the folder of a %s is missing or out of reach" % (host.path(folder), flavour.title),
            )
    return found
