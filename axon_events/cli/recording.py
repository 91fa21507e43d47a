# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Reads a recorded flow line by line, with progress on stderr while it takes long."""

import errno
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import BinaryIO

from .. import DecodeError, Event, jsonl
from ..sse import Decoder, event_of
from .text import escaped

__all__ = ["Lines"]

_PROGRESS_SECONDS = 1.0
_BOM = b"\xef\xbb\xbf"
# What the first line that is not blank begins with, if the file has Server-Sent Events.
_SSE = (b"data:", b"event:", b"id:", b"retry:", b":")


class Lines(Iterator[bytes]):
    """The lines of a file, or of standard input for `-`; to be used in a `with`.

    - `name`: what a report calls the file; `shown_name`: the same, harmless to a terminal.
    - `lineno`: the number of the line read last, from 1; where `events` reads Server-Sent Events,
      that of the first line of the frame yielded last, and at their end that of the last line.

    If stderr is a terminal, the progress stands there, renewed once a second; what is printed
    by `print` does not run into it. An OSError of the file has its `filename`, which one of the
    output has not.
    """

    def __init__(self, path: str) -> None:
        self._is_stdin = path == "-"
        self.name = "<stdin>" if self._is_stdin else path
        self.shown_name = escaped(self.name)
        self.lineno = 0
        if self._is_stdin and sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed", self.name)
        self._file: BinaryIO = (
            sys.stdin.buffer if self._is_stdin else open(path, "rb")  # noqa: SIM115  # see __exit__
        )
        self._has_terminal = sys.stderr.isatty()
        self._is_shown = False
        self._shown_at = time.monotonic()
        self._bytes = 0

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._clear()
        if not self._is_stdin:
            self._file.close()

    def __next__(self) -> bytes:
        try:
            line = next(self._file)
        except OSError as error:
            error.filename = self.name
            raise
        self.lineno += 1
        if self._has_terminal:
            self._bytes += len(line)
            if time.monotonic() - self._shown_at >= _PROGRESS_SECONDS:
                self._show()
        return line

    def events(self) -> Iterator[Event | DecodeError]:
        """Yield each event of the file, and the error of each line or frame that is none.

        The file has Server-Sent Events if its first line that is not blank begins like one, also
        after a byte order mark of the file, else JSON Lines. The errors have the `lineno` of the
        file.
        """
        first = next(self, b"")
        for line in chain([first], self):
            text = line.removeprefix(_BOM) if self.lineno == 1 else line
            if text.strip(b" \t\r\n"):
                if text.startswith(_SSE):
                    yield from self._of_frames(chain([line], self))
                else:
                    yield from _of_lines(chain(self._before(first), [line], self))

    def _before(self, first: bytes) -> Iterator[bytes]:
        """Yield the lines before the one read last once more: all blank, but for the first."""
        lineno = self.lineno
        for self.lineno in range(1, lineno):
            yield first if self.lineno == 1 else b"\n"
        self.lineno = lineno

    def _of_frames(self, lines: Iterable[bytes]) -> Iterator[Event | DecodeError]:
        """Yield what the frames hold, with `lineno` at the first line of each."""
        # As with JSON Lines, what has no end is not cut off, but kept until it ends.
        decoder = Decoder(max_frame_bytes=sys.maxsize)
        frame = bytearray()
        first = self.lineno
        last = first - 1
        # The lines of an event stream may end with CR as well, which Python's do not.
        for line in chain.from_iterable(line.splitlines(keepends=True) for line in lines):
            last += 1
            frame += line
            if line.strip(b"\r\n"):
                continue
            self.lineno = first
            for held in decoder.feed(frame):
                try:
                    event = event_of(held)
                except DecodeError as error:
                    yield error._changed(lineno=first)
                else:
                    if event is not None:
                        yield event
            frame.clear()
            first = last + 1
        decoder.feed(frame)
        decoder.close()
        if decoder.discarded:
            self.lineno = first
            yield DecodeError(
                "cut-line",
                "expected a blank line, which ends a frame, got the end of the file in the middle"
                " of one",
                lineno=first,
            )
        self.lineno = last

    def complaint(self, error: DecodeError) -> str:
        """Return what `events` found to be no event, and where, as a line for people."""
        column = "" if error.colno is None else f" (column {error.colno})"
        return f"{self.shown_name}:{error.lineno}: {error.reason}: {error.message}{column}"

    def print(self, text: str) -> None:
        """Print a line to stdout, in place of the progress if that stands on the same terminal."""
        if self._is_shown and sys.stdout.isatty():
            self._clear()
        print(text)

    def _show(self) -> None:
        self._shown_at = time.monotonic()
        self._is_shown = True
        size = os.fstat(self._file.fileno()).st_size  # 0 if it is not known, as of a pipe
        share = f" of {size / 1e6:.1f}" if size else ""
        print(f"\r{self._bytes / 1e6:.1f}{share} MB", end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._is_shown:
            self._is_shown = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _of_lines(lines: Iterable[bytes]) -> Iterator[Event | DecodeError]:
    """Yield what the lines of JSON Lines hold."""
    reader = jsonl.read(lines)
    while True:
        found: Event | DecodeError
        try:
            found = next(reader)
        except DecodeError as error:
            found = error
        except StopIteration:
            return
        yield found
