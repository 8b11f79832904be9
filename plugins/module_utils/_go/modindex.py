# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build cache's index of an extracted module, which must go with the tree that it describes.

Source: cmd/go/internal/modindex/read.go (moduleHash) and cmd/go/internal/cache/hash.go (NewHash). A stale index makes
builds fail after the tree was repaired (golang/go#54651, golang/go#69179).
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from .._fs import dirs

_TOOLCHAIN = re.compile(r"v[\d.]+-(go1[\w.]*?)\.[a-z0-9]+-[a-z0-9]+(?:-|$)")


def entry(version: str, tree: str) -> str:
    """The file, below a build cache's root, of the index that Go *version* (``go1.27.3``) made of *tree*."""
    import hashlib  # slow to load: a survey does without

    total = hashlib.sha256(version.encode())
    total.update(("module index %s go index v2 %s\n" % (version, tree)).encode("utf-8", "surrogateescape"))
    name = total.hexdigest()
    return "%s/%s-a" % (name[:2], name)


def versions(details: Mapping[str, Any]) -> Tuple[str, ...]:
    """The Go versions of a module cache's toolchains: that of ``v0.0.1-go1.24.0.linux-amd64`` is go1.24.0.

    Source: cmd/go/internal/toolchain (the module golang.org/toolchain).
    """
    found = []
    for item in details.get("toolchains", ()):
        match = _TOOLCHAIN.match(str(item["version"]))
        if match:
            found.append(match.group(1))
    return tuple(found)


def drop(build_caches: Sequence[int], versions: Iterable[str], trees: Sequence[str]) -> int:
    """Removes the index entries of *trees* from the opened build caches, and returns how many there were.

    An entry of an index may cost time only, so the floor does not protect it. Errors leave the entry in place.
    """
    found = 0
    for version in versions:
        for tree in trees:
            shard, _slash, name = entry(version, tree).partition("/")
            for cache in build_caches:
                try:
                    fd = dirs.open_dir(shard, cache)
                except OSError:
                    continue
                try:
                    os.unlink(name, dir_fd=fd)
                    found += 1
                except OSError:
                    pass
                finally:
                    os.close(fd)
    return found


def votes(
    build_fds: Sequence[int], go_versions: Iterable[str], names: Iterable[str], trees: Iterable[str]
) -> Dict[str, int]:
    """For each of *trees* the newest modification time (Unix nanoseconds) of its index in the opened build caches.

    *names* are the module cache's names, *trees* paths below it. Every build and every ``go list`` dates the entry
    anew once it is an hour old (cmd/go/internal/cache/cache.go, markUsed): a vote for use, and its absence tells
    nothing. Entries are looked at by stat(2) only, and in no folder that is a symlink; trees without an index are
    left out.
    """
    wanted: Dict[str, List[Tuple[str, str]]] = {}
    versions_, names_ = tuple(go_versions), tuple(names)
    for tree in trees:
        for version in versions_:
            for name in names_:
                shard, _slash, file = entry(version, "%s/%s" % (name, tree)).partition("/")
                wanted.setdefault(shard, []).append((file, tree))
    found: Dict[str, int] = {}
    for cache in build_fds:
        for shard, files in wanted.items():
            try:
                fd = dirs.open_dir(shard, cache)
            except OSError:
                continue
            try:
                for file, tree in files:
                    try:
                        st = os.stat(file, dir_fd=fd, follow_symlinks=False)
                    except OSError:
                        continue
                    if stat.S_ISREG(st.st_mode) and st.st_mtime_ns > found.get(tree, 0):
                        found[tree] = st.st_mtime_ns
            finally:
                os.close(fd)
    return found
