# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials in a .netrc file: read as Go reads it, edited so that nothing else in it differs.

Three readers share the file and disagree. Go (cmd/go/internal/auth/netrc.go, parseNetrc) takes pairs of words line by
line, knows neither comments nor quotes, compares the machine with the URL's host:port letter by letter
(golang/go#81253), and stops at a line that ends in the word default. libcurl, so also Git, wants the host without
port, skips what follows a #, takes double quotes for quotes and the first default for everything (curl 7.84,
lib/netrc.c). ftp(1) adds macros.

So an edit here is a proposal that is read back as Go would: it counts only if Go then uses the wanted login for the
machine, and the same ones as before for all others. Where no proposal passes, the edit is refused.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, NamedTuple, Sequence
from urllib.parse import urlsplit

from .._fs import atomic
from . import configure, evaluate, services, toolchain
from .accounts import Account
from .configure import Impossible, Override
from .files import as_account, files_for
from .mask import MASK, mask

#: The mode of the file; wider ones are narrowed.
MODE = 0o600
#: Mode of directories that are made for it.
DIR_MODE = 0o700

# unicode.IsSpace of Go, by which strings.Fields splits. str.split() has four characters more.
_BLANK = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_WORD = re.compile("[^%s]+" % _BLANK)
_BLANKS = re.compile("[%s]*" % _BLANK)
_KEYS = ("login", "password", "account")
_WORDS = ("machine", "default", "macdef", *_KEYS)

# Logins that are tokens themselves: the prefixes of GitHub's and GitLab's, and the habit of giving a dummy password.
_TOKEN = re.compile(r"^(gh[opsur]_|github_pat_|gl(pat|dt|cbt|oas|rt|soat)-)")
_DUMMIES = ("x-oauth-basic", "x-oauth-token")
#: Characters from which on an unknown login is taken for a token when the file is shown.
_LONG_LOGIN = 20


class Refused(Exception):
    """The request, or the file, is not what can be worked with. Like atomic.NotWritten, but before a path is known.

    No text holds a password, and none what may be one.
    """

    def __init__(self, code: str, reason: str, hint: str) -> None:
        super().__init__("%s; %s" % (reason, hint))
        self.code = code
        self.reason = reason
        self.hint = hint


class Entry(NamedTuple):
    """Credentials as Go reads them. line: of the word machine, from 1. comment: whether a # begins that line."""

    machine: str
    login: str
    password: str
    line: int
    comment: bool


class Word(NamedTuple):
    """One word: its text, line (counted from 0) and offsets in the whole text."""

    text: str
    line: int
    start: int
    end: int


@dataclass
class Block:
    """What a person calls an entry: from a word machine or default to the next. machine: None for default.

    words: all its words in order, without comments and macros. values: the words after login, password and account.
    """

    machine: str | None
    line: int
    words: list[Word] = field(default_factory=list)
    values: dict[str, list[Word]] = field(default_factory=dict)
    macro: bool = False

    def value(self, key: str) -> str | None:
        """The text after the first such key, None where there is none."""
        found = self.values.get(key)
        return found[0].text if found else None


# --- reading ---------------------------------------------------------------------------------------------------


def text_of(data: bytes | None) -> str:
    """The file as text; bytes that are no UTF-8 survive the way back through data_of()."""
    return (data or b"").decode("utf-8", "surrogateescape")


def data_of(text: str) -> bytes:
    """The inverse of text_of()."""
    return text.encode("utf-8", "surrogateescape")


