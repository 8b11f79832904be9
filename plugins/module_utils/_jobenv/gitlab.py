# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``environment`` of each ``[[runners]]`` in GitLab Runner's ``config.toml``, for jobs of every executor.

The runner puts these variables in front of those that GitLab sends with a job, and the last one of a name counts
(gitlab-runner common/build.go GetAllVariables, common/spec/variables.go value): whatever ``.gitlab-ci.yml``, the
project, its groups or the instance set wins. Values are expanded once with Go's os.Expand, so ``$$`` stands for a
``$``. An item without ``=`` is left out (common/config.go parseVariable). The runner looks at its file every three
seconds (common/consts.go ReloadConfigInterval) and takes the new one for the next job.

No sentence of this file quotes the document: it holds tokens.
"""

from __future__ import annotations

import collections
import functools
import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from .. import _agents
from .._agents import _toml
from .._agents import gitlab as agents
from . import base, runners

_WHERE = {
    "shell": "host",
    "docker": "container",
    "docker-windows": "container",
    "docker+machine": "container",
    "docker-autoscaler": "container",
    "docker-ssh": "container",
    "docker-ssh+machine": "container",
    "kubernetes": "container",
    "ssh": "elsewhere",
    "instance": "elsewhere",
    "parallels": "elsewhere",
    "virtualbox": "elsewhere",
}
_KEY = "environment"
# os.Expand (os/env.go getShellName): what stands for a variable after a "$"; a "$" in front of anything else stays.
_REFERENCE = re.compile(r"\$(?:[A-Za-z0-9_{*#@!?-]|(\$))", re.ASCII)


#: Runners of one file; whoever has more has another reason for it than jobs.
MAX_RUNNERS = 500


class _Document(NamedTuple):
    """A parsed text. Nobody may change it: it is kept for whoever asks for the same bytes again."""

    mark: str
    text: str
    layout: _toml.Layout
    rows: List[_toml.Table]


@functools.lru_cache(maxsize=2)
def _parse(data: bytes) -> _Document:
    # Each runner of a file is a place of its own, and asks for the whole file several times.
    text = runners.decode(data)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    document = _document(text[len(mark) :], mark)
    if len(document.rows) > MAX_RUNNERS:
        raise base.BadPlace(
            "it has %d runners, and more than %d are not looked at; split the file" % (len(document.rows), MAX_RUNNERS)
        )
    return document


def _document(text: str, mark: str = "") -> _Document:
    try:
        layout = _toml.Layout(text)
    except _toml.TomlError as exc:
        raise base.BadPlace("not understood as TOML: %s; correct it by hand" % exc) from None
    return _Document(mark, text, layout, _toml.rows(layout.top.get("runners")))


_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*runners[ \t]*\]\]", re.M)


def _chunk(document: _Document, row: _toml.Table) -> _toml.Span:
    """From the runner's header to the next one's, where that is a document of its own with the same runner in it; else
    the whole text."""
    whole = _toml.Span(0, len(document.text))
    spans = document.layout.values(row)
    if not spans or document.layout.last_line(row) is None:
        return whole
    first = min(span.start for span in spans)
    start, end = -1, len(document.text)
    for found in _HEADER.finditer(document.text):
        if found.start() >= first:
            end = found.start()
            break
        start = found.start()
    if start < 0:
        return whole
    try:
        rows = _document(document.text[start:end]).rows
    except base.BadPlace:
        return whole  # what looks like a header stands in a text of several lines
    return _toml.Span(start, end) if [repr(one) for one in rows] == [repr(row)] else whole


def _parts(rows: List[_toml.Table]) -> List[str]:
    """What the runners are called here: by name, and where one is not alone with it by its number too."""
    names = [_toml.text(row.get("name")) for row in rows]
    numbers = [row.get("id") for row in rows]
    alone = collections.Counter(names)
    same = collections.Counter((name, repr(number)) for name, number in zip(names, numbers))
    found: Dict[str, None] = {}
    for i, (name, number) in enumerate(zip(names, numbers)):
        part = name or "runner"
        if not name or alone[name] > 1:
            if isinstance(number, int) and number > 0 and same[name, repr(number)] == 1:
                part = "%s (id %d)" % (part, number)
            else:
                part = "%s (number %d)" % (part, i + 1)
        while part in found:
            part += " (number %d)" % (i + 1)
        found[part] = None
    return list(found)


def _row(document: _Document, part: str) -> _toml.Table:
    parts = _parts(document.rows)
    if part not in parts:
        raise base.BadPlace(
            "no runner is called %r; there are %s" % (part, ", ".join(map(repr, parts)) or "no runners at all")
        )
    return document.rows[parts.index(part)]


def _items(row: _toml.Table, part: str) -> List[str]:
    array = row.get(_KEY, [])
    if not isinstance(array, list) or not all(isinstance(item, str) for item in array):
        raise base.BadPlace(
            "runner %s: environment is not an array of strings, so the runner refuses the file; write it as "
            'environment = ["NAME=value"]' % part
        )
    return _toml.texts(array)


def literal(value: str) -> str:
    """The value as it has to stand there so that jobs get it as it is."""
    return value.replace("$", "$$")


def _refers(value: str) -> bool:
    return any(found.group(1) is None for found in _REFERENCE.finditer(value))


def seen(value: str) -> str:
    """What jobs get for a value that stands there; one that refers to variables of a job stays as it is."""
    return value if _refers(value) else value.replace("$$", "$")


def _there(value: Optional[str], wanted: Optional[str]) -> bool:
    """Whether what stands there gives jobs what is wanted (None: nothing)."""
    if value is None or wanted is None:
        return value is wanted
    # A reference may look like the wanted value, and be another one in each job.
    return not _refers(value) and seen(value) == wanted


def _given(items: List[str]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for item in items:
        name, sign, value = item.partition("=")
        if name and sign:
            found[name] = value
    return found


def read(data: bytes, part: str) -> Dict[str, str]:
    """The variables that the runner called *part* gives its jobs. BadPlace."""
    return {name: seen(value) for name, value in _given(_items(_row(_parse(data), part), part)).items()}


def _quoted(name: str, value: str) -> str:
    text = "%s=%s" % (name, literal(value))
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


def edit(data: Optional[bytes], part: str, changes: Mapping[str, Optional[str]]) -> Optional[bytes]:
    """The document with the changes in the array of the runner called *part*; every other byte stays. BadPlace."""
    runners.check(changes, "runner %s" % part)
    if data is None:
        raise base.BadPlace("there is no config.toml; register the runner first")
    before = _parse(data)
    row = _row(before, part)
    there = _given(_items(row, part))
    todo = {name: value for name, value in changes.items() if not _there(there.get(name), value)}
    if not todo:
        return data
    span = _chunk(before, row)
    document = _document(before.text[span.start : span.end])
    number = 0 if len(document.rows) == 1 else [one is row for one in before.rows].index(True)
    for name in sorted(todo):
        document = _document(_change(document, document.rows[number], part, name, todo[name]))
    text = before.mark + before.text[: span.start] + document.text + before.text[span.end :]
    after = text.encode("utf-8")
    _prove(before, _parse(after), part, todo)
    return after


def _prove(before: _Document, after: _Document, part: str, todo: Mapping[str, Optional[str]]) -> None:
    """Refuses an edit that has changed anything but the runner's array."""
    old, new = _row(before, part), _row(after, part)
    want = {name: value for name, value in _given(_items(old, part)).items() if name not in todo}
    want.update({name: literal(value) for name, value in todo.items() if value is not None})
    got = _given(_items(new, part))
    # repr: two values that are no numbers (nan) are equal there.
    if got != want or repr(_others(before, old)) != repr(_others(after, new)):
        raise base.BadPlace(
            "runner %s: the array cannot be changed alone; write environment by hand, one item a line" % part
        )


