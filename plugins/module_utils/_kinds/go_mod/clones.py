# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones of repositories (``cache/vcs``): which are Go's, and under which name a policy knows them.

Source: cmd/go/internal/modfetch/codehost/codehost.go (WorkDir), git.go and vcs.go. ``WorkDir`` names the folder by the
SHA-256 of ``<kind>:<address>``, keeps that text in ``<name>.info`` and makes a clone anew where either is missing.
"""

from __future__ import annotations

import re
from typing import Collection, Optional, Tuple

from ..._core.document import read_json
from ..._go import modpath

#: What stands for the version in a clone's label.
VERSION = "vcs"
_NAME = re.compile(r"[0-9a-f]{64}\Z")
_LEFTOVER = re.compile(r"[0-9a-f]{64}\.tmp-\d+\Z")
# gitWorkDirType is git and a number, vcsWorkDirType is vcs, a number, a dot and the program's name.
_INFO = re.compile(r"(?:(git|hg|svn|bzr|fossil)\d*|vcs\d*\.([a-z]+)):([^\s]+)\Z")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/]*@)?([^/:@]+)(?::\d+)?/(.+)\Z")
_SCP = re.compile(r"(?:[^/:@]+@)?([^/:@]+):([^/:].*)\Z")  # user@host:path, as git has it
_SUFFIX = re.compile(r"\.(?:git|hg|svn|bzr|fossil)\Z")


def parse_info(text: str) -> Optional[Tuple[str, str]]:
    """The program and the address of a clone from what is in its ``.info``; None if Go never wrote that."""
    match = _INFO.match(text)
    return (match.group(1) or match.group(2), match.group(3)) if match is not None else None


def is_gos(name: str, text: str) -> bool:
    """Whether a folder of this name is the clone that its ``.info`` tells of."""
    if _NAME.match(name) is None or parse_info(text) is None:
        return False
    import hashlib  # slow to load: most surveys do without

    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() == name


def is_leftover(name: str) -> bool:
    """Whether a folder below cache/vcs is a clone that an eviction had set aside."""
    return _LEFTOVER.match(name) is not None


def path_of(address: str) -> str:
    """The address of a repository as a module path: ``git.example.com/team/repo``; '' where it is none.

    Scheme, user, port and the suffix ``.git`` are left out.
    """
    match = _URL.match(address) or _SCP.match(address)
    if match is None:
        return ""
    path = "%s/%s" % (match.group(1).lower(), _SUFFIX.sub("", match.group(2).strip("/")))
    try:
        modpath.check_path(path)
    except ValueError:
        return ""
    return path


def label_of(program: str, address: str, modules: Collection[str]) -> str:
    """The label that name patterns are matched against, as ``git.example.com/team/repo@vcs``; '' where none fits.

    *modules* are the paths of the modules that are known to come from *address*: where they lie elsewhere (a vanity
    path), the clone goes by the one path that is theirs, so that what protects the module protects its clone.
    """
    own = path_of(address)
    if own:
        for path in (own, "%s.%s" % (own, program)):
            if all(module == path or module.startswith(path + "/") for module in modules):
                return modpath.label(path, VERSION)
    return modpath.label(next(iter(modules)), VERSION) if len(modules) == 1 else ""


def origin(data: bytes) -> str:
    """The repository's address in a version's ``.info`` (codehost.Origin); '' where it names none."""
    try:
        found = read_json(data)["Origin"]["URL"]
    except (ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""
