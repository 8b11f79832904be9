# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._proxy import chain as chains
from ansible_collections.gofleet.cache.plugins.plugin_utils import _doctor

OURS = "https://goproxy.example.com"
PUBLIC = ["https://goproxy.cn", "https://goproxy.io", "https://proxy.golang.org"]
CANARY = "golang.org/x/text@v0.3.0"


def row(url: str, p50: float | None = 10.0, status: str = "ok", **checks: str) -> dict[str, Any]:
    found = [{"name": name, "status": said, "text": "%s says %s" % (url, said)} for name, said in checks.items()]
    if p50 is not None:
        found.append({"name": "latency", "status": "ok", "text": "", "value": {"p50": p50, "samples": 5}})
    return {"element": url, "kind": "http", "status": status, "checks": found}


def result(candidates: list[dict[str, Any]], chain: str = PUBLIC[2], **more: Any) -> dict[str, Any]:
    elements = [
        {
            "element": e.shown,
            "kind": e.kind,
            "goes_on_after": "any error" if e.falls_back else "404 and 410",
            "status": "ok",
        }
        for e in chains.parse(chain).elements
    ]
    given: dict[str, Any] = {
        "chain": elements,
        "candidates": candidates,
        "healthy": True,
        "findings": [],
        "explain": [{"module": CANARY, "verdict": "served", "served_by": [elements[0]["element"]]}],
    }
    return dict(given, **more)


def options(**more: Any) -> _doctor.Options:
    return _doctor.options(dict({"candidates": [OURS, *PUBLIC]}, **more))


def site(report: dict[str, Any], name: str = "all") -> dict[str, Any]:
    return dict(report["sites"][name])


def test_private_comes_first_and_its_failure_leads_nowhere() -> None:
    rows = [row(OURS, 90), row(PUBLIC[0], 30), row(PUBLIC[1], 5), row(PUBLIC[2], 60)]
    advice = site(_doctor.examine({"a": result(rows)}, {}, options()))
    assert (
        advice["chain"]
        == "https://goproxy.example.com,https://proxy.golang.org|https://goproxy.io|https://goproxy.cn|direct"
    )
    strict = site(_doctor.examine({"a": result(rows, "off")}, {}, options(policy="strict", last="off")))
    assert (
        strict["chain"]
        == "https://goproxy.example.com,https://goproxy.io,https://goproxy.cn,https://proxy.golang.org,off"
    )
    alone = site(_doctor.examine({"a": result(rows)}, {}, options(policy="private", last="")))
    assert alone["chain"] == OURS
    assert alone["order"] == [OURS]


def test_without_a_private_proxy_that_works_nothing_is_recommended() -> None:
    rows = [row(OURS, status="fail", tls="fail"), *(row(url) for url in PUBLIC)]
    advice = site(_doctor.examine({"a": result(rows)}, {}, options()))
    assert advice["chain"] == ""
    assert "private names" in advice["reason"]
    assert advice["command"] == ""


def test_a_private_proxy_that_stops_the_chain_ends_it() -> None:
    rows = [row(OURS, missing_version="warn"), *(row(url) for url in PUBLIC)]
    advice = site(_doctor.examine({"a": result(rows)}, {}, options()))
    assert (advice["chain"], advice["order"]) == (OURS, [OURS])
    assert "ends at the private proxy" in advice["reason"]


STATES = st.sampled_from(["ok", "warn", "fail"])
TIMES = st.one_of(st.none(), st.floats(0.1, 5000))
SEEN = st.lists(st.tuples(st.sampled_from([OURS, *PUBLIC]), STATES, TIMES), max_size=8)
POLICIES = st.sampled_from(["strict", "resilient", "private"])


@given(st.lists(SEEN, min_size=1, max_size=4), POLICIES, st.sampled_from(["direct", "off", ""]), st.integers(1, 4))
def test_no_recommendation_has_a_failed_proxy_or_a_public_one_before_the_private(
    runs: list[list[tuple[str, str, float | None]]], policy: str, last: str, needed: int
) -> None:
    history = ""
    chosen = options(policy=policy, last=last, runs=needed)
    for seen in runs:
        rows = [row(url, p50, state, tcp=state) for url, state, p50 in {item[0]: item for item in seen}.values()]
        report = _doctor.examine({"a": result(rows)}, {}, chosen, history)
        history = report["history"]
        advice = site(report)
        urls = [e.url for e in chains.parse(advice["chain"]).elements if e.kind == "http"] if advice["chain"] else []
        states = {item["element"]: item for item in rows}
        for url in urls:
            assert states[url]["status"] != "fail"
            assert any(check["name"] == "latency" for check in states[url]["checks"])
        assert OURS in urls or not advice["chain"]
        assert urls[:1] in ([], [OURS])
        assert "%s|https://goproxy.cn" % OURS not in advice["chain"]
        assert all("%s|%s" % (OURS, url) not in advice["chain"] for url in PUBLIC)
        assert json.loads(json.dumps(report)) == report


