# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run may not leave behind: looks at the places where tools leave things, before and after."""

from __future__ import annotations

import os
import pwd
import tempfile
import time
from pathlib import Path

#: Seconds in which other programs' temporary files may go again.
PATIENCE = 6.0
#: In a temporary folder, what Go, Ansible, Python's tempfile and this project would leave.
_TEMPORARY = (
    "go-build",
    "go-link",
    "gotoolchain",
    "ansible-tmp-",
    "ansible-local-",
    "ansible_",
    "gofleet-",  # folders of the tests have a dot there
    "pymp-",
    "go.",
)
#: Below a home, what Go, Ansible, pip and this project would make.
_HOME = (
    ".ansible",
    ".ansible_async",
    ".cache/go-build",
    ".cache/gofleet-cache",
    ".config/go",
    ".config/go/env",
    ".config/go/telemetry",
    ".local/state/gofleet-cache",
    "go",
    "go/pkg/mod",
    "sdk",
)


class Watch:
    """The watched places as they were when it was made."""

    def __init__(self, clone: Path, own: Path) -> None:
        self.clone = clone
        self.own = own
        self.begin = time.time()
        self.before = self._look()

    def _places(self) -> tuple[set[str], set[str]]:
        homes = {os.environ.get("HOME", ""), str(self.clone / ".build" / "home")}
        try:
            homes.add(pwd.getpwuid(os.geteuid()).pw_dir)
        except KeyError:
            pass
        temporary = {"/tmp", "/var/tmp", "/dev/shm", tempfile.gettempdir()}
        return {h for h in homes if h and h != "/"}, temporary

    def _look(self) -> set[str]:
        homes, temporary = self._places()
        found = {os.path.join(h, name) for h in homes for name in _HOME if os.path.lexists(os.path.join(h, name))}
        uid = os.geteuid()
        for folder in temporary:
            try:
                entries = list(os.scandir(folder))
            except OSError:
                continue
            for entry in entries:
                try:
                    if entry.name.startswith(_TEMPORARY) and entry.stat(follow_symlinks=False).st_uid == uid:
                        found.add(entry.path)
                except OSError:
                    continue
        for folder, names, _files in os.walk(self.clone):
            if folder == str(self.clone):
                names[:] = [name for name in names if name not in (".git", ".build")]
            found.update(os.path.join(folder, name) for name in names if name == "__pycache__")
        return found

    def left(self) -> list[str]:
        """What is new, and stays although no process that is not ours works with it.

        Other programs use the same temporary folders: theirs go again, or are named by a process of theirs.
        """
        until = time.monotonic() + PATIENCE
        while True:
            new = {path for path in self._look() - self.before if not Path(path).is_relative_to(self.own)}
            used = _mentioned() if new else b""
            new = {path for path in new if os.fsencode(path) not in used}
            if not new or time.monotonic() > until:
                return sorted(new)
            time.sleep(0.5)


def _mentioned() -> bytes:
    """Command lines, environments and current directories of all processes that may be seen."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            for file in ("cmdline", "environ"):
                try:
                    found.append(Path(f"/proc/{name}/{file}").read_bytes())
                except OSError:
                    continue
            try:
                found.append(os.fsencode(os.readlink(f"/proc/{name}/cwd")))
            except OSError:
                continue
    return b"\n".join(found)
