# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy document: what to keep. One document, one meaning, at every door.

:func:`parse` turns the plain data that a person wrote (YAML, JSON) into a :class:`Policy` or raises
:class:`~.units.BadPolicy` with the path of the key that is wrong. Nothing is guessed and nothing unknown is ignored.
"""

from __future__ import annotations

import difflib
import json
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from .units import BadPolicy, Share, age, date, share, size

FLOOR_DEFAULT = 24 * 3600
FLOOR_LEAST = 3600
TIME_LIMIT_DEFAULT = 600

_LIMITS = ("max_age", "max_size", "max_size_each", "max_entries", "evict_before", "modules", "wipe")
_TOP = frozenset(("floor", "time_limit", "when", "until", "caches", "evict_first", "private", "keep", "idle", *_LIMITS))
_RULE = frozenset(("kind", "keep", "match", *_LIMITS))
_WHEN = ("free_space_below", "free_inodes_below")
_UNTIL = ("free_space_above", "free_inodes_above")

# Acts only on a disk that fills up; then what was not used for long goes first. Useful and safe without any variable.
DEFAULT: Mapping[str, Any] = {
    "floor": "24h",
    "time_limit": "10m",
    "when": {"free_space_below": "15%", "free_inodes_below": "10%"},
    "until": {"free_space_above": "25%", "free_inodes_above": "15%"},
    "caches": [{"kind": "go-build", "max_age": "10d"}, {"kind": "go-mod", "max_age": "60d"}],
    "evict_first": "oldest",
}


class Marks(NamedTuple):
    """A start or stop mark: free space in bytes or percent, free inodes in number or percent; None: not asked."""

    space: Optional[Share]
    inodes: Optional[Share]


class Rule(NamedTuple):
    """What one entry of ``caches`` asks for one kind; ages in seconds, sizes in bytes, None where not asked."""

    kind: str
    max_age: Optional[int]
    max_size: Optional[int]
    max_size_each: Optional[int]
    max_entries: Optional[int]
    evict_before: Optional[int]
    modules: Tuple[str, ...]
    keep: Tuple[str, ...]
    match: Tuple[str, ...]
    wipe: bool

    @property
    def limits(self) -> bool:
        """Whether the rule asks for anything but keeping."""
        asked = (self.max_age, self.max_size, self.max_size_each, self.max_entries, self.evict_before)
        return self.wipe or bool(self.modules) or any(value is not None for value in asked)


class Policy(NamedTuple):
    """A checked policy; ``private`` is None where the document does not say what is private."""

    floor: int
    time_limit: int
    when: Optional[Marks]
    until: Optional[Marks]
    rules: Tuple[Rule, ...]
    cheapest_first: bool
    private: Optional[Tuple[str, ...]]
    keep: Tuple[str, ...]
    idle: str

    def document(self) -> Dict[str, Any]:
        """The policy as plain data in one canonical form: equal policies give equal documents."""
        return {
            "floor": self.floor,
            "when": None if self.when is None else [None if m is None else str(m) for m in self.when],
            "until": None if self.until is None else [None if m is None else str(m) for m in self.until],
            "rules": [dict(rule._asdict()) for rule in self.rules],
            "cheapest_first": self.cheapest_first,
            "private": self.private,
            "keep": self.keep,
            "idle": self.idle,
        }

    def canonical(self) -> str:
        """The document as canonical JSON."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":"))


def _mapping(value: object, key: str, allowed: Iterable[str]) -> Dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadPolicy(key or "policy", value, "not a mapping of keys to values")
    allowed = tuple(allowed)
    for name in value:
        if name not in allowed:
            near = difflib.get_close_matches(str(name), allowed, 1)
            hint = "did you mean %s?" % near[0] if near else "known here: %s" % ", ".join(sorted(allowed))
            raise BadPolicy("%s.%s" % (key, name) if key else str(name), value[name], "unknown key", hint)
    return {str(name): item for name, item in value.items() if item is not None}


def _texts(value: object, key: str) -> Tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise BadPolicy(key, value, "not a list of names")
    found = []
    for i, item in enumerate(value):
        where = "%s[%d]" % (key, i)
        if not isinstance(item, str) or not item.strip():
            raise BadPolicy(where, item, "an empty name" if isinstance(item, str) else "not a name")
        if item != item.strip() or any(c in item for c in " \t\n,"):
            raise BadPolicy(where, item, "a name with a blank or a comma in it", "give one name per list item")
        found.append(item)
    return tuple(found)


def _patterns(value: object, key: str) -> Tuple[str, ...]:
    found = _texts(value, key)
    for i, item in enumerate(found):
        where = "%s[%d]" % (key, i)
        if item.count("@") > 1 or item.startswith("@") or item.endswith("@"):
            raise BadPolicy(
                where,
                item,
                "not a module pattern",
                "write it as example.com/mod@v1.2.3, example.com/mod@* or example.com/*",
            )
        if "://" in item or "\\" in item:
            raise BadPolicy(where, item, "not a module path", "write it without https:// and without backslashes")
        if item.count("[") != item.count("]"):
            raise BadPolicy(where, item, "a pattern with an unclosed bracket")
    return found


def _marks(value: object, key: str, names: Tuple[str, str]) -> Marks:
    data = _mapping(value, key, names)
    if not data:
        raise BadPolicy(key, value, "no mark in it", "give %s or %s, or leave %s out" % (names[0], names[1], key))
    return Marks(*(share(data[n], "%s.%s" % (key, n)) if n in data else None for n in names))


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise BadPolicy(key, value, "not true or false")
    return value


