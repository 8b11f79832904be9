# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proxy doctor: one examination of a GOPROXY chain, as plain data without secrets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from .._go import dirhash, modpath
from .._go.accounts import Account
from .._go.files import LocalFiles, as_account, read_file
from .._go.lint import Problem
from .._go.mask import mask_value
from . import chain as chains
from . import explain, sumdb, wire
from .chain import Element
from .checks import DAYS_LEFT, FAIL, OK, SKIP, STOPS, TOKEN_LEFT, WARN, Check, Checker, freshness
from .credentials import Credentials, url_secrets
from .direct import Origins
from .forward import NAMES
from .freshness import Member, compare
from .probe import Prober, join

#: Bytes of a go.sum that are read.
MAX_GO_SUM = 16 << 20
#: Items of one list in the result.
MAX_ROWS = 20
#: What replaces a secret that a server sent back.
SCRUBBED = "***"

#: What to do about a check that is not ok.
_HINTS = {
    "dns": "Correct the name, or the agent's resolvers",
    "tcp": "Open the port in the firewall, or set HTTPS_PROXY where a forward proxy is needed",
    "tls": "Renew the certificate, or put the company's root into the agent's roots or SSL_CERT_FILE",
    "info": "Take a canary that the proxy has, or set cached_only to false",
    "list": "Go needs the list for @latest, upgrades and go install",
    "list_refused": "Let the policy of the proxy allow /@v/list, or use a tools module with go build instead",
    "mod": "Look at what answers there: it is no module proxy, or its cache is damaged",
    "zip": "Evict the version from the proxy's store and let it fetch it again",
    "capitals": "Capital letters are escaped by an exclamation mark: no web server or rewrite rule may change it",
    "canaries": "Find out who shall serve them, or name other canaries",
    "missing_version": "The proxy must answer 404 or 410, or be followed by | in GOPROXY",
    "missing_module": "The proxy must answer 404 or 410, or be followed by | in GOPROXY",
    "sumdb": "The proxy must pass the checksum database on, or answer 404 or 410 to /supported",
    "redirects": "Name the address that is redirected to in GOPROXY, or let the proxy serve the files itself",
    "auth": "Put the login into the account's .netrc under exactly the host (and port) of the URL, or use GOAUTH",
    "latency": "Put a faster proxy first, or a cache nearer to the agents",
    "clock": "Let the agent take its time from NTP",
    "freshness": "Its list is cached: wait, or evict the list from the proxy",
}


@dataclass
class Request:
    """One examination. goproxy and environ may hold secrets; what comes of it holds none.

    settings: the other Go variables, without GOAUTH for a Go before 1.24. wheres: where each comes from. canaries,
    modules: ``path@version``. candidates: URLs of proxies that are examined although they are not in the chain.
    direct: whether repositories themselves are asked. zip: whether zips are downloaded. sumdb: folder of what Go saw of
    checksum databases. wrong_login: whether a login that nobody has is tried. time_limit, request_timeout: seconds.
    max_bytes: bytes.
    """

    goproxy: str
    settings: Mapping[str, str]
    wheres: Mapping[str, str]
    environ: Mapping[str, str]
    canaries: Sequence[str]
    modules: Sequence[str] = ()
    candidates: Sequence[str] = ()
    go_sum: str = ""
    direct: bool = False
    zip: bool = False
    cached_only: bool = True
    ask_goauth: bool = False
    sumdb: str = ""
    wrong_login: bool = False
    samples: int = 5
    time_limit: float = 60.0
    request_timeout: float = 10.0
    max_requests: int = 300
    max_bytes: int = 128 << 20
    problems: Sequence[Problem] = field(default_factory=list)


def label(text: str) -> Tuple[str, str]:
    """Path and version of ``path@version``; the version may be ``latest``. Raises ValueError with the reason."""
    path, at, version = text.partition("@")
    if not at or not version:
        raise ValueError("%r has no version; write it like example.com/module@v1.2.3" % text)
    modpath.check_path(path)
    modpath.check_version(version)
    return path, version


