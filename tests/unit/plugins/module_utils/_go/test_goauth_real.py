# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GOAUTH helper, asked by real Go commands that fetch from a server over https on loopback."""

from __future__ import annotations

import base64
import http.server
import os
import shutil
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import goauth, toolchain
from ansible_collections.gofleet.cache.tests.fixtures import goproxy

LIB = goproxy.make_module("example.com/lib", "v0.1.0")
NO_MODULE = "example.com/none@v1.0.0"


def basic(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


class Said(NamedTuple):
    path: str
    headers: dict[str, str]
    status: int


class Site(http.server.ThreadingHTTPServer):
    """wanted: first part of the path -> the header and the value without which it says 401, or 404 with hides."""

    daemon_threads = True
    folder: Path
    wanted: dict[str, tuple[str, str]]
    hides: bool = False
    flood: bool = False
    said: list[Said]

    @property
    def url(self) -> str:
        return "https://127.0.0.1:%d" % self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *args: Any) -> None:
        """Keeps quiet."""

    def do_GET(self) -> None:
        site = self.server
        _empty, team, rest = self.path.split("/", 2)
        name, value = site.wanted.get(team, ("", ""))
        file = site.folder / rest
        if name and self.headers.get(name) != value:
            status = 404 if site.hides else 401
        elif team == "moved":
            status = 302
        else:
            status = 200 if file.is_file() else 404
        site.said.append(Said(self.path, dict(self.headers.items()), status))
        body = file.read_bytes() if status == 200 else b""
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "https://localhost:%d/open/%s" % (site.server_address[1], rest))
        if site.flood:
            for number in range(60):
                self.send_header("X-Flood-%d" % number, "x" * 2000)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(folder / "key"), "-out", str(folder / "cert"), "-days", "10", "-subj", "/O=Test Company"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    both = folder / "both"
    both.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return both


@pytest.fixture
def site(certificate: Path, tmp_path: Path) -> Iterator[Site]:
    server = Site(("127.0.0.1", 0), Handler)
    server.folder = goproxy.make_proxy(tmp_path / "modules", [LIB]).path
    server.wanted, server.said = {}, []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def release(go: str) -> tuple[int, int]:
    told = subprocess.run([go, "version"], stdout=subprocess.PIPE, check=True, timeout=60, cwd="/").stdout.decode()
    return toolchain.release(told.split()[2])


@pytest.fixture(scope="session")
def new_gos(go_binaries: list[str]) -> list[str]:
    """The oldest and the newest Go that know GOAUTH."""
    found = sorted({release(go): go for go in go_binaries}.items())
    known = [go for number, go in found if number >= goauth.SINCE]
    if not known:
        pytest.skip("needs a Go toolchain of 1.24 or later")
    return known if len(known) < 2 else [known[0], known[-1]]


class Home:
    """An account's home with a helper in a folder whose name has a blank, and what its Go says."""

    def __init__(self, folder: Path, certificate: Path, gos: list[str]) -> None:
        self.folder = folder
        self.gos = gos
        self.certificate = certificate
        self.path = folder / "my config" / "goauth.sh"
        self.path.parent.mkdir()
        self.netrc = folder / ".netrc"

    def write(self, *headers: goauth.Header) -> None:
        data = None
        for header in headers:
            data = goauth.put(data, header, exclusive=False)
        assert data is not None
        self.path.write_bytes(data)
        self.path.chmod(0o600)

    def get(self, go: str, proxy: str, module: str = LIB.label, setting: str = "") -> subprocess.CompletedProcess[str]:
        cache = self.folder / "modcache"
        shutil.rmtree(cache, ignore_errors=True)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GOENV": "off",
            "GOPROXY": proxy,
            "GOAUTH": setting or goauth.setting(str(self.path)),
            "GOMODCACHE": str(cache),
            "GOCACHE": str(self.folder / "cache"),
            "GOFLAGS": "-modcacherw",
            "GOSUMDB": "off",
            "GOTOOLCHAIN": "local",
            "GOTELEMETRY": "off",
            "SSL_CERT_FILE": str(self.certificate),
        }
        return subprocess.run(
            [go, "mod", "download", "-x", module],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            cwd=str(self.folder),
            check=False,
            timeout=120,
            text=True,
        )


