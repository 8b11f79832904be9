# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real projects, real Go commands on caches of their own, and prunes of these caches by the real engine."""

from __future__ import annotations

import hashlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import time
from typing import Any

from ansible_collections.gofleet.cache.plugins.module_utils._host import find, purge, undo, verify
from ansible_collections.gofleet.cache.tests.fixtures import goproxy

DAY = 86400
CLOCK = "GOFLEET_CACHE_TEST_NOW"
PACKAGES = 12

#: Public programs with large dependency graphs; all that they need is downloaded once and then served from a folder.
PUBLIC = {
    "web": {"github.com/gin-gonic/gin": "v1.10.0", "github.com/prometheus/client_golang": "v1.20.5"},
    "cli": {"github.com/spf13/cobra": "v1.8.1", "github.com/spf13/viper": "v1.19.0", "go.uber.org/zap": "v1.27.0"},
    "rpc": {"google.golang.org/grpc": "v1.68.0", "github.com/hashicorp/consul/api": "v1.30.0"},
}
_PUBLIC_CODE = {
    "web": """package main

import (
    "github.com/gin-gonic/gin"
    "github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
    r := gin.New()
    r.GET("/metrics", gin.WrapH(promhttp.Handler()))
    println(r != nil)
}
""",
    "cli": """package main

import (
    "github.com/spf13/cobra"
    "github.com/spf13/viper"
    "go.uber.org/zap"
)

func main() {
    c := &cobra.Command{Use: "x", Run: func(*cobra.Command, []string) { zap.NewNop().Info(viper.GetString("a")) }}
    println(c.Execute() == nil)
}
""",
    "rpc": """package main

import (
    "github.com/hashicorp/consul/api"
    "google.golang.org/grpc"
)

func main() {
    s := grpc.NewServer()
    println(s != nil, api.DefaultConfig() != nil)
}
""",
}
# Without imports, so that a cold build compiles little more than the runtime; the self-assignment is what vet finds.
_PACKAGE = """package pNUMBER

// F returns what it gets.
func F(n int) int {
\tFINDING
\treturn n + NUMBER
}
"""
_TEST = """package pNUMBER

import "testing"

func TestF(t *testing.T) {
\tif F(1) != WANTED {
\t\tt.Fatal("wrong answer")
\t}
}
"""
_STD = """package main

import (
    "encoding/json"
    "fmt"
    "net/http"
    "text/template"
)

// F is called by everything here.
func F(n int) int {
    return n
}

func main() {
    text, err := json.Marshal(map[string]int{"a": F(1)})
    fmt.Println(string(text), err, http.StatusText(200), template.New("x").Name())
}
"""
_STD_TEST = """package main

import (
    "net/http/httptest"
    "testing"
)

func TestF(t *testing.T) {
    if F(1) != 1 || httptest.NewRecorder() == nil {
        t.Fatal()
    }
}
"""
_SUM = """
func sum(data string) (h uint32) {
    for i := 0; i < len(data); i++ {
        h = h*31 + uint32(data[i])
    }
    return h
}
"""
_ASSETS = """// Package assets holds a file.
package assets

import _ "embed"

//go:embed data.bin
var Data string
"""


def sum_of(data: bytes) -> int:
    """What the generated programs print of an embedded file."""
    found = 0
    for byte in data:
        found = (found * 31 + byte) & 0xFFFFFFFF
    return found


