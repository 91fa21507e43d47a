# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`cli.record`: the record of a vendored copy, and how a copy differs from it."""

import contextlib
import hashlib
import io
import runpy
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import axon_events
from axon_events.cli.record import RECORD, Record, contents, edits, main

from . import CORPUS

# Known from outside: of the empty text and of b"abc" (FIPS 180-2, appendix B.1).
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
LINES = f"{ABC}  axon_events/a.py\n{EMPTY}  corpus/c.json\n"
HEAD = """# axon_events 1.2.3
# copied by make vendor CLI=1
# to compare: sha256sum -c axon_events.sha256
"""
TEXT = f"""{HEAD}# SHA-256 of the other lines: {hashlib.sha256((HEAD + LINES).encode()).hexdigest()}
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
        self.assertEqual(str(Record.of("1.2.3", "make vendor CLI=1", contents(self.root))), TEXT)

    def test_reading_gives_what_was_written(self) -> None:
        files = {"axon_events/a.py": ABC, "corpus/c.json": EMPTY}
        record = Record("1.2.3", "make vendor CLI=1", files)
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

    def test_a_linked_folder_was_added(self) -> None:
        self.write("elsewhere/b.py", b"")
        (self.package / "sub").symlink_to(self.root / "elsewhere", target_is_directory=True)
        self.assertEqual(edits(self.package), [("axon_events/sub/b.py", "added")])

    def test_line_ends_and_modes_are_no_edit(self) -> None:
        self.write("axon_events/b.py", b"1\n\n2\n")
        record = Record.of("1.2.3", "make vendor CLI=1", contents(self.root))
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
        conflict = [*lines[:4], "<<<<<<< HEAD\n", *lines[4:]]
        for text in (
            "",
            "\n",
            TEXT.replace(ABC, EMPTY),
            TEXT.replace("a.py", "b.py"),
            TEXT.replace("1.2.3", "1.2.4"),
            TEXT.replace("CLI=1", 'ONLY="sse"'),
            TEXT.replace("-c", "-b"),
            *("".join(lines[:n] + lines[n + 1 :]) for n in range(len(lines))),
            "".join([*lines[:4], lines[5], lines[4]]),
            "".join(conflict),
            TEXT + "\n",
            TEXT[:-1] + "x\n",
        ):
            with self.subTest(text):
                self.write(RECORD, text.encode())
                self.assertEqual(
                    edits(self.package),
                    [(RECORD, "expected the record as make vendor wrote it, got it edited or cut")],
                )
        self.write(RECORD, TEXT.encode() + b"\xff")
        found = edits(self.package)
        self.assertEqual([file for file, _ in found or ()], [RECORD])

    def test_a_file_that_cannot_be_read_is_an_error_of_the_system(self) -> None:
        (self.package / "dangling.py").symlink_to("nowhere")
        with self.assertRaises(FileNotFoundError):
            edits(self.package)


class Program(Copy):
    """What it prints when it is run by its path."""

    def run_it(self) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(self.package)
        return status, out.getvalue(), err.getvalue()

    def test_of_an_unedited_copy(self) -> None:
        self.assertEqual(self.run_it(), (0, "axon_events is as it was vendored\n", ""))

    def test_of_an_edited_copy(self) -> None:
        self.write("axon_events/a.py", b"")
        text = "axon_events/a.py: edited\naxon_events was edited: 1 file\n"
        self.assertEqual(self.run_it(), (1, text, ""))
        self.write("axon_events/\x1b.py", b"")
        text = "axon_events/\\x1b.py: added\naxon_events/a.py: edited\n"
        self.assertEqual(self.run_it(), (1, f"{text}axon_events was edited: 2 files\n", ""))
        (self.package / "a.py").unlink()
        text = text.replace("edited", "missing")
        hint = "; does git ignore what is missing?"
        self.assertEqual(self.run_it(), (1, f"{text}axon_events was edited: 2 files{hint}\n", ""))

    def test_where_nobody_can_tell(self) -> None:
        (self.package / "dangling.py").symlink_to("nowhere")
        error = f"{self.package / 'dangling.py'}: No such file or directory\n"
        self.assertEqual(self.run_it(), (2, "", error))
        (self.root / RECORD).unlink()
        error = f"{self.package}: there is no {RECORD} beside it to compare it with\n"
        self.assertEqual(self.run_it(), (2, "", error))

    def test_it_judges_the_copy_that_it_is_in(self) -> None:
        package = Path(axon_events.__file__).parent
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            self.assertRaises(SystemExit) as caught,
        ):
            runpy.run_path(str(package / "cli" / "record.py"), run_name="__main__")
        self.assertEqual(caught.exception.code, 2 if edits(package) is None else 0)

    def test_no_module_beside_it_hides_one_of_the_standard_library(self) -> None:
        # Python puts the folder of a program first on its path.
        found = {path.stem for path in (Path(axon_events.__file__).parent / "cli").iterdir()}
        self.assertIn("record", found)
        self.assertEqual(found & sys.stdlib_module_names, set())


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


if __name__ == "__main__":
    unittest.main()
