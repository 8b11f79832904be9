#!/usr/bin/python
# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: go_proxy_info
short_description: The module proxies of an agent, asked as the go command asks them
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - Walks a E(GOPROXY) chain from the agent as C(go) does, with the settings, credentials and rights of an account, and
    says what each proxy answers and what Go makes of it. After V(,) Go goes on on 404 and 410 only, after V(|) on any
    error; V(direct) and V(off) end the chain; modules that E(GONOPROXY) matches go around it.
  - Needs no Go on the agent. Stores nothing there, and with O(cached_only) asks proxies for nothing that they would
    have to fetch, as far as they can be told so.
  - Every run is bounded by O(time_limit), O(max_requests) and O(max_bytes). What was not asked because of that is said.
  - Passwords and tokens are never returned, neither are they where a server sends them back.
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
  account:
    description:
      - Name or numeric id of the account whose settings, C(.netrc) and rights count. Default is the one that runs the
        module.
      - For the account that runs the module, forward proxies, certificate roots and the SSH agent in the environment of
        the task count as well.
    type: str
  service:
    description:
      - A CI runner's service, whose jobs' settings, environment, account and rights count instead, such as
        V(gitlab-runner). The name of a systemd unit, or what M(gofleet.cache.go_env_info) calls a runner that it finds
        running.
      - Its process' environment counts; where it does not run, what its unit gives it at its next start. Where it
        starts jobs as another user, as C(gitlab-runner --user) does, that user's login counts.
      - Jobs in containers have an environment of their own, which is not looked at.
    type: str
  goproxy:
    description:
      - The E(GOPROXY) value to examine instead of the account's own.
      - It must not hold credentials; these belong into C(.netrc) or E(GOAUTH).
    type: str
  environment:
    description:
      - Variables of the process that is examined, such as a service's or a CI job's. They win over everything else, as
        the process environment does for Go.
      - Counted are Go's own variables, E(HTTPS_PROXY), E(HTTP_PROXY), E(NO_PROXY), E(SSL_CERT_FILE), E(SSL_CERT_DIR),
        E(NETRC) and E(HOME).
    type: dict
    default: {}
  canaries:
    description:
      - Modules as V(path@version) that the proxies are expected to have. The first is asked for all its files.
      - The first one with a capital letter shows whether these are escaped properly. Pseudo-versions,
        C(+incompatible) versions and major versions such as C(/v2) show it for these.
    type: list
    elements: str
    default:
      - golang.org/x/text@v0.3.0
      - github.com/BurntSushi/toml@v1.3.2
  explain:
    description:
      - Modules as V(path@version) or V(path@latest) whose way through the chain is told step by step.
    type: list
    elements: str
    default: []
  candidates:
    description:
      - URLs of proxies that are not in the chain, or not yet, and are checked like its elements. What is wrong with
        them is no finding.
      - They must not hold credentials.
    type: list
    elements: str
    default: []
  direct:
    description:
      - Whether the repositories of modules that go V(direct) are asked whether they let the account in, and their tags
        compared with what proxies list. A page is read that names the repository, and its references, with the
        credential that Git would use. Nothing is cloned.
      - Over SSH C(git ls-remote) is run with the account's rights. It asks nobody for anything and makes no host known.
      - Git's credential helpers are named, never run.
      - Without it only settings and files are looked at.
    type: bool
    default: false
  go_sum:
    description:
      - Path of a C(go.sum) on the agent. It is told who serves each of its lines.
      - Checksums in it are trusted by O(explain) as Go trusts them.
    type: path
  zip:
    description:
      - Whether zips are downloaded as well, to compare their hash. Without it only the small files are asked for, and
        RV(explain[].verdict) holds for these.
      - A zip is held in memory, above 8 MiB in a temporary file that is gone when the module ends.
    type: bool
    default: false
  cached_only:
    description:
      - Whether proxies are asked only for what they have already. goproxy and goproxy.cn are told so by the header
        C(Disable-Module-Fetch), proxy.golang.org by its endpoint for it. Athens, which can not be told, is recognised
        and not asked for files of versions.
      - Other servers, such as Artifactory and Nexus, fetch a version's C(.info) and C(.mod) when they are asked.
      - With V(false) requests are those of a build, and proxies fetch and store what they do not have.
    type: bool
    default: true
  ask_goauth:
    description:
      - Whether the commands in the account's E(GOAUTH) are run, with the account's rights, to learn its credentials.
      - Without it, refusals by proxies for which they could have given a credential are told as V(unknown).
      - The method V(git) is never run.
    type: bool
    default: false
  wrong_login:
    description:
      - Whether a proxy that takes the account's credential is also tried once with a login that nobody has, to see
        whether it looks at all. What it answers without one is asked in any case.
      - Some servers lock out addresses from which such logins come.
    type: bool
    default: false
  samples:
    description: How often one small file of each proxy is asked for to measure its latency, between 0 and 100.
    type: int
    default: 20
  time_limit:
    description: How long the whole examination may take, such as V(60s) or V(5m).
    type: str
    default: 60s
  request_timeout:
    description: How long one request may take. Go itself waits without limit.
    type: str
    default: 10s
  max_requests:
    description: How many requests may be made in all.
    type: int
    default: 300
  max_bytes:
    description: How many bytes may be received in all, such as V(128MiB).
    type: str
    default: 128MiB
