# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The wheel holds the package alone, the sdist every file, and the installed wheel works.

The unpacked sdist must agree with the corpus. The wheel, installed into a fresh environment, must
pass the tests, run as a module and as a script, and agree with the corpus. The gate needs git and
the `build` package.
"""

import email
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

from axon_events import __version__

from .. import ROOT

SUITE = ["-W", "error", "-m", "unittest", "discover", "-t", ".", "-s", "tests"]
NAME = f"axon_events-{__version__}"
# What the metadata must say, of the fields that may occur once, and of the others.
METADATA = {
    "Name": ["axon_events"],
    "Version": [__version__],
    "Author": ["the axon_events authors"],
    "License-Expression": ["MIT"],
    "License-File": ["LICENSE"],
    "Requires-Python": [">=3.10"],
    "Requires-Dist": [],
    "Description-Content-Type": ["text/markdown"],
}


def run(*command: object, cwd: Path) -> str:
    """Run a command and return its output, or exit with what it said."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env=environment,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}")
    return done.stdout


def require(what: str, expected: Sequence[object], actual: Sequence[object]) -> None:
    """Exit, and say in what, if two lists differ."""
    if expected != actual:
        missing = [item for item in expected if item not in actual]
        more = [item for item in actual if item not in expected]
        sys.exit(f"{what}: missing {missing}, too many {more}")


def check_wheel(wheel: Path, tracked: list[str]) -> None:
    """Exit unless the wheel has the package and its metadata, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(archive.namelist())
        about = f"{NAME}.dist-info"
        package = [name for name in tracked if name.startswith("axon_events/")]
        generated = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"]
        require(wheel.name, sorted([*package, *(f"{about}/{name}" for name in generated)]), names)
        for name in package:
            if archive.read(name) != (ROOT / name).read_bytes():
                sys.exit(f"{wheel.name}: {name} is not the one of the checkout")
        text = archive.read(f"{about}/METADATA")
        entry_points = archive.read(f"{about}/entry_points.txt").decode()
    metadata = email.message_from_bytes(text)
    for field, values in METADATA.items():
        require(f"{wheel.name}: {field}", values, metadata.get_all(field, []))
    if not metadata["Summary"] or not metadata["Keywords"] or not metadata.get_all("Classifier"):
        sys.exit(f"{wheel.name}: the metadata lacks a summary, keywords or classifiers")
    if not text.rstrip().endswith((ROOT / "README.md").read_bytes().rstrip()):
        sys.exit(f"{wheel.name}: the description is not the README")
    expected = ["[console_scripts]", "axon-events=axon_events.cli:script"]
    require("entry points", expected, entry_points.replace(" ", "").split())


def check_installed(wheel: Path, folder: Path) -> None:
    """Exit unless the wheel, in a fresh environment, works beside tests and corpus.

    `folder` is the root of the unpacked sdist, without the package.
    """
    environment = folder.parent / "environment"
    venv.create(environment, with_pip=True)
    scripts = environment / ("Scripts" if sys.platform == "win32" else "bin")
    python = scripts / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    where = run(python, "-c", "import axon_events as a; print(a.__file__)", cwd=folder).strip()
    if environment.resolve() not in Path(where).resolve().parents:
        sys.exit(f"the wheel is to be tested, and not {where}")
    for command in ([python, "-m", "axon_events"], [scripts / "axon-events"]):
        require(
            "--version",
            [NAME.replace("-", " ")],
            run(*command, "--version", cwd=folder).splitlines(),
        )
        program = "axon-events" if len(command) == 1 else "python -m axon_events"
        if not run(*command, "--help", cwd=folder).startswith(f"usage: {program} "):
            sys.exit(f"its help does not call it {program}")
        print(run(*command, "verify", folder / "corpus", cwd=folder.parent).splitlines()[-1])
        status = subprocess.run([*command, "check", "missing"], cwd=folder, capture_output=True)
        require("exit status", [2], [status.returncode])
    print(f"the wheel, installed: {ran(run(python, *SUITE, cwd=folder))}", flush=True)


def ran(output: str) -> str:
    """Return what unittest said at its end, in one line."""
    return " ".join(line for line in output.splitlines()[-3:] if line)


def main() -> int:
    """Build and try both; return 0 if all is well."""
    tracked = sorted(run("git", "ls-files", cwd=ROOT).split())
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        run(sys.executable, "-m", "build", "--outdir", work, ROOT, cwd=work)
        wheel, sdist = work / f"{NAME}-py3-none-any.whl", work / f"{NAME}.tar.gz"
        check_wheel(wheel, tracked)
        print(f"{wheel.name}: the package alone", flush=True)

        with tarfile.open(sdist) as archive:
            files = sorted(member.name for member in archive if member.isfile())
            archive.extractall(work, filter="data")
        root = work / NAME
        require(
            sdist.name,
            sorted(f"{NAME}/{name}" for name in [*tracked, "PKG-INFO"]),
            files,
        )
        print(f"{sdist.name}: every file of the repository", flush=True)
        # Its tests run below, on the wheel.
        verified = run("make", "verify", f"PYTHON={sys.executable}", cwd=root)
        print(f"the sdist, unpacked: {verified.splitlines()[-1]}", flush=True)

        shutil.rmtree(root / "axon_events")
        check_installed(wheel, root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
