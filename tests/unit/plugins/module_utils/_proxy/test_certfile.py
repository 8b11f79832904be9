# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import calendar
import pathlib
import re
import ssl
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._proxy import certfile


def _der(certificate: pathlib.Path) -> bytes:
    text = certificate.read_text(encoding="utf-8")
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])


def test_the_end_is_the_one_that_openssl_tells(certificate: pathlib.Path) -> None:
    said = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"], capture_output=True, text=True, check=True
    ).stdout
    wanted = ssl.cert_time_to_seconds(said.strip().partition("=")[2])
    data = certificate.read_bytes()
    assert certfile.ends(data) == wanted
    assert certfile.days_left(data) == 9
    assert certfile.ends(_der(certificate)) == wanted, "as DER too"


def test_the_first_of_a_chain_is_the_one_that_is_presented(certificate: pathlib.Path) -> None:
    other = _der(certificate)
    times = re.findall(rb"[0-9]{12}Z", other)
    other = other.replace(times[1], b"010203040506Z")
    first, second = ssl.DER_cert_to_PEM_cert(other).encode(), certificate.read_bytes()
    assert certfile.ends(first + second) == calendar.timegm((2001, 2, 3, 4, 5, 6))
    left = certfile.days_left(first)
    assert left is not None
    assert left < -9000, "one that has ended counts backwards"


@pytest.mark.parametrize(
    ("tag", "text", "wanted"),
    [
        (0x17, "491231235959Z", (2049, 12, 31, 23, 59, 59)),
        (0x17, "500101000000Z", (1950, 1, 1, 0, 0, 0)),
        (0x18, "20500101000000Z", (2050, 1, 1, 0, 0, 0)),
        (0x18, "99991231235959Z", (9999, 12, 31, 23, 59, 59)),
        (0x18, "20501301000000Z", None),
        (0x17, "4912312359Z", None),
        (0x04, "491231235959Z", None),
    ],
)
@pytest.mark.parametrize("version", [b"\xa0\x03\x02\x01\x02", b""])
def test_both_kinds_of_time_and_certificates_of_version_1(
    tag: int, text: str, wanted: tuple[int, ...] | None, version: bytes
) -> None:
    def value(tag: int, *inside: bytes) -> bytes:
        body = b"".join(inside)
        return bytes([tag, 0x81, len(body)]) + body

    validity = value(0x30, value(0x17, b"000101000000Z"), value(tag, text.encode()))
    data = value(0x30, value(0x30, version, value(2, b"1"), value(0x30), value(0x30), validity))
    assert certfile.ends(data) == (None if wanted is None else calendar.timegm(wanted))


@given(st.binary(max_size=300))
@example(b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n")
@example(b"\x30\x84\xff\xff\xff\xff")
@example(b"\x30")
def test_what_is_no_certificate_has_no_end_and_raises_nothing(data: bytes) -> None:
    assert certfile.ends(data) is None
