# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an account's go commands would use to reach module proxies: settings, their origins, its environment."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

from .._go import accounts, evaluate, lint, proxyvars, services, toolchain
from .._go.accounts import Account
from .._go.files import read_file
from .forward import NAMES

#: The variables that decide how modules are fetched.
VARIABLES = ("GOPROXY", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOAUTH", "GOPRIVATE", "GOINSECURE", "GOVCS", "GOFLAGS")
#: Not Go's, but looked for all the same: guides name it.
_MISTAKEN = ("GONOSUMCHECK",)
#: What the account's processes read besides Go's own variables.
_AROUND = ("SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO") + tuple(
    name for names in NAMES.values() for name in names
)


class NoAccount(ValueError):
    """The account does not exist, or the rights do not reach it."""


class Settings(NamedTuple):
    """values: variable to effective value, secrets included. wheres: to "origin: file and line".

    environ: of the account's processes, secrets included. problems: of the settings in VARIABLES. sumdb: the folder
    where Go keeps what it saw of checksum databases (GOPATH/pkg/sumdb), or an empty text.
    """

    account: Account
    values: Dict[str, str]
    wheres: Dict[str, str]
    environ: Dict[str, str]
    problems: List[lint.Problem]
    sumdb: str


def of_account(name: str, environment: Mapping[str, str]) -> Settings:
    """The settings of the account with this name or uid, the caller for an empty one. Creates and changes nothing.

    environment: further variables of its processes; they win. For the caller itself its own forward proxies, roots and
    agent count; for everybody /etc/environment does. Raises NoAccount.
    """
    account = accounts.lookup(name) if name else accounts.current()
    if account is None:
        raise NoAccount("account: %r: no account with this name or uid on this host; check the spelling" % name)
    environ = _Environ(_login(), "/etc/environment")
    if account.uid == os.geteuid():
        environ.add({key: os.environ[key] for key in _AROUND if os.environ.get(key)}, "environment of the task")
    environ.add(environment, "option environment")
    return _settings(account, environ, "environment")


def of_service(name: str, environment: Mapping[str, str]) -> Settings:
    """The settings that the jobs of a service have: a systemd unit, or a runner that is found running by its kind.

    Its process' environment counts, without one that of its unit and the runner's .env; where it starts the jobs in a
    login of another user (gitlab-runner --user), that login's. Raises NoAccount.
    """
    found = next((row for row in services.discover([name], runners=False)[0]), None)
    if found is None or found.state == "missing":
        running = services.running_runners()[0]
        found = next((row for row in running if row.name == name), None)
    if found is None:
        raise NoAccount("service: %r: no such systemd unit or runner on this host; go_env_info lists them" % name)
    if found.uid is None:
        raise NoAccount("service: %s: %s" % (name, "; ".join(found.problems) or "its account is not known"))
    account = accounts.lookup(found.uid)
    if account is None:
        raise NoAccount("service: %s runs as uid %d, which is no account of this host" % (name, found.uid))
    if found.state == "unreadable":
        raise NoAccount("service: %s: %s; use become" % (name, "; ".join(found.problems) or "cannot be looked at"))
    environ = _Environ({}, "")
    for text, where in _sources(found):
        environ.add(text, where)
    if found.environ.get("HOME"):
        environ.add({"HOME": found.environ["HOME"]}, found.name)
    environ.add(environment, "option environment")
    return _settings(account, environ, found.name)


def _sources(found: services.Service) -> List[Tuple[Dict[str, str], str]]:
    # services shows values masked; here they are needed, from the files that it names.
    rows: List[Tuple[Dict[str, str], str]] = []
    unit = services.read_unit(found.name) if found.kind == "systemd" else None
    if _is_login(found, unit):
        return [(_login(), "/etc/environment")]
    for path in found.sources:
        if unit is not None and path in unit.sources:
            if path == unit.sources[0]:
                rows.append((unit.environ, found.name))
            continue
        try:
            text = _process(path) if path.startswith("/proc/") else read_file(path).decode("utf-8", "surrogateescape")
        except OSError as error:
            raise NoAccount("service: %s: %s: %s" % (found.name, path, error.strerror or "cannot be read")) from None
        if path.startswith("/proc/"):
            pairs = (item.partition("=") for item in text.split("\0"))
            rows.insert(0, ({name: value for name, equals, value in pairs if equals}, path))
            # What the unit says counts from its next start on.
            rows = [row for row in rows if row[1] != found.name]
        else:
            rows.append((services.parse_runner_env(text), path))
    return rows


def _is_login(found: services.Service, unit: Any) -> bool:
    """Whether the jobs run in a login of another user, which inherits nothing of the service."""
    if unit is not None:
        return bool(unit.jobs_user)
    try:
        return found.pid is not None and os.stat("/proc/%d" % found.pid).st_uid != found.uid
    except OSError:
        return False


def _process(path: str) -> str:
    with open(path, "rb") as stream:  # files of /proc have no size
        return stream.read(1 << 20).decode("utf-8", "surrogateescape")


class _Environ:
    """Variables with where each comes from."""

    def __init__(self, values: Mapping[str, str], where: str) -> None:
        self.values: Dict[str, str] = {}
        self.wheres: Dict[str, str] = {}
        self.add(values, where)

    def add(self, values: Mapping[str, str], where: str) -> None:
        """Variables that win over those before."""
        self.values.update(values)
        self.wheres.update(dict.fromkeys(values, where))


def _settings(account: Account, environ: _Environ, source: str) -> Settings:
    if os.geteuid() not in (0, account.uid):
        raise NoAccount("account: only root can look at the settings of %s; use become" % account.name)
    chains = toolchain.find([account])
    chain = next((row for row in chains if row.uid in (0, account.uid)), None)
    evaluation = evaluate.evaluate(account, environ.values, chain, source=source)
    # Where Go is too old for a variable it has no setting: then there is nothing that it could do.
    found = {key: evaluation.settings[key] for key in VARIABLES if key in evaluation.settings}
    wheres = {key: environ.wheres[key] for key in _AROUND if environ.values.get(key)}
    wheres.update({key: "%s: %s" % (row.origin, row.where) for key, row in found.items()})
    problems = [row for row in lint.check(evaluation, account, chain) if row.variable in VARIABLES + _MISTAKEN]
    for fault in proxyvars.check(environ.values):
        where = wheres.get(fault.variable) or wheres.get(proxyvars.OTHER.get(fault.variable, ""), "")
        problems.append(lint.Problem(fault.rule, lint.WARNING, fault.variable, where, fault.message, fault.hint))
    values = {key: row.value for key, row in found.items()}
    around = dict(evaluation.environ)
    around.setdefault("PATH", os.defpath)
    sumdb = evaluate.cache_places(evaluation.settings).sumdb or ""
    return Settings(account, values, wheres, around, problems, sumdb)


def _login() -> Dict[str, str]:
    # As services.login_environment(), but with the values that the doctor needs, which are not fit to be shown.
    try:
        text = read_file("/etc/environment").decode("utf-8", "surrogateescape")
    except OSError:
        return {}
    found = services.parse_environment_file(text)
    return {name: value for name, value in found.items() if name not in ("HOME", "TMPDIR")}
