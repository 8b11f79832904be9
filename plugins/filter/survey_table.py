# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the caches of each agent, as tables for people."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.module_utils._core.units import human
from ansible_collections.gofleet.cache.plugins.plugin_utils import _table

DOCUMENTATION = r"""
name: survey_table
short_description: What is in the caches of each agent, as aligned lines
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Turns results of M(gofleet.cache.cache_info) into tables of printable ASCII; one row for each cache, one for each
    file system, and below them what needs attention; among it what lies in quarantine, and the warnings of the agent's
    journal. The size of a cache is without its quarantine.
options:
  _input:
    description: Results by the name of the agent. Results of failed tasks and of unreachable agents are fine.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is there
  ansible.builtin.debug:
    msg: "{{ {inventory_hostname: caches} | gofleet.cache.survey_table }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
  sample:
    - "agent  kind      entries      size  last used      damage   uid  path"
    - "ci-1   go-build    98211   8.5 GiB  < 7d to < 30d       0  1001  /home/ci/.cache/go-build"
    - "agent  file system  Go caches      rest      free      total  free %"
    - "ci-1   /              8.5 GiB  38.0 GiB  45.0 GiB   91.5 GiB     49%"
    - "sum: 1 of 1 agents, 1 cache, 98211 entries, 8.5 GiB"
"""

_NOTES = 10
_REFUSED = 5


def survey_table(results: object) -> list[str]:
    """The lines of the tables; see DOCUMENTATION."""
    if not isinstance(results, t.Mapping):
        raise AnsibleFilterError("survey_table: the input must be results by agent, not %r" % (results,))
    known = {str(name): _table.mapping(result) for name, result in results.items()}
    least = max([5] + [len(_table.plain(name)) for name in known])
    found = _table.lines(
        ("agent", "kind", "entries", "size", "last used", "damage", "uid", "path"),
        [_cache(name, cache) for name, result in known.items() for cache in _rows(result)],
        (least, 8, 8, 10, 15, 6, 5),
        {2, 3, 5, 6},
    )
    disks = [_disk(name, disk) for name, result in known.items() for disk in _table.items(result, "filesystems")]
    if disks:
        found += ["", *_disks(disks, least)]
    notes = [_table.plain(line) for name, result in known.items() for line in _notes(name, result)]
    if notes:
        found += ["", *notes]
    return [*found, "", _sums(known)]


