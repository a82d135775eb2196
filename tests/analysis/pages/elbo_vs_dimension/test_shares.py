"""The shares of the factors are those of the table, and a search has none."""

from __future__ import annotations

from pathlib import Path

from report_pages import notes, sweep

from analysis.document.blocks import Figure, Page, Table
from analysis.pages.elbo_vs_dimension import shares


def test_the_sentence_names_the_certain_factors_with_their_shares(tmp_path: Path) -> None:
    blocks = shares.blocks(sweep(tmp_path, variance_study=False, gradients=False, evidence=False))
    (figure,) = [block for block in blocks if isinstance(block, Figure)]
    (table,) = [block for block in blocks if isinstance(block, Table)]
    top = table.frame.iloc[0]
    assert top["source"] == "model.latent_dim"
    assert (
        f"{100 * top['share']:.0f} % [{100 * top['low']:.0f}, {100 * top['high']:.0f}] goes with model.latent_dim"
        in figure.sentence
    )
    left = table.frame.set_index("source").loc["seeds", "share"]
    assert f"{100 * left:.0f} % is what another seed changes" in figure.sentence


def test_without_seeds_to_judge_by_it_says_so_and_a_search_has_no_shares(tmp_path: Path) -> None:
    one = shares.blocks(sweep(tmp_path / "one", replicates=1, variance_study=False))
    assert "no two seeds in a cell" in notes(Page("", "", "", tuple(one)))
    data = sweep(tmp_path / "search", variance_study=False)
    data.trials["phase"] = "search"
    assert shares.blocks(data) == []
