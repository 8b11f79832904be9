# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment variables of Jenkins' nodes, in ``config.xml`` on the controller or by the controller's API.

They are the node property hudson.slaves.EnvironmentVariablesNodeProperty, an EnvVars (a TreeMap by
String.CASE_INSENSITIVE_ORDER) as XStream serialises it: a number, then names and values in that order. A launcher puts
them over the environment of the agent's process (core hudson/Launcher.java inherit); what a job or a pipeline's
``environment`` sets wins. An empty value counts as none (hudson/EnvVars.java override), as it does to Go.

``$NAME``, ``${NAME}`` and ``$$`` are expanded once or twice, as the kind of job wants
(hudson/model/AbstractBuild.java getEnvironment, hudson/EnvVars.java overrideExpandingAll, hudson/Util.java
replaceMacro). No value that holds them can be right for all jobs, so it is refused.

Jenkins writes XML 1.1, which Python's parser does not read, and everything else in the file has to stay: so the text is
cut at the places of its elements. A document type is refused, and so no entity is ever defined.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import posixpath
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPMessage
from http.cookiejar import CookieJar
from typing import IO, Any, Dict, List, Mapping, NamedTuple, NoReturn, Optional, Sequence, Tuple

from .. import _agents
from .._agents import jenkins as agents
from .._core.document import read_json
from .._go import mask
from . import base, runners

PROPERTY = "hudson.slaves.EnvironmentVariablesNodeProperty"
BUILT_IN = "(built-in)"

LIMIT = 4 << 20
"""Bytes of an answer that are read at most."""
SECONDS = 30.0
"""How long one request may take."""

_MAX_DEPTH = 200
_LIST = "nodeProperties"
_TOKEN = re.compile(
    r"<!--(?:.*?)-->"
    r"|<!\[CDATA\[(?P<cdata>.*?)\]\]>"
    r"|<\?(?P<pi>.*?)\?>"
    r"|</(?P<close>[^\s<>/]+)\s*>"
    r"|<(?P<open>[^\s<>/!?]+)(?P<attributes>(?:\s+[^\s=<>/\"']+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))*)\s*(?P<empty>/?)>",
    re.S,
)
_ENTITY = re.compile(r"&(?:#x([0-9A-Fa-f]{1,6})|#([0-9]{1,7})|([A-Za-z]+));|&")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
# hudson/Util.java VARIABLE
_MACRO = re.compile(r"\$(?:[A-Za-z0-9_]+|\{[A-Za-z0-9_.]+\}|\$)")


class Login(NamedTuple):
    """Who asks which controller. url: its root. token: an API token (or a password, for which a crumb is fetched)."""

    url: str
    username: str = ""
    token: str = ""
    ca_file: str = ""

    def __repr__(self) -> str:
        return "Login(url=%r, username=%r, token=%s)" % (mask.mask(self.url), self.username, mask.MASK)


class _Element:
    """An element and where it stands; inner is where its contents begin, close where its end tag does."""

    def __init__(self, name: str, attributes: str, start: int, inner: int) -> None:
        self.name = name
        self.attributes = attributes
        self.start = start
        self.inner = inner
        self.close = inner
        self.end = inner
        self.text: List[str] = []
        self.children: List[_Element] = []

    def named(self, name: str) -> List[_Element]:
        return [child for child in self.children if child.name == name]


class _Entry(NamedTuple):
    name: str
    value: str
    key: _Element
    content: _Element


class _Map(NamedTuple):
    """The serialised map: its property, its number and its entries; all None where there is none."""

    of: Optional[_Element]
    property: Optional[_Element]
    number: Optional[_Element]
    entries: List[_Entry]


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _unescape(text: str, start: int, end: int) -> str:
    """What stands between two positions, without entities."""

    def one(found: re.Match[str]) -> str:
        hexadecimal, decimal, name = found.groups()
        if name in _ENTITIES:
            return _ENTITIES[name]
        number = int(hexadecimal, 16) if hexadecimal else int(decimal) if decimal else 0
        if not 0 < number < 0x110000 or 0xD800 <= number < 0xE000:
            raise base.BadPlace(
                "line %d: an entity that XML itself does not define; write the sign itself" % _line(text, start)
            )
        return chr(number)

    return _ENTITY.sub(one, text[start:end].replace("\r\n", "\n"))


