# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module proxies as the go command sees them: the GOPROXY chain, its protocol, credentials, the checksum database.

Knows HTTP and Go's own formats, nothing of Ansible. Asks servers, stores nothing.
"""
