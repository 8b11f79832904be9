# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each command of the program does: one call of the engine, one result, one exit code."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Type

from .._core.units import BadPolicy
from .._host import schema
from . import PROGRAM, document
from .main import DAMAGED, DONE, FAILED, LEFT_OUT, REFUSED, STOPPED
from .stopping import Stop, Stopped

Result = Dict[str, Any]
_REFUSALS = (
    ("_host.find", "BadRequest"),
    ("_host.plans", "NoPlan"),
    ("_core.plan", "BadPlan"),
    ("_host.undo", "NoRun"),
)


class _Answer(NamedTuple):
    """What a command returns: ``result`` with its ``msg``, its lines for people, and the exit code."""

    result: Result
    lines: List[str]
    code: int


def run(options: argparse.Namespace, words: List[str]) -> int:
    """Runs one command, puts what belongs on the standard output into *words*, and returns the exit code."""
    stop = Stop()
    stop.listen(gently=False)  # until the engine begins, there is nothing that would have to end at a safe point
    command: Callable[[argparse.Namespace, Stop], _Answer] = _COMMANDS[options.command]
    try:
        answer = command(options, stop)
    except ValueError as exc:
        if not isinstance(exc, (document.BadFile, BadPolicy, *_refusals())):
            raise
        answer = _refused(options, str(exc))
    except Stopped as exc:
        answer = _Answer(dict(_nothing(options), msg=str(exc), failed=True), [], STOPPED)
    failed = answer.code in (FAILED, REFUSED) or "failed" in answer.result
    result = dict(answer.result, failed=True) if failed else answer.result
    if failed:
        text = str(result["msg"]).encode("ascii", "backslashreplace").decode("ascii")
        sys.stderr.write("%s: %s\n" % (PROGRAM, " ".join(text.split())))
    if options.json:
        words.append(json.dumps(schema.readable(result), sort_keys=True, indent=1) + "\n")
    elif answer.lines:
        words.append("\n".join(answer.lines) + "\n")
    return answer.code


def _refusals() -> Tuple[Type[ValueError], ...]:
    """The errors that rooms raise before they touch anything; a room that is not imported has raised none."""
    base = __name__.rpartition("._cli.")[0]
    found: List[Type[ValueError]] = []
    for room, name in _REFUSALS:
        module = sys.modules.get("%s.%s" % (base, room))
        if module is not None:
            found.append(getattr(module, name))
    return tuple(found)


def _nothing(options: argparse.Namespace) -> Result:
    """The result of a command that did not begin."""
    if options.command in ("plan", "prune"):
        return schema.purge()
    if options.command == "history":
        return dict(schema.empty(), runs=[], policies=[])
    from .._host import survey, undo, verify

    rooms: Dict[str, Callable[[], Result]] = {
        "survey": survey.nothing,
        "verify": verify.nothing,
        "undo": undo.nothing,
    }
    return rooms[options.command]()


def _refused(options: argparse.Namespace, text: str) -> _Answer:
    return _Answer(dict(_nothing(options), msg=text), [], REFUSED)


def _load(options: argparse.Namespace) -> document.Document:
    """The file, with the places of the command line where it names any: then those and no others."""
    found = document.load(options.policy)
    if options.account or options.path or options.search_root or options.no_discover:
        found = found._replace(
            accounts=options.account or [],
            paths=options.path or [],
            search_roots=options.search_root or [],
            discover=bool(options.account) and not options.no_discover,
        )
    return found


def _request(found: document.Document) -> Any:
    from .._host import find

    return find.Request(found.accounts, found.paths, found.search_roots, found.discover)


def _policy_error(found: document.Document, exc: BadPolicy) -> document.BadFile:
    where = "%s: policy" % found.path if found.path else "policy"
    return document.BadFile("%s: %s" % (where, exc))


def _survey(options: argparse.Namespace, stop: Stop) -> _Answer:
    from .._host import survey
    from . import tables
    from .progress import Progress

    request = _request(_load(options))
    with Progress("surveying", wanted=not options.json):
        result = survey.run(request)
    return _Answer(result, tables.survey(result), DONE)


def _plan(options: argparse.Namespace, stop: Stop) -> _Answer:
    if options.check_policy:
        return _check_policy(options)
    return _purge(options, stop, not options.save)


def _prune(options: argparse.Namespace, stop: Stop) -> _Answer:
    # Places of the command line are proven to be caches in any case.
    named = options.account or options.path or options.search_root or options.no_discover
    if options.plan is None and not named:
        answer = _room_everywhere(options)
        if answer is not None:
            return answer
    return _purge(options, stop, options.check)


def _room_everywhere(options: argparse.Namespace) -> Optional[_Answer]:
    """The answer where no file system is below the start mark, so that no cache needs to be looked for; else None."""
    from .._host import gate

    found = _load(options)
    result = gate.answer(found.policy, found.paths)
    return None if result is None else _Answer(result, [result["msg"]], DONE)


