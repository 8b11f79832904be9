# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module proxy on loopback that serves a folder of tests/fixtures/goproxy.py and fails in every way on request.

The first part of the path is the fault: ``/ok`` serves, ``/st/503`` always says 503, and so on (``_Handler.do_GET``).
With it comes a checksum database with a signed tree.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import pathlib
import re
import select
import socket
import ssl
import threading
import time
import urllib.parse
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ansible_collections.gofleet.cache.plugins.module_utils._go import dirhash
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import sumdb
from ansible_collections.gofleet.cache.tests.fixtures import goproxy

LOGIN = b"<!DOCTYPE html><html><body><form action=/login>Please log in</form></body></html>"
#: What ``/auth`` wants.
USER, PASSWORD = "ci", "canary-Pa55word-of-the-tests"
SUMDB = "sumdb.test"


def _public(seed: bytes) -> Tuple[bytes, int, bytes]:
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    return _encode(sumdb._multiply(scalar, sumdb._BASE)), scalar, digest[32:]


def _encode(point: Tuple[int, int, int, int]) -> bytes:
    inverse = pow(point[2], sumdb._P - 2, sumdb._P)
    x, y = point[0] * inverse % sumdb._P, point[1] * inverse % sumdb._P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def sign(seed: bytes, message: bytes) -> bytes:
    """An Ed25519 signature (RFC 8032, section 5.1.6)."""
    public, scalar, prefix = _public(seed)
    nonce = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % sumdb._ORDER
    r = _encode(sumdb._multiply(nonce, sumdb._BASE))
    challenge = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % sumdb._ORDER
    return r + ((nonce + challenge * scalar) % sumdb._ORDER).to_bytes(32, "little")


def tree_root(leaves: List[bytes]) -> bytes:
    """The root of a Merkle tree (RFC 6962, section 2.1)."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + tree_root(leaves[:half]) + tree_root(leaves[half:])).digest()


class Database:
    """A checksum database with one record per module version."""

    def __init__(self, records: List[bytes], seed: bytes = b"s" * 32) -> None:
        self.records = records
        self.seed = seed
        self.leaves = [hashlib.sha256(b"\x00" + record).digest() for record in records]
        key = b"\x01" + _public(seed)[0]
        self.key_hash = hashlib.sha256(SUMDB.encode() + b"\n" + key).digest()[:4]
        self.verifier = "%s+%s+%s" % (SUMDB, self.key_hash.hex(), base64.b64encode(key).decode())

    @classmethod
    def of(cls, modules: Tuple[goproxy.Module, ...]) -> Database:
        """The database of these modules."""
        records: List[bytes] = []
        for module in modules:
            pairs = [
                (("%s/%s" % (module.label, name)).encode(), hashlib.sha256(data).digest())
                for name, data in module.files.items()
            ]
            lines = (module.path, module.version, dirhash.h1(pairs), module.path, module.version)
            records.append(("%s %s %s\n%s %s/go.mod %s\n" % (*lines, dirhash.h1_gomod(module.mod))).encode())
        return cls(records)

    def head(self) -> bytes:
        """The signed tree head."""
        root = base64.b64encode(tree_root(self.leaves)).decode()
        text = ("go.sum database tree\n%d\n%s\n" % (len(self.leaves), root)).encode()
        signature = base64.b64encode(self.key_hash + sign(self.seed, text)).decode()
        return text + ("\n\u2014 %s %s\n" % (SUMDB, signature)).encode()

    def lookup(self, label: str) -> Optional[bytes]:
        """The answer to one lookup, or None."""
        path, _at, version = label.partition("@")
        start = ("%s %s " % (path, version)).encode()
        for number, record in enumerate(self.records):
            if record.startswith(start):
                return b"%d\n%s\n%s" % (number, record, self.head())
        return None

    def tile(self, path: str) -> bytes:
        """A tile by its path below the database's address."""
        match = re.match(r"tile/8/(\d+)/((?:x\d{3}/)*\d{3})(?:\.p/(\d+))?\Z", path)
        assert match, path
        level, number = int(match.group(1)), int(match.group(2).replace("x", "").replace("/", ""))
        width = int(match.group(3) or 256)
        each = 256**level
        first = number * 256
        rows = [self.leaves[n * each : (n + 1) * each] for n in range(first, first + width)]
        return b"".join(tree_root(row) for row in rows)


