# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attackers: a hostile account swaps directories of its caches for symlinks and mounts while root cleans them."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import pathlib
import random
import stat
import struct
import threading
import time
from typing import Any

from prove import cuts
from prove.lab import DAY, remove
from prove.ready import clock

from ansible_collections.gofleet.cache.plugins.module_utils._host import find, purge, undo
from ansible_collections.gofleet.cache.tests.fixtures import synthetic

HOSTILE = 54321
ENTRIES = 120
MODULES = 4
_POLICY = {"caches": [{"kind": "go-build", "max_age": "30d"}, {"kind": "go-mod", "max_age": "30d"}], "private": []}
_MS_BIND, _MNT_DETACH = 4096, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


class Counter:
    """A number that all processes of this proof share; increments may get lost, never invented."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 8)

    def add(self) -> None:
        self._map[:] = struct.pack("q", self.value + 1)

    @property
    def value(self) -> int:
        return int(struct.unpack("q", self._map[:])[0])


class Mounter:
    """A process with root's rights that puts the sentinels' folder over a folder and takes it away again."""

    def __init__(self, outside: pathlib.Path) -> None:
        ask_read, self._ask = os.pipe()
        self._done, done_write = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(ask_read)
            os.close(done_write)
            return
        try:
            os.close(self._ask)
            source = os.fsencode(str(outside))
            while True:
                line = os.read(ask_read, 8192)
                if not line:
                    break
                word, path = line[:1], line[1:]
                if word == b"+":
                    code = _LIBC.mount(source, path, None, _MS_BIND, None)
                else:
                    code = _LIBC.umount2(path, _MNT_DETACH)
                os.write(done_write, b"n" if code else b"y")
        finally:
            os._exit(0)

    def ask(self, word: bytes, path: str) -> bool:
        """``+`` mounts, ``-`` unmounts; whether it went well."""
        os.write(self._ask, word + os.fsencode(path))
        return os.read(self._done, 1) == b"y"

    def close(self) -> None:
        os.close(self._ask)
        os.close(self._done)
        os.waitpid(self.pid, 0)


class Swapper:
    """Runs in the cleaner itself, right before each of its changes: the folder that it works in becomes something else.

    Before the next change the folder has its place back.
    """

    def __init__(self, home: pathlib.Path, outside: pathlib.Path, mounter: Mounter, rounds: Counter, seed: int) -> None:
        self.home = str(home)
        # Set where a second attacker runs: with a root swapped he would himself put his links among the sentinels.
        self.spare: tuple[str, ...] = ()
        self.outside = str(outside)
        self.mounter = mounter
        self.rounds = rounds
        self.chance = random.Random(seed)
        self.symlinked = ""
        self.mounted = ""
        self.lock = threading.Lock()

    def before(self, event: str, arguments: tuple[Any, ...]) -> None:
        if os.geteuid() != HOSTILE or event == "open":
            return
        with self.lock:
            self._swap(arguments)

    def _swap(self, arguments: tuple[Any, ...]) -> None:
        self.back()
        fds = [item for item in arguments if isinstance(item, int) and item >= 0]
        if not fds or self.chance.random() < 0.2:
            return
        try:
            path = os.readlink(f"/proc/self/fd/{self.chance.choice(fds)}")
        except OSError:
            return
        if not path.startswith(self.home + "/") or path.endswith(" (deleted)") or path in self.spare:
            return
        if self.chance.random() < 0.2:
            if self.mounter.ask(b"+", path):
                self.mounted = path
                self.rounds.add()
        else:
            try:
                os.rename(path, path + ".hidden")
                os.symlink(self.outside, path)
            except OSError:
                return
            self.symlinked = path
            self.rounds.add()

    def back(self) -> None:
        if self.mounted:
            self.mounter.ask(b"-", self.mounted)
            self.mounted = ""
        if self.symlinked:
            path, self.symlinked = self.symlinked, ""
            try:
                os.unlink(path)
                os.rename(path + ".hidden", path)
            except OSError:
                pass


def _free_runner(home: pathlib.Path, outside: pathlib.Path, rounds: Counter, seed: int) -> int:
    """A process of the hostile account that swaps folders as fast as it can, until it is killed; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setgroups([])
        os.setresgid(HOSTILE, HOSTILE, HOSTILE)
        os.setresuid(HOSTILE, HOSTILE, HOSTILE)
        chance = random.Random(seed)
        shards = [str(path) for path in (home / "build").glob("??")]
        trees = [str(path) for path in (home / "mod/example.com").glob("*@*")]
        downloads = [str(path) for path in (home / "mod/cache/download/example.com").glob("*/@v")]
        while True:
            path = chance.choice((chance.choice(shards), chance.choice(trees), chance.choice(downloads)))
            try:
                os.rename(path, path + ".away")
            except OSError:
                time.sleep(0)
                continue
            try:
                os.symlink(outside, path)
                rounds.add()
                os.unlink(path)
            except OSError:
                pass
            try:
                os.rename(path + ".away", path)
            except OSError:
                pass
    finally:
        os._exit(0)


