# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the test command."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from . import env, hosts
from .runner import Context, Outcome, Part
from .tree import copy_collection

#: A Molecule scenario whose molecule.yml names this variable runs on hosts with systemd, in the part ``hosts``.
HOSTS_VARIABLE = "GOFLEET_HOSTS_INVENTORY"
#: Molecule scenarios that only create and destroy.
FRAME_SCENARIOS = frozenset({"default"})


def ruff(c: Context) -> Outcome:
    environ = c.environ(env.ensure_venv())
    outcome = c.check(["ruff", "check", "--no-cache", "--output-format", "concise", "."], environ)
    outcome.add(c.check(["ruff", "format", "--check", "--no-cache", "."], environ))
    return outcome


def mypy(c: Context) -> Outcome:
    environ = c.environ(env.ensure_venv())
    base = ["mypy", "--config-file", str(c.copy / "mypy.ini"), "--cache-dir", str(c.temp / "cache")]
    # From the folder above ansible_collections, so that a file has one name only.
    plugins = str((c.copy / "plugins").relative_to(c.root))
    outcome = c.check([*base, plugins], environ | {"MYPYPATH": str(c.root)}, c.root)
    programs = [name for name in ("harness", "demo", "benchmark") if (c.copy / "tests" / name).is_dir()]
    controller = [*base, "--python-version", "3.11", *programs]
    outcome.add(c.check(controller, environ | {"MYPYPATH": str(c.copy / "tests")}, c.copy / "tests"))
    # These import the collection under its full name, the others do not: one file must not have two names.
    both = os.pathsep.join([str(c.copy / "tests"), str(c.root)])
    outcome.add(c.check([*base, "--python-version", "3.11", "prove"], environ | {"MYPYPATH": both}, c.copy / "tests"))
    return outcome


def yamllint(c: Context) -> Outcome:
    return c.check(["yamllint", "--strict", "."], c.environ(env.ensure_venv()))


def shellcheck(c: Context) -> Outcome:
    environ = c.environ(env.ensure_venv())
    scripts = [f for f in sorted(c.copy.rglob("*")) if f.is_file() and _is_shell(f)]
    if not scripts:
        raise RuntimeError("there is no shell script, not even .ci/run")
    if not shutil.which("shellcheck", path=environ["PATH"]):
        raise env.WantError("shellcheck")
    return c.check(["shellcheck", *map(str, scripts)], environ)


def _is_shell(file: Path) -> bool:
    with open(file, "rb") as handle:
        return bool(re.match(rb"#!.*\b(ba)?sh\b", handle.readline(80)))


def reuse(c: Context) -> Outcome:
    return c.check(["reuse", "lint"], c.environ(env.ensure_venv()))


def changelog(c: Context) -> Outcome:
    return c.check(["antsibull-changelog", "lint"], c.environ(env.ensure_venv()))


def docs(c: Context) -> Outcome:
    command = ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "self", "."]
    return c.check(command, c.environ(env.ensure_venv()))


def unit(c: Context) -> Outcome:
    return _unit(c, env.ensure_venv(), ["tests/unit"])


def unit_other_core(c: Context) -> Outcome:
    return _unit(c, _other_core(), ["tests/unit/plugins/modules"])


def unit_oldest(c: Context) -> Outcome:
    fitting = [v for v in env.pythons() if v <= (3, 9)]
    if not fitting:
        raise env.WantError("Python 3.8 (or 3.9)")
    return _unit_on_target(c, min(fitting))


def unit_newest(c: Context) -> Outcome:
    fitting = [v for v in env.pythons() if v >= (3, 13)]
    if not fitting:
        raise env.WantError("Python 3.13 or later")
    return _unit_on_target(c, max(fitting))


def _unit_on_target(c: Context, version: tuple[int, int]) -> Outcome:
    venv = env.ensure_venv("target", env.Python(version, env.pythons()[version]))
    # The slow ones with a real Go are for the controller's Python, see tests/conftest.py.
    return _unit(c, venv, ["tests/unit/plugins/module_utils"], ["-m", "not once"])


def _unit(c: Context, venv: Path, paths: list[str], more: Sequence[str] = ()) -> Outcome:
    # Test files of the same name in different folders are different modules, without __init__.py files.
    return c.pytest(venv / "bin" / "python", paths, c.environ(venv) | _go(c), ["--import-mode=importlib", *more])


def _go(c: Context) -> dict[str, str]:
    """Return the variables by which tests find Go, and say what is missing."""
    variables = env.go_test_environ()
    c.say("\n".join(f"{key}={value}" for key, value in sorted(variables.items())))
    return variables


