# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Athens, goproxy and Go's own checksum database: the doctor beside ``go mod download`` through the real servers."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go import accounts, netrc
from ansible_collections.gofleet.cache.plugins.modules import go_proxy_info
from ansible_collections.gofleet.cache.tests.fixtures import goproxy, proxy_servers, tls

USER, PASSWORD = "ci", "canary-Pa55word-of-the-servers"
LIB, AZURE = "example.com/lib@v0.1.0", "example.com/Azure/Lib@v1.0.0"
#: In no storage when a test begins, unless it is put there.
FRESH = ["example.com/multi@v1.0.0", "example.com/multi/v2@v2.0.0", "example.com/Azure/Lib@v1.1.0"]
LABELS = [
    LIB,
    AZURE,
    "example.com/lib@v0.2.0-RC1",
    "example.com/legacy@v3.1.0+incompatible",
    "example.com/pseudo@" + goproxy.PSEUDO,
    "example.com/lib@v9.9.9",
    "example.com/none@v1.0.0",
    "example.com/lib@latest",
    "example.com/none@latest",
]
CHAINS = ["athens", "goproxy", "athens,goproxy", "goproxy,athens", "stored,goproxy", "stored|athens", "stored,off"]


class Servers(NamedTuple):
    """What runs: athens fetches, stored is Athens without a way out, front leads to all of them by name."""

    athens: proxy_servers.Server
    stored: proxy_servers.Server
    goproxy: proxy_servers.Server
    database: proxy_servers.Database
    plain: tls.Front
    secure: tls.Front
    root: pathlib.Path

    def chain(self, text: str, front: tls.Front) -> str:
        """A chain of their names as GOPROXY."""
        for name in front.routes:
            text = text.replace(name, "%s/%s" % (front.url, name))
        return text


@pytest.fixture(scope="module")
def servers(
    tools: pathlib.Path,
    gos: Any,
    modules: goproxy.Proxy,
    authority: tls.Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Servers]:
    """All of them, started once. LIB and AZURE are in the storage of ``stored``."""
    top, go, root = tmp_path_factory.mktemp("servers"), gos[0].path, authority.root
    certificate = authority.issue("servers")
    with proxy_servers.database(tools, modules.path, 300, certificate) as database:
        passed = "%s %s" % (database.name, database.url)
        stored_in = _athens_storage(top / "stored" / "storage", modules)
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            athens = enter(
                proxy_servers.athens(tools, go, top / "athens", modules.url, sum_db=database.url, roots=root)
            )
            stored = enter(proxy_servers.athens(tools, go, top / "stored", "off", False, stored_in))
            server = enter(proxy_servers.goproxy(tools, go, top / "goproxy", modules.url, passed, root))
            routes = {"athens": athens.url, "goproxy": server.url, "stored": stored.url}
            plain = enter(tls.front(routes))
            secure = enter(tls.front(routes, certificate, "%s:%s" % (USER, PASSWORD)))
            yield Servers(athens, stored, server, database, plain, secure, root)


def _athens_storage(folder: pathlib.Path, modules: goproxy.Proxy) -> pathlib.Path:
    """Athens' layout on disk (gomods/athens pkg/storage/fs): names are not escaped."""
    for label in (LIB, AZURE):
        module = modules.module(label)
        place = folder / module.path / module.version
        place.mkdir(parents=True)
        (place / "go.mod").write_bytes(module.mod)
        (place / "source.zip").write_bytes(goproxy.zip_bytes(module))
        info = json.dumps({"Version": module.version, "Time": goproxy.TIME})
        (place / (module.version + ".info")).write_text(info, encoding="utf-8")
    return folder


def _home(folder: pathlib.Path, servers: Servers) -> dict[str, str]:
    """A home whose .netrc the collection's own code wrote, and the roots."""
    file = folder / "netrc"
    machine = "127.0.0.1:%d" % servers.secure.server_address[1]
    where = netrc.target(accounts.current(), str(file))
    netrc.write(where, lambda data: netrc.put_forms(data, machine, USER, PASSWORD, True, True), False)
    text = file.read_text(encoding="utf-8")
    assert "machine %s " % machine in text
    assert "machine 127.0.0.1 " in text
    return {"NETRC": str(file), "SSL_CERT_FILE": str(servers.root)}


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("secure", [False, True])
def test_go_and_the_doctor_agree_through_real_servers(
    bench: Any, gos: Any, servers: Servers, tmp_path: pathlib.Path, chain: str, label: str, secure: bool
) -> None:
    front = servers.secure if secure else servers.plain
    value = servers.chain(chain, front)
    environ = _home(tmp_path, servers)
    for go in gos[: 1 if secure else 2]:
        settings = go.settings()
        said = bench.doctor(
            value, servers.database.gosumdb, label, environ=environ, settings=settings, request_timeout=20.0
        )
        real = bench.go(go, value, servers.database.gosumdb, label, site=front, **environ)
        assert (said.verdict, said.way) == (real.verdict, real.way), (go.name, value, said.text, real.text)
        assert PASSWORD not in said.text