def entries(text: str) -> list[Entry]:
    """What Go reads from the file, in its order: of several entries of a machine the first counts. Never raises.

    A port of parseNetrc (cmd/go/internal/auth/netrc.go), the same in Go 1.13 to 1.27.
    """
    result: list[Entry] = []
    machine = login = password = ""
    at, comment = 0, False
    in_macro = False
    for number, line in enumerate(text.split("\n"), 1):
        if in_macro:
            in_macro = line != ""
            continue
        words = _WORD.findall(line)
        index = 0
        while index < len(words) - 1:
            key, value = words[index], words[index + 1]
            if key == "machine":
                machine, login, password = value, "", ""
                at, comment = number, words[0].startswith("#")
            elif key == "login":
                login = value
            elif key == "password":
                password = value
            elif key == "macdef":
                in_macro = True
            if machine and login and password:
                result.append(Entry(machine, login, password, at, comment))
                machine = login = password = ""
            index += 2
        if index < len(words) and words[index] == "default":
            break
    return result


def winner(found: Sequence[Entry], machine: str) -> Entry | None:
    """The entry whose credentials Go sends to this host or host:port."""
    return next((entry for entry in found if entry.machine == machine), None)


def _words(line: str, number: int, offset: int) -> Iterator[Word]:
    for found in _WORD.finditer(line):
        yield Word(found.group(), number, offset + found.start(), offset + found.end())


class _Parsed(NamedTuple):
    """roles: offset of each word -> what it is: a key, "machine=", "login=" and so on for values, "#", "macro", "?"."""

    blocks: list[Block]
    words: list[tuple[Word, str]]


def parse(text: str) -> _Parsed:
    """The file as people and curl read it: values may stand on the next line, # begins a comment. Never raises."""
    blocks: list[Block] = []
    roles: list[tuple[Word, str]] = []
    offset = 0
    pending = ""
    current: Block | None = None
    in_macro = False
    for number, line in enumerate(text.split("\n")):
        words = list(_words(line, number, offset))
        offset += len(line) + 1
        if in_macro:
            in_macro = line not in ("", "\r")
            roles.extend((word, "macro") for word in words)
            continue
        macro_next = False
        for index, word in enumerate(words):
            role = "?"
            if pending:
                role = pending + "="
                if pending == "machine":
                    blocks[-1].machine = word.text
                elif pending == "macdef":
                    macro_next = True
                elif current is not None:
                    current.values.setdefault(pending, []).append(word)
                pending = ""
            elif word.text.startswith("#"):
                roles.extend((rest, "#") for rest in words[index:])
                break
            elif word.text in ("machine", "default"):
                role = word.text
                current = Block("" if role == "machine" else None, number + 1)
                blocks.append(current)
                pending = "machine" if role == "machine" else ""
            elif word.text in _KEYS:
                role = pending = word.text
            elif word.text == "macdef" and index + 1 < len(words):
                role = pending = "macdef"
                if current is not None:
                    current.macro = True
            roles.append((word, role))
            if current is not None and not role.startswith("macdef"):
                current.words.append(word)
        in_macro = macro_next
    return _Parsed(blocks, roles)


def _blocks_of(text: str, machine: str) -> list[Block]:
    return [block for block in parse(text).blocks if block.machine == machine]


def count(data: bytes | None, machine: str) -> int:
    """How many entries of the machine the file has, also incomplete ones and such as Go does not read."""
    return len(_blocks_of(text_of(data), machine))


# --- edits -----------------------------------------------------------------------------------------------------


class _Cut(NamedTuple):
    start: int
    end: int
    new: str


def _edit(text: str, cuts: Sequence[_Cut]) -> str:
    for cut in sorted(cuts, reverse=True):
        text = text[: cut.start] + cut.new + text[cut.end :]
    return text


