# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that every cache_* module returns, whatever happened."""

from __future__ import annotations

from typing import Any, Dict

from .._core.units import human


def empty() -> Dict[str, Any]:
    """A result of a module that found and did nothing."""
    return {
        "changed": False,
        "caches": [],
        "plan_digest": "",
        "planned_entries": 0,
        "predicted_bytes": 0,
        "evicted_entries": 0,
        "freed_bytes": 0,
        "free_bytes_before": 0,
        "free_bytes_after": 0,
        "evicted": [],
        "left_out": [],
        "left_out_entries": 0,
        "protected": [],
        "pending": [],
        "unreached": [],
        "refused": [],
        "truncated": False,
        "notes": [],
        "findings": [],
        "systems": [],
        "looked_at": [],
        "private_known": False,
    }


def purge() -> Dict[str, Any]:
    """The result of a purge that did not begin."""
    return dict(empty(), acts=False, largest=[], plan_file="", plan=[], advice=[], quarantine_run="")


def readable(value: Any) -> Any:
    """Plain data with every text fit for UTF-8: bytes of a path that are none are shown as ``\\xff``.

    One odd name in a cache would otherwise make Ansible refuse the whole result.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [readable(item) for item in value]
    return value


def sentence(result: Dict[str, Any], check: bool) -> str:
    """One sentence for people about a purge's result."""
    caches = len(result["caches"])
    if not caches:
        return "no Go cache here; looked at: %s" % (", ".join(result["looked_at"]) or "nothing")
    planned = check or bool(result.get("plan_file"))
    text = "%s %d entries, %s, of %d cache%s" % (
        "would evict" if check else "planned" if planned else "evicted",
        result["planned_entries" if planned else "evicted_entries"],
        human(result["predicted_bytes" if planned else "freed_bytes"]),
        caches,
        "" if caches == 1 else "s",
    )
    aside = sum(row.get("quarantined_bytes", 0) for row in result["caches"])
    if aside:
        text += "; %s %s in quarantine" % (human(aside), "would lie" if planned else "lie")
    for key, word in (("pending", "pending"), ("protected", "kept")):
        count = sum(row["entries"] for row in result[key])
        if count:
            reasons = sorted({row["reason"] for row in result[key]})
            text += "; %d %s (%s)" % (count, word, ", ".join(reasons))
    if result["left_out_entries"]:
        text += "; %d skipped (%s)" % (
            result["left_out_entries"],
            ", ".join(sorted({i["reason"] for i in result["left_out"]})),
        )
    return text
