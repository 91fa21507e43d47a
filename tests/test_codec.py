# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The codec: what it writes, what it accepts, and every reason for which it refuses."""

import copy
import dataclasses
import enum
import json
import pickle
import random
import sys
import unittest
from collections.abc import Callable, Mapping
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

HAS_C_SCANNER = c_make_scanner is not None

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


# What each kind of fault is called. A row has the document, what was expected, what came, and
# the text that stands where the fault lies (None: the end); of members also kind and field.
END = "the end of the document"
INTEGER = "an integer from 0 to 18446744073709551615"
KIND = (
    "one of flow_start, step_start, step_token, step_complete, tool_call, flow_complete,"
    " flow_error as kind"
)
NAME = "a field's name in double quotes"
ESCAPE = 'one of "\\/bfnrtu after the backslash'
DOUBLE = "a number that a double can hold"
NINES = "9" * 309
NOT_JSON: dict[str, tuple[str, str, str, str | None]] = {
    "nothing": ("", "a value", END, None),
    "space only": (" \n", "a value", END, None),
    "byte order mark": ("\ufeff{}", "a value", "'\\ufeff{}'", "\ufeff"),
    "NaN": ('{"a":NaN}', "a value", "'NaN}'", "NaN"),
    "Infinity": ('{"a":-Infinity}', "a value", "'-Infinity}'", "-Infinity"),
    "plus sign": ('{"a":+1}', "a value", "'+1}'", "+1"),
    "no digit before the point": ('{"a":.5}', "a value", "'.5}'", ".5"),
    "misspelt literal": ('{"a":tru}', "a value", "'tru}'", "tru"),
    "single quotes": ("{'a':1}", NAME, repr("'a':1}"), "'a'"),
    "trailing text": (WIRE + " ?", END, "'?'", "?"),
    "second document": ('{"a":1}{}', END, "'{}'", "{}"),
    "cut": (WIRE[:-1], '"," or "}"', END, None),
    "cut in a string": ('{"kind":"step_to', "a closing quote", END, None),
    "cut in an escape": ('{"kind":"\\', ESCAPE, repr("\\"), "\\"),
    "no quotes around a name": ("{a:1}", NAME, "'a:1}'", "a"),
    "trailing comma in an object": ('{"a":1,}', NAME, "'}'", "}"),
    "trailing comma in an array": ('{"a":[1,]}', "a value", "']}'", "]"),
    "no colon": ('{"kind" 1}', '":" after a field\'s name', "'1}'", "1}"),
    "no comma in an object": ('{"a":1 "b":2}', '"," or "}"', "'\"b\":2}'", '"b"'),
    "no comma in an array": ('{"a":[1 2]}', '"," or "]"', "'2]}'", "2]"),
    "no comma in an inner object": ('{"a":{"b":1 2}}', '"," or "}"', "'2}}'", "2}"),
    "wrong bracket": ('{"a":[1}', '"," or "]"', "'}'", "}"),
    "leading zero": ('{"a":01}', '"," or "}"', "'1}'", "1}"),
    "no digit after the point": ('{"a":1.}', '"," or "}"', "'.}'", "."),
    "raw control character": (
        '{"a":"\n"}',
        "control characters to be escaped",
        "'\\n\"}'",
        "\n",
    ),
    "unknown escape": ('{"a":"\\x41"}', ESCAPE, "'\\\\x41\"}'", "\\"),
    "short escape": (
        '{"a":"\\u00e"}',
        "four hexadecimal digits after \\u",
        "'\\\\u00e\"}'",
        "\\",
    ),
    "lone surrogate after a pair": (
        '{"a":"\\ud83d\\ude00\\ud800"}',
        "surrogates in pairs",
        "'\\\\ud800\"}'",
        "\\ud800",
    ),
    "lone low surrogate": (
        '{"\\uDFFF":1}',
        "surrogates in pairs",
        "'\\\\uDFFF\":1}'",
        "\\uDFFF",
    ),
    "double that overflows": ('{"a":-1e309}', DOUBLE, "'-1e309}'", "-1e309"),
    "309 nines": (f'{{"a":{NINES}}}', DOUBLE, f"'{NINES[:40]}'…", NINES),
    "too many levels": ('{"a":' + "[" * 126 + "{", "at most 127 levels of nesting", "more", "[{"),
}
TOKEN_KIND = "step_token"
COMPLETE = to_json(EVENTS[3])
MEMBERS: dict[str, tuple[str, str, str, str, str | None, str | None, str]] = {
    "array": ("[1]", "not-an-object", "an object", "an array", None, None, "["),
    "array form that the reference takes": (
        ' ["flow_error","f","e",1]',
        "not-an-object",
        "an object",
        "an array",
        None,
        None,
        "[",
    ),
    "string": ('"a"', "not-an-object", "an object", "the string 'a'", None, None, '"a'),
    "number": ("1.0", "not-an-object", "an object", "1.0", None, None, "1.0"),
    "literal": ("null ", "not-an-object", "an object", "null", None, None, "null"),
    "no kind": ("{}", "missing-kind", 'a field "kind"', "none", None, "kind", "}"),
    "unknown kind": (
        edited('"step_token"', '"step_tokens"'),
        "unknown-kind",
        KIND,
        "the string 'step_tokens'",
        "step_tokens",
        "kind",
        '"step_tokens"',
    ),
    "kind that is no string": (
        edited('"step_token"', "2"),
        "unknown-kind",
        KIND,
        "2",
        None,
        "kind",
        "2,",
    ),
    "kind twice": (
        edited('"content"', '"kind":"x","content"'),
        "duplicate-field",
        '"kind" once',
        "it again",
        None,
        "kind",
        '"kind":"x"',
    ),
    "field absent": (
        edited('"content":"Hello",', ""),
        "missing-field",
        "a string as StepToken.content",
        "no such field",
        TOKEN_KIND,
        "content",
        "}",
    ),
    "field three times": (
        edited(':7,"', ':7,"content":"a","content":2,"'),
        "duplicate-field",
        "StepToken.content once",
        "it again",
        TOKEN_KIND,
        "content",
        '"content":"a"',
    ),
    "1 for a bool": (
        COMPLETE.replace("true", "1"),
        "wrong-type",
        "true or false as StepComplete.success",
        "1",
        "step_complete",
        "success",
        '1,"full',
    ),
    '"true" for a bool': (
        COMPLETE.replace("true", '"true"'),
        "wrong-type",
        "true or false as StepComplete.success",
        "the string 'true'",
        "step_complete",
        "success",
        '"true"',
    ),
    **{
        f"{given} for a string": (
            edited('"Hello"', given),
            "wrong-type",
            "a string as StepToken.content",
            got,
            TOKEN_KIND,
            "content",
            f'{given},"token_index"',
        )
        for given, got in (("[]", "an array"), ('{"a":{}}', "an object"), ("1", "1"))
    },
    **{
        f"{given[:25]} for an integer": (
            edited(":7,", f": {given},"),
            reason,
            f"{INTEGER} as StepToken.token_index",
            got,
            TOKEN_KIND,
            "token_index",
            f'{given},"timestamp_ms"',
        )
        for given, reason, got in (
            ('"7"', "wrong-type", "the string '7'"),
            ("true", "wrong-type", "true"),
            ("null", "wrong-type", "null"),
            ("1.0", "wrong-type", "1.0"),
            ("1e2", "wrong-type", "100.0"),
            ("-0", "wrong-type", "-0.0"),
            ("-1", "out-of-range", "-1"),
            ("18446744073709551616", "out-of-range", "18446744073709551616"),
            ("9" * 308, "out-of-range", "an int of 1024 bits"),
        )
    },
}


