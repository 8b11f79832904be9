# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of variables in each role's README, made from its argument specification.

``python tests/harness/role_readme.py --write`` makes the tables anew, ``--check`` fails where one is out of date. The
table stands between the markers ``<!-- BEGIN options -->`` and ``<!-- END options -->``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

BEGIN = "<!-- BEGIN options -->"
END = "<!-- END options -->"
ROOT = Path(__file__).resolve().parents[2]


def roles(root: Path = ROOT) -> list[Path]:
    """The folders of all roles of the collection."""
    return sorted(path.parents[1] for path in (root / "roles").glob("*/tasks/main.y*ml"))


def specification(role: Path) -> dict[str, dict[str, Any]]:
    """The options of the role's entry point ``main``. Raises FileNotFoundError or KeyError where there are none."""
    document = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, dict[str, Any]] = document["argument_specs"]["main"].get("options") or {}
    return options


def defaults(role: Path) -> dict[str, Any]:
    """What the role's ``defaults/main.yml`` sets."""
    path = role / "defaults" / "main.yml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def table(role: Path) -> str:
    """The Markdown table of the role's variables, with suboptions indented below theirs."""
    rows = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    rows.extend(_rows(specification(role), ""))
    return "\n".join(rows)


def _rows(options: dict[str, dict[str, Any]], prefix: str) -> Iterator[str]:
    for name, option in options.items():
        kind = option.get("type", "str")
        if "elements" in option:
            kind = f"list of {option['elements']}"
        if option.get("required"):
            default = "required"
        elif "default" in option:
            default = "`" + json.dumps(option["default"], ensure_ascii=False).replace("|", "\\|") + "`"
        else:
            default = ""
        text = option.get("description", "")
        text = " ".join(text) if isinstance(text, list) else str(text)
        if "choices" in option:
            text += " One of " + ", ".join(f"V({choice})" for choice in option["choices"]) + "."
        yield f"| `{prefix}{name}` | {kind} | {default} | {_markdown(text)} |"
        if option.get("options"):
            yield from _rows(option["options"], f"{prefix}{name}.")


def _markdown(text: str) -> str:
    """Ansible's markup as Markdown, in one line that may stand in a table."""
    text = re.sub(r"\b(?:C|E|M|O|P|RV|V)\(((?:[^)\\]|\\.)*)\)", lambda match: f"`{match[1]}`", text)
    text = re.sub(r"\bB\(([^)]*)\)", r"**\1**", text)
    text = re.sub(r"\bI\(([^)]*)\)", r"*\1*", text)
    text = re.sub(r"\bL\(([^,)]*),\s*([^)]*)\)", r"[\1](\2)", text)
    return " ".join(text.split()).replace("|", "\\|")


def updated(readme: str, wanted: str) -> str:
    """The README with this table between the markers. Raises ValueError where the markers are not there once each."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"needs one line {BEGIN} and after it one line {END}")
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{wanted}\n\n{END}{after}"


def problems(role: Path) -> list[str]:
    """What is wrong with a role's README and defaults; empty where all is well."""
    found: list[str] = []
    readme = role / "README.md"
    try:
        options = specification(role)
        if updated(readme.read_text(encoding="utf-8"), table(role)) != readme.read_text(encoding="utf-8"):
            found.append("README.md: the table is out of date; run tests/harness/role_readme.py --write")
    except (OSError, KeyError, ValueError) as error:
        return [f"{error}"]
    for name in options:
        if not name.startswith(role.name + "_"):
            found.append(f"meta/argument_specs.yml: {name} does not start with {role.name}_")
    given = defaults(role)
    for name in sorted(set(given) - set(options)):
        found.append(f"defaults/main.yml: {name} is not in the argument specification")
    for name, option in options.items():
        if option.get("required"):
            if name in given:
                found.append(f"defaults/main.yml: {name} is required and has a default")
        elif "default" in option and (name not in given or given[name] != option["default"]):
            found.append(f"defaults/main.yml: {name} is not {option['default']!r}, as the specification says")
        elif "default" not in option and name in given:
            found.append(f"meta/argument_specs.yml: {name} has the default {given[name]!r} in defaults/main.yml only")
        if not option.get("description"):
            found.append(f"meta/argument_specs.yml: {name} has no description")
    return found


def main() -> int:
    """Read the command line; 1 where --check finds something."""
    parser = argparse.ArgumentParser(description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--check", action="store_true", help="fail where a table is out of date")
    group.add_argument("--write", action="store_true", help="make the tables anew")
    arguments = parser.parse_args()
    code = 0
    for role in roles():
        if arguments.write:
            readme = role / "README.md"
            readme.write_text(updated(readme.read_text(encoding="utf-8"), table(role)), encoding="utf-8")
        for problem in problems(role):
            print(f"roles/{role.name}/{problem}", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
