#!/usr/bin/python

# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: netrc_entry
short_description: Credentials for module proxies and Git servers, in an account's .netrc
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Sets or removes the login and password of one machine in the C(.netrc) file that C(go), C(git) and C(curl) read.
  - Go looks for the host with its port, as in the URL, Git and curl for the host without it, so that by default both
    are written. Go sends credentials over HTTPS only.
  - The file is replaced in one step under a lock, with the rights of the account, and gets mode V(0600). Comments,
    macros, other entries and their order stay byte for byte. After each edit the file is read as Go reads it. Only an
    edit that gives Go the wanted credentials, and leaves it those of all other machines, is written.
  - No password is in results, errors, warnings or diffs.
  - A symlink in the file's place, a file of another owner and one with several names (hard links) are refused.
extends_documentation_fragment:
  - gofleet.cache._attributes
  - gofleet.cache._attributes.credentials
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows keys, machines and logins only. Passwords, comments and macros are shown as V(***), and a password that
        is not the one before as V(*** (new\)). Logins that look like tokens are hidden as well.
  idempotent:
    support: full
    details:
      - A file that needs no change is not touched; its modification time stays.
options:
  machine:
    description:
      - The host, or host and port, as in the URL that Go fetches from. Go compares it letter by letter, including case.
      - A URL, a path, a pattern and anything with login data are refused.
    type: str
    required: true
  login:
    description:
      - The name to log in with. Required with O(state=present).
      - With O(state=absent), only the machine's entries with this login are removed.
      - Logins are shown and logged. Known kinds of tokens are refused here. Servers that take a token take it as
        O(password), too.
    type: str
  password:
    description:
      - The password or token. With O(state=present) either this or O(password_file) is required.
      - Blanks and line breaks are refused, because Go knows no quotes in this file.
      - Take it from a vault variable, not from a literal in the playbook, which Ansible may print when a task fails.
    type: str
  password_file:
    description:
      - Absolute path of a file on the agent whose only line is the password, for secrets that another tool brings there
        and that the controller need not know.
      - It is read with the rights of the connected user (with C(become), the one that one becomes), not of O(account).
    type: path
  both_forms:
    description:
      - Whether a O(machine) with a port also gets an entry without it, which is what Git and curl look for.
      - Set it to V(false) where other ports of that host have other credentials, or nobody but Go uses them.
      - With O(state=absent), the entry without port is removed only if it has the same login and password.
    type: bool
    default: true
  exclusive:
    description:
      - Whether entries of the same machine with other logins are removed. Go only reads the first of a machine's
        entries.
      - With V(false) they stay behind the new one, for URLs that name their user. Further entries with the same login
        are always removed.
    type: bool
    default: true
  path:
    description:
      - The file, if it is not the one that E(NETRC) names in the account's environment, or else C(~/.netrc).
      - It, too, is written with the rights of O(account).
    type: path
  read_back:
    description:
      - Whether to look for sessions and CI services of the account that read another file because of E(NETRC), or none
        because of E(GOAUTH), and to warn.
    type: bool
    default: true
seealso:
  - module: gofleet.cache.settings_undo
  - module: gofleet.cache.go_env
  - name: Go's documentation of GOAUTH
    description: How the go command finds credentials.
    link: https://pkg.go.dev/cmd/go#hdr-GOAUTH_environment_variable
"""

EXAMPLES = r"""
- name: The company's module proxy, for the runner's account
  gofleet.cache.netrc_entry:
    account: gitlab-runner
    machine: goproxy.example.com:8443
    login: ci
    password: "{{ vault_goproxy_password }}"
  become: true

- name: A Git server, with a token that another tool keeps on the agent
  gofleet.cache.netrc_entry:
    account: gitlab-runner
    machine: git.example.com
    login: oauth2
    password_file: /run/secrets/git-token
  become: true

- name: Two services on one host, each with credentials of its own
  gofleet.cache.netrc_entry:
    account: gitlab-runner
    machine: artifacts.example.com:{{ item }}
    login: "{{ vault_artifact_logins[item].login }}"
    password: "{{ vault_artifact_logins[item].password }}"
    both_forms: false
  loop: ["8443", "9443"] # not over what holds the passwords, since Ansible prints items with -v
  become: true

- name: No credentials any more for a server that is gone
  gofleet.cache.netrc_entry:
    account: gitlab-runner
    machine: old-proxy.example.com
    state: absent
  become: true
