# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials by URL prefix for Go's GOAUTH (cmd/go/internal/auth, ``go help goauth``; Go 1.24 and later).

One file holds all of an account: a shell script that prints what a GOAUTH command prints. It is both the helper and
the record of what it was made from, so that one rename changes everything at once. It is run as ``/bin/sh file`` and
needs no right to be executed. Behind a fixed part it has one line per header, which is all that is read back here.

How Go uses it (auth.go, userauth.go, web/http.go): once before the first request over https, without arguments; and
again after each answer 4xx, with the request's URL as argument and the answer's head on standard input. A prefix
matches whole elements of the path (Go 1.24 knows whole URLs and hosts only), the longest wins, then the command that
comes first in GOAUTH. Nothing that a
failing command prints is used, so the script fails only where it is asked about a URL that it has nothing for; Go
shows why with ``-x``.
"""

from __future__ import annotations

import base64
import os
import re
from typing import Any, Iterable, NamedTuple, Sequence
from urllib.parse import urlsplit

from . import configure, evaluate, grammar, netrc, toolchain
from .accounts import Account
from .configure import Impossible, Override
from .files import as_account, files_for, read_file
from .mask import MASK, mask
from .netrc import Refused, Target

#: First release that knows GOAUTH.
SINCE = (1, 24)
#: First release that finds a prefix with a path before the server has refused.
PATHS_SINCE = (1, 25)
#: Place of the file in the directory of os.UserConfigDir.
NAME = "go/goauth.sh"

_FIRST = "#!/bin/sh\n# Kept by gofleet.cache.goauth_entry"
_MARK = "# Entries: one line per header. Changes by other hands are lost or refused.\n"
# $asked: the URL, empty in the first call. It is printed as a prefix, too: Go 1.24 looks for hosts and whole URLs only
# (golang/go#71889), and all do so for the last element of the path where there is a query (golang/go#80597).
# $code: the status of the answer to it. $skip: the entry is not to be printed. Every secret stays in variables, pipes
# and builtins, out of all arguments.
_HELPER = (
    _FIRST
    + r""": the secrets are in here. For Go 1.24 and later:
# GOAUTH='/bin/sh THIS-FILE;netrc'
set +xv
asked=${1-} code='' url='' lines='' skip=1 given='' status=0
nl='
'
case $asked in
    '') ;;
    https://*) [ -t 0 ] || read -r protocol code reason ;;
    *) exit 2 ;;
esac

end() {
    if [ -z "$skip" ] && [ -n "$lines" ]; then
        printf '%s\n' "$url" ${asked:+"$asked"} ''
        printf '%s\n' "$lines"
        given=1
    fi
}
fail() {
    skip=1 status=1
    printf '%s\n' "goauth: no credentials for $url: $1" >&2
}
entry() {
    end
    url=$1 lines='' skip=''
    case $asked in
        '') ;;
        "$url" | "$url"[/?]*) skip=$given ;;
        *) skip=1 ;;
    esac
}
text() {
    lines=$lines$1$nl
}
use() {
    case $secret in
        '') fail "$3 gives nothing" ;;
        *"$nl"* | *[[:cntrl:]]*) fail "$3 gives more than one line, or a control character" ;;
        *)
            if [ "$1" = basic ]; then
                secret=$(printf '%s' "$2:$secret" | base64 | tr -d '\n')
                [ -n "$secret" ] || fail 'the command base64 is missing'
                text "Authorization: Basic $secret"
            else
                text "$2$secret"
            fi
            ;;
    esac
}
file() {
    [ -z "$skip" ] || return 0
    if secret=$(cat 2>/dev/null <"$3"); then
        use "$1" "$2" "$3"
    else
        fail "$3 cannot be read"
    fi
}
run() {
    [ -z "$skip" ] || return 0
    case $code in
        '' | 401 | 403) ;;
        *)
            fail "$3 is not asked again because of an answer $code"
            return 0
            ;;
    esac
    form=$1 prefix=$2
    shift 2
    if secret=$("$@" 2>/dev/null </dev/null); then
        use "$form" "$prefix" "$1"
    else
        fail "$1 ended with status $?"
    fi
}

