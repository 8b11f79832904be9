# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._agents import _toml
from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import base, gitlab

# In the manner of the "Advanced configuration" page of GitLab Runner's documentation.
CONFIG = """\
concurrent = 10  # as many as there are cores
check_interval = 0

[session_server]
  session_timeout = 1800

[[runners]]
  name = "ruby-2.7-docker"
  url = "https://CI/"
  id = 7
  token = "SECRET-TOKEN"
  limit = 0
  executor = "docker"
  environment = ["ENV=value", "LC_ALL=en_US.UTF-8"]
  [runners.docker]
    host = ""
    image = "ruby:2.7"
    environment = ["NOT=ours"]
    [[runners.docker.services]]
      name = "mysql:5"
      environment = ["ENV1=value1"]

[[runners]]
  name = 'builder "two"'
  token = "SECRET-TWO"
  executor = "shell"
  # where jobs build
  builds_dir = ""   # the default

  [runners.cache]
    Type = "s3"
"""
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=12)


def edit(text: str, part: str, **changes: object) -> str:
    done = gitlab.edit(text.encode("utf-8"), part, changes)  # type: ignore[arg-type]
    assert done is not None
    return done.decode("utf-8")


def test_only_the_array_of_the_runner_that_is_meant_changes() -> None:
    done = edit(CONFIG, "ruby-2.7-docker", GOPROXY="https://proxy.example.com|direct", ENV="x")
    assert done == CONFIG.replace(
        '"ENV=value", "LC_ALL=en_US.UTF-8"', '"ENV=x", "LC_ALL=en_US.UTF-8", "GOPROXY=https://proxy.example.com|direct"'
    )


def test_a_missing_array_is_put_behind_the_runners_own_keys() -> None:
    done = edit(CONFIG, 'builder "two"', GOFLAGS="-mod=mod")
    line = '  builds_dir = ""   # the default\n'
    assert done == CONFIG.replace(line, line + '  environment = ["GOFLAGS=-mod=mod"]\n')
    assert edit(done, 'builder "two"', GOFLAGS=None) == CONFIG


def test_a_runner_with_only_a_header_or_no_last_newline_is_edited() -> None:
    assert edit("[[runners]]", "runner (number 1)", A="b") == '[[runners]]\n  environment = ["A=b"]'
    assert edit('[[runners]]\r\nname="x"\r\n', "x", A="b") == '[[runners]]\r\nname="x"\r\nenvironment = ["A=b"]\r\n'
    assert edit('runners = [{name = "x"}]\n', "x", A="b") == 'runners = [{name = "x", environment = ["A=b"]}]\n'
    for text, part in (
        ("[[runners]]", "runner (number 1)"),
        ('[[runners]]\r\nname="x"', "x"),
        ('runners=[{name="x"}]', "x"),
    ):
        assert edit(edit(text, part, A="b"), part, A=None) == text


ARRAYS = [
    '["A=b"]',
    '["A=b",]',
    "[ 'A=b' ]",
    "['A=b', ]",
    '["A=b", "C=d"]',
    '[\n    "A=b", # why\n    # more, and ] and "\n    "C=d"\n  ]',
    '[\n    "A=b", # why\n    "C=d", # last\n    # end\n  ]',
    '[\n    "A=b" # last\n  ]',
    '[ # first\n    "A=b",\n  ]',
    '[ "A=b",\n    "C=d" ]',
    "[\n  # nothing yet\n  ]",
    '["A=b",\n\n    "C=d",\n\n]',
    "[\"\"\"\nA=b\"\"\", '''C=d''']",
    '["A=b" , "C=\\"d\\u00e9" , ]',
]


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_what_is_set_and_removed_again_leaves_the_same_bytes(array: str, ends: str) -> None:
    text = ('[[runners]]\n  name = "x"\n  environment = %s # note\n  [runners.docker]\n' % array).replace("\n", ends)
    before = gitlab.read(text.encode("utf-8"), "x")
    done = edit(text, "x", GOPROXY="off", GOSUMDB="off")
    assert gitlab.read(done.encode("utf-8"), "x") == {**before, "GOPROXY": "off", "GOSUMDB": "off"}
    assert edit(done, "x", GOPROXY="off", GOSUMDB="off") == done
    assert edit(done, "x", GOPROXY=None, GOSUMDB=None) == text
    assert all(comment in done for comment in ("# why", "# more", "# last", "# first", "# end") if comment in text)


