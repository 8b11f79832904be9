# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that name modules: go.mod, go.work, go.sum, vendor/modules.txt. No reader here raises.

What a reader does not understand it returns as a problem: who reads for what is still needed then knows that the file
may name more. Sources: golang.org/x/mod/modfile (read.go, rule.go, work.go), cmd/go/internal/modfetch/fetch.go
(readGoSum) and cmd/go/internal/modload/vendor.go (readVendorList).
"""

from __future__ import annotations

import re
from typing import Iterator, List, NamedTuple, Optional, Tuple

from .. import modpath

# Verbs that name no module whose files a build reads. ``exclude`` and ``retract`` name what is not used, ``tool`` a
# package of a module that a ``require`` names.
_NO_MODULE = frozenset(("module", "godebug", "exclude", "retract", "tool", "ignore"))
_QUOTES = frozenset("\"'`")
_LIKE_A_VERSION = re.compile(r"v[0-9]|=>\Z")
_QUOTING = re.compile(r"[\"'`()\[\]{},]|/\*")
_TOKEN = re.compile(
    r"[ \t\r]+|(?P<comment>//)|(?P<old>/\*)|(?P<mark>[()\[\]{},])"
    r"|(?P<string>\"(?:[^\"\\]|\\.)*\"|`(?:[^`])*`)|(?P<open>[\"`])|(?P<word>(?:(?!//|/\*)[^\s()\[\]{},])+)"
)
# GoVersionRE and ToolchainRE of modfile/rule.go
_GO = re.compile(r"[1-9][0-9]*\.(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))?(?:[a-z]+[0-9]+)?\Z")
_TOOLCHAIN = re.compile(r"go1(?:\.[-+.\w]*)?\Z")
_SUM_LINE = re.compile(rb"(\S+) (v[^\s/]+) h[0-9]+:[A-Za-z0-9+/]+={0,2}\r?\Z")
_SUM_OF_MOD = b"/go.mod "

Pair = Tuple[str, str]


class ModFile(NamedTuple):
    """What a go.mod or go.work says: ``replace`` are (old path, old version, new path, new version).

    Versions are as written, '' where there is none; ``use`` are a work space's folders. ``problems`` are sentences;
    with one of them the file may name more than what is here.
    """

    module: str = ""
    go: str = ""
    toolchain: str = ""
    require: Tuple[Pair, ...] = ()
    replace: Tuple[Tuple[str, str, str, str], ...] = ()
    use: Tuple[str, ...] = ()
    problems: Tuple[str, ...] = ()


class _Wrong(ValueError):
    pass


def _unquote(token: str) -> str:
    """modfile.parseString. Escapes other than of the quote and the backslash are not read (a problem, not a guess)."""
    if _QUOTES.isdisjoint(token):
        return token
    if token.startswith("`"):
        return token[1:-1]
    if token.startswith('"'):
        text = token[1:-1]
        if "\\" not in text:
            return text
        if re.sub(r"\\[\"\\]", "", text).count("\\"):
            raise _Wrong("a quoted text with an escape sequence")
        return re.sub(r"\\([\"\\])", r"\1", text)
    raise _Wrong("a quote inside a word")


def _tokens(line: str) -> List[str]:
    """The tokens of one line, strings still quoted (modfile.input.readToken); raises _Wrong."""
    if not _QUOTING.search(line):
        return line.split("//", 1)[0].split()
    found: List[str] = []
    at = 0
    while at < len(line):
        match = _TOKEN.match(line, at)
        if match is None:
            raise _Wrong("a character that no such file may hold")
        if match.group("comment"):
            break
        if match.group("old"):
            raise _Wrong("a /* comment */; these files know // comments only")
        if match.group("open"):
            raise _Wrong("a quoted text without its end")
        if not match.group().isspace():
            found.append(match.group())
        at = match.end()
    return found


def _statements(text: str, problems: List[str]) -> Iterator[Tuple[int, str, List[str]]]:
    """Line number, verb and arguments of each statement, blocks taken apart (modfile.input.parseStmt)."""
    block: Optional[str] = None
    number = 0
    for number, line in enumerate(text.split("\n"), 1):
        try:
            tokens = _tokens(line)
        except _Wrong as exc:
            problems.append("line %d: %s" % (number, exc))
            continue
        if not tokens:
            continue
        if block is not None:
            if tokens == [")"]:
                block = None
            elif tokens[0] == ")":
                problems.append("line %d: text behind a closing parenthesis" % number)
                block = None
            else:
                yield number, block, tokens
        elif tokens[-1] == "(":
            block = tokens[0]
            if len(tokens) != 2:
                problems.append("line %d: an unknown block" % number)
        elif tokens[-2:] != ["(", ")"]:
            yield number, tokens[0], tokens[1:]
    if block is not None:
        problems.append("line %d: the file ends inside a block" % number)


def mod_file(data: bytes) -> ModFile:
    """Reads a go.mod or go.work (modfile.Parse, modfile.ParseWork), leniently.

    A verb that is not known is no problem unless one of its words looks like a version: newer Go may have more verbs.
    """
    problems: List[str] = []
    if b"\0" in data:
        return ModFile(problems=("it holds NUL bytes",))
    text = data.decode("utf-8", "surrogateescape")
    module = go = toolchain = ""
    require: List[Pair] = []
    replace: List[Tuple[str, str, str, str]] = []
    use: List[str] = []
    for number, verb, args in _statements(text, problems):
        try:
            if verb == "require":
                if len(args) != 2:
                    raise _Wrong("require expects a module and a version")
                require.append((_unquote(args[0]), _unquote(args[1])))
            elif verb == "replace":
                replace.append(_replace(args))
            elif verb == "use" and len(args) == 1:
                use.append(_unquote(args[0]))
            elif verb == "module" and len(args) == 1:
                module = _unquote(args[0])
            elif verb == "go" and len(args) == 1 and _GO.match(args[0]):
                go = args[0]
            elif verb == "toolchain" and len(args) == 1 and (args[0] == "default" or _TOOLCHAIN.match(args[0])):
                toolchain = args[0]
            elif verb in ("use", "go", "toolchain"):
                raise _Wrong("%s with something unknown behind it" % verb)
            elif verb not in _NO_MODULE and any(_LIKE_A_VERSION.match(word.strip('"`')) for word in args):
                # A symlink may lead to any file that root reads: nothing of its content is told but a plain word.
                word = " " + verb[:20] if verb.isalpha() and verb.islower() else ""
                raise _Wrong("the unknown word%s, which may name modules" % word)
        except _Wrong as exc:
            problems.append("line %d: %s" % (number, exc))
    return ModFile(module, go, toolchain, tuple(require), tuple(replace), tuple(use), tuple(problems))


def _replace(args: List[str]) -> Tuple[str, str, str, str]:
    # modfile.parseReplace
    arrow = 1 if len(args) > 1 and args[1] == "=>" else 2
    if not arrow + 2 <= len(args) <= arrow + 3 or args[arrow] != "=>":
        raise _Wrong("replace expects: module [version] => module version, or => a folder")
    old = _unquote(args[0])
    new = _unquote(args[arrow + 1])
    version = _unquote(args[arrow + 2]) if len(args) == arrow + 3 else ""
    if not version and not is_folder(new):
        raise _Wrong("a replacement without a version that is no folder")
    return old, _unquote(args[1]) if arrow == 2 else "", new, version


def is_folder(path: str) -> bool:
    """Whether a replacement is a folder, not a module (modfile.IsDirectoryPath)."""
    return (
        path in (".", "..")
        or path.startswith(("./", "../", "/", ".\\", "..\\", "\\"))
        or (len(path) > 1 and path[0].isalpha() and path[1] == ":")
    )


def sum_file(data: bytes) -> Tuple[List[Tuple[bytes, bytes]], List[str]]:
    """The module versions whose zip a go.sum or go.work.sum vouches for, and what is wrong with the file.

    A line of ``version/go.mod`` asks for the go.mod only, which no eviction takes.
    """
    found: List[Tuple[bytes, bytes]] = []
    problems: List[str] = []
    if b"\0" in data:
        return found, ["it holds NUL bytes"]
    match = _SUM_LINE.match
    for number, line in enumerate(data.split(b"\n"), 1):
        if _SUM_OF_MOD in line:
            if len(line.split()) == 3:
                continue
        else:
            hit = match(line)
            if hit is not None:
                found.append((hit.group(1), hit.group(2)))
                continue
            words = line.split()
            if not words:
                continue
            if len(words) == 3:  # other blanks, or a kind of hash that is not known yet
                if not words[1].endswith(b"/go.mod"):
                    found.append((words[0], words[1]))
                continue
        if len(problems) < 10:
            problems.append("line %d: no module, version and hash" % number)
    return found, problems


def vendor_list(data: bytes) -> Tuple[List[Pair], List[str]]:
    """The module versions that a vendor/modules.txt lists, replacements too, and what is wrong with the file."""
    if b"\0" in data:
        return [], ["it holds NUL bytes"]
    found: List[Pair] = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        if not line.startswith("# "):
            continue
        words = line.split()
        if len(words) < 3:
            continue
        if modpath.is_valid(words[2]):
            found.append((words[1], words[2]))
            rest = words[3:]
        else:
            rest = words[2:]
        if len(rest) == 3 and rest[0] == "=>" and modpath.is_valid(rest[2]):
            found.append((rest[1], rest[2]))
    return found, []
