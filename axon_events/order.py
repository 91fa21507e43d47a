# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The receiver's invariant: the order in which the events of a flow come.

A stream has exactly one `FlowStart`, which comes first. Then for each step there is one
`StepStart`, any number of `StepToken` and `ToolCall`, and one `StepComplete`, before the next
step starts. Then there is exactly one terminator, `FlowComplete` or `FlowError`, with every step
complete, and nothing after it. Tokens are counted from 1 across all steps, without a gap. A
backend that does not stream may send a step's only token late: directly after its `StepComplete`.

Whatever breaks this is the producer's fault, or the fault of what lies between. `StreamChecker`
names each fault by its rule and goes on in the state that makes the rest of the stream look
right, so that one fault gives one violation or a few, never a cascade. All rules are in one
table, `_TABLE`: of which events each is asked, how it is found out, and as if what the checker goes
on, which is what `StreamChecker._advance` does. The violations of an event come in its order.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

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

__all__ = [
    "RULES",
    "OrderError",
    "Outcome",
    "Rule",
    "StreamChecker",
    "TruncatedStream",
    "Violation",
    "check",
]


class Rule(enum.Enum):
    """A rule that a stream can break; the values are stable names. What they mean: `RULES`."""

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


class Outcome(enum.Enum):
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


# A text's length in bytes and its checksum: the bytes read as one number, modulo a prime. That
# of a text can be computed from those of what stands before it and of both together, so that
# steps of the same name, which all get the same tokens, need one checksum between them.
_Digest: TypeAlias = tuple[int, int]
_PRIME: Final = 2**127 - 1
_EMPTY: Final[_Digest] = (0, 0)


def _digest(text: str) -> _Digest:
    data = text.encode()
    return len(data), int.from_bytes(data, "big") % _PRIME


def _joined(before: _Digest, after: _Digest) -> _Digest:
    return before[0] + after[0], (before[1] * pow(256, after[0], _PRIME) + after[1]) % _PRIME


def _rest(whole: _Digest, before: _Digest) -> _Digest:
    size = whole[0] - before[0]
    return size, (whole[1] - before[1] * pow(256, size, _PRIME)) % _PRIME


# A message names so many open steps, and so many characters of a name.
_MOST_STEPS: Final = 5
_MOST_OF_A_NAME: Final = 22


def _quoted(name: str) -> str:
    """Return a name in quotes, on one line, cut."""
    shown = repr(name[: _MOST_OF_A_NAME + 1])
    return shown if len(shown) <= _MOST_OF_A_NAME + 2 else f"{shown[:_MOST_OF_A_NAME]}…{shown[0]}"


# How each rule is found out: what is asked of an event before it is taken. The answer is what
# would have been legal, or None if the rule is kept.
_Test: TypeAlias = Callable[["StreamChecker", Any], "str | None"]


def _flow_not_started(c: "StreamChecker", event: Event) -> str | None:
    return None if c._started else "flow_start"


def _flow_restarted(c: "StreamChecker", event: FlowStart) -> str | None:
    return "the flow's own events up to its terminator" if c._started else None


def _after_terminator(c: "StreamChecker", event: Event) -> str | None:
    return "nothing more"


def _not_terminated(c: "StreamChecker", event: None) -> str | None:
    if c._terminator is not None:
        return None
    return "flow_complete or flow_error" if c._started else "flow_start"


def _step_overlap(c: "StreamChecker", event: StepStart) -> str | None:
    if c._unnamed is None or (event.step_name, event.step_index) in c._open:
        return None
    return "events of the open step up to its step_complete"


def _step_repeated(c: "StreamChecker", event: StepStart) -> str | None:
    if (event.step_name, event.step_index) not in c._seen:
        return None
    return "another step_name or step_index, this step has been"


def _step_not_open(c: "StreamChecker", event: StepToken | ToolCall | StepComplete) -> str | None:
    if c._group_of(event.step_name) is not None:
        return None
    if type(event) is StepToken and c._is_late(event):
        return None
    return f"step_start of {_quoted(event.step_name)} first"