class Refused(unittest.TestCase):
    def check(self, document: str, start: int, reason: str, message: str) -> DecodeError:
        """Check the refusal of a document whose fault lies at `start`, also on a third line."""
        for prefix in ("", "\n \n  "):
            if prefix and document.startswith("\ufeff"):
                continue
            before = (prefix + document)[: len(prefix) + start]
            error = refused(prefix + document)
            self.assertEqual((error.reason, error.message), (reason, message))
            self.assertEqual(error.pos, len(before))
            self.assertEqual(error.lineno, before.count("\n") + 1)
            self.assertEqual(error.colno, len(before.rpartition("\n")[2]) + 1)
            place = f"(line {error.lineno}, column {error.colno})"
            self.assertEqual(str(error), f"{reason}: {message} {place}")
        return error

    def test_what_is_not_json(self) -> None:
        for name, (document, expected, got, at) in NOT_JSON.items():
            with self.subTest(name):
                start = len(document) if at is None else document.index(at)
                if name == "too many levels":
                    start += 1
                error = self.check(document, start, "not-json", f"expected {expected}, got {got}")
                self.assertEqual((error.kind, error.field), (None, None))

    def test_what_is_json_but_no_event(self) -> None:
        for name, (document, reason, expected, got, kind, field, at) in MEMBERS.items():
            with self.subTest(name):
                error = self.check(
                    document, document.index(at), reason, f"expected {expected}, got {got}"
                )
                self.assertEqual((error.kind, error.field), (kind, field))

    def test_the_position_is_in_bytes_for_bytes(self) -> None:
        document = edited("Hello", "é😀") + "\n\n€ "
        in_text, in_bytes = refused(document), refused(document.encode())
        self.assertEqual(in_text.message, "expected the end of the document, got '€ '")
        self.assertEqual(in_bytes.message, in_text.message)
        size = len(document)
        self.assertEqual((in_text.pos, in_text.lineno, in_text.colno), (size - 2, 3, 1))
        size = len(document.encode())
        self.assertEqual((in_bytes.pos, in_bytes.lineno, in_bytes.colno), (size - 4, 3, 1))
        document = edited("Hello", "é😀")
        tail = refused(document.encode() + b"x")
        end = len(document.encode())
        self.assertEqual((tail.pos, tail.lineno, tail.colno), (end, 1, end + 1))

    def test_bytes_that_are_not_utf8(self) -> None:
        for name, piece, byte in (
            ("a lone continuation", b"\x80", "0x80"),
            ("an overlong slash", b"\xc0\xaf", "0xc0"),
            ("an encoded surrogate", b"\xed\xa0\x80", "0xed"),
            ("above U+10FFFF", b"\xf4\x90\x80\x80", "0xf4"),
            ("a cut sequence", b"\xe2\x82", "0xe2"),
            ("latin-1", b"caf\xe9", "0xe9"),
        ):
            document = b"\n" + WIRE.encode().replace(b"Hello", "é".encode() + piece)
            pos = document.index(piece.lstrip(b"caf"))
            with self.subTest(name):
                error = refused(document)
                self.assertEqual(error.reason, "not-utf8")
                self.assertEqual(error.message, f"expected UTF-8, got the byte {byte}")
                self.assertEqual((error.pos, error.lineno, error.colno), (pos, 2, pos))

    def test_text_that_utf8_cannot_write(self) -> None:
        for document in (edited("Hello", "a\ud800"), edited("Hello", "a\ud800") + " "):
            error = refused(document)
            self.assertEqual(
                str(error),
                "not-utf8: expected text without lone surrogates, got U+D800 (line 1, column 58)",
            )
            self.assertEqual(error.pos, 57)

    def test_a_document_that_is_not_json_is_called_nothing_else(self) -> None:
        for document in ('{"kind":"fresh"', "[1", '{"kind":1,"kind":2', WIRE[:-1] + ',"content":'):
            error = refused(document)
            self.assertEqual(error.reason, "not-json", document)

    def test_kinds_of_hashable_and_unhashable_values(self) -> None:
        for value in ("[]", "{}", "null", "true", "1.5"):
            error = refused(edited('"step_token"', value))
            self.assertEqual(error.reason, "unknown-kind", value)

    def test_another_type_of_document_is_a_type_error(self) -> None:
        others: list[Any] = [None, 1, {}, [WIRE], TOKEN]
        for document in others:
            with self.subTest(type(document).__name__):
                with self.assertRaises(TypeError) as caught:
                    from_json(document)
                self.assertEqual(
                    str(caught.exception),
                    "from_json takes a str, bytes, bytearray or memoryview,"
                    f" got {type(document).__name__}",
                )


