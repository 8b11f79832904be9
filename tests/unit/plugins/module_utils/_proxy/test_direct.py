# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the doctor says of repositories, and that a real go mod download says the same."""

from __future__ import annotations

import base64
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time
from typing import Any, Dict, Iterator, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import toolchain
from ansible_collections.gofleet.cache.plugins.module_utils._go.files import LocalFiles
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import credentials, direct, doctor, wire

GIT = shutil.which("git")
PASSWORD = "canary-Pa55word-of-the-tests"
PATH = "git.example.com/team/lib.git"


class Handler(http.server.BaseHTTPRequestHandler):
    """/open serves repositories, /login wants a password, /page names them, /none has nothing."""

    server: Server

    def log_message(self, *args: Any) -> None:
        """Keeps quiet."""

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def answer(self, body: bytes) -> None:
        self.server.seen.append(self.path)
        area, _slash, rest = self.path[1:].partition("/")
        if "go-get=1" in self.path:
            self.say(200, self.server.page.encode())
            return
        wanted = "Basic " + base64.b64encode(("ci:" + PASSWORD).encode()).decode()
        if area == "login" and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif area in ("open", "login"):
            self.backend(rest, body)
        else:
            self.say(404, b"no such thing")

    def say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def backend(self, rest: str, body: bytes) -> None:
        path, _mark, query = rest.partition("?")
        environ = {
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": "/" + path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            "PATH": os.environ["PATH"],
            "HOME": str(self.server.root),
        }
        done = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, env=environ, check=False)
        head, _blank, content = done.stdout.partition(b"\r\n\r\n")
        status = 200
        rows = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        for name, value in rows:
            status = int(value.split()[0]) if name == "Status" else status
        self.send_response(status)
        for name, value in rows:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    """Repositories below root."""

    daemon_threads = True
    root: pathlib.Path
    page: str
    seen: List[str]

    @property
    def url(self) -> str:
        return "http://127.0.0.1:%d" % self.server_address[1]


