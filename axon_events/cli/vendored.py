# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The record of a vendored copy: what was copied, and so what was edited since.

`make vendor` writes it beside the folders that it copies. Comments come first, with the version
and the SHA-256 of all the lines that follow; each of those has the SHA-256 of a file, in the form
that `sha256sum -c` reads.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FOLDERS", "PACKAGE", "RECORD", "Record", "contents", "edits"]

PACKAGE = "axon_events"
# What is copied.
FOLDERS = (PACKAGE, "corpus")
RECORD = f"{PACKAGE}.sha256"

# What running and building leave in the folders, and what a file manager does.
_LEFT_BEHIND = {"__pycache__", ".DS_Store", "corpus/reference/target"}


def contents(root: Path) -> dict[str, bytes]:
    """Return the content of each file of the two folders, by its path from `root`, in order.

    The paths have slashes, and the lines end in LF, on every platform. Links are followed.
    Raises OSError for a file that cannot be read; a folder that is missing has no files.
    """
    found = {}
    for folder in FOLDERS:
        for parent, names, files in os.walk(root / folder):
            inside = Path(parent).relative_to(root).as_posix()
            names[:] = [name for name in names if not _is_left_behind(inside, name)]
            for name in files:
                if not _is_left_behind(inside, name):
                    # No file of ours has a CR; a checkout of them may have.
                    content = Path(parent, name).read_bytes().replace(b"\r\n", b"\n")
                    found[f"{inside}/{name}"] = content
    return dict(sorted(found.items()))


def _is_left_behind(inside: str, name: str) -> bool:
    return name in _LEFT_BEHIND or f"{inside}/{name}" in _LEFT_BEHIND


@dataclass(frozen=True)
class Record:
    """A version and the SHA-256 of each file of it, by its path."""

    version: str
    files: Mapping[str, str]

    @classmethod
    def of(cls, version: str, contents: Mapping[str, bytes]) -> "Record":
        """Return the record of these contents."""
        return cls(
            version,
            {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()},
        )

    @property
    def lines(self) -> str:
        """A line for each file, as `sha256sum` writes it."""
        return "".join(f"{digest}  {path}\n" for path, digest in self.files.items())

    @property
    def sha256(self) -> str:
        """The SHA-256 of the contents as a whole: of `lines`."""
        return hashlib.sha256(self.lines.encode()).hexdigest()

    def __str__(self) -> str:
        return (
            f"# {PACKAGE} {self.version}\n# contents {self.sha256}\n"
            f"# Written by make vendor; sha256sum -c {RECORD} compares.\n{self.lines}"
        )

    @classmethod
    def read(cls, text: str) -> "Record":
        """Return the record that has this text, or raise ValueError."""
        lines = text.splitlines()
        version = lines[0].removeprefix(f"# {PACKAGE} ") if lines else ""
        pairs = [line.partition("  ") for line in lines if not line.startswith("#")]
        record = cls(version, {path: digest for digest, _, path in pairs})
        # All of it must be as it was written: its own sum is among its lines.
        if str(record).splitlines() != lines:
            raise ValueError("expected it as make vendor writes it, got it edited or cut")
        return record


def edits(package: Path) -> list[tuple[str, str]] | None:
    """Return how a copy of the package, and the corpus beside it, differ from their record.

    That is, for each file, its path and whether it is edited, missing or added; a record that is
    none stands for all of them. Returns None if there is no record beside the folder `package`,
    and for a folder that was renamed. Raises OSError for a file that cannot be read.
    """
    path = package.parent / f"{package.name}.sha256"
    if path.name != RECORD or not path.is_file():
        return None
    try:
        recorded = Record.read(path.read_text(encoding="utf-8")).files
    except ValueError as error:
        return [(RECORD, str(error))]
    found = Record.of("", contents(package.parent)).files
    return [
        (file, _EDITS[file in recorded, file in found])
        for file in sorted({**recorded, **found})
        if recorded.get(file) != found.get(file)
    ]


# By whether the record has the file and whether the copy has it.
_EDITS = {(True, True): "edited", (True, False): "missing", (False, True): "added"}
