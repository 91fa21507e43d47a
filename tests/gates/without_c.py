# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The codec decides and writes the same on a Python whose `json` has no C accelerator.

The gate runs the codec's tests and `verify` in a process in which `_json` cannot be imported. The
scanner that `json` then uses is more permissive than the C one: it takes `"\\u+0e9"` for a string.
"""

import subprocess
import sys

from .. import PACKAGE, ROOT

# Those of them that exist are run.
TESTS = ("test_codec", "test_strict", "test_corpus", "test_catalog", "test_properties")

PROGRAM = """
import sys
sys.modules["_json"] = None  # so that importing it fails

import importlib, json.encoder, json.scanner, unittest
if json.scanner.c_make_scanner or json.encoder.c_make_encoder:
    sys.exit("json has its C accelerator all the same")
package, *names = sys.argv[1:]
suite = unittest.defaultTestLoader.loadTestsFromNames(names)
passed = unittest.TextTestRunner().run(suite).wasSuccessful()
print(flush=True)
cli = importlib.import_module(f"{package}.cli")
sys.exit(cli.main(["verify"]) or not passed)
"""


def main() -> int:
    """Run the tests and `verify` without the accelerator; return 0 if both pass."""
    tests = ROOT / "tests"
    names = [f"tests.{name}" for name in TESTS if (tests / f"{name}.py").exists()]
    command = [sys.executable, "-W", "error", "-c", PROGRAM, PACKAGE, *names]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
