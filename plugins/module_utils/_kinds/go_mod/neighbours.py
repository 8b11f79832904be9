# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What build caches and running processes tell of the use of a module cache."""

from __future__ import annotations

import os

from ..._core.survey import Survey
from ..._go import modindex
from .. import go_build
from ..around import Around
from . import survey


def ask(seen: Survey, around: Around) -> Survey:
    """The survey with the votes of the module indexes in the agent's build caches, and with the toolchains held that
    are running at this moment.

    Build caches of every owner are asked: a vote can only make a version younger.
    """
    builds = [root.fd for kind, root in around.caches if kind == go_build.KIND]
    names = tuple(dict.fromkeys((seen.cache.path, os.path.normpath(seen.cache.given))))
    versions = tuple(dict.fromkeys(around.versions + modindex.versions(seen.details)))
    newest = modindex.votes(builds, versions, names, survey.trees(seen)) if builds and versions else {}
    return survey.hold_running(survey.vote(seen, newest), around.goroots)