def _without(text: str, words: Sequence[Word], first: str = "") -> str:
    """The text without these words; lines that hold nothing else go whole. first: what takes the first one's place."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    mine: dict[int, list[Word]] = {}
    for word in words:
        mine.setdefault(word.line, []).append(word)
    cuts: list[_Cut] = []
    for number, found in mine.items():
        begin, end = starts[number], starts[number + 1] - 1
        new = first if words and found[0] is words[0] else ""
        inner = [
            _Cut(word.start, _after_blanks(text, word.end, end), new if word is found[0] else "") for word in found
        ]
        rest = _edit(text[begin:end], [_Cut(c.start - begin, c.end - begin, c.new) for c in inner])
        if rest.strip():
            if not lines[number][found[-1].end - begin :].strip():
                rest = rest.rstrip(" \t") + ("\r" if lines[number].endswith("\r") else "")
            cuts.append(_Cut(begin, end, rest))
        elif number + 1 < len(lines):
            cuts.append(_Cut(begin, end + 1, ""))
        else:
            cuts.append(_Cut(begin, end, ""))
    return _edit(text, cuts)


def _after_blanks(text: str, at: int, end: int) -> int:
    found = _BLANKS.match(text, at, end)
    return found.end() if found else at


def _line(machine: str, login: str, password: str) -> str:
    return "machine %s login %s password %s" % (machine, login, password)


def _proposals(text: str, machine: str, login: str, password: str, exclusive: bool) -> Iterator[str]:
    """Texts with the wanted entry in it, the one that changes least first.

    The last of them works wherever the machine has no entry yet.
    """
    blocks = _blocks_of(text, machine)
    same = [block for block in blocks if block.value("login") == login]
    keep = (blocks if exclusive else same)[:1]
    gone = [block for block in (blocks if exclusive else same) if block not in keep]
    spare = [word for block in gone for word in block.words]
    eol = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    new = _line(machine, login, password)
    for block in keep:
        values = [block.values.get(key, []) for key in ("login", "password")]
        if [len(found) for found in values] == [1, 1]:
            cuts = [_Cut(values[0][0].start, values[0][0].end, login)]
            cuts.append(_Cut(values[1][0].start, values[1][0].end, password))
            edited = _edit(text, cuts)
            if not gone:
                yield edited
            else:
                # The words have moved: look for the spare ones again.
                again = _blocks_of(edited, machine)
                places = [position for position, other in enumerate(blocks) if other in gone]
                if len(again) == len(blocks):
                    yield _without(edited, [word for place in places for word in again[place].words])
        # The whole block anew, at its place, with its account if it has one.
        account = block.value("account")
        whole = new + (" account " + account if account and account not in _WORDS else "")
        if not gone:
            yield _without(text, block.words, whole)
    bare = _without(text, [word for block in keep for word in block.words] + spare)
    others = _blocks_of(bare, machine)
    stops = [block for block in parse(bare).blocks if block.machine is None]
    if others:
        yield _before(bare, others[0], new, eol)
    elif stops:
        yield _before(bare, stops[0], new, eol)
    else:
        tail = bare if not bare or bare.endswith("\n") else bare + eol
        yield tail + new + eol
        # The file ends within a macro, which a blank line ends.
        yield tail + eol + new + eol
    yield new + eol + bare


def _before(text: str, block: Block, new: str, eol: str) -> str:
    at = block.words[0].start
    begin = text.rfind("\n", 0, at) + 1
    if not text[begin:at].strip():
        return text[:begin] + new + eol + text[begin:]
    return text[:at] + new + " " + text[at:]


def _winners(found: Sequence[Entry]) -> dict[str, tuple[str, str]]:
    result: dict[str, tuple[str, str]] = {}
    for entry in found:
        result.setdefault(entry.machine, (entry.login, entry.password))
    return result


def _harms(before: Sequence[Entry], after: Sequence[Entry], machine: str) -> str:
    """The first other machine whose credentials would differ, "" if none."""
    now = _winners(after)
    for name, given in _winners(before).items():
        if name != machine and now.get(name) != given:
            return name
    return ""


def _is_set(text: str, machine: str, login: str, password: str, exclusive: bool) -> bool:
    """Whether Go uses these credentials, and other readers find them in one entry and in no other."""
    found = winner(entries(text), machine)
    if found is None or (found.login, found.password) != (login, password):
        return False
    blocks = [b for b in _blocks_of(text, machine) if exclusive or b.value("login") == login]
    return [(b.value("login"), b.value("password")) for b in blocks] == [(login, password)]


def put(data: bytes | None, machine: str, login: str, password: str, exclusive: bool = True) -> bytes:
    """The file with these credentials as those that Go uses for the machine.

    exclusive: entries of the machine with other logins are removed; else they stay behind the new one, where tools that
    ask for one login find them. Duplicates of the same login always go. What passed check_machine(), check_login() and
    check_password() is expected. Raises Refused where the rest of the file would be read differently by any edit.
    """
    text = text_of(data)
    if _is_set(text, machine, login, password, exclusive):
        return data or b""
    before = entries(text)
    logins = {entry.login for entry in before if entry.machine == machine}
    harmed = ""
    for proposal in _proposals(text, machine, login, password, exclusive):
        if _is_set(proposal, machine, login, password, exclusive):
            after = entries(proposal)
            harmed = _harms(before, after, machine)
            left = {entry.login for entry in after if entry.machine == machine}
            if not harmed and (exclusive or logins <= left):
                return data_of(proposal)
    raise Refused(
        "unclear-file",
        "no place was found for the entry of %s without changing what Go reads%s"
        % (machine, " for " + harmed if harmed else ""),
        "put every entry on a line of its own, with a blank line after each macro",
    )


def drop(data: bytes | None, machine: str, login: str | None = None) -> bytes | None:
    """The file without the machine's entries, or without those of one login; None stays None. Raises Refused."""
    if data is None:
        return None
    text = text_of(data)
    before = entries(text)
    gone = [block for block in _blocks_of(text, machine) if login is None or block.value("login") == login]
    proposal = _without(text, [word for block in gone for word in block.words])
    after = entries(proposal)
    for entry in after:
        if entry.machine == machine and login in (None, entry.login):
            raise Refused(
                "comment-counts",
                "line %d: Go, which knows no comments in this file, reads an entry for %s from it"
                % (entry.line, machine),
                "remove that line by hand",
            )
    harmed = _harms(before, after, machine)
    if harmed:
        raise Refused(
            "unclear-file",
            "without the entry of %s Go would read other credentials for %s" % (machine, harmed),
            "put every entry on a line of its own, with a blank line after each macro",
        )
    return data_of(proposal) if gone else data


