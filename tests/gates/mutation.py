# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The tests of a module notice a small change of its code.

    python -m tests.gates.mutation [--count 100] [--seed N] [--modules _codec cli.check …]

The gate draws single small changes of the package (a comparison, a constant, a branch, a return
value, a call), makes each in a copy, runs the tests of the changed module there, and prints the
survivors. A survivor either makes no difference or shows that a test is missing. It is run by hand.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .. import ROOT

PACKAGE = ROOT / "axon_events"
COPIED = (
    "axon_events",
    "tests",
    "corpus",
    "tools",
    "docs",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "VENDORING.md",
    "Makefile",
)
SECONDS = 120  # for the tests of a module; if they hang, they have noticed the change
KILOBYTES = 4_000_000  # of address space: a changed loop may build a list without end

# The tests of a module beside those named after it, of which those are run that exist.
TESTS = {
    "_catalog": ("test_corpus",),
    "_checked": ("test_catalog", "test_codec", "test_strict"),
    "_codec": ("test_strict", "test_corpus", "test_properties"),
    "_strict": ("test_codec", "test_corpus", "test_properties"),
    "_rules": ("test_order", "test_documents"),
    "_wait": ("test_channel", "test_replay"),
    "_event_stream": ("test_sse",),
    "cli.conformance": ("test_cli_verify", "test_cli_zip"),
    "cli.verify": ("test_cli_zip",),
    "cli.pages": ("test_cli_serve", "test_cli_sites"),
    "cli.player": ("test_cli_serve",),
    "cli.recording": ("test_cli_check", "test_cli_store", "test_cli_wrapping"),
}

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
}


def swapped(operator: ast.AST) -> list[ast.AST]:
    other = SWAPPED.get(type(operator))
    return [other()] if other else []


def constants(value: object) -> list[object]:
    """Return the values that replace a constant."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, str) and value:
        return [value + "x", value[1:]]
    return []


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the copies of a node that differ from it in one place."""
    match node:
        case ast.Compare(ops=[operator]):
            for other in swapped(operator):
                changed = copy.deepcopy(node)
                changed.ops = [other]  # type: ignore[list-item]  # swapped gives its like
                yield changed
        case ast.BoolOp(op=operator) | ast.BinOp(op=operator):
            for other in swapped(operator):
                changed_operation = copy.deepcopy(node)
                changed_operation.op = other  # type: ignore[assignment]  # as above
                yield changed_operation
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=value):
            for other_value in constants(value):
                yield ast.Constant(other_value)  # type: ignore[arg-type]  # it is of its type
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            negated = copy.deepcopy(node)
            negated.test = ast.UnaryOp(ast.Not(), test)
            yield negated
        case ast.Return(value=value) if value is not None:
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
        case ast.Call(func=function, args=[first, second, *rest], keywords=keywords):
            yield ast.Call(function, [second, first, *rest], keywords)


