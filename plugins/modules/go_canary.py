#!/usr/bin/python
# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: go_canary
short_description: Build a small Go program with an account's own settings, and compare the artefact
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Runs C(go mod download), where a module is given, and C(go build) in a work space of its own that is removed
    afterwards, however the build ends.
  - Go runs as the account, with its own Go settings and caches, so that the toolchain, the module proxy and the caches
    are proven together. The account's E(GOFLAGS) is kept. The program is built with C(-trimpath), so that its SHA-256
    is the same wherever and whenever the same Go builds the same sources.
  - Reports no change; what it leaves is what every build leaves, which is entries in the caches and Go's own
    telemetry counters.
  - Where Go is missing, the module does not fail; it returns RV(applicable=false) with the reason.
extends_documentation_fragment:
  - gofleet.cache._attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode the toolchain and the settings are found, and nothing is built.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  account:
    description:
      - Name or numeric id of the account that builds. Only root can build as another account, and then does it with
        that account's rights and home, never with its own.
      - Without it, the account that runs the module. For that one, the task's C(environment) counts; for others, what
        C(/etc/environment) gives to every login does.
    type: str
    default: ''
  module:
    description:
      - A module that the program needs, as C(path@version) with an exact version.
      - Without it, the program uses the standard library only, and neither the module cache nor the proxy is needed.
    type: str
    default: ''
  package:
    description:
      - Import path of the package in O(module) that the program imports. By default the module's own path.
      - With an empty string, the module is downloaded and nothing of it is imported.
    type: str
  go:
    description:
      - Path of the C(go) command, or of the C(GOROOT), to build with.
      - By default the first one found that nobody but root and the account can replace.
    type: str
    default: ''
  switch_toolchain:
    description:
      - Whether the account's E(GOTOOLCHAIN) counts, so that Go may download and run another version.
      - By default E(GOTOOLCHAIN) is V(local).
    type: bool
    default: false
  expect_sha256:
    description:
      - SHA-256 of an earlier artefact, as this module returned it. The module fails if the program that is built now is
        another one.
      - Only runs with the same Go version, O(module), target platform and flags can be compared.
    type: str
    default: ''
  time_limit:
    description:
      - How long each of the two commands may take, such as V(90s) or V(5m). Then it is killed with all that it started.
    type: str
    default: 5m
  workspace:
    description:
      - Absolute path of a folder in which the work space is made. By default the system's folder for temporary files.
    type: str
    default: ''
seealso:
  - module: gofleet.cache.cache_verify
  - module: gofleet.cache.go_env_info
  - ref: ansible_collections.gofleet.cache.cache_verify_role
    description: A role that builds the canary before and after other work and compares.
"""

EXAMPLES = r"""
- name: Build the built-in canary as the CI account
  gofleet.cache.go_canary:
    account: gitlab-runner
  become: true
  register: canary_before

- name: Clean the caches
  gofleet.cache.cache_prune:
  become: true

- name: Build it again; it must be the same program
  gofleet.cache.go_canary:
    account: gitlab-runner
    expect_sha256: "{{ canary_before.sha256 }}"
  become: true
  when: canary_before.applicable

- name: Prove that the company proxy serves a private module
  gofleet.cache.go_canary:
    account: gitlab-runner
    module: git.example.com/platform/log@v1.4.2
    time_limit: 2m
  become: true
"""

RETURN = r"""
msg:
  description: One sentence about the result.
  returned: always
  type: str
  sample: built with go1.27.3 in 1.9 s, 61 of 61 packages from the cache
applicable:
  description: Whether a canary can be built here at all.
  returned: always
  type: bool
  sample: true
reason:
  description: Why not, where it cannot.
  returned: always
  type: str
  sample: no Go toolchain on this agent
built:
  description: Whether the program was built. V(false) in check mode.
  returned: always
  type: bool
  sample: true
sha256:
  description: SHA-256 of the program.
  returned: always
  type: str
  sample: cea65f64f654366623d07fab87e1c0ee97c4b6f2541481395bb8b4bc8596f38f
expected:
  description: What it was compared with.
  returned: always
  type: str
  sample: ''
size:
  description: Size of the program in bytes.
  returned: always
  type: int
  sample: 2392609
seconds:
  description: How long the two commands took.
  returned: always
  type: dict
  contains:
    download:
      description: Seconds of C(go mod download).
      type: float
      returned: always
    build:
      description: Seconds of C(go build).
      type: float
      returned: always
  sample: {"download": 0.046, "build": 1.89}
packages:
  description: How many packages the program consists of.
  returned: always
  type: int
  sample: 61
compiled:
  description: How many of them Go had to compile.
  returned: always
  type: int
  sample: 0
cached:
  description: How many came from the build cache.
  returned: always
  type: int
  sample: 61
account:
  description: The account that built.
  returned: always
  type: str
  sample: gitlab-runner
go:
  description: The C(go) command.
  returned: always
  type: str
  sample: /usr/local/go/bin/go
go_version:
  description: Its version.
  returned: always
  type: str
  sample: go1.27.3
module:
  description: The module that was asked for.
  returned: always
  type: str
  sample: git.example.com/platform/log@v1.4.2
settings:
  description: The settings that it was built with, credentials replaced by V(***).
  returned: always
  type: dict
  sample: {"GOPROXY": "https://***@goproxy.example.com", "GOCACHE": "/home/ci/.cache/go-build"}
command:
  description: The command that failed.
  returned: always
  type: str
  sample: ''
rc:
  description: Its exit status; -1000 where the time limit ended it.
  returned: always
  type: int
  sample: 0
stderr_tail:
  description: The end of what it said, credentials replaced by V(***).
  returned: always
  type: str
  sample: ''
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._core import units
from ansible_collections.gofleet.cache.plugins.module_utils._fs import system
from ansible_collections.gofleet.cache.plugins.module_utils._go import canary


def sentence(result: t.Mapping[str, t.Any]) -> str:
    """One sentence for people about a canary."""
    if not result["applicable"]:
        return "not applicable: %s" % result["reason"]
    if not result["built"]:
        return "would build with %s" % result["go_version"]
    text = "built with %s in %.1f s, %d of %d packages from the cache" % (
        result["go_version"],
        sum(result["seconds"].values()),
        result["cached"],
        result["packages"],
    )
    return text + ("; the same program as expected" if result["expected"] else "")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str", "default": ""},
            "module": {"type": "str", "default": ""},
            "package": {"type": "str"},
            "go": {"type": "str", "default": ""},
            "switch_toolchain": {"type": "bool", "default": False},
            "expect_sha256": {"type": "str", "default": ""},
            "time_limit": {"type": "str", "default": "5m"},
            "workspace": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    problem = system.unsupported()
    if problem:
        module.fail_json(msg=problem)
    given = module.params
    request = canary.Request(
        given["account"],
        given["module"],
        given["package"],
        given["go"],
        given["switch_toolchain"],
        given["expect_sha256"],
        workspace=given["workspace"],
    )
    try:
        request = request._replace(time_limit=float(units.age(given["time_limit"], "time_limit")))
        result = canary.run(request, module.check_mode)
    except (units.BadPolicy, canary.Impossible) as exc:
        module.fail_json(msg=str(exc), **canary.nothing(request))
    except canary.Failed as exc:
        module.fail_json(msg=str(exc), **exc.result)
    module.exit_json(msg=sentence(result), **result)


if __name__ == "__main__":
    main()
