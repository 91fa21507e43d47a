# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make bench`: this package's speed and size beside others', in one process, as Markdown.

Each table has the figures of one run, the ratio of axon_events' to each other one's (for MB/s, of
the time), and the project's aim for that ratio where it has one. `python -m benchmarks --json FILE`
also writes the figures to a file; `python -m benchmarks.compare` compares two such files.
"""

import argparse
from pathlib import Path

from . import codec, growth, imports, memory, models, race, sse, stream


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    path: Path | None = parser.parse_args().json

    race.print_versions(race.requirements())
    models.require_agreement()
    for group in (codec, sse, stream):
        for one in group.races():
            race.run(one)
    imports.run()
    memory.run()
    growth.run()
    race.print_aims()
    if path is not None:
        race.write(path)


if __name__ == "__main__":
    main()
