# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make vendor` and VENDORING.md, in a small repository and on copies that were edited.

The package's whole suite, and mypy --strict, run there in the gate `vendoring`.
"""

import contextlib
import importlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import axon_events
from axon_events.cli.record import RECORD

from . import PACKAGE, ROOT, effort
from .corpora import write_part
from .host import HAS_GIT, HOST_SUITE, VENDORING, Host, blocks, commands
from .samples import EVENTS
from .terminal import Run, imported

if PACKAGE != "axon_events" or not (ROOT / "axon_events").is_dir():
    raise unittest.SkipTest("a copy does not vendor: that needs the checkout")

vendor: Any = importlib.import_module("tools.vendor")

VERSION = axon_events.__version__
FOLDERS = ("axon_events", "corpus")
OLDER = "0.0.9"


def older_checkout(folder: Path) -> Path:
    """Write a checkout of an older version, with a small corpus."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "axon_events", folder / "axon_events", ignore=ignored)
    write_part(folder / "corpus")
    root_module = folder / "axon_events" / "__init__.py"
    source = root_module.read_text("utf-8")
    literal = f'__version__ = "{VERSION}"'
    if literal not in source:
        raise AssertionError(f"no {literal}")
    root_module.write_text(source.replace(literal, f'__version__ = "{OLDER}"'), "utf-8")
    return folder


