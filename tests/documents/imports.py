"""Which file of the three wings imports which, read from the source, imports inside functions included.

python -m tests.documents.imports                  # every file, with an arrow to each file that it imports
python -m tests.documents.imports sweeps/search    # only the files below a folder
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.documents.architecture import ROOT, layers

Arrows = Mapping[str, frozenset[str]]
"""File -> the files that it imports, as paths from the root."""


def arrows(root: Path = ROOT) -> dict[str, frozenset[str]]:
    """Every Python file of the three wings with the files that it imports.

    Left out are imports for type checkers alone (`if TYPE_CHECKING`), and the empty `__init__` of a folder.
    """
    paths = [path for wing in layers() for path in sorted((root / wing).rglob("*.py")) if path.stat().st_size]
    modules = {_module(path.relative_to(root)): str(path.relative_to(root)) for path in paths}
    drawn: dict[str, frozenset[str]] = {}
    for path in paths:
        name = str(path.relative_to(root))
        targets = {modules[module] for module in _imported(ast.parse(path.read_text()), modules) if module in modules}
        drawn[name] = frozenset(targets - {name})
    return drawn


def circle(drawn: Arrows) -> list[str]:
    """Files that import one another in a circle, the first of them again at the end; empty where there is none."""
    done: set[str] = set()

    def walk(file: str, trail: list[str]) -> list[str]:
        if file in trail:
            return [*trail[trail.index(file) :], file]
        if file in done:
            return []
        for target in sorted(drawn[file]):
            if closed := walk(target, [*trail, file]):
                return closed
        done.add(file)
        return []

    return next((closed for file in sorted(drawn) if (closed := walk(file, []))), [])


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.AST, modules: Mapping[str, str]) -> Iterator[str]:
    """Modules that a file imports; `from package import name` is the module `package.name` where there is one."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _running(node)


if __name__ == "__main__":
    below = sys.argv[1].rstrip("/") + "/" if len(sys.argv) > 1 else ""
    for file, targets in arrows().items():
        if file.startswith(below):
            print(file, *(f"  -> {target}" for target in sorted(targets)), sep="\n")
