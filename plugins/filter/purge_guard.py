# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The question that a purge asks before it does what nobody should ask for by accident."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.plugin_utils._table import plain

DOCUMENTATION = r"""
name: purge_guard
short_description: Whether a purge needs a confirmation that was not given
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Takes what P(gofleet.cache.policy_risks#filter) found for every agent of a run and the confirmation that was given.
  - The confirmation is the number of agents of the run, so that one typed for a small run does not open a big one.
options:
  _input:
    description: For every agent of the run, by name, the risks that were found, or what was returned with them.
    type: dict
    required: true
  confirm:
    description: The confirmation, a number. Empty for none.
    type: raw
    default: ""
positional: confirm
"""

EXAMPLES = r"""
- name: Ask for a confirmation
  ansible.builtin.assert:
    that: question == ''
    fail_msg: "{{ question }}"
  vars:
    question: "{{ {'ci-1': {'problem': '', 'risks': ['a wipe of go-mod']}} | gofleet.cache.purge_guard }}"
"""

RETURN = r"""
_value:
  description: The question, as one sentence. Empty where no confirmation is needed, or the right one was given.
  type: str
  sample: >-
    This run covers 12 agents and needs a confirmation: a wipe of go-mod (12 agents: ci-1, ci-2, ci-3, ...). If that is
    meant, add -e gofleet_cache_confirm=12
"""

_SHOWN = 3


def purge_guard(agents: object, confirm: object = "") -> str:
    """The question for the person who started the run, or nothing; see DOCUMENTATION."""
    if not isinstance(agents, t.Mapping):
        raise AnsibleFilterError("purge_guard: the input must be a dictionary of agents, not %r" % (agents,))
    by_risk: dict[str, list[str]] = {}
    for name in sorted(str(agent) for agent in agents):
        found = agents[name]
        risks = found.get("risks", []) if isinstance(found, t.Mapping) else found
        if isinstance(risks, str) or not isinstance(risks, t.Iterable):
            raise AnsibleFilterError("purge_guard: the risks of %s are not a list: %r" % (name, risks))
        for risk in risks:
            by_risk.setdefault(str(risk), []).append(name)
    count = str(len(agents))
    given = "" if confirm is None else str(confirm).strip()
    if not by_risk or given == count:
        return ""
    parts = []
    for risk, who in by_risk.items():
        more = ", ..." if len(who) > _SHOWN else ""
        parts.append("%s (%s: %s%s)" % (risk, _agents(len(who)), ", ".join(who[:_SHOWN]), more))
    wrong = " gofleet_cache_confirm is %s, not %s." % (given, count) if given else ""
    return plain(
        "This run covers %s and needs a confirmation: %s.%s If that is meant, add -e gofleet_cache_confirm=%s"
        % (_agents(len(agents)), "; ".join(parts), wrong, count)
    )


def _agents(count: int) -> str:
    return "%d agent%s" % (count, "" if count == 1 else "s")


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"purge_guard": purge_guard}
