# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chain of module proxies each site should use, from what its agents measured, now and in earlier runs."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.plugin_utils import _doctor

DOCUMENTATION = r"""
name: proxy_chain
short_description: The chain of module proxies that each site of a fleet should use
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Takes results of M(gofleet.cache.go_proxy_info) with the option C(candidates), and recommends an order of these.
  - A proxy that failed, was not measured, or does not have a canary is in no recommendation. Private proxies come
    first, and a comma follows the last of them whatever the policy, so that their failure sends no private name
    elsewhere.
  - The order changes only if it is better by both margins in several runs in a row.
options:
  _input:
    description: Results by the name of the agent. Results of failed tasks and of unreachable agents are fine.
    type: dict
    required: true
  options:
    description:
      - C(candidates), URLs. C(private), those among them that have the private modules (default are those that are no
        known proxies for everybody).
      - C(policy), V(resilient) (V(|) between equals), V(strict) (commas) or V(private) (only these). C(last),
        V(direct), V(off) or empty.
      - C(margin_percent), C(margin_ms) and C(runs). C(history_keep), lines of history. C(fail_on), V(never), V(broken)
        or V(degraded).
      - C(account) and C(inventory), for the command that applies it.
    type: dict
    default: {}
  sites:
    description: The site of each agent. Agents without one are in C(all).
    type: dict
    default: {}
  history:
    description: What the last run returned as C(history).
    type: str
    default: ""
  now:
    description: The time of this run, as text.
    type: str
    default: ""
  groups:
    description: The groups of the inventory, for the command.
    type: dict
    default: {}
positional: options
"""

EXAMPLES = r"""
- name: Which chain is best here
  ansible.builtin.debug:
    msg: "{{ ({inventory_hostname: proxies} | gofleet.cache.proxy_chain({'candidates': candidates})).sites.all.chain }}"
  vars:
    candidates: [https://goproxy.cn, https://goproxy.io, https://proxy.golang.org]
"""

RETURN = r"""
_value:
  description:
    - C(verdicts), for each agent V(ok), V(degraded), V(broken), V(unknown), V(failed) or V(unreachable). C(failing),
      those that C(fail_on) means.
    - C(sites), for each C(chain), C(order), C(reason), C(change), C(configured), C(command), C(excluded), C(pending),
      C(unstable), C(verdicts), C(agents) and C(site).
    - C(history), JSON Lines to be kept. C(bad_lines), how many of the old ones were unreadable. C(time).
  type: dict
  sample:
    time: "2026-03-01T02:00:00Z"
    verdicts: {"ci-1": "ok"}
    failing: []
    sites:
      all:
        site: all
        agents: 1
        chain: https://goproxy.example.com,https://goproxy.cn|direct
        reason: "private first, then by measured p50: goproxy.example.com 4.1 ms, goproxy.cn 12.0 ms"
    history: ""
    bad_lines: 0
"""


def proxy_chain(
    results: object,
    options: object = None,
    sites: object = None,
    history: object = "",
    now: object = "",
    groups: object = None,
) -> dict[str, t.Any]:
    """The report; see DOCUMENTATION."""
    if not isinstance(results, t.Mapping):
        raise AnsibleFilterError("proxy_chain: the input must be results by agent, not %r" % (results,))
    for name, value in (("options", options), ("sites", sites), ("groups", groups)):
        if value is not None and not isinstance(value, t.Mapping):
            raise AnsibleFilterError("proxy_chain: %s must be a dictionary, not %r" % (name, value))
    places = {str(key): str(value) for key, value in t.cast("t.Mapping[str, str]", sites or {}).items()}
    try:
        chosen = _doctor.options(t.cast("t.Mapping[str, t.Any]", options or {}))
    except ValueError as error:
        raise AnsibleFilterError("proxy_chain: %s" % error) from error
    members = t.cast("t.Mapping[str, t.Sequence[str]]", groups or {})
    return _doctor.examine(results, places, chosen, str(history or ""), str(now or ""), members)


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"proxy_chain": proxy_chain}
