# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recipes for a fleet's settings, and everything that is wrong with settings before a host is touched. Pure."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from . import grammar, rules
from .mask import mask_value
from .rules import ERROR, INFO, WARNING, Finding, Fleet

GATEKEEPER = "gatekeeper"
PRIVATE_THEN_PUBLIC = "private_then_public"
RESILIENT = "resilient"
AIR_GAP = "air_gap"
PROFILES = (GATEKEEPER, PRIVATE_THEN_PUBLIC, RESILIENT, AIR_GAP)

DEFAULT_PUBLIC = ("https://proxy.golang.org",)

#: What a profile decides; where it wants Go's default, the account's line goes.
DECIDED = ("GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB")


_OPTION = re.compile(r"\b(private_proxies|public_proxies|private_modules|direct_modules|bundle(?=:| is))\b")


class Given(NamedTuple):
    """What a profile is made from. The first three are URLs, the next two globs, bundle a path or file:// URL."""

    private_proxies: Tuple[str, ...] = ()
    public_proxies: Tuple[str, ...] = DEFAULT_PUBLIC
    private_modules: Tuple[str, ...] = ()
    direct_modules: Tuple[str, ...] = ()
    bundle: str = ""


def settings(profile: str, given: Given = Given()) -> Dict[str, str]:  # noqa: B008  (immutable)
    """The settings of a profile; none for ''. What of DECIDED is not among them shall have no line at all.

    GOSUMDB is never set: complete go.sum files need no database, and a bundle may hold a sealed one, which Go finds in
    the proxy by itself (cmd/go/internal/modfetch/sumdb.go, initBase). Raises ValueError: what, where and what to do.
    """
    if not profile:
        return {}
    if profile not in PROFILES:
        raise ValueError("profile %r: there is none of this name; use one of %s" % (profile, ", ".join(PROFILES)))
    _check_given(given)
    private, public = list(given.private_proxies), list(given.public_proxies)
    if profile in (GATEKEEPER, PRIVATE_THEN_PUBLIC) and not private:
        raise ValueError(
            "profile %s: private_proxies is empty, and this profile asks a private proxy first; name its URL" % profile
        )
    if profile == PRIVATE_THEN_PUBLIC and not public:
        raise ValueError("profile %s: public_proxies is empty; name one, or use the profile gatekeeper" % profile)
    if profile == RESILIENT and len(private) + len(public) < 2:
        raise ValueError(
            "profile resilient: it needs two proxies, of which one may fail, and got %d; name more in private_proxies "
            "or public_proxies" % (len(private) + len(public))
        )
    found: Dict[str, str] = {}
    if profile == GATEKEEPER:
        # Several are doors of one house: where one is down, the next is asked.
        found["GOPROXY"] = "|".join(private)
    elif profile == PRIVATE_THEN_PUBLIC:
        found["GOPROXY"] = ",".join(["|".join(private), *public, "direct"])
    elif profile == RESILIENT:
        found["GOPROXY"] = "|".join([*private, *public, "direct"])
    else:
        found["GOPROXY"] = "%s,off" % _bundle_url(given.bundle)
        found["GOTOOLCHAIN"] = "local"
        found["GOFLAGS"] = "-mod=readonly"
    if given.direct_modules:
        found["GOPRIVATE"] = ",".join(given.direct_modules)
    if given.private_modules:
        # Not GOPRIVATE, which would lead past the proxy that serves them.
        found["GONOSUMDB"] = ",".join(dict.fromkeys([*given.private_modules, *given.direct_modules]))
    return found


def _check_given(given: Given) -> None:
    for name, urls in (("private_proxies", given.private_proxies), ("public_proxies", given.public_proxies)):
        for url in urls:
            if re.search(r"[,|\s]", url) or url in ("direct", "off"):
                raise ValueError(
                    "%s: %r is not one URL; list each proxy by itself, the profile joins them and ends the list"
                    % (name, mask_value("GOPROXY", url))
                )
            for fault in grammar.check_value("GOPROXY", url) or []:
                raise ValueError("%s: %s. %s" % (name, fault.message, fault.hint.replace("GOPROXY=", "")))
            if not url:
                raise ValueError("%s: an entry is empty; remove it" % name)
    for name, patterns in (("private_modules", given.private_modules), ("direct_modules", given.direct_modules)):
        for pattern in patterns:
            if not pattern or "," in pattern:
                raise ValueError("%s: %r is not one pattern; list each by itself" % (name, pattern))
            for fault in grammar.check_value("GOPRIVATE", pattern):
                raise ValueError("%s: %s. %s" % (name, fault.message, fault.hint.replace("GOPRIVATE=", "")))


def _bundle_url(bundle: str) -> str:
    if not bundle:
        raise ValueError("profile air_gap: bundle is empty; name the folder on the agents, such as file:///srv/goproxy")
    return _folder_url("bundle", bundle, "file:///srv/goproxy")


