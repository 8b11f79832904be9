#!/usr/bin/python
# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_verify
short_description: Verify the integrity of an agent's Go caches, and repair what is damaged
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Checks everything in the agent's Go caches that carries a checksum or has a known form. Needs neither Go nor the
    network, and leaves every access and modification time as it is.
  - In a build cache, every output against its name (the SHA-256 of its content), and every action for its form and the
    size of its output. Go itself uses an output of the right size however damaged it is.
  - In a module cache, every zip and every extracted tree against C(.ziphash), every C(.info) for JSON of its version,
    every C(.mod) against the one in the zip, and all of them against what the checksum database said, as far as its
    answers lie in the cache. C(go mod verify) does this only for the modules of one project.
  - What does not fit is looked at a second time, and what a build writes or a C(go) command extracts meanwhile is
    no damage. Bare clones of version control systems in module caches are counted, not verified.
  - Changes nothing, unless O(repair=true).
extends_documentation_fragment:
  - gofleet.cache._attributes
  - gofleet.cache._attributes.find
  - gofleet.cache._attributes.result
attributes:
  check_mode:
    support: full
    details:
      - The verification itself is the same; with O(repair=true), what would be evicted is returned and nothing is.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  repair:
    description:
      - Whether to evict what is damaged, and nothing else, so that the next build gets it anew. RV(damaged[].repair)
        names what that is.
      - Goes the way of every eviction, with the owner's rights and under Go's own locks. An extracted tree stays while
        any Go tool runs that may use it, and the damaged outputs of a build cache stay until the tools have exited that
        ran when their actions went. Both are in RV(left_out) then, for a later run.
      - A private module's tree stays where no sound zip is there to extract it from; see RV(protected).
    type: bool
    default: false
  time_limit:
    description:
      - How long the module may take, such as V(90s), V(10m) or V(1h). Each cache gets an equal share.
      - What was not checked by then is counted, and RV(truncated) is true.
    type: str
    default: 10m
  sample:
    description:
      - Percentage of the entries whose content is read. Which ones are taken depends on their names and O(seed) only.
      - The small files of module caches are always checked.
    type: float
    default: 100
  seed:
    description:
      - With O(sample), another seed takes other entries. With a O(time_limit) that is too short, another seed begins
        elsewhere. A date or a build number makes regular runs come to see everything.
    type: str
    default: ''
  threads:
    description: How many files are read at the same time, between 1 and 16. A thread needs a few MiB of memory.
    type: int
    default: 2
seealso:
  - module: gofleet.cache.cache_info
  - module: gofleet.cache.cache_prune
  - module: gofleet.cache.go_canary
  - ref: ansible_collections.gofleet.cache.cache_verify_role
    description: A role that verifies, builds a canary and fails with the damage by name.
"""

EXAMPLES = r"""
- name: Verify every Go cache of the agent
  gofleet.cache.cache_verify:
  become: true
  register: integrity

- name: Fail with what is damaged
  ansible.builtin.assert:
    that: integrity.ok
    fail_msg: "{{ integrity.damaged | map(attribute='problem') | list }}"

- name: Read a tenth of a large cache every night, another tenth each time
  gofleet.cache.cache_verify:
    paths:
      - /var/cache/ci/go-build
    discover: false
    sample: 10
    seed: "{{ now(utc=true, fmt='%Y-%m-%d') }}"
    time_limit: 30m
  become: true

- name: Show what a repair would evict
  gofleet.cache.cache_verify:
    repair: true
  check_mode: true
  register: repair

- name: Evict what is damaged, and nothing else
  gofleet.cache.cache_verify:
    repair: true
  become: true
"""

RETURN = r"""
msg:
  description: One sentence about the result.
  returned: always
  type: str
  sample: verified 98211 things, 9.1 GiB, in 2 caches; 1 damaged
ok:
  description:
    - Whether nothing that was checked is damaged. After a repair, whether no damage is left (in check mode, would be).
  returned: always
  type: bool
  sample: false
verified:
  description:
    - Counts and bytes by class of thing. The classes are V(action), V(output) and V(executable) in build caches,
      V(zip), V(tree), V(ziphash), V(info) and V(mod) in module caches.
  returned: always
  type: dict
  contains:
    checked:
      description: How many were checked.
      type: int
      returned: always
    ok:
      description: How many of them are sound.
      type: int
      returned: always
    damaged:
      description: How many of them are damaged.
      type: int
      returned: always
    skipped:
      description: How many were not checked, because of O(sample), O(time_limit), or a build at work on them.
      type: int
      returned: always
    bytes:
      description: Bytes that were read of those checked.
      type: int
      returned: always
  sample:
    output: {"checked": 51230, "ok": 51229, "damaged": 1, "skipped": 0, "bytes": 9102385152}
damaged:
  description: The first hundred damaged things.
  returned: always
  type: list
  elements: dict
  contains:
    cache:
      description: Path of the cache.
      type: str
      returned: always
    class:
      description: Class of the thing, see RV(verified).
      type: str
      returned: always
    path:
      description: Where it lies below the cache.
      type: str
      returned: always
    module:
      description: C(path@version), in module caches.
      type: str
      returned: always
    problem:
      description: What is wrong, in a sentence.
      type: str
      returned: always
    expected:
      description: The hash, size or version that it should have.
      type: str
      returned: always
    found:
      description: The one that it has.
      type: str
      returned: always
    names:
      description: The first three files of a tree that are concerned.
      type: list
      elements: str
      returned: always
    repair:
      description: Paths below the cache that a repair evicts.
      type: list
      elements: str
      returned: always
    how:
      description: How Go gets it back afterwards.
      type: str
      returned: always
    repaired:
      description: Whether it was evicted; in check mode, whether it would be.
      type: bool
      returned: always
  sample:
    - cache: /home/ci/go/pkg/mod
      class: tree
      path: github.com/gin-gonic/gin@v1.9.0
      module: github.com/gin-gonic/gin@v1.9.0
      problem: "its files are not those of the module: 1 missing (render/json.go)"
      expected: h1:OjyFBKICoexlu99ctXNR2gg+c5pKrKMuyjgARg9qeY8=
      found: h1:W4JwDaXBBPFRYX+VsFZ0BTYq8wXUoX9hWTzPLyqbkaQ=
      names: [render/json.go]
      repair: [github.com/gin-gonic/gin@v1.9.0]
      how: the next build that needs it extracts it again from the zip, without network
      repaired: false
