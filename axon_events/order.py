# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The receiver's invariant: the order in which the events of a flow come.

A stream has exactly one `FlowStart`, which comes first. Then for each step there is one
`StepStart`, any number of `StepToken` and `ToolCall`, and one `StepComplete`, before the next
step starts. Then there is exactly one terminator, `FlowComplete` or `FlowError`, with every step
complete, and nothing after it. Tokens are counted from 1 across all steps, without a gap. A
backend that does not stream may send a step's only token late: directly after its `StepComplete`.

What breaks this is a fault of the producer, or of what lies between. `StreamChecker` reports each
fault by its rule. Then it assumes whatever makes the rest of the stream look right, so that one
fault gives one violation or a few, never a cascade. `_rules.py` has the rules: what breaks each,
how it is found, and what is assumed afterwards, which `StreamChecker._advance` does.
"""

from binascii import crc32
from collections import OrderedDict
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice
from typing import Final, Literal, TypeAlias

from ._catalog import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
)
from ._checked import U64_MAX, format_int
from ._rules import AFTER_TERMINATOR, AT_THE_END, ROWS_OF, Row, Rule, quoted

__all__ = [
    "OrderError",
    "Outcome",
    "Rule",
    "StreamChecker",
    "TruncatedStream",
    "Violation",
    "check",
]


class Outcome(Enum):
    """How a stream stands: still open, or how it ended."""

    OPEN = "open"
    COMPLETED = "completed"
    FAILED = "failed"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken.

    - `rule`: which one.
    - `index`: the event's position in the stream, from 0; at the end of the stream, the number
      of events.
    - `event`: the event that broke it; None at the end of the stream.
    - `message`: one line: what came, what was open, what would have been legal.
    """

    rule: Rule
    index: int
    event: Event | None
    message: str


