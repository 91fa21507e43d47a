# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`show`: shows what happened in recorded flows, as lines, a picture or a page.

On a pipe it prints a line for each event as it comes, and keeps none. On a terminal it draws the
`FlowSummary` of each flow; if the input is a pipe, it first prints the events as they come.
"""

import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

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
)
from ..order import Outcome, StreamChecker
from ..summary import FlowSummary, StepSummary
from .recording import Recording, opened
from .text import columns, count, date, escaped, fit, how_long, pad, wrap

__all__ = ["add_arguments"]

# The most columns of a text, in a line that no terminal limits.
_LONGEST_TEXT = 200
# A terminal that says it has fewer columns still gets lines of this many.
_NARROWEST = 20
# If the bars have fewer columns than this, the figures of a step go below its bar.
_SHORTEST_BAR = 12
# Names are cut to a quarter of the width, but not to fewer columns than this.
_SHORTEST_NAME = 14


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its arguments to argparse."""
    parser.description = (
        "Show what happened in recorded flows. A file is JSON Lines or Server-Sent Events; each"
        " flow_start in it begins a flow. A terminal shows the steps as bars over the time of the"
        " flow, with their tokens and tool calls. Elsewhere each event is a line, as it comes. If a"
        " pipe is read, a terminal shows both: the events as they come, and then the bars. The"
        " outcome comes last. A line or frame that is no event is reported and skipped."
        " A run of a store is shown as it is now; one that has not ended is open."
    )
    parser.epilog = (
        "Exit status: 0 the flows ended, or are open; 1 a line is no event, or a flow has no end;"
        " 2 a file cannot be read or written."
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a recorded file; - for standard input; FILE#NAME for a run of a SQLite store",
    )
    parser.add_argument(
        "--text", action="store_true", help="on a terminal, show the text of each step as well"
    )
    parser.add_argument(
        "--html",
        metavar="PAGE",
        help="write the flow in the one FILE as a page that needs nothing else; - for standard"
        " output. Of several flows it has the last",
    )
    parser.set_defaults(run=_run, usage_error=parser.error)


def _run(arguments: argparse.Namespace) -> Iterator[int]:
    if arguments.html is not None:
        if len(arguments.files) > 1:
            arguments.usage_error("--html makes a page of one FILE")
        yield from _write_page(arguments)
        return
    space = ""
    for path in arguments.files:
        try:
            with opened(path, arguments.command) as lines:
                if len(arguments.files) > 1:
                    print(f"{space}==> {lines.shown_name} <==")
                    space = "\n"
                yield from _show(lines, arguments.text)
        except OSError as error:
            if error.filename is None:  # it is stdout that failed
                raise
            yield 2
            name = escaped(str(error.filename))
            print(f"{arguments.program}: {name}: {error.strerror}", file=sys.stderr)


def _show(lines: Recording, with_text: bool) -> Iterator[int]:
    is_terminal = sys.stdout.isatty()
    prints_events = not is_terminal or lines.is_live
    if prints_events:
        lines.has_progress = lines.has_progress and not is_terminal  # the events are progress
    for note in lines.notes:
        lines.print(f"{lines.shown_name}: {note}")
    flow = _Flow(StreamChecker(from_start=lines.has_start))
    for found in lines.events():
        if isinstance(found, DecodeError):
            yield 1
            flow.undecodable += 1
            lines.print(lines.complaint(found))
            continue
        if isinstance(found, FlowStart) and flow.counts:
            yield from _end(flow, lines, prints_events, is_terminal, with_text)
            flow = _Flow()
        flow.add(found)
        if is_terminal:
            flow.summary.add(found)
        if prints_events:
            line = _event_line(found, flow.start_ms)
            lines.print(fit(line, _width()) if is_terminal else line)
    flow.undecodable += lines.more
    for line in lines.rest():
        lines.print(line)
    flow.is_open = lines.is_open
    if not lines.is_wrapped:
        yield from _end(flow, lines, prints_events, is_terminal, with_text)


def _write_page(arguments: argparse.Namespace) -> Iterator[int]:
    """Write the run as a page, and notes about it to stderr."""
    from .page import self_contained  # here, since only the page needs what it imports

    events: list[Event] = []
    undecodable = 0
    flows = 0
    with opened(arguments.files[0], arguments.command) as lines:
        for note in lines.notes:
            print(f"{lines.shown_name}: {note}", file=sys.stderr)
        for found in lines.events():
            if isinstance(found, DecodeError):
                yield 1
                undecodable += 1
                print(lines.complaint(found), file=sys.stderr)
                continue
            if isinstance(found, FlowStart):
                flows += 1
                events.clear()
            events.append(found)
        for line in lines.rest():
            print(line, file=sys.stderr)
    undecodable += lines.more
    if lines.is_wrapped:
        return
    if flows > 1:
        print(f"{lines.shown_name}: {flows} flows: the page has the last", file=sys.stderr)
    if not (lines.is_open or any(event.is_terminator for event in events)):
        yield 1
    checker = StreamChecker(from_start=lines.has_start or flows > 0)
    notes = [*lines.notes]
    if undecodable:
        notes.append(_undecodable(undecodable))
    if violations := sum(len(checker.feed(event)) for event in events):
        notes.append(_broken(violations))
    page = self_contained(events, notes=notes, is_open=lines.is_open).encode()
    if arguments.html != "-":
        try:
            with open(arguments.html, "wb") as file:
                file.write(page)
        except OSError as error:
            error.filename = arguments.html  # an error of a full disk has none
            raise
        print(f"{escaped(arguments.html)}: {count(len(events), 'event')} of {lines.shown_name}")
    elif hasattr(sys.stdout, "buffer"):
        # As it is: the page says that it is UTF-8, whatever the terminal's encoding.
        sys.stdout.buffer.write(page)
    else:
        print(page.decode(), end="")


