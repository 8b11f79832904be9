# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an account's go commands would use to reach module proxies: settings, their origins, its environment."""

from __future__ import annotations

import os
from typing import Dict, List, Mapping, NamedTuple

from .._go import accounts, evaluate, lint, services, toolchain
from .._go.accounts import Account
from .._go.files import read_file
from .forward import NAMES

#: The variables that decide how modules are fetched.
VARIABLES = ("GOPROXY", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOAUTH", "GOPRIVATE", "GOINSECURE", "GOVCS")
#: What the account's processes read besides Go's own variables.
_AROUND = ("SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC") + tuple(name for names in NAMES.values() for name in names)


class NoAccount(ValueError):
    """The account does not exist, or the rights do not reach it."""


class Settings(NamedTuple):
    """values: variable to effective value, secrets included. wheres: to "origin: file and line".

    environ: of the account's processes, secrets included. problems: of the settings in VARIABLES.
    """

    account: Account
    values: Dict[str, str]
    wheres: Dict[str, str]
    environ: Dict[str, str]
    problems: List[lint.Problem]


def of_account(name: str, environment: Mapping[str, str]) -> Settings:
    """The settings of the account with this name or uid, the caller for an empty one. Creates and changes nothing.

    environment: further variables of its processes; they win. For the caller itself its own forward proxies, roots and
    NETRC count; for everybody /etc/environment does. Raises NoAccount.
    """
    account = accounts.lookup(name) if name else accounts.current()
    if account is None:
        raise NoAccount("account: %r: no account with this name or uid on this host; check the spelling" % name)
    if os.geteuid() not in (0, account.uid):
        raise NoAccount("account: only root can look at the settings of %s; use become" % account.name)
    environ = _login()
    if account.uid == os.geteuid():
        environ.update({key: os.environ[key] for key in _AROUND if os.environ.get(key)})
    environ.update(environment)
    chains = toolchain.find([account])
    chain = next((row for row in chains if row.uid in (0, account.uid)), None)
    evaluation = evaluate.evaluate(account, environ, chain, source="environment")
    # Where Go is too old for a variable it has no setting: then there is nothing that it could do.
    found = {key: evaluation.settings[key] for key in VARIABLES if key in evaluation.settings}
    wheres = {key: "%s: %s" % (row.origin, row.where) for key, row in found.items()}
    problems = [row for row in lint.check(evaluation, account, chain) if row.variable in VARIABLES]
    values = {key: row.value for key, row in found.items()}
    environ = dict(evaluation.environ)
    environ.setdefault("PATH", os.defpath)
    return Settings(account, values, wheres, environ, problems)


def _login() -> Dict[str, str]:
    # As services.login_environment(), but with the values that the doctor needs, which are not fit to be shown.
    try:
        text = read_file("/etc/environment").decode("utf-8", "surrogateescape")
    except OSError:
        return {}
    found = services.parse_environment_file(text)
    return {name: value for name, value in found.items() if name not in ("HOME", "TMPDIR")}
