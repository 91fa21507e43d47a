# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""JSON Lines: what is written is read again, whatever a crash or a transport has done to it."""

import asyncio
import copy
import gzip
import importlib.util
import io
import itertools
import json
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import tempfile
import tracemalloc
import unittest
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from axon_events import DecodeError, Event, FlowError, StepToken, from_json, jsonl, to_json
from axon_events.emit import FlowEmitter

from . import CORPUS, PACKAGE, ROOT, needs, threads
from .effort import rounds
from .jsonl_model import BOM, Result, can_go_on, model
from .samples import EVENTS, random_event

SEED = 20261201
LINES = [to_json(event).encode() for event in EVENTS]
A, B = LINES[:2]
CONTENT = b"".join(line + b"\n" for line in LINES)


def told(found: Iterable[Event | DecodeError]) -> list[Result]:
    return [(x.reason, x.lineno) if isinstance(x, DecodeError) else x for x in found]


def decoded(*chunks: bytes) -> list[Result]:
    """Return what a decoder gives for these chunks and their end."""
    decoder = jsonl.Decoder()
    found = [result for chunk in chunks for result in decoder.feed(chunk)]
    return told(found + decoder.close())


def results(reader: Iterator[Event]) -> list[Result]:
    """Return all that an iterator gives and raises up to its end."""
    found: list[Result] = []
    while True:
        try:
            found.append(next(reader))
        except DecodeError as error:
            found += told([error])
        except StopIteration:
            return found


def error_of(content: bytes) -> DecodeError:
    """Return the only error in some content."""
    decoder = jsonl.Decoder()
    found = decoder.feed(content) + decoder.close()
    (error,) = (result for result in found if isinstance(result, DecodeError))
    return error


def cuts(content: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.choices(range(len(content) + 1), k=rng.choice((1, 3, 10))))
    bounds = itertools.pairwise([0, *places, len(content)])
    return [content[start:end] for start, end in bounds]