NOISE = st.lists(st.tuples(*[st.floats(0, 19.9)] * 3), min_size=1, max_size=8)


@given(NOISE)
def test_noise_below_the_margin_never_changes_a_chain(noise: list[tuple[float, float, float]]) -> None:
    history, first = "", ""
    for deltas in noise:
        rows = [row(OURS, 1), *(row(url, 40 + delta) for url, delta in zip(PUBLIC, deltas))]
        report = _doctor.examine({"a": result(rows)}, {}, options(runs=1), history)
        history, first = report["history"], first or site(report)["chain"]
        assert site(report)["chain"] == first


def _runs(times: list[dict[str, float | None]], **more: Any) -> list[dict[str, Any]]:
    """The advice of each run; None for a proxy that failed in it."""
    history, found = "", []
    for measured in times:
        rows = [
            row(url, p50, "fail" if p50 is None else "ok", tcp="fail" if p50 is None else "ok")
            for url, p50 in measured.items()
        ]
        report = _doctor.examine({"a": result(rows, "off")}, {}, options(candidates=PUBLIC[:2], **more), history)
        history = report["history"]
        found.append(site(report))
    return found


A, B = PUBLIC[:2]


def test_a_better_order_needs_several_runs_in_a_row() -> None:
    good, bad = {A: 100.0, B: 200.0}, {A: 200.0, B: 100.0}
    orders = [advice["order"] for advice in _runs([good, bad, bad, good, bad, bad, bad])]
    assert orders == [[A, B]] * 6 + [[B, A]]
    waiting = _runs([good, bad])[-1]
    assert "3 runs in a row" in waiting["pending"][0]


@pytest.mark.parametrize(("slow", "quick"), [(30.0, 12.0), (1000.0, 900.0)])
def test_both_margins_must_be_reached(slow: float, quick: float) -> None:
    orders = [advice["order"] for advice in _runs([{A: 1.0, B: 100.0}] + [{A: slow, B: quick}] * 5)]
    assert orders == [[A, B]] * 6


def test_what_fails_goes_at_once_and_comes_back_when_it_has_proved_itself() -> None:
    both: dict[str, float | None] = {A: 10.0, B: 50.0}
    orders = [advice["order"] for advice in _runs([both, {A: None, B: 50.0}, both, both, both, both, both])]
    assert orders[1] == [B]
    assert orders[2:4] == [[B], [B]]
    assert orders[4] in ([B, A], [A, B])
    assert orders[-1] == [A, B]


def test_a_run_in_which_nothing_works_forgets_nothing() -> None:
    down: dict[str, float | None] = {A: None, B: None}
    orders = [advice["order"] for advice in _runs([{A: 10.0, B: 200.0}, down, {A: 60.0, B: 50.0}])]
    assert orders == [[A, B], [], [A, B]]


def test_the_order_that_agents_have_is_kept_until_another_one_has_proved_better() -> None:
    rows = [row(A, 200), row(B, 10)]
    report = _doctor.examine({"a": result(rows, "%s|%s|direct" % (A, B))}, {}, options(candidates=[A, B]))
    assert site(report)["order"] == [A, B]
    assert not site(report)["change"]


def test_a_public_proxy_without_the_canary_is_left_out() -> None:
    lost = row(A, 5)
    lost["checks"].append({"name": "canaries", "status": "warn", "text": "", "value": {"lost": [CANARY]}})
    advice = site(_doctor.examine({"a": result([lost, row(B, 10)])}, {}, options(candidates=[A, B])))
    assert advice["order"] == [B]
    assert CANARY in advice["excluded"][A]


def test_sites_are_judged_apart_and_the_command_names_only_their_agents() -> None:
    far = result([row(A, 5), row(B, 90)], "off")
    near = result([row(A, 90), row(B, 5)], "off")
    report = _doctor.examine(
        {"a1": far, "b1": near, "b2": near},
        {"a1": "asia", "b1": "europe", "b2": "europe"},
        options(candidates=[A, B], account="ci", inventory=["hosts.yml"]),
        groups={"eu": ["b1", "b2"], "all": ["a1", "b1", "b2"]},
    )
    assert site(report, "asia")["order"] == [A, B]
    assert site(report, "europe")["order"] == [B, A]
    start = "ansible-playbook gofleet.cache.configure -i hosts.yml --limit "
    assert site(report, "asia")["command"].startswith(start + "a1 -e ")
    assert site(report, "europe")["command"].startswith(start + "eu -e ")
    assert '"go_config_accounts": ["ci"]' in site(report, "europe")["command"]


