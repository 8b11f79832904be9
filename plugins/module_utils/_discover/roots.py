# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All candidates for caches on an agent: from accounts' settings, from what the user names, and from CI systems.

Whether a candidate may be touched is decided later, by the identity rules; here it is only found, each with its owner.
"""

from __future__ import annotations

import os
import posixpath
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .. import _agents
from .._agents import Finding, Root, Setting
from .._fs import dirs
from . import engines
from .search import BadPath, Limits, Probe, SearchRoot, Skipped, Truncated, expand, search

_KINDS = {"GOCACHE": "go-build", "GOMODCACHE": "go-mod"}


class Place(NamedTuple):
    """A place that an account's settings give: ``kind`` is what it should be, ``why`` where the setting comes from."""

    path: str
    kind: str
    account: str
    why: str


class Candidate(NamedTuple):
    """An existing directory that may be a cache.

    ``path`` is as named or found, ``resolved`` without symlinks; ``kind`` is what its fingerprint shows, '' where it
    shows none; ``expected`` is the kind that a setting promises, '' where none does; ``owner_uid`` is the directory's
    owner; ``origins`` are of account, explicit, ci-setting, search; ``why`` says for people how it was found.
    """

    path: str
    resolved: str
    kind: str
    expected: str
    owner_uid: int
    device: int
    inode: int
    origins: List[str]
    why: List[str]
    accounts: List[str]


class Gathered(NamedTuple):
    """What :func:`gather` found.

    ``candidates`` once per directory; ``roots`` that were searched; ``findings`` for people; ``looked_at`` every place
    that was looked at, also where nothing was; ``foreign`` what belongs to engines; ``truncated`` and ``skipped`` what
    was not searched; ``systems`` the CI systems on the host; ``settings`` the Go variables that they give to jobs;
    ``ci_accounts`` the accounts whose jobs they run; ``directories`` how many were visited.
    """

    candidates: List[Candidate]
    roots: List[Root]
    findings: List[Finding]
    looked_at: List[str]
    foreign: List[engines.Foreign]
    truncated: List[Truncated]
    skipped: List[Skipped]
    systems: List[str]
    settings: List[Setting]
    ci_accounts: List[str]
    directories: int


class _Pool:
    def __init__(self, probes: Sequence[Probe], overview: _agents.Overview) -> None:
        self.probes = probes
        self.overview = overview
        self.known: Dict[Tuple[int, int], Candidate] = {}
        self.findings: List[Finding] = []
        self.looked_at: List[str] = []
        self.foreign: Dict[str, engines.Foreign] = {}
        self.memo: Dict[str, Optional[engines.Territory]] = {}

    def note(self, code: str, severity: str, path: str, message: str) -> None:
        item = Finding(code, severity, "", path, message)
        if item not in self.findings:
            self.findings.append(item)

    def look(self, path: str) -> None:
        if path not in self.looked_at:
            self.looked_at.append(path)

    def refused(self, path: str, named: bool) -> bool:
        land = engines.refusal(path, self.overview.engine_roots, memo=self.memo)
        if land is None:
            return False
        if land.path not in self.foreign:
            self.foreign[land.path] = land
        if named:
            self.note(
                "foreign-tree",
                "warning",
                land.path,
                "%s belongs to %s (%s) and is left alone; its own command is: %s"
                % (path, land.engine, land.why, land.command),
            )
        return True

    def add(self, path: str, origin: str, why: str, expected: str = "", account: str = "", named: bool = False) -> None:
        """Looks at one path and keeps it if it is a directory; a missing one is no fault of anybody's."""
        self.look(path)
        if self.refused(path, named):
            return
        try:
            opened = dirs.open_path(path)
        except FileNotFoundError:
            if named:
                self.note("missing", "info", path, "%s does not exist; nothing to do there" % path)
            return
        except OSError as exc:
            self.note("unreadable", "warning", path, "%s: %s; it was not looked into" % (path, exc.strerror))
            return
        try:
            kind = ""
            for probe in self.probes:
                try:
                    kind = probe(opened.fd, opened.path) or ""
                except OSError as exc:
                    self.note("unreadable", "warning", path, "%s: %s; its kind is not known" % (path, exc.strerror))
                if kind:
                    break
        finally:
            os.close(opened.fd)
        if named and not kind:
            self.note(
                "not-a-cache", "warning", path, "%s does not show any cache's fingerprint; it is left alone" % path
            )
        self.keep(path, opened.path, kind, expected, opened.st, origin, why, account)

    def keep(
        self,
        path: str,
        resolved: str,
        kind: str,
        expected: str,
        st: os.stat_result,
        origin: str,
        why: str,
        account: str,
    ) -> None:
        self.merge(
            Candidate(
                path,
                resolved,
                kind,
                expected,
                st.st_uid,
                st.st_dev,
                st.st_ino,
                [origin],
                [why],
                [account] if account else [],
            )
        )

    def merge(self, item: Candidate) -> None:
        key = (item.device, item.inode)
        there = self.known.get(key)
        if there is None:
            self.known[key] = item
            return
        self.known[key] = there._replace(
            kind=there.kind or item.kind,
            expected=there.expected or item.expected,
            origins=there.origins + [name for name in item.origins if name not in there.origins],
            why=there.why + [text for text in item.why if text not in there.why],
            accounts=there.accounts + [name for name in item.accounts if name not in there.accounts],
        )


