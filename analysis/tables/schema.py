"""The schema that writer and reader share: `schema.json`, read once.

It is a data file so that the side that writes (`sweeps`) and the side that reads can both be tested against it. Besides
the columns of every table it lists what comes in kinds, with their labels (`analysis.tables.kinds`), and the limits
that the commands and the report share.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def schema() -> dict[str, Any]:
    """The schema as a tree; do not change it."""
    document: dict[str, Any] = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
    return document


TABLES: tuple[str, ...] = tuple(schema()["tables"])
"""Names of the tables: `runs/NAME/TABLE.parquet`, and the fields of `Sweep`."""


def calibration_limit() -> float:
    """Standard errors that an estimator may be away from its exact value before it counts as wrong."""
    return float(schema()["limits"]["calibration_z"])


def calibration_ulps() -> float:
    """Units in the last place that a deterministic estimate may be away from its exact value."""
    return float(schema()["limits"]["calibration_ulps"])


def information_margin() -> float:
    """Nats below log N within which an estimate of I(x; z) from N images is a bound and no number."""
    return float(schema()["limits"]["information_margin"])