def _end(
    flow: "_Flow", lines: Recording, prints_events: bool, is_terminal: bool, with_text: bool
) -> Iterator[int]:
    """Print what follows the events of a flow; yield 1 if the flow has no end."""
    if not flow.is_open:
        if flow.terminator is None:
            yield 1
        flow.summary.close()
    if is_terminal:
        if prints_events:
            lines.print("")
        has_colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        for line in _picture(flow, _width(), _coloured if has_colours else _plain, with_text):
            lines.print(line)
    else:
        if flow.violations:
            lines.print(_broken(flow.violations))
        lines.print(_outcome(flow))


def _width() -> int:
    return max(shutil.get_terminal_size().columns, _NARROWEST)


@dataclass
class _Flow:
    """What is known of a flow so far; its `summary` is filled for a terminal only."""

    checker: StreamChecker = field(default_factory=StreamChecker)
    violations: int = 0  # without a missing end, which the outcome reports
    summary: FlowSummary = field(default_factory=FlowSummary)
    counts: Counter[str] = field(default_factory=Counter)
    undecodable: int = 0
    start_ms: int = 0
    last_ms: int = 0  # the latest time; not the last one, if a clock was set back
    terminator: FlowComplete | FlowError | None = None
    after: int = 0  # events after the terminator
    is_open: bool = False  # whether more may come

    def add(self, event: Event) -> None:
        """Take the next event."""
        self.violations += len(self.checker.feed(event))
        if self.terminator is not None:
            self.after += 1
            return
        if not self.counts:
            self.start_ms = event.timestamp_ms
        self.last_ms = max(self.last_ms, event.timestamp_ms)
        self.counts[event.kind] += 1
        if isinstance(event, (FlowComplete, FlowError)):
            self.terminator = event


def _since(start_ms: int, ms: int) -> int:
    """Return the milliseconds from one time to another; 0 if a clock was set back."""
    return max(ms - start_ms, 0)


# On a pipe: a line for each event.


def _event_line(event: Event, start_ms: int) -> str:
    elapsed = f"{_since(start_ms, event.timestamp_ms) / 1000:+.3f}s"
    return f"{elapsed:>10}  {event.kind:<13}  {_details(event)}"


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
                f" {count(event.steps_executed, 'step')},"
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


def _undecodable(lines: int) -> str:
    return f"{count(lines, 'line')} could not be decoded"


def _broken(violations: int) -> str:
    pronoun = "it" if violations == 1 else "them"
    return f"{count(violations, 'violation')} of the order of events: `check` names {pronoun}"


def _outcome(flow: _Flow) -> str:
    """Return the last line: what happened, as far as the stream tells."""
    if flow.counts:
        ms = _since(flow.start_ms, flow.last_ms)
        if isinstance(flow.terminator, FlowComplete):
            ms = flow.terminator.latency_ms
        what = (
            f"{count(flow.counts['step_start'], 'step')},"
            f" {count(flow.counts['step_token'], 'token')},"
            f" {count(flow.counts['tool_call'], 'tool call')}"
            f" in {ms / 1000:.3f}s"
        )
    else:
        what = "no event"
    if flow.after:
        what += f"; {count(flow.after, 'event')} after the end"
    if flow.undecodable:
        what += f"; {_undecodable(flow.undecodable)}"
    match flow.terminator:
        case FlowComplete() as end:
            return f"completed: {_text(end.flow_name)} {_result(end.success)}: {what}"
        case FlowError() as end:
            return f"failed: {_text(end.flow_name)}: {_text(end.error)}: {what}"
        case _ if flow.is_open:
            return f"open: the run has not ended yet: {what}"
        case _:
            return f"truncated: the stream has no flow_complete or flow_error at its end: {what}"


# On a terminal: a picture of the whole flow.

_Paint: TypeAlias = Callable[[str, str], str]

# Styles, as the numbers of ANSI's "select graphic rendition".
_BOLD = "1"
_DIM = "2"
_RED = "31"
_GREEN = "32"
_YELLOW = "33"
_CYAN = "36"


