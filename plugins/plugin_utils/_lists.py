# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What templates give to filters, as plain values."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError


def texts(value: object, who: str, what: str) -> tuple[str, ...]:
    """The texts of a list, or of one string with commas; none for nothing. Raises AnsibleFilterError for the rest.

    who: the filter, and what: its argument, for the error, which does not show the value.
    """
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise AnsibleFilterError("%s: %s is no list of texts" % (who, what))
    return tuple(str(item) for item in value)


def mapping(value: object, who: str, what: str) -> t.Mapping[str, t.Any]:
    """A dictionary with texts as keys; an empty one for nothing. Raises AnsibleFilterError for the rest."""
    if value is None or value == "":
        return {}
    if not isinstance(value, t.Mapping) or not all(isinstance(key, str) for key in value):
        raise AnsibleFilterError("%s: %s is no dictionary with names" % (who, what))
    return value
