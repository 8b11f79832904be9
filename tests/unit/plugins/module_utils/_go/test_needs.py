# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
import tempfile
import time
from typing import Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._core import patterns
from ansible_collections.gofleet.cache.plugins.module_utils._fs import worker
from ansible_collections.gofleet.cache.plugins.module_utils._go import needs
from ansible_collections.gofleet.cache.plugins.module_utils._go.needs import parse
from ansible_collections.gofleet.cache.tests.fixtures import gocaches, mountspace

HASH = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
A, B = "example.com/Azure/a", "example.com/b"


def put(path: pathlib.Path, files: Dict[str, str]) -> pathlib.Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def read(path: pathlib.Path, **more: int) -> needs.Needs:
    return needs.read([str(path)], needs.Limits(**more))


# --- the parsers

WORD = st.text("abcXYZ019._-~/+", min_size=1, max_size=12).filter(lambda s: "//" not in s and "/*" not in s)
QUOTED = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12)
NAME = st.one_of(WORD, QUOTED)
PAIRS = st.lists(st.tuples(NAME, NAME), max_size=4)
REPLACES = st.lists(st.tuples(NAME, st.one_of(st.just(""), NAME), NAME, NAME), max_size=3)
FOLDERS = st.lists(st.tuples(NAME, NAME.map(lambda name: "./" + name)), max_size=3)
GO = st.sampled_from(["", "1.9", "1.21", "1.22.3", "1.23rc1"])
CHAIN = st.sampled_from(["", "default", "go1.22.3", "go1.23.0-custom"])


def quoted(text: str, style: int) -> str:
    plain = not (set(text) & set(" \"'`()[]{},") or "//" in text or "/*" in text or "\xa0" in text or text == "=>")
    if plain and text.isascii() and style == 0:
        return text
    if "`" not in text and style == 1:
        return "`%s`" % text
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


def render(found: parse.ModFile, styles: List[int], ending: str) -> bytes:
    """A file that says *found*: single lines and blocks, words in any of the three ways of quoting, comments."""
    at = iter(styles * 100)

    def word(text: str) -> str:
        return quoted(text, next(at))

    lines = ["// a comment", "", "exclude example.com/never v1.0.0", "retract [v1.0.0, v1.1.0] // (why", "godebug ("]
    lines += ["\tdefault=go1.21", ")", "ignore ./x", "tool example.com/tool", "retract (", "\tv1.2.3 // no", ")"]
    if found.module:
        lines.append("module %s // what" % word(found.module))
    lines += ["go %s" % found.go] if found.go else []
    lines += ["toolchain %s" % found.toolchain] if found.toolchain else []

    def statements(verb: str, bodies: List[str]) -> None:
        if len(bodies) > 1 and next(at):
            lines.extend(["%s ( // block" % verb, "", *("\t%s // indirect" % body for body in bodies), ")"])
        else:
            lines.extend("%s %s" % (verb, body) for body in bodies)

    statements("require", ["%s %s" % (word(path), word(version)) for path, version in found.require])
    bodies = []
    for old, version, new, target in found.replace:
        left = "%s %s" % (word(old), word(version)) if version else word(old)
        bodies.append("%s => %s" % (left, "%s %s" % (word(new), word(target)) if target else word(new)))
    statements("replace", bodies)
    statements("use", [word(folder) for folder in found.use])
    return (ending.join(lines) + ending).encode("utf-8")


@given(NAME, GO, CHAIN, PAIRS, REPLACES, FOLDERS, st.lists(NAME, max_size=3), st.data())
def test_a_written_file_is_read_as_what_it_was_written_from(
    module: str,
    go: str,
    chain: str,
    require: List[Tuple[str, str]],
    replace: List[Tuple[str, str, str, str]],
    folders: List[Tuple[str, str]],
    use: List[str],
    data: st.DataObject,
) -> None:
    local = [(old, "", new, "") for old, new in folders]
    found = parse.ModFile(module, go, chain, tuple(require), tuple(replace + local), tuple(use))
    styles = data.draw(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=9))
    assert parse.mod_file(render(found, styles, data.draw(st.sampled_from(["\n", "\r\n"])))) == found


