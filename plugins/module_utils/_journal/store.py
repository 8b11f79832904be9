# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's file: one small SQLite database for each user that runs the engine.

No call here raises for the file's sake: a journal that cannot be opened is None, a record that cannot be written is
left out, and a note says why. Everything is written in one transaction a call (roll-back journal, no WAL): a process
that is killed leaves the state before or after it. Readers and writers wait at most two seconds for each other.

Kept are 400 runs, of which 100 that evicted nothing, at most 10,000 rows of caches, ghosts for 30 days and within
24 MiB, unneeded labels until 180 days after they were last asked for: the file stays below some 40 MiB. The oldest goes
first; this is done at each write.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from .._core.survey import SECOND, CacheRef, Entries
from . import ghosts, place

if TYPE_CHECKING:
    import sqlite3

SCHEMA = 1
RUNS = 400
QUIET_RUNS = 100
CACHE_ROWS = 10_000
GHOST_DAYS = 30
GHOST_BYTES = 24 << 20
UNNEEDED_DAYS = 180
UNNEEDED_MOST = 200_000
WAIT_SECONDS = 2.0
_TOUCH_DAYS = 7
_DAY = 86400
_NOTES = 2000
_LARGEST = 2**63 - 1
# No date before this one is a recollection: the clock was not set yet.
_FIRST = 1483228800  # 2017

_TABLES = (
    (
        "CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, door TEXT NOT NULL, "
        "what TEXT NOT NULL, policy TEXT NOT NULL, plan TEXT NOT NULL, predicted INTEGER NOT NULL, "
        "freed INTEGER NOT NULL, evicted INTEGER NOT NULL, left_out INTEGER NOT NULL, free_before INTEGER NOT NULL, "
        "free_after INTEGER NOT NULL, notes TEXT NOT NULL)"
    ),
    (
        "CREATE TABLE caches (id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, kind TEXT NOT NULL, "
        "path BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, uid INTEGER NOT NULL, cap INTEGER, "
        "evicted INTEGER NOT NULL, freed INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, "
        "ghosts INTEGER NOT NULL, ghost_bytes INTEGER NOT NULL, by_age TEXT NOT NULL, back TEXT NOT NULL)"
    ),
    (
        "CREATE TABLE ghosts (cache INTEGER PRIMARY KEY, at INTEGER NOT NULL, revision INTEGER NOT NULL, "
        "kind TEXT NOT NULL, path BLOB NOT NULL, packed BLOB NOT NULL)"
    ),
    (
        "CREATE TABLE unneeded (kind TEXT NOT NULL, path BLOB NOT NULL, label BLOB NOT NULL, since INTEGER NOT NULL, "
        "asked INTEGER NOT NULL, PRIMARY KEY (kind, path, label)) WITHOUT ROWID"
    ),
    "CREATE INDEX caches_by_run ON caches (run)",
    "CREATE INDEX caches_by_place ON caches (kind, path, id)",
    "CREATE INDEX ghosts_by_place ON ghosts (kind, path)",
)


def _silent(_text: str) -> None:
    pass


class Run(NamedTuple):
    """One run. ``at`` is Unix nanoseconds, ``door`` ansible or cli, ``what`` purge; ``policy`` and ``plan``
    are digests, sizes bytes (``predicted``, ``freed``, ``free_*``), ``evicted`` and ``left_out`` entries."""

    at: int
    door: str
    what: str
    policy: str = ""
    plan: str = ""
    predicted: int = 0
    freed: int = 0
    evicted: int = 0
    left_out: int = 0
    free_before: int = 0
    free_after: int = 0
    notes: Sequence[str] = ()


class Row(NamedTuple):
    """One cache of a run: its pictures before and after, the size cap in force (bytes, None: no cap), what was evicted.

    ``began`` is when the evictions began (Unix nanoseconds): what is made after that has come back.
    """

    cache: CacheRef
    before: ghosts.Picture
    after: ghosts.Picture
    cap: Optional[int] = None
    evicted: int = 0
    freed: int = 0
    gone: Optional[ghosts.Ghosts] = None
    began: int = 0


