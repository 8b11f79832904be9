# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Go's settings do together, and what popular guides get wrong. The single value is grammar.py's business.

Pure. The same rules judge what an account has (lint.check) and what a role is asked to write (profiles.problems).
"""

from __future__ import annotations

import re
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from . import globs, grammar
from .mask import mask_value

ERROR = "error"  #: go commands fail, or private names leave the company
WARNING = "warning"  #: works today, costs time or trust later
INFO = "info"

#: Hosts that serve everybody, so that a private module's name that is asked there has left the company.
PUBLIC_HOSTS = ("proxy.golang.org", "goproxy.cn", "goproxy.io", "goproxy.dev", "mirrors.aliyun.com")
#: Hosts that old guides name and that answer no more.
DEAD_HOSTS = ("gocenter.io", "athens.azurefd.net", "goproxy.baidu.com", "gosum.io")
#: Hosts where everybody may open an account, and so publish a name that is not taken.
CODE_HOSTS = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitee.com", "git.sr.ht", "gopkg.in")


class Finding(NamedTuple):
    """id: stable slug. severity: ERROR, WARNING or INFO. name: the variable. text: what is wrong and what Go does.
    hint: what to do. line: the right line, where there is one. No text holds a credential."""

    id: str
    severity: str
    name: str
    text: str
    hint: str
    line: str = ""


class Fleet(NamedTuple):
    """What the settings alone do not tell.

    private: globs of modules that a private proxy serves. direct: globs of those that are fetched from their
    repositories. public_hosts: proxies for everybody besides the known ones. air_gapped: nothing may be asked outside.
    accounts: how many share the settings; 0 for all of a machine. asked: somebody is about to write these settings, so
    what is missing is unknown, and what is allowed but seldom understood is explained.
    """

    private: Tuple[str, ...] = ()
    direct: Tuple[str, ...] = ()
    public_hosts: Tuple[str, ...] = ()
    air_gapped: bool = False
    accounts: int = 1
    asked: bool = False


class Hop(NamedTuple):
    """One entry of GOPROXY: host in lower case ('' for files and words), public, and the separator after it."""

    text: str
    url: str
    host: str
    public: bool
    separator: str

    @property
    def proxy(self) -> bool:
        """Whether it is neither direct nor off."""
        return self.text not in ("direct", "off")


def host_of(url: str) -> str:
    """The host of an http or https URL in lower case, '' for anything else."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def hops(value: str, public_hosts: Sequence[str] = ()) -> List[Hop]:
    """The entries of a GOPROXY value up to direct or off."""
    found: List[Hop] = []
    for entry in grammar.split_goproxy(value):
        if not entry.text:
            continue
        if entry.text in ("direct", "off"):
            found.append(Hop(entry.text, "", "", False, ""))
            break
        url = grammar.proxy_url(entry.text)
        host = host_of(url)
        found.append(Hop(entry.text, url, host, host in PUBLIC_HOSTS or host in public_hosts, entry.separator))
    return found


def check(values: Mapping[str, str], fleet: Fleet = Fleet()) -> List[Finding]:  # noqa: B008  (immutable)
    """What is wrong with settings as a whole. values: name -> text; a missing or empty one is Go's default.

    Never raises; values that grammar.py refuses get no wrong advice here, but maybe none.
    """
    return _Check(values, fleet).run()