def escape(text: str) -> str:
    """The text as XStream writes it in XML 1.1; BadPlace for what no XML can hold."""
    parts: List[str] = []
    for sign in text:
        number = ord(sign)
        if number < 32 or number & 0xFFFE == 0xFFFE or 0xD800 <= number < 0xE000:
            raise base.BadPlace("a value holds the sign U+%04X, which XML cannot hold" % number)
        if sign in "&<>\"'":
            parts.append({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}[sign])
        else:
            # XML 1.1 takes these two for line ends, and wants the rest written so.
            parts.append("&#x%x;" % number if 0x7F <= number < 0xA0 or number == 0x2028 else sign)
    return "".join(parts)


def _parse(text: str) -> _Element:
    """The root element. BadPlace for what is no XML, or has a document type."""
    top = _Element("", "", 0, 0)
    stack = [top]
    at = 1 if text.startswith("\ufeff") else 0
    while at < len(text):
        start = text.find("<", at)
        start = len(text) if start < 0 else start
        if start > at:
            stack[-1].text.append(_unescape(text, at, start))
        if start == len(text):
            break
        token = _TOKEN.match(text, start)
        if token is None:
            why = "a document type" if text.startswith("<!DOCTYPE", start) else "a tag that is no XML"
            raise base.BadPlace("line %d: %s; Jenkins writes none, so restore the file" % (_line(text, start), why))
        at = token.end()
        declared = re.match(r"xml\s.*?encoding\s*=\s*[\"']([^\"']*)", token.group("pi") or "", re.S)
        if declared and declared.group(1).lower() not in ("utf-8", "us-ascii"):
            raise base.BadPlace("the file's encoding is %r; only UTF-8 is edited" % declared.group(1))
        if token.group("cdata") is not None:
            stack[-1].text.append(token.group("cdata").replace("\r\n", "\n"))
        elif token.group("open") is not None:
            element = _Element(token.group("open"), token.group("attributes"), start, at)
            stack[-1].children.append(element)
            if not token.group("empty"):
                stack.append(element)
            if len(stack) > _MAX_DEPTH:
                raise base.BadPlace("line %d: nested too deeply" % _line(text, start))
        elif token.group("close") is not None:
            element = stack.pop()
            if element is top or element.name != token.group("close"):
                raise base.BadPlace("line %d: an end tag without its start; restore the file" % _line(text, start))
            element.close, element.end = start, at
    if len(stack) > 1:
        raise base.BadPlace("the file ends within <%s>; restore it" % stack[-1].name)
    if len(top.children) != 1 or "".join(top.text).strip():
        raise base.BadPlace("no XML document with one root element; restore the file")
    return top.children[0]


def _map(root: _Element, text: str) -> _Map:
    lists = root.named(_LIST)
    if not lists:
        return _Map(None, None, None, [])
    properties = lists[0].named(PROPERTY)
    if len(lists) > 1 or len(properties) > 1:
        raise base.BadPlace("the node has more than one list of environment variables; save its page in Jenkins once")
    if not properties:
        return _Map(lists[0], None, None, [])
    maps = [found for vars_ in properties[0].named("envVars") for found in vars_.named("tree-map")]
    counts = maps[0].named("int") if len(maps) == 1 else []
    wrong = base.BadPlace(
        "line %d: the environment variables are not in the form in which Jenkins writes them (a tree-map with a "
        "number, names and values); save the node's page in Jenkins once" % _line(text, properties[0].start)
    )
    if len(counts) != 1:
        raise wrong
    strings = maps[0].children[maps[0].children.index(counts[0]) + 1 :]
    plain = all(item.name == "string" and not item.children and not item.attributes for item in strings)
    count = "".join(counts[0].text).strip()
    if not plain or not re.match(r"[0-9]{1,6}\Z", count) or len(strings) != 2 * int(count):
        raise wrong
    entries = [
        _Entry("".join(key.text), "".join(value.text), key, value) for key, value in zip(strings[0::2], strings[1::2])
    ]
    return _Map(lists[0], properties[0], counts[0], entries)