def _settings(pool: _Pool, host: _agents.Host) -> None:
    """Caches that CI systems' configuration names outright; a container's path means nothing here."""
    for item in pool.overview.settings:
        if item.inside != "host" or item.redacted:
            continue
        place, kind = "", _KINDS.get(item.name, "")
        if kind:
            place = item.value
        elif item.name == "GOPATH":
            first = item.value.split(":")[0]
            place, kind = (posixpath.join(first, "pkg/mod"), "go-mod") if first else ("", "")
        if place.startswith("/") and posixpath.normpath(place) != "/" and "$" not in place and "%" not in place:
            why = "%s of %s (%s)" % (item.name, item.where, item.config_file)
            pool.add(host.path(place), "ci-setting", why, kind, item.account)


def _explicit(pool: _Pool, values: Sequence[object]) -> None:
    for value in values:
        try:
            matches = expand(value)
        except BadPath as exc:
            pool.note("bad-path", "error", str(value), str(exc))
            continue
        for folder in matches.unreadable:
            pool.note("unreadable", "warning", folder, "%s cannot be read, so %s may match more" % (folder, value))
        for link in matches.links:
            pool.note(
                "symlink",
                "info",
                link,
                "%s is a symlink, which a wildcard never follows; name it if it is meant" % link,
            )
        if matches.truncated:
            pool.note("truncated", "warning", str(value), "%s matches more than %d paths" % (value, len(matches.paths)))
        if matches.pattern:
            pool.look(str(value))
            if not matches.paths:
                pool.note("missing", "info", str(value), "%s matches nothing; nothing to do there" % value)
        why = "named as %s" % value if matches.pattern else "named"
        for path in matches.paths:
            pool.add(path, "explicit", why, named=not matches.pattern)


def _search_roots(pool: _Pool, values: Sequence[object]) -> List[Root]:
    roots: List[Root] = []
    for value in values:
        try:
            matches = expand(value)
        except BadPath as exc:
            pool.note("bad-path", "error", str(value), "search root %s" % exc)
            continue
        for folder in matches.unreadable:
            pool.note("unreadable", "warning", folder, "%s cannot be read, so %s may match more" % (folder, value))
        if not matches.paths:
            pool.look(str(value))
            pool.note("missing", "info", str(value), "the search root %s matches nothing" % value)
        roots.extend(Root(path, "named as a search root", "user", "") for path in matches.paths)
    return roots


