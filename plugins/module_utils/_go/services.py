# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process environment of services and CI runners, as far as Go reads it.

Where it comes from: the running process (/proc/PID/environ), systemd's unit files with their drop-ins (systemd.unit(5),
systemd.exec(5)), the .env file of GitHub's and Azure's runner (Program.cs LoadAndSetEnv in actions/runner),
/etc/environment (pam_env(8)) and environment.d(5).

Only the variables of ``names.INTERESTING_NAMES`` leave this file, credentials in them masked; of the HTTP proxy
variables only the names.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import time
from typing import Iterable, Mapping, NamedTuple, Sequence

from . import accounts
from .files import LIMIT, list_names, read_file
from .mask import mask_value
from .names import INTERESTING_NAMES, PROXY_NAMES

#: Where systemd looks for units, the strongest first.
UNIT_DIRS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
#: Units of CI runners as their installers name them.
RUNNER_UNITS = (
    "gitlab-runner*.service",
    "actions.runner.*.service",
    "buildkite-agent*.service",
    "jenkins*.service",
    "vsts.agent.*.service",
    "teamcity*.service",
    "woodpecker*.service",
    "drone-runner*.service",
    "forgejo-runner*.service",
    "gitea-runner*.service",
    "act_runner*.service",
    "buildbot*.service",
)
# Each of them has one star.
_BEGINNINGS = tuple(shape.partition("*")[0] for shape in RUNNER_UNITS)
#: comm (at most 15 characters) -> name of the runner.
_COMMS = {
    "gitlab-runner": "gitlab-runner",
    "Runner.Listener": "github-runner",
    "Agent.Listener": "azure-agent",
    "buildkite-agent": "buildkite-agent",
    "woodpecker-agen": "woodpecker-agent",
    "drone-runner-do": "drone-runner",
    "drone-runner-ex": "drone-runner",
    "act_runner": "act_runner",
    "forgejo-runner": "forgejo-runner",
}
_JENKINS = re.compile(rb"(?:^|/)(?:agent|remoting|slave|swarm-client)[^/\0]*\.jar$|^hudson\.remoting\.")

#: Bounds: processes looked at, services returned, seconds for the whole scan and for one systemctl.
MAX_PROCESSES = 20000
MAX_SERVICES = 100
SCAN_SECONDS = 5.0
SYSTEMCTL_SECONDS = 5.0


class Service(NamedTuple):
    """The environment of one service or runner.

    name: unit, or kind of runner. kind: "systemd", "process", "runner" or "login". state: "running" (environ is what
    the process has), "configured" (what its next start gives it), "unreadable" or "missing". uid: whom it, or its jobs,
    run as; None if unknown.
    environ: only what Go reads, credentials masked. proxies: names of HTTP proxy variables that are set.
    sources: files and processes that were read. pending: variables whose value changes with the next restart.
    problems: what could not be read, as text.
    """

    name: str
    kind: str
    state: str
    uid: int | None
    pid: int | None
    environ: Mapping[str, str]
    proxies: Sequence[str] = ()
    sources: Sequence[str] = ()
    pending: Sequence[str] = ()
    problems: Sequence[str] = ()


