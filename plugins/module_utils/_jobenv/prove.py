# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job of a place would see: its environment put together from the files, and Go asked in just that.

A job on the host gets what its service has (unit, drop-ins, environment files), then what the runner's configuration
adds. A login shell is really started, and a script really sourced, as the account and with an empty environment. Of a
job in a container only what the runner hands in is known. In check mode nothing of the planned documents is run: they
are read with their own grammar, in place of the files.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from types import MappingProxyType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._fs import scratch
from .._go import accounts, ask, evaluate, names, services, toolchain
from .._go.accounts import Account
from .._go.files import answer_of, drop_rights, files_for, read_file
from . import base, engine, environment_d, jenkins, plain, profile_d, systemd

#: Seconds that a login shell or a hook may take.
SHELL_SECONDS = 10.0
#: Bytes of an environment.
LIMIT = 1 << 20

_FILES_ONLY = "what jobs add themselves (their CI configuration, their scripts) still wins over it"
_CONTAINER = (
    "in a container: this is what the runner hands in; the image's own ENV and entrypoint, and what the job sets, can "
    "still win"
)


class Variable(NamedTuple):
    """One variable: wanted and seen (None: not set; both fit to be shown), and what sets it."""

    name: str
    wanted: Optional[str]
    seen: Optional[str]
    ok: bool
    where: str


class Proof(NamedTuple):
    """What jobs of a place see.

    by: 'go' (a go command was asked), 'evaluator' (ours) or 'environment' (nothing of Go's was looked at). go: the
    command, or ''. pending: names that the running service gets with its next start only. note: what is not known.
    """

    place: base.Place
    account: str
    by: str
    go: str
    variables: Tuple[Variable, ...]
    pending: Tuple[str, ...]
    note: str

    @property
    def ok(self) -> bool:
        """Whether every variable is seen as wanted."""
        return all(variable.ok for variable in self.variables)


class _Seen(NamedTuple):
    environ: Dict[str, str]
    account: Account
    source: str
    notes: Tuple[str, ...] = ()
    origins: Mapping[str, str] = MappingProxyType({})


