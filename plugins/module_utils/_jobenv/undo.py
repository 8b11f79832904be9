# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings as they were before a run edited them.

Only variables that still have the value which the run gave them are put back; what somebody changed since stays.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .._fs import atomic
from .._go import accounts, configure, envedit, gitaccess
from .._go.mask import MASK
from .._journal import settings as records
from . import KINDS, base, engine

#: The kind of edits that the module go_env keeps; all others are those of KINDS.
GO_ENV = "go_env"
#: The same for git_access: the variables are the lines that it shows, and each is there ('') or not (None).
GIT_CONFIG = "git_config"
KNOWN_HOSTS = "known_hosts"


class NoRun(ValueError):
    """Nothing is known of the run; nothing was touched."""


class Row(NamedTuple):
    """One file that the run had edited. before, after: of the variables that are put back; error: why it is not.

    since: variables that somebody changed since. later: those that a newer run of ours changed, which has to be taken
    back first. hidden: those whose old value held credentials and was not kept.
    """

    edit: records.Edit
    before: records.Values
    after: records.Values
    since: List[str]
    hidden: List[str]
    later: Sequence[str] = ()
    service: str = ""
    error: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything is put back."""
        return self.before != self.after


def of_place(edited: engine.Edited, names: Iterable[str]) -> records.Edit:
    """What an edit of a place has to tell to be taken back, of the variables that are named."""
    before, after = (
        {name: value for name, value in engine.values(edited.place, data).items() if name in names}
        for data in (edited.before, edited.after)
    )
    place = edited.place
    return records.keep((place.kind, place.path, place.part), engine.writer(place), before, after, engine.hidden)


def of_git(outcome: gitaccess.Outcome, kind: str, uid: int, gid: int) -> records.Edit:
    """The same for an edit of Git's or SSH's files."""
    before, after = (dict.fromkeys(lines, "") for lines in (outcome.before, outcome.after))
    place = (kind, outcome.change.path, "")
    return records.keep(place, (uid, gid), before, after, lambda old: [line for line in old if MASK in line])


def chosen(wanted: str) -> List[records.Run]:
    """The runs that are meant by a label, 'latest' or 'all'; newest first, empty where they were taken back already.

    Raises NoRun, place.Unusable and OSError.
    """
    known = records.runs()
    if wanted == "all":
        return known
    if wanted == "latest":
        return known[:1]
    found = [run for run in known if run.label == records.check_label(wanted)]
    if not found and not records.was_undone(wanted):
        names = ", ".join(run.label for run in known[:5]) or "no run at all"
        raise NoRun("run: nothing was edited under %r that could be taken back; there is: %s" % (wanted, names))
    return found


def undo(runs: Sequence[records.Run], check: bool) -> Tuple[List[Row], str]:
    """Puts back what the runs (newest first) changed. Returns a row for each file, and why this could not be noted."""
    newer = _newer(runs)
    rows = [_sorted_out(_put_back(edit, check), newer) for edit in _merged(runs)]
    lost = ""
    if not check:
        kept = {tuple(records.key_of(row.edit)): row.later for row in rows if not row.error}
        for run in runs:
            done = [(edit, kept[key]) for edit in run.edits for key in [tuple(records.key_of(edit))] if key in kept]
            lost = records.undone(run.label, done) or lost
    return rows, lost


def _newer(runs: Sequence[records.Run]) -> List[records.Edit]:
    """The edits of newer runs than these."""
    labels = {run.label for run in runs}
    found: List[records.Edit] = []
    for run in records.runs():
        if run.label in labels:
            break
        found += run.edits
    return found


def _sorted_out(row: Row, newer: Sequence[records.Edit]) -> Row:
    """Tells what a newer run of ours changed from what somebody else did."""
    key = records.key_of(row.edit)
    later = [name for name in row.since if any(name in edit.after for edit in newer if records.key_of(edit) == key)]
    return row._replace(since=[name for name in row.since if name not in later], later=later)


def _merged(runs: Sequence[records.Run]) -> List[records.Edit]:
    """One edit for each file: the first value before, the last one after."""
    found: Dict[Tuple[str, str, str, int], records.Edit] = {}
    for run in reversed(runs):
        for edit in run.edits:
            key = (edit.kind, edit.path, edit.part, edit.uid)
            first = found.get(key)
            if first is not None:
                touched = {**first.after}
                before = {**{n: v for n, v in edit.before.items() if n not in touched}, **first.before}
                secret = [*first.hidden, *(name for name in edit.hidden if name not in touched)]
                edit = edit._replace(before=before, after={**touched, **edit.after}, hidden=secret)
            found[key] = edit
    return [edit for _key, edit in sorted(found.items())]


def _put_back(edit: records.Edit, check: bool) -> Row:
    only = {name: value for name, value in edit.after.items() if name not in edit.hidden}
    changes = {name: edit.before.get(name) for name in only}
    try:
        if edit.kind == GO_ENV:
            before, after, service = _env_file(edit, changes, only, check)
        elif edit.kind in (GIT_CONFIG, KNOWN_HOSTS):
            before, after, service = _git_file(edit, changes, only, check)
        else:
            before, after, service = _place(edit, changes, only, check)
    except (atomic.NotWritten, engine.Failed, base.BadPlace, gitaccess.GitFailed, OSError) as error:
        return Row(edit, {}, {}, [], list(edit.hidden), error=str(error))
    since = sorted(name for name in only if before.get(name) not in (only[name], changes[name]))
    due = [name for name in only if before.get(name) != after.get(name)]
    was = {name: before.get(name) for name in due}
    return Row(edit, was, {name: after.get(name) for name in due}, since, sorted(edit.hidden), service=service)


_PROXY = "http.proxy = "
_Found = Tuple[records.Values, records.Values, str]


def _env_file(edit: records.Edit, changes: records.Values, only: records.Values, check: bool) -> _Found:
    def work(data: Optional[bytes]) -> Optional[bytes]:
        now = envedit.values(data)
        due = {name: value for name, value in changes.items() if now.get(name) == only[name]}
        keep = {name: value for name, value in due.items() if value is not None}
        return envedit.apply(data, keep, [name for name, value in due.items() if value is None])

    change = configure.edit_file(configure.Target(edit.path, edit.uid, edit.gid), work, check)
    return dict(envedit.values(change.before)), dict(envedit.values(change.after)), ""


def _git_file(edit: records.Edit, changes: records.Values, only: records.Values, check: bool) -> _Found:
    account = accounts.registered(edit.uid)
    if account is None:
        raise base.BadPlace("%s: no account has the uid %d any more" % (edit.path, edit.uid))
    write = _write_config if edit.kind == GIT_CONFIG else _write_hosts
    now: records.Values = dict.fromkeys(write(account, edit.path, {}, True).before, "")
    due = {line: value for line, value in changes.items() if now.get(line) == only[line]}
    after = dict.fromkeys(write(account, edit.path, due, check).after, "")
    return now, dict(after), ""


def _write_config(account: accounts.Account, path: str, lines: records.Values, check: bool) -> gitaccess.Outcome:
    proxy = None
    rewrites: List[gitaccess.Rewrite] = []
    for line, value in lines.items():
        if line.startswith(_PROXY):
            proxy = proxy or ("" if value is None else line[len(_PROXY) :])
        else:
            use, _separator, prefix = line[len("url.") :].partition(".insteadOf = ")
            rewrites.append(gitaccess.Rewrite(prefix, use, value is not None))
    return gitaccess.write_config(account, path, rewrites, proxy, check)


def _write_hosts(account: accounts.Account, path: str, lines: records.Values, check: bool) -> gitaccess.Outcome:
    words = [(line.split(), value is not None) for line, value in lines.items()]
    keys = [gitaccess.HostKey(word[0], word[1], word[2], present) for word, present in words if len(word) > 2]
    return gitaccess.write_hosts(account, path, keys, check)


def _place(edit: records.Edit, changes: records.Values, only: records.Values, check: bool) -> _Found:
    if edit.kind not in KINDS:
        raise base.BadPlace("%s: %r is no kind of place that this version knows" % (edit.path, edit.kind))
    owner = accounts.registered(edit.uid)
    place = base.Place(edit.kind, edit.path, edit.part, owner.name if owner else str(edit.uid), "", "", "")
    if engine.remote(place):
        text = "%s: it is behind an API, whose login is not kept; use job_env to set it back"
        raise base.BadPlace(text % edit.path)
    found = KINDS[edit.kind].find(base.Request(paths=(edit.path,)))
    match = [row for row in found.places if row.part == edit.part]
    service = match[0].service if match and match[0].then else ""
    edited = engine.write(place, changes, check, only=only)
    before, after = (engine.values(place, data) for data in (edited.before, edited.after))
    return dict(before), dict(after), service
