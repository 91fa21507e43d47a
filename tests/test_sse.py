# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Server-Sent Events: the corpus, the model, every cut, and what a reader makes of bad streams."""

import asyncio
import enum
import io
import json
import pickle
import random
import re
import tracemalloc
import unittest
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, NamedTuple
from unittest import mock

from axon_events import (
    EVENT_TYPES,
    DecodeError,
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    from_json,
    sse,
    to_json,
)
from axon_events.order import OrderError, Outcome, Rule, StreamChecker, TruncatedStream

from . import CORPUS, needs, sse_model
from .samples import EVENTS, U64_MAX, random_event

FLOW: tuple[Event, ...] = (
    FlowStart("Report", "anthropic", 0),
    StepStart("Résumé", 0, "generate", 1),
    StepToken("Résumé", "Hello\n\n", 1, 1),
    StepToken("Résumé", "data: …\r\u2028", 2, 1),
    StepComplete("Résumé", 0, True, "Hello\n\ndata: …\r\u2028", 0, 0, 1),
    FlowComplete("Report", "anthropic", True, 1, 0, 0, 1, 2),
)
IDS = ["0.1", "0.2", "1", "2", "2.1", "2.2"]
BOM = b"\xef\xbb\xbf"
DEFAULT_LIMIT = 16 * 2**20


def frames_of(events: Iterable[Event]) -> list[bytes]:
    encoder = sse.Encoder()
    return [encoder.encode(event) for event in events]


def splits(stream: bytes) -> Iterator[list[bytes]]:
    """Yield the stream whole, byte by byte, and in two at every point."""
    yield [stream]
    yield [stream[at : at + 1] for at in range(len(stream))]
    for at in range(len(stream) + 1):
        yield [stream[:at], stream[at:]]


def corpus() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CORPUS / "sse.json").read_bytes())
    for name, least in (("decode", 200), ("encode", 50)):
        if len(document[name]) < least:
            raise AssertionError(f"sse.json has only {len(document[name])} cases to {name}")
    return document


class Result(NamedTuple):
    """What a decoder gave for a stream."""

    frames: list[tuple[str, str, str]]
    last_event_id: str
    retry: int | None
    discarded: bool
    fault: str


def decoded(chunks: Iterable[bytes], limit: int = DEFAULT_LIMIT) -> Result:
    """Return what a decoder gives for these chunks, and hold its fault, if any, to be sticky."""
    decoder = sse.Decoder(max_frame_bytes=limit)
    frames: list[tuple[str, str, str]] = []
    fault = ""
    try:
        for chunk in chunks:
            frames += [(frame.event, frame.data, frame.id) for frame in decoder.feed(chunk)]
        decoder.close()
    except sse.FrameTooLarge as error:
        fault = str(error)
        for call in (lambda: decoder.feed(b""), lambda: decoder.feed(b"\n\n"), decoder.close):
            try:
                call()
            except sse.FrameTooLarge as again:
                if str(again) != fault:
                    raise AssertionError(f"first {fault}, then {again}") from None
            else:
                raise AssertionError("the fault was forgotten")
    return Result(frames, decoder.last_event_id, decoder.retry, decoder.discarded, fault)


def expected(stream: bytes, limit: int = DEFAULT_LIMIT) -> Result:
    """Return what the model has a decoder give."""
    start = sse_model.too_large(stream, limit)
    if start is None:
        return Result(*sse_model.decode(stream), "")
    # The lines that ended in time have had their effect.
    frames, last_event_id, retry, _ = sse_model.decode(stream[: start + limit])
    text = (
        f"the frame that begins at byte {start}: expected a blank line after at most {limit} bytes,"
        " got more: raise max_frame_bytes if such frames are to be taken"
    )
    return Result(frames, last_event_id, retry, False, text)