@pytest.fixture
def home(tmp_path: Path, certificate: Path, new_gos: list[str]) -> Home:
    folder = tmp_path / "home"
    folder.mkdir()
    return Home(folder, certificate, new_gos)


def test_parts_of_one_server_get_credentials_of_their_own(home: Home, site: Site) -> None:
    site.wanted = {
        "a": ("Authorization", basic("ci", "p:\u00e4 'q\"")),
        "b": ("Authorization", "Bearer it's $HOME `id` \\n %s"),
        "c": ("PRIVATE-TOKEN", "tok"),
    }
    home.write(
        goauth.stored(site.url, "all", "everybody"),
        goauth.stored(site.url + "/a", "p:\u00e4 'q\"", "ci"),
        goauth.stored(site.url + "/b", "it's $HOME `id` \\n %s"),
        goauth.stored(site.url + "/c", "tok", name="PRIVATE-TOKEN"),
        goauth.stored(site.url + "/c", "second", name="X-Second"),
    )
    for go in home.gos:
        for team in "abc":
            done = home.get(go, site.url + "/" + team)
            assert done.returncode == 0, (done.stdout, site.said)
        del site.said[:]
        # Whole elements count: neither /a nor /b, but what is for the whole server.
        assert home.get(go, site.url + "/ab").returncode == 0
        assert {item.headers.get("Authorization") for item in site.said} == {basic("everybody", "all")}
        del site.said[:]
        assert home.get(go, site.url + "/c").returncode == 0
        taken = [item.headers for item in site.said if item.status == 200]
        assert {headers.get("X-Second") for headers in taken} == {"second"}
        assert not any("Authorization" in headers for headers in taken)


def test_netrc_keeps_working_behind_the_helper_and_the_first_wins_where_both_know_the_place(
    home: Home, site: Site
) -> None:
    home.netrc.write_text("machine %s login ci password fromnetrc\n" % site.url[8:])
    site.wanted = {
        "a": ("Authorization", "Bearer t"),
        "b": ("Authorization", basic("ci", "fromnetrc")),
    }
    for go in home.gos:
        home.write(goauth.stored(site.url + "/a", "t"))
        for team in "ab":
            assert home.get(go, site.url + "/" + team).returncode == 0
        home.write(goauth.stored(site.url, "t"))
        assert home.get(go, site.url + "/a").returncode == 0
        assert home.get(go, site.url + "/b").returncode != 0
        turned = "netrc;" + goauth.setting(str(home.path))[: -len(";netrc")]
        assert home.get(go, site.url + "/b", setting=turned).returncode == 0
        home.path.unlink()
        assert home.get(go, site.url + "/b").returncode == 0