def _step_mismatch(c: "StreamChecker", event: StepComplete) -> str | None:
    group = c._groups.get(event.step_name)
    if group is None or event.step_index in group.steps:
        return None
    return f"step_index {next(reversed(group.steps))}"


def _steps_open(c: "StreamChecker", event: Event) -> str | None:
    return "step_complete of every open step first" if c._open else None


def _token_repeated(c: "StreamChecker", event: StepToken) -> str | None:
    last = c._counter(event)
    return f"token_index {last + 1}" if last is not None and event.token_index <= last else None


def _token_gap(c: "StreamChecker", event: StepToken) -> str | None:
    last = c._counter(event)
    return f"token_index {last + 1}" if last is not None and event.token_index > last + 1 else None


def _flow_mismatch(c: "StreamChecker", event: FlowComplete | FlowError) -> str | None:
    start = c._start
    if start is None or (
        event.flow_name == start.flow_name
        and (isinstance(event, FlowError) or event.backend == start.backend)
    ):
        return None
    legal = f"flow_name {_quoted(start.flow_name)}"
    if isinstance(event, FlowError):
        return legal
    return f"{legal}, backend {_quoted(start.backend)}"


def _output_mismatch(c: "StreamChecker", event: StepToken | StepComplete) -> str | None:
    if not c._match_output:
        return None
    if isinstance(event, StepToken):
        late = c._late if c._is_late(event) and c._group_of(event.step_name) is None else None
        if late is None or late.full_output == _digest(event.content):
            return None
        return "the full_output of its step_complete"
    # Of a step whose start was not seen, neither were all tokens.
    group = c._groups.get(event.step_name)
    if group is None:
        return None
    step = group.steps[c._completed(group, event)]
    if group.tokens == step.tokens_before:
        return None
    text = _rest(group.text, step.text_before)
    return None if text == _digest(event.full_output) else "the step's tokens joined as full_output"


class _Row(NamedTuple):
    """A rule of the table."""

    rule: Rule
    asked_of: tuple[type[Event], ...]  # the events that can break it in a flow that goes on
    test: _Test
    broken_by: str
    afterwards: str  # as if what the checker goes on


_OTHERS: Final = tuple(cls for cls in EVENT_TYPES.values() if cls is not FlowStart)
_TABLE: Final = (
    _Row(
        Rule.FLOW_NOT_STARTED,
        _OTHERS,
        _flow_not_started,
        "a first event that is not `FlowStart` (once; a bare `FlowError` too)",
        "the flow had started; its name and backend are unknown and not compared, and its"
        " first token sets the counter",
    ),
    _Row(
        Rule.FLOW_RESTARTED,
        (FlowStart,),
        _flow_restarted,
        "another `FlowStart` before the terminator",
        "a new flow began here: no step open, none seen, the counter at 0",
    ),
    _Row(
        Rule.AFTER_TERMINATOR,
        (),
        _after_terminator,
        "any event after the terminator (each one; no other rule is asked)",
        "it had not come",
    ),
    _Row(
        Rule.NOT_TERMINATED,
        (),
        _not_terminated,
        "the end of the stream without a terminator (an empty stream too)",
        "-",
    ),
    _Row(
        Rule.STEP_OVERLAP,
        (StepStart,),
        _step_overlap,
        "`StepStart` while another step is open that no `step-overlap` has named before",
        "all are open",
    ),
    _Row(
        Rule.STEP_REPEATED,
        (StepStart,),
        _step_repeated,
        "`StepStart` with the `(step_name, step_index)` of an earlier step of this flow",
        "it is open: again and from the beginning if it was complete; unchanged if it was"
        " still open (that is no overlap)",
    ),
    _Row(
        Rule.STEP_NOT_OPEN,
        (StepToken, ToolCall, StepComplete),
        _step_not_open,
        "`StepToken`, `ToolCall` or `StepComplete` of a step that is not open, the legal late"
        " token aside",
        "its start had come just before, but open only for events of its own name, until its"
        " `StepComplete`, a `StepStart` of that name, or another `step-not-open`; its index"
        " and its count are unknown; it never overlaps and is never left open",
    ),
    _Row(
        Rule.STEP_MISMATCH,
        (StepComplete,),
        _step_mismatch,
        "`StepComplete` of an open step's name with an index that no open step of that name has",
        "the one of that name opened last is complete",
    ),
    _Row(
        Rule.STEP_UNFINISHED,
        (FlowComplete,),
        _steps_open,
        "`FlowComplete` while steps are open (one violation for all)",
        "they are complete",
    ),
    _Row(
        Rule.STEP_ABANDONED,
        (FlowError,),
        _steps_open,
        "`FlowError` while steps are open (one violation for all)",
        "they are complete",
    ),
    _Row(
        Rule.TOKEN_REPEATED,
        (StepToken,),
        _token_repeated,
        "`token_index` not above the last one (0 included)",
        "the counter stands at the index that came",
    ),
    _Row(
        Rule.TOKEN_GAP,
        (StepToken,),
        _token_gap,
        "`token_index` more than one above the last one",
        "the counter stands at the index that came",
    ),
    _Row(
        Rule.FLOW_MISMATCH,
        (FlowComplete, FlowError),
        _flow_mismatch,
        "the terminator's `flow_name`, or `FlowComplete.backend`, differs from `FlowStart`'s",
        "-",
    ),
    _Row(
        Rule.OUTPUT_MISMATCH,
        (StepToken, StepComplete),
        _output_mismatch,
        "asked for only: `StepComplete.full_output` of a step that had tokens is not their"
        " text joined; or a late token's text is not `full_output`",
        "-",
    ),
)

