"""How large the next measurement must be: L, images and replicates that reach a target standard error, and their cost.

The model. One estimate from replicate r, image i and L draws is mean + replicate_r + image_i + draw; the number that
gets reported averages R replicates, the same N images under each, so that

    standard_error^2 = A / R  +  B f(N)  +  C(L) / (N R)

with A the variance between replicates, B between images, C(L) the Monte Carlo variance given model and image, all
measured by the sweep (as in `statistics.variance_components`). For a statement about `new images`, f(N) = 1/N. For a
statement about `this split` of S images, the images are no sample but the whole: f(N) = 1/N - 1/S, which is 0 when all
are used.

The cost. Every replicate is trained once and pays N evaluations of L draws:

    seconds = R (training + N seconds(L))

For each measured L and each R with A/R below the target, the smallest sufficient N follows in closed form; the cheapest
of these designs is the plan. Only values of L that were measured are considered: nothing is extrapolated.

How sure. A comes from few seeds, pooled within a series (`planned_variances`), B from all images that were evaluated.
Each has a chi-square interval, and every planned number has the range of the plans at its ends: both low, both high. A
from fewer than 3 degrees of freedom gives no plan: its own interval would span a factor of 20 either way.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.statistics.few_seeds.pooled import FEW_DEGREES
from analysis.statistics.intervals import EVERYTHING, By, Floats, as_list, variance_interval
from analysis.statistics.planned_variances import image_variances, seed_variances
from analysis.tables import Sweep, TableError, joined
from analysis.tables.columns import DIMENSION
from analysis.wording import count

NEW_IMAGES, THIS_SPLIT = "new images", "this split"
CANNOT_KNOW = "cannot know from"
"""Begins the column `note` where the seeds are too few to plan from."""
RANGED = ("num_samples", "images", "replicates", "standard_error", "seconds")
"""Planned numbers that have an interval: `NAME_low`, `NAME_high`."""
COLUMNS = ["quantity", "sampling", "num_importance_samples", "scope", "reachable"]
COLUMNS += ["num_samples", "images", "replicates", "standard_error"]
COLUMNS += ["seconds", "seconds_training", "seconds_evaluation"]
COLUMNS += [f"{name}_{end}" for name in RANGED for end in ("low", "high")]
COLUMNS += ["note"]
WHOLE_NUMBERS = 200
"""Numbers of replicates that are tried one by one above the smallest sufficient one; beyond, in steps of 5 %."""


class Design(NamedTuple):
    """Sizes of one measurement, its standard error (nats) and its cost (seconds)."""

    num_samples: float
    images: float
    replicates: float
    standard_error: float
    seconds_training: float
    seconds_evaluation: float


def plan(sweep: Sweep, standard_error: float, *, by: By = (DIMENSION,)) -> pd.DataFrame:
    """The cheapest design of each estimator that reaches a standard error.

    Args:
        sweep: A sweep with a variance study; only finished trials count.
        standard_error: Target in nats per image.
        by: Configuration columns that get a plan each.

    Returns:
        One row per `by`, `quantity`, `sampling`, `num_importance_samples` and `scope` (`new images`, `this split`):
        `reachable`, `num_samples` (L), `images`, `replicates`, the `standard_error` that follows, `seconds` (in all) =
        `seconds_training` + `seconds_evaluation`, and a `note` where something limits the plan. The sizes are NaN where
        the target cannot be reached, or where the seeds are too few to know. `NAME_low` and `NAME_high` of `RANGED` are
        a 95 % interval at least: of the sizes and seconds, what the plan would be at the ends of its variances'
        intervals; of the standard error, what this plan would reach there. Infinite: no design reaches the target.

    Raises:
        ValueError: standard_error is not above 0.
        TableError: the sweep has no variance study.
    """
    if not standard_error > 0:
        raise ValueError(f"standard_error must be above 0 nats, got {standard_error}")
    keys = as_list(by)
    split = _split_images(sweep)
    rows = []
    estimator = [*keys, "quantity", "sampling", "num_importance_samples"]
    for label, group in measured(sweep, by).groupby(estimator, dropna=False):
        for scope, size in ((NEW_IMAGES, None), (THIS_SPLIT, split)):
            if scope == NEW_IMAGES or size is not None:
                design, note = cheapest(group, standard_error, size)
                if design and scope == NEW_IMAGES and split is not None and design.images > split:
                    note = f"needs more than the split's {split} images"
                rows.append((*label, scope, design is not None, *_columns_of(design),
                             *_range(group, design, standard_error, size), note))  # fmt: skip
    return pd.DataFrame(rows, columns=[*keys, *COLUMNS])


def measured(sweep: Sweep, by: By = (DIMENSION,)) -> pd.DataFrame:
    """What the plans rest on: per `by`, estimator, scheme and L the variances A, B and C (nats^2) and the seconds.

    Returns:
        Columns `by`, `quantity`, `sampling`, `num_importance_samples`, `num_samples`, `between_replicates`,
        `replicate_degrees` (of freedom), `seeds` (the most of a trial), `between_images`, `image_degrees`,
        `monte_carlo`, `seconds` (per image of one estimate), `training` (seconds per replicate).
    """
    keys = as_list(by)
    if sweep.variance.empty:
        path = sweep.folder / "variance.parquet"
        raise TableError(f"{path}: holds no rows; a plan needs the variance study (variance.images above 0)")
    replicates = joined(sweep, "replicates")
    variance = joined(sweep, "variance", columns=keys)
    if variance.empty:
        raise TableError(f"{sweep.folder / 'trials.parquet'}: no trial has finished; a plan needs its variance study")
    estimator = [*keys, "quantity", "num_importance_samples"]
    cell = variance.groupby([*estimator, "num_samples", "sampling"], dropna=False)
    table = cell[["variance", "between_images", "seconds"]].mean().reset_index()
    table = table.rename(columns={"variance": "monte_carlo"}).assign(
        image_degrees=cell["images"].min().to_numpy() - 1.0
    )
    # How replicates and images differ does not depend on the scheme of the study's draws: one pass for all of them.
    table = table.merge(seed_variances(replicates, table, keys), on=estimator, how="left")
    table = table.merge(image_variances(replicates, table, keys, _split_images(sweep)), on=estimator, how="left")
    evaluated = table["evaluated_degrees"].astype(float) >= table["image_degrees"]
    table["between_images"] = table["between_images"].mask(evaluated, table["evaluated"].astype(float))
    table["image_degrees"] = table["image_degrees"].mask(evaluated, table["evaluated_degrees"].astype(float))
    table = table[table["monte_carlo"].notna()]
    group = replicates.assign(**{EVERYTHING: 0}).groupby(keys or [EVERYTHING], dropna=False)
    training = group["seconds.training"].mean().rename("training").reset_index()
    names = ["between_replicates", "replicate_degrees", "seeds", "between_images", "image_degrees"]
    names += ["monte_carlo", "seconds", "training"]
    table = table.assign(**{EVERYTHING: 0}).merge(training, on=keys or [EVERYTHING])
    order = [*keys, "quantity", "sampling", "num_importance_samples", "num_samples"]
    ordered: pd.DataFrame = table.reindex(columns=[*order, *names]).sort_values(order, ignore_index=True)
    return ordered


def expected_standard_error(
    between_replicates: Any,
    between_images: Any,
    monte_carlo: Any,
    *,
    replicates: Any,
    images: Any,
    split_images: int | None = None,
) -> Floats:
    """Standard error (nats) of a mean over replicates, images and draws, by the formula above; elementwise.

    `monte_carlo` is C(L); `split_images` is S for a statement about this split, None for one about new images.
    """
    replicates, images = np.asarray(replicates, dtype=float), np.asarray(images, dtype=float)
    sampled = 1.0 / images - (0.0 if split_images is None else 1.0 / split_images)
    total = between_replicates / replicates + between_images * np.maximum(sampled, 0.0)
    return np.asarray(np.sqrt(total + monte_carlo / (images * replicates)))


def cheapest(group: pd.DataFrame, target: float, split: int | None) -> tuple[Design | None, str]:
    """The cheapest design among every measured L (axis 0) and number of replicates (axis 1), or why there is none.

    Args:
        group: Rows of `measured` of one estimator, one for each L.
        target: Standard error in nats.
        split: Images of the split, for a statement about it; None for one about new images.
    """
    a, training, degrees = (float(group[c].iloc[0]) for c in ("between_replicates", "training", "replicate_degrees"))
    if np.isnan(a) or not degrees >= FEW_DEGREES:
        seeds = group["seeds"].iloc[0]
        each = f"{count(int(seeds), 'seed')} a trial" if seeds > 0 else "the seeds"
        return None, f"{CANNOT_KNOW} {each} ({degrees if degrees > 0 else 0:.0f} of {FEW_DEGREES} degrees of freedom)"
    b, c, seconds = (group[name].to_numpy(float)[:, None] for name in ("between_images", "monte_carlo", "seconds"))
    replicates = _replicate_numbers(a / target**2)[None, :]
    room = target**2 - a / replicates + (0.0 if split is None else b / split)
    images = np.maximum(np.ceil((b + c / replicates) / room * (1.0 - 1e-12)), 1.0)
    feasible = np.ones_like(images, dtype=bool) if split is None else images <= split
    spent = replicates * images * seconds
    total = np.where(feasible & np.isfinite(spent), replicates * training + spent, np.inf)
    if not np.isfinite(spent).any():
        return None, "no measured cost"
    if not np.isfinite(total).any():
        return None, "too noisy even on every image of the split"
    row, column = np.unravel_index(int(total.argmin()), total.shape)
    chosen_images, chosen = float(images[row, column]), float(replicates[0, column])
    error = expected_standard_error(
        a, b[row, 0], c[row, 0], replicates=chosen, images=chosen_images, split_images=split
    )
    length = float(group["num_samples"].iloc[int(row)])
    return Design(length, chosen_images, chosen, float(error), chosen * training, float(spent[row, column])), ""


def _range(group: pd.DataFrame, design: Design | None, target: float, split: int | None) -> list[float]:
    """`low` and `high` of `RANGED`: the plans at the ends of the variances' intervals, and what this one reaches."""
    if design is None:
        return [np.nan] * (2 * len(RANGED))
    at = {}
    for end, place in (("low", 0), ("high", 1)):
        moved = {
            name: variance_interval(group[name], group[degrees])[place]
            for name, degrees in (("between_replicates", "replicate_degrees"), ("between_images", "image_degrees"))
        }
        at[end] = group.assign(**moved)
    plans = [cheapest(rows, target, split)[0] for rows in at.values()]
    row = (group["num_samples"] == design.num_samples).to_numpy().argmax()
    errors = [
        float(
            expected_standard_error(
                *(rows[name].iloc[row] for name in ("between_replicates", "between_images", "monte_carlo")),
                replicates=design.replicates,
                images=design.images,
                split_images=split,
            )
        )
        for rows in at.values()
    ]
    found = [design, *(plan for plan in plans if plan is not None)]
    values: list[float] = []
    for name in RANGED:
        sizes = errors if name == "standard_error" else [_of(plan, name) for plan in found]
        missing = name != "standard_error" and len(found) < 3
        values += [min(sizes), np.inf if missing else max(sizes)]
    return values


def _of(design: Design, name: str) -> float:
    """A planned number of a design, its seconds in all."""
    return design.seconds_training + design.seconds_evaluation if name == "seconds" else float(getattr(design, name))


def _replicate_numbers(at_least: float) -> Floats:
    """Candidates above the number at which replicates alone use up the target."""
    first = np.floor(at_least) + 1.0
    larger = first + WHOLE_NUMBERS * 1.05 ** np.arange(100)
    return np.concatenate([first + np.arange(WHOLE_NUMBERS), np.ceil(larger)])


def _columns_of(design: Design | None) -> tuple[float, ...]:
    """The columns of a plan from `num_samples` to `seconds_evaluation`; NaN where there is no design."""
    if design is None:
        return (np.nan,) * 7
    total = design.seconds_training + design.seconds_evaluation
    return (*design[:4], total, *design[4:])


def _split_images(sweep: Sweep) -> int | None:
    """Images of the test split, where the sweep wrote it down."""
    data = sweep.info.get("data")
    size = data.get("test") if isinstance(data, dict) else None
    return int(size) if isinstance(size, int) and size > 0 else None