class TheError(unittest.TestCase):
    FULL = DecodeError("wrong-type", "expected a, got b", "step_token", "content", 3, 1, 4)

    def test_it_is_a_value_error_with_its_facts(self) -> None:
        self.assertIsInstance(self.FULL, ValueError)
        self.assertEqual(str(self.FULL), "wrong-type: expected a, got b (line 1, column 4)")
        bare = DecodeError("not-json", "expected a, got b")
        self.assertEqual(str(bare), "not-json: expected a, got b")
        for name in ("kind", "field", "pos", "lineno", "colno"):
            self.assertIsNone(getattr(bare, name))

    def test_it_pickles_and_copies(self) -> None:
        copiers: list[Callable[[DecodeError], DecodeError]] = [copy.copy, copy.deepcopy]
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            copiers.append(lambda e, p=protocol: pickle.loads(pickle.dumps(e, p)))  # type: ignore[misc]
        for copier in copiers:
            for error in (self.FULL, refused("{}"), refused(b"\xff")):
                again = copier(error)
                self.assertIs(type(again), DecodeError)
                self.assertEqual(vars(again), vars(error))
                self.assertEqual(str(again), str(error))

    def test_its_text_is_one_line_and_quotes_little(self) -> None:
        noise = "\n\r\t\x1b[31m\u202e\u2028" * 20 + "y" * 1000
        for document in (
            noise,
            '{"kind":' + json.dumps(noise) + "}",
            edited('"Hello"', "1").replace("Summarise", noise),
            json.dumps({**json.loads(WIRE), "token_index": noise}),
            json.dumps({"kind": noise, noise: noise}),
        ):
            error = decoded(document)
            with self.subTest(document[:20]):
                self.assertIsInstance(error, DecodeError)
                self.assertTrue(str(error).isprintable(), error)
                # At most 60 characters of the input, of which each may be an escape of six.
                self.assertLess(len(str(error)), 300 + 60 * 6)
                self.assertLessEqual(str(error).count("y"), 60)


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