def candidate_problem(url: str) -> str:
    """Why a text is not the URL of one proxy, or an empty text."""
    chain = chains.parse(url)
    if chain.error:
        return chain.error
    if len(chain.elements) != 1 or chain.elements[0].kind not in (chains.HTTP, chains.FILE) or url.strip(",|") != url:
        return "not the URL of one proxy"
    return ""


def secrets_of(goproxy: str, environ: Mapping[str, str]) -> List[str]:
    """The passwords in a GOPROXY value and in the URLs of forward proxies."""
    urls = [element.url for element in chains.parse(goproxy).elements]
    urls += [text for text in goproxy.replace("|", ",").split(",") if "@" in text]
    for names in NAMES.values():
        for name in names:
            value = environ.get(name, "")
            urls.append(value if "://" in value else "http://" + value)
    return url_secrets([url if "://" in url else "https://" + url for url in urls])


def scrub(value: Any, secrets: Sequence[str]) -> Any:
    """The plain data with every secret text in it replaced: a server may send back what it was sent."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, SCRUBBED)
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {scrub(key, secrets) if isinstance(key, str) else key: scrub(row, secrets) for key, row in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrub(row, secrets) for row in value]
    return value


def examine(request: Request) -> Dict[str, Any]:
    """chain, explain, sumdb, go_sum, findings, healthy, summary and counts, JSON-able, without secrets.

    Stores nothing and changes nothing. Asks within its bounds; what was not asked because of them says so. Never raises
    for what servers do. Raises OSError where go_sum cannot be read, ValueError for a malformed canary or module.
    """
    return _Examination(request).run()


class _Examination:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.canaries = [label(text) for text in request.canaries]
        for text in request.modules:
            label(text)
        self.known = read_file(request.go_sum, MAX_GO_SUM) if request.go_sum else b""
        settings = request.settings
        self.gonoproxy = settings.get("GONOPROXY", "")
        self.gonosumdb = settings.get("GONOSUMDB", "")
        self.chain = chains.parse(request.goproxy, self.gonoproxy)
        self.budget = wire.Budget(request.time_limit, request.max_requests, request.max_bytes)
        goauth = settings.get("GOAUTH", "")
        self.credentials = Credentials(goauth, request.environ, LocalFiles(), request.ask_goauth)
        self.client = wire.Client(
            self.budget, self.credentials, request.environ, request.request_timeout, request.cached_only
        )
        self.database = sumdb.parse(settings.get("GOSUMDB", "") or "sum.golang.org")
        self.prober = Prober(self.client, self.gonoproxy, self.database, request.zip)
        self.others = chains.parse("|".join(request.candidates)) if request.candidates else chains.Chain((), "")
        self.other_prober = Prober(self.client, self.gonoproxy, self.database, request.zip)
        self.origins = Origins(self.client, settings, request.environ, LocalFiles(), request.direct)
        self.findings: List[Dict[str, str]] = []

    def run(self) -> Dict[str, Any]:
        try:
            common = (self.canaries, self.request.samples, time.time(), self.gonosumdb, self.known)
            wrong = self.request.wrong_login
            checker = Checker(self.prober, self.chain, *common, wrong)
            other = Checker(self.other_prober, self.others, *common, wrong)
            # What explains and completes comes last and is to have a third of the time.
            share = 0.66 if self.request.modules or self.request.go_sum else 0.95
            end = time.monotonic() + self.budget.left() * share
            mine = self._asked(self.chain)
            known = {element.url: element for element in mine}
            extra = [element for element in self._asked(self.others) if element.url not in known]
            found: Dict[str, List[Check]] = {}
            for place, (examiner, element) in enumerate(
                [(checker, row) for row in mine] + [(other, row) for row in extra]
            ):
                seconds = max(0.0, end - time.monotonic()) / (len(mine) + len(extra) - place)
                if element.url not in found:
                    found[element.url] = examiner.element(element, seconds)
            fresh = self._freshness(mine, extra)
            rows = self._rows(self.chain, found, checker, checker, fresh)
            candidates = self._rows(self.others, found, other, checker, fresh)
            database = self._database()
            ways = [self._way().explain(text) for text in self.request.modules]
            completeness = self._completeness() if self.request.go_sum else None
        finally:
            self.client.close()
            self.origins.close()
        self._find(rows, ways, completeness, database)
        statuses = [check["status"] for row in rows for check in row["checks"]]
        result: Dict[str, Any] = {
            "goproxy": ",".join(element.shown for element in self.chain.elements if element.number),
            "chain": rows,
            "candidates": candidates,
            "freshness": fresh,
            "explain": ways,
            "go_sum": completeness,
            "sumdb": database,
            "findings": self.findings[: 5 * MAX_ROWS],
            "healthy": all(row["severity"] != "error" for row in self.findings),
            "counts": {status: statuses.count(status) for status in (OK, WARN, FAIL, SKIP)},
            "used": {
                "seconds": round(time.monotonic() - self.budget.started, 2),
                "requests": self.budget.requests,
                "bytes": self.budget.bytes,
            },
        }
        result["summary"] = self._summary(rows, ways, completeness)
        secrets = secrets_of(self.request.goproxy, self.request.environ) + self.credentials.secrets
        secrets = secrets + self.origins.secrets
        # Longest first, so that no rest of one stays; very short ones would make everything unreadable.
        chosen = sorted({secret for secret in secrets if len(secret) > 3}, key=len, reverse=True)
        cleaned: Dict[str, Any] = scrub(result, chosen)
        return cleaned

    # Parts

    def _asked(self, chain: chains.Chain) -> List[Element]:
        return [row for row in chain.elements if row.kind in (chains.HTTP, chains.FILE)] if not chain.error else []

    def _freshness(self, mine: Sequence[Element], extra: Sequence[Element]) -> List[Dict[str, Any]]:
        members = [Member(self.prober, element) for element in mine]
        members += [Member(self.other_prober, element) for element in extra]
        found: List[Dict[str, Any]] = []
        for path in dict.fromkeys(path for path, _version in self.canaries):
            row = compare(path, members, self.origins if self.request.direct else None)
            found += [row] if row is not None else []
        return found

    def _rows(
        self,
        chain: chains.Chain,
        found: Mapping[str, List[Check]],
        checker: Checker,
        first: Checker,
        fresh: Sequence[Mapping[str, Any]],
    ) -> List[Dict[str, Any]]:
        rows: List[Dict[str, Any]] = []
        numbers = {element.url: element.number for element in self.chain.elements}
        for element in chain.elements if not chain.error else ():
            if not element.number:
                continue
            checks = found.get(element.url, [])
            if checks and fresh:
                checks = checks + [freshness(element.shown, fresh)]
            # A candidate that is in the chain as well was examined there, where more may follow it.
            if chain is self.others:
                checks = [_alone(check) for check in checks]
            server = first.servers.get(numbers.get(element.url, 0), "") or checker.servers.get(element.number, "")
            rows.append(
                {
                    "number": element.number,
                    "element": element.shown,
                    "kind": element.kind,
                    "goes_on_after": "any error" if element.falls_back else "404 and 410",
                    "server": server,
                    "status": _worst(checks),
                    "checks": [_check_row(check) for check in checks],
                }
            )
            if chain is self.others:
                del rows[-1]["goes_on_after"], rows[-1]["number"]
        return rows

    def _database(self) -> Dict[str, str]:
        """Who passes the checksum database on, or how it is reached itself: its signed tree head is asked for."""
        database = self.database
        row = {"name": database.name, "by": "", "status": SKIP, "text": ""}
        path, _version = self.canaries[0]
        if database.off or database.error:
            row["text"] = database.error or "GOSUMDB is off: nothing is verified"
            row["status"] = FAIL if database.error else SKIP
            return row
        if chains.matches(self.gonosumdb, path) or self.chain.error:
            row["text"] = self.chain.error or "GONOSUMDB matches the canary: it is not verified"
            return row
        base = self.prober.sum_base(self.chain)
        if base.state != chains.FOUND:
            row["status"], row["text"] = SKIP if base.state == chains.UNKNOWN else FAIL, base.text
            return row
        row["by"] = base.by.shown if base.by is not None else wire.quiet_url(base.url)
        reply = self.prober.url(join(base.url, "latest"))
        if reply.error == wire.SPENT:
            row["text"] = reply.text
        elif not reply.ok:
            row["status"], row["text"] = FAIL, "the tree head: " + reply.say()
        else:
            try:
                size = sumdb.tree_head(reply.body, database).size
            except sumdb.SumProblem as problem:
                row["status"], row["text"] = FAIL, str(problem)
            else:
                row["status"], row["text"] = OK, "a signed tree of %d records" % size
                self._compare_trees(row, size)
        return row

    def _compare_trees(self, row: Dict[str, str], size: int) -> None:
        """What the account saw last must be in the tree (sumdb.Client.initWork, checkTrees); it was never removed."""
        if not self.request.sumdb:
            return
        path = "%s/%s/latest" % (self.request.sumdb, self.database.name)
        try:
            data = read_file(path, 1 << 16)
            seen = sumdb.tree_head(data, self.database).size if data else 0
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, sumdb.SumProblem) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            row["status"], row["text"] = FAIL, "%s: %s; remove it" % (path, reason)
            return
        if seen > size:
            row["status"] = WARN
            row["text"] += ", but in %s this account has seen one of %d" % (path, seen)
            hint = "What passes it on is old or a copy. If it is meant to stay so, remove the file"
            self._add("sumdb-behind", "warning", row["by"], "checksum database: " + row["text"], hint)

    def _way(self) -> explain.Way:
        return explain.Way(self.prober, self.chain, self.gonosumdb, self.known, self.request.wheres, self.origins)

    def _completeness(self) -> Dict[str, Any]:
        """Who serves what go.sum names: .mod for its go.mod lines, .zip (without zip: .info) for the others."""
        served: Dict[str, int] = {}
        missing: List[str] = []
        mismatched: List[str] = []
        counts = {"lines": 0, "served": 0, "direct": 0, "missing": 0, "mismatched": 0, "unknown": 0}
        for line in self.known.decode("utf-8", "replace").splitlines():
            words = line.split()
            if len(words) != 3 or not words[2].startswith("h1:"):
                continue
            path, version = words[0], words[1]
            is_mod = version.endswith("/go.mod")
            version = version[: -len("/go.mod")] if is_mod else version
            counts["lines"] += 1
            if self.budget.left() <= 0 or self.budget.requests >= self.budget.max_requests:
                counts["unknown"] += 1
                continue
            try:
                modpath.escape_path(path), modpath.escape_version(version)
            except ValueError:
                counts["unknown"] += 1
                continue
            state, by, have = self._one_line(path, version, is_mod)
            shown = "%s %s" % (path, words[1])
            if state == "served" and have and have != words[2]:
                counts["mismatched"] += 1
                mismatched.append("%s: %s serves %s" % (shown, by, have))
                continue
            counts[state] += 1
            if state == "served":
                served[by] = served.get(by, 0) + 1
            elif state == "missing":
                missing.append("%s: %s" % (shown, by))
        row: Dict[str, Any] = dict(counts)
        row["path"] = self.request.go_sum
        row["by"] = served
        row["missing_lines"], row["mismatched_lines"] = missing[:MAX_ROWS], mismatched[:MAX_ROWS]
        return row

    def _one_line(self, path: str, version: str, is_mod: bool) -> Tuple[str, str, str]:
        have: List[str] = [""]

        def ask(element: Element) -> chains.Answer:
            if is_mod:
                answer, reply = self.prober.mod(element, path, version)
                have[0] = dirhash.h1_gomod(reply.body) if reply is not None and reply.ok else ""
                return answer
            if not self.request.zip:
                return self.prober.info(element, path, version)[0]
            answer, found = self.prober.zip(element, path, version)
            if found is not None and answer.state == chains.FOUND:
                have[0] = found.h1 or found.problem
            return answer

        walk = chains.walk(self.chain, ask)
        if walk.by is not None:
            return "served", walk.by.shown, have[0]
        if walk.state in (chains.FAILED, chains.HANGS):
            return "missing", walk.text, ""
        outside = walk.steps and walk.steps[-1].element.kind in (chains.DIRECT, chains.NOPROXY)
        return ("direct" if outside else "unknown"), walk.text, ""

    # Findings

    def _add(self, code: str, severity: str, where: str, text: str, hint: str) -> None:
        row = {"code": code, "severity": severity, "where": where, "text": text, "hint": hint}
        if row not in self.findings:
            self.findings.append(row)

    def _find(
        self,
        rows: Sequence[Mapping[str, Any]],
        ways: Sequence[Mapping[str, Any]],
        completeness: Any,
        database: Mapping[str, str],
    ) -> None:
        where = self.request.wheres.get("GOPROXY", "")
        if self.chain.error:
            text = "Go refuses the value, no module can be fetched: " + self.chain.error
            self._add("chain-refused", "error", where, text, "Correct GOPROXY")
        for problem in self.request.problems:
            self._add(problem.code, problem.severity, problem.where, problem.text, problem.hint)
        for note in self.credentials.notes:
            self._add("credentials-unread", "warning", "GOAUTH", note, "Correct GOAUTH or the rights of the file")
        for path, version in self.canaries:
            if chains.matches(self.gonoproxy, path):
                text = "the canary %s goes around the proxies: GONOPROXY matches" % modpath.label(path, version)
                self._add("canary-private", "info", "GONOPROXY", text, "Take a canary that the proxies serve")
        for row in rows:
            for check in row["checks"]:
                if check["status"] in (WARN, FAIL):
                    severity = "error" if check["status"] == FAIL else "warning"
                    code = "proxy-" + check["name"].replace("_", "-")
                    self._add(code, severity, row["element"], check["text"], _HINTS.get(check["name"], ""))
        if database["status"] == FAIL:
            text = "no new module can be verified: " + database["text"]
            hint = "Let a proxy pass it on, open the way to it, or give the projects complete go.sum files"
            self._add("sumdb", "error", database["by"] or "GOSUMDB", text, hint)
        self._find_egress(rows)
        for way in ways:
            origin = way["origin"] or {}
            for problem in (origin.get("ssh") or {}).get("problems", []):
                hint = "See the origin of the module in explain"
                self._add("origin-ssh", "warning", way["module"], problem, hint)
            left = origin.get("token_seconds_left")
            if left is not None and left < TOKEN_LEFT:
                text = "the token in %s ends in %d minutes" % (origin["credential"], left // 60)
                self._add("origin-token", "warning", way["module"], text, "Renew it")
            cert = origin.get("client_certificate") or {}
            if cert.get("days_left") is not None and cert["days_left"] < DAYS_LEFT:
                text = "the client certificate %s%s" % (cert["path"], cert["text"])
                self._add("origin-certificate", "warning", way["module"], text, "Renew it")
            if way["verdict"] in (explain.FAILS, chains.HANGS):
                hint = "Look at the steps: the last one shows who stops"
                self._add("module-fails", "error", way["module"], way["text"], hint)
        if completeness and completeness["missing"]:
            text = "%d of %d lines are served by nobody" % (completeness["missing"], completeness["lines"])
            hint = "Fetch them into the proxy before the chain is cut off from the rest"
            self._add("go-sum-missing", "error", completeness["path"], text, hint)
        if completeness and completeness["mismatched"]:
            text = "%d of %d lines are served with another content" % (
                completeness["mismatched"],
                completeness["lines"],
            )
            hint = "Evict these versions from the proxy; find out who changed them"
            self._add("go-sum-mismatch", "error", completeness["path"], text, hint)
        order = {"error": 0, "warning": 1, "info": 2}
        self.findings.sort(key=lambda row: order.get(row["severity"], 3))

    def _find_egress(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """What the failures of all proxies have in common: it is not them."""
        states = [
            {check["name"]: check for check in row["checks"]}
            for row in rows
            if row["kind"] == chains.HTTP and row["checks"]
        ]
        if not states or any("dns" not in row or (row["dns"]["value"] or {}).get("forward") for row in states):
            return
        where = "this agent"
        if all(row["dns"]["status"] == FAIL for row in states):
            text = "no proxy's name resolves here"
            hint = "Correct the resolvers; where only a forward proxy looks names up, set HTTPS_PROXY for the account"
            self._add("egress-dns", "error", where, text, hint)
        elif all(row["tcp"]["status"] == FAIL for row in states):
            text = "names resolve, but no proxy can be connected to: a firewall keeps this agent in"
            self._add("egress-blocked", "error", where, text, "Open the way, or set HTTPS_PROXY to the forward proxy")

    def _summary(self, rows: Sequence[Mapping[str, Any]], ways: Sequence[Mapping[str, Any]], completeness: Any) -> str:
        if self.chain.error:
            return "Go refuses GOPROXY: " + self.chain.error
        parts: List[str] = []
        for row in rows:
            if row["kind"] not in (chains.HTTP, chains.FILE):
                parts.append("then " + row["element"])
                continue
            bad = [check["name"] for check in row["checks"] if check["status"] == row["status"]]
            text = "%s: %s" % (row["element"], row["status"])
            if row["status"] in (WARN, FAIL):
                text += " (%s)" % ", ".join(bad)
            parts.append(text)
        parts += ["%s: %s" % (way["module"], way["verdict"]) for way in ways]
        if completeness:
            parts.append("go.sum: %d of %d lines served" % (completeness["served"], completeness["lines"]))
        return "; ".join(parts)


def _worst(checks: Sequence[Check]) -> str:
    for status in (FAIL, WARN, OK):
        if any(check.status == status for check in checks):
            return status
    return SKIP


def _alone(check: Check) -> Check:
    text, stops, _rest = check.text.partition(STOPS)
    return check._replace(status=WARN, text=text) if stops else check


def _check_row(check: Check) -> Dict[str, Any]:
    return {"name": check.name, "status": check.status, "text": check.text, "value": check.value, "ms": check.ms}


def examine_as(account: Account, request: Request) -> Dict[str, Any]:
    """As examine(), in a child process with the account's rights, which is ended a little after the time limit.

    So every file is read, every GOAUTH command run, with no more rights than the account's own go commands have. Adds
    ``settings``. Raises OSError, ValueError.
    """

    def work() -> Any:
        try:
            return {"result": examine(request)}
        except ValueError as error:
            return {"refused": str(error)}
        except OSError as error:
            return {"errno": error.errno or 0, "text": error.strerror or str(error), "path": str(error.filename or "")}

    answer = as_account(account.uid, account.gid, work, request.time_limit + 15)
    if "refused" in answer:
        raise ValueError(answer["refused"])
    if "result" not in answer:
        raise OSError(answer["errno"], answer["text"], answer["path"])
    result: Dict[str, Any] = answer["result"]
    values = dict(request.settings, GOPROXY=request.goproxy)
    # Only those that are set somewhere: a login's HOME is none of them.
    values.update({name: value for name, value in request.environ.items() if name in request.wheres})
    result["settings"] = {
        name: {"value": mask_value(name, value), "where": request.wheres.get(name, "")}
        for name, value in sorted(values.items())
        if value
    }
    return result
