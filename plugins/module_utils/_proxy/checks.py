# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of one module proxy. Each says ok, warn, fail or skip, one sentence, and a value."""

from __future__ import annotations

import email.utils
import socket
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit, urlunsplit

from .._go import dirhash, modpath
from . import chain as chains
from . import sumdb, wire
from .chain import FOUND, MISSING, UNKNOWN, Chain, Element
from .credentials import NONE, WRONG, expires
from .freshness import days
from .probe import Prober, join, listed, module_line, newest

OK = "ok"
WARN = "warn"
FAIL = "fail"
SKIP = "skip"

#: Days before a certificate ends from which on it is a warning.
DAYS_LEFT = 21
#: Seconds before a token ends from which on it is a warning: a build that starts now may outlive it.
TOKEN_LEFT = 3600
#: Seconds that clocks may differ.
SKEW = 300
#: Milliseconds for one small file from which on every build feels it.
SLOW = 1000
#: A module that nobody has, below a domain that is nobody's (RFC 2606). Filters refuse names below .invalid unseen.
NO_MODULE = "example.com/gofleet-cache-doctor/missing"
#: What makes another answer than 404 grave.
STOPS = ": Go does not go on to the next proxy"
_LOGIN = ("login", "signin", "sign-in", "sso", "saml", "oauth", "auth")


class Check(NamedTuple):
    """One check: status is OK, WARN, FAIL or SKIP; ms: how long the proxy took, or None."""

    name: str
    status: str
    text: str
    value: Any = None
    ms: Optional[float] = None


