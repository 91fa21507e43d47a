# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""JSON Lines: what is written is read again, and each line that holds no event is told of."""

import gzip
import io
import itertools
import pickle
import random
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from axon_events import DecodeError, Event, from_json, jsonl, to_json

from . import CORPUS
from .effort import rounds
from .samples import EVENTS, random_event

LINES = [to_json(event).encode() for event in EVENTS]


def results(reader: Iterator[Event]) -> list[Event | tuple[str, int | None]]:
    """Return all that a reader gives: events, and reason and line of each error."""
    found: list[Event | tuple[str, int | None]] = []
    while True:
        try:
            found.append(next(reader))
        except DecodeError as error:
            found.append((error.reason, error.lineno))
        except StopIteration:
            return found


class Read(unittest.TestCase):
    def error(self, content: bytes) -> DecodeError:
        with self.assertRaises(DecodeError) as caught:
            list(jsonl.read(io.BytesIO(content)))
        return caught.exception

    def test_the_recorded_flows(self) -> None:
        paths = sorted((CORPUS / "recorded").glob("*.jsonl"))
        self.assertGreater(len(paths), 2)
        for path in paths:
            with self.subTest(path.name), open(path, "rb") as file:
                events = list(jsonl.read(file))
                lines = path.read_text("utf-8").splitlines()
                self.assertEqual(events, [from_json(line) for line in lines])

    def test_line_ends_blank_lines_and_a_last_line_without_its_end(self) -> None:
        for content in (
            b"\n".join(LINES),
            b"\n".join(LINES) + b"\n",
            b"\r\n".join(LINES) + b"\r\n",
            b"\r\n \t\r\n\n" + b"\n\n\r\n".join(LINES) + b"\n \r",
        ):
            with self.subTest(content):
                self.assertEqual(list(jsonl.read(io.BytesIO(content))), list(EVENTS))

    def test_no_line_no_event(self) -> None:
        for content in (b"", b"\n", b"\r\n\r\n", b" "):
            self.assertEqual(list(jsonl.read(io.BytesIO(content))), [])

    def test_it_goes_on_after_a_line_that_holds_no_event(self) -> None:
        content = b"\n".join([b"nonsense", LINES[0], b"", b"{}", b"\xff", LINES[1], b"\x0c", b""])
        reader = jsonl.read(io.BytesIO(content))
        self.assertEqual(
            results(reader),
            [
                ("not-json", 1),
                EVENTS[0],
                ("missing-kind", 4),
                ("not-utf8", 5),
                EVENTS[1],
                ("not-json", 7),
            ],
        )
        self.assertEqual(list(reader), [])

    def test_an_error_has_the_files_line_and_all_else_of_its_own_line(self) -> None:
        line = LINES[2].replace(b'"token_index":1', b'"token_index":-1')
        with self.assertRaises(DecodeError) as caught:
            from_json(line)
        alone = caught.exception
        error = self.error(b"\n".join([*LINES, b"\r", line, b""]))
        self.assertEqual(error.lineno, len(LINES) + 2)
        for name in ("reason", "message", "kind", "field", "pos", "colno"):
            self.assertEqual(getattr(error, name), getattr(alone, name), name)
        self.assertTrue(str(error).endswith(f"(line 9, column {error.colno})"), error)
        self.assertEqual(str(pickle.loads(pickle.dumps(error))), str(error))

    def test_a_last_line_that_is_cut_says_so(self) -> None:
        whole = "…".encode().join([b'{"kind":"flow_error","flow_name":"', b'"}'])
        for end in range(1, len(whole) + 1):
            error = self.error(LINES[0] + b"\n" + whole[:end])
            self.assertEqual((error.reason, error.lineno), ("cut-line", 2), whole[:end])
        error = self.error(whole)
        self.assertEqual((error.kind, error.field), ("flow_error", "error"))
        self.assertEqual(
            str(self.error(b"\n" + b'{"kind":"flow_er')),
            "cut-line: expected a whole line, got the end of the file in the middle of it"
            " (not-json: expected a closing quote, got the end of the document)"
            " (line 2, column 17)",
        )
        # With its end, it was written so.
        self.assertEqual(self.error(whole + b"\n").reason, "missing-field")

    def test_an_error_quotes_little_of_a_long_line(self) -> None:
        text = b"x" * rounds(1_000_000, 10_000_000)
        for content in (text, b'{"kind":"' + text):
            for end in (b"", b"\n"):
                self.assertLess(len(str(self.error(content + end))), 300)

    def test_it_reads_one_line_at_a_time(self) -> None:
        file = io.BytesIO(b"".join(line + b"\n" for line in LINES))
        reader = jsonl.read(file)
        read = 0
        for line, event in zip(LINES, EVENTS, strict=True):
            self.assertEqual(file.tell(), read)
            self.assertEqual(next(reader), event)
            read += len(line) + 1

    def test_a_file_in_text_mode_is_a_type_error(self) -> None:
        error = "^expected a file in binary mode, got one in text mode: open it with 'b'$"
        text: Any
        with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as named:
            for text in (io.StringIO(), io.TextIOWrapper(io.BytesIO()), named):
                with self.subTest(text):
                    with self.assertRaisesRegex(TypeError, error):
                        jsonl.read(text)
                    with self.assertRaisesRegex(TypeError, error):
                        jsonl.write(text, [])


