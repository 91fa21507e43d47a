# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The tests pass with `-O`, and write nothing into the checkout.

The gate runs them in a copy of what git does not ignore, and compares the times of all files and
folders before and after: a file that was created and deleted again has changed that of its folder.
It needs git.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .. import ROOT

SUITE = ["-O", "-W", "error", "-m", "unittest", "discover", "-t", ".", "-s", "tests"]


def times(folder: Path) -> dict[str, int]:
    """Return when each file and folder below this one was last changed."""
    return {
        str(path.relative_to(folder)): path.lstat().st_mtime_ns
        for path in (folder, *folder.rglob("*"))
    }


def main() -> int:
    """Run the tests in a copy; return 0 if they pass and leave it as it was."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "checkout")
        for name in filter(None, files.split("\0")):
            if (ROOT / name).exists():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        before = times(copy)
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        run = subprocess.run([sys.executable, *SUITE], cwd=copy, env=environment)
        after = times(copy)
    changed = sorted(dict(before.items() ^ after.items()))
    if changed:
        print("the tests have written into the checkout:", *changed, sep="\n  ")
    return 1 if changed or run.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
