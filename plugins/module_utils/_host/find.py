# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which caches this agent has: from accounts' settings, CI systems' configuration, and what the user names."""

from __future__ import annotations

import os
from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._discover import roots, search
from .._fs import identity, system
from .._go import accounts, evaluate, services, toolchain
from .._go.mask import mask_value
from .._kinds import go_toolcache, go_work, table

_PRIVATE = ("GOPRIVATE", "GONOPROXY", "GONOSUMDB")


class BadRequest(ValueError):
    """An option that names something impossible; nothing was touched."""


class Request(NamedTuple):
    """What the user asked to look at. ``paths`` and ``search_roots`` as written; ``discover`` False: only ``paths``."""

    accounts: Sequence[str] = ()
    paths: Sequence[str] = ()
    search_roots: Sequence[str] = ()
    discover: bool = True


class Cache(NamedTuple):
    """A cache that was found and proven, held open until :func:`close`."""

    kind: str
    root: identity.Root
    origins: Tuple[str, ...]
    why: Tuple[str, ...]
    accounts: Tuple[str, ...]


class Host(NamedTuple):
    """What was found on the agent.

    ``refused`` are places that are no cache or must not be treated as one; ``private`` the patterns of modules that
    nobody else can give back, None where no setting names any;
    ``versions`` the Go versions that may have written here; ``unread`` are the cache owners (uid) whose settings could
    not be read, ``offline`` those whose GOPROXY is off, so that what was downloaded does not come back.
    """

    caches: List[Cache]
    refused: List[Dict[str, str]]
    findings: List[Dict[str, str]]
    looked_at: List[str]
    systems: List[str]
    private: Optional[Tuple[str, ...]]
    versions: Tuple[str, ...]
    unread: FrozenSet[int]
    offline: FrozenSet[int]
    homes: FrozenSet[str]
    work_folders: Tuple[str, ...]


def _accounts(request: Request) -> Tuple[List[accounts.Account], List[services.Service]]:
    found, _notes = services.discover()
    if not request.accounts:
        return accounts.related([s.uid for s in found if s.uid is not None]), found
    named, missing = accounts.resolve(request.accounts)
    if missing:
        raise BadRequest("; ".join("accounts: %s: %s" % (m.name, m.reason) for m in missing))
    if os.geteuid() != 0:
        for account in named:
            if account.uid != os.geteuid():
                raise BadRequest(
                    "accounts: %s: only root may clean for another account; run with become, or leave accounts out"
                    % account.name
                )
    return named, found


class _Settings:
    """What the accounts' settings say, collected."""

    def __init__(self) -> None:
        self.places: List[roots.Place] = []
        self.private: List[str] = []
        self.read: List[int] = []
        self.offline: List[int] = []
        self.work: List[str] = []
        self.findings: List[Dict[str, str]] = []

    def take(
        self, account: accounts.Account, environ: Dict[str, str], tool: Optional[toolchain.Toolchain], why: str
    ) -> None:
        done = evaluate.evaluate(account, environ, tool, source=why)
        if done.env_state.startswith("unreadable"):
            return
        self.read.append(account.uid)
        proxy = done.settings.get("GOPROXY")
        if proxy is not None and proxy.value.strip() == "off":
            self.offline.append(account.uid)
        places = evaluate.cache_places(done.settings, done.environ)
        for path, kind, name in ((places.gocache, "go-build", "GOCACHE"), (places.gomodcache, "go-mod", "GOMODCACHE")):
            if path is None:
                continue
            setting = done.settings.get(name)
            origin = setting.origin if setting is not None else ""
            place = roots.Place(path, kind, account.name, "%s of %s (%s)" % (name, account.name, origin or "default"))
            if not any(p.path == path and p.kind == kind and p.account == account.name for p in self.places):
                self.places.append(place)
        for name in _PRIVATE:
            setting = done.settings.get(name)
            if setting is not None:
                self.name_private(setting.value)
        if places.cacheprog.strip():
            text = (
                "%s builds with GOCACHEPROG=%s: what that program stores is its own business and is not cleaned; the "
            )
            text += "build cache on disk is not trimmed by Go then"
            told = {
                "code": "cacheprog",
                "severity": "info",
                "path": places.gocache or "",
                "text": text % (account.name, mask_value("GOCACHEPROG", places.cacheprog)),
            }
            if told not in self.findings:
                self.findings.append(told)
        if places.gotmpdir is not None and places.gotmpdir not in self.work:
            self.work.append(places.gotmpdir)

    def name_private(self, value: str) -> None:
        for item in value.split(","):
            pattern = item.strip().rstrip("/")
            # "none" is the usual word for a pattern that matches nothing.
            if pattern and pattern != "none" and pattern not in self.private:
                self.private.append(pattern)