def host_of(machine: str) -> str:
    """The form of a host:port that curl and Git look for: without port and brackets. "" where it is the same."""
    host = re.sub(r":[0-9]+\Z", "", machine) if not machine.endswith("]") else machine
    host = host[1:-1] if host.startswith("[") else host
    return "" if host == machine else host


def put_forms(data: bytes | None, machine: str, login: str, password: str, both: bool, exclusive: bool) -> bytes:
    """put(), with both also for the form that curl and Git look for."""
    result = put(data, machine, login, password, exclusive)
    if both and host_of(machine):
        result = put(result, host_of(machine), login, password, exclusive)
    return result


def drop_forms(data: bytes | None, machine: str, login: str | None, both: bool) -> bytes | None:
    """drop(), with both also the other form, as far as it has the same login and password as what goes."""
    other = host_of(machine)
    if data is None or not both or not other:
        return drop(data, machine, login)
    text = text_of(data)
    gone = {
        (block.value("login"), block.value("password"))
        for block in _blocks_of(text, machine)
        if login is None or block.value("login") == login
    }
    result = drop(data, machine, login)
    rest = [(block.value("login"), block.value("password")) for block in _blocks_of(text, other)]
    if rest and gone and set(rest) <= gone:
        result = drop(result, other)
    return result


def rivals(data: bytes | None, machine: str) -> list[str]:
    """Other ports of the same host that have another login or password, whose form without port they would share."""
    found = entries(text_of(data))
    mine = winner(found, machine)
    host = host_of(machine)
    if mine is None or not host:
        return []
    return sorted(
        {
            entry.machine
            for entry in found
            if entry.machine != machine
            and host_of(entry.machine) == host
            and entry.machine != host
            and (entry.login, entry.password) != (mine.login, mine.password)
        }
    )


