# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of a build cache: every output against its name, every action against its form and its output.

An output's name is the SHA-256 of its content, which Go itself checks for small entries only (cmd/go/internal/cache,
GetBytes); of the others it compares the size (GetFile) and uses them, however damaged. Nothing is written, no access
time is touched, Go is not needed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from ..._core.verify import Damage, Options, OutOfTime, Report, each
from ..._fs import dirs
from ..._fs.identity import Root
from . import ACTION_SIZE, ENTRY, OWN, SHARD

CLASSES = ("action", "output", "executable")
#: An output without an action may be one that a build is writing (putIndexEntry follows copyFile).
GRACE = 60.0
#: A file must have been left alone for this long before it is called damaged.
SETTLE = 2.0
_BLOCK = 1 << 20
# Outputs that hang on another action: hash.go (Subkey), work/exec.go, work/buildid.go
_DEPENDENT = (b"stdout", b"fix.zip", b"link-stdout")
_REBUILT = "the next build that needs it makes it anew"


class _Suspect(NamedTuple):
    path: str  # of the entry: ab/abcd...-d
    inner: str  # name in an executable's directory, "" for a plain output
    inode: int
    mtime: int
    size: int
    digest: str


def parse_action(data: bytes, name: str) -> Optional[Tuple[str, int]]:
    """Output id (hex) and size in bytes of an action file's content, None where Go would not accept it.

    *name* is the file's name, whose 64 digits the content must repeat (cache.go, DiskCache.get).
    """
    if len(data) != ACTION_SIZE or data[132:133] != b" " or data[153:154] != b" ":
        return None
    if data[:3] != b"v1 " or data[67:68] != b" " or data[174:] != b"\n":
        return None
    try:
        action, output = bytes.fromhex(data[3:67].decode("ascii")), bytes.fromhex(data[68:132].decode("ascii"))
        size, when = data[133:153].lstrip(b" ").decode("ascii"), data[154:174].lstrip(b" ").decode("ascii")
    except ValueError:
        return None
    if len(action) != 32 or len(output) != 32 or action.hex() != name[:64]:
        return None
    for number in (size, when):
        digits = number[1:] if number[:1] == "+" else number
        if not digits or not all("0" <= char <= "9" for char in digits) or int(digits) >= 1 << 63:
            return None
    return output.hex(), int(size)


def verify(root: Root, options: Options) -> Report:
    """Checks the build cache at *root*. Raises OSError for the root."""
    return _Verify(root, options).run()


