# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The suite itself: a run fails on an exception that only a hook has seen, and imports no gate."""

import ast
import re
import subprocess
import sys
import unittest
from pathlib import Path

from . import ROOT, needs

GATES = Path(__file__).parent / "gates"

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


class Gates(unittest.TestCase):
    def test_no_test_imports_a_gate(self) -> None:
        package = f"{__package__}.gates."
        self.assertEqual([name for name in sys.modules if name.startswith(package)], [])

    def test_its_page_has_the_promise_of_each_gate(self) -> None:
        promises = []
        for path in sorted([*GATES.glob("*.py"), *GATES.glob("*/__main__.py")]):
            source = path.read_text("utf-8")
            if '__name__ == "__main__"' in source:
                name = path.parent.name if path.stem == "__main__" else path.stem
                promise = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
                promises.append((name, promise))
        page = (GATES / "README.md").read_text("utf-8")
        self.assertGreater(len(promises), 10)
        self.assertEqual(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.M), sorted(promises))


if __name__ == "__main__":
    unittest.main()
