# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an account's ssh would use for a host: configuration, keys, known hosts, agent. No ssh is run, no key returned.

Sources: ssh_config(5), sshd(8) "SSH_KNOWN_HOSTS FILE FORMAT", PROTOCOL.agent and PROTOCOL.key of OpenSSH.
"""

from __future__ import annotations

import base64
import errno
import fnmatch
import hashlib
import hmac
import os
import re
import shlex
import socket
import stat
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._go.files import Files

#: What ssh tries where nobody names a key.
_KEYS = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk")
_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
#: Seconds for the agent.
AGENT_TIMEOUT = 2.0


class Address(NamedTuple):
    """Where a URL leads: login, host and port as the URL says."""

    user: str
    host: str
    port: int


def address(url: str) -> Optional[Address]:
    """The address of ``ssh://user@host:port/path`` or of scp's form ``user@host:path``; None for anything else."""
    match = re.match(r"(?:git\+)?ssh://(?:([^@/:]*)(?::[^@/]*)?@)?(\[[^\]]+\]|[^/:@]+)(?::([0-9]{1,5}))?(?:/|\Z)", url)
    if match is None and "://" not in url:
        match = re.match(r"(?:([^@/:\s]+)@)?(\[[^\]]+\]|[^/:@\s]+)():(?!:)", url)
    if match is None:
        return None
    user, host, port = match.groups()
    return Address(user or "", host.strip("[]"), int(port or 22))


class Options:
    """The settings of ssh's configuration files for one host; the first value of each counts.

    home: the account's in the user database, which ssh takes whatever HOME says. command: GIT_SSH_COMMAND or git's
    core.sshCommand, whose -i, -F, -p, -l and -o win. notes: what was not followed.
    """

    def __init__(self, wanted: Address, home: str, command: str, files: Files) -> None:
        self.home = home
        self.files = files
        self.notes: List[str] = []
        self.values: Dict[str, List[str]] = {}
        self._name = wanted.host
        places = self._command(command)
        for path in places if places is not None else [home + "/.ssh/config", "/etc/ssh/ssh_config"]:
            self._file(path, 0)
        self.host = self.one("hostname", wanted.host).replace("%h", wanted.host).replace("%%", "%")
        port = self.one("port", "")
        self.port = wanted.port if wanted.port != 22 or not port.isdigit() else int(port)
        self.user = wanted.user or self.one("user", "")

    def one(self, name: str, default: str) -> str:
        """The first value, or the default."""
        return self.values.get(name, [default])[0]

    def _command(self, command: str) -> Optional[List[str]]:
        try:
            words = shlex.split(command)[1:]
        except ValueError:
            self.notes.append("the ssh command cannot be read")
            return None
        places: Optional[List[str]] = None
        letters = {"-i": "identityfile", "-p": "port", "-l": "user"}
        for at, word in enumerate(words):
            letter, value = word[:2], word[2:] or (words[at + 1] if at + 1 < len(words) else "")
            if letter in letters:
                self._set(letters[letter], value)
            elif letter == "-F":
                places = [] if value == "none" else [self.expand(value)]
            elif letter == "-o":
                name, _equals, rest = value.replace("=", " ", 1).partition(" ")
                self._set(name, rest.strip())
        return places

    def _set(self, name: str, value: str) -> None:
        name = name.lower()
        if name == "identityfile" or name not in self.values:
            self.values.setdefault(name, []).append(value)

    def _file(self, path: str, depth: int) -> None:
        try:
            text = self.files.read(path).decode("utf-8", "replace")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                self.notes.append("%s: %s" % (path, error.strerror or "cannot be read"))
            return
        holds = True
        for line in text.split("\n"):
            match = re.match(r"\s*([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+)(.*?)\s*\Z", line)
            if match is None:
                continue
            name, value = match.group(1).lower(), match.group(2)
            if name == "host":
                holds = _listed(self._name, value.split())
            elif name == "match":
                holds = value.strip().lower() == "all"
                if not holds:
                    self.notes.append("%s: Match blocks are not followed" % path)
            elif name == "include" and holds:
                self._include(value, path, depth)
            elif holds:
                self._set(name, value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value)

    def _include(self, value: str, path: str, depth: int) -> None:
        for item in value.split():
            below = self.home + "/.ssh" if path.startswith(self.home + "/") else "/etc/ssh"
            name = self.expand(item) if item[:1] in "~/" else below + "/" + item
            if depth >= 5 or "*" in name or "?" in name:
                self.notes.append("%s: Include %s is not followed" % (path, item))
            else:
                self._file(name, depth + 1)

    def expand(self, path: str) -> str:
        """A path of the configuration, with ``~``, %d and %h."""
        path = path.replace("%d", self.home).replace("%h", getattr(self, "host", self._name)).strip('"')
        return self.home + path[1:] if path.startswith("~/") else path

    def private_keys(self) -> List[str]:
        """The private keys that are tried, named ones or ssh's own names."""
        named = [self.expand(path) for path in self.values.get("identityfile", []) if path.lower() != "none"]
        return named or ["%s/.ssh/%s" % (self.home, name) for name in _KEYS]

    def known_hosts(self) -> List[str]:
        """The files of known hosts."""
        named = self.one("userknownhostsfile", " ".join(_KNOWN_HOSTS[:2])).split()
        named += self.one("globalknownhostsfile", " ".join(_KNOWN_HOSTS[2:])).split()
        return [self.expand(path) for path in named if path.lower() != "none"]