class Lines(unittest.TestCase):
    def test_the_recorded_flows(self) -> None:
        paths = sorted((CORPUS / "recorded").glob("*.jsonl"))
        self.assertGreater(len(paths), 2)
        for path in paths:
            with self.subTest(path.name), open(path, "rb") as file:
                lines = path.read_text("utf-8").splitlines()
                self.assertEqual(list(jsonl.read(file)), [from_json(line) for line in lines])

    def test_line_ends_blank_lines_and_a_last_line_without_its_end(self) -> None:
        for content in (
            b"\n".join(LINES),
            b"\n".join(LINES) + b"\n",
            b"\n".join(LINES) + b"\r",
            b"\r\n".join(LINES) + b"\r\n",
            b"\r\n \t\r\n\n" + b"\n\n\r\n".join(LINES) + b"\n \r",
        ):
            with self.subTest(content):
                self.assertEqual(decoded(content), list(EVENTS))

    def test_no_line_no_event(self) -> None:
        for content in (b"", b"\n", b"\r\n\r\n", b" ", BOM, BOM + b"\n"):
            self.assertEqual(decoded(content), [], content)

    def test_it_goes_on_after_a_line_that_holds_no_event(self) -> None:
        lines = [b"nonsense", A, b"", b"{}", b"\xff", B, b"\x0c", b""]
        self.assertEqual(
            decoded(b"\n".join(lines)),
            [
                ("not-json", 1),
                EVENTS[0],
                ("missing-kind", 4),
                ("not-utf8", 5),
                EVENTS[1],
                ("not-json", 7),
            ],
        )

    def test_an_error_has_the_files_line_and_all_else_of_its_own_line(self) -> None:
        line = LINES[2].replace(b'"token_index":1', b'"token_index":-1')
        with self.assertRaises(DecodeError) as caught:
            from_json(line)
        alone = caught.exception
        for end in (b"\n", b"\r\n", b""):
            error = error_of(b"\n".join([*LINES, b"\r", line + end]))
            self.assertEqual(error.lineno, len(LINES) + 2)
            for name in ("reason", "message", "kind", "field", "pos", "colno"):
                self.assertEqual(getattr(error, name), getattr(alone, name), name)
        self.assertTrue(str(error).endswith(f"(line 9, column {error.colno})"), error)
        self.assertEqual(str(pickle.loads(pickle.dumps(error))), str(error))

    def test_an_error_quotes_little_of_a_long_line(self) -> None:
        text = b"x" * rounds(300_000, 10_000_000)
        for content in (text, b'{"kind":"' + text):
            for end in (b"", b"\n"):
                self.assertLess(len(str(error_of(content + end))), 300)

    def test_a_byte_order_mark_is_skipped_on_line_1(self) -> None:
        self.assertEqual(decoded(BOM + CONTENT), list(EVENTS))
        self.assertEqual(decoded(BOM + b"\r\n" + A), [EVENTS[0]])
        self.assertEqual(decoded(BOM + b"{}"), [("missing-kind", 1)])
        self.assertEqual(error_of(BOM + b"{}").pos, len(BOM) + 1)
        # Nowhere else is it one.
        self.assertEqual(decoded(A + b"\n" + BOM + B), [EVENTS[0], ("not-json", 2)])
        self.assertEqual(decoded(BOM + BOM + A), [("not-json", 1)])

    def test_a_run_of_nuls_is_one_error_and_the_rest_of_the_line_is_read(self) -> None:
        for before in (b"", BOM):
            self.assertEqual(decoded(before + bytes(5) + A), [("not-json", 1), EVENTS[0]])
        self.assertEqual(
            decoded(A + b"\n" + bytes(9) + B + b"\n" + bytes(1) + b"\r\n" + bytes(2) + b"{}"),
            [
                EVENTS[0],
                ("not-json", 2),
                EVENTS[1],
                ("not-json", 3),
                ("not-json", 4),
                ("missing-kind", 4),
            ],
        )
        error = error_of(A + b"\n" + bytes(4096) + B)
        self.assertEqual(
            str(error), "not-json: expected an event, got 4096 NUL bytes (line 2, column 1)"
        )
        self.assertEqual(error.pos, 0)
        self.assertIn("got 1 NUL byte (line 1, column 4)", str(error_of(BOM + b"\0")))
        # What stands behind them has its own place in the line.
        _, behind = jsonl.Decoder().feed(bytes(9) + b"{}\n")
        self.assertIn("(line 1, column 11)", str(behind))

    def test_nuls_cost_no_memory(self) -> None:
        block = bytes(2**16)
        count = rounds(400, 5000)
        decoder = jsonl.Decoder()
        tracemalloc.start()
        try:
            self.assertEqual(decoder.feed(A + b"\n" + block), [EVENTS[0]])
            for _ in range(count):
                self.assertEqual(decoder.feed(block), [])
            self.assertEqual(told(decoder.feed(B + b"\n")), [("not-json", 2), EVENTS[1]])
            self.assertLess(tracemalloc.get_traced_memory()[1], 2**20)
        finally:
            tracemalloc.stop()

    def test_a_hole_in_a_file_costs_little_memory(self) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(A + b"\n")
            file.truncate(rounds(30, 300) * 10**6)
            file.seek(0, os.SEEK_END)
            file.write(B)
            file.seek(0)
            tracemalloc.start()
            try:
                self.assertEqual(results(jsonl.read(file)), [EVENTS[0], ("not-json", 2), EVENTS[1]])
                self.assertLess(tracemalloc.get_traced_memory()[1], 4 * 10**6)
            finally:
                tracemalloc.stop()

    def test_another_event_directly_after_one_says_how_to_do_it_right(self) -> None:
        for lines in (
            [A, B],
            [A, B, b"\xff"],
            [A, b"{"],
            [A, b"{\xff"],
        ):
            with self.subTest(lines):
                error = error_of(b"".join(lines))
                self.assertEqual(
                    str(error),
                    "not-json: expected one event a line, got another directly after it: if the"
                    " line ends were taken off, as iter_lines does, use"
                    f' read(line + b"\\n" for line in lines) (line 1, column {len(A) + 1})',
                )
                self.assertEqual(decoded(*lines, b"\n", B), [("not-json", 1), EVENTS[1]])
        self.assertEqual(error_of(BOM + bytes(0) + A + B).colno, 3 + len(A) + 1)
        # One that is none, or not directly after it, is another fault.
        for line in (b'{"a":"' + A + B, A + b" " + B, A + b"[", b"{}" + A, b'{"a":"\xff"}' + A):
            self.assertNotIn("iter_lines", str(error_of(line + b"\n")), line)
        self.assertEqual(list(jsonl.read(line + b"\n" for line in LINES)), list(EVENTS))

    def test_lines_without_their_ends_are_told_at_once_and_not_kept(self) -> None:
        decoder = jsonl.Decoder()
        self.assertEqual(decoder.feed(A), [])
        self.assertEqual(told(decoder.feed(B)), [("not-json", 1)])
        tracemalloc.start()
        try:
            for _ in range(10_000):
                self.assertEqual(decoder.feed(B), [])
            self.assertLess(tracemalloc.get_traced_memory()[1], 2**16)
        finally:
            tracemalloc.stop()
        self.assertEqual(decoder.close(), [])
        self.assertEqual(decoder.feed(bytes(2)), [])
        self.assertEqual(decoder.feed(b"\n" + A + b"\n"), [EVENTS[0]])
        # A brace at the beginning of a chunk is looked at once in a line, and need not mean that.
        text = "}{" * 1000
        line = to_json(FlowError("Report", text, 1)).encode()
        chunks = re.split(rb"(?<=\})(?=\{)", line)
        self.assertGreater(len(chunks), 1000)
        self.assertEqual(decoded(*chunks), [FlowError("Report", text, 1)])

    def test_each_kind_of_bytes_and_no_text(self) -> None:
        for chunk in (A, bytearray(A), memoryview(A)):
            decoder = jsonl.Decoder()
            self.assertEqual(decoder.feed(chunk) + decoder.close(), [EVENTS[0]])
        other: Any
        for other in ("{}", None, 1, [A]):
            decoder = jsonl.Decoder()
            with self.assertRaises(TypeError) as caught:
                decoder.feed(other)
            self.assertEqual(str(caught.exception), f"feed takes bytes, got {type(other).__name__}")
            self.assertEqual(decoder.feed(A + b"\n"), [EVENTS[0]])

    def test_a_copy_goes_on_independently(self) -> None:
        decoder = jsonl.Decoder()
        decoder.feed(A[:20])
        for twin in (copy.deepcopy(decoder), pickle.loads(pickle.dumps(decoder))):
            self.assertEqual(twin.feed(A[20:] + b"\n"), [EVENTS[0]])
        self.assertEqual(decoder.feed(A[20:] + b"\n"), [EVENTS[0]])