"""
    + _MARK
)
_END = """end
[ -n "$asked" ] && [ -z "$given" ] || status=0
exit "$status"
"""

_WORD = r"'(?:[^'\n]|'\\'')*'"
_LINE = re.compile(r"(entry|text|file|run)((?: %s)+)\Z" % _WORD)
#: How many words follow: at least, at most.
_WORDS = {"entry": (1, 1), "text": (1, 1), "file": (3, 3), "run": (3, 1 << 16)}
_BASIC = "Authorization: Basic "
_BEARER = "Authorization: Bearer "


class Header(NamedTuple):
    """One header for all URLs below a prefix.

    url: the prefix, without a slash at its end. words: its line in the file: C("text", "Name: secret"), or
    C("file" or "run", "basic" or "header", login or "Name: prefix", what to read or run...).
    """

    url: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The header's name, as written."""
        if self.words[:2] in (("file", "basic"), ("run", "basic")):
            return "Authorization"
        return self.words[1 if self.words[0] == "text" else 2].partition(": ")[0]

    @property
    def key(self) -> tuple[str, str]:
        """What there can be one of."""
        return self.url, self.name.lower()


class Shown(NamedTuple):
    """A header without its secret. kind: basic, bearer or header. login: empty where there is none.

    source: where the secret is: stored (in the file itself), file or command. place: that file or command.
    """

    kind: str
    login: str
    source: str
    place: str


# --- the file --------------------------------------------------------------------------------------------------


def quote(word: str) -> str:
    """The word for a shell, always in single quotes."""
    return "'" + word.replace("'", "'\\''") + "'"


def _unquote(words: str) -> list[str]:
    return [word[1:-1].replace("'\\''", "'") for word in re.findall(_WORD, words)]


def render(headers: Iterable[Header]) -> bytes:
    """The file with these headers, by URL, the longest first: of those that match, the script takes the first."""
    groups: dict[str, list[Header]] = {}
    for header in headers:
        groups.setdefault(header.url, []).append(header)
    lines: list[str] = []
    for url, found in sorted(groups.items(), key=lambda item: (-len(item[0]), item[0])):
        lines.append("entry %s\n" % quote(url))
        for header in found:
            lines.append(" ".join([header.words[0], *map(quote, header.words[1:])]) + "\n")
    return netrc.data_of(_HELPER + "".join(lines) + _END)


def parse(data: bytes | None) -> list[Header]:
    """The headers in the file, in its order. Raises Refused, without showing anything of the file, where it is another
    program or was changed by hand in a way that would get lost."""
    if not data:
        return []
    text = netrc.text_of(data)
    head, mark, body = text.partition(_MARK)
    if not text.startswith(_FIRST) or not mark:
        raise Refused(
            "not-ours",
            "it is there, but was not written by goauth_entry",
            "move it away, or name another file by path",
        )
    result: list[Header] = []
    url = ""
    number = head.count("\n") + 2
    if not body.endswith(_END):
        raise Refused("changed", "its end is missing or was changed by hand", "repair it, or move it away")
    for line in body[: -len(_END)].split("\n")[:-1]:
        found = _LINE.match(line)
        words = _unquote(found.group(2)) if found else []
        kind = found.group(1) if found else ""
        at_least, at_most = _WORDS.get(kind, (1, 0))
        if not at_least <= len(words) <= at_most or not _is_sound(url, kind, words):
            hint = "repair it, or move the file away and set all anew"
            raise Refused("changed", "line %d was changed by hand" % number, hint)
        if kind == "entry":
            url = words[0]
        else:
            result.append(Header(url, (kind, *words)))
        number += 1
    return result


def _is_sound(url: str, kind: str, words: Sequence[str]) -> bool:
    """Whether these words make a line that prints one URL or one header, and no more."""
    try:
        if any(re.search("[\x00-\x1f\x7f]", word) for word in words):
            return False
        if kind == "entry":
            return check_url(words[0]) == words[0]
        if kind != "text" and words[0] == "basic":
            return bool(url) and ":" not in words[1]
        name, colon, _value = words[0 if kind == "text" else 1].partition(": ")
        check_name(name)
        return bool(url and colon) and (kind == "text" or words[0] == "header")
    except Refused:
        return False


def put(data: bytes | None, header: Header, exclusive: bool = True) -> bytes:
    """The file with this header in the place of the URL's one of the same name.

    exclusive: the URL's other headers go. What passed the checks below is expected. Raises Refused.
    """
    result: list[Header] = []
    for old in parse(data):
        if old.key == header.key:
            if header not in result:
                result.append(header)
        elif not (exclusive and old.url == header.url):
            result.append(old)
    if header not in result:
        result.append(header)
    return _checked(result)


