# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything about Go on one host as plain data: toolchains, accounts, services, their settings and problems."""

from __future__ import annotations

import os
import re
import stat
import time
from typing import Any, Iterable, Mapping, Sequence

from .._fs import dirs, mounts
from . import accounts as account_room
from . import ask as go
from . import evaluate as evaluator
from . import lint, services, toolchain
from .accounts import Account
from .evaluate import Evaluation, Places
from .lint import Problem
from .mask import mask, mask_value
from .toolchain import Toolchain

#: Bounds of one overview: seconds spent on asking Go, accounts, entries of work folders that are sized.
ASK_SECONDS = 60.0
MAX_ACCOUNTS = 200
MAX_ENTRIES = 50000

_WORK_FOLDER = re.compile(r"^go-(?:build|link|tool|run|test)-?\d+$")


class Request:
    """What to look at. Names are as in the options of the module go_env_info."""

    def __init__(
        self,
        accounts: Sequence[str] = (),
        toolchains: Sequence[str] = (),
        services: Sequence[str] = (),
        variables: Sequence[str] = (),
        ask_go: bool = True,
    ) -> None:
        self.accounts = accounts
        self.toolchains = toolchains
        self.services = services
        self.variables = variables
        self.ask_go = ask_go


def overview(request: Request) -> dict[str, Any]:
    """toolchains, accounts, services, problems and not_reached, JSON-able and without credentials.

    Creates and changes nothing. Never raises for what it finds; what the rights do not reach is in not_reached.
    """
    return _Overview(request).run()


