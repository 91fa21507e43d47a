# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Faults from outside: damaged input, full disks, killed processes and threads, closed pipes."""

import contextlib
import ctypes
import errno
import importlib.util
import io
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from axon_events import (
    EVENT_TYPES,
    DecodeError,
    Event,
    FlowComplete,
    StepToken,
    jsonl,
    to_json,
)
from axon_events.channel import Receiver, Sender, channel
from axon_events.order import Outcome, StreamChecker, TruncatedStream

from . import CORPUS, PACKAGE, ROOT, needs
from .effort import rounds
from .properties import REASONS, decoder_holds, from_json_holds
from .samples import EVENTS, flow, random_event
from .terminal import process

SEED = 20261123
PATIENCE = 60.0  # seconds, after which a test that hangs fails; none waits for as long
FULL = "/dev/full"
REPORT = CORPUS / "recorded" / "report.jsonl"


def as_lines(events: list[Event]) -> bytes:
    return b"".join(to_json(event).encode() + b"\n" for event in events)


def on_disk(content: bytes) -> tuple[list[Event], bool]:
    """Return the events that a file holds, and whether it ends in a line that is cut."""
    reader = jsonl.read(io.BytesIO(content))
    events: list[Event] = []
    try:
        for event in reader:
            events.append(event)
    except DecodeError as error:
        if error.reason != "cut-line" or list(reader):
            raise AssertionError(f"not at the end: {error}") from error
        return events, True
    return events, False


class AnyBytes(unittest.TestCase):
    """The properties that the gate `fuzz` tests for minutes, on input of a seeded generator."""

    def setUp(self) -> None:
        self.rng = random.Random(f"{SEED} {self.id().rpartition('.')[2]}")

    def damaged(self, data: bytes, pieces: list[bytes]) -> bytes:
        for _ in range(self.rng.choice((0, 1, 2, 4))):
            start = self.rng.randint(0, len(data))
            end = start + self.rng.choice((0, 0, 1, 5))
            piece = self.rng.choice([*pieces, self.rng.randbytes(1)])
            data = data[:start] + piece + data[end:]
        return data

    def document(self) -> bytes:
        """Return an event in some form, with another field or an odd number at times."""
        if self.rng.random() < 0.05:
            return self.rng.choice((b"[]", b"null", b"{}", b'{"kind":"x"}', b'"x"'))
        document = to_json(random_event(self.rng))
        if self.rng.random() < 0.3:
            document = json.dumps(json.loads(document), indent=1)
        if self.rng.random() < 0.3:
            depth = self.rng.choice((1, 126, 127))
            values = ("-0", "NaN", "1e400", "1e308", "[" * depth + "]" * depth)
            name = self.rng.choice(("unknown", "unknown", "kind", "error", "timestamp_ms"))
            document = document.rstrip("}") + f',"{name}":{self.rng.choice(values)}}}'
        if self.rng.random() < 0.1:
            number = self.rng.choice(("-0", "-1", "1.0", "1e2", "18446744073709551616", '"1"'))
            document = re.sub('_(index|input|ms)":[0-9]+', rf'_\1":{number}', document, count=1)
        return document.encode()

    def test_documents(self) -> None:
        pieces = [
            b'"',
            b"\\",
            b"\\u00e9",
            b"\\ud800",
            b"0",
            b"-",
            b".",
            b"e9",
            b"9" * 20,
            b"{",
            b"}",
        ]
        pieces += [b"[", b"]", b",", b":", b"\n", b"\x00", b"\xff", b'"kind":"', b"true", b'"x":']
        found = set()
        for _ in range(rounds(250, 2000)):
            document = self.damaged(self.document(), pieces)
            with self.subTest(document, seed=SEED):
                found.add(from_json_holds(document))
        missing = {*REASONS, *EVENT_TYPES} - found
        self.assertLessEqual(len(missing), rounds(3, 0), f"{missing}, seed {SEED}")

    def test_streams(self) -> None:
        pieces = [b"\n", b"\r", b"\r\n", b"\n\n", b":", b" ", b"data", b"data:  x\n", b"id: 1\n\n"]
        pieces += [b"id\x00", b"event: a\n", b"event\n", b"retry: 12\n", b"\xef\xbb\xbf", b"\x00"]
        pieces += [b"\xe2\x80", b"id:", b"data:\n\n", b"retry:%s\n" % (b"9" * 18)]
        pieces += [b"retry:%s\n" % (b"1" * 19), b"event: a\ndata: x\n\n"]
        found = set()
        for _ in range(rounds(200, 2000)):
            stream = b"".join(self.rng.choices(pieces, k=self.rng.randrange(12)))
            stream = self.damaged(stream, pieces)
            limit = self.rng.choice((self.rng.randrange(1, 40), 2**24))
            with self.subTest(stream, limit=limit, seed=SEED):
                found.add(decoder_holds(stream, limit, self.rng.randrange(2**32)))
        self.assertEqual(found, {"whole", "discarded", "too large"})


