# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy would do that nobody should ask for by accident, told before any agent is touched."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.text.converters import to_native
from ansible.module_utils.common.validation import check_type_dict

from ansible_collections.gofleet.cache.plugins.module_utils._core import policy as policies
from ansible_collections.gofleet.cache.plugins.module_utils._core.units import BadPolicy
from ansible_collections.gofleet.cache.plugins.module_utils._kinds import table

DOCUMENTATION = r"""
name: policy_risks
short_description: What is wrong with a policy, and what in it needs a confirmation
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Checks the policy document of M(gofleet.cache.cache_prune) on the controller, with the module's own code, so that a
    mistake is told before the first agent is touched.
  - Says what in it needs a second thought; a wipe (also a limit of zero, which comes to the same), a floor below the
    default, and agents in protected groups.
options:
  _input:
    description: The policy, as a dictionary or as JSON. Empty for the default policy.
    type: raw
    required: true
  groups:
    description: The groups that the agent is in, usually C(group_names).
    type: list
    elements: str
    default: []
  protected:
    description: The groups whose agents need a confirmation, as a list or as a string with commas.
    type: raw
    default: []
positional: groups, protected
"""

EXAMPLES = r"""
- name: Reject a policy that makes no sense
  ansible.builtin.assert:
    that: checked.problem == ''
    fail_msg: "{{ checked.problem }}"
  vars:
    checked: "{{ cache_policy_rules | gofleet.cache.policy_risks }}"
"""

RETURN = r"""
_value:
  description:
    - C(problem), one sentence about what is wrong with the policy, empty where nothing is.
    - C(risks), a list of what needs a confirmation, each a short text.
  type: dict
  sample:
    problem: ""
    risks:
      - a wipe of go-build
      - protected (group production)
"""


def names(value: object, what: str) -> list[str]:
    """Group names from a list, or from a string with commas; None means none.

    A string must not be taken letter by letter: then no group would match, and nothing would be protected. Raises
    AnsibleFilterError for anything else.
    """
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise AnsibleFilterError("policy_risks: %s is not a list of group names: %r" % (what, value))
    return [str(item).strip() for item in value if str(item).strip()]


def policy_risks(rules: object, groups: object = None, protected: object = None) -> dict[str, t.Any]:
    """What is wrong with a policy and what needs a confirmation; see DOCUMENTATION."""
    risks: list[str] = []
    problem = ""
    try:
        # As the module's argument is read: a dictionary, or JSON in a string.
        document = check_type_dict(rules) if rules else policies.DEFAULT
        policy = policies.parse(document, table.KINDS, table.APART)
    except BadPolicy as error:
        problem = "cache_policy_rules: %s" % error
    except (TypeError, ValueError) as error:
        problem = "cache_policy_rules: not a policy document: %s" % to_native(error)
    else:
        risks.extend(_policy(policy))
    guarded = {name.casefold() for name in names(protected, "gofleet_cache_protected_groups")}
    shared = sorted({name for name in names(groups, "groups") if name.casefold() in guarded})
    if shared:
        risks.append("protected (group %s)" % ", ".join(shared))
    return {"problem": problem, "risks": risks}


def _policy(policy: policies.Policy) -> t.Iterator[str]:
    if policy.max_size_all == 0:
        yield "a wipe of everything (max_size_all: 0)"
    for rule in policy.rules:
        zero = [n for n in ("max_age", "max_size", "max_size_each", "max_entries") if getattr(rule, n) == 0]
        if rule.wipe:
            yield "a wipe of %s" % rule.kind
        elif zero:
            yield "a wipe of %s (%s: 0)" % (rule.kind, zero[0])
        elif rule.evict_before is not None and rule.evict_before > time.time() - policies.FLOOR_DEFAULT:
            yield "a wipe of %s (evict_before is not in the past)" % rule.kind
    if policy.floor < policies.FLOOR_DEFAULT:
        yield "a floor of %d s, below the default of %d h" % (policy.floor, policies.FLOOR_DEFAULT // 3600)


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"policy_risks": policy_risks}
