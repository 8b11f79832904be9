# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables into the places that give jobs their environment: which are meant, what is wrong, and the edit itself."""

from __future__ import annotations

import errno
import fcntl
import fnmatch
import os
import posixpath
import re
import time
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._fs import atomic
from .._go import accounts, grammar, names, proxyvars, services
from .._go.files import as_account, files_for
from .._go.mask import MASK, mask_value
from .._journal import settings as records
from . import base, jenkins
from .kinds import KINDS, RUNNERS

AUTO = "auto"
#: What V(auto) looks for: the runners' own configuration. Services are added where it does not cover them.
_AUTO_KINDS = ("gitlab", "github", "azure", "buildkite")

#: Units of the runners whose configuration needs no restart, so that its places name no service.
_UNITS = {
    "gitlab": "gitlab-runner*",
    "github": "actions.runner.*",
    "azure": "vsts.agent.*",
    "buildkite": "buildkite-agent*",
}

#: Seconds that a child with an account's rights may take: longer than it may wait for the lock.
CHILD_SECONDS = 45.0
LOCK_SECONDS = 20.0

#: Names of variables that only a process environment can hold, and that a job may well get.
_PROCESS = frozenset(
    "GOENV GODEBUG GOGC GOMAXPROCS GOMEMLIMIT GOTRACEBACK GOCOVERDIR GOPACKAGESDRIVER GORACE GOWORK NETRC "
    "XDG_CACHE_HOME XDG_CONFIG_HOME TMPDIR SSL_CERT_FILE SSL_CERT_DIR SSH_AUTH_SOCK".split()
)
_GIT = re.compile(r"GIT_[A-Z0-9_]+\Z")
_PATHS = frozenset("NETRC XDG_CACHE_HOME XDG_CONFIG_HOME TMPDIR SSL_CERT_FILE SSH_AUTH_SOCK GOCOVERDIR".split())
_WORDS = {
    "GOGC": (r"(off|[0-9]+)\Z", "a number or off"),
    "GOMAXPROCS": (r"[1-9][0-9]*\Z", "a number"),
    "GOMEMLIMIT": (r"(off|[0-9]+(B|[KMGT]iB)?)\Z", "a size such as 2GiB, or off"),
    "GODEBUG": (r"[a-zA-Z0-9]+=[^,\s]+(,[a-zA-Z0-9]+=[^,\s]+)*\Z", "name=value items with commas and without blanks"),
    "GIT_TERMINAL_PROMPT": (r"[01]\Z", "0 or 1"),
}
#: Whose values are read by anybody who may see them.
SHOWN = names.INTERESTING_NAMES | names.PROXY_NAMES | _PROCESS


class Edited(NamedTuple):
    """One place and its document before and after. created: the folders and the file that were made."""

    place: base.Place
    before: Optional[bytes]
    after: Optional[bytes]
    created: Tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the document differs."""
        return self.before != self.after


Failed = base.Failed


# --- what is asked for -----------------------------------------------------------------------------------------


def shown(name: str, value: str) -> str:
    """The value, fit to be shown: of a variable that is not Go's, Git's or a proxy's nobody knows what it holds."""
    return mask_value(name, value) if name in SHOWN or _GIT.match(name) else MASK


def hidden(values: Mapping[str, Optional[str]]) -> List[str]:
    """The names whose values are not fit to be shown, sorted."""
    return sorted(name for name, value in values.items() if value is not None and shown(name, value) != value)


