# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a cache whose place has changed: it is left, moved or evicted, in one call on one agent.

A move on one file system is one rename. Elsewhere the tree is copied under a name of ours beside its new place, takes
the new name when a last pass has found nothing unlike, and only then the old tree goes: first out of sight, then away.
Whatever kills the run, one whole cache is there, and the next run removes what bears one of our names.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .._core import evict as core
from .._core.survey import Survey
from .._core.units import human
from .._fs import dirs, identity, mounts, remove, transfer, worker
from .._fs.identity import Refused
from .._go import accounts, modindex, running
from .._journal import store
from .._kinds import go_build, go_mod
from .._kinds.go_mod import survey as mod_survey
from .._kinds.table import KINDS, probe
from . import act, find, look, purge, schema

LEAVE, MOVE, EVICT = "leave", "move", "evict"
OLD = (LEAVE, MOVE, EVICT)
BUSY = ("floor", "skip", "wait", "fail")
CAP = 100
# A copy that is not whole yet, and an old tree that is on its way out; both beside the name that they are for.
_PARTLY, _GOING = "move", "gone"
_PASSES = 5
# A module version goes in two steps, and each purge takes one.
_PURGES = 3
_GRACE = 60.0


class Options(NamedTuple):
    """How an old place is treated: ``old`` is one of leave, move, evict; ``kind`` '' takes what is found.

    ``account`` is whose cache it must be ('': anybody's); ``time_limit`` in seconds; ``idle`` is scan or asserted;
    ``busy`` '' is fail for a move and floor for an eviction; ``private`` are patterns besides those of the settings
    (None: only those). ``step`` is a hook for fault injection in tests.
    """

    check: bool
    old: str = LEAVE
    kind: str = ""
    account: str = ""
    time_limit: int = 600
    idle: str = "scan"
    busy: str = ""
    private: Optional[Sequence[str]] = None
    step: Callable[[str], None] = lambda _name: None
    door: str = "ansible"


class Failed(RuntimeError):
    """It was refused, or ended with an error: ``result`` holds what had been done by then."""

    def __init__(self, text: str, result: Dict[str, Any]) -> None:
        super().__init__(text)
        self.result = result


class _Skip(Exception):
    """The cache is in use, and the caller wants it left alone then."""


def nothing() -> Dict[str, Any]:
    """The result of a call that could not begin."""
    return dict(
        schema.empty(), **{"from": ""}, to="", action="none", kind="", how="", moved_bytes=0, left_bytes=0, leftovers=[]
    )


def run(path: str, to: str, options: Options) -> Dict[str, Any]:
    """Does with the cache at *path* what *options* say; *to* is its new place ('': not told, which a move needs).

    Raises find.BadRequest for options that name something impossible, Failed for what is refused or went wrong.
    """
    work = _Work(path, to, options)
    try:
        work.run()
    except _Skip:
        pass
    except Refused as exc:
        work.result["refused"].append({"path": exc.path, "code": exc.code, "reason": exc.reason, "hint": exc.hint})
        raise Failed(str(exc), work.told()) from None
    except purge.Failed as exc:
        work.take(exc.result)
        raise Failed(str(exc), work.told()) from None
    except (transfer.Stopped, transfer.Unmovable, act.Held, worker.WorkerDied, worker.WorkFailed, OSError) as exc:
        raise Failed(work.explain(exc), work.told()) from None
    finally:
        work.close()
    return work.told()


def sentence(result: Dict[str, Any], check: bool) -> str:
    """One sentence for people about a result."""
    place, action = result["from"], result["action"]
    would = "would " if check else ""
    if action == MOVE:
        text = "%s %s, %s, to %s" % (
            "would move" if check else "moved",
            place,
            human(result["moved_bytes"]),
            result["to"],
        )
    elif action == EVICT:
        amount = result["predicted_bytes" if check else "freed_bytes"]
        text = "%s %s of %s" % ("would evict" if check else "evicted", human(amount), place)
    elif action == LEAVE:
        text = "%sleave %s" % (would, place) if check else "left %s as it is" % place
    elif action == "clean":
        text = "%s what an interrupted move had left beside %s" % ("would remove" if check else "removed", place)
    else:
        text = "nothing to do for %s" % place
    if result["left_bytes"]:
        text += "; %s %s there" % (human(result["left_bytes"]), "would stay" if check else "stay")
    if result["left_out"]:
        text += " (%s)" % ", ".join(sorted({item["reason"] for item in result["left_out"]}))
    return text