class _Overview:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.problems: list[Problem] = []
        self.not_reached: list[dict[str, str]] = []
        self.mounts = mounts.mounts()
        self.deadline = time.monotonic() + ASK_SECONDS
        self.login, _sources = services.login_environment()

    def run(self) -> dict[str, Any]:
        found_services, notes = services.discover(self.request.services)
        for note in notes:
            self.cannot("services", note)
        chosen = self.accounts(found_services)
        discovery = toolchain.find_all(chosen, self.request.toolchains)
        more = self.other_module_caches(chosen, discovery.toolchains)
        if more:
            discovery = toolchain.find_all(chosen, self.request.toolchains, modcaches=more)
        for row in discovery.unreachable:
            self.cannot(row.path, row.reason)
        if discovery.truncated:
            self.cannot("toolchains", f"only {discovery.looked_at} places were looked at")
        self.chains = list(discovery.toolchains)
        if not self.chains:
            text = "no Go toolchain was found; the settings are those of the newest Go with its built-in defaults"
            hint = "If Go is installed in an unusual place, name its GOROOT in the option toolchains"
            self.problems.append(Problem("no-toolchain", lint.INFO, "", "", text, hint))
        return {
            "toolchains": [self.chain_row(chain) for chain in self.chains],
            "accounts": [self.account_row(account) for account in chosen],
            "services": [self.service_row(service) for service in found_services],
            "problems": [problem_row(problem) for problem in self.problems],
            # Not "unreachable": Ansible takes that for the state of the host.
            "not_reached": self.not_reached,
        }

    def cannot(self, path: str, reason: str) -> None:
        row = {"path": printable(path), "reason": printable(mask(reason))}
        if row not in self.not_reached:
            self.not_reached.append(row)

    # Accounts

    def accounts(self, found: Iterable[services.Service]) -> list[Account]:
        root = os.geteuid() == 0
        if self.request.accounts:
            chosen, missing = account_room.resolve(self.request.accounts)
            for row in missing:
                text = f"{row.name}: {row.reason}"
                self.problems.append(Problem("no-account", lint.ERROR, "", row.name, text, "Correct option accounts"))
        else:
            chosen = account_room.related(service.uid for service in found if service.uid is not None)
            if not root:
                self.others()
        reached = [account for account in chosen if root or account.uid == os.geteuid()]
        for account in chosen:
            if account not in reached:
                self.cannot(account.home or account.name, "only root can look at the account " + account.name)
        if len(reached) > MAX_ACCOUNTS:
            self.cannot("accounts", f"only {MAX_ACCOUNTS} of {len(reached)} accounts were looked at")
        return reached[:MAX_ACCOUNTS]

    def others(self) -> None:
        # As a plain user: homes of others that might hold Go settings and caches.
        for account in account_room.local():
            person = account.uid == 0 or 1000 <= account.uid < 60000
            if account.uid == os.geteuid() or not person or len(self.not_reached) >= 20:
                continue
            if account.home != "/" and os.path.isdir(account.home):
                self.cannot(account.home, "only root can look at the account " + account.name)

    def other_module_caches(self, chosen: Iterable[Account], chains: Sequence[Toolchain]) -> list[str]:
        result: list[str] = []
        for account in chosen:
            evaluation = evaluator.evaluate(account, self.login, _first(chains, account))
            place = evaluator.cache_places(evaluation.settings).gomodcache
            if place and place != os.path.join(account.home, "go/pkg/mod") and place not in result:
                result.append(place)
        return result

    def account_row(self, account: Account) -> dict[str, Any]:
        chain = _first(self.chains, account)
        evaluation = evaluator.evaluate(account, self.login, chain, source="/etc/environment")
        row: dict[str, Any] = {"account": account.name, "uid": account.uid, "home": printable(account.home)}
        row.update(self.settings_rows(account, evaluation, chain))
        row["other_toolchains"] = self.differences(account, evaluation, chain)
        return row

    def settings_rows(self, account: Account, evaluation: Evaluation, chain: Toolchain | None) -> dict[str, Any]:
        places = evaluator.cache_places(evaluation.settings, evaluation.environ)
        problems = lint.check(evaluation, account, chain) + lint.check_places(places, account)
        answer = self.ask(account, evaluation, chain)
        for different in answer.disagreements:
            text = f"this collection reads {different.ours!r}, {answer.goroot}/bin/go says {different.theirs!r}"
            where = evaluation.settings[different.name].where
            hint = "Trust Go, and report this as a bug of the collection"
            problems.append(Problem("evaluator-disagrees", lint.WARNING, different.name, where, text, hint))
        if answer.reason.startswith("go refuses"):
            hint = "Correct the setting that Go names; until then every go command of the account fails"
            problems.append(Problem("go-refuses", lint.ERROR, "", answer.goroot, answer.reason, hint))
        return {
            "toolchain": chain.goroot if chain else "",
            "env_file": printable(evaluation.env_file),
            "env_file_state": evaluation.env_state,
            "settings": self.setting_rows(evaluation),
            "places": self.place_rows(places),
            "leftovers": self.leftovers(places.gotmpdir, account.uid),
            "agrees_with_go": answer.agrees,
            "asked": {"goroot": answer.goroot, "compared": answer.compared, "reason": printable(answer.reason)},
            "problems": [problem_row(problem) for problem in problems],
        }

    def setting_rows(self, evaluation: Evaluation) -> dict[str, Any]:
        wanted = self.request.variables
        return {
            name: {
                "value": printable(mask_value(name, setting.value)),
                "origin": setting.origin,
                "where": printable(setting.where),
            }
            for name, setting in evaluation.settings.items()
            if not wanted or name in wanted
        }

    def differences(self, account: Account, evaluation: Evaluation, chain: Toolchain | None) -> list[dict[str, Any]]:
        # Each toolchain brings its own go.env and defaults; what is the same is not told again.
        rows: list[dict[str, Any]] = []
        for other in self.chains:
            if chain is None or other.goroot == chain.goroot:
                continue
            second = evaluator.evaluate(account, self.login, other, source="/etc/environment")
            rows_of_other = self.setting_rows(second)
            rows_of_first = self.setting_rows(evaluation)
            different = {
                name: rows_of_other.get(name)
                for name in sorted(set(rows_of_first) | set(rows_of_other))
                if name not in ("GOROOT", "GOVERSION", "GOTOOLDIR")
                and (rows_of_first.get(name) or {}).get("value") != (rows_of_other.get(name) or {}).get("value")
            }
            if different:
                rows.append({"toolchain": other.goroot, "version": other.version, "settings": different})
        return rows

    def ask(self, account: Account, evaluation: Evaluation, chain: Toolchain | None) -> go.Answer:
        if chain is None:
            return go.Answer("", None, (), 0, "Go was not found")
        if not self.request.ask_go:
            return go.Answer(chain.goroot, None, (), 0, "not asked for")
        left = self.deadline - time.monotonic()
        if left < 1:
            return go.Answer(chain.goroot, None, (), 0, "the time for asking Go is used up")
        return go.ask(account, evaluation, chain, timeout=min(go.TIMEOUT, left))

    # Places

    def place_rows(self, places: Places) -> dict[str, Any]:
        rows = {name: self.place_row(path, places.reasons.get(name, "")) for name, path in places.named().items()}
        rows["gopath"] = [self.place_row(path, "") for path in places.gopath]  # type: ignore[assignment]
        rows["cacheprog"] = printable(mask_value("GOCACHEPROG", places.cacheprog))  # type: ignore[assignment]
        return rows

    def place_row(self, path: str | None, reason: str) -> dict[str, Any]:
        row: dict[str, Any] = {"path": None, "exists": False, "uid": None, "filesystem": None, "reason": reason}
        if path is None:
            return row
        row["path"] = printable(path)
        if not path.startswith("/"):
            return row
        try:
            real = os.path.realpath(path)
            found = os.stat(real)
            row["exists"], row["uid"] = True, found.st_uid
        except (FileNotFoundError, NotADirectoryError):
            real = os.path.realpath(path)
        except OSError as error:
            row["exists"], row["reason"] = None, error.strerror or str(error)
            self.cannot(path, row["reason"])
            return row
        if row["exists"] and real != path:
            row["real_path"] = printable(real)
        mount = self.mount_of(real)
        if mount:
            row["filesystem"] = {"mount": printable(mount.point), "type": mount.fstype, "network": mount.network}
        return row

    def mount_of(self, path: str) -> mounts.Mount | None:
        best: mounts.Mount | None = None
        for mount in self.mounts:
            inside = mount.point == "/" or path == mount.point or path.startswith(mount.point + "/")
            # Of mounts on one point the last hides the others.
            if inside and (best is None or len(mount.point) >= len(best.point)):
                best = mount
        return best

    def leftovers(self, directory: str | None, uid: int) -> dict[str, Any]:
        """Work folders (go-build*) that the account's go commands left behind or are using now."""
        row: dict[str, Any] = {"count": 0, "bytes": 0, "oldest_seconds": None, "complete": True}
        if directory is None:
            return row
        try:
            # Given by the account or the system, and often a link; what is in it is never followed.
            top = dirs.open_dir(os.path.realpath(directory))
        except (FileNotFoundError, NotADirectoryError):
            return row
        except OSError as error:
            self.cannot(directory, error.strerror or str(error))
            row["complete"] = False
            return row
        now = time.time()
        budget = [MAX_ENTRIES]
        try:
            with os.scandir(top) as entries:
                for entry in entries:
                    if not _WORK_FOLDER.match(entry.name):
                        continue
                    found = os.stat(entry.name, dir_fd=top, follow_symlinks=False)
                    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
                        continue
                    row["count"] += 1
                    row["bytes"] += _allocated(top, entry.name, budget)
                    age = max(0, int(now - found.st_mtime))
                    row["oldest_seconds"] = max(age, row["oldest_seconds"] or 0)
        except OSError as error:
            self.cannot(directory, error.strerror or str(error))
            row["complete"] = False
        finally:
            os.close(top)
        row["complete"] = row["complete"] and budget[0] > 0
        return row

    # Toolchains and services

    def chain_row(self, chain: Toolchain) -> dict[str, Any]:
        return {
            "goroot": printable(chain.goroot),
            "version": printable(chain.version),
            "exe": printable(chain.exe),
            "origin": chain.origin,
            "uid": chain.uid,
            "names": [printable(name) for name in chain.names],
            "go_env": {name: printable(mask_value(name, value)) for name, value in sorted(chain.go_env.items())},
            "trusted": not go.why_untrusted(chain.exe, 0, 0),
        }

    def service_row(self, service: services.Service) -> dict[str, Any]:
        row: dict[str, Any] = {
            "service": printable(service.name),
            "kind": service.kind,
            "state": service.state,
            "uid": service.uid,
            "account": None,
            "environment": {name: printable(value) for name, value in service.environ.items()},
            "proxy_variables": list(service.proxies),
            "sources": [printable(source) for source in service.sources],
            "pending_restart": list(service.pending),
            "agrees_with_go": None,
            "settings": {},
            "places": {},
            "problems": [],
        }
        problems: list[Problem] = []
        for text in service.problems:
            code = "no-service" if service.state == "missing" else "service-unreadable"
            hint = "Correct option services" if code == "no-service" else "Run as root to see all of it"
            problems.append(Problem(code, lint.WARNING, "", service.name, printable(mask(text)), hint))
        if service.pending:
            names = ", ".join(service.pending)
            text = f"the running process does not have what the unit files now say for {names}"
            hint = "Restart the service when it is idle"
            problems.append(Problem("restart-needed", lint.WARNING, "", service.name, text, hint))
        mine = os.geteuid() in (0, service.uid)
        if service.uid is not None and mine and service.state in ("running", "configured"):
            account = self.service_account(service.uid)
            chain = _first(self.chains, account)
            # A service has no HOME unless something sets it.
            environ = dict({"HOME": ""}, **service.environ)
            evaluation = evaluator.evaluate(account, environ, chain, source=service.name)
            detail = self.settings_rows(account, evaluation, chain)
            plain = self.setting_rows(evaluator.evaluate(account, self.login, chain, source="/etc/environment"))
            row["account"] = account.name
            row["settings"] = {
                name: setting for name, setting in detail["settings"].items() if plain.get(name) != setting
            }
            row["places"], row["agrees_with_go"] = detail["places"], detail["agrees_with_go"]
            row["problems"] = detail["problems"]
        row["problems"] = [problem_row(problem) for problem in problems] + row["problems"]
        return row

    def service_account(self, uid: int) -> Account:
        return account_room.lookup(uid) or Account(str(uid), uid, uid, "", "")