def prepare(
    settings: Mapping[str, Any], absent: Iterable[str]
) -> Tuple[Dict[str, Optional[str]], List[grammar.Fault], List[grammar.Fault]]:
    """What to change (None: remove), the faults of it, and remarks that are no reason to refuse it.

    A proxy variable is changed in both spellings, unless the other one is asked for by itself.
    """
    changes: Dict[str, Optional[str]] = {}
    faults: List[grammar.Fault] = []
    for name in sorted(settings):
        found = _check_name(name)
        faults += found
        if any(fault.certain for fault in found):
            continue
        try:
            value = _to_value(name, settings[name])
        except grammar.GrammarError as error:
            faults.append(error.fault)
            continue
        faults += _check_value(name, value)
        changes[name] = value
        other = proxyvars.OTHER.get(name)
        if other is not None and other not in settings:
            changes[other] = value
    for name in sorted(set(absent)):
        if name in settings:
            message = "asked for as a setting and as absent"
            faults.append(grammar.Fault(name, "both", message, "Remove it from one of the two."))
            continue
        faults += [fault for fault in _check_name(name) if fault.rule == "name-syntax"]
        changes.setdefault(name, None)
        other = proxyvars.OTHER.get(name)
        if other is not None:
            changes.setdefault(other, None)
    values = {name: value for name, value in changes.items() if value}
    return changes, faults + proxyvars.check(values), proxyvars.remarks(values)


def _check_name(name: str) -> List[grammar.Fault]:
    def fault(rule: str, message: str, hint: str, certain: bool = True) -> List[grammar.Fault]:
        return [grammar.Fault(name, rule, message, hint, certain)]

    if name in names.PROXY_NAMES or name in _PROCESS or _GIT.match(name):
        return []
    if name in ("HOME", "PATH"):
        message = "it decides about far more than Go, and each runner makes its own"
        return fault("name-process", message, "Set GOPATH, GOCACHE, GOENV or XDG_CONFIG_HOME instead of HOME.")
    if not re.match(r"[A-Za-z_][A-Za-z0-9_]*\Z", name):
        return fault("name-syntax", "%r is no name of a variable" % name, "Write it like GOPROXY.")
    return [
        found._replace(hint=found.hint.replace("in an env file", "here")) if found.rule == "name-read-only" else found
        for found in grammar.check_name(name)
    ]


def _to_value(name: str, given: Any) -> str:
    if isinstance(given, (list, tuple)) and name in ("NO_PROXY", "no_proxy", "GODEBUG"):
        return ",".join(str(item) for item in given)
    if isinstance(given, bool) and name in ("GOENV", "GOWORK", "GOGC") and not given:
        return "off"
    return grammar.to_value(name, given)


def _check_value(name: str, value: str) -> List[grammar.Fault]:
    found = grammar.check_value(name, value)
    if found or not value:
        return found

    def wrong(message: str, hint: str) -> List[grammar.Fault]:
        return [grammar.Fault(name, "value", message, hint)]

    if any(ord(sign) < 32 or ord(sign) == 127 for sign in value):
        return wrong("the value holds a control character", "Remove it.")
    if shown(name, value) != value and name not in names.PROXY_NAMES:
        message = "the value holds login data, which every process of the job can read"
        return [grammar.Fault(name, "userinfo", message, "Use a netrc file, or a file that the variable names.")]
    path = name in _PATHS or (name in ("GOENV", "GOWORK") and value != "off")
    if path and not value.startswith("/"):
        return wrong("%r is not an absolute path" % value, "Write the whole path, starting with '/'.")
    if name == "SSL_CERT_DIR" and not all(item.startswith("/") for item in value.split(":")):
        return wrong("%r is not a list of absolute paths" % value, "Separate whole paths with colons.")
    if name in _WORDS and not re.match(_WORDS[name][0], value):
        return wrong("%r is not a value that Go or Git knows" % value, "Use %s." % _WORDS[name][1])
    return []


# --- where -----------------------------------------------------------------------------------------------------


