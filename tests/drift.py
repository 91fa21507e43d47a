# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`python -m tests.drift`: a Rust enum that was edited is found out by the reference's `check`.

Edits copies of the reference, builds each, and runs its `check` on the corpus, which must fail
and name what differs. Needs cargo; run by `.ci/run`.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import CORPUS

# What is changed in the sources, by pattern and replacement, and what `check` must then say.
EDITS: dict[str, tuple[str, str, str]] = {
    "a field renamed": (
        r"\btool_name\b",
        "tool_title",
        r"corpus\.json: entry tool_call: expected_json .*missing field `tool_title`",
    ),
    "fields in another order": (
        r"(    FlowError \{\n)(.*?flow_name: String,\n)(.*?error: String,\n)",
        r"\1\3\2",
        r"corpus\.json: entry flow_error: wire differs at byte 22",
    ),
    "a field retyped": (
        r"(latency_ms: (?:started\.elapsed\(\)\.as_millis\(\) as )?)u64",
        r"\1u8",
        r"corpus\.json: entry flow_complete: expected_json .*expected u8",
    ),
    "a variant renamed": (
        r"\bToolCall \{",
        "ToolUse {",
        r"corpus\.json: entry tool_call: expected_json .*unknown variant `tool_call`",
    ),
    "another tag": (
        r'tag = "kind"',
        'tag = "type"',
        r"corpus\.json: entry flow_start: expected_json .*missing field `type`",
    ),
    "unknown fields refused": (
        r'#\[serde\(tag = "kind", rename_all = "snake_case"\)\]',
        '#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]',
        r"decode\.json: case unknown-fields\.\S+ .*the reference says: unknown field `new`",
    ),
}

CHECK = ["cargo", "run", "--quiet", "--locked", "--manifest-path", "Cargo.toml"]


def main() -> int:
    """Make each edit; return 0 if each is found out."""
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (pattern, replacement, text) in EDITS.items():
            copy = Path(folder, "reference")
            shutil.copytree(CORPUS / "reference", copy, ignore=shutil.ignore_patterns("target"))
            found = 0
            for path in copy.rglob("*.rs"):
                source, times = re.subn(
                    pattern, replacement, path.read_text("utf-8"), flags=re.DOTALL
                )
                found += times
                path.write_text(source, "utf-8")
            run = subprocess.run(
                [*CHECK, "--target-dir", f"{folder}/target", "--", "check", str(CORPUS)],
                capture_output=True,
                text=True,
                cwd=copy,
            )
            good = found > 0 and run.returncode == 1 and re.search(text, run.stdout) is not None
            print(f"{name}: {'found out' if good else f'NOT found out, exit {run.returncode}'}")
            if not good:
                print(found, run.stdout[-3000:], run.stderr[-3000:], sep="\n")
                status = 1
            shutil.rmtree(copy)
    return status


if __name__ == "__main__":
    sys.exit(main())