# --- showing ---------------------------------------------------------------------------------------------------


def is_token(login: str, password: str = "") -> bool:
    """Whether the login is the secret itself, as with GitHub tokens given as user names."""
    return bool(_TOKEN.match(login)) or password in _DUMMIES


def shown_login(login: str) -> str:
    """The login, or *** where it looks like a token."""
    return MASK if _TOKEN.match(login) or (len(login) >= _LONG_LOGIN and "@" not in login) else login


def shown(data: bytes | None, before: bytes | None = None) -> str:
    """The file as text fit for a diff: only keys, machines and logins are shown, all else is ***, line by line.

    before: the file before; a password that was not in it is marked as new, so that the diff shows that it changes.
    """
    text = text_of(data)
    parsed = parse(text)
    known: dict[str | None, set[str]] = {}
    for block in parse(text_of(before)).blocks:
        known.setdefault(block.machine, set()).update(word.text for word in block.values.get("password", []))
    fresh: set[int] = set()
    tokens: set[int] = set()
    for block in parsed.blocks:
        for word in block.values.get("password", []):
            if before is not None and word.text not in known.get(block.machine, ()):
                fresh.add(word.start)
            if word.text in _DUMMIES:
                tokens.update(login.start for login in block.values.get("login", []))
    cuts: list[_Cut] = []
    for word, role in parsed.words:
        new = MASK
        if role in _WORDS or role == "machine=":
            new = mask(word.text)
        elif role == "login=" and word.start not in tokens:
            new = shown_login(word.text)
        elif role == "password=" and word.start in fresh:
            new = MASK + " (new)"
        elif role == "#" and word.text.startswith("#"):
            new = "#" if word.text == "#" else "#" + MASK
        cuts.append(_Cut(word.start, word.end, new))
    result = _edit(text, cuts).replace("\r", "\\r")
    return result.encode("utf-8", "backslashreplace").decode("utf-8")


# --- what is asked for -----------------------------------------------------------------------------------------

_NAME = re.compile(r"^[A-Za-z0-9_]([A-Za-z0-9_.\-]*[A-Za-z0-9_.])?\Z")


def secrets_in(machine: str) -> list[str]:
    """What in a wrongly given machine may be a password, and must not be shown."""
    userinfo = machine.rpartition("@")[0].rpartition("//")[2]
    return [part for part in (userinfo, userinfo.partition(":")[2]) if len(part) > 2]


def check_machine(machine: str) -> None:
    """Raises Refused where it is no host or host:port as Go and Git look for it."""
    example = "write the host, and the port if the URL has one, like goproxy.example.com or goproxy.example.com:8443"
    if "@" in machine:
        raise Refused("userinfo", "machine: there is login data in it, which would be shown and logged", example)
    if "://" in machine:
        try:
            right = urlsplit(machine).netloc
        except ValueError:
            right = ""
        raise Refused("url", "machine: %r is a URL" % machine, "write %s" % right if right else example)
    if "/" in machine:
        raise Refused(
            "path",
            "machine: %r has a path, which Git and Go before 1.24 never match" % machine,
            example + "; for credentials by path use GOAUTH",
        )
    if machine == "default" or "*" in machine:
        raise Refused("pattern", "machine: %r: Go matches whole names only, no patterns or default" % machine, example)
    host, port = machine, ""
    bracket = re.match(r"^\[([0-9A-Fa-f:.]+)\](?::(.*))?\Z", machine, re.S)
    if bracket:
        host, port = "ipv6", bracket.group(2) if bracket.group(2) is not None else "443"
    elif machine.count(":") > 1:
        raise Refused("ipv6", "machine: %r is no host:port" % machine, "write an IPv6 address in brackets: [::1]:8443")
    elif ":" in machine:
        host, port = machine.split(":")
    if (bracket or ":" in machine) and not (re.match(r"^[1-9][0-9]{0,4}\Z", port) and int(port) <= 65535):
        raise Refused("port", "machine: the port of %r is not between 1 and 65535" % machine, example)
    if not _NAME.match(host):
        raise Refused("host", "machine: %r is not the name of a host" % machine, example)


