#!/usr/bin/python

# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: job_env
short_description: Variables in the places from which CI jobs really get their environment
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - A CI job reads an account's Go env file only where it runs on the host as that account, and the environment of the
    runner's service only where it is a child of it. Jobs in containers read neither. This module writes variables where
    the jobs of each runner get them from, in the grammar of that place, and tells which jobs no place reaches.
  - Only the lines of the named variables are changed; comments, order, everything else, mode and owner stay. What
    cannot be understood is not rewritten. All places are tried before the first one is written.
  - Afterwards it puts together the environment that a job gets there, starts a short process with just this
    environment and the account's rights, and compares what Go sees with what was asked for.
  - Without O(settings) and O(absent) nothing is changed, and the places are reported with what they give.
  - Nothing is restarted. RV(daemon_reload) and RV(restart_services) say what has to be.
extends_documentation_fragment:
  - gofleet.cache._attributes
attributes:
  check_mode:
    support: full
    details:
      - Planned files are not run; RV(proven) then comes from reading them.
  diff_mode:
    support: full
    details:
      - Shows the variables that were named, not the rest of the files. Credentials in URLs are shown as V(***).
  idempotent:
    support: full
    details:
      - A file that needs no change is not touched; its modification time stays.
options:
  settings:
    description:
      - The variables to set, by name. Besides those of M(gofleet.cache.go_env) these may be variables that only a
        process environment can hold, such as E(GOENV), E(GODEBUG), E(NETRC), E(SSL_CERT_FILE), E(GIT_SSH_COMMAND),
        E(HTTP_PROXY), E(HTTPS_PROXY), E(NO_PROXY) and E(ALL_PROXY).
      - The proxy variables are set in capital and in small letters, since Go reads both, and curl and Git do not. What
        Go would not understand in them, such as V(10.0.0.*) in E(NO_PROXY), is refused with the right line.
      - Lists are joined as the variable wants it. URLs with login data are refused.
    type: dict
    default: {}
  absent:
    description:
      - Names of variables that are removed; the proxy variables in both spellings.
      - A file that this module made and that gives nothing any more is removed, too.
    type: list
    elements: str
    default: []
  kinds:
    description:
      - Which kinds of places are meant.
      - V(auto) is the configuration of every CI runner that is found on the host, and a drop-in for the service of
        those that have none which the module knows.
      - V(systemd) is a drop-in C(50-gofleet-go.conf) of the services of CI runners, or of those in O(names).
      - V(environment_d) is C(/etc/environment.d), for the user managers of systemd.
      - V(profile_d) is a script in C(/etc/profile.d), for login shells.
      - V(plain) is a file of C(NAME=value) or C(export NAME='value') lines that images or scripts read; it is named by
        O(paths). Its own style is kept. A new one gets C(export) lines.
      - V(gitlab) is C(environment) in C(config.toml) of GitLab Runner, V(github) and V(azure) are the file C(.env) of
        the runner or agent, V(buildkite) is the hook C(environment). These are found, or named by O(paths).
      - V(jenkins) are the variables of nodes, through the controller at O(url); O(names) are the nodes. Without O(url)
        they are the C(config.xml) files of a controller on the host, which it has to load again, and may write over.
    type: list
    elements: str
    choices: [auto, systemd, environment_d, profile_d, plain, gitlab, github, azure, buildkite, jenkins]
    default: [auto]
  paths:
    description:
      - These files instead of those that are found. Takes exactly one kind in O(kinds), and not V(auto).
      - Needed for V(plain).
    type: list
    elements: path
    default: []
  names:
    description:
      - Only these runners, services or nodes.
    type: list
    elements: str
    default: []
  account:
    description:
      - Name or uid of the account whose jobs are meant, where the place itself does not tell, that is for V(plain),
        V(profile_d) and V(environment_d). A file of kind V(plain) is written with its rights. Another account
        than one's own needs root.
      - The default is the connected user, with C(become) the user that one becomes.
    type: str
  url:
    description:
      - Address of the Jenkins controller, with the kind V(jenkins) alone. An address of another host needs https, and
        its certificate is always checked.
    type: str
  username:
    description:
      - User of the Jenkins controller, with the right to configure nodes.
    type: str
  token:
    description:
      - API token of this user.
    type: str
  ca_path:
    description:
      - File with the certificates that are trusted for the Jenkins controller, instead of the system's.
    type: path
  read_back:
    description:
      - Whether to find out what jobs see afterwards, for RV(proven).
    type: bool
    default: true
  goroots:
    description:
      - Further Go toolchains that may be asked.
    type: list
    elements: path
    default: []
  if_none:
    description:
      - What to do where settings are asked for and no place was found to write them to.
    type: str
    choices: [fail, ignore]
    default: fail
  run:
    description:
      - A label for the edits, as M(gofleet.cache.settings_undo) takes it. Edits with one label are taken back together.
      - The default is a new label for each call. What is kept are the variables before and after, without credentials.
    type: str
  time_limit:
    description:
      - How long all may take together, such as V(90s) or V(10m). It is looked at before each place, so that no file is
        left half written. Nothing is written where the time is over before all places were tried; else the places that
        were written are in the error.
      - Of one C(config.toml) no more than 500 runners are looked at.
    type: str
    default: 5m
  strict:
    description:
      - Whether to refuse variables and flags that this version of the collection does not know. With V(false) these
        only cause a warning. What is certainly wrong is always refused.
    type: bool
    default: true
