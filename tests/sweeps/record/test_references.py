"""References are in the units of the bounds that they stand beside."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic
import torch

from analysis.tables import load as load_tables
from pipeline.config import DataConfig
from pipeline.data.images import ImageData, load
from pipeline.model.linear_gaussian import fit_ppca
from sweeps.record.references import density_rows, reference_rows
from sweeps.record.tables import write_table


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load(DataConfig(name="digits"))


def test_beside_a_gaussian_likelihood_the_reference_is_the_density_of_grey_values(digits: ImageData) -> None:
    grey = {split: getattr(digits, split).flatten(1).to(torch.float64) / 15 for split in ("train", "test")}
    rows = density_rows(digits, [2, 8, 64])
    assert {row["model.latent_dim"] for row in rows} == {2, 8}  # not the number of pixels
    for row in rows:
        exact = float(fit_ppca(grey["train"], row["model.latent_dim"]).log_px(grey[row["split"]]).mean())
        assert row["nats"] == pytest.approx(exact, rel=1e-9)
        assert row["bits_per_dim"] == pytest.approx(-exact / (64 * math.log(2)), rel=1e-9)


def test_beside_levels_it_bounds_a_probability(digits: ImageData) -> None:
    rows = reference_rows(digits, [8])
    assert {row["reference"] for row in rows} == {"histogram_floor", "ppca"}
    assert {row["model.latent_dim"] for row in rows} == {None, 8}
    assert all(row["nats"] < 0 for row in rows)


@pytest.mark.parametrize("rows_of", [reference_rows, density_rows])
def test_the_table_has_the_columns_that_the_report_reads(
    digits: ImageData, tmp_path: Path, rows_of: Callable[[ImageData, list[int]], list[dict[str, Any]]]
) -> None:
    folder = synthetic.write(tmp_path, dims=(2,), epochs=1, pictures=False)
    write_table(folder, "references", rows_of(digits, [2, 8]))
    references = load_tables(folder).references
    assert set(references.loc[references["reference"] == "ppca", "model.latent_dim"]) == {2.0, 8.0}
    assert "latent_dim" not in references
