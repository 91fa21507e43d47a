# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`python -m tests.mutation [--count 100] [--seed N]`: does the suite see a change of the code?

Draws single small changes of `_catalog.py` and `_codec.py` (a comparison, a constant, a branch, a
return value, a call), makes each in a copy, runs the suite there, and prints the survivors. A
survivor is either of no consequence or a test that is missing.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import ROOT

MODULES = ("_catalog.py", "_codec.py")
SECONDS = 180  # for one run of the suite; one that hangs has seen the change

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
    """Return what stands for a constant in a changed copy."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, str) and value:
        return [value + "x", value[1:]]
    return []


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield each changed copy of a node, itself changed in one place only."""
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
    """Yield where a node stands that runs: its parent, the field, and the index in a list."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            for index, child in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(child, ast.AST):
                    yield parent, field, index if isinstance(value, list) else None


def _told_only(tree: ast.Module) -> set[int]:
    """Return the ids of the nodes that only tell: docstrings, annotations, and `__all__`."""
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


def _header(source: str) -> str:
    """Return the lines that name the licence, which are tested too."""
    return "".join(source.splitlines(keepends=True)[:2])


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line of each possible change, what it is, and the changed source."""
    tree = ast.parse(source)
    header = _header(source)
    told_only = _told_only(tree)
    for parent, field, index in list(sites(tree)):
        if id(parent) in told_only:
            continue
        held = getattr(parent, field)
        node = held if index is None else held[index]
        for changed in list(changes(node)):
            if index is None:
                setattr(parent, field, changed)
            else:
                held[index] = changed
            text = header + ast.unparse(ast.fix_missing_locations(tree))
            if index is None:
                setattr(parent, field, node)
            else:
                held[index] = node
            line = getattr(node, "lineno", getattr(parent, "lineno", 0))
            before, after = (ast.unparse(n).replace("\n", " ")[:70] for n in (node, changed))
            yield line, f"{before}  ->  {after}", text


def survives(module: str, source: str) -> bool:
    """Run the suite with this source for the module; tell whether nothing fails."""
    with tempfile.TemporaryDirectory() as folder:
        for name in (
            "axon_events",
            "tests",
            "corpus",
            "tools",
            "docs",
            "README.md",
            "VENDORING.md",
            "Makefile",
        ):
            path = ROOT / name
            if path.is_dir():
                ignored = shutil.ignore_patterns("target", "__pycache__")
                shutil.copytree(path, Path(folder, name), ignore=ignored)
            else:
                shutil.copy(path, folder)
        Path(folder, "axon_events", module).write_text(source, "utf-8")
        # It edits the sources by their text, which is formatted otherwise here.
        Path(folder, "tests", "test_drift.py").unlink()
        command = ["-W", "error", "-m", "unittest", "discover", "-f", "-t", ".", "-s", "tests"]
        try:
            run = subprocess.run(
                [sys.executable, *command], capture_output=True, cwd=folder, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return False
        return run.returncode == 0


def main() -> int:
    """Draw the changes and print the survivors; return 1 if more than one in twenty survive."""
    parser = argparse.ArgumentParser(description="Run the suite on changed copies of the code.")
    parser.add_argument("--count", type=int, default=100, help="how many changes (default 100)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the draw")
    arguments = parser.parse_args()
    every = [
        (module, line, what, source)
        for module in MODULES
        for line, what, source in mutants((ROOT / "axon_events" / module).read_text("utf-8"))
    ]
    drawn = random.Random(arguments.seed).sample(every, min(arguments.count, len(every)))
    for module in MODULES:
        source = (ROOT / "axon_events" / module).read_text("utf-8")
        if not survives(module, _header(source) + ast.unparse(ast.parse(source))):
            print(f"the suite fails without any change of {module}")
            return 1
    print(f"seed {arguments.seed}: {len(drawn)} of {len(every)} possible changes", flush=True)
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda change: survives(change[0], change[3]), drawn)
        for (module, line, what, _), survived in zip(drawn, results, strict=True):
            survivors += survived
            if survived:
                print(f"survived: {module}:{line}: {what}", flush=True)
    print(f"{len(drawn) - survivors} of {len(drawn)} changes were caught")
    return 1 if survivors * 20 > len(drawn) else 0


if __name__ == "__main__":
    sys.exit(main())
