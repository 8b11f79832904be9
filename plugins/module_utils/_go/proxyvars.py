# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP_PROXY, HTTPS_PROXY, NO_PROXY and ALL_PROXY: what Go makes of them, where that is not what people think.

Source: golang.org/x/net/http/httpproxy proxy.go (FromEnvironment, parseProxy, init, useProxy), net/http transport.go.
curl and Git read the small spelling first, http_proxy only in small letters (curl(1), "Environment").
"""

from __future__ import annotations

import ipaddress
import re
from typing import Dict, List, Mapping, Tuple
from urllib.parse import urlsplit

from .grammar import Fault
from .mask import mask

#: Each variable in both spellings.
PAIRS: Tuple[Tuple[str, str], ...] = (
    ("HTTP_PROXY", "http_proxy"),
    ("HTTPS_PROXY", "https_proxy"),
    ("NO_PROXY", "no_proxy"),
    ("ALL_PROXY", "all_proxy"),
)
#: name -> its other spelling.
OTHER: Dict[str, str] = dict([*PAIRS, *((small, capital) for capital, small in PAIRS)])

_SCHEMES = ("http", "https", "socks5", "socks5h")


def check(environ: Mapping[str, str]) -> List[Fault]:
    """What is wrong with the proxy variables of an environment: what Go refuses, ignores or takes otherwise than meant.

    No fault holds login data.
    """
    faults: List[Fault] = []
    for capital, small in PAIRS:
        for name in (capital, small):
            if environ.get(name) and not (name == small and environ.get(capital) == environ[small]):
                faults += _no_proxy(name, environ[name]) if capital == "NO_PROXY" else _url(name, environ[name])
        if environ.get(capital) and environ.get(small) and environ[capital] != environ[small]:
            faults.append(
                Fault(
                    capital,
                    "proxy-spelling",
                    "it differs from %s: Go takes %s, curl and Git take the other" % (small, capital),
                    "Give both the same value.",
                )
            )
    return faults


def remarks(environ: Mapping[str, str]) -> List[Fault]:
    """What is right and yet seldom meant; never a reason to refuse it."""
    found: List[Fault] = []

    def value(capital: str) -> str:
        return environ.get(capital) or environ.get(OTHER[capital]) or ""

    def remark(name: str, rule: str, message: str, hint: str) -> None:
        found.append(Fault(name, rule, message, hint, certain=False))

    if value("HTTP_PROXY") and not value("HTTPS_PROXY"):
        remark(
            "HTTP_PROXY",
            "proxy-https-missing",
            "Go uses it for http:// addresses only, so modules from https:// proxies are fetched without it",
            "Set HTTPS_PROXY, too.",
        )
    if value("ALL_PROXY") and not (value("HTTPS_PROXY") and value("HTTP_PROXY")):
        remark(
            "ALL_PROXY",
            "proxy-all-unread",
            "curl and Git read it, the go command does not",
            "Set HTTPS_PROXY and HTTP_PROXY for Go.",
        )
    items = [item.strip() for item in value("NO_PROXY").split(",") if item.strip()]
    if "*" in items and len(items) > 1:
        message = "'*' alone decides: nothing goes through a proxy, and the other items mean nothing"
        remark("NO_PROXY", "no-proxy-all", message, "Remove '*', or all the rest.")
    for item in items:
        if item.startswith(("*.", ".")):
            name = item.lstrip("*.")
            remark(
                "NO_PROXY",
                "no-proxy-subdomains",
                "%r is all hosts below %s, but not %s itself" % (item, name, name),
                "Write %s for both." % name,
            )
        elif _is_network(item):
            remark(
                "NO_PROXY",
                "no-proxy-network",
                "%r counts for addresses in URLs only: Go does not look names up for it, and curl before 7.86 and "
                "Python do not know it" % item,
                "Add the names of the hosts, too.",
            )
        elif re.match(r"[^:/\s]+:[0-9]+\Z", item):
            message = "%r counts for this port only" % item
            remark("NO_PROXY", "no-proxy-port", message, "Leave the port out to name the whole host.")
    return found


def _url(name: str, value: str) -> List[Fault]:
    # parseProxy: what has no scheme or no host is tried again with http:// before it.
    shown = mask(value)

    def fault(rule: str, message: str, hint: str) -> List[Fault]:
        return [Fault(name, rule, message, hint)]

    whole = value if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://", value) else "http://" + value
    if "@" in value:
        return fault(
            "userinfo",
            "the address holds login data, which every process of the job can read and logs can show",
            "Let the proxy know its clients otherwise (by address, or by a local forwarder that logs in).",
        )
    if re.search(r"\s", value):
        return fault(
            "proxy-url", "the address %r holds a blank" % shown, "Write it like http://proxy.example.com:3128."
        )
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return fault("proxy-url", "%r is no address that Go can read, so it uses none" % shown, "Check host and port.")
    if parts.scheme.lower() not in _SCHEMES:
        return fault(
            "proxy-scheme",
            "Go knows no proxies of the kind %r, so that each download fails" % parts.scheme,
            "Use one of %s." % ", ".join(_SCHEMES),
        )
    if not re.match(r"[A-Za-z0-9._:%\-]+\Z", host) or port == 0:
        return fault(
            "proxy-url", "%r has no valid host and port" % shown, "Write it like http://proxy.example.com:3128."
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        return fault(
            "proxy-url",
            "%r has a path, which Go ignores: a forward proxy is a host and a port" % shown,
            "Write scheme, host and port only; an address of modules belongs into GOPROXY.",
        )
    return []


def _no_proxy(name: str, value: str) -> List[Fault]:
    faults: List[Fault] = []

    def fault(rule: str, message: str, hint: str) -> None:
        faults.append(Fault(name, rule, message, hint))

    for raw in value.split(","):
        item = raw.strip()
        shown = mask(item)
        if not item or item == "*":
            continue
        if re.search(r"[\s;]", item):
            message = "%r is one item for Go, which splits at commas only, and matches no host" % shown
            fault("no-proxy-separator", message, "Write %s." % ",".join(re.split(r"[\s;]+", shown)))
        elif "://" in item:
            host = item.partition("://")[2].rpartition("@")[2].partition("/")[0]
            fault("no-proxy-url", "%r is a URL and matches no host" % shown, "Write %s." % host)
        elif re.match(r"[0-9][0-9.]*\*", item) or re.match(r"([0-9]{1,3}\.){1,3}\Z", item):
            fault(
                "no-proxy-glob", "%r is no network for Go and matches no address" % shown, "Write %s." % _network(item)
            )
        elif "*" in (item[2:] if item.startswith("*.") else item):
            message = "%r matches no host: '*' means something alone or as '*.' at the beginning only" % shown
            fault("no-proxy-glob", message, "Write the domain, which includes all hosts below it.")
        elif "/" in item:
            if not _is_network(item):
                message = "%r is no network that Go can read and matches no address" % shown
                fault("no-proxy-network", message, "Write it like 10.0.0.0/8, or the host without a path.")
        elif re.match(r":[0-9]+\Z", item):
            fault("no-proxy-port", "%r has no host and is ignored" % shown, "Name a host before the port.")
        elif re.match(r"[0-9.]+(:[0-9]+)?\Z", item) and not _is_address(item.partition(":")[0]):
            fault(
                "no-proxy-address", "%r is no address and matches no host" % shown, "Write all four numbers, up to 255."
            )
        elif re.search(r"\.(:[0-9]+)?\Z", item):
            message = "%r matches only hosts that are written with the final dot in the URL" % shown
            fault("no-proxy-dot", message, "Write %s." % shown.replace(".:", ":").rstrip("."))
    return faults


def _network(item: str) -> str:
    numbers = [part for part in item.split(".") if part.isdigit()][:3]
    if not numbers:
        return "the network like 10.0.0.0/8"
    return "%s/%d" % (".".join(numbers + ["0"] * (4 - len(numbers))), 8 * len(numbers))


def _is_network(item: str) -> bool:
    # net.ParseCIDR: all four numbers and a length, no netmask.
    address, _sign, length = item.partition("/")
    if not re.match(r"[0-9]{1,3}\Z", length):
        return False
    try:
        ipaddress.ip_network(item, strict=False)
    except ValueError:
        return False
    return _is_address(address)


def _is_address(text: str) -> bool:
    # net.ParseIP refuses leading zeros; Python before 3.9.5 does not.
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return ":" in text or all(part == str(int(part)) for part in text.split("."))
