# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import os
import pathlib
import time
import zipfile
from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core.verify import Options
from ansible_collections.gofleet.cache.plugins.module_utils._fs import dirs, identity
from ansible_collections.gofleet.cache.plugins.module_utils._go import dirhash
from ansible_collections.gofleet.cache.plugins.module_utils._kinds import go_mod
from ansible_collections.gofleet.cache.plugins.module_utils._kinds.go_mod import verify
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, goproxy

AZURE = "example.com/!azure/!lib"
AT_V = "cache/download/%s/@v/" % AZURE


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SETTLE", 0.05)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, go_binary: str) -> gocaches.Caches:
    return gocaches.shared(tmp_path_factory.mktemp("home"), go_binary)


@pytest.fixture
def cache(filled: gocaches.Caches, tmp_path: pathlib.Path) -> pathlib.Path:
    return gocaches.copy_of(filled, tmp_path).mod


def check(path: pathlib.Path, **more: Any) -> Dict[str, Any]:
    root = identity.open_root(str(path), go_mod.looks_like, go_mod.KIND, homes=frozenset())
    try:
        return verify.verify(root, Options(more.pop("deadline", time.monotonic() + 60), **more)).data()
    finally:
        os.close(root.fd)


def problems(report: Dict[str, Any]) -> List[str]:
    return ["%s %s" % (item["class"], item["module"]) for item in report["damaged"]]


def only(report: Dict[str, Any]) -> Dict[str, Any]:
    assert not report["ok"]
    assert report["damaged_total"] == 1, report["damaged"]
    found: Dict[str, Any] = report["damaged"][0]
    return found


def test_a_healthy_cache_has_no_damage_whatever_its_modules_are_called(cache: pathlib.Path) -> None:
    report = check(cache, threads=4)
    assert report["ok"], report["damaged"]
    versions = len(goproxy.standard_modules())
    for cls in ("zip", "tree", "ziphash", "info", "mod"):
        assert report["classes"][cls]["ok"] == versions, cls
    assert report["unreached"]["entries"] == 0
    assert report["notes"] == {"go.mod files with nothing to compare with, checked for their form only": 1}


def test_looking_changes_nothing_and_no_access_time(cache: pathlib.Path) -> None:
    gocaches.flip(cache / AT_V / "v1.0.0.zip", 100)
    gocaches.flip(cache / (AZURE + "@v1.1.0") / "lib.go")
    gocaches.age_access(cache)
    before = gocaches.photograph(cache)
    check(cache)
    assert gocaches.photograph(cache) == before


@pytest.mark.parametrize("where", [70, -30, -10], ids=["content", "directory", "end"])
def test_a_flipped_byte_in_a_zip_is_found(cache: pathlib.Path, where: int) -> None:
    path = cache / AT_V / "v1.0.0.zip"
    gocaches.flip(path, where % path.stat().st_size)
    item = only(check(cache))
    assert (item["class"], item["module"]) == ("zip", "example.com/Azure/Lib@v1.0.0")
    assert item["path"] == AT_V + "v1.0.0.zip"
    assert item["repair"] == [AT_V + "v1.0.0.zip"]


def test_a_zip_with_other_content_is_found_though_it_is_a_sound_archive(cache: pathlib.Path) -> None:
    other = goproxy.make_module("example.com/Azure/Lib", "v1.0.0", files=1)
    gocaches.write(cache / AT_V / "v1.0.0.zip", goproxy.zip_bytes(other))
    item = only(check(cache))
    assert item["problem"] == "its content has another hash"
    assert item["expected"] == (cache / AT_V / "v1.0.0.ziphash").read_text()
    assert item["found"].startswith("h1:")
    assert item["found"] != item["expected"]


@pytest.mark.parametrize("size", [0, 100])
def test_a_truncated_zip_without_tree_is_told_with_what_go_does(
    cache: pathlib.Path, size: int, filled: gocaches.Caches
) -> None:
    os.truncate(str(cache / AT_V / "v1.0.0.zip"), size)
    os.rename(str(cache / (AZURE + "@v1.0.0")), str(cache.parent / "away"))
    item = only(check(cache))
    assert "not a sound zip" in item["problem"]
    assert "Go never downloads it again" in item["problem"]
    assert item["repair"] == [AT_V + "v1.0.0.zip", AT_V + "v1.0.0.ziphash"]
    # and that is so
    label = "example.com/Azure/Lib@v1.0.0"
    assert filled.run("mod", "download", label, GOMODCACHE=str(cache)).returncode != 0
    for path in item["repair"]:
        (cache / path).unlink()
    done = filled.run("mod", "download", label, GOMODCACHE=str(cache))
    assert done.returncode == 0, done.stderr
    assert check(cache)["ok"]


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 47, b"h1:short", b"h1:" + b"!" * 44, b"xx:" + b"a" * 43 + b"="],
    ids=["empty", "nul", "short", "no-base64", "other-prefix"],
)
def test_a_ziphash_that_is_no_hash_is_found_and_zip_and_tree_are_checked_all_the_same(
    cache: pathlib.Path, data: bytes
) -> None:
    gocaches.write(cache / AT_V / "v1.0.0.ziphash", data)
    item = only(check(cache))
    assert (item["class"], item["repair"]) == ("ziphash", [AT_V + "v1.0.0.ziphash"])
    gocaches.flip(cache / (AZURE + "@v1.0.0") / "lib.go")
    assert problems(check(cache)) == [
        "ziphash example.com/Azure/Lib@v1.0.0",
        "tree example.com/Azure/Lib@v1.0.0",
    ]


