# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module paths and versions: which are valid, how they are named on disk, and how versions are ordered.

Follows golang.org/x/mod: ``module/module.go``, ``module/pseudo.go`` and ``semver/semver.go``.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Tuple

_SEMVER = re.compile(
    r"v(0|[1-9][0-9]*)"
    r"(?:\.(0|[1-9][0-9]*)"
    r"(?:\.(0|[1-9][0-9]*)"
    r"(-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    r"(\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    r")?)?\Z"
)
# module/pseudo.go, pseudoVersionRE
_PSEUDO = re.compile(
    r"v[0-9]+\.(0\.0-|[0-9]+\.[0-9]+-([^+]*\.)?0\.)[0-9]{14}-[A-Za-z0-9]+(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?\Z"
)
# internal/gover/gover.go (Parse), with what follows a blank or hyphen in a vendor's name (gover.FromToolchain)
_GO_VERSION = re.compile(
    r"(?:go)?(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*)|([a-z]+)(0|[1-9][0-9]*)?)?)?(?:[- \t].*)?\Z",
    re.DOTALL,
)
# cmd/go/internal/toolchain/select.go: the module golang.org/toolchain has versions v0.0.1-go1.26.1.linux-amd64
_TOOLCHAIN = re.compile(r"v0\.0\.1-(go.+)\.([a-z0-9]+-[a-z0-9]+)\Z", re.DOTALL)
_FIRST = re.compile(r"[-.0-9a-z]*\Z")
_ELEMENT = re.compile(r"[-._~0-9A-Za-z]*\Z")
_FILE_ASCII = frozenset("!#$%&()+,-.=@[]^_{}~ 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WINDOWS = frozenset(
    ["CON", "PRN", "AUX", "NUL"] + ["COM%d" % n for n in range(1, 10)] + ["LPT%d" % n for n in range(1, 10)]
)
_ESCAPED = re.compile(r"!([a-z])")
_UPPER = re.compile(r"[A-Z]")
_PATH_VERSION = re.compile(r"(.+)(/v([0-9.]+))\Z", re.DOTALL)
_GOPKG_VERSION = re.compile(r"(.+?)(\.v([0-9]+)(?:-unstable)?)\Z", re.DOTALL)


class Version(NamedTuple):
    """A module version in plain (unescaped) form, as Go's module.Version."""

    path: str
    version: str

    @property
    def label(self) -> str:
        """``path@version``, as people and go commands write it."""
        return label(self.path, self.version)


def label(path: str, version: str) -> str:
    """``path@version``; only the path where there is no version (module.Version.String)."""
    return path + "@" + version if version else path


# --- names on disk -------------------------------------------------------------------------------


def escape(text: str) -> str:
    """The name on disk of a module path or version: every upper-case letter as ``!`` and its lower case.

    Raises ValueError for what Go refuses to escape: a ``!`` or a character outside ASCII (module.escapeString).
    Whether it is a valid path or version at all, :func:`check_path` and :func:`check_version` say.
    """
    if "!" in text or not text.isascii():
        raise ValueError("%r cannot be escaped: a module path or version holds no ! and only ASCII" % text)
    return _UPPER.sub(lambda match: "!" + match.group().lower(), text)


def unescape(text: str) -> str:
    """The module path or version of a name on disk; raises ValueError for what Go refuses.

    Refused are upper-case letters, a ``!`` without a lower-case letter behind it, and characters outside ASCII
    (module.unescapeString).
    """
    plain = _ESCAPED.sub(lambda match: match.group(1).upper(), text)
    if not text.isascii() or _UPPER.search(text) or "!" in plain:
        raise ValueError("%r is not an escaped module path or version" % text)
    return plain


def escape_path(path: str) -> str:
    """:func:`escape` for a path that :func:`check_path` accepts; raises ValueError (module.EscapePath)."""
    check_path(path)
    return escape(path)


def unescape_path(escaped: str) -> str:
    """The module path of a name on disk; raises ValueError (module.UnescapePath)."""
    path = unescape(escaped)
    check_path(path)
    return path


def escape_version(version: str) -> str:
    """:func:`escape` for a version that :func:`check_version` accepts; raises ValueError (module.EscapeVersion)."""
    check_version(version)
    return escape(version)


def unescape_version(escaped: str) -> str:
    """The version of a name on disk; raises ValueError (module.UnescapeVersion)."""
    version = unescape(escaped)
    check_version(version)
    return version


# --- validity ------------------------------------------------------------------------------------


def _check_element(element: str, is_file: bool) -> Optional[str]:
    # module.checkElem: what is wrong with one element, None if nothing
    if element == "":
        return "empty path element"
    if element.count(".") == len(element):
        return "invalid path element %r" % element
    if element[0] == "." and not is_file:
        return "leading dot in path element"
    if element[-1] == ".":
        return "trailing dot in path element"
    if is_file:
        for char in element:
            if char not in _FILE_ASCII and not (ord(char) >= 128 and char.isalpha()):
                return "invalid char %r" % char
    elif not _ELEMENT.match(element):
        return "invalid char in %r" % element
    short = element.split(".", 1)[0]
    if short.upper() in _WINDOWS:
        return "%r disallowed as path element component on Windows" % short
    if is_file:
        return None
    before, tilde, digits = short.rpartition("~")
    if tilde and digits and all(c in "0123456789" for c in digits):
        return "trailing tilde and digits in path element"
    del before
    return None


def check_path(path: str) -> None:
    """Raises ValueError, with the reason, for what is no valid module path (module.CheckPath)."""

    def fail(reason: str) -> ValueError:
        return ValueError("malformed module path %r: %s" % (path, reason))

    if path == "":
        raise fail("empty string")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise fail("invalid UTF-8") from None
    if path[0] == "-":
        raise fail("leading dash")
    if "//" in path:
        raise fail("double slash")
    if path[-1] == "/":
        raise fail("trailing slash")
    elements = path.split("/")
    for element in elements:
        problem = _check_element(element, False)
        if problem is not None:
            raise fail(problem)
    if "." not in elements[0]:
        raise fail("missing dot in first path element")
    if not _FIRST.match(elements[0]):
        raise fail("invalid char in first path element")
    if split_path_version(path) is None:
        raise fail("invalid version")


def check_version(version: str) -> None:
    """Raises ValueError for a version that could not name a file in a module cache (module.EscapeVersion).

    Versions need not be semantic ones here; for that see :func:`is_valid`.
    """
    problem = _check_element(version, True)
    if problem is None and ("!" in version or not version.isascii()):
        problem = "a ! or a character outside ASCII"
    if problem is not None:
        raise ValueError("disallowed version string %r: %s" % (version, problem))


def split_path_version(path: str) -> Optional[Tuple[str, str]]:
    """Prefix and major version of a path: ``("example.com/a", "/v2")``, with ``""`` for v0 and v1.

    None where the path's end breaks the rules (module.SplitPathVersion); gopkg.in's ``.vN`` is known.
    """
    if path.startswith("gopkg.in/"):
        match = _GOPKG_VERSION.match(path)
        if match is None or (match.group(3)[0] == "0" and match.group(2) != ".v0"):
            return None
        return match.group(1), match.group(2)
    match = _PATH_VERSION.match(path)
    if match is None:
        # "x/v" and "v2" alone are ordinary names
        return path, ""
    prefix, major, number = match.groups()
    if "." in number or number[0] == "0" or number == "1":
        return None
    return prefix, major


def check(path: str, version: str) -> None:
    """Raises ValueError unless both are valid and fit, as ``example.com/a/v2`` and v2.x.y do (module.Check)."""
    check_path(path)
    if not is_valid(version):
        raise ValueError("%s: %r is not a semantic version" % (path, version))
    split = split_path_version(path)
    suffix = split[1] if split is not None else ""
    if suffix.startswith(".v") and suffix.endswith("-unstable"):
        suffix = suffix[: -len("-unstable")]
    if version.startswith("v0.0.0-") and suffix == ".v1":
        return
    has = major(version)
    if suffix == "":
        if has in ("v0", "v1") or build(version) == "+incompatible":
            return
        wants = "v0 or v1"
    elif has == suffix[1:]:
        return
    else:
        wants = suffix[1:]
    raise ValueError("%s: version %s should be %s, not %s" % (path, version, wants, has))


# --- semantic versions ---------------------------------------------------------------------------


def _parse(version: str) -> Optional[Tuple[str, str, str, str, str]]:
    match = _SEMVER.match(version)
    if match is None:
        return None
    first, minor, patch, pre, meta = match.groups()
    if pre:
        for part in pre[1:].split("."):
            if len(part) > 1 and part[0] == "0" and all(c in "0123456789" for c in part):
                return None
    return first, minor or "0", patch or "0", pre or "", meta or ""


def is_valid(version: str) -> bool:
    """Whether it is a semantic version with its ``v``; ``v1`` counts as v1.0.0 (semver.IsValid)."""
    return _parse(version) is not None


def canonical(version: str) -> str:
    """``vMAJOR.MINOR.PATCH[-PRE]``, with ``+incompatible`` kept; ``""`` if invalid (module.CanonicalVersion)."""
    parts = _parse(version)
    if parts is None:
        return ""
    text = "v%s.%s.%s%s" % parts[:4]
    return text + parts[4] if parts[4] == "+incompatible" else text


def major(version: str) -> str:
    """``v2`` of ``v2.1.0``; ``""`` if invalid (semver.Major)."""
    parts = _parse(version)
    return "v" + parts[0] if parts is not None else ""


def build(version: str) -> str:
    """``+incompatible`` of ``v2.1.0+incompatible``; ``""`` if none or invalid (semver.Build)."""
    parts = _parse(version)
    return parts[4] if parts is not None else ""


def _number(digits: str) -> Tuple[int, str]:
    return len(digits), digits


def _precedence(version: str) -> Tuple[object, ...]:
    parts = _parse(version)
    if parts is None:
        return (0,)
    identifiers = []
    for part in parts[3][1:].split(".") if parts[3] else ():
        numeric = all(c in "0123456789" for c in part)
        identifiers.append((0, len(part), part) if numeric else (1, 0, part))
    # a version without pre-release comes after all its pre-releases
    return (1, _number(parts[0]), _number(parts[1]), _number(parts[2]), not identifiers, tuple(identifiers))


def compare(one: str, other: str) -> int:
    """-1, 0 or 1 by semantic precedence; an invalid version is less than every valid one (semver.Compare)."""
    a, b = _precedence(one), _precedence(other)
    return -1 if a < b else 1 if a > b else 0


def sort_key(version: str) -> Tuple[object, ...]:
    """A key that sorts versions as Go does: by precedence, then by text (semver.Sort)."""
    return (_precedence(version), version)


def is_pseudo(version: str) -> bool:
    """Whether it is a pseudo-version, as ``v0.0.0-20240102150405-abcdef123456`` (module.IsPseudoVersion)."""
    return version.count("-") >= 2 and is_valid(version) and _PSEUDO.match(version) is not None


# --- versions of Go itself -----------------------------------------------------------------------


def go_version_key(version: str) -> Tuple[object, ...]:
    """A key that sorts Go's own versions, with or without ``go``, as Go does: 1.20 = 1.20.0 < 1.21 < 1.21rc1 < 1.21.0.

    Malformed ones come first, all equal (gover.Compare).
    """
    match = _GO_VERSION.match(version)
    if match is None:
        return (0,)
    first, minor, patch, kind, pre = match.groups()
    if minor is None:
        minor, patch = "0", "0"
    elif patch is None and kind is None and _number(minor) < _number("21"):
        patch = "0"
    return (1, _number(first), _number(minor), _number(patch or ""), kind or "", _number(pre or ""))


def toolchain_parts(version: str) -> Optional[Tuple[str, str]]:
    """``("go1.26.1", "linux-amd64")`` of a version of the module golang.org/toolchain; None if it is none."""
    match = _TOOLCHAIN.match(version)
    return (match.group(1), match.group(2)) if match is not None else None
