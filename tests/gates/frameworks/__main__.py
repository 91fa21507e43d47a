# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""pydantic and FastAPI, an old and a new version of each, read and write events by the wire form.

The gate installs each pair of versions into an environment of its own, from oldest.txt and
newest.txt, and runs `checks.py` there. It needs Python 3.11 or 3.12, for which both pairs exist.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from ... import ROOT
from ..environment import installed

FOLDER = Path(__file__).resolve().parent
# A warning of pydantic is a fault; what the libraries say of each other is not.
CHECKS = ["-W", "error::UserWarning", "-m", "unittest", f"{__package__}.checks"]


def main() -> int:
    """Install and check each pair; return 0 if all is well."""
    status = 0
    for name in ("oldest", "newest"):
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}.txt", flush=True)
            try:
                python = installed(folder, FOLDER / f"{name}.txt")
                subprocess.run([python, *CHECKS], cwd=ROOT, check=True)
            except subprocess.CalledProcessError:  # which has printed why
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
