# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import shutil
from typing import Any, Dict, List

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._core.evict import Activity
from ansible_collections.gofleet.cache.plugins.module_utils._go import dirhash, running
from ansible_collections.gofleet.cache.plugins.module_utils._host import find, verify
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_build import verify as build_verify
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_mod import verify as mod_verify
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, goproxy

AZURE = "example.com/!azure/!lib@v1.0.0"
AT_V = "cache/download/example.com/!azure/!lib/@v/v1.0.0"
SECRET = "git.corp.example/team/!secret@v1.0.0"


@pytest.fixture(autouse=True)
def _quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (build_verify, mod_verify):
        monkeypatch.setattr(module, "SETTLE", 0.05)
    monkeypatch.setattr(running, "users_of", lambda *_args: Activity((), True))
    monkeypatch.setenv("GOPRIVATE", goproxy.PRIVATE)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, go_binary: str) -> gocaches.Caches:
    return gocaches.shared(tmp_path_factory.mktemp("home"), go_binary)


@pytest.fixture
def caches(filled: gocaches.Caches, tmp_path: pathlib.Path) -> gocaches.Caches:
    return gocaches.copy_of(filled, tmp_path)


def run(caches: gocaches.Caches, private: Any = (goproxy.PRIVATE,), **options: Any) -> Dict[str, Any]:
    request = find.Request(paths=[str(caches.build), str(caches.mod)], discover=False)
    real = find.find

    def known(asked: find.Request) -> find.Host:
        return real(asked)._replace(private=private, versions=("go1.26.8",))

    find.find = known
    try:
        return verify.run(request, verify.Options(**options))
    finally:
        find.find = real


def damage(caches: gocaches.Caches) -> List[str]:
    """One of each that can be had again; returns what a repair must take, cache by cache."""
    output = max(caches.build.glob("??/*-d"), key=lambda path: path.stat().st_size)
    gocaches.flip(output, 100)
    gocaches.flip(caches.mod / AZURE / "lib.go")
    at_v = caches.mod / "cache/download/example.com/lib/@v"
    gocaches.write(at_v / "v0.1.0.zip", b"")
    gocaches.write(at_v / "v0.2.0.info", b"")
    gocaches.write(at_v / "v0.2.0-!r!c1.ziphash", b"\0" * 47)
    return [str(output.relative_to(caches.build))]


def photograph(caches: gocaches.Caches) -> Any:
    return gocaches.photograph(caches.build), gocaches.photograph(caches.mod)


def test_a_healthy_agent_is_ok_and_untouched(caches: gocaches.Caches) -> None:
    gocaches.age_access(caches.home)
    before = photograph(caches)
    result = run(caches, repair=True)
    assert result["ok"]
    assert not result["changed"]
    assert result["damaged"] == result["evicted"] == []
    assert result["verified"]["zip"]["ok"] == len(caches.proxy.modules)
    assert [row["kind"] for row in result["caches"]] == ["go-build", "go-mod"]
    assert photograph(caches) == before


def test_without_repair_nothing_is_touched(caches: gocaches.Caches) -> None:
    damage(caches)
    gocaches.age_access(caches.home)
    before = photograph(caches)
    result = run(caches)
    assert not result["ok"]
    assert not result["changed"]
    assert result["damaged_total"] == 5
    assert sorted(item["class"] for item in result["damaged"]) == ["info", "output", "tree", "zip", "ziphash"]
    assert result["plan_digest"] == ""
    assert photograph(caches) == before


def test_check_mode_predicts_the_repair_exactly(caches: gocaches.Caches) -> None:
    damage(caches)
    gocaches.age_access(caches.home)
    before = photograph(caches)
    predicted = run(caches, repair=True, check=True)
    assert photograph(caches) == before
    done = run(caches, repair=True)
    assert predicted["changed"]
    assert done["changed"]
    for key in ("plan_digest", "planned_entries", "predicted_bytes", "evicted_entries", "evicted", "repaired", "ok"):
        assert predicted[key] == done[key], key
    assert predicted["freed_bytes"] == 0
    assert done["freed_bytes"] > 0
    assert done["ok"]


