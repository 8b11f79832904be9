# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import base, buildkite

# As the agent's packages ship it.
SAMPLE = b"""\
#!/usr/bin/env bash

# The `environment` hook will run before all other commands, and can be used
# to set up secrets, data, and so on. Anything exported in hooks will be available
# to the build script.
#
# For example:
#
# export SECRET_VAR=token

set -e
"""
NAMES = st.sampled_from(["GOPROXY", "GOFLAGS", "GOCACHE", "A", "B1"])
VALUES = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=12)
BLOCK = b"# BEGIN gofleet.cache\nexport GOPROXY='off'\n# END gofleet.cache\n"


def test_the_block_stands_behind_the_shebang_and_set_and_in_front_of_all_else() -> None:
    rest = b"\n# why\nif true; then exit 0; fi\n"
    assert buildkite.edit(SAMPLE + rest, "", {"GOPROXY": "off"}) == SAMPLE + BLOCK + rest
    assert buildkite.edit(b"echo hi\n", "", {"GOPROXY": "off"}) == BLOCK + b"echo hi\n"
    head = b"#!/bin/sh\n"
    assert buildkite.edit(head + b"# note\nset -e; exit 0\n", "", {"GOPROXY": "off"}) == (
        head + BLOCK + b"# note\nset -e; exit 0\n"
    )


def test_a_new_hook_is_a_bash_script_and_goes_with_its_last_variable() -> None:
    done = buildkite.edit(None, "", {"GOPROXY": "off"})
    assert done == b"#!/usr/bin/env bash\n" + BLOCK
    assert buildkite.edit(done, "", {"GOPROXY": None}) is None
    assert buildkite.edit(None, "", {"GOPROXY": None}) is None
    assert buildkite.KIND.mode == 0o755


@pytest.mark.parametrize("data", [SAMPLE, b"", b"#!/bin/bash", b"#!/bin/sh\necho 1", b"echo 1\n\n", b"set -eu\n\xff\n"])
def test_what_is_set_and_removed_again_leaves_the_same_bytes(data: bytes) -> None:
    done = buildkite.edit(data, "", {"GOPROXY": "off", "GOFLAGS": "-mod=mod"})
    assert done is not None
    assert buildkite.read(done, "") == {"GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    assert buildkite.edit(done, "", {"GOPROXY": "off"}) == done
    more = buildkite.edit(done, "", {"GOPROXY": "direct"})
    assert more == done.replace(b"'off'", b"'direct'")
    assert buildkite.edit(done, "", {"GOPROXY": None, "GOFLAGS": None}) == data


@pytest.mark.parametrize(
    "data", [b"#!/usr/bin/env python3\nimport os\n", b"#!/usr/bin/env -S bash\n", b"\x7fELF\x02\x01", b"a\0b", b"#!\n"]
)
def test_a_hook_that_no_shell_sources_is_refused(data: bytes) -> None:
    with pytest.raises(base.BadPlace):
        buildkite.edit(data, "", {"GOPROXY": "off"})


@pytest.mark.parametrize("line", ["#!/bin/bash -e", "#! /bin/sh", "#!/usr/bin/env dash", "#!/usr/bin/zsh"])
def test_every_shell_that_the_agent_sources_hooks_with_is_taken(line: str) -> None:
    assert buildkite.read(line.encode() + b"\nexport A=b\n", "") == {"A": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "# BEGIN gofleet.cache\n",
        "# END gofleet.cache\n",
        "# END gofleet.cache\n# BEGIN gofleet.cache\n",
        BLOCK.decode() * 2,
    ],
)
def test_a_broken_block_is_refused(text: str) -> None:
    with pytest.raises(base.BadPlace, match="BEGIN"):
        buildkite.edit(text.encode(), "", {"A": "b"})


def test_of_what_the_hook_exports_the_last_plain_value_is_seen() -> None:
    text = b"""\
export A=1 B="two words" # note
C=3
export C
D=4
export E='it'\\''s'; echo
export F="$HOME/x"
export G=$(date)
  export H=5
I=6 true
export A='7'
export J=8; unset J
unset B
declare -x K=9
export L=~/x
export M=/x
export M=$N
export O=a\\
b
"""
    assert buildkite.read(text, "") == {"A": "7", "C": "3", "E": "it's", "H": "5", "J": "8", "K": "9"}


def test_the_hooks_own_lines_are_neither_changed_nor_silently_left() -> None:
    text = b"export GOPROXY=direct\n"
    done = buildkite.edit(text, "", {"GOPROXY": "off"})
    assert done == BLOCK + text
    assert buildkite.read(done, "") == {"GOPROXY": "direct"}
    assert buildkite.edit(done, "", {"GOPROXY": "off"}) == done
    assert buildkite.edit(text, "", {"GOPROXY": "direct"}) == text
    with pytest.raises(base.BadPlace, match="line 1 of the hook itself sets GOPROXY"):
        buildkite.edit(text, "", {"GOPROXY": None})


