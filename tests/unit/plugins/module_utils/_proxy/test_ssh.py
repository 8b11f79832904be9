# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import hmac
import pathlib
import shutil
import socket
import subprocess
import threading
from typing import Any, Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go.files import LocalFiles
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import ssh
from ansible_collections.gofleet.cache.plugins.module_utils._proxy.ssh import Address

HOST = "git.example.com"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n%s\n"


def key(cipher: bytes) -> str:
    data = b"openssh-key-v1\0" + len(cipher).to_bytes(4, "big") + cipher + b"\0\0\0\4none" + bytes(60)
    return KEY % base64.b64encode(data).decode()


@pytest.fixture
def home(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / ".ssh").mkdir()
    return tmp_path


def look(home: pathlib.Path, url: str = "git@%s:a/b" % HOST, command: str = "", **environ: str) -> Dict[str, Any]:
    wanted = ssh.address(url)
    assert wanted is not None
    return ssh.plan(wanted, environ, command, str(home), LocalFiles())


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ssh://git@git.example.com/a/b", Address("git", HOST, 22)),
        ("ssh://git.example.com:2222/a", Address("", HOST, 2222)),
        ("git+ssh://u:p@[::1]:9/a", Address("u", "::1", 9)),
        ("git@git.example.com:a/b.git", Address("git", HOST, 22)),
        ("git.example.com:a", Address("", HOST, 22)),
        ("https://git.example.com/a", None),
        ("ext::sh -c x", None),
        ("/srv/a:b", None),
        ("file:///srv", None),
    ],
)
def test_addresses(url: str, found: Address | None) -> None:
    assert ssh.address(url) == found


def test_the_first_value_of_the_configuration_counts(home: pathlib.Path) -> None:
    text = "Host *.example.com !x.example.com\n HostName real.test\n Port 2222\n IdentityFile ~/k1\n"
    text += "Host *\n Port=99\n User ci\n IdentityFile %d/k2\n"
    (home / ".ssh/config").write_text(text, encoding="utf-8")
    options = ssh.Options(Address("", HOST, 22), str(home), "", LocalFiles())
    assert (options.host, options.port, options.user) == ("real.test", 2222, "ci")
    assert options.private_keys() == [str(home / "k1"), str(home / "k2")]
    other = ssh.Options(Address("git", "x.example.com", 22), str(home), "ssh -i /k3 -o Port=7", LocalFiles())
    assert (other.host, other.port, other.user) == ("x.example.com", 7, "git")
    assert other.private_keys() == ["/k3", str(home / "k2")]


def test_ssh_itself_takes_the_same_values(home: pathlib.Path) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("needs ssh")
    config = home / "config"
    text = (
        'Host git.*\n  HostName "real.test"\n  Port 2222\n  IdentityFile /k1\nMatch all\n  User ci\nHost *\n  Port 9\n'
    )
    config.write_text(text, encoding="utf-8")
    done = subprocess.run(["ssh", "-G", "-F", str(config), HOST], check=True, stdout=subprocess.PIPE)
    said = dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())
    options = ssh.Options(Address("", HOST, 22), str(home), "ssh -F %s" % config, LocalFiles())
    assert (said["hostname"], said["port"], said["user"], said["identityfile"]) == (
        options.host,
        str(options.port),
        options.user,
        options.private_keys()[0],
    )


def test_keys_are_described_and_never_shown(home: pathlib.Path) -> None:
    good, open_, locked = home / ".ssh/id_ed25519", home / ".ssh/id_rsa", home / ".ssh/id_ecdsa"
    for path, cipher, mode in ((good, b"none", 0o600), (open_, b"none", 0o644), (locked, b"aes256-ctr", 0o600)):
        path.write_text(key(cipher), encoding="utf-8")
        path.chmod(mode)
    rows = {pathlib.Path(row["path"]).name: row for row in look(home)["keys"]}
    assert (rows["id_ed25519"]["passphrase"], rows["id_ed25519"]["problem"]) == (False, "")
    assert "chmod 0600" in rows["id_rsa"]["problem"]
    assert rows["id_ecdsa"]["passphrase"] is True
    assert set(rows["id_rsa"]) == {"path", "mode", "passphrase", "problem"}


def test_without_any_key_or_known_host_it_says_so(home: pathlib.Path) -> None:
    problems = look(home)["problems"]
    assert "%s is in no file of known hosts: ssh refuses it where nobody can be asked" % HOST in problems
    assert "there is no key for %s" % HOST in problems
    (home / ".ssh/id_rsa").write_text(key(b"aes256-ctr"), encoding="utf-8")
    (home / ".ssh/id_rsa").chmod(0o600)
    assert any("passphrase and no agent" in problem for problem in look(home)["problems"])


def _hashed(name: str) -> str:
    salt = b"s" * 20
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|1|%s|%s" % (base64.b64encode(salt).decode(), base64.b64encode(digest).decode())


@pytest.mark.parametrize(
    ("line", "port", "known"),
    [
        (HOST, 22, True),
        ("other.test,%s" % HOST, 22, True),
        ("*.example.com", 22, True),
        ("*.example.com,!git.example.com", 22, False),
        ("[%s]:2222" % HOST, 2222, True),
        ("[%s]:2222" % HOST, 22, False),
        (HOST, 2222, False),
        (_hashed(HOST), 22, True),
        (_hashed("[%s]:2222" % HOST), 2222, True),
        (_hashed("other"), 22, False),
        ("|1|x|y", 22, False),
        ("@cert-authority *.example.com", 22, True),
        ("@revoked %s" % HOST, 22, False),
        ("# %s" % HOST, 22, False),
    ],
)
def test_known_hosts(home: pathlib.Path, line: str, port: int, known: bool) -> None:
    (home / ".ssh/known_hosts").write_text(line + " ssh-ed25519 AAAA\n", encoding="utf-8")
    assert look(home, "ssh://git@%s:%d/a" % (HOST, port))["known_host"] is known


def test_an_agent_tells_how_many_keys_it_holds(home: pathlib.Path) -> None:
    path = str(home / "agent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)

        def serve() -> None:
            client = listener.accept()[0]
            with client:
                assert client.recv(5) == b"\0\0\0\x01\x0b"
                client.sendall(b"\0\0\0\x05\x0c\0\0\0\x02")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        found = look(home, SSH_AUTH_SOCK=path)
        thread.join(5)
    assert found["agent"] == "an agent with 2 keys"
    assert not any("no key" in problem for problem in found["problems"])
    assert "does not answer" in look(home, SSH_AUTH_SOCK=path)["agent"]


@given(st.text(max_size=80))
def test_no_configuration_makes_it_raise(text: str) -> None:
    class Files:
        def read(self, path: str) -> bytes:
            return text.encode("utf-8", "replace")

    options = ssh.Options(Address("", HOST, 22), "/home/ci", text, Files())
    assert isinstance(options.port, int)
    assert isinstance(ssh.knows(Files(), ["x"], HOST, 22), bool)