class _Verify:
    def __init__(self, root: Root, options: Options) -> None:
        self.root = root
        self.options = options
        self.report = Report(CLASSES)
        self.suspects: List[_Suspect] = []

    def run(self) -> Report:
        shards: List[str] = []
        for name in sorted(os.listdir(self.root.fd)):
            try:
                st = dirs.lstat(name, self.root.fd)
            except OSError:
                continue
            if SHARD.match(name) and stat.S_ISDIR(st.st_mode):
                shards.append(name)
            elif name not in OWN:
                self.report.note("foreign")
        self.shards = frozenset(shards)
        # A cut run starts where its seed says, so that runs with different seeds come to see everything.
        if shards and self.options.seed:
            start = sum(self.options.seed.encode("utf-8", "surrogateescape")) * 37 % len(shards)
            shards = shards[start:] + shards[:start]
        each(self._shard, shards, self.options.threads)
        self._judge()
        if self.report.truncated is None and time.monotonic() >= self.options.deadline:
            self.report.cut("the time limit was reached before everything was checked")
        return self.report

    # --- first pass -----------------------------------------------------------------------------

    def _shard(self, shard: str) -> None:
        report = self.report
        try:
            fd = dirs.open_dir(shard, self.root.fd)
        except OSError as exc:
            report.unreached(os.strerror(exc.errno or 0))
            return
        try:
            if not dirs.same_place(fd, self.root.mount, self.root.device):
                report.note("mounts inside the cache, not entered")
                return
            for name in sorted(os.listdir(fd)):
                if ENTRY.match(name) is None or name[:2] != shard:
                    report.note("foreign")
                    continue
                cls = "action" if name[65] == "a" else "output"
                if not self.options.takes(name):
                    report.skip(cls)
                    continue
                try:
                    self.options.tick()
                    if cls == "action":
                        self._action(fd, shard, name)
                    else:
                        self._output(fd, shard, name)
                except OutOfTime:
                    report.skip(cls)
                    report.cut("the time limit was reached before everything was checked")
                    raise
                except FileNotFoundError:
                    report.skip(cls, "gone meanwhile")
                except dirs.CannotLook as exc:
                    report.unreached(exc.strerror or "", _size(name, fd))
                except OSError as exc:
                    if _is_odd(name, fd):
                        report.note("foreign")
                    elif _read_error(exc):
                        report.bad(_unreadable(cls, shard + "/" + name, exc))
                    else:
                        report.unreached(os.strerror(exc.errno or 0), _size(name, fd))
        finally:
            os.close(fd)

    def _action(self, fd: int, shard: str, name: str) -> None:
        before = dirs.lstat(name, fd)
        found = parse_action(dirs.read_small(name, fd, ACTION_SIZE + 1), name)
        if found is None:
            self.suspects.append(
                _Suspect(shard + "/" + name, "", before.st_ino, before.st_mtime_ns, before.st_size, "")
            )
            return
        output, size = found
        has = self._output_size(output)
        if has is None:
            self.report.note("dangling")
        elif has != size:
            self.suspects.append(
                _Suspect(shard + "/" + name, "", before.st_ino, before.st_mtime_ns, before.st_size, "")
            )
            return
        self.report.ok("action", ACTION_SIZE)

    def _output_size(self, output: str) -> Optional[int]:
        # size of an output as Go looks at it; None where it is missing
        if output[:2] not in self.shards:
            return None
        path = "%s/%s-d" % (output[:2], output)
        try:
            st = os.stat(path, dir_fd=self.root.fd, follow_symlinks=False)
            if not stat.S_ISDIR(st.st_mode):
                return st.st_size
            fd = dirs.open_dir(path, self.root.fd)
        except OSError:
            return None
        try:
            names = os.listdir(fd)
            return dirs.lstat(names[0], fd).st_size if len(names) == 1 else None
        except OSError:
            return None
        finally:
            os.close(fd)

    def _output(self, fd: int, shard: str, name: str) -> None:
        st = dirs.lstat(name, fd)
        path = shard + "/" + name
        if not stat.S_ISDIR(st.st_mode):
            self._content(fd, name, "output", path, "")
            return
        inner_fd = dirs.open_dir(name, fd)
        try:
            names = os.listdir(inner_fd)
            if not dirs.same_place(inner_fd, self.root.mount, self.root.device):
                self.report.note("mounts inside the cache, not entered")
            elif len(names) == 1:
                self._content(inner_fd, names[0], "executable", path, names[0])
            else:
                self.suspects.append(_Suspect(path, "", st.st_ino, st.st_mtime_ns, len(names), ""))
        finally:
            os.close(inner_fd)

    def _content(self, fd: int, name: str, cls: str, path: str, inner: str) -> None:
        file_fd = dirs.open_file(name, fd)
        try:
            st = os.fstat(file_fd)
            digest = self._digest(file_fd, st.st_size)
        finally:
            os.close(file_fd)
        if digest == path[3:67]:
            self.report.ok(cls, st.st_size)
        else:
            self.suspects.append(_Suspect(path, inner, st.st_ino, st.st_mtime_ns, st.st_size, digest))

    def _digest(self, fd: int, size: int) -> str:
        digest = hashlib.sha256()
        want = min(size + 1, _BLOCK)
        while True:
            data = os.read(fd, want)
            if not data:
                return digest.hexdigest()
            digest.update(data)
            if len(data) == _BLOCK:
                self.options.tick(len(data))

    # --- second look at what did not fit ---------------------------------------------------------

    def _judge(self) -> None:
        """Nothing is called damaged that a build is writing: everything suspicious is looked at once more."""
        if not self.suspects:
            return
        youngest = max(suspect.mtime for suspect in self.suspects) / 1e9
        time.sleep(max(0.0, min(youngest + SETTLE - time.time(), SETTLE)))
        outputs = {suspect.path[3:67] for suspect in self.suspects if suspect.path.endswith("-d")}
        naming = self._naming(outputs) if outputs else _Naming({}, {}, {})
        bad_outputs: Set[str] = set()
        for suspect in sorted(self.suspects, key=lambda one: not one.path.endswith("-d")):
            cls = "action" if suspect.path.endswith("-a") else "executable" if suspect.inner else "output"
            try:
                self._again(suspect, cls, naming, bad_outputs)
            except FileNotFoundError:
                self.report.skip(cls, "gone meanwhile")
            except dirs.CannotLook as exc:
                self.report.unreached(exc.strerror or "", suspect.size)
            except OSError as exc:
                self.report.bad(_unreadable(cls, suspect.path, exc))

    def _again(self, suspect: _Suspect, cls: str, naming: _Naming, bad_outputs: Set[str]) -> None:
        report = self.report
        shard, name = suspect.path[:2], suspect.path[3:]
        fd = dirs.open_dir(shard, self.root.fd)
        try:
            if cls == "action":
                self._action_again(fd, suspect, bad_outputs)
                return
            if suspect.inner == "" and stat.S_ISDIR(dirs.lstat(name, fd).st_mode):
                cls = "executable"
                inner_fd = dirs.open_dir(name, fd)
                try:
                    names = sorted(os.listdir(inner_fd))
                finally:
                    os.close(inner_fd)
                if len(names) == 1 or (not names and _young(suspect.mtime)):
                    report.skip(cls, "changed meanwhile")
                    return
                report.bad(
                    self._output_damage(
                        cls,
                        suspect,
                        naming,
                        "a cached executable with %d files" % len(names),
                        "1",
                        str(len(names)),
                        names,
                    )
                )
                bad_outputs.add(name[:64])
                return
            folder = dirs.open_dir(name, fd) if suspect.inner else os.dup(fd)
            try:
                file_fd = dirs.open_file(suspect.inner or name, folder)
                try:
                    st = os.fstat(file_fd)
                    digest = suspect.digest
                    if time.monotonic() < self.options.deadline:
                        digest = _plain_digest(file_fd)
                    after = os.fstat(file_fd)
                finally:
                    os.close(file_fd)
            finally:
                os.close(folder)
        finally:
            os.close(fd)
        if digest == name[:64]:
            report.ok(cls, st.st_size)
            return
        same = (suspect.inode, suspect.mtime, suspect.size) == (st.st_ino, st.st_mtime_ns, st.st_size)
        if not same or (after.st_mtime_ns, after.st_size) != (st.st_mtime_ns, st.st_size):
            report.skip(cls, "changed meanwhile")
            return
        sizes = naming.sizes.get(name[:64], set())
        if not sizes and _young(suspect.mtime):
            report.skip(cls, "perhaps being written")
            return
        if not sizes:
            problem = "its content is not what its name says; no action names it"
        elif st.st_size in sizes:
            problem = "its content is not what its name says; Go uses it without noticing"
        else:
            promised = " or ".join(str(size) for size in sorted(sizes))
            problem = "it has %d bytes instead of %s; Go takes it for missing" % (st.st_size, promised)
        report.bad(self._output_damage(cls, suspect, naming, problem, name[:64], digest, [suspect.inner]), st.st_size)
        bad_outputs.add(name[:64])

    def _action_again(self, fd: int, suspect: _Suspect, bad_outputs: Set[str]) -> None:
        report, name = self.report, suspect.path[3:]
        st = dirs.lstat(name, fd)
        data = dirs.read_small(name, fd, ACTION_SIZE + 1)
        found = parse_action(data, name)
        has: Optional[int] = None
        if found is not None:
            has = self._output_size(found[0])
            if has is None or has == found[1]:
                report.ok("action", ACTION_SIZE)
                return
            if found[0] in bad_outputs:  # told there
                report.ok("action", ACTION_SIZE)
                return
        if (suspect.inode, suspect.mtime, suspect.size) != (st.st_ino, st.st_mtime_ns, st.st_size):
            report.skip("action", "changed meanwhile")
            return
        if found is not None:
            problem, expected, got = "it promises another size than its output has", str(found[1]), str(has)
        else:
            problem = "not an action that Go accepts; it costs a rebuild, nothing else"
            expected, got = "v1 %s ..." % name[:64], repr(data[:16].decode("ascii", "replace"))
            if len(data) != ACTION_SIZE:
                expected, got = "%d bytes" % ACTION_SIZE, "%d bytes" % st.st_size
        report.bad(
            Damage(
                "action",
                suspect.path,
                "",
                problem,
                expected,
                got,
                (),
                (suspect.path,),
                _REBUILT,
                st.st_ino,
                st.st_mtime_ns,
            ),
            st.st_size,
        )

    def _output_damage(
        self,
        cls: str,
        suspect: _Suspect,
        naming: _Naming,
        problem: str,
        expected: str,
        found: str,
        names: List[str],
    ) -> Damage:
        output = suspect.path[3:67]
        actions = sorted(naming.actions.get(output, ()))
        facts = sorted({fact for action in actions for fact in naming.facts.get(action, ())} - set(actions))
        # Facts first: findings that go while their facts stay make go vet report success.
        repair = ["%s/%s-a" % (one[:2], one) for one in facts + actions] + [suspect.path]
        if facts:
            problem += "; what a check printed (the findings of go vet, a compiler's messages) may be lost with it"
        # of an executable the folder goes, the numbers are those of the file in it
        inode, mtime = (0, 0) if cls == "executable" else (suspect.inode, suspect.mtime)
        shown = [name for name in names if name]
        return Damage(cls, suspect.path, "", problem, expected, found, shown, repair, _REBUILT, inode, mtime)

    def _naming(self, outputs: Set[str]) -> _Naming:
        """Which actions name one of *outputs*, with which sizes, and on which other actions those hang."""
        sizes: Dict[str, Set[int]] = {}
        actions: Dict[str, Set[str]] = {}
        every: List[bytes] = []
        for shard in sorted(self.shards):
            try:
                fd = dirs.open_dir(shard, self.root.fd)
            except OSError:
                continue
            try:
                for name in os.listdir(fd):
                    if ENTRY.match(name) is None or name[65] != "a":
                        continue
                    try:
                        found = parse_action(dirs.read_small(name, fd, ACTION_SIZE + 1), name)
                    except OSError:
                        continue
                    if found is None:
                        continue
                    every.append(bytes.fromhex(name[:64]))
                    if found[0] in outputs:
                        sizes.setdefault(found[0], set()).add(found[1])
                        actions.setdefault(found[0], set()).add(name[:64])
            finally:
                os.close(fd)
        wanted = {bytes.fromhex(action): action for named in actions.values() for action in named}
        facts: Dict[str, Set[str]] = {}
        for parent in every:
            for word in _DEPENDENT:
                action = wanted.get(hashlib.sha256(b"subkey:" + parent + word).digest())
                if action is not None:
                    facts.setdefault(action, set()).add(parent.hex())
        return _Naming(sizes, actions, facts)


class _Naming(NamedTuple):
    sizes: Dict[str, Set[int]]
    actions: Dict[str, Set[str]]
    facts: Dict[str, Set[str]]


def _plain_digest(fd: int) -> str:
    digest = hashlib.sha256()
    while True:
        data = os.read(fd, _BLOCK)
        if not data:
            return digest.hexdigest()
        digest.update(data)


def _young(mtime: int) -> bool:
    return 0 <= time.time() - mtime / 1e9 < GRACE


def _size(name: str, fd: int) -> int:
    try:
        return dirs.lstat(name, fd).st_size
    except OSError:
        return 0


def _is_odd(name: str, fd: int) -> bool:
    try:
        mode = dirs.lstat(name, fd).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _read_error(exc: OSError) -> bool:
    # what a dying disk or a damaged file system answers (read(2), open(2))
    return exc.errno in (errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EOVERFLOW, errno.EREMOTEIO)


def _unreadable(cls: str, path: str, exc: OSError) -> Damage:
    problem = "cannot be read: %s; look at the disk and the kernel's log" % os.strerror(exc.errno or 0)
    return Damage(cls, path, "", problem, "", "", (), (path,), _REBUILT)