@given(st.one_of(st.binary(max_size=300), st.text("requirplac(){}\"`'/*=>v1.0 \n\tgo", max_size=200).map(str.encode)))
def test_no_reader_raises_whatever_it_is_given(data: bytes) -> None:
    parse.mod_file(data)
    parse.sum_file(data)
    parse.vendor_list(data)


SUMS = st.lists(st.tuples(WORD, WORD.map(lambda v: "v" + v.replace("/", ""))), max_size=6)


@given(SUMS, SUMS, st.sampled_from(["\n", "\r\n"]))
def test_a_sum_is_read_as_what_it_was_written_from(
    whole: List[Tuple[str, str]], mods: List[Tuple[str, str]], ending: str
) -> None:
    lines = ["%s %s %s" % (name, version, HASH) for name, version in whole]
    lines += ["%s %s/go.mod %s" % (name, version, HASH) for name, version in mods]
    found, problems = parse.sum_file((ending.join(lines) + ending).encode())
    assert not problems
    assert [(name.decode(), version.decode()) for name, version in found] == whole


@given(st.lists(st.tuples(WORD, st.sampled_from(["v1.0.0", "v0.1.0-rc.1", "v2.0.0+incompatible"])), max_size=6))
def test_a_vendor_list_is_read_as_what_it_was_written_from(pairs: List[Tuple[str, str]]) -> None:
    text = "".join("# %s %s\n## explicit; go 1.21\n%s/pkg\n" % (name, version, name) for name, version in pairs)
    assert parse.vendor_list(text.encode()) == (pairs, [])


def test_a_vendor_lists_replacements_count_too() -> None:
    text = "## workspace\n# a.org/x v1.0.0 => b.org/y v1.2.0\n# a.org/z => c.org/z v0.3.0\n# a.org/q v1.1.0 => ./q\n"
    assert parse.vendor_list(text.encode())[0] == [
        ("a.org/x", "v1.0.0"),
        ("b.org/y", "v1.2.0"),
        ("c.org/z", "v0.3.0"),
        ("a.org/q", "v1.1.0"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "require (\n\ta.org/b v1.0.0\n",
        "require a.org/b\n",
        "require a.org/b v1.0.0 v2.0.0\n",
        'require "a.org/b v1.0.0\n',
        "require 'a.org/b' v1.0.0\n",
        'require "a.org/\\x62" v1.0.0\n',
        "/* old */\nrequire a.org/b v1.0.0\n",
        "replace a.org/b v1.0.0\n",
        "replace a.org/b => c.org/d\n",
        "substitute a.org/b v1.0.0\n",
        "substitute (\n\ta.org/b => c.org/d\n)\n",
        "require now (\n\ta.org/b v1.0.0\n)\n",
        "go\n",
        "toolchain go2\n",
        "require a.org/b v1.0.0\0\n",
        "<<<<<<< HEAD\nrequire a.org/b v1.0.0\n=======\n",
    ],
)
def test_what_may_name_more_than_was_understood_is_a_problem(text: str) -> None:
    if text.startswith("<<<"):  # no word there looks like a version: its lines do all the naming
        assert parse.mod_file(text.encode()).require == (("a.org/b", "v1.0.0"),)
    else:
        assert parse.mod_file(text.encode()).problems


@pytest.mark.parametrize("text", ["fancy yes\n", "fancy (\n\tone\n\ttwo\n)\n", "fancy ()\n", "\ufeffmodule x\n"])
def test_an_unknown_word_that_names_no_version_is_none(text: str) -> None:
    assert parse.mod_file(text.encode()).problems == ()


# --- what is needed


def test_a_sum_names_what_builds_read_and_a_go_mod_line_alone_is_no_need(tmp_path: pathlib.Path) -> None:
    lines = ["%s v1.0.0 %s" % (A, HASH), "%s v1.0.0/go.mod %s" % (A, HASH), "%s v0.9.0/go.mod %s" % (B, HASH)]
    put(tmp_path, {"p/go.sum": "\n".join(lines) + "\n"})
    found = read(tmp_path)
    assert (found.labels, found.complete, found.roots) == ({A + "@v1.0.0"}, True, 1)


