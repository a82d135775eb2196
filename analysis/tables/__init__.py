"""The tables of a sweep: read, checked against the schema, joined."""

from analysis.tables.columns import (
    BOUND,
    DIMENSION,
    RANK,
    UNITS,
    configuration_columns,
    unit_of,
    varying,
)
from analysis.tables.reading import TableError, load
from analysis.tables.schema import TABLES, schema
from analysis.tables.sweep import Sweep, joined

__all__ = [
    "BOUND",
    "DIMENSION",
    "RANK",
    "TABLES",
    "UNITS",
    "Sweep",
    "TableError",
    "configuration_columns",
    "joined",
    "load",
    "schema",
    "unit_of",
    "varying",
]
