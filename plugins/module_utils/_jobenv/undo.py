# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings as they were before a run edited them.

Only variables that still have the value which the run gave them are put back; what somebody changed since stays.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._fs import atomic
from .._go import accounts, configure, envedit, gitaccess, kept, netrc
from .._go.mask import MASK
from .._journal import settings as records
from . import base

#: The kind of edits that the module go_env keeps; those of places of jobs bear the names of their kinds.
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
        return bool(self.before)


def of_git(outcome: gitaccess.Outcome, kind: str, uid: int, gid: int) -> records.Edit:
    """What an edit of Git's or SSH's files has to tell to be taken back."""
    before, after = (dict.fromkeys(lines, "") for lines in (outcome.before, outcome.after))
    place = (kind, outcome.change.path, "")
    return records.keep(place, (uid, gid), before, after, lambda old: [line for line in old if MASK in line])


def of_credentials(kind: str, change: atomic.Change, uid: int, gid: int) -> records.Edit:
    """The same for an edit of credentials, kept.NETRC or kept.GOAUTH. No secret is in it. Raises netrc.Refused."""
    before, after = kept.differences(kind, change.before, change.after)
    return records.keep((kind, change.path, ""), (uid, gid), before, after, lambda old: kept.gone(kind, old))


def chosen(wanted: str, history: records.History) -> List[records.Run]:
    """The runs that are meant by a label, 'latest' or 'all'; newest first, empty where they were taken back already.

    Raises NoRun and records.BadLabel.
    """
    known = history.runs
    if wanted == "all":
        return known
    if wanted == "latest":
        return known[:1]
    found = [run for run in known if run.label == records.check_label(wanted)]
    if not found and wanted not in history.undone:
        names = ", ".join(run.label for run in known[:5]) or "no run at all"
        raise NoRun("run: nothing was edited under %r that could be taken back; there is: %s" % (wanted, names))
    return found


def undo(runs: Sequence[records.Run], history: records.History, check: bool) -> Tuple[List[Row], str]:
    """Puts back what the runs (newest first) changed. Returns a row for each file, and why this could not be noted."""
    newer = _newer(runs, history)
    rows = [_sorted_out(_put_back(edit, check), newer) for edit in _merged(runs)]
    lost = ""
    if not check:
        left = {tuple(records.key_of(row.edit)): row.later for row in rows if not row.error}
        for run in runs:
            done = [(edit, left[key]) for edit in run.edits for key in [tuple(records.key_of(edit))] if key in left]
            lost = records.undone(run.label, done) or lost
    return rows, lost


def _newer(runs: Sequence[records.Run], history: records.History) -> List[records.Edit]:
    """The edits of newer runs than these."""
    labels = {run.label for run in runs}
    found: List[records.Edit] = []
    for run in history.runs:
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
    found: Dict[Tuple[Any, ...], records.Edit] = {}
    for run in reversed(runs):
        for edit in run.edits:
            key = tuple(records.key_of(edit))
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
    show: Callable[[Optional[str]], Optional[str]] = _as_it_is
    try:
        reason = records.stranger(edit)
        if reason:
            raise base.BadPlace(reason)
        if edit.kind == GO_ENV:
            before, after, service = _env_file(edit, changes, only, check)
        elif edit.kind in (GIT_CONFIG, KNOWN_HOSTS):
            before, after, service = _git_file(edit, changes, only, check)
        elif edit.kind in kept.KINDS:
            before, after, service = _credentials(edit, changes, only, check)
            show = kept.shown
        else:
            before, after, service = _place(edit, changes, only, check)
    except (
        atomic.NotWritten,
        base.Failed,
        base.BadPlace,
        gitaccess.GitFailed,
        netrc.Refused,
        OSError,
    ) as error:
        return Row(edit, {}, {}, [], list(edit.hidden), error=str(error))
    since = sorted(name for name in only if before.get(name) not in (only[name], changes[name]))
    due = [name for name in only if before.get(name) != after.get(name)]
    was, now = ({name: show(found.get(name)) for name in due} for found in (before, after))
    return Row(edit, was, now, since, sorted(edit.hidden), service=service)


def _as_it_is(value: Optional[str]) -> Optional[str]:
    return value


_Found = Tuple[records.Values, records.Values, str]


def _env_file(edit: records.Edit, changes: records.Values, only: records.Values, check: bool) -> _Found:
    def work(data: Optional[bytes]) -> Optional[bytes]:
        due = _due(envedit.values(data), changes, only)
        keep = {name: value for name, value in due.items() if value is not None}
        return envedit.apply(data, keep, [name for name, value in due.items() if value is None])

    change = configure.edit_file(configure.Target(edit.path, edit.uid, edit.gid), work, check)
    return dict(envedit.values(change.before)), dict(envedit.values(change.after)), ""


def _git_file(edit: records.Edit, changes: records.Values, only: records.Values, check: bool) -> _Found:
    account = accounts.registered(edit.uid)
    if account is None:
        raise base.BadPlace("%s: no account has the uid %d any more" % (edit.path, edit.uid))
    is_config = edit.kind == GIT_CONFIG
    outcome = gitaccess.put_back(account, edit.path, is_config, changes, only, check)
    before, after = (dict.fromkeys(lines, "") for lines in (outcome.before, outcome.after))
    return dict(before), dict(after), ""


def _credentials(edit: records.Edit, changes: records.Values, only: records.Values, check: bool) -> _Found:
    account = accounts.Account(str(edit.uid), edit.uid, edit.gid, "")

    def work(data: Optional[bytes]) -> Optional[bytes]:
        return kept.put_back(edit.kind, data, _due(kept.values(edit.kind, data, only), changes, only))

    change = netrc.write(netrc.Target(edit.path, account, "path"), work, check).change
    before, after = (kept.values(edit.kind, data, only) for data in (change.before, change.after))
    return before, after, ""


def _due(now: Mapping[str, Optional[str]], changes: records.Values, only: records.Values) -> records.Values:
    """The changes of what still has the value that the edit gave it."""
    return {name: value for name, value in changes.items() if now.get(name) == only[name]}


def _place(edit: records.Edit, changes: records.Values, only: records.Values, check: bool) -> _Found:
    # All kinds of places are a good deal to load, for a run that often wrote to none.
    from . import engine
    from .kinds import KINDS

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
