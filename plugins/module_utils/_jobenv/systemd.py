# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A drop-in of a systemd service: what the runner's own process gets, and its jobs as far as they are its children.

Sources: systemd.syntax(7) (quoting), systemd.exec(5) (Environment=), systemd.unit(5) (drop-ins, specifiers).
"""

from __future__ import annotations

import fnmatch
import os
import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from .._agents import Host
from .._go import services
from . import base
from .profile_d import HEADER, decode, split

NAME = "systemd"
FOLDER = "/etc/systemd/system"
FILE = "50-gofleet-go.conf"
THEN = "systemctl daemon-reload, and a restart of %s"

#: Runners whose jobs run in containers by default, which get nothing of the service: pattern and what to do instead.
_CONTAINERS = (
    ("woodpecker*", "WOODPECKER_ENVIRONMENT of the server gives variables to all steps"),
    ("drone-runner*", "DRONE_RUNNER_ENVIRON of the runner gives variables to all steps"),
    ("forgejo-runner*", "runner.envs or runner.env_file of its config.yaml does; kind plain can write that file"),
    ("gitea-runner*", "runner.envs or runner.env_file of its config.yaml does; kind plain can write that file"),
    ("act_runner*", "runner.envs or runner.env_file of its config.yaml does; kind plain can write that file"),
)
_ENGINES = ("docker", "podman", "nerdctl", "ctr")
_SPECIFIER = re.compile(r"%[^%]")


class Item(NamedTuple):
    """One line with those that continue it. section: of it, without brackets. words: of Environment=, else None."""

    text: str
    section: str
    words: Optional[Tuple[str, ...]] = None


def _quoted(word: str) -> str:
    word = re.sub(r'(["\\])', r"\\\1", word)
    return '"%s"' % re.sub(r"[\x00-\x1f\x7f]", lambda found: "\\x%02x" % ord(found.group()), word)


def quote(name: str, value: str) -> str:
    """An Environment= line. ``%`` starts a specifier within any quotes, so it is doubled; ``$`` means nothing here."""
    return "Environment=" + _quoted("%s=%s" % (name, value.replace("%", "%%")))


def _words(text: str, number: int) -> Tuple[str, ...]:
    quoted = ""
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif quoted:
            quoted = "" if text[at] == quoted else quoted
        elif text[at] in "\"'":
            quoted = text[at]
        at += 1
    if quoted or at > len(text):
        raise base.BadPlace("line %d: a quote is not closed; close it" % number)
    return tuple(services.split_words(text))


def parse(text: str) -> List[Item]:
    """The lines of a unit file. Raises BadPlace."""
    items: List[Item] = []
    section = ""
    raw = split(text)
    at = 0
    while at < len(raw):
        start = at
        lines = [raw[at]]
        comment = raw[at].strip(" \t")[:1] in ("#", ";")
        while not comment and lines[-1].endswith("\\") and at + 1 < len(raw):
            at += 1
            lines.append(raw[at])
        at += 1
        whole = "\n".join(lines)
        plain = " ".join([line[:-1] for line in lines[:-1]] + [lines[-1]]).strip(" \t")
        if comment or not plain:
            items.append(Item(whole, section))
        elif plain[0] == "[" and plain[-1] == "]":
            section = plain[1:-1]
            items.append(Item(whole, section))
        elif not section or "=" not in plain:
            raise base.BadPlace("line %d is not of a systemd unit: neither [Section] nor Name=value" % (start + 1))
        else:
            key, _sign, value = plain.partition("=")
            ours = section == "Service" and key.rstrip(" \t") == "Environment"
            if ours and len(lines) > 1 and any(line.strip(" \t")[:1] in ("#", ";") for line in lines[1:]):
                raise base.BadPlace("line %d: a comment within Environment=; move it" % (start + 1))
            items.append(Item(whole, section, _words(value.strip(" \t"), start + 1) if ours else None))
    return items


def values(items: Iterable[Item]) -> Dict[str, str]:
    """name -> value of the Environment= lines; specifiers other than ``%%`` stay as they are."""
    found: Dict[str, str] = {}
    for item in items:
        if item.words is not None and not item.words:
            found.clear()
        for word in item.words or ():
            name, sign, value = word.partition("=")
            if sign:
                found[name] = value if _SPECIFIER.search(value.replace("%%", "")) else value.replace("%%", "%")
    return found


def unit_of(path: str) -> str:
    """The unit of a drop-in by its path, or ''."""
    folder = os.path.basename(os.path.dirname(path))
    return folder[:-2] if folder.endswith(".service.d") else ""


def root_of(path: str, folder: str) -> Optional[str]:
    """What stands before a system folder in a path: '' for this host's own; None where the path is elsewhere."""
    head, sign, _tail = path.partition(folder + "/")
    return head if sign else None


