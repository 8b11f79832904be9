# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks one module proxy the questions of the GOPROXY protocol and says what Go would make of each answer."""

from __future__ import annotations

import io
import re
import tempfile
from typing import Any, BinaryIO, Dict, List, NamedTuple, Optional, Tuple, cast
from urllib.parse import quote, urlsplit, urlunsplit

from .._core.document import read_json
from .._go import dirhash, modpath
from . import chain as chains
from . import sumdb, wire
from .chain import FAILED, FOUND, HANGS, MISSING, UNKNOWN, Answer, Chain, Element

#: Bytes of a zip that are held in memory; a larger one goes through an unnamed temporary file.
IN_MEMORY = 8 << 20
#: modfetch/codehost.MaxZipFile
MAX_ZIP = 500 << 20


class Zip(NamedTuple):
    """A downloaded zip: its h1 hash, or why Go would refuse it."""

    reply: wire.Reply
    h1: str
    problem: str


class Sums(NamedTuple):
    """What the checksum database says: hashes of zip and go.mod, or the error that Go reports.

    state: FOUND, FAILED, HANGS or UNKNOWN (it was not asked).
    """

    zip: str
    mod: str
    error: str
    state: str = FOUND


class SumBase(NamedTuple):
    """Where the checksum database is asked: url, and the element that passes it on (None: nobody).

    state: FOUND, FAILED (nothing can be verified), HANGS or UNKNOWN, with the reason in text.
    """

    state: str
    url: str
    by: Optional[Element]
    text: str


def join(base: str, path: str) -> str:
    """A proxy's URL with a path of the protocol behind it, escaped as Go sends it (modfetch.pathEscape)."""
    parts = urlsplit(base)
    left = parts.path[:-1] if parts.path.endswith("/") else parts.path
    return urlunsplit(parts._replace(path=left + "/" + quote(path, safe="/$&+=:@~")))


def listed(body: bytes) -> Tuple[List[str], int]:
    """The versions of an answer to list, in Go's order, and the number of lines that hold none (proxyRepo.Versions)."""
    found: List[str] = []
    strange = 0
    for line in body.decode("utf-8", "replace").split("\n"):
        words = line.split()
        if words and modpath.is_valid(words[0]):
            if not modpath.is_pseudo(words[0]):
                found.append(words[0])
        elif words:
            strange += 1
    return sorted(found, key=modpath.sort_key), strange


def newest(versions: List[str]) -> str:
    """What ``@latest`` is among these: the highest release, else the highest pre-release; "" for none."""
    ordered = sorted(versions, key=modpath.sort_key)
    releases = [version for version in ordered if "-" not in version.partition("+")[0]]
    return (releases or ordered or [""])[-1]


def json_object(body: bytes) -> Dict[str, Any]:
    """The object with its keys in lower case, as Go's decoder does not mind the case; raises ValueError."""
    data = read_json(body)
    if not isinstance(data, dict):
        raise ValueError("no JSON object")
    return {str(key).lower(): value for key, value in data.items()}


def info_problem(body: bytes, path: str, version: str) -> str:
    """Why Go refuses an .info (proxyRepo.Stat), or an empty text. An empty version takes any."""
    try:
        said = json_object(body).get("version", "")
    except ValueError:
        return "invalid response: no JSON object"
    if version and said != version and version == modpath.canonical(version) and _fits(path, version):
        return "it returned info for version %r instead of the requested one" % str(said)[:80]
    return ""


def _fits(path: str, version: str) -> bool:
    try:
        modpath.check(path, version)
    except ValueError:
        return False
    return True


def module_line(body: bytes) -> str:
    """The module path that a go.mod declares, or an empty text."""
    match = re.search(rb"(?m)^[ \t]*module[ \t]+[\"`]?([^\s\"`]+)", body[: 1 << 16])
    return match.group(1).decode("utf-8", "replace") if match else ""