def _rows(result: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    caches = _table.items(result, "caches")
    if caches:
        return caches
    word = "UNREACHABLE" if result.get("unreachable") else "FAILED" if _failed(result) else "no cache"
    return [{"kind": "-", "path": word}]


def _failed(result: t.Mapping[str, t.Any]) -> bool:
    return bool(result.get("failed") or result.get("unreachable") or "caches" not in result)


def _cache(name: str, cache: t.Mapping[str, t.Any]) -> list[str]:
    if "allocated" not in cache:
        return [name, str(cache.get("kind")), "-", "-", "-", "-", "-", str(cache.get("path"))]
    return [
        name,
        str(cache.get("kind")),
        str(cache.get("entries")),
        human(int(cache["allocated"])),
        _span([str(item.get("age")) for item in _table.items(cache, "ages")]),
        str(cache.get("damage_seen", 0)),
        str(cache.get("uid")),
        str(cache.get("path")),
    ]


def _span(classes: t.Sequence[str]) -> str:
    """From the newest to the oldest class of age that holds an entry."""
    if not classes:
        return "-"
    return classes[0] if len(classes) == 1 else "%s to %s" % (classes[0], classes[-1])


def _disk(name: str, disk: t.Mapping[str, t.Any]) -> list[str]:
    row = [name, str(disk.get("mount") or "?"), human(int(disk.get("go") or 0))]
    if not disk.get("total"):
        return [*row, "?", "?", "?", "?"]
    row += [human(int(disk.get(key) or 0)) for key in ("rest", "free", "total")]
    return [*row, "%d%%" % (100 * int(disk.get("free") or 0) // int(disk["total"]))]


def _disks(rows: t.Sequence[t.Sequence[str]], least: int) -> list[str]:
    header = ("agent", "file system", "Go caches", "rest", "free", "total", "free %")
    return _table.lines(header, rows, (least, 12, 10, 10, 10, 10, 6), {2, 3, 4, 5, 6})


def _notes(name: str, result: t.Mapping[str, t.Any]) -> list[str]:
    if _failed(result):
        return ["%s: %s: %s" % (name, "UNREACHABLE" if result.get("unreachable") else "FAILED", _table.reason(result))]
    found: list[str] = []
    severe = [i for i in _table.items(result, "findings") if i.get("severity") in ("warning", "error")]
    found.extend("%s: %s" % (item.get("severity"), item.get("text")) for item in severe)
    for item in _table.items(result, "unreached"):
        size = "%d entries, %s" % (int(item.get("entries") or 0), human(int(item.get("bytes") or 0)))
        found.append("not reached: %s (%s): %s" % (item.get("path"), size, item.get("why")))
    for cache in _table.items(result, "caches"):
        if cache.get("damage_seen"):
            where = (cache.get("path"), cache["damage_seen"])
            found.append("damage: %s: %s place(s); gofleet.cache.verify tells more" % where)
        if cache.get("unreached_places"):
            found.append("not readable: %d place(s) in %s" % (cache["unreached_places"], cache.get("path")))
        if cache.get("credentials"):
            found.append("credentials: %s version control clone(s) in %s" % (cache["credentials"], cache.get("path")))
        if cache.get("quarantined"):
            text = "quarantine: %s in %s, kept for gofleet.cache.undo%s"
            found.append(text % (human(int(cache["quarantined"])), cache.get("path"), _until(cache)))
    found.extend(str(item.get("text")) for item in _table.items(result, "advice") if item.get("severity") == "warning")
    work = _table.mapping(result.get("work_folders"))
    if work.get("stale"):
        example = next(iter(work.get("examples") or []), "")
        size = human(int(work.get("stale_bytes") or 0))
        found.append("work folders: %s left by cancelled builds, %s, such as %s" % (work["stale"], size, example))
    refused = _table.items(result, "refused")
    found.extend("left alone: %s: %s; %s" % (i.get("path"), i.get("reason"), i.get("hint")) for i in refused[:_REFUSED])
    if len(refused) > _REFUSED:
        found.append("left alone: %d more places" % (len(refused) - _REFUSED))
    if not result.get("caches"):
        looked = [str(place) for place in result.get("looked_at") or []]
        found.append("looked at: %s" % (", ".join(looked[:8]) + (", ..." if len(looked) > 8 else "") or "nothing"))
    notes = result.get("notes")
    found.extend(str(note) for note in notes) if isinstance(notes, (list, tuple)) else None
    more = len(found) - _NOTES
    if more > 0:
        found[_NOTES:] = ["and %d more; see the result itself" % more]
    return ["%s: %s" % (name, text) for text in found]


def _until(cache: t.Mapping[str, t.Any]) -> str:
    """When the last of a cache's quarantines ends, where the result has details."""
    ends = [int(item.get("ends") or 0) for item in _table.items(cache, "quarantine")]
    return time.strftime(" until %Y-%m-%d %H:%M UTC", time.gmtime(max(ends))) if ends else ""


def _sums(known: t.Mapping[str, t.Mapping[str, t.Any]]) -> str:
    caches = [cache for result in known.values() for cache in _table.items(result, "caches")]
    bad = sum(_failed(result) for result in known.values())
    text = "sum: %d of %d agent%s, %d cache%s, %d entries, %s" % (
        len(known) - bad,
        len(known),
        "" if len(known) == 1 else "s",
        len(caches),
        "" if len(caches) == 1 else "s",
        _table.total(caches, "entries"),
        human(_table.total(caches, "allocated")),
    )
    aside = _table.total(caches, "quarantined")
    if aside:
        text += ", %s in quarantine" % human(aside)
    return text + (", %d failed" % bad if bad else "")


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"survey_table": survey_table}
