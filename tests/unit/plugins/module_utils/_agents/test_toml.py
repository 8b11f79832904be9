# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import string
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._agents import _toml

tomllib = pytest.importorskip("tomllib") if sys.version_info >= (3, 11) else None
needs_tomllib = pytest.mark.skipif(tomllib is None, reason="tomllib is in Python 3.11 and later")

GITLAB = '''\
concurrent = 4
check_interval = 0
connection_max_age = "15m0s"  # a duration

[session_server]
  session_timeout = 1_800

[[runners]]
  name = "one \\"quoted\\" é"
  token_obtained_at = 2024-02-29T08:00:00Z
  token_expires_at = 0001-01-01T00:00:00Z
  executor = 'docker'
  environment = [
    "GOFLAGS=-modcacherw",   # with a comment, and a comma at the end
    'GOMODCACHE=/cache/go',
  ]
  pre_build_script = """
set -e
[[ -d /cache ]] && echo "volumes = [no]"
"""
  [runners.docker]
    volumes = ["/cache", "/srv/go:/go:rw"]
    cpus = "1.5"
    shm_size = 0
    [runners.docker.sysctls]
      "net.ipv4.ip_forward" = "1"
  [[runners.docker.services]]
    name = "registry"
  [[runners.docker.services]]
    name = "postgres"

[[runners]]
  name = "two"
  runners_limits = {a.b = 1, c = [1, -2, 3.5e2]}
'''


def plain(value: object) -> object:
    """tomllib's values with dates as what they are here: texts of which only the kind is compared."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, (datetime.date, datetime.time, _toml.Moment)):
        return "a moment"
    if isinstance(value, float):
        return repr(value)
    return value


def test_a_runners_file_is_read_with_tables_arrays_of_tables_and_multi_line_texts() -> None:
    found = _toml.parse(GITLAB)
    runners = _toml.rows(found["runners"])
    assert [_toml.text(row["name"]) for row in runners] == ['one "quoted" é', "two"]
    assert runners[0]["environment"] == ["GOFLAGS=-modcacherw", "GOMODCACHE=/cache/go"]
    docker = _toml.table(runners[0]["docker"])
    assert docker["volumes"] == ["/cache", "/srv/go:/go:rw"]
    assert [row["name"] for row in _toml.rows(docker["services"])] == ["registry", "postgres"]
    assert _toml.table(docker["sysctls"]) == {"net.ipv4.ip_forward": "1"}
    assert runners[1]["runners_limits"] == {"a": {"b": 1}, "c": [1, -2, 350.0]}
    assert found["session_server"] == {"session_timeout": 1800}
    assert isinstance(runners[0]["token_obtained_at"], _toml.Moment)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = ", 2),
        ("a = 1\na = 2", 2),
        ("[t]\n[t]", 2),
        ("a = [1\n\nb = 2", 3),
        ('a = "x', 1),
        ("a = 'x\n'", 1),
        ('a = """x', 1),
        ("a = 01", 1),
        ("a = 2023-02-30", 1),
        ("a = 25:00:00", 1),
        ("a = yes", 1),
        ('a = "\\q"', 1),
        ('a = "\\ud800"', 1),
        ("a = 1 b = 2", 1),
        ("[a\nb = 1", 1),
        ("[[a]\n", 1),
        ("a = {b = 1,\n c = 2}", 1),
        ("a = {b = 1}\n[a]\nc = 2", 2),
        ("a = [1]\n[[a]]", 2),
        ("a.b = 1\n[a]", 2),
        ("[a.b]\n[a]\nb.c = 1", 3),
        ("= 1", 1),
        ("a = 1\0", 1),
        ("a # b", 1),
        ("a = " + "[" * 100 + "]" * 100, 1),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(_toml.TomlError) as caught:
        _toml.parse(text)
    assert caught.value.line == line


def test_an_error_never_quotes_the_file() -> None:
    with pytest.raises(_toml.TomlError) as caught:
        _toml.parse('[[runners]]\ntoken = "glrt-SECRET" junk-SECRET\n')
    assert "SECRET" not in str(caught.value)


KEYS = st.one_of(
    st.text(alphabet=string.ascii_letters + string.digits + "-_", min_size=1, max_size=6),
    st.text(min_size=0, max_size=6).filter(lambda text: text.isprintable()),
)
SCALARS = st.one_of(
    st.text(max_size=20).filter(lambda text: all(not 0xD800 <= ord(char) <= 0xDFFF for char in text)),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    st.datetimes().map(lambda moment: moment.replace(tzinfo=datetime.timezone.utc)),
    st.dates(),
)
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=3), max_leaves=8
)
DOCUMENTS = st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=4), max_size=5)


def quoted(text: str) -> str:
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif ord(char) < 32 or ord(char) == 127:
            out.append("\\u%04x" % ord(char))
        else:
            out.append(char)
    return '"%s"' % "".join(out)


def written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if value and "'" not in value and value.isprintable() and len(value) % 2:
            return "'%s'" % value
        return quoted(value)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, list):
        return "[\n" + "".join("  %s, # c\n" % written(item) for item in value) + "]"
    assert isinstance(value, dict)
    return "{" + ", ".join("%s = %s" % (quoted(key), written(item)) for key, item in value.items()) + "}"


def document(content: dict) -> str:
    lines = []
    tables = []
    for key, value in content.items():
        if isinstance(value, dict):
            tables.append((key, value))
        else:
            lines.append("%s = %s" % (quoted(key), written(value)))
    for key, value in tables:
        lines.append("[%s] # a table" % quoted(key))
        lines.extend("\t%s = %s" % (quoted(name), written(item)) for name, item in value.items())
    return "\n".join(lines) + "\n"


@needs_tomllib
@given(DOCUMENTS)
def test_documents_are_read_as_tomllib_reads_them(content: dict) -> None:
    text = document(content)
    assert plain(_toml.parse(text)) == plain(tomllib.loads(text))


PIECES = st.sampled_from(
    [
        "a", "b", "c", ".", " = ", "=", "\n", "[a]", "[[a]]", "[a.b]", "[[a.b]]", "1", "-1.5", "0x1F", "1_0", "inf",
        "'x'",
        '"x"', '"""', "'''", "{", "}", "[", "]", ",", " ", "#", "\t", "true", "2024-01-02", "2024-01-02 03:04:05", "\\",
        "\r\n", "\r", "é", '"\\u00e9"', "07:32:00.5",
    ]
)  # fmt: skip


@needs_tomllib
@given(st.lists(PIECES, max_size=14).map("".join) | st.text(alphabet="ab.=[]{}\"'\n 1,#-:TZ", max_size=24))
def test_any_text_is_read_as_tomllib_reads_it_or_refused(text: str) -> None:
    try:
        expected = plain(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError):
        with pytest.raises(_toml.TomlError):
            _toml.parse(text)
        return
    try:
        found = _toml.parse(text)
    except _toml.TomlError:
        return  # refusing is honest; guessing is not
    assert plain(found) == expected


@needs_tomllib
@given(st.integers(0, len(GITLAB) - 1), st.sampled_from(list("\"'[]{}=,\n#.x1 ") + [""]))
def test_a_damaged_runners_file_is_never_read_otherwise_than_tomllib_does(place: int, char: str) -> None:
    text = GITLAB[:place] + char + GITLAB[place + 1 :]
    try:
        expected = plain(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        with pytest.raises(_toml.TomlError):
            _toml.parse(text)
        return
    assert plain(_toml.parse(text)) == expected
