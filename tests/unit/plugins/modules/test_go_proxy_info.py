# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.modules import go_proxy_info
from ansible_collections.gofleet.cache.tests.fixtures import goproxy

CANARY = "canary-Pa55word-of-the-tests"
LIB = "example.com/lib@v0.1.0"
#: Nothing outside of the machine is asked.
QUIET = {"environment": {"GOSUMDB": "off"}}


@pytest.fixture(autouse=True)
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A home of the caller's own, and no forward proxy."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "no_proxy", "netrc"):
            monkeypatch.delenv(name)
    return place


def _run(capsys: pytest.CaptureFixture[str], args: dict[str, Any]) -> tuple[int, dict[str, Any], str]:
    given = {"canaries": [LIB], "samples": 0, "request_timeout": 2, "time_limit": 20}
    with patch_module_args(dict(given, **args)):
        with pytest.raises(SystemExit) as ended:
            go_proxy_info.main()
    text = capsys.readouterr().out
    return int(ended.value.code or 0), json.loads(text), text


@pytest.mark.parametrize("own", [True, False])
def test_what_is_wrong_with_the_chain_is_told_once(
    capsys: pytest.CaptureFixture[str], home: pathlib.Path, own: bool
) -> None:
    value = "file:///nonexistent|http://127.0.0.1:1,off,http://goproxy.example.com"
    (home / ".config/go").mkdir(parents=True)
    (home / ".config/go/env").write_text("GOPROXY=%s\n" % (value if own else "off,direct"), encoding="utf-8")
    result = _run(capsys, dict(QUIET, **({} if own else {"goproxy": value})))[1]
    told = [row for row in result["findings"] if row["code"] == "after-end"]
    assert [row["where"] for row in told] == ["%s/.config/go/env:1" % home if own else "option goproxy"], told


@pytest.mark.parametrize("check", [True, False])
def test_it_examines_the_accounts_own_settings_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], home: pathlib.Path, tmp_path: pathlib.Path, check: bool
) -> None:
    proxy = goproxy.make_proxy(tmp_path / "proxy", big=5)
    env = home / ".config/go/env"
    env.parent.mkdir(parents=True)
    env.write_text("GOPROXY=%s,off\nGOSUMDB=off\n" % proxy.url, encoding="utf-8")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    args = {"explain": [LIB, "example.com/none@v1.0.0"], "zip": True, "_ansible_check_mode": check}
    code, result, _text = _run(capsys, args)
    assert code == 0
    assert result["changed"] is False
    assert result["settings"]["GOPROXY"] == {"value": proxy.url + ",off", "where": "env-file: %s:1" % env}
    assert [way["verdict"] for way in result["explain"]] == ["served", "fails"]
    assert [row["kind"] for row in result["chain"]] == ["file", "off"]
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_an_explicit_chain_wins_and_go_sum_is_looked_up(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    proxy = goproxy.make_proxy(tmp_path / "proxy", big=5)
    (tmp_path / "go.sum").write_text("example.com/lib v0.1.0 h1:x=\nexample.com/none v1.0.0 h1:x=\n", encoding="utf-8")
    code, result, _text = _run(capsys, dict(QUIET, goproxy=proxy.url, go_sum=str(tmp_path / "go.sum")))
    assert code == 0
    assert result["settings"]["GOPROXY"]["where"] == "option goproxy"
    documented = set(yaml.safe_load(go_proxy_info.RETURN))
    assert set(result) - {"changed", "invocation", "warnings"} == documented, "what is returned is what is documented"
    assert (result["go_sum"]["served"], result["go_sum"]["missing"]) == (1, 1)
    assert result["healthy"] is False


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("goproxy", " ", "goproxy: the value is empty"),
        ("goproxy", "https://ci:%s@a.test,direct" % CANARY, "goproxy: the value holds credentials"),
        ("canaries", [], "canaries: the list is empty"),
        ("canaries", ["example.com/lib"], "canaries: 'example.com/lib' has no version"),
        ("canaries", ["example.com/lib@latest"], "canaries: 'example.com/lib@latest' needs a version"),
        ("explain", ["../x@v1.0.0"], "explain: "),
        ("samples", 101, "samples: 101"),
        ("max_requests", 0, "max_requests: 0"),
        ("time_limit", "soon", "time_limit"),
        ("max_bytes", "0", "max_bytes"),
        ("account", "no-such-account-here", "no-such-account-here"),
        ("go_sum", "/nonexistent/go.sum", "/nonexistent/go.sum"),
    ],
)
def test_bad_options_are_refused_with_name_and_value(
    capsys: pytest.CaptureFixture[str], option: str, value: Any, words: str
) -> None:
    code, result, text = _run(capsys, {"goproxy": "off", option: value})
    assert code == 1
    assert words in result["msg"]
    assert CANARY not in text


