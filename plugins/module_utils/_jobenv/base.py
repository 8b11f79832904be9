# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every kind of place has to tell."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

#: Variables to set by name, and those to remove (None).
Changes = Mapping[str, Optional[str]]


class BadPlace(ValueError):
    """A place cannot be read or edited as its grammar wants; says which, where in it and what to do."""


class Failed(Exception):
    """A place cannot be read or written; the text says which, why and what to do."""


class Place(NamedTuple):
    """One source of jobs' environment.

    path: the file (or the URL of a document). part: the part of it that is meant, such as a runner's name; '' where the
    whole file is. owner: the account with whose rights the file is written, '' for the caller's own.
    reaches: whose processes get it, for people. where_jobs_run: 'host', 'container', 'elsewhere', or '' where that is
    not known. then: what has to happen before it counts, for people; '' where nothing has to.
    service: the systemd unit that has to be started again for it, or ''.
    """

    kind: str
    path: str
    part: str
    owner: str
    reaches: str
    where_jobs_run: str
    then: str
    service: str = ""


class NotReached(NamedTuple):
    """Jobs that no place on this host can give a variable: whose, why, and what to do instead."""

    who: str
    why: str
    advice: str


class Request(NamedTuple):
    """Which places are meant. paths: these files instead of those that are found. names: only these runners, units or
    nodes; all for an empty one. root: prefix of system files, for tests."""

    paths: Tuple[str, ...] = ()
    names: Tuple[str, ...] = ()
    root: str = ""


class Found(NamedTuple):
    """What a search found. problems: files that could not be read, with the reason."""

    places: List[Place]
    not_reached: List[NotReached]
    problems: List[str]


class Kind(NamedTuple):
    """One kind of place.

    find: the places of this kind on the host. read: what the document gives its jobs, by name, from its bytes and the
    part. edit: the document with the variables set, and those removed whose value is None; the same bytes where nothing
    is to be done, None where no document is needed any more. Comments, order and everything else stay. Both raise
    BadPlace. mode: of a new file. creates: whether a missing file is made.
    """

    name: str
    find: Callable[[Request], Found]
    read: Callable[[bytes, str], Dict[str, str]]
    edit: Callable[[Optional[bytes], str, Mapping[str, Optional[str]]], Optional[bytes]]
    mode: int = 0o644
    creates: bool = True


def wanted(found: Mapping[str, str], changes: Mapping[str, Optional[str]]) -> Dict[str, Optional[str]]:
    """The changes that are not there already."""
    return {name: value for name, value in changes.items() if found.get(name) != value}


def one_line(name: str, value: str, where: str) -> None:
    """Refuses a value that no line can hold. Raises BadPlace."""
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in value):
        raise BadPlace("%s: the value of %s holds a line break or another control character" % (where, name))


def chosen(names: Sequence[str], name: str) -> bool:
    """Whether a request for these names means this one; without any it means all."""
    return not names or name in names