notes:
  - "Differences to the go command: HTTP/1.1 only; a 4xx over https is not asked twice; the checksum database's tree
    head is compared with the one that the account saw last by size only; of repositories behind V(direct) only those
    of Git are tried, and nothing is fetched from them."
seealso:
  - module: gofleet.cache.go_env_info
  - module: gofleet.cache.go_env
  - name: Module proxies
    description: The GOPROXY protocol.
    link: https://go.dev/ref/mod#module-proxy
"""

EXAMPLES = r"""
- name: See how the CI account's module proxies do
  gofleet.cache.go_proxy_info:
    account: gitlab-runner
  become: true
  register: proxies

- name: Show it in one line
  ansible.builtin.debug:
    var: proxies.summary

- name: Try a chain before it is configured
  gofleet.cache.go_proxy_info:
    goproxy: https://goproxy.example.com,https://proxy.golang.org,direct
    canaries:
      - example.com/platform/Logging@v1.4.0
  register: proxies
  failed_when: not proxies.healthy

- name: Ask why a module cannot be fetched
  gofleet.cache.go_proxy_info:
    account: jenkins
    explain:
      - git.example.com/team/lib@v1.2.0
    zip: true
    cached_only: false
  become: true
  register: proxies

- name: Ask what the jobs of a runner would reach, a private repository included
  gofleet.cache.go_proxy_info:
    service: gitlab-runner
    explain:
      - git.example.com/team/lib@v1.2.0
    direct: true
  become: true

- name: Compare proxies before one is chosen
  gofleet.cache.go_proxy_info:
    candidates:
      - https://goproxy.cn
      - https://goproxy.io
      - https://proxy.golang.org
    samples: 50

- name: Is everything that a project needs in the proxy of the closed network
  gofleet.cache.go_proxy_info:
    goproxy: https://goproxy.example.com,off
    go_sum: /srv/ci/project/go.sum
    time_limit: 10m
    max_requests: 5000
  register: proxies
  failed_when: proxies.go_sum.served < proxies.go_sum.lines

- name: Examine what a service with a forward proxy sees
  gofleet.cache.go_proxy_info:
    account: ci
    environment:
      HTTPS_PROXY: http://forward.example.com:3128
      NO_PROXY: .example.com
  become: true
"""

RETURN = r"""
goproxy:
  description: The chain as it was walked, without what Go never reaches.
  returned: always
  type: str
  sample: https://goproxy.example.com,direct
settings:
  description:
    - The variables that decided, with their origin. Values are masked.
    - E(HTTPS_PROXY), E(NO_PROXY), E(SSL_CERT_FILE) and the like are among them where they are set.
  returned: always
  type: dict
  sample:
    GOPROXY: {"value": "https://goproxy.example.com,direct", "where": "env-file: /home/ci/.config/go/env:2"}
