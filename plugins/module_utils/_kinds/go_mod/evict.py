# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eviction from a module cache under Go's own locks: a tree by ``.partial`` and rename, a zip after its hash.

Order and reasons: cmd/go/internal/modfetch/fetch.go. ``DownloadDir`` takes a tree for complete when it exists, no
``.partial`` does and ``.ziphash`` does; ``unzip`` repairs everything else under the version's lock. So whoever accepted
a tree lived before ``.partial`` was there and is found by a scan that comes after it; whoever comes later waits.

A zip whose tree is complete may go while builds run: ``download`` asks ``DownloadDir`` first and takes the tree, and
an extraction holds the version's lock. A clone goes under its own lock (codehost.WorkDir) by the same order: lock,
scan, rename. What is root's in another user's cache goes with root's rights, and only what proves to be a module's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from ..._core import evict as core
from ..._core import pool
from ..._core.evict import Job, Outcome
from ..._core.plan import CachePlan
from ..._fs import dirs
from ..._fs.identity import Root
from ..._fs.remove import remove_tree
from ..._go import dirhash
from .. import quarantine
from . import BARE, CLONE, LEFTOVER, QUARANTINED, TOOLCHAIN, TREE, ZIP, without_copies
from .survey import clone_used

_ZIP_TMP = re.compile(r"(.+)\.zip[0-9]+\.tmp\Z")
_BATCH = 16
_SETTLE = 1.0
_HITS = 3


class _Late(Exception):
    """The time budget ran out while a zip was hashed."""


class _Place(NamedTuple):
    """Where one version lies: escaped module path and version."""

    folder: str
    name: str

    @property
    def tree(self) -> str:
        return "%s@%s" % (self.folder, self.name)


class _Held:
    """A version whose lock this process holds: descriptors of its @v folder and of the tree's parent."""

    def __init__(self, row: int, place: _Place, folder: int, lock: int) -> None:
        self.row = row
        self.place = place
        self.folder = folder
        self.lock = lock
        self.parent = -1
        self.marked = False
        self.there_before = False
        self.trash = ""

    def release(self) -> None:
        for fd in (self.lock, self.parent, self.folder):
            if fd >= 0:
                os.close(fd)
        self.lock = self.parent = self.folder = -1


def apply(root: Root, plan: CachePlan, job: Job) -> Outcome:
    """Carries out *plan* with the rights of this process; see the module's text for the order."""
    eviction = _Eviction(root, plan, job)
    return eviction.out.run(eviction.run)


