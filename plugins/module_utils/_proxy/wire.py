# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GET over HTTP/1.1 and of file: URLs as the go command does it (cmd/go/internal/web, net/http), measured and bounded.

Differences to Go that remain: no HTTP/2 and no gzip; addresses are tried one after the other, not in a race; a 4xx over
https is not asked a second time with what GOAUTH then says.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import select
import socket
import ssl
import stat
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from .._go.mask import mask
from .credentials import NONE, Credential, Credentials
from .forward import Forward, Hop, ascii_host

AGENT = "Go-http-client/1.1 (gofleet.cache)"
#: Bytes of a body that are kept unless the caller wants more.
BODY_LIMIT = 4 << 20
MAX_REDIRECTS = 10
#: Where Go looks for roots on Linux, in this order (crypto/x509/root_linux.go).
_CERT_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_INTERCEPTORS = re.compile(
    r"(?i)zscaler|netskope|blue ?coat|palo ?alto|forti(gate|net|web)|sophos|mcafee|skyhigh|umbrella|forcepoint|websense"
    r"|check ?point|barracuda|squid|mitmproxy|portswigger|charles proxy|fiddler|kaspersky|bitdefender|\bcato\b|iboss"
)

# Kinds of errors.
DNS = "dns"
REFUSED = "refused"
TIMEOUT = "timeout"
#: The request was sent and nothing complete came back: Go has no limit for that.
STALLED = "stalled"
DROPPED = "dropped"
TLS = "tls"
REDIRECT = "redirect"
INSECURE = "insecure"
FORWARD = "forward"
PROTOCOL = "protocol"
LOCAL = "local"
#: The doctor's own bounds: says nothing about the server.
SPENT = "spent"


class WireError(Exception):
    """A request without an answer: kind is one of the kinds of errors, the text is fit to be shown."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(mask(text))
        self.kind = kind


class Redirect(NamedTuple):
    """One redirect: where to (fit to be shown), its status, to another host?, was a credential left behind?"""

    url: str
    status: int
    cross_host: bool
    dropped_credential: bool


@dataclass
class Reply:
    """What came of one GET. status 0: there was no answer, error and text say why.

    times: milliseconds of dns, connect, tls, first (byte) and total. body: at most the limit that was asked for, and
    ``cut`` tells whether there was more. size: bytes received. url, text: fit to be shown. tls: version, issuer, days
    left of a TLS connection. reused: whether an open connection was used.
    """

    url: str
    status: int = 0
    reason: str = ""
    headers: Dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    size: int = 0
    error: str = ""
    text: str = ""
    redirects: List[Redirect] = field(default_factory=list)
    times: Dict[str, float] = field(default_factory=dict)
    credential: Credential = NONE
    forward: str = ""
    reused: bool = False
    tls: Dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether Go takes it for an answer."""
        return self.status == 200 and not self.error

    @property
    def missing(self) -> bool:
        """Whether Go takes it for fs.ErrNotExist (web.HTTPError.Is)."""
        return self.status in (404, 410) and not self.error

    @property
    def html(self) -> bool:
        """Whether the body is a page for people: a login, a captive portal, a block page."""
        start = self.body[:512].lstrip().lower()
        return start.startswith((b"<!doctype html", b"<html", b"<head", b"<script", b"<?xml"))

    @property
    def ms(self) -> float:
        """Milliseconds until the answer was there."""
        return round(self.times.get("total", 0.0), 1)

    def say(self) -> str:
        """The answer in a few words."""
        if self.error:
            return self.text
        text = ("%d %s" % (self.status, self.reason)).strip()
        if self.status == 200 and self.html:
            text += " with an HTML page"
        if self.status == 407:
            text += " (the forward proxy wants a login)"
        # Go shows what a proxy says as plain text, and nothing else.
        if self.status != 200 and self.headers.get("content-type", "").lower().startswith("text/plain"):
            detail = " ".join(self.body.decode("utf-8", "replace").split())
            text += ": " + mask(detail[:120].rstrip(".")) if detail else ""
        return text


