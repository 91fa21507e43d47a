# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The command line of a package in a zip: it has its page, and finds the corpus beside it."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipapp
import zipfile
from pathlib import Path
from typing import Any

import axon_events
from axon_events.cli import conformance, verify

from . import CORPUS, needs
from .corpora import LISTS, write_part

# What each of several command lines prints, and its exit status. Of the server, what it answers.
SEVERAL = """
import threading, urllib.request
from unittest import mock
from axon_events import cli
from axon_events.cli import pages

def ask(server):
    serving = threading.Thread(target=socketserver_forever, args=(server, 0.01))
    serving.start()
    with urllib.request.urlopen(server.url) as answer:
        print(answer.status, answer.headers["Content-Type"], answer.read(15))
    server.shutdown()
    serving.join()

socketserver_forever = pages.Server.serve_forever
pages.Server.serve_forever = ask
for line in ARGUMENTS:
    try:
        print("status", cli.main(line))
    except SystemExit as exit:
        print("exit", exit.code)
"""


@needs.processes
@needs.sockets
class Zip(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name).resolve()
        self.source = self.root / "source"
        shutil.copytree(
            Path(axon_events.__file__).parent,
            self.source / "axon_events",
            ignore=shutil.ignore_patterns("__pycache__"),
        )

    def run_zip(self, name: str, *arguments: list[str]) -> str:
        """Make a zip application of the source, and return what it prints in a folder elsewhere."""
        elsewhere = self.root / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        main = f"ARGUMENTS = {list(arguments)!r}\n{SEVERAL}"
        (self.source / "__main__.py").write_text(main, "utf-8")
        zipapp.create_archive(self.source, self.root / name)
        run = subprocess.run(
            [sys.executable, "-W", "error", self.root / name],
            capture_output=True,
            text=True,
            cwd=elsewhere,
            env={**os.environ, "PYTHONPATH": ""},
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return run.stdout

    def test_it_has_its_page_and_the_corpus_beside_it(self) -> None:
        write_part(self.source / "corpus")
        recorded = str(CORPUS / "recorded" / "failed.jsonl")
        said = self.run_zip(
            "app.pyz",
            ["verify"],
            ["serve", recorded, "--port", "0"],
            ["show", "--html", "page.html", recorded],
        )
        verified, served, shown = said.split("status 0\n")[:3]
        self.assertTrue(verified.endswith(" agrees with the corpus\n"), said)
        self.assertTrue(verified.startswith("corpus.json: 7 entries "), said)
        self.assertTrue(served.endswith("200 text/html; charset=utf-8 b'<!DOCTYPE html>'\n"), said)
        self.assertEqual(shown, f"page.html: 57 events of {recorded}\n")
        page = (self.root / "elsewhere" / "page.html").read_text("utf-8")
        self.assertTrue(page.startswith("<!DOCTYPE html>\n"), page[:100])


class Corpus(unittest.TestCase):
    """The corpus of a package in a zip, without a process of its own."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name).resolve()
        write_part(self.root / "source" / "corpus")
        (self.root / "source" / "host" / "axon_events").mkdir(parents=True)
        (self.root / "source" / "host" / "axon_events" / "__init__.py").touch()

    def package(self) -> zipfile.Path:
        """Return the package in a zip of the source."""
        shutil.make_archive(str(self.root / "app"), "zip", self.root / "source")
        opened = zipfile.ZipFile(self.root / "app.zip")
        self.addCleanup(opened.close)
        return zipfile.Path(opened, "host/axon_events/")

    def test_it_is_beside_the_package_or_beside_the_zip_or_here(self) -> None:
        self.assertEqual(str(verify.default_corpus(self.package())), "corpus")
        write_part(self.root / "corpus")
        self.assertEqual(verify.default_corpus(self.package()), self.root / "corpus")
        shutil.move(self.root / "source" / "corpus", self.root / "source" / "host" / "corpus")
        found = verify.default_corpus(self.package())
        self.assertIsInstance(found, zipfile.Path)
        self.assertEqual(
            [one.lacks for one in conformance.checks(found)], [None] * (len(LISTS) + 2)
        )

    def test_what_it_lacks_is_named(self) -> None:
        for lacking in ("recorded", "corpus.json"):
            path = self.root / "source" / "corpus" / lacking
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            package: Any = self.package()
            corpus = package.parent.parent / "corpus"
            with self.subTest(lacking), self.assertRaises(FileNotFoundError) as caught:
                list(conformance.checks(corpus))
            self.assertEqual(caught.exception.filename, f"{self.root}/app.zip/corpus/{lacking}")
            self.assertEqual(caught.exception.strerror, "No such file or directory")


if __name__ == "__main__":
    unittest.main()
