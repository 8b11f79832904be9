# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the globs of GOPRIVATE, GONOPROXY and GONOSUMDB relate to one another. Pure.

A glob is compared with the leading elements of a module path, as many as it has (golang.org/x/mod/module,
MatchPrefixPatterns; path.Match of Go's standard library for one element).
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Sequence, Tuple

from . import grammar

_STAR = "*"
_ONE = "?"

#: One character, a class as it is written, or one of the two wildcards: (kind, text).
_Token = Tuple[str, str]


def _tokens(element: str) -> List[_Token]:
    found: List[_Token] = []
    at = 0
    while at < len(element):
        char = element[at]
        if char == "\\" and at + 1 < len(element):
            found.append(("char", element[at + 1]))
            at += 2
        elif char == "[" and "]" in element[at + 2 :]:
            end = element.index("]", at + 2)
            found.append(("class", element[at : end + 1]))
            at = end + 1
        else:
            found.append((char, "") if char in (_STAR, _ONE) else ("char", char))
            at += 1
    return found


def _elements(glob: str) -> List[List[_Token]]:
    return [_tokens(element) for element in glob.split("/")]


def _meet(one: Sequence[_Token], two: Sequence[_Token]) -> bool:
    """Whether some text fits both. A class counts as any character: better told once too often."""
    known: Dict[Tuple[int, int], bool] = {}

    def at(i: int, j: int) -> bool:
        if (i, j) not in known:
            known[i, j] = step(i, j)
        return known[i, j]

    def step(i: int, j: int) -> bool:
        if i == len(one) and j == len(two):
            return True
        if i < len(one) and one[i][0] == _STAR:
            return at(i + 1, j) or (j < len(two) and at(i, j + 1))
        if j < len(two) and two[j][0] == _STAR:
            return at(i, j + 1) or (i < len(one) and at(i + 1, j))
        if i == len(one) or j == len(two):
            return False
        same = one[i] == two[j] or one[i][0] != "char" or two[j][0] != "char"
        return same and at(i + 1, j + 1)

    return at(0, 0)


def _holds(wide: Sequence[_Token], narrow: Sequence[_Token]) -> bool:
    """Whether every text that fits narrow fits wide; False where that is hard to tell."""
    known: Dict[Tuple[int, int], bool] = {}

    def at(i: int, j: int) -> bool:
        if (i, j) not in known:
            known[i, j] = step(i, j)
        return known[i, j]

    def step(i: int, j: int) -> bool:
        if i < len(wide) and wide[i][0] == _STAR:
            return at(i + 1, j) or (j < len(narrow) and at(i, j + 1))
        if i == len(wide) or j == len(narrow):
            return i == len(wide) and j == len(narrow)
        fits = narrow[j][0] != _STAR if wide[i][0] == _ONE else wide[i] == narrow[j]
        return fits and at(i + 1, j + 1)

    return at(0, 0)


def split(value: str) -> List[str]:
    """The globs of a list that can match at all."""
    return [glob for glob in grammar.split_globs(value) if grammar.glob_is_valid(glob)]


def overlap(one: str, two: str) -> bool:
    """Whether a module path can match both globs.

    >>> overlap("git.example.com/*", "*.example.com")
    True
    """
    return all(_meet(left, right) for left, right in zip(_elements(one), _elements(two)))


def covers(globs: Iterable[str], glob: str) -> bool:
    """Whether one of the globs matches every module path that glob matches.

    >>> covers(["*.example.com"], "git.example.com/team")
    True
    >>> covers(["git.example.com/team"], "git.example.com")
    False
    """
    wanted = _elements(glob)
    for one in globs:
        parts = _elements(one)
        if len(parts) <= len(wanted) and all(_holds(wide, narrow) for wide, narrow in zip(parts, wanted)):
            return True
    return False


def uncovered(globs: Sequence[str], wanted: Iterable[str]) -> List[str]:
    """Those of the wanted globs that the list does not cover."""
    return [glob for glob in wanted if not covers(globs, glob)]
