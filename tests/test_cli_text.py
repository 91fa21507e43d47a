# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Text for a terminal: cut to a width in columns, not in characters."""

import unittest

from axon_events.cli.text import fit


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
        ):
            with self.subTest(text=text, width=width):
                self.assertEqual(fit(text, width), expected)


if __name__ == "__main__":
    unittest.main()
