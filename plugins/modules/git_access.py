#!/usr/bin/python

# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: git_access
short_description: Rewritten addresses and known SSH hosts, with which Go fetches from Git directly
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - For modules that no proxy serves, the go command runs Git, and lets neither Git nor SSH ask anybody
    (E(GIT_TERMINAL_PROMPT=0), batch mode). A login that is missing, or a host key that is not known, ends the build.
  - This module writes what they need into an account's C(.gitconfig) (C(url.<use>.insteadOf) and C(http.proxy)) and
    C(.ssh/known_hosts), with the rights of the account. Everything else in the files stays.
  - Addresses with a password or token are refused. They would stand in a readable file and in each clone.
extends_documentation_fragment:
  - gofleet.cache._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Of C(.gitconfig) only the rewrites and the proxy are shown, with credentials masked.
  idempotent:
    support: full
    details:
      - A file that needs no change is not touched; its modification time stays.
options:
  instead_of:
    description:
      - Addresses that Git shall replace.
      - Where another address of the same prefix stands first in the file, Git would take that one. The module then
        fails and changes nothing; name the other with O(instead_of[].state=absent).
    type: list
    elements: dict
    default: []
    suboptions:
      prefix:
        description: The beginning of an address as Go asks it, such as V(https://git.example.com/). Ends in C(/).
        type: str
        required: true
      use:
        description:
          - What is put in its place, such as V(ssh://git@git.example.com/). A user without password is allowed.
        type: str
        required: true
      state:
        description: V(absent) removes exactly this pair.
        type: str
        choices: [present, absent]
        default: present
  known_hosts:
    description:
      - Public keys of SSH servers. Get them from the servers' administrators, not from the network.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: The server's name, or V([name]:port) where the port is not 22.
        type: str
        required: true
      key:
        description: The public key, such as V(ssh-ed25519 AAAA...).
        type: str
        required: true
      state:
        description: V(absent) removes the lines that give this key to this host alone.
        type: str
        choices: [present, absent]
        default: present
  http_proxy:
    description:
      - Git's C(http.proxy), for addresses of HTTP and HTTPS. The empty text removes it. Left out, it stays as it is.
      - It wins over E(HTTPS_PROXY).
    type: str
  account:
    description:
      - Name or uid of the account whose files are meant. The default is the connected user, with C(become) the user
        that one becomes. Another account needs root.
    type: str
  run:
    description:
      - A label for the edits, as M(gofleet.cache.settings_undo) takes it. Edits with one label are taken back together.
      - The default is a new label for each call. Addresses with credentials are not kept.
    type: str
  gitconfig:
    description: Another file than the account's C(.gitconfig).
    type: path
  known_hosts_file:
    description: Another file than the account's C(.ssh/known_hosts).
    type: path
seealso:
  - module: gofleet.cache.settings_undo
  - module: gofleet.cache.netrc_entry
  - module: gofleet.cache.go_env
  - name: Git's documentation of url.<base>.insteadOf
    description: How Git chooses among several.
    link: https://git-scm.com/docs/git-config#Documentation/git-config.txt-urlbaseinsteadOf
"""

EXAMPLES = r"""
- name: Let the runner fetch private modules by SSH
  gofleet.cache.git_access:
    account: gitlab-runner
    instead_of:
      - prefix: https://git.example.com/
        use: ssh://git@git.example.com/
    known_hosts:
      - host: git.example.com
        key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
  become: true

- name: Forget a host's old key
  gofleet.cache.git_access:
    known_hosts:
      - host: "[git.example.com]:2222"
        key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
        state: absent
"""

RETURN = r"""
account:
  description: The account whose files these are.
  returned: always
  type: str
  sample: gitlab-runner
files:
  description: Each file that was looked at.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file, as named.
      type: str
      sample: /home/gitlab-runner/.gitconfig
    changed:
      description: Whether it was changed, in check mode would be.
      type: bool
      sample: true
    created:
      description: The folders and the file that were made, in check mode would be.
      type: list
      elements: str
      sample: [/home/gitlab-runner/.ssh, /home/gitlab-runner/.ssh/known_hosts]
rewrites:
  description:
    - The rewrites and the proxy in C(.gitconfig) afterwards, credentials masked. Empty if neither was asked for.
  returned: always
  type: list
  elements: str
  sample: ["url.ssh://git@git.example.com/.insteadOf = https://git.example.com/"]
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._fs import atomic, system
from ansible_collections.gofleet.cache.plugins.module_utils._go import configure, gitaccess
from ansible_collections.gofleet.cache.plugins.module_utils._go.mask import MaskedErrors
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import undo
from ansible_collections.gofleet.cache.plugins.module_utils._journal import settings as records


class _Module(MaskedErrors, AnsibleModule):  # type: ignore[misc]
    """AnsibleModule, with errors that hold no credentials."""


def _diff(outcome: gitaccess.Outcome) -> t.Dict[str, str]:
    path = outcome.change.path
    texts = ["".join(line + "\n" for line in lines) for lines in (outcome.before, outcome.after)]
    return {"before_header": path, "after_header": path, "before": texts[0], "after": texts[1]}


def _file(change: atomic.Change) -> t.Dict[str, t.Any]:
    created = list(change.created)
    if change.before is None and change.after is not None:
        created.append(change.real_path)
    return {"path": change.path, "changed": change.changed, "created": created}


def _home(path: t.Optional[str], account: t.Any, name: str) -> str:
    if path:
        return path
    if not account.home.startswith("/") or not os.path.isdir(account.home):
        raise configure.Impossible(
            "account %s: its home directory %r does not exist; create it, or name the file"
            % (account.name, account.home)
        )
    return os.path.join(account.home, name)


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """The result of the module; raises configure.Impossible, gitaccess.GitFailed and atomic.NotWritten."""
    params = module.params
    proxy = params["http_proxy"]
    # Whatever is refused for holding credentials must not come back in an error or at high verbosity either.
    module.no_log_values.update(gitaccess.secrets(params["instead_of"], proxy or ""))
    faults = gitaccess.check(params["instead_of"], params["known_hosts"], proxy or "")
    # Without encryption is a matter of taste; the rest would not work, or leak.
    fatal = [fault for fault in faults if fault.id != "git-plain-http"]
    for fault in faults:
        if fault not in fatal:
            module.warn("%s: %s. %s" % (fault.name, fault.text, fault.hint))
    if fatal:
        module.fail_json(
            msg="Nothing was written. " + " ".join("%s: %s. %s" % (f.name, f.text, f.hint) for f in fatal),
            faults=[fault._asdict() for fault in fatal],
        )
    label = records.check_label(params["run"]) if params["run"] else records.new_label()
    account = configure.find_account(params["account"])
    lost: t.List[str] = []
    outcomes: t.List[gitaccess.Outcome] = []
    rewrites: t.List[str] = []
    config, hosts = params["gitconfig"], params["known_hosts_file"]
    # Both are tried before the first is written, so that what cannot be done completely is not begun.
    for check in (True,) if module.check_mode else (True, False):
        outcomes = []
        if params["instead_of"] or proxy is not None:
            wanted = [gitaccess.rewrite(item) for item in params["instead_of"]]
            outcome = gitaccess.write_config(account, _home(config, account, ".gitconfig"), wanted, proxy, check)
            if outcome.remarks:
                module.fail_json(
                    msg="%s: nothing was written: %s. Remove the one that stands first, by state=absent"
                    % (outcome.change.path, "; ".join(outcome.remarks))
                )
            rewrites = outcome.after
            outcomes.append(outcome)
            if not check:
                lost.append(records.record(label, [undo.of_git(outcome, undo.GIT_CONFIG, account.uid, account.gid)]))
        if params["known_hosts"]:
            keys = [gitaccess.host_key(item) for item in params["known_hosts"]]
            outcomes.append(gitaccess.write_hosts(account, _home(hosts, account, ".ssh/known_hosts"), keys, check))
            if not check:
                edit = undo.of_git(outcomes[-1], undo.KNOWN_HOSTS, account.uid, account.gid)
                lost.append(records.record(label, [edit]))
            else:
                for remark in outcomes[-1].remarks[:10]:
                    module.warn("%s, %s; name it with state=absent if it is old" % (outcomes[-1].change.path, remark))
    for why in filter(None, lost):
        module.warn("the edit cannot be taken back later, because %s" % why)
    result: t.Dict[str, t.Any] = {
        "changed": any(outcome.change.changed for outcome in outcomes),
        "account": account.name,
        "files": [_file(outcome.change) for outcome in outcomes],
        "rewrites": rewrites,
    }
    if module._diff:
        result["diff"] = [_diff(outcome) for outcome in outcomes if outcome.change.changed]
    return result


def main() -> None:
    state = {"type": "str", "choices": ["present", "absent"], "default": "present"}
    module = _Module(
        argument_spec={
            "instead_of": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "prefix": {"type": "str", "required": True},
                    "use": {"type": "str", "required": True},
                    "state": dict(state),
                },
            },
            "known_hosts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "host": {"type": "str", "required": True},
                    "key": {"type": "str", "required": True, "no_log": False},
                    "state": dict(state),
                },
            },
            "http_proxy": {"type": "str"},
            "account": {"type": "str"},
            "run": {"type": "str"},
            "gitconfig": {"type": "path"},
            "known_hosts_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    problem = system.unsupported()
    if problem:
        module.fail_json(msg=problem)
    try:
        result = run(module)
    except (configure.Impossible, gitaccess.GitFailed, atomic.NotWritten, records.BadLabel) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
