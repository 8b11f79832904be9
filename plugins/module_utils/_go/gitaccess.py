# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an account's Git reaches repositories when Go fetches directly: rewritten addresses, known host keys, a proxy.

Go asks a repository with GIT_TERMINAL_PROMPT=0 and ssh in batch mode (cmd/go/internal/modfetch/codehost/git.go, and
cmd/go main), so whatever Git would ask a person makes the build fail.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import shutil
import subprocess
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from .._fs import atomic, scratch
from . import configure
from .accounts import Account
from .evaluate import SAFE_PATH
from .files import as_account
from .mask import mask
from .rules import ERROR, Finding

#: Seconds for one call of git on a small file.
GIT_SECONDS = 10.0

_KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


class Rewrite(NamedTuple):
    """url.<use>.insteadOf = <prefix>; present: whether it shall be there."""

    prefix: str
    use: str
    present: bool = True


class HostKey(NamedTuple):
    """One line of known_hosts: host, or [host]:port; kind and blob of the key."""

    host: str
    kind: str
    blob: str
    present: bool = True


# --- what people write -----------------------------------------------------------------------------------------


def check(instead_of: Sequence[Any], known_hosts: Sequence[Any], http_proxy: str = "") -> List[Finding]:
    """What is wrong with the entries, as of rewrite() and host_key(); ids begin with git- or known-hosts-."""
    found: List[Finding] = []
    seen: Dict[str, str] = {}
    for item in instead_of:
        problem = _rewrite_problem(item)
        if problem:
            found.append(problem)
            continue
        one = rewrite(item)
        if one.present and seen.setdefault(one.prefix, one.use) != one.use:
            text = "%s is to become two addresses, of which Git takes the first" % one.prefix
            found.append(_finding("git-twice", text, "Keep one of the two."))
        if one.present and re.match(r"(http|git)://", one.use):
            text = "%s has no encryption: what is fetched can be changed on the way" % one.use
            found.append(_finding("git-plain-http", text, "Use ssh:// or https://."))
    for item in known_hosts:
        problem = _key_problem(item)
        if problem:
            found.append(problem)
    if http_proxy and ("@" in http_proxy or not re.match(r"(https?|socks5h?)://[^/\s]+/?\Z", http_proxy)):
        text = "the proxy %r holds a login, or is no URL with host and port" % mask(http_proxy)
        hint = "Write it like http://proxy.example.com:3128; a login belongs into a credential helper."
        found.append(_finding("git-http-proxy", text, hint, "http.proxy"))
    return found


def _finding(code: str, text: str, hint: str, name: str = "insteadOf") -> Finding:
    return Finding(code, ERROR, name, mask(text), mask(hint))


def _rewrite_problem(item: Any) -> Optional[Finding]:
    example = "Write {prefix: https://git.example.com/, use: 'ssh://git@git.example.com/'}."
    if not isinstance(item, Mapping) or set(item) - {"prefix", "use", "state"} or not {"prefix", "use"} <= set(item):
        return _finding("git-entry", "an entry needs prefix and use, and may have state, and nothing else", example)
    if item.get("state", "present") not in ("present", "absent"):
        return _finding("git-entry", "state is %r" % (item["state"],), "Use present or absent.")
    prefix, use = item["prefix"], item["use"]
    for name, value in (("prefix", prefix), ("use", use)):
        if not isinstance(value, str) or not value or re.search(r"[\x00-\x20\x7f]", value):
            return _finding("git-entry", "%s is empty, no text, or holds a blank or control character" % name, example)
        login = _login(value)
        if login is None:
            return _finding("git-entry", "%s: %r is no address that can be read" % (name, mask(value)), example)
        secret = ":" in login or re.match(r"(?i)(https?|ftp)", value)
        if login and (name == "prefix" or secret):
            return _finding(
                "git-credentials",
                "%s holds a login: it would stand in a readable file, in 'git config -l' and in every remote's address"
                % name,
                "Use ssh with a deploy key, or leave it out and use netrc_entry.",
            )
        if not value.endswith(("/", ":")):
            return _finding(
                "git-prefix",
                "%s: %s does not end in '/': as text it is also the beginning of other hosts and paths" % (name, value),
                "Write %s/" % value,
            )
    if not re.match(r"[a-z][a-z0-9+.\-]*://[^/]", prefix):
        return _finding("git-prefix", "prefix: %s is not the address that Go asks" % prefix, example)
    if prefix == use:
        return _finding("git-entry", "prefix and use are the same: %s" % prefix, "Remove the entry.")
    return None


def _login(url: str) -> Optional[str]:
    """The part before '@' of an address, '' where there is none, None where it cannot be read."""
    if "://" in url:
        try:
            return urlsplit(url).netloc.rpartition("@")[0]
        except ValueError:
            return None
    return url.rpartition("@")[0] if ":" in url or url.startswith("/") else None


