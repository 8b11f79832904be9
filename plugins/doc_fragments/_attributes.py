# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: shared texts of the modules' documentation.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Returns details on what has changed (or would change in C(check_mode)), when in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
      - This assumes that the system controlled by the module has not changed in a relevant way.
  platform:
    description: Target systems that can be operated against.
    platforms: linux
    support: full
requirements:
  - Python 3.8 or later on the agent
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This action does not modify state.
  diff_mode:
    support: N/A
    details:
      - This action does not modify state.
  idempotent:
    support: full
    details:
      - This action does not modify state.
"""

    # Where a cache_* module looks for caches.
    FIND = r"""
options:
  accounts:
    description:
      - Names or numeric ids of the accounts whose caches are meant; their settings tell where those lie.
      - Without it, as root, every account that has to do with Go and every place that the configuration of a CI system
        on this agent names. As a plain user only the own account, and such places as far as the rights reach.
    type: list
    elements: str
    default: []
  paths:
    description:
      - Absolute paths of caches, besides those found. V(~account/...) and wildcards are expanded on the agent.
      - A path that does not exist is no error. A path that is no cache is one, and nothing is done then; so is an empty
        or relative path, V(off), V(/), a home directory, a Go installation, a repository, and a symlink that another
        user can replace.
    type: list
    elements: str
    default: []
  search_roots:
    description:
      - Directories below which every tree that shows a cache's fingerprint is found, such as V(/builds),
        V(/var/lib/docker/volumes) or V(/cache).
      - Trees of container engines (image layers, containerd, BuildKit, kubelet's pods) are recognised and left alone.
    type: list
    elements: str
    default: []
  discover:
    description:
      - Whether to look for caches by accounts' settings and CI systems' configuration. V(false) leaves O(paths) and
        O(search_roots).
    type: bool
    default: true
"""

    # Modules that keep an account's credentials in a file.
    CREDENTIALS = r"""
options:
  state:
    description:
      - Whether there shall be these credentials, or none.
    type: str
    choices:
      - present
      - absent
    default: present
  account:
    description:
      - Name or uid of the account whose file is meant. The default is the connected user, with C(become) the user that
        one becomes.
      - The file is written with this account's rights and belongs to it. Another account needs root.
    type: str
  services:
    description:
      - Names of further systemd services whose environment is looked at. Those of the usual CI runners are found.
    type: list
    elements: str
    default: []
  run:
    description:
      - A label for the edit, as M(gofleet.cache.settings_undo) takes it. Edits with one label are taken back together.
      - The default is a new label for each call. No secret is kept, so that only entries that were added can be taken
        back; of each there is a salted hash, by which it is known.
    type: str
"""

    # What every cache_* module returns.
    RESULT = r"""
options: {}
notes:
  - Every C(cache_*) module returns the same keys, changed or not, in check mode or not.
  - Sizes are allocated bytes, as C(du) and C(df) count them; a file that has another hard link gives nothing back.
"""
