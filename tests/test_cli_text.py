# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Text for a terminal: measured, cut, padded and wrapped in columns, not in characters."""

import random
import unittest

from axon_events.cli.text import columns, count, date, escaped, fit, how_long, pad, wrap

from . import effort


class Fit(unittest.TestCase):
    def test_text_is_cut_by_the_columns_it_takes(self) -> None:
        for text, width, expected in (
            ("", 0, ""),
            ("abc", None, "abc"),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("abcd", 1, "…"),
            ("äbc", 3, "äbc"),
            ("äbcd", 3, "äb…"),
            # Wide characters take two columns, so that one may be left.
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("日本語x", 6, "日本…"),
            # Combining marks and joiners take none, and stay with what they belong to.
            ("e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"),
            ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
            ("a\u200db", 2, "a\u200db"),
            ("😀😀", 3, "😀…"),
            # What may make the character before it wide counts as if it did.
            ("⚠\ufe0fx", 2, "⚠…"),
        ):
            with self.subTest(text=text, width=width):
                self.assertEqual(fit(text, width), expected)


class Columns(unittest.TestCase):
    def test_columns(self) -> None:
        for text, expected in (("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1), ("⚠\ufe0f", 2)):
            self.assertEqual(columns(text), expected, text)

    def test_padding(self) -> None:
        for text, expected in (
            ("abc", "abc "),
            ("日", "日  "),
            ("日本語", "日… "),
            ("abcde", "abc…"),
        ):
            self.assertEqual(pad(text, 4), expected)
            self.assertEqual(columns(pad(text, 4)), 4)


class Escaped(unittest.TestCase):
    def test_what_is_not_printable_has_its_escape(self) -> None:
        for text, expected in (
            ("Grüße, 日本 'e\u0301' \\", "Grüße, 日本 'e\u0301' \\"),
            ("\x1b[31m\r\n\t\0", "\\x1b[31m\\r\\n\\t\\x00"),
            ("a\u2028\u202e\u200d\x9b", "a\\u2028\\u202e\\u200d\\x9b"),
        ):
            self.assertEqual(escaped(text), expected)
            self.assertTrue(escaped(text).isprintable())


class Wrap(unittest.TestCase):
    def test_lines_break_at_spaces_where_there_are_any(self) -> None:
        for text, expected in (
            ("", [""]),
            ("one", ["one"]),
            ("one two three", ["one two", "three"]),
            ("one two  three", ["one two", "three"]),
            ("one twotwo", ["one", "twotwo"]),
            ("oneonetwotwo", ["oneonetw", "otwo"]),
            ("a oneonetwotwo", ["a", "oneonetw", "otwo"]),
            ("    one two", ["    one", "two"]),
            ("日本語日本語", ["日本語日", "本語"]),
            ("日 本語日本", ["日", "本語日本"]),
            ("e\u0301" * 9, ["e\u0301" * 8, "e\u0301"]),
        ):
            with self.subTest(text):
                self.assertEqual(list(wrap(text, 8)), expected)

    def test_no_line_is_too_wide_and_nothing_but_spaces_is_lost(self) -> None:
        rng = random.Random(3)
        for _ in range(effort.rounds(500, 2000)):
            text = "".join(rng.choice("ab日e\u0301 ") for _ in range(rng.randint(0, 40)))
            width = rng.randint(2, 12)
            wrapped = list(wrap(text, width))
            with self.subTest(text=text, width=width):
                self.assertLessEqual(max(map(columns, wrapped)), width)
                self.assertEqual("".join(wrapped).replace(" ", ""), text.replace(" ", ""))


class Date(unittest.TestCase):
    def test_what_a_clock_may_say(self) -> None:
        # By `date -u -d @SECONDS`.
        for ms, expected in (
            (0, "1970-01-01 00:00:00 UTC"),
            (1_700_000_000_999, "2023-11-14 22:13:20 UTC"),
            (253_402_300_799_999, "9999-12-31 23:59:59 UTC"),
            (253_402_300_800_000, "253402300800000 ms after 1970"),
            (2**64 - 1, "18446744073709551615 ms after 1970"),
        ):
            self.assertEqual(date(ms), expected)


class HowLong(unittest.TestCase):
    def test_it_is_rounded_down(self) -> None:
        for ms, expected in (
            (999, "999ms"),
            (59_999, "59.99s"),
            (3_599_999, "59m59s"),
            (3 * 3_600_000 + 119_999, "3h01m"),
        ):
            self.assertEqual(how_long(ms), expected)


class Count(unittest.TestCase):
    def test_one_is_singular(self) -> None:
        self.assertEqual([count(n, "step") for n in range(3)], ["0 steps", "1 step", "2 steps"])


if __name__ == "__main__":
    unittest.main()