@pytest.mark.parametrize("damage", ["changed", "missing", "extra", "several"])
def test_a_tree_that_differs_is_found_with_the_names_of_the_files(cache: pathlib.Path, damage: str) -> None:
    tree = cache / "example.com/big@v1.0.0"
    if damage == "changed":
        gocaches.flip(tree / "many0003.go", 5)
        names = ["many0003.go"]
    elif damage == "missing":
        (tree / "internal/data/table.txt").unlink()
        names = ["internal/data/table.txt"]
    elif damage == "extra":
        (tree / "zz.go").write_text("package big\n")
        names = ["zz.go"]
    else:
        for number in range(5):
            (tree / ("many%04d.go" % number)).unlink()
        (tree / "zz.go").write_text("package big\n")
        names = ["many0000.go", "many0001.go", "many0002.go"]
    item = only(check(cache))
    assert (item["class"], item["module"], item["path"]) == ("tree", "example.com/big@v1.0.0", "example.com/big@v1.0.0")
    assert item["names"] == names
    assert item["repair"] == ["example.com/big@v1.0.0"]
    assert "without network" in item["how"]
    if damage == "several":
        assert "5 missing (many0000.go, many0001.go, many0002.go, ...), 1 extra (zz.go)" in item["problem"]
    else:
        assert "1 %s (%s)" % (damage, names[0]) in item["problem"]


def test_without_a_sound_zip_the_tree_is_still_checked(cache: pathlib.Path) -> None:
    (cache / AT_V / "v1.0.0.zip").unlink()
    assert check(cache)["ok"]
    gocaches.flip(cache / (AZURE + "@v1.0.0") / "lib.go")
    item = only(check(cache))
    assert "nothing to tell which" in item["problem"]
    assert "downloads it again" in item["how"]


@pytest.mark.parametrize("kind", ["symlink", "fifo"])
def test_what_go_never_extracts_is_damage_and_never_followed(cache: pathlib.Path, kind: str) -> None:
    odd = cache / (AZURE + "@v1.0.0") / "odd"
    if kind == "symlink":
        odd.symlink_to("/")
    else:
        os.mkfifo(str(odd))
    item = only(check(cache))
    assert item["names"] == ["odd"]
    assert "what Go never puts there" in item["problem"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"[]",
        b"\0" * 60,
        b'{"Version":"v1.0.0","Time":"yesterday"}',
        b'{"Version":"v9.9.9"}',
        b'{"Time":"2024-01-02T15:04:05Z"}',
    ],
    ids=["empty", "garbage", "list", "nul", "time", "other", "no-version"],
)
def test_an_info_that_is_garbage_or_of_another_version_is_found(cache: pathlib.Path, data: bytes) -> None:
    gocaches.write(cache / AT_V / "v1.0.0.info", data)
    item = only(check(cache))
    assert (item["class"], item["repair"]) == ("info", [AT_V + "v1.0.0.info"])


@given(st.one_of(st.binary(max_size=80), st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(json.dumps)))
def test_any_info_is_judged_without_an_error(data: Any) -> None:
    verify.check_info(data if isinstance(data, bytes) else data.encode("utf-8", "replace"), "v1.0.0")


def test_infos_as_go_and_proxies_write_them_are_fine() -> None:
    for data in (
        b'{"Version":"v1.0.0","Time":"2024-01-02T15:04:05Z"}',
        b'{"version":"v1.0.0","Time":"2024-01-02T15:04:05.123+02:00","Origin":{"VCS":"git"}}\n',
        b'{"Version":"v1.0.0"}',
        b'{"Version":"v1.0.0","Name":"abc","Short":"abc","Time":null}',
    ):
        assert verify.check_info(data, "v1.0.0") is None


