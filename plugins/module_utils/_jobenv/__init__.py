# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where jobs get their environment: services, sessions, and the configuration of CI runners.

One file per kind of place. Each knows where such places are, and how to read and edit one in its own grammar.
"""