@given(
    st.lists(st.sampled_from(["echo hi", "# c", "", "set -e", "X=1", "if true; then", "fi", "exit 0"]), max_size=5),
    st.booleans(),
    st.dictionaries(NAMES, VALUES, min_size=1, max_size=4),
    st.dictionaries(NAMES, st.none() | VALUES, max_size=4),
)
def test_an_edit_gives_what_was_wanted_and_changes_nothing_else(
    lines: List[str], ended: bool, first: Dict[str, str], changes: Dict[str, Optional[str]]
) -> None:
    data = ("\n".join(lines) + ("\n" if ended and lines else "")).encode("utf-8")
    done = buildkite.edit(data, "", first) or b""
    done = buildkite.edit(done, "", changes) or b""
    want = {name: value for name, value in {**first, **changes}.items() if value is not None}
    assert buildkite.read(done, "") == want
    assert (buildkite.edit(done, "", changes) or b"") == done
    assert buildkite.edit(done, "", dict.fromkeys(want)) == data


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@settings(max_examples=30)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_a_real_shell_exports_what_was_wanted(values: Dict[str, str]) -> None:
    data = buildkite.edit(b"set -eu\nexit 0\n", "", values)
    assert data is not None
    done = subprocess.run(
        ["bash", "-c", data.decode("utf-8").replace("exit 0\n", "env -0\n")],
        env={"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=20,
    )
    got = dict(row.split("=", 1) for row in done.stdout.decode("utf-8").split("\0") if "=" in row)
    assert {name: got.get(name) for name in values} == values


def test_the_hook_lies_where_hooks_path_says(tmp_path: Path) -> None:
    folder = tmp_path / "etc/buildkite-agent"
    folder.mkdir(parents=True)
    (folder / "buildkite-agent.cfg").write_text('token="SECRET"\nhooks-path="/srv/hooks"\n')
    found = buildkite.KIND.find(base.Request(root=str(tmp_path)))
    assert [(place.path, place.then, place.where_jobs_run) for place in found.places] == [
        (str(tmp_path / "srv/hooks/environment"), "", "host")
    ]
    assert [row.who for row in found.not_reached] == ["containers of Buildkite's docker and docker-compose plugins"]
    assert "SECRET" not in repr(found)


def test_an_option_of_the_service_wins_over_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc/buildkite-agent"
    folder.mkdir(parents=True)
    (folder / "buildkite-agent.cfg").write_text('hooks-path="/srv/hooks"\n')
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "buildkite-agent.service").write_text(
        "[Service]\nExecStart=/usr/bin/buildkite-agent start --hooks-path /srv/other\n"
    )
    found = buildkite.KIND.find(base.Request(root=str(tmp_path)))
    assert [place.path for place in found.places] == [str(tmp_path / "srv/other/environment")]


def test_an_agent_without_a_hooks_path_is_not_reached(tmp_path: Path) -> None:
    folder = tmp_path / "etc/buildkite-agent"
    folder.mkdir(parents=True)
    (folder / "buildkite-agent.cfg").write_text('name="x"\n')
    found = buildkite.KIND.find(base.Request(root=str(tmp_path)))
    assert not found.places
    assert len(found.not_reached) == 1
    assert "hooks-path" in found.not_reached[0].why


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for other accounts")
@pytest.mark.parametrize("how", ["option", "environment", "file"])
def test_a_process_of_somebody_else_names_no_hooks_of_the_system(tmp_path: Path, how: str) -> None:
    (tmp_path / "etc").mkdir()
    argv, environ = ["/usr/bin/buildkite-agent", "start"], ""
    if how == "option":
        argv += ["--hooks-path", "/etc"]
    elif how == "environment":
        environ = "BUILDKITE_HOOKS_PATH=/etc"
    else:
        home = tmp_path / "home/somebody"
        home.mkdir(parents=True)
        (home / "agent.cfg").write_text("hooks-path=/etc\n")
        os.chown(home, 54321, 54321)
        argv += ["--config", "/home/somebody/agent.cfg"]
    place = tmp_path / "proc/11"
    place.mkdir(parents=True)
    (place / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv))
    (place / "environ").write_bytes(environ.encode() + b"\0")
    (place / "root").symlink_to(tmp_path)
    os.chown(place, 54321, 54321)
    found = buildkite.KIND.find(base.Request(root=str(tmp_path)))
    assert not found.places
    assert any("uid 54321" in row.why for row in found.not_reached)
    os.chown(place, 0, 0)
    found = buildkite.KIND.find(base.Request(root=str(tmp_path)))
    assert [item.path for item in found.places] == ([] if how == "file" else [str(tmp_path / "etc/environment")])
