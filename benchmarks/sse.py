# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The races of Server-Sent Events: a token to the bytes of its frame, and a stream to frames."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx  # pyright: ignore[reportMissingImports]
import httpx_sse  # pyright: ignore[reportMissingImports]
import sse_starlette  # pyright: ignore[reportMissingImports]
import sseclient  # pyright: ignore[reportMissingImports]
from ag_ui.core import TextMessageContentEvent  # pyright: ignore[reportMissingImports]
from ag_ui.encoder import EventEncoder  # pyright: ignore[reportMissingImports]
from anthropic import _streaming as anthropic  # pyright: ignore[reportMissingImports]
from openai import _streaming as openai  # pyright: ignore[reportMissingImports]

from axon_events import StepToken
from axon_events.sse import Decoder, Encoder

from .codec import each
from .models import LIBRARIES, TOKENS, pydantic_token, token_fields
from .race import Race

STREAM_BYTES = 5_000_000
PIECE_BYTES = 4096

_agui = EventEncoder()
_msgspec: Any = LIBRARIES["msgspec"]


def _msgspec_frame(event: Any) -> bytes:
    return b"id: %d\nevent: step_token\ndata: %b\n\n" % (event.token_index, _msgspec.encode(event))


def _starlette_frame(event: Any) -> bytes:
    frame: bytes = sse_starlette.ServerSentEvent(
        event.model_dump_json(), id=str(event.token_index), event=event.kind, sep="\n"
    ).encode()
    return frame


def _agui_frame(event: Any) -> bytes:
    frame: bytes = _agui.encode(event).encode()
    return frame


def _agui_event(step_name: str, content: str, token_index: int, timestamp_ms: int) -> Any:
    # Its event for a token: the nearest there is. It has no place for a counter.
    return TextMessageContentEvent(message_id=step_name, delta=content, timestamp=timestamp_ms)


# What makes the event of a token, and what its frame, for a stream.
_FRAMERS: dict[str, tuple[Callable[..., Any], Callable[[], Callable[[Any], bytes]]]] = {
    "axon_events": (StepToken, lambda: Encoder().encode),
    "msgspec and framing": (_msgspec.family["step_token"], lambda: _msgspec_frame),
    "pydantic with sse-starlette": (pydantic_token, lambda: _starlette_frame),
    "ag-ui": (_agui_event, lambda: _agui_frame),
}
_FRAME_AIMS = {"msgspec and framing": 2.2, "pydantic with sse-starlette": 1 / 3, "ag-ui": 1 / 3}


def _from_text(
    cls: Callable[..., Any], framer: Callable[[], Callable[[Any], bytes]]
) -> Callable[[], list[bytes]]:
    fields = token_fields()

    def run() -> list[bytes]:
        frame = framer()
        return [frame(cls(*values)) for values in fields]

    return run


def _from_event(
    cls: Callable[..., Any], framer: Callable[[], Callable[[Any], bytes]]
) -> Callable[[], object]:
    events = [cls(*values) for values in token_fields()]
    return lambda: each(framer(), events)()


def _token_races() -> Iterator[Race]:
    _require_same_frames([_from_text(*how)() for how in _FRAMERS.values()])
    for title, of in (
        ("token to SSE bytes", _from_text),
        ("the same, the event already constructed", _from_event),
    ):
        contestants = {name: of(*how) for name, how in _FRAMERS.items()}
        yield Race(title, len(TOKENS), contestants, _FRAME_AIMS)


def _require_same_frames(frames: list[list[bytes]]) -> None:
    """Raise AssertionError unless the contestants' frames are the same (ag-ui's are its own)."""
    ours, *others, _agui_frames = frames
    for theirs in others:
        for mine, other in zip(ours, theirs, strict=True):
            if mine != other:
                raise AssertionError(f"{other!r} is not {mine!r}")


def stream(size: int = STREAM_BYTES) -> bytes:
    """Return a stream of token frames of at least so many bytes."""
    encoder = Encoder()
    frames: list[bytes] = []
    total = 0
    for n, event in enumerate(itertools.cycle(TOKENS), 1):
        if total >= size or type(event) is not StepToken:
            break
        frames.append(
            encoder.encode(StepToken(event.step_name, event.content, n, event.timestamp_ms))
        )
        total += len(frames[-1])
    return b"".join(frames)


def pieces(body: bytes, size: int = PIECE_BYTES) -> list[bytes]:
    """Return the stream cut as it comes from a socket."""
    return [body[start : start + size] for start in range(0, len(body), size)]


def _ours(chunks: list[bytes]) -> Iterator[Any]:
    decoder = Decoder()
    for chunk in chunks:
        yield from decoder.feed(chunk)
    decoder.close()


def _httpx_sse(chunks: list[bytes]) -> Iterable[Any]:
    response = httpx.Response(
        200, headers={"content-type": "text/event-stream"}, content=iter(chunks)
    )
    frames: Iterable[Any] = httpx_sse.EventSource(response).iter_sse()
    return frames


DECODERS: dict[str, Callable[[list[bytes]], Iterable[Any]]] = {
    "axon_events": _ours,
    "httpx-sse": _httpx_sse,
    "sseclient-py": lambda chunks: sseclient.SSEClient(chunks).events(),
    "openai": lambda chunks: openai.SSEDecoder().iter_bytes(iter(chunks)),
    "anthropic": lambda chunks: anthropic.SSEDecoder().iter_bytes(iter(chunks)),
}


def decoding(title: str, body: bytes, rounds: int) -> Race:
    """Return the race of the decoders over a stream, all of which must find the same in it."""
    chunks = pieces(body)
    found = {
        name: [(frame.event, frame.data, frame.id) for frame in decode(chunks)]
        for name, decode in DECODERS.items()
    }
    for name, frames in found.items():
        if frames != found["axon_events"]:
            raise AssertionError(f"{name} finds other frames")
    return Race(
        title,
        len(body),
        {
            name: lambda decode=decode: deque(decode(chunks), 0)  # type: ignore[misc]
            for name, decode in DECODERS.items()
        },
        dict.fromkeys(list(DECODERS)[1:], 2 / 3),
        rounds,
        "MB/s",
    )


def races() -> Iterator[Race]:
    """Yield the races of this group."""
    yield from _token_races()
    yield decoding("SSE decode, 5 MB in 4 KiB pieces", stream(), 15)
