# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of places, by name. Whoever needs none of them does not load them."""

from __future__ import annotations

from typing import Dict

from . import base, buildkite, environment_d, github, gitlab, jenkins, plain, profile_d, systemd

#: A new kind is one file here and one word in this line.
KINDS: Dict[str, base.Kind] = {
    kind.name: kind
    for kind in (
        systemd.KIND,
        environment_d.KIND,
        profile_d.KIND,
        plain.KIND,
        gitlab.KIND,
        github.KIND,
        github.AZURE,
        buildkite.KIND,
        jenkins.KIND,
    )
}
#: Those that belong to one CI system, and know more about its jobs than the system places do.
RUNNERS = ("gitlab", "github", "azure", "buildkite", "jenkins")