# What breaks each rule, and as if what the checker goes on afterwards.
RULES: Final[Mapping[Rule, tuple[str, str]]] = MappingProxyType(
    {row.rule: (row.broken_by, row.afterwards) for row in _TABLE}
)
_ROWS_OF: Final[Mapping[type[Event], tuple[_Row, ...]]] = {
    cls: tuple(row for row in _TABLE if cls in row.asked_of) for cls in EVENT_TYPES.values()
}
_ROWS_AFTER_TERMINATOR: Final = tuple(row for row in _TABLE if row.rule is Rule.AFTER_TERMINATOR)
_ROWS_AT_THE_END: Final = tuple(row for row in _TABLE if row.rule is Rule.NOT_TERMINATED)


class _Step:
    """An open step: what its group had when it opened, and its counter (None: unknown)."""

    def __init__(self, group: "_Group", last: int | None) -> None:
        self.tokens_before = group.tokens
        self.text_before = group.text
        self.last = last
        self.last_set = group.tokens


class _Group:
    """The open steps of one name, by index; a token of that name is a token of each of them."""

    def __init__(self) -> None:
        self.steps: OrderedDict[int, _Step] = OrderedDict()
        self.tokens = 0
        self.text = _EMPTY
        self.shared = 0  # `tokens` after the last one of which nobody knows whose it is

    def counter(self) -> int | None:
        """Return the index of the last token of the only open step; None if it is not known."""
        if len(self.steps) > 1:
            return None
        (step,) = self.steps.values()
        return step.last if step.last_set >= self.shared else None

    def add_token(self, event: StepToken, text: _Digest, *, perhaps_late: bool) -> None:
        self.tokens += 1
        self.text = text
        if perhaps_late or len(self.steps) > 1:
            self.shared = self.tokens
        else:
            (step,) = self.steps.values()
            step.last = event.token_index
            step.last_set = self.tokens


# The name under which a step stands whose start was not seen, and its index, which is not known.
_UNKNOWN: Final = -1


@dataclass
class _Late:
    """A step that completed without a token, and may directly afterwards have its only one."""

    step_name: str
    counter: int | None
    full_output: _Digest | None


