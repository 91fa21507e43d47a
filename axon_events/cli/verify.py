# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`verify`: checks this copy of the package against its record and the corpus.

Before it has looked at the record, it imports only the core and the reader of the record. So a
missing or broken module is a line of the output, and not a traceback.
"""

import argparse
import errno
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from pkgutil import walk_packages
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from .. import __version__
from . import record
from .record import Finding

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable
    from .conformance import Checked

__all__ = ["add_arguments", "default_corpus"]

_ROOT = __name__.rpartition(".cli.")[0]  # the name that the package goes by here


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its arguments to argparse."""
    parser.description = (
        "Compare each file with what make vendor copied, if it copied this package, and import"
        " every module. Then check the package against the corpus: write and read every entry,"
        " decide every case, judge every stream, read and write every frame, write every recorded"
        " event again, and compare with what the corpus says. Checks that need a module which this"
        " copy was made without are left out, and named."
    )
    parser.epilog = (
        "Exit status: 0 no difference; 1 differences, edited files or broken modules; 2 the corpus"
        " cannot be read."
    )
    parser.add_argument(
        "corpus",
        metavar="CORPUS",
        nargs="?",
        type=Path,
        help="the corpus folder (default: the one beside the package, else in this directory)",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object, for machines")
    output.add_argument("--quiet", action="store_true", help="print only what is wrong")
    parser.set_defaults(run=_run)


def default_corpus(package: Any) -> "Traversable":
    """Return the corpus beside the package, or else the one in the current directory.

    - `package`: the package's folder, as `importlib.resources` gives it: a `pathlib.Path`, or a
      `zipfile.Path`. For that, it is looked for in the zip and then beside the zip.
    """
    beside = [package.parent / "corpus"]
    if not isinstance(package, Path):
        beside.append(Path(package.root.filename).with_name("corpus"))
    return next((folder for folder in beside if folder.is_dir()), Path("corpus"))


def _run(arguments: argparse.Namespace) -> Iterator[int]:
    def say(line: object) -> None:
        if not arguments.json:
            print(line)

    def say_good(line: object) -> None:
        if not arguments.quiet:
            say(line)

    edits = record.edits(Path(__file__).parents[1])
    for edit in edits or ():
        yield 1
        say(edit)
    lacks: dict[str, str] = {}  # what is left out, and what it needs
    broken = list(_broken_modules(lacks, has_edits=bool(edits)))
    checks = _checks()
    if checks is None and not (edits or broken):
        file = f"{record.PACKAGE}/cli/conformance.py"
        broken.append(Finding(file, "missing: it compares the copy with the corpus"))
    for fault in broken:
        yield 1
        say(fault)
    compared: list[dict[str, Any]] = []
    differences: list[dict[str, str]] = []
    unreadable: OSError | None = None
    try:
        for checked in checks(_corpus(arguments.corpus)) if checks else ():
            if checked.lacks is not None:
                lacks[checked.file] = f"{record.PACKAGE}/{checked.lacks}.py"
                continue
            compared.append({"file": checked.file, checked.what: checked.count, **checked.header})
            for case, difference in checked.differences:
                yield 1
                differences.append({"file": checked.file, "case": case, "difference": difference})
                say(f"{checked.file}: {case}{': ' * bool(case)}{difference}")
            say_good(checked)
    except OSError as error:
        if error.filename is None:  # it is stdout that failed
            raise
        unreadable = error
    for file, needed in lacks.items():
        say_good(f"{file}: left out, as it needs {needed}")
    if arguments.json:
        result = {
            "axon_events": __version__,
            "edits": None if edits is None else [{"file": f, "edit": edit} for f, edit in edits],
            "broken": [{"file": file, "error": error} for file, error in broken],
            "agrees": checks is not None and not (broken or differences or unreadable),
            "files": compared,
            "differences": differences,
            "left_out": [{"file": file, "needs": needed} for file, needed in lacks.items()],
            "unreadable": None if unreadable is None else str(unreadable.filename),
        }
        print(json.dumps(result, indent=2))
    if unreadable is not None:
        if edits:  # these are why, if a folder of the corpus is gone
            say(f"{record.PACKAGE} {record.judgement(edits)}")
        raise unreadable
    judgements = []
    if broken:
        judgements.append("is broken")
    if differences:
        plural = "s" * (len(differences) > 1)
        judgements.append(f"differs from the corpus: {len(differences)} difference{plural}")
    elif checks:
        judgements.append("agrees with the corpus")
    if edits is not None:
        judgements.append(record.judgement(edits))
    judgement = f"axon_events {__version__} {'; it '.join(judgements)}"
    if broken or differences or edits:
        say(judgement)
    else:
        say_good(judgement)


def _corpus(given: Path | None) -> "Traversable":
    """Return the corpus folder, or raise FileNotFoundError if it has to be named."""
    corpus = given or default_corpus(files(_ROOT))
    if given is None and not corpus.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, "neither here nor beside the package: name it, verify CORPUS", "corpus"
        )
    return corpus


def _checks() -> "Callable[[Traversable], Iterator[Checked]] | None":
    """Return the function that checks this copy against a corpus; None if it cannot be imported."""
    try:
        from .conformance import checks
    except Exception:  # whatever a broken module raises
        return None
    return checks


def _broken_modules(lacks: dict[str, str], *, has_edits: bool) -> Iterator[Finding]:
    """Import every module, and yield each file of the package in which that fails.

    - `lacks`: takes each module that needs one which this Python lacks; that is no fault.
    - `has_edits`: whether the record has named the files that are missing.
    """
    told = set()
    path = sys.modules[_ROOT].__path__
    for module in walk_packages(path, f"{_ROOT}.", onerror=lambda name: None):
        if module.name == f"{_ROOT}.__main__":
            continue  # it has started this command
        try:
            importlib.import_module(module.name)
        except Exception as error:  # whatever a broken module raises
            file = _place(error) or _file(module.name)
            what = f"cannot be imported: {type(error).__name__}: {error}"
            if isinstance(error, ModuleNotFoundError) and error.name is not None:
                if not error.name.startswith(f"{_ROOT}."):
                    lacks[file] = f"the module {error.name}"
                    continue
                file, what = _file(error.name), f"missing: {file} imports it"
            if file not in told and not (isinstance(error, ImportError) and has_edits):
                told.add(file)
                yield Finding(file, what)


def _place(error: Exception) -> str | None:
    """Return the file of this package in which an import failed, or None if it is not known."""
    # The first frame is that of this module.
    files = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)][1:]
    if isinstance(error, SyntaxError) and error.filename:
        files.append(error.filename)
    package = Path(__file__).parents[1]
    inside = [Path(file) for file in files if Path(file).is_relative_to(package)]
    return inside[-1].relative_to(package.parent).as_posix() if inside else None


def _file(module: str) -> str:
    """Return the file of a module of this package."""
    return f"{record.PACKAGE}{module.removeprefix(_ROOT).replace('.', '/')}.py"
