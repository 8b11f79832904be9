# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of a module cache: zips, extracted trees, ``.info``, ``.mod`` and ``.ziphash`` of every version.

Go checks a zip when it downloads it and a go.mod against go.sum; what lies in the cache later it believes, and ``go mod
verify`` looks only at the modules of one project (cmd/go/internal/modcmd/verify.go). Nothing is written, no access time
is touched (an access time of ``.ziphash`` is the evidence of last use), neither Go nor the network is needed.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import stat
import time
from typing import Callable, Dict, List, NamedTuple, NoReturn, Optional, Tuple

from ..._core.document import read_json
from ..._core.verify import Damage, Options, OutOfTime, Report, each
from ..._fs import dirs
from ..._fs.identity import Root
from ..._go import dirhash, modpath
from ..._go.dirhash import TreeProblem, ZipProblem
from . import TOOLCHAIN, without_copies

CLASSES = ("zip", "tree", "ziphash", "info", "mod")
#: What does not fit must have been left alone for this long (seconds) before it is called damaged.
SETTLE = 2.0
#: cmd/go/internal/modfetch/cache.go, DownloadDir: unpacked from GOROOT, so it has no .ziphash
_FIPS = "golang.org/fips140"
_DEEPEST = 64
_SMALL = 16 << 20  # x/mod/zip.MaxGoMod
_PARTS = frozenset(("info", "mod", "zip", "ziphash", "lock", "partial"))
_TMP_TREE = re.compile(r"@[^@]+\.tmp-[0-9]+\Z")
_RFC3339 = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](?:[.,][0-9]+)?(?:Z|[+-][0-9:]{5})\Z"
)
_MODULE_LINE = re.compile(rb"(?m)^[ \t]*(?:/\*.*\*/)?[ \t]*module(?:[ \t(\"`]|\r?$)")
_LATE = "the time limit was reached before everything was checked"
_AGAIN = "the next go command that needs it downloads it again"
_EXTRACT = "the next build that needs it extracts it again from the zip, without network"


class _Place(NamedTuple):
    folder: str  # escaped module path
    name: str  # escaped version

    @property
    def tree(self) -> str:
        return "%s@%s" % (self.folder, self.name)

    @property
    def base(self) -> str:
        return "cache/download/%s/@v/%s" % (self.folder, self.name)


class _Changing(Exception):
    """What was looked at changed while it was read: a go command is at work there."""


def verify(root: Root, options: Options) -> Report:
    """Checks the module cache at *root*. Raises OSError for the root."""
    return _Verify(root, options).run()


def parse_ziphash(data: bytes) -> Optional[str]:
    """The hash in a ``.ziphash`` file, None where Go would not take it for one (modfetch.isValidSum, checkMod)."""
    if len(data) != 47 or b"\0" in data or not data.startswith(b"h1:"):
        return None
    try:
        return data.decode("ascii") if len(base64.b64decode(data[3:], validate=True)) == 32 else None
    except ValueError:
        return None


def parse_lookup(data: bytes, path: str, version: str) -> Tuple[str, str]:
    """The hashes of the module and of its go.mod in a cached answer of the checksum database, ``""`` for a missing one.

    The answer is the record's number, the go.sum lines and, after an empty line, the signed tree
    (golang.org/x/mod/sumdb, Client.Lookup).
    """
    zipped = mod = ""
    for line in data.split(b"\n\n", 1)[0].decode("utf-8", "replace").splitlines():
        fields = line.split(" ")
        if len(fields) == 3 and fields[0] == path and fields[2].startswith("h1:"):
            if fields[1] == version:
                zipped = fields[2]
            elif fields[1] == version + "/go.mod":
                mod = fields[2]
    return zipped, mod


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError("%s is not JSON" % text)