class OrderError(ValueError):
    """An event that breaks the invariant; `violation` says how."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation)
        self.violation = violation

    def __str__(self) -> str:
        return f"{self.violation.rule.value}: {self.violation.message}"


class TruncatedStream(OrderError):  # noqa: N818  # named for what it is, like EOFError
    """A stream that ended without a terminator."""


# Of a text only the length in bytes and a checksum are kept: memory must not grow with the tokens.
_Digest: TypeAlias = tuple[int, int]
_EMPTY: Final[_Digest] = (0, 0)


def _digest(text: str, before: _Digest = _EMPTY) -> _Digest:
    """Return the digest of a text, or of it and the one before it."""
    data = text.encode()
    return before[0] + len(data), crc32(data, before[1])


class _Step:
    """An open step. Places are positions in the stream."""

    def __init__(self, start: int, next_index: int | None) -> None:
        self.start = start
        self.last_token = start  # where its last token came, of those that are surely its own
        self.next_index = next_index  # what the one after that must have; None if nobody knows
        # Of its tokens; once complete, that of its late token, None if it is not to be compared.
        self.output: _Digest | None = _EMPTY


class _OpenSteps:
    """The open steps of one name, by index, in the order of their starts."""

    def __init__(self) -> None:
        self.steps: OrderedDict[int, _Step] = OrderedDict()
        self.last_ambiguous = -1  # where the last token came that could be of several steps

    def completed_by(self, event: StepComplete) -> int:
        """Return the index of the step that is completed: the one it names, else the last."""
        return event.step_index if event.step_index in self.steps else next(reversed(self.steps))

    def next_index(self) -> int | None:
        """Return the index that the next token must have; None if nobody knows."""
        if len(self.steps) > 1:
            return None
        (step,) = self.steps.values()
        return step.next_index if step.last_token >= self.last_ambiguous else None


# A step whose start was not seen has this for its index, which nobody knows.
_NO_INDEX: Final = -1
# A message names so many open steps.
_MOST_STEPS: Final = 5


class StreamChecker:
    """Checks the events of one stream, one by one, on either side of the wire.

    - `allow`: rules that are not reported. What follows is judged in the same way.
    - `token_scope`: `"flow"` if tokens are counted across the flow, `"step"` if a runner starts
      again from 1 in each step.
    - `match_output`: whether `output-mismatch` is checked as well.
    - `from_start`: False to join a run in the middle. No `FlowStart` is asked for; one that comes
      first begins the flow, as ever. The first event of each step name may come without its start.
    - `last_token`: with `from_start=False`, the index of the last token before that, from 0 to
      2^64-1: the first one to come must have the next index. Without it, the first one sets the
      counter. With `token_scope="step"` it judges nothing, since each step has its own count.

    Raises TypeError or ValueError for other arguments.

    Each event takes constant time, however many steps are open or done; what is kept grows with
    the steps of the flow, not with its tokens. A checker pickles, and a copy goes on
    independently. It is not for several threads at once.
    """

    def __init__(
        self,
        *,
        allow: Iterable[Rule] = (),
        token_scope: Literal["flow", "step"] = "flow",
        match_output: bool = False,
        from_start: bool = True,
        last_token: int | None = None,
    ) -> None:
        # A str, which is iterable too, is refused as a whole.
        self._allow = frozenset((allow,) if isinstance(allow, str) else allow)
        for rule in self._allow:
            if not isinstance(rule, Rule):
                raise TypeError(f"allow takes members of Rule, got {rule!r:.60}")
        if token_scope not in ("flow", "step"):
            raise ValueError(f'token_scope must be "flow" or "step", got {token_scope!r:.60}')
        for name, value in (("match_output", match_output), ("from_start", from_start)):
            if not isinstance(value, bool):
                raise TypeError(f"{name} must be a bool, got {type(value).__name__}")
        if last_token is not None:
            if isinstance(last_token, bool) or not isinstance(last_token, int):
                given = type(last_token).__name__
                raise TypeError(f"last_token must be an int or None, got {given}")
            if not 0 <= last_token <= U64_MAX:
                given = format_int(last_token)
                raise ValueError(f"last_token must be from 0 to {U64_MAX}, got {given}")
            if from_start:
                raise ValueError(
                    "last_token is for a flow joined in the middle:"
                    f" StreamChecker(from_start=False, last_token={last_token})"
                )
        self._by_flow = token_scope == "flow"
        self._match_output = match_output
        self._from_start = from_start
        self._count = 0
        self._closed = False
        self._start: FlowStart | None = None
        self._terminator: FlowComplete | FlowError | None = None
        # What the flow's next token must have; None if nobody knows.
        self._next_index = None if last_token is None else last_token + 1
        self._forget_steps()

    def _forget_steps(self) -> None:
        self._seen: set[tuple[str, int]] = set()
        self._names: set[str] = set()  # of these and the implied steps
        # The steps that have started and are open, in that order.
        self._open: OrderedDict[tuple[str, int], None] = OrderedDict()
        # The names of the steps whose starts were not seen: implied steps.
        self._implied: OrderedDict[str, None] = OrderedDict()
        self._by_name: dict[str, _OpenSteps] = {}
        # The last open step that no step-overlap has reported; each start reports those before.
        self._unreported: tuple[str, int] | None = None
        # The last step that completed and may have had no token, and where a late one may come.
        self._late: _Step | None = None
        self._late_place: tuple[str, int] | None = None
        # The step names for which `feed` and `require` take the quick way: one step of that name is
        # open and has had a token, so the next token breaks no rule if its index is the next one.
        self._streaming: set[str] = set()

    def __copy__(self) -> "StreamChecker":
        return deepcopy(self)

    @property
    def outcome(self) -> Outcome:
        """How the stream stands."""
        if self._terminator is not None:
            failed = isinstance(self._terminator, FlowError)
            return Outcome.FAILED if failed else Outcome.COMPLETED
        return Outcome.TRUNCATED if self._closed else Outcome.OPEN

    @property
    def terminator(self) -> FlowComplete | FlowError | None:
        """The event that ended the flow, or None."""
        return self._terminator

    @property
    def open_steps(self) -> tuple[tuple[str, int], ...]:
        """The `(step_name, step_index)` of each open step, in the order of their starts."""
        return tuple(self._open)

    @property
    def last_token(self) -> int | None:
        """The index of the flow's last token; 0 if it has had none, None before it is known."""
        return None if self._next_index is None else self._next_index - 1

    def feed(self, event: Event) -> list[Violation]:
        """Take the next event and return its violations, in the table's order.

        Raises TypeError for anything but an event, RuntimeError after `close`.
        """
        # Most of a stream: a token that surely breaks no rule.
        if (
            type(event) is StepToken
            and event.token_index == self._next_index
            and event.step_name in self._streaming
        ):
            self._next_index = event.token_index + 1
            self._count += 1
            return []
        violations = self._judge(event)
        self._advance(event)
        return violations

    def require(self, event: Event) -> None:
        """Take the next event, or raise OrderError and stay as before.

        Raises TypeError for anything but an event, RuntimeError after `close`.
        """
        # As in `feed`, in line since a call of a method costs as much again.
        if (
            type(event) is StepToken
            and event.token_index == self._next_index
            and event.step_name in self._streaming
        ):
            self._next_index = event.token_index + 1
            self._count += 1
            return
        violations = self._judge(event)
        if violations:
            raise OrderError(violations[0])
        self._advance(event)

    def close(self) -> list[Violation]:
        """Take the end of the stream and return what is missing; the second time, nothing."""
        if self._closed:
            return []
        self._closed = True
        self._streaming.clear()
        return self._broken(AT_THE_END, None)

    def _judge(self, event: Event) -> list[Violation]:
        """Return the violations of the next event, without taking it."""
        rows = ROWS_OF.get(type(event))
        if rows is None:
            raise TypeError(f"a StreamChecker takes events, got {type(event).__name__}")
        if self._closed:
            raise RuntimeError("the StreamChecker is closed: use a new one for another stream")
        return self._broken(AFTER_TERMINATOR if self._terminator is not None else rows, event)

    def _broken(self, rows: Iterable[Row], event: Event | None) -> list[Violation]:
        """Return the violations of these rules."""
        violations = []
        for row in rows:
            if row.rule not in self._allow:
                legal = row.test(self, event)
                if legal is not None:
                    came = "the end of the stream" if event is None else describe_event(event)
                    message = f"event {self._count} is {came}; {self._describe_state()}"
                    message += f"; legal: {legal}"
                    violations.append(Violation(row.rule, self._count, event, message))
        return violations

    def _advance(self, event: Event) -> None:
        """Take an event; whatever it broke, assume what the rule says."""
        if self._terminator is None:
            match event:
                case FlowStart():
                    self._start = event
                    self._next_index = 1
                    self._from_start = True
                    self._forget_steps()
                case StepStart():
                    self._start_step(event)
                case StepToken():
                    self._add_token(event)
                case ToolCall():
                    self._steps_named(event.step_name)
                case StepComplete():
                    self._complete_step(event)
                case _:  # by its type the terminator; a variant that no case has is an error here
                    self._terminator = event
                    self._forget_steps()
        self._count += 1

    def _start_step(self, event: StepStart) -> None:
        name, index = key = event.step_name, event.step_index
        if key in self._open:
            return
        if name in self._implied:
            del self._implied[name], self._by_name[name]
        self._streaming.discard(name)
        self._seen.add(key)
        self._names.add(name)
        self._open[key] = None
        self._unreported = key
        self._by_name.setdefault(name, _OpenSteps()).steps[index] = _Step(self._count, 1)

    def _add_token(self, event: StepToken) -> None:
        name = event.step_name
        self._next_index = event.token_index + 1
        if name not in self._by_name and self._late_step(name) is not None:
            return
        named = self._steps_named(name)
        if len(named.steps) > 1 or self._may_be_late(event):
            named.last_ambiguous = self._count
            return
        (step,) = named.steps.values()
        step.last_token = self._count
        step.next_index = event.token_index + 1
        if self._match_output:
            step.output = _digest(event.content, step.output or _EMPTY)
        elif self._by_flow:
            self._streaming.add(name)

    def _complete_step(self, event: StepComplete) -> None:
        name = event.step_name
        named = self._steps_named(name)
        self._streaming.discard(name)
        index = named.completed_by(event)
        step = named.steps.pop(index)
        if index == _NO_INDEX:
            del self._implied[name]
        else:
            del self._open[name, index]
            if self._unreported == (name, index):
                self._unreported = None
        if not named.steps:
            del self._by_name[name]
        if step.last_token == step.start:
            compared = self._match_output and named.last_ambiguous <= step.start
            step.output = _digest(event.full_output) if compared else None
            self._late, self._late_place = step, (name, self._count + 1)

    def _steps_named(self, name: str) -> _OpenSteps:
        """Return the open steps of a name; if there is none, an implied one."""
        named = self._by_name.get(name)
        if named is None:
            named = self._by_name[name] = _OpenSteps()
            # Its start had come just before.
            named.steps[_NO_INDEX] = _Step(self._count - 1, None)
            self._implied[name] = None
            self._names.add(name)
        return named

    def _awaits_flow_start(self) -> bool:
        return self._from_start and not self._count

    def _may_lack_start(self, name: str) -> bool:
        return not self._from_start and name not in self._names

    def _late_step(self, name: str) -> _Step | None:
        """Return the step whose late token the next event is, if it is a token of this name."""
        return self._late if self._late_place == (name, self._count) else None

    def _may_be_late(self, event: StepToken) -> bool:
        """Return whether a token, though a step of its name is open, may be a late one."""
        late = self._late_step(event.step_name)
        return late is not None and (self._by_flow or event.token_index == late.next_index)

    def _legal_index(self, event: StepToken) -> int | None:
        """Return the index that the token must have; None if nobody knows."""
        if self._by_flow:
            return self._next_index
        named = self._by_name.get(event.step_name)
        if named is None:
            late = self._late_step(event.step_name)
            return late.next_index if late is not None else None
        return None if self._may_be_late(event) else named.next_index()

    def _is_legal_output(self, event: StepToken | StepComplete) -> bool:
        """Return whether a late token, or a step's output, is as it must be or nobody knows."""
        if not self._match_output:
            return True
        name = event.step_name
        named = self._by_name.get(name)
        if isinstance(event, StepToken):
            late = self._late_step(name) if named is None else None
            output = late.output if late is not None else None
            return output is None or output == _digest(event.content)
        if named is None or name in self._implied:
            return True  # nor were all tokens seen
        step = named.steps[named.completed_by(event)]
        if step.last_token == step.start or named.last_ambiguous > step.start:
            return True
        return step.output == _digest(event.full_output)

    def _describe_state(self) -> str:
        """Return what a message says is open."""
        if self._terminator is not None:
            return f"the flow has ended by {self._terminator.kind}"
        if self._awaits_flow_start():
            return "no flow has started"
        steps = chain(
            (f"{quoted(name)} ({index})" for name, index in self._open),
            (f"{quoted(name)} (not started)" for name in self._implied),
        )
        shown = list(islice(steps, _MOST_STEPS))
        if not shown:
            return "no step is open"
        number = len(self._open) + len(self._implied)
        if number > _MOST_STEPS:
            shown.append(f"{number} steps in all")
        return f"open: {', '.join(shown)}"