def _listed(name: str, patterns: Sequence[str]) -> bool:
    # a pattern with "!" that matches takes the whole line out
    found = False
    for pattern in patterns:
        if fnmatch.fnmatchcase(name.lower(), pattern.lstrip("!").lower()):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def key_state(path: str) -> Optional[Dict[str, Any]]:
    """What there is to say about a private key: path, mode, passphrase (None: unknown), problem; None: no such file."""
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        return {"path": path, "mode": "", "passphrase": None, "problem": error.strerror or "cannot be read"}
    row: Dict[str, Any] = {"path": path, "mode": "%04o" % stat.S_IMODE(found.st_mode), "passphrase": None}
    row["problem"] = ""
    if not stat.S_ISREG(found.st_mode):
        row["problem"] = "no regular file"
        return row
    if found.st_uid == os.geteuid() and found.st_mode & 0o077:
        row["problem"] = "others may read it: ssh does not use it; chmod 0600"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            row["passphrase"] = _encrypted(os.read(fd, 4096))
        finally:
            os.close(fd)
    except OSError as error:
        row["problem"] = error.strerror or "cannot be read"
    return row


def _encrypted(head: bytes) -> Optional[bool]:
    lines = head.split(b"\n")
    if lines[0].strip() == b"-----BEGIN OPENSSH PRIVATE KEY-----" and len(lines) > 1:
        try:
            data = base64.b64decode(lines[1].strip()[:64])
        except ValueError:
            return None
        # "openssh-key-v1\0", then the cipher's name as a string
        return not data[15:].startswith(b"\0\0\0\x04none") if data.startswith(b"openssh-key-v1\0") else None
    if lines[0].startswith(b"-----BEGIN "):
        return b"ENCRYPTED" in head
    return None


def knows(files: Files, paths: Sequence[str], host: str, port: int) -> bool:
    """Whether a file of known hosts has a key of the host; one that is revoked does not count. Raises nothing."""
    name = host.lower() if port == 22 else "[%s]:%d" % (host.lower(), port)
    for path in paths:
        try:
            text = files.read(path).decode("utf-8", "replace")
        except OSError:
            continue
        for line in text.split("\n"):
            words = line.split()
            if not words or words[0].startswith("#") or words[0] == "@revoked":
                continue
            hosts = words[1] if words[0] == "@cert-authority" and len(words) > 1 else words[0]
            if _names(hosts, name):
                return True
    return False


def _names(hosts: str, name: str) -> bool:
    if hosts.startswith("|1|"):
        parts = hosts.split("|")
        try:
            salt, digest = base64.b64decode(parts[2]), base64.b64decode(parts[3])
        except (ValueError, IndexError):
            return False
        return hmac.compare_digest(hmac.new(salt, name.encode("utf-8"), hashlib.sha1).digest(), digest)
    # [host]:port is no class of characters
    return _listed(name, [item.replace("[", "[[]") for item in hosts.split(",")])


def agent(path: str) -> Tuple[Optional[int], str]:
    """(number of keys that the agent behind the socket holds, what there is to say); None where it does not answer."""
    if not path:
        return None, "no agent: SSH_AUTH_SOCK is not set"
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(AGENT_TIMEOUT)
            sock.connect(path)
            sock.sendall(b"\0\0\0\x01\x0b")  # SSH_AGENTC_REQUEST_IDENTITIES
            head = sock.recv(9)
    except OSError as error:
        return None, "the agent at %s does not answer: %s" % (path, error.strerror or "no answer in time")
    if len(head) < 9 or head[4] != 12:
        return None, "what answers at %s is no agent" % path
    count = int.from_bytes(head[5:9], "big")
    return count, "an agent with %d keys" % count


def plan(wanted: Address, environ: Mapping[str, str], command: str, home: str, files: Files) -> Dict[str, Any]:
    """What ssh would use: host, port, user, keys, known (host), agent, problems and notes, as plain data."""
    options = Options(wanted, home, command, files)
    keys = [row for row in (key_state(path) for path in options.private_keys()) if row is not None]
    socket_path = options.one("identityagent", "") or environ.get("SSH_AUTH_SOCK", "")
    if socket_path == "SSH_AUTH_SOCK":
        socket_path = environ.get("SSH_AUTH_SOCK", "")
    if socket_path.lower() == "none":
        socket_path = ""
    count, said = agent(options.expand(socket_path))
    known = knows(files, options.known_hosts(), options.one("hostkeyalias", options.host), options.port)
    usable = [row for row in keys if not row["problem"] and not row["passphrase"]]
    problems = ["%s: %s" % (row["path"], row["problem"]) for row in keys if row["problem"]]
    strict = options.one("stricthostkeychecking", "ask").lower()
    if not known and strict in ("ask", "yes"):
        problems.append("%s is in no file of known hosts: ssh refuses it where nobody can be asked" % options.host)
    elif strict in ("no", "off"):
        problems.append("StrictHostKeyChecking is off: anybody on the way can be %s" % options.host)
    if not usable and not count:
        locked = any(row["passphrase"] and not row["problem"] for row in keys)
        text = "the only keys have a passphrase and no agent holds them" if locked else "there is no key"
        problems.append("%s for %s" % (text, options.host))
    jump = options.one("proxyjump", "none").lower() != "none" or options.one("proxycommand", "none").lower() != "none"
    return {
        "host": options.host,
        "port": options.port,
        "user": options.user,
        "keys": keys[:10],
        "known_host": known,
        "agent": said,
        "jump": jump,
        "problems": problems,
        "notes": options.notes,
    }
