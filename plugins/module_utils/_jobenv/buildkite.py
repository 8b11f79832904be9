# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hook ``environment`` of Buildkite's agents: a marked block of ``export`` lines in it.

The agent sources the hook in a shell and hands what it exports to the job, over what the pipeline sets with ``env``
(buildkite/agent internal/job/hook/wrapper.go). It runs hooks only where ``hooks-path`` is set (clicommand/global.go).
A hook with a shebang that is no POSIX shell, or a binary, is run and not sourced, so its environment is lost
(internal/job/hook/type.go, internal/shellscript/shellscript.go).

The block stands in front of everything that the hook does, so that no ``exit`` keeps it from counting. What the hook
exports further down wins, and is left alone.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from .. import _agents
from .._agents import _base as files
from .._agents import buildkite as agents
from . import base, runners

BEGIN = "# BEGIN gofleet.cache"
END = "# END gofleet.cache"
SHEBANG = "#!/usr/bin/env bash\n"

_SHELLS = ("bash", "dash", "ksh", "sh", "zsh")
_SET = re.compile(r"set(?:[ \t]+(?:[-+][A-Za-z]+|pipefail|errexit|nounset|xtrace|errtrace))+[ \t]*(?:#.*)?\Z")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_EXPORT = re.compile(r"(?:export|(?:declare|typeset)[ \t]+-x)[ \t]+(?=\S)")
_UNSET = re.compile(r"(?:unset(?:[ \t]+-v)?|export[ \t]+-n)[ \t]+(.*)\Z")
_OURS = re.compile(r"export ([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.S)


class _Hook(NamedTuple):
    """A hook's lines with their ends. block: the markers' line numbers from 0, or None."""

    lines: List[str]
    block: Optional[Tuple[int, int]]


def _parse(data: bytes) -> _Hook:
    if data.startswith(b"\x7fELF") or b"\0" in data:
        raise base.BadPlace(
            "the hook is a program, which the agent runs and does not source; put a shell script in its place that "
            "starts it, or set the variables in it"
        )
    text = data.decode("utf-8", "surrogateescape")
    lines = re.findall(r"[^\n]*\n|[^\n]+\Z", text)
    if lines and lines[0].startswith("#!") and not _is_shell(lines[0][2:].strip()):
        raise base.BadPlace(
            "the hook begins with %r, which is no shell, so the agent runs it and its environment is lost; put a shell "
            "script in its place that starts it, or let it set the variables by the agent's job API" % lines[0].strip()
        )
    begins = [i for i, line in enumerate(lines) if line.strip() == BEGIN]
    ends = [i for i, line in enumerate(lines) if line.strip() == END]
    if not begins and not ends:
        return _Hook(lines, None)
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise base.BadPlace(
            "the lines %r and %r have to stand there once each, in this order; they are in the lines %s and %s: remove "
            "what is left of the block"
            % (BEGIN, END, [i + 1 for i in begins] or "(none)", [i + 1 for i in ends] or "(none)")
        )
    return _Hook(lines, (begins[0], ends[0]))


def _is_shell(line: str) -> bool:
    words = line.split()
    if len(words) > 1 and posixpath.basename(words[0]) == "env":
        words = words[1:]
    return bool(words) and posixpath.basename(words[0]) in _SHELLS


def _word(text: str, at: int) -> Tuple[Optional[str], int]:
    """The shell word at a position, None where only a run can tell it, and where it ends."""
    parts: List[str] = []
    known = True
    start = at
    while at < len(text) and text[at] not in " \t\r\n;&|<>":
        char = text[at]
        at += 1
        if char == "'":
            end = text.find("'", at)
            if end < 0:
                return None, len(text)
            parts.append(text[at:end])
            at = end + 1
        elif char == '"':
            while at < len(text) and text[at] != '"':
                if text[at] in "$`":
                    known = False
                if text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\", "$", "`"):
                    at += 1
                parts.append(text[at])
                at += 1
            if at >= len(text):
                return None, len(text)
            at += 1
        elif char == "\\":
            known = known and at < len(text)  # else the next line goes on
            parts.append(text[at : at + 1])
            at += 1
        else:
            known = known and char not in "$`()" and not (char == "~" and at == start + 1)
            parts.append(char)
    return "".join(parts) if known else None, at


def _assignments(line: str) -> Tuple[List[Tuple[str, Optional[str]]], bool]:
    """The assignments of a line (None: known only to a shell), and whether they are exported."""
    text = line.strip()
    export = _EXPORT.match(text)
    at = export.end() if export else 0
    found: List[Tuple[str, Optional[str]]] = []
    while at < len(text):
        name = _ASSIGNMENT.match(text, at)
        if name is None:
            break
        value, at = _word(text, name.end())
        found.append((name.group(1), value))
        while at < len(text) and text[at] in " \t":
            at += 1
    rest = text[at:]
    if rest and not export and rest[0] not in "#;&|":
        return [], False  # NAME=value command: for this command only
    return found, export is not None


def _given(lines: List[str]) -> Dict[str, str]:
    """What the lines export, as far as that can be seen without running them; the last one counts."""
    found: Dict[str, Optional[str]] = {}
    exported: Set[str] = set()
    for line in lines:
        gone = _UNSET.match(line.strip())
        if gone is not None:
            for name in gone.group(1).split():
                found.pop(name, None)
                exported.discard(name)
            continue
        pairs, export = _assignments(line)
        for name, value in pairs:
            found[name] = value
            if export:
                exported.add(name)
        names = re.match(r"export[ \t]+([A-Za-z0-9_ \t]+)\Z", line.strip())
        if names is not None:
            exported.update(names.group(1).split())
    return {name: _shown(value) for name, value in found.items() if value is not None and name in exported}


def _shown(value: str) -> str:
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def quote(value: str) -> str:
    """The value in single quotes, as every shell undoes them."""
    return "'%s'" % value.replace("'", "'\\''")


def read(data: bytes, part: str) -> Dict[str, str]:
    """The variables that the hook exports with values which can be told without running it. BadPlace."""
    return _given(_parse(data).lines)


def edit(data: Optional[bytes], part: str, changes: Mapping[str, Optional[str]]) -> Optional[bytes]:
    """The hook with the changes in our block; nothing outside the block is touched. BadPlace."""
    runners.check(changes, "the hook environment")
    hook = _parse(data or b"")
    todo = base.wanted(_given(hook.lines), changes)
    if not todo:
        return data
    first, last = hook.block or (0, -1)
    block = [line.rstrip("\r\n") for line in hook.lines[first + 1 : last]] if hook.block else []
    outside = hook.lines[:first] + hook.lines[last + 1 :] if hook.block else hook.lines
    for name in sorted(todo):
        value = todo[name]
        mine = [i for i, line in enumerate(block) if _name(line) == name]
        for i in reversed(mine[: len(mine) if value is None else -1]):
            del block[i]
        if value is None:
            _leave(hook, name)
        elif mine:
            block[mine[0]] = "export %s=%s" % (name, quote(value))
        else:
            block.append("export %s=%s" % (name, quote(value)))
    at = first if hook.block else 1 if data is None else _place(outside)
    if data is None:
        outside = [SHEBANG]
    before, after = outside[:at], outside[at:]
    ended = not before or before[-1].endswith("\n")
    if hook.block:
        ended = hook.lines[last].endswith("\n")
    if block:
        if before and not before[-1].endswith("\n"):
            before[-1] += "\n"
        before.append("\n".join([BEGIN] + block + [END]) + ("\n" if ended else ""))
    elif before and not ended:
        before[-1] = before[-1][:-1]
    text = "".join(before + after)
    if not block and text == SHEBANG:
        return None  # no more than what was made for the block
    return text.encode("utf-8", "surrogateescape")


def _name(line: str) -> str:
    found = _OURS.match(line)
    return found.group(1) if found else ""


def _leave(hook: _Hook, name: str) -> None:
    """Refuses to remove what the hook itself sets."""
    first, last = hook.block or (-1, -1)
    for i, line in enumerate(hook.lines):
        if not first <= i <= last and any(item[0] == name for item in _assignments(line)[0]):
            raise base.BadPlace("line %d of the hook itself sets %s; remove it there by hand" % (i + 1, name))


def _place(lines: List[str]) -> int:
    """Behind the shebang and the ``set`` lines at the top."""
    at = 0
    for i, line in enumerate(lines):
        text = line.strip()
        if (i == 0 and text.startswith("#!")) or _SET.match(text):
            at = i + 1
        elif text and not text.startswith("#"):
            break
    return at


class _Agent(NamedTuple):
    """One agent as it is told about hooks: the folder ('' for none), its account, its unit, what says so, and who."""

    folder: str
    user: str
    unit: str
    source: str
    uid: int


def _agents_here(host: _agents.Host, inspection: _agents.Inspection, problems: List[str]) -> List[_Agent]:
    configured: Dict[str, str] = {}
    for item in inspection.evidence:
        if item.what == "config":
            try:
                configured[host.plain(item.path)] = agents.parse_config(_agents.read_text(item.path)).get(
                    "hooks-path", ""
                )
            except FileNotFoundError:
                continue
            except _agents.Unreadable as exc:
                problems.append(str(exc))
    found: List[_Agent] = []
    told: Set[str] = set()

    def note(argv: Tuple[str, ...], environ: Dict[str, str], user: str, unit: str, source: str, uid: int) -> None:
        config = files.option(argv, "--config") or environ.get("BUILDKITE_AGENT_CONFIG", "")
        if not config:
            config = next(iter(configured), "")
        # An option wins over the environment, and that over the file (cliconfig/loader.go).
        folder = files.option(argv, "--hooks-path") or environ.get("BUILDKITE_HOOKS_PATH", "")
        if not folder:
            told.add(config)
            folder, uid = configured.get(config, ""), runners.teller(host.path(config))
        elif runners.may_name(uid, host.path(config)):
            told.add(config)
        found.append(_Agent(_absolute(host, folder, user), user, unit, source, uid))

    for unit in host.units():
        if unit.argv and posixpath.basename(unit.argv[0]) == "buildkite-agent":
            note(unit.argv, unit.environ, unit.user, unit.name, unit.path, runners.teller(unit.path))
    names = {entry.uid: entry.name for entry in host.accounts()}
    for process in host.processes():
        program = posixpath.basename(process.argv[0])
        if program == "buildkite-agent" and process.argv[1:2] == ("start",) and not process.contained:
            user = names.get(process.uid, "")
            note(process.argv, host.process_environ(process), user, "", "process %d" % process.pid, process.uid)
    for plain, folder in configured.items():
        if plain not in told:
            path = host.path(plain)
            owner = runners.owner_of(path)
            found.append(_Agent(_absolute(host, folder, owner), owner, "", path, runners.teller(path)))
    return found


def _absolute(host: _agents.Host, folder: str, user: str) -> str:
    entry = host.account(user)
    home = entry.plain_home if entry else ""
    folder = files.substitute(folder, {"HOME": home} if home else {})
    if home and (folder == "~" or folder.startswith("~/")):
        folder = home + folder[1:]
    return folder


def find(request: base.Request) -> base.Found:
    """The hook of each agent on the host, in the folder that its ``hooks-path`` names."""
    host = runners.system(request.root)
    missed: List[base.NotReached] = []
    problems: List[str] = []
    paths = dict.fromkeys(request.paths, "")
    if not paths:
        inspection = agents.inspect(host)
        missed, problems = runners.reported(inspection, "a Buildkite agent in a container")
        for agent in _agents_here(host, inspection, problems):
            if not base.chosen(request.names, agent.unit or "buildkite-agent"):
                continue
            if agent.folder.startswith("/") and "$" not in agent.folder:
                if not runners.may_name(agent.uid, host.path(agent.folder)):
                    missed.append(runners.strange("Buildkite agent with hooks", agent.folder, agent.uid))
                    continue
                paths.setdefault(host.path(posixpath.join(agent.folder, "environment")), agent.user)
                continue
            missed.append(
                base.NotReached(
                    "jobs of the Buildkite agent of %s" % agent.source,
                    "its hooks-path is %s, so it runs no hook that could be written"
                    % ("not an absolute path without variables" if agent.folder else "not set"),
                    "set hooks-path=/etc/buildkite-agent/hooks in its buildkite-agent.cfg and restart it",
                )
            )
    places = [
        base.Place(
            "buildkite",
            path,
            "",
            runners.owner_of(os.path.dirname(path)),
            "jobs of the Buildkite agent%s that run on the host; it wins over env: of a pipeline, and what this or a "
            "later hook exports further down wins over it" % (" of " + user if user else ""),
            "host",
            "",
        )
        for path, user in paths.items()
    ]
    if places:
        missed.append(
            base.NotReached(
                "containers of Buildkite's docker and docker-compose plugins",
                "a container gets only the variables that its plugin is told to hand on; propagate-environment hands "
                "on what the pipeline sets, not what hooks export",
                "name them with environment: at the plugin in the pipeline (a name alone hands it on), or set them "
                "in the image",
            )
        )
    return base.Found(places, missed, problems)


KIND = base.Kind("buildkite", find, read, edit, mode=0o755)