def check_login(login: str, password: str = "") -> None:
    """Raises Refused where Go, Git or curl could not read the login, or it is a token that would be logged."""
    if is_token(login, password):
        raise Refused(
            "token-as-login",
            "login: it is the token itself, or the password is a dummy for one; logins are shown and logged",
            "give the token as password, and as login what the server wants with it, such as x-access-token or oauth2",
        )
    _check_word("login", login)
    if login[:1] in ('"', "#"):
        raise Refused("login", "login: it begins with a quote or #, which Git takes for something else", "change it")


def check_password(password: str) -> list[str]:
    """Raises Refused where Go could not read the password; returns warnings about other readers. No text holds it."""
    _check_word("password", password)
    if password[:1] in ('"', "#"):
        return [
            "the password begins with %s: Go takes it as it is, but Git and curl take it for %s and log in with "
            "another one; change it if they are to use this entry"
            % (("'#'", "a comment") if password[0] == "#" else ("a double quote", "the beginning of a quoted one"))
        ]
    return []


def _check_word(name: str, value: str) -> None:
    if not value:
        raise Refused("empty", "%s: it is empty, and Go takes only entries that have both" % name, "give one")
    if re.search("[%s]" % _BLANK, value):
        hint = "change it, or use a GOAUTH command"
        raise Refused("blank", "%s: it holds a blank or a line break; Go's netrc has no quotes" % name, hint)
    if re.search("[\x00-\x1f\x7f\ud800-\udfff]", value):
        raise Refused("control", "%s: it holds a control character or is no UTF-8" % name, "change it")


def read_secret(path: str) -> str:
    """The first line of a file on this host, with the caller's rights; raises Refused or atomic.NotWritten.

    By the careful way to the file: who may replace a symlink on it could have root read somebody else's secret.
    """
    change = atomic.update(path, lambda _data: None, check=True, limit=65536)
    if change.before is None:
        raise Refused("no-file", "password_file: %s does not exist" % path, "check the path")
    text = text_of(change.before)
    if len(text.rstrip("\r\n").split("\n")) > 1:
        raise Refused("lines", "password_file: %s has more than one line" % path, "put the password alone into it")
    return text.rstrip("\r\n")


# --- the file --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """The file to edit, with the rights of the account. chosen: what named it: path, NETRC or HOME."""

    path: str
    account: Account
    chosen: str


class Outcome(NamedTuple):
    """change: as of atomic.update(), with the mode afterwards; mode_before: None where there was no file."""

    change: atomic.Change
    mode_before: int | None

    @property
    def changed(self) -> bool:
        """Whether content or mode differ."""
        return self.change.changed or (self.mode_before is not None and self.mode_before != self.change.mode)


def target(account: Account, path: str | None = None) -> Target:
    """The account's netrc file as Go finds it (netrcPath): NETRC in its environment, else ~/.netrc.

    Raises Impossible.
    """
    if path:
        return Target(path, account, "path")
    named = configure.environment_of(account).get("NETRC", "")
    if named:
        if not named.startswith("/"):
            raise Impossible("account %s: NETRC=%s in its environment is a relative path" % (account.name, named))
        return Target(named, account, "NETRC")
    if not account.home:
        raise Impossible("account %s: it has no home directory, so no .netrc; name a file by path" % account.name)
    if not os.path.isdir(account.home):
        raise Impossible(
            "account %s: its home directory %s does not exist, so nobody reads a .netrc there; create the home, or "
            "name a file by path" % (account.name, account.home)
        )
    return Target(os.path.join(account.home, ".netrc"), account, "HOME")


