# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make vendor` and VENDORING.md, in a small repository and on copies that were edited.

The package's whole suite, and mypy --strict, run there in tests/host.py.
"""

import contextlib
import importlib
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import axon_events
from axon_events.cli.record import RECORD

from . import PACKAGE, ROOT
from .host import HOST_SUITE, VENDORING, Host, blocks, commands
from .samples import EVENTS

if PACKAGE != "axon_events" or not (ROOT / "axon_events").is_dir():
    raise unittest.SkipTest("a copy does not vendor: that needs the checkout")

VERSION = axon_events.__version__
FOLDERS = ("axon_events", "corpus")
OLDER = "0.0.9"


def older_checkout(folder: Path) -> Path:
    """Write a checkout of an older version: one without a module, and with one that went."""
    for name in (*FOLDERS, "tools"):
        ignored = shutil.ignore_patterns("__pycache__", "target")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "Makefile", folder)
    root_module = folder / "axon_events" / "__init__.py"
    source = root_module.read_text("utf-8")
    literal = f'__version__ = "{VERSION}"'
    if literal not in source:
        raise AssertionError(f"no {literal}")
    root_module.write_text(source.replace(literal, f'__version__ = "{OLDER}"'), "utf-8")
    (folder / "axon_events" / "summary.py").rename(folder / "axon_events" / "totals.py")
    for importing in (folder / "axon_events").rglob("*.py"):
        source = importing.read_text("utf-8")
        importing.write_text(source.replace("summary import", "totals import"), "utf-8")
    return folder


def files_of(root: Path) -> dict[str, bytes]:
    """Return every file below a folder, but for what running leaves there."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def failing_once(after: int, fault: BaseException) -> Callable[[Any, Any], None]:
    """Return an `os.rename` that raises the fault once, after so many calls."""
    rename = os.rename
    calls = itertools.count()

    def renamed(source: Any, target: Any) -> None:
        if next(calls) == after:
            raise fault
        rename(source, target)

    return renamed


class Vendor:
    """A run of `tools.vendor` inside this process: `status`, `out` and `err`."""

    def __init__(self, *arguments: object) -> None:
        vendor = importlib.import_module("tools.vendor")
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            self.status = vendor.main([str(argument) for argument in arguments])
        self.out, self.err = out.getvalue(), err.getvalue()


