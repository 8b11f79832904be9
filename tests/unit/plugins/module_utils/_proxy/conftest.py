# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module proxies on loopback."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from typing import Iterator

import pytest

from ansible_collections.gofleet.cache.tests.fixtures import fault_proxy as server
from ansible_collections.gofleet.cache.tests.fixtures import goproxy


@pytest.fixture(autouse=True)
def no_forward_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No forward proxy of the caller gets in."""
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir", "netrc"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> goproxy.Proxy:
    """A folder of modules."""
    return goproxy.make_proxy(tmp_path_factory.mktemp("modules"), big=5)


@pytest.fixture
def site(modules: goproxy.Proxy) -> Iterator[server.Running]:
    """A server over http."""
    with server.serve(modules) as running:
        yield running


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Key and certificate for 127.0.0.1, localhost and proxy.test, valid for ten days."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "10", "-subj", "/O=Test Company"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:proxy.test"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    both = folder / "both.pem"
    both.write_text(key.read_text(encoding="utf-8") + cert.read_text(encoding="utf-8"), encoding="utf-8")
    return both


@pytest.fixture
def secure(modules: goproxy.Proxy, certificate: pathlib.Path) -> Iterator[server.Running]:
    """A server over https."""
    with server.serve(modules, certificate) as running:
        yield running
