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
short_description: What keeps a purge from beginning
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Takes what was found wrong or risky for every agent of a run, and the confirmation that was given.
  - The confirmation is the number of agents of the run, so that one typed for a small run does not open a big one.
options:
  _input:
    description: For every agent of the run, by name, a dictionary with the lists C(problems) and C(risks).
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
    that: asked.problem == '' and asked.question == ''
    fail_msg: "{{ asked.problem or asked.question }}"
  vars:
    asked: "{{ {'ci-1': {'problems': [], 'risks': ['a wipe of go-mod']}} | gofleet.cache.purge_guard(1) }}"
"""

RETURN = r"""
_value:
  description:
    - C(problem), what makes the run impossible. Empty where nothing does.
    - C(question), which confirmation is needed and why. Empty where none is, or where the right one was given.
  type: dict
  sample:
    problem: ""
    question: >-
      This run covers 12 agents and needs a confirmation: a wipe of go-mod (12 agents: ci-1, ci-2, ci-3, ...). If that
      is meant, add -e gofleet_cache_confirm=12
"""

_SHOWN = 3


def purge_guard(agents: object, confirm: object = "") -> dict[str, str]:
    """What to tell the person who started the run; see DOCUMENTATION."""
    if not isinstance(agents, t.Mapping):
        raise AnsibleFilterError("purge_guard: the input must be a dictionary of agents, not %r" % (agents,))
    problems = _by_text(agents, "problems")
    risks = _by_text(agents, "risks")
    count = str(len(agents))
    given = "" if confirm is None else str(confirm).strip()
    found = {"problem": "", "question": ""}
    if problems:
        found["problem"] = plain("Nothing was touched. %s" % "; ".join(problems))
    if risks and given != count:
        wrong = " gofleet_cache_confirm is %s, not %s." % (given, count) if given else ""
        found["question"] = plain(
            "This run covers %s and needs a confirmation: %s.%s If that is meant, add -e gofleet_cache_confirm=%s"
            % (_agents(len(agents)), "; ".join(risks), wrong, count)
        )
    return found


def _by_text(agents: t.Mapping[t.Any, t.Any], key: str) -> list[str]:
    """Every text of the lists *key* once, with the agents that have it. Anything but lists must not pass for none."""
    found: dict[str, list[str]] = {}
    for name in sorted(agents, key=str):
        texts = agents[name].get(key) if isinstance(agents[name], t.Mapping) else None
        if not isinstance(texts, (list, tuple)):
            raise AnsibleFilterError("purge_guard: %s has no list of %s: %r" % (name, key, agents[name]))
        for text in texts:
            found.setdefault(str(text), []).append(str(name))
    return [
        "%s (%s: %s%s)" % (text, _agents(len(who)), ", ".join(who[:_SHOWN]), ", ..." if len(who) > _SHOWN else "")
        for text, who in found.items()
    ]


def _agents(count: int) -> str:
    return "%d agent%s" % (count, "" if count == 1 else "s")


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"purge_guard": purge_guard}