def write(where: Target, edit: Callable[[bytes | None], bytes | None], check: bool) -> Outcome:
    """Edits the file with the account's rights, or says in check mode what would be done; narrows its mode to 0600.

    edit: as of atomic.update(); may raise Refused. Raises atomic.NotWritten.
    """

    def work() -> dict[str, Any]:
        try:
            outcome = _write(where.path, edit, check)
        except Refused as error:
            return {"code": error.code, "path": where.path, "reason": error.reason, "hint": error.hint}
        except atomic.NotWritten as error:
            return {"code": error.code, "path": error.path, "reason": error.reason, "hint": error.hint}
        return {"change": atomic.to_json(outcome.change), "mode": outcome.mode_before}

    uid = where.account.uid
    if os.geteuid() == 0 and uid != 0:
        try:
            answer = as_account(uid, where.account.gid, work, configure.CHILD_SECONDS)
        except OSError as error:
            reason = "writing as uid %d failed: %s" % (uid, error.strerror or error)
            raise atomic.NotWritten("child", where.path, reason, "look at the file and run again") from None
    else:
        answer = work()
    if "change" in answer:
        return Outcome(atomic.from_json(answer["change"]), answer["mode"])
    raise atomic.NotWritten(answer["code"], answer["path"], answer["reason"], answer["hint"])


def _write(path: str, edit: Callable[[bytes | None], bytes | None], check: bool) -> Outcome:
    path = atomic.check_path(path)
    old = _guard(path)
    # Whatever forbids the edit is found before the mode is touched.
    change = atomic.update(path, edit, check=True, mode=MODE, dir_mode=DIR_MODE)
    mode = None if old is None else stat.S_IMODE(old.st_mode)
    wide = mode is not None and mode & ~MODE
    if not check:
        if wide and old is not None:
            _narrow(change.real_path, old)
        change = atomic.update(path, edit, mode=MODE, dir_mode=DIR_MODE, lock_seconds=configure.LOCK_SECONDS)
    return Outcome(change._replace(mode=MODE) if wide else change, mode)


def _guard(path: str) -> os.stat_result | None:
    """The stat of the file, None where there is none; raises NotWritten for what must not be written."""
    uid = os.geteuid()
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        folder = os.path.dirname(path)
        try:
            owner = os.stat(folder).st_uid
        except OSError:
            return None
        if owner not in (0, uid):
            raise atomic.NotWritten(
                "foreign-directory",
                path,
                "%s belongs to uid %d, who could not read a file of uid %d with mode 0600" % (folder, owner, uid),
                "name that account by account",
            ) from None
        return None
    except OSError as error:
        hint = "write as the account that owns it, or as root"
        raise atomic.NotWritten("os-error", path, error.strerror or str(error), hint) from None
    if stat.S_ISLNK(found.st_mode):
        raise atomic.NotWritten(
            "symlink",
            path,
            "it is a symlink, and credentials are not written to where somebody else's link leads",
            "name the real file by path, or remove the link",
        )
    if not stat.S_ISREG(found.st_mode):
        raise atomic.NotWritten("not-a-file", path, "it is not a regular file", "remove what is there")
    if found.st_uid != uid:
        raise atomic.NotWritten(
            "foreign-owner",
            path,
            "it belongs to uid %d, not to uid %d, whose credentials these are" % (found.st_uid, uid),
            "name its owner by account, or give it to the account (chown)",
        )
    if found.st_nlink > 1:
        raise atomic.NotWritten(
            "hard-link",
            path,
            "it has %d names (hard links), and the others would keep the old content" % found.st_nlink,
            "remove the other names: find them with 'find -samefile'",
        )
    return found


