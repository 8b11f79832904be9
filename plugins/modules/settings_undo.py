#!/usr/bin/python

# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: settings_undo
short_description: Takes back what go_env, job_env, git_access, netrc_entry and goauth_entry have written
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Gives variables the values back that they had before M(gofleet.cache.go_env) or M(gofleet.cache.job_env) edited
    them, in the files where these edited them. Variables that were not there go again.
  - Lines that M(gofleet.cache.git_access) added to Git's configuration or to C(known_hosts) go, and those that it
    removed come back, at the end of the file.
  - Credentials that M(gofleet.cache.netrc_entry) or M(gofleet.cache.goauth_entry) added go again, while they are the
    ones that were added. No secret is kept for this, only a salted hash. So a login or token that was there before, and
    was changed or removed, does not come back, and what was put in its place stays; both are told in RV(left_out). A
    GOAUTH header whose secret is in a file or comes from a program does come back.
  - A variable that has another value by now than the one that was written stays, and is told in RV(left_out). So do old
    values that held credentials, and those of variables that are not of Go, Git or a proxy, because they are not kept.
  - A file that belongs to another user by now, or has such a folder on the way to it, is refused.
  - What was edited is known for each user that runs the modules, in C(/var/lib/gofleet-cache) for root. Taken back is
    what the same user wrote.
extends_documentation_fragment:
  - gofleet.cache._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Credentials in URLs are shown as V(***).
  idempotent:
    support: partial
    details:
      - With a label in O(run) a second call changes nothing. With V(latest) each call takes back one run more.
options:
  run:
    description:
      - What to take back. V(latest) is the newest run that was not taken back yet, V(all) each of them.
      - Else the label that was given to the modules as O(gofleet.cache.go_env#module:run). An unknown one is refused.
    type: str
    default: latest
seealso:
  - module: gofleet.cache.go_env
  - module: gofleet.cache.job_env
  - module: gofleet.cache.git_access
  - module: gofleet.cache.netrc_entry
  - module: gofleet.cache.goauth_entry
"""

EXAMPLES = r"""
- name: Take the newest change of Go's settings back
  gofleet.cache.settings_undo:
  become: true

- name: Settings as they were before a named change
  gofleet.cache.settings_undo:
    run: new-proxy-2026-11
  become: true
"""

RETURN = r"""
runs:
  description: The labels that were taken back, in check mode would be; newest first.
  returned: always
  type: list
  elements: str
  sample: [new-proxy-2026-11]
files:
  description: Each file in which something was put back, in check mode would be.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: >-
        What edited it, C(go_env), C(git_config) or C(known_hosts) of M(gofleet.cache.git_access), C(netrc) or C(goauth)
        of M(gofleet.cache.netrc_entry) and M(gofleet.cache.goauth_entry), or the kind of M(gofleet.cache.job_env).
      type: str
      sample: go_env
    path:
      description: The file.
      type: str
      sample: /home/ci/.config/go/env
    part:
      description: The part of it that is meant, such as a runner; empty for the whole.
      type: str
      sample: ""
    before:
      description:
        - The variables that are put back, as they were until now; null for those that were not there. Masked.
        - Credentials bear the name of their host and login, or of their URL and header.
      type: dict
      sample: {GOPROXY: "https://goproxy.example.com"}
    after:
      description: The same as they are now; masked.
      type: dict
      sample: {GOPROXY: null}
left_out:
  description: Variables that were not put back, and why.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /home/ci/.config/go/env
    name:
      description: The variable; empty where the whole file is meant.
      type: str
      sample: GOPROXY
    reason:
      description: Why.
      type: str
      sample: it was changed since
restart_services:
  description: Services that have to be started again for the settings to count.
  returned: always
  type: list
  elements: str
  sample: [gitlab-runner.service]
daemon_reload:
  description: Whether systemd has to read its units again.
  returned: always
  type: bool
  sample: false
remaining:
  description: The labels that can still be taken back, newest first, at most twenty.
  returned: always
  type: list
  elements: str
  sample: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._fs import system
from ansible_collections.gofleet.cache.plugins.module_utils._go import kept
from ansible_collections.gofleet.cache.plugins.module_utils._go.mask import mask_value
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import undo
from ansible_collections.gofleet.cache.plugins.module_utils._journal import place
from ansible_collections.gofleet.cache.plugins.module_utils._journal import settings as records

SHOWN = 20


def _masked(values: records.Values) -> t.Dict[str, t.Optional[str]]:
    return {name: None if value is None else mask_value(name, value) for name, value in sorted(values.items())}


def _left_out(row: undo.Row) -> t.List[t.Dict[str, str]]:
    found = [(name, "it was changed since") for name in row.since]
    found += [(name, "a newer run changed it, too; take that one back first") for name in row.later]
    text = "its old value held credentials, or is of a variable that may, and was not kept"
    if row.edit.kind in kept.KINDS:
        text = "credentials were changed or removed there, and no old secret is kept; set them anew with %s_entry"
        text %= row.edit.kind
    found += [(name, text) for name in row.hidden]
    if row.error:
        found = [("", row.error)]
    return [{"path": row.edit.path, "name": name, "reason": reason} for name, reason in found]


def _header(item: t.Mapping[str, t.Any]) -> str:
    return "%s (%s)" % (item["path"], item["part"]) if item["part"] else str(item["path"])


def _text(values: t.Mapping[str, t.Optional[str]]) -> str:
    return "".join("%s=%s\n" % item for item in values.items() if item[1] is not None)


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """The result of the module; raises undo.NoRun, records.BadLabel, place.Unusable and OSError."""
    history = records.history()
    runs = undo.chosen(module.params["run"], history)
    rows, lost = undo.undo(runs, history, module.check_mode)
    files: t.List[t.Dict[str, t.Any]] = [
        {
            "kind": row.edit.kind,
            "path": row.edit.path,
            "part": row.edit.part,
            "before": _masked(row.before),
            "after": _masked(row.after),
        }
        for row in rows
        if row.changed
    ]
    if lost:
        module.warn("it could not be noted that this was taken back: %s" % lost)
    taken = [one.label for one in runs]
    left = [one for one in history.runs if one not in runs] if module.check_mode else records.history().runs
    result: t.Dict[str, t.Any] = {
        "changed": bool(files),
        "runs": taken,
        "files": files,
        "left_out": [item for row in rows for item in _left_out(row)],
        "restart_services": sorted({row.service for row in rows if row.changed and row.service}),
        "daemon_reload": any(row.changed and row.edit.kind == "systemd" for row in rows),
        "remaining": [one.label for one in left][:SHOWN],
    }
    if module._diff:
        result["diff"] = [
            {
                "before_header": _header(item),
                "after_header": _header(item),
                "before": _text(item["before"]),
                "after": _text(item["after"]),
            }
            for item in files
        ]
    broken = [row.error for row in rows if row.error]
    if broken:
        module.fail_json(msg="Not everything was put back. " + " ".join(broken), **result)
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={"run": {"type": "str", "default": "latest"}},
        supports_check_mode=True,
    )
    problem = system.unsupported()
    if problem:
        module.fail_json(msg=problem)
    try:
        result = run(module)
    except (undo.NoRun, records.BadLabel, place.Unusable, OSError) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
