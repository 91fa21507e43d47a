# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Checks that take minutes, or need a tool: `python -m tests.gates.NAME` runs one of them.

`README.md` lists them. `make test` neither runs nor imports them.
"""

import unittest


def load_tests(
    loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None
) -> unittest.TestSuite:
    """Keep discovery out of this folder (the protocol of `unittest`)."""
    return unittest.TestSuite()
