# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A model of the order rules: slow, and meant to be obviously right.

`violations` looks at everything that came before each event anew. It knows of a step only from
where to where it was open; whatever else a rule asks about is looked up in the events between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from axon_events import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
)

_IN_A_STEP = (StepToken, ToolCall, StepComplete)
_TERMINATORS = (FlowComplete, FlowError)


@dataclass
class _Step:
    """A step: open after the event at `start`, until the one at `end` came.

    One whose start nobody saw is `assumed`; its index is unknown.
    """

    name: str
    index: int | None
    start: int
    end: int | None = None
    assumed: bool = False


class _Past:
    """What is known of a flow from its events: `events`, of which the last is not yet judged."""

    def __init__(self, events: Sequence[Event]) -> None:
        # A FlowStart begins a new flow, whose events are all that matters. The last is not past.
        starts = [i for i, event in enumerate(events[:-1]) if isinstance(event, FlowStart)]
        self.events = events[starts[-1] :] if starts else events
        self.now = len(self.events) - 1
        first = self.events[0]
        self.flow = first if starts and isinstance(first, FlowStart) else None
        self.steps: list[_Step] = []
        for at, event in enumerate(self.events[:-1]):
            self._follow(at, event)

    def open(self, at: int, name: str | None = None) -> list[_Step]:
        """Return the steps that the event at that position finds open."""
        return [
            step
            for step in self.steps
            if step.start < at and (step.end is None or step.end >= at)
            if name is None or step.name == name
        ]

    def really_open(self, at: int, name: str | None = None) -> list[_Step]:
        return [step for step in self.open(at, name) if not step.assumed]

    def starts(self, event: StepStart) -> list[_Step]:
        """Return the steps of this flow that had this name and index."""
        return [
            step
            for step in self.steps
            if not step.assumed and (step.name, step.index) == (event.step_name, event.step_index)
        ]

    def tokens(self, step: _Step, until: int) -> list[int]:
        """Return where the step's tokens are, before a position."""
        end = until if step.end is None else min(step.end, until)
        return [
            at
            for at in range(step.start + 1, end)
            if isinstance(token := self.events[at], StepToken) and token.step_name == step.name
        ]

    def late_of(self, at: int) -> _Step | None:
        """Return the step whose legal late token the event at that position is."""
        event = self.events[at]
        assert isinstance(event, _IN_A_STEP)
        # A token belongs to the open step of its name, if there is one.
        return None if self.open(at, event.step_name) else self.perhaps_late_of(at)

    def perhaps_late_of(self, at: int) -> _Step | None:
        event = self.events[at]
        if at == 0 or not isinstance(event, StepToken):
            return None
        before = self.events[at - 1]
        if not isinstance(before, StepComplete) or before.step_name != event.step_name:
            return None
        (step,) = (
            step for step in self.steps if step.end == at - 1 and step.name == event.step_name
        )
        return None if self.tokens(step, at) else step

    def is_not_open(self, at: int) -> bool:
        event = self.events[at]
        return (
            isinstance(event, _IN_A_STEP)
            and not self.open(at, event.step_name)
            and self.late_of(at) is None
        )

    def completed(self, at: int, event: StepComplete) -> _Step:
        """Return which of the open steps of its name it completes: its own, or the last."""
        steps = self.open(at, event.step_name)
        return ([step for step in steps if step.index == event.step_index] or steps)[-1]

    def _follow(self, at: int, event: Event) -> None:
        if self.is_not_open(at):
            assert isinstance(event, _IN_A_STEP)
            self._end_assumed(at - 1)
            # It began before this event, which is its own.
            self.steps.append(_Step(event.step_name, None, at - 1, assumed=True))
        if isinstance(event, StepStart):
            self._end_assumed(at, event.step_name)
            if not any(step.end is None for step in self.starts(event)):
                self.steps.append(_Step(event.step_name, event.step_index, at))
        if isinstance(event, StepComplete):
            self.completed(at, event).end = at

    def _end_assumed(self, at: int, name: str | None = None) -> None:
        for step in self.steps:
            if step.assumed and step.end is None and name in (None, step.name):
                step.end = at


def _of_a_step_start(past: _Past, event: StepStart) -> Iterator[str]:
    earlier = past.starts(event)
    # Each start names all that it overlaps, so only the step that started last can be unnamed.
    started = [step for step in past.steps if not step.assumed]
    still_open = any(step.end is None for step in earlier)
    if started and started[-1].end is None and not still_open:
        yield "step-overlap"
    if earlier:
        yield "step-repeated"