def _others(document: _Document, row: _toml.Table) -> List[object]:
    """All that the document says but for the array of one runner."""
    top = document.layout.top
    rows = top.get("runners")
    own: _toml.Table = {key: value for key, value in row.items() if key != _KEY}
    shown = [own if one is row else one for one in rows] if isinstance(rows, list) else rows
    return [shown if key == "runners" else (key, value) for key, value in top.items()]


def _change(document: _Document, row: _toml.Table, part: str, name: str, value: Optional[str]) -> str:
    """The text with one item set or removed."""
    text = document.text
    array = row.get(_KEY)
    if not isinstance(array, list):
        return text if value is None else _with_array(document, row, part, "[%s]" % _quoted(name, value))
    items = _items(row, part)
    spans = document.layout.items(array)
    whole = document.layout.value(row, _KEY)
    mine = [i for i, item in enumerate(items) if item.startswith(name + "=")]
    if value is None:
        if len(mine) == len(items) and "#" not in text[whole.start : spans[0].start] + text[spans[-1].end : whole.end]:
            return _without_array(document, row, whole)
        for i in reversed(mine):
            text = _without(text, spans, i, whole.end)
            spans.pop(i)
        return text
    if mine:
        span = spans[mine[-1]]  # the last one counts
        return text[: span.start] + _quoted(name, value) + text[span.end :]
    return _with(text, spans, whole, _quoted(name, value))


