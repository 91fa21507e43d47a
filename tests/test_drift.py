# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A copy of the package that was edited away from the contract: `verify` names what differs.

Edits of the corpus are in tests/test_cli_verify.py, edits of the Rust enum in the gate `drift`.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import axon_events

from . import CORPUS, needs
from .effort import rounds

PAUSED = """
@final
@dataclass(frozen=True, slots=True)
class FlowPaused(FlowExecutionEvent):
    kind: ClassVar[Literal["flow_paused"]] = "flow_paused"
    flow_name: str


Event: TypeAlias = ("""

# What is changed, in which files, from what to what, and what verify must then say.
EDITS: dict[str, tuple[list[str], list[tuple[str, str]], list[str]]] = {
    "a variant added": (
        ["_catalog.py"],
        [
            ("\nEvent: TypeAlias = (", PAUSED),
            (" | FlowError\n)", " | FlowError | FlowPaused\n)"),
        ],
        ["corpus.json: expected the variant FlowPaused not at all, got it with kind, flow_name"],
    ),
    "a variant removed": (
        ["_catalog.py"],
        [(" | FlowError\n)", "\n)")],
        [
            "corpus.json: expected the variant FlowError with kind, flow_name, error,"
            " timestamp_ms, got it not at all",
            "corpus.json: flow_error: wire: unknown-kind: ",
        ],
    ),
    "a field renamed": (
        ["_catalog.py", "_codec.py"],
        [("tool_name", "tool_title")],
        [
            "corpus.json: expected the variant ToolCall with kind, step_name, tool_name, content,"
            " timestamp_ms, got it with kind, step_name, tool_title, content, timestamp_ms",
            "corpus.json: tool_call: wire: missing-field: ",
        ],
    ),
    "fields of a class in another order": (
        ["_catalog.py"],
        [
            (
                "    flow_name: str\n    error: str  # what went wrong, as text\n",
                "    error: str\n    flow_name: str\n",
            )
        ],
        [
            "corpus.json: expected the variant FlowError with kind, flow_name, error,"
            " timestamp_ms, got it with kind, error, flow_name, timestamp_ms"
        ],
    ),
    "fields of an encoder in another order": (
        ["_codec.py"],
        [
            (
                '"flow_name":{_quote(e.flow_name)},"error":{_quote(e.error)}',
                '"error":{_quote(e.error)},"flow_name":{_quote(e.flow_name)}',
            )
        ],
        [
            "corpus.json: flow_error: written, the first difference is at byte 22:",
            "recorded/failed.jsonl: line 57: written again, the first difference is at byte 22:",
        ],
    ),
    "a field retyped": (
        ["_catalog.py"],
        [
            (
                "    steps_executed: int  #",
                "    steps_executed: str  #",
            )
        ],
        [
            "corpus.json: flow_complete: expected_json: wrong-type: expected a string as"
            " FlowComplete.steps_executed, got 1",
        ],
    ),
    "a rule relaxed": (
        ["_strict.py"],
        [('match[0] == "-0"', "False")],
        ["decode.json: "],
    ),
    "another limit of nesting": (
        ["_strict.py"],
        [("MAX_DEPTH: Final = 127", "MAX_DEPTH: Final = 128")],
        ["decode.json: nesting."],
    ),
}


@needs.processes
class Drift(unittest.TestCase):
    def test_every_edit_of_a_copy_is_named(self) -> None:
        for name in list(EDITS)[:: rounds(7, 1)]:
            files, replacements, texts = EDITS[name]
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                package = Path(folder, "vendor", "axon_events")
                shutil.copytree(
                    Path(axon_events.__file__).parent,
                    package,
                    ignore=shutil.ignore_patterns("__pycache__"),
                )
                for old, new in replacements:
                    found = 0
                    for file in files:
                        source = (package / file).read_text("utf-8")
                        found += source.count(old)
                        (package / file).write_text(source.replace(old, new), "utf-8")
                    self.assertGreater(found, 0, old)
                command = [sys.executable, "-m", "vendor.axon_events", "verify", str(CORPUS)]
                run = subprocess.run(
                    [*command, "--json"], capture_output=True, text=True, cwd=folder
                )
                self.assertEqual((run.returncode, run.stderr[-300:]), (1, ""))
                result = json.loads(run.stdout)
                self.assertIs(result["agrees"], False)
                lines = [
                    f"{found['file']}: {found['case']}{': ' * bool(found['case'])}"
                    f"{found['difference']}"
                    for found in result["differences"]
                ]
                for text in texts:
                    self.assertTrue(any(line.startswith(text) for line in lines), lines[:5])


if __name__ == "__main__":
    unittest.main()