def test_every_kind_of_root_counts(tmp_path: pathlib.Path) -> None:
    work = 'go 1.22\n\ntoolchain go1.23.4\n\nuse (\n\t./in\n\t"../out side"\n)\n\nreplace c.org/c => c.org/d v1.4.0\n'
    put(
        tmp_path,
        {
            "top/a/go.mod": "go 1.21.3\nrequire a.org/a v1.0.0 // indirect\nreplace a.org/a => b.org/b v1.1.0",
            "top/w/go.work": work,
            "top/w/go.work.sum": "w.org/w v1.0.0 %s\n" % HASH,
            "top/out side/go.mod": "module o\nrequire o.org/o v1.0.0\n",
            "top/v/vendor/modules.txt": "# v.org/v v1.0.0\n## explicit\nv.org/v\n",
            "top/v/vendor/v.org/v/go.mod": "module v\nrequire not.org/read v1.0.0\n",
            "top/t/tools.mod": "module t\nrequire t.org/t v1.0.0\n",
            "top/t/tools.sum": "t.org/s v1.0.0 %s\n" % HASH,
            "top/n/noise.mod": "MODULE SOUND\0",
            "top/n/md5.sum": "d41d8cd98f00b204e9800998ecf8427e  file\n",
            "top/n/md5.mod": "require (\n",
            "top/x/testdata/p/go.mod": "module t\nrequire test.org/data v1.0.0\n",
            "top/x/testdata/bad/go.mod": "require (\n",
            "top/.git/go.mod": "module g\nrequire git.org/g v1.0.0\n",
            "top/node_modules/go.mod": "module g\nrequire node.org/g v1.0.0\n",
            "top/go/pkg/mod/cache/lock": "",
            "top/go/pkg/mod/cache/download/x": "",
            "top/go/pkg/mod/m.org/m@v1.0.0/go.mod": "module m\nrequire mod.org/m v1.0.0\n",
        },
    )
    found = needs.read([str(tmp_path / "top/w"), str(tmp_path / "top")])
    assert found.problems == ()
    names = "a.org/a@v1.0.0 b.org/b@v1.1.0 c.org/d@v1.4.0 w.org/w@v1.0.0 o.org/o@v1.0.0 v.org/v@v1.0.0 t.org/t@v1.0.0"
    assert found.labels == {*names.split(), "t.org/s@v1.0.0", "test.org/data@v1.0.0"}
    assert found.complete
    assert found.toolchains == ("go1.21.3", "go1.22", "go1.23.4")


def test_a_work_spaces_module_counts_wherever_it_lies(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"in/go.work": "go 1.22\nuse ../out\nuse ./missing\n", "out/go.mod": "require o.org/o v1.0.0\n"})
    put(tmp_path, {"out/go.sum": "s.org/s v1.0.0 %s\n" % HASH})
    assert read(tmp_path / "in").labels == {"o.org/o@v1.0.0", "s.org/s@v1.0.0"}


@pytest.mark.parametrize(
    ("line", "kept", "free"),
    [
        (
            "go 1.22.3",
            ["go1.22.3.linux-amd64", "go1.22.3.darwin-arm64"],
            ["go1.22.30.linux-amd64", "go1.22.linux-amd64"],
        ),
        ("go 1.22", ["go1.22.linux-amd64", "go1.22.9.linux-arm64", "go1.22rc1.linux-amd64"], ["go1.23.linux-amd64"]),
        ("toolchain go1.23rc2", ["go1.23rc2.linux-amd64"], ["go1.23.1.linux-amd64"]),
        ("toolchain default", [], ["go1.23.1.linux-amd64"]),
    ],
)
def test_a_toolchain_is_needed_on_every_platform(
    tmp_path: pathlib.Path, line: str, kept: List[str], free: List[str]
) -> None:
    put(tmp_path, {"go.mod": "module x\n%s\n" % line})
    found = read(tmp_path)
    label = "golang.org/toolchain@v0.0.1-"
    assert [name for name in kept + free if patterns.any_protects(found.patterns, label + name)] == kept


