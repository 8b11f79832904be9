# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that a timer and people give to the command line: the policy, and where to look for caches.

    {"policy": {...}, "accounts": [...], "paths": [...], "search_roots": [...], "discover": true}

``policy`` is the very document of the module cache_prune's option of that name, and the others are that module's
options too. All may be left out. Nothing unknown is ignored.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from .._core.units import BadPolicy

DEFAULT_PATH = "/etc/gofleet-cache/policy.json"
_LISTS = ("accounts", "paths", "search_roots")
_KEYS = ("policy", *_LISTS, "discover")
_LARGEST = 1 << 20


class BadFile(ValueError):
    """A policy file that cannot be used; nothing was touched."""


class Document(NamedTuple):
    """A file's content. ``policy`` is not checked yet, None for the default one; ``path`` is empty without a file."""

    path: str
    policy: Optional[Mapping[str, Any]]
    accounts: List[str]
    paths: List[str]
    search_roots: List[str]
    discover: bool


def default() -> Document:
    """What holds where there is no file: the default policy, for every cache that is found."""
    return Document("", None, [], [], [], True)


def load(path: Optional[str]) -> Document:
    """The document in *path*; None means the usual place, where a missing file is none. Raises BadFile."""
    where = DEFAULT_PATH if path is None else path
    try:
        text = _read(where)
    except FileNotFoundError:
        if path is None:
            return default()
        raise BadFile("%s: there is no such file; name the policy's file with --policy" % where) from None
    except OSError as exc:
        raise BadFile("%s: cannot be read: %s" % (where, os.strerror(exc.errno or 0))) from None
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except BadPolicy as exc:
        raise BadFile("%s: %s" % (where, exc)) from None
    except ValueError as exc:
        raise BadFile("%s: not JSON: %s" % (where, exc)) from None
    except RecursionError:
        raise BadFile("%s: nested too deeply for a policy" % where) from None
    try:
        return parse(data, where)
    except BadPolicy as exc:
        raise BadFile("%s: %s" % (where, exc)) from None


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            raise BadFile("%s: not a file; a policy is a file with JSON in it" % path)
        if st.st_size > _LARGEST:
            raise BadFile("%s: %d bytes are too much for a policy (at most %d)" % (path, st.st_size, _LARGEST))
        # Whoever can write it decides what root evicts.
        if os.geteuid() == 0 and st.st_uid != 0:
            raise BadFile(
                "%s: it belongs to uid %d; root takes a policy only from a file of its own" % (path, st.st_uid)
            )
        if os.geteuid() == 0 and st.st_mode & 0o022:
            raise BadFile(
                "%s: others than its owner may write it (mode %04o); chmod go-w" % (path, st.st_mode & 0o7777)
            )
        data = b""
        while len(data) <= _LARGEST:
            chunk = os.read(fd, _LARGEST)
            if not chunk:
                break
            data += chunk
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise BadFile("%s: not UTF-8 (byte %d)" % (path, exc.start)) from None
    finally:
        os.close(fd)


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadPolicy(name, value, "the same key twice", "keep one of the two")
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    raise BadPolicy("a number", name, "not a number that JSON knows")


def parse(data: object, path: str = "") -> Document:
    """The document in plain data; raises BadPolicy with the key's path. The policy itself is not checked here."""
    if not isinstance(data, dict):
        raise BadPolicy("the document", data, "not an object with keys", "begin with {")
    for name in data:
        if name not in _KEYS:
            import difflib

            from .._core.policy import KEYS

            near = difflib.get_close_matches(str(name), _KEYS, 1)
            if name in KEYS:
                hint = 'a policy stands below the key "policy": {"policy": {"%s": ...}}' % name
            elif near:
                hint = "did you mean %s?" % near[0]
            else:
                hint = "known here: %s" % ", ".join(_KEYS)
            raise BadPolicy(str(name), data[name], "unknown key", hint)
    policy = data.get("policy")
    if policy is not None and not isinstance(policy, dict):
        raise BadPolicy("policy", policy, "not an object with keys")
    discover = data.get("discover", True)
    if not isinstance(discover, bool):
        raise BadPolicy("discover", discover, "not true or false")
    lists = [_texts(data.get(name) or [], name) for name in _LISTS]
    # An empty policy is the default one, as for the module.
    return Document(path, policy or None, lists[0], lists[1], lists[2], discover)


def _texts(value: object, key: str) -> List[str]:
    if not isinstance(value, list):
        raise BadPolicy(key, value, "not a list", "write it as [...]")
    for number, item in enumerate(value):
        if not isinstance(item, str) or not item:
            raise BadPolicy("%s[%d]" % (key, number), item, "not a text, or an empty one")
    return list(value)
