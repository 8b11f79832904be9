# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proofs: hundreds of builds, cuts, crashes and attacks. Run by `make prove`; docs/proofs.md describes them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prove.main import main  # noqa: E402 (found by the path above)

if __name__ == "__main__":
    sys.exit(main())