class FullDisk(io.RawIOBase):
    """A disk with room for `room` bytes; it takes a part of what does not fit, or nothing of it."""

    def __init__(self, room: int, in_part: bool) -> None:
        self.room = room
        self.in_part = in_part
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        fits = bytes(data[: self.room - len(self.content)])
        if len(fits) < len(data) and not (fits and self.in_part):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.content += fits
        return len(fits)


class Disk(unittest.TestCase):
    def test_a_disk_that_is_full_after_any_number_of_bytes(self) -> None:
        whole = as_lines(list(EVENTS))
        ends = itertools.accumulate(len(as_lines([event])) for event in EVENTS)
        near_ends = {room + offset for room in ends for offset in (-1, 0, 1)} - {len(whole) + 1}
        rooms = sorted({*range(0, len(whole) + 1, rounds(13, 1)), *near_ends})
        for room, in_part, size in itertools.product(rooms, (True, False), (None, 100, 8192)):
            disk = FullDisk(room, in_part)
            file: Any = disk if size is None else io.BufferedWriter(disk, size)
            failed = False
            try:
                jsonl.write(file, EVENTS)
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
                failed = True
            with self.subTest(room=room, in_part=in_part, size=size):
                # The writer flushes after the last event, which ends the flow.
                self.assertEqual(failed, disk.content != whole)
                self.assertEqual(disk.content, whole[: len(disk.content)])
                if in_part:
                    self.assertEqual(len(disk.content), room)
                events, is_cut = on_disk(disk.content)
                self.assertEqual(events, list(EVENTS[: len(events)]))
                rest = disk.content[len(as_lines(events)) :]
                self.assertEqual(is_cut, rest != b"")
            disk.room = 2 * len(whole)  # so that closing can write the rest of the buffer
            file.close()

    @unittest.skipUnless(os.path.exists(FULL), "needs a device that is always full")
    def test_a_device_that_is_always_full(self) -> None:
        for buffering in (0, -1):
            file = open(FULL, "wb", buffering)  # noqa: SIM115  # closing it fails as well
            with self.subTest(buffering), self.assertRaises(OSError) as caught:
                jsonl.write(file, EVENTS)
            self.assertEqual(caught.exception.errno, errno.ENOSPC)
            with contextlib.suppress(OSError):
                file.close()

    @needs.processes
    @unittest.skipUnless(importlib.util.find_spec("resource"), "needs limits of the system")
    def test_a_file_that_may_grow_no_more(self) -> None:
        code = (
            "import resource, sys\n"
            f"from {PACKAGE} import jsonl\n"
            f"from {__package__}.samples import flow\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (50_001, 50_001))\n"
            "for path, buffering in zip(sys.argv[1:], (0, -1)):\n"
            "    file = open(path, 'wb', buffering)\n"
            "    try: jsonl.write(file, flow(1_000))\n"
            "    except OSError as error: print(error.errno, flush=True)\n"
            "import os; os._exit(0)\n"
        )
        whole = as_lines(list(flow(1_000)))
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, name) for name in ("unbuffered", "buffered")]
            run = subprocess.run(
                [sys.executable, "-W", "error", "-c", code, *map(str, paths)],
                capture_output=True,
                text=True,
                cwd=ROOT,
            )
            self.assertEqual((run.stdout, run.stderr), (f"{errno.EFBIG}\n" * 2, ""))
            for path in paths:
                with self.subTest(path.name):
                    content = path.read_bytes()
                    self.assertEqual(content, whole[:50_001])
                    events, is_cut = on_disk(content)
                    self.assertEqual(events, list(itertools.islice(flow(1_000), len(events))))
                    self.assertIs(is_cut, True)


