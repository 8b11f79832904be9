# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet sees of its module proxies, and the chain that it should use. Pure.

A chain is recommended out of candidates. Private ones come first and only a comma follows the last of them, so that
their failure sends no private name to others. An order changes only if it is better by a margin in several runs.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import statistics
import typing as t
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from ansible_collections.gofleet.cache.plugins.module_utils._proxy import chain as chains
from ansible_collections.gofleet.cache.plugins.plugin_utils import _table

Result = t.Mapping[str, t.Any]

OK = "ok"
DEGRADED = "degraded"
BROKEN = "broken"
UNKNOWN = "unknown"
FAILED = "failed"
UNREACHABLE = "unreachable"

STRICT = "strict"
RESILIENT = "resilient"
PRIVATE = "private"

#: A proxy that changed between working and failing this often within so many runs is unstable.
CHANGES = 3
WINDOW = 10
_NEVER, _ON_BROKEN, _ON_DEGRADED = "never", "broken", "degraded"
_BAD = (BROKEN, FAILED, UNREACHABLE)
_MISSING = ("missing_version", "missing_module")


@dataclass(frozen=True)
class Options:
    """How a chain is recommended. candidates: URLs; private: those among them that have the private modules.

    policy: STRICT, a comma everywhere; RESILIENT, ``|`` among equals; PRIVATE, the private ones only. last: ``direct``,
    ``off`` or empty. margin_percent, margin_ms: both must be reached. runs: in how many runs in a row. keep: lines of
    history. fail_on: ``never``, ``broken`` or ``degraded``. account, inventory: for the command that is printed.
    """

    candidates: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    policy: str = RESILIENT
    last: str = "direct"
    margin_percent: float = 20.0
    margin_ms: float = 20.0
    runs: int = 3
    keep: int = 500
    fail_on: str = _ON_BROKEN
    account: str = ""
    inventory: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What runs must have in common to be compared."""
        text = json.dumps([sorted(self.candidates), sorted(self.private), self.policy, self.last])
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def options(given: t.Mapping[str, t.Any], prefix: str = "gofleet_proxy_") -> Options:
    """The options out of variables without their prefix. Raises ValueError with name and value."""

    def texts(name: str) -> tuple[str, ...]:
        value = given.get(name) or []
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise ValueError("%s%s: %r is not a list of texts" % (prefix, name, value))
        return tuple(dict.fromkeys(item.rstrip("/") for item in value))

    def number(name: str, default: float, least: float, most: float) -> float:
        value = given.get(name, default)
        try:
            found = float(value) if not isinstance(value, bool) else float("nan")
        except (TypeError, ValueError):
            found = float("nan")
        if not least <= found <= most:
            raise ValueError("%s%s: %r is not a number from %g to %g" % (prefix, name, value, least, most))
        return found

    def word(name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = given.get(name, default)
        value = "" if value is None else str(value)
        if value not in allowed:
            words = ", ".join(item or "an empty text" for item in allowed)
            raise ValueError("%s%s: %r is none of %s" % (prefix, name, value, words))
        return value

    candidates = texts("candidates")
    for url in candidates:
        parsed = chains.parse(url)
        if parsed.error or len(parsed.elements) != 1 or parsed.elements[0].kind not in (chains.HTTP, chains.FILE):
            shown = parsed.elements[0].shown if parsed.elements and not parsed.error else parsed.error or "no proxy"
            raise ValueError("%scandidates: %s: not the URL of one proxy" % (prefix, shown))
        if "@" in urlsplit(parsed.elements[0].url).netloc:
            raise ValueError(
                "%scandidates: %s holds credentials; put them into .netrc" % (prefix, parsed.elements[0].shown)
            )
    whole = tuple(chains.parse(url).elements[0].url for url in candidates)
    private = tuple(chains.parse(url).elements[0].url for url in texts("private") if chains.parse(url).elements)
    if given.get("private") is None:
        private = tuple(url for url in whole if not chains.parse(url).elements[0].public)
    strange = [url for url in private if url not in whole]
    if strange:
        raise ValueError("%sprivate: %s is none of the candidates" % (prefix, strange[0]))
    outside = [url for url in private if chains.parse(url).elements[0].public]
    if outside:
        raise ValueError("%sprivate: %s is a proxy for everybody" % (prefix, outside[0]))
    policy = word("policy", RESILIENT, (STRICT, RESILIENT, PRIVATE))
    if policy == PRIVATE and candidates and not private:
        raise ValueError("%spolicy: private needs a private candidate" % prefix)
    return Options(
        whole,
        private,
        policy,
        word("last", "direct", ("direct", "off", "")),
        number("margin_percent", 20, 0, 1000),
        number("margin_ms", 20, 0, 100000),
        int(number("runs", 3, 1, 100)),
        int(number("history_keep", 500, 1, 100000)),
        word("fail_on", _ON_BROKEN, (_NEVER, _ON_BROKEN, _ON_DEGRADED)),
        str(given.get("account") or ""),
        tuple(str(item) for item in given.get("inventory") or ()),
    )


# One agent


def verdict(result: Result) -> str:
    """OK, DEGRADED (modules come, but something fails), BROKEN (one does not), UNKNOWN, FAILED or UNREACHABLE."""
    if result.get("unreachable"):
        return UNREACHABLE
    if result.get("failed") or "chain" not in result:
        return FAILED
    ways = [str(way.get("verdict")) for way in _table.items(result, "explain")]
    refused = any(row.get("code") == "chain-refused" for row in _table.items(result, "findings"))
    if "fails" in ways or refused:
        return BROKEN
    if ways and not any(way in ("served", "direct") for way in ways):
        return UNKNOWN
    return OK if result.get("healthy") else DEGRADED


def _checks(row: Result) -> dict[str, Result]:
    return {str(check.get("name")): check for check in _table.items(row, "checks")}


def _p50(row: Result) -> float | None:
    if row.get("kind") == chains.FILE:
        return 0.0
    value = _table.mapping(_checks(row).get("latency", {}).get("value"))
    found = value.get("p50")
    if found is None:
        found = _table.mapping(value.get("cold")).get("total")
    return float(found) if isinstance(found, (int, float)) else None


def _why_not(row: Result) -> str:
    """Why a proxy can not be in a chain at all, or an empty text."""
    for name, check in _checks(row).items():
        if check.get("status") == "fail":
            return "%s: %s" % (name, check.get("text"))
    return ""


def _blocks(row: Result) -> str:
    """Why Go never goes on behind it where a comma follows, or an empty text."""
    for name, check in _checks(row).items():
        if name in _MISSING and check.get("status") == "warn":
            return str(check.get("text"))
    return ""


# One site


@dataclass
class Measured:
    """One proxy as a site sees it. p50: milliseconds, the median of the agents. why: why it can not be used, or empty.

    blocks: why nothing behind it and a comma is reached, or empty. status: the worst of the agents'.
    """

    status: str = "skip"
    p50: float | None = None
    why: str = ""
    blocks: str = ""
    agents: int = 0

    @property
    def usable(self) -> bool:
        """Whether it may be in a chain."""
        return not self.why and self.p50 is not None


def measure(results: t.Mapping[str, Result], opts: Options, key: str = "candidates") -> dict[str, Measured]:
    """The proxies in the list *key* of the agents that gave a result, by URL."""
    found: dict[str, Measured] = {}
    good = {name: result for name, result in results.items() if verdict(result) not in (FAILED, UNREACHABLE)}
    times: dict[str, list[float]] = {}
    for name, result in good.items():
        for row in _table.items(result, key):
            url = str(row.get("element"))
            if row.get("kind") not in (chains.HTTP, chains.FILE):
                continue
            item = found.setdefault(url, Measured())
            item.agents += 1
            item.status = _worst(item.status, str(row.get("status")))
            why = _why_not(row)
            lost = _table.mapping(_checks(row).get("canaries", {}).get("value")).get("lost")
            if not why and lost and url not in opts.private:
                why = "it does not have " + ", ".join(str(label) for label in list(lost)[:3])
            p50 = _p50(row)
            if not why and p50 is None:
                why = "its latency could not be measured"
            item.why = item.why or ("%s (%s)" % (why, name) if why else "")
            item.blocks = item.blocks or _blocks(row)
            if p50 is not None:
                times.setdefault(url, []).append(p50)
    for url, item in found.items():
        item.p50 = round(statistics.median(times[url]), 1) if url in times else None
        if item.agents < len(good) and not item.why:
            item.why = "only %d of %d agents asked it" % (item.agents, len(good))
    return found


def _worst(one: str, other: str) -> str:
    order = ("skip", "ok", "warn", "fail")
    return max(one, other, key=lambda status: order.index(status) if status in order else 0)


def ordered(
    now: t.Mapping[str, Measured],
    base: t.Sequence[str],
    past: t.Sequence[t.Mapping[str, t.Any]],
    opts: Options,
    fresh: bool,
) -> list[str]:
    """The usable proxies of one class in order. base: the order until now. past: ``elements`` of the runs before, the
    last one at the end. fresh: whether there is no recommendation yet, so that newcomers need no record.
    """
    usable = [url for url in now if now[url].usable]
    fastest = sorted(usable, key=lambda url: (_time(now[url]), url))
    before = list(past)[-(opts.runs - 1) :] if opts.runs > 1 else []
    complete = len(before) == opts.runs - 1
    order = [url for url in base if url in usable]
    for url in fastest:
        proven = complete and all(_table.mapping(run.get(url)).get("usable") for run in before)
        if url not in order and (fresh or proven or not any(other in usable for other in base)):
            order.append(url)
    if fresh and not [url for url in base if url in usable]:
        return fastest

    def overtakes(later: str, earlier: str) -> bool:
        """Whether the later one was faster by the margin in this run and in all that count before it."""
        if not complete:
            return False
        pairs = [(_time(now[later]), _time(now[earlier]))]
        for run in before:
            rows = (_table.mapping(run.get(later)), _table.mapping(run.get(earlier)))
            if not all(row.get("usable") and isinstance(row.get("p50"), (int, float)) for row in rows):
                return False
            pairs.append((float(rows[0]["p50"]), float(rows[1]["p50"])))
        return all(
            slow - quick >= opts.margin_ms and slow - quick >= slow * opts.margin_percent / 100 and slow > quick
            for quick, slow in pairs
        )

    # Every exchange takes one inversion of this run's times away, so this ends.
    at = 0
    while at + 1 < len(order):
        if overtakes(order[at + 1], order[at]):
            order[at : at + 2] = [order[at + 1], order[at]]
            at = max(0, at - 1)
        else:
            at += 1
    return order


def _time(item: Measured) -> float:
    return item.p50 if item.p50 is not None else float("inf")


def compose(private: t.Sequence[str], public: t.Sequence[str], blocks: t.Container[str], opts: Options) -> str:
    """The GOPROXY value of an order. Behind the last private proxy always a comma: its failure must stay a failure."""
    inner = "|" if opts.policy == RESILIENT else ","
    rest = [] if opts.policy == PRIVATE else list(public)
    value = inner.join(private)
    if private and any(url in blocks for url in private):
        return value  # what follows would be asked for some names only
    if rest:
        value += ("," if value else "") + inner.join(rest)
    if opts.last and value:
        value += ("," if not rest or opts.last == "off" else inner) + opts.last
    return value


@dataclass
class Recommendation:
    """What a site should use. chain: empty where nothing can be recommended. reason: why, one line.

    configured: chain to the number of agents that use it now. change: whether agents use another one than this.
    command: how it is applied. excluded: URL to why it is not in it. pending: what waits for more runs.
    """

    site: str
    agents: int
    chain: str = ""
    reason: str = ""
    change: bool = False
    configured: dict[str, int] = field(default_factory=dict)
    command: str = ""
    excluded: dict[str, str] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)


def recommend(
    site: str, results: t.Mapping[str, Result], opts: Options, past: t.Sequence[t.Mapping[str, t.Any]]
) -> Recommendation:
    """The chain for the agents of a site. past: this site's records with the same key, the last one at the end."""
    found = Recommendation(site, len(results))
    good = [result for result in results.values() if verdict(result) not in (FAILED, UNREACHABLE)]
    for result in good:
        chain = _configured(result)
        found.configured[chain] = found.configured.get(chain, 0) + 1
    if not opts.candidates:
        found.reason = "no candidates: set gofleet_proxy_candidates"
        return found
    if not good:
        found.reason = "no agent gave a result"
        return found
    now = {url.rstrip("/"): item for url, item in measure(results, opts).items()}
    for url in opts.candidates:
        now.setdefault(url, Measured(why="nobody asked it"))
    found.excluded = {url: item.why for url, item in now.items() if not item.usable}
    # A run in which nothing could be recommended forgets nothing.
    orders = [row["order"] for row in past if isinstance(row.get("order"), list) and row["order"]]
    base: t.Sequence[str] = [str(url) for url in orders[-1]] if orders else []
    fresh = not orders
    if fresh and len(found.configured) == 1:
        base = [element.url for element in chains.parse(next(iter(found.configured))).elements]
    runs = [_table.mapping(run.get("elements")) for run in past]
    private = {url: item for url, item in now.items() if url in opts.private}
    public = {url: item for url, item in now.items() if url not in opts.private}
    if opts.policy == STRICT:
        for url, item in public.items():
            if item.usable and item.blocks:
                found.excluded[url] = "%s: nothing behind its comma would be reached" % item.blocks
        public = {url: item for url, item in public.items() if url not in found.excluded}
    first = ordered(private, base, runs, opts, fresh)
    second = ordered(public, base, runs, opts, fresh)
    if private and not first:
        found.reason = "no private proxy can be used, and without one private names would be asked elsewhere"
        return found
    blocks = [url for url in first if private[url].blocks]
    found.chain = compose(first, second, blocks, opts)
    found.order = first + (second if opts.policy != PRIVATE and not blocks else [])
    if not found.chain:
        found.reason = "no candidate can be used"
        return found
    times = ["%s %s ms" % (_host(url), now[url].p50) for url in found.order]
    found.reason = "private first, then by measured p50: " if private and second else "by measured p50: "
    found.reason += ", ".join(times)
    if blocks:
        found.reason += "; it ends at the private proxy, which answers %s" % private[blocks[0]].blocks
    _pending(found, now, opts)
    found.change = any(chain != found.chain for chain in found.configured)
    return found


