# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy document: what to keep. One document, one meaning, at every door.

:func:`parse` turns the plain data that a person wrote (YAML, JSON) into a :class:`Policy` or raises
:class:`~.units.BadPolicy` with the path of the key that is wrong. Nothing is guessed and nothing unknown is ignored.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from .units import BadPolicy, Share, age, date, iso, share, size

FLOOR_DEFAULT = 24 * 3600
FLOOR_LEAST = 3600
TIME_LIMIT_DEFAULT = 600

_LIMITS = (
    "max_age",
    "max_size",
    "max_size_each",
    "max_entries",
    "evict_before",
    "unneeded_for",
    "modules",
    "wipe",
)
_KEEPS = ("keep_needed_by", "keep_newest")
#: Every key of a policy document.
KEYS = frozenset(
    (
        "floor",
        "time_limit",
        "when",
        "until",
        "caches",
        "evict_first",
        "private",
        "keep",
        "idle",
        "busy",
        "quarantine",
        "max_size_all",
        "network_agent",
        *_LIMITS,
        *_KEEPS,
    )
)
_RULE = frozenset(("kind", "keep", "match", *_LIMITS, *_KEEPS))
_BUSY = ("floor", "skip", "wait", "fail")
_WHEN = ("free_space_below", "free_inodes_below")
_UNTIL = ("free_space_above", "free_inodes_above")

# Acts only on a disk that fills up; then what was not used for long goes first. Useful and safe without any variable.
DEFAULT: Mapping[str, Any] = {
    "floor": "24h",
    "time_limit": "10m",
    "when": {"free_space_below": "15%", "free_inodes_below": "10%"},
    "until": {"free_space_above": "25%", "free_inodes_above": "15%"},
    "caches": [
        {"kind": "go-build", "max_age": "10d"},
        {"kind": "go-mod", "max_age": "60d"},
        {"kind": "go-work", "max_age": "1d"},
    ],
    "evict_first": "oldest",
}


class Marks(NamedTuple):
    """A start or stop mark: free space in bytes or percent, free inodes in number or percent; None: not asked."""

    space: Optional[Share]
    inodes: Optional[Share]


def _asked(value: object) -> bool:
    return value is not None and value is not False and value != ()


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
    unneeded_for: Optional[int] = None
    keep_needed_by: Tuple[str, ...] = ()
    keep_newest: Optional[int] = None

    @property
    def limits(self) -> bool:
        """Whether the rule asks for anything but keeping."""
        return any(_asked(getattr(self, name)) for name in _LIMITS)

    def document(self) -> Dict[str, Any]:
        """The rule as a person could have written it, with numbers for ages and sizes."""
        found: Dict[str, Any] = {"kind": self.kind}
        for name in (*_LIMITS, *_KEEPS, "keep", "match"):
            value = getattr(self, name)
            if _asked(value):
                found[name] = list(value) if isinstance(value, tuple) else value
        if self.evict_before is not None:
            found["evict_before"] = iso(self.evict_before)
        return found