def _with_array(document: _Document, row: _toml.Table, part: str, array: str) -> str:
    """The text with the array behind the runner's last own line."""
    text = document.text
    line = document.layout.last_line(row)
    if line is None:
        values = document.layout.values(row)
        if not values:
            raise base.BadPlace("runner %s: an inline table without values; write it as [[runners]]" % part)
        end = max(span.end for span in values)
        return "%s, %s = %s%s" % (text[:end], _KEY, array, text[end:])
    start = text.rfind("\n", 0, line.start) + 1
    indent = text[start : line.start]
    if text.startswith("[", line.start):
        indent += "  "  # only the header is there; the runner itself indents by two
    newline = "\r\n" if text[: line.end].endswith("\r\n") else "\n"
    new = "%s%s = %s" % (indent, _KEY, array)
    if text[: line.end].endswith("\n"):
        return text[: line.end] + new + newline + text[line.end :]
    return text + ("\r\n" if "\r\n" in text else "\n") + new


def _without_array(document: _Document, row: _toml.Table, whole: _toml.Span) -> str:
    """The text without the array's line, or with an empty array where more stands on that line."""
    text = document.text
    start = text.rfind("\n", 0, whole.start) + 1
    end = text.find("\n", whole.end)
    end = len(text) if end < 0 else end + 1
    alone = re.match(r"[ \t]*(?:environment|\"environment\"|'environment')[ \t]*=[ \t]*\Z", text[start : whole.start])
    if alone and not text[whole.end : end].strip():
        if end == len(text) and not text.endswith("\n"):
            start -= 0 if not start else 2 if text[:start].endswith("\r\n") else 1
        return text[:start] + text[end:]
    inline = re.search(r",[ \t]*environment[ \t]*=[ \t]*\Z", text[: whole.start])
    if inline and document.layout.last_line(row) is None:
        return text[: inline.start()] + text[whole.end :]
    return text[: whole.start] + "[]" + text[whole.end :]


def _with(text: str, spans: List[_toml.Span], whole: _toml.Span, item: str) -> str:
    """The text with an item behind the last one, in the array's own manner."""
    if not spans:
        inside = text[whole.start + 1 : whole.end - 1]
        if "#" not in inside:
            return text[: whole.start] + "[" + item + "]" + text[whole.end :]
        # Only comments are in it: on a line of its own, in front of the bracket's.
        at = text.rfind("\n", 0, whole.end) + 1
        newline = "\r\n" if text[:at].endswith("\r\n") else "\n"
        return text[:at] + text[at : whole.end - 1] + item + newline + text[at:]
    last = spans[-1].end
    comma = _comma(text, last, whole.end)
    line = text.rfind("\n", 0, spans[-1].start) + 1
    at = last if comma < 0 else comma + 1
    gap = " "
    behind = _line_end(text, at, whole.end - 1)
    if line > whole.start and not text[line : spans[-1].start].strip() and text[behind] in "\r\n":
        # One item a line: behind what else stands on the last item's line.
        gap = ("\r\n" if text[:line].endswith("\r\n") else "\n") + text[line : spans[-1].start]
        at = behind
    if comma < 0:
        return text[:last] + "," + text[last:at] + gap + item + text[at:]
    return text[:at] + gap + item + "," + text[at:]


