# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A small repository that vendors the package, and the commands of VENDORING.md to run in it.

The tests run most of them; the gate `vendoring` runs all of them, and mypy.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from . import ROOT

VENDORING = ROOT / "VENDORING.md"

FILES = {
    ".gitignore": "__pycache__/\n*.jsonl\nCargo.lock\n",  # rules that hit files of the copy
    "host/__init__.py": "",
    "host/report.py": '''"""What this repository does with the copy."""

from ._vendor.axon_events import Event, StepToken, from_json, to_json
from ._vendor.axon_events.emit import FlowEmitter
from ._vendor.axon_events.order import check
from ._vendor.axon_events.summary import summarize


def run() -> list[str]:
    events: list[Event] = []
    with (
        FlowEmitter(events.append, flow_name="Report", backend="local") as flow,
        flow.step("Draft", step_type="generate") as step,
    ):
        step.token("Hello")
    return [to_json(event) for event in events]


def text(lines: list[str]) -> str:
    events = [from_json(line) for line in lines]
    if check(events) or summarize(events).success is not True:
        raise ValueError("the flow is broken")
    return "".join(event.content for event in events if isinstance(event, StepToken))
''',
    "tests/__init__.py": "",
    "tests/test_report.py": """import unittest

from host.report import run, text


class Report(unittest.TestCase):
    def test_a_flow_comes_back(self) -> None:
        self.assertEqual(text(run()), "Hello")
""",
}

HAS_GIT = shutil.which("git") is not None

HOST_SUITE = "python3 -W error -m unittest discover -t . -s tests"


class Host:
    """The repository, of git where that is to be had, in a folder beside a link to the checkout.

    `root` is its root. The checkout is `../axon_events` there, as in VENDORING.md.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "host-repository"
        for name, source in FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        (folder / "axon_events").symlink_to(ROOT, target_is_directory=True)
        # `python3` in a command is the Python that runs the tests.
        python3 = folder / "bin" / "python3"
        python3.parent.mkdir()
        python3.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        python3.chmod(0o755)
        path_variable = f"{python3.parent}{os.pathsep}{os.environ['PATH']}"
        # What `make test` was told is not meant for a make inside of it.
        told = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON", "DEST", "FORCE", "CLI", "ONLY")
        # Nor is what git tells a hook that runs the tests.
        self._environment = {
            k: v for k, v in os.environ.items() if k not in told and not k.startswith("GIT_")
        }
        self._environment["PATH"] = path_variable
        if HAS_GIT:
            self.run("git init --quiet")

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a shell command in the root; its output and its errors are one text, `stdout`."""
        return subprocess.run(
            ["/bin/sh", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            cwd=self.root,
            env=self._environment,
        )


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's code blocks of a language, one or more."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    if not found:
        raise AssertionError(f"{page.name} has no {language}")
    return found


def commands() -> list[str]:
    """Return the commands of VENDORING.md."""
    found = blocks(VENDORING, "console")
    return [line.removeprefix("$ ") for block in found for line in block.splitlines()]
