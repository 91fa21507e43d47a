# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The command line as a whole: usage, exit statuses, closed pipes, Ctrl-C, encodings."""

import contextlib
import errno
import importlib.util
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import axon_events
from axon_events import cli, jsonl, to_json

from . import CORPUS, PACKAGE, ROOT, effort, needs
from .samples import EVENTS
from .terminal import Run, process

REPORT = CORPUS / "recorded" / "report.jsonl"


class Usage(unittest.TestCase):
    def test_wrong_usage_is_2_with_the_usage_on_stderr(self) -> None:
        for arguments in (
            (),
            ("fresh",),
            ("check",),
            ("check", "a", "--allow", "fresh-rule"),
            ("check", "a", "--token-scope", "run"),
            ("check", "a", "--json", "--quiet"),
            ("show",),
            ("show", "a", "b", "--html", "c"),
            ("serve",),
            ("verify", "--fresh"),
        ):
            with self.subTest(arguments):
                run = Run(*arguments)
                self.assertEqual((run.status, run.out), (2, ""))
                self.assertIn(f"usage: python -m {PACKAGE} ", run.err.replace("\n", " "))

    def test_help_is_0_and_names_the_commands(self) -> None:
        run = Run("--help")
        self.assertEqual((run.status, run.err), (0, ""))
        self.assertNotIn("This copy lacks", run.out)
        for command in ("check", "show", "serve", "verify"):
            self.assertIn(command, run.out)
            self.assertIn("Exit status: ", Run(command, "--help").out)

    def test_a_command_that_this_copy_lacks(self) -> None:
        def find_spec(name: str) -> object:
            return None if name.endswith(".show") else importlib.util.find_spec(name)

        with mock.patch.object(cli, "find_spec", find_spec):
            run = Run("show", REPORT)
            help = Run("--help").out
            self.assertNotRegex(help, "\n +show ")
            self.assertIn("\nThis copy lacks show: make vendor CLI=1 copies ", help)
            self.assertEqual(Run("check", REPORT).status, 0)
        self.assertEqual((run.status, run.out), (2, ""))
        self.assertEqual(
            run.err,
            f"python -m {PACKAGE}: this copy has no command show: make vendor CLI=1 copies it\n",
        )

    @needs.processes
    def test_a_command_is_imported_when_it_is_asked_for(self) -> None:
        code = f"""import sys
from {PACKAGE}.cli import main
for arguments in (["--help"], ["show", "--help"]):
    try:
        main(arguments)
    except SystemExit:
        print("modules:", *sys.modules)
"""
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
        )
        self.assertEqual(run.stderr, "")
        before, after = re.findall("^modules: (.*)$", run.stdout, re.M)
        commands = {f"{PACKAGE}.cli.{name}" for name in ("check", "serve", "show", "verify")}
        self.assertEqual(commands & {*before.split()}, set())
        self.assertEqual(commands & {*after.split()}, {f"{PACKAGE}.cli.show"})
        self.assertNotIn("http.server", after.split())

    def test_version(self) -> None:
        self.assertEqual(Run("--version").out, f"axon_events {axon_events.__version__}\n")

    def test_the_script_is_called_by_its_name(self) -> None:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), contextlib.redirect_stderr(err):
            with mock.patch("sys.argv", ["axon-events", "--help"]), self.assertRaises(SystemExit):
                cli.script()
            with mock.patch("sys.argv", ["axon-events", "show", str(ROOT / "fresh.jsonl")]):
                self.assertEqual(cli.script(), 2)
        self.assertTrue(out.getvalue().startswith("usage: axon-events "), out.getvalue())
        self.assertTrue(err.getvalue().startswith("axon-events: "), err.getvalue())

    @needs.processes
    def test_the_module_runs_under_its_own_name(self) -> None:
        with process("--help") as running:
            out, err = running.communicate()
        self.assertEqual((running.returncode, err), (0, b""))
        self.assertTrue(out.decode().startswith(f"usage: python -m {PACKAGE} "), out)


