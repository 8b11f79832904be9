# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes, ages, shares and dates as people write them; nonsense is refused with the key that held it."""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple, Optional, Union

# ASCII: other alphabets have digits, and letters that count as k or s when case is ignored.
_FLAGS = re.IGNORECASE | re.ASCII
_SIZE = re.compile(r"([0-9]{1,20})(\.[0-9]{1,9})?\s*([kmgtp]?)(i?)(b?)\Z", _FLAGS)
_AGE_PART = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*(w|d|h|m|s)", _FLAGS)
_AGE = re.compile(r"(?:[0-9]{1,20}(?:\.[0-9]{1,9})?\s*(?:w|d|h|m|s)\s*)+\Z", _FLAGS)
_NUMBER = re.compile(r"[0-9]{1,20}\Z")
_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_LONGEST = 100 * 365 * 86400


class BadPolicy(ValueError):
    """A policy that says something impossible: ``key`` is the offending key's path, as in ``caches[0].max_age``."""

    def __init__(self, key: str, value: object, problem: str, hint: str = "") -> None:
        text = "%s: %s (got %r)" % (key, problem, value)
        super().__init__(text + ("; " + hint if hint else ""))
        self.key = key


class Share(NamedTuple):
    """An amount of a file system: ``bytes`` absolute or ``percent`` of its size; exactly one is set."""

    amount: Optional[int]
    percent: Optional[float]

    def of(self, total: int) -> int:
        """The amount in the unit of *total*."""
        if self.amount is not None:
            return self.amount
        return int(total * (self.percent or 0.0) / 100.0)

    def __str__(self) -> str:
        return str(self.amount) if self.amount is not None else "%.15g%%" % (self.percent or 0.0)


def size(value: object, key: str) -> int:
    """Bytes from ``20GiB``, ``500MB``, ``1.5G`` (binary, as du and systemd take it) or a number of bytes.

    Raises BadPolicy.
    """
    hint = "write it as 20GiB, 500MB or a number of bytes"
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise BadPolicy(key, value, "not a size", hint)
    if isinstance(value, int):
        if value < 0:
            raise BadPolicy(key, value, "a size cannot be negative", hint)
        return value
    match = _SIZE.match(value.strip())
    if match is None:
        raise BadPolicy(key, value, "not a size", hint)
    number, fraction, unit, binary, b = match.groups()
    if binary and not unit:
        raise BadPolicy(key, value, "not a size", hint)
    base = 1000 if unit and b and not binary else 1024
    factor: int = base ** ("kmgtp".index(unit.lower()) + 1 if unit else 0)
    return int(number) * factor + int(float(fraction or 0) * factor)


def age(value: object, key: str) -> int:
    """Seconds from ``24h``, ``14d``, ``1d12h``, ``90m`` or a number of seconds. Raises BadPolicy."""
    hint = "write it as 24h, 14d, 1d12h or a number of seconds"
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise BadPolicy(key, value, "not an age", hint)
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.match(text):
            seconds: Union[int, float] = int(text)
        elif _AGE.match(text):
            seconds = sum(float(n) * _SECONDS[u.lower()] for n, u in _AGE_PART.findall(text))
        else:
            raise BadPolicy(key, value, "not an age", hint)
    else:
        seconds = value
    if seconds < 0:
        raise BadPolicy(key, value, "an age cannot be negative", hint)
    if seconds > _LONGEST:
        raise BadPolicy(key, value, "an age of more than 100 years", hint)
    return int(seconds)


def share(value: object, key: str) -> Share:
    """An amount of a file system from ``15%``, ``50GiB`` or a number (bytes or inodes). Raises BadPolicy."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            percent = float(value.strip()[:-1])
        except ValueError:
            raise BadPolicy(key, value, "not a share", "write it as 15% or 50GiB") from None
        if not 0 < percent < 100:
            raise BadPolicy(key, value, "a share must lie between 0% and 100%, both excluded")
        return Share(None, percent)
    return Share(size(value, key), None)


def date(value: object, key: str) -> int:
    """Unix seconds from ``2026-11-01`` or ``2026-11-01T12:00:00Z`` (UTC where no offset is given). Raises BadPolicy."""
    hint = "write it as 2026-11-01 or 2026-11-01T12:00:00Z"
    if isinstance(value, datetime.datetime):
        moment = value
    elif isinstance(value, datetime.date):
        moment = datetime.datetime(value.year, value.month, value.day)
    elif isinstance(value, str):
        try:
            moment = datetime.datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            raise BadPolicy(key, value, "not a date", hint) from None
    else:
        raise BadPolicy(key, value, "not a date", hint)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp())


def iso(moment: int) -> str:
    """Unix seconds as a date that :func:`date` reads."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def human(amount: int) -> str:
    """Bytes for people: ``1.2 GiB``."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return "%d %s" % (value, unit) if unit == "B" else "%.1f %s" % (value, unit)
        value /= 1024
    return ""


def human_age(seconds: float) -> str:
    """Seconds for people, with one unit: ``36h``, ``14d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return "%d%s" % (seconds // length, unit)
    return "%ds" % seconds
