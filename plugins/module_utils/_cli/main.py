# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program gofleet-cache: its arguments, and what every command shares (output, exit code, signals)."""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, NoReturn, Optional, Sequence

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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, "%s: %s; see %s --help\n" % (self.prog, message, self.prog))


def parser() -> argparse.ArgumentParser:
    """All arguments of the program."""
    raw = argparse.RawDescriptionHelpFormatter
    about = "Looks at, cleans and verifies the Go caches of this machine, without breaking a running build."
    top = _Parser(prog=PROGRAM, description=about, epilog=_EPILOG, formatter_class=raw, allow_abbrev=False)
    top.add_argument("--version", action="version", version="%s %s" % (PROGRAM, VERSION))
    # Given a name, argparse need not format a usage to find it.
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, prog=PROGRAM)

    def command(name: str, about: str, finding: bool = True) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(
            name, help=about, description=about, epilog=_EPILOG, formatter_class=raw, allow_abbrev=False
        )
        made.add_argument("--json", action="store_true", help="print the result as JSON, with the modules' keys")
        if finding:
            text = "file with the policy and the places (default: /etc/gofleet-cache/policy.json if it is there)"
            made.add_argument("--policy", metavar="FILE", help=text)
            group = made.add_argument_group(
                "places", "with any of these, these places and no others: not those of the file"
            )
            group.add_argument("--account", action="append", metavar="NAME", help="an account whose caches are meant")
            group.add_argument("--path", action="append", metavar="DIR", help="a cache, by its absolute path")
            group.add_argument("--search-root", action="append", metavar="DIR", help="look for caches below it")
            group.add_argument("--no-discover", action="store_true", help="no other places than these")
        return made

    command("survey", "say what is in the caches; changes nothing")
    plan = command("plan", "say what a purge would evict; changes nothing")
    plan.add_argument("--save", action="store_true", help="keep the plan on this machine for 30 days, for prune --plan")
    plan.add_argument("--check-policy", action="store_true", help="only check the file; look at no cache")
    prune = command("prune", "evict what the policy does not keep")
    prune.add_argument("--check", action="store_true", help="only say what would be evicted")
    prune.add_argument("--plan", metavar="DIGEST", help="carry out a plan that was saved, and no other")
    verify = command("verify", "verify the caches' integrity, without Go and without network")
    verify.add_argument("--repair", action="store_true", help="evict what is damaged, and nothing else")
    verify.add_argument("--check", action="store_true", help="with --repair: only say what would be evicted")
    verify.add_argument("--time-limit", default="10m", metavar="TIME", help="such as 90s or 1h (default: 10m)")
    text = "percentage of the entries whose content is read (default: 100)"
    verify.add_argument("--sample", type=float, default=100.0, metavar="PERCENT", help=text)
    verify.add_argument("--seed", default="", metavar="TEXT", help="another seed, another sample")
    verify.add_argument("--threads", type=int, default=2, metavar="N", help="files read at a time (default: 2)")
    undo = command("undo", "bring back what a run put into quarantine")
    undo.add_argument("run", metavar="RUN", help="the name that prune printed for it, or latest")
    undo.add_argument("--check", action="store_true", help="only say what would be brought back")
    history = command("history", "say what earlier runs did", finding=False)
    history.add_argument("--limit", type=int, default=20, metavar="N", help="how many runs (default: 20)")
    return top


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the program with *argv* (sys.argv without its first word) and returns the exit code."""
    try:
        options = parser().parse_args(argv)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else REFUSED
    from . import commands

    # So that the names of modules and paths never decide whether a result can be printed.
    words: List[str] = []
    try:
        code = commands.run(options, words)
        sys.stdout.write("".join(words))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output went away; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code