@pytest.mark.parametrize("array", ARRAYS)
def test_every_item_can_be_removed_and_comments_stay(array: str) -> None:
    text = '[[runners]]\n  name = "x"\n  environment = %s\n  limit = 1\n' % array
    done = edit(text, "x", A=None)
    assert "A" not in gitlab.read(done.encode("utf-8"), "x")
    done = edit(done, "x", C=None)
    assert gitlab.read(done.encode("utf-8"), "x") == {}
    assert done.count("#") == text.count("#")


def test_of_a_repeated_name_the_last_counts_and_all_are_removed() -> None:
    text = '[[runners]]\nname = "x"\nenvironment = ["A=1", "B=2", "A=3", "none"]\n'
    assert gitlab.read(text.encode("utf-8"), "x") == {"A": "3", "B": "2"}
    assert '["A=1", "B=2", "A=4", "none"]' in edit(text, "x", A="4")
    assert '["B=2", "none"]' in edit(text, "x", A=None)


def test_a_dollar_reaches_the_job_as_it_is() -> None:
    done = edit("[[runners]]\nname = 'x'\n", "x", A="$HOME and $$ and a$")
    assert '"A=$$HOME and $$$$ and a$$"' in done
    assert gitlab.read(done.encode("utf-8"), "x") == {"A": "$HOME and $$ and a$"}


def test_a_reference_to_a_jobs_variable_is_shown_as_it_stands_and_is_not_the_same_as_its_text() -> None:
    text = '[[runners]]\nname = "x"\nenvironment = ["GOCACHE=${CI_PROJECT_DIR}/.cache", "B=50$ off$"]\n'
    assert gitlab.read(text.encode("utf-8"), "x") == {"GOCACHE": "${CI_PROJECT_DIR}/.cache", "B": "50$ off$"}
    assert '"GOCACHE=$${CI_PROJECT_DIR}/.cache"' in edit(text, "x", GOCACHE="${CI_PROJECT_DIR}/.cache")
    assert edit(text, "x", B="50$ off$") == text


def test_runners_of_one_name_are_told_apart_without_their_tokens() -> None:
    rows = ["[[runners]]\nname = 'x'\nid = %d\ntoken = 'SECRET'\n" % number for number in (5, 6, 6)]
    text = "".join(rows) + "[[runners]]\ntoken = 'SECRET'\n"
    parts = ["x (id 5)", "x (number 2)", "x (number 3)", "runner (number 4)"]
    for i, part in enumerate(parts):
        done = edit(text, part, A=str(i))
        assert [gitlab.read(done.encode("utf-8"), other).get("A") for other in parts] == [
            str(i) if other == part else None for other in parts
        ]
    with pytest.raises(base.BadPlace) as error:
        gitlab.read(text.encode("utf-8"), "y")
    assert "'x (id 5)'" in str(error.value)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[runners]]\nname = "x"\nenvironment = "A=b"\n', "array of strings"),
        ('[[runners]]\nname = "x"\nenvironment = ["A=b", 1]\n', "array of strings"),
        ('[[runners]]\nname = "x"\ntoken = "SECRET\n', "line 3"),
        ('[[runners]]\nname = "x"\nname = "SECRET"\n', "line 3"),
    ],
)
def test_what_the_runner_itself_would_refuse_is_refused_without_a_quotation(text: str, says: str) -> None:
    with pytest.raises(base.BadPlace, match=says) as error:
        edit(text, "x", A="b")
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(("name", "value"), [("A", "b\nc"), ("A", "\x1b"), ("A-B", "c"), ("", "c"), ("A", "\ud800")])
def test_what_no_item_can_hold_is_refused(name: str, value: str) -> None:
    with pytest.raises(base.BadPlace):
        gitlab.edit(CONFIG.encode(), "ruby-2.7-docker", {name: value})


