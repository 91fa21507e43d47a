# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`__main__`: runs the command line when run, and does nothing when imported."""

import contextlib
import io
import runpy
import unittest
from unittest import mock

from . import PACKAGE


class Main(unittest.TestCase):
    def test_running_it_runs_the_command_line(self) -> None:
        out = io.StringIO()
        with (
            mock.patch("sys.argv", ["axon_events", "--version"]),
            contextlib.redirect_stdout(out),
            self.assertRaises(SystemExit) as caught,
        ):
            runpy.run_module(PACKAGE, run_name="__main__")
        self.assertEqual(caught.exception.code, 0)
        self.assertTrue(out.getvalue().startswith("axon_events "))

    def test_importing_it_runs_nothing(self) -> None:
        self.assertIn("main", runpy.run_module(f"{PACKAGE}.__main__", run_name="imported"))


if __name__ == "__main__":
    unittest.main()
