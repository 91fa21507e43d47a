# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The suite itself: a run fails on an exception that only a hook has seen."""

import subprocess
import sys
import unittest

from . import ROOT, needs

NOISY = """
import sys, threading, unittest
import {tests} as tests

class Noisy(unittest.TestCase):
    def test_noise(self):
        {body}

suite = unittest.TestSuite(
    [Noisy("test_noise"), tests.NothingUncaught("test_no_exception_was_left_to_a_hook")]
)
result = unittest.TextTestRunner(verbosity=0).run(suite)
sys.exit(len(result.failures))
"""
QUIET = "pass"
FINALIZER = "type('Loud', (), {'__del__': lambda self: 1 / 0})()"
THREAD = "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()"


@needs.processes
class Hooks(unittest.TestCase):
    def test_a_run_fails_on_what_only_a_hook_has_seen(self) -> None:
        for body, failures, text in (
            (QUIET, 0, "OK"),
            (FINALIZER, 1, "ZeroDivisionError"),
            (THREAD, 1, "died of ZeroDivisionError"),
        ):
            with self.subTest(body):
                run = subprocess.run(
                    [
                        sys.executable,
                        "-W",
                        "error",
                        "-c",
                        NOISY.format(body=body, tests=__package__),
                    ],
                    capture_output=True,
                    text=True,
                    cwd=ROOT,
                )
                self.assertEqual(run.returncode, failures, run.stderr)
                self.assertIn(text, run.stderr)


if __name__ == "__main__":
    unittest.main()