def describe_event(event: Event) -> str:
    """Return what a message calls an event."""
    match event:
        case FlowStart() | FlowComplete():
            return f"{event.kind} of {quoted(event.flow_name)} on {quoted(event.backend)}"
        case FlowError():
            return f"flow_error of {quoted(event.flow_name)}"
        case StepStart() | StepComplete():
            return f"{event.kind} of {quoted(event.step_name)} ({event.step_index})"
        case StepToken():
            return f"step_token {event.token_index} of {quoted(event.step_name)}"
        case _:
            call: ToolCall = event  # a variant that no case has is an error here
            return f"tool_call of {quoted(call.step_name)}"


def check(events: Iterable[Event]) -> list[Violation]:
    """Return all violations of a whole stream, by the strict grammar."""
    checker = StreamChecker()
    violations = [violation for event in events for violation in checker.feed(event)]
    return violations + checker.close()


def checker_of(check: bool | StreamChecker) -> StreamChecker | None:
    """Return the checker that an argument `check` asks for: a new one, none, or that one.

    Raises TypeError for any other `check`, ValueError for a checker whose stream has ended.
    """
    if isinstance(check, bool):
        return StreamChecker() if check else None
    if not isinstance(check, StreamChecker):
        raise TypeError(f"check must be True, False or a StreamChecker, got {check!r:.60}")
    if check.outcome is not Outcome.OPEN:
        raise ValueError(
            f"check must be a StreamChecker of an open stream, got one {check.outcome.value}:"
            " use a new one for each stream"
        )
    return check