def read(data: bytes, part: str) -> Dict[str, str]:
    """The variables of the node whose ``config.xml`` this is. BadPlace."""
    text = runners.decode(data)
    return {entry.name: entry.value for entry in _map(_parse(text), text).entries}


def _order(name: str) -> List[str]:
    # String.CASE_INSENSITIVE_ORDER compares sign by sign, the capital of each and then the small letter of that.
    return [sign.upper().lower() for sign in name]


def edit(data: Optional[bytes], part: str, changes: Mapping[str, Optional[str]]) -> Optional[bytes]:
    """The node's ``config.xml`` with the changes; every byte outside its map of variables stays. BadPlace.

    A name replaces one that differs from it in capitals only, as the map holds but one of them.
    """
    where = "node %s" % (part or "without a name")
    runners.check(changes, where)
    if data is None:
        raise base.BadPlace("%s: there is no config.xml; make the node in Jenkins first" % where)
    text = runners.decode(data)
    before = _map(_parse(text), text)
    todo = base.wanted(read(data, part), changes)
    if not todo:
        return data
    new = [name for name in todo if todo[name] is not None]
    if len({name.lower() for name in new}) < len(new):
        raise base.BadPlace("%s: two of the names %s differ in capitals only" % (where, ", ".join(sorted(new))))
    for name in new:
        if _MACRO.search(todo[name] or ""):
            raise base.BadPlace(
                "%s: the value of %s holds a '$' that Jenkins expands, once or twice as the kind of job wants; write "
                "the value without it" % (where, name)
            )
    want = {entry.name: entry.value for entry in before.entries}
    after = text
    for name in sorted(todo):
        value = todo[name]
        if value is None:
            after = _without(after, name)
            want.pop(name, None)
        else:
            after = _with(after, name, value)
            want = {key: item for key, item in want.items() if key.lower() != name.lower()}
            want[name] = value
    result = after.encode("utf-8")
    if read(result, part) != want or _rest(_parse(text)) != _rest(_parse(after)):
        raise base.BadPlace("%s: the variables cannot be changed alone; set them on the node's page in Jenkins" % where)
    return result


def _rest(root: _Element) -> List[Tuple[str, str, str]]:
    """All that is in a document beside the variables."""
    found: List[Tuple[str, str, str]] = []
    todo: List[Tuple[_Element, str]] = [(root, "")]
    while todo:
        element, path = todo.pop()
        path = "%s/%s" % (path, element.name)
        children = element.children
        text = "".join(element.text)
        if path == "/%s/%s" % (root.name, _LIST):
            children = [child for child in children if child.name != PROPERTY]
            text = text.strip()
            if not children and not text:
                continue
        found.append((path, element.attributes, text if not children else text.strip()))
        todo.extend((child, path) for child in children)
    return found


def _gap(text: str, at: int) -> str:
    """The blanks in front of a position."""
    return text[len(text[:at].rstrip(" \t\r\n")) : at]


def _string(value: str) -> str:
    return "<string>%s</string>" % escape(value)


def _with(text: str, name: str, value: str) -> str:
    found = _map(_parse(text), text)
    if found.property is None:
        text = _with_property(text)
        found = _map(_parse(text), text)
    for entry in found.entries:
        if entry.name.lower() == name.lower():
            text = text[: entry.content.start] + _string(value) + text[entry.content.end :]
            if entry.name == name:
                return text
            return text[: entry.key.start] + _string(name) + text[entry.key.end :]
    count = found.number
    if count is None:
        raise base.BadPlace("the environment variables have no number; save the node's page in Jenkins once")
    later = [entry for entry in found.entries if _order(entry.name) > _order(name)]
    if later:
        at = later[0].key.start
        gap = _gap(text, at)
        text = text[:at] + _string(name) + gap + _string(value) + gap + text[at:]
    else:
        gap = _gap(text, count.start)
        at = found.entries[-1].content.end if found.entries else count.end
        text = text[:at] + gap + _string(name) + gap + _string(value) + text[at:]
    return text[: count.start] + "<int>%d</int>" % (len(found.entries) + 1) + text[count.end :]


