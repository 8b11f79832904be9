#!/usr/bin/python
# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_move
short_description: Leave, move or evict a Go cache whose place has changed
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - When E(GOCACHE) or E(GOMODCACHE) gets another value, Go starts an empty cache there and never looks at the old tree
    again, nor trims it. This module does with that tree what O(old) says.
  - It changes no setting; M(gofleet.cache.go_env) does. Move first and change the setting then, so that no build starts
    a new cache at the new place; leave or evict after the change.
  - A move on one file system is one rename. Elsewhere the tree is copied, with the owner's rights, all times and modes,
    under a name of its own beside O(to), gets that name when a last pass has found nothing that differs, and only then
    the old tree goes. Whatever interrupts it, one whole cache is there, and the next run removes what is left over.
  - A move never replaces anything but an empty folder. A cache that a Go tool uses is not moved.
  - An eviction is M(gofleet.cache.cache_prune) with V(wipe) and no floor for this one cache. What may not go stays and
    is told, such as private modules, and everything younger than a day where nothing proves that no build runs.
extends_documentation_fragment:
  - gofleet.cache._attributes
  - gofleet.cache._attributes.result
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description:
      - The old place, an absolute path. Where nothing is there, or an empty folder, nothing is done.
      - It must show a cache's fingerprint. A home, a Go installation, a repository, a cache that holds a mount, and
        everything else that is no cache is refused. So is a move of a symlink, of a mount point, and of a tree that
        holds another cache or files that are no part of it.
    type: str
    required: true
  to:
    description:
      - The new place, an absolute path; needed with O(old=move). It must not exist, or be an empty folder of the
        cache's owner or of root. Where it holds all that is at O(path), only the old tree is removed.
      - Folders that are missing on the way are made with the rights of the cache's owner, or, below a folder that is
        root's alone, by root (mode 0755).
      - No folder on the way may belong to anybody but root and the cache's owner, nor be writable for others (unless it
        is sticky, as V(/tmp) is). The owner must be able to pass.
    type: str
    default: ""
  old:
    description:
      - V(leave) does nothing, and tells how much stays there and whether anything still finds it.
      - V(move) brings the tree to O(to).
      - V(evict) evicts it by the rules of M(gofleet.cache.cache_prune). The empty frame of a build cache goes too,
        while no Go tool uses it. Of a module cache the small files stay that describe versions (C(.info), C(.mod)).
    type: str
    choices:
      - leave
      - move
      - evict
    default: leave
  kind:
    description:
      - Which kind of cache it must be; without it, what the fingerprint shows.
    type: str
    choices:
      - go-build
      - go-mod
  account:
    description:
      - The account, by name or numeric id, that must own the cache. Anybody's is taken without it.
    type: str
    default: ""
  private:
    description:
      - With O(old=evict), patterns of private modules besides those of E(GOPRIVATE), E(GONOPROXY) and E(GONOSUMDB). An
        empty list says that there are no others, which lets zips go where no setting names any.
    type: list
    elements: str
  idle:
    description:
      - V(scan) looks for running Go tools, which needs root and no container to be complete. V(asserted) says that you
        have drained the agent. A Go tool that is seen to use the cache stops a move all the same.
    type: str
    choices:
      - scan
      - asserted
    default: scan
  busy:
    description:
      - What happens when a Go tool uses the cache, or may use it; V(fail) (default with O(old=move)), V(skip) (it is
        left alone, and nothing changes), V(wait) (half of O(time_limit), then V(skip)) or, with O(old=evict) only and
        its default, V(floor) (what was used within a day stays).
    type: str
    choices:
      - floor
      - skip
      - wait
      - fail
  time_limit:
    description:
      - After this time, such as V(15m), a copy is given up and removed, and an eviction stops where it is safe.
    type: str
    default: 10m
notes:
  - A moved build cache is as warm as it was. After the move of a module cache the next build compiles modules anew,
    once, because what was compiled without C(-trimpath) holds their directory; nothing is downloaded again.
seealso:
  - module: gofleet.cache.cache_prune
  - module: gofleet.cache.go_env
  - module: gofleet.cache.go_env_info
"""

EXAMPLES = r"""
- name: Bring the build cache to the large disk
  gofleet.cache.cache_move:
    path: /home/ci/.cache/go-build
    to: /srv/ci/go-build
    old: move
    account: ci
  become: true

- name: And let Go look for it there
  gofleet.cache.go_env:
    account: ci
    settings:
      GOCACHE: /srv/ci/go-build
  become: true

- name: What of the old module cache may go
  gofleet.cache.cache_move:
    path: /home/ci/go/pkg/mod
    kind: go-mod
    old: evict
    private: []
  become: true
  check_mode: true

- name: How much was left behind
  gofleet.cache.cache_move:
    path: /var/lib/jenkins/.cache/go-build
  become: true
"""

RETURN = r"""
msg:
  description: One sentence about what was done.
  returned: always
  type: str
  sample: moved /home/ci/.cache/go-build, 9.1 GiB, to /srv/ci/go-build
action:
  description:
    - V(move), V(evict) or V(leave) for what was done (in check mode, would be); V(clean) where only leftovers of an
      interrupted run were removed; V(none) where there was nothing to do.
  returned: always
  type: str
  sample: move
from:
  description: The old place.
  returned: always
  type: str
  sample: /home/ci/.cache/go-build
to:
  description: The new place; empty where none was given.
  returned: always
  type: str
  sample: /srv/ci/go-build
kind:
  description: The kind of the cache, V(go-build) or V(go-mod); empty where there is none.
  returned: always
  type: str
  sample: go-build
