"""References are in the units of the bounds that they stand beside."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.config import DataConfig
from pipeline.data.images import ImageData, load
from pipeline.model.linear_gaussian import fit_ppca
from sweeps.record.references import density_rows, reference_rows


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load(DataConfig(name="digits"))


def test_beside_a_gaussian_likelihood_the_reference_is_the_density_of_grey_values(digits: ImageData) -> None:
    grey = {split: getattr(digits, split).flatten(1).to(torch.float64) / 15 for split in ("train", "test")}
    rows = density_rows(digits, [2, 8, 64])
    assert {row["latent_dim"] for row in rows} == {2, 8}  # not the number of pixels
    for row in rows:
        exact = float(fit_ppca(grey["train"], row["latent_dim"]).log_px(grey[row["split"]]).mean())
        assert row["nats"] == pytest.approx(exact, rel=1e-9)
        assert row["bits_per_dim"] == pytest.approx(-exact / (64 * math.log(2)), rel=1e-9)


def test_beside_levels_it_bounds_a_probability(digits: ImageData) -> None:
    rows = reference_rows(digits, [8])
    assert {row["reference"] for row in rows} == {"histogram_floor", "ppca"}
    assert all(row["nats"] < 0 for row in rows)