def _other_core() -> Path:
    other = next(name for name in reversed(env.CORES) if name != env.main_core())
    return env.ensure_venv(other)


def ansible_lint(c: Context) -> Outcome:
    environ = c.environ(env.ensure_venv())
    return c.check(["ansible-lint", "--profile", "production", "--strict", "--offline", "--nocolor"], environ)


def sanity(c: Context) -> Outcome:
    return _sanity(c, env.ensure_venv("core-2.19"), [])


def sanity_newest_core(c: Context) -> Outcome:
    return _sanity(c, env.ensure_venv("core-2.21"), ["validate-modules", "import"])


def _sanity(c: Context, venv: Path, tests: list[str]) -> Outcome:
    home = _ansible_test_home(venv)
    command = ["ansible-test", "sanity", "--color", "no", "--python", "default"]
    for test in tests:
        command += ["--test", test]
    with env.pip_settings(home):
        code, output = c.run(command, c.environ(venv, home))
    ran = re.findall(r'^Running sanity test "([^"]+)"', output, re.M)
    not_run = re.findall(r'Skipping sanity test "([^"]+)" on Python \S+ because it could not be found', output)
    listed = re.search(r"The (\d+) sanity test\(s\) listed below", output)
    # Where ansible-test itself ends early it gives no list; then at least what it found before counts.
    found = len(re.findall(r"^ERROR: Found \d+ ", output, re.M)) + 1
    failed = int(listed.group(1)) if listed else found if code else 0
    if "All targets skipped" in output or not ran:
        c.say("FAILED: ansible-test ran no sanity test")
        return Outcome(failed=1)
    return Outcome(passed=max(len(ran) - failed, 0), failed=failed, skipped=len(not_run))


#: ansible-test makes virtual environments without pip and would download pip's installer from a server of its own.
GET_PIP = '''\
"""Stand-in for get-pip: use the pip wheel that CPython ships, then upgrade it from the package index."""
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
args = [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install"] + args))
'''


def _ansible_test_home(venv: Path) -> Path:
    """Return a HOME that is kept between runs, because it holds ansible-test's virtual environments."""
    home = env.BUILD / "ansible-test-home"
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (source,) = venv.glob("lib/python3.*/site-packages/ansible_test/_internal/python_requirements.py")
    version = re.search(r"\bpip='([0-9.]+)'", source.read_text(encoding="utf-8"))
    if not version:
        raise RuntimeError(f"{source} names no version of pip any more: see collect_bootstrap there")
    name = f"get_pip_{version.group(1).replace('.', '_')}.py"
    (cache / name).write_text(GET_PIP, encoding="ascii")
    return home


def integration(c: Context) -> Outcome:
    targets = sorted(p.name for p in (c.copy / "tests/integration/targets").glob("*") if _is_target(p))
    if not targets:
        raise RuntimeError("there is no target in tests/integration/targets")
    venv = env.ensure_venv()
    variables = {key.lower(): value for key, value in _go(c).items()}
    # A copy of its own, because others judge every file of the one that all share.
    copy = copy_collection(c.temp)
    # ansible-test drops the environment; this file is its own way to give tests variables.
    (copy / "tests/integration/integration_config.yml").write_text(json.dumps(variables) + "\n", encoding="utf-8")
    home = _ansible_test_home(venv)
    environ = c.environ(venv, home) | {"ANSIBLE_COLLECTIONS_PATH": str(c.temp)}
    version = env.core_python(env.main_core()).name
    command = ["ansible-test", "integration", "--color", "no", "--python", version, *targets]
    code, output = c.run(command, environ, copy)
    ran = set(re.findall(r"^Running (\S+) integration test", output, re.M))
    if code:
        return Outcome(passed=max(len(ran) - 1, 0), failed=1)
    lost = sorted(set(targets) - ran)
    if lost:
        c.say(f"FAILED: these targets did not run: {', '.join(lost)}")
    return Outcome(passed=len(ran), failed=len(lost))


def _is_target(folder: Path) -> bool:
    """Whether ansible-test runs it by itself; the others are there for targets to depend on."""
    aliases = folder / "aliases"
    hidden = aliases.is_file() and "hidden" in aliases.read_text(encoding="utf-8").split()
    helper = folder.name.startswith(("setup_", "prepare_"))
    return folder.is_dir() and not hidden and not helper and any(folder.iterdir())


