# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CI systems on an agent: who is there, where they build, and which Go variables they give to their jobs.

One file per system; each has ``inspect(host)``, ``search_roots(root)`` and ``environ(root)``. Everything is read from
files and from /proc; nothing is started, and no credential leaves this package.
"""

from __future__ import annotations

from typing import List, NamedTuple

from . import azure, buildkite, containers, github, gitlab, jenkins
from ._base import (
    Account,
    Collector,
    EngineRoot,
    Evidence,
    Finding,
    Host,
    Inspection,
    Root,
    Setting,
    Unreadable,
    read_text,
    redact,
    too_wide,
)

__all__ = [
    "Account",
    "Collector",
    "EngineRoot",
    "Evidence",
    "Finding",
    "Host",
    "Inspection",
    "Overview",
    "Root",
    "Setting",
    "Unreadable",
    "environ",
    "inspect",
    "is_ci_host",
    "read_text",
    "redact",
    "search_roots",
    "too_wide",
]

# A new CI system is one file here and one word in this line.
_CI_SYSTEMS = (gitlab.inspect, github.inspect, jenkins.inspect, buildkite.inspect, azure.inspect)


class Overview(NamedTuple):
    """All systems' inspections together; ``evidence`` is that of CI systems only, not of container engines."""

    evidence: List[Evidence]
    roots: List[Root]
    settings: List[Setting]
    findings: List[Finding]
    accounts: List[str]
    engine_roots: List[EngineRoot]

    @property
    def systems(self) -> List[str]:
        """The CI systems on the host, sorted."""
        return sorted({item.system for item in self.evidence})


def inspect(root: str = "/") -> Overview:
    """Everything that CI systems and container engines below the prefix *root* (``/``: this host) say.

    Never raises for a missing, broken or unreadable file: those are findings (``unreadable``,
    ``ci-without-configuration``, ``not-literal``, ``root-too-wide``, ``builds-elsewhere``, ``runner-in-container``).
    """
    host = Host(root)
    parts = [look(host) for look in _CI_SYSTEMS]
    evidence = [item for part in parts for item in part.evidence]
    parts.append(containers.inspect(host))
    accounts: List[str] = []
    roots: List[Root] = []
    seen = set()
    for part in parts:
        accounts.extend(name for name in part.accounts if name not in accounts)
        for item in part.roots:
            if item.path not in seen:
                seen.add(item.path)
                roots.append(item)
    findings = [item for part in parts for item in part.findings]
    findings.extend(item for item in host.unit_findings if item not in findings)
    return Overview(
        evidence,
        roots,
        [item for part in parts for item in part.settings],
        findings,
        accounts,
        [item for part in parts for item in part.engine_roots],
    )


def search_roots(root: str = "/") -> List[Root]:
    """The directories that any CI system's or container engine's configuration names, each once."""
    return inspect(root).roots


def environ(root: str = "/") -> List[Setting]:
    """The Go variables that CI systems give to their jobs."""
    return inspect(root).settings


def is_ci_host(root: str = "/") -> List[Evidence]:
    """Which CI systems are on this host, and why we say so; [] for no agent (a container engine is no CI system)."""
    return inspect(root).evidence