def find(request: Request) -> Host:
    """Finds and proves the caches that *request* asks for. Creates and changes nothing.

    Raises BadRequest for options that name something impossible: an account that does not exist, a path that is
    empty, relative, ``off``, ``/``, a home, a GOROOT, a repository, or no cache. A path that does not exist is fine.
    """
    problem = system.unsupported()
    if problem:
        raise BadRequest(problem)
    settings = _Settings()
    wanted = request.discover or bool(request.accounts)
    # Also where only named paths are looked at: what is private, whose homes there are, and which Go wrote the caches.
    people, running = _accounts(request)
    tools = toolchain.find(people)
    gathered_homes = [account.home for account in people if account.home]
    for account in people:
        settings.take(account, {}, tools[0] if tools else None, "account")
        for tool in tools[1:]:
            if tool.go_env:
                settings.take(account, {}, tool, "account")
    by_uid = {account.uid: account for account in people}
    for service in running:
        if service.uid in by_uid and service.environ:
            first = tools[0] if tools else None
            settings.take(by_uid[service.uid], dict(service.environ), first, "service %s" % service.name)
    homes = identity.known_homes(gathered_homes)
    for path in request.paths:
        _refuse_name(path)
    gathered = roots.gather(
        settings.places if wanted else [],
        list(request.paths),
        list(request.search_roots),
        probes=[table.probe],
        limits=search.Limits(),
        ci_roots=request.discover and not request.accounts,
    )
    errors = [item.message for item in gathered.findings if item.severity == "error"]
    if errors:
        raise BadRequest("; ".join(errors))
    for setting in gathered.settings:
        if setting.name in _PRIVATE:
            settings.name_private(setting.value)
    caches, refused = _prove(gathered, homes)
    if wanted and not request.accounts:  # what is shared by all accounts is nothing that some were named for
        environs = [dict(service.environ) for service in running]
        caches += _beside(caches, settings.work, environs, gathered_homes, homes)
        caches.sort(key=lambda cache: (cache.kind, cache.root.path))
    # What a cache's owner calls private counts, however the cache was found.
    for uid in sorted({cache.root.uid for cache in caches} - set(settings.read)):
        owner = accounts.lookup(uid)
        if owner is not None:
            settings.take(owner, {}, tools[0] if tools else None, "owner of a cache")
    unknown = sorted({cache.root.uid for cache in caches} - set(settings.read))
    findings = settings.findings + [
        {"code": f.code, "severity": f.severity, "path": f.path, "text": f.message} for f in gathered.findings
    ]
    for uid in unknown:
        text = "the Go settings of uid %d, who owns a cache, cannot be read: what is private there is not known" % uid
        findings.append({"code": "settings-unknown", "severity": "info", "path": "", "text": text})
    versions = [tool.version.split()[0] for tool in tools]
    return Host(
        caches,
        refused,
        findings,
        list(gathered.looked_at),
        list(gathered.systems),
        tuple(settings.private) or None,
        tuple(dict.fromkeys(versions)),
        frozenset(unknown),
        frozenset(settings.offline),
        homes,
        tuple(settings.work) if wanted else (),
    )


def _refuse_name(path: str) -> None:
    if path.startswith("~") or any(c in path for c in "*?["):
        return  # expanded, and judged afterwards, by the search
    try:
        identity.check_name(path)
    except identity.Refused as exc:
        raise BadRequest("paths: %s" % exc) from None
    if os.path.lexists(path) and not os.path.isdir(path):
        raise BadRequest("paths: %s is no directory, so no cache; name the directory that `go env` prints" % path)