def files_of(folder: Path, root: Path | None = None) -> dict[str, bytes]:
    """Return every file below a folder, but for what running leaves there, by its path."""
    return {
        path.relative_to(root or folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
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
    """A run of `tools.vendor` inside this process: `status`, `out` and `err`.

    `checkout` is the one that it copies, of the version `OLDER`, if it is not this one.
    """

    def __init__(self, *arguments: object, checkout: Path | None = None) -> None:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            if checkout is not None:
                stack.enter_context(mock.patch.object(vendor, "ROOT", checkout))
                stack.enter_context(mock.patch.object(vendor, "__version__", OLDER))
            self.status = vendor.main([str(argument) for argument in arguments])
        self.out, self.err = out.getvalue(), err.getvalue()


@unittest.skipIf(shutil.which("make") is None, "the page's commands are for make and a shell")
class Page(unittest.TestCase):
    """VENDORING.md, in a repository of its own."""

    host: Host
    record: str  # of the copy that a runtime gets

    @classmethod
    def setUpClass(cls) -> None:
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        cls.host = Host(folder)
        vendored = cls.host.root / "host" / "_vendor"
        older = older_checkout(folder / "older")
        for run in (
            Vendor(vendored),
            Vendor("--only", "order", cls.host.root / "plugin" / "_vendor", checkout=older),
        ):
            if run.status:
                raise AssertionError(run.err)
        (vendored / "__init__.py").touch()
        cls.record = (vendored / RECORD).read_text("utf-8")

    def assert_runs(self, command: str) -> str:
        run = self.host.run(command)
        self.assertEqual(run.returncode, 0, f"{command}\n{run.stdout}")
        return run.stdout

    def test_its_commands_run(self) -> None:
        suite = "python3 -W error -m unittest discover -t . -s axon_events_tests"
        self.assertIn(suite, commands())
        said = ""
        # Without what stands there twice, and what is for the whole suite: tests/host.py runs all.
        several = [*dict.fromkeys(commands())]
        if not effort.ALL:
            several = [c for c in several if "axon_events_tests" not in c and "CLI=1" not in c]
        for command in several:
            if "sha256sum -c" in command and shutil.which("sha256sum") is None:
                continue
            if command.startswith("git ") and not HAS_GIT:
                continue
            with self.subTest(command):
                # All of the suite is what runs this test; its quickest part stands for it.
                part = " -p test_main.py" * (command == suite)
                said += self.assert_runs(command + part)
        self.assertEqual("\nRan " in said, effort.ALL)
        self.assertIn(f"_vendor: axon_events {VERSION}, ", said)
        self.assertIn(" agrees with the corpus; it is as it was vendored\n", said)
        self.assertNotIn("FAILED", said)

    @unittest.skipUnless(HAS_GIT, "needs git")
    def test_what_is_committed_is_the_copy(self) -> None:
        (add,) = {command for command in commands() if command.startswith("git add")}
        vendored = self.host.root / "host" / "_vendor"
        cache = vendored / "axon_events" / "__pycache__"
        cache.mkdir(exist_ok=True)
        (cache / "order.cpython-310.pyc").touch()
        self.assert_runs("git rm -r -f --quiet --cached --ignore-unmatch .")
        self.assert_runs("git add host/_vendor")
        without = {*self.assert_runs("git ls-files host/_vendor").splitlines()}
        self.assert_runs(add)
        committed = {*self.assert_runs("git ls-files host/_vendor").splitlines()}
        self.assertEqual(committed, {*files_of(vendored, self.host.root)})
        dropped = {path.removeprefix("host/_vendor/corpus/") for path in committed - without}
        recordings = {f"recorded/{path.name}" for path in (ROOT / "corpus/recorded").iterdir()}
        self.assertEqual(dropped, {"reference/Cargo.lock", *recordings})

    @effort.long_form
    def test_the_suite_of_the_repository_runs(self) -> None:
        self.assertRegex(self.assert_runs(HOST_SUITE), r"Ran 1 test .*\n\nOK\n")

    def test_its_example_prints_what_its_comment_says(self) -> None:
        (example,) = blocks(VENDORING, "python")
        self.assertIn("  # False True\n", example)
        out = io.StringIO()
        with self.importing(), contextlib.redirect_stdout(out):
            exec(compile(example, "VENDORING.md", "exec"), {})
        self.assertEqual(out.getvalue(), "False True\n")

    def test_it_names_what_only_takes(self) -> None:
        names = ["core", *vendor.public(vendor.modules_of(vendor.contents(ROOT)))]
        table = re.findall(r"^\| `([a-z]+)` \| ", VENDORING.read_text("utf-8"), re.M)
        self.assertEqual(table, names)

    def test_it_shows_a_record(self) -> None:
        (shown,) = blocks(VENDORING, "text")
        pattern = re.sub("[0-9a-f]{64}", "[0-9a-f]{64}", re.escape(shown).replace("…\\\n", ""))
        self.assertRegex(self.record, r"\A" + pattern)

    @contextlib.contextmanager
    def importing(self) -> Iterator[None]:
        """Let the copies of the repository (host) and its plugin be imported into this process."""
        path = mock.patch.object(sys, "path", [str(self.host.root), *sys.path])
        with path, mock.patch.dict(sys.modules):
            importlib.invalidate_caches()
            yield

    def test_an_older_copy_in_this_process_exchanges_json(self) -> None:
        with self.importing():
            ours, theirs = (
                importlib.import_module(f"{owner}._vendor.axon_events")
                for owner in ("host", "plugin")
            )
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


@unittest.skipIf(shutil.which("make") is None, "needs make")
class Make(unittest.TestCase):
    """The options of `make vendor`: what make would run with them."""

    def command(self, *options: str) -> list[str]:
        run = subprocess.run(
            ["make", "--dry-run", "--no-print-directory", "vendor", "PYTHON=python3", *options],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if "MAKE" not in k and k != "ONLY"},
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return run.stdout.replace("\\\n", "").split()

    def test_each_option_is_handed_on(self) -> None:
        last = ["--", '"$DEST"']
        for options, handed_on in (
            ([], []),
            (["FORCE=", "CLI="], []),
            (["FORCE=0", "CLI=0"], []),
            (["FORCE=1"], ["--force"]),
            (["CLI=1"], ["--cli"]),
            (["ONLY=order sse"], ['--only="$ONLY"']),
            # An empty one is not taken for none: it may be a variable that was not set.
            (["ONLY="], ['--only="$ONLY"']),
        ):
            with self.subTest(options):
                self.assertEqual(
                    self.command(*options), ["python3", "-m", "tools.vendor", *handed_on, *last]
                )

    @effort.long_form
    def test_without_a_folder_it_says_how(self) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in ("DEST", "ONLY", "CLI")}
        run = subprocess.run(
            ["make", "vendor", f"PYTHON={sys.executable}", "ONLY=order sse"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self.assertEqual(run.returncode, 2)
        self.assertIn("make vendor: name the folder that is to have the copy, make v", run.stderr)


class Folder(unittest.TestCase):
    """A folder, and a place in it to vendor to."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name).resolve()
        self.dest = self.folder / "a b" / "_vendor"

    def assert_vendors(self, *arguments: object) -> str:
        run = Vendor(*(arguments or (self.dest,)))
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertRegex(
            run.out,
            rf"\A.*: axon_events {VERSION}, \d+ files, recorded in {RECORD}(, unchanged)?\n",
        )
        return run.out

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


class Copying(Folder):
    """What is written and what is kept, with a checkout of three files."""

    def setUp(self) -> None:
        super().setUp()
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.checkout = Path(temporary.name).resolve()
        for file in ("axon_events/__init__.py", "axon_events/order.py", "corpus/README.md"):
            (self.checkout / file).parent.mkdir(exist_ok=True)
            (self.checkout / file).write_text(f"# {file}\n", "utf-8")
        here = mock.patch.object(vendor, "ROOT", self.checkout)
        here.start()
        self.addCleanup(here.stop)

    def test_it_copies_this_checkout(self) -> None:
        expected = {
            path: content
            for folder in FOLDERS
            for path, content in files_of(ROOT / folder, ROOT).items()
            if not path.startswith("corpus/reference/target/")
        }
        with mock.patch.object(vendor, "ROOT", ROOT):
            self.assert_vendors("--cli", self.dest)
        found = files_of(self.dest)
        self.assertEqual({path: found.get(path) for path in expected}, expected)
        self.assertEqual({*found} - {*expected}, {RECORD})

    def test_an_update_from_an_older_version(self) -> None:
        older = self.folder / "older"
        for file in ("axon_events/__init__.py", "axon_events/totals.py", "corpus/old.json"):
            (older / file).parent.mkdir(parents=True, exist_ok=True)
            (older / file).write_bytes(b"older")
        run = Vendor(self.dest, checkout=older)
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertIn(f": axon_events {OLDER}, ", run.out)
        self.assertIn("axon_events/totals.py", files_of(self.dest))
        self.assertEqual(self.assert_vendors().count("\n"), 1)
        found = files_of(self.dest)
        self.assertTrue(found.pop(RECORD).startswith(f"# axon_events {VERSION}\n".encode()))
        self.assertEqual(found, files_of(self.checkout))

    def test_copying_again_changes_nothing(self) -> None:
        self.assertNotIn("unchanged", self.assert_vendors())
        before = files_of(self.dest)
        self.assertTrue(self.assert_vendors().endswith(f", recorded in {RECORD}, unchanged\n"))
        self.assertEqual(files_of(self.dest), before)

    def test_what_changes_is_not_called_unchanged(self) -> None:
        self.assert_vendors()
        file = "axon_events/order.py"
        (self.dest / file).write_bytes(b"edited")
        self.assertNotIn("unchanged", self.assert_vendors(self.dest, "--force"))
        (self.checkout / file).write_bytes(b"# newer, of the same version")
        self.assertNotIn("unchanged", self.assert_vendors())
        self.assertNotIn("unchanged", self.assert_vendors(self.dest, "--cli"))
        self.assertIn("unchanged", self.assert_vendors(self.dest, "--cli"))
        (self.dest / RECORD).write_bytes(b"edited")
        self.assertNotIn("unchanged", self.assert_vendors(self.dest, "--cli", "--force"))

    def test_the_record_is_one_that_sha256sum_checks(self) -> None:
        program = shutil.which("sha256sum")
        if program is None:
            self.skipTest("no sha256sum here")
        self.assert_vendors()
        command = [program, "-c", "--strict", "--quiet", RECORD]
        run = subprocess.run(command, cwd=self.dest, capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))
        listed = (self.dest / RECORD).read_bytes().splitlines(keepends=True)
        digest = listed.pop(3)
        contents = b"".join(listed)
        run = subprocess.run([program], input=contents.decode(), capture_output=True, text=True)
        self.assertEqual(digest.decode(), f"# SHA-256 of the other lines: {run.stdout[:64]}\n")
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
            [f"{RECORD}: expected the record as make vendor wrote it, got it edited or cut"]
        )

    def test_a_copy_that_was_deleted_is_made_again(self) -> None:
        self.assert_vendors()
        for folder in FOLDERS:
            shutil.rmtree(self.dest / folder)
        self.assertNotIn("unchanged", self.assert_vendors())

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
        link.symlink_to(self.checkout, target_is_directory=True)
        for dest, text in (
            ("", "name the folder that is to have the copy, make vendor DEST=path/to/_vendor"),
            (file, f"{file}: expected a folder, got a file"),
            (file / "below", f"{file / 'below'}: Not a directory"),
            (self.checkout, f"{self.checkout}: {part}"),
            (link, f"{link}: {part}"),
            (self.checkout / "axon_events", f"{self.checkout / 'axon_events'}: {part}"),
            (self.checkout / "fresh" / "x", f"{self.checkout / 'fresh' / 'x'}: {part}"),
        ):
            for force in ([], ["--force"]):
                with self.subTest(dest, force=force):
                    run = Vendor(dest, *force)
                    self.assertEqual((run.status, run.out), (2, ""))
                    self.assertEqual(run.err, f"make vendor: {text}\n")
        for checkout in (clone, clone / "corpus", clone / "deep" / "clone"):
            with self.subTest(checkout=checkout), mock.patch.object(vendor, "ROOT", checkout):
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


# By the design: what every copy has, and what comes with CLI=1 alone.
CORE = {"__init__", "__main__", "_catalog", "_checked", "_codec", "_pydantic", "_strict"} | {
    f"cli/{name}" for name in ("__init__", "conformance", "record", "text", "verify")
}
COMMANDS = {
    f"cli/{name}"
    for name in (
        *("check", "page", "pages", "player", "recording", "serve", "show", "sites", "store"),
        "wrapping",
    )
}


class Choosing(Folder):
    """What is copied by default, with CLI=1 and with ONLY; the corpus is a small one."""

    def copied(self) -> set[str]:
        """Return the files of the copied package, modules without `.py`."""
        package = self.dest / "axon_events"
        return {path.removesuffix(".py") for path in files_of(package)}

    def whole(self) -> set[str]:
        return {path.removesuffix(".py") for path in files_of(ROOT / "axon_events")}

    def command(self) -> str:
        """Return the command that the record names."""
        line = (self.dest / RECORD).read_text("utf-8").splitlines()[1]
        self.assertTrue(line.startswith("# copied by make vendor"), line)
        return line.removeprefix("# copied by ")

    def verify(self) -> Run:
        with imported(self.dest) as other:
            return Run("verify", main=other.main)

    checkout: Path

    @classmethod
    def setUpClass(cls) -> None:
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.checkout = Path(temporary.name).resolve()
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "axon_events", cls.checkout / "axon_events", ignore=ignored)
        write_part(cls.checkout / "corpus")
        here = mock.patch.object(vendor, "ROOT", cls.checkout)
        here.start()
        cls.addClassCleanup(here.stop)

    def test_a_runtime_gets_all_but_the_commands(self) -> None:
        self.assert_vendors()
        self.assertEqual(self.copied(), self.whole() - COMMANDS - {"cli/page.html"})
        self.assertIn("runs/sqlite", self.copied())
        self.assertEqual(self.command(), "make vendor")
        with imported(self.dest) as other:
            self.assertNotRegex(Run("--help", main=other.main).out, r"\n +(check|show|serve) ")
            for command in ("check", "show", "serve"):
                run = Run(command, "-", main=other.main)
                self.assertEqual((run.status, run.out), (2, ""))
                self.assertEqual(
                    run.err,
                    "python -m _vendor.axon_events: this copy has no command"
                    f" {command}: make vendor CLI=1 copies it\n",
                )

    def test_the_commands_come_with_all(self) -> None:
        self.assert_vendors("--cli", self.dest)
        found = files_of(self.dest)
        del found[RECORD]
        self.assertEqual(found, files_of(self.checkout))
        self.assertEqual([*self.dest.parent.iterdir()], [self.dest])
        self.assertEqual(self.command(), "make vendor CLI=1")

    @effort.long_form
    def test_each_module_alone_imports_and_verifies(self) -> None:
        names = [path.stem for path in (ROOT / "axon_events").glob("[a-z]*") if path.stem != "cli"]
        names = sorted({*names} - {"py"})
        self.assertLessEqual({"order", "replay"}, {*names})
        for name in names:
            with self.subTest(name):
                self.assert_vendors("--only", name, self.dest)
                self.assertEqual(self.command(), f'make vendor ONLY="{name}"')
                own = f"{name}/__init__" if (ROOT / "axon_events" / name).is_dir() else name
                self.assertLessEqual({*CORE, "LICENSE", "py.typed", own}, self.copied())
                self.assertFalse(self.copied() & {*COMMANDS, "cli/page.html"})
                with imported(self.dest) as other:
                    package = other.__name__.removesuffix(".cli")
                    importlib.import_module(f"{package}.{name}")
                    run = Run("verify", "--json", main=other.main)
                self.assertEqual((run.status, run.err), (0, ""))
                result = json.loads(run.out)
                self.assertEqual((result["agrees"], result["edits"]), (True, []))
                lacking = {"streams.json": "order", "sse.json": "sse"}
                self.assertEqual(
                    [left_out["file"] for left_out in result["left_out"]],
                    [file for file, module in lacking.items() if module not in self.copied()],
                )

    def test_the_core_alone(self) -> None:
        self.assert_vendors("--only", "core", self.dest)
        self.assertEqual(self.command(), 'make vendor ONLY="core"')
        self.assertEqual(self.copied(), {*CORE, "LICENSE", "py.typed"})
        run = self.verify()
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertEqual(
            run.out.splitlines()[-3:],
            [
                "streams.json: left out, as it needs axon_events/order.py",
                "sse.json: left out, as it needs axon_events/sse.py",
                f"axon_events {VERSION} agrees with the corpus; it is as it was vendored",
            ],
        )

    def test_what_is_left_out_is_named(self) -> None:
        self.assert_vendors("--only", "order", self.dest)
        self.assertEqual(self.copied(), {*CORE, "LICENSE", "py.typed", "_rules", "order"})
        run = self.verify()
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertEqual(
            run.out.splitlines()[-2:],
            [
                "sse.json: left out, as it needs axon_events/sse.py",
                f"axon_events {VERSION} agrees with the corpus; it is as it was vendored",
            ],
        )
        (self.dest / "axon_events" / "order.py").unlink()
        run = self.verify()
        self.assertEqual((run.status, run.err), (1, ""))
        self.assertEqual(run.out.splitlines()[0], "axon_events/order.py: missing")

    def test_a_package_comes_whole_with_what_it_imports(self) -> None:
        runs = {path for path in self.whole() if path.startswith("runs/")}
        self.assertLessEqual({"runs/__init__", "runs/_core", "runs/sqlite"}, runs)
        self.assert_vendors("--only", "runs", self.dest)
        self.assertEqual(self.command(), 'make vendor ONLY="runs"')
        imported_by_it = {"_event_stream", "_rules", "_wait", "order", "replay", "sse"}
        self.assertEqual(self.copied() - CORE - {"LICENSE", "py.typed"}, runs | imported_by_it)
        run = self.verify()
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertNotIn("left out", run.out)
        # verify imports its modules, and compares them with the record.
        (self.dest / "axon_events" / "runs" / "_core.py").write_text("1 +\n", "utf-8")
        run = self.verify()
        self.assertEqual((run.status, run.err), (1, ""))
        edited, broken = run.out.splitlines()[:2]
        self.assertEqual(edited, "axon_events/runs/_core.py: edited")
        self.assertTrue(
            broken.startswith("axon_events/runs/_core.py: cannot be imported: SyntaxError: "),
            broken,
        )

    def test_a_part_of_a_package_is_no_choice(self) -> None:
        for name in ("runs/sqlite", "runs.sqlite"):
            run = Vendor("--only", name, self.dest)
            self.assertEqual((run.status, run.out), (2, ""))
            self.assertIn(f"no module {name}: ONLY takes any of ", run.err)
            self.assertIn(" runs,", run.err)

    def test_another_choice_leaves_nothing_behind(self) -> None:
        self.assert_vendors("--cli", self.dest)
        out = self.assert_vendors("--only", " summary  order summary ", self.dest)
        self.assertEqual(self.command(), 'make vendor ONLY="order summary"')
        said = f": copied by {self.command()}; the copy before, by make vendor CLI=1\n"
        self.assertTrue(out.endswith(said), out)
        self.assertEqual(
            self.copied(), {*CORE, "LICENSE", "py.typed", "_rules", "order", "summary"}
        )
        record = (self.dest / RECORD).read_text("utf-8")
        self.assertEqual(
            {line.partition("  ")[2] for line in record.splitlines() if not line.startswith("#")},
            {*files_of(self.dest)} - {RECORD},
        )

    def test_what_cannot_be_copied_is_2(self) -> None:
        names = ["runs", *(path.stem for path in (ROOT / "axon_events").glob("[a-z]*.py"))]
        for arguments, text in (
            (("--only", "order fresh cli"), "no module cli, fresh: ONLY takes any of "),
            (("--only", "_codec"), "no module _codec: ONLY takes any of core, "),
            (("--only", ""), "ONLY is empty: leave it out to copy all modules; ONLY=core copies "),
            (("--only", " "), "ONLY is empty: "),
            (("--only", "sse.py"), "no module sse.py: ONLY takes any of "),
            (
                ("--only", "sse", "--cli"),
                "the commands need every module: give CLI=1 or ONLY, not ",
            ),
        ):
            with self.subTest(arguments):
                run = Vendor(*arguments, self.dest)
                self.assertEqual((run.status, run.out), (2, ""))
                self.assertTrue(run.err.startswith(f"make vendor: {text}"), run.err)
                if "takes" in text:
                    self.assertLessEqual({*names}, {*re.findall("[a-z]+", run.err)})
                self.assertFalse(self.dest.exists())


class Imports(unittest.TestCase):
    """Which modules come with another, by what they import."""

    def needed(self, source: str, name: str = "chosen.py") -> set[str]:
        """Return what is copied with one module that has this source, of a made-up package."""
        files = {
            "__init__.py": "",
            "__main__.py": "",
            "cli/__init__.py": "",
            "cli/verify.py": "from .. import __version__\nfrom . import record",
            "cli/record.py": "",
            "cli/show.py": "from ..a import x",
            "a.py": "from ._b import x",
            "_b.py": "from .deep import c",
            "deep/__init__.py": "",
            "deep/c.py": "from .. import _d",
            "deep/e.py": "",
            "deep/notes.md": "",
            "_d.py": "",
            "f.py": "",
            "LICENSE": "",
            name: source,
        }
        contents = {f"axon_events/{file}": source.encode() for file, source in files.items()}
        contents["corpus/corpus.json"] = b"{}"
        chosen = name.removesuffix(".py").partition("/")[0]
        found = {*vendor.needed(contents, [chosen])}
        always = ["__init__.py", "__main__.py", "cli/__init__.py", "cli/record.py"]
        always += ["cli/verify.py", "LICENSE"]
        expected = {*(f"axon_events/{file}" for file in (*always, name)), "corpus/corpus.json"}
        self.assertLessEqual(expected, found)
        return {file.removeprefix("axon_events/") for file in found - expected}

    def test_they_are_followed(self) -> None:
        all_of_a = {"a.py", "_b.py", "deep/__init__.py", "deep/c.py", "_d.py"}
        for source, files in (
            ("import json\nfrom a import x", set()),
            ("from . import f", {"f.py"}),
            ("from .f import x", {"f.py"}),
            ("from .a import x", all_of_a),
            ("from . import a as b, f", {*all_of_a, "f.py"}),
            ("def later():\n    from . import f", {"f.py"}),
            ("try:\n    from .f import x\nexcept ImportError:\n    x = None", {"f.py"}),
            ("from .deep.e import x", {"deep/__init__.py", "deep/e.py"}),
            ("from .deep import e", {"deep/__init__.py", "deep/e.py"}),
            ("from .f import *", {"f.py"}),
        ):
            with self.subTest(source):
                self.assertEqual(self.needed(source), files)

    def test_those_for_type_checkers_are_not(self) -> None:
        for test in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            with self.subTest(test):
                source = f"if {test}:\n    from .a import x\nelse:\n    from .f import x"
                self.assertEqual(self.needed(source), {"f.py"})
        self.assertEqual(self.needed("if not TYPE_CHECKING:\n    from .f import x"), {"f.py"})

    def test_a_package_comes_whole(self) -> None:
        self.assertEqual(
            self.needed("from . import c", "deep/__init__.py"),
            {"deep/c.py", "deep/e.py", "deep/notes.md", "_d.py"},
        )


if __name__ == "__main__":
    unittest.main()
