# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`verify`: the corpus against this very copy of the package."""

import argparse
import errno
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from .. import (
    EVENT_TYPES,
    DecodeError,
    __version__,
    from_dict,
    from_json,
    to_dict,
    to_json,
)
from .._checked import format_int
from ..order import Rule, StreamChecker
from ..sse import Decoder, Encoder
from . import vendored
from .text import count, escaped

__all__ = ["add_parser", "default_corpus"]

# The format of the corpus files that this copy reads.
FORMAT = 1
# So many bytes are shown before the first one that differs, and from it on.
_BEFORE = 24
_FROM = 40


def add_parser(commands: Any) -> None:
    """Add the command to argparse's sub-commands."""
    parser = commands.add_parser(
        "verify",
        help="check this copy of the package against the corpus",
        description="Hold this very copy of the package against the corpus: write and read every"
        " entry, decide every case, judge every stream, read and write every frame, write every"
        " recorded event again, and compare with what the corpus says. If make vendor has copied"
        " it, compare each file with what was copied.",
        epilog="Exit status: 0 no difference; 1 differences or edited files; 2 the corpus cannot"
        " be read.",
    )
    parser.add_argument(
        "corpus",
        metavar="CORPUS",
        nargs="?",
        type=Path,
        help="the corpus folder (default: the one beside the package, else in this directory)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")
    parser.set_defaults(run=_run)


def default_corpus(module: Path) -> Path:
    """Return the corpus beside the package that has this module; else the one right here."""
    beside = module.parents[2] / "corpus"
    return beside if beside.is_dir() else Path("corpus")


def _run(arguments: argparse.Namespace) -> Iterator[int]:
    corpus: Path = arguments.corpus or default_corpus(Path(__file__))
    if arguments.corpus is None and not corpus.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, "neither here nor beside the package: name it, verify CORPUS", "corpus"
        )
    edits = vendored.edits(Path(__file__).parents[1])
    for file, edit in edits or ():
        yield 1
        if not arguments.json:
            print(f"{escaped(file)}: {edit}")
    files = []
    differences = []
    unreadable: OSError | None = None
    try:
        for checked in _checks(corpus):
            files.append({"file": checked.file, checked.what: checked.count, **checked.header})
            for case, difference in checked.differences:
                yield 1
                differences.append({"file": checked.file, "case": case, "difference": difference})
                if not arguments.json:
                    place = f"{checked.file}: {case}" if case else checked.file
                    print(f"{place}: {difference}")
            if not arguments.json:
                what = _SHOWN.get(checked.what, checked.what)
                print(f"{checked.file}: {checked.count} {what}{_shown_header(checked.header)}")
    except OSError as error:
        if error.filename is None:  # it is stdout that failed
            raise
        unreadable = error
    if arguments.json:
        result = {
            "axon_events": __version__,
            "edits": None if edits is None else [{"file": f, "edit": edit} for f, edit in edits],
            "agrees": not differences and unreadable is None,
            "files": files,
            "differences": differences,
            "unreadable": None if unreadable is None else str(unreadable.filename),
        }
        print(json.dumps(result, indent=2))
    if unreadable is not None:
        raise unreadable
    if arguments.json:
        return
    judgement = "agrees with the corpus"
    if differences:
        judgement = f"differs from the corpus: {count(len(differences), 'difference')}"
    if edits is not None:
        edited = f"was edited: {count(len(edits), 'file')}" if edits else "is as it was vendored"
        judgement += f"; it {edited}"
    print(f"axon_events {__version__} {judgement}")


@dataclass(frozen=True)
class Checked:
    """A file of the corpus, or a list in it, and what came of checking it."""

    file: str
    what: str  # what it has: entries, cases, events; the name of the list in the file
    count: int
    header: dict[str, Any]  # its format, and the versions of the reference that wrote it
    differences: Iterable[tuple[str, str]]  # the case ("" for the file as a whole) and the text


def _checks(corpus: Path) -> Iterator[Checked]:
    """Yield what came of each file; raise OSError for one that cannot be read."""
    for name, what, case_differences in _CASES:
        content = (corpus / name).read_bytes()
        try:
            header, cases = _load(content, what)
        except (ValueError, RecursionError) as error:
            yield Checked(name, what, 0, {}, [("", str(error))])
            continue
        differences = _differences(cases, case_differences)
        if name == "corpus.json":
            differences = chain(_catalog_differences(cases), differences)
        yield Checked(name, what, len(cases), header, differences)

    recordings = sorted((corpus / "recorded").iterdir())
    recordings = [path for path in recordings if path.suffix == ".jsonl"]
    if not recordings:
        yield Checked("recorded", "events", 0, {}, [("", "expected recordings, got none")])
    for path in recordings:
        lines = path.read_bytes().splitlines(keepends=True) or [b""]
        yield Checked(
            f"recorded/{path.name}", "events", len(lines), {}, _recording_differences(lines)
        )