class AnyBytes(unittest.TestCase):
    """Random content, cut anywhere, gives what the model gives for the whole of it."""

    def piece(self, rng: random.Random) -> bytes:
        line = to_json(random_event(rng)).encode()
        end = rng.choice((b"\n", b"\n", b"\r\n", b""))
        match rng.randrange(9):
            case 0 | 1 | 2:
                return line + end
            case 3:
                return line[: rng.randrange(len(line))] + end
            case 4:
                return bytes(rng.choice((1, 2, 70)))
            case 5:
                return rng.choice((BOM, BOM[:2], b"\xff", b"\xe2\x80", b"\r", b"\n", b" ", b"\t\n"))
            case 6:
                at = rng.randrange(len(line))
                return line[:at] + rng.randbytes(rng.choice((0, 1, 2))) + line[at + 1 :] + end
            case 7:
                return rng.choice((b"{}", b"nonsense", b"[", b"12", b"tru", b"1.", b'"\\ud8')) + end
            case _:
                return line + rng.choice((line, b"{", b" {", b"}")) + end

    def test_whatever_the_cuts(self) -> None:
        reasons = set()
        for seed in range(SEED, SEED + rounds(35, 5000)):
            rng = random.Random(seed)
            content = b"".join(self.piece(rng) for _ in range(rng.randrange(1, 6)))
            with self.subTest(content, seed=seed):
                expected = model(content)
                reasons |= {result[0] for result in expected if isinstance(result, tuple)}
                self.assertEqual(decoded(content), expected)
                self.assertEqual(results(jsonl.read(io.BytesIO(content))), expected)
                for chunks in (cuts(content, rng), [bytes([byte]) for byte in content]):
                    self.assertEqual(decoded(*chunks), expected)
                    self.assertEqual(results(jsonl.read(chunks)), expected)
        self.assertGreaterEqual(reasons, {"not-json", "not-utf8", "cut-line", "missing-kind"})

    def test_an_end_between_any_two_chunks_loses_no_event(self) -> None:
        for seed in range(SEED, SEED + rounds(12, 2000)):
            rng = random.Random(seed)
            content = b"".join(self.piece(rng) for _ in range(rng.randrange(1, 6)))
            with self.subTest(content, seed=seed):
                decoder = jsonl.Decoder()
                found = []
                for chunk in cuts(content, rng):
                    found += told(decoder.feed(chunk) + decoder.close())
                    self.assertEqual(decoder.close(), [])
                # There may be more: an event that was whole at an end may have gone on.
                rest = iter(found)
                for result in model(content):
                    if not isinstance(result, tuple):
                        self.assertIn(result, rest)


