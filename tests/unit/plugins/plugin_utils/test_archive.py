# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive: the same bytes everywhere, whole, and quick without Ansible on every Python that an agent may have."""

from __future__ import annotations

import ast
import json
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from ansible_collections.gofleet.cache.plugins.plugin_utils import _archive
from ansible_collections.gofleet.cache.tests.fixtures import synthetic
from harness import env

SOURCE = Path(_archive.__file__)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "gofleet-cache.pyz"
    path.write_bytes(_archive.build())
    return path


def interpreters() -> list[str]:
    return [str(path) for path in dict.fromkeys(env.pythons().values())]


def ran(python: str, archive: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-IS", str(archive), *words],
        env={"PATH": os.defpath, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_same_sources_give_the_same_bytes(archive: Path) -> None:
    assert _archive.build() == archive.read_bytes()


def test_every_python_makes_the_same_bytes_without_ansible(archive: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "plugins"
    shutil.copytree(SOURCE.parents[1] / "module_utils", copy / "module_utils", ignore=shutil.ignore_patterns("*.pyc"))
    (copy / "plugin_utils").mkdir()
    shutil.copy(SOURCE, copy / "plugin_utils")
    for number, python in enumerate(interpreters()):
        output = tmp_path / ("made-%d.pyz" % number)
        program = str(copy / "plugin_utils" / SOURCE.name)
        done = subprocess.run([python, "-IS", program, str(output)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert output.read_bytes() == archive.read_bytes(), python
        assert os.access(output, os.X_OK)


def test_all_that_is_imported_is_in_it(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        assert opened.testzip() is None
        assert names == sorted(names)
        for name in names:
            tree = ast.parse(opened.read(name).decode("utf-8"))
            parts = name.split("/")[:-1]
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.level:
                    base = [*parts[: len(parts) - node.level + 1], *(node.module.split(".") if node.module else [])]
                    path = "/".join(base)
                    assert path + ".py" in names or path + "/__init__.py" in names, (name, path)
                    below = SOURCE.parents[1] / "module_utils" / "/".join(base[1:])
                    for alias in node.names:
                        if (below / (alias.name + ".py")).exists() or (below / alias.name / "__init__.py").exists():
                            assert {path + f"/{alias.name}.py", path + f"/{alias.name}/__init__.py"} & set(names)


def test_it_holds_what_the_command_line_needs_and_nothing_of_ansible(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        text = "".join(opened.read(name).decode("utf-8") for name in names)
    assert "gofleet_cache/_cli/main.py" in names
    assert not [name for name in names if "canary" in name or "configure" in name or "__pycache__" in name]
    assert "import ansible" not in text
    assert "from ansible" not in text
    assert all(info.date_time == (1980, 1, 1, 0, 0, 0) for info in zipfile.ZipFile(archive).infolist())


def test_it_runs_on_every_python_of_an_agent(archive: Path, tmp_path: Path) -> None:
    build = synthetic.Build(tmp_path / "go-build")
    for number in range(4):
        build.put(synthetic.sha("p%d" % number), b"object %d" % number, 90 * synthetic.DAY if number % 2 else 0)
    policy = tmp_path / "policy.json"
    document = {"policy": {"max_age": "10d", "private": []}, "paths": [str(build.path)], "discover": False}
    policy.write_text(json.dumps(document))
    policy.chmod(0o644)
    digests = set()
    for python in interpreters():
        done = ran(python, archive, "plan", "--json", "--policy", str(policy), HOME=str(tmp_path))
        assert (done.returncode, done.stderr) == (0, ""), (python, done.stderr)
        result = json.loads(done.stdout)
        assert result["planned_entries"] == 4
        digests.add(result["plan_digest"])
        for words in (["survey"], ["verify"], ["prune", "--check"]):
            done = ran(python, archive, *words, "--policy", str(policy), HOME=str(tmp_path))
            assert done.returncode == 0, (python, words, done.stderr)
    assert len(digests) == 1


def test_its_first_line_runs_it(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(_archive.build(sys.executable))
    path.chmod(0o755)
    done = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("gofleet-cache "), done.stderr


@pytest.mark.parametrize("python", ["python3", "/usr/bin/env python3", "/bin/x\n#", "", "/" + 200 * "x"])
def test_an_interpreter_that_cannot_stand_in_the_first_line_is_refused(python: str) -> None:
    with pytest.raises(ValueError, match="interpreter"):
        _archive.build(python)


def test_below_the_watermark_it_costs_little(archive: Path, tmp_path: Path) -> None:
    """80 ms on a machine that does nothing else; here other tests run at the same time, so it is the best of many."""
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"policy": {"when": {"free_space_below": "0.0001%"}, "max_age": "1d"}}))
    policy.chmod(0o644)
    words = ("prune", "--policy", str(policy))
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    if "no cache was looked for" not in ran(python, archive, *words, HOME=str(tmp_path)).stdout:
        pytest.skip("needs a machine without network mounts, and with some free space")
    best = 1000.0
    for _number in range(10):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran(python, archive, *words, HOME=str(tmp_path))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    assert best < 100, "%.0f ms" % best
