# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cache trees of any size, quickly: what Go would have written, made by a few processes, the same for the same seed."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

DAY = 86400
README = "This directory holds cached build artifacts from the Go build system.\nRun 'go clean -cache' ...\n"
#: Ages are spread evenly over this many days; what is older than the middle is the older half.
SPAN = 100
YOUNGEST = 2
MIDDLE = YOUNGEST + SPAN // 2
_BLOCK = random.Random(7).randbytes(1 << 16)


def _in_processes(count: int, work: Callable[[int], None]) -> None:
    children = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(number)
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    if sum(os.waitpid(pid, 0)[1] for pid in children):  # waits for all of them
        raise RuntimeError("a process that makes a tree failed")


def go_build(root: Path, files: int, sizes: int = 9000, seed: int = 1, processes: int = 2) -> None:
    """Make a build cache of so many files (half actions, half outputs of 0 to ``sizes`` bytes) at ``root``.

    With ``sizes`` 0 nothing is written: the actions have their size, but are holes, so that a million fit into memory.

    An action and its output have one age, as a build gives them; ages lie evenly in 2 to 102 days.
    """
    root.mkdir(parents=True)
    (root / "README").write_text(README, encoding="ascii")
    now = time.time_ns()
    (root / "trim.txt").write_text(str(now // 10**9), encoding="ascii")
    for shard in range(256):
        (root / f"{shard:02x}").mkdir()

    def part(number: int) -> None:
        sha = hashlib.sha256
        dice = random.Random(seed * 1000 + number)
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        shards = {f"{n:02x}": os.open(f"{n:02x}", os.O_RDONLY | os.O_DIRECTORY, dir_fd=top) for n in range(256)}
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL

        def put(name: str, data: bytes, age: int) -> None:
            fd = os.open(name, flags, 0o644, dir_fd=shards[name[:2]])
            if data and sizes:
                os.write(fd, data)
            elif data:
                os.truncate(fd, len(data))
            os.utime(fd, ns=(age, age))
            os.close(fd)

        for at in range(number, files // 2, processes):
            action, output = sha(b"a%d %d" % (seed, at)).hexdigest(), sha(b"d%d %d" % (seed, at)).hexdigest()
            size = dice.randrange(sizes) if sizes else 0
            age = now - int((YOUNGEST + dice.random() * SPAN) * DAY * 10**9)
            put(output + "-d", _BLOCK[:size], age)
            text = "v1 %s %s %20d %20d\n" % (action, output, size, age)
            put(action + "-a", text.encode("ascii"), age)

    _in_processes(processes, part)


def go_mod(root: Path, versions: int, files: int, seed: int = 1, processes: int = 2) -> None:
    """Make a module cache of so many versions with so many files in their trees together at ``root``."""
    each = max(1, files // versions)
    (root / "cache" / "download").mkdir(parents=True)
    (root / "cache" / "lock").touch()
    dice = random.Random(seed)
    sizes = [dice.randrange(200, 9000) for _number in range(each)]

    def part(number: int) -> None:
        for at in range(number, versions, processes):
            _version(root, f"example.com/m{seed}n{at // 5}", f"v1.{at % 5}.0", sizes)

    _in_processes(processes, part)


def _version(root: Path, module: str, version: str, sizes: Sequence[int]) -> None:
    prefix = f"{module}@{version}"
    listing = root / "cache" / "download" / module / "@v"
    listing.mkdir(parents=True, exist_ok=True)
    tree = root / prefix
    tree.mkdir(parents=True)
    go_mod_text = f"module {module}\n\ngo 1.21\n".encode("ascii")
    sums = []
    folders = []
    with zipfile.ZipFile(listing / f"{version}.zip", "w", zipfile.ZIP_STORED) as archive:
        for number in range(len(sizes)):
            folder = f"p{number // 20:03d}"
            if number % 20 == 0:
                (tree / folder).mkdir()
                folders.append(tree / folder)
            name = "go.mod" if number == 0 else f"{folder}/f{number % 20}.go"
            start = (number * 131) % 50000
            data = go_mod_text if number == 0 else _BLOCK[start : start + sizes[number]]
            fd = os.open(tree / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
            os.write(fd, data)
            os.close(fd)
            archive.writestr(f"{prefix}/{name}", data)
            sums.append((f"{prefix}/{name}", hashlib.sha256(data).hexdigest()))
    for folder_path in [*folders, tree]:
        folder_path.chmod(0o555)
    # golang.org/x/mod/sumdb/dirhash, Hash1
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums))
    total = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    (listing / f"{version}.ziphash").write_text("h1:" + total, encoding="ascii")
    (listing / f"{version}.mod").write_bytes(go_mod_text)
    (listing / f"{version}.info").write_text('{"Version":"%s"}' % version, encoding="ascii")
    (listing / f"{version}.lock").touch()
