# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds misspelt role variables, which Ansible's own argument validation silently ignores."""

from __future__ import annotations

import difflib
import os
import typing as t

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.text.converters import to_native
from ansible.module_utils.common.yaml import yaml_load

DOCUMENTATION = r"""
name: unknown_role_variables
short_description: Misspelt variables of a role, with the name that was probably meant
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Ansible validates the variables that a role declares in C(meta/argument_specs.yml), but says nothing about a
    variable that the role does not know. A misspelt name is silently ignored and the default is used, which is
    dangerous in a role that deletes or configures things.
  - This filter compares variable names with the role's argument specification and returns one sentence for each name
    that starts with the role's name and an underscore but is not declared there.
  - Names that start with two underscores, which roles use internally, never match.
options:
  _input:
    description: Variable names, or a dictionary whose keys are the names. Only names are looked at, never values.
    type: raw
    required: true
  role:
    description: The role's name, without namespace and collection.
    type: str
    required: true
  argument_specs_file:
    description:
      - Path of the role's C(meta/argument_specs.yml) on the controller.
      - The options of all entry points together are the names that the role knows.
    type: path
    required: true
positional: role, argument_specs_file
"""

EXAMPLES = r"""
# tasks/preflight.yml of the role go_config
- name: Reject variables that this role does not know
  ansible.builtin.assert:
    that: __go_config_unknown | length == 0
    fail_msg: "{{ __go_config_unknown | join(' ') }}"
    quiet: true
  vars:
    __go_config_unknown: >-
      {{ query('ansible.builtin.varnames', '^go_config_')
         | gofleet.cache.unknown_role_variables('go_config', role_path ~ '/meta/argument_specs.yml') }}
"""

RETURN = r"""
_value:
  description: One sentence for each unknown name, sorted by name; empty when all names are known.
  type: list
  elements: str
  sample:
    - "'go_config_gopoxy' is not a variable of the role go_config; did you mean 'go_config_goproxy'?"
"""


def declared_variables(argument_specs_file: str) -> set[str]:
    """Names of all options of all entry points of the argument specification at this path.

    Raises AnsibleFilterError when the file cannot be read or has no C(argument_specs) dictionary.
    """
    try:
        with open(argument_specs_file, encoding="utf-8") as stream:
            document = yaml_load(stream)
    except Exception as error:  # OSError, or whatever the YAML library raises
        raise AnsibleFilterError(
            f"unknown_role_variables: cannot read {argument_specs_file!r}: {to_native(error)}"
        ) from error
    specs = document.get("argument_specs") if isinstance(document, dict) else None
    if not isinstance(specs, dict):
        raise AnsibleFilterError(f"unknown_role_variables: {argument_specs_file!r} has no dictionary 'argument_specs'")
    names: set[str] = set()
    for entry_point in specs.values():
        names.update(str(name) for name in ((entry_point or {}).get("options") or {}))
    return names


def unknown_role_variables(names: t.Iterable[t.Any], role: str, argument_specs_file: str) -> list[str]:
    """One sentence for each name that starts with C(<role>_) and is not declared; see DOCUMENTATION."""
    if isinstance(names, (str, bytes)):
        raise AnsibleFilterError(
            "unknown_role_variables: the input must be a list of variable names, for example "
            f"query('ansible.builtin.varnames', '^{role}_'), not the string {names!r}"
        )
    known = declared_variables(os.fspath(argument_specs_file))
    prefix = role + "_"
    sentences = []
    for name in sorted({str(name) for name in names}):
        if not name.startswith(prefix) or name in known:
            continue
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
        if near:
            advice = f"did you mean '{near[0]}'?"
        else:
            advice = "it knows: {}.".format(", ".join(sorted(known)))
        sentences.append(f"'{name}' is not a variable of the role {role}; {advice}")
    return sentences


class FilterModule:
    """Entry point for Ansible's plugin loader."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unknown_role_variables": unknown_role_variables}
