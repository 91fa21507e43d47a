# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The tests: `make test`, or `python -W error -m unittest discover -t . -s tests`.

They import `axon_events`, and which copy that is, one line decides: a repository that has
vendored the folder, and this one, run the same suite.
"""

import gc
import importlib
import pkgutil
import sys
import threading
import unittest
from pathlib import Path

PACKAGE = "axon_events"  # or, to test another copy, "host._vendor.axon_events"

ROOT = Path(__file__).resolve().parent.parent


def _alias(name: str) -> None:
    """Make `axon_events` and its modules the ones of the package of that name."""
    package = importlib.import_module(name)
    sys.modules["axon_events"] = package
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith(".__main__"):
            alias = "axon_events" + module.name.removeprefix(name)
            sys.modules[alias] = importlib.import_module(module.name)


if PACKAGE != "axon_events":
    _alias(PACKAGE)

# The one beside the package, as `make vendor` leaves them; beside an installed one there is none.
CORPUS = Path(importlib.import_module(PACKAGE).__path__[0]).resolve().parent / "corpus"
if not CORPUS.is_dir():
    CORPUS = ROOT / "corpus"

# What was raised where nobody could catch it. A test that expects such a call replaces the hook.
_uncaught: list[str] = []


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    _uncaught.append(f"{args.err_msg or 'exception ignored'}: {args.object!r}: {args.exc_value!r}")


def _thread_died(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:  # as the hook of the standard library does
        return
    _uncaught.append(f"{args.thread} died of {args.exc_value!r}")


sys.unraisablehook = _unraisable
threading.excepthook = _thread_died


class NothingUncaught(unittest.TestCase):
    """The last test of a run: no finalizer and no thread has failed unseen."""

    def test_no_exception_was_left_to_a_hook(self) -> None:
        gc.collect()
        self.assertEqual(_uncaught, [])


def load_tests(
    loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None
) -> unittest.TestSuite:
    """Load all tests of the folder, `NothingUncaught` last (the protocol of `unittest`)."""
    folder = str(Path(__file__).parent)
    found = loader.discover(folder, pattern or "test*.py", str(ROOT))
    return unittest.TestSuite([found, NothingUncaught("test_no_exception_was_left_to_a_hook")])