def test_no_secret_of_settings_or_options_comes_back(capsys: pytest.CaptureFixture[str], home: pathlib.Path) -> None:
    env = home / ".config/go/env"
    env.parent.mkdir(parents=True)
    value = "https://ci:%s@127.0.0.1:1|%s@127.0.0.1:2|http://u:%s@127.0.0.1:3" % (CANARY, CANARY, CANARY)
    env.write_text("GOPROXY=%s\nGOAUTH=netrc;helper --token %s\n" % (value, CANARY), encoding="utf-8")
    (home / ".netrc").write_text("machine 127.0.0.1:1 login ci password %s\n" % CANARY, encoding="utf-8")
    environment = {
        "HTTPS_PROXY": "http://u:%s@127.0.0.1:4" % CANARY,
        "GOSUMDB": "sum.golang.org https://x:%s@a.test" % CANARY,
    }
    code, result, text = _run(capsys, {"environment": environment, "explain": [LIB], "_ansible_verbosity": 3})
    assert code == 0
    assert CANARY not in text
    assert result["chain"][0]["element"] == "https://***@127.0.0.1:1"
    assert result["healthy"] is False


@pytest.mark.parametrize("account", ["", "no-such-account-here"])
@pytest.mark.parametrize("name", ["GOPROXY", "HTTPS_PROXY", "http_proxy", "GOSUMDB", "GOAUTH"])
def test_no_secret_in_the_environment_comes_back_with_the_options(
    capsys: pytest.CaptureFixture[str], account: str, name: str
) -> None:
    value = {"GOSUMDB": "sum.golang.org https://u:%s@127.0.0.1:1", "GOAUTH": "helper --token %s"}
    text = value.get(name, "http://u:%s@127.0.0.1:1") % CANARY
    args: dict[str, Any] = {"environment": dict({"GOPROXY": "http://127.0.0.1:1"}, **{name: text}), "explain": [LIB]}
    if "inject_invocation" in PASS_VARS:  # newer ansible-core shows them on demand only
        args["_ansible_inject_invocation"] = True
    _code, result, shown = _run(capsys, dict(args, account=account) if account else args)
    assert name in result["invocation"]["module_args"]["environment"], "the options are shown"
    assert CANARY not in shown


def test_a_chain_that_go_refuses_is_told_and_nobody_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    code, result, _text = _run(capsys, {"goproxy": "https://a.test,/srv/modules", "explain": [LIB]})
    assert code == 0
    assert result["used"]["requests"] == 0
    assert result["explain"][0]["verdict"] == "fails"
    assert result["summary"].startswith("Go refuses GOPROXY: invalid proxy URL missing scheme")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look at another account")
def test_root_asks_with_the_rights_of_the_account(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    proxy = goproxy.make_proxy(tmp_path / "proxy", big=5)
    os.chmod(proxy.path, 0o700)
    args = {"goproxy": proxy.url, "explain": [LIB], "environment": {"GOSUMDB": "off"}}
    _code, mine, _text = _run(capsys, args)
    _code, theirs, _text = _run(capsys, dict(args, account="65534"))
    assert mine["explain"][0]["verdict"] == "served"
    assert theirs["explain"][0]["verdict"] == "fails"
    assert "403 Forbidden (permission denied)" in theirs["explain"][0]["text"]
