"""The legend of variance against L holds the slopes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from report_pages import draw, sweep

from analysis.document.blocks import Figure, Table
from analysis.pages.mc_variance.page import page as page_of


def test_slopes_are_in_the_legend(tmp_path: Path) -> None:
    page = page_of(sweep(tmp_path, gradients=False, evidence=False))
    slopes = next(block for block in page.blocks if isinstance(block, Figure))
    canvases = draw(replace(page, blocks=(slopes,)))
    texts = [text.get_text() for canvas in canvases for legend in canvas.legends for text in legend.get_texts()]
    assert any(re.match(r"i\.i\.d\.: slope −(1\.0|0\.99)", text) for text in texts)
    assert any(re.match(r"scrambled Sobol: slope −(2\.0|1\.99)", text) for text in texts)
    assert "slope −1" in texts


def test_the_sentence_counts_each_number_once_and_gives_sobol_by_dimension(tmp_path: Path) -> None:
    page = page_of(sweep(tmp_path, gradients=False, evidence=False))
    slopes = next(block for block in page.blocks if isinstance(block, Figure))
    table = next(block for block in page.blocks if isinstance(block, Table) and block.name == "variance_slopes").frame
    iid = table[(table["sampling"] == "iid") & table["low"].notna()]
    same = (iid["quantity"] == "iwae") & (iid["num_importance_samples"] == 1)
    apart = iid[~same & ~iid["quantity"].isin(["k3", "reconstruction"])]
    assert len(apart) == len(iid) - 3
    assert f"for {int(apart['contains_expected'].sum())} of {len(apart)} estimators" in slopes.sentence
    assert re.search(r"as L to the power −\d\.\d+ at D = 2 and −\d\.\d+ at D = 8", slopes.sentence)
    by_dimension = next(block for block in page.blocks if isinstance(block, Table) and block.name == "sobol_slopes")
    assert set(by_dimension.frame["model.latent_dim"]) == {2, 8}