@unittest.skipIf(shutil.which("make") is None, "the page's commands are for make and a shell")
class Page(unittest.TestCase):
    """VENDORING.md, in a repository of its own."""

    host: Host
    older: Path

    @classmethod
    def setUpClass(cls) -> None:
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        cls.host = Host(folder)
        cls.older = older_checkout(folder / "older")
        for command in (
            'make -C ../axon_events vendor DEST="$PWD/host/_vendor"',
            f'make -C {cls.older} vendor DEST="$PWD/plugin/_vendor"',
            "touch host/_vendor/__init__.py",
        ):
            run = cls.host.run(command)
            if run.returncode:
                raise AssertionError(run.stdout)

    def assert_runs(self, command: str) -> str:
        run = self.host.run(command)
        self.assertEqual(run.returncode, 0, f"{command}\n{run.stdout}")
        return run.stdout

    def test_its_commands_run(self) -> None:
        suite = "python3 -W error -m unittest discover -t . -s axon_events_tests"
        self.assertIn(suite, commands())
        said = ""
        for command in commands():
            if "sha256sum -c" in command and shutil.which("sha256sum") is None:
                continue
            with self.subTest(command):
                # All of the suite is what runs this test; its quickest part stands for it.
                part = " -p test_corpus.py" * (command == suite)
                said += self.assert_runs(command + part)
        self.assertRegex(said, r"Ran [1-9][0-9]* tests")
        self.assertIn(f"_vendor: axon_events {VERSION}, ", said)
        self.assertIn(" agrees with the corpus; it is as it was vendored\n", said)
        self.assertNotIn("FAILED", said)

    def test_the_suite_of_the_repository_runs(self) -> None:
        self.assertRegex(self.assert_runs(HOST_SUITE), r"Ran 1 test .*\n\nOK\n")

    def test_its_example_prints_what_its_comment_says(self) -> None:
        (example,) = blocks(VENDORING, "python")
        self.assertIn("  # False True\n", example)
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            capture_output=True,
            text=True,
            cwd=self.host.root,
        )
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "False True\n", ""))

    def test_it_shows_a_record(self) -> None:
        (shown,) = blocks(VENDORING, "text")
        pattern = re.sub("[0-9a-f]{64}", "[0-9a-f]{64}", re.escape(shown).replace("…\\\n", ""))
        pattern = pattern.replace(re.escape("0.1.0"), re.escape(VERSION))
        record = (self.host.root / "host" / "_vendor" / RECORD).read_text("utf-8")
        self.assertRegex(record, r"\A" + pattern)

    def test_an_older_copy_in_this_process_exchanges_json(self) -> None:
        ours, theirs = self.imported("host"), self.imported("plugin")
        self.assertEqual((ours.__version__, theirs.__version__), (VERSION, OLDER))
        for event in EVENTS:
            for a, b in ((ours, theirs), (theirs, ours)):
                with self.subTest(event, writer=a.__name__):
                    written = axon_events.to_json(event)
                    first = a.from_json(written)
                    second = b.from_json(a.to_json(first))
                    self.assertEqual(b.to_json(second), written)
                    self.assertEqual(b.from_json(a.to_json(first).encode()), second)
                    self.assertEqual(b.from_dict(a.to_dict(first)), second)
                    # They are alike, and yet each is its own copy's alone.
                    self.assertEqual((first.kind, repr(first)), (second.kind, repr(second)))
                    self.assertNotEqual(first, second)
                    self.assertNotIsInstance(first, b.FlowExecutionEvent)
                    for refuse in (b.to_json, b.to_dict):
                        with self.assertRaises(TypeError):
                            refuse(first)
                    # A newer writer may add a field and a kind.
                    extended = {**a.to_dict(first), "trace": {"id": [1]}}
                    self.assertEqual(b.from_dict(extended), second)
                    with self.assertRaises(b.DecodeError) as caught:
                        b.from_dict({**extended, "kind": "flow_paused"})
                    self.assertEqual(caught.exception.reason, "unknown-kind")
                    self.assertNotIsInstance(caught.exception, a.DecodeError)

    def imported(self, owner: str) -> Any:
        """Import the copy of the repository (host), or of its plugin, into this process."""
        path = mock.patch.object(sys, "path", [str(self.host.root), *sys.path])
        modules = mock.patch.dict(sys.modules)
        with path, modules:
            return importlib.import_module(f"{owner}._vendor.axon_events")

    def test_an_update_of_the_older_copy(self) -> None:
        vendored = self.host.root / "late" / "_vendor"
        verify = "python3 -W error -m late._vendor.axon_events verify"
        as_vendored = "agrees with the corpus; it is as it was vendored\n"
        self.assert_runs(f'make -C {self.older} vendor DEST="$PWD/late/_vendor"')
        self.assert_runs("touch late/_vendor/__init__.py")
        self.assertIn("axon_events/totals.py", files_of(vendored))
        self.assertIn(f"\naxon_events {OLDER} {as_vendored}", self.assert_runs(verify))

        said = self.assert_runs('make -C ../axon_events vendor DEST="$PWD/late/_vendor"')
        self.assertIn(f"late/_vendor: axon_events {VERSION}, ", said)
        found = files_of(vendored)
        self.assertIn("__init__.py", found)
        self.assertIn("axon_events/summary.py", found)
        self.assertNotIn("axon_events/totals.py", found)
        self.assertIn(f"\naxon_events {VERSION} {as_vendored}", self.assert_runs(verify))

    def test_an_edit_is_kept_until_it_is_forced(self) -> None:
        again = 'make -C ../axon_events vendor DEST="$PWD/host/_vendor"'
        verify = "python3 -W error -m host._vendor.axon_events verify"
        self.assert_runs("echo '# edited' >> host/_vendor/axon_events/order.py")
        run = self.host.run(verify)
        self.assertEqual(run.returncode, 1)
        self.assertTrue(run.stdout.startswith("axon_events/order.py: edited\n"), run.stdout)
        self.assertTrue(run.stdout.endswith("; it was edited: 1 file\n"), run.stdout)
        for forced in ("", " FORCE=", " FORCE=0"):
            run = self.host.run(again + forced)
            self.assertNotEqual(run.returncode, 0)
            self.assertIn("host/_vendor/axon_events/order.py: edited\n", run.stdout)
        self.assertEqual(self.host.run(verify).returncode, 1)
        self.assert_runs(again + " FORCE=1")
        self.assert_runs(verify)

    def test_make_without_a_folder_says_how(self) -> None:
        run = self.host.run("make -C ../axon_events vendor")
        self.assertEqual(run.returncode, 2)
        self.assertIn("make vendor: name the folder that is to have the copy, make v", run.stdout)