class Budget:
    """What one examination may use: seconds, requests, bytes. Raises WireError(SPENT) when it is used up."""

    def __init__(self, seconds: float, requests: int, size: int) -> None:
        self.started = time.monotonic()
        self.deadline = self.started + seconds
        self.seconds = seconds
        self.max_requests = requests
        self.max_bytes = size
        self.requests = 0
        self.bytes = 0

    def left(self) -> float:
        """Seconds left, 0 or more."""
        return max(0.0, self.deadline - time.monotonic())

    def request(self) -> None:
        """Counts one request."""
        if self.left() <= 0:
            raise WireError(SPENT, "not asked: the time limit of %g s is reached" % self.seconds)
        if self.bytes >= self.max_bytes:
            raise WireError(SPENT, "not asked: the limit of %d bytes is reached" % self.max_bytes)
        if self.requests >= self.max_requests:
            raise WireError(SPENT, "not asked: the limit of %d requests is reached" % self.max_requests)
        self.requests += 1

    def read(self, count: int) -> None:
        """Counts received bytes."""
        self.bytes += count
        if self.bytes > self.max_bytes:
            raise WireError(SPENT, "stopped: the limit of %d bytes is reached" % self.max_bytes)


class _Watch:
    """Ends a connection at a moment, whatever it is in: a peer that drips bytes never lets a socket time out."""

    def __init__(self, seconds: float) -> None:
        self.fired = False
        self.sent = False
        self._sock: Optional[socket.socket] = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def guard(self, sock: socket.socket) -> None:
        with self._lock:
            self._sock = sock
            fired = self.fired
        if fired:
            self._fire()

    def _fire(self) -> None:
        with self._lock:
            self.fired = True
            if self._sock is not None:
                try:
                    # Below any TLS layer, which would wait for its peer.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
                except OSError:
                    pass

    def stop(self) -> None:
        self._timer.cancel()


def resolve(host: str, port: int, family: int, timeout: float) -> Tuple[List[str], str, float]:
    """(addresses of one family, reason where there are none, milliseconds). Never raises.

    getaddrinfo has no time limit of its own, so it runs in a thread that is left behind.
    """
    answer: List[Union[List[str], OSError]] = []

    def work() -> None:
        try:
            rows = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
            answer.append(list(dict.fromkeys(str(row[4][0]) for row in rows)))
        except (OSError, UnicodeError) as error:
            answer.append(error if isinstance(error, OSError) else OSError(0, "no host name"))

    started = time.monotonic()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(0.01, timeout))
    ms = (time.monotonic() - started) * 1000
    if not answer:
        return [], "no answer within %.0f s" % timeout, ms
    found = answer[0]
    if isinstance(found, OSError):
        return [], found.strerror or str(found), ms
    return found, "", ms


def quiet_url(url: str) -> str:
    """The URL without what could be secret in it: no userinfo, no query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return mask(url.partition("?")[0])
    netloc = parts.netloc
    if "@" in netloc:
        netloc = "***@" + netloc.rpartition("@")[2]
    shown = urlunsplit(parts._replace(netloc=netloc, query="***" if parts.query else "", fragment=""))
    return mask(shown if len(shown) <= 500 else shown[:500] + "...")


class _Connection:
    """An HTTP/1.1 connection on a socket that is connected already."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self.sock = sock
        self.tls: Dict[str, Any] = {}
        self.http = http.client.HTTPConnection(host or "localhost")
        self.http.sock = sock

    def close(self) -> None:
        self.http.close()
        self.sock.close()


