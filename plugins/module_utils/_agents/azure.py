# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Azure Pipelines agent: the folders of its instances, their ``.agent`` and ``.env``."""

from __future__ import annotations

from typing import List

from . import _runner_root
from ._base import Host, Inspection, Root, Setting

SYSTEM = "azure"
_FLAVOUR = _runner_root.Flavour(
    system=SYSTEM,
    title="Azure Pipelines agent",
    marker=".agent",
    listener="Agent.Listener",
    units="vsts.agent.",
    folders=("agent", "azp", "vsts"),
    keys=("agentName", "poolId", "workFolder"),
    tool_variable="AGENT_TOOLSDIRECTORY",
    tool_cache="",
)


def inspect(host: Host) -> Inspection:
    """What the files and processes of this system on *host* say; raises nothing for what is missing or broken."""
    return _runner_root.collect(host, _FLAVOUR).result()


def search_roots(root: str = "/") -> List[Root]:
    """Work folders and tool caches of the instances below the prefix *root*."""
    return inspect(Host(root)).roots


def environ(root: str = "/") -> List[Setting]:
    """Go variables that ``.env`` and the service give to jobs."""
    return inspect(Host(root)).settings