def photograph(top: pathlib.Path) -> dict[str, tuple[Any, ...]]:
    """Everything that must not change outside."""
    found: dict[str, tuple[Any, ...]] = {}
    for folder, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            data = b""
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as handle:
                    data = handle.read()
            digest = hashlib.sha256(data).hexdigest()
            found[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_ino, st.st_mtime_ns, digest)
    return found


def _fill(home: pathlib.Path, outside: pathlib.Path, number: int) -> None:
    """Fresh caches of the hostile account; outside lie files with the names of their entries, for all to remove."""
    remove(home)
    home.mkdir()
    build = synthetic.Build(home / "build")
    for entry in range(ENTRIES):
        build.put(synthetic.sha(f"{number} {entry}"), b"%d %d" % (number, entry), age=60 * DAY)
    mod = synthetic.Mod(home / "mod")
    for entry in range(MODULES):
        mod.add(f"example.com/m{entry}@v1.0.0", size=200)
        tree = mod.tree(f"example.com/m{entry}@v1.0.0")
        tree.chmod(0o755)
        for deep in ("a", "a/b", "c"):
            (tree / deep).mkdir(exist_ok=True)
            for name in ("one", "two"):
                (tree / deep / name).write_text("x")
    # An entry that is a second name of a file outside, as an account can make where links are not protected.
    secret = outside / "secret"
    linked = build.file(synthetic.sha("linked") + "-d")
    os.link(secret, linked)
    for folder, names, files in os.walk(home):
        for name in [".", *names, *files]:
            path = os.path.join(folder, name)
            if os.lstat(path).st_ino != secret.stat().st_ino:
                os.chown(path, HOSTILE, HOSTILE, follow_symlinks=False)


def _mirror(home: pathlib.Path, outside: pathlib.Path) -> None:
    """Files outside under every name that the cleaner will remove, in folders that everybody may write to."""
    for path in home.rglob("*"):
        if path.is_file() and not (outside / path.name).exists():
            (outside / path.name).write_text("sentinel")
    for deep in ("a", "a/b", "c"):
        (outside / deep).mkdir(exist_ok=True)
        for name in ("one", "two"):
            (outside / deep / name).write_text("sentinel")
        (outside / deep).chmod(0o777)


