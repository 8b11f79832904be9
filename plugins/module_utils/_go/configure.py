# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings into Go env files, and what of them really reaches the builds.

Two kinds of file: an account's own env file, and GOROOT/go.env of each toolchain ("the machine"). Both are written with
the rights of their owner. Afterwards our own evaluator tells for each setting whether something stronger hides it: the
environment of a process or a service, or, for the machine, an account's own file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._fs import atomic
from . import accounts, ask, envedit, evaluate, grammar, services, toolchain
from .accounts import Account
from .files import Files, as_account, files_for
from .mask import mask_value

MACHINE = "machine"

#: Seconds that a child with an account's rights may take: longer than it may wait for the lock.
CHILD_SECONDS = 45.0
LOCK_SECONDS = 20.0
#: Accounts whose own files are compared with the machine's settings.
MAX_ACCOUNTS = 50

#: First release that reads GOROOT/go.env.
_GO_ENV_SINCE = (1, 21)
_PLACES = ("GOCACHE", "GOMODCACHE", "GOPATH", "GOBIN", "GOTMPDIR")


class Impossible(Exception):
    """The request cannot be carried out; the text says what, where, why and what to do. Nothing was written."""


@dataclass(frozen=True)
class Target:
    """One file to edit: with the rights of uid and gid. account: whose settings they are, None for a toolchain's."""

    path: str
    uid: int
    gid: int
    account: Optional[Account] = None
    chain: Optional[toolchain.Toolchain] = None


class Skipped(NamedTuple):
    """A toolchain whose go.env is not written, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Override:
    """A setting that does not reach some process.

    name: variable. wanted: what the file says now (masked; None: no line). effective: what wins (masked). origin: as in
    evaluate. where: the winner's file and line, or what sets it. who: whose processes get it.
    """

    name: str
    wanted: Optional[str]
    effective: str
    origin: str
    where: str
    who: str

    def text(self) -> str:
        """One sentence for a person; holds no credentials."""
        wanted = "without a line here" if self.wanted is None else "set to %r here" % self.wanted
        return "%s is %s, but %s use %r from %s, which wins; change it there" % (
            self.name,
            wanted,
            self.who,
            self.effective,
            self.where,
        )


@dataclass
class ReadBack:
    """What the settings are after the edit.

    effective: name -> Setting for the account by itself, without anybody's process environment (empty for the machine).
    asked: the go command that was asked, "" if none; agrees: whether it sees what we see, None where it was not asked
    (reason says why). notes: what could not be looked at. used: False where the file is not the one the account's Go
    reads by default.
    """

    overridden: List[Override] = field(default_factory=list)
    effective: Dict[str, evaluate.Setting] = field(default_factory=dict)
    asked: str = ""
    agrees: Optional[bool] = None
    reason: str = ""
    notes: List[str] = field(default_factory=list)
    used: bool = True


# --- what is asked for -----------------------------------------------------------------------------------------


def prepare(
    settings: Mapping[str, Any], absent: Iterable[str], scope: str
) -> Tuple[Dict[str, str], List[str], List[grammar.Fault]]:
    """The settings as texts, the names to remove, and all that is wrong with either."""
    values: Dict[str, str] = {}
    faults: List[grammar.Fault] = []
    for name in sorted(settings):
        found = grammar.check_name(name)
        if not found or not found[0].certain:
            try:
                values[name] = grammar.to_value(name, settings[name])
                found = found + grammar.check_value(name, values[name])
            except grammar.GrammarError as error:
                found = [*found, error.fault]
        faults.extend(found)
    names = sorted(set(absent))
    for name in names:
        if not re.match(r"^[A-Z][A-Za-z0-9_]*\Z", name):
            faults.append(
                grammar.Fault(
                    name, "name-syntax", "not a name of a variable in a Go env file", "Write it like GOPROXY."
                )
            )
        elif name in settings:
            faults.append(
                grammar.Fault(name, "both", "asked for as a setting and as absent", "Remove it from one of the two.")
            )
        elif scope == MACHINE and name in grammar.GOROOT_DEFAULTS:
            faults.append(
                grammar.Fault(
                    name,
                    "last-default",
                    "GOROOT/go.env is the only place of its default, without the line Go has none",
                    "Set %s to %s, which Go ships." % (name, grammar.GOROOT_DEFAULTS[name]),
                )
            )
    return values, names, faults


# --- where -----------------------------------------------------------------------------------------------------


def find_account(name: Optional[str]) -> Account:
    """The account by name or uid, the caller's without; raises Impossible."""
    me = accounts.current()
    if not name:
        return me
    found = accounts.lookup(name)
    if found is None:
        raise Impossible("account %r: no account with this name or uid on this host; check the spelling" % name)
    if os.geteuid() not in (0, found.uid):
        raise Impossible(
            "account %r: only root can change another account's settings, and this runs as %s (uid %d); use become"
            % (name, me.name, me.uid)
        )
    return found