def relay(client: socket.socket, port: int) -> None:
    """Carries bytes between a client and a port on loopback until one of them ends."""
    with socket.create_connection(("127.0.0.1", port), 10) as target:
        ends = {client: target, target: client}
        while True:
            ready, _w, _x = select.select(list(ends), [], [], 10)
            for sock in ready:
                data = sock.recv(65536)
                if not data:
                    return
                ends[sock].sendall(data)
            if not ready:
                return


@contextlib.contextmanager
def socks(port: int, login: Optional[Tuple[bytes, bytes]] = None) -> Iterator[Tuple[int, List[bytes]]]:
    """A SOCKS5 proxy (RFC 1928, 1929) that leads everything to a port on loopback: its own port, names asked for."""
    names: List[bytes] = []

    def one(client: socket.socket) -> None:
        with client:
            client.settimeout(10)
            methods = client.recv(2)[1]
            wanted = 2 if login else 0
            if wanted not in client.recv(methods):
                client.sendall(b"\x05\xff")
                return
            client.sendall(bytes([5, wanted]))
            if login:
                size = client.recv(2)[1]
                user = client.recv(size)
                given = (user, client.recv(client.recv(1)[0]))
                client.sendall(b"\x01\x00" if given == login else b"\x01\x01")
                if given != login:
                    return
            size = client.recv(5)[4]
            names.append(client.recv(size) + b":%d" % int.from_bytes(client.recv(2), "big"))
            client.sendall(b"\x05\x00\x00\x01" + bytes(6))
            relay(client, port)

    def accept() -> None:
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=one, args=(client,), daemon=True).start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], names
        listener.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args: Any) -> None:
        """Keeps quiet."""

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.server.seen.append(("CONNECT " + self.path, {k.lower(): v for k, v in self.headers.items()}))
        if self.server.tunnel:
            self.send_response(200)
            self.end_headers()
            relay(self.connection, self.server.tunnel)
        else:
            self.say(407, Proxy_Authenticate="Basic")
        self.close_connection = True

    def do_GET(self) -> None:
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        path = urllib.parse.unquote(self.path)
        if path.startswith("http://"):  # asked as a forward proxy
            path = "/" + path.split("/", 3)[3]
        fault, _slash, rest = path[1:].partition("/")
        if fault == "st":
            code, _slash, rest = rest.partition("/")
            self.say(int(code), b"status %s\n" % code.encode())
        elif fault == "html":
            self.say(200, LOGIN, Content_Type="text/html")
        elif fault == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "stall":
            self.server.ended.wait(15)
            self.close_connection = True
        elif fault == "drip":
            self.send_response(200)
            self.end_headers()
            while not self.server.ended.wait(0.1):
                self.wfile.write(b"x")
        elif fault == "slow":
            time.sleep(0.4)
            self.say(504)
        elif fault == "short":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"{")
            self.close_connection = True
        elif fault in ("redir", "away"):
            to = self.server.elsewhere if fault == "away" else ""
            self.say(302, Location=to + "/ok/" + rest)
        elif fault == "loop":
            self.say(302, Location="/loop/" + rest)
        elif fault == "nowhere":
            self.say(301)
        elif fault == "sso":
            self.say(200, LOGIN) if rest.startswith("login") else self.say(302, Location="/sso/login")
        elif fault == "echo":
            sent = self.headers.get("Authorization", "")
            plain = base64.b64decode(sent.partition(" ")[2] or "").decode()
            self.say(403, ("you sent %s, which is %s" % (sent, plain)).encode(), Content_Type="text/plain")
        elif fault == "auth":
            wanted = "Basic " + base64.b64encode(("%s:%s" % (USER, PASSWORD)).encode()).decode()
            if self.headers.get("Authorization") == wanted:
                self.serve(fault, rest)
            else:
                self.say(401, WWW_Authenticate="Basic")
        else:
            self.serve(fault, rest)

    def serve(self, fault: str, rest: str) -> None:
        cached = fault == "cached" and self.headers.get("Disable-Module-Fetch") == "true"
        if rest.startswith("sumdb/"):
            self.sums(fault, rest.split("/", 2)[2])
        elif fault == "athens" and rest == "version":
            self.say(200, json.dumps({"version": "v0.18.0", "date": ""}).encode())
        elif fault == "nolist" and rest.endswith("/@v/list"):
            self.say(403, b"policy: no lists")
        elif fault == "no404" and not (self.server.root / rest).exists():
            self.say(403, b"policy")
        elif cached and rest.endswith((".info", ".mod", ".zip")):
            self.say(404, b"not found: temporarily unavailable", Content_Type="text/plain")
        elif fault == "wronginfo" and rest.endswith(".info"):
            self.say(200, b'{"Version": "v9.9.9"}')
        elif fault == "wrongmod" and rest.endswith(".mod"):
            self.say(200, b"module example.com/lib // changed\n")
        elif fault == "htmlzip" and rest.endswith(".zip"):
            self.say(200, LOGIN)
        elif fault == "otherzip" and rest.endswith(".zip"):
            self.say(200, goproxy.zip_bytes(goproxy.make_module("example.com/other", "v1.0.0")))
        elif fault == "badzip" and rest.endswith(".zip"):
            self.say(200, goproxy.zip_bytes(self.server.changed(rest)))
        elif fault == "cutzip" and rest.endswith(".zip"):
            self.say(200, (self.server.root / rest).read_bytes()[:-30])
        else:
            try:
                body = (self.server.root / rest).read_bytes()
            except (OSError, ValueError):
                self.say(410 if fault == "gone" else 404, b"not found\n", Content_Type="text/plain")
            else:
                if fault == "chunked":
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
                else:
                    self.say(200, body)

    def sums(self, fault: str, rest: str) -> None:
        database = self.server.database
        if fault.startswith("sum") and fault[3:].isdigit():
            self.say(int(fault[3:]))
        elif rest == "supported":
            self.say(200 if fault.startswith(("sum", "badzip", "wrongmod", "cutzip")) else 404)
        elif rest.startswith("lookup/"):
            label = re.sub("!([a-z])", lambda match: match.group(1).upper(), rest[len("lookup/") :])
            found = database.lookup(label)
            if found is None or fault == "sumempty":
                self.say(404, b"not found", Content_Type="text/plain")
            elif fault == "sumlies":  # another hash, under the genuine tree head
                self.say(200, re.sub(rb"h1:.", b"h1:A", found))
            elif fault == "sumforged":
                self.say(200, Database(database.records, b"f" * 32).lookup(label) or b"")
            elif fault == "sumhtml":
                self.say(200, LOGIN)
            else:
                self.say(200, found)
        elif rest == "latest":
            self.say(200, Database(database.records, b"f" * 32).head() if fault == "sumforged" else database.head())
        elif rest.startswith("tile/"):
            data = database.tile(rest)
            self.say(200, bytes(len(data)) if fault == "sumtiles" else data)
        else:
            self.say(404)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    root: pathlib.Path
    database: Database
    modules: Tuple[goproxy.Module, ...]
    elsewhere = ""
    tunnel = 0
    seen: List[Tuple[str, Dict[str, str]]]
    ended: threading.Event

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news."""

    def changed(self, name: str) -> goproxy.Module:
        """The module of a zip's path with one file changed."""
        for module in self.modules:
            if name == "%s/@v/%s.zip" % (goproxy.escape(module.path), goproxy.escape(module.version)):
                return module._replace(files=dict(module.files, LICENSE=b"changed\n"))
        raise KeyError(name)


class Running:
    """A server that runs: url without a slash at its end, what was asked (path, headers), its database."""

    def __init__(self, server: _Server, scheme: str) -> None:
        self.server = server
        self.port = server.server_address[1]
        self.url = "%s://127.0.0.1:%d" % (scheme, self.port)
        self.seen = server.seen
        self.database = server.database

    def paths(self) -> List[str]:
        """The paths that were asked."""
        return [path for path, _headers in self.seen]


@contextlib.contextmanager
def serve(proxy: goproxy.Proxy, tls: Optional[pathlib.Path] = None) -> Iterator[Running]:
    """Serves the proxy's folder until the end of the block; tls: a PEM file with key and certificate."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.root, server.modules, server.seen = proxy.path, proxy.modules, []
    server.database, server.ended = Database.of(proxy.modules), threading.Event()
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(tls))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.elsewhere = "http://localhost:%d" % server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Running(server, "http" if tls is None else "https")
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
