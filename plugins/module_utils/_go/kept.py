# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an edit of credentials may leave behind so that it can be taken back: never a secret.

An entry that was added can go again, if it is still the one that was written. It is known by a salted hash, as a login
is known by its line in shadow(5). An entry that held a secret before cannot come back, because nobody kept it. A GOAUTH
header whose secret is in a file or comes from a program holds none itself, and can.

Values are either such a hash ("#salt$hash") or a header's words as JSON ("[...]").
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from typing import Iterable, Mapping, NamedTuple, Optional

from .._core.document import read_json
from . import goauth, netrc
from .mask import MASK

#: Rounds of PBKDF2-HMAC-SHA256 (RFC 8018): some 0.1 seconds for each guess of a password.
ROUNDS = 200_000

NETRC = "netrc"
GOAUTH = "goauth"
KINDS = (NETRC, GOAUTH)

_BETWEEN = {NETRC: " login ", GOAUTH: " "}


class Credential(NamedTuple):
    """One entry as it is in a file. secret: all of it. words: those of a header without a secret, as JSON, else ''."""

    secret: str
    words: str = ""


def of_netrc(data: bytes | None) -> dict[str, Credential]:
    """The entries of a .netrc file by name, "HOST login NAME"; those that look alike are one."""
    found: dict[str, list[list[str | None]]] = {}
    for block in netrc.parse(netrc.text_of(data)).blocks:
        if block.machine:
            name = block.machine + _BETWEEN[NETRC] + netrc.shown_login(block.value("login") or "")
            found.setdefault(name, []).append([block.value(key) for key in ("login", "password", "account")])
    return {name: Credential(json.dumps(rows)) for name, rows in found.items()}


def of_goauth(data: bytes | None) -> dict[str, Credential]:
    """The headers of a GOAUTH helper by name, "URL HEADER". Raises netrc.Refused."""
    found: dict[str, Credential] = {}
    for header in goauth.parse(data):
        words = json.dumps(header.words)
        name = header.url + _BETWEEN[GOAUTH] + header.name.title()
        found[name] = Credential(words, "" if header.words[0] == "text" else words)
    return found


_READERS = {NETRC: of_netrc, GOAUTH: of_goauth}


@lru_cache(maxsize=1024)
def _mark(secret: str, salt: str) -> str:
    data = secret.encode("utf-8", "surrogateescape")
    digest = hashlib.pbkdf2_hmac("sha256", data, salt.encode("ascii"), ROUNDS, 16)
    return "#%s$%s" % (salt, digest.hex())


def _is_mark(value: str | None) -> bool:
    return value is not None and value.startswith("#")


def differences(kind: str, before: bytes | None, after: bytes | None) -> tuple[dict[str, str], dict[str, str]]:
    """The values of the entries that are not the same before and after an edit. Raises netrc.Refused."""
    old, new = _READERS[kind](before), _READERS[kind](after)
    salt = os.urandom(16).hex()
    result: list[dict[str, str]] = []
    for found, other in ((old, new), (new, old)):
        differ = {name: one for name, one in found.items() if other.get(name) != one}
        result.append({name: one.words or _mark(one.secret, salt) for name, one in differ.items()})
    return result[0], result[1]


def gone(kind: str, before: Mapping[str, Optional[str]]) -> list[str]:
    """The names, of those that an edit changed, of entries that cannot come back: the values before held secrets.

    With them all others of the same host or URL: without what was there in their place they better stay.
    """
    groups = {_group(kind, name) for name, value in before.items() if _is_mark(value)}
    return [name for name in before if _group(kind, name) in groups]


def _group(kind: str, name: str) -> str:
    return name.split(" ", 1)[0]


def values(kind: str, data: bytes | None, expected: Mapping[str, Optional[str]]) -> dict[str, str | None]:
    """The values that the expected entries have now, fit to be compared with these. Raises netrc.Refused."""
    found = _READERS[kind](data)
    result: dict[str, str | None] = {}
    for name, value in expected.items():
        one = found.get(name)
        if one is not None:
            salt = (value or "")[1:].partition("$")[0] if _is_mark(value) else ""
            result[name] = one.words or (_mark(one.secret, salt) if salt else "#")
    return result


def put_back(kind: str, data: bytes | None, changes: Mapping[str, Optional[str]]) -> bytes | None:
    """The file without the entries whose change is None, and with the headers that are given. Raises netrc.Refused."""
    for name in (name for name, value in changes.items() if value is None):
        place, _between, what = name.partition(_BETWEEN[kind])
        if kind == GOAUTH:
            data = goauth.drop(data, place, what)
            continue
        for login in _logins(data, name):
            data = netrc.drop(data, place, login)
    for name, value in changes.items():
        if value is not None:
            data = goauth.put(data, _header(name, value), exclusive=False)
    return data


def _logins(data: bytes | None, name: str) -> Iterable[str]:
    blocks = netrc.parse(netrc.text_of(data)).blocks
    logins = {(block.machine or "", block.value("login") or "") for block in blocks}
    return sorted(
        login for place, login in logins if login and place + _BETWEEN[NETRC] + netrc.shown_login(login) == name
    )


def _header(name: str, value: str) -> goauth.Header:
    try:
        words = read_json(value)
    except ValueError:
        words = None
    if not isinstance(words, list) or words[:1] not in (["file"], ["run"]) or len(words) < 4:
        raise netrc.Refused("record", "the record of %s is damaged" % name, "set it with goauth_entry")
    return goauth.Header(name.partition(_BETWEEN[GOAUTH])[0], tuple(map(str, words)))


def shown(value: str | None) -> str | None:
    """The value, fit to be shown."""
    if value is None or _is_mark(value):
        return None if value is None else MASK
    seen = goauth.describe(_header("", value))
    return "%s %s from %s %s" % (seen.kind, (seen.login + ":" if seen.login else "") + MASK, seen.source, seen.place)
