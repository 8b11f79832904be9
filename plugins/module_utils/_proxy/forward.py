# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP_PROXY, HTTPS_PROXY and NO_PROXY as Go reads them (golang.org/x/net/http/httpproxy).

Unlike curl and Python, Go never sends loopback hosts through a forward proxy, knows CIDR blocks and ports in NO_PROXY,
and takes ``domain`` for the domain and everything below it. Differences left: names are put into ASCII by IDNA 2003
(Go: IDNA 2008 Lookup), and REQUEST_METHOD (a CGI process) is not looked at.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from typing import List, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote, urlsplit

from .._go.mask import mask

#: The variables, in the order in which Go looks.
NAMES = {
    "http": ("HTTP_PROXY", "http_proxy"),
    "https": ("HTTPS_PROXY", "https_proxy"),
    "no": ("NO_PROXY", "no_proxy"),
}
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Hop(NamedTuple):
    """A forward proxy: scheme (http, https, socks5, socks5h), host, port, login for it, and the variable that names it.

    user and password are secret; shown is fit to be shown.
    """

    scheme: str
    host: str
    port: int
    user: str
    password: str
    variable: str
    shown: str

    @property
    def authorization(self) -> str:
        """The value of Proxy-Authorization, or an empty text."""
        if not self.user and not self.password:
            return ""
        return "Basic " + base64.b64encode(("%s:%s" % (self.user, self.password)).encode("utf-8")).decode("ascii")


def _first(environ: Mapping[str, str], names: Tuple[str, ...]) -> Tuple[str, str]:
    for name in names:
        if environ.get(name):
            return name, environ[name]
    return "", ""


def _hop(variable: str, value: str) -> Optional[Hop]:
    # httpproxy.parseProxy: host:port counts as http
    if not value:
        return None
    if not re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/]", value):
        value = "http://" + value
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if not host:
        return None
    return Hop(
        scheme,
        host,
        port or _PORTS.get(scheme, 80),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        variable,
        mask("%s://%s" % (scheme, parts.netloc)),
    )


def ascii_host(host: str) -> str:
    """The host as DNS knows it: lower case, in ASCII."""
    try:
        return host.encode("ascii").decode("ascii").lower()
    except UnicodeError:
        try:
            return host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return host.lower()


def _split_port(text: str) -> Optional[Tuple[str, str]]:
    # net.SplitHostPort; None where there is no port
    match = re.match(r"\[([^\[\]]*)\]:([^:]*)\Z", text) or re.match(r"([^:\[\]]*):([^:]*)\Z", text)
    return (match.group(1), match.group(2)) if match else None


def _address(text: str) -> Optional[Union[ipaddress.IPv4Address, ipaddress.IPv6Address]]:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


class Forward:
    """The forward proxies of one environment. What cannot be read counts as not set, as in Go."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.hops = {
            "http": _hop(*_first(environ, NAMES["http"])),
            "https": _hop(*_first(environ, NAMES["https"])),
        }
        self.variable, self.no_proxy = _first(environ, NAMES["no"])
        self.everything = False
        self._networks: List[_Network] = []
        self._addresses: List[Tuple[object, str]] = []
        self._domains: List[Tuple[str, str, bool]] = []
        for item in self.no_proxy.split(","):
            self._add(item.strip().lower())

    def _add(self, item: str) -> None:
        if not item or self.everything:
            return
        if item == "*":
            self.everything = True
            return
        if "/" in item:
            try:
                self._networks.append(ipaddress.ip_network(item, strict=False))
                return
            except ValueError:
                pass
        host, port = _split_port(item) or (item, "")
        if not host:
            return
        address = _address(host)
        if address is not None:
            self._addresses.append((address, port))
            return
        if host.startswith("*."):
            host = host[1:]
        exact = not host.startswith(".")
        self._domains.append((ascii_host(host if not exact else "." + host), port, exact))

    def bypasses(self, host: str, port: int) -> bool:
        """Whether requests to host go without a forward proxy (config.useProxy)."""
        host = ascii_host(host).strip()
        if host == "localhost":
            return True
        address = _address(host)
        if address is not None and address.is_loopback:
            return True
        if self.everything:
            return True
        number = str(port)
        if address is not None:
            return any(address in network for network in self._networks) or any(
                known == address and wanted in ("", number) for known, wanted in self._addresses
            )
        return any(
            (host.endswith(domain) or (exact and host == domain[1:])) and wanted in ("", number)
            for domain, wanted, exact in self._domains
        )

    def hop(self, scheme: str, host: str, port: int) -> Optional[Hop]:
        """The forward proxy for a URL, or None."""
        found = self.hops.get(scheme)
        return None if found is None or self.bypasses(host, port) else found