def _configured(result: Result) -> str:
    """The agent's chain with its separators."""
    text = ""
    rows = _table.items(result, "chain")
    for place, row in enumerate(rows):
        text += str(row.get("element"))
        if place + 1 < len(rows):
            text += "|" if row.get("goes_on_after") == "any error" else ","
    return text


def _pending(found: Recommendation, now: t.Mapping[str, Measured], opts: Options) -> None:
    for url, item in now.items():
        if item.usable and url not in found.order and url not in found.excluded and opts.policy != PRIVATE:
            found.pending.append("%s works; it joins after %d good runs in a row" % (_host(url), opts.runs))
    for earlier, later in zip(found.order, found.order[1:]):
        if (earlier in opts.private) == (later in opts.private) and _time(now[later]) < _time(now[earlier]):
            text = (
                "%s was faster than %s (%s and %s ms); they change places if it is by %g %% and %g ms, %d runs in a row"
            )
            values = (_host(later), _host(earlier), now[later].p50, now[earlier].p50)
            found.pending.append(text % (*values, opts.margin_percent, opts.margin_ms, opts.runs))


def _host(url: str) -> str:
    return urlsplit(url).netloc or url


# History


def records(text: str) -> tuple[list[dict[str, t.Any]], int]:
    """The records of a history, JSON Lines, and how many lines are none."""
    found: list[dict[str, t.Any]] = []
    bad = 0
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and isinstance(row.get("site"), str) and isinstance(row.get("elements"), dict):
            found.append(row)
        else:
            bad += 1
    return found, bad


