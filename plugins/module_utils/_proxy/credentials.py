# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which credential Go sends to a module proxy (cmd/go/internal/auth): userinfo, netrc, GOAUTH. Only over https."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import unquote, urlsplit

from .._core.document import read_json
from .._go import grammar
from .._go.files import LIMIT, Files, answer_of

#: Seconds for one GOAUTH command.
COMMAND_TIMEOUT = 20.0


class Entry(NamedTuple):
    """One complete entry of a netrc file."""

    machine: str
    login: str
    password: str


class Credential(NamedTuple):
    """What is sent with a request. source: where it comes from, fit to be shown, or an empty text for none.

    headers: secret. note: why another entry is not used, or what was not asked.
    """

    source: str
    headers: Mapping[str, str]
    note: str


NONE = Credential("", {}, "")


def parse_netrc(text: str) -> List[Entry]:
    """The entries that Go takes from a netrc file, in its order (auth.parseNetrc): default is none of them."""
    entries: List[Entry] = []
    machine = login = password = ""
    in_macro = False
    for line in text.split("\n"):
        if in_macro:
            in_macro = bool(line)
            continue
        words = line.split()
        at = 0
        while at < len(words) - 1:
            key, value = words[at], words[at + 1]
            if key == "machine":
                machine, login, password = value, "", ""
            elif key == "login":
                login = value
            elif key == "password":
                password = value
            elif key == "macdef":
                in_macro = True
            if machine and login and password:
                entries.append(Entry(machine, login, password))
                machine = login = password = ""
            at += 2
        if at < len(words) and words[at] == "default":
            break
    return entries


def _basic(login: str, password: str) -> Dict[str, str]:
    token = base64.b64encode(("%s:%s" % (login, password)).encode("utf-8")).decode("ascii")
    return {"Authorization": "Basic " + token}