def _line_end(text: str, at: int, limit: int) -> int:
    """Behind the blanks and the comment that follow a position on its line."""
    found = re.compile(r"[ \t]*(?:#[^\r\n]*)?").match(text, at, limit)
    end = found.end() if found else at
    return end if text[end : end + 1] in ("\r", "\n") else at


def _comma(text: str, at: int, limit: int) -> int:
    """Where the comma behind an item stands, -1 for none."""
    while at < limit:
        if text[at] == ",":
            return at
        if text[at] == "#":
            at = text.find("\n", at)
        elif text[at] not in " \t\r\n":
            return -1
        at += 1
    return -1


def _without(text: str, spans: List[_toml.Span], i: int, limit: int) -> str:
    """The text without an item, its comma, and its line where nothing else stands on it."""
    start, end = spans[i]
    comma = _comma(text, end, limit)
    cuts: List[Tuple[int, int]] = []
    if comma >= 0:
        cuts.append((comma, comma + 1))
    elif i:
        before = _comma(text, spans[i - 1].end, start)
        cuts.append((before, before + 1))
    line = text.rfind("\n", 0, start) + 1
    stop = comma + 1 if comma >= 0 and "\n" not in text[end:comma] else end
    rest = re.compile(r"[ \t]*(\r?\n)?").match(text, stop, limit)
    alone = not text[line:start].strip() and rest is not None and rest.group(1) is not None
    if alone and rest is not None:
        cuts.append((line, rest.end()))
    elif i:
        # The blanks in front of it go with it.
        first = start
        while text[first - 1] in " \t":
            first -= 1
        cuts.append((first, end))
    else:
        blanks = re.compile(r"[ \t]*").match(text, stop)
        cuts.append((start, blanks.end() if blanks and stop > end else end))
    kept: List[str] = []
    at = 0
    for begin, stop in sorted(cuts):
        kept.append(text[at:begin] if begin > at else "")
        at = max(at, stop)
    return "".join(kept) + text[at:]


def find(request: base.Request) -> base.Found:
    """The runners of every ``config.toml`` on the host, one place each."""
    host = runners.system(request.root)
    missed: List[base.NotReached] = []
    problems: List[str] = []
    files = list(request.paths)
    if not files:
        inspection = agents.inspect(host)
        missed, problems = runners.reported(inspection, "a GitLab Runner in a container")
        files = [item.path for item in inspection.evidence if item.what == "config"]
    places: List[base.Place] = []
    for path in files:
        try:
            document = _parse(runners.read(path))
        except FileNotFoundError:
            if request.paths:
                problems.append("%s: no such file; register the runner first" % path)
            continue
        except (_agents.Unreadable, base.BadPlace) as exc:
            text = str(exc) if isinstance(exc, _agents.Unreadable) else "%s: %s" % (path, exc)
            if not any(item.startswith(path + ":") for item in problems):
                problems.append(text)
            continue
        owner = runners.owner_of(path)
        for part, row in zip(_parts(document.rows), document.rows):
            if not base.chosen(request.names, part) and not base.chosen(request.names, _toml.text(row.get("name"))):
                continue
            executor = _toml.text(row.get("executor")) or "shell"
            places.append(
                base.Place(
                    "gitlab",
                    path,
                    part,
                    owner,
                    "jobs of the GitLab Runner %s (executor %s); what .gitlab-ci.yml, the project, its groups or the "
                    "instance set wins over it" % (part, executor),
                    _WHERE.get(executor, ""),
                    "",
                )
            )
    return base.Found(places, missed, problems)


KIND = base.Kind("gitlab", find, read, edit, mode=0o600, creates=False)
