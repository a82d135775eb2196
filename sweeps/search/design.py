"""The order of the factorial part: every prefix shows the whole design coarsely, so an interrupted sweep does too."""

from __future__ import annotations

from typing import Any

import numpy as np

from sweeps.specification.checks import assignments
from sweeps.specification.spec import SweepSpec


def factorial(spec: SweepSpec) -> list[dict[str, Any]]:
    """All combinations of the factors, in an order that spreads coverage early; empty without factors."""
    if not spec.factors:
        return []
    cells = list(assignments(spec, spec.factors))
    keys = list(spec.factors)
    # A key that does not exist in a cell (K without iwae) counts as a level of its own, below the others.
    levels = np.array([[_rank(spec, key, cell) for key in keys] for cell in cells])
    return [cells[index] for index in spread(levels)]


def _rank(spec: SweepSpec, key: str, cell: dict[str, Any]) -> int:
    return spec.factors[key].index(cell[key]) if key in cell else -1


def spread(levels: np.ndarray) -> list[int]:
    """A greedy order of the rows of `levels` ([cell, factor], ranks of the levels).

    The next row is the one whose levels were seen least (each factor's marginal stays nearly balanced), then whose
    pairs of levels were seen least, then which lies farthest from all rows taken, then the first as written.
    """
    cells, factors = levels.shape
    columns = [np.unique(levels[:, factor], return_inverse=True)[1].reshape(-1) for factor in range(factors)]
    for one in range(factors):
        for other in range(one + 1, factors):
            columns.append(columns[one] * (columns[other].max() + 1) + columns[other])
    span = np.maximum(np.ptp(levels, axis=0), 1)
    position = (levels - levels.min(axis=0)) / span
    counts = [np.zeros(column.max() + 1) for column in columns]
    nearest = np.full(cells, np.inf)
    left = np.ones(cells, dtype=bool)
    order: list[int] = []
    for _ in range(cells):
        # How often a level was taken, relative to the even share: factors with few levels do not drown the others.
        seen = [count[column] * count.size for count, column in zip(counts, columns)]
        marginal, pairs = sum(seen[:factors], np.zeros(cells)), sum(seen[factors:], np.zeros(cells))
        candidates = np.flatnonzero(left)
        best = candidates[np.lexsort((candidates, -nearest[candidates], pairs[candidates], marginal[candidates]))[0]]
        order.append(int(best))
        left[best] = False
        for count, column in zip(counts, columns):
            count[column[best]] += 1
        nearest = np.minimum(nearest, ((position - position[best]) ** 2).sum(axis=1))
    return order
