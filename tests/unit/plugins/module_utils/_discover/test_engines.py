# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from typing import Any, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._agents import EngineRoot
from ansible_collections.gofleet.cache.plugins.module_utils._discover import engines
from ansible_collections.gofleet.cache.plugins.module_utils._discover.search import SearchRoot, search

LAYER = "0123456789abcdef" * 4
SHORT = "a1b2c3d4e5f6g7h8i9j0k1l2m"
POD = "12345678-1234-1234-1234-123456789abc"


@pytest.mark.parametrize(
    ("path", "engine", "command"),
    [
        ("/var/lib/docker/overlay2/%s/diff/root/go/pkg/mod" % LAYER, "docker", "docker system prune"),
        ("/var/lib/docker/btrfs/subvolumes/%s/root/.cache/go-build" % LAYER, "docker", "docker system prune"),
        ("/var/lib/docker/zfs/graph/x/go", "docker", "docker system prune"),
        ("/var/lib/docker/vfs/dir/%s/go" % LAYER, "docker", "docker system prune"),
        ("/var/lib/docker", "docker", "docker system prune"),
        ("/var/lib/docker/buildkit/executor/x", "docker-build", "docker builder prune"),
        ("/ssd/dock/overlay2/%s/merged/go" % SHORT, "docker", "docker system prune"),
        ("/home/ci/.local/share/docker/overlay2/x/diff", "docker", "docker system prune"),
        ("/var/lib/containers/storage/overlay/%s/diff/root/go" % LAYER, "containers-storage", "podman system prune"),
        ("/home/ci/.local/share/containers/storage/overlay/x/diff", "containers-storage", "podman system prune"),
        ("/ssd/graph/overlay/%s/diff/go" % LAYER, "containers-storage", "crictl rmi --prune"),
        ("/var/lib/containerd/x/y", "containerd", "crictl rmi --prune"),
        ("/k3s/agent/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs/go", "containerd", "crictl rmi --prune"),
        ("/var/lib/buildkit/runc-overlayfs/snapshots/9/fs/go/pkg/mod", "buildkit", "buildctl prune"),
        ("/var/lib/kubelet/pods/%s/volumes/kubernetes.io~empty-dir/go" % POD, "kubelet", "kubectl delete pod"),
        ("/ssd/x/volumes/kubernetes.io~empty-dir/go/mod", "kubelet", "kubectl delete pod"),
        ("/snap/go/10/pkg", "snap", "snap remove"),
        ("/var/lib/flatpak/app/x/go", "flatpak", "flatpak uninstall"),
        ("/var/lib/lxc/box/rootfs/root/go/pkg/mod", "lxc", "lxc-destroy"),
        ("/var/snap/lxd/common/lxd/storage-pools/p/containers/c/rootfs/go", "lxd", "lxc delete"),
        ("/var/lib/incus/storage-pools/p", "incus", "incus delete"),
        ("/var/lib/machines/box/root/go", "machined", "machinectl clean"),
        ("/nix/store/abc-go/share", "nix", "nix-collect-garbage"),
    ],
)
def test_a_path_in_an_engines_tree_is_refused_by_its_shape_with_the_engines_own_command(
    path: str, engine: str, command: str
) -> None:
    land = engines.refusal(path)
    assert land is not None
    assert land.engine == engine
    assert command in land.command
    assert path == land.path or path.startswith(land.path + "/")
    assert engines.refusal(path, as_search_root=True) == (None if path == "/var/lib/docker" else land)


@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/docker/volumes/go-cache/_data/pkg/mod",
        "/var/lib/docker/volumes/go-cache/_data",
        "/var/lib/containers/storage/volumes/x/_data/go-build",
        "/home/ci/.local/share/containers/storage/volumes/x/_data",
        "/home/ci/.cache/go-build",
        "/builds/docker/overlay/src/.go/pkg/mod",
        "/home/ci/snap/code/common/.cache/go-build",
        "/builds/pods/x/go",
        "/cache",
    ],
)
def test_volumes_and_ordinary_folders_are_not_refused(path: str) -> None:
    assert engines.refusal(path) is None


def test_a_configured_place_is_refused_although_nothing_in_it_tells() -> None:
    roots = [EngineRoot("docker", "/data/d", "/etc/docker/daemon.json"), EngineRoot("containerd", "/data/c", "")]
    land = engines.refusal("/data/d/anything/x", roots)
    assert land is not None
    assert land.path == "/data/d/anything"
    assert "/etc/docker/daemon.json" in land.why
    assert engines.refusal("/data/d/volumes/v/_data", roots) is None
    assert engines.refusal("/data/c", roots, as_search_root=True) is not None
    assert engines.refusal("/data/d/anything/x") is None


def docker_root(tree: Any, name: str) -> str:
    tree.folder(
        *[name + "/" + part for part in ("image/overlay2", "volumes", "containers", "buildkit", "network", "tmp")]
    )
    tree.folder(name + "/overlay2/l")
    tree.go_mod("%s/overlay2/%s/diff/root/go/pkg/mod" % (name, SHORT))
    tree.go_mod("%s/buildkit/executor/go/pkg/mod" % name)
    tree.write("%s/overlay2/%s/link" % (name, SHORT), "X")
    return tree.path(name)


def containers_root(tree: Any, name: str) -> str:
    tree.folder(
        name + "/overlay-images", name + "/overlay-layers", name + "/libpod", name + "/volumes", name + "/overlay/l"
    )
    tree.write(name + "/storage.lock")
    tree.go_mod("%s/overlay/%s/diff/root/go/pkg/mod" % (name, LAYER))
    return tree.path(name)


