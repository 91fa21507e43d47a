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

USE = """
import sys
from vendor.axon_events import StepToken, from_json, to_json
event = StepToken("Draft", "Hi", 1, 2)
print(from_json(to_json(event)) == event)
from vendor.axon_events.cli import main
print(main(["verify", "../corpus"]), "axon_events" in sys.modules)
import pickle
from vendor.axon_events.order import Rule, StreamChecker
pickle.loads(pickle.dumps(StreamChecker(allow={Rule.TOKEN_GAP})))
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
        write_part(self.host.parent / "corpus")

    def test_it_works_and_verifies_under_its_other_name(self) -> None:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", USE],
            capture_output=True,
            text=True,
            cwd=self.host,
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        first, *_, judgement, status, pickled = run.stdout.splitlines()
        self.assertEqual((first, status), ("True", "0 False"))
        self.assertEqual(pickled, "vendor.axon_events.order True")
        self.assertTrue(judgement.endswith(" agrees with the corpus"), judgement)


if __name__ == "__main__":
    unittest.main()
