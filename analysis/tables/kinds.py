"""What comes in kinds (KL estimators, gradient estimators, sampling schemes, ...): names, labels and their order.

A kind is named as the configuration names it, `kl.estimator`; `quantity` is the column of the variance study. The lists
are `schema()["kinds"]`, so an estimator that is added to `pipeline` needs no line in this wing.
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.tables.schema import schema

KL_ESTIMATOR, GRADIENT_ESTIMATOR, SAMPLING, QUANTITY = (
    "kl.estimator",
    "gradient.estimator",
    "objective.sampling",
    "quantity",
)


def labels(kind: str) -> dict[str, str]:
    """Name -> label of everything of that kind, in the schema's order; empty for a column that has no kinds."""
    return {entry["name"]: entry["label"] for entry in schema()["kinds"].get(kind, ())}


def places(kind: str, names: Sequence[object]) -> list[int]:
    """The place of each name in the schema's list; names that it does not hold come after it, in the order given."""
    listed = list(labels(kind))
    listed += [text for text in dict.fromkeys(map(str, names)) if text not in listed]
    return [listed.index(str(name)) for name in names]
