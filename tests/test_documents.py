# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""README.md and the pages of docs/: what they say is true.

Their snippets run and print what their comments say, their commands run and print what stands below
them, their tables are those of the code. The links of every page of the repository lead somewhere,
anchors included. Snippets marked `python pydantic` or `python server` need a library: the gates
`frameworks` and `servers` run them.
"""

import asyncio
import contextlib
import dataclasses
import inspect
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from axon_events import EVENT_TYPES, __version__, sse
from axon_events.order import Rule

from . import PACKAGE, ROOT, needs
from .host import blocks
from .terminal import Run

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
OTHER_PAGES = [
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "VENDORING.md",
    ROOT / "corpus" / "README.md",
    ROOT / "tests" / "gates" / "README.md",
]


def every_block(language: str) -> list[tuple[str, str]]:
    """Return the code blocks of a language in all pages, each with the name of its page."""
    pages = [page for page in PAGES if f"```{language}\n" in page.read_text("utf-8")]
    return [(page.name, block) for page in pages for block in blocks(page, language)]


def rows(pattern: str) -> list[Any]:
    """Return the rows of tables that match, in all pages."""
    return [row for page in PAGES for row in re.findall(pattern, page.read_text("utf-8"), re.M)]


def links(page: Path) -> list[tuple[str, str]]:
    """Return the file and the anchor of each link and picture in the repository; "" for none."""
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.M | re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(
        r'(?:src|srcset|href)="([^"]+)"', text
    )
    return [
        (file, anchor)
        for file, _, anchor in (link.partition("#") for link in found)
        if "://" not in file
    ]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@unittest.skipIf(PACKAGE != "axon_events", "the pages call the package by its own name")
class Documents(unittest.TestCase):
    def test_there_are_pages(self) -> None:
        self.assertIn(ROOT / "docs" / "order.md", PAGES)
        for page in PAGES[1:]:
            self.assertLessEqual(page.read_text("utf-8").count("\n"), 200, page)
        self.assertLessEqual(README.read_text("utf-8").count("\n"), 150)

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

    @needs.processes
    @unittest.skipIf(os.name != "posix", "needs a POSIX shell")
    def test_the_commands_print_what_stands_below_them(self) -> None:
        shown = [block for _, block in every_block("text") if block.startswith("$ ")]
        shown = [block for block in shown if " serve " not in block]  # which does not end
        self.assertTrue(shown)
        for block in shown:
            command, *expected = block.splitlines()
            with self.subTest(command):
                done = subprocess.run(
                    command[2:].replace("python3", shlex.quote(sys.executable)),
                    shell=True,
                    capture_output=True,
                    text=True,
                    encoding="utf-8",
                    cwd=ROOT,
                    env={**os.environ, "PYTHONIOENCODING": "utf-8"},
                )
                self.assertEqual(done.stderr, "")
                printed = done.stdout.splitlines()
                self.assertEqual(len(printed), len(expected))
                for line, there in zip(printed, expected, strict=True):
                    self.assertEqual(
                        line[: len(there) - 1] + "…" if there[-1] == "…" else line, there
                    )

    def test_the_picture_in_text_is_what_show_prints(self) -> None:
        (shown,) = (block for _, block in every_block("text") if block.startswith("Harbour"))
        with mock.patch.dict(os.environ, {"NO_COLOR": "1"}):
            run = Run("show", ROOT / "corpus" / "recorded" / "report.jsonl", columns=80)
        self.assertEqual(run.out, shown)

    @needs.threads
    @needs.asyncio_run
    def test_the_producer_of_the_readme_serves_its_run(self) -> None:
        (code,) = (block for block in blocks(README, "python") if "web.asgi" in block)
        names: dict[str, Any] = {}
        exec(compile(code, "README.md", "exec"), names)
        sent: list[Any] = []

        async def stays() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/events", "headers": []}
        asyncio.run(names["app"]({**scope, "query_string": b""}, stays, send))
        events = sse.read([message.get("body", b"") for message in sent])
        text = "".join(event.content for event in events if event.kind == "step_token")
        self.assertEqual(text, "Hello, world")

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

    def test_what_is_said_of_rust_is_the_enum(self) -> None:
        page = (ROOT / "docs" / "events.md").read_text("utf-8")
        said = page.partition("## In Rust")[2].partition("\n## ")[0]
        source = (ROOT / "corpus" / "reference" / "src" / "event.rs").read_text("utf-8")
        (attribute,) = re.findall(r"`(#\[serde.*?\])`", said)
        self.assertIn(f"\n{attribute}\npub enum FlowExecutionEvent {{\n", source)
        self.assertIn(" `step_index` and `steps_executed` are `usize`", said)
        enum = source.partition("\npub enum ")[2].partition("\n}")[0]
        types = {
            field: {"str": "String", "bool": "bool", "int": "u64"}[cls]
            for field, cls in re.findall(r"`(\w+): (str|int|bool)`", page)
        }
        types |= {"step_index": "usize", "steps_executed": "usize"}
        self.assertEqual(dict(re.findall(r"^ {8}(\w+): (\w+),$", enum, re.M)), types)

    def test_the_table_of_the_readme_is_the_catalog(self) -> None:
        table = re.findall(r"^\| `(\w+)` \| [^|`]+ \| (.*) \|$", README.read_text("utf-8"), re.M)
        fields = {
            cls.__name__: [f.name for f in dataclasses.fields(cls) if f.name != "timestamp_ms"]
            for cls in EVENT_TYPES.values()
        }
        self.assertEqual({name: re.findall(r"`(\w+)`", row) for name, row in table}, fields)

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

    def test_the_version_is_the_newest_of_the_changelog(self) -> None:
        text = (ROOT / "CHANGELOG.md").read_text("utf-8")
        newest, *older = re.findall(r"^## ([0-9.]+)(?: \(.*\))?$", text, re.M)
        self.assertEqual(newest, __version__)
        self.assertTrue(older)

    def test_the_links_lead_somewhere(self) -> None:
        found = 0
        for page in [*PAGES, *OTHER_PAGES]:
            for file, anchor in links(page):
                found += 1
                with self.subTest(page=page.name, file=file, anchor=anchor):
                    target = page.parent / file if file else page
                    self.assertTrue(target.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(target))
        self.assertGreater(found, 60)

    def test_the_readme_leads_to_every_page(self) -> None:
        linked = {(README.parent / file).resolve() for file, _ in links(README)}
        for page in [*PAGES[1:], *OTHER_PAGES]:
            self.assertIn(page.resolve(), linked)


if __name__ == "__main__":
    unittest.main()
