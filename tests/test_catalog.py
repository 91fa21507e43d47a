# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The catalog: the shape of each variant, what its constructor refuses, that it is closed."""

import copy
import dataclasses
import enum
import inspect
import json
import pickle
import sys
import typing
import unittest
from collections.abc import Callable
from typing import Any, NoReturn
from unittest import mock

import axon_events
from axon_events import (
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

from . import CORPUS, PACKAGE
from .samples import EVENTS, U64_MAX

# Class, kind, fields in order; the contract as its users know it.
CATALOG: list[tuple[type[Event], str, dict[str, type]]] = [
    (FlowStart, "flow_start", {"flow_name": str, "backend": str, "timestamp_ms": int}),
    (
        StepStart,
        "step_start",
        {"step_name": str, "step_index": int, "step_type": str, "timestamp_ms": int},
    ),
    (
        StepToken,
        "step_token",
        {"step_name": str, "content": str, "token_index": int, "timestamp_ms": int},
    ),
    (
        StepComplete,
        "step_complete",
        {
            "step_name": str,
            "step_index": int,
            "success": bool,
            "full_output": str,
            "tokens_input": int,
            "tokens_output": int,
            "timestamp_ms": int,
        },
    ),
    (
        ToolCall,
        "tool_call",
        {"step_name": str, "tool_name": str, "content": str, "timestamp_ms": int},
    ),
    (
        FlowComplete,
        "flow_complete",
        {
            "flow_name": str,
            "backend": str,
            "success": bool,
            "steps_executed": int,
            "tokens_input": int,
            "tokens_output": int,
            "latency_ms": int,
            "timestamp_ms": int,
        },
    ),
    (FlowError, "flow_error", {"flow_name": str, "error": str, "timestamp_ms": int}),
]


class Word(str, enum.Enum):
    GOOD = "good"


class Number(enum.IntEnum):
    SEVEN = 7


def values(event: Event) -> tuple[Any, ...]:
    return dataclasses.astuple(event)


def with_field(event: Event, name: str, value: object) -> Event:
    changes: dict[str, Any] = {name: value}
    return dataclasses.replace(event, **changes)


class Shape(unittest.TestCase):
    def test_the_catalog_is_the_contract_in_order(self) -> None:
        self.assertEqual(list(EVENT_TYPES), [kind for _, kind, _ in CATALOG])
        for cls, kind, fields in CATALOG:
            with self.subTest(kind):
                self.assertIs(EVENT_TYPES[kind], cls)
                self.assertEqual(cls.kind, kind)
                self.assertEqual({f.name: f.type for f in dataclasses.fields(cls)}, fields)
                self.assertEqual([f.name for f in dataclasses.fields(cls)], list(fields))
                self.assertEqual(cls.__match_args__, tuple(fields))

    def test_the_constructor_takes_the_fields_in_order_without_defaults(self) -> None:
        for cls, _, fields in CATALOG:
            with self.subTest(cls.__name__):
                parameters = inspect.signature(cls).parameters
                self.assertEqual(list(parameters), list(fields))
                for name, parameter in parameters.items():
                    self.assertIs(parameter.kind, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                    self.assertIs(parameter.default, inspect.Parameter.empty)
                    self.assertIs(parameter.annotation, fields[name])

    def test_the_samples_have_one_event_of_each_variant(self) -> None:
        self.assertEqual([type(event) for event in EVENTS], [cls for cls, _, _ in CATALOG])

    def test_keywords_and_positions_construct_the_same(self) -> None:
        for event in EVENTS:
            with self.subTest(event.kind):
                keywords = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
                cls: Any = type(event)
                self.assertEqual(cls(**keywords), event)
                self.assertEqual(cls(*values(event)), event)
                with self.assertRaises(TypeError):
                    cls(*values(event)[:-1])
                with self.assertRaises(TypeError):
                    cls(*values(event), 1)

    def test_terminators_and_step_scope(self) -> None:
        self.assertEqual(
            [cls.kind for cls in EVENT_TYPES.values() if cls.is_terminator],
            ["flow_complete", "flow_error"],
        )
        self.assertEqual(
            [cls.kind for cls in EVENT_TYPES.values() if cls.is_step_scoped],
            ["step_start", "step_token", "step_complete", "tool_call"],
        )
        for event in EVENTS:
            self.assertIsInstance(event.is_terminator, bool)
            self.assertIsInstance(event.is_step_scoped, bool)

    def test_event_types_is_read_only(self) -> None:
        types: Any = EVENT_TYPES
        with self.assertRaises(TypeError):
            types["fresh"] = FlowStart
        with self.assertRaises(TypeError):
            del types["flow_start"]

    def test_the_union_has_exactly_the_catalog(self) -> None:
        self.assertEqual(set(typing.get_args(Event)), set(EVENT_TYPES.values()))
        for event in EVENTS:
            self.assertIsInstance(event, Event)
            self.assertIsInstance(event, FlowExecutionEvent)

    def test_an_event_has_no_dict_and_no_weak_spot_for_other_attributes(self) -> None:
        for event in EVENTS:
            with self.subTest(event.kind):
                self.assertFalse(hasattr(event, "__dict__"))
                self.assertEqual(
                    type(event).__slots__, tuple(f.name for f in dataclasses.fields(event))
                )

    def test_attributes_can_be_neither_set_nor_deleted(self) -> None:
        for event in EVENTS:
            before = values(event)
            for field in dataclasses.fields(event):
                with self.subTest(event.kind, field=field.name):
                    with self.assertRaises(dataclasses.FrozenInstanceError):
                        setattr(event, field.name, getattr(event, field.name))
                    with self.assertRaises(dataclasses.FrozenInstanceError):
                        delattr(event, field.name)
            # Frozen slotted dataclasses answer unknown names with TypeError before 3.14.
            for name in ("fresh", "kind", "is_terminator"):
                with self.subTest(event.kind, unknown=name):
                    with self.assertRaises((TypeError, AttributeError)):
                        setattr(event, name, "x")
                    with self.assertRaises((TypeError, AttributeError)):
                        delattr(event, name)
            self.assertEqual(values(event), before)

    def test_equality_and_hash_go_by_class_and_fields(self) -> None:
        for event in EVENTS:
            twin = copy.deepcopy(event)
            self.assertEqual(event, twin)
            self.assertEqual(hash(event), hash(twin))
            for other in EVENTS:
                if other is not event:
                    self.assertNotEqual(event, other)
            for field in dataclasses.fields(event):
                value = getattr(event, field.name)
                fresh = {str: f"{value}!", int: 7, bool: not value}[type(value)]
                with self.subTest(event.kind, field=field.name):
                    other = with_field(event, field.name, fresh)
                    self.assertNotEqual(event, other)
                    self.assertEqual(len({event, twin, other}), 2)
        self.assertNotEqual(FlowError("a", "b", 1), StepToken("a", "b", 1, 1))

    def test_repr_is_the_constructor_call(self) -> None:
        self.assertEqual(
            repr(StepToken("S", "a\n", 1, 2)),
            "StepToken(step_name='S', content='a\\n', token_index=1, timestamp_ms=2)",
        )
        for event in EVENTS:
            self.assertEqual(eval(repr(event), vars(axon_events).copy()), event)

    def test_a_match_over_the_variants_is_exhaustive_and_captures_by_position(self) -> None:
        # That a type checker finds a match which lacks one: the gate `exhaustive`.
        def never(event: NoReturn) -> NoReturn:
            raise TypeError(f"{event!r} is not of the catalog")

        def last_field(event: Event) -> int:
            match event:
                case FlowStart(_, _, timestamp_ms):
                    return timestamp_ms
                case StepStart(_, _, _, timestamp_ms):
                    return timestamp_ms
                case StepToken(_, _, _, timestamp_ms):
                    return timestamp_ms
                case StepComplete(_, _, _, _, _, _, timestamp_ms):
                    return timestamp_ms
                case ToolCall(_, _, _, timestamp_ms):
                    return timestamp_ms
                case FlowComplete(_, _, _, _, _, _, _, timestamp_ms):
                    return timestamp_ms
                case FlowError(_, _, timestamp_ms):
                    return timestamp_ms
                case _:
                    never(event)

        for event in EVENTS:
            self.assertEqual(last_field(event), event.timestamp_ms)


class Copies(unittest.TestCase):
    def test_pickle_of_every_protocol(self) -> None:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            for event in EVENTS:
                with self.subTest(event.kind, protocol=protocol):
                    again = pickle.loads(pickle.dumps(event, protocol))
                    self.assertIs(type(again), type(event))
                    self.assertEqual(values(again), values(event))

    def test_copies(self) -> None:
        copiers: list[Callable[[Event], Event]] = [
            copy.copy,
            copy.deepcopy,
            dataclasses.replace,
        ]
        if sys.version_info >= (3, 13):
            copiers.append(copy.replace)
        for copier in copiers:
            for event in EVENTS:
                with self.subTest(event.kind, copier=copier):
                    again = copier(event)
                    self.assertIs(type(again), type(event))
                    self.assertEqual(values(again), values(event))

    def test_replace_validates_again(self) -> None:
        token = StepToken("S", "a", 1, 2)
        self.assertEqual(dataclasses.replace(token, content="b"), StepToken("S", "b", 1, 2))
        with self.assertRaisesRegex(ValueError, r"^StepToken\.token_index "):
            dataclasses.replace(token, token_index=-1)
        if sys.version_info >= (3, 13):
            with self.assertRaisesRegex(TypeError, r"^StepToken\.content "):
                copy.replace(token, content=None)

    def test_a_forged_pickle_is_validated(self) -> None:
        pickled = pickle.dumps(StepToken("S", "a", 71, 2), 0)
        self.assertEqual(pickled.count(b"I71\n"), 1)
        with self.assertRaisesRegex(ValueError, r"^StepToken\.token_index .* got -1$"):
            pickle.loads(pickled.replace(b"I71\n", b"I-1\n"))


class Construction(unittest.TestCase):
    def test_wrong_types(self) -> None:
        wrong: dict[Any, list[object]] = {
            str: [None, 1, True, b"text", ["a"], 1.0],
            int: [None, "1", True, False, 1.0, b"1", 1j, [1]],
            bool: [None, 0, 1, "true", 1.0, []],
        }
        names = {str: "a str", int: "an int", bool: "a bool"}
        for event in EVENTS:
            for field in dataclasses.fields(event):
                expected: Any = field.type
                for value in wrong[expected]:
                    with self.subTest(event.kind, field=field.name, value=value):
                        with self.assertRaises(TypeError) as caught:
                            with_field(event, field.name, value)
                        self.assertEqual(
                            str(caught.exception),
                            f"{type(event).__name__}.{field.name} must be {names[expected]},"
                            f" got {type(value).__name__}",
                        )

    def test_integers_from_both_sides_of_the_limits(self) -> None:
        for event in EVENTS:
            for field in dataclasses.fields(event):
                if field.type is not int:
                    continue
                for value in (0, 1, 2**53 + 1, 2**63, U64_MAX):
                    with self.subTest(event.kind, field=field.name, value=value):
                        changed = with_field(event, field.name, value)
                        self.assertEqual(getattr(changed, field.name), value)
                for value, shown in (
                    (-1, "-1"),
                    (U64_MAX + 1, "18446744073709551616"),
                    (2**128 - 1, "340282366920938463463374607431768211455"),
                    (2**128, "an int of 129 bits"),
                    (-(2**200), "an int of 201 bits"),
                    (10**10000, "an int of 33220 bits"),
                ):
                    with self.subTest(event.kind, field=field.name, value=shown):
                        with self.assertRaises(ValueError) as caught:
                            with_field(event, field.name, value)
                        self.assertEqual(
                            str(caught.exception),
                            f"{type(event).__name__}.{field.name} must be an int"
                            f" from 0 to 18446744073709551615, got {shown}",
                        )

    def test_text_of_any_plane_but_no_lone_surrogate(self) -> None:
        for event in EVENTS:
            for field in dataclasses.fields(event):
                if field.type is not str:
                    continue
                for text in ("", "\0", "\x7f", "é", "\u2028", "\ufeff", "\uffff", "\U0010ffff"):
                    with self.subTest(event.kind, field=field.name, text=text):
                        changed = with_field(event, field.name, text)
                        self.assertEqual(getattr(changed, field.name), text)
                for text, what in (
                    ("\ud800", "U+D800 at index 0"),
                    ("aé\udfffb", "U+DFFF at index 2"),
                    ("\ud83d\ude00", "U+D83D at index 0"),
                ):
                    with self.subTest(event.kind, field=field.name, text=text):
                        with self.assertRaises(ValueError) as caught:
                            with_field(event, field.name, text)
                        self.assertIs(type(caught.exception), ValueError)
                        self.assertEqual(
                            str(caught.exception),
                            f"{type(event).__name__}.{field.name} must be text without lone"
                            f" surrogates, got {what}",
                        )

    def test_subclasses_of_str_and_int_are_stored_as_plain_values(self) -> None:
        for event in EVENTS:
            for field in dataclasses.fields(event):
                cases: dict[Any, tuple[object, object]] = {
                    str: (Word.GOOD, "good"),
                    int: (Number.SEVEN, 7),
                }
                if field.type not in cases:
                    continue
                given, plain = cases[field.type]
                with self.subTest(event.kind, field=field.name):
                    stored = getattr(with_field(event, field.name, given), field.name)
                    self.assertIs(type(stored), field.type)
                    self.assertEqual(stored, plain)

    def test_the_first_wrong_field_is_named(self) -> None:
        token: Any = StepToken
        with self.assertRaisesRegex(TypeError, r"^StepToken\.content must be a str, got int$"):
            token("S", 1, "x", None)


class Closed(unittest.TestCase):
    def test_the_base_is_not_an_event(self) -> None:
        for arguments in ((), ("Report", "anthropic", 1)):
            with self.assertRaises(TypeError) as caught:
                FlowExecutionEvent(*arguments)
            self.assertEqual(
                str(caught.exception),
                "FlowExecutionEvent is not an event itself: construct one of FlowStart, StepStart,"
                " StepToken, StepComplete, ToolCall, FlowComplete, FlowError",
            )

    def test_a_subclass_from_another_module_is_refused(self) -> None:
        bases: list[type] = [FlowExecutionEvent, *EVENT_TYPES.values()]
        for base in bases:
            with self.subTest(base.__name__), self.assertRaises(TypeError) as caught:
                type("Fresh", (base,), {"__module__": __name__, "kind": "fresh"})
            self.assertEqual(
                str(caught.exception),
                "Fresh must not subclass an event: the catalog is closed, and a new variant is"
                f" added in {PACKAGE}._catalog itself",
            )

    def test_the_module_has_no_other_variant(self) -> None:
        module = sys.modules[FlowExecutionEvent.__module__]
        variants = {
            cls
            for cls in vars(module).values()
            if isinstance(cls, type)
            and issubclass(cls, FlowExecutionEvent)
            and cls is not FlowExecutionEvent
        }
        self.assertEqual(variants, set(EVENT_TYPES.values()))

    def test_the_corpus_has_the_same_variants_and_fields(self) -> None:
        entries = json.loads((CORPUS / "corpus.json").read_bytes())["entries"]
        in_corpus = {
            (entry["variant"], tuple(entry["expected_json"]), tuple(json.loads(entry["wire"])))
            for entry in entries
        }
        catalog = {
            (cls.__name__, ("kind", *cls.__match_args__), ("kind", *cls.__match_args__))
            for cls in EVENT_TYPES.values()
        }
        self.assertEqual(in_corpus, catalog)


class Clock(unittest.TestCase):
    def test_milliseconds_are_rounded_down(self) -> None:
        for nanoseconds, expected in (
            (1_700_000_000_123_999_999, 1_700_000_000_123),
            (999_999, 0),
            (0, 0),
            (-1, 0),
            (-5_000_000_000, 0),
        ):
            with self.subTest(nanoseconds), mock.patch("time.time_ns", return_value=nanoseconds):
                self.assertEqual(now_ms(), expected)

    def test_the_current_time_fits_an_event(self) -> None:
        self.assertGreater(FlowStart("Report", "anthropic", now_ms()).timestamp_ms, 0)


if __name__ == "__main__":
    unittest.main()
