# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`show`: what happened in a recorded flow, a line for each event."""

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from .. import (
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
)
from .text import fit

__all__ = ["add_parser"]

# Columns for a text in a line that no terminal limits.
_LONGEST_TEXT = 200
_PROGRESS_SECONDS = 1.0


def add_parser(commands: Any) -> None:
    """Add the command to argparse's sub-commands."""
    parser = commands.add_parser(
        "show",
        help="print what happened in a recorded flow",
        description="Print a line for each event of a flow recorded as JSON Lines, with the time"
        " since its start, and a last line of what happened. A line that is no event is reported"
        " and skipped.",
        epilog="Exit status: 0 the flow ended; 1 a line is no event, or the flow has no end;"
        " 2 the file cannot be read.",
    )
    parser.add_argument("file", metavar="FILE", help="a file of JSON Lines; - for standard input")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> Iterator[int]:
    if arguments.file == "-":
        yield from _show(sys.stdin.buffer, "<stdin>")
        return
    with open(arguments.file, "rb") as file:
        yield from _show(file, arguments.file)


def _show(file: BinaryIO, name: str) -> Iterator[int]:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    counts: Counter[str] = Counter()
    undecodable = 0
    start_ms: int | None = None
    event: Event | None = None
    for lineno, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        try:
            event = from_json(line.rstrip(b"\r\n"))
        except DecodeError as error:
            undecodable += 1
            yield 1
            print(f"{name}:{lineno}: {error.reason}: {error.message} (column {error.colno})")
            continue
        if start_ms is None or isinstance(event, FlowStart):
            start_ms = event.timestamp_ms
        counts[event.kind] += 1
        elapsed = f"{(event.timestamp_ms - start_ms) / 1000:+.3f}s"
        print(fit(f"{elapsed:>10}  {event.kind:<13}  {_details(event)}", width))
    if event is None or not event.is_terminator:
        yield 1
    print(_outcome(event, start_ms, counts, undecodable))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the file's lines, with progress on stderr where only that is a terminal."""
    if sys.stdout.isatty() or not sys.stderr.isatty():
        yield from file
        return
    size = file_size(file)
    done = 0
    shown = time.monotonic()
    try:
        for line in file:
            yield line
            done += len(line)
            if time.monotonic() - shown >= _PROGRESS_SECONDS:
                shown = time.monotonic()
                share = f" of {size / 1e6:.1f}" if size else ""
                print(f"\r{done / 1e6:.1f}{share} MB", end="", file=sys.stderr, flush=True)
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def file_size(file: BinaryIO) -> int:
    """Return the size of a file in bytes; 0 if it is not known, as of a pipe."""
    return os.fstat(file.fileno()).st_size


def _details(event: Event) -> str:  # noqa: RET503  # the last case does not return
    """Return what an event says beyond its kind, on one line without control characters."""
    match event:
        case FlowStart():
            return f"{_text(event.flow_name)} on {_text(event.backend)}"
        case StepStart():
            return f"{_text(event.step_name)} (step {event.step_index}, {_text(event.step_type)})"
        case StepToken():
            return f"{_text(event.step_name)} {event.token_index}: {_text(event.content)}"
        case StepComplete():
            return (
                f"{_text(event.step_name)} (step {event.step_index}) {_result(event.success)},"
                f" {event.tokens_input} tokens in, {event.tokens_output} out:"
                f" {_text(event.full_output)}"
            )
        case ToolCall():
            return (
                f"{_text(event.step_name)} calls {_text(event.tool_name)}: {_text(event.content)}"
            )
        case FlowComplete():
            return (
                f"{_text(event.flow_name)} {_result(event.success)},"
                f" {_count(event.steps_executed, 'step')},"
                f" {event.tokens_input} tokens in, {event.tokens_output} out,"
                f" {event.latency_ms} ms"
            )
        case FlowError():
            return f"{_text(event.flow_name)} failed: {_text(event.error)}"
        case _:
            _assert_never(event)


def _assert_never(event: NoReturn) -> NoReturn:
    """Let the type checker prove that a `match` has all variants (`typing.assert_never`, 3.11)."""
    raise TypeError(f"{event!r} is not of the catalog")


def _text(text: str) -> str:
    # `repr` has no control character, whatever the text has.
    return fit(repr(text[:_LONGEST_TEXT]), _LONGEST_TEXT)


def _result(success: bool) -> str:
    return "succeeded" if success else "did not succeed"


def _outcome(
    last: Event | None, start_ms: int | None, counts: Counter[str], undecodable: int
) -> str:
    """Return the last line: what happened, as far as the stream tells."""
    if last is None or start_ms is None:
        what = "no event"
    else:
        what = (
            f"{_count(counts['step_start'], 'step')}, {_count(counts['step_token'], 'token')},"
            f" {_count(counts['tool_call'], 'tool call')}"
            f" in {(last.timestamp_ms - start_ms) / 1000:.3f}s"
        )
    if undecodable:
        what += f"; {_count(undecodable, 'line')} could not be decoded"
    match last:
        case FlowComplete():
            return f"completed: {_text(last.flow_name)} {_result(last.success)}: {what}"
        case FlowError():
            return f"failed: {_text(last.flow_name)}: {_text(last.error)}: {what}"
        case _:
            return f"truncated: the stream has no flow_complete or flow_error at its end: {what}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