class CutLines(unittest.TestCase):
    def test_each_event_of_the_corpus_cut_at_each_byte(self) -> None:
        entries = json.loads((CORPUS / "corpus.json").read_bytes())["entries"]
        self.assertGreater(len(entries), 60)
        for entry in entries[:: rounds(6, 1)]:
            wire = entry["wire"].encode()
            for end in range(1, len(wire), rounds(len(wire) // 5, 1)):
                found = decoded(wire[:end])
                self.assertEqual(found, [("cut-line", 1)], (entry["name"], wire[:end]))

    def test_each_document_of_the_corpus_without_its_line_end(self) -> None:
        asked = 0
        for case in json.loads((CORPUS / "decode.json").read_bytes())["cases"]:
            document = case.get("input")
            line = bytes.fromhex(case["input_hex"]) if document is None else document.encode()
            reason = case.get("reason")
            if case["verdict"] == "accept" or not reason or len(line) > rounds(500, 10**7):
                continue
            if b"\n" in line or line.startswith((b"\0", BOM)) or not line.strip(b" \t\r\n"):
                continue
            asked += 1
            if reason in ("not-json", "not-utf8") and can_go_on(line):
                reason = "cut-line"
            with self.subTest(case["name"]):
                self.assertEqual(decoded(line), [(reason, 1)])
        self.assertGreater(asked, 200)

    def test_inside_every_token(self) -> None:
        for line in (
            b"-",
            b"[1.",
            b"1e",
            b"1E+",
            b"[1.5e-",
            b"[t",
            b'{"a":fals',
            b"nul",
            b'"\\',
            b'"\\u',
            b'"\\ud8',
            b'"\\ud83d',
            b'"\\ud83d\\',
            b'"\\ud83d\\u',
            b'"\\ud83d\\uDe0',
            b'"\\ud',
            b'"\xe2\x80',
            b'"\xf0\x9f\x98',
            b"[" + b"9" * 400,
            b"[" + b"9" * 400 + b".",
            b"[" + b"9" * 400 + b".0e",
            b"[" + b"9" * 400 + b"e-1",
            b"[" * 127,
            BOM + b"{",
            BOM[:1],
            BOM[:2],
        ):
            with self.subTest(line):
                self.assertEqual(decoded(line), [("cut-line", 1)])
        self.assertEqual(decoded(b"\0\n{"), [("not-json", 1), ("cut-line", 2)])

    def test_any_other_fault_of_the_last_line_keeps_its_reason(self) -> None:
        for line, reason in (
            (b"12", "not-an-object"),
            (b"true", "not-an-object"),
            (b"[]", "not-an-object"),
            (b'{"kind":"fresh"}', "unknown-kind"),
            (b"nonsense", "not-json"),
            (b"trux", "not-json"),
            (b"[1 t", "not-json"),
            (b"[1,]", "not-json"),
            (b"01", "not-json"),
            (b"1.5.", "not-json"),
            (b"1e5e", "not-json"),
            (b'{"a" 1', "not-json"),
            (b"{1", "not-json"),
            (b'"\\x', "not-json"),
            (b'"\\udc', "not-json"),
            (b'"\\ud83d ', "not-json"),
            (b'"\\ud83d\\ud8', "not-json"),
            (b'"\t', "not-json"),
            (b"[" * 128, "not-json"),
            (b"[" + b"9" * 400 + b"e1", "not-json"),
            (b"[1e400", "not-json"),
            (b"{}}", "not-json"),
            (b"[\xe2\x80", "not-utf8"),
            (b'"\xed\xa0', "not-utf8"),
            (b'"\xff', "not-utf8"),
            (b'"\\\xe2\x80', "not-utf8"),
        ):
            with self.subTest(line):
                self.assertEqual(decoded(line), [(reason, 1)])
                # And with its end, no line is cut.
                self.assertEqual(decoded(line + b"\n"), [(reason, 1)])

    def test_what_the_error_says(self) -> None:
        self.assertEqual(
            str(error_of(b"\n" + b'{"kind":"flow_er')),
            "cut-line: expected a whole line, got the end of the file in the middle of it"
            " (not-json: expected a closing quote, got the end of the document)"
            " (line 2, column 17)",
        )
        for end in (b"\n", b"\r\n"):
            self.assertEqual(
                str(error_of(b'{"kind":"flow_er' + end)),
                "not-json: expected a closing quote, got the end of the document"
                " (line 1, column 17)",
            )


class Growing(unittest.TestCase):
    """A file that is still written."""

    def test_an_unfinished_line_is_pending(self) -> None:
        decoder = jsonl.Decoder()
        self.assertEqual(decoder.feed(b'{"kind":"flow_start","flow_n'), [])
        self.assertEqual(decoder.feed(A[len(b'{"kind":"flow_start","flow_n') :]), [])
        self.assertEqual(decoder.feed(b"\n"), [EVENTS[0]])

    def test_what_was_cut_comes_whole(self) -> None:
        for end in range(1, len(A)):
            decoder = jsonl.Decoder()
            self.assertEqual(told(decoder.feed(A[:end]) + decoder.close()), [("cut-line", 1)])
            self.assertEqual(decoder.close(), [])
            self.assertEqual(decoder.feed(A[end:] + b"\n" + B), [EVENTS[0]])
            self.assertEqual(decoder.close(), [EVENTS[1]])

    def test_a_byte_order_mark_that_was_cut(self) -> None:
        decoder = jsonl.Decoder()
        self.assertEqual(told(decoder.feed(BOM[:2]) + decoder.close()), [("cut-line", 1)])
        self.assertEqual(told(decoder.feed(BOM[2:] + A[:1]) + decoder.close()), [("cut-line", 1)])
        self.assertEqual(decoder.feed(A[1:] + b"\n"), [EVENTS[0]])

    def test_nothing_is_told_twice(self) -> None:
        for last, results_ in (
            (A, [EVENTS[0]]),
            (A + b" \r", [EVENTS[0]]),
            (b"{}", [("missing-kind", 1)]),
            (b"nonsense", [("not-json", 1)]),
            (bytes(3), [("not-json", 1)]),
        ):
            with self.subTest(last):
                decoder = jsonl.Decoder()
                self.assertEqual(decoder.feed(last), [])
                self.assertEqual(told(decoder.close()), results_)
                self.assertEqual(decoder.close(), [])
                self.assertEqual(decoder.feed(b" "), [])
                self.assertEqual(decoder.close(), [])
                self.assertEqual(decoder.feed(b"\r\n" + B + b"\n"), [EVENTS[1]])
                self.assertEqual(told(decoder.feed(b"{}\n")), [("missing-kind", 3)])

    def test_a_line_that_was_whole_and_went_on(self) -> None:
        decoder = jsonl.Decoder()
        self.assertEqual(decoder.feed(A) + decoder.close(), [EVENTS[0]])
        self.assertEqual(told(decoder.feed(b"x\n")), [("not-json", 1)])
        self.assertEqual(decoder.feed(A) + decoder.close(), [EVENTS[0]])
        self.assertEqual(told(decoder.feed(B + b"\n" + B + b"\n")), [("not-json", 2), EVENTS[1]])
        # A cut line that ends like that is no longer one that is cut.
        self.assertEqual(told(decoder.feed(A[:9]) + decoder.close()), [("cut-line", 4)])
        self.assertEqual(told(decoder.feed(b"\n")), [("not-json", 4)])

    def test_more_nuls_after_an_end_are_counted_for_themselves(self) -> None:
        decoder = jsonl.Decoder()
        decoder.feed(bytes(5))
        self.assertIn("got 5 NUL bytes (line 1, column 1)", str(decoder.close()[0]))
        decoder.feed(bytes(2))
        error, event = decoder.feed(A + b"\n")
        self.assertIn("got 2 NUL bytes (line 1, column 6)", str(error))
        self.assertEqual(event, EVENTS[0])

    def test_the_iterator_goes_on_where_the_file_has_grown(self) -> None:
        for buffering in (-1, 0):
            with self.subTest(buffering), tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "flow.jsonl")
                with open(path, "wb", 0) as writer, open(path, "rb", buffering) as file:
                    reader = jsonl.read(file)
                    self.assertEqual(results(reader), [])
                    writer.write(A + b"\n" + B[:9])
                    self.assertEqual(results(reader), [EVENTS[0], ("cut-line", 2)])
                    self.assertEqual(results(reader), [])
                    writer.write(B[9:])
                    self.assertEqual(results(reader), [EVENTS[1]])
                    writer.write(b"\n" + A + b"\n")
                    self.assertEqual(results(reader), [EVENTS[0]])
                    writer.write(B[:-1])
                    with self.assertRaisesRegex(DecodeError, "^cut-line: .*line 4, "):
                        next(reader)
                    writer.write(B[-1:])
                    self.assertEqual(results(reader), [EVENTS[1]])


class Response:
    """A response over HTTP: it gives bytes, and knows the encoding of the text."""

    encoding = "utf-8"

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)