class _Work:
    def __init__(self, path: str, to: str, options: Options) -> None:
        self.started = time.monotonic()
        self.deadline = self.started + options.time_limit
        self.options = options
        self.result = nothing()
        self.path, self.to = _checked(path, to, options)
        self.result.update({"from": self.path, "to": self.to})
        self.notes: List[str] = find.own_only()
        self.host: Optional[find.Host] = None
        self.fds: List[int] = []
        self.uid: Optional[int] = None
        self.parent = os.getpid()
        # Of the last words to people when the run ends early.
        self.doing = ""

    def close(self) -> None:
        """Closes what is open."""
        if self.host is not None:
            find.close(self.host.caches)
        for fd in self.fds:
            try:
                os.close(fd)
            except OSError:
                pass

    def told(self) -> Dict[str, Any]:
        """The result as it is by now."""
        self.result["notes"] = list(dict.fromkeys(self.result["notes"] + self.notes))
        self.result["truncated"] = self.result["truncated"] or self.result["left_out_entries"] > CAP
        del self.result["left_out"][CAP:]
        found: Dict[str, Any] = schema.readable(self.result)
        return found

    def explain(self, exc: Exception) -> str:
        """What an error means for the caches."""
        what = str(exc)
        if isinstance(exc, transfer.Stopped):
            what = "the time limit of %d seconds is over" % self.options.time_limit
        elif isinstance(exc, OSError):
            what = "%s%s" % (exc.strerror or exc, " (%s)" % exc.filename if isinstance(exc.filename, str) else "")
        end = "the old place is whole and in its place" if not self.result["changed"] else "see what was done"
        return "%s: not %s: %s; %s" % (self.path, self.doing or "looked at", what, end)

    # what is there

    def run(self) -> None:
        """Looks at the old place and does what is asked."""
        if self.options.account:
            named, missing = accounts.resolve([self.options.account])
            if missing:
                raise find.BadRequest("account: %s: %s" % (missing[0].name, missing[0].reason))
            self.uid = named[0].uid
        there = self._exists()
        if there is None:
            self._gone()
            return
        # Everything that settings lead to: what else lies inside, and who would still look for the cache here.
        try:
            self.host = find.find(find.Request(paths=[self.path]))
        except find.BadRequest as exc:
            raise find.BadRequest(str(exc).replace("paths: ", "path: ", 1)) from None
        host = self.host
        self.result.update(systems=host.systems, looked_at=host.looked_at, private_known=host.private is not None)
        self.result["findings"] = host.findings
        mine = [c for c in host.caches if (c.root.device, c.root.inode) == (there.st_dev, there.st_ino)]
        if not mine:
            raise Refused("no-cache", self.path, "it is no cache, or it was swapped just now", "name the cache itself")
        cache = mine[0]
        self._check_identity(cache)
        seen = look.survey(cache)
        allocated = int(seen.totals["allocated"]) + int(seen.totals.get("quarantined", 0))
        self.result["kind"] = cache.kind
        row = find.describe(cache)
        row.update(surveyed=True, entries=seen.totals["entries"], allocated=allocated, evidence=seen.evidence)
        self.result["caches"] = [row]
        self.result["left_bytes"] = allocated
        if self.options.old == LEAVE:
            self._leave(cache, allocated)
        elif self.options.old == EVICT:
            self._evict(cache, row, seen)
        else:
            self._move(cache, row, seen, allocated)

    def _exists(self) -> Optional[os.stat_result]:
        """The directory at the old place; None where nothing of a cache is."""
        try:
            st = os.stat(self.path)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            return None
        if stat.S_ISDIR(st.st_mode):
            try:
                if not os.listdir(self.path):
                    return None
            except PermissionError:
                pass
        return st

    def _check_identity(self, cache: find.Cache) -> None:
        root, wanted = cache.root, self.options
        if wanted.kind and wanted.kind != cache.kind:
            hint = "name the %s cache, or leave kind out" % wanted.kind
            raise Refused("other-kind", self.path, "it is a %s cache and not %s" % (cache.kind, wanted.kind), hint)
        if self.uid is not None and self.uid != root.uid:
            why = "it belongs to uid %d and not to %s (uid %d)" % (root.uid, wanted.account, self.uid)
            raise Refused("other-owner", self.path, why, "name its owner, or leave account out")
        if wanted.old != LEAVE and os.geteuid() not in (0, root.uid):
            raise Refused("no-right", self.path, "it belongs to uid %d" % root.uid, "run with become")

    def _gone(self) -> None:
        """Nothing is at the old place: it was moved before, or never was there."""
        self.notes.append("no cache is at %s" % self.path)
        if self.options.old != MOVE:
            return
        new = self._new_owner()
        if new is None:
            return
        uid, gid, kind = new
        if self.options.kind and kind != self.options.kind:
            hint = "look at both places"
            raise Refused("other-kind", self.to, "it is a %s cache and not %s" % (kind, self.options.kind), hint)
        self.result["kind"] = kind
        self.notes.append("the %s cache is at %s" % (kind, self.to))
        who = transfer.account_of(uid, gid)
        if os.geteuid() in (0, uid):
            for place in (self.path, self.to):
                self._sweep(place, who)

    def _new_owner(self) -> Optional[Tuple[int, int, str]]:
        """Owner, group and kind of the cache at the new place; None where none is."""
        try:
            opened = dirs.open_path(self.to)
        except OSError:
            return None
        try:
            kind = probe(opened.fd, opened.path)
            return (opened.st.st_uid, opened.st.st_gid, kind) if kind else None
        finally:
            os.close(opened.fd)

    # leave

    def _leave(self, cache: find.Cache, allocated: int) -> None:
        self.result["action"] = LEAVE
        if self.to and _same(self.path, self.to):
            self._tell_same()
            return
        still = self._leads(cache)
        how = "cache_move with old: evict and path: %s removes it later, and so does a policy for paths: [%s]"
        self.notes.append(how % (self.path, self.path))
        if still:
            self.notes.append("%s is still found: %s" % (self.path, "; ".join(still)))
            return
        text = (
            "no setting, service or CI system leads to %s any more: no run finds it by itself, and its %s stay for ever"
        )
        self.result["findings"] = [
            *self.result["findings"],
            {"code": "left", "severity": "warning", "path": self.path, "text": text % (self.path, human(allocated))},
        ]

    def _tell_same(self) -> None:
        self.notes.append("%s and %s are the same place" % (self.path, self.to))
        self.result.update(action="none", left_bytes=0)

    @staticmethod
    def _leads(cache: find.Cache) -> List[str]:
        """What leads to a cache besides that it was named."""
        return [why for why, _n in zip(cache.why, range(5))] if set(cache.origins) - {"explicit"} else []

    # evict

    def _is_idle(self, cache: find.Cache) -> bool:
        mount = mounts.by_id().get(cache.root.mount)
        if mount is None or mount.network:
            return False
        found = act.users(cache)
        return self.options.idle == "asserted" or (os.geteuid() == 0 and found.complete and not found.who)

    def _evict(self, cache: find.Cache, row: Dict[str, Any], seen: Survey) -> None:
        self.doing = "evicted"
        if self.to and _same(self.path, self.to):
            raise Refused("same-place", self.path, "it is the new place too (%s)" % self.to, "nothing is to be evicted")
        self._warn_if_led(cache)
        policy: Dict[str, Any] = {"wipe": True, "floor": 0, "idle": self.options.idle}
        policy["busy"] = self.options.busy or "floor"
        if self.options.private is not None:
            policy["private"] = list(self.options.private)
        request = find.Request(paths=[self.path], discover=False)
        idle = False
        for _number in range(_PURGES):
            left = int(self.deadline - time.monotonic())
            if left < 1:
                self.notes.append("the time limit is over: run again for the rest")
                break
            # What a run leaves for the next one is that next one's, with a look of its own at who uses the cache.
            done = purge.run(
                request, dict(policy, time_limit=left), purge.Options(self.options.check, door=self.options.door)
            )
            self.take(done)
            idle = self._is_idle(cache)
            if self.options.check or not idle or not done["pending"] or not done["evicted_entries"]:
                break
        result = self.result
        waiting = sum(item["bytes"] for item in result["pending"])
        if self.options.check and idle and waiting:
            result["predicted_bytes"] += waiting
            result["planned_entries"] += sum(item["entries"] for item in result["pending"])
            result["evicted_entries"] = result["planned_entries"]
            result["pending"] = []
        result["action"] = EVICT if result["evicted_entries"] else "none"
        result["changed"] = result["evicted_entries"] > 0
        if self.options.check:
            result["left_bytes"] = max(0, result["left_bytes"] - result["predicted_bytes"])
            bare = result["planned_entries"] == row["entries"] and not seen.totals.get("foreign")
            bare = bare and not seen.totals.get("quarantined") and not _has_names("fuzz", cache.root.fd)
        else:
            seen = look.survey(cache)
            result["left_bytes"] = int(seen.totals["allocated"]) + int(seen.totals.get("quarantined", 0))
            bare = seen.totals["entries"] == 0
        row.update(evicted_entries=result["evicted_entries"], freed_bytes=result["freed_bytes"])
        if bare and idle:
            self._frame(cache)
        if result["left_bytes"]:
            reasons = sorted({item["reason"] for item in result["protected"] + result["pending"]})
            why = ", ".join(reasons) or "what makes it a cache"
            self.notes.append("%s: %s stay (%s)" % (self.path, human(result["left_bytes"]), why))

    def _warn_if_led(self, cache: find.Cache) -> None:
        still = self._leads(cache)
        if still:
            self.notes.append("%s is still where the next build looks: %s" % (self.path, "; ".join(still)))

    def take(self, done: Dict[str, Any]) -> None:
        """Adds a purge's result to this one; what is the last word of a run (what stays) replaces the former."""
        result = self.result
        for key in ("evicted_entries", "freed_bytes", "planned_entries", "predicted_bytes", "left_out_entries"):
            result[key] += done[key]
        for key in ("evicted", "left_out"):
            result[key] = (result[key] + done[key])[:CAP]
        for key in ("protected", "pending", "unreached", "free_bytes_after"):
            result[key] = done[key]
        result["plan_digest"] = result["plan_digest"] or done["plan_digest"]
        result["free_bytes_before"] = result["free_bytes_before"] or done["free_bytes_before"]
        result["truncated"] = result["truncated"] or done["truncated"]
        result["changed"] = result["changed"] or done["changed"]
        self.notes += done["notes"]

    def _frame(self, cache: find.Cache) -> None:
        """Removes the empty frame of a cache from which everything went."""
        is_bare = KINDS[cache.kind].is_bare
        root = cache.root
        if is_bare is None or os.path.islink(self.path):
            return
        if not self.options.check and not is_bare(root.fd):
            return
        who = transfer.account_of(root.uid, root.gid)
        try:
            end, rights = self._old_end(cache, who)
        except Refused as exc:
            self.notes.append("the empty frame stays: %s" % exc)
            return
        if not self.options.check:
            act.lock(root.fd)
            name = _name(end.name, _GOING)
            self._rename(who, rights, end.fd, end.name, end.fd, name)
            if not is_bare(root.fd) or act.users(cache).who:
                self._rename(who, rights, end.fd, name, end.fd, end.name)
                return
            self._remove(who, rights, end.fd, name, cache.root)
        self.result.update(changed=True, action=EVICT, left_bytes=0)

    # move

    def _move(self, cache: find.Cache, row: Dict[str, Any], seen: Survey, allocated: int) -> None:
        self.doing = "moved"
        root = cache.root
        kind = KINDS[cache.kind]
        if _same(self.path, self.to):
            self._tell_same()
            return
        if os.path.islink(self.path):
            hint = "name the real directory (%s), and remove the symlink yourself" % root.path
            raise Refused("symlink", self.path, "it is a symlink, which would lead nowhere afterwards", hint)
        if kind.stranger is None:
            raise Refused("other-kind", self.path, "a %s place is never moved" % cache.kind, "name a cache")
        strange = kind.stranger(root.fd)
        if strange:
            why = "it holds what is no part of a %s cache: %s" % (cache.kind, strange)
            raise Refused("stranger", self.path, why, "take it out, or leave the cache where it is")
        who = transfer.account_of(root.uid, root.gid)
        old, old_rights = self._old_end(cache, who)
        new = self._new_end(cache, who)
        new_rights = transfer.whose_rights(new.fd, new.above, self.to, who)
        self._check_nesting(cache, new)
        self._check_mounts(cache, new)
        for end in (old, new):
            if not end.missing:
                self._sweep_in(end.fd, end.name, who)
        finish = self._is_there(cache, new)
        rename = not finish and _is_near(new, root)
        if not rename and not finish:
            self._check_copy(cache, new, who)
        elif finish:
            self._check_copy(cache, None, who)
        self._check_idle(cache)
        result = self.result
        result.update(how="rename" if rename else "copy", moved_bytes=allocated, action=MOVE)
        if not rename:
            result["predicted_bytes"] = allocated
        space = mounts.space(root.fd)
        result["free_bytes_before"] = result["free_bytes_after"] = space.free if space is not None else 0
        led = self._leads(cache)
        if led:
            self.notes.append(
                "%s still leads to the old place: change it before the next build, which would make a new cache there"
                % "; ".join(led)
            )
        if self.options.check:
            result.update(changed=True, left_bytes=0)
            return
        result.update(action="none", moved_bytes=0, how="")
        act.lock(root.fd)
        try:
            if not finish:
                new = self._make_folders(new, new_rights, who)
            if rename:
                self._take_over(cache, old, old_rights, new, new_rights, who, seen)
            else:
                if not finish:
                    self._copy(cache, new, new_rights, who, seen)
                self._retire(cache, old, old_rights, new, new_rights, who, finish)
        finally:
            fcntl.flock(root.fd, fcntl.LOCK_UN)
        space = mounts.space(old.fd)
        result["free_bytes_after"] = space.free if space is not None else 0
        result.update(changed=True, action=MOVE, moved_bytes=allocated, how="rename" if rename else "copy")
        self._record()

    def _old_end(self, cache: find.Cache, who: transfer.Account) -> Tuple[transfer.End, str]:
        """The folder that the cache lies in, and whose rights change its names."""
        root = cache.root
        end = self._keep(transfer.open_end(root.path))
        st = dirs.lstat_or_none(end.name, end.fd) if not end.missing else None
        if st is None or (st.st_dev, st.st_ino) != (root.device, root.inode):
            raise Refused("swapped", self.path, "another tree is there by now", "look who did that, then run again")
        if dirs.mount_id(end.fd) != root.mount:
            hint = "move the mount itself, or copy by hand"
            raise Refused("is-mount", self.path, "it is a mount point, which cannot be renamed", hint)
        return end, transfer.whose_rights(end.fd, end.above, self.path, who)

    def _new_end(self, cache: find.Cache, who: transfer.Account) -> transfer.End:
        """The way to the new place, proven: nobody else can swap it, and what is there may be replaced."""
        if self.host is None:
            raise AssertionError("its caches are not found yet")
        try:
            end = self._keep(transfer.open_end(self.to))
        except NotADirectoryError:
            raise Refused("no-folder", self.to, "a part of it is no directory", "choose another place") from None
        except OSError as exc:
            why = "the way to it cannot be opened (%s)" % (exc.strerror or exc)
            raise Refused("unreadable", self.to, why, "repair the way, or choose another place") from None
        identity.check_place(end.path, self.to, self.host.homes)
        transfer.check_way(end, self.to, who)
        st = None if end.missing else dirs.lstat_or_none(end.name, end.fd)
        if st is None:
            return end
        if stat.S_ISLNK(st.st_mode):
            raise Refused("symlink", self.to, "it is a symlink", "name the real directory")
        if not stat.S_ISDIR(st.st_mode):
            raise Refused("no-folder", self.to, "it is no directory", "choose another place")
        if st.st_uid not in (0, who.uid):
            why = "it belongs to uid %d and not to the cache's owner (uid %d)" % (st.st_uid, who.uid)
            raise Refused("foreign-folder", self.to, why, "remove that folder, or choose another place")
        fd = self._own(dirs.open_dir(end.name, end.fd))
        if dirs.mount_id(fd) != dirs.mount_id(end.fd):
            why = "it is a mount point, over which nothing can be renamed"
            raise Refused("is-mount", self.to, why, "name a folder in it")
        if (cache.root.device, cache.root.inode) in running.above(fd):
            raise Refused("nested", self.to, "it lies inside the old place", "choose a place beside it")
        if (st.st_dev, st.st_ino) in running.above(cache.root.fd):
            raise Refused("nested", self.to, "the old place lies inside it", "choose a place beside it")
        return end

    def _check_nesting(self, cache: find.Cache, new: transfer.End) -> None:
        if self.host is None:
            raise AssertionError("its caches are not found yet")
        above = running.above(new.fd)
        own = (cache.root.device, cache.root.inode)
        if own in above:
            raise Refused("nested", self.to, "it lies inside the old place", "choose a place beside it")
        outer = _cache_around(new)
        if outer is not None:
            raise Refused("nested", self.to, "it lies inside the %s cache %s" % outer, "choose a place beside it")
        for other in self.host.caches:
            numbers = (other.root.device, other.root.inode)
            if numbers != own and other.kind in (go_build.KIND, go_mod.KIND) and own in running.above(other.root.fd):
                why = "the %s cache %s lies inside it" % (other.kind, other.root.path)
                raise Refused("nested", self.path, why, "move that one out first")

    def _check_mounts(self, cache: find.Cache, new: transfer.End) -> None:
        table = mounts.by_id()
        here, there = table.get(cache.root.mount), table.get(dirs.mount_id(new.fd))
        for mount, place in ((here, self.path), (there, self.to)):
            if mount is None:
                raise Refused(
                    "unknown-mount", place, "the kernel does not tell what file system it is on", "copy by hand"
                )
            if mount.network and self.options.idle != "asserted" and place == self.path:
                why = "it is on a network file system (%s), whose other users cannot be seen" % mount.fstype
                raise Refused("network", place, why, "drain all hosts that use it, then say idle: asserted")
        flags = os.fstatvfs(new.fd).f_flag
        if flags & os.ST_RDONLY:
            raise Refused("read-only", self.to, "its file system is mounted read-only", "choose another place")
        if flags & os.ST_NOEXEC:
            self.notes.append(
                "%s is mounted noexec: cached programs (go run, go tool) and downloaded toolchains cannot run there"
                % self.to
            )
        if there is not None and there.network and cache.kind == go_build.KIND:
            self.notes.append("%s is on a network file system: a build cache there must have one host only" % self.to)

    def _is_there(self, cache: find.Cache, new: transfer.End) -> bool:
        """Whether the new place is a whole copy already, so that only the old tree's removal is missing."""
        st = None if new.missing else dirs.lstat_or_none(new.name, new.fd)
        if st is None:
            return False
        fd = self._own(dirs.open_dir(new.name, new.fd))
        if not os.listdir(fd):
            return False
        kind = probe(fd, self.to)
        if kind is None:
            raise Refused("not-empty", self.to, "it is not empty, and no cache", "choose another place, or empty it")
        if kind == cache.kind and st.st_uid == cache.root.uid and transfer.holds_all(cache.root.fd, fd, self._late):
            self.notes.append("%s holds all that is at %s: only the old tree is to be removed" % (self.to, self.path))
            return True
        why = "a %s cache is there already, and it does not hold all that is at %s" % (kind, self.path)
        raise Refused("both", self.to, why, "say old: evict or leave for the old place, or choose another new one")

    def _check_copy(self, cache: find.Cache, new: Optional[transfer.End], who: transfer.Account) -> None:
        """Refuses what the owner's rights cannot copy or remove, and what does not fit."""
        root = cache.root
        found = transfer.amount(root.fd, root.mount, root.device, who.uid, self._late)
        if found.blocked is not None:
            path, why = found.blocked
            hint = "give it to the cache's owner (chown -hR %d:%d), or say old: evict" % (who.uid, who.gid)
            raise Refused("not-copyable", self.path, "%s is %s" % (path, why), hint)
        if found.foreign:
            text = "%d files of other users in the cache are its owner's (uid %d) afterwards"
            self.notes.append(text % (found.foreign, who.uid))
        short = transfer.space_for(new.fd, found) if new is not None else ""
        if short:
            raise Refused("no-space", self.to, short, "make room there, or say old: evict or leave")

    def _check_idle(self, cache: find.Cache) -> None:
        """Refuses, waits or skips where a Go tool uses the cache or may do so."""
        busy = self.options.busy or "fail"
        row = self.result["caches"][0]
        while True:
            seen = running.scan()
            found = act.users(cache, seen)
            row["use"] = running.state(found)
            if not found.who and (found.complete or self.options.idle == "asserted"):
                return
            late = time.monotonic() > self.started + self.options.time_limit / 2
            if busy != "wait" or late or self.options.check or not found.who:
                break
            time.sleep(min(1.0, self.options.time_limit / 10))
        if found.who:
            why = "in use by %s" % ", ".join("%s (pid %d)" % (name, pid) for pid, _start, name in found.who[:5])
            hint = "wait for it (busy: wait), or drain the agent first"
        else:
            why = "nobody can tell whether it is in use (%s)" % seen.why
            hint = "run with become, or drain the agent and say idle: asserted"
        if busy in ("skip", "wait"):
            row["left_alone"] = why
            self.notes.append("%s: left alone: %s" % (self.path, why))
            self._left_out(core.BUSY, self.path, self.result["left_bytes"], why)
            raise _Skip
        raise Refused("in-use" if found.who else "use-unknown", self.path, why, hint)

    def _make_folders(self, new: transfer.End, rights: str, who: transfer.Account) -> transfer.End:
        if new.missing:
            uid = 0 if rights == transfer.ROOT else who.uid

            def make() -> None:
                os.close(transfer.make_folders(new, uid).fd)

            self._as(who, rights, make)
        # What was made is opened again, by descriptor and as whose it must be.
        return self._keep(transfer.make_folders(new, 0 if rights == transfer.ROOT else who.uid))

    # one file system

    def _take_over(
        self,
        cache: find.Cache,
        old: transfer.End,
        old_rights: str,
        new: transfer.End,
        new_rights: str,
        who: transfer.Account,
        seen: Survey,
    ) -> None:
        rights = transfer.ROOT if transfer.ROOT in (old_rights, new_rights) else transfer.OWNER
        self._forget(cache, who, seen)
        self.options.step("before rename")
        try:
            self._rename(who, rights, old.fd, old.name, new.fd, new.name)
        except OSError as exc:
            raise self._appeared(exc) from None
        self.options.step("after rename")
        st = dirs.lstat_or_none(new.name, new.fd)
        found = act.users(cache)
        swapped = st is None or (st.st_dev, st.st_ino) != (cache.root.device, cache.root.inode)
        if not swapped and not found.who:
            self.result["left_bytes"] = 0
            return
        # Somebody was faster: everything goes back, if nothing new has the old name by now.
        why = "another tree was put in its place" if swapped else "a Go tool began to use it (pid %d)" % found.who[0][0]
        try:
            if st is not None:
                self._rename(who, rights, new.fd, new.name, old.fd, old.name)
        except OSError as exc:
            if swapped:
                raise
            self.result["left_bytes"] = 0
            self.notes.append("%s just when it was moved; it could not go back (%s)" % (why, exc.strerror))
            return
        raise Refused("swapped" if swapped else "in-use", self.path, why, "it is where it was; run again")

    def _appeared(self, exc: OSError) -> Exception:
        if exc.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EBUSY, errno.EISDIR):
            why = "something was put there just now (%s)" % exc.strerror
            return Refused("appeared", self.to, why, "nothing was moved; look at it, then run again")
        return exc

    def _forget(self, cache: find.Cache, who: transfer.Account, seen: Survey) -> None:
        """Drops what build caches know of trees that once lay at the new place (see modindex)."""
        if cache.kind != go_mod.KIND or self.host is None:
            return
        builds = [c.root.fd for c in self.host.caches if c.kind == go_build.KIND and c.root.uid == who.uid]
        versions = tuple(dict.fromkeys(self.host.versions + modindex.versions(seen.details)))
        trees = ["%s/%s" % (self.to, tree) for tree in mod_survey.trees(seen)]
        self._as(who, transfer.OWNER, lambda: modindex.drop(builds, versions, trees))

    # another file system

    def _copy(self, cache: find.Cache, new: transfer.End, rights: str, who: transfer.Account, seen: Survey) -> None:
        """Copies the cache beside its new place, until a pass finds nothing unlike, and gives the copy its name."""
        found = transfer.amount(cache.root.fd, cache.root.mount, cache.root.device, who.uid, self._late)
        short = transfer.space_for(new.fd, found)
        if short:
            raise Refused("no-space", self.to, short, "make room there, or say old: evict or leave")
        name = _name(new.name, _PARTLY)

        def make() -> None:
            os.mkdir(name, 0o700, dir_fd=new.fd)
            if rights == transfer.ROOT:
                fd = dirs.open_dir(name, new.fd)
                try:
                    os.fchown(fd, who.uid, who.gid)
                finally:
                    os.close(fd)

        self._as(who, rights, make)
        fd = self._own(dirs.open_dir(name, new.fd))
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # so that no other run takes it for a leftover
        try:
            if os.fstat(fd).st_uid != who.uid or not dirs.same_place(
                fd, dirs.mount_id(new.fd), os.fstat(new.fd).st_dev
            ):
                raise Refused("swapped", self.to, "another folder is in the copy's place", "look who did that")
            self.options.step("before copy")
            self._fill(cache, fd, who)
            self._forget(cache, who, seen)
            late = act.users(cache)
            if late.who:
                why = "in use by %s (pid %d) since the copy began" % (late.who[0][2], late.who[0][0])
                raise Refused("in-use", self.path, why, "drain the agent first")
            os.sync()  # a loss of power must not leave names without their content where the old tree is gone
            self.options.step("before name")
            try:
                self._rename(who, rights, new.fd, name, new.fd, new.name)
            except OSError as exc:
                raise self._appeared(exc) from None
            self.options.step("after name")
        except Exception:
            self._drop_copy(who, rights, new.fd, name, fd)
            raise

    def _fill(self, cache: find.Cache, fd: int, who: transfer.Account) -> None:
        promised = KINDS[cache.kind].promised
        source = cache.root.fd
        for number in range(_PASSES):

            def fill() -> List[Any]:
                found = transfer.mirror(source, fd, promised, self._late)
                return [found.changed, found.unlikes, list(found.unlike), found.ungrouped]

            changed, unlikes, unlike, ungrouped = self._as(who, transfer.OWNER, fill)
            if unlikes:
                text = "%d files are not what their names say (%s ...): cache_verify with repair evicts them"
                self.notes.append(text % (unlikes, unlike[0]))
            if ungrouped and not number:
                self.notes.append("%d names have the owner's group now: only root could keep theirs" % ungrouped)
            self.options.step("pass %d" % number)
            if not changed and number:
                return
        why = "it was changed during each of %d copies" % _PASSES
        raise Refused("in-use", self.path, why, "find out who works with it, and drain the agent first")

    def _drop_copy(self, who: transfer.Account, rights: str, folder: int, name: str, fd: int) -> None:
        st = dirs.lstat_or_none(name, folder)
        if st is not None and st.st_ino == os.fstat(fd).st_ino:
            try:
                self._remove_named(who, rights, folder, name, st.st_ino)
            except (OSError, worker.WorkFailed, worker.WorkerDied) as exc:
                self.notes.append("the copy that is not whole could not be removed: %s" % exc)

    def _retire(
        self,
        cache: find.Cache,
        old: transfer.End,
        old_rights: str,
        new: transfer.End,
        new_rights: str,
        who: transfer.Account,
        finish: bool,
    ) -> None:
        """Takes the old tree out of sight, looks once more who uses it, and removes it."""
        name = _name(old.name, _GOING)
        self.result["changed"] = not finish
        self._rename(who, old_rights, old.fd, old.name, old.fd, name)
        self.options.step("out of sight")
        st = dirs.lstat_or_none(name, old.fd)
        swapped = st is None or st.st_ino != cache.root.inode
        found = act.users(cache)
        if swapped or found.who:
            self._rename(who, old_rights, old.fd, name, old.fd, old.name)
            if not finish:
                self._take_back(cache, new, new_rights, who)
            why = "another tree was put in its place" if swapped else "in use by pid %d by now" % found.who[0][0]
            raise Refused("swapped" if swapped else "in-use", self.path, why, "it is where it was; run again")
        self.result["changed"] = True
        self._remove(who, old_rights, old.fd, name, cache.root)

    def _take_back(self, cache: find.Cache, new: transfer.End, rights: str, who: transfer.Account) -> None:
        """Removes the copy again, unless somebody works with it already."""
        fd = self._own(dirs.open_dir(new.name, new.fd))
        st = os.fstat(fd)
        copy = cache._replace(root=cache.root._replace(fd=fd, device=st.st_dev, inode=st.st_ino))
        if act.users(copy).who:
            self.notes.append("the copy at %s is in use and stays" % self.to)
            return
        name = _name(new.name, _PARTLY)
        self._rename(who, rights, new.fd, new.name, new.fd, name)
        self._remove_named(who, rights, new.fd, name, st.st_ino)
        self.result["changed"] = False

    def _remove(self, who: transfer.Account, rights: str, folder: int, name: str, root: identity.Root) -> None:
        """Removes the old tree, which bears a name of ours by now, and tells what it gave back."""
        freed, left = self._remove_named(who, rights, folder, name, root.inode)
        result = self.result
        result["freed_bytes"] += freed
        result["left_bytes"] = 0
        for path, why in left:
            result["left_bytes"] = max(1, result["left_bytes"])
            self._left_out(core.ERROR, "%s/%s" % (name, path), 0, why)
        if left:
            found = transfer.amount(root.fd, root.mount, root.device, who.uid, lambda: False)
            result["left_bytes"] = found.allocated
            self.notes.append("%d things of the old tree could not be removed; they are in %s" % (len(left), name))

    def _remove_named(
        self, who: transfer.Account, rights: str, folder: int, name: str, inode: int
    ) -> Tuple[int, List[Tuple[str, str]]]:
        """Removes a tree of the owner's by his rights; in a folder of root's, its emptied top by root's."""
        st = os.fstat(folder)
        mount = dirs.mount_id(folder)

        def go() -> List[Any]:
            found = remove.remove_tree(name, folder, mount, st.st_dev, inode, who.uid)
            return [found.freed, [list(item) for item in found.left[:CAP]]]

        freed, items = self._as(who, transfer.OWNER, go, removes=True)
        left = [(str(path), str(why)) for path, why in items]
        if rights == transfer.ROOT and [path for path, _why in left] == [name]:
            try:
                own = dirs.lstat(name, folder)
                if own.st_ino == inode:
                    os.rmdir(name, dir_fd=folder)
                    return int(freed) + own.st_blocks * 512, []
            except OSError as exc:
                left = [(name, os.strerror(exc.errno or 0))]
        return int(freed), left

    # leftovers of runs that were killed

    def _sweep(self, place: str, who: transfer.Account) -> None:
        try:
            end = self._keep(transfer.open_end(place))
        except OSError:
            return
        if not end.missing:
            self._sweep_in(end.fd, end.name, who)

    def _sweep_in(self, folder: int, name: str, who: transfer.Account) -> None:
        """Removes what runs that were killed have left beside *name*, if nobody works at it any more.

        A copy that is not whole is nobody's, and an old tree goes only when its copy has its name.
        """
        pattern = re.compile(r"\.%s\.gofleet-(?:%s|%s)-[0-9a-f]{12}\Z" % (re.escape(name), _PARTLY, _GOING))
        try:
            listed = dirs.open_dir(".", folder)
        except OSError:
            return
        try:
            found = sorted(item for item in dirs.names(listed) if pattern.match(item))
        finally:
            os.close(listed)
        for item in found:
            try:
                fd = dirs.open_dir(item, folder)
            except OSError:
                continue
            try:
                st = os.fstat(fd)
                if st.st_uid != who.uid or not dirs.same_place(fd, dirs.mount_id(folder), os.fstat(folder).st_dev):
                    continue
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.result["leftovers"].append(item)
                if not self.options.check:
                    rights = transfer.whose_rights(folder, item, item, who)
                    freed, _left = self._remove_named(who, rights, folder, item, st.st_ino)
                    self.result["freed_bytes"] += freed
                self.result["changed"] = True
                if self.result["action"] == "none":
                    self.result["action"] = "clean"
            except BlockingIOError:
                self.notes.append("another run works at %s" % item)
            except Refused as exc:
                self.notes.append("%s stays: %s" % (item, exc))
            finally:
                os.close(fd)

    # with the owner's rights

    def _as(self, who: transfer.Account, rights: str, work: Callable[[], Any], removes: bool = False) -> Any:
        """Runs *work* with the owner's rights, or right here where it must be root. Raises what it raised."""
        if rights == transfer.ROOT:
            return work()

        def guarded(_ask: worker.Ask) -> List[Any]:
            try:
                return ["", work(), ""]
            except Refused as exc:
                return ["refused", [exc.code, exc.path, exc.reason, exc.hint], ""]
            except transfer.Stopped:
                return ["stopped", None, ""]
            except transfer.Unmovable as exc:
                return ["unmovable", [exc.path, exc.why], ""]
            except OSError as exc:
                return ["os", [exc.errno or errno.EIO, exc.strerror or str(exc)], str(exc.filename or "")]

        # What has no name any more is removed to its end; a worker that its owner has stopped is ended all the same.
        until = (time.monotonic() + self.options.time_limit if removes else self.deadline) + _GRACE
        kind, value, name = worker.as_owner(who.uid, who.gid, guarded, {}, until)
        if kind == "refused":
            raise Refused(*value)
        if kind == "stopped":
            raise transfer.Stopped
        if kind == "unmovable":
            raise transfer.Unmovable(*value)
        if kind == "os":
            raise OSError(value[0], value[1], name)
        return value

    def _rename(self, who: transfer.Account, rights: str, old: int, name: str, new: int, to: str) -> None:
        # A folder never replaces anything but an empty folder (rename(2)).
        self._as(who, rights, lambda: os.rename(name, to, src_dir_fd=old, dst_dir_fd=new))

    def _late(self) -> bool:
        """Whether the time is over, or the run that this process works for has ended."""
        me = os.getpid()
        return time.monotonic() >= self.deadline or (me != self.parent and os.getppid() != self.parent)

    # the rest

    def _left_out(self, reason: str, path: str, amount: int, detail: str) -> None:
        self.result["left_out_entries"] += 1
        self.result["left_out"].append({"path": path, "reason": reason, "bytes": amount, "detail": detail})

    def _keep(self, end: transfer.End) -> transfer.End:
        self.fds.append(end.fd)
        return end

    def _own(self, fd: int) -> int:
        self.fds.append(fd)
        return fd

    def _record(self) -> None:
        journal = store.open_journal(True)
        if journal is not None:
            text = sentence(self.result, False)
            journal.record(store.Run(look.now_ns(), self.options.door, "move", notes=(text,)), [])
            journal.close()


