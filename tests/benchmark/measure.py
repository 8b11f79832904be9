# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole processes under a clock, side by side: who runs, where, and what a row of the table says."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Sample:
    """One process from start to end: seconds, MiB, exit code, output."""

    wall: float
    user: float
    system: float
    peak: float
    code: int
    output: str

    @property
    def cpu(self) -> float:
        """Seconds of computing, in the kernel too."""
        return self.user + self.system


class Failed(RuntimeError):
    """A measured command did not do what it should: its time means nothing."""


def timed(command: Sequence[str], environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Sample:
    """Run a command and measure it; raises Failed where it ends with another code than 0."""
    with tempfile.TemporaryFile() as output:
        begun = time.monotonic()
        child = subprocess.Popen(
            command,
            env=dict(environ) if environ is not None else None,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _pid, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    sample = Sample(wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024, child.returncode, text)
    if sample.code:
        raise Failed(f"{' '.join(command)}: exit code {sample.code}\n{text[-2000:]}")
    return sample


@dataclass
class Place:
    """A file system to measure on; ``chill`` empties the page cache, None where that cannot be done."""

    name: str
    path: Path
    about: str
    chill: Callable[[], None] | None = None
    close: Callable[[], None] = lambda: None


def file_system(path: Path) -> str:
    """The type of the file system that a directory is on (proc_pid_mountinfo(5))."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _dash, right = line.partition(" - ")
        if left.split()[2] == number:
            return right.split()[0]
    return "unknown"


def _drop_caches() -> Callable[[], None] | None:
    def drop() -> None:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")

    try:
        drop()
    except OSError:
        return None
    return drop


def here(folder: Path) -> Place:
    """The file system of the working directory."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = file_system(folder)
    return Place(kind, folder, f"{kind}, the file system of the working directory", _drop_caches())


def loop(folder: Path, size: int) -> Place | None:
    """A fresh ext4 in a file, without a second copy in the page cache; None where this user or machine cannot."""
    mount = folder / "ext4"
    image = folder / "ext4.img"
    if os.geteuid() or not shutil.which("mkfs.ext4") or not shutil.which("losetup"):
        return None
    mount.mkdir(parents=True, exist_ok=True)
    with open(image, "wb") as handle:
        handle.truncate(size)
    device = ""
    try:
        _quiet("mkfs.ext4", "-q", "-F", str(image))
        device = _quiet("losetup", "-f", "--show", "--direct-io=on", str(image)).strip()
        _quiet("mount", device, str(mount))
    except (OSError, subprocess.CalledProcessError):
        if device:
            _quiet("losetup", "-d", device)
        image.unlink()
        return None

    def chill() -> None:
        _quiet("umount", str(mount))
        _quiet("mount", device, str(mount))

    def close() -> None:
        _quiet("umount", "-l", str(mount))
        _quiet("losetup", "-d", device)
        image.unlink()

    return Place("ext4-loop", mount, "a fresh ext4 in a file, by direct I/O", chill, close)


def memory(folder: Path) -> Place | None:
    """A tmpfs of our own, or what there is of one."""
    if os.geteuid() == 0:
        mount = folder / "tmpfs"
        mount.mkdir(parents=True, exist_ok=True)
        try:
            _quiet("mount", "-t", "tmpfs", "-o", "size=80%,nr_inodes=0", "tmpfs", str(mount))
            return Place("tmpfs", mount, "tmpfs of our own", None, lambda: void(_quiet("umount", "-l", str(mount))))
        except (OSError, subprocess.CalledProcessError):
            pass
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or file_system(shared) != "tmpfs":
        return None
    made = Path(tempfile.mkdtemp(prefix="gofleet.bench-", dir=shared))
    return Place("tmpfs", made, "tmpfs at /dev/shm", None, lambda: shutil.rmtree(made, ignore_errors=True))


def void(_value: object) -> None:
    """Nothing of a value."""


def _quiet(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@dataclass
class Row:
    """One measurement: medians of each contender, and the ratio to what it is held against.

    ``unit`` is s, cpu s, MiB or %; ``against`` is the fastest peer, or the value that the ratio is of.
    """

    case: str
    place: str
    cache: str
    size: int
    ours: float
    peers: dict[str, float]
    against: str
    ratio: float | None
    target: float | None = None
    unit: str = "s"
    rounds: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None where there is none."""
        return None if self.target is None or self.ratio is None else self.ratio <= self.target

    def data(self) -> dict[str, Any]:
        """The row as plain data."""
        return {**self.__dict__, "met": self.met}


def compare(
    case: str,
    place: str,
    size: int,
    contenders: Mapping[str, Callable[[], float]],
    rounds: int,
    cache: str = "warm",
    target: float | None = None,
    held_against: Sequence[str] = (),
) -> Row:
    """Run contenders in turns, ``ours`` among them; the ratio is the one of the medians, ours to the fastest peer's."""
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(rounds):
        # In another order each time: whoever comes after a heavy one pays for what that one left to write.
        turn = number % len(order)
        for name in order[turn:] + order[:turn]:
            seen[name].append(contenders[name]())
    medians = {name: statistics.median(values) for name, values in seen.items()}
    ours = medians.pop("ours")
    rivals = {name: value for name, value in medians.items() if not held_against or name in held_against}
    against = min(rivals, key=lambda name: rivals[name]) if rivals else ""
    ratio = ours / rivals[against] if rivals else None
    return Row(case, place, cache, size, ours, medians, against, ratio, target, rounds=seen)


def table(rows: Sequence[Row]) -> str:
    """The rows as text for people."""
    head = ("case", "on", "cache", "size", "ours", "others", "ratio to", "ratio", "target", "")
    body = []
    for row in rows:
        others = ", ".join(f"{name} {value:.2f}" for name, value in sorted(row.peers.items(), key=lambda item: item[1]))
        verdict = {None: "", True: "ok", False: "missed"}[row.met]
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        target = "" if row.target is None else f"<= {row.target:g}"
        ours = f"{row.ours:.2f} {row.unit}"
        body.append(
            (row.case, row.place, row.cache, f"{row.size:,}", ours, others, row.against, ratio, target, verdict)
        )
    widths = [max(len(line[at]) for line in [head, *body]) for at in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [head, *body]]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
