# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each failure of the fall-through table: what the doctor says is what ``go mod download`` does, request by request."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.gofleet.cache.tests.fixtures import fault_proxy, goproxy

#: Statuses that are no answer; 404 and 410 lead on behind any separator.
_STATUSES = (204, 400, 401, 403, 404, 407, 408, 410, 418, 429, 451, 500, 502, 503, 504)
_ANSWERS = ["html", "slow", "short", "drop", "rst", "nowhere", "nowhere307", "redir", "away", "loop", "sso", "chunked"]
_FILES = ["wronginfo", "emptyinfo", "wrongmod", "nozip", "zip403", "htmlzip", "otherzip", "cutzip", "badzip", "nolist"]
_SUMS = ["sum400", "sum403", "sum404", "sum410", "sum500", "sumempty", "sumhtml", "sumlies", "sumforged", "sumtiles"]
_STALLS = ["stall", "stallbody", "drip", "stallzip", "sumstall"]
#: A name that no resolver is asked for: a label has 63 letters at most.
_NO_NAME = "http://%s.test" % ("x" * 64)
FAULTS = [
    *("{u}/st/%d" % status for status in _STATUSES),
    *("{u}/" + fault for fault in _ANSWERS + _FILES + _SUMS + _STALLS),
    "http://127.0.0.1:1",
    _NO_NAME,
    "file:///nonexistent",
    "file:///",
]
GOOD = "{u}/sumgood"
#: Each separator, with a good proxy behind it and without.
TAILS = [",", "|", "," + GOOD, "|" + GOOD]
CHAINS = [
    "{u}/st/404,off",
    "{u}/st/403|off",
    "{u}/sum500|off",
    "{u}/st/404,{u}/st/500|{u}/sumgood",
    "{u}/st/500|{u}/st/404,{u}/sumgood",
    "{u}/st/500|{u}/st/403,{u}/sumgood",
    "{u}/sum403|{u}/st/404,{u}/sumgood,off",
    "{u}/wrongmod|{u}/st/500|{u}/sumgood",
    "{u}/nozip,{u}/zip403|{u}/sumgood",
    "{u}/sumgood,{u}/stall",
    " {u}/sumgood , ,",
    "off",
    ",",
    "/abs/path",
    "{u}/sumgood,nonsense",
    "ftp://127.0.0.1/,{u}/sumgood",
]
#: What is asked for besides the one version of the rows above.
LABELS = [
    "example.com/Azure/Lib@v1.1.0",
    "example.com/lib@v0.2.0-RC1",
    "example.com/legacy@v3.1.0+incompatible",
    "example.com/multi/v2@v2.0.0",
    "example.com/pseudo@" + goproxy.PSEUDO,
    "example.com/lib@v9.9.9",
    "example.com/none@v1.0.0",
    "example.com/lib@latest",
    "example.com/none@latest",
    "example.com/pseudo@latest",
]
LABEL_CHAINS = [
    "{u}/sumgood",
    "{u}/nolist,{u}/sumgood",
    "{u}/nolist|{u}/sumgood",
    "{u}/htmllist|{u}/sumgood",
    "{u}/nolatest,{u}/sumgood",
    "{u}/nolatest|off",
    "{u}/gone,off",
]


def _compare(
    bench: Any, gos: Any, site: fault_proxy.Running, value: str, stalling: str = "", label: str = "", **more: str
) -> None:
    name = value.partition(site.url + "/")[2].partition(",")[0].partition("|")[0]
    # Rows about the database ask it through the chain, all others at an address of its own, so that all is verified.
    gosumdb = site.database.verifier
    if not name.startswith("sum"):
        gosumdb += " %s/target/sumdb/%s" % (site.url, fault_proxy.SUMDB)
    asked = {"label": label} if label else {}
    # A second where an answer never comes or never ends; a time that a slow machine keeps, too, where one does.
    patience = [0.7, 10.0] if re.search("stall|drip", value) else [20.0]
    said = bench.doctor(value, gosumdb, request_timeout=patience[0], **asked)
    for go in gos:
        stalls = (lambda path: _stalls(stalling, path)) if stalling else None
        real = bench.go(go, value, gosumdb, site=site, stalls=stalls, **asked)
        if (said.verdict, said.way) != (real.verdict, real.way) and len(patience) > 1:
            said = bench.doctor(value, gosumdb, request_timeout=patience.pop(), **asked)
        assert (said.verdict, said.way) == (real.verdict, real.way), (go.name, value, said.text, real.text)


def _stalls(name: str, path: str) -> bool:
    wanted = {"stallzip": ".zip", "sumstall": "/sumdb/%s/supported" % fault_proxy.SUMDB}
    return path.startswith("/%s/" % name) and path.endswith(wanted.get(name, ""))


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("fault", FAULTS)
def test_go_and_the_doctor_agree_about_a_fault(
    bench: Any, gos: Any, site: fault_proxy.Running, fault: str, tail: str
) -> None:
    name = fault.rpartition("/")[2]
    _compare(bench, gos, site, (fault + tail).format(u=site.url), name if name in _STALLS else "")


@pytest.mark.parametrize("chain", CHAINS)
def test_go_and_the_doctor_agree_about_a_chain(bench: Any, gos: Any, site: fault_proxy.Running, chain: str) -> None:
    _compare(bench, gos, site, chain.format(u=site.url))


@pytest.mark.parametrize("chain", LABEL_CHAINS)
@pytest.mark.parametrize("label", LABELS)
def test_go_and_the_doctor_agree_about_any_module(
    bench: Any, gos: Any, site: fault_proxy.Running, label: str, chain: str
) -> None:
    _compare(bench, gos, site, chain.format(u=site.url), label=label)


def test_the_rows_are_no_rows_of_one_kind(bench: Any, site: fault_proxy.Running) -> None:
    # Else agreement would say little.
    gosumdb = site.database.verifier
    verdicts = [
        bench.doctor((fault + tail).format(u=site.url), gosumdb, request_timeout=2.0).verdict for fault, tail in _SAMPLE
    ]
    assert verdicts == ["fails", "served", "served", "served", "hangs"]


_SAMPLE = [
    ("{u}/st/500", "," + GOOD),
    ("{u}/st/500", "|" + GOOD),
    ("{u}/st/404", "," + GOOD),
    ("{u}/wrongmod", "|" + GOOD),
    ("{u}/stall", "|" + GOOD),
]
