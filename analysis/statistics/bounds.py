"""Which bound a sweep is judged by: what its trials were trained for, among those whose bounds are of one thing."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from analysis.tables import Sweep
from analysis.tables.columns import BOUND, FINISHED, RANK
from analysis.wording import listed

OBJECTIVE, SAMPLES = "objective.name", "objective.num_importance_samples"
IWAE = "test.iwae_"
SCALES = ("data.name", "data.levels", "data.binarization", "model.likelihood.name")
"""Settings that change what a bound is a bound of: other data, other grey levels, a density in place of a probability.
Between their values no difference of bounds means anything."""
DENSITY = "gaussian"
"""The likelihood whose bound is a density, which has no bits per dimension."""


class Judged(NamedTuple):
    """The bound that is reported, and the column that configurations are chosen by."""

    value: str
    rank: str
    num_importance_samples: int | None = None
    """K of the bound that is reported, where all trials maximise the IWAE bound."""


ELBO = Judged(BOUND, RANK)


def trained_on_iwae(sweep: Sweep) -> bool:
    """Whether all trials maximise the IWAE bound, in which no KL estimator plays a part."""
    return OBJECTIVE in sweep.trials and bool((sweep.trials[OBJECTIVE] == "iwae").all()) and len(sweep.trials) > 0


def judged_by(sweep: Sweep) -> Judged:
    """The ELBO; of trials that all maximise the IWAE bound that bound, with the largest K that they were trained with.

    Where the sweep did not measure that K, the next larger takes its place, or else the largest. The validation split
    may lack it; then configurations are chosen by the number that is reported.
    """
    if not trained_on_iwae(sweep):
        return ELBO
    done = sweep.replicates[
        sweep.replicates["trial"].isin(sweep.trials.loc[sweep.trials["status"] == FINISHED, "trial"])
    ]
    names = [name for name in map(str, done.columns) if name.startswith(IWAE) and name.removeprefix(IWAE).isdigit()]
    measured = sorted(int(name.removeprefix(IWAE)) for name in names if done[name].notna().any())
    trained = sweep.trials.get(SAMPLES, pd.Series(dtype=float)).dropna()
    if not measured:
        return ELBO
    wanted = int(trained.max()) if len(trained) else measured[-1]
    k = next((k for k in measured if k >= wanted), measured[-1])
    validated = f"validation.iwae_{k}"
    there = validated in done and done[validated].notna().any()
    return Judged(f"{IWAE}{k}", validated if there else f"{IWAE}{k}", k)


def densities(trials: pd.DataFrame) -> pd.Series:
    """For each row whether its bound is a log density of grey values; False where the table does not say."""
    name = "model.likelihood.name"
    return trials[name].eq(DENSITY) if name in trials else pd.Series(False, index=trials.index)


def comparable(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows whose bounds can be compared with each other, and what they share.

    Args:
        frame: Rows with the configuration of their trial.

    Returns:
        (rows, text): all rows and "" where they agree in `SCALES`; else those of the most frequent combination, and its
        settings in words (`model.likelihood.name categorical`).
    """
    split = [name for name in SCALES if name in frame and frame[name].nunique(dropna=False) > 1]
    if not split:
        return frame, ""
    sizes = frame.groupby(split, dropna=False, sort=True).size()
    kept = sizes.index[int(sizes.to_numpy().argmax())]
    values = kept if isinstance(kept, tuple) else (kept,)
    same = pd.Series(True, index=frame.index)
    for name, value in zip(split, values):
        same &= frame[name].isna() if pd.isna(value) else frame[name] == value
    return frame[same], listed([f"{name} {value}" for name, value in zip(split, values)])