def check_info(data: bytes, version: str) -> Optional[Tuple[str, str, str]]:
    """What is wrong with an ``.info`` file of *version*: (problem, expected, found); None if nothing.

    Go reads Version and Time of it, names in any case (modfetch.RevInfo, readDiskStat; encoding/json).
    """
    problem = "not JSON that Go accepts; Go takes the version for not cached"
    try:
        info = read_json(data.decode("utf-8", "replace"), parse_constant=_refuse_constant)
    except ValueError:
        return problem, "a JSON object", repr(data[:24].decode("utf-8", "replace"))
    if not isinstance(info, dict):
        return problem, "a JSON object", type(info).__name__
    fields = {key.lower(): value for key, value in info.items()}
    found = fields.get("version")
    if found != version:
        return "it belongs to another version", version, repr(found)
    when = fields.get("time")
    if when is not None and not (isinstance(when, str) and _RFC3339.match(when)):
        return problem, "a time such as 2024-01-02T15:04:05Z", repr(when)[:40]
    return None


class _Version:
    """One version while it is checked."""

    def __init__(self, place: _Place, path: str, version: str, tree: bool, parts: Dict[str, os.stat_result]) -> None:
        self.place = place
        self.path = path
        self.version = version
        self.label = modpath.label(path, version)
        self.has_tree = tree
        self.parts = parts
        self.ziphash: Optional[str] = None
        self.sums = ("", "")
        self.zip_h1: Optional[str] = None
        self.zip_sound = False
        self.tree_sound = False


