#!/usr/bin/python
# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_undo
short_description: Bring back what a purge put into quarantine
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - A purge whose policy has V(quarantine) keeps what it evicts beside the cache for that long. This module puts it back
    where it was, with the times that it had.
  - What a build has made anew meanwhile stays as it is, and its older twin is dropped.
  - What comes back is as old as it was. The next purge under the same policy takes it again; change the policy first.
extends_documentation_fragment:
  - gofleet.cache._attributes
  - gofleet.cache._attributes.find
  - gofleet.cache._attributes.result
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  run:
    description:
      - Which purge to undo; its C(quarantine_run), or V(latest) for the newest that is in quarantine.
    type: str
    default: latest
  time_limit:
    description:
      - After so many seconds the module stops where it is safe; what is left stays in quarantine.
    type: int
    default: 600
seealso:
  - module: gofleet.cache.cache_prune
"""

EXAMPLES = r"""
- name: Evict, but keep what goes for a day
  gofleet.cache.cache_prune:
    policy:
      max_age: 14d
      quarantine: 24h
  become: true
  register: purged

- name: Bring it back
  gofleet.cache.cache_undo:
    run: "{{ purged.quarantine_run }}"
  become: true
"""

RETURN = r"""
msg:
  description: One sentence about what was done.
  returned: always
  type: str
  sample: brought back 512 entries, 1.1 GiB, of run 3f2a9c01b77d
run:
  description: The run that was undone; empty where nothing is in quarantine.
  returned: always
  type: str
  sample: 3f2a9c01b77d
restored_entries:
  description: How many entries were put back; nothing in check mode.
  returned: always
  type: int
  sample: 512
restored_bytes:
  description: Their bytes; in check mode what lies in the run's quarantines.
  returned: always
  type: int
  sample: 1181116006
caches:
  description: One item for each cache with a quarantine of that run, with C(restored_entries) and C(restored_bytes).
  returned: always
  type: list
  elements: dict
  sample: []
quarantines:
  description:
    - All quarantines that were there before, each with C(cache), C(run), C(at) and C(ends) (Unix seconds), C(bytes) and
      C(inodes).
  returned: always
  type: list
  elements: dict
  sample:
    - cache: /home/ci/.cache/go-build
      run: 3f2a9c01b77d
      at: 1763713600
      ends: 1763800000
      bytes: 1181116006
      inodes: 513
left_out:
  description: The first hundred entries that were not put back, each with the reason.
  returned: always
  type: list
  elements: dict
  sample: []
left_out_entries:
  description: How many entries were not put back.
  returned: always
  type: int
  sample: 0
notes:
  description: Sentences for people.
  returned: always
  type: list
  elements: str
  sample: []
refused:
  description: Places that are no cache, or must not be treated as one.
  returned: always
  type: list
  elements: dict
  sample: []
truncated:
  description: Whether RV(left_out) was cut.
  returned: always
  type: bool
  sample: false
plan_digest:
  description: Always empty; an undo evicts and plans nothing.
  returned: always
  type: str
  sample: ""
planned_entries:
  description: Always 0; an undo evicts and plans nothing.
  returned: always
  type: int
  sample: 0
predicted_bytes:
  description: Always 0; an undo evicts and plans nothing.
  returned: always
  type: int
  sample: 0
evicted:
  description: Always empty; an undo evicts and plans nothing.
  returned: always
  type: list
  elements: dict
  sample: []
evicted_entries:
  description: Always 0; an undo evicts and plans nothing.
  returned: always
  type: int
  sample: 0
freed_bytes:
  description: Always 0; an undo evicts and plans nothing.
  returned: always
  type: int
  sample: 0
free_bytes_before:
  description: Always 0; an undo evicts and plans nothing.
  returned: always
  type: int
  sample: 0
free_bytes_after:
  description: Always 0; an undo evicts and plans nothing.
  returned: always
  type: int
  sample: 0
protected:
  description: Always empty; an undo evicts and plans nothing.
  returned: always
  type: list
  elements: dict
  sample: []
pending:
  description: Always empty; an undo evicts and plans nothing.
  returned: always
  type: list
  elements: dict
  sample: []
unreached:
  description: Always empty; an undo evicts and plans nothing.
  returned: always
  type: list
  elements: dict
  sample: []
findings:
  description: What was noticed while looking for caches, each with C(code), C(severity), C(path) and C(text).
  returned: always
  type: list
  elements: dict
  sample: []
looked_at:
  description: Every place that was looked at for caches.
  returned: always
  type: list
  elements: str
  sample:
    - /home/ci/.cache/go-build
systems:
  description: The CI systems found on the agent.
  returned: always
  type: list
  elements: str
  sample:
    - gitlab
private_known:
  description: Whether a setting on the agent says which modules are private.
  returned: always
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._host import find, undo


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "str", "default": []},
            "search_roots": {"type": "list", "elements": "str", "default": []},
            "discover": {"type": "bool", "default": True},
            "run": {"type": "str", "default": "latest"},
            "time_limit": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    request = find.Request(*(module.params[name] for name in find.Request._fields))
    options = undo.Options(module.check_mode, module.params["time_limit"])
    result = undo.nothing()
    try:
        result = undo.run(request, module.params["run"], options)
    except (find.BadRequest, undo.NoRun) as exc:
        module.fail_json(msg=str(exc), **result)
    except undo.Failed as exc:
        module.fail_json(msg=str(exc), **exc.result)
    module.exit_json(msg=undo.sentence(result, module.check_mode), **result)


if __name__ == "__main__":
    main()
