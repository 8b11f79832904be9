# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of one module through the chain, in the order in which ``go mod download`` asks (modcmd.DownloadModule)."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .._go import dirhash, modpath
from . import chain as chains
from . import sumdb, wire
from .chain import FAILED, FOUND, HANGS, MISSING, UNKNOWN, Answer, Chain, Element, Walk
from .direct import Origins
from .probe import Prober, Zip, listed, newest

SERVED = "served"
FAILS = "fails"
DIRECT = "direct"


class Way:
    """Explains one module version. known: the go.sum lines that are trusted already, as a text.

    origins: looks at repositories.
    """

    def __init__(
        self,
        prober: Prober,
        chain: Chain,
        gonosumdb: str,
        known: bytes,
        wheres: Mapping[str, str],
        origins: Origins,
    ) -> None:
        self.prober = prober
        self.chain = chain
        self.gonosumdb = gonosumdb
        self.known = known
        self.wheres = wheres
        self.origins = origins
        self.steps: List[Dict[str, Any]] = []
        self.served: List[Element] = []

    def explain(self, label: str) -> Dict[str, Any]:
        """The steps and the verdict for ``path@version`` (or ``path@latest``). Never raises for what servers do."""
        path, _at, version = label.partition("@")
        row: Dict[str, Any] = {"module": label, "verdict": UNKNOWN, "text": "", "steps": self.steps}
        row["private"] = chains.matches(self.prober.gonoproxy, path)
        verdict, text = self._run(path, version)
        row["origin"] = None
        if verdict == DIRECT:
            verdict, text = self._direct(path, version, row, text)
        row["verdict"], row["text"] = verdict, text
        row["served_by"] = list(dict.fromkeys(element.shown for element in self.served))
        return row

    def _direct(self, path: str, version: str, row: Dict[str, Any], text: str) -> Tuple[str, str]:
        """What comes of it at the module's own repository; fills ``origin``."""
        found = row["origin"] = self.origins.of(path)
        where = found["url"] or found["root"] or path
        if found["accepted"] is False:
            return FAILS, "direct: %s: %s" % (where, found["text"])
        versions = self.origins.versions(path)
        wanted = version != "latest" and not modpath.is_pseudo(version) and modpath.canonical(version) == version
        if versions is not None and wanted and "+incompatible" not in version and version not in versions:
            return FAILS, "direct: %s: unknown revision: there is no tag for %s" % (where, version)
        return DIRECT, "%s; %s" % (text, found["text"]) if found["text"] else text

    def _run(self, path: str, version: str) -> Tuple[str, str]:
        queried = version == "latest"
        if queried:
            version, ended = self._latest(path)
            if ended is not None:
                return ended
        replies: Dict[str, Optional[wire.Reply]] = {}
        zips: List[Optional[Zip]] = []

        def info(element: Element) -> Answer:
            answer, replies["info"] = self.prober.info(element, path, version)
            return answer

        def mod(element: Element) -> Answer:
            answer, reply = self.prober.mod(element, path, version)
            replies["mod"] = reply
            if answer.state == FOUND and reply is not None:
                # It is verified before it counts (modfetch.cachingRepo.GoMod), so that a wrong one is one more error.
                ended = self._verify("go.mod", path, version, dirhash.h1_gomod(reply.body))
                if ended is not None:
                    return Answer(FAILED if ended[0] == FAILS else ended[0], ended[1])
            return answer

        def archive(element: Element) -> Answer:
            answer, found = self.prober.zip(element, path, version)
            replies["zip"] = found.reply if found is not None else None
            zips.append(found)
            return answer

        # Who said what is latest has said its .info.
        for name, ask in (("info", info), ("mod", mod))[queried:]:
            ended = self._walk(name, ask, replies)
            if ended is not None:
                return ended
        if not self.prober.allow_zip:
            self._step("zip", "", None, None, "not asked for (option zip)", False)
            return SERVED, "served by %s; its zip was not asked for" % self._by()
        ended = self._walk("zip", archive, replies)
        if ended is not None:
            return ended
        found_zip = zips[-1]
        if found_zip is None or found_zip.problem:
            return FAILS, "%s@%s: %s" % (path, version, found_zip.problem if found_zip else "no zip")
        ended = self._verify("zip", path, version, found_zip.h1)
        return ended if ended is not None else (SERVED, "served by %s" % self._by())

    def _by(self) -> str:
        return " and ".join(dict.fromkeys(element.shown for element in self.served))

    def _latest(self, path: str) -> Tuple[str, Optional[Tuple[str, str]]]:
        """The version, or the verdict. One element must answer all of it (modload.queryProxy), up to the .info."""
        version = ""
        replies: Dict[str, Optional[wire.Reply]] = {}

        def ask(element: Element) -> Answer:
            nonlocal version
            answer, replies["latest"] = self.prober.versions(element, path)
            reply = replies["latest"]
            if answer.state != FOUND or reply is None:
                return answer
            version = newest(listed(reply.body)[0])
            if not version:
                answer, version, _time = self.prober.latest(element, path)
                if answer.state == MISSING:  # modload.NoMatchingVersionError, which is no fs.ErrNotExist
                    return Answer(FAILED, "no matching versions for query latest")
                if answer.state != FOUND:
                    return answer
            answer, reply = self.prober.info(element, path, version)
            self._step("info", element.shown, reply, None, answer.text, False)
            return answer

        ended = self._walk("latest", ask, replies)
        return version, ended

    # Steps

    def _step(
        self,
        what: str,
        element: str,
        reply: Optional[wire.Reply],
        setting: Optional[str],
        text: str,
        goes_on: bool,
    ) -> None:
        row: Dict[str, Any] = {"step": what, "element": element, "text": text, "goes_on": goes_on}
        row["status"] = (reply.status or None) if reply is not None else None
        row["ms"] = reply.ms if reply is not None else None
        row["credential"] = (reply.credential.source or reply.credential.note) if reply is not None else ""
        row["forward"] = reply.forward if reply is not None else ""
        row["setting"] = self.wheres.get(setting or "GOPROXY", "")
        self.steps.append(row)

    def _walk(
        self, what: str, ask: Callable[[Element], Answer], replies: Dict[str, Optional[wire.Reply]]
    ) -> Optional[Tuple[str, str]]:
        seen: List[Tuple[Optional[wire.Reply], List[Dict[str, Any]]]] = []
        start = len(self.steps)

        def asked(element: Element) -> Answer:
            answer = ask(element)
            seen.append((replies.get(what), self.steps[start:]))
            del self.steps[start:]
            return answer

        walk: Walk = chains.walk(self.chain, asked)
        for step, (reply, inner) in zip(walk.steps, seen):
            if step.element.kind == chains.NOPROXY and step.goes_on:
                continue  # what does not match is no news
            setting = "GONOPROXY" if step.element.kind == chains.NOPROXY else "GOPROXY"
            self._step(what, step.element.shown, reply, setting, step.answer.text, step.goes_on)
            self.steps += inner
        if walk.state == FOUND and walk.by is not None:
            self.served.append(walk.by)
            return None
        if walk.state == FAILED:
            return FAILS, "%s: %s" % (what, walk.text)
        last = walk.steps[-1].element
        if walk.state == HANGS:
            return HANGS, "%s: %s: %s" % (what, last.shown, walk.text)
        if last.kind in (chains.DIRECT, chains.NOPROXY):
            return DIRECT, "%s: %s" % (what, walk.text)
        return UNKNOWN, "%s: %s: %s" % (what, last.shown, walk.text)

    def _verify(self, what: str, path: str, version: str, have: str) -> Optional[Tuple[str, str]]:
        label = modpath.label(path, version)
        name = "sum of the " + what
        wanted = sumdb.sums(self.known, path, version)[0 if what == "zip" else 1]
        if wanted:
            if wanted != have:
                text = "verifying %s of %s: checksum mismatch with go.sum" % (what, label)
                self._step(name, "go.sum", None, None, text, False)
                return FAILS, text
            self._step(name, "go.sum", None, None, "as go.sum says", False)
            return None
        database = self.prober.database
        toolchain = path == "golang.org/toolchain"
        if (database.off and not toolchain) or (chains.matches(self.gonosumdb, path) and not toolchain):
            setting = "GOSUMDB" if database.off else "GONOSUMDB"
            self._step(name, "", None, setting, "not verified, because of " + setting, False)
            return None
        if database.off or database.error:
            text = database.error or "checksum database disabled by GOSUMDB=off"
            self._step(name, "", None, "GOSUMDB", text, False)
            return FAILS, "verifying %s of %s: %s" % (what, label, text)
        base = self.prober.sum_base(self.chain)
        if base.state != FOUND:
            self._step(name, "", None, "GOSUMDB", base.text, False)
            verdict = FAILS if base.state == FAILED else base.state
            return verdict, "verifying %s of %s: %s" % (what, label, base.text)
        sums = self.prober.sums(base.url, path, version)
        shown = base.by.shown if base.by is not None else wire.quiet_url(base.url)
        if sums.state in (HANGS, UNKNOWN):
            self._step(name, shown, None, "GOSUMDB", sums.error, False)
            return sums.state, "verifying %s of %s: %s" % (what, label, sums.error)
        listed = sums.zip if what == "zip" else sums.mod
        text = sums.error
        if not text and not listed:
            text = "checksum missing from sumdb response"
        elif not text and listed != have:
            text = "checksum mismatch: downloaded %s, %s has %s" % (have, database.name, listed)
        self._step(name, shown, None, "GOSUMDB", text or "as %s says" % database.name, False)
        return (FAILS, "verifying %s of %s: %s" % (what, label, text)) if text else None
