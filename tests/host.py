# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A small repository that has vendored the package; `python -m tests.host` tries all of it there.

It builds one and runs each command of VENDORING.md in it, with the whole suite. Then it copies only
what a runtime needs, and runs the repository's own suite and mypy --strict, which must find the
faults of a module that misuses the copy and no others. At last it copies each module alone, which
must import, verify and type-check. `make test` does the same without what is slow or needs mypy.
Run by `.ci/run`.
"""

import importlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

from . import ROOT

VENDORING = ROOT / "VENDORING.md"

FILES = {
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

# Each line of it has one fault, which a type checker finds if it sees the types of the copy.
MISUSE = """from host._vendor.axon_events import StepToken, to_json
StepToken("Draft", "Hello", "1", 2)
to_json("no event")
StepToken("Draft", "Hello", 1, 2).content = "frozen"
"""

HOST_SUITE = "python3 -W error -m unittest discover -t . -s tests"


class Host:
    """The repository, in a folder of its own beside a link to the checkout.

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
        self._environment = {k: v for k, v in os.environ.items() if k not in told}
        self._environment["PATH"] = path_variable

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


def alone(module: str, mypy: str) -> list[str]:
    """Return commands that copy one module alone, and try it there."""
    dest = f"only_{module}/_vendor"
    package = dest.replace("/", ".") + ".axon_events"
    return [
        f'make -C ../axon_events vendor DEST="$PWD/{dest}" ONLY={module}',
        f"python3 -W error -m {package} verify",
        f'python3 -W error -c "import {package}.{module}"',
        f"python3 -W error -m {package} show -; test $? = 2",
        f"{mypy} {dest}",
    ]


def main() -> int:
    """Try all of it; return 0 if all is well."""
    vendor: Any = importlib.import_module("tools.vendor")  # here: a copy of the tests has none
    modules = vendor.public(vendor.modules_of(vendor.contents(ROOT)))
    mypy = f"{shlex.quote(sys.executable)} -m mypy --strict --python-version 3.10"
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        for command in (
            *commands(),
            'make -C ../axon_events vendor DEST="$PWD/host/_vendor"',
            "python3 -W error -m host._vendor.axon_events verify",
            HOST_SUITE,
            f"{mypy} host tests",
            *chain.from_iterable(alone(module, mypy) for module in modules),
        ):
            run = host.run(command)
            last = run.stdout.rstrip().rpartition("\n")[2]
            print(f"$ {command}", *[last] * bool(last), sep="\n", flush=True)
            if run.returncode:
                print(run.stdout)
                return 1
        (host.root / "misuse.py").write_text(MISUSE, encoding="utf-8")
        run = host.run(f"{mypy} misuse.py")
        found = re.findall(r"^misuse\.py:(\d+): error: ", run.stdout, re.M)
        if found != ["2", "3", "4"]:
            print(f"mypy must find a fault in lines 2, 3 and 4 of the misuse:\n{run.stdout}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
