# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import os
import pathlib
import tempfile
import time
from typing import Any, ClassVar, Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._proxy import checks, doctor, probe, wire
from ansible_collections.gofleet.cache.tests.fixtures import fault_proxy as server
from ansible_collections.gofleet.cache.tests.fixtures import goproxy

LIB = "example.com/lib@v0.1.0"
AZURE = "example.com/Azure/Lib@v1.0.0"


def look(value: str, **more: Any) -> Dict[str, Any]:
    settings = {"GOSUMDB": "off", "GOAUTH": "netrc"}
    settings.update(more.pop("settings", {}))
    given: Dict[str, Any] = {"canaries": [LIB, AZURE], "samples": 1, "request_timeout": 20.0, "time_limit": 60.0}
    given.update(more)
    request = doctor.Request(
        goproxy=value,
        settings=settings,
        wheres={"GOPROXY": "env-file: here:1"},
        environ=given.pop("environ", {}),
        **given,
    )
    return doctor.examine(request)


def check(result: Dict[str, Any], name: str, number: int = 1) -> Dict[str, Any]:
    (row,) = [row for row in result["chain"] if row["number"] == number]
    (found,) = [found for found in row["checks"] if found["name"] == name]
    return dict(found)


def statuses(result: Dict[str, Any], number: int = 1) -> Dict[str, str]:
    (row,) = [row for row in result["chain"] if row["number"] == number]
    return {found["name"]: found["status"] for found in row["checks"]}


def test_a_good_proxy_is_healthy_in_every_check(site: server.Running) -> None:
    result = look(site.url + "/sumok", zip=True, samples=3, settings={"GOSUMDB": site.database.verifier}, modules=[LIB])
    assert set(statuses(result).values()) <= {"ok", "skip"}, result["chain"]
    assert statuses(result)["sumdb"] == "ok"
    assert check(result, "zip")["value"]["h1"].startswith("h1:")
    assert check(result, "latency")["value"]["samples"] == 3
    assert result["healthy"] is True
    assert result["explain"][0]["verdict"] == "served"
    assert result["summary"] == "%s/sumok: ok; %s: served" % (site.url, LIB)
    json.dumps(result)


def test_looking_asks_for_no_zip_and_for_nothing_that_is_not_cached(site: server.Running) -> None:
    result = look(site.url + "/ok", modules=[LIB])
    assert not [path for path in site.paths() if path.endswith(".zip")]
    assert all(headers.get("disable-module-fetch") == "true" for _path, headers in site.seen)
    assert result["explain"][0]["verdict"] == "served"
    assert "its zip was not asked for" in result["explain"][0]["text"]


def test_without_cached_only_the_requests_are_those_of_a_build(site: server.Running) -> None:
    look(site.url + "/ok", cached_only=False)
    assert not any("disable-module-fetch" in headers for _path, headers in site.seen)


def test_what_is_only_not_cached_is_unknown_not_missing(site: server.Running) -> None:
    result = look("%s/cached,off" % site.url, modules=[LIB])
    assert result["explain"][0]["verdict"] == "unknown"
    assert check(result, "info")["status"] == "skip"
    assert look("%s/cached,off" % site.url, modules=[LIB], cached_only=False)["explain"][0]["verdict"] == "served"


def test_athens_which_would_fetch_is_not_asked_for_versions(site: server.Running) -> None:
    result = look(site.url + "/athens", modules=[LIB])
    assert result["chain"][0]["server"] == "athens"
    assert not [path for path in site.paths() if path.endswith((".mod", ".zip", "v0.1.0.info"))]
    assert result["explain"][0]["verdict"] == "unknown"
    assert statuses(result)["list"] == "ok"


