# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The producer's side: two context managers that cannot write a broken stream.

What is open is what `with` has entered. So whatever leaves the blocks, in whatever way, ends the
steps and the flow in the stream as well. Each call that sends does the same things in the same
order: read the clock, which is the caller's code; ask whether the call is in place; construct the
event, which validates it; change the state; call the sinks. What raises before the state changes
leaves everything as it was. What comes out of a sink ends the flow, since nobody can know whether
the sink took the event.

`closing` is for a run whose process was killed: it returns the events that are missing at its end.
"""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from time import monotonic_ns
from typing import Any, Final

from ._catalog import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
    now_ms,
)
from ._checked import U64_MAX, format_int
from .order import StreamChecker

__all__ = ["FlowEmitter", "StepEmitter", "closing"]

# Why a call is refused, and how to do it right.
_FLOW_NOT_STARTED: Final = "the flow has not started: use it in `with FlowEmitter(...) as flow:`"
_FLOW_RUNS: Final = "the flow is running: enter a FlowEmitter once, and make one for each run"
_FLOW_ENDED: Final = "the flow has ended: make a new FlowEmitter for another run"
_SINK_FAILED: Final = (
    "the flow has ended because a sink raised: make a new FlowEmitter for another run"
)
_STEP_NOT_STARTED: Final = "the step has not started: use it in `with flow.step(...) as step:`"
_STEP_ENTERED: Final = "the step was entered before: call flow.step(...) again for another step"
_STEP_ENDED: Final = "the step has ended: use it only inside its own `with` block"

_SURROGATES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"


def _sound(text: str) -> str:
    """Return text with the halves of surrogate pairs joined, and U+FFFD for each lone surrogate."""
    return _SURROGATES.sub(_joined, text)


def _plain(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"StepToken.content must be a str, got {type(text).__name__}")
    return str.__str__(text)


def _joined(match: re.Match[str]) -> str:
    if len(match[0]) == 1:
        return _REPLACEMENT
    return match[0].encode("utf-16", "surrogatepass").decode("utf-16")


class FlowEmitter:
    """Writes a flow as a legal stream of events, whatever happens in it.

    - `sink`: any callable that takes an event, like `list.append`, or several in a tuple, called
      in that order. What they return is ignored, so a coroutine function is refused.
    - `flow_name`: the name of the flow.
    - `backend`: the backend that executes its steps.
    - `clock`: returns the current time in Unix milliseconds, an int from 0 to 2^64-1.
    - `parallel`: whether several steps may be open at once, in several tasks or threads. The stream
      is then legal except for `step-overlap`, which its receiver has to allow.

    Raises TypeError if a sink or `clock` is no plain callable or a name is no `str`, ValueError if
    a name holds a lone surrogate.

        with FlowEmitter(events.append, flow_name="Report", backend="anthropic") as flow:
            with flow.step("Summarise", step_type="generate") as step:
                for chunk in model:
                    step.token(chunk)

    Entering sends `FlowStart`. Leaving sends the terminator: `FlowError` with the exception's type
    and message if one leaves the block (any `BaseException`; it goes on), else `FlowComplete`,
    whose `success` is False if a step failed or `fail` was called. Steps that are still open then
    are completed first, as failed. The same `with` works in async code: nothing in it waits.

    Text of models and tools never ends a run: halves of a surrogate pair are joined, also over two
    tokens of a step, and any other lone surrogate becomes U+FFFD.

    A misplaced call raises RuntimeError, and a bad value TypeError or ValueError. A clock that
    raises is passed on; one that returns no valid time is TypeError or ValueError. In all of these
    cases nothing is sent, and the emitter can be used as before. Leaving a block always sends. If
    the clock fails then, the last good time is used, the flow ends in `FlowError`, and the clock's
    error is raised.

    An exception from a sink is passed on unchanged and ends the flow: nothing more is sent, and
    further calls raise RuntimeError. An emitter is for one run.
    """

    def __init__(
        self,
        sink: Callable[[Event], object] | tuple[Callable[[Event], object], ...],
        *,
        flow_name: str,
        backend: str,
        clock: Callable[[], int] = now_ms,
        parallel: bool = False,
    ) -> None:
        sinks: tuple[Any, ...] = sink if isinstance(sink, tuple) and sink else (sink,)
        for name, function in (*(("sink", sink) for sink in sinks), ("clock", clock)):
            if not callable(function):
                raise TypeError(f"{name} must be callable, got {type(function).__name__}")
            if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
                raise TypeError(
                    f"{name} must be a plain function, got a coroutine function, which nobody would"
                    " await"
                )
        if not isinstance(parallel, bool):
            raise TypeError(f"parallel must be a bool, got {type(parallel).__name__}")
        checked = FlowStart(flow_name, backend, 0)  # to validate both
        self._sinks: tuple[Callable[[Event], object], ...] = sinks
        self._clock = clock
        self._is_parallel = parallel
        # Of one call, from reading the clock to the last sink; reentrant, since a sink may emit.
        self._lock = threading.RLock()
        self._flow_name = checked.flow_name
        self._backend = checked.backend
        self._refusal: str | None = _FLOW_NOT_STARTED  # None while the flow runs
        self._open: dict[StepEmitter, None] = {}  # the open steps, in the order of their starts
        self._now = 0  # the last good time of the clock
        self._started_ns = 0
        self._failed = False
        self._tokens = 0
        self._steps = 0
        self._tokens_input = 0
        self._tokens_output = 0

    def __enter__(self) -> "FlowEmitter":
        """Send `FlowStart` and return the emitter; RuntimeError if it was entered before."""
        with self._lock:
            self._read_clock()
            if self._refusal is not _FLOW_NOT_STARTED:
                raise RuntimeError(self._refusal or _FLOW_RUNS)
            event = FlowStart(self._flow_name, self._backend, self._now)
            self._refusal = None
            self._started_ns = monotonic_ns()
            self._send(event)
        return self

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> None:
        """Send what the stream still lacks; nothing if a sink has ended it."""
        with self._lock:
            if self._refusal is not None:
                return
            try:
                self._read_clock()
            except BaseException as failure:
                self._end(failure)
                raise
            self._end(error)

    def step(self, step_name: str, *, step_type: str) -> "StepEmitter":
        """Return the next step, to be entered by `with`; nothing is sent before that.

        - `step_name`: the name of the step; names may repeat.
        - `step_type`: its type as the flow's source declares it.

        Raises TypeError or ValueError for a bad value, RuntimeError if the flow is not running.
        """
        if self._refusal is not None:
            raise RuntimeError(self._refusal)
        return StepEmitter(self, step_name, step_type)

    def fail(self) -> None:
        """Make the flow's result a bad one: it ends in `FlowComplete` with `success` False.

        Raises RuntimeError if the flow is not running.
        """
        if self._refusal is not None:
            raise RuntimeError(self._refusal)
        self._failed = True

    def _read_clock(self) -> None:
        """Set `_now`, or raise what the clock does, or TypeError or ValueError for a bad time."""
        now: object = self._clock()
        if not isinstance(now, int) or isinstance(now, bool):
            raise TypeError(
                f"clock must return Unix milliseconds as an int, got {type(now).__name__}"
            )
        plain = int.__int__(now)
        if not 0 <= plain <= U64_MAX:
            raise ValueError(
                f"clock must return Unix milliseconds from 0 to {U64_MAX}, got {format_int(plain)}"
            )
        self._now = plain

    def _send(self, event: Event) -> None:
        """Call the sinks. The state is the one after the event, so a sink may itself send more."""
        try:
            for sink in self._sinks:
                sink(event)
        except BaseException:
            self._refusal = _SINK_FAILED
            self._open.clear()
            raise

    def _end(self, error: BaseException | None) -> None:
        """Complete the steps that are open and send the terminator; at the time `_now`."""
        if self._refusal is not None:
            return
        self._refusal = _FLOW_ENDED
        for step in list(self._open):
            step._complete(success=False)
        if error is not None:
            self._send_error(error)
            return
        self._send(
            FlowComplete(
                self._flow_name,
                self._backend,
                not self._failed,
                min(self._steps, U64_MAX),
                self._tokens_input,
                self._tokens_output,
                (monotonic_ns() - self._started_ns) // 1_000_000,
                self._now,
            )
        )

    def _send_error(self, error: BaseException) -> None:
        text = "exception"
        try:
            # Both are the caller's code: a metaclass may have its own `__name__`.
            text = f"{type(error).__name__}"
            message = str(error)
            if message:
                text = f"{text}: {message}"
        except Exception:
            pass  # What the text has by then is enough.
        finally:
            # An interrupt inside `__str__` must not be lost: it goes on after this.
            self._send(FlowError(self._flow_name, _sound(text), self._now))


class StepEmitter:
    """A step of a flow, made by `FlowEmitter.step` and entered by `with`, once.

    Entering sends `StepStart`. Leaving sends `StepComplete`, whose `success` is False if an
    exception leaves the block (any `BaseException`; it goes on) or `fail` was called. One step is
    open at a time, unless the flow is parallel. Every method raises RuntimeError outside the block.
    """

    def __init__(self, flow: FlowEmitter, step_name: str, step_type: str) -> None:
        checked = StepStart(step_name, 0, step_type, 0)  # to validate both
        self._flow = flow
        self._step_name = checked.step_name
        self._step_type = checked.step_type
        self._index = 0
        self._entered = False
        self._has_token = False
        self._half = ""  # the first half of a surrogate pair, which waits for the other one
        self._output: list[str] = []
        self._tokens_input = 0
        self._tokens_output = 0
        self._failed = False

    def __enter__(self) -> "StepEmitter":
        """Send `StepStart` and return the step.

        Raises RuntimeError if the flow is not running, if this step was entered before, or if
        another one is open and the flow is not parallel.
        """
        flow = self._flow
        with flow._lock:
            flow._read_clock()
            if flow._refusal is not None:
                raise RuntimeError(flow._refusal)
            if self._entered:
                raise RuntimeError(_STEP_ENTERED)
            if flow._open and not flow._is_parallel:
                (other,) = flow._open
                raise RuntimeError(
                    f"the step {other._step_name!r:.60} is open: leave its `with` block before"
                    " another step starts, or make the FlowEmitter with parallel=True"
                )
            event = StepStart(self._step_name, flow._steps, self._step_type, flow._now)
            self._index = event.step_index
            self._entered = True
            flow._steps += 1
            flow._open[self] = None
            flow._send(event)
        return self

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> None:
        """Send `StepComplete`; nothing if the step or the flow has ended before."""
        flow = self._flow
        with flow._lock:
            if self not in flow._open:
                return
            try:
                flow._read_clock()
            except BaseException:
                self._complete(success=False)
                raise
            self._complete(success=error is None)

    def token(self, content: str) -> None:
        """Send `StepToken` with the next chunk of a backend that streams.

        - `content`: the text of the chunk. If it ends in the first half of a surrogate pair, that
          waits for the next chunk; a chunk of which nothing else is left sends nothing.

        Raises TypeError for a bad value; then the chunk has no `token_index`.
        """
        with self._flow._lock:
            self._flow._read_clock()
            self._require_open()
            text = self._half + _plain(content)
            half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
            self._half = half
            if half and len(text) == 1:
                return
            self._send_token(_sound(text.removesuffix(half)))

    def output(self, text: str) -> None:
        """Set the whole output, for a backend that does not stream, or reworks what it streamed.

        - `text`: the `full_output` of `StepComplete`, in place of the tokens so far; sent as one
          token if the step has sent none. The last call counts.

        Raises TypeError for a bad value.
        """
        with self._flow._lock:
            self._require_open()
            sound = _sound(_plain(text))
            if self._half or not self._has_token:  # something is sent
                self._flow._read_clock()
                self._require_open()
            self._send_half()
            if not self._has_token:
                self._send_token(sound)
            self._output = [sound]

    def tool_call(self, tool_name: str, content: str) -> None:
        """Send `ToolCall`.

        - `tool_name`: the name of the tool.
        - `content`: the provider's payload as text; never parsed here.

        Raises TypeError or ValueError for a bad value.
        """
        with self._flow._lock:
            self._flow._read_clock()
            self._require_open()
            if isinstance(content, str):
                content = _sound(str.__str__(content))
            self._flow._send(ToolCall(self._step_name, tool_name, content, self._flow._now))

    def usage(self, *, tokens_input: int, tokens_output: int) -> None:
        """Set how many tokens the step took, as the backend counts them; the last call counts.

        - `tokens_input`: tokens that the step consumed; 0 to 2^64-1.
        - `tokens_output`: tokens that the step produced; 0 to 2^64-1.

        Without a call both are 0. The flow's totals stop at 2^64-1.
        Raises TypeError or ValueError for a bad value.
        """
        with self._flow._lock:
            self._require_open()
            checked = StepComplete(self._step_name, 0, True, "", tokens_input, tokens_output, 0)
            self._tokens_input = checked.tokens_input
            self._tokens_output = checked.tokens_output

    def fail(self) -> None:
        """Make the step's result a bad one: it ends with `success` False, and so does the flow."""
        with self._flow._lock:
            self._require_open()
            self._failed = True

    def _require_open(self) -> None:
        if self not in self._flow._open:
            reason = _STEP_ENDED if self._entered else _STEP_NOT_STARTED
            raise RuntimeError(self._flow._refusal or reason)

    def _send_token(self, content: str) -> None:
        flow = self._flow
        event = StepToken(self._step_name, content, flow._tokens + 1, flow._now)
        flow._tokens += 1
        self._has_token = True
        self._output.append(content)
        flow._send(event)

    def _send_half(self) -> None:
        """Send U+FFFD for the half of a pair that waits, if one does: the other will not come."""
        if self._half:
            self._half = ""
            self._send_token(_REPLACEMENT)

    def _complete(self, *, success: bool) -> None:
        """Send `StepComplete` if the step is open; at the time `_now` of the flow."""
        flow = self._flow
        if self not in flow._open:
            return
        self._send_half()
        event = StepComplete(
            self._step_name,
            self._index,
            success and not self._failed,
            "".join(self._output),
            self._tokens_input,
            self._tokens_output,
            flow._now,
        )
        del flow._open[self]
        flow._failed = flow._failed or not event.success
        flow._tokens_input = min(flow._tokens_input + event.tokens_input, U64_MAX)
        flow._tokens_output = min(flow._tokens_output + event.tokens_output, U64_MAX)
        flow._send(event)