def test_a_repair_takes_what_is_damaged_and_nothing_else_and_go_gets_it_back(caches: gocaches.Caches) -> None:
    damage(caches)
    before = gocaches.photograph(caches.mod), gocaches.photograph(caches.build)
    result = run(caches, repair=True)
    assert result["ok"], result["left_out"]
    assert result["repaired"] == 5
    promised = {(item["cache"], path) for item in result["damaged"] for path in item["repair"]}
    for top, old in zip((caches.mod, caches.build), before):
        gone = set(old) - set(gocaches.photograph(top))
        assert gone
        for path in gone:
            assert any(cache == str(top) and (path + "/").startswith(one + "/") for cache, one in promised), path
    again = run(caches, repair=True)
    assert again["ok"]
    assert not again["changed"]
    for label in ("example.com/Azure/Lib@v1.0.0", "example.com/lib@v0.1.0", "example.com/lib@v0.2.0-RC1"):
        assert caches.run("mod", "download", label, GOPROXY=caches.proxy.url).returncode == 0
    assert run(caches)["ok"]
    assert (caches.mod / AZURE / "lib.go").exists()


def test_a_damaged_tree_with_a_damaged_zip_is_downloaded_again(caches: gocaches.Caches) -> None:
    gocaches.flip(caches.mod / AZURE / "lib.go")
    os.truncate(str(caches.mod / (AT_V + ".zip")), 10)
    result = run(caches, repair=True)
    assert result["ok"], result
    assert not (caches.mod / AZURE).exists()
    assert caches.run("mod", "download", "example.com/Azure/Lib@v1.0.0").returncode == 0
    assert run(caches)["ok"]


def test_a_tree_whose_ziphash_is_garbage_too_is_repaired(caches: gocaches.Caches) -> None:
    gocaches.flip(caches.mod / AZURE / "lib.go")
    gocaches.write(caches.mod / (AT_V + ".ziphash"), b"\0" * 47)
    result = run(caches, repair=True)
    assert result["ok"], result
    assert not (caches.mod / AZURE).exists()
    assert not (caches.mod / (AT_V + ".ziphash")).exists()
    assert caches.run("mod", "download", "example.com/Azure/Lib@v1.0.0").returncode == 0
    assert run(caches)["ok"]


def test_what_the_checksum_database_contradicts_goes_whole(caches: gocaches.Caches) -> None:
    good = (caches.mod / (AT_V + ".ziphash")).read_text()
    folder = caches.mod / "cache/download/sumdb/sum.golang.org/lookup/example.com/!azure"
    folder.mkdir(parents=True)
    evil = goproxy.make_module("example.com/Azure/Lib", "v1.0.0", files=1)
    data = goproxy.zip_bytes(evil)
    gocaches.write(caches.mod / (AT_V + ".zip"), data)
    gocaches.write(caches.mod / (AZURE + "/many0000.go"), evil.files["many0000.go"])
    with open(str(caches.mod / (AT_V + ".zip")), "rb") as handle:
        gocaches.write(caches.mod / (AT_V + ".ziphash"), dirhash.h1_zip(handle, evil.label).encode())
    (folder / "!lib@v1.0.0").write_text("1\nexample.com/Azure/Lib v1.0.0 %s\n\ntree\n" % good)
    assert run(caches)["damaged"][0]["problem"].startswith("the checksum database")
    result = run(caches, repair=True)
    assert result["ok"], result
    for path in (AZURE, AT_V + ".zip", AT_V + ".ziphash"):
        assert not (caches.mod / path).exists()
    assert caches.run("mod", "download", "example.com/Azure/Lib@v1.0.0").returncode == 0
    assert run(caches)["ok"]


@pytest.mark.parametrize("private", [(goproxy.PRIVATE,), None], ids=["private", "unknown"])
def test_a_private_tree_without_a_zip_stays_damaged_as_it_is(caches: gocaches.Caches, private: Any) -> None:
    gocaches.flip(caches.mod / SECRET / "secret.go")
    (caches.mod / "cache/download/git.corp.example/team/!secret/@v/v1.0.0.zip").unlink()
    result = run(caches, private=private, repair=True)
    assert not result["ok"]
    assert not result["changed"]
    assert result["protected"][0]["entries"] == 1
    assert "private" in result["protected"][0]["reason"]
    assert (caches.mod / SECRET / "secret.go").exists()


def test_a_private_tree_with_a_sound_zip_is_repaired_from_it(caches: gocaches.Caches) -> None:
    gocaches.flip(caches.mod / SECRET / "secret.go")
    assert run(caches, repair=True)["ok"]
    done = caches.run("mod", "download", "git.corp.example/team/Secret@v1.0.0", GOPROXY="off")
    assert done.returncode == 0, done.stderr
    assert run(caches)["ok"]