def test_a_branch_may_stand_for_any_version(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"go.mod": "module x\nrequire a.org/a master\nrequire b.org/b v2\n"})
    found = read(tmp_path)
    assert found.patterns == ("a.org/a@*", "b.org/b@*")
    assert found.complete


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n", "a.org/b v1.0.0\n", "a.org/b v1.0.0 h1:\0\n"])
def test_a_broken_sum_keeps_everything_but_still_names_the_rest(tmp_path: pathlib.Path, text: str) -> None:
    put(tmp_path, {"go.sum": "%s v1.0.0 %s\n%s" % (A, HASH, text), "x/go.mod": "module x\nrequire a.org/a v1.0.0\n"})
    found = read(tmp_path)
    assert not found.complete
    assert "a.org/a@v1.0.0" in found.labels
    assert found.problems[0]["path"] == str(tmp_path / "go.sum")


def test_the_same_broken_file_counts_outside_testdata(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"a/testdata/go.mod": "require (\n"})
    assert read(tmp_path).complete
    put(tmp_path, {"b/go.mod": "require (\n"})
    assert not read(tmp_path).complete


def test_a_missing_folder_frees_nothing(tmp_path: pathlib.Path) -> None:
    gone = str(tmp_path / "gone")
    assert not needs.read([gone]).complete
    assert needs.read([gone], missing_ok=True).complete


def test_a_module_cache_is_no_folder_of_projects(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"cache/lock": "", "cache/download/x": ""})
    assert not read(tmp_path).complete


@pytest.mark.parametrize("limits", [{"depth": 2}, {"entries": 5}, {"seconds": -1}, {"file_bytes": 10}])
def test_a_limit_reached_keeps_everything(tmp_path: pathlib.Path, limits: Dict[str, int]) -> None:
    put(tmp_path, {"a/b/c/go.mod": "module x\nrequire a.org/a v1.0.0\n", **{"f%d" % n: "" for n in range(6)}})
    assert read(tmp_path).complete
    assert not read(tmp_path, **limits).complete


def test_what_cannot_be_read_keeps_everything() -> None:
    with tempfile.TemporaryDirectory() as name:
        top = pathlib.Path(name)
        put(top, {"a/go.mod": "module x\n", "b/x": ""})
        top.chmod(0o755)

        def complete() -> object:
            if os.geteuid() != 0:
                return read(top).complete
            return worker.as_owner(65534, 65534, lambda _ask: read(top).complete, {})

        assert complete()
        for place in ("a/go.mod", "b"):
            mode = (top / place).stat().st_mode
            (top / place).chmod(0)
            assert not complete()
            (top / place).chmod(mode)


def test_a_pipe_in_a_roots_place_blocks_nobody_and_keeps_everything(tmp_path: pathlib.Path) -> None:
    os.mkfifo(str(tmp_path / "go.mod"))
    begun = time.monotonic()
    assert not read(tmp_path).complete
    (tmp_path / "go.mod").unlink()
    (tmp_path / "go.mod").symlink_to("/dev/zero")
    assert not read(tmp_path).complete
    assert time.monotonic() - begun < 60


def test_symlinked_files_are_read_and_symlinked_folders_not_entered(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"else/go.mod": "module x\nrequire a.org/a v1.0.0\n"})
    (tmp_path / "top/p").mkdir(parents=True)
    (tmp_path / "top/link").symlink_to("../else")
    assert read(tmp_path / "top").labels == frozenset()
    (tmp_path / "top/p/go.mod").symlink_to("../../else/go.mod")
    assert read(tmp_path / "top").labels == {"a.org/a@v1.0.0"}


def test_reading_leaves_access_times_and_folders_alone(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"a/go.mod": "module x\n", "a/go.sum": "%s v1.0.0 %s\n" % (A, HASH)})
    gocaches.age_access(tmp_path)
    before = gocaches.photograph(tmp_path)
    assert read(tmp_path).roots == 2
    assert gocaches.photograph(tmp_path) == before