class Ends(unittest.TestCase):
    @needs.processes
    def test_a_pipe_closed_by_its_reader_ends_it_quietly(self) -> None:
        with process("show", REPORT) as running:
            if running.stdout is None or running.stderr is None:
                self.fail("no pipes")
            self.assertIn(b"flow_start", running.stdout.readline())
            running.stdout.close()
            self.assertEqual(running.stderr.read(), b"")
            self.assertEqual(running.wait(), 0)

    @needs.broken_pipes
    def test_a_closed_pipe_keeps_the_status_so_far(self) -> None:
        for stream, status in ((b"", 0), (b"not an event\n", 1)):
            with self.subTest(stream), tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "flow.jsonl")
                path.write_bytes(stream + to_json(EVENTS[0]).encode() + b"\n")
                reader, writer = os.pipe()
                os.close(reader)
                with open(writer, "w", encoding="utf-8") as pipe, redirect_stdout(pipe):
                    self.assertEqual(cli.main(["show", str(path)]), status)

    @needs.processes
    @unittest.skipUnless(os.path.exists("/dev/full"), "needs a device that is always full")
    def test_a_full_disk_is_2(self) -> None:
        # The other device shows that it is the full one that fails.
        for descriptor in ("/dev/full", *[os.devnull] * effort.ALL):
            with open(descriptor, "w", encoding="utf-8") as full:
                run = subprocess.run(
                    [sys.executable, "-W", "error", "-m", PACKAGE, "show", REPORT],
                    stdout=full,
                    stderr=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            error = "standard output: No space left on device"
            expected = (2, f"python -m {PACKAGE}: {error}\n") if "full" in descriptor else (0, "")
            self.assertEqual((run.returncode, run.stderr), expected)

    def test_a_file_that_cannot_be_read_is_2(self) -> None:
        run = Run("show", ROOT / "fresh.jsonl")
        self.assertEqual((run.status, run.out), (2, ""))
        error = f"{ROOT / 'fresh.jsonl'}: No such file or directory"
        self.assertEqual(run.err, f"python -m {PACKAGE}: {error}\n")

    def test_a_full_disk_inside_this_process(self) -> None:
        with tempfile.TemporaryFile("w", encoding="utf-8") as out, redirect_stdout(out):
            error = OSError(errno.ENOSPC, "No space left on device")
            with (
                mock.patch.object(jsonl, "from_json", side_effect=error),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                self.assertEqual(cli.main(["show", str(REPORT)]), 2)

    @needs.processes
    @unittest.skipIf(sys.platform == "win32", "Ctrl-C reaches a process otherwise there")
    def test_ctrl_c_is_130(self) -> None:
        with process("show", "-") as running:
            if running.stdin is None or running.stdout is None or running.stderr is None:
                self.fail("no pipes")
            running.stdin.write(to_json(EVENTS[0]).encode() + b"\n")
            running.stdin.flush()
            self.assertIn(b"flow_start", running.stdout.readline())
            running.send_signal(signal.SIGINT)
            self.assertEqual(running.wait(), 130)
            self.assertEqual(running.stderr.read(), b"")

    def test_ctrl_c_inside_a_command(self) -> None:
        with mock.patch.object(jsonl, "from_json", side_effect=KeyboardInterrupt):
            self.assertEqual(Run("show", REPORT).status, 130)


class Closed(unittest.TestCase):
    """A process whose streams were closed before it started: there they are None."""

    def test_without_stdout_or_stderr_the_status_tells_all(self) -> None:
        for command, status in (
            (["show", str(REPORT)], 0),
            (["check", str(REPORT)], 0),
            (["verify", str(REPORT.parent)], 2),
            (["show", str(CORPUS / "fresh.jsonl")], 2),
            (["check", str(CORPUS / "fresh.jsonl")], 2),
        ):
            with (
                self.subTest(command),
                mock.patch("sys.stdout", None),
                mock.patch("sys.stderr", None),
            ):
                found = cli.main(command)
            self.assertEqual(found, status)

    def test_a_closed_stdin_cannot_be_read(self) -> None:
        for command in ("show", "check", "serve"):
            err = io.StringIO()
            with (
                self.subTest(command),
                redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(err),
                mock.patch("sys.stdin", None),
            ):
                self.assertEqual(cli.main([command, "-"]), 2)
                self.assertEqual(err.getvalue(), f"python -m {PACKAGE}: <stdin>: it is closed\n")


class Names(unittest.TestCase):
    def test_the_name_of_a_file_is_harmless_to_a_terminal(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "ev\x1b[31mil\n.jsonl")
            missing = Path(folder, "no\x1b.jsonl")
            path.write_bytes(b"{}\n")
            for command in ("show", "check"):
                run = Run(command, path)
                self.assertEqual(run.status, 1)
                self.assertIn("ev\\x1b[31mil\\n.jsonl:1: missing-kind: ", run.out)
                run = Run(command, missing)
                self.assertEqual(run.status, 2)
                self.assertTrue(run.err.endswith("no\\x1b.jsonl: No such file or directory\n"))


class Encodings(unittest.TestCase):
    def test_a_stdout_that_cannot_write_a_character_gets_its_escape(self) -> None:
        written = io.BytesIO()
        with io.TextIOWrapper(written, encoding="ascii") as out, redirect_stdout(out):
            self.assertEqual(cli.main(["show", str(REPORT)]), 0)
            self.assertIn(b"\\u", written.getvalue())
            self.assertTrue(written.getvalue().isascii())

    def test_a_text_stream_that_is_no_file_will_do(self) -> None:
        out = io.StringIO()
        with redirect_stdout(out):
            self.assertEqual(cli.main(["check", str(REPORT)]), 0)
        self.assertIn("completed", out.getvalue())


if __name__ == "__main__":
    unittest.main()