def closing(
    events: Iterable[Event], *, error: str, clock: Callable[[], int] = now_ms
) -> list[Event]:
    """Return the events that end a run which a crash has cut.

    - `events`: those that were recorded, in order.
    - `error`: the text of the `FlowError`, why the run ended.
    - `clock`: returns the current time in Unix milliseconds, an int from 0 to 2^64-1.

    They are a `StepComplete` for each open step, with `success` False and the step's text so far,
    and the `FlowError`. Together they break no rule that the recorded events have not broken
    already. The list is empty if the run has ended. Raises ValueError if there is no
    `FlowStart`, TypeError if `error` is no `str`.
    """
    checker = StreamChecker()
    start: FlowStart | None = None
    tokens: defaultdict[str, list[str]] = defaultdict(list)  # by the name of their step
    first: dict[tuple[str, int], int] = {}  # of a step's tokens, its place among those
    for event in events:
        if isinstance(event, FlowStart):
            start = event
        elif isinstance(event, StepToken):
            tokens[event.step_name].append(event.content)
        elif isinstance(event, StepStart):
            key = event.step_name, event.step_index
            if key not in checker.open_steps:
                first[key] = len(tokens[event.step_name])
        checker.feed(event)
    if checker.terminator is not None:
        return []
    if start is None:
        raise ValueError("expected the events of a run, got no FlowStart")
    if not isinstance(error, str):
        raise TypeError(f"error must be a str, got {type(error).__name__}")
    now = clock()
    return [
        *(
            StepComplete(name, index, False, "".join(tokens[name][first[name, index] :]), 0, 0, now)
            for name, index in checker.open_steps
        ),
        FlowError(start.flow_name, _sound(str.__str__(error)), now),
    ]