class StreamChecker:
    """Checks the events of one stream, one by one, on either side of the wire.

    - `allow`: rules that are not reported. What follows is judged in the same way.
    - `token_scope`: `"flow"` if tokens are counted across the flow, `"step"` if a runner starts
      again from 1 in each step.
    - `match_output`: whether `output-mismatch` is asked for as well.

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
    ) -> None:
        # A str, which is iterable too, is refused as a whole.
        self._allow = frozenset((allow,) if isinstance(allow, str) else allow)
        for rule in self._allow:
            if not isinstance(rule, Rule):
                raise TypeError(f"allow takes members of Rule, got {rule!r:.60}")
        if token_scope not in ("flow", "step"):
            raise ValueError(f'token_scope must be "flow" or "step", got {token_scope!r:.60}')
        self._by_flow = token_scope == "flow"
        self._match_output = match_output
        self._count = 0
        self._closed = False
        self._started = False
        self._terminator: FlowComplete | FlowError | None = None
        self._begin(None)

    def _begin(self, start: FlowStart | None) -> None:
        self._start = start
        self._last = 0 if start is not None else None  # the flow's last token
        self._seen: set[tuple[str, int]] = set()
        # All open steps in the order of their starts, those of a name, and the one that no
        # step-overlap has named: the last one, since its start named those before it.
        self._open: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._groups: dict[str, _Group] = {}
        self._unnamed: tuple[str, int] | None = None
        # A step whose start was not seen.
        self._assumed: tuple[str, _Group] | None = None
        self._late: _Late | None = None

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

    def feed(self, event: Event) -> list[Violation]:
        """Take the next event and return the violations by it, in the table's order.

        Raises TypeError for anything but an event, RuntimeError after `close`.
        """
        if self._take_next_token(event):
            return []
        violations = self._judge(event)
        self._advance(event)
        return violations

    def require(self, event: Event) -> None:
        """Take the next event, or raise OrderError and stay as before.

        Raises TypeError for anything but an event, RuntimeError after `close`.
        """
        if self._take_next_token(event):
            return
        violations = self._judge(event)
        if violations:
            raise OrderError(violations[0])
        self._advance(event)

    def close(self) -> list[Violation]:
        """Take the end of the stream and return what is missing there; again, nothing."""
        if self._closed:
            return []
        self._closed = True
        self._groups = {}
        return self._broken(_ROWS_AT_THE_END, None)

    def _take_next_token(self, event: Event) -> bool:
        """Take the event if it is the next token of the only open step of its name.

        That is most of a stream, breaks no rule, and so takes a tenth of the time of the others.
        """
        if type(event) is not StepToken or not self._by_flow or self._match_output:
            return False
        group = self._groups.get(event.step_name)
        if group is None or len(group.steps) != 1 or self._last is None:
            return False
        if event.token_index != self._last + 1:
            return False
        self._last = event.token_index
        self._count += 1
        self._late = None
        group.tokens += 1
        return True

    def _judge(self, event: Event) -> list[Violation]:
        """Return the violations by the next event, without taking it."""
        rows = _ROWS_OF.get(type(event))
        if rows is None:
            raise TypeError(f"a StreamChecker takes events, got {type(event).__name__}")
        if self._closed:
            raise RuntimeError("the StreamChecker is closed: use a new one for another stream")
        return self._broken(_ROWS_AFTER_TERMINATOR if self._terminator is not None else rows, event)

    def _broken(self, rows: Iterable[_Row], event: Event | None) -> list[Violation]:
        """Return the violations of these rows of the table."""
        violations = []
        for row in rows:
            if row.rule not in self._allow:
                legal = row.test(self, event)
                if legal is not None:
                    violations.append(self._violation(row.rule, event, legal))
        return violations

    def _advance(self, event: Event) -> None:
        """Take an event, as the recoveries say whatever it broke."""
        self._count += 1
        if self._terminator is not None:
            return
        late, self._late = self._late, None
        self._started = True
        match event:
            case FlowStart():
                self._begin(event)
            case StepStart():
                self._start_step(event)
            case StepToken():
                self._add_token(event, late)
            case ToolCall():
                if self._group_of(event.step_name) is None:
                    self._assume(event.step_name)
            case StepComplete():
                self._complete_step(event)
            case _:  # by its type the terminator; a variant that no case has is an error here
                self._terminator = event
                self._begin(self._start)

    def _start_step(self, event: StepStart) -> None:
        name, index = key = event.step_name, event.step_index
        if self._assumed is not None and self._assumed[0] == name:
            self._assumed = None
        if key in self._open:
            return
        self._seen.add(key)
        self._open[key] = None
        self._unnamed = key
        group = self._groups.setdefault(name, _Group())
        group.steps[index] = _Step(group, 0)

    def _add_token(self, event: StepToken, late: _Late | None) -> None:
        self._last = event.token_index
        is_late = late is not None and late.step_name == event.step_name
        group = self._group_of(event.step_name)
        if group is None:
            if is_late:
                return
            group = self._assume(event.step_name)
        text = _joined(group.text, _digest(event.content)) if self._match_output else _EMPTY
        group.add_token(event, text, perhaps_late=is_late)

    def _complete_step(self, event: StepComplete) -> None:
        name = event.step_name
        output = _digest(event.full_output) if self._match_output else None
        group = self._groups.get(name)
        if group is not None:
            index = self._completed(group, event)
            step = group.steps.pop(index)
            del self._open[name, index]
            if self._unnamed == (name, index):
                self._unnamed = None
            if not group.steps:
                del self._groups[name]
            if group.tokens == step.tokens_before:
                self._late = _Late(name, 0, output)
            return
        assumed = self._group_of(name)
        self._assumed = None
        if assumed is None or not assumed.tokens:
            self._late = _Late(name, None, output)

    def _group_of(self, name: str) -> _Group | None:
        """Return the open steps of a name, one whose start was not seen included."""
        group = self._groups.get(name)
        if group is None and self._assumed is not None and self._assumed[0] == name:
            return self._assumed[1]
        return group

    def _assume(self, name: str) -> _Group:
        group = _Group()
        group.steps[_UNKNOWN] = _Step(group, None)
        self._assumed = name, group
        return group

    def _completed(self, group: _Group, event: StepComplete) -> int:
        """Return the index of the step that is completed: the one that it names, else the last."""
        return event.step_index if event.step_index in group.steps else next(reversed(group.steps))

    def _counter(self, event: StepToken) -> int | None:
        """Return the index after which a token comes; None if it is not known."""
        if self._by_flow:
            return self._last
        group = self._group_of(event.step_name)
        late = self._late if self._is_late(event) else None
        if group is not None:
            # A late token, or one of a step of the same name that is open: nobody knows.
            return group.counter() if late is None else None
        return late.counter if late is not None else None

    def _is_late(self, event: StepToken) -> bool:
        return self._late is not None and self._late.step_name == event.step_name

    def _violation(self, rule: Rule, event: Event | None, legal: str) -> Violation:
        came = "the end of the stream" if event is None else _came(event)
        message = f"event {self._count} is {came}; {self._situation()}; legal: {legal}"
        return Violation(rule, self._count, event, message)

    def _situation(self) -> str:
        if self._terminator is not None:
            return f"the flow has ended by {self._terminator.kind}"
        if not self._started:
            return "no flow has started"
        steps = [f"{_quoted(name)} ({index})" for name, index in islice(self._open, _MOST_STEPS)]
        if self._assumed is not None:
            steps.append(f"{_quoted(self._assumed[0])} (not started)")
        if not steps:
            return "no step is open"
        if len(self._open) > _MOST_STEPS:
            steps.append(f"{len(self._open)} steps in all")
        return f"open: {', '.join(steps)}"


def _came(event: Event) -> str:
    """Return what a message calls an event."""
    match event:
        case FlowStart() | FlowComplete():
            return f"{event.kind} of {_quoted(event.flow_name)} on {_quoted(event.backend)}"
        case FlowError():
            return f"flow_error of {_quoted(event.flow_name)}"
        case StepStart() | StepComplete():
            return f"{event.kind} of {_quoted(event.step_name)} ({event.step_index})"
        case StepToken():
            return f"step_token {event.token_index} of {_quoted(event.step_name)}"
        case _:
            call: ToolCall = event  # a variant that no case has is an error here
            return f"tool_call of {_quoted(call.step_name)}"


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
