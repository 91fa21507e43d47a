# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The races of the catalog and the codec: constructing, encoding, decoding."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from axon_events import Event, StepToken

from .models import (
    DATACLASSES,
    IN_TURN,
    LIBRARIES,
    MIX,
    MOSTLY_TOKENS,
    TOKENS,
    lines,
    pydantic_token,
    token_fields,
)
from .race import Race


def each(function: Callable[[Any], object], arguments: Iterable[Any]) -> Callable[[], object]:
    """Return a call of `function` with each argument, the loop around it as cheap as can be."""
    return lambda: deque(map(function, arguments), 0)


def _constructing(cls: Any) -> Callable[[], object]:
    fields = token_fields()

    def construct() -> None:
        for name, content, index, timestamp in fields:
            cls(name, content, index, timestamp)

    return construct


def _encoding(title: str, events: list[Event]) -> Race:
    race = {
        name: each(library.encode, library.models(events)) for name, library in LIBRARIES.items()
    }
    aims = {
        "msgspec": 2.7,
        "pydantic": 1.0,
        "orjson, slotted dataclasses": 1.0,
        "cattrs with orjson": 1.0,
        "dataclasses and json": 1.0,
    }
    return Race(title, len(events), race, aims)


def _decoding(title: str, documents: list[bytes], aims: dict[str, float]) -> Race:
    race = {name: each(library.decode, documents) for name, library in LIBRARIES.items()}
    return Race(title, len(documents), race, aims)


def races() -> Iterator[Race]:
    """Yield the races of this group."""
    construct = {
        "axon_events": _constructing(StepToken),
        "msgspec": _constructing(LIBRARIES["msgspec"].family["step_token"]),
        "pydantic": _constructing(pydantic_token),
        "frozen slots dataclass, unchecked": _constructing(DATACLASSES["step_token"]),
    }
    yield Race(
        "construct a StepToken",
        len(TOKENS),
        construct,
        {"frozen slots dataclass, unchecked": 1.0},
    )
    yield _encoding("encode tokens", TOKENS)
    yield _encoding("encode all seven variants", MIX)
    ahead = {"mashumaro with orjson": 1.0, "cattrs with orjson": 1.0, "dataclasses and json": 1.0}
    yield _decoding("decode tokens", lines(TOKENS), {"pydantic": 1.15, **ahead})
    yield _decoding("decode tokens of steps in turn", lines(IN_TURN), {"pydantic": 1.15})
    yield _decoding("decode seven tokens in ten", lines(MOSTLY_TOKENS), {"pydantic": 1.4})
    yield _decoding("decode all seven variants", lines(MIX), {})
    # As `json.dumps` writes by default: with spaces, and all but ASCII escaped.
    loose = [json.dumps(json.loads(line)).encode() for line in lines(TOKENS)]
    yield _decoding("decode tokens with spaces", loose, {"pydantic": 1.8})
