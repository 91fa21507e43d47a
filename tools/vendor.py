# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make vendor DEST=path`: copy the package and the corpus into another repository.

Beside the two folders it writes the record of what they have; VENDORING.md tells all about it.
A copy that is there already is replaced, unless that would lose what somebody has edited.
"""

import argparse
import ast
import os
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from axon_events import __version__
from axon_events.cli.record import FOLDERS, PACKAGE, RECORD, Record, contents, edits

ROOT = Path(__file__).resolve().parent.parent

# What every copy has, with what these import: the core, and `verify`.
ALWAYS = ("", "__main__", "cli", "cli.verify")
# What names in ONLY that which every copy has.
CORE = "core"


class _Imports(ast.NodeVisitor):
    """Collects what the relative imports of a module may mean, as dotted names in the package.

    Imports for type checkers alone are left out. The names include those of classes and functions.
    """

    def __init__(self, package: str) -> None:
        self._package = package.split(".") if package else []  # that holds the module
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:  # named by ast
        for_checkers = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for child in node.orelse if for_checkers else ast.iter_child_nodes(node):
            self.visit(child)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:  # named by ast
        if node.level:
            base = self._package[: len(self._package) - node.level + 1]
            base += node.module.split(".") if node.module else []
            self.names |= {
                ".".join([*base, *name]) for name in [(), *((a.name,) for a in node.names)]
            }


def modules_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the path of each module of the package, by its dotted name; "" is the root."""
    modules = {}
    for path in map(PurePosixPath, files):
        if path.parts[0] == PACKAGE and path.suffix == ".py":
            parts = path.with_suffix("").parts[1:]
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = str(path)
    return modules


def public(modules: Collection[str]) -> list[str]:
    """Return the public modules and packages of the root."""
    roots = {name.partition(".")[0] for name in modules}
    return sorted(name for name in roots if name != "cli" and name[:1] not in ("", "_"))


def needed(files: Mapping[str, bytes], chosen: Collection[str]) -> dict[str, bytes]:
    """Return the files of a copy for a runtime that imports these public modules.

    That is what they import, the core, `verify` and the corpus.
    """
    modules = modules_of(files)
    todo = [name for name in modules if name in ALWAYS or name.partition(".")[0] in chosen]
    found = set()
    while todo:
        name = todo.pop()
        if name in modules and modules[name] not in found:
            path = modules[name]
            found.add(path)
            is_package = path.endswith("/__init__.py")
            package = name if is_package else name.rpartition(".")[0]
            imports = _Imports(package)
            imports.visit(ast.parse(files[path]))
            todo += [package, *imports.names]

    def is_needed(file: str) -> bool:
        folder, _, inside = file.partition("/")
        if folder != PACKAGE or file in found:
            return True
        # Of what is no module: LICENSE, py.typed, and whatever a chosen package brings.
        return not file.endswith(".py") and ("/" not in inside or inside.split("/")[0] in chosen)

    return {file: content for file, content in files.items() if is_needed(file)}


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


def record_of(dest: Path) -> Record | None:
    """Return the record of the copy in that folder, or None if there is none that can be read."""
    try:
        return Record.read((dest / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write(dest: Path, files: Mapping[str, bytes], record: Record) -> None:
    """Replace what is in that folder with these files and their record: all of it or nothing."""
    dest.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{PACKAGE}-", dir=dest) as temporary,
        ExitStack() as undo,
    ):
        old, new = Path(temporary, "old"), Path(temporary, "new")
        old.mkdir()
        for file, content in {**files, RECORD: str(record).encode()}.items():
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
    """Copy; return 0, 1 if that would lose edits, or 2 for bad arguments."""
    parser = argparse.ArgumentParser(
        prog="make vendor", description="Copy the package and the corpus, and record the copy."
    )
    parser.add_argument("dest", metavar="DEST", help="the folder that is to have the copy")
    parser.add_argument("--cli", action="store_true", help="copy every command, not verify alone")
    parser.add_argument("--only", metavar="NAMES", help="copy these modules and the core alone")
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
    only = sorted({*(arguments.only or "").split()})
    if arguments.only is not None and not only:
        complain(
            f"ONLY is empty: leave it out to copy all modules; ONLY={CORE} copies none of them"
        )
        return 2
    if only and arguments.cli:
        complain("the commands need every module: give CLI=1 or ONLY, not both")
        return 2
    try:
        files = contents(ROOT)
        names = [CORE, *public(modules_of(files))]
        unknown = [name for name in only if name not in names]
        if unknown:
            complain(f"no module {', '.join(unknown)}: ONLY takes any of {', '.join(names)}")
            return 2
        lost = [] if arguments.force else losses(dest)
        if lost:
            print(*lost, sep="\n", file=sys.stderr)
            complain("nothing was written, to keep these; FORCE=1 overwrites them")
            return 1
        command = "make vendor"
        if arguments.cli:
            command += " CLI=1"
        else:
            files = needed(files, only or names)
        if only:
            command += f' ONLY="{" ".join(only)}"'
        record = Record.of(__version__, command, files)
        before = record_of(dest)
        unchanged = ", unchanged" if before == record and not edits(dest / PACKAGE) else ""
        write(dest, files, record)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
        return 2
    print(f"{dest}: axon_events {__version__}, {len(files)} files, recorded in {RECORD}{unchanged}")
    if before is not None and before.command != command:
        print(f"{dest}: copied by {command}; the copy before, by {before.command}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
