# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`verify`: the corpus against this very copy of the package."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import DecodeError, __version__, from_dict, from_json, to_dict, to_json

__all__ = ["add_parser"]

_FORMAT = 1
# So many bytes are shown before the first one that differs, and from it on.
_BEFORE = 24
_FROM = 40


def add_parser(commands: Any) -> None:
    """Add the command to argparse's sub-commands."""
    parser = commands.add_parser(
        "verify",
        help="check this copy of the package against the corpus",
        description="Write and read every entry of the corpus and every recorded event with this"
        " very copy of the package, and compare with the bytes that the reference wrote.",
        epilog="Exit status: 0 no difference; 1 differences; 2 the corpus cannot be read.",
    )
    parser.add_argument(
        "corpus",
        metavar="CORPUS",
        nargs="?",
        type=Path,
        help="the corpus folder (default: the one beside the package, else in this directory)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> Iterator[int]:
    corpus: Path = arguments.corpus or default_corpus(Path(__file__))
    document = (corpus / "corpus.json").read_bytes()
    recordings = {
        f"recorded/{path.name}": path.read_bytes()
        for path in sorted((corpus / "recorded").iterdir())
        if path.suffix == ".jsonl"
    }

    differences = 0
    entries: list[Any] = []
    try:
        entries = _entries(document)
    except (ValueError, RecursionError) as error:
        differences += 1
        yield 1
        print(f"corpus.json: {error}")
    for number, entry in enumerate(entries):
        for difference in _entry_differences(entry):
            differences += 1
            yield 1
            name = entry.get("name") if isinstance(entry, dict) else None
            print(f"corpus.json: {name or f'entry {number}'}: {difference}")
    print(f"corpus.json: {len(entries)} entries")

    if not recordings:
        differences += 1
        yield 1
        print("recorded: expected recordings, got none")
    events = 0
    for name, recording in recordings.items():
        lines = recording.splitlines(keepends=True) or [b""]
        for lineno, line in enumerate(lines, 1):
            for difference in _line_differences(line):
                differences += 1
                yield 1
                print(f"{name}:{lineno}: {difference}")
        events += len(lines)
        print(f"{name}: {len(lines)} events")

    counts = f"{len(entries)} entries, {len(recordings)} recordings, {events} events"
    if differences:
        print(f"axon_events {__version__} differs from the corpus: {differences} differences")
    else:
        print(f"axon_events {__version__} agrees with the corpus: {counts}")


def default_corpus(module: Path) -> Path:
    """Return the corpus beside the package that has this module; else the one right here."""
    beside = module.parents[2] / "corpus"
    return beside if beside.is_dir() else Path("corpus")


def _entries(document: bytes) -> list[Any]:
    """Return the entries of corpus.json, or raise ValueError with what is wrong with it."""
    corpus = json.loads(document)
    if not isinstance(corpus, dict) or corpus.get("format") != _FORMAT:
        raise ValueError(f"expected a corpus of format {_FORMAT}")
    entries = corpus.get("entries")
    if not isinstance(entries, list) or not entries:
        raise ValueError("expected entries, got none")
    return entries


def _entry_differences(entry: Any) -> Iterator[str]:
    """Yield how what is written and read differs from an entry of corpus.json."""
    if not (isinstance(entry, dict) and isinstance(entry.get("wire"), str)):
        yield "expected an object with variant, expected_json and wire"
        return
    wire: str = entry["wire"]
    expected: Any = entry.get("expected_json")
    try:
        written = to_json(from_dict(expected))
    except DecodeError as error:
        yield f"expected_json: {error}"
    else:
        if written != wire:
            yield f"written, {_difference(wire, written)}"
    try:
        event = from_json(wire)
    except DecodeError as error:
        yield f"wire: {error}"
        return
    if type(event).__name__ != entry.get("variant"):
        yield f"expected the variant {entry.get('variant')}, got {type(event).__name__}"
    # As JSON, since 1 == True in Python.
    read = json.dumps(to_dict(event), sort_keys=True)
    should_be = json.dumps(expected, sort_keys=True)
    if read != should_be:
        yield f"read, {_difference(should_be, read)}"


def _line_differences(line: bytes) -> Iterator[str]:
    """Yield how a recorded line, read and written again, differs from itself."""
    try:
        written = to_json(from_json(line)) + "\n"
    except DecodeError as error:
        yield str(error)
        return
    if written.encode() != line:
        yield f"written again, {_difference(line.decode(), written)}"


def _difference(expected_text: str, actual_text: str) -> str:
    """Return the bytes of both around the first one that differs, with a mark below it."""
    expected = expected_text.encode(errors="surrogatepass")
    actual = actual_text.encode()
    same = 0
    while same < min(len(expected), len(actual)) and expected[same] == actual[same]:
        same += 1
    start = max(same - _BEFORE, 0)
    before = _shown(expected[start:same])
    return (
        f"the first difference is at byte {same}:\n"
        f"  expected {before}{_shown(expected[same : same + _FROM])}\n"
        f"  actual   {before}{_shown(actual[same : same + _FROM])}\n"
        f"           {' ' * len(before)}^"
    )


def _shown(part: bytes) -> str:
    """Return bytes as ASCII, the others as \\x escapes."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in part)
