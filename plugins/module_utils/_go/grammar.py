# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be written into a Go env file, and what each variable's value must look like.

C(go env -w) checks little: it accepts C(GOPROXY=foo), C(GOPRIVATE=[), C(GOTOOLCHAIN=banana) and a dozen more, which
later send private module paths to public servers or make every Go command fail. The checks here follow the code in
Go 1.26 that later reads the value (named at each check), so what passes is what Go will understand.

All functions are pure: text in, findings out; no file, process or network is touched. No message contains the
userinfo of a URL.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import posixpath
import re
import typing as t
from urllib.parse import urlsplit

from .mask import mask, mask_value
from .names import CONTEXT_NAMES, ENV_FILE_NAMES, PROCESS_ONLY_NAMES, PROXY_NAMES, READ_ONLY_NAMES


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# cmd/go/internal/envcmd/env.go, checkEnvWrite. Releases differ about GOROOT; a toolchain that runs with another one's
# GOROOT fails to build, so it is refused here.
READ_ONLY: frozenset[str] = READ_ONLY_NAMES | {"GOROOT"}

# Read from the process environment only: a line in an env file has no effect at all.
OS_ENVIRONMENT_ONLY: frozenset[str] = (
    PROCESS_ONLY_NAMES
    | CONTEXT_NAMES
    | PROXY_NAMES
    | _set("GORACE PATH SSL_CERT_FILE SSL_CERT_DIR GIT_SSH GIT_SSH_COMMAND GIT_TERMINAL_PROMPT SSH_AUTH_SOCK")
)

WRITABLE: frozenset[str] = ENV_FILE_NAMES - READ_ONLY

# Names that guides and old habits put into env files, and what to use instead.
_INSTEAD: dict[str, str] = {
    "GONOSUMCHECK": "no Go release reads it; list the modules in GONOSUMDB, or in GOPRIVATE",
    "GONOSUM": "the variable is GONOSUMDB",
    "GOPROXIES": "the variable is GOPROXY",
    "GOPRIVATES": "the variable is GOPRIVATE",
    "GOMODPROXY": "the variable is GOPROXY",
}

# $GOROOT/go.env as Go releases ship it: the only place where these three have a default, so that an empty line in
# the user's file masks it and a missing line in go.env leaves nothing.
GOROOT_DEFAULTS: dict[str, str] = {
    "GOPROXY": "https://proxy.golang.org,direct",
    "GOSUMDB": "sum.golang.org",
    "GOTOOLCHAIN": "auto",
}

#: Comma-separated lists of globs on module path prefixes.
GLOB_LISTS: frozenset[str] = frozenset(("GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE"))

#: How a list given by a person becomes one value; GOFLAGS is quoted besides.
SEPARATORS: dict[str, str] = {
    "GOPROXY": ",",
    "GOPRIVATE": ",",
    "GONOPROXY": ",",
    "GONOSUMDB": ",",
    "GOINSECURE": ",",
    "GOVCS": ",",
    "GOEXPERIMENT": ",",
    "GOWASM": ",",
    "GOAUTH": ";",
    "GOPATH": ":",
    "GOFLAGS": " ",
}


class Fault(t.NamedTuple):
    """One thing wrong with one setting.

    C(rule) is a stable slug for machines; C(message) says what is wrong and what Go would do with it; C(hint) is what
    to do, and where there is one the right line. C(certain) is false where a Go release newer than this table could
    know better: such a fault may be allowed by the person who asked for it.
    """

    variable: str
    rule: str
    message: str
    hint: str
    certain: bool = True

    def text(self) -> str:
        """One sentence or two for a person."""
        return f"{self.variable}: {self.message}. {self.hint}"


class GrammarError(ValueError):
    """A value that cannot be made into a setting at all; C(fault) says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text())
        self.fault = fault


def _shown(text: str, name: str = "GOPROXY") -> str:
    # GOPROXY's grammar is the one in which most text counts as a credential.
    return mask_value(name, text)


# --- names -----------------------------------------------------------------------------------------------------


def check_name(name: str) -> list[Fault]:
    """Whether a variable of this name may be written into a Go env file; an empty list is yes.

    Source: cmd/go/internal/envcmd/env.go checkEnvWrite, cmd/go/internal/cfg/cfg.go readEnvFile.
    """
    if not re.match(r"^[A-Z][A-Z0-9_]*\Z", name):
        if re.match(r"^[A-Z][A-Z0-9_]*\Z", name.strip().upper().replace("-", "_")):
            hint = "Write {}.".format(name.strip().upper().replace("-", "_"))
        else:
            hint = "A name has capital letters, digits and underscores and starts with a letter, like GOPROXY."
        return [Fault(name, "name-syntax", f"not a name that Go reads from an env file ({name!r})", hint)]
    if name in READ_ONLY:
        hint = "Leave it out; Go finds the value itself."
        if name == "GOROOT":
            hint = "Leave it out; each toolchain knows its own GOROOT. Choose a toolchain by PATH or GOTOOLCHAIN."
        elif name == "GOWORK":
            hint = "Set it in the environment of the one job that needs it, or keep a go.work file in the workspace."
        elif name in ("GOTELEMETRY", "GOTELEMETRYDIR"):
            hint = "Use 'go telemetry off' as the account."
        return [Fault(name, "name-read-only", "Go does not let one set it in an env file", hint)]
    if name in OS_ENVIRONMENT_ONLY and name not in _INSTEAD:
        return [
            Fault(
                name,
                "name-process-only",
                "Go reads it from the process environment only, a line in an env file has no effect",
                "Set it in the environment of the service or job that runs Go.",
            )
        ]
    if name in _INSTEAD:
        return [Fault(name, "name-unknown", "not a variable of Go", f"Remove it: {_INSTEAD[name]}.")]
    if name not in WRITABLE:
        return [
            Fault(
                name,
                "name-unknown",
                "not a variable that Go reads from an env file",
                f"Did you mean {_nearest(name)}? For a variable of a newer Go, switch the strict check off.",
                certain=False,
            )
        ]
    return []


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, sorted(WRITABLE), n=1, cutoff=0.5)
    return near[0] if near else "one of GOPROXY, GOPRIVATE, GONOSUMDB, GOSUMDB, GOFLAGS, GOTOOLCHAIN, GOMODCACHE"


# --- what a person wrote, as one value -------------------------------------------------------------------------


def to_value(name: str, given: t.Any) -> str:
    """The text of a value that a person gave as a string, number, boolean or list.

    YAML turns C(off) and C(on) into booleans; for variables that know these words they are turned back. Lists are
    joined as the variable's grammar wants it (C(SEPARATORS)), items of GOFLAGS are quoted where they hold blanks.
    Raises GrammarError for null, dictionaries, and lists or booleans that make no sense for the variable.
    """

    def wrong(rule: str, message: str, hint: str) -> GrammarError:
        return GrammarError(Fault(name, rule, message, hint))

    if isinstance(given, str):
        return given
    if given is None:
        raise wrong("value-type", "the value is null", "Give a string; to delete the line, list the name as absent.")
    if isinstance(given, bool):
        if name == "CGO_ENABLED" or name == "GO_EXTLINK_ENABLED":
            return "1" if given else "0"
        if name == "GO111MODULE":
            return "on" if given else "off"
        if name in ("GOPROXY", "GOSUMDB", "GOAUTH", "GOFIPS140") and not given:
            return "off"
        raise wrong("value-type", f"the value is the boolean {given}", "Put the intended text in quotes.")
    if isinstance(given, (int, float)):
        return str(given)
    if isinstance(given, (list, tuple)):
        separator = SEPARATORS.get(name)
        if separator is None:
            raise wrong("value-type", "a list, but the variable takes one value", "Give a string.")
        items = []
        for item in given:
            if isinstance(item, bool) and not item and name == "GOPROXY":
                item = "off"
            if not isinstance(item, str):
                raise wrong(
                    "value-type", f"the list holds {_shown(str(item))!r}, which is not a string", "Put it in quotes."
                )
            items.append(quote_flag(item) if name == "GOFLAGS" else item)
        if not items:
            raise wrong("value-type", "the list is empty", "To delete the line, list the name as absent.")
        return separator.join(items)
    raise wrong("value-type", f"the value is a {type(given).__name__}", "Give a string.")


def quote_flag(item: str) -> str:
    """One item of GOFLAGS, in quotes where Go's reader needs them (cmd/internal/quoted/quoted.go Join).

    Raises GrammarError for an item with a blank and both kinds of quotes, which that grammar cannot express.
    """
    if item and not re.search(r"[ \t\n\r]", item) and item[0] not in "'\"":
        return item
    if "'" not in item:
        return "'" + item + "'"
    if '"' not in item:
        return '"' + item + '"'
    raise GrammarError(
        Fault(
            "GOFLAGS", "quoting", "an item holds a blank and both kinds of quotes", "Go cannot express that; split it."
        )
    )


def split_quoted(text: str) -> list[str]:
    """The items of GOFLAGS, CC and friends. Raises ValueError on an unterminated quote.

    Source: cmd/internal/quoted/quoted.go Split: quotes count only at the start of an item, nothing is unescaped.
    """
    items: list[str] = []
    position = 0
    while position < len(text):
        if text[position] in " \t\n\r":
            position += 1
            continue
        if text[position] in "'\"":
            end = text.find(text[position], position + 1)
            if end < 0:
                raise ValueError(f"unterminated {text[position]} string")
            items.append(text[position + 1 : end])
            position = end + 1
            continue
        end = position
        while end < len(text) and text[end] not in " \t\n\r":
            end += 1
        items.append(text[position:end])
        position = end
    return items


# --- values ----------------------------------------------------------------------------------------------------


def check_value(name: str, value: str) -> list[Fault]:
    """Everything wrong with this value for this variable; an empty list is a value that Go will understand.

    The value is the text after the first C(=) of a line, literally: Go neither trims nor unquotes it. Names without
    a grammar of their own get the checks that hold for every line.
    """
    found = _check_text(name, value)
    if found:
        return found
    if value == "":
        if name in GOROOT_DEFAULTS:
            return [
                Fault(
                    name,
                    "empty-masks-default",
                    "an empty line is not 'unset': it masks the default in GOROOT/go.env and downloads fail",
                    f"List the name as absent to get the default back, or write {name}={GOROOT_DEFAULTS[name]}",
                )
            ]
        return []
    checker = _CHECKERS.get(name)
    return checker(name, value) if checker else []


def check(name: str, value: str) -> list[Fault]:
    """The faults of the name, or, where the name is fine, those of the value."""
    return check_name(name) or check_value(name, value)


def _check_text(name: str, value: str) -> list[Fault]:
    for character, spelled in (("\0", "NUL"), ("\n", "newline"), ("\r", "carriage return"), ("\v", "vertical tab")):
        if character in value:
            return [
                Fault(
                    name,
                    "control-character",
                    f"the value holds a {spelled}, which would break or extend the line",
                    "Remove it; a YAML block scalar needs '>-' so that it does not end in a newline.",
                )
            ]
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return [Fault(name, "utf8", "the value is not valid UTF-8", "Write it in UTF-8.")]
    if value != value.strip():
        return [
            Fault(
                name,
                "outer-blanks",
                "the value starts or ends with a blank, which Go keeps as part of it",
                f"Write {name}={_shown(value.strip())}",
            )
        ]
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" and not _takes_quotes(name):
        return [
            Fault(
                name,
                "quotes",
                "the value is in quotes, which Go keeps as part of it",
                f"Write {name}={_shown(value[1:-1])}",
            )
        ]
    return []


def _takes_quotes(name: str) -> bool:
    return name in ("GOFLAGS", "CC", "CXX", "FC", "GOCACHEPROG") or name.startswith("CGO_")


# GOPROXY


class ProxyEntry(t.NamedTuple):
    """One item of GOPROXY: its text, trimmed, and the separator after it (C(,), C(|) or empty for the last)."""

    text: str
    separator: str


def split_goproxy(value: str) -> list[ProxyEntry]:
    """The items of a GOPROXY value, also the empty ones and those that Go never reaches.

    Source: cmd/go/internal/modfetch/proxy.go proxyList. After C(,) Go goes on only on 404 and 410, after C(|) on any
    error.
    """
    entries = []
    rest = value
    while True:
        match = re.search(r"[,|]", rest)
        if match is None:
            entries.append(ProxyEntry(rest.strip(), ""))
            return entries
        entries.append(ProxyEntry(rest[: match.start()].strip(), match.group()))
        rest = rest[match.end() :]


def join_goproxy(entries: t.Sequence[ProxyEntry]) -> str:
    """The value that C(split_goproxy) reads as these entries; the last one's separator is dropped."""
    return "".join(
        entry.text + (entry.separator or ",") * (number + 1 < len(entries)) for number, entry in enumerate(entries)
    )


def proxy_url(text: str) -> str:
    """The URL that Go makes of one item: C(https://) is added to what looks like a host."""
    if re.search(r"[.:/]", text) and ":/" not in text and not text.startswith("/"):
        return "https://" + text
    return text


def _check_goproxy(name: str, value: str) -> list[Fault]:
    entries = split_goproxy(value)
    useful = [entry for entry in entries if entry.text]
    if not useful:
        return [
            Fault(
                name,
                "no-entries",
                "the list has separators but no entries, which makes every download fail",
                "Write for example {}={}, or off".format(name, GOROOT_DEFAULTS["GOPROXY"]),
            )
        ]
    faults: list[Fault] = []
    if len(useful) != len(entries):
        faults.append(
            Fault(
                name,
                "empty-entry",
                "the list has an empty entry (a separator too many)",
                f"Write {name}={_shown(join_goproxy(useful))}",
            )
        )
    for number, entry in enumerate(useful):
        if entry.text in ("direct", "off"):
            if number + 1 < len(useful):
                faults.append(
                    Fault(
                        name,
                        "after-end",
                        f"Go stops reading at '{entry.text}', what follows is never used",
                        f"Put it last, or write {name}={_shown(join_goproxy(useful[: number + 1]))}",
                    )
                )
            break
        faults.extend(_check_proxy_entry(name, entry.text))
    return faults


def _check_proxy_entry(name: str, text: str) -> list[Fault]:
    shown = _shown(text)
    if re.search(r"\s", text):
        return [
            Fault(
                name,
                "blank-in-entry",
                f"the entry {shown!r} holds a blank; entries are separated by ',' or '|'",
                "Write {}={}".format(name, _shown(",".join(text.split()))),
            )
        ]
    if ";" in text and re.search(r";(https?://|direct$|off$)", text):
        return [
            Fault(
                name,
                "separator",
                f"the entry {shown!r} holds ';', which does not separate entries",
                "Write {}={}".format(name, _shown(text.replace(";", ","))),
            )
        ]
    if not re.search(r"[.:/]", text):
        hint = "Use a URL, or one of the words direct and off."
        if text.lower() in ("direct", "off"):
            hint = f"Write it in small letters: {text.lower()}."
        elif text.lower() in ("private", "none", "auto", "on", "default"):
            hint = "Go knows only the words direct and off; private modules are named by GOPRIVATE."
        return [Fault(name, "missing-scheme", f"the entry {shown!r} is neither a URL nor direct or off", hint)]
    if text.startswith("/"):
        return [
            Fault(
                name,
                "missing-scheme",
                f"the entry {shown!r} is a path, not a URL",
                f"Write file://{shown}",
            )
        ]
    url = proxy_url(text)
    return check_url(name, url, ("https", "http", "file"))


def check_url(name: str, url: str, schemes: t.Sequence[str]) -> list[Fault]:
    """Faults of one URL in a setting: scheme, host, port, userinfo, and non-path parts of a file URL.

    Source: cmd/go/internal/modfetch/proxy.go newProxyRepo. No message holds the userinfo.
    """
    shown = _shown(url)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        return [Fault(name, "url", f"{shown!r} is not a URL that can be read", "Check host and port.")]
    if "@" in parts.netloc:
        return [
            Fault(
                name,
                "userinfo",
                f"the URL {shown!r} holds login data: the file is readable by others and 'go env' prints them",
                "Write {}, and put the login into the account's netrc file (mode 0600) or use GOAUTH.".format(
                    parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
                    if not parts.query
                    else "the URL without them"
                ),
            )
        ]
    if parts.scheme not in schemes:
        return [
            Fault(
                name,
                "scheme",
                "the scheme of {!r} is not one of {}".format(shown, ", ".join(schemes)),
                "Use https.",
            )
        ]
    if not re.match(r"^[A-Za-z][A-Za-z0-9+.\-]*://", url):
        return [
            Fault(
                name,
                "url",
                f"{shown!r} lacks '//' after the scheme",
                f"Write it as {parts.scheme}://host/path.",
            )
        ]
    if re.search(r"%(?![0-9A-Fa-f]{2})", parts.path):
        return [Fault(name, "url", f"{shown!r} has a '%' that begins no escape", "Write %25 for a percent sign.")]
    if parts.scheme == "file":
        if parts.netloc or parts.query or parts.fragment or not parts.path.startswith("/"):
            hint = "Write file:///absolute/path, with three slashes."
            if parts.netloc and not parts.query and not parts.fragment:
                hint = f"Write file:///{parts.netloc}{parts.path} (three slashes), if that absolute path is meant."
            return [Fault(name, "file-url", f"{shown!r} has more than an absolute path", hint)]
        return []
    if not host:
        return [Fault(name, "url", f"{shown!r} has no host", f"Write {parts.scheme}://host/path.")]
    if not re.match(r"^[A-Za-z0-9._:%\-]+\Z", host) or (port is not None and port == 0):
        return [Fault(name, "url", f"{shown!r} has no valid host and port", "Check the spelling.")]
    if parts.query or parts.fragment:
        return [
            Fault(
                name,
                "url-query",
                f"{shown!r} has a query or a fragment, which is no part of a proxy's address",
                "Write {}; a login belongs into the account's netrc file or GOAUTH.".format(
                    parts._replace(query="", fragment="").geturl()
                ),
            )
        ]
    return []


# GOPRIVATE, GONOPROXY, GONOSUMDB, GOINSECURE


def split_globs(value: str) -> list[str]:
    """The globs of a list as Go's matcher reads them: split at commas, one final slash dropped, empty ones skipped.

    Source: golang.org/x/mod/module MatchPrefixPatterns. Nothing is trimmed there.
    """
    items = (item[:-1] if item.endswith("/") else item for item in value.split(","))
    return [item for item in items if item]


def glob_is_valid(pattern: str) -> bool:
    """Whether path.Match of Go's standard library accepts the pattern (Go: path/match.go, ErrBadPattern)."""
    position = 0
    length = len(pattern)

    def character(at: int) -> int:
        """The position after one (maybe escaped) character of a class, or -1."""
        if at >= length or pattern[at] in "-]":
            return -1
        if pattern[at] == "\\":
            at += 1
            if at >= length:
                return -1
        return at + 1 if at + 1 < length else -1

    while position < length:
        if pattern[position] == "\\":
            position += 1
            if position >= length:
                return False
        elif pattern[position] == "[":
            position += 1
            if position < length and pattern[position] == "^":
                position += 1
            ranges = 0
            while not (position < length and pattern[position] == "]" and ranges > 0):
                position = character(position)
                if position < 0:
                    return False
                if pattern[position] == "-":
                    position = character(position + 1)
                    if position < 0:
                        return False
                ranges += 1
        position += 1
    return True


def _check_globs(name: str, value: str) -> list[Fault]:
    faults: list[Fault] = []
    if re.search(r"\s", value):
        right = ",".join(item for item in re.split(r"[\s,]+", value) if item)
        return [
            Fault(
                name,
                "blank-in-list",
                "the list holds a blank, which Go keeps as part of the pattern: it then matches nothing, and the "
                "private module's path is sent to the proxy and the checksum database",
                f"Write {name}={_shown(right)}",
            )
        ]
    items = value.split(",")
    if not all(items):
        faults.append(
            Fault(
                name,
                "empty-entry",
                "the list has an empty entry (a comma too many)",
                "Write {}={}".format(name, _shown(",".join(item for item in items if item)) or "none"),
            )
        )
    for item in items:
        if item:
            faults.extend(_check_glob(name, item))
    return faults


def _check_glob(name: str, item: str) -> list[Fault]:
    shown = _shown(item)

    def never(rule: str, why: str, right: str) -> list[Fault]:
        return [
            Fault(
                name,
                rule,
                f"the pattern {shown!r} {why}, so it never matches a module path",
                f"Write {right}" if right else "Name the module path, for example git.example.com/team.",
            )
        ]

    if "://" in item:
        right = re.sub(r"\.git/?$", "", item.split("://", 1)[1].rpartition("@")[2])
        return never("url-in-list", "is a URL", right)
    if not glob_is_valid(item):
        return [
            Fault(
                name,
                "bad-glob",
                f"the pattern {shown!r} is malformed, and Go ignores it without a word",
                "Close the bracket, or escape the character with a backslash.",
            )
        ]
    if "|" in item or ";" in item:
        return never("separator", "holds '|' or ';', and only a comma separates", re.sub(r"[|;]+", ",", shown))
    if "@" in item:
        bare = item.partition("@")[0]
        if ":" in item and item.index("@") < item.index(":"):  # git@host:team/repo
            bare = re.sub(r"\.git$", "", item.partition("@")[2].replace(":", "/", 1))
        return never("version-in-list", "holds '@'", bare)
    if ":" in item:
        return never("port-in-list", "holds ':' (module paths have no port)", re.sub(r":\d*", "", item))
    if item.startswith(("/", "./", "../")):
        return never("path-in-list", "starts like a file path", item.lstrip("./"))
    if item.endswith("/..."):
        return never("dots-in-list", "ends in '/...', which is not a wildcard here", item[: -len("/...")])
    return []


# GOSUMDB


def _check_gosumdb(name: str, value: str) -> list[Fault]:
    """Source: cmd/go/internal/modfetch/sumdb.go dbDial, golang.org/x/mod/sumdb/note NewVerifier."""
    if value in ("off", "sum.golang.org", "sum.golang.google.cn"):
        return []
    words = value.split()
    right = f"Write {name}=sum.golang.org, or name+hash+key of your own database, or off."
    if len(words) > 2:
        return [Fault(name, "fields", "more than two words; it is 'database' or 'database URL'", right)]
    if "://" in words[0]:
        return [
            Fault(
                name,
                "sumdb-name",
                f"{_shown(words[0])!r} is a URL; the first word is the database's name",
                f"Write {name}=sum.golang.org {_shown(words[0])}, or name the database by its key.",
            )
        ]
    faults: list[Fault] = []
    if words[0] != "sum.golang.org":
        database, _plus, rest = words[0].partition("+")
        digest, _plus, key64 = rest.partition("+")
        if not rest:
            if words[0].lower() in ("on", "auto", "none", "direct", "false", "no"):
                right = "Write off to switch it off, or sum.golang.org."
            return [
                Fault(
                    name,
                    "sumdb-key",
                    f"Go has no built-in key for the database {_shown(words[0])!r}",
                    right,
                )
            ]
        problem = _verifier_key_problem(database, digest, key64)
        if problem:
            faults.append(Fault(name, "sumdb-key", f"the verifier key is not usable: {problem}", right))
        elif not re.match(r"^[A-Za-z0-9.\-]+(:[0-9]+)?(/[^?#+]*[^/?#+])?\Z", database):
            faults.append(
                Fault(name, "sumdb-name", "the database's name must be host or host/path", "Check the spelling.")
            )
    if len(words) == 2:
        faults.extend(check_url(name, words[1], ("https", "http", "file")))
    return faults


def _verifier_key_problem(database: str, digest: str, key64: str) -> str:
    if not re.match(r"^[0-9a-fA-F]{8}\Z", digest):
        return "the hash after the first '+' is not eight hexadecimal digits"
    try:
        key = base64.b64decode(key64.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        return "what follows the second '+' is not base64"
    if not key:
        return "the key is empty"
    # golang.org/x/mod/sumdb/note keyHash
    if hashlib.sha256(database.encode("utf-8") + b"\n" + key).digest()[:4] != binascii.unhexlify(digest):
        return "the hash does not belong to this name and key"
    if key[0] != 1:
        return "the algorithm is not Ed25519"
    if len(key) != 33:
        return "an Ed25519 key has 32 bytes"
    return ""


# GOFLAGS

# Every flag for which some command of Go 1.26 answers to GOFLAGS=-flag (cmd/go/internal/base/goflags.go, hasFlag).
_KNOWN_FLAGS: frozenset[str] = _set("""
    C a artifacts asan asmflags bench benchmem benchtime blockprofile blockprofilerate buildmode buildvcs c cache
    changed compat compiled compiler count cover covermode coverpkg coverprofile cpu cpuprofile d debug-actiongraph
    debug-runtime-trace debug-trace deps diff dropexclude dropgodebug dropignore dropreplace droprequire dropretract
    droptool dropuse e exclude exec export f failfast find fix fmt fullpath fuzz fuzzcache fuzzminimizetime fuzztime
    gccgoflags gcflags go godebug i ignore insecure installsuffix json ldflags linkshared list m memprofile
    memprofilerate mod modcache modcacherw modfile module msan mutexprofile mutexprofilefraction n o outputdir overlay
    p parallel pgo pkgdir print r race replace require retract retracted reuse run short shuffle skip t tags test
    testcache timeout tool toolchain toolexec trace trimpath u use v vendor versions vet w work x
    """)

# Those that end in "flag needs an argument" without one, for every command that has them.
_VALUED_FLAGS: frozenset[str] = _set("""
    asmflags bench benchtime blockprofile blockprofilerate buildmode compiler count covermode coverpkg coverprofile cpu
    cpuprofile exec fuzz fuzzminimizetime fuzztime gccgoflags gcflags installsuffix ldflags memprofile memprofilerate
    mod modfile mutexprofile mutexprofilefraction o outputdir overlay p parallel pgo pkgdir run shuffle skip tags
    timeout toolexec
    """)

_BOOLEAN_FLAGS: frozenset[str] = _set(
    "a asan benchmem cover failfast linkshared modcacherw msan n race short trimpath work x"
)

# Flags of the linker and the compiler which some go command happens to know too, so that Go does not complain.
_TOOL_FLAGS: frozenset[str] = _set("E N X d e l m s u v w")

_DANGEROUS_FLAGS: dict[str, str] = {
    "n": "every build only prints its commands and builds nothing, yet succeeds",
    "x": "every build prints its commands, with paths and environment, into the job's log",
    "C": "Go demands it as the first flag of a command line, so every command fails",
    "o": "every build and test writes its result over the same file",
}


def _check_goflags(name: str, value: str) -> list[Fault]:
    """Source: cmd/go/internal/base/goflags.go InitGOFLAGS and SetFromGOFLAGS."""
    try:
        items = split_quoted(value)
    except ValueError as error:
        return [Fault(name, "quoting", f"{error}: every Go command would fail", "Close the quote.")]
    faults: list[Fault] = []
    for number, item in enumerate(items):
        shown = _shown(item)
        flag, equals, argument = item.lstrip("-").partition("=")
        dashes = len(item) - len(item.lstrip("-"))
        if dashes not in (1, 2) or not flag:
            before = items[number - 1] if number else ""
            hint = "Each item is one -flag or -flag=value."
            if before.startswith("-") and "=" not in before:
                hint = "Write {}".format(_shown(quote_or_plain(before + "=" + item)))
            elif "=" in before:
                hint = "A value with blanks is quoted with its flag: {}".format(
                    _shown(quote_or_plain(before + " " + item))
                )
            faults.append(Fault(name, "non-flag", f"{shown!r} is not a flag: every Go command would fail", hint))
            continue
        if flag in _DANGEROUS_FLAGS:
            faults.append(
                Fault(
                    name,
                    "dangerous-flag",
                    f"-{flag} for all commands: {_DANGEROUS_FLAGS[flag]}",
                    "Give it on the one command line that needs it.",
                )
            )
            continue
        before = items[number - 1] if number else ""
        if (
            before.partition("=")[0].lstrip("-") in ("ldflags", "gcflags", "asmflags", "gccgoflags")
            and " " not in before
            and (flag in _TOOL_FLAGS or flag not in _KNOWN_FLAGS)
        ):
            faults.append(
                Fault(
                    name,
                    "split-value",
                    f"-{_shown(flag)} is not part of the value of the item before it, the blank between ends that item",
                    f"Quote the value with its flag: {_shown(quote_or_plain(before + ' ' + item))}",
                )
            )
            continue
        if flag not in _KNOWN_FLAGS:
            hint = "Remove it. For a flag of a newer Go, switch the strict check off."
            faults.append(
                Fault(
                    name,
                    "unknown-flag",
                    f"no Go command knows -{_shown(flag)}: every one would fail",
                    hint,
                    certain=False,
                )
            )
            continue
        if flag in _VALUED_FLAGS and not equals:
            faults.append(
                Fault(
                    name,
                    "flag-value",
                    f"-{flag} needs its value in the same item",
                    f"Write -{flag}=value; in GOFLAGS a blank ends the item.",
                )
            )
        elif flag in _BOOLEAN_FLAGS and equals and argument.lower() not in ("true", "false", "1", "0", "t", "f"):
            faults.append(
                Fault(name, "flag-value", f"-{flag}={_shown(argument)!r} is not a boolean", f"Write -{flag}.")
            )
        elif flag == "mod" and argument not in ("mod", "vendor", "readonly"):
            faults.append(
                Fault(
                    name,
                    "flag-value",
                    f"-mod={_shown(argument)!r} is not a mode of Go",
                    "Write -mod=readonly, -mod=vendor or -mod=mod.",
                )
            )
        elif flag == "p" and not re.match(r"^[1-9][0-9]*\Z", argument):
            faults.append(
                Fault(
                    name, "flag-value", f"-p={_shown(argument)!r} is not a positive number", "Write for example -p=4."
                )
            )
    return faults


def quote_or_plain(item: str) -> str:
    """C(quote_flag) for messages: never raises."""
    try:
        return quote_flag(item)
    except GrammarError:
        return item


# GOTOOLCHAIN


def _check_gotoolchain(name: str, value: str) -> list[Fault]:
    """Source: cmd/go/internal/toolchain/select.go Select, cmd/go/internal/gover/toolchain.go FromToolchain."""
    if value in ("local", "auto", "path", "local+auto", "local+path"):
        return []
    minimum, plus, suffix = value.partition("+")
    bricks = f"every Go command would fail, also 'go env -u {name}'"
    if minimum != "local":
        match = re.match(r"^go(1(?:\.[0-9]+)?)((?:\.[0-9]+)|(?:[a-z]+[0-9]*))?((?:[ \t-][^/\\]*)?)\Z", minimum)
        if match is None:
            hint = "Write local, auto, path, or a version such as go1.26.1 or go1.26.1+auto."
            if re.match(r"^v?1\.[0-9]", minimum):
                hint = "Write {}=go{}".format(name, value.lstrip("v"))
            return [Fault(name, "toolchain", f"{_shown(value)!r} is not a toolchain: {bricks}", hint)]
        language = re.match(r"^1\.([0-9]+)\Z", match.group(1))
        if language and int(language.group(1)) >= 21 and not match.group(2) and not match.group(3):
            return [
                Fault(
                    name,
                    "toolchain-patch",
                    f"from Go 1.21 on a release has three numbers; {_shown(minimum)!r} names a language version, "
                    "which cannot be downloaded",
                    f"Write {name}={minimum}.0{plus + suffix}",
                )
            ]
    if plus and suffix not in ("auto", "path"):
        return [
            Fault(
                name,
                "toolchain",
                f"{_shown(value)!r} has a suffix other than +auto and +path: {bricks}",
                f"Write {name}={minimum}+auto",
            )
        ]
    return []


# GOVCS


def _check_govcs(name: str, value: str) -> list[Fault]:
    """Source: cmd/go/internal/vcs/vcs.go parseGOVCS."""
    example = f"Write it like {name}=private:all,public:git|hg"
    seen: set[str] = set()
    for item in value.split(","):
        pattern, colon, systems = (part.strip() for part in item.partition(":"))
        if not item.strip():
            return [Fault(name, "empty-entry", "the list has an empty entry, which Go refuses", example)]
        if not colon or not pattern or not systems:
            return [Fault(name, "govcs", f"{_shown(item.strip())!r} is not 'pattern:systems'", example)]
        if pattern.startswith(("./", "../")) or pattern in (".", ".."):
            return [Fault(name, "govcs", f"the pattern {_shown(pattern)!r} is relative, which Go refuses", example)]
        if not glob_is_valid(pattern):
            return [Fault(name, "bad-glob", f"the pattern {_shown(pattern)!r} is malformed", "Close the bracket.")]
        if pattern in seen:
            return [Fault(name, "govcs", f"the pattern {_shown(pattern)!r} appears twice, which Go refuses", example)]
        seen.add(pattern)
        names = [system.strip() for system in systems.split("|")]
        for system in names:
            if not system:
                return [Fault(name, "govcs", f"an empty system in {_shown(item.strip())!r}", example)]
            if system not in ("git", "hg", "svn", "bzr", "fossil", "all", "off"):
                return [
                    Fault(
                        name,
                        "govcs",
                        f"{_shown(system)!r} is not a version control system that Go knows",
                        "Use git, hg, svn, bzr, fossil, all or off, joined by '|'.",
                    )
                ]
        if "off" in names and len(names) > 1:
            return [Fault(name, "govcs", f"'off' stands alone in {_shown(item.strip())!r}", example)]
    return []


# GOAUTH


def _check_goauth(name: str, value: str) -> list[Fault]:
    """Source: cmd/go/internal/auth/auth.go runGoAuth."""
    commands = [command.split() for command in value.split(";")]
    faults: list[Fault] = []
    for words in commands:
        if not words:
            return [
                Fault(
                    name,
                    "empty-entry",
                    "the list has an empty command, with which every fetch fails",
                    "Remove the semicolon too many.",
                )
            ]
        if words[0] == "off" and len(commands) > 1:
            faults.append(Fault(name, "goauth-off", "'off' cannot be combined with other commands", "Write off alone."))
        elif words[0] in ("off", "netrc") and len(words) > 1:
            faults.append(
                Fault(
                    name,
                    "goauth",
                    f"'{words[0]}' takes no argument",
                    "Separate commands with ';'. For another netrc file set NETRC in the process environment.",
                )
            )
        elif words[0] == "git" and (len(words) != 2 or not words[1].startswith("/")):
            faults.append(
                Fault(
                    name,
                    "goauth-git",
                    "'git' needs exactly one absolute path of a git working directory",
                    f"Write {name}=git /path/of/the/directory",
                )
            )
        if any(mask(word) != word for word in words):
            faults.append(
                Fault(
                    name,
                    "userinfo",
                    "the command line holds login data, and the file is readable by others",
                    "Let the command read them from a file with mode 0600, or use netrc.",
                )
            )
    return faults


# Paths


def _check_absolute(name: str, value: str) -> list[Fault]:
    if value in ("off", "auto", "readonly", "on", "none") and name in ("GOCACHE", "GOMODCACHE"):
        return [
            Fault(
                name,
                "cache-word",
                f"{_shown(value)!r} is not a place; since Go 1.12 the cache cannot be switched off",
                "Give an absolute path, or list the name as absent for the default place.",
            )
        ]
    if not value.startswith("/"):
        return [
            Fault(
                name,
                "relative-path",
                f"{_shown(value)!r} is not an absolute path; Go expands neither '~' nor '$HOME' here",
                "Write the whole path, starting with '/'.",
            )
        ]
    if ".." in value.split("/"):
        return [
            Fault(
                name,
                "dot-dot",
                f"{_shown(value)!r} holds '..'",
                f"Write {name}={posixpath.normpath(value)}",
            )
        ]
    if posixpath.normpath(value).strip("/") == "":
        return [Fault(name, "root-path", "the root of the file system is no place for it", "Name a folder of its own.")]
    if re.search(r"\$\{?[A-Za-z_]", value):
        return [
            Fault(
                name,
                "variable-in-path",
                f"{_shown(value)!r} holds a shell variable, which Go does not expand",
                "Write the whole path.",
            )
        ]
    return []


def _check_gopath(name: str, value: str) -> list[Fault]:
    faults: list[Fault] = []
    for item in value.split(":"):
        if not item:
            faults.append(
                Fault(name, "empty-entry", "the list has an empty entry (a colon too many)", "Remove the colon.")
            )
        else:
            faults.extend(_check_absolute(name, item))
    return faults


def _check_command(name: str, value: str) -> list[Fault]:
    """Source: cmd/go/internal/envcmd/env.go checkEnvWrite for CC and CXX."""
    try:
        words = split_quoted(value)
    except ValueError as error:
        return [Fault(name, "quoting", str(error), "Close the quote.")]
    if not words or not words[0]:
        return [Fault(name, "command", "no command in it", "Name a program, or list the name as absent.")]
    if "/" in words[0] and not words[0].startswith("/"):
        return [
            Fault(
                name, "relative-path", f"the program {_shown(words[0])!r} is a relative path", "Write the whole path."
            )
        ]
    return []


def _check_flags_text(name: str, value: str) -> list[Fault]:
    try:
        split_quoted(value)
    except ValueError as error:
        return [Fault(name, "quoting", f"{error}: every build with cgo would fail", "Close the quote.")]
    return []


# Words

_GOOS = _set("aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris wasip1 windows")
_GOARCH = _set("386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm")


def _words(allowed: frozenset[str], certain: bool = True) -> t.Callable[[str, str], list[Fault]]:
    def checker(name: str, value: str) -> list[Fault]:
        if value in allowed:
            return []
        return [
            Fault(
                name,
                "word",
                f"{_shown(value)!r} is not a value that Go knows",
                "Use one of: {}.".format(", ".join(sorted(allowed))),
                certain,
            )
        ]

    return checker


def _pattern(expression: str, hint: str, certain: bool = True) -> t.Callable[[str, str], list[Fault]]:
    compiled = re.compile(expression)

    def checker(name: str, value: str) -> list[Fault]:
        if compiled.match(value):
            return []
        return [Fault(name, "word", f"{_shown(value)!r} is not a value that Go knows", hint, certain)]

    return checker


_Checker = t.Callable[[str, str], t.List[Fault]]

# The architecture variables: internal/buildcfg/cfg.go.
_CHECKERS: dict[str, _Checker] = {
    "GOPROXY": _check_goproxy,
    "GOPRIVATE": _check_globs,
    "GONOPROXY": _check_globs,
    "GONOSUMDB": _check_globs,
    "GOINSECURE": _check_globs,
    "GOSUMDB": _check_gosumdb,
    "GOFLAGS": _check_goflags,
    "GOTOOLCHAIN": _check_gotoolchain,
    "GOVCS": _check_govcs,
    "GOAUTH": _check_goauth,
    "GOCACHE": _check_absolute,
    "GOMODCACHE": _check_absolute,
    "GOBIN": _check_absolute,
    "GOTMPDIR": _check_absolute,
    "GOPATH": _check_gopath,
    "GOCACHEPROG": _check_command,
    "CC": _check_command,
    "CXX": _check_command,
    "FC": _check_command,
    "AR": _check_command,
    "GCCGO": _check_command,
    "PKG_CONFIG": _check_command,
    "CGO_CFLAGS": _check_flags_text,
    "CGO_CPPFLAGS": _check_flags_text,
    "CGO_CXXFLAGS": _check_flags_text,
    "CGO_FFLAGS": _check_flags_text,
    "CGO_LDFLAGS": _check_flags_text,
    "CGO_ENABLED": _words(frozenset("01")),
    "GO_EXTLINK_ENABLED": _words(frozenset("01")),
    "GO111MODULE": _words(frozenset(("auto", "on", "off"))),
    "GOOS": _words(_GOOS, certain=False),
    "GOARCH": _words(_GOARCH, certain=False),
    "GO386": _words(frozenset(("sse2", "softfloat"))),
    "GOAMD64": _words(frozenset(("v1", "v2", "v3", "v4"))),
    "GOARM": _pattern(r"^[567](,(soft|hard)float)?\Z", "Use 5, 6 or 7, with ',softfloat' or ',hardfloat' if wanted."),
    "GOARM64": _pattern(
        r"^v(8\.[0-9]|9\.[0-5])(,lse|,crypto)*\Z", "Use v8.0 to v9.5, with ',lse' and ',crypto' if wanted.", False
    ),
    "GOMIPS": _words(frozenset(("hardfloat", "softfloat"))),
    "GOMIPS64": _words(frozenset(("hardfloat", "softfloat"))),
    "GOPPC64": _words(frozenset(("power8", "power9", "power10")), certain=False),
    "GORISCV64": _words(frozenset(("rva20u64", "rva22u64", "rva23u64")), certain=False),
    "GOWASM": _pattern(r"^(satconv|signext)(,(satconv|signext))*\Z", "Use satconv, signext or both.", False),
    "GOFIPS140": _pattern(
        r"^(off|latest|inprocess|certified|v1\.[0-9]+\.[0-9]+(-rc[0-9]+|-.{8})?)\Z",
        "Use off, latest, inprocess, certified or v1.Y.Z: with any other value every Go command fails.",
    ),
    "GOEXPERIMENT": _pattern(
        r"^[a-z0-9]+(,[a-z0-9]+)*\Z", "Use names of experiments in small letters, separated by commas."
    ),
}
