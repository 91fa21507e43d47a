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

from . import needs
from .corpora import write_part
from .terminal import Run, imported

USE = """
from vendor.axon_events import StepToken, from_json, to_json
event = StepToken("Draft", "Hi", 1, 2)
print(from_json(to_json(event)) == event, "axon_events" in __import__("sys").modules)
"""


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
        write_part(self.host.parent / "corpus")

    @needs.processes
    def test_the_package_works_under_its_other_name(self) -> None:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", USE],
            capture_output=True,
            text=True,
            cwd=self.host,
        )
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "True False\n", ""))

    def test_verify_works_under_its_other_name(self) -> None:
        with imported(self.host / "vendor") as other:
            run = Run("verify", self.host.parent / "corpus", main=other.main)
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertIn("agrees with the corpus\n", run.out)


if __name__ == "__main__":
    unittest.main()
