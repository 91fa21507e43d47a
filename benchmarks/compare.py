# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`python -m benchmarks.compare BEFORE AFTER`: two files of `--json` side by side, as Markdown.

Two runs differ by the machine as well. The peers of a table did the same in both runs, so the
geometric mean of their ratios (`peers`) says how much the machine has changed. The ratio of
axon_events divided by that (`beyond peers`) is the change of its code; below 1 is quicker.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from .race import table


def load(path: Path) -> dict[str, Any]:
    """Return what a file of `--json` has; ValueError if it is none."""
    measured = json.loads(path.read_bytes())
    if not isinstance(measured, dict) or measured.get("format") != 1:
        raise ValueError(f"{path}: expected a file that `python -m benchmarks --json` has written")
    return measured


def _ratios(before: dict[str, float], after: dict[str, float], unit: str) -> list[float]:
    """Return the cost after as a multiple of the cost before, for each contestant of both runs."""
    pairs = [(before[name], now) for name, now in after.items() if name in before]
    return [(was / now if unit == "MB/s" else now / was) for was, now in pairs]


def rows(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each table that both runs have: the figures, their ratio, the peers'."""
    earlier = {one["title"]: one["figures"] for one in before["tables"]}
    found: list[tuple[str, ...]] = []
    for one in after["tables"]:
        was = earlier.get(one["title"], {})
        ours = next(iter(one["figures"]))
        if ours not in was:
            continue
        ratio, *peers = _ratios(was, one["figures"], one["unit"])
        machine = math.prod(peers) ** (1 / len(peers)) if peers else 1.0
        found.append(
            (
                f"{one['title']}, {one['unit']}",
                f"{was[ours]:,.4g}",
                f"{one['figures'][ours]:,.4g}",
                f"{ratio:.2f}",
                f"{machine:.2f}" if peers else "",
                f"{ratio / machine:.2f}",
            )
        )
    return found


def main() -> None:
    """Print the versions that differ, the table, and what only one of the runs has."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare")
    parser.add_argument("before", type=Path, metavar="BEFORE")
    parser.add_argument("after", type=Path, metavar="AFTER")
    arguments = parser.parse_args()
    try:
        before, after = load(arguments.before), load(arguments.after)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    for name in dict.fromkeys([*before["versions"], *after["versions"]]):
        was, now = (run["versions"].get(name, "none") for run in (before, after))
        if was != now:
            print(f"- {name}: {was}, then {now}")
    print()
    table(("", "before", "after", "ratio", "peers", "beyond peers"), rows(before, after))
    titles = [{one["title"] for one in run["tables"]} for run in (before, after)]
    for title in sorted(titles[0] ^ titles[1]):
        print(f"- only {'before' if title in titles[0] else 'after'}: {title}")


if __name__ == "__main__":
    main()
