# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The events of a running flow, as frozen dataclasses, and the JSON that they travel as.

from axon_events import StepToken, from_json, to_json

line = to_json(StepToken("Summarise", "Hello", 1, 1700000000000))
assert from_json(line).content == "Hello"
"""

from ._catalog import (
    EVENT_TYPES,
    Event,
    FlowComplete,
    FlowError,
    FlowExecutionEvent,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
    now_ms,
)
from ._codec import DecodeError, from_dict, from_json, to_dict, to_json

__all__ = [
    "EVENT_TYPES",
    "DecodeError",
    "Event",
    "FlowComplete",
    "FlowError",
    "FlowExecutionEvent",
    "FlowStart",
    "StepComplete",
    "StepStart",
    "StepToken",
    "ToolCall",
    "from_dict",
    "from_json",
    "now_ms",
    "to_dict",
    "to_json",
]

__version__ = "0.2.0"