class Flushes(io.BytesIO):
    """A file that notes what it had when it was flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[bytes] = []

    def flush(self) -> None:
        self.flushed.append(self.getvalue())


class Write(unittest.TestCase):
    def test_each_event_is_a_line(self) -> None:
        file = io.BytesIO()
        jsonl.write(file, iter(EVENTS))
        self.assertEqual(file.getvalue(), b"".join(line + b"\n" for line in LINES))

    def test_it_flushes_after_a_terminator(self) -> None:
        file = Flushes()
        jsonl.write(file, EVENTS)
        content = b"".join(line + b"\n" for line in LINES)
        self.assertEqual(file.flushed, [content[: -len(LINES[-1]) - 1], content])

    def test_what_is_no_event_is_a_type_error(self) -> None:
        event: Any = {"kind": "flow_error"}
        with self.assertRaisesRegex(TypeError, "got dict"):
            jsonl.write(io.BytesIO(), [event])

    def test_random_events_are_read_as_they_were_written(self) -> None:
        rng = random.Random(6)
        events = [random_event(rng) for _ in range(rounds(100, 500))]
        file = io.BytesIO()
        jsonl.write(file, events)
        self.assertEqual(file.getvalue().count(b"\n"), len(events))
        file.seek(0)
        self.assertEqual(list(jsonl.read(file)), events)


class Unbuffered(io.RawIOBase):
    """A file without buffer: it takes at most so many bytes at a time, or None as if it blocked."""

    def __init__(self, *most: int | None) -> None:
        self.most = itertools.cycle(most)
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int | None:
        taken = next(self.most)
        self.content += bytes(data[: taken or 0])
        return None if taken is None else min(taken, len(data))


class WriteUnbuffered(unittest.TestCase):
    def test_what_the_file_did_not_take_is_written_again(self) -> None:
        for most in ((1,), (7, 100, 3), (10_000,)):
            file = Unbuffered(*most)
            jsonl.write(file, EVENTS)
            self.assertEqual(file.content, b"".join(line + b"\n" for line in LINES))

    def test_a_file_that_would_block_is_an_error_and_nothing_is_lost_silently(self) -> None:
        for most in ((None,), (0,), (5, None), (1000, None)):
            file = Unbuffered(*most)
            with self.subTest(most), self.assertRaisesRegex(BlockingIOError, "took nothing"):
                jsonl.write(file, EVENTS)

    def test_a_writer_that_does_not_count_has_taken_all(self) -> None:
        writer = mock.Mock()
        writer.write.return_value = None
        del writer.encoding
        jsonl.write(writer, EVENTS)
        lines = [call.args[0] for call in writer.write.call_args_list]
        self.assertEqual(lines, [line + b"\n" for line in LINES])


class NoFile(unittest.TestCase):
    def test_a_path_or_content_is_a_type_error_that_says_to_open_it(self) -> None:
        others: list[Any] = ["flow.jsonl", Path("flow.jsonl"), b"{}", bytearray()]
        for other in others:
            text = f"expected a file in binary mode, got {type(other).__name__}: open it first"
            for call in (lambda o=other: jsonl.read(o), lambda o=other: jsonl.write(o, [])):
                with self.subTest(type(other).__name__), self.assertRaises(TypeError) as caught:
                    call()
                self.assertEqual(str(caught.exception), text)

    def test_any_writer_with_write_and_flush_will_do(self) -> None:
        buffer = io.BytesIO()
        with gzip.open(buffer, "wb") as file:
            jsonl.write(file, EVENTS)
        buffer.seek(0)
        with gzip.open(buffer, "rb") as file:
            self.assertEqual(list(jsonl.read(file)), list(EVENTS))


if __name__ == "__main__":
    unittest.main()
