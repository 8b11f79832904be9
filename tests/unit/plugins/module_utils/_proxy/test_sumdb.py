# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
from typing import Dict

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._proxy import sumdb
from ansible_collections.gofleet.cache.tests.fixtures import fault_proxy as server


def test_ed25519_takes_the_vectors_of_rfc_8032_and_nothing_else() -> None:
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert sumdb.signed(key, b"\x72", signature)
    assert not sumdb.signed(key, b"\x73", signature)
    assert not sumdb.signed(key, b"\x72", signature[:63] + b"\x01")
    assert not sumdb.signed(b"\xff" * 32, b"\x72", signature)
    assert not sumdb.signed(key, b"\x72", b"")


@pytest.mark.parametrize(
    ("value", "name", "off", "error"),
    [
        ("sum.golang.org", "sum.golang.org", False, ""),
        ("sum.golang.google.cn", "sum.golang.org", False, ""),
        (sumdb.KNOWN["sum.golang.org"] + " https://mirror.example.com", "sum.golang.org", False, ""),
        ("off", "", True, ""),
        ("", "", False, "missing GOSUMDB"),
        ("a b c", "", False, "too many fields"),
        ("sum.example.com", "", False, "malformed verifier"),
        (sumdb.KNOWN["sum.golang.org"].replace("033de0ae", "033de0af"), "", False, "malformed verifier"),
    ],
)
def test_gosumdb_is_read_as_go_reads_it(value: str, name: str, off: bool, error: str) -> None:
    found = sumdb.parse(value)
    assert (found.name, found.off) == (name, off)
    assert error in found.error
    assert bool(found.error) is bool(error)


@pytest.mark.parametrize("size", [1, 2, 7, 255, 256, 257, 700])
def test_records_are_proved_by_tiles_and_changed_ones_are_not(size: int) -> None:
    records = [b"m v1.0.%d h1:x\n" % number for number in range(size)]
    database = server.Database(records)
    tree = sumdb.tree_head(database.head(), sumdb.parse(database.verifier))
    asked: Dict[str, bytes] = {}

    def read(path: str) -> bytes:
        asked[path] = database.tile(path)
        return asked[path]

    for number in sorted({0, size // 2, size - 1}):
        found = sumdb.Record(number, records[number], b"")
        sumdb.prove(found, tree, read)
        with pytest.raises(sumdb.SumProblem, match="not in the signed tree"):
            sumdb.prove(found._replace(text=b"other\n"), tree, read)
    with pytest.raises(sumdb.SumProblem, match="cannot be in"):
        sumdb.prove(sumdb.Record(size, b"x\n", b""), tree, read)
    assert hashlib.sha256(b"\x00" + records[0]).digest() == database.leaves[0]


def test_tiles_have_the_names_that_go_asks_for() -> None:
    # golang.org/x/mod/sumdb/tlog Tile.Path
    assert sumdb.tile_path(0, 1, 256) == "tile/8/0/001"
    assert sumdb.tile_path(1, 1234067, 8) == "tile/8/1/x001/x234/067.p/8"


@pytest.mark.parametrize("data", [b"", b"<html>", b"1\nx\n", b"x\ny\n\nz", b"\n\n"])
def test_what_is_no_record_or_tree_head_is_refused(data: bytes) -> None:
    with pytest.raises(sumdb.SumProblem):
        sumdb.record(data)
    with pytest.raises(sumdb.SumProblem):
        sumdb.tree_head(data, sumdb.parse("sum.golang.org"))
