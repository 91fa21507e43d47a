# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A small part of the corpus, for tests of what `verify` says and not of the package."""

import functools
import json
from pathlib import Path
from typing import Any

from . import CORPUS

# Each list of cases, and the file that has it.
LISTS = (
    ("corpus.json", "entries"),
    ("decode.json", "cases"),
    ("streams.json", "cases"),
    ("sse.json", "decode"),
    ("sse.json", "encode"),
)


def loaded(name: str) -> Any:
    """Return a file of the corpus."""
    return json.loads((CORPUS / name).read_bytes())


@functools.cache
def _part(name: str) -> str:
    return json.dumps(
        {
            key: value[:7] if isinstance(value, list) else value
            for key, value in loaded(name).items()
        }
    )


def part_of(name: str) -> Any:
    """Return a file of the corpus with seven cases of each list: of each variant one entry."""
    return json.loads(_part(name))


def write_part(folder: Path) -> None:
    """Write such a corpus, with the beginnings of two recordings."""
    recorded = folder / "recorded"
    recorded.mkdir(parents=True)
    for name in ("failed.jsonl", "unstreamed.jsonl"):
        lines = (CORPUS / "recorded" / name).read_bytes().splitlines(keepends=True)
        (recorded / name).write_bytes(b"".join(lines[:9]))
    for name in dict(LISTS):
        (folder / name).write_text(_part(name), encoding="utf-8")