def percentile(sorted_values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of sorted values."""
    rank = max(1, -(-len(sorted_values) * percent // 100))
    return round(sorted_values[int(rank) - 1], 1)


def missing_version(path: str) -> str:
    """A version that fits the path and that nobody has published."""
    parts = modpath.split_path_version(path)
    major = (parts[1].lstrip("/.") if parts else "").partition("-")[0] or "v0"
    return "%s.0.0-gofleet.cache.missing" % major


class Checker:
    """Checks elements. canaries: (path, version) of modules that the proxies should have, the main one first.

    samples: how often latency is measured. gonosumdb: globs of modules whose sums nobody is asked for. known: go.sum
    lines that are trusted already, as a text. wrong_login: whether proxies that take a credential get a wrong one, too.
    """

    def __init__(
        self,
        prober: Prober,
        chain: Chain,
        canaries: Sequence[Tuple[str, str]],
        samples: int,
        now: float,
        gonosumdb: str = "",
        known: bytes = b"",
        wrong_login: bool = False,
    ) -> None:
        self.prober = prober
        self.client = prober.client
        self.chain = chain
        self.canaries = list(canaries)
        self.samples = samples
        self.now = now
        self.gonosumdb = gonosumdb
        self.known = known
        self.wrong_login = wrong_login
        self.servers: Dict[int, str] = {}

    def element(self, element: Element, seconds: float) -> List[Check]:
        """All checks of an HTTP or FILE element, in at most about this many seconds."""
        deadline = time.monotonic() + seconds
        done: List[Check] = []
        if element.kind == chains.HTTP:
            done += self._network(element)
        reachable = all(check.status != FAIL for check in done)
        replies: List[wire.Reply] = []
        steps: List[Callable[[Element, List[wire.Reply]], List[Check]]] = [
            self._info,
            self._list,
            self._mod,
            self._zip,
            self._capitals,
            self._canaries,
            self._missing,
            self._sumdb,
            self._auth,
            self._latency,
        ]
        for step in steps:
            if not reachable:
                reason = "the proxy cannot be reached"
            elif len(replies) >= 2 and all(reply.error in (wire.TIMEOUT, wire.STALLED) for reply in replies[:2]):
                reason = "the proxy does not answer"
            elif time.monotonic() > deadline:
                reason = "this proxy's share of the time limit is used up"
            else:
                done += step(element, replies)
                continue
            done += [Check(name, SKIP, "not asked: " + reason) for name in _NAMES[step.__name__]]
        done += [self._redirects(replies), self._clock(replies)] if element.kind == chains.HTTP else []
        self._recognise(element, replies)
        return done

    # Names, sockets, certificates

    def _network(self, element: Element) -> List[Check]:
        parts = urlsplit(element.url)
        scheme, host = parts.scheme.lower(), parts.hostname or ""
        port = parts.port or (443 if scheme == "https" else 80)
        hop = self.client.forward.hop(scheme, host, port)
        if hop is not None:
            text = "through the forward proxy %s (%s), which looks the name up" % (hop.shown, hop.variable)
            return [Check("dns", SKIP, text, {"forward": hop.shown}), Check("tcp", SKIP, text), self._tls(element)]
        found: Dict[str, List[str]] = {}
        reasons: List[str] = []
        total = 0.0
        for name, family in (("ipv4", socket.AF_INET), ("ipv6", socket.AF_INET6)):
            found[name], reason, ms = self.client.addresses(host, port, family)
            total = max(total, ms)
            reasons += [reason] if reason else []
        text = "%d IPv4 and %d IPv6 addresses" % (len(found["ipv4"]), len(found["ipv6"]))
        if not any(found.values()):
            text = "%s does not resolve: %s" % (host, "; ".join(dict.fromkeys(reasons)))
            return [
                Check("dns", FAIL, text, found, round(total, 1)),
                Check("tcp", SKIP, "not tried: there is no address"),
                Check("tls", SKIP, "not tried: there is no address"),
            ]
        checks = [Check("dns", OK, text, found, round(total, 1)), self._tcp(found, port)]
        if checks[1].status == FAIL:
            return checks + [Check("tls", SKIP, "not tried: there is no connection")]
        return checks + [self._tls(element)]

    def _tcp(self, found: Dict[str, List[str]], port: int) -> Check:
        value: Dict[str, Any] = {}
        best: Optional[float] = None
        for address in (found["ipv6"] + found["ipv4"])[:8]:
            started = time.monotonic()
            timeout = min(self.client.request_timeout / 2, self.client.budget.left())
            try:
                self.client.connect_one(address, port, timeout).close()
            except OSError as error:
                value[address] = error.strerror or "no answer within %.1f s" % timeout
            else:
                ms = round((time.monotonic() - started) * 1000, 1)
                value[address] = ms
                best = ms if best is None else min(best, ms)
        bad = [address for address, said in value.items() if not isinstance(said, float)]
        if best is None:
            reasons = "; ".join(dict.fromkeys(str(said) for said in value.values()))
            return Check("tcp", FAIL, "port %d cannot be reached: %s" % (port, reasons), value)
        if bad:
            text = "port %d cannot be reached at %s; every connection may wait for it" % (port, ", ".join(bad))
            return Check("tcp", WARN, text, value, best)
        return Check("tcp", OK, "port %d answers at every address" % port, value, best)

    def _tls(self, element: Element) -> Check:
        if not element.url.lower().startswith("https:"):
            return Check("tls", SKIP, "plain http")
        reply = self.prober.url(element.url)
        value = reply.tls
        if reply.error == wire.SPENT:
            return Check("tls", SKIP, reply.text)
        if not value:
            return Check("tls", FAIL, reply.text or "no TLS")
        ms = round(reply.times.get("tls", 0.0), 1)
        days = value["days_left"]
        text = "%s, %s days left, issued by %s" % (value["version"], days, value["issuer"] or "nobody named")
        if value["intercepted"]:
            text += ": somebody on the way opens the connection"
        elif days is not None and days < DAYS_LEFT:
            text += ": renew the certificate"
        else:
            return Check("tls", OK, text, value, ms)
        return Check("tls", WARN, text, value, ms)

    # Files of the canaries

    def _info(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        path, version = self.canaries[0]
        answer, reply = self.prober.info(element, path, version)
        if reply is not None:
            replies.append(reply)
        return [self._file("info", answer, reply, modpath.label(path, version))]

    def _file(self, name: str, answer: chains.Answer, reply: Optional[wire.Reply], label: str) -> Check:
        ms = reply.ms if reply is not None else None
        value = reply.status if reply is not None and reply.status else None
        if answer.state == FOUND:
            return Check(name, OK, "%s: %s" % (label, answer.text), value, ms)
        if answer.state == UNKNOWN:
            return Check(name, SKIP, "%s: %s" % (label, answer.text), value, ms)
        if answer.state == MISSING:
            return Check(name, WARN, "%s: %s: the proxy does not have it" % (label, answer.text), value, ms)
        return Check(name, FAIL, "%s: %s" % (label, answer.text), value, ms)

    def _list(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        path, version = self.canaries[0]
        answer, reply = self.prober.versions(element, path)
        if reply is None:
            return [Check("list", SKIP, answer.text), Check("list_refused", SKIP, answer.text)]
        replies.append(reply)
        check = self._file("list", answer, reply, path)
        if answer.state == FOUND:
            versions, strange = listed(reply.body)
            value = {"versions": len(versions), "newest": newest(versions)}
            if reply.html:
                check = check._replace(status=FAIL, text="%s: %s instead of versions" % (path, reply.say()))
            elif strange:
                check = check._replace(status=WARN, text="%s: %d lines that are no versions" % (path, strange))
            else:
                check = check._replace(
                    text="%s: %d versions, newest %s" % (path, len(versions), value["newest"] or "-")
                )
            check = check._replace(value=value)
        served, _reply = self.prober.info(element, path, version)
        if served.state != FOUND:
            refused = Check("list_refused", SKIP, "the version itself was not served")
        elif answer.state == chains.FAILED and reply.status:
            text = "serves %s but answers %s for its list: go install PKG@VERSION, go get -u and @latest fail"
            refused = Check("list_refused", WARN, text % (modpath.label(path, version), reply.say()), reply.status)
        else:
            refused = Check("list_refused", OK, "list and version are both served", reply.status)
        return [check, refused]

    def _mod(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        path, version = self.canaries[0]
        answer, reply = self.prober.mod(element, path, version)
        check = self._file("mod", answer, reply, modpath.label(path, version))
        if reply is not None:
            replies.append(reply)
            declared = module_line(reply.body)
            if answer.state == FOUND and declared != path:
                text = "%s: %s, but the file declares %s" % (path, answer.text, declared or "no module")
                check = check._replace(status=FAIL if not declared else WARN, text=text)
            wanted = sumdb.sums(self.known, path, version)[1]
            if answer.state == FOUND and wanted and dirhash.h1_gomod(reply.body) != wanted:
                check = check._replace(status=FAIL, text="%s: go.sum has another sum" % modpath.label(path, version))
        return [check]

    def _zip(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        path, version = self.canaries[0]
        label = modpath.label(path, version)
        answer, found = self.prober.zip(element, path, version)
        if found is None:
            return [Check("zip", SKIP, "%s: %s" % (label, answer.text))]
        replies.append(found.reply)
        check = self._file("zip", answer, found.reply, label)
        if answer.state != FOUND:
            return [check]
        seconds = max(found.reply.times.get("total", 0.0) / 1000, 1e-6)
        value = {"bytes": found.reply.size, "mb_per_s": round(found.reply.size / 1e6 / seconds, 2), "h1": found.h1}
        if found.problem:
            return [Check("zip", FAIL, "%s: %s" % (label, found.problem), value, found.reply.ms)]
        wanted = sumdb.sums(self.known, path, version)[0]
        if wanted and wanted != found.h1:
            text = "%s: %s, but go.sum has %s" % (label, found.h1, wanted)
            return [Check("zip", FAIL, text, value, found.reply.ms)]
        text = "%s: %d bytes, %s" % (label, found.reply.size, found.h1)
        return [Check("zip", OK, text, value, found.reply.ms)]

    def _capitals(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        wanted = [pair for pair in self._through() if modpath.label(*pair).lower() != modpath.label(*pair)]
        if not wanted:
            return [Check("capitals", SKIP, "no canary has capital letters")]
        path, version = wanted[0]
        answer, reply = self.prober.info(element, path, version)
        if reply is not None:
            replies.append(reply)
        check = self._file("capitals", answer, reply, modpath.label(path, version))
        if answer.state == MISSING:
            check = check._replace(text=check.text + ", or does not know ! for capital letters")
        return [check]

    def _through(self) -> List[Tuple[str, str]]:
        """The canaries for which Go asks proxies at all."""
        return [pair for pair in self.canaries if not chains.matches(self.prober.gonoproxy, pair[0])]

    def _canaries(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        served: List[str] = []
        lost: List[str] = []
        for path, version in self._through():
            state = self.prober.info(element, path, version)[0].state
            if state != UNKNOWN:
                (served if state == FOUND else lost).append(modpath.label(path, version))
        value: Dict[str, Any] = {"asked": len(served) + len(lost), "served": len(served), "lost": lost[:20]}
        if not served and not lost:
            return [Check("canaries", SKIP, "no canary could be asked for", value)]
        text = "serves %d of %d canaries" % (value["served"], value["asked"])
        return [Check("canaries", WARN if lost else OK, text + (", not " + ", ".join(lost[:5]) if lost else ""), value)]

    # What nobody has

    def _missing(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        path, _version = self.canaries[0]
        escaped = modpath.escape_path(path)
        early = self.prober.outside(element, path)
        if early is not None:
            version = Check("missing_version", SKIP, early.text)
        else:
            reply = self.prober.ask(element, "%s/@v/%s.info" % (escaped, missing_version(path)))
            replies.append(reply)
            version = self._absent("missing_version", element, reply)
        reply = self.prober.ask(element, NO_MODULE + "/@v/list")
        replies.append(reply)
        return [version, self._absent("missing_module", element, reply)]

    def _absent(self, name: str, element: Element, reply: wire.Reply) -> Check:
        what = "a version that nobody has" if name == "missing_version" else "a module that nobody has"
        if reply.error == wire.SPENT:
            return Check(name, SKIP, reply.text)
        if reply.missing:
            return Check(name, OK, "%s: %s" % (what, reply.say()), reply.status, reply.ms)
        text = "%s: %s instead of 404 or 410" % (what, reply.say())
        if reply.ok and (reply.html or reply.redirects):
            page = "after a redirect to " + reply.redirects[-1].url if reply.redirects else ""
            text = "%s: an HTML page with status 200 %s, as a login or captive portal gives it" % (what, page)
            return Check(name, FAIL, text, reply.status, reply.ms)
        if reply.ok:
            return Check(name, FAIL, text, reply.status, reply.ms)
        if reply.error == wire.STALLED or self._stops(element):
            return Check(name, FAIL, text + STOPS, reply.status, reply.ms)
        return Check(name, WARN, text, reply.status or None, reply.ms)

    def _stops(self, element: Element) -> bool:
        return not element.falls_back and element is not self.chain.elements[-1]

    # The rest

    def _sumdb(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        database = self.prober.database
        if database.off or database.error:
            return [Check("sumdb", SKIP, "GOSUMDB is off" if database.off else database.error)]
        if database.url:
            bad = self._elsewhere(element)
            return [Check("sumdb", FAIL if bad else SKIP, bad or "GOSUMDB names an address of its own")]
        reply = self.prober.supported(element)
        replies.append(reply)
        if reply.error == wire.SPENT:
            return [Check("sumdb", SKIP, reply.text)]
        if reply.missing:
            bad = self._elsewhere(element)
            text = bad or "it does not pass %s on: Go asks elsewhere" % database.name
            return [Check("sumdb", FAIL if bad else OK, text, False, reply.ms)]
        if not reply.ok or reply.html:
            text = "supported: %s instead of 200, 404 or 410" % reply.say()
            stops = reply.ok or not element.falls_back or reply.error == wire.STALLED
            text += ": no new module can be verified" if stops else ""
            return [Check("sumdb", FAIL if stops else WARN, text, reply.status or None, reply.ms)]
        base = join(element.url, "sumdb/" + database.name)
        path, version = self.canaries[0]
        if chains.matches(self.gonosumdb, path):
            return [self._tree(base, reply)]
        sums = self.prober.sums(base, path, version)
        if sums.state == UNKNOWN:
            return [Check("sumdb", SKIP, sums.error)]
        if sums.error:
            text = "it says that it passes %s on, but: %s" % (database.name, sums.error)
            return [Check("sumdb", FAIL, text, True, reply.ms)]
        bad = self._mismatch(element, sums.zip, sums.mod)
        if bad:
            return [Check("sumdb", FAIL, bad, True, reply.ms)]
        text = "it passes %s on; tree head, signature and proof are good" % database.name
        return [Check("sumdb", OK, text, True, reply.ms)]

    def _tree(self, base: str, supported: wire.Reply) -> Check:
        """Where the canary is private: its name is not told to the database, the tree head is all that is asked for."""
        reply = self.prober.url(join(base, "latest"))
        if reply.error == wire.SPENT:
            return Check("sumdb", SKIP, reply.text)
        try:
            if not reply.ok:
                raise sumdb.SumProblem("the tree head: " + reply.say())
            sumdb.tree_head(reply.body, self.prober.database)
        except sumdb.SumProblem as problem:
            text = "it says that it passes %s on, but: %s" % (self.prober.database.name, problem)
            return Check("sumdb", FAIL, text, True, supported.ms)
        text = "it passes %s on; the tree head is signed; GONOSUMDB matches the canary" % self.prober.database.name
        return Check("sumdb", OK, text, True, supported.ms)

    def _elsewhere(self, element: Element) -> str:
        """What is wrong with the canary's files by the database that Go asks instead of the proxy, or an empty text."""
        path, version = self.canaries[0]
        base = self.prober.sum_base(self.chain)
        if (
            chains.matches(self.gonosumdb, path)
            or base.state != FOUND
            or not self.prober.url(join(base.url, "latest")).ok
        ):
            return ""
        sums = self.prober.sums(base.url, path, version)
        return "" if sums.error else self._mismatch(element, sums.zip, sums.mod)

    def _mismatch(self, element: Element, zip_sum: str, mod_sum: str) -> str:
        path, version = self.canaries[0]
        answer, reply = self.prober.mod(element, path, version)
        if answer.state == FOUND and reply is not None and mod_sum and dirhash.h1_gomod(reply.body) != mod_sum:
            return "the .mod of %s is not what the checksum database knows" % modpath.label(path, version)
        answer, found = self.prober.zip(element, path, version)
        if answer.state == FOUND and found is not None and found.h1 and zip_sum and found.h1 != zip_sum:
            return "the zip of %s is not what the checksum database knows" % modpath.label(path, version)
        return ""

    def _auth(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        if element.kind != chains.HTTP:
            return [Check("auth", SKIP, "a folder")]
        plain = element.url.lower().startswith("http:")
        seen = [reply for reply in replies if reply.status or reply.error == wire.INSECURE]
        source = next((reply.credential.source for reply in seen if reply.credential.source), "")
        note = next((reply.credential.note for reply in seen if reply.credential.note), "")
        refused = [reply for reply in seen if reply.status in (401, 403, 407)]
        insecure = [reply for reply in seen if reply.error == wire.INSECURE]
        value: Dict[str, Any] = {"source": source, "anonymous": None}
        if insecure:
            return [Check("auth", FAIL, insecure[0].text, value)]
        if any(reply.status == 407 for reply in refused):
            text = "407: the forward proxy %s wants a login" % (refused[0].forward or "")
            return [Check("auth", FAIL, text.replace("  ", " "), value)]
        if source:
            path, version = self.canaries[0]
            url = self.prober.file_url(element, path, version, "info")
            bare = urlsplit(url)
            bare = bare._replace(netloc=bare.netloc.rpartition("@")[2])
            if not self.prober.would_fetch(element):
                value["anonymous"] = self.client.get(urlunsplit(bare), credential=NONE).status or None
                if self.wrong_login:
                    value["wrong"] = self.client.get(urlunsplit(bare), credential=WRONG).status or None
        wrong = [reply for reply in refused if reply.status == 401] or (refused if len(refused) == len(seen) else [])
        if wrong:
            text = "%s, with %s" % (wrong[0].say(), source or "no credential")
            if plain:
                text += "; Go sends credentials over https only"
            return [Check("auth", FAIL, text + ("; " + note if note else ""), value)]
        if source:
            text = "accepted with %s" % source
            ends = next((end for end in (expires(reply.credential.headers) for reply in seen) if end is not None), None)
            if ends is not None:
                value["token_seconds_left"] = int(ends - self.now)
                if value["token_seconds_left"] < TOKEN_LEFT:
                    text += ", whose token ends in %d minutes: renew it" % (value["token_seconds_left"] // 60)
                    return [Check("auth", WARN, text, value)]
            if value["anonymous"] == 200:
                text += "; it answers without a credential too"
            elif value.get("wrong") == 200:
                return [Check("auth", WARN, text + "; it takes any other login as well", value)]
            elif (set(value.values()) & {404, 410}) and element is not self.chain.elements[-1]:
                text += "; where that is lost it says 404, and Go goes on to the next entry"
            return [Check("auth", OK, text, value)]
        text = "no credential is sent and none is asked for"
        return [Check("auth", OK, text + ("; " + note if note else ""), value)]

    def _redirects(self, replies: List[wire.Reply]) -> Check:
        hops = [hop for reply in replies for hop in reply.redirects]
        broken = [reply for reply in replies if reply.error == wire.REDIRECT]
        targets = list(dict.fromkeys((urlsplit(hop.url).hostname or "") for hop in hops))[:5]
        if broken:
            return Check("redirects", FAIL, broken[0].text, targets)
        if not hops:
            return Check("redirects", OK, "none", [])
        login = [hop for hop in hops if any(word in urlsplit(hop.url).path.lower().split("/") for word in _LOGIN)]
        if login:
            return Check("redirects", FAIL, "to what looks like a login page: " + login[0].url, targets)
        text = "to " + ", ".join(targets)
        if any(hop.dropped_credential for hop in hops):
            return Check("redirects", WARN, text + ": another host, which gets no credential", targets)
        if any(hop.cross_host for hop in hops):
            return Check("redirects", OK, text + ": another host, which agents must reach as well", targets)
        return Check("redirects", OK, text, targets)

    def _clock(self, replies: List[wire.Reply]) -> Check:
        for reply in replies:
            try:
                moment = email.utils.parsedate_to_datetime(reply.headers.get("date", ""))
            except (TypeError, ValueError, IndexError):
                continue
            skew = round(moment.timestamp() - self.now)
            if abs(skew) > SKEW:
                text = "this agent's clock and the proxy's differ by %d s" % abs(skew)
                return Check("clock", WARN, text, skew)
            return Check("clock", OK, "clocks agree", skew)
        return Check("clock", SKIP, "the proxy tells no date")

    def _latency(self, element: Element, replies: List[wire.Reply]) -> List[Check]:
        path, version = self.canaries[0]
        answer, reply = self.prober.info(element, path, version)
        url = self.prober.file_url(element, path, version, "info")
        if self.prober.would_fetch(element):
            answer, reply = self.prober.versions(element, path)
            url = join(element.url, modpath.escape_path(path) + "/@v/list")
        if answer.state not in (FOUND, MISSING) or reply is None or element.kind != chains.HTTP:
            return [Check("latency", SKIP, "not measured: there is no answer that could be repeated")]
        cold = {name: round(ms, 1) for name, ms in reply.times.items()}
        warm: List[float] = []
        colds: List[float] = []
        for _number in range(self.samples):
            again = self.client.get(url)
            if again.error or again.status != reply.status:
                break
            warm.append(again.times["total"])
        value: Dict[str, Any] = {"cold": cold, "samples": len(warm)}
        if not warm:
            return [Check("latency", OK, "first answer after %s ms" % cold.get("total"), value, cold.get("total"))]
        # The first answer may have come over a connection that was open already.
        for _number in range(min(5, (self.samples + 3) // 4)):
            again = self.client.get(url, fresh=True)
            if again.error or again.status != reply.status:
                break
            for name in ("dns", "connect", "tls", "first"):
                cold.pop(name, None)
            cold.update({name: round(ms, 1) for name, ms in again.times.items()})
            colds.append(again.times["total"])
        for target, numbers in ((cold, sorted(colds)), (value, sorted(warm))):
            for name, percent in (("p50", 50), ("p95", 95), ("p99", 99)):
                if numbers:
                    target[name] = percentile(numbers, percent)
        cold["samples"] = len(colds)
        text = "p50 %s ms, p95 %s ms" % (value["p50"], value["p95"])
        if colds:
            text += "; on a new connection p50 %s ms" % cold["p50"]
        return [Check("latency", WARN if value["p50"] > SLOW else OK, text, value, value["p50"])]

    def _recognise(self, element: Element, replies: List[wire.Reply]) -> None:
        # by headers of their own; for people, nothing depends on it
        server = "athens" if self.prober.athens.get(element.number) else ""
        for reply in replies:
            headers = reply.headers
            if any(name.startswith(("x-jfrog", "x-artifactory")) for name in headers):
                server = "artifactory"
            elif headers.get("server", "").startswith("Nexus"):
                server = "nexus"
        self.servers[element.number] = "proxy.golang.org" if element.host == "proxy.golang.org" else server


def freshness(element: str, rows: Sequence[Mapping[str, Any]]) -> Check:
    """How an element's lists compare to the others', from what freshness.compare() says of each module."""
    mine = [
        (row["module"], row["newest"], item) for row in rows for item in row["elements"] if item["element"] == element
    ]
    if not mine:
        return Check("freshness", SKIP, "there is nothing to compare its list with")
    lags = [item["lag_seconds"] for _module, _best, item in mine]
    value = {
        "behind": sum(item["behind"] for _module, _best, item in mine),
        "missing": sum(item["missing"] for _module, _best, item in mine),
        "lag_seconds": max([lag for lag in lags if lag is not None], default=None),
        "latest_behind": sum(item["latest_behind"] for _module, _best, item in mine),
    }
    for module, best, item in mine:
        if item["behind"]:
            text = "%s: its list ends at %s, another's at %s" % (module, item["newest"] or "nothing", best)
            if item["lag_seconds"]:
                text += ", which is %s younger" % days(item["lag_seconds"])
            return Check("freshness", WARN, text, value)
        if item["latest_behind"]:
            text = "%s: its @latest is %s, another's is newer" % (module, item["latest"])
            if item["latest_lag_seconds"]:
                text += " by %s" % days(item["latest_lag_seconds"])
            return Check("freshness", WARN, text, value)
    text = "its lists are as new as the others'"
    if value["missing"]:
        text += ", without %d older versions" % value["missing"]
    return Check("freshness", OK, text, value)


_NAMES = {
    "_info": ["info"],
    "_list": ["list", "list_refused"],
    "_mod": ["mod"],
    "_zip": ["zip"],
    "_capitals": ["capitals"],
    "_canaries": ["canaries"],
    "_missing": ["missing_version", "missing_module"],
    "_sumdb": ["sumdb"],
    "_auth": ["auth"],
    "_latency": ["latency"],
}