def unstable(past: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, int]:
    """The proxies whose state changed at least CHANGES times within the last WINDOW records, with how often."""
    states: dict[str, list[bool]] = {}
    for row in list(past)[-WINDOW:]:
        for url, item in _table.mapping(row.get("elements")).items():
            status = _table.mapping(item).get("status")
            if status in ("ok", "warn", "fail"):
                states.setdefault(str(url), []).append(status == "fail")
    counts = {url: sum(one != other for one, other in zip(seen, seen[1:])) for url, seen in states.items()}
    return {url: count for url, count in counts.items() if count >= CHANGES}


# The fleet


def examine(
    results: t.Mapping[str, Result],
    sites: t.Mapping[str, str],
    opts: Options,
    history: str = "",
    now: str = "",
    groups: t.Mapping[str, t.Sequence[str]] | None = None,
) -> dict[str, t.Any]:
    """The report of one run, JSON-able.

    sites: agent to the name of its site. history: JSON Lines of earlier runs. now: this run's time as text. groups: the
    inventory's, for the command. Keys: ``time``, ``verdicts`` (agent to verdict), ``failing`` (agents), ``sites`` (name
    to recommendation and ``unstable``), ``history`` (the new one, at most opts.keep lines), ``bad_lines``.
    """
    known, bad = records(history)
    by_site: dict[str, dict[str, Result]] = {}
    for name, result in results.items():
        by_site.setdefault(sites.get(name) or "all", {})[name] = _table.mapping(result)
    verdicts = {name: verdict(_table.mapping(result)) for name, result in results.items()}
    failing = [
        name
        for name, word in verdicts.items()
        if opts.fail_on != _NEVER and (word in _BAD or (opts.fail_on == _ON_DEGRADED and word == DEGRADED))
    ]
    found: dict[str, t.Any] = {}
    for site in sorted(by_site):
        mine = [row for row in known if row["site"] == site]
        advice = recommend(site, by_site[site], opts, [row for row in mine if row.get("key") == opts.key])
        if advice.change and advice.chain:
            advice.command = command(advice, by_site[site], len(results), opts, groups or {})
        record = _record(site, by_site[site], advice, opts, now)
        known.append(record)
        found[site] = asdict(advice)
        found[site]["unstable"] = unstable([*mine, record])
        found[site]["verdicts"] = record["verdicts"]
    lines = [json.dumps(row, sort_keys=True) for row in known[-opts.keep :]]
    return {
        "time": now,
        "verdicts": verdicts,
        "failing": failing,
        "sites": found,
        "history": "".join(line + "\n" for line in lines),
        "bad_lines": bad,
    }


