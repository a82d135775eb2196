"""Names of columns: what is configuration, what was swept, which unit, which words the schema allows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import synthetic

from analysis import tables
from analysis.tables import columns


def test_what_varies_is_what_was_swept(tmp_path: Path) -> None:
    swept = {"model.latent_dim", "kl.estimator", "objective.num_samples", "training.learning_rate"}
    assert set(tables.varying(tables.load(synthetic.write(tmp_path, pictures=False)).trials)) == swept


def test_the_configuration_in_the_schema_is_the_pipelines() -> None:
    """`schema.json` says which columns are configuration; the pipeline's tree is the authority."""
    config = pytest.importorskip("pipeline.config")
    keys = set(config.flatten(config.TrialConfig()))
    frame = pd.DataFrame(columns=[*sorted(keys), "variance.k1_ratio", "test.elbo", "seconds.training", "trial"])
    assert set(tables.configuration_columns(frame)) == keys


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("test.elbo", "nats"),
        ("test.elbo.standard_error", "nats"),
        ("test.bits_per_dim", "bits per dimension"),
        ("test.iwae_8_bits_per_dim", "bits per dimension"),
        ("test.effective_sample_size", "draws"),
        ("seconds.training", "seconds"),
        ("variance.k1", "nats²"),
        ("variance.k1_ratio", ""),
        ("variance.k1_slope_sobol", ""),
        ("test.active_units", "units"),
    ],
)
def test_units_follow_from_names(name: str, unit: str) -> None:
    assert tables.unit_of(name) == unit


def test_endings_and_phases_are_the_schemas_words() -> None:
    rules = tables.schema()["tables"]["trials"]["columns"]
    endings = {columns.FINISHED, columns.FAILED, columns.STOPPED, columns.RUNNING}
    phases = {columns.FACTORIAL, columns.SEARCH, columns.REFINE, columns.CONFIRM}
    assert endings == set(rules["status"]["values"])
    assert phases == set(rules["phase"]["values"])


def test_every_table_of_the_schema_is_a_field_of_a_sweep(tmp_path: Path) -> None:
    sweep = tables.load(synthetic.write(tmp_path, trials=1, pictures=False))
    assert set(tables.TABLES) <= set(vars(sweep))
