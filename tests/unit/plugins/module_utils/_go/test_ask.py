# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking the real Go: it must agree, and it must leave nothing behind."""

from __future__ import annotations

import hashlib
import os
import pathlib

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import ask, evaluate, toolchain
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account


@pytest.fixture(scope="session")
def chains(go_binaries: list[str]) -> list[toolchain.Toolchain]:
    found: list[toolchain.Toolchain] = []
    for exe in go_binaries:
        extra = [os.path.realpath(exe)]
        discovery = toolchain.find_all(extra=extra, path=os.path.dirname(exe), environ={}, root="/nonexistent")
        found.append(discovery.toolchains[0])
    return found


def _tree(*tops: pathlib.Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for top in tops:
        for path in [top, *sorted(top.rglob("*"))]:
            state = os.lstat(path)
            data = b"" if not path.is_file() else path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            found[str(path)] = (state.st_mode, state.st_uid, state.st_size, state.st_mtime_ns, state.st_ino, digest)
    return found


def _account(home: pathlib.Path) -> Account:
    return Account("ci", os.geteuid(), os.getegid(), str(home))


def _ask(account: Account, environ: dict[str, str], chain: toolchain.Toolchain) -> ask.Answer:
    return ask.ask(account, evaluate.evaluate(account, environ, chain), chain)


def _trusted(chain: toolchain.Toolchain) -> None:
    reason = ask.why_untrusted(chain.exe, os.geteuid(), os.getegid())
    if reason:
        pytest.skip("needs a Go that nobody else can replace: " + reason)


ENVIRONS = {
    "plain": {},
    "no home": {"HOME": ""},
    "caches": {"XDG_CACHE_HOME": "/xdg", "GOPATH": "/a:/b"},
    "off": {"GOENV": "off", "GOCACHE": "off"},
    "relative": {"GOCACHE": "rel"},
    "update flag": {"GOFLAGS": "-u"},
    "write flag": {"GOFLAGS": "-w"},
    "changed flag": {"GOFLAGS": "-changed -json"},
    "download": {"GOTOOLCHAIN": "go1.99.1"},
    "auto": {"GOTOOLCHAIN": "auto"},
    "nonsense": {"GOTOOLCHAIN": "banana", "GOPROXY": "https://u:p@h"},
}


@pytest.mark.parametrize("environ", ENVIRONS.values(), ids=ENVIRONS)
def test_go_agrees_and_nothing_is_created_or_changed(
    chains: list[toolchain.Toolchain], tmp_path: pathlib.Path, environ: dict[str, str]
) -> None:
    home, xdg = tmp_path / "home", tmp_path / "xdg"
    (home / ".config" / "go").mkdir(parents=True)
    xdg.mkdir()
    text = "GOPRIVATE=git.example.com\nGOTOOLCHAIN=go1.98.0+auto\nGOPROXY=file:///nonexistent\nGOFLAGS=-mod=mod\n"
    (home / ".config/go/env").write_text(text)
    if environ.get("XDG_CACHE_HOME"):
        environ = dict(environ, XDG_CACHE_HOME=str(xdg), XDG_CONFIG_HOME=str(home / ".config"))
    before = _tree(tmp_path)
    root_before = sorted(os.listdir("/"))
    for chain in chains:
        _trusted(chain)
        answer = _ask(_account(home), environ, chain)
        assert (answer.agrees, answer.disagreements, answer.reason) == (True, (), ""), chain.version
        assert answer.compared > 20
    assert _tree(tmp_path) == before
    assert sorted(os.listdir("/")) == root_before


def test_a_home_that_does_not_exist_is_not_created(chains: list[toolchain.Toolchain], tmp_path: pathlib.Path) -> None:
    for chain in chains:
        _trusted(chain)
        assert _ask(_account(tmp_path / "gone" / "home"), {}, chain).agrees is True
    assert list(tmp_path.iterdir()) == []


def test_flags_that_make_go_env_write_do_not_reach_the_env_file(
    chains: list[toolchain.Toolchain], tmp_path: pathlib.Path
) -> None:
    (tmp_path / ".config/go").mkdir(parents=True)
    path = tmp_path / ".config/go/env"
    path.write_text("GOFLAGS=-u\nGOTOOLCHAIN=local\nGOPROXY=direct\n")
    for chain in chains:
        _trusted(chain)
        assert _ask(_account(tmp_path), {}, chain).agrees is True
    assert path.read_text() == "GOFLAGS=-u\nGOTOOLCHAIN=local\nGOPROXY=direct\n"


def test_a_wrong_evaluation_would_be_noticed(
    chains: list[toolchain.Toolchain], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = chains[0]
    _trusted(chain)
    account = _account(tmp_path)
    evaluation = evaluate.evaluate(account, {"GOPROXY": "https://user:s3cret@h.example"}, chain)
    real = evaluate.evaluate

    def wrong(*args: object, **more: object) -> evaluate.Evaluation:
        found = real(*args, **more)  # type: ignore[arg-type]
        found.settings["GOPROXY"] = evaluate.Setting("https://user:0ther@h.example", "process", "x")
        return found

    monkeypatch.setattr(ask, "evaluate", wrong)
    answer = ask.ask(account, evaluation, chain)
    assert answer.agrees is False
    assert [row.name for row in answer.disagreements] == ["GOPROXY"]
    assert "s3cret" not in repr(answer)
    assert "0ther" not in repr(answer)


def test_a_setting_with_which_go_refuses_to_work_is_told_in_its_words(
    chains: list[toolchain.Toolchain], tmp_path: pathlib.Path
) -> None:
    _trusted(chains[0])
    answer = _ask(_account(tmp_path), {"GOPATH": "relative"}, chains[0])
    assert answer.agrees is None
    assert answer.reason.startswith("go refuses to answer: go: GOPATH entry is relative")


def _script(tmp_path: pathlib.Path, text: str) -> toolchain.Toolchain:
    (tmp_path / "go/bin").mkdir(parents=True)
    exe = tmp_path / "go/bin/go"
    exe.write_text("#!/bin/sh\n" + text)
    exe.chmod(0o755)
    return toolchain.Toolchain(str(tmp_path / "go"), "go1.26.0", str(exe), "path", 0, hostarch="amd64")


def test_a_go_that_hangs_is_stopped(tmp_path: pathlib.Path) -> None:
    chain = _script(tmp_path, "sleep 60\n")
    _trusted(chain)
    account = _account(tmp_path)
    answer = ask.ask(account, evaluate.evaluate(account, {}, chain), chain, timeout=0.3)
    assert answer.agrees is None
    assert "0.3 seconds" in answer.reason


def test_what_is_asked_cannot_write_a_byte_and_sees_no_secret(tmp_path: pathlib.Path) -> None:
    chain = _script(tmp_path, f"echo x > {tmp_path}/written\nenv > {tmp_path}/environ\necho '{{}}'\n")
    _trusted(chain)
    _ask(_account(tmp_path), {}, chain)
    for name in ("written", "environ"):
        path = tmp_path / name
        assert not path.exists() or path.read_bytes() == b""


def test_a_program_that_others_can_replace_is_not_run(tmp_path: pathlib.Path) -> None:
    chain = _script(tmp_path, f"mkdir {tmp_path}/was-run\n")
    os.chmod(chain.exe, 0o777)
    answer = _ask(_account(tmp_path), {}, chain)
    assert answer.agrees is None
    assert "writable by everybody" in answer.reason
    os.chmod(chain.exe, 0o755)
    os.chmod(tmp_path / "go", 0o777)
    assert "writable by everybody" in _ask(_account(tmp_path), {}, chain).reason
    assert not (tmp_path / "was-run").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_runs_a_program_of_another_account_only_as_that_account(tmp_path: pathlib.Path) -> None:
    for path in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(path, 0o755)
    chain = _script(tmp_path, "id -u >&2; exit 3\n")
    for path in [tmp_path / "go", *(tmp_path / "go").rglob("*")]:
        os.chown(path, 12345, 12345)
    assert "neither root nor the account" in ask.why_untrusted(chain.exe, 0, 0)
    assert "neither root nor the account" in ask.why_untrusted(chain.exe, 54321, 54321)
    assert ask.why_untrusted(chain.exe, 12345, 12345) == ""
    owner = Account("owner", 12345, 12345, "/nonexistent")
    if os.access("/", os.X_OK):
        answer = _ask(owner, {}, chain)
        assert answer.reason in ("go refuses to answer: 12345", f"{chain.exe} could not be run: Permission denied")
    assert _ask(_account(tmp_path), {}, chain).agrees is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_go_is_asked_with_the_rights_of_the_account(chains: list[toolchain.Toolchain]) -> None:
    account = Account("somebody", 12345, 12345, "/nonexistent")
    for chain in chains:
        if ask.why_untrusted(chain.exe, 12345, 12345):
            continue
        answer = _ask(account, {}, chain)
        assert answer.agrees is True or "Permission denied" in answer.reason