def _load(content: bytes, what: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the header and the cases of a corpus file, or raise ValueError."""
    corpus = json.loads(content)
    if not isinstance(corpus, dict) or type(corpus.get("format")) is not int:
        raise ValueError(f"expected an object with format {FORMAT}, got none")
    if corpus["format"] != FORMAT:
        raise ValueError(
            f"expected format {FORMAT}, which is all that axon_events {__version__} knows, got"
            f" format {format_int(corpus['format'])}: this copy is too old or too new to judge"
        )
    cases = corpus.get(what)
    if not isinstance(cases, list) or not cases:
        raise ValueError(f"expected {what}, got none")
    header = {key: corpus[key] for key in ("format", "reference") if key in corpus}
    return header, cases


def _shown_header(header: dict[str, Any]) -> str:
    if not header:
        return ""
    reference = header.get("reference")
    versions = reference.items() if isinstance(reference, dict) else ()
    written_by = ", ".join(f"{name} {version}" for name, version in versions)
    return f" (format {header['format']}{', written by ' * bool(versions)}{written_by})"


def _differences(
    cases: list[Any], case_differences: Callable[[dict[str, Any]], Iterator[str]]
) -> Iterator[tuple[str, str]]:
    """Yield the differences of each case, and the faults of the list itself."""
    names = set()
    for number, case in enumerate(cases):
        name = case.get("name") if isinstance(case, dict) else None
        if not isinstance(name, str):
            yield f"number {number}", "expected an object with a name"
            continue
        if name in names:
            yield name, "expected a name of its own, got one that is taken"
        names.add(name)
        for difference in case_differences(case):
            yield name, difference


def _catalog_differences(entries: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield each variant that the catalog has otherwise than the corpus, or one of them lacks."""
    in_corpus = {
        entry["variant"]: list(entry["expected_json"])
        for entry in entries
        if isinstance(entry, dict)
        and isinstance(entry.get("variant"), str)
        and isinstance(entry.get("expected_json"), dict)
    }
    catalog = {cls.__name__: ["kind", *cls.__match_args__] for cls in EVENT_TYPES.values()}
    for variant in {**catalog, **in_corpus}:
        expected, actual = in_corpus.get(variant), catalog.get(variant)
        if expected != actual:
            yield (
                "",
                f"expected the variant {variant} {_shown_fields(expected)},"
                f" got it {_shown_fields(actual)}",
            )


def _shown_fields(fields: list[str] | None) -> str:
    return "not at all" if fields is None else f"with {', '.join(fields)}"


def _entry_differences(entry: dict[str, Any]) -> Iterator[str]:
    """Yield how what is written and read differs from an entry of corpus.json."""
    wire, expected = entry.get("wire"), entry.get("expected_json")
    if not isinstance(wire, str) or not isinstance(expected, dict):
        yield "expected an object with variant, expected_json and wire"
        return
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


def _decode_differences(case: dict[str, Any]) -> Iterator[str]:
    """Yield how a decision differs from a case of decode.json.

    Where the case has a `reason`, it is refused for that; of the declared exceptions too.
    """
    documents = _documents(case)
    if not documents:
        yield "expected an object with input, a text, or input_hex, hexadecimal digits"
    yield from _case_faults(case)
    for document in documents:
        try:
            written = to_json(from_json(document))
        except DecodeError as error:
            if error.reason != case.get("reason"):
                yield f"expected {_shown_decision(case)}, got {error}"
            continue
        if "reason" in case:
            yield f"expected {_shown_decision(case)}, got {written}"
        elif isinstance(case.get("canonical"), str) and written != case["canonical"]:
            yield f"written again, {_difference(case['canonical'], written)}"


def _case_faults(case: dict[str, Any]) -> Iterator[str]:
    """Yield what a case of decode.json contradicts itself in."""
    verdict = case.get("verdict")
    if verdict not in ("accept", "reject"):
        yield "expected a verdict, accept or reject"
    if isinstance(case.get("canonical"), str) != (verdict == "accept"):
        yield "expected a canonical text exactly where the verdict is accept"
    if (("reason" in case) != (verdict == "reject")) != (case.get("exception") is True):
        yield "expected a reason exactly where the verdict is reject, or exception: true"


def _documents(case: dict[str, Any]) -> list[str | bytes]:
    """Return the document of a case in all its forms; none if it has no good one."""
    text, digits = case.get("input"), case.get("input_hex")
    if isinstance(text, str):
        return [text, text.encode(errors="surrogatepass")]
    try:
        return [bytes.fromhex(digits)] if isinstance(digits, str) else []
    except ValueError:
        return []


def _shown_decision(case: dict[str, Any]) -> str:
    return f"it refused as {case['reason']}" if "reason" in case else "it accepted"


def _stream_differences(case: dict[str, Any]) -> Iterator[str]:
    """Yield how the judgement on a stream differs from a case of streams.json."""
    try:
        options = dict(case["options"])
        allow = [Rule(name) for name in options.pop("allow", ())]
        checker = StreamChecker(allow=allow, **options)
        violations = [v for wire in case["events"] for v in checker.feed(from_json(wire))]
        expected = {"outcome": case["outcome"], "violations": case["violations"]}
    except (KeyError, TypeError, ValueError) as error:
        yield f"expected options, events, outcome and violations, got {error!r:.200}"
        return
    violations += checker.close()
    judged = {
        "outcome": checker.outcome.value,
        "violations": [{"rule": v.rule.value, "index": v.index} for v in violations],
    }
    if judged != expected:
        yield f"judged, {_difference(json.dumps(expected), json.dumps(judged))}"


def _received_differences(case: dict[str, Any]) -> Iterator[str]:
    """Yield how what is read differs from a case of sse.json's `decode`, whole and in bytes."""
    try:
        stream = bytes.fromhex(case["input_hex"])
        expected = {key: case[key] for key in ("frames", "last_event_id", "retry", "discarded")}
    except (KeyError, TypeError, ValueError) as error:
        yield f"expected input_hex, frames, last_event_id, retry and discarded, got {error!r:.200}"
        return
    should_be = json.dumps(expected, sort_keys=True)
    for how, size in (("whole", len(stream) or 1), ("byte by byte", 1)):
        decoder = Decoder()
        chunks = (stream[at : at + size] for at in range(0, len(stream), size))
        frames = [frame._asdict() for chunk in chunks for frame in decoder.feed(chunk)]
        decoder.close()
        state = {key: getattr(decoder, key) for key in ("last_event_id", "retry", "discarded")}
        read = json.dumps({"frames": frames, **state}, sort_keys=True)
        if read != should_be:
            yield f"read {how}, {_difference(should_be, read)}"


def _sent_differences(case: dict[str, Any]) -> Iterator[str]:
    """Yield how what is written differs from a case of sse.json's `encode`."""
    try:
        encoder = Encoder(case["stream_id"])
        written = b"".join(encoder.encode(from_json(wire)) for wire in case["events"])
        expected = bytes.fromhex(case["bytes_hex"])
    except (KeyError, TypeError, ValueError) as error:
        yield f"expected stream_id, events and bytes_hex, got {error!r:.200}"
        return
    if written != expected:
        yield f"written, {_difference(expected, written)}"


# The file, the list in it, and what tells how a case of that list differs.
_CASES: list[tuple[str, str, Callable[[dict[str, Any]], Iterator[str]]]] = [
    ("corpus.json", "entries", _entry_differences),
    ("decode.json", "cases", _decode_differences),
    ("streams.json", "cases", _stream_differences),
    ("sse.json", "decode", _received_differences),
    ("sse.json", "encode", _sent_differences),
]
_SHOWN = {"decode": "cases to decode", "encode": "cases to encode"}


def _recording_differences(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    """Yield how recorded lines, read and written again, differ from themselves."""
    for lineno, line in enumerate(lines, 1):
        try:
            written = to_json(from_json(line)) + "\n"
        except DecodeError as error:
            yield f"line {lineno}", str(error)
            continue
        if written.encode() != line:
            yield f"line {lineno}", f"written again, {_difference(line.decode(), written)}"


def _difference(expected: str | bytes, actual: str | bytes) -> str:
    """Return the bytes of both around the first one that differs, with a mark below it."""
    expected, actual = (
        text.encode(errors="surrogatepass") if isinstance(text, str) else text
        for text in (expected, actual)
    )
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