def _coloured(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[m"


def _plain(text: str, style: str) -> str:
    return text


def _picture(flow: _Flow, width: int, paint: _Paint, with_text: bool) -> Iterator[str]:
    """Yield the lines of a flow's picture, none of more than `width` columns."""
    summary = flow.summary
    colour = _RED if summary.success is False else _GREEN
    if summary.outcome in (Outcome.OPEN, Outcome.TRUNCATED):
        colour = _YELLOW
    if flow.counts:
        name = "(no flow_start)" if summary.flow_name is None else _name(summary.flow_name)
        ending = f": {summary.outcome.value}"
        yield paint(fit(name, width - len(ending)), _BOLD) + paint(ending, colour)
        backend = "(unknown backend)" if summary.backend is None else _name(summary.backend)
        yield paint(fit(f"{date(flow.start_ms)} on {backend}", width), _DIM)
        yield ""
    if summary.steps:
        yield from _steps(flow, width, paint, with_text)
        yield ""
    if flow.violations:
        yield from (paint(line, _YELLOW) for line in wrap(_broken(flow.violations), width))
    for line in wrap(_outcome(flow), width):
        yield paint(line, colour)


def _steps(flow: _Flow, width: int, paint: _Paint, with_text: bool) -> Iterator[str]:
    """Yield the lines of all steps: bars over the flow's time, figures, tool calls, texts."""
    steps = flow.summary.steps
    names = [f"{_index(step)} {_name(step.step_name)}" for step in steps]
    figures = [_figures(step, flow) for step in steps]
    name_width = min(max(map(columns, names)), max(width // 4, _SHORTEST_NAME))
    figure_widths = [max(map(len, cells)) for cells in zip(*figures, strict=True)]
    # A mark, the name and the bar, with a space between them; two spaces before each figure.
    bar_width = width - 3 - name_width - sum(2 + size for size in figure_widths)
    has_room = bar_width >= _SHORTEST_BAR
    if not has_room:
        bar_width = width - 3 - name_width

    for step, name, cells in zip(steps, names, figures, strict=True):
        mark, colour = _MARKS[step.success]
        waiting, working = _bar(step, flow, bar_width)
        row = f"{paint(mark, colour)} {pad(name, name_width)} {paint(waiting, _DIM)}"
        row += paint(working, colour)
        if has_room:
            row += " " * (bar_width - len(waiting) - len(working))
            row += "".join(
                f"  {cell:>{size}}" for cell, size in zip(cells, figure_widths, strict=True)
            )
        yield row.rstrip(" ")
        if not has_room:
            yield fit("  " + "  ".join(filter(None, cells)), width)
        for call in step.tool_calls:
            when = how_long(_since(flow.start_ms, call.timestamp_ms))
            called = f"  at {when} {_name(call.tool_name)} {_name(call.content)}"
            yield paint(fit(called.rstrip(" "), width), _CYAN)
        if with_text and step.text:
            for line in step.text.rstrip().split("\n"):
                # Tabs become spaces, unlike other control characters: code is full of them.
                for part in wrap(escaped(line.removesuffix("\r").expandtabs(4)), width - 4):
                    yield f"    {part}".rstrip(" ")


# By a step's `success`; None is a step without an end.
_MARKS = {True: ("✓", _GREEN), False: ("✗", _RED), None: ("?", _YELLOW)}


def _index(step: StepSummary) -> str:
    return "?" if step.step_index is None else str(step.step_index)


def _bar(step: StepSummary, flow: _Flow, width: int) -> tuple[str, str]:
    """Return a step's bar in two parts: blanks and the wait for its first token; the tokens."""
    if step.started_ms is None:
        return "", ""
    whole = max(flow.last_ms - flow.start_ms, 1)

    def column(ms: int) -> int:
        """Return the column of a time; it is in the bar even if a clock was set back."""
        return min(max((ms - flow.start_ms) * width // whole, 0), width)

    start = min(column(step.started_ms), width - 1)
    end = max(column(step.started_ms + _duration(step, flow)), start + 1)
    first = start if step.first_token_ms is None else column(step.first_token_ms)
    first = min(max(first, start), end - 1)
    return " " * start + "─" * (first - start), "━" * (end - first)


def _duration(step: StepSummary, flow: _Flow) -> int:
    """Return the milliseconds from a step's start to its end, or to the flow's if it has none.

    It is 0 for a step without a start.
    """
    if step.started_ms is None:
        return 0
    if step.duration_ms is None:
        return _since(step.started_ms, flow.last_ms)
    return step.duration_ms


def _figures(step: StepSummary, flow: _Flow) -> tuple[str, str, str, str]:
    """Return a step's tokens, tokens a second, delay of the first token, and duration.

    Each is empty if it is not known.
    """
    tokens = step.tokens
    duration = _duration(step, flow)
    # The one token of a backend that does not stream has no rate.
    rate = f"{tokens * 1000 / duration:.1f}/s" if tokens > 1 and duration > 0 else ""
    first = ""
    if step.first_token_ms is not None and step.started_ms is not None:
        first = f"first {how_long(_since(step.started_ms, step.first_token_ms))}"
    whole = "" if step.started_ms is None else how_long(duration)
    return count(tokens, "token"), rate, first, whole


def _name(text: str) -> str:
    return escaped(text[:_LONGEST_TEXT])
