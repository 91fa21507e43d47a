# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What events do under pydantic and FastAPI, whatever their versions.

    python -m unittest tests.gates.frameworks.checks

The interpreter must have both, uvicorn and orjson: the gate makes one that has.
"""

import contextlib
import dataclasses
import http.client
import inspect
import io
import json
import re
import subprocess
import sys
import unittest
from typing import Annotated, Any, ClassVar

import orjson  # pyright: ignore[reportMissingImports]
import pydantic  # pyright: ignore[reportMissingImports]
from pydantic import TypeAdapter, ValidationError  # pyright: ignore[reportMissingImports]

from axon_events import (
    EVENT_TYPES,
    DecodeError,
    Event,
    FlowError,
    FlowExecutionEvent,
    FlowStart,
    StepToken,
    from_dict,
    from_json,
    to_dict,
    to_json,
)

from ... import CORPUS, ROOT
from ...host import blocks
from ...samples import EVENTS, U64_MAX

DISCRIMINATED: Any = Annotated[Event, pydantic.Field(discriminator="kind")]
ANY: dict[str, Any] = {
    "Event": Event,
    "FlowExecutionEvent": FlowExecutionEvent,
    "discriminated": DISCRIMINATED,
}
TOKEN = '{"kind":"step_token","step_name":"S","content":"x","token_index":1,"timestamp_ms":0}'
# Of TOKEN: what to put in the place of what, and the code of the error.
FAULTS = (
    ('"token_index":1', '"token_index":-1', "out-of-range"),
    ('"token_index":1', '"token_index":"1"', "wrong-type"),
    ('"token_index":1', '"token_index":1.0', "wrong-type"),
    ('"token_index":1', '"token_index":true', "wrong-type"),
    ('"token_index":1', '"token_index":null', "wrong-type"),
    ('"token_index":1', '"token_index":18446744073709551616', "out-of-range"),
    ('"token_index":1', '"token":1', "missing-field"),
    ('"content":"x"', '"content":1', "wrong-type"),
)
WRONG_KINDS = (
    ('"kind":"step_token"', '"kind":"step"'),
    ('"kind":"step_token"', '"kind":null'),
    ('"kind":"step_token"', '"kind":["step_token"]'),
    ('"kind":"step_token"', '"kind":"flow_start"'),
    ('"kind":"step_token",', ""),
)


def corpus(name: str, key: str) -> list[dict[str, Any]]:
    """Return the cases of a file of the corpus."""
    cases: list[dict[str, Any]] = json.loads((CORPUS / name).read_bytes())[key]
    if len(cases) < 50:
        raise AssertionError(f"{name}: found only {len(cases)}")
    return cases


class Reading(unittest.TestCase):
    def test_an_event_stays_the_same_object(self) -> None:
        for event in EVENTS:
            for annotation in (*ANY.values(), type(event)):
                self.assertIs(TypeAdapter(annotation).validate_python(event), event)

    def test_the_right_variant_comes_out(self) -> None:
        for entry in corpus("corpus.json", "entries"):
            expected = from_json(entry["wire"])
            for annotation in (*ANY.values(), type(expected)):
                adapter = adapter_of(annotation)
                with self.subTest(entry["name"], annotation=annotation):
                    for strict in (False, True):
                        read = adapter.validate_python(entry["expected_json"], strict=strict)
                        self.assertEqual((type(read), read), (type(expected), expected))
                        read = adapter.validate_json(entry["wire"], strict=strict)
                        self.assertEqual((type(read), read), (type(expected), expected))

    def test_a_parsed_document_is_judged_as_by_from_dict(self) -> None:
        for case in corpus("decode.json", "cases"):
            try:
                document = json.loads(case.get("input") or bytes.fromhex(case["input_hex"]))
            except (KeyError, ValueError):
                continue
            try:
                expected = from_dict(document)
            except DecodeError as error:
                with self.subTest(case["name"]):
                    for annotation in ANY.values():
                        with self.assertRaises(ValidationError):
                            adapter_of(annotation).validate_python(document)
                    with self.assertRaises(ValidationError) as caught:
                        adapter_of(FlowExecutionEvent).validate_python(document)
                    (fault,) = caught.exception.errors()
                    self.assertEqual((fault["type"], fault["msg"]), (error.reason, error.message))
                    self.assertEqual(fault["loc"], (error.field,) if error.field else ())
            else:
                with self.subTest(case["name"]):
                    for annotation in (*ANY.values(), type(expected)):
                        read = adapter_of(annotation).validate_python(document)
                        self.assertEqual((type(read), read), (type(expected), expected))

    def test_what_the_reference_accepts_validate_json_accepts(self) -> None:
        for case in corpus("decode.json", "cases"):
            if "canonical" in case and "reason" not in case:
                document = case.get("input") or bytes.fromhex(case["input_hex"])
                with self.subTest(case["name"]):
                    read = adapter_of(Event).validate_json(document)
                    self.assertEqual(to_json(read), case["canonical"])

    def test_faults(self) -> None:
        for old, new, code in FAULTS:
            text = TOKEN.replace(old, new)
            for name, annotation in {**ANY, "StepToken": StepToken}.items():
                for strict in (False, True):
                    with self.subTest(new, annotation=name, strict=strict):
                        for fault in (
                            faults(annotation, json.loads(text), strict=strict)[-1],
                            faults(annotation, text, strict=strict)[-1],
                        ):
                            if name != "Event":
                                self.assertEqual(fault["type"], code)

    def test_kinds(self) -> None:
        for old, new in WRONG_KINDS:
            text = TOKEN.replace(old, new)
            for name, annotation in {**ANY, "StepToken": StepToken}.items():
                with self.subTest(new, annotation=name):
                    faults(annotation, text)
                    faults(annotation, json.loads(text))
        (fault,) = faults(FlowStart, FlowError("Report", "x", 0))
        self.assertEqual(fault["msg"], "expected flow_start, got the string 'flow_error'")

    def test_the_error_of_a_union_can_be_read(self) -> None:
        document = {"kind": "flow_error", "flow_name": "R", "error": "x", "timestamp_ms": -1}
        found = faults(Event, document)
        self.assertEqual(len(found), 7)
        for fault in found[:-1]:
            self.assertEqual(fault["type"], "kind-mismatch")
            self.assertRegex(fault["msg"], r"\Aexpected \w+, got the string 'flow_error'\Z")
        self.assertEqual(found[-1]["type"], "out-of-range")
        self.assertEqual(found[-1]["loc"], ("function-wrap[FlowError()]", "timestamp_ms"))
        message = (
            "expected an integer from 0 to 18446744073709551615 as FlowError.timestamp_ms, got -1"
        )
        self.assertEqual((found[-1]["msg"], found[-1]["input"]), (message, -1))
        for annotation, place in (
            (DISCRIMINATED, ("flow_error", "timestamp_ms")),
            (FlowExecutionEvent, ("timestamp_ms",)),
            (FlowError, ("timestamp_ms",)),
        ):
            (fault,) = faults(annotation, document)
            self.assertEqual((fault["msg"], fault["loc"]), (message, place))

    def test_the_document_of_the_bug_report(self) -> None:
        document = {
            "kind": "flow_error",
            "step_name": "S",
            "content": "x",
            "token_index": -1,
            "timestamp_ms": 0,
        }
        with self.assertRaisesRegex(ValidationError, r"as FlowError\.flow_name, got no such field"):
            TypeAdapter(Event).validate_python(document)

    def test_an_error_of_hostile_input_can_be_printed(self) -> None:
        for value in (
            "\ud800",
            float("nan"),
            10**5000,
            -(10**5000),
            ["\ud800"],
            "x" * 10**6,
            b"\xff",
        ):
            document = {**json.loads(TOKEN), "token_index": value}
            for annotation in ANY.values():
                with self.assertRaises(ValidationError) as caught:
                    TypeAdapter(annotation).validate_python(document)
                self.assertIn("token_index", str(caught.exception))

    def test_what_the_parser_has_lost_is_not_seen(self) -> None:
        # As docs/events.md says.
        for text in (
            TOKEN.replace('"token_index":1', '"token_index":1,"token_index":1'),
            TOKEN.replace('"token_index":1', '"token_index":-0'),
        ):
            self.assertRaises(DecodeError, from_json, text)
            self.assertIsInstance(adapter_of(Event).validate_json(text), StepToken)


class Writing(unittest.TestCase):
    def test_the_bytes_are_those_of_the_reference(self) -> None:
        for entry in corpus("corpus.json", "entries"):
            event = from_json(entry["wire"])
            for annotation in (*ANY.values(), type(event)):
                with self.subTest(entry["name"], annotation=annotation):
                    adapter = adapter_of(annotation)
                    self.assertEqual(adapter.dump_json(event), entry["wire"].encode())
                    for mode in ("python", "json"):
                        written = adapter.dump_python(event, mode=mode)
                        self.assertEqual(list(written.items()), list(to_dict(event).items()))

    def test_in_models(self) -> None:
        model: Any = pydantic.create_model(
            "Model",
            event=(Event, ...),
            error=(FlowError | None, None),
            by_name=(dict[str, FlowExecutionEvent], {}),
            several=(list[Event], []),
        )
        error = FlowError("Report", "x", U64_MAX)
        made = model(event=EVENTS[0], error=error, by_name={"a": error}, several=list(EVENTS))
        written = made.model_dump()
        self.assertEqual(written["event"], to_dict(EVENTS[0]))
        self.assertEqual(written["error"], to_dict(error))
        self.assertEqual(written["by_name"], {"a": to_dict(error)})
        self.assertEqual(written["several"], [to_dict(event) for event in EVENTS])
        self.assertEqual(model.model_validate(written), made)
        self.assertEqual(model.model_validate_json(made.model_dump_json()), made)
        self.assertEqual(made.model_copy(deep=True), made)

    def test_what_knows_no_kind(self) -> None:
        # As docs/events.md says.
        error = FlowError("Report", "x", U64_MAX)
        without = {"flow_name": "Report", "error": "x", "timestamp_ms": U64_MAX}
        self.assertEqual(dataclasses.asdict(error), without)
        self.assertEqual(orjson.loads(orjson.dumps(error)), without)
        self.assertRaises(TypeError, vars, error)
        self.assertRaises(TypeError, json.dumps, error)
        self.assertEqual(json.loads(json.dumps(error, default=to_dict)), to_dict(error))
        option = orjson.OPT_PASSTHROUGH_DATACLASS
        self.assertEqual(
            orjson.dumps(error, default=to_dict, option=option), to_json(error).encode()
        )


class JsonSchema(unittest.TestCase):
    definitions: ClassVar[dict[str, Any]] = json.loads((CORPUS / "schema.json").read_bytes())[
        "$defs"
    ]

    def compare(self, cls: Any, schema: dict[str, Any]) -> None:
        """Compare a variant's schema with the one of the corpus."""
        expected = self.definitions[cls.__name__]
        self.assertEqual(schema["type"], "object")
        self.assertEqual(schema["title"], cls.__name__)
        self.assertEqual(schema["description"], inspect.getdoc(cls))
        self.assertEqual(schema["required"], expected["required"])
        self.assertIs(schema.get("additionalProperties", True), True)
        self.assertEqual(list(schema["properties"]), list(expected["properties"]))
        for name, wanted in expected["properties"].items():
            wanted = self.definitions["u64"] if "$ref" in wanted else wanted
            found = schema["properties"][name]
            self.assertEqual({key: found[key] for key in wanted}, wanted)

    def test_of_each_class(self) -> None:
        for cls in EVENT_TYPES.values():
            for mode in ("validation", "serialization"):
                with self.subTest(cls.__name__, mode=mode):
                    self.compare(cls, TypeAdapter(cls).json_schema(mode=mode))

    def test_of_any(self) -> None:
        for name, annotation in ANY.items():
            for mode in ("validation", "serialization"):
                with self.subTest(name, mode=mode):
                    schema = TypeAdapter(annotation).json_schema(mode=mode)
                    found = schema["$defs"]
                    self.assertEqual(set(found), {cls.__name__ for cls in EVENT_TYPES.values()})
                    choices = schema.get("anyOf") or schema["oneOf"]
                    self.assertEqual(
                        [choice["$ref"] for choice in choices],
                        [f"#/$defs/{cls.__name__}" for cls in EVENT_TYPES.values()],
                    )
                    for cls in EVENT_TYPES.values():
                        self.compare(cls, found[cls.__name__])


