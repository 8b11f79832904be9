# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kinds that belong to CI runners share: who owns a file, what was found, which names are variables."""

from __future__ import annotations

import os
import pwd
import re
from typing import List, Mapping, NamedTuple, Optional, Tuple

from .. import _agents
from . import base

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Lines(NamedTuple):
    """A document's lines, without their ends. end: what ends a line. ended: whether the last one is ended too."""

    texts: List[str]
    end: str
    ended: bool


def check(changes: Mapping[str, Optional[str]], where: str) -> None:
    """Refuses what no line of a place can hold: names that are no variables, values of several lines. BadPlace."""
    for name, value in changes.items():
        if _NAME.fullmatch(name) is None:
            raise base.BadPlace(
                "%s: %r is no name of a variable; use letters, digits and '_', and no digit first" % (where, name)
            )
        if value is not None:
            base.one_line(name, value, where)
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise base.BadPlace("%s: the value of %s is no text that UTF-8 can hold" % (where, name)) from None


def decode(data: bytes) -> str:
    """The text of a document, with its byte order mark and line ends. BadPlace."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise base.BadPlace("not UTF-8 text from byte %d on; correct it by hand" % exc.start) from None
    if "\0" in text:
        raise base.BadPlace("a NUL byte at byte %d; this is no text" % len(text[: text.index("\0")].encode("utf-8")))
    return text


def split(text: str, ends: str = "\r\n|\n|\r") -> Lines:
    """The lines; *ends* is a pattern of what ends one, as the reader of the file sees it."""
    parts = re.split("(%s)" % ends, text)
    texts = parts[0::2]
    ended = texts[-1] == "" and len(texts) > 1
    return Lines(texts[:-1] if ended or not text else texts, parts[1] if len(parts) > 1 else "\n", ended or not text)


def system(root: str) -> _agents.Host:
    """The host below the prefix of a request."""
    return _agents.Host(root or "/")


def owner_of(path: str) -> str:
    """Whose rights a file in *path*'s place is written with: its owner, or its folder's; '' for the caller's own."""
    for place in (path, os.path.dirname(path)):
        try:
            uid = os.stat(place).st_uid
        except OSError:
            continue
        if uid == os.geteuid():
            return ""
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return str(uid)
    return ""


def teller(path: str) -> int:
    """The uid of whoever decides what stands in *path*: the first that is not root's on the way to it; 0 for root."""
    step = ""
    for part in os.path.realpath(path).split("/")[1:]:
        step += "/" + part
        try:
            uid = os.lstat(step).st_uid
        except OSError:
            break
        if uid != 0:
            return uid
    return 0


def may_name(uid: int, folder: str) -> bool:
    """Whether a folder that *uid* calls a runner's is one to write to: anybody can start a process, and write a file,
    that names a folder of somebody else."""
    if uid in (0, teller(folder)):
        return True
    try:
        return os.stat(folder).st_uid == uid
    except OSError:
        return False


def strange(what: str, folder: str, uid: int) -> base.NotReached:
    """What is said of a folder that may_name() refuses."""
    return base.NotReached(
        "jobs of the %s in %s" % (what, folder),
        "only uid %d says that it is there, to whom the folder does not belong" % uid,
        "look who says so; if it is right, name the file in it by paths",
    )


def read(path: str) -> bytes:
    """A file of 4 MiB at most, as a controller's may be. Raises FileNotFoundError, or _agents.Unreadable."""
    return _agents.read_text(path, 4 << 20).encode("utf-8")


def reported(found: _agents.Inspection, what: str) -> Tuple[List[base.NotReached], List[str]]:
    """What an inspection has seen and could not look into: runners in containers, and files that cannot be read."""
    missed = [
        base.NotReached(
            what,
            item.message.split(";")[0],
            "run this inside that container, name the mounted configuration file as a path, or set the variable where "
            "the container is started",
        )
        for item in found.findings
        if item.code == "runner-in-container"
    ]
    return missed, ["%s" % item.message.split(";")[0] for item in found.findings if item.code == "unreadable"]
