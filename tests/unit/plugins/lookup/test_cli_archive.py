# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup: a file that nobody else can change, the same each time."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants as C
from ansible.errors import AnsibleError

from ansible_collections.gofleet.cache.plugins.lookup import cli_archive
from ansible_collections.gofleet.cache.plugins.plugin_utils import _archive


class Lookup(cli_archive.LookupModule):
    """The lookup with options that no loader has read; Molecule's scenario has it loaded by Ansible."""

    def set_options(self, var_options: Any = None, direct: Any = None) -> None:
        self.given = {"python": "/usr/bin/python3", **direct}

    def get_option(self, name: str) -> Any:
        return self.given[name]


def test_the_documented_default_is_the_archives_own() -> None:
    documented = yaml.safe_load(cli_archive.DOCUMENTATION)
    assert documented["options"]["python"]["default"] == _archive.PYTHON


def test_it_returns_a_private_file_with_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(tmp_path))
    lookup = Lookup()
    (path,) = lookup.run([], {})
    assert Path(path).read_bytes() == _archive.build()
    assert Path(path).parent == tmp_path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert lookup.run([], {}) == [path]
    assert os.listdir(tmp_path) == [os.path.basename(path)]
    (other,) = lookup.run([], {}, python="/usr/bin/python3.11")
    assert other != path
    assert Path(other).read_bytes().startswith(b"#!/usr/bin/python3.11 ")


def test_what_it_cannot_do_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(tmp_path))
    lookup = Lookup()
    with pytest.raises(AnsibleError, match="takes no terms"):
        lookup.run(["x"], {})
    with pytest.raises(AnsibleError, match="interpreter"):
        lookup.run([], {}, python="python 3")


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="only its owner"):
        cli_archive.write(b"x", str(tmp_path))
    tmp_path.chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="only its owner"):
        cli_archive.write(b"x", str(link))


def test_another_content_takes_another_name_and_an_old_file_is_replaced(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    first = cli_archive.write(b"one", str(tmp_path))
    Path(first).write_bytes(b"changed by a crash")
    assert cli_archive.write(b"one", str(tmp_path)) == first
    assert Path(first).read_bytes() == b"one"
    assert cli_archive.write(b"two", str(tmp_path)) != first
