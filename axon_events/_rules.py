# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The rules of a stream's order: for each, its text and the function that tests it.

The checker calls these functions before it takes an event. Each returns what would have been legal,
or None if the rule is kept or if nobody can know. The rules stand in the order in which the
violations of one event are reported; docs/order.md has them as a table, which
`python -m tools.rules` writes.
"""

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from ._catalog import (
    EVENT_TYPES,
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
)

if TYPE_CHECKING:
    from .order import StreamChecker

__all__ = ["AFTER_TERMINATOR", "AT_THE_END", "ROWS_OF", "TABLE", "Row", "Rule", "quoted"]


class Rule(enum.Enum):
    """A rule that a stream can break; the values are stable names. docs/order.md explains them."""

    FLOW_NOT_STARTED = "flow-not-started"
    FLOW_RESTARTED = "flow-restarted"
    AFTER_TERMINATOR = "after-terminator"
    NOT_TERMINATED = "not-terminated"
    STEP_OVERLAP = "step-overlap"
    STEP_REPEATED = "step-repeated"
    STEP_NOT_OPEN = "step-not-open"
    STEP_MISMATCH = "step-mismatch"
    STEP_UNFINISHED = "step-unfinished"
    STEP_ABANDONED = "step-abandoned"
    TOKEN_REPEATED = "token-repeated"
    TOKEN_GAP = "token-gap"
    FLOW_MISMATCH = "flow-mismatch"
    OUTPUT_MISMATCH = "output-mismatch"


# Pickles name the module that exports it, whatever the package is called where it is vendored.
Rule.__module__ = f"{__package__}.order"

Test: TypeAlias = Callable[["StreamChecker", Any], "str | None"]


class Row(NamedTuple):
    """A rule: its words, and the function that finds it broken."""

    rule: Rule
    asked_of: tuple[type[Event], ...]  # the variants that can break it while the flow goes on
    broken_by: str
    assumed: str  # what the checker assumes afterwards
    test: Test


_rows: list[Row] = []


def _rule(
    rule: Rule, *, asked_of: tuple[type[Event], ...], broken_by: str, assumed: str
) -> Callable[[Test], Test]:
    """Add the decorated function to the table."""

    def add(test: Test) -> Test:
        _rows.append(Row(rule, asked_of, broken_by, assumed, test))
        return test

    return add


# A message shows so many characters of a name.
_MOST_OF_A_NAME: Final = 22


def quoted(name: str) -> str:
    """Return a name in quotes, on one line, cut."""
    shown = repr(name[: _MOST_OF_A_NAME + 1])
    return shown if len(shown) <= _MOST_OF_A_NAME + 2 else f"{shown[:_MOST_OF_A_NAME]}…{shown[0]}"


@_rule(
    Rule.FLOW_NOT_STARTED,
    asked_of=tuple(cls for cls in EVENT_TYPES.values() if cls is not FlowStart),
    broken_by="a first event that is not `FlowStart` (once; a bare `FlowError` too)",
    assumed="the flow had started; its name and backend are unknown and not compared, and its"
    " first token sets the counter",
)
def flow_not_started(checker: "StreamChecker", event: Event) -> str | None:
    return "flow_start" if checker._awaits_flow_start() else None


@_rule(
    Rule.FLOW_RESTARTED,
    asked_of=(FlowStart,),
    broken_by="another `FlowStart` before the terminator",
    assumed="a new flow began here: no step open, none seen, the counter at 0",
)
def flow_restarted(checker: "StreamChecker", event: FlowStart) -> str | None:
    return "the flow's own events up to its terminator" if checker._count else None


@_rule(
    Rule.AFTER_TERMINATOR,
    asked_of=(),  # of each event after the terminator, and no other rule is
    broken_by="any event after the terminator (each one; no other rule is asked)",
    assumed="it had not come",
)
def after_terminator(checker: "StreamChecker", event: Event) -> str | None:
    return "nothing more"


@_rule(
    Rule.NOT_TERMINATED,
    asked_of=(),  # at the end of the stream
    broken_by="the end of the stream without a terminator (an empty stream too)",
    assumed="-",
)
def not_terminated(checker: "StreamChecker", event: None) -> str | None:
    if checker._terminator is not None:
        return None
    return "flow_start" if checker._awaits_flow_start() else "flow_complete or flow_error"


@_rule(
    Rule.STEP_OVERLAP,
    asked_of=(StepStart,),
    broken_by="`StepStart` while another step is open that no `step-overlap` has named before",
    assumed="all are open",
)
def step_overlap(checker: "StreamChecker", event: StepStart) -> str | None:
    if checker._unreported is None or (event.step_name, event.step_index) in checker._open:
        return None
    return "events of the open step up to its step_complete"


@_rule(
    Rule.STEP_REPEATED,
    asked_of=(StepStart,),
    broken_by="`StepStart` with the `(step_name, step_index)` of an earlier step of this flow",
    assumed="it is open: again and from the beginning if it was complete; unchanged if it was"
    " still open (that is no overlap)",
)
def step_repeated(checker: "StreamChecker", event: StepStart) -> str | None:
    if (event.step_name, event.step_index) not in checker._seen:
        return None
    return "another step_name or step_index than that of an earlier step"


@_rule(
    Rule.STEP_NOT_OPEN,
    asked_of=(StepToken, ToolCall, StepComplete),
    broken_by="`StepToken`, `ToolCall` or `StepComplete` of a step that is not open, the legal late"
    " token aside",
    assumed="its start had come just before, but open only for events of its own name, until its"
    " `StepComplete` or a `StepStart` of that name; its index and its count are unknown; it never"
    " overlaps and is never left open",
)
def step_not_open(
    checker: "StreamChecker", event: StepToken | ToolCall | StepComplete
) -> str | None:
    name = event.step_name
    if name in checker._by_name or checker._may_lack_start(name):
        return None
    if isinstance(event, StepToken) and checker._late_step(name) is not None:
        return None
    return f"step_start of {quoted(name)} first"


@_rule(
    Rule.STEP_MISMATCH,
    asked_of=(StepComplete,),
    broken_by="`StepComplete` of an open step's name with an index that no open step of that name"
    " has",
    assumed="the one of that name opened last is complete",
)
def step_mismatch(checker: "StreamChecker", event: StepComplete) -> str | None:
    named = checker._by_name.get(event.step_name)
    if named is None or event.step_name in checker._implied:
        return None
    index = named.completed_by(event)
    return None if event.step_index == index else f"step_index {index}"


_EVERY_STEP_COMPLETE: Final = "step_complete of every open step first"


@_rule(
    Rule.STEP_UNFINISHED,
    asked_of=(FlowComplete,),
    broken_by="`FlowComplete` while steps are open (one violation for all)",
    assumed="they are complete",
)
def step_unfinished(checker: "StreamChecker", event: FlowComplete) -> str | None:
    return _EVERY_STEP_COMPLETE if checker._open else None


@_rule(
    Rule.STEP_ABANDONED,
    asked_of=(FlowError,),
    broken_by="`FlowError` while steps are open (one violation for all)",
    assumed="they are complete",
)
def step_abandoned(checker: "StreamChecker", event: FlowError) -> str | None:
    return _EVERY_STEP_COMPLETE if checker._open else None


@_rule(
    Rule.TOKEN_REPEATED,
    asked_of=(StepToken,),
    broken_by="`token_index` not above the last one (0 included)",
    assumed="the counter stands at the index that came",
)
def token_repeated(checker: "StreamChecker", event: StepToken) -> str | None:
    legal = checker._legal_index(event)
    return f"token_index {legal}" if legal is not None and event.token_index < legal else None


@_rule(
    Rule.TOKEN_GAP,
    asked_of=(StepToken,),
    broken_by="`token_index` more than one above the last one",
    assumed="the counter stands at the index that came",
)
def token_gap(checker: "StreamChecker", event: StepToken) -> str | None:
    legal = checker._legal_index(event)
    return f"token_index {legal}" if legal is not None and event.token_index > legal else None


@_rule(
    Rule.FLOW_MISMATCH,
    asked_of=(FlowComplete, FlowError),
    broken_by="the terminator's `flow_name`, or `FlowComplete.backend`, differs from `FlowStart`'s",
    assumed="-",
)
def flow_mismatch(checker: "StreamChecker", event: FlowComplete | FlowError) -> str | None:
    start = checker._start
    names = ("flow_name", "backend") if isinstance(event, FlowComplete) else ("flow_name",)
    if start is None or all(getattr(event, name) == getattr(start, name) for name in names):
        return None
    return ", ".join(f"{name} {quoted(getattr(start, name))}" for name in names)


@_rule(
    Rule.OUTPUT_MISMATCH,
    asked_of=(StepToken, StepComplete),
    broken_by="asked for only: `StepComplete.full_output` of a step that had tokens is not their"
    " text joined; or a late token's text is not `full_output`",
    assumed="-",
)
def output_mismatch(checker: "StreamChecker", event: StepToken | StepComplete) -> str | None:
    if checker._is_legal_output(event):
        return None
    if isinstance(event, StepToken):
        return "the full_output of its step_complete"
    return "the step's tokens joined as full_output"


TABLE: Final = tuple(_rows)
ROWS_OF: Final[Mapping[type[Event], tuple[Row, ...]]] = {
    cls: tuple(row for row in TABLE if cls in row.asked_of) for cls in EVENT_TYPES.values()
}
AFTER_TERMINATOR: Final = tuple(row for row in TABLE if row.rule is Rule.AFTER_TERMINATOR)
AT_THE_END: Final = tuple(row for row in TABLE if row.rule is Rule.NOT_TERMINATED)