def secrets(instead_of: Sequence[Any], http_proxy: str = "") -> List[str]:
    """Texts in the given addresses that must not be shown."""
    found: List[str] = []
    addresses = [item.get(name) for item in instead_of if isinstance(item, Mapping) for name in ("prefix", "use")]
    for address in [*addresses, http_proxy]:
        login = _login(address) if isinstance(address, str) else ""
        if login and (":" in login or not str(address).startswith("ssh://")) and "://" in str(address):
            found += [part for part in (login, login.partition(":")[2]) if len(part) > 2]
    return found


def rewrite(item: Mapping[str, Any]) -> Rewrite:
    """An entry that check() has passed."""
    return Rewrite(str(item["prefix"]), str(item["use"]), item.get("state", "present") == "present")


def _key_problem(item: Any) -> Optional[Finding]:
    name = "known_hosts"
    example = (
        "Write {host: git.example.com, key: 'ssh-ed25519 AAAA...'}, or host '[git.example.com]:2222' for another port."
    )
    if not isinstance(item, Mapping) or set(item) - {"host", "key", "state"} or not {"host", "key"} <= set(item):
        return _finding("known-hosts-entry", "an entry needs host and key, and may have state", example, name)
    if item.get("state", "present") not in ("present", "absent"):
        return _finding("known-hosts-entry", "state is %r" % (item["state"],), "Use present or absent.", name)
    host, key = str(item["host"]), str(item["key"])
    if "PRIVATE KEY" in key:
        return _finding("known-hosts-key", "the key of %s is a private key" % host, "Give the public one.", name)
    if not re.match(r"(\[[A-Za-z0-9._:%\-]+\]:[0-9]{1,5}|[A-Za-z0-9._:%\-]+)\Z", host) or host.startswith("-"):
        text = "%r is not one host: blanks, commas, wildcards and logins are not taken" % mask(host)
        return _finding("known-hosts-host", text, example, name)
    words = _key_words(host, key)
    if len(words) < 2 or words[0] not in _KEY_TYPES or not _is_key(words[0], words[1]):
        text = "the key of %s is not a public key as ssh-keyscan prints it" % host
        return _finding("known-hosts-key", text, example, name)
    return None


def _key_words(host: str, key: str) -> List[str]:
    words = key.split()
    return words[1:] if len(words) > 2 and words[0] not in _KEY_TYPES and words[1] in _KEY_TYPES else words


def _is_key(kind: str, blob: str) -> bool:
    """Source: RFC 4253 section 6.6: the blob begins with the length and the text of the kind."""
    try:
        data = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return False
    start = len(kind).to_bytes(4, "big") + kind.encode("ascii")
    return data.startswith(start) and len(data) > len(start) + 30


def host_key(item: Mapping[str, Any]) -> HostKey:
    """An entry that check() has passed. Host in small letters, without the usual port, as ssh writes it."""
    host = str(item["host"]).lower()
    usual = re.match(r"\[(.*)\]:22\Z", host)
    kind, blob = _key_words(host, str(item["key"]))[:2]
    return HostKey(usual.group(1) if usual else host, kind, blob, item.get("state", "present") == "present")


# --- .gitconfig ------------------------------------------------------------------------------------------------


class GitFailed(Exception):
    """git could not read or edit the file; the text says what and what to do."""


def find_git() -> str:
    """The git command; raises GitFailed."""
    found = shutil.which("git", path=SAFE_PATH)
    if not found:
        raise GitFailed("there is no git in %s; install it, Go needs it for direct fetches" % SAFE_PATH)
    return found


class _Git:
    """git config on a copy of a file, so that the file itself can be replaced in one step."""

    def __init__(self, git: str, folder: str, data: bytes) -> None:
        self.git = git
        self.path = os.path.join(folder, "config")
        with open(self.path, "wb") as stream:
            stream.write(data)

    def run(self, *words: str, may_miss: bool = False) -> bytes:
        command = [self.git, "config", "--file", self.path, *words]
        environ = {"PATH": SAFE_PATH, "LC_ALL": "C", "HOME": "/", "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environ,
            cwd="/",
            timeout=GIT_SECONDS,
            check=False,
        )
        if done.returncode and not (may_miss and done.returncode in (1, 5)):
            said = done.stderr.decode("utf-8", "replace").strip().replace(self.path, "the file")
            raise GitFailed("git config: %s; correct the file by hand" % (mask(said) or "exit %d" % done.returncode))
        return done.stdout

    def rewrites(self) -> List[Tuple[str, str]]:
        """(use, prefix) of each url.<use>.insteadOf, as they stand."""
        found: List[Tuple[str, str]] = []
        for record in self.run("--null", "--get-regexp", r"^url\..*\.insteadof$", may_miss=True).split(b"\0"):
            key, line_break, value = record.decode("utf-8", "surrogateescape").partition("\n")
            if line_break:
                found.append((key[len("url.") : -len(".insteadof")], value))
        return found

    def proxy(self) -> Optional[str]:
        out = self.run("--null", "--get-all", "http.proxy", may_miss=True)
        return out.decode("utf-8", "surrogateescape").split("\0")[-2] if out else None