how:
  description: How the tree was moved, V(rename) or V(copy); empty where it was not.
  returned: always
  type: str
  sample: rename
moved_bytes:
  description: What was moved, in bytes; in check mode, what would be.
  returned: always
  type: int
  sample: 9771050598
left_bytes:
  description: What is at the old place afterwards, in bytes; in check mode, what would be.
  returned: always
  type: int
  sample: 0
leftovers:
  description: The names of what an interrupted run had left and this one removed; in check mode, would remove.
  returned: always
  type: list
  elements: str
  sample:
    - .go-build.gofleet-move-1f00aa34be5c
caches:
  description:
    - The cache at the old place as it was, with C(kind), C(path), C(uid), C(found_by), C(entries), C(allocated),
      C(evidence), C(use) (C(busy), C(idle) or C(unknown), where it was asked) and C(left_alone) (why it was); empty
      where there was none.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: go-build
      path: /home/ci/.cache/go-build
      uid: 1001
      entries: 98211
      allocated: 9771050598
plan_digest:
  description: SHA-256 of the plan of an eviction (of its first part, where it had two); empty otherwise.
  returned: always
  type: str
  sample: 0930844611a0394ce9cb056d87a9646ccc4789451a5f83049634304fb2772bf7
planned_entries:
  description: Number of evictions that were planned.
  returned: always
  type: int
  sample: 0
predicted_bytes:
  description: What was to be given back at the old place, in bytes; nothing where one rename moves the tree.
  returned: always
  type: int
  sample: 9771050598
evicted_entries:
  description: Number of evictions that were carried out; in check mode, that would be. A move evicts nothing.
  returned: always
  type: int
  sample: 0
freed_bytes:
  description: What was given back at the old place, in bytes; nothing in check mode.
  returned: always
  type: int
  sample: 9771050598
free_bytes_before:
  description: Free bytes of the old place's file system before a move or an eviction, as C(df) shows them.
  returned: always
  type: int
  sample: 15032385536
free_bytes_after:
  description: The same afterwards.
  returned: always
  type: int
  sample: 24803436134
evicted:
  description: The first hundred evictions, as M(gofleet.cache.cache_prune) returns them.
  returned: always
  type: list
  elements: dict
  sample: []
left_out:
  description: The first hundred things that were to go and stayed, each with C(path), C(reason) and C(bytes).
  returned: always
  type: list
  elements: dict
  sample: []
left_out_entries:
  description: How many stayed.
  returned: always
  type: int
  sample: 0
protected:
  description: Entries and bytes that an eviction may not take, by reason, such as V(floor), V(private).
  returned: always
  type: list
  elements: dict
  sample:
    - cache: /home/ci/go/pkg/mod
      reason: private
      entries: 12
      bytes: 40910848
pending:
  description: Entries and bytes that a later run takes, because two steps must not fall into one run.
  returned: always
  type: list
  elements: dict
  sample: []
refused:
  description: Why nothing was done, with C(path), C(code), C(reason) and C(hint); the module fails then.
  returned: always
  type: list
  elements: dict
  sample: []
unreached:
  description: Caches that this user's rights do not reach, in entries and bytes.
  returned: always
  type: list
  elements: dict
  sample: []
truncated:
  description: Whether RV(evicted) or RV(left_out) were cut.
  returned: always
  type: bool
  sample: false
notes:
  description: Sentences for people.
  returned: always
  type: list
  elements: str
  sample:
    - no cache is at /home/ci/.cache/go-build
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

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._core import units
from ansible_collections.gofleet.cache.plugins.module_utils._host import find, move


def difference(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Where how many bytes of the cache are, before and after, from the result alone."""
    if not result["caches"] or not result["changed"]:
        return {"before": {}, "after": {}}
    before = {result["from"]: result["caches"][0]["allocated"]}
    after = {result["from"]: result["left_bytes"]}
    if result["moved_bytes"]:
        after[result["to"]] = result["moved_bytes"]
    return {"before": before, "after": after}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "str", "required": True},
            "to": {"type": "str", "default": ""},
            "old": {"type": "str", "choices": list(move.OLD), "default": "leave"},
            "kind": {"type": "str", "choices": ["go-build", "go-mod"]},
            "account": {"type": "str", "default": ""},
            "private": {"type": "list", "elements": "str"},
            "idle": {"type": "str", "choices": ["scan", "asserted"], "default": "scan"},
            "busy": {"type": "str", "choices": list(move.BUSY)},
            "time_limit": {"type": "str", "default": "10m"},
        },
        supports_check_mode=True,
    )
    params = module.params
    result = move.nothing()
    result.update({"from": params["path"], "to": params["to"]})
    try:
        options = move.Options(
            module.check_mode,
            old=params["old"],
            kind=params["kind"] or "",
            account=params["account"],
            time_limit=units.age(params["time_limit"], "time_limit"),
            idle=params["idle"],
            busy=params["busy"] or "",
            private=params["private"],
        )
        result = move.run(params["path"], params["to"], options)
    except (find.BadRequest, units.BadPolicy) as exc:
        module.fail_json(msg=str(exc), **result)
    except move.Failed as exc:
        module.fail_json(msg=str(exc), **exc.result)
    for finding in result["findings"]:
        if finding["severity"] == "warning" and finding["path"] == result["from"]:
            module.warn(finding["text"])
    if module._diff:
        result["diff"] = difference(result)
    module.exit_json(msg=move.sentence(result, module.check_mode), **result)


if __name__ == "__main__":
    main()
