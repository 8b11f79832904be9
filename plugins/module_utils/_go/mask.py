# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials out of everything that is shown.

Too much masked costs a look at the file; too little costs a password. So where the two cannot be told apart, mask.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Set

MASK = "***"

# Texts come from files of anybody. So that none takes long, the expressions look at one word at a time, of which a
# longer one that may hold a credential is masked whole, and begin where they cannot begin at each letter.
_WORDS = re.compile(r"\S+")
_LONG = 4096
# scheme://userinfo@host: the authority ends at the first "/"; a "?" or "#" before an @ is taken for part of a password.
_URL = re.compile(r"(://)[^/\s]*@")
# A password with an unescaped "/": the "port" after the first colon is no number, so the authority goes on.
_URL_SLASH = re.compile(r"(://)[^/@\s:\[,|]*:(?!\d{1,5}(?:[/,|\s?#]|$))[^\s,|]*@")
# user:password@host without a scheme, as GOPROXY allows it.
_BARE = re.compile(r"(^|[,|;\s='\"(])[^\s,|;:/@='\"(]+:(?!//)[^\s,|;'\"/]*@(?=[^\s@])")
# ?token=..., --password=..., --token ..., -X main.secret=...
_NAMED = re.compile(
    r"(?i)((?:token|passw(?:or)?d|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|credential|signature|sig)"
    r"[a-z0-9_\-]{0,256}(?:=|:\s?|\s+))(\"[^\"]*\"|'[^']*'|[^\s&,|;'\"]+)"
)
_HEADER = re.compile(r"(?i)((?:basic|bearer)\s+)[A-Za-z0-9+/._~\-]{8,}=*")

#: Variables whose every list item is a host or a URL: there a bare user@host is a credential as well.
_SSH = re.compile(r"(?:(?:git\+)?ssh://)?[^\s,|:/@]+@[^\s,|@]*\Z")

_URL_VARIABLES = ("GOPROXY", "GOSUMDB")
_BARE_USER = re.compile(r"(^|[,|\s])[^\s,|:/@]+@(?=[^\s@])")


def _word(found: re.Match[str]) -> str:
    text = found.group()
    if "@" not in text:
        return text
    if len(text) > _LONG:
        return MASK
    text = _URL_SLASH.sub(r"\1" + MASK + "@", text)
    text = _URL.sub(r"\1" + MASK + "@", text)
    return _BARE.sub(r"\1" + MASK + "@", text)


def mask(text: str) -> str:
    """The text with the userinfo of every URL, and the values of arguments named like secrets, replaced by ***.

    >>> mask("https://ci:s3cret@proxy.example.com,direct")
    'https://***@proxy.example.com,direct'
    """
    if "@" in text:
        text = _WORDS.sub(_word, text)
    text = _HEADER.sub(r"\1" + MASK, text)
    return _NAMED.sub(r"\1" + MASK, text)


def mask_value(name: str, value: str) -> str:
    """The value of the variable name, fit to be shown: mask(), and what only this variable's grammar makes a secret."""
    value = mask(value)
    if name in _URL_VARIABLES and "@" in value:
        value = _BARE_USER.sub(r"\1" + MASK + "@", value)
    return value


def hidden(values: Mapping[str, Optional[str]]) -> List[str]:
    """The names whose values hold credentials, sorted."""
    return sorted(name for name, value in values.items() if value is not None and mask_value(name, value) != value)


def secrets(given: Any, name: str = "") -> List[str]:
    """Texts in options (a value, a list, or values by name) that must not be shown: those that hold credentials, whole,
    and the credentials by themselves."""
    if isinstance(given, Mapping):
        return [text for key, value in given.items() for text in secrets(value, str(key))]
    if isinstance(given, (list, tuple)):
        return [text for value in given for text in secrets(value, name)]
    # git@ in an SSH address is nobody's secret.
    if not isinstance(given, str) or mask_value(name, given) == given or _SSH.match(given):
        return []
    found = [given]
    for userinfo in re.findall(r"(?://|^|[\s,|])([^\s,|]*)@", given):
        found += [part for part in (userinfo, userinfo.partition(":")[2]) if len(part) > 2]
    return found


class MaskedErrors:
    """For a module, in front of AnsibleModule: what its errors tell of the options, also those about a missing or wrong
    option, which come before any code of ours runs, holds no credentials."""

    params: Dict[str, Any]
    no_log_values: Set[str]

    def fail_json(self, msg: str, **kwargs: Any) -> Any:
        """As AnsibleModule's."""
        self.no_log_values.update(secrets(self.params))
        return super().fail_json(msg, **kwargs)  # type: ignore[misc]