def _with_property(text: str) -> str:
    """The text with an empty map of variables as the last property of the node."""
    root = _parse(text)
    end = "\r\n" if "\r\n" in text else "\n"
    if not root.named(_LIST):
        if root.close == root.inner and root.end == root.inner:
            raise base.BadPlace("the document says nothing of a node; restore it")
        at = len(text[: root.close].rstrip(" \t\r\n"))
        text = "%s%s  <%s/>%s" % (text[:at], end, _LIST, text[at:])
        root = _parse(text)
    there = root.named(_LIST)[0]
    indent = _gap(text, there.start).rpartition("\n")[2]
    rows = [
        (1, "<%s>" % PROPERTY),
        (2, '<envVars serialization="custom">'),
        (3, "<unserializable-parents/>"),
        (3, "<tree-map>"),
        (4, "<default>"),
        (5, '<comparator class="java.lang.String$CaseInsensitiveComparator"/>'),
        (4, "</default>"),
        (4, "<int>0</int>"),
        (3, "</tree-map>"),
        (2, "</envVars>"),
        (1, "</%s>" % PROPERTY),
    ]
    new = "".join("%s%s%s%s" % (end, indent, "  " * depth, row) for depth, row in rows)
    if there.end == there.inner:  # <nodeProperties/>
        return "%s>%s%s%s</%s>%s" % (
            text[: there.end].rstrip(">").rstrip("/"),
            new,
            end,
            indent,
            _LIST,
            text[there.end :],
        )
    at = there.children[-1].end if there.children else there.inner
    return text[:at] + new + text[at:]


def _without(text: str, name: str) -> str:
    found = _map(_parse(text), text)
    for entry in found.entries:
        if entry.name != name or found.number is None:
            continue
        if len(found.entries) == 1 and found.property is not None and not _referred(text, found.property):
            return _without_property(text)
        gap = _gap(text, entry.key.start)
        between = text[entry.key.end : entry.content.start]
        between = between if between.strip() else ""
        text = text[: entry.key.start - len(gap)] + between + text[entry.content.end :]
        count = found.number
        return text[: count.start] + "<int>%d</int>" % (len(found.entries) - 1) + text[count.end :]
    return text


def _referred(text: str, element: _Element) -> bool:
    """Whether XStream refers from elsewhere to something in the property."""
    pattern = r"reference\s*=\s*[\"'][^\"'<]*%s" % re.escape(PROPERTY)
    return re.search(pattern, text[: element.start] + text[element.end :]) is not None