@needs.processes
class Killed(unittest.TestCase):
    @unittest.skipUnless(hasattr(signal, "SIGKILL"), "needs SIGKILL")
    def test_a_writer_that_is_killed_leaves_whole_events_and_perhaps_a_line_that_is_cut(
        self,
    ) -> None:
        code = (
            "import os, signal, sys\n"
            f"from {PACKAGE} import jsonl\n"
            f"from {__package__}.samples import flow\n"
            "def events():\n"
            "    for event in flow(10_000):\n"
            "        yield event\n"
            "        if getattr(event, 'token_index', 0) == int(sys.argv[2]):\n"
            "            os.kill(os.getpid(), signal.SIGKILL)\n"
            "jsonl.write(open(sys.argv[1], 'wb'), events())\n"
        )
        whole = as_lines(list(flow(10_000)))
        for token in (250, 1, 4000)[: rounds(1, 3)]:
            with self.subTest(token), tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "flow.jsonl")
                run = subprocess.run(
                    [sys.executable, "-c", code, str(path), str(token)],
                    stderr=subprocess.PIPE,
                    cwd=ROOT,
                )
                self.assertEqual((run.returncode, run.stderr), (-signal.SIGKILL, b""))
                content = path.read_bytes()
                self.assertEqual(content, whole[: len(content)])
                events, is_cut = on_disk(content)
                self.assertEqual(events, list(itertools.islice(flow(10_000), len(events))))
                self.assertLessEqual(len(events), token + 2)
                self.assertEqual(is_cut, len(as_lines(events)) < len(content))
                # The receiver notices that the end is missing.
                checker = StreamChecker()
                for event in events:
                    self.assertEqual(checker.feed(event), [])
                checker.close()
                self.assertIs(checker.outcome, Outcome.TRUNCATED)

    @unittest.skipUnless(hasattr(signal, "SIGKILL"), "needs SIGKILL")
    def test_a_writer_that_is_killed_in_the_middle_of_a_line_leaves_it_cut(self) -> None:
        code = (
            "import sys\n"
            f"from {PACKAGE} import StepToken, jsonl\n"
            f"from {__package__}.samples import flow\n"
            "jsonl.write(sys.stdout.buffer, [*flow(3), StepToken('Draft', 'x' * 10**6, 4, 4)])\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT
        ) as running:
            if running.stdout is None:
                self.fail("no pipe")
            whole = as_lines(list(flow(3)))
            content = running.stdout.read(len(whole) + 100)
            # A pipe holds less than the rest of the line, so the writer is in the middle of it.
            running.kill()
            content += running.stdout.read()
            self.assertEqual(running.wait(), -signal.SIGKILL)
        self.assertEqual(on_disk(content), (list(flow(3)), True))

    @unittest.skipUnless(hasattr(signal, "SIGKILL"), "needs SIGKILL")
    def test_check_names_what_a_killed_producer_left_in_a_pipe(self) -> None:
        with process("check", "-") as running:
            if running.stdin is None or running.stdout is None:
                self.fail("no pipes")
            producer = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "import os, signal, sys\n"
                    "os.write(1, bytes.fromhex(sys.argv[1]))\n"
                    "os.kill(os.getpid(), signal.SIGKILL)\n",
                    as_lines(list(flow(3)))[:-10].hex(),
                ],
                stdout=running.stdin,
            )
            running.stdin.close()
            producer.wait()
            out = running.stdout.read().decode()
            self.assertEqual(running.wait(), 1)
        self.assertIn("<stdin>:5: cut-line: ", out)
        self.assertIn("not-terminated", out)

    def test_daemon_threads_with_an_open_channel_do_not_disturb_the_end(self) -> None:
        code = (
            "import itertools, threading\n"
            f"from {PACKAGE} import StepToken\n"
            f"from {PACKAGE}.channel import channel\n"
            "sender, receiver = channel(check=False)\n"
            "idle = channel()\n"
            "sent = threading.Event()\n"
            "def produce():\n"
            "    for index in itertools.count(1):\n"
            "        sender.send(StepToken('Draft', 'x', index, 0))\n"
            "        sent.set()\n"
            "def consume():\n"
            "    for event in receiver: pass\n"
            "for target in (produce, produce, consume, idle[1].recv):\n"
            "    threading.Thread(target=target, daemon=True).start()\n"
            "sent.wait()\n"
        )
        for _ in range(rounds(1, 3)):
            run = subprocess.run(
                [sys.executable, "-W", "error", "-c", code],
                capture_output=True,
                cwd=ROOT,
                timeout=PATIENCE,
            )
            self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"", b""))