def edit_config(
    data: Optional[bytes], rewrites: Sequence[Rewrite], proxy: Optional[str], git: str
) -> Tuple[Optional[bytes], List[str], List[str], List[str]]:
    """The file with the rewrites, its settings before and after for people, and what stands in the way of ours.

    data: None where there is none. proxy: http.proxy; None leaves it, '' removes it. Only lines with exactly a
    rewrite's two addresses are added and removed. Raises GitFailed.
    """
    with scratch.folder("git") as folder:
        tool = _Git(git, folder, data or b"")
        before = _told(tool)
        there = tool.rewrites()
        for one in rewrites:
            key = "url.%s.insteadOf" % one.use
            if one.present and (one.use, one.prefix) not in there:
                tool.run("--add", key, one.prefix)
            elif not one.present and (one.use, one.prefix) in there:
                tool.run("--unset-all", key, "^%s$" % _posix(one.prefix))
        if proxy == "" and tool.proxy() is not None:
            tool.run("--unset-all", "http.proxy")
        elif proxy and tool.proxy() != proxy:
            tool.run("--replace-all", "http.proxy", proxy)
        there = tool.rewrites()
        in_the_way: List[str] = []
        for one in rewrites:
            # Of the longest prefixes Git takes the one that stands first (remote.c, alias_url).
            first = next((use for use, prefix in there if prefix == one.prefix), one.use)
            if one.present and first != one.use:
                in_the_way.append("%s becomes %s, which stands first" % (one.prefix, mask(first)))
        with open(tool.path, "rb") as stream:
            after = stream.read()
        same = after == (data or b"")
        return (data if same else after), before, _told(tool), in_the_way


def _posix(text: str) -> str:
    """A POSIX extended regular expression that matches exactly the text (git config's value-pattern)."""
    return re.sub(r"([\\.\[\](){}*+?^$|])", r"\\\1", text)


def _told(tool: _Git) -> List[str]:
    lines = ["url.%s.insteadOf = %s" % pair for pair in tool.rewrites()]
    proxy = tool.proxy()
    if proxy is not None:
        lines.append("http.proxy = %s" % proxy)
    # A user of ssh without a password is no secret.
    return [line if re.match(r"url\.ssh://[a-z][a-z0-9_\-]{0,31}@[^@]*\Z", line) else mask(line) for line in lines]


# --- known_hosts -----------------------------------------------------------------------------------------------


def edit_hosts(data: Optional[bytes], keys: Sequence[HostKey]) -> Tuple[Optional[bytes], List[str]]:
    """The file with the keys, and other keys of the same hosts and kinds that stay trusted. Pure.

    Lines of several hosts, with markers and of other keys stay. Source of the format: sshd(8), SSH_KNOWN_HOSTS FILE
    FORMAT.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", (data or b"").decode("utf-8", "surrogateescape"))
    others: List[str] = []
    for key in keys:
        mine = [number for number, line in enumerate(lines) if _is_line_of(line, key)]
        if key.present:
            if not mine:
                if lines and not lines[-1].endswith("\n"):
                    lines[-1] += "\n"
                lines.append("%s %s %s\n" % (key.host, key.kind, key.blob))
            for number, line in enumerate(lines):
                if _names_host(line, key.host) and line.split()[1:2] == [key.kind] and not _is_line_of(line, key):
                    others.append("line %d: another %s key of %s stays trusted" % (number + 1, key.kind, key.host))
        else:
            gone = {number for number in mine if "," not in lines[number].split()[0]}
            others += [
                "line %d: the key of %s is also that of other hosts, and stays" % (number + 1, key.host)
                for number in mine
                if number not in gone
            ]
            lines = [line for number, line in enumerate(lines) if number not in gone]
    text = "".join(lines).encode("utf-8", "surrogateescape")
    return (data if text == (data or b"") else text), others


def _is_line_of(line: str, key: HostKey) -> bool:
    return _names_host(line, key.host) and line.split()[1:3] == [key.kind, key.blob]


def _names_host(line: str, host: str) -> bool:
    words = line.split()
    if len(words) < 3 or words[0].startswith(("#", "@")):
        return False
    if words[0].startswith("|1|"):
        parts = words[0].split("|")
        try:
            salt, wanted = base64.b64decode(parts[2]), base64.b64decode(parts[3])
        except (IndexError, binascii.Error, ValueError):
            return False
        return hmac.compare_digest(hmac.new(salt, host.encode("utf-8"), hashlib.sha1).digest(), wanted)
    return host in words[0].lower().split(",")


# --- writing ---------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """One file after the edit. before and after: what of it is shown. remarks: what stands in the way."""

    change: atomic.Change
    before: List[str]
    after: List[str]
    remarks: List[str]


def write_config(
    account: Account, path: str, rewrites: Sequence[Rewrite], proxy: Optional[str], is_check: bool
) -> Outcome:
    """Edits .gitconfig with the account's rights, or says what would be done. Raises GitFailed, atomic.NotWritten."""
    git = find_git()

    def edit(data: Optional[bytes]) -> Tuple[Optional[bytes], List[str], List[str], List[str]]:
        return edit_config(data, rewrites, proxy, git)

    return _write(account, path, edit, is_check, 0o644, 0o755)