def test_one_agent_that_cannot_reach_a_proxy_keeps_it_out_for_the_site() -> None:
    report = _doctor.examine(
        {"a": result([row(A, 5), row(B, 9)]), "b": result([row(A, 5, "fail", dns="fail"), row(B, 9)])},
        {},
        options(candidates=[A, B]),
    )
    assert site(report)["order"] == [B]
    assert "(b)" in site(report)["excluded"][A]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"unreachable": True, "msg": "no route"}, "unreachable"),
        ({"failed": True, "msg": "no account"}, "failed"),
        ({}, "failed"),
        (result([]), "ok"),
        (result([], healthy=False), "degraded"),
        (result([], explain=[{"verdict": "fails"}, {"verdict": "served"}]), "broken"),
        (result([], findings=[{"code": "chain-refused"}]), "broken"),
        (result([], explain=[{"verdict": "unknown"}]), "unknown"),
    ],
)
def test_verdicts(given: dict[str, Any], word: str) -> None:
    assert _doctor.verdict(given) == word


def test_who_makes_the_run_fail_is_a_choice() -> None:
    results = {
        "ok": result([]),
        "so": result([], healthy=False),
        "no": result([], explain=[{"verdict": "fails"}]),
        "off": {"unreachable": True},
    }
    found = {
        word: _doctor.examine(results, {}, options(fail_on=word))["failing"] for word in ("never", "broken", "degraded")
    }
    assert found == {"never": [], "broken": ["no", "off"], "degraded": ["so", "no", "off"]}


def test_a_proxy_that_comes_and_goes_is_called_unstable() -> None:
    times: list[dict[str, float | None]] = [{A: 10.0, B: 50.0 if number % 2 else None} for number in range(5)]
    assert _runs(times)[-1]["unstable"] == {B: 4}


def test_the_history_is_bounded_and_survives_lines_that_are_none() -> None:
    text = "".join('{"site": "all", "elements": {}, "n": %d}\n' % number for number in range(20)) + "nonsense\n[1]\n"
    report = _doctor.examine({"a": result([row(A)])}, {}, options(candidates=[A], history_keep=5), text)
    assert report["history"].count("\n") == 5
    assert report["bad_lines"] == 2


@given(st.text(max_size=200))
def test_no_history_makes_it_raise(text: str) -> None:
    _doctor.examine({"a": result([row(A)])}, {}, options(candidates=[A]), text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["elements", "order", "usable", "p50", "status", A, B]), inner, max_size=4
            )
        ),
        max_leaves=10,
    )
)
def test_no_record_makes_it_raise(junk: Any) -> None:
    key = options(candidates=[A, B]).key
    line = json.dumps({"site": "all", "key": key, "elements": {A: junk}, "order": junk}) + "\n"
    _doctor.examine({"a": result([row(A), row(B)])}, {}, options(candidates=[A, B]), line * 3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"candidates": "https://a.test"}, "gofleet_proxy_candidates: 'https://a.test' is not a list"),
        ({"candidates": ["direct"]}, "not the URL of one proxy"),
        ({"candidates": ["https://a.test,https://b.test"]}, "not the URL of one proxy"),
        ({"candidates": ["https://ci:s3cret@a.test"]}, "holds credentials"),
        ({"candidates": [A], "private": [OURS]}, "is none of the candidates"),
        ({"candidates": [A], "private": [A]}, "is a proxy for everybody"),
        ({"candidates": [A], "policy": "private"}, "needs a private candidate"),
        ({"policy": "loose"}, "gofleet_proxy_policy: 'loose'"),
        ({"last": "proxy"}, "gofleet_proxy_last: 'proxy'"),
        ({"margin_ms": "much"}, "gofleet_proxy_margin_ms: 'much'"),
        ({"margin_percent": -1}, "gofleet_proxy_margin_percent: -1"),
        ({"runs": 0}, "gofleet_proxy_runs: 0"),
        ({"fail_on": "always"}, "gofleet_proxy_fail_on: 'always'"),
    ],
)
def test_bad_options_are_refused_with_name_and_value(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"gofleet_proxy_") as raised:
        _doctor.options(given)
    assert words in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_equal_agents_share_their_rows_whatever_their_latency() -> None:
    results = {"ci-%d" % number: result([row(A, 10.0 + number)], A + ",direct") for number in range(12)}
    results["ci-x"] = {"unreachable": True, "msg": "no route"}
    lines = _doctor.table(_doctor.examine(results, {}, options(candidates=[A])), results)
    assert sum(line.startswith("ci-0 +11  ok ") for line in lines) == 1
    assert "ci-x: UNREACHABLE: no route" in lines
    assert lines[-1] == "sum: 13 agents: 12 ok, 1 unreachable"