def _scenarios(c: Context, on_hosts: bool) -> list[str]:
    found = []
    for file in sorted((c.copy / "extensions/molecule").glob("*/molecule.yml")):
        if file.parent.name not in FRAME_SCENARIOS and (HOSTS_VARIABLE in file.read_text("utf-8")) == on_hosts:
            found.append(file.parent.name)
    return found


def _molecule(c: Context, scenarios: list[str], environ: dict[str, str]) -> Outcome:
    outcome = Outcome()
    for scenario in scenarios:
        result = c.check(["molecule", "test", "--scenario-name", scenario], environ)
        c.say(f"scenario {scenario}: {'FAILED' if result.failed else 'passed'}")
        outcome.add(result)
    return outcome


def _molecule_environ(c: Context) -> dict[str, str]:
    environ = c.environ(env.ensure_venv()) | _go(c)
    # A short path: it also holds sockets. Molecule makes the folder.
    return environ | {
        "MOLECULE_EPHEMERAL_DIRECTORY": str(c.temp / "molecule"),
        "PY_COLORS": "0",
        "ANSIBLE_NOCOLOR": "1",
    }


def molecule(c: Context) -> Outcome:
    scenarios = _scenarios(c, on_hosts=False)
    if not scenarios:
        raise RuntimeError("there is no Molecule scenario in extensions/molecule")
    return _molecule(c, scenarios, _molecule_environ(c))


def on_hosts(c: Context) -> Outcome:
    scenarios = _scenarios(c, on_hosts=True)
    tests = [path for path in ("tests/fleet",) if (c.copy / path).is_dir()]
    if not scenarios and not tests:
        raise RuntimeError(f"there are no tests in tests/fleet, and no Molecule scenario names {HOSTS_VARIABLE}")
    environ = _molecule_environ(c)
    folder = c.temp / "hosts"
    folder.mkdir()
    outcome = Outcome()
    with hosts.fleet(3, folder, Path(environ["GOFLEET_TEST_GO"]).parents[1]) as fleet:
        environ[HOSTS_VARIABLE] = str(fleet.inventory)
        environ["CONTAINERS_CONF"] = str(folder / "containers.conf")
        if tests:
            outcome.add(c.pytest(Path("python"), tests, environ))
        outcome.add(_molecule(c, scenarios, environ))
    return outcome


def importer(c: Context) -> Outcome:
    main = env.ensure_venv()
    environ = c.environ(main)
    outcome = c.check(["ansible-galaxy", "collection", "build", "--output-path", str(c.temp)], environ)
    archives = sorted(c.temp.glob("gofleet-cache-*.tar.gz"))
    if not archives:
        return outcome
    outcome.add(_check_contents(c, archives[0]))
    venv = env.ensure_venv("importer", env.core_python(env.main_core()))
    settings = c.temp / "importer.cfg"
    settings.write_text("[galaxy-importer]\nCHECK_REQUIRED_TAGS=True\nRUN_ANSIBLE_TEST=False\n", encoding="ascii")
    environ = c.environ(venv) | {"GALAXY_IMPORTER_CONFIG": str(settings)}
    code, output = c.run(["python", "-m", "galaxy_importer.main", str(archives[0])], environ, c.temp)
    refused = bool(code) or "Importer processing completed successfully" not in output or "\nERROR" in output
    outcome.add(Outcome(failed=1) if refused else Outcome(passed=1))
    return outcome