def _folder_url(option: str, folder: str, example: str) -> str:
    url = "file://" + folder if folder.startswith("/") else folder
    if not url.startswith("file:") or re.search(r"[,|\s]", url):
        text = "%s: %r is not a folder on the agents; write it like %s"
        raise ValueError(text % (option, mask_value("GOPROXY", folder), example))
    for fault in grammar.check_url(option, url, ("file",)):
        raise ValueError("%s: %s. %s" % (option, fault.message, fault.hint))
    return url


def shared_door(folder: str) -> str:
    """The proxy URL of a module cache that other hosts may read: its folder of downloads, in the proxy's own protocol.

    folder: what is GOMODCACHE on the host that fills it, as a path or file:// URL. Raises ValueError.
    """
    url = _folder_url("shared_cache", folder.rstrip("/"), "/mnt/gomod")
    return url if url.endswith("/cache/download") else url + "/cache/download"


# --- what counts on one host -----------------------------------------------------------------------------------


class Asked(NamedTuple):
    """What was asked for, from the weakest to the strongest layer, as people write it: see merge()."""

    profile: str = ""
    given: Given = Given()
    general: Mapping[str, Any] = {}
    own: Mapping[str, Any] = {}
    absent: Sequence[str] = ()
    group_settings: Mapping[str, Any] = {}
    host_groups: Sequence[str] = ()
    all_groups: Sequence[str] = ()
    machine: bool = False
    shared_cache: str = ""


class Merged(NamedTuple):
    """settings: what to write. absent: which lines to remove. profile: what the profile alone wanted. notes: what was
    replaced by what, for people. findings: what could not be understood."""

    settings: Dict[str, str]
    absent: List[str]
    profile: Dict[str, str]
    notes: List[str]
    findings: List[Finding]


def merge(asked: Asked) -> Merged:
    """The settings of one host: profile, then general and own settings and absent, then those of its groups; a shared
    cache comes in front of whatever GOPROXY is then.

    Groups count in the order in which group_settings names them, a later one wins; null there means absent. Never
    raises for what people write: that becomes a finding.
    """
    findings: List[Finding] = []
    notes: List[str] = []
    recipe: Dict[str, str] = {}
    try:
        recipe = settings(asked.profile, asked.given)
    except ValueError as error:
        text = _OPTION.sub(r"go_config_\1", str(error)).rstrip(".")
        findings.append(Finding("profile", ERROR, "go_config_profile", text, ""))
    values = dict(recipe)
    absent = {name for name in DECIDED if recipe and name not in recipe}
    if asked.machine and "GOSUMDB" in absent:
        # GOROOT/go.env is the only place of this default.
        absent.discard("GOSUMDB")
        values["GOSUMDB"] = grammar.GOROOT_DEFAULTS["GOSUMDB"]
    removable = set(absent)

    def put(name: str, given: Any, source: str) -> None:
        try:
            value = grammar.to_value(name, given)
        except grammar.GrammarError as error:
            findings.append(Finding(error.fault.rule, ERROR, name, error.fault.message, error.fault.hint))
            return
        if name in recipe and recipe[name] != value:
            notes.append(_replaced(asked.profile, name, recipe[name], "%s=%s" % (name, value), source))
        elif name in removable and value:
            notes.append(_replaced(asked.profile, name, None, "%s=%s" % (name, value), source))
        values[name] = value
        absent.discard(name)

    def drop(name: str, source: str) -> None:
        if name in recipe:
            notes.append(_replaced(asked.profile, name, recipe[name], "no line for %s" % name, source))
        values.pop(name, None)
        absent.add(name)

    for name in asked.general:
        put(str(name), asked.general[name], "go_config_settings")
    for name in asked.own:
        put(str(name), asked.own[name], "go_config_%s" % str(name).lower())
    for name in asked.absent:
        drop(str(name), "go_config_absent")
    known = set(asked.all_groups)
    for group, wanted in asked.group_settings.items():
        if known and group not in known:
            findings.append(_unknown_group(str(group), asked.all_groups))
        if not isinstance(wanted, Mapping):
            text = "the group %s has %r instead of variables with their values" % (group, type(wanted).__name__)
            findings.append(Finding("group-settings", ERROR, "go_config_group_settings", text, "Write {GOPROXY: ...}."))
        elif group in asked.host_groups or group == "all":
            for name in wanted:
                source = "the group %s" % group
                if wanted[name] is None:
                    drop(str(name), source)
                else:
                    put(str(name), wanted[name], source)
    if asked.shared_cache:
        try:
            _put_in_front(values, shared_door(asked.shared_cache))
        except ValueError as error:
            findings.append(Finding("shared-cache", ERROR, "go_config_shared_cache", str(error), ""))
    return Merged(values, sorted(absent), recipe, [_clean(note) for note in notes], findings)


