"""Tables that the trials are compared with: references that need no VAE, importance of parameters, calibration."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweeps.layout import CALIBRATION, CALIBRATION_SEEDS, IMPORTANCE, REFERENCES, table_file
from sweeps.record.ledger import Ledger
from sweeps.record.tables import write_table
from sweeps.specification.spec import SweepSpec

if TYPE_CHECKING:
    import optuna

    from pipeline.data.images import ImageData

DIMENSION = "model.latent_dim"
FEWEST_TRIALS = 30
"""With fewer complete trials of the search a ranking of parameters would be noise, and none is written."""
SHUFFLES = 20
"""Shuffles of the values behind the importance that chance alone would show."""


def write(folder: Path, spec: SweepSpec, data: list[ImageData], study: optuna.Study) -> None:
    """Write references.parquet (for the latent dimensions that were trained) and importance.parquet."""
    records = Ledger(folder, *spec.search.modes).records
    trained = [spec.flat(record.plan.overrides) for record in records.values()]
    dims = sorted({flat[DIMENSION] for flat in trained})
    density = {flat["model.likelihood.name"] for flat in trained} == {"gaussian"}
    rows = [row for images in data for row in (density_rows if density else reference_rows)(images, dims)]
    write_table(folder, REFERENCES, rows)
    searched = {number for number, record in records.items() if record.plan.phase == "search"}
    write_table(folder, IMPORTANCE, importance_rows(study, searched))


def reference_rows(data: ImageData, dims: list[int]) -> list[dict[str, Any]]:
    """The best bound without z, and maximum-likelihood pPCA for each number of dimensions: bounds, to be maximised."""
    from pipeline.data.images import histogram_floor
    from pipeline.model.linear_gaussian import ppca_curve

    bits = data.num_pixels * math.log(2)
    rows: list[dict[str, Any]] = [
        {"reference": "histogram_floor", DIMENSION: None, "split": split, "nats": -nats, "bits_per_dim": nats / bits}
        for split, nats in histogram_floor(data).items()
    ]
    small = [dim for dim in dims if dim < data.num_pixels]
    rows += [_with_key({**row, "nats": -row["nats"]}) for row in ppca_curve(data.train, data.test, small)]
    return [{"data": data.name, **row} for row in rows]


def density_rows(data: ImageData, dims: list[int]) -> list[dict[str, Any]]:
    """Maximum-likelihood pPCA of the grey values: the best that a linear VAE of so many dimensions can reach.

    For sweeps with a Gaussian likelihood, whose bounds are densities of grey values and not probabilities of levels.
    """
    from pipeline.model.linear_gaussian import ppca_curve

    small = [dim for dim in dims if dim < data.num_pixels]
    per_pixel = math.log(data.levels - 1)  # the density of a level, on a unit scale, against that of a grey value
    rows = ppca_curve(data.train, data.test, small, dequantisation=0.0)
    nats = [data.num_pixels * per_pixel - row["nats"] for row in rows]
    bits = data.num_pixels * math.log(2)
    named = [_with_key(row) for row in rows]
    return [{"data": data.name, **row, "nats": x, "bits_per_dim": -x / bits} for row, x in zip(named, nats)]


def _with_key(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `ppca_curve`, its number of dimensions under the configuration's key."""
    return {DIMENSION if name == "latent_dim" else name: value for name, value in row.items()}


def importance_rows(study: optuna.Study, searched: Collection[int]) -> list[dict[str, Any]]:
    """Share of the first objective's variation by parameter (PED-ANOVA), beside that of shuffled values.

    Trials of the design take no part: they pile up at its few values, which any measure against a uniform prior takes
    for importance, whatever the objective did there.

    Args:
        study: Optuna's study.
        searched: Numbers of the trials that the sampler suggested.

    Returns:
        Rows `parameter`, `importance`, `null` (mean over shuffles of the values), `trials`; none where fewer than
        `FEWEST_TRIALS` could tell.
    """
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    complete = [t for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if t.number in searched]
    values = [trial.values[0] for trial in complete]
    if len(complete) < FEWEST_TRIALS or len(set(values)) < 2:
        return []
    sign = -1.0 if study.directions[0] is StudyDirection.MAXIMIZE else 1.0
    shares = _importances(complete, [sign * value for value in values])
    if not shares:
        return []
    random = np.random.default_rng(0)
    shuffled = [_importances(complete, list(sign * random.permutation(values))) for _ in range(SHUFFLES)]
    return [
        {
            "parameter": key,
            "importance": share,
            "null": float(np.mean([one.get(key, 0.0) for one in shuffled])),
            "trials": len(complete),
        }
        for key, share in shares.items()
    ]


def _importances(trials: list[optuna.trial.FrozenTrial], losses: list[float]) -> dict[str, float]:
    """PED-ANOVA (Watanabe, Bansal & Hutter 2023) of the trials' parameters, with these losses in place of their own."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "PedAnovaImportanceEvaluator computes", UserWarning)
        alone = optuna.create_study(direction="minimize")
        for trial, loss in zip(trials, losses, strict=True):
            alone.add_trial(
                optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=float(loss))
            )
        try:
            shares = get_param_importances(alone, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25))
        except (RuntimeError, ValueError):
            return {}
    return {key: float(share) for key, share in shares.items()}


def write_calibration(folder: Path, seed: int = 0) -> None:
    """Write the calibration's tables unless they are there: a quick one of this machine, and the shipped 20 seeds."""
    if not (folder / table_file(CALIBRATION)).exists():
        write_table(folder, CALIBRATION, _calibration_rows(seed))
    if not (folder / table_file(CALIBRATION_SEEDS)).exists():
        write_shipped_calibration(folder)


def write_shipped_calibration(folder: Path) -> None:
    """Write calibration_seeds.parquet: the calibration over many seeds that was shipped with this version."""
    from pipeline.calibration.seeds import shipped_rows

    write_table(folder, CALIBRATION_SEEDS, shipped_rows())


@cache
def _calibration_rows(seed: int) -> list[dict[str, Any]]:
    """The rows, made once in a process that runs several sweeps: they take seconds and depend on none of them."""
    import torch

    from pipeline.calibration.table import calibrate

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: more threads only get in each other's way
    try:
        return [dict(row) for row in calibrate(seed)]
    finally:
        torch.set_num_threads(threads)  # the sweep may have been started from a program that goes on