class Read(unittest.TestCase):
    def test_any_chunks(self) -> None:
        rng = random.Random(SEED)
        for _ in range(50):
            chunks = cuts(CONTENT, rng)
            some: Iterable[bytes]
            for some in (chunks, iter(chunks), Response(chunks), map(bytes, chunks)):
                with self.subTest(chunks, seed=SEED):
                    self.assertEqual(list(jsonl.read(some)), list(EVENTS))

    def test_any_binary_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "flow.jsonl")
            path.write_bytes(CONTENT)
            for buffering in (-1, 0):
                with open(path, "rb", buffering) as file:
                    self.assertEqual(list(jsonl.read(file)), list(EVENTS))
            path.write_bytes(gzip.compress(CONTENT))
            with gzip.open(path, "rb") as file:
                self.assertEqual(list(jsonl.read(file)), list(EVENTS))
        with tempfile.NamedTemporaryFile() as named:
            named.write(CONTENT)
            named.seek(0)
            self.assertEqual(list(jsonl.read(named)), list(EVENTS))

    @needs.broken_pipes
    def test_an_event_comes_as_soon_as_its_line_has_ended(self) -> None:
        reading, writing = os.pipe()
        with open(reading, "rb") as file, open(writing, "wb", 0) as pipe:
            reader = jsonl.read(file)
            for line, event in zip(LINES, EVENTS, strict=True):
                pipe.write(line + b"\n")
                self.assertEqual(next(reader), event)

    def test_no_chunk_is_pulled_before_what_the_last_one_gave_is_taken(self) -> None:
        pulled = []

        def chunks() -> Iterator[bytes]:
            for chunk in (A + b"\n" + B + b"\n", A + b"\n"):
                pulled.append(chunk)
                yield chunk

        reader = jsonl.read(chunks())
        self.assertEqual(pulled, [])
        self.assertEqual([next(reader), next(reader)], list(EVENTS[:2]))
        self.assertEqual(len(pulled), 1)

    def test_text_is_a_type_error_by_what_is_given(self) -> None:
        error = "^expected chunks of bytes, got text: open the file in binary mode$"
        text: Any
        for text in (io.StringIO("{}"), io.TextIOWrapper(io.BytesIO(A)), ["{}"]):
            with self.subTest(text), self.assertRaisesRegex(TypeError, error):
                next(jsonl.read(text))
        reader = jsonl.read([A + b"\n", "x", B])  # type: ignore[list-item]
        self.assertEqual(next(reader), EVENTS[0])
        with self.assertRaisesRegex(TypeError, error):
            next(reader)
        numbers: Any = [1]
        with self.assertRaisesRegex(TypeError, "^feed takes bytes, got int$"):
            next(jsonl.read(numbers))

    def test_a_path_content_and_anything_else_are_refused_by_the_call(self) -> None:
        other: Any
        for other, hint in (
            ("flow.jsonl", 'got str: open(path, "rb") first'),
            (Path("flow.jsonl"), f'got {type(Path()).__name__}: open(path, "rb") first'),
            (A, "got bytes: put it into a list"),
            (bytearray(A), "got bytearray: put it into a list"),
            (memoryview(A), "got memoryview: put it into a list"),
            (AsyncChunks([]), "got AsyncChunks: use aread"),
            (None, "got NoneType"),
        ):
            with self.subTest(other), self.assertRaises(TypeError) as caught:
                jsonl.read(other)
            self.assertEqual(
                str(caught.exception),
                f"read takes a file in binary mode or another iterable of bytes, {hint}",
            )

    def test_what_the_chunks_raise_comes_out_and_loses_nothing(self) -> None:
        class Flaky(Iterator[bytes]):
            def __init__(self) -> None:
                self.chunks: list[bytes | None] = [A + b"\n" + B[:9], None, B[9:] + b"\n"]

            def __next__(self) -> bytes:
                if not self.chunks:
                    raise StopIteration
                chunk = self.chunks.pop(0)
                if chunk is None:
                    raise TimeoutError
                return chunk

        reader = jsonl.read(Flaky())
        self.assertEqual(next(reader), EVENTS[0])
        with self.assertRaises(TimeoutError):
            next(reader)
        self.assertEqual(results(reader), [EVENTS[1]])


