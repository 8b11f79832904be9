# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Container engines: where the volumes are in which containerised jobs keep caches, and what else is the engines' own.

docker: dockerd's ``data-root`` (older: ``graph``) in daemon.json or on the command line; podman and CRI-O:
containers-storage.conf(5) ``graphroot`` and ``rootless_storage_path``, containers.conf(5) ``volume_path``; containerd:
``root`` of config.toml; BuildKit: ``root`` of buildkitd.toml; kubelet: ``--root-dir``.
"""

from __future__ import annotations

import errno
import os
import posixpath
from typing import Dict, List

from .._core.document import read_json
from . import _toml
from ._base import (
    Collector,
    EngineRoot,
    Host,
    Inspection,
    Process,
    Root,
    Setting,
    Unreadable,
    option,
    read_text,
    substitute,
)

SYSTEM = "containers"
MAX_VOLUMES = 2000
"""Volumes of one engine that become roots of their own; more are left to the search below their folder."""


def _engine(found: Collector, engine: str, plain: str, source: str) -> None:
    clean = posixpath.normpath(plain)
    if clean.startswith("/") and clean != "/" and "$" not in clean:
        item = EngineRoot(engine, found.host.path(clean), source)
        if all(known.path != item.path for known in found.engine_roots):
            found.engine_roots.append(item)


def _volumes(found: Collector, plain: str, engine: str, source: str) -> None:
    """Each volume is a root of its own, because its ``_data`` may be a mount."""
    path = found.host.path(plain)
    try:
        names = sorted(os.listdir(path))
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
            found.saw("folder", path)
            found.found(
                "unreadable",
                "warning",
                path,
                "%s: %s; the volumes of %s were not looked into (this needs root)" % (path, exc.strerror, engine),
            )
        return
    found.saw("folder", path)
    found.root(plain, "volumes of %s" % engine, source)
    volumes = [name for name in names if found.host.is_dir(posixpath.join(plain, name, "_data"))]
    for name in volumes[:MAX_VOLUMES]:
        found.root(posixpath.join(plain, name, "_data"), "volume %s of %s" % (name, engine), source)


def _toml_file(found: Collector, plain: str) -> _toml.Table:
    path = found.host.path(plain)
    try:
        document = _toml.parse(read_text(path))
    except FileNotFoundError:
        return {}
    except Unreadable as exc:
        found.unreadable(exc)
        return {}
    except _toml.TomlError as exc:
        found.unreadable(Unreadable(path, "not understood as TOML: %s" % exc))
        return {}
    found.saw("config", path)
    return document


def _docker(found: Collector) -> None:
    host = found.host
    roots: Dict[str, str] = {"/var/lib/docker": "", "/var/snap/docker/common/var-lib-docker": ""}
    files = {"/etc/docker/daemon.json": "", "/var/snap/docker/current/config/daemon.json": ""}
    for entry in host.accounts():
        files[entry.plain_home + "/.config/docker/daemon.json"] = entry.plain_home
        roots[entry.plain_home + "/.local/share/docker"] = ""

    def is_daemon(process: Process) -> bool:
        return posixpath.basename(process.argv[0]) == "dockerd" and not process.contained

    commands = [(unit.argv, unit.path) for unit in host.units() if unit.argv]
    commands += [(process.argv, "") for process in host.processes() if is_daemon(process)]
    for argv, source in commands:
        if posixpath.basename(argv[0]) != "dockerd":
            continue
        place = option(argv, "--data-root", "-g", "--graph")
        if place.startswith("/"):
            roots[place] = source
        config = option(argv, "--config-file")
        if config.startswith("/"):
            files.setdefault(config, "")
    for plain in files:
        path = host.path(plain)
        try:
            document = read_json(read_text(path))
            if not isinstance(document, dict):
                raise Unreadable(path, "not a JSON object")
        except FileNotFoundError:
            continue
        except Unreadable as exc:
            found.unreadable(exc)
            continue
        except ValueError:
            found.unreadable(Unreadable(path, "not understood as JSON"))
            continue
        found.saw("config", path)
        for key in ("data-root", "graph"):
            value = document.get(key)
            if isinstance(value, str) and value.startswith("/"):
                roots[value] = path
    for plain, source in roots.items():
        if source or host.exists(plain):
            _engine(found, "docker", plain, source)
            _volumes(found, posixpath.join(plain, "volumes"), "docker", source)


def _podman(found: Collector) -> None:
    host = found.host
    stores: Dict[str, str] = {"/var/lib/containers/storage": ""}
    volumes: Dict[str, str] = {}
    rootless = ""
    for plain in ("/usr/share/containers/storage.conf", "/etc/containers/storage.conf"):
        storage = _toml.table(_toml_file(found, plain).get("storage"))
        if _toml.text(storage.get("graphroot")).startswith("/"):
            stores[_toml.text(storage.get("graphroot"))] = host.path(plain)
        rootless = _toml.text(storage.get("rootless_storage_path")) or rootless
    for plain in ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf"):
        place = _toml.text(_toml.table(_toml_file(found, plain).get("engine")).get("volume_path"))
        if place.startswith("/"):
            volumes[place] = host.path(plain)
    for entry in host.accounts():
        known = {"HOME": entry.plain_home, "USER": entry.name, "UID": str(entry.uid)}
        stores.setdefault(entry.plain_home + "/.local/share/containers/storage", "")
        if rootless:
            stores.setdefault(substitute(rootless, known), host.path("/etc/containers/storage.conf"))
        plain = entry.plain_home + "/.config/containers/storage.conf"
        storage = _toml.table(_toml_file(found, plain).get("storage"))
        for key in ("graphroot", "rootless_storage_path"):
            place = substitute(_toml.text(storage.get(key)), known)
            if place.startswith("/") and "$" not in place:
                stores[place] = host.path(plain)
        plain = entry.plain_home + "/.config/containers/containers.conf"
        place = substitute(_toml.text(_toml.table(_toml_file(found, plain).get("engine")).get("volume_path")), known)
        if place.startswith("/") and "$" not in place:
            volumes[place] = host.path(plain)
    for plain, source in stores.items():
        if "$" not in plain and (source or host.exists(plain)):
            _engine(found, "containers-storage", plain, source)
            volumes.setdefault(posixpath.join(plain, "volumes"), source)
    for plain, source in volumes.items():
        _volumes(found, plain, "podman", source)


def _others(found: Collector) -> None:
    """Engines without volumes for us: only what is theirs."""
    host = found.host
    for engine, plain, usual in (
        ("containerd", "/etc/containerd/config.toml", "/var/lib/containerd"),
        ("buildkit", "/etc/buildkit/buildkitd.toml", "/var/lib/buildkit"),
    ):
        place = _toml.text(_toml_file(found, plain).get("root"))
        if place.startswith("/"):
            _engine(found, engine, place, host.path(plain))
        if host.exists(usual):
            _engine(found, engine, usual, "")
    if host.exists("/var/lib/kubelet"):
        _engine(found, "kubelet", "/var/lib/kubelet", "")
    names = {"containerd": "--root", "buildkitd": "--root", "kubelet": "--root-dir"}
    engines = {"buildkitd": "buildkit"}
    commands = [(unit.argv, unit.path) for unit in host.units() if unit.argv]
    commands += [(process.argv, "") for process in host.processes() if not process.contained]
    for argv, source in commands:
        program = posixpath.basename(argv[0])
        if program in names:
            place = option(argv, names[program])
            if place:
                _engine(found, engines.get(program, program), place, source)


def inspect(host: Host) -> Inspection:
    """What the engines' files and processes on *host* say; their presence alone does not make a CI host."""
    found = Collector(host, SYSTEM)
    _docker(found)
    _podman(found)
    _others(found)
    return found.result()


def search_roots(root: str = "/") -> List[Root]:
    """The folders of docker's and podman's volumes below the prefix *root*, and each volume's ``_data``."""
    return inspect(Host(root)).roots


def environ(root: str = "/") -> List[Setting]:
    """Engines give jobs no Go variables of their own: always []; here so that all systems have one face."""
    return inspect(Host(root)).settings


def engine_roots(root: str = "/") -> List[EngineRoot]:
    """The directories that engines below the prefix *root* call their own."""
    return inspect(Host(root)).engine_roots
