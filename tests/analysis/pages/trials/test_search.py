"""Which parameter matters most is said from the trials of a search alone, and only from enough of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_pages import sweep

from analysis.document.blocks import Figure, Text
from analysis.pages.trials import search


def said(data: object) -> str:
    (figure,) = [block for block in search.blocks(data) if isinstance(block, Figure)]  # type: ignore[arg-type]
    return figure.sentence


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


def test_thirty_trials_of_a_search_have_an_importance_beside_its_null(folder: Path) -> None:
    data = sweep(folder / "many", search_trials=30, variance_study=False, gradients=False, evidence=False)
    assert "71% goes with model.latent_dim" in said(data).replace(",", "").replace("%,", "%")
    assert "with shuffled values: 25%" in said(data)


def test_few_trials_cannot_know(folder: Path) -> None:
    data = sweep(folder / "few", search_trials=4, variance_study=False, gradients=False, evidence=False)
    assert "4 trials of a search cannot tell" in said(data)


def test_a_table_of_before_mixes_the_design_in_and_is_not_shown(folder: Path) -> None:
    data = sweep(folder / "old", search_trials=30, variance_study=False, gradients=False, evidence=False)
    old = replace(data, importance=data.importance[["parameter", "importance"]])
    assert "goes with" not in said(old)
    assert "cannot be said" in said(old)


def test_a_design_without_a_search_asks_no_such_question(folder: Path) -> None:
    data = sweep(folder / "design", variance_study=False, gradients=False, evidence=False)
    _, text = search.blocks(data)
    assert isinstance(text, Text)
    assert "no search to show" in text.text