class Corpus(unittest.TestCase):
    """sse.json, which any implementation must agree with."""

    def test_every_stream_gives_what_it_says_wherever_it_is_cut(self) -> None:
        for case in corpus()["decode"]:
            should_be = Result(
                [(frame["event"], frame["data"], frame["id"]) for frame in case["frames"]],
                case["last_event_id"],
                case["retry"],
                case["discarded"],
                "",
            )
            for chunks in splits(bytes.fromhex(case["input_hex"])):
                with self.subTest(case["name"], chunks=chunks):
                    self.assertEqual(decoded(chunks), should_be)

    def test_the_model_agrees_with_every_case(self) -> None:
        for case in corpus()["decode"]:
            with self.subTest(case["name"]):
                frames = [(frame["event"], frame["data"], frame["id"]) for frame in case["frames"]]
                self.assertEqual(
                    sse_model.decode(bytes.fromhex(case["input_hex"])),
                    (frames, case["last_event_id"], case["retry"], case["discarded"]),
                )

    def test_a_frame_is_out_as_soon_as_its_last_line_end_has_begun(self) -> None:
        for case in corpus()["decode"]:
            stream = bytes.fromhex(case["input_hex"])
            decoder = sse.Decoder()
            out: list[sse.Frame] = []
            for end in range(1, len(stream) + 1):
                out += decoder.feed(stream[end - 1 : end])
                with self.subTest(case["name"], end=end):
                    # Of the first bytes alone, the last line of which a lone CR ends, too.
                    so_far = sse_model.decode(stream[:end])
                    self.assertEqual(list(map(tuple, out)), [(*frame,) for frame in so_far.frames])
                    self.assertEqual(decoder.last_event_id, so_far.last_event_id)
                    self.assertEqual(decoder.retry, so_far.retry)
                    self.assertEqual(decoded([stream[:end]]).discarded, so_far.discarded)

    def test_every_stream_is_written_as_it_says(self) -> None:
        for case in corpus()["encode"]:
            with self.subTest(case["name"]):
                encoder = sse.Encoder(case["stream_id"])
                written = b"".join(encoder.encode(from_json(wire)) for wire in case["events"])
                self.assertEqual(written.hex(), case["bytes_hex"])

    def test_what_is_written_is_read_again(self) -> None:
        for case in corpus()["encode"]:
            with self.subTest(case["name"]):
                reader = sse.Reader(check=False)
                events = reader.feed(bytes.fromhex(case["bytes_hex"]))
                self.assertEqual([to_json(event) for event in events], case["events"])

    def test_the_form_of_the_file(self) -> None:
        raw = (CORPUS / "sse.json").read_bytes()
        document = corpus()
        self.assertEqual(raw.decode("ascii"), json.dumps(document, indent=2) + "\n")
        self.assertEqual(list(document), ["format", "description", "decode", "encode"])
        self.assertEqual(document["format"], 1)
        keys = {
            "decode": ["name", "input_hex", "frames", "last_event_id", "retry", "discarded"],
            "encode": ["name", "stream_id", "events", "bytes_hex"],
        }
        groups = {
            "decode": "lines bom comments fields data event id retry dispatch utf8 discarded",
            "encode": "variants cursor stream-id content",
        }
        for what in ("decode", "encode"):
            names = Counter(case["name"] for case in document[what])
            self.assertEqual([name for name, times in names.items() if times > 1], [])
            found = {name.partition(".")[0] for name in names}
            self.assertEqual(found, set(groups[what].split()))
            for case in document[what]:
                with self.subTest(case["name"]):
                    self.assertEqual(list(case), keys[what])
                    self.assertRegex(
                        case["name"], r"\A[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9^]+(-[a-z0-9^]+)*\Z"
                    )
        for case in document["decode"]:
            for frame in case["frames"]:
                self.assertEqual(list(frame), ["id", "event", "data"], case["name"])
        kinds = {from_json(wire).kind for case in document["encode"] for wire in case["events"]}
        self.assertEqual(kinds, set(EVENT_TYPES))