def _record(
    site: str, results: t.Mapping[str, Result], advice: Recommendation, opts: Options, now: str
) -> dict[str, t.Any]:
    words = [verdict(result) for result in results.values()]
    elements = measure(results, opts, "chain")
    elements.update(measure(results, opts))
    return {
        "time": now,
        "site": site,
        "key": opts.key,
        "verdicts": {word: words.count(word) for word in sorted(set(words))},
        "chain": advice.chain,
        "order": advice.order,
        "elements": {
            url: {"status": item.status, "p50": item.p50, "usable": item.usable} for url, item in elements.items()
        },
    }


def command(
    advice: Recommendation,
    results: t.Mapping[str, Result],
    total: int,
    opts: Options,
    groups: t.Mapping[str, t.Sequence[str]],
) -> str:
    """The line that applies a recommendation: a run of configure, for the agents of the site only."""
    words = ["ansible-playbook", "gofleet.cache.configure"]
    for source in opts.inventory:
        words += ["-i", source]
    if len(results) < total:
        same = sorted(name for name, members in groups.items() if set(members) == set(results) and name != "all")
        words += ["--limit", same[0] if same else ",".join(results)]
    values: dict[str, t.Any] = {"go_config_goproxy": advice.chain}
    if opts.account:
        values["go_config_accounts"] = [opts.account]
    words += ["-e", json.dumps(values)]
    return " ".join(shlex.quote(word) for word in words)


