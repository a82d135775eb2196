"""An estimator that the schema does not list is in the report all the same, under its own name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.colors import to_hex
from report_pages import draw, sweep

from analysis.document.blocks import Figure, Page, Table
from analysis.figures import theme
from analysis.pages.common import with_dimension
from analysis.pages.elbo_vs_dimension.curve import bound
from analysis.pages.elbo_vs_dimension.page import page as page_of
from analysis.pages.mc_variance import efficiency, samples
from analysis.statistics.headline import headline
from analysis.tables.kinds import KL_ESTIMATOR, QUANTITY, labels


def legends(figure: Figure) -> list[list[str]]:
    """What the legend of each panel says."""
    canvases = draw(Page("p", "t", "", (figure,)))
    return [canvas.axes[0].get_legend_handles_labels()[1] for canvas in canvases]


def test_an_unknown_kl_estimator_has_a_curve_a_colour_and_a_comparison(tmp_path: Path) -> None:
    data = sweep(tmp_path, estimators=("closed_form", "brand_new"), variance_study=False)
    figure = bound(data, headline(data))
    (canvas,) = draw(Page("p", "t", "", (figure,)))
    handles, texts = canvas.axes[0].get_legend_handles_labels()
    colours = {text: to_hex(handle.get_color()) for text, handle in zip(texts, handles)}
    own, following = theme.COLOURS[list(labels(KL_ESTIMATOR)).index("closed_form")], len(labels(KL_ESTIMATOR))
    assert colours == {"closed form": own, "brand_new": theme.COLOURS[following % len(theme.COLOURS)]}
    compared = next(b for b in page_of(data).blocks if isinstance(b, Table) and b.name == "paired_differences")
    assert set(compared.frame["second"]) == {"brand_new"}
    assert compared.frame["first"].eq("closed_form").all()


def test_an_unknown_quantity_is_among_the_estimators_of_the_kl(tmp_path: Path) -> None:
    data = sweep(tmp_path, gradients=False, evidence=False)
    added = data.variance[data.variance["quantity"] == "k1"].assign(quantity="brand_new")
    data = replace(data, variance=pd.concat([data.variance, added], ignore_index=True))
    variance = with_dimension(data, "variance")
    for section in (samples.blocks(variance, 8), efficiency.blocks(variance, 8)):
        figure = next(block for block in section if isinstance(block, Figure))
        assert any(text.startswith("brand_new") for text in legends(figure)[0])
        tables = [block for block in section if isinstance(block, Table)]
        assert "brand_new" in set(tables[0].frame["quantity"])
    assert "brand_new" not in labels(QUANTITY)