class _Check:
    def __init__(self, values: Mapping[str, str], fleet: Fleet) -> None:
        self.values = values
        self.fleet = fleet
        self.found: List[Finding] = []
        self.hops = hops(values.get("GOPROXY", ""), fleet.public_hosts)
        self.known = bool(self.hops)
        self.public = [hop for hop in self.hops if hop.public]
        self.private_list = globs.split(values.get("GOPRIVATE", ""))
        self.no_proxy = globs.split(values.get("GONOPROXY", "") or values.get("GOPRIVATE", ""))
        self.no_sumdb = globs.split(values.get("GONOSUMDB", "") or values.get("GOPRIVATE", ""))
        self.no_proxy_name = "GONOPROXY" if values.get("GONOPROXY") else "GOPRIVATE"

    def add(self, code: str, severity: str, name: str, text: str, hint: str, line: str = "") -> None:
        text, hint, line = (mask_value("GOPROXY", part) for part in (text, hint, line))
        self.found.append(Finding(code, severity, name, text, hint, line))

    def run(self) -> List[Finding]:
        self._chain()
        self._names()
        self._sums()
        if self.fleet.air_gapped:
            self._air_gap()
        self._flags()
        self._places()
        return self.found

    # GOPROXY by itself

    def _chain(self) -> None:
        for hop in self.hops:
            if not hop.proxy:
                continue
            shown = mask_value("GOPROXY", hop.text)
            if hop.host in DEAD_HOSTS:
                rest = grammar.join_goproxy([_entry(one) for one in self.hops if one is not hop])
                self.add(
                    "dead-host",
                    ERROR,
                    "GOPROXY",
                    "%s has been switched off; old guides still name it. Behind a comma nothing after it is asked"
                    % shown,
                    "Remove it.",
                    "GOPROXY=%s" % (rest or grammar.GOROOT_DEFAULTS["GOPROXY"]),
                )
            if hop.url.lower().startswith("http:"):
                self._plain(hop, shown)
            wrong = re.match(r"(file:///(?:.*/)?pkg/mod)(?:/cache)?/?\Z", hop.url)
            if wrong:
                self.add(
                    "file-not-download",
                    ERROR,
                    "GOPROXY",
                    "%s is a module cache's folder of extracted source. There every module is 'not found', so that Go "
                    "fails, or silently asks the next entry" % shown,
                    "The proxy's protocol is in cache/download.",
                    "GOPROXY=%s"
                    % grammar.join_goproxy(
                        [
                            grammar.ProxyEntry(wrong.group(1) + "/cache/download", one.separator)
                            if one is hop
                            else _entry(one)
                            for one in self.hops
                        ]
                    ),
                )
        if self.fleet.asked:
            self._separators()

    def _plain(self, hop: Hop, shown: str) -> None:
        if "@" in urlsplit(hop.url).netloc:
            self.add(
                "http-credentials",
                ERROR,
                "GOPROXY",
                "%s has a login for plain http: Go refuses to send it, every request fails" % shown,
                "Use https, and put the login into the account's netrc file or GOAUTH.",
            )
        elif hop.host != "localhost" and not re.match(r"127\.|::1\Z", hop.host):
            self.add(
                "plain-http",
                WARNING,
                "GOPROXY",
                "%s is asked without TLS: answers can be changed on the way, and Go sends no credential" % shown,
                "Use https.",
                "GOPROXY=%s" % self.values["GOPROXY"].replace("http://", "https://"),
            )

    def _separators(self) -> None:
        for hop, after in zip(self.hops, self.hops[1:]):
            if not hop.host or hop.public or after.text == "off":
                continue
            shown, then = mask_value("GOPROXY", hop.text), mask_value("GOPROXY", after.text)
            if hop.separator == ",":
                self.add(
                    "comma",
                    INFO,
                    "GOPROXY",
                    "'%s' is asked only where %s says 404 or 410. A refused connection, a time-out, 401, 403, 429 and "
                    "any 5xx end the build" % (then, shown),
                    "Put '|' behind an entry whose failures shall lead on. Keep ',' where a refusal shall be final.",
                )
            elif hop.separator == "|":
                self.add(
                    "pipe",
                    INFO,
                    "GOPROXY",
                    "'%s' is asked after any error of %s, also where it refuses a module on purpose (403)"
                    % (then, shown),
                    "Put ',' behind a proxy that blocks modules by policy.",
                )
            return

    # who gets to know which names

    def _names(self) -> None:
        self._bypassed()
        left = globs.uncovered(self.no_proxy, self.fleet.private)
        gate = next((hop for hop in self.hops if hop.proxy and not hop.public), None)
        outside = next((hop for hop in self.hops if hop.public), None)
        if gate and outside and self.hops.index(gate) < self.hops.index(outside):
            self._confusion(gate, outside, left)
        elif left and outside:
            self.add(
                "private-to-public",
                ERROR,
                "GOPROXY",
                "the names of the private modules %s are sent to %s, which cannot have them"
                % (_some(left), outside.host),
                "Put the private proxy first, or name the modules in GOPRIVATE.",
                "GOPRIVATE=%s" % ",".join([*self.private_list, *left]),
            )
        self._proxied()
        narrow = globs.uncovered(self.no_proxy, self.private_list)
        if self.values.get("GONOPROXY") and narrow and (self.public or not self.known) and not left:
            self.add(
                "gonoproxy-narrower",
                ERROR if self.known else WARNING,
                "GONOPROXY",
                "GONOPROXY replaces what GOPRIVATE says about proxies, it does not add to it: modules of %s are asked "
                "for at %s" % (_some(narrow), self.public[0].host if self.public else "the proxies of GOPROXY"),
                "Remove GONOPROXY, so that GOPRIVATE counts, or name everything in it.",
                "GONOPROXY=%s" % ",".join([*(one for one in self.no_proxy if one != "none"), *narrow]),
            )

    def _confusion(self, gate: Hop, outside: Hop, left: Sequence[str]) -> None:
        door = mask_value("GOPROXY", gate.text)
        right = "GOPROXY=%s" % gate.text
        says = (
            "any error" if any(hop.separator == "|" for hop in self.hops[: self.hops.index(outside)]) else "404 or 410"
        )
        if left:
            self.add(
                "dependency-confusion",
                ERROR,
                "GOPROXY",
                "a private module (%s) for which %s says %s, because it is missing or misspelt, is asked for at %s: "
                "its name leaves the company, and if somebody published it there, that is what you build%s"
                % (_some(left), door, says, outside.host, _publishers(left)),
                "End the list at the private proxy and let that fetch public modules. Or make it answer 403 for "
                "private names that it does not have, keep ',' behind it, and accept this.",
                right,
            )
        elif not self.fleet.private and not self.no_proxy:
            self.add(
                "dependency-confusion",
                INFO if self.no_sumdb else WARNING,
                "GOPROXY",
                "what %s does not have is asked for at %s, private names too: somebody else can publish them there"
                % (door, outside.host),
                "End the list at the private proxy, or name in GOPRIVATE the private modules that it does not serve.",
                right,
            )

    def _bypassed(self) -> None:
        hit = [glob for glob in self.fleet.private if any(globs.overlap(one, glob) for one in self.no_proxy)]
        if not hit:
            return
        culprits = [one for one in self.no_proxy if any(globs.overlap(one, glob) for glob in hit)]
        by = self.no_proxy_name
        rest = [one for one in self.no_proxy if one not in culprits]
        sums = list(dict.fromkeys([*hit, *self.no_sumdb]))
        also = ", which is also the default of GONOPROXY" if by == "GOPRIVATE" else ""
        self.add(
            "private-proxy-bypassed",
            ERROR,
            by,
            "%s=%s%s: Go fetches %s from the repositories and never asks the private proxy that serves them"
            % (by, self.values.get(by, ""), also, _some(hit)),
            "Keep them out of the checksum database only, by GONOSUMDB; %s."
            % ("leave in %s what no proxy serves: %s" % (by, ",".join(rest)) if rest else "list %s as absent" % by),
            "GONOSUMDB=%s" % ",".join(sums),
        )

    def _proxied(self) -> None:
        missing = globs.uncovered(self.no_proxy, self.fleet.direct)
        if not missing or (self.known and not any(hop.proxy for hop in self.hops)):
            return
        outside = bool(self.public) or not self.known
        where = self.public[0].host if self.public else "the proxies"
        self.add(
            "direct-modules-proxied",
            ERROR if outside else WARNING,
            self.no_proxy_name,
            "%s should be fetched from the repositories, but Go asks %s first, by name" % (_some(missing), where),
            "Name them in GOPRIVATE%s." % (", and remove GONOPROXY" if self.values.get("GONOPROXY") else ""),
            "GOPRIVATE=%s" % ",".join([*self.private_list, *missing]),
        )

    # the checksum database

    def _sums(self) -> None:
        value = self.values.get("GOSUMDB", "")
        if value == "off":
            self.add(
                "gosumdb-off",
                ERROR,
                "GOSUMDB",
                "modules are taken without comparing them with the checksum database: what is not in go.sum yet is "
                "trusted as the proxy gave it. A build with a complete go.sum wins no time, it never asks the database",
                "Name only the private modules.",
                "GONOSUMDB=%s"
                % (",".join(self.no_sumdb or self.fleet.private or self.fleet.direct) or "git.example.com"),
            )
            return
        words = value.split()
        for host in (
            words[0].partition("+")[0] if words else "",
            host_of(grammar.proxy_url(words[-1]) if words else ""),
        ):
            if host in DEAD_HOSTS:
                text = "%s has been switched off; every sum that is not in go.sum yet fails" % host
                line = "GOSUMDB=%s" % grammar.GOROOT_DEFAULTS["GOSUMDB"]
                self.add("dead-host", ERROR, "GOSUMDB", text, "Use sum.golang.org, through your proxy.", line)
                break
        for name in ("GOPRIVATE", "GONOSUMDB"):
            if "*" in globs.split(self.values.get(name, "")):
                also = " and without a proxy" if name == "GOPRIVATE" and not self.values.get("GONOPROXY") else ""
                text = "'*' means every module of the world: all are taken without the checksum database%s" % also
                self.add(
                    "everything-private", WARNING, name, text, "Name only what is private.", "%s=git.example.com" % name
                )
        narrow = globs.uncovered(self.no_sumdb, self.private_list)
        wanted = list(dict.fromkeys([*self.no_sumdb, *narrow]))
        if self.values.get("GONOSUMDB") and narrow:
            self.add(
                "gonosumdb-narrower",
                ERROR,
                "GONOSUMDB",
                "GONOSUMDB replaces what GOPRIVATE says about checksums, it does not add to it: the names of %s go to "
                "the public checksum database, which then fails with 404 or 410" % _some(narrow),
                "Remove GONOSUMDB, so that GOPRIVATE counts, or name everything in it.",
                "GONOSUMDB=%s" % ",".join(one for one in wanted if one != "none"),
            )
            return
        leak = globs.uncovered(self.no_sumdb, [*self.fleet.private, *self.fleet.direct])
        if leak:
            self.add(
                "private-to-sumdb",
                ERROR,
                "GONOSUMDB",
                "the names of the private modules %s are looked up in the public checksum database, which cannot have "
                "them: the names leak, and the build fails with 404 or 410" % _some(leak),
                "Name them in GONOSUMDB.",
                "GONOSUMDB=%s" % ",".join(dict.fromkeys([*(one for one in self.no_sumdb if one != "none"), *leak])),
            )

    # no way out

    def _air_gap(self) -> None:
        inside = [hop for hop in self.hops if hop.proxy and not hop.public]
        right = grammar.join_goproxy([*(_entry(hop) for hop in inside), grammar.ProxyEntry("off", "")])
        line = "GOPROXY=%s" % (right if inside else "file:///srv/goproxy,off")
        if not self.known:
            text = (
                "the fleet is air-gapped and GOPROXY is not named: Go's default asks proxy.golang.org and repositories"
            )
            self.add("air-gap-default", ERROR, "GOPROXY", text, "Name the bundle or the proxy inside.", line)
        for hop in self.hops:
            if hop.text == "direct":
                text = "the fleet is air-gapped: 'direct' asks repositories outside, and each try waits for a time-out"
                self.add(
                    "air-gap-direct", ERROR, "GOPROXY", text, "End the list with 'off', which fails at once.", line
                )
            elif hop.public:
                text = "the fleet is air-gapped, and %s is outside" % hop.host
                self.add("air-gap-public", ERROR, "GOPROXY", text, "Keep only what is inside.", line)
        out = globs.uncovered(self.fleet.direct, self.no_proxy)
        out = [one for one in out if one != "none"]
        if out:
            self.add(
                "air-gap-direct",
                ERROR,
                self.no_proxy_name,
                "the fleet is air-gapped: Go fetches %s from repositories, past every proxy" % _some(out),
                "Name them in GONOSUMDB instead. Where the repositories are inside, declare them as fetched directly.",
                "GONOSUMDB=%s" % ",".join(dict.fromkeys([*self.no_sumdb, *out])),
            )
        toolchain = self.values.get("GOTOOLCHAIN", "")
        if toolchain != "local" and not toolchain.endswith("+path") and toolchain != "path":
            text = "the fleet is air-gapped: a go.mod that asks for a newer Go makes go download it%s" % (
                "" if toolchain else " (GOTOOLCHAIN is not named)"
            )
            self.add("air-gap-toolchain", WARNING, "GOTOOLCHAIN", text, "Let it fail at once.", "GOTOOLCHAIN=local")

    # the rest

    def _flags(self) -> None:
        try:
            items = grammar.split_quoted(self.values.get("GOFLAGS", ""))
        except ValueError:
            return
        told = set()
        for item in items:
            flag, _equals, given = item.lstrip("-").partition("=")
            if flag in _FLAGS and flag not in told and given.lower() not in ("false", "0", "f"):
                told.add(flag)
                code, text = _FLAGS[flag]
                hint = "Remove -%s from GOFLAGS and give it to the one command that needs it" % flag
                self.add(code, WARNING, "GOFLAGS", "-%s %s" % (flag, text), hint)
            if flag == "mod" and given == "mod":
                self.add(
                    "goflags-mod-mod",
                    WARNING,
                    "GOFLAGS",
                    "-mod=mod lets every build change go.mod and go.sum itself and ignore vendor: modules that nobody "
                    "reviewed get in, and two builds of one commit may differ",
                    "Run 'go mod tidy' before the commit.",
                    "GOFLAGS=-mod=readonly",
                )

    def _places(self) -> None:
        if self.fleet.accounts == 1:
            return
        for name in ("GOMODCACHE", "GOCACHE"):
            path = self.values.get(name, "")
            if not path.startswith("/"):
                continue
            who = "%d accounts" % self.fleet.accounts if self.fleet.accounts else "all accounts of the machine"
            text = "%s share the writable folder %s: what one downloads the others cannot write beside" % (who, path)
            hint, line = "Leave it out, so that each account has its own.", ""
            if name == "GOMODCACHE":
                text += ", and where all can write, each can change the source that the others build"
                hint = "Leave it out, so that each account has its own, and offer the filled one read-only as a proxy."
                rest = self.values.get("GOPROXY", "") or grammar.GOROOT_DEFAULTS["GOPROXY"]
                line = "GOPROXY=file://%s/cache/download,%s" % (path.rstrip("/"), rest)
            self.add("cache-shared", WARNING, name, text, hint, line)


