"""The legend of variance against L holds the slopes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
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
    assert f"chance alone would leave out {0.05 * len(apart):.1f}" in slopes.sentence
    assert re.search(r"times less at D = 2 and .* times less at D = 8", slopes.sentence)
    assert re.search(
        r"falls as L to the power −\d\.\d+ at D = 2 and as L to the power −\d\.\d+ at D = 8", slopes.sentence
    )
    gains = next(block for block in page.blocks if isinstance(block, Table) and block.name == "scheme_gains").frame
    assert set(gains["model.latent_dim"]) == {2, 8}
    assert "reconstruction" not in set(gains["quantity"])


def test_a_line_that_bends_is_called_no_power_law(tmp_path: Path) -> None:
    data = sweep(tmp_path, gradients=False, evidence=False)
    bend = data.variance["num_samples"].astype(float) ** (0.1 * np.log(data.variance["num_samples"]))
    bent = data.variance["variance"] * bend.where(data.variance["sampling"] == "sobol", 1.0)
    page = page_of(replace(data, variance=data.variance.assign(variance=bent)))
    said = next(block for block in page.blocks if isinstance(block, Figure)).sentence
    assert re.search(r"as no power of L: local slopes −1\.\S+ to \S+ at D = 2 and −1\.\S+ to \S+ at D = 8", said)


def test_older_tables_say_that_trials_share_their_draws(tmp_path: Path) -> None:
    for streams, n in ((True, "n counts replicates"), (False, "whose draws the")):
        page = page_of(sweep(tmp_path / str(streams), gradients=False, evidence=False, streams=streams))
        table = next(block for block in page.blocks if isinstance(block, Table) and block.name == "variance_slopes")
        assert n in table.caption
        ratios = next(block for block in page.blocks if isinstance(block, Figure) and "99 %" in block.sentence)
        assert ("share their draws" in ratios.sentence) == (not streams)
        assert "chance alone would leave out" in ratios.sentence
