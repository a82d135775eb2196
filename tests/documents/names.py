"""Whether what a document sets as code exists: a path, a name of the code, a key, a command."""

from __future__ import annotations

import ast
import pydoc
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sweeps.cli.main import app
from sweeps.specification.keys import leaves
from sweeps.specification.spec import SweepSpec
from tests.documents import architecture
from tests.documents.architecture import ROOT

NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?")
FILE = re.compile(r"[\w./*-]*(/|\.(py|yaml|md|json|jsonl|parquet|pt|txt|toml|html|journal|lock))")


@cache
def sources() -> dict[str, str]:
    """Path from the root -> text, of every Python file of the three wings."""
    paths = [path for wing in architecture.layers() for path in (ROOT / wing).rglob("*.py")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


@cache
def definitions() -> frozenset[str]:
    """`function`, `Class`, `CONSTANT` and `Class.member` of every module."""
    return frozenset(name for text in sources().values() for name in _defined(ast.parse(text)))


def _defined(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _defined(node, f"{node.name}.")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            stored = (inner for inner in ast.walk(node) if isinstance(inner, ast.Name))
            yield from (f"{prefix}{name.id}" for name in stored if isinstance(name.ctx, ast.Store))
        elif isinstance(tree, ast.ClassDef):
            attributes = (inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute))
            own = (inner for inner in attributes if ast.unparse(inner.value) == "self")
            yield from (f"{prefix}{inner.attr}" for inner in own if isinstance(inner.ctx, ast.Store))


@cache
def specification_keys() -> frozenset[str]:
    """Dotted keys of a trial and of a specification."""
    keys = set(leaves())
    for name, field in SweepSpec.model_fields.items():
        keys |= {name, *(f"{name}.{key}" for key in getattr(field.annotation, "model_fields", {}))}
    return frozenset(keys)


def problem(span: str) -> str | None:
    """Why something that is set as code does not exist; None where it does."""
    word, _, rest = span.partition(" ")
    if word in COMMANDS and rest:
        return None if COMMANDS[word](rest) else "no such command"
    if FILE.fullmatch(span):
        return None if _is_file(span) else "no such file"
    if not NAME.fullmatch(span):
        return "is no path, no name and no command"
    name = span.removesuffix("()")
    exists = name in definitions() or name in specification_keys() or pydoc.locate(name) is not None
    return None if exists else "is not defined anywhere"


def _is_subcommand(rest: str) -> bool:
    return rest.split()[0] in {command.name or str(command.callback.__name__) for command in app.registered_commands}  # type: ignore[union-attr]


def is_target(rest: str) -> bool:
    return f"\n{rest.split()[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


def _is_module(rest: str) -> bool:
    return (ROOT / f"{rest.split()[1].replace('.', '/')}.py").is_file()


COMMANDS = {"elbosweep": _is_subcommand, "make": is_target, "python": _is_module}


def _is_file(span: str) -> bool:
    """A path from the root, or a file that a sweep or a report writes, whose name the code must know."""
    if (ROOT / span).exists() or span in ("__init__.py", "runs/NAME/", "reports/NAME/"):
        return True
    if span.partition("/")[0] in (*architecture.layers(), "tests", "docs"):
        return False
    name = Path(span).name
    stem, suffix = Path(name).stem, Path(name).suffix
    code = "".join(sources().values())
    return f'{name}"' in code or (f'"{stem}"' in code and f'}}{suffix}"' in code)
