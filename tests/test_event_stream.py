# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The decoder of event streams: the corpus, the model, every cut, and what it costs."""

import json
import pickle
import random
import re
import tracemalloc
import unittest
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from unittest import mock

from axon_events import _event_stream, sse
from axon_events.sse import Decoder, Frame, FrameTooLarge

from . import CORPUS, sse_model
from .effort import rounds
from .sse_model import BOM, splits

DEFAULT_LIMIT: Final = 16 * 2**20


def cases() -> list[dict[str, Any]]:
    """Return the streams of sse.json, on which any implementation must agree."""
    found: list[dict[str, Any]] = json.loads((CORPUS / "sse.json").read_bytes())["decode"]
    if len(found) < 200:
        raise AssertionError(f"sse.json has only {len(found)} cases to decode")
    return found


class Result(NamedTuple):
    """What a decoder gave for a stream."""

    frames: list[tuple[str, str, str]]
    last_event_id: str
    retry: int | None
    discarded: bool
    fault: str


def decoded(chunks: Iterable[bytes], limit: int = DEFAULT_LIMIT) -> Result:
    """Return what a decoder gives for these chunks, and hold its fault, if any, to be sticky."""
    decoder = Decoder(max_frame_bytes=limit)
    frames: list[tuple[str, str, str]] = []
    fault = ""
    try:
        for chunk in chunks:
            frames += [(frame.event, frame.data, frame.id) for frame in decoder.feed(chunk)]
        decoder.close()
    except FrameTooLarge as error:
        fault = str(error)
        for call in (lambda: decoder.feed(b""), lambda: decoder.feed(b"\n\n"), decoder.close):
            try:
                call()
            except FrameTooLarge as again:
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
        for case in cases():
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
        for case in cases():
            with self.subTest(case["name"]):
                frames = [(frame["event"], frame["data"], frame["id"]) for frame in case["frames"]]
                self.assertEqual(
                    sse_model.decode(bytes.fromhex(case["input_hex"])),
                    (frames, case["last_event_id"], case["retry"], case["discarded"]),
                )

    def test_a_frame_is_out_as_soon_as_its_last_line_end_has_begun(self) -> None:
        for case in cases():
            stream = bytes.fromhex(case["input_hex"])
            decoder = Decoder()
            out: list[Frame] = []
            for end in range(1, len(stream) + 1):
                out += decoder.feed(stream[end - 1 : end])
                if end % rounds(5, 1):
                    continue
                with self.subTest(case["name"], end=end):
                    # Of the first bytes alone, the last line of which a lone CR ends, too.
                    so_far = sse_model.decode(stream[:end])
                    self.assertEqual(list(map(tuple, out)), [(*frame,) for frame in so_far.frames])
                    self.assertEqual(decoder.last_event_id, so_far.last_event_id)
                    self.assertEqual(decoder.retry, so_far.retry)
                    self.assertEqual(decoded([stream[:end]]).discarded, so_far.discarded)


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
    def test_random_streams_with_random_cuts(self) -> None:
        seed = 926
        rng = random.Random(seed)
        seen: Counter[str] = Counter()
        count = rounds(1_000, 20_000)
        for number in range(count):
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
        # The random streams reach what they are for.
        for what, times in seen.items():
            self.assertGreater(times, count // 20, what)


class Decoding(unittest.TestCase):
    def test_what_bytes_come_in(self) -> None:
        stream = b"id: 1\nevent: e\ndata: a\n\n"
        frame = Frame(event="e", data="a", id="1")
        for chunk in (stream, bytearray(stream), memoryview(stream), memoryview(stream * 2)[::1]):
            with self.subTest(type(chunk)):
                self.assertEqual(Decoder().feed(chunk)[0], frame)
        twice = b"".join(bytes([byte, byte]) for byte in stream)
        every_second = memoryview(twice)[::2]
        self.assertEqual(Decoder().feed(every_second), [frame])

    def test_a_chunk_may_change_after_it_was_fed(self) -> None:
        decoder = Decoder()
        chunk = bytearray(b"data: a")
        decoder.feed(chunk)
        chunk[:] = b"xxxxxxx"
        self.assertEqual(decoder.feed(b"\n\n"), [("message", "a", "")])

    def test_anything_else_is_a_type_error_and_changes_nothing(self) -> None:
        decoder = Decoder()
        decoder.feed(b"data: a\n")
        others: list[Any] = ["data: b\n", None, 5, [b"data: b\n"]]
        for other in others:
            text = f"^feed takes bytes, got {type(other).__name__}$"
            with self.subTest(other), self.assertRaisesRegex(TypeError, text):
                decoder.feed(other)
        self.assertEqual(decoder.feed(b"\n"), [("message", "a", "")])

    def test_before_anything_came(self) -> None:
        decoder = Decoder()
        self.assertEqual(decoder.last_event_id, "")
        self.assertIsNone(decoder.retry)
        self.assertIs(decoder.discarded, False)
        self.assertEqual(decoder.feed(b""), [])

    def test_an_id_is_committed_with_its_frame(self) -> None:
        decoder = Decoder()
        decoder.feed(b"id: 1\ndata: a\n")
        self.assertEqual(decoder.last_event_id, "")
        decoder.feed(b"\n")
        self.assertEqual(decoder.last_event_id, "1")

    def test_a_retry_counts_from_its_line_on(self) -> None:
        decoder = Decoder()
        decoder.feed(b"retry: 500")
        self.assertIsNone(decoder.retry)
        decoder.feed(b"\n")
        self.assertEqual(decoder.retry, 500)

    def test_nothing_is_fed_after_close(self) -> None:
        decoder = Decoder()
        decoder.feed(b"data: a")
        decoder.close()
        decoder.close()
        self.assertIs(decoder.discarded, True)
        with self.assertRaisesRegex(RuntimeError, "^the stream was closed: call feed"):
            decoder.feed(b"")

    def test_it_goes_on_after_an_id(self) -> None:
        decoder = Decoder(last_event_id="run:17…")
        self.assertEqual(decoder.last_event_id, "run:17…")
        self.assertEqual(decoder.feed(b"data: a\n\n"), [("message", "a", "run:17…")])
        self.assertEqual(decoder.feed(b"id\ndata: a\n\n"), [("message", "a", "")])
        self.assertEqual(decoder.last_event_id, "")

    def test_an_id_that_no_frame_can_have(self) -> None:
        for cls in (Decoder, sse.Reader):
            for text in ("\n", "1\r\nX: y", "1\0", "\ud83d", "\udfff", "1\n" * 100):
                with self.subTest(text), self.assertRaises(ValueError) as caught:
                    cls(last_event_id=text)
                message = str(caught.exception)
                start = "last_event_id must be what an id line can hold, without CR, LF, NUL and"
                self.assertTrue(message.startswith(start), message)
                self.assertTrue(message.isascii() and message.isprintable() and len(message) < 200)
            others: list[Any] = [None, 17, b"17"]
            for other in others:
                text = f"^last_event_id must be a str, got {type(other).__name__}$"
                with self.subTest(other), self.assertRaisesRegex(TypeError, text):
                    cls(last_event_id=other)

    def test_what_another_connection_keeps(self) -> None:
        decoder = Decoder(max_frame_bytes=30)
        decoder.feed(b"retry: 5\nid: 1\ndata: a\n\nid: 2\nevent: e\ndata: lost\nda")
        decoder.reopen()
        self.assertEqual((decoder.last_event_id, decoder.retry), ("1", 5))
        frames = decoder.feed(BOM + b"data: b\n\ndata: " + b"x" * 40)
        self.assertEqual(frames, [("message", "b", "1")])
        with self.assertRaisesRegex(FrameTooLarge, "begins at byte 12: "):
            decoder.reopen()

    def test_no_other_connection_after_close(self) -> None:
        decoder = Decoder()
        decoder.close()
        with self.assertRaisesRegex(RuntimeError, r"^the stream was closed: call reopen\(\)"):
            decoder.reopen()

    def test_another_max_frame_bytes(self) -> None:
        others: list[Any] = [1.0, "1", None, True]
        for cls in (Decoder, sse.Reader):
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
        stride = rounds(9, 1)
        for number, case in enumerate(cases()):
            stream = bytes.fromhex(case["input_hex"])[:60]
            bytewise = [stream[at : at + 1] for at in range(len(stream))]
            for limit in range(1 + number % stride, min(len(stream), 30) + 2, stride):
                should_be = expected(stream, limit)
                for chunks in ([stream], bytewise, [stream[:limit], stream[limit:]]):
                    with self.subTest(case["name"], limit=limit, chunks=chunks):
                        self.assertEqual(decoded(chunks, limit), should_be)

    def test_no_frame_after_the_fault(self) -> None:
        decoder = Decoder(max_frame_bytes=10)
        good = b"id: 1\ndata\n\n"
        frames = decoder.feed(b"data\n\nid: 1\ndata: too large\nretry: 5\n\n" + good)
        self.assertEqual(frames, [("message", "", "")])
        self.assertEqual((decoder.last_event_id, decoder.retry), ("", None))
        with self.assertRaises(FrameTooLarge):
            decoder.feed(good)
        self.assertIs(decoder.discarded, False)

    def test_the_default(self) -> None:
        frame = b"data:" + b"x" * (DEFAULT_LIMIT - 6) + b"\n\n"
        self.assertEqual(len(Decoder().feed(frame)), 1)
        decoder = Decoder()
        self.assertEqual(decoder.feed(b"x" + frame), [])
        self.assertRaises(FrameTooLarge, decoder.close)

    def test_it_is_a_value_error_that_pickles(self) -> None:
        decoder = Decoder(max_frame_bytes=1)
        decoder.feed(b"data")
        with self.assertRaises(ValueError) as caught:
            decoder.close()
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertIs(type(again), FrameTooLarge)
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
        self._pattern = _event_stream._FRAME
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
        size = rounds(300, 1_200)
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
            b"data: " + b"x" * (size - 200) + b"\n",
            b"data: " + b"x" * (size - 200) + b"\n\n",
            b"data: " + b"x" * (size - 200) + b"\r\n",
        ):
            stream = unit * (size // len(unit))
            for end in (b"", b"\r", b"\n")[: rounds(1, 3)]:
                # All is within the first limit; a frame such as `data: 12` just within the second.
                for limit in (size + 1, len(unit) - 1 or 1):
                    for step in (size + 1, 100, 1):
                        with self.subTest(unit[:20], end=end, limit=limit, step=step):
                            looked = self.looked(stream + end, limit, step)
                            self.assertLess(looked, 10 * size)

    def looked(self, stream: bytes, limit: int, step: int) -> int:
        looked = _Looked()
        decoder = Decoder(max_frame_bytes=limit)
        fed = 0
        with (
            mock.patch.object(_event_stream, "bytes", looked.type, create=True),
            mock.patch.object(_event_stream, "_FRAME", looked),
        ):
            try:
                for at in range(0, len(stream), step):
                    chunk = bytearray(stream[at : at + step])
                    decoder.feed(chunk)
                    fed += len(chunk)
            except FrameTooLarge:
                pass
        self.assertGreaterEqual(looked.bytes, fed, "it does not count")
        return looked.bytes


class Memory(unittest.TestCase):
    """At most a few times `max_frame_bytes`, which is 10 kB here, for what never ends."""

    def peak(self, chunk: bytes, times: int) -> tuple[int, bool]:
        """Return the bytes that were used at most, and whether the stream was refused."""
        decoder = Decoder(max_frame_bytes=10_000)
        refused = False
        tracemalloc.start()
        try:
            for _ in range(times):
                decoder.feed(chunk)
        except FrameTooLarge:
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
                peak, refused = self.peak(unit * (1000 // len(unit)), rounds(6, 40))
                self.assertFalse(refused)
                self.assertLess(peak, 100_000)


class Module(unittest.TestCase):
    def test_the_public_module_is_sse(self) -> None:
        for cls in (Decoder, Frame, FrameTooLarge):
            self.assertIs(getattr(sse, cls.__name__), cls)
            self.assertEqual(cls.__module__, sse.__name__)
        frame = Frame("e", "d", "1")
        again = pickle.loads(pickle.dumps(frame))
        self.assertEqual((type(again), again), (Frame, frame))
        self.assertIn(sse.__name__.encode(), pickle.dumps(frame))

    def test_it_imports_nothing_of_the_package(self) -> None:
        for value in vars(_event_stream).values():
            module = getattr(value, "__module__", None) or getattr(value, "__name__", "")
            if str(module).startswith(_event_stream.__name__.rpartition(".")[0]):
                self.assertIn(module, (_event_stream.__name__, sse.__name__))


if __name__ == "__main__":
    unittest.main()