def write_hosts(account: Account, path: str, keys: Sequence[HostKey], is_check: bool) -> Outcome:
    """Edits known_hosts likewise. Raises atomic.NotWritten."""

    def edit(data: Optional[bytes]) -> Tuple[Optional[bytes], List[str], List[str], List[str]]:
        after, others = edit_hosts(data, keys)
        return after, _lines(data), _lines(after), others

    return _write(account, path, edit, is_check, 0o600, 0o700)


def put_back(
    account: Account,
    path: str,
    is_config: bool,
    changes: Mapping[str, Optional[str]],
    only: Mapping[str, Optional[str]],
    is_check: bool,
) -> Outcome:
    """Adds lines as Outcome shows them, and removes those whose change is None, each only while it is there ('') or not
    (None) as *only* says. is_config: of .gitconfig, else of known_hosts. Raises GitFailed, atomic.NotWritten."""
    git = find_git() if is_config else ""

    def edit(data: Optional[bytes]) -> _Edited:
        lines = edit_config(data, [], None, git)[1] if is_config else _lines(data)
        now = dict.fromkeys(lines, "")
        due = {line: value for line, value in changes.items() if now.get(line) == only[line]}
        if is_config:
            return edit_config(data, *_settings(due), git)
        words = [(line.split(), value is not None) for line, value in due.items()]
        keys = [HostKey(word[0], word[1], word[2], present) for word, present in words if len(word) > 2]
        after, others = edit_hosts(data, keys)
        return after, lines, _lines(after), others

    modes = (0o644, 0o755) if is_config else (0o600, 0o700)
    return _write(account, path, edit, is_check, *modes)


_PROXY = "http.proxy = "


def _settings(lines: Mapping[str, Optional[str]]) -> Tuple[List[Rewrite], Optional[str]]:
    proxy: Optional[str] = None
    rewrites: List[Rewrite] = []
    for line, value in lines.items():
        if line.startswith(_PROXY):
            proxy = proxy or ("" if value is None else line[len(_PROXY) :])
        else:
            use, _separator, prefix = line[len("url.") :].partition(".insteadOf = ")
            rewrites.append(Rewrite(prefix, use, value is not None))
    return rewrites, proxy


def _lines(data: Optional[bytes]) -> List[str]:
    return re.findall(r"[^\n]+", (data or b"").decode("utf-8", "replace"))


_Edited = Tuple[Optional[bytes], List[str], List[str], List[str]]


def _write(
    account: Account,
    path: str,
    edit: Callable[[Optional[bytes]], _Edited],
    is_check: bool,
    mode: int,
    dir_mode: int,
) -> Outcome:
    def work() -> Dict[str, Any]:
        last: List[List[str]] = [[], [], []]

        def once(data: Optional[bytes]) -> Optional[bytes]:
            after, last[0], last[1], last[2] = edit(data)
            return after

        try:
            change = atomic.update(path, once, is_check, mode, dir_mode, configure.LOCK_SECONDS)
        except atomic.NotWritten as error:
            return {"code": error.code, "path": error.path, "reason": error.reason, "hint": error.hint}
        except (GitFailed, subprocess.TimeoutExpired, OSError) as error:
            return {"code": "git", "path": path, "reason": mask(str(error)), "hint": "nothing was changed"}
        return {"change": atomic.to_json(change), "told": last}

    if os.geteuid() == 0 and account.uid != 0:
        try:
            answer = as_account(account.uid, account.gid, work, configure.CHILD_SECONDS)
        except OSError as error:
            reason = "writing as uid %d failed: %s" % (account.uid, error.strerror or error)
            raise atomic.NotWritten("child", path, reason, "look at the file and run again") from None
    else:
        answer = work()
    if "change" in answer:
        return Outcome(atomic.from_json(answer["change"]), *answer["told"])
    raise atomic.NotWritten(answer["code"], answer["path"], answer["reason"], answer["hint"])
