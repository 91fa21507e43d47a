# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The record of a vendored copy, and what `verify` says of a copy that has one."""

import hashlib
import json
import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import axon_events
from axon_events.cli import verify
from axon_events.cli.record import RECORD, Record, contents, edits

from . import CORPUS
from .terminal import Run

# Known from outside: of the empty text and of b"abc" (FIPS 180-2, appendix B.1).
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
LINES = f"{ABC}  axon_events/a.py\n{EMPTY}  corpus/c.json\n"
TEXT = f"""# axon_events 1.2.3
# contents {hashlib.sha256(LINES.encode()).hexdigest()}
# Written by make vendor; sha256sum -c axon_events.sha256 compares.
{LINES}"""


class Copy(unittest.TestCase):
    """A folder with a small copy and its record."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name)
        self.package = self.root / "axon_events"
        self.package.mkdir()
        (self.root / "corpus").mkdir()
        (self.package / "a.py").write_bytes(b"abc")
        (self.root / "corpus" / "c.json").write_bytes(b"")
        (self.root / RECORD).write_bytes(TEXT.encode())

    def write(self, path: str, content: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)

    def test_the_record_has_this_text(self) -> None:
        self.assertEqual(str(Record.of("1.2.3", contents(self.root))), TEXT)

    def test_reading_gives_what_was_written(self) -> None:
        record = Record("1.2.3", {"axon_events/a.py": ABC, "corpus/c.json": EMPTY})
        self.assertEqual(Record.read(TEXT), record)
        self.assertEqual(Record.read(TEXT.replace("\n", "\r\n")), record)

    def test_an_unedited_copy(self) -> None:
        self.assertEqual(edits(self.package), [])

    def test_what_running_and_building_leave_is_no_edit(self) -> None:
        for path in (
            "axon_events/__pycache__/a.cpython-313.pyc",
            "axon_events/cli/__pycache__/b.cpython-313.pyc",
            "axon_events/.DS_Store",
            "corpus/reference/target/release/axon-reference",
            "other.py",
            "__init__.py",
        ):
            self.write(path, b"left behind")
        (self.package / "empty").mkdir()
        self.assertEqual(edits(self.package), [])

    def test_line_ends_and_modes_are_no_edit(self) -> None:
        self.write("axon_events/b.py", b"1\n\n2\n")
        record = Record.of("1.2.3", contents(self.root))
        (self.root / RECORD).write_bytes(str(record).replace("\n", "\r\n").encode())
        self.write("axon_events/b.py", b"1\r\n\r\n2\r\n")
        (self.package / "b.py").chmod(0o700)
        self.assertEqual(edits(self.package), [])
        self.write("axon_events/b.py", b"1\r\n\r2\r\n")
        self.assertEqual(edits(self.package), [("axon_events/b.py", "edited")])

    def test_each_edit_is_told(self) -> None:
        self.write("axon_events/a.py", b"abd")
        (self.root / "corpus" / "c.json").unlink()
        for path in (
            "axon_events/sub/new.py",
            "corpus/target",
            "axon_events/target/x",
            "corpus/.x",
        ):
            self.write(path, b"")
        self.assertEqual(
            edits(self.package),
            [
                ("axon_events/a.py", "edited"),
                ("axon_events/sub/new.py", "added"),
                ("axon_events/target/x", "added"),
                ("corpus/.x", "added"),
                ("corpus/c.json", "missing"),
                ("corpus/target", "added"),
            ],
        )

    def test_a_file_that_moved_is_missing_and_added(self) -> None:
        (self.package / "a.py").rename(self.package / "b.py")
        self.assertEqual(
            edits(self.package), [("axon_events/a.py", "missing"), ("axon_events/b.py", "added")]
        )

    def test_a_folder_that_is_gone(self) -> None:
        shutil.rmtree(self.root / "corpus")
        self.assertEqual(edits(self.package), [("corpus/c.json", "missing")])

    def test_without_a_record_nothing_is_said(self) -> None:
        (self.root / RECORD).unlink()
        self.assertIsNone(edits(self.package))
        (self.root / RECORD).mkdir()
        self.assertIsNone(edits(self.package))

    def test_a_renamed_folder_has_no_record(self) -> None:
        for name in ("events", "axon_events_old"):
            self.assertIsNone(edits(self.root / name))
            (self.root / f"{name}.sha256").write_bytes(TEXT.encode())
            self.assertIsNone(edits(self.root / name))

    def test_a_record_that_was_edited_or_cut(self) -> None:
        lines = TEXT.splitlines(keepends=True)
        conflict = [*lines[:3], "<<<<<<< HEAD\n", *lines[3:]]
        for text in (
            "",
            "\n",
            TEXT.replace(ABC, EMPTY),
            TEXT.replace("a.py", "b.py"),
            *("".join(lines[:n] + lines[n + 1 :]) for n in range(len(lines))),
            "".join([*lines[:3], lines[4], lines[3]]) + lines[4],
            "".join(conflict),
            TEXT + "\n",
            TEXT[:-1] + "x\n",
        ):
            with self.subTest(text):
                self.write(RECORD, text.encode())
                self.assertEqual(
                    edits(self.package),
                    [(RECORD, "expected it as make vendor writes it, got it edited or cut")],
                )
        self.write(RECORD, TEXT.encode() + b"\xff")
        found = edits(self.package)
        self.assertEqual([file for file, _ in found or ()], [RECORD])

    def test_a_file_that_cannot_be_read_is_an_error_of_the_system(self) -> None:
        (self.package / "dangling.py").symlink_to("nowhere")
        with self.assertRaises(FileNotFoundError):
            edits(self.package)


class Contents(unittest.TestCase):
    def test_no_file_has_a_line_end_of_another_kind(self) -> None:
        for folder in (Path(axon_events.__file__).parent, CORPUS):
            for path in folder.rglob("*"):
                inside = path.relative_to(folder).parts
                if path.is_file() and not {"__pycache__", "target"} & {*inside}:
                    with self.subTest(path):
                        # `* text=auto` lets git convert the package's, on platforms that do.
                        content = path.read_bytes()
                        if folder == CORPUS:
                            self.assertNotIn(b"\r", content)
                        self.assertEqual(content.count(b"\r"), content.count(b"\r\n"))
                        self.assertNotIn(b"\0", content)


class Verify(unittest.TestCase):
    """`verify` on a copy that make vendor has recorded."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name)
        module = self.root / "axon_events" / "cli" / "verify.py"
        module.parent.mkdir(parents=True)
        module.write_bytes(b"")
        ignored = shutil.ignore_patterns("reference")
        shutil.copytree(CORPUS, self.root / "corpus", ignore=ignored)
        record = Record.of("1.2.3", contents(self.root))
        (self.root / RECORD).write_text(str(record), encoding="utf-8")
        there = mock.patch.object(verify, "__file__", str(module))
        there.start()
        self.addCleanup(there.stop)

    def test_of_an_unedited_copy(self) -> None:
        run = Run("verify")
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertTrue(
            run.out.endswith(" agrees with the corpus; it is as it was vendored\n"), run.out
        )
        self.assertEqual(json.loads(Run("verify", "--json").out)["edits"], [])

    def test_of_an_edited_copy(self) -> None:
        (self.root / "axon_events" / "new\x1b.py").write_bytes(b"")
        run = Run("verify")
        self.assertEqual((run.status, run.err), (1, ""))
        self.assertEqual(run.out.splitlines()[0], "axon_events/new\\x1b.py: added")
        self.assertTrue(run.out.endswith(" agrees with the corpus; it was edited: 1 file\n"))

        (self.root / "axon_events" / "cli" / "verify.py").unlink()
        run = Run("verify", "--json")
        self.assertEqual((run.status, run.err), (1, ""))
        result = json.loads(run.out)
        self.assertIs(result["agrees"], True)
        self.assertEqual(
            result["edits"],
            [
                {"file": "axon_events/cli/verify.py", "edit": "missing"},
                {"file": "axon_events/new\x1b.py", "edit": "added"},
            ],
        )

    def test_of_an_edited_copy_that_differs_too(self) -> None:
        path = self.root / "corpus" / "recorded" / "failed.jsonl"
        path.write_bytes(path.read_bytes().replace(b":", b": ", 1))
        run = Run("verify")
        self.assertEqual(run.status, 1)
        self.assertEqual(run.out.splitlines()[0], "corpus/recorded/failed.jsonl: edited")
        self.assertTrue(
            run.out.endswith(" differs from the corpus: 1 difference; it was edited: 1 file\n")
        )

    def test_with_another_corpus_it_still_says_so(self) -> None:
        (self.root / "corpus" / "corpus.json").write_bytes(b"{}")
        run = Run("verify", CORPUS)
        self.assertEqual(run.status, 1)
        self.assertEqual(run.out.splitlines()[0], "corpus/corpus.json: edited")
        self.assertTrue(run.out.endswith(" agrees with the corpus; it was edited: 1 file\n"))

    def test_a_file_that_cannot_be_read_is_2(self) -> None:
        path = self.root / "axon_events" / "dangling.py"
        path.symlink_to("nowhere")
        run = Run("verify")
        self.assertEqual((run.status, run.out), (2, ""))
        self.assertIn(f"{path}: No such file or directory\n", run.err)

    def test_without_a_record_nothing_is_said(self) -> None:
        (self.root / RECORD).unlink()
        run = Run("verify")
        self.assertTrue(run.out.endswith(" agrees with the corpus\n"), run.out)
        self.assertIsNone(json.loads(Run("verify", "--json").out)["edits"])


if __name__ == "__main__":
    unittest.main()