# GOFLAGS items that belong on one command line, never into every one.
_FLAGS = {
    "n": ("goflags-dry-run", "turns every go build, go clean and go install into a silent no-op"),
    "x": ("goflags-noise", "makes every go command print what it runs, credentials in command lines included"),
    "u": ("goflags-update", 'makes every go get an upgrade, and "go env NAME" delete NAME from the env file'),
    "w": ("goflags-env-write", 'makes every "go env" try to write'),
    "a": ("goflags-rebuild", "rebuilds everything every time: the build cache has no use and grows"),
    "work": ("goflags-work", "leaves the work folder of every build in GOTMPDIR"),
    "insecure": (
        "goflags-insecure",
        "makes every go get fail, and does nothing else: neither certificates nor checksums care",
    ),
}


def _entry(hop: Hop) -> grammar.ProxyEntry:
    return grammar.ProxyEntry(hop.text, hop.separator)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" and %d more" % (len(names) - 5) if len(names) > 5 else "")


def _publishers(names: Sequence[str]) -> str:
    """Who could publish the names, where that is more than the owner of a domain."""
    anybody: Optional[str] = None
    for name in names:
        first, _slash, rest = name.partition("/")
        owner = rest.partition("/")[0]
        if re.search(r"[*?\[]", first) and not re.search(r"\.[^*?\[.]+\.[^*?\[.]+\Z", first):
            anybody = "%s matches names in anybody's domain" % name
        elif first in CODE_HOSTS and (not owner or re.search(r"[*?\[]", owner)):
            anybody = "everybody may open an account at %s" % first
    return " (%s)" % anybody if anybody else ""
