# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""How much a test does: `make test` is quick, `make test-all` runs the long forms as well."""

import os
import unittest
from typing import Final

ALL: Final = os.environ.get("TEST_ALL") == "1"  # set by `make test-all`

long_form = unittest.skipUnless(ALL, "a long form, which `make test-all` runs")


def rounds(quick: int, long: int) -> int:
    """Return how many rounds, or of what size, a test is to make."""
    return long if ALL else quick