chain:
  description: The elements of the chain, in its order.
  returned: always
  type: list
  elements: dict
  contains:
    number:
      description: Place in the chain, from 1.
      type: int
      returned: always
    element:
      description: Its URL without credentials, V(direct) or V(off).
      type: str
      returned: always
    kind:
      description: V(http), V(file), V(direct) or V(off).
      type: str
      returned: always
    goes_on_after:
      description: After which answers Go asks the next element, V(404 and 410) or V(any error).
      type: str
      returned: always
    server:
      description: What it was recognised as, V(athens), V(artifactory), V(nexus), V(proxy.golang.org), or empty.
      type: str
      returned: always
    status:
      description: The worst of its checks, V(ok), V(warn), V(fail), or V(skip) where it was not asked.
      type: str
      returned: always
    checks:
      description: >-
        The checks C(dns), C(tcp), C(tls), C(info), C(list), C(list_refused) (a version is served, but its list is not),
        C(mod), C(zip), C(capitals), C(canaries) (how many of them it has), C(missing_version), C(missing_module),
        C(sumdb), C(auth), C(latency), C(redirects), C(clock) and, where others list the canaries too, C(freshness).
      type: list
      elements: dict
      returned: always
      contains:
        name:
          description: Its name.
          type: str
          returned: always
        status:
          description: V(ok), V(warn), V(fail) or V(skip).
          type: str
          returned: always
        text:
          description: One sentence.
          type: str
          returned: always
        value:
          description: >-
            What was measured. Addresses, HTTP status, versions, days left, percentiles in milliseconds (those on new
            connections in C(cold)), bytes and megabytes per second of a zip, seconds of clock skew, seconds that a
            token is still good, or V(null).
          type: raw
          returned: always
        ms:
          description: Milliseconds that the proxy took, or V(null).
          type: float
          returned: always
  sample:
    - number: 1
      element: https://goproxy.example.com
      kind: http
      goes_on_after: 404 and 410
      server: athens
      status: warn
      checks:
        - name: tls
          status: warn
          text: "TLSv1.3, 9 days left, issued by Example CA: renew the certificate"
          value: {"version": "TLSv1.3", "issuer": "Example CA", "days_left": 9, "intercepted": false}
          ms: 8.1
candidates:
  description: As RV(chain), for O(candidates), without C(number) and C(goes_on_after).
  returned: always
  type: list
  elements: dict
  sample:
    - element: https://proxy.golang.org
      kind: http
      server: proxy.golang.org
      status: ok
      checks:
        - {"name": "clock", "status": "ok", "text": "clocks agree", "value": 0, "ms": null}
freshness:
  description: Who lists what of each canary's module. Modules that fewer than two list are left out.
  returned: always
  type: list
  elements: dict
  contains:
    module:
      description: Path of the module.
      type: str
      returned: always
    newest:
      description: The newest version that anybody lists.
      type: str
      returned: always
    time:
      description: When it was made, from C(.info), or empty.
      type: str
      returned: always
    elements:
      description: >-
        Who lists it, V(direct) for the repository itself (see O(direct)). C(element), C(newest) and its C(time),
        C(latest) as C(@latest) says, whether that is C(latest_behind) what others say there, and
        C(latest_lag_seconds), how many C(versions), how many are C(missing) that others list, the newest ten of
        them in C(missing_versions), whether it is C(behind), and C(lag_seconds) between its newest version and the
        newest of all, V(null) where a time is not known.
      type: list
      elements: dict
      returned: always
  sample:
    - module: golang.org/x/text
      newest: v0.30.0
      time: "2025-10-08T14:17:04Z"
      elements:
        - {"element": "https://goproxy.example.com", "newest": "v0.29.0", "time": "2025-09-05T15:52:45Z",
           "latest": "v0.29.0", "latest_behind": true, "latest_lag_seconds": 2845459, "versions": 43, "missing": 1,
           "missing_versions": ["v0.30.0"], "behind": true, "lag_seconds": 2845459}