class Prover:
    """Puts environments together. fallback: the account of places that do not tell whose jobs run there."""

    def __init__(self, fallback: Account, goroots: Sequence[str] = (), check: bool = False, root: str = "") -> None:
        self.root = root
        self.fallback = fallback
        self.goroots = goroots
        self.check = check
        self._chains: Dict[int, Optional[toolchain.Toolchain]] = {}

    def prove(self, edited: engine.Edited, changes: Mapping[str, Optional[str]]) -> Proof:
        """What jobs of this place see of the named variables. Raises engine.Failed where the place cannot be read."""
        place = edited.place
        given = engine.values(place, edited.after)
        if place.where_jobs_run in ("container", "elsewhere") or place.kind == jenkins.KIND.name:
            note = _CONTAINER if place.where_jobs_run == "container" else _FILES_ONLY
            return self._bare(place, given, changes, note)
        seen = self._environment(edited, given)
        shown = []
        for name, wanted in sorted(changes.items()):
            found = seen.environ.get(name)
            where = place.path if found is not None and found == given.get(name) else seen.source
            where = seen.origins.get(name, where)
            shown.append(Variable(name, _shown(name, wanted), _shown(name, found), False, where))
        by, go = "environment", ""
        settings: Dict[str, evaluate.Setting] = {}
        notes = list(seen.notes)
        if any(name in names.GO_NAMES for name in changes) and place.kind != plain.NAME:
            by, go, settings = self._ask(seen, notes)
        variables = [self._variable(item, changes[item.name], seen, settings) for item in shown]
        return Proof(
            place, seen.account.name, by, go, tuple(variables), self._pending(place, changes), "; ".join(notes)
        )

    def _bare(
        self, place: base.Place, given: Mapping[str, str], changes: Mapping[str, Optional[str]], note: str
    ) -> Proof:
        variables = tuple(
            Variable(name, _shown(name, wanted), _shown(name, given.get(name)), given.get(name) == wanted, place.path)
            for name, wanted in sorted(changes.items())
        )
        return Proof(place, "", "environment", "", variables, (), note)

    def _variable(
        self, item: Variable, wanted: Optional[str], seen: _Seen, settings: Mapping[str, evaluate.Setting]
    ) -> Variable:
        found = seen.environ.get(item.name)
        setting = settings.get(item.name)
        if setting is None or item.name in names.PROCESS_ONLY_NAMES:
            return item._replace(ok=found == wanted)
        # Empty is "not set" to Go, so that a weaker layer shows through.
        ok = found == wanted and (not wanted or setting.value == wanted)
        where = item.where if setting.origin == evaluate.PROCESS else setting.where
        return item._replace(seen=_shown(item.name, setting.value), ok=ok, where=where)

    # --- environments ------------------------------------------------------------------------------------------

    def _environment(self, edited: engine.Edited, given: Dict[str, str]) -> _Seen:
        place = edited.place
        if place.kind == systemd.NAME:
            return self._of_service(place, edited, given)
        if place.kind == environment_d.NAME:
            return self._of_user_manager(place, edited)
        if place.kind == profile_d.NAME:
            return self._of_login(place, given)
        if place.kind == plain.NAME:
            return self._of_file(place, edited, given)
        seen = self._of_service(place, None, {})
        environ = dict(seen.environ)
        notes = seen.notes
        origins = dict(seen.origins, **dict.fromkeys(given, place.path))
        if place.kind == "buildkite" and not self.check and edited.after is not None:
            # The agent sources the hook; so do we.
            few = {name: environ[name] for name in environ if name in engine.SHOWN or name in _basics(seen.account)}
            sourced, note = self._source(seen.account, place.path, few, "bash")
            if sourced is not None:
                return _Seen(sourced, seen.account, place.path, notes, origins)
            notes += (note,)
        environ.update(given)
        return _Seen(environ, seen.account, place.path, (*notes, _FILES_ONLY), origins)

    def _of_service(self, place: base.Place, edited: Optional[engine.Edited], given: Dict[str, str]) -> _Seen:
        root = systemd.root_of(place.path, systemd.FOLDER) if place.kind == systemd.NAME else self.root
        name = engine.unit_for(place, self.root)
        unit = self._unit(name, place, root or "", edited) if name and root is not None else None
        if unit is None:
            owner = accounts.registered(place.owner) if place.owner else None
            account = owner or self.fallback
            why = "there is no unit %s here" % name if name else "no service is known for it"
            return _Seen(dict(_basics(account), **given), account, place.path, (why + "; only this file was read",))
        notes = list(unit.problems)
        user = unit.user or "root"
        known = accounts.registered(unit.jobs_user or user)
        if known is None:
            notes.append("%s is no account of this host now (DynamicUser?)" % user)
        account = known or self.fallback
        environ = _basics(account) if unit.user or unit.jobs_user else {"PATH": evaluate.SAFE_PATH}
        if unit.jobs_user:
            # su -l: nothing of the service.
            environ.update(services.login_environment()[0])
        else:
            environ.update(unit.environ)
        origins = {} if unit.jobs_user else _origins(unit.sources, environ)
        if edited is not None:
            origins.update({key: place.path for key in given if environ.get(key) == given[key]})
        return _Seen(environ, account, ", ".join(unit.sources) or name, tuple(notes), origins)

    def _unit(self, name: str, place: base.Place, root: str, edited: Optional[engine.Edited]) -> Any:
        unit = services.read_unit(name, root)
        if unit is None or edited is None or not self.check or not edited.changed:
            return unit
        # The files as they will be, in a folder of our own.
        with scratch.folder("unit") as copy:
            for source in [path for path in unit.sources if path != place.path and ".." not in path.split("/")]:
                try:
                    data = read_file(source)
                except OSError:
                    continue
                _put(copy + source[len(root) :], data)
            if edited.after is not None:
                _put(copy + place.path[len(root) :], edited.after)
            planned = services.read_unit(name, copy)
            if planned is None:
                return unit
            planned.problems = list(unit.problems)
            planned.sources = [root + path[len(copy) :] for path in planned.sources]
            return planned

    def _of_user_manager(self, place: base.Place, edited: engine.Edited) -> _Seen:
        root = systemd.root_of(place.path, "/etc/environment.d")
        account = self.fallback
        environ = _basics(account)
        paths = environment_d.documents(root or "", "" if root else account.home) if root is not None else []
        if place.path not in paths and edited.after is not None:
            paths.append(place.path)
            paths.sort(key=os.path.basename)
        notes: List[str] = []
        for path in paths:
            try:
                data = edited.after if path == place.path else files_for(account.uid, account.gid).read(path)
                if data is not None:
                    environment_d.merge(environ, data)
            except (OSError, base.BadPlace) as error:
                notes.append("%s: %s" % (path, error))
        return _Seen(environ, account, ", ".join(paths), tuple(notes))

    def _of_login(self, place: base.Place, given: Dict[str, str]) -> _Seen:
        account = self.fallback
        environ = _basics(account)
        environ.update(services.login_environment()[0])
        notes: Tuple[str, ...] = ()
        if self.check:
            return _Seen(dict(environ, **given), account, place.path, notes)
        if systemd.root_of(place.path, "/etc/profile.d") == "":
            shell = account.shell if os.path.basename(account.shell) in ("bash", "sh", "dash", "ksh") else "/bin/sh"
            if account.shell and shell != account.shell and os.path.basename(account.shell) not in ("nologin", "false"):
                notes = ("its shell %s does not read /etc/profile.d; this is what sh sees" % account.shell,)
            found, note = self._run(account, [shell, "-l", "-c", "exec env -0"], environ)
            source = "a login shell of %s" % account.name
        else:
            found, note = self._source(account, place.path, environ, "sh")
            source = place.path
        if found is None:
            return _Seen(dict(environ, **given), account, place.path, (*notes, note))
        return _Seen(found, account, source, notes)

    def _of_file(self, place: base.Place, edited: engine.Edited, given: Dict[str, str]) -> _Seen:
        account = self.fallback
        note = "only what this file gives; who reads it, and what else they read, is not known"
        if edited.after is not None and not self.check and plain.shell_reads(edited.after):
            found, why = self._source(account, place.path, _basics(account), "sh")
            if found is not None:
                return _Seen(found, account, place.path, (note,))
            return _Seen(given, account, place.path, (note, why))
        return _Seen(given, account, place.path, (note,))

    # --- processes ---------------------------------------------------------------------------------------------

    def _source(
        self, account: Account, path: str, environ: Mapping[str, str], shell: str
    ) -> Tuple[Optional[Dict[str, str]], str]:
        program = shutil.which(shell, path=evaluate.SAFE_PATH) or "/bin/sh"
        # What somebody else can write is his to run, and may be another file by the time a shell opens it.
        real = os.path.realpath(path)
        untrusted = ask.why_untrusted(real, account.uid, account.gid)
        if untrusted:
            return None, "it was read and not run as %s, because %s" % (account.name, untrusted)
        return self._run(account, [program, "-c", '. "$1" >/dev/null && exec env -0', shell, real], environ)

    def _run(
        self, account: Account, argv: Sequence[str], environ: Mapping[str, str]
    ) -> Tuple[Optional[Dict[str, str]], str]:
        """The environment that the command prints, or None and why there is none. It has the account's rights, an
        environment of its own, no file to write a byte to and no time to waste."""
        if os.geteuid() not in (0, account.uid):
            return None, "only root can start a process of %s; the files were read instead" % account.name
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=dict(environ),
                start_new_session=True,
                preexec_fn=_limits(account.uid, account.gid),
            )
        except (OSError, subprocess.SubprocessError) as error:
            return None, "%s could not be started as %s: %s" % (argv[0], account.name, error)
        out, _err, why = answer_of(process, SHELL_SECONDS, LIMIT)
        if why == "late":
            return None, "%s gave no answer within %g seconds" % (argv[0], SHELL_SECONDS)
        if why:
            return None, "%s printed more than %d bytes as %s" % (argv[0], LIMIT, account.name)
        if process.returncode != 0:
            return None, "%s failed with status %d, as a job of %s would" % (argv[0], process.returncode, account.name)
        found: Dict[str, str] = {}
        for item in out.decode("utf-8", "surrogateescape").split("\0"):
            name, sign, value = item.partition("=")
            if sign:
                found[name] = value
        return found, ""

    def _chain(self, account: Account) -> Optional[toolchain.Toolchain]:
        if account.uid not in self._chains:
            found = toolchain.find([account], self.goroots)
            self._chains[account.uid] = found[0] if found else None
        return self._chains[account.uid]

    def _ask(self, seen: _Seen, notes: List[str]) -> Tuple[str, str, Dict[str, evaluate.Setting]]:
        account, chain = seen.account, self._chain(seen.account)
        environ = evaluate.interesting(seen.environ)
        if seen.environ.get("PATH"):
            environ["PATH"] = seen.environ["PATH"]
        found = evaluate.evaluate(account, environ, chain, source="the environment of its jobs (%s)" % seen.source)
        if chain is None:
            notes.append("no Go toolchain was found for %s" % account.name)
            return "evaluator", "", found.settings
        answer = ask.ask(account, found, chain)
        if answer.agrees is None:
            notes.append("%s was not asked: %s" % (chain.exe, answer.reason))
            return "evaluator", "", found.settings
        settings = dict(found.settings)
        for item in answer.disagreements:
            settings[item.name] = evaluate.Setting(item.theirs, evaluate.PROCESS, chain.exe)
        return "go", chain.exe, settings

    def _pending(self, place: base.Place, changes: Mapping[str, Optional[str]]) -> Tuple[str, ...]:
        if place.kind != systemd.NAME or not place.service or systemd.root_of(place.path, systemd.FOLDER) != "":
            return ()
        found, _notes = services.discover([place.service], runners=False)
        running = [item for item in found if item.state == "running"]
        return tuple(
            sorted(
                name
                for name, value in changes.items()
                for item in running
                if name in names.INTERESTING_NAMES and item.environ.get(name) != _shown(name, value)
            )
        )


def _shown(name: str, value: Optional[str]) -> Optional[str]:
    if value is None:
        return None
    return engine.shown(name, value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _basics(account: Account) -> Dict[str, str]:
    """What every session and every service with User= has."""
    return {
        "HOME": account.home or "/",
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": account.shell or "/bin/sh",
        "PATH": evaluate.SAFE_PATH,
    }


def _origins(paths: Sequence[str], environ: Mapping[str, str]) -> Dict[str, str]:
    """name -> the last of a unit's files that gives the value which the environment has."""
    found: Dict[str, str] = {}
    for path in paths:
        try:
            data = read_file(path)
            if path.endswith((".service", ".conf")):
                values = systemd.KIND.read(data, "")
            else:
                values = services.parse_environment_file(data.decode("utf-8", "replace"))
        except (OSError, base.BadPlace):
            continue
        found.update({name: path for name, value in values.items() if environ.get(name) == value})
    return found


def _put(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(data)


def _limits(uid: int, gid: int) -> Callable[[], None]:
    def apply() -> None:
        os.umask(0o077)
        # Pipes are no files: the answer gets through, nothing else does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.geteuid() == 0 and uid != 0:
            drop_rights(uid, gid)

    return apply
