# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file ``.env`` of GitHub's runners and of Azure's agents: what their jobs on the host get.

The listener puts it into its own environment when it starts (actions/runner src/Runner.Listener/Program.cs
LoadAndSetEnv; microsoft/azure-pipelines-agent src/Agent.Listener/Program.cs): lines are divided at the first ``=``,
which is not the first sign; there are no comments, quotes or variables; the last line of a name wins, and an empty
value removes an inherited variable, which is the same to Go. Lines are those of .NET's File.ReadAllLines.

Containers get a step's own variables only (src/Runner.Worker/Container/DockerCommandManager.cs, DockerExec).
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import Dict, List, Mapping, NamedTuple, Optional

from .. import _agents
from .._agents import _base as common
from .._agents import azure as azure_agents
from .._agents import github as github_agents
from .._core.document import read_json
from . import base, runners

_MARK = "\ufeff"
_SERVICE = re.compile(r"[A-Za-z0-9:_.\\@\-]+\.service\Z")


class _Flavour(NamedTuple):
    name: str
    title: str
    marker: str
    inspection: str
    listener: str
    units: str
    wins: str
    missed: str
    advice: str


_GITHUB = _Flavour(
    "github",
    "GitHub Actions runner",
    ".runner",
    "github",
    "Runner.Listener",
    "actions.runner.",
    "what a workflow sets with env: wins over it",
    "jobs with container:, container actions and service containers get a step's own variables only, not the runner's",
    "set it with env: in the workflow (or with env: of container:), in the image, or in the container hook that "
    "ACTIONS_RUNNER_CONTAINER_HOOKS names",
)
_AZURE = _Flavour(
    "azure",
    "Azure Pipelines agent",
    ".agent",
    "azure",
    "Agent.Listener",
    "vsts.agent.",
    "variables of the pipeline win over it",
    "jobs with container: get the pipeline's variables only, not the agent's",
    "set it with variables: in the pipeline, with env: of container:, or in the image",
)


def _units(host: _agents.Host, folder: str) -> List[common.Unit]:
    """The units that start what lies in the (plain) *folder*."""
    found: List[common.Unit] = []
    for unit in host.units():
        place = unit.workdir or (posixpath.dirname(unit.argv[0]) if unit.argv else "")
        if place and posixpath.normpath(place) == folder:
            found.append(unit)
    return found


def _unit(host: _agents.Host, folder: str, prefix: str) -> str:
    """The systemd unit of the runner in the (plain) *folder*, '' where there is none."""
    # Accounts can have units of their own, with the name of any service.
    mine = [unit.name for unit in _units(host, folder) if "/.config/systemd/user/" not in unit.path]
    try:
        # svc.sh leaves the unit's name there (src/Misc/layoutbin/systemd.svc.sh.template).
        name = _agents.read_text(host.path(posixpath.join(folder, ".service"))).strip()
    except (OSError, _agents.Unreadable):
        name = ""
    known = [unit.name for unit in host.units()]
    if name in mine or (name.startswith(prefix) and _SERVICE.match(name) and name not in known):
        return name
    return mine[0] if mine else ""


def _stranger(host: _agents.Host, folder: str, flavour: _Flavour) -> int:
    """The uid that says without being believed that a runner is in the (plain) *folder*, or -1."""
    path = host.path(folder)
    marker = posixpath.join(path, flavour.marker)
    if os.path.lexists(marker):
        tellers = [runners.teller(marker)]
    else:
        tellers = [runners.teller(unit.path) for unit in _units(host, folder)]
        names = (flavour.listener, flavour.listener.replace("Listener", "Worker"))
        for process in host.processes():
            program = process.argv[0]
            if posixpath.basename(program) in names and posixpath.dirname(posixpath.dirname(program)) == folder:
                tellers.append(process.uid)
    if not tellers or any(runners.may_name(uid, path) for uid in tellers):
        return -1
    return tellers[0]


def _title(host: _agents.Host, folder: str, marker: str) -> str:
    """The name under which the runner is registered, or its folder's."""
    try:
        document = read_json(_agents.read_text(host.path(posixpath.join(folder, marker))))
        name = document.get("agentName") if isinstance(document, dict) else None
    except (OSError, _agents.Unreadable, ValueError):
        name = None
    return name if isinstance(name, str) and name.isprintable() and name else posixpath.basename(folder)


