# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A client that is cut off after any byte of a stream resumes without loss or repetition.

The gate cuts a stream of 300 events after every byte, each time also with a random second cut.
"""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from ..resume import COUNT, faults, flow, logged


def found(stream_id: str | None, cuts: range) -> list[str]:
    return list(faults(cuts, stream_id))


def main() -> int:
    """Cut at every byte, on all processors; return 0 if everything was received each time."""
    bad = 0
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        # Frames with a stream id differ in their ids alone, so some of the cuts are enough.
        for stream_id, stride in ((None, 1), ("run:7", 97)):
            size = len(logged(flow(), stream_id).after())
            cuts = range(0, size + 1, stride)
            pieces = [cuts[first : first + 500] for first in range(0, len(cuts), 500)]
            for done, texts in enumerate(pool.map(partial(found, stream_id), pieces), 1):
                bad += len(texts)
                print(*texts, sep="\n", end="\n" if texts else "", flush=True)
                if sys.stderr.isatty():
                    print(f"\r{100 * done // len(pieces)}%\r", end="", file=sys.stderr)
            print(f"{COUNT} events in {size} bytes: {len(cuts)} cuts, each also with a second one")
    print(f"{bad} times other events were received than were sent")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
