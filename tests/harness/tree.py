# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A true copy of the collection, where ansible-test, Molecule and Python's import system find it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import env

COLLECTION = Path("ansible_collections") / "gofleet" / "cache"


def tracked_files(root: Path = env.ROOT) -> list[Path]:
    """Return the files of the work tree, relative to it: tracked ones and new ones that are not git-ignored."""
    # A clone that belongs to another user is still ours to read.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    environ = env.clean_environ(env.BUILD / "home")
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{root} must be a git clone: {os.fsdecode(done.stderr).strip()}")
    names = sorted(set(done.stdout.split(b"\0")) - {b""})
    files = [Path(os.fsdecode(name)) for name in names]
    return [file for file in files if os.path.lexists(root / file)]


def copy_collection(target: Path) -> Path:
    """Copy the work tree to ``target/ansible_collections/gofleet/cache`` and return that folder.

    The copy is no git work tree and lies in none: below a git-ignored folder ansible-test finds nothing to test and
    calls that a success, and through a symbolic link it refuses to start.
    """
    for folder in [target, *target.resolve().parents]:
        if (folder / ".git").exists():
            raise SystemExit(
                f"The work folder {target} lies in the git repository {folder}: set TMPDIR to a folder outside it."
            )
    copy = target / COLLECTION
    for file in tracked_files():
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(env.ROOT / file, copy / file, follow_symlinks=False)
    return copy


@contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder that every account may enter, because some tests act as another one; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gofleet.cache-")).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all below it, also folders without write permission such as Go's module cache."""
    for parent, names, _files in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                with suppress(OSError):  # whoever is just ending may remove it
                    os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