def commands(land: List[engines.Foreign]) -> List[str]:
    return sorted({item.engine for item in land})


def test_a_moved_docker_root_is_known_by_what_lies_in_it_and_only_its_volumes_are_searched(
    tree: Any, probes: Any
) -> None:
    place = docker_root(tree, "srv/moved")
    volume = tree.go_mod("srv/moved/volumes/gocache/_data/mod")
    result = search([SearchRoot(tree.path(), "a test")], probes)
    assert [item.path for item in result.found] == [volume]
    assert {item.path: item.command for item in result.foreign} == {
        place + "/overlay2": "docker system prune",
        place + "/buildkit": "docker builder prune",
    }
    inside = "%s/overlay2/%s/diff/root/go/pkg/mod" % (place, SHORT)
    land = engines.refusal(inside)
    assert land is not None
    assert (land.path, land.command) == (place + "/overlay2", "docker system prune")
    assert engines.refusal(volume) is None


def test_a_moved_podman_root_is_known_by_what_lies_in_it(tree: Any, probes: Any) -> None:
    place = containers_root(tree, "graph")
    volume = tree.go_mod("graph/volumes/v/_data/mod")
    result = search([SearchRoot(tree.path(), "a test")], probes)
    assert [item.path for item in result.found] == [volume]
    assert place + "/overlay" in [item.path for item in result.foreign]
    assert commands(result.foreign) == ["podman"]
    assert {item.command for item in result.foreign} == {"podman system prune"}


def test_a_builders_state_inside_a_docker_volume_is_refused(tree: Any, probes: Any) -> None:
    tree.folder("volumes/b/_data/runc-overlayfs/snapshots")
    tree.write("volumes/b/_data/buildkitd.lock")
    inside = tree.go_mod("volumes/b/_data/runc-overlayfs/snapshots/snapshots/3/fs/go/pkg/mod")
    land = engines.refusal(inside)
    assert land is not None
    assert (land.engine, land.path) == ("buildkit", tree.path("volumes/b/_data"))
    result = search([SearchRoot(tree.path(), "a test")], probes)
    assert (result.found, commands(result.foreign)) == ([], ["buildkit"])


def test_docker_in_a_docker_volume_is_refused_but_for_its_own_volumes(tree: Any, probes: Any) -> None:
    docker_root(tree, "volumes/dind/_data")
    inner = tree.go_mod("volumes/dind/_data/volumes/inner/_data/mod")
    result = search([SearchRoot(tree.path(), "a test")], probes)
    assert [item.path for item in result.found] == [inner]
    assert commands(result.foreign) == ["docker", "docker-build"]


@pytest.mark.parametrize(
    ("folders", "files", "engine"),
    [
        (["io.containerd.content.v1.content"], [], "containerd"),
        (["snapshots"], ["cache.db", "metadata_v2.db"], "buildkit"),
        (["pods", "plugins_registry"], [], "kubelet"),
        (["rootfs"], ["config=lxc.uts.name = box"], "lxc"),
        (["storage-pools", "containers", "database"], [], "lxd"),
        (["repo/objects", "runtime", "exports"], [], "flatpak"),
        (["external", "execroot"], ["DO_NOT_BUILD_HERE"], "bazel"),
        (["l", LAYER + "/diff"], [], "containers-storage"),
        (["diff", "work"], ["link", "lower"], "containers-storage"),
    ],
)
def test_engines_at_custom_places_are_known_by_what_lies_there(
    tree: Any, probes: Any, folders: List[str], files: List[str], engine: str
) -> None:
    tree.folder(*["x/own/" + name for name in folders])
    for name in files:
        tree.write("x/own/" + name.partition("=")[0], name.partition("=")[2])
    tree.go_mod("x/own/deep/go/pkg/mod")
    land = engines.refusal(tree.path("x/own/deep/go/pkg/mod"))
    assert land is not None
    assert (land.engine, land.path, land.command) == (engine, tree.path("x/own"), engines.COMMANDS[engine])
    result = search([SearchRoot(tree.path(), "a test")], probes)
    assert (result.found, [item.path for item in result.foreign]) == ([], [tree.path("x/own")])


def test_projects_that_merely_resemble_an_engine_are_searched(tree: Any, probes: Any) -> None:
    tree.write("a/config", "name = x")
    tree.folder("a/rootfs", "b/volumes", "b/image", "c/diff", "d/pods", "e/l/x")
    tree.write("c/link")
    caches = [tree.go_mod(name + "/mod") for name in "abcde"]
    result = search([SearchRoot(tree.path(), "a test")], probes)
    assert sorted(item.path for item in result.found) == caches
    assert result.foreign == []


def test_a_symlink_into_an_engines_tree_does_not_hide_it(tree: Any) -> None:
    docker_root(tree, "moved")
    os.symlink(tree.path("moved/overlay2/" + SHORT), tree.path("innocent"))
    land = engines.refusal(tree.path("innocent/diff/root/go/pkg/mod"))
    assert land is not None
    assert land.path == tree.path("moved/overlay2")


def test_a_search_root_inside_an_engines_tree_is_refused_and_reported(tree: Any, probes: Any) -> None:
    docker_root(tree, "moved")
    result = search([SearchRoot(tree.path("moved/overlay2/" + SHORT), "a test")], probes)
    assert (result.found, result.directories) == ([], 0)
    assert [(item.path, item.command) for item in result.foreign] == [
        (tree.path("moved/overlay2"), "docker system prune")
    ]
