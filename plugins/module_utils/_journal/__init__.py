# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's own journal: runs, surveys, evictions, what came back since (regret), and since when what is unneeded.

``store`` keeps it in one SQLite file, ``place`` says where and whether that place is safe, ``ghosts`` (pure) packs what
was evicted and finds what is back, ``advice`` (pure) says what the records mean. The engine works without a journal:
every trouble with it ends in a note, never in an error.

Times inside are Unix nanoseconds, as in surveys; plain data for people holds Unix seconds.
"""