class Copying(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name).resolve()
        self.dest = self.folder / "a b" / "_vendor"

    def assert_vendors(self, *arguments: object) -> None:
        run = Vendor(*(arguments or (self.dest,)))
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertRegex(
            run.out, rf"\A.*: axon_events {VERSION}, \d+ files, recorded in {RECORD}\n\Z"
        )

    def assert_refused(self, lines: Sequence[str]) -> None:
        before = files_of(self.folder)
        run = Vendor(self.dest)
        self.assertEqual((run.status, run.out), (1, ""))
        self.assertEqual(
            run.err.splitlines(),
            [
                *(f"{self.dest / line}" for line in lines),
                "make vendor: nothing was written, to keep these; FORCE=1 overwrites them",
            ],
        )
        self.assertEqual(files_of(self.folder), before)

    def test_it_copies_both_folders_as_they_are(self) -> None:
        self.assert_vendors()
        expected = {
            path: content
            for folder in FOLDERS
            for path, content in files_of(ROOT).items()
            if path.startswith(f"{folder}/") and not path.startswith("corpus/reference/target/")
        }
        found = files_of(self.dest)
        record = found.pop(RECORD).decode()
        self.assertEqual(found, expected)
        self.assertTrue(record.startswith(f"# axon_events {VERSION}\n# contents "))
        self.assertEqual([*self.dest.parent.iterdir()], [self.dest])

    def test_copying_again_changes_nothing(self) -> None:
        self.assert_vendors()
        before = files_of(self.dest)
        self.assert_vendors()
        self.assertEqual(files_of(self.dest), before)

    def test_the_record_is_one_that_sha256sum_checks(self) -> None:
        program = shutil.which("sha256sum")
        if program is None:
            self.skipTest("no sha256sum here")
        self.assert_vendors()
        command = [program, "-c", "--strict", "--quiet", RECORD]
        run = subprocess.run(command, cwd=self.dest, capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))
        listed = (self.dest / RECORD).read_bytes().splitlines(keepends=True)
        contents = b"".join(line for line in listed if not line.startswith(b"#"))
        run = subprocess.run([program], input=contents.decode(), capture_output=True, text=True)
        self.assertEqual(listed[1].decode(), f"# contents {run.stdout[:64]}\n")
        (self.dest / "corpus" / "README.md").write_bytes(b"")
        run = subprocess.run(command, cwd=self.dest, capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout), (1, "corpus/README.md: FAILED\n"))

    def test_what_was_edited_is_kept(self) -> None:
        self.assert_vendors()
        (self.dest / "axon_events" / "order.py").write_bytes(b"")
        (self.dest / "axon_events" / "ours.py").write_bytes(b"")
        (self.dest / "corpus" / "README.md").unlink()
        self.assert_refused(
            [
                "axon_events/order.py: edited",
                "axon_events/ours.py: added",
                "corpus/README.md: missing",
            ]
        )
        self.assert_vendors(self.dest, "--force")
        self.assertNotIn("axon_events/ours.py", files_of(self.dest))
        self.assert_vendors()

    def test_what_is_of_unknown_origin_is_kept(self) -> None:
        unknown = f"of unknown origin, there is no {RECORD} beside it"
        for folder in FOLDERS:
            (self.dest / folder).mkdir(parents=True)
            self.assert_refused([f"{folder}: {unknown}"])
            (self.dest / folder).rmdir()
            (self.dest / folder).write_bytes(b"a file")
            self.assert_refused([f"{folder}: {unknown}"])
            (self.dest / folder).unlink()
        self.assert_vendors()
        (self.dest / RECORD).unlink()
        self.assert_refused([f"{folder}: {unknown}" for folder in FOLDERS])
        self.assert_vendors(self.dest, "--force")

    def test_a_record_that_was_edited(self) -> None:
        self.assert_vendors()
        (self.dest / RECORD).write_bytes(b"")
        self.assert_refused(
            [f"{RECORD}: expected it as make vendor writes it, got it edited or cut"]
        )

    def test_a_copy_that_was_deleted_is_made_again(self) -> None:
        self.assert_vendors()
        for folder in FOLDERS:
            shutil.rmtree(self.dest / folder)
        self.assert_vendors()

    def test_what_else_is_there_stays(self) -> None:
        self.dest.mkdir(parents=True)
        (self.dest / "other.py").write_bytes(b"ours")
        self.assert_vendors()
        self.assert_vendors(self.dest, "--force")
        self.assertEqual((self.dest / "other.py").read_bytes(), b"ours")

    def test_a_link_is_replaced_and_not_followed(self) -> None:
        self.assert_vendors()
        elsewhere = self.folder / "elsewhere"
        (self.dest / "corpus").rename(elsewhere)
        (self.dest / "corpus").symlink_to(elsewhere, target_is_directory=True)
        (elsewhere / "README.md").write_bytes(b"")
        self.assert_vendors(self.dest, "--force")
        self.assertEqual((elsewhere / "README.md").read_bytes(), b"")
        self.assertFalse((self.dest / "corpus").is_symlink())

    def test_a_copy_that_fails_half_way_leaves_what_was_there(self) -> None:
        self.assert_vendors()
        (self.dest / "axon_events" / "order.py").write_bytes(b"edited")
        before = files_of(self.folder)
        for fault in (OSError(28, "No space left on device", "x"), KeyboardInterrupt()):
            for failing in range(6):
                with (
                    self.subTest(fault, failing=failing),
                    mock.patch("os.rename", failing_once(failing, fault)),
                ):
                    if isinstance(fault, OSError):
                        run = Vendor(self.dest, "--force")
                        error = "make vendor: x: No space left on device\n"
                        self.assertEqual((run.status, run.out, run.err), (2, "", error))
                    else:
                        with self.assertRaises(KeyboardInterrupt):
                            Vendor(self.dest, "--force")
                    self.assertEqual(files_of(self.folder), before)

    def test_a_folder_that_will_not_do_is_2(self) -> None:
        file = self.folder / "file"
        file.write_bytes(b"")
        # A clone named like the package: a copy beside it would replace it.
        clone = self.folder / "axon_events"
        clone.mkdir()
        part = "a copy there would be part of this checkout; name a folder elsewhere"
        link = self.folder / "link"
        link.symlink_to(ROOT, target_is_directory=True)
        for dest, text in (
            ("", "name the folder that is to have the copy, make vendor DEST=path/to/_vendor"),
            (file, f"{file}: expected a folder, got a file"),
            (file / "below", f"{file / 'below'}: Not a directory"),
            (ROOT, f"{ROOT}: {part}"),
            (link, f"{link}: {part}"),
            (ROOT / "axon_events", f"{ROOT / 'axon_events'}: {part}"),
            (ROOT / "fresh" / "x", f"{ROOT / 'fresh' / 'x'}: {part}"),
        ):
            for force in ([], ["--force"]):
                with self.subTest(dest, force=force):
                    run = Vendor(dest, *force)
                    self.assertEqual((run.status, run.out), (2, ""))
                    self.assertEqual(run.err, f"make vendor: {text}\n")
        for checkout in (clone, clone / "corpus", clone / "deep" / "clone"):
            with self.subTest(checkout=checkout), mock.patch("tools.vendor.ROOT", checkout):
                run = Vendor(self.folder, "--force")
                self.assertEqual(
                    (run.status, run.err), (2, f"make vendor: {self.folder}: {part}\n")
                )

    def test_a_home_is_known(self) -> None:
        with mock.patch.dict(
            os.environ, {"HOME": str(self.folder), "USERPROFILE": str(self.folder)}
        ):
            self.assert_vendors("~/vendored")
        self.assertTrue((self.folder / "vendored" / RECORD).is_file())


if __name__ == "__main__":
    unittest.main()
