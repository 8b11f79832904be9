# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go caches without Go: ``go_caches.py make TOP`` fills them, ``go_caches.py photograph TOP`` prints their looks.

TOP/go-build holds 10 actions with their outputs, last used 20 days ago, and 5 used now; TOP/mod holds three module
versions, one of them private, each with tree, zip and sums. Formats: cmd/go/internal/cache/cache.go (putIndexEntry,
fileName), cmd/go/internal/modfetch (cache.go, fetch.go), golang.org/x/mod/sumdb/dirhash (Hash1).
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
import sys
import time
import zipfile

README = """\
This directory holds cached build artifacts from the Go build system.
Run "go clean -cache" if the directory is getting too large.
Run "go clean -fuzzcache" to delete the fuzz cache.
See go.dev to learn more about Go.
"""
MODULES = (
    ("example.com/lib", "v1.0.0"),
    ("example.com/lib", "v1.1.0"),
    ("git.corp.example/secret", "v0.1.0"),
)
OLD, YOUNG = 10, 5


def write(path, data, age=0.0):
    """A file with this content, last used and changed *age* seconds ago."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as handle:
        handle.write(data)
    if age:
        os.utime(path, (time.time() - age, time.time() - age))


def make_build(top):
    """A build cache with OLD entries of 20 days ago and YOUNG ones of now."""
    write(top + "/README", README.encode())
    write(top + "/trim.txt", b"%d" % (time.time() - 3600))
    for shard in range(256):
        os.makedirs("%s/%02x" % (top, shard), exist_ok=True)
    for number in range(OLD + YOUNG):
        age = 20 * 86400.0 if number < OLD else 0.0
        data = b"output %d " % number + b"x" * 9000
        output = hashlib.sha256(data).hexdigest()
        action = hashlib.sha256(b"action %d" % number).hexdigest()
        line = "v1 %s %s %20d %20d\n" % (action, output, len(data), (time.time() - age) * 1e9)
        write("%s/%s/%s-d" % (top, output[:2], output), data, age)
        write("%s/%s/%s-a" % (top, action[:2], action), line.encode(), age)


def make_mod(top):
    """A module cache with MODULES, downloaded and extracted."""
    write(top + "/cache/lock", b"")
    for path, version in MODULES:
        files = {
            "go.mod": ("module %s\n\ngo 1.21\n" % path).encode(),
            "lib.go": b"package lib\n\n" + b"// a comment\n" * 500,
        }
        names = {"%s@%s/%s" % (path, version, name): data for name, data in files.items()}
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(names):
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), names[name])
        listing = "".join("%s  %s\n" % (hashlib.sha256(names[n]).hexdigest(), n) for n in sorted(names))
        h1 = "h1:" + base64.b64encode(hashlib.sha256(listing.encode()).digest()).decode()
        base = "%s/cache/download/%s/@v/" % (top, path)
        write(base + version + ".info", ('{"Version":"%s"}' % version).encode())
        write(base + version + ".mod", files["go.mod"])
        write(base + version + ".zip", stream.getvalue())
        write(base + version + ".ziphash", h1.encode())
        write(base + version + ".lock", b"")
        with open(base + "list", "ab") as handle:
            handle.write(version.encode() + b"\n")
        tree = "%s/%s@%s" % (top, path, version)
        for name, data in files.items():
            write("%s/%s" % (tree, name), data)
            os.chmod("%s/%s" % (tree, name), 0o444)
        os.chmod(tree, 0o555)


def photograph(top):
    """One line for each thing below *top*: all that a look must not change, access times of files included."""
    lines = []
    for folder, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            atime = st.st_atime_ns if stat.S_ISREG(st.st_mode) else 0
            facts = (st.st_mode, st.st_ino, st.st_size, st.st_mtime_ns, atime)
            lines.append("%s %s" % (os.path.relpath(path, top), " ".join(map(str, facts))))
    return sorted(lines)


def main():
    """Read the command line."""
    job, top = sys.argv[1:]
    if job == "make":
        make_build(top + "/go-build")
        make_mod(top + "/mod")
    elif job == "photograph":
        sys.stdout.write("\n".join(photograph(top)) + "\n")
    else:
        sys.exit("go_caches.py: unknown job %r" % job)


if __name__ == "__main__":
    main()
