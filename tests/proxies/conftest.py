# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor and real go commands beside each other, through the same chain."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import toolchain
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import doctor
from ansible_collections.gofleet.cache.tests.fixtures import fault_proxy, goproxy, tls

LIB = "example.com/lib@v0.1.0"
#: Seconds without an end, after the request that gets no answer, from which on a go command counts as hanging.
HANGS_AFTER = 1.0
#: Requests for a module's files; the doctor calls the question for a list ``latest``.
_FILES = {"info": "info", "mod": "mod", "zip": "zip", "list": "latest"}


@dataclass(frozen=True)
class Go:
    """A toolchain: its command and release."""

    path: str
    release: tuple[int, ...]

    @property
    def name(self) -> str:
        return ".".join(map(str, self.release))

    def settings(self) -> dict[str, str]:
        """What it knows of credentials: GOAUTH came with 1.24."""
        return {"GOAUTH": "netrc" if self.release >= (1, 24) else ""}


@dataclass(frozen=True)
class Said:
    """What a go command, or the doctor, says of one module: ``served``, ``fails`` or ``hangs``.

    way: which element was asked for which file, in order; an element is named by the first part of its path.
    """

    verdict: str
    way: tuple[tuple[str, str], ...]
    text: str = ""


@pytest.fixture(autouse=True)
def no_forward_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No forward proxy, root or login of the caller gets in."""
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("NETRC", raising=False)


def _release(go: str) -> tuple[int, ...]:
    told = subprocess.run([go, "version"], stdout=subprocess.PIPE, check=True, timeout=60, cwd="/").stdout.decode()
    return tuple(toolchain.release(told.split()[2]))


@pytest.fixture(scope="session")
def gos() -> list[Go]:
    """The newest and the oldest Go that the test command provides."""
    found = [path for path in os.environ.get("GOFLEET_TEST_GOS", "").split(os.pathsep) if path]
    if not found and shutil.which("go"):
        found = [str(shutil.which("go"))]
    if not found:
        pytest.skip("needs Go")
    known = sorted((Go(path, _release(path)) for path in found), key=lambda go: go.release)
    return [known[-1], known[0]] if len(known) > 1 else known


@pytest.fixture(scope="session")
def tools() -> pathlib.Path:
    """The folder with athens, goproxy and sumdb."""
    found = os.environ.get("GOFLEET_TEST_TOOLS", "")
    if not found:
        pytest.skip("needs a Go module proxy that answers")
    return pathlib.Path(found)


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> goproxy.Proxy:
    """A folder of modules."""
    return goproxy.make_proxy(tmp_path_factory.mktemp("modules"), big=5)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tls.Authority:
    """Who issues the certificates."""
    return tls.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def site(modules: goproxy.Proxy) -> Iterator[fault_proxy.Running]:
    """The server that fails on request."""
    with fault_proxy.serve(modules) as running:
        yield running


@pytest.fixture(scope="module")
def secure(modules: goproxy.Proxy, authority: tls.Authority) -> Iterator[fault_proxy.Running]:
    """The same over https."""
    with fault_proxy.serve(modules, authority.issue("secure")) as running:
        yield running


class Bench:
    """Asks a go command and the doctor about one module."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.runs = 0

    def go(
        self,
        go: Go,
        value: str,
        gosumdb: str,
        label: str = LIB,
        site: fault_proxy.Running | None = None,
        stalls: Callable[[str], bool] | None = None,
        **environ: str,
    ) -> Said:
        """``go mod download -json`` in a home of its own. site: whose log tells the way; stalls: which path hangs."""
        self.runs += 1
        home = self.folder / ("go%d" % self.runs)
        telemetry = home / ".config" / "go" / "telemetry"
        telemetry.mkdir(parents=True)
        (telemetry / "mode").write_text("off", encoding="ascii")  # else a child of Go's writes there for a while
        start = len(site.seen) if site else 0
        given = {
            "PATH": os.path.dirname(go.path) + ":/usr/bin:/bin",
            "HOME": str(home),
            "GOPATH": str(home / "gopath"),
            "GOMODCACHE": str(home / "mod"),
            "GOCACHE": str(home / "cache"),
            "GOPROXY": value,
            "GOSUMDB": gosumdb,
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "",
            "GOENV": "off",
        }
        child = subprocess.Popen(
            [go.path, "mod", "download", "-json", label],
            env=given | environ,
            cwd=str(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        ended = threading.Event()
        hung = threading.Event()

        def watch() -> None:
            # Where it must hang, a while after the request; anywhere else a minute is a failure of the test.
            until = time.monotonic() + 60
            while not ended.wait(0.02):
                if stalls and site and any(stalls(path) for path, _headers in site.seen[start:]):
                    ended.wait(HANGS_AFTER)
                    break
                if time.monotonic() > until:
                    break
            if not ended.is_set():
                hung.set()
                child.kill()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        text = (child.communicate()[0] or b"").decode("utf-8", "replace")
        ended.set()
        watcher.join()
        subprocess.run(["chmod", "-R", "u+w", str(home)], check=False)
        shutil.rmtree(home, ignore_errors=True)
        verdict = "hangs" if hung.is_set() else "served" if child.returncode == 0 else "fails"
        return Said(verdict, _way_of_log(site.paths()[start:]) if site else (), text)

    def doctor(self, value: str, gosumdb: str, label: str = LIB, **more: Any) -> Said:
        """The doctor's word about the same."""
        result = self.examine(value, gosumdb, [label], **more)
        (way,) = result["explain"]
        return Said(way["verdict"], _way_of_steps(way["steps"]), json.dumps(way, indent=1))

    def examine(self, value: str, gosumdb: str, labels: Sequence[str] = (LIB,), **more: Any) -> dict[str, Any]:
        """The doctor's whole result."""
        given: dict[str, Any] = {"zip": True, "cached_only": False, "samples": 0, "request_timeout": 20.0}
        given.update({"canaries": [LIB], "time_limit": 60.0, "environ": {}, **more})
        settings = {"GOSUMDB": gosumdb, "GOAUTH": "netrc", **given.pop("settings", {})}
        request = doctor.Request(goproxy=value, settings=settings, wheres={}, modules=labels, **given)
        return doctor.examine(request)


def _element(path: str) -> str:
    return path.lstrip("/").partition("/")[0]


def _once(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    # Go's HTTP client asks again where a connection is lost, and Go itself after a 4xx over https.
    return tuple(pair for place, pair in enumerate(pairs) if not place or pairs[place - 1] != pair)


def _way_of_log(paths: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for path in paths:
        end = path.rpartition("/" if path.endswith("/list") else ".")[2]
        if "/@v/" in path and end in _FILES and _element(path) != "target":
            found.append((_FILES[end], _element(path)))
    return _once(found)


def _way_of_steps(steps: Sequence[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    found = []
    for step in steps:
        scheme, _slashes, rest = step["element"].partition("://")
        host, _slash, path = rest.partition("/")
        if step["step"] in _FILES.values() and scheme in ("http", "https") and host.startswith("127.0.0.1") and path:
            found.append((step["step"], _element(path)))
    return _once(found)


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    """See Bench."""
    return Bench(tmp_path)