@needs.threads
@unittest.skipUnless(sys.implementation.name == "cpython", "needs a way to kill a thread")
@unittest.skipIf(sys.gettrace(), "a thread may be killed while it holds the tracer's own lock")
class KilledThreads(unittest.TestCase):
    def kill(self, thread: threading.Thread) -> None:
        """Raise SystemExit in a thread, wherever it is."""
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
        )

    def received(self, receiver: Receiver, until: Callable[[Event], object]) -> list[Event]:
        """Receive up to the truncated end, and call `until` with each event."""
        events: list[Event] = []
        with self.assertRaises(TruncatedStream):
            while True:
                event = receiver.recv(PATIENCE)
                if event is None:
                    self.fail("it ended well")
                events.append(event)
                until(event)
        return events

    def test_a_producer_that_is_killed_anywhere_truncates_the_stream(self) -> None:
        def with_block(sender: Sender) -> None:
            with sender:
                for event in flow(10**9):
                    sender.send(event)

        def last_reference(sender: Sender) -> None:
            for event in flow(10**9):
                sender.send(event)

        rng = random.Random(SEED)
        for produce, round in itertools.product((with_block, last_reference), range(rounds(5, 40))):
            sender, receiver = channel()
            thread = threading.Thread(target=produce, args=(sender,), daemon=True)
            del sender
            kill_at = rng.randrange(1, 300)
            thread.start()

            def until(event: Event, thread: Any = thread, kill_at: int = kill_at) -> None:
                if getattr(event, "token_index", 0) == kill_at:
                    self.kill(thread)

            with self.subTest(produce.__name__, round=round, seed=SEED):
                events = self.received(receiver, until)
                self.assertGreaterEqual(len(events), kill_at)
                self.assertEqual(events, list(itertools.islice(flow(10**9), len(events))))
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())

    def test_of_two_producers_one_that_is_killed_leaves_the_other_sending(self) -> None:
        def endlessly(sender: Sender) -> None:
            for index in itertools.count(1):
                sender.send(StepToken("Draft", "", index, 0))

        sender, receiver = channel(check=False)
        thread = threading.Thread(target=endlessly, args=(sender,), daemon=True)
        thread.start()
        receiver.recv(PATIENCE)
        self.kill(thread)
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())
        end = FlowComplete("Report", "anthropic", True, 0, 0, 0, 0, 0)
        sender.send(end)
        self.assertEqual(list(receiver)[-1], end)


@needs.processes
class ClosedPipes(unittest.TestCase):
    def test_a_reader_that_goes_after_one_line(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            many = Path(folder, "many.jsonl")
            # Each line is a violation, and there are more of them than a pipe holds.
            many.write_bytes(as_lines([StepToken("Draft", "x" * 50, 7, 0)]) * 1500)
            commands: list[tuple[list[str | Path], int]] = [
                (["check", many], 1),
                (["show", many], 0),
                (["verify", CORPUS], 0),
                (["check", "--json", many], 1),
                (["verify", "--json", CORPUS], 0),
            ]
            for command, status in commands[: rounds(1, 5)]:
                with self.subTest(command), process(*command) as running:
                    if running.stdout is None or running.stderr is None:
                        self.fail("no pipes")
                    self.assertNotEqual(running.stdout.readline(), b"")
                    running.stdout.close()
                    self.assertEqual(running.stderr.read(), b"")
                    self.assertEqual(running.wait(), status)

    def test_a_reader_that_was_never_there(self) -> None:
        commands = (["check", REPORT], ["show", REPORT], ["verify", CORPUS])
        for command in commands[: rounds(1, 3)]:
            reader, writer = os.pipe()
            os.close(reader)
            with open(writer, "wb") as pipe:
                run = subprocess.run(
                    [sys.executable, "-W", "error", "-m", PACKAGE, *map(str, command)],
                    stdout=pipe,
                    stderr=subprocess.PIPE,
                    cwd=ROOT,
                )
            with self.subTest(command):
                self.assertEqual((run.returncode, run.stderr), (0, b""))


if __name__ == "__main__":
    unittest.main()