class FastAPI(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.app"], stdout=subprocess.PIPE, cwd=ROOT
        )
        cls.addClassCleanup(cls.server.__exit__, None, None, None)
        cls.addClassCleanup(cls.server.terminate)
        cls.port = int(cls.server.stdout.readline())  # type: ignore[union-attr]  # it is a pipe
        cls.client = http.client.HTTPConnection("127.0.0.1", cls.port, timeout=60)
        cls.addClassCleanup(cls.client.close)

    server: ClassVar[subprocess.Popen[bytes]]
    port: ClassVar[int]
    client: ClassVar[http.client.HTTPConnection]

    def post(self, path: str, body: str) -> tuple[int, str]:
        """Return the status and the text of the answer."""
        headers = {"Content-Type": "application/json"}
        self.client.request("POST", path, body.encode(), headers)
        answer = self.client.getresponse()
        return answer.status, answer.read().decode()

    def test_events_come_back_as_they_are(self) -> None:
        for entry in corpus("corpus.json", "entries"):
            with self.subTest(entry["name"]):
                self.assertEqual(self.post("/union", entry["wire"]), (200, entry["wire"]))
        for wire in map(to_json, EVENTS):
            for path in ("/discriminated", "/base", "/as_dict", "/page/events", "/page/exact"):
                with self.subTest(wire, path=path):
                    self.assertEqual(self.post(path, wire), (200, wire))
        error = to_json(FlowError("Report", "x", U64_MAX))
        for path, body in (
            ("/one", error),
            ("/token", TOKEN),
            ("/several", f"[{TOKEN},{error}]"),
            ("/envelope", f'{{"event":{TOKEN},"more":[{error}]}}'),
        ):
            self.assertEqual(self.post(path, body), (200, body))

    def test_what_is_no_event_is_answered_by_422(self) -> None:
        wrong = [TOKEN.replace(old, new) for old, new, _ in FAULTS]
        wrong += [TOKEN.replace(old, new) for old, new in WRONG_KINDS]
        wrong += ["[]", "3", '"x"']
        paths = ("/union", "/discriminated", "/base", "/token", "/page/events", "/page/exact")
        for body in wrong:
            for path in paths:
                with self.subTest(body, path=path):
                    self.assertEqual(self.post(path, body)[0], 422)
            with self.subTest(body, path="/several"):
                self.assertEqual(self.post("/several", f"[{body}]")[0], 422)
            with self.subTest(body, path="/envelope"):
                self.assertEqual(self.post("/envelope", f'{{"event":{body}}}')[0], 422)
        self.assertEqual(self.post("/one", TOKEN)[0], 422)

    def test_what_json_cannot_hold_is_answered_by_422(self) -> None:
        # FastAPI's own answer has the input in it, and fails with 500.
        for old, new in (
            ('"token_index":1', '"token_index":NaN'),
            ('"token_index":1', '"token_index":1e400'),
            ('"token_index":1', '"more":NaN'),
            ('"content":"x"', '"content":"\\ud83d"'),
            ('"content":"x"', '"\\ud83d":"x"'),
            ('"kind":"step_token"', '"kind":"\\ud83d"'),
            ('"kind":"step_token"', '"kind":NaN'),
        ):
            for path in ("/union", "/base", "/token"):
                with self.subTest(new, path=path):
                    self.assertEqual(self.post(path, TOKEN.replace(old, new))[0], 422)

    def test_the_answer_says_where_and_why(self) -> None:
        status, text = self.post("/token", TOKEN.replace('"token_index":1', '"token_index":-1'))
        self.assertEqual(status, 422)
        (fault,) = json.loads(text)["detail"]
        self.assertEqual((fault["type"], fault["loc"]), ("out-of-range", ["body", "token_index"]))

    def test_without_a_response_model_the_kind_is_lost(self) -> None:
        # As docs/events.md says: FastAPI takes what dataclasses.asdict gives.
        self.assertEqual(
            self.post("/encoded", TOKEN), (200, TOKEN.replace('"kind":"step_token",', ""))
        )

    def test_the_raw_body_shows_what_a_parser_loses(self) -> None:
        twice = TOKEN.replace('"token_index":1', '"token_index":1,"token_index":1')
        self.assertEqual(self.post("/page/events", twice), (200, TOKEN))
        status, text = self.post("/page/exact", twice)
        self.assertEqual(status, 422)
        self.assertIn("duplicate-field", text)

    def test_the_schema_of_the_application(self) -> None:
        for path in ("/openapi.json", "/page/openapi.json"):
            self.client.request("GET", path)
            answer = self.client.getresponse()
            text = answer.read().decode()
            self.assertEqual(answer.status, 200, text)
            schemas = json.loads(text)["components"]["schemas"]
            for kind, cls in EVENT_TYPES.items():
                with self.subTest(kind, path=path):
                    properties = schemas[cls.__name__]["properties"]
                    self.assertEqual(properties["kind"]["const"], kind)
                    self.assertEqual(list(properties)[1:], list(cls.__match_args__))


