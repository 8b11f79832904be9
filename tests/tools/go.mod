// Copyright (c) 2026 The gofleet.cache authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The servers that tests/proxies runs on loopback, at fixed versions; tests/harness/env.py builds them.
module gofleet.example/tests/tools

go 1.26.2

require (
	github.com/gomods/athens v0.18.0
	github.com/goproxy/goproxy v0.26.1
	golang.org/x/mod v0.35.0
)
