# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a module's own repository is and whether GOVCS lets Go use it (cmd/go/internal/vcs). Pure."""

from __future__ import annotations

import html
import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from . import chain as chains

#: Commands of version control that Go knows (vcs.vcsList).
_COMMANDS = ("hg", "git", "svn", "bzr", "fossil")
#: pathPrefix, pattern with the group root, command, whether a suffix like .git is refused (vcs.vcsPaths).
_KNOWN: Tuple[Tuple[str, str, str, bool], ...] = (
    ("github.com", r"(?P<root>github\.com/[\w.\-]+/[\w.\-]+)(/[\w.\-]+)*\Z", "git", True),
    ("bitbucket.org", r"(?P<root>bitbucket\.org/[\w.\-]+/[\w.\-]+)(/[\w.\-]+)*\Z", "git", True),
    ("hub.jazz.net/git", r"(?P<root>hub\.jazz\.net/git/[a-z0-9]+/[\w.\-]+)(/[\w.\-]+)*\Z", "git", True),
    ("git.apache.org", r"(?P<root>git\.apache\.org/[a-z0-9_.\-]+\.git)(/[\w.\-]+)*\Z", "git", False),
    ("git.openstack.org", r"(?P<root>git\.openstack\.org/[\w.\-]+/[\w.\-]+)(\.git)?(/[\w.\-]+)*\Z", "git", False),
    ("chiselapp.com", r"(?P<root>chiselapp\.com/user/[A-Za-z0-9]+/repository/[\w.\-]+)\Z", "fossil", False),
)
_ANY = re.compile(
    r"(?P<root>(?P<repo>[a-z0-9.\-]+\.[a-z0-9.\-]+(:[0-9]+)?(/~?[\w.\-]+)+?)\.(?P<vcs>bzr|fossil|git|hg|svn))"
    r"(/~?[\w.\-]+)*\Z",
    re.ASCII,
)


class Root(NamedTuple):
    """A repository: its URL (without a scheme where Go tries several), the import path of its root, a folder in it.

    vcs: a command, or ``mod`` for a module proxy that go-import names.
    """

    url: str
    root: str
    vcs: str
    subdir: str = ""


class NoRoot(Exception):
    """There is no repository for the path; the text says why."""


def static(path: str) -> Optional[Root]:
    """The repository of a path whose host Go knows, or that names one (``.git/``); None for all others.

    Raises NoRoot (vcs.repoRootFromVCSPaths).
    """
    for prefix, pattern, command, plain in _KNOWN:
        if path != prefix and not path.startswith(prefix + "/"):
            continue
        match = re.match(pattern, path, re.ASCII)
        if match is None:
            raise NoRoot("invalid %s import path %r" % (prefix, path))
        root = match.group("root")
        if plain and root.endswith(tuple("." + name for name in _COMMANDS)):
            raise NoRoot("invalid version control suffix in %s/ path" % prefix)
        return Root("https://" + root, root, command)
    match = _ANY.match(path)
    # Go leaves the suffix out of the repository's URL and tries schemes; servers of Git know both.
    return Root(match.group("repo"), match.group("root"), match.group("vcs")) if match else None


def meta_url(path: str) -> str:
    """The URL whose page names the repository (vcs.urlForImportPath). Raises NoRoot."""
    host, _slash, rest = path.partition("/")
    if "." not in host:
        raise NoRoot("import path does not begin with hostname")
    return "https://%s/%s?go-get=1" % (host, rest)