class _Verify:
    def __init__(self, root: Root, options: Options) -> None:
        self.root = root
        self.options = options
        self.report = Report(CLASSES)
        self.files: Dict[_Place, Dict[str, os.stat_result]] = {}
        self.trees: Dict[_Place, int] = {}
        self.databases: List[str] = []

    def run(self) -> Report:
        self._find("cache/download", 0, self._download)
        self._find("", 0, self._module_folder)
        self._vcs()
        places = sorted(set(self.files) | set(self.trees))
        if places and self.options.seed:  # runs cut by the time limit shall not always see the same ones
            start = sum(self.options.seed.encode("utf-8", "surrogateescape")) * 37 % len(places)
            places = places[start:] + places[:start]
        each(self._version, places, self.options.threads)
        return self.report

    # --- what is there ---------------------------------------------------------------------------

    def _walk(self, path: str) -> int:
        """Opens a folder below the root name by name; raises OSError, also for a mount or a symlink on the way."""
        fd = os.dup(self.root.fd)
        try:
            for part in path.split("/"):
                if part:
                    child = dirs.open_dir(part, fd)
                    os.close(fd)
                    fd = child
            if not dirs.same_place(fd, self.root.mount, self.root.device):
                raise OSError(errno.EXDEV, "a mount inside the cache, not entered", path)
            return fd
        except BaseException:
            os.close(fd)
            raise

    def _find(self, path: str, depth: int, look: Callable[[int, str], List[str]]) -> None:
        try:
            fd = self._walk(path)
        except FileNotFoundError:
            return
        except OSError as exc:
            self._unreachable(exc)
            return
        try:
            below = look(fd, path)
        finally:
            os.close(fd)
        if depth > _DEEPEST:
            self.report.note("folders deeper than any module path")
            return
        for name in below:
            self._find(path + "/" + name if path else name, depth + 1, look)

    def _unreachable(self, exc: OSError) -> None:
        if exc.errno == errno.EXDEV:
            self.report.note("mounts inside the cache, not entered")
        else:
            self.report.unreached(exc.strerror or os.strerror(exc.errno or 0))

    def _folders(self, fd: int) -> List[str]:
        return sorted(name for name, st in dirs.entries(fd) if stat.S_ISDIR(st.st_mode))

    def _download(self, fd: int, path: str) -> List[str]:
        if path == "cache/download/sumdb":
            self.databases = self._folders(fd)
            return []
        if not path.endswith("/@v"):
            return self._folders(fd)
        folder = path[len("cache/download/") : -len("/@v")]
        for name, st in dirs.entries(fd):
            stem, _dot, part = name.rpartition(".")
            if not stat.S_ISREG(st.st_mode):
                self.report.note("foreign")
            elif part == "tmp":
                self.report.note("temporary files")
            elif stem and part in _PARTS:
                self.files.setdefault(_Place(folder, stem), {})[part] = st
            elif name != "list":
                self.report.note("foreign")
        return []

    def _module_folder(self, fd: int, path: str) -> List[str]:
        below = []
        for name, st in sorted(dirs.entries(fd), key=lambda item: item[0]):
            if not path and name == "cache":
                continue
            if not stat.S_ISDIR(st.st_mode):
                self.report.note("foreign")
            elif "@" not in name:
                below.append(name)
            elif _TMP_TREE.search(name):
                self.report.note("temporary trees")
            else:
                folder, _at, version = (path + "/" + name if path else name).rpartition("@")
                self.trees[_Place(folder, version)] = st.st_ino
        return below

    def _vcs(self) -> None:
        try:
            fd = self._walk("cache/vcs")
        except OSError:
            return
        try:
            clones = len(self._folders(fd))
        finally:
            os.close(fd)
        if clones:
            self.report.note("version control clones, not verified", clones)

    # --- one version -----------------------------------------------------------------------------

    def _version(self, place: _Place) -> None:
        report = self.report
        parts = self.files.get(place, {})
        try:
            path, version = modpath.unescape_path(place.folder), modpath.unescape_version(place.name)
        except ValueError:
            report.note("not named like a module version")
            return
        one = _Version(place, path, version, place in self.trees, parts)
        todo = [cls for cls in CLASSES if cls in parts or (cls == "tree" and one.has_tree)]
        if not todo:
            return
        at_v = -1
        try:
            if parts:
                at_v = self._walk("cache/download/%s/@v" % place.folder)
            self._lookup(one)
            for cls in ("ziphash", "zip", "tree", "info", "mod"):
                if cls not in todo:
                    continue
                self.options.tick()
                self._guarded(cls, one, at_v)
                todo.remove(cls)
        except OutOfTime:
            for cls in todo:
                report.skip(cls)
            report.cut(_LATE)
            raise
        except FileNotFoundError:
            for cls in todo:
                report.skip(cls, "gone meanwhile")
        except OSError as exc:
            self._unreachable(exc)
        finally:
            if at_v >= 0:
                os.close(at_v)

    def _guarded(self, cls: str, one: _Version, at_v: int) -> None:
        """Checks one part of a version; what the rights do not reach and what changes meanwhile is counted as that."""
        report, st = self.report, one.parts.get(cls)
        size = st.st_size if st is not None else 0
        try:
            getattr(self, "_check_" + cls)(one, at_v)
        except (FileNotFoundError, _Changing):
            report.skip(cls, "changed meanwhile")
        except dirs.CannotLook as exc:
            report.unreached(exc.strerror or "", size)
        except OSError as exc:
            if exc.errno in (errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EREMOTEIO):
                path = one.place.tree if cls == "tree" else one.place.base + "." + cls
                problem = "cannot be read: %s; look at the disk and the kernel's log" % os.strerror(exc.errno)
                report.bad(Damage(cls, path, one.label, problem, "", "", (), (path,), _AGAIN))
            else:
                report.unreached(os.strerror(exc.errno or 0), size)

    def _lookup(self, one: _Version) -> None:
        for database in self.databases:
            folder, _slash, last = one.place.tree.rpartition("/")
            try:
                fd = self._walk("cache/download/sumdb/%s/lookup/%s" % (database, folder))
            except OSError:
                continue
            try:
                data = dirs.read_small(last, fd)
            except OSError:
                continue
            finally:
                os.close(fd)
            zipped, mod = parse_lookup(data, one.path, one.version)
            one.sums = (one.sums[0] or zipped, one.sums[1] or mod)

    def _settled(self, name: str, at_v: int, before: os.stat_result) -> None:
        """Waits until a file has rested; raises _Changing if it is not the one that was read."""
        wait = min(before.st_mtime + SETTLE - time.time(), SETTLE)
        if wait > 0:
            time.sleep(wait)
        after = dirs.lstat(name, at_v)
        if (after.st_ino, after.st_mtime_ns, after.st_size) != (before.st_ino, before.st_mtime_ns, before.st_size):
            raise _Changing

    def _check_ziphash(self, one: _Version, at_v: int) -> None:
        name = one.place.name + ".ziphash"
        before = dirs.lstat(name, at_v)
        data = dirs.read_small(name, at_v, 4096)
        one.ziphash = parse_ziphash(data)
        if one.ziphash is None:
            self._settled(name, at_v, before)
            data = dirs.read_small(name, at_v, 4096)
            one.ziphash = parse_ziphash(data)
        path = one.place.base + ".ziphash"
        if one.ziphash is None:
            problem = "not a hash; Go makes it anew from the zip, where that is there"
            if len(data) == 47 and b"\0" not in data:
                problem = "not a hash; Go refuses to work with this version"
            found = "%d bytes: %r" % (before.st_size, data[:12].decode("utf-8", "replace"))
            wanted, repair = "h1: and 44 characters", [path]
            self._tell("ziphash", one, before, problem, wanted, found, repair)
        elif one.sums[0] and one.sums[0] != one.ziphash:
            problem = "the checksum database knows another hash of this module"
            repair = [one.place.tree] if one.has_tree else []
            repair += [one.place.base + ".zip"] if "zip" in one.parts else []
            self._tell("ziphash", one, before, problem, one.sums[0], one.ziphash, [*repair, path])
        else:
            self.report.ok("ziphash", len(data))

    def _tell(
        self,
        cls: str,
        one: _Version,
        st: os.stat_result,
        problem: str,
        expected: str,
        found: str,
        repair: List[str],
    ) -> None:
        """Counts a damaged file of a version in cache/download."""
        path = "%s.%s" % (one.place.base, cls)
        self.report.bad(
            Damage(cls, path, one.label, problem, expected, found, (), repair, _AGAIN, st.st_ino, st.st_mtime_ns),
            st.st_size,
        )

    # zip

    def _zip_h1(self, one: _Version, at_v: int) -> Tuple[str, str, os.stat_result]:
        """Hash of the zip, or what is wrong with it, and the file's stat."""
        fd = dirs.open_file(one.place.name + ".zip", at_v)
        try:
            st = os.fstat(fd)
            try:
                return dirhash.h1_zip(fd, one.label, self.options.tick), "", st
            except ZipProblem as problem:
                return "", str(problem), st
        finally:
            os.close(fd)

    def _check_zip(self, one: _Version, at_v: int) -> None:
        report = self.report
        if not self.options.takes(one.label):
            report.skip("zip")
            return
        expected = one.ziphash or one.sums[0]
        found, problem, before = self._zip_h1(one, at_v)
        if problem or (expected and found != expected):
            self._settled(one.place.name + ".zip", at_v, before)
            found, problem, before = self._zip_h1(one, at_v)
            if one.ziphash is not None:  # a new download writes both
                expected = parse_ziphash(dirs.read_small(one.place.name + ".ziphash", at_v, 4096)) or expected
        if not problem and (not expected or found == expected):
            one.zip_h1, one.zip_sound = found, True
            if "ziphash" not in one.parts:
                report.note("zips without .ziphash")
            report.ok("zip", before.st_size)
            return
        path = one.place.base + ".zip"
        if problem:
            text = "not a sound zip: %s" % problem
            if not one.has_tree:
                text += "; Go never downloads it again while it is there"
        else:
            text = "its content has another hash"
        repair = [path] if one.has_tree else [path, one.place.base + ".ziphash"]
        self._tell("zip", one, before, text, expected, found, repair)

    # tree

    def _check_tree(self, one: _Version, at_v: int) -> None:
        report = self.report
        if not self.options.takes(one.label):
            report.skip("tree")
            return
        if "partial" in one.parts:
            report.skip("tree", "trees being extracted or cut off (.partial), which Go extracts again")
            return
        if one.path == _FIPS and "ziphash" not in one.parts:
            report.skip("tree", "trees that Go unpacked from its own installation")
            return
        if "ziphash" not in one.parts:
            report.skip("tree", "trees without .ziphash, which Go takes for incomplete")
            return
        expected = one.ziphash or one.zip_h1 or one.sums[0]
        if not expected:
            report.skip("tree", "trees that nothing is there to compare with")
            return
        strange: List[TreeProblem] = []
        digests, size = self._tree_digests(one, at_v, strange)
        if strange or self._tree_h1(one, digests) != expected:
            strange = []
            self._rest(one)
            digests, size = self._tree_digests(one, at_v, strange)
            if one.ziphash is not None:
                expected = parse_ziphash(dirs.read_small(one.place.name + ".ziphash", at_v, 4096)) or expected
        found = self._tree_h1(one, digests)
        if not strange and found == expected:
            one.tree_sound = True
            report.ok("tree", size)
            return
        names = [problem.name for problem in strange]
        problem = (
            "it holds what Go never puts there: %s" % "; ".join(str(one) for one in strange[:3]) if strange else ""
        )
        if not strange:
            problem = "its files are not those of the module"
            if one.zip_sound:
                problem, names = self._difference(one, at_v, digests)
                if not problem:
                    # A zip with folder records hashes them, a tree cannot (dirhash.HashZip, HashDir).
                    one.tree_sound = True
                    report.note("trees equal to their zip but for its folder records")
                    report.ok("tree", size)
                    return
            else:
                problem += "; without a sound zip there is nothing to tell which"
        how = _EXTRACT if one.zip_sound else _AGAIN
        report.bad(
            Damage("tree", one.place.tree, one.label, problem, expected, found, names, (one.place.tree,), how), size
        )

    def _rest(self, one: _Version) -> None:
        """Lets a go command finish that has just extracted a tree, or is preparing a toolchain for its first run."""
        fd = self._walk(one.place.tree)
        try:
            fresh = time.time() - os.fstat(fd).st_ctime < SETTLE
        finally:
            os.close(fd)
        if (fresh or one.path == TOOLCHAIN) and time.monotonic() + SETTLE < self.options.deadline:
            time.sleep(SETTLE)

    def _tree_digests(self, one: _Version, at_v: int, strange: List[TreeProblem]) -> Tuple[Dict[bytes, bytes], int]:
        """Digests of the tree's files and their bytes; raises _Changing if a go command extracts meanwhile."""
        total = [0]

        def tick(read: int) -> None:
            total[0] += read
            self.options.tick(read)

        fd = self._walk(one.place.tree)
        try:
            inode = os.fstat(fd).st_ino
            digests = dirhash.tree_digests(fd, tick, strange)
        finally:
            os.close(fd)
        if at_v >= 0 and dirs.lstat_or_none(one.place.name + ".partial", at_v) is not None:
            raise _Changing
        fd = self._walk(one.place.tree)
        try:
            if os.fstat(fd).st_ino != inode:
                raise _Changing
        finally:
            os.close(fd)
        if one.path == TOOLCHAIN:
            without_copies(digests)
        return digests, total[0]

    def _tree_h1(self, one: _Version, digests: Dict[bytes, bytes]) -> str:
        prefix = one.label.encode("utf-8") + b"/"
        try:
            return dirhash.h1((prefix + name, digest) for name, digest in digests.items())
        except ValueError as exc:  # a newline in a name
            return str(exc)

    def _difference(self, one: _Version, at_v: int, digests: Dict[bytes, bytes]) -> Tuple[str, List[str]]:
        """Which files of a tree are not the zip's: a sentence and the first names; ``""`` if none is."""
        prefix = len(one.label.encode("utf-8")) + 1
        fd = dirs.open_file(one.place.name + ".zip", at_v)
        try:
            zipped = {
                name[prefix:]: digest
                for name, digest in dirhash.zip_digests(fd, one.label, self.options.tick)
                if not name.endswith(b"/")
            }
        except ZipProblem:
            raise _Changing from None
        finally:
            os.close(fd)
        groups = (
            ("missing", sorted(set(zipped) - set(digests))),
            ("extra", sorted(set(digests) - set(zipped))),
            ("changed", sorted(name for name in set(zipped) & set(digests) if zipped[name] != digests[name])),
        )
        texts, names = [], []
        for word, members in groups:
            if members:
                shown = [name.decode("utf-8", "replace") for name in members[:3]]
                texts.append(
                    "%d %s (%s%s)" % (len(members), word, ", ".join(shown), ", ..." if len(members) > 3 else "")
                )
                names += shown
        return ("its files are not those of the module: " + ", ".join(texts) if texts else ""), names

    # info and mod

    def _check_info(self, one: _Version, at_v: int) -> None:
        name = one.place.name + ".info"
        before = dirs.lstat(name, at_v)
        data = dirs.read_small(name, at_v, _SMALL)
        wrong = check_info(data, one.version)
        if wrong is not None:
            self._settled(name, at_v, before)
            wrong = check_info(dirs.read_small(name, at_v, _SMALL), one.version)
        if wrong is None:
            self.report.ok("info", len(data))
            return
        path = one.place.base + ".info"
        self._tell("info", one, before, wrong[0], wrong[1], wrong[2], [path])

    def _check_mod(self, one: _Version, at_v: int) -> None:
        name = one.place.name + ".mod"
        before = dirs.lstat(name, at_v)
        data = dirs.read_small(name, at_v, _SMALL + 1)
        expected, against = self._known_mod(one, at_v)
        wrong = self._wrong_mod(data, expected, against)
        if wrong is not None:
            self._settled(name, at_v, before)
            data = dirs.read_small(name, at_v, _SMALL + 1)
            wrong = self._wrong_mod(data, expected, against)
        if wrong is None:
            if not expected:
                self.report.note("go.mod files with nothing to compare with, checked for their form only")
            self.report.ok("mod", len(data))
            return
        path = one.place.base + ".mod"
        self._tell("mod", one, before, wrong, expected, dirhash.h1_gomod(data), [path])

    def _known_mod(self, one: _Version, at_v: int) -> Tuple[str, str]:
        """The h1 that the version's go.mod must have and who says so; two empty texts where nobody does."""
        if one.sums[1]:
            return one.sums[1], "what the checksum database knows"
        if one.zip_sound:
            fd = dirs.open_file(one.place.name + ".zip", at_v)
            try:
                data = dirhash.zip_file(fd, one.label + "/go.mod")
            except ZipProblem:
                data = None
            finally:
                os.close(fd)
            if data is not None:
                return dirhash.h1_gomod(data), "the one in the module's zip"
        elif one.tree_sound:
            fd = self._walk(one.place.tree)
            try:
                return dirhash.h1_gomod(dirs.read_small("go.mod", fd, _SMALL)), "the one in the module's tree"
            except OSError:
                return "", ""
            finally:
                os.close(fd)
        return "", ""

    def _wrong_mod(self, data: bytes, expected: str, against: str) -> Optional[str]:
        if expected:
            return None if dirhash.h1_gomod(data) == expected else "it differs from %s" % against
        if b"\0" in data or not _MODULE_LINE.search(data):
            return "not a go.mod file: no module line"
        return None