def find(kinds: Sequence[str], request: base.Request) -> base.Found:
    """The places of the kinds, each once.

    ``auto``: the configuration of the CI runners that are on the host, and drop-ins for the services of those that have
    none of their own.
    """
    places: List[base.Place] = []
    missing: List[base.NotReached] = []
    problems: List[str] = []
    for name in dict.fromkeys(kind for given in kinds for kind in (_AUTO_KINDS if given == AUTO else (given,))):
        found = KINDS[name].find(request)
        places += [place for place in found.places if (place.path, place.part) not in _keys(places)]
        missing += found.not_reached
        problems += found.problems
    if AUTO in kinds or "systemd" in kinds:
        places, missing = _with_services(kinds, request, places, missing)
    if AUTO in kinds and not request.root and not request.paths:
        missing += _strays(places)
    if AUTO in kinds and "jenkins" not in kinds:
        missing += _jenkins(request, places)
    return base.Found(places, list(dict.fromkeys(missing)), list(dict.fromkeys(problems)))


def _keys(places: Iterable[base.Place]) -> List[Tuple[str, str]]:
    return [(place.path, place.part) for place in places]


def _with_services(
    kinds: Sequence[str], request: base.Request, places: List[base.Place], missing: List[base.NotReached]
) -> Tuple[List[base.Place], List[base.NotReached]]:
    # What the runners' own files know about where their jobs run says more than the unit's name.
    own = [place for place in places if place.kind in RUNNERS]
    if "systemd" in kinds:
        own += [place for name in _AUTO_KINDS for place in KINDS[name].find(base.Request(root=request.root)).places]
    else:
        wanted = request.names
        units = [name for name in wanted if services.read_unit(_service(name), request.root) is not None]
        if not wanted or units:
            found = KINDS["systemd"].find(base.Request(names=tuple(units), root=request.root))
            covered = [unit.service for unit in found.places if any(_serves(place, unit.service) for place in own)]
            places += [place for place in found.places if place.service not in covered]
            missing += [item for item in found.not_reached if not any(unit in item.who for unit in covered)]
    kept: List[base.Place] = []
    for place in places:
        jobs = {item.where_jobs_run for item in own if _serves(item, place.service)}
        if place.kind != "systemd" or request.paths or not jobs or jobs == {"host"}:
            kept.append(place)
        elif jobs == {"container"}:
            missing = [item for item in missing if place.service not in item.who]
            why = "all its jobs run in containers, which get nothing of the service's environment"
            missing.append(base.NotReached("jobs of %s" % place.service, why, "Use the runner's own kind."))
        else:
            kept.append(place._replace(where_jobs_run=""))
    return kept, missing


def _serves(place: base.Place, unit: str) -> bool:
    """Whether a place of a runner belongs to the unit."""
    if place.service or place.kind not in _UNITS:
        return place.service == unit
    return fnmatch.fnmatchcase(unit, _UNITS[place.kind])


def unit_for(place: base.Place, root: str) -> str:
    """The unit of the runner that a place belongs to, '' where none or more than one may be."""
    if place.service or place.kind not in _UNITS:
        return place.service
    found = [name for name in services.unit_names(root) if _serves(place, name)]
    return found[0] if len(found) == 1 else ""


def _service(name: str) -> str:
    return name if name.endswith(".service") else name + ".service"


def _jenkins(request: base.Request, places: Sequence[base.Place]) -> List[base.NotReached]:
    """Builds of Jenkins that a drop-in does not reach: the variables of its nodes are the controller's to keep."""
    found = jenkins.KIND.find(request)
    why = "a running controller writes over its files, so they are not edited unasked"
    advice = "Use the kind jenkins with the controller's url, username and token."
    missing = [base.NotReached(place.reaches, why, advice) for place in found.places]
    if any(place.service.startswith("jenkins") for place in places):
        return missing
    return missing + found.not_reached


def _strays(places: Sequence[base.Place]) -> List[base.NotReached]:
    """Runner processes that neither a unit nor a file found here starts."""
    systems = {"gitlab-runner": "gitlab", "github-runner": "github", "azure-agent": "azure"}
    systems["buildkite-agent"] = "buildkite"
    have = {place.kind for place in places}
    return [
        base.NotReached(
            "jobs of the process %d (%s)" % (service.pid or 0, service.name),
            "no service and no configuration that was found here starts it",
            "Name its configuration by paths, with the kind of this runner.",
        )
        for service in services.discover()[0]
        if service.kind == "process" and systems.get(service.name) not in have
    ]