@pytest.mark.parametrize(
    ("fault", "name", "status", "words"),
    [
        ("st/403", "info", "fail", "403"),
        ("st/407", "auth", "fail", "407"),
        ("st/401", "auth", "fail", "401"),
        ("html", "info", "fail", "no JSON"),
        ("html", "list", "fail", "HTML"),
        ("html", "missing_version", "fail", "login or captive portal"),
        ("html", "missing_module", "fail", "login or captive portal"),
        ("html", "mod", "fail", "declares no module"),
        ("drop", "info", "fail", "dropped"),
        ("short", "info", "fail", "too early"),
        ("nowhere", "info", "fail", "Location"),
        ("loop", "redirects", "fail", "10 redirects"),
        ("sso", "redirects", "fail", "login page"),
        ("redir", "redirects", "ok", "127.0.0.1"),
        ("away", "redirects", "ok", "another host"),
        ("wronginfo", "info", "fail", "v9.9.9"),
        ("wrongmod", "mod", "ok", ""),
        ("nolist", "list_refused", "warn", "go install"),
        ("no404", "missing_version", "fail", "does not go on"),
        ("gone", "missing_version", "ok", "410"),
        ("htmlzip", "zip", "fail", "not a valid zip"),
        ("otherzip", "zip", "fail", "not below example.com/lib@v0.1.0"),
        ("cutzip", "zip", "fail", "zip"),
        ("chunked", "zip", "ok", "h1:"),
    ],
)
def test_each_fault_is_told_by_its_check(site: server.Running, fault: str, name: str, status: str, words: str) -> None:
    result = look("%s/%s,%s/ok" % (site.url, fault, site.url), zip=True)
    found = check(result, name)
    assert (found["status"], words in found["text"]) == (status, True), found
    assert set(statuses(result, 2).values()) <= {"ok", "skip"}, "the next element is looked at all the same"
    assert result["healthy"] is (status != "fail" and result["counts"]["fail"] == 0)


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("sumok", "ok", "proof are good"),
        ("sum403", "fail", "403"),
        ("sum500", "fail", "no new module can be verified"),
        ("sum410", "ok", "does not pass"),
        ("sumempty", "fail", "404"),
        ("sumhtml", "fail", "malformed record"),
        ("sumlies", "fail", "not in the signed tree"),
        ("sumforged", "fail", "no signature by the key"),
        ("sumtiles", "fail", "not in the signed tree"),
        ("wrongmod", "fail", "not what the checksum database knows"),
        ("badzip", "fail", "not what the checksum database knows"),
    ],
)
def test_a_wrong_checksum_database_is_told(site: server.Running, fault: str, status: str, words: str) -> None:
    result = look(
        "%s/%s,%s/sumok" % (site.url, fault, site.url), zip=True, settings={"GOSUMDB": site.database.verifier}
    )
    found = check(result, "sumdb")
    assert (found["status"], words in found["text"]) == (status, True), found


@pytest.mark.parametrize(
    ("value", "gosumdb", "status", "words"),
    [
        ("{u}/ok,{u}/sumok", "{v}", "ok", "14 records"),
        ("{u}/ok", "{v} {u}/sumok/sumdb/sumdb.test", "ok", "14 records"),
        ("{u}/ok", "{v} {u}/st/404", "fail", "404"),
        ("{u}/sumforged", "{v}", "fail", "no signature by the key"),
        ("{u}/sum403,{u}/sumok", "{v}", "fail", "403"),
        ("{u}/ok", "off", "skip", "off"),
        ("{u}/ok", "nonsense", "fail", "malformed"),
    ],
)
def test_it_is_told_how_the_checksum_database_is_reached(
    site: server.Running, value: str, gosumdb: str, status: str, words: str
) -> None:
    settings = {"GOSUMDB": gosumdb.format(u=site.url, v=site.database.verifier)}
    result = look(value.format(u=site.url), settings=settings)
    found = result["sumdb"]
    assert (found["status"], words in found["text"]) == (status, True), found
    assert ("sumdb" in [row["code"] for row in result["findings"]]) is (status == "fail")
    if status == "ok":
        assert found["by"] == site.url + ("/sumok" if " " not in gosumdb else "/sumok/sumdb/sumdb.test")


def test_the_name_of_a_private_canary_is_not_told_to_the_database(site: server.Running) -> None:
    settings = {"GOSUMDB": site.database.verifier, "GONOSUMDB": "example.com"}
    found = check(look(site.url + "/sumok", settings=settings), "sumdb")
    assert (found["status"], "the tree head is signed" in found["text"]) == ("ok", True), found
    assert not [path for path in site.paths() if "/lookup/" in path]
    assert check(look(site.url + "/sumforged", settings=settings), "sumdb")["status"] == "fail"


@pytest.mark.parametrize("first", ["{u}/wrongmod,{u}/sumok", "{u}/wrongmod"])
def test_files_are_compared_with_the_database_that_go_asks_instead(site: server.Running, first: str) -> None:
    own = "" if "," in first else " {u}/sumok/sumdb/sumdb.test"
    settings = {"GOSUMDB": site.database.verifier + own.format(u=site.url)}
    found = check(look(first.format(u=site.url), settings=settings), "sumdb")
    assert (found["status"], "not what the checksum database knows" in found["text"]) == ("fail", True), found
    good = check(look(first.replace("wrongmod", "ok").format(u=site.url), settings=settings), "sumdb")
    assert good["status"] in ("ok", "skip"), good


