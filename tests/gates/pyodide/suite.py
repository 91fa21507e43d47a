# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The suite inside the WebAssembly runtime, with each skipped test's name and reason."""

import ast
import sys
import unittest
import warnings
from pathlib import Path

# The part of the tests that must run to the end: a runtime that skips most of them proves little.
# Followers, servers and the runs of a store need threads, which are not to be had there.
MOST = 0.5


def written() -> int:
    """Return how many tests the files of the suite hold."""
    return sum(
        isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for path in Path("tests").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
    )


def run() -> int:
    """Run the tests of the current folder; return the exit status."""
    # As `-W error` does, which the runtime's own start would not survive.
    sys.warnoptions.append("error")
    warnings.simplefilter("error")
    sys.path.insert(0, ".")
    suite = unittest.TestLoader().discover("tests", top_level_dir=".")
    result = unittest.TextTestRunner().run(suite)
    for test, reason in sorted(result.skipped, key=lambda skipped: skipped[0].id()):
        print(f"skipped {test.id().splitlines()[0]}: {reason}")
    print(
        f"Python {sys.version.split()[0]} on {sys.platform}: {result.testsRun} tests, of which"
        f" {len(result.skipped)} are skipped, {len(result.failures) + len(result.errors)} fail"
    )
    if not 0 < written() <= result.testsRun:
        print(f"expected {written()} tests or more", file=sys.stderr)
        return 1
    if result.testsRun - len(result.skipped) < MOST * result.testsRun:
        print(f"expected less than {1 - MOST:.0%} of them to be skipped", file=sys.stderr)
        return 1
    return 0 if result.wasSuccessful() else 1