def remove(place: pathlib.Path) -> None:
    """Removes a tree, also one without write permissions."""
    if place.exists():
        subprocess.run(["chmod", "-R", "u+w", str(place)], check=False)
        shutil.rmtree(place, ignore_errors=True)


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a tree with times, modes and owners."""
    remove(target)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


class Lab:
    """One account's caches, and the projects that are built with them."""

    def __init__(self, top: pathlib.Path, go: str) -> None:
        self.top = top
        self.go = os.path.realpath(go)
        self.gocache = top / "gocache"
        self.modcache = top / "mod"
        self.projects: dict[str, pathlib.Path] = {}
        for folder in ("home", "tmp", "state"):
            (top / folder).mkdir(parents=True)
        os.environ["GOFLEET_CACHE_STATE"] = str(top / "state")
        big = bytes(random.Random(5).choices(b"0123456789abcdef", k=256 * 1024))
        self.data = big
        files = {
            "go.mod": b"module example.com/assets\n\ngo 1.21\n",
            "assets.go": _ASSETS.encode(),
            "data.bin": big,
        }
        modules = [*goproxy.standard_modules(200), goproxy.Module("example.com/assets", "v1.0.0", files)]
        self.proxy = goproxy.make_proxy(top / "proxy", modules)
        self.env = {
            "PATH": os.path.dirname(self.go) + ":/usr/bin:/bin",
            "HOME": str(top / "home"),
            "GOCACHE": str(self.gocache),
            "GOMODCACHE": str(self.modcache),
            "GOPATH": str(top / "gopath"),
            "GOPROXY": self.proxy.url,
            "GONOSUMDB": "*",
            "GOFLAGS": "-mod=mod",
            "GOTOOLCHAIN": "local",
            "GOENV": "off",
            "GOTELEMETRY": "off",
            "GOTMPDIR": str(top / "tmp"),
            "CGO_ENABLED": "0",
        }

    # projects

    def add_project(self, name: str, requires: str, files: dict[str, str]) -> pathlib.Path:
        """A module of these files."""
        folder = self.top / name
        folder.mkdir()
        (folder / "go.mod").write_text(f"module example.org/{name}\n\ngo 1.21\n\n{requires}")
        for path, text in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
        self.projects[name] = folder
        return folder

    def add_small(self, name: str = "small", findings: bool = True, tests: bool = True) -> pathlib.Path:
        """Twelve packages, a program, an embedded file of its own and one of a module.

        With *findings* each package has one that vet reports; with *tests* one package passes and one fails.
        """
        own = "embedded\n" * 5000
        files = {"asset.txt": own}
        for number in range(PACKAGES):
            code = _PACKAGE.replace("FINDING", "n = n" if findings else "n += 0")
            files[f"p{number}/p.go"] = code.replace("NUMBER", str(number))
        if tests:
            for number, wanted in ((1, 2), (3, 0)):
                test = _TEST.replace("NUMBER", str(number)).replace("WANTED", str(wanted))
                files[f"p{number}/p_test.go"] = test
        imports = ['_ "embed"', '"example.com/assets"', '_ "example.com/big"', '_ "example.com/lib"']
        imports += [f'"example.org/{name}/p{number}"' for number in range(PACKAGES)]
        calls = " + ".join(f"p{number}.F({number})" for number in range(PACKAGES))
        files["main.go"] = (
            "package main\n\nimport (\n"
            + "".join(f"\t{item}\n" for item in imports)
            + ")\n\n//go:embed asset.txt\nvar asset string\n"
            + _SUM
            + f"\nfunc main() {{ println({calls}, sum(asset), sum(assets.Data)) }}\n"
        )
        self.printed = f"{sum(2 * n for n in range(PACKAGES))} {sum_of(own.encode())} {sum_of(self.data)}"
        requires = "require (\n\texample.com/assets v1.0.0\n\texample.com/big v1.0.0\n\texample.com/lib v0.2.0\n)\n"
        return self.add_project(name, requires, files)

    def add_std(self) -> None:
        """A program that uses a good part of the standard library, with a test that passes."""
        self.add_project("std", "", {"main.go": _STD, "main_test.go": _STD_TEST})

    def add_public(self, proxy: str, keep: pathlib.Path) -> int:
        """Programs that use public modules; returns how many module versions they need.

        What *proxy* answers is kept in the folder *keep* and served from there. Raises RuntimeError.
        """
        wanted = hashlib.sha256(repr((PUBLIC, _PUBLIC_CODE, self.go)).encode()).hexdigest()[:16]
        place = keep / f"public-{wanted}"
        if not (place / "done").exists():
            remove(place)
            place.mkdir(parents=True)
            env = self.env | {"GOPROXY": proxy, "GOMODCACHE": str(place / "mod"), "GOFLAGS": "-mod=mod -modcacherw"}
            for name, modules in PUBLIC.items():
                folder = place / name
                folder.mkdir()
                lines = "".join(f"require {path} {version}\n" for path, version in modules.items())
                (folder / "go.mod").write_text(f"module example.org/{name}\n\ngo 1.21\n\n{lines}")
                (folder / "main.go").write_text(_PUBLIC_CODE[name])
                for command in (["mod", "tidy"], ["build", "-o", os.devnull, "."]):
                    self._checked(command, folder, env)
            (place / "done").touch()
        for name in PUBLIC:
            shutil.copytree(place / name, self.top / name)
            self.projects[name] = self.top / name
        self.env["GOPROXY"] = f"{self.proxy.url},file://{place}/mod/cache/download"
        return sum(1 for _zip in (place / "mod/cache/download").rglob("*.mod"))

    def touch(self, name: str, builder: int, chance: random.Random) -> None:
        """Changes one source file of a project, so that something of it has to be compiled."""
        sources = sorted(path for path in self.projects[name].rglob("*.go") if not path.name.endswith("_test.go"))
        source = chance.choice(sources)
        text = re.sub(r"\n// changed \d+\n$", "\n", source.read_text())
        draft = self.top / f"draft{builder}"
        draft.write_text(text + f"// changed {chance.randrange(10**9)}\n")
        draft.replace(source)  # another builder reads either the old file or the new one

    # commands

    def run(self, name: str, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Runs ``go *args`` in a project; *extra* are environment variables."""
        return subprocess.run(
            [self.go, *args],
            cwd=self.projects[name],
            env=self.env | extra,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def must(self, name: str, *args: str, **extra: str) -> str:
        """As :meth:`run`, and it has to succeed."""
        self._checked(list(args), self.projects[name], self.env | extra)
        return ""

    def _checked(self, args: list[str], folder: pathlib.Path, env: dict[str, str]) -> None:
        done = subprocess.run(
            [self.go, *args], cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False
        )
        if done.returncode:
            raise RuntimeError(f"go {' '.join(args)} in {folder}: {done.stdout}{done.stderr}")

    # caches

    def files(self) -> list[pathlib.Path]:
        """The files of the build cache's entries."""
        return sorted(self.gocache.glob("[0-9a-f][0-9a-f]/*-[ad]"))

    def age(self, seconds: float, files: list[pathlib.Path] | None = None, drift: random.Random | None = None) -> None:
        """Makes entries of the build cache look used *seconds* ago, with *drift* up to an hour earlier."""
        now = time.time()
        for path in self.files() if files is None else files:
            then = now - seconds - (drift.random() * 3600 if drift is not None else 0)
            try:
                os.utime(path, (then, then))
            except FileNotFoundError:
                continue

    def request(self) -> find.Request:
        """Both caches, where they exist."""
        paths = [str(path) for path in (self.gocache, self.modcache) if path.exists()]
        return find.Request(paths=paths, discover=False)

    def prune(self, policy: dict[str, Any], **more: Any) -> dict[str, Any]:
        """One purge of both caches by the engine."""
        options = purge.Options(**{"check": False, **more})
        try:
            return purge.run(self.request(), policy, options)
        except purge.Failed as exc:
            return dict(exc.result, failed=str(exc))

    def undo(self, **more: Any) -> dict[str, Any]:
        """Brings back what the latest purge put into quarantine."""
        return undo.run(self.request(), "latest", undo.Options(**{"check": False, **more}))

    def damaged(self) -> list[str]:
        """What a verification of both caches finds."""
        result = verify.run(self.request(), verify.Options())
        if result["truncated"] or not result["verified"]:
            return ["the verification was cut"]
        return [f"{item.get('path')}: {item.get('problem', item)}" for item in result["damaged"]]

    def leftovers(self) -> list[str]:
        """What no run may leave behind for ever."""
        found = []
        for top in (self.gocache, self.modcache):
            for folder, names, files in os.walk(top):
                for name in names + files:
                    if name.endswith((".evicting", ".partial", ".gofleet-quarantine")) or ".tmp-" in name:
                        found.append(os.path.relpath(os.path.join(folder, name), self.top))
        return found

    def close(self) -> None:
        """Removes everything."""
        remove(self.top)
