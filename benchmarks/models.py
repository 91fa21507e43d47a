# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The seven events in the terms of each competitor, and the events that the races are about.

The models are generated from the catalog, so that none can differ from it; a generated class is
as quick as a written one. Each is built as its library's documentation recommends: frozen,
with a union that is tagged by `kind`.
"""

import dataclasses
import functools
import json
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import cattrs.preconf.orjson  # pyright: ignore[reportMissingImports]
import cattrs.strategies  # pyright: ignore[reportMissingImports]
import msgspec  # pyright: ignore[reportMissingImports]
import orjson  # pyright: ignore[reportMissingImports]
import pydantic  # pyright: ignore[reportMissingImports]
from mashumaro.config import BaseConfig  # pyright: ignore[reportMissingImports]
from mashumaro.mixins.orjson import (  # pyright: ignore[reportMissingImports]
    DataClassORJSONMixin,
)
from mashumaro.types import Discriminator  # pyright: ignore[reportMissingImports]

from axon_events import (
    EVENT_TYPES,
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
    from_json,
    to_dict,
    to_json,
)

RECORDED = Path(__file__).parents[1] / "corpus" / "recorded" / "report.jsonl"
TEXT = "The harbour's gauge rose 1.2 m overnight; “high water” is due at 04:10.\n"

_recorded: list[Event] = [
    event
    for event in map(from_json, RECORDED.read_bytes().splitlines())
    if type(event) is StepToken
]
# Each fourth token of a recorded flow: a round has to be short, so that some are not interrupted.
TOKENS = _recorded[::4]


def _seven(n: int) -> list[Event]:
    now = 1_700_000_000_000 + n
    step_name = f"Summarise {n // 10}"
    return [
        FlowStart("Harbour report", "anthropic", now),
        StepStart(step_name, n, "generate", now),
        StepToken(step_name, " gauge", n, now),
        StepComplete(step_name, n, True, TEXT * 6, 812 + n, 64 + n, now),
        ToolCall(step_name, "search", json.dumps({"query": TEXT, "limit": n}), now),
        FlowComplete("Harbour report", "anthropic", True, 3, 812 + n, 64 + n, 5_000 + n, now),
        FlowError("Harbour report", f"backend answered 529 after {n} attempts: overloaded", now),
    ]


# As many events of all seven variants, in turns.
MIX: list[Event] = [event for n in range(30) for event in _seven(n)]
# The tokens of three steps that run at once.
IN_TURN: list[Event] = [
    StepToken(f"Summarise {n % 3}", event.content, n, event.timestamp_ms)
    for n, event in enumerate(TOKENS)
    if type(event) is StepToken
]
# In each ten events, seven tokens of a recorded flow and three of the mix.
MOSTLY_TOKENS: list[Event] = [
    TOKENS[n] if n % 10 < 7 else MIX[n] for n in range(min(len(TOKENS), len(MIX)))
]


def lines(events: list[Event]) -> list[bytes]:
    """Return the events as the documents that are decoded."""
    return [to_json(event).encode() for event in events]


def token_fields() -> list[tuple[str, str, int, int]]:
    """Return the values of each token's fields, in their order."""
    return [
        (event.step_name, event.content, event.token_index, event.timestamp_ms)
        for event in TOKENS
        if type(event) is StepToken
    ]


_MEMBERS: dict[str, list[tuple[str, Any]]] = {
    kind: [(field.name, field.type) for field in dataclasses.fields(cls)]
    for kind, cls in EVENT_TYPES.items()
}


def _union(family: dict[str, Any]) -> Any:
    return functools.reduce(operator.or_, family.values())


def _dataclasses(*bases: type) -> dict[str, Any]:
    """Return the standard library's dataclasses of the events, frozen and with slots."""
    return {
        kind: dataclasses.make_dataclass(
            EVENT_TYPES[kind].__name__,
            [("kind", Literal[kind], dataclasses.field(default=kind, init=False)), *members],
            bases=bases,
            frozen=True,
            slots=True,
        )
        for kind, members in _MEMBERS.items()
    }


