# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`verify`: what it counts, and what it says of a copy that was edited, cut down or broken."""

import argparse
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import axon_events
from axon_events.cli import record, verify
from axon_events.cli.record import RECORD, Record, contents

from . import CORPUS, PACKAGE, needs
from .corpora import LISTS, loaded, write_part
from .terminal import Run, imported

VERSION = f"axon_events {axon_events.__version__}"


class Temporary(unittest.TestCase):
    """A folder that is empty at first."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name).resolve()


class WithoutRecord(Temporary):
    """This copy, whose record, if it has one, is not looked at."""

    def setUp(self) -> None:
        super().setUp()
        no_edits = mock.patch.object(record, "edits", return_value=None)
        no_edits.start()
        self.addCleanup(no_edits.stop)


class Good(WithoutRecord):
    """A copy without a record."""

    def counts(self, corpus: Path) -> list[tuple[str, str, int]]:
        recordings = sorted((corpus / "recorded").glob("*.jsonl"))
        return [
            *(
                (name, what, len(json.loads((corpus / name).read_bytes())[what]))
                for name, what in LISTS
            ),
            *(
                (f"recorded/{path.name}", "events", path.read_bytes().count(b"\n"))
                for path in recordings
            ),
        ]

    def test_it_counts_what_it_has_compared(self) -> None:
        run = Run("verify", CORPUS)
        self.assertEqual((run.status, run.err), (0, ""))
        versions = ", ".join(
            f"{name} {version}" for name, version in loaded("corpus.json")["reference"].items()
        )
        headers = {
            "corpus.json": f" (format 1, written by {versions})",
            "decode.json": f" (format 1, written by {versions})",
            "streams.json": " (format 1)",
            "sse.json": " (format 1)",
        }
        shown = {"decode": "cases to decode", "encode": "cases to encode"}
        self.assertEqual(
            run.out.splitlines(),
            [
                *(
                    f"{name}: {count} {shown.get(what, what)}{headers.get(name, '')}"
                    for name, what, count in self.counts(CORPUS)
                ),
                f"{VERSION} agrees with the corpus",
            ],
        )

    def test_quiet_says_nothing_if_all_is_well(self) -> None:
        write_part(self.root)
        run = Run("verify", self.root, "--quiet")
        self.assertEqual((run.status, run.out, run.err), (0, "", ""))

    def test_quiet_says_what_is_wrong_alone(self) -> None:
        write_part(self.root)
        path = self.root / "recorded" / "failed.jsonl"
        path.write_bytes(path.read_bytes().replace(b":", b": ", 1))
        loud, quiet = Run("verify", self.root), Run("verify", self.root, "--quiet")
        self.assertEqual((quiet.status, quiet.err), (1, ""))
        difference, judgement = quiet.out.split("\naxon_events ")
        self.assertTrue(difference.startswith("recorded/failed.jsonl: line 1: "), difference)
        self.assertNotIn(": 9 events", difference)
        self.assertEqual(
            f"axon_events {judgement}", f"{VERSION} differs from the corpus: 1 difference\n"
        )
        self.assertIn(difference, loud.out)

    def test_json_is_for_machines(self) -> None:
        write_part(self.root)
        run = Run("verify", self.root, "--json")
        self.assertEqual((run.status, run.err), (0, ""))
        written = {"format": 1, "reference": loaded("corpus.json")["reference"]}
        by_hand = {"format": 1}
        headers = {
            "corpus.json": written,
            "decode.json": written,
            "streams.json": by_hand,
            "sse.json": by_hand,
        }
        self.assertEqual(
            json.loads(run.out),
            {
                "axon_events": axon_events.__version__,
                "edits": None,
                "broken": [],
                "agrees": True,
                "files": [
                    {"file": name, what: count, **headers.get(name, {})}
                    for name, what, count in self.counts(self.root)
                ],
                "differences": [],
                "left_out": [],
                "unreadable": None,
            },
        )


class Unreadable(WithoutRecord):
    def test_a_corpus_that_cannot_be_read_is_2(self) -> None:
        folder = self.root / "corpus"
        write_part(folder)
        shutil.rmtree(folder / "recorded")
        for corpus, missing in (
            (folder, folder / "recorded"),
            (self.root / "fresh", self.root / "fresh" / "corpus.json"),
        ):
            run = Run("verify", corpus)
            self.assertEqual(run.status, 2)
            self.assertNotIn("agrees", run.out)
            self.assertEqual(
                run.err, f"python -m {PACKAGE}: {missing}: No such file or directory\n"
            )
            as_json = Run("verify", corpus, "--json")
            self.assertEqual((as_json.status, as_json.err), (2, run.err))
            result = json.loads(as_json.out)
            self.assertEqual((result["agrees"], result["unreadable"]), (False, str(missing)))

    def test_without_a_corpus_it_asks_for_one(self) -> None:
        with mock.patch.object(verify, "default_corpus", return_value=Path("no", "corpus")):
            run = Run("verify")
        self.assertEqual((run.status, run.out), (2, ""))
        self.assertEqual(
            run.err,
            f"python -m {PACKAGE}: corpus: neither here nor beside the package: name it,"
            " verify CORPUS\n",
        )

    def test_a_full_disk_is_not_a_corpus_that_cannot_be_read(self) -> None:
        full = OSError(errno.ENOSPC, "No space left on device")
        arguments = argparse.Namespace(corpus=self.root, json=False, quiet=False)
        write_part(self.root)
        with mock.patch("builtins.print", side_effect=full), self.assertRaises(OSError) as caught:
            list(verify._run(arguments))
        self.assertIs(caught.exception, full)

    def test_it_looks_beside_the_package_else_in_this_directory(self) -> None:
        beside, here = self.root / "beside", self.root / "here"
        package = beside / "vendor" / "axon_events"
        for path in (beside / "vendor" / "corpus", here / "corpus"):
            path.mkdir(parents=True)
        previous = os.getcwd()
        os.chdir(here)
        try:
            self.assertEqual(verify.default_corpus(package), beside / "vendor" / "corpus")
            self.assertEqual(verify.default_corpus(self.root / "a"), Path("corpus"))
        finally:
            os.chdir(previous)


class Recorded(Temporary):
    """This package, with the record of another folder."""

    def setUp(self) -> None:
        super().setUp()
        module = self.root / "axon_events" / "cli" / "verify.py"
        module.parent.mkdir(parents=True)
        module.write_bytes(b"")
        write_part(self.root / "corpus")
        text = str(Record.of("1.2.3", "make vendor", contents(self.root)))
        (self.root / RECORD).write_text(text, encoding="utf-8")
        for there in (
            mock.patch.object(verify, "__file__", str(module)),
            mock.patch.object(verify, "files", return_value=self.root / "axon_events"),
        ):
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

    def test_a_changed_version_in_the_record(self) -> None:
        path = self.root / RECORD
        path.write_text(path.read_text("utf-8").replace("1.2.3", "1.2.4"), "utf-8")
        run = Run("verify")
        self.assertEqual((run.status, run.err), (1, ""))
        line = f"{RECORD}: expected the record as make vendor wrote it, got it edited or cut"
        self.assertEqual(run.out.splitlines()[0], line)
        self.assertTrue(run.out.endswith("; it was edited: 1 file\n"), run.out)

    def test_of_an_edited_copy_that_differs_too(self) -> None:
        path = self.root / "corpus" / "recorded" / "failed.jsonl"
        path.write_bytes(path.read_bytes().replace(b":", b": ", 1))
        run = Run("verify")
        self.assertEqual(run.status, 1)
        self.assertEqual(run.out.splitlines()[0], "corpus/recorded/failed.jsonl: edited")
        self.assertTrue(
            run.out.endswith(" differs from the corpus: 1 difference; it was edited: 1 file\n")
        )

    def test_of_a_copy_without_the_recordings(self) -> None:
        recorded = self.root / "corpus" / "recorded"
        missing = [f"corpus/recorded/{path.name}: missing" for path in sorted(recorded.iterdir())]
        shutil.rmtree(recorded)
        run = Run("verify", "--quiet")
        self.assertEqual(run.status, 2)
        judgement = f"was edited: {len(missing)} file{'s' * (len(missing) != 1)}"
        self.assertEqual(
            run.out.splitlines(),
            [*missing, f"axon_events {judgement}; does git ignore what is missing?"],
        )
        self.assertIn("recorded: No such file or directory\n", run.err)
        as_json = Run("verify", "--json")
        self.assertEqual((as_json.status, as_json.err), (2, run.err))
        found = [edit["edit"] for edit in json.loads(as_json.out)["edits"]]
        self.assertEqual(found, ["missing"] * len(missing))

    def test_with_another_corpus_it_still_says_so(self) -> None:
        (self.root / "corpus" / "corpus.json").write_bytes(b"{}")
        write_part(self.root / "other")
        run = Run("verify", self.root / "other")
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


class Broken(Temporary):
    """This package, with a folder of modules more, and no record."""

    def setUp(self) -> None:
        super().setUp()
        self.package = self.root / "axon_events"
        (self.package / "cli").mkdir(parents=True)
        write_part(self.root / "corpus")
        for patch in (
            mock.patch.object(verify, "__file__", str(self.package / "cli" / "verify.py")),
            mock.patch.object(verify, "files", return_value=self.package),
            mock.patch.object(axon_events, "__path__", [*axon_events.__path__, str(self.package)]),
            mock.patch.dict(sys.modules),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def test_a_module_that_cannot_be_imported(self) -> None:
        (self.package / "broken.py").write_bytes(b"if:\n")
        (self.package / "faulty.py").write_bytes(b"from . import nothing_there\n")
        (self.package / "failing.py").write_bytes(b"1 / 0\n")
        (self.package / "failing_too.py").write_bytes(b"from . import failing\n")
        run = Run("verify")
        self.assertEqual((run.status, run.err), (1, ""))
        texts = (
            "broken.py: cannot be imported: SyntaxError: invalid syntax (broken.py, line 1)",
            "failing.py: cannot be imported: ZeroDivisionError: division by zero",
            "faulty.py: cannot be imported: ImportError: cannot import name 'nothing_there' from",
        )
        for line, text in zip(run.out.splitlines(), texts, strict=False):
            self.assertTrue(line.startswith(f"axon_events/{text}"), line)
        self.assertEqual(run.out.count("cannot be imported"), len(texts))
        self.assertTrue(run.out.endswith(f"\n{VERSION} is broken; it agrees with the corpus\n"))
        result = json.loads(Run("verify", "--json").out)
        self.assertIs(result["agrees"], False)
        files = [fault["file"] for fault in result["broken"]]
        self.assertEqual(files, [f"axon_events/{text.partition(':')[0]}" for text in texts])

    def test_a_module_that_is_missing(self) -> None:
        for name in ("one.py", "two.py"):
            (self.package / name).write_bytes(b"from .gone import x\n")
        run = Run("verify")
        self.assertEqual((run.status, run.err), (1, ""))
        missing = "axon_events/gone.py: missing: axon_events/one.py imports it\n"
        self.assertTrue(run.out.startswith(missing), run.out)
        self.assertEqual(run.out.count("gone.py"), 1)

    def test_without_a_module_that_it_needs(self) -> None:
        for module, left_out in (("order", "streams.json"), ("sse", "sse.json")):
            with mock.patch.dict(sys.modules, {f"{PACKAGE}.{module}": None}):
                run = Run("verify")
                result = json.loads(Run("verify", "--json").out)
            needed = f"axon_events/{module}.py"
            self.assertEqual(run.status, 1)
            self.assertIn(f"{left_out}: left out, as it needs {needed}\n", run.out)
            self.assertIn({"file": left_out, "needs": needed}, result["left_out"])
            self.assertNotIn(left_out, [checked["file"] for checked in result["files"]])
            self.assertEqual(result["differences"], [])
        with mock.patch.dict(sys.modules, {f"{PACKAGE}.cli.conformance": None}):
            run = Run("verify")
        self.assertEqual(run.status, 1)
        self.assertTrue(run.out.endswith(f"\n{VERSION} is broken\n"), run.out)

    def test_without_what_compares_with_the_corpus(self) -> None:
        with mock.patch.object(verify, "_checks", return_value=None):
            run = Run("verify")
        line = "axon_events/cli/conformance.py: missing: it compares the copy with the corpus"
        self.assertEqual((run.status, run.out.splitlines()[0]), (1, line))

    def test_a_module_that_this_python_lacks_is_no_fault(self) -> None:
        (self.package / "keeping.py").write_bytes(b"import no_such_database\n")
        run = Run("verify")
        self.assertEqual((run.status, run.err), (0, ""))
        text = "axon_events/keeping.py: left out, as it needs the module no_such_database\n"
        self.assertIn(text, run.out)


class Copies(Temporary):
    """A whole copy with its record, beside this one."""

    def setUp(self) -> None:
        super().setUp()
        self.vendored = self.root / "_vendor"
        self.package = self.vendored / "axon_events"
        shutil.copytree(
            Path(axon_events.__file__).parent,
            self.package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        write_part(self.vendored / "corpus")
        text = str(Record.of("1.2.3", "make vendor CLI=1", contents(self.vendored)))
        (self.vendored / RECORD).write_text(text, encoding="utf-8")

    def test_missing_and_broken_modules_are_lines(self) -> None:
        (self.package / "summary.py").unlink()
        (self.package / "sse.py").write_bytes(b"if:\n")
        (self.package / "emit.py").write_bytes(b"\0")
        (self.package / "cli" / "text.py").write_bytes(b"1 / 0\n")
        with imported(self.vendored) as other:
            run = Run("verify", main=other.main)
        self.assertEqual((run.status, run.err), (1, ""))
        *lines, last = run.out.splitlines()
        self.assertEqual(
            lines[:6],
            [
                "axon_events/cli/text.py: edited",
                "axon_events/emit.py: edited",
                "axon_events/sse.py: edited",
                "axon_events/summary.py: missing",
                "axon_events/sse.py: cannot be imported: SyntaxError: invalid syntax"
                " (sse.py, line 1)",
                "axon_events/cli/text.py: cannot be imported: ZeroDivisionError: division by zero",
            ],
        )
        # It has no place of its own in the traceback of the import.
        self.assertTrue(lines[6].startswith("axon_events/emit.py: cannot be imported: "), lines)
        self.assertEqual(run.out.count("cannot be imported"), 3)
        self.assertEqual(run.out.count("summary.py"), 1)
        self.assertEqual(lines[-1], "sse.json: left out, as it needs axon_events/sse.py")
        self.assertEqual(
            last,
            f"{VERSION} is broken; it agrees with the corpus; it was edited: 4 files;"
            " does git ignore what is missing?",
        )

    def test_without_what_compares_with_the_corpus(self) -> None:
        file = "axon_events/cli/conformance.py"
        (self.vendored / file).unlink()
        for line in (f"{file}: missing", f"{file}: missing: it compares the copy with the corpus"):
            with imported(self.vendored) as other:
                run = Run("verify", main=other.main)
                result = json.loads(Run("verify", "--json", main=other.main).out)
            self.assertEqual((run.status, run.out.splitlines()[0]), (1, line))
            self.assertIs(result["agrees"], False)
            (self.vendored / RECORD).unlink(missing_ok=True)

    @needs.processes
    def test_a_broken_core(self) -> None:
        for core in ("__init__.py", "_catalog.py", "_codec.py"):
            (self.package / core).write_bytes(b"if:\n")
        (self.package / "cli" / "__init__.py").unlink()
        run = subprocess.run(
            [sys.executable, "-W", "error", self.package / "cli" / "record.py"],
            capture_output=True,
            text=True,
            cwd=self.root,
        )
        self.assertEqual((run.returncode, run.stderr), (1, ""))
        self.assertEqual(
            run.stdout.splitlines(),
            [
                "axon_events/__init__.py: edited",
                "axon_events/_catalog.py: edited",
                "axon_events/_codec.py: edited",
                "axon_events/cli/__init__.py: missing",
                "axon_events was edited: 4 files; does git ignore what is missing?",
            ],
        )


if __name__ == "__main__":
    unittest.main()