def _git(folder: pathlib.Path, *words: str) -> None:
    environ = {"HOME": str(folder), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    environ.update(GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b")
    subprocess.run(
        ["git", *words], cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the repository lib.git, module PATH at v1.0.0 and sub at sub/v0.1.0."""
    if GIT is None:
        pytest.skip("needs git")
    top = tmp_path_factory.mktemp("repositories")
    work = top / "team/lib"
    work.mkdir(parents=True)
    (work / "go.mod").write_text("module %s\n" % PATH, encoding="utf-8")
    (work / "lib.go").write_text("package lib\n", encoding="utf-8")
    (work / "sub").mkdir()
    (work / "sub/go.mod").write_text("module %s/sub\n" % PATH, encoding="utf-8")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "x"],
        ["tag", "v1.0.0"],
        ["tag", "sub/v0.1.0"],
        ["tag", "v2.0.0"],
    ):
        _git(work, *words)
    return top


@pytest.fixture
def site(repository: pathlib.Path) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.root, server.page, server.seen = repository, "", []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def environ_of(home: pathlib.Path, **more: str) -> Dict[str, str]:
    return dict({"HOME": str(home), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}, **more)


def rewrite(home: pathlib.Path, url: str) -> None:
    with (home / ".gitconfig").open("a", encoding="utf-8") as stream:
        stream.write('[url "%s/team/lib"]\n insteadOf = https://git.example.com/team/lib\n' % url)


def origins(home: pathlib.Path, ask: bool = True, settings: Any = None, **environ: str) -> direct.Origins:
    given = environ_of(home, **environ)
    files = LocalFiles()
    budget = wire.Budget(20, 100, 1 << 24)
    client = wire.Client(budget, credentials.Credentials("netrc", given, files), given, 3)
    return direct.Origins(client, settings or {}, given, files, ask, str(home))


def netrc(home: pathlib.Path, password: str = PASSWORD) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login ci password %s\n" % password, encoding="utf-8")


def test_a_repository_that_answers_is_accepted_and_tells_its_versions(site: Server, tmp_path: pathlib.Path) -> None:
    rewrite(tmp_path, site.url + "/open")
    found = origins(tmp_path)
    row = found.of(PATH)
    assert (row["accepted"], row["vcs"], row["protocol"], row["root"]) == (True, "git", "http", PATH)
    assert row["repository"] == "https://git.example.com/team/lib"
    assert row["url"] == site.url + "/open/team/lib"
    assert row["rewritten_by"].startswith("insteadOf https://git.example.com/team/lib, %s/.gitconfig:2" % tmp_path)
    assert found.versions(PATH) == ["v1.0.0"]
    assert found.versions(PATH + "/v2") == ["v2.0.0"]
    assert found.of(PATH + "/sub")["folder"] == "sub"
    assert found.versions(PATH + "/sub") == ["v0.1.0"]
    assert len(site.seen) == 1, "one repository is asked once"


def test_without_leave_nobody_is_asked(site: Server, tmp_path: pathlib.Path) -> None:
    rewrite(tmp_path, site.url + "/open")
    found = origins(tmp_path, ask=False)
    assert found.of(PATH)["accepted"] is None
    row = found.of("go.example.com/lib")
    assert (row["accepted"], row["repository"]) == (None, "")
    assert "https://go.example.com/lib?go-get=1 names the repository" in row["text"]
    assert site.seen == []


def test_which_credential_git_uses_and_whether_it_is_let_in(site: Server, tmp_path: pathlib.Path) -> None:
    rewrite(tmp_path, site.url + "/login")
    row = origins(tmp_path).of(PATH)
    assert (row["accepted"], row["status"], row["text"]) == (False, 401, "401 Unauthorized, with no credential")
    netrc(tmp_path)
    row = origins(tmp_path).of(PATH)
    assert (row["accepted"], row["credential"]) == (True, "netrc entry for 127.0.0.1")
    netrc(tmp_path, "wrong")
    assert origins(tmp_path).of(PATH)["accepted"] is False
    (tmp_path / ".netrc").unlink()
    with (tmp_path / ".gitconfig").open("a", encoding="utf-8") as stream:
        stream.write("[credential]\n helper = !touch %s/ran\n" % tmp_path)
    row = origins(tmp_path).of(PATH)
    assert row["accepted"] is None
    assert "git would ask the credential helper a shell command" in row["text"]
    assert not (tmp_path / "ran").exists()


def test_a_header_of_gits_settings_is_sent_and_its_end_is_told(site: Server, tmp_path: pathlib.Path) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + 90}).encode()).decode().rstrip("=")
    token = "eyJhbGciOiJub25lIn0.%s.c2ln" % claims
    rewrite(tmp_path, site.url + "/login")
    with (tmp_path / ".gitconfig").open("a", encoding="utf-8") as stream:
        stream.write("[http]\n extraHeader = Authorization: Bearer %s\n" % token)
    found = origins(tmp_path)
    row = found.of(PATH)
    assert 80 <= row["token_seconds_left"] <= 90
    assert row["credential"].startswith("http.extraHeader, ")
    assert token in found.secrets
    assert token not in json.dumps(row)


def test_how_long_a_client_certificate_lives_is_told_without_asking(
    tmp_path: pathlib.Path, certificate: pathlib.Path
) -> None:
    rewrite(tmp_path, "https://git.example.com")
    found = origins(tmp_path, ask=False, GIT_SSL_CERT=str(certificate)).of(PATH)
    assert found["client_certificate"] == {"path": str(certificate), "days_left": 9, "text": ", 9 days left"}
    assert "client certificate %s, 9 days left" % certificate in found["notes"]
    for name, data in (("none", None), ("other", b"-----BEGIN PRIVATE KEY-----\n")):
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        found = origins(tmp_path, ask=False, GIT_SSL_CERT=str(path)).of(PATH)
        assert found["client_certificate"]["days_left"] is None
        assert len(found["client_certificate"]["text"]) > 10, "it says why"
    assert origins(tmp_path, ask=False).of(PATH)["client_certificate"] is None


def test_a_password_in_a_rewritten_url_is_never_shown(site: Server, tmp_path: pathlib.Path) -> None:
    rewrite(tmp_path, site.url.replace("http://", "https://ci:%s@" % PASSWORD) + "/login")
    found = origins(tmp_path)
    row = found.of(PATH)
    assert row["credential"].startswith("the URL of insteadOf, ")
    assert PASSWORD not in json.dumps(row)
    assert PASSWORD in found.secrets


def test_govcs_and_a_missing_git_forbid_it_before_anybody_is_asked(site: Server, tmp_path: pathlib.Path) -> None:
    rewrite(tmp_path, site.url + "/open")
    assert origins(tmp_path, settings={"GOVCS": "*:off"}).of(PATH)["govcs"].startswith("GOVCS disallows using git")
    row = origins(tmp_path, PATH=str(tmp_path)).of(PATH)
    assert (row["accepted"], row["text"]) == (False, "git is not installed: Go can fetch nothing without a proxy")
    assert site.seen == []


@pytest.fixture
def anywhere(site: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Every host is this server."""

    def connect_one(self: wire.Client, address: str, port: int, timeout: float) -> socket.socket:
        return socket.create_connection(site.server_address[:2], timeout)

    monkeypatch.setattr(wire.Client, "connect_one", connect_one)
    monkeypatch.setattr(wire.Client, "addresses", lambda *args: (["127.0.0.1"], "", 0.0))
    return site


def test_pages_name_repositories_over_http_only_where_goinsecure_says_so(
    anywhere: Server, tmp_path: pathlib.Path
) -> None:
    anywhere.page = '<meta name="go-import" content="go.example.com/lib git http://git.example.com/open/team/lib">'
    row = origins(tmp_path).of("go.example.com/lib")
    assert (row["accepted"], row["found_by"]) == (False, "its path")
    assert "https fetch: " in row["text"]
    found = origins(tmp_path, settings={"GOINSECURE": "go.example.com"})
    row = found.of("go.example.com/lib/sub")
    assert (row["accepted"], row["insecure"], row["folder"]) == (True, True, "sub")
    assert found.versions("go.example.com/lib/sub") == ["v0.1.0"]
    assert [path for path in anywhere.seen if "go-get" in path] == ["/lib/sub?go-get=1", "/lib?go-get=1"]
    anywhere.page = "<html>nothing</html>"
    row = origins(tmp_path, settings={"GOINSECURE": "go.example.com"}).of("go.example.com/other")
    assert "no go-import meta tags" in row["text"]


def test_nothing_that_answers_for_git_makes_it_raise(anywhere: Server, tmp_path: pathlib.Path) -> None:
    for page in ("", "garbage", "001e# service=git-upload-pack\n0000zzzz", "001e# service=git-upload-pack\n0000ffff"):
        anywhere.page = page
        rewrite(tmp_path, "http://git.example.com/x?go-get=1#")
        assert origins(tmp_path).of(PATH)["accepted"] in (True, False)


@pytest.mark.parametrize(
    ("area", "login", "version", "verdict"),
    [
        ("open", "", "v1.0.0", "direct"),
        ("open", "", "v1.9.0", "fails"),
        ("none", "", "v1.0.0", "fails"),
        ("login", "", "v1.0.0", "fails"),
        ("login", PASSWORD, "v1.0.0", "direct"),
        ("login", "wrong", "v1.0.0", "fails"),
        ("govcs", "", "v1.0.0", "fails"),
    ],
)
def test_a_real_go_mod_download_agrees(
    site: Server, tmp_path: pathlib.Path, area: str, login: str, version: str, verdict: str
) -> None:
    found = toolchain.find([])
    if not found:
        pytest.skip("needs Go")
    home = tmp_path / "home"
    home.mkdir()
    rewrite(home, "%s/%s" % (site.url, "open" if area == "govcs" else area))
    if login:
        netrc(home, login)
    govcs = "*:off" if area == "govcs" else ""
    settings = {"GOPRIVATE": "git.example.com", "GONOPROXY": "git.example.com", "GOSUMDB": "off", "GOVCS": govcs}
    label = "%s@%s" % (PATH, version)
    request = doctor.Request("off", settings, {}, environ_of(home), [label], [label], direct=True, samples=0)
    (way,) = doctor.examine(request)["explain"]
    environ = environ_of(
        home, GOPROXY="off", GOPRIVATE="git.example.com", GOSUMDB="off", GOVCS=govcs, GOTOOLCHAIN="local"
    )
    environ.update(GOPATH=str(tmp_path / "go"), GOFLAGS="-modcacherw", GOCACHE=str(tmp_path / "cache"))
    environ["GOENV"] = "off"
    done = subprocess.run(
        [os.path.join(found[0].goroot, "bin/go"), "mod", "download", "-json", label],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (way["verdict"] == "direct") is (done.returncode == 0), (way, done.stdout, done.stderr)
    assert way["verdict"] == verdict
    assert PASSWORD not in json.dumps(way)


@pytest.fixture
def ssh_port() -> Iterator[int]:
    """A server that greets as SSH does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4)

        def greet() -> None:
            while True:
                try:
                    client = listener.accept()[0]
                except OSError:
                    return
                with client:
                    client.sendall(b"SSH-2.0-test\r\n")

        threading.Thread(target=greet, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_over_ssh_git_lists_references_and_nobody_is_asked(
    repository: pathlib.Path, ssh_port: int, tmp_path: pathlib.Path
) -> None:
    fake = tmp_path / "ssh"
    fake.write_text(
        '#!/bin/sh\necho "$@" >> %s/said\nfor last; do :; done\nexec sh -c "$last"\n' % tmp_path, encoding="utf-8"
    )
    fake.chmod(0o755)
    with (tmp_path / ".gitconfig").open("w", encoding="utf-8") as stream:
        stream.write(
            '[url "ssh://git@127.0.0.1:%d%s/"]\n insteadOf = https://git.example.com/\n' % (ssh_port, repository)
        )
        stream.write("[safe]\n directory = *\n")
    found = origins(tmp_path, GIT_SSH_COMMAND=str(fake), GIT_SSH_VARIANT="ssh")
    row = found.of(PATH)
    assert (row["accepted"], row["protocol"], row["text"]) == (True, "ssh", "the repository answers"), row
    assert found.versions(PATH) == ["v1.0.0"]
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert "BatchMode=yes" in said
    assert "UpdateHostKeys=no" in said
    assert "StrictHostKeyChecking=yes" in said
    assert row["ssh"]["known_host"] is False
    fake.write_text("#!/bin/sh\necho 'git@127.0.0.1: Permission denied (publickey).' >&2\nexit 255\n", encoding="utf-8")
    row = origins(tmp_path, GIT_SSH_COMMAND=str(fake), GIT_SSH_VARIANT="ssh").of(PATH)
    assert row["accepted"] is False
    assert "Permission denied (publickey)" in row["text"]


def test_a_git_that_hangs_is_ended_with_all_that_it_started(
    repository: pathlib.Path, ssh_port: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "ssh"
    fake.write_text("#!/bin/sh\necho $$ > %s/pid\nexec sleep 60\n" % tmp_path, encoding="utf-8")
    fake.chmod(0o755)
    with (tmp_path / ".gitconfig").open("w", encoding="utf-8") as stream:
        stream.write('[url "ssh://git@127.0.0.1:%d/"]\n insteadOf = https://git.example.com/\n' % ssh_port)
    found = origins(tmp_path, GIT_SSH_COMMAND=str(fake), GIT_SSH_VARIANT="ssh")
    found.client.request_timeout = 2.0  # for each of two steps
    started = time.monotonic()
    row = found.of(PATH)
    assert time.monotonic() - started < 50
    assert (row["accepted"], "no answer within 4 s" in row["text"]) == (False, True)
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    deadline = time.monotonic() + 30
    while os.path.exists("/proc/%d" % pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists("/proc/%d" % pid) or "sleep" not in pathlib.Path("/proc/%d/cmdline" % pid).read_text()
