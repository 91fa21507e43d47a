# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The corpus: every entry written and read to the bytes of the Rust reference, both ways."""

import json
import re
import unittest
from collections import Counter
from typing import Any

from axon_events import EVENT_TYPES, DecodeError, Event, from_dict, from_json, to_dict, to_json

from . import CORPUS

U64 = ["0", "1", "2^32", "2^53", "2^53+1", "2^63", "2^64-1"]


def entries() -> list[dict[str, Any]]:
    corpus: list[dict[str, Any]] = json.loads((CORPUS / "corpus.json").read_bytes())["entries"]
    if len(corpus) < 60:
        raise AssertionError(f"the corpus has only {len(corpus)} entries")
    return corpus


class Entries(unittest.TestCase):
    def test_what_is_written_is_the_wire(self) -> None:
        for entry in entries():
            with self.subTest(entry["name"]):
                event = from_dict(entry["expected_json"])
                self.assertEqual(type(event).__name__, entry["variant"])
                self.assertEqual(to_json(event).encode(), entry["wire"].encode())

    def test_what_is_read_is_the_expected(self) -> None:
        for entry in entries():
            with self.subTest(entry["name"]):
                event = from_json(entry["wire"])
                self.assertEqual(from_json(entry["wire"].encode()), event)
                self.assertEqual(type(event).__name__, entry["variant"])
                # By repr, since 1 == True.
                self.assertEqual(repr(to_dict(event)), repr(entry["expected_json"]))

    def test_names_are_unique(self) -> None:
        names = Counter(entry["name"] for entry in entries())
        self.assertEqual([name for name, times in names.items() if times > 1], [])

    def test_each_variant_each_string_each_limit_and_each_bool_has_its_entry(self) -> None:
        wires = {entry["name"]: entry["expected_json"] for entry in entries()}
        characters = {
            "quote": '"',
            "backslash": "\\",
            "controls": "".join(map(chr, range(0x20))),
            "u007f": "\x7f",
            "u0085": "\x85",
            "u00a0": "\xa0",
            "u2028": "\u2028",
            "u2029": "\u2029",
            "ufeff": "\ufeff",
            "ufffd": "\ufffd",
            "uffff": "\uffff",
            "emoji": "\u200d",
            "right-to-left": "\u05e9",
            "combining": "\u0301",
            "astral": "\U0010ffff",
            "script-end": "</script>",
            "slash": "/",
            "literal-surrogate-escape": "\\ud800",
        }
        for kind, cls in EVENT_TYPES.items():
            self.assertIn(kind, wires)
            sample: Event = from_dict(wires[kind])
            for name in cls.__match_args__:
                value = getattr(sample, name)
                if isinstance(value, bool):
                    given = {wires[f"{kind}.{name}-{word}"][name] for word in ("true", "false")}
                    self.assertEqual(given, {True, False})
                elif isinstance(value, int):
                    for power in U64:
                        number = eval(power.replace("^", "**"))
                        self.assertEqual(wires[f"{kind}.{name}-{power}"][name], number)
                else:
                    self.assertEqual(wires[f"{kind}.{name}-empty"][name], "")
                    for case, text in characters.items():
                        with self.subTest(kind, field=name, case=case):
                            self.assertIn(text, wires[f"{kind}.{name}-{case}"][name])
        self.assertIsInstance(json.loads(wires["tool_call.content-json"]["content"]), dict)
        self.assertEqual(
            wires["step_token-smallest"],
            {
                "kind": "step_token",
                "step_name": "",
                "content": "",
                "token_index": 0,
                "timestamp_ms": 0,
            },
        )