def _rule(data: Mapping[str, Any], key: str, kind: str) -> Rule:
    def path(name: str) -> str:
        return "%s.%s" % (key, name) if key else name

    def opt(name: str, convert: Any) -> Any:
        return convert(data[name], path(name)) if name in data else None

    entries = data.get("max_entries")
    if entries is not None and (isinstance(entries, bool) or not isinstance(entries, int) or entries < 0):
        raise BadPolicy(path("max_entries"), entries, "not a number of entries")
    rule = Rule(
        kind,
        opt("max_age", age),
        opt("max_size", size),
        opt("max_size_each", size),
        entries,
        opt("evict_before", date),
        _patterns(data["modules"], path("modules")) if "modules" in data else (),
        _patterns(data["keep"], path("keep")) if "keep" in data else (),
        _patterns(data["match"], path("match")) if "match" in data else (),
        _flag(data["wipe"], path("wipe")) if "wipe" in data else False,
    )
    for name in ("max_size", "max_size_each", "max_entries"):
        if rule.match and getattr(rule, name) is not None:
            raise BadPolicy(path(name), data[name], "a budget for a part of a cache", "leave out match, or use max_age")
    if rule.wipe and rule._replace(wipe=False).limits:
        raise BadPolicy(
            path("wipe"), True, "a wipe together with another limit", "a wipe takes all: leave the limits out"
        )
    return rule


def parse(document: object, kinds: Iterable[str]) -> Policy:
    """Checks a policy *document* (plain data) against the known *kinds*.

    Limits at the top (``max_age`` ...) are a rule for every kind that has no entry in ``caches``. Raises BadPolicy.
    """
    kinds = tuple(kinds)
    data = _completed(_mapping(document, "", _TOP))
    floor = age(data["floor"], "floor") if "floor" in data else FLOOR_DEFAULT
    idle = data.get("idle", "")
    if idle not in ("", "scan", "asserted"):
        raise BadPolicy(
            "idle",
            idle,
            "not a proof of idleness",
            "scan (look for running Go tools as root) or asserted (you drained the agent)",
        )
    if floor < FLOOR_LEAST and not idle:
        raise BadPolicy(
            "floor",
            data["floor"],
            "a floor below %d seconds, in which running builds would lose what they use" % FLOOR_LEAST,
            "raise it, or prove that the agent is idle (idle: scan, or idle: asserted after a drain)",
        )
    limit = age(data["time_limit"], "time_limit") if "time_limit" in data else TIME_LIMIT_DEFAULT
    if limit < 1:
        raise BadPolicy("time_limit", data["time_limit"], "no time at all")
    when = _marks(data["when"], "when", _WHEN) if "when" in data else None
    until = _marks(data["until"], "until", _UNTIL) if "until" in data else None
    _compare(when, until)
    first = data.get("evict_first", "oldest")
    if first not in ("cheapest", "oldest"):
        raise BadPolicy("evict_first", first, "not an order", "cheapest or oldest")
    rules = _rules(data, kinds)
    return Policy(
        floor,
        limit,
        when,
        until,
        rules,
        first == "cheapest",
        _texts(data["private"], "private") if "private" in data else None,
        _patterns(data["keep"], "keep") if "keep" in data else (),
        str(idle),
    )


def _completed(data: Dict[str, Any]) -> Dict[str, Any]:
    """A policy that says nowhere what to evict takes the default's rules, and its marks unless it has its own."""
    if "caches" in data or any(name in data for name in _LIMITS):
        return data
    data = dict(data, caches=DEFAULT["caches"])
    if "when" not in data and "until" not in data:
        data.update(when=DEFAULT["when"], until=DEFAULT["until"])
    return data


def _rules(data: Mapping[str, Any], kinds: Tuple[str, ...]) -> Tuple[Rule, ...]:
    rules: List[Rule] = []
    top = {name: data[name] for name in _LIMITS if name in data}
    items = data.get("caches", [])
    if not isinstance(items, (list, tuple)):
        raise BadPolicy("caches", items, "not a list of rules")
    for i, item in enumerate(items):
        key = "caches[%d]" % i
        rule = _mapping(item, key, _RULE)
        kind = rule.get("kind")
        if kind not in kinds:
            raise BadPolicy(key + ".kind", kind, "not a kind of cache", "known: %s" % ", ".join(kinds))
        if "match" not in rule and not any(name in rule for name in _LIMITS):
            rule = dict(top, **rule)  # a rule that only keeps does not lift the limits at the top
        rules.append(_rule(rule, key, str(kind)))
    if top:
        named = {rule.kind for rule in rules if not rule.match}
        for kind in kinds:
            if kind not in named:
                rules.append(_rule(top, "", kind))
    seen: Dict[Tuple[str, Tuple[str, ...]], int] = {}
    for i, parsed in enumerate(rules):
        mark = (parsed.kind, parsed.match)
        if mark in seen:
            raise BadPolicy(
                "caches[%d].kind" % i,
                parsed.kind,
                "a second rule for the same kind",
                "put its limits into caches[%d]" % seen[mark],
            )
        seen[mark] = i
    return tuple(rules)


def _compare(when: Optional[Marks], until: Optional[Marks]) -> None:
    if when is None or until is None:
        return
    for start, stop, name in (
        (when.space, until.space, "free_space_above"),
        (when.inodes, until.inodes, "free_inodes_above"),
    ):
        if start is None or stop is None:
            continue
        for a, b in ((start.percent, stop.percent), (start.amount, stop.amount)):
            if a is not None and b is not None and b <= a:
                raise BadPolicy(
                    "until." + name, str(stop), "a stop mark that is not above the start mark %s" % (str(start),)
                )
