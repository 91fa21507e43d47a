# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""pydantic and FastAPI, an old and a new version of each, read and write events by the wire form.

The gate installs each pair of versions into an environment of its own, from oldest.txt and
newest.txt, and runs `checks.py` there. It needs Python 3.11 or 3.12, for which both pairs exist.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from ... import ROOT

FOLDER = Path(__file__).resolve().parent
# Each list is complete: to resolve or to build would take longer than the checks.
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
INSTALL = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--requirement"]
# A warning of pydantic is a fault; what the libraries say of each other is not.
CHECKS = ["-W", "error::UserWarning", "-m", "unittest", f"{__package__}.checks"]


def main() -> int:
    """Install and check each pair; return 0 if all is well."""
    status = 0
    for name in ("oldest", "newest"):
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder)
            python = str(Path(folder, "Scripts" if sys.platform == "win32" else "bin", "python"))
            requirements = str(FOLDER / f"{name}.txt")
            install = [*PIP, "--python", python, *INSTALL, requirements]
            print(f"{name}.txt", flush=True)
            for command in (install, [python, *CHECKS]):
                if subprocess.run(command, cwd=ROOT).returncode:
                    status = 1
                    break
    return status


if __name__ == "__main__":
    sys.exit(main())
