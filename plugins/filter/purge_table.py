# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a purge did on each agent, as a table for people."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.module_utils._core.units import human
from ansible_collections.gofleet.cache.plugins.plugin_utils import _table

DOCUMENTATION = r"""
name: purge_table
short_description: What a purge did on each agent, as aligned lines
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Turns results of M(gofleet.cache.cache_prune) into a table of printable ASCII, one row for each agent, with the
    reasons of what failed or could not be reached below it, what has come back since the last purge, the warnings of
    the agent's journal, and a line with the sums.
  - What lies in quarantine counts as kept, because it has given nothing back.
options:
  _input:
    description: Results by the name of the agent. Results of failed tasks and of unreachable agents are fine.
    type: dict
    required: true
  shown:
    description: The agents to show, for example those of one batch. The sums count all. Without it all are shown.
    type: list
    elements: str
  agents:
    description: All agents of the run, for the sums and for columns that are equally wide in every batch.
    type: list
    elements: str
  check:
    description: Whether the run was in check mode.
    type: bool
    default: false
  left_out:
    description: Why an agent was left out of the run, by its name.
    type: dict
    default: {}
positional: shown, agents, check, left_out
"""

EXAMPLES = r"""
- name: Show what was done
  ansible.builtin.debug:
    msg: "{{ {inventory_hostname: cache_policy_result} | gofleet.cache.purge_table(check=ansible_check_mode) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
  sample:
    - "agent  caches    before     freed  pending  free now  verdict  plan          kept, and why"
    - "ci-1        2  14.2 GiB   9.1 GiB        0  18.6 GiB  purged   0930844611a0  floor 388 (1.1 GiB)"
    - "sum: 1 of 1 agents done, 9.1 GiB freed"
"""

# The widest usual content, so that the tables of all batches look alike.
_LEAST = (5, 6, 10, 10, 7, 10, 11, 12, 0)
_RIGHT = frozenset((1, 2, 3, 4, 5))
_NOTES = 5


def purge_table(
    results: object,
    shown: t.Sequence[str] | None = None,
    agents: t.Sequence[str] | None = None,
    check: bool = False,
    left_out: t.Mapping[str, object] | None = None,
) -> list[str]:
    """The lines of the table; see DOCUMENTATION."""
    if not isinstance(results, t.Mapping):
        raise AnsibleFilterError("purge_table: the input must be results by agent, not %r" % (results,))
    every = [str(name) for name in (results if agents is None else agents)]
    names = [str(name) for name in (results if shown is None else shown)]
    why = _table.mapping(left_out)
    known = [_table.mapping(results.get(name)) for name in every]
    # A run that only saved plans has freed nothing, and never meant to.
    would = check or any(_planned(result) for result in known)
    header = (
        "agent",
        "caches",
        "before",
        "would free" if would else "freed",
        "pending",
        "free now",
        "verdict",
        "plan",
        "kept, and why",
    )
    rows = [_row(name, _table.mapping(results.get(name)), check, name in why) for name in names]
    widest = max([_LEAST[0]] + [len(_table.plain(name)) for name in every])
    found = _table.lines(header, rows, (widest, *_LEAST[1:]), _RIGHT)
    for name in names:
        found.extend(_notes(name, _table.mapping(results.get(name)), str(why.get(name) or "")))
    found.append(_sums(known, check, sum(name in why for name in every)))
    return found


def verdict(result: t.Mapping[str, t.Any], check: bool) -> str:
    """One word or two about an agent's result."""
    if not result:
        return "NOT RUN"
    if result.get("unreachable"):
        return "UNREACHABLE"
    if result.get("failed"):
        return "FAILED"
    if result.get("skipped") is True or "caches" not in result:
        return "NOT RUN"
    if not result["caches"]:
        if result.get("acts") is False and not result.get("unreached"):
            return "room enough"  # on every file system: no cache was looked for
        return "not reached" if result.get("unreached") else "no cache"
    if not any(cache.get("surveyed") for cache in _table.items(result, "caches")):
        return "left alone" if _left_alone(result) else "room enough"
    if _planned(result):
        return "would plan" if check else "planned"
    if _table.total(_table.items(result, "pending"), "entries"):
        return "run again"
    if result.get("left_out_entries"):
        return "partly"
    if result.get("changed"):
        return "would purge" if check else "purged"
    return "nothing due"


def _left_alone(result: t.Mapping[str, t.Any]) -> int:
    """How many caches were left alone, because they are in use or another agent cleans them; the notes say why."""
    return sum(1 for cache in _table.items(result, "caches") if cache.get("left_alone"))


