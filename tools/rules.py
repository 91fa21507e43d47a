# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`python -m tools.rules`: write the table of docs/order.md from `axon_events/_rules.py`."""

import re
import sys
from pathlib import Path

from axon_events._rules import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "order.md"
HEAD = "| rule | broken by | the checker then assumes |\n|---|---|---|\n"


def table() -> str:
    """Return the table of rules in Markdown."""
    rows = (f"| `{row.rule.value}` | {row.broken_by} | {row.assumed} |\n" for row in TABLE)
    return HEAD + "".join(rows)


def main() -> int:
    """Replace the table of the page; return 0, or 1 if the page has none."""
    text = PAGE.read_text("utf-8")
    start = text.find(HEAD)
    if start < 0:
        print(f"{PAGE}: expected the line {HEAD.splitlines()[0]!r}", file=sys.stderr)
        return 1
    rest = re.sub(r"\A(\|.*\n)+", "", text[start:])
    PAGE.write_text(text[:start] + table() + rest, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
