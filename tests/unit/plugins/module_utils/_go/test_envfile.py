# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess

from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import envfile

_PIECES = st.sampled_from(
    [
        b"GOPROXY",
        b"GOFLAGS",
        b"A",
        b"a",
        b"=",
        b"==",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"#",
        b"export ",
        b"\x00",
        b"\xff",
        b"'",
        b"Z9",
    ]
)
_TEXTS = st.lists(_PIECES, max_size=40).map(b"".join) | st.binary(max_size=200)


def _as_go_reads_it(data: bytes) -> dict[str, str]:
    # Word for word cmd/go/internal/cfg readEnvFile.
    found: dict[str, str] = {}
    while len(data) > 0:
        line = data
        at = data.find(b"\n")
        if at >= 0:
            line, data = line[:at], data[at + 1 :]
        else:
            data = b""
        at = line.find(b"=")
        if at < 0 or line[0] < ord("A") or ord("Z") < line[0]:
            continue
        found[line[:at].decode("utf-8", "surrogateescape")] = line[at + 1 :].decode("utf-8", "surrogateescape")
    return found


@given(_TEXTS)
@example(b"A=1\rB=2\n")
@example(b"A=1")
@example(b"=x\n")
def test_values_are_those_of_gos_own_reader(data: bytes) -> None:
    assert envfile.values(envfile.parse(data)) == _as_go_reads_it(data)


@given(_TEXTS)
def test_no_byte_is_lost(data: bytes) -> None:
    assert b"".join(line.raw for line in envfile.parse(data)) == data


@given(_TEXTS)
def test_findings_never_fail_and_name_existing_lines(data: bytes) -> None:
    lines = envfile.parse(data)
    for finding in envfile.findings(lines):
        assert 1 <= finding.number <= len(lines)


def test_the_last_duplicate_wins_and_the_first_is_reported() -> None:
    lines = envfile.parse(b"GOPROXY=a\nGOPROXY=b\n")
    assert envfile.values(lines) == {"GOPROXY": "b"}
    assert [(finding.code, finding.number) for finding in envfile.findings(lines)] == [("env-file-duplicate", 1)]


def test_what_go_ignores_or_takes_literally_is_reported() -> None:
    data = b' GOPROXY=a\nexport GOFLAGS=-v\nnonsense\nGOPRIVATE="a.b"\nGOBIN=/x \nGOSUMDB=off\r\nGO X=1\n# fine\n\n'
    codes = {finding.number: finding.code for finding in envfile.findings(envfile.parse(data))}
    assert codes == {
        1: "env-file-bad-line",
        2: "env-file-bad-line",
        3: "env-file-bad-line",
        4: "env-file-quotes",
        5: "env-file-blanks",
        6: "env-file-crlf",
        7: "env-file-bad-name",
    }


def test_findings_hold_no_values() -> None:
    data = b'GOPROXY="https://u:s3cret@h" \r\nGOPROXY= https://u:s3cret@h\nxx s3cret\n'
    assert "s3cret" not in repr(envfile.findings(envfile.parse(data)))


def test_the_real_go_reads_the_same(go_binary: str, tmp_path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b" GOPRIVATE=no\nGOPRIVATE=one\nGOPRIVATE='two' # three\nGONOSUMDB=\nGOINSECURE=a=b\r\nGOVCS")
    names = ["GOPRIVATE", "GONOSUMDB", "GOINSECURE", "GOVCS"]
    environ = {"HOME": "/dev/null", "GOENV": str(path), "GOTOOLCHAIN": "local", "PATH": os.defpath}
    answer = subprocess.run([go_binary, "env", *names], env=environ, cwd="/", stdout=subprocess.PIPE, check=True).stdout
    values = envfile.values(envfile.parse(path.read_bytes()))
    private = values["GOPRIVATE"]
    assert private == "'two' # three"
    assert answer.decode() == f"{private}\n{private}\n{values['GOINSECURE']}\n\n"
