"""README, CONTRIBUTING, CHANGELOG and docs/: links lead somewhere, commands and import paths exist."""

from __future__ import annotations

import pydoc
import re
from pathlib import Path

import pytest

from tests.documents.architecture import ROOT
from tests.documents.names import is_target

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_make_targets_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (document.parent / link).exists()] == []
    commands = re.findall(r"^ {4}make ([a-z-]+)|`make ([a-z-]+)", text, flags=re.M)
    assert [name for pair in commands for name in pair if name and not is_target(name)] == []


def test_the_import_paths_that_the_changelog_names_exist() -> None:
    """Of the table of moves: the path in the column `now`, or the one before where it is the same."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = re.findall(r"^  \| (`.*?) \| (.*?) \|$", text, flags=re.M)
    assert len(rows) >= 12
    absent = []
    for before, now in rows:
        names = re.findall(r"`([\w.]+)`", before if now.startswith("the same") else now)
        if now.startswith("`python -m"):
            continue
        ending = ".page" if ".page" in now else ""
        module = names[0].rpartition(".")[0]
        paths = [name if "." in name else f"{module}.{name}" for name in names]
        absent += [path for path in paths if pydoc.locate(path + ending) is None]
    assert absent == []


def test_a_room_is_tested_as_contributing_says() -> None:
    """`make test ARGS=FOLDER` runs pytest on that folder, and every folder that is named exists."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = re.findall(r"make test ARGS=\"?([\w/.]+)", contributing)
    assert len(folders) >= 3
    assert [folder for folder in folders if not (ROOT / folder).exists()] == []
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ntest:")[2].partition("\n\n")[0]
    assert "-m pytest $(PARALLEL) $(ARGS)" in recipe