# What random streams are made of: whatever a rule is about, and what looks like it.
_NAMES = (*(b"data", b"event", b"id") * 3, b"retry", b"retry", b"", b"foo", b"dat", b"Data", b" id")
_COLONS = (b": ", b": ", b": ", b":", b":", b":  ", b"", b" :")
_TEXTS = (b"a", b"b c", b"", b" ", b"17", b"0", b"007", b"message", b"step_token", b":", b"data: x")
_ODD = (b"\0", b"\t", b"\x0b", b"\x0c", b"\x1c", BOM, b"\xc2\x85", b"\xe2\x80\xa8", b"1" * 18)
_WHOLE = ("é".encode(), "…".encode(), "😀".encode())
_BAD = (
    *(b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe0\x80"),
    *(b"\xf4\x90\x80\x80", b"\xfe\xff", b"\xf5", b"\xef\xbb"),
)
_TIMES = (b"5", b" 500", b" 0", b" 007", b" 5x", b"  5", b"", b" +5", b" " + b"1" * 18, b"1" * 19)
_ENDS = (b"\n", b"\r", b"\r\n")


def random_stream(rng: random.Random) -> bytes:
    """Return a stream in which the rules meet, and with some of its bytes changed."""
    ends = rng.choice([*((end,) for end in _ENDS), (b"\n",), _ENDS])
    stream = bytearray(rng.choice((b"", b"", b"", BOM, BOM + BOM, BOM[:2])))

    def add_line(name: bytes) -> None:
        stream.extend(name + rng.choice(_COLONS))
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            stream.extend(rng.choice(rng.choice((_TEXTS, _TEXTS, _TEXTS, _ODD, _WHOLE, _BAD))))
        stream.extend(rng.choice(ends))

    for _ in range(rng.randint(0, 8)):
        shape = rng.random()
        if shape < 0.1:
            stream.extend(b"retry:" + rng.choice(_TIMES) + rng.choice(ends))
        elif shape < 0.5:
            add_line(rng.choice(_NAMES))
        elif shape < 0.8:  # a frame as most servers write it, or nearly
            for name in (b"id", b"event", b"data"):
                if rng.random() < 0.8:
                    add_line(name)
            stream.extend(rng.choice(ends))
        else:
            stream.extend(rng.choice(ends))
    for _ in range(rng.choice((0, 0, 1, 3))):
        at = rng.randint(0, len(stream))
        piece = rng.choice((*_TEXTS, *_ODD, *_BAD, *_ENDS, bytes([rng.randrange(256)])))
        stream[at : at + rng.randint(0, 2)] = piece
    return bytes(stream)


def random_cuts(rng: random.Random, stream: bytes) -> list[bytes]:
    cuts = sorted(rng.randint(0, len(stream)) for _ in range(rng.choice((0, 1, 2, 5))))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


class Model(unittest.TestCase):
    def test_20000_random_streams_with_random_cuts(self) -> None:
        seed = 926
        rng = random.Random(seed)
        seen: Counter[str] = Counter()
        for number in range(20_000):
            stream = random_stream(rng)
            limit = rng.choice((DEFAULT_LIMIT, DEFAULT_LIMIT, DEFAULT_LIMIT, rng.randint(1, 60)))
            should_be = expected(stream, limit)
            for chunks in ([stream], random_cuts(rng, stream)):
                found = decoded(chunks, limit)
                if found != should_be:
                    self.fail(f"seed {seed}, stream {number}: {chunks}: {found}, not {should_be}")
            seen["frames"] += len(should_be.frames)
            seen["named"] += any(event != "message" for event, _, _ in should_be.frames)
            seen["faults"] += should_be.fault != ""
            seen["retries"] += should_be.retry is not None
            seen["ids"] += should_be.last_event_id != ""
            seen["discarded"] += should_be.discarded
        # That it hits what it is for.
        for what, times in seen.items():
            self.assertGreater(times, 1000, what)


class Decoding(unittest.TestCase):
    def test_what_bytes_come_in(self) -> None:
        stream = b"id: 1\nevent: e\ndata: a\n\n"
        frame = sse.Frame(event="e", data="a", id="1")
        for chunk in (stream, bytearray(stream), memoryview(stream), memoryview(stream * 2)[::1]):
            with self.subTest(type(chunk)):
                self.assertEqual(sse.Decoder().feed(chunk)[0], frame)
        twice = b"".join(bytes([byte, byte]) for byte in stream)
        every_second = memoryview(twice)[::2]
        self.assertEqual(sse.Decoder().feed(every_second), [frame])

    def test_a_chunk_may_change_after_it_was_fed(self) -> None:
        decoder = sse.Decoder()
        chunk = bytearray(b"data: a")
        decoder.feed(chunk)
        chunk[:] = b"xxxxxxx"
        self.assertEqual(decoder.feed(b"\n\n"), [("message", "a", "")])

    def test_anything_else_is_a_type_error_and_changes_nothing(self) -> None:
        decoder = sse.Decoder()
        decoder.feed(b"data: a\n")
        others: list[Any] = ["data: b\n", None, 5, [b"data: b\n"]]
        for other in others:
            text = f"^feed takes bytes, got {type(other).__name__}$"
            with self.subTest(other), self.assertRaisesRegex(TypeError, text):
                decoder.feed(other)
        self.assertEqual(decoder.feed(b"\n"), [("message", "a", "")])

    def test_before_anything_came(self) -> None:
        decoder = sse.Decoder()
        self.assertEqual(decoder.last_event_id, "")
        self.assertIsNone(decoder.retry)
        self.assertIs(decoder.discarded, False)
        self.assertEqual(decoder.feed(b""), [])

    def test_an_id_is_committed_with_its_frame(self) -> None:
        decoder = sse.Decoder()
        decoder.feed(b"id: 1\ndata: a\n")
        self.assertEqual(decoder.last_event_id, "")
        decoder.feed(b"\n")
        self.assertEqual(decoder.last_event_id, "1")

    def test_a_retry_counts_from_its_line_on(self) -> None:
        decoder = sse.Decoder()
        decoder.feed(b"retry: 500")
        self.assertIsNone(decoder.retry)
        decoder.feed(b"\n")
        self.assertEqual(decoder.retry, 500)

    def test_nothing_is_fed_after_close(self) -> None:
        decoder = sse.Decoder()
        decoder.feed(b"data: a")
        decoder.close()
        decoder.close()
        self.assertIs(decoder.discarded, True)
        with self.assertRaisesRegex(RuntimeError, "^the stream has been closed: feed first"):
            decoder.feed(b"")

    def test_another_max_frame_bytes(self) -> None:
        others: list[Any] = [1.0, "1", None, True]
        for cls in (sse.Decoder, sse.Reader):
            for other in others:
                text = f"^max_frame_bytes must be an int, got {type(other).__name__}$"
                with self.subTest(other), self.assertRaisesRegex(TypeError, text):
                    cls(max_frame_bytes=other)
            for number in (0, -1):
                text = f"^max_frame_bytes must be 1 or more, got {number}$"
                with self.subTest(number), self.assertRaisesRegex(ValueError, text):
                    cls(max_frame_bytes=number)


class TooLarge(unittest.TestCase):
    """`max_frame_bytes` counts what comes after a blank line until the next one begins."""

    def test_the_limit_reached_and_exceeded_by_one(self) -> None:
        # Of the second frame: how many bytes it has before its blank line.
        for second, size in (
            (b"data: 56\n\n", 9),
            (b"data: 56\r\r", 9),
            (b"data: 56\r\n\r\n", 10),
            (b"data: 56\r\n\n", 10),
            (b"data: 56\n\r\n", 9),
            (b"id: 7\nevent: 6\ndata: 3\n\n", 23),
            (b": 3456\n\n", 7),
            (b"data: 567", 9),
            (b"data: 56\n", 9),
            (b"data: 56\r\n", 10),
            (b": 34567", 7),
            (b"retry: 89\r", 10),
        ):
            for first in (b"data\n\n", b"data\r\r", b"data\r\n\n"):
                stream = first + second
                enough = expected(stream)
                for chunks in splits(stream):
                    with self.subTest(chunks, size=size):
                        self.assertEqual(decoded(chunks, size), enough)
                        frames, last_event_id, _, _, fault = decoded(chunks, size - 1)
                        self.assertEqual((frames, last_event_id), ([("message", "", "")], ""))
                        self.assertIn(f" begins at byte {len(first)}: expected a blank", fault)
                        self.assertIn(f" after at most {size - 1} bytes, got more: raise", fault)

    def test_every_limit_on_every_stream_of_the_corpus(self) -> None:
        for case in corpus()["decode"]:
            stream = bytes.fromhex(case["input_hex"])[:60]
            bytewise = [stream[at : at + 1] for at in range(len(stream))]
            for limit in range(1, min(len(stream), 30) + 2):
                should_be = expected(stream, limit)
                for chunks in ([stream], bytewise, [stream[:limit], stream[limit:]]):
                    with self.subTest(case["name"], limit=limit, chunks=chunks):
                        self.assertEqual(decoded(chunks, limit), should_be)

    def test_no_frame_after_the_fault(self) -> None:
        decoder = sse.Decoder(max_frame_bytes=10)
        good = b"id: 1\ndata\n\n"
        frames = decoder.feed(b"data\n\nid: 1\ndata: too large\nretry: 5\n\n" + good)
        self.assertEqual(frames, [("message", "", "")])
        self.assertEqual((decoder.last_event_id, decoder.retry), ("", None))
        with self.assertRaises(sse.FrameTooLarge):
            decoder.feed(good)
        self.assertIs(decoder.discarded, False)

    def test_the_default(self) -> None:
        frame = b"data:" + b"x" * (DEFAULT_LIMIT - 6) + b"\n\n"
        self.assertEqual(len(sse.Decoder().feed(frame)), 1)
        decoder = sse.Decoder()
        self.assertEqual(decoder.feed(b"x" + frame), [])
        self.assertRaises(sse.FrameTooLarge, decoder.close)

    def test_it_is_a_value_error_that_pickles(self) -> None:
        decoder = sse.Decoder(max_frame_bytes=1)
        decoder.feed(b"data")
        with self.assertRaises(ValueError) as caught:
            decoder.close()
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertIs(type(again), sse.FrameTooLarge)
        self.assertEqual(str(again), str(caught.exception))


class _Looked:
    """Counts the bytes that a decoder looks at or copies, as `bytes` or by its pattern."""

    def __init__(self) -> None:
        self.bytes = 0
        looked = self

        class Bytes(bytes):
            def __new__(cls, content: Any) -> "Bytes":
                looked.bytes += len(content)
                return super().__new__(cls, content)

            def find(self, what: Any, *bounds: Any) -> int:
                found = super().find(what, *bounds)
                looked.bytes += (len(self) if found < 0 else found + 1) - bounds[0]
                return found

            def rfind(self, what: Any, *bounds: Any) -> int:
                found = super().rfind(what, *bounds)
                start, end = bounds
                looked.bytes += min(end, len(self)) - (start if found < 0 else found)
                return found

            def __getitem__(self, key: Any) -> Any:
                part = super().__getitem__(key)
                looked.bytes += len(part)
                return part

        self.type = Bytes
        self._pattern = sse._FRAME
        # As far as the pattern can have come, whether or not it matched.
        self._farthest = re.compile(r"(?:id:.*\n?)?(?:event:.*\n?)?(?:data:.*\n?)?\n?")

    def match(self, text: str, pos: int) -> "re.Match[str] | None":
        farthest = self._farthest.match(text, pos)
        assert farthest is not None
        self.bytes += farthest.end() - pos
        return self._pattern.match(text, pos)


class Linear(unittest.TestCase):
    """Not by a clock: the bytes that are looked at are counted."""

    def test_each_byte_is_looked_at_a_few_times_only(self) -> None:
        size = 1_200
        for unit in (
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\r",
            b"\n\n\r",
            b"x",
            b":",
            b":\n",
            b":\r",
            b"data\n",
            b"data:\n\n",
            b"data:\r\r",
            b"data:\r\n\r\n",
            b"data:\n\ndata:\r\r",
            b"data: 12\n\n",
            b"data: 12\nx\n\n",
            b"id:\nevent:\ndata:\ndata:\n\n",
            b"id:\n\n",
            b"id:\nevent:\n\n",
            b"id: 1\nevent: e\ndata: 1\n\n",
            b"\xef\xbb\xbf",
            b"data: " + b"x" * 1000 + b"\n",
            b"data: " + b"x" * 1000 + b"\n\n",
            b"data: " + b"x" * 1000 + b"\r\n",
        ):
            stream = unit * (size // len(unit))
            for end in (b"", b"\r", b"\n"):
                # The limits are those that all is within, and that a frame of 12 just is.
                for limit in (size + 1, len(unit) - 1 or 1):
                    for step in (size + 1, 100, 1):
                        with self.subTest(unit[:20], end=end, limit=limit, step=step):
                            looked = self.looked(stream + end, limit, step)
                            self.assertLess(looked, 10 * size)

    def looked(self, stream: bytes, limit: int, step: int) -> int:
        looked = _Looked()
        decoder = sse.Decoder(max_frame_bytes=limit)
        fed = 0
        with (
            mock.patch.object(sse, "bytes", looked.type, create=True),
            mock.patch.object(sse, "_FRAME", looked),
        ):
            try:
                for at in range(0, len(stream), step):
                    chunk = bytearray(stream[at : at + step])
                    decoder.feed(chunk)
                    fed += len(chunk)
            except sse.FrameTooLarge:
                pass
        self.assertGreaterEqual(looked.bytes, fed, "it does not count")
        return looked.bytes


class Memory(unittest.TestCase):
    """At most a few times `max_frame_bytes`, which is 10 kB here, for what never ends."""

    def peak(self, chunk: bytes, times: int) -> tuple[int, bool]:
        """Return the bytes that were used at most, and whether the stream was refused."""
        decoder = sse.Decoder(max_frame_bytes=10_000)
        refused = False
        tracemalloc.start()
        try:
            for _ in range(times):
                decoder.feed(chunk)
        except sse.FrameTooLarge:
            refused = True
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return peak, refused

    def test_a_frame_without_end_is_refused_in_time(self) -> None:
        for unit in (b"x", b"data: x", b"data: x\n", b"data\n", b": c\n", b":\r", b"id: 1\r\n"):
            with self.subTest(unit):
                peak, refused = self.peak(unit * (1000 // len(unit)), 1000)
                self.assertTrue(refused)
                self.assertLess(peak, 100_000)

    def test_frames_without_end_take_no_memory(self) -> None:
        for unit in (b"data: x\n\n", b": c\r\n\r\n", b"id: 1\n\n", b"\n", b"\r"):
            with self.subTest(unit):
                peak, refused = self.peak(unit * (1000 // len(unit)), 40)
                self.assertFalse(refused)
                self.assertLess(peak, 100_000)


def position(id: str) -> tuple[int, int]:
    """Return where a cursor stands: by T, then by K, a bare T being T.0."""
    token, _, since = id.rpartition(":")[2].partition(".")
    return int(token), int(since or 0)


class Encoding(unittest.TestCase):
    def test_a_frame(self) -> None:
        encoder = sse.Encoder()
        self.assertEqual(encoder.last_event_id, "")
        self.assertEqual(
            encoder.encode(EVENTS[2]),
            b"id: 1\nevent: step_token\n"
            b'data: {"kind":"step_token","step_name":"Summarise","content":"Hello","token_index":1,'
            b'"timestamp_ms":1700000000002}\n\n',
        )
        self.assertEqual(encoder.last_event_id, "1")

    def test_cursors_are_unique_and_in_order_whatever_comes(self) -> None:
        seed = 17
        rng = random.Random(seed)
        for number in range(100):
            encoder = sse.Encoder(rng.choice((None, "run:7")))
            positions = [(0, 0)]
            tokens = [0]
            for _ in range(rng.randint(1, 40)):
                event = random_event(rng)
                if rng.random() < 0.7:
                    event = StepToken("A", "x", rng.choice((rng.randint(0, 9), U64_MAX)), 0)
                with self.subTest(seed=seed, number=number, event=event):
                    frame = encoder.encode(event)
                    (decoded_frame,) = sse_model.decode(frame).frames
                    self.assertEqual(
                        decoded_frame, (event.kind, to_json(event), encoder.last_event_id)
                    )
                    self.assertEqual(frame.count(b"\n"), 4)
                    self.assertNotIn(b"\r", frame)
                    positions.append(position(encoder.last_event_id))
                    self.assertGreater(positions[-1], positions[-2])
                    if isinstance(event, StepToken):
                        is_next = event.token_index > max(tokens)
                        self.assertEqual(is_next, "." not in encoder.last_event_id)
                        tokens.append(event.token_index)
                    self.assertEqual(positions[-1][0], max(tokens))

    def test_a_keep_alive_is_a_comment(self) -> None:
        encoder = sse.Encoder()
        encoder.encode(EVENTS[0])
        self.assertEqual(encoder.keep_alive(), b": keep-alive\n\n")
        self.assertEqual(encoder.last_event_id, "0.1")
        self.assertEqual(sse_model.decode(encoder.keep_alive()), ([], "", None, False))

    def test_another_stream_id(self) -> None:
        for text in ("", " ", "a b", "a\n", "\n", "é", "a\x7f", "\x00", "a\x1f", "😀", "a\u2028"):
            with self.subTest(text), self.assertRaises(ValueError) as caught:
                sse.Encoder(text)
            self.assertEqual(
                str(caught.exception),
                f"stream_id must be visible ASCII, one character or more, got {text!r}",
            )
        with self.assertRaises(ValueError) as caught:
            sse.Encoder("é" * 1000)
        self.assertLess(len(str(caught.exception)), 150)
        others: list[Any] = [5, b"run", True]
        for other in others:
            text = f"^stream_id must be a str or None, got {type(other).__name__}$"
            with self.subTest(other), self.assertRaisesRegex(TypeError, text):
                sse.Encoder(other)

    def test_a_stream_id_of_a_subclass_is_its_text(self) -> None:
        class Run(str, enum.Enum):
            NIGHTLY = "nightly"

        self.assertTrue(sse.Encoder(Run.NIGHTLY).encode(EVENTS[0]).startswith(b"id: nightly:0.1\n"))

    def test_what_is_no_event_is_a_type_error_and_counts_for_nothing(self) -> None:
        encoder = sse.Encoder()
        other: Any
        for other in (None, {"kind": "flow_start"}, to_json(EVENTS[0])):
            with self.subTest(other), self.assertRaises(TypeError):
                encoder.encode(other)
        self.assertEqual(encoder.last_event_id, "")
        encoder.encode(EVENTS[0])
        self.assertEqual(encoder.last_event_id, "0.1")


class Received(NamedTuple):
    """What a reader gave for a stream."""

    events: list[Event]
    fault: str
    last_event_id: str
    retry: int | None
    outcome: Outcome


def received(chunks: Iterable[bytes], **options: Any) -> Received:
    """Return what a reader gives for these chunks, and hold its fault, if any, to be sticky."""
    reader = sse.Reader(**options)
    events: list[Event] = []
    fault: Exception | None = None
    try:
        for chunk in chunks:
            events += reader.feed(chunk)
        reader.close()
    except (DecodeError, OrderError, sse.FrameTooLarge) as error:
        fault = error
        for call in (lambda: reader.feed(b"\n\n"), reader.close, reader.reopen):
            try:
                call()
            except type(error) as again:
                if str(again) != str(error):
                    raise AssertionError(f"first {error}, then {again}") from None
            else:
                raise AssertionError("the fault was forgotten") from None
    text = "" if fault is None else f"{type(fault).__name__}: {fault}"
    return Received(events, text, reader.last_event_id, reader.retry, reader.outcome)


class Reading(unittest.TestCase):
    def all_cuts(self, stream: bytes, **options: Any) -> Received:
        """Return what the stream gives, wherever it is cut."""
        whole = received([stream], **options)
        for chunks in splits(stream):
            with self.subTest(chunks=chunks):
                self.assertEqual(received(chunks, **options), whole)
        return whole

    def test_a_flow(self) -> None:
        stream = b"".join(frames_of(FLOW))
        whole = Received(list(FLOW), "", "2.2", None, Outcome.COMPLETED)
        self.assertEqual(self.all_cuts(stream), whole)
        self.assertEqual(self.all_cuts(stream, check=False), whole)

    def test_a_flow_that_failed(self) -> None:
        failed = [FLOW[0], FlowError("Report", "e", 1)]
        for check in (True, False):
            found = received(frames_of(failed), check=check)
            self.assertEqual(found, (failed, "", "0.2", None, Outcome.FAILED))

    def test_a_flow_is_open_until_its_end(self) -> None:
        for check in (True, False):
            reader = sse.Reader(check=check)
            for frame in frames_of(FLOW):
                self.assertIs(reader.outcome, Outcome.OPEN)
                reader.feed(frame)
            self.assertIs(reader.outcome, Outcome.COMPLETED)

    def test_other_types_comments_and_retries_are_skipped(self) -> None:
        frames = frames_of(FLOW)
        others = (
            b"retry: 500\n\n: keep-alive\n\nid: x\nevent: ping\ndata: {}\n\n"
            b"event: Step_token\ndata: no JSON\n\nevent: flow_start \ndata: {\n\n"
        )
        found = self.all_cuts(frames[0] + others + b"".join(frames[1:3]) + others, check=False)
        self.assertEqual(found, (list(FLOW[:3]), "", "x", 500, Outcome.TRUNCATED))

    def test_frames_that_name_no_type_hold_events(self) -> None:
        stream = b"".join(b"data: %s\r\n\r\n" % to_json(event).encode() for event in FLOW)
        self.assertEqual(received([stream]).events, list(FLOW))
        named = b"event: message\n" + frames_of(FLOW)[0].replace(b"event: flow_start\n", b"")
        self.assertEqual(received([named], check=False).events, [FLOW[0]])

    def fault(self, bad: bytes, fault: type[Exception], *words: str, **options: Any) -> None:
        """Require that two good frames and then a bad one give two events and the fault."""
        frames = frames_of(FLOW)
        good = frames[0] + frames[1]
        found = self.all_cuts(good + bad + b"retry: 7\n\n" + b"".join(frames[2:]), **options)
        self.assertEqual(found.events, list(FLOW[:2]))
        self.assertEqual(found.last_event_id, "0.2")
        self.assertIsNone(found.retry)
        self.assertIs(found.outcome, Outcome.OPEN)
        self.assertTrue(found.fault.startswith(f"{fault.__name__}: "), found.fault)
        for word in words:
            self.assertIn(word, found.fault)
        self.assertNotIn("\n", found.fault)

    def test_a_frame_that_is_no_event(self) -> None:
        where = "in the data of the frame with the id '5' (line 1, column 1)"
        self.fault(
            b"id: 5\nevent: step_token\ndata: nonsense\n\n", DecodeError, "not-json: ", where
        )
        self.fault(
            b"id: 5\ndata: {}\n\n", DecodeError, "missing-kind: ", "frame with the id '5' (l"
        )
        # Of the cursor before, if it has none.
        self.fault(b"data\n\n", DecodeError, "not-json: ", "frame with the id '0.2' (line 1, ")
        self.fault(b"event: tool_call\ndata: \xff\n\n", DecodeError, "not-json: ")

    def test_an_event_of_another_kind_than_its_frame(self) -> None:
        token = to_json(FLOW[2]).encode()
        bad = b"id: 5\nevent: tool_call\ndata: " + token + b"\n\n"
        self.fault(
            bad,
            DecodeError,
            "DecodeError: kind-mismatch: expected an event of the kind tool_call, which its frame"
            " names, got one of the kind step_token, in the data of the frame with the id '5'",
        )
        reader = sse.Reader(check=False)
        reader.feed(bad)
        with self.assertRaises(DecodeError) as caught:
            reader.feed(b"")
        error = caught.exception
        self.assertEqual(
            (error.reason, error.kind, error.field, error.pos, error.lineno, error.colno),
            ("kind-mismatch", "step_token", "kind", None, None, None),
        )

    def test_an_error_has_the_place_in_the_data_and_pickles(self) -> None:
        reader = sse.Reader()
        reader.feed(b'data: {"kind":"flow_error",\n')
        reader.feed(b'data: "error":5,"flow_name":"f","timestamp_ms":0}\n\n')
        with self.assertRaises(DecodeError) as caught:
            reader.feed(b"")
        error = caught.exception
        self.assertEqual((error.reason, error.kind, error.lineno), ("wrong-type", "flow_error", 2))
        self.assertEqual((error.field, error.pos, error.colno), ("error", 30, 9))
        self.assertEqual(str(pickle.loads(pickle.dumps(error))), str(error))
        self.assertIsNone(error.__cause__)

    def test_an_error_quotes_little_of_a_long_id(self) -> None:
        reader = sse.Reader()
        reader.feed(b"id: " + b"x\xe2\x80\xa8" * 10_000 + b"\ndata: x\n\n")
        with self.assertRaises(DecodeError) as caught:
            reader.close()
        self.assertLess(len(str(caught.exception)), 300)
        self.assertNotIn("\u2028", str(caught.exception))

    def test_an_order_that_is_broken(self) -> None:
        self.fault(frames_of(FLOW)[0], OrderError, "flow-restarted: ")

    def test_a_frame_that_is_too_large(self) -> None:
        large = b"data: " + b"x" * 200
        self.fault(large, sse.FrameTooLarge, "after at most 200 bytes", max_frame_bytes=200)

    def test_the_first_fault_is_the_one_that_counts(self) -> None:
        bad = b"data: nonsense\n\n" + b"x" * 300
        self.fault(bad, DecodeError, max_frame_bytes=200)

    def test_an_end_without_terminator(self) -> None:
        frames = frames_of(FLOW)
        for number in range(len(frames)):
            stream = b"".join(frames[:number]) + frames[number][:-1]
            found = self.all_cuts(stream)
            self.assertEqual(found.events, list(FLOW[:number]))
            self.assertTrue(found.fault.startswith("TruncatedStream: not-terminated: "))
            self.assertIs(found.outcome, Outcome.TRUNCATED)
            found = received([stream], check=False)
            self.assertEqual((found.fault, found.outcome), ("", Outcome.TRUNCATED))
            allowing = StreamChecker(allow=[Rule.NOT_TERMINATED])
            found = received([stream], check=allowing)
            self.assertEqual((found.fault, found.outcome), ("", Outcome.TRUNCATED))

    def test_a_checker_of_ones_own(self) -> None:
        checker = StreamChecker(allow=[Rule.TOKEN_GAP])
        events = [FLOW[0], FLOW[1], FLOW[3]]
        reader = sse.Reader(check=checker)
        self.assertEqual(reader.feed(b"".join(frames_of(events))), events)
        self.assertIs(reader.outcome, Outcome.OPEN)
        checker.require(FLOW[4])
        checker.require(FLOW[5])
        self.assertIs(reader.outcome, Outcome.COMPLETED)

    def test_without_a_check_the_first_terminator_counts(self) -> None:
        events = [EVENTS[5], EVENTS[6], EVENTS[2], EVENTS[2]]
        found = self.all_cuts(b"".join(frames_of(events)), check=False)
        self.assertEqual(found, (events, "", "1.1", None, Outcome.COMPLETED))

    def test_another_check(self) -> None:
        other: Any
        for other in (None, 1, "yes", StreamChecker):
            with self.subTest(other), self.assertRaisesRegex(TypeError, "^check must be True"):
                sse.Reader(check=other)
        used = StreamChecker()
        used.close()
        with self.assertRaisesRegex(ValueError, "^check must be a StreamChecker of an open stream"):
            sse.Reader(check=used)

    def test_what_is_no_bytes(self) -> None:
        text: Any = "data: x"
        with self.assertRaisesRegex(TypeError, "^feed takes bytes, got str$"):
            sse.Reader().feed(text)

    def test_after_close(self) -> None:
        reader = sse.Reader()
        reader.feed(b"".join(frames_of(FLOW)) + b"data: half")
        reader.close()
        reader.close()
        with self.assertRaisesRegex(RuntimeError, "^the stream has been closed: feed first"):
            reader.feed(b"")
        with self.assertRaisesRegex(RuntimeError, "^the Reader has been closed: reopen.* last$"):
            reader.reopen()
        self.assertIs(reader.outcome, Outcome.COMPLETED)

    def test_what_is_left_after_a_fault_is_read_no_more(self) -> None:
        reader = sse.Reader(check=False)
        self.assertEqual(reader.feed(b"id: 8\ndata: nonsense\n\nid: 9\nretry: 1\n\n"), [])
        self.assertEqual((reader.last_event_id, reader.retry), ("", None))


class Reopened(unittest.TestCase):
    def test_a_flow_over_two_connections_cut_at_every_byte(self) -> None:
        frames = frames_of(FLOW)
        stream = b"retry: 500\n\n" + BOM + b": hello\n\n" + b"".join(frames)
        for cut in range(len(stream) + 1):
            with self.subTest(cut=cut):
                reader = sse.Reader()
                events = reader.feed(stream[:cut])
                reader.reopen()
                seen = reader.last_event_id
                missed = frames[IDS.index(seen) + 1 :] if seen else frames
                events += reader.feed(BOM + b"".join(missed))
                reader.close()
                self.assertEqual(events, list(FLOW))
                self.assertEqual(reader.last_event_id, "2.2")
                self.assertEqual(reader.retry, 500 if cut >= 11 else None)

    def test_a_flow_over_a_connection_for_each_event(self) -> None:
        reader = sse.Reader()
        events = []
        for frame in frames_of(FLOW):
            events += reader.feed(frame + b"id: 99\nretry: x\ndata: half")
            reader.reopen()
        self.assertEqual(events, list(FLOW))
        reader.close()

    def test_the_half_frame_is_forgotten_and_its_id_with_it(self) -> None:
        token = b"data: " + to_json(FLOW[2]).encode() + b"\n\n"
        for half in (b"id: 9", b"id: 9\nevent: ping\ndata: x\ndat", b": c", b"\r", BOM[:2]):
            reader = sse.Reader(check=False)
            reader.feed(b"id: 1\n\n" + half)
            reader.reopen()
            self.assertEqual(reader.last_event_id, "1")
            with self.subTest(half):
                # A frame without an id keeps the one that was committed.
                self.assertEqual(reader.feed(BOM + token), [FLOW[2]])
                self.assertEqual(reader.last_event_id, "1")

    def test_the_line_feed_of_a_new_connection_ends_a_line(self) -> None:
        reader = sse.Reader(check=False)
        reader.feed(b"id: 1\r\n\r")
        reader.reopen()
        self.assertEqual(reader.feed(b"\n" + BOM + b"id: 2\n\n"), [])
        # After a blank line it is no byte order mark, but part of the name.
        self.assertEqual(reader.last_event_id, "1")

    def test_the_order_goes_on(self) -> None:
        frames = frames_of(FLOW)
        reader = sse.Reader()
        reader.feed(b"".join(frames[:3]))
        reader.reopen()
        self.assertEqual(reader.feed(b"".join(frames[2:])), [])
        with self.assertRaises(OrderError) as caught:
            reader.close()
        self.assertEqual(caught.exception.violation.rule, Rule.TOKEN_REPEATED)
        self.assertEqual(caught.exception.violation.index, 3)
        self.assertEqual(reader.last_event_id, "1")

    def test_the_bytes_of_a_frame_are_counted_anew(self) -> None:
        reader = sse.Reader(check=False, max_frame_bytes=10)
        for _ in range(3):
            self.assertEqual(reader.feed(b"data: 7890"), [])
            reader.reopen()
        reader.feed(b"\n\ndata: 78901")
        with self.assertRaisesRegex(sse.FrameTooLarge, "begins at byte 2: "):
            reader.close()

    def test_a_fault_stays(self) -> None:
        reader = sse.Reader()
        reader.feed(b"data: x\n\n")
        self.assertRaises(DecodeError, reader.reopen)
        self.assertRaises(DecodeError, reader.feed, b"")


class Pulled:
    """Chunks that are counted as they are pulled."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.count += 1
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            await asyncio.sleep(0)
            yield chunk


async def _listed(events: AsyncIterator[Event], into: list[Event]) -> None:
    async for event in events:
        into.append(event)


def _read(chunks: Pulled, into: list[Event], **options: Any) -> None:
    for event in sse.read(chunks, **options):
        into.append(event)


def _aread(chunks: Pulled, into: list[Event], **options: Any) -> None:
    asyncio.run(_listed(sse.aread(chunks, **options), into))


READS: list[Callable[..., None]] = [_read, _aread]


class Iterated(unittest.TestCase):
    """`read` and `aread`."""

    @needs.asyncio_run
    def test_a_flow(self) -> None:
        stream = b"".join(frames_of(FLOW))
        for read in READS:
            for step in (1, 7, len(stream)):
                events: list[Event] = []
                read(Pulled([stream[i : i + step] for i in range(0, len(stream), step)]), events)
                self.assertEqual(events, list(FLOW))

    @needs.asyncio_run
    def test_each_event_comes_with_its_chunk(self) -> None:
        chunks = Pulled(frames_of(FLOW))
        for number, event in enumerate(sse.read(chunks), 1):
            self.assertEqual((event, chunks.count), (FLOW[number - 1], number))

        async def look() -> None:
            chunks = Pulled(frames_of(FLOW))
            number = 0
            async for event in sse.aread(chunks):
                number += 1
                self.assertEqual((event, chunks.count), (FLOW[number - 1], number))

        asyncio.run(look())

    @needs.asyncio_run
    def test_a_fault_comes_after_the_events_before_it_and_without_another_chunk(self) -> None:
        frames = frames_of(FLOW)
        for read in READS:
            for bad, fault, options in (
                (b"data: x\n\n", DecodeError, {}),
                (frames[0], OrderError, {}),
                (b"x" * 200, sse.FrameTooLarge, {"max_frame_bytes": 199}),
            ):
                events: list[Event] = []
                chunks = Pulled([frames[0], frames[1] + bad, frames[2]])
                with self.subTest(read=read, bad=bad), self.assertRaises(fault):
                    read(chunks, events, **options)
                self.assertEqual(events, list(FLOW[:2]))
                self.assertEqual(chunks.count, 2)

    @needs.asyncio_run
    def test_an_end_without_terminator(self) -> None:
        for read in READS:
            events: list[Event] = []
            with self.assertRaises(TruncatedStream):
                read(Pulled(frames_of(FLOW[:3])), events)
            self.assertEqual(events, list(FLOW[:3]))
            events = []
            read(Pulled(frames_of(FLOW[:3])), events, check=False)
            self.assertEqual(events, list(FLOW[:3]))

    def test_text_is_told_by_what_is_given(self) -> None:
        text: Any = io.TextIOWrapper(io.BytesIO(frames_of(FLOW[:3])[0]))
        message = "^read takes an iterable of bytes, got text: open a file in binary mode$"
        with self.assertRaisesRegex(TypeError, message):
            next(sse.read(text))

        class Response(Pulled):
            encoding = "utf-8"  # as those of requests and httpx have it

        self.assertEqual(list(sse.read(Response(frames_of(FLOW)))), list(FLOW))

    def test_misuse_is_told_by_the_call(self) -> None:
        chunks: Any
        for chunks, text in (
            (b"data: x\n\n", "bytes: put it into a list"),
            (bytearray(), "bytearray: put it into a list"),
            (memoryview(b""), "memoryview: put it into a list"),
            ("data: x\n\n", "text: open a file in binary mode"),
        ):
            message = f"^read takes an iterable of bytes, got {text}$"
            with self.subTest(message), self.assertRaisesRegex(TypeError, message):
                sse.read(chunks)
        for chunks in (b"data: x\n\n", "data: x\n\n", [b"data: x\n\n"], None):
            name = type(chunks).__name__
            got = f"got {name}: use read for any other iterable"
            text = f"^aread takes an asynchronous iterable of bytes, {got}$"
            with self.subTest(type(chunks)), self.assertRaisesRegex(TypeError, text):
                sse.aread(chunks)
        for call in (sse.read, sse.aread):
            with self.assertRaisesRegex(ValueError, "^max_frame_bytes must be 1 or more"):
                call(Pulled([]), max_frame_bytes=0)
            check: Any = None
            with self.assertRaisesRegex(TypeError, "^check must be True"):
                call(Pulled([]), check=check)


if __name__ == "__main__":
    unittest.main()