class Client:
    """Asks servers for one account, with the rights of this process.

    environ: for SSL_CERT_FILE, SSL_CERT_DIR and forward proxies. request_timeout: seconds for one request.
    cached_only: whether servers that know the header are told to fetch nothing. resolver: as resolve(). verify: whether
    certificates are. certificate: files of a client certificate and its key, which cmd/go never has, but git may.
    """

    def __init__(
        self,
        budget: Budget,
        credentials: Credentials,
        environ: Mapping[str, str],
        request_timeout: float,
        cached_only: bool = True,
        resolver: Callable[[str, int, int, float], Tuple[List[str], str, float]] = resolve,
        verify: bool = True,
        certificate: Tuple[str, str] = ("", ""),
    ) -> None:
        self.budget = budget
        self.credentials = credentials
        self.environ = environ
        self.request_timeout = request_timeout
        self.cached_only = cached_only
        self.forward = Forward(environ)
        self.resolver = resolver
        self.verify = verify
        self.certificate = certificate
        self._resolved: Dict[Tuple[str, int, int], Tuple[List[str], str, float]] = {}
        self._pool: Dict[Tuple[str, str, int, Optional[Hop]], _Connection] = {}
        self._context: Optional[ssl.SSLContext] = None

    def close(self) -> None:
        """Closes what is kept open."""
        for connection in self._pool.values():
            connection.close()
        self._pool.clear()

    # Names and sockets

    def addresses(self, host: str, port: int, family: int) -> Tuple[List[str], str, float]:
        """As resolve(), once per host and family."""
        key = (host, port, family)
        if key not in self._resolved:
            timeout = min(self.request_timeout, self.budget.left())
            self._resolved[key] = self.resolver(ascii_host(host), port, family, timeout)
        return self._resolved[key]

    def connect_one(self, address: str, port: int, timeout: float) -> socket.socket:
        """A connected socket; raises OSError."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(0.01, timeout))
            sock.connect((address, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock

    def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket to a name or address; raises WireError."""
        return self._connect(host, port, {})

    def _connect(self, host: str, port: int, times: Dict[str, float]) -> socket.socket:
        found: List[str] = []
        reasons: List[str] = []
        for family in (socket.AF_INET6, socket.AF_INET):
            rows, reason, ms = self.addresses(host, port, family)
            found += rows
            times["dns"] = times.get("dns", 0.0) + ms
            reasons += [reason] if reason else []
        if not found:
            raise WireError(DNS, "lookup %s: %s" % (host, "; ".join(dict.fromkeys(reasons)) or "no such host"))
        # What does not answer may take half of the time, so that the next address still gets its turn.
        deadline = time.monotonic() + min(self.request_timeout, self.budget.left())
        last: Optional[OSError] = None
        started = time.monotonic()
        for place, address in enumerate(found):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                sock = self.connect_one(address, port, left if place == len(found) - 1 else left / 2)
                times["connect"] = (time.monotonic() - started) * 1000
                return sock
            except OSError as error:
                last = error
        raise _network_error(last or socket.timeout(), "connect to %s port %d" % (host, port))

    def context(self) -> ssl.SSLContext:
        """TLS as Go checks it: the account's SSL_CERT_FILE and SSL_CERT_DIR, else the system's roots; no common names.

        Certificates of a directory count only under OpenSSL's hashed names, where Go reads every file.
        """
        if self._context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if hasattr(context, "hostname_checks_common_name"):
                context.hostname_checks_common_name = False
            context.set_alpn_protocols(["http/1.1"])
            if not self.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate[0]:
                self._present(context)
            given = self.environ.get("SSL_CERT_FILE", "")
            loaded = False
            for path in (given,) if given else _CERT_FILES:
                try:
                    context.load_verify_locations(cafile=path)
                    loaded = True
                    break
                except (OSError, ssl.SSLError):
                    continue
            for path in (self.environ.get("SSL_CERT_DIR") or "/etc/ssl/certs:/etc/pki/tls/certs").split(":"):
                if os.path.isdir(path):
                    context.load_verify_locations(capath=path)
                    loaded = True
            if not loaded and not given:
                context.load_default_certs()
            self._context = context
        return self._context

    def _present(self, context: ssl.SSLContext) -> None:
        cert, key = self.certificate

        def nobody() -> str:  # else OpenSSL would ask at the terminal
            raise ssl.SSLError("the key has a passphrase")

        try:
            context.load_cert_chain(cert, key or None, nobody)
        except (OSError, ssl.SSLError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise WireError(TLS, "client certificate %s: %s" % (cert, reason)) from None

    def secure(self, sock: socket.socket, host: str, times: Dict[str, float]) -> Tuple[ssl.SSLSocket, Dict[str, Any]]:
        """TLS over a connected socket, and what there is to say about it; raises WireError."""
        started = time.monotonic()
        try:
            wrapped = self.context().wrap_socket(sock, server_hostname=ascii_host(host))
        except ssl.SSLCertVerificationError as error:
            sock.close()
            raise WireError(TLS, "certificate of %s: %s" % (host, error.verify_message or error.reason)) from None
        except WireError:
            sock.close()
            raise
        except ssl.SSLError as error:
            sock.close()
            raise WireError(TLS, "TLS with %s: %s" % (host, error.reason or "failed")) from None
        except (OSError, ValueError) as error:
            sock.close()
            if isinstance(error, ValueError):
                raise WireError(TLS, "TLS with %s: no valid host name" % host) from None
            raise _network_error(error, "TLS with %s" % host) from None
        times["tls"] = (time.monotonic() - started) * 1000
        return wrapped, self._certificate(wrapped, host)

    def _certificate(self, sock: ssl.SSLSocket, host: str) -> Dict[str, Any]:
        cert: Any = sock.getpeercert() or {}
        issuer = {key: value for part in cert.get("issuer", ()) for key, value in part}
        name = issuer.get("organizationName", "") or issuer.get("commonName", "")
        row: Dict[str, Any] = {"version": sock.version() or "", "issuer": name, "days_left": None, "intercepted": False}
        if "notAfter" in cert:
            row["days_left"] = int((ssl.cert_time_to_seconds(cert["notAfter"]) - time.time()) // 86400)
        google = host == "golang.org" or host.endswith(".golang.org")
        if _INTERCEPTORS.search(" ".join(issuer.values())) or (google and "Google" not in name):
            row["intercepted"] = True
        return row

    # Forward proxies

    def _through(self, hop: Hop, scheme: str, host: str, port: int, reply: Reply, watch: _Watch) -> socket.socket:
        sock = self._connect(hop.host, hop.port, reply.times)
        watch.guard(sock)
        if hop.scheme == "https":
            sock, _row = self.secure(sock, hop.host, reply.times)
            watch.guard(sock)
        try:
            if hop.scheme.startswith("socks5"):
                self._socks(sock, hop, host, port)
            elif scheme == "https":
                self._tunnel(sock, hop, host, port)
        except (OSError, WireError) as error:
            sock.close()
            if isinstance(error, WireError):
                raise
            raise _network_error(error, "forward proxy %s" % hop.shown) from None
        return sock

    def _tunnel(self, sock: socket.socket, hop: Hop, host: str, port: int) -> None:
        target = "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)
        lines = ["CONNECT %s HTTP/1.1" % target, "Host: " + target, "User-Agent: " + AGENT]
        if hop.authorization:
            lines.append("Proxy-Authorization: " + hop.authorization)
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace"))
        head = b""
        while b"\r\n\r\n" not in head:
            # byte by byte at the end would be slow, but what follows the empty line belongs to TLS
            piece = sock.recv(1)
            if not piece or len(head) > 65536:
                raise WireError(FORWARD, "the forward proxy %s closed the connection" % hop.shown)
            head += piece
        status = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if len(status) < 2 or status[1] != "200":
            what = " ".join(status[1:]) or "no HTTP"
            login = " (it wants a login; %s)" % hop.variable if status[1:2] == ["407"] else ""
            raise WireError(FORWARD, "the forward proxy %s answered %s%s" % (hop.shown, what, login))

    def _socks(self, sock: socket.socket, hop: Hop, host: str, port: int) -> None:
        # RFC 1928 and 1929; the name is resolved by the proxy, as Go does it
        def take(count: int) -> bytes:
            data = b""
            while len(data) < count:
                piece = sock.recv(count - len(data))
                if not piece:
                    raise WireError(FORWARD, "the SOCKS proxy %s closed the connection" % hop.shown)
                data += piece
            return data

        login = bool(hop.user)
        sock.sendall(b"\x05\x02\x00\x02" if login else b"\x05\x01\x00")
        version, method = take(2)
        if version != 5 or method == 255 or (method == 2 and not login):
            raise WireError(FORWARD, "the SOCKS proxy %s wants a login, or is none" % hop.shown)
        if method == 2:
            user, password = hop.user.encode("utf-8")[:255], hop.password.encode("utf-8")[:255]
            sock.sendall(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
            if take(2)[1] != 0:
                raise WireError(FORWARD, "the SOCKS proxy %s refused the login" % hop.shown)
        name = ascii_host(host).encode("ascii", "replace")[:255]
        sock.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + port.to_bytes(2, "big"))
        answer = take(4)
        if answer[1] != 0:
            raise WireError(FORWARD, "the SOCKS proxy %s refused %s (code %d)" % (hop.shown, host, answer[1]))
        take({1: 4, 4: 16}.get(answer[3]) or take(1)[0])
        take(2)

    # Requests

    def get(
        self,
        url: str,
        limit: int = BODY_LIMIT,
        sink: Optional[Callable[[bytes], object]] = None,
        credential: Optional[Credential] = None,
        fresh: bool = False,
    ) -> Reply:
        """The reply to a GET, redirects followed as Go follows them. Never raises for what a server does.

        limit: bytes of the body that are kept. sink: is given the whole body, piece by piece. credential: instead of
        the account's. fresh: on a connection of its own.
        """
        reply = Reply(quiet_url(url))
        if fresh:
            self.close()
        started = time.monotonic()
        try:
            if url.lower().startswith("file:"):
                self._file(url, reply, limit, sink)
            else:
                self._follow(url, reply, limit, sink, credential)
        except WireError as error:
            reply.error, reply.text = error.kind, str(error)
        reply.times["total"] = (time.monotonic() - started) * 1000
        return reply

    def _file(self, url: str, reply: Reply, limit: int, sink: Optional[Callable[[bytes], object]]) -> None:
        # web.getFile
        self.budget.request()
        path = unquote(urlsplit(url).path, errors="surrogateescape")
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            reply.status, reply.reason = 404, "Not Found (no such file)"
            return
        except PermissionError:
            reply.status, reply.reason = 403, "Forbidden (permission denied)"
            return
        except (OSError, ValueError) as error:
            raise WireError(LOCAL, "open %s: %s" % (path, getattr(error, "strerror", "") or "no path")) from None
        with os.fdopen(fd, "rb") as source:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise WireError(LOCAL, "read %s: no regular file" % path)
            reply.status, reply.reason = 200, "OK"
            self._take(source.read, reply, limit, sink)

    def _take(
        self, read: Callable[[int], bytes], reply: Reply, limit: int, sink: Optional[Callable[[bytes], object]]
    ) -> None:
        kept = bytearray()
        while True:
            data = read(65536)
            if not data:
                break
            reply.size += len(data)
            self.budget.read(len(data))
            if sink is not None:
                sink(data)
                if len(kept) < 512:
                    kept += data[:512]
            elif len(kept) + len(data) > limit:
                kept += data[: limit - len(kept)]
                reply.cut = True
                break
            else:
                kept += data
        reply.body = bytes(kept)

    def _follow(
        self,
        url: str,
        reply: Reply,
        limit: int,
        sink: Optional[Callable[[bytes], object]],
        credential: Optional[Credential],
    ) -> None:
        parts = _split(url)
        if parts.scheme == "http" and "@" in parts.netloc:
            raise WireError(INSECURE, "refusing to pass credentials to insecure URL: " + quiet_url(url))
        first = parts
        reply.credential = self.credentials.for_url(url) if credential is None else credential
        headers = dict(reply.credential.headers)
        while True:
            status, location = self._one(parts, headers, reply, limit, sink)
            if status not in (301, 302, 303, 307, 308) or (not location and status in (307, 308)):
                return
            if not location:
                raise WireError(REDIRECT, "%d response missing Location header" % status)
            if len(reply.redirects) >= MAX_REDIRECTS:
                raise WireError(REDIRECT, "stopped after %d redirects" % MAX_REDIRECTS)
            target = _split(urljoin(urlunsplit(parts), location))
            cross = (target.hostname or "") != (parts.hostname or "")
            # net/http.shouldCopyHeaderOnRedirect: the host asked first and what is below it
            trusted = (target.hostname or "") == (first.hostname or "") or (target.hostname or "").endswith(
                "." + (first.hostname or "")
            )
            dropped = bool(headers) and not trusted
            if dropped or "Authorization" not in reply.credential.headers:
                headers = {}
            reply.redirects.append(Redirect(quiet_url(urlunsplit(target)), status, cross, dropped))
            if first.scheme == "https" and target.scheme != "https":
                text = "redirected from secure URL %s to insecure URL %s"
                raise WireError(REDIRECT, text % (quiet_url(urlunsplit(parts)), quiet_url(urlunsplit(target))))
            parts = target

    def _one(
        self,
        parts: SplitResult,
        headers: Mapping[str, str],
        reply: Reply,
        limit: int,
        sink: Optional[Callable[[bytes], object]],
    ) -> Tuple[int, str]:
        self.budget.request()
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        hop = self.forward.hop(parts.scheme, host, port)
        reply.forward = hop.shown if hop else ""
        key = (parts.scheme, host, port, hop)
        path = parts.path or "/"
        target = path + ("?" + parts.query if parts.query else "")
        if hop is not None and parts.scheme == "http" and not hop.scheme.startswith("socks5"):
            target = "http://%s%s" % (parts.netloc.rpartition("@")[2], target)
            headers = dict(headers)
            if hop.authorization:
                headers["Proxy-Authorization"] = hop.authorization
        watch = _Watch(min(self.request_timeout, self.budget.left()))
        try:
            response, connection = self._exchange(key, hop, parts, target, headers, reply, watch)
            reply.status, reply.reason = response.status, mask(response.reason or "")
            reply.headers = {name.lower(): value for name, value in response.getheaders()}
            reply.body, reply.cut, reply.size = b"", False, 0
            redirect = response.status in (301, 302, 303, 307, 308) and "location" in reply.headers
            if response.status != 200:
                # Of an error only the beginning counts, and a redirect's body not at all.
                self._take(response.read1, reply, 2048 if not redirect else 0, None)
            else:
                self._take(response.read1, reply, limit, sink)
            if watch.fired:
                raise self._late(host, watch)
            if response.length and not reply.cut:
                raise WireError(DROPPED, "the connection ended %d bytes too early" % response.length)
            if reply.cut or response.will_close or (response.length is None and not response.isclosed()):
                connection.close()
            else:
                response.close()
                self._pool[key] = connection
            return response.status, reply.headers.get("location", "")
        except http.client.IncompleteRead:
            late = watch.fired
            raise (self._late(host, watch) if late else WireError(DROPPED, "the connection ended too early")) from None
        except http.client.HTTPException as error:
            if watch.fired:
                raise self._late(host, watch) from None
            if isinstance(error, http.client.RemoteDisconnected):
                raise WireError(DROPPED, "request to %s: the connection was dropped" % host) from None
            name = type(error).__name__
            raise WireError(PROTOCOL, "no HTTP answer from %s (%s)" % (host, name)) from None
        except OSError as error:
            if watch.fired or isinstance(error, socket.timeout):
                raise self._late(host, watch) from None
            raise _network_error(error, "request to %s" % host) from None
        except WireError as error:
            if watch.fired and error.kind not in (SPENT, TIMEOUT, STALLED):
                raise self._late(host, watch) from None
            raise
        finally:
            watch.stop()

    def _late(self, host: str, watch: _Watch) -> WireError:
        if self.budget.left() <= 0:
            return WireError(SPENT, "no complete answer from %s when the time limit was reached" % host)
        text = "no complete answer from %s within %g s" % (host, self.request_timeout)
        # net/http.DefaultTransport bounds connecting and the TLS handshake, nothing after them.
        return WireError(STALLED, text + " (Go itself waits without limit)") if watch.sent else WireError(TIMEOUT, text)

    def _exchange(
        self,
        key: Tuple[str, str, int, Optional[Hop]],
        hop: Optional[Hop],
        parts: SplitResult,
        target: str,
        headers: Mapping[str, str],
        reply: Reply,
        watch: _Watch,
    ) -> Tuple[http.client.HTTPResponse, _Connection]:
        started = time.monotonic()
        kept = self._pool.pop(key, None)
        if kept is not None:
            ready, _w, _x = select.select([kept.sock], [], [], 0)
            if not ready:  # readable without a request: the peer has closed it
                reply.reused, reply.tls = True, kept.tls
                watch.guard(kept.sock)
                watch.sent = True
                try:
                    return self._send(kept, parts, target, headers, reply, started)
                except (OSError, http.client.HTTPException):
                    if watch.fired:
                        kept.close()
                        raise
            kept.close()
        reply.reused = watch.sent = False
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        if not host:
            raise WireError(PROTOCOL, "no host in the URL " + quiet_url(urlunsplit(parts)))
        sock: socket.socket
        if hop is not None:
            sock = self._through(hop, parts.scheme, host, port, reply, watch)
        else:
            sock = self._connect(host, port, reply.times)
        watch.guard(sock)
        if parts.scheme == "https":
            sock, reply.tls = self.secure(sock, host, reply.times)
            watch.guard(sock)
        connection = _Connection(sock, host)
        connection.tls = reply.tls
        watch.sent = True
        try:
            return self._send(connection, parts, target, headers, reply, started)
        except BaseException:
            connection.close()
            raise

    def _send(
        self,
        connection: _Connection,
        parts: SplitResult,
        target: str,
        headers: Mapping[str, str],
        reply: Reply,
        started: float,
    ) -> Tuple[http.client.HTTPResponse, _Connection]:
        connection.sock.settimeout(max(0.01, min(self.request_timeout, self.budget.left())))
        request = connection.http
        request.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        request.putheader("Host", parts.netloc.rpartition("@")[2])
        request.putheader("User-Agent", AGENT)
        if self.cached_only:
            request.putheader("Disable-Module-Fetch", "true")
        for name, value in headers.items():
            request.putheader(name, value)
        request.endheaders()
        response = request.getresponse()
        reply.times["first"] = (time.monotonic() - started) * 1000
        return response, connection


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises ValueError)
    except ValueError:
        raise WireError(PROTOCOL, "no URL that can be asked: " + mask(url)) from None
    if parts.scheme not in ("http", "https"):
        raise WireError(PROTOCOL, "unsupported protocol scheme in " + quiet_url(url))
    # What is not ASCII or is a blank would end the request line.
    path = re.sub(
        r"[^!-~]", lambda match: "".join("%%%02X" % byte for byte in match.group().encode("utf-8")), parts.path
    )
    query = re.sub(r"[^!-~]", "", parts.query)
    return parts._replace(path=path, query=query, fragment="")


def _network_error(error: OSError, what: str) -> WireError:
    if isinstance(error, (socket.timeout, TimeoutError)):
        return WireError(TIMEOUT, "%s: no answer in time" % what)
    if isinstance(error, (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)) or error.errno == errno.EPIPE:
        return WireError(DROPPED, "%s: the connection was dropped" % what)
    if isinstance(error, ConnectionRefusedError):
        return WireError(REFUSED, "%s: connection refused" % what)
    return WireError(REFUSED, "%s: %s" % (what, error.strerror or type(error).__name__))