def _last_index(past: _Past, token: StepToken, token_scope: str) -> int | None:
    """Return the index of the token before this one, 0 if it is the first; None: nobody knows."""
    if token_scope == "flow":
        indices = [e.token_index for e in past.events[:-1] if isinstance(e, StepToken)]
        return indices[-1] if indices else 0 if past.flow is not None else None
    steps = past.open(past.now, token.step_name)
    late = past.late_of(past.now)
    if late is not None:
        steps = [late]
    if len(steps) != 1 or (late is None and past.perhaps_late_of(past.now)):
        return None  # its step is not open, or whose it is nobody knows
    tokens = past.tokens(steps[0], past.now)
    if not tokens:
        return None if steps[0].assumed else 0
    if len(past.open(tokens[-1], token.step_name)) > 1 or past.perhaps_late_of(tokens[-1]):
        return None
    before = past.events[tokens[-1]]
    assert isinstance(before, StepToken)
    return before.token_index


def _of_a_token(past: _Past, event: StepToken, token_scope: str) -> Iterator[str]:
    last = _last_index(past, event, token_scope)
    if last is not None and event.token_index <= last:
        yield "token-repeated"
    if last is not None and event.token_index > last + 1:
        yield "token-gap"


def _is_other_output(past: _Past, event: Event) -> bool:
    if isinstance(event, StepToken) and past.late_of(past.now) is not None:
        complete = past.events[past.now - 1]
        assert isinstance(complete, StepComplete)
        return event.content != complete.full_output
    if not isinstance(event, StepComplete) or not past.really_open(past.now, event.step_name):
        return False
    tokens = [past.events[at] for at in past.tokens(past.completed(past.now, event), past.now)]
    text = "".join(token.content for token in tokens if isinstance(token, StepToken))
    return bool(tokens) and event.full_output != text


def _of_an_event(events: Sequence[Event], token_scope: str, match_output: bool) -> Iterator[str]:
    """Yield the rules that the last of the events breaks."""
    event = events[-1]
    if any(isinstance(earlier, _TERMINATORS) for earlier in events[:-1]):
        yield "after-terminator"
        return
    past = _Past(events)
    if len(events) == 1 and not isinstance(event, FlowStart):
        yield "flow-not-started"
    if len(events) > 1 and isinstance(event, FlowStart):
        yield "flow-restarted"
    if isinstance(event, StepStart):
        yield from _of_a_step_start(past, event)
    if past.is_not_open(past.now):
        yield "step-not-open"
    if isinstance(event, StepComplete):
        really_open = past.really_open(past.now, event.step_name)
        if really_open and event.step_index not in [step.index for step in really_open]:
            yield "step-mismatch"
    if isinstance(event, FlowComplete) and past.really_open(past.now):
        yield "step-unfinished"
    if isinstance(event, FlowError) and past.really_open(past.now):
        yield "step-abandoned"
    if isinstance(event, StepToken):
        yield from _of_a_token(past, event, token_scope)
    if isinstance(event, _TERMINATORS) and past.flow is not None:
        names = [event.flow_name == past.flow.flow_name]
        if isinstance(event, FlowComplete):
            names.append(event.backend == past.flow.backend)
        if not all(names):
            yield "flow-mismatch"
    if match_output and _is_other_output(past, event):
        yield "output-mismatch"


def violations(
    events: Sequence[Event],
    *,
    allow: Sequence[str] = (),
    token_scope: str = "flow",
    match_output: bool = False,
) -> list[tuple[str, int]]:
    """Return the rule and the position of each violation, the one by the end included."""
    found = [
        (rule, index)
        for index in range(len(events))
        for rule in _of_an_event(events[: index + 1], token_scope, match_output)
    ]
    if not any(isinstance(event, _TERMINATORS) for event in events):
        found.append(("not-terminated", len(events)))
    return [(rule, index) for rule, index in found if rule not in allow]


def outcome(events: Sequence[Event]) -> str:
    """Return the outcome of the whole stream."""
    for event in events:
        if isinstance(event, FlowComplete):
            return "completed"
        if isinstance(event, FlowError):
            return "failed"
    return "truncated"