def test_a_mount_below_is_not_entered_and_said_unless_it_is_named(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"top/m/x": "", "top/p/go.mod": "module x\n", "else/go.mod": "module x\nrequire a.org/a v1.0.0\n"})
    code = """
        import json
        from ansible_collections.gofleet.cache.plugins.module_utils._go import needs
        top = sys.argv[1]
        bind(top + "/else", top + "/top/m")
        told = []
        both = [top + "/top", top + "/top/m"]
        for folders, more in ((both[:1], []), (both, []), (both[:1], both[1:])):
            found = needs.read(folders, elsewhere=more)
            told.append([found.complete, sorted(found.labels)])
        print(json.dumps(told))
        """
    need = ["a.org/a@v1.0.0"]
    assert json.loads(mountspace.run(code, str(tmp_path))) == [[False, []], [True, need], [True, []]]


def test_a_broken_line_is_told_of_every_file_that_has_it(tmp_path: pathlib.Path) -> None:
    for name in "ab":
        put(tmp_path, {name + "/go.sum": "%s v1.0.0 %s\nbroken line\n" % (A, HASH)})
    found = read(tmp_path)
    assert sorted(item["path"] for item in found.problems) == [str(tmp_path / name / "go.sum") for name in "ab"]
    assert {item["problem"] for item in found.problems} == {"line 2: no module, version and hash"}


def test_problems_are_bounded(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"p%d/go.mod" % number: "require (\n// %d\n" % number for number in range(150)})
    found = read(tmp_path)
    assert (len(found.problems), found.problems_seen) == (100, 150)


def test_hundreds_of_projects_are_read_in_seconds(tmp_path: pathlib.Path) -> None:
    for number in range(300):
        lines = "".join("example.com/m%d v1.%d.0 %s\n" % (line, number, HASH) for line in range(100))
        put(tmp_path / ("p%d" % number), {"go.mod": "module x%d\n" % number, "go.sum": lines, "a/b/main.go": ""})
    found = read(tmp_path)
    assert (len(found.labels), found.roots) == (30000, 600)
    assert found.seconds < 10


# --- against Go itself


@pytest.mark.once
def test_what_go_itself_lists_with_a_zip_is_needed(tmp_path: pathlib.Path, go_binary: str) -> None:
    caches = gocaches.make_caches(tmp_path / "home", go_binary, 5)
    project = tmp_path / "p"
    project.mkdir()
    text = "module example.org/p\n\ngo 1.21\n\nrequire (\n\texample.com/lib v0.2.0-RC1 // a comment\n)\n"
    (project / "go.mod").write_text(text, encoding="ascii")
    code = 'package main\n\nimport "example.com/lib"\n\nfunc main() { println(lib.Hello()) }\n'
    (project / "main.go").write_text(code, encoding="ascii")
    assert caches.run("build", "-o", os.devnull, ".", cwd=project).returncode == 0
    done = caches.run("list", "-m", "-f", "{{if .Dir}}{{.Path}}@{{.Version}}{{end}}", "all", cwd=project)
    wanted = {line for line in done.stdout.split() if not line.startswith("example.org/p@")}
    assert wanted
    found = read(project)
    assert wanted <= found.labels
    edited = json.loads(caches.run("mod", "edit", "-json", cwd=project).stdout)
    ours = parse.mod_file((project / "go.mod").read_bytes())
    assert [(item["Path"], item["Version"]) for item in edited["Require"]] == list(ours.require)
    assert (edited["Go"], edited["Module"]["Path"]) == (ours.go, ours.module)


def test_what_the_kernel_makes_up_is_never_read(tmp_path: pathlib.Path) -> None:
    """A symlink to /proc/kmsg would hang root's run and take the kernel's messages; all such files say size 0."""
    (tmp_path / "go.mod").symlink_to("/proc/self/environ")
    found = needs.read([str(tmp_path)])
    assert (found.complete, found.problems, found.labels) == (True, (), frozenset())


def test_no_problem_repeats_what_another_file_holds(tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("Hunter2-Token v1.2.3\n")
    project = tmp_path / "p"
    project.mkdir()
    (project / "go.mod").symlink_to(secret)
    found = needs.read([str(project)])
    assert found.complete is False
    assert "Hunter2" not in str(found.problems)
