# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitLab Runner: ``config.toml``, its service and its processes.

Formats: "Advanced configuration" of the runner's documentation, common/config.go and executors/docker/internal/volumes
of gitlab-org/gitlab-runner. Where no ``builds_dir`` is set, the shell executor works in ``builds`` below its working
directory, which the service gives with ``--working-directory`` (the account's home as the packages install it).
"""

from __future__ import annotations

import posixpath
from typing import Dict, List, NamedTuple, Tuple

from . import _toml
from ._base import Collector, Host, Inspection, Process, Root, Setting, Unreadable, option, read_text

SYSTEM = "gitlab"
_PROGRAMS = ("gitlab-runner", "gitlab-ci-multi-runner")
_USUAL = ("/etc/gitlab-runner/config.toml", "/srv/gitlab-runner/config/config.toml")
_ON_THIS_HOST = ("shell", "custom")
_DOCKER = ("docker", "docker-windows")
_ELSEWHERE = (
    "kubernetes",
    "ssh",
    "docker+machine",
    "docker-autoscaler",
    "instance",
    "parallels",
    "virtualbox",
    "docker-ssh",
)


class _Service(NamedTuple):
    workdir: str
    user: str


def _is_runner(process: Process) -> bool:
    # Helper processes of jobs carry the name too (gitlab-runner-helper, `gitlab-runner artifacts-uploader`).
    return posixpath.basename(process.argv[0]) in _PROGRAMS and ("run" in process.argv[1:3])


def _services(found: Collector) -> Tuple[Dict[str, _Service], List[str]]:
    """Configuration file to service, and the files in the order in which they are read."""
    host = found.host
    services: Dict[str, _Service] = {}
    files: List[str] = []

    def note(argv: Tuple[str, ...], user: str, workdir: str) -> None:
        config = option(argv, "--config", "-c")
        place = option(argv, "--working-directory", "-d") or workdir
        user = option(argv, "--user", "-u") or user
        if not config.startswith("/"):
            entry = host.account(user)
            config = (
                _USUAL[0] if user in ("", "root") or entry is None else entry.plain_home + "/.gitlab-runner/config.toml"
            )
        if config not in files:
            files.append(config)
        services.setdefault(config, _Service(place, user))
        found.account(user)

    for unit in host.units():
        if unit.argv and posixpath.basename(unit.argv[0]) in _PROGRAMS:
            found.saw("unit", unit.path)
            found.environ(
                unit.environ, unit.path, "the service", account=option(unit.argv, "--user", "-u") or unit.user
            )
            note(unit.argv, unit.user, unit.workdir)
    for process in found.process_settings(_is_runner, account=False):
        if process.contained:
            found.found(
                "runner-in-container",
                "info",
                "",
                "process %d is a GitLab Runner in a container; unless its config.toml is mounted from %s, name it and "
                "its volumes as search roots" % (process.pid, host.path(_USUAL[1])),
            )
            continue
        owner = next((entry.name for entry in host.accounts() if entry.uid == process.uid), "")
        note(process.argv, owner, "")
    for plain in _USUAL:
        if plain not in files:
            files.append(plain)
    for entry in host.accounts():
        plain = entry.plain_home + "/.gitlab-runner/config.toml"
        if plain not in files:
            files.append(plain)
        services.setdefault(plain, _Service(entry.plain_home, entry.name))
    return services, files


def _volumes(found: Collector, specs: List[str], config: str, name: str, why: str) -> None:
    """Bind mounts of a docker executor: ``/on/host:/in/job[:options]``; volumes of docker's own are its data root's."""
    for spec in specs:
        parts = spec.split(":")
        # Without a slash the first part is the name of a volume of docker's own; alone, it is a path in the job.
        if len(parts) >= 2 and parts[0].startswith(("/", "./", "../", "$", "~")):
            found.root(parts[0], "%s of runner %s" % (why, name), config)


def _runner(found: Collector, row: _toml.Table, config: str, service: _Service) -> None:
    name = _toml.text(row.get("name")) or "without a name"
    executor = _toml.text(row.get("executor")) or "shell"
    docker = _toml.table(row.get("docker"))
    environ: Dict[str, str] = {}
    for line in _toml.texts(row.get("environment")):
        key, sign, value = line.partition("=")
        if sign:
            environ[key.strip()] = value
    inside = "host" if executor in _ON_THIS_HOST else "container"
    where = "environment of runner %s" % name
    known = {key: value for key, value in environ.items() if "$" not in value}
    found.environ(known, config, where, inside, service.user, [key for key in environ if key not in known])

    builds = _toml.text(row.get("builds_dir"))
    cache = _toml.text(row.get("cache_dir"))
    if executor in _ON_THIS_HOST:
        home = found.host.account(service.user or "gitlab-runner")
        base = service.workdir if service.workdir.startswith("/") else home.plain_home if home else ""
        for value, usual, label in ((builds, "builds", "builds_dir"), (cache, "cache", "cache_dir")):
            if value.startswith("~/") and home:
                value = home.plain_home + value[1:]
            place = value if value.startswith(("/", "$")) else posixpath.join(base, value or usual)
            found.root(place, "%s of runner %s" % (label, name), config)
        if executor == "shell" and "GOPATH" in known and known["GOPATH"].startswith("/"):
            found.root(known["GOPATH"].split(":")[0], "GOPATH of runner %s" % name, config)
    elif executor in _DOCKER:
        _volumes(found, _toml.texts(docker.get("volumes")), config, name, "a volume")
        for service_row in _toml.rows(docker.get("services")):
            _volumes(found, _toml.texts(service_row.get("volumes")), config, name, "a service's volume")
        cache_dir = _toml.text(docker.get("cache_dir"))
        if cache_dir.startswith("/"):
            found.root(cache_dir, "docker cache_dir of runner %s" % name, config)
        daemon = _toml.text(docker.get("host"))
        if daemon and not daemon.startswith("unix:"):
            found.found(
                "builds-elsewhere",
                "info",
                config,
                "runner %s gives its jobs to a docker daemon on another host; caches are there" % name,
            )
    elif executor == "kubernetes":
        volumes = _toml.table(_toml.table(row.get("kubernetes")).get("volumes"))
        for path_row in _toml.rows(volumes.get("host_path")):
            place = _toml.text(path_row.get("host_path")) or _toml.text(path_row.get("mount_path"))
            if place and found.host.is_dir(posixpath.normpath("/" + place.lstrip("/"))):
                found.root(place, "a host_path volume of runner %s" % name, config)
    if executor in _ELSEWHERE:
        found.found(
            "builds-elsewhere",
            "info",
            config,
            "runner %s has the executor %s: its jobs run elsewhere, and so do their caches" % (name, executor),
        )
    elif executor not in _ON_THIS_HOST + _DOCKER:
        found.found(
            "unknown-executor",
            "warning",
            config,
            "runner %s has an executor that is not known here; name its build folders as search roots" % name,
        )


def inspect(host: Host) -> Inspection:
    """What GitLab Runner's files and processes on *host* say; raises nothing for what is missing or broken."""
    found = Collector(host, SYSTEM)
    services, files = _services(found)
    configured = 0
    for program in ("/usr/bin/gitlab-runner", "/usr/local/bin/gitlab-runner", "/usr/lib/gitlab-runner/gitlab-runner"):
        if host.exists(program):
            found.saw("program", host.path(program))
    for plain in files:
        path = host.path(plain)
        try:
            document = _toml.parse(read_text(path))
        except FileNotFoundError:
            continue
        except Unreadable as exc:
            configured += 1
            found.saw("config", path)
            found.unreadable(exc)
            continue
        except _toml.TomlError as exc:
            configured += 1
            found.saw("config", path)
            found.unreadable(Unreadable(path, "not understood as TOML: %s" % exc))
            continue
        configured += 1
        found.saw("config", path)
        service = services.get(plain, _Service("", ""))
        runners = _toml.rows(document.get("runners"))
        for row in runners:
            _runner(found, row, path, service)
        if not runners:
            found.found("ci-without-configuration", "warning", path, "%s: no runner is registered in it" % path)
    if found.evidence:
        account = host.account("gitlab-runner")
        if account is not None:
            found.account(account.name)
            found.root(account.plain_home + "/builds", "where the shell executor builds", "", only_existing=True)
        for plain in ("/builds", "/cache"):
            found.root(plain, "where the runner's containers build and cache", "", only_existing=True)
        if not configured:
            found.found(
                "ci-without-configuration",
                "warning",
                found.evidence[0].path,
                "GitLab Runner is on this host (%s), but no config.toml was found; looked at %s"
                % (found.evidence[0].path, ", ".join(host.path(plain) for plain in files[:4])),
            )
    return found.result()


def search_roots(root: str = "/") -> List[Root]:
    """Directories that the runners' configuration below the prefix *root* names as places of builds and caches."""
    return inspect(Host(root)).roots


def environ(root: str = "/") -> List[Setting]:
    """Go variables that the runners give to their jobs (``environment`` of ``[[runners]]`` and the service's)."""
    return inspect(Host(root)).settings
