# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checksum database as the go command uses it (golang.org/x/mod/sumdb): signed tree heads, records, proofs.

What Go also does and this does not: prove that the tree goes on from the one that the account saw last
(GOPATH/pkg/sumdb/NAME/latest), and advance that file. The doctor compares their sizes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Callable, Dict, List, NamedTuple, Tuple

from .._go import modpath

#: The databases whose keys Go knows (modfetch/key.go).
KNOWN = {"sum.golang.org": "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"}


class SumProblem(ValueError):
    """What is wrong with an answer of the database."""


class Database(NamedTuple):
    """A GOSUMDB value. name: host, perhaps with a path. key: 32 bytes. url: "" unless the value names one.

    off: whether it is switched off. error: why Go refuses the value, or an empty text.
    """

    name: str
    key: bytes
    url: str
    off: bool
    error: str


def parse(value: str) -> Database:
    """The database of a GOSUMDB value (modfetch.dbDial). Never raises."""
    if value == "sum.golang.google.cn":
        value = "sum.golang.org https://sum.golang.google.cn"
    if value == "off":
        return Database("", b"", "", True, "")
    words = value.split()
    if not words:
        return Database("", b"", "", False, "missing GOSUMDB")
    if len(words) > 2:
        return Database("", b"", "", False, "invalid GOSUMDB: too many fields")
    name, _plus, rest = KNOWN.get(words[0], words[0]).partition("+")
    digest, _plus, key64 = rest.partition("+")
    try:
        key = base64.b64decode(key64.encode("ascii"), validate=True)
        good = binascii.unhexlify(digest) == _key_hash(name, key) and len(key) == 33 and key[0] == 1
    except (ValueError, binascii.Error):
        key, good = b"", False
    if not good:
        return Database("", b"", "", False, "invalid GOSUMDB: malformed verifier id")
    return Database(name, key[1:], words[1] if len(words) == 2 else "", False, "")


def _key_hash(name: str, key: bytes) -> bytes:
    return hashlib.sha256(name.encode("utf-8") + b"\n" + key).digest()[:4]


# Ed25519 (RFC 8032, section 6); only public values are handled, so time may depend on them.