seealso:
  - module: gofleet.cache.settings_undo
  - module: gofleet.cache.go_env
  - module: gofleet.cache.netrc_entry
"""

EXAMPLES = r"""
- name: Send the jobs of all runners on the host through the company's proxy
  gofleet.cache.job_env:
    settings:
      GOPROXY: [https://goproxy.example.com, direct]
      GOPRIVATE: git.example.com/*
  become: true
  register: job_env

- name: Start again what has to be, for it to count
  ansible.builtin.systemd_service:
    name: "{{ item }}"
    state: restarted
    daemon_reload: "{{ job_env.daemon_reload }}"
  loop: "{{ job_env.restart_services }}"
  become: true

- name: A forward proxy for the runner's own process and its jobs on the host
  gofleet.cache.job_env:
    kinds: [systemd]
    names: [gitlab-runner]
    settings:
      HTTPS_PROXY: http://proxy.example.com:3128
      NO_PROXY: [.example.com, example.com, 10.0.0.0/8]
  become: true

- name: A file that the build images source
  gofleet.cache.job_env:
    kinds: [plain]
    paths: [/srv/ci/images/go-env.sh]
    settings:
      GOFLAGS: [-mod=readonly, -modcacherw]
    absent: [GOSUMDB]
  become: true

- name: Variables of a Jenkins node
  gofleet.cache.job_env:
    kinds: [jenkins]
    names: [linux-1]
    url: https://jenkins.example.com/
    username: ansible
    token: "{{ jenkins_token }}"
    settings:
      GOPROXY: https://goproxy.example.com
  delegate_to: localhost

- name: Which jobs get what from where, without changing anything
  gofleet.cache.job_env:
  become: true
"""

RETURN = r"""
places:
  description: Each place that was found.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: As in O(kinds).
      type: str
      sample: gitlab
    path:
      description: The file, or the address of the document.
      type: str
      sample: /etc/gitlab-runner/config.toml
    part:
      description: The part of it that is meant; empty where that is all of it.
      type: str
      sample: docker-1
    reaches:
      description: Whose processes get it.
      type: str
      sample: jobs of the runner docker-1
    where_jobs_run:
      description: V(host), V(container), V(elsewhere), or empty where that is not known.
      type: str
      sample: container
    changed:
      description: Whether it was changed, in check mode would be.
      type: bool
      sample: true
    before:
      description:
        - The named variables before, null for those that were not set; credentials masked.
        - Where none was named, all that Go reads and that are set.
      type: dict
      sample: {GOPROXY: null}
    after:
      description: The same afterwards.
      type: dict
      sample: {GOPROXY: "https://goproxy.example.com,direct"}
    created:
      description: The folders and the file that were made.
      type: list
      elements: str
      sample: []
    then:
      description: What has to happen before a change counts; empty where nothing has to.
      type: str
      sample: ""
    service:
      description: The service that has to be started again for it, or empty.
      type: str
      sample: gitlab-runner.service
not_reached:
  description: Jobs that no place found here gives a variable, and files that could not be read.
  returned: always
  type: list
  elements: dict
  contains:
    who:
      description: Whose jobs.
      type: str
      sample: jobs of gitlab-runner.service
    why:
      description: Why.
      type: str
      sample: all its jobs run in containers, which get nothing of the service's environment
    advice:
      description: What to do instead.
      type: str
      sample: Use the runner's own kind.
proven:
  description: What jobs of each place see; empty with O(read_back=false) and where no variable was named.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: As in RV(places).
      type: str
      sample: systemd
    path:
      description: As in RV(places).
      type: str
      sample: /etc/systemd/system/gitlab-runner.service.d/50-gofleet-go.conf
    part:
      description: As in RV(places).
      type: str
      sample: ""
    account:
      description: The account of these jobs; empty where it is none of this host.
      type: str
      sample: gitlab-runner
    by:
      description:
        - V(go) where a go command was asked, V(evaluator) where the module worked out what Go would say, V(environment)
          where only the environment was looked at.
      type: str
      sample: go
    go:
      description: The go command, or empty.
      type: str
      sample: /usr/local/go/bin/go
    ok:
      description: Whether all variables are seen as wanted.
      type: bool
      sample: true
    pending:
      description: Variables that the running service gets with its next start only.
      type: list
      elements: str
      sample: [GOPROXY]
    note:
      description: What is not known, or could not be looked at.
      type: str
      sample: ""
    variables:
      description: Each variable, with RV(ignore:name), RV(ignore:wanted), RV(ignore:seen), RV(ignore:ok) and
        RV(ignore:where), that is what sets it.
      type: list
      elements: dict
      sample:
        - name: GOPROXY
          wanted: https://goproxy.example.com
          seen: https://goproxy.example.com
          ok: true
          where: /etc/systemd/system/gitlab-runner.service.d/50-gofleet-go.conf
daemon_reload:
  description: Whether systemd has to read its files again.
  returned: always
  type: bool
  sample: true
restart_services:
  description:
    - Services that have to be started again, because a place of theirs changed, or because their process has other
      values yet.
  returned: always
  type: list
  elements: str
  sample: [gitlab-runner.service]
summary:
  description: One sentence.
  returned: always
  type: str
  sample: 2 places, 1 changed; 1 group of jobs not reached; 4 of 4 variables proven
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gofleet.cache.plugins.module_utils._core import units
from ansible_collections.gofleet.cache.plugins.module_utils._fs import system
from ansible_collections.gofleet.cache.plugins.module_utils._go import configure
from ansible_collections.gofleet.cache.plugins.module_utils._go.mask import MaskedErrors, secrets
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import base, engine, jenkins, prove
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv.kinds import KINDS
from ansible_collections.gofleet.cache.plugins.module_utils._journal import settings as records

MAX_WARNINGS = 20


class _Module(MaskedErrors, AnsibleModule):  # type: ignore[misc]
    """AnsibleModule, with errors that hold no credentials."""


def _named(values: t.Mapping[str, str], changes: t.Mapping[str, t.Optional[str]]) -> t.Dict[str, t.Optional[str]]:
    if not changes:
        return {name: engine.shown(name, values[name]) for name in sorted(values) if name in engine.SHOWN}
    return {name: engine.shown(name, values[name]) if name in values else None for name in sorted(changes)}


def _place(edited: engine.Edited, changes: t.Mapping[str, t.Optional[str]]) -> t.Dict[str, t.Any]:
    place = edited.place
    return {
        "kind": place.kind,
        "path": place.path,
        "part": place.part,
        "reaches": place.reaches,
        "where_jobs_run": place.where_jobs_run,
        "changed": edited.changed,
        "before": _named(engine.values(place, edited.before), changes),
        "after": _named(engine.values(place, edited.after), changes),
        "created": list(edited.created),
        "then": place.then,
        "service": place.service,
    }


def _diff(shown: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    def text(values: t.Mapping[str, t.Optional[str]]) -> str:
        return "".join("%s=%s\n" % (name, value) for name, value in values.items() if value is not None)

    header = "%s (%s)" % (shown["path"], shown["part"]) if shown["part"] else shown["path"]
    return {
        "before_header": header,
        "after_header": header,
        "before": text(shown["before"]),
        "after": text(shown["after"]),
    }


def _proof(proof: prove.Proof) -> t.Dict[str, t.Any]:
    return {
        "kind": proof.place.kind,
        "path": proof.place.path,
        "part": proof.place.part,
        "account": proof.account,
        "by": proof.by,
        "go": proof.go,
        "ok": proof.ok,
        "pending": list(proof.pending),
        "note": proof.note,
        "variables": [variable._asdict() for variable in proof.variables],
    }


def _strangers(
    kinds: t.Sequence[str], paths: t.Tuple[str, ...], names: t.Tuple[str, ...], found: base.Found
) -> t.Iterator[base.NotReached]:
    """The names that stand for no place, such as misspelt ones."""
    for name in names:
        if any(name in (place.part, place.service) or name + ".service" == place.service for place in found.places):
            continue
        if any(name in item.who for item in found.not_reached):
            continue
        if not engine.find(kinds, base.Request(paths, (name,))).places:
            there = sorted(
                {place.part or place.service for place in engine.find(kinds, base.Request(paths)).places} - {""}
            )
            why = "nothing of this name was found%s" % ("; there are " + ", ".join(there) if there else "")
            yield base.NotReached("jobs of %s" % name, why, "check the spelling in names")


def _found(module: AnsibleModule, account: str, login: t.Optional[jenkins.Login]) -> base.Found:
    params = module.params
    kinds: t.List[str] = params["kinds"]
    paths = tuple(params["paths"])
    if paths and (len(kinds) != 1 or kinds[0] == engine.AUTO):
        module.fail_json(msg="paths needs exactly one kind that is not 'auto', for the files to be understood")
    if "plain" in kinds and not paths:
        module.fail_json(msg="the kind 'plain' needs paths: nothing on a host tells which file your images read")
    names = tuple(params["names"])
    found = engine.find([kind for kind in kinds if kind != "jenkins" or login is None], base.Request(paths, names))
    if login is None:
        found.not_reached.extend(_strangers(kinds, paths, names, found))
    else:
        nodes = jenkins.remote(login, names)
        found = base.Found(
            found.places + nodes.places, found.not_reached + nodes.not_reached, found.problems + nodes.problems
        )
    if account:
        places = [place._replace(owner=account) if place.kind == "plain" else place for place in found.places]
        found = found._replace(places=places)
    return found


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """The result of the module; raises configure.Impossible, engine.Failed and units.BadPolicy, and fails on faults."""
    params = module.params
    given = params["settings"] or {}
    # Whatever is refused for holding credentials must not come back in an error or at high verbosity either.
    module.no_log_values.update(secrets(given))
    label = records.check_label(params["run"]) if params["run"] else records.new_label()
    changes, faults, remarks = engine.prepare(given, params["absent"])
    fatal = [fault for fault in faults if fault.certain or params["strict"]]
    if fatal:
        module.fail_json(
            msg="Nothing was written. " + " ".join(fault.text() for fault in fatal),
            faults=[{"variable": f.variable, "rule": f.rule, "message": f.message, "hint": f.hint} for f in fatal],
        )
    account = configure.find_account(params["account"])
    login = None
    if params["url"]:
        if params["kinds"] != ["jenkins"] or params["paths"]:
            module.fail_json(msg="url is for the kind 'jenkins' alone, and takes names instead of paths")
        login = jenkins.Login(params["url"], params["username"] or "", params["token"] or "", params["ca_path"] or "")
    seconds = units.age(params["time_limit"], "time_limit")
    if seconds <= 0:
        raise units.BadPolicy("time_limit", params["time_limit"], "not more than nothing")
    limit = engine.Limit(seconds, params["time_limit"])
    found = _found(module, account.name if params["account"] else "", login)
    planned, missing = engine.plan(found.places, changes, login, limit)
    not_reached = [item._asdict() for item in found.not_reached + missing]
    for problem in found.problems:
        not_reached.append({"who": "jobs of a place that cannot be read", "why": problem, "advice": "repair it"})
    if changes and not planned and params["if_none"] == "fail":
        module.fail_json(
            msg="No place was found to write to (looked for: %s)%s. Name files by paths or services by names, or set "
            "if_none=ignore."
            % (
                ", ".join(params["kinds"]),
                "".join("; %(who)s: %(why)s: %(advice)s" % item for item in not_reached).rstrip("."),
            ),
            not_reached=not_reached,
        )

    done: t.List[engine.Edited] = []
    lost: t.List[str] = []
    for edited in planned:
        if edited.changed and not module.check_mode:
            try:
                limit.check(len(done), len(planned), "written or needed nothing")
                edited = engine.write(edited.place, changes, False, login)
                why = records.record(label, [engine.kept(edited, changes)])
                lost += ["%s: cannot be taken back later, because %s" % (edited.place.path, why)] if why else []
            except engine.Failed as error:
                written = [item.place.path for item in done if item.changed]
                module.fail_json(msg=str(error), changed=bool(written), written=written)
        done.append(edited)

    changed_places = [item.place.path for item in done if item.changed and not module.check_mode]
    proofs: t.List[prove.Proof] = []
    if params["read_back"] and changes:
        prover = prove.Prover(account, params["goroots"], check=module.check_mode)
        for number, edited in enumerate(done):
            try:
                limit.check(number, len(done), "proven, all were written" if changed_places else "proven")
            except engine.Failed as error:
                module.fail_json(msg=str(error), changed=bool(changed_places), written=changed_places)
            now = edited if module.check_mode else edited._replace(after=engine.read(edited.place, login))
            proofs.append(prover.prove(now, changes))

    shown = [_place(edited, changes) for edited in done]
    variables = [variable for proof in proofs for variable in proof.variables]
    warnings = lost + [fault.text() for fault in faults] + [remark.text() for remark in remarks]
    for proof in proofs:
        for variable in proof.variables:
            if not variable.ok:
                warnings.append(
                    "%s: jobs see %s=%r where %r was asked for; %s decides"
                    % (proof.place.path, variable.name, variable.seen, variable.wanted, variable.where)
                )
    if len(warnings) > MAX_WARNINGS:
        warnings[MAX_WARNINGS:] = ["%d more; see the result 'proven'" % (len(warnings) - MAX_WARNINGS)]
    for warning in warnings:
        module.warn(warning)

    restart = {item["service"] for item in shown if item["changed"] and item["service"] and item["then"]}
    restart.update(proof.place.service for proof in proofs if proof.pending)
    changed = sum(1 for item in shown if item["changed"])
    result: t.Dict[str, t.Any] = {
        "changed": bool(changed),
        "places": shown,
        "not_reached": not_reached,
        "proven": [_proof(proof) for proof in proofs],
        "daemon_reload": any(item["changed"] and item["kind"] == "systemd" for item in shown),
        "restart_services": sorted(restart),
        "summary": "%d place%s, %d changed; %d group%s of jobs not reached; %d of %d variables proven"
        % (
            len(shown),
            "" if len(shown) == 1 else "s",
            changed,
            len(not_reached),
            "" if len(not_reached) == 1 else "s",
            sum(1 for variable in variables if variable.ok),
            len(variables),
        ),
    }
    if module._diff:
        result["diff"] = [_diff(item) for item in shown if item["changed"]]
    return result


def main() -> None:
    module = _Module(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "absent": {"type": "list", "elements": "str", "default": []},
            "kinds": {
                "type": "list",
                "elements": "str",
                "choices": [engine.AUTO, *KINDS],
                "default": [engine.AUTO],
            },
            "paths": {"type": "list", "elements": "path", "default": []},
            "names": {"type": "list", "elements": "str", "default": []},
            "account": {"type": "str"},
            "url": {"type": "str"},
            "username": {"type": "str"},
            "token": {"type": "str", "no_log": True},
            "ca_path": {"type": "path"},
            "read_back": {"type": "bool", "default": True},
            "goroots": {"type": "list", "elements": "path", "default": []},
            "if_none": {"type": "str", "choices": ["fail", "ignore"], "default": "fail"},
            "run": {"type": "str"},
            "time_limit": {"type": "str", "default": "5m"},
            "strict": {"type": "bool", "default": True},
        },
        required_together=[("username", "token")],
        required_by={"token": "url", "ca_path": "url"},
        supports_check_mode=True,
    )
    problem = system.unsupported()
    if problem:
        module.fail_json(msg=problem)
    try:
        result = run(module)
    except (configure.Impossible, engine.Failed, base.BadPlace, records.BadLabel, units.BadPolicy) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
