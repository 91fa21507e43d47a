# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Server-Sent Events: the corpus, the model, every cut, and what a reader makes of broken streams."""

import asyncio
import enum
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
    ToolCall,
    from_json,
    sse,
    to_json,
)
from axon_events.order import OrderError, Outcome, Rule, StreamChecker, TruncatedStream

from . import CORPUS, sse_model
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
    *results, _ = sse_model.decode(stream[: start + limit])
    text = (
        f"the frame that begins at byte {start}: expected a blank line after at most {limit} bytes,"
        " got more: raise max_frame_bytes if such frames are to be taken"
    )
    return Result(*results, False, text)


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
_BAD = (b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe0\x80")
_BAD += (b"\xf4\x90\x80\x80", b"\xfe\xff", b"\xf5", b"\xef\xbb")
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