# --- writing ---------------------------------------------------------------------------------------------------


def writer(place: base.Place) -> Tuple[int, int]:
    """Whose rights a document is written with. Root writes as root only where nobody else can change the folders."""
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        return uid, gid
    if place.owner:
        owner = accounts.registered(place.owner)
        if owner is not None:
            return owner.uid, owner.gid
        if place.owner.isdigit():
            return int(place.owner), int(place.owner)
        raise Failed("%s: account %r: no such account on this host" % (place.path, place.owner))
    step = ""
    for part in place.path.split("/")[1:-1]:
        step += "/" + part
        try:
            found = os.stat(step)
        except OSError:
            break
        if found.st_uid != 0:
            known = accounts.registered(found.st_uid)
            return found.st_uid, known.gid if known else found.st_gid
    return 0, 0


def _due(place: base.Place, data: Optional[bytes], changes: base.Changes, only: Optional[base.Changes]) -> base.Changes:
    """The changes that are still to be made: where *only* is given, of variables that have these values now."""
    if only is None:
        return changes
    found = KINDS[place.kind].read(data, place.part) if data else {}
    return {name: value for name, value in changes.items() if found.get(name) == only[name]}


def _edit(place: base.Place, changes: base.Changes, only: Optional[base.Changes]) -> atomic.Edit:
    kind = KINDS[place.kind]

    def work(data: Optional[bytes]) -> Optional[bytes]:
        if data is None and not kind.creates:
            return None
        after = kind.edit(data, place.part, _due(place, data, changes, only))
        if data is None:
            return after
        return b"" if after is None else after

    return work


def _verified(place: base.Place, document: Optional[bytes], changes: base.Changes) -> None:
    """Raises BadPlace where the document does not give what was put in: then the edit has not understood it."""
    if place.kind in RUNNERS:
        return  # what else their documents say is not ours to judge; the proof tells
    found = KINDS[place.kind].read(document, place.part) if document else {}
    wrong = sorted(name for name, value in changes.items() if found.get(name) != value)
    if wrong:
        raise base.BadPlace(
            "after the edit it would not give %s as asked, because other lines of it decide; edit it by hand"
            % ", ".join(wrong)
        )


def _unlink_empty(real_path: str) -> None:
    """Removes the file if it is still as empty as we left it, under the lock that atomic.update takes."""
    folder, name = posixpath.split(real_path)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN) or time.monotonic() > deadline:
                    return  # an empty file does no harm
                time.sleep(0.02)
        try:
            if os.stat(name, dir_fd=fd, follow_symlinks=False).st_size == 0:
                os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            pass
    finally:
        os.close(fd)


def write(
    place: base.Place,
    changes: base.Changes,
    check: bool,
    login: Optional[jenkins.Login] = None,
    only: Optional[base.Changes] = None,
) -> Edited:
    """Edits one place with its owner's rights, or says in check mode what would be done.

    Raises Failed. login: for the nodes of a Jenkins controller, which are documents behind its API. only: change a
    variable only while it has this value (None: is not there).
    """
    if login is not None and remote(place):
        return _write_remote(place, changes, check, login)
    kind = KINDS[place.kind]

    def work() -> Dict[str, Any]:
        try:
            change = atomic.update(
                place.path, _edit(place, changes, only), check=check, mode=kind.mode, lock_seconds=LOCK_SECONDS
            )
            after = change.after if change.after or not change.changed else None
            if change.changed:
                _verified(place, after, _due(place, change.before, changes, only))
            if change.changed and after is None and not check:
                _unlink_empty(change.real_path)
            return {"change": atomic.to_json(change._replace(after=after))}
        except (base.BadPlace, atomic.NotWritten) as error:
            return {"error": str(error)}

    uid, gid = writer(place)
    try:
        answer = as_account(uid, gid, work, CHILD_SECONDS) if uid != os.geteuid() else work()
    except OSError as error:
        raise Failed("%s: writing as uid %d failed: %s" % (place.path, uid, error.strerror or error)) from None
    if "error" in answer:
        text = answer["error"]
        raise Failed(text if text.startswith(place.path) else "%s: %s" % (place.path, text))
    change = atomic.from_json(answer["change"])
    created = change.created if change.changed else ()
    if change.before is None and change.after is not None:
        created += (change.real_path,)
    return Edited(place, change.before, change.after, created)