def _first(chains: Sequence[Toolchain], account: Account) -> Toolchain | None:
    """The toolchain that the account's go commands are taken to be: the first on PATH that it may trust."""
    usable = [chain for chain in chains if chain.uid in (0, account.uid)]
    on_path = [chain for chain in usable if chain.origin in ("path", "pip")]
    own = [chain for chain in usable if chain.origin in ("system", "distribution", "explicit")]
    rest = sorted(usable, key=lambda chain: toolchain.version_key(chain.version), reverse=True)
    for candidates in (on_path, own, rest, list(chains)):
        if candidates:
            return candidates[0]
    return None


def _allocated(parent: int, name: str, budget: list[int]) -> int:
    """Bytes allocated below a folder, without following links or changing file systems, while the budget lasts."""
    try:
        top = dirs.open_dir(name, parent)
    except OSError:
        return 0
    total = 0
    device = os.fstat(top).st_dev
    stack = [top]
    try:
        while stack:
            fd = stack.pop()
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        budget[0] -= 1
                        if budget[0] <= 0:
                            return total
                        try:
                            found = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                            total += found.st_blocks * 512
                            if stat.S_ISDIR(found.st_mode) and found.st_dev == device and len(stack) < 200:
                                stack.append(dirs.open_dir(entry.name, fd))
                        except OSError:
                            continue
            finally:
                os.close(fd)
    finally:
        for fd in stack:
            os.close(fd)
    return total


def problem_row(problem: Problem) -> dict[str, str]:
    """A problem as plain data."""
    return {
        "code": problem.code,
        "severity": problem.severity,
        "variable": printable(problem.variable),
        "where": printable(problem.where),
        "text": printable(problem.text),
        "hint": printable(problem.hint),
    }


def printable(text: str) -> str:
    """Strict UTF-8: odd bytes of paths and values as U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def summary(result: Mapping[str, Any]) -> str:
    """One line for people."""
    problems = sum(len(row["problems"]) for row in list(result["accounts"]) + list(result["services"]))
    counts = (
        (len(result["toolchains"]), "toolchain"),
        (len(result["accounts"]), "account"),
        (len(result["services"]), "service"),
        (problems + len(result["problems"]), "problem"),
    )
    return ", ".join("%d %s%s" % (count, word, "" if count == 1 else "s") for count, word in counts)
