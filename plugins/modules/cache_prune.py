#!/usr/bin/python
# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_prune
short_description: Evict from an agent's Go caches by policy, without breaking a running build
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Finds the Go caches of the agent as M(gofleet.cache.cache_info) does, plans what a policy evicts from them, and
    carries out exactly that plan. Check mode returns the plan, with the digest that the run then has.
  - An entry is looked at again right before it goes. What was used or changed since is skipped and counted.
  - Build caches lose first what makes an entry findable, then what it points to; a build that runs meanwhile rebuilds
    and does not fail. Findings of C(go vet) never go before the facts that belong to them.
  - Module caches lose one half of a version in a run (the extracted tree, which comes back from its zip without the
    network) and the other in a later one, under Go's own locks; what waits is returned in RV(pending).
  - Runs with the rights of each cache's owner, never enters a symlink or a mount below a cache, and never calls C(go).
extends_documentation_fragment:
  - gofleet.cache._attributes
  - gofleet.cache._attributes.find
  - gofleet.cache._attributes.result
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - What is RV(pending) needs one more run; after that nothing changes.
options:
  policy:
    description:
      - What to keep, as one document; see the examples. Unknown keys and nonsense values are refused by name.
      - V(floor) (default V(24h)); nothing used within this time goes, whatever the rest asks. At least V(1h), unless
        V(idle) proves that no build runs.
      - V(idle); V(scan) (look for running Go tools, as root) or V(asserted) (you drained the agent). Only then may the
        floor be lower.
      - V(max_age), V(max_size) (of all caches of a kind together), V(max_size_each), V(max_entries), V(evict_before),
        V(modules) (names and patterns such as V(github.com/gin-gonic/gin@*)) and V(wipe), at the top for every kind
        or in V(caches) for one kind each (V(kind) is V(go-build), V(go-mod), V(go-work) for the work folders of
        cancelled builds, or V(go-toolcache) for toolchains of CI tool caches; the last two have no rule unless they are
        named).
      - V(match), in V(caches); patterns of modules that a rule is for. The first rule of a kind that matches holds.
      - V(evict_first); V(oldest) (default) or V(cheapest), what V(until) takes first when the rules were not enough.
      - V(keep) and V(private); patterns of modules that are kept. What E(GOPRIVATE), E(GONOPROXY) and E(GONOSUMDB) of
        the agent match is private too. A private module goes only when its exact path is named. Where neither says
        what is private, only trees with a sound zip go.
      - V(when) (V(free_space_below), V(free_inodes_below); one of them is enough) gates everything. V(until)
        (V(free_space_above), V(free_inodes_above)) goes on with what was used longest ago until it is met.
      - V(keep_needed_by); folders (absolute paths). What a C(go.sum), C(go.mod), C(go.work) or C(vendor/modules.txt)
        below them names is kept. Where one of them cannot be read whole, everything is kept that it might name.
        V(unneeded_for) then evicts what none of them has named for that long, as the agent's journal remembers.
      - V(keep_newest); so many of the newest versions of each module are kept.
      - V(max_size_all); the cap over all caches of all kinds together.
      - V(busy); what becomes of a cache that Go tools are using, or may be using; V(floor) (default, the floor and the
        order of eviction protect what they use), V(skip), V(wait) (half of the time limit, then skip) or V(fail).
      - V(quarantine); for so long what goes is kept beside the cache and can be brought back by
        M(gofleet.cache.cache_undo). It gives nothing back before. Off by default, and where space is short. Work
        folders and toolchains of tool caches have none and go at once.
      - V(network_agent); the host name of the one agent that cleans the caches on network file systems. Without it they
        are left alone.
      - V(time_limit) (default V(10m)); then the run stops where it is safe and tells what it did.
      - Without a policy, a run acts only below 15 % free space or 10 % free inodes; it takes what a build cache has
        not used for 10 days and a module cache for 60, work folders of cancelled builds after a day, then the least
        recently used down to the floor, until 25 % and
        15 % are free.
    type: dict
  save_plan:
    description:
      - Makes the plan, saves it on the agent for this user (RV(plan_file)) and carries out nothing. The newest twenty
        plans of the last thirty days are kept. Nothing is saved in check mode.
    type: bool
    default: false
  plan:
    description:
      - The digest of a saved plan, to carry out exactly that and nothing else. Each entry must still be there and as it
        was, and nothing may protect it by now; the others are counted in RV(left_out). The plan's own policy holds;
        a O(policy) that says something else is refused. The start mark is not asked again.
    type: str
  return_plan:
    description:
      - Returns the whole plan in RV(plan), one line of JSON for each entry. This may be many megabytes.
    type: bool
    default: false
