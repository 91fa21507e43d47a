# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""README.md and the pages of docs/: what stands there is so.

Their snippets run as they stand and print what their comments say, their commands run, their tables
are those of the code, and their links lead somewhere. What is marked `python pydantic` or `python
server` needs a library: the gates `frameworks` and `servers` run it.
"""

import contextlib
import dataclasses
import inspect
import io
import os
import re
import shlex
import signal
import unittest
from typing import Any

from axon_events import EVENT_TYPES
from axon_events.order import Rule

from . import PACKAGE, ROOT, needs
from .host import blocks
from .terminal import Run

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


def every_block(language: str) -> list[tuple[str, str]]:
    """Return the code blocks of a language in all pages, each with the name of its page."""
    pages = [page for page in PAGES if f"```{language}\n" in page.read_text("utf-8")]
    return [(page.name, block) for page in pages for block in blocks(page, language)]


def rows(pattern: str) -> list[Any]:
    """Return the rows of tables that match, in all pages."""
    return [row for page in PAGES for row in re.findall(pattern, page.read_text("utf-8"), re.M)]


@unittest.skipIf(PACKAGE != "axon_events", "the pages call the package by its own name")
class Documents(unittest.TestCase):
    def test_there_are_pages(self) -> None:
        self.assertIn(ROOT / "docs" / "order.md", PAGES)
        for page in PAGES[1:]:
            self.assertLessEqual(page.read_text("utf-8").count("\n"), 200, page)

    def test_the_snippets_print_what_their_comments_say(self) -> None:
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        for page, snippet in every_block("python"):
            # Beside each call of print, or all together at the end.
            code, _, output = snippet.rstrip("\n").partition("\n# ")
            said = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.M)
            said += output.split("\n# ") if output else []
            out = io.StringIO()
            with self.subTest(snippet, page=page):
                self.skip_what_is_not_to_be_had(snippet)
                # The standard library's server logs each request on stderr.
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                    exec(compile(snippet, page, "exec"), {})
                printed = out.getvalue().splitlines()
                self.assertEqual(len(printed), len(said))
                for line, comment in zip(printed, said, strict=True):
                    if comment.endswith("…"):
                        line = line[: len(comment) - 1] + "…"
                    self.assertEqual(line, comment)

    def skip_what_is_not_to_be_had(self, snippet: str) -> None:
        for module in ("asyncio", "axon_events.runs", "subprocess", "threading"):
            is_imported = re.search(rf"^(?:import|from) {re.escape(module)}\b", snippet, re.M)
            if needs.IN_WEBASSEMBLY and is_imported:
                self.skipTest(f"needs {module}")

    def test_the_first_example_has_ten_lines(self) -> None:
        self.assertLessEqual(blocks(README, "python")[0].count("\n"), 10)

    def test_the_commands_run(self) -> None:
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(ROOT)
        commands = [line[2:] for _, block in every_block("console") for line in block.splitlines()]
        self.assertIn("make test", commands)
        commands.remove("make test")  # which is what runs this test
        for command in commands:
            with self.subTest(command):
                python, option, package, *arguments = shlex.split(command)
                self.assertEqual((python, option, package), ("python3", "-m", PACKAGE))
                run = Run(*arguments)
                self.assertEqual((run.status, run.err), (0, ""))
                self.assertGreater(run.out.count("\n"), 1)

    def test_the_table_of_events_is_the_catalog(self) -> None:
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
        self.assertEqual(rows(r"^\| `(\w+)` \| `(\w+)` \| (.*:.*) \|$"), catalog)

    def test_the_table_of_rules_is_the_one_of_the_code(self) -> None:
        from tools.rules import PAGE, table  # here, since a copy of the tests has no tools

        self.assertIn(f"\n\n{table()}\n", PAGE.read_text("utf-8"), "run python -m tools.rules")
        names = rows(r"^\| `([a-z]+-[a-z-]+)` \| .+ \| .+ \|$")
        self.assertEqual(names, [rule.value for rule in Rule])

    def test_the_make_targets_exist(self) -> None:
        makefile = (ROOT / "Makefile").read_text("utf-8")
        targets = set(re.findall(r"^([a-z-]+):.* ##", makefile, re.M))
        named = re.findall(r"`make ([a-z -]+)`", "".join(p.read_text("utf-8") for p in PAGES))
        self.assertTrue(named)
        for words in named:
            self.assertLessEqual(set(words.split()), targets)

    def test_the_links_lead_to_files(self) -> None:
        found = 0
        for page in PAGES:
            for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
                if "://" not in link:
                    found += 1
                    self.assertTrue((page.parent / link).exists(), f"{page.name}: {link}")
        self.assertGreater(found, 2)


if __name__ == "__main__":
    unittest.main()
