# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go's settings for one host, from a profile and from what was asked for besides."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.module_utils._go import profiles
from ansible_collections.gofleet.cache.plugins.plugin_utils._lists import mapping, texts

DOCUMENTATION = r"""
name: go_settings
short_description: Go's settings for one host, from a profile, variables and groups
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Makes the settings that M(gofleet.cache.go_env) takes from a profile and from single settings, and says where one
    replaces the other.
  - From the weakest to the strongest, there are the profile, C(settings), C(own), C(absent), and C(group_settings) in
    the order in which it names the groups.
options:
  _input:
    description:
      - A dictionary. All keys are optional.
      - C(profile), V(gatekeeper), V(private_then_public), V(resilient), V(air_gap) or empty.
      - C(private_proxies), C(public_proxies), C(private_modules), C(direct_modules) and C(bundle), what the profile is
        made from.
      - C(settings) and C(own), variables with their values.
      - C(absent), names of variables whose lines are removed.
      - C(group_settings), for groups their variables with values; null removes the line.
      - C(host_groups), the groups that the host is in, and C(all_groups), those of the inventory.
      - C(scope), V(account) or V(machine).
      - C(shared_cache), the folder of a module cache that the host may read, put in front of E(GOPROXY).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what the profile comes to
  ansible.builtin.debug:
    msg: "{{ asked | gofleet.cache.go_settings }}"
  vars:
    asked:
      profile: gatekeeper
      private_proxies: [https://goproxy.example.com]
      private_modules: [git.example.com]
"""

RETURN = r"""
_value:
  description:
    - C(settings), what to write, as texts. C(absent), which lines to remove. C(profile), what the profile alone wants.
    - C(notes), one sentence for each setting of the profile that something else replaced.
    - C(problems), what could not be understood, as of P(gofleet.cache.go_settings_problems#filter).
  type: dict
  sample:
    settings: {GONOSUMDB: git.example.com, GOPROXY: "https://goproxy.example.com"}
    absent: [GONOPROXY, GOPRIVATE, GOSUMDB]
    profile: {GONOSUMDB: git.example.com, GOPROXY: "https://goproxy.example.com"}
    notes: []
    problems: []
"""

_KEYS = frozenset(
    "profile private_proxies public_proxies private_modules direct_modules bundle settings own absent group_settings "
    "host_groups all_groups scope shared_cache".split()
)


def go_settings(asked: object) -> dict[str, t.Any]:
    """The settings of one host; see DOCUMENTATION."""
    given = mapping(asked, "go_settings", "the input")
    unknown = sorted(set(given) - _KEYS)
    if unknown:
        raise AnsibleFilterError("go_settings: unknown key %s" % ", ".join(map(str, unknown)))

    def listed(key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        return texts(given.get(key, default), "go_settings", key)

    merged = profiles.merge(
        profiles.Asked(
            profile=str(given.get("profile") or ""),
            given=profiles.Given(
                listed("private_proxies"),
                listed("public_proxies", profiles.DEFAULT_PUBLIC),
                listed("private_modules"),
                listed("direct_modules"),
                str(given.get("bundle") or ""),
            ),
            general=mapping(given.get("settings"), "go_settings", "settings"),
            own=mapping(given.get("own"), "go_settings", "own"),
            absent=listed("absent"),
            group_settings=mapping(given.get("group_settings"), "go_settings", "group_settings"),
            host_groups=listed("host_groups"),
            all_groups=listed("all_groups"),
            machine=given.get("scope") == "machine",
            shared_cache=str(given.get("shared_cache") or ""),
        )
    )
    found = merged._asdict()
    found["problems"] = [finding._asdict() for finding in found.pop("findings")]
    return found


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"go_settings": go_settings}
