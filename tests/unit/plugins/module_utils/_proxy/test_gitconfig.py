# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go.files import LocalFiles
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import gitconfig

FILE = """# a comment
[user]
\tname = "A \\"B\\" ; c" # end
[url "ssh://git@git.example.com/"]
\tinsteadOf = https://git.example.com/
[url "https://mirror.example.com/team/"]
  insteadOf = https://git.example.com/team/ ; longer
[http "https://git.example.com"]
\tsslVerify
\textraHeader = one
[http]
\textraHeader = two
[core] sshCommand = ssh -i \\
/srv/key
"""


def config(tmp_path: pathlib.Path, text: str, **environ: str) -> gitconfig.Config:
    (tmp_path / ".gitconfig").write_text(text, encoding="utf-8")
    given = dict({"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}, **environ)
    return gitconfig.Config(given, LocalFiles())


def test_it_reads_what_git_reads(tmp_path: pathlib.Path) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("needs git")
    found = config(tmp_path, FILE)
    environ = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.defpath}
    said = subprocess.run([git, "config", "--null", "--list"], check=True, stdout=subprocess.PIPE, env=environ, cwd="/")
    theirs = [item.replace("\n", "=", 1) for item in said.stdout.decode().split("\0") if item]
    mine = [
        ".".join(part for part in (row.section, row.subsection, row.key) if part) + "=" + row.value
        for row in found.items
    ]
    assert [
        line.replace("sslverify", "sslverify=true") if line.endswith("sslverify") else line for line in theirs
    ] == mine


def test_the_longest_rule_rewrites_a_url(tmp_path: pathlib.Path) -> None:
    found = config(tmp_path, FILE)
    assert found.instead("https://git.example.com/a")[0] == "ssh://git@git.example.com/a"
    url, rule = found.instead("https://git.example.com/team/a")
    assert url == "https://mirror.example.com/team/a"
    assert rule is not None
    assert rule.where.endswith(".gitconfig:7")
    assert found.instead("https://other.example.com/a") == ("https://other.example.com/a", None)


def test_settings_of_a_url_are_stronger_than_general_ones(tmp_path: pathlib.Path) -> None:
    found = config(tmp_path, FILE)
    assert found.last("http", "extraheader", "https://git.example.com/x") == "one"
    assert found.last("http", "extraheader", "https://git.example.com:443/x") == "one"
    assert found.last("http", "extraheader", "https://git.example.com:8443/x") == "two"
    assert found.last("http", "extraheader", "https://a.git.example.com/x") == "two"


def test_includes_are_followed_within_bounds(tmp_path: pathlib.Path) -> None:
    (tmp_path / "more").write_text("[include]\n path = more\n[user]\n name = included\n", encoding="utf-8")
    text = '[include]\n path = ~/more\n[includeIf "gitdir:/srv/"]\n path = other\n[include]\n path = missing\n'
    found = config(tmp_path, text)
    assert [item.value for item in found.items if item.section == "user"] == ["included"]
    assert [note.partition(": ")[2] for note in found.notes] == [
        "includeIf depends on the repository and is not followed"
    ]


def test_a_broken_file_and_one_that_cannot_be_read_are_told(tmp_path: pathlib.Path) -> None:
    assert "git refuses to work" in config(tmp_path, "[user\nname = x\n").notes[0]
    (tmp_path / "folder").mkdir()
    assert config(tmp_path, "", GIT_CONFIG_GLOBAL=str(tmp_path / "folder")).notes != []


def test_settings_of_the_environment_come_last(tmp_path: pathlib.Path) -> None:
    environ = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.https://a.test/.proxy", "GIT_CONFIG_VALUE_0": "x"}
    assert config(tmp_path, "", **environ).last("http", "proxy", "https://a.test/r") == "x"


def test_helpers_are_named_without_their_arguments(tmp_path: pathlib.Path) -> None:
    text = "[credential]\n helper = old\n helper =\n helper = store --file /s\n helper = !echo password=s3cret\n"
    names = gitconfig.helper_names(config(tmp_path, text).for_url("credential", "helper", "https://a.test"))
    assert [name.partition(" (")[0] for name in names] == ["store", "a shell command"]
    assert "s3cret" not in " ".join(names)


@settings(deadline=None)
@given(st.text(alphabet='[]"\\=#; \n\tabAB.-', max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        items = gitconfig.parse(text, "f")
    except gitconfig.Malformed:
        return
    assert all(item.section for item in items)