def _purge(options: argparse.Namespace, stop: Stop, check: bool) -> _Answer:
    from .._host import purge
    from . import tables
    from .progress import Progress

    found = _load(options)
    request = _request(found)
    stop.listen(gently=not check)
    saves = options.command == "plan" and options.save
    words = "planning" if check or saves else "planning and evicting"
    saved = options.plan if options.command == "prune" else None
    with Progress(words, wanted=not options.json) as progress:
        more: Dict[str, Any] = {"step": progress.step} if progress.on else {}
        try:
            result = purge.run(
                request,
                found.policy,
                purge.Options(check, save=saves, saved=saved, door="cli", stop=stop.asked, **more),
            )
            code = DONE
            text = schema.sentence(result, check)
        except BadPolicy as exc:
            raise _policy_error(found, exc) from None
        except purge.Failed as exc:
            result, code, text = exc.result, FAILED, str(exc)
    if stop and code == DONE:
        result["notes"].append("stopped by %s; the next run does the rest" % stop.name)
        code = STOPPED
    elif code == DONE and not check and not result["evicted_entries"] and _left_out(result):
        code = LEFT_OUT
    result["msg"] = text
    return _Answer(result, tables.purge(result, check or saves, entries=options.command == "plan"), code)


def _left_out(result: Result) -> bool:
    """Whether something was due, and stayed."""
    kept = [reason for cache in result["caches"] for reason in cache.get("left_out", {}) if reason != "gone"]
    return bool(kept) or any("left_alone" in cache for cache in result["caches"])


def _check_policy(options: argparse.Namespace) -> _Answer:
    from .._core import policy as policies
    from .._host import find, purge

    found = _load(options)
    try:
        purge.check_policy(policies.DEFAULT if found.policy is None else found.policy)
    except BadPolicy as exc:
        raise _policy_error(found, exc) from None
    host = find.find(_request(found))
    find.close(host.caches)
    text = "%s makes sense" % (found.path or "the default policy")
    return _Answer(dict(schema.empty(), msg=text), [text], DONE)


def _verify(options: argparse.Namespace, stop: Stop) -> _Answer:
    from .._core import units
    from .._host import verify
    from . import tables
    from .progress import Progress

    limit = units.age(options.time_limit, "--time-limit")
    if limit < 1:
        raise BadPolicy("--time-limit", options.time_limit, "at least one second is needed")
    if not 0 < options.sample <= 100:
        raise BadPolicy("--sample", options.sample, "a percentage above 0 and up to 100 is needed")
    if not 1 <= options.threads <= 16:
        raise BadPolicy("--threads", options.threads, "a number from 1 to 16 is needed")
    if options.check and not options.repair:
        raise BadPolicy("--check", True, "means something with --repair only", "a verification changes nothing")
    request = _request(_load(options))
    stop.listen(gently=options.repair and not options.check)
    code = DONE
    with Progress("verifying", wanted=not options.json):
        bounds = (options.check, float(limit), options.sample, options.seed, options.threads, options.repair)
        try:
            result = verify.run(request, verify.Options(*bounds, stop=stop.asked))
            text = verify.sentence(result, options.check)
        except verify.Failed as exc:
            result, code, text = exc.result, FAILED, str(exc)
    left = result["damaged_total"] - (0 if options.check else result["repaired"])
    if code == DONE and left:
        code = DAMAGED
    if code == DONE and stop:
        code = STOPPED
    result["msg"] = text
    return _Answer(result, tables.verify(result), code)


def _undo(options: argparse.Namespace, stop: Stop) -> _Answer:
    from .._host import undo
    from . import tables
    from .progress import Progress

    request = _request(_load(options))
    stop.listen(gently=not options.check)
    code = DONE
    with Progress("bringing back", wanted=not options.json):
        try:
            result = undo.run(request, options.run, undo.Options(options.check, stop=stop.asked, door="cli"))
            text = undo.sentence(result, options.check)
        except undo.Failed as exc:
            result, code, text = exc.result, FAILED, str(exc)
    if code == DONE and stop:
        code = STOPPED
    elif code == DONE and not options.check and result["caches"] and not result["restored_entries"]:
        code = LEFT_OUT
    result["msg"] = text
    return _Answer(result, tables.undo(result), code)


def _history(options: argparse.Namespace, _stop: Stop) -> _Answer:
    from .._host import record
    from . import tables

    if options.limit < 1:
        raise BadPolicy("--limit", options.limit, "at least 1 is needed")
    result = _nothing(options)
    result.update(record.history(options.limit, result["notes"].append))
    count = len(result["runs"])
    result["msg"] = "%d run%s of this user in the journal" % (count, "" if count == 1 else "s") if count else _NO_RUN
    return _Answer(result, tables.history(result), DONE)


_NO_RUN = "the journal tells of no run by this user"
_COMMANDS: Dict[str, Callable[[argparse.Namespace, Stop], _Answer]] = {
    "survey": _survey,
    "plan": _plan,
    "prune": _prune,
    "verify": _verify,
    "undo": _undo,
    "history": _history,
}
