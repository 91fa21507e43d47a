# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The README: its snippets run as they stand and print what they say."""

import contextlib
import dataclasses
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from axon_events import EVENT_TYPES, jsonl
from axon_events.order import RULES, Rule

from . import PACKAGE, ROOT, needs
from .host import blocks

README = ROOT / "README.md"


SERVE = """
import itertools
import sys

from axon_events import jsonl

with open(sys.argv[1], "rb") as file:
    for event in itertools.islice(jsonl.read(file), int(sys.argv[2])):
        log.append(event)
server = make_server("127.0.0.1", int(sys.argv[3]), app, Server)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def served(program: Path, recording: Path, count: int, *, port: int) -> Iterator[int]:
    """Run a server of the first events of a recording, give its port, and kill it at last."""
    with subprocess.Popen(
        [sys.executable, program, recording, str(count), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as server:
        try:
            yield int(server.stdout.readline())  # type: ignore[union-attr]  # it is a pipe
        finally:
            server.kill()


@unittest.skipIf(PACKAGE != "axon_events", "the README calls the package by its own name")
class Readme(unittest.TestCase):
    def test_the_snippets_print_what_their_comments_say(self) -> None:
        for snippet in blocks(README, "python"):
            # Beside each call of print, or all together at the end.
            code, _, output = snippet.rstrip("\n").partition("\n# ")
            said = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.M)
            said += output.split("\n# ") if output else []
            out = io.StringIO()
            with self.subTest(snippet):
                self.skip_what_is_not_to_be_had(snippet)
                # The standard library's server logs each request on stderr.
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                    exec(compile(snippet, "README.md", "exec"), {})
                printed = out.getvalue().splitlines()
                self.assertEqual(len(printed), len(said))
                for line, comment in zip(printed, said, strict=True):
                    if comment.endswith("…"):
                        line = line[: len(comment) - 1] + "…"
                    self.assertEqual(line, comment)

    def skip_what_is_not_to_be_had(self, snippet: str) -> None:
        for module in ("asyncio", "subprocess", "threading"):
            if needs.IN_WEBASSEMBLY and f"import {module}" in snippet:
                self.skipTest(f"needs {module}")

    @needs.processes
    def test_its_client_goes_on_after_the_server_was_killed(self) -> None:
        (application,) = (block for block in blocks(README, "python") if "make_server" in block)
        (client,) = (block for block in blocks(README, "python") if "def events_of" in block)
        names: dict[str, Any] = {}
        exec(compile(client, "README.md", "exec"), names)
        recording = ROOT / "corpus" / "recorded" / "report.jsonl"
        with recording.open("rb") as file:
            events = list(jsonl.read(file))
        # The application with the first events of the recording in its log.
        program = application.partition("\nserver = ")[0] + SERVE
        with tempfile.TemporaryDirectory() as folder, mock.patch("time.sleep"):
            path = Path(folder) / "server.py"
            path.write_text(program, "utf-8")
            with served(path, recording, 300, port=0) as port:
                client = names["events_of"](f"http://127.0.0.1:{port}/")
                received = [next(client) for _ in range(300)]
            with served(path, recording, len(events), port=port):
                received += client
        self.assertEqual(received, events)

    def test_the_first_example_has_ten_lines(self) -> None:
        self.assertLessEqual(blocks(README, "python")[0].count("\n"), 10)

    @needs.processes
    def test_the_commands_run(self) -> None:
        commands = [line[2:] for block in blocks(README, "console") for line in block.splitlines()]
        self.assertIn("make test", commands)
        commands.remove("make test")  # which is what runs this test
        for command in commands:
            with self.subTest(command):
                name, *arguments = shlex.split(command)
                self.assertEqual(name, "python3")
                run = subprocess.run(
                    [sys.executable, "-W", "error", *arguments], capture_output=True, cwd=ROOT
                )
                self.assertEqual((run.returncode, run.stderr), (0, b""))
                self.assertGreater(run.stdout.count(b"\n"), 1)

    def test_the_table_of_events_is_the_catalog(self) -> None:
        rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.*:.*) \|$", README.read_text("utf-8"), re.M)
        catalog = [
            (
                cls.__name__,
                kind,
                ", ".join(
                    f"`{f.name}: {inspect.formatannotation(f.type)}`"
                    for f in dataclasses.fields(cls)
                ),
            )
            for kind, cls in EVENT_TYPES.items()
        ]
        self.assertEqual(rows, catalog)

    def test_the_table_of_rules_is_the_one_of_the_checker(self) -> None:
        rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", README.read_text("utf-8"), re.M)
        self.assertEqual(
            [row for row in rows if row[0] in {rule.value for rule in Rule}],
            [(rule.value, *words) for rule, words in RULES.items()],
        )

    def test_its_make_targets_exist(self) -> None:
        makefile = (ROOT / "Makefile").read_text("utf-8")
        targets = set(re.findall(r"^([a-z-]+): ##", makefile, re.M))
        named = re.findall(r"`make ([a-z -]+)`", README.read_text("utf-8"))
        self.assertTrue(named)
        for words in named:
            self.assertLessEqual(set(words.split()), targets)


if __name__ == "__main__":
    unittest.main()