def table(report: t.Mapping[str, t.Any], results: t.Mapping[str, Result]) -> list[str]:
    """The report for people: agents that see the same in one row for each element, then problems, then the advice."""
    groups: dict[str, list[str]] = {}
    for name, result in results.items():
        groups.setdefault(_look(_table.mapping(result)), []).append(str(name))
    verdicts = _table.mapping(report.get("verdicts"))
    rows: list[list[str]] = []
    notes: list[str] = []
    for names in groups.values():
        rows += _rows(names, results, str(verdicts.get(names[0], "?")))
        notes += _problems(names, _table.mapping(results[names[0]]))
    header = ("agents", "verdict", "proxy", "state", "p50 ms", "serves", "not ok")
    found = _table.lines(header, rows, (6, 8, 10, 5, 6, 6, 6), {4})
    if notes:
        found += ["", *notes]
    for site, advice in _table.mapping(report.get("sites")).items():
        found += ["", *_advice(str(site), advice)]
    if report.get("bad_lines"):
        found += ["", "%d lines of the history could not be read and are left out" % report["bad_lines"]]
    counts = [str(word) for word in verdicts.values()]
    text = ", ".join("%d %s" % (counts.count(word), word) for word in dict.fromkeys(sorted(counts, key=_gravity)))
    return [_table.plain(line) for line in [*found, "", "sum: %s: %s" % (_agents(len(counts)), text or "none")]]


