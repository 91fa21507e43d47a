# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`serve`: what it says before it serves, and that it ends."""

import re
import signal
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path
from unittest import mock

from axon_events import Event, FlowComplete, FlowStart, jsonl, sse, to_json
from axon_events.cli import pages, player, serve
from axon_events.cli.sites import Played
from axon_events.runs.sqlite import SqliteRuns

from . import CORPUS, PACKAGE, effort, needs
from .terminal import Run, process

UNSTREAMED = CORPUS / "recorded" / "unstreamed.jsonl"
START = FlowStart("Report", "anthropic", 1000)
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 2500, 3500)


def lines(*events: Event) -> bytes:
    return b"".join(to_json(event).encode() + b"\n" for event in events)


class Serving(unittest.TestCase):
    """The server itself is stopped as soon as it begins."""

    def run_command(self, *arguments: object, stdin: bytes = b"") -> Run:
        with mock.patch.object(pages.Server, "serve_forever", side_effect=KeyboardInterrupt):
            return Run("serve", *arguments, "--port", "0", stdin=stdin)

    @needs.sockets
    def test_it_says_where_and_what(self) -> None:
        run = self.run_command("-", "--speed", "2", stdin=lines(START, END))
        self.assertEqual((run.status, run.err), (130, ""))
        urls = re.findall("http://127.0.0.1:[1-9][0-9]*/[a-z]*", run.out)
        self.assertEqual(
            run.out,
            f"page:   {urls[0]}\nstream: {urls[0]}events\n"
            "<stdin>: 2 events in 1.25s, from the first client on; Ctrl-C ends it\n",
        )

    def test_the_waits_of_the_recording_have_a_limit(self) -> None:
        run = self.run_command("-", "--max-gap", "0.5", "--speed", "2", stdin=lines(START, END))
        self.assertIn("<stdin>: 2 events in 0.25s, ", run.out)

    def test_a_recording_whose_order_is_broken_is_played_with_a_word(self) -> None:
        run = self.run_command("-", stdin=lines(START))
        said = "1 violation of the order of events, which `check` names: it is played as it is\n"
        self.assertTrue(run.out.endswith(f"<stdin>: {said}"), run.out)

    def test_the_name_of_a_file_is_harmless_to_a_terminal(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "ev\x1bil.jsonl")
            path.write_bytes(lines(START, END))
            self.assertIn("ev\\x1bil.jsonl: 2 events", self.run_command(path).out)

    def test_the_options_reach_the_server(self) -> None:
        with mock.patch.object(serve, "Server", side_effect=KeyboardInterrupt) as made:
            options = ("--drop-after", "7", "--loop", "--speed", "0", "--host", "localhost")
            allowed = ("--allow-host", "Proxy.example:443", "--allow-host", "::0001")
            Run("serve", UNSTREAMED, *options, *allowed)
        host, port, site = made.call_args.args
        self.assertEqual(
            (host, port, made.call_args.kwargs),
            ("localhost", 8765, {"drop_after": 7, "allow_hosts": ["proxy.example", "::1"]}),
        )
        self.assertEqual((site._player._is_loop, site._player.seconds), (True, 0.0))

    def test_a_recording_of_server_sent_events_will_do(self) -> None:
        encoder = sse.Encoder()
        stdin = b"retry: 500\n\n" + encoder.encode(START) + encoder.encode(END)
        self.assertIn("<stdin>: 2 events in 2.50s", self.run_command("-", stdin=stdin).out)

    @needs.sockets
    def test_a_store_is_served_as_it_is(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "r\x1bns.db")
            with SqliteRuns(path) as runs, runs.create("run-7") as log:
                log.append(START)
            before = path.read_bytes()
            run = self.run_command("--store", path)
            self.assertEqual([*Path(folder).iterdir()], [path])
            self.assertEqual(path.read_bytes(), before)
        self.assertEqual((run.status, run.err), (130, ""))
        url = re.findall("http://127.0.0.1:[1-9][0-9]*/", run.out)[0]
        self.assertEqual(
            run.out,
            f"page:   {url}\nstream: {url}runs/NAME/events\n"
            f"{folder}/r\\x1bns.db: 1 run now, each as it is written; Ctrl-C ends it\n",
        )


