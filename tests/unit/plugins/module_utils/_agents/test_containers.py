# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from typing import Any, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils import _agents
from ansible_collections.gofleet.cache.plugins.module_utils._agents import containers


def paths(host: Any, roots: List[Any]) -> List[str]:
    return [root.path[len(host.root) :] for root in roots]


def inspect(host: Any) -> _agents.Inspection:
    return containers.inspect(_agents.Host(host.root))


def test_each_docker_volume_is_a_root_of_its_own_at_the_usual_place(host: Any) -> None:
    host.folder("/var/lib/docker/volumes/a/_data", "/var/lib/docker/volumes/b/_data", "/var/lib/docker/overlay2/x")
    host.write("/var/lib/docker/volumes/metadata.db", "")
    found = inspect(host)
    volumes = "/var/lib/docker/volumes"
    assert paths(host, found.roots) == [volumes, volumes + "/a/_data", volumes + "/b/_data"]
    assert ("docker", host.path("/var/lib/docker")) in [(item.engine, item.path) for item in found.engine_roots]


@pytest.mark.parametrize("key", ["data-root", "graph"])
def test_a_moved_data_root_is_read_from_daemon_json(host: Any, key: str) -> None:
    path = host.write("/etc/docker/daemon.json", json.dumps({key: "/data/docker", "registry-mirrors": ["x"]}))
    host.folder("/data/docker/volumes/v/_data")
    found = inspect(host)
    assert paths(host, found.roots) == ["/data/docker/volumes", "/data/docker/volumes/v/_data"]
    assert found.roots[1].config_file == path


def test_a_data_root_on_the_daemons_command_line_is_found(host: Any) -> None:
    host.folder("/big/docker/volumes/v/_data")
    host.process(["/usr/bin/dockerd", "--data-root=/big/docker", "-H", "fd://"])
    assert "/big/docker/volumes/v/_data" in paths(host, inspect(host).roots)


def test_podmans_volumes_are_found_for_root_for_accounts_and_where_storage_conf_says(host: Any) -> None:
    host.folder("/home/runner/.local/share/containers/storage/volumes/mine/_data")
    host.folder("/srv/graph/volumes/roots/_data", "/srv/vol/other/_data")
    host.write("/etc/containers/storage.conf", '[storage]\ndriver = "overlay"\ngraphroot = "/srv/graph"\n')
    host.write("/etc/containers/containers.conf", '[engine]\nvolume_path = "/srv/vol"\n')
    found = paths(host, inspect(host).roots)
    assert "/home/runner/.local/share/containers/storage/volumes/mine/_data" in found
    assert "/srv/graph/volumes/roots/_data" in found
    assert "/srv/vol/other/_data" in found


def test_places_of_engines_without_volumes_are_named_for_refusal_and_are_no_roots(host: Any) -> None:
    host.write("/etc/containerd/config.toml", 'version = 2\nroot = "/ssd/containerd"\n[plugins."io.x".y]\na = 1\n')
    host.write("/etc/buildkit/buildkitd.toml", 'root = "/ssd/buildkit"\n')
    host.process(["/usr/bin/kubelet", "--root-dir=/ssd/kubelet"])
    found = inspect(host)
    assert found.roots == []
    assert {item.engine: item.path[len(host.root) :] for item in found.engine_roots} == {
        "containerd": "/ssd/containerd",
        "buildkit": "/ssd/buildkit",
        "kubelet": "/ssd/kubelet",
    }


@pytest.mark.parametrize("text", ["{", "[]", '{"data-root": 5}', "[" * 100000])
def test_a_broken_daemon_json_is_reported_and_the_usual_place_is_still_looked_at(host: Any, text: str) -> None:
    host.write("/etc/docker/daemon.json", text)
    host.folder("/var/lib/docker/volumes/v/_data")
    found = inspect(host)
    assert "/var/lib/docker/volumes/v/_data" in paths(host, found.roots)
    assert [item.code for item in found.findings] == ([] if text.startswith('{"') else ["unreadable"])


def test_volumes_that_need_root_are_reported_and_not_silently_missing(host: Any) -> None:
    host.folder("/var/lib/docker/volumes/v/_data")
    path = host.path("/var/lib/docker/volumes")
    os.chmod(path, 0)
    try:
        if os.access(path, os.R_OK):
            pytest.skip("root reads every folder")
        found = inspect(host)
    finally:
        os.chmod(path, 0o755)
    assert [(item.code, item.path) for item in found.findings] == [("unreadable", path)]
    assert found.roots == []


def test_a_container_engine_alone_makes_no_ci_host(host: Any) -> None:
    host.folder("/var/lib/docker/volumes/a/_data")
    assert _agents.is_ci_host(host.root) == []
    assert _agents.search_roots(host.root)