def test_a_changed_go_mod_is_found_by_the_zips(cache: pathlib.Path) -> None:
    path = cache / AT_V / "v1.0.0.mod"
    gocaches.write(path, path.read_bytes() + b"\nrequire example.com/evil v1.0.0\n")
    item = only(check(cache))
    assert (item["class"], item["repair"]) == ("mod", [AT_V + "v1.0.0.mod"])
    assert "the one in the module's zip" in item["problem"]
    (cache / AT_V / "v1.0.0.zip").unlink()
    assert "the one in the module's tree" in only(check(cache))["problem"]


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 30, b"<html>not found</html>", b"module\0x\n"],
    ids=["empty", "nul", "html", "nul-inside"],
)
def test_a_go_mod_that_stands_alone_must_at_least_be_one(cache: pathlib.Path, data: bytes) -> None:
    path = cache / "cache/download/example.com/legacy/@v/v3.1.0+incompatible.mod"
    gocaches.write(path, data)
    assert "no module line" in only(check(cache))["problem"]
    for good in (
        b"module example.com/legacy\n",
        b"// Deprecated: x\n\nmodule (\n\texample.com/legacy\n)\r\n",
        b'module "a.b/c"',
    ):
        gocaches.write(path, good)
        assert check(cache)["ok"], good


def lookup(cache: pathlib.Path, module: str, mod: str) -> None:
    # as golang.org/x/mod/sumdb caches an answer
    folder = cache / "cache/download/sumdb/sum.golang.org/lookup/example.com/!azure"
    folder.mkdir(parents=True)
    text = "1234\nexample.com/Azure/Lib v1.0.0 %s\nexample.com/Azure/Lib v1.0.0/go.mod %s\n\ngo.sum database tree\n9\n"
    (folder / "!lib@v1.0.0").write_text(text % (module, mod))


def test_what_the_checksum_database_said_counts_more_than_the_cache(cache: pathlib.Path) -> None:
    ziphash = (cache / AT_V / "v1.0.0.ziphash").read_text()
    mod = dirhash.h1_gomod((cache / AT_V / "v1.0.0.mod").read_bytes())
    lookup(cache, ziphash, mod)
    assert check(cache)["ok"]
    other = goproxy.make_module("example.com/Azure/Lib", "v1.0.0", files=1)
    data = goproxy.zip_bytes(other)
    gocaches.write(cache / AT_V / "v1.0.0.zip", data)
    gocaches.write(cache / AT_V / "v1.0.0.ziphash", dirhash.h1_zip(io.BytesIO(data), other.label).encode())
    item = next(one for one in check(cache)["damaged"] if one["class"] == "ziphash")
    assert "checksum database" in item["problem"]
    assert item["expected"] == ziphash
    assert item["repair"] == [AZURE + "@v1.0.0", AT_V + "v1.0.0.zip", AT_V + "v1.0.0.ziphash"]


def test_the_checksum_databases_hash_of_a_go_mod_counts(cache: pathlib.Path) -> None:
    lookup(cache, (cache / AT_V / "v1.0.0.ziphash").read_text(), dirhash.h1_gomod(b"module other\n"))
    item = only(check(cache))
    assert item["class"] == "mod"
    assert "the checksum database" in item["problem"]


def test_versions_in_parts_are_no_damage_and_leftovers_are_counted(cache: pathlib.Path) -> None:
    os.unlink(str(cache / AT_V / "v1.0.0.ziphash"))  # zip and tree without: Go hashes the zip again
    (cache / "cache/download/example.com/lib/@v/v0.1.0.partial").write_bytes(b"")
    gocaches.flip(cache / "example.com/lib@v0.1.0/lib.go")  # is extracted again anyway
    (cache / AT_V / "v1.2.3.zip123.tmp").write_bytes(b"half")
    (cache / "example.com/lib@v0.1.0.tmp-123").mkdir()
    (cache / "golang.org/fips140@v1.0.0").mkdir(parents=True)
    (cache / "cache/vcs/0123").mkdir(parents=True)
    (cache / "cache/download/BAD/@v").mkdir(parents=True)
    (cache / "cache/download/BAD/@v/v1.0.0.zip").write_bytes(b"x")
    report = check(cache)
    assert report["ok"], report["damaged"]
    notes = report["notes"]
    assert notes["zips without .ziphash"] == 1
    assert notes["trees without .ziphash, which Go takes for incomplete"] == 1
    assert notes["trees being extracted or cut off (.partial), which Go extracts again"] == 1
    assert notes["temporary files"] == 1
    assert notes["temporary trees"] == 1
    assert notes["trees that Go unpacked from its own installation"] == 1
    assert notes["version control clones, not verified"] == 1
    assert notes["not named like a module version"] == 1