def find(request: base.Request) -> base.Found:
    """See base.Kind: the places of this kind."""
    places: List[base.Place] = []
    missing: List[base.NotReached] = []
    if request.paths:
        for path in request.paths:
            owner = unit_of(path)
            who = "processes of %s" % (owner or "the unit that includes this file")
            places.append(base.Place(NAME, path, "", "", who, "host" if owner else "", THEN % (owner or "it"), owner))
        return base.Found(places, missing, [])
    named = [name if name.endswith(".service") else name + ".service" for name in request.names]
    runners = services.unit_names(request.root)
    commands = {unit.name: unit.argv for unit in Host(request.root or "/").units()}
    for name in named or runners:
        if "/" in name or not re.match(r"[A-Za-z0-9:_.\\@\-]+\Z", name):
            missing.append(
                base.NotReached(name, "this is not the name of a systemd service", "Name it as systemctl does.")
            )
            continue
        unit = services.read_unit(name, request.root)
        if unit is None:
            why = "there is no such systemd service on this host"
            missing.append(base.NotReached("jobs of %s" % name, why, "Check the name with systemctl list-units."))
            continue
        jobs = "jobs of %s" % name
        program = os.path.basename((commands.get(name) or ("",))[0])
        contained = [advice for pattern, advice in _CONTAINERS if fnmatch.fnmatchcase(name, pattern)]
        if unit.jobs_user:
            why = "they run in a login shell of %s (--user), which gets nothing of the service" % unit.jobs_user
            missing.append(base.NotReached(jobs, why, "Use the kind gitlab or profile_d."))
            continue
        if program in _ENGINES:
            why = "the unit only starts a container with %s, which gets none of the service's variables" % program
            missing.append(base.NotReached(jobs, why, "Give them to the container: --env or --env-file of its start."))
            continue
        if contained and not named:
            why = "they run in containers, which get nothing of the service"
            missing.append(base.NotReached(jobs, why, "%s." % contained[0]))
            continue
        place = base.Place(
            NAME,
            "%s%s/%s.d/%s" % (request.root, FOLDER, name, FILE),
            "",
            "",
            "%s that are child processes of the service" % jobs if name in runners else "processes of %s" % name,
            "host",
            THEN % name,
            name,
        )
        places.append(place)
        if name in runners:
            why = "a container gets nothing of the service's environment"
            advice = contained[0] if contained else "Use the runner's own kind, or set them in the images"
            missing.append(base.NotReached("%s that run in containers, if it has such" % jobs, why, "%s." % advice))
    return base.Found(places, missing, [])


def read(data: bytes, part: str) -> Dict[str, str]:
    """See base.Kind: what the document gives, by name. Raises base.BadPlace."""
    return values(parse(decode(data)))


def _without(item: Item, name: str) -> Optional[Item]:
    """The line without the variable; None where nothing is left of it."""
    if item.words is None or not any(word.partition("=")[0] == name for word in item.words):
        return item
    words = tuple(word for word in item.words if word.partition("=")[0] != name)
    if not words:
        return None
    # The words still hold their specifiers, so % is not doubled again.
    return Item("Environment=" + " ".join(_quoted(word) for word in words), item.section, words)


def edit(data: Optional[bytes], part: str, changes: Mapping[str, Optional[str]]) -> Optional[bytes]:
    """See base.Kind: the document with the changes. Raises base.BadPlace."""
    items = parse(decode(data or b""))
    todo = base.wanted(values(items), changes)
    if not todo:
        return data
    if not items and any(value is not None for value in todo.values()):
        items = [Item(HEADER, ""), Item("[Service]", "Service")]
    for name in sorted(todo):
        value = todo[name]
        items = [kept for kept in (_without(item, name) for item in items) if kept is not None]
        if value is None:
            continue
        base.one_line(name, value, NAME)
        line = Item(quote(name, value), "Service", ("%s=%s" % (name, value.replace("%", "%%")),))
        inside = [number for number, item in enumerate(items) if item.section == "Service" and item.text.strip()]
        if not inside:
            items.append(Item("[Service]", "Service"))
            inside = [len(items) - 1]
        items.insert(inside[-1] + 1, line)
    if [item.text.strip() for item in items if item.text.strip()] == [HEADER, "[Service]"]:
        return None
    return "".join(item.text + "\n" for item in items).encode("utf-8")


KIND = base.Kind(NAME, find, read, edit)
