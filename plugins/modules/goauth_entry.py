#!/usr/bin/python

# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: goauth_entry
short_description: Credentials for parts of a server and for tokens, in a helper for Go's GOAUTH
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Sets or removes the login or token that Go sends to all URLs below a prefix. A C(.netrc) file, for which there is
    M(gofleet.cache.netrc_entry), knows hosts only, and logins with passwords only.
  - The account's helper is a shell script that prints its credentials. Go 1.24 and later run it when E(GOAUTH) names
    it. Older releases read netrc only, and Git and curl know nothing of it.
  - This module does not set E(GOAUTH). Give its result RV(goauth) to M(gofleet.cache.go_env), or to the environment of
    the jobs.
  - A secret is stored in the helper, or read from a file or from a program at each call of Go, so that it may change
    without this module.
  - The helper is replaced in one step under a lock, with the rights of the account, and gets mode V(0600). It is read
    by C(/bin/sh) and needs no right to be executed.
  - No secret is in results, errors, warnings or diffs, nor in the arguments or the environment of a program.
  - A symlink in the file's place, a file of another owner, one with several names (hard links), one that another
    program wrote and one that was changed by hand are refused.
extends_documentation_fragment:
  - gofleet.cache._attributes
  - gofleet.cache._attributes.credentials
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows URLs, names of headers, logins, and where secrets are read from. The secrets themselves are shown as
        V(***), and one that is not the one before as V(*** (new\)). Logins that look like tokens are hidden as well.
  idempotent:
    support: full
    details:
      - A file that needs no change is not touched; its modification time stays.
