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

    One whose start nobody saw is `implied`; its index is unknown.
    """

    name: str
    index: int | None
    start: int
    end: int | None = None
    implied: bool = False


class _Past:
    """What is known of a flow from its events: `events`, of which the last is not yet judged."""

    def __init__(self, events: Sequence[Event], token_scope: str, from_start: bool) -> None:
        self.token_scope = token_scope
        # A FlowStart begins a new flow, whose events are all that matters. The last is not past.
        starts = [i for i, event in enumerate(events[:-1]) if isinstance(event, FlowStart)]
        self.events = events[starts[-1] :] if starts else events
        self.now = len(self.events) - 1
        first = self.events[0]
        self.flow = first if starts and isinstance(first, FlowStart) else None
        self.joined = not from_start and self.flow is None
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
        return [step for step in self.open(at, name) if not step.implied]

    def starts(self, event: StepStart) -> list[_Step]:
        """Return the steps of this flow that had this name and index."""
        return [
            step
            for step in self.steps
            if not step.implied and (step.name, step.index) == (event.step_name, event.step_index)
        ]

    def whose(self, at: int) -> list[_Step]:
        """Return the steps of which the token at that position may be."""
        token = self.events[at]
        assert isinstance(token, StepToken)
        steps, late = self.open(at, token.step_name), self._late_of(at, token)
        if steps and self.token_scope == "step" and token.token_index != 1:
            return steps  # since the late token of a step is its first
        return steps + late

    def _late_of(self, at: int, token: StepToken) -> list[_Step]:
        """Return the step whose late token it may be: one that may have had no token."""
        before = self.events[at - 1] if at else None
        if not isinstance(before, StepComplete) or before.step_name != token.step_name:
            return []
        return [
            step
            for step in self.steps
            if step.end == at - 1 and step.name == token.step_name
            if not any(self.whose(earlier) == [step] for earlier in self.tokens(step))
        ]

    def tokens(self, step: _Step) -> list[int]:
        """Return where the tokens are that came while the step was open."""
        end = self.now if step.end is None else step.end
        return [
            at
            for at in range(step.start + 1, end)
            if isinstance(token := self.events[at], StepToken) and token.step_name == step.name
        ]

    def is_not_open(self, at: int) -> bool:
        event = self.events[at]
        if not isinstance(event, _IN_A_STEP) or self.open(at, event.step_name):
            return False
        return not (isinstance(event, StepToken) and self.whose(at))

    def may_lack_its_start(self, at: int) -> bool:
        """Tell whether the event is the first one of its step's name that a late joiner sees."""
        name = getattr(self.events[at], "step_name", None)
        names = [getattr(event, "step_name", None) for event in self.events[:at]]
        return self.joined and name not in names

    def completed(self, at: int, event: StepComplete) -> _Step:
        """Return which of the open steps of its name it completes: its own, or the last."""
        steps = self.open(at, event.step_name)
        return ([step for step in steps if step.index == event.step_index] or steps)[-1]

    def _follow(self, at: int, event: Event) -> None:
        if self.is_not_open(at):
            assert isinstance(event, _IN_A_STEP)
            # It began before this event, which is its own.
            self.steps.append(_Step(event.step_name, None, at - 1, implied=True))
        if isinstance(event, StepStart):
            for step in self.steps:
                if step.implied and step.end is None and step.name == event.step_name:
                    step.end = at
            if not any(step.end is None for step in self.starts(event)):
                self.steps.append(_Step(event.step_name, event.step_index, at))
        if isinstance(event, StepComplete):
            self.completed(at, event).end = at


def _of_a_step_start(past: _Past, event: StepStart) -> Iterator[str]:
    earlier = past.starts(event)
    # Each start reports all that it overlaps, so only the step that started last can be left.
    started = [step for step in past.steps if not step.implied]
    still_open = any(step.end is None for step in earlier)
    if started and started[-1].end is None and not still_open:
        yield "step-overlap"
    if earlier:
        yield "step-repeated"