class Policy(NamedTuple):
    """A checked policy; ``private`` is None where the document does not say what is private.

    ``busy`` says what becomes of a cache that Go tools use or may use: the floor alone protects it (``floor``), it is
    left alone (``skip``), waited for (``wait``) or the run fails (``fail``). ``quarantine`` is the grace time in
    seconds from which an eviction can be undone (0: evicted at once). ``max_size_all`` caps all caches of all kinds
    together, in bytes. ``network_agent`` is the host name of the one agent that cleans caches on network file systems.
    """

    floor: int
    time_limit: int
    when: Optional[Marks]
    until: Optional[Marks]
    rules: Tuple[Rule, ...]
    cheapest_first: bool
    private: Optional[Tuple[str, ...]]
    keep: Tuple[str, ...]
    idle: str
    busy: str = "floor"
    quarantine: int = 0
    max_size_all: Optional[int] = None
    network_agent: str = ""

    def document(self) -> Dict[str, Any]:
        """The policy as plain data in one canonical form that :func:`parse` takes; equal policies, equal documents.

        The time limit is not part of it: it changes how far a run gets, not what it plans.
        """
        found: Dict[str, Any] = {
            "floor": self.floor,
            "caches": [rule.document() for rule in self.rules],
            "evict_first": "cheapest" if self.cheapest_first else "oldest",
            "idle": self.idle,
            "busy": self.busy,
            "quarantine": self.quarantine,
            "keep": list(self.keep),
            "network_agent": self.network_agent,
        }
        for key, marks, names in (("when", self.when, _WHEN), ("until", self.until, _UNTIL)):
            if marks is not None:
                found[key] = {name: str(mark) for name, mark in zip(names, marks) if mark is not None}
        if self.private is not None:
            found["private"] = list(self.private)
        if self.max_size_all is not None:
            found["max_size_all"] = self.max_size_all
        return found

    def canonical(self) -> str:
        """The document as canonical JSON."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":"))


def _mapping(value: object, key: str, allowed: Iterable[str]) -> Dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadPolicy(key or "policy", value, "not a mapping of keys to values")
    allowed = tuple(allowed)
    for name in value:
        if name not in allowed:
            import difflib  # slow to load, and rarely needed

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


def _count(value: object, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadPolicy(key, value, "not a number of entries")
    return value


def _choice(value: object, key: str, known: Tuple[str, ...]) -> str:
    if value not in known:
        raise BadPolicy(key, value, "not one of the ways known here", "%s or %s" % (", ".join(known[:-1]), known[-1]))
    return str(value)


def _folders(value: object, key: str) -> Tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)) or not value:
        raise BadPolicy(key, value, "not a list of folders")
    found = []
    for i, item in enumerate(value):
        where = "%s[%d]" % (key, i)
        if not isinstance(item, str) or not item.startswith("/") or any(ord(char) < 32 for char in item):
            raise BadPolicy(where, item, "not the absolute path of a folder", "write it as /srv/ci/builds")
        parts = [part for part in item.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            raise BadPolicy(where, item, "not a folder below which projects lie", "write it as /srv/ci/builds")
        found.append("/" + "/".join(parts))
    return tuple(found)


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise BadPolicy(key, value, "not true or false")
    return value


def _rule(data: Mapping[str, Any], key: str, kind: str) -> Rule:
    def path(name: str) -> str:
        return "%s.%s" % (key, name) if key else name

    def opt(name: str, convert: Any) -> Any:
        return convert(data[name], path(name)) if name in data else None

    rule = Rule(
        kind,
        opt("max_age", age),
        opt("max_size", size),
        opt("max_size_each", size),
        opt("max_entries", _count),
        opt("evict_before", date),
        _patterns(data["modules"], path("modules")) if "modules" in data else (),
        _patterns(data["keep"], path("keep")) if "keep" in data else (),
        _patterns(data["match"], path("match")) if "match" in data else (),
        _flag(data["wipe"], path("wipe")) if "wipe" in data else False,
        opt("unneeded_for", age),
        _folders(data["keep_needed_by"], path("keep_needed_by")) if "keep_needed_by" in data else (),
        opt("keep_newest", _count),
    )
    if rule.unneeded_for is not None and not rule.keep_needed_by:
        raise BadPolicy(
            path("unneeded_for"),
            data["unneeded_for"],
            "without roots nothing is known to be unneeded",
            "name the folders of the projects in keep_needed_by",
        )
    for name in ("max_size", "max_size_each", "max_entries"):
        if rule.match and getattr(rule, name) is not None:
            raise BadPolicy(path(name), data[name], "a budget for a part of a cache", "leave out match, or use max_age")
    if rule.wipe and rule._replace(wipe=False).limits:
        raise BadPolicy(
            path("wipe"), True, "a wipe together with another limit", "a wipe takes all: leave the limits out"
        )
    return rule


def parse(document: object, kinds: Iterable[str], apart: Iterable[str] = ()) -> Policy:
    """Checks a policy *document* (plain data) against the known *kinds*.

    Limits at the top (``max_age`` ...) are a rule for every kind that has no entry in ``caches``, but for the kinds
    *apart*, which must be named. Raises BadPolicy.
    """
    kinds = tuple(kinds)
    data = _completed(_mapping(document, "", KEYS))
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
    first = _choice(data.get("evict_first", "oldest"), "evict_first", ("oldest", "cheapest"))
    rules = _rules(data, kinds, tuple(apart))
    network_agent = data.get("network_agent", "")
    if not isinstance(network_agent, str) or network_agent != network_agent.strip() or " " in network_agent:
        raise BadPolicy("network_agent", network_agent, "not the host name of an agent")
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
        _choice(data.get("busy", "floor"), "busy", _BUSY),
        age(data["quarantine"], "quarantine") if "quarantine" in data else 0,
        size(data["max_size_all"], "max_size_all") if "max_size_all" in data else None,
        network_agent,
    )


def _completed(data: Dict[str, Any]) -> Dict[str, Any]:
    """A policy that says nowhere what to evict takes the default's rules, and its marks unless it has its own."""
    if "caches" in data or any(name in data for name in (*_LIMITS, "max_size_all")):
        return data
    data = dict(data, caches=DEFAULT["caches"])
    if "when" not in data and "until" not in data:
        data.update(when=DEFAULT["when"], until=DEFAULT["until"])
    return data


def _rules(data: Mapping[str, Any], kinds: Tuple[str, ...], apart: Tuple[str, ...]) -> Tuple[Rule, ...]:
    rules: List[Rule] = []
    top = {name: data[name] for name in _LIMITS if name in data}
    keeps = {name: data[name] for name in _KEEPS if name in data}
    _rule(keeps, "", "")  # refused under its own name, not a rule's
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
            # A rule that only keeps does not lift the limits at the top.
            rule = dict({} if kind in apart else top, **rule)
        rules.append(_rule(dict(keeps, **rule), key, str(kind)))
    if top:
        named = {rule.kind for rule in rules if not rule.match}
        for kind in kinds:
            if kind not in named and kind not in apart:
                rules.append(_rule(dict(keeps, **top), "", kind))
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
