# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees that belong to somebody else's engine: recognised by the shape of a path and by what lies there, and refused.

A Go cache inside an image layer or a snapshot shows a cache's fingerprint like any other, but its engine counts
references, sizes and checksums of what lies there: only the engine's own command may take something away.

An engine's data root may hold one folder that is not refused: docker's and podman's ``volumes``, in which jobs keep
ordinary files. Sources: moby daemon/graphdriver and volume/local, containers/storage store.go and drivers,
containerd plugins (``io.containerd.*``), moby/buildkit cmd/buildkitd, kubernetes pkg/kubelet, snapd dirs, flatpak
common/flatpak-dir.c, lxc, lxd/incus internal paths, nix store layout, bazelbuild/bazel output directory layout.
"""

from __future__ import annotations

import os
import re
import stat
from typing import AbstractSet, Dict, FrozenSet, Iterable, List, MutableMapping, NamedTuple, Optional, Sequence, Tuple

from .._agents import EngineRoot


class Foreign(NamedTuple):
    """A tree that is refused: whose it is, its topmost folder, that engine's own prune command, and how we know."""

    engine: str
    path: str
    command: str
    why: str


class Territory(NamedTuple):
    """What :func:`territory` says of one directory.

    ``open_names`` are the children that are not the engine's (empty: all of it is); ``commands`` gives children a
    command of their own.
    """

    engine: str
    command: str
    why: str
    open_names: FrozenSet[str]
    commands: Tuple[Tuple[str, str, str], ...]


_NONE: FrozenSet[str] = frozenset()
_VOLUMES: FrozenSet[str] = frozenset(("volumes",))

COMMANDS: Dict[str, str] = {
    "docker": "docker system prune",
    "docker-build": "docker builder prune",
    "containers-storage": "podman system prune (CRI-O: crictl rmi --prune)",
    "podman": "podman system prune",
    "containerd": "crictl rmi --prune (without Kubernetes: nerdctl system prune)",
    "buildkit": "buildctl prune (a buildx builder: docker buildx prune --builder NAME)",
    "kubelet": "kubectl delete pod POD (images: the kubelet's own garbage collection)",
    "snap": "snap remove --revision=REVISION NAME",
    "flatpak": "flatpak uninstall --unused",
    "lxc": "lxc-destroy --name NAME",
    "lxd": "lxc delete INSTANCE",
    "incus": "incus delete INSTANCE",
    "machined": "machinectl clean",
    "nix": "nix-collect-garbage",
    "guix": "guix gc",
    "bazel": "bazel clean --expunge",
    "kaniko": "delete the kaniko pod",
}
"""Each engine's own command that frees space, for messages."""

_DOCKER_PARTS = (("buildkit", "docker-build", COMMANDS["docker-build"]),)
_SHORT_ID = re.compile(r"[0-9a-z]{25}(?:-init)?\Z")
_LONG_ID = re.compile(r"[0-9a-f]{64}(?:-init)?\Z")
_POD_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z|[0-9a-f]{32}\Z")
_DRIVERS = frozenset(("overlay2", "overlay", "aufs", "btrfs", "zfs", "vfs", "devicemapper", "fuse-overlayfs", "rootfs"))

# Whole trees at their usual places.
_PLACES: Dict[str, str] = {
    "/var/lib/containerd": "containerd",
    "/run/containerd": "containerd",
    "/var/lib/buildkit": "buildkit",
    "/var/lib/kubelet": "kubelet",
    "/var/lib/snapd": "snap",
    "/snap": "snap",
    "/var/lib/flatpak": "flatpak",
    "/var/lib/lxc": "lxc",
    "/var/lib/lxd": "lxd",
    "/var/snap/lxd/common/lxd": "lxd",
    "/var/lib/incus": "incus",
    "/var/lib/machines": "machined",
    "/nix/store": "nix",
    "/gnu/store": "guix",
    "/kaniko": "kaniko",
}
# Data roots with one open folder.
_MIXED_PLACES: Dict[str, str] = {
    "/var/lib/docker": "docker",
    "/var/snap/docker/common/var-lib-docker": "docker",
    "/var/lib/containers/storage": "containers-storage",
}
# The same below any home.
_MIXED_TAILS: Dict[str, str] = {
    "/.local/share/docker": "docker",
    "/.local/share/containers/storage": "containers-storage",
}
_TAILS: Dict[str, str] = {
    "/.local/share/flatpak": "flatpak",
    "/.local/share/lxc": "lxc",
    "/.local/share/buildkit": "buildkit",
    "/.local/share/containerd": "containerd",
}
_ALL_TAILS: Tuple[str, ...] = tuple(_MIXED_TAILS) + tuple(_TAILS)


def _mixed(engine: str, why: str) -> Territory:
    parts = _DOCKER_PARTS if engine == "docker" else ()
    return Territory(engine, COMMANDS[engine], why, _VOLUMES, parts)