def open_journal(write: bool, note: Callable[[str], None] = _silent) -> Optional[Journal]:
    """The journal of this process's user; None where it cannot be used, and *note* gets a sentence that says why.

    With *write*, directory and file are made where they are missing, and a damaged file is moved aside. Without (check
    mode, information), nothing is made or changed, and a journal that does not exist yet is None without a note. Keep
    one for a run, not longer, and close it. It is for one thread of
    one process: close it before a fork, so that no worker with another user's rights holds its descriptor.
    """
    try:
        import sqlite3
    except ImportError as exc:
        note("no journal is kept: this Python has no sqlite3 (%s)" % exc)
        return None
    try:
        folder = place.prepare(write)
        if folder is None:
            return None
        path = os.path.join(folder, place.FILE)
        try:
            return _open(path, write, note)
        except _Damaged as exc:
            if not write:
                note("the journal %s is damaged (%s) and was not read; the next purge moves it aside" % (path, exc))
                return None
            kept = _move_aside(path, exc.inode)
            if kept:
                note("the journal %s was damaged (%s): moved to %s, a new one is begun" % (path, exc, kept))
            return _open(path, write, note)
    except (place.Unusable, _Newer) as exc:
        note("no journal is kept: %s" % exc)
    except OSError as exc:
        note("no journal is kept: %s: %s" % (exc.filename or place.state_dir(), exc.strerror or exc))
    except (sqlite3.Error, _Damaged) as exc:
        note("no journal is kept: %s: %s" % (os.path.join(place.state_dir(), place.FILE), exc))
    return None


class _Damaged(Exception):
    def __init__(self, text: str, inode: int) -> None:
        super().__init__(text)
        self.inode = inode


class _Newer(Exception):
    pass


def _quoted(path: str) -> str:
    """A path as a part of a URI (RFC 3986, section 2.3); to load urllib for it costs each start some milliseconds."""
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
    return "".join(chr(byte) if byte in plain else "%%%02X" % byte for byte in os.fsencode(path))


def _open(path: str, write: bool, note: Callable[[str], None]) -> Optional[Journal]:
    import sqlite3

    place.check_file(path + "-journal")
    if not place.check_file(path):
        if not write:
            return None
        try:
            # SQLite gives its roll-back file the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            pass
        place.check_file(path)
    inode = os.stat(path).st_ino
    uri = "file:%s?mode=%s" % (_quoted(path), "rw" if write else "ro")
    base = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
    try:
        journal = Journal(base, path, inode, write, note)
        if _check_schema(base, path, write):
            if write:
                base.execute("PRAGMA journal_mode = DELETE").fetchall()
                base.execute("PRAGMA synchronous = NORMAL")
            return journal
        base.close()
        return None
    except BaseException as exc:
        base.close()
        if exc.__class__ is sqlite3.DatabaseError:  # not a database, malformed; its subclasses tell of other troubles
            raise _Damaged(str(exc), inode) from exc
        if isinstance(exc, _Damaged):
            exc.inode = inode
        raise


def _check_schema(base: sqlite3.Connection, path: str, write: bool) -> bool:
    """Whether the file is a journal that can be used; False for one that another process is just making."""
    if base.execute("PRAGMA user_version").fetchone()[0] == 0 and write:
        base.execute("PRAGMA auto_vacuum = FULL")  # counts only before the first table is made
        with _Transaction(base):
            # Another process may have been faster.
            empty = base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if empty and base.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _TABLES:
                    base.execute(statement)
                base.execute("PRAGMA user_version = %d" % SCHEMA)
    version = base.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        text = "%s is of a newer gofleet.cache (schema %d, this one knows %d) and is left alone; update this one"
        raise _Newer(text % (path, version, SCHEMA))
    found = base.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'").fetchall()
    if not write and not version and not found:
        return False
    if version != SCHEMA or {row[0] for row in found} != set(_TABLES):
        raise _Damaged("not a journal" if found or version else "empty", 0)
    return True


