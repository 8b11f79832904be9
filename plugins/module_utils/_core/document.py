# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that strangers wrote."""

from __future__ import annotations

import json
import re
from typing import Any, Union

#: Far more than any document of ours or of Go's has.
DEPTH = 100
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def read_json(text: Union[str, bytes], **options: Any) -> Any:
    """The value that a JSON text stands for, as json.loads gives it; bytes are UTF-8. Raises ValueError.

    Also for a text that nests more than a hundred levels deep: Python 3.8 may end the whole process where the error
    about that is caught ("Cannot recover from stack overflow", bpo-42500).
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    if text.count("[") + text.count("{") > DEPTH:
        depth = 0
        for token in _TOKEN.finditer(text):
            sign = token.group()
            depth += 1 if sign in "[{" else -1 if sign in "]}" else 0
            if depth > DEPTH:
                raise ValueError("the document nests more than %d levels deep" % DEPTH)
    return json.loads(text, **options)