def _whole(engine: str, why: str) -> Territory:
    return Territory(engine, COMMANDS[engine], why, _NONE, ())


def _is_dir(fd: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _is_file(fd: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _says_lxc(fd: int) -> bool:
    try:
        config = os.open("config", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(config).st_mode) and b"lxc." in os.read(config, 4096)
    except OSError:
        return False
    finally:
        os.close(config)


def territory(fd: int, path: str, names: Iterable[str], roots: Sequence[EngineRoot] = ()) -> Optional[Territory]:
    """Whether the opened directory *fd*, resolved *path*, with the entries *names*, is an engine's; None if not.

    *roots* are the places that engines' own configuration names. Opens nothing; costs no system call unless a name in
    the directory gives reason to look twice.
    """
    placed = by_place(path, roots)
    if placed is not None:
        return placed
    have = names if isinstance(names, (set, frozenset)) else set(names)
    return _by_contents(fd, path, have)


def by_place(path: str, roots: Sequence[EngineRoot] = ()) -> Optional[Territory]:
    """Whether exactly *path* is a usual or configured place of an engine (no file is looked at)."""
    for root in roots:
        if path == root.path:
            why = "%s is the engine's own place%s" % (path, " (%s)" % root.config_file if root.config_file else "")
            return (
                _mixed(root.engine, why)
                if root.engine in ("docker", "containers-storage")
                else _whole(root.engine, why)
            )
    if path in _PLACES:
        return _whole(_PLACES[path], "%s is its usual place" % path)
    if path in _MIXED_PLACES:
        return _mixed(_MIXED_PLACES[path], "%s is its usual place" % path)
    if path.endswith(_ALL_TAILS):
        tail = "/.local/share/" + path.rsplit("/.local/share/", 1)[1]
        why = "%s is its usual place in a home" % path
        return _mixed(_MIXED_TAILS[tail], why) if tail in _MIXED_TAILS else _whole(_TAILS[tail], why)
    return _by_shape(path)


def _by_shape(path: str) -> Optional[Territory]:
    """Shapes that nothing else has, wherever they lie; *path* is the topmost folder of the tree."""
    parts = path.rsplit("/", 3)
    name = parts[-1]
    above = parts[-2] if len(parts) > 1 else ""
    if name.startswith("io.containerd."):
        return _whole("containerd", "%s is a containerd plugin's folder" % name)
    if name.startswith("kubernetes.io~"):
        return _whole("kubelet", "%s is a pod's volume" % name)
    if above == "pods" and _POD_ID.match(name) and "kubelet" in path:
        return _whole("kubelet", "a pod's folder")
    if above == "overlay2" and (_LONG_ID.match(name) or _SHORT_ID.match(name)):
        return _whole("docker", "a layer of docker's overlay2")
    if above == "overlay" and _LONG_ID.match(name):
        return _whole("containers-storage", "a layer of the overlay driver")
    if above == "dir" and len(parts) > 2 and parts[-3] == "vfs" and _LONG_ID.match(name):
        return _whole("docker" if "/docker/" in path else "containers-storage", "a layer of the vfs driver")
    if above == "subvolumes" and len(parts) > 2 and parts[-3] == "btrfs" and _LONG_ID.match(name):
        return _whole("docker" if "/docker/" in path else "containers-storage", "a layer of the btrfs driver")
    return None


def _by_contents(fd: int, path: str, have: AbstractSet[str]) -> Optional[Territory]:
    """What lies in the directory; every test needs two signs that do not come together by chance."""
    # docker's data root, wherever it was moved to.
    if {"volumes", "image"} <= have and {"containers", "buildkit"} & have and (_DRIVERS | {"engine-id"}) & have:
        return _mixed("docker", "a docker data root: image, volumes and a storage driver's folder lie in it")
    if "engine-id" in have and ("containers" in have or "image" in have) and _is_file(fd, "engine-id"):
        return _mixed("docker", "a docker data root: engine-id lies in it")
    # containers/storage (podman, buildah, CRI-O).
    layers = [name for name in ("overlay-layers", "vfs-layers", "btrfs-layers", "zfs-layers") if name in have]
    if layers and ("storage.lock" in have or any(name[:-6] + "images" in have for name in layers)):
        engine = "podman" if "libpod" in have else "containers-storage"
        return _mixed(engine, "a containers/storage root: %s lies in it" % layers[0])
    # A storage driver's folder by itself, for example a copied or a mounted one.
    if "l" in have and _is_dir(fd, "l"):
        layers = sorted(name for name in have if _LONG_ID.match(name) or _SHORT_ID.match(name))
        if any(_is_dir(fd, name + "/diff") for name in layers[:3]):
            return _whole(*_overlay(path))
    # One layer.
    layer = {"diff", "link"} <= have and {"lower", "work", "committed", "merged"} & have
    if layer and _is_dir(fd, "diff") and _is_file(fd, "link"):
        return _whole(*_overlay(path))
    if any(name.startswith("io.containerd.") for name in have):
        return _whole("containerd", "a containerd root: io.containerd.* lies in it")
    if "buildkitd.lock" in have or ("cache.db" in have and "metadata_v2.db" in have):
        name = "buildkitd.lock" if "buildkitd.lock" in have else "metadata_v2.db"
        if _is_file(fd, name):
            return _whole("buildkit", "BuildKit's state: %s lies in it" % name)
    if "metadata.db" in have and "fs" in have and "snapshots" in path:
        return _whole("containerd", "a snapshotter's folder: metadata.db and fs lie in it")
    if "pods" in have and ("plugins_registry" in have or "pod-resources" in have or "cpu_manager_state" in have):
        return _whole("kubelet", "a kubelet's root: pods and plugins lie in it")
    if "storage-pools" in have and ("containers" in have or "virtual-machines" in have) and "database" in have:
        engine = "incus" if "incus" in path else "lxd"
        return _whole(engine, "its storage-pools and database lie in it")
    if "rootfs" in have and "config" in have and _is_dir(fd, "rootfs") and _says_lxc(fd):
        return _whole("lxc", "a container's rootfs and config lie in it")
    if "repo" in have and "runtime" in have and "exports" in have and _is_dir(fd, "repo/objects"):
        return _whole("flatpak", "an installation: repo, runtime and exports lie in it")
    if ".links" in have and path.endswith("/store") and _is_dir(fd, ".links"):
        return _whole("nix", "a store: .links lies in it")
    if "DO_NOT_BUILD_HERE" in have and ("external" in have or "execroot" in have):
        return _whole("bazel", "an output base: DO_NOT_BUILD_HERE lies in it")
    return None


def _overlay(path: str) -> Tuple[str, str]:
    parts = path.split("/")
    if "overlay2" in parts or "docker" in parts:
        return "docker", "an overlay2 layer store: diff, link and l lie in it"
    return "containers-storage", "an overlay layer store: diff, link and l lie in it"


def foreign(land: Territory, path: str, name: str = "") -> Foreign:
    """The refusal for *path*, or for the child *name* of it, in the territory *land*."""
    for child, engine, command in land.commands:
        if name == child:
            return Foreign(engine, path + "/" + name, command, land.why)
    return Foreign(land.engine, path + "/" + name if name else path, land.command, land.why)


Memo = MutableMapping[str, Optional[Territory]]
"""What was found out about folders, for callers that ask about many paths below the same ones."""


def is_store(land: Territory, name: str) -> bool:
    """Whether the child *name* of a data root holds what takes up its space (and so is worth a line to people)."""
    return name in _DRIVERS or name.endswith("-layers") or name in {child for child, _e, _c in land.commands}


def refusal(
    path: str, roots: Sequence[EngineRoot] = (), as_search_root: bool = False, memo: Optional[Memo] = None
) -> Optional[Foreign]:
    """The engine that *path* (absolute) belongs to, with its own prune command; None if it may be looked at.

    Every folder on the way is examined, as it is written and with symlinks resolved, first by its place and then,
    where it exists and can be read, by what lies there; so a cache below ``/data/docker/overlay2`` is refused although
    nobody told us that docker was moved, and ``/data/docker/volumes/x/_data`` is not. A data root itself is refused as
    a cache; with *as_search_root* it may be searched, because the search leaves out what is the engine's.
    """
    seen: List[str] = []
    for name in (os.path.normpath(path), os.path.realpath(path)):
        clean = "/" + name.lstrip("/")
        if clean not in seen:
            seen.append(clean)
            found = _walk(clean, roots, as_search_root, {} if memo is None else memo)
            if found is not None:
                return found
    return None


def _walk(path: str, roots: Sequence[EngineRoot], as_search_root: bool, memo: Memo) -> Optional[Foreign]:
    parts = [part for part in path.split("/") if part]
    here = ""
    for i, part in enumerate(parts):
        here = here + "/" + part
        if here not in memo:
            memo[here] = by_place(here, roots) or _look(here)
        land = memo[here]
        if land is None:
            continue
        below = parts[i + 1] if i + 1 < len(parts) else ""
        if not land.open_names:
            return foreign(land, here)
        if not below:
            return None if as_search_root else foreign(land, here)
        if below not in land.open_names:
            return foreign(land, here, below)
        # In the open folder; another engine may still live deeper (a docker in docker, a builder's volume).
    return None


def _look(path: str) -> Optional[Territory]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
    except (OSError, ValueError):
        return None
    try:
        # A folder of an engine has few names of its own at the top; a larger one is not read to the end.
        have = set()
        with os.scandir(fd) as listing:
            for entry in listing:
                have.add(entry.name)
                if len(have) > 5000:
                    break
        return _by_contents(fd, path, have)
    except OSError:
        return None
    finally:
        os.close(fd)
