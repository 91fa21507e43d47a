# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The codec: what it writes, what it accepts, and that its two readers have one verdict."""

import dataclasses
import enum
import json
import random
import unittest
from collections.abc import Mapping
from json.scanner import c_make_scanner  # type: ignore[attr-defined]  # typeshed lacks it
from types import MappingProxyType
from typing import Any

from axon_events import (
    EVENT_TYPES,
    DecodeError,
    Event,
    FlowError,
    StepComplete,
    StepToken,
    ToolCall,
    _codec,
    _strict,
    from_dict,
    from_json,
    to_dict,
    to_json,
)

from .effort import rounds
from .samples import EVENTS, U64_MAX, random_event
from .test_strict import INTEGER, MEMBERS
from .wire import TOKEN, WIRE, decoded, edited, with_unknown

HAS_C_SCANNER = c_make_scanner is not None


class Writing(unittest.TestCase):
    # What the bytes must be is in the corpus, which the reference writes: tests/test_corpus.py.

    def test_the_encoders_agree_with_the_fields(self) -> None:
        seed = 20261122
        rng = random.Random(seed)
        for _ in range(rounds(200, 2000)):
            event = random_event(rng)
            members = {"kind": event.kind}
            members |= {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
            with self.subTest(event=event, seed=seed):
                self.assertEqual(
                    to_json(event), json.dumps(members, ensure_ascii=False, separators=(",", ":"))
                )
                self.assertEqual(list(to_dict(event).items()), list(members.items()))

    def test_every_variant_has_its_encoder(self) -> None:
        self.assertEqual(list(_codec._ENCODERS), list(EVENT_TYPES.values()))

    def test_anything_but_an_event_is_a_type_error(self) -> None:
        others: list[Any] = [None, {}, "x", StepToken, 1]
        for other in others:
            for name, function in (("to_json", to_json), ("to_dict", to_dict)):
                with self.subTest(function=name, other=other):
                    with self.assertRaises(TypeError) as caught:
                        function(other)
                    self.assertEqual(
                        str(caught.exception),
                        f"{name} takes an event, got {type(other).__name__}",
                    )

    def test_to_dict_gives_a_new_dict_each_time(self) -> None:
        first = to_dict(TOKEN)
        first["content"] = "changed"
        self.assertEqual(to_dict(TOKEN)["content"], "Hello")


class Accepted(unittest.TestCase):
    def test_every_type_of_document(self) -> None:
        wire = WIRE.encode()

        class Document(str):
            pass

        class Bytes(bytes):
            def __bytes__(self) -> bytes:
                raise AssertionError("it is the buffer that counts")

        documents: list[Any] = [
            WIRE,
            Document(WIRE),
            wire,
            Bytes(wire),
            bytearray(wire),
            memoryview(wire),
            memoryview(wire * 2)[: len(wire)],
            memoryview(bytes(byte for byte in wire for _ in (0, 1)))[::2],
        ]
        for document in documents:
            with self.subTest(type(document).__name__):
                self.assertEqual(from_json(document), TOKEN)

    def test_a_bytearray_is_not_kept(self) -> None:
        document = bytearray(WIRE.encode())
        event = from_json(document)
        document[:] = b"x"
        self.assertEqual(event, TOKEN)

    def test_other_forms_of_the_same_event(self) -> None:
        members = json.loads(WIRE)
        backwards = dict(reversed(list(members.items())))
        forms = {
            "keys in another order": json.dumps(backwards),
            "kind last": json.dumps({k: members[k] for k in [*list(members)[1:], "kind"]}),
            "whitespace": "\t\r\n " + json.dumps(members, indent="\t\r ") + " \n\r\t",
            "escaped keys and kind": edited('"kind":"step', r'"\u006B\u0069nd":"\u0073tep').replace(
                "content", r"c\u006fntent"
            ),
            "escaped text": edited("Hello", r"\u0048\u0065llo"),
            "no spaces but an unknown field": with_unknown("1"),
        }
        for name, document in forms.items():
            with self.subTest(name):
                self.assertEqual(from_json(document), TOKEN)
                self.assertEqual(from_json(document.encode()), TOKEN)

    def test_every_escape(self) -> None:
        for escape, text in {
            r"\"\\\/\b\f\n\r\t": '"\\/\b\f\n\r\t',
            r"\u0000\u001f\u007f": "\0\x1f\x7f",
            r"\u00e9\u20AC\uFFFF\ufeff": "é€\uffff\ufeff",
            r"\ud83d\uDE00": "😀",
            r"\uDBFF\udfff": "\U0010ffff",
            r"\\ud800": "\\ud800",
        }.items():
            for document in (edited("Hello", escape), edited("Hello", escape) + " "):
                with self.subTest(escape):
                    event = from_json(document)
                    self.assertEqual(event, dataclasses.replace(TOKEN, content=text))

    def test_escapes_in_every_string_of_a_canonical_document(self) -> None:
        event = ToolCall('a"b', "c\\d\n", "{\t}", 1)
        self.assertIn("\\", to_json(event))
        self.assertEqual(from_json(to_json(event)), event)

    def test_unknown_fields_of_any_shape_also_repeated(self) -> None:
        for value in (
            "null",
            "true",
            "-0",
            "1e308",
            "1.5E-400",
            "0e99999999999",
            "9" * 308,
            '"\\ud83d\\ude00"',
            "[]",
            "{}",
            '[1,[2,{"a":[]}],{}]',
            '{"a":1,"a":2,"kind":3}',
            ' [ 1 , { "b" : null } , [ ] , { } ] ',
            '1,"unknown":2,"unknown":"x"',
        ):
            with self.subTest(value):
                self.assertEqual(from_json(with_unknown(value)), TOKEN)

    def test_all_of_u64(self) -> None:
        for number in (0, 1, 9, 10**18, 10**19 - 1, 10**19, 2**63, U64_MAX):
            with self.subTest(number):
                event = from_json(edited(":7,", f":{number},"))
                self.assertEqual(event, dataclasses.replace(TOKEN, token_index=number))

    def test_levels_of_nesting_up_to_the_limit(self) -> None:
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            value = opening * 125 + "[]" + closing * 125
            self.assertEqual(from_json(with_unknown(value)), TOKEN)

    def test_numbers_up_to_the_largest_double(self) -> None:
        for number in ("1e308", "1.7976931348623157e308", "-1.7976931348623157e+308", "9" * 308):
            with self.subTest(number):
                self.assertEqual(from_json(with_unknown(number)), TOKEN)

    def test_names_of_any_length(self) -> None:
        for length in (100, 399, 400, 401, 1000):
            for event in (StepToken("x" * length, "", 1, 2), FlowError("é" * length, "", 3)):
                self.assertEqual(from_json(to_json(event)), event)


class Dicts(unittest.TestCase):
    def refused(self, data: Any) -> tuple[str, str, str | None]:
        with self.assertRaises(DecodeError) as caught:
            from_dict(data)
        error = caught.exception
        self.assertEqual((error.pos, error.lineno, error.colno), (None, None, None))
        return error.reason, error.message, error.field

    def test_there_and_back(self) -> None:
        for event in EVENTS:
            self.assertEqual(from_dict(to_dict(event)), event)
            self.assertEqual(from_dict(MappingProxyType(to_dict(event))), event)
            unknown: Mapping[str, object] = {"unknown": ["\ud800", 1e400], **to_dict(event)}
            self.assertEqual(from_dict(unknown), event)

    def test_it_refuses_what_from_json_refuses(self) -> None:
        checked = 0
        for name, (document, reason, expected, got, kind, field, _) in MEMBERS.items():
            if reason in ("duplicate-field", "not-an-object") or "-0" in name:
                continue
            with self.subTest(name), self.assertRaises(DecodeError) as caught:
                from_dict(json.loads(document))
            error = caught.exception
            self.assertEqual(
                (error.reason, error.message, error.kind, error.field),
                (reason, f"expected {expected}, got {got}", kind, field),
            )
            checked += 1
        self.assertEqual(checked, 17)

    def test_anything_but_a_mapping(self) -> None:
        for data, got in (
            (None, "null"),
            (1, "1"),
            ("x", "the string 'x'"),
            ([], "an array"),
            ((), "an array"),
            (TOKEN, "a value of type StepToken"),
        ):
            self.assertEqual(
                self.refused(data), ("not-an-object", f"expected a mapping, got {got}", None)
            )

    def test_a_key_that_is_no_string(self) -> None:
        self.assertEqual(
            self.refused({**to_dict(TOKEN), 1: 2}),
            ("wrong-type", "expected keys of type str, got 1", None),
        )

    def test_values_that_json_does_not_have(self) -> None:
        for name, value, reason, got in (
            ("content", b"Hello", "wrong-type", "a value of type bytes"),
            ("content", "\ud800", "not-utf8", "the string '\\ud800'"),
            ("token_index", 10**5000, "out-of-range", "an int of 16610 bits"),
            ("token_index", TOKEN, "wrong-type", "a value of type StepToken"),
            ("timestamp_ms", False, "wrong-type", "false"),
        ):
            expected = INTEGER if name != "content" else "a string"
            if reason == "not-utf8":
                expected = "text without lone surrogates"
            with self.subTest(name, value=str(type(value))):
                self.assertEqual(
                    self.refused({**to_dict(TOKEN), name: value}),
                    (reason, f"expected {expected} as StepToken.{name}, got {got}", name),
                )

    def test_subclasses_of_str_and_int_are_plain_in_the_event(self) -> None:
        class Kind(str, enum.Enum):
            TOKEN = "step_token"

        class Index(enum.IntEnum):
            SEVEN = 7

        data: Mapping[str, object] = {
            **to_dict(TOKEN),
            "kind": Kind.TOKEN,
            "token_index": Index.SEVEN,
        }
        event = from_dict(data)
        self.assertEqual(repr(event), repr(TOKEN))


class TwoReaders(unittest.TestCase):
    """Both readers have one verdict; the quick one returns None where it is not certain."""

    def check(self, document: str, expected: Event | None, *, is_quick: bool) -> None:
        """Check what both make of a document (None: refuse it), and whether the quick one does."""
        with self.subTest(document[:300]):
            outcome = decoded(document)
            if expected is None:
                self.assertIsInstance(outcome, DecodeError)
            else:
                self.assertEqual(repr(outcome), repr(expected))
                self.assertEqual(repr(_strict.read_strict(document)), repr(expected))
            if HAS_C_SCANNER or expected is None:
                quick = expected if is_quick else None
                self.assertEqual(repr(_codec._read_quick(document)), repr(quick))

    def test_text_of_any_length(self) -> None:
        for length in (0, 1, 250, 400, 10_000):
            for unit in ("x", "é", "\n", '"', "😀"):
                event = StepComplete("S", 1, False, unit * length, 1, 2, 3)
                self.check(to_json(event), event, is_quick=True)

    def test_members_in_any_form(self) -> None:
        members = [*to_dict(TOKEN).items(), ("more", None), ("yet", False), ("\n", -5), ("x", 0.5)]
        for indent in (None, 0, 1, "\t", "\r\n "):
            for order in (members, members[::-1], members[:5], members[1:4] + members[:1]):
                for space in ("", " ", "\t\r\n"):
                    document = space + json.dumps(dict(order), indent=indent) + space
                    event = None if len(order) == 4 else TOKEN
                    self.check(document, event, is_quick=event is not None)

    def test_escapes_in_a_token(self) -> None:
        head = '{"kind":"step_token","step_name":"é","content":"'
        tail = '","token_index":7,"timestamp_ms":1700000000000}'
        self.assertEqual(decoded(head + tail), StepToken("é", "", 7, 1700000000000))
        for content in (
            "y",
            "é😀",
            r"\"\\\/\b\f\n\r\t",
            r"a\n\u0001",
            r"\ud83d\ude00",
            r"\u00e9\n",
        ):
            expected = StepToken("é", json.loads(f'"{content}"'), 7, 1700000000000)
            self.check(head + content + tail, expected, is_quick=True)
        for content in (r"\ud800", r"é\ud800", r"\ude00\ud83d", r"\x", r"\u12", "\n", '"', "\\"):
            self.check(head + content + tail, None, is_quick=False)
        for number in ("07", "-7", "7.0", "-0", str(2**64), "1e1", "NaN"):
            self.check(edited(":7,", f":{number},"), None, is_quick=False)

    def test_a_zero_beside_a_minus_zero(self) -> None:
        zero = dataclasses.replace(TOKEN, token_index=0)
        for index in ("0", " 0"):
            self.check(edited(":7,", f":{index},"), zero, is_quick=True)
        self.check(edited(":7,", ":-0,"), None, is_quick=False)
        self.check(edited(":7,", ': 0,"more":-0,'), zero, is_quick=False)
        self.check(edited(":7,", ': 7,"more":-0,'), TOKEN, is_quick=True)
        day = dataclasses.replace(zero, content="2026-01-01")
        self.check(to_json(day).replace(":0,", ": 0,"), day, is_quick=False)

    def test_unknown_members_that_the_scanner_takes_and_the_reference_does_not(self) -> None:
        for value in (
            "NaN",
            "-Infinity",
            "1e400",
            "9" * 309,
            r'"\ud800"',
            r'["\ud800"]',
            "[" * 130,
        ):
            self.check(with_unknown(value), None, is_quick=False)
        self.check(with_unknown(r'1,"\udc00":1'), None, is_quick=False)
        for value in ("1e308", "9" * 308, "[1]", '{"a":1}', '1,"unknown":2', str(2**64)):
            self.check(with_unknown(value), TOKEN, is_quick=False)
        for value in ("1.5", "-1", "true", "null", '"x"', r'"\ud83d\ude00"', str(2**64 - 1)):
            self.check(with_unknown(value), TOKEN, is_quick=True)

    def test_a_large_document(self) -> None:
        for size, is_quick in ((2**20, True), (2**20 + 1, False)):
            text = "x" * (size - len(edited("Hello", "")))
            event = dataclasses.replace(TOKEN, content=text)
            self.check(to_json(event), event, is_quick=is_quick)


if __name__ == "__main__":
    unittest.main()