def _folders(inspection: _agents.Inspection, host: _agents.Host, marker: str) -> List[str]:
    found: List[str] = []
    for item in inspection.evidence:
        folder = host.plain(item.path)
        if item.what == "config" and posixpath.basename(folder) == marker:
            folder = posixpath.dirname(folder)
        elif item.what != "folder":
            continue
        if folder not in found:
            found.append(folder)
    return found


def _find(flavour: _Flavour, request: base.Request) -> base.Found:
    host = runners.system(request.root)
    missed: List[base.NotReached] = []
    problems: List[str] = []
    if request.paths:
        folders = [host.plain(os.path.dirname(path) or ".") for path in request.paths]
        files = list(request.paths)
    else:
        inspect = github_agents.inspect if flavour.inspection == "github" else azure_agents.inspect
        inspection = inspect(host)
        missed, problems = runners.reported(inspection, "a %s in a container" % flavour.title)
        folders = []
        for folder in _folders(inspection, host, flavour.marker):
            uid = _stranger(host, folder, flavour)
            if uid < 0:
                folders.append(folder)
            else:
                missed.append(runners.strange(flavour.title, host.path(folder), uid))
        files = [host.path(posixpath.join(folder, ".env")) for folder in folders]
    places: List[base.Place] = []
    for folder, path in zip(folders, files):
        title, unit = _title(host, folder, flavour.marker), _unit(host, folder, flavour.units)
        if not any(base.chosen(request.names, name) for name in (title, unit, posixpath.basename(folder))):
            continue
        places.append(
            base.Place(
                flavour.name,
                path,
                "",
                runners.owner_of(path),
                "jobs of the %s %s that run on the host; %s" % (flavour.title, title, flavour.wins),
                "host",
                "systemctl restart %s" % unit
                if unit
                else "the next start of the %s in %s" % (flavour.title, host.path(folder)),
                unit,
            )
        )
        missed.append(
            base.NotReached("containers of the %s %s" % (flavour.title, title), flavour.missed, flavour.advice)
        )
    return base.Found(places, missed, problems)


def _find_github(request: base.Request) -> base.Found:
    return _find(_GITHUB, request)


def _find_azure(request: base.Request) -> base.Found:
    return _find(_AZURE, request)


def read(data: bytes, part: str) -> Dict[str, str]:
    """The variables of an ``.env``, as the listener reads it. BadPlace for what is no text."""
    found: Dict[str, str] = {}
    text = runners.decode(data)
    for line in runners.split(text[1:] if text.startswith(_MARK) else text).texts:
        name, sign, value = line.partition("=")
        if name and sign:
            found[name] = value
    return found


def edit(data: Optional[bytes], part: str, changes: Mapping[str, Optional[str]]) -> Optional[bytes]:
    """The ``.env`` with the changes; all other lines, the line ends and a byte order mark stay. BadPlace."""
    runners.check(changes, ".env")
    todo = base.wanted(read(data or b"", part), changes)
    if not todo:
        return data
    text = runners.decode(data or b"")
    mark = _MARK if text.startswith(_MARK) else ""
    text = text[len(mark) :]
    for name in sorted(todo):
        text = _change(text, name, todo[name])
    return (mark + text).encode("utf-8") if text else None


def _change(text: str, name: str, value: Optional[str]) -> str:
    ends = "\r\n|\n|\r"
    lines = runners.split(text, ends)
    parts = _with_ends(text, lines)
    mine = [i for i, line in enumerate(lines.texts) if line.startswith(name + "=")]
    if value is None:
        for i in reversed(mine):
            if i == len(parts) - 1 and i and not lines.ended:
                # The last line has no end, so the one before it must not have one either.
                parts[i - 1] = lines.texts[i - 1]
            del parts[i]
            del lines.texts[i]
    elif mine:
        # The last one counts.
        i = mine[-1]
        parts[i] = "%s=%s%s" % (name, value, parts[i][len(lines.texts[i]) :])
    elif lines.ended:
        parts.append("%s=%s%s" % (name, value, lines.end))
    else:
        parts[-1] += lines.end
        parts.append("%s=%s" % (name, value))
    return "".join(parts)


def _with_ends(text: str, lines: runners.Lines) -> List[str]:
    parts: List[str] = []
    at = 0
    for line in lines.texts:
        end = at + len(line)
        end += 2 if text.startswith("\r\n", end) else 1
        parts.append(text[at:end])
        at = end
    return parts


KIND = base.Kind("github", _find_github, read, edit)
AZURE = base.Kind("azure", _find_azure, read, edit)