def gather(
    accounts_places: Sequence[Place],
    explicit_paths: Sequence[object] = (),
    search_roots: Sequence[object] = (),
    agents_root: str = "/",
    probes: Sequence[Probe] = (),
    limits: Limits = Limits(),  # noqa: B008 (a tuple: nothing can change it)
    ci_roots: bool = True,
    clock: Callable[[], float] = time.monotonic,
    overview: Optional[_agents.Overview] = None,
) -> Gathered:
    """Finds all candidates for caches on this agent.

    *accounts_places* are the places that accounts' settings give; *explicit_paths* and *search_roots* are texts as the
    user wrote them (absolute, ``~account/…``, wildcards); *agents_root* is the prefix below which CI systems'
    configuration is read, *overview* what was read of it already; *probes* know caches by their fingerprint; with
    *ci_roots* False, only what the user and the settings name is looked at (CI systems are still recognised).

    Raises nothing for bad input: it becomes a finding of severity ``error`` with the code ``bad-path``, so that the
    caller decides whether to fail before anything is touched. Other codes: missing, unreadable, not-a-cache,
    foreign-tree, symlink, truncated, mount, nested (an error where the user named one of the two), no-cache-found,
    and those of :func:`.._agents.inspect`.
    """
    host = _agents.Host(agents_root)
    known = _agents.inspect(agents_root) if overview is None else overview
    pool = _Pool(probes, known)
    for place in accounts_places:
        if place.path.startswith("/"):
            pool.add(place.path, "account", place.why, place.kind, place.account)
    _explicit(pool, explicit_paths)
    roots = _search_roots(pool, search_roots)
    if ci_roots:
        _settings(pool, host)
        named = {root.path for root in roots}
        roots.extend(root for root in known.roots if root.path not in named)
    result = search(
        [SearchRoot(root.path, root.why, root.system == "user") for root in roots],
        probes,
        limits,
        known.engine_roots,
        clock,
    )
    for root in roots:
        pool.look(root.path)
    for item in result.found:
        pool.merge(
            Candidate(
                item.path, item.path, item.kind, "", item.owner_uid, item.device, item.inode, ["search"], [item.why], []
            )
        )
    users = {root.path for root in roots if root.system == "user"}
    for land in result.foreign:
        pool.foreign.setdefault(land.path, land)
    for land in pool.foreign.values():
        named_in = any(path == land.path or path.startswith(land.path + "/") for path in users)
        pool.note(
            "foreign-tree",
            "warning" if named_in else "info",
            land.path,
            "%s belongs to %s (%s) and is left alone; its own command is: %s"
            % (land.path, land.engine, land.why, land.command),
        )
    for skipped in result.skipped:
        if skipped.reason == "missing":
            if skipped.path in users:
                pool.note("missing", "info", skipped.path, "the search root %s" % skipped.message)
        elif skipped.reason in ("unreadable", "mount"):
            severity = "warning" if skipped.reason == "unreadable" else "info"
            pool.note(skipped.reason, severity, skipped.path, skipped.message)
        elif skipped.path in users:
            pool.note(skipped.reason, "warning", skipped.path, skipped.message)
    for cut in result.truncated:
        # Source trees are deeper than any place of a cache: reaching that depth is usual and worth no warning.
        usual = cut.limit in ("depth", "node_modules")
        pool.note(
            "truncated",
            "info" if usual else "warning",
            cut.path,
            "the search was cut by its limit of %s at %s (%d in all); what lies further was not looked at"
            % (_limit_text(cut.limit, limits), cut.path, cut.total),
        )
    candidates = list(pool.known.values())
    _nested(pool, [item for item in candidates if item.kind])
    systems = known.systems
    if systems and not any(item.kind for item in candidates):
        where = ", ".join(pool.looked_at) or "nowhere, because nothing names a place"
        pool.note(
            "no-cache-found",
            "warning",
            "",
            "this is an agent of %s, but no Go cache was found on it; looked at: %s; name further places as explicit "
            "paths or search roots" % (" and ".join(systems), where),
        )
    findings = list(known.findings) + [item for item in pool.findings if item not in known.findings]
    return Gathered(
        candidates,
        roots,
        findings,
        list(pool.looked_at),
        list(pool.foreign.values()),
        result.truncated,
        result.skipped,
        systems,
        list(known.settings),
        list(known.accounts),
        result.directories,
    )


def _nested(pool: _Pool, caches: Sequence[Candidate]) -> None:
    """A cache inside another one: two policies would compete for the same bytes, and one would take the other whole."""
    outer: List[Candidate] = []
    for item in sorted(caches, key=lambda cache: cache.resolved.split("/")):
        while outer and not item.resolved.startswith(outer[-1].resolved + "/"):
            outer.pop()
        if outer:
            # The user can correct what the user named; what a job has put somewhere must not stop a whole run.
            named = "explicit" in item.origins or "explicit" in outer[-1].origins
            pool.note(
                "nested",
                "error" if named else "warning",
                item.resolved,
                "the %s cache %s lies inside the %s cache %s; give them folders side by side"
                % (item.kind, item.resolved, outer[-1].kind, outer[-1].resolved),
            )
        outer.append(item)


def _limit_text(limit: str, limits: Limits) -> str:
    if limit == "depth":
        return "%d levels" % limits.depth
    if limit == "directories":
        return "%d directories" % limits.directories
    if limit == "seconds":
        return "%g seconds" % limits.seconds
    return "levels below node_modules"
