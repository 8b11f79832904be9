# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program behind the Makefile; ``make help`` lists what it does."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import env, hosts, parts, runner, tree


def test(arguments: argparse.Namespace) -> int:
    """Run the parts of the test command."""
    begin = time.monotonic()
    chosen = parts.wanted([name for text in arguments.parts for name in text.replace(",", " ").split()])
    strict = arguments.strict or os.environ.get("CI", "").lower() in ("1", "true")
    # What everything needs is made first, and alone.
    venv = env.ensure_venv()
    env.python_links()
    print(f"{len(chosen)} parts, {arguments.jobs} at a time; {venv.name}; Pythons: ", end="")
    print(", ".join(f"{v[0]}.{v[1]}" for v in env.pythons()), flush=True)
    with tree.work_folder() as work:
        copy = tree.copy_collection(work)
        outcomes = runner.Runner(chosen, work, copy, arguments.jobs, arguments.keep).run()
        if arguments.keep and any(outcome.failed for outcome in outcomes.values()):
            kept = work.with_name(work.name + "-kept")
            work.rename(kept)
            print(f"\nThe work folder is kept: {kept}")
    return runner.report(outcomes, strict, time.monotonic() - begin)


def demo(arguments: argparse.Namespace) -> int:
    """Run the demonstration with a scrubbed environment, in the main virtual environment."""
    venv = env.ensure_venv()
    environ = env.clean_environ(env.BUILD / "home")
    environ["PATH"] = os.pathsep.join([str(venv / "bin"), environ["PATH"]])
    environ["GOFLEET_TEST_GO"] = str(env.ensure_go())
    program = str(env.ROOT / "tests" / "demo" / "run.py")
    python = str(venv / "bin" / "python")
    sys.stdout.flush()
    os.chdir(env.ROOT)
    os.execve(python, [python, program, *arguments.rest], environ)


def prove(arguments: argparse.Namespace) -> int:
    """Run the proofs of tests/prove on a copy of the collection; what they need for long is kept in .build/prove."""
    python = env.ensure_venv() / "bin" / "python"
    with tree.work_folder() as work:
        copy = tree.copy_collection(work)
        environ = env.clean_environ(work / "home") | env.go_test_environ()
        environ |= {"PYTHONPATH": str(work), "GOFLEET_PROVE_KEEP": str(env.BUILD), "TMPDIR": str(work)}
        rest = [word for word in arguments.rest if word != "--"]
        command = [python, "-B", copy / "tests" / "prove" / "run.py", *rest]
        return subprocess.run(command, env=environ, cwd=work, check=False).returncode


def fleet(arguments: argparse.Namespace) -> int:
    """Start hosts with systemd and keep them until Enter is pressed."""
    with tree.work_folder() as work, hosts.fleet(arguments.count, work, env.ensure_go().parents[1]) as running:
        print(f"The inventory is {running.inventory}; press Enter to remove the hosts.", flush=True)
        sys.stdin.readline()
    return 0


def lock(_arguments: argparse.Namespace) -> int:
    """Make the lock files anew from the .in files beside them, with the newest versions that fit."""
    for source in sorted(env.LOCKS.glob("*.in")):
        if source.stem == "tools":
            continue
        oldest = {"target": "3.8", "core-2.21": "3.12"}.get(source.stem, "3.11")
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--upgrade", "--generate-hashes", "--no-header"]
        command += ["--no-annotate", "--python-version", oldest, str(source), "-o", str(source.with_suffix(".txt"))]
        print(" ".join(command), flush=True)
        code = os.spawnvp(os.P_WAIT, command[0], command)
        if code:
            print("It needs the program uv: pip install uv", file=sys.stderr)
            return code
    return 0


def list_parts(_arguments: argparse.Namespace) -> int:
    """List the parts of the test command."""
    for part in parts.PARTS:
        print(f"  {part.name:16} {part.about}")
    return 0


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Read the command line and run what it names."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("test", help=test.__doc__)
    command.add_argument("parts", nargs="*", help="names of parts; without any, all")
    command.add_argument("--strict", action="store_true", help="what is left out counts as failed, as with CI=true")
    command.add_argument("--keep", action="store_true", help="keep the work folder of a run that failed")
    command.add_argument(
        "--jobs", type=int, default=parts.default_jobs(), help="parts at a time (default: %(default)s)"
    )
    command.set_defaults(run=test)
    command = commands.add_parser("demo", help=demo.__doc__)
    command.add_argument("rest", nargs=argparse.REMAINDER, help="given to tests/demo/run.py")
    command.set_defaults(run=demo)
    command = commands.add_parser("prove", help=prove.__doc__)
    command.add_argument("rest", nargs=argparse.REMAINDER, help="given to tests/prove/run.py")
    command.set_defaults(run=prove)
    command = commands.add_parser("hosts", help=fleet.__doc__)
    command.add_argument("count", nargs="?", type=int, default=3)
    command.set_defaults(run=fleet)
    commands.add_parser("lock", help=lock.__doc__).set_defaults(run=lock)
    commands.add_parser("parts", help=list_parts.__doc__).set_defaults(run=list_parts)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminate)
    os.umask(0o022)
    try:
        return int(arguments.run(arguments))
    except env.WantError as exc:
        print(f"This machine lacks: {exc}", file=sys.stderr)
    except RuntimeError as exc:
        print(exc, file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
