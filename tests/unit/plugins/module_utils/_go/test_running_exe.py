# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import shutil
import struct
import sys
from typing import Dict, List, Optional, Tuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import running, running_exe


def _varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def build_info(path: str) -> bytes:
    """A .go.buildinfo section as the linker writes it since Go 1.18 (debug/buildinfo)."""
    text = b"m" * 16 + f"path\t{path}\nbuild\t-compiler=gc\n".encode() + b"e" * 16
    version = b"go1.26.8"
    return (
        b"\xff Go buildinf:" + bytes([8, 2]) + b"\0" * 16 + _varint(len(version)) + version + _varint(len(text)) + text
    )


def elf(sections: Dict[str, bytes], bits: int = 64, order: str = "<") -> bytes:
    """A small ELF file (elf(5))."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*sections, ".shstrtab"])
    body, rows = b"", [(0, 0, 0)]
    at = 64
    for name, data in [*sections.items(), (".shstrtab", names)]:
        rows.append((names.index(b"\0" + name.encode() + b"\0") + 1, at + len(body), len(data)))
        body += data
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1 if order == "<" else 2]) + b"\1" + b"\0" * 9
    table = at + len(body)
    if bits == 64:
        head = ident + struct.pack(
            order + "HHIQQQIHHHHHH", 2, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, len(rows), len(rows) - 1
        )
        tail = b"".join(struct.pack(order + "IIQQQQIIQQ", n, 1, 0, 0, o, s, 0, 0, 0, 0) for n, o, s in rows)
    else:
        head = ident + struct.pack(
            order + "HHIIIIIHHHHHH", 2, 3, 1, 0, 0, table, 0, 52, 0, 0, 40, len(rows), len(rows) - 1
        )
        tail = b"".join(struct.pack(order + "IIIIIIIIII", n, 1, 0, 0, o, s, 0, 0, 0, 0) for n, o, s in rows)
    return head.ljust(64, b"\0") + body + tail


def program(path: pathlib.Path, data: Optional[bytes] = None) -> Optional[str]:
    if data is not None:
        path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        return running_exe.program(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_go_program_is_known_by_its_content(tmp_path: pathlib.Path, bits: int, order: str) -> None:
    file = tmp_path / "x"
    assert program(file, elf({".text": b"x", ".go.buildinfo": build_info("cmd/go")}, bits, order)) == "cmd/go"
    assert program(file, elf({".note.go.buildid": b"x"}, bits, order)) == ""
    assert program(file, elf({".go.buildinfo": b"\xff Go buildinf:" + b"\x08\0" + b"\0" * 16}, bits, order)) == ""
    assert program(file, elf({".text": b"x"}, bits, order)) is None


def test_a_real_go_is_known(tmp_path: pathlib.Path) -> None:
    go = os.environ.get("GOFLEET_TEST_GO") or shutil.which("go")
    if not go:
        pytest.skip("no Go toolchain: GOFLEET_TEST_GO is not set and no go is on PATH")
    assert program(pathlib.Path(os.path.realpath(go))) == "cmd/go"
    assert program(pathlib.Path(os.path.realpath(sys.executable))) is None


_ELF = elf({".go.buildinfo": build_info("cmd/go")})


@given(st.binary(max_size=400))
@example(b"")
@example(b"\x7fELF")
@example(b"#!/bin/sh\n")
def test_any_bytes_are_an_executable(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    assert program(file, data) in (None, "")


@given(st.lists(st.tuples(st.integers(0, len(_ELF) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_executable_is_read_to_its_end(
    tmp_path_factory: pytest.TempPathFactory, damage: List[Tuple[int, int]]
) -> None:
    data = bytearray(_ELF)
    for place, value in damage:
        data[place] = value
    found = program(tmp_path_factory.getbasetemp() / "damaged", bytes(data))
    assert found is None or isinstance(found, str)


@given(st.binary(max_size=200))
def test_any_bytes_are_build_information(data: bytes) -> None:
    assert isinstance(running_exe.main_path(b"\xff Go buildinf:\x08\x02" + data), str)


def _proc(tmp_path: pathlib.Path, name: str, data: bytes, maps: str = "") -> str:
    exe = tmp_path / name
    exe.write_bytes(data)
    folder = tmp_path / "proc/77"
    folder.mkdir(parents=True)
    (folder / "stat").write_text("77 (%s) S %s\n" % (name, " ".join(["0"] * 30)))
    (folder / "environ").touch()
    (folder / "maps").write_text(maps)
    (folder / "root").symlink_to("/")
    (folder / "exe").symlink_to(exe)
    return str(tmp_path / "proc")


@pytest.mark.parametrize(
    ("name", "data", "tool"),
    [
        ("renamed", elf({".go.buildinfo": build_info("cmd/go")}), True),
        ("renamed", elf({".go.buildinfo": build_info("golang.org/dl/go1.24.3")}), True),
        ("lint2", elf({".go.buildinfo": build_info("github.com/golangci/golangci-lint/v2/cmd/golangci-lint")}), True),
        ("link", elf({".go.buildinfo": build_info("example.org/other")}), True),
        ("link", elf({".text": b"x"}), False),
        ("pack", b"#!/usr/bin/python3\n", False),
        ("server", elf({".go.buildinfo": build_info("example.org/server")}), False),
        ("go", elf({".text": b"gccgo"}), True),
    ],
)
def test_tools_are_known_by_what_they_are(tmp_path: pathlib.Path, name: str, data: bytes, tool: bool) -> None:
    """Names such as link and pack belong to others, too; and a tool may have any name."""
    assert [one.name for one in running.scan(_proc(tmp_path, name, data)).tools] == ([name] if tool else [])


def test_a_go_program_that_maps_a_build_cache_is_a_tool(tmp_path: pathlib.Path) -> None:
    maps = "7f00-7f10 r--s 00000000 fe:01 5   /c/ab/%s-d\n" % ("ab" * 32)
    data = elf({".go.buildinfo": build_info("example.org/analyzer")})
    assert [one.name for one in running.scan(_proc(tmp_path, "analyzer", data, maps)).tools] == ["analyzer"]


def test_looking_at_an_executable_leaves_its_access_time_alone(tmp_path: pathlib.Path) -> None:
    proc = _proc(tmp_path, "renamed", elf({".go.buildinfo": build_info("cmd/go")}))
    os.utime(tmp_path / "renamed", (1, 2_000_000_000))
    assert running.scan(proc).tools
    assert (tmp_path / "renamed").stat().st_atime == 1
