"""Tables that the trials are compared with: references that need no VAE, importance of parameters, calibration."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipeline.data.images import ImageData, histogram_floor
from pipeline.model.linear_gaussian import ppca_curve
from sweeps.record.ledger import Ledger
from sweeps.record.tables import write_table
from sweeps.specification.spec import SweepSpec

DIMENSION = "model.latent_dim"
FEWEST_TRIALS = 8
"""With fewer complete trials a ranking of parameters would be noise, and none is written."""


def write(folder: Path, spec: SweepSpec, data: list[ImageData], study: optuna.Study) -> None:
    """Write references.parquet (for the latent dimensions that were trained) and importance.parquet."""
    trained = [spec.flat(record.plan.overrides) for record in Ledger(folder, *spec.search.modes).records.values()]
    dims = sorted({flat[DIMENSION] for flat in trained})
    density = {flat["model.likelihood.name"] for flat in trained} == {"gaussian"}
    rows = [row for images in data for row in (density_rows if density else reference_rows)(images, dims)]
    write_table(folder, "references", rows)
    write_table(folder, "importance", importance_rows(study))


def reference_rows(data: ImageData, dims: list[int]) -> list[dict[str, Any]]:
    """The best bound without z, and maximum-likelihood pPCA for each number of dimensions: bounds, to be maximised."""
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


def importance_rows(study: optuna.Study) -> list[dict[str, Any]]:
    """Share of the first objective's variation by parameter (PED-ANOVA); none where too few trials could tell."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < FEWEST_TRIALS or len({trial.values[0] for trial in complete}) < 2:
        return []
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "PedAnovaImportanceEvaluator computes", UserWarning)
        try:
            evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)
            shares = get_param_importances(study, evaluator=evaluator, target=_first_objective(study))
        except (RuntimeError, ValueError):
            return []
    return [{"parameter": key, "importance": float(value)} for key, value in shares.items()]


def _first_objective(study: optuna.Study) -> Callable[[FrozenTrial], float] | None:
    """What the evaluator ranks by: small for good trials. None (the objective itself) where there is only one."""
    if len(study.directions) == 1:
        return None
    sign = -1.0 if study.directions[0] is StudyDirection.MAXIMIZE else 1.0
    return lambda trial: sign * trial.values[0]


def write_calibration(folder: Path) -> None:
    """Write calibration.parquet unless it is there: every estimator against its exact value, on these versions."""
    if not (folder / "calibration.parquet").exists():
        write_table(folder, "calibration", _calibration_rows())


@cache
def _calibration_rows() -> list[dict[str, Any]]:
    """The rows, made once in a process that runs several sweeps: they take seconds and depend on none of them."""
    import torch

    from pipeline.calibration.table import calibrate

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: more threads only get in each other's way
    try:
        return [dict(row) for row in calibrate()]
    finally:
        torch.set_num_threads(threads)  # the sweep may have been started from a program that goes on