explain:
  description: The way of each module in O(explain).
  returned: always
  type: list
  elements: dict
  contains:
    module:
      description: As in O(explain).
      type: str
      returned: always
    verdict:
      description: >-
        V(served), V(fails), V(hangs) where there is no complete answer within O(request_timeout), for which Go waits
        without limit whatever follows in the chain, V(direct) where Go would go to the module's own repository, or
        V(unknown) where it depends on something that was not asked.
      type: str
      returned: always
    text:
      description: Who serves it, or why it fails.
      type: str
      returned: always
    private:
      description: Whether E(GONOPROXY) matches.
      type: bool
      returned: always
    served_by:
      description: The elements that answered.
      type: list
      elements: str
      returned: always
    origin:
      description: >-
        For V(direct), where Go goes, else V(null). C(repository), C(vcs), C(root) and C(folder) of the module in it,
        and C(found_by), what names it. C(govcs), why E(GOVCS) forbids it. C(url) after Git's C(insteadOf),
        C(rewritten_by) that rule, the C(protocol), and whether E(GOINSECURE) holds (C(insecure)). The C(credential)
        that Git sends or would ask for, C(token_seconds_left) where it is a token that tells. C(client_certificate),
        the one that Git presents, with its C(path), C(days_left) and C(text), else V(null). C(ssh), the host, port,
        user and keys that SSH would use, whether the host is known, the agent, and C(problems). C(accepted), V(true),
        V(false), or V(null) where nobody was asked; C(status), C(ms), C(tls), C(text) and C(notes).
      type: dict
      returned: always
    steps:
      description: >-
        The requests in Go's order. C(step), C(element), C(status), C(ms), C(text), C(goes_on) (whether Go asks the next
        element), C(setting) (what chose it), C(credential) (its source, or why there is none), C(forward) (the forward
        proxy).
      type: list
      elements: dict
      returned: always
  sample:
    - module: git.example.com/team/lib@v1.2.0
      verdict: fails
      text: "info: 403 Forbidden"
      private: false
      served_by: []
      origin: null
      steps:
        - step: info
          element: https://goproxy.example.com
          status: 403
          ms: 12.5
          text: 403 Forbidden
          goes_on: false
          setting: "env-file: /home/ci/.config/go/env:2"
          credential: netrc entry for goproxy.example.com
          forward: ""
sumdb:
  description: >-
    The checksum database. C(name); C(by), the element that passes it on or its own address; C(status), V(ok), V(fail),
    V(warn) where its tree is smaller than the one that the account has seen, or V(skip) where it is off or not asked;
    C(text).
  returned: always
  type: dict
  sample: {"name": "sum.golang.org", "by": "https://goproxy.example.com", "status": "ok",
           "text": "a signed tree of 47411832 records"}
go_sum:
  description: >-
    How complete the chain is for O(go_sum), or V(null). C(lines), and of these C(served), C(direct), C(missing),
    C(mismatched) and C(unknown); C(by), how many each element serves; the first C(missing_lines) and
    C(mismatched_lines). Without O(zip) the lines for zips are looked up by their C(.info).
  returned: always
  type: dict
  sample: {"path": "/srv/ci/project/go.sum", "lines": 84, "served": 84, "direct": 0, "missing": 0, "mismatched": 0,
           "unknown": 0, "by": {"https://goproxy.example.com": 84}, "missing_lines": [], "mismatched_lines": []}
findings:
  description: What is wrong, the gravest first.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: A name that stays the same.
      type: str
      returned: always
    severity:
      description: V(error) where builds fail or private names leave the company, V(warning) or V(info).
      type: str
      returned: always
    where:
      description: The element, module, file or setting.
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
    - code: proxy-missing-version
      severity: error
      where: https://goproxy.example.com
      text: "a version that nobody has: 403 Forbidden instead of 404 or 410: Go does not go on to the next proxy"
      hint: The proxy must answer 404 or 410, or be followed by | in GOPROXY
healthy:
  description: Whether no finding is an error.
  returned: always
  type: bool
  sample: true
counts:
  description: How many checks of all elements are V(ok), V(warn), V(fail) and V(skip).
  returned: always
  type: dict
  sample: {"ok": 14, "warn": 1, "fail": 0, "skip": 2}
used:
  description: Seconds, requests and bytes that the examination took.
  returned: always
  type: dict
  sample: {"seconds": 1.9, "requests": 21, "bytes": 40812}
summary:
  description: One line for people.
  returned: always
  type: str
  sample: "https://goproxy.example.com: warn (tls); then direct"
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._core import units
from ansible_collections.gofleet.cache.plugins.module_utils._fs import system
from ansible_collections.gofleet.cache.plugins.module_utils._go import lint
from ansible_collections.gofleet.cache.plugins.module_utils._go.mask import MaskedErrors, secrets
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import doctor, settings


class _Module(MaskedErrors, AnsibleModule):  # type: ignore[misc]
    """AnsibleModule, with errors that hold no credentials."""