def _without_property(text: str) -> str:
    there = _map(_parse(text), text)
    if there.property is None or there.of is None:
        return text
    start = there.property.start - len(_gap(text, there.property.start))
    inside = text[there.of.inner : start] + text[there.property.end : there.of.close]
    if inside.strip():
        return text[:start] + text[there.property.end :]
    return text[: there.of.inner - 1] + "/>" + text[there.of.end :]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(login: Login) -> str:
    """The controller's root without a slash at its end. BadPlace where it must not be asked."""
    try:
        parts = urllib.parse.urlsplit(login.url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise base.BadPlace("the controller's URL is not understood; write it as https://host:port/path") from None
    if parts.username is not None or parts.password is not None:
        raise base.BadPlace("the controller's URL holds a user name or password; give them as username and token")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or port == 0:
        raise base.BadPlace("%r is no controller's URL; write it as https://host:port/path" % login.url)
    if re.search(r"[\x00-\x20\x7f]", login.url):
        raise base.BadPlace("the controller's URL holds a blank or a control character; remove it")
    if parts.scheme == "http" and (login.token or login.username) and not _is_loopback(host):
        raise base.BadPlace(
            "%s: an API token would cross the network in the clear; use https, or this host's own address" % login.url
        )
    return login.url.rstrip("/")


def address(url: str, name: str) -> str:
    """Where a controller serves the configuration of the node called *name*."""
    return "%s/computer/%s/config.xml" % (url.rstrip("/"), urllib.parse.quote(name, safe="()"))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Optional[urllib.request.Request]:
        return None


def _opener(login: Login) -> urllib.request.OpenerDirector:
    handlers: List[urllib.request.BaseHandler] = [_NoRedirect(), urllib.request.HTTPCookieProcessor(CookieJar())]
    host = urllib.parse.urlsplit(login.url).hostname or ""
    if login.url.startswith("https:"):
        try:
            context = ssl.create_default_context(cafile=login.ca_file or None)
        except (OSError, ValueError) as exc:
            raise base.BadPlace(
                "%s: not understood as certificates (%s)" % (login.ca_file, type(exc).__name__)
            ) from None
        handlers.append(urllib.request.HTTPSHandler(context=context))
    if _is_loopback(host):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _fail(url: str, code: int, login: Login, location: str = "") -> NoReturn:
    advice = {
        400: "the controller does not take this document; compare its version, or set the variables on the node's page",
        401: "the user name or the API token is not right; make a new token on the user's page, under Security",
        403: "the user may not do this; give it Agent/Configure and Agent/ExtendedRead (to read) or use an API token",
        404: "there is no such node, or the URL is not the controller's root; look at the node's address in a browser",
    }
    if 300 <= code < 400:
        what = "redirects to %s, which is not followed; give the address that it leads to as the URL" % (
            mask.mask(location) or "nowhere"
        )
    elif code >= 500:
        what = "the controller failed; look into its log and try again"
    else:
        what = advice.get(code, "not expected of Jenkins; look into what stands in front of it")
    raise base.BadPlace("%s: HTTP %d as %s: %s" % (mask.mask(url), code, login.username or "anonymous", what))


def _request(
    opener: urllib.request.OpenerDirector,
    login: Login,
    url: str,
    data: Optional[bytes] = None,
    headers: Optional[Mapping[str, str]] = None,
) -> Tuple[int, bytes, str]:
    """Status, body and Location of one answer. BadPlace where none came."""
    request = urllib.request.Request(url, data=data, method="GET" if data is None else "POST")
    if login.username or login.token:
        pair = ("%s:%s" % (login.username, login.token)).encode("utf-8")
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode("ascii"))
    for name, value in (headers or {}).items():
        request.add_unredirected_header(name, value)
    end = time.monotonic() + SECONDS
    try:
        answer: Any
        try:
            answer = opener.open(request, timeout=SECONDS / 2)
        except urllib.error.HTTPError as exc:
            answer = exc
        with answer:
            body = b""
            while len(body) <= LIMIT and time.monotonic() < end:
                chunk = answer.read1(65536) if hasattr(answer, "read1") else answer.read(65536)
                if not chunk:
                    return answer.code, body, answer.headers.get("Location", "")
                body += chunk
    except (OSError, HTTPException, ValueError) as exc:
        reason = getattr(exc, "reason", None) or exc
        raise base.BadPlace(
            "%s: no answer from the controller (%s); see that it runs, and that this host reaches it"
            % (mask.mask(url), mask.mask(str(reason)) or type(exc).__name__)
        ) from None
    if len(body) > LIMIT:
        raise base.BadPlace("%s: an answer of more than %d bytes; this is no node" % (mask.mask(url), LIMIT))
    raise base.BadPlace("%s: no whole answer within %d seconds; try again" % (mask.mask(url), SECONDS))


def _target(place: base.Place, login: Login) -> str:
    """The place's URL, where it lies below the controller's: no credential goes elsewhere. BadPlace."""
    url = _url(login)
    if place.path != address(url, place.part):
        raise base.BadPlace("node %s: %s is not below the controller's URL %s" % (place.part, place.path, url))
    if place.part == BUILT_IN:
        # jenkins/model/Jenkins.java MasterComputer.doConfigDotXml answers 400.
        raise base.BadPlace(
            "Jenkins offers no config.xml of its built-in node; run this on the controller itself, set the variables "
            "on the node's page, or give the node no executors"
        )
    return place.path


