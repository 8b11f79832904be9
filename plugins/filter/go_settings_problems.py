# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with Go's settings as a whole, told before any host is touched."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.gofleet.cache.plugins.module_utils._go import gitaccess, profiles, proxyvars, rules
from ansible_collections.gofleet.cache.plugins.plugin_utils._lists import mapping, texts

DOCUMENTATION = r"""
name: go_settings_problems
short_description: What is wrong with Go's settings as a whole, with the right lines
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Judges settings on the controller, with the code of M(gofleet.cache.go_env) and M(gofleet.cache.go_env_info), so
    that a mistake is told before the first agent is touched.
  - Besides each value by itself, it looks at what they do together. Private names that a public server gets to know, a
    private proxy that is bypassed, ways out of an air-gapped network, servers that have been switched off, and what
    popular guides get wrong.
options:
  _input:
    description: The settings, by name, or what P(gofleet.cache.go_settings#filter) returned, whose problems are kept.
    type: dict
    required: true
  fleet:
    description:
      - A dictionary with what the settings do not tell. All keys are optional.
      - C(private_modules), globs of modules that a private proxy serves. C(direct_modules), those that are fetched from
        their repositories. C(public_proxies), URLs of servers that are not yours.
      - C(air_gapped), whether nothing outside may be asked. C(accounts), how many accounts get the settings, V(0) for
        all of the machine.
      - C(git_instead_of), C(known_hosts) and C(git_http_proxy), as O(gofleet.cache.git_access#module:instead_of) and
        its siblings. C(proxies), proxy variables such as E(HTTPS_PROXY).
    type: dict
    default: {}
  accept:
    description: Ids of errors that are known and wanted; they become warnings.
    type: list
    elements: str
    default: []
  strict:
    description: Whether variables and flags that this collection does not know are errors.
    type: bool
    default: true
positional: fleet
"""

EXAMPLES = r"""
- name: Stop where a private name would be asked for in public
  ansible.builtin.assert:
    that: found | selectattr('severity', 'equalto', 'error') | length == 0
    fail_msg: "{{ found }}"
  vars:
    found: >-
      {{ {'GOPROXY': 'https://goproxy.example.com,https://proxy.golang.org'}
         | gofleet.cache.go_settings_problems({'private_modules': ['git.example.com']}) }}
"""

RETURN = r"""
_value:
  description:
    - What was found, errors first. Each is a dictionary with C(id), C(severity) (V(error), V(warning) or V(info)),
      C(name), the variable, C(text), what is wrong and what Go does then, C(hint), what to do, C(line), the right line,
      or an empty text, and C(told), all of it for people.
    - Credentials are masked.
  type: list
  elements: dict
  sample:
    - id: gosumdb-off
      severity: error
      name: GOSUMDB
      text: modules are taken without comparing them with the checksum database
      hint: Name only the private modules.
      line: GONOSUMDB=git.example.com
      told: >-
        [gosumdb-off] GOSUMDB: modules are taken without comparing them with the checksum database. Name only the
        private modules. The right line: GONOSUMDB=git.example.com
"""

_KEYS = frozenset(
    "private_modules direct_modules public_proxies air_gapped accounts git_instead_of known_hosts git_http_proxy "
    "proxies".split()
)
_RESULT_KEYS = frozenset("settings absent profile notes problems".split())


def go_settings_problems(
    settings: object, fleet: object = None, accept: object = None, strict: bool = True
) -> list[dict[str, t.Any]]:
    """What is wrong with the settings; see DOCUMENTATION."""
    who = "go_settings_problems"
    given = mapping(settings, who, "the input")
    told = mapping(fleet, who, "fleet")
    unknown = sorted(set(told) - _KEYS)
    if unknown:
        raise AnsibleFilterError("%s: unknown key %s in fleet" % (who, ", ".join(map(str, unknown))))
    earlier: list[rules.Finding] = []
    if set(given) >= _RESULT_KEYS:
        earlier = [rules.Finding(**problem) for problem in given["problems"]]
        given = mapping(given["settings"], who, "settings")
    accepted = texts(accept, who, "accept")
    found = profiles.problems(
        {name: str(value) for name, value in given.items()},
        rules.Fleet(
            texts(told.get("private_modules"), who, "private_modules"),
            texts(told.get("direct_modules"), who, "direct_modules"),
            tuple(rules.host_of(url) for url in texts(told.get("public_proxies"), who, "public_proxies")),
            bool(told.get("air_gapped")),
            int(told.get("accounts", 1)),
        ),
        bool(strict),
        accepted,
        [
            *earlier,
            *gitaccess.check(
                _entries(told.get("git_instead_of"), "git_instead_of"),
                _entries(told.get("known_hosts"), "known_hosts"),
                str(told.get("git_http_proxy") or ""),
            ),
            *_proxies(mapping(told.get("proxies"), who, "proxies")),
        ],
    )
    return [dict(finding._asdict(), told=_told(finding)) for finding in found]


def _told(finding: rules.Finding) -> str:
    text = "[%s] %s: %s. %s" % (finding.id, finding.name, finding.text, finding.hint)
    if finding.severity == rules.ERROR and finding.id in profiles.ACCEPTABLE:
        text = "%s Known and wanted? go_config_accept: [%s]." % (text.rstrip(), finding.id)
    if finding.line and finding.line not in finding.hint:
        text = "%s The right line: %s" % (text.rstrip(), finding.line)
    return text.rstrip()


def _entries(value: object, what: str) -> t.Sequence[t.Any]:
    if value is None or value == "":
        return []
    if not isinstance(value, (list, tuple)):
        raise AnsibleFilterError("go_settings_problems: %s is no list" % what)
    return value


def _proxies(values: t.Mapping[str, t.Any]) -> t.Iterator[rules.Finding]:
    environ = {name: str(value) for name, value in values.items() if value}
    for fault in proxyvars.check(environ):
        severity = rules.ERROR if fault.certain else rules.WARNING
        yield rules.Finding(fault.rule, severity, fault.variable, fault.message, fault.hint)
    for fault in proxyvars.remarks(environ):
        yield rules.Finding(fault.rule, rules.INFO, fault.variable, fault.message, fault.hint)


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"go_settings_problems": go_settings_problems}