class Cases(unittest.TestCase):
    """decode.json: `reason` is ours, the rest is the reference's."""

    def cases(self) -> list[dict[str, Any]]:
        cases: list[dict[str, Any]] = json.loads((CORPUS / "decode.json").read_bytes())["cases"]
        self.assertGreaterEqual(len(cases), 250)
        return cases

    def test_every_case_is_decided_as_it_says(self) -> None:
        for case in self.cases():
            document = bytes.fromhex(case["input_hex"]) if "input_hex" in case else case["input"]
            with self.subTest(case["name"]):
                if "reason" in case:
                    with self.assertRaises(DecodeError) as caught:
                        from_json(document)
                    self.assertEqual(caught.exception.reason, case["reason"])
                elif case["verdict"] == "accept":
                    self.assertEqual(to_json(from_json(document)), case["canonical"])
                else:
                    self.assertTrue(case["exception"])
                    from_json(document)

    def test_only_the_declared_exceptions_depart_from_the_reference(self) -> None:
        exceptions = set()
        for case in self.cases():
            with self.subTest(case["name"]):
                refused = "reason" in case
                self.assertEqual(refused != (case["verdict"] == "reject"), "exception" in case)
                self.assertEqual("canonical" in case, case["verdict"] == "accept")
            if "exception" in case:
                exceptions.add(case.get("reason", "accepted"))
                declared = case["name"].startswith(("types.top-level-array", "numbers.edge-"))
                self.assertTrue(declared, case["name"])
        self.assertEqual(exceptions, {"not-an-object", "not-json", "accepted"})

    def test_every_reason_and_every_group_has_its_cases(self) -> None:
        reasons = Counter(case["reason"] for case in self.cases() if "reason" in case)
        self.assertEqual(len(reasons), 9)
        groups = Counter(case["name"].partition(".")[0] for case in self.cases())
        self.assertEqual(
            set(groups),
            {
                "syntax",
                "strings",
                "numbers",
                "unknown-fields",
                "duplicates",
                "missing",
                "types",
                "ranges",
                "kind",
                "nesting",
                "encoding",
                "whitespace",
                "key-order",
            },
        )


class Versions(unittest.TestCase):
    def test_the_files_name_the_versions_that_cargo_has_locked(self) -> None:
        lock = (CORPUS / "reference" / "Cargo.lock").read_text("utf-8")
        locked = dict(re.findall(r'^name = "(.*)"\nversion = "(.*)"$', lock, re.M))
        for name in ("corpus.json", "decode.json"):
            versions = json.loads((CORPUS / name).read_bytes())["reference"]
            self.assertEqual(list(versions), ["serde", "serde_json", "tokio"])
            self.assertLessEqual(versions.items(), locked.items(), name)


class Recorded(unittest.TestCase):
    def events(self, name: str) -> list[Event]:
        lines = (CORPUS / "recorded" / f"{name}.jsonl").read_bytes().split(b"\n")
        self.assertEqual(lines.pop(), b"", "the last line has its end")
        events = []
        for number, line in enumerate(lines, 1):
            with self.subTest(name, line=number):
                event = from_json(line)
                self.assertEqual(to_json(event).encode(), line)
                events.append(event)
        return events

    def test_every_line_is_read_and_written_to_the_same_bytes(self) -> None:
        recordings = sorted(path.stem for path in (CORPUS / "recorded").glob("*.jsonl"))
        self.assertGreaterEqual(len(recordings), 3)
        for name in recordings:
            self.assertGreater(len(self.events(name)), 5)

    def kinds(self, name: str) -> Counter[str]:
        return Counter(event.kind for event in self.events(name))

    def test_the_streamed_flow(self) -> None:
        kinds = self.kinds("report")
        self.assertGreater(kinds["step_token"], 500)
        self.assertGreater(kinds["step_complete"], 2)
        self.assertGreater(kinds["tool_call"], 0)
        self.assertEqual(kinds["flow_complete"], 1)

    def test_the_flow_that_fails_in_its_second_step(self) -> None:
        events = self.events("failed")
        completed = [to_dict(event) for event in events if event.kind == "step_complete"]
        self.assertEqual([step["success"] for step in completed], [True, False])
        self.assertEqual([event.kind for event in events[-2:]], ["step_complete", "flow_error"])

    def test_the_flow_of_a_backend_that_does_not_stream(self) -> None:
        kinds = self.kinds("unstreamed")
        self.assertEqual(kinds["step_token"], kinds["step_complete"])
        self.assertEqual(kinds["flow_complete"], 1)


if __name__ == "__main__":
    unittest.main()
