# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The accounts of the host.

Account names come from /etc/passwd, which is a file: it cannot hang and is not as long as a company directory.
A name or uid that it does not know is looked up through NSS, one by one, with a time limit; NSS is never enumerated.
"""

from __future__ import annotations

import os
import pwd
import stat
from typing import Iterable, Mapping, NamedTuple

from .files import as_account, list_names, read_file

#: Seconds for one look-up in NSS (a directory server that is down).
NSS_TIMEOUT = 5.0
#: A host with more accounts than this is looked at only as far as they are asked for.
MAX_ACCOUNTS = 5000

#: What an account has in its home once Go has run there (relative paths).
TRACES = (".config/go/env", ".cache/go-build", "go/pkg/mod", "go/pkg/sumdb", "sdk", ".config/go/telemetry")


class Account(NamedTuple):
    """A local user. home is absolute, or empty where the account has none."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str = ""


class Missing(NamedTuple):
    """An account that could not be had, and why."""

    name: str
    reason: str


def _parse_passwd(data: bytes) -> list[Account]:
    result: list[Account] = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.split(":")
        if len(fields) != 7 or not fields[0] or fields[0][0] in "+-#":
            continue
        try:
            uid, gid = int(fields[2]), int(fields[3])
        except ValueError:
            continue
        home = fields[5] if fields[5].startswith("/") else ""
        result.append(Account(fields[0], uid, gid, home, fields[6]))
    return result


def local(passwd: str = "/etc/passwd") -> list[Account]:
    """The accounts of a passwd file (passwd(5)), in its order. An unreadable file gives none."""
    try:
        return _parse_passwd(read_file(passwd, 8 << 20))[:MAX_ACCOUNTS]
    except OSError:
        return []


def _from_nss(wanted: str | int) -> Account | None:
    def work() -> object:
        try:
            found = pwd.getpwuid(wanted) if isinstance(wanted, int) else pwd.getpwnam(wanted)
        except (KeyError, OverflowError, ValueError):
            return None
        return list(found)

    try:
        row = as_account(os.geteuid(), os.getegid(), work, NSS_TIMEOUT)
    except OSError:
        return None
    if row is None:
        return None
    return Account(row[0], row[2], row[3], row[5] if row[5].startswith("/") else "", row[6])


def lookup(wanted: str | int, known: Iterable[Account] | None = None) -> Account | None:
    """The account with this name or uid ("1000" and 1000 are uids), or None; the caller's own with its own $HOME.

    known: accounts to look through first; without it, /etc/passwd.
    """
    found = registered(wanted, known)
    return _own(found) if found is not None else None


def registered(wanted: str | int, known: Iterable[Account] | None = None) -> Account | None:
    """As lookup(), with the home that the password database gives also to the caller: that of its services."""
    text = str(wanted).strip()
    rows = list(local() if known is None else known)
    for row in rows:
        if row.name == text:
            return row
    number = int(text) if text.isascii() and text.isdigit() else None
    if number is not None:
        for row in rows:
            if row.uid == number:
                return row
    return _from_nss(number if number is not None else text) if text else None


def current(environ: Mapping[str, str] | None = None) -> Account:
    """The account that runs this process. One without a name (a container's uid) gets its number for a name."""
    uid = os.geteuid()
    for row in local():
        if row.uid == uid:
            return _own(row, environ)
    found = _from_nss(uid)
    return _own(found or Account(str(uid), uid, os.getegid(), "", ""), environ)


def _own(account: Account, environ: Mapping[str, str] | None = None) -> Account:
    # For the caller itself $HOME counts, as it does for the go commands that it runs, but only if it is the caller's
    # own: sudo without -H leaves somebody else's there.
    if account.uid != os.geteuid():
        return account
    home = (os.environ if environ is None else environ).get("HOME", "")
    if not home or home == account.home or not os.path.isabs(home):
        return account
    try:
        found = os.stat(home)
    except OSError:
        return account if account.home else Account(account.name, account.uid, account.gid, home, account.shell)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid:
        return Account(account.name, account.uid, account.gid, os.path.normpath(home), account.shell)
    return account


def has_trace(account: Account) -> bool:
    """Whether the account's home exists and shows that Go ran there.

    Homes such as / and /nonexistent are shared by many system accounts: there only what the account owns counts.
    """
    if not account.home or not os.path.isdir(account.home):
        return False
    try:
        shared = os.stat(account.home).st_uid != account.uid
    except OSError:
        return False
    for trace in TRACES:
        try:
            found = os.lstat(os.path.join(account.home, trace))
        except OSError:
            continue
        if not shared or found.st_uid == account.uid:
            return True
    return False


def _home_owners(known: dict[int, Account]) -> list[Account]:
    # Accounts of a company directory have a home here, but no line in /etc/passwd.
    result: list[Account] = []
    try:
        names = list_names("/home", 1000)
    except OSError:
        return result
    for name in names:
        try:
            uid = os.lstat(os.path.join("/home", name)).st_uid
        except OSError:
            continue
        if uid and uid not in known and len(result) < 200:
            account = lookup(uid, ())
            known[uid] = account or Account(str(uid), uid, uid, os.path.join("/home", name), "")
            result.append(known[uid])
    return result


def related(extra_uids: Iterable[int] = ()) -> list[Account]:
    """The accounts that have something to do with Go, the caller first.

    As root: every account whose home shows a trace of Go, and those of extra_uids (services and runners run as them).
    As a plain user: only the caller. Looking creates and changes nothing.
    """
    me = current()
    if os.geteuid() != 0:
        return [me]
    rows = local()
    known: dict[int, Account] = {}
    for row in rows:
        known.setdefault(row.uid, row)
    extra = set(extra_uids)
    result = [me]
    for row in list(known.values()) + _home_owners(known):
        if row.uid != me.uid and (row.uid in extra or has_trace(row)):
            result.append(row)
            extra.discard(row.uid)
    for uid in sorted(extra - {row.uid for row in result}):
        found = lookup(uid, rows)
        result.append(found or Account(str(uid), uid, uid, "", ""))
    return result


def resolve(names: Iterable[str | int]) -> tuple[list[Account], list[Missing]]:
    """The accounts asked for by name or uid, in that order and once each, and those that do not exist."""
    rows = local()
    found: list[Account] = []
    missing: list[Missing] = []
    for name in names:
        account = lookup(name, rows)
        if account is None:
            missing.append(Missing(str(name), "no account with this name or uid on this host; check the spelling"))
        elif all(account.uid != other.uid or account.name != other.name for other in found):
            found.append(account)
    return found, missing