def test_while_go_tools_run_trees_and_outputs_stay_for_a_later_run(
    caches: gocaches.Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(caches)
    busy = Activity(((4711, 1, "go"),), True)
    monkeypatch.setattr(running, "users_of", lambda *_args: busy)
    result = run(caches, repair=True, time_limit=4)
    assert not result["ok"]
    left = {item["path"]: item["reason"] for item in result["left_out"]}
    assert left[AZURE] == "in use"
    output = next(item for item in result["damaged"] if item["class"] == "output")
    assert not output["repaired"]
    assert left[output["path"]] == "in use"
    for path in output["repair"][:-1]:  # nothing finds it any more
        assert not (caches.build / path).exists()
    monkeypatch.setattr(running, "users_of", lambda *_args: Activity((), True))
    assert run(caches, repair=True)["ok"]
    assert run(caches)["ok"]


def test_a_file_that_was_replaced_since_it_was_read_stays(
    caches: gocaches.Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = caches.mod / (AT_V + ".info")
    sound = path.read_bytes()
    gocaches.write(path, b"")
    real = verify._Verification._repair

    def replaced(self: Any, *args: Any) -> Any:
        path.write_bytes(sound)
        return real(self, *args)

    monkeypatch.setattr(verify._Verification, "_repair", replaced)
    result = run(caches, repair=True)
    assert path.read_bytes() == sound
    assert [item["reason"] for item in result["left_out"]] == ["changed"]


def test_a_version_that_go_has_locked_is_left_alone(caches: gocaches.Caches) -> None:
    gocaches.write(caches.mod / (AT_V + ".info"), b"")
    with open(str(caches.mod / (AT_V + ".lock")), "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run(caches, repair=True)
    assert [item["reason"] for item in result["left_out"]] == ["locked"]
    assert (caches.mod / (AT_V + ".info")).exists()
    assert (caches.mod / (AT_V + ".lock")).exists()


def test_two_repairs_at_once_do_not_mix(caches: gocaches.Caches) -> None:
    damage(caches)
    fd = os.open(str(caches.mod), os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(verify.Failed, match="another cleaner is at work") as caught:
            run(caches, repair=True)
    finally:
        os.close(fd)
    assert caught.value.result["evicted_entries"] > 0  # of the other cache, and told


def test_the_stale_index_of_a_repaired_tree_goes_too(caches: gocaches.Caches, filled: gocaches.Caches) -> None:
    tree = caches.mod / "example.com/big@v1.0.0"
    project = caches.home / "project"
    shutil.copytree(str(filled.home / "uses"), str(project))
    os.rename(str(tree / "big.go"), str(tree / "big.txt"))
    caches.run("build", "-o", os.devnull, ".", cwd=project)  # fails, or not: the index now knows no big.go
    version = caches.run("env", "GOVERSION").stdout.strip()
    real = find.find

    def known(asked: find.Request) -> find.Host:
        return real(asked)._replace(private=(), versions=(version,))

    find.find = known
    try:
        request = find.Request(paths=[str(caches.build), str(caches.mod)], discover=False)
        result = verify.run(request, verify.Options(repair=True))
    finally:
        find.find = real
    assert result["ok"], result["left_out"]
    done = caches.run("build", "-o", os.devnull, ".", cwd=project, GOPROXY="off")
    assert done.returncode == 0, done.stderr


def test_lists_are_capped_and_say_so(caches: gocaches.Caches) -> None:
    for number in range(130):
        name = hashlib.sha256(b"%d" % number).hexdigest()
        gocaches.write(caches.build / name[:2] / (name + "-d"), b"other")
    gocaches.age_access(caches.build)
    result = run(caches, repair=True)
    assert len(result["damaged"]) == len(result["evicted"]) == 100
    assert result["damaged_total"] == result["repaired"] == 130
    assert result["truncated"]


def test_a_path_that_is_no_cache_is_refused_before_anything_is_read(tmp_path: pathlib.Path) -> None:
    for path in ("", "off", "/", "relative", str(tmp_path)):
        with pytest.raises(find.BadRequest):
            verify.run(find.Request(paths=[path], discover=False), verify.Options(repair=True))
    missing = verify.run(find.Request(paths=[str(tmp_path / "missing")], discover=False), verify.Options())
    assert missing["ok"]
    assert missing["caches"] == []
    assert "no Go cache here" in verify.sentence(missing)
