# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What edits of settings found and left, so that they can be taken back.

JSON Lines in the state directory, mode 0600, appended under a lock; an unfinished last line (a crash) does not count.
Values that hold credentials are not kept: of an entry that was added there is a salted hash, by which it is known.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from typing import Any, Callable, Collection, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .._core.document import read_json
from .._fs import dirs
from . import place

FILE = "settings.jsonl"
#: Bytes; beyond them the older half of the edits is forgotten.
LIMIT = 2 << 20
LABEL = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
#: Words for runs that are no labels.
WORDS = ("latest", "all")

Values = Dict[str, Optional[str]]


class BadLabel(ValueError):
    """The text cannot name a run."""


class Edit(NamedTuple):
    """One edit of one file (or document).

    kind: what edits it. part: of the file, '' for the whole. uid, gid: with whose rights. before, after: the variables
    that the edit changed, None for those that were not there. hidden: names of those whose old value held credentials.
    owner: uid of the file afterwards, -1 where there was none. folders: uids of the folders on the way to it.
    """

    kind: str
    path: str
    part: str
    uid: int
    gid: int
    before: Values
    after: Values
    hidden: Sequence[str] = ()
    owner: int = -1
    folders: Sequence[int] = ()


def keep(
    place: Tuple[str, str, str],
    owner: Tuple[int, int],
    before: Mapping[str, Optional[str]],
    after: Mapping[str, Optional[str]],
    hidden: Callable[[Values], List[str]],
) -> Edit:
    """What an edit has to tell to be taken back: of the variables given, those that differ.

    place: kind, path and part. owner: uid and gid. hidden: the names whose values hold credentials, which are not kept.
    """
    old = {name: before.get(name) for name in sorted({*before, *after}) if before.get(name) != after.get(name)}
    secret = hidden(old)
    kept = {name: value for name, value in old.items() if name not in secret}
    return Edit(*place, *owner, kept, {name: after.get(name) for name in old}, secret)


class Run(NamedTuple):
    """The edits under one label, oldest first. at: of the newest, in Unix seconds."""

    label: str
    at: int
    edits: List[Edit]


def new_label() -> str:
    """A label that no other run has."""
    return "%s-%s" % (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), os.urandom(3).hex())


def check_label(label: str) -> str:
    """The label. Raises BadLabel."""
    if label in WORDS or not LABEL.match(label):
        raise BadLabel(
            "run: %r is no label; up to 64 letters, digits and . _ : - (not %s)" % (label, " or ".join(WORDS))
        )
    return label


def record(label: str, edits: Iterable[Edit]) -> str:
    """Keeps the edits that changed something. Returns '', or why they could not be kept."""
    lines: List[Dict[str, Any]] = []
    for edit in edits:
        if edit.after:
            owner, folders = _owners(edit.path)
            lines.append(dict(edit._asdict(), run=label, at=int(time.time()), owner=owner, folders=folders))
    return _append(lines) if lines else ""


def _owners(path: str) -> Tuple[int, List[int]]:
    """The owner of the file, -1 where there is none, and those of all folders on the way to it, sorted."""
    if not os.path.isabs(path):
        return -1, []  # a document behind an API
    real = os.path.realpath(path)
    found = dirs.lstat_or_none(real)
    folders: Set[int] = set()
    while real != os.path.dirname(real):
        real = os.path.dirname(real)
        folder = dirs.lstat_or_none(real)
        if folder is not None:
            folders.add(folder.st_uid)
    return (-1 if found is None else found.st_uid), sorted(folders)


