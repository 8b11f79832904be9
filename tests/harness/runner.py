# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the parts of the test command two at a time, keeps their output apart, and says at the end what ran."""

from __future__ import annotations

import functools
import os
import queue
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from . import env
from .tree import remove_tree

#: How a test that lacks something begins its reason for skipping: ``pytest.skip("needs root")``.
WANT_PREFIX = "needs "
#: How much of a passed part's output is shown; all of it is in the log.
TAIL_LINES = 12
#: The same for a failed part.
FAILED_TAIL_LINES = 250

#: Runs a command so that /proc shows it nothing but itself; unshare(1). The shell is there to take leave of orphans:
#: whoever is the first process has to, and pytest does not.
OWN_PROCESSES = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", '"$@"; exit $?', "sh")


@functools.cache
def own_processes() -> tuple[str, ...]:
    """Return the words before a command that give it process numbers of its own; none where that is not allowed."""
    try:
        done = subprocess.run([*OWN_PROCESSES, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return ()
    return () if done.returncode else OWN_PROCESSES


#: Parts that take less than so many seconds are run first.
MOMENT = 20


@dataclass
class Outcome:
    """What a part did: counts of its tests, and what was left out for want of something."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    wants: list[str] = field(default_factory=list)
    seconds: float = 0.0
    ran: bool = True

    def add(self, other: Outcome) -> None:
        """Add another outcome's counts and wants to this one."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.wants += [want for want in other.wants if want not in self.wants]


@dataclass
class Context:
    """What a part is given: the copy of the collection, folders of its own, and a log that takes its output."""

    part: str
    work: Path
    copy: Path
    log: Path
    deadline: float
    stopping: threading.Event
    #: Whether its commands get process numbers of their own, so that the Go tools of another part, or of whoever works
    #: on this machine, are no users of their caches.
    alone: bool = False

    @property
    def root(self) -> Path:
        """The folder that holds ``ansible_collections``."""
        return self.copy.parents[2]

    @property
    def temp(self) -> Path:
        """A folder for this part alone, removed at the end."""
        folder = self.work / f"part-{self.part}"
        folder.mkdir(exist_ok=True)
        return folder

    def say(self, text: str) -> None:
        """Add a line to the part's output."""
        with open(self.log, "a", encoding="utf-8") as handle:
            handle.write(text + "\n")

    def environ(self, venv: Path, home: Path | None = None) -> dict[str, str]:
        """Return the scrubbed environment for a tool of ``venv``; its HOME is this part's own if none is given."""
        environ = env.clean_environ(home or self.temp / "home")
        links = env.BUILD / "pythons"
        environ["PATH"] = os.pathsep.join([str(venv / "bin"), str(links), environ["PATH"]])
        environ["ANSIBLE_COLLECTIONS_PATH"] = str(self.root)
        environ["PYTHONDONTWRITEBYTECODE"] = "1"
        environ["NO_COLOR"] = "1"
        return environ

    def run(
        self, command: Sequence[str | Path], environ: Mapping[str, str], cwd: Path | None = None
    ) -> tuple[int, str]:
        """Run a command in the copy (or ``cwd``), add its output to the log, and return its exit code and output.

        It has a process group of its own, which is ended when the part's time is over or the run is interrupted.
        """
        words = [str(word) for word in command]
        self.say(f"$ {' '.join(words)}")
        if self.alone:
            words = [*own_processes(), *words]
        start = self.log.stat().st_size
        with open(self.log, "ab") as handle:
            child = subprocess.Popen(
                words,
                cwd=cwd or self.copy,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = self._wait(child)
            finally:
                _end_group(child)
        with open(self.log, "rb") as handle:
            handle.seek(start)
            return code, handle.read().decode("utf-8", "replace")

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                return child.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                if self.stopping.is_set():
                    raise RuntimeError("interrupted") from None
                if time.monotonic() > self.deadline:
                    raise RuntimeError("the part's time is over; see `limit` in tests/harness/parts.py") from None

    def check(self, command: Sequence[str | Path], environ: Mapping[str, str], cwd: Path | None = None) -> Outcome:
        """Run a command that is one test: passed if it ends with 0."""
        code, _output = self.run(command, environ, cwd)
        if code:
            self.say(f"FAILED with exit code {code}")
        return Outcome(failed=1) if code else Outcome(passed=1)

    def pytest(
        self,
        python: Path,
        paths: Sequence[str],
        environ: Mapping[str, str],
        arguments: Sequence[str] = (),
    ) -> Outcome:
        """Run pytest on paths of the copy; the counts come from its report. No test at all is a failure."""
        missing = [path for path in paths if not (self.copy / path).exists()]
        if missing:
            self.say(f"FAILED: there are no tests in {', '.join(missing)}")
            return Outcome(failed=1)
        report = self.temp / f"report-{time.monotonic_ns()}.xml"
        command: list[str | Path] = [python, "-m", "pytest", "-p", "no:cacheprovider", "-ra", "-q", "--tb=short"]
        command += ["--durations=20", "--durations-min=2"]
        command += ["--continue-on-collection-errors"]
        command += ["--rootdir", self.copy, f"--basetemp={self.temp / 'pytest'}", f"--junitxml={report}"]
        variables = dict(environ) | {"PYTHONPATH": str(self.root)}
        code, _output = self.run([*command, *arguments, *paths], variables)
        outcome = read_report(report) if report.exists() else Outcome()
        if outcome.passed + outcome.failed + outcome.skipped == 0:
            self.say(f"FAILED: pytest left no report of any test, and ended with exit code {code}")
            return Outcome(failed=1)
        if code and not outcome.failed:
            self.say(f"FAILED: pytest ended with exit code {code}")
            outcome.failed += 1
        return outcome


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End what is left of a child's process group; the group's number is ours until the child is waited for."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def read_report(file: Path) -> Outcome:
    """Read pytest's JUnit report; a skip for want of something becomes a want."""
    outcome = Outcome()
    for case in ElementTree.parse(file).iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed += 1
        elif skip is not None:
            outcome.skipped += 1
            reason = (skip.get("message") or "").strip()
            if reason.startswith(WANT_PREFIX) and reason[len(WANT_PREFIX) :] not in outcome.wants:
                outcome.wants.append(reason[len(WANT_PREFIX) :])
        else:
            outcome.passed += 1
    return outcome


@dataclass(frozen=True)
class Part:
    """One part of the test command."""

    name: str
    about: str
    run: Callable[[Context], Outcome]
    #: Parts that share a resource never run at the same time.
    uses: str = ""
    #: Seconds after which the part is stopped and has failed.
    limit: int = 1800
    #: See Context.alone.
    alone: bool = False
    #: About how many seconds it takes, beside another part on two cores; says when it starts, and nothing else.
    takes: int = 0


class Runner:
    """Runs parts, ``jobs`` at a time, and prints each one's output when it has ended.

    Those that take a moment come first, in their order; then the longest, so that none is left to run alone at the end.
    """

    def __init__(self, parts: Sequence[Part], work: Path, copy: Path, jobs: int, keep: bool = False) -> None:
        self.parts = list(parts)
        self.work = work
        self.copy = copy
        self.jobs = jobs
        self.keep = keep
        self.outcomes: dict[str, Outcome] = {}
        self.stopping = threading.Event()
        self._waiting = sorted(
            parts, key=lambda part: (part.takes >= MOMENT, -part.takes if part.takes >= MOMENT else 0)
        )
        self._busy: set[str] = set()
        self._change = threading.Condition()
        self._ended: queue.Queue[tuple[Part, Outcome, Path] | None] = queue.Queue()

    def run(self) -> dict[str, Outcome]:
        """Run all parts and return their outcomes, in the parts' order."""
        workers = [threading.Thread(target=self._work) for _number in range(max(1, min(self.jobs, len(self.parts))))]
        for worker in workers:
            worker.start()
        try:
            for number in range(len(self.parts)):
                item = self._ended.get()
                if item is None:
                    break
                self._show(number + 1, *item)
        except KeyboardInterrupt:
            print("\nInterrupted: ending what is running ...", flush=True)
            raise
        finally:
            self.stopping.set()
            for worker in workers:
                worker.join()
        return {part.name: self.outcomes[part.name] for part in self.parts}

    def _work(self) -> None:
        while True:
            with self._change:
                part = self._next()
                while part is None and self._waiting and not self.stopping.is_set():
                    self._change.wait(timeout=1)
                    part = self._next()
                if part is None or self.stopping.is_set():
                    return
                self._waiting.remove(part)
                self._busy.add(part.uses)
            log = env.BUILD / "logs" / f"{part.name}.log"
            outcome = self._run_part(part, log)
            with self._change:
                self._busy.discard(part.uses)
                self._change.notify_all()
            self.outcomes[part.name] = outcome
            self._ended.put((part, outcome, log))

    def _next(self) -> Part | None:
        return next((part for part in self._waiting if not part.uses or part.uses not in self._busy), None)

    def _run_part(self, part: Part, log: Path) -> Outcome:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("", encoding="utf-8")
        begin = time.monotonic()
        context = Context(part.name, self.work, self.copy, log, begin + part.limit, self.stopping, part.alone)
        try:
            outcome = part.run(context)
            if outcome.passed + outcome.failed + outcome.skipped == 0:
                context.say("FAILED: the part ran no test")
                outcome = Outcome(failed=1)
        except env.WantError as exc:
            context.say(f"left out for want of {exc}")
            outcome = Outcome(wants=[str(exc)], ran=False)
        except Exception as exc:  # the other parts shall still run, and the table be printed
            context.say(f"FAILED: {exc}" if isinstance(exc, RuntimeError) else traceback.format_exc())
            outcome = Outcome(failed=1)
        if not (self.keep and outcome.failed):
            remove_tree(context.temp)  # now, while other parts run: it may hold tens of thousands of files
        outcome.seconds = time.monotonic() - begin
        return outcome

    def _show(self, number: int, part: Part, outcome: Outcome, log: Path) -> None:
        word = "FAILED" if outcome.failed else "passed" if outcome.ran else "left out"
        print(f"\n=== [{number}/{len(self.parts)}] {part.name}: {word} after {outcome.seconds:.0f} s ===")
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        limit = FAILED_TAIL_LINES if outcome.failed else TAIL_LINES
        if len(lines) > limit:
            print(f"[{len(lines) - limit} lines more in {log.relative_to(env.ROOT)}]")
            lines = lines[-limit:]
        print("\n".join(lines), flush=True)


def report(outcomes: Mapping[str, Outcome], strict: bool, seconds: float) -> int:
    """Print the table and, as the last line, the sums; return the exit code.

    With ``strict``, a part or a test that was left out for want of something counts as failed.
    """
    width = max([len(name) for name in outcomes] + [4])
    print(f"\n{'part':{width}}  {'result':8}  {'seconds':>7}  {'passed':>6}  {'failed':>6}  {'skipped':>7}")
    total = Outcome()
    for name, outcome in outcomes.items():
        word = "FAILED" if outcome.failed else "passed" if outcome.ran else "left out"
        counts = f"{outcome.passed:6}  {outcome.failed:6}  {outcome.skipped:7}"
        print(f"{name:{width}}  {word:8}  {outcome.seconds:7.0f}  {counts}")
        total.add(outcome)
    left_out = {name: outcome for name, outcome in outcomes.items() if outcome.wants}
    if left_out:
        print("\nLeft out:")
        for name, outcome in left_out.items():
            what = "some of its tests" if outcome.ran else "all of it"
            print(f"  {name} ({what}), for want of: {'; '.join(outcome.wants)}")
    else:
        print("\nNothing was left out.")
    if strict and left_out:
        print("Strict, as with CI=true: what is left out counts as failed.")
        total.failed += len(left_out)
    logs = (env.BUILD / "logs").relative_to(env.ROOT)
    print(f"{len(outcomes)} parts in {seconds:.0f} s; their whole output is in {logs}/")
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"{total.passed} passed, {total.failed} failed{skipped}", flush=True)
    return 1 if total.failed or not total.passed else 0