def environment_of(account: Account) -> Dict[str, str]:
    """The environment that decides where the account's env file is and what hides it.

    For the caller its own process environment; for others what every login session gets from /etc/environment.
    """
    if account.uid == os.geteuid():
        environ = evaluate.interesting(os.environ)
        if environ.get("HOME") != account.home:
            # sudo without -H: neither HOME nor what derives from it is this account's.
            for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "GOENV"):
                environ.pop(name, None)
    else:
        environ, _sources = services.login_environment()
    environ["HOME"] = account.home
    return environ


def account_target(account: Account, path: Optional[str] = None) -> Target:
    """The account's env file, or the one at the path, to be written with the account's rights. Raises Impossible."""
    if not path:
        path, why = evaluate.env_file_of(environment_of(account))
        if why == "off":
            raise Impossible("account %s: GOENV=off in its environment, so Go reads no env file" % account.name)
        if not path:
            reason = "XDG_CONFIG_HOME is a relative path" if why == "relative-xdg" else "it has no home directory"
            raise Impossible("account %s: %s, so it has no Go env file; name one by path" % (account.name, reason))
        if not path.startswith("/"):
            raise Impossible("account %s: GOENV=%s in its environment is a relative path" % (account.name, path))
        if path.startswith(account.home + "/") and not os.path.isdir(account.home):
            raise Impossible(
                "account %s: its home directory %s does not exist, so no Go of its reads an env file there; create the "
                "home, or name a file by path" % (account.name, account.home)
            )
    return Target(path, account.uid, account.gid, account)


def machine_targets(goroots: Sequence[str] = ()) -> Tuple[List[Target], List[Skipped]]:
    """GOROOT/go.env of the given toolchains, or of all that are found on the host; raises Impossible."""
    if goroots:
        chains = []
        for goroot in goroots:
            try:
                chains.append(toolchain.identify(goroot))
            except (OSError, ValueError) as error:
                raise Impossible("%s: not a Go toolchain: %s" % (goroot, error)) from None
    else:
        chains = toolchain.find(accounts.related()[:MAX_ACCOUNTS])
    targets: List[Target] = []
    skipped: List[Skipped] = []
    for chain in chains:
        path = os.path.join(chain.goroot, "go.env")
        if toolchain.release(chain.version) < _GO_ENV_SINCE:
            skipped.append(Skipped(path, "%s does not read it, Go does since 1.21" % chain.version))
        elif "/golang.org/toolchain@" in chain.goroot:
            skipped.append(Skipped(path, "it belongs to a module cache, where a change counts as damage"))
        elif chain.origin == "snap":
            skipped.append(Skipped(path, "a snap is read-only"))
        else:
            gid = os.stat(chain.goroot).st_gid
            targets.append(Target(path, chain.uid, gid, None, chain))
    if not targets:
        raise Impossible(
            "no Go toolchain with a go.env to write was found on this host (%s); install Go first, name it by goroots, "
            "or set the accounts' own settings" % ("; ".join("%s: %s" % item for item in skipped) or "none at all")
        )
    return targets, skipped


