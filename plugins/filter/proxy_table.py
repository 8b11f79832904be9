# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What agents see of their module proxies, as one table for people."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.plugin_utils import _doctor

DOCUMENTATION = r"""
name: proxy_table
short_description: What agents see of their module proxies, as aligned lines
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Turns what P(gofleet.cache.proxy_chain#filter) returns, and the results that it was made from, into printable ASCII.
  - Agents that see the same share their rows. Below are what is wrong, and for each site the chain that is recommended,
    why, and the command that applies it.
options:
  _input:
    description: What P(gofleet.cache.proxy_chain#filter) returned.
    type: dict
    required: true
  results:
    description: Results of M(gofleet.cache.go_proxy_info) by the name of the agent.
    type: dict
    required: true
positional: results
"""

EXAMPLES = r"""
- name: Show what the agent sees
  ansible.builtin.debug:
    msg: "{{ results | gofleet.cache.proxy_chain | gofleet.cache.proxy_table(results) }}"
  vars:
    results: "{{ {inventory_hostname: proxies} }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
  sample:
    - "agents    verdict   proxy                        state  p50 ms  serves  not ok"
    - "ci-1 +11  ok        https://goproxy.example.com  ok        4.1  2 of 2  -"
    - "                    direct                       -           -  0 of 2  -"
    - "sum: 12 agents: 12 ok"
"""


def proxy_table(report: object, results: object) -> list[str]:
    """The lines; see DOCUMENTATION."""
    for name, value in (("the input", report), ("results", results)):
        if not isinstance(value, t.Mapping):
            raise AnsibleFilterError("proxy_table: %s must be a dictionary, not %r" % (name, value))
    return _doctor.table(t.cast("t.Mapping[str, t.Any]", report), t.cast("t.Mapping[str, t.Any]", results))


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"proxy_table": proxy_table}
