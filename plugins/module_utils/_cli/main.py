# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program gofleet-cache: its arguments, and what every command shares (output, exit code, signals)."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Callable, Dict, List, NoReturn, Optional, Sequence, Tuple

from . import PROGRAM, VERSION

DONE = 0
FAILED = 1
REFUSED = 2
LEFT_OUT = 3
DAMAGED = 4
STOPPED = 5

_EPILOG = """\
exit codes:
  0  done, or nothing to do
  1  failed half-way; what had been done by then is printed
  2  the command line, the policy or a place makes no sense; nothing was touched
  3  all that was due was left out: another cleaner is at work, or it is in use
  4  verify: something is damaged (and not repaired)
  5  stopped by a signal; what had been done by then is printed, the next run does the rest

The file (JSON) holds the policy of the Ansible module gofleet.cache.cache_prune, and where to look:
  {"policy": {"max_age": "14d"}, "accounts": [], "paths": [], "search_roots": [], "discover": true}
All keys may be left out. Without the file, or with an empty policy, the default policy holds: act only below 15 % free
space or 10 % free inodes. As root the caches of all accounts are meant, else one's own.
"""


_widths: List[int] = []


def _width() -> int:
    """The columns of the terminal, as shutil.get_terminal_size tells them."""
    if not _widths:
        given = os.environ.get("COLUMNS", "")
        columns = int(given) if given.isdecimal() else 0
        if not columns:
            try:
                columns = os.get_terminal_size(1).columns
            except OSError:
                pass
        _widths.append(columns or 80)
    return _widths[0]


class _Help(argparse.RawDescriptionHelpFormatter):
    """argparse makes one for each argument; without a width it loads a module each time that is slow to load."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width() - 2)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, "%s: %s; see %s --help\n" % (self.prog, message, self.prog))


def parser(only: str = "") -> argparse.ArgumentParser:
    """The arguments of the program: of all commands, or of the one that is named *only*."""
    about = "Looks at, cleans and verifies the Go caches of this machine, without breaking a running build."
    top = _Parser(prog=PROGRAM, description=about, epilog=_EPILOG, formatter_class=_Help, allow_abbrev=False)
    top.add_argument("--version", action="version", version="%s %s" % (PROGRAM, VERSION))
    # Given a name, argparse need not format a usage to find it.
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, prog=PROGRAM)
    for name in [only] if only in _COMMANDS else _COMMANDS:
        about, own = _COMMANDS[name]
        made: argparse.ArgumentParser = commands.add_parser(
            name, help=about, description=about, epilog=_EPILOG, formatter_class=_Help, allow_abbrev=False
        )
        made.add_argument("--json", action="store_true", help="print the result as JSON, with the modules' keys")
        if name != "history":
            _places(made)
        own(made)
    return top


def _places(made: argparse.ArgumentParser) -> None:
    text = "file with the policy and the places (default: /etc/gofleet-cache/policy.json if it is there)"
    made.add_argument("--policy", metavar="FILE", help=text)
    group = made.add_argument_group("places", "with any of these, these places and no others: not those of the file")
    group.add_argument("--account", action="append", metavar="NAME", help="an account whose caches are meant")
    group.add_argument("--path", action="append", metavar="DIR", help="a cache, by its absolute path")
    group.add_argument("--search-root", action="append", metavar="DIR", help="look for caches below it")
    group.add_argument("--no-discover", action="store_true", help="no other places than these")


def _survey(_made: argparse.ArgumentParser) -> None:
    pass


def _plan(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("--save", action="store_true", help="keep the plan on this machine for 30 days, for prune --plan")
    plan.add_argument("--check-policy", action="store_true", help="only check the file; look at no cache")


def _prune(prune: argparse.ArgumentParser) -> None:
    prune.add_argument("--check", action="store_true", help="only say what would be evicted")
    prune.add_argument("--plan", metavar="DIGEST", help="carry out a plan that was saved, and no other")


def _verify(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("--repair", action="store_true", help="evict what is damaged, and nothing else")
    verify.add_argument("--check", action="store_true", help="with --repair: only say what would be evicted")
    verify.add_argument("--time-limit", default="10m", metavar="TIME", help="such as 90s or 1h (default: 10m)")
    text = "percentage of the entries whose content is read (default: 100)"
    verify.add_argument("--sample", type=float, default=100.0, metavar="PERCENT", help=text)
    verify.add_argument("--seed", default="", metavar="TEXT", help="another seed, another sample")
    verify.add_argument("--threads", type=int, default=2, metavar="N", help="files read at a time (default: 2)")


def _undo(undo: argparse.ArgumentParser) -> None:
    undo.add_argument("run", metavar="RUN", help="the name that prune printed for it, or latest")
    undo.add_argument("--check", action="store_true", help="only say what would be brought back")


def _history(history: argparse.ArgumentParser) -> None:
    history.add_argument("--limit", type=int, default=20, metavar="N", help="how many runs (default: 20)")


_COMMANDS: Dict[str, Tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "survey": ("say what is in the caches; changes nothing", _survey),
    "plan": ("say what a purge would evict; changes nothing", _plan),
    "prune": ("evict what the policy does not keep", _prune),
    "verify": ("verify the caches' integrity, without Go and without network", _verify),
    "undo": ("bring back what a run put into quarantine", _undo),
    "history": ("say what earlier runs did", _history),
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the program with *argv* (sys.argv without its first word) and returns the exit code."""
    try:
        words = list(sys.argv[1:] if argv is None else argv)
        options = parser(words[0] if words else "").parse_args(words)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else REFUSED
    from . import commands

    # So that the names of modules and paths never decide whether a result can be printed.
    answer: List[str] = []
    try:
        code = commands.run(options, answer)
        sys.stdout.write("".join(answer))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output went away; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code