def _put_in_front(values: Dict[str, str], door: str) -> None:
    shared = door[len("file://") : -len("/cache/download")]
    own = values.get("GOMODCACHE", "")
    if (own.rstrip("/") + "/").startswith(shared + "/"):
        raise ValueError(
            "shared_cache: GOMODCACHE=%s is the shared cache itself, which every host would write; give the hosts "
            "caches of their own" % own
        )
    # A comma: what is not there is a 404 for Go, and a file that may not be read shall be noticed.
    chain = values.get("GOPROXY") or grammar.GOROOT_DEFAULTS["GOPROXY"]
    if door not in chain:
        values["GOPROXY"] = "%s,%s" % (door, chain)


def _replaced(profile: str, name: str, value: Any, instead: str, source: str) -> str:
    before = "no line for %s" % name if value is None else "%s=%s" % (name, value)
    return "profile %s wants %s; %s wins with %s" % (profile, before, source, instead)


def _clean(text: str) -> str:
    return mask_value("GOPROXY", text)


def _unknown_group(group: str, known: Sequence[str]) -> Finding:
    import difflib

    near = difflib.get_close_matches(group, list(known), n=1)
    hint = "Did you mean %s?" % near[0] if near else "Name a group of the inventory."
    text = "the inventory has no group %r: no host gets these settings" % group
    return Finding("unknown-group", ERROR, "go_config_group_settings", text, hint)


# --- what is wrong with it -------------------------------------------------------------------------------------


def problems(
    values: Mapping[str, str],
    fleet: Fleet,
    strict: bool = True,
    accept: Sequence[str] = (),
    more: Sequence[Finding] = (),
) -> List[Finding]:
    """Everything wrong with settings that are about to be written, the gravest first.

    strict: whether variables and flags that a newer Go might know are errors. accept: ids of errors that are known and
    wanted, which then are warnings; what makes go commands fail for certain cannot be accepted. more: what others
    found.
    """
    found: List[Finding] = [*_misspelt(accept), *more]
    for name in sorted(values):
        for fault in grammar.check(name, values[name]):
            severity = ERROR if fault.certain or strict else WARNING
            found.append(Finding(fault.rule, severity, name, fault.message, fault.hint, _line(fault.hint)))
    bad = {finding.name for finding in found if finding.severity == ERROR}
    whole = {name: value for name, value in values.items() if name not in bad}
    # Without its profile the whole is not the one that was meant.
    together = [] if any(one.id == "profile" for one in more) else rules.check(whole, fleet._replace(asked=True))
    for finding in together:
        # A rule that misses GOPROXY only because its value was refused says nothing true.
        if not (finding.id == "air-gap-default" and "GOPROXY" in bad):
            found.append(finding)
    if "GOPROXY" in bad:
        refused = rules.check({"GOPROXY": values.get("GOPROXY", "")})
        found += [finding for finding in refused if finding.id == "http-credentials"]
    order = {ERROR: 0, WARNING: 1, INFO: 2}
    return sorted(dict.fromkeys(accepted(found, accept)), key=lambda finding: order[finding.severity])


def accepted(found: Sequence[Finding], accept: Sequence[str]) -> List[Finding]:
    """The findings, with those errors as warnings whose id was accepted and may be."""
    return [
        one._replace(severity=WARNING, text=one.text + " (accepted)")
        if one.severity == ERROR and one.id in accept and one.id in ACCEPTABLE
        else one
        for one in found
    ]


def _line(hint: str) -> str:
    match = re.search(r"\bWrite ([A-Z][A-Z0-9_]*=.*?)[.]?\Z", hint)
    return match.group(1) if match else ""


#: Errors that somebody may want: they are about trust and names, not about what Go can read.
ACCEPTABLE = frozenset(
    (
        "dependency-confusion",
        "private-to-public",
        "private-to-sumdb",
        "private-proxy-bypassed",
        "direct-modules-proxied",
        "gonoproxy-narrower",
        "gonosumdb-narrower",
        "gosumdb-off",
        "dead-host",
        "file-not-download",
        "air-gap-direct",
        "air-gap-public",
        "air-gap-default",
        "unknown-group",
        "git-plain-http",
    )
)


def _misspelt(accept: Sequence[str]) -> List[Finding]:
    import difflib

    found: List[Finding] = []
    for name in accept:
        if name not in ACCEPTABLE:
            near = difflib.get_close_matches(name, sorted(ACCEPTABLE), n=1)
            hint = "Did you mean %s?" % near[0] if near else "It may hold: %s." % ", ".join(sorted(ACCEPTABLE))
            found.append(Finding("accept", ERROR, "go_config_accept", "%r cannot be accepted" % name, hint))
    return found
