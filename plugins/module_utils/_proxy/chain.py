# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A GOPROXY value as a chain of elements, and how Go walks it (cmd/go/internal/modfetch/proxy.go)."""

from __future__ import annotations

import re
from typing import Callable, List, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

from .._go import grammar
from .._go.mask import mask_value
from .._go.rules import PUBLIC_HOSTS

#: Kinds of elements. NOPROXY: what Go puts in front of the list where GONOPROXY is set.
NOPROXY = "noproxy"
HTTP = "http"
FILE = "file"
DIRECT = "direct"
OFF = "off"


class Element(NamedTuple):
    """One step of the chain.

    number: from 1 as written; 0 for NOPROXY. url: as Go asks it, may hold a password. shown: fit to be shown.
    falls_back: whether a ``|`` follows, so that any error leads on; else only 404 and 410 do.
    """

    number: int
    kind: str
    url: str
    shown: str
    falls_back: bool

    @property
    def host(self) -> str:
        """The host of an HTTP element in lower case, else an empty text."""
        return (urlsplit(self.url).hostname or "") if self.kind == HTTP else ""

    @property
    def public(self) -> bool:
        """Whether it is a proxy for everybody."""
        return self.host in PUBLIC_HOSTS


class Chain(NamedTuple):
    """elements: as Go walks them. What follows ``direct`` or ``off`` is none.

    error: why Go refuses the whole value (then it fetches nothing at all), or an empty text.
    """

    elements: Tuple[Element, ...]
    error: str


def parse(value: str, gonoproxy: str = "") -> Chain:
    """The chain of a GOPROXY value (modfetch.proxyList). Never raises."""
    elements: List[Element] = []
    if gonoproxy and value != "direct":
        elements.append(Element(0, NOPROXY, NOPROXY, NOPROXY, False))
    number = 0
    for entry in grammar.split_goproxy(value):
        if not entry.text:
            continue
        number += 1
        if entry.text in (DIRECT, OFF):
            elements.append(Element(number, entry.text, entry.text, entry.text, False))
            return Chain(tuple(elements), "")
        url = grammar.proxy_url(entry.text)
        shown = mask_value("GOPROXY", url)
        problem = url_problem(url)
        if problem:
            return Chain(tuple(elements), "%s: %s" % (problem, shown))
        kind = FILE if url.lower().startswith("file:") else HTTP
        elements.append(Element(number, kind, url, shown, entry.separator == "|"))
    if not number:
        return Chain((), "GOPROXY list is not the empty string, but contains no entries")
    return Chain(tuple(elements), "")


def url_problem(url: str) -> str:
    """Why Go refuses the URL of a proxy (net/url.Parse, modfetch.newProxyRepo), or an empty text. Never raises."""
    if re.search(r"[\x00-\x1f\x7f]", url):
        return "invalid control character in URL"
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.\-]*):", url)
    if scheme is None:
        return "invalid proxy URL missing scheme"
    name = scheme.group(1).lower()
    try:
        parts = urlsplit(url)
        if name in ("http", "https"):
            parts.port  # noqa: B018  (raises ValueError)
    except ValueError:
        return "URL with an invalid host or port"
    if name not in ("http", "https", "file"):
        return "invalid proxy URL scheme (must be https, http, file)"
    host = parts.netloc.rpartition("@")[2]
    if re.search(r"[\s<>\"]", host) or re.search(r"%(?![0-9A-Fa-f]{2})", parts.path):
        return "URL with an invalid host or path"
    if name == "file" and (parts.netloc or parts.query or parts.fragment or not parts.path.startswith("/")):
        return "invalid file:// proxy URL with non-path elements"
    return ""


# GONOPROXY, GONOSUMDB


def _glob(pattern: str) -> re.Pattern[str]:
    # path.Match: no "*" or "?" crosses a slash, "^" negates a class, a backslash escapes
    out: List[str] = []
    at, in_class, fresh = 0, False, False
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
            out.append(re.escape(pattern[at : at + 1]))
            fresh = False
        elif in_class:
            if char == "]" and not fresh:
                in_class = False
                out.append("]")
            elif char == "^" and fresh and out[-1] == "[":
                out.append("^")
                at += 1
                continue
            else:
                out.append(char if char == "-" else re.escape(char))
                fresh = False
        elif char == "[":
            in_class = fresh = True
            out.append("[")
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)))
        at += 1
    return re.compile("".join(out) + r"\Z", re.DOTALL)


def matches(globs: str, path: str) -> bool:
    """Whether a list of globs matches a prefix of the module path (golang.org/x/mod/module.MatchPrefixPatterns).

    Malformed globs match nothing. Never raises.
    """
    parts = path.split("/")
    for glob in globs.split(","):
        glob = glob[:-1] if glob.endswith("/") else glob
        if not glob:
            continue
        wanted = glob.count("/") + 1
        if wanted > len(parts) or not grammar.glob_is_valid(glob):
            continue
        prefix = "/".join(parts[:wanted])
        try:
            if _glob(glob).match(prefix):
                return True
        except re.error:  # a range with its ends swapped, which matches nothing in Go
            continue
    return False


# Walking

#: What an element said. MISSING leads on behind any separator, FAILED only behind ``|``, UNKNOWN was not asked or told,
#: HANGS is no answer at all, for which Go waits whatever follows.
FOUND = "found"
MISSING = "missing"
FAILED = "failed"
HANGS = "hangs"
UNKNOWN = "unknown"


class Answer(NamedTuple):
    """What one element said to one question: state, and text, the reason fit to be shown."""

    state: str
    text: str


class Step(NamedTuple):
    """One element that was asked, what it said, and whether Go goes on."""

    element: Element
    answer: Answer
    goes_on: bool


class Walk(NamedTuple):
    """The way of one question along the chain. by: who answered it; None where the question fails or is unknown.

    state: FOUND, FAILED, HANGS or UNKNOWN. text: for FAILED the error that Go reports.
    """

    steps: Tuple[Step, ...]
    by: Optional[Element]
    state: str
    text: str
    missing: bool = False


def walk(chain: Chain, ask: Callable[[Element], Answer]) -> Walk:
    """Asks the elements one after the other, as modfetch.TryProxies does, until one answers or the chain ends.

    Of several errors Go reports that of direct first, then one that is no 404 or 410, then the last.
    """
    if chain.error:
        return Walk((), None, FAILED, chain.error)
    steps: List[Step] = []
    best, rank, best_missing = "", 0, True
    for element in chain.elements:
        answer = ask(element)
        if answer.state in (FOUND, HANGS, UNKNOWN):
            steps.append(Step(element, answer, False))
            by = element if answer.state == FOUND else None
            return Walk(tuple(steps), by, answer.state, answer.text)
        missing = answer.state == MISSING
        if element.kind == DIRECT:
            best, rank, best_missing = answer.text, 2, missing
        elif rank <= 1 and not missing:
            best, rank, best_missing = answer.text, 1, False
        elif rank == 0:
            best, best_missing = answer.text, missing
        goes_on = element.falls_back or missing
        steps.append(Step(element, answer, goes_on and element is not chain.elements[-1]))
        if not goes_on:
            break
    return Walk(tuple(steps), None, FAILED, best, best_missing)
