# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The self-contained page: its events are data, and nothing else may run or be asked for.

The gate `browser` looks at it in Chromium.
"""

import base64
import hashlib
import json
import re
import unittest
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

from axon_events import Event, FlowError, FlowStart, StepToken, jsonl, to_dict
from axon_events.cli import page

from . import CORPUS

HOSTILE = (
    "</script><script>document.title = 'owned'</script>",
    "</SCRIPT\n>",
    "<!--<script>",
    "-->]]>",
    "\u2028\u2029\x00\x1f\x7f\x85\ufeff\ufffe",
    '"\'`\\\\\\"',
    "&lt;&#60;&amp;",
    r"\u003c/script>",
    "<img src=x onerror=alert(1)>",
    "\U0001f600\ud7ff\ue000",
)


class Elements(HTMLParser):
    """The elements of a page: name, attributes and, of scripts, the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts.append(data)


class SelfContained(unittest.TestCase):
    def test_the_recorded_flows_are_in_it_as_they_are(self) -> None:
        for path in sorted((CORPUS / "recorded").glob("*.jsonl")):
            with self.subTest(path.name), open(path, "rb") as file:
                events = list(jsonl.read(file))
                self.assertEqual(self.events(events), [to_dict(event) for event in events])

    def events(self, events: list[Event]) -> object:
        """Return the events that the page of these has; its one other script is its own."""
        data, script = Elements(page.self_contained(events)).scripts
        self.assertEqual(script, Elements(page.source()).scripts[0])
        return json.loads(data)

    def test_hostile_texts_stay_data(self) -> None:
        for text in HOSTILE:
            events: list[Event] = [
                FlowStart(text, text, 1),
                StepToken(text, text, 1, 2),
                FlowError(text, text, 3),
            ]
            with self.subTest(text):
                self.assertEqual(self.events(events), [to_dict(event) for event in events])
                # Beside the markup of the page itself there is none.
                whole, empty = (len(Elements(page.self_contained(e)).tags) for e in (events, []))
                self.assertEqual(whole, empty)

    def test_its_title_is_the_name_of_the_flow(self) -> None:
        for text in ("Report", *HOSTILE):
            page_of_it = page.self_contained([FlowError("x", "y", 0), FlowStart(text, "test", 1)])
            self.assertIn(f"\n<title>{escape(text)}</title>\n", page_of_it)
        self.assertIn("\n<title>axon_events</title>\n", page.self_contained([]))

    def test_its_policy_allows_its_own_script_and_style_alone(self) -> None:
        text = page.self_contained([FlowStart("Report", "test", 1)], notes=['a "b"', "<c>\u20ac"])
        tags = Elements(text).tags
        names = [name for name, _ in tags]
        (policy,) = (
            attributes["content"] or ""
            for name, attributes in tags
            if name == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        )
        # Before anything that it judges.
        self.assertEqual(names[:4], ["html", "head", "meta", "meta"])
        self.assertIn(policy, text[: text.index("<style>")])
        expected = {
            "default-src": "'none'",
            "img-src": "data:",
            "base-uri": "'none'",
            "form-action": "'none'",
        }
        for tag in ("script", "style"):
            (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
            digest = hashlib.sha256(content.encode()).digest()
            expected[f"{tag}-src"] = f"'sha256-{base64.b64encode(digest).decode()}'"
        self.assertEqual(dict(part.split(" ", 1) for part in policy.split("; ")), expected)
        self.assertIn(
            (
                "script",
                {
                    "type": "application/json",
                    "id": "recording",
                    "data-notes": 'a "b"\n<c>\u20ac',
                },
            ),
            tags,
        )

    def test_it_names_no_resource(self) -> None:
        for name, attributes in Elements(page.self_contained([])).tags:
            for attribute in ("src", "href", "srcset", "action", "style", "onload", "onclick"):
                value = attributes.get(attribute)
                self.assertIn(value, (None, "data:,"), f"{name} {attribute}")
        self.assertNotRegex(page.source(), r"url\(|@import|https?://")

    def test_a_copy_without_the_page_says_so(self) -> None:
        nowhere = FileNotFoundError("as a zip raises it")
        for there in (Path("no such folder"), mock.Mock()):
            if isinstance(there, mock.Mock):
                there.joinpath.return_value.read_text.side_effect = nowhere
            with (
                mock.patch.object(page, "files", return_value=there),
                self.assertRaises(OSError) as caught,
            ):
                page.source()
            self.assertEqual(caught.exception.filename, "page.html, of this package")
            self.assertIsInstance(caught.exception.strerror, str)


if __name__ == "__main__":
    unittest.main()
