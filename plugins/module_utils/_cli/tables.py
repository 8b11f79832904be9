# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results for people: plain text with aligned columns, made from the very data that ``--json`` prints."""

from __future__ import annotations

import time
from typing import Any, Collection, Iterable, List, Mapping, Sequence

from .._core.units import human, human_age

Row = Sequence[str]
#: How many items of a list are shown; all that are told are in the JSON.
SHOWN = 20


def plain(value: object) -> str:
    """*value* as one line of printable ASCII; anything else is written as an escape, so that nothing can hide."""
    text = str(value).encode("ascii", "backslashreplace").decode("ascii")
    return "".join(c if " " <= c <= "~" else "\\x%02x" % ord(c) for c in text)


def table(header: Row, rows: Iterable[Row], right: Collection[int] = ()) -> List[str]:
    """Header and rows with aligned columns, two blanks between; the columns *right* are aligned to the right."""
    cells = [[plain(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
    found = []
    for row in cells:
        fitted = [cell.rjust(w) if at in right else cell.ljust(w) for at, (cell, w) in enumerate(zip(row, widths))]
        found.append("  ".join(fitted).rstrip())
    return found


def _section(found: List[str], lines: Sequence[str]) -> None:
    if lines:
        found.append("")
        found.extend(lines)


def _when(seconds: object) -> str:
    if not isinstance(seconds, (int, float)) or seconds <= 0:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def survey(result: Mapping[str, Any]) -> List[str]:
    """What a survey tells."""
    found = [plain(result["msg"])]
    rows = []
    for cache in result["caches"]:
        ages = [item["age"] for item in cache.get("ages", [])]
        span = "-" if not ages else ages[0] if len(ages) == 1 else "%s to %s" % (ages[0], ages[-1])
        row = [cache["kind"], str(cache["entries"]), human(cache["allocated"]), span]
        rows.append(row + [str(cache.get("damage_seen", 0)), str(cache["uid"]), cache["path"]])
    if rows:
        _section(found, table(("kind", "entries", "size", "last used", "damage", "uid", "path"), rows, {1, 2, 4, 5}))
    disks = []
    for disk in result["filesystems"]:
        row = [disk["mount"] or "?", human(disk["go"])]
        if disk.get("total"):
            row += [human(disk[key]) for key in ("rest", "free", "total")]
            row.append("%d%%" % (100 * disk["free"] // disk["total"]))
        else:
            row += ["?", "?", "?", "?"]
        disks.append(row)
    if disks:
        header = ("file system", "Go caches", "rest", "free", "total", "free %")
        _section(found, table(header, disks, {1, 2, 3, 4, 5}))
    work = result.get("work_folders") or {}
    notes = []
    if work.get("stale"):
        told = (work["stale"], human(work["stale_bytes"]), (work.get("examples") or ["?"])[0])
        notes.append(plain("work folders: %d left by cancelled builds, %s, such as %s" % told))
    _section(found, notes + remarks(result))
    return found


def purge(result: Mapping[str, Any], check: bool, entries: bool = False) -> List[str]:
    """What a plan or a purge tells; *entries*: also the first of them by name."""
    found = [plain(result["msg"])]
    if result.get("plan_digest"):
        found.append("plan %s" % plain(result["plan_digest"]))
    if result.get("plan_file"):
        found.append("kept in %s; carry it out with prune --plan and the digest" % plain(result["plan_file"]))
    if result.get("quarantine_run"):
        found.append("in quarantine as run %s; undo brings it back" % plain(result["quarantine_run"]))
    key = "predicted_bytes" if check else "freed_bytes"
    rows = []
    for cache in result["caches"]:
        if cache.get("surveyed", True):
            row = [cache["kind"], str(cache.get("entries", "-")), human(cache.get("allocated", 0))]
            row += [str(cache.get("evicted_entries", 0)), human(cache.get(key, 0))]
        else:
            row = [cache["kind"], "-", "-", "-", "left alone" if cache.get("left_alone") else "room enough"]
        rows.append(row + [str(cache["uid"]), cache["path"]])
    if rows:
        words = ("would go", "would free") if check else ("evicted", "freed")
        _section(found, table(("kind", "entries", "size", *words, "uid", "path"), rows, {1, 2, 3, 4, 5}))
    if entries and result["evicted"]:
        _section(found, _entries(result["evicted"], result["planned_entries"]))
    stays = []
    for name, word in (("protected", "kept"), ("pending", "for a later run")):
        for item in result[name]:
            told = (word, item["reason"], item["entries"], human(item["bytes"]), item["cache"])
            stays.append(plain("%s: %s: %d entries, %s, in %s" % told))
    for cache in result["caches"]:
        for reason, cell in (cache.get("left_out") or {}).items():
            told = ("left out", reason, cell["entries"], human(cell["bytes"]), cache["path"])
            stays.append(plain("%s: %s: %d entries, %s, in %s" % told))
    _section(found, stays)
    _section(found, remarks(result))
    return found


def _entries(items: Sequence[Mapping[str, Any]], planned: int) -> List[str]:
    now = time.time()
    rows = []
    for item in items[:SHOWN]:
        used = item.get("used")  # Unix nanoseconds, or not there
        age = human_age(max(0.0, now - used / 1e9)) if isinstance(used, int) and used > 0 else "-"
        row = [human(item["bytes"]), age, item["tier"], item["reason"], item["path"]]
        rows.append([str(cell) for cell in row])
    found = table(("size", "unused", "tier", "reason", "entry"), rows, {0, 1})
    if planned > len(rows):
        found.append("and %d more" % (planned - len(rows)))
    return found


def verify(result: Mapping[str, Any]) -> List[str]:
    """What a verification tells."""
    found = [plain(result["msg"])]
    rows = [
        [name, str(cell["checked"]), str(cell["skipped"]), human(cell["bytes"])]
        for name, cell in sorted(result["verified"].items())
    ]
    if rows:
        _section(found, table(("class", "checked", "not checked", "read"), rows, {1, 2, 3}))
    damaged = []
    for item in result["damaged"][:SHOWN]:
        fixed = " (evicted)" if item["repaired"] and result["changed"] else ""
        damaged.append(
            plain("damaged: %s/%s: %s%s; %s" % (item["cache"], item["path"], item["problem"], fixed, item["how"]))
        )
    if result["damaged_total"] > len(damaged):
        damaged.append("and %d more" % (result["damaged_total"] - len(damaged)))
    _section(found, damaged)
    stays = ["left: %s/%s: %s" % (i["cache"], i["path"], i["reason"]) for i in result["left_out"][:SHOWN]]
    stays += ["kept: %s: %d entries in %s" % (i["reason"], i["entries"], i["cache"]) for i in result["protected"]]
    _section(found, [plain(line) for line in stays])
    _section(found, remarks(result))
    return found


def remarks(result: Mapping[str, Any]) -> List[str]:
    """Notes, warnings, and the places that were not reached or left alone."""
    found = [
        "%s: %s" % (item["severity"], item["text"])
        for item in result.get("findings", [])
        if item["severity"] in ("warning", "error")
    ]
    found += ["advice: %s" % item["text"] for item in result.get("advice", [])]
    for item in result.get("unreached", []):
        told = (item["path"], item["entries"], human(item["bytes"]), item["why"])
        found.append("not reached: %s (%d entries, %s): %s" % told)
    refused = result.get("refused", [])
    found += ["left alone: %s: %s; %s" % (i["path"], i["reason"], i["hint"]) for i in refused[:SHOWN]]
    if len(refused) > SHOWN:
        found.append("left alone: %d more places" % (len(refused) - SHOWN))
    found += ["note: %s" % text for text in result.get("notes", [])]
    return [plain(line) for line in found]


def undo(result: Mapping[str, Any]) -> List[str]:
    """What an undo tells, and what else is in quarantine."""
    found = [plain(result["msg"])]
    rows = [
        [str(item["run"]), human(item["bytes"]), _when(item["ends"]), str(item["cache"])]
        for item in result["quarantines"][:SHOWN]
    ]
    if rows:
        _section(found, table(("run", "size", "until", "cache"), rows, {1}))
    left = [plain("left out: %s/%s: %s" % (i["cache"], i["path"], i["reason"])) for i in result["left_out"][:SHOWN]]
    _section(found, left)
    _section(found, remarks(result))
    return found


def history(result: Mapping[str, Any]) -> List[str]:
    """What the journal tells of earlier runs, the newest first."""
    found = [plain(result["msg"])]
    rows = []
    for run in result["runs"]:
        regret = run["regret"]
        row = [str(run["id"]), _when(run["at"]), run["door"], run["what"], str(run["evicted_entries"])]
        row += [human(run["freed_bytes"]), str(run["left_out_entries"]), human(regret["bytes"])]
        rows.append([*row, human(run["free_bytes_after"])])
    if rows:
        header = ("run", "at", "by", "what", "evicted", "freed", "left out", "came back", "free after")
        _section(found, table(header, rows, {0, 4, 5, 6, 7, 8}))
    _section(found, remarks(result))
    return found
