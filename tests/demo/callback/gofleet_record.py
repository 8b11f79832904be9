# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: E402 (Ansible wants the documentation first)

"""A callback for ansible-playbook that writes what each task returned, as JSON Lines, to $GOFLEET_DEMO_RECORD."""

from __future__ import annotations

DOCUMENTATION = """
name: gofleet_record
type: notification
short_description: Writes task results as JSON Lines
description:
  - For the demonstration only; it writes to the file that the environment variable GOFLEET_DEMO_RECORD names.
"""

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """One line when a task starts on a host, and one for how it ended."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "gofleet_record"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, event: str, host: str, task: Any, result: Any = None) -> None:
        row = {"event": event, "host": host, "task": task.get_name(), "action": task.action, "time": time.time()}
        if result is not None:
            row["result"] = result
        with open(os.environ["GOFLEET_DEMO_RECORD"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps(row, default=str) + "\n")

    def _ended(self, event: str, result: Any) -> None:
        self._write(event, result.host.get_name(), result.task, result.result)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._write("start", host.get_name(), task)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._ended("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._ended("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._ended("unreachable", result)