# --- writing ---------------------------------------------------------------------------------------------------


def write(target: Target, settings: Mapping[str, str], absent: Sequence[str], check: bool) -> atomic.Change:
    """Sets and removes variables in one file, see edit_file."""
    return edit_file(target, lambda data: envedit.apply(data, settings, absent), check)


def edit_file(target: Target, edit: atomic.Edit, check: bool) -> atomic.Change:
    """Edits one file with its owner's rights, or says in check mode what would be done. Raises atomic.NotWritten."""

    def work() -> Dict[str, Any]:
        try:
            change = atomic.update(target.path, edit, check=check, lock_seconds=LOCK_SECONDS)
        except atomic.NotWritten as error:
            return {"code": error.code, "path": error.path, "reason": error.reason, "hint": error.hint}
        return {"change": atomic.to_json(change)}

    if os.geteuid() == 0 and target.uid != 0:
        try:
            answer = as_account(target.uid, target.gid, work, CHILD_SECONDS)
        except OSError as error:
            reason = "writing as uid %d failed: %s" % (target.uid, error.strerror or error)
            raise atomic.NotWritten("child", target.path, reason, "look at the file and run again") from None
    else:
        answer = work()
    if "change" in answer:
        return atomic.from_json(answer["change"])
    raise atomic.NotWritten(answer["code"], answer["path"], answer["reason"], answer["hint"])


# --- reading back ----------------------------------------------------------------------------------------------


class _Overlay:
    """Files as they are after the edit, also in check mode."""

    def __init__(self, changes: Sequence[atomic.Change], files: Files) -> None:
        self.files = files
        self.content: Dict[str, Optional[bytes]] = {}
        for change in changes:
            self.content[change.path] = change.after
            self.content[change.real_path] = change.after

    def read(self, path: str) -> bytes:
        if path not in self.content:
            return self.files.read(path)
        data = self.content[path]
        if data is None:
            raise FileNotFoundError(2, "no such file", path)
        return data


def read_back_account(
    target: Target,
    change: atomic.Change,
    settings: Mapping[str, str],
    absent: Sequence[str],
    names: Sequence[str] = (),
    goroots: Sequence[str] = (),
) -> ReadBack:
    """What the account's processes see after the edit. names: services to look at besides the CI runners."""
    account = target.account
    if account is None:
        raise ValueError("not an account's target")
    answer = ReadBack()
    files = _Overlay([change], files_for(account.uid, account.gid))
    found = toolchain.find([account], goroots)
    chain = found[0] if found else None
    environ = environment_of(account)
    usual, _why = evaluate.env_file_of(environ)
    answer.used = usual == target.path
    kept = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    bare: Dict[str, str] = {name: value for name, value in environ.items() if name in kept}
    if not answer.used or environ.get("GOENV"):
        bare["GOENV"] = target.path
    alone = evaluate.evaluate(account, bare, chain, fs=files)
    answer.effective = {name: alone.settings[name] for name in settings if name in alone.settings}
    if answer.used:
        mine = account.uid == os.geteuid()
        who = "sessions like this one" if mine else "login sessions"
        source = "the environment of this session" if mine else "/etc/environment"
        seen = evaluate.effective(account, environ, chain, fs=files, source=source)
        answer.overridden += _hidden(settings, absent, seen, who)
    answer.overridden += _hidden_in_services(answer, [account], settings, absent, chain, files, target, names)
    if chain is None:
        answer.reason = "no Go toolchain was found on this host"
    elif alone.env_state == "read":
        said = ask.ask(account, alone, chain, fs=files)
        answer.asked, answer.agrees, answer.reason = chain.exe, said.agrees, said.reason
        wrong = [item for item in said.disagreements if item.name in settings or item.name in absent]
        if said.agrees is False:
            answer.agrees = not wrong
            for item in wrong:
                answer.notes.append(
                    "%s: %s sees %r where %r was written; look at the file by hand"
                    % (item.name, chain.exe, item.theirs, item.ours)
                )
    else:
        answer.reason = "the account has no env file"
    return answer


