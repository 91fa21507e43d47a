# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`cli.conformance`: `verify` names whatever is not as the corpus says."""

import json
import tempfile
import unittest
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import axon_events
from axon_events import to_json
from axon_events.cli import record
from axon_events.sse import Decoder, Frame

from .corpora import LISTS, loaded, part_of, write_part
from .samples import EVENTS
from .terminal import Run

VERSION = f"axon_events {axon_events.__version__}"


def setUpModule() -> None:
    # The copy under test may have a record; what verify says then: test_cli_verify.
    without_record = mock.patch.object(record, "edits", return_value=None)
    without_record.start()
    unittest.addModuleCleanup(without_record.stop)


class Edited(unittest.TestCase):
    """Each on a copy of a part of the corpus with one edit."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name) / "corpus"
        write_part(self.folder)

    def edit(self, edit: Callable[[Any], object], name: str = "corpus.json") -> Run:
        corpus = part_of(name)
        edit(corpus)
        (self.folder / name).write_text(json.dumps(corpus), encoding="utf-8")
        return Run("verify", self.folder)

    def test_a_byte_of_a_wire(self) -> None:
        def edit(corpus: Any) -> None:
            entry = corpus["entries"][0]
            entry["wire"] = entry["wire"].replace('"backend"', '"bäckend"')

        run = self.edit(edit)
        self.assertEqual(run.status, 1)
        self.assertIn(
            "corpus.json: flow_start: written, the first difference is at byte 54:\n"
            '  expected e":"Quarterly report","b\\xc3\\xa4ckend":"anthropic","timestamp_ms":1767\n'
            '  actual   e":"Quarterly report","backend":"anthropic","timestamp_ms":17672\n'
            "           " + " " * 24 + "^\n",
            run.out,
        )
        self.assertIn("corpus.json: flow_start: wire: missing-field: ", run.out)
        self.assertTrue(run.out.endswith(f"{VERSION} differs from the corpus: 2 differences\n"))

    def test_differences_as_json(self) -> None:
        (self.folder / "decode.json").write_bytes(b"")
        run = Run("verify", self.folder, "--json")
        self.assertEqual(run.status, 1)
        result = json.loads(run.out)
        self.assertIs(result["agrees"], False)
        self.assertEqual(
            [(found["file"], found["case"]) for found in result["differences"]],
            [("decode.json", "")],
        )

    def test_a_value_of_an_expected_json(self) -> None:
        def edit(corpus: Any) -> None:
            corpus["entries"][3]["expected_json"]["success"] = False

        run = self.edit(edit)
        self.assertEqual(run.status, 1)
        self.assertIn("corpus.json: step_complete: written, the first difference is at", run.out)
        self.assertIn("corpus.json: step_complete: read, the first difference is at", run.out)

    def test_a_wire_that_goes_on(self) -> None:
        def edit(corpus: Any) -> None:
            corpus["entries"][0]["wire"] += "  "

        run = self.edit(edit)
        self.assertEqual(run.status, 1)
        self.assertEqual(run.out.count("first difference"), 1)

    def test_other_faults_of_an_entry(self) -> None:
        def renamed(entry: Any) -> None:
            entry["variant"] = "FlowEnd"

        def without_wire(entry: Any) -> None:
            del entry["wire"]

        def unknown_kind(entry: Any) -> None:
            entry["expected_json"]["kind"] = "flow_end"

        cases: list[tuple[Callable[[Any], None], str]] = [
            (renamed, "flow_start: expected the variant FlowEnd, got FlowStart"),
            (without_wire, "flow_start: expected an object with variant, expected_json and wire"),
            (unknown_kind, "flow_start: expected_json: unknown-kind: "),
        ]
        for edit_entry, text in cases:
            with self.subTest(text):

                def edit(corpus: Any, edit_entry: Callable[[Any], None] = edit_entry) -> None:
                    edit_entry(corpus["entries"][0])

                run = self.edit(edit)
                self.assertEqual(run.status, 1)
                self.assertIn(f"corpus.json: {text}", run.out)

    def test_entries_that_are_no_entries(self) -> None:
        run = self.edit(lambda corpus: corpus["entries"].extend([None, {"name": 1}, "x"]))
        self.assertEqual(run.status, 1)
        self.assertEqual(run.out.count(": expected an object with a name\n"), 3)

    def test_a_wire_that_is_no_text(self) -> None:
        def edit(corpus: Any) -> None:
            corpus["entries"][0]["wire"] = 1
            corpus["entries"][1]["wire"] = "\ud800"

        run = self.edit(edit)
        self.assertEqual(run.status, 1)
        self.assertIn("flow_start: expected an object with variant, expected_json and", run.out)
        self.assertIn("step_start: wire: not-utf8: expected text without lone surrog", run.out)

    def test_a_file_without_what_it_is_for(self) -> None:
        for edit, text in (
            (lambda corpus: corpus["entries"].clear(), "expected entries, got none"),
            (lambda corpus: corpus.clear(), "expected an object with format 1, got none"),
            (
                lambda corpus: corpus.update(format=True),
                "expected an object with format 1, got none",
            ),
            (
                lambda corpus: corpus.update(format=2),
                "expected format 1, which is all that axon_events"
                f" {axon_events.__version__} knows, got format 2: this copy is too old or too new"
                " to judge",
            ),
        ):
            with self.subTest(text):
                run = self.edit(edit)
                self.assertEqual(run.status, 1)
                self.assertIn(f"corpus.json: {text}\ncorpus.json: 0 entries\n", run.out)
                self.assertTrue(run.out.endswith(": 1 difference\n"))

    def test_a_file_that_is_cut_or_empty(self) -> None:
        for name, lists in Counter(name for name, _ in LISTS).items():
            path = self.folder / name
            whole = path.read_bytes()
            for content in (whole[:1000], b"", b"\xff", b"[" * 100_000, b"[]"):
                path.write_bytes(content)
                run = Run("verify", self.folder)
                with self.subTest(name, content=content[:10]):
                    self.assertEqual(run.status, 1)
                    self.assertEqual(("\n" + run.out).count(f"\n{name}: 0 "), lists)
                    self.assertIn(f"differs from the corpus: {lists} difference", run.out)
            path.write_bytes(whole)

    def test_a_name_used_twice(self) -> None:
        for name, what in LISTS:
            taken = loaded(name)[what][0]["name"]

            def edit(corpus: Any, what: str = what) -> None:
                corpus[what].append(corpus[what][0])

            run = self.edit(edit, name)
            self.assertEqual(run.status, 1)
            text = "expected a name of its own, got one that is taken"
            self.assertIn(f"{name}: {taken}: {text}\n", run.out)

    def test_a_corpus_without_a_variant_or_a_reference(self) -> None:
        def edit(corpus: Any) -> None:
            del corpus["reference"]
            corpus["entries"] = [e for e in corpus["entries"] if e["variant"] != "FlowError"]

        run = self.edit(edit)
        self.assertEqual(run.status, 1)
        self.assertIn(
            "corpus.json: expected the variant FlowError not at all, got it with kind, flow_name,"
            " error, timestamp_ms\n",
            run.out,
        )
        self.assertIn("entries (format 1)\n", run.out)

    def decided(self, **changes: object) -> str:
        """Return what is said of the first accepted case with these changes."""

        def edit(corpus: Any) -> None:
            case = next(case for case in corpus["cases"] if case["verdict"] == "accept")
            case.update({"name": "changed", **changes})
            for key in [key for key, value in case.items() if value is None]:
                del case[key]

        run = self.edit(edit, "decode.json")
        self.assertEqual(run.status, 1)
        return run.out

    def test_a_case_of_decode_json(self) -> None:
        self.assertIn(
            "decode.json: changed: expected it refused as not-json, got {",
            self.decided(reason="not-json"),
        )
        self.assertIn(
            "decode.json: changed: expected it accepted, got missing-kind: ",
            self.decided(input="{}"),
        )
        self.assertIn(
            "decode.json: changed: expected it refused as wrong-type, got missing-kind: ",
            self.decided(input="{}", reason="wrong-type"),
        )
        self.assertIn(
            "decode.json: changed: written again, the first difference is at byte 0:",
            self.decided(canonical="x"),
        )
        self.assertIn(
            "decode.json: changed: expected a verdict, accept or reject", self.decided(verdict=1)
        )
        for document in ({"input": None}, {"input": 1}, {"input": None, "input_hex": "0g"}):
            self.assertIn(
                "decode.json: changed: expected an object with input, a text, or input_hex,",
                self.decided(**document),
            )

    def test_a_case_of_decode_json_that_contradicts_itself(self) -> None:
        canonical = "expected a canonical text exactly where the verdict is accept"
        reason = "expected a reason exactly where the verdict is reject, or exception: true"
        for changes, text in (
            ({"verdict": "reject"}, canonical),
            ({"verdict": "reject", "canonical": None}, reason),
            ({"canonical": None}, canonical),
            ({"canonical": 5}, canonical),
            ({"exception": True}, reason),
            ({"input": "{}", "reason": "missing-kind"}, reason),
        ):
            with self.subTest(changes):
                self.assertIn(f"decode.json: changed: {text}\n", self.decided(**changes))

    def test_a_case_of_streams_json(self) -> None:
        case = {"name": "x", "options": {}, "events": [], "outcome": "truncated"}
        missing = "expected options, events, outcome and violations, got "
        for changes, text in (
            ({"violations": [], "outcome": "failed"}, "judged, the first difference is at byte 13"),
            ({"violations": []}, "judged, the first difference is at byte 40"),
            ({}, f"{missing}KeyError('violations')"),
            ({"options": {"allow": ["x"]}}, f"{missing}ValueError("),
            ({"options": {"fresh": 1}}, f"{missing}TypeError("),
            ({"options": 1}, f"{missing}TypeError("),
            ({"events": ["{}"]}, f"{missing}DecodeError('missing-kind', "),
        ):

            def edit(corpus: Any, changes: dict[str, Any] = changes) -> None:
                corpus["cases"].append({**case, **changes})

            with self.subTest(text):
                run = self.edit(edit, "streams.json")
                self.assertEqual(run.status, 1)
                self.assertIn(f"streams.json: x: {text}", run.out)

    def with_cases(self, what: str, case: dict[str, Any], edits: list[dict[str, Any]]) -> str:
        """Return what is said of sse.json if a list has this case with each edit, `x0`, `x1`…

        A value `...` takes the key away.
        """

        def edit(corpus: Any) -> None:
            corpus[what] = [
                {key: value for key, value in {**case, **changes}.items() if value is not ...}
                | {"name": f"x{number}"}
                for number, changes in enumerate(edits)
            ]

        run = self.edit(edit, "sse.json")
        self.assertEqual(run.status, 1)
        return run.out

    def test_a_case_of_sse_json_to_decode(self) -> None:
        frame = {"id": "1", "event": "message", "data": "a"}
        digits = b"id: 1\nretry: 1\ndata: a\n\n".hex()
        case = {
            "input_hex": digits,
            "frames": [frame],
            "last_event_id": "1",
            "retry": 1,
            "discarded": False,
        }
        differing: list[dict[str, Any]] = [
            {"frames": []},
            {"frames": [frame, frame]},
            {"frames": [{**frame, "id": ""}]},
            {"frames": [{**frame, "event": ""}]},
            {"frames": [{**frame, "data": "\ud800"}]},
            {"frames": [{**frame, "more": 1}]},
            {"frames": 5},
            {"last_event_id": ""},
            {"last_event_id": None},
            {"retry": None},
            {"retry": True},
            {"discarded": True},
            {"input_hex": digits + b"x".hex()},
            {"input_hex": ""},
        ]
        out = self.with_cases("decode", case, [{}, *differing])
        self.assertNotIn(" x0: ", out)
        for number, changes in enumerate(differing, 1):
            for how in ("whole", "byte by byte"):
                with self.subTest(changes, how=how):
                    text = f"sse.json: x{number}: read {how}, the first difference is at "
                    self.assertIn(text, out)
        self.assertIn(f"differs from the corpus: {2 * len(differing)} differences\n", out)

        faulty: list[dict[str, Any]] = [{key: ...} for key in case]
        faulty += [{"input_hex": other} for other in ("0g", 5, None)]
        out = self.with_cases("decode", case, faulty)
        missing = "expected input_hex, frames, last_event_id, retry and discarded, got "
        for number in range(len(faulty)):
            self.assertIn(f"sse.json: x{number}: {missing}", out)
        self.assertIn(f"{missing}KeyError('retry')\n", out)

    def test_a_decoder_that_depends_on_the_cuts(self) -> None:
        feed = Decoder.feed

        def feed_wrongly(decoder: Decoder, chunk: bytes) -> list[Frame]:
            return feed(decoder, chunk.replace(b"\r\n", b"\n\n"))

        with mock.patch.object(Decoder, "feed", feed_wrongly):
            run = Run("verify", self.folder)
        self.assertIn("sse.json: lines.crlf-is-one-end: read whole, the first", run.out)
        self.assertNotIn("sse.json: lines.crlf-is-one-end: read byte by byte", run.out)

    def test_a_case_of_sse_json_to_encode(self) -> None:
        wire = to_json(EVENTS[0])
        case = {
            "stream_id": "run",
            "events": [wire],
            "bytes_hex": f"id: run:0.1\nevent: flow_start\ndata: {wire}\n\n".encode().hex(),
        }
        missing = "expected stream_id, events and bytes_hex, got "
        differs = "written, the first difference is at byte "
        edits: list[tuple[dict[str, Any], str]] = [
            ({"stream_id": None}, f"{differs}4:\n  expected id: run:0.1\\x0aevent"),
            ({"stream_id": "ran"}, f"{differs}5:\n"),
            ({"events": []}, f"{differs}0:\n"),
            ({"bytes_hex": "ff"}, f"{differs}0:\n  expected \\xff\n"),
            ({"stream_id": ""}, f"{missing}ValueError("),
            ({"stream_id": 5}, f"{missing}TypeError("),
            ({"stream_id": ...}, f"{missing}KeyError('stream_id')\n"),
            ({"events": ["{}"]}, f"{missing}DecodeError('missing-kind', "),
            ({"events": None}, f"{missing}TypeError("),
            ({"events": ...}, f"{missing}KeyError('events')\n"),
            ({"bytes_hex": "0g"}, f"{missing}ValueError("),
            ({"bytes_hex": None}, f"{missing}TypeError("),
            ({"bytes_hex": ...}, f"{missing}KeyError('bytes_hex')\n"),
        ]
        out = self.with_cases("encode", case, [{}, *(changes for changes, _ in edits)])
        self.assertNotIn(" x0: ", out)
        for number, (changes, text) in enumerate(edits, 1):
            with self.subTest(changes):
                self.assertIn(f"sse.json: x{number}: {text}", out)
        self.assertIn(f"differs from the corpus: {len(edits)} differences\n", out)

    def test_a_recording(self) -> None:
        path = self.folder / "recorded" / "failed.jsonl"
        line = to_json(EVENTS[0]).encode()
        for content, text in (
            (line + b"\n\n", "failed.jsonl: line 2: not-json: expected a value, got the end"),
            (line[:-1] + b"\n", 'failed.jsonl: line 1: not-json: expected "," or "}"'),
            (line, "failed.jsonl: line 1: written again, the first difference is at byte 93:"),
            (b"", "failed.jsonl: line 1: not-json: expected a value, got the end"),
            (
                line.replace(b":", b": ", 1) + b"\n",
                "failed.jsonl: line 1: written again, the first ",
            ),
        ):
            with self.subTest(text):
                path.write_bytes(content)
                run = Run("verify", self.folder)
                self.assertEqual(run.status, 1)
                self.assertIn(f"recorded/{text}", run.out)

    def test_no_recordings(self) -> None:
        for path in (self.folder / "recorded").iterdir():
            path.unlink()
        run = Run("verify", self.folder)
        self.assertEqual(run.status, 1)
        self.assertIn("recorded: expected recordings, got none", run.out)


if __name__ == "__main__":
    unittest.main()
