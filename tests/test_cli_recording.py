# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The lines of a file: what they hold, the progress while they are read, and errors of the file."""

import contextlib
import errno
import io
import itertools
import os
import shlex
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from axon_events import DecodeError, Event, FlowError, sse, to_json
from axon_events.cli.recording import Lines

from .samples import EVENTS
from .terminal import Console

CONTENT = b"".join(to_json(event).encode() + b"\n" for event in EVENTS)


@contextlib.contextmanager
def recorded(content: bytes) -> Iterator[str]:
    """Make a file with that content, and give its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "flow.jsonl")
        path.write_bytes(content)
        yield str(path)


class Failing(io.BytesIO):
    """A file that cannot be read."""

    def readline(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


class Reading(unittest.TestCase):
    def test_events_and_errors_with_their_lines(self) -> None:
        with recorded(b"\n" + CONTENT[:-1] + b"\r\n\n{}\n") as path, Lines(path, "check") as lines:
            self.assertEqual((lines.name, lines.lineno), (path, 0))
            found = [(lines.lineno, event) for event in lines.events()]
        *events, (lineno, error) = found
        self.assertEqual(events, list(enumerate(EVENTS, 2)))
        if not isinstance(error, DecodeError):
            self.fail(f"{error!r} is no DecodeError")
        self.assertEqual((lineno, error.lineno, error.reason), (10, 10, "missing-kind"))

    def test_standard_input_stays_open(self) -> None:
        stdin = io.TextIOWrapper(io.BytesIO(CONTENT))
        with mock.patch("sys.stdin", stdin), Lines("-", "check") as lines:
            self.assertEqual(lines.name, "<stdin>")
            self.assertEqual(list(lines.events()), list(EVENTS))
        self.assertFalse(stdin.closed)

    def test_a_file_is_closed(self) -> None:
        with recorded(CONTENT) as path:
            with Lines(path, "check") as lines:
                pass
            with self.assertRaisesRegex(ValueError, "closed"):
                next(lines.events())

    def test_an_error_of_the_file_names_it(self) -> None:
        with (
            mock.patch("sys.stdin", io.TextIOWrapper(Failing())),
            Lines("-", "check") as lines,
            self.assertRaises(OSError) as caught,
        ):
            next(lines.events())
        self.assertEqual(caught.exception.filename, "<stdin>")
        with self.assertRaises(OSError) as caught:
            Lines("/there/is/none", "check")
        self.assertEqual(caught.exception.filename, "/there/is/none")


class Found(unittest.TestCase):
    """What the lines of a recording hold, line by line."""

    def found(self, content: bytes) -> list[tuple[int, Event | str]]:
        """Return what there is, and the line of each; of an error its reason and message."""
        found: list[tuple[int, Event | str]] = []
        with recorded(content) as path, Lines(path, "check") as lines:
            for event in lines.events():
                if isinstance(event, DecodeError):
                    found.append((event.lineno or 0, f"{event.reason}: {event.message}"))
                else:
                    found.append((lines.lineno, event))
            self.lines = lines
        return found

    def test_a_line_that_ends_without_its_end(self) -> None:
        # Design, section 6: cut only if the JSON or its last character is unfinished.
        start = CONTENT.splitlines()[0]
        emoji = '{"kind":"😀'.encode()
        for last, reason in (
            (start, None),
            (b'{"kind":"st', "cut-line"),
            (b"{", "cut-line"),
            (emoji, "cut-line"),
            (emoji[:-1], "cut-line"),
            (b"{}", "missing-kind"),
            (b'{"kind":"fresh"}', "unknown-kind"),
            (b"}", "not-json"),
            (emoji[:-1] + b'"', "not-utf8"),
        ):
            with self.subTest(last):
                (line, found), *more = self.found(b"\n" + start + b"\r\n" + last)[1:]
                self.assertEqual((line, more), (3, []))
                if reason is None:
                    self.assertEqual(found, EVENTS[0])
                else:
                    self.assertTrue(str(found).startswith(f"{reason}: "), found)

    def test_two_events_on_one_line(self) -> None:
        start = CONTENT.splitlines()[0]
        said = (
            "not-json: expected one event a line, got two or more events on one line: jq -c . FILE"
            " writes each on a line of its own"
        )
        for end in (b"\n", b""):
            self.assertEqual(self.found(start + start + end), [(1, said)])

    def test_a_crash_costs_one_event(self) -> None:
        first, second = CONTENT.splitlines(keepends=True)[:2]
        hole = 100_000
        found = self.found(first + b'{"kind":"st' + second + first + b"\0" * hole + second + b"\0")
        self.assertEqual(
            [(line, event) for line, event in found if not isinstance(event, str)],
            [(1, EVENTS[0]), (3, EVENTS[0]), (4, EVENTS[1])],
        )
        (torn, _), (nuls, text), (last, _) = [f for f in found if isinstance(f[1], str)]
        self.assertEqual((torn, nuls, last), (2, 4, 5))
        self.assertEqual(text, f"not-json: expected an event, got {hole} NUL bytes")

    def test_after_20_faults_from_the_start_the_others_are_counted(self) -> None:
        event = CONTENT.splitlines(keepends=True)[0]
        frame = b"data: %s\n"
        for noise, good in ((b"{}\n", event), (frame % b"{}\n", frame % event)):
            for faults in (19, 20, 21, 500):
                with self.subTest(noise, faults=faults):
                    found = self.found(noise * faults + good + noise * 3)
                    shown = [line for line, event in found if isinstance(event, str)]
                    step = noise.count(b"\n")
                    # Once an event has come, a fault is one of a recording.
                    more = 0 if faults <= 20 else faults - 20 + 3
                    self.assertEqual(self.lines.more, more)
                    self.assertEqual(len(shown), faults + 3 - more)
                    self.assertEqual(len(found), len(shown) + 1)
                    self.assertEqual(
                        shown[: min(faults, 20)], [n * step + 1 for n in range(min(faults, 20))]
                    )
                    rest = (
                        []
                        if not more
                        else [
                            f"{self.lines.name}: {more} more lines without an event, from line"
                            f" {20 * step + 1} on"
                        ]
                    )
                    self.assertEqual(list(self.lines.rest()), rest)

    def test_what_is_wrapped_is_one_error_and_the_rest_is_not_read(self) -> None:
        inside = b"".join(b"web-1  | %s\n" % line for line in CONTENT.splitlines())
        for before in (0, 1, 19, 20):
            with self.subTest(before):
                found = self.found(b"web-1  | listening\n" * before + inside)
                self.assertEqual(len(found), before + 1)
                line, text = found[-1]
                self.assertEqual(line, before + 1)
                name = shlex.quote(self.lines.name)
                self.assertEqual(
                    text,
                    "not-json: expected JSON Lines or Server-Sent Events, got lines with something"
                    f" before the event; read it with: sed 's/^[^{{]*//' {name} | check -",
                )
                self.assertEqual((self.lines.is_wrapped, self.lines.more), (True, 0))

    def test_only_the_beginning_of_a_line_is_looked_at(self) -> None:
        # The reading in pieces of 64 KiB does not show.
        found = self.found(b"x" * 2**16 + b"[\n" + CONTENT)
        self.assertEqual([line for line, event in found if isinstance(event, str)], [1])
        self.assertFalse(self.lines.is_wrapped)
        event = FlowError("Report", "", 1)
        empty = len(b"data: " + to_json(event).encode())
        for size in (2**16 - 1, 2**16, 2**16 + 1, 2**18):
            event = FlowError("Report", "x" * (size - empty), 1)
            for end in (b"\n", b"\r\n"):
                frame = b"data: %s%s%s" % (to_json(event).encode(), end, end)
                with self.subTest(size, end=end):
                    self.assertEqual(self.found(frame * 2), [(1, event), (3, event)])

    def test_once_an_event_has_come_it_is_a_recording(self) -> None:
        event = CONTENT.splitlines(keepends=True)[0]
        found = self.found(event + b"web-1  | " + event + b"[\n{\n\x1f\x8b\n")
        self.assertEqual([line for line, _ in found], [1, 2, 3, 4, 5])
        self.assertFalse(self.lines.is_wrapped)

    def test_a_brace_that_a_crash_has_left_is_one_fault(self) -> None:
        found = self.found(b"{\n" + CONTENT)
        self.assertEqual([line for line, event in found if isinstance(event, str)], [1])
        self.assertEqual(len(found), 1 + len(EVENTS))

    def test_a_file_with_its_end_is_not_live_and_a_pipe_is(self) -> None:
        with recorded(CONTENT) as path, Lines(path, "show") as lines:
            self.assertFalse(lines.is_live)
        reader, writer = os.pipe()
        os.close(writer)
        with (
            open(reader, encoding="utf-8") as stdin,
            mock.patch("sys.stdin", stdin),
            Lines("-", "show") as lines,
        ):
            self.assertTrue(lines.is_live)
        stream = io.TextIOWrapper(io.BytesIO())
        with mock.patch("sys.stdin", stream), Lines("-", "show") as lines:
            self.assertFalse(lines.is_live)


class ServerSentEvents(unittest.TestCase):
    def found(self, content: bytes) -> list[tuple[int, Event | str]]:
        """Return what there is, and the line of each; of an error its reason."""
        found: list[tuple[int, Event | str]] = []
        with recorded(content) as path, Lines(path, "check") as lines:
            for event in lines.events():
                if isinstance(event, DecodeError):
                    self.assertEqual(event.lineno, lines.lineno)
                    found.append((lines.lineno, event.reason))
                else:
                    found.append((lines.lineno, event))
            self.last = lines.lineno
        return found

    def test_they_are_told_by_the_first_line_that_is_not_blank(self) -> None:
        frame = b"data: " + CONTENT.splitlines()[0] + b"\n\n"
        for first in (
            b"",
            b"event:\n\n",
            b"id: 7\n\n",
            b"retry: 500\n\n",
            b": hello\n",
        ):
            for blank in (b"", b"\n", b" \r\n\t\n"):
                with self.subTest(first, blank=blank):
                    ((line, event),) = self.found(blank + first + frame)
                    self.assertEqual(event, EVENTS[0])
                    before = (blank + first).removesuffix(b": hello\n")
                    self.assertEqual(line, before.count(b"\n") + 1)
        bom = b"\xef\xbb\xbf"
        for blank in (b"", b"\n", b"\r\n", b"\n\n"):
            stream = bom + blank + b"id: 0.1\nevent: flow_start\n" + frame
            expected = [(blank.count(b"\n") + 1, EVENTS[0])]
            self.assertEqual(sse.Decoder().feed(stream)[0].id, "0.1")
            self.assertEqual(self.found(stream), expected)
        # Only at the beginning of the file is it one.
        (_, reason), *_ = self.found(b"\n" + bom + frame)
        self.assertEqual(reason, "not-json")
        text = CONTENT.splitlines(keepends=True)[0]
        self.assertEqual(self.found(bom + text), [(1, EVENTS[0])])
        self.assertEqual(self.found(bom + b"\n\n" + text), [(3, EVENTS[0])])
        self.assertEqual(self.found(b"\n" + bom + text), [(2, "not-json")])
        for first in (b"data\n", b"fresh: 1\n", b" data:\n", b"{}\n"):
            (_, reason), *_ = self.found(first + frame)
            self.assertIn(reason, ("not-json", "missing-kind"))

    def test_events_stand_at_the_first_lines_of_their_frames(self) -> None:
        encoder = sse.Encoder("run")
        stream = b"".join(map(encoder.encode, EVENTS))
        expected = [(4 * n + 1, event) for n, event in enumerate(EVENTS)]
        for end in (b"\n", b"\r\n", b"\r"):
            with self.subTest(end):
                self.assertEqual(self.found(stream.replace(b"\n", end)), expected)
                self.assertEqual(self.last, 4 * len(EVENTS))

    def test_what_is_no_event_is_skipped_or_named(self) -> None:
        start, end = (to_json(event).encode() for event in (EVENTS[0], EVENTS[-1]))
        found = self.found(
            b": a comment\n\nevent: fresh\ndata: {}\n\ndata: {}\nid: 7\n\n\n"
            b"event: step_token\ndata: "
            + start
            + b"\n\nid: 8\n\ndata: "
            + end
            + b"\n\ndata: \xff\n\n"
        )
        self.assertEqual(
            found,
            [(6, "missing-kind"), (10, "kind-mismatch"), (15, EVENTS[-1]), (17, "not-json")],
        )

    def test_a_frame_cut_short_is_named(self) -> None:
        frame = b"data: " + CONTENT.splitlines()[0] + b"\n"
        for cut in (frame, frame[:-1], b"event: flow_start\n", b"d"):
            with self.subTest(cut):
                found = self.found(frame + b"\n" + cut)
                self.assertEqual(found, [(1, EVENTS[0]), (3, "cut-line")])
        self.assertEqual(self.found(frame + b"\n: a comm"), [(1, EVENTS[0])])
        self.assertEqual(self.last, 3)

    def test_a_complaint_names_the_column_if_there_is_one(self) -> None:
        stream = b"data: {}\n\ndata: x"
        with recorded(stream) as path, Lines(path, "check") as lines:
            errors = [event for event in lines.events() if isinstance(event, DecodeError)]
            self.assertEqual(
                [lines.complaint(error) for error in errors],
                [
                    f'{path}:1: missing-kind: expected a field "kind", got none, in the data of'
                    " a frame without an id (column 2)",
                    f"{path}:3: cut-line: expected a blank line, which ends a frame, got the end of"
                    " the file in the middle of one",
                ],
            )


class Progress(unittest.TestCase):
    def setUp(self) -> None:
        self.err: io.StringIO = Console()
        self.out: io.StringIO = Console()

    def read(self, path: str, seconds: float, text: str | None = None) -> None:
        """Read a file of which each line takes so many seconds, and print a text after each."""
        clock = (seconds * n for n in itertools.count())
        with (
            contextlib.redirect_stderr(self.err),
            contextlib.redirect_stdout(self.out),
            mock.patch.object(time, "monotonic", side_effect=clock),
            Lines(path, "check") as lines,
        ):
            for _ in lines.events():
                if text is not None:
                    lines.print(text)

    def test_long_input_shows_it_once_a_second_and_erases_it_at_the_end(self) -> None:
        # Of a line that has no end, as of the hole that a crash leaves, too.
        for line in (b" " * 2**16, b"\0" * 2**16, b" " * (2**16 - 1) + b"\n"):
            self.err = Console()
            with self.subTest(line[-3:]), recorded(line * 32) as path:
                self.read(path, 0.25)
                self.assertEqual(
                    self.err.getvalue(),
                    "".join(f"\r{n * 0.262144:.1f} of 2.1 MB" for n in range(1, 9)) + "\r\x1b[K",
                )

    def test_short_input_shows_none(self) -> None:
        with recorded(b"\n" * 9) as path:
            self.read(path, 0.01)
        self.assertEqual(self.err.getvalue(), "")

    def test_it_is_for_terminals(self) -> None:
        self.err = io.StringIO()
        with recorded(b"\n" * 9) as path:
            self.read(path, 2.0)
        self.assertEqual(self.err.getvalue(), "")

    def test_a_line_printed_to_a_terminal_takes_its_place(self) -> None:
        with recorded(b"{}\n" * 2) as path:
            self.read(path, 2.0, text="found")
        self.assertEqual(self.err.getvalue(), "\r0.0 of 0.0 MB\r\x1b[K" * 2)
        self.assertEqual(self.out.getvalue(), "found\nfound\n")

    def test_a_line_printed_elsewhere_leaves_it(self) -> None:
        self.out = io.StringIO()
        with recorded(b"{}\n" * 2) as path:
            self.read(path, 2.0, text="found")
        self.assertEqual(self.err.getvalue(), "\r0.0 of 0.0 MB" * 2 + "\r\x1b[K")
        self.assertEqual(self.out.getvalue(), "found\nfound\n")

    def test_the_size_of_a_pipe_is_not_known(self) -> None:
        reader, writer = os.pipe()
        os.write(writer, b"\n")
        os.close(writer)
        with open(reader, encoding="utf-8") as stdin, mock.patch("sys.stdin", stdin):
            self.read("-", 2.0)
        self.assertEqual(self.err.getvalue(), "\r0.0 MB\r\x1b[K")


if __name__ == "__main__":
    unittest.main()
