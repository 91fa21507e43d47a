# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The gates: the tests import none of them, and their page has the promise of each."""

import ast
import re
import sys
import unittest
from pathlib import Path

GATES = Path(__file__).parent / "gates"


class Gates(unittest.TestCase):
    def test_no_test_imports_a_gate(self) -> None:
        package = f"{__package__}.gates."
        self.assertEqual([name for name in sys.modules if name.startswith(package)], [])

    def test_their_page_has_the_promise_of_each(self) -> None:
        promises = []
        for path in sorted([*GATES.glob("*.py"), *GATES.glob("*/__main__.py")]):
            source = path.read_text("utf-8")
            if '__name__ == "__main__"' in source:
                name = path.parent.name if path.stem == "__main__" else path.stem
                promise = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
                promises.append((name, promise))
        page = (GATES / "README.md").read_text("utf-8")
        self.assertGreater(len(promises), 10)
        self.assertEqual(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.M), sorted(promises))


if __name__ == "__main__":
    unittest.main()