def load(place: base.Place, login: Login) -> bytes:
    """The node's ``config.xml`` from the controller. BadPlace, which says the status and what to do."""
    url = _target(place, login)
    status, body, location = _request(_opener(login), login, url)
    if status != 200:
        _fail(url, status, login, location)
    read(body, place.part)  # a login page is no node
    return body


def save(place: base.Place, data: bytes, login: Login, before: Optional[bytes] = None) -> None:
    """Gives the controller a new ``config.xml`` of the node, and looks whether it has taken the variables.

    before: what load() gave; where the node has been changed since, nothing is done. Jenkins has no lock for this, so
    the moment between the two requests stays. BadPlace.
    """
    url = _target(place, login)
    want = read(data, place.part)
    if before is not None and load(place, login) != before:
        raise base.BadPlace("node %s was changed by somebody else in the meantime; run again" % place.part)
    opener = _opener(login)
    headers = {"Content-Type": "application/xml; charset=UTF-8"}
    status, body, location = _request(opener, login, url, data, headers)
    if status == 403 and b"crumb" in body.lower():
        # A password instead of a token: the crumb holds for the session whose cookie the opener keeps.
        headers.update(_crumb(opener, login))
        status, body, location = _request(opener, login, url, data, headers)
    if status != 200:
        _fail(url, status, login, location)
    if read(load(place, login), place.part) != want:
        raise base.BadPlace(
            "node %s: the controller took the document, but its variables are others; look at the node's page"
            % place.part
        )