class Hostile(unittest.TestCase):
    """Never anything but an event or a DecodeError."""

    def test_every_byte_at_every_position(self) -> None:
        sample = to_json(StepComplete("é", 1, True, 'a"\n', 2, 3, 4)).encode()
        seed = 20261123
        rng = random.Random(seed)
        tried = rounds(12, 256)
        events = 0
        for position in range(len(sample)):
            for byte in rng.sample(range(256), tried):
                document = sample[:position] + bytes([byte]) + sample[position + 1 :]
                outcome = decoded(document)
                events += not isinstance(outcome, DecodeError)
        self.assertGreater(events, len(sample) * tried // 256, f"seed {seed}")

    def test_every_truncation(self) -> None:
        for event in EVENTS:
            document = to_json(event).encode()
            for end in range(len(document)):
                self.assertIsInstance(decoded(document[:end]), DecodeError)

    def test_deep_nesting(self) -> None:
        for unit in ("[", '{"a":', '[{"a":', "]", "}"):
            for document in (unit * 100_000, with_unknown(unit * 100_000)):
                with self.subTest(document[:10]):
                    error = refused(document)
                    self.assertEqual(error.reason, "not-json")

    def test_nesting_needs_no_stack_of_the_caller(self) -> None:
        document = with_unknown("[" * 126 + "]" * 126)

        def at_depth(frames: int) -> Event:
            return at_depth(frames - 1) if frames else from_json(document)

        here = 0
        frame: Any = sys._getframe()
        while frame is not None:
            here, frame = here + 1, frame.f_back
        self.assertEqual(at_depth(sys.getrecursionlimit() - here - 40), TOKEN)

    def test_long_numbers(self) -> None:
        digits = "9" * 1_000_000
        for number, accepted in (
            (digits, False),
            (f"-{digits}", False),
            (f"0.{digits}", True),
            (f"1e-{digits}", True),
            (f"1e{digits}", False),
            (f"{digits}e-1000000", True),
        ):
            with self.subTest(number[:5]):
                outcome = decoded(with_unknown(number))
                if accepted:
                    self.assertEqual(outcome, TOKEN)
                else:
                    self.assertEqual(getattr(outcome, "reason", None), "not-json")

    def test_a_huge_string(self) -> None:
        size = rounds(5_000_000, 100_000_000)
        event = from_json(edited("Hello", "x" * size))
        if not isinstance(event, StepToken):
            self.fail("not a token")
        self.assertEqual(len(event.content), size)
        del event
        error = refused(edited("Hello", "x" * size)[:-40])
        self.assertEqual(error.reason, "not-json")

    def test_many_escapes(self) -> None:
        count = rounds(50_000, 1_000_000)
        event = from_json(edited("Hello", "\\n" * count))
        self.assertEqual(event, dataclasses.replace(TOKEN, content="\n" * count))
        error = refused(edited("Hello", "\\n" * count + "\\x"))
        self.assertEqual(error.reason, "not-json")

    def test_many_fields(self) -> None:
        count = rounds(3_000, 50_000)
        fields = ",".join(f'"{n}":{n}' for n in range(count))
        self.assertEqual(from_json(edited('"token_index"', fields + ',"token_index"')), TOKEN)
        repeated = '"content":1,' * count
        error = refused(edited('"token_index"', repeated + '"token_index"'))
        self.assertEqual(error.reason, "duplicate-field")


if __name__ == "__main__":
    unittest.main()
