# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The record of a vendored copy: what `make vendor` copied, and what has changed since.

Needs nothing of the package, so it also judges a copy that is too broken to start: run this file
by its path. The record lies beside the folders that it lists. Its comments hold the version, the
command that made the copy, and the SHA-256 of all its other lines; then comes a line for each file,
in the form that `sha256sum -c` reads.
"""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "FOLDERS",
    "PACKAGE",
    "RECORD",
    "Finding",
    "Record",
    "contents",
    "edits",
    "judgement",
    "main",
]

PACKAGE = "axon_events"
# The folders that are copied.
FOLDERS = (PACKAGE, "corpus")
RECORD = f"{PACKAGE}.sha256"

# What running, building and file managers leave in the folders.
_LEFT_BEHIND = {"__pycache__", ".DS_Store", "corpus/reference/target"}


def contents(root: Path) -> dict[str, bytes]:
    """Return the content of each file in the two folders, by its path from `root`, in order.

    Paths have slashes and lines end in LF on every platform. Links are followed. A folder that is
    missing has no files. Raises OSError for a file that cannot be read.
    """
    found = {}
    for folder in FOLDERS:
        for parent, names, files in os.walk(root / folder, followlinks=True):
            inside = Path(parent).relative_to(root).as_posix()
            names[:] = [name for name in names if not _is_left_behind(inside, name)]
            for name in files:
                if not _is_left_behind(inside, name):
                    # None of our files has a CR, but git may check them out with CRLF.
                    content = Path(parent, name).read_bytes().replace(b"\r\n", b"\n")
                    found[f"{inside}/{name}"] = content
    return dict(sorted(found.items()))


def _is_left_behind(inside: str, name: str) -> bool:
    return name in _LEFT_BEHIND or f"{inside}/{name}" in _LEFT_BEHIND


@dataclass(frozen=True)
class Record:
    """What was copied.

    - `version`: of the package; `command`: the `make vendor` that copied it, without `DEST`.
    - `files`: the SHA-256 of each file, in hexadecimal, by its path.
    """

    version: str
    command: str
    files: Mapping[str, str]

    @classmethod
    def of(cls, version: str, command: str, contents: Mapping[str, bytes]) -> "Record":
        """Return the record of these contents."""
        digests = {path: hashlib.sha256(content) for path, content in contents.items()}
        return cls(version, command, {path: digest.hexdigest() for path, digest in digests.items()})

    def __str__(self) -> str:
        head = (
            f"# {PACKAGE} {self.version}\n"
            f"# copied by {self.command}\n"
            f"# to compare: sha256sum -c {RECORD}\n"
        )
        lines = "".join(f"{digest}  {path}\n" for path, digest in self.files.items())
        digest = hashlib.sha256(f"{head}{lines}".encode()).hexdigest()
        return f"{head}# SHA-256 of the other lines: {digest}\n{lines}"

    @classmethod
    def read(cls, text: str) -> "Record":
        """Return the record that has this text; raise ValueError if it was edited or cut."""
        lines = text.splitlines()
        first, second, *_ = [*lines, "", ""]
        version = first.removeprefix(f"# {PACKAGE} ")
        command = second.removeprefix("# copied by ")
        pairs = [line.partition("  ") for line in lines if not line.startswith("#")]
        record = cls(version, command, {path: digest for digest, _, path in pairs})
        # Its own digest is among the lines, so an edit of any other line shows.
        if str(record).splitlines() != lines:
            raise ValueError("expected the record as make vendor wrote it, got it edited or cut")
        return record


class Finding(NamedTuple):
    """What is wrong with a file. As text, it is one line without control characters."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}".encode("unicode_escape").decode("ascii")


_MISSING = "missing"
# By whether the record has the file and whether the copy has it.
_EDITS = {(True, True): "edited", (True, False): _MISSING, (False, True): "added"}


def edits(package: Path) -> list[Finding] | None:
    """Return each file of a copy that differs from the record: edited, missing or added.

    `package` is the copied folder. A damaged record is the one finding. Returns None if there is no
    record beside the folder, and for a folder that was renamed. Raises OSError for a file that
    cannot be read.
    """
    path = package.parent / f"{package.name}.sha256"
    if path.name != RECORD or not path.is_file():
        return None
    try:
        record = Record.read(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return [Finding(RECORD, str(error))]
    recorded = record.files
    found = Record.of("", "", contents(package.parent)).files
    return [
        Finding(file, _EDITS[file in recorded, file in found])
        for file in sorted({**recorded, **found})
        if recorded.get(file) != found.get(file)
    ]


def judgement(edits: Sequence[Finding]) -> str:
    """Return in words whether a copy with these edits is as it was vendored."""
    if not edits:
        return "is as it was vendored"
    judgement = f"was edited: {len(edits)} file{'s' * (len(edits) != 1)}"
    if any(edit.what == _MISSING for edit in edits):
        # A rule such as `*.jsonl` in the .gitignore of a host takes files out of each commit.
        judgement += "; does git ignore what is missing?"
    return judgement


def main(package: Path) -> int:
    """Print each edit of a copy; return 0 for none, 1 for some, 2 if that is unknown.

    `package` is the copied folder.
    """
    try:
        found = edits(package)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    if found is None:
        print(f"{package}: there is no {RECORD} beside it to compare it with", file=sys.stderr)
        return 2
    print(*found, f"{PACKAGE} {judgement(found)}", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1]))
