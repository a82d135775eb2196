"""docs/architecture.md and README.md show the house as it is: picture, files and folders are current, and every name
in the walks exists."""

from __future__ import annotations

import ast
import pydoc
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from sweeps.cli.main import app
from sweeps.specification.keys import leaves
from sweeps.specification.spec import SweepSpec
from tests.documents import architecture, imports
from tests.documents.architecture import ROOMS, ROOT

DOCUMENT = "docs/architecture.md"
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?")
FILE = re.compile(r"[\w./*-]*(/|\.(py|yaml|md|json|jsonl|parquet|pt|txt|toml|html|journal|lock))")


# --- what is drawn --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", architecture.PARTS)
def test_what_is_drawn_is_current(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert text == architecture.drawn(document), f"{document} is not current: run `make architecture`"


def test_every_folder_has_a_line_and_every_line_a_folder() -> None:
    assert set(ROOMS) == {str(folder.relative_to(ROOT)) for folder in architecture.room_folders()}


def test_the_picture_holds_every_room_once() -> None:
    for wing, rows in architecture.layers().items():
        drawn = [*(name for row in rows for name in row), *architecture.left_out(wing)]
        inside = [path for path in (ROOT / wing).iterdir() if any(path.glob("*.py")) or path.suffix == ".py"]
        assert sorted(drawn) == sorted(path.stem for path in inside if path.name != "__init__.py"), wing
        assert all(name in architecture.picture() for row in rows for name in row)


def test_a_document_without_its_markers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text("# No markers\n")
    monkeypatch.setattr(architecture, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="must hold the markers of 'folders' once, got them 0 times"):
        architecture.drawn("README.md")


def test_a_first_sentence_ends_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""What it is,\nover two lines. And more.\n\nA paragraph."""\n')
    assert architecture.first_sentence(path) == "What it is, over two lines."


# --- arrows between files -------------------------------------------------------------------------------------------


def test_no_files_import_one_another_in_a_circle() -> None:
    assert imports.circle(imports.arrows()) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    for name, text in {
        "one": "from sweeps.search.two import f",
        "two": "def f():\n    from sweeps.search import three",
        "three": "import sweeps.search.one",
        "four": "from sweeps.search.one import f",
    }.items():
        path = tmp_path / "sweeps" / "search" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    order = [f"sweeps/search/{name}.py" for name in ("one", "two", "three", "one")]
    assert imports.circle(imports.arrows(tmp_path)) == order
    (tmp_path / "sweeps/search/three.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sweeps.search.one"
    )
    assert imports.circle(imports.arrows(tmp_path)) == []


# --- the names in the walks -----------------------------------------------------------------------------------------


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


def _is_target(rest: str) -> bool:
    return f"\n{rest.split()[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


def _is_module(rest: str) -> bool:
    return (ROOT / f"{rest.split()[1].replace('.', '/')}.py").is_file()


COMMANDS = {"elbosweep": _is_subcommand, "make": _is_target, "python": _is_module}


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


def prose() -> str:
    """The document without what is drawn and without blocks of code."""
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    return re.sub(r"```.*?```", "", text, flags=re.S)


def items() -> list[str]:
    """The steps of the walks: numbered lines with what is indented below them."""
    return re.findall(r"^\d+\. .*(?:\n {3,}.*)*", prose(), flags=re.M)


def test_every_name_in_the_document_exists() -> None:
    spans = re.findall(r"`([^`\n]+)`", prose())
    assert len(spans) > 60
    assert {span: why for span in spans if (why := problem(span))} == {}


def test_every_name_of_a_step_occurs_in_the_files_that_the_step_names() -> None:
    assert len(items()) > 20
    absent = []
    for item in items():
        spans = re.findall(r"`([^`\n]+)`", item)
        texts = "\n".join(sources()[span] for span in spans if span in sources())
        names = [name for span in spans if (name := span.removesuffix("()")) in definitions()]
        absent += [f"{name}: {item[:60]}" for name in names if not re.search(rf"\b{name.rpartition('.')[2]}\b", texts)]
    assert absent == []


@pytest.mark.parametrize(
    "span",
    [
        "sweeps/nowhere.py",
        "sweeps.record.ledger.Ledger.begin",
        "Ledger.begin",
        "elbosweep begin",
        "make nothing",
        "model.latent_dims",
        "trials/0007/trail.json",
        "python -m tests.documents.nothing",
        "the trial's folder",
    ],
)
def test_a_name_that_does_not_exist_is_refused(span: str) -> None:
    assert problem(span) is not None
