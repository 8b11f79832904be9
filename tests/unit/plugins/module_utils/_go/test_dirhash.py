# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib
import io
import os
import pathlib
import struct
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import dirhash
from ansible_collections.gofleet.cache.tests.fixtures import gocaches

NAMES = st.lists(st.sampled_from("abcde"), min_size=1, max_size=4).map("/".join)
FILES = st.dictionaries(NAMES.map(lambda name: name + ".go"), st.binary(max_size=300), max_size=8)


def make_zip(files: dict, method: int = zipfile.ZIP_DEFLATED, prefix: str = "m@v1/") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(prefix + name, data)
    return stream.getvalue()


def h1_of(data: bytes, prefix: str = "m@v1") -> str:
    return dirhash.h1_zip(io.BytesIO(data), prefix)


def tree_h1(path: pathlib.Path, prefix: str = "m@v1") -> str:
    fd = os.open(str(path), os.O_RDONLY)
    try:
        below = prefix.encode("utf-8") + b"/"
        return dirhash.h1((below + name, digest) for name, digest in dirhash.tree_digests(fd).items())
    finally:
        os.close(fd)


def test_hashes_are_those_of_go() -> None:
    # golang.org/x/mod/sumdb/dirhash, hash_test.go: TestHash1
    def digest(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    pairs = [(b"xyz", digest(b"data for xyz")), (b"abc", digest(b"data for abc"))]
    text = b"".join(b"%s  %s\n" % (d.hex().encode(), n) for n, d in sorted(pairs))
    assert dirhash.h1(pairs) == "h1:" + base64.b64encode(digest(text)).decode()
    # the go.mod line of golang.org/x/text v0.3.0 in countless go.sum files
    assert dirhash.h1_gomod(b"module golang.org/x/text\n") == "h1:NqM8EUOU14njkJ3fqMW+pc6Ldnwhi/IjpwHt7yyuwOQ="


@given(FILES, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_a_zip_and_its_extracted_tree_have_the_same_hash(tmp_path_factory, files: dict, method: int) -> None:
    top = tmp_path_factory.mktemp("tree")
    for name, data in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert tree_h1(top) == h1_of(make_zip(files, method))


@given(FILES, st.binary(max_size=40))
def test_data_before_the_archive_and_comments_change_nothing(files: dict, junk: bytes) -> None:
    plain = make_zip(files)
    stream = io.BytesIO()
    stream.write(junk)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = b"a comment"
        for name, data in files.items():
            archive.writestr("m@v1/" + name, data)
    assert h1_of(stream.getvalue()) == h1_of(plain)


@given(st.binary(max_size=400))
def test_garbage_is_a_zip_problem_and_nothing_else(data: bytes) -> None:
    with pytest.raises(dirhash.ZipProblem):
        h1_of(data)


@given(st.data())
def test_a_damaged_zip_never_passes_for_the_sound_one(data) -> None:
    files = {"a.go": b"package a\n" * 50, "b.go": os.urandom(200)}
    sound = make_zip(files)
    where = data.draw(st.integers(0, len(sound) - 1))
    bad = bytearray(sound)
    bad[where] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = h1_of(bytes(bad))
    except dirhash.ZipProblem:
        return
    if found == h1_of(sound):  # times, attributes and comments are not part of the hash
        for name, content in files.items():
            assert dirhash.zip_file(io.BytesIO(bytes(bad)), "m@v1/" + name) == content


def test_of_two_records_of_one_name_the_last_counts_twice() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("m@v1/a", b"first")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("m@v1/a", b"second")
    second = hashlib.sha256(b"second").digest()
    assert h1_of(stream.getvalue()) == dirhash.h1([(b"m@v1/a", second), (b"m@v1/a", second)])


def test_names_are_hashed_as_the_bytes_they_are() -> None:
    data = make_zip({"\u00e9.go": b"x"}).replace(b"\xc3\xa9", b"\xe9\xe9")
    digest = hashlib.sha256(b"x").digest()
    assert h1_of(data) == dirhash.h1([(b"m@v1/\xe9\xe9.go", digest)])


def test_a_file_outside_the_module_is_refused() -> None:
    with pytest.raises(dirhash.ZipProblem, match=r"unexpected file 'other@v1/a'"):
        h1_of(make_zip({"a": b""}, prefix="other@v1/"))


def test_a_zip64_archive_is_read() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("m@v1/a", "w", force_zip64=True) as handle:
        handle.write(b"x")
    plain = stream.getvalue()
    # what an archiver writes that always uses the large form: a zip64 end record and its locator before the end
    end = plain.rfind(b"PK\x05\x06")
    records, size, offset = struct.unpack_from("<HII", plain, end + 10)
    large = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, records, records, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert h1_of(plain[:end] + large + locator + last) == h1_of(plain)


def test_a_large_file_takes_little_memory(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "big.zip"
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m@v1/zeros", bytes(64 << 20))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/zeros").write_bytes(bytes(64 << 20))
    tracemalloc.start()
    try:
        with open(str(path), "rb") as handle:
            found = dirhash.h1_zip(handle, "m@v1")
        assert found == tree_h1(tmp_path / "tree")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_the_clock_may_stop_a_hash(tmp_path: pathlib.Path) -> None:
    class Enough(Exception):
        pass

    def tick(_read: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        dirhash.h1_zip(io.BytesIO(make_zip({"a": b"x"})), "m@v1", tick)


@pytest.mark.parametrize("kind", ["symlink", "fifo"])
def test_what_go_never_extracts_is_named(tmp_path: pathlib.Path, kind: str) -> None:
    (tmp_path / "sub").mkdir()
    if kind == "symlink":
        (tmp_path / "sub/odd").symlink_to("/etc/passwd")
    else:
        os.mkfifo(str(tmp_path / "sub/odd"))
    with pytest.raises(
        dirhash.TreeProblem, match="sub/odd: " + ("a symlink" if kind == "symlink" else "not a regular")
    ):
        tree_h1(tmp_path)


def test_a_tree_hundreds_of_folders_deep_is_hashed_without_recursion_and_with_few_descriptors(
    tmp_path: pathlib.Path,
) -> None:
    depth = 400
    fd = os.open(str(tmp_path), os.O_RDONLY)
    for _number in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    leaf = os.open("leaf", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(leaf, b"x")
    os.close(leaf)
    os.close(fd)
    opened = []
    real = dirhash.dirs.open_dir

    def counted(name: str, dir_fd: int) -> int:
        found = real(name, dir_fd)
        opened.append(found)  # the lowest free number: it grows with the number of open ones
        return found

    before = os.open("/", os.O_RDONLY)
    os.close(before)
    dirhash.dirs.open_dir = counted
    try:
        found = tree_h1(tmp_path)
    finally:
        dirhash.dirs.open_dir = real
    assert found == dirhash.h1([(b"m@v1/" + b"d/" * depth + b"leaf", hashlib.sha256(b"x").digest())])
    assert max(opened) - before < 40


def test_hashing_a_tree_leaves_no_trace(tmp_path: pathlib.Path) -> None:
    for name in ("a/b/c", "a/d", "e"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    gocaches.age_access(tmp_path)
    before = gocaches.photograph(tmp_path)
    tree_h1(tmp_path)
    assert gocaches.photograph(tmp_path) == before