def _planned(result: t.Mapping[str, t.Any]) -> bool:
    """Whether a plan was only saved: there is something in it, and nothing of it was done or kept from being done."""
    failed = result.get("failed") or result.get("unreachable")
    done = result.get("changed") or result.get("evicted_entries") or result.get("left_out_entries")
    return bool(result.get("planned_entries")) and not done and not failed


def _row(name: str, result: t.Mapping[str, t.Any], check: bool, left_out: bool) -> list[str]:
    word = "LEFT OUT" if left_out else verdict(result, check)
    caches = _table.items(result, "caches")
    if not caches:
        count = "0" if word == "no cache" else "-"
        return [name, count, "-", "-", "-", "-", word, "-", _kept(result, word)]
    surveyed = [cache for cache in caches if cache.get("surveyed")]
    return [
        name,
        str(len(caches)),
        human(_table.total(surveyed, "allocated")) if surveyed else "-",
        human(_freed(result, check)),
        str(_table.total(_table.items(result, "pending"), "entries")),
        human(int(result.get("free_bytes_after") or 0)),
        word,
        str(result.get("plan_digest") or "-")[:12],
        _kept(result, word),
    ]


def _freed(result: t.Mapping[str, t.Any], check: bool) -> int:
    return int(result.get("predicted_bytes" if check or _planned(result) else "freed_bytes") or 0)


def _quarantined(result: t.Mapping[str, t.Any]) -> int:
    return _table.total(_table.items(result, "caches"), "quarantined_bytes")


def _kept(result: t.Mapping[str, t.Any], word: str) -> str:
    parts = ["more space is free than the policy asks for"] if word == "room enough" else []
    alone = _left_alone(result)
    if alone:
        parts.append("%d cache%s left alone" % (alone, "" if alone == 1 else "s"))
    aside = _quarantined(result)
    if aside:
        parts.append("to quarantine (%s)" % human(aside))
    kept: dict[str, list[int]] = {}
    for item in _table.items(result, "protected"):
        _add(kept, str(item.get("reason")), item)
    for cache in _table.items(result, "caches"):
        for reason, item in _table.mapping(cache.get("left_out")).items():
            _add(kept, str(reason), _table.mapping(item))
    _add(kept, "not reached", *_table.items(result, "unreached"))
    parts.extend("%s %d (%s)" % (reason, count[0], human(count[1])) for reason, count in kept.items() if count[0])
    return ", ".join(parts) or "-"


def _add(table: dict[str, list[int]], reason: str, *found: t.Mapping[str, t.Any]) -> None:
    row = table.setdefault(reason, [0, 0])
    row[0] += _table.total(found, "entries")
    row[1] += _table.total(found, "bytes")


def _notes(name: str, result: t.Mapping[str, t.Any], left_out: str) -> list[str]:
    word = verdict(result, False)
    found = []
    if left_out:
        found.append("LEFT OUT: %s" % left_out)
    elif word in ("FAILED", "UNREACHABLE"):
        found.append("%s: %s" % (word, _table.reason(result)))
    elif word == "no cache":
        found.append("no Go cache was found; run gofleet.cache.survey to see where it was looked for")
    found.extend("not reached: %s: %s" % (i.get("path"), i.get("why")) for i in _table.items(result, "unreached"))
    found.extend(str(item.get("text")) for item in _table.items(result, "advice") if item.get("severity") == "warning")
    regret = [_table.mapping(cache.get("regret")) for cache in _table.items(result, "caches")]
    if _table.total(regret, "bytes"):
        found.append("came back since the last purge: %s" % human(_table.total(regret, "bytes")))
    notes = result.get("notes")
    found.extend(str(note) for note in notes) if isinstance(notes, (list, tuple)) else None
    more = len(found) - _NOTES
    if more > 0:
        found[_NOTES:] = ["and %d more" % more]
    return [_table.plain("  %s: %s" % (name, text)) for text in found]


def _sums(known: t.Sequence[t.Mapping[str, t.Any]], check: bool, left_out: int) -> str:
    words = [verdict(result, check) for result in known]
    bad = sum(word in ("FAILED", "UNREACHABLE") for word in words)
    would = check or any(_planned(result) for result in known)
    text = "sum: %d of %d agent%s done, %s %s" % (
        sum(not word.isupper() for word in words),
        len(words),
        "" if len(words) == 1 else "s",
        human(sum(_freed(result, check) for result in known)),
        "would be freed" if would else "freed",
    )
    aside = sum(_quarantined(result) for result in known)
    if aside:
        text += ", %s %s into quarantine" % (human(aside), "would go" if would else "put")
    if bad:
        text += ", %d failed" % bad
    if left_out:
        text += ", %d left out" % left_out
    again = words.count("run again")
    if again:
        text += ", %d with something pending for the next run" % again
    return text


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"purge_table": purge_table}
