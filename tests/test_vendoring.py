# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The folder copied alone into another repository, under another name."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import axon_events

from . import CORPUS, needs

USE = """
from vendor.axon_events import StepToken, from_json, to_json
event = StepToken("Draft", "Hi", 1, 2)
print(from_json(to_json(event)) == event, "axon_events" in __import__("sys").modules)
"""

PICKLE = """
import pickle
from vendor.axon_events.order import Rule, StreamChecker
checker = pickle.loads(pickle.dumps(StreamChecker(allow={Rule.TOKEN_GAP})))
print(Rule.__module__, pickle.loads(pickle.dumps(Rule.TOKEN_GAP)) is Rule.TOKEN_GAP)
"""


@needs.processes
class Vendored(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.host = Path(temporary.name) / "host"
        shutil.copytree(
            Path(axon_events.__file__).parent,
            self.host / "vendor" / "axon_events",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        shutil.copytree(
            CORPUS, self.host.parent / "corpus", ignore=shutil.ignore_patterns("reference")
        )

    def run_python(self, *arguments: str) -> tuple[int, str, str]:
        run = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=self.host,
        )
        return run.returncode, run.stdout, run.stderr

    def test_the_package_works_under_its_other_name(self) -> None:
        self.assertEqual(self.run_python("-c", USE), (0, "True False\n", ""))

    def test_its_pickles_name_it_by_its_other_name(self) -> None:
        said = self.run_python("-c", PICKLE)
        self.assertEqual(said, (0, "vendor.axon_events.order True\n", ""))

    def test_verify_works_under_its_other_name(self) -> None:
        status, out, err = self.run_python("-m", "vendor.axon_events", "verify", "../corpus")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("agrees with the corpus\n", out)


if __name__ == "__main__":
    unittest.main()
