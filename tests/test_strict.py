# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The strict reader: every reason for which it refuses, where, and that nothing upsets it."""

import copy
import dataclasses
import json
import pickle
import random
import sys
import tracemalloc
import unittest
from collections.abc import Callable
from json.decoder import py_scanstring  # type: ignore[attr-defined]  # typeshed lacks it
from typing import Any
from unittest import mock

from axon_events import (
    DecodeError,
    Event,
    StepComplete,
    StepToken,
    from_json,
    to_json,
)

from .effort import long_form, rounds
from .samples import EVENTS
from .wire import TOKEN, WIRE, decoded, edited, refused, with_unknown

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
        error = refused("é\n😀\ud800")
        self.assertEqual((error.pos, error.lineno, error.colno), (3, 2, 2))

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


class WithoutTheCScanner(Refused):
    """The same where `json` has only its scanner in Python, which takes more than JSON has."""

    def setUp(self) -> None:
        for name, value in (
            ("_strict._IS_LENIENT", True),
            ("_strict.decoder.scanstring", py_scanstring),
            ("_codec._scan", None),
        ):
            patch = mock.patch(f"axon_events.{name}", value)
            patch.start()
            self.addCleanup(patch.stop)

    def test_hexadecimal_digits_that_only_int_takes(self) -> None:
        for digits in ("+0e9", " 0e9", "0_e9", "\uff10\uff10\uff14\uff11"):
            error = refused(edited("Hello", f"\\u{digits}"))
            expected = "expected four hexadecimal digits after \\u, got "
            self.assertTrue(error.message.startswith(expected), error.message)

    def test_sound_strings(self) -> None:
        for escaped, text in ((r"\u00e9\n\"\\", 'é\n"\\'), (r"\ud83d\ude00", "😀"), ("é", "é")):
            event = decoded(edited("Hello", escaped) + " ")
            self.assertEqual(event, dataclasses.replace(TOKEN, content=text))


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

    @long_form
    def test_unknown_arrays_take_little_memory(self) -> None:
        # Around the largest document that the scanner gets, which builds them.
        for count in (2**20 // 3 - 60, 2**20 // 3):
            document = with_unknown("[" + "[]," * count + "0]").encode()
            tracemalloc.start()
            try:
                self.assertEqual(from_json(document), TOKEN)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            self.assertLess(peak, len(document) + 30 * 2**20)


if __name__ == "__main__":
    unittest.main()