class _Unit:
    """What the unit files of one service say; environ is whole and unmasked and must not leave this file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.environ: dict[str, str] = {}
        self.env_files: list[tuple[str, bool]] = []
        self.unset: list[str] = []
        self.user = ""
        self.directory = ""
        self.jobs_user = ""
        self.sources: list[str] = []
        self.problems: list[str] = []


def _visible(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    shown = {name: mask_value(name, environ[name]) for name in sorted(environ) if name in INTERESTING_NAMES}
    return shown, sorted(name for name in environ if name in PROXY_NAMES and environ[name])


def _text(path: str) -> str:
    return read_file(path, LIMIT).decode("utf-8", "surrogateescape")


# environment files


_BACKSLASH = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
# systemd's cunescape_one (src/basic/escape.c)
_NUMBERED = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})")


def split_words(text: str) -> list[str]:
    """The items of a systemd setting such as Environment=: blanks separate, both quotes group, C escapes are undone.

    Source: systemd.syntax(7), "Quoting". An unclosed quote ends with the line.
    """
    words: list[str] = []
    current, quote, started, index = "", "", False, 0
    while index < len(text):
        char = text[index]
        index += 1
        if char == "\\" and index < len(text):
            escaped = text[index]
            index += 1
            number = _NUMBERED.match(text, index - 1)
            code = int(number.group(number.lastindex or 0), 8 if number.lastindex == 4 else 16) if number else 0
            if number and 0 < code < 0x110000 and not 0xD800 <= code < 0xE000:
                current += chr(code)
                index = number.end()
            else:
                current += _BACKSLASH.get(escaped, escaped)
            started = True
        elif quote:
            if char == quote:
                quote = ""
            else:
                current += char
        elif (char in "\"'" and not current) or char in "\"'":
            quote, started = char, True
        elif char in " \t":
            if started or current:
                words.append(current)
            current, started = "", False
        else:
            current += char
    if started or current:
        words.append(current)
    return words


def parse_environment_file(text: str) -> dict[str, str]:
    """An EnvironmentFile= (systemd.exec(5)), also good for /etc/environment and environment.d.

    KEY=VALUE lines; "#" and ";" start comments; one pair of quotes around the value is taken off; a backslash at the
    end of a line joins it with the next. Lines without a valid name are ignored. "export " is allowed as pam_env does.
    """
    result: dict[str, str] = {}
    for line in text.replace("\\\n", "").split("\n"):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("export "):
            line = line[len("export ") :].lstrip()
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not re.match(r"^[A-Za-z_][A-Za-z0-9_]*$", name):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            quote, value = value[0], value[1:-1]
            if quote == '"':
                value = re.sub(r"\\([\"\\`$])", r"\1", value)
        result[name] = value
    return result


def parse_runner_env(text: str) -> dict[str, str]:
    """The .env of GitHub's and Azure's runner: KEY=VALUE lines, split at the first "=", nothing else is special."""
    result: dict[str, str] = {}
    for line in re.split("\r\n|\n|\r", text):
        name, equals, value = line.partition("=")
        if equals and name:
            result[name] = value
    return result


# systemd


def _unit_paths(name: str, root: str) -> list[str]:
    """The files that make up a unit, in the order in which systemd reads them: the unit, then its drop-ins."""
    template = ""
    found = re.match(r"^(.+?)@.*(\.service)$", name)
    if found:
        template = f"{found.group(1)}@{found.group(2)}"
    paths: list[str] = []
    for candidate in (name, template):
        for directory in UNIT_DIRS:
            path = root + directory + "/" + candidate
            if candidate and os.path.exists(path):
                paths.append(path)
                break
        if paths:
            break
    # Prefix drop-ins (foo-.service.d of foo-bar.service) are weaker than the unit's own, service.d is the weakest.
    names = ["service.d"]
    stem = name[: -len(".service")]
    parts = stem.split("-")
    names += ["-".join(parts[:count]) + "-.service.d" for count in range(1, len(parts))]
    if template:
        names.append(template + ".d")
    names.append(name + ".d")
    drop_ins: dict[str, str] = {}
    for folder in names:
        for directory in reversed(UNIT_DIRS):
            base = root + directory + "/" + folder
            try:
                entries = list_names(base, 200)
            except OSError:
                continue
            for entry in entries:
                if entry.endswith(".conf"):
                    # A file of the same name in a stronger place replaces the weaker one.
                    drop_ins[entry] = base + "/" + entry
    return paths + [drop_ins[entry] for entry in sorted(drop_ins)]


def _settings(text: str) -> Iterable[tuple[str, str]]:
    section = ""
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line
        elif section == "[Service]" and "=" in line:
            name, _equals, value = line.partition("=")
            yield name.strip(), value.strip()


def _specifiers(text: str, name: str) -> str:
    stem = name[: -len(".service")]
    instance = stem.split("@", 1)[1] if "@" in stem else ""
    table = {"%": "%", "n": name, "N": stem, "p": stem.split("@", 1)[0], "i": instance, "I": instance}
    return re.sub(r"%(.)", lambda found: table.get(found.group(1), found.group(0)), text)


def read_unit(name: str, root: str = "") -> _Unit | None:
    """What the files of a systemd service unit say about its environment, or None where there is no such unit."""
    paths = _unit_paths(name, root)
    unit = _Unit(name)
    loaded = False
    for path in paths:
        try:
            text = _text(path)
        except OSError as error:
            unit.problems.append(f"{path}: {error.strerror or error}")
            continue
        loaded = loaded or path.endswith(".service")
        unit.sources.append(path)
        for key, value in _settings(text):
            _apply(unit, key, value)
    if not loaded and not unit.problems:
        return None
    for pattern, optional in unit.env_files:
        matches = sorted(glob.glob(root + pattern)) if glob.has_magic(pattern) else [root + pattern]
        for path in matches[:50]:
            try:
                unit.environ.update(parse_environment_file(_text(path)))
                unit.sources.append(path)
            except OSError as error:
                if not optional or error.errno != errno.ENOENT:
                    unit.problems.append(f"{path}: {error.strerror or error}")
    for item in unit.unset:
        key, equals, value = item.partition("=")
        if not equals or unit.environ.get(key) == value:
            unit.environ.pop(key, None)
    return unit


def _apply(unit: _Unit, key: str, value: str) -> None:
    if key == "Environment":
        if not value:
            unit.environ.clear()
        for item in split_words(value):
            name, equals, text = _specifiers(item, unit.name).partition("=")
            if equals:
                unit.environ[name] = text
    elif key == "EnvironmentFile":
        path = _specifiers(value, unit.name)
        if not path:
            del unit.env_files[:]
        else:
            unit.env_files.append((path.lstrip("-"), path.startswith("-")))
    elif key == "UnsetEnvironment":
        unit.unset = unit.unset + split_words(value) if value else []
    elif key == "User":
        unit.user = _specifiers(value, unit.name)
    elif key == "ExecStart":
        unit.jobs_user = _jobs_user(split_words(value)) or unit.jobs_user
    elif key == "WorkingDirectory":
        unit.directory = _specifiers(value, unit.name).lstrip("-")


def _jobs_user(words: Sequence[str]) -> str:
    # "gitlab-runner run --user NAME" as root: its jobs run in a login shell of NAME (su --login), which gets nothing
    # of the service's environment.
    if not words or os.path.basename(words[0].lstrip("@-:+!")) != "gitlab-runner":
        return ""
    for index, word in enumerate(words):
        if word.startswith("--user="):
            return word[len("--user=") :]
        if word in ("--user", "-u") and index + 1 < len(words):
            return words[index + 1]
    return ""


def _main_pid(name: str) -> int | None:
    # Only where systemd runs: systemctl in a container without it prints an error, or waits for a bus.
    if not os.path.isdir("/run/systemd/system"):
        return None
    import subprocess

    try:
        answer = subprocess.run(
            ["systemctl", "show", "--property=MainPID", "--value", "--", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SYSTEMCTL_SECONDS,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "SYSTEMD_PAGER": ""},
            check=False,
        )
        return int(answer.stdout.decode("ascii", "replace").strip() or 0) or None
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None


def unit_names(root: str = "") -> list[str]:
    """The runner units (RUNNER_UNITS) whose files are on this host."""
    names: set[str] = set()
    for directory in UNIT_DIRS:
        try:
            entries = list_names(root + directory, 5000)
        except OSError:
            continue
        for entry in entries:
            # A template alone ("foo@.service") is no service.
            if entry.startswith(_BEGINNINGS) and entry.endswith(".service") and not entry.endswith("@.service"):
                names.add(entry)
    return sorted(names)


def _uid_of(user: str) -> int | None:
    if not user:
        return 0
    found = accounts.registered(user)
    return found.uid if found else None


def _runner_env(directory: str, environ: dict[str, str], sources: list[str], problems: list[str]) -> None:
    if not directory.startswith("/"):
        return
    path = os.path.join(directory, ".env")
    try:
        # Only beside a runner: any folder may hold a .env of something else.
        if not os.path.exists(os.path.join(directory, ".runner")) and not os.path.exists(
            os.path.join(directory, "bin", "Runner.Listener")
        ):
            return
        environ.update(parse_runner_env(_text(path)))
        sources.append(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            problems.append(f"{path}: {error.strerror or error}")


def _from_unit(unit: _Unit, pid: int | None) -> Service:
    environ = dict(unit.environ)
    problems = list(unit.problems)
    sources = list(unit.sources)
    uid = _uid_of(unit.user)
    if unit.user and uid is None:
        problems.append(f"{unit.name}: User={unit.user} is no account of this host now (DynamicUser?)")
    if "HOME" not in environ and unit.user:
        found = accounts.registered(unit.user)
        if found and found.home:
            # systemd sets HOME where User= is set (systemd.exec(5)).
            environ["HOME"] = found.home
    _runner_env(unit.directory, environ, sources, problems)
    pending: list[str] = []
    state = "configured"
    if pid is not None:
        try:
            running = _environ_of(pid)
            pending = sorted(
                name
                for name in INTERESTING_NAMES
                # .env is read by the runner itself and is in no environ of its own.
                if name in unit.environ and running.get(name) != unit.environ[name]
            )
            running = dict(running)
            for name in environ:
                if name not in unit.environ:
                    running.setdefault(name, environ[name])
            environ, state = running, "running"
            sources.append(f"/proc/{pid}/environ")
            uid = os.stat(f"/proc/{pid}").st_uid
        except OSError as error:
            problems.append(f"/proc/{pid}/environ: {error.strerror or error}")
    if unit.jobs_user:
        environ, uid = _login(unit.jobs_user, sources, problems)
        pending = []
    shown, proxies = _visible(environ)
    return Service(
        unit.name, "systemd", state, uid, pid, shown, tuple(proxies), tuple(sources), tuple(pending), tuple(problems)
    )


def _login(user: str, sources: list[str], problems: list[str]) -> tuple[dict[str, str], int | None]:
    found = accounts.registered(user)
    if found is None:
        problems.append(f"the jobs run as {user}, which is no account of this host")
        return {}, None
    environ, files = login_environment()
    sources += files
    return dict(environ, HOME=found.home), found.uid


# processes


def _environ_of(pid: int) -> dict[str, str]:
    # Not read_file(): /proc files have no size, and O_NOATIME means nothing there.
    with open(f"/proc/{pid}/environ", "rb") as stream:
        data = stream.read(LIMIT)
    result: dict[str, str] = {}
    for item in data.split(b"\0"):
        name, equals, value = item.partition(b"=")
        if equals:
            result.setdefault(name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
    return result


def _runner_kind(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb") as stream:
            comm = stream.read(64).decode("utf-8", "replace").rstrip("\n")
        if comm in _COMMS:
            return _COMMS[comm]
        if comm == "java":
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                words = stream.read(65536).split(b"\0")
            if any(_JENKINS.search(word) for word in words):
                return "jenkins-agent"
    except OSError:
        pass
    return ""


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return int(stream.read(4096).rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def running_runners() -> tuple[list[Service], list[str]]:
    """The runner processes of this host, the outermost of each, and what kept the scan from seeing all of them."""
    notes: list[str] = []
    found: dict[int, str] = {}
    deadline = time.monotonic() + SCAN_SECONDS
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError as error:
        return [], [f"/proc: {error.strerror or error}"]
    for count, pid in enumerate(sorted(pids)):
        if count >= MAX_PROCESSES or time.monotonic() > deadline:
            notes.append(f"only {count} of {len(pids)} processes were looked at")
            break
        kind = _runner_kind(pid)
        if kind:
            found[pid] = kind
    services: list[Service] = []
    for pid, kind in found.items():
        # Jobs and helper processes carry the runner's name too: only a process whose parent is none counts.
        if found.get(_parent(pid)) == kind:
            continue
        services.append(_from_process(pid, kind))
    return services[:MAX_SERVICES], notes


def _from_process(pid: int, kind: str) -> Service:
    problems: list[str] = []
    sources: list[str] = []
    environ: dict[str, str] = {}
    uid: int | None = None
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
        environ = _environ_of(pid)
        sources.append(f"/proc/{pid}/environ")
        if kind in ("github-runner", "azure-agent"):
            _runner_env(os.readlink(f"/proc/{pid}/cwd"), environ, sources, problems)
        if kind == "gitlab-runner":
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                words = stream.read(65536).decode("utf-8", "surrogateescape").split("\0")
            user = _jobs_user(words)
            if user:
                environ, uid = _login(user, sources, problems)
    except OSError as error:
        problems.append(f"/proc/{pid}/environ: {error.strerror or error}")
    shown, proxies = _visible(environ)
    state = "running" if sources else "unreadable"
    return Service(kind, "process", state, uid, pid, shown, tuple(proxies), tuple(sources), (), tuple(problems))


# everything


def login_environment(root: str = "") -> tuple[dict[str, str], list[str]]:
    """What pam_env gives to every login session (ssh, su, cron) from /etc/environment, and the files that were read."""
    path = root + "/etc/environment"
    try:
        shown, _proxies = _visible(parse_environment_file(_text(path)))
    except OSError:
        return {}, []
    # A session's HOME and TMPDIR are its own.
    return {name: value for name, value in shown.items() if name != "HOME"}, [path]


def user_manager_environment(root: str = "") -> Service | None:
    """What environment.d(5) gives to the services of every user manager, or None where it holds nothing for Go."""
    files: dict[str, str] = {}
    for directory in (
        "/usr/lib/environment.d",
        "/usr/local/lib/environment.d",
        "/run/environment.d",
        "/etc/environment.d",
    ):
        try:
            for entry in list_names(root + directory, 200):
                if entry.endswith(".conf"):
                    files[entry] = root + directory + "/" + entry
        except OSError:
            continue
    environ: dict[str, str] = {}
    sources: list[str] = []
    problems: list[str] = []
    for entry in sorted(files):
        try:
            environ.update(parse_environment_file(_text(files[entry])))
            sources.append(files[entry])
        except OSError as error:
            problems.append(f"{files[entry]}: {error.strerror or error}")
    shown, proxies = _visible(environ)
    if not shown and not problems:
        return None
    return Service(
        "environment.d", "login", "configured", None, None, shown, tuple(proxies), tuple(sources), (), tuple(problems)
    )


def discover(names: Iterable[str] = (), runners: bool = True, root: str = "") -> tuple[list[Service], list[str]]:
    """The environments of the named services, and of the CI runners that are found on this host.

    names: systemd units ("gitlab-runner" or "gitlab-runner.service"). runners: also those that nobody named.
    root: only for tests. Returns the services and notes about what could not be looked at. A named unit that does not
    exist comes back with the state "missing". Never raises, changes nothing.
    """
    services: list[Service] = []
    notes: list[str] = []
    wanted = [name if name.endswith(".service") else name + ".service" for name in names]
    units = list(dict.fromkeys(wanted + (unit_names(root) if runners else [])))
    seen_pids: set[int] = set()
    for name in units[:MAX_SERVICES]:
        unit = None
        if "/" not in name and not name.startswith("-"):
            unit = read_unit(name, root)
        if unit is None:
            text = "no such systemd service on this host"
            services.append(Service(name, "systemd", "missing", None, None, {}, problems=(text,)))
            continue
        pid = _main_pid(name) if not root else None
        if pid:
            seen_pids.add(pid)
        services.append(_from_unit(unit, pid))
    if len(units) > MAX_SERVICES:
        notes.append(f"only {MAX_SERVICES} of {len(units)} services were looked at")
    if runners and not root:
        running, more = running_runners()
        notes += more
        # GitHub's unit starts a shell script: its Listener is a descendant of the main process.
        for service in running:
            if service.pid is not None and not _descends(service.pid, seen_pids):
                services.append(service)
    if runners:
        manager = user_manager_environment(root)
        if manager:
            services.append(manager)
    return services, notes


def _descends(pid: int, ancestors: set[int]) -> bool:
    for _step in range(20):
        if pid in ancestors:
            return True
        if pid <= 1:
            return False
        pid = _parent(pid)
    return False