class Prober:
    """Asks the elements of one chain; every question is asked once.

    allow_zip: whether zips may be downloaded.
    """

    def __init__(self, client: wire.Client, gonoproxy: str, database: sumdb.Database, allow_zip: bool) -> None:
        self.client = client
        self.gonoproxy = gonoproxy
        self.database = database
        self.allow_zip = allow_zip
        self.athens: Dict[int, bool] = {}
        self._replies: Dict[str, wire.Reply] = {}
        self._zips: Dict[Tuple[int, str], Zip] = {}
        self._sums: Dict[str, Sums] = {}
        self._base: Optional[SumBase] = None

    # Requests

    def base(self, element: Element) -> str:
        """Where files of versions are asked: the element's URL; for Google's proxy its endpoint for what is cached.

        What stands in for Google's proxy in a company often does not know that endpoint: then it is the URL again.
        """
        parts = urlsplit(element.url)
        if not self.client.cached_only or element.host != "proxy.golang.org" or parts.path not in ("", "/"):
            return element.url
        endpoint = urlunsplit(parts._replace(path="/cached-only"))
        known = self.url(join(endpoint, "golang.org/x/text/@v/list"))
        return endpoint if known.ok and not known.html else element.url

    def ask(self, element: Element, path: str) -> wire.Reply:
        """The reply to a file of the protocol for which no server fetches a version."""
        return self.url(join(element.url, path))

    def url(self, url: str) -> wire.Reply:
        """The reply to a URL, asked once."""
        if url not in self._replies:
            reply = self.client.get(url)
            if reply.error == wire.SPENT:
                return reply
            self._replies[url] = reply
        return self._replies[url]

    def would_fetch(self, element: Element) -> bool:
        """Whether a question for a version would make this server fetch it, although only cached ones are wanted."""
        if not self.client.cached_only or element.kind != chains.HTTP:
            return False
        if element.number not in self.athens:
            # Athens tells its version there (gomods/athens pkg/build), one built by go install an empty object; it does
            # not know the header.
            reply = self.client.get(join(element.url, "version"), limit=4096)
            if reply.error == wire.SPENT:
                return True
            try:
                self.athens[element.number] = reply.ok and set(json_object(reply.body)) <= {"version", "date"}
            except ValueError:
                self.athens[element.number] = False
        return self.athens[element.number]

    # Answers as Go takes them

    def judge(self, element: Element, reply: wire.Reply, problem: str = "") -> Answer:
        """What Go makes of a reply; problem: what is wrong with the content of one with status 200."""
        text = reply.say()
        if reply.error == wire.SPENT:
            return Answer(UNKNOWN, text)
        if reply.error == wire.STALLED:
            return Answer(HANGS, text)
        if reply.ok:
            return Answer(FAILED, "%s: %s" % (text, problem)) if problem else Answer(FOUND, text)
        pending = self.client.credentials.not_asked
        if 400 <= reply.status < 500 and pending and not reply.credential.source and element.url.startswith("https:"):
            return Answer(UNKNOWN, "%s; Go would ask again with what %s says" % (text, " and ".join(pending)))
        if reply.missing:
            if self.client.cached_only and self._not_cached(element, reply):
                return Answer(UNKNOWN, "not in its cache: what its upstream says is not known (see cached_only)")
            return Answer(MISSING, text)
        return Answer(FAILED, text)

    def _not_cached(self, element: Element, reply: wire.Reply) -> bool:
        # goproxy/goproxy answers so to Disable-Module-Fetch; Google's endpoint has no other reason
        body = reply.body[:500].lower()
        return b"temporarily unavailable" in body or b"not cached" in body or self.base(element) != element.url

    def file_url(self, element: Element, path: str, version: str, end: str) -> str:
        """The URL of ``.info``, ``.mod`` or ``.zip`` of a version; raises ValueError for what is no module."""
        name = "%s/@v/%s.%s" % (modpath.escape_path(path), modpath.escape_version(version), end)
        return join(self.base(element), name)

    def outside(self, element: Element, path: str) -> Optional[Answer]:
        """The answer for elements that are no proxy, and for modules that go around it (modfetch.lookup); else None."""
        private = chains.matches(self.gonoproxy, path)
        if element.kind == chains.DIRECT or (element.kind == chains.NOPROXY and private):
            return Answer(UNKNOWN, "Go fetches it from its own repository")
        if element.kind == chains.NOPROXY:
            return Answer(MISSING, "GONOPROXY does not match")
        if private:
            return Answer(MISSING, "GONOPROXY matches: this proxy is not asked")
        if element.kind == chains.OFF:
            return Answer(MISSING, "module lookup disabled by GOPROXY=off")
        return None

    def info(self, element: Element, path: str, version: str) -> Tuple[Answer, Optional[wire.Reply]]:
        """What the element says to .info of a version or query."""
        early = self._early(element, path)
        if early is not None:
            return early, None
        reply = self.url(self.file_url(element, path, version, "info"))
        return self.judge(element, reply, info_problem(reply.body, path, version) if reply.ok else ""), reply

    def mod(self, element: Element, path: str, version: str) -> Tuple[Answer, Optional[wire.Reply]]:
        """What the element says to .mod; Go takes any content here, the checksum tells what is wrong."""
        early = self._early(element, path)
        if early is not None:
            return early, None
        reply = self.url(self.file_url(element, path, version, "mod"))
        return self.judge(element, reply), reply

    def _early(self, element: Element, path: str) -> Optional[Answer]:
        answer = self.outside(element, path)
        if answer is None and self.would_fetch(element):
            return Answer(UNKNOWN, "not asked: Athens would fetch and store the version (see cached_only)")
        return answer

    def zip(self, element: Element, path: str, version: str) -> Tuple[Answer, Optional[Zip]]:
        """What the element says to .zip, and what was in it. FOUND is every 200, as in Go, whatever is in it."""
        early = self._early(element, path)
        if early is not None:
            return early, None
        if not self.allow_zip:
            return Answer(UNKNOWN, "not asked for (option zip)"), None
        name = self.file_url(element, path, version, "zip")
        if (element.number, name) not in self._zips:
            found = self._download(name, modpath.label(path, version))
            if found.reply.error == wire.SPENT:
                return Answer(UNKNOWN, found.reply.text), None
            self._zips[element.number, name] = found
        found = self._zips[element.number, name]
        return self.judge(element, found.reply), found

    def _download(self, url: str, prefix: str) -> Zip:
        with _Spool() as spool:
            try:
                reply = self.client.get(url, sink=spool.write)
            except OSError as error:  # no room for the temporary file
                reply = wire.Reply(
                    wire.quiet_url(url), error=wire.LOCAL, text="cannot keep the zip: %s" % error.strerror
                )
            if not reply.ok:
                return Zip(reply, "", "")
            if reply.size > MAX_ZIP:
                return Zip(reply, "", "downloaded zip file too large")
            spool.file.flush()  # it is read by its descriptor
            unpacked = [0]

            def tick(count: int) -> None:
                unpacked[0] += count
                if unpacked[0] > MAX_ZIP:  # x/mod/zip.MaxZipFile
                    raise dirhash.ZipProblem("total uncompressed size of module contents too large")
                if self.client.budget.left() <= 0:
                    raise wire.WireError(wire.SPENT, "the zip was not read to its end: the time limit is reached")

            try:
                return Zip(reply, dirhash.h1_zip(spool.file, prefix, tick), "")
            except wire.WireError as error:
                reply.error, reply.text = error.kind, str(error)
                return Zip(reply, "", "")
            except (dirhash.ZipProblem, OSError) as problem:
                return Zip(reply, "", "zip: %s" % problem)

    def versions(self, element: Element, path: str) -> Tuple[Answer, Optional[wire.Reply]]:
        """What the element says to list."""
        answer = self.outside(element, path)
        if answer is not None:
            return answer, None
        reply = self.ask(element, modpath.escape_path(path) + "/@v/list")
        return self.judge(element, reply), reply

    def latest(self, element: Element, path: str) -> Tuple[Answer, str, str]:
        """What the element says to ``@latest``, which Go asks where a list names no version; the version, its time."""
        answer = self.outside(element, path)
        if answer is not None:
            return answer, "", ""
        reply = self.ask(element, modpath.escape_path(path) + "/@latest")
        if not reply.ok:
            return self.judge(element, reply), "", ""
        problem = info_problem(reply.body, path, "")
        said = time = ""
        if not problem:
            info = json_object(reply.body)
            said, time = str(info.get("version", "")), str(info.get("time", ""))
            problem = "" if modpath.is_valid(said) else "it names no version"
        return self.judge(element, reply, problem), said, time

    # The checksum database

    def sum_base(self, chain: Chain) -> SumBase:
        """Where Go asks the checksum database (modfetch dbClient.initBase)."""
        database = self.database
        if database.url:
            return SumBase(FOUND, database.url, None, "")
        if self._base is not None:
            return self._base

        def ask(element: Element) -> Answer:
            if element.kind in (chains.DIRECT, chains.OFF):
                return Answer(MISSING, "Go asks the database itself")
            if element.kind == chains.NOPROXY:
                return Answer(MISSING, "no proxy")
            return self.judge(element, self.supported(element))

        walk = chains.walk(chain, ask)
        if walk.by is not None:
            found = SumBase(FOUND, join(walk.by.url, "sumdb/" + database.name), walk.by, "")
        elif walk.state in (HANGS, UNKNOWN):
            return SumBase(walk.state, "", None, walk.text)
        elif walk.missing:
            found = SumBase(FOUND, "https://" + database.name, None, "")
        else:
            found = SumBase(FAILED, "", None, walk.text)
        self._base = found
        return found

    def supported(self, element: Element) -> wire.Reply:
        """Whether the element passes the database on."""
        return self.url(join(element.url, "sumdb/%s/supported" % self.database.name))

    def sums(self, base: str, path: str, version: str) -> Sums:
        """The hashes that the database at an address has for a version; its signature and proof are checked."""
        key = "%s %s" % (base, modpath.label(path, version))
        if key not in self._sums:
            found = self._lookup(base, path, version)
            if found.state == UNKNOWN:
                return found
            self._sums[key] = found
        return self._sums[key]

    def _lookup(self, base: str, path: str, version: str) -> Sums:
        states = {wire.SPENT: UNKNOWN, wire.STALLED: HANGS}
        reply = self.url(join(base, sumdb.lookup_path(path, version)))
        if not reply.ok:
            state = states.get(reply.error, FAILED)
            return Sums("", "", "reading %s: %s" % (reply.url, reply.say()), state)
        worst = [FAILED]

        def read(tile: str) -> bytes:
            answer = self.url(join(base, tile))
            if not answer.ok:
                worst[0] = states.get(answer.error, FAILED)
                raise sumdb.SumProblem("reading %s: %s" % (answer.url, answer.say()))
            return answer.body

        try:
            found = sumdb.record(reply.body)
            sumdb.prove(found, sumdb.tree_head(found.head, self.database), read)
        except sumdb.SumProblem as problem:
            return Sums("", "", str(problem), worst[0])
        zip_sum, mod_sum = sumdb.sums(found.text, path, version)
        return Sums(zip_sum, mod_sum, "")


class _Spool:
    """Takes a zip: a small one stays in memory, another goes to a temporary file without a name."""

    def __init__(self) -> None:
        self.file: BinaryIO = io.BytesIO()
        self._size = 0

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > IN_MEMORY and isinstance(self.file, io.BytesIO):
            held = self.file.getvalue()
            self.file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
            self.file.write(held)
        self.file.write(data)
