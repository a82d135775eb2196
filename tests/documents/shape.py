"""What the source says about the house's shape: sizes, private names, and what each test asserts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.documents.architecture import ROOT, layers

CLOCKS = {"monotonic", "perf_counter", "process_time", "monotonic_ns", "perf_counter_ns", "time.time", "st_mtime"}
"""What reads a clock: functions of `time`, and the time at which a file was written."""
ASSERTING = re.compile(r"(assert|raises|warns|fail$|check|deprecated_call)")
"""Names of functions that assert something when they are called."""


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if path.is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# --- private names --------------------------------------------------------------------------------------------------


@cache
def private_names() -> frozenset[str]:
    """The private functions, classes, constants and attributes that the three wings define."""
    names: set[str] = set()
    for path in python_files(*layers()):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return frozenset(name for name in names if is_private(name))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of each private name of the wings that a file imports, reads, or names in a string to patch it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in layers():
            yield from ((node.lineno, alias.name) for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Attribute) and node.attr in private_names():
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.lineno, node.attr
        elif isinstance(node, ast.Call):
            for part in node.args:
                last = str(part.value).rpartition(".")[2] if isinstance(part, ast.Constant) else ""
                if last in private_names():
                    yield node.lineno, last


# --- assertions -----------------------------------------------------------------------------------------------------


def tests_of(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def asserts_something(function: ast.FunctionDef, helpers: frozenset[str] = frozenset()) -> bool:
    """Whether a test has an assertion, or calls what asserts: one of `helpers`, or a program with `check=True`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            checked = any(keyword.arg == "check" and ast.unparse(keyword.value) == "True" for keyword in node.keywords)
            if ASSERTING.match(name) or name in helpers or checked:
                return True
    return False


def asserting_helpers(tree: ast.Module) -> frozenset[str]:
    """The functions of a test file, itself no tests, that assert."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return frozenset(node.name for node in functions if not node.name.startswith("test_") and asserts_something(node))


def timed_assertions(tree: ast.Module) -> Iterator[int]:
    """Lines of assertions on how long something took: a difference of clock readings, compared with a limit."""
    readings = set(CLOCKS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _reads(node.value, readings):
            readings |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            for part in ast.walk(node.test):
                if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub) and _reads(part, readings):
                    yield node.lineno


def _reads(node: ast.AST, readings: set[str]) -> bool:
    """Whether an expression reads a clock, or a name that holds such a reading."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name | ast.Attribute):
            text = ast.unparse(part)
            if text in readings or (isinstance(part, ast.Attribute) and part.attr in readings):
                return True
    return False