def _attack(top: pathlib.Path, wanted: int, seed: int, limit: float) -> dict[str, Any]:
    """Runs in a process with mounts of its own."""
    cuts.own_mounts()
    home, outside = top / "home", top / "outside"
    outside.mkdir()
    (outside / "secret").write_text("sentinel")
    (outside / "secret").chmod(0o640)
    outside.chmod(0o777)
    for path in (top, *top.parents):
        if path != pathlib.Path("/") and not path.stat().st_mode & 0o005 == 0o005:
            raise RuntimeError(f"{path} must be open to other accounts: set TMPDIR to a folder that is")
    injected, free = Counter(), Counter()
    problems: list[str] = []
    runs = evicted = restored = touched = 0
    begin = time.monotonic()
    while injected.value < wanted and time.monotonic() - begin < limit:
        _fill(home, outside, runs)
        _mirror(home, outside)
        before = photograph(outside)
        mounter = Mounter(outside)
        swapper = Swapper(home, outside, mounter, injected, seed + runs)
        grace = "2h" if runs % 2 else "0s"
        request = find.Request(paths=[str(home / "build"), str(home / "mod")], discover=False)

        def action(_step: Any, grace: str = grace, request: Any = request) -> list[int]:
            counts = [0, 0]
            with clock(90 * DAY):
                try:
                    result = purge.run(request, dict(_POLICY, quarantine=grace), purge.Options(False, threads=4))
                except purge.Failed as exc:
                    result = exc.result
                counts[0] = result["evicted_entries"]
                _put_back(home)
                if grace != "0s":
                    try:
                        counts[1] = undo.run(request, "latest", undo.Options(False))["restored_entries"]
                    except undo.Failed as exc:
                        counts[1] = exc.result["restored_entries"]
            return counts

        runner = 0
        if runs % 3 == 0:
            swapper.spare = tuple(str(path) for path in (home / "mod", home / "mod/example.com", home / "build"))
            swapper.spare += tuple(str(path) for path in (home / "mod/cache/download/example.com").glob("*"))
            runner = _free_runner(home, outside, free, seed + runs)
        try:
            ended = cuts.run(action, on_change=swapper.before)
        finally:
            if runner:
                os.kill(runner, 9)
                os.waitpid(runner, 0)
        mounter.close()
        _put_back(home)
        if ended.error:
            problems.append(f"run {runs}: {ended.error}")
        else:
            evicted += ended.value[0]
            restored += ended.value[1]
        after = photograph(outside)
        for name in sorted(set(before) | set(after)):
            if before.get(name) != after.get(name):
                touched += 1
                problems.append(f"run {runs}: {name} was {before.get(name)} and is {after.get(name)}")
        runs += 1
    return {
        "rows": [
            {
                "swaps right before a change": injected.value,
                "swaps at any moment": free.value,
                "purges": runs,
                "evicted": evicted,
                "brought back": restored,
                "sentinels": len(photograph(outside)),
                "touched": touched,
            }
        ],
        "problems": problems[:20],
    }


def _put_back(home: pathlib.Path) -> None:
    """Ends what the last swap of a process that is gone has left."""
    while _unmount_below(home):
        pass
    found = [os.path.join(top, name) for top, names, _files in os.walk(home) for name in names]
    for hidden in found:
        place = hidden[: -len(".hidden")]
        if not hidden.endswith(".hidden"):
            continue
        if os.path.islink(place):
            os.unlink(place)
        if not os.path.lexists(place):
            os.rename(hidden, place)


def _unmount_below(home: pathlib.Path) -> bool:
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4]
        if point.startswith(str(home) + "/"):
            return bool(_LIBC.umount2(os.fsencode(point), _MNT_DETACH) == 0)
    return False


def run(top: pathlib.Path, rounds: int, limit: float, seed: int, say: Any) -> dict[str, Any]:
    """The part ``attackers``: at least *rounds* swaps while root cleans."""
    if not cuts.may_mount():
        return {"rows": [], "problems": [], "left_out": ["attackers: needs root, for mounts of its own"]}
    place = top / "attackers"
    place.mkdir()
    os.environ["GOFLEET_CACHE_STATE"] = str(place / "state")
    say(f"{rounds} rounds")
    try:
        ended = cuts.run(lambda _step: _attack(place, rounds, seed, limit), limit=limit + 300)
    finally:
        remove(place)
    if ended.error:
        raise RuntimeError(ended.error)
    found: dict[str, Any] = dict(ended.value, left_out=[])
    row = found["rows"][0]
    done = row["swaps right before a change"]
    if done < rounds:
        found["problems"].append(f"only {done} of {rounds} rounds in {limit:.0f} s: give LIMIT more seconds")
    if not row["evicted"] or not row["swaps right before a change"]:
        found["problems"].append("nothing was evicted under attack: the proof proves nothing")
    return found