class AsyncChunks:
    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            await asyncio.sleep(0)
            yield chunk


async def async_results(chunks: AsyncIterable[bytes]) -> list[Result]:
    reader = jsonl.aread(chunks)
    found: list[Result] = []
    while True:
        try:
            found.append(await anext(reader))
        except DecodeError as error:
            found += told([error])
        except StopAsyncIteration:
            return found


class AsyncRead(unittest.TestCase):
    @needs.asyncio_run
    def test_it_gives_what_read_gives(self) -> None:
        rng = random.Random(SEED)
        for content in (CONTENT, b"", BOM + A, A + b"\nnonsense\n" + B + b"\n" + A[:9]):
            for _ in range(5):
                chunks = cuts(content, rng)
                expected = results(jsonl.read(chunks))
                found = threads.run(async_results(AsyncChunks(chunks)))
                self.assertEqual(found, expected, (chunks, SEED))

    @needs.asyncio_run
    def test_a_stream_reader_and_lines_above_its_limit(self) -> None:
        long = FlowError("Report", "x" * 100_000, 1)
        content = CONTENT + to_json(long).encode() + b"\n" + A[:9]

        async def run() -> list[Result]:
            stream: Any = asyncio.StreamReader(limit=2**10)
            stream.feed_data(content)
            stream.feed_eof()
            return await async_results(stream)

        lineno = len(EVENTS) + 2
        self.assertEqual(threads.run(run()), [*EVENTS, long, ("cut-line", lineno)])

    @needs.asyncio_run
    def test_an_event_comes_as_soon_as_its_line_has_ended(self) -> None:
        async def run() -> None:
            stream: Any = asyncio.StreamReader()
            reader = jsonl.aread(stream)
            for line, event in zip(LINES, EVENTS, strict=True):
                stream.feed_data(line + b"\n")
                self.assertEqual(await anext(reader), event)

        threads.run(run())

    @needs.asyncio_run
    def test_text(self) -> None:
        text: Any = AsyncChunks(["{}"])  # type: ignore[list-item]
        with self.assertRaisesRegex(
            TypeError, "^expected chunks of bytes, got text: open the file"
        ):
            threads.run(async_results(text))

    def test_anything_else_is_refused_by_the_call(self) -> None:
        other: Any
        for other in ("flow.jsonl", A, [A], io.BytesIO(), None):
            with self.subTest(other), self.assertRaises(TypeError) as caught:
                jsonl.aread(other)
            self.assertEqual(
                str(caught.exception),
                "aread takes an asynchronous iterable of bytes,"
                f" got {type(other).__name__}: use read for a file or any other iterable",
            )


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
        self.assertEqual(file.getvalue(), CONTENT)

    def test_it_flushes_after_a_terminator(self) -> None:
        file = Flushes()
        jsonl.write(file, EVENTS)
        self.assertEqual(file.flushed, [CONTENT[: -len(LINES[-1]) - 1], CONTENT])

    def test_what_is_no_event_is_a_type_error(self) -> None:
        event: Any = {"kind": "flow_error"}
        with self.assertRaisesRegex(TypeError, "got dict"):
            jsonl.write(io.BytesIO(), [event])

    def test_random_events_are_read_as_they_were_written(self) -> None:
        rng = random.Random(SEED)
        events = [random_event(rng) for _ in range(rounds(100, 500))]
        file = io.BytesIO()
        jsonl.write(file, events)
        self.assertEqual(file.getvalue().count(b"\n"), len(events))
        file.seek(0)
        self.assertEqual(list(jsonl.read(file)), events)

    def test_a_file_in_text_mode_is_a_type_error(self) -> None:
        error = "^expected a file in binary mode, got one in text mode: open it with 'b'$"
        text: Any
        with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as named:
            for text in (io.StringIO(), io.TextIOWrapper(io.BytesIO()), named):
                with self.subTest(text), self.assertRaisesRegex(TypeError, error):
                    jsonl.write(text, [])

    def test_a_path_or_content_is_a_type_error_that_says_to_open_it(self) -> None:
        other: Any
        for other in ("flow.jsonl", Path("flow.jsonl"), b"{}", bytearray()):
            text = f"expected a file in binary mode, got {type(other).__name__}: open it first"
            with self.subTest(other), self.assertRaises(TypeError) as caught:
                jsonl.write(other, [])
            self.assertEqual(str(caught.exception), text)


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
            self.assertEqual(file.content, CONTENT)

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


