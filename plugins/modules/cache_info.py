#!/usr/bin/python
# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_info
short_description: Survey of the Go caches of an agent
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Finds Go's build caches (E(GOCACHE)) and module caches (E(GOMODCACHE)) where CI really puts them, and tells what
    is in them; entries, bytes, inodes, ages, biggest modules, toolchains, version control clones, fuzz corpora, stale
    work folders, and damage seen on the way.
  - Caches are found by the accounts' settings, by the configuration of the CI systems on the agent (GitLab, GitHub,
    Jenkins, Buildkite, container volumes), and by what you name.
  - The sums reconcile with C(df); for each file system the caches, the rest and the free space add up to the total.
  - Nothing is opened that would change an access time, nothing is created, no C(go) command runs.
extends_documentation_fragment:
  - gofleet.cache._attributes
  - gofleet.cache._attributes.info_module
  - gofleet.cache._attributes.find
  - gofleet.cache._attributes.result
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
  idempotent:
    support: full
options:
  details:
    description:
      - Whether to return the biggest modules, toolchains, clones, fuzz corpora and ages. V(false) leaves the totals.
    type: bool
    default: true
seealso:
  - module: gofleet.cache.cache_prune
  - module: gofleet.cache.cache_undo
  - module: gofleet.cache.cache_verify
  - module: gofleet.cache.go_env_info
"""

EXAMPLES = r"""
- name: See what Go's caches hold on this agent
  gofleet.cache.cache_info:
  become: true
  register: caches

- name: Look into the job folders and volumes too
  gofleet.cache.cache_info:
    search_roots:
      - /builds
      - /var/lib/docker/volumes
  become: true

- name: Survey one cache
  gofleet.cache.cache_info:
    paths:
      - /srv/ci/go/pkg/mod
    discover: false
"""

RETURN = r"""
msg:
  description: One sentence about what was found.
  returned: always
  type: str
  sample: 2 Go caches hold 14.2 GiB in 182044 inodes
caches:
  description:
    - One item for each cache, with its C(kind), C(path) (resolved; C(given) where that is another name), the C(uid)
      of its owner and how it was C(found_by).
    - C(entries), C(bytes) (apparent), C(allocated), C(inodes), C(evidence) (what last use is told from), C(last_build)
      (Unix seconds), C(ages), C(damage) (the first hundred) and C(damage_seen), C(unreached) (the first hundred) and
      C(unreached_places), and C(mount) with its C(point), C(type), C(network) and C(atime) (V(strict), V(relative) or
      V(none)).
    - For build caches C(actions), C(outputs), C(executables) and C(fuzz). For module caches C(modules), C(versions),
      C(trees), C(zips), C(biggest), C(toolchains), C(vcs) (with C(credentials) true where a clone's address holds some,
      never their values), C(leftovers) and C(unknown_trees).
    - C(quarantined), the bytes that lie in quarantine beside a cache (in none of the sums before), and C(quarantine),
      one item for each run that put some there, with C(run), C(ends) (Unix seconds), C(bytes) and C(inodes); see
      M(gofleet.cache.cache_undo).
  returned: always
  type: list
  elements: dict
  sample:
    - kind: go-build
      path: /home/ci/.cache/go-build
      uid: 1001
      found_by:
        - GOCACHE of ci (default)
      entries: 98211
      bytes: 8813245440
      allocated: 9102385152
      inodes: 98470
      evidence: mtime
      ages:
        - age: "< 7d"
          entries: 61002
          bytes: 5012283392
advice:
  description:
    - What the agent's journal makes of the last purges, each with C(code), C(severity), C(text) and C(value), as
      M(gofleet.cache.cache_prune) returns it. Empty where no purge has run.
  returned: always
  type: list
  elements: dict
  sample:
    - code: another-cleaner
      severity: warning
      text: >-
        /home/ci/.cache/go-build: at least 4100 of 9000 entries that the last run left have been removed by something
        else within 1d: look for go clean, tmpfiles rules, cron jobs and CI clean-up steps, and let one cleaner do it
      value:
        kind: go-build
        path: /home/ci/.cache/go-build
        missing: 4100
        of: 9000
filesystems:
  description:
    - For each file system with caches, in bytes, C(go) (its caches and what is in quarantine), C(rest) (everything else
      in use), C(free) and C(total), which is the sum of the three; also C(mount), C(inodes), C(inodes_free) and
      C(go_inodes).
  returned: always
  type: list
  elements: dict
  sample:
    - mount: /
      caches: 2
      go: 15242788864
      rest: 40802189312
      free: 48318382080
      total: 104363360256
work_folders:
  description:
    - The C(go-build*) work folders in temporary directories; C(folders), of these C(stale) (older than a day) with
      C(stale_bytes), and C(examples).
  returned: always
  type: dict
  sample:
    folders: 3
    stale: 2
    stale_bytes: 734003200
    examples:
      - /tmp/go-build1140209231
    truncated: false
systems:
  description: The CI systems found on the agent.
  returned: always
  type: list
  elements: str
  sample:
    - gitlab
looked_at:
  description: Every place that was looked at for caches.
  returned: always
  type: list
  elements: str
  sample:
    - /home/ci/.cache/go-build
refused:
  description: Places that are no cache, or must not be treated as one, each with C(code), C(reason) and C(hint).
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
unreached:
  description: Caches that this user may not clean, with what they hold as far as it can be seen.
  returned: always
  type: list
  elements: dict
  sample: []
plan_digest:
  description: Always empty; a survey plans nothing.
  returned: always
  type: str
  sample: ""
evicted:
  description: "Always empty; a survey evicts nothing."
  returned: always
  type: list
  elements: dict
  sample: []
evicted_entries:
  description: Always 0.
  returned: always
  type: int
  sample: 0
free_bytes_after:
  description: "The same number; a survey frees nothing."
  returned: always
  type: int
  sample: 15032385536
free_bytes_before:
  description: Free bytes of the caches' file systems, as C(df) shows them.
  returned: always
  type: int
  sample: 15032385536
freed_bytes:
  description: Always 0.
  returned: always
  type: int
  sample: 0
left_out:
  description: Always empty.
  returned: always
  type: list
  elements: dict
  sample: []
left_out_entries:
  description: Always 0.
  returned: always
  type: int
  sample: 0
notes:
  description: Sentences for people, such as that only one account was looked at.
  returned: always
  type: list
  elements: str
  sample: []
pending:
  description: Always empty.
  returned: always
  type: list
  elements: dict
  sample: []
planned_entries:
  description: Always 0.
  returned: always
  type: int
  sample: 0
predicted_bytes:
  description: Always 0.
  returned: always
  type: int
  sample: 0
private_known:
  description: Whether a setting on the agent, or the policy, says which modules are private.
  returned: always
  type: bool
  sample: true
protected:
  description: Always empty.
  returned: always
  type: list
  elements: dict
  sample: []
truncated:
  description: Whether a survey was cut short.
  returned: always
  type: bool
  sample: false
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._host import find, survey


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "str", "default": []},
            "search_roots": {"type": "list", "elements": "str", "default": []},
            "discover": {"type": "bool", "default": True},
            "details": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    request = find.Request(*(module.params[name] for name in find.Request._fields))
    result = survey.nothing()
    try:
        result = survey.run(request, module.params["details"])
    except find.BadRequest as exc:
        module.fail_json(msg=str(exc), **result)
    for finding in result["findings"]:
        if finding["severity"] == "warning":
            module.warn(finding["text"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
