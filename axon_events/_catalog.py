# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The catalog: the seven events of a flow, and nothing else.

Each variant is a frozen, slotted dataclass. Its fields are in the order of the wire. Constructing
one validates it (`checked`), so an event that exists can always be written: each int is from 0 to
2^64-1, each str any Unicode text without lone surrogates. The catalog is closed: the base refuses a
subclass from any other module, and `Event`, the union of the seven, lets type checkers report a
`match` that misses a variant.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, TypeAlias, final, get_args

from ._checked import checked

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


def now_ms() -> int:
    """Return the current time in Unix milliseconds, rounded down; 0 if the clock is before 1970."""
    return max(time.time_ns() // 1_000_000, 0)


# A frozen dataclass itself, so that type checkers let the variants narrow `kind`.
@dataclass(frozen=True, init=False, repr=False, eq=False)
class FlowExecutionEvent:
    """Any event: the sealed base of the seven variants, for `isinstance`; not instantiable."""

    __slots__ = ()

    # Attributes, not methods: `if event.is_terminator` without a call would always be true.
    kind: ClassVar[str]  # the variant's name on the wire
    is_terminator: ClassVar[bool] = False  # whether it ends a flow
    is_step_scoped: ClassVar[bool] = False  # whether it belongs to a step

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

    # pydantic, and so FastAPI, calls these. The import goes against the chain: it needs the codec.
    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Any) -> Any:
        from . import _pydantic

        return _pydantic.core_schema_of(cls, handler)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        from . import _pydantic

        return _pydantic.json_schema_of(cls, schema, handler)


@final
@checked
@dataclass(frozen=True, slots=True)
class FlowStart(FlowExecutionEvent):
    """A flow has started."""

    kind: ClassVar[Literal["flow_start"]] = "flow_start"

    flow_name: str
    backend: str  # what executes the flow's steps
    timestamp_ms: int  # when, in Unix milliseconds


@final
@checked
@dataclass(frozen=True, slots=True)
class StepStart(FlowExecutionEvent):
    """A step of the flow has started."""

    kind: ClassVar[Literal["step_start"]] = "step_start"
    is_step_scoped: ClassVar[bool] = True

    step_name: str
    step_index: int  # the step's position in the flow, from 0
    step_type: str  # as the flow's source declares it
    timestamp_ms: int  # when, in Unix milliseconds


@final
@checked
@dataclass(frozen=True, slots=True)
class StepToken(FlowExecutionEvent):
    """A piece of a step's output has arrived.

    A backend that streams sends one for each chunk as it arrives; any other sends exactly one with
    the whole output, before or right after the step's `StepComplete`.
    """

    kind: ClassVar[Literal["step_token"]] = "step_token"
    is_step_scoped: ClassVar[bool] = True

    step_name: str
    content: str  # the text of this piece
    token_index: int  # counts the flow's tokens from 1, across all its steps
    timestamp_ms: int  # when, in Unix milliseconds


@final
@checked
@dataclass(frozen=True, slots=True)
class StepComplete(FlowExecutionEvent):
    """A step has ended."""

    kind: ClassVar[Literal["step_complete"]] = "step_complete"
    is_step_scoped: ClassVar[bool] = True

    step_name: str
    step_index: int  # the step's position in the flow, from 0
    success: bool  # whether the step did what it was for
    full_output: str  # all the text of the step
    tokens_input: int  # tokens that the step consumed
    tokens_output: int  # tokens that the step produced
    timestamp_ms: int  # when, in Unix milliseconds


@final
@checked
@dataclass(frozen=True, slots=True)
class ToolCall(FlowExecutionEvent):
    """A step has called a tool."""

    kind: ClassVar[Literal["tool_call"]] = "tool_call"
    is_step_scoped: ClassVar[bool] = True

    step_name: str
    tool_name: str
    content: str  # the provider's payload as text; never parsed here
    timestamp_ms: int  # when, in Unix milliseconds


@final
@checked
@dataclass(frozen=True, slots=True)
class FlowComplete(FlowExecutionEvent):
    """The flow has ended normally, though perhaps with a bad result."""

    kind: ClassVar[Literal["flow_complete"]] = "flow_complete"
    is_terminator: ClassVar[bool] = True

    flow_name: str
    backend: str  # what executed the flow's steps
    success: bool  # whether the flow did what it was for
    steps_executed: int  # how many steps were started
    tokens_input: int  # tokens that all steps consumed
    tokens_output: int  # tokens that all steps produced
    latency_ms: int  # how long the flow ran, in milliseconds
    timestamp_ms: int  # when, in Unix milliseconds


@final
@checked
@dataclass(frozen=True, slots=True)
class FlowError(FlowExecutionEvent):
    """The flow has failed and ended."""

    kind: ClassVar[Literal["flow_error"]] = "flow_error"
    is_terminator: ClassVar[bool] = True

    flow_name: str
    error: str  # what went wrong, as text
    timestamp_ms: int  # when, in Unix milliseconds


Event: TypeAlias = (
    FlowStart | StepStart | StepToken | StepComplete | ToolCall | FlowComplete | FlowError
)

EVENT_TYPES: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {cls.kind: cls for cls in get_args(Event)}
)
