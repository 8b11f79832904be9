#!/usr/bin/python

# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: go_env
short_description: Settings of the go command, in an account's or the machine's Go env file
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Sets and removes variables such as E(GOPROXY), E(GOPRIVATE) and E(GOFLAGS) in the file that C(go env -w) writes,
    or in C(go.env) of the installed toolchains. Go itself need not be installed for the former.
  - C(go env -w) accepts values that later send the paths of private modules to public servers, or that make every Go
    command fail. This module refuses them, with the rule and the right line.
  - C(go env -w) also rewrites the file in place without a lock, so that two at once lose settings, and root leaves
    folders in a home that the account can no longer write. This module locks, replaces the file in one step, works
    with the rights of the account, and keeps comments, order, mode and owner.
  - The environment of a process wins over both files. After the edit the module looks for it in the account's sessions
    and in the services of CI runners, and warns with the winner's name where a setting does not get through.
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
    support: full
    details:
      - A file that needs no change is not touched; its modification time stays.
options:
  settings:
    description:
      - The variables to set, by name.
      - The lists E(GOPROXY), E(GOPRIVATE), E(GONOPROXY), E(GONOSUMDB), E(GOINSECURE), E(GOVCS), E(GOFLAGS), E(GOAUTH)
        and E(GOPATH) may be given as YAML lists; they are joined as Go wants it. In E(GOPROXY) a list is joined with
        commas, which fall through on C(404) and C(410) only; give a string with V(|) where any error shall do so.
      - Booleans that YAML makes of C(on) and C(off) are understood where Go knows these words.
      - An empty value is not the same as none. It is refused for E(GOPROXY), E(GOSUMDB) and E(GOTOOLCHAIN), where it
        would hide Go's default. Use O(absent) to remove a line.
      - URLs with credentials are refused, since the file is readable by others. Use a netrc file or E(GOAUTH).
    type: dict
    default: {}
  absent:
    description:
      - Names of variables whose lines are removed, so that Go's own defaults, or those of the machine, hold again.
      - With O(scope=machine), E(GOPROXY), E(GOSUMDB) and E(GOTOOLCHAIN) cannot be removed, because C(go.env) is where
        Go keeps their defaults; set them to the default instead.
    type: list
    elements: str
    default: []
  scope:
    description:
      - Which files are meant.
      - V(account) is the env file of one account, see O(account) and O(path). It wins over V(machine).
      - V(machine) is the file C(go.env) of each toolchain found on the host, or of those in O(goroots). It counts for
        all accounts, but only for these toolchains, and an update of Go replaces it. Toolchains older than Go 1.21,
        which have no such file, and those inside module caches are skipped and listed in RV(left_out).
    type: str
    choices:
      - account
      - machine
    default: account
  account:
    description:
      - Name or uid of the account whose settings are meant. The default is the connected user, with C(become) the
        user that one becomes.
      - The file is written with this account's rights. Another account needs root.
      - Not used with O(scope=machine).
    type: str
  path:
    description:
      - An env file at another place than the account's usual one, for services that get this path in E(GOENV).
      - It is written with the rights of O(account), too.
    type: path
  goroots:
    description:
      - With O(scope=machine), write to these toolchains instead of all that are found.
      - With O(scope=account), further toolchains that may be asked to read the settings back.
    type: list
    elements: path
    default: []
  read_back:
    description:
      - Whether to evaluate the settings afterwards as Go does, to ask a go command on the host whether it agrees, and
        to look for process environments that hide them.
      - Needs no network, and creates nothing. Also done in check mode, for the settings as they would be.
    type: bool
    default: true
  services:
    description:
      - Names of further systemd services whose environment is compared. Those of the usual CI runners are found.
    type: list
    elements: str
    default: []
  run:
    description:
      - A label for the edit, as M(gofleet.cache.settings_undo) takes it. Edits with one label are taken back together.
      - The default is a new label for each call. What is kept are the variables before and after, without credentials.
    type: str
  strict:
    description:
      - Whether to refuse variables and flags that this version of the collection does not know. Set it to V(false)
        for what a newer Go brought; then these only cause a warning.
      - What is certainly wrong is always refused.
    type: bool
    default: true
seealso:
  - module: gofleet.cache.go_env_info
  - module: gofleet.cache.settings_undo
  - name: Go's documentation of its environment variables
    description: What each variable means.
    link: https://pkg.go.dev/cmd/go#hdr-Environment_variables