def sites(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Yield the place of each node that runs: its parent, the field, and the index in a list."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            for index, child in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(child, ast.AST):
                    yield parent, field, index if isinstance(value, list) else None


def _inert(tree: ast.Module) -> set[int]:
    """Return the ids of the nodes that do nothing: docstrings, annotations, and `__all__`."""
    outer: list[ast.AST] = []
    for node in ast.walk(tree):
        outer += [
            annotation
            for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
            if annotation is not None
        ]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            outer.append(node)
        if isinstance(node, ast.Assign) and ast.unparse(node).startswith("__all__"):
            outer.append(node)
    return {id(inner) for node in outer for inner in ast.walk(node)}


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield each possible change: its line, a description, and the changed source."""
    tree = ast.parse(source)
    unchanged = ast.unparse(tree)
    inert = _inert(tree)
    for parent, field, index in list(sites(tree)):
        if id(parent) in inert:
            continue
        held = getattr(parent, field)
        node = held if index is None else held[index]
        for changed in list(changes(node)):
            if index is None:
                setattr(parent, field, changed)
            else:
                held[index] = changed
            text = ast.unparse(ast.fix_missing_locations(tree))
            if index is None:
                setattr(parent, field, node)
            else:
                held[index] = node
            if text == unchanged:
                continue
            line = getattr(node, "lineno", getattr(parent, "lineno", 0))
            before, after = (ast.unparse(n).replace("\n", " ")[:70] for n in (node, changed))
            yield line, f"{before}  ->  {after}", text


def path_of(module: str) -> Path:
    """Return the path of a module, such as `cli.check`, inside the package."""
    path = Path(*module.split("."))
    return path / "__init__.py" if (PACKAGE / path).is_dir() else path.with_suffix(".py")


def modules() -> list[str]:
    """Return the names of the package's modules, without the few lines that only start it."""
    paths = (path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py")))
    names = (".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths)
    return [name for name in names if name not in ("__init__", "__main__")]


def tests_of(module: str) -> list[str]:
    """Return the names of the test modules of a module."""
    own = f"test_{module.removeprefix('_').replace('.', '_')}"
    names = dict.fromkeys((own, *TESTS.get(module, ())))
    found = [name for name in names if (ROOT / "tests" / f"{name}.py").exists()]
    if not found:
        sys.exit(f"{module}: expected tests in one of {', '.join(names)}, found none")
    return found


def survives(module: str, source: str) -> bool:
    """Run the tests of a module with this source for it; return whether they pass."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            path = ROOT / name
            if path.is_dir():
                ignored = shutil.ignore_patterns("target", "node_modules", "__pycache__")
                shutil.copytree(path, Path(folder, name), ignore=ignored)
            elif path.exists():
                shutil.copy(path, folder)
        Path(folder, "axon_events", path_of(module)).write_text(source, "utf-8")
        names = [*(f"tests.{name}" for name in tests_of(module)), "tests.NothingUncaught"]
        limited = ["sh", "-c", f'ulimit -v {KILOBYTES} && exec "$@"', "sh"]
        with subprocess.Popen(
            [*limited, sys.executable, "-W", "error", "-m", "unittest", "-f", *names],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={k: v for k, v in os.environ.items() if k != "TEST_ALL"},
            start_new_session=True,
        ) as run:
            try:
                return run.wait(SECONDS) == 0
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)  # what the tests have started goes as well
                return False


def main() -> int:
    """Draw the changes and print the survivors; return 1 if more than one in twenty survive."""
    every = modules()
    parser = argparse.ArgumentParser(prog="python -m tests.gates.mutation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--count", type=int, default=100, help="how many changes (default 100)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="(random)")
    parser.add_argument("--modules", nargs="+", choices=every, default=every, metavar="MODULE")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    sources = {name: (PACKAGE / path_of(name)).read_text("utf-8") for name in arguments.modules}
    possible = [
        (module, line, what, source)
        for module, original in sources.items()
        for line, what, source in mutants(original)
    ]
    drawn = random.Random(arguments.seed).sample(possible, min(arguments.count, len(possible)))
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Without a change they must pass: a module that is written anew only looks different.
        touched = list(dict.fromkeys(module for module, *_ in drawn))
        rewritten = [ast.unparse(ast.parse(sources[module])) for module in touched]
        for module, passed in zip(touched, pool.map(survives, touched, rewritten), strict=True):
            if not passed:
                print(f"the tests of {module} fail without any change", flush=True)
                return 1
        print(f"{len(drawn)} of {len(possible)} possible changes", flush=True)
        results = pool.map(lambda change: survives(change[0], change[3]), drawn)
        for (module, line, what, _), survived in zip(drawn, results, strict=True):
            survivors += survived
            if survived:
                print(f"survived: {path_of(module)}:{line}: {what}", flush=True)
    print(f"{len(drawn) - survivors} of {len(drawn)} changes were noticed")
    return 1 if survivors * 20 > len(drawn) else 0


if __name__ == "__main__":
    sys.exit(main())
