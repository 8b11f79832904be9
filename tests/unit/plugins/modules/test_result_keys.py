# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every key that a cache_* module returns is documented."""

from __future__ import annotations

import types

import pytest
import yaml

from ansible_collections.gofleet.cache.plugins.module_utils._host import schema
from ansible_collections.gofleet.cache.plugins.modules import cache_info, cache_prune, cache_verify


@pytest.mark.parametrize("module", [cache_info, cache_prune, cache_verify])
def test_every_key_of_the_shared_result_is_documented(module: types.ModuleType) -> None:
    assert set(schema.empty()) - {"changed"} <= set(yaml.safe_load(module.RETURN))
