# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: the same engine without Ansible, from one archive; see docs of the role cache_schedule.

Nothing here decides what is evicted. Heavy rooms are imported only by the command that needs them.
"""

from __future__ import annotations

PROGRAM = "gofleet-cache"
# The collection's version; a test compares them.
VERSION = "1.0.0"