def parse_user_auth(text: str) -> Dict[str, Dict[str, str]]:
    """URL prefix to headers from what a GOAUTH command prints (auth.parseUserAuth). Raises ValueError."""
    found: Dict[str, Dict[str, str]] = {}
    lines = text.split("\n")
    at = 0
    while at < len(lines) and (at < len(lines) - 1 or lines[at]):
        blocks: List[List[str]] = []
        for what in ("URLs", "headers"):
            block: List[str] = []
            while at < len(lines) - 1 and lines[at]:
                block.append(lines[at])
                at += 1
            if at >= len(lines) - 1:
                raise ValueError("no empty line after the " + what)
            at += 1
            blocks.append(block)
        headers: Dict[str, str] = {}
        for line in blocks[1]:
            name, colon, value = line.partition(": ")
            if not colon or not re.match(r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z", name):
                raise ValueError("a header line that is none")
            headers[name] = value.strip()
        for url in blocks[0]:
            found[_prefix(url)] = headers
    return found


def _prefix(url: str) -> str:
    url = url[len("https://") :] if url.startswith("https://") else url
    return url[:-1] if url.endswith("/") else url


#: A login that nobody has.
WRONG = Credential("a wrong login", _basic("gofleet-cache-doctor", "wrong"), "")


class Credentials:
    """The credentials of one account.

    goauth: the effective GOAUTH; an empty one for Go before 1.24, which knows netrc only. environ: its processes', for
    NETRC and HOME. ask_commands: whether GOAUTH's commands are run; they are the account's own programs. secrets
    collects every secret text that was read.
    """

    def __init__(self, goauth: str, environ: Mapping[str, str], files: Files, ask_commands: bool = False) -> None:
        self.old = not goauth.strip()
        self.goauth = goauth.strip() or "netrc"
        self.environ = environ
        self.ask_commands = ask_commands
        self.secrets: List[str] = []
        self.notes: List[str] = []
        self.not_asked: List[str] = []
        self.netrc_path = environ.get("NETRC") or (environ["HOME"] + "/.netrc" if environ.get("HOME") else "")
        self.entries: List[Entry] = []
        # prefix -> (source, headers); what comes first in GOAUTH is stored last and so wins
        self._stored: Dict[str, Tuple[str, Mapping[str, str]]] = {}
        commands = [command.strip() for command in self.goauth.split(";")]
        if self.goauth == "off":
            return
        for command in reversed(commands):
            if not command:
                self.notes.append("GOAUTH has an empty command: every fetch over https fails")
            elif command == "netrc":
                self._netrc(files)
            elif command != "off":
                self._command(command)

    def _netrc(self, files: Files) -> None:
        if not self.netrc_path:
            return
        try:
            text = files.read(self.netrc_path).decode("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            reason = error.strerror or "cannot be read"
            self.notes.append("%s: %s: Go ignores the file without a word" % (self.netrc_path, reason))
            return
        self.entries = parse_netrc(text)
        for entry in reversed(self.entries):
            headers = _basic(entry.login, entry.password)
            self.secrets += [entry.password, headers["Authorization"].split()[1]]
            self._stored[_prefix(entry.machine)] = ("netrc entry for %s" % entry.machine, headers)

    def _command(self, command: str) -> None:
        try:
            words = grammar.split_quoted(command)
        except ValueError:
            words = []
        name = "GOAUTH command " + (os.path.basename(words[0]) if words else "that cannot be read")
        if not self.ask_commands or not words or words[0] == "git":
            self.not_asked.append(name)
            return
        # Its standard error may show secrets; it is dropped.
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self.environ),
                cwd="/",
                start_new_session=True,
            )
            out, _err, why = answer_of(process, COMMAND_TIMEOUT, LIMIT)
            if why == "late":
                self.notes.append("%s gave no answer within %d seconds" % (name, COMMAND_TIMEOUT))
                return
            if not why and process.returncode:
                self.notes.append("%s ended with status %d" % (name, process.returncode))
                return
            if why:
                raise ValueError("it printed more than %d bytes" % LIMIT)
            found = parse_user_auth(out.decode("utf-8", "replace"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.notes.append("%s gave no credentials: %s" % (name, reason))
        else:
            for prefix, headers in found.items():
                for value in headers.values():
                    self.secrets += [value] + value.split()[1:]
                self._stored[prefix] = (name, headers)

    def for_url(self, url: str) -> Credential:
        """The credential for a request (auth.loadCredential, net/http.Client)."""
        parts = urlsplit(url)
        if parts.scheme != "https":
            return NONE
        userinfo, at, netloc = parts.netloc.rpartition("@")
        # With userinfo in the URL Go looks for prefixes that hold it, so that no netrc entry fits; before 1.24 one did.
        if at and not (self.old and netloc in self._stored):
            user, _colon, password = userinfo.partition(":")
            return Credential("the URL itself", _basic(unquote(user), unquote(password)), "")
        prefix = _prefix(url)
        prefix = prefix[len(userinfo) + 1 :] if at else prefix
        while True:
            if prefix in self._stored:
                source, headers = self._stored[prefix]
                return Credential(source, headers, "")
            if "/" not in prefix:
                break
            prefix = prefix.rpartition("/")[0]
        return Credential("", {}, self._near_miss(netloc))

    def _near_miss(self, netloc: str) -> str:
        host = re.sub(r":\d+\Z", "", netloc)
        machines = [entry.machine for entry in self.entries]
        near = [machine for machine in machines if machine != netloc and re.sub(r":\d+\Z", "", machine) == host]
        if near:
            return "netrc has an entry for %s, but Go looks for %s exactly (golang/go#81253)" % (near[0], netloc)
        if self.not_asked:
            return "%s was not asked" % " and ".join(self.not_asked)
        return ""


def expires(headers: Mapping[str, str]) -> Optional[int]:
    """When the token in these headers ends, in Unix seconds, where it is a JWT that tells (RFC 7519); else None."""
    for value in headers.values():
        kind, _blank, text = value.partition(" ")
        if kind.lower() == "basic":
            try:
                text = base64.b64decode(text).decode("utf-8", "replace")
            except ValueError:
                continue
        for token in re.findall(r"[A-Za-z0-9_\-]{8,}\.([A-Za-z0-9_\-]{8,})\.[A-Za-z0-9_\-]*", text):
            try:
                claims = read_json(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
                return int(claims["exp"])
            except (ValueError, TypeError, KeyError, OverflowError):
                continue
    return None


def url_secrets(urls: Sequence[str]) -> List[str]:
    """The passwords in URLs, as written and decoded, also in the form of Basic authorization."""
    found: List[str] = []
    for url in urls:
        userinfo, at, _host = url.partition("://")[2].partition("/")[0].rpartition("@")
        if not at:
            continue
        user, colon, password = userinfo.partition(":")
        secret = password if colon else user
        found += [secret, unquote(secret), userinfo, unquote(userinfo)]
        found.append(_basic(unquote(user), unquote(password))["Authorization"].split()[1])
    return [text for text in dict.fromkeys(found) if text]
