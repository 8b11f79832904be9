# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where jobs really get their environment from: one file per kind of place, each with its own grammar.

``kinds`` names them, ``engine`` finds, edits and compares; ``prove`` tells what a job of a place would see; ``undo``
puts back what was edited.
"""