def _json(body: bytes, url: str) -> Dict[str, Any]:
    try:
        found = read_json(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise base.BadPlace("%s: no answer of Jenkins' API; see that the URL is the controller's root" % mask.mask(url))
    return found


def _crumb(opener: urllib.request.OpenerDirector, login: Login) -> Dict[str, str]:
    url = _url(login) + "/crumbIssuer/api/json"
    status, body, location = _request(opener, login, url)
    if status != 200:
        _fail(url, status, login, location)
    found = _json(body, url)
    name, crumb = found.get("crumbRequestField"), found.get("crumb")
    if not isinstance(name, str) or not isinstance(crumb, str) or not re.match(r"[A-Za-z0-9.-]{1,80}\Z", name):
        raise base.BadPlace("%s: no crumb in the answer; use an API token, which needs none" % mask.mask(url))
    if not re.match(r"[\x21-\x7e]{1,400}\Z", crumb):
        raise base.BadPlace("%s: a crumb that no header can hold; use an API token, which needs none" % mask.mask(url))
    return {name: crumb}


def _remote_place(url: str, name: str) -> base.Place:
    return base.Place(
        "jenkins",
        address(url, name),
        name,
        "",
        "builds on Jenkins' node %s, in docker containers of a pipeline too; what a job or a pipeline's environment "
        "sets wins over it" % name,
        "elsewhere",
        "",
    )


def remote(login: Login, names: Sequence[str] = ()) -> base.Found:
    """The nodes of a controller, by its API. BadPlace where it cannot be asked."""
    root = _url(login)
    url = root + "/computer/api/json?tree=computer[_class,displayName]"
    status, body, location = _request(_opener(login), login, url)
    if status != 200:
        _fail(url, status, login, location)
    rows = _json(body, url).get("computer")
    places: List[base.Place] = []
    missed: List[base.NotReached] = []
    seen: List[str] = []
    for row in rows if isinstance(rows, list) else []:
        name = row.get("displayName") if isinstance(row, dict) else None
        kind = str(row.get("_class", "")) if isinstance(row, dict) else ""
        if not isinstance(name, str) or not name or not name.isprintable():
            continue
        if kind == "hudson.model.Hudson$MasterComputer":
            seen.append(BUILT_IN)
            if base.chosen(names, BUILT_IN) or name in names:
                seen.append(name)
                missed.append(
                    base.NotReached(
                        "builds on Jenkins' built-in node",
                        "Jenkins offers no configuration of it by its API",
                        "run this on the controller itself, or give the node no executors",
                    )
                )
            continue
        seen.append(name)
        if not base.chosen(names, name):
            continue
        if kind in ("", "hudson.slaves.SlaveComputer"):
            places.append(_remote_place(root, name))
        else:
            missed.append(_cloud("node %s" % name))
    problems = [
        "%s: there is no node %r; there are %s" % (mask.mask(root), name, ", ".join(sorted(seen)) or "none")
        for name in names
        if name not in seen
    ]
    return base.Found(places, missed, problems)


def _cloud(who: str) -> base.NotReached:
    return base.NotReached(
        "builds on agents that a cloud of Jenkins makes (%s)" % who,
        "such an agent is made anew for its builds, from a template, and its own configuration is thrown away with it",
        "set the variables in the cloud's template (envVars of a pod or docker template), or in the image",
    )


def _node_place(path: str, name: str) -> base.Place:
    return base.Place(
        "jenkins",
        path,
        name,
        runners.owner_of(path),
        "builds on Jenkins' node %s, in docker containers of a pipeline too; what a job or a pipeline's environment "
        "sets wins over it" % name,
        "host" if name == BUILT_IN else "elsewhere",
        "Reload Configuration from Disk (under Manage Jenkins) or a restart of Jenkins; what is saved in its pages "
        "before that is written over it",
    )


def _controller(home: str, request: base.Request, found: base.Found) -> bool:
    """Adds the nodes of one JENKINS_HOME; whether it is one."""
    own = posixpath.join(home, "config.xml")
    try:
        text = runners.decode(runners.read(own))
        root = _parse(text)
    except FileNotFoundError:
        return False
    except (_agents.Unreadable, base.BadPlace) as exc:
        found.problems.append(str(exc) if isinstance(exc, _agents.Unreadable) else "%s: %s" % (own, exc))
        return True
    if root.name not in ("hudson", "jenkins"):
        return False
    if base.chosen(request.names, BUILT_IN):
        found.places.append(_node_place(own, BUILT_IN))
    clouds = [cloud.name for item in root.named("clouds") for cloud in item.children]
    if clouds:
        found.not_reached.append(_cloud(", ".join(sorted(set(clouds)))))
    nodes = posixpath.join(home, "nodes")
    try:
        names = sorted(os.listdir(nodes))
    except OSError:
        names = []
    for name in names:
        path = posixpath.join(nodes, name, "config.xml")
        if base.chosen(request.names, name) and os.path.isfile(path):
            found.places.append(_node_place(path, name))
    return True


def find(request: base.Request) -> base.Found:
    """The nodes of the controllers on the host; with a path that is a URL, the nodes of that controller by name."""
    found = base.Found([], [], [])
    for path in request.paths:
        if path.startswith(("http://", "https://")):
            if not request.names:
                found.problems.append("%s: name the nodes that are meant" % mask.mask(path))
            found.places.extend(_remote_place(path.rstrip("/"), name) for name in request.names)
            continue
        parts = os.path.dirname(path).split("/")
        name = parts[-1] if parts[-2:-1] == ["nodes"] else BUILT_IN
        if base.chosen(request.names, name):
            found.places.append(_node_place(path, name))
    if request.paths:
        return found
    host = runners.system(request.root)
    inspection = agents.inspect(host)
    missed, problems = runners.reported(inspection, "a Jenkins in a container")
    found.not_reached.extend(missed)
    controllers = [root.path for root in inspection.roots if _controller(root.path, request, found)]
    found.problems.extend(item for item in problems if item not in found.problems)
    units = [posixpath.basename(item.path) for item in inspection.evidence if item.what == "unit"]
    if inspection.evidence and not controllers:
        found.not_reached.append(
            base.NotReached(
                "builds on the Jenkins agent of this host%s" % (" (%s)" % ", ".join(units) if units else ""),
                "a node's variables are kept by its controller, and none is on this host",
                "give the controller's URL with a user name and an API token"
                + (
                    ", or put the variables into a drop-in of %s, which holds for what Jenkins does not set itself"
                    % units[0]
                    if units
                    else ""
                ),
            )
        )
    return found


KIND = base.Kind("jenkins", find, read, edit, mode=0o644, creates=False)
