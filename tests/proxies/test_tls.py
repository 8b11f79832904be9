# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates and logins: the doctor and ``go mod download`` through the same front, with the same .netrc."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import netrc
from ansible_collections.gofleet.cache.tests.fixtures import fault_proxy, tls

LOGIN = "%s:%s" % (fault_proxy.USER, fault_proxy.PASSWORD)


def _home(folder: pathlib.Path, machine: str, both: bool = False, password: str = fault_proxy.PASSWORD) -> str:
    """A home with what the module netrc_entry writes for this machine."""
    home = folder / "home"
    home.mkdir()
    data = netrc.put_forms(b"", machine, fault_proxy.USER, password, both, True)
    (home / ".netrc").write_bytes(data)
    return str(home)


def _compare(bench: Any, gos: Any, value: str, root: pathlib.Path, home: str = "", **more: Any) -> list[str]:
    verdicts = []
    for go in gos:
        environ = {"SSL_CERT_FILE": str(root), "SSL_CERT_DIR": "/nonexistent", "NETRC": home + "/.netrc"}
        said = bench.doctor(value, "off", environ=environ, settings=go.settings())
        real = bench.go(go, value, "off", **environ, **more)
        assert said.verdict == real.verdict, (go.name, value, said.text, real.text)
        assert fault_proxy.PASSWORD not in said.text
        verdicts.append(said.verdict)
    return verdicts


@pytest.mark.parametrize(
    ("value", "machine"),
    [
        ("{u}/auth", "127.0.0.1:{p}"),
        ("{u}/auth", "127.0.0.1"),
        ("{u}/auth", "other.test"),
        ("{u}/auth,{u}/ok", "127.0.0.1"),
        ("{u}/auth|{u}/ok", "127.0.0.1"),
        ("https://{login}@127.0.0.1:{p}/auth", "127.0.0.1"),
        ("https://wrong:login@127.0.0.1:{p}/auth", "127.0.0.1:{p}"),
        ("{u}/away,{u}/ok", "127.0.0.1"),
        ("{u}/away|{u}/ok", "127.0.0.1"),
        ("{u}/redir", "127.0.0.1"),
        ("{u}/loop|{u}/ok", "127.0.0.1"),
        ("{u}/st/404,{u}/ok", "127.0.0.1"),
        ("{u}/st/407,{u}/ok", "127.0.0.1"),
        ("http://{login}@127.0.0.1:{p}/ok,{u}/ok", "127.0.0.1"),
        ("http://{login}@127.0.0.1:{p}/ok|{u}/ok", "127.0.0.1"),
        ("http://127.0.0.1:{p}/ok,{u}/ok", "127.0.0.1"),
        ("http://127.0.0.1:{p}/ok|{u}/ok", "127.0.0.1"),
    ],
)
def test_go_and_the_doctor_agree_about_logins(
    bench: Any,
    gos: Any,
    secure: fault_proxy.Running,
    authority: tls.Authority,
    tmp_path: pathlib.Path,
    value: str,
    machine: str,
) -> None:
    value = value.format(u=secure.url, p=secure.port, login=LOGIN)
    _compare(bench, gos, value, authority.root, _home(tmp_path, machine.format(p=secure.port)))


@pytest.mark.parametrize("both", [False, True])
def test_both_forms_of_an_entry_serve_go_and_the_doctor(
    bench: Any,
    gos: Any,
    secure: fault_proxy.Running,
    authority: tls.Authority,
    tmp_path: pathlib.Path,
    both: bool,
) -> None:
    home = _home(tmp_path, "127.0.0.1:%d" % secure.port, both)
    assert set(_compare(bench, gos, secure.url + "/auth", authority.root, home)) == {"served"}


def test_a_wrong_password_fails_and_comes_back_nowhere(
    bench: Any, gos: Any, secure: fault_proxy.Running, authority: tls.Authority, tmp_path: pathlib.Path
) -> None:
    wrong = "wr0ng-Pa55word-of-the-tests"
    home = _home(tmp_path, "127.0.0.1:%d" % secure.port, password=wrong)
    assert set(_compare(bench, gos, secure.url + "/auth", authority.root, home)) == {"fails"}
    environ = {"SSL_CERT_FILE": str(authority.root), "NETRC": home + "/.netrc"}
    result = bench.examine(secure.url + "/echo", "off", environ=environ)
    assert any("authorization" in headers for path, headers in secure.seen if path.startswith("/echo/"))
    assert wrong not in json.dumps(result)


@pytest.mark.parametrize("tail", ["", ",{good}", "|{good}"])
@pytest.mark.parametrize(
    ("name", "verdict"),
    [("good", "served"), ("expired", "fails"), ("stranger", "fails"), ("unknown", "fails"), ("clients", "fails")],
)
def test_go_and_the_doctor_agree_about_certificates(
    bench: Any,
    gos: Any,
    site: fault_proxy.Running,
    authority: tls.Authority,
    tmp_path: pathlib.Path,
    name: str,
    verdict: str,
    tail: str,
) -> None:
    # clients: the front wants a certificate of its clients, and cmd/go has no way to give one.
    issuer = tls.Authority(tmp_path / "other") if name == "unknown" else authority
    hosts = ("proxy.test",) if name == "stranger" else ("127.0.0.1", "localhost")
    certificate = issuer.issue(name, -1 if name == "expired" else 9.5, hosts)
    clients = authority.root if name == "clients" else None
    with tls.front({"proxy": site.url + "/ok"}, certificate, clients=clients) as front:
        value = front.url + "/proxy" + tail.format(good=site.url + "/ok")
        found = _compare(bench, gos, value, authority.root)
    assert set(found) == {"served" if tail.startswith("|") else verdict}


def test_several_proxies_at_one_address_have_one_certificate(
    bench: Any, secure: fault_proxy.Running, authority: tls.Authority
) -> None:
    environ = {"SSL_CERT_FILE": str(authority.root)}
    result = bench.examine(f"{secure.url}/ok|{secure.url}/gone|{secure.url}/chunked", "off", environ=environ)
    found = [check["value"]["issuer"] for row in result["chain"] for check in row["checks"] if check["name"] == "tls"]
    assert found == ["Test Company"] * 3
