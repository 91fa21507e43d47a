# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A Rust enum that differs from the catalog or the corpus is found; any program can take the enum.

The gate asks the reference's decoder for its kinds and their fields, and compares them with the
catalog. Then it edits copies of the reference, builds each, repeats the comparison and runs the
copy's `check` on the corpus: one of the two must name the difference. At last a program of another
repository takes the enum as docs/events.md says. It needs cargo.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from axon_events import EVENT_TYPES, FlowError, to_json

from .. import CORPUS, ROOT
from ..host import blocks

# What is changed in the sources, patterns and replacements, and what must then be said.
EDITS: dict[str, tuple[list[tuple[str, str]], str]] = {
    "a variant added": (
        [
            (r"(\n    /// The flow broke off)", r"\n    /// Paused.\n    FlowPaused {},\1"),
            (r'Self::FlowError \{ \.\. \} => ("\w+")', r"\g<0>,\n Self::FlowPaused {} => \1"),
            (
                r"\| Self::FlowError \{ \.\. \} =>",
                r"| Self::FlowError { .. } | Self::FlowPaused {} =>",
            ),
        ],
        r"flow_paused: the catalog has None, the reference \{\}",
    ),
    "a field renamed": (
        [(r"\btool_name\b", "tool_title")],
        r"corpus\.json: entry tool_call: expected_json .*missing field `tool_title`",
    ),
    "fields in another order": (
        [(r"(    FlowError \{\n)(.*?flow_name: String,\n)(.*?error: String,\n)", r"\1\3\2")],
        r"corpus\.json: entry flow_error: wire differs at byte 22",
    ),
    "a field retyped": (
        [(r"(latency_ms: (?:started\.elapsed\(\)\.as_millis\(\) as )?)u64", r"\1u8")],
        r"corpus\.json: entry flow_complete: expected_json .*expected u8",
    ),
    "a variant renamed": (
        [(r"\bToolCall \{", "ToolUse {")],
        r"corpus\.json: entry tool_call: expected_json .*unknown variant `tool_call`",
    ),
    "another tag": (
        [(r'tag = "kind"', 'tag = "type"')],
        r"corpus\.json: entry flow_start: expected_json .*missing field `type`",
    ),
    "unknown fields refused": (
        [
            (
                r'#\[serde\(tag = "kind", rename_all = "snake_case"\)\]',
                '#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]',
            )
        ],
        r"decode\.json: case unknown-fields\.\S+ .*the reference says: unknown field `new`",
    ),
}
# What the decoder calls the type of a field, the type, and a value of it.
TYPES = {
    "a string": (str, ""),
    "a boolean": (bool, True),
    "u64": (int, 0),
    "usize": (int, 0),
}

# Writes an event, with the module that docs/events.md takes the enum into.
HOST = """
fn main() {
    let (flow_name, error) = ("Report".into(), "out of memory".into());
    let event = event::FlowExecutionEvent::FlowError { flow_name, error, timestamp_ms: 1000 };
    println!("{}", serde_json::to_string(&event).unwrap());
}
"""


class Reference:
    """The reference in a folder, built on first use."""

    def __init__(self, folder: Path, target: Path) -> None:
        self._cargo = ["cargo", "run", "--quiet", "--locked", "--target-dir", str(target)]
        self._cargo += ["--manifest-path", str(folder / "Cargo.toml"), "--"]

    def run(self, *arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._cargo, *arguments], input=text, capture_output=True, text=True
        )

    def decode(self, document: dict[str, object]) -> str:
        """Return the decoder's answer to a document."""
        return self.run("decode", text=json.dumps(document).encode().hex() + "\n").stdout

    def catalog(self) -> dict[str, dict[str, object]]:
        """Return the kinds that the decoder knows and the types of their fields, in order.

        It names the kinds if it is given another one, the first field that is missing, and the
        type of a field that is null.
        """
        kinds = self.decode({"kind": ""}).split("`")[3::2]
        catalog: dict[str, dict[str, object]] = {}
        for kind in kinds:
            document: dict[str, object] = {"kind": kind}
            catalog[kind] = {}
            while (
                missing := re.match("err missing field `(.*)`", self.decode(document))
            ) is not None:
                document[missing[1]] = None
                expected = self.decode(document).rpartition("expected ")[2].strip()
                catalog[kind][missing[1]], document[missing[1]] = TYPES[expected]
        return catalog