_TAG = re.compile(r"(?i)<(meta)[\s/]([^<>]*)>|<(body)[\s/>]|</(head)[\s>]")
_ATTRIBUTE = re.compile(r"(?<![^\s\"'])([A-Za-z][\w:.\-]*)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"']+))")
#: Signs of a tag that is looked at.
_LONGEST = 8192


def go_imports(page: str) -> List[Root]:
    """The go-import tags in the head of a page, module proxies first (vcs.parseMetaGoImports). Never raises.

    Not html.parser, which takes minutes for what somebody has made for it. Like Go's reader of XML this one sees tags
    in scripts, too.
    """
    parts: List[str] = []
    at = 0
    while at >= 0:
        start = page.find("<!--", at)
        parts.append(page[at:] if start < 0 else page[at:start])
        end = page.find("-->", start + 4) if start >= 0 else -1
        at = end + 3 if end >= 0 else -1
    found: List[Root] = []
    for tag in _TAG.finditer(" ".join(parts)):
        if tag.group(1) is None:
            break
        if len(tag.group(2)) > _LONGEST:
            continue
        given: Dict[str, str] = {}
        for item in _ATTRIBUTE.finditer(tag.group(2)):
            given.setdefault(item.group(1).lower(), html.unescape(item.group(item.lastindex or 0)))
        words = given.get("content", "").split()
        if given.get("name") == "go-import" and len(words) in (3, 4):
            found.append(Root(words[2], words[0], words[1], words[3] if len(words) == 4 else ""))
    proxies = [root for root in found if root.vcs == "mod"]
    prefixes = {root.root for root in proxies}
    return proxies + [root for root in found if root.vcs != "mod" and root.root not in prefixes]


def match(imports: Sequence[Root], path: str) -> Root:
    """The tag that holds for a path (vcs.matchGoImport). Raises NoRoot."""
    found: Optional[Root] = None
    for root in imports:
        if path != root.root and not path.startswith(root.root + "/"):
            continue
        if found is not None:
            if found.vcs == "mod" and root.vcs != "mod":
                break
            raise NoRoot("multiple meta tags match import path %r" % path)
        found = root
    if found is None:
        others = ", ".join(root.root for root in imports[:3])
        raise NoRoot("no go-import meta tag" + (" for it, only for " + others if others else "s"))
    if found.vcs not in _COMMANDS + ("mod",):
        raise NoRoot("unknown vcs %r" % found.vcs)
    scheme = urlsplit(found.url).scheme
    if not scheme or scheme == "file":
        raise NoRoot("invalid repo root %r: %s" % (found.url, "file scheme disallowed" if scheme else "no scheme"))
    return found


def code_dir(path: str, root: Root, prefix: str) -> str:
    """The folder of a module in its repository (modfetch.newCodeRepo). prefix: its path without major version."""
    inside = "" if root.root == path else prefix[len(root.root) :].strip("/")
    return "/".join(part for part in (inside, root.subdir.strip("/")) if part)


# GOVCS


def rules(govcs: str) -> List[Tuple[str, List[str]]]:
    """The rules of a GOVCS value with Go's own behind them (vcs.parseGOVCS). Raises ValueError with Go's words."""
    found: Dict[str, List[str]] = {}
    for item in govcs.strip().split(",") if govcs.strip() else []:
        pattern, colon, text = (part.strip() for part in item.strip().partition(":"))
        if not item.strip():
            raise ValueError("empty entry in GOVCS")
        if not colon:
            raise ValueError("malformed entry in GOVCS (missing colon): %r" % item.strip())
        names = [name.strip() for name in text.split("|")]
        if not pattern or not all(names):
            raise ValueError("empty pattern or VCS name in GOVCS: %r" % item.strip())
        if pattern in found:
            raise ValueError("unreachable pattern in GOVCS: %r" % item.strip())
        found[pattern] = names
    return list(found.items()) + [("private", ["all"]), ("public", ["git", "hg"])]


def refusal(govcs: str, goprivate: str, root: Root) -> str:
    """Why GOVCS forbids the repository, or an empty text (vcs.checkGOVCS)."""
    if root.vcs == "mod":
        return ""
    try:
        known = rules(govcs)
    except ValueError as error:
        return str(error)
    private = chains.matches(goprivate, root.root)
    for pattern, names in known:
        if pattern in ("private", "public"):
            holds = (pattern == "private") == private
        else:
            holds = chains.matches(pattern, root.root)
        if holds:
            if root.vcs in names or "all" in names:
                return ""
            break
    kind = "private" if private else "public"
    return "GOVCS disallows using %s for %s %s" % (root.vcs, kind, root.root)
