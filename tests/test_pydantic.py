# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What the hooks for pydantic build, and the functions in it, on a stand-in for pydantic_core.

The gate `frameworks` runs the real pydantic and FastAPI.
"""

import json
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from axon_events import (
    EVENT_TYPES,
    DecodeError,
    FlowError,
    FlowExecutionEvent,
    FlowStart,
    StepComplete,
    from_dict,
    to_dict,
)

from . import CORPUS
from .samples import EVENTS, U64_MAX

DOCUMENT: dict[str, object] = {
    "kind": "flow_error",
    "flow_name": "Report",
    "error": "out of memory",
    "timestamp_ms": 1700000000000,
}


class Recorder(types.ModuleType):
    """A stand-in for `pydantic_core.core_schema`: each function returns its name and arguments."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: (name, *args, kwargs) if kwargs else (name, *args)


class PydanticCustomError(ValueError):
    pass


class ValidationError(ValueError):
    @classmethod
    def from_exception_data(cls, title: str, line_errors: list[dict[str, Any]]) -> ValueError:
        return cls(title, *line_errors)


class Handler:
    """A stand-in for pydantic's `GetCoreSchemaHandler`."""

    def generate_schema(self, source: type) -> str:
        return f"the schema of {source.__name__}"


@contextmanager
def stand_in() -> Iterator[None]:
    """Put the stand-in in the place of pydantic_core."""
    core = types.ModuleType("pydantic_core")
    names = {
        "core_schema": Recorder("pydantic_core.core_schema"),
        "PydanticCustomError": PydanticCustomError,
        "ValidationError": ValidationError,
    }
    vars(core).update(names)
    with mock.patch.dict(sys.modules, {"pydantic_core": core}):
        yield


def schema_of(cls: Any) -> tuple[str, Callable[[object, object], Any], Any, dict[str, Any]]:
    """Return what the hook of a class builds: a function that wraps the schema of a mapping."""
    with stand_in():
        built = cls.__get_pydantic_core_schema__(cls, Handler())
    if len(built) != 4:
        raise AssertionError(f"expected a name, a function, a schema and options, got {built}")
    return built  # type: ignore[no-any-return]  # the shape that is asserted


def validate(cls: Any, value: object) -> Any:
    """Return what the validator of a class makes of a value."""

    def no_inner(value: object) -> object:
        raise AssertionError("the schema of the mapping must not be asked")

    _, function, _, _ = schema_of(cls)
    with stand_in():
        return function(value, no_inner)


class Schema(unittest.TestCase):
    def test_a_variant_is_a_function_around_its_mapping(self) -> None:
        u64 = ("int_schema", {"ge": 0, "le": U64_MAX})
        name, function, mapping, options = schema_of(StepComplete)
        self.assertEqual(name, "no_info_wrap_validator_function")
        self.assertEqual(function.__name__, "StepComplete")
        members = {
            "kind": ("literal_schema", ["step_complete"]),
            "step_name": ("str_schema",),
            "step_index": u64,
            "success": ("bool_schema",),
            "full_output": ("str_schema",),
            "tokens_input": u64,
            "tokens_output": u64,
            "timestamp_ms": u64,
        }
        fields = {
            member: ("typed_dict_field", schema, {"required": True})
            for member, schema in members.items()
        }
        self.assertEqual(mapping, ("typed_dict_schema", fields, {"extra_behavior": "allow"}))
        self.assertEqual(list(mapping[1]), list(members))
        self.assertRegex(options["ref"], r"\A[\w.]+\._catalog\.StepComplete:[0-9]+\Z")

    def test_the_base_is_any_variant(self) -> None:
        _, function, mapping, options = schema_of(FlowExecutionEvent)
        self.assertEqual(function.__name__, "FlowExecutionEvent")
        choices = {kind: f"the schema of {cls.__name__}" for kind, cls in EVENT_TYPES.items()}
        self.assertEqual(mapping, ("tagged_union_schema", choices, {"discriminator": "kind"}))
        self.assertIn(".FlowExecutionEvent:", options["ref"])

    def test_each_writes_by_to_dict(self) -> None:
        for cls in (FlowExecutionEvent, *EVENT_TYPES.values()):
            with self.subTest(cls.__name__):
                name, write = schema_of(cls)[3]["serialization"]
                self.assertEqual(name, "plain_serializer_function_ser_schema")
                for event in EVENTS:
                    self.assertEqual(list(write(event).items()), list(to_dict(event).items()))

    def test_the_json_schema_gets_title_and_description(self) -> None:
        resolved: dict[str, str] = {"type": "object"}
        asked: list[object] = []

        class JsonHandler:
            def __call__(self, schema: object) -> dict[str, str]:
                asked.append(schema)
                return {"$ref": "#/$defs/FlowError"}

            def resolve_ref_schema(self, schema: dict[str, str]) -> dict[str, str]:
                asked.append(schema)
                return resolved

        given: Any = object()
        made = FlowError.__get_pydantic_json_schema__(given, JsonHandler())
        self.assertEqual(made, {"$ref": "#/$defs/FlowError"})
        self.assertEqual(asked, [given, made])
        self.assertEqual(
            resolved,
            {
                "type": "object",
                "title": "FlowError",
                "description": "The flow has failed and ended.",
            },
        )