"""

RETURN = r"""
netrc_file:
  description: The file, as named.
  returned: always
  type: str
  sample: /home/ci/.netrc
account:
  description: The account whose file it is.
  returned: always
  type: str
  sample: ci
mode:
  description: Mode of the file afterwards; empty where there is none.
  returned: always
  type: str
  sample: "0600"
mode_before:
  description: Mode of the file before; empty where there was none.
  returned: always
  type: str
  sample: "0644"
uid:
  description: Owner of the file afterwards; V(-1) where there is none.
  returned: always
  type: int
  sample: 1001
created:
  description: The folders and the file that were made, in check mode would be.
  returned: always
  type: list
  elements: str
  sample: [/home/ci/.netrc]
entries:
  description: The forms of the machine that were looked at.
  returned: always
  type: list
  elements: dict
  contains:
    machine:
      description: Host, or host and port.
      type: str
      sample: goproxy.example.com:8443
    action:
      description:
        - V(added), V(changed), V(moved) (duplicates or other logins went, or it comes first now), V(kept), V(removed)
          or V(none) (there was none).
        - V(left) for an entry that stays with O(state=absent), because its login or password is another one.
      type: str
      sample: changed
    login:
      description: The login that Go uses afterwards; empty where there is none, V(***) where it looks like a token.
      type: str
      sample: ci
    line:
      description: The line from which Go takes it afterwards; V(0) where there is none.
      type: int
      sample: 3
    line_before:
      description: The same before.
      type: int
      sample: 3
    ignored_lines:
      description: Lines with further entries of this machine, which Go does not use.
      type: list
      elements: int
      sample: []
overridden:
  description:
    - Sessions and services that do not read the file. Empty with O(read_back=false) and O(state=absent).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What decides, E(NETRC), E(HOME) or E(GOAUTH).
      type: str
      sample: GOAUTH
    wanted:
      description: What would be needed.
      type: str
      sample: netrc
    effective:
      description: What is there.
      type: str
      sample: "off"
    origin:
      description: The layer that it comes from, V(process), V(env-file) or V(goroot).
      type: str
      sample: env-file
    where:
      description: The place.
      type: str
      sample: /home/ci/.config/go/env:2
    who:
      description: Whose processes are meant.
      type: str
      sample: the processes of gitlab-runner.service
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._fs import atomic, system
from ansible_collections.gofleet.cache.plugins.module_utils._go import configure, kept, netrc
from ansible_collections.gofleet.cache.plugins.module_utils._go.mask import MaskedErrors
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import undo
from ansible_collections.gofleet.cache.plugins.module_utils._journal import settings as records


class _Module(MaskedErrors, AnsibleModule):  # type: ignore[misc]
    """AnsibleModule, with errors that hold no credentials."""


def _mode(mode: t.Optional[int]) -> str:
    return "%04o" % mode if mode is not None and mode >= 0 else ""


def _entry(machine: str, change: atomic.Change, asked: bool) -> t.Dict[str, t.Any]:
    before = [item for item in netrc.entries(netrc.text_of(change.before)) if item.machine == machine]
    after = [item for item in netrc.entries(netrc.text_of(change.after)) if item.machine == machine]
    old, new = (before[0] if before else None), (after[0] if after else None)
    had, has = (netrc.count(data, machine) for data in (change.before, change.after))
    if new is None and not has:
        action = "removed" if old or had else "none"
    elif not asked:
        action = "removed" if has < had else "left"
    elif old is None or new is None:
        action = "changed" if had else "added"
    elif (old.login, old.password) != (new.login, new.password):
        action = "changed"
    else:
        action = "kept" if had == has else "moved"
    return {
        "machine": machine,
        "action": action,
        "login": netrc.shown_login(new.login) if new else "",
        "line": new.line if new else 0,
        "line_before": old.line if old else 0,
        "ignored_lines": [item.line for item in after[1:]],
    }


