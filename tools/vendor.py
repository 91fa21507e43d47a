# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make vendor DEST=path`: copy the package and the corpus into another repository.

Beside the two folders it writes the record of what they have; VENDORING.md tells all about it.
Where a copy is already, it is replaced, unless that would lose what somebody has edited.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from axon_events import __version__
from axon_events.cli.vendored import FOLDERS, PACKAGE, RECORD, Record, contents, edits

ROOT = Path(__file__).resolve().parent.parent


def misplaced(dest: Path) -> bool:
    """Tell whether a copy in that folder would be part of this checkout, or replace it."""
    place = dest.resolve()
    return ROOT in (place, *place.parents) or any(
        place / folder in (ROOT, *ROOT.parents) for folder in FOLDERS
    )


def losses(dest: Path) -> list[str]:
    """Return what a copy in that folder would overwrite without a trace, a line for each."""
    standing = [dest / folder for folder in FOLDERS if os.path.lexists(dest / folder)]
    if not standing:
        return []
    found = edits(dest / PACKAGE)
    if found is None:
        return [f"{path}: of unknown origin, there is no {RECORD} beside it" for path in standing]
    return [f"{dest / file}: {edit}" for file, edit in found]


def write(dest: Path, files: Mapping[str, bytes]) -> None:
    """Replace what is in that folder with these files and their record: all of it or nothing."""
    dest.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{PACKAGE}-", dir=dest) as temporary,
        ExitStack() as undo,
    ):
        old, new = Path(temporary, "old"), Path(temporary, "new")
        old.mkdir()
        for file, content in {**files, RECORD: str(Record.of(__version__, files)).encode()}.items():
            path = new / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

        def move(source: Path, target: Path) -> None:
            os.rename(source, target)
            undo.callback(os.rename, target, source)

        for name in (*FOLDERS, RECORD):
            if os.path.lexists(dest / name):
                move(dest / name, old / name)
            move(new / name, dest / name)
        undo.pop_all()


def main(argv: Sequence[str] | None = None) -> int:
    """Copy; return 0, or 1 if that would lose edits, or 2 if the folder will not do."""
    parser = argparse.ArgumentParser(
        prog="make vendor", description="Copy the package and the corpus, and record the copy."
    )
    parser.add_argument("dest", metavar="DEST", help="the folder that is to have the copy")
    parser.add_argument("--force", action="store_true", help="overwrite what was edited there")
    arguments = parser.parse_args(argv)

    def complain(text: str) -> None:
        print(f"make vendor: {text}", file=sys.stderr)

    if not arguments.dest:
        complain("name the folder that is to have the copy, make vendor DEST=path/to/_vendor")
        return 2
    dest = Path(arguments.dest).expanduser()
    if misplaced(dest):
        complain(f"{dest}: a copy there would be part of this checkout; name a folder elsewhere")
        return 2
    if dest.exists() and not dest.is_dir():
        complain(f"{dest}: expected a folder, got a file")
        return 2
    try:
        lost = [] if arguments.force else losses(dest)
        if lost:
            print(*lost, sep="\n", file=sys.stderr)
            complain("nothing was written, to keep these; FORCE=1 overwrites them")
            return 1
        files = contents(ROOT)
        write(dest, files)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
        return 2
    print(f"{dest}: axon_events {__version__}, {len(files)} files, recorded in {RECORD}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