damaged_total:
  description: How many damaged things there are.
  returned: always
  type: int
  sample: 1
repaired:
  description: How many of them were evicted; in check mode, would be.
  returned: always
  type: int
  sample: 0
caches:
  description:
    - One item for each cache, with C(kind), C(path), C(uid), C(found_by), C(ok), C(verified), C(damaged_total),
      C(truncated) and C(counts) (what is neither sound nor damaged, such as leftovers and version control clones), and
      what a repair did.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: go-mod
      path: /home/ci/go/pkg/mod
      uid: 1001
      ok: false
      damaged_total: 1
      truncated: ''
      counts:
        version control clones, not verified: 2
changed:
  description: Whether a repair evicted anything.
  returned: always
  type: bool
  sample: false
plan_digest:
  description: SHA-256 of what a repair evicts; empty without O(repair).
  returned: always
  type: str
  sample: ''
planned_entries:
  description: How many files and trees a repair evicts.
  returned: always
  type: int
  sample: 0
predicted_bytes:
  description: What that gives back, in bytes.
  returned: always
  type: int
  sample: 0
evicted_entries:
  description: How many were evicted; in check mode, would be.
  returned: always
  type: int
  sample: 0
freed_bytes:
  description: What that gave back, in bytes; nothing in check mode.
  returned: always
  type: int
  sample: 0
free_bytes_before:
  description: Free bytes of the caches' file systems before, as C(df) shows them.
  returned: always
  type: int
  sample: 15032385536
free_bytes_after:
  description: The same afterwards.
  returned: always
  type: int
  sample: 15032385536
evicted:
  description: The first hundred evictions, with C(cache), C(path), C(tier) (class), C(reason) and C(bytes).
  returned: always
  type: list
  elements: dict
  sample: []
left_out:
  description: The first hundred things that a repair could not take, with C(cache), C(path), C(reason) and C(bytes).
  returned: always
  type: list
  elements: dict
  sample:
    - cache: /home/ci/go/pkg/mod
      path: github.com/gin-gonic/gin@v1.9.0
      reason: in use
      bytes: 1048576
left_out_entries:
  description: How many a repair left.
  returned: always
  type: int
  sample: 0
protected:
  description: Damaged entries that a repair must not take, by cache and reason.
  returned: always
  type: list
  elements: dict
  sample: []
pending:
  description: Always empty here; the key is there because every cache_* module returns it.
  returned: always
  type: list
  elements: dict
  sample: []
unreached:
  description: What could not be read with this user's rights, or only by changing its access time, by cache.
  returned: always
  type: list
  elements: dict
  sample: []
refused:
  description: Places that are no cache, or must not be treated as one.
  returned: always
  type: list
  elements: dict
  sample: []
truncated:
  description: Whether a time limit left something unchecked or a list was cut.
  returned: always
  type: bool
  sample: false
notes:
  description: Sentences for people.
  returned: always
  type: list
  elements: str
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
private_known:
  description: Whether a setting on the agent, or the policy, says which modules are private.
  returned: always
  type: bool
  sample: true
systems:
  description: The CI systems found on the agent.
  returned: always
  type: list
  elements: str
  sample:
    - gitlab
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._core import units
from ansible_collections.gofleet.cache.plugins.module_utils._host import find, verify


def options(params: t.Mapping[str, t.Any], check: bool) -> verify.Options:
    """The checked options; raises units.BadPolicy with the option's name."""
    limit = units.age(params["time_limit"], "time_limit")
    if limit < 1:
        raise units.BadPolicy("time_limit", params["time_limit"], "at least one second is needed")
    if not 0 < params["sample"] <= 100:
        raise units.BadPolicy("sample", params["sample"], "a percentage above 0 and up to 100 is needed")
    if not 1 <= params["threads"] <= 16:
        raise units.BadPolicy("threads", params["threads"], "a number from 1 to 16 is needed")
    return verify.Options(check, float(limit), params["sample"], params["seed"], params["threads"], params["repair"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "str", "default": []},
            "search_roots": {"type": "list", "elements": "str", "default": []},
            "discover": {"type": "bool", "default": True},
            "repair": {"type": "bool", "default": False},
            "time_limit": {"type": "str", "default": "10m"},
            "sample": {"type": "float", "default": 100},
            "seed": {"type": "str", "default": ""},
            "threads": {"type": "int", "default": 2},
        },
        supports_check_mode=True,
    )
    request = find.Request(*(module.params[name] for name in find.Request._fields))
    try:
        result = verify.run(request, options(module.params, module.check_mode))
    except units.BadPolicy as exc:
        module.fail_json(msg=str(exc), **verify.nothing())
    except find.BadRequest as exc:
        module.fail_json(msg=str(exc), **verify.nothing())
    except verify.Failed as exc:
        module.fail_json(msg=str(exc), **exc.result)
    for finding in result["findings"]:
        if finding["severity"] == "warning":
            module.warn(finding["text"])
    module.exit_json(msg=verify.sentence(result, module.check_mode), **result)


if __name__ == "__main__":
    main()
