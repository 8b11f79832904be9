# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ansible-playbook did: the collection's playbooks are run by name, and each task's result is read back."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.fleet import DemoError
from demo.procs import Processes

#: What of the work tree makes up the collection.
PARTS = ("galaxy.yml", "meta", "playbooks", "plugins", "roles")
SELF = Path(__file__).resolve().parent


@dataclass
class Run:
    """One run of a playbook."""

    name: str
    code: int
    seconds: float
    log: Path
    events: list[dict[str, Any]]

    def results(self, host: str, module: str) -> list[dict[str, Any]]:
        """What a module returned on a host, one item for each call; loops are flattened."""
        found: list[dict[str, Any]] = []
        for row in self.events:
            if row["host"] == host and row["action"].rpartition(".")[2] == module and row["event"] != "start":
                result = row["result"]
                items = result.get("results")
                found.extend(items if isinstance(items, list) and "item" in (items or [{}])[0] else [result])
        return [item for item in found if not item.get("skipped")]

    def result(self, host: str, module: str) -> dict[str, Any]:
        """The same, where there must be one call."""
        found = self.results(host, module)
        if len(found) != 1:
            raise DemoError(f"{self.name}: {module} has {len(found)} results on {host}, not 1; see {self.log}")
        return found[0]

    def failed(self) -> list[str]:
        """The hosts on which a task failed or that could not be reached."""
        return sorted({row["host"] for row in self.events if row["event"] in ("failed", "unreachable")})

    def span(self, host: str, module: str) -> tuple[float, float]:
        """When a module started and ended on a host, in Unix seconds; zeros where it never ran."""
        rows = [r for r in self.events if r["host"] == host and r["action"].rpartition(".")[2] == module]
        times = [row["time"] for row in rows]
        return (min(times), max(times)) if times else (0.0, 0.0)


class Ansible:
    """Runs the collection's playbooks against the inventory below *folder*, with nothing of the caller's."""

    def __init__(self, root: Path, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes
        self.bin = Path(sys.prefix) / "bin"
        self.logs = folder / "logs"
        self.inventory = folder / "inventory"
        self._count = 0
        self._root = root

    def set_up(self, hosts: Mapping[str, Mapping[str, str]]) -> None:
        """Copies the collection to where ansible-playbook finds it, and makes the inventory."""
        target = self.folder / "collections" / "ansible_collections" / "gofleet" / "cache"
        target.mkdir(parents=True)
        for part in PARTS:
            source = self._root / part
            if source.is_dir():
                shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            else:
                shutil.copy2(source, target / part)
        for name in ("logs", "controller/home", "controller/tmp"):
            (self.folder / name).mkdir(parents=True)
        controller = self.folder / "controller"
        (controller / "ansible.cfg").write_text("[defaults]\n", encoding="ascii")
        shutil.copytree(SELF / "inventory", self.inventory)
        shutil.copytree(SELF / "callback", controller / "callback", ignore=shutil.ignore_patterns("__pycache__"))
        lines = ["---", "# Made by tests/demo/run.py.", "agents:", "  hosts:"]
        for host, variables in hosts.items():
            lines.append(f"    {host}:")
            lines += [f"      {name}: {json.dumps(value)}" for name, value in variables.items()]
        (self.inventory / "hosts.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def environ(self, record: Path) -> dict[str, str]:
        """The controller's environment: every place where Ansible writes lies below the demonstration's folder."""
        controller = self.folder / "controller"
        return {
            "PATH": os.pathsep.join([str(self.bin), "/usr/local/bin", "/usr/bin", "/bin"]),
            "HOME": str(controller / "home"),
            "TMPDIR": str(controller / "tmp"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(controller / "ansible.cfg"),
            "ANSIBLE_HOME": str(controller / "home"),
            "ANSIBLE_LOCAL_TEMP": str(controller / "tmp"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(controller / "tmp"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
            "ANSIBLE_CALLBACK_PLUGINS": str(controller / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "gofleet_record",
            "ANSIBLE_FORKS": "3",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_NOCOWS": "1",
            "ANSIBLE_PIPELINING": "true",
            "GOFLEET_DEMO_RECORD": str(record),
        }

    def command(self, playbook: str, arguments: list[str]) -> list[str]:
        """The command line of a playbook of the collection, as a person would type it."""
        return [
            str(self.bin / "python"),
            str(self.bin / "ansible-playbook"),
            f"gofleet.cache.{playbook}",
            "-i",
            str(self.inventory),
            *arguments,
        ]

    def play(self, playbook: str, *arguments: str, label: str = "") -> Run:
        """Runs a playbook of the collection to its end."""
        self._count += 1
        stem = self.logs / f"{self._count:02d}-{label or playbook}"
        log, record = stem.with_suffix(".log"), stem.with_suffix(".jsonl")
        record.touch()
        shown = ["ansible-playbook", f"gofleet.cache.{playbook}", "-i", str(self.inventory), *arguments]
        log.write_text(f"$ {' '.join(shown)}\n", encoding="utf-8")
        self.last_record = record
        begin = time.monotonic()
        done = self.processes.run(self.command(playbook, list(arguments)), self.folder, self.environ(record), log)
        return Run(label or playbook, done.code, time.monotonic() - begin, log, events(record))


def events(record: Path) -> list[dict[str, Any]]:
    """The lines of a record; one that is being written at the moment is left out."""
    rows = []
    for line in record.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            rows.append(json.loads(line))
    return rows


def reached(logs: Path, label: str, host: str, module: str, start: bool) -> Callable[[], bool]:
    """Whether a module has started (or ended) on a host in the run with this label, to be asked while it goes on."""

    def look() -> bool:
        for record in logs.glob(f"*-{label}.jsonl"):
            for row in events(record):
                mine = row["host"] == host and row["action"].rpartition(".")[2] == module
                if mine and (row["event"] == "start") is start:
                    return True
        return False

    return look
