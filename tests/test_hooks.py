# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The suite itself: a run fails on an exception that only a hook has seen."""

import io
import threading
import unittest
from collections.abc import Callable
from typing import NoReturn
from unittest import mock

from . import NothingUncaught, needs


def fail() -> NoReturn:
    raise ZeroDivisionError


class Loud:
    """Fails when it is collected."""

    def __del__(self) -> None:
        fail()


def nothing() -> None:
    pass


def finalizer() -> None:
    Loud()


def thread() -> None:
    failing = threading.Thread(target=fail)
    failing.start()
    failing.join()


@needs.threads
class Hooks(unittest.TestCase):
    def test_a_run_fails_on_what_only_a_hook_has_seen(self) -> None:
        cases: list[tuple[Callable[[], None], int, str]] = [
            (nothing, 0, "OK"),
            (finalizer, 1, "ZeroDivisionError"),
            (thread, 1, "died of ZeroDivisionError"),
        ]
        for noise, failures, text in cases:
            with self.subTest(noise.__name__), mock.patch(f"{__package__}._uncaught", []):
                last = NothingUncaught("test_no_exception_was_left_to_a_hook")
                suite = unittest.TestSuite([unittest.FunctionTestCase(noise), last])
                out = io.StringIO()
                result = unittest.TextTestRunner(out, verbosity=0).run(suite)
                self.assertEqual(len(result.failures), failures)
                self.assertIn(text, out.getvalue())


if __name__ == "__main__":
    unittest.main()