def test_files_are_compared_with_the_go_sum_of_a_project(site: server.Running, tmp_path: pathlib.Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    record = next(row for row in site.database.records if row.startswith(b"example.com/lib v0.1.0 "))
    good.write_bytes(record)
    bad.write_bytes(record.replace(b"h1:", b"h1:x"))
    found = look(site.url + "/ok", go_sum=str(good), zip=True)
    assert [check(found, name)["status"] for name in ("mod", "zip")] == ["ok", "ok"]
    found = look(site.url + "/ok", go_sum=str(bad), zip=True)
    assert [check(found, name)["status"] for name in ("mod", "zip")] == ["fail", "fail"]
    assert all("go.sum has" in check(found, name)["text"] for name in ("mod", "zip"))


@pytest.mark.parametrize(
    ("latest", "status", "words"),
    [
        (None, "ok", "14 records"),
        (b"", "ok", "14 records"),
        (14, "ok", "14 records"),
        (20, "warn", "has seen one of 20"),
        (b"rubbish", "fail", "remove it"),
    ],
)
def test_the_tree_that_the_account_saw_last_must_not_be_larger(
    site: server.Running, tmp_path: pathlib.Path, latest: Any, status: str, words: str
) -> None:
    if isinstance(latest, int):
        more = server.Database((site.database.records * 2)[:latest])
        latest = more.head()
    if latest is not None:
        (tmp_path / server.SUMDB).mkdir()
        (tmp_path / server.SUMDB / "latest").write_bytes(latest)
    settings = {"GOSUMDB": site.database.verifier}
    result = look(site.url + "/sumok", settings=settings, sumdb=str(tmp_path))
    assert (result["sumdb"]["status"], words in result["sumdb"]["text"]) == (status, True), result["sumdb"]
    assert [row["code"] for row in result["findings"] if row["code"].startswith("sumdb")] == {
        "ok": [],
        "warn": ["sumdb-behind"],
        "fail": ["sumdb"],
    }[status]


@pytest.mark.parametrize("fault", ["stall", "drip"])
def test_a_proxy_that_never_ends_costs_only_the_time_limit(site: server.Running, fault: str) -> None:
    started = time.monotonic()
    result = look("%s/%s|%s/ok" % (site.url, fault, site.url), request_timeout=0.5, time_limit=15.0, modules=[LIB])
    assert time.monotonic() - started < 60
    assert check(result, "info")["status"] == "fail"
    assert "within 0.5 s" in check(result, "info")["text"]
    assert statuses(result)["latency"] == "skip"
    assert result["explain"][0]["verdict"] == "hangs", "Go waits for it, whatever follows"


def test_the_bounds_on_requests_and_bytes_hold_and_are_told(site: server.Running) -> None:
    few = look(site.url + "/ok", max_requests=4)
    assert few["used"]["requests"] == 4 == len(site.seen)
    assert "the limit of 4 requests" in json.dumps(few["chain"])
    small = look(site.url + "/ok", zip=True, max_bytes=200, modules=["example.com/big@v1.0.0"])
    assert small["explain"][0]["verdict"] == "unknown"
    assert "the limit of 200 bytes" in json.dumps(small)


def test_what_cannot_be_reached_is_told_once(site: server.Running) -> None:
    result = look("http://127.0.0.1:1,%s/ok" % site.url, modules=[LIB])
    assert check(result, "tcp")["status"] == "fail"
    assert {row["status"] for row in result["chain"][0]["checks"]} == {"ok", "fail", "skip"}
    assert [row["code"] for row in result["findings"] if row["where"] == "http://127.0.0.1:1"] == ["proxy-tcp"]
    way = result["explain"][0]
    assert way["verdict"] == "fails"
    assert "refused" in way["text"]
    assert way["steps"][0]["goes_on"] is False


def test_a_folder_is_a_proxy(modules: goproxy.Proxy) -> None:
    result = look(modules.url, zip=True, modules=[LIB, "example.com/none@v1.0.0"])
    assert [way["verdict"] for way in result["explain"]] == ["served", "fails"]
    assert statuses(result)["missing_version"] == "ok"
    assert "dns" not in statuses(result)


def test_what_a_folder_refuses_ends_a_comma_chain_as_403_does(modules: goproxy.Proxy, tmp_path: pathlib.Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can read everything")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    assert look("file://%s,%s" % (closed, modules.url), modules=[LIB])["explain"][0]["verdict"] == "fails"
    assert look("file://%s|%s" % (closed, modules.url), modules=[LIB])["explain"][0]["verdict"] == "served"


def test_the_way_tells_who_what_why_and_where(site: server.Running) -> None:
    result = look("%s/st/404,%s/ok,direct" % (site.url, site.url), zip=True, modules=[LIB])
    way = result["explain"][0]
    assert [(row["step"], row["status"], row["goes_on"]) for row in way["steps"]] == [
        ("info", 404, True),
        ("info", 200, False),
        ("mod", 404, True),
        ("mod", 200, False),
        ("sum of the go.mod", None, False),
        ("zip", 404, True),
        ("zip", 200, False),
        ("sum of the zip", None, False),
    ]
    assert way["served_by"] == [site.url + "/ok"]
    assert {row["setting"] for row in way["steps"] if row["step"] == "info"} == {"env-file: here:1"}
    assert all(row["ms"] > 0 for row in way["steps"] if row["status"])


def test_latest_is_the_highest_release_of_the_list(site: server.Running) -> None:
    result = look(site.url + "/ok", modules=["example.com/lib@latest", "example.com/none@latest"])
    assert [way["verdict"] for way in result["explain"]] == ["served", "fails"]
    assert "/ok/example.com/lib/@v/v0.2.0.info" in site.paths()


def test_a_private_module_goes_around_the_proxies_and_its_name_is_not_told_to_them(site: server.Running) -> None:
    private = goproxy.PRIVATE + "/tools@v0.3.0"
    result = look(site.url + "/ok", modules=[private], settings={"GONOPROXY": goproxy.PRIVATE})
    way = result["explain"][0]
    assert (way["verdict"], way["private"]) == ("direct", True)
    assert not [path for path in site.paths() if goproxy.PRIVATE in path]


def test_off_and_direct_end_the_chain(site: server.Running) -> None:
    off = look("%s/st/404,off,%s/ok" % (site.url, site.url), modules=[LIB])
    assert off["explain"][0]["verdict"] == "fails"
    assert look("%s/st/404,direct" % site.url, modules=[LIB])["explain"][0]["verdict"] == "direct"


def test_go_sum_is_trusted_before_the_database(site: server.Running, tmp_path: pathlib.Path) -> None:
    go_sum = tmp_path / "go.sum"
    record = next(row for row in site.database.records if row.startswith(b"example.com/lib v0.1.0 "))
    go_sum.write_bytes(record)
    settings = {"GOSUMDB": site.database.verifier}
    value = site.url + "/sum500"
    assert look(value, zip=True, modules=[LIB], settings=settings)["explain"][0]["verdict"] == "fails"
    good = look(value, zip=True, modules=[LIB], settings=settings, go_sum=str(go_sum))
    assert good["explain"][0]["verdict"] == "served"
    bad = look(site.url + "/badzip", zip=True, modules=[LIB], settings=settings, go_sum=str(go_sum))
    assert "mismatch with go.sum" in bad["explain"][0]["text"]
    assert bad["go_sum"]["mismatched"] == 1


def test_who_serves_which_line_of_go_sum(site: server.Running, tmp_path: pathlib.Path) -> None:
    go_sum = tmp_path / "go.sum"
    lines = b"".join(site.database.records) + b"example.com/none v1.0.0 h1:x=\n"
    go_sum.write_bytes(lines)
    value = "%s/st/404,%s/ok,off" % (site.url, site.url)
    found = look(value, zip=True, go_sum=str(go_sum), settings={"GONOPROXY": goproxy.PRIVATE})["go_sum"]
    assert (found["lines"], found["direct"], found["missing"], found["mismatched"]) == (29, 6, 1, 0)
    assert found["by"] == {site.url + "/ok": 22}
    assert found["missing_lines"][0].startswith("example.com/none v1.0.0: ")


def test_a_list_that_lags_behind_is_told(site: server.Running, tmp_path: pathlib.Path) -> None:
    old = goproxy.make_proxy(tmp_path / "old", [goproxy.make_module("example.com/lib", "v0.1.0")])
    result = look("%s,%s/ok" % (old.url, site.url))
    assert check(result, "freshness")["status"] == "warn"
    assert check(result, "freshness", 2)["status"] == "ok"


def test_a_zip_that_unpacks_without_end_is_given_up(site: server.Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MAX_ZIP", 8000)
    result = look(site.url + "/ok", zip=True, canaries=["example.com/big@v1.0.0"])
    assert "uncompressed size" in check(result, "zip")["text"]


def test_a_large_zip_goes_through_a_file_that_is_gone(
    site: server.Running, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(probe, "IN_MEMORY", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert check(look(site.url + "/ok", zip=True), "zip")["status"] == "ok"
    assert list(tmp_path.iterdir()) == []


# Credentials


def _netrc(tmp_path: pathlib.Path, machine: str) -> Dict[str, str]:
    text = "machine %s login %s password %s\n" % (machine, server.USER, server.PASSWORD)
    (tmp_path / ".netrc").write_text(text, encoding="utf-8")
    return {"HOME": str(tmp_path)}


def test_tls_days_and_the_netrc_entry_that_is_used(
    secure: server.Running, certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    environ = dict(_netrc(tmp_path, "127.0.0.1:%d" % secure.port), SSL_CERT_FILE=str(certificate))
    result = look(secure.url + "/auth", environ=environ)
    assert check(result, "info")["status"] == "ok"
    assert check(result, "auth")["value"] == {"source": "netrc entry for 127.0.0.1:%d" % secure.port, "anonymous": 401}
    tls = check(result, "tls")
    assert (tls["status"], tls["value"]["days_left"], tls["value"]["issuer"]) == ("warn", 9, "Test Company")


def test_a_wrong_login_is_tried_only_on_request(
    secure: server.Running, certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    environ = dict(_netrc(tmp_path, "127.0.0.1:%d" % secure.port), SSL_CERT_FILE=str(certificate))
    made_up = base64.b64encode(b"gofleet-cache-doctor:wrong").decode()
    for name, wanted in (("auth", 401), ("ok", 200)):
        assert "wrong" not in check(look("%s/%s" % (secure.url, name), environ=environ), "auth")["value"]
        assert made_up not in json.dumps(secure.seen)
        found = check(look("%s/%s" % (secure.url, name), environ=environ, wrong_login=True), "auth")
        assert (found["status"], found["value"]["wrong"]) == ("ok", wanted)
        assert made_up in json.dumps(secure.seen)
        secure.seen.clear()
    found = check(look(secure.url + "/anylogin", environ=environ, wrong_login=True), "auth")
    assert (found["status"], "any other login" in found["text"]) == ("warn", True), found


def test_a_proxy_that_hides_modules_from_strangers_is_told_where_go_would_go_on(
    secure: server.Running, certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    environ = dict(_netrc(tmp_path, "127.0.0.1:%d" % secure.port), SSL_CERT_FILE=str(certificate))
    told = check(look("%s/hidden,%s/ok" % (secure.url, secure.url), environ=environ), "auth")
    assert (told["status"], "Go goes on" in told["text"]) == ("ok", True), told
    assert "Go goes on" not in check(look(secure.url + "/hidden", environ=environ), "auth")["text"]


def test_an_entry_without_the_port_is_not_used_and_it_is_said_why(
    secure: server.Running, certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    environ = dict(_netrc(tmp_path, "127.0.0.1"), SSL_CERT_FILE=str(certificate))
    found = check(look(secure.url + "/auth", environ=environ), "auth")
    assert found["status"] == "fail"
    assert "Go looks for 127.0.0.1:%d exactly" % secure.port in found["text"]


def test_an_unknown_root_is_told_by_the_tls_check(secure: server.Running) -> None:
    result = look(secure.url + "/ok", modules=[LIB])
    assert check(result, "tls")["status"] == "fail"
    assert "certificate" in check(result, "tls")["text"]
    assert result["explain"][0]["verdict"] == "fails"


def test_a_goauth_command_is_run_only_on_request(
    secure: server.Running, certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    script = tmp_path / "helper"
    token = base64.b64encode(("%s:%s" % (server.USER, server.PASSWORD)).encode()).decode()
    header = "%s/\\n\\nAuthorization: Basic %s\\n\\n" % (secure.url, token)
    script.write_text("#!/bin/sh\ntouch %s/ran\nprintf '%s'\n" % (tmp_path, header), encoding="utf-8")
    script.chmod(0o755)
    environ = {"SSL_CERT_FILE": str(certificate), "PATH": os.environ["PATH"]}
    settings = {"GOAUTH": str(script)}
    value = secure.url + "/auth"
    quiet = look(value, environ=environ, settings=settings, modules=[LIB])
    assert quiet["explain"][0]["verdict"] == "unknown"
    assert not (tmp_path / "ran").exists()
    asked = look(value, environ=environ, settings=settings, modules=[LIB], ask_goauth=True)
    assert asked["explain"][0]["verdict"] == "served"
    assert asked["explain"][0]["steps"][0]["credential"] == "GOAUTH command helper"
    assert token not in json.dumps([quiet, asked])


def test_a_credential_is_not_carried_to_another_host(
    secure: server.Running, certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    secure.server.elsewhere = "https://localhost:%d" % secure.port
    environ = dict(_netrc(tmp_path, "127.0.0.1:%d" % secure.port), SSL_CERT_FILE=str(certificate))
    result = look(secure.url + "/away", environ=environ)
    assert check(result, "redirects")["status"] == "warn"
    assert "gets no credential" in check(result, "redirects")["text"]
    there = [headers for path, headers in secure.seen if path.startswith("/target/")]
    assert there
    assert not any("authorization" in headers for headers in there)


def test_a_redirect_from_https_to_http_is_refused(secure: server.Running, certificate: pathlib.Path) -> None:
    result = look(secure.url + "/away", environ={"SSL_CERT_FILE": str(certificate)})
    assert "insecure URL" in check(result, "redirects")["text"]


def test_no_secret_comes_back_whoever_sends_it_back(
    secure: server.Running, site: server.Running, certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    password = server.PASSWORD
    environ = dict(_netrc(tmp_path, "127.0.0.1:%d" % secure.port), SSL_CERT_FILE=str(certificate))
    environ["HTTP_PROXY"] = "http://user:%s@127.0.0.1:%d" % (password, site.port)
    login = "%s:%s@" % (server.USER, password)
    first = "https://%s127.0.0.1:%d/echo|%s/echo" % (login, secure.port, secure.url)
    value = "%s|http://%s127.0.0.1:%d/ok|http://proxy.test/echo" % (first, login, site.port)
    result = look(value, environ=environ, modules=[LIB], zip=True)
    text = json.dumps(result)
    basic = base64.b64encode(("%s:%s" % (server.USER, password)).encode()).decode()
    assert basic in json.dumps(secure.seen), "the credential was really sent"
    assert password not in text
    assert basic not in text
    assert check(result, "auth", 3)["status"] == "fail"
    assert "insecure" in check(result, "info", 3)["text"]


# Forward proxies


def test_a_forward_proxy_is_used_as_go_uses_it(site: server.Running) -> None:
    environ = {"HTTP_PROXY": "127.0.0.1:%d" % site.port, "NO_PROXY": "direct.test"}
    result = look("http://proxy.test/ok", environ=environ, modules=[LIB])
    assert result["explain"][0]["verdict"] == "served"
    assert result["explain"][0]["steps"][0]["forward"] == "http://127.0.0.1:%d" % site.port
    assert check(result, "dns")["status"] == "skip"
    assert site.paths()[0].startswith("http://proxy.test/ok/")


def test_a_forward_proxy_that_wants_a_login_is_recognised(site: server.Running) -> None:
    environ = {"HTTPS_PROXY": "http://127.0.0.1:%d" % site.port}
    found = check(look("https://proxy.test/ok", environ=environ), "tls")
    assert found["status"] == "fail"
    assert "wants a login" in found["text"]


def test_a_tunnel_through_a_forward_proxy_is_checked_to_its_end(
    site: server.Running, secure: server.Running, certificate: pathlib.Path
) -> None:
    site.server.tunnel = secure.port
    login = "u:%s" % server.PASSWORD
    environ = {"HTTPS_PROXY": "http://%s@127.0.0.1:%d" % (login, site.port), "SSL_CERT_FILE": str(certificate)}
    result = look("https://proxy.test/ok", environ=environ, modules=[LIB], zip=True)
    assert result["explain"][0]["verdict"] == "served"
    assert check(result, "tls")["value"]["issuer"] == "Test Company"
    asked, headers = site.seen[0]
    assert asked == "CONNECT proxy.test:443"
    assert headers["proxy-authorization"] == "Basic " + base64.b64encode(login.encode()).decode()
    assert not any("proxy-authorization" in headers for _path, headers in secure.seen)


@pytest.mark.parametrize("password", ["", "right", "wrong"])
def test_a_socks_proxy_is_used_and_looks_the_name_up(site: server.Running, password: str) -> None:
    login = (b"u", b"right") if password else None
    with server.socks(site.port, login) as (port, names):
        userinfo = "u:%s@" % password if password else ""
        environ = {"HTTP_PROXY": "socks5://%s127.0.0.1:%d" % (userinfo, port)}
        result = look("http://proxy.test:81/ok", environ=environ, modules=[LIB])
    if password == "wrong":
        assert "refused the login" in result["explain"][0]["text"]
    else:
        assert result["explain"][0]["verdict"] == "served"
        assert set(names) == {b"proxy.test:81"}


# Whatever servers say


class _Anything(wire.Client):
    """Every answer is what Hypothesis made up."""

    replies: ClassVar[List[Tuple[int, bytes, Dict[str, str], str]]] = []

    def get(self, url: str, *args: Any, sink: Any = None, **more: Any) -> wire.Reply:
        self.budget.request()
        number = self.budget.requests % len(self.replies)
        status, body, headers, error = self.replies[number]
        if sink is not None:
            sink(body)
        found = wire.Reply(url, status, "", dict(headers), body, error=error, text=error, size=len(body))
        found.times["total"] = 1.0
        return found


@given(
    st.lists(
        st.tuples(
            st.sampled_from([200, 200, 200, 404, 410, 301, 403, 500]),
            st.one_of(
                st.binary(max_size=60),
                st.sampled_from(
                    [
                        b'{"Version": "v0.1.0"}',
                        b"{}",
                        b"[]",
                        b"[" * 100000,
                        b"v1.0.0\nv2",
                        b"1\na b h1:c\n\nx",
                        b"PK\x05\x06",
                    ]
                ),
            ),
            st.dictionaries(
                st.sampled_from(["date", "content-type", "server", "location"]),
                st.sampled_from(["", "text/plain", "Mon, 99 Foo", "Sat, 21 Nov 2026 16:00:00 GMT"]),
            ),
            st.sampled_from(["", "", "", wire.TIMEOUT, wire.SPENT, wire.REDIRECT, wire.INSECURE]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_no_answer_of_a_server_makes_it_raise(replies: List[Tuple[int, bytes, Dict[str, str], str]]) -> None:
    _Anything.replies = replies
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "Client", _Anything)
        patch.setattr(checks.Checker, "_network", lambda self, element: [self._tls(element)])
        value = "https://a.test,http://b.test|https://proxy.golang.org,direct"
        settings = {"GOSUMDB": "sum.golang.org"}
        result = look(value, zip=True, max_requests=10**6, modules=[LIB, "example.com/lib@latest"], settings=settings)
    json.dumps(result)
    assert {way["verdict"] for way in result["explain"]} <= {"served", "fails", "direct", "unknown"}


def test_googles_proxy_is_asked_at_its_endpoint_for_what_is_cached(site: server.Running) -> None:
    environ = {"HTTP_PROXY": "127.0.0.1:%d" % site.port}
    look("http://proxy.golang.org", environ=environ)
    asked = [path for path in site.paths() if path.endswith(("v0.1.0.info", "v0.1.0.mod"))]
    assert asked
    # The server here knows no such endpoint, like much that stands in for Google's: then the address itself counts.
    assert not [path for path in asked if "/cached-only/" in path]
    assert [path for path in site.paths() if "/cached-only/" in path]


def test_candidates_are_checked_and_are_no_findings(site: server.Running) -> None:
    result = look(site.url + "/ok,off", candidates=[site.url + "/ok", site.url + "/st/500", site.url + "/no404"])
    assert [row["status"] for row in result["candidates"]] == ["ok", "fail", "warn"]
    assert result["healthy"] is True
    assert "number" not in result["candidates"][0]


def test_a_candidate_that_is_in_the_chain_is_asked_once_and_judged_alone(site: server.Running) -> None:
    result = look("%s/no404,%s/ok" % (site.url, site.url), candidates=[site.url + "/no404"], samples=0)
    assert check(result, "missing_version")["status"] == "fail"
    (alone,) = [row for row in result["candidates"][0]["checks"] if row["name"] == "missing_version"]
    assert (alone["status"], "Go does not go on" in alone["text"]) == ("warn", False)
    assert len([path for path in site.paths() if path.endswith("/no404/example.com/lib/@v/v0.1.0.info")]) == 1


def test_lists_are_compared_and_the_lag_is_the_time_between_the_newest(tmp_path: pathlib.Path) -> None:
    lib = [goproxy.make_module("example.com/lib", "v0.%d.0" % minor) for minor in range(1, 16)]
    old, new = goproxy.make_proxy(tmp_path / "old", lib[:2]), goproxy.make_proxy(tmp_path / "new", lib)
    info = new.path / "example.com/lib/@v/v0.15.0.info"
    info.write_text('{"Version": "v0.15.0", "Time": "2024-01-12T15:04:05.5+00:00"}', encoding="utf-8")
    result = look("%s,%s" % (old.url, new.url), canaries=[LIB])
    (row,) = result["freshness"]
    assert (row["newest"], row["time"]) == ("v0.15.0", "2024-01-12T15:04:05Z")
    mine, other = row["elements"]
    assert (mine["newest"], mine["behind"], mine["lag_seconds"]) == ("v0.2.0", True, 10 * 86400)
    assert (mine["missing"], len(mine["missing_versions"]), mine["missing_versions"][0]) == (13, 10, "v0.15.0")
    assert (other["behind"], other["lag_seconds"], other["missing"]) == (False, 0, 0)
    found = check(result, "freshness")
    assert (found["status"], "10 days younger" in found["text"]) == ("warn", True)
    assert check(result, "freshness", 2)["status"] == "ok"


def test_an_old_latest_is_told_also_where_the_lists_are_the_same(site: server.Running) -> None:
    result = look("%s/oldlatest|%s/newlatest" % (site.url, site.url), canaries=[LIB])
    old, new = result["freshness"][0]["elements"]
    assert (old["behind"], old["latest"], old["latest_behind"]) == (False, "v0.1.0", True)
    assert (old["latest_lag_seconds"], new["latest_behind"]) == (3 * 86400, False)
    found = check(result, "freshness")
    assert (found["status"], "newer by 3 days" in found["text"]) == ("warn", True), found
    alone = look("%s/oldlatest|%s/ok" % (site.url, site.url), canaries=[LIB])["freshness"][0]["elements"]
    assert not any(row["latest_behind"] for row in alone), "a retracted version is in no @latest"


def test_cold_and_warm_latency_are_told_apart(site: server.Running) -> None:
    value = check(look(site.url + "/ok", samples=8), "latency")["value"]
    assert (value["samples"], value["cold"]["samples"]) == (8, 2)
    assert value["p50"] <= value["p95"] <= value["p99"]
    assert {"connect", "total", "p50", "p95", "p99"} <= set(value["cold"])


def test_the_latency_of_athens_is_that_of_its_list(site: server.Running) -> None:
    result = look(site.url + "/athens", samples=3)
    assert check(result, "latency")["value"]["samples"] == 3
    assert not [path for path in site.paths() if path.endswith(".info") and "missing" not in path]


def test_an_agent_that_nothing_lets_out_is_told_once() -> None:
    def codes(**more: Any) -> List[str]:
        found = look("https://a.gofleet.invalid,https://b.gofleet.invalid", **more)["findings"]
        return [row["code"] for row in found if row["code"].startswith("egress")]

    assert codes() == ["egress-dns"]
    assert codes(environ={"HTTPS_PROXY": "http://127.0.0.1:1"}) == []
    blocked = look("http://127.0.0.1:1,http://127.0.0.1:2")["findings"]
    assert "egress-blocked" in [row["code"] for row in blocked]


def test_canaries_that_go_around_the_proxies_are_not_missed_there(site: server.Running) -> None:
    result = look(site.url + "/ok", settings={"GONOPROXY": "example.com/Azure"})
    assert check(result, "canaries")["value"] == {"asked": 1, "served": 1, "lost": []}
    assert check(result, "capitals")["status"] == "skip"


def test_a_client_certificate_that_ends_soon_is_a_finding(certificate: pathlib.Path, tmp_path: pathlib.Path) -> None:
    text = '[http "https://github.com"]\n sslCert = %s\n' % certificate
    (tmp_path / ".gitconfig").write_text(text, encoding="utf-8")
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    result = look("direct", environ=environ, modules=["github.com/a/b@v1.0.0"])
    (found,) = [row for row in result["findings"] if row["code"] == "origin-certificate"]
    assert found["text"] == "the client certificate %s, 9 days left" % certificate
    (way,) = result["explain"]
    assert way["origin"]["client_certificate"]["days_left"] == 9