class _Eviction:
    def __init__(self, root: Root, plan: CachePlan, job: Job) -> None:
        self.root = root
        self.plan = plan
        self.job = job
        self.entries = plan.survey.entries
        self.owners = plan.survey.owners or ((root.uid, root.gid),)
        self.atime = "atime" in plan.survey.evidence
        self.out = Outcome(job.tell)
        self.hits = 0
        self._shelf: Optional[quarantine.Shelf] = None

    def run(self) -> None:
        entries = self.entries
        by_tier: Dict[int, List[int]] = {tier: [] for tier in (LEFTOVER, TREE, ZIP, CLONE, QUARANTINED)}
        for row in self.plan.rows:
            if entries.owner[row] and os.geteuid() != self._uid(row):
                self._skip(core.OWNER, row, "needs the rights of uid %d" % self._uid(row))
            else:
                by_tier[TREE if entries.tier[row] == BARE else entries.tier[row]].append(row)
        base = self._walk("cache")
        try:
            if self.job.aside:
                self._shelf = quarantine.Shelf(base, self.root, self.job.aside)
            for row in by_tier[QUARANTINED]:
                if self._timely(row):
                    self._end_quarantine(row, base)
            self._run(by_tier)
        finally:
            if self._shelf is not None:
                self._shelf.close()
            quarantine.drop_empty(base)
            os.close(base)

    def _run(self, by_tier: Dict[int, List[int]]) -> None:
        entries = self.entries
        for row in by_tier[LEFTOVER]:
            if self._timely(row):
                self._leftover(row)
        planned = set(self.plan.rows)
        spare = [row for row in by_tier[ZIP] if entries.waits[row] >= 0 and entries.waits[row] not in planned]
        for row in spare:
            if self._timely(row):
                self._spare_zip(row)
        if spare:
            self.job.step("spare")
        left = set(spare)
        self._zips([row for row in by_tier[ZIP] if row not in left])
        for start in range(0, len(by_tier[TREE]), _BATCH):
            self._trees(by_tier[TREE][start : start + _BATCH])
        for start in range(0, len(by_tier[CLONE]), _BATCH):
            self._clones(by_tier[CLONE][start : start + _BATCH])

    def _uid(self, row: int) -> int:
        """The user whose an entry is, and with whose rights it goes."""
        return self.owners[self.entries.owner[row]][0]

    def _label(self, row: int) -> str:
        return self.plan.survey.labels[self.entries.group[row]]

    def _timely(self, row: int) -> bool:
        if not self.job.late():
            return True
        self._skip(core.TIME, row)
        return False

    def _path(self, row: int) -> str:
        return self.entries.key(row).decode("utf-8", "surrogateescape")

    def _skip(self, reason: str, row: int, detail: str = "") -> None:
        path = self.entries.key(row).decode("utf-8", "backslashreplace")
        self.out.skip(reason, path, self.entries.freed[row], detail)

    def _place(self, row: int) -> _Place:
        path = self._path(row)
        if self.entries.tier[row] == ZIP:
            folder, _v, name = path[len("cache/download/") :].rpartition("/@v/")
            return _Place(folder, name[: -len(".zip")])
        folder, _at, name = path.rpartition("@")
        return _Place(folder, name)

    def _walk(self, path: str) -> int:
        return dirs.walk_below(self.root.fd, path, self.root.mount, self.root.device)

    def _same(self, row: int, st: Optional[os.stat_result], directory: bool) -> bool:
        """The last look at an entry: still what was planned?"""
        if st is None:
            self._skip(core.GONE, row)
        elif stat.S_ISDIR(st.st_mode) != directory or st.st_ino != self.entries.inode[row]:
            self._skip(core.CHANGED, row)
        elif st.st_mtime_ns != self.entries.mtime[row]:
            self._skip(core.USED, row)
        elif st.st_uid != self._uid(row):
            self._skip(core.OWNER, row)
        else:
            return True
        return False

    def _lock(self, row: int) -> Optional[_Held]:
        """The version's lock, or None with the reason counted. The lock file is never unlinked."""
        place = self._place(row)
        try:
            folder = self._walk("cache/download/%s/@v" % place.folder)
        except OSError as exc:
            self._skip(core.CHANGED, row, os.strerror(exc.errno or 0))
            return None
        lock = -1
        try:
            lock = open_lock(place.name + ".lock", folder)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _Held(row, place, folder, lock)
        except OSError as exc:
            for fd in (lock, folder):
                if fd >= 0:
                    os.close(fd)
            if isinstance(exc, BlockingIOError):
                self._skip(core.LOCKED, row)
            else:
                self._skip(core.ERROR, row, "%s.lock: %s" % (place.name, os.strerror(exc.errno or 0)))
            return None

    # leftovers: temporary trees and files that no lock holder is writing

    def _leftover(self, row: int) -> None:
        path = self._path(row)
        parent, _slash, name = path.rpartition("/")
        try:
            fd = self._walk(parent)
        except OSError as exc:
            self._skip(core.CHANGED, row, os.strerror(exc.errno or 0))
            return
        lock = -1
        try:
            lock = self._writers_lock(parent, name, fd)
            st = dirs.lstat_or_none(name, fd)
            directory = ".tmp-" in name and not name.endswith(".tmp")
            if not self._same(row, st, directory):
                return
            if directory:
                self._remove(row, name, fd)
            elif st is not None:
                os.unlink(name, dir_fd=fd)
                self.out.done(dirs.freed_by_unlink(st), rows=(row,))
        except BlockingIOError:
            self._skip(core.LOCKED, row)
        except OSError as exc:
            self._skip(core.ERROR, row, os.strerror(exc.errno or 0))
        finally:
            if lock >= 0:
                os.close(lock)
            os.close(fd)

    def _writers_lock(self, parent: str, name: str, fd: int) -> int:
        """The lock that Go holds while it downloads a zip or extracts a tree (modfetch.lockVersion), -1 where none is.

        A download may outlast any age. Raises BlockingIOError while somebody holds it.
        """
        zipped = _ZIP_TMP.match(name)
        folder = -1
        try:
            if zipped is not None and parent.endswith("/@v"):
                version, folder = zipped.group(1), os.dup(fd)
            else:
                path, _at, version = ("%s/%s" % (parent, name.rpartition(".tmp-")[0])).rpartition("@")
                if not path or name.endswith(".tmp"):
                    return -1
                folder = self._walk("cache/download/%s/@v" % path.lstrip("/"))
            lock = os.open(version + ".lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            return -1
        finally:
            if folder >= 0:
                os.close(folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise
        return lock

    def _remove(self, row: int, name: str, fd: int, more: int = 0) -> None:
        """Removes what was set aside, and nothing else that may have taken its name; *more* bytes went before it.

        With a quarantine it is moved there instead.
        """
        if self._shelf is not None and self.entries.tier[row] != LEFTOVER:
            if self._is_planned(row, name, fd):
                self._shelf.take(name, fd, self._path(row))
                self.out.done(0, 0, rows=(row,), aside=self.entries.freed[row])
            else:
                self._skip(core.CHANGED, row)
            return
        uid = self._uid(row) if self.entries.owner[row] else -1
        try:
            gone = remove_tree(name, fd, self.root.mount, self.root.device, self.entries.inode[row], uid)
        except FileNotFoundError:
            self.out.done(0, 0, rows=(row,))  # Go's own clean-up of temporary trees was faster
            return
        if gone.left and not gone.inodes:
            self._skip(core.ERROR, row, "%s: %s" % gone.left[0])
            return
        if gone.left:
            self.out.note(
                "%s: %d names stayed, the first: %s (%s)" % ((self._path(row), len(gone.left)) + gone.left[0])
            )
        self.out.done(gone.freed + more, gone.inodes + (1 if more else 0), rows=(row,))

    # zips whose tree is there, and stays

    def _spare_zip(self, row: int) -> None:
        """The zip alone: ``.ziphash`` stays, by which every go command takes the tree for complete.

        Nobody extracts while this process holds the lock, and nobody else opens the zip of a complete tree but
        ``go mod verify``, which does without, and a proxy that serves this folder.
        """
        held = self._lock(row)
        if held is None:
            return
        try:
            st = dirs.lstat_or_none(held.place.name + ".zip", held.folder)
            if not self._same(row, st, False) or st is None or not self._whole(held) or not self._proven_zip(held):
                return
            self._done_with(row, held, ".zip", st, 0)
        except OSError as exc:
            self._skip(core.ERROR, row, os.strerror(exc.errno or 0))
        finally:
            held.release()

    def _whole(self, held: _Held) -> bool:
        """Whether the tree that a zip is given up for is the planned one, and complete (modfetch.DownloadDir)."""
        if dirs.lstat_or_none(held.place.name + ".partial", held.folder) is not None:
            self._skip(core.USED, held.row, "its tree is being extracted")
            return False
        marker = dirs.lstat_or_none(held.place.name + ".ziphash", held.folder)
        parent, _slash, name = held.place.tree.rpartition("/")
        fd = self._walk(parent)
        try:
            tree = dirs.lstat_or_none(name, fd)
        finally:
            os.close(fd)
        wanted = self.entries.inode[self.entries.waits[held.row]]
        if marker is None or marker.st_size == 0 or tree is None or tree.st_ino != wanted:
            self._skip(core.CHANGED, held.row, "its tree is not complete")
            return False
        return True

    def _proven_zip(self, held: _Held) -> bool:
        """With another owner's rights only a zip goes that hashes to its ``.ziphash``: one of that module."""
        if not self.entries.owner[held.row]:
            return True
        fd = -1
        try:
            fd = dirs.open_file(held.place.name + ".zip", held.folder)
            if os.fstat(fd).st_ino == self.entries.inode[held.row]:
                wanted = dirs.read_small(held.place.name + ".ziphash", held.folder, 64).decode("ascii", "replace")
                if dirhash.h1_zip(fd, self._label(held.row), self._tick) == wanted.strip():
                    return True
            self._skip(core.UNSOUND, held.row, "another user's, and not proven to be this module's zip")
        except _Late:
            self._skip(core.TIME, held.row)
        except ValueError as exc:
            self._skip(core.UNSOUND, held.row, str(exc))
        finally:
            if fd >= 0:
                os.close(fd)
        return False

    # zips whose tree is gone already

    def _zips(self, rows: List[int]) -> None:
        """``.ziphash`` first, then a pause without the lock, then the zip if neither hash nor tree came back.

        A command that had found the zip waits for the lock inside ``unzip`` and must still find it; one that comes
        after the hash is gone writes the hash anew, and the zip stays.
        """
        waiting: List[Tuple[int, int]] = []
        for row in rows:
            if not self._timely(row):
                continue
            held = self._lock(row)
            if held is None:
                continue
            try:
                st = self._zip_may_go(held)
                if st is None or not self._proven_zip(held):
                    continue
                marker = dirs.lstat_or_none(held.place.name + ".ziphash", held.folder)
                freed = 0
                if marker is not None:
                    freed = dirs.freed_by_unlink(marker)
                    if self._shelf is None:
                        os.unlink(held.place.name + ".ziphash", dir_fd=held.folder)
                    else:
                        self._shelf.take(held.place.name + ".ziphash", held.folder, self._path(row) + "hash")
                waiting.append((row, freed))
            except OSError as exc:
                self._skip(core.ERROR, row, os.strerror(exc.errno or 0))
            finally:
                held.release()
        self.job.step("ziphash")
        if waiting:
            core.settle(self.job, _SETTLE)
        for row, freed in waiting:
            held = self._lock(row)
            if held is None:
                continue
            try:
                if dirs.lstat_or_none(held.place.name + ".ziphash", held.folder) is not None:
                    self._skip(core.USED, row)
                    continue
                st = self._zip_may_go(held)
                if st is not None:
                    if dirs.lstat_or_none(held.place.name + ".partial", held.folder) is not None:
                        os.unlink(held.place.name + ".partial", dir_fd=held.folder)
                    self._done_with(row, held, ".zip", st, freed)
            except OSError as exc:
                self._skip(core.ERROR, row, os.strerror(exc.errno or 0))
            finally:
                held.release()
        self.job.step("zip")

    def _done_with(self, row: int, held: _Held, suffix: str, st: os.stat_result, more: int) -> None:
        """Removes a file of a version, or moves it to the quarantine; *more* bytes went before it."""
        freed = more + dirs.freed_by_unlink(st)
        if self._shelf is None:
            os.unlink(held.place.name + suffix, dir_fd=held.folder)
            self.out.done(freed, 2 if more else 1, rows=(row,))
        else:
            self._shelf.take(held.place.name + suffix, held.folder, self._path(row))
            self.out.done(0, 0, rows=(row,), aside=freed)

    def _end_quarantine(self, row: int, base: int) -> None:
        try:
            name = self._path(row).rpartition("/")[2]
            freed, inodes, left = quarantine.remove(base, self.root, name, self.entries.inode[row], self.job.step)
        except FileNotFoundError:
            self._skip(core.GONE, row)
        except OSError as exc:
            self._skip(core.ERROR, row, os.strerror(exc.errno or 0))
        else:
            if left:
                self.out.note("%s: %d names stayed, the first: %s (%s)" % ((self._path(row), len(left)) + left[0]))
            self.out.done(freed, inodes, rows=(row,))

    def _zip_may_go(self, held: _Held) -> Optional[os.stat_result]:
        st = dirs.lstat_or_none(held.place.name + ".zip", held.folder)
        if not self._same(held.row, st, False):
            return None
        mark = dirs.lstat_or_none(held.place.name + ".partial", held.folder)
        # An old mark without its tree, whose lock we hold, was left by an extraction or an eviction that was killed.
        if self._tree_is_there(held.place) or (mark is not None and mark.st_ctime_ns > self.entries.used[held.row]):
            self._skip(core.USED, held.row)
            return None
        return st

    def _tree_is_there(self, place: _Place) -> bool:
        parent, _slash, name = place.tree.rpartition("/")
        try:
            fd = self._walk(parent)
        except FileNotFoundError:
            return False
        try:
            return dirs.lstat_or_none(name, fd) is not None
        finally:
            os.close(fd)

    # trees

    def _trees(self, rows: List[int]) -> None:
        rows = [row for row in rows if self._timely(row)]
        if self.hits >= _HITS:
            for row in rows:
                self._skip(core.BUSY, row)
            return
        sound: List[int] = []

        def check(row: int) -> None:
            if self._sound(row):
                sound.append(row)

        begun = pool.work_off(check, rows, min(self.job.threads, 4), self.job.late)
        for row in rows[begun:]:
            self._skip(core.TIME, row)
        held = [found for found in (self._mark(row) for row in sorted(sound, key=rows.index)) if found is not None]
        if not held:
            return
        gone: List[_Held] = []
        try:
            self.job.step("partial")
            users = self.job.scan()
            self.job.step("scanned")
            for one in held:
                if users.who:
                    self._back_off(one, core.BUSY, "%s (pid %d)" % (users.who[0][2], users.who[0][0]))
                elif self._move(one):
                    gone.append(one)
            self.hits = self.hits + 1 if users.who else 0
            for one in gone:
                self._delete(one)
        finally:
            for one in held:
                self._unmark(one)
                one.release()

    def _sound(self, row: int) -> bool:
        """Whether the tree can be had again without the network: the zip is whole. A bare tree needs no zip.

        With another owner's rights the tree itself must be the module's too.
        """
        if self.entries.tier[row] == BARE and not self.entries.owner[row]:
            return True
        place = self._place(row)
        try:
            folder = self._walk("cache/download/%s/@v" % place.folder)
        except OSError as exc:
            self._skip(core.CHANGED, row, os.strerror(exc.errno or 0))
            return False
        fd = -1
        try:
            wanted = dirs.read_small(place.name + ".ziphash", folder, 64).decode("ascii", "replace").strip()
            if self.entries.owner[row] and self._tree_h1(row, place) != wanted:
                self._skip(core.UNSOUND, row, "another user's, and not proven to be this module's tree")
                return False
            if self.entries.tier[row] == BARE:
                return True
            fd = dirs.open_file(place.name + ".zip", folder)
            if dirhash.h1_zip(fd, self._label(row), self._tick) == wanted:
                return True
            self._skip(core.UNSOUND, row, "the zip does not hash to its .ziphash: the tree is all there is")
        except _Late:
            self._skip(core.TIME, row)
        except (OSError, ValueError) as exc:
            self._skip(core.UNSOUND, row, str(exc))
        finally:
            if fd >= 0:
                os.close(fd)
            os.close(folder)
        return False

    def _tree_h1(self, row: int, place: _Place) -> str:
        """The hash of the planned tree; '' where another one has its name."""
        fd = self._walk(place.tree)
        try:
            if os.fstat(fd).st_ino != self.entries.inode[row]:
                return ""
            digests = dirhash.tree_digests(fd, self._tick)
        finally:
            os.close(fd)
        if place.folder == TOOLCHAIN:
            without_copies(digests)
        prefix = self._label(row).encode("utf-8") + b"/"
        return dirhash.h1((prefix + name, digest) for name, digest in digests.items())

    def _tick(self, _count: int) -> None:
        if self.job.late():
            raise _Late

    def _mark(self, row: int) -> Optional[_Held]:
        """Lock and ``.partial``: from here on every go command that needs the tree waits for the lock."""
        held = self._lock(row)
        if held is None:
            return None
        try:
            mark = dirs.lstat_or_none(held.place.name + ".partial", held.folder)
            # An old mark whose lock we hold: an extraction or an eviction was killed. No go command takes such a tree.
            held.there_before = mark is not None
            if mark is not None and mark.st_ctime_ns > self.entries.used[row]:
                self._skip(core.USED, row)
                held.release()
                return None
            parent, _slash, name = held.place.tree.rpartition("/")
            held.parent = self._walk(parent)
            if not self._may_go(held, name):
                held.release()
                return None
            if not held.there_before:
                os.close(_create(held.place.name + ".partial", os.O_WRONLY, held.folder))
                held.marked = True
            return held
        except OSError as exc:
            self._skip(core.ERROR, row, os.strerror(exc.errno or 0))
            held.release()
            return None

    def _may_go(self, held: _Held, name: str) -> bool:
        """Same tree as planned, and no sign of use since: what a go command reads first is the ``.ziphash``."""
        if not self._same(held.row, dirs.lstat_or_none(name, held.parent), True):
            return False
        if self.entries.tier[held.row] == TREE and dirs.lstat_or_none(held.place.name + ".zip", held.folder) is None:
            self._skip(core.UNSOUND, held.row, "its zip is gone")
            return False
        marker = dirs.lstat_or_none(held.place.name + ".ziphash", held.folder)
        if marker is None:
            self._skip(core.CHANGED, held.row, "its .ziphash is gone")
            return False
        if self.atime and marker.st_atime_ns > self.entries.used[held.row]:
            self._skip(core.USED, held.row)
            return False
        return True

    def _unmark(self, held: _Held) -> None:
        if held.marked:
            try:
                os.unlink(held.place.name + ".partial", dir_fd=held.folder)
            except FileNotFoundError:
                pass
            except OSError as exc:
                # Go extracts the tree again at its next use.
                self.out.note("%s: .partial stayed (%s)" % (held.place.tree, os.strerror(exc.errno or 0)))
            held.marked = False

    def _back_off(self, held: _Held, reason: str, detail: str = "") -> None:
        self._unmark(held)
        self._skip(reason, held.row, detail)
        held.release()

    def _move(self, held: _Held) -> bool:
        """Renames the tree aside, drops its index and ends the mark: Go now sees a version that is not extracted."""
        name = held.place.tree.rpartition("/")[2]
        try:
            if not self._may_go(held, name):
                self._unmark(held)
                held.release()
                return False
            import random  # slow to load, so only where something goes

            # The name is one that Go's unzip removes at the next extraction, should this process die here.
            held.trash = "%s.tmp-%d" % (name, random.randrange(10**9))
            if held.place.folder == TOOLCHAIN and _runs(name, held.parent):
                self._back_off(held, core.BUSY, "a program of this toolchain is running")
                return False
            os.rename(name, held.trash, src_dir_fd=held.parent, dst_dir_fd=held.parent)
            if not self._is_planned(held.row, held.trash, held.parent):
                # Somebody put another folder there between the last look and the rename: it gets its name back.
                os.rename(held.trash, name, src_dir_fd=held.parent, dst_dir_fd=held.parent)
                self._back_off(held, core.CHANGED)
                return False
            held.marked = True
            self.job.step("renamed")
            try:
                self.job.forget(held.place.tree)
            except OSError as exc:
                self.out.note("%s: its module index stayed (%s)" % (held.place.tree, os.strerror(exc.errno or 0)))
            self._unmark(held)
            self.job.step("unmarked")
            os.close(held.lock)
            held.lock = -1
            return True
        except OSError as exc:
            self._back_off(held, core.ERROR, os.strerror(exc.errno or 0))
            return False

    def _is_planned(self, row: int, name: str, fd: int) -> bool:
        st = dirs.lstat_or_none(name, fd)
        return st is not None and stat.S_ISDIR(st.st_mode) and st.st_ino == self.entries.inode[row]

    def _delete(self, held: _Held) -> None:
        self._remove(held.row, held.trash, held.parent)
        self.job.step("deleted")

    # clones

    def _clones(self, rows: List[int]) -> None:
        """Lock, scan, rename aside: a go command that has found a clone lives and is seen, a later one waits."""
        held: List[_Clone] = []
        try:
            for row in rows:
                if not self._timely(row):
                    continue
                if self.hits >= _HITS:
                    self._skip(core.BUSY, row)
                    continue
                one = self._lock_clone(row)
                if one is not None:
                    held.append(one)
            if not held:
                return
            self.job.step("clones locked")
            users = self.job.scan()
            self.job.step("clones scanned")
            self.hits = self.hits + 1 if users.who else 0
            for one in held:
                if users.who:
                    self._skip(core.BUSY, one.row, "%s (pid %d)" % (users.who[0][2], users.who[0][0]))
                else:
                    self._move_clone(one)
                one.unlock()
            for one in held:
                if one.trash:
                    self._remove(one.row, one.trash, one.folder, one.freed)
                    self.job.step("clone deleted")
        finally:
            for one in held:
                one.release()

    def _lock_clone(self, row: int) -> Optional[_Clone]:
        parent, _slash, name = self._path(row).rpartition("/")
        folder = lock = -1
        try:
            folder = self._walk(parent)
            lock = open_lock(name + ".lock", folder)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _Clone(row, name, folder, lock)
        except OSError as exc:
            for fd in (lock, folder):
                if fd >= 0:
                    os.close(fd)
            if isinstance(exc, BlockingIOError):
                self._skip(core.LOCKED, row)
            else:
                self._skip(core.ERROR, row, "%s.lock: %s" % (name, os.strerror(exc.errno or 0)))
            return None

    def _move_clone(self, one: _Clone) -> None:
        row, folder = one.row, one.folder
        try:
            if not self._same(row, dirs.lstat_or_none(one.name, folder), True):
                return
            fd = dirs.open_dir(one.name, folder)
            try:
                if not dirs.same_place(fd, self.root.mount, self.root.device):
                    self._skip(core.CHANGED, row, "a mount")
                    return
                if clone_used(fd, self.atime) > self.entries.used[row]:
                    self._skip(core.USED, row)
                    return
            finally:
                os.close(fd)
            import random

            trash = "%s.tmp-%d" % (one.name, random.randrange(10**9))
            os.rename(one.name, trash, src_dir_fd=folder, dst_dir_fd=folder)
            one.trash = trash
            self.job.step("clone renamed")
            # Without the folder nobody reads it (codehost.WorkDir starts from scratch and writes it anew).
            info = dirs.lstat_or_none(one.name + ".info", folder)
            if info is not None:
                one.freed = dirs.freed_by_unlink(info)
                if self._shelf is None:
                    os.unlink(one.name + ".info", dir_fd=folder)
                else:
                    self._shelf.take(one.name + ".info", folder, self._path(row) + ".info")
        except OSError as exc:
            if one.trash:
                self.out.note("%s: %s" % (self._path(row), os.strerror(exc.errno or 0)))
            else:
                self._skip(core.ERROR, row, os.strerror(exc.errno or 0))


class _Clone:
    """A clone whose lock this process holds; ``freed`` are the bytes of its ``.info``."""

    def __init__(self, row: int, name: str, folder: int, lock: int) -> None:
        self.row = row
        self.name = name
        self.folder = folder
        self.lock = lock
        self.trash = ""
        self.freed = 0

    def unlock(self) -> None:
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def release(self) -> None:
        self.unlock()
        if self.folder >= 0:
            os.close(self.folder)
            self.folder = -1


def _create(name: str, mode: int, folder: int) -> int:
    """Creates a file that is Go's by name; with root's rights it is given to the folder's owner, who must use it."""
    fd = os.open(name, mode | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666, dir_fd=folder)
    try:
        place = os.fstat(folder)
        if os.geteuid() == 0 and place.st_uid != 0:
            os.fchown(fd, place.st_uid, place.st_gid)
        return fd
    except BaseException:
        os.close(fd)
        raise


def open_lock(name: str, folder: int) -> int:
    """A lock file of Go's, made where it is missing and never unlinked. Raises OSError, also for what is no file."""
    for _attempt in range(10):
        try:
            fd = os.open(name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except FileNotFoundError:
            try:
                return _create(name, os.O_RDWR, folder)
            except FileExistsError:
                continue
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", name)
    raise OSError(errno.EAGAIN, "it comes and goes", name)


def _runs(name: str, parent: int) -> bool:
    """Whether a process that this one may look at runs a program of the toolchain in the folder *name*.

    Compared by device and inode, which are the same in every mount namespace and after a removal.
    """
    programs: Set[Tuple[int, int]] = set()
    todo = [("bin", 0), ("pkg", 1)]
    tree = dirs.open_dir(name, parent)
    stack: List[Tuple[int, int]] = []
    try:
        for sub, depth in todo:
            try:
                stack.append((dirs.open_dir(sub, tree), depth))
            except OSError:
                continue
        while stack:
            fd, depth = stack.pop()
            try:
                for child, st in dirs.entries(fd):
                    if stat.S_ISREG(st.st_mode):
                        programs.add((st.st_dev, st.st_ino))
                    elif stat.S_ISDIR(st.st_mode) and 0 < depth < 3 and (depth > 1 or child == "tool"):
                        stack.append((dirs.open_dir(child, fd), depth + 1))
            finally:
                os.close(fd)
    finally:
        for fd, _depth in stack:
            os.close(fd)
        os.close(tree)
    try:
        pids = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        return False
    for pid in pids:
        try:
            st = os.stat("/proc/%s/exe" % pid)
        except OSError:
            continue
        if (st.st_dev, st.st_ino) in programs:
            return True
    return False
