# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line gofleet-cache as a file on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cli_archive
short_description: The program gofleet-cache as one file, made from this collection
version_added: 1.0.0
author:
  - The gofleet.cache authors (@gofleet)
description:
  - The modules' engine also runs without Ansible, as one file that Python 3.8 or later runs. This lookup makes that
    file from the installed collection and returns its path on the controller.
  - The same collection gives the same bytes on every controller, so that a copy to an agent changes nothing the second
    time.
  - The file lies in Ansible's temporary directory of the run (C(DEFAULT_LOCAL_TMP)), which only the user who runs
    Ansible can read, and which goes when Ansible ends.
  - Without Ansible, the same file is written by C(python3 plugins/plugin_utils/_archive.py gofleet-cache.pyz) in the
    collection's folder.
options:
  _terms:
    description: None is needed, and none is accepted.
    type: list
    elements: str
    default: []
  python:
    description:
      - Absolute path of the interpreter in the file's first line, which counts when the file is run by its own name.
    type: path
    default: /usr/bin/python3
seealso:
  - ref: ansible_collections.gofleet.cache.cache_schedule_role
    description: The role that installs it, with a timer.
"""

EXAMPLES = r"""
- name: Install the program gofleet-cache
  ansible.builtin.copy:
    src: "{{ lookup('gofleet.cache.cli_archive') }}"
    dest: /usr/local/bin/gofleet-cache
    owner: root
    group: root
    mode: "0755"
  become: true

- name: Install it for another Python
  ansible.builtin.copy:
    src: "{{ lookup('gofleet.cache.cli_archive', python='/usr/bin/python3.11') }}"
    dest: /usr/local/bin/gofleet-cache
    mode: "0755"
  become: true
"""

RETURN = r"""
_raw:
  description: One item, the path of the file on the controller.
  type: list
  elements: path
  sample:
    - /home/user/.ansible/tmp/ansible-local-4242qxyz/gofleet-cache-4f9c6f0b3f1c2a5d.pyz
"""

import hashlib
import os
import stat
import tempfile
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.gofleet.cache.plugins.plugin_utils import _archive


def write(data: bytes, folder: str) -> str:
    """Puts *data* into a file in *folder*, named by its content, and returns its path. Raises OSError.

    The folder must be this user's own, and closed to others: nobody else may change what root will run on the agents.
    """
    st = os.lstat(folder)
    if not stat.S_ISDIR(st.st_mode) or st.st_uid != os.geteuid() or st.st_mode & 0o022:
        raise PermissionError("%s is not a folder that only its owner, this user, may write" % folder)
    path = os.path.join(folder, "gofleet-cache-%s.pyz" % hashlib.sha256(data).hexdigest()[:16])
    # Many agents ask at the same time, each in a process of its own.
    fd, draft = tempfile.mkstemp(dir=folder, prefix=".gofleet-cache-")
    try:
        with os.fdopen(fd, "wb") as handle:
            handle.write(data)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return path


class LookupModule(LookupBase):  # type: ignore[misc]
    """Entry point for Ansible's plugin loader."""

    def run(self, terms: t.Sequence[str], variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        if terms:
            raise AnsibleError("cli_archive: takes no terms, got %r" % (list(terms),))
        try:
            return [write(_archive.build(self.get_option("python")), C.DEFAULT_LOCAL_TMP)]
        except (OSError, ValueError) as error:
            raise AnsibleError("cli_archive: %s" % error) from error
