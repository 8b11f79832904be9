# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import time

import pytest

from ansible_collections.gofleet.cache.plugins.module_utils._go import files


def test_a_fifo_is_refused_at_once(tmp_path) -> None:
    path = tmp_path / "env"
    os.mkfifo(path)
    started = time.monotonic()
    with pytest.raises(OSError, match="not a regular file"):
        files.read_file(str(path))
    assert time.monotonic() - started < 30


def test_a_file_that_is_too_large_is_refused(tmp_path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"x" * 100)
    assert files.read_file(str(path), 100) == b"x" * 100
    with pytest.raises(OSError, match="larger than 99 bytes"):
        files.read_file(str(path), 99)


def test_reading_leaves_the_access_time_alone(tmp_path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"x")
    os.utime(path, ns=(1, 2))
    files.read_file(str(path))
    assert os.stat(path).st_atime_ns == 1


def test_work_that_takes_too_long_is_stopped() -> None:
    started = time.monotonic()
    with pytest.raises(OSError, match="no answer within"):
        files.as_account(os.geteuid(), os.getegid(), lambda: time.sleep(60), timeout=0.2)
    assert time.monotonic() - started < 50


def test_work_that_fails_is_an_error_not_a_silence() -> None:
    def work() -> object:
        raise RuntimeError("x")

    with pytest.raises(OSError, match="child process failed"):
        files.as_account(os.geteuid(), os.getegid(), work)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_reads_with_the_rights_of_the_account_only(tmp_path) -> None:
    os.chmod(tmp_path, 0o755)
    secret, link, own = tmp_path / "secret", tmp_path / "env", tmp_path / "own"
    secret.write_bytes(b"A=1")
    os.chmod(secret, 0o600)
    link.symlink_to(secret)
    own.write_bytes(b"B=2")
    os.chown(own, 12345, 12345)
    os.chmod(own, 0o600)
    reachable = files.as_account(12345, 12345, lambda: os.access(str(tmp_path), os.X_OK))
    reader = files.files_for(12345, 12345)
    with pytest.raises(PermissionError):
        reader.read(str(link))
    if reachable:
        assert reader.read(str(own)) == b"B=2"
    assert files.as_account(12345, 12345, lambda: [os.getuid(), os.getgid(), os.getgroups()]) == [12345, 12345, []]


def test_an_answer_is_bounded_in_time_and_size_and_its_children_are_not_waited_for() -> None:
    def ask(text: str, seconds: float = 60.0) -> tuple[bytes, bytes, str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(["/bin/sh", "-c", text], stdout=pipe, stderr=pipe, start_new_session=True)
        return files.answer_of(process, seconds, 1 << 20)

    start = time.monotonic()
    assert ask("echo a; echo b >&2") == (b"a\n", b"b\n", "")
    assert ask("setsid sleep 90 & echo a") == (b"a\n", b"", "")
    assert ask("exec cat /dev/zero >&2")[2] == "long"
    assert ask("exec >&- 2>&-; sleep 90", 0.3)[2] == "late"
    assert ask("setsid sleep 90 & sleep 90", 0.3)[2] == "late"
    assert ask("head -c 1000000 /dev/zero")[0] == bytes(1000000)
    assert time.monotonic() - start < 60
