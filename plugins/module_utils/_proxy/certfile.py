# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the certificate in a file ends. ``ssl`` tells that of a peer's only, and nothing of the one that is presented.

Format: RFC 7468 (PEM), and of RFC 5280 section 4.1 as much as stands in front of ``validity``.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import re
import time
from typing import List, Optional, Tuple

_PEM = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END ")
_SEQUENCE = 0x30
_VERSION = 0xA0
_UTC, _GENERALIZED = 0x17, 0x18


def ends(data: bytes) -> Optional[int]:
    """Unix seconds after which the file's first certificate (which is the one presented) is refused; None where there
    is none in it that is understood. Raises nothing."""
    pem = _PEM.search(data)
    try:
        body = base64.b64decode(b"".join(pem.group(1).split()), validate=True) if pem else data
        certificate = _parts(body, 0, len(body))[0]
        inside = _parts(body, *_span(certificate, _SEQUENCE))
        fields = _parts(body, *_span(inside[0], _SEQUENCE))
        # version (explicit, left out in version 1), serialNumber, signature, issuer, validity
        validity = fields[4 if fields[0][0] == _VERSION else 3]
        last = _parts(body, *_span(validity, _SEQUENCE))[1]
        return _time(last[0], body[last[1] : last[2]].decode("ascii"))
    except (IndexError, ValueError, binascii.Error):
        return None


def days_left(data: bytes) -> Optional[int]:
    """Whole days until then, negative afterwards."""
    end = ends(data)
    return None if end is None else int((end - time.time()) // 86400)


_Part = Tuple[int, int, int]


def _span(part: _Part, tag: int) -> Tuple[int, int]:
    if part[0] != tag:
        raise ValueError("another tag")
    return part[1:]


def _parts(data: bytes, at: int, end: int) -> List[_Part]:
    """(tag, start, end) of the first values between two offsets, as DER has them (X.690, 8.1 and 10.1)."""
    found: List[_Part] = []
    while at < end and len(found) < 8:
        tag, size = data[at], data[at + 1]
        at += 2
        if size >= 0x80:
            count = size & 0x7F
            if not 0 < count <= 4:
                raise ValueError("no length of DER")
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > end:
            raise ValueError("too short")
        found.append((tag, at, at + size))
        at += size
    return found


def _time(tag: int, text: str) -> int:
    """RFC 5280 section 4.1.2.5: years of two digits are those from 1950 to 2049."""
    if tag == _UTC:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED:
        raise ValueError("no time")
    if not re.match(r"[0-9]{14}Z\Z", text):
        raise ValueError("no time")
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))
