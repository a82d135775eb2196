"""docs/architecture.md and README.md show the house as it is: picture, files and folders are current, and every name
in the walks exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import architecture, imports
from tests.documents.architecture import ROOMS, ROOT
from tests.documents.names import definitions, problem, sources

DOCUMENT = "docs/architecture.md"


# --- what is drawn --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", architecture.PARTS)
def test_what_is_drawn_is_current(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert text == architecture.drawn(document), f"{document} is not current: run `make architecture`"


def test_every_folder_has_a_line_and_every_line_a_folder() -> None:
    assert set(ROOMS) == {str(folder.relative_to(ROOT)) for folder in architecture.room_folders()}


def test_the_picture_holds_every_room_once() -> None:
    for wing, rows in architecture.layers().items():
        drawn = [name for row in rows for name in row]
        inside = [path for path in (ROOT / wing).iterdir() if any(path.glob("*.py")) or path.suffix == ".py"]
        assert sorted(drawn) == sorted(path.stem for path in inside if path.name != "__init__.py"), wing
        assert all(name in architecture.picture() for name in drawn)


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