class Refusing(unittest.TestCase):
    def setUp(self) -> None:
        serving = mock.patch.object(pages.Server, "serve_forever", side_effect=AssertionError)
        serving.start()
        self.addCleanup(serving.stop)

    def test_wrong_usage_is_2(self) -> None:
        for option, value, expected in (
            ("--port", "-1", "a whole number from 0 to 65535, got '-1'"),
            ("--port", "65536", "a whole number from 0 to 65535, got '65536'"),
            ("--port", "9" * 5000, f"a whole number from 0 to 65535, got '{'9' * 59}"),
            ("--port", "\u0663", "a whole number from 0 to 65535, got '\u0663'"),
            ("--speed", "-0.5", "0, or a number from 0.001, got '-0.5'"),
            ("--speed", "nan", "0, or a number from 0.001, got 'nan'"),
            ("--speed", "inf", "0, or a number from 0.001, got 'inf'"),
            ("--speed", "1e-300", "0, or a number from 0.001, got '1e-300'"),
            ("--speed", "fast", "0, or a number from 0.001, got 'fast'"),
            ("--drop-after", "0", "a whole number from 1 to "),
            ("--max-gap", "-1", "seconds, 0 or more, got '-1'"),
            ("--max-gap", "nan", "seconds, 0 or more, got 'nan'"),
            ("--max-gap", "inf", "seconds, 0 or more, got 'inf'"),
            ("--max-gap", "long", "seconds, 0 or more, got 'long'"),
            ("--allow-host", "", "a name or an address, got ''"),
            ("--allow-host", "http://x/", "a name or an address, got 'http://x/'"),
        ):
            with self.subTest(option, value=value[:10]):
                run = Run("serve", UNSTREAMED, f"{option}={value}")
                self.assertEqual((run.status, run.out), (2, ""))
                self.assertIn(f"error: argument {option}: expected {expected}", run.err)

    def test_what_cannot_be_played_is_1(self) -> None:
        for stdin, said in (
            (b"", "<stdin>: expected events, got none\n"),
            (
                b"{}\n",
                '<stdin>:1: missing-kind: expected a field "kind", got none (column 2)\n'
                "<stdin>: expected events, got none\n",
            ),
            (
                lines(START) + b"\xff\n" + lines(END) + b"{}\n",
                "<stdin>:2: not-utf8: expected UTF-8, got the byte 0xff (column 1)\n"
                '<stdin>:4: missing-kind: expected a field "kind", got none (column 2)\n',
            ),
            (
                b"noise\n" * 21,
                "".join(
                    f"<stdin>:{n}: not-json: expected a value, got 'noise' (column 1)\n"
                    for n in range(1, 21)
                )
                + "<stdin>: 1 more line without an event, from line 21 on\n"
                "<stdin>: expected events, got none\n",
            ),
            (
                b"\x1f\x8b\x08",
                "<stdin>:1: not-utf8: expected JSON Lines or Server-Sent Events, got a file"
                f" compressed by gzip; read it with: gzip -dc | python -m {PACKAGE} serve -\n",
            ),
            (
                lines(START, END, START, END),
                "<stdin>:3: after-terminator: expected the file to end with the flow's"
                " flow_complete, got flow_start: serve plays one flow\n",
            ),
        ):
            with self.subTest(said):
                run = Run("serve", "-", stdin=stdin)
                self.assertEqual((run.status, run.out, run.err), (1, said, ""))

    def test_a_file_that_cannot_be_read_is_2(self) -> None:
        run = Run("serve", CORPUS / "fresh.jsonl")
        self.assertEqual((run.status, run.out), (2, ""))
        self.assertTrue(run.err.endswith("fresh.jsonl: No such file or directory\n"))

    def test_a_file_and_a_store_have_options_of_their_own(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "runs.db")
            path.write_bytes(b"SQLite format 3\0")
            for arguments, said in (
                ((), "one of the arguments FILE --store is required"),
                ((path, "--store", path), "argument --store: not allowed with argument FILE"),
                ((path,), f"{path} is a SQLite file: --store serves its runs"),
                (
                    (f"{path}#team/7",),
                    f"{path}#team/7 is a run of a store: give --store {path}, and see"
                    " /runs/team%2F7",
                ),
                *(
                    (
                        ("--store", path, *option),
                        f"{option[0]} is for a FILE that is played, not for --store",
                    )
                    for option in (("--loop",), ("--speed", "0"), ("--max-gap", "0"))
                ),
            ):
                with self.subTest(said):
                    run = Run("serve", *arguments)
                    self.assertEqual((run.status, run.out), (2, ""))
                    self.assertTrue(run.err.endswith(f" serve: error: {said}\n"), run.err)

    def test_what_is_no_store_is_2(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            missing = Path(folder, "runs.db")
            for path, got in (
                (missing, "no file"),
                (folder, "a folder"),
                (UNSTREAMED, "a file of another kind"),
            ):
                with self.subTest(got):
                    run = Run("serve", "--store", path)
                    self.assertEqual((run.status, run.out), (2, ""))
                    said = f"{path}: expected a SQLite file of runs, got {got}"
                    self.assertEqual(run.err, f"python -m {PACKAGE}: {said}\n")
            self.assertFalse(missing.exists())

    @needs.sockets
    def test_an_address_that_cannot_be_had_is_2(self) -> None:
        with pages.Server("127.0.0.1", 0, Played(player.Player([START]))) as taken:
            port = taken.socket.getsockname()[1]
            run = Run("serve", UNSTREAMED, "--port", port)
        self.assertEqual((run.status, run.out), (2, ""))
        error = f"127.0.0.1, port {port}: Address already in use"
        self.assertEqual(run.err, f"python -m {PACKAGE}: {error}\n")
        for host in ("", "no host", "x" * 64, "256.1.1.1"):
            with self.subTest(host):
                run = Run("serve", UNSTREAMED, "--host", host, "--port", "0")
                self.assertEqual((run.status, run.out), (2, ""))
                self.assertRegex(run.err, f"^python -m {PACKAGE}: {host}, port 0: .+\n$")


@needs.processes
class Process(unittest.TestCase):
    @effort.long_form
    @unittest.skipIf(sys.platform == "win32", "Ctrl-C reaches a process otherwise there")
    def test_it_serves_until_ctrl_c(self) -> None:
        with process("serve", "-", "--port", "0", "--speed", "0") as running:
            if running.stdin is None or running.stdout is None or running.stderr is None:
                self.fail("no pipes")
            running.stdin.write(UNSTREAMED.read_bytes())
            running.stdin.close()
            url = re.findall(r"http://\S+", running.stdout.readline().decode())[0]
            with urllib.request.urlopen(f"{url}events") as answer:
                events = list(sse.read(answer))
            running.send_signal(signal.SIGINT)
            self.assertEqual(running.wait(), 130)
            self.assertEqual(running.stderr.read(), b"")
        with open(UNSTREAMED, "rb") as file:
            self.assertEqual(events, list(jsonl.read(file)))

    @unittest.skipIf(sys.platform == "win32", "Ctrl-C reaches a process otherwise there")
    def test_ctrl_c_ends_the_streams_as_well(self) -> None:
        with process("serve", "-", "--port", "0") as running:
            if running.stdin is None or running.stdout is None or running.stderr is None:
                self.fail("no pipes")
            late = FlowComplete("Report", "anthropic", True, 0, 0, 0, 0, 10**9)
            running.stdin.write(lines(START, late))
            running.stdin.close()
            url = re.findall(r"http://\S+", running.stdout.readline().decode())[0]
            with urllib.request.urlopen(f"{url}events") as answer:
                while not answer.readline().startswith(b"data: "):
                    pass
                running.send_signal(signal.SIGINT)
                self.assertEqual(answer.read(), b"\n")
            self.assertEqual(running.wait(), 130)
            self.assertEqual(running.stderr.read(), b"")

    @unittest.skipIf(sys.platform == "win32", "signals reach a process otherwise there")
    def test_signals_end_the_streams_of_a_store(self) -> None:
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
            with (
                self.subTest(number),
                tempfile.TemporaryDirectory() as folder,
                SqliteRuns(Path(folder, "runs.db")) as runs,
                runs.create("run-7") as log,
            ):
                log.append(START)
                log.flush()
                with process("serve", "--store", f"{folder}/runs.db", "--port", "0") as running:
                    if running.stdout is None or running.stderr is None:
                        self.fail("no pipes")
                    url = re.findall(r"http://\S+", running.stdout.readline().decode())[0]
                    with urllib.request.urlopen(f"{url}runs/run-7/events") as answer:
                        while not answer.readline().startswith(b"data: "):
                            pass
                        running.send_signal(number)
                        self.assertEqual(answer.read(), b"\n")
                    self.assertEqual(running.wait(), status)
                    self.assertEqual(running.stderr.read(), b"")


if __name__ == "__main__":
    unittest.main()
