# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Fuzz `from_json` or `sse.Decoder` with atheris, guided by the coverage of the package.

python -m tests.faults.fuzz from_json -max_total_time=600
python -m tests.faults.fuzz sse -max_total_time=600

What follows the target are libFuzzer's options and folders; see README.md of this folder. It begins
with the corpus and a dictionary of the words of the language. An input for which a property of
`properties` does not hold is printed and written to a file `crash-…`.
"""

import importlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .. import CORPUS

# By its name, since type checkers do not find it: requirements.txt is installed beside the project.
atheris: Any = importlib.import_module("atheris")

with atheris.instrument_imports(include=["axon_events"]):
    from axon_events import EVENT_TYPES

    from . import properties

SSE_WORDS = ["data", "event", "id", "retry", ":", " ", "\\x0a", "\\x0d", "\\x0d\\x0a", "\\x0a\\x0a"]
SSE_WORDS += ["\\xef\\xbb\\xbf", "\\x00", "999999999999999999", "message", "data: "]
JSON_WORDS = ["true", "false", "null", "-0", "1e400", "18446744073709551616", "NaN", "\\\\ud800"]
JSON_WORDS += ["\\\\u0041", '\\"', '{\\"', '\\":', ',\\"', "[[[[[[[[", "]]]]]]]]", "\\x00", "1.5"]


def recorded() -> Iterator[bytes]:
    for path in sorted((CORPUS / "recorded").glob("*.jsonl")):
        yield from path.read_bytes().splitlines()


def documents() -> Iterator[bytes]:
    """Yield what to begin with: the events and the documents of the corpus."""
    yield from recorded()
    for entry in json.loads((CORPUS / "corpus.json").read_bytes())["entries"]:
        yield entry["wire"].encode()
    for case in json.loads((CORPUS / "decode.json").read_bytes())["cases"]:
        text = case.get("input")
        yield bytes.fromhex(case["input_hex"]) if text is None else text.encode()


def streams() -> Iterator[bytes]:
    """Yield streams, each behind the two bytes that say how it is tested."""
    yield b"\x00\x00id: 1\nevent: step_token\ndata: {}\n\n: a comment\n\nretry: 500\r\n\r\n"
    yield b"\x40\x01\xef\xbb\xbfdata:a\rdata: b\r\r\nid\n\ndata"
    for line in recorded():
        yield b"\x00\x02id: 1\nevent: step_token\ndata: " + line + b"\n\n"


def try_document(data: bytes) -> str:
    return properties.from_json_holds(data)


def try_stream(data: bytes) -> str:
    limit, seed = (*data[:2], 0, 0)[:2]
    return properties.decoder_holds(data[2:], limit or 2**24, seed)


Target = tuple[Callable[[bytes], str], Callable[[], Iterator[bytes]], list[str]]
TARGETS: dict[str, Target] = {
    "from_json": (
        try_document,
        documents,
        [*JSON_WORDS, *EVENT_TYPES, *{n for c in EVENT_TYPES.values() for n in c.__match_args__}],
    ),
    "sse": (try_stream, streams, SSE_WORDS),
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.faults.fuzz {{{','.join(TARGETS)}}} [OPTION…] [FOLDER…]")
    test, seeds, words = TARGETS[sys.argv[1]]
    counts: Counter[str] = Counter()

    def count(data: bytes) -> None:
        counts[test(data)] += 1
        if counts.total() % 100_000 == 0:
            print(f"{counts.total()} inputs: {dict(counts.most_common())}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        # What is found goes to the first folder that is named, so to the temporary one by default.
        seeded = Path(folder, "seeds")
        seeded.mkdir()
        for number, seed in enumerate(seeds()):
            (seeded / str(number)).write_bytes(seed)
        dictionary = Path(folder, "words")
        dictionary.write_text("".join(f'"{word}"\n' for word in words))
        options = [f"-dict={dictionary}", "-max_len=1024", "-timeout=10"]
        atheris.Setup([sys.argv[0], *options, *sys.argv[2:], str(seeded)], count)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
