# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""corpus/schema.json is a sound JSON Schema and decides as the corpus does.

Every entry of corpus.json and every case of decode.json that parses as JSON is validated with the
`jsonschema` package. The schema must decide as axon_events does, except for the cases that JSON
Schema cannot tell: its description names them, and no other may differ.
"""

import json
import sys
from typing import Any, NoReturn

from jsonschema import Draft202012Validator

from .. import CORPUS

# What JSON Schema cannot tell, by the names of the cases, and why.
UNTOLD = {
    "strings.surrogate-": "parsers keep lone surrogates",
    "numbers.": "parsers take a number that no double can hold",
    "duplicates.": "parsers drop all but one of duplicate members",
    "key-order.reversed-with-duplicate": "as above",
    "types.integer-": "1.0, 1e2 and -0 are integers to JSON Schema",
    "nesting.": "parsers read more than 127 levels",
}


def load(name: str) -> Any:
    return json.loads((CORPUS / name).read_bytes())


def parsed(case: dict[str, Any]) -> Any:
    """Return the document of a case as a JSON parser gives it, or raise ValueError."""

    def no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    document = bytes.fromhex(case["input_hex"]).decode() if "input_hex" in case else case["input"]
    return json.loads(document, parse_constant=no_constant)


def main() -> int:
    """Check all; return 0 if the schema is sound and decides as it should."""
    schema = load("schema.json")
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    faults = [
        f"corpus.json: {entry['name']}: refused"
        for entry in load("corpus.json")["entries"]
        if not validator.is_valid(entry["expected_json"])
    ]
    judged = 0
    untold = []
    for case in load("decode.json")["cases"]:
        try:
            document = parsed(case)
        except ValueError:
            continue
        judged += 1
        if validator.is_valid(document) != ("reason" not in case):
            untold.append(case["name"])
    named = schema["description"].partition("cannot tell: ")[2].removesuffix(".").split(", ")
    faults += [f"decode.json: {name}: decided otherwise" for name in set(untold) - set(named)]
    faults += [
        f"decode.json: {name}: no reason is known why the schema cannot tell it"
        for name in untold
        if not name.startswith(tuple(UNTOLD))
    ]
    faults += [
        f"schema.json: {name}: named, but decided alike" for name in set(named) - set(untold)
    ]
    print(*sorted(faults), sep="\n", end="\n" * bool(faults))
    print(f"schema.json: {judged} cases judged, {len(untold)} of them untold, {len(faults)} faults")
    return 1 if faults or judged < 200 else 0


if __name__ == "__main__":
    sys.exit(main())