def _diff(outcome: netrc.Outcome) -> t.List[t.Dict[str, t.Any]]:
    change = outcome.change
    result: t.List[t.Dict[str, t.Any]] = []
    headers = {"before_header": change.path, "after_header": change.path}
    if outcome.mode_before is not None and outcome.mode_before != change.mode:
        result.append(
            dict(headers, before={"mode": _mode(outcome.mode_before)}, after={"mode": _mode(change.mode)}),
        )
    if change.changed:
        before = netrc.shown(change.before)
        result.append(dict(headers, before=before, after=netrc.shown(change.after, change.before or b"")))
    return result


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """The result of the module; raises netrc.Refused, configure.Impossible, atomic.NotWritten and records.BadLabel."""
    params = module.params
    machine, login, password = params["machine"], params["login"] or "", params["password"] or ""
    present = params["state"] == "present"
    # Whatever is refused for holding credentials must not come back in an error or at high verbosity either.
    module.no_log_values.update(netrc.secrets_in(machine))
    if login and netrc.is_token(login, password):
        module.no_log_values.add(login)
    netrc.check_machine(machine)
    warnings: t.List[str] = []
    if present:
        if params["password_file"]:
            password = netrc.read_secret(params["password_file"])
            if password:
                module.no_log_values.add(password)
        netrc.check_login(login, password)
        warnings += netrc.check_password(password)
    label = records.check_label(params["run"]) if params["run"] else records.new_label()
    target = netrc.target(configure.find_account(params["account"]), params["path"])
    both = params["both_forms"]

    def edit(data: t.Optional[bytes]) -> t.Optional[bytes]:
        if present:
            return netrc.put_forms(data, machine, login, password, both, params["exclusive"])
        return netrc.drop_forms(data, machine, params["login"], both)

    outcome = netrc.write(target, edit, module.check_mode)
    change = outcome.change
    if change.changed and not module.check_mode:
        lost = records.record(label, [undo.of_credentials(kept.NETRC, change, target.account.uid, target.account.gid)])
        if lost:
            warnings.append("the edit cannot be taken back later, because %s" % lost)
    names = [machine]
    if both and netrc.host_of(machine):
        names.append(netrc.host_of(machine))
    found = [_entry(name, change, present) for name in names]

    if present:
        if machine != machine.lower():
            warnings.append(
                "machine: %r has capital letters; Go compares letter by letter, so that the URL must be written the "
                "same way" % machine
            )
        others = netrc.rivals(change.after, machine) if both else []
        if others:
            warnings.append(
                "%s shares its host with %s, which has other credentials; the entry without port, for Git and curl, "
                "can hold only one of them and now holds these; set both_forms=false for all but one of them"
                % (machine, ", ".join(others[:5]))
            )
        for item in found:
            if params["exclusive"] and item["ignored_lines"]:
                warnings.append(
                    "%s: line %d counts for %s; Go also reads entries for it from lines that look like comments (%s); "
                    "remove them by hand"
                    % (target.path, item["line"], item["machine"], ", ".join(map(str, item["ignored_lines"][:5])))
                )
    overridden: t.List[configure.Override] = []
    if present and params["read_back"]:
        overridden, notes = netrc.overrides(target, params["services"])
        warnings += notes + [netrc.override_text(target, item) for item in overridden]
    for warning in warnings[:20]:
        module.warn(warning)

    created = list(change.created)
    if change.before is None and change.after is not None:
        created.append(change.real_path)
    # Not "path", for which Ansible adds facts about the file.
    result: t.Dict[str, t.Any] = {
        "changed": outcome.changed,
        "netrc_file": target.path,
        "account": target.account.name,
        "mode": _mode(change.mode),
        "mode_before": _mode(outcome.mode_before),
        "uid": change.uid,
        "created": created,
        "entries": found,
        "overridden": [vars(item) for item in overridden],
    }
    if module._diff:
        result["diff"] = _diff(outcome)
    return result


def main() -> None:
    module = _Module(
        argument_spec={
            "machine": {"type": "str", "required": True},
            "login": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "password_file": {"type": "path", "no_log": False},
            "both_forms": {"type": "bool", "default": True},
            "exclusive": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "account": {"type": "str"},
            "path": {"type": "path"},
            "read_back": {"type": "bool", "default": True},
            "services": {"type": "list", "elements": "str", "default": []},
            "run": {"type": "str"},
        },
        required_if=[
            ("state", "present", ["login"]),
            ("state", "present", ["password", "password_file"], True),
        ],
        mutually_exclusive=[("password", "password_file")],
        supports_check_mode=True,
    )
    problem = system.unsupported()
    if problem:
        module.fail_json(msg=problem)
    try:
        result = run(module)
    except (netrc.Refused, configure.Impossible, atomic.NotWritten, records.BadLabel) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
