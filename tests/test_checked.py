# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What is written from the fields of a class. What constructors refuse: tests/test_catalog.py."""

import dataclasses
import inspect
import traceback
import unittest
from typing import Any

from axon_events import EVENT_TYPES, StepToken, to_dict
from axon_events._checked import checked, format_int, reader, setters

from .samples import EVENTS, U64_MAX

# Of no type that a field has, or out of range.
OTHERS: list[Any] = [None, 1.0, b"", [], -1, U64_MAX + 1]


class Constructors(unittest.TestCase):
    def test_a_constructor_is_named_as_a_method_of_its_class(self) -> None:
        for cls in EVENT_TYPES.values():
            self.assertEqual(cls.__init__.__qualname__, f"{cls.__name__}.__init__")
            self.assertEqual(cls.__init__.__module__, cls.__module__)
        token: Any = StepToken
        with self.assertRaisesRegex(TypeError, r"^StepToken\.__init__\(\) missing 1 required "):
            token("S", "x", 1)
        try:
            token("S", None, 1, 2)
        except TypeError as error:
            files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
            self.assertIn("<__init__ of StepToken>", files)

    def test_a_class_with_fields_of_each_type(self) -> None:
        @checked
        @dataclasses.dataclass(frozen=True, slots=True)
        class Sample:
            name: str
            count: int
            is_good: bool

        self.assertEqual(
            repr(Sample("é", U64_MAX, True)).partition("(")[2],
            f"name='é', count={U64_MAX}, is_good=True)",
        )
        self.assertEqual(list(inspect.signature(Sample).parameters), ["name", "count", "is_good"])
        for values, error in (
            ((1, 1, True), TypeError),
            (("\ud800", 1, True), ValueError),
            (("", True, True), TypeError),
            (("", -1, True), ValueError),
            (("", U64_MAX + 1, True), ValueError),
            (("", 1, 1), TypeError),
        ):
            wrong: Any = values
            with self.subTest(values), self.assertRaisesRegex(error, r"^Sample\."):
                Sample(*wrong)


class Readers(unittest.TestCase):
    def test_the_fields_are_set_without_checks(self) -> None:
        for event in EVENTS:
            made = object.__new__(type(event))
            values = dataclasses.astuple(event)
            for set_field, value in zip(setters(type(event)), values, strict=True):
                set_field(made, value)
            self.assertEqual(repr(made), repr(event))

    def test_members_in_canonical_order_are_read(self) -> None:
        for event in EVENTS:
            read = reader(type(event))
            members: list[tuple[str, Any]] = list(to_dict(event).items())
            self.assertEqual(repr(read(members, "")), repr(event))
            for n, (name, value) in enumerate(members):
                others: list[Any] = [(f"{name}s", value)]
                if name != "kind":
                    others += [(name, other) for other in OTHERS]
                    others.append((name, {str: 1, int: True, bool: 1}[type(value)]))
                for other in others:
                    with self.subTest(event.kind, other=other):
                        self.assertIsNone(read([*members[:n], other, *members[n + 1 :]], ""))

    def test_a_lone_surrogate_can_only_come_from_an_escape(self) -> None:
        read = reader(StepToken)
        for content, is_read in (("\ud800", False), ("é", True), ("x", True)):
            members: list[tuple[str, Any]] = [("kind", "step_token"), ("step_name", "S")]
            members += [("content", content), ("token_index", 1), ("timestamp_ms", 2)]
            self.assertEqual(read(members, r"\u") is not None, is_read)

    def test_a_zero_counts_only_without_a_minus_zero_in_the_document(self) -> None:
        members = list(to_dict(StepToken("S", "x", 0, 1)).items())
        read = reader(StepToken)
        self.assertEqual(read(members, "0"), StepToken("S", "x", 0, 1))
        self.assertIsNone(read(members, "-0"))


class Numbers(unittest.TestCase):
    def test_an_int_is_shown_by_its_size_if_it_is_huge(self) -> None:
        for value, text in ((0, "0"), (-7, "-7"), (2**128 - 1, str(2**128 - 1))):
            self.assertEqual(format_int(value), text)
        self.assertEqual(format_int(2**128), "an int of 129 bits")
        self.assertEqual(format_int(-(10**9999)), "an int of 33216 bits")


if __name__ == "__main__":
    unittest.main()