def test_a_toolchain_is_sound_also_after_go_has_prepared_it(filled: gocaches.Caches, tmp_path: pathlib.Path) -> None:
    # cmd/go/internal/toolchain/select.go: _go.mod is copied to go.mod, bin/go made executable
    toolchain = goproxy.Module(
        "golang.org/toolchain",
        "v0.0.1-go1.99.1.linux-amd64",
        {"bin/go": b"#!/bin/true\n", "src/_go.mod": b"module std\n", "src/cmd/_go.mod": b"module cmd\n"},
    )
    cache = tmp_path / "mod"
    at_v = cache / "cache/download/golang.org/toolchain/@v"
    at_v.mkdir(parents=True)
    data = goproxy.zip_bytes(toolchain)
    (at_v / (toolchain.version + ".zip")).write_bytes(data)
    (at_v / (toolchain.version + ".ziphash")).write_text(dirhash.h1_zip(io.BytesIO(data), toolchain.label))
    tree = cache / toolchain.label
    for name, content in toolchain.files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert check(cache)["classes"]["tree"]["ok"] == 1
    (tree / "src/go.mod").write_bytes(b"module std\n")
    (tree / "src/cmd/go.mod").write_bytes(b"module cmd\n")
    (tree / "bin/go").chmod(0o755)
    assert check(cache)["classes"]["tree"]["ok"] == 1
    (tree / "src/cmd/go.mod").write_bytes(b"module evil\n")
    assert only(check(cache))["names"] == ["src/cmd/go.mod"]


def test_a_zip_with_folder_records_is_no_damage(cache: pathlib.Path) -> None:
    # some proxies make such zips; Go hashes the records and cannot find them in the tree
    stream = io.BytesIO()
    module = goproxy.make_module("example.com/Azure/Lib", "v1.0.0")
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(module.label + "/internal/", b"")
        for name, data in module.files.items():
            archive.writestr("%s/%s" % (module.label, name), data)
    gocaches.write(cache / AT_V / "v1.0.0.zip", stream.getvalue())
    gocaches.write(cache / AT_V / "v1.0.0.ziphash", dirhash.h1_zip(stream, module.label).encode())
    report = check(cache)
    assert report["ok"], report["damaged"]
    assert report["notes"]["trees equal to their zip but for its folder records"] == 1


def test_a_zip_that_is_downloaded_anew_meanwhile_is_no_damage(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cache / AT_V / "v1.0.0.zip"
    sound = path.read_bytes()
    path.write_bytes(sound[:50])
    real = verify._Verify._settled

    def meanwhile(self: Any, name: str, *rest: Any) -> None:
        if name == path.name:
            path.write_bytes(sound)
        real(self, name, *rest)

    monkeypatch.setattr(verify._Verify, "_settled", meanwhile)
    report = check(cache)
    assert report["ok"], report["damaged"]
    assert report["notes"]["changed meanwhile"] == 1


def test_a_tree_that_is_being_extracted_is_no_damage(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = cache / (AZURE + "@v1.0.0")
    real = dirhash.tree_digests

    def meanwhile(fd: int, *rest: Any) -> Any:
        found = real(fd, *rest)
        if os.fstat(fd).st_ino == tree.stat().st_ino:
            (cache / AT_V / "v1.0.0.partial").write_bytes(b"")
        return found

    (tree / "lib.go").unlink()
    monkeypatch.setattr(dirhash, "tree_digests", meanwhile)
    report = check(cache)
    assert report["ok"], report["damaged"]
    assert report["notes"]["changed meanwhile"] == 1


def test_what_cannot_be_read_without_a_trace_is_counted_and_never_read(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = dirs.open_file

    def refused(name: str, dir_fd: Any = None) -> int:
        if name == "v1.0.0.zip":
            raise dirs.CannotLook(1, "not readable without changing its access time", name)
        return real(name, dir_fd)

    monkeypatch.setattr(dirs, "open_file", refused)
    report = check(cache)
    assert report["ok"]
    zips = list((cache / "cache/download").glob("**/v1.0.0.zip"))
    assert report["unreached"]["entries"] == len(zips) > 0
    assert report["unreached"]["bytes"] == sum(path.stat().st_size for path in zips)


def test_the_time_limit_ends_the_work_and_says_so(cache: pathlib.Path) -> None:
    report = check(cache, deadline=time.monotonic() - 1, threads=2)
    assert "time limit" in report["truncated"]
    assert sum(cell["checked"] for cell in report["classes"].values()) == 0


def test_a_sample_spares_reading_but_not_the_small_files(cache: pathlib.Path) -> None:
    report = check(cache, sample=50.0, seed="x")
    for cls in ("zip", "tree"):
        cell = report["classes"][cls]
        assert 0 < cell["checked"] < cell["checked"] + cell["skipped"] == len(goproxy.standard_modules())
    assert report["classes"]["info"]["skipped"] == 0
    assert check(cache, sample=50.0, seed="x") == report