class InFolder(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "flow.jsonl")

    def written(self, before: bytes, *events: Event) -> bytes:
        """Return what a file has after a writer has appended to it."""
        self.path.write_bytes(before)
        with jsonl.Writer(self.path) as writer:
            for event in events:
                writer.write(event)
        return self.path.read_bytes()


class Writer(InFolder):
    def test_it_appends_a_line_for_each_event(self) -> None:
        with jsonl.Writer(self.path) as writer:
            for event in EVENTS:
                writer.write(event)
        self.assertEqual(self.path.read_bytes(), CONTENT)
        for path in (str(self.path), os.fsencode(self.path)):
            with jsonl.Writer(path) as writer:
                writer.write(EVENTS[0])
        self.assertEqual(self.path.read_bytes(), CONTENT + 2 * (A + b"\n"))

    def test_each_event_is_in_the_file_when_write_returns(self) -> None:
        with jsonl.Writer(self.path) as writer:
            for count, event in enumerate(EVENTS, 1):
                writer.write(event)
                self.assertEqual(self.path.read_bytes().count(b"\n"), count)

    def test_a_torn_last_line_is_ended_first_and_nothing_is_deleted(self) -> None:
        line = A + b"\n"
        for before in (b"", b"\n", B + b"\n", B + b"\r\n", bytes(4) + b"\n"):
            self.assertEqual(self.written(before, EVENTS[0]), before + line)
        for before in (b'{"kind":"st', B, bytes(4), b"\r", b" "):
            self.assertEqual(self.written(before, *EVENTS[:2]), before + b"\n" + line + B + b"\n")
        self.written(b'{"kind":"st', *EVENTS)
        with open(self.path, "rb") as file:
            self.assertEqual(results(jsonl.read(file)), [("not-json", 1), *EVENTS])

    def test_a_file_that_may_not_be_read_begins_with_a_line_end(self) -> None:
        self.path.write_bytes(B)
        with mock.patch("os.path.getsize", side_effect=PermissionError):
            writer = jsonl.Writer(self.path)
        writer.write(EVENTS[0])
        writer.close()
        self.assertEqual(self.path.read_bytes(), B + b"\n" + A + b"\n")

    def test_with_fsync_each_event_and_the_name_of_the_file_are_on_the_disk(self) -> None:
        synced: list[bytes | None] = []

        def fsync(descriptor: int) -> None:
            synced.append(None if os.path.isdir(descriptor) else self.path.read_bytes())

        with mock.patch("os.fsync", fsync):
            with jsonl.Writer(self.path, fsync=True) as writer:
                writer.write(EVENTS[0])
                writer.write(EVENTS[1])
            with jsonl.Writer(self.path) as writer:
                writer.write(EVENTS[2])
        self.assertEqual(synced, [None, A + b"\n", A + b"\n" + B + b"\n"])
        # Where a folder cannot be opened, as on Windows, that is left out.
        with mock.patch("os.open", side_effect=PermissionError):
            jsonl.Writer(self.path, fsync=True).close()
        with jsonl.Writer(self.path, fsync=True) as writer:
            writer.write(EVENTS[3])
        self.assertEqual(self.path.read_bytes(), b"".join(x + b"\n" for x in LINES[:4]))

    def test_it_is_a_sink_beside_another(self) -> None:
        events: list[Event] = []
        sink: Any = (events.append, jsonl.Writer(self.path).write)
        for one in sink:
            with FlowEmitter(one, flow_name="Report", backend="local", clock=lambda: 1):
                pass
        sink[1].__self__.close()
        with open(self.path, "rb") as file:
            self.assertEqual(
                [event.kind for event in jsonl.read(file)], [event.kind for event in events]
            )

    def test_after_close(self) -> None:
        writer = jsonl.Writer(self.path)
        writer.close()
        writer.close()
        with self.assertRaises(RuntimeError) as caught:
            writer.write(EVENTS[0])
        self.assertEqual(
            str(caught.exception), "the Writer was closed: make another one, which appends"
        )
        with self.assertRaises(RuntimeError), jsonl.Writer(self.path) as writer:
            writer.close()
            writer.write(EVENTS[0])

    def test_a_write_inside_a_write_is_refused_and_the_outer_one_goes_on(self) -> None:
        refused: list[str] = []

        def fsync(descriptor: int) -> None:
            with self.assertRaises(RuntimeError) as caught:
                writer.write(EVENTS[1])
            refused.append(str(caught.exception))

        writer = jsonl.Writer(self.path, fsync=True)
        with mock.patch("os.fsync", fsync):  # which runs what a signal handler would
            writer.write(EVENTS[0])
        writer.write(EVENTS[2])
        writer.close()
        self.assertEqual(
            refused, ["this thread is inside another write: call it when that has returned"]
        )
        self.assertEqual(self.path.read_bytes(), A + b"\n" + LINES[2] + b"\n")

    def test_what_is_no_event_or_no_path_is_a_type_error_and_writes_nothing(self) -> None:
        other: Any = {"kind": "flow_error"}
        with jsonl.Writer(self.path) as writer:
            with self.assertRaisesRegex(TypeError, "got dict"):
                writer.write(other)
            writer.write(EVENTS[0])
        self.assertEqual(self.path.read_bytes(), A + b"\n")
        for other in (1, None, io.BytesIO()):
            with self.assertRaisesRegex(TypeError, f"not {type(other).__name__}$"):
                jsonl.Writer(other)
        with self.assertRaises(OSError):
            jsonl.Writer(self.path.parent)

    def test_it_is_not_copied(self) -> None:
        with jsonl.Writer(self.path) as writer:
            for call in (copy.copy, copy.deepcopy, pickle.dumps):
                with self.assertRaises(TypeError) as caught:
                    call(writer)
                self.assertEqual(
                    str(caught.exception),
                    "a Writer can be neither copied nor pickled: make another one for its path",
                )

    @needs.threads
    def test_several_threads(self) -> None:
        count = rounds(200, 5000)
        with jsonl.Writer(self.path) as writer:

            def run(name: str) -> None:
                for index in range(count):
                    writer.write(StepToken(name, "x" * (index % 50), index, 0))

            names = ["a", "b", "c"]
            threads.join(threads.started(*(lambda name=name: run(name) for name in names)))
        with open(self.path, "rb") as file:
            events = list(jsonl.read(file))
        for name in names:
            indexes = [
                e.token_index for e in events if isinstance(e, StepToken) and e.step_name == name
            ]
            self.assertEqual(indexes, list(range(count)))