def test_a_secret_is_read_anew_at_each_call(home: Home, site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "it's a token"
    program = tmp_path / "print token"
    counter = tmp_path / "count"
    program.write_text(
        "#!/bin/sh\ncat >/dev/null\necho run >>'%s'\necho warning >&2\nprintf '%%s\\n' \"$1-token\"\n" % counter
    )
    program.chmod(0o755)
    site.wanted = {"a": ("Authorization", "Bearer one"), "b": ("Authorization", basic("o'a", "it's-token"))}
    home.write(
        goauth.fetched(site.url + "/a", "file", [str(secret)]),
        goauth.fetched(site.url + "/b", "run", [str(program), "it's"], login="o'a"),
    )
    for go in home.gos:
        secret.write_text("one\n")
        site.wanted["a"] = ("Authorization", "Bearer one")
        assert home.get(go, site.url + "/a").returncode == 0
        secret.write_text("two")
        site.wanted["a"] = ("Authorization", "Bearer two")
        assert home.get(go, site.url + "/a").returncode == 0
        counter.write_text("")
        assert home.get(go, site.url + "/b").returncode == 0
        if release(go) >= goauth.PATHS_SINCE:
            assert counter.read_text() == "run\n"


def test_a_program_is_asked_again_after_401_and_not_after_404(home: Home, site: Site, tmp_path: Path) -> None:
    program = tmp_path / "token"
    counter = tmp_path / "count"
    program.write_text("#!/bin/sh\necho x >>'%s'\nwc -l <'%s' | tr -d ' '\n" % (counter, counter))
    program.chmod(0o755)
    home.write(goauth.fetched(site.url, "run", [str(program)]))
    for go in home.gos:
        counter.write_text("")
        site.wanted = {"a": ("Authorization", "Bearer 2")}
        done = home.get(go, site.url + "/a")
        assert done.returncode == 0, done.stdout
        assert [item.status for item in site.said[:2]] == [401, 200]
        del site.said[:]
        counter.write_text("")
        site.wanted = {}
        assert home.get(go, site.url + "/a", NO_MODULE).returncode != 0
        assert {item.status for item in site.said} == {404}
        assert counter.read_text() == "x\n"
        del site.said[:]


def test_go_says_why_with_x_where_there_are_no_credentials_and_nobody_else_loses_theirs(
    home: Home, site: Site, tmp_path: Path
) -> None:
    site.wanted = {"a": ("Authorization", "Bearer x"), "b": ("Authorization", "Bearer y")}
    home.write(
        goauth.fetched(site.url + "/a", "file", [str(tmp_path / "none")]),
        goauth.stored(site.url + "/b", "y"),
        goauth.fetched(site.url + "/c", "run", ["/bin/false"]),
    )
    for go in home.gos:
        done = home.get(go, site.url + "/a")
        assert done.returncode != 0
        assert "no credentials for %s/a: %s cannot be read" % (site.url, tmp_path / "none") in done.stdout
        assert home.get(go, site.url + "/b").returncode == 0
        for site.hides in (True, False):
            site.wanted["c"] = ("Authorization", "Bearer z")
            done = home.get(go, site.url + "/c")
            assert "no credentials for %s/c: /bin/false" % site.url in done.stdout


def test_a_long_answer_on_its_input_neither_blocks_nor_breaks_the_helper(home: Home, site: Site) -> None:
    site.flood = True
    site.wanted = {"a": ("Authorization", "Bearer x")}
    home.write(goauth.stored(site.url + "/a", "y"), goauth.stored(site.url + "/b", "x"))
    for go in home.gos:
        del site.said[:]
        done = home.get(go, site.url + "/a")
        assert done.returncode != 0
        assert "401" in done.stdout
        assert "GOAUTH encountered errors" not in done.stdout
        assert len(site.said) == 2
        assert site.said[1].headers.get("Authorization") == "Bearer y"
        assert home.get(go, site.url + "/b").returncode == 0


def test_only_authorization_stays_behind_at_a_redirect_to_another_host(home: Home, site: Site) -> None:
    home.write(goauth.stored(site.url, "x"), goauth.stored(site.url, "y", name="PRIVATE-TOKEN"))
    for go in home.gos:
        del site.said[:]
        assert home.get(go, site.url + "/moved").returncode == 0
        arrived = [item.headers for item in site.said if item.path.startswith("/open/")]
        assert arrived
        assert not any("Authorization" in headers for headers in arrived)
        # What the module's documentation warns about (golang/go#77839).
        assert all(headers.get("Private-Token") == "y" for headers in arrived)


def test_a_part_of_a_server_is_found_at_once_from_1_25_on_and_after_401_before(home: Home, site: Site) -> None:
    site.wanted = {"a": ("Authorization", "Bearer x")}
    home.write(goauth.stored(site.url + "/a", "x"), goauth.stored(site.url, "other"))
    for go in home.gos:
        del site.said[:]
        done = home.get(go, site.url + "/a")
        assert done.returncode == 0, done.stdout
        refused = [item.headers.get("Authorization") for item in site.said if item.status == 401]
        assert refused == ([] if release(go) >= goauth.PATHS_SINCE else ["Bearer other"] * 3)


def test_nothing_is_sent_to_another_port(home: Home, site: Site) -> None:
    home.write(goauth.stored("https://127.0.0.1", "x"), goauth.stored("https://127.0.0.1:1", "x"))
    for go in home.gos:
        del site.said[:]
        assert home.get(go, site.url + "/a").returncode == 0
        assert not any("Authorization" in item.headers for item in site.said)