def build(params: dict[str, t.Any], found: settings.Settings) -> doctor.Request:
    """The request for these options; raises ValueError with the option's name and value."""
    goproxy = params["goproxy"] if params["goproxy"] is not None else found.values.get("GOPROXY", "")
    wheres = dict(found.wheres)
    problems = found.problems
    if params["goproxy"] is not None:
        if not goproxy.strip():
            raise ValueError("goproxy: the value is empty; leave the option out for the account's own value")
        if doctor.secrets_of(goproxy, {}):
            raise ValueError("goproxy: the value holds credentials; put them into .netrc or GOAUTH and leave them out")
        wheres["GOPROXY"] = "option goproxy"
        problems = [problem for problem in problems if problem.variable != "GOPROXY"]
        problems += lint.check_goproxy(goproxy, found.values, "option goproxy")
    for option in ("canaries", "explain"):
        for text in params[option]:
            try:
                version = doctor.label(text)[1]
            except ValueError as error:
                raise ValueError("%s: %s" % (option, error)) from None
            if option == "canaries" and version == "latest":
                raise ValueError("canaries: %r needs a version, not latest" % text)
    for url in params["candidates"]:
        if doctor.secrets_of(url, {}):
            raise ValueError("candidates: one holds credentials; put them into .netrc or GOAUTH and leave them out")
        problem = doctor.candidate_problem(url)
        if problem:
            raise ValueError("candidates: %r: %s" % (url, problem))
    if not params["canaries"]:
        raise ValueError("canaries: the list is empty; name a module version that the proxies have")
    if not 0 <= params["samples"] <= 100:
        raise ValueError("samples: %d is not between 0 and 100" % params["samples"])
    if params["max_requests"] < 1:
        raise ValueError("max_requests: %d is not a positive number" % params["max_requests"])
    limits = {}
    for option, read in (("time_limit", units.age), ("request_timeout", units.age), ("max_bytes", units.size)):
        limits[option] = read(params[option], option)
        if limits[option] <= 0:
            raise ValueError("%s: %r is not more than nothing" % (option, params[option]))
    return doctor.Request(
        goproxy=goproxy,
        settings=found.values,
        wheres=wheres,
        environ=found.environ,
        canaries=params["canaries"],
        modules=params["explain"],
        candidates=params["candidates"],
        direct=params["direct"],
        go_sum=params["go_sum"] or "",
        zip=params["zip"],
        cached_only=params["cached_only"],
        ask_goauth=params["ask_goauth"],
        sumdb=found.sumdb,
        wrong_login=params["wrong_login"],
        samples=params["samples"],
        max_requests=params["max_requests"],
        problems=problems,
        **limits,
    )


def main() -> None:
    module = _Module(
        argument_spec={
            "account": {"type": "str"},
            "service": {"type": "str"},
            "goproxy": {"type": "str"},
            "environment": {"type": "dict", "default": {}},
            "canaries": {
                "type": "list",
                "elements": "str",
                "default": ["golang.org/x/text@v0.3.0", "github.com/BurntSushi/toml@v1.3.2"],
            },
            "explain": {"type": "list", "elements": "str", "default": []},
            "candidates": {"type": "list", "elements": "str", "default": []},
            "direct": {"type": "bool", "default": False},
            "go_sum": {"type": "path"},
            "zip": {"type": "bool", "default": False},
            "cached_only": {"type": "bool", "default": True},
            "ask_goauth": {"type": "bool", "default": False},
            "wrong_login": {"type": "bool", "default": False},
            "samples": {"type": "int", "default": 20},
            "time_limit": {"type": "str", "default": "60s"},
            "request_timeout": {"type": "str", "default": "10s"},
            "max_requests": {"type": "int", "default": 300},
            "max_bytes": {"type": "str", "default": "128MiB"},
        },
        mutually_exclusive=[("account", "service")],
        supports_check_mode=True,
    )
    problem = system.unsupported()
    if problem:
        module.fail_json(msg=problem)
    params = module.params
    environment = {str(name): str(value) for name, value in (params["environment"] or {}).items()}
    # Whatever is refused for holding credentials must not come back in an error or at high verbosity either.
    for goproxy in [params["goproxy"] or "", environment.get("GOPROXY", ""), *params["candidates"]]:
        module.no_log_values.update(secrets(dict(environment, GOPROXY=goproxy)))
        module.no_log_values.update(doctor.secrets_of(goproxy, environment))
    try:
        if params["service"]:
            found = settings.of_service(params["service"], environment)
        else:
            found = settings.of_account(params["account"] or "", environment)
        request = build(params, found)
        result = doctor.examine_as(found.account, request)
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
