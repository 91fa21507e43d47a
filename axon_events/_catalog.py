# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The catalog: the seven events that a flow is told in, and nothing else.

Each variant is a frozen, slotted dataclass whose fields stand in the order in which they
are written to the wire. Constructing one validates it, so an event that exists can always
be written. The catalog is closed: a subclass of the base from any other module is refused,
and `Event`, the union of the seven, lets a type checker find each `match` that lacks one.

The constructors are written out, with the checks in line and the slots' own setters bound
after each class: checks included, that is cheaper than the constructor that the standard
library generates for a frozen dataclass, and events are made for every token of a flow. Text
that is ASCII or printable has no lone surrogates (they are not printable), and to ask that is
four times as quick as to encode it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, NoReturn, TypeAlias, final

__all__ = [
    "EVENT_TYPES",
    "Event",
    "FlowComplete",
    "FlowError",
    "FlowExecutionEvent",
    "FlowStart",
    "StepComplete",
    "StepStart",
    "StepToken",
    "ToolCall",
    "now_ms",
]

U64_MAX: Final = 2**64 - 1


def now_ms() -> int:
    """Return the current time in Unix milliseconds, rounded down; 0 if the clock is before 1970."""
    return max(time.time_ns() // 1_000_000, 0)


# A frozen dataclass itself, so that type checkers let the variants narrow `kind`.
@dataclass(frozen=True, init=False, repr=False, eq=False)
class FlowExecutionEvent:
    """The sealed base of the seven variants, for `isinstance`; not instantiable.

    `kind` is the variant's name on the wire, `is_terminator` is true for the two events that
    end a flow, `is_step_scoped` for those that belong to a step. They are class attributes,
    not methods: a forgotten call of a method would be silently true.
    """

    __slots__ = ()

    kind: ClassVar[str]
    is_terminator: ClassVar[bool] = False
    is_step_scoped: ClassVar[bool] = False

    def __init__(self, *args: object, **kwargs: object) -> None:
        variants = ", ".join(cls.__name__ for cls in EVENT_TYPES.values())
        raise TypeError(f"FlowExecutionEvent is not an event itself: construct one of {variants}")

    def __init_subclass__(cls) -> None:
        if cls.__module__ != __name__:
            raise TypeError(
                f"{cls.__name__} must not subclass an event: the catalog is closed,"
                f" and a new variant is added in {__name__} itself"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that pickles and copies are validated like any other event.
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


def shown_int(value: int) -> str:
    """Return an int as it stands in the text of an error, whatever its size."""
    # Python refuses to print an int of some thousand digits, and nobody wants to read one.
    return str(value) if value.bit_length() <= 128 else f"an int of {value.bit_length()} bits"


def _text(event: FlowExecutionEvent, field: str, value: object) -> str:
    """Return `value` as a plain `str` that UTF-8 can write, or raise TypeError or ValueError."""
    if not isinstance(value, str):
        raise TypeError(f"{type(event).__name__}.{field} must be a str, got {type(value).__name__}")
    plain = str.__str__(value)
    try:
        plain.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{type(event).__name__}.{field} must be text without lone surrogates,"
            f" got U+{ord(plain[error.start]):04X} at index {error.start}"
        ) from None
    return plain


def _u64(event: FlowExecutionEvent, field: str, value: object) -> int:
    """Return `value` as a plain `int` from 0 to 2^64-1, or raise TypeError or ValueError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(
            f"{type(event).__name__}.{field} must be an int, got {type(value).__name__}"
        )
    plain = int.__int__(value)
    if not 0 <= plain <= U64_MAX:
        raise ValueError(
            f"{type(event).__name__}.{field} must be an int from 0 to {U64_MAX},"
            f" got {shown_int(plain)}"
        )
    return plain


def _bool(event: FlowExecutionEvent, field: str, value: object) -> NoReturn:
    """Raise TypeError for `value`, which is no `bool`."""
    raise TypeError(f"{type(event).__name__}.{field} must be a bool, got {type(value).__name__}")


@final
@dataclass(frozen=True, slots=True, init=False)
class FlowStart(FlowExecutionEvent):
    """A flow has started.

    - `flow_name`: the name of the flow.
    - `backend`: the backend that executes its steps.
    - `timestamp_ms`: when, in Unix milliseconds; 0 to 2^64-1.
    """

    kind: ClassVar[Literal["flow_start"]] = "flow_start"

    flow_name: str
    backend: str
    timestamp_ms: int

    def __init__(self, flow_name: str, backend: str, timestamp_ms: int) -> None:
        if type(flow_name) is not str or not (flow_name.isascii() or flow_name.isprintable()):
            flow_name = _text(self, "flow_name", flow_name)
        if type(backend) is not str or not (backend.isascii() or backend.isprintable()):
            backend = _text(self, "backend", backend)
        if type(timestamp_ms) is not int or not 0 <= timestamp_ms <= U64_MAX:
            timestamp_ms = _u64(self, "timestamp_ms", timestamp_ms)
        _set_flow_start_flow_name(self, flow_name)
        _set_flow_start_backend(self, backend)
        _set_flow_start_timestamp_ms(self, timestamp_ms)


_set_flow_start_flow_name: Final = FlowStart.__dict__["flow_name"].__set__
_set_flow_start_backend: Final = FlowStart.__dict__["backend"].__set__
_set_flow_start_timestamp_ms: Final = FlowStart.__dict__["timestamp_ms"].__set__


@final
@dataclass(frozen=True, slots=True, init=False)
class StepStart(FlowExecutionEvent):
    """A step of the flow has started.

    - `step_name`: the name of the step.
    - `step_index`: its position in the flow, from 0 to 2^64-1.
    - `step_type`: its type as the flow's source declares it.
    - `timestamp_ms`: when, in Unix milliseconds; 0 to 2^64-1.
    """

    kind: ClassVar[Literal["step_start"]] = "step_start"
    is_step_scoped: ClassVar[bool] = True

    step_name: str
    step_index: int
    step_type: str
    timestamp_ms: int

    def __init__(self, step_name: str, step_index: int, step_type: str, timestamp_ms: int) -> None:
        if type(step_name) is not str or not (step_name.isascii() or step_name.isprintable()):
            step_name = _text(self, "step_name", step_name)
        if type(step_index) is not int or not 0 <= step_index <= U64_MAX:
            step_index = _u64(self, "step_index", step_index)
        if type(step_type) is not str or not (step_type.isascii() or step_type.isprintable()):
            step_type = _text(self, "step_type", step_type)
        if type(timestamp_ms) is not int or not 0 <= timestamp_ms <= U64_MAX:
            timestamp_ms = _u64(self, "timestamp_ms", timestamp_ms)
        _set_step_start_step_name(self, step_name)
        _set_step_start_step_index(self, step_index)
        _set_step_start_step_type(self, step_type)
        _set_step_start_timestamp_ms(self, timestamp_ms)


_set_step_start_step_name: Final = StepStart.__dict__["step_name"].__set__
_set_step_start_step_index: Final = StepStart.__dict__["step_index"].__set__
_set_step_start_step_type: Final = StepStart.__dict__["step_type"].__set__
_set_step_start_timestamp_ms: Final = StepStart.__dict__["timestamp_ms"].__set__


@final
@dataclass(frozen=True, slots=True, init=False)
class StepToken(FlowExecutionEvent):
    """A piece of a step's output has arrived.

    A backend that streams sends one for each chunk as it arrives; one that does not sends
    exactly one with the whole output, before or right after the step's `StepComplete`.

    - `step_name`: the name of the step.
    - `content`: the text of this piece.
    - `token_index`: a counter per flow: 1 for the first token, each next token one more,
      across all steps; 0 to 2^64-1.
    - `timestamp_ms`: when, in Unix milliseconds; 0 to 2^64-1.
    """

    kind: ClassVar[Literal["step_token"]] = "step_token"
    is_step_scoped: ClassVar[bool] = True

    step_name: str
    content: str
    token_index: int
    timestamp_ms: int

    def __init__(self, step_name: str, content: str, token_index: int, timestamp_ms: int) -> None:
        if type(step_name) is not str or not (step_name.isascii() or step_name.isprintable()):
            step_name = _text(self, "step_name", step_name)
        if type(content) is not str or not (content.isascii() or content.isprintable()):
            content = _text(self, "content", content)
        if type(token_index) is not int or not 0 <= token_index <= U64_MAX:
            token_index = _u64(self, "token_index", token_index)
        if type(timestamp_ms) is not int or not 0 <= timestamp_ms <= U64_MAX:
            timestamp_ms = _u64(self, "timestamp_ms", timestamp_ms)
        _set_step_token_step_name(self, step_name)
        _set_step_token_content(self, content)
        _set_step_token_token_index(self, token_index)
        _set_step_token_timestamp_ms(self, timestamp_ms)


_set_step_token_step_name: Final = StepToken.__dict__["step_name"].__set__
_set_step_token_content: Final = StepToken.__dict__["content"].__set__
_set_step_token_token_index: Final = StepToken.__dict__["token_index"].__set__
_set_step_token_timestamp_ms: Final = StepToken.__dict__["timestamp_ms"].__set__


@final
@dataclass(frozen=True, slots=True, init=False)
class StepComplete(FlowExecutionEvent):
    """A step has ended.

    - `step_name`: the name of the step.
    - `step_index`: its position in the flow, from 0 to 2^64-1.
    - `success`: whether the step did what it was for.
    - `full_output`: the whole text that the step put out.
    - `tokens_input`: tokens that the step consumed; 0 to 2^64-1.
    - `tokens_output`: tokens that the step produced; 0 to 2^64-1.
    - `timestamp_ms`: when, in Unix milliseconds; 0 to 2^64-1.
    """

    kind: ClassVar[Literal["step_complete"]] = "step_complete"
    is_step_scoped: ClassVar[bool] = True

    step_name: str
    step_index: int
    success: bool
    full_output: str
    tokens_input: int
    tokens_output: int
    timestamp_ms: int

    def __init__(
        self,
        step_name: str,
        step_index: int,
        success: bool,
        full_output: str,
        tokens_input: int,
        tokens_output: int,
        timestamp_ms: int,
    ) -> None:
        if type(step_name) is not str or not (step_name.isascii() or step_name.isprintable()):
            step_name = _text(self, "step_name", step_name)
        if type(step_index) is not int or not 0 <= step_index <= U64_MAX:
            step_index = _u64(self, "step_index", step_index)
        if type(success) is not bool:
            _bool(self, "success", success)
        if type(full_output) is not str or not (full_output.isascii() or full_output.isprintable()):
            full_output = _text(self, "full_output", full_output)
        if type(tokens_input) is not int or not 0 <= tokens_input <= U64_MAX:
            tokens_input = _u64(self, "tokens_input", tokens_input)
        if type(tokens_output) is not int or not 0 <= tokens_output <= U64_MAX:
            tokens_output = _u64(self, "tokens_output", tokens_output)
        if type(timestamp_ms) is not int or not 0 <= timestamp_ms <= U64_MAX:
            timestamp_ms = _u64(self, "timestamp_ms", timestamp_ms)
        _set_step_complete_step_name(self, step_name)
        _set_step_complete_step_index(self, step_index)
        _set_step_complete_success(self, success)
        _set_step_complete_full_output(self, full_output)
        _set_step_complete_tokens_input(self, tokens_input)
        _set_step_complete_tokens_output(self, tokens_output)
        _set_step_complete_timestamp_ms(self, timestamp_ms)


_set_step_complete_step_name: Final = StepComplete.__dict__["step_name"].__set__
_set_step_complete_step_index: Final = StepComplete.__dict__["step_index"].__set__
_set_step_complete_success: Final = StepComplete.__dict__["success"].__set__
_set_step_complete_full_output: Final = StepComplete.__dict__["full_output"].__set__
_set_step_complete_tokens_input: Final = StepComplete.__dict__["tokens_input"].__set__
_set_step_complete_tokens_output: Final = StepComplete.__dict__["tokens_output"].__set__
_set_step_complete_timestamp_ms: Final = StepComplete.__dict__["timestamp_ms"].__set__


@final
@dataclass(frozen=True, slots=True, init=False)
class ToolCall(FlowExecutionEvent):
    """A step has called a tool.

    - `step_name`: the name of the step.
    - `tool_name`: the name of the tool.
    - `content`: the provider's payload as text; never parsed here.
    - `timestamp_ms`: when, in Unix milliseconds; 0 to 2^64-1.
    """

    kind: ClassVar[Literal["tool_call"]] = "tool_call"
    is_step_scoped: ClassVar[bool] = True

    step_name: str
    tool_name: str
    content: str
    timestamp_ms: int

    def __init__(self, step_name: str, tool_name: str, content: str, timestamp_ms: int) -> None:
        if type(step_name) is not str or not (step_name.isascii() or step_name.isprintable()):
            step_name = _text(self, "step_name", step_name)
        if type(tool_name) is not str or not (tool_name.isascii() or tool_name.isprintable()):
            tool_name = _text(self, "tool_name", tool_name)
        if type(content) is not str or not (content.isascii() or content.isprintable()):
            content = _text(self, "content", content)
        if type(timestamp_ms) is not int or not 0 <= timestamp_ms <= U64_MAX:
            timestamp_ms = _u64(self, "timestamp_ms", timestamp_ms)
        _set_tool_call_step_name(self, step_name)
        _set_tool_call_tool_name(self, tool_name)
        _set_tool_call_content(self, content)
        _set_tool_call_timestamp_ms(self, timestamp_ms)


_set_tool_call_step_name: Final = ToolCall.__dict__["step_name"].__set__
_set_tool_call_tool_name: Final = ToolCall.__dict__["tool_name"].__set__
_set_tool_call_content: Final = ToolCall.__dict__["content"].__set__
_set_tool_call_timestamp_ms: Final = ToolCall.__dict__["timestamp_ms"].__set__


@final
@dataclass(frozen=True, slots=True, init=False)
class FlowComplete(FlowExecutionEvent):
    """The flow has ended normally, with a good result or a bad one.

    A failure of the flow itself is a `FlowError`.

    - `flow_name`: the name of the flow.
    - `backend`: the backend that executed its steps.
    - `success`: whether the result is good.
    - `steps_executed`: how many steps ran; 0 to 2^64-1.
    - `tokens_input`: tokens that all steps consumed; 0 to 2^64-1.
    - `tokens_output`: tokens that all steps produced; 0 to 2^64-1.
    - `latency_ms`: how long the flow ran, in milliseconds; 0 to 2^64-1.
    - `timestamp_ms`: when, in Unix milliseconds; 0 to 2^64-1.
    """

    kind: ClassVar[Literal["flow_complete"]] = "flow_complete"
    is_terminator: ClassVar[bool] = True

    flow_name: str
    backend: str
    success: bool
    steps_executed: int
    tokens_input: int
    tokens_output: int
    latency_ms: int
    timestamp_ms: int

    def __init__(
        self,
        flow_name: str,
        backend: str,
        success: bool,
        steps_executed: int,
        tokens_input: int,
        tokens_output: int,
        latency_ms: int,
        timestamp_ms: int,
    ) -> None:
        if type(flow_name) is not str or not (flow_name.isascii() or flow_name.isprintable()):
            flow_name = _text(self, "flow_name", flow_name)
        if type(backend) is not str or not (backend.isascii() or backend.isprintable()):
            backend = _text(self, "backend", backend)
        if type(success) is not bool:
            _bool(self, "success", success)
        if type(steps_executed) is not int or not 0 <= steps_executed <= U64_MAX:
            steps_executed = _u64(self, "steps_executed", steps_executed)
        if type(tokens_input) is not int or not 0 <= tokens_input <= U64_MAX:
            tokens_input = _u64(self, "tokens_input", tokens_input)
        if type(tokens_output) is not int or not 0 <= tokens_output <= U64_MAX:
            tokens_output = _u64(self, "tokens_output", tokens_output)
        if type(latency_ms) is not int or not 0 <= latency_ms <= U64_MAX:
            latency_ms = _u64(self, "latency_ms", latency_ms)
        if type(timestamp_ms) is not int or not 0 <= timestamp_ms <= U64_MAX:
            timestamp_ms = _u64(self, "timestamp_ms", timestamp_ms)
        _set_flow_complete_flow_name(self, flow_name)
        _set_flow_complete_backend(self, backend)
        _set_flow_complete_success(self, success)
        _set_flow_complete_steps_executed(self, steps_executed)
        _set_flow_complete_tokens_input(self, tokens_input)
        _set_flow_complete_tokens_output(self, tokens_output)
        _set_flow_complete_latency_ms(self, latency_ms)
        _set_flow_complete_timestamp_ms(self, timestamp_ms)


_set_flow_complete_flow_name: Final = FlowComplete.__dict__["flow_name"].__set__
_set_flow_complete_backend: Final = FlowComplete.__dict__["backend"].__set__
_set_flow_complete_success: Final = FlowComplete.__dict__["success"].__set__
_set_flow_complete_steps_executed: Final = FlowComplete.__dict__["steps_executed"].__set__
_set_flow_complete_tokens_input: Final = FlowComplete.__dict__["tokens_input"].__set__
_set_flow_complete_tokens_output: Final = FlowComplete.__dict__["tokens_output"].__set__
_set_flow_complete_latency_ms: Final = FlowComplete.__dict__["latency_ms"].__set__
_set_flow_complete_timestamp_ms: Final = FlowComplete.__dict__["timestamp_ms"].__set__


@final
@dataclass(frozen=True, slots=True, init=False)
class FlowError(FlowExecutionEvent):
    """The flow has failed and ended.

    - `flow_name`: the name of the flow.
    - `error`: what went wrong, as text.
    - `timestamp_ms`: when, in Unix milliseconds; 0 to 2^64-1.
    """

    kind: ClassVar[Literal["flow_error"]] = "flow_error"
    is_terminator: ClassVar[bool] = True

    flow_name: str
    error: str
    timestamp_ms: int

    def __init__(self, flow_name: str, error: str, timestamp_ms: int) -> None:
        if type(flow_name) is not str or not (flow_name.isascii() or flow_name.isprintable()):
            flow_name = _text(self, "flow_name", flow_name)
        if type(error) is not str or not (error.isascii() or error.isprintable()):
            error = _text(self, "error", error)
        if type(timestamp_ms) is not int or not 0 <= timestamp_ms <= U64_MAX:
            timestamp_ms = _u64(self, "timestamp_ms", timestamp_ms)
        _set_flow_error_flow_name(self, flow_name)
        _set_flow_error_error(self, error)
        _set_flow_error_timestamp_ms(self, timestamp_ms)


_set_flow_error_flow_name: Final = FlowError.__dict__["flow_name"].__set__
_set_flow_error_error: Final = FlowError.__dict__["error"].__set__
_set_flow_error_timestamp_ms: Final = FlowError.__dict__["timestamp_ms"].__set__


Event: TypeAlias = (
    FlowStart | StepStart | StepToken | StepComplete | ToolCall | FlowComplete | FlowError
)

EVENT_TYPES: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {
        cls.kind: cls
        for cls in (
            FlowStart,
            StepStart,
            StepToken,
            StepComplete,
            ToolCall,
            FlowComplete,
            FlowError,
        )
    }
)