def _check_contents(c: Context, archive: Path) -> Outcome:
    """The archive holds the product, whole, and nothing else."""
    with tarfile.open(archive) as tar:
        names = {member.name for member in tar.getmembers() if member.isfile() or member.issym()}
    product = {
        str(file.relative_to(c.copy))
        for folder in ("meta", "plugins", "roles", "playbooks", "docs")
        for file in (c.copy / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    product |= {"LICENSE", "README.md", "MANIFEST.json", "FILES.json"}
    missing = sorted(product - names)
    allowed = re.compile(r"(meta|plugins|roles|playbooks|docs|changelogs|LICENSES)/|[A-Z_]+(\.\w+)?$")
    extra = sorted(name for name in names if not allowed.match(name))
    for text, paths in (("lacks", missing), ("should not hold", extra)):
        if paths:
            c.say(f"FAILED: {archive.name} {text}: {', '.join(paths)}")
    return Outcome(failed=1) if missing or extra else Outcome(passed=1)


def faults(c: Context) -> Outcome:
    venv = env.ensure_venv()
    paths = ["tests/faults", "tests/prove"]
    return c.pytest(venv / "bin" / "python", paths, c.environ(venv) | _go(c))


def proxies(c: Context) -> Outcome:
    """The proxy doctor's verdicts beside what Go does; without a Go module proxy not those about real servers."""
    venv = env.ensure_venv()
    environ = c.environ(venv) | _go(c)
    with contextlib.suppress(env.WantError):  # the tests themselves say what they want
        environ["GOFLEET_TEST_TOOLS"] = str(env.ensure_tools())
    return c.pytest(venv / "bin" / "python", ["tests/proxies"], environ, ["--import-mode=importlib"])


def secrets(c: Context) -> Outcome:
    venv = env.ensure_venv()
    return c.pytest(venv / "bin" / "python", ["tests/secrets"], c.environ(venv) | _go(c))


def bench(c: Context) -> Outcome:
    """The short sample of the benchmark: that everything is measured, never how fast it is."""
    environ = c.environ(env.ensure_venv()) | _go(c)
    program = str(c.copy / "tests" / "benchmark" / "run.py")
    result = c.temp / "bench.json"
    places = ["--work", str(c.temp / "bench"), "--json", str(result)]
    return c.check(["python", "-I", "-B", program, "--short", *places], environ)


def demo(c: Context) -> Outcome:
    program = c.copy / "tests" / "demo" / "run.py"
    if not program.exists():
        raise RuntimeError(f"{program} is missing")
    code = c.run(["make", "demo"], _demo_environ(c), env.ROOT)[0]
    return Outcome(failed=1) if code else Outcome(passed=1)


def _demo_environ(c: Context) -> dict[str, str]:
    return env.clean_environ(c.temp / "home") | {"PYTHON": sys.executable}


def _part(
    run: Callable[[Context], Outcome],
    about: str,
    name: str = "",
    uses: str = "",
    limit: int = 3600,
    alone: bool = False,
    takes: int = 0,
) -> Part:
    return Part(name or run.__name__.replace("_", "-"), about, run, uses, limit, alone, takes)


PARTS = [
    _part(ruff, "style and likely bugs of all Python code"),
    _part(yamllint, "style of all YAML"),
    _part(changelog, "the changelog's fragments"),
    _part(shellcheck, "likely bugs of shell scripts"),
    _part(reuse, "copyright and licence of every file"),
    _part(mypy, "types of plugins, harness and demo, strictly", takes=40),
    _part(docs, "documentation of modules and roles", takes=30),
    _part(unit, "unit tests on the controller's Python, with the main ansible-core", alone=True, takes=400),
    _part(unit_oldest, "unit tests of module_utils on the oldest Python of an agent", alone=True, takes=200),
    _part(unit_newest, "unit tests of module_utils on the newest Python of an agent", alone=True, takes=180),
    _part(unit_other_core, "unit tests of modules with the other ansible-core", alone=True, takes=45),
    _part(ansible_lint, "ansible-lint's production profile", takes=45),
    # It has to see what other parts do, because it looks for what is left in folders that they use too.
    _part(demo, "the demonstration, as `make demo` runs it", takes=100),
    _part(integration, "ansible-test integration: modules run by Ansible", uses="ansible-test", alone=True, takes=440),
    _part(faults, "crashes, races, hostile trees, and samples of the proofs", alone=True, takes=620),
    _part(proxies, "the proxy doctor against real servers and broken ones, beside what Go does", alone=True, takes=330),
    _part(
        secrets, "a password in every place that can hold one, and every playbook at its loudest", alone=True, takes=140
    ),
    _part(bench, "a short sample of the benchmark: it measures, and judges nothing", alone=True, takes=60),
    _part(molecule, "Molecule scenarios on this machine", alone=True, takes=450),
    _part(on_hosts, "tests and Molecule scenarios on hosts with systemd", name="hosts", takes=780),
    _part(importer, "the archive that Galaxy gets, judged by Galaxy's importer", takes=60),
    _part(sanity, "ansible-test sanity with ansible-core 2.19 and all Pythons found", uses="ansible-test", takes=150),
    _part(
        sanity_newest_core,
        "ansible-test sanity with ansible-core 2.21: validate-modules and import",
        name="sanity-2.21",
        uses="ansible-test",
        takes=60,
    ),
]


def wanted(names: list[str]) -> list[Part]:
    """Return the parts with these names, or all; exit with the list of names where one is unknown."""
    known = {part.name: part for part in PARTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"Unknown part {', '.join(unknown)}; there are: {', '.join(known)}")
    return [part for part in PARTS if not names or part.name in names]


def default_jobs() -> int:
    """Two parts at a time, or what GOFLEET_TEST_JOBS says."""
    return int(os.environ.get("GOFLEET_TEST_JOBS") or 2)
