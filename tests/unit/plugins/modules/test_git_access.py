# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module git_access, through main()."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.modules import git_access

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

Run = Callable[..., "tuple[int, dict[str, Any]]"]
REWRITE = {"prefix": "https://git.example.com/", "use": "ssh://git@git.example.com/"}
KEY = {
    "host": "git.example.com",
    "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(check: bool = False, **options: Any) -> tuple[int, dict[str, Any]]:
        places = {"gitconfig": str(tmp_path / "gitconfig"), "known_hosts_file": str(tmp_path / "ssh" / "known_hosts")}
        arguments = dict(places, **options, _ansible_check_mode=check, _ansible_diff=True)
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            git_access.main()
        out = capsys.readouterr().out
        assert "hunter2" not in out
        return int(ended.value.code or 0), json.loads(out)

    return call


def test_check_mode_writes_nothing_and_predicts_the_run(run: Run, tmp_path: Path) -> None:
    code, planned = run(check=True, instead_of=[REWRITE], known_hosts=[KEY], http_proxy="http://p.example.com:3128")
    assert code == 0
    assert planned["changed"]
    assert os.listdir(tmp_path) == []
    _code, done = run(instead_of=[REWRITE], known_hosts=[KEY], http_proxy="http://p.example.com:3128")
    assert (done["files"], done["rewrites"], done["diff"]) == (planned["files"], planned["rewrites"], planned["diff"])
    assert (tmp_path / "ssh").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "ssh" / "known_hosts").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ssh" / "known_hosts").read_text() == "git.example.com %s\n" % KEY["key"]
    stamps = [path.stat().st_mtime_ns for path in (tmp_path / "gitconfig", tmp_path / "ssh" / "known_hosts")]
    _code, again = run(instead_of=[REWRITE], known_hosts=[KEY], http_proxy="http://p.example.com:3128")
    assert not again["changed"]
    assert again["diff"] == []
    assert stamps == [path.stat().st_mtime_ns for path in (tmp_path / "gitconfig", tmp_path / "ssh" / "known_hosts")]


def test_what_is_absent_is_removed_and_a_proxy_that_is_not_named_stays(run: Run, tmp_path: Path) -> None:
    run(instead_of=[REWRITE], known_hosts=[KEY], http_proxy="http://p.example.com:3128")
    _code, done = run(instead_of=[dict(REWRITE, state="absent")], known_hosts=[dict(KEY, state="absent")])
    assert done["changed"]
    assert done["rewrites"] == ["http.proxy = http://p.example.com:3128"]
    assert (tmp_path / "ssh" / "known_hosts").read_text() == ""
    assert run(http_proxy="")[1]["rewrites"] == []


def test_a_token_is_refused_and_shown_nowhere(run: Run, tmp_path: Path) -> None:
    code, failed = run(instead_of=[dict(REWRITE, use="https://ci:hunter2@git.example.com/")], known_hosts=[KEY])
    assert code == 1
    assert "Nothing was written" in failed["msg"]
    assert [fault["id"] for fault in failed["faults"]] == ["git-credentials"]
    assert os.listdir(tmp_path) == []


def test_where_another_rewrite_wins_nothing_is_written(run: Run, tmp_path: Path) -> None:
    text = '[url "https://hunter2@mirror.example.com/"]\n\tinsteadOf = https://git.example.com/\n'
    (tmp_path / "gitconfig").write_text(text)
    code, failed = run(instead_of=[REWRITE], known_hosts=[KEY])
    assert code == 1
    assert "which stands first" in failed["msg"]
    assert (tmp_path / "gitconfig").read_text() == text
    assert not (tmp_path / "ssh").exists()


def test_a_broken_file_stays_as_it_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text("[url\n")
    code, failed = run(instead_of=[REWRITE])
    assert code == 1
    assert "bad config" in failed["msg"]
    assert (tmp_path / "gitconfig").read_text() == "[url\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_accounts_files_belong_to_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.gofleet.cache.plugins.module_utils._go import accounts, configure

    home = tmp_path / "home"
    home.mkdir()
    for path in (tmp_path, *tmp_path.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o011)
    os.chown(home, 12345, 12345)
    account = accounts.Account("ci", 12345, 12345, str(home))
    monkeypatch.setattr(configure, "find_account", lambda _name: account)
    _code, done = run(account="ci", instead_of=[REWRITE], known_hosts=[KEY], gitconfig=None, known_hosts_file=None)
    assert done["changed"]
    for name in (".gitconfig", ".ssh", ".ssh/known_hosts"):
        assert (home / name).stat().st_uid == 12345
