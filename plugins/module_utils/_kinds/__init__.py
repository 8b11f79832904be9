# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of caches. A new kind is one folder here, its tests, and one line in :data:`table.KINDS`.

The table loads all of them: only who needs it imports it.
"""