class _Transaction:
    """BEGIN IMMEDIATE to COMMIT, rolled back on any error."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self.base = base

    def __enter__(self) -> None:
        self.base.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, _value: object, _trace: object) -> None:
        if kind is None:
            try:
                self.base.execute("COMMIT")
                return
            except BaseException:
                self._back()
                raise
        self._back()

    def _back(self) -> None:
        if self.base.in_transaction:  # SQLite has done it itself after some errors
            try:
                self.base.execute("ROLLBACK")
            except Exception:
                pass


def _move_aside(path: str, inode: int) -> str:
    """Renames a damaged journal, unless another process has just done so, and returns its new name; one is kept."""
    folder = os.path.dirname(path)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Held for two renames at most; nothing else locks this directory.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.lexists(path) or os.lstat(path).st_ino != inode:
            return ""
        old = {}
        for name in os.listdir(lock):
            number = name[len(place.DAMAGED) :]
            if name.startswith(place.DAMAGED) and number.isdigit():
                old[int(number)] = name
        kept = "%s%d" % (place.DAMAGED, max(old, default=0) + 1)
        try:
            # It is no roll-back file of the new one.
            os.unlink(path + "-journal")
        except FileNotFoundError:
            pass
        os.rename(path, os.path.join(folder, kept))
        for name in old.values():
            os.unlink(name, dir_fd=lock)
        return os.path.join(folder, kept)
    finally:
        os.close(lock)


def _signed(value: int) -> int:
    """Device and inode numbers have 64 bits without a sign, SQLite's integers one."""
    value &= 2**64 - 1
    return value - 2**64 if value > _LARGEST else value


def _bounded(value: int) -> int:
    return max(-_LARGEST, min(int(value), _LARGEST))


def _path(path: str) -> bytes:
    return os.fsencode(path)


