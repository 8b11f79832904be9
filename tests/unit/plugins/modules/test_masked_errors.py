# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gofleet.cache.plugins.module_utils._go.mask import secrets

CANARY = "canary-Pa55word"
URL = f"https://ci:{CANARY}@proxy.example.com"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("go_env", {"settings": {"GOPROXY": ["direct", URL]}}),
        ("job_env", {"settings": {"HTTPS_PROXY": URL}}),
        ("netrc_entry", {"machine": URL}),
        ("netrc_entry", {"machine": f"ci:{CANARY}@proxy.example.com"}),
        ("goauth_entry", {"url": URL}),
        ("goauth_entry", {"url": "https://x", "command": ["/bin/h", "--token", CANARY]}),
        ("git_access", {"instead_of": [{"prefix": "https://a/", "use": URL}]}),
        ("go_proxy_info", {"environment": {"HTTPS_PROXY": URL}, "goproxy": URL}),
    ],
)
def test_an_error_about_another_option_shows_no_credentials(
    capsys: pytest.CaptureFixture[str], name: str, options: dict[str, Any]
) -> None:
    module = importlib.import_module(f"ansible_collections.gofleet.cache.plugins.modules.{name}")
    given = dict(options, no_such_option=1, _ansible_inject_invocation=True, _ansible_verbosity=3)
    with patch_module_args(given), pytest.raises(SystemExit) as ended:
        module.main()
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert json.loads(said)["invocation"]["module_args"], "the options are shown"
    assert CANARY not in said


@pytest.mark.parametrize("plain", ["git.example.com", "ssh://git@git.example.com/", "git@git.example.com:x/y", 7, None])
def test_what_is_no_secret_is_not_taken_for_one(plain: object) -> None:
    assert secrets({"a": [plain], "b": {"c": plain}}) == []