def _narrow(real_path: str, old: os.stat_result) -> None:
    """chmod 0600 of that very file. real_path has no symlinks in it; one that appears meanwhile is not followed."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open("/", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | flags)
        try:
            parts = real_path.strip("/").split("/")
            for number, part in enumerate(parts):
                last = number == len(parts) - 1
                kind = os.O_RDONLY | os.O_NONBLOCK if last else getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY
                below = os.open(part, kind | flags, dir_fd=fd)
                os.close(fd)
                fd = below
            now = os.fstat(fd)
            if (now.st_dev, now.st_ino, now.st_uid, now.st_nlink) == (old.st_dev, old.st_ino, old.st_uid, 1):
                os.fchmod(fd, MODE)
            # Else another writer has just replaced it; the edit comes next, and the next run looks at its mode.
        finally:
            os.close(fd)
    except FileNotFoundError:
        pass
    except OSError as error:
        reason = "its mode cannot be set to 0600: %s" % (error.strerror or error)
        raise atomic.NotWritten("mode", real_path, reason, "chmod it by hand, or write as its owner") from None


# --- who does not read it --------------------------------------------------------------------------------------


def uses_netrc(goauth: str) -> bool:
    """Whether this GOAUTH has netrc among its commands (cmd/go/internal/auth/auth.go, runGoAuth)."""
    return any(command.split()[:1] == ["netrc"] for command in goauth.split(";"))


def overrides(where: Target, names: Sequence[str] = ()) -> tuple[list[Override], list[str]]:
    """The account's sessions and services whose Go reads another netrc file, or none, and notes on what is not known.

    names: services to look at besides those of the CI runners. Where the file was named by path, only who reads it is
    looked at. Looks at settings only, asks no server and creates nothing.
    """
    account = where.account
    found = toolchain.find([account])
    chain = found[0] if found else None
    result: list[Override] = []

    def look(environ: dict[str, str], who: str, source: str) -> None:
        environ.setdefault("HOME", account.home)
        path = environ.get("NETRC") or os.path.join(environ["HOME"], ".netrc")
        if path != where.path:
            if where.chosen != "path":
                origin = "NETRC" if environ.get("NETRC") else "HOME"
                result.append(Override(origin, where.path, path, evaluate.PROCESS, source, who))
            return
        files = files_for(account.uid, account.gid)
        setting = evaluate.effective(account, environ, chain, fs=files, source=source).get("GOAUTH")
        if setting is not None and not uses_netrc(setting.value):
            result.append(Override("GOAUTH", "netrc", mask(setting.value), setting.origin, setting.where, who))

    seen, notes = readers(account, names)
    for environ, who, source in seen:
        look(environ, who, source)
    return result, notes


def readers(account: Account, names: Sequence[str] = ()) -> tuple[list[tuple[dict[str, str], str, str]], list[str]]:
    """The environments of the account's sessions and services, each with whose it is and what sets it; and notes."""
    mine = account.uid == os.geteuid()
    who = "sessions like this one" if mine else "login sessions"
    source = "the environment of this session" if mine else "/etc/environment"
    result = [(configure.environment_of(account), who, source)]
    discovered, notes = services.discover(names)
    for service in discovered:
        if service.state == "missing":
            notes.append("%s: %s" % (service.name, "; ".join(service.problems)))
        elif service.uid == account.uid:
            source = "its process environment (%s)" % (", ".join(service.sources) or service.kind)
            result.append((dict(service.environ), "the processes of %s" % service.name, source))
    return result, notes


def override_text(where: Target, item: Override) -> str:
    """One sentence for a person; holds no credentials."""
    if item.name == "GOAUTH":
        return "%s do not use %s: GOAUTH=%s from %s has no netrc in it; add ';netrc' there" % (
            item.who,
            where.path,
            item.effective,
            item.where,
        )
    return "%s read %s and not %s: %s in %s; name that file by path as well" % (
        item.who,
        item.effective,
        where.path,
        item.name,
        item.where,
    )
