# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The summary: a stream of events folded into what happened.

print(summarize(events).steps[0].text)

It takes any stream, however broken; use `order` to check one. Where the order is broken it goes on
much as `order` does: a `FlowStart` begins anew, events after the terminator do not count, and the
events of a step that is not open make one without a start.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

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
from ._codec import to_dict
from .order import Outcome

__all__ = ["FlowSummary", "StepSummary", "summarize"]


@dataclass(slots=True, eq=False, repr=False)
class StepSummary:
    """What happened in a step; None stands for what did not come.

    - `step_name`, `step_index`, `step_type`: as it was started.
    - `success`: whether it did what it was for.
    - `text`: its `full_output` once it is complete; until then its tokens joined.
    - `tool_calls`: its calls, in order.
    - `tokens`: how many `StepToken` came.
    - `tokens_input`, `tokens_output`: what it consumed and produced, as it says itself.
    - `started_ms`, `first_token_ms`: when it started and when its first token came, in Unix
      milliseconds.
    - `duration_ms`: from its start to its end; 0 if the producer's clock was set back.
    """

    step_name: str
    step_index: int | None = None
    step_type: str | None = None
    success: bool | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    tokens: int = 0
    tokens_input: int | None = None
    tokens_output: int | None = None
    started_ms: int | None = None
    first_token_ms: int | None = None
    duration_ms: int | None = None
    _full_output: str | None = field(default=None, init=False)
    _pieces: list[str] = field(default_factory=list, init=False)

    @property
    def text(self) -> str | None:
        """Its `full_output` once it is complete; until then its tokens joined."""
        if self._full_output is not None or not self.tokens:
            return self._full_output
        # Joined once it is asked for: adding up text token by token would be quadratic.
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the same as a new `dict` of plain values, for `json.dumps`."""
        return {
            "step_name": self.step_name,
            "step_index": self.step_index,
            "step_type": self.step_type,
            "success": self.success,
            "text": self.text,
            "tool_calls": [to_dict(call) for call in self.tool_calls],
            "tokens": self.tokens,
            "tokens_input": self.tokens_input,
            "tokens_output": self.tokens_output,
            "started_ms": self.started_ms,
            "first_token_ms": self.first_token_ms,
            "duration_ms": self.duration_ms,
        }

    def __repr__(self) -> str:
        return (
            f"<StepSummary {self.step_name!r:.60}, step_index={self.step_index},"
            f" success={self.success}, tokens={self.tokens}, duration_ms={self.duration_ms}>"
        )


class FlowSummary:
    """What happened in a flow, as far as its events have been added; None for what did not come.

    - `flow_name`, `backend`: as it was started; if that was not seen, as its terminator says.
    - `outcome`: how it stands, or how it ended.
    - `error`: the text of its `FlowError`.
    - `success`: whether its result is good; False after a `FlowError`.
    - `started_ms`: when it started, in Unix milliseconds.
    - `duration_ms`: how long it ran: the `latency_ms` of its `FlowComplete`; after a `FlowError`,
      the time since its start, or 0 if the producer's clock was set back.
    - `tokens_input`, `tokens_output`: the terminator's totals; without any, the steps' sum.
    - `steps`: a `StepSummary` for each step, in the order in which they began.
    """

    def __init__(self) -> None:
        self._is_closed = False
        self._begin(None)

    def _begin(self, start: FlowStart | None) -> None:
        self.flow_name = start.flow_name if start else None
        self.backend = start.backend if start else None
        self.outcome = Outcome.OPEN
        self.error: str | None = None
        self.success: bool | None = None
        self.started_ms = start.timestamp_ms if start else None
        self.duration_ms: int | None = None
        self.steps: list[StepSummary] = []
        self._complete: FlowComplete | None = None
        # The open steps of each name by their indexes; None is that of a step without a start.
        self._open: dict[str, OrderedDict[int | None, StepSummary]] = {}
        # The step that has just ended without a token: its only one may still come.
        self._late: StepSummary | None = None

    @property
    def tokens_input(self) -> int | None:
        """The tokens that the flow consumed: the terminator's total, or the steps' sum."""
        if self._complete is not None:
            return self._complete.tokens_input
        reported = [step.tokens_input for step in self.steps if step.tokens_input is not None]
        return sum(reported) if reported else None

    @property
    def tokens_output(self) -> int | None:
        """The tokens that the flow produced: the terminator's total, or the steps' sum."""
        if self._complete is not None:
            return self._complete.tokens_output
        reported = [step.tokens_output for step in self.steps if step.tokens_output is not None]
        return sum(reported) if reported else None

    def add(self, event: Event) -> None:
        """Take the next event.

        Raises TypeError for anything but an event, RuntimeError after `close`.
        """
        if type(event) not in _VARIANTS:
            raise TypeError(f"a FlowSummary takes events, got {type(event).__name__}")
        if self._is_closed:
            raise RuntimeError("the FlowSummary is closed: use a new one for another stream")
        if self.outcome is not Outcome.OPEN:
            return
        late, self._late = self._late, None
        match event:
            case StepToken():
                name = event.step_name
                if late is not None and late.step_name == name and name not in self._open:
                    step = late
                else:
                    step = self._step(name)
                if not step.tokens:
                    step.first_token_ms = event.timestamp_ms
                step.tokens += 1
                step._pieces.append(event.content)
            case FlowStart():
                self._begin(event)
            case StepStart():
                self._start_step(event)
            case ToolCall():
                self._step(event.step_name).tool_calls.append(event)
            case StepComplete():
                self._complete_step(event)
            case _:
                self._end(event)

    def close(self) -> None:
        """Take the end of the stream; without a terminator, its outcome is `TRUNCATED`."""
        self._is_closed = True
        if self.outcome is Outcome.OPEN:
            self.outcome = Outcome.TRUNCATED

    def to_dict(self) -> dict[str, Any]:
        """Return the same as a new `dict` of plain values, for `json.dumps`."""
        return {
            "flow_name": self.flow_name,
            "backend": self.backend,
            "outcome": self.outcome.value,
            "error": self.error,
            "success": self.success,
            "started_ms": self.started_ms,
            "duration_ms": self.duration_ms,
            "tokens_input": self.tokens_input,
            "tokens_output": self.tokens_output,
            "steps": [step.to_dict() for step in self.steps],
        }

    def __repr__(self) -> str:
        return (
            f"<FlowSummary {self.flow_name!r:.60}, outcome={self.outcome.value},"
            f" success={self.success}, steps={len(self.steps)}, duration_ms={self.duration_ms}>"
        )

    def _step(self, name: str) -> StepSummary:
        """Return the step of that name that was opened last; if none is open, a new one."""
        steps = self._open.get(name)
        if steps is None:
            return self._open_step(StepSummary(name))
        return next(reversed(steps.values()))

    def _open_step(self, step: StepSummary) -> StepSummary:
        self.steps.append(step)
        self._open.setdefault(step.step_name, OrderedDict())[step.step_index] = step
        return step

    def _start_step(self, event: StepStart) -> None:
        steps = self._open.get(event.step_name, OrderedDict())
        if event.step_index in steps:
            return
        step = steps.pop(None, None)
        if step is None:
            step = self._open_step(StepSummary(event.step_name, event.step_index))
        else:  # its start comes after other events of it
            steps[event.step_index] = step
        step.step_index = event.step_index
        step.step_type = event.step_type
        step.started_ms = event.timestamp_ms

    def _complete_step(self, event: StepComplete) -> None:
        self._step(event.step_name)  # opens one if none is open
        steps = self._open[event.step_name]
        index = event.step_index if event.step_index in steps else next(reversed(steps))
        step = steps.pop(index)
        if not steps:
            del self._open[event.step_name]
        if step.step_index is None:
            step.step_index = event.step_index
        step.success = event.success
        step.tokens_input = event.tokens_input
        step.tokens_output = event.tokens_output
        if step.started_ms is not None:
            step.duration_ms = max(event.timestamp_ms - step.started_ms, 0)
        step._full_output = event.full_output
        if not step.tokens:
            self._late = step

    def _end(self, event: FlowComplete | FlowError) -> None:
        if self.flow_name is None:
            self.flow_name = event.flow_name
        if isinstance(event, FlowError):
            self.outcome = Outcome.FAILED
            self.success = False
            self.error = event.error
            if self.started_ms is not None:
                self.duration_ms = max(event.timestamp_ms - self.started_ms, 0)
            return
        self.outcome = Outcome.COMPLETED
        self.success = event.success
        if self.backend is None:
            self.backend = event.backend
        self.duration_ms = event.latency_ms
        self._complete = event


_VARIANTS = frozenset(EVENT_TYPES.values())


def summarize(events: Iterable[Event]) -> FlowSummary:
    """Return the summary of a whole stream."""
    summary = FlowSummary()
    for event in events:
        summary.add(event)
    summary.close()
    return summary
