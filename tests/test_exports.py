# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What the package exports and imports, and what each of its files begins with."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import unittest
from pathlib import Path

import axon_events

from . import PACKAGE, needs

FOLDER = Path(axon_events.__file__).parent
# What `import axon_events` must not pay for.
LATE = {"asyncio", "argparse", "http", "socket", "unicodedata", "importlib.metadata"}


def sources() -> dict[str, str]:
    found = {
        path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(FOLDER.rglob("*.py"))
    }
    if len(found) < 5:
        raise AssertionError(f"found only {list(found)}")
    return found


class Exports(unittest.TestCase):
    def test_the_root_exports_the_catalog_and_the_codec(self) -> None:
        modules = [importlib.import_module(f"{PACKAGE}.{name}") for name in ("_catalog", "_codec")]
        names = {name for module in modules for name in module.__all__}
        self.assertEqual(set(axon_events.__all__), names)
        self.assertEqual(len(axon_events.__all__), len(names))
        for module in modules:
            for name in module.__all__:
                self.assertIs(getattr(axon_events, name), getattr(module, name))

    def test_every_module_says_what_is_public(self) -> None:
        names = [module.name for module in pkgutil.walk_packages([str(FOLDER)], f"{PACKAGE}.")]
        self.assertGreater(len(names), 3)
        for name in names:
            if not name.endswith(".__main__"):
                with self.subTest(name):
                    module = importlib.import_module(name)
                    for public in module.__all__:
                        self.assertTrue(hasattr(module, public), public)

    @needs.processes
    def test_importing_the_root_loads_little(self) -> None:
        code = f"import sys; before = set(sys.modules); import {PACKAGE}; print(*set(sys.modules))"
        loaded = set(
            subprocess.run(
                [sys.executable, "-W", "error", "-c", code],
                check=True,
                capture_output=True,
                text=True,
                cwd=FOLDER.parents[PACKAGE.count(".")],
            ).stdout.split()
        )
        self.assertIn(f"{PACKAGE}._codec", loaded)
        inside = {name for name in loaded if name.startswith(PACKAGE + ".")}
        core = {"_catalog", "_checked", "_codec", "_strict"}
        self.assertEqual(inside, {f"{PACKAGE}.{name}" for name in core})
        self.assertEqual(loaded & LATE, set())

    def test_only_the_standard_library_and_relative_imports(self) -> None:
        # What imports a library when that library calls it, inside a function.
        hooks = {"_pydantic.py": "pydantic_core"}
        for name, source in sources().items():
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Import):
                    roots = [alias.name.partition(".")[0] for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    roots = [(node.module or "").partition(".")[0]]
                else:
                    continue
                if roots == [hooks.get(name)] and node.col_offset > 0:
                    continue
                with self.subTest(name, line=node.lineno):
                    self.assertLessEqual(set(roots), sys.stdlib_module_names)

    def test_every_file_names_its_licence(self) -> None:
        for name, source in sources().items():
            with self.subTest(name):
                self.assertRegex(
                    source, r"\A# SPDX-License-Identifier: MIT\n# Copyright \(c\) 2026 the axon_e"
                )
        self.assertIn("MIT License", (FOLDER / "LICENSE").read_text(encoding="utf-8"))
        self.assertTrue((FOLDER / "py.typed").exists())

    def test_the_version_stands_in_one_place(self) -> None:
        self.assertRegex(axon_events.__version__, r"\A[0-9]+\.[0-9]+\.[0-9]+\Z")
        literal = re.escape(f'"{axon_events.__version__}"')
        found = [name for name, source in sources().items() if re.search(literal, source)]
        self.assertEqual(found, ["__init__.py"])


if __name__ == "__main__":
    unittest.main()