options:
  url:
    description:
      - The prefix, beginning with V(https://), as in the URL that Go fetches from. Go compares it letter by letter,
        including case and port, and whole elements of the path only. The longest prefix that matches wins.
      - Go 1.24 finds a prefix with a path only after the server has answered 4xx, and so asks for each file twice. All
        releases do so for the question about a module at its Git server (V(?go-get=1)) where the prefix is the whole
        module path.
      - Anything with login data is refused.
    type: str
    required: true
  login:
    description:
      - The name to log in with. The secret is then sent as the password of Basic authorization.
      - Logins are shown and logged. Known kinds of tokens are refused here.
      - Ignored with O(state=absent).
    type: str
  header:
    description:
      - The name of the header that holds the secret, such as V(PRIVATE-TOKEN), for servers that want neither Basic nor
        Bearer authorization. Without it and O(login) the secret is sent as V(Authorization), as a Bearer token.
      - Where the server redirects to another one, Go sends this header there as well. It does not do so with
        V(Authorization), which is to be preferred.
      - With O(state=absent), only the prefix's header with this name is removed.
    type: str
  token:
    description:
      - The secret. With O(state=present) either this, O(token_file) or O(command) is required.
      - Line breaks and control characters are refused; what is not ASCII can be sent with O(login) only.
      - Take it from a vault variable, not from a literal in the playbook, which Ansible may print when a task fails.
    type: str
    aliases: [password]
  token_file:
    description:
      - Absolute path of a file on the agent whose only line is the secret. It is read at each call of Go, with the
        rights of its account, so that a vault agent can renew it.
    type: path
  command:
    description:
      - A program and its arguments, one item each, that prints the secret in one line. The program is named by its
        absolute path and run without a shell.
      - Each Go command that fetches something runs it once, with the job's environment, and again when a server below
        the prefix answers 401 or 403. Go waits for it, so give it a limit with C(timeout).
    type: list
    elements: str
  exclusive:
    description:
      - Whether other headers of the same prefix are removed. With V(false) they stay, for servers that want two.
    type: bool
    default: true
  path:
    description:
      - The helper, if it is not C(go/goauth.sh) in the account's E(XDG_CONFIG_HOME), or else in C(~/.config).
      - It, too, is written with the rights of O(account).
    type: path
  read_back:
    description:
      - Whether to look for sessions and CI services of the account whose E(GOAUTH) leaves the helper out, and for
        toolchains older than Go 1.24, and to warn.
    type: bool
    default: true
seealso:
  - module: gofleet.cache.settings_undo
  - module: gofleet.cache.netrc_entry
  - module: gofleet.cache.go_env
  - name: Go's documentation of GOAUTH
    description: How the go command finds credentials.
    link: https://pkg.go.dev/cmd/go#hdr-GOAUTH_environment_variable
"""

EXAMPLES = r"""
- name: Two teams on one module proxy
  gofleet.cache.goauth_entry:
    account: gitlab-runner
    url: https://goproxy.example.com/{{ item }}
    login: "{{ vault_goproxy_logins[item].login }}"
    token: "{{ vault_goproxy_logins[item].token }}"
  loop: [team-a, team-b] # not over what holds the tokens, since Ansible prints items with -v
  become: true
  register: helper

- name: Go asks the helper first, then .netrc
  gofleet.cache.go_env:
    account: gitlab-runner
    settings:
      GOAUTH: "{{ helper.results[0].goauth }}"
  become: true

- name: A Bearer token that a vault agent renews
  gofleet.cache.goauth_entry:
    account: gitlab-runner
    url: https://artifacts.example.com/api/go
    token_file: /run/vault/gitlab-runner/artifacts-token
  become: true

- name: A token of Google's, made for each job
  gofleet.cache.goauth_entry:
    account: gitlab-runner
    url: https://europe-go.pkg.dev/example-project
    login: oauth2accesstoken
    command: [/usr/bin/timeout, "30", /usr/bin/gcloud, auth, print-access-token]
  become: true

- name: GitLab's own header
  gofleet.cache.goauth_entry:
    url: https://gitlab.example.com
    header: PRIVATE-TOKEN
    token: "{{ vault_gitlab_token }}"

- name: Two headers, as access proxies want them
  gofleet.cache.goauth_entry:
    url: https://goproxy.example.com
    header: "{{ item }}"
    token: "{{ vault_access_headers[item] }}"
    exclusive: false
  loop: [CF-Access-Client-Id, CF-Access-Client-Secret]

- name: No credentials any more for a server that is gone
  gofleet.cache.goauth_entry:
    url: https://old-proxy.example.com
    state: absent
"""

RETURN = r"""
goauth_file:
  description: The helper, as named.
  returned: always
  type: str
  sample: /home/ci/.config/go/goauth.sh
goauth:
  description:
    - The value for E(GOAUTH) with which Go asks the helper, and netrc for what it does not have. Where both have
      credentials for the same prefix, those of the helper count.
  returned: always
  type: str
  sample: /bin/sh /home/ci/.config/go/goauth.sh;netrc
account:
  description: The account whose helper it is.
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
  sample: "0600"
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
  sample: [/home/ci/.config/go/goauth.sh]
url:
  description: The prefix, as it stands in the file.
  returned: always
  type: str
  sample: https://goproxy.example.com/team-a
headers:
  description: All headers that the prefix has or had.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the header.
      type: str
      sample: Authorization
    action:
      description: V(added), V(changed), V(kept), V(removed), or V(left) for one that was not asked about and stays.
      type: str
      sample: changed
    kind:
      description: V(basic), V(bearer) or V(header). Like the next three, as it is afterwards, or was where it is gone.
      type: str
      sample: basic
    login:
      description: The login of Basic authorization, V(***) where it looks like a token, else empty.
      type: str
      sample: ci
    source:
      description: Where the secret is, V(stored) (in the helper), V(file) or V(command).
      type: str
      sample: file
    place:
      description: That file or command; empty where the secret is stored.
      type: str
      sample: /run/secrets/goproxy
urls:
  description: All prefixes that the helper has credentials for afterwards.
  returned: always
  type: list
  elements: str
  sample: [https://goproxy.example.com/team-a, https://goproxy.example.com/team-b]
old_toolchains:
  description: Toolchains on the host that know no E(GOAUTH). Empty with O(read_back=false) and O(state=absent).
  returned: always
  type: list
  elements: str
  sample: [go1.21.13 (/usr/local/go)]
overridden:
  description:
    - Sessions and services whose Go does not ask the helper. Empty with O(read_back=false) and O(state=absent).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What decides, E(GOAUTH).
      type: str
      sample: GOAUTH
    wanted:
      description: The value with which it would be asked.
      type: str
      sample: /bin/sh /home/ci/.config/go/goauth.sh;netrc
    effective:
      description: What is there.
      type: str
      sample: netrc
    origin:
      description: The layer that it comes from, V(process), V(env-file), V(goroot) or V(default).
      type: str
      sample: default
    where:
      description: The place.
      type: str
      sample: built-in
    who:
      description: Whose processes are meant.
      type: str
      sample: the processes of gitlab-runner.service
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._fs import atomic, system
from ansible_collections.gofleet.cache.plugins.module_utils._go import configure, goauth, kept, netrc
from ansible_collections.gofleet.cache.plugins.module_utils._go.mask import MaskedErrors
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import undo
from ansible_collections.gofleet.cache.plugins.module_utils._journal import settings as records


class _Module(MaskedErrors, AnsibleModule):  # type: ignore[misc]
    """AnsibleModule, with errors that hold no credentials, also not a wrongly given command's."""

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn:
        if isinstance(self.params.get("command"), list):
            self.no_log_values.update(goauth.secrets_in([str(word) for word in self.params["command"]]))
        super().fail_json(msg, **kwargs)
        raise AssertionError("fail_json returned")


def _mode(mode: t.Optional[int]) -> str:
    return "%04o" % mode if mode is not None and mode >= 0 else ""


def _headers(url: str, change: atomic.Change, asked: t.Optional[str]) -> t.List[t.Dict[str, t.Any]]:
    before = {item.name.lower(): item for item in goauth.parse(change.before) if item.url == url}
    after = {item.name.lower(): item for item in goauth.parse(change.after) if item.url == url}
    result: t.List[t.Dict[str, t.Any]] = []
    for key in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(key), after.get(key)
        if new is None:
            action = "removed"
        elif old is None:
            action = "added"
        elif key != asked:
            action = "left"
        else:
            action = "kept" if old == new else "changed"
        header = new or old
        if header is not None:
            result.append(dict(goauth.describe(header)._asdict(), name=header.name, action=action))
    return result


def _diff(outcome: netrc.Outcome) -> t.List[t.Dict[str, t.Any]]:
    change = outcome.change
    result: t.List[t.Dict[str, t.Any]] = []
    headers = {"before_header": change.path, "after_header": change.path}
    if outcome.mode_before is not None and outcome.mode_before != change.mode:
        result.append(
            dict(headers, before={"mode": _mode(outcome.mode_before)}, after={"mode": _mode(change.mode)}),
        )
    if change.changed:
        before = goauth.shown(change.before)
        result.append(dict(headers, before=before, after=goauth.shown(change.after, change.before or b"")))
    return result


def _wanted(params: t.Mapping[str, t.Any], url: str) -> goauth.Header:
    """The header that is asked for; raises netrc.Refused."""
    login, name = params["login"] or "", params["header"] or ""
    if params["login"] is not None:
        goauth.check_login(login, params["token"] or "")
    if params["header"] is not None:
        goauth.check_name(name)
    if params["token"] is not None:
        goauth.check_token(params["token"], bool(login))
        return goauth.stored(url, params["token"], login, name)
    if params["token_file"] is not None:
        place = goauth.check_file(params["token_file"])
        return goauth.fetched(url, "file", [place], login, name)
    goauth.check_command(params["command"])
    return goauth.fetched(url, "run", params["command"], login, name)


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """The result of the module; raises netrc.Refused, configure.Impossible, atomic.NotWritten and records.BadLabel."""
    params = module.params
    present = params["state"] == "present"
    # Whatever is refused for holding credentials must not come back in an error or at high verbosity either.
    if params["login"] and netrc.is_token(params["login"], params["token"] or ""):
        module.no_log_values.add(params["login"])
    url = goauth.check_url(params["url"])
    header = _wanted(params, url) if present else None
    label = records.check_label(params["run"]) if params["run"] else records.new_label()
    target = goauth.target(configure.find_account(params["account"]), params["path"])

    def edit(data: t.Optional[bytes]) -> t.Optional[bytes]:
        if header is not None:
            return goauth.put(data, header, params["exclusive"])
        return goauth.drop(data, url, params["header"])

    outcome = netrc.write(target, edit, module.check_mode)
    change = outcome.change
    warnings: t.List[str] = []
    if change.changed and not module.check_mode:
        lost = records.record(label, [undo.of_credentials(kept.GOAUTH, change, target.account.uid, target.account.gid)])
        if lost:
            warnings.append("the edit cannot be taken back later, because %s" % lost)

    overridden: t.List[configure.Override] = []
    old: t.List[str] = []
    if header is not None:
        warnings += goauth.hints(url)
        problem = goauth.problem_of(target.account, header)
        if problem:
            warnings.append(problem)
        if params["read_back"]:
            overridden, notes, old = goauth.overrides(target, url, params["services"])
            warnings += notes + [goauth.override_text(target, item) for item in overridden]
            if old:
                warnings.append(
                    "%s know no GOAUTH, Go does since 1.24: give them credentials by netrc_entry" % ", ".join(old[:5])
                )
    for warning in warnings[:20]:
        module.warn(warning)

    created = list(change.created)
    if change.before is None and change.after is not None:
        created.append(change.real_path)
    # Not "path", for which Ansible adds facts about the file.
    result: t.Dict[str, t.Any] = {
        "changed": outcome.changed,
        "goauth_file": target.path,
        "goauth": goauth.setting(target.path),
        "account": target.account.name,
        "mode": _mode(change.mode),
        "mode_before": _mode(outcome.mode_before),
        "uid": change.uid,
        "created": created,
        "url": url,
        "headers": _headers(url, change, header.name.lower() if header is not None else None),
        "urls": list(dict.fromkeys(item.url for item in goauth.parse(change.after))),
        "old_toolchains": old,
        "overridden": [vars(item) for item in overridden],
    }
    if module._diff:
        result["diff"] = _diff(outcome)
    return result


def main() -> None:
    module = _Module(
        argument_spec={
            "url": {"type": "str", "required": True},
            "login": {"type": "str"},
            "header": {"type": "str"},
            "token": {"type": "str", "no_log": True, "aliases": ["password"]},
            "token_file": {"type": "path", "no_log": False},
            "command": {"type": "list", "elements": "str"},
            "exclusive": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "account": {"type": "str"},
            "path": {"type": "path"},
            "read_back": {"type": "bool", "default": True},
            "services": {"type": "list", "elements": "str", "default": []},
            "run": {"type": "str"},
        },
        required_if=[("state", "present", ["token", "token_file", "command"], True)],
        mutually_exclusive=[("token", "token_file", "command"), ("login", "header")],
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