def _label(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _notes(notes: Iterable[str]) -> str:
    kept: List[str] = []
    room = _NOTES
    for text in notes:
        text = text.encode("utf-8", "backslashreplace").decode()[:300]
        room -= len(text)
        if room < 0:
            kept.append("...")
            break
        kept.append(text)
    return json.dumps(kept)


_COMPLETE = 4


def _picture(one: ghosts.Picture) -> str:
    days = list(one.days)
    while days and not days[-1]:
        days.pop()
    return json.dumps([one.entries, one.allocated, one.newest // SECOND, one.oldest // SECOND, int(one.complete), days])


def _read_picture(text: str) -> Dict[str, Any]:
    entries, allocated, newest, oldest, complete, days = json.loads(text)
    return {
        "entries": entries,
        "allocated": allocated,
        "newest": newest,
        "oldest": oldest,
        "complete": bool(complete),
        "days": days + [0] * (ghosts.DAYS - len(days)),
    }


_COUNTERS = (
    "entries",
    "bytes",
    "day_entries",
    "day_bytes",
    "day_age",
    "restored_entries",
    "restored_bytes",
    "undated_entries",
    "undated_bytes",
)


def _no_back() -> Dict[str, Any]:
    return dict(dict.fromkeys(_COUNTERS, 0), day_age=-1, seconds={})


def _add_back(counters: Dict[str, Any], back: ghosts.Back) -> Dict[str, Any]:
    found = dict(counters, seconds=dict(counters["seconds"]))
    for name in _COUNTERS:
        value = getattr(back, name)
        found[name] = max(found[name], value) if name == "day_age" else found[name] + value
    bins = found["seconds"]
    for seconds in back.seconds:
        key = str(ghosts.bin_of(seconds))
        bins[key] = bins.get(key, 0) + 1
    return found


def _regret(counters: Sequence[Dict[str, Any]], total: int, total_bytes: int) -> Dict[str, Any]:
    """Counters of several caches as people read them. ``share`` is of the entries that were evicted."""
    bins: Dict[int, int] = {}
    for one in counters:
        for name, count in one["seconds"].items():
            bins[int(name)] = bins.get(int(name), 0) + count
    found: Dict[str, Any] = {name: sum(one[name] for one in counters) for name in _COUNTERS if name != "day_age"}
    found["median_seconds"] = ghosts.median_of(bins)
    found["share"] = round(found["entries"] / total, 4) if total else 0.0
    found["share_bytes"] = round(found["bytes"] / total_bytes, 4) if total_bytes else 0.0
    return found


def plain_row(run: Run, row: Row) -> Dict[str, Any]:
    """A row that is not in the journal (check mode) in the shape of :meth:`Journal.rows`, for the advisor."""
    return {
        "run": None,
        "at": run.at // SECOND,
        "what": run.what,
        "policy": run.policy,
        "kind": row.cache.kind,
        "path": _shown(_path(row.cache.path)),
        "device": row.cache.device,
        "inode": row.cache.inode,
        "uid": row.cache.uid,
        "cap": row.cap,
        "evicted": row.evicted,
        "freed": row.freed,
        "before": _read_picture(_picture(row.before)),
        "after": _read_picture(_picture(row.after)),
        "ghosts": len(row.gone.hashes) if row.gone else 0,
        "ghost_bytes": row.gone.freed if row.gone else 0,
        "by_age": row.gone.by_age() if row.gone else [],
        "back": _no_back(),
    }


class Journal:
    """An open journal; see :func:`open_journal`. Every method ends in its neutral answer and a note on trouble.

    Any error counts as trouble: what a purge does must not hang on its record.
    """

    def __init__(
        self, base: sqlite3.Connection, path: str, inode: int, write: bool, note: Callable[[str], None]
    ) -> None:
        self._base = base
        self._inode = inode
        self._note = note
        self._given_up = False
        self.path = path
        self.write = write

    def close(self) -> None:
        """Closes the file; calling it again does nothing."""
        try:
            self._base.close()
        except Exception as exc:
            self._note("the journal %s: %s" % (self.path, exc))

    def _trouble(self, doing: str, exc: Exception) -> None:
        import sqlite3

        if self._given_up:
            return
        if self.write and exc.__class__ is sqlite3.DatabaseError:
            self._given_up = True
            self._base.close()
            try:
                kept = _move_aside(self.path, self._inode)
            except OSError as error:
                kept = ""
                self._note("the journal %s cannot be moved aside: %s" % (self.path, error.strerror))
            if kept:
                text = "the journal %s is damaged (%s): moved to %s, the next run begins a new one"
                self._note(text % (self.path, exc, kept))
                return
        hint = str(exc)
        if "locked" in hint:
            hint = "another process holds it"
            # A run with many caches does not wait for each.
            self._base.execute("PRAGMA busy_timeout = 50").fetchall()
        self._note("the journal %s: %s was left out: %s" % (self.path, doing, hint))

    # runs

    def begin(self, caches: Iterable[CacheRef]) -> None:
        """Says that evictions from *caches* begin. Should this run end without a record (it is killed), its evictions
        are not taken for another cleaner's: the last pictures count as incomplete from now on."""
        try:
            with _Transaction(self._base):
                for cache in caches:
                    query = "SELECT id, after FROM caches WHERE kind = ? AND path = ? ORDER BY id DESC LIMIT 1"
                    row = self._base.execute(query, [cache.kind, _path(cache.path)]).fetchone()
                    if row is not None:
                        parts = json.loads(row[1])
                        parts[_COMPLETE] = 0
                        self._base.execute("UPDATE caches SET after = ? WHERE id = ?", [json.dumps(parts), row[0]])
        except Exception as exc:
            self._trouble("that evictions begin", exc)

    def record(self, run: Run, rows: Sequence[Row]) -> int:
        """Writes a run with its caches and ghosts, and lets go of what is too old; its number, 0 if it was not written.

        Of all rows together at most a million ghosts are kept.
        """
        try:
            room = ghosts.MOST
            ready: List[Tuple[Row, Optional[ghosts.Ghosts], bytes]] = []
            for row in rows:
                gone = row.gone if row.gone is not None and len(row.gone.hashes) and room else None
                if gone is not None:
                    if len(gone.hashes) > room:
                        gone = ghosts.Ghosts(gone.hashes[:room], gone.blocks[:room], gone.ages[:room])
                    room -= len(gone.hashes)
                # Packed before the lock is taken.
                ready.append((row, gone, ghosts.pack(gone) if gone is not None else b""))
            with _Transaction(self._base):
                number = self._add_run(run)
                for row, gone, packed in ready:
                    self._add_row(number, run, row, gone, packed)
                self._expire(run.at // SECOND, number)
            return number
        except Exception as exc:
            self._trouble("the record of this run", exc)
            return 0

    def _add_run(self, run: Run) -> int:
        texts = [
            text.encode("utf-8", "backslashreplace").decode() for text in (run.door, run.what, run.policy, run.plan)
        ]
        numbers = (run.predicted, run.freed, run.evicted, run.left_out, run.free_before, run.free_after)
        done = self._base.execute(
            "INSERT INTO runs (at, door, what, policy, plan, predicted, freed, evicted, left_out, free_before, "
            "free_after, notes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [run.at // SECOND, *texts, *map(_bounded, numbers), _notes(run.notes)],
        )
        return int(done.lastrowid or 0)

    def _add_row(self, number: int, run: Run, row: Row, gone: Optional[ghosts.Ghosts], packed: bytes) -> None:
        cache = row.cache
        done = self._base.execute(
            "INSERT INTO caches (run, kind, path, device, inode, uid, cap, evicted, freed, before, after, ghosts, "
            "ghost_bytes, by_age, back) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                number,
                cache.kind,
                _path(cache.path),
                _signed(cache.device),
                _signed(cache.inode),
                cache.uid,
                None if row.cap is None else _bounded(row.cap),
                row.evicted,
                _bounded(row.freed),
                _picture(row.before),
                _picture(row.after),
                len(gone.hashes) if gone else 0,
                gone.freed if gone else 0,
                json.dumps(gone.by_age() if gone else []),
                json.dumps(_no_back()),
            ],
        )
        if gone is not None:
            self._base.execute(
                "INSERT INTO ghosts (cache, at, revision, kind, path, packed) VALUES (?, ?, 0, ?, ?, ?)",
                [done.lastrowid, row.began or run.at, cache.kind, _path(cache.path), packed],
            )

    def _expire(self, now: int, number: int) -> None:
        do = self._base.execute
        do("DELETE FROM runs WHERE id <= (SELECT id FROM runs ORDER BY id DESC LIMIT 1 OFFSET ?)", [RUNS])
        do(
            "DELETE FROM runs WHERE evicted = 0 AND id <= "
            "(SELECT id FROM runs WHERE evicted = 0 ORDER BY id DESC LIMIT 1 OFFSET ?)",
            [QUIET_RUNS],
        )
        cut = do("SELECT run FROM caches ORDER BY id DESC LIMIT 1 OFFSET ?", [CACHE_ROWS]).fetchone()
        if cut is not None:
            # This run stays whole, however many caches it had.
            do("DELETE FROM runs WHERE id <= ?", [min(cut[0], number - 1)])
        do("DELETE FROM caches WHERE run NOT IN (SELECT id FROM runs)")
        do("DELETE FROM ghosts WHERE cache NOT IN (SELECT id FROM caches)")
        # Dated in the future: the clock was wrong then, or is now; the limit of bytes holds for these too.
        do("DELETE FROM ghosts WHERE at < ?", [(now - GHOST_DAYS * _DAY) * SECOND])
        total = 0
        for cache, size in do("SELECT cache, length(packed) FROM ghosts ORDER BY cache DESC").fetchall():
            total += size
            if total > GHOST_BYTES:
                do("DELETE FROM ghosts WHERE cache = ?", [cache])
        do("DELETE FROM unneeded WHERE asked < ?", [now - UNNEEDED_DAYS * _DAY])

    # regret

    def regret(self, cache: CacheRef, entries: Entries, now: int) -> ghosts.Back:
        """What earlier runs evicted from *cache* and is among the surveyed *entries* again.

        It is added to the runs that had evicted it and taken out of their ghosts, so that it is counted once; a
        journal opened for reading only tells. Call it after the survey and before this run's record. Without ghosts
        this is one small query. *now* is Unix nanoseconds.
        """
        try:
            blocks = self._ghosts(cache, now)
            if not blocks:
                return ghosts.Back()
            found = ghosts.present([block.gone for block in blocks], entries)
            if not found:
                return ghosts.Back()
            settled = self._settle(blocks, found, now)
            if not self.write:
                return _total(back for _block, _rest, back in settled)
            packed = {block.cache: ghosts.pack(rest) for block, rest, _back in settled}
            with _Transaction(self._base):
                fresh = self._ghosts(cache, now)
                if [(b.cache, b.revision) for b in fresh] != [(b.cache, b.revision) for b in blocks]:
                    # Another run was here meanwhile: what it counted is no ghost any more.
                    settled = self._settle(fresh, found, now)
                    packed = {block.cache: ghosts.pack(rest) for block, rest, _back in settled}
                for block, rest, back in settled:
                    self._come_back(block, rest, packed[block.cache], back)
            return _total(back for _block, _rest, back in settled)
        except Exception as exc:
            self._trouble("what has come back", exc)
            return ghosts.Back()

    def _ghosts(self, cache: CacheRef, now: int) -> List[_Block]:
        rows = self._base.execute(
            "SELECT cache, at, revision, packed FROM ghosts WHERE kind = ? AND path = ? AND at >= ? "
            "ORDER BY cache DESC",
            [cache.kind, _path(cache.path), now - GHOST_DAYS * _DAY * SECOND],
        ).fetchall()
        found = []
        for number, at, revision, packed in rows:
            try:
                found.append(_Block(number, at, revision, ghosts.unpack(packed)))
            except ValueError as exc:
                # The other records are as good as before.
                self._note("the journal %s: ghosts of one run are not readable (%s)" % (self.path, exc))
        return found

    @staticmethod
    def _settle(blocks: Sequence[_Block], found: ghosts.Found, now: int) -> List[_Settled]:
        pairs = ghosts.settle([(block.at, block.gone) for block in blocks], found, now)
        return [_Settled(block, rest, back) for block, (rest, back) in zip(blocks, pairs) if rest is not block.gone]

    def _come_back(self, block: _Block, rest: ghosts.Ghosts, packed: bytes, back: ghosts.Back) -> None:
        if rest.hashes:
            self._base.execute(
                "UPDATE ghosts SET packed = ?, revision = revision + 1 WHERE cache = ?", [packed, block.cache]
            )
        else:
            self._base.execute("DELETE FROM ghosts WHERE cache = ?", [block.cache])
        row = self._base.execute("SELECT back FROM caches WHERE id = ?", [block.cache]).fetchone()
        if row is not None:
            text = json.dumps(_add_back(json.loads(row[0]), back))
            self._base.execute("UPDATE caches SET back = ? WHERE id = ?", [text, block.cache])

    def forget(self, cache: CacheRef, keys: Optional[Iterable[bytes]] = None) -> None:
        """Takes entries (None: all) of *cache* out of the ghosts without counting them: an undo has put them back."""
        try:
            with _Transaction(self._base):
                if keys is None:
                    self._base.execute(
                        "DELETE FROM ghosts WHERE kind = ? AND path = ?", [cache.kind, _path(cache.path)]
                    )
                    return
                names = list(keys)
                for block in self._ghosts(cache, 0):
                    rest = ghosts.without(block.gone, names)
                    if len(rest.hashes) < len(block.gone.hashes):
                        self._base.execute(
                            "UPDATE ghosts SET packed = ?, revision = revision + 1 WHERE cache = ?",
                            [ghosts.pack(rest), block.cache],
                        )
        except Exception as exc:
            self._trouble("what an undo put back", exc)

    # unneeded since

    def unneeded(self, cache: CacheRef, labels: Iterable[str], now: int) -> Dict[str, int]:
        """Since when each of *labels*, the module versions that no root needs now, is unneeded (Unix nanoseconds).

        One that is seen unneeded for the first time is since *now*; one that is not among *labels* is forgotten, so
        that its time starts anew. Never later than *now*, and never from before a clock was set. On trouble, and in a
        journal opened for reading, the answer is right for this moment, but nothing is remembered. An empty *labels*
        forgets all of the cache.
        """
        wanted = list(dict.fromkeys(labels))
        moment = now // SECOND
        place_of = [cache.kind, _path(cache.path)]
        found = dict.fromkeys(wanted, now)
        query = "SELECT label, since, asked FROM unneeded WHERE kind = ? AND path = ?"
        try:
            if not self.write:
                known = {row[0]: (row[1], row[2]) for row in self._base.execute(query, place_of)}
                return self._since(wanted, known, now)
            with _Transaction(self._base):
                known = {row[0]: (row[1], row[2]) for row in self._base.execute(query, place_of)}
                since = self._since(wanted, known, now)
                coded = {_label(text) for text in wanted}
                self._base.executemany(
                    "DELETE FROM unneeded WHERE kind = ? AND path = ? AND label = ?",
                    [place_of + [label] for label in known if label not in coded],
                )
                changed = []
                for text, when in since.items():
                    old = known.get(_label(text))
                    # The date of asking need not be exact; one in the future is put right, and so is its since.
                    if old is None or not 0 <= moment - old[1] < _TOUCH_DAYS * _DAY:
                        changed.append([*place_of, _label(text), when // SECOND, moment])
                room = UNNEEDED_MOST - int(self._base.execute("SELECT count(*) FROM unneeded").fetchone()[0])
                fresh = sum(row[2] not in known for row in changed)
                if fresh > max(0, room):
                    self._note("the journal %s remembers %d unneeded versions, no more" % (self.path, UNNEEDED_MOST))
                    changed = [row for row in changed if row[2] in known]
                self._base.executemany("INSERT OR REPLACE INTO unneeded VALUES (?, ?, ?, ?, ?)", changed)
            return since
        except Exception as exc:
            self._trouble("since when modules are unneeded", exc)
            return found

    @staticmethod
    def _since(wanted: Sequence[str], known: Dict[bytes, Tuple[int, int]], now: int) -> Dict[str, int]:
        found = {}
        for text in wanted:
            since = known.get(_label(text), (0, 0))[0]
            found[text] = min(since * SECOND, now) if since >= _FIRST else now
        return found

    # what is told

    def rows(self, limit: int = 10, kind: str = "", path: str = "") -> List[Dict[str, Any]]:
        """The caches of the last *limit* runs (of one cache: its last *limit* rows), newest first, as plain data.

        Times are Unix seconds. ``back`` holds counters (see :class:`ghosts.Back`) and a histogram of seconds.
        """
        columns = (
            "SELECT c.run, r.at, r.what, r.policy, c.kind, c.path, c.device, c.inode, c.uid, c.cap, c.evicted, "
            "c.freed, c.before, c.after, c.ghosts, c.ghost_bytes, c.by_age, c.back "
            "FROM caches c JOIN runs r ON r.id = c.run "
        )
        try:
            if kind or path:
                cursor = self._base.execute(
                    columns + "WHERE c.kind = ? AND c.path = ? ORDER BY c.id DESC LIMIT ?", [kind, _path(path), limit]
                )
            else:
                cursor = self._base.execute(
                    columns + "WHERE c.run IN (SELECT id FROM runs ORDER BY id DESC LIMIT ?) ORDER BY c.id DESC",
                    [limit],
                )
            return [dict(_row(values)) for values in cursor.fetchall()]
        except Exception as exc:
            self._trouble("what earlier runs recorded", exc)
            return []

    def history(self, limit: int = 20) -> Dict[str, Any]:
        """For people: ``runs``, the last *limit* newest first with their caches and regret, and ``policies``, sums over
        all runs kept, by the policy's digest. Sizes in bytes, times in Unix seconds; plain data."""
        result: Dict[str, Any] = {"runs": [], "policies": []}
        try:
            names = (
                "id at door what policy plan predicted_bytes freed_bytes evicted_entries left_out_entries "
                "free_bytes_before free_bytes_after notes"
            ).split()
            all_runs = [
                dict(zip(names, values))
                for values in self._base.execute("SELECT * FROM runs ORDER BY id DESC").fetchall()
            ]
            by_run: Dict[int, List[Dict[str, Any]]] = {}
            for row in self.rows(RUNS + 1):
                by_run.setdefault(row["run"], []).append(row)
            for run in all_runs[: max(0, limit)]:
                run["notes"] = json.loads(run["notes"])
                mine = list(reversed(by_run.get(run["id"], [])))
                run["regret"] = _of(mine)
                run["caches"] = [_for_people(row) for row in mine]
                result["runs"].append(run)
            policies: Dict[str, List[Dict[str, Any]]] = {}
            for run in all_runs:
                if run["what"] == "purge":
                    policies.setdefault(run["policy"], []).append(run)
            for digest, runs in policies.items():
                result["policies"].append(
                    {
                        "policy": digest,
                        "runs": len(runs),
                        "first": runs[-1]["at"],
                        "last": runs[0]["at"],
                        "evicted_entries": sum(run["evicted_entries"] for run in runs),
                        "freed_bytes": sum(run["freed_bytes"] for run in runs),
                        "regret": _of([row for run in runs for row in by_run.get(run["id"], [])]),
                    }
                )
        except Exception as exc:
            self._trouble("the history", exc)
            return {"runs": [], "policies": []}
        return result


_COLUMNS = "run at what policy kind path device inode uid cap evicted freed before after ghosts ghost_bytes by_age back"


class _Block(NamedTuple):
    cache: int
    at: int
    revision: int
    gone: ghosts.Ghosts


class _Settled(NamedTuple):
    block: _Block
    rest: ghosts.Ghosts
    back: ghosts.Back


def _total(backs: Iterable[ghosts.Back]) -> ghosts.Back:
    total = ghosts.Back()
    for back in backs:
        total = total.plus(back)
    return total


def _row(values: Sequence[Any]) -> Iterator[Tuple[str, Any]]:
    for name, value in zip(_COLUMNS.split(), values):
        if name == "path":
            value = _shown(value)
        elif name in ("before", "after"):
            value = _read_picture(value)
        elif name in ("by_age", "back"):
            value = json.loads(value)
        elif name in ("device", "inode"):
            value &= 2**64 - 1
        yield name, value


def _of(rows: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    return _regret(
        [row["back"] for row in rows], sum(row["ghosts"] for row in rows), sum(row["ghost_bytes"] for row in rows)
    )


def _for_people(row: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "kind": row["kind"],
        "path": row["path"],
        "uid": row["uid"],
        "cap": row["cap"],
        "evicted_entries": row["evicted"],
        "freed_bytes": row["freed"],
        "entries_before": row["before"]["entries"],
        "entries_after": row["after"]["entries"],
        "allocated_before": row["before"]["allocated"],
        "allocated_after": row["after"]["allocated"],
        "newest_kept": row["after"]["newest"],
        "oldest_kept": row["after"]["oldest"],
        "regret": _of([row]),
    }
