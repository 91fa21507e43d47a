# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A document to test the codec with, edits of it, and what comes of them."""

from typing import Any

from axon_events import DecodeError, Event, StepToken, from_json

TOKEN = StepToken("Summarise", "Hello", 7, 1700000000000)
WIRE = (
    '{"kind":"step_token","step_name":"Summarise","content":"Hello","token_index":7,'
    '"timestamp_ms":1700000000000}'
)


def edited(old: str, new: str) -> str:
    """Return WIRE with one edit, which must take."""
    if WIRE.count(old) != 1:
        raise ValueError(f"{old!r} stands {WIRE.count(old)} times in the wire")
    return WIRE.replace(old, new)


def with_unknown(value: str) -> str:
    """Return WIRE with an unknown field of this value."""
    return edited('"token_index"', f'"unknown":{value},"token_index"')


def decoded(document: Any) -> Event | DecodeError:
    try:
        return from_json(document)
    except DecodeError as error:
        return error


def refused(document: Any) -> DecodeError:
    outcome = decoded(document)
    if not isinstance(outcome, DecodeError):
        raise AssertionError(f"accepted as {outcome}")
    return outcome