def _index_before(past: _Past, step: _Step) -> int | None:
    """Return the index of the step's last token, 0 if it had none; None if nobody knows."""
    tokens = past.tokens(step)
    if not tokens or step.end is not None:  # a complete step may have had none: that is the case
        return None if step.implied else 0
    last = past.events[tokens[-1]]
    assert isinstance(last, StepToken)
    return last.token_index if past.whose(tokens[-1]) == [step] else None


def _last_index(past: _Past, last_token: int | None) -> int | None:
    """Return the index of the token before this one, 0 if it is the first; None: nobody knows."""
    if past.token_scope == "flow":
        indices = [e.token_index for e in past.events[:-1] if isinstance(e, StepToken)]
        if past.flow is None:
            return indices[-1] if indices else last_token
        return indices[-1] if indices else 0
    steps = past.whose(past.now)
    return _index_before(past, steps[0]) if len(steps) == 1 else None


def _of_a_token(last: int | None, event: StepToken) -> Iterator[str]:
    if last is not None and event.token_index <= last:
        yield "token-repeated"
    if last is not None and event.token_index > last + 1:
        yield "token-gap"


def _is_other_output(past: _Past, event: Event) -> bool:
    if isinstance(event, StepToken):
        if past.open(past.now, event.step_name):
            return False
        complete = past.events[past.now - 1]
        return any(
            isinstance(complete, StepComplete)
            and event.content != complete.full_output
            and not past.tokens(late)
            for late in past.whose(past.now)
        )
    if not isinstance(event, StepComplete) or not past.really_open(past.now, event.step_name):
        return False
    step = past.completed(past.now, event)
    tokens = [past.events[at] for at in past.tokens(step)]
    if any(past.whose(at) != [step] for at in past.tokens(step)):
        return False
    text = "".join(token.content for token in tokens if isinstance(token, StepToken))
    return bool(tokens) and event.full_output != text


def _of_an_event(
    events: Sequence[Event],
    token_scope: str,
    match_output: bool,
    from_start: bool,
    last_token: int | None,
) -> Iterator[str]:
    """Yield the rules that the last of the events breaks."""
    event = events[-1]
    if any(isinstance(earlier, _TERMINATORS) for earlier in events[:-1]):
        yield "after-terminator"
        return
    past = _Past(events, token_scope, from_start)
    if len(events) == 1 and not isinstance(event, FlowStart) and from_start:
        yield "flow-not-started"
    if len(events) > 1 and isinstance(event, FlowStart):
        yield "flow-restarted"
    if isinstance(event, StepStart):
        yield from _of_a_step_start(past, event)
    if past.is_not_open(past.now) and not past.may_lack_its_start(past.now):
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
        yield from _of_a_token(_last_index(past, last_token), event)
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
    from_start: bool = True,
    last_token: int | None = None,
) -> list[tuple[str, int]]:
    """Return the rule and the position of each violation, the one by the end included."""
    found = [
        (rule, index)
        for index in range(len(events))
        for rule in _of_an_event(
            events[: index + 1], token_scope, match_output, from_start, last_token
        )
    ]
    if not any(isinstance(event, _TERMINATORS) for event in events):
        found.append(("not-terminated", len(events)))
    return [(rule, index) for rule, index in found if rule not in allow]


def open_steps(events: Sequence[Event]) -> tuple[tuple[str, int], ...]:
    """Return the steps that have started and are open after the events, as they started."""
    if any(isinstance(event, _TERMINATORS) for event in events):
        return ()
    # The last event of a past is not taken yet, so another one makes them all past.
    past = _Past([*events, ToolCall("", "", "", 0)], "flow", True)
    return tuple((step.name, step.index or 0) for step in past.really_open(past.now))


def last_token(events: Sequence[Event], last: int | None = None) -> int | None:
    """Return the index of the flow's last token, 0 if it had none; None if nobody knows.

    `last` is the one before the events.
    """
    for event in events:
        if isinstance(event, _TERMINATORS):
            break
        if isinstance(event, FlowStart):
            last = 0
        if isinstance(event, StepToken):
            last = event.token_index
    return last


def outcome(events: Sequence[Event]) -> str:
    """Return the outcome of the whole stream."""
    for event in events:
        if isinstance(event, FlowComplete):
            return "completed"
        if isinstance(event, FlowError):
            return "failed"
    return "truncated"
