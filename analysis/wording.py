"""Numbers and names as a reader sees them: one way to write an interval, one label for each metric or estimator."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.tables.columns import BOUND, DIMENSION, RANK
from analysis.tables.kinds import labels

LABELS = {
    BOUND: "test ELBO",
    RANK: "validation ELBO",
    "ppca": "exact pPCA",
}
"""Words for metrics and references; those for estimators and other kinds are in the schema."""

AXES = {
    DIMENSION: "latent dimension D (model.latent_dim)",
    "num_samples": "draws per image L (num_samples)",
    "num_importance_samples": "draws inside the logarithm K (num_importance_samples)",
    BOUND: "test.elbo (nats per image)",
    "test.reconstruction": "test.reconstruction (nats per image)",
    "test.kl": "test.kl (nats per image)",
    "test.active_units": "test.active_units (units)",
    "test.approximation_gap": "test.approximation_gap (nats)",
    "test.amortisation_gap": "test.amortisation_gap (nats)",
}
"""Axis labels by column: the name, so that `grep` finds it, and the unit."""

IWAE = re.compile(r"(train|validation|test)\.iwae_\d+")
"""Names of IWAE bounds, whose label says their K."""

SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def label(name: object, kind: str | None = None) -> str:
    """The words for a metric or a reference, or for one of a kind (`kl.estimator`); the name itself where it has none.

    >>> label("validation.elbo"), label("closed_form", "kl.estimator"), label("my_estimator", "kl.estimator")
    ('validation ELBO', 'closed form', 'my_estimator')
    """
    text = str(name)
    if kind is None and IWAE.fullmatch(text):
        split, k = text.split(".iwae_")
        return f"{split} IWAE bound with K = {k}"
    return (LABELS if kind is None else labels(kind)).get(text, text)


def axis(column: str) -> str:
    """An axis label: the column's own name and its unit."""
    return AXES.get(column, f"{column} (nats per image)" if column.startswith("test.iwae") else column)


def cell(value: Any) -> str:
    """A table cell: at most five significant digits, no exponent where it can be read without one."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (not isinstance(value, (str, list, dict, tuple)) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return figure(value)
    return str(value)


def figure(value: float, digits: int = 4) -> str:
    """`value` with so many significant digits, and never fewer than its whole part needs."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size >= 9:
        mantissa, exponent = f"{value:.{max(0, digits - 2)}e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPT)}".replace("-", "−")
    text = f"{value:,.{max(0, digits - 1 - size)}f}" if size >= 4 else f"{value:.{max(0, digits - 1 - size)}f}"
    if "." in text and float(text.replace(",", "")).is_integer() and float(value).is_integer():
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def interval(estimate: float, low: float, high: float, unit: str = "", *, most: int = 4) -> str:
    """`−76.53 [−76.90, −76.16] nats`: all three to two digits of the half-width, at most `most` decimals."""
    unit = f" {unit}" if unit else ""
    if not math.isfinite(estimate):
        return "–"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{figure(estimate)}{unit} (no interval)"
    if high <= low:  # all replicates agree
        return f"{figure(estimate)}{unit}"
    decimals = min(most, max(0, 1 - math.floor(math.log10((high - low) / 2))))
    if max(abs(low), abs(high)) < 10.0**-most:
        return f"{figure(estimate, 3)} [{figure(low, 3)}, {figure(high, 3)}]{unit}"
    texts = [f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−") for value in (estimate, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]{unit}"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """`1 trial`, `3 trials`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listed(words: Sequence[object], *, most: int = 6) -> str:
    """`a, b and c`; a long list is cut with the number left out."""
    texts = [str(word) for word in words]
    if len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most} more"
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else "none"