seealso:
  - module: gofleet.cache.cache_info
  - module: gofleet.cache.cache_verify
"""

EXAMPLES = r"""
- name: Make room only when the disk fills up
  gofleet.cache.cache_prune:
  become: true

- name: Keep two weeks of builds and at most 20 GiB of them, and what modules were used in two months
  gofleet.cache.cache_prune:
    policy:
      floor: 24h
      time_limit: 15m
      caches:
        - kind: go-build
          max_age: 14d
          max_size: 20GiB
        - kind: go-mod
          max_age: 60d
          keep:
            - git.example.com/*
  become: true

- name: Drop one bad release of a module from every cache of the agent
  gofleet.cache.cache_prune:
    policy:
      caches:
        - kind: go-mod
          modules:
            - github.com/gin-gonic/gin@v1.9.0
  become: true

- name: One cap over everything; keep what the projects below a folder need, and the newest two versions of each module
  gofleet.cache.cache_prune:
    policy:
      max_size_all: 60GiB
      caches:
        - kind: go-mod
          max_age: 60d
          keep_needed_by: [/srv/ci/builds]
          keep_newest: 2
  become: true

- name: Hold what goes for a day, so that cache_undo can bring it back
  gofleet.cache.cache_prune:
    policy:
      max_age: 14d
      quarantine: 1d
  become: true

- name: Plan on Monday
  gofleet.cache.cache_prune:
    policy:
      max_age: 14d
    save_plan: true
  become: true
  register: planned

- name: Carry out on Tuesday what somebody has approved, and nothing else
  gofleet.cache.cache_prune:
    plan: "{{ planned.plan_digest }}"
  become: true

- name: Empty the caches of a drained agent
  gofleet.cache.cache_prune:
    policy:
      wipe: true
      floor: 0
      idle: asserted
  become: true
"""

RETURN = r"""
msg:
  description: One sentence about what was done.
  returned: always
  type: str
  sample: evicted 51230 entries, 9.1 GiB, of 2 caches; 388 kept (floor, private)
caches:
  description:
    - One item for each cache, with C(kind), C(path) (resolved; C(given) where that is another name), C(uid),
      C(found_by), C(entries), C(allocated), C(evidence), C(planned_entries), C(predicted_bytes), C(evicted_entries),
      C(freed_bytes), C(quarantined_bytes) and C(left_out) (entries and bytes by reason). C(surveyed) is false where the
      policy had nothing to do on that file system.
    - C(use) is C(busy), C(idle) or C(unknown); C(left_alone) says why a cache was not looked at.
    - C(regret) is what earlier runs had evicted and has been made anew since, with C(entries), C(bytes) and
      C(median_seconds); what an archive brought back is counted apart, in C(restored_entries) and C(restored_bytes).
  returned: always
  type: list
  elements: dict
  sample:
    - kind: go-build
      path: /home/ci/.cache/go-build
      uid: 1001
      surveyed: true
      entries: 98211
      allocated: 9102385152
      planned_entries: 51230
      predicted_bytes: 4911431680
      evicted_entries: 51228
      freed_bytes: 4911423488
      left_out:
        used since:
          entries: 2
          bytes: 8192
plan_digest:
  description: SHA-256 of the plan; the same tree and policy give the same digest.
  returned: always
  type: str
  sample: 0930844611a0394ce9cb056d87a9646ccc4789451a5f83049634304fb2772bf7
planned_entries:
  description: Number of evictions in the plan.
  returned: always
  type: int
  sample: 51230
predicted_bytes:
  description: What the plan gives back, in bytes.
  returned: always
  type: int
  sample: 4911431680
evicted_entries:
  description: Number of evictions that were carried out; in check mode, that would be.
  returned: always
  type: int
  sample: 51228
freed_bytes:
  description: What the evictions gave back, in bytes; nothing in check mode.
  returned: always
  type: int
  sample: 4911423488
largest:
  description: The twenty evictions of the plan that give back most, as in RV(evicted).
  returned: always
  type: list
  elements: dict
  sample: []
advice:
  description:
    - What the agent's journal makes of the last runs, each with C(code), C(severity), C(text) and C(value); for
      instance a budget below what builds need (C(budget-below-working-set)), a cache that is always at its cap
      (C(pinned-at-cap)), another cleaner at work (C(another-cleaner)) or a cache that CI jobs restore from an archive
      (C(restored-by-ci)).
  returned: always
  type: list
  elements: dict
  sample: []
quarantine_run:
  description:
    - The name by which M(gofleet.cache.cache_undo) brings back what this run put into quarantine; empty where it put
      nothing there.
  returned: always
  type: str
  sample: 3f2a9c01b77d
plan_file:
  description: Where the plan was saved on the agent, with O(save_plan); empty in check mode.
  returned: always
  type: str
  sample: /var/lib/gofleet-cache/0/plans/0930844611a0394ce9cb056d87a9646ccc4789451a5f83049634304fb2772bf7.jsonl
plan:
  description:
    - With O(return_plan), the whole plan as canonical JSON Lines. Its SHA-256, each line with a line feed, is
      RV(plan_digest).
  returned: always
  type: list
  elements: str
  sample: []
free_bytes_before:
  description: Free bytes of the caches' file systems before, as C(df) shows them.
  returned: always
  type: int
  sample: 15032385536
free_bytes_after:
  description: The same afterwards.
  returned: always
  type: int
  sample: 19943809024
evicted:
  description: The first hundred evictions, with C(cache), C(path), C(tier), C(reason), C(bytes), C(used), C(evidence).
  returned: always
  type: list
  elements: dict
  sample: []
left_out:
  description: The first hundred entries of the plan that stayed, each with the reason.
  returned: always
  type: list
  elements: dict
  sample: []
left_out_entries:
  description: How many entries of the plan stayed.
  returned: always
  type: int
  sample: 2
protected:
  description:
    - Entries and bytes that may not go whatever the policy asks, by cache and reason (V(floor), V(keep), V(private),
      V(private unknown), V(needed), V(roots not readable), V(newest), V(future), V(guard) and the kinds' own). They are
      counted whether a rule would have taken them or not.
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
unreached:
  description: Caches that this user's rights do not reach, in entries and bytes.
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
  description: Whether RV(evicted) or RV(left_out) were cut.
  returned: always
  type: bool
  sample: true
notes:
  description: Sentences for people, such as a budget that could not be reached and why.
  returned: always
  type: list
  elements: str
  sample: []
acts:
  description: Whether the policy's start mark let the run do anything.
  returned: always
  type: bool
  sample: true
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

from ansible_collections.gofleet.cache.plugins.module_utils._host import gate, schema


def difference(result: t.Mapping[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Counts and bytes of each cache before and after, from the result alone, so that the two cannot disagree."""
    key = "predicted_bytes" if check else "freed_bytes"
    before, after = {}, {}
    for cache in result["caches"]:
        if cache["surveyed"]:
            before[cache["path"]] = {"entries": cache["entries"], "bytes": cache["allocated"]}
            after[cache["path"]] = {
                "entries": cache["entries"] - cache["evicted_entries"],
                "bytes": cache["allocated"] - cache[key],
            }
    return {"before": before, "after": after}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "str", "default": []},
            "search_roots": {"type": "list", "elements": "str", "default": []},
            "discover": {"type": "bool", "default": True},
            "policy": {"type": "dict"},
            "save_plan": {"type": "bool", "default": False},
            "plan": {"type": "str"},
            "return_plan": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["plan"] and params["save_plan"]:
        module.fail_json(
            msg="plan and save_plan: a plan is either carried out or made; give one of them", **schema.purge()
        )
    # Where paths are named, they are proven to be caches in any case; who asks for a plan gets one.
    quick = params["plan"] is None and not any(
        params[name] for name in ("paths", "search_roots", "accounts", "save_plan", "return_plan")
    )
    result = gate.answer(params["policy"] or None) if quick else None
    if result is not None:
        if module._diff:
            result["diff"] = {"before": {}, "after": {}}
        module.exit_json(**result)
    run(module)


def run(module: AnsibleModule) -> None:
    """The whole purge; what it needs is imported here, so that a run with nothing to do costs next to nothing."""
    from ansible_collections.gofleet.cache.plugins.module_utils._core import plan as planner
    from ansible_collections.gofleet.cache.plugins.module_utils._core import units
    from ansible_collections.gofleet.cache.plugins.module_utils._host import find, plans, purge

    params = module.params
    request = find.Request(*(params[name] for name in find.Request._fields))
    options = purge.Options(
        module.check_mode, save=params["save_plan"], saved=params["plan"], whole=params["return_plan"]
    )
    result = schema.purge()
    try:
        result = purge.run(request, params["policy"] or None, options)
    except units.BadPolicy as exc:
        module.fail_json(msg="policy: %s" % exc, **result)
    except (find.BadRequest, plans.NoPlan, planner.BadPlan) as exc:
        module.fail_json(msg=str(exc), **result)
    except purge.Failed as exc:
        module.fail_json(msg=str(exc), **exc.result)
    for finding in result["findings"]:
        if finding["severity"] == "warning":
            module.warn(finding["text"])
    if module._diff:
        result["diff"] = difference(result, module.check_mode)
    module.exit_json(msg=schema.sentence(result, module.check_mode), **result)


if __name__ == "__main__":
    main()