def read_back_machine(
    targets: Sequence[Target],
    changes: Sequence[atomic.Change],
    settings: Mapping[str, str],
    absent: Sequence[str],
    names: Sequence[str] = (),
) -> ReadBack:
    """What accounts and services see of the toolchains' settings after the edit."""
    answer = ReadBack()
    people = accounts.related()[:MAX_ACCOUNTS]
    seen: Dict[Tuple[str, str, str], Override] = {}
    for target in targets:
        for account in people:
            files = _Overlay(changes, files_for(account.uid, account.gid))
            who = "the builds of account %s" % account.name
            found = evaluate.effective(
                account, environment_of(account), target.chain, fs=files, source="its process environment"
            )
            for item in _hidden(settings, absent, found, who):
                seen.setdefault((item.name, item.who, item.where), item)
    for target in targets[:1]:
        files = _Overlay(changes, files_for(os.geteuid(), os.getegid()))
        for item in _hidden_in_services(answer, people, settings, absent, target.chain, files, target, names):
            seen.setdefault((item.name, item.who, item.where), item)
    answer.overridden = list(seen.values())
    answer.reason = "the machine's settings are compared with each account's and service's own"
    return answer


def _hidden_in_services(
    answer: ReadBack,
    people: Sequence[Account],
    settings: Mapping[str, str],
    absent: Sequence[str],
    chain: Optional[toolchain.Toolchain],
    files: Files,
    target: Target,
    names: Sequence[str],
) -> List[Override]:
    result: List[Override] = []
    by_uid = {person.uid: person for person in people}
    found, notes = services.discover(names)
    answer.notes += notes
    for service in found:
        if service.state == "missing":
            answer.notes.append("%s: %s" % (service.name, "; ".join(service.problems)))
            continue
        if service.uid is not None and service.uid not in by_uid:
            continue
        account = by_uid[service.uid] if service.uid is not None else people[0]
        environ = dict(service.environ)
        if target.account is not None and not answer.used and environ.get("GOENV") != target.path:
            continue  # it reads another file, and nobody expects otherwise
        environ.setdefault("HOME", account.home)
        source = "its process environment (%s)" % (", ".join(service.sources) or service.kind)
        seen = evaluate.effective(account, environ, chain, fs=files, source=source)
        result += _hidden(settings, absent, seen, "the processes of %s" % service.name)
    return result


def _hidden(
    settings: Mapping[str, str], absent: Sequence[str], seen: Mapping[str, evaluate.Setting], who: str
) -> List[Override]:
    result: List[Override] = []
    for name in sorted(settings):
        found = seen.get(name)
        if found is None or settings[name] == "":
            continue  # a variable that this Go does not know, or that falls back to another one
        wanted = mask_value(name, settings[name])
        shown = mask_value(name, found.value)
        if found.value != settings[name] and shown != wanted:
            result.append(Override(name, wanted, shown, found.origin, found.where, who))
    for name in absent:
        found = seen.get(name)
        if found is not None and found.origin == evaluate.PROCESS and found.value:
            result.append(Override(name, None, mask_value(name, found.value), found.origin, found.where, who))
    return result


def hints(values: Mapping[str, str], scope: str) -> List[str]:
    """What is allowed and yet seldom meant, for a warning."""
    result: List[str] = []
    for name in _PLACES:
        if scope == MACHINE and values.get(name):
            result.append(
                "%s=%s for the whole machine gives all accounts one directory, which only its owner can write; set it "
                "per account" % (name, values[name])
            )
    return result