def test_a_missing_document_is_not_made() -> None:
    with pytest.raises(base.BadPlace, match="register"):
        gitlab.edit(None, "x", {"A": "b"})
    assert not gitlab.KIND.creates


COMMENTS = st.sampled_from(["", " # c", ' # ], "A=b"'])


@st.composite
def documents(draw: st.DrawFn) -> Tuple[str, Dict[str, str]]:
    """A config.toml with one array in any of TOML's forms, and its variables."""
    pairs = draw(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    quoted: List[str] = []
    for name, value in pairs.items():
        item = "%s=%s" % (name, value.replace("$", "$$"))
        if "'" not in item and draw(st.booleans()):
            quoted.append("'%s'" % item)
        else:
            quoted.append('"%s"' % item.replace("\\", "\\\\").replace('"', '\\"'))
    if draw(st.booleans()):
        array = "[%s%s]" % (", ".join(quoted), draw(st.sampled_from(["", ",", " ", ", "])))
    else:
        array = "["
        last = draw(st.sampled_from(["", ","]))
        for i, item in enumerate(quoted):
            array += end + draw(st.sampled_from(["", "  ", "\t"])) + item
            array += ("," if i < len(quoted) - 1 else last) + draw(COMMENTS)
        array += end + draw(st.sampled_from(["", "  "])) + "]"
    text = 'name = "top"\n[[runners]]\n  token = "t"\n[[runners]]\n  name = "x"\n  environment = %s%s\n  limit = 1\n'
    text += "  [runners.docker]\n    environment = ['N=o']\n"
    return text.replace("\n", end) % (array, draw(COMMENTS)), pairs


@given(documents(), st.dictionaries(NAMES, st.none() | VALUES, max_size=4))
def test_an_edit_gives_what_was_wanted_and_changes_nothing_else(
    document: Tuple[str, Dict[str, str]], changes: object
) -> None:
    text, pairs = document
    assert gitlab.read(text.encode("utf-8"), "x") == pairs
    assert isinstance(changes, dict)
    done = edit(text, "x", **changes)
    want = {name: value for name, value in {**pairs, **changes}.items() if value is not None}
    assert gitlab.read(done.encode("utf-8"), "x") == want
    assert edit(done, "x", **changes) == done
    old, new = _toml.parse(text), _toml.parse(done)
    for top in (old, new):
        _toml.rows(top["runners"])[1].pop("environment", None)
    assert old == new
    added = [name for name in changes if name not in pairs and changes[name] is not None]
    if all(changes[name] is None or name not in pairs for name in changes) and not set(pairs) & set(changes):
        assert edit(done, "x", **dict.fromkeys(added)) == text


def test_every_runner_is_a_place_with_where_its_jobs_run(tmp_path: Path) -> None:
    path = tmp_path / "etc/gitlab-runner/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(CONFIG)
    found = gitlab.KIND.find(base.Request(root=str(tmp_path)))
    assert [(place.path, place.part, place.where_jobs_run, place.then) for place in found.places] == [
        (str(path), "ruby-2.7-docker", "container", ""),
        (str(path), 'builder "two"', "host", ""),
    ]
    assert "wins over it" in found.places[0].reaches
    assert "SECRET" not in repr(found)
    only = gitlab.KIND.find(base.Request(paths=(str(path),), names=('builder "two"',)))
    assert [place.part for place in only.places] == ['builder "two"']


def test_a_file_that_is_not_understood_is_a_problem_and_not_silence(tmp_path: Path) -> None:
    path = tmp_path / "etc/gitlab-runner/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[[runners]]\ntoken = "SECRET\n')
    for request in (base.Request(root=str(tmp_path)), base.Request(paths=(str(path),))):
        found = gitlab.KIND.find(request)
        assert not found.places
        assert len(found.problems) == 1
        assert str(path) in found.problems[0]
        assert "SECRET" not in found.problems[0]
    assert gitlab.KIND.find(base.Request(paths=(str(tmp_path / "none"),))).problems
