# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The pictures of the README: they show what `show` prints today, and ask for nothing outside."""

import os
import re
import struct
import unittest
from unittest import mock
from xml.etree import ElementTree

from . import PACKAGE, ROOT
from .terminal import Run

FOLDER = ROOT / "docs" / "pictures"


@unittest.skipIf(PACKAGE != "axon_events", "a copy of the tests has no pictures")
class Pictures(unittest.TestCase):
    def printed(self) -> str:
        from tools import pictures  # here, since a copy of the tests has no tools

        with mock.patch.dict(os.environ, {"TERM": "xterm"}):
            os.environ.pop("NO_COLOR", None)
            return Run("show", ROOT / pictures.RECORDING, columns=pictures.COLUMNS).out

    def test_the_terminal_shows_what_show_prints_today(self) -> None:
        from tools import pictures

        for name, theme in pictures.THEMES.items():
            drawn = (FOLDER / f"show-{name}.svg").read_text("utf-8")
            self.assertEqual(drawn, pictures.svg(self.printed(), theme), "run make pictures")

    def test_its_text_is_text_in_the_order_of_the_lines(self) -> None:
        from tools import pictures

        command = f"$ python3 -m axon_events show {pictures.RECORDING}"
        plain = re.sub(r"\x1b\[\d*m", "", self.printed())
        for name in pictures.THEMES:
            root = ElementTree.parse(FOLDER / f"show-{name}.svg").getroot()
            drawn = "".join(root.itertext())
            self.assertEqual("".join(drawn.split()), "".join((command + plain).split()))

    def test_styles_and_columns_are_those_of_the_terminal(self) -> None:
        from tools import pictures

        theme = pictures.THEMES["light"]
        drawn = pictures.svg("\x1b[1mA <&\x1b[m  \x1b[31m🌍 x\x1b[m\x1b[2m\x1b[m  y\n", theme)
        elements = list(ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text"))[2:]
        first, second, third = elements
        self.assertEqual([e.text for e in elements], ["A <&", "🌍 x", "y"])
        self.assertEqual(first.get("font-weight"), "bold")
        self.assertEqual(second.get("fill"), "#cf222e")
        self.assertIsNone(third.get("fill"))
        # Cells of 8.4 pixels: 4, 2 spaces, 4 with the wide emoji, 2 spaces.
        self.assertEqual([e.get("x") for e in elements], ["16.0", "66.4", "116.8"])
        self.assertEqual(second.get("textLength"), "33.6")

    def test_nothing_outside_is_asked_for(self) -> None:
        for path in FOLDER.glob("*.svg"):
            rest = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
            self.assertNotRegex(rest, r"http|href|url\(|<style|<script")

    def test_the_page_is_small(self) -> None:
        for name in ("light", "dark"):
            png = (FOLDER / f"page-{name}.png").read_bytes()
            self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")
            width, height = struct.unpack(">II", png[16:24])
            self.assertEqual(width, 840)
            self.assertLess(height, 900)
            self.assertLess(len(png), 150_000)


if __name__ == "__main__":
    unittest.main()