class Validation(unittest.TestCase):
    def refused(self, cls: Any, value: object) -> tuple[str, str, tuple[str, ...], object]:
        """Return the code, the text, the location and the input of the error for a value."""
        with self.assertRaises(ValidationError) as caught:
            validate(cls, value)
        self.assertIsNone(caught.exception.__cause__)
        title, error = caught.exception.args
        self.assertEqual(title, cls.__name__)
        self.assertEqual(list(error), ["type", "loc", "input"])
        self.assertIsInstance(error["type"], PydanticCustomError)
        code, text = error["type"].args
        return code, text, error["loc"], error["input"]

    def test_an_event_stays_what_it_is(self) -> None:
        for event in EVENTS:
            for cls in (type(event), FlowExecutionEvent):
                self.assertIs(validate(cls, event), event)

    def test_a_mapping_is_read_by_from_dict(self) -> None:
        for event in EVENTS:
            document = {**to_dict(event), "fresh": [None]}
            for cls in (type(event), FlowExecutionEvent):
                self.assertEqual(validate(cls, document), event)
                self.assertIs(type(validate(cls, types.MappingProxyType(document))), type(event))

    def test_what_from_dict_refuses_is_refused_with_its_words(self) -> None:
        cases = json.loads((CORPUS / "decode.json").read_bytes())["cases"]
        refused = 0
        for case in cases:
            try:
                document = json.loads(case.get("input", ""))
            except ValueError:
                continue
            try:
                expected: Any = from_dict(document)
            except DecodeError as error:
                refused += 1
                with self.subTest(case["name"]):
                    code, text, place, _ = self.refused(FlowExecutionEvent, document)
                    self.assertEqual((code, text), (error.reason, error.message))
                    self.assertEqual(place, () if error.field is None else (error.field,))
            else:
                with self.subTest(case["name"]):
                    self.assertEqual(validate(FlowExecutionEvent, document), expected)
        self.assertGreater(refused, 50)

    def test_the_fault_is_located_at_its_field(self) -> None:
        u64 = "an integer from 0 to 18446744073709551615 as FlowError.timestamp_ms"
        for value, code, got in (
            (-1, "out-of-range", "-1"),
            (U64_MAX + 1, "out-of-range", "18446744073709551616"),
            ("1", "wrong-type", "the string '1'"),
            (True, "wrong-type", "true"),
            (None, "wrong-type", "null"),
        ):
            for cls in (FlowError, FlowExecutionEvent):
                with self.subTest(cls.__name__, value=value):
                    self.assertEqual(
                        self.refused(cls, {**DOCUMENT, "timestamp_ms": value}),
                        (code, f"expected {u64}, got {got}", ("timestamp_ms",), value),
                    )

    def test_another_kind_is_refused_in_a_few_words(self) -> None:
        for cls, value, text in (
            (FlowStart, DOCUMENT, "expected flow_start, got the string 'flow_error'"),
            (FlowStart, from_dict(DOCUMENT), "expected flow_start, got the string 'flow_error'"),
            (FlowError, {"kind": "x"}, "expected flow_error, got the string 'x'"),
            (FlowError, {"kind": None}, "expected flow_error, got null"),
        ):
            with self.subTest(cls.__name__, value=value):
                code, *rest, _ = self.refused(cls, value)
                self.assertEqual((code, rest), ("kind-mismatch", [text, ("kind",)]))

    def test_no_kind_and_no_mapping(self) -> None:
        for cls in (FlowStart, FlowError, FlowExecutionEvent):
            self.assertEqual(
                self.refused(cls, {"flow_name": "Report"}),
                ("missing-kind", 'expected a field "kind", got none', ("kind",), "an object"),
            )
            self.assertEqual(
                self.refused(cls, 3), ("not-an-object", "expected a mapping, got 3", (), 3)
            )

    def test_the_input_of_an_error_can_be_written_as_json(self) -> None:
        # FastAPI writes it into its answer, and fails at what JSON or UTF-8 cannot hold.
        for value, shown in (
            (float("nan"), "nan"),
            (float("inf"), "inf"),
            (1.0, "1.0"),
            (["\ud800"], "an array"),
            ({"\ud800": 1}, "an object"),
            (b"1", "a value of type bytes"),
        ):
            with self.subTest(value):
                document = {**DOCUMENT, "timestamp_ms": value}
                self.assertEqual(self.refused(FlowError, document)[3], shown)
        document = {**DOCUMENT, "error": "\ud83d"}
        self.assertEqual(
            self.refused(FlowError, document),
            (
                "not-utf8",
                "expected text without lone surrogates as FlowError.error,"
                " got the string '\\ud83d'",
                ("error",),
                "the string '\\ud83d'",
            ),
        )


if __name__ == "__main__":
    unittest.main()