"""

EXAMPLES = r"""
- name: Fetch modules through the company's proxy, keep private ones away from public servers
  gofleet.cache.go_env:
    settings:
      GOPROXY:
        - https://goproxy.example.com
        - direct
      GOPRIVATE:
        - git.example.com/*
        - "*.corp.example.com"

- name: Settings of the runner's account, with its own rights
  gofleet.cache.go_env:
    account: gitlab-runner
    settings:
      GOFLAGS: [-mod=readonly, -modcacherw]
      GOMODCACHE: /srv/ci/gomod
    absent: [GOSUMDB]
  become: true

- name: Defaults for all accounts of a build host
  gofleet.cache.go_env:
    scope: machine
    settings:
      GOTOOLCHAIN: local
  become: true

- name: The env file of a service that has GOENV=/etc/ci/goenv
  gofleet.cache.go_env:
    path: /etc/ci/goenv
    settings:
      GOPROXY: https://goproxy.example.com|direct
    services: [ci-builder]
  become: true
"""

RETURN = r"""
env_file:
  description: The env file, as named; with O(scope=machine) the first one.
  returned: always
  type: str
  sample: /home/ci/.config/go/env
scope:
  description: As given.
  returned: always
  type: str
  sample: account
account:
  description: The account whose settings these are; null with O(scope=machine).
  returned: always
  type: str
  sample: ci
files:
  description: Each file that was looked at.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file, as named.
      type: str
      sample: /home/ci/.config/go/env
    real_path:
      description: Where it is after resolving symlinks.
      type: str
      sample: /home/ci/dotfiles/go/env
    changed:
      description: Whether it was changed, in check mode would be.
      type: bool
      sample: true
    created:
      description: The folders and the file that were made.
      type: list
      elements: str
      sample: [/home/ci/.config/go, /home/ci/.config/go/env]
    before:
      description: The named variables before, null for those without a line; credentials masked.
      type: dict
      sample: {GOPROXY: direct, GOPRIVATE: null}
    after:
      description: The named variables afterwards.
      type: dict
      sample: {GOPROXY: "https://goproxy.example.com,direct", GOPRIVATE: "git.example.com/*"}
    uid:
      description: Owner of the file afterwards; V(-1) where there is none.
      type: int
      sample: 1001
    mode:
      description: Mode of the file afterwards; empty where there is none.
      type: str
      sample: "0644"
    go_version:
      description: With O(scope=machine), the toolchain's version.
      type: str
      sample: go1.26.8
left_out:
  description: Toolchains whose file is not written, and why.
  returned: always
  type: list
  elements: dict
  sample: [{path: /usr/lib/go-1.19/go.env, reason: "go1.19.8 does not read it, Go does since 1.21"}]
overridden:
  description:
    - Settings that do not reach some processes, because something stronger hides them. Empty with O(read_back=false).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The variable.
      type: str
      sample: GOPROXY
    wanted:
      description: What the file says; null where the line was removed. Credentials masked.
      type: str
      sample: https://goproxy.example.com
    effective:
      description: What wins; credentials masked.
      type: str
      sample: direct
    origin:
      description: The layer that wins, V(process), V(env-file) or V(goroot).
      type: str
      sample: process
    where:
      description: The winner.
      type: str
      sample: its process environment (/etc/systemd/system/gitlab-runner.service.d/go.conf)
    who:
      description: Whose processes see it.
      type: str
      sample: the processes of gitlab-runner.service
read_back:
  description: What a go command on the host says about the result.
  returned: always
  type: dict
  contains:
    go:
      description: The go command; empty if none was asked.
      type: str
      sample: /usr/local/go/bin/go
    agrees:
      description: Whether it sees what was written; null if none was asked.
      type: bool
      sample: true
    reason:
      description: Why none was asked, or why it did not answer.
      type: str
      sample: ""
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._fs import atomic, system
from ansible_collections.gofleet.cache.plugins.module_utils._go import configure, envedit
from ansible_collections.gofleet.cache.plugins.module_utils._go.mask import MaskedErrors, hidden, mask_value, secrets
from ansible_collections.gofleet.cache.plugins.module_utils._journal import settings as records

MAX_WARNINGS = 20


class _Module(MaskedErrors, AnsibleModule):  # type: ignore[misc]
    """AnsibleModule, with errors that hold no credentials."""


def _named(data: t.Optional[bytes], names: t.Iterable[str]) -> t.Dict[str, t.Optional[str]]:
    found = envedit.values(data)
    return {name: mask_value(name, found[name]) if name in found else None for name in sorted(names)}


def _file(target: configure.Target, change: atomic.Change, names: t.Iterable[str]) -> t.Dict[str, t.Any]:
    created = list(change.created)
    if change.before is None and change.after is not None:
        created.append(change.real_path)
    return {
        "path": change.path,
        "real_path": change.real_path,
        "changed": change.changed,
        "created": created,
        "before": _named(change.before, names),
        "after": _named(change.after, names),
        "uid": change.uid,
        "mode": "%04o" % change.mode if change.mode >= 0 else "",
        "go_version": target.chain.version if target.chain else "",
    }


def _edit(target: configure.Target, change: atomic.Change, names: t.Set[str]) -> records.Edit:
    before, after = (
        {name: value for name, value in envedit.values(data).items() if name in names}
        for data in (change.before, change.after)
    )
    return records.keep(("go_env", change.path, ""), (target.uid, target.gid), before, after, hidden)


def _diff(change: atomic.Change) -> t.Dict[str, str]:
    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": envedit.shown(change.before),
        "after": envedit.shown(change.after),
    }


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """The result of the module; raises configure.Impossible and atomic.NotWritten, and fails on faulty settings."""
    params = module.params
    given = params["settings"] or {}
    # Whatever is refused for holding credentials must not come back in an error or at high verbosity either.
    module.no_log_values.update(secrets(given))
    label = records.check_label(params["run"]) if params["run"] else records.new_label()
    scope = params["scope"]
    if scope == configure.MACHINE and (params["path"] or params["account"]):
        module.fail_json(msg="scope=machine takes neither account nor path; name toolchains by goroots")
    values, absent, faults = configure.prepare(given, params["absent"], scope)
    fatal = [fault for fault in faults if fault.certain or params["strict"]]
    if fatal:
        module.fail_json(
            msg="Nothing was written. " + " ".join(fault.text() for fault in fatal),
            faults=[{"variable": f.variable, "rule": f.rule, "message": f.message, "hint": f.hint} for f in fatal],
        )
    warnings = [fault.text() for fault in faults] + configure.hints(values, scope)
    names = set(values) | set(absent)

    skipped: t.List[configure.Skipped] = []
    if scope == configure.MACHINE:
        targets, skipped = configure.machine_targets(params["goroots"])
    else:
        targets = [configure.account_target(configure.find_account(params["account"]), params["path"])]

    # All files are tried before the first is written, so that what cannot be done completely is not begun.
    changes = [configure.write(target, values, absent, check=True) for target in targets]
    written: t.List[str] = []
    if not module.check_mode:
        for number, target in enumerate(targets):
            if changes[number].changed:
                try:
                    changes[number] = configure.write(target, values, absent, check=False)
                    lost = records.record(label, [_edit(target, changes[number], names)])
                except atomic.NotWritten as error:
                    module.fail_json(msg=str(error), changed=bool(written), written=written)
                written.append(changes[number].path)
                if lost:
                    warnings.append("%s: cannot be taken back later, because %s" % (changes[number].path, lost))

    back = configure.ReadBack()
    if not params["read_back"]:
        back.reason = "read_back is false"
    elif not names:
        back.reason = "no settings were named"
    elif scope == configure.MACHINE:
        back = configure.read_back_machine(targets, changes, values, absent, params["services"])
    else:
        back = configure.read_back_account(
            targets[0], changes[0], values, absent, params["services"], params["goroots"]
        )
    warnings += back.notes + [override.text() for override in back.overridden]
    if len(warnings) > MAX_WARNINGS:
        warnings[MAX_WARNINGS:] = ["%d more; see the result 'overridden'" % (len(warnings) - MAX_WARNINGS)]
    for warning in warnings:
        module.warn(warning)

    account = targets[0].account
    # Not "path", for which Ansible adds facts about the file, and not "skipped", which it takes for the task's state.
    result: t.Dict[str, t.Any] = {
        "changed": any(change.changed for change in changes),
        "env_file": targets[0].path,
        "scope": scope,
        "account": account.name if account else None,
        "files": [_file(target, change, names) for target, change in zip(targets, changes)],
        "left_out": [item._asdict() for item in skipped],
        "overridden": [vars(override) for override in back.overridden],
        "read_back": {"go": back.asked, "agrees": back.agrees, "reason": back.reason},
    }
    if module._diff:
        result["diff"] = [_diff(change) for change in changes if change.changed]
    return result


def main() -> None:
    module = _Module(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "absent": {"type": "list", "elements": "str", "default": []},
            "scope": {"type": "str", "choices": ["account", "machine"], "default": "account"},
            "account": {"type": "str"},
            "path": {"type": "path"},
            "goroots": {"type": "list", "elements": "path", "default": []},
            "read_back": {"type": "bool", "default": True},
            "services": {"type": "list", "elements": "str", "default": []},
            "run": {"type": "str"},
            "strict": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    problem = system.unsupported()
    if problem:
        module.fail_json(msg=problem)
    try:
        result = run(module)
    except (configure.Impossible, atomic.NotWritten, records.BadLabel) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
