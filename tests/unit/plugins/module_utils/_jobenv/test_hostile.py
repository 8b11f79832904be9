# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents that somebody has made to be read for long, or into much memory."""

from __future__ import annotations

import pathlib
import time

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._agents import redact
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import (
    base,
    engine,
    environment_d,
    gitlab,
    jenkins,
    systemd,
)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (environment_d.KIND, b"A=b\n" * 60_000),
        (jenkins.KIND, b"<slave>" + b"<a/>\n" * 60_000 + b"</slave>"),
        (gitlab.KIND, b'[[runners]]\nname="a"\n' * gitlab.MAX_RUNNERS + b"# x\n" * 60_000),
    ],
)
def test_many_lines_are_read_in_little_time(kind: base.Kind, data: bytes) -> None:
    start = time.process_time()
    try:
        kind.read(data, "a (number 3)")
    finally:
        assert time.process_time() - start < 10


def test_a_file_of_thousands_of_runners_is_refused_with_the_reason_and_soon(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[[runners]]\nname="a"\n' * 12_000, encoding="utf-8")
    start = time.process_time()
    found = gitlab.find(base.Request(paths=(str(path),)))
    assert time.process_time() - start < 10
    assert found.places == []
    assert found.problems == ["%s: it has 12000 runners, and more than 500 are not looked at; split the file" % path]


def test_one_file_is_read_once_for_all_its_runners(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    rows = '[[runners]]\n  name = "r%d"\n  environment = ["A=1"]\n  [runners.docker]\n    image = "x"\n'
    path.write_text("concurrent = 1\n" + "".join(rows % number for number in range(20)), encoding="utf-8")
    whole: list[int] = []
    real = gitlab._document

    def document(text: str, mark: str = "") -> gitlab._Document:
        if text.startswith("concurrent"):
            whole.append(len(text))
        return real(text, mark)

    monkeypatch.setattr(gitlab, "_document", document)
    gitlab._parse.cache_clear()
    found = gitlab.find(base.Request(paths=(str(path),)))
    changes = {"GOPROXY": "direct", "GOFLAGS": "-v", "GOSUMDB": None}
    planned, _missing = engine.plan(found.places, changes)
    assert [item.changed for item in planned] == [True] * 20
    assert len(whole) == 21, "once as it is, and once for the proof of each edit"


@pytest.mark.parametrize(
    "data",
    [
        b"A0=xxxxxxxxxx\n" + b"".join(b'A%d="%s"\n' % (i + 1, b"$A%d" % i * 300) for i in range(8)),
        b"B=" + b"x" * 120_000 + b"\n" + b"".join(b"A%d=x$B\n" % i for i in range(20_000)),
    ],
)
def test_variables_that_refer_to_others_do_not_grow_without_end(data: bytes) -> None:
    with pytest.raises(base.BadPlace, match="longer than"):
        environment_d.read(data, "")


@pytest.mark.parametrize("text", ["a" * 200_000 + "@", "?token" * 40_000, "?" * 200_000, "?" + "token" * 40_000])
def test_no_value_takes_long_to_be_redacted(text: str) -> None:
    start = time.process_time()
    redact(text)
    assert time.process_time() - start < 10


def test_a_word_with_numbered_signs_keeps_them_when_its_neighbour_changes() -> None:
    data = b'[Service]\nEnvironment="A=x\\101\\u2026\\U0001F600\\x7a" GOPROXY=off\n'
    assert systemd.read(data, "") == {"A": "xA\u2026\U0001f600z", "GOPROXY": "off"}
    after = systemd.edit(data, "", {"GOPROXY": "direct"})
    assert after is not None
    assert systemd.read(after, "") == {"A": "xA\u2026\U0001f600z", "GOPROXY": "direct"}