def differences(reference: Reference) -> Iterator[str]:
    """Yield how the reference's enum differs from the catalog."""
    theirs = reference.catalog()
    ours = {
        kind: {field.name: field.type for field in fields(cls)} for kind, cls in EVENT_TYPES.items()
    }
    for kind in {**ours, **theirs}:
        # As lists, since the order of the fields counts.
        if [*ours.get(kind, {}).items()] != [*theirs.get(kind, {}).items()] or not (
            kind in ours and kind in theirs
        ):
            yield f"{kind}: the catalog has {ours.get(kind)}, the reference {theirs.get(kind)}"


def run_in_a_host(folder: Path, target: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program that has the reference's enum and nothing else of it, nor of its libraries."""
    (module,) = blocks(ROOT / "docs" / "events.md", "rust")
    source = json.dumps(str(CORPUS / "reference" / "src" / "event.rs"))
    manifest = (CORPUS / "reference" / "Cargo.toml").read_text("utf-8")
    (folder / "src").mkdir(parents=True)
    shutil.copy(CORPUS / "reference" / "Cargo.lock", folder)
    (folder / "Cargo.toml").write_text(re.sub(r"(?m)^tokio = .*\n", "", manifest), "utf-8")
    module = re.sub(r'(?<=path = )".*"', source, module)
    (folder / "src" / "main.rs").write_text(f"//! A program.\n{module}{HOST}", "utf-8")
    # Offline, since the lock, which names tokio too, is to be rewritten with the same versions.
    cargo = ["cargo", "run", "--quiet", "--offline", "--target-dir", str(target)]
    return subprocess.run(
        [*cargo, "--manifest-path", str(folder / "Cargo.toml")],
        capture_output=True,
        text=True,
        env={**os.environ, "RUSTFLAGS": "-D warnings"},
    )


def main() -> int:
    """Compare, make each edit, run the other program; return 0 if all is as it must be."""
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "target")
        # The edited copies lie in a workspace of another repository, which must not matter.
        Path(folder, "Cargo.toml").write_text("[workspace]\n", "utf-8")
        found = list(differences(Reference(CORPUS / "reference", target)))
        print("the enum is the catalog" if not found else "\n".join(found), flush=True)
        status |= bool(found)
        for name, (replacements, text) in EDITS.items():
            copy = Path(folder, "reference")
            shutil.copytree(CORPUS / "reference", copy, ignore=shutil.ignore_patterns("target"))
            made = 0
            for path in copy.rglob("*.rs"):
                source = path.read_text("utf-8")
                for pattern, replacement in replacements:
                    source, times = re.subn(pattern, replacement, source, flags=re.DOTALL)
                    made += times
                path.write_text(source, "utf-8")
            edited = Reference(copy, target)
            checked = edited.run("check", str(CORPUS))
            said = checked.stdout
            if checked.returncode == 0:
                said += "\n".join(differences(edited))
            good = made >= len(replacements) and re.search(text, said) is not None
            print(f"{name}: {'found' if good else 'NOT found'}", flush=True)
            if not good:
                print(made, said[-3000:], checked.stderr[-3000:], sep="\n")
                status = 1
            shutil.rmtree(copy)
        ran = run_in_a_host(Path(folder, "host"), target)
        written = to_json(FlowError("Report", "out of memory", 1000)) + "\n"
        good = (ran.returncode, ran.stdout) == (0, written)
        print(f"the enum in another program: {'as documented' if good else ran.stderr[-3000:]}")
        status |= not good
    return status


if __name__ == "__main__":
    sys.exit(main())