def stranger(edit: Edit) -> str:
    """Why the file is not the one that was edited any more, by who owns it and its folders; '' where it fits.

    What root would do by a uid that it has noted could else reach a file that somebody else has put there since.
    """
    hint = "look at it, and set it with the module that wrote it"
    owner, folders = _owners(edit.path)
    was = {edit.owner} if edit.owner >= 0 else {0, edit.uid}
    if owner >= 0 and owner not in was:
        text = "%s: it belonged to uid %d when it was edited, and belongs to uid %d now; %s"
        return text % (edit.path, edit.owner if edit.owner >= 0 else edit.uid, owner, hint)
    other = sorted(set(folders) - set(edit.folders) - {0})
    if other:
        text = "%s: a folder on the way to it belongs to uid %d now, and none did when it was edited; %s"
        return text % (edit.path, other[0], hint)
    return ""


def undone(label: str, edits: Iterable[Tuple[Edit, Sequence[str]]]) -> str:
    """Forgets edits of a run, because they were taken back, but for the variables named with each.

    Returns '', or why that could not be noted.
    """
    now = int(time.time())
    return _append([{"undone": label, "edit": key_of(edit), "kept": list(kept), "at": now} for edit, kept in edits])


class History(NamedTuple):
    """What can still be taken back, newest run first, and the labels under which something was taken back."""

    runs: List[Run]
    undone: Set[str]


def history() -> History:
    """What the record tells. Raises place.Unusable and OSError."""
    folder = place.prepare(False)
    if folder is None or not place.check_file(os.path.join(folder, FILE)):
        return History([], set())
    found: Dict[str, Run] = {}
    taken: Set[str] = set()
    for line in _lines(os.path.join(folder, FILE)):
        gone = line.get("undone")
        if gone is not None:
            taken.add(str(gone))
            run = found.get(gone)
            if run is not None:
                key, kept = line.get("edit"), frozenset(line.get("kept", ()))
                edits = [_only(edit, kept) if key_of(edit) == key else edit for edit in run.edits]
                run.edits[:] = [edit for edit in edits if edit.after]
            continue
        try:
            edit = Edit(*(line[name] for name in Edit._fields))
            label, at = str(line["run"]), int(line["at"])
        except (KeyError, TypeError, ValueError):
            continue  # of another version
        run = found.pop(label, None) or Run(label, at, [])
        found[label] = run._replace(at=at, edits=[*run.edits, edit])
    return History([run for run in reversed(list(found.values())) if run.edits], taken)


def _only(edit: Edit, names: Collection[str]) -> Edit:
    before = {name: value for name, value in edit.before.items() if name in names}
    after = {name: value for name, value in edit.after.items() if name in names}
    return edit._replace(before=before, after=after, hidden=[name for name in edit.hidden if name in names])


def key_of(edit: Edit) -> List[Any]:
    """What tells the place of an edit from all others."""
    return [edit.kind, edit.path, edit.part, edit.uid]


def _lines(path: str) -> List[Dict[str, Any]]:
    found: List[Dict[str, Any]] = []
    with open(path, "rb") as stream:
        for raw in stream.read(2 * LIMIT).split(b"\n")[:-1]:
            try:
                line = read_json(raw.decode("utf-8", "surrogateescape"))
            except ValueError:
                continue
            if isinstance(line, dict):
                found.append(line)
    return found


def _append(lines: Sequence[Dict[str, Any]]) -> str:
    data = b"".join(json.dumps(line, sort_keys=True).encode("utf-8") + b"\n" for line in lines)
    try:
        folder = place.prepare(True)
        if folder is None:
            return "no place for the agent's records is known"
        path = os.path.join(folder, FILE)
        place.check_file(path)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except (OSError, place.Unusable) as error:
        return str(error)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        if size > LIMIT:
            kept = os.pread(fd, size, size // 2)
            # In place, by the same descriptor: whoever waits for the lock has this file open.
            os.ftruncate(fd, 0)
            data = kept[kept.find(b"\n") + 1 :] + data
        elif size and os.pread(fd, 1, size - 1) != b"\n":
            data = b"\n" + data
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    except OSError as error:
        return "%s: %s" % (path, error.strerror or error)
    finally:
        os.close(fd)
    return ""
