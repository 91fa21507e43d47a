# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""An environment with what a gate needs, from a list of pinned versions."""

import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["installed"]


def installed(folder: str, requirements: Path) -> str:
    """Make an environment in a folder, and return its Python.

    - `requirements`: a complete list, for which wheels exist: to resolve or to build would take
      longer than the checks.

    Raises subprocess.CalledProcessError if something cannot be installed.
    """
    venv.create(folder)
    python = str(Path(folder, "Scripts" if sys.platform == "win32" else "bin", "python"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    wheels = ["--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "install", *wheels, "--requirement", str(requirements)], check=True)
    return python