def test_without_the_login_nobody_is_served(bench: Any, gos: Any, servers: Servers) -> None:
    value = servers.chain("athens|goproxy", servers.secure)
    environ = {"SSL_CERT_FILE": str(servers.root)}
    said = bench.doctor(value, "off", environ=environ)
    assert (said.verdict, bench.go(gos[0], value, "off", **environ).verdict) == ("fails", "fails")


def test_a_go_sum_database_of_go_itself_is_proved_by_the_doctor(bench: Any, servers: Servers) -> None:
    # 300 records and more: its proof needs tiles of two levels.
    environ = {"SSL_CERT_FILE": str(servers.root)}
    for chain in ("athens", "goproxy", "stored"):
        result = bench.examine(servers.chain(chain, servers.plain), servers.database.gosumdb, environ=environ)
        assert result["sumdb"]["status"] == "ok", (chain, result["sumdb"])
        assert result["explain"][0]["verdict"] == "served"


@pytest.mark.parametrize("secure", [False, True])
def test_looking_makes_no_module_file_in_the_storage_of_a_proxy(
    bench: Any, servers: Servers, tmp_path: pathlib.Path, secure: bool
) -> None:
    value = servers.chain("athens,goproxy,stored", servers.secure if secure else servers.plain)
    behind = (servers.athens, servers.goproxy, servers.stored)
    before = [server.photograph() for server in behind]
    more = {"canaries": [FRESH[0], FRESH[2]], "cached_only": True, "request_timeout": 20.0, "samples": 2}
    result = bench.examine(value, servers.database.gosumdb, FRESH, environ=_home(tmp_path, servers), **more)
    assert [row["server"] for row in result["chain"]] == ["athens", "", "athens"]
    assert [way["verdict"] for way in result["explain"]] == ["unknown"] * 3
    assert [server.photograph() for server in behind[::2]] == before[::2]
    # goproxy keeps what the checksum database says and knows no way to forbid it: some kilobytes for the canaries.
    after = servers.goproxy.photograph()
    new = [name for name in after if after[name] != before[1].get(name)]
    assert [name for name in new if name.partition("/")[0] != "sumdb"] == []
    assert sum((servers.goproxy.storage / name).stat().st_size for name in new if "." in name) < 1 << 17


def test_what_goproxy_has_is_served_also_when_only_the_cache_is_asked(bench: Any, servers: Servers) -> None:
    value = servers.chain("goproxy", servers.plain)
    environ = {"SSL_CERT_FILE": str(servers.root)}
    assert bench.doctor(value, "off", LIB, cached_only=False, request_timeout=20.0).verdict == "served"
    before = servers.goproxy.photograph()
    assert bench.doctor(value, "off", LIB, cached_only=True, environ=environ).verdict == "served"
    assert bench.doctor(value, "off", FRESH[1], cached_only=True, environ=environ).verdict == "unknown"
    assert servers.goproxy.photograph() == before


def test_the_module_tells_all_of_them_without_their_password(
    servers: Servers, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = servers.chain("athens|goproxy,stored", servers.secure)
    args = {
        "goproxy": value,
        "environment": dict(_home(tmp_path, servers), GOSUMDB=servers.database.gosumdb, GOENV="off"),
        "canaries": [LIB, AZURE],
        "explain": [LIB, "example.com/lib@v9.9.9"],
        "zip": True,
        "cached_only": False,
        "samples": 3,
        "_ansible_verbosity": 3,
        "_ansible_diff": True,
    }
    with patch_module_args(args), pytest.raises(SystemExit) as ended:
        go_proxy_info.main()
    text = capsys.readouterr().out
    assert ended.value.code == 0, text
    result = json.loads(text)
    assert PASSWORD not in text
    assert [way["verdict"] for way in result["explain"]] == ["served", "fails"]
    checks = {check["name"]: check for check in result["chain"][0]["checks"]}
    assert {name for name in ("info", "mod", "zip", "capitals", "sumdb") if checks[name]["status"] != "ok"} == set()
    assert checks["auth"]["value"]["anonymous"] == 401
    assert result["changed"] is False