def drop(data: bytes | None, url: str, name: str | None = None) -> bytes | None:
    """The file without the URL's headers, or without the one of that name; as it is where there is none."""
    headers = parse(data)
    left = [old for old in headers if old.url != url or (name is not None and old.name.lower() != name.lower())]
    return data if len(left) == len(headers) else _checked(left)


def _checked(headers: Sequence[Header]) -> bytes:
    data = render(headers)
    if sorted(parse(data)) != sorted(headers):
        raise ValueError("a header cannot be written to the file and read back")
    return data


# --- what is asked for -----------------------------------------------------------------------------------------

_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]+))?\Z")
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&()*+,=:\-]|%[0-9A-Fa-f]{2})+)*\Z")
# RFC 9110, section 5.6.2; userauth.go takes the same, httputils.go.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+\Z")
#: Headers of the connection, which net/http sets itself.
_FRAMING = frozenset(
    "connection content-length host keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)


def check_url(url: str) -> str:
    """The URL prefix as it stands in the file; raises Refused for what Go would never match or send to."""
    example = "write it like https://goproxy.example.com/team-a"
    if "@" in url:
        raise Refused("userinfo", "url: there is login data in it, which would be shown and logged", example)
    if url.startswith("http://"):
        raise Refused("http", "url: %r; Go sends credentials over https only" % url, "write https://, or use no login")
    if not url.startswith("https://"):
        raise Refused("scheme", "url: %r does not begin with https://" % url, example)
    try:
        parts = urlsplit(url)
        found = _HOST.match(parts.netloc)
    except ValueError:
        found = None
    if found is None:
        raise Refused("host", "url: %r has no host that Go could ask" % url, example)
    if found.group(1) is not None and not 0 < int(found.group(1)[:6]) <= 65535:
        raise Refused("port", "url: the port of %r is not between 1 and 65535" % url, example)
    path = url[len("https://") + len(parts.netloc) :].rstrip("/")
    if "?" in path or "#" in path or "*" in path:
        raise Refused("pattern", "url: %r: Go compares whole elements of the path, without patterns" % url, example)
    if not _PATH.match(path) or set(path.split("/")) & {".", ".."}:
        raise Refused("path", "url: the path of %r is none that Go would ask for" % url, example)
    return "https://" + parts.netloc + path


def check_name(name: str) -> None:
    """Raises Refused where it is no name of a header that can be set."""
    if not _HEADER_NAME.match(name):
        hint = "write the name alone, like PRIVATE-TOKEN"
        raise Refused("header", "header: %r is not the name of an HTTP header" % mask(name), hint)
    if name.lower() in _FRAMING:
        raise Refused("header", "header: %s belongs to the connection, Go sets it itself" % name, "name another one")


def check_login(login: str, token: str) -> None:
    """Raises Refused where Basic authorization cannot hold the login, or it is a token that would be logged."""
    if netrc.is_token(login, token):
        raise Refused(
            "token-as-login",
            "login: it is the token itself, or the token is a dummy for one; logins are shown and logged",
            "give it as token, and as login what the server wants with it, such as x-access-token or oauth2",
        )
    if ":" in login:
        raise Refused("colon", "login: it holds a colon, which ends the login (RFC 7617)", "change it")
    _check_text("login", login)


def check_token(token: str, basic: bool) -> None:
    """Raises Refused where no header can hold the secret. The text does not hold it."""
    _check_text("token", token)
    if not basic and not re.match(r"[\x20-\x7e]+\Z", token):
        raise Refused("ascii", "token: a header cannot hold the character in it that is not ASCII", "change it")
    if not basic and token != token.strip():
        raise Refused("blank", "token: it begins or ends with a blank, which Go would not send", "remove the blank")


def _check_text(name: str, value: str) -> None:
    if not value:
        raise Refused("empty", "%s: it is empty" % name, "give one")
    if re.search("[\r\n\x85\u2028\u2029]", value):
        hint = "remove it; what is read from a file often ends with one, which the filter trim removes"
        raise Refused("lines", "%s: it holds a line break, which would begin another header" % name, hint)
    if re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", value):
        raise Refused("control", "%s: it holds a control character or is no UTF-8" % name, "change it")


def check_command(command: Sequence[str]) -> None:
    """Raises Refused where it cannot be run from the file, or has login data in its arguments."""
    if not command or not command[0].startswith("/"):
        hint = "write its absolute path: the PATH of a job is the job's own"
        raise Refused("command", "command: the program %r is no absolute path" % mask("".join(command[:1])), hint)
    for word in command:
        if re.search("[\x00-\x1f\x7f\ud800-\udfff]", word):
            raise Refused("control", "command: a word of it holds a line break or control character", "remove it")
    if _masked(command) != list(command):
        raise Refused(
            "login-data",
            "command: there is login data in its arguments, which everybody on the host can see while it runs",
            "let the program read it from a file with mode 0600",
        )


def _masked(command: Sequence[str]) -> list[str]:
    """The words, with *** for login data, also for what follows an option that is named like a secret."""
    result: list[str] = []
    for word in command:
        before = result[-1] if result else ""
        pair = before + " " + word
        if before.startswith("-") and "=" not in before and not word.startswith("-") and mask(pair) != pair:
            result.append(MASK)
        else:
            result.append(mask(word))
    return result


def check_file(path: str) -> str:
    """The path, normalised; raises Refused where the script could not name it."""
    if not path.startswith("/") or ".." in path.split("/") or re.search("[\x00-\x1f\x7f\ud800-\udfff]", path):
        hint = "write the whole path, starting with '/'"
        raise Refused("path", "token_file: %r is no absolute path of a file" % path, hint)
    return evaluate.clean(path)


def secrets_in(command: Sequence[str]) -> list[str]:
    """The words of a command that may hold login data, and must not be shown."""
    return [word for word, seen in zip(command, _masked(command)) if word != seen]


def hints(url: str) -> list[str]:
    """What is allowed and yet seldom meant, for a warning."""
    host = urlsplit(url).netloc
    if host != host.lower():
        return [
            "url: %r has capital letters in its host; Go compares letter by letter, so that the URL must be written "
            "the same way" % url
        ]
    if host.endswith(":443"):
        return ["url: %r names the port 443; Go compares letter by letter, and most URLs do not name it" % url]
    return []


def stored(url: str, token: str, login: str = "", name: str = "") -> Header:
    """The header whose secret is in the file: Basic with a login, else with that name, else a Bearer token."""
    if login:
        pair = base64.b64encode(netrc.data_of(login + ":" + token)).decode("ascii")
        return Header(url, ("text", _BASIC + pair))
    return Header(url, ("text", (name + ": " if name else _BEARER) + token))


def fetched(url: str, source: str, words: Sequence[str], login: str = "", name: str = "") -> Header:
    """The header whose secret is had at each call of Go. source: "file" with its path, or "run" with a command."""
    form = ("basic", login) if login else ("header", name + ": " if name else _BEARER)
    return Header(url, (source, *form, *words))


# --- showing ---------------------------------------------------------------------------------------------------


def describe(header: Header) -> Shown:
    """The header without its secret."""
    if header.words[0] == "text":
        login, kind = "", "header"
        value = header.words[1]
        if value.startswith(_BEARER):
            kind = "bearer"
        elif value.startswith(_BASIC):
            kind = "basic"
            try:
                pair = netrc.text_of(base64.b64decode(value[len(_BASIC) :], validate=True))
            except ValueError:
                pair = ""
            login = netrc.shown_login(pair.partition(":")[0])
        return Shown(kind, login, "stored", "")
    source, form, prefix = header.words[:3]
    kind = "basic" if form == "basic" else "bearer" if prefix == _BEARER else "header"
    login = netrc.shown_login(prefix) if form == "basic" else ""
    place = mask(header.words[3]) if source == "file" else " ".join(_masked(header.words[3:]))
    return Shown(kind, login, "file" if source == "file" else "command", place)


def shown(data: bytes | None, before: bytes | None = None) -> str:
    """The entries of the file as text fit for a diff. before: the file before; a secret not in it is marked as new."""
    if data is None:
        return ""
    known = set(parse(before))
    result: list[str] = []
    if not netrc.text_of(data).startswith(_HELPER):
        result.append("(the script of another version)\n")
    url = ""
    for header in parse(data):
        if header.url != url:
            url = header.url
            result.append(mask(url) + "\n")
        seen = describe(header)
        kind = "" if seen.kind == "header" else seen.kind.capitalize() + " "
        login = seen.login + ":" if seen.login else ""
        new = " (new)" if before is not None and header not in known else ""
        origin = " from %s %s" % (seen.source, seen.place) if seen.place else ""
        result.append("  %s: %s%s%s%s%s\n" % (header.name, kind, login, MASK, origin, new))
    return "".join(result).encode("utf-8", "backslashreplace").decode("utf-8")


# --- where, and who uses it ------------------------------------------------------------------------------------


def target(account: Account, path: str | None = None) -> Target:
    """The account's helper, beside its Go env file: go/goauth.sh in XDG_CONFIG_HOME, else ~/.config.

    Raises Impossible, also where GOAUTH could not name it.
    """
    chosen = "path" if path else "HOME"
    if not path:
        directory, why = evaluate.config_dir(configure.environment_of(account))
        if not directory:
            reason = "XDG_CONFIG_HOME is a relative path" if why == "relative-xdg" else "it has no home directory"
            raise Impossible("account %s: %s; name a file by path" % (account.name, reason))
        path = evaluate.join(directory, NAME)
        if path.startswith(account.home + "/") and not os.path.isdir(account.home):
            raise Impossible(
                "account %s: its home directory %s does not exist; create the home, or name a file by path"
                % (account.name, account.home)
            )
    setting(path)
    return Target(path, account, chosen)


def setting(path: str) -> str:
    """The value for GOAUTH: the helper, and behind it netrc for all other places. Raises Impossible.

    auth.go splits at every semicolon first, then cmd/internal/quoted splits into words.
    """
    if ";" in path or re.search("[\x00-\x1f\x7f]", path) or ("'" in path and '"' in path):
        raise Impossible("path: GOAUTH cannot name %r; use letters, digits and the usual punctuation" % path)
    return "/bin/sh %s;netrc" % (grammar.quote_flag(path) if re.search("[ '\"]", path) else path)


def names_helper(goauth: str, path: str) -> bool:
    """Whether this GOAUTH runs the file."""
    for command in goauth.split(";"):
        try:
            if path in grammar.split_quoted(command):
                return True
        except ValueError:
            continue
    return False


def overrides(where: Target, url: str, names: Sequence[str] = ()) -> tuple[list[Override], list[str], list[str]]:
    """The account's sessions and services whose GOAUTH leaves the helper out; notes on what is not known or goes slowly
    for the URL; and the toolchains that know no GOAUTH. names: as of netrc.overrides(). Changes nothing."""
    account = where.account
    found = toolchain.find([account])
    old = ["%s (%s)" % (chain.version, chain.goroot) for chain in found if chain.release < SINCE]
    new = [chain for chain in found if chain.release >= SINCE]
    wanted = setting(where.path)
    result: list[Override] = []
    seen, notes = netrc.readers(account, names)
    half = [chain.version for chain in new if chain.release < PATHS_SINCE]
    if half and urlsplit(url).path:
        notes.append(
            "url: %s is a part of a server, which %s finds only after an answer 4xx, so that it asks for each file "
            "twice (golang/go#71889); Go 1.25 finds it at once" % (url, ", ".join(sorted(set(half))))
        )
    for environ, who, source in seen:
        environ.setdefault("HOME", account.home)
        files = files_for(account.uid, account.gid)
        chain = new[0] if new else None
        effective = evaluate.effective(account, environ, chain, fs=files, source=source).get("GOAUTH")
        if effective is not None and not names_helper(effective.value, where.path):
            result.append(Override("GOAUTH", wanted, mask(effective.value), effective.origin, effective.where, who))
    return result, notes, old


def override_text(where: Target, item: Override) -> str:
    """One sentence for a person; holds no credentials."""
    place = "built into Go" if item.origin == evaluate.DEFAULT else "from " + item.where
    return "%s do not use %s: GOAUTH=%s is %s; set GOAUTH=%s" % (
        item.who,
        where.path,
        item.effective,
        place,
        item.wanted,
    )


def problem_of(account: Account, header: Header) -> str:
    """Why Go would get nothing from the header's file or program as things are now, empty where nothing is seen.

    Looks with the account's rights, runs nothing, and shows nothing of what is in the file.
    """
    if header.words[0] == "text":
        return ""
    place = header.words[3]

    def work() -> Any:
        try:
            if header.words[0] == "run":
                if not os.path.isfile(place):
                    return "is no program, or not to be seen by it"
                return "" if os.access(place, os.X_OK, effective_ids=True) else "may not be run by it"
            secret = read_file(place).rstrip(b"\n")
            return "is empty" if not secret else "has more than one line" if b"\n" in secret else ""
        except OSError as error:
            return "cannot be read by it: %s" % (error.strerror or error)

    try:
        answer = str(as_account(account.uid, account.gid, work))
    except OSError as error:
        answer = "could not be looked at: %s" % (error.strerror or error)
    if not answer:
        return ""
    return "%s, asked for by account %s, %s; until then Go gets no credentials for %s" % (
        place,
        account.name,
        answer,
        header.url,
    )
