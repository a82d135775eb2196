"""The tables of a sweep: read, checked against the schema, joined."""

from analysis.tables.reading import (
    TABLES,
    UNITS,
    Sweep,
    TableError,
    configuration_columns,
    joined,
    load,
    schema,
    unit_of,
    varying,
)

__all__ = [
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