def _write_remote(place: base.Place, changes: base.Changes, check: bool, login: jenkins.Login) -> Edited:
    try:
        before = jenkins.load(place, login)
        after = jenkins.KIND.edit(before, place.part, changes)
        if after is not None and after != before and not check:
            jenkins.save(place, after, login, before)
        return Edited(place, before, before if after is None else after)
    except (OSError, base.BadPlace) as error:
        raise Failed("%s: %s" % (place.path, error)) from None


def read(place: base.Place, login: Optional[jenkins.Login] = None) -> Optional[bytes]:
    """The document as it is, None where there is none. Raises Failed."""
    try:
        if login is not None and remote(place):
            return jenkins.load(place, login)
        return files_for(*writer(place)).read(place.path)
    except FileNotFoundError:
        return None
    except (OSError, base.BadPlace) as error:
        raise Failed("%s: cannot be read: %s" % (place.path, error)) from None


def values(place: base.Place, document: Optional[bytes]) -> Dict[str, str]:
    """What a document gives its jobs. Raises Failed."""
    try:
        return KINDS[place.kind].read(document, place.part) if document else {}
    except base.BadPlace as error:
        raise Failed("%s: %s" % (place.path, error)) from None


def kept(edited: Edited, names: Iterable[str]) -> records.Edit:
    """What an edit has to tell to be taken back, of the variables that are named. Raises Failed."""
    place = edited.place
    before, after = (
        {name: value for name, value in values(place, data).items() if name in names}
        for data in (edited.before, edited.after)
    )
    return records.keep((place.kind, place.path, place.part), writer(place), before, after, hidden)


def remote(place: base.Place) -> bool:
    """Whether the document is behind an API and no file."""
    return place.path.startswith(("http://", "https://"))


class Limit:
    """A time that all of a run's steps may take together, from now on."""

    def __init__(self, seconds: float, text: str) -> None:
        self.text = text
        self._end = time.monotonic() + seconds

    def check(self, done: int, places: int, what: str) -> None:
        """Raises Failed where the time is over. what: was done, or was tried, with the first *done* of the places."""
        if time.monotonic() > self._end:
            raise Failed(
                "time_limit: %s are over, %d of %d places were %s; name fewer by names or paths, look for a file with "
                "very many runners, or give it more time" % (self.text, done, places, what)
            )


def plan(
    places: Sequence[base.Place],
    changes: base.Changes,
    login: Optional[jenkins.Login] = None,
    limit: Optional[Limit] = None,
) -> Tuple[List[Edited], List[base.NotReached]]:
    """What the edits would be, and the places whose document is not there to be edited. Raises Failed.

    All are tried before one is written, so that what cannot be done completely is not begun.
    """
    planned: List[Edited] = []
    missing: List[base.NotReached] = []
    for number, place in enumerate(places):
        if limit is not None:
            limit.check(number, len(places), "looked at, and nothing was written")
        try:
            edited = write(place, changes, True, login) if changes else _untouched(place, login)
        except Failed as error:
            if changes:
                raise
            missing.append(base.NotReached(place.reaches, str(error), "Repair it."))
            continue
        if edited.after is None and not KINDS[place.kind].creates:
            why = "%s does not exist, and only the runner itself can make it" % place.path
            missing.append(base.NotReached(place.reaches, why, "Register the runner first."))
        else:
            planned.append(edited)
    return planned, missing


def _untouched(place: base.Place, login: Optional[jenkins.Login]) -> Edited:
    document = read(place, login)
    values(place, document)
    return Edited(place, document, document)
