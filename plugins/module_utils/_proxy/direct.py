# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where Go goes for a module that no proxy serves: its own repository, with what credential, and whether that works.

Without the leave to ask it tells what stands in settings and files. With it the page that names the repository and the
repository's list of branches and tags are asked for, as Go and git do; nothing is cloned, no credential helper is run.
"""

from __future__ import annotations

import base64
import os
import pwd
import re
import shutil
import subprocess
import time
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import unquote, urlsplit, urlunsplit

from .._go import modpath
from .._go.files import Files, answer_of
from .._go.mask import mask
from . import certfile, gitconfig, ssh, vcs, wire
from . import chain as chains
from .credentials import NONE, Credential, Credentials, expires, parse_netrc, url_secrets

#: Bytes of the answer to git ls-remote, and of a list of references over https.
MAX_REFS = 8 << 20
_BASIC = "Authorization"


class Origins:
    """The repositories of modules, each looked at once.

    settings: Go's variables. environ: of the account's processes. ask: whether servers are asked. secrets: every
    secret text that was read. home: the account's in the user database (default: looked up), for ssh.
    """

    def __init__(
        self,
        client: wire.Client,
        settings: Mapping[str, str],
        environ: Mapping[str, str],
        files: Files,
        ask: bool,
        home: str = "",
    ) -> None:
        self.client = client
        self.settings = settings
        self.environ = environ
        self.files = files
        self.ask = ask
        self.home = home or _home(environ)
        self.config = gitconfig.Config(environ, files)
        self.secrets: List[str] = []
        self._clients: List[wire.Client] = []
        self._roots: Dict[str, Tuple[Optional[vcs.Root], str, str]] = {}
        self._rows: Dict[str, Dict[str, Any]] = {}
        self._refs: Dict[str, Optional[List[str]]] = {}

    def close(self) -> None:
        """Closes what is kept open."""
        for client in self._clients:
            client.close()

    def of(self, path: str) -> Dict[str, Any]:
        """What is known of the module's repository. accepted: None where nobody was asked or it cannot be said."""
        root, found_by, why = self._root(path)
        insecure = chains.matches(self.settings.get("GOINSECURE", ""), path)
        row: Dict[str, Any] = {"repository": "", "vcs": "", "root": "", "folder": "", "found_by": found_by}
        row.update(url="", rewritten_by="", protocol="", insecure=insecure, govcs="", credential="")
        row.update(accepted=None, text=why, status=None, ms=None, tls={}, ssh=None, notes=list(self.config.notes))
        row["token_seconds_left"] = row["client_certificate"] = None
        if root is None:
            row["accepted"] = False if why and found_by else None
            return row
        prefix = (modpath.split_path_version(path) or (path, ""))[0]
        url = root.url if "://" in root.url else "https://" + root.url
        row.update(repository=wire.quiet_url(url), vcs=root.vcs, root=root.root)
        row["folder"] = vcs.code_dir(path, root, prefix)
        row["govcs"] = vcs.refusal(self.settings.get("GOVCS", ""), self.settings.get("GOPRIVATE", ""), root)
        if row["govcs"]:
            row.update(accepted=False, text=row["govcs"])
            return row
        if root.vcs != "git":
            row["protocol"] = "module proxy" if root.vcs == "mod" else urlsplit(root.url).scheme
            if root.vcs != "mod" and not self._program(root.vcs):
                row.update(accepted=False, text="%s is not installed" % root.vcs)
            else:
                row["text"] = "how %s gets there is not looked at" % root.vcs
            return row
        if root.url not in self._rows:
            known: Dict[str, Any] = {}
            self._refs[root.url] = self._git(url, known)
            self._rows[root.url] = known
        row.update(self._rows[root.url])
        row["notes"] = list(self.config.notes) + list(row["notes"])
        return row

    def versions(self, path: str) -> Optional[List[str]]:
        """The module's versions among the repository's tags; None where these are not known."""
        root = self._root(path)[0]
        self.of(path)
        refs = self._refs.get(root.url) if root is not None else None
        if refs is None or root is None:
            return None
        prefix = (modpath.split_path_version(path) or (path, ""))[0]
        folder = vcs.code_dir(path, root, prefix)
        start = "refs/tags/" + (folder + "/" if folder else "")
        found: List[str] = []
        for ref in refs:
            version = ref[len(start) :]
            if ref.startswith(start) and modpath.is_valid(version) and modpath.canonical(version) == version:
                try:
                    modpath.check(path, version)
                except ValueError:
                    continue
                found.append(version)
        return sorted(found, key=modpath.sort_key)

    # Which repository

    def _root(self, path: str) -> Tuple[Optional[vcs.Root], str, str]:
        if path not in self._roots:
            try:
                self._roots[path] = self._find(path)
            except vcs.NoRoot as error:
                self._roots[path] = (None, "its path", "unrecognized import path %r: %s" % (path, error))
            except wire.WireError as error:  # nobody has said anything
                self._roots[path] = (None, "", str(error))
        return self._roots[path]

    def _find(self, path: str) -> Tuple[Optional[vcs.Root], str, str]:
        known = vcs.static(path)
        if known is not None:
            return known, "its path", ""
        url = vcs.meta_url(path)
        if not self.ask:
            return None, "", "%s names the repository; it is not asked (option direct)" % url
        root = vcs.match(self._imports(url, path), path)
        if root.root != path:
            other = vcs.meta_url(root.root)
            if vcs.match(self._imports(other, path), path) != root:
                raise vcs.NoRoot("%s and %s disagree about go-import for %s" % (url, other, root.root))
        return root, url, ""

    def _imports(self, url: str, path: str) -> List[vcs.Root]:
        insecure = chains.matches(self.settings.get("GOINSECURE", ""), path)
        reply = (self._other(self.environ, verify=False) if insecure else self.client).get(url)
        if insecure and (reply.error or reply.status != 200):
            reply = self.client.get("http://" + url[len("https://") :])
        if reply.error == wire.SPENT:
            raise wire.WireError(wire.SPENT, reply.text)
        if reply.error:
            raise vcs.NoRoot("https fetch: " + reply.text)
        found = vcs.go_imports(reply.body.decode("utf-8", "replace"))
        if not found and reply.status != 200:
            raise vcs.NoRoot("reading %s: %s" % (reply.url, reply.say()))
        return found

    def _other(self, environ: Mapping[str, str], verify: bool, certificate: Tuple[str, str] = ("", "")) -> wire.Client:
        mine = self.client
        none = Credentials("off", {}, self.files)
        client = wire.Client(
            mine.budget, none, environ, mine.request_timeout, False, mine.resolver, verify, certificate
        )
        self._clients.append(client)
        return client

    # git

    def _core(self, key: str) -> str:
        item = self.config.get("core", key)
        return item.value if item is not None else ""

    def _program(self, name: str) -> bool:
        return shutil.which(name, path=self.environ.get("PATH") or os.defpath) is not None

    def _git(self, repository: str, row: Dict[str, Any]) -> Optional[List[str]]:
        """Fills the row; the repository's references, or None."""
        url, rule = self.config.instead(repository)
        self.secrets += url_secrets([url])
        row.update(url=wire.quiet_url(url), accepted=None, text="", notes=[])
        row["rewritten_by"] = "insteadOf %s, %s" % (wire.quiet_url(rule.value), rule.where) if rule is not None else ""
        scheme = urlsplit(url).scheme.lower() if "://" in url else ""
        wanted = ssh.address(url)
        row["protocol"] = "ssh" if wanted is not None else scheme or "a folder"
        if not self._program("git"):
            row.update(accepted=False, text="git is not installed: Go can fetch nothing without a proxy")
            return None
        if wanted is not None:
            return self._ssh(url, wanted, row)
        if scheme in ("https", "http"):
            return self._https(url, row, rule)
        row["text"] = "how git gets there is not looked at"
        return None

    def _https(self, url: str, row: Dict[str, Any], rule: Optional[gitconfig.Item]) -> Optional[List[str]]:
        config = self.config
        plain = urlunsplit(urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]))
        credential, may_ask = self._credential(url, plain, rule)
        row["credential"] = credential.source or credential.note
        ends = expires(credential.headers)
        row["token_seconds_left"] = int(ends - time.time()) if ends is not None else None
        cert, key = config.last("http", "sslcert", plain), config.last("http", "sslkey", plain)
        cert, key = self.environ.get("GIT_SSL_CERT") or cert, self.environ.get("GIT_SSL_KEY") or key
        cert, key = (config.expand(name) if name else "" for name in (cert, key))
        verify = config.last("http", "sslverify", plain).lower() not in ("false", "no", "off", "0")
        verify = verify and not self.environ.get("GIT_SSL_NO_VERIFY")
        roots = self.environ.get("GIT_SSL_CAINFO") or config.last("http", "sslcainfo", plain)
        if cert:
            row["client_certificate"] = self._certificate(cert)
            row["notes"].append("client certificate " + cert + row["client_certificate"]["text"])
        if roots:
            row["notes"].append("certificate roots " + roots)
        elif self.environ.get("SSL_CERT_FILE"):
            row["notes"].append("git does not read SSL_CERT_FILE: it needs http.sslCAInfo or GIT_SSL_CAINFO")
        if not verify:
            row["notes"].append(
                "git does not verify the certificate: anybody on the way can read and change everything"
            )
        if not self.ask:
            row["text"] = "not asked (option direct)"
            return None
        # git's library reads no SSL_CERT_FILE, and http.proxy wins over the environment
        environ = {name: value for name, value in self.environ.items() if not name.startswith("SSL_CERT_")}
        environ.update({"SSL_CERT_FILE": config.expand(roots)} if roots else {})
        rows = config.for_url("http", "proxy", plain)
        if rows:
            environ.update(HTTPS_PROXY=rows[-1].value, HTTP_PROXY=rows[-1].value)
            self.secrets += url_secrets([rows[-1].value])
        client = self._other(environ, verify, (cert, key))
        # Without .git in the URL servers answer with a redirect, which git follows as well.
        reply = client.get(plain + "/info/refs?service=git-upload-pack", limit=MAX_REFS, credential=credential)
        row.update(status=reply.status or None, ms=reply.ms, tls=reply.tls)
        if reply.error == wire.SPENT:
            row["text"] = reply.text
        elif reply.ok and reply.body[4:].startswith(b"# service=git-upload-pack"):
            row.update(accepted=True, text="the repository answers")
            return None if reply.cut else _packets(reply.body)
        elif reply.ok:
            row.update(accepted=False, text="what answers is no Git repository: " + reply.say())
        elif reply.status in (401, 403, 404) and may_ask and not credential.source:
            row["text"] = "%s without a credential; git would ask %s, which is not run" % (reply.say(), may_ask)
        elif reply.error:
            row.update(accepted=False, text=reply.text)
        else:
            row.update(accepted=False, text="%s, with %s" % (reply.say(), credential.source or "no credential"))
        return None

    def _certificate(self, path: str) -> Dict[str, Any]:
        try:
            left = certfile.days_left(self.files.read(path))
        except OSError as error:
            return {"path": path, "days_left": None, "text": ": " + (error.strerror or "cannot be read")}
        text = ", %d days left" % left if left is not None else ", whose end is not known: it holds no certificate"
        if left is not None and left < 0:
            text = ", which has ended"
        return {"path": path, "days_left": left, "text": text}

    def _credential(self, url: str, plain: str, rule: Optional[gitconfig.Item]) -> Tuple[Credential, str]:
        """What git sends over https, and who else it would ask (remote-curl.c, http.c, credential.c)."""
        userinfo = urlsplit(url).netloc.rpartition("@")[0]
        user, colon, password = userinfo.partition(":")
        if userinfo and colon:
            where = "the URL" + (" of insteadOf, " + rule.where if rule is not None else "")
            return Credential(where, _basic(unquote(user), unquote(password)), ""), ""
        for item in reversed(self.config.for_url("http", "extraheader", plain)):
            name, _colon, value = item.value.partition(":")
            if name.strip().lower() == "authorization":
                self.secrets += [value.strip()] + value.split()[1:]
                return Credential("http.extraHeader, " + item.where, {_BASIC: value.strip()}, ""), ""
        # libcurl looks for the host without a port, in HOME only
        path = self.config.home + "/.netrc"
        try:
            entries = parse_netrc(self.files.read(path).decode("utf-8", "replace")) if self.config.home else []
        except OSError:
            entries = []
        self.secrets += [entry.password for entry in entries]
        for entry in entries:
            if entry.machine.lower() == (urlsplit(plain).hostname or "") and user in ("", entry.login):
                return Credential("netrc entry for " + entry.machine, _basic(entry.login, entry.password), ""), ""
        helpers = gitconfig.helper_names(self.config.for_url("credential", "helper", plain))
        asks = ["the credential helper " + name for name in helpers]
        askpass = self.environ.get("GIT_ASKPASS") or self._core("askpass")
        if askpass or self.environ.get("SSH_ASKPASS"):
            asks.append("the program in GIT_ASKPASS, core.askPass or SSH_ASKPASS")
        return NONE._replace(note=" and ".join(asks)), " and ".join(asks)

    def _ssh(self, url: str, wanted: ssh.Address, row: Dict[str, Any]) -> Optional[List[str]]:
        set_command = self.environ.get("GIT_SSH_COMMAND") or self._core("sshcommand")
        found = ssh.plan(wanted, self.environ, set_command, self.home, self.files)
        row["ssh"] = found
        usable = [key["path"] for key in found["keys"] if not key["problem"]]
        row["credential"] = "; ".join(["SSH key " + path for path in usable[:3]] + [found["agent"]])
        if not self.ask:
            row["text"] = "; ".join(found["problems"]) or "not asked (option direct)"
            return None
        if not found["jump"]:
            problem = self._banner(found["host"], found["port"], row)
            if problem:
                row.update(accepted=False, text=problem)
                return None
        refs, text = self._ls_remote(url, set_command)
        row.update(accepted=refs is not None, text="; ".join([text] + found["problems"]))
        if refs is not None:
            row["text"] = "the repository answers"
        return refs

    def _banner(self, host: str, port: int, row: Dict[str, Any]) -> str:
        """Why there is no SSH server, or an empty text."""
        started = time.monotonic()
        try:
            self.client.budget.request()
            sock = self.client.connect(host, port)
        except wire.WireError as error:
            return str(error)
        with sock:
            try:
                sock.settimeout(max(0.01, min(self.client.request_timeout, self.client.budget.left())))
                said = sock.recv(255)
            except OSError as error:
                return "%s port %d: %s" % (host, port, error.strerror or "no greeting in time")
        row["ms"] = round((time.monotonic() - started) * 1000, 1)
        return "" if said.startswith(b"SSH-") else "%s port %d: what answers is no SSH server" % (host, port)

    def _ls_remote(self, url: str, command: str) -> Tuple[Optional[List[str]], str]:
        """(references, "") or (None, what git says). Nobody is asked for anything, no host becomes known."""
        environ = dict(self.environ)
        ssh_command = command or environ.get("GIT_SSH") or "ssh"
        environ.update(GIT_TERMINAL_PROMPT="0", GCM_INTERACTIVE="never", GIT_ALLOW_PROTOCOL="ssh", LC_ALL="C")
        environ["GIT_SSH_COMMAND"] = ssh_command + " -o ControlMaster=no -o BatchMode=yes -o UpdateHostKeys=no"
        # A host that is accepted unseen would be written down.
        environ["GIT_SSH_COMMAND"] += " -o StrictHostKeyChecking=yes -o ConnectTimeout=%d" % max(
            1, int(self.client.request_timeout)
        )
        try:
            self.client.budget.request()
            process = subprocess.Popen(
                ["git", "ls-remote", "--quiet", "--", url],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environ,
                cwd="/",
                start_new_session=True,
            )
        except wire.WireError as error:
            return None, str(error)
        except OSError as error:
            return None, "git: %s" % (error.strerror or "cannot be run")
        timeout = min(2 * self.client.request_timeout, self.client.budget.left())
        out, err, why = answer_of(process, max(0.1, timeout), MAX_REFS)
        if why == "late":
            return None, "git ls-remote had no answer within %.0f s" % timeout
        if why:
            return None, "git ls-remote had an answer of more than %d bytes" % MAX_REFS
        if process.returncode != 0:
            lines = [line for line in mask(err.decode("utf-8", "replace")).splitlines() if line.strip()]
            telling = [line for line in lines if re.search(r"(?i)denied|verif|not found|refused|resolve|error", line)]
            return None, "git: " + ((telling or lines or ["status %d" % process.returncode])[0].strip()[:200])
        return [line.split("\t", 1)[1] for line in out.decode("utf-8", "replace").splitlines() if "\t" in line], ""


def _basic(user: str, password: str) -> Dict[str, str]:
    text = base64.b64encode(("%s:%s" % (user, password)).encode("utf-8")).decode("ascii")
    return {_BASIC: "Basic " + text}


def _home(environ: Mapping[str, str]) -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return environ.get("HOME", "")


def _packets(body: bytes) -> List[str]:
    """The names of the references in an answer of git-upload-pack (gitprotocol-http(5), gitprotocol-pack(5))."""
    names: List[str] = []
    at = 0
    while at + 4 <= len(body):
        try:
            size = int(body[at : at + 4], 16)
        except ValueError:
            break
        line = body[at + 4 : at + max(size, 4)]
        at += max(size, 4)
        _digest, blank, name = line.split(b"\0", 1)[0].rstrip(b"\n").partition(b" ")
        if blank and not line.startswith(b"#"):
            names.append(name.decode("utf-8", "replace"))
    return names