MSGSPEC: dict[str, Any] = {
    kind: msgspec.defstruct(
        EVENT_TYPES[kind].__name__, members, tag_field="kind", tag=kind, frozen=True
    )
    for kind, members in _MEMBERS.items()
}
PYDANTIC: dict[str, Any] = {
    kind: pydantic.create_model(
        EVENT_TYPES[kind].__name__,
        __config__=pydantic.ConfigDict(frozen=True),
        kind=(Literal[kind], kind),
        **dict(members),
    )
    for kind, members in _MEMBERS.items()
}


def pydantic_token(step_name: str, content: str, token_index: int, timestamp_ms: int) -> Any:
    """Return pydantic's token: it takes nothing but keywords."""
    return PYDANTIC["step_token"](
        step_name=step_name, content=content, token_index=token_index, timestamp_ms=timestamp_ms
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Discriminated(DataClassORJSONMixin):  # type: ignore[misc]  # unknown to the type checkers
    class Config(BaseConfig):  # type: ignore[misc]
        discriminator = Discriminator(field="kind", include_subtypes=True)


MASHUMARO = _dataclasses(_Discriminated)
DATACLASSES = _dataclasses()

_pydantic: Any = pydantic.TypeAdapter(
    Annotated[_union(PYDANTIC), pydantic.Field(discriminator="kind")]
)
_cattrs: Any = cattrs.preconf.orjson.make_converter(detailed_validation=False)
cattrs.strategies.configure_tagged_union(
    _union(DATACLASSES),
    _cattrs,
    tag_name="kind",
    tag_generator={cls: kind for kind, cls in DATACLASSES.items()}.__getitem__,
)


def _built(members: dict[str, Any]) -> object:
    return DATACLASSES[members.pop("kind")](**members)


def _written(event: Any) -> str:
    return json.dumps(dataclasses.asdict(event), ensure_ascii=False, separators=(",", ":"))


@dataclasses.dataclass(frozen=True)
class Library:
    """A contestant: its classes by kind, an event of those to JSON (text or bytes), and back."""

    family: Mapping[str, Any]
    encode: Callable[[Any], str | bytes]
    decode: Callable[[bytes], Any]

    def models(self, events: list[Event]) -> list[Any]:
        """Return the events as objects of these classes."""
        built = []
        for event in events:
            members = to_dict(event)
            del members["kind"]
            built.append(self.family[event.kind](**members))
        return built


# What none but axon_events checks: the range of u64 (pydantic takes 3% longer with it). orjson
# and the standard library check nothing, cattrs converts.
LIBRARIES: dict[str, Library] = {
    "axon_events": Library(EVENT_TYPES, to_json, from_json),
    "msgspec": Library(
        MSGSPEC, msgspec.json.Encoder().encode, msgspec.json.Decoder(_union(MSGSPEC)).decode
    ),
    "pydantic": Library(
        PYDANTIC, operator.methodcaller("model_dump_json"), _pydantic.validate_json
    ),
    "orjson, slotted dataclasses": Library(
        DATACLASSES, orjson.dumps, lambda line: _built(orjson.loads(line))
    ),
    "mashumaro with orjson": Library(
        MASHUMARO, operator.methodcaller("to_jsonb"), _Discriminated.from_json
    ),
    "cattrs with orjson": Library(
        DATACLASSES,
        functools.partial(_cattrs.dumps, unstructure_as=_union(DATACLASSES)),
        functools.partial(_cattrs.loads, cl=_union(DATACLASSES)),
    ),
    "dataclasses and json": Library(DATACLASSES, _written, lambda line: _built(json.loads(line))),
}


def require_agreement() -> None:
    """Raise AssertionError unless each contestant writes and reads what the others do."""
    for name, library in LIBRARIES.items():
        for events in (TOKENS, MIX):
            for event, model, line in zip(
                events, library.models(events), lines(events), strict=True
            ):
                for what in (model, library.decode(line)):
                    got = json.loads(library.encode(what))
                    if got != to_dict(event):
                        raise AssertionError(f"{name} makes {got} of {event}")