def _checked(path: str, to: str, options: Options) -> Tuple[str, str]:
    """Both places, normalised. Raises find.BadRequest."""
    if options.old not in OLD:
        raise find.BadRequest("old: %r is none of %s" % (options.old, ", ".join(OLD)))
    if options.busy == "floor" and options.old == MOVE:
        raise find.BadRequest("busy: floor: a tree moves as a whole or not at all; give skip, wait or fail")
    if options.time_limit < 1:
        raise find.BadRequest("time_limit: %r is no time at all; give seconds, or 10m" % options.time_limit)
    found = []
    for key, place in (("path", path), ("to", to)):
        if key == "to" and not place and options.old != MOVE:
            found.append("")
            continue
        if key == "to" and not place:
            raise find.BadRequest("to: nothing is given; old: move needs the new place, an absolute path")
        try:
            found.append(identity.check_name(place))
        except Refused as exc:
            raise find.BadRequest("%s: %s" % (key, exc)) from None
        if any(char in place for char in "*?["):
            raise find.BadRequest("%s: %s: a pattern; name one place" % (key, place))
        if ".." in place.split("/"):
            raise find.BadRequest("%s: %s: a path with '..'; write it without" % (key, place))
    return found[0], found[1]


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.stat(one), os.stat(other))
    except OSError:
        return False


def _name(name: str, word: str) -> str:
    return ".%s.gofleet-%s-%s" % (name, word, os.urandom(6).hex())


def _has_names(name: str, folder: int) -> bool:
    """Whether the folder *name* is there and not empty."""
    try:
        fd = dirs.open_dir(name, folder)
    except OSError:
        return dirs.lstat_or_none(name, folder) is not None
    try:
        return bool(os.listdir(fd))
    finally:
        os.close(fd)


def _is_near(new: transfer.End, root: identity.Root) -> bool:
    """Whether a rename leads there: one file system, and no bind mount between (rename(2), EXDEV)."""
    return dirs.same_place(new.fd, root.mount, root.device)


def _cache_around(new: transfer.End) -> Optional[Tuple[str, str]]:
    """The kind and path of a cache in which a new place would lie; None where it does not."""
    path = new.above
    fd = os.dup(new.fd)
    try:
        while True:
            kind = probe(fd, path)
            if kind is not None:
                return kind, path
            if path == "/":
                return None
            above = dirs.open_dir("..", fd)
            os.close(fd)
            fd = above
            path = os.path.dirname(path)
    except OSError:
        return None  # what this user may not read is no cache of this user
    finally:
        os.close(fd)
