# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Name patterns of a policy, matched against labels such as ``example.com/mod@v1.2.3``."""

from __future__ import annotations

import functools
import re
from typing import Iterable, Iterator, List, Optional, Pattern, Tuple


def _split(pattern: str) -> Tuple[List[str], str]:
    path, _at, version = pattern.partition("@")
    return path.strip("/").split("/"), version or "*"


@functools.lru_cache(maxsize=4096)
def _compiled(glob: str) -> Optional[Pattern[str]]:
    """One path element as Go's path.Match reads it (``[^a]`` negates, a backslash escapes; ``[!a]`` negates too).

    None for a malformed pattern, which matches nothing there either.
    """
    out: List[str] = []
    chars = iter(glob)
    for char in chars:
        if char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        elif char == "[":
            found = _class(chars)
            if found is None:
                return None
            out.append(found)
        else:
            char = next(chars, "") if char == "\\" else char
            if not char:
                return None
            out.append(re.escape(char))
    try:
        return re.compile("".join(out) + r"\Z", re.DOTALL)
    except re.error:
        return None


def _class(chars: Iterator[str]) -> Optional[str]:
    """The regular expression of a class of characters whose ``[`` was read; None where its end is missing."""
    inner: List[str] = []
    negated = ""
    for at, char in enumerate(chars):
        if char == "]" and inner:
            return "[%s%s]" % (negated, "".join(inner))
        if at == 0 and char in "^!":
            negated = "^"
        elif char == "-":
            inner.append(char)
        else:
            inner.append(re.escape(next(chars, "") if char == "\\" else char))
    return None


def _matches(name: str, glob: str) -> bool:
    if not any(c in glob for c in "*?[\\"):
        return name == glob
    found = _compiled(glob)
    return found is not None and found.match(name) is not None


def _elements(parts: List[str], names: List[str]) -> bool:
    return len(parts) == len(names) and all(_matches(n, p) for n, p in zip(names, parts))


def names_one(pattern: str) -> bool:
    """Whether a pattern names one thing: an exact path with ``@version`` or ``@*``, no glob in the path."""
    path, at, version = pattern.partition("@")
    if not at or any(c in path for c in "*?[") or path.endswith("..."):
        return False
    return version == "*" or not any(c in version for c in "*?[")


def selects(pattern: str, label: str) -> bool:
    """Whether a pattern that asks for eviction takes *label*.

    ``*`` does not cross a ``/`` in the path, the number of path elements is the pattern's; a path that ends in
    ``/...`` takes everything below it. Without ``@version`` every version is meant.
    """
    parts, version = _split(pattern)
    name, _at, has = label.partition("@")
    names = name.split("/")
    if not _matches(has, version):
        return False
    if parts[-1] == "...":
        return len(names) >= len(parts) - 1 and _elements(parts[:-1], names[: len(parts) - 1])
    return _elements(parts, names)


def protects(pattern: str, label: str) -> bool:
    """Whether a pattern that keeps covers *label*: like GOPRIVATE's globs it matches any path prefix of its length.

    (golang.org/x/mod/module.MatchPrefixPatterns.) A version, where given, must match too.
    """
    parts, version = _split(pattern)
    if parts[-1] == "...":
        parts = parts[:-1]
    name, _at, has = label.partition("@")
    names = name.split("/")
    return _matches(has, version) and len(names) >= len(parts) and _elements(parts, names[: len(parts)])


def any_selects(patterns: Iterable[str], label: str) -> bool:
    """Whether one of *patterns* asks for the eviction of *label*."""
    return any(selects(pattern, label) for pattern in patterns)


def any_protects(patterns: Iterable[str], label: str) -> bool:
    """Whether one of *patterns* keeps *label*."""
    return any(protects(pattern, label) for pattern in patterns)