_P = 2**255 - 19
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ORDER = 2**252 + 27742317777372353535851937790883648493
_I = pow(2, (_P - 1) // 4, _P)
_Point = Tuple[int, int, int, int]


def _add(one: _Point, two: _Point) -> _Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c = 2 * one[3] * two[3] * _D % _P
    d = 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _multiply(factor: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while factor > 0:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total


def _x(y: int, sign: int) -> int:
    if y >= _P:
        raise SumProblem("a point that is not on the curve")
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P)
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _I % _P
    if (x * x - square) % _P or (x == 0 and sign):
        raise SumProblem("a point that is not on the curve")
    return _P - x if (x & 1) != sign else x


def _decode(data: bytes) -> _Point:
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    x = _x(y, sign)
    return (x, y, 1, x * y % _P)


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_BASE: _Point = (_x(_BASE_Y, 0), _BASE_Y, 1, _x(_BASE_Y, 0) * _BASE_Y % _P)


def signed(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature of 64 bytes is the key's."""
    if len(signature) != 64 or len(key) != 32:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    if scalar >= _ORDER:
        return False
    try:
        owner, r = _decode(key), _decode(signature[:32])
    except SumProblem:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    left, right = _multiply(scalar, _BASE), _add(r, _multiply(challenge, owner))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


# Notes, trees, records


class Tree(NamedTuple):
    """A signed tree head: number of records, and the root's hash."""

    size: int
    root: bytes


def tree_head(data: bytes, database: Database) -> Tree:
    """The tree head of a signed note (sumdb/note.Open, tlog.ParseTree). Raises SumProblem."""
    at = data.rfind(b"\n\n")
    if at < 0:
        raise SumProblem("the tree head is no signed note")
    text, signatures = data[: at + 1], data[at + 2 :]
    mine = False
    key_hash = _key_hash(database.name, b"\x01" + database.key)
    for line in signatures.decode("utf-8", "replace").splitlines():
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\u2014" or words[1] != database.name:
            continue
        try:
            raw = base64.b64decode(words[2].encode("ascii", "replace"), validate=True)
        except (ValueError, binascii.Error):
            continue
        if raw[:4] == key_hash:
            mine = True
            if not signed(database.key, text, raw[4:]):
                raise SumProblem("the signature of the tree head is not by the key of %s" % database.name)
    if not mine:
        raise SumProblem("the tree head has no signature by the key of %s" % database.name)
    lines = text.split(b"\n")
    try:
        size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (ValueError, IndexError, binascii.Error):
        raise SumProblem("malformed tree head") from None
    if lines[0] != b"go.sum database tree" or not 0 <= size < 1 << 62 or len(root) != 32:
        raise SumProblem("malformed tree head")
    return Tree(size, root)


class Record(NamedTuple):
    """The answer to one lookup: number in the tree, the go.sum lines, and the tree head that goes with it."""

    number: int
    text: bytes
    head: bytes


def record(data: bytes) -> Record:
    """What a lookup answered (tlog.ParseRecord). Raises SumProblem."""
    first, _newline, rest = data.partition(b"\n")
    text, gap, head = rest.partition(b"\n\n")
    if not first.isdigit() or len(first) > 18 or not gap:
        raise SumProblem("malformed record: the answer is not a checksum database's")
    return Record(int(first), text + b"\n", head)


def lookup_path(path: str, version: str) -> str:
    """The path of a lookup below the database's address. Raises ValueError for what is no module."""
    return "lookup/%s@%s" % (modpath.escape_path(path), modpath.escape_version(version))


def sums(text: bytes, path: str, version: str) -> Tuple[str, str]:
    """(hash of the zip, hash of go.mod) of a record's or go.sum's lines; an empty text where a line is missing."""
    found: Dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == path and words[2].startswith("h1:"):
            found.setdefault(words[1], words[2])
    return found.get(version, ""), found.get(version + "/go.mod", "")


# Proofs: tiles of height 8, as tlog.Tile.Path names them.

#: Gives the content of a tile by its path below the database's address; raises SumProblem.
ReadTile = Callable[[str], bytes]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def tile_path(level: int, number: int, width: int) -> str:
    """``tile/8/LEVEL/NUMBER``, with ``.p/WIDTH`` for one that is not full."""
    text = "%03d" % (number % 1000)
    while number >= 1000:
        number //= 1000
        text = "x%03d/%s" % (number % 1000, text)
    return "tile/8/%d/%s%s" % (level, text, "" if width == 256 else ".p/%d" % width)


class _Proof:
    def __init__(self, tree: Tree, number: int, leaf: bytes, read: ReadTile) -> None:
        self.tree = tree
        self.number = number
        self.leaf = leaf
        self.read = read
        self.tiles: Dict[Tuple[int, int], bytes] = {}

    def stored(self, level: int, index: int) -> bytes:
        # the hash of a complete subtree of 2**level records, from the tile that covers it
        tile_level, inside = divmod(level, 8)
        start = index << inside
        number = start >> 8
        if (tile_level, number) not in self.tiles:
            width = min(256, (self.tree.size >> (8 * tile_level)) - number * 256)
            data = self.read(tile_path(tile_level, number, width))
            if len(data) != width * 32:
                raise SumProblem("a tile of the wrong length")
            self.tiles[tile_level, number] = data
        data = self.tiles[tile_level, number]
        first = (start & 255) * 32
        hashes: List[bytes] = [data[first + 32 * i : first + 32 * i + 32] for i in range(1 << inside)]
        while len(hashes) > 1:
            hashes = [_node(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    def root(self, low: int, high: int) -> bytes:
        count = high - low
        if count == 1 and low == self.number:
            return self.leaf
        level = count.bit_length() - 1
        if not low <= self.number < high and count == 1 << level:
            return self.stored(level, low >> level)
        half = 1 << ((count - 1).bit_length() - 1)
        return _node(self.root(low, low + half), self.root(low + half, high))


def prove(found: Record, tree: Tree, read: ReadTile) -> None:
    """Raises SumProblem unless the record is in the tree (sumdb.Client.checkRecord)."""
    if found.number >= tree.size:
        raise SumProblem("record %d cannot be in a tree of %d records" % (found.number, tree.size))
    leaf = hashlib.sha256(b"\x00" + found.text).digest()
    if _Proof(tree, found.number, leaf, read).root(0, tree.size) != tree.root:
        raise SumProblem("the record is not in the signed tree: somebody changed the answer")