class Page(unittest.TestCase):
    def test_the_snippets_print_what_their_comments_say(self) -> None:
        for snippet in blocks(ROOT / "docs" / "events.md", "python pydantic"):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(snippet, "docs/events.md", "exec"), {})
            said = re.findall(r"^ *print\(.*\)  # (.*)$", snippet, re.MULTILINE)
            self.assertEqual(out.getvalue().splitlines(), said)

    def test_importing_the_package_imports_no_pydantic(self) -> None:
        code = (
            "import sys, axon_events; print([name for name in sys.modules if 'pydantic' in name])"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        self.assertEqual((run.stdout, run.stderr), ("[]\n", ""))


_ADAPTERS: dict[int, Any] = {}


def adapter_of(annotation: Any) -> Any:
    """Return the adapter of an annotation, which is made once."""
    if id(annotation) not in _ADAPTERS:
        _ADAPTERS[id(annotation)] = TypeAdapter(annotation)
    return _ADAPTERS[id(annotation)]


def faults(annotation: Any, document: object, strict: bool = False) -> list[Any]:
    """Return the errors that a document (JSON if it is a `str`) must have."""
    adapter = adapter_of(annotation)
    validate = adapter.validate_json if isinstance(document, str) else adapter.validate_python
    try:
        read = validate(document, strict=strict)
    except ValidationError as error:
        found: list[Any] = error.errors()
        return found
    raise AssertionError(f"{document!r} was read as {read!r}")


if __name__ == "__main__":
    unittest.main()
