# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What decoded tokens keep in memory."""

import gc
import itertools
import tracemalloc
from collections.abc import Callable

from axon_events import StepToken, to_json

from .models import LIBRARIES, TOKENS
from .race import compare

COUNT = 100_000


def _bytes_each(decode: Callable[[bytes], object], documents: list[bytes]) -> float:
    gc.collect()
    tracemalloc.start()
    events = [decode(document) for document in documents]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(events)


def run() -> None:
    """Print the table of the memory of tokens, as Python's allocators count it."""
    documents = [
        to_json(StepToken(event.step_name, event.content, n, 1_700_000_000_000 + n)).encode()
        for n, event in zip(range(1, COUNT + 1), itertools.cycle(TOKENS), strict=False)
        if type(event) is StepToken
    ]
    sizes = {name: _bytes_each(library.decode, documents) for name, library in LIBRARIES.items()}
    compare(f"memory of {COUNT:,} tokens", "bytes each", sizes, {}, float)
