# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""No input that a fuzzer finds breaks a property of `from_json` or of `sse.Decoder`.

    python -m tests.gates.fuzz {from_json,sse} [--minutes 10] [--seed N] [PATH…]

atheris drives libFuzzer by the coverage of the package, starting from the corpus and a dictionary
of the language's words. An input that breaks a property of `tests/properties.py` is printed and
written to a file `crash-…`; name that file to try it again. The gate needs what requirements.txt
names.
"""

import argparse
import importlib
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .. import CORPUS

# Imported by name, since type checkers do not find it: it is no development tool of the project.
atheris: Any = importlib.import_module("atheris")

# Importing the package of the tests has loaded it already, without instruments.
for module in [name for name in sys.modules if name.partition(".")[0] == "axon_events"]:
    del sys.modules[module]
with atheris.instrument_imports(include=["axon_events"]):
    from axon_events import EVENT_TYPES, to_dict

    from .. import properties
    from ..samples import EVENTS

SSE_WORDS = ["data", "event", "id", "retry", ":", " ", "\\x0a", "\\x0d", "\\x0d\\x0a", "\\x0a\\x0a"]
SSE_WORDS += ["\\xef\\xbb\\xbf", "\\x00", "999999999999999999", "message", "data: "]
JSON_WORDS = ["true", "false", "null", "-0", "1e400", "18446744073709551616", "NaN", "\\\\ud800"]
JSON_WORDS += ["\\\\u0041", '\\"', '{\\"', '\\":', ',\\"', "[[[[[[[[", "]]]]]]]]", "\\x00", "1.5"]

FIELDS = sorted({name for cls in EVENT_TYPES.values() for name in cls.__match_args__})
NAMES = [json.dumps(name) for name in ("kind", "unknown", *FIELDS)] + ['"\\u006bind"']
VALUES = [json.dumps(kind) for kind in EVENT_TYPES]
VALUES += ["0", "-0", "-1", "1.0", "1e2", "18446744073709551615", "18446744073709551616", "1e400"]
VALUES += ["true", "false", "null", '""', '"\\ud83d\\ude00"', '"\\ud800"', '"\u2028"', "{}", "[{}]"]
VALUES += ["9" * 309, "9" * 310, "[" * 126 + "]" * 126, "[" * 127 + "]" * 127, "NaN", "01", "'x'"]
EVENT_MEMBERS = [
    [(json.dumps(name), json.dumps(value)) for name, value in to_dict(event).items()]
    for event in EVENTS
]


def recorded() -> Iterator[bytes]:
    for path in sorted((CORPUS / "recorded").glob("*.jsonl")):
        yield from path.read_bytes().splitlines()


def documents() -> Iterator[bytes]:
    """Yield the documents of the corpus, to begin with."""
    yield from recorded()
    for entry in json.loads((CORPUS / "corpus.json").read_bytes())["entries"]:
        yield entry["wire"].encode()
    for case in json.loads((CORPUS / "decode.json").read_bytes())["cases"]:
        text = case.get("input")
        yield bytes.fromhex(case["input_hex"]) if text is None else text.encode()


def streams() -> Iterator[bytes]:
    """Yield streams, each after two bytes that say how to test it (see `try_stream`)."""
    yield b"\x00\x00id: 1\nevent: step_token\ndata: {}\n\n: a comment\n\nretry: 500\r\n\r\n"
    yield b"\x40\x01\xef\xbb\xbfdata:a\rdata: b\r\r\nid\n\ndata"
    for line in recorded():
        yield b"\x00\x02id: 1\nevent: step_token\ndata: " + line + b"\n\n"


def remade(data: bytes, max_size: int, seed: int) -> bytes:
    """Return the bytes with changes, or more often a document with changed members.

    Changed bytes are seldom JSON, so they alone would try little of what comes after the parser.
    """
    rng = random.Random(seed)
    if rng.random() < 0.3:
        return bytes(atheris.Mutate(data, max_size))
    try:
        pairs = json.loads(data, object_pairs_hook=list)
        members = [(json.dumps(name), json.dumps(value)) for name, value in pairs]
    except (ValueError, TypeError, RecursionError):
        members = []
    members = members or list(rng.choice(EVENT_MEMBERS))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(members))
        name, value = members[at]
        match rng.randrange(6):
            case 0:
                members.insert(rng.randrange(len(members) + 1), rng.choice(members))
            case 1 if len(members) > 1:
                del members[at]
            case 2:
                rng.shuffle(members)
            case 3:
                members[at] = rng.choice(NAMES), value
            case 4:
                members[at] = name, rng.choice(VALUES)
            case _:
                text = value.encode()[:100]
                changed = bytes(atheris.Mutate(text, len(text) + 20))
                members[at] = name, changed.decode(errors="replace")
    colon, comma = rng.choice(((":", ","), (": ", ", "), (" :\n", "\t,\r")))
    return f"{{{comma.join(colon.join(member) for member in members)}}}".encode()[:max_size]


def try_document(data: bytes) -> str:
    return properties.from_json_holds(data)


def try_stream(data: bytes) -> str:
    """Test a stream: the first byte limits a frame (0: it does not), the second seeds the cuts."""
    limit, seed = (*data[:2], 0, 0)[:2]
    return properties.decoder_holds(data[2:], limit or 2**24, seed)


class Target(NamedTuple):
    test: Callable[[bytes], str]
    seeds: Callable[[], Iterator[bytes]]
    words: list[str]
    max_len: int  # of the inputs, in bytes
    mutator: Callable[[bytes, int, int], bytes] | None = None


TARGETS = {
    "from_json": Target(
        try_document, documents, [*JSON_WORDS, *EVENT_TYPES, *FIELDS], 1024, remade
    ),
    "sse": Target(try_stream, streams, SSE_WORDS, 256),
}


def main() -> None:
    """Fuzz a target for some minutes, or try the files that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.gates.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=10, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**32), help="(random)")
    parser.add_argument("paths", metavar="PATH", nargs="*", help="files to try, or seed folders")
    arguments = parser.parse_args()
    test, seeds, words, max_len, mutator = TARGETS[arguments.target]
    counts: Counter[str] = Counter()

    def count(data: bytes) -> None:
        counts[test(data)] += 1
        if counts.total() % 100_000 == 0:
            print(f"{counts.total()} inputs: {dict(counts.most_common())}", flush=True)

    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        seeded = Path(folder, "seeds")
        seeded.mkdir()
        for number, seed in enumerate(seeds()):
            (seeded / str(number)).write_bytes(seed)
        dictionary = Path(folder, "words")
        dictionary.write_text("".join(f'"{word}"\n' for word in words))
        options = [
            f"-dict={dictionary}",
            f"-max_len={max_len}",
            f"-max_total_time={round(60 * arguments.minutes)}",
            f"-seed={arguments.seed}",
            "-timeout=10",
        ]
        # libFuzzer takes only files, or only folders, and keeps what it finds in the first folder.
        only_files = arguments.paths and all(map(os.path.isfile, arguments.paths))
        paths = [*arguments.paths, *[str(seeded)] * (not only_files)]
        mutators = {"custom_mutator": mutator} if mutator else {}
        atheris.Setup([sys.argv[0], *options, *paths], count, **mutators)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