def _prove(gathered: roots.Gathered, homes: FrozenSet[str]) -> Tuple[List[Cache], List[Dict[str, str]]]:
    caches: List[Cache] = []
    refused: List[Dict[str, str]] = []
    wrong: List[str] = []
    seen = set()
    for item in gathered.candidates:
        known = [name for name, kind in table.KINDS.items() if kind.place is None]
        kinds = [item.kind] if item.kind else [item.expected] if item.expected else known
        problem: Optional[identity.Refused] = None
        for name in kinds:
            try:
                root = identity.open_root(item.path, table.KINDS[name].looks_like, name, homes)
            except identity.Refused as exc:
                problem = exc if problem is None else problem
                continue
            except FileNotFoundError:
                continue
            except OSError as exc:
                refused.append(
                    {
                        "path": item.path,
                        "code": "unreadable",
                        "reason": os.strerror(exc.errno or 0),
                        "hint": "run with become",
                    }
                )
                continue
            if (root.device, root.inode) in seen:
                os.close(root.fd)
                break
            seen.add((root.device, root.inode))
            caches.append(Cache(name, root, tuple(item.origins), tuple(item.why), tuple(item.accounts)))
            problem = None
            break
        if problem is not None:
            if problem.code == "no-fingerprint" and "explicit" not in item.origins:
                problem.hint = "nothing was put there yet, or it is something else; it stays as it is"
            refused.append({"path": item.path, "code": problem.code, "reason": problem.reason, "hint": problem.hint})
            if "explicit" in item.origins:
                wrong.append("paths: %s" % problem)
    if wrong:
        close(caches)
        raise BadRequest("; ".join(wrong))
    caches.sort(key=lambda cache: (cache.kind, cache.root.path))
    return caches, refused


def _beside(
    caches: Sequence[Cache],
    work: Sequence[str],
    environs: Sequence[Mapping[str, str]],
    people: Sequence[str],
    homes: FrozenSet[str],
) -> List[Cache]:
    """What lies beside the caches: folders of temporary files with work folders, and folders of toolchains."""
    seen = {(cache.root.device, cache.root.inode) for cache in caches}
    found: List[Cache] = []

    def add(kind: str, root: Optional[identity.Root], why: str) -> None:
        if root is None:
            return
        if (root.device, root.inode) in seen:
            os.close(root.fd)
            return
        seen.add((root.device, root.inode))
        found.append(Cache(kind, root, ("settings",), (why,), ()))

    named = [environ.get("TMPDIR", "") for environ in environs]
    for path in dict.fromkeys([*work, *(path for path in named if path.startswith("/")), "/tmp"]):
        try:
            root = go_work.open_place(path)
        except (identity.Refused, OSError):
            continue
        if root is not None and os.geteuid() != 0:
            # Everybody may remove what is his own in a folder that is everybody's.
            root = root._replace(uid=os.geteuid(), gid=os.getegid())
        add(go_work.KIND, root, "temporary files")
    for path in go_toolcache.places(environs, people):
        try:
            add(
                go_toolcache.KIND,
                identity.open_root(path, go_toolcache.looks_like, go_toolcache.KIND, homes),
                "tool cache" if path.endswith("/go") else "golang.org/dl",
            )
        except (identity.Refused, OSError):
            continue
    return found


def own_only() -> List[str]:
    """What to tell when this process sees one account's caches only."""
    if os.geteuid() == 0:
        return []
    return ["run as uid %d: only this account's caches were looked for; run with become for all" % os.geteuid()]


def close(caches: Sequence[Cache]) -> None:
    """Closes the roots that :func:`find` left open."""
    for cache in caches:
        try:
            os.close(cache.root.fd)
        except OSError:
            pass


def describe(cache: Cache) -> Dict[str, Any]:
    """A cache as plain data for results."""
    root = cache.root
    found: Dict[str, Any] = {"kind": cache.kind, "path": root.path, "uid": root.uid, "found_by": list(cache.why)}
    if os.path.normpath(root.given) != root.path:
        found["given"] = root.given
    return found
