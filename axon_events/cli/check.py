# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`check`: checks the order of the events in recorded flows."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from .. import DecodeError, Event, FlowStart, __version__
from ..order import Rule, StreamChecker, Violation
from .recording import Recording, opened
from .text import count, escaped

__all__ = ["add_arguments"]

# How many events after the terminator are named; the others are only counted.
_MOST_LATE = 3
_RULES = ", ".join(rule.value for rule in Rule)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its arguments to argparse."""
    parser.description = (
        "Check that the events of each flow, recorded as JSON Lines or as Server-Sent"
        " Events, come in the order that they must have. Each violation is a line FILE:LINE: RULE:"
        " what is wrong. A line or frame that is no event is reported in the same way and skipped."
        " For a frame, LINE is its first line; for a run of a store, it is the number of the event."
        " The outcome of the flow comes last."
    )
    parser.epilog = (
        "Exit status: 0 all is well; 1 violations, or lines that are no events; 2 a file"
        " cannot be read."
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a recorded file; - for standard input; FILE#NAME for a run of a SQLite store",
    )
    parser.add_argument(
        "--allow",
        metavar="RULE",
        action="append",
        type=_rule,
        default=[],
        help=f"a rule that may be broken; may be given again; one of {_RULES}",
    )
    parser.add_argument(
        "--token-scope",
        choices=("flow", "step"),
        default="flow",
        help="whether tokens are counted across the flow (the default) or from 1 in each step",
    )
    parser.add_argument(
        "--match-output",
        action="store_true",
        help="also compare the tokens of each step with its full_output (output-mismatch)",
    )
    parser.add_argument(
        "--many",
        action="store_true",
        help="each flow_start begins another flow; its outcome names the line where it begins",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object, for machines")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors, on stderr")
    parser.set_defaults(run=_run)


def _rule(text: str) -> Rule:
    try:
        return Rule(text)
    except ValueError:
        again = "; give --allow again for each" if "," in text else ""
        raise argparse.ArgumentTypeError(
            f"expected a rule, got {text!r:.60}{again}; the rules: {_RULES}"
        ) from None


@dataclass(frozen=True)
class _Finding:
    """Something to report: a line of text, or an object in one of the lists of the JSON."""

    status: int
    text: str  # "" for one that is counted in another line
    of: str  # violations, undecodable, flows or notes; "" for none
    object: dict[str, Any]


def _run(arguments: argparse.Namespace) -> Iterator[int]:
    lists: dict[str, list[Any]] = {
        name: [] for name in ("flows", "violations", "undecodable", "unreadable", "notes")
    }
    worst = 0
    for path in arguments.files:
        try:
            with opened(path, arguments.command) as lines:
                for finding in _findings(lines, arguments):
                    worst = max(worst, finding.status)
                    yield finding.status
                    if arguments.json:
                        if finding.of:
                            lists[finding.of].append(finding.object)
                    elif finding.text and not arguments.quiet:
                        lines.print(finding.text)
        except OSError as error:
            if error.filename is None:  # it is stdout that failed
                raise
            worst = 2
            yield 2
            lists["unreadable"].append({"file": error.filename, "message": error.strerror})
            name = escaped(str(error.filename))
            print(f"{arguments.program}: {name}: {error.strerror}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"axon_events": __version__, "good": worst == 0, **lists}, indent=2))


def _findings(lines: Recording, arguments: argparse.Namespace) -> Iterator[_Finding]:
    """Yield the findings of a file, line by line."""
    for note in lines.notes:
        values = {"file": lines.name, "message": note}
        yield _Finding(0, f"{lines.shown_name}: {note}", "notes", values)
    flow = _Flow(lines, arguments, from_start=lines.has_start)
    for found in lines.events():
        if arguments.many and isinstance(found, FlowStart) and flow.events:
            yield from flow.end(lines.lineno - 1)
            flow = _Flow(lines, arguments)
        yield from flow.take(found, lines.lineno)
    for text in lines.rest():
        yield _Finding(1, text, "", {})
    if not lines.is_wrapped:
        yield from flow.end(max(lines.lineno, 1), lines.more)


class _Flow:
    """A flow that is being checked."""

    def __init__(
        self, lines: Recording, arguments: argparse.Namespace, *, from_start: bool = True
    ) -> None:
        self._file = lines.name
        self._shown_file = lines.shown_name
        self._has_line = arguments.many
        self._checker = StreamChecker(
            allow=arguments.allow,
            token_scope=arguments.token_scope,
            match_output=arguments.match_output,
            from_start=from_start,
        )
        self._line = 1  # of its first event
        self.events = 0
        self._violations = 0
        self._late = 0  # events after the terminator
        self._late_from = 0  # the line of the first that is only counted
        self._undecodable = 0

    def take(self, found: Event | DecodeError, line: int) -> Iterator[_Finding]:
        """Take what a line holds, and yield its faults."""
        if isinstance(found, DecodeError):
            self._undecodable += 1
            place = found.lineno or line
            yield self._fault("undecodable", place, "reason", found.reason, found.message)
            return
        if not self.events:
            self._line = line
        self.events += 1
        yield from self._faults(self._checker.feed(found), line)

    def end(self, line: int, more: int = 0) -> Iterator[_Finding]:
        """End the flow after a line; yield what is missing, and the outcome.

        - `more`: how many undecodable lines there are besides those that `take` got.
        """
        self._undecodable += more
        if self._late > _MOST_LATE:
            events = count(self._late - _MOST_LATE, "more event")
            text = (
                f"{self._shown_file}: {events} after the terminator, from line {self._late_from} on"
            )
            yield _Finding(1, text, "", {})
        if not (self.events or self._undecodable):
            note = {"file": self._file, "message": "it has no events"}
            yield _Finding(1, f"{self._shown_file}: it has no events", "notes", note)
        yield from self._faults(self._checker.close(), line)
        outcome = self._checker.outcome.value
        place = f"{self._shown_file}:{self._line}" if self._has_line else self._shown_file
        figures = f"{count(self.events, 'event')}, {count(self._violations, 'violation')}"
        if self._undecodable:
            figures += f", {count(self._undecodable, 'undecodable line')}"
        values = {
            "file": self._file,
            "line": self._line,
            "outcome": outcome,
            "events": self.events,
            "violations": self._violations,
            "undecodable": self._undecodable,
        }
        yield _Finding(0, f"{place}: {outcome}: {figures}", "flows", values)

    def _faults(self, violations: Iterable[Violation], line: int) -> Iterator[_Finding]:
        for violation in violations:
            self._violations += 1
            rule = violation.rule.value
            fault = self._fault("violations", line, "rule", rule, violation.message)
            if violation.rule is Rule.AFTER_TERMINATOR:
                self._late += 1
                if self._late == 1 and isinstance(violation.event, FlowStart):
                    fault = replace(fault, text=f"{fault.text} (several runs in one file? --many)")
                elif self._late > _MOST_LATE:
                    self._late_from = self._late_from or line
                    fault = replace(fault, text="")
            yield fault

    def _fault(self, of: str, line: int, key: str, name: str, message: str) -> _Finding:
        values = {"file": self._file, "line": line, key: name, "message": message}
        return _Finding(1, f"{self._shown_file}:{line}: {name}: {message}", of, values)
