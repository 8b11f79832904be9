# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line gofleet-cache as one file that Python runs (zipapp), made from module_utils.

The same sources give the same bytes on every controller: names in order, one time for all, and nothing compressed,
because different builds of zlib pack differently. Without Ansible, this file is a program::

    python3 plugins/plugin_utils/_archive.py gofleet-cache.pyz
"""

from __future__ import annotations

import argparse
import io
import os
import re
import typing as t
import zipfile

PYTHON = "/usr/bin/python3"
#: The package in the archive; a name of its own, because a program's names are no secret of Ansible's.
PACKAGE = "gofleet_cache"
NAME = "gofleet-cache.pyz"
_ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "module_utils")
_FIRST = "_cli/main.py"
# Relative imports only: module_utils knows no other ones of its own.
_IMPORT = re.compile(r"^[ \t]*from[ \t]+(\.+)([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_WORD = re.compile(r"(\w+)(?:\s+as\s+\w+)?")
_MAIN = '''\
# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program gofleet-cache, see https://github.com/gofleet/gofleet.cache."""
import sys

if sys.version_info < (3, 8):
    sys.exit("gofleet-cache: Python 3.8 or later is needed, this is %d.%d (%s)"
             % (sys.version_info[0], sys.version_info[1], sys.executable))

from gofleet_cache._cli.main import main  # noqa: E402

sys.exit(main())
'''
_EMPTY = "\n".join(_MAIN.splitlines()[:3]) + "\n"


def sources(root: str = _ROOT) -> dict[str, str]:
    """The files that the command line needs, by path below *root*: what ``_cli`` imports, and what that imports."""
    found: dict[str, str] = {}
    todo = [_FIRST]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        with open(os.path.join(root, path), encoding="utf-8", newline="") as handle:
            found[path] = handle.read().replace("\r\n", "\n")
        todo.extend(_imported(root, path, found[path]))
        folder = os.path.dirname(path)
        while folder:
            todo.append(folder + "/__init__.py")
            folder = os.path.dirname(folder)
    return found


def _imported(root: str, path: str, text: str) -> t.Iterator[str]:
    for dots, module, names in _IMPORT.findall(text):
        folder = os.path.dirname(path)
        for _level in dots[1:]:
            folder = os.path.dirname(folder)
        base = "/".join(part for part in (folder, *module.split(".")) if part)
        # A name may be a module or something in one.
        for name in [base] + ["%s/%s" % (base, word) if base else word for word in _WORD.findall(names)]:
            for file in (name + ".py", name + "/__init__.py"):
                if os.path.isfile(os.path.join(root, file)):
                    yield file


def build(python: str = PYTHON, root: str = _ROOT) -> bytes:
    """The archive. *python* is the interpreter in its first line, for when it is run by its name.

    Raises ValueError for an interpreter that cannot stand there, OSError where a source cannot be read.
    """
    if not os.path.isabs(python) or any(c.isspace() for c in python) or len(python) > 120:
        raise ValueError("python: %r is not the absolute path of an interpreter, without blanks" % (python,))
    files = {"%s/%s" % (PACKAGE, path): text for path, text in sources(root).items()}
    files["%s/__init__.py" % PACKAGE] = _EMPTY
    files["__main__.py"] = _MAIN
    packed = io.BytesIO()
    # -I: nothing of the caller's environment or folder gets in; -S: and no site-packages, which only cost time.
    packed.write(("#!%s -IS\n" % python).encode("utf-8"))
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            item = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            item.create_system = 3
            item.external_attr = 0o100644 << 16
            archive.writestr(item, files[name].encode("utf-8"))
    return packed.getvalue()


def main(argv: t.Sequence[str] | None = None) -> int:
    """Writes the archive where the first argument says."""
    parser = argparse.ArgumentParser(description="Write the program gofleet-cache as one file.")
    parser.add_argument("output", nargs="?", default=NAME, help="the file to write (default: %(default)s)")
    parser.add_argument("--python", default=PYTHON, help="interpreter in its first line (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        data = build(options.python)
    except ValueError as error:
        parser.error(str(error))
    draft = "%s.%d.new" % (options.output, os.getpid())
    with open(draft, "xb") as handle:
        handle.write(data)
        os.fchmod(handle.fileno(), 0o755)
    os.replace(draft, options.output)
    print("%s: %d bytes" % (options.output, len(data)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
