# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Checks this copy of the package against the corpus, as far as it has the modules."""

import errno
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable

__all__ = ["Checked", "checks"]

# The format of the corpus files that this copy reads.
FORMAT = 1
# How many bytes are shown before the first one that differs, and from it on.
_BEFORE = 24
_FROM = 40


@dataclass(frozen=True)
class Checked:
    """A file of the corpus, or a list in it, and the result of checking it."""

    file: str
    what: str = ""  # what it has: entries, cases, events; the name of the list in the file
    count: int = 0
    header: dict[str, Any] = field(default_factory=dict)  # its format, and what wrote it
    differences: Iterable[tuple[str, str]] = ()  # the case ("" for the whole file) and the text
    lacks: str | None = None  # the module that it is not checked without

    def __str__(self) -> str:
        what = {"decode": "cases to decode", "encode": "cases to encode"}.get(self.what, self.what)
        return f"{self.file}: {self.count} {what}{_shown_header(self.header)}"


def checks(corpus: "Traversable") -> Iterator[Checked]:
    """Yield the result of each file; raise OSError for one that cannot be read.

    A file that needs a module which this copy lacks, or which cannot be imported, is not read.
    """
    for name, needs, lists in _FILES:
        if needs is not None and not _is_importable(needs):
            yield Checked(name, lacks=needs)
            continue
        content = _read(corpus / name)
        for what, case_differences in lists.items():
            try:
                header, cases = _load(content, what)
            except (ValueError, RecursionError) as error:
                yield Checked(name, what, differences=[("", str(error))])
                continue
            differences = _differences(cases, case_differences)
            if name == "corpus.json":
                differences = chain(_catalog_differences(cases), differences)
            yield Checked(name, what, len(cases), header, differences)

    recorded = corpus / "recorded"
    if not recorded.is_dir():
        raise _missing(recorded)
    recordings = [path for path in recorded.iterdir() if path.name.endswith(".jsonl")]
    if not recordings:
        yield Checked("recorded", "events", differences=[("", "expected recordings, got none")])
    for path in sorted(recordings, key=lambda path: path.name):
        lines = _read(path).splitlines(keepends=True) or [b""]
        differences = _recording_differences(lines)
        yield Checked(f"recorded/{path.name}", "events", len(lines), differences=differences)


def _read(file: "Traversable") -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # in a zip, it has no filename
        raise _missing(file) from None


def _missing(file: "Traversable") -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))


def _is_importable(module: str) -> bool:
    try:
        _optional(module)
    except Exception:  # whatever a broken module raises
        return False
    return True


def _optional(module: str) -> Any:
    """Import a module of the package that a copy may lack.

    By its name: `make vendor` would copy a module that an import statement names.
    """
    return importlib.import_module(f"..{module}", __package__)


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
    """Yield each variant that differs between the catalog and the corpus, or that one lacks."""
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
    """Yield the differences of what is written and read from an entry of corpus.json."""
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
    """Yield the differences of a decision from a case of decode.json.

    A case with a `reason` must be refused for that reason, even if it is a declared exception.
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
    """Yield the contradictions in a case of decode.json."""
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
    """Yield the differences of the judgement on a stream from a case of streams.json."""
    order = _optional("order")
    try:
        options = dict(case["options"])
        allow = [order.Rule(name) for name in options.pop("allow", ())]
        checker = order.StreamChecker(allow=allow, **options)
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
    """Yield the differences from a `decode` case of sse.json, read whole and byte by byte."""
    sse = _optional("sse")
    try:
        stream = bytes.fromhex(case["input_hex"])
        expected = {key: case[key] for key in ("frames", "last_event_id", "retry", "discarded")}
    except (KeyError, TypeError, ValueError) as error:
        yield f"expected input_hex, frames, last_event_id, retry and discarded, got {error!r:.200}"
        return
    should_be = json.dumps(expected, sort_keys=True)
    for how, size in (("whole", len(stream) or 1), ("byte by byte", 1)):
        decoder = sse.Decoder()
        chunks = (stream[at : at + size] for at in range(0, len(stream), size))
        frames = [frame._asdict() for chunk in chunks for frame in decoder.feed(chunk)]
        decoder.close()
        state = {key: getattr(decoder, key) for key in ("last_event_id", "retry", "discarded")}
        read = json.dumps({"frames": frames, **state}, sort_keys=True)
        if read != should_be:
            yield f"read {how}, {_difference(should_be, read)}"


def _sent_differences(case: dict[str, Any]) -> Iterator[str]:
    """Yield the differences of what is written from an `encode` case of sse.json."""
    sse = _optional("sse")
    try:
        encoder = sse.Encoder(case["stream_id"])
        written = b"".join(encoder.encode(from_json(wire)) for wire in case["events"])
        expected = bytes.fromhex(case["bytes_hex"])
    except (KeyError, TypeError, ValueError) as error:
        yield f"expected stream_id, events and bytes_hex, got {error!r:.200}"
        return
    if written != expected:
        yield f"written, {_difference(expected, written)}"


# Each file, the module that it needs besides the codec, and for each list in it the function that
# yields the differences of a case.
_FILES: list[tuple[str, str | None, dict[str, Callable[[dict[str, Any]], Iterator[str]]]]] = [
    ("corpus.json", None, {"entries": _entry_differences}),
    ("decode.json", None, {"cases": _decode_differences}),
    ("streams.json", "order", {"cases": _stream_differences}),
    ("sse.json", "sse", {"decode": _received_differences, "encode": _sent_differences}),
]


def _recording_differences(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    """Read recorded lines, write them again, and yield the differences."""
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