@unittest.skipUnless(importlib.util.find_spec("resource"), "needs limits of the system")
@needs.processes
class WriterOnAFullDisk(InFolder):
    def test_a_torn_event_never_takes_the_next_one_with_it(self) -> None:
        import resource

        for room in (0, 1, len(A) // 2, len(A), len(A) + 1, len(A) + 20):
            with self.subTest(room), jsonl.Writer(self.path) as writer:
                before = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
                taken: list[Event] = []
                try:
                    for event in EVENTS[:3]:
                        try:
                            writer.write(event)
                        except OSError:
                            continue
                        taken.append(event)
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, before)
                self.assertEqual(len(taken), room >= len(A) + 1)
                for event in EVENTS:
                    writer.write(event)
                with open(self.path, "rb") as file:
                    found = results(jsonl.read(file))
                events = [event for event in found if not isinstance(event, tuple)]
                # An event that lacks its line end alone is whole, although its write failed.
                if room == len(A):
                    taken.append(EVENTS[0])
                self.assertEqual(events, [*taken, *EVENTS])
                self.assertLessEqual(len(found) - len(events), 1)
            self.path.unlink()

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs a device that is always full")
    def test_a_device_that_is_always_full(self) -> None:
        with jsonl.Writer("/dev/full") as writer:
            for _ in range(2):
                with self.assertRaisesRegex(OSError, "No space left"):
                    writer.write(EVENTS[0])


PROGRAM = f"""
import sys
from {PACKAGE} import StepToken, jsonl
with jsonl.Writer(sys.argv[1]) as writer:
    for index in range(int(sys.argv[3])):
        writer.write(StepToken(sys.argv[2], "x" * 2000, index, 0))
        print(index, flush=True)
"""


@needs.processes
class WriterInProcesses(InFolder):
    def started(self, name: str, count: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, self.path, name, str(count)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )

    @unittest.skipUnless(hasattr(signal, "SIGKILL"), "needs SIGKILL")
    def test_what_write_has_taken_survives_a_kill(self) -> None:
        with self.started("Draft", 10**6) as process:
            if process.stdout is None:
                self.fail("no pipe")
            for index in range(50):
                self.assertEqual(process.stdout.readline(), b"%d\n" % index)
            process.kill()
            reported = 50 + process.stdout.read().count(b"\n")
            self.assertEqual(process.wait(), -signal.SIGKILL)
        with open(self.path, "rb") as file:
            found = results(jsonl.read(file))
        if found[reported:] and isinstance(found[-1], tuple):
            self.assertEqual(found.pop(), ("cut-line", len(found) + 1))
        expected = [StepToken("Draft", "x" * 2000, index, 0) for index in range(len(found))]
        self.assertEqual(found, expected)
        # The one that was written when the kill came may be there, too.
        self.assertIn(len(found) - reported, (0, 1))

    def test_two_processes_append_whole_lines(self) -> None:
        count = rounds(200, 5000)
        with self.started("a", count) as one, self.started("b", count) as other:
            for process in (one, other):
                process.communicate()
                self.assertEqual(process.returncode, 0)
        with open(self.path, "rb") as file:
            events = [event for event in jsonl.read(file) if isinstance(event, StepToken)]
        self.assertEqual(len(events), 2 * count)
        for name in "ab":
            indexes = [event.token_index for event in events if event.step_name == name]
            self.assertEqual(indexes, list(range(count)))


if __name__ == "__main__":
    unittest.main()
