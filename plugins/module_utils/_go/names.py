# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of the variables that the go command reads.

Sources: Go's ``internal/cfg.KnownEnv`` (1.13 to 1.27), ``cmd/go/internal/envcmd.MkEnv``
and ``checkEnvWrite``, and ``go help environment``.
"""

from __future__ import annotations

#: What the env file may set: Go's KnownEnv (union over the releases), without what "go env -w" refuses.
ENV_FILE_NAMES: frozenset[str] = frozenset(
    [
        "AR",
        "CC",
        "CGO_CFLAGS",
        "CGO_CFLAGS_ALLOW",
        "CGO_CFLAGS_DISALLOW",
        "CGO_CPPFLAGS",
        "CGO_CPPFLAGS_ALLOW",
        "CGO_CPPFLAGS_DISALLOW",
        "CGO_CXXFLAGS",
        "CGO_CXXFLAGS_ALLOW",
        "CGO_CXXFLAGS_DISALLOW",
        "CGO_ENABLED",
        "CGO_FFLAGS",
        "CGO_FFLAGS_ALLOW",
        "CGO_FFLAGS_DISALLOW",
        "CGO_LDFLAGS",
        "CGO_LDFLAGS_ALLOW",
        "CGO_LDFLAGS_DISALLOW",
        "CXX",
        "FC",
        "GCCGO",
        "GO111MODULE",
        "GO386",
        "GOAMD64",
        "GOARCH",
        "GOARM",
        "GOARM64",
        "GOAUTH",
        "GOBIN",
        "GOCACHE",
        "GOCACHEPROG",
        "GOEXPERIMENT",
        "GOFIPS140",
        "GOFLAGS",
        "GOINSECURE",
        "GOMIPS",
        "GOMIPS64",
        "GOMODCACHE",
        "GONOPROXY",
        "GONOSUMDB",
        "GOOS",
        "GOPATH",
        "GOPPC64",
        "GOPRIVATE",
        "GOPROXY",
        "GORISCV64",
        "GOROOT",
        "GOSUMDB",
        "GOTMPDIR",
        "GOTOOLCHAIN",
        "GOVCS",
        "GOWASM",
        "GO_EXTLINK_ENABLED",
        "PKG_CONFIG",
    ]
)

#: Computed by the go command; "go env -w" refuses them ("cannot be modified").
READ_ONLY_NAMES: frozenset[str] = frozenset(
    [
        "GOEXE",
        "GOGCCFLAGS",
        "GOHOSTARCH",
        "GOHOSTOS",
        "GOMOD",
        "GOTELEMETRY",
        "GOTELEMETRYDIR",
        "GOTOOLDIR",
        "GOVERSION",
        "GOWORK",
    ]
)

#: Read from the process environment only.
PROCESS_ONLY_NAMES: frozenset[str] = frozenset(
    [
        "GOENV",
        "GODEBUG",
        "GOWORK",
        "GOGC",
        "GOMAXPROCS",
        "GOMEMLIMIT",
        "GOTRACEBACK",
        "GOCOVERDIR",
        "GOPACKAGESDRIVER",
        "GONOSUMCHECK",
    ]
)

#: Not Go's own, but they decide where Go looks.
CONTEXT_NAMES: frozenset[str] = frozenset(["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR", "NETRC"])

#: Their values are credentials or company addresses more often than not: only the names are told.
PROXY_NAMES: frozenset[str] = frozenset(
    ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"]
)

#: Every variable whose value may leave a process environment. A list, not a prefix: GOOGLE_API_KEY starts with GO too.
GO_NAMES: frozenset[str] = ENV_FILE_NAMES | READ_ONLY_NAMES | PROCESS_ONLY_NAMES
INTERESTING_NAMES: frozenset[str] = GO_NAMES | CONTEXT_NAMES

#: First release (1.minor) whose "go env" prints the variable; absent here: since the env file exists (1.13).
SINCE: dict[str, tuple[int, int]] = {
    "GOMODCACHE": (1, 15),
    "GOVCS": (1, 16),
    "GOWORK": (1, 18),
    "GOAMD64": (1, 18),
    "GOTOOLCHAIN": (1, 21),
    "GOARM64": (1, 23),
    "GORISCV64": (1, 23),
    "GOTELEMETRY": (1, 23),
    "GOTELEMETRYDIR": (1, 23),
    "GOAUTH": (1, 24),
    "GOCACHEPROG": (1, 24),
    "GOFIPS140": (1, 24),
}

#: GOARCH -> the variable that selects its instruction set (cfg.GetArchEnv) and the name of its build-time default.
ARCH_VARIABLES: dict[str, str] = {
    "arm": "GOARM",
    "arm64": "GOARM64",
    "386": "GO386",
    "amd64": "GOAMD64",
    "mips": "GOMIPS",
    "mipsle": "GOMIPS",
    "mips64": "GOMIPS64",
    "mips64le": "GOMIPS64",
    "ppc64": "GOPPC64",
    "ppc64le": "GOPPC64",
    "riscv64": "GORISCV64",
    "wasm": "GOWASM",
}