def _agents(count: int) -> str:
    return "%d agent%s" % (count, "" if count == 1 else "s")


def _gravity(word: str) -> int:
    order = (OK, UNKNOWN, DEGRADED, BROKEN, FAILED, UNREACHABLE)
    return order.index(word) if word in order else len(order)


def _bad_checks(row: Result) -> list[str]:
    return [name for name, check in _checks(row).items() if check.get("status") in ("warn", "fail")]


def _look(result: Result) -> str:
    """What agents must have in common to share rows: all but times."""
    if verdict(result) in (FAILED, UNREACHABLE):
        return json.dumps([verdict(result), _table.reason(result)])
    rows = [[row.get("element"), row.get("status"), _bad_checks(row)] for row in _elements(result)]
    ways = [[way.get("module"), way.get("verdict"), way.get("served_by")] for way in _table.items(result, "explain")]
    codes = [[row.get("code"), row.get("where")] for row in _table.items(result, "findings")]
    return json.dumps([_configured(result), rows, ways, codes], default=str)


def _elements(result: Result) -> list[Result]:
    chain = _table.items(result, "chain")
    names = [row.get("element") for row in chain]
    return chain + [row for row in _table.items(result, "candidates") if row.get("element") not in names]


def _rows(names: t.Sequence[str], results: t.Mapping[str, Result], word: str) -> list[list[str]]:
    result = _table.mapping(results[names[0]])
    who = names[0] if len(names) == 1 else "%s +%d" % (names[0], len(names) - 1)
    ways = _table.items(result, "explain")
    found: list[list[str]] = []
    inside = len(_table.items(result, "chain"))
    for place, row in enumerate(_elements(result)):
        url = row.get("element")
        times = [_p50(other) for name in names for other in _elements(results[name]) if other.get("element") == url]
        known = [value for value in times if value is not None and row.get("kind") == chains.HTTP]
        p50 = "%.1f" % statistics.median(known) if known else "-"
        if url == chains.DIRECT:
            count = sum(way.get("verdict") == "direct" for way in ways)
        else:
            count = sum(url in (way.get("served_by") or []) for way in ways)
        serves = "%d of %d" % (count, len(ways)) if place < inside else "candidate"
        state = "-" if row.get("kind") in (chains.DIRECT, chains.OFF) else str(row.get("status"))
        found.append([who, word, str(url), state, p50, serves, ", ".join(_bad_checks(row)) or "-"])
        who = word = ""
    return found or [[who, word, "-", "-", "-", "-", "-"]]


def _problems(names: t.Sequence[str], result: Result) -> list[str]:
    who = ", ".join(names[:3]) + (" and %d more" % (len(names) - 3) if len(names) > 3 else "")
    if verdict(result) in (FAILED, UNREACHABLE):
        return ["%s: %s: %s" % (who, verdict(result).upper(), _table.reason(result))]
    severe = [row for row in _table.items(result, "findings") if row.get("severity") in ("error", "warning")]
    found = ["%s: %s: %s: %s" % (who, row["severity"], row.get("where"), row.get("text")) for row in severe[:8]]
    return found + (["%s: and %d more, see the report" % (who, len(severe) - 8)] if len(severe) > 8 else [])


def _advice(site: str, advice: Result) -> list[str]:
    start = "site %s" % site
    if not advice.get("chain"):
        found = ["%s: nothing is recommended: %s" % (start, advice.get("reason"))]
    elif advice.get("change"):
        found = ["%s: recommended: %s" % (start, advice["chain"]), "  why: %s" % advice.get("reason")]
        used = ["%s (%s)" % (chain, _agents(n)) for chain, n in _table.mapping(advice.get("configured")).items()]
        found += ["  now: %s" % item for item in used]
        found.append("  to apply it: %s" % advice.get("command"))
    else:
        found = ["%s: keeps %s" % (start, advice["chain"]), "  why: %s" % advice.get("reason")]
    found += ["  left out: %s: %s" % pair for pair in _table.mapping(advice.get("excluded")).items()]
    found += ["  waits: %s" % text for text in advice.get("pending") or []]
    for url, count in _table.mapping(advice.get("unstable")).items():
        found.append("  unstable: %s changed %d times in the last %d runs" % (url, count, WINDOW))
    return found
